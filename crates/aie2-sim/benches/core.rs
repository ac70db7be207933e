//! Bundles per second of one simulated core: C = A·B, int8, 4 x 2 tiles of 4x8x8, a `vmac` in every bundle of the loop.
//!
//! ```text
//! slot   0    1    2      3      4  5  6      7
//! lda    A2   A3                       A0     A1
//! ldb              B1.lo  B1.hi        B0.lo  B0.hi
//! vec    A0B0 A1B0 A2B0   A3B0   A0B1 ...
//! ```

use aie2_isa::assemble;
use aie2_sim::core::{Core, EarlyReads};
use aie2_sim::port::{CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{CoreFault, Fault};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::ops::ControlFlow;

const STEPS: u32 = 20_000;
const BUNDLE_BYTES: usize = 16;
const A: u32 = OWN_WINDOW;
const B: u32 = OWN_WINDOW + 0x4000;
const MEMORY_BYTES: usize = 0x1_0000;

/// The core's own memory, nothing else.
struct Memory(Vec<u8>);

impl Memory {
    fn at(&mut self, addr: u32, bytes: usize) -> &mut [u8] {
        let start = (addr - OWN_WINDOW) as usize;
        &mut self.0[start..start + bytes]
    }
}

impl CoreBus for Memory {
    fn tile(&self) -> TileLoc {
        TileLoc::new(0, 2)
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        out.copy_from_slice(self.at(addr, out.len()));
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        self.at(addr, data.len()).copy_from_slice(data);
        Ok(())
    }

    fn lock(&mut self, id: u8, _: LockOp) -> Result<bool, Fault> {
        Err(Fault::CoreLock { tile: self.tile(), id })
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(None)
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Ok(false)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// The program with every bundle in 16 bytes, so that addresses are known before it is assembled.
fn program() -> Vec<u8> {
    let lda = |i: u32| format!("vlda wl{i}, [p{i}], m0");
    let ldb = |j: u32, low: bool| {
        let (half, step) = if low { ("wl", "#0") } else { ("wh", "m0") };
        format!("vldb {half}{}, [p{}], {step}", 4 + j, 4 + j)
    };
    let mut head: Vec<String> = (0..4).map(|i| format!("movxm p{i}, #{}", A + 32 * i)).collect();
    head.extend((0..2).map(|j| format!("movxm p{}, #{}", 4 + j, B + 64 * j)));
    head.extend(["movxm r0, #0x308".to_owned(), "movxm m0, #0".to_owned()]);
    head.extend((0..8).map(|i| format!("vclr cm{i}")));
    head.extend((0..4).map(lda));
    head.extend((0..2).flat_map(|j| [ldb(j, true), ldb(j, false)]));
    // Three bundles set the loop up, eight keep the distance it needs, two start the loads of the first pass.
    let first = BUNDLE_BYTES * (head.len() + 13);
    head.push(format!("movxm lc, #{STEPS}"));
    head.push(format!("movxm ls, #{first}"));
    head.push(format!("movxm le, #{}", first + 7 * BUNDLE_BYTES));
    head.extend(vec!["nop".to_owned(); 8]);
    head.push(format!("{}; {}", lda(0), ldb(0, true)));
    head.push(format!("{}; {}", lda(1), ldb(0, false)));
    let body = (0..8).map(|s| {
        let loads = match s {
            0 | 1 => format!("; {}", lda(2 + s)),
            2 | 3 => format!("; {}", ldb(1, s == 2)),
            6 | 7 => format!("; {}; {}", lda(s - 6), ldb(0, s == 6)),
            _ => String::new(),
        };
        format!("vmac cm{s}, cm{s}, x{}, x{}, r0{loads}", s % 4, 4 + s / 4)
    });
    let tail = std::iter::once("done").chain(std::iter::repeat_n("nop", 7)).map(str::to_owned);
    let lines: Vec<String> = head.into_iter().chain(body).chain(tail).collect();
    let bundles = lines.iter().map(|line| assemble(line).expect("legal text")[0]);
    bundles.flat_map(|b| b.encode_at_least(BUNDLE_BYTES).expect("16 bytes hold every slot").to_vec()).collect()
}

fn start() -> Result<(Core, Memory), CoreFault> {
    let mut core = Core::new();
    core.load_program(&program())?;
    // The loads of a pass land behind the reads of the one before.
    core.set_early_reads(EarlyReads::Anywhere);
    let memory = (0..MEMORY_BYTES as u32).map(|i| i.wrapping_mul(2_654_435_761).rotate_left(9) as u8).collect();
    Ok((core, Memory(memory)))
}

/// Bundles until `done`.
fn run(core: &mut Core, memory: &mut Memory) -> u64 {
    core.run(memory, |_, core, step| match step {
        Step::Issued { .. } => ControlFlow::Continue(()),
        Step::Halted => ControlFlow::Break(core.stats().bundles),
        Step::Blocked(why) => unreachable!("nothing here blocks: {why}"),
    })
    .expect("no fault")
}

fn bundles(c: &mut Criterion) {
    let started = || start().expect("the program fits");
    let (mut core, mut memory) = started();
    let bundles = run(&mut core, &mut memory);
    assert_eq!(core.stats().vmacs, u64::from(8 * STEPS));
    let mut group = c.benchmark_group("core");
    group.throughput(Throughput::Elements(bundles));
    group.bench_function("int8_gemm_bundles", |b| {
        b.iter_batched_ref(started, |(core, memory)| run(core, memory), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, bundles);
criterion_main!(benches);
