//! The array side: rings, routes and locks.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [6 × 4096] ─► core row c, all columns [2 × 4096]
//! B   shim c ─MM2S 1─► mem c [10 × 4096] ─► column c, all rows [2 × 4096]
//! C   core (c, r) [2 × 1024] ─rows─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```
//! The mem tiles' rings hold what arrives while x is quantised. Every ring is an endless chain paced by its two locks; none knows what it carries.

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile};

use super::l1::{self, OUT_UNIT_BYTES, RING_UNITS, UNIT_BYTES, tile};
use super::program::{Locks, Parameters};
use crate::w8a8::GRID;
use crate::w8a8::quantise::reciprocal_table;

const WORD: u32 = 4;
/// Bytes a core has sent when its turn in the join comes: two units of its out ring.
const JOIN_BYTES: u32 = 2 * OUT_UNIT_BYTES;
/// Units of A in a mem tile. Even channels share 24 BDs: A 6 + 6, results 2 × 2 + 8.
const A_DEPTH: usize = 6;
/// Units of B in a mem tile. Odd channels share 24 BDs: B 10 + 10, results 2 × 2.
const B_DEPTH: usize = 10;
/// Buffers of a mem tile for each core's results.
const OUT_DEPTH: usize = 2;
/// S2MM channels of a mem tile that take the results of its column.
const RESULTS_IN: [u8; 4] = [2, 3, 4, 5];
/// MM2S channel that joins them.
const RESULTS_OUT: u8 = 2;

/// Passes before the first one in which the core computes.
pub const fn turn(col: u8, row: u8) -> u8 {
    (row + GRID - col) % GRID
}

/// The design before its programs are known.
pub struct Array {
    design: Design,
    locks: Locks,
}

impl Array {
    /// Places everything for codes of `limbs` limbs; `parameters` are those of the projection.
    ///
    /// # Errors
    /// A resource runs out; the message names it.
    pub fn new(limbs: u32, parameters: Parameters) -> Result<Self, Error> {
        let mut design = Design::new(GRID)?;
        let mut locks = None;
        for col in 0..GRID {
            for row in 0..GRID {
                let own = core(&mut design, (col, row), limbs, parameters)?;
                // All cores are alike, so one set of lock numbers serves every program.
                debug_assert!(locks.is_none_or(|first| first == own));
                locks = Some(own);
            }
        }
        for col in 0..GRID {
            mem(&mut design, col)?;
            design.token_route(col)?;
        }
        // PANIC: the grid is not empty.
        Ok(Self { design, locks: locks.expect("a core was placed") })
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
                self.design.program(tile(col, row), program)?;
            }
        }
        self.design.finish()
    }
}

fn core(design: &mut Design, (col, row): (u8, u8), limbs: u32, parameters: Parameters) -> Result<Locks, Error> {
    let tile = tile(col, row);
    let units = RING_UNITS as usize;
    let a = design.ring(tile, "A", units, UNIT_BYTES, l1::A.place())?;
    let b = design.ring(tile, "B", units, UNIT_BYTES, l1::B.place())?;
    let out = design.ring(tile, "out", units, OUT_UNIT_BYTES, l1::OUT.place())?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(UNIT_BYTES / WORD)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(UNIT_BYTES / WORD)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
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
    Ok(Locks {
        a_full: a_full.id,
        a_empty: a_empty.id,
        b_full: b_full.id,
        b_empty: b_empty.id,
        out_empty: out_empty.id,
        out_full: out_full.id,
    })
}

fn mem(design: &mut Design, col: u8) -> Result<(), Error> {
    let (mem, shim) = (Tile::mem(col), Tile::shim(col));
    let row: Vec<_> = (0..GRID).map(|c| (tile(c, col), S2mm(0)).into()).collect();
    let column: Vec<_> = (0..GRID).map(|r| (tile(col, r), S2mm(1)).into()).collect();
    for (name, depth, channel, cores) in [("A", A_DEPTH, 0, row), ("B", B_DEPTH, 1, column)] {
        let ring = design.ring(mem, name, depth, UNIT_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(UNIT_BYTES / WORD)])?;
        design.drain_by_dma(ring, Mm2s(channel), &[Pattern::linear(UNIT_BYTES / WORD)])?;
        design.connect((shim, Mm2s(channel)).into(), &[(mem, S2mm(channel)).into()])?;
        design.connect((mem, Mm2s(channel)).into(), &cores)?;
    }
    let mut joined: Vec<RingId> = Vec::new();
    for (r, channel) in (0..GRID).zip(RESULTS_IN) {
        let ring = design.ring(mem, &format!("out {r}"), OUT_DEPTH, JOIN_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(JOIN_BYTES / WORD)])?;
        design.connect((tile(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
        joined.push(ring);
    }
    design.drain_joined(&joined, Mm2s(RESULTS_OUT), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(RESULTS_OUT)).into(), &[(shim, S2mm(0)).into()])
}
