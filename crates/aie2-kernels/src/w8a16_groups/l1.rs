//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring      2 × m·128     a chunk of x, [m/4][8 k tiles][4 tokens][8 k] bf16
//! bank 1  0x4000  panel       8192          dequantised weights of a unit, [4 cp][8 k tiles][2 tiles][8 k][8 n] bf16
//!         0x6000  out ring    4 × 1024      [8 columns][8 rows][16 bytes]
//!         0x7C20  parameters  32            of the core and the projection
//! bank 2  0x8000  C           m·256         sums [4 cp][m/8][2 tiles of tokens][4 tiles of n][4 tokens][4 n] float32
//! bank 3  0xC000  B ring      2 × unit      weights or x
//! ```

use crate::grid::CORE_BASE;

/// The A ring.
pub const A: u32 = CORE_BASE;
/// Dequantised weights of a unit.
pub const PANEL: u32 = CORE_BASE + 0x4000;
/// Bytes of them.
pub const PANEL_BYTES: u32 = 8192;
/// The out ring.
pub const OUT: u32 = CORE_BASE + 0x6000;
/// Units of it.
pub const OUT_UNITS: u32 = 4;
/// Parameters.
pub const PARAMETERS: u32 = CORE_BASE + 0x7C20;
/// Sums.
pub const C: u32 = CORE_BASE + 0x8000;
/// The B ring.
pub const B: u32 = CORE_BASE + 0xC000;

/// Bytes of a chunk of A for `m` tokens.
pub const fn a_bytes(m: u32) -> u32 {
    128 * m
}

/// Bytes of the sums of `m` tokens.
pub const fn c_bytes(m: u32) -> u32 {
    256 * m
}

/// Alias classes and banks of the memory above.
pub mod space {
    use aie2_codegen::MemRef;

    /// The A ring.
    pub const A: MemRef = MemRef::space(1).in_bank(0);
    /// The B ring.
    pub const B: MemRef = MemRef::space(2).in_bank(3);
    /// Dequantised weights.
    pub const PANEL: MemRef = MemRef::space(3).in_bank(1);
    /// Sums, outside of the product.
    pub const C: MemRef = MemRef::space(4).in_bank(2);
    /// Sums as the product loads them: a tile once for every unit, before it is stored.
    pub const C_LOAD: MemRef = MemRef::space(5).in_bank(2);
    /// Sums as the product stores them.
    pub const C_STORE: MemRef = MemRef::space(6).in_bank(2);
    /// The out ring.
    pub const OUT: MemRef = MemRef::space(7).in_bank(1);
    /// Parameters; no program writes them.
    pub const PARAMETERS: MemRef = MemRef::space(8).in_bank(1);
}
