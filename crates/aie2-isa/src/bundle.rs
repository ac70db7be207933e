//! Bundles: the instructions that issue in one cycle, and their bytes.

use crate::error::IsaError;
use crate::format::Format;
use crate::insn::Insn;
use crate::slot::Slot;
use std::fmt;
use std::ops::Deref;

/// Slots a bundle can store; the `nop` slot is the empty bundle.
const STORED: usize = 7;

/// Instructions that issue together: at most one per slot, `lng` not together with `alu` or `mv`.
///
/// NOPs are the absence of an instruction: inserting or decoding one leaves its slot empty.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Bundle {
    slots: [Option<Insn>; STORED],
}

/// The bytes of a bundle and their format.
#[derive(Clone, Copy)]
pub struct EncodedBundle {
    bytes: [u8; 16],
    format: &'static Format,
}

impl EncodedBundle {
    /// The bytes, as they lie in program memory.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.bytes as usize]
    }

    /// The format.
    pub const fn format(&self) -> &'static Format {
        self.format
    }

    /// Length in bytes, 2 to 16.
    pub const fn byte_len(&self) -> usize {
        self.format.bytes as usize
    }
}

impl Deref for EncodedBundle {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for EncodedBundle {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for EncodedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.format.name)?;
        self.as_bytes().iter().try_for_each(|b| write!(f, " {b:02x}"))
    }
}

impl Bundle {
    /// The empty bundle, `nop`.
    pub const fn new() -> Bundle {
        Bundle { slots: [None; STORED] }
    }

    /// A bundle of these instructions.
    ///
    /// # Errors
    /// If two need the same slot.
    pub fn with(insns: &[Insn]) -> Result<Bundle, IsaError> {
        let mut bundle = Bundle::new();
        insns.iter().try_for_each(|&insn| bundle.insert(insn))?;
        Ok(bundle)
    }

    /// The instruction in a slot.
    pub fn get(&self, slot: Slot) -> Option<&Insn> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// True if an instruction of this slot can be added.
    pub fn is_free(&self, slot: Slot) -> bool {
        self.in_the_way(slot).is_none()
    }

    fn in_the_way(&self, slot: Slot) -> Option<&Insn> {
        let rivals: &[Slot] = match slot {
            Slot::Lng => &[Slot::Lng, Slot::Alu, Slot::Mv],
            Slot::Alu => &[Slot::Alu, Slot::Lng],
            Slot::Mv => &[Slot::Mv, Slot::Lng],
            Slot::Lda => &[Slot::Lda],
            Slot::Ldb => &[Slot::Ldb],
            Slot::St => &[Slot::St],
            Slot::Vec => &[Slot::Vec],
            Slot::Nop => &[],
        };
        rivals.iter().find_map(|&s| self.get(s))
    }

    /// Adds an instruction. A NOP changes nothing.
    ///
    /// # Errors
    /// If its slot (or the room of `lng`) is taken.
    pub fn insert(&mut self, insn: Insn) -> Result<(), IsaError> {
        if insn.row().is_nop() {
            return Ok(());
        }
        let slot = insn.slot();
        if let Some(present) = self.in_the_way(slot) {
            return Err(IsaError::SlotTaken { slot, present: present.row().name, present_slot: present.slot() });
        }
        self.slots[slot as usize] = Some(insn);
        Ok(())
    }

    /// Empties a slot and returns what was in it.
    pub fn remove(&mut self, slot: Slot) -> Option<Insn> {
        self.slots.get_mut(slot as usize)?.take()
    }

    /// The instructions in slot order.
    pub fn iter(&self) -> impl Iterator<Item = &Insn> {
        self.slots.iter().flatten()
    }

    /// True if there is no instruction.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn slot_set(&self) -> u8 {
        self.iter().fold(0, |set, insn| set | insn.slot().bit())
    }

    /// Encodes in the smallest legal format.
    pub fn encode(&self) -> EncodedBundle {
        self.encode_into(self.smallest_format())
    }

    fn smallest_format(&self) -> &'static Format {
        Format::smallest(self.slot_set(), 0).expect("the 16-byte formats have every slot")
    }

    /// Encodes in the smallest legal format of at least this length, for alignment. The result may be longer than asked.
    ///
    /// # Errors
    /// If `bytes` is more than 16.
    pub fn encode_at_least(&self, bytes: usize) -> Result<EncodedBundle, IsaError> {
        let format = Format::smallest(self.slot_set(), bytes).ok_or(IsaError::NoFormat { at_least: bytes })?;
        Ok(self.encode_into(format))
    }

    /// Encodes in this format.
    ///
    /// # Errors
    /// If the format lacks a slot that the bundle uses.
    pub fn encode_in(&self, format: &'static Format) -> Result<EncodedBundle, IsaError> {
        match self.iter().map(Insn::slot).find(|&slot| !format.has(slot)) {
            Some(slot) => Err(IsaError::NotInFormat { format: format.name, slot }),
            None => Ok(self.encode_into(format)),
        }
    }

    fn encode_into(&self, format: &'static Format) -> EncodedBundle {
        let word = |slot: Slot| self.get(slot).map_or(slot.nop_word(), Insn::encode);
        let bits = format.slots.iter().fold(format.value, |bits, &(slot, _, lo)| bits | u128::from(word(slot)) << lo);
        EncodedBundle { bytes: bits.to_le_bytes(), format }
    }

    /// Decodes the bundle at the start of `bytes` and returns it with its format and length.
    ///
    /// # Errors
    /// If the bytes end too early, fit no format or no instruction, or have bits of unknown meaning set.
    pub fn decode(bytes: &[u8]) -> Result<(Bundle, &'static Format, usize), IsaError> {
        let Some(&first) = bytes.first() else {
            return Err(IsaError::Truncated { needed: 2, available: 0 });
        };
        let len = Format::bytes_of(first);
        if bytes.len() < len {
            return Err(IsaError::Truncated { needed: len, available: bytes.len() });
        }
        let mut raw = [0; 16];
        raw[..len].copy_from_slice(&bytes[..len]);
        let bits = u128::from_le_bytes(raw);
        let mut formats = Format::all().iter().filter(|f| f.bytes as usize == len);
        let format = formats
            .find(|f| bits & f.mask & !f.dontcare == f.value)
            .ok_or(IsaError::UnknownFormat { bytes: len, bits })?;
        if bits & format.dontcare != 0 {
            return Err(IsaError::ReservedFormatBits { format: format.name, bits: bits & format.dontcare });
        }
        let mut bundle = Bundle::new();
        for &(slot, _, lo) in format.slots {
            let word = (bits >> lo) as u64 & slot.mask();
            if word != slot.nop_word() {
                bundle.insert(Insn::decode(slot, word)?)?;
            }
        }
        Ok((bundle, format, len))
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nop");
        }
        // The order of llvm-aie's listings: that of the smallest format.
        let order = self.smallest_format().slots.iter();
        for (i, insn) in order.filter_map(|&(slot, _, _)| self.get(slot)).enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{insn}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({self})")
    }
}
