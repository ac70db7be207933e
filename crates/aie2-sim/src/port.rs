//! The seam between one core and the array around it.
//!
//! A core is stepped once per array cycle through [`CoreBus`]. The bus answers at once; an operation that cannot
//! complete in this cycle is *refused* (`false` / `None`) and the core reports [`Step::Blocked`]. A blocked step must
//! leave the core exactly as it was: the same step is repeated later. The array also refuses operations when a core has
//! run ahead of array time (a core that touches only memory is stepped in batches), so a refusal carries no meaning
//! beyond "not in this step"; a release can be refused as well as an acquire.

use crate::fault::Fault;
use std::fmt;

/// Number of array columns an application owns on Phoenix.
// SOURCE: Xilinx/mlir-aie AIETargetModel (npu1): columns 0..3, rows 0 shim, 1 mem, 2..5 compute.
pub const COLUMNS: u8 = 4;
/// Number of array rows (shim, mem, four compute).
pub const ROWS: u8 = 6;
/// Row of the mem tiles.
pub const MEM_ROW: u8 = 1;
/// First compute row.
pub const FIRST_CORE_ROW: u8 = 2;

/// A tile of the partition: column 0..3, row 0 shim, 1 mem, 2..5 compute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileLoc {
    /// Column inside the partition.
    pub col: u8,
    /// Row: 0 shim, 1 mem, 2..5 compute.
    pub row: u8,
}

impl TileLoc {
    /// Tile at `col`, `row`.
    pub const fn new(col: u8, row: u8) -> Self {
        Self { col, row }
    }
}

impl fmt::Display for TileLoc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.row {
            0 => "shim",
            1 => "mem",
            _ => "core",
        };
        write!(f, "{kind} ({}, {})", self.col, self.row)
    }
}

/// A lock request as the instruction or BD states it.
// SOURCE: AM025 lock and BD register text, Xilinx/mlir-aie AIECoreToStandard: a negative acquire value waits for
// "at least" its magnitude, a positive one for equality; both subtract the magnitude.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockOp {
    /// `value < 0`: wait until lock >= -value, then subtract -value. `value > 0`: wait until lock == value, then
    /// subtract value.
    Acquire {
        /// Signed value exactly as in the instruction.
        value: i8,
    },
    /// Add `value`.
    Release {
        /// Signed value exactly as in the instruction.
        value: i8,
    },
}

/// One word on a 32-bit stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamWord {
    /// The data.
    pub data: u32,
    /// TLAST.
    pub last: bool,
}

/// One cascade transfer, 512 bits as sixteen words, low to high.
pub type CascadeWord = [u32; 16];

/// What one core sees of the array while it executes a bundle.
pub trait CoreBus {
    /// The tile of this core (for fault messages).
    fn tile(&self) -> TileLoc;

    /// Loads `out.len()` bytes from a 20-bit core data address (own memory at 0x70000, neighbours below).
    /// Faults on bytes never written and on addresses outside every window. Alignment is the core's business.
    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault>;

    /// Loads 32 aligned bytes.
    #[inline(always)]
    fn load_piece(&mut self, addr: u32, out: &mut [u8; 32]) -> Result<(), Fault> {
        self.load(addr, out)
    }

    /// Stores bytes at a 20-bit core data address.
    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault>;

    /// Requests a lock by core lock id (0-15 south, 16-31 west, 32-47 north, 48-63 own). `false`: refused, repeat.
    fn lock(&mut self, id: u8, op: LockOp) -> Result<bool, Fault>;

    /// Takes one word from the core's input stream; `None`: empty, repeat.
    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault>;

    /// Puts one word on the core's output stream; `false`: full, repeat.
    fn stream_write(&mut self, word: StreamWord) -> Result<bool, Fault>;

    /// Takes one 512-bit cascade value; `None`: empty, repeat.
    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault>;

    /// Sends one 512-bit cascade value; `false`: full, repeat.
    fn cascade_write(&mut self, word: CascadeWord) -> Result<bool, Fault>;
}

/// Why a core cannot go on in this cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockReason {
    /// Waits for (or was refused) lock `id`, core numbering.
    Lock {
        /// Core lock id, 0..63.
        id: u8,
        /// The request that waits.
        op: LockOp,
    },
    /// Input stream empty.
    StreamRead,
    /// Output stream full.
    StreamWrite,
    /// Cascade input empty.
    CascadeRead,
    /// Cascade output full.
    CascadeWrite,
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock { id, op: LockOp::Acquire { value } } => write!(f, "acquire of lock {id} (value {value})"),
            Self::Lock { id, op: LockOp::Release { value } } => write!(f, "release of lock {id} (value {value})"),
            Self::StreamRead => f.write_str("empty input stream"),
            Self::StreamWrite => f.write_str("full output stream"),
            Self::CascadeRead => f.write_str("empty cascade input"),
            Self::CascadeWrite => f.write_str("full cascade output"),
        }
    }
}

/// Outcome of stepping a core by one bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// One bundle issued.
    Issued {
        /// Physical banks of the *own* memory used in this cycle, bit b = bank b ([`physical_banks`]).
        banks: u8,
        /// Cycles lost beyond the one of issue (bank conflicts of the core with itself, the arbitration cycle of a
        /// lock instruction).
        stall_cycles: u8,
    },
    /// Nothing happened; repeat the step when the reason may have gone.
    Blocked(BlockReason),
    /// `done` has taken effect.
    Halted,
}

/// Counters a core keeps about itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CoreStats {
    /// Bundles issued.
    pub bundles: u64,
    /// Cycles lost to bank conflicts between the core's own accesses.
    pub bank_stalls: u64,
    /// Lock instructions completed.
    pub lock_ops: u64,
    /// VMAC-family instructions issued.
    pub vmacs: u64,
    /// Multiply-accumulates performed by them.
    pub macs: u64,
}

/// Base of the core's own 64 KiB in its data address space.
// SOURCE: Xilinx/mlir-aie AIETargetModel getMemLocalBaseAddress (AIE2): south, west, north, own.
pub const OWN_WINDOW: u32 = 0x7_0000;
/// Bytes of data memory in a compute tile.
pub const CORE_MEM_BYTES: usize = 0x1_0000;
/// Bytes of program memory in a compute tile.
// SOURCE: AM020 ch. 4: 16 KiB program memory.
pub const PROGRAM_MEM_BYTES: usize = 0x4000;

/// Physical banks of a 64 KiB tile memory that an access touches, bit b = bank b (only address bits 15:0 count).
///
/// Four logical banks of 16 KiB, each two single-ported 8 KiB banks interleaved every 16 bytes.
// SOURCE: FIM43-Redeye/xdna-emu, silicon recording 2026-07-14-dma-bank-access-width:
// physical = 2 * ((a >> 14) & 3) + ((a >> 4) & 1).
pub const fn physical_banks(addr: u32, bytes: u32) -> u8 {
    const fn one(a: u32) -> u8 {
        1 << (2 * ((a >> 14) & 3) + ((a >> 4) & 1))
    }
    let last = addr + if bytes == 0 { 0 } else { bytes - 1 };
    if addr >> 4 == last >> 4 { one(addr) } else { one(addr) | one(last) | one(addr + 16) }
}
