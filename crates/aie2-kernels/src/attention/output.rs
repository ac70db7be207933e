//! Oᵀ[128 d][32 queries] += Vᵀ · Pᵀ over 32 keys   bfloat16 × bfloat16 → float32 in L1. Spec: `oracle::flash::accumulate`.
//!
//! ```text
//! V   [8 d groups][4 k][4 tiles][8 keys][4 d]                  8 KiB, bank 1; a tile is turned into its transpose on the way
//! Pᵀ  [8 query tiles][4 k][8 keys][4 queries]                  2 KiB, bank 3, aligned to its size
//! Oᵀ  [8 d groups][2 query halves][4 tiles][4 tiles][4 d][4 queries]   16 KiB, bank 2, float32: query tiles outside, d tiles inside
//! ```
//! One trip is 4 × 4 tiles of Oᵀ, which are loaded, multiplied into four times, and stored: 64 accesses to bank 2 for 64 `vmac.f`.
//!
//! ```text
//! per trip   vec 64 | loads 32 O, 32 V, 32 P on two ports | st 32 O | mv 16 vshuffle      ⇒ at least 64
//! ```

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::{BANK_BYTES, CORE_BASE, Places, config, constant, half_accumulator, memory, score, set_modes};
use crate::KernelError;

/// Declared initiation interval of 4 × 4 tiles.
pub const II: u32 = 77;

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
const COLS: usize = 4;
/// Groups of d, and halves of the queries.
pub(super) const D_GROUPS: u32 = 128 / (4 * ROWS as u32);
const HALVES: u32 = score::QUERIES / (4 * COLS as u32);
/// Bytes of a bfloat16 tile of 32 elements.
const TILE_BYTES: u32 = 64;
/// Bytes of V of a group of d, of Pᵀ of half the queries, of Pᵀ of one query tile.
const V_GROUP_BYTES: u32 = (K_STEPS * ROWS) as u32 * TILE_BYTES;
const P_HALF_BYTES: u32 = (K_STEPS * COLS) as u32 * TILE_BYTES;
const P_TILE_BYTES: u32 = K_STEPS as u32 * TILE_BYTES;
/// Steps of port B from the second half of a tile of Pᵀ to the next query tile, and from there back to the first at the next k.
const P_TILE_STEP: i64 = P_TILE_BYTES as i64 - 32;
const P_K_STEP: i64 = TILE_BYTES as i64 - P_TILE_BYTES as i64 - 32;
/// `vshuffle` mode that transposes 8 × 4 elements of 16 bits.
// SOURCE: Xilinx/llvm-aie aiev2_enums.h, T16_8x4.
const TRANSPOSE_8X4: i64 = 28;

/// Emits the loop over a block: halves of the queries inside, groups of d outside.
pub fn emit(a: &mut Asm) {
    let c = Constants::new(a, &Places::ALONE);
    emit_groups(a, &c, D_GROUPS, &Places::ALONE);
}

/// Registers that go from one run of the loop to the next: constants, and where it goes on.
pub struct Constants {
    dense: Operand,
    transpose: Operand,
    v_next: Operand,
    p_next: Operand,
    v_step: Operand,
    v_turn: Operand,
    p_turn: Operand,
    load: Operand,
    store: Operand,
    to_half: Operand,
}

impl Constants {
    /// At the start of a block, V at [`V`].
    pub fn new(a: &mut Asm, places: &Places) -> Self {
        let (dense, transpose) = (constant(a, config::BF16_4X8X4), constant(a, TRANSPOSE_8X4));
        // addresses of the next trip; V moves on every other time
        let (v_next, p_next) = (constant(a, i64::from(V)), constant(a, i64::from(places.p)));
        let (v_step, v_turn) = (constant(a, 0), constant(a, i64::from(V_GROUP_BYTES)));
        let p_turn = constant(a, i64::from(P_HALF_BYTES));
        let (load, store) = (a.p(), a.p());
        let to_half = a.m();
        a.imm(to_half, i64::from(COLS as u32 / 2 * P_TILE_BYTES));
        a.imm(load, i64::from(places.o));
        a.imm(store, i64::from(places.o));
        Self { dense, transpose, v_next, p_next, v_step, v_turn, p_turn, load, store, to_half }
    }
}

/// Emits the loop over the next `groups` groups of d.
pub fn emit_groups(a: &mut Asm, c: &Constants, groups: u32, places: &Places) {
    let Constants { dense, transpose, v_next, p_next, v_step, v_turn, p_turn, load, store, to_half } = *c;
    let p_memory = memory(P_SPACE, places.p);
    let (o_load, o_store) = (memory(O_LOAD_SPACE, places.o), memory(O_STORE_SPACE, places.o));
    let (pv, pp, pp_b) = (a.p(), a.p(), a.p());
    let tiles: Vec<Operand> = (0..ROWS * COLS).map(|i| half_accumulator(a, i)).collect();
    let mut x = |n: usize| (0..n).map(|_| a.x()).collect::<Vec<Operand>>();
    let (stored, values, weights) = (x(1)[0], x(7), x(4));
    a.pipelined("output", II, groups * HALVES, |a| {
        a.mov(pv, v_next);
        a.mov(pp, p_next);
        a.mov(pp_b, p_next);
        a.i("paddb [{}], {}", &[pp_b, to_half]);
        a.add(v_next, v_next, v_step);
        a.i("xor {}, {}, {}", &[v_step, v_step, v_turn]);
        a.i("xor {}, {}, {}", &[p_next, p_next, p_turn]);
        for o in &tiles {
            a.vlda(o_load, o.am(0), load, 32);
            a.vlda(o_load, o.am(1), load, 32);
        }
        for k in 0..K_STEPS {
            let value = |r: usize| values[(ROWS * k + r) % values.len()];
            let weight = |c: usize| weights[(COLS * k + c) % weights.len()];
            for r in 0..ROWS {
                let v = stored;
                a.vldb(V_MEMORY, v.lo(), pv, 32);
                a.vldb(V_MEMORY, v.hi(), pv, 32);
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
                    a.i("vmac.f {}, {}, {}, {}, {}", &[o, o, value(r), weight(c), dense]);
                }
            }
        }
        for o in &tiles {
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
