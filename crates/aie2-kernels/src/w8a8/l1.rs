//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring      2 × m·64          codes of one chunk of k, [m/8][8][8 rows][8]
//! bank 1  0x4000  B ring      2 × 4096          one unit of weights, scales or x
//!         0x6000  out ring    2·L × 1024        [8 columns][8 rows][16 bytes]
//!          behind it  token scales  m/L·32      [m/L/2][hi, hi', lo, lo'] × 8
//!         0x7800  reciprocals  1024             [128]{127/a, 1/(127/a) in two limbs}
//!         0x7C00  absmax       32
//!         0x7C20  phases        48 each      sizes of each phase, see `phase`
//! bank 2  0x8000  C           m·256             accumulators [4 column pairs][m/8 row pairs][4 tiles][32] int32
//! bank 3                                        while a token is quantised: the token
//! ```
//! m counts int8 rows: L limbs make a token, at most 128 rows.
//!
//! In the inner loop A, B and C are loaded in one bundle at most pairwise, from different banks.

use crate::grid::{CORE_BASE, OUT_UNIT_BYTES, Units};

/// Bytes of one unit of path B.
pub const B_UNIT_BYTES: u32 = 4096;

const B_RING: u32 = 0x4000;
const OUT_RING: u32 = 0x6000;
const RECIPROCALS: u32 = 0x7800;
const ABSMAX: u32 = 0x7C00;
const PHASES: u32 = 0x7C20;
const ACCUMULATORS: u32 = 0x8000;

/// Alias classes and banks of the memory above.
pub mod space {
    use aie2_codegen::MemRef;

    /// The A ring.
    pub const A: MemRef = MemRef::space(1).in_bank(0);
    /// The B ring.
    pub const B: MemRef = MemRef::space(2).in_bank(1);
    /// Accumulators, and the token of phase 1. They span two banks; one name for both is the cautious reading.
    pub const C: MemRef = MemRef::space(3).in_bank(2);
    /// Accumulators as the inner loop loads them. A tile is loaded again a whole chunk, at least four bodies, after it was stored, so that no
    /// load of the loop needs to be ordered behind a store.
    pub const C_LOAD: MemRef = MemRef::space(7).in_bank(2);
    /// Accumulators as the inner loop stores them.
    pub const C_STORE: MemRef = MemRef::space(8).in_bank(2);
    /// The out ring.
    pub const OUT: MemRef = MemRef::space(4).in_bank(1);
    /// Token scales.
    pub const TOKEN_SCALES: MemRef = MemRef::space(5).in_bank(1);
    /// Reciprocals and the absmax word.
    pub const TABLE: MemRef = MemRef::space(6).in_bank(1);
    /// Sizes of the phases; no program writes them.
    pub const PHASES: MemRef = MemRef::space(9).in_bank(1);
}

/// Core addresses for one m.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct L1 {
    /// int8 rows per core.
    pub m: u32,
    /// int8 limbs L of an activation, 1 or 2: as many rows make a token.
    pub limbs: u32,
}

impl L1 {
    /// Tokens per core.
    pub fn tokens(self) -> u32 {
        self.m / self.limbs
    }
    /// Units of the out ring.
    pub fn out_units(self) -> u32 {
        2 * self.limbs
    }
    /// Bytes of the out ring; its address is a multiple of twice as much.
    pub fn out_bytes(self) -> u32 {
        self.out_units() * OUT_UNIT_BYTES
    }
    fn token_scales_offset(self) -> u32 {
        OUT_RING + self.out_bytes()
    }
    /// Bytes of one buffer of A.
    pub fn a_bytes(self) -> u32 {
        self.m * 64
    }
    /// Bytes of the accumulators.
    pub fn c_bytes(self) -> u32 {
        self.m * 256
    }
    /// First buffer of A.
    pub fn a(self) -> u32 {
        CORE_BASE
    }
    /// First unit of B.
    pub fn b(self) -> u32 {
        CORE_BASE + B_RING
    }
    /// First unit of the out ring.
    pub fn out(self) -> u32 {
        CORE_BASE + OUT_RING
    }
    /// Token scales.
    pub fn token_scales(self) -> u32 {
        CORE_BASE + self.token_scales_offset()
    }
    /// Reciprocal table.
    pub fn reciprocals(self) -> u32 {
        CORE_BASE + RECIPROCALS
    }
    /// Where a token's largest magnitude passes from the vector to the scalar side.
    pub fn absmax(self) -> u32 {
        CORE_BASE + ABSMAX
    }
    /// Sizes of the phases, one entry after the other.
    pub fn phases(self) -> u32 {
        CORE_BASE + PHASES
    }
    /// Accumulators.
    pub fn c(self) -> u32 {
        CORE_BASE + ACCUMULATORS
    }

    /// Rings of the array's side, in the order A, B, out.
    pub(crate) fn rings(self) -> [Units; 3] {
        [
            Units { at: self.a(), count: 2, bytes: self.a_bytes() },
            Units { at: self.b(), count: 2, bytes: B_UNIT_BYTES },
            Units { at: self.out(), count: self.out_units(), bytes: OUT_UNIT_BYTES },
        ]
    }

    /// Plain buffers: name, bytes, offset. `token_bytes` is the longest row of x, `phase_bytes` what the sizes of all phases take.
    pub fn buffers(self, token_bytes: u32, phase_bytes: u32) -> [(&'static str, u32, u32); 5] {
        [
            ("token scales", self.tokens() * 32, self.token_scales_offset()),
            ("reciprocals", RECIPROCAL_BYTES, RECIPROCALS),
            ("absmax", 32, ABSMAX),
            ("phases", phase_bytes.next_multiple_of(32), PHASES),
            ("accumulators", self.c_bytes().max(token_bytes), ACCUMULATORS),
        ]
    }
}

/// Bytes of the reciprocal table.
pub const RECIPROCAL_BYTES: u32 = 128 * 8;
