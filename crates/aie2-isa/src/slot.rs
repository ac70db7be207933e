//! The eight issue slots of a bundle.

use std::fmt;

/// Issue slot. `lng` (long immediates, direct branches) takes the room of `alu` + `mv`; `nop` is the 2-byte nop alone.
///
/// SOURCE: Xilinx/llvm-aie AIE2Slots.td.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Load unit A: loads, conversion loads, pointer add, cascade read, `mova`.
    Lda,
    /// Load unit B: vector loads, unpacking, compressed and sparse loads, pointer add.
    Ldb,
    /// Scalar ALU, indirect branches, locks, `movx`.
    Alu,
    /// Moves, shuffles, vector ALU, `vups`, `vsrsm`.
    Mv,
    /// Store unit: stores, `vsrs`, `vpack`, `vconv`, stream and cascade writes, pointer add.
    St,
    /// Vector multiply-accumulate.
    Vec,
    /// Long immediates and direct branches.
    Lng,
    /// The 2-byte `nop`.
    Nop,
}

impl Slot {
    /// Every slot, in print order.
    pub const ALL: [Slot; 8] = [Slot::Lda, Slot::Ldb, Slot::Alu, Slot::Mv, Slot::St, Slot::Vec, Slot::Lng, Slot::Nop];

    /// Width of the slot word in bits. SOURCE: Xilinx/llvm-aie AIE2Slots.td.
    pub const fn width_bits(self) -> u8 {
        match self {
            Slot::Lda | Slot::St => 21,
            Slot::Ldb => 16,
            Slot::Alu => 20,
            Slot::Mv => 22,
            Slot::Vec => 26,
            Slot::Lng => 42,
            Slot::Nop => 1,
        }
    }

    /// The slot word that does nothing. SOURCE: Xilinx/llvm-aie AIE2Slots.td.
    pub const fn nop_word(self) -> u64 {
        match self {
            Slot::Mv => 0x38,
            Slot::Vec => 0x1e0,
            Slot::Lda | Slot::Ldb | Slot::Alu | Slot::St | Slot::Lng | Slot::Nop => 0,
        }
    }

    /// All bits of the slot word set.
    pub const fn mask(self) -> u64 {
        (1 << self.width_bits()) - 1
    }

    /// Name as in assembly listings, `lda`.
    pub const fn name(self) -> &'static str {
        match self {
            Slot::Lda => "lda",
            Slot::Ldb => "ldb",
            Slot::Alu => "alu",
            Slot::Mv => "mv",
            Slot::St => "st",
            Slot::Vec => "vec",
            Slot::Lng => "lng",
            Slot::Nop => "nop",
        }
    }

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
