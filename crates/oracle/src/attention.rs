//! One layer's attention in float64, from the normed hidden state to the output projection, with a cache.
//!
//! ```text
//! q, k, v  = x Wqᵀ, x Wkᵀ, x Wvᵀ                          x [T][hidden] after the layer's input norm
//! q, k     = rope(rms_norm(q)), rope(rms_norm(k))         per head; then k and v are appended to the cache
//! ctx[i,h] = Σⱼ softmaxⱼ(q[i,h]·k[j,h/g] · scale) v[j,h/g]        j over the keys that the mask lets query i see
//! out      = ctx Woᵀ
//! ```
//!
//! [`Precision::Bf16`] runs the same mathematics with bfloat16 wherever an engine stores an intermediate: it says how large the error of such
//! an engine is when nothing else is wrong.
//!
//! SOURCE: huggingface/transformers `models/gemma3/modeling_gemma3.py`, Gemma3Attention.

use std::thread;

use crate::fp::{bf16_rne, widen};
use crate::mask::Mask;
use crate::model::{AttentionConfig, AttentionWeights, LayerKind, dot};
use crate::norm::rms_norm;
use crate::rope::Pairing;

/// Where values are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Nowhere.
    Exact,
    /// x, projections, q and k after norm and rotation, probabilities before they are divided by their sum, context and output are bfloat16.
    /// Norms, rotation tables, scores, maxima and sums are not rounded.
    Bf16,
}

impl Precision {
    fn round(self, x: &mut [f64]) {
        match self {
            Precision::Exact => {}
            Precision::Bf16 => x.iter_mut().for_each(|v| *v = round_bf16(*v)),
        }
    }
}

/// The nearest bfloat16.
pub fn round_bf16(x: f64) -> f64 {
    f64::from(widen(bf16_rne(x as f32)))
}

/// Which key-value head a query head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadOrder {
    /// Head h reads h / group: what Gemma does.
    #[default]
    Grouped,
    /// Head h reads h mod kv_heads: kept to show that the tests can tell.
    Tiled,
}

/// Why the reference refuses a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttentionError {
    /// Writing the new tokens would overwrite keys that the first of them still sees.
    #[error("a ring of {slots} slots cannot take {tokens} tokens at once with a window of {window}; it needs {needed}")]
    RingTooSmall {
        /// Slots of the ring.
        slots: usize,
        /// New tokens.
        tokens: usize,
        /// Keys a query sees.
        window: usize,
        /// Slots that would do.
        needed: usize,
    },
    /// A layer that sees every key cannot forget any.
    #[error("a global layer needs every key; a ring of {slots} slots forgets")]
    RingOnGlobalLayer {
        /// Slots of the ring.
        slots: usize,
    },
}

/// Keys and values of one layer: position p lies in slot p, or in slot p mod slots of a ring.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    row: usize,
    slots: Option<usize>,
    keys: Vec<f64>,
    values: Vec<f64>,
    positions: usize,
}

impl Cache {
    /// A cache that keeps everything.
    pub const fn linear(config: &AttentionConfig) -> Self {
        Self { row: config.kv_rows(), slots: None, keys: Vec::new(), values: Vec::new(), positions: 0 }
    }

    /// A cache that keeps the last `slots` positions.
    pub fn ring(config: &AttentionConfig, slots: usize) -> Self {
        let zeros = vec![0.0; slots * config.kv_rows()];
        Self { row: config.kv_rows(), slots: Some(slots), keys: zeros.clone(), values: zeros, positions: 0 }
    }

    /// Tokens seen so far: the position of the next one.
    pub const fn positions(&self) -> usize {
        self.positions
    }

    /// # Panics
    /// If the position was never written or has been overwritten.
    fn offset(&self, position: usize) -> usize {
        let oldest = self.slots.map_or(0, |slots| self.positions.saturating_sub(slots));
        assert!((oldest..self.positions).contains(&position), "position {position} is not in the cache");
        self.slots.map_or(position, |slots| position % slots) * self.row
    }

    /// Key of a position, `[kv_heads][head_dim]`.
    ///
    /// # Panics
    /// If the position is not held.
    pub fn key(&self, position: usize) -> &[f64] {
        &self.keys[self.offset(position)..][..self.row]
    }

    /// Value of a position.
    ///
    /// # Panics
    /// If the position is not held.
    pub fn value(&self, position: usize) -> &[f64] {
        &self.values[self.offset(position)..][..self.row]
    }

    /// Appends keys after norm and rotation, and values, each `[T][kv_heads][head_dim]`. A ring forgets the oldest.
    ///
    /// # Panics
    /// If they are not whole rows of the same number of tokens.
    pub fn append(&mut self, k: &[f64], v: &[f64]) {
        assert!(k.len() == v.len() && k.len().is_multiple_of(self.row), "keys and values of as many tokens");
        for (k, v) in k.chunks_exact(self.row).zip(v.chunks_exact(self.row)) {
            match self.slots {
                None => {
                    self.keys.extend_from_slice(k);
                    self.values.extend_from_slice(v);
                }
                Some(slots) => {
                    let at = self.positions % slots * self.row;
                    self.keys[at..at + self.row].copy_from_slice(k);
                    self.values[at..at + self.row].copy_from_slice(v);
                }
            }
            self.positions += 1;
        }
    }
}

/// Every intermediate of a step, row-major by token.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Queries after norm and rotation, `[T][heads][head_dim]`.
    pub q: Vec<f64>,
    /// Keys after norm and rotation, `[T][kv_heads][head_dim]`.
    pub k: Vec<f64>,
    /// Values, `[T][kv_heads][head_dim]`.
    pub v: Vec<f64>,
    /// Context, `[T][heads][head_dim]`.
    pub ctx: Vec<f64>,
    /// After the output projection, `[T][hidden]`.
    pub out: Vec<f64>,
}

/// The attention of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Sizes and constants.
    pub config: &'a AttentionConfig,
    /// Local or global.
    pub kind: LayerKind,
    /// Weights.
    pub weights: &'a AttentionWeights,
    /// Where values are rounded.
    pub precision: Precision,
    /// Elements that turn together.
    pub pairing: Pairing,
    /// Key-value head of a query head.
    pub head_order: HeadOrder,
}

impl<'a> Attention<'a> {
    /// The layer as Gemma 3 defines it.
    pub fn new(config: &'a AttentionConfig, kind: LayerKind, weights: &'a AttentionWeights) -> Self {
        let (pairing, head_order) = (Pairing::default(), HeadOrder::default());
        Self { config, kind, weights, precision: Precision::Exact, pairing, head_order }
    }

    /// The same layer with bfloat16 intermediates.
    pub fn in_bf16(self) -> Self {
        Self { precision: Precision::Bf16, ..self }
    }

    /// Attention of new tokens `x` `[T][hidden]`, which follow those in the cache: a prefill, a chunk of one, or a decode step.
    pub fn step(&self, x: &[f64], cache: &mut Cache) -> Result<Trace, AttentionError> {
        let config = self.config;
        let (first, tokens) = (cache.positions, x.len() / config.hidden);
        self.check_ring(cache, tokens)?;
        let mut x = x.to_vec();
        self.precision.round(&mut x);
        let project = |weights: &crate::model::Linear| {
            let mut y = weights.apply(&x);
            self.precision.round(&mut y);
            y
        };
        let [mut q, mut k, v] = [&self.weights.q, &self.weights.k, &self.weights.v].map(project);
        self.norm_and_rotate(&mut q, &self.weights.q_norm, config.q_rows(), first);
        self.norm_and_rotate(&mut k, &self.weights.k_norm, config.kv_rows(), first);
        cache.append(&k, &v);
        let mut ctx = self.context(&q, first, cache);
        self.precision.round(&mut ctx);
        let mut out = if tokens == 0 { Vec::new() } else { self.weights.o.apply(&ctx) };
        self.precision.round(&mut out);
        Ok(Trace { q, k, v, ctx, out })
    }

    fn check_ring(&self, cache: &Cache, tokens: usize) -> Result<(), AttentionError> {
        let Some(slots) = cache.slots else { return Ok(()) };
        let window = match self.kind {
            LayerKind::Global => return Err(AttentionError::RingOnGlobalLayer { slots }),
            LayerKind::Local => self.config.window,
        };
        // The first new query sees window - 1 old keys, and all new keys are written before it reads.
        let needed = window - 1 + tokens;
        if slots < needed {
            return Err(AttentionError::RingTooSmall { slots, tokens, window, needed });
        }
        Ok(())
    }

    fn norm_and_rotate(&self, rows: &mut [f64], weight: &[f64], width: usize, first: usize) {
        let rope = self.config.rope(self.kind);
        for (t, row) in rows.chunks_exact_mut(width).enumerate() {
            for head in row.chunks_exact_mut(self.config.head_dim) {
                rms_norm(head, weight, self.config.eps);
                rope.rotate(head, first + t, self.pairing);
            }
        }
        self.precision.round(rows);
    }

    /// Uses the machine's threads; their number does not change a bit of the result.
    fn context(&self, q: &[f64], first: usize, cache: &Cache) -> Vec<f64> {
        let width = self.config.q_rows();
        let mut ctx = vec![0.0; q.len()];
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // Small parts, dealt in turn: late tokens of a prefill see more keys than early ones.
        let mut parts: Vec<Vec<(usize, &[f64], &mut [f64])>> = (0..threads).map(|_| Vec::new()).collect();
        for (t, (q, ctx)) in q.chunks_exact(width).zip(ctx.chunks_exact_mut(width)).enumerate() {
            parts[t % threads].push((first + t, q, ctx));
        }
        thread::scope(|scope| {
            for part in parts {
                scope.spawn(move || part.into_iter().for_each(|(t, q, ctx)| self.context_of_token(t, q, cache, ctx)));
            }
        });
        ctx
    }

    fn context_of_token(&self, position: usize, q: &[f64], cache: &Cache, ctx: &mut [f64]) {
        let (config, d) = (self.config, self.config.head_dim);
        let scale = config.score_scale();
        for (head, (q, ctx)) in q.chunks_exact(d).zip(ctx.chunks_exact_mut(d)).enumerate() {
            let kv_head = match self.head_order {
                HeadOrder::Grouped => head / config.group(),
                HeadOrder::Tiled => head % config.kv_heads,
            };
            let keys = config.mask(self.kind).keys(position);
            let scores: Vec<f64> = keys.clone().map(|j| dot(q, &cache.key(j)[kv_head * d..][..d]) * scale).collect();
            let values = keys.map(|j| &cache.value(j)[kv_head * d..][..d]);
            weighted_mean(&scores, values, self.precision, ctx);
        }
    }
}

/// out = Σⱼ softmax(scores)ⱼ · valuesⱼ
fn weighted_mean<'v>(scores: &[f64], values: impl Iterator<Item = &'v [f64]>, precision: Precision, out: &mut [f64]) {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    out.fill(0.0);
    for (&score, value) in scores.iter().zip(values) {
        let mut p = [(score - max).exp()];
        sum += p[0];
        precision.round(&mut p);
        for (out, v) in out.iter_mut().zip(value) {
            *out += p[0] * v;
        }
    }
    out.iter_mut().for_each(|v| *v /= sum);
}

/// Attention alone: query heads of one key-value head over keys at positions `0..keys()`. The last query is the last position.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadProblem {
    /// Width of a head.
    pub head_dim: usize,
    /// What a query sees.
    pub mask: Mask,
    /// Scores are multiplied by this.
    pub scale: f64,
    /// Queries, `[group][T][head_dim]`.
    pub q: Vec<f64>,
    /// Query heads.
    pub group: usize,
    /// Keys, `[S][head_dim]`.
    pub k: Vec<f64>,
    /// Values, `[S][head_dim]`.
    pub v: Vec<f64>,
}

impl HeadProblem {
    /// Keys: history and new tokens.
    pub fn keys(&self) -> usize {
        self.k.len() / self.head_dim
    }
    /// New tokens.
    pub fn queries(&self) -> usize {
        self.q.len() / (self.group * self.head_dim)
    }
    /// Keys that were there before the first query's.
    pub fn history(&self) -> usize {
        self.keys() - self.queries()
    }

    fn key(&self, j: usize) -> &[f64] {
        &self.k[j * self.head_dim..][..self.head_dim]
    }
    fn value(&self, j: usize) -> &[f64] {
        &self.v[j * self.head_dim..][..self.head_dim]
    }

    /// Position of the query in row `row` of `q`.
    fn position(&self, row: usize) -> usize {
        self.history() + row % self.queries()
    }

    /// Scaled scores of row `row` of `q` with the keys of a range.
    pub fn scores(&self, row: usize, keys: std::ops::Range<usize>) -> Vec<f64> {
        let q = &self.q[row * self.head_dim..][..self.head_dim];
        keys.map(|j| dot(q, self.key(j)) * self.scale).collect()
    }

    /// The definition: all scores, their maximum, exponentials, one division. `[group][T][head_dim]`.
    pub fn direct(&self, precision: Precision) -> Vec<f64> {
        let mut ctx = vec![0.0; self.q.len()];
        for (row, out) in ctx.chunks_exact_mut(self.head_dim).enumerate() {
            let keys = self.mask.keys(self.position(row));
            weighted_mean(&self.scores(row, keys.clone()), keys.map(|j| self.value(j)), precision, out);
        }
        precision.round(&mut ctx);
        ctx
    }

    /// The same one block of keys after the other, with a running maximum m and sum l:
    ///
    /// ```text
    /// m' = max(m, max s)    l' = l·e^(m - m') + Σ e^(s - m')    o' = o·e^(m - m') + Σ e^(s - m') v        ctx = o / l
    /// ```
    ///
    /// # Panics
    /// If `block` is zero.
    // SOURCE: Milakov, Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867.
    pub fn online(&self, block: usize) -> Vec<f64> {
        assert!(block > 0, "a block holds a key");
        let mut ctx = vec![0.0; self.q.len()];
        for (row, out) in ctx.chunks_exact_mut(self.head_dim).enumerate() {
            let seen = self.mask.keys(self.position(row));
            let (mut max, mut sum) = (f64::NEG_INFINITY, 0.0);
            // Blocks lie on a grid of their own, so that the first and the last one may be cut by the mask.
            for start in (seen.start / block * block..seen.end).step_by(block) {
                let keys = start.max(seen.start)..(start + block).min(seen.end);
                let scores = self.scores(row, keys.clone());
                let larger = scores.iter().copied().fold(max, f64::max);
                let shrink = (max - larger).exp();
                sum *= shrink;
                out.iter_mut().for_each(|v| *v *= shrink);
                for (score, j) in scores.iter().zip(keys) {
                    let p = (score - larger).exp();
                    sum += p;
                    out.iter_mut().zip(self.value(j)).for_each(|(out, v)| *out += p * v);
                }
                max = larger;
            }
            out.iter_mut().for_each(|v| *v /= sum);
        }
        ctx
    }
}

/// ‖a - b‖ / ‖b‖.
///
/// # Panics
/// If the lengths differ.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "tensors of different sizes");
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    (difference / norm).sqrt()
}
