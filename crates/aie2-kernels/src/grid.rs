//! The array as every kernel uses it, so that all could be phases of one configuration: circuits, channels of shims and cores, locks.
//!
//! ```text
//! A   shim c ─MM2S 0─► mem c ─► core row c, all columns, S2MM 0
//! B   shim c ─MM2S 1─► mem c ─► column c, all rows, S2MM 1
//! C   core (c, r) MM2S 0 ─rows─► mem c, ring r ─joined─► shim c S2MM 0
//! ```
//! What differs is the rings and the order in which mem tiles give their words on. Every ring is an endless chain paced by its two locks; none knows
//! what it carries.

use std::collections::BTreeMap;

use aie2_array::{Configuration, CoreRing, Design, Error, Mm2s, Pattern, Place, RingId, S2mm, Tile, TileKind};

use crate::{CoreBinary, Usage};

/// Columns, and core rows.
pub const GRID: u8 = 4;
const WORD: u32 = 4;
/// Address of a tile's own memory as its core sees it.
// SOURCE: Xilinx/mlir-aie AIETargetModel.cpp, getMemLocalBaseAddress (east).
pub(crate) const CORE_BASE: u32 = 0x7_0000;
/// Bytes of a unit of a core's out ring: [8 columns][8 rows][16 bytes].
pub(crate) const OUT_UNIT_BYTES: u32 = 1024;
/// Bytes a core has sent when its turn in the join comes: two units of its out ring.
pub(crate) const JOIN_BYTES: u32 = 2 * OUT_UNIT_BYTES;

/// Locks of a core's three rings as the core numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locks {
    /// Full units of A.
    pub a_full: u8,
    /// Empty units of A.
    pub a_empty: u8,
    /// Full units of B.
    pub b_full: u8,
    /// Empty units of B.
    pub b_empty: u8,
    /// Empty units of the out ring.
    pub out_empty: u8,
    /// Full units of the out ring.
    pub out_full: u8,
}

/// Byte offset in a tile's memory of an address as its core sees it.
pub(crate) const fn tile_offset(address: u32) -> u32 {
    address - CORE_BASE
}

/// Plain buffers of a core: name, bytes, core address.
pub(crate) fn reserve<'a>(
    design: &mut Design,
    tile: Tile,
    buffers: impl IntoIterator<Item = (&'a str, u32, u32)>,
) -> Result<(), Error> {
    for (name, bytes, at) in buffers {
        design.reserve(tile, name, bytes, Place::At(tile_offset(at)))?;
    }
    Ok(())
}

/// Buffers of a core's ring: consecutive, from an address on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    /// Core address of the first.
    pub at: u32,
    /// How many.
    pub count: u32,
    /// Bytes of each.
    pub bytes: u32,
}

impl Units {
    fn ring(self, design: &mut Design, tile: Tile, name: &str) -> Result<RingId, Error> {
        let places = (0..self.count).map(|i| tile_offset(self.at) + i * self.bytes).collect();
        design.ring(tile, name, self.count as usize, self.bytes, Place::Each(places))
    }
}

/// The rings of one core.
pub(crate) fn core_rings(design: &mut Design, tile: Tile, [a, b, out]: [Units; 3]) -> Result<Locks, Error> {
    let (a_words, b_words) = (a.bytes / WORD, b.bytes / WORD);
    let a = a.ring(design, tile, "A")?;
    let b = b.ring(design, tile, "B")?;
    let out = out.ring(design, tile, "out")?;
    design.fill_by_dma(a, S2mm(0), &[Pattern::linear(a_words)])?;
    design.fill_by_dma(b, S2mm(1), &[Pattern::linear(b_words)])?;
    // [8 columns][8 rows][4 words] -> row by row
    design.drain_by_dma(out, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])])?;
    let CoreRing { acquire: a_full, release: a_empty, .. } = design.core_drains(a)?;
    let CoreRing { acquire: b_full, release: b_empty, .. } = design.core_drains(b)?;
    let CoreRing { acquire: out_empty, release: out_full, .. } = design.core_fills(out)?;
    Ok(Locks {
        a_full: a_full.id,
        a_empty: a_empty.id,
        b_full: b_full.id,
        b_empty: b_empty.id,
        out_empty: out_empty.id,
        out_full: out_full.id,
    })
}

/// Channels of a mem tile. Those of either parity share 24 BDs, so the depths of a kernel's rings decide which parity B takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    /// A, in and out.
    pub a: (u8, u8),
    /// B, in and out.
    pub b: (u8, u8),
    /// What takes the results of the column's cores.
    results: [u8; 4],
    /// What joins them.
    joined: u8,
}

impl Channels {
    /// Even: A, results of two cores, and of all where they are joined. Odd: B, results of two cores.
    pub(crate) const B_ODD: Self = Self { a: (0, 0), b: (1, 1), results: [2, 3, 4, 5], joined: 2 };
    /// Even: A, B, results of one core. Odd: results of three cores, and of all where they are joined.
    pub(crate) const B_EVEN: Self = Self { a: (0, 0), b: (2, 2), results: [1, 3, 4, 5], joined: 1 };
}

/// A stream through a mem tile.
pub(crate) struct Through {
    /// Buffers of the ring.
    pub depth: usize,
    /// Bytes of each.
    pub bytes: u32,
    /// Channels in and out.
    pub channels: (u8, u8),
    /// Where what arrives is written.
    pub fill: Pattern,
    /// In which order, and parts, it leaves.
    pub drain: Vec<Pattern>,
}

impl Through {
    /// What leaves as it arrives.
    pub(crate) fn linear(depth: usize, bytes: u32, channels: (u8, u8)) -> Self {
        let linear = Pattern::linear(bytes / WORD);
        Self { depth, bytes, channels, fill: linear.clone(), drain: vec![linear] }
    }

    fn ring(&self, design: &mut Design, name: &str, col: u8) -> Result<(), Error> {
        let (mem, (input, output)) = (Tile::mem(col), self.channels);
        let ring = design.ring(mem, name, self.depth, self.bytes, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(input), std::slice::from_ref(&self.fill))?;
        design.drain_by_dma(ring, Mm2s(output), &self.drain)
    }

    /// Path A of a column's shim: along the core row of the same number.
    pub(crate) fn along_row(&self, design: &mut Design, col: u8) -> Result<(), Error> {
        self.ring(design, "A", col)?;
        along_row(design, col, self.channels)
    }

    /// Path B of a column's shim: up the column.
    pub(crate) fn up_column(&self, design: &mut Design, col: u8) -> Result<(), Error> {
        self.ring(design, "B", col)?;
        up_column(design, col, self.channels)
    }
}

/// Circuits of path A through these channels of the mem tile.
pub(crate) fn along_row(design: &mut Design, col: u8, channels: (u8, u8)) -> Result<(), Error> {
    let cores: Vec<Tile> = (0..GRID).map(|c| Tile::core(c, col)).collect();
    circuits(design, col, channels, 0, &cores)
}

/// Circuits of path B through these channels of the mem tile.
pub(crate) fn up_column(design: &mut Design, col: u8, channels: (u8, u8)) -> Result<(), Error> {
    let cores: Vec<Tile> = (0..GRID).map(|r| Tile::core(col, r)).collect();
    circuits(design, col, channels, 1, &cores)
}

fn circuits(design: &mut Design, col: u8, (input, output): (u8, u8), outer: u8, cores: &[Tile]) -> Result<(), Error> {
    let mem = Tile::mem(col);
    design.connect((Tile::shim(col), Mm2s(outer)).into(), &[(mem, S2mm(input)).into()])?;
    let cores: Vec<_> = cores.iter().map(|&core| (core, S2mm(outer)).into()).collect();
    design.connect((mem, Mm2s(output)).into(), &cores)
}

/// Path C of a column: `depth` turns of each core, joined.
pub(crate) fn join(design: &mut Design, col: u8, depth: usize, channels: Channels) -> Result<(), Error> {
    let mem = Tile::mem(col);
    let mut joined = Vec::new();
    for (r, channel) in (0..GRID).zip(channels.results) {
        let ring = design.ring(mem, &format!("out {r}"), depth, JOIN_BYTES, Place::Anywhere)?;
        design.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(JOIN_BYTES / WORD)])?;
        design.connect((Tile::core(col, r), Mm2s(0)).into(), &[(mem, S2mm(channel)).into()])?;
        joined.push(ring);
    }
    design.drain_joined(&joined, Mm2s(channels.joined), &Pattern::linear(JOIN_BYTES / WORD))?;
    design.connect((mem, Mm2s(channels.joined)).into(), &[(Tile::shim(col), S2mm(0)).into()])
}

/// One program on all compute tiles, by (column, array row).
pub(crate) fn on_every_core(program: &CoreBinary) -> BTreeMap<(u8, u8), CoreBinary> {
    let tiles = (0..GRID).flat_map(|col| (0..GRID).map(move |row| (col, row + aie2_array::device::FIRST_CORE_ROW)));
    tiles.map(|tile| (tile, program.clone())).collect()
}

/// A design before its programs are known.
pub(crate) struct Array {
    design: Design,
    locks: Locks,
}

impl Array {
    /// Places what `core` does on each core and `mem` on each mem tile.
    ///
    /// # Errors
    /// A resource runs out; the message names it.
    pub(crate) fn new(
        core: impl Fn(&mut Design, u8, u8) -> Result<Locks, Error>,
        mut mem: impl FnMut(&mut Design, u8) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut design = Design::new(GRID)?;
        let mut locks = Vec::new();
        for col in 0..GRID {
            for row in 0..GRID {
                locks.push(core(&mut design, col, row)?);
            }
        }
        for col in 0..GRID {
            mem(&mut design, col)?;
            design.token_route(col)?;
        }
        // All cores are alike, so one set of lock numbers serves every program.
        debug_assert!(locks.iter().all(|l| *l == locks[0]));
        Ok(Self { design, locks: locks[0] })
    }

    /// Lock numbers of the rings as every core sees them.
    pub(crate) fn locks(&self) -> Locks {
        self.locks
    }

    /// Installs the program on every core and lowers the design.
    ///
    /// # Errors
    /// An illegal route, or a program too long.
    pub(crate) fn finish(mut self, program: &[u8]) -> Result<Configuration, Error> {
        for col in 0..GRID {
            for row in 0..GRID {
                self.design.program(Tile::core(col, row), program)?;
            }
        }
        self.design.finish()
    }
}

/// Resources that a configuration takes.
pub(crate) fn usage(configuration: &Configuration) -> Usage {
    let of = |kind: TileKind| {
        configuration.resources.iter().filter(move |(tile, _)| tile.kind() == kind).map(|(_, used)| used)
    };
    Usage {
        tiles: of(TileKind::Core).count(),
        program_bytes_max: of(TileKind::Core).map(|r| r.program_bytes).max().unwrap_or(0),
        data_bytes_max: of(TileKind::Core).map(|r| r.memory_bytes).max().unwrap_or(0),
        memtile_bytes_max: of(TileKind::Mem).map(|r| r.memory_bytes).max().unwrap_or(0),
        bds: configuration.resources.values().map(|r| r.bds).sum(),
        locks: configuration.resources.values().map(|r| r.locks).sum(),
        routes: configuration.resources.values().map(|r| r.masters).sum(),
    }
}
