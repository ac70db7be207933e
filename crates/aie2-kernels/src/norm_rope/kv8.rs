//! Rounds of rows into an INT8 cache: what the shims read and write.
//!
//! ```text
//! in    q of two tokens; k, then v of two tokens                            a single token has a neighbour that is not kept
//! out   q of two tokens
//!       K  codes of the first, of the second | scales of the first, of the second | no meaning      2 KiB: runs of 8 bytes, words
//!       V  the same                                                                                  runs of 4 bytes, words
//! ```
//! Slots of a group are equally far from each other, so the BDs of a round serve the next ones as well: one task for all but the last round of an odd
//! number of tokens.

use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{KvAppend, Plane};

use super::stream::{COLUMN_KV, COLUMN_Q, Call, HEAD, KV_HEADS, Q_HEADS, Q_ROW, QKV_ROW, WORD, make_room, push};
use crate::Place;
use crate::grid::GRID;

/// Bytes that a core sends a round.
pub(super) const CORE_BYTES: usize = 2048;
/// Bytes of codes, and of scales, that it sends for one of two tokens.
const CODE_BYTES: usize = 512;
const SCALE_BYTES: usize = 16;
/// Bytes of scratch.
pub const SCRATCH_BYTES: usize = GRID as usize * CORE_BYTES;

/// What a column drains that has no meaning.
pub(super) fn scratch_rest(scratch: Place, col: u8, words: u32) -> ShimBd {
    let offset = scratch.offset + u64::from(col) * CORE_BYTES as u64;
    ShimBd::new(scratch.arg, offset, Pattern::linear(words))
}

fn words(bytes: usize) -> u32 {
    (bytes / WORD) as u32
}

/// Rounds of two tokens, `step` tokens apart.
#[derive(Clone, Copy)]
struct Rounds {
    first: usize,
    step: usize,
    count: usize,
}

impl Rounds {
    fn walk(self, dims: &[(u32, u32)], words: u32) -> Pattern {
        let pattern = Pattern::new(dims);
        if self.count > 1 { pattern.iterate(self.step as u32 * words, self.count as u8) } else { pattern }
    }
}

impl Call {
    /// Rounds of rows of up to seven tokens of one group of slots.
    pub(super) fn coded_rows(
        &self,
        rt: &mut Runtime,
        scratch: Place,
        first: usize,
        tokens: usize,
    ) -> Result<(), Error> {
        let rounds = match tokens {
            0 => Vec::new(),
            1 => vec![Rounds { first, step: 0, count: 1 }],
            3 => vec![Rounds { first, step: 1, count: 2 }],
            even if even % 2 == 0 => vec![Rounds { first, step: 2, count: even / 2 }],
            odd => {
                vec![Rounds { first, step: 2, count: odd / 2 }, Rounds { first: first + odd - 2, step: 0, count: 1 }]
            }
        };
        for rounds in rounds {
            for col in 0..GRID {
                let (out, input) = match tokens {
                    1 => (self.one_out(col, first, scratch), self.one_in(col, first)),
                    _ => (self.pairs_out(col, rounds, scratch), self.pairs_in(col, rounds)),
                };
                // neither ends without the other
                make_room(rt, col, out.len() + input.len())?;
                push(rt, col, S2mm(0).into(), &out, rounds.count)?;
                push(rt, col, Mm2s(1).into(), &input, rounds.count)?;
            }
        }
        Ok(())
    }

    fn pairs_in(&self, col: u8, rounds: Rounds) -> Vec<ShimBd> {
        let (queries, keys) = (COLUMN_Q * HEAD, COLUMN_KV * HEAD);
        let step = (rounds.count > 1).then_some((rounds.step as u32 * QKV_ROW, rounds.count));
        let kv = [(1, keys), (QKV_ROW, 2), (KV_HEADS as u32 * HEAD, 2)];
        vec![
            self.input(rounds.first, COLUMN_Q * u32::from(col), &[(1, queries), (QKV_ROW, 2)], step),
            self.input(rounds.first, Q_HEADS as u32 + COLUMN_KV * u32::from(col), &kv, step),
        ]
    }

    fn pairs_out(&self, col: u8, rounds: Rounds, scratch: Place) -> Vec<ShimBd> {
        let Rounds { first, step, count } = rounds;
        let q_step = (count > 1).then_some((step as u32 * Q_ROW, count));
        let mut chain = vec![self.q_out(col, first, &[(1, COLUMN_Q * HEAD), (Q_ROW, 2)], q_step)];
        for plane in [Plane::Key, Plane::Value] {
            chain.extend([first, first + 1].map(|token| self.codes_out(col, plane, token, rounds)));
            chain.extend([first, first + 1].map(|token| self.scales_out(col, plane, token, rounds)));
            chain.push(scratch_rest(scratch, col, words(CORE_BYTES - 2 * CODE_BYTES - 2 * SCALE_BYTES)));
        }
        chain
    }

    fn codes_out(&self, col: u8, plane: Plane, token: usize, rounds: Rounds) -> ShimBd {
        let (run, slot) = self.slot(token);
        let KvAppend { offset, run_bytes, runs, run_stride, heads, head_stride } =
            run.segment.append(plane, usize::from(col), slot);
        let dims = [(1, words(run_bytes)), (words(run_stride), runs as u32), (words(head_stride), heads as u32)];
        // the next slot's run follows this one's
        ShimBd::new(run.place.arg, run.place.offset + offset as u64, rounds.walk(&dims, words(run_bytes)))
    }

    fn scales_out(&self, col: u8, plane: Plane, token: usize, rounds: Rounds) -> ShimBd {
        let (run, slot) = self.slot(token);
        // PANIC: `checked` has refused calls with scratch and caches without scales.
        let scales = run.segment.append_scales(plane, usize::from(col), slot).expect("an INT8 cache has scales");
        let dims = [(1, words(scales.run_bytes)), (words(scales.head_stride), scales.heads as u32)];
        let pattern = rounds.walk(&dims, words(scales.run_bytes));
        ShimBd::new(run.place.arg, run.place.offset + scales.offset as u64, pattern)
    }

    /// One token: q is the first of two, k and v are the second, so that the neighbours are those in the row.
    fn one_in(&self, col: u8, token: usize) -> Vec<ShimBd> {
        let (queries, keys) = (COLUMN_Q * HEAD, COLUMN_KV * HEAD);
        let kv = [(1, 2 * keys), (KV_HEADS as u32 * HEAD, 2)];
        vec![
            self.input(token, COLUMN_Q * u32::from(col), &[(1, 2 * queries)], None),
            self.input(token, Q_HEADS as u32 + COLUMN_KV * u32::from(col) - COLUMN_KV, &kv, None),
        ]
    }

    fn one_out(&self, col: u8, token: usize, scratch: Place) -> Vec<ShimBd> {
        let rounds = Rounds { first: token, step: 0, count: 1 };
        let waste = |bytes| scratch_rest(scratch, col, words(bytes));
        let mut chain = vec![self.q_out(col, token, &[(1, COLUMN_Q * HEAD)], None), waste(CORE_BYTES)];
        for plane in [Plane::Key, Plane::Value] {
            chain.extend([
                waste(CODE_BYTES),
                self.codes_out(col, plane, token, rounds),
                waste(SCALE_BYTES),
                self.scales_out(col, plane, token, rounds),
                waste(CORE_BYTES - 2 * CODE_BYTES - 2 * SCALE_BYTES),
            ]);
        }
        chain
    }
}
