//! The runtime stream of one dispatch.
//!
//! ```text
//! B  column c  x: tokens 0 mod S, 1 mod S, 2 mod S, 3 mod S | half a unit more if K / 256 is odd
//!              per pass p, of group c: the first half of its units if p is even, the second half if it is odd
//! A  row r     per pass p, of group (r - p) mod 4: the other half
//! C  column c  per turn, per row: 4 results of 4 rows of 64 outputs
//! ```
//! The second half ends with the unit of scales, so that it travels on A and on B in turn and all eight channels carry the same.
//!
//! x goes first, since everything waits for it; while it arrives the controller sets up the other channels.

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{
    CORE_ROWS, DECODE_TOKENS, DECODE_TURN_RESULTS, DecodeShape, GROUP_ROWS, PASS_ROWS, QkvPanels, UNIT_BYTES,
};

use super::array::turn;
use crate::w8a8::GRID;

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
    for col in 0..GRID {
        builder.x(&mut rt, col)?;
    }
    for row in 0..GRID {
        builder.weights(&mut rt, row, Mm2s(0), CYCLE)?;
    }
    for col in 0..GRID {
        builder.weights(&mut rt, col, Mm2s(1), HALVES)?;
    }
    for col in 0..GRID {
        rt.wait(col, Mm2s(1))?;
    }
    builder.outputs(&mut rt)?;
    rt.wait_all()?;
    rt.finish()
}

struct Builder<'a> {
    shape: &'a DecodeShape,
}

impl Builder<'_> {
    fn panels(&self) -> &QkvPanels {
        self.shape.panels()
    }

    /// Four tokens in a row, in whole units.
    fn x(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        let (seq, row_bytes) = (self.shape.seq(), BF16 * self.panels().hidden());
        let rows = |first: usize, n: usize| ShimBd::linear(arg::X, (first * row_bytes) as u64, (n * row_bytes) as u64);
        let (rounds, rest) = (DECODE_TOKENS / seq, DECODE_TOKENS % seq);
        let mut tokens = vec![rows(0, seq)?];
        if rest > 0 {
            tokens.push(rows(0, rest)?);
        }
        let half_unit = (DECODE_TOKENS * row_bytes % UNIT_BYTES) / (BF16 * PIECE_K);
        let mut tasks = vec![(tokens, rounds)];
        if half_unit > 0 {
            tasks.push((vec![ShimBd::linear(arg::X, 0, (BF16 * PIECE_K) as u64)?], half_unit));
        }
        let last = tasks.len() - 1;
        for (i, (chain, runs)) in tasks.iter().enumerate() {
            rt.task_chain(col, Mm2s(1), chain, *runs as u32, i == last)?;
        }
        Ok(())
    }

    /// Every pass's half that `lane` carries on a channel; the BDs repeat after `period` passes.
    fn weights(&self, rt: &mut Runtime, lane: u8, channel: Mm2s, period: usize) -> Result<(), Error> {
        let passes = self.panels().passes();
        let (rounds, rest) = (passes / period, passes % period);
        let step = words(period * self.panels().group_bytes());
        let bd = |pass: usize, count: usize| {
            let (offset, bytes) = self.half(lane, channel, pass);
            let pattern = Pattern::linear(words(bytes));
            let pattern = if count > 1 { pattern.iterate(step, count as u8) } else { pattern };
            ShimBd::new(arg::WEIGHTS, offset as u64, pattern)
        };
        if rounds > 0 {
            let chain: Vec<_> = (0..period).map(|pass| bd(pass, rounds)).collect();
            rt.task_chain(lane, channel, &chain, rounds as u32, false)?;
        }
        if rest > 0 {
            let chain: Vec<_> = (passes - rest..passes).map(|pass| bd(pass, 1)).collect();
            rt.task_chain(lane, channel, &chain, 1, false)?;
        }
        Ok(())
    }

    /// Byte offset and bytes of the half of a group.
    fn half(&self, lane: u8, channel: Mm2s, pass: usize) -> (usize, usize) {
        let on_a = channel == Mm2s(0);
        let column = if on_a { (usize::from(lane) + CYCLE - pass % CYCLE) % CYCLE } else { usize::from(lane) };
        let (group, first) = (self.panels().group_offset(column, pass), self.panels().weight_units() / 2);
        if on_a == pass.is_multiple_of(HALVES) {
            (group + first * UNIT_BYTES, (self.panels().units() - first) * UNIT_BYTES)
        } else {
            (group, first * UNIT_BYTES)
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
                rt.task_chain(col, S2mm(0), &chain, 1, true)?;
            }
        }
        Ok(())
    }

    /// `n` results of a core from its first pass at or after `pass` on, and so for `turns` turns.
    fn results(&self, col: u8, row: u8, pass: usize, n: usize, turns: usize) -> ShimBd {
        let first = QkvPanels::group_first_row(usize::from(col), pass + usize::from(turn(col, row)));
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
