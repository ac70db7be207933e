//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring      2 × 8 KiB     a block of K, or Q of one core
//! bank 1  0x4000  B ring      2 × 4 KiB     half the head of a block of V; both: Q of one core, or the plan
//!         0x6000  out ring    4 × 1 KiB     [8 columns of 16 bytes][8 positions][16 bytes]
//!         0x7000  Sᵀ          4 KiB
//! bank 2  0x8000  Oᵀ         16 KiB
//! bank 3  0xC000  Qᵀ          8 KiB
//!         0xE600  parameters  512           of the core, of the dispatch, of the groups
//!         0xF000  Pᵀ          2 KiB
//!         0xF800  r, l        512 each
//!         0xFC00  factors     1 KiB
//! ```

use aie2_codegen::MemRef;

use super::super::Places;
use crate::grid::CORE_BASE;

/// Bytes of a unit of path A.
pub const A_UNIT_BYTES: u32 = 8192;
/// Bytes of a unit of path B.
pub const B_UNIT_BYTES: u32 = 4096;
/// Units of the out ring.
pub const OUT_UNITS: u32 = 4;

/// First unit of A.
pub const A: u32 = CORE_BASE;
/// First unit of B.
pub const B: u32 = CORE_BASE + 0x4000;
/// First unit of the out ring.
pub const OUT: u32 = CORE_BASE + 0x6000;

/// Operands of the blocks.
pub const PLACES: Places = Places {
    s: CORE_BASE + 0x7000,
    o: CORE_BASE + 0x8000,
    q: CORE_BASE + 0xC000,
    p: CORE_BASE + 0xF000,
    r: CORE_BASE + 0xF800,
    l: CORE_BASE + 0xFA00,
    factors: CORE_BASE + 0xFC00,
};

/// Parameters: of the core, set when the array is configured; then those of a dispatch.
pub const PARAMETERS: u32 = CORE_BASE + 0xE600;
/// Bytes of all parameters.
pub const PARAMETER_BYTES: u32 = 512;
/// Bytes that are set with the configuration.
pub const CORE_PARAMETER_BYTES: u32 = 128;
/// Header of the plan.
pub const HEADER: u32 = PARAMETERS + CORE_PARAMETER_BYTES;
/// Table of the groups.
pub const TABLE: u32 = PARAMETERS + 256;

/// Offsets of a core's words in [`PARAMETERS`].
pub mod core {
    /// Positions of the group before the core's first.
    pub const FIRST: i64 = 0;
    /// Which of the Q units of its stream is its own, 0 or 1.
    pub const UNIT: i64 = 4;
    /// Not zero if that stream is B.
    pub const ON_B: i64 = 8;
    /// Bytes from a position's row of Q to the next.
    pub const ROW: i64 = 12;
    /// Bytes to the row four positions on.
    pub const TILE: i64 = 16;
    /// Address bits that the walk over Q, and over Qᵀ, leaves out.
    pub const GAP: i64 = 20;
    /// Of Qᵀ.
    pub const GAP_TO: i64 = 24;
    /// Bytes to the second half of the walk over Q.
    pub const HALF: i64 = 28;
    /// Over Qᵀ.
    pub const HALF_TO: i64 = 32;
    /// `[4 keys][4 queries]`: query - key in a tile of Sᵀ.
    pub const DISTANCES: i64 = 64;
}

/// Offsets of the plan's words in [`HEADER`].
pub mod header {
    /// Groups of positions.
    pub const GROUPS: i64 = 0;
    /// Key-value heads.
    pub const HEADS: i64 = 4;
    /// A block with distance D is hidden from a core if D + 15, unsigned, is at least this.
    pub const HIDDEN: i64 = 8;
    /// It needs no mask if D - 31, unsigned, is less than this.
    pub const WHOLE: i64 = 12;
    /// Keys that a query sees at most.
    pub const WINDOW: i64 = 16;
}

/// The parameters as memory.
pub const PARAMETER_MEMORY: MemRef = MemRef::space(16).in_bank(3);
/// Alias class of Q as it arrives, in either ring.
pub const ROWS_SPACE: u16 = 17;

/// The words of core (`col`, `row`), with the lanes of [`core::DISTANCES`].
pub fn core_parameters(col: u8, row: u8) -> Vec<u8> {
    let on_b = super::on_b(col, row);
    let unit = if on_b { row / 2 } else { col / 2 };
    // Q of a core as the mem tile has turned it, position 4 j + i:
    // A   [j / 2][i][2 chunks of 128 bytes of a head, as [head][chunk]][j % 2][128 bytes]
    // B   [i][head][j][256 bytes]
    let walk: [u32; 6] = if on_b { [2048, 256, 256, 0, 1024, 4096] } else { [1024, 128, 128, 2048, 4096, 2048] };
    let mut words = vec![super::first_position(col, row) as u32, u32::from(unit), u32::from(on_b)];
    words.extend(walk);
    words.resize(core::DISTANCES as usize / 4, 0);
    words.extend((0..16i32).map(|lane| (lane % 4 - lane / 4) as u32));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
