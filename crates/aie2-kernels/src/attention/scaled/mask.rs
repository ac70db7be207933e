//! Sᵀ of an edge block: a score whose key the query does not see becomes minus infinity. Spec: `oracle::flash::head`.
//!
//! ```text
//! distance of a pair = D + query - key      D: of the block's first pair       seen: 0 ≤ distance < window
//! ```

use aie2_codegen::{Asm, Operand};

use super::super::{memory, score};
use super::l1::{PARAMETER_MEMORY, PARAMETERS, PLACES, core};
use crate::registers::{constant, splat32};

/// Declared initiation interval of a tile of 4 keys × 4 queries.
pub const II: u32 = 11;
/// Tiles of a block.
const TILES: u32 = score::KEYS / 4 * score::QUERIES / 4;
/// The pattern of minus infinity.
const HIDDEN: i64 = 0xFF80_0000 - (1 << 32);
/// Masks of the key in a walk over the tiles by four, and of the position.
const KEY_MASK: i64 = 28;
const POSITION_MASK: i64 = 12;

/// Emits the loop; the registers hold D and the window.
pub fn emit(a: &mut Asm, distance: Operand, window: Operand) {
    let (load_memory, store_memory) = (memory(score::S_SPACE, PLACES.s), memory(19, PLACES.s));
    let (lanes, hidden, zero, limit) = (a.x(), splat32(a, HIDDEN), splat32(a, 0), a.x());
    a.i("vbcst.32 {}, {}", &[limit, window]);
    let (p, load, store) = (a.p(), a.p(), a.p());
    a.imm(p, i64::from(PARAMETERS) + core::DISTANCES);
    a.vlda(PARAMETER_MEMORY, lanes.lo(), p, 32);
    a.vlda(PARAMETER_MEMORY, lanes.hi(), p, 32);
    a.imm(load, i64::from(PLACES.s));
    a.imm(store, i64::from(PLACES.s));
    // four times the number of the tile: [8 query tiles][8 key tiles]
    let (walk, key_mask, position_mask) = (constant(a, 0), constant(a, KEY_MASK), constant(a, POSITION_MASK));
    let down = constant(a, -3);
    a.pipelined("mask", II, TILES, |a| {
        let (key, position, tile) = (a.r(), a.r(), a.x());
        a.i("and {}, {}, {}", &[key, walk, key_mask]);
        a.i("lshl {}, {}, {}", &[position, walk, down]);
        a.i("and {}, {}, {}", &[position, position, position_mask]);
        a.i("sub {}, {}, {}", &[position, position, key]);
        a.add(position, position, distance);
        a.add(walk, walk, Operand::Imm(4));
        let v = a.x();
        a.i("vbcst.32 {}, {}", &[v, position]);
        a.i("vadd.32 {}, {}, {}", &[v, v, lanes]);
        a.i("vlt.s32 {}, {}, {}", &["r16".into(), v, zero]);
        a.i("vge.s32 {}, {}, {}", &["r17".into(), v, limit]);
        a.i("or {}, {}, {}", &["r18".into(), "r16".into(), "r17".into()]);
        a.vlda(load_memory, tile.lo(), load, 32);
        a.vlda(load_memory, tile.hi(), load, 32);
        a.i("vsel.32 {}, {}, {}, {}", &[tile, tile, hidden, "r18".into()]);
        a.vst(store_memory, tile.lo(), store, 32);
        a.vst(store_memory, tile.hi(), store, 32);
    });
}
