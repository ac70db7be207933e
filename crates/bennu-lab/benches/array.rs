//! Simulated core cycles per second of the whole array: the W8A8 projection at a quarter of the 27B's hidden width.

use aie2_kernels::w8a8::Projection;
use aie2_sim::Config;
use bennu_lab::case::Case;
use bennu_lab::machine::{Binary, Loaded};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const SEQ: usize = 512;
const HIDDEN: usize = 1280;
const N_Q: usize = 512;
const N_KV: usize = 256;
const CORES: u64 = 16;

fn array(c: &mut Criterion) {
    let projection = Projection::new(SEQ, HIDDEN, N_Q, N_KV, N_KV).expect("a legal shape");
    let compiled = projection.compile().expect("the kernel compiles");
    let binary = Binary::from(&compiled);
    let case = Case::random(*projection.shape(), 1).expect("a random case");
    let load = |threads: usize| {
        let mut loaded = Loaded::with(&binary, Config { threads, ..Config::default() }).expect("the PDI loads");
        case.write_to(&mut loaded).expect("the inputs fit");
        loaded
    };
    let cycles = load(1).run().expect("the kernel runs").report.cycles;
    let mut group = c.benchmark_group("array");
    group.throughput(Throughput::Elements(cycles * CORES)).sample_size(10);
    for threads in [1, 2] {
        group.bench_function(format!("core_cycles_{threads}_threads"), |b| {
            b.iter_batched_ref(
                || load(threads),
                |loaded| loaded.run().expect("the kernel runs"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, array);
criterion_main!(benches);
