//! A prepared layer on the scripted driver, and an array that does what the fabricated streams say: fill their outputs.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::Options;
use amdxdna_fake::{Driver, Execution, FakeKernel, Outcome};
use gemma::PackedWeights;
use gemma::attend::{
    AttendError, Done, Job, Method, Observer, Past, Prepared, RunOptions, Session, Stream, cache_of, prepare, seeded,
};
use npu_container::txn::{self, Op};
use tempfile::TempDir;

use crate::fabric::{Fabric, GLOBAL, heads, packed};
use crate::synthetic::HIDDEN;

pub const SEQ: usize = 8;
pub const HISTORY: usize = 20;

/// A layer, prepared; its files live as long as it.
pub struct Layer {
    pub prepared: Prepared,
    pub model: PackedWeights,
    _dirs: (TempDir, TempDir),
}

/// The global layer, by both methods or by the modular one alone.
pub fn layer(methods: &[Method]) -> Layer {
    let complete = methods.contains(&Method::Complete);
    layer_of(Fabric { seq: SEQ, history: HISTORY, complete, ..Fabric::default() }, methods)
}

/// The global layer with the kernels of a fabric.
pub fn layer_of(fabric: Fabric, methods: &[Method]) -> Layer {
    let ((package_dir, package), (model_dir, model)) = (fabric.written(), packed());
    let x = seeded(1, Stream::Hidden, 0, SEQ * HIDDEN);
    let past = Past::seeded(1, HISTORY, None, heads(fabric.cache));
    let cache = cache_of(&package);
    let job = Job { package: &package, model: &model, layer: GLOBAL, seq: SEQ, history: HISTORY, cache, methods };
    let prepared = prepare(&job, &x, &past).unwrap();
    Layer { prepared, model, _dirs: (package_dir, model_dir) }
}

/// bfloat16 that a command writes into an output: finite, and another for every kernel, buffer and element.
pub fn written(cu: usize, buffer: u32, element: usize) -> u16 {
    let mixed = (element as u32).wrapping_mul(2_654_435_761) >> 18 ^ buffer << 7 ^ (cu as u32) << 11;
    (mixed & 0x3FFF) as u16
}

/// Transfers of a fabricated stream: host buffer and bytes.
fn transfers(stream: &[u8]) -> Vec<(u32, usize)> {
    let (mut length, mut all) = (0, Vec::new());
    for op in txn::read(stream).unwrap().ops {
        match op {
            Op::BlockWrite { data, .. } => length = 4 * data[0] as usize,
            Op::DdrPatch { arg_index, .. } => all.push((arg_index, length)),
            _ => {}
        }
    }
    all
}

/// What an array would do.
pub fn compute(run: &mut Execution<'_>) -> Outcome {
    let cu = run.cu();
    for (buffer, bytes) in transfers(&run.stream()) {
        let contents: Vec<u8> = (0..bytes / 2).flat_map(|i| written(cu, buffer, i).to_le_bytes()).collect();
        run.write(run.host_address(buffer as usize), &contents);
    }
    Outcome::completed()
}

#[derive(Default)]
pub struct Heard(pub Vec<(Method, String)>);

impl Observer for Heard {
    fn failed(&mut self, method: Method, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.0.push((method, text));
    }
}

pub fn machine(driver: Driver) -> FakeKernel {
    let fake = FakeKernel::new(driver);
    fake.on_execute(compute);
    fake
}

pub const DEADLINE: Duration = Duration::from_secs(3);

/// Opens, runs and closes; nothing may be left behind.
pub fn run_with(
    fake: &FakeKernel,
    prepared: &Prepared,
    options: &RunOptions,
    interrupt: &AtomicBool,
) -> (Result<Done, AttendError>, Heard) {
    let mut heard = Heard::default();
    let device = match fake.open(Options::default()) {
        Ok(device) => device,
        Err(error) => panic!("the device does not open: {error}"),
    };
    let session = Session::new(device);
    let done = session.run(prepared, options, interrupt, &mut heard);
    drop(session);
    (done, heard)
}

pub fn run(fake: &FakeKernel, prepared: &Prepared) -> (Result<Done, AttendError>, Heard) {
    let options = RunOptions { deadline: DEADLINE, ..RunOptions::default() };
    run_with(fake, prepared, &options, &AtomicBool::new(false))
}
