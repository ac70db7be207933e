//! A whole run, as a program does it.
#![allow(dead_code)]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::{Bo, Cmd, ContextConfig, Device, Error, HwCtx, Options};
use amdxdna_fake::{Driver, FakeKernel, Outcome};

pub const SECOND: Duration = Duration::from_secs(1);
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// A device whose commands copy the first 16 bytes of host buffer 0 to host buffer 1.
pub fn machine(driver: Driver) -> FakeKernel {
    let fake = FakeKernel::new(driver);
    fake.on_execute(|run| {
        let bytes = run.read(run.host_address(0), 16);
        let to = run.host_address(1);
        run.write(to, &bytes);
        Outcome::completed()
    });
    fake
}

/// Everything a run needs, in the order in which it is made.
pub struct Run {
    pub command: Cmd<FakeKernel>,
    pub output: Bo<FakeKernel>,
    pub input: Bo<FakeKernel>,
    pub stream: Bo<FakeKernel>,
    pub context: HwCtx<FakeKernel>,
    pub device: Device<FakeKernel>,
}

pub fn prepare(fake: &FakeKernel) -> Result<Run, Error> {
    prepare_on(fake.open(Options::default())?)
}

pub fn prepare_on(device: Device<FakeKernel>) -> Result<Run, Error> {
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[b"a PDI"])?;
    let mut stream = device.dev_buffer(64)?;
    stream.write(0, &[7; 64])?;
    let mut input = device.buffer_of(4096)?;
    input.write(0, b"sixteen bytes in")?;
    let output = device.buffer_of(8192)?;
    let mut command = Cmd::new(&device)?;
    command.start(0, &stream, 16, &[(&input).into(), (&output).into()])?;
    Ok(Run { command, output, input, stream, context, device })
}

impl Run {
    pub fn go(&mut self) -> Result<(), Error> {
        self.context.submit(&mut self.command)?;
        self.command.wait(SECOND, &NEVER)
    }
}
