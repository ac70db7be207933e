//! Tests only: the scripted driver with the simulated array behind it. Programs arrive as the NPU gets them, in buffers and packets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aie2_kernels::probe::{self, Probe, Timing, Via};
use aie2_sim::{Config, Machine, Timing as ArrayTiming};
use amdxdna_fake::{Driver, Execution, FakeKernel, Outcome};
use npu_container::pdi::CDO_OFFSET;

use super::measure::{Effort, Way};
use super::run::{Host, TIMEOUT};

/// What suffices where time is exact.
pub const EFFORT: Effort =
    Effort { repeat: 1, channel_bytes: 128 << 10, clock_iterations: [100, 2100], untimed: false };
/// Sizes of `bank_shared` and `strided_rows`.
pub const SIZES: [[u32; 2]; 2] = [[4, 20], [8, 40]];

/// Offset of the partition header's first word: words of the padded CDO.
const PARTITION_WORDS_AT: usize = 0xD0;

/// Every program that a verb may send.
static PROGRAMS: LazyLock<Vec<Probe>> = LazyLock::new(programs);

thread_local! {
    /// Arrays by context and compute unit.
    static ARRAYS: RefCell<BTreeMap<(u32, usize), Machine>> = const { RefCell::new(BTreeMap::new()) };
}

fn programs() -> Vec<Probe> {
    let [few, many] = EFFORT.clock_iterations;
    let [[few_buffers, many_buffers], [few_runs, many_runs]] = SIZES;
    let timings: Vec<Timing> = vec![
        probe::bundles(few, many).expect("served"),
        probe::bank_shared(true, few_buffers, many_buffers).expect("served"),
        probe::strided_rows(few_runs, many_runs).expect("served"),
    ];
    let mut all = probe::steps().expect("steps compile");
    all.extend(probe::facts().expect("facts compile"));
    all.extend(timings.into_iter().flat_map(|timing| timing.probes));
    all.push(probe::loopback(Via::Switch, 4).expect("served"));
    let bytes = EFFORT.channel_bytes;
    for way in Way::ALL {
        let of = match way {
            Way::Read => probe::read_bandwidth,
            Way::Write => probe::write_bandwidth,
        };
        for bytes in [bytes / 4, bytes] {
            let alone = probe::CHANNELS.iter().map(std::slice::from_ref);
            for channels in alone.chain([&probe::CHANNELS[..4], &probe::CHANNELS[..]]) {
                all.push(of(channels, bytes).expect("served"));
            }
        }
    }
    all
}

/// The machine, its driver and its array.
pub fn machine() -> FakeKernel {
    scripted(simulate)
}

/// The same with something else that runs commands.
pub fn scripted(run: impl FnMut(&mut Execution<'_>) -> Outcome + Send + 'static) -> FakeKernel {
    ARRAYS.with_borrow_mut(BTreeMap::clear);
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(run);
    fake
}

fn pdi(run: &Execution<'_>) -> Vec<u8> {
    let header = run.read(run.pdi_address(), CDO_OFFSET);
    let words: [u8; 4] = header[PARTITION_WORDS_AT..PARTITION_WORDS_AT + 4].try_into().expect("four bytes");
    run.read(run.pdi_address(), CDO_OFFSET + 4 * u32::from_le_bytes(words) as usize)
}

/// What a command asks for, and what it means.
pub fn with_probe<T>(run: &mut Execution<'_>, f: impl FnOnce(&mut Execution<'_>, &Probe) -> T) -> T {
    let (pdi, stream) = (pdi(run), run.stream());
    let found = PROGRAMS.iter().find(|p| p.compiled.pdi == pdi && p.compiled.txn == stream);
    f(run, found.expect("a program that no probe has"))
}

/// Runs a command on the array of its context and unit, in the time it takes there.
pub fn simulate(run: &mut Execution<'_>) -> Outcome {
    let key = (run.context(), run.cu());
    with_probe(run, |run, probe| {
        ARRAYS.with_borrow_mut(|arrays| {
            let array = arrays.entry(key).or_insert_with(|| {
                let mut array = Machine::new(Config::default());
                array.load_pdi(&probe.compiled.pdi).expect("the PDI loads");
                for (&(col, row), core) in &probe.compiled.cores {
                    let model = array.core_mut(col, row).expect("a core");
                    model.allow_early_reads(core.early_reads.iter().copied());
                    model.allow_partial_locks(core.partial_locks.iter().copied());
                }
                array
            });
            let operands = &probe.compiled.operands;
            let buffers: Vec<_> = operands.iter().map(|operand| array.alloc(operand.name, operand.bytes)).collect();
            for (index, (&buffer, operand)) in buffers.iter().zip(operands).enumerate() {
                let contents = run.read(run.host_address(index), operand.bytes);
                array.write_buffer(buffer, 0, &contents).expect("it fits");
            }
            let report = array.run(&probe.compiled.txn, &buffers).expect("the stream runs");
            for (index, &buffer) in buffers.iter().enumerate() {
                let contents = array.read_buffer(buffer).expect("all of it was written");
                run.write(run.host_address(index), &contents);
            }
            let mhz = ArrayTiming::default().array_clock_mhz;
            Outcome::completed().after(Duration::from_nanos(report.cycles * 1000 / mhz))
        })
    })
}

/// Does something with the fake machine's time.
pub fn with_host<T>(fake: &FakeKernel, f: impl FnOnce(Host<'_>) -> T) -> T {
    let (clock, interrupt) = (|| fake.clock(), AtomicBool::new(false));
    f(Host { clock: &clock, interrupt: &interrupt, timeout: TIMEOUT })
}
