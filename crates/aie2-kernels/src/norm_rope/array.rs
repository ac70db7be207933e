//! The array side: routes of `docs/norm-rope.md`, rings of this phase.
//!
//! ```text
//! A   shim r ─MM2S 0─► mem r [3 × 8192] ─► core row r, all columns [2 × 8192]          weights and tables
//! B   shim c ─MM2S 1─► mem c [8 × 4096] ─► column c, all rows [2 × 4096]               q, k, v of the column's heads
//! C   core (c, r) [2 × 1024] ─rows─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```

use aie2_array::{Design, Error, Tile};
use npu_package::layout::KvFormat;

use super::geometry::{GEOMETRY_BYTES, GEOMETRY_KV8_BYTES, geometry, geometry_kv8};
use super::program::{A_UNIT_BYTES, B_UNIT_BYTES, CALL_WORDS, L1, WORK_BYTES};
use crate::grid::{
    Array, CORE_BASE, Channels, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join, reserve, tile_offset,
};

const WORD: u32 = 4;
/// Buffers of a mem tile.
const A_DEPTH: usize = 3;
const B_DEPTH: usize = 8;
const OUT_DEPTH: usize = 2;
/// BDs of a mem tile: even A 3 + 3, results 2 × 2 + 8; odd B 8 + 8, results 2 × 2.
const CHANNELS: Channels = Channels::B_ODD;

/// Where things lie when the kernel has the array to itself.
pub const L1_ALONE: L1 = L1 {
    a: CORE_BASE,
    b: CORE_BASE + 0x4000,
    out: CORE_BASE + 0x6000,
    out_units: 2,
    geometry: CORE_BASE + 0x7000,
    call: CORE_BASE + 0x7100,
    work: CORE_BASE + 0x8000,
};

/// The same for INT8 caches: what becomes codes is in the bank of the out ring.
pub const L1_KV8_ALONE: L1 =
    L1 { work: CORE_BASE + 0x7000, geometry: CORE_BASE + 0x8000, call: CORE_BASE + 0x8100, ..L1_ALONE };

/// Places everything.
pub(crate) fn array(l1: L1, cache: KvFormat) -> Result<Array, Error> {
    Array::new(|design, col, row| core(design, (col, row), l1, cache), mem)
}

fn core(design: &mut Design, (col, row): (u8, u8), l1: L1, cache: KvFormat) -> Result<Locks, Error> {
    let (geometry_bytes, geometry) = match cache {
        KvFormat::Bf16 => (GEOMETRY_BYTES, geometry(row)),
        KvFormat::Int8 => (GEOMETRY_KV8_BYTES, geometry_kv8(row)),
    };
    let tile = Tile::core(col, row);
    let locks = core_rings(
        design,
        tile,
        [
            Units { at: l1.a, count: 2, bytes: A_UNIT_BYTES },
            Units { at: l1.b, count: 2, bytes: B_UNIT_BYTES },
            Units { at: l1.out, count: l1.out_units, bytes: OUT_UNIT_BYTES },
        ],
    )?;
    let buffers = [
        ("geometry", geometry_bytes.next_multiple_of(32), l1.geometry),
        ("call", (CALL_WORDS * WORD).next_multiple_of(32), l1.call),
        ("work", WORK_BYTES, l1.work),
    ];
    reserve(design, tile, buffers)?;
    design.init_data(tile, tile_offset(l1.geometry), &geometry)?;
    Ok(locks)
}

fn mem(design: &mut Design, col: u8) -> Result<(), Error> {
    Through::linear(A_DEPTH, A_UNIT_BYTES, CHANNELS.a).along_row(design, col)?;
    Through::linear(B_DEPTH, B_UNIT_BYTES, CHANNELS.b).up_column(design, col)?;
    join(design, col, OUT_DEPTH, CHANNELS)
}
