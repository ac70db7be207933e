//! The runtime stream of one dispatch, pass after pass, two of them under way:
//!
//! ```text
//! MM2S 1  plan                                                                                     once
//! S2MM 0  rows of the column's 64 positions, 128 bytes at a time; those behind the last into scratch
//! MM2S 0  Q of two cores of the row,    then records of K, 4 for every block
//! MM2S 1  Q of two cores of the column, then records of V
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{KV_GROUP_SLOTS, KvFormat, Plane};

use crate::Place;

use super::{GRID, GROUP, Group, HEAD_BYTES, PLAN_ZEROS_AT, ROW_TILES, ScaledAttention, TILE};

/// Operands.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Queries.
    pub q: Place,
    /// Keys and values.
    pub cache: Place,
    /// Groups of the dispatch.
    pub plan: Place,
    /// Contexts.
    pub ctx: Place,
    /// Where the rows of positions behind the last one drain.
    pub scratch: Place,
}

/// Buffers of the kernel by itself.
const ALONE: Args = Args {
    q: Place::whole(0),
    cache: Place::whole(1),
    plan: Place::whole(2),
    ctx: Place::whole(3),
    scratch: Place::whole(4),
};

const WORD: usize = 4;
/// Words of the codes of a record.
const CODE_WORDS: u32 = 256;
/// Bytes of a piece of a row on path C, and pieces of a position.
const PIECE_BYTES: usize = 128;
const PIECES: usize = HEAD_BYTES / PIECE_BYTES;
/// BDs of one task; eight of two channels and a result chain fit a shim's sixteen.
const TASK_BDS: usize = 4;
/// Tasks that wait in a channel's queue at most.
const ROUNDS_IN_FLIGHT: usize = 3;

/// Bytes of scratch: a column's rows in one turn of the join.
pub const SCRATCH_BYTES: usize = GRID as usize * COLUMN_ROWS * PIECE_BYTES;
/// Positions of a column in a group.
const COLUMN_ROWS: usize = ROW_TILES * TILE;

fn words(bytes: usize) -> u32 {
    (bytes / WORD) as u32
}

/// What the columns have been given together, and the channels whose tokens end it.
struct Round {
    waits: Vec<(u8, aie2_array::Channel)>,
}

struct Builder<'a> {
    kernel: &'a ScaledAttention,
    args: Args,
    rt: &'a mut Runtime,
    rounds: VecDeque<Round>,
}

/// Builds the stream.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(kernel: &ScaledAttention) -> Result<Stream, Error> {
    let mut rt = Runtime::new(GRID)?;
    append(kernel, ALONE, &mut rt, usize::MAX, |_, _| Ok(()), |_| Ok(()))?;
    rt.finish()
}

/// Passes that go together, and the units of 8 KiB that they move on A and on B.
struct Portion {
    passes: Range<usize>,
    units: [usize; 2],
}

fn passes(kernel: &ScaledAttention) -> Vec<(usize, Group)> {
    (0..kernel.kv_heads()).flat_map(|head| kernel.groups().map(move |group| (head, group))).collect()
}

/// Portions of at most `most` units, or of a pass.
fn portions(kernel: &ScaledAttention, most: usize) -> Vec<Portion> {
    let mut portions: Vec<Portion> = Vec::new();
    for (at, (_, group)) in passes(kernel).iter().enumerate() {
        // two units of Q, then blocks; the plan is one of B
        let units = QUERY_UNITS + group.blocks;
        match portions.last_mut() {
            Some(Portion { passes, units: [a, b] }) if *b + units <= most => {
                passes.end = at + 1;
                (*a, *b) = (*a + units, *b + units);
            }
            Some(_) => portions.push(Portion { passes: at..at + 1, units: [units; 2] }),
            None => portions.push(Portion { passes: at..at + 1, units: [units, units + 1] }),
        }
    }
    portions
}

/// Units of 8 KiB that the first passes move on A and on B, at most `most`.
pub fn first_units(kernel: &ScaledAttention, most: usize) -> [usize; 2] {
    portions(kernel, most)[0].units
}

/// Appends the dispatch to a stream whose channels rest. In front of passes that would move more than `most` units together with those before,
/// everything is awaited, and `announce` told how many units of 8 KiB the coming passes move on A and on B; the first are [`first_units`]. What
/// `behind` appends comes when all has been read and the last outputs have not come.
///
/// # Errors
/// A shape that the DMAs cannot express, or what the functions return.
pub fn append(
    kernel: &ScaledAttention,
    args: Args,
    rt: &mut Runtime,
    most: usize,
    mut announce: impl FnMut(&mut Runtime, [usize; 2]) -> Result<(), Error>,
    behind: impl FnOnce(&mut Runtime) -> Result<(), Error>,
) -> Result<(), Error> {
    let all = passes(kernel);
    let mut b = Builder { kernel, args, rt, rounds: VecDeque::new() };
    for (at, Portion { passes, units }) in portions(kernel, most).into_iter().enumerate() {
        if at == 0 {
            b.plan()?;
        } else {
            b.finish()?;
            announce(b.rt, units)?;
        }
        for (head, group) in &all[passes] {
            b.pass(*head, group)?;
        }
    }
    b.end(behind)
}

/// Units of Q on either stream.
const QUERY_UNITS: usize = 2;

impl Builder<'_> {
    fn plan(&mut self) -> Result<(), Error> {
        let mut waits = Vec::new();
        for col in 0..GRID {
            let plan = self.args.plan.linear(0, super::PLAN_UNIT_BYTES as u64)?;
            self.rt.task(col, Mm2s(1), &plan, 1, true)?;
            waits.push((col, Mm2s(1).into()));
        }
        self.rounds.push_back(Round { waits });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        while let Some(round) = self.rounds.pop_front() {
            self.wait(round)?;
        }
        Ok(())
    }

    /// As [`Self::finish`]; what has been read first, long before the last outputs have come.
    fn end(&mut self, behind: impl FnOnce(&mut Runtime) -> Result<(), Error>) -> Result<(), Error> {
        self.rt.wait_read()?;
        self.rt.early();
        behind(self.rt)?;
        self.rounds.clear();
        self.rt.wait_all()
    }

    fn wait(&mut self, round: Round) -> Result<(), Error> {
        round.waits.into_iter().try_for_each(|(col, channel)| self.rt.wait(col, channel))
    }

    fn pass(&mut self, head: usize, group: &Group) -> Result<(), Error> {
        let chains: Vec<[Vec<ShimBd>; 2]> = (0..GRID)
            .map(|col| Ok([self.chain(Plane::Key, head, group, col)?, self.chain(Plane::Value, head, group, col)?]))
            .collect::<Result<_, Error>>()?;
        let results: Vec<(Vec<ShimBd>, u32)> =
            (0..GRID).map(|col| self.results(head, group, col)).collect::<Result<_, _>>()?;
        let rounds = chains.iter().flatten().map(|chain| chain.len().div_ceil(TASK_BDS)).max().unwrap_or(0);
        for round in 0..rounds {
            let tasks = |col: usize| {
                chains[col]
                    .iter()
                    .zip([Mm2s(0), Mm2s(1)])
                    .filter_map(move |(chain, channel)| Some((chain.chunks(TASK_BDS).nth(round)?, channel)))
            };
            let needed = |col: usize| {
                let results = if round == 0 { results[col].0.len() } else { 0 };
                results + tasks(col).map(|(bds, _)| bds.len()).sum::<usize>()
            };
            while self.rounds.len() >= ROUNDS_IN_FLIGHT
                || (0..GRID).any(|col| self.rt.free_bds(col) < needed(usize::from(col)))
            {
                let Some(oldest) = self.rounds.pop_front() else { break };
                self.wait(oldest)?;
            }
            let mut waits = Vec::new();
            for col in 0..GRID {
                let (chain, runs) = &results[usize::from(col)];
                if round == 0 {
                    self.rt.task_chain(col, S2mm(0), chain, *runs, true)?;
                }
                for (bds, channel) in tasks(usize::from(col)) {
                    self.rt.task_chain(col, channel, bds, 1, true)?;
                    waits.push((col, channel.into()));
                }
                if round + 1 == rounds {
                    waits.push((col, S2mm(0).into()));
                }
            }
            self.rounds.push_back(Round { waits });
        }
        Ok(())
    }

    /// Rows of Q on a stream, then the records of a plane. Row `col` of the cores listens to A, column `col` to B.
    fn chain(&self, plane: Plane, head: usize, group: &Group, col: u8) -> Result<Vec<ShimBd>, Error> {
        let mut chain = self.queries(plane, head, group, col)?;
        let (pool, heads) = (self.kernel.cache_segment(), self.kernel.heads());
        let (record, stride) = (words(heads.record_bytes()), words(heads.group_bytes()));
        for (segment, first, records) in &group.runs {
            let at = segment * pool.bytes() + pool.offset(plane, head, first * KV_GROUP_SLOTS, 0);
            let pattern = match heads.format() {
                KvFormat::Bf16 => Pattern::new(&[(1, record), (stride, *records as u32)]),
                // codes, then what ends with the scales: as long as a BF16 record
                KvFormat::Int8 => Pattern::new(&[(1, CODE_WORDS), (record - CODE_WORDS, 2), (stride, *records as u32)]),
            };
            chain.push(self.args.cache.bd(at as u64, pattern));
        }
        Ok(chain)
    }

    fn queries(&self, plane: Plane, head: usize, group: &Group, col: u8) -> Result<Vec<ShimBd>, Error> {
        let row_bytes = self.kernel.kv_heads() * HEAD_BYTES;
        let units: Vec<usize> = (0..GRID)
            .map(|other| match plane {
                Plane::Key => (other, col),
                Plane::Value => (col, other),
            })
            .filter(|&(c, r)| super::on_b(c, r) == (plane == Plane::Value))
            .map(|(c, r)| super::first_position(c, r))
            .collect();
        let valid = |unit: usize| group.positions.saturating_sub(unit).min(TILE);
        let at = |unit: usize| ((group.first + unit) * row_bytes + head * HEAD_BYTES) as u64;
        let (line, stride) = (words(HEAD_BYTES), words(row_bytes));
        let mut chain = Vec::new();
        if units.iter().all(|&unit| valid(unit) == TILE) {
            let apart = (units[1] - units[0]) as u32;
            let pattern = Pattern::new(&[(1, line), (stride, TILE as u32), (apart * stride, units.len() as u32)]);
            return Ok(vec![self.args.q.bd(at(units[0]), pattern)]);
        }
        let mut missing = units.len() * TILE;
        // the first of two ragged units takes all rows there are: the second lies behind it
        for &unit in units.iter().filter(|&&unit| valid(unit) > 0) {
            chain.push(self.args.q.bd(at(unit), Pattern::new(&[(1, line), (stride, valid(unit) as u32)])));
            missing -= valid(unit);
        }
        chain.push(self.args.plan.linear(PLAN_ZEROS_AT as u64, (missing * HEAD_BYTES) as u64)?);
        Ok(chain)
    }

    /// A column's rows of a pass: `[4 pieces][64 positions][128 bytes]`.
    fn results(&self, head: usize, group: &Group, col: u8) -> Result<(Vec<ShimBd>, u32), Error> {
        let row_bytes = self.kernel.kv_heads() * HEAD_BYTES;
        let first = usize::from(col) * COLUMN_ROWS;
        let valid = group.positions.saturating_sub(first).min(COLUMN_ROWS);
        let (piece, stride) = (words(PIECE_BYTES), words(row_bytes));
        let at = ((group.first + first) * row_bytes + head * HEAD_BYTES) as u64;
        if valid == COLUMN_ROWS {
            let pattern = Pattern::new(&[(1, piece), (stride, valid as u32), (piece, PIECES as u32)]);
            return Ok((vec![self.args.ctx.bd(at, pattern)], 1));
        }
        let mut chain = Vec::new();
        if valid > 0 {
            let pattern = Pattern::new(&[(1, piece), (stride, valid as u32)]).iterate(piece, PIECES as u8);
            chain.push(self.args.ctx.bd(at, pattern));
        }
        let rest = ((COLUMN_ROWS - valid) * PIECE_BYTES) as u64;
        chain.push(self.args.scratch.linear((usize::from(col) * COLUMN_ROWS * PIECE_BYTES) as u64, rest)?);
        Ok((chain, PIECES as u32))
    }
}

const _: () = assert!(GROUP == GRID as usize * COLUMN_ROWS);
