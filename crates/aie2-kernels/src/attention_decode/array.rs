//! The array side: rings, routes and locks of the 4 × 4 compute tiles and their mem tiles.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [4 × 32 KiB: K | V of two groups of lane c] ─a unit of 8 KiB for each column─► core row c, all columns
//! B   shim c ─MM2S 1─► mem c [4 × 32 KiB: K | V of two groups of lanes 0 .. 3] ─K, V of a lane─► column c, all rows
//! C   core (c, r) [2 × 1024] ─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile};

use super::l1;
use super::program::Locks;

/// Columns, and core rows.
pub const GRID: u8 = 4;
const WORD: u32 = 4;
/// Words of a record: 8 keys of a head.
pub const RECORD_WORDS: u32 = 512;
/// Records in a unit of A.
const UNIT_RECORDS: u32 = 4;
const A_SLOTS: usize = 4;
const B_SLOTS: usize = 4;
/// Bytes of a slot of B in a mem tile: a block of one head of every lane.
pub const B_SLOT_BYTES: u32 = 2 * 4 * l1::B_UNIT_BYTES;
const OUT_SLOTS: usize = 2;
/// Bytes of one core's outputs.
const JOIN_BYTES: u32 = 2 * l1::OUT_UNIT_BYTES;
/// Channels of the mem tile that take results: with them the BDs of either parity suffice.
const RESULTS: [u8; 4] = [2, 3, 4, 5];

/// The design before its programs are known.
pub struct Array {
    design: Design,
    locks: Locks,
}

impl Array {
    /// Places everything.
    ///
    /// # Errors
    /// A resource runs out; the message names it.
    pub fn new() -> Result<Self, Error> {
        let mut design = Design::new(GRID)?;
        let mut locks = Vec::new();
        let mut outs = Vec::new();
        for col in 0..GRID {
            for row in 0..GRID {
                let (own, out) = core(&mut design, col, row)?;
                locks.push(own);
                outs.push(out);
            }
        }
        for col in 0..GRID {
            mem(&mut design, col)?;
            design.token_route(col)?;
        }
        debug_assert!(locks.iter().all(|l| *l == locks[0]), "all cores are alike");
        Ok(Self { design, locks: locks[0] })
    }

    /// Lock numbers of the rings as every core sees them.
    pub fn locks(&self) -> Locks {
        self.locks
    }

    /// Installs the program on every core and lowers the design.
    ///
    /// # Errors
    /// An illegal route, or a program too long.
    pub fn finish(mut self, program: &[u8]) -> Result<Configuration, Error> {
        for col in 0..GRID {
            for row in 0..GRID {
                self.design.program(Tile::core(col, row), program)?;
            }
        }
        self.design.finish()
    }
}

fn core(design: &mut Design, col: u8, row: u8) -> Result<(Locks, RingId), Error> {
    let tile = Tile::core(col, row);
    let offset = |address: u32| address & 0xFFFF;
    let slots = |at: u32, bytes: u32| Place::Each(vec![offset(at), offset(at) + bytes]);
    let a = design.ring(tile, "A", 2, l1::A_UNIT_BYTES, slots(l1::A, l1::A_UNIT_BYTES))?;
    let b = design.ring(tile, "B", 2, l1::B_UNIT_BYTES, slots(l1::B, l1::B_UNIT_BYTES))?;
    let out = design.ring(tile, "out", 2, l1::OUT_UNIT_BYTES, slots(l1::OUT, l1::OUT_UNIT_BYTES))?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(l1::A_UNIT_BYTES / WORD)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(l1::B_UNIT_BYTES / WORD)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
    for (name, bytes, at) in l1::BUFFERS {
        design.reserve(tile, name, bytes, Place::At(offset(at)))?;
    }
    let place: Vec<u8> = l1::place(col, row).iter().flat_map(|word| word.to_le_bytes()).collect();
    design.init_data(tile, offset(l1::PLACE), &place)?;
    let locks = Locks {
        a_full: a_full.id,
        a_empty: a_empty.id,
        b_full: b_full.id,
        b_empty: b_empty.id,
        out_empty: out_empty.id,
        out_full: out_full.id,
    };
    Ok((locks, out))
}

fn mem(design: &mut Design, col: u8) -> Result<(), Error> {
    let (mem, shim, columns) = (Tile::mem(col), Tile::shim(col), u32::from(GRID));
    let slot_words = columns * UNIT_RECORDS * RECORD_WORDS;
    let a = design.ring(mem, "A", A_SLOTS, slot_words * WORD, Place::Anywhere)?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(slot_words)])?;
    // [4 records of a unit][4 columns][record] -> [4 columns][4 records]
    let units = Pattern::new(&[(1, RECORD_WORDS), (columns * RECORD_WORDS, UNIT_RECORDS), (RECORD_WORDS, columns)]);
    design.drain_by_dma(a, Mm2s(0), &[units])?;
    let row: Vec<_> = (0..GRID).map(|c| (Tile::core(c, col), S2mm(0)).into()).collect();
    design.connect((shim, Mm2s(0)).into(), &[(mem, S2mm(0)).into()])?;
    design.connect((mem, Mm2s(0)).into(), &row)?;

    let b = design.ring(mem, "B", B_SLOTS, B_SLOT_BYTES, Place::Anywhere)?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(B_SLOT_BYTES / WORD)])?;
    // [K, V][4 lanes][unit] -> [4 lanes][K, V]
    let unit = l1::B_UNIT_BYTES / WORD;
    let planes = Pattern::new(&[(1, unit), (columns * unit, 2), (unit, columns)]);
    design.drain_by_dma(b, Mm2s(1), &[planes])?;
    let column: Vec<_> = (0..GRID).map(|r| (Tile::core(col, r), S2mm(1)).into()).collect();
    design.connect((shim, Mm2s(1)).into(), &[(mem, S2mm(1)).into()])?;
    design.connect((mem, Mm2s(1)).into(), &column)?;

    let mut joined = Vec::new();
    for (r, channel) in (0..GRID).zip(RESULTS) {
        let ring = design.ring(mem, &format!("out {r}"), OUT_SLOTS, JOIN_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(JOIN_BYTES / WORD)])?;
        design.connect((Tile::core(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
        joined.push(ring);
    }
    design.drain_joined(&joined, Mm2s(2), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(2)).into(), &[(shim, S2mm(0)).into()])
}
