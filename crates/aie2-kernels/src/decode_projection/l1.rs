//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring        2 × 4096    units of weights or scales
//!         0x2000  B ring        2 × 4096    units of x, weights or scales
//! bank 1  0x4000  out ring      2 × 1024    [8 columns][2 results × 4 tokens][16 bytes]
//!         0x4800  accumulators  L × 1024    [4 column pairs][2 tiles of 4 × 8][limb][32] int32
//!         0x5000  reciprocals   1024        [128]{127/a, 1/(127/a) in two limbs}
//!         0x5400  token words   3 × 64      inverse, high, low: [4 tokens][8 times bf16]
//!         0x54C0  absmax        32
//!         0x54E0  parameters    4 × 4       turn, K, passes, results: of the core and the projection, not of the program
//!         0x5800  codes         8 K         x as [K/8][4 tokens][8 k] bf16, then codes [K/8][limb][4 tokens][8 k] in its place
//! ```
//! The codes end at 0x10000 for K = 5376, whose x or two-limb codes fill 42 KiB.

use aie2_array::Place;

use crate::grid::{CORE_BASE, OUT_UNIT_BYTES};

/// Bytes of one unit of paths A and B.
pub const UNIT_BYTES: u32 = 4096;
/// Units of every ring.
pub const RING_UNITS: u32 = 2;
/// Tokens computed at once.
pub const TOKENS: u32 = 4;

/// A plain buffer: offset and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    offset: u32,
    /// Its size.
    pub bytes: u32,
}

impl Buffer {
    const fn new(offset: u32, bytes: u32) -> Self {
        Self { offset, bytes }
    }
    /// Core address.
    pub const fn at(self) -> u32 {
        CORE_BASE + self.offset
    }
    /// Byte offset in the tile.
    pub const fn offset(self) -> u32 {
        self.offset
    }
    /// The whole as one place.
    pub const fn place(self) -> Place {
        Place::At(self.offset)
    }
}

/// The A ring.
pub const A: Buffer = Buffer::new(0x0000, RING_UNITS * UNIT_BYTES);
/// The B ring.
pub const B: Buffer = Buffer::new(0x2000, RING_UNITS * UNIT_BYTES);
/// The out ring.
pub const OUT: Buffer = Buffer::new(0x4000, RING_UNITS * OUT_UNIT_BYTES);
/// Accumulators of both limbs.
pub const ACCUMULATORS: Buffer = Buffer::new(0x4800, 2048);
/// Reciprocal table.
pub const RECIPROCALS: Buffer = Buffer::new(0x5000, 1024);
/// Per token, eight times: the multiplier, then the limbs of the scale; [`TOKEN_WORD_BYTES`] each.
pub const TOKEN_WORDS: Buffer = Buffer::new(0x5400, 3 * TOKEN_WORD_BYTES);
/// Bytes of one word of all tokens.
pub const TOKEN_WORD_BYTES: u32 = TOKENS * 16;
/// Where a token's largest magnitude passes from the vector to the scalar side.
pub const ABSMAX: Buffer = Buffer::new(0x54C0, 32);
/// What [`super::program::Parameters`] of the core are.
pub const PARAMETERS: Buffer = Buffer::new(0x54E0, 32);
/// Address of [`codes`].
pub const CODES: u32 = CORE_BASE + CODES_OFFSET;
const CODES_OFFSET: u32 = 0x5800;

/// x, then its codes.
pub const fn codes(hidden: u32) -> Buffer {
    Buffer::new(CODES_OFFSET, 8 * hidden)
}

/// Alias classes and banks of the memory above.
pub mod space {
    use aie2_codegen::MemRef;

    /// Both rings of weights.
    pub const WEIGHTS: MemRef = MemRef::space(1).in_bank(0);
    /// x as it was captured. Spans banks.
    pub const X: MemRef = MemRef::space(2);
    /// Codes: never behind what is still to be read of x, since a row of x becomes a row of codes no longer than itself.
    pub const CODES: MemRef = MemRef::space(3);
    /// Accumulators as a unit loads them: a tile is loaded again a whole unit after it was stored.
    pub const SUMS_LOAD: MemRef = MemRef::space(4).in_bank(1);
    /// Accumulators as a unit stores them, and as the epilogue takes and clears them.
    pub const SUMS: MemRef = MemRef::space(5).in_bank(1);
    /// The out ring.
    pub const OUT: MemRef = MemRef::space(6).in_bank(1);
    /// Token words.
    pub const TOKEN_WORDS: MemRef = MemRef::space(7).in_bank(1);
    /// Reciprocals, the absmax word and the parameter.
    pub const TABLE: MemRef = MemRef::space(8).in_bank(1);
}
