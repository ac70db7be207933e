//! Kernels of attention: operands of random data, the specification's answer, float64.

use std::thread;

use aie2_sim::RunReport;
use anyhow::{Context as _, Result, bail};
use npu_package::layout::{
    HeadNorm, KV_GROUP_SLOTS, KvFormat, KvHeads, KvRing, KvRun, KvSegment, Plane, RopeLimbs, RopeTable,
};
use npu_package::{Context, Direction, Kernel, Layer, ModelDims, Package};
use oracle::attention::{HeadProblem, Precision};
use oracle::data::{Rng, activations};
use oracle::flash::{Coded, HEAD_DIM};
use oracle::flash_decode::{self, Block, CodedBlock, HEADS, KEYS, POSITIONS, Stream};
use oracle::fp::{bf16_rne, widen};
use oracle::kv_int8;
use oracle::mask::Mask;
use oracle::model::{AttentionConfig, LayerKind};
use oracle::norm::rms_norm;
use oracle::rope::Pairing;
use oracle::w8a8::relative_frobenius;
use serde::Serialize;

use crate::machine::Loaded;

/// bf16 multiply-accumulates of the array per cycle.
// SOURCE: AM020 ch. 4: 128 per compute tile, 16 tiles.
const MACS_PER_CYCLE: u64 = 2048;
/// Bytes that all the shims read per cycle at most.
// SOURCE: AM020 ch. 2: 4 bytes per stream and cycle, two channels in each of four columns.
const READ_BYTES_PER_CYCLE: f64 = 32.0;
/// Largest accepted relative Frobenius error against float64 from the same bf16 operands.
pub const REL_ERROR_MAX: f64 = 0.5e-2;
/// The same where the cache holds INT8 codes of what the bf16 operands are.
pub const REL_ERROR_MAX_KV8: f64 = 1.5e-2;
/// Deviation of the scores in octaves.
const SCORE_OCTAVES: f32 = 3.0;
/// Positions from which not every head is compared with the specification, and how many then are.
const MANY_POSITIONS: usize = 256;
const SAMPLED_HEADS: usize = 4;

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    NormRope,
    Prefill,
    Decode,
}

fn what(kernel: &Kernel) -> Option<What> {
    match kernel.kernel.as_str() {
        "norm_rope" | "norm_rope_kv8" => Some(What::NormRope),
        "scaled_attention" | "scaled_attention_kv8" => Some(What::Prefill),
        "decode_attention" | "decode_attention_kv8" => Some(What::Decode),
        _ => None,
    }
}

/// Whether a kernel is one of attention.
pub fn is_attention(kernel: &Kernel) -> bool {
    what(kernel).is_some()
}

/// Operands of one dispatch.
pub struct AttentionCase {
    what: What,
    model: ModelDims,
    context: Context,
    seq: usize,
    segment: KvSegment,
    ring: Option<KvRing>,
    /// `[S][heads][128]`, or rows of the projection.
    rows: Vec<u16>,
    /// `[slots][kv heads][128]` each.
    keys: Vec<u16>,
    values: Vec<u16>,
    norms: [Vec<f64>; 2],
    inputs: Vec<(String, Vec<u8>)>,
}

/// How outputs compare.
pub struct Compared {
    /// Outputs compared with the specification.
    pub outputs: usize,
    /// Those that differ.
    pub differing: usize,
    /// Relative Frobenius error against float64 from the same bf16 operands.
    pub rel_f64: f64,
    /// Largest error over the root mean square of the exact outputs.
    pub max_over_rms: f64,
}

fn bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn wide(values: &[u16]) -> Vec<f64> {
    values.iter().map(|v| f64::from(widen(*v))).collect()
}

impl AttentionCase {
    /// Random queries, keys and values from a seed; what the package holds of the other inputs.
    pub fn random(package: &Package, kernel: &Kernel, seed: u64) -> Result<Self> {
        let what = what(kernel).with_context(|| format!("{} is no kernel of attention", kernel.kernel))?;
        Self::part(package, kernel, what, seed)
    }

    /// What `norm_rope` takes of a kernel that has it as a phase, but its rows.
    pub fn norm_rope(package: &Package, kernel: &Kernel, seed: u64) -> Result<Self> {
        Self::part(package, kernel, What::NormRope, seed)
    }

    /// The rows that norm and rotation take.
    pub fn set_rows(&mut self, rows: Vec<u16>) {
        self.rows = rows;
    }

    /// The attention behind norm and rotation: queries as they left them, keys and values as they stand in the cache.
    pub fn behind(&self, q: Vec<u16>, cache: &[u16]) -> Self {
        let heads = self.model.kv_heads;
        let rows = |plane| {
            let element = |i: usize| {
                let (d, head, slot) = (i % HEAD_DIM, i / HEAD_DIM % heads, i / HEAD_DIM / heads);
                cache[self.segment.offset(plane, head, slot, d) / 2]
            };
            (0..self.context.slots * heads * HEAD_DIM).map(element).collect()
        };
        Self {
            what: What::Prefill,
            rows: q,
            keys: rows(Plane::Key),
            values: rows(Plane::Value),
            model: self.model.clone(),
            norms: self.norms.clone(),
            inputs: Vec::new(),
            ..*self
        }
    }

    fn part(package: &Package, kernel: &Kernel, what: What, seed: u64) -> Result<Self> {
        let context = kernel.context.with_context(|| format!("{} has no context in the manifest", kernel.kernel))?;
        let model = package.manifest().model.clone();
        if model.head_dim != HEAD_DIM || model.heads != HEADS * model.kv_heads {
            bail!("no specification for {} heads of {} over {}", model.heads, model.head_dim, model.kv_heads);
        }
        let format = if kernel.kernel.ends_with("_kv8") { KvFormat::Int8 } else { KvFormat::Bf16 };
        let segment = KvSegment::new(KvHeads::new(model.kv_heads, model.head_dim, format)?, context.slots)?;
        let ring = context.window.map(|window| ring_of(window, context.slots)).transpose()?;
        let row = match what {
            What::NormRope => (model.heads + 2 * model.kv_heads) * HEAD_DIM,
            What::Prefill | What::Decode => model.heads * HEAD_DIM,
        };
        let scale = match what {
            What::NormRope => 1.0,
            What::Prefill | What::Decode => SCORE_OCTAVES / (HEAD_DIM as f32).sqrt(),
        };
        let rows = activations(seed, kernel.seq * row).into_iter().map(|x| bf16_rne(widen(x) * scale)).collect();
        let of_slots = |seed| activations(seed, context.slots * model.kv_heads * HEAD_DIM);
        let mut rng = Rng::new(seed + 3);
        let norms = [0, 1].map(|_| (0..HEAD_DIM).map(|_| f64::from(widen(bf16_rne(0.3 * rng.normal())))).collect());
        let (keys, values) = (of_slots(seed + 1), of_slots(seed + 2));
        let seq = kernel.seq;
        let mut case = Self { what, model, context, seq, segment, ring, rows, keys, values, norms, inputs: Vec::new() };
        for operand in kernel.operands() {
            let contents = match (operand.name, operand.file) {
                (_, Some(file)) => package.read_file(file)?,
                ("q" | "qkv", None) if operand.argument.direction == Direction::In => bytes(&case.rows),
                ("cache", None) => case.cache(),
                ("norms", None) => case.norm_records()?,
                ("rotations", None) => case.rotations(usize::try_from(operand.bytes)?)?,
                _ => continue,
            };
            case.inputs.push((operand.name.to_owned(), contents));
        }
        Ok(case)
    }

    /// Fills the kernel's inputs.
    pub fn write_to(&self, loaded: &mut Loaded) -> Result<()> {
        self.inputs.iter().try_for_each(|(name, contents)| loaded.write(name, contents))
    }

    /// Whether the cache holds codes.
    fn coded(&self) -> bool {
        self.segment.heads().format() == KvFormat::Int8
    }

    fn cache(&self) -> Vec<u8> {
        let mut cache = vec![0; self.segment.bytes()];
        let heads = self.model.kv_heads;
        if self.coded() {
            for (plane, rows) in [(Plane::Key, &self.keys), (Plane::Value, &self.values)] {
                for (i, row) in rows.chunks_exact(HEAD_DIM).enumerate() {
                    let (head, slot, (codes, scale)) = (i % heads, i / heads, kv_int8::codes(row));
                    let codes = codes.into_iter().enumerate();
                    codes.for_each(|(d, code)| cache[self.segment.offset(plane, head, slot, d)] = code as u8);
                    let at = self.segment.scale_offset(plane, head, slot).into_iter();
                    at.for_each(|at| cache[at..at + 4].copy_from_slice(&scale.to_le_bytes()));
                }
            }
            return cache;
        }
        for (plane, rows) in [(Plane::Key, &self.keys), (Plane::Value, &self.values)] {
            for (i, element) in rows.iter().enumerate() {
                let (d, head, slot) = (i % HEAD_DIM, i / HEAD_DIM % heads, i / HEAD_DIM / heads);
                let at = self.segment.offset(plane, head, slot, d);
                cache[at..at + 2].copy_from_slice(&element.to_le_bytes());
            }
        }
        cache
    }

    /// What turns a product of q and k into units of log₂ of a probability.
    fn query_scale() -> f64 {
        std::f64::consts::LOG2_E * AttentionConfig::gemma3_27b().score_scale()
    }

    fn kind(&self) -> LayerKind {
        match self.context.layer {
            Layer::Local => LayerKind::Local,
            Layer::Global => LayerKind::Global,
        }
    }

    fn norm_records(&self) -> Result<Vec<u8>> {
        let norm = HeadNorm::new(HEAD_DIM)?;
        let mut out = vec![0; 2 * norm.bytes()];
        let scales = [Self::query_scale(), 1.0];
        for ((w, scale), out) in self.norms.iter().zip(scales).zip(out.chunks_exact_mut(norm.bytes())) {
            norm.fill(w, scale, out)?;
        }
        Ok(out)
    }

    fn rotations(&self, bytes: usize) -> Result<Vec<u8>> {
        let rope = AttentionConfig::gemma3_27b().rope(self.kind());
        let mut out = vec![0; bytes];
        RopeTable::new(HEAD_DIM, rope.theta, rope.factor, RopeLimbs::Two)?.fill(self.context.history, &mut out)?;
        Ok(out)
    }

    fn mask(&self) -> Mask {
        self.context.window.map_or(Mask::causal(), Mask::sliding)
    }

    fn slot(&self, position: usize) -> usize {
        self.ring.map_or(position, |ring| ring.slot(position))
    }

    fn end(&self) -> usize {
        self.context.history + self.seq
    }

    /// Heads that are compared: all, or some of a long call.
    pub fn heads(&self) -> Vec<usize> {
        let all = self.model.kv_heads;
        let step = if self.seq > MANY_POSITIONS { all.div_ceil(SAMPLED_HEADS) } else { 1 };
        (0..all).step_by(step).map(|head| (head + head / step) % all).collect()
    }

    /// Runs the specification beside what the array gave.
    pub fn compare(&self, loaded: &Loaded) -> Result<Compared> {
        match self.what {
            What::NormRope => self.compare_norm_rope(loaded),
            What::Prefill | What::Decode => self.compare_contexts(&halves(&loaded.read("ctx")?)),
        }
    }

    fn compare_norm_rope(&self, loaded: &Loaded) -> Result<Compared> {
        let (q, bytes) = (halves(&loaded.read("q")?), loaded.read("cache")?);
        let cache = if self.coded() { Vec::new() } else { halves(&bytes) };
        let records = halves(&self.norm_records()?);
        let tables = halves(&self.rotations(self.seq * 8 * HEAD_DIM)?);
        let (heads, kv_heads) = (self.model.heads, self.model.kv_heads);
        let rope = AttentionConfig::gemma3_27b().rope(self.kind());
        let (mut got, mut want, mut exact) = (Vec::new(), Vec::new(), Vec::new());
        // what is stored means, and scales that differ
        let (mut values, mut scales) = (Vec::new(), 0);
        for (token, row) in self.rows.chunks_exact((heads + 2 * kv_heads) * HEAD_DIM).enumerate() {
            let (position, table) = (self.context.history + token, &tables[token * 4 * HEAD_DIM..][..4 * HEAD_DIM]);
            for (head, x) in row.chunks_exact(HEAD_DIM).enumerate() {
                let is_key = usize::from(head >= heads);
                let weights = &records[is_key * 2 * HEAD_DIM..][..2 * HEAD_DIM];
                let turned = head < heads + kv_heads;
                let mut y = wide(x);
                if turned {
                    want.extend(oracle::norm_rope::norm_rope(x, weights, table));
                    rms_norm(&mut y, &self.norms[is_key], 1e-6);
                    rope.rotate(&mut y, position, Pairing::Halves);
                } else {
                    want.extend_from_slice(x);
                }
                exact.extend(y.iter().map(|y| if is_key == 0 { y * Self::query_scale() } else { *y }));
                if is_key == 0 {
                    let row = &q[(token * heads + head) * HEAD_DIM..][..HEAD_DIM];
                    got.extend_from_slice(row);
                    values.extend(wide(row));
                } else {
                    let plane = if turned { Plane::Key } else { Plane::Value };
                    let head = (head - heads) % kv_heads;
                    let slot = self.slot(position);
                    if let Some(at) = self.segment.scale_offset(plane, head, slot) {
                        // compared as codes, which take the place of the row, and scales behind them
                        let row = want.split_off(want.len() - HEAD_DIM);
                        let (codes, scale) = kv_int8::codes(&row);
                        let as_bits = |code: i8| kv_int8::code_bf16(code);
                        want.extend(codes.into_iter().map(as_bits));
                        let code = |d| bytes[self.segment.offset(plane, head, slot, d)] as i8;
                        got.extend((0..HEAD_DIM).map(|d| as_bits(code(d))));
                        let found = f32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
                        values.extend((0..HEAD_DIM).map(|d| f64::from(code(d)) * f64::from(found)));
                        scales += usize::from(found.to_bits() != scale.to_bits());
                        continue;
                    }
                    let at = |d| self.segment.offset(plane, head, slot, d) / 2;
                    let row: Vec<u16> = (0..HEAD_DIM).map(|d| cache[at(d)]).collect();
                    values.extend(wide(&row));
                    got.extend(row);
                }
            }
        }
        let mut found = compared_as(&got, &want, &values, &exact);
        found.differing += scales;
        Ok(found)
    }

    fn compare_contexts(&self, ctx: &[u16]) -> Result<Compared> {
        let heads = self.heads();
        let answer = |head: usize| -> Result<(Vec<u16>, Vec<f64>)> {
            let want = match self.what {
                What::Decode => self.decoded(head)?,
                What::Prefill | What::NormRope => {
                    let (keys, values) = (self.of_positions(&self.keys, head), self.of_positions(&self.values, head));
                    let (q, mask) = (self.of_head(&self.rows, head), self.mask());
                    if self.coded() {
                        let [keys, values] = [&keys, &values].map(|rows| coded_rows(rows));
                        let [k, v] = [&keys, &values].map(|(codes, scales)| Coded { codes, scales });
                        oracle::flash::head_coded(&q, HEADS, k, v, &mask)
                    } else {
                        oracle::flash::head(&q, HEADS, &keys, &values, &mask)
                    }
                }
            };
            Ok((want, self.exact(head)))
        };
        let half = heads.len().div_ceil(2);
        let answers: Vec<(Vec<u16>, Vec<f64>)> = thread::scope(|scope| {
            let workers: Vec<_> = heads
                .chunks(half)
                .map(|heads| scope.spawn(|| heads.iter().map(|&head| answer(head)).collect::<Result<Vec<_>>>()))
                .collect();
            // PANIC: a worker only computes; its own panic is this crate's bug and is passed on.
            let joined = workers.into_iter().map(|worker| worker.join().expect("a specification panicked"));
            Ok::<_, anyhow::Error>(joined.collect::<Result<Vec<_>>>()?.concat())
        })?;
        let got: Vec<u16> = heads.iter().flat_map(|&head| self.of_head(ctx, head)).collect();
        let (want, exact): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        Ok(compared(&got, &want.concat(), &exact.concat()))
    }

    /// Rows of one key-value head: `[S][2][128]`.
    fn of_head(&self, rows: &[u16], head: usize) -> Vec<u16> {
        let width = HEADS * HEAD_DIM;
        rows.chunks_exact(self.model.kv_heads * width).flat_map(|row| row[head * width..][..width].to_vec()).collect()
    }

    /// Keys or values of one head by position, `[positions][128]`; those that the ring has lost are what took their slot.
    fn of_positions(&self, slots: &[u16], head: usize) -> Vec<u16> {
        (0..self.end()).flat_map(|position| self.of_slot(slots, self.slot(position), head).to_vec()).collect()
    }

    fn of_slot<'a>(&self, slots: &'a [u16], slot: usize, head: usize) -> &'a [u16] {
        &slots[(slot * self.model.kv_heads + head) * HEAD_DIM..][..HEAD_DIM]
    }

    fn exact(&self, head: usize) -> Vec<f64> {
        let by_query_head = |rows: Vec<u16>| -> Vec<f64> {
            let row = |h: usize, token: usize| wide(&rows[(HEADS * token + h) * HEAD_DIM..][..HEAD_DIM]);
            (0..HEADS).flat_map(|h| (0..self.seq).flat_map(move |token| row(h, token))).collect()
        };
        let problem = HeadProblem {
            head_dim: HEAD_DIM,
            mask: self.mask(),
            scale: std::f64::consts::LN_2,
            q: by_query_head(self.of_head(&self.rows, head)),
            group: HEADS,
            k: wide(&self.of_positions(&self.keys, head)),
            v: wide(&self.of_positions(&self.values, head)),
        };
        let out = problem.direct(Precision::Exact);
        let row = |token: usize, h: usize| &out[(h * self.seq + token) * HEAD_DIM..][..HEAD_DIM];
        (0..self.seq).flat_map(|token| (0..HEADS).flat_map(move |h| row(token, h).to_vec())).collect()
    }

    /// What the core of a key-value head makes of the cache: blocks of 16 slots, the first half of them on stream A, the second on B.
    fn decoded(&self, head: usize) -> Result<Vec<u16>> {
        let history = self.context.history;
        let runs = match self.ring {
            Some(ring) => ring.reads(history, self.seq)?,
            None => vec![KvRun { slot: 0, position: 0, slots: self.end().next_multiple_of(KV_GROUP_SLOTS) }],
        };
        let mut blocks = Vec::new();
        for run in runs {
            let mut next = run.slot;
            while next < run.slot + run.slots {
                let first = next.min(self.segment.slots() - KEYS);
                let sees = |key: usize, s: usize| {
                    let slot = first + key;
                    let query = history + if s < self.seq { s } else { 0 };
                    (next..run.slot + run.slots).contains(&slot)
                        && self.mask().sees(query, run.position + slot - run.slot)
                };
                let rows = |rows| (0..KEYS).flat_map(|key| self.of_slot(rows, first + key, head).to_vec()).collect();
                blocks.push(Block {
                    keys: rows(&self.keys),
                    values: rows(&self.values),
                    hidden: std::array::from_fn(|key| std::array::from_fn(|s| !sees(key, s))),
                });
                next = first + KEYS;
            }
        }
        let turns = blocks.len().div_ceil(2);
        let mut second = blocks.split_off(turns);
        if second.len() < turns {
            let last = second.last().or(blocks.last()).context("a query sees its own key")?.clone();
            second.push(Block { hidden: [[true; POSITIONS]; KEYS], ..last });
        }
        let streams = [&blocks, &second];
        let ordered = (0..turns).flat_map(|turn| {
            flash_decode::order(head % 4, head / 4).map(|stream| match stream {
                Stream::A => &streams[0][turn],
                Stream::B => &streams[1][turn],
            })
        });
        // rows [head][position]; positions that are not there are the first one again
        let rows = self.of_head(&self.rows, head);
        let token = |s: usize| if s < self.seq { s } else { 0 };
        let place = |h: usize, s: usize| (HEADS * token(s) + h) * HEAD_DIM;
        let q: Vec<u16> = (0..HEADS * POSITIONS)
            .flat_map(|row| rows[place(row / POSITIONS, row % POSITIONS)..][..HEAD_DIM].to_vec())
            .collect();
        let out = if self.coded() {
            let blocks: Vec<CodedBlock> = ordered.map(coded_block).collect();
            flash_decode::attend_coded(&q, &blocks)
        } else {
            flash_decode::attend(&q, ordered)
        };
        let row = |s: usize, h: usize| &out[(h * POSITIONS + s) * HEAD_DIM..][..HEAD_DIM];
        Ok((0..self.seq).flat_map(|s| (0..HEADS).flat_map(move |h| row(s, h).to_vec())).collect())
    }

    /// Multiply-accumulates of the pairs of positions and keys that are seen.
    fn macs(&self) -> u64 {
        match self.what {
            What::NormRope => 0,
            What::Prefill | What::Decode => {
                2 * self.mask().pairs(self.context.history..self.end()) * (self.model.heads * HEAD_DIM) as u64
            }
        }
    }

    /// Bytes of keys and values of all positions that are seen.
    fn cache_bytes(&self) -> u64 {
        let first = self.mask().keys(self.context.history).start;
        ((self.end() - first) * self.segment.heads().token_bytes()) as u64
    }
}

/// Codes and scales of rows of 128.
fn coded_rows(rows: &[u16]) -> (Vec<i8>, Vec<f32>) {
    let (codes, scales): (Vec<_>, Vec<_>) = rows.chunks_exact(HEAD_DIM).map(kv_int8::codes).unzip();
    (codes.concat(), scales)
}

/// Codes and scales of a block.
fn coded_block(block: &Block) -> CodedBlock {
    let rows = |rows: &[u16]| {
        let (codes, scales) = coded_rows(rows);
        (codes, std::array::from_fn(|key| scales[key]))
    };
    let ((keys, key_scales), (values, value_scales)) = (rows(&block.keys), rows(&block.values));
    CodedBlock { keys, key_scales, values, value_scales, hidden: block.hidden }
}

/// The ring whose segment has so many slots: the window and the chunk that fills them.
fn ring_of(window: usize, slots: usize) -> Result<KvRing> {
    let chunk = slots.checked_sub(window + 6).filter(|chunk| *chunk > 0);
    let ring = KvRing::new(window, chunk.with_context(|| format!("{slots} slots hold no window of {window}"))?)?;
    if ring.slots() != slots {
        bail!("no ring for a window of {window} has {slots} slots");
    }
    Ok(ring)
}

fn compared(got: &[u16], want: &[u16], exact: &[f64]) -> Compared {
    compared_as(got, want, &wide(got), exact)
}

/// The same where outputs stand for other `values`.
fn compared_as(got: &[u16], want: &[u16], values: &[f64], exact: &[f64]) -> Compared {
    let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
    let differing = got.iter().zip(want).filter(|(a, b)| a != b && !(nan(**a) && nan(**b))).count();
    let rms = (exact.iter().map(|x| x * x).sum::<f64>() / exact.len().max(1) as f64).sqrt();
    let largest = values.iter().zip(exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let rel_f64 = relative_frobenius(values.iter().copied(), exact.iter().copied());
    Compared { outputs: want.len(), differing, rel_f64, max_over_rms: largest / rms }
}

/// One kernel of attention, as verify and bench print it.
#[derive(Clone, Debug, Serialize)]
pub struct AttentionRow {
    /// Kernel name.
    pub kernel: String,
    /// New tokens.
    pub seq: usize,
    /// Layer, history and cache.
    pub context: Context,
    /// Every compared output bit as specified.
    pub bit_equal: bool,
    /// Outputs that differ.
    pub differing: usize,
    /// Outputs compared.
    pub outputs: usize,
    /// Relative Frobenius error against float64 from the same bf16 operands.
    pub rel_error_f64: f64,
    /// Largest error over the root mean square of the exact outputs.
    pub max_error_over_rms: f64,
    /// Array cycles of the dispatch, modelled.
    pub array_cycles: u64,
    /// Multiply-accumulates of the pairs that are seen.
    pub macs: u64,
    /// Those over what 16 tiles can do in the cycles.
    pub mac_utilisation: f64,
    /// Bytes of the keys and values that are seen.
    pub cache_bytes: u64,
    /// Those per cycle, over what all the shims can read.
    pub read_utilisation: f64,
    /// Bytes read from DDR.
    pub ddr_read_bytes: u64,
    /// Bytes written to DDR.
    pub ddr_write_bytes: u64,
    /// Seconds on this host.
    pub wall_s: f64,
}

impl AttentionRow {
    /// Collects a row.
    pub fn new(kernel: &Kernel, case: &AttentionCase, run: &RunReport, wall_s: f64, found: &Compared) -> Self {
        let (macs, cache_bytes) = (case.macs(), case.cache_bytes());
        Self {
            kernel: kernel.kernel.clone(),
            seq: kernel.seq,
            context: case.context,
            bit_equal: found.differing == 0,
            differing: found.differing,
            outputs: found.outputs,
            rel_error_f64: found.rel_f64,
            max_error_over_rms: found.max_over_rms,
            array_cycles: run.cycles,
            macs,
            mac_utilisation: macs as f64 / (run.cycles * MACS_PER_CYCLE) as f64,
            cache_bytes,
            read_utilisation: cache_bytes as f64 / (run.cycles as f64 * READ_BYTES_PER_CYCLE),
            ddr_read_bytes: run.ddr_read_bytes(),
            ddr_write_bytes: run.ddr_written_bytes(),
            wall_s,
        }
    }

    /// Largest accepted error of the kernel.
    fn rel_error_max(&self) -> f64 {
        if self.kernel.ends_with("_kv8") { REL_ERROR_MAX_KV8 } else { REL_ERROR_MAX }
    }

    /// Whether the row is what it must be.
    pub fn accepted(&self) -> bool {
        self.bit_equal && self.rel_error_f64 <= self.rel_error_max()
    }

    /// For people.
    pub fn table(&self) -> String {
        let Context { layer, history, .. } = self.context;
        let mut text = format!("{}, S = {}, {} layer, history {history}\n", self.kernel, self.seq, layer.name());
        let equal = if self.bit_equal { "yes".to_owned() } else { format!("NO: {} outputs differ", self.differing) };
        let mut lines = vec![
            ("equal to the specification, bit for bit", equal),
            ("outputs compared", self.outputs.to_string()),
            (
                "relative error, float64, same bf16 inputs",
                format!("{:.3e} (limit {:.3e})", self.rel_error_f64, self.rel_error_max()),
            ),
            ("largest error over root mean square", format!("{:.3e}", self.max_error_over_rms)),
            ("array cycles, modelled", self.array_cycles.to_string()),
        ];
        if self.macs > 0 {
            let utilisation = format!("{:.1} % of {MACS_PER_CYCLE} per cycle", self.mac_utilisation * 1e2);
            lines.push(("MAC utilisation on pairs that are seen, modelled", utilisation));
            let read = format!("{:.1} % of {READ_BYTES_PER_CYCLE} per cycle", self.read_utilisation * 1e2);
            lines.push(("bytes of keys and values that are seen, modelled", read));
        }
        lines.push(("DDR bytes read, written", format!("{}, {}", self.ddr_read_bytes, self.ddr_write_bytes)));
        lines.push(("simulated in", format!("{:.1} s", self.wall_s)));
        for (name, value) in lines {
            text.push_str(&format!("  {name:<47} {value}\n"));
        }
        text
    }
}
