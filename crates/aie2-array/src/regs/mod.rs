//! Register words of the array: typed values, their bit fields, their offsets in a tile.
//!
//! A field is written as the register database prints it, `high:low`. Every write asserts that the value fits, so a value
//! that reaches this module must have been checked against the limits before; every word decodes back to its fields.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/Util/aie_registers_aie2.json for every layout and offset in this module.

mod bd;
mod channel;
mod switch;

pub use bd::{
    BdCommon, CoreBd, Iteration, LockAcquire, LockRelease, MemBd, MemPad, ShimBdWords, core_bd_offset, mem_bd_offset,
    shim_bd_offset,
};
pub use channel::{
    CHANNEL_AT_WORK, ChannelControl, QueuePush, channel_control_offset, channel_queue_offset, channel_status_offset,
};
pub use switch::{MasterWord, SlaveWord, SlotWord, master_offset, shim_demux, shim_mux, slave_offset, slot_offset};

use crate::device::{LOCK_MAX, TileKind};

/// A bit field of a 32-bit word, `high:low` as in the register database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    high: u32,
    low: u32,
}

impl Field {
    /// The field `high:low`.
    pub const fn new(high: u32, low: u32) -> Self {
        assert!(high < 32 && low <= high, "not a field of a 32-bit word");
        Field { high, low }
    }

    /// The largest value the field holds.
    pub const fn max(self) -> u32 {
        u32::MAX >> (31 - (self.high - self.low))
    }

    /// The value shifted into place.
    ///
    /// PANIC: the value does not fit; the caller has not checked a limit.
    pub const fn put(self, value: u32) -> u32 {
        assert!(value <= self.max(), "value does not fit its register field");
        value << self.low
    }

    /// A signed value in two's complement shifted into place.
    ///
    /// PANIC: as [`Field::put`].
    pub const fn put_signed(self, value: i32) -> u32 {
        let half = ((self.max() >> 1) + 1) as i32;
        assert!(value >= -half && value < half, "value does not fit its signed register field");
        self.put(value as u32 & self.max())
    }

    /// The field's value in a word.
    pub const fn get(self, word: u32) -> u32 {
        (word >> self.low) & self.max()
    }

    /// The field's value in a word, sign-extended.
    pub const fn get_signed(self, word: u32) -> i32 {
        let shift = 31 - (self.high - self.low);
        ((self.get(word) << shift) as i32) >> shift
    }

    /// The field's bits.
    pub const fn mask(self) -> u32 {
        self.max() << self.low
    }
}

/// Offset of the register that holds a lock's value.
pub fn lock_offset(kind: TileKind, lock: u8) -> u32 {
    assert!(lock < kind.dma().locks, "no such lock");
    let base = match kind {
        TileKind::Core => 0x1_F000,
        TileKind::Mem => 0xC_0000,
        TileKind::Shim => 0x1_4000,
    };
    base + 0x10 * u32::from(lock)
}

/// The word that sets a lock to a value (0..=63).
pub fn lock_word(value: u8) -> u32 {
    assert!(value <= LOCK_MAX, "lock value outside 0..=63");
    Field::new(5, 0).put(u32::from(value))
}

/// Core_Control: bit 0 enable, bit 1 reset; reset value 2.
pub mod core_control {
    use super::Field;
    /// Offset in a compute tile.
    pub const OFFSET: u32 = 0x3_2000;
    /// The core runs.
    pub const ENABLE: Field = Field::new(0, 0);
    /// The core is held in reset.
    pub const RESET: Field = Field::new(1, 1);
}

/// Accumulator_Control: which neighbour a core's cascade ports face.
pub mod cascade {
    use super::Field;
    /// Offset in a compute tile.
    // SOURCE: Xilinx/mlir-aie aie_registers_aie2.json Accumulator_Control; AM020 ch. 4.
    pub const OFFSET: u32 = 0x3_6060;
    /// 0: input from the north, 1: from the west.
    pub const INPUT: Field = Field::new(0, 0);
    /// 0: output to the south, 1: to the east.
    pub const OUTPUT: Field = Field::new(1, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_fields_hold_two_s_complement() {
        let f = Field::new(11, 5);
        assert_eq!(f.put_signed(-1), 0x7F << 5);
        assert_eq!(f.get_signed(f.put_signed(-64)), -64);
        assert_eq!(f.get_signed(f.put_signed(63)), 63);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_value_wider_than_its_field_is_a_bug() {
        Field::new(3, 0).put(16);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_signed_value_wider_than_its_field_is_a_bug() {
        Field::new(6, 0).put_signed(64);
    }

    #[test]
    fn locks_are_sixteen_bytes_apart() {
        assert_eq!(lock_offset(TileKind::Core, 15), 0x1_F0F0);
        assert_eq!(lock_offset(TileKind::Mem, 63), 0xC_03F0);
        assert_eq!(lock_offset(TileKind::Shim, 2), 0x1_4020);
    }
}
