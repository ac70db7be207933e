//! Oᵀ[128 d][32 queries] += Vᵀ · Pᵀ over 32 keys   bfloat16 × bfloat16 → float32 in L1. Spec: `oracle::flash::accumulate`.
//!
//! ```text
//! V   [8 d groups][4 k][4 tiles][8 keys][4 d]                  8 KiB, bank 1; a tile is turned into its transpose on the way
//! Pᵀ  [8 query tiles][4 k][8 keys][4 queries]                  2 KiB, bank 3, aligned to its size
//! Oᵀ  [8 d groups][2 query halves][4 tiles][4 tiles][4 d][4 queries]   16 KiB, bank 2, float32: query tiles outside, d tiles inside
//! ```
//! One trip is 2 × 4 tiles of Oᵀ, which are loaded, multiplied into four times, and stored: 32 accesses to bank 2 for 32 `vmac.f`.
//!
//! ```text
//! per trip   vec 32 | loads 16 O, 16 V, 32 P on two ports | st 16 O | mv 8 vshuffle      ⇒ at least 32
//! ```

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::{BANK_BYTES, Places, alone, memory, score};
use crate::KernelError;
use crate::grid::CORE_BASE;
use crate::registers::{config, constant, half_accumulator, shuffle};

/// Declared initiation interval of 2 × 4 tiles.
pub const II: u32 = 36;

/// Core address of V.
pub const V: u32 = CORE_BASE + BANK_BYTES;
/// Core address of Oᵀ.
pub const O: u32 = CORE_BASE + 2 * BANK_BYTES;
/// Core address of Pᵀ.
pub const P: u32 = score::S + 4 * score::KEYS * score::QUERIES;

pub(super) const V_MEMORY: MemRef = MemRef::space(4).in_bank(1);
pub(super) const P_SPACE: u16 = 5;
/// Oᵀ as the loop loads and as it stores it. A tile is loaded once per block, before it is stored, so that no load of the loop needs to be ordered
/// behind a store.
pub(super) const O_LOAD_SPACE: u16 = 6;
pub(super) const O_STORE_SPACE: u16 = 7;

/// Steps of eight keys in a block.
const K_STEPS: usize = score::KEYS as usize / 8;
/// Tiles of a trip: of d, of queries.
const ROWS: usize = 2;
const COLS: usize = 4;
/// Tiles of d in a group.
const GROUP_TILES: usize = 4;
/// Groups of d, halves of the queries, pairs of d tiles in a group.
pub(super) const D_GROUPS: u32 = 128 / (4 * GROUP_TILES as u32);
const HALVES: u32 = score::QUERIES / (4 * COLS as u32);
const PAIRS: u32 = (GROUP_TILES / ROWS) as u32;
/// Bytes of a bfloat16 tile of 32 elements.
const TILE_BYTES: u32 = 64;
/// Bytes of V of a group of d.
const V_GROUP_BYTES: u32 = (K_STEPS * GROUP_TILES) as u32 * TILE_BYTES;
/// Bytes of Pᵀ of one query tile.
const P_TILE_BYTES: u32 = K_STEPS as u32 * TILE_BYTES;
/// Steps of port B from the second half of a tile of Pᵀ to the next query tile, and from there back to the first at the next k.
const P_TILE_STEP: i64 = P_TILE_BYTES as i64 - 32;
const P_K_STEP: i64 = TILE_BYTES as i64 - P_TILE_BYTES as i64 - 32;
/// Bytes of Oᵀ: of a pair of d tiles, of half the queries; and the bits of the query tile in between.
const O_PAIR_BYTES: u32 = ROWS as u32 * 64;
const O_HALF_BYTES: u32 = (GROUP_TILES * COLS) as u32 * 64;
const O_GAP: u32 = O_HALF_BYTES - 2 * O_PAIR_BYTES;

/// Step behind the second half of tile `i` of a trip: to the next d tile, or to the next query tile's first.
fn to_next(i: usize) -> i64 {
    if (i + 1).is_multiple_of(ROWS) { 32 + i64::from(O_PAIR_BYTES) } else { 32 }
}

/// Emits the loop over a block: pairs of d tiles inside, halves of the queries around them, groups of d outside.
pub fn emit(a: &mut Asm) {
    let c = Constants::new(a, &Places::ALONE);
    emit_groups(a, &c, D_GROUPS, &Places::ALONE);
}

/// Registers that go from one run of the loop to the next: constants, and where it goes on.
pub struct Constants {
    dense: Operand,
    transpose: Operand,
    /// Bytes of Oᵀ before the next trip.
    walk: Operand,
    step: Operand,
    gap: Operand,
    keep: Operand,
    pair: Operand,
    half: Operand,
    group: Operand,
    to_v: Operand,
    o_base: Operand,
    v_base: Operand,
    p_base: Operand,
    to_half: Operand,
}

impl Constants {
    /// At the start of a block, V at [`V`].
    pub fn new(a: &mut Asm, places: &Places) -> Self {
        let (dense, transpose) = (constant(a, config::BF16_4X8X4), constant(a, shuffle::T16_8X4));
        // [8 d groups][2 query halves][2 pairs of d tiles]: a step carries over the query tiles
        let (walk, step) = (constant(a, 0), constant(a, i64::from(O_PAIR_BYTES)));
        let (gap, keep) = (constant(a, i64::from(O_GAP)), constant(a, !i64::from(O_GAP)));
        let (pair, half) = (constant(a, i64::from(O_PAIR_BYTES)), constant(a, i64::from(O_HALF_BYTES)));
        let group = constant(a, -2 * i64::from(O_HALF_BYTES));
        // V's groups are half as long as Oᵀ's, its pairs of tiles and the halves of Pᵀ as long
        let to_v = constant(a, -i64::from((2 * O_HALF_BYTES / V_GROUP_BYTES).ilog2()));
        let (o_base, v_base, p_base) =
            (constant(a, i64::from(places.o)), constant(a, i64::from(V)), constant(a, i64::from(places.p)));
        let to_half = a.m();
        a.imm(to_half, i64::from(COLS as u32 / 2 * P_TILE_BYTES));
        Self { dense, transpose, walk, step, gap, keep, pair, half, group, to_v, o_base, v_base, p_base, to_half }
    }
}

/// Emits the loop over the next `groups` groups of d.
pub fn emit_groups(a: &mut Asm, c: &Constants, groups: u32, places: &Places) {
    let Constants { dense, transpose, walk, step, gap, keep, pair, half, group, to_v, o_base, v_base, p_base, to_half } =
        *c;
    let p_memory = memory(P_SPACE, places.p);
    let (o_load, o_store) = (memory(O_LOAD_SPACE, places.o), memory(O_STORE_SPACE, places.o));
    let (pv, pp, pp_b, load, store) = (a.p(), a.p(), a.p(), a.p(), a.p());
    // tiles as they come and as they go, so that the next trip's can come before this one's have gone
    let all: Vec<Operand> = (0..2 * ROWS * COLS).map(|i| half_accumulator(a, i)).collect();
    let (before, tiles) = all.split_at(ROWS * COLS);
    let mut x = |n: usize| (0..n).map(|_| a.x()).collect::<Vec<Operand>>();
    let (stored, values, weights) = (x(2), x(4), x(6));
    a.pipelined("output", II, groups * HALVES * PAIRS, |a| {
        let (o, v, p) = (a.r(), a.r(), a.r());
        a.add(o, o_base, walk);
        a.i("and {}, {}, {}", &[v, walk, group]);
        a.i("lshl {}, {}, {}", &[v, v, to_v]);
        a.add(v, v, v_base);
        a.i("and {}, {}, {}", &[p, walk, pair]);
        a.add(v, v, p);
        a.i("and {}, {}, {}", &[p, walk, half]);
        a.add(p, p, p_base);
        for (pointer, address) in [(load, o), (store, o), (pv, v), (pp, p), (pp_b, p)] {
            a.mov(pointer, address);
        }
        a.i("paddb [{}], {}", &[pp_b, to_half]);
        a.i("or {}, {}, {}", &[walk, walk, gap]);
        a.add(walk, walk, step);
        a.i("and {}, {}, {}", &[walk, walk, keep]);
        for (i, o) in before.iter().enumerate() {
            a.vlda(o_load, o.am(0), load, 32);
            a.vlda(o_load, o.am(1), load, to_next(i));
        }
        for k in 0..K_STEPS {
            let value = |r: usize| values[(ROWS * k + r) % values.len()];
            let weight = |c: usize| weights[(COLS * k + c) % weights.len()];
            for r in 0..ROWS {
                let v = stored[r % stored.len()];
                // the other pair of tiles lies between this one and the next step's
                let next = if r + 1 == ROWS { 32 + i64::from(ROWS as u32 * TILE_BYTES) } else { 32 };
                a.vldb(V_MEMORY, v.lo(), pv, 32);
                a.vldb(V_MEMORY, v.hi(), pv, next);
                a.i("vshuffle {}, {}, {}, {}", &[value(r), v, v, transpose]);
            }
            // half of P by each port; B reaches from tile to tile by its step alone
            for c in 0..COLS / 2 {
                let at = i64::from(c as u32 * P_TILE_BYTES + k as u32 * TILE_BYTES);
                a.mi(p_memory, "vlda {}, [{}, {}]", &[weight(c).lo(), pp, at.into()]);
                a.mi(p_memory, "vlda {}, [{}, {}]", &[weight(c).hi(), pp, (at + 32).into()]);
            }
            for (c, next) in [(COLS / 2, P_TILE_STEP), (COLS / 2 + 1, P_K_STEP)] {
                a.vldb(p_memory, weight(c).lo(), pp_b, 32);
                a.vldb(p_memory, weight(c).hi(), pp_b, next);
            }
            for c in 0..COLS {
                for r in 0..ROWS {
                    let o = tiles[ROWS * c + r];
                    // O[r, c] += Vᵀ[r, k] · Pᵀ[k, c]
                    let so_far = if k == 0 { before[ROWS * c + r] } else { o };
                    a.i("vmac.f {}, {}, {}, {}, {}", &[o, so_far, value(r), weight(c), dense]);
                }
            }
        }
        for (i, o) in tiles.iter().enumerate() {
            a.vst(o_store, o.am(0), store, 32);
            a.vst(o_store, o.am(1), store, to_next(i));
        }
    });
}

/// A program that does one block: V, Pᵀ and Oᵀ at [`V`], [`P`] and [`O`].
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    alone(emit)
}
