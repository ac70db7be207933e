//! The attention of one layer on the simulated array, kernel after kernel:
//!
//! ```text
//! x -> w8a16_qkv_projection -> norm_rope -> scaled_attention -> w8a16_o_projection            a prefill
//! x -> decode projection    -> norm_rope -> decode_attention -> decode projection             one to four positions
//! ```
//!
//! With an INT8 cache norm, rotation and attention are those of `norm_rope_kv8`, `scaled_attention_kv8` and `decode_attention_kv8`.
//!
//! Each kernel runs from the bytes of its PDI and TXN; the host carries buffers from one to the next unchanged. Operands are those of
//! the 27B's heads (32, 16 for keys and values, of 128) whatever the width of x.

use aie2_kernels::attention::scaled::{self, ScaledAttention};
use aie2_kernels::attention_decode::{self, DecodeAttention};
use aie2_kernels::decode_projection::DecodeProjection;
use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Call, Place};
use aie2_kernels::{Compiled, WeightScales, w8a16};
use anyhow::{Context, Result, bail, ensure};
use npu_package::layout::{
    Activations, DECODE_TOKENS, HeadNorm, KvFormat, KvHeads, KvRing, KvSegment, Panels, Plane, RopeLimbs, RopeTable,
};
use oracle::kv_int8;
use oracle::mask::Mask;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind, Linear, Values};

use crate::case::pack;
use crate::machine::{Binary, Loaded};

/// Width of a head.
pub const HEAD_DIM: usize = 128;
/// Query heads.
pub const HEADS: usize = 32;
/// Heads of keys and values.
pub const KV_HEADS: usize = 16;
const QKV_ROW: usize = (HEADS + 2 * KV_HEADS) * HEAD_DIM;

/// bfloat16 bits of little-endian bytes.
pub fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

/// Little-endian bytes.
pub fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|h| h.to_le_bytes()).collect()
}

/// Values of bfloat16 bits.
pub fn wide(bits: &[u16]) -> Vec<f64> {
    bits.iter().map(|b| f64::from(oracle::fp::widen(*b))).collect()
}

/// One layer, and where it keeps its keys and values.
pub struct Layer {
    config: AttentionConfig,
    kind: LayerKind,
    slots: usize,
    ring: Option<KvRing>,
    segment: KvSegment,
    panels: [Panels; 2],
    /// Weights operands of both projections.
    packed: [Vec<u8>; 2],
    norms: Vec<u8>,
    cache: Vec<u8>,
    positions: usize,
}

/// What the kernels wrote for the new positions: bfloat16 bits, `[token][..]`.
pub struct Step {
    /// Query, key and value projections, `[T][8192]`.
    pub qkv: Vec<u16>,
    /// Queries, normed, turned and times log₂ e · scale, `[T][32][128]`.
    pub q: Vec<u16>,
    /// Keys as they lie in the cache, `[T][16][128]`; codes of an INT8 cache times their scales, rounded.
    pub k: Vec<u16>,
    /// Values, as they lie there.
    pub v: Vec<u16>,
    /// `[T][32][128]`.
    pub ctx: Vec<u16>,
    /// `[T][hidden]`.
    pub out: Vec<u16>,
    /// Kernels in order and their modelled cycles.
    pub cycles: Vec<(String, u64)>,
}

/// Loads a kernel, fills its inputs and runs it.
fn dispatch(compiled: &Compiled, buffers: Vec<(String, usize)>, inputs: &[(&str, &[u8])]) -> Result<(Loaded, u64)> {
    let mut loaded = Loaded::new(&Binary { buffers, ..Binary::from(compiled) }, None)?;
    for (name, data) in inputs {
        loaded.write(name, data).with_context(|| format!("{}: operand {name}", compiled.kernel))?;
    }
    let ran = loaded.run().with_context(|| compiled.kernel.to_owned())?;
    Ok((loaded, ran.report.cycles))
}

fn operands(compiled: &Compiled) -> Vec<(String, usize)> {
    compiled.operands.iter().map(|o| (o.name.to_owned(), o.bytes)).collect()
}

/// Codes and scales of rows that share one scale per output channel.
fn channel_codes(linear: &Linear) -> Result<(&[i8], &[u16])> {
    match linear.values() {
        Values::Int8 { codes, scales, group } if *group == linear.k() => Ok((codes, scales)),
        Values::Int8 { group, .. } => bail!("one scale per {group} inputs; the kernels take one per output channel"),
        Values::Bf16(_) => bail!("weights are bfloat16; the kernels take INT8"),
    }
}

impl Layer {
    /// A layer without history. A global one holds `capacity` positions, a local one its window and chunks of up to `capacity`.
    ///
    /// # Errors
    /// Heads that are not those of the 27B, weights that are not INT8 with one scale per output channel, dimensions without a layout.
    pub fn new(config: &AttentionConfig, kind: LayerKind, weights: &AttentionWeights, capacity: usize) -> Result<Self> {
        Self::with_cache(KvFormat::Bf16, config, kind, weights, capacity)
    }

    /// The same with a cache of these elements.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_cache(
        format: KvFormat,
        config: &AttentionConfig,
        kind: LayerKind,
        weights: &AttentionWeights,
        capacity: usize,
    ) -> Result<Self> {
        let found = (config.heads, config.kv_heads, config.head_dim);
        ensure!(found == (HEADS, KV_HEADS, HEAD_DIM), "heads {found:?}; the array divides 32, 16 and a width of 128");
        let ring = match kind {
            LayerKind::Local => Some(KvRing::new(config.window, capacity)?),
            LayerKind::Global => None,
        };
        let slots = ring.map_or(capacity.next_multiple_of(8).max(16), |ring| ring.slots());
        let segment = KvSegment::new(KvHeads::new(KV_HEADS, HEAD_DIM, format)?, slots)?;
        let panels = [
            Panels::new(config.hidden, config.q_rows(), config.kv_rows(), config.kv_rows())?,
            Panels::output(config.q_rows(), config.hidden)?,
        ];
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        for linear in [&weights.q, &weights.k, &weights.v] {
            let (c, s) = channel_codes(linear)?;
            codes.extend_from_slice(c);
            scales.extend_from_slice(s);
        }
        let (o_codes, o_scales) = channel_codes(&weights.o)?;
        let packed = [pack(&panels[0], &codes, &scales)?, pack(&panels[1], o_codes, o_scales)?];
        let norm = HeadNorm::new(HEAD_DIM)?;
        let mut norms = vec![0; 2 * norm.bytes()];
        let scale = std::f64::consts::LOG2_E * config.score_scale();
        for ((w, scale), out) in
            [(&weights.q_norm, scale), (&weights.k_norm, 1.0)].into_iter().zip(norms.chunks_exact_mut(norm.bytes()))
        {
            norm.fill(w, scale, out)?;
        }
        let cache = vec![0; segment.bytes()];
        Ok(Self { config: *config, kind, slots, ring, segment, panels, packed, norms, cache, positions: 0 })
    }

    /// Positions in the cache.
    pub fn positions(&self) -> usize {
        self.positions
    }

    fn format(&self) -> KvFormat {
        self.segment.heads().format()
    }

    fn slot(&self, position: usize) -> usize {
        self.ring.map_or(position, |ring| ring.slot(position))
    }

    /// Appends keys after norm and rotation, and values, `[T][16][128]`, as if a prefill had written them.
    ///
    /// # Errors
    /// More positions than a global layer holds.
    pub fn append(&mut self, k: &[u16], v: &[u16]) -> Result<()> {
        let row = KV_HEADS * HEAD_DIM;
        for (k, v) in k.chunks_exact(row).zip(v.chunks_exact(row)) {
            let slot = self.slot(self.positions);
            ensure!(slot < self.slots, "the cache holds {} positions", self.slots);
            for (plane, values) in [(Plane::Key, k), (Plane::Value, v)] {
                for (head, row) in values.chunks_exact(HEAD_DIM).enumerate() {
                    let scale_at = self.segment.scale_offset(plane, head, slot);
                    let elements: Vec<Vec<u8>> = if let Some(at) = scale_at {
                        let (codes, scale) = kv_int8::codes(row);
                        self.cache[at..at + 4].copy_from_slice(&scale.to_le_bytes());
                        codes.into_iter().map(|code| code.to_le_bytes().to_vec()).collect()
                    } else {
                        row.iter().map(|value| value.to_le_bytes().to_vec()).collect()
                    };
                    for (d, element) in elements.into_iter().enumerate() {
                        let at = self.segment.offset(plane, head, slot, d);
                        self.cache[at..at + element.len()].copy_from_slice(&element);
                    }
                }
            }
            self.positions += 1;
        }
        Ok(())
    }

    /// Keys or values of a range of positions, `[T][16][128]`, as [`Step`] has them; those a ring has overwritten are not the ones asked for.
    pub fn cached(&self, plane: Plane, positions: std::ops::Range<usize>) -> Vec<u16> {
        let mut out = Vec::with_capacity(positions.len() * KV_HEADS * HEAD_DIM);
        for position in positions {
            let slot = self.slot(position);
            for i in 0..KV_HEADS * HEAD_DIM {
                let head = i / HEAD_DIM;
                let at = self.segment.offset(plane, head, slot, i % HEAD_DIM);
                out.push(match self.segment.scale_offset(plane, head, slot) {
                    None => u16::from_le_bytes([self.cache[at], self.cache[at + 1]]),
                    Some(scale) => {
                        let scale = f32::from_le_bytes(std::array::from_fn(|byte| self.cache[scale + byte]));
                        kv_int8::operand(self.cache[at] as i8, scale)
                    }
                });
            }
        }
        out
    }

    /// What a query of this layer sees.
    pub fn mask(&self) -> Mask {
        self.config.mask(self.kind)
    }

    /// A prefill, or a chunk of one: `x` is `[T][hidden]`.
    ///
    /// # Errors
    /// A shape without a kernel, or a fault of the array.
    pub fn prefill(&mut self, x: &[u16]) -> Result<Step> {
        self.step(x, false)
    }

    /// One to four positions through the kernels for decoding.
    ///
    /// # Errors
    /// A shape without a kernel, or a fault of the array.
    pub fn decode(&mut self, x: &[u16]) -> Result<Step> {
        self.step(x, true)
    }

    fn step(&mut self, x: &[u16], decode: bool) -> Result<Step> {
        let (tokens, history) = (x.len() / self.config.hidden, self.positions);
        let mut cycles = Vec::new();
        let mut qkv = self.project(0, x, tokens, decode, &mut cycles)?;
        qkv.truncate(tokens * QKV_ROW);
        let q = self.norm_rope(&qkv, tokens, &mut cycles)?;
        self.positions += tokens;
        let (k, v) =
            (self.cached(Plane::Key, history..self.positions), self.cached(Plane::Value, history..self.positions));
        let mut ctx = self.attend(&q, history, tokens, decode, &mut cycles)?;
        ctx.truncate(tokens * HEADS * HEAD_DIM);
        let mut out = self.project(1, &ctx, tokens, decode, &mut cycles)?;
        out.truncate(tokens * self.config.hidden);
        Ok(Step { qkv, q, k, v, ctx, out, cycles })
    }

    fn project(
        &self,
        which: usize,
        x: &[u16],
        tokens: usize,
        decode: bool,
        cycles: &mut Vec<(String, u64)>,
    ) -> Result<Vec<u16>> {
        let panels = self.panels[which];
        let (input, output) = panels.kind().operands();
        let compiled = if decode {
            ensure!(tokens <= DECODE_TOKENS, "{tokens} positions; decoding takes at most {DECODE_TOKENS}");
            DecodeProjection::new(tokens, panels, Activations::Int16, WeightScales::PerChannel)?.compile()?
        } else {
            w8a16::projection(tokens, panels, WeightScales::PerChannel)?.compile()?
        };
        let inputs = [(input, &bytes(x)[..]), ("weights", &self.packed[which])];
        let (loaded, spent) = dispatch(&compiled, operands(&compiled), &inputs)?;
        cycles.push((compiled.kernel.to_owned(), spent));
        Ok(halves(&loaded.read(output)?))
    }

    fn norm_rope(&mut self, qkv: &[u16], tokens: usize, cycles: &mut Vec<(String, u64)>) -> Result<Vec<u16>> {
        let place = |arg| Place { arg, offset: 0 };
        let runs = match self.ring {
            Some(ring) => CacheRun::ring(place(4), self.segment, ring, self.positions, tokens)?,
            None => vec![CacheRun { place: place(4), segment: self.segment, slot: self.positions, tokens }],
        };
        let buffers = Buffers { qkv: place(0), weights: place(1), tables: place(2), q: place(3) };
        let call = match self.format() {
            KvFormat::Bf16 => Call::new(buffers, runs)?,
            KvFormat::Int8 => Call::kv8(buffers, place(5), runs)?,
        };
        let compiled = norm_rope::compile(std::slice::from_ref(&call))?;
        let rope = self.config.rope(self.kind);
        let table = RopeTable::new(HEAD_DIM, rope.theta, rope.factor, RopeLimbs::Two)?;
        let mut tables = vec![0; table.bytes(call.tables())?];
        table.fill(self.positions, &mut tables)?;
        let buffers = [
            ("qkv", 2 * qkv.len()),
            ("weights", self.norms.len()),
            ("tables", tables.len()),
            ("q", 2 * tokens * HEADS * HEAD_DIM),
            ("cache", self.cache.len()),
        ];
        let scratch = (self.format() == KvFormat::Int8).then_some(("scratch", norm_rope::SCRATCH_BYTES));
        let buffers = buffers.into_iter().chain(scratch).map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        let inputs = [
            ("qkv", &bytes(qkv)[..]),
            ("weights", &self.norms[..]),
            ("tables", &tables[..]),
            ("cache", &self.cache[..]),
        ];
        let (loaded, spent) = dispatch(&compiled, buffers, &inputs)?;
        cycles.push((compiled.kernel.to_owned(), spent));
        self.cache = loaded.read("cache")?;
        Ok(halves(&loaded.read("q")?))
    }

    fn attend(
        &self,
        q: &[u16],
        history: usize,
        tokens: usize,
        decode: bool,
        cycles: &mut Vec<(String, u64)>,
    ) -> Result<Vec<u16>> {
        let (compiled, plan) = if decode {
            let cache = match self.ring {
                Some(ring) => attention_decode::Cache::Local(ring),
                None => attention_decode::Cache::Global { slots: self.slots },
            };
            let kernel = DecodeAttention::new(*self.segment.heads(), HEADS, cache, history, tokens)?;
            (kernel.compile()?, kernel.plan_bytes().to_vec())
        } else {
            let cache = match self.ring {
                Some(ring) => scaled::Cache::Ring(ring),
                None => scaled::Cache::linear(self.slots)?,
            };
            let new = match self.format() {
                KvFormat::Bf16 => ScaledAttention::new,
                KvFormat::Int8 => ScaledAttention::kv8,
            };
            let kernel = new(tokens, history, KV_HEADS, cache)?;
            (kernel.compile()?, kernel.plan())
        };
        let inputs = [("q", &bytes(q)[..]), ("cache", &self.cache[..]), ("plan", &plan[..])];
        let (loaded, spent) = dispatch(&compiled, operands(&compiled), &inputs)?;
        cycles.push((compiled.kernel.to_owned(), spent));
        Ok(halves(&loaded.read("ctx")?))
    }
}
