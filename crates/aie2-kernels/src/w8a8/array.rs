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
//!
//! Every ring is an endless chain paced by its two locks; none knows what it carries.

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile};

use super::l1::{B_UNIT_BYTES, L1, OUT_UNIT_BYTES, RECIPROCAL_BYTES, tile};
use super::phase::{self, Phase};
use super::program::Locks;
use super::quantise::reciprocal_table;

/// Columns, and core rows.
pub const GRID: u8 = 4;
/// Chunks of A in one buffer of a mem tile.
const CHUNKS: u32 = 4;
/// Bytes of a row in one chunk of A.
const CHUNK_ROW_BYTES: u32 = 64;
/// Tokens of a row tile of A.
const TILE_TOKENS: u32 = 4;
const WORD: u32 = 4;

/// Bytes a core has sent when its turn in the join comes: two units of its out ring.
pub const JOIN_BYTES: u32 = 2 * OUT_UNIT_BYTES;

/// Largest record of phase 1 that every core can give to path C while no more of x comes.
pub const fn record_bytes_max(limbs: u32) -> u32 {
    let taken_at_once = (limbs - 1) * JOIN_BYTES;
    2 * limbs * OUT_UNIT_BYTES + out_depth(limbs) as u32 * JOIN_BYTES + taken_at_once
}

/// Buffers of a mem tile for each core's results.
const fn out_depth(limbs: u32) -> usize {
    1 + limbs as usize
}

/// Channels of a mem tile, shared out so that the BDs of each parity suffice: even channels and odd ones have 24 each.
struct Channels {
    b_in: u8,
    b_out: u8,
    b_depth: usize,
    results_in: [u8; 4],
    results_out: u8,
}

impl Channels {
    const fn new(limbs: u32) -> Self {
        if limbs == 1 {
            // even: A 2 + 8, results 2 × 2 + 8; odd: B 8 + 8, results 2 × 2
            Self { b_in: 1, b_out: 1, b_depth: 8, results_in: [2, 3, 4, 5], results_out: 2 }
        } else {
            // even: A 2 + 8, B 5 + 5, results 3; odd: results 3 × 3 + 12
            Self { b_in: 2, b_out: 2, b_depth: 5, results_in: [1, 3, 4, 5], results_out: 1 }
        }
    }
}

/// The design before its programs are known.
pub struct Array {
    design: Design,
    locks: Locks,
}

impl Array {
    /// Places everything for a core's memory and the phases it goes through.
    ///
    /// # Errors
    /// A resource runs out; the message names it.
    pub fn new(l1: L1, phases: &[Phase]) -> Result<Self, Error> {
        let mut design = Design::new(GRID)?;
        let mut core_rings = Vec::new();
        let mut outs = Vec::new();
        for col in 0..GRID {
            for row in 0..GRID {
                let (locks, out) = core(&mut design, (col, row), l1, phases)?;
                core_rings.push(locks);
                outs.push(out);
            }
        }
        for col in 0..GRID {
            mem(&mut design, col, l1)?;
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
                self.design.program(tile(col, row), program)?;
            }
        }
        self.design.finish()
    }
}

pub fn core(design: &mut Design, (col, row): (u8, u8), l1: L1, phases: &[Phase]) -> Result<(Locks, RingId), Error> {
    let tile = tile(col, row);
    let [a_place, b_place, out_place] = l1.rings();
    let a = design.ring(tile, "A", 2, l1.a_bytes(), a_place)?;
    let b = design.ring(tile, "B", 2, B_UNIT_BYTES, b_place)?;
    let out = design.ring(tile, "out", l1.out_units() as usize, OUT_UNIT_BYTES, out_place)?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(l1.a_bytes() / WORD)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(B_UNIT_BYTES / WORD)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
    let token_bytes = phases.iter().map(Phase::token_bytes).max().unwrap_or(0);
    let entries = phase::table(phases, l1, u32::from(row));
    for (name, bytes, offset) in l1.buffers(token_bytes, entries.len() as u32) {
        design.reserve(tile, name, bytes, Place::At(offset))?;
    }
    let table = reciprocal_table(l1.limbs);
    debug_assert_eq!(table.len(), RECIPROCAL_BYTES as usize);
    design.init_data(tile, l1.reciprocals() & 0xFFFF, &table)?;
    design.init_data(tile, l1.phases() & 0xFFFF, &entries)?;
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
    let (mem, L1 { m, limbs }) = (Tile::mem(col), l1);
    let Channels { b_in, b_out, b_depth, .. } = Channels::new(limbs);
    let a = design.ring(mem, "A", 2, m * CHUNKS * CHUNK_ROW_BYTES, Place::Anywhere)?;
    let (rows, chunks) = a_patterns(l1);
    design.fill_by_dma(a, S2mm(0), &[rows])?;
    design.drain_by_dma(a, Mm2s(0), &chunks)?;
    let b = design.ring(mem, "B", b_depth, B_UNIT_BYTES, Place::Anywhere)?;
    design.fill_by_dma(b, S2mm(b_in), &[Pattern::linear(B_UNIT_BYTES / WORD)])?;
    design.drain_by_dma(b, Mm2s(b_out), &[Pattern::linear(B_UNIT_BYTES / WORD)])?;
    connect(design, col, limbs)
}

/// Circuits of a column's three paths, and the rings of its results.
pub fn connect(design: &mut Design, col: u8, limbs: u32) -> Result<(), Error> {
    let (mem, shim) = (Tile::mem(col), Tile::shim(col));
    let Channels { b_in, b_out, results_in, results_out, .. } = Channels::new(limbs);
    let row: Vec<_> = (0..GRID).map(|c| (tile(c, col), S2mm(0)).into()).collect();
    design.connect((shim, Mm2s(0)).into(), &[(mem, S2mm(0)).into()])?;
    design.connect((mem, Mm2s(0)).into(), &row)?;
    let column: Vec<_> = (0..GRID).map(|r| (tile(col, r), S2mm(1)).into()).collect();
    design.connect((shim, Mm2s(1)).into(), &[(mem, S2mm(b_in)).into()])?;
    design.connect((mem, Mm2s(b_out)).into(), &column)?;

    let mut joined = Vec::new();
    for (r, channel) in (0..GRID).zip(results_in) {
        let ring = design.ring(mem, &format!("out {r}"), out_depth(limbs), JOIN_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(JOIN_BYTES / WORD)])?;
        design.connect((tile(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
        joined.push(ring);
    }
    design.drain_joined(&joined, Mm2s(results_out), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(results_out)).into(), &[(shim, S2mm(0)).into()])
}
