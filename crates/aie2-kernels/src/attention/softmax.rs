//! From patterns of scores to probabilities and their sums, one block of 32 keys × 32 queries. Spec: `oracle::flash`.
//!
//! ```text
//! references   r' = m - 2^12 if m < r, else r;  m = min over the keys of Sᵀ & -512      whole octaves, eight of headroom
//! rescale      O, l times 2^(r - r'), if any r' ≠ r      in three limbs
//! probability  Pᵀ = exp2 of r' - Sᵀ,  l += [1] · Pᵀ             the all-ones left operand leaves a column's sum in all four rows
//!
//! r  [8 query tiles][4 × the same][4 queries]   int32, a pattern plus 63 octaves: what `exp2` subtracts from
//! l  [8 query tiles][4 × the same][4 queries]   float32
//! ```
//! One trip is one tile of four queries with its 32 keys.
//!
//! ```text
//! references   ld 16 S, 2 r | mv 19 | st 4          one bank: 22 accesses
//! rescale      per 16 values: vec 4 | st 5, of them 3 conversions
//! probability  lda 16 S, 4 r, 2 l | vec 16 | st 22
//! ```

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::exp2::{self, Constants, STEPS, Tile};
use super::{Places, alone, memory, output, score};
use crate::KernelError;
use crate::registers::{config, constant, half_splat, pinned, shift, splat16, splat32};

/// Declared initiation interval of the references of four queries.
pub const REFERENCE_II: u32 = 30;
/// Declared initiation interval of the rescale of 2 tiles of outputs.
pub const OUTPUT_RESCALE_II: u32 = 13;
/// Declared initiation interval of the probabilities of four queries.
pub const PROBABILITY_II: u32 = 32;
/// The same with Sᵀ and Pᵀ in different banks.
pub const PROBABILITY_APART_II: u32 = 29;

/// Reference of a query that has seen no score: the pattern of minus infinity.
pub const START: i32 = 0xFF80_0000u32 as i32;
/// Core address of the references.
pub const R: u32 = output::P + 2 * score::KEYS * score::QUERIES;
/// Core address of the sums.
pub const L: u32 = R + QUERY_TILES * ROW_BYTES;
/// What a stored reference has over its pattern.
pub const REFERENCE_OFFSET: i32 = 63 * STEPS as i32;

/// Core address of the factors of a rescale and, at the end of a pass, of the limbs of 1/l; aligned to their size.
pub const FACTORS: u32 = L + QUERY_TILES * ROW_BYTES;

const R_SPACE: u16 = 8;
const L_SPACE: u16 = 9;
/// Within a loop references, sums and outputs of a tile are loaded once, before they are stored; loops follow each other in whole bundles, so that the
/// loads of one come behind the stores of the one before.
pub(super) const R_STORE_SPACE: u16 = 10;
pub(super) const L_STORE_SPACE: u16 = 11;
const L_RESCALED_SPACE: u16 = 15;
pub(super) const FACTOR_SPACE: u16 = 12;

/// Tiles of four queries.
pub(super) const QUERY_TILES: u32 = score::QUERIES / 4;
/// Tiles of four keys, and pairs of them.
const KEY_TILES: usize = score::KEYS as usize / 4;
const PAIRS: usize = KEY_TILES / 2;
/// Bytes of the references or the sums of four queries.
pub(super) const ROW_BYTES: u32 = 64;
/// 1 in bfloat16.
const ONE: i64 = 0x3F80;
/// Octaves by which a reference that must move goes beyond the score that moves it.
const HEADROOM: i64 = 8;
/// Comparison mask of sixteen lanes that all hold.
const ALL_LANES: i64 = 0xFFFF;

/// Emits the loop that lowers the references and makes the factors. The register it returns is not zero if any of them is not 1.
pub fn emit_references(a: &mut Asm) -> Operand {
    emit_references_at(a, &Places::ALONE)
}

/// The same elsewhere.
pub fn emit_references_at(a: &mut Asm, places: &Places) -> Operand {
    let (s_memory, r_memory) = (memory(score::S_SPACE, places.s), memory(R_SPACE, places.r));
    let (r_store, factor_memory) = (memory(R_STORE_SPACE, places.r), memory(FACTOR_SPACE, places.factors));
    let (octaves, offset) = (splat32(a, -STEPS), splat32(a, i64::from(REFERENCE_OFFSET)));
    let headroom = splat32(a, -HEADROOM * STEPS);
    let (rows, row) = (constant(a, 32), constant(a, 16));
    // a factor's pattern: -ONE is taken off, and what is below 0 is 0
    let minus_one = splat16(a, -ONE);
    let (quarter, unchanged) = (shift(a, 2), constant(a, ALL_LANES));
    let (scores, from, to, factors) = (a.p(), a.p(), a.p(), a.p());
    for (p, at) in [(scores, places.s), (from, places.r), (to, places.r), (factors, places.factors)] {
        a.imm(p, i64::from(at));
    }
    // few enough to leave room, enough for loads to run ahead
    let rotating = [a.x(), a.x(), a.x()];
    let tiles: [Operand; KEY_TILES] = std::array::from_fn(|i| rotating[i % rotating.len()]);
    let (least, folded, other, reference, lowered) = (a.x(), a.x(), a.x(), a.x(), a.x());
    let difference = a.bm();
    a.pipelined("references", REFERENCE_II, QUERY_TILES, |a| {
        for (i, tile) in tiles.iter().enumerate() {
            a.vlda(s_memory, tile.lo(), scores, 32);
            a.vlda(s_memory, tile.hi(), scores, 32);
            if i > 0 {
                let before = if i == 1 { tiles[0] } else { least };
                a.i("vmin_ge.s32 {}, {}, {}, {}", &[least, "r16".into(), before, *tile]);
            }
        }
        // rows of the tile are keys: turned by two rows, then by one, every row holds the least of all four
        for (from, by) in [(least, rows), (folded, row)] {
            a.i("vshift {}, {}, {}, {}", &[other, from, from, by]);
            a.i("vmin_ge.s32 {}, {}, {}, {}", &[folded, "r16".into(), from, other]);
        }
        a.i("vband {}, {}, {}", &[folded, folded, octaves]);
        a.i("vadd.32 {}, {}, {}", &[folded, folded, offset]);
        a.vlda(r_memory, reference.lo(), from, 32);
        a.vlda(r_memory, reference.hi(), from, 32);
        // bit set: the reference is beyond every score already
        a.i("vge.s32 {}, {}, {}", &["r17".into(), folded, reference]);
        a.i("vadd.32 {}, {}, {}", &[folded, folded, headroom]);
        a.i("vsel.32 {}, {}, {}, {}", &[lowered, folded, reference, "r17".into()]);
        a.i("and {}, {}, {}", &[unchanged, unchanged, "r17".into()]);
        a.vst(r_store, lowered.lo(), to, 32);
        a.vst(r_store, lowered.hi(), to, 32);
        // pattern of 2^(r - r'): 128 · (127 + (r' - r) / 512)
        a.i("vsub.32 {}, {}, {}", &[other, lowered, reference]);
        a.i("vmov {}, {}", &[difference, other]);
        a.i("vsrs.s16.s32 {}, {}, {}", &[other.lo(), difference, quarter]);
        a.i("vmaxdiff_lt.s16 {}, {}, {}, {}", &[other, "r16".into(), other, minus_one]);
        a.vst(factor_memory, other.lo(), factors, 32);
        a.vst(factor_memory, other.lo(), factors, 32);
    });
    let (changed, all) = (a.r(), constant(a, ALL_LANES));
    a.i("ne {}, {}, {}", &[changed, unchanged, all]);
    changed
}

/// Registers of a rescale: `limbs` hold values in their lower halves and zeros above.
struct Rescale {
    one: Operand,
    float: Operand,
    limbs: [Operand; 3],
}

/// Emits the rescale of sums and outputs by the factors.
pub fn emit_rescale(a: &mut Asm) {
    emit_rescale_at(a, &Places::ALONE);
}

/// The same elsewhere.
pub fn emit_rescale_at(a: &mut Asm, places: &Places) {
    let factor_memory = memory(FACTOR_SPACE, places.factors);
    let (l_memory, l_rescaled) = (memory(L_SPACE, places.l), memory(L_RESCALED_SPACE, places.l));
    let (o_load, o_store) = (memory(output::O_LOAD_SPACE, places.o), memory(output::O_STORE_SPACE, places.o));
    let c = Rescale {
        one: half_splat(a, ONE),
        float: constant(a, config::BF16_ELEMENTWISE),
        limbs: [splat16(a, 0), splat16(a, 0), splat16(a, 0)],
    };
    let (factors, load, store) = (a.p(), a.p(), a.p());
    for (p, at) in [(factors, places.factors), (load, places.l), (store, places.l)] {
        a.imm(p, i64::from(at));
    }
    a.loop_n("rescale_sums", QUERY_TILES, |a| {
        let factor = a.x();
        a.vldb(factor_memory, factor.lo(), factors, 32);
        a.vldb(factor_memory, factor.hi(), factors, 32);
        c.tile(a, factor, (l_memory, load), (l_rescaled, store));
    });
    a.imm(load, i64::from(places.o));
    a.imm(store, i64::from(places.o));
    let (base, offset, step) =
        (constant(a, i64::from(places.factors)), constant(a, 0), constant(a, i64::from(ROW_BYTES / 2)));
    // two trips to a query tile
    let wrap = constant(a, i64::from((QUERY_TILES - 1) * ROW_BYTES));
    a.pipelined("rescale_outputs", OUTPUT_RESCALE_II, 2 * output::D_GROUPS * QUERY_TILES, |a| {
        let (at, factor) = (a.r(), a.x());
        a.i("and {}, {}, {}", &[at, offset, wrap]);
        a.add(at, at, base);
        a.mov(factors, at);
        a.add(offset, offset, step);
        a.vldb(factor_memory, factor.lo(), factors, 32);
        a.vldb(factor_memory, factor.hi(), factors, 32);
        for _ in 0..2 {
            c.tile(a, factor, (o_load, load), (o_store, store));
        }
    });
}

impl Rescale {
    fn tile(&self, a: &mut Asm, factor: Operand, (from, load): (MemRef, Operand), (to, store): (MemRef, Operand)) {
        let (v, rest, last, y, both) = (a.bm(), a.bm(), a.bm(), a.bm(), a.x());
        let [first, second, third] = self.limbs;
        for half in 0..2 {
            a.vlda(from, v.am(half), load, 32);
        }
        a.i("vconv.bf16.fp32 {}, {}", &[first.lo(), v]);
        a.i("vmov {}, {}", &[both.lo(), first.lo()]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, v, first, self.one, self.float]);
        a.i("vconv.bf16.fp32 {}, {}", &[second.lo(), rest]);
        a.i("vmov {}, {}", &[both.hi(), second.lo()]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[last, rest, second, self.one, self.float]);
        a.i("vconv.bf16.fp32 {}, {}", &[third.lo(), last]);
        a.i("vmul.f {}, {}, {}, {}", &[y, both, factor, self.float]);
        a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, third, factor, self.float]);
        for half in 0..2 {
            a.vst(to, y.am(half), store, 32);
        }
    }
}

/// Emits the loop that makes the probabilities and adds up their sums.
pub fn emit_probabilities(a: &mut Asm) {
    emit_probabilities_at(a, &Places::ALONE);
}

/// The same elsewhere.
pub fn emit_probabilities_at(a: &mut Asm, places: &Places) {
    let (s_memory, p_memory) = (memory(score::S_SPACE, places.s), memory(output::P_SPACE, places.p));
    let r_store = memory(R_STORE_SPACE, places.r);
    let (l_rescaled, l_store) = (memory(L_RESCALED_SPACE, places.l), memory(L_STORE_SPACE, places.l));
    let c = Constants::new(a);
    let (ones, dense) = (splat16(a, ONE), constant(a, config::BF16_4X8X4));
    let [x0, x1, d, slope, y, reference, sum] =
        ["cm0", "cm1", "cm2", "cm3", "cm4", "cm5", "cm6"].map(|name| pinned(a, Asm::cm, name));
    let sum = sum.bm(0);
    let (scores, to, references, sums, new_sums) = (a.p(), a.p(), a.p(), a.p(), a.p());
    for (p, at) in [(scores, places.s), (to, places.p), (references, places.r), (sums, places.l), (new_sums, places.l)]
    {
        a.imm(p, i64::from(at));
    }
    let ii = if s_memory.bank == p_memory.bank { PROBABILITY_II } else { PROBABILITY_APART_II };
    a.pipelined("probabilities", ii, QUERY_TILES, |a| {
        for (quarter, step) in [(0, 32), (1, -32), (2, 32), (3, 32)] {
            a.vlda(r_store, reference.am(quarter), references, step);
        }
        for half in 0..2 {
            a.vlda(l_rescaled, sum.am(half), sums, 32);
        }
        for pair in 0..PAIRS {
            let x = [x0, x1][pair % 2];
            for quarter in 0..4 {
                a.vlda(s_memory, x.am(quarter), scores, 32);
            }
            exp2::tile(a, &c, reference, &Tile { x, d, slope, y });
            let p = a.x();
            a.i("vsrs.s16.s32 {}, {}, {}", &[p, y, c.rounding()]);
            a.i("vmac.f {}, {}, {}, {}, {}", &[sum, sum, ones, p, dense]);
            a.vst(p_memory, p.lo(), to, 32);
            a.vst(p_memory, p.hi(), to, 32);
        }
        for half in 0..2 {
            a.vst(l_store, sum.am(half), new_sums, 32);
        }
    });
}

/// A program that does one block: Sᵀ at [`score::S`], r at [`R`], l at [`L`], Oᵀ at [`output::O`], Pᵀ to [`output::P`].
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    alone(|a| {
        let changed = emit_references(a);
        a.if_nz(changed, emit_rescale);
        emit_probabilities(a);
    })
}
