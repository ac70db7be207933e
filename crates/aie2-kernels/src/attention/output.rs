//! Oᵀ[128 d][32 queries] += Vᵀ · Pᵀ over 32 keys   bfloat16 × bfloat16 → float32 in L1. Spec: `oracle::flash::accumulate`.
//!
//! ```text
//! V   [8 d groups][4 k][4 tiles][8 keys][4 d]                  8 KiB, bank 1; a tile is turned into its transpose on the way
//! Pᵀ  [8 query tiles][4 k][8 keys][4 queries]                  2 KiB, bank 3, aligned to its size
//! Oᵀ  [8 d groups][2 query halves][4 tiles][4 tiles][4 d][4 queries]   16 KiB, bank 2, float32: query tiles outside, d tiles inside
//! ```
//! One trip is 4 × 2 tiles of Oᵀ, which are loaded, multiplied into four times, and stored: 32 accesses to bank 2 for 32 `vmac.f`.
//!
//! ```text
//! per trip   vec 32 | lda 16 O, 16 P | ldb 32 V | st 16 O | mv 16 vshuffle      ⇒ at least 32; 36 leave the DMA turns at V's bank
//! ```

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::{BANK_BYTES, CORE_BASE, Places, config, constant, half_accumulator, memory, score, set_modes};
use crate::KernelError;

/// Declared initiation interval of 4 × 2 tiles.
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
const ROWS: usize = 4;
const COLS: usize = 2;
/// Groups of d, and pairs of query tiles.
pub(super) const D_GROUPS: u32 = 128 / (4 * ROWS as u32);
const PAIRS: u32 = score::QUERIES / (4 * COLS as u32);
/// Bytes of a bfloat16 tile of 32 elements.
const TILE_BYTES: u32 = 64;
/// Bytes of V of a group of d.
const V_GROUP_BYTES: u32 = (K_STEPS * ROWS) as u32 * TILE_BYTES;
/// Bytes of Pᵀ: of a query tile, of a pair of them, of all.
const P_TILE_BYTES: u32 = K_STEPS as u32 * TILE_BYTES;
const P_PAIR_BYTES: u32 = COLS as u32 * P_TILE_BYTES;
const P_BYTES: u32 = PAIRS * P_PAIR_BYTES;
/// `vshuffle` mode that transposes 8 × 4 elements of 16 bits.
// SOURCE: Xilinx/llvm-aie aiev2_enums.h, T16_8x4.
const TRANSPOSE_8X4: i64 = 28;

/// Emits the loop over a block: pairs of query tiles inside, groups of d outside.
pub fn emit(a: &mut Asm) {
    let c = Constants::new(a, &Places::ALONE);
    emit_groups(a, &c, D_GROUPS, &Places::ALONE);
}

/// Registers that go from one run of the loop to the next: constants, and where it goes on.
pub struct Constants {
    dense: Operand,
    transpose: Operand,
    /// Bytes of Pᵀ walked over, again and again.
    walk: Operand,
    step: Operand,
    /// Those since its start.
    p_mask: Operand,
    group_mask: Operand,
    to_v: Operand,
    v_base: Operand,
    p_base: Operand,
    load: Operand,
    store: Operand,
}

impl Constants {
    /// At the start of a block, V at [`V`].
    pub fn new(a: &mut Asm, places: &Places) -> Self {
        let (dense, transpose) = (constant(a, config::BF16_4X8X4), constant(a, TRANSPOSE_8X4));
        let (walk, step) = (constant(a, 0), constant(a, i64::from(P_PAIR_BYTES)));
        let (p_mask, group_mask) = (constant(a, i64::from(P_BYTES - 1)), constant(a, -i64::from(P_BYTES)));
        // V's groups are half as long as Pᵀ
        let to_v = constant(a, -i64::from((P_BYTES / V_GROUP_BYTES).ilog2()));
        let (v_base, p_base) = (constant(a, i64::from(V)), constant(a, i64::from(places.p)));
        let (load, store) = (a.p(), a.p());
        a.imm(load, i64::from(places.o));
        a.imm(store, i64::from(places.o));
        Self { dense, transpose, walk, step, p_mask, group_mask, to_v, v_base, p_base, load, store }
    }
}

/// Emits the loop over the next `groups` groups of d.
pub fn emit_groups(a: &mut Asm, c: &Constants, groups: u32, places: &Places) {
    let Constants { dense, transpose, walk, step, p_mask, group_mask, to_v, v_base, p_base, load, store } = *c;
    let p_memory = memory(P_SPACE, places.p);
    let (o_load, o_store) = (memory(O_LOAD_SPACE, places.o), memory(O_STORE_SPACE, places.o));
    let (pv, pp) = (a.p(), a.p());
    // tiles as they come and as they go, so that the next trip's can come before this one's have gone
    let all: Vec<Operand> = (0..2 * ROWS * COLS).map(|i| half_accumulator(a, i)).collect();
    let (before, tiles) = all.split_at(ROWS * COLS);
    let mut x = |n: usize| (0..n).map(|_| a.x()).collect::<Vec<Operand>>();
    let (stored, values, weights) = (x(2), x(6), x(4));
    a.pipelined("output", II, groups * PAIRS, |a| {
        let (v, p) = (a.r(), a.r());
        a.i("and {}, {}, {}", &[v, walk, group_mask]);
        a.i("lshl {}, {}, {}", &[v, v, to_v]);
        a.add(v, v, v_base);
        a.i("and {}, {}, {}", &[p, walk, p_mask]);
        a.add(p, p, p_base);
        a.mov(pv, v);
        a.mov(pp, p);
        a.add(walk, walk, step);
        for o in before {
            a.vlda(o_load, o.am(0), load, 32);
            a.vlda(o_load, o.am(1), load, 32);
        }
        for k in 0..K_STEPS {
            let value = |r: usize| values[(ROWS * k + r) % values.len()];
            let weight = |c: usize| weights[(COLS * k + c) % weights.len()];
            for r in 0..ROWS {
                let v = stored[r % stored.len()];
                a.vldb(V_MEMORY, v.lo(), pv, 32);
                a.vldb(V_MEMORY, v.hi(), pv, 32);
                a.i("vshuffle {}, {}, {}, {}", &[value(r), v, v, transpose]);
            }
            for c in 0..COLS {
                let at = i64::from(c as u32 * P_TILE_BYTES + k as u32 * TILE_BYTES);
                a.mi(p_memory, "vlda {}, [{}, {}]", &[weight(c).lo(), pp, at.into()]);
                a.mi(p_memory, "vlda {}, [{}, {}]", &[weight(c).hi(), pp, (at + 32).into()]);
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
        for o in tiles {
            a.vst(o_store, o.am(0), store, 32);
            a.vst(o_store, o.am(1), store, 32);
        }
    });
}

/// A program that does one block: V, Pᵀ and Oᵀ at [`V`], [`P`] and [`O`].
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    let mut a = Asm::new();
    set_modes(&mut a);
    emit(&mut a);
    a.done();
    Ok(a.finish()?)
}
