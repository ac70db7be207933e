//! The runtime stream of one dispatch.
//!
//! ```text
//! B  column c  x: tokens 0 mod S, 1 mod S, 2 mod S, 3 mod S | half a unit more if K / 256 is odd
//!              per pass p, of group c: the first half of its units if p is even, the second half if it is odd
//! A  row r     per pass p, of group (r - p) mod 4: the other half
//! C  column c  per turn, per row: 4 results of 4 rows of 64 outputs
//! ```
//! The second half ends with the unit of scales, so that it travels on A and on B in turn and all eight channels carry the same. Where scales of groups
//! of inputs stand in the units, A carries the first half of every group and B the second.
//!
//! x goes first, since everything waits for it; while it arrives the controller sets up the other channels.

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{
    CORE_ROWS, DECODE_TOKENS, DECODE_TURN_RESULTS, DecodeShape, GROUP_ROWS, PASS_ROWS, Panels, UNIT_BYTES,
};

use super::array::turn;
use crate::grid::GRID;

/// Host buffers by index.
pub mod arg {
    /// Activations.
    pub const X: u32 = 0;
    /// Packed weights.
    pub const WEIGHTS: u32 = 1;
    /// Outputs.
    pub const Y: u32 = 2;
    /// Where results that are no outputs drain.
    pub const SCRATCH: u32 = 3;
}

/// Channel of path A.
const A: Mm2s = Mm2s(0);
/// Channel of path B.
const B: Mm2s = Mm2s(1);
const WORD: usize = 4;
const BF16: usize = 2;
/// Inputs of the pieces in which a core takes x.
const PIECE_K: usize = 256;
/// Passes after which A takes from the same group again.
const CYCLE: usize = CORE_ROWS;
/// Passes after which B takes the same half again.
const HALVES: usize = 2;

fn words(bytes: usize) -> u32 {
    (bytes / WORD) as u32
}

/// Builds the stream.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(shape: &DecodeShape) -> Result<Stream, Error> {
    let mut rt = Runtime::new(GRID)?;
    let builder = Builder { shape };
    let x = builder.x()?;
    for (i, (chain, runs)) in x.iter().enumerate() {
        for col in 0..GRID {
            rt.task_chain(col, B, chain, *runs, i + 1 == x.len())?;
        }
    }
    for part in [Part::Rounds, Part::Rest] {
        for channel in [A, B] {
            for lane in 0..GRID {
                builder.weights(&mut rt, lane, channel, part)?;
            }
        }
    }
    for col in 0..GRID {
        rt.wait(col, B)?;
    }
    builder.outputs(&mut rt)?;
    rt.wait_all()?;
    rt.finish()
}

/// Which of a channel's weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Rounds,
    Rest,
}

struct Builder<'a> {
    shape: &'a DecodeShape,
}

impl Builder<'_> {
    fn panels(&self) -> &Panels {
        self.shape.panels()
    }

    /// Four tokens in a row, in whole units: chains of BDs and how often they run.
    fn x(&self) -> Result<Vec<(Vec<ShimBd>, u32)>, Error> {
        let (seq, row_bytes) = (self.shape.seq(), BF16 * self.panels().inputs());
        let first = |bytes: usize| ShimBd::linear(arg::X, 0, bytes as u64);
        let mut tokens = vec![first(seq * row_bytes)?];
        if !DECODE_TOKENS.is_multiple_of(seq) {
            tokens.push(first(DECODE_TOKENS % seq * row_bytes)?);
        }
        let mut tasks = vec![(tokens, (DECODE_TOKENS / seq) as u32)];
        if self.panels().groups().is_some() {
            // any bytes fill the last unit
            let bytes = DECODE_TOKENS * row_bytes;
            let filler = bytes.next_multiple_of(self.panels().unit_bytes()) - bytes;
            if filler > 0 {
                tasks.push((vec![ShimBd::linear(arg::WEIGHTS, 0, filler as u64)?], 1));
            }
            return Ok(tasks);
        }
        let pieces = (DECODE_TOKENS * row_bytes % UNIT_BYTES) / (BF16 * PIECE_K);
        if pieces > 0 {
            tasks.push((vec![first(BF16 * PIECE_K)?], pieces as u32));
        }
        Ok(tasks)
    }

    /// The halves that `lane` carries on a channel: in whole periods of its pattern, or those of the passes that are left.
    fn weights(&self, rt: &mut Runtime, lane: u8, channel: Mm2s, part: Part) -> Result<(), Error> {
        let (passes, period) = (self.panels().passes(), if channel == A { CYCLE } else { HALVES });
        let (rounds, rest) = (passes / period, passes % period);
        let step = words(period * self.panels().group_bytes());
        let bd = |pass: usize, count: usize| {
            let (offset, pattern) = self.half(lane, channel, pass);
            let pattern = if count > 1 { pattern.iterate(step, count as u8) } else { pattern };
            ShimBd::new(arg::WEIGHTS, offset as u64, pattern)
        };
        let (chain, runs): (Vec<_>, _) = match part {
            Part::Rounds if rounds > 0 => ((0..period).map(|pass| bd(pass, rounds)).collect(), rounds),
            Part::Rest if rest > 0 => ((passes - rest..passes).map(|pass| bd(pass, 1)).collect(), 1),
            Part::Rounds | Part::Rest => return Ok(()),
        };
        rt.task_chain(lane, channel, &chain, runs as u32, part == Part::Rounds && self.frees_bds(channel))
    }

    /// Whether the last turn of results, which takes up to 8 of the shim's 16 BDs, may need those of this channel's whole periods: beside a rest of
    /// three passes they are 4 + 3 on A and 2 + 1 on B.
    fn frees_bds(&self, channel: Mm2s) -> bool {
        let passes = self.panels().passes();
        channel == A && passes > CYCLE && passes % CYCLE == CYCLE - 1
    }

    /// Byte offset and words of the half of a group.
    fn half(&self, lane: u8, channel: Mm2s, pass: usize) -> (usize, Pattern) {
        let on_a = channel == A;
        let column = if on_a { (usize::from(lane) + CYCLE - pass % CYCLE) % CYCLE } else { usize::from(lane) };
        let (group, first) = (self.panels().group_offset(column, pass), self.panels().weight_units() / 2);
        if self.panels().groups().is_some() {
            let bytes = first * self.panels().unit_bytes();
            return (group + if on_a { 0 } else { bytes }, Pattern::linear(words(bytes)));
        }
        if on_a == pass.is_multiple_of(HALVES) {
            (group + first * UNIT_BYTES, Pattern::linear(words((self.panels().units() - first) * UNIT_BYTES)))
        } else {
            (group, Pattern::linear(words(first * UNIT_BYTES)))
        }
    }

    /// Results on C: whole turns, then the one with results that are no outputs.
    fn outputs(&self, rt: &mut Runtime) -> Result<(), Error> {
        let per_turn = CORE_ROWS * DECODE_TURN_RESULTS;
        let whole = self.panels().passes() / per_turn;
        if whole > 0 {
            for col in 0..GRID {
                let chain: Vec<_> =
                    (0..GRID).map(|row| self.results(col, row, 0, DECODE_TURN_RESULTS, whole)).collect();
                rt.task_chain(col, S2mm(0), &chain, whole as u32, true)?;
            }
        }
        let rest = self.panels().passes() % per_turn;
        if rest > 0 {
            for col in 0..GRID {
                let chain = self.last_turn(col, whole * per_turn, rest)?;
                if whole > 0 {
                    rt.wait(col, S2mm(0))?;
                }
                if rt.free_bds(col) < chain.len() && self.frees_bds(A) {
                    rt.wait(col, A)?;
                }
                rt.task_chain(col, S2mm(0), &chain, 1, true)?;
            }
        }
        Ok(())
    }

    /// `n` results of a core from its first pass at or after `pass` on, and so for `turns` turns.
    fn results(&self, col: u8, row: u8, pass: usize, n: usize, turns: usize) -> ShimBd {
        let first = Panels::group_first_row(usize::from(col), pass + usize::from(turn(col, row)));
        let next = words(BF16 * CORE_ROWS * PASS_ROWS);
        let pattern = Pattern::new(&[
            (1, words(BF16 * GROUP_ROWS)),
            (words(BF16 * self.panels().n()), DECODE_TOKENS as u32),
            (next, n as u32),
        ]);
        let step = next * DECODE_TURN_RESULTS as u32;
        let pattern = if turns > 1 { pattern.iterate(step, turns as u8) } else { pattern };
        ShimBd::new(arg::Y, (BF16 * first) as u64, pattern)
    }

    fn last_turn(&self, col: u8, pass: usize, rest: usize) -> Result<Vec<ShimBd>, Error> {
        let mut chain = Vec::new();
        for row in 0..GRID {
            let valid = rest.saturating_sub(usize::from(turn(col, row))).div_ceil(CORE_ROWS);
            if valid > 0 {
                chain.push(self.results(col, row, pass, valid, 1));
            }
            if valid < DECODE_TURN_RESULTS {
                let at = DecodeShape::spill_offset(usize::from(col), usize::from(row)) as u64;
                let bytes = (DECODE_TURN_RESULTS - valid) * DecodeShape::result_bytes();
                chain.push(ShimBd::linear(arg::SCRATCH, at, bytes as u64)?);
            }
        }
        Ok(chain)
    }
}
