//! Bundles encoded and decoded per second: the bundles of llvm-aie's own tests.

use aie2_isa::{Bundle, EncodedBundle};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn codec(c: &mut Criterion) {
    let texts = include_str!("../tests/data/golden.tsv").lines().filter(|line| !line.starts_with('#'));
    let bundles: Vec<Bundle> = texts
        .map(|line| line.split_once('\t').expect("bytes, tab, text").1)
        .map(|text| Bundle::parse(text).expect("a bundle of the instruction set"))
        .collect();
    let encoded: Vec<EncodedBundle> = bundles.iter().map(Bundle::encode).collect();
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(bundles.len() as u64));
    group.bench_function("encode", |b| {
        b.iter(|| bundles.iter().map(|bundle| black_box(bundle.encode()).len()).sum::<usize>());
    });
    group.bench_function("decode", |b| {
        b.iter(|| {
            for bytes in &encoded {
                black_box(Bundle::decode(bytes).expect("just encoded"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
