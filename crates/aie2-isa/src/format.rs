//! Bundle formats: which slots share a bundle, and where each slot word lies.

use std::sync::LazyLock;

use crate::formats::FORMATS;
use crate::slot::Slot;

/// Bits of a bundle that hold one slot word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRange {
    /// Slot.
    pub slot: Slot,
    /// Highest bit.
    pub hi: u8,
    /// Lowest bit.
    pub lo: u8,
}

/// A bundle format. A bundle is one little-endian integer of `bytes` bytes.
#[derive(Debug)]
pub struct Format {
    /// Name in llvm-aie, `I96_LDA_ST_LNG`.
    pub name: &'static str,
    /// Length in bytes: 2, 4, .. 16.
    pub bytes: u8,
    /// Fixed bits.
    pub mask: u128,
    /// Their value.
    pub value: u128,
    /// Bits of unknown meaning (part of `mask`): encoded as 0, refused on decode otherwise.
    pub dontcare: u128,
    /// Slots.
    pub slots: &'static [(Slot, u8, u8)],
    set: u8,
}

pub(crate) const fn format(
    name: &'static str,
    bytes: u8,
    mask: u128,
    value: u128,
    dontcare: u128,
    slots: &'static [(Slot, u8, u8)],
) -> Format {
    assert!(value & !mask == 0 && dontcare & !mask == 0 && dontcare & value == 0);
    let (mut set, mut seen, mut i) = (0, mask, 0);
    while i < slots.len() {
        let (slot, hi, lo) = slots[i];
        assert!(hi - lo + 1 == slot.width_bits());
        let bits = (slot.mask() as u128) << lo;
        assert!(seen & bits == 0, "slots overlap");
        seen |= bits;
        set |= slot.bit();
        i += 1;
    }
    assert!(seen == u128::MAX >> (128 - 8 * bytes as u32), "a bit of the bundle belongs to nothing");
    Format { name, bytes, mask, value, dontcare, slots, set }
}

/// Even bundle lengths from 0 to 16 bytes.
const LENGTHS: usize = 9;

fn search(set: u8, bytes: usize) -> Option<&'static Format> {
    let fits = |f: &&Format| f.set & set == set && f.bytes as usize >= bytes;
    FORMATS.iter().filter(fits).min_by_key(|f| (f.bytes, f.slots.len()))
}

impl Format {
    /// Every format, shortest first.
    pub fn all() -> &'static [Format] {
        &FORMATS
    }

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|f| f.name == name)
    }

    /// True if the format has this slot.
    pub const fn has(&self, slot: Slot) -> bool {
        self.set & slot.bit() != 0
    }

    /// Where the slot word lies.
    pub fn range(&self, slot: Slot) -> Option<SlotRange> {
        self.slots.iter().find(|s| s.0 == slot).map(|&(slot, hi, lo)| SlotRange { slot, hi, lo })
    }

    /// The smallest format that has all slots of `set` and at least `bytes` bytes; of equally long ones that with fewest slots.
    pub(crate) fn smallest(set: u8, bytes: usize) -> Option<&'static Format> {
        // A compiler asks for every bundle, several times: the answers for all sets and lengths are made once.
        static TABLE: LazyLock<Vec<[Option<&'static Format>; LENGTHS]>> =
            LazyLock::new(|| (0..=u8::MAX).map(|set| std::array::from_fn(|halves| search(set, 2 * halves))).collect());
        TABLE[usize::from(set)].get(bytes.div_ceil(2)).copied().flatten()
    }

    /// Length of the bundle that starts with this byte.
    ///
    /// SOURCE: Xilinx/llvm-aie AIE2Disassembler (low nibble of byte 0).
    pub const fn bytes_of(first_byte: u8) -> usize {
        match first_byte & 0xf {
            0b0001 => 2,
            0b1001 => 4,
            0b0101 | 0b1101 => 6,
            0b0011 => 8,
            0b1011 => 10,
            0b0111 => 12,
            0b1111 => 14,
            _ => 16,
        }
    }
}
