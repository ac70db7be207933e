//! The runtime stream of one call, for any number of tokens, any history and any cache.
//!
//! ```text
//! tokens   | rows: up to the next multiple of 8 slots | groups of 8 slots          | rows: what is left      |
//! K, V     | runs of 16 and 8 bytes, one token a BD   | whole records, linear      | as in front             |
//! A        | weights; 8 tables                        | 8 tables a group           | 8 tables                |
//! ```
//! A round of rows takes two tokens; the last of an odd number comes with the one before it once more, a single one twice: they write the same bytes
//! again. A group is four rounds. Receivers are pushed before senders, and every column gets its tasks of a step before the stream waits for an
//! earlier one: A couples the columns.

use aie2_array::device::QUEUE_DEPTH;
use aie2_array::{Channel, Error, Mm2s, Pattern, Runtime, S2mm, ShimBd, Tile};
use npu_package::layout::{KV_GROUP_SLOTS, KvAppend, KvFormat, KvRing, KvSegment, Plane};

use super::kv8::{CORE_BYTES, scratch_rest};
use super::program::{A_UNIT_BYTES, L1, WEIGHTS_BYTES};
use crate::Place;
use crate::grid::{GRID, tile_offset};

/// Width of a head.
const HEAD_DIM: usize = 128;
/// Key-value heads, and heads in all, of a row of `qkv`.
pub(super) const KV_HEADS: usize = 16;
pub(super) const Q_HEADS: usize = 32;
const BF16: usize = 2;
pub(super) const WORD: usize = 4;
/// Bytes of a table of a position.
const TABLE_BYTES: usize = 1024;
/// Rounds of a group.
const GROUP_ROUNDS: usize = 4;
/// Words: a row of `qkv`, a row of `q`, a head.
pub(super) const QKV_ROW: u32 = ((Q_HEADS + 2 * KV_HEADS) * HEAD_DIM * BF16 / WORD) as u32;
pub(super) const Q_ROW: u32 = (Q_HEADS * HEAD_DIM * BF16 / WORD) as u32;
pub(super) const HEAD: u32 = (HEAD_DIM * BF16 / WORD) as u32;
/// Heads of a column.
pub(super) const COLUMN_Q: u32 = (Q_HEADS / GRID as usize) as u32;
pub(super) const COLUMN_KV: u32 = (KV_HEADS / GRID as usize) as u32;
/// Groups of one task: executions of a BD whose start moves on its own.
// SOURCE: Xilinx/mlir-aie aie_registers_aie2.json, iteration wrap of 6 bits.
const IN_GROUPS: usize = 64;
const OUT_GROUPS: usize = IN_GROUPS / GROUP_ROUNDS;

/// Where a call's operands begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// `qkv` [S][8192] bf16, row-major: q, k, v.
    pub qkv: Place,
    /// `HeadNorm` records of queries and keys, one after the other: 1024 bytes.
    pub weights: Place,
    /// `RopeTable` records with two limbs, from the first token's position on: [`Call::tables`] of them are read.
    pub tables: Place,
    /// `q` [S][32][128] bf16, row-major.
    pub q: Place,
}

/// Consecutive slots of a segment that take consecutive tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRun {
    /// The segment.
    pub place: Place,
    /// Its layout.
    pub segment: KvSegment,
    /// Slot of the first token.
    pub slot: usize,
    /// Tokens.
    pub tokens: usize,
}

impl CacheRun {
    /// The runs of `tokens` tokens from position `first` in the ring of a local layer.
    ///
    /// # Errors
    /// More tokens than the ring takes at once, or a segment of another size than the ring's.
    pub fn ring(
        place: Place,
        segment: KvSegment,
        ring: KvRing,
        first: usize,
        tokens: usize,
    ) -> Result<Vec<Self>, Refusal> {
        if segment.slots() != ring.slots() || tokens > ring.chunk() {
            return Err(Refusal::Ring { slots: segment.slots(), ring: ring.slots(), tokens, chunk: ring.chunk() });
        }
        let slot = ring.slot(first);
        let before = tokens.min(ring.slots() - slot);
        let runs = [(slot, before), (0, tokens - before)];
        Ok(runs.into_iter().filter(|r| r.1 > 0).map(|(slot, tokens)| Self { place, segment, slot, tokens }).collect())
    }
}

/// Why a call has no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No tokens.
    #[error("norm_rope needs at least one token")]
    NoTokens,
    /// Elements that are another kernel's: [`Call::new`] is for bfloat16, [`Call::kv8`] for INT8.
    #[error("this call of norm_rope does not write caches of {format:?} elements")]
    Format {
        /// Elements of the cache.
        format: KvFormat,
    },
    /// Another model.
    #[error("norm_rope serves {KV_HEADS} key-value heads of {HEAD_DIM}; this cache has {kv_heads} of {head_dim}")]
    Heads {
        /// Key-value heads.
        kv_heads: usize,
        /// Width of a head.
        head_dim: usize,
    },
    /// A run leaves its segment.
    #[error("{tokens} tokens from slot {slot} on leave a segment of {slots} slots")]
    Outside {
        /// First slot.
        slot: usize,
        /// Tokens.
        tokens: usize,
        /// Slots there are.
        slots: usize,
    },
    /// A run other than the last ends, or one other than the first begins, inside a group of eight slots.
    #[error("run {run} of the cache begins at slot {slot}: later runs begin with a group of {KV_GROUP_SLOTS} slots")]
    Alignment {
        /// Number of the run.
        run: usize,
        /// Its first slot.
        slot: usize,
    },
    /// A ring and a segment, or a call, that do not belong together.
    #[error("{tokens} tokens into a segment of {slots} slots; the ring has {ring} and takes {chunk} at once")]
    Ring {
        /// Slots of the segment.
        slots: usize,
        /// Slots of the ring.
        ring: usize,
        /// Tokens.
        tokens: usize,
        /// Tokens that the ring takes at once.
        chunk: usize,
    },
}

fn format_of(scratch: Option<Place>) -> KvFormat {
    if scratch.is_some() { KvFormat::Int8 } else { KvFormat::Bf16 }
}

/// One call, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    buffers: Buffers,
    runs: Vec<CacheRun>,
    /// Where what cores send beside codes and scales drains; none without codes.
    scratch: Option<Place>,
    tokens: usize,
    /// Tokens in front of the first group, groups, tokens behind them.
    head: usize,
    groups: usize,
    tail: usize,
}

impl Call {
    /// The call that writes the tokens of all runs, in order.
    ///
    /// # Errors
    /// What the kernel does not serve, named.
    pub fn new(buffers: Buffers, runs: Vec<CacheRun>) -> Result<Self, Refusal> {
        Self::checked(buffers, runs, None)
    }

    /// The same into an INT8 cache. `scratch` has [`SCRATCH_BYTES`].
    ///
    /// # Errors
    /// What the kernel does not serve, named.
    pub fn kv8(buffers: Buffers, scratch: Place, runs: Vec<CacheRun>) -> Result<Self, Refusal> {
        Self::checked(buffers, runs, Some(scratch))
    }

    fn checked(buffers: Buffers, runs: Vec<CacheRun>, scratch: Option<Place>) -> Result<Self, Refusal> {
        let cache = format_of(scratch);
        let tokens = runs.iter().map(|run| run.tokens).sum();
        let Some(first) = runs.first().filter(|_| tokens > 0) else { return Err(Refusal::NoTokens) };
        for (number, run) in runs.iter().enumerate() {
            let (heads, slots) = (run.segment.heads(), run.segment.slots());
            if heads.format() != cache {
                return Err(Refusal::Format { format: heads.format() });
            }
            if (heads.kv_heads(), heads.head_dim()) != (KV_HEADS, HEAD_DIM) {
                return Err(Refusal::Heads { kv_heads: heads.kv_heads(), head_dim: heads.head_dim() });
            }
            if run.slot >= slots || run.tokens > slots - run.slot || run.tokens == 0 {
                return Err(Refusal::Outside { slot: run.slot, tokens: run.tokens, slots });
            }
            let before = number.checked_sub(1).map(|before| runs[before].slot + runs[before].tokens);
            let aligned = |slot: usize| slot.is_multiple_of(KV_GROUP_SLOTS);
            if before.is_some_and(|end| !aligned(end) || !aligned(run.slot)) {
                return Err(Refusal::Alignment { run: number, slot: run.slot });
            }
        }
        let to_group = first.slot.next_multiple_of(KV_GROUP_SLOTS) - first.slot;
        // fewer than a group are no group, wherever they begin
        let head = if tokens < KV_GROUP_SLOTS && to_group == 0 { tokens } else { to_group.min(tokens) };
        let (groups, tail) = ((tokens - head) / KV_GROUP_SLOTS, (tokens - head) % KV_GROUP_SLOTS);
        Ok(Self { buffers, runs, scratch, tokens, head, groups, tail })
    }

    /// Tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Elements of the cache.
    pub fn cache(&self) -> KvFormat {
        format_of(self.scratch)
    }

    /// Records of the rotation table that the call reads, some of them behind its last token.
    pub fn tables(&self) -> usize {
        KV_GROUP_SLOTS.max(self.head + KV_GROUP_SLOTS * (self.groups + usize::from(self.tail > 0)))
    }

    /// What every core's call words hold.
    pub fn words(&self) -> [u32; 3] {
        [self.head.div_ceil(2), self.groups, self.tail.div_ceil(2)].map(|n| n as u32)
    }

    /// Appends the call to a stream, whose channels may have tasks in flight; afterwards all its outputs have arrived.
    ///
    /// # Errors
    /// What the DMAs cannot express, named with its limit.
    pub fn append(&self, rt: &mut Runtime, l1: &L1) -> Result<(), Error> {
        self.parameters(rt, l1)?;
        self.ahead(rt)?;
        self.tasks(rt, |_| Ok(()))
    }

    /// What the cores must know before the phase.
    pub(crate) fn parameters(&self, rt: &mut Runtime, l1: &L1) -> Result<(), Error> {
        let mut cores = (0..GRID).flat_map(|col| (0..GRID).map(move |row| Tile::core(col, row)));
        cores.try_for_each(|core| rt.write_words(core, tile_offset(l1.call), &self.words()))
    }

    /// Weights and the first tables, which depend on nothing that is computed.
    pub(crate) fn ahead(&self, rt: &mut Runtime) -> Result<(), Error> {
        for col in 0..GRID {
            self.weights_in(rt, col)?;
        }
        for col in 0..GRID {
            if self.head > 0 {
                self.tables_in(rt, col, 0, self.head)?;
            } else if self.groups > 0 {
                self.group_tables_in(rt, col)?;
            }
        }
        Ok(())
    }

    /// The rest of a call; what `behind` appends comes when all has been read and the last outputs have not come.
    pub(crate) fn tasks(
        &self,
        rt: &mut Runtime,
        behind: impl FnOnce(&mut Runtime) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.rows(rt, 0, self.head)?;
        self.whole_groups(rt)?;
        if self.tail > 0 {
            for col in 0..GRID {
                self.tables_in(rt, col, self.tokens - self.tail, self.tail)?;
            }
        }
        self.rows(rt, self.tokens - self.tail, self.tail)?;
        rt.wait_read()?;
        rt.early();
        behind(rt)?;
        rt.wait_all()
    }

    /// Tables from a token's on.
    fn linear_tables(&self, token: usize, count: usize) -> Result<ShimBd, Error> {
        let Place { arg, offset } = self.buffers.tables;
        ShimBd::linear(arg, offset + (token * TABLE_BYTES) as u64, (count * TABLE_BYTES) as u64)
    }

    /// A unit of A full of the weights: their first copy counts.
    fn weights_in(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        let Place { arg, offset } = self.buffers.weights;
        let weights = ShimBd::linear(arg, offset, u64::from(WEIGHTS_BYTES))?;
        push(rt, col, Mm2s(0).into(), &[weights], (A_UNIT_BYTES / WEIGHTS_BYTES) as usize)
    }

    /// A unit of A with the tables of up to eight tokens, round by round.
    fn tables_in(&self, rt: &mut Runtime, col: u8, first: usize, tokens: usize) -> Result<(), Error> {
        if tokens == 1 {
            return push(rt, col, Mm2s(0).into(), &[self.linear_tables(first, 1)?], KV_GROUP_SLOTS);
        }
        let odd = tokens % 2 == 1;
        let straight = if odd { tokens - 1 } else { KV_GROUP_SLOTS };
        let mut chain = vec![self.linear_tables(first, straight)?];
        if odd {
            chain.push(self.linear_tables(first + straight - 1, KV_GROUP_SLOTS - straight)?);
        }
        push(rt, col, Mm2s(0).into(), &chain, 1)
    }

    /// The tables of all whole groups.
    fn group_tables_in(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        push(rt, col, Mm2s(0).into(), &[self.linear_tables(self.head, KV_GROUP_SLOTS * self.groups)?], 1)
    }

    /// Rounds of two tokens, whose tables are sent already.
    fn rows(&self, rt: &mut Runtime, first: usize, tokens: usize) -> Result<(), Error> {
        if let Some(scratch) = self.scratch {
            return self.coded_rows(rt, scratch, first, tokens);
        }
        for round in 0..tokens.div_ceil(2) {
            let (token, pair) = (first + (2 * round).min(tokens.saturating_sub(2)), tokens > 1);
            for col in 0..GRID {
                let (out, input) = (self.rows_out(col, token, pair), self.rows_in(col, token, pair));
                // neither ends without the other
                make_room(rt, col, out.len() + input.len())?;
                push(rt, col, S2mm(0).into(), &out, 1)?;
                push(rt, col, Mm2s(1).into(), &input, 1)?;
            }
        }
        Ok(())
    }

    fn rows_in(&self, col: u8, token: usize, pair: bool) -> Vec<ShimBd> {
        let q = |token, dims: &[(u32, u32)]| self.input(token, COLUMN_Q * u32::from(col), dims, None);
        let kv = |token, head: u32, dims: &[(u32, u32)]| {
            self.input(token, Q_HEADS as u32 + head + COLUMN_KV * u32::from(col), dims, None)
        };
        let (queries, keys, values) = (COLUMN_Q * HEAD, COLUMN_KV * HEAD, KV_HEADS as u32);
        if pair {
            return vec![
                q(token, &[(1, queries), (QKV_ROW, 2)]),
                kv(token, 0, &[(1, keys), (QKV_ROW, 2), (values * HEAD, 2)]),
            ];
        }
        let [q, k, v] = [q(token, &[(1, queries)]), kv(token, 0, &[(1, keys)]), kv(token, values, &[(1, keys)])];
        [q.clone(), q, k.clone(), k, v.clone(), v].to_vec()
    }

    fn rows_out(&self, col: u8, token: usize, pair: bool) -> Vec<ShimBd> {
        let second = token + usize::from(pair);
        let mut chain = if pair {
            vec![self.q_out(col, token, &[(1, COLUMN_Q * HEAD), (Q_ROW, 2)], None)]
        } else {
            vec![self.q_out(col, token, &[(1, COLUMN_Q * HEAD)], None); 2]
        };
        for plane in [Plane::Key, Plane::Value] {
            chain.extend([token, second].map(|token| self.appended(col, token, plane)));
        }
        chain
    }

    fn appended(&self, col: u8, token: usize, plane: Plane) -> ShimBd {
        let (run, slot) = self.slot(token);
        let KvAppend { offset, run_bytes, runs, run_stride, heads, head_stride } =
            run.segment.append(plane, usize::from(col), slot);
        let words = |bytes: usize| (bytes / WORD) as u32;
        let dims = [(1, words(run_bytes)), (words(run_stride), runs as u32), (words(head_stride), heads as u32)];
        ShimBd::new(run.place.arg, run.place.offset + offset as u64, Pattern::new(&dims))
    }

    /// Whole groups: per task at most [`IN_GROUPS`] in and [`OUT_GROUPS`] out, all of one run.
    fn whole_groups(&self, rt: &mut Runtime) -> Result<(), Error> {
        // without a first group of rows they are ahead
        if self.groups > 0 && self.head > 0 {
            for col in 0..GRID {
                self.group_tables_in(rt, col)?;
            }
        }
        for first in (0..self.groups).step_by(IN_GROUPS) {
            let count = IN_GROUPS.min(self.groups - first);
            let token = |group: usize| self.head + KV_GROUP_SLOTS * group;
            for col in 0..GRID {
                push(rt, col, Mm2s(1).into(), &self.groups_in(col, token(first), count), count)?;
            }
            let mut group = first;
            while group < first + count {
                let (run, slot) = self.slot(token(group));
                // groups left in the run that holds this one
                let left = (run.slot + run.tokens - slot) / KV_GROUP_SLOTS;
                let some = OUT_GROUPS.min(first + count - group).min(left);
                for col in 0..GRID {
                    let chain = self.groups_out(col, token(group), (run, slot), some);
                    push(rt, col, S2mm(0).into(), &chain, GROUP_ROUNDS * some)?;
                }
                group += some;
            }
        }
        Ok(())
    }

    fn groups_in(&self, col: u8, token: usize, count: usize) -> Vec<ShimBd> {
        let step = Some((KV_GROUP_SLOTS as u32 * QKV_ROW, count));
        let tokens = KV_GROUP_SLOTS as u32;
        let rounds = 0..GROUP_ROUNDS as u32;
        rounds
            .flat_map(|round| {
                let (q, kv) = (COLUMN_Q * u32::from(col), Q_HEADS as u32 + COLUMN_KV * u32::from(col) + round);
                let records = [(1, HEAD), (QKV_ROW, tokens), (KV_HEADS as u32 * HEAD, 2)];
                [
                    self.input(token + 2 * round as usize, q, &[(1, COLUMN_Q * HEAD), (QKV_ROW, 2)], step),
                    self.input(token, kv, &records, step),
                ]
            })
            .collect()
    }

    fn groups_out(&self, col: u8, token: usize, (run, slot): (&CacheRun, usize), count: usize) -> Vec<ShimBd> {
        let rounds = GROUP_ROUNDS * count;
        let mut chain = vec![self.q_out(col, token, &[(1, COLUMN_Q * HEAD), (Q_ROW, 2)], Some((2 * Q_ROW, rounds)))];
        let record = (run.segment.heads().record_bytes() / WORD) as u32;
        let rest = self.scratch.map(|scratch| scratch_rest(scratch, col, (CORE_BYTES / WORD) as u32 - record));
        for plane in [Plane::Key, Plane::Value] {
            let group = slot / KV_GROUP_SLOTS;
            let (offset, _) = run.segment.groups_span(plane, usize::from(col), group..group + count);
            // a lane's records of a group, and its groups, follow each other in the order of the rounds
            let pattern = Pattern::linear(record).iterate(record, rounds as u8);
            chain.push(ShimBd::new(run.place.arg, run.place.offset + offset as u64, pattern));
            chain.extend(rest.clone());
        }
        chain
    }

    pub(super) fn input(&self, token: usize, head: u32, dims: &[(u32, u32)], step: Option<(u32, usize)>) -> ShimBd {
        let Place { arg, offset } = self.buffers.qkv;
        ShimBd::new(arg, offset + bytes_at(token, QKV_ROW, head), walk(dims, step))
    }

    pub(super) fn q_out(&self, col: u8, token: usize, dims: &[(u32, u32)], step: Option<(u32, usize)>) -> ShimBd {
        let Place { arg, offset } = self.buffers.q;
        ShimBd::new(arg, offset + bytes_at(token, Q_ROW, COLUMN_Q * u32::from(col)), walk(dims, step))
    }

    /// The run and the slot of a token.
    pub(super) fn slot(&self, token: usize) -> (&CacheRun, usize) {
        let mut token = token;
        for run in &self.runs {
            if token < run.tokens {
                return (run, run.slot + token);
            }
            token -= run.tokens;
        }
        unreachable!("the call's tokens are those of its runs")
    }
}

fn bytes_at(token: usize, row: u32, head: u32) -> u64 {
    WORD as u64 * (token as u64 * u64::from(row) + u64::from(head * HEAD))
}

pub(super) fn walk(dims: &[(u32, u32)], step: Option<(u32, usize)>) -> Pattern {
    let pattern = Pattern::new(dims);
    match step {
        Some((words, count)) => pattern.iterate(words, count as u8),
        None => pattern,
    }
}

/// Pushes a task with a token, after waiting for as many earlier ones of this column as its queue and BDs need.
pub(super) fn push(rt: &mut Runtime, col: u8, channel: Channel, chain: &[ShimBd], runs: usize) -> Result<(), Error> {
    while rt.in_flight(col, channel) >= QUEUE_DEPTH {
        rt.wait(col, channel)?;
    }
    make_room(rt, col, chain.len())?;
    rt.task_chain(col, channel, chain, runs as u32, true)
}

/// Waits for tasks of a column until `bds` are free.
pub(super) fn make_room(rt: &mut Runtime, col: u8, bds: usize) -> Result<(), Error> {
    // the weights are soon through, the tables last as long as the call; outputs end before what is read for later ones
    let (weights, out, input) = (Channel::from(Mm2s(0)), S2mm(0).into(), Mm2s(1).into());
    while rt.free_bds(col) < bds {
        let early = (rt.in_flight(col, weights) > 1).then_some(weights);
        let Some(busy) = early.or([out, input, weights].into_iter().find(|c| rt.in_flight(col, *c) > 0)) else { break };
        rt.wait(col, busy)?;
    }
    Ok(())
}
