//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring      2 × unit      at most 2 × 4352
//!         0x2200  sums        1024          [4 cp][4 tiles of n][4 tokens][4 n] float32
//!         0x2600  parameters  5 × 4         turn, K, passes, results, units of x: of the core and the projection, not of the program
//!         0x2800  out ring    2 × 1024      [8 columns][2 results × 4 tokens][16 bytes]
//!         0x3000  x           8 K           [K/8][4 tokens][8 k] bf16
//! bank 3  0xD800  B ring      2 × unit      x or weights
//! ```

use crate::grid::CORE_BASE;

/// Units of every ring.
pub const RING_UNITS: u32 = 2;
/// The A ring.
pub const A: u32 = CORE_BASE;
/// Sums.
pub const SUMS: u32 = CORE_BASE + 0x2200;
/// Bytes of them.
pub const SUMS_BYTES: u32 = 1024;
/// Parameters.
pub const PARAMETERS: u32 = CORE_BASE + 0x2600;
/// The out ring.
pub const OUT: u32 = CORE_BASE + 0x2800;
/// x.
pub const X: u32 = CORE_BASE + 0x3000;
/// The B ring.
pub const B: u32 = CORE_BASE + 0xD800;

/// Bytes of x of four tokens.
pub const fn x_bytes(k: u32) -> u32 {
    8 * k
}

/// Alias classes and banks of the memory above.
pub mod space {
    use aie2_codegen::MemRef;

    /// Both rings of weights, in different banks.
    pub const WEIGHTS: MemRef = MemRef::space(1);
    /// x. Spans banks.
    pub const X: MemRef = MemRef::space(2);
    /// Sums as a unit loads them: a tile is loaded again a whole unit after it was stored.
    pub const SUMS_LOAD: MemRef = MemRef::space(3).in_bank(0);
    /// Sums as a unit stores them, and as they are sent and cleared.
    pub const SUMS: MemRef = MemRef::space(4).in_bank(0);
    /// The out ring.
    pub const OUT: MemRef = MemRef::space(5).in_bank(0);
    /// Parameters; no program writes them.
    pub const PARAMETERS: MemRef = MemRef::space(6).in_bank(0);
}
