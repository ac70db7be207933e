//! What the kernel answers: no bytes make a reader of a reply panic, and a run on a driver whose answers are changed at will ends with
//! every mapping, context and syncobj given back.
//!
//! The input is read as a reply, and as a script: a byte for the driver, then changes of five bytes, `ioctl nth place place value`. The
//! place counts through the argument and the memory it points at.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::{AieMetadata, AieVersion, AsyncError, Clocks, Cmd, ContextConfig, ContextInfo, Error, FirmwareVersion};
use amdxdna::{Health, Ioctl, Options, PowerMode, ResourceInfo, Sensor};
use amdxdna_fake::{Driver, FakeKernel};

pub fn check(bytes: &[u8]) {
    replies(bytes);
    let Some((driver, changes)) = bytes.split_first() else { return };
    let drivers = Driver::all();
    let fake = FakeKernel::new(drivers[usize::from(*driver) % drivers.len()].clone());
    for change in changes.as_chunks::<5>().0.iter().take(16) {
        let [ioctl, nth, low, high, value] = *change;
        let place = usize::from(u16::from_le_bytes([low, high]));
        let ioctl = Ioctl::ALL[usize::from(ioctl) % Ioctl::ALL.len()];
        fake.corrupt(ioctl, usize::from(nth % 8), move |argument, pointed| {
            let all = argument.iter_mut().chain(pointed.iter_mut().flat_map(|bytes| bytes.iter_mut()));
            let mut all: Vec<&mut u8> = all.collect();
            let place = place % all.len();
            *all[place] = value;
        });
    }
    if let Err(error) = run(&fake) {
        assert!(!error.explain().is_empty());
    }
    // Descriptors and handles may have been misnamed; the rest goes with the file.
    let left = fake.counts();
    assert!(left.mappings == 0 && left.contexts == 0 && left.syncobjs == 0, "{left:?}");
}

fn replies(bytes: &[u8]) {
    let _ = AieMetadata::read(bytes);
    let _ = AieVersion::read(bytes);
    let _ = FirmwareVersion::read(bytes).map(|version| version.to_string());
    let _ = Clocks::read(bytes);
    let _ = Sensor::read_all(bytes).map(|sensors| sensors.iter().map(Sensor::value).sum::<f64>());
    let _ = ContextInfo::read_all(bytes);
    let _ = ResourceInfo::read(bytes);
    let _ = PowerMode::read(bytes);
    let _ = AsyncError::read(bytes);
    let _ = Health::of_payload(bytes).map(|health| health.to_string());
    if let [element, elements, rest @ ..] = bytes {
        let _ = ContextInfo::read_entries(rest, usize::from(*element), usize::from(*elements));
    }
}

fn run(fake: &FakeKernel) -> Result<(), Error> {
    let device = fake.open(Options::default())?;
    device.features()?;
    device.contexts()?;
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[&[1; 64], &[2; 64]])?;
    let mut stream = device.dev_buffer(64)?;
    stream.write(0, &[3; 64])?;
    let mut host = device.buffer_of(4096)?;
    host.write(0, &[4; 64])?;
    let mut commands = [Cmd::new(&device)?, Cmd::new(&device)?];
    for (cu, command) in (0..).zip(&mut commands) {
        command.start(cu, &stream, 16, &[(&host).into()])?;
        context.submit(command)?;
    }
    for command in &mut commands {
        command.wait(Duration::from_millis(250), &AtomicBool::new(false))?;
    }
    let dma_buf = host.export()?;
    assert_eq!(device.import(&dma_buf)?.len(), host.len());
    device.map_dma_buf(&dma_buf)?;
    context.recreate()
}
