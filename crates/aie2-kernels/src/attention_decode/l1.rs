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
//!
//! With an INT8 cache units are 4224 and 2112 bytes, records of codes and scales, and codes are turned to bfloat16 in the order of a BF16 cache:
//!
//! ```text
//! bank 2  0xA000  key codes    4 KiB        K of the block
//! bank 3  0xD000  value codes  4 KiB        V of the block
//! ```

use aie2_codegen::MemRef;
use npu_package::layout::KvFormat;

use crate::grid::CORE_BASE;

/// Bytes of a record of bfloat16.
pub const RECORD_BYTES: u32 = 2048;
/// Bytes of a record of codes, scales behind them.
const RECORD_KV8_BYTES: u32 = 1056;
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
/// Words [`Sizes::place`].
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

/// Keys of a block as bfloat16.
pub const KEY_CODES: u32 = CORE_BASE + 0xA000;
/// Values of a block as bfloat16.
pub const VALUE_CODES: u32 = CORE_BASE + 0xD000;
/// Where both are.
const CODES: [(&str, u32, u32); 2] =
    [("key codes", 2 * RECORD_BYTES, KEY_CODES), ("value codes", 2 * RECORD_BYTES, VALUE_CODES)];

/// What depends on the elements of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Elements.
    pub cache: KvFormat,
    /// Bytes of a record: 8 keys of a head.
    pub record: u32,
}

impl Sizes {
    /// Those of a cache.
    pub fn new(cache: KvFormat) -> Self {
        let record = match cache {
            KvFormat::Bf16 => RECORD_BYTES,
            KvFormat::Int8 => RECORD_KV8_BYTES,
        };
        Self { cache, record }
    }

    /// Bytes of a unit of A: K and V of a block.
    pub fn a_unit(self) -> u32 {
        4 * self.record
    }

    /// Bytes of a unit of B: K or V of a block.
    pub fn b_unit(self) -> u32 {
        2 * self.record
    }

    /// Bytes of a slot of B in a mem tile: a block of one head of every lane.
    pub fn b_slot(self) -> u32 {
        2 * 4 * self.b_unit()
    }

    /// From one position to the next in the unit of A that brings a core's queries.
    pub fn query_step(self) -> u32 {
        match self.cache {
            KvFormat::Bf16 => 2048,
            KvFormat::Int8 => self.record,
        }
    }

    /// Bytes in front of a core's queries in a record, where their records begin so much earlier, so that none ends behind the operand.
    pub fn query_lead(self, row: u8) -> u32 {
        if row < 2 { 0 } else { self.record - QUERY_BYTES }
    }

    /// Buffers of this cache alone.
    pub fn own_buffers(self) -> &'static [(&'static str, u32, u32)] {
        match self.cache {
            KvFormat::Bf16 => &[],
            KvFormat::Int8 => &CODES,
        }
    }

    /// What a core has to know of its place: half slots of a turn that are its own (bit 2 r: B, bit 2 c + 1: A), and a bit behind the last; number
    /// of the unit that holds its queries; their byte in a position of it.
    pub fn place(self, col: u8, row: u8) -> [u32; 3] {
        let (c, r) = (u32::from(col), u32::from(row));
        let half_slots = 1 << 8 | 1 << (2 * r) | 1 << (2 * c + 1);
        match self.cache {
            KvFormat::Bf16 => [half_slots, r, QUERY_BYTES * c],
            KvFormat::Int8 => [half_slots, c, self.query_lead(row)],
        }
    }
}

/// Bytes of both query heads of a position.
pub const QUERY_BYTES: u32 = 512;

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
/// Keys as bfloat16.
pub const KEY_CODE_MEMORY: MemRef = MemRef::space(8).in_bank(2);
/// Values as bfloat16.
pub const VALUE_CODE_MEMORY: MemRef = MemRef::space(9).in_bank(3);
/// References, reciprocals, plan and place.
pub const ROWS: MemRef = MemRef::space(6).in_bank(3);
