//! One block of 16 keys: scores, references, probabilities, outputs. Spec: `oracle::flash_decode`.
//!
//! ```text
//! Sᵀ = patterns(K Qᵀ), minus infinity where the plan hides it          8 tiles in accumulators
//! r' = min Sᵀ & -512 - 2^12 if below r, else r; O, l times 2^(r - r') if any r' ≠ r
//! Pᵀ = exp2 of r' - Sᵀ in registers, l += Σ Pᵀ
//! Oᵀ += Vᵀ Pᵀ
//! ```
//!
//! | loop | trip | II | bound |
//! |---|---|---|---|
//! | `score` | 8 k of 4 × 2 tiles | 8 | vector slot |
//! | `rescale` | a tile of d of both heads, or the sums | 16 | store slot (10) |
//! | `output` | a tile of d of both heads | 12 | bank 2 (8) |

use aie2_codegen::{Asm, MemRef, Operand};

use super::l1::{self, KV, L, O, O_HEAD_BYTES, O_LOAD, O_STORE, Q, Q_HEAD_BYTES, Q_MEMORY, R, ROWS};
use super::program::START;
use crate::attention::exp2::{self, Constants, STEPS, Tile};
use crate::attention::softmax::REFERENCE_OFFSET;
use crate::registers::{config, constant, half_splat, pinned, shift, shuffle, splat16, splat32};

/// Declared initiation interval of 8 products in each score.
pub const SCORE_II: u32 = 8;
/// Declared initiation interval of the rescale of a tile of d.
pub const RESCALE_II: u32 = 16;
/// Declared initiation interval of a tile of d.
pub const OUTPUT_II: u32 = 12;

pub(super) const HEADS: usize = 2;
pub(super) const KEY_TILES: usize = 4;
/// Pairs of key tiles: steps of eight keys.
pub(super) const PAIRS: usize = 2;
const K_STEPS: u32 = 16;
const D_TILES: u32 = 32;
const RECORD_BYTES: i64 = l1::RECORD_BYTES as i64;
/// 1 in bfloat16.
pub(super) const ONE: i64 = 0x3F80;
/// Octaves by which a reference that must move goes beyond the score that moves it.
const HEADROOM: i64 = 8;
/// Comparison mask of sixteen lanes that all hold.
const ALL_LANES: i64 = 0xFFFF;

/// Emits the block whose unit begins at `unit`; `between` runs when K has been read and before V is. `list` is the next entry of the plan, which
/// holds if it names `turns`.
pub fn emit(a: &mut Asm, unit: Operand, list: Operand, turns: Operand, between: impl FnOnce(&mut Asm)) {
    let hidden = hidden(a, list, turns);
    let tiles = scores(a, unit, KV);
    let (factors, changed) = references(a, &tiles, hidden);
    a.if_nz(changed, |a| rescale(a, factors));
    let weights = probabilities(a, &tiles);
    between(a);
    outputs(a, unit, KV, weights);
}

/// Who does not see which key, a word for each tile of keys.
pub(super) fn hidden(a: &mut Asm, list: Operand, turns: Operand) -> [Operand; KEY_TILES] {
    let words: [Operand; KEY_TILES] = std::array::from_fn(|_| constant(a, 0));
    let (entry, named, holds) = (a.p(), a.r(), a.r());
    a.mov(entry, list);
    a.mi(ROWS, "lda {}, [{}], #4", &[named, entry]);
    a.i("eq {}, {}, {}", &[holds, named, turns]);
    a.if_nz(holds, |a| {
        for word in words {
            a.mi(ROWS, "lda {}, [{}], #4", &[word, entry]);
        }
        a.mov(list, entry);
    });
    words
}

/// Products of K and Qᵀ: a pair of key tiles each, of the first head, then of the second.
pub(super) fn scores(a: &mut Asm, unit: Operand, memory: MemRef) -> Vec<Operand> {
    let dense = constant(a, config::BF16_4X8X4);
    let (second, record) = (a.r(), constant(a, RECORD_BYTES));
    let keys = [a.p(), a.p()];
    a.mov(keys[0], unit);
    a.add(second, unit, record);
    a.mov(keys[1], second);
    let queries = [a.p(), a.p()];
    for (p, at) in queries.into_iter().zip([Q, Q + Q_HEAD_BYTES]) {
        a.imm(p, i64::from(at));
    }
    let pairs: Vec<Operand> = ["cm0", "cm1", "cm2", "cm3"].into_iter().map(|name| pinned(a, Asm::cm, name)).collect();
    let tiles = halves(&pairs);
    for tile in &tiles {
        a.i("vclr {}", &[*tile]);
    }
    a.pipelined("score", SCORE_II, K_STEPS, |a| {
        let k: [Operand; KEY_TILES] = std::array::from_fn(|_| a.x());
        let q = [a.x(), a.x()];
        for (i, x) in k.into_iter().enumerate() {
            a.vlda(memory, x.lo(), keys[i / 2], 32);
            a.vlda(memory, x.hi(), keys[i / 2], 32);
        }
        for (x, p) in q.into_iter().zip(queries) {
            a.vldb(Q_MEMORY, x.lo(), p, 32);
            a.vldb(Q_MEMORY, x.hi(), p, 32);
        }
        for (i, s) in tiles.iter().enumerate() {
            // S[key tile, head] += K[key tile, k] · Qᵀ[k, head]
            a.i("vmac.f {}, {}, {}, {}, {}", &[*s, *s, k[i % KEY_TILES], q[i / KEY_TILES], dense]);
        }
    });
    pairs
}

/// Tile 4 head + key tile of the pairs.
pub(super) fn halves(pairs: &[Operand]) -> Vec<Operand> {
    pairs.iter().flat_map(|pair| [pair.bm(0), pair.bm(1)]).collect()
}

/// Scores to patterns, references that a block moves, factors of the move, and whether there is one.
pub(super) fn references(a: &mut Asm, pairs: &[Operand], hidden: [Operand; KEY_TILES]) -> ([Operand; HEADS], Operand) {
    let elementwise = constant(a, config::BF16_ELEMENTWISE);
    let grid = exp2::grid_factors(a);
    let nothing = splat32(a, START);
    let junk = a.r();
    let least = [a.x(), a.x()];
    for (i, s) in halves(pairs).iter().enumerate() {
        let (head, tile) = (i / KEY_TILES, i % KEY_TILES);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[*s, *s, grid, grid, elementwise]);
        let x = if tile == 0 { least[head] } else { a.x() };
        a.i("vmov {}, {}", &[x, *s]);
        a.i("vsel.32 {}, {}, {}, {}", &[x, x, nothing, hidden[tile]]);
        a.i("vmov {}, {}", &[*s, x]);
        if tile > 0 {
            a.i("vmin_ge.s32 {}, {}, {}, {}", &[least[head], junk, least[head], x]);
        }
    }
    let (octaves, offset) = (splat32(a, -STEPS), splat32(a, i64::from(REFERENCE_OFFSET)));
    let headroom = splat32(a, -HEADROOM * STEPS);
    let minus_one = splat16(a, -ONE);
    let (quarter, unchanged) = (shift(a, 2), constant(a, ALL_LANES));
    let turns = [constant(a, 32), constant(a, 16)];
    let (from, to) = (a.p(), a.p());
    a.imm(from, i64::from(R));
    a.imm(to, i64::from(R));
    let factors = [a.x(), a.x()];
    for (x, factor) in least.into_iter().zip(factors) {
        // rows of the tile are keys: turned by two rows, then by one, every row holds the least of all four
        for by in turns {
            let other = a.x();
            a.i("vshift {}, {}, {}, {}", &[other, x, x, by]);
            a.i("vmin_ge.s32 {}, {}, {}, {}", &[x, junk, x, other]);
        }
        a.i("vband {}, {}, {}", &[x, x, octaves]);
        a.i("vadd.32 {}, {}, {}", &[x, x, offset]);
        let (reference, holds, lowered, difference) = (a.x(), a.r(), a.x(), a.bm());
        a.vlda(ROWS, reference.lo(), from, 32);
        a.vlda(ROWS, reference.hi(), from, 32);
        // bit set: the reference is beyond every score already
        a.i("vge.s32 {}, {}, {}", &[holds, x, reference]);
        a.i("vadd.32 {}, {}, {}", &[x, x, headroom]);
        a.i("vsel.32 {}, {}, {}, {}", &[lowered, x, reference, holds]);
        a.i("and {}, {}, {}", &[unchanged, unchanged, holds]);
        a.vst(ROWS, lowered.lo(), to, 32);
        a.vst(ROWS, lowered.hi(), to, 32);
        // pattern of 2^(r - r'): 128 · (127 + (r' - r) / 512)
        a.i("vsub.32 {}, {}, {}", &[reference, lowered, reference]);
        a.i("vmov {}, {}", &[difference, reference]);
        a.i("vsrs.s16.s32 {}, {}, {}", &[reference.lo(), difference, quarter]);
        a.i("vmov {}, {}", &[reference.hi(), reference.lo()]);
        a.i("vmaxdiff_lt.s16 {}, {}, {}, {}", &[factor, junk, reference, minus_one]);
    }
    let (changed, all) = (a.r(), constant(a, ALL_LANES));
    a.i("ne {}, {}, {}", &[changed, unchanged, all]);
    (factors, changed)
}

/// Outputs and sums, which lie behind them like one more tile of d, times the factors, in three limbs.
pub(super) fn rescale(a: &mut Asm, factors: [Operand; HEADS]) {
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let [first, second, third] = [splat16(a, 0), splat16(a, 0), splat16(a, 0)];
    let tile = |a: &mut Asm, factor: Operand, load: Operand, store: Operand| {
        let (v, rest, y, both) = (a.bm(), a.bm(), a.bm(), a.x());
        for half in 0..2 {
            a.vlda(O_LOAD, v.am(half), load, 32);
        }
        a.i("vconv.bf16.fp32 {}, {}", &[first.lo(), v]);
        a.i("vmov {}, {}", &[both.lo(), first.lo()]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, v, first, one, float]);
        a.i("vconv.bf16.fp32 {}, {}", &[second.lo(), rest]);
        a.i("vmov {}, {}", &[both.hi(), second.lo()]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, rest, second, one, float]);
        a.i("vconv.bf16.fp32 {}, {}", &[third.lo(), rest]);
        a.i("vmul.f {}, {}, {}, {}", &[y, both, factor, float]);
        a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, third, factor, float]);
        for half in 0..2 {
            a.vst(O_STORE, y.am(half), store, 32);
        }
    };
    let (load, store) = (a.p(), a.p());
    // per head: its outputs, then its sums
    let factor = a.x();
    let at = constant(a, i64::from(O));
    let sums = constant(a, i64::from(L));
    a.i("vmov {}, {}", &[factor, factors[0]]);
    a.loop_n("rescale_heads", HEADS as u32, |a| {
        a.mov(load, at);
        a.mov(store, at);
        a.pipelined("rescale", RESCALE_II, D_TILES, |a| tile(a, factor, load, store));
        a.mov(load, sums);
        a.mov(store, sums);
        a.pipelined("rescale_sums", 48, 1, |a| tile(a, factor, load, store));
        let (head, row) = (constant(a, i64::from(O_HEAD_BYTES)), constant(a, 64));
        a.add(at, at, head);
        a.add(sums, sums, row);
        a.i("vmov {}, {}", &[factor, factors[1]]);
    });
}

/// Pᵀ, `[head][pair]`, and the sums.
pub(super) fn probabilities(a: &mut Asm, scores: &[Operand]) -> [[Operand; PAIRS]; HEADS] {
    let c = Constants::new(a);
    let (ones, dense) = (splat16(a, ONE), constant(a, config::BF16_4X8X4));
    let [reference, slope, sums] = ["cm4", "cm5", "cm6"].map(|name| pinned(a, Asm::cm, name));
    let (from, load, store) = (a.p(), a.p(), a.p());
    for (p, at) in [(from, R), (load, L), (store, L)] {
        a.imm(p, i64::from(at));
    }
    let weights = [[a.x(), a.x()], [a.x(), a.x()]];
    for (head, pairs) in weights.iter().enumerate() {
        for (quarter, step) in [(0, 32), (1, -32), (2, 32), (3, 32)] {
            a.vlda(ROWS, reference.am(quarter), from, step);
        }
        let sum = sums.bm(head as u8);
        for half in 0..2 {
            a.vlda(O_STORE, sum.am(half), load, 32);
        }
        for (pair, p) in pairs.iter().enumerate() {
            let x = scores[PAIRS * head + pair];
            exp2::tile(a, &c, reference, &Tile { x, d: x, slope, y: x });
            a.i("vsrs.s16.s32 {}, {}, {}", &[*p, x, c.rounding()]);
            a.i("vmac.f {}, {}, {}, {}, {}", &[sum, sum, ones, *p, dense]);
        }
        for half in 0..2 {
            a.vst(O_LOAD, sum.am(half), store, 32);
        }
    }
    weights
}

/// Outputs, a tile of d of both heads at a time.
pub(super) fn outputs(a: &mut Asm, unit: Operand, memory: MemRef, weights: [[Operand; PAIRS]; HEADS]) {
    let (dense, transpose) = (constant(a, config::BF16_4X8X4), constant(a, shuffle::T16_8X4));
    let (at, step) = (a.r(), constant(a, 2 * RECORD_BYTES));
    a.add(at, unit, step);
    let record = constant(a, RECORD_BYTES);
    let values = [a.p(), a.p()];
    a.mov(values[0], at);
    a.add(at, at, record);
    a.mov(values[1], at);
    let (load, store) = ([a.p(), a.p()], [a.p(), a.p()]);
    for head in 0..HEADS {
        for p in [load[head], store[head]] {
            a.imm(p, i64::from(O + head as u32 * O_HEAD_BYTES));
        }
    }
    a.pipelined("output", OUTPUT_II, D_TILES, |a| {
        let v: [Operand; PAIRS] = std::array::from_fn(|_| a.x());
        for (x, p) in v.into_iter().zip(values) {
            a.vldb(memory, x.lo(), p, 32);
            a.vldb(memory, x.hi(), p, 32);
            a.i("vshuffle {}, {}, {}, {}", &[x, x, x, transpose]);
        }
        for head in 0..HEADS {
            let o = a.bm();
            for half in 0..2 {
                a.vlda(O_LOAD, o.am(half), load[head], 32);
            }
            for (x, p) in v.into_iter().zip(weights[head]) {
                // O[d, head] += Vᵀ[d, keys] · Pᵀ[keys, head]
                a.i("vmac.f {}, {}, {}, {}, {}", &[o, o, x, p, dense]);
            }
            for half in 0..2 {
                a.vst(O_STORE, o.am(half), store[head], 32);
            }
        }
    });
}
