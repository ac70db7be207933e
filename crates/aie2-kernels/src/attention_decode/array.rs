//! The array side: rings, routes and locks of the 4 × 4 compute tiles and their mem tiles.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [4 × 32 KiB: K | V of two groups of lane c] ─a unit of 8 KiB for each column─► core row c, all columns
//! B   shim c ─MM2S 1─► mem c [4 × 32 KiB: K | V of two groups of lanes 0 .. 3] ─K, V of a lane─► column c, all rows
//! C   core (c, r) [2 × 1024] ─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```

use aie2_array::{Design, Error, Pattern, Tile};

use super::l1::{self, Sizes};
use crate::grid::{
    Array, Channels, GRID, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join, reserve, tile_offset,
};

const WORD: u32 = 4;
/// Records in a unit of A.
const UNIT_RECORDS: u32 = 4;
const A_SLOTS: usize = 4;
const B_SLOTS: usize = 4;
const OUT_SLOTS: usize = 2;
const CHANNELS: Channels = Channels::B_ODD;

/// Places everything.
///
/// # Errors
/// A resource runs out; the message names it.
pub(crate) fn array(sizes: Sizes) -> Result<Array, Error> {
    Array::new(|design, col, row| core(design, (col, row), sizes), |design, col| mem(design, col, sizes))
}

fn core(design: &mut Design, (col, row): (u8, u8), sizes: Sizes) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let ring = |at, bytes| Units { at, count: 2, bytes };
    let rings = [ring(l1::A, sizes.a_unit()), ring(l1::B, sizes.b_unit()), ring(l1::OUT, OUT_UNIT_BYTES)];
    let locks = core_rings(design, tile, rings)?;
    reserve(design, tile, l1::BUFFERS.iter().chain(sizes.own_buffers()).copied())?;
    let place: Vec<u8> = sizes.place(col, row).iter().flat_map(|word| word.to_le_bytes()).collect();
    design.init_data(tile, tile_offset(l1::PLACE), &place)?;
    Ok(locks)
}

fn mem(design: &mut Design, col: u8, sizes: Sizes) -> Result<(), Error> {
    let record = sizes.record / WORD;
    let columns = u32::from(GRID);
    let slot_words = columns * UNIT_RECORDS * record;
    // [4 records of a unit][4 columns][record] -> [4 columns][4 records]
    let units = Pattern::new(&[(1, record), (columns * record, UNIT_RECORDS), (record, columns)]);
    Through { drain: vec![units], ..Through::linear(A_SLOTS, slot_words * WORD, CHANNELS.a) }.along_row(design, col)?;
    // [K, V][4 lanes][unit] -> [4 lanes][K, V]
    let unit = sizes.b_unit() / WORD;
    let planes = Pattern::new(&[(1, unit), (columns * unit, 2), (unit, columns)]);
    Through { drain: vec![planes], ..Through::linear(B_SLOTS, sizes.b_slot(), CHANNELS.b) }.up_column(design, col)?;
    join(design, col, OUT_SLOTS, CHANNELS)
}
