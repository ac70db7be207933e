//! The array side: routes of `docs/norm-rope.md`, rings of this phase.
//!
//! ```text
//! A   shim r ─MM2S 0─► mem r [3 × 8192] ─► core row r, all columns [2 × 8192]          weights and tables
//! B   shim c ─MM2S 1─► mem c [8 × 4096] ─► column c, all rows [2 × 4096]               q, k, v of the column's heads
//! C   core (c, r) [2 × 1024] ─rows─► mem c, ring r [2 × 2048] ─joined─► shim c S2MM 0
//! ```

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile};

use super::geometry::{GEOMETRY_BYTES, geometry};
use super::program::{A_UNIT_BYTES, B_UNIT_BYTES, CALL_WORDS, L1, OUT_UNIT_BYTES, WORK_BYTES};
use crate::w8a8::{GRID, Locks};

const WORD: u32 = 4;
/// Bytes a core has sent when its turn in the join comes.
const JOIN_BYTES: u32 = 2 * OUT_UNIT_BYTES;
/// Buffers of a mem tile.
const A_DEPTH: usize = 3;
const B_DEPTH: usize = 8;
const OUT_DEPTH: usize = 2;
/// Channels of a mem tile, so that the BDs of each parity suffice: even A 3 + 3, results 2 × 2 + 8; odd B 8 + 8, results 2 × 2.
const B_CHANNEL: u8 = 1;
const RESULTS_IN: [u8; 4] = [2, 3, 4, 5];
const RESULTS_OUT: u8 = 2;

/// Address of a tile's own memory as its core sees it.
// SOURCE: Xilinx/mlir-aie AIETargetModel.cpp, getMemLocalBaseAddress (east).
const CORE_BASE: u32 = 0x7_0000;

/// Where things lie when the kernel has the array to itself.
pub const L1_ALONE: L1 = L1 {
    a: CORE_BASE,
    b: CORE_BASE + 0x4000,
    out: CORE_BASE + 0x6000,
    out_units: 2,
    geometry: CORE_BASE + 0x7000,
    call: CORE_BASE + 0x7100,
    work: CORE_BASE + 0x8000,
};

/// The design before its program is known, and the locks of its rings as every core numbers them.
pub fn design(l1: L1) -> Result<(Design, Locks), Error> {
    let mut design = Design::new(GRID)?;
    let mut locks = Vec::new();
    for col in 0..GRID {
        for row in 0..GRID {
            locks.push(core(&mut design, (col, row), l1)?);
        }
    }
    for col in 0..GRID {
        mem(&mut design, col)?;
        design.token_route(col)?;
    }
    debug_assert!(locks.iter().all(|l| *l == locks[0]), "all cores are alike");
    Ok((design, locks[0]))
}

/// Installs the program on every core and lowers the design.
pub fn finish(mut design: Design, program: &[u8]) -> Result<Configuration, Error> {
    for col in 0..GRID {
        for row in 0..GRID {
            design.program(Tile::core(col, row), program)?;
        }
    }
    design.finish()
}

fn core(design: &mut Design, (col, row): (u8, u8), l1: L1) -> Result<Locks, Error> {
    let tile = Tile::core(col, row);
    let ring = |base: u32, n: u32, bytes: u32| Place::Each((0..n).map(|i| (base & 0xFFFF) + i * bytes).collect());
    let a = design.ring(tile, "A", 2, A_UNIT_BYTES, ring(l1.a, 2, A_UNIT_BYTES))?;
    let b = design.ring(tile, "B", 2, B_UNIT_BYTES, ring(l1.b, 2, B_UNIT_BYTES))?;
    let out = ring(l1.out, l1.out_units, OUT_UNIT_BYTES);
    let out = design.ring(tile, "out", l1.out_units as usize, OUT_UNIT_BYTES, out)?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(A_UNIT_BYTES / WORD)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(B_UNIT_BYTES / WORD)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
    let numbers = [
        ("geometry", GEOMETRY_BYTES.next_multiple_of(32), l1.geometry),
        ("call", (CALL_WORDS * WORD).next_multiple_of(32), l1.call),
        ("work", WORK_BYTES, l1.work),
    ];
    for (name, bytes, at) in numbers {
        design.reserve(tile, name, bytes, Place::At(at & 0xFFFF))?;
    }
    design.init_data(tile, l1.geometry & 0xFFFF, &geometry(row))?;
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
    let through = |design: &mut Design, name: &str, depth, bytes, channel: u8| -> Result<RingId, Error> {
        let ring = design.ring(mem, name, depth, bytes, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(bytes / WORD)])?;
        Ok(ring)
    };
    for (name, shim_channel, channel, depth, bytes) in
        [("A", 0, 0, A_DEPTH, A_UNIT_BYTES), ("B", 1, B_CHANNEL, B_DEPTH, B_UNIT_BYTES)]
    {
        let ring = through(design, name, depth, bytes, channel)?;
        design.drain_by_dma(ring, Mm2s(channel), &[Pattern::linear(bytes / WORD)])?;
        design.connect((shim, Mm2s(shim_channel)).into(), &[(mem, S2mm(channel)).into()])?;
        // A goes along a row, B up a column
        let cores: Vec<_> = (0..GRID)
            .map(|i| if shim_channel == 0 { Tile::core(i, col) } else { Tile::core(col, i) })
            .map(|tile| (tile, S2mm(shim_channel)).into())
            .collect();
        design.connect((mem, Mm2s(channel)).into(), &cores)?;
    }
    let mut joined = Vec::new();
    for (r, channel) in (0..GRID).zip(RESULTS_IN) {
        joined.push(through(design, &format!("out {r}"), OUT_DEPTH, JOIN_BYTES, channel)?);
        design.connect((Tile::core(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
    }
    design.drain_joined(&joined, Mm2s(RESULTS_OUT), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(RESULTS_OUT)).into(), &[(shim, S2mm(0)).into()])
}
