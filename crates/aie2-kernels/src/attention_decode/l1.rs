//! Where things lie in the 64 KiB of a compute tile.
//!
//! ```text
//! bank 0  0x0000  A ring    2 × 8 KiB   one block each: K, V                          K  [2 groups][16 k][2 halves][4 keys][8 k]
//! bank 1  0x4000  B ring    2 × 4 KiB   K of a block | V of it                        V  [2 groups][32 d tiles][8 keys][4 d]
//!         0x6000  out ring  2 × 1 KiB   [8 columns][8 rows][16 bytes]
//! bank 2  0x8000  Oᵀ        4 KiB       [2 heads][32 d tiles][4 d][4 positions] float32
//!         0x9000  l         128 B       [2 heads][4 × the same][4 positions] float32
//! bank 3  0xC000  Qᵀ        2 KiB       [2 heads][16 k][8 k][4 positions]
//!         0xC800  r         128 B       [2 heads][4 × the same][4 positions] int32, 63 octaves above the pattern
//!         0xC880  1/l       64 B        [2 heads][2 × the same][4 positions] float32
//!         0xC900  plan      256 B
//!         0xCA00  place     32 B        of the core in the array: set with the configuration
//! ```

use aie2_codegen::MemRef;

use crate::attention::CORE_BASE;

/// Bytes of a unit of A.
pub const A_UNIT_BYTES: u32 = 8192;
/// Bytes of a unit of B.
pub const B_UNIT_BYTES: u32 = 4096;
/// Bytes of a unit of the out ring.
pub const OUT_UNIT_BYTES: u32 = 1024;
/// First unit of A.
pub const A: u32 = CORE_BASE;
/// First unit of B.
pub const B: u32 = CORE_BASE + 0x4000;
/// Out ring.
pub const OUT: u32 = CORE_BASE + 0x6000;
/// Outputs so far.
pub const O: u32 = CORE_BASE + 0x8000;
/// Bytes of the outputs of a head.
pub const O_HEAD_BYTES: u32 = 2048;
/// Sums so far.
pub const L: u32 = O + 2 * O_HEAD_BYTES;
/// Queries.
pub const Q: u32 = CORE_BASE + 0xC000;
/// Bytes of the queries of a head.
pub const Q_HEAD_BYTES: u32 = 1024;
/// References.
pub const R: u32 = Q + 2 * Q_HEAD_BYTES;
/// Reciprocals of sums.
pub const RECIPROCALS: u32 = R + 0x80;
/// Copy of the plan.
pub const PLAN: u32 = Q + 0x900;
/// Words [`place`].
pub const PLACE: u32 = Q + 0xA00;

/// Plain buffers: name, bytes, address.
pub const BUFFERS: [(&str, u32, u32); 7] = [
    ("outputs", 2 * O_HEAD_BYTES, O),
    ("sums", 128, L),
    ("queries", 2 * Q_HEAD_BYTES, Q),
    ("references", 128, R),
    ("reciprocals", 64, RECIPROCALS),
    ("plan", super::plan::BYTES as u32, PLAN),
    ("place", 32, PLACE),
];

/// What a core has to know of its place: half slots of a turn that are its own (bit 2 r: B, bit 2 c + 1: A), and a bit behind the last; its row;
/// byte of its queries in a position of a unit of q.
pub fn place(col: u8, row: u8) -> [u32; 3] {
    let (c, r) = (u32::from(col), u32::from(row));
    [1 << 8 | 1 << (2 * r) | 1 << (2 * c + 1), r, 512 * c]
}

/// Units of A and B, in either bank.
pub const KV: MemRef = MemRef::space(1);
/// The out ring.
pub const OUT_MEMORY: MemRef = MemRef::space(2).in_bank(1);
/// Outputs and sums. Within a loop a tile is loaded once, before it is stored, so that no load needs to be ordered behind a store.
pub const O_LOAD: MemRef = MemRef::space(3).in_bank(2);
/// The same as a loop stores them.
pub const O_STORE: MemRef = MemRef::space(4).in_bank(2);
/// Queries.
pub const Q_MEMORY: MemRef = MemRef::space(5).in_bank(3);
/// References, reciprocals, plan and place.
pub const ROWS: MemRef = MemRef::space(6).in_bank(3);
