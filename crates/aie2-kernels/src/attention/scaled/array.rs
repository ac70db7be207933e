//! The array side: rings, routes and locks of the 4 × 4 compute tiles and their mem tiles.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [4 × 8 KiB] ─records to key groups─► core row c, all columns [2 × 8 KiB]
//! B   shim c ─MM2S 1─► mem c [4 × 8 KiB] ─records to d groups, in halves─► column c, all rows [2 × 4 KiB]
//! C   core (c, r) [4 × 1024] ─rows─► mem c, ring r [3 × 2048] ─joined─► shim c S2MM 0
//! ```
//! All of a core's results of a pass find room on its way, so a core that is through early does not wait for the join.

use aie2_array::{Design, Error, Pattern, Tile};

use super::l1::{self, A_UNIT_BYTES, B_UNIT_BYTES, OUT_UNITS};
use crate::grid::{Array, Channels, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join, reserve, tile_offset};

/// Units of A, and of pairs of units of B, in a mem tile.
const DEPTH: usize = 4;
/// Turns of a core's results that a mem tile holds.
const OUT_DEPTH: usize = 3;
/// Words of a record of eight keys.
const RECORD_WORDS: u32 = 512;
/// BDs of a mem tile: even 4 + 4 + 4 + 8 + 3, odd 3 × 3 + 12.
const CHANNELS: Channels = Channels::B_EVEN;

/// Places everything.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array() -> Result<Array, Error> {
    Array::new(core, mem)
}

fn core(design: &mut Design, col: u8, row: u8) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let locks = core_rings(
        design,
        tile,
        [
            Units { at: l1::A, count: 2, bytes: A_UNIT_BYTES },
            Units { at: l1::B, count: 2, bytes: B_UNIT_BYTES },
            Units { at: l1::OUT, count: OUT_UNITS, bytes: OUT_UNIT_BYTES },
        ],
    )?;
    let places = l1::PLACES;
    let buffers = [
        ("scores", 0x1000, places.s),
        ("outputs", 0x4000, places.o),
        ("queries", 0x2000, places.q),
        ("parameters", l1::PARAMETER_BYTES, l1::PARAMETERS),
        ("probabilities", 0x800, places.p),
        ("references", 0x200, places.r),
        ("sums", 0x200, places.l),
        ("factors", 0x400, places.factors),
    ];
    reserve(design, tile, buffers)?;
    design.init_data(tile, tile_offset(l1::PARAMETERS), &l1::core_parameters(col, row))?;
    Ok(locks)
}

fn mem(design: &mut Design, col: u8) -> Result<(), Error> {
    // K [2 key groups][2 records][16 k][128 bytes] -> [2 key groups][16 k][2 records][128 bytes]
    let key_groups = Pattern::new(&[(1, 32), (RECORD_WORDS, 2), (32, 16), (2 * RECORD_WORDS, 2)]);
    Through { drain: vec![key_groups], ..Through::linear(DEPTH, A_UNIT_BYTES, CHANNELS.a) }.along_row(design, col)?;
    // V [4 records][2 halves][4 d groups][256 bytes] -> [2 halves][4 d groups][4 records][256 bytes]
    let half = |index: u32| Pattern::new(&[(1, 64), (RECORD_WORDS, 4), (64, 4)]).offset(index * RECORD_WORDS / 2);
    Through { drain: vec![half(0), half(1)], ..Through::linear(DEPTH, 2 * B_UNIT_BYTES, CHANNELS.b) }
        .up_column(design, col)?;
    join(design, col, OUT_DEPTH, CHANNELS)
}
