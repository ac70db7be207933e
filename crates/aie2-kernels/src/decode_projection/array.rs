//! The array side: rings, routes and locks.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [6 × 4096] ─► core row c, all columns [2 × 4096]
//! B   shim c ─MM2S 1─► mem c [10 × 4096] ─► column c, all rows [2 × 4096]
//! C   core (c, r) [2 × 1024] ─rows─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```
//! The mem tiles' rings hold what arrives while x is quantised.

use aie2_array::{Design, Error, Tile};

use super::l1::{self, RING_UNITS, UNIT_BYTES};
use super::program::Parameters;
use crate::grid::{Array, Channels, GRID, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join};
use crate::w8a8::quantise::reciprocal_table;

/// Units of A and of B in a mem tile.
const A_DEPTH: usize = 6;
const B_DEPTH: usize = 10;
/// Buffers of a mem tile for each core's results.
const OUT_DEPTH: usize = 2;
/// BDs of a mem tile: even A 6 + 6, results 2 × 2 + 8; odd B 10 + 10, results 2 × 2.
const CHANNELS: Channels = Channels::B_ODD;

/// Passes before the first one in which the core computes.
pub const fn turn(col: u8, row: u8) -> u8 {
    (row + GRID - col) % GRID
}

/// Places everything for codes of `limbs` limbs; `parameters` are those of the projection.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array(limbs: u32, parameters: Parameters) -> Result<Array, Error> {
    let core = |design: &mut Design, col, row| core(design, (col, row), limbs, parameters);
    Array::new(core, |design, col| mem(design, col, UNIT_BYTES))
}

fn core(design: &mut Design, (col, row): (u8, u8), limbs: u32, parameters: Parameters) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let ring = |buffer: l1::Buffer, bytes: u32| Units { at: buffer.at(), count: RING_UNITS, bytes };
    let rings = [ring(l1::A, UNIT_BYTES), ring(l1::B, UNIT_BYTES), ring(l1::OUT, OUT_UNIT_BYTES)];
    let locks = core_rings(design, tile, rings)?;
    for (name, buffer) in [
        ("accumulators", l1::ACCUMULATORS),
        ("reciprocals", l1::RECIPROCALS),
        ("token words", l1::TOKEN_WORDS),
        ("absmax", l1::ABSMAX),
        ("parameters", l1::PARAMETERS),
        ("codes", l1::codes(parameters.k)),
    ] {
        design.reserve(tile, name, buffer.bytes, buffer.place())?;
    }
    design.init_data(tile, l1::RECIPROCALS.offset(), &reciprocal_table(limbs))?;
    design.init_data(tile, l1::PARAMETERS.offset(), &parameters.bytes(turn(col, row)))?;
    Ok(locks)
}

/// A mem tile's rings, with units of `unit` bytes on A and B.
pub(crate) fn mem(design: &mut Design, col: u8, unit: u32) -> Result<(), Error> {
    Through::linear(A_DEPTH, unit, CHANNELS.a).along_row(design, col)?;
    Through::linear(B_DEPTH, unit, CHANNELS.b).up_column(design, col)?;
    join(design, col, OUT_DEPTH, CHANNELS)
}
