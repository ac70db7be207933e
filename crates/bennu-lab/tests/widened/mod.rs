//! The tiny Gemma 3 of `goldens/` as the array takes it: 32 query and 16 key-value heads, its own 4 and 2 eight times over, and an output
//! projection with zeros for all but the first. Query head h reads key-value head h / 2 in either model.

use bennu_lab::layer::{HEADS, KV_HEADS};
use oracle::model::{AttentionConfig, AttentionWeights, Linear, Values};

/// The tiny model with the array's heads.
pub fn config() -> AttentionConfig {
    AttentionConfig { heads: HEADS, kv_heads: KV_HEADS, ..AttentionConfig::tiny() }
}

/// INT8 codes and scales.
pub fn codes(linear: &Linear) -> (&[i8], &[u16]) {
    match linear.values() {
        Values::Int8 { codes, scales, .. } => (codes, scales),
        Values::Bf16(_) => panic!("weights are quantised first"),
    }
}

/// Rows repeated until there are `n`.
fn rows(linear: &Linear, n: usize) -> Linear {
    let (codes, scales) = codes(linear);
    let times = n / linear.n();
    let values = Values::Int8 { codes: codes.repeat(times), scales: scales.repeat(times), group: linear.k() };
    Linear::new(n, linear.k(), values)
}

/// INT8 weights of the tiny model for the array's heads.
pub fn widened(weights: &AttentionWeights) -> AttentionWeights {
    let config = config();
    let (o, scales) = codes(&weights.o);
    let mut wide = vec![0; weights.o.n() * config.q_rows()];
    for (wide, narrow) in wide.chunks_exact_mut(config.q_rows()).zip(o.chunks_exact(weights.o.k())) {
        wide[..narrow.len()].copy_from_slice(narrow);
    }
    let values = Values::Int8 { codes: wide, scales: scales.to_vec(), group: config.q_rows() };
    AttentionWeights {
        q: rows(&weights.q, config.q_rows()),
        k: rows(&weights.k, config.kv_rows()),
        v: rows(&weights.v, config.kv_rows()),
        o: Linear::new(weights.o.n(), config.q_rows(), values),
        ..weights.clone()
    }
}
