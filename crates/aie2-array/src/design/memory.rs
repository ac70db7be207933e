//! Placement of buffers in the data memory of one tile.

use crate::device::{CORE_BANK_BYTES, CORE_MEMORY_BYTES, MEM_MEMORY_BYTES, Tile, TileKind};
use crate::error::Error;

/// Where a buffer goes. Pinned buffers are declared before floating ones; nothing moves once placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The lowest free address.
    Anywhere,
    /// The lowest free address of one 16 KiB bank of a compute tile, all slots inside it.
    Bank(u8),
    /// This byte offset in the tile.
    At(u32),
    /// One byte offset for each slot of a ring.
    Each(Vec<u32>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Buffer {
    offset: u32,
    bytes: u32,
    name: String,
}

/// The data memory of one tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    tile: Tile,
    /// Sorted by offset.
    buffers: Vec<Buffer>,
}

impl Memory {
    pub(super) fn new(tile: Tile) -> Self {
        Memory { tile, buffers: Vec::new() }
    }

    fn size(&self) -> u32 {
        match self.tile.kind() {
            TileKind::Core => CORE_MEMORY_BYTES,
            TileKind::Mem => MEM_MEMORY_BYTES,
            TileKind::Shim => 0,
        }
    }

    /// Offset, bytes and name of every buffer, by offset. A ring whose slots follow each other is one.
    pub(super) fn buffers(&self) -> impl Iterator<Item = (u32, u32, &str)> {
        self.buffers.iter().map(|b| (b.offset, b.bytes, b.name.as_str()))
    }

    /// Bytes in buffers.
    pub(super) fn used_bytes(&self) -> u32 {
        self.buffers.iter().map(|b| b.bytes).sum()
    }

    /// The buffer over a byte.
    pub(super) fn name_at(&self, offset: u32) -> Option<&str> {
        self.buffers.iter().find(|b| b.offset <= offset && offset - b.offset < b.bytes).map(|b| b.name.as_str())
    }

    /// Whether a range lies inside one buffer.
    pub(super) fn contains(&self, offset: u32, bytes: usize) -> bool {
        let end = u64::from(offset) + bytes as u64;
        self.buffers.iter().any(|b| b.offset <= offset && end <= u64::from(b.offset) + u64::from(b.bytes))
    }

    /// Places `slots` buffers of `slot_bytes` and returns their offsets.
    pub(super) fn place_slots(
        &mut self,
        name: &str,
        slots: usize,
        slot_bytes: u32,
        place: Place,
    ) -> Result<Vec<u32>, Error> {
        let asked = slots as u64 * u64::from(slot_bytes);
        let bytes = u32::try_from(asked).map_err(|_| Error::MemoryFull {
            tile: self.tile,
            buffer: name.into(),
            bank: None,
            bytes: asked,
            free_bytes: self.size(),
        })?;
        let base = match place {
            Place::Anywhere => self.first_fit(name, bytes, 0, self.size(), None)?,
            Place::Bank(bank) => {
                let low = u32::from(bank) * CORE_BANK_BYTES;
                if self.tile.kind() != TileKind::Core || low >= self.size() {
                    return Err(Error::NoSuchBank { tile: self.tile, buffer: name.into(), bank });
                }
                self.first_fit(name, bytes, low, low + CORE_BANK_BYTES, Some(bank))?
            }
            Place::At(offset) => offset,
            Place::Each(offsets) => {
                if offsets.len() != slots {
                    let (ring, places) = (name.into(), offsets.len());
                    return Err(Error::SlotPlaces { tile: self.tile, ring, slots, places });
                }
                let mut with_slots = self.clone();
                for &offset in &offsets {
                    with_slots.insert(name, offset, slot_bytes)?;
                }
                *self = with_slots;
                return Ok(offsets);
            }
        };
        self.insert(name, base, bytes)?;
        Ok((0..slots as u32).map(|slot| base + slot * slot_bytes).collect())
    }

    fn first_fit(&self, name: &str, bytes: u32, low: u32, high: u32, bank: Option<u8>) -> Result<u32, Error> {
        let align = super::align_bytes(self.tile);
        let mut at = low;
        let mut largest = 0;
        let ends = self.buffers.iter().map(|b| (b.offset, b.offset + b.bytes)).chain([(high, high)]);
        for (start, end) in ends {
            let start = start.min(high);
            if start > at {
                if start - at >= bytes {
                    return Ok(at);
                }
                largest = largest.max(start - at);
            }
            at = at.max(end).next_multiple_of(align);
            if at >= high {
                break;
            }
        }
        let bytes = u64::from(bytes);
        Err(Error::MemoryFull { tile: self.tile, buffer: name.into(), bank, bytes, free_bytes: largest })
    }

    fn insert(&mut self, name: &str, offset: u32, bytes: u32) -> Result<(), Error> {
        let align = super::align_bytes(self.tile);
        let (tile, buffer) = (self.tile, name.to_owned());
        if !offset.is_multiple_of(align) {
            let bytes = u64::from(offset);
            return Err(Error::Misaligned { tile, buffer, what: "offset", bytes, align_bytes: align });
        }
        let end = u64::from(offset) + u64::from(bytes);
        if end > u64::from(self.size()) {
            return Err(Error::MemoryOverlap { tile, buffer, offset, bytes, with: None });
        }
        let clash = |b: &&Buffer| u64::from(b.offset) < end && offset < b.offset + b.bytes;
        if let Some(other) = self.buffers.iter().find(clash) {
            let with = Some(other.name.clone());
            return Err(Error::MemoryOverlap { tile, buffer, offset, bytes, with });
        }
        let at = self.buffers.partition_point(|b| b.offset < offset);
        self.buffers.insert(at, Buffer { offset, bytes, name: buffer });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: Tile = Tile::core(1, 2);

    #[test]
    fn floating_buffers_fill_gaps_between_pinned_ones() {
        let mut memory = Memory::new(TILE);
        assert_eq!(memory.place_slots("pinned", 1, 64, Place::At(64)), Ok(vec![64]));
        assert_eq!(memory.place_slots("small", 2, 32, Place::Anywhere), Ok(vec![0, 32]));
        assert_eq!(memory.place_slots("next", 1, 32, Place::Anywhere), Ok(vec![128]));
        assert_eq!(memory.place_slots("bank", 1, 16 * 1024, Place::Bank(2)), Ok(vec![0x8000]));
        assert_eq!(memory.place_slots("each", 2, 32, Place::Each(vec![0x4000, 0xC000])), Ok(vec![0x4000, 0xC000]));
        assert_eq!(memory.used_bytes(), 64 + 64 + 32 + 16 * 1024 + 64);
        assert_eq!(memory.name_at(40), Some("small"));
    }

    #[test]
    fn a_full_bank_is_named() {
        let mut memory = Memory::new(TILE);
        memory.place_slots("a", 2, 6 * 1024, Place::Bank(1)).expect("fits");
        assert_eq!(
            memory.place_slots("b", 1, 6 * 1024, Place::Bank(1)),
            Err(Error::MemoryFull {
                tile: TILE,
                buffer: "b".into(),
                bank: Some(1),
                bytes: 6 * 1024,
                free_bytes: 4 * 1024
            })
        );
    }

    #[test]
    fn overlap_and_overhang_are_refused() {
        let mut memory = Memory::new(TILE);
        memory.place_slots("a", 1, 64, Place::At(0)).expect("fits");
        let overlap = memory.place_slots("b", 1, 64, Place::At(32));
        assert!(matches!(overlap, Err(Error::MemoryOverlap { with: Some(with), .. }) if with == "a"));
        let beyond = memory.place_slots("c", 1, 64, Place::At(0xFFE0));
        assert!(matches!(beyond, Err(Error::MemoryOverlap { with: None, .. })));
        let odd = memory.place_slots("d", 1, 64, Place::At(0x104));
        assert!(matches!(odd, Err(Error::Misaligned { what: "offset", bytes: 0x104, align_bytes: 32, .. })));
        let banked = Memory::new(Tile::mem(0)).place_slots("e", 1, 64, Place::Bank(0));
        assert!(matches!(banked, Err(Error::NoSuchBank { bank: 0, .. })));
        let two = memory.place_slots("f", 2, 64, Place::Each(vec![0x200]));
        assert!(matches!(two, Err(Error::SlotPlaces { slots: 2, places: 1, .. })));
    }
}
