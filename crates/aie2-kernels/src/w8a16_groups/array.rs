//! The array side: rings, routes and locks.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [2 × m·512] ─4 chunks each, tiled 4×8─► core row c, all columns [2 × m·128]
//! B   shim c ─MM2S 1─► mem c [5 × unit] ─► column c, all rows [2 × unit]
//! C   core (c, r) [4 × 1024] ─rows─► mem c, ring r [3 × 2048] ─joined─► shim c S2MM 0
//! ```
//! The rings of C hold a record of x for every core: see [`crate::w8a8`]'s array.

use aie2_array::{Design, Error, Pattern, Tile};

use super::l1;
use super::program::{PARAMETER_BYTES, Parameters};
use crate::grid::{Array, Channels, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join, reserve, tile_offset};

/// Chunks of A in one buffer of a mem tile.
const CHUNKS: u32 = 4;
/// Bytes of a token in one chunk of A, and of 8 of its inputs.
const CHUNK_ROW_BYTES: u32 = 128;
const TILE_ROW_BYTES: u32 = 16;
/// Tokens of a tile of A, and its tiles along k in a chunk.
const TILE_TOKENS: u32 = 4;
const K_TILES: u32 = CHUNK_ROW_BYTES / TILE_ROW_BYTES;
const WORD: u32 = 4;
/// Units of B in a mem tile.
const B_DEPTH: usize = 5;
/// Buffers of a mem tile for each core's results.
const OUT_DEPTH: usize = 3;
/// BDs of a mem tile: even A 2 + 8, B 5 + 5, results 3; odd results 3 × 3 + 12.
const CHANNELS: Channels = Channels::B_EVEN;

/// Places everything for a projection.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array(parameters: Parameters) -> Result<Array, Error> {
    Array::new(|design, col, row| core(design, (col, row), parameters), |design, col| mem(design, col, parameters))
}

fn core(design: &mut Design, (col, row): (u8, u8), parameters: Parameters) -> Result<Locks, Error> {
    let (tile, m) = (Tile::core(col, row), parameters.m);
    let unit = |at, count, bytes| Units { at, count, bytes };
    let a = unit(l1::A, 2, l1::a_bytes(m));
    let b = unit(l1::B, 2, parameters.groups.unit_bytes());
    let out = unit(l1::OUT, l1::OUT_UNITS, OUT_UNIT_BYTES);
    let locks = core_rings(design, tile, [a, b, out])?;
    let buffers = [
        ("panel", l1::PANEL_BYTES, l1::PANEL),
        ("parameters", PARAMETER_BYTES, l1::PARAMETERS),
        ("sums", l1::c_bytes(m), l1::C),
    ];
    reserve(design, tile, buffers)?;
    design.init_data(tile, tile_offset(l1::PARAMETERS), &parameters.bytes(row))?;
    Ok(locks)
}

fn mem(design: &mut Design, col: u8, Parameters { m, groups, .. }: Parameters) -> Result<(), Error> {
    let row_words = CHUNKS * CHUNK_ROW_BYTES / WORD;
    // chunk [m tokens][128 bytes] -> [m/4][8 tiles of k][4 tokens][16 bytes]
    let chunk = |index: u32| {
        let piece = TILE_ROW_BYTES / WORD;
        let dimensions =
            [(1, piece), (row_words, TILE_TOKENS), (piece, K_TILES), (TILE_TOKENS * row_words, m / TILE_TOKENS)];
        Pattern::new(&dimensions).offset(index * CHUNK_ROW_BYTES / WORD)
    };
    let drain = (0..CHUNKS).map(chunk).collect();
    Through { drain, ..Through::linear(2, m * row_words * WORD, CHANNELS.a) }.along_row(design, col)?;
    Through::linear(B_DEPTH, groups.unit_bytes(), CHANNELS.b).up_column(design, col)?;
    join(design, col, OUT_DEPTH, CHANNELS)
}
