//! Slot word -> row. Per slot an index over the bits that separate the rows best, then the full test on the few rows left.

use crate::error::IsaError;
use crate::insn::Insn;
use crate::row::{OpId, OperandKind, Row};
use crate::slot::Slot;
use std::sync::LazyLock;

/// Index bits per slot. Eight leave at most a handful of rows per bucket.
const INDEX_BITS: usize = 8;

struct SlotIndex {
    /// Bit positions, chosen greedily.
    bits: Vec<u8>,
    /// Rows that fit each combination of these bits.
    buckets: Vec<Vec<OpId>>,
}

static INDEX: LazyLock<Vec<SlotIndex>> = LazyLock::new(|| Slot::ALL.into_iter().map(SlotIndex::build).collect());

impl SlotIndex {
    fn build(slot: Slot) -> SlotIndex {
        let rows: Vec<OpId> = OpId::all().filter(|op| op.row().slot == slot).collect();
        let mut index = SlotIndex { bits: Vec::new(), buckets: vec![rows] };
        while index.bits.len() < INDEX_BITS {
            let free = (0..slot.width_bits()).filter(|b| !index.bits.contains(b));
            let split = free.map(|bit| index.split(bit)).min_by_key(|s| (s.cost(), s.bits[s.bits.len() - 1]));
            match split {
                Some(split) if split.cost() < index.cost() => index = split,
                _ => break,
            }
        }
        index
    }

    /// The index with one more bit, as the new most significant index bit.
    fn split(&self, bit: u8) -> SlotIndex {
        let may_be = |row: &Row, v: u64| row.fixed_bits() >> bit & 1 == 0 || row.value >> bit & 1 == v;
        let half = |v: u64| {
            self.buckets.iter().map(move |b| b.iter().copied().filter(|op| may_be(op.row(), v)).collect::<Vec<_>>())
        };
        let buckets = half(0).chain(half(1)).collect();
        SlotIndex { bits: self.bits.iter().copied().chain([bit]).collect(), buckets }
    }

    /// Mean bucket length, weighted by itself, comparable between indices of different size.
    fn cost(&self) -> usize {
        let total: usize = self.buckets.iter().map(|b| b.len() * b.len()).sum();
        total * (1 << INDEX_BITS) / self.buckets.len()
    }

    fn bucket(&self, word: u64) -> &[OpId] {
        let place = |(i, &bit): (usize, &u8)| ((word >> bit & 1) as usize) << i;
        &self.buckets[self.bits.iter().enumerate().map(place).sum::<usize>()]
    }
}

/// True if every register number is known to its class.
fn registers_exist(row: &Row, word: u64) -> bool {
    row.operands.iter().all(|o| match o.kind {
        OperandKind::Class(class) if o.is_given() => class.reg_of(gather(word, o.field) as u16).is_some(),
        OperandKind::Class(_) | OperandKind::Imm(_) | OperandKind::Fixed(_) | OperandKind::Implied => true,
    })
}

/// Reads a field, first piece most significant.
pub(crate) fn gather(word: u64, field: &[(u8, u8)]) -> u64 {
    field.iter().fold(0, |n, &(hi, lo)| {
        let width = hi - lo + 1;
        n << width | (word >> lo & ((1 << width) - 1))
    })
}

pub(crate) fn decode(slot: Slot, word: u64) -> Result<Insn, IsaError> {
    if word & !slot.mask() != 0 {
        return Err(IsaError::WordTooWide { slot, word, width_bits: slot.width_bits() });
    }
    let fits = |row: &Row| word & row.fixed_bits() == row.value && registers_exist(row, word);
    if let Some(&op) = INDEX[slot as usize].bucket(word).iter().find(|op| fits(op.row())) {
        return Ok(Insn::from_word(op, word));
    }
    let nearly = |row: &&Row| word & row.fixed_bits() & !row.dontcare == row.value && registers_exist(row, word);
    let mut rows = OpId::all().map(OpId::row).filter(|r| r.slot == slot);
    Err(match rows.find(nearly) {
        Some(row) => IsaError::ReservedSlotBits { slot, word, op: row.name, bits: word & row.dontcare },
        None => IsaError::UnknownWord { slot, word },
    })
}
