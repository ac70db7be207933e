//! The array side: rings, routes and locks of the 4 × 4 compute tiles and their mem tiles.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [2 × m·256] ─4 chunks each, tiled 8×8─► core row c, all columns [2 × m·64]
//! B   shim c ─MM2S 1─► mem c [8 or 5 × 4096] ─► column c, all rows [2 × 4096]
//! C   core (c, r) [2·L × 1024] ─rows─► mem c, ring r [1+L × 2048] ─joined─► shim c S2MM 0
//! ```
//! With two limbs (L = 2) a token's row of a chunk is two rows of A. They arrive as [tokens][limb][256 bytes]; the mem tile writes them as
//! [tokens/4][limb][4 tokens][256 bytes], so that each tile of 4 × 8 codes holds one limb of 4 tokens.
//!
//! A column's cores take turns in the join, and all four must have room for a whole record of phase 1: a core that has to wait for its turn would
//! keep the stream of x from those whose turn it is. The rings above hold 6 units of 1024 with one limb, 10 with two. With two, a record may be 2 units
//! longer: cores end their records in the order of the join, so the first turn of a core's next record comes without any more of x.

use aie2_array::{Design, Error, Pattern, Place, Tile};

use super::l1::{B_UNIT_BYTES, L1, RECIPROCAL_BYTES};
use super::phase::{self, Phase};
use super::quantise::reciprocal_table;
use crate::grid::{
    Array, Channels, JOIN_BYTES, Locks, OUT_UNIT_BYTES, Through, along_row, core_rings, join, tile_offset, up_column,
};

/// Chunks of A in one buffer of a mem tile.
const CHUNKS: u32 = 4;
/// Bytes of a row in one chunk of A.
const CHUNK_ROW_BYTES: u32 = 64;
/// Tokens of a row tile of A.
const TILE_TOKENS: u32 = 4;
const WORD: u32 = 4;

/// Largest record of phase 1 that every core can give to path C while no more of x comes.
pub const fn record_bytes_max(limbs: u32) -> u32 {
    let taken_at_once = (limbs - 1) * JOIN_BYTES;
    2 * limbs * OUT_UNIT_BYTES + out_depth(limbs) as u32 * JOIN_BYTES + taken_at_once
}

/// Buffers of a mem tile for each core's results.
const fn out_depth(limbs: u32) -> usize {
    1 + limbs as usize
}

/// Units of B in a mem tile.
const fn b_depth(limbs: u32) -> usize {
    if limbs == 1 { 8 } else { 5 }
}

/// BDs with one limb: even A 2 + 8, results 2 × 2 + 8; odd B 8 + 8, results 2 × 2. With two: even A 2 + 8, B 5 + 5, results 3; odd results 3 × 3 + 12.
const fn channels(limbs: u32) -> Channels {
    if limbs == 1 { Channels::B_ODD } else { Channels::B_EVEN }
}

/// Places everything for a core's memory and the phases it goes through.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array(l1: L1, phases: &[Phase]) -> Result<Array, Error> {
    Array::new(|design, col, row| core(design, (col, row), l1, phases), |design, col| mem(design, col, l1))
}

pub fn core(design: &mut Design, (col, row): (u8, u8), l1: L1, phases: &[Phase]) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let locks = core_rings(design, tile, l1.rings())?;
    let token_bytes = phases.iter().map(Phase::token_bytes).max().unwrap_or(0);
    let entries = phase::table(phases, l1, u32::from(row));
    for (name, bytes, offset) in l1.buffers(token_bytes, entries.len() as u32) {
        design.reserve(tile, name, bytes, Place::At(offset))?;
    }
    let table = reciprocal_table(l1.limbs);
    debug_assert_eq!(table.len(), RECIPROCAL_BYTES as usize);
    design.init_data(tile, tile_offset(l1.reciprocals()), &table)?;
    design.init_data(tile, tile_offset(l1.phases()), &entries)?;
    Ok(locks)
}

/// Patterns of a mem tile's A: how a column of rows arrives, and its chunks.
pub fn a_patterns(L1 { m, limbs }: L1) -> (Pattern, [Pattern; 4]) {
    let row_words = CHUNKS * CHUNK_ROW_BYTES / WORD;
    let rows = match limbs {
        1 => Pattern::linear(m * row_words),
        // [tokens/4][4 tokens][limb] -> [tokens/4][limb][4 tokens]
        _ => Pattern::new(&[
            (1, row_words),
            (TILE_TOKENS * row_words, limbs),
            (row_words, TILE_TOKENS),
            (TILE_TOKENS * limbs * row_words, m / (TILE_TOKENS * limbs)),
        ]),
    };
    // chunk [m rows][64 bytes] -> [m/8][8 tiles of k][8 rows][8 bytes]
    let chunk = |index: u32| {
        Pattern::new(&[(1, 2), (row_words, 8), (2, 8), (8 * row_words, m / 8)]).offset(index * CHUNK_ROW_BYTES / WORD)
    };
    (rows, [chunk(0), chunk(1), chunk(2), chunk(3)])
}

fn mem(design: &mut Design, col: u8, l1: L1) -> Result<(), Error> {
    let channels = channels(l1.limbs);
    let (fill, drain) = a_patterns(l1);
    let bytes = l1.m * CHUNKS * CHUNK_ROW_BYTES;
    Through { depth: 2, bytes, channels: channels.a, fill, drain: drain.to_vec() }.along_row(design, col)?;
    Through::linear(b_depth(l1.limbs), B_UNIT_BYTES, channels.b).up_column(design, col)?;
    join(design, col, out_depth(l1.limbs), channels)
}

/// Circuits of a column's three paths, and the rings of its results.
pub fn connect(design: &mut Design, col: u8, limbs: u32) -> Result<(), Error> {
    let channels = channels(limbs);
    along_row(design, col, channels.a)?;
    up_column(design, col, channels.b)?;
    join(design, col, out_depth(limbs), channels)
}
