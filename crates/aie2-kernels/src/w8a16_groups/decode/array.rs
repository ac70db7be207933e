//! The array side: rings, routes and locks.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [6 × unit] ─► core row c, all columns [2 × unit]
//! B   shim c ─MM2S 1─► mem c [10 × unit] ─► column c, all rows [2 × unit]
//! C   core (c, r) [2 × 1024] ─rows─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```

use aie2_array::{Design, Error, Tile};

use super::l1::{self, RING_UNITS};
use super::program::{PARAMETER_BYTES, Parameters};
use crate::decode_projection::array::{mem, turn};
use crate::grid::{Array, Locks, OUT_UNIT_BYTES, Units, core_rings, reserve, tile_offset};

/// Places everything for a projection.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array(parameters: Parameters) -> Result<Array, Error> {
    let unit = parameters.groups.unit_bytes();
    Array::new(|design, col, row| core(design, (col, row), parameters), |design, col| mem(design, col, unit))
}

fn core(design: &mut Design, (col, row): (u8, u8), parameters: Parameters) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let ring = |at, bytes| Units { at, count: RING_UNITS, bytes };
    let unit = parameters.groups.unit_bytes();
    let locks = core_rings(design, tile, [ring(l1::A, unit), ring(l1::B, unit), ring(l1::OUT, OUT_UNIT_BYTES)])?;
    let buffers = [
        ("sums", l1::SUMS_BYTES, l1::SUMS),
        ("parameters", PARAMETER_BYTES, l1::PARAMETERS),
        ("x", l1::x_bytes(parameters.projection.k), l1::X),
    ];
    reserve(design, tile, buffers)?;
    design.init_data(tile, tile_offset(l1::PARAMETERS), &parameters.bytes(turn(col, row)))?;
    Ok(locks)
}
