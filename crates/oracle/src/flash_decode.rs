//! Flash attention of one KV head and its two query heads for up to four new positions, 16 keys at a time. Arithmetic: [`crate::flash`].
//!
//! Blocks come on two streams, alternately in turns of one block each. Which of the two a head takes first depends on its place in the array:
//! stream A passes its head in slot `column` of a turn, stream B in slot `row`, and in one slot B is first.
//!
//! From an INT8 cache ([`crate::kv_int8`]) codes are the operands of both products, as bfloat16, and scales stay outside: a score in two limbs is
//! multiplied by its key's scale, a probability by its value's, rounded to bfloat16 once more. The sum of probabilities is of those before that.

use crate::exp2::on_grid;
use crate::flash::{HEAD_DIM, START, accumulate, lower_references, patterns, probabilities, quotient, rescale, score};
use crate::fp::{bf16_rne, mac_lane};
use crate::kv_int8::{code_bf16, scale_bf16};
use crate::recip::limb;

/// Keys of a block.
pub const KEYS: usize = 16;
/// Query heads of a KV head.
pub const HEADS: usize = 2;
/// Positions that are computed; those beyond the new ones come to nothing.
pub const POSITIONS: usize = 4;
/// Columns of scores: `[head][position]`.
pub const QUERIES: usize = HEADS * POSITIONS;

/// 16 keys and their values, `[key][d]`, and who does not see them.
#[derive(Clone, Debug)]
pub struct Block {
    /// Keys.
    pub keys: Vec<u16>,
    /// Values; finite, even where no one sees the key.
    pub values: Vec<u16>,
    /// Whether a position does not see a key.
    pub hidden: [[bool; POSITIONS]; KEYS],
}

/// The same of an INT8 cache.
#[derive(Clone, Debug)]
pub struct CodedBlock {
    /// Codes of keys, `[key][d]`.
    pub keys: Vec<i8>,
    /// Scales of keys, bfloat16 numbers.
    pub key_scales: [f32; KEYS],
    /// Codes of values, `[key][d]`.
    pub values: Vec<i8>,
    /// Scales of values; finite, even where no one sees the key.
    pub value_scales: [f32; KEYS],
    /// Whether a position does not see a key.
    pub hidden: [[bool; POSITIONS]; KEYS],
}

/// A stream of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Along a row of cores.
    A,
    /// Up a column of cores.
    B,
}

/// Order of the two blocks of a turn on the core of a column and a row.
pub fn order(column: usize, row: usize) -> [Stream; 2] {
    if column < row { [Stream::A, Stream::B] } else { [Stream::B, Stream::A] }
}

/// Outputs `[head][position][d]` of queries `[head][position][d]`, which carry the scale and log₂ e.
pub fn attend<'a>(queries: &[u16], blocks: impl IntoIterator<Item = &'a Block>) -> Vec<u16> {
    let mut state = State::new();
    for block in blocks {
        let weights = state.weights(patterns(&block.keys, queries), &block.hidden);
        accumulate(&mut state.output, &block.values, &weights);
    }
    state.quotients()
}

/// The same from an INT8 cache.
pub fn attend_coded<'a>(queries: &[u16], blocks: impl IntoIterator<Item = &'a CodedBlock>) -> Vec<u16> {
    let wide = |codes: &[i8]| -> Vec<u16> { codes.iter().map(|code| code_bf16(*code)).collect() };
    let mut state = State::new();
    for block in blocks {
        let scaled = |k: &[u16], q: &[u16], scale: f32| {
            let (s1, rest) = limb(score(k, q));
            let scale = scale_bf16(scale);
            on_grid(mac_lane(None, &[(s1, scale), (bf16_rne(rest), scale)], false))
        };
        let keys = wide(&block.keys);
        let scores = keys
            .chunks_exact(HEAD_DIM)
            .zip(block.key_scales)
            .flat_map(|(k, scale)| queries.chunks_exact(HEAD_DIM).map(move |q| scaled(k, q, scale)));
        let mut weights = state.weights(scores.collect(), &block.hidden);
        for (row, scale) in weights.chunks_exact_mut(QUERIES).zip(block.value_scales) {
            row.iter_mut().for_each(|p| *p = bf16_rne(mac_lane(None, &[(*p, scale_bf16(scale))], false)));
        }
        accumulate(&mut state.output, &wide(&block.values), &weights);
    }
    state.quotients()
}

/// What goes from block to block.
struct State {
    references: Vec<i32>,
    sums: Vec<f32>,
    output: Vec<f32>,
}

impl State {
    fn new() -> Self {
        Self { references: vec![START; QUERIES], sums: vec![0.0; QUERIES], output: vec![0.0; HEAD_DIM * QUERIES] }
    }

    /// Probabilities of a block, after references, sums and outputs have moved.
    fn weights(&mut self, mut scores: Vec<i32>, hidden: &[[bool; POSITIONS]; KEYS]) -> Vec<u16> {
        for (row, hidden) in scores.chunks_exact_mut(QUERIES).zip(hidden) {
            row.iter_mut().enumerate().filter(|(q, _)| hidden[q % POSITIONS]).for_each(|(_, s)| *s = START);
        }
        let factors = lower_references(&mut self.references, &scores);
        rescale(&mut self.sums, &factors);
        rescale(&mut self.output, &factors);
        probabilities(&scores, &self.references, &mut self.sums)
    }

    fn quotients(&self) -> Vec<u16> {
        let all = (0..QUERIES).flat_map(|q| (0..HEAD_DIM).map(move |d| (q, d)));
        all.map(|(q, d)| quotient(self.output[d * QUERIES + q], self.sums[q])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::activations;
    use crate::fp::{bf16_rne, widen};

    fn blocks(n: usize) -> Vec<Block> {
        let block = |i: u64| Block {
            keys: activations(2 * i, KEYS * HEAD_DIM),
            values: activations(2 * i + 1, KEYS * HEAD_DIM),
            hidden: [[false; POSITIONS]; KEYS],
        };
        (0..n as u64).map(block).collect()
    }

    fn queries() -> Vec<u16> {
        activations(99, QUERIES * HEAD_DIM).into_iter().map(|q| bf16_rne(widen(q) * 3.0 / 128f32.sqrt())).collect()
    }

    #[test]
    fn outputs_are_the_softmax_of_what_is_seen() {
        let mut blocks = blocks(7);
        for (i, block) in blocks.iter_mut().enumerate() {
            for (key, hidden) in block.hidden.iter_mut().enumerate() {
                *hidden = std::array::from_fn(|s| (16 * i + key + s) % 5 == 0 || i == 0);
            }
        }
        let queries = queries();
        let (mut error, mut norm) = (0.0, 0.0);
        let got = attend(&queries, &blocks);
        for q in 0..QUERIES {
            let query = &queries[q * HEAD_DIM..][..HEAD_DIM];
            let (mut total, mut exact) = (0.0, vec![0.0; HEAD_DIM]);
            for block in &blocks {
                let rows = block.keys.chunks_exact(HEAD_DIM).zip(block.values.chunks_exact(HEAD_DIM));
                for ((k, v), _) in rows.zip(&block.hidden).filter(|(_, hidden)| !hidden[q % POSITIONS]) {
                    let s: f64 = k.iter().zip(query).map(|(k, q)| f64::from(widen(*k)) * f64::from(widen(*q))).sum();
                    total += s.exp2();
                    exact.iter_mut().zip(v).for_each(|(o, v)| *o += s.exp2() * f64::from(widen(*v)));
                }
            }
            for (o, got) in exact.iter().zip(&got[q * HEAD_DIM..]) {
                error += (f64::from(widen(*got)) - o / total).powi(2);
                norm += (o / total).powi(2);
            }
        }
        let error = (error / norm).sqrt();
        assert!(error <= 0.005, "{error}");
    }

    #[test]
    fn a_block_that_no_one_sees_changes_nothing_behind_one_that_is_seen() {
        let mut blocks = blocks(2);
        let alone = attend(&queries(), &blocks[..1]);
        blocks[1].hidden = [[true; POSITIONS]; KEYS];
        assert_eq!(attend(&queries(), &blocks), alone);
        blocks.swap(0, 1);
        assert_eq!(attend(&queries(), &blocks), alone);
    }
}
