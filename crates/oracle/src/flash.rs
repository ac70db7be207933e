//! Flash attention of one KV head and its query heads on one tile, block by block.
//!
//! Scores leave the multiplier as float32 in units of log₂ (queries come scaled by log₂ e / √d) and go on as [`on_grid`] patterns, integers that fall
//! with the score: a maximum is an integer minimum, a difference of scores an integer difference.

use crate::exp2::{STEPS, on_grid, probability};
use crate::fp::{bf16_rne, mac_lane};
use crate::kv_int8::operand;
use crate::mask::{Coverage, Mask};
use crate::recip::{limb, reciprocal};

/// Inputs per head.
pub const HEAD_DIM: usize = 128;
/// Products that meet in one instruction, 4x8x4.
const K_STEP: usize = 8;

/// k · q over the head, eight products at a time, ascending.
pub fn score(k: &[u16], q: &[u16]) -> f32 {
    let step = |acc: Option<f32>, (k, q): (&[u16], &[u16])| {
        let pairs: [(u16, u16); K_STEP] = std::array::from_fn(|i| (k[i], q[i]));
        Some(mac_lane(acc, &pairs, false))
    };
    k.chunks_exact(K_STEP).zip(q.chunks_exact(K_STEP)).fold(None, step).unwrap_or(0.0)
}

/// Patterns of all scores of a block, `[key][query]`.
pub fn patterns(keys: &[u16], queries: &[u16]) -> Vec<i32> {
    keys.chunks_exact(HEAD_DIM)
        .flat_map(|k| queries.chunks_exact(HEAD_DIM).map(move |q| on_grid(score(k, q))))
        .collect()
}

/// Reference of a query that has seen no score: the pattern of minus infinity.
pub const START: i32 = 0xFF80_0000u32 as i32;

const ONE: u16 = 0x3F80;

/// Octaves by which a reference that must move goes beyond the score that moves it, so that it seldom must.
pub const HEADROOM: i32 = 8;

/// The references after a block. One that a score exceeds moves to the largest score of the block, up to a whole octave and [`HEADROOM`] beyond: no
/// probability exceeds 1, and a move scales by a power of two. Returns that factor, in bfloat16; below the normal numbers it is 0, as it is for the first score after
/// [`START`].
pub fn lower_references(references: &mut [i32], patterns: &[i32]) -> Vec<u16> {
    let before = references.to_vec();
    for (query, reference) in references.iter_mut().enumerate() {
        let least = patterns.iter().skip(query).step_by(before.len()).min().map_or(START, |p| p & -STEPS);
        if least < *reference {
            *reference = least - HEADROOM * STEPS;
        }
    }
    let octaves = |(after, before): (&i32, i32)| ((after - before) / STEPS).max(-256);
    references.iter().zip(before).map(|change| (128 * (127 + octaves(change))).max(0) as u16).collect()
}

/// `values[..][query]` times the factors, if any of these is not 1: three limbs each.
pub fn rescale(values: &mut [f32], factors: &[u16]) {
    if factors.iter().all(|f| *f == ONE) {
        return;
    }
    for row in values.chunks_exact_mut(factors.len()) {
        for (v, f) in row.iter_mut().zip(factors) {
            let (v1, rest) = limb(*v);
            let (v2, rest) = limb(rest);
            let y = mac_lane(None, &[(v1, *f), (v2, *f)], false);
            *v = mac_lane(Some(y), &[(bf16_rne(rest), *f), (0, *f)], false);
        }
    }
}

/// Probabilities `[key][query]` against the references, and their sums added eight keys at a time, ascending.
pub fn probabilities(patterns: &[i32], references: &[i32], sums: &mut [f32]) -> Vec<u16> {
    let queries = references.len();
    let p: Vec<u16> = patterns
        .chunks_exact(queries)
        .flat_map(|row| row.iter().zip(references).map(|(pattern, reference)| probability(*pattern, *reference)))
        .collect();
    for keys in p.chunks_exact(K_STEP * queries) {
        for (query, sum) in sums.iter_mut().enumerate() {
            let pairs: [(u16, u16); K_STEP] = std::array::from_fn(|key| (ONE, keys[key * queries + query]));
            *sum = mac_lane(Some(*sum), &pairs, false);
        }
    }
    p
}

/// o + Σ v · p over the keys of a block, eight at a time, ascending: output `[d][query]`, values `[key][d]`, probabilities `[key][query]`.
pub fn accumulate(output: &mut [f32], values: &[u16], probabilities: &[u16]) {
    let queries = output.len() / HEAD_DIM;
    let step = HEAD_DIM * K_STEP;
    for (values, probabilities) in values.chunks_exact(step).zip(probabilities.chunks_exact(queries * K_STEP)) {
        for (i, o) in output.iter_mut().enumerate() {
            let (d, query) = (i / queries, i % queries);
            let pairs: [(u16, u16); K_STEP] =
                std::array::from_fn(|key| (values[key * HEAD_DIM + d], probabilities[key * queries + query]));
            *o = mac_lane(Some(*o), &pairs, false);
        }
    }
}

/// bf16(o / l): two limbs of o times two limbs of 1/l.
pub fn quotient(o: f32, l: f32) -> u16 {
    let ((o1, o_rest), (r1, r_rest)) = (limb(o), limb(reciprocal(l)));
    let (o2, r2) = (bf16_rne(o_rest), bf16_rne(r_rest));
    let y = mac_lane(None, &[(o1, r1), (o2, r1)], false);
    bf16_rne(mac_lane(Some(y), &[(o1, r2), (o2, r2)], false))
}

/// Positions of a group: one of [`TILE`] for each of 16 compute tiles.
pub const GROUP: usize = 256;
/// Positions of a tile, whose query heads share keys, values and the decision to rescale.
pub const TILE: usize = 16;
/// Keys of a block.
pub const BLOCK: usize = 32;
/// Keys that lie together in the cache: the first key of a group is a multiple of this.
const RECORD: usize = 8;

/// Attention of one key-value head as the array computes it: groups of 256 positions, tiles of 16, blocks of 32 keys.
///
/// Queries `[tokens][heads][128]`, the last one at the last position; keys and values `[positions][128]`. A group's blocks begin at the record of the
/// oldest key that its first query sees. A tile skips the blocks that are hidden from all of its positions. Positions behind the last one have
/// queries of zeros. Returns `[tokens][heads][128]`.
///
/// # Panics
/// If there are more queries than positions.
pub fn head(queries: &[u16], heads: usize, keys: &[u16], values: &[u16], mask: &Mask) -> Vec<u16> {
    let (tokens, positions) = (queries.len() / (heads * HEAD_DIM), keys.len() / HEAD_DIM);
    let history = positions.checked_sub(tokens).expect("queries have positions");
    let mut out = vec![0; queries.len()];
    for first in (history..positions).step_by(GROUP) {
        let start = mask.keys(first).start / RECORD * RECORD;
        let end = (first + GROUP).min(positions);
        for at in (first..end).step_by(TILE) {
            let tile = Tile { first: at, start, end, positions };
            let rows: Vec<usize> = (at..at + TILE).map(|position| position - history).collect();
            tile.attend((queries, heads, &rows), keys, values, mask, &mut out);
        }
    }
    out
}

/// Keys or values of one head in an INT8 cache.
#[derive(Clone, Copy, Debug)]
pub struct Coded<'a> {
    /// `[positions][128]`.
    pub codes: &'a [i8],
    /// `[positions]`, bfloat16 numbers.
    pub scales: &'a [f32],
}

impl Coded<'_> {
    fn operands(self) -> Vec<u16> {
        let rows = self.codes.chunks_exact(HEAD_DIM).zip(self.scales);
        rows.flat_map(|(codes, scale)| codes.iter().map(|code| operand(*code, *scale))).collect()
    }
}

/// As [`head`], from an INT8 cache: every code times its scale is rounded to bfloat16 before it is an operand.
///
/// # Panics
/// If there are more queries than positions.
pub fn head_coded(queries: &[u16], heads: usize, keys: Coded, values: Coded, mask: &Mask) -> Vec<u16> {
    head(queries, heads, &keys.operands(), &values.operands(), mask)
}

/// Sixteen positions, and the keys of their group.
struct Tile {
    first: usize,
    start: usize,
    end: usize,
    positions: usize,
}

impl Tile {
    fn attend(
        &self,
        (queries, heads, tokens): (&[u16], usize, &[usize]),
        keys: &[u16],
        values: &[u16],
        mask: &Mask,
        out: &mut [u16],
    ) {
        // rows [head][position]
        let place = |row: usize| (tokens[row % TILE] * heads + row / TILE) * HEAD_DIM;
        let rows = heads * TILE;
        let load = |from: &[u16], at: usize| from.get(at..at + HEAD_DIM).map_or(vec![0; HEAD_DIM], <[u16]>::to_vec);
        let q: Vec<u16> = (0..rows).flat_map(|row| load(queries, place(row))).collect();
        let (mut references, mut sums, mut output) = (vec![START; rows], vec![0.0; rows], vec![0.0; HEAD_DIM * rows]);
        for block in (self.start..self.end).step_by(BLOCK) {
            if mask.coverage(self.first..self.first + TILE, block..block + BLOCK) == Coverage::Empty {
                continue;
            }
            let gather = |from: &[u16]| -> Vec<u16> {
                (block..block + BLOCK).flat_map(|key| load(from, key.min(self.positions) * HEAD_DIM)).collect()
            };
            let mut scores = patterns(&gather(keys), &q);
            for (i, score) in scores.iter_mut().enumerate() {
                let (key, position) = (block + i / rows, self.first + i % rows % TILE);
                if !mask.sees(position, key) {
                    *score = START;
                }
            }
            let factors = lower_references(&mut references, &scores);
            rescale(&mut sums, &factors);
            rescale(&mut output, &factors);
            let p = probabilities(&scores, &references, &mut sums);
            accumulate(&mut output, &gather(values), &p);
        }
        for row in (0..rows).filter(|row| self.first + row % TILE < self.positions) {
            for (d, o) in out[place(row)..][..HEAD_DIM].iter_mut().enumerate() {
                *o = quotient(output[d * rows + row], sums[row]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{HeadProblem, Precision, relative_error};
    use crate::data::activations;
    use crate::fp::widen;

    #[test]
    fn a_pattern_is_the_score_to_a_step_of_the_grid() {
        let (keys, queries) = (activations(1, 8 * HEAD_DIM), activations(2, 8 * HEAD_DIM));
        let zero = on_grid(0.0);
        let patterns = patterns(&keys, &queries);
        for (i, k) in keys.chunks(HEAD_DIM).enumerate() {
            for (j, q) in queries.chunks(HEAD_DIM).enumerate() {
                let exact: f64 = k.iter().zip(q).map(|(k, q)| f64::from(widen(*k)) * f64::from(widen(*q))).sum();
                let got = f64::from(zero - patterns[8 * i + j]) / 512.0;
                assert!((got - exact).abs() <= 0.51 / 512.0, "{got} for {exact}");
            }
        }
    }

    #[test]
    fn outputs_are_the_weighted_sums() {
        let (keys, queries) = (16, 4);
        let (values, weights) = (activations(3, keys * HEAD_DIM), activations(4, keys * queries));
        let mut output: Vec<f32> = activations(5, HEAD_DIM * queries).into_iter().map(widen).collect();
        let before = output.clone();
        accumulate(&mut output, &values, &weights);
        for (i, (o, before)) in output.iter().zip(before).enumerate() {
            let term = |key: usize| {
                f64::from(widen(values[key * HEAD_DIM + i / queries]))
                    * f64::from(widen(weights[key * queries + i % queries]))
            };
            let exact = f64::from(before) + (0..keys).map(term).sum::<f64>();
            assert!((f64::from(*o) - exact).abs() <= 2f64.powi(-18), "{o} for {exact}");
        }
    }

    #[test]
    fn the_largest_probability_of_a_first_block_is_less_than_an_octave_below_the_headroom() {
        let (keys, queries) = (32, 4);
        let patterns = patterns(&activations(6, keys * HEAD_DIM), &activations(7, queries * HEAD_DIM));
        let (mut references, mut sums) = (vec![START; queries], vec![0.0; queries]);
        lower_references(&mut references, &patterns);
        let p = probabilities(&patterns, &references, &mut sums);
        for (query, sum) in sums.iter().enumerate() {
            let column: Vec<f32> = (0..keys).map(|key| widen(p[key * queries + query])).collect();
            let largest = column.iter().copied().fold(0.0, f32::max);
            let top = largest * (1 << HEADROOM) as f32;
            assert!((0.5..=1.0).contains(&top), "{largest}");
            let exact: f64 = column.iter().map(|p| f64::from(*p)).sum();
            assert!((f64::from(*sum) / exact - 1.0).abs() < 2f64.powi(-20), "{sum} for {exact}");
        }
    }

    #[test]
    fn a_rescale_is_a_power_of_two_to_a_unit_of_float32() {
        let factor = |octaves: i32| {
            let mut references = [on_grid(0.0) + (octaves - HEADROOM) * STEPS];
            lower_references(&mut references, &[on_grid(0.0)])[0]
        };
        assert_eq!(
            [0, 9, 13, 126, 127, 200].map(|n| widen(factor(n))),
            [1.0, 2f32.powi(-9), 2f32.powi(-13), f32::MIN_POSITIVE, 0.0, 0.0]
        );
        for v in activations(9, 400).into_iter().map(|v| widen(v) * 1.000_123) {
            let mut scaled = [v, v];
            rescale(&mut scaled, &[factor(9), ONE]);
            assert!((scaled[0] * 512.0 - v).abs() <= v.abs() * f32::EPSILON, "{v}");
            assert!((scaled[1] - v).abs() <= v.abs() * f32::EPSILON, "{v}");
        }
    }

    #[test]
    fn a_head_is_attention_to_half_a_percent_with_and_without_a_window() {
        for (mask, tokens, positions) in [(Mask::causal(), 40, 45), (Mask::sliding(37), 70, 110)] {
            let (keys, values) = (activations(31, positions * HEAD_DIM), activations(32, positions * HEAD_DIM));
            let queries: Vec<u16> = activations(33, 2 * tokens * HEAD_DIM)
                .into_iter()
                .map(|q| bf16_rne(widen(q) * 2.0 / (HEAD_DIM as f32).sqrt()))
                .collect();
            let got = head(&queries, 2, &keys, &values, &mask);
            let wide = |x: &[u16]| -> Vec<f64> { x.iter().map(|v| f64::from(widen(*v))).collect() };
            let (k, v) = (wide(&keys), wide(&values));
            let by_head = |x: &[f64]| -> Vec<f64> {
                let row = |head: usize, token: usize| &x[(2 * token + head) * HEAD_DIM..][..HEAD_DIM];
                (0..2).flat_map(|head| (0..tokens).flat_map(move |token| row(head, token).to_vec())).collect()
            };
            let scale = std::f64::consts::LN_2;
            let problem = HeadProblem { head_dim: HEAD_DIM, mask, scale, q: by_head(&wide(&queries)), group: 2, k, v };
            let error = relative_error(&by_head(&wide(&got)), &problem.direct(Precision::Exact));
            assert!(error <= 0.005, "{error}");
        }
    }

    #[test]
    fn operands_rounded_once_more_add_little_to_what_codes_cost() {
        for (mask, tokens, positions) in [(Mask::causal(), 40, 45), (Mask::sliding(37), 70, 110)] {
            let rows = |seed: u64| -> (Vec<u16>, Vec<i8>, Vec<f32>) {
                let x = activations(seed, positions * HEAD_DIM);
                let (codes, scales): (Vec<_>, Vec<_>) = x.chunks_exact(HEAD_DIM).map(crate::kv_int8::codes).unzip();
                (x, codes.concat(), scales)
            };
            let ((k, key_codes, key_scales), (v, value_codes, value_scales)) = (rows(41), rows(42));
            let queries: Vec<u16> = activations(43, 2 * tokens * HEAD_DIM)
                .into_iter()
                .map(|q| bf16_rne(widen(q) * 2.0 / (HEAD_DIM as f32).sqrt()))
                .collect();
            let keys = Coded { codes: &key_codes, scales: &key_scales };
            let values = Coded { codes: &value_codes, scales: &value_scales };
            let got = head_coded(&queries, 2, keys, values, &mask);
            let wide = |x: &[u16]| -> Vec<f64> { x.iter().map(|v| f64::from(widen(*v))).collect() };
            let cached = |of: Coded| -> Vec<f64> {
                let rows = of.codes.chunks_exact(HEAD_DIM).zip(of.scales);
                rows.flat_map(|(codes, scale)| codes.iter().map(|code| crate::kv_int8::value(*code, *scale))).collect()
            };
            let by_head = |x: &[f64]| -> Vec<f64> {
                let row = |head: usize, token: usize| &x[(2 * token + head) * HEAD_DIM..][..HEAD_DIM];
                (0..2).flat_map(|head| (0..tokens).flat_map(move |token| row(head, token).to_vec())).collect()
            };
            let exact = |k: Vec<f64>, v: Vec<f64>| {
                let (q, scale) = (by_head(&wide(&queries)), std::f64::consts::LN_2);
                let problem = HeadProblem { head_dim: HEAD_DIM, mask, scale, q, group: 2, k, v };
                problem.direct(Precision::Exact)
            };
            let got = by_head(&wide(&got));
            let arithmetic = relative_error(&got, &exact(cached(keys), cached(values)));
            let all = relative_error(&got, &exact(wide(&k), wide(&v)));
            println!("{:.3} % of what is cached, {:.3} % of what was before", 100.0 * arithmetic, 100.0 * all);
            assert!(arithmetic <= 0.005 && all <= 0.015, "{arithmetic} {all}");
        }
    }
}
