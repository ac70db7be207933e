//! Time to compile the W8A8 projection: program, configuration and runtime stream.

use aie2_kernels::w8a8::Projection;
use criterion::{Criterion, criterion_group, criterion_main};

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("w8a8_qkv_projection");
    group.sample_size(10);
    // seq, hidden, NQ, NK, NV: a tiny model, Gemma 3 27B.
    for (name, [seq, hidden, n_q, n_k, n_v]) in
        [("tiny", [64, 256, 512, 256, 256]), ("27b", [512, 5376, 4096, 2048, 2048])]
    {
        let kernel = Projection::new(seq, hidden, n_q, n_k, n_v).expect("a legal shape");
        group.bench_function(name, |b| b.iter(|| kernel.compile().expect("the kernel compiles")));
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
