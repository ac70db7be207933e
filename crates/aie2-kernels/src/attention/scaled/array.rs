//! The array side: rings, routes and locks of the 4 × 4 compute tiles and their mem tiles.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c [4 × 8 KiB] ─records to key groups─► core row c, all columns [2 × 8 KiB]
//! B   shim c ─MM2S 1─► mem c [4 × 8 KiB] ─records to d groups, in halves─► column c, all rows [2 × 4 KiB]
//! C   core (c, r) [4 × 1024] ─rows─► mem c, ring r [3 × 2048] ─joined─► shim c S2MM 0
//! ```
//! Circuits, channels and the rings of cores are those of [`crate::w8a16`]. Every ring is an endless chain paced by its two locks; none knows what it
//! carries. All of a core's results of a pass find room on its way, so a core that is through early does not wait for the join.

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile};

use super::GRID;
use super::l1::{self, A_UNIT_BYTES, B_UNIT_BYTES, OUT_UNIT_BYTES, OUT_UNITS};
use super::program::Locks;

const WORD: u32 = 4;
/// Units of A, and of pairs of units of B, in a mem tile.
const DEPTH: usize = 4;
/// Turns of a core's results that a mem tile holds.
const OUT_DEPTH: usize = 3;
/// Bytes a core has sent when its turn in the join comes: two units of its out ring.
const JOIN_BYTES: u32 = 2 * OUT_UNIT_BYTES;
/// Words of a record of eight keys.
const RECORD_WORDS: u32 = 512;
/// Channels of a mem tile, shared out so that the BDs of each parity suffice: even ones 4 + 4 + 4 + 8 + 3, odd ones 3 × 3 + 12.
const B_IN: u8 = 2;
const B_OUT: u8 = 2;
const RESULTS_IN: [u8; 4] = [1, 3, 4, 5];
const RESULTS_OUT: u8 = 1;

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
        let mut core_rings = Vec::new();
        for col in 0..GRID {
            for row in 0..GRID {
                core_rings.push(core(&mut design, col, row)?);
            }
        }
        for col in 0..GRID {
            mem(&mut design, col)?;
            design.token_route(col)?;
        }
        // All cores are alike, so one set of lock numbers serves every program.
        let locks = core_rings[0];
        debug_assert!(core_rings.iter().all(|l| *l == locks));
        Ok(Self { design, locks })
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

/// `count` slots of `bytes` from a core address on.
fn slots(at: u32, count: u32, bytes: u32) -> Place {
    Place::Each((0..count).map(|i| (at & 0xFFFF) + i * bytes).collect())
}

fn core(design: &mut Design, col: u8, row: u8) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let a = design.ring(tile, "A", 2, A_UNIT_BYTES, slots(l1::A, 2, A_UNIT_BYTES))?;
    let b = design.ring(tile, "B", 2, B_UNIT_BYTES, slots(l1::B, 2, B_UNIT_BYTES))?;
    let out =
        design.ring(tile, "out", OUT_UNITS as usize, OUT_UNIT_BYTES, slots(l1::OUT, OUT_UNITS, OUT_UNIT_BYTES))?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(A_UNIT_BYTES / WORD)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(B_UNIT_BYTES / WORD)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
    let places = l1::PLACES;
    for (name, bytes, at) in [
        ("scores", 0x1000, places.s),
        ("outputs", 0x4000, places.o),
        ("queries", 0x2000, places.q),
        ("parameters", l1::PARAMETER_BYTES, l1::PARAMETERS),
        ("probabilities", 0x800, places.p),
        ("references", 0x200, places.r),
        ("sums", 0x200, places.l),
        ("factors", 0x400, places.factors),
    ] {
        design.reserve(tile, name, bytes, Place::At(at & 0xFFFF))?;
    }
    design.init_data(tile, l1::PARAMETERS & 0xFFFF, &l1::core_parameters(col, row))?;
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
    let slot_words = A_UNIT_BYTES / WORD;

    // K [2 key groups][2 records][16 k][128 bytes] -> [2 key groups][16 k][2 records][128 bytes]
    let a = design.ring(mem, "A", DEPTH, A_UNIT_BYTES, Place::Anywhere)?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(slot_words)])?;
    let key_groups = Pattern::new(&[(1, 32), (RECORD_WORDS, 2), (32, 16), (2 * RECORD_WORDS, 2)]);
    design.drain_by_dma(a, Mm2s(0), &[key_groups])?;
    let row: Vec<_> = (0..GRID).map(|c| (Tile::core(c, col), S2mm(0)).into()).collect();
    design.connect((shim, Mm2s(0)).into(), &[(mem, S2mm(0)).into()])?;
    design.connect((mem, Mm2s(0)).into(), &row)?;

    // V [4 records][2 halves][4 d groups][256 bytes] -> [2 halves][4 d groups][4 records][256 bytes]
    let b = design.ring(mem, "B", DEPTH, 2 * B_UNIT_BYTES, Place::Anywhere)?;
    design.fill_by_dma(b, S2mm(B_IN), &[Pattern::linear(slot_words)])?;
    let half = |index: u32| Pattern::new(&[(1, 64), (RECORD_WORDS, 4), (64, 4)]).offset(index * RECORD_WORDS / 2);
    design.drain_by_dma(b, Mm2s(B_OUT), &[half(0), half(1)])?;
    let column: Vec<_> = (0..GRID).map(|r| (Tile::core(col, r), S2mm(1)).into()).collect();
    design.connect((shim, Mm2s(1)).into(), &[(mem, S2mm(B_IN)).into()])?;
    design.connect((mem, Mm2s(B_OUT)).into(), &column)?;

    let mut joined: Vec<RingId> = Vec::new();
    for (r, channel) in (0..GRID).zip(RESULTS_IN) {
        let ring = design.ring(mem, &format!("out {r}"), OUT_DEPTH, JOIN_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(JOIN_BYTES / WORD)])?;
        design.connect((Tile::core(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
        joined.push(ring);
    }
    design.drain_joined(&joined, Mm2s(RESULTS_OUT), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(RESULTS_OUT)).into(), &[(shim, S2mm(0)).into()])
}
