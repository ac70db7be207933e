//! Tiles of the array, their memory map and their resource limits.
//!
//! ```text
//! row 5   core(c,3)      64 KiB data, 16 KiB program, 2 + 2 DMA channels
//!  ..       ..
//! row 2   core(c,0)
//! row 1   mem(c)         512 KiB, 6 + 6 DMA channels
//! row 0   shim(c)        DDR, 2 + 2 DMA channels
//! ```
//! A register or memory byte of a tile is at `column << 25 | row << 20 | offset`, as seen from the configuration bus.

use std::fmt;

/// Columns of the partition a design can use.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp, npu1: physical columns 1..=4.
pub const COLUMNS: u8 = 4;
/// Rows of compute tiles.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp, npu1: rows 2..=5.
pub const CORE_ROWS: u8 = 4;
/// First row of compute tiles.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp, npu1.
pub const FIRST_CORE_ROW: u8 = 2;
/// Data memory of a compute tile in bytes.
// SOURCE: AM020 ch. 4; Xilinx/mlir-aie AIETargetModel.cpp getLocalMemorySize.
pub const CORE_MEMORY_BYTES: u32 = 64 * 1024;
/// One logical bank of compute tile data memory in bytes.
// SOURCE: FIM43-Redeye/xdna-emu, silicon recording 2026-07-14-dma-bank-access-width: four logical banks of 16 KiB.
pub const CORE_BANK_BYTES: u32 = 16 * 1024;
/// Program memory of a compute tile in bytes.
// SOURCE: AM020 ch. 4; Xilinx/mlir-aie AIETargetModel.cpp.
pub const PROGRAM_MEMORY_BYTES: u32 = 16 * 1024;
/// Data memory of a mem tile in bytes.
// SOURCE: AM020 ch. 5; Xilinx/mlir-aie AIETargetModel.cpp getMemTileSize.
pub const MEM_MEMORY_BYTES: u32 = 512 * 1024;
/// Where program memory starts inside a compute tile.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/Util/aie_registers_aie2.json.
pub const PROGRAM_MEMORY_OFFSET: u32 = 0x2_0000;
/// What a mem tile DMA adds to a byte offset in its own memory; 0 is the western neighbour.
// SOURCE: Xilinx/aie-rt driver/src/global/xaiemlgbl_reginit.c (AddrMax 0x180000); Xilinx/mlir-aie AIERT.cpp.
pub const MEM_DMA_OWN_BASE: u32 = 0x8_0000;
/// What a mem tile BD adds to the number of an own lock; 0..=63 are the western neighbour's.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp getLockLocalBaseIndex.
pub const MEM_DMA_OWN_LOCK_BASE: u8 = 64;
/// Largest value a lock is used with.
// SOURCE: AM020 ch. 2 (6-bit unsigned lock state).
pub const LOCK_MAX: u8 = 63;
/// Entries of a channel's task queue; a further push is dropped by the hardware.
// SOURCE: Xilinx/aie-rt driver/src/global/xaiemlgbl_reginit.c StartQSizeMax; AM020 ch. 3 and 5.
pub const QUEUE_DEPTH: usize = 4;
/// Largest iteration count of a BD.
// SOURCE: Xilinx/mlir-aie aie_registers_aie2.json DMA_BD0_* Iteration_Wrap: 6 bits, stored minus one.
pub const ITERATIONS_MAX: u32 = 64;
/// Alignment of buffers in compute tiles in bytes, so that every vector load of the core is legal.
// SOURCE: AM020 ch. 4: 256-bit load and store units.
pub const CORE_ALIGN_BYTES: u32 = 32;
/// Alignment of every DMA address, step and length in bytes.
// SOURCE: AM020 ch. 2: the DMA moves 32-bit words.
pub const DMA_ALIGN_BYTES: u32 = 4;

/// A column of the partition, 0 is the westernmost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Col(pub u8);

/// A row of the array: 0 shim, 1 mem, 2..=5 compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub u8);

/// What a tile is; follows from its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Row 0: the DMA to DDR.
    Shim,
    /// Row 1: 512 KiB of memory with DMA, no core.
    Mem,
    /// Rows 2..=5: core, memory, DMA.
    Core,
}

impl fmt::Display for TileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TileKind::Shim => "shim",
            TileKind::Mem => "mem",
            TileKind::Core => "core",
        })
    }
}

/// One tile of the array. Order is by column, then row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// The column.
    pub col: Col,
    /// The row.
    pub row: Row,
}

/// The four sides of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// One row down.
    South,
    /// One column left.
    West,
    /// One row up.
    North,
    /// One column right.
    East,
}

impl Tile {
    /// The shim tile of a column.
    pub const fn shim(col: u8) -> Self {
        Tile { col: Col(col), row: Row(0) }
    }

    /// The mem tile of a column.
    pub const fn mem(col: u8) -> Self {
        Tile { col: Col(col), row: Row(1) }
    }

    /// The compute tile `core_row` (0 is the southernmost, array row 2) of a column.
    pub const fn core(col: u8, core_row: u8) -> Self {
        Tile { col: Col(col), row: Row(core_row.saturating_add(FIRST_CORE_ROW)) }
    }

    /// What this tile is.
    pub const fn kind(self) -> TileKind {
        match self.row.0 {
            0 => TileKind::Shim,
            1 => TileKind::Mem,
            _ => TileKind::Core,
        }
    }

    /// Whether the tile exists in a partition of `columns` columns.
    pub const fn exists(self, columns: u8) -> bool {
        self.col.0 < columns && self.row.0 < FIRST_CORE_ROW + CORE_ROWS
    }

    /// The array address of a byte offset in this tile (20 bits).
    ///
    /// PANIC: an offset of more than 20 bits is a bug of this crate.
    pub const fn address(self, offset: u32) -> u32 {
        // SOURCE: Xilinx/mlir-aie aie_registers_aie2.json; device.json column_shift 25, row_shift 20.
        assert!(offset < 1 << 20, "offset outside a tile");
        (self.col.0 as u32) << 25 | (self.row.0 as u32) << 20 | offset
    }

    /// The tile on one side, if it lies in a partition of `columns` columns.
    pub fn neighbour(self, side: Side, columns: u8) -> Option<Tile> {
        let (col, row) = match side {
            Side::South => (Some(self.col.0), self.row.0.checked_sub(1)),
            Side::West => (self.col.0.checked_sub(1), Some(self.row.0)),
            Side::North => (Some(self.col.0), self.row.0.checked_add(1)),
            Side::East => (self.col.0.checked_add(1), Some(self.row.0)),
        };
        let tile = Tile { col: Col(col?), row: Row(row?) };
        tile.exists(columns).then_some(tile)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            TileKind::Core => write!(f, "core({},{})", self.col.0, self.row.0 - FIRST_CORE_ROW),
            TileKind::Mem | TileKind::Shim => write!(f, "{}({})", self.kind(), self.col.0),
        }
    }
}

/// Which way a DMA channel moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the stream to memory.
    S2mm,
    /// From memory to the stream.
    Mm2s,
}

/// A stream-to-memory channel of some tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S2mm(pub u8);

/// A memory-to-stream channel of some tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mm2s(pub u8);

/// A DMA channel of some tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// Which way it moves data.
    pub direction: Direction,
    /// Its number among the channels of this direction.
    pub index: u8,
}

impl From<S2mm> for Channel {
    fn from(S2mm(index): S2mm) -> Self {
        Channel { direction: Direction::S2mm, index }
    }
}

impl From<Mm2s> for Channel {
    fn from(Mm2s(index): Mm2s) -> Self {
        Channel { direction: Direction::Mm2s, index }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction {
            Direction::S2mm => write!(f, "s2mm {}", self.index),
            Direction::Mm2s => write!(f, "mm2s {}", self.index),
        }
    }
}

/// What the DMA of one kind of tile can do.
#[derive(Debug, PartialEq, Eq)]
pub struct DmaLimits {
    /// Channels per direction.
    pub channels: u8,
    /// Buffer descriptors.
    pub bds: u8,
    /// Locks of the tile.
    pub locks: u8,
    /// Address dimensions, iteration not counted.
    pub dims: usize,
    /// Largest length of one BD in words.
    pub length_words: u32,
    /// Largest step of a dimension or of the iteration in words.
    pub step_words: u32,
    /// Largest wrap of each dimension that has a wrap field; the last dimension has none.
    pub wrap: u32,
    /// Data memory the DMA addresses in bytes; `None` for DDR.
    pub memory_bytes: Option<u32>,
}

// SOURCE: Xilinx/mlir-aie aie_registers_aie2.json (field widths); Xilinx/aie-rt driver/src/global/xaiemlgbl_reginit.c,
// driver/src/dma/xaie_dma_aieml.c (stored step = step - 1).
const CORE_DMA: DmaLimits = DmaLimits {
    channels: 2,
    bds: 16,
    locks: 16,
    dims: 3,
    length_words: (1 << 14) - 1,
    step_words: 1 << 13,
    wrap: (1 << 8) - 1,
    memory_bytes: Some(CORE_MEMORY_BYTES),
};
// SOURCE: as CORE_DMA.
const MEM_DMA: DmaLimits = DmaLimits {
    channels: 6,
    bds: 48,
    locks: 64,
    dims: 4,
    length_words: (1 << 17) - 1,
    step_words: 1 << 17,
    wrap: (1 << 10) - 1,
    memory_bytes: Some(MEM_MEMORY_BYTES),
};
// SOURCE: as CORE_DMA.
const SHIM_DMA: DmaLimits = DmaLimits {
    channels: 2,
    bds: 16,
    locks: 16,
    dims: 3,
    length_words: u32::MAX,
    step_words: 1 << 20,
    wrap: (1 << 10) - 1,
    memory_bytes: None,
};

impl TileKind {
    /// The limits of this kind's DMA.
    pub const fn dma(self) -> &'static DmaLimits {
        match self {
            TileKind::Shim => &SHIM_DMA,
            TileKind::Mem => &MEM_DMA,
            TileKind::Core => &CORE_DMA,
        }
    }

    /// The BDs a channel may start or link to: on mem tiles even channels use the lower half, odd channels the upper.
    // SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp isBdChannelAccessible.
    pub fn bds_of_channel(self, channel: u8) -> std::ops::Range<u8> {
        match self {
            TileKind::Shim | TileKind::Core => 0..self.dma().bds,
            TileKind::Mem if channel.is_multiple_of(2) => 0..24,
            TileKind::Mem => 24..48,
        }
    }
}

/// Where a core sees a tile's data memory (20-bit core address) and its locks, if it sees them at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreWindow {
    /// Address of the tile's byte 0 as the core sees it.
    pub memory_base: u32,
    /// The core's number of the tile's lock 0.
    pub lock_base: u8,
}

/// The window through which the core of `core` sees the memory and locks of `memory`.
///
/// A core reaches its own tile, the compute tile to its west, and the compute tiles north and south of it; there is no
/// window to the east, and none from row 2 into the mem tile.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp isLegalMemAffinity, getMemLocalBaseAddress,
// getLockLocalBaseIndex; device.json mem_base_addresses.
pub fn core_window(core: Tile, memory: Tile) -> Option<CoreWindow> {
    if core.kind() != TileKind::Core || memory.kind() != TileKind::Core {
        return None;
    }
    let on = |side| core.neighbour(side, COLUMNS) == Some(memory);
    if core == memory {
        Some(CoreWindow { memory_base: 0x7_0000, lock_base: 48 })
    } else if on(Side::South) {
        Some(CoreWindow { memory_base: 0x4_0000, lock_base: 0 })
    } else if on(Side::West) {
        Some(CoreWindow { memory_base: 0x5_0000, lock_base: 16 })
    } else if on(Side::North) {
        Some(CoreWindow { memory_base: 0x6_0000, lock_base: 32 })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_put_column_and_row_above_the_offset() {
        assert_eq!(Tile::core(0, 0).address(0x1_D000), 0x0021_D000);
        assert_eq!(Tile::mem(1).address(0xA_0000), 0x021A_0000);
        assert_eq!(Tile::core(3, 3).address(0x3_2000), 0x0653_2000);
    }

    #[test]
    fn row_two_sees_no_memory_to_the_south() {
        assert_eq!(core_window(Tile::core(1, 0), Tile::mem(1)), None);
        assert_eq!(core_window(Tile::core(1, 1), Tile::core(1, 0)).map(|w| w.memory_base), Some(0x4_0000));
    }

    #[test]
    fn no_window_opens_to_the_east() {
        assert_eq!(core_window(Tile::core(1, 0), Tile::core(2, 0)), None);
        assert_eq!(core_window(Tile::core(2, 0), Tile::core(1, 0)).map(|w| w.lock_base), Some(16));
    }

    #[test]
    fn mem_tile_bds_split_by_channel_parity() {
        assert_eq!(TileKind::Mem.bds_of_channel(4), 0..24);
        assert_eq!(TileKind::Mem.bds_of_channel(5), 24..48);
        assert_eq!(TileKind::Core.bds_of_channel(1), 0..16);
    }

    #[test]
    fn tiles_outside_the_partition_do_not_exist() {
        assert!(!Tile::core(0, 4).exists(4));
        assert!(!Tile::mem(2).exists(2));
        assert_eq!(Tile::shim(0).neighbour(Side::South, 4), None);
        assert_eq!(Tile::core(3, 0).neighbour(Side::East, 4), None);
    }
}
