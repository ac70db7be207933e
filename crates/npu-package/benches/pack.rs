//! Bytes of packed weights per second: one layer of Gemma 3 27B, random codes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use npu_package::layout::{Panels, Rows};

fn pack(c: &mut Criterion) {
    let panels = Panels::new(5376, 4096, 2048, 2048).expect("a legal shape");
    // Xorshift64 (Marsaglia 2003); any seed but zero.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let weights: Vec<i8> = (0..panels.n() * panels.inputs()).map(|_| random() as i8).collect();
    let scales: Vec<u16> = (0..panels.n()).map(|_| 0x3C00 | random() as u16 & 0x7F).collect();
    let rows = |start: usize, n: usize| Rows {
        weights: &weights[start * panels.inputs()..(start + n) * panels.inputs()],
        scales: &scales[start..start + n],
    };
    let (k, v) = (4096, 4096 + 2048);
    let mut out = vec![0; panels.bytes()];
    let mut group = c.benchmark_group("panels");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(panels.bytes() as u64));
    group.bench_function("pack_27b_layer", |b| {
        b.iter(|| panels.pack(&[rows(0, k), rows(k, v - k), rows(v, panels.n() - v)], &mut out).expect("lengths fit"));
    });
    group.finish();
}

criterion_group!(benches, pack);
criterion_main!(benches);
