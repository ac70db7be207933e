//! What the reference needs to know of a Gemma 3 text model's attention, and its weights.
//!
//! SOURCE: google/gemma-3 config.json files and huggingface/transformers `models/gemma3/configuration_gemma3.py`.

use std::thread;

use crate::fp::{bf16_rne, widen};
use crate::mask::Mask;
use crate::rope::Rope;

/// Whether a layer sees a window or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// The last `window` keys.
    Local,
    /// All keys.
    Global,
}

/// Attention of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; each serves `heads / kv_heads` consecutive query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Keys that a local layer sees, the query's own included.
    pub window: usize,
    /// The score scale is this to the power -½.
    pub query_scalar: f64,
    /// ε of the q and k norms.
    pub eps: f64,
    /// Rotation on local layers.
    pub rope_local: Rope,
    /// Rotation on global layers.
    pub rope_global: Rope,
}

impl AttentionConfig {
    /// Gemma 3 27B.
    pub const fn gemma3_27b() -> Self {
        Self {
            hidden: 5376,
            heads: 32,
            kv_heads: 16,
            head_dim: 128,
            window: 1024,
            query_scalar: 168.0,
            eps: 1e-6,
            rope_local: Rope { theta: 1e4, factor: 1.0 },
            rope_global: Rope { theta: 1e6, factor: 8.0 },
        }
    }

    /// The model of `goldens/tiny-gemma3-attention.safetensors`.
    pub const fn tiny() -> Self {
        Self { hidden: 256, heads: 4, kv_heads: 2, window: 32, query_scalar: 64.0, ..Self::gemma3_27b() }
    }

    /// Rows of the query projection.
    pub const fn q_rows(&self) -> usize {
        self.heads * self.head_dim
    }
    /// Rows of the key projection, and of the value projection.
    pub const fn kv_rows(&self) -> usize {
        self.kv_heads * self.head_dim
    }
    /// Query heads that share a key-value head.
    pub const fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
    /// query_scalar^-½.
    pub fn score_scale(&self) -> f64 {
        self.query_scalar.sqrt().recip()
    }
    /// Rotation of a layer.
    pub const fn rope(&self, kind: LayerKind) -> Rope {
        match kind {
            LayerKind::Local => self.rope_local,
            LayerKind::Global => self.rope_global,
        }
    }
    /// Mask of a layer.
    pub const fn mask(&self, kind: LayerKind) -> Mask {
        match kind {
            LayerKind::Local => Mask::sliding(self.window),
            LayerKind::Global => Mask::causal(),
        }
    }
}

/// Elements of a weight matrix as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// bfloat16 bits, `[n][k]`.
    Bf16(Vec<u16>),
    /// Codes `[n][k]`, and one bfloat16 scale per row and `group` inputs, `[n][k / group]`.
    Int8 {
        /// Codes, -128..=127.
        codes: Vec<i8>,
        /// Bits of the scales.
        scales: Vec<u16>,
        /// Inputs that share a scale; all of `k` when scaled per output channel.
        group: usize,
    },
}

/// y[n] = Σₖ w[n][k] · x[k]. Valid by construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    n: usize,
    k: usize,
    values: Values,
}

impl Linear {
    /// A matrix of `n` rows of `k`.
    ///
    /// # Panics
    /// If the values do not match the shape.
    pub fn new(n: usize, k: usize, values: Values) -> Self {
        match &values {
            Values::Bf16(bits) => assert_eq!(bits.len(), n * k, "weights do not match {n} x {k}"),
            Values::Int8 { codes, scales, group } => {
                assert!(*group > 0 && k.is_multiple_of(*group), "groups of {group} do not divide {k} inputs");
                assert_eq!((codes.len(), scales.len()), (n * k, n * (k / group)), "weights do not match {n} x {k}");
            }
        }
        Self { n, k, values }
    }

    /// Outputs.
    pub const fn n(&self) -> usize {
        self.n
    }
    /// Inputs.
    pub const fn k(&self) -> usize {
        self.k
    }
    /// The elements as stored.
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// Writes row `n` as the mathematics sees it: code times scale is exact here.
    pub fn row(&self, n: usize, out: &mut [f64]) {
        let range = n * self.k..(n + 1) * self.k;
        match &self.values {
            Values::Bf16(bits) => {
                for (out, &bits) in out.iter_mut().zip(&bits[range]) {
                    *out = f64::from(widen(bits));
                }
            }
            Values::Int8 { codes, scales, group } => {
                let scales = &scales[n * (self.k / group)..];
                for ((part, codes), &scale) in out.chunks_mut(*group).zip(codes[range].chunks(*group)).zip(scales) {
                    let scale = f64::from(widen(scale));
                    for (out, &code) in part.iter_mut().zip(codes) {
                        *out = f64::from(code) * scale;
                    }
                }
            }
        }
    }

    /// The same matrix dequantised to bfloat16: what an engine multiplies that does so before its products.
    pub fn dequantised_to_bf16(&self) -> Self {
        let mut bits = vec![0; self.n * self.k];
        let mut row = vec![0.0; self.k];
        for (n, out) in bits.chunks_exact_mut(self.k).enumerate() {
            self.row(n, &mut row);
            for (out, &w) in out.iter_mut().zip(&row) {
                // A code has 8 bits and a scale 8: float32 holds their product exactly, so this rounds once.
                *out = bf16_rne(w as f32);
            }
        }
        Self { n: self.n, k: self.k, values: Values::Bf16(bits) }
    }

    /// Y `[t][n]` = X `[t][k]` Wᵀ in float64. Uses the machine's threads; their number does not change a bit of the result.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        assert!(x.len().is_multiple_of(self.k), "{} inputs are not rows of {}", x.len(), self.k);
        let tokens = x.len() / self.k;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let rows_each = self.n.div_ceil(threads).max(1);
        let mut out = vec![0.0; tokens * self.n];
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.n)
                .step_by(rows_each)
                .map(|first| (first, scope.spawn(move || self.columns(x, first, (first + rows_each).min(self.n)))))
                .collect();
            for (first, worker) in workers {
                let part = worker.join().expect("a worker only multiplies");
                let width = part.len() / tokens.max(1);
                for (out, part) in out.chunks_exact_mut(self.n).zip(part.chunks_exact(width.max(1))) {
                    out[first..first + width].copy_from_slice(part);
                }
            }
        });
        out
    }

    /// Outputs `first..last` of every token, `[t][last - first]`.
    fn columns(&self, x: &[f64], first: usize, last: usize) -> Vec<f64> {
        let width = last - first;
        let mut out = vec![0.0; x.len() / self.k * width];
        // Rows go in fours, so that a pass over x serves four of them.
        let mut rows = vec![0.0; ROWS * self.k];
        for start in (0..width).step_by(ROWS) {
            let count = ROWS.min(width - start);
            for (r, row) in rows.chunks_exact_mut(self.k).take(count).enumerate() {
                self.row(first + start + r, row);
            }
            for (x, out) in x.chunks_exact(self.k).zip(out.chunks_exact_mut(width)) {
                for (row, out) in rows.chunks_exact(self.k).zip(&mut out[start..start + count]) {
                    *out = dot(x, row);
                }
            }
        }
        out
    }
}

const ROWS: usize = 4;
/// Partial sums of a dot product: enough for the host to keep its multipliers busy.
const LANES: usize = 8;

/// Σ a·b in float64.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    rest + lanes.iter().sum::<f64>()
}

/// Weights of one layer's attention.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionWeights {
    /// Query projection.
    pub q: Linear,
    /// Key projection.
    pub k: Linear,
    /// Value projection.
    pub v: Linear,
    /// Output projection.
    pub o: Linear,
    /// Weight of the norm over each query head, `[head_dim]`.
    pub q_norm: Vec<f64>,
    /// Weight of the norm over each key head.
    pub k_norm: Vec<f64>,
}

impl AttentionWeights {
    /// The same weights, every projection dequantised to bfloat16.
    pub fn dequantised_to_bf16(&self) -> Self {
        Self {
            q: self.q.dequantised_to_bf16(),
            k: self.k.dequantised_to_bf16(),
            v: self.v.dequantised_to_bf16(),
            o: self.o.dequantised_to_bf16(),
            q_norm: self.q_norm.clone(),
            k_norm: self.k_norm.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_of_the_27b() {
        let config = AttentionConfig::gemma3_27b();
        assert_eq!([config.q_rows(), config.kv_rows(), config.group()], [4096, 2048, 2]);
        assert!((config.score_scale() - 0.077_151_7).abs() < 1e-7);
    }

    #[test]
    fn a_group_of_inputs_has_its_own_scale() {
        let scales = vec![0x3F80, 0x4000, 0x3F00, 0x4080];
        let w = Linear::new(2, 4, Values::Int8 { codes: vec![1, -2, 3, -4, 5, 6, -7, -128], scales, group: 2 });
        let mut row = [0.0; 4];
        w.row(0, &mut row);
        assert_eq!(row, [1.0, -2.0, 6.0, -8.0]);
        w.row(1, &mut row);
        assert_eq!(row, [2.5, 3.0, -28.0, -512.0]);
    }

    #[test]
    fn dequantising_rounds_each_weight_once() {
        // 127 · (1 + 2^-7): 15 significant bits, of which bfloat16 keeps 8, 127.992 -> 128.
        let w = Linear::new(1, 1, Values::Int8 { codes: vec![127], scales: vec![0x3F81], group: 1 });
        assert_eq!(w.dequantised_to_bf16().values(), &Values::Bf16(vec![0x4300]));
    }

    proptest! {
        #[test]
        fn a_product_is_the_definition(n in 1usize..14, k in 1usize..40, tokens in 0usize..5, seed: u64) {
            let mut rng = crate::data::Rng::new(seed);
            let codes: Vec<i8> = (0..n * k).map(|_| rng.next_u64() as i8).collect();
            let x: Vec<f64> = (0..tokens * k).map(|_| f64::from(rng.next_u64() as i16)).collect();
            let w = Linear::new(n, k, Values::Int8 { codes: codes.clone(), scales: vec![0x3F00; n], group: k });
            let y = w.apply(&x);
            for t in 0..tokens {
                for r in 0..n {
                    let exact: f64 = (0..k).map(|i| x[t * k + i] * f64::from(codes[r * k + i]) * 0.5).sum();
                    prop_assert_eq!(y[t * n + r], exact, "integers and halves: float64 is exact");
                }
            }
        }
    }
}
