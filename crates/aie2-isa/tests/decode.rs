//! No word is two instructions, no word is one by resemblance.

mod common;

use aie2_isa::{Insn, IsaError, OpId, OperandKind, Row, Slot};
use common::Rng;
use std::collections::BTreeSet;

/// A set of allowed patterns on some bits of the slot word: one register field of one row.
struct Field {
    mask: u64,
    patterns: Vec<u64>,
}

fn register_fields(row: &Row) -> Vec<Field> {
    let fields = row.operands.iter().filter(|o| o.is_given()).filter_map(|o| match o.kind {
        OperandKind::Class(class) => Some((o, class)),
        OperandKind::Imm(_) | OperandKind::Fixed(_) | OperandKind::Implied => None,
    });
    fields
        .map(|(o, class)| {
            // Piece by piece, last piece least significant: an independent statement of the field layout.
            let place = |number: u64| {
                let mut rest = number;
                let mut word = 0;
                for &(hi, lo) in o.field.iter().rev() {
                    let width = hi - lo + 1;
                    word |= (rest % (1 << width)) << lo;
                    rest >>= width;
                }
                word
            };
            let numbers = class.regs().iter().chain(class.decode_only()).map(|&(_, n)| place(u64::from(n)));
            Field { mask: place(u64::MAX), patterns: numbers.collect() }
        })
        .collect()
}

/// A word with `word & known == value` that has an allowed pattern in every field, if there is one. Backtracks over the field
/// with the fewest patterns left.
fn solve(known: u64, value: u64, fields: &[&Field]) -> Option<u64> {
    let fits = |f: &Field| {
        let both = f.mask & known;
        f.patterns.iter().copied().filter(move |p| p & both == value & both).collect::<Vec<_>>()
    };
    let (i, patterns) = fields.iter().map(|f| fits(f)).enumerate().min_by_key(|(_, p)| p.len())?;
    let rest: Vec<&Field> = fields.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, f)| *f).collect();
    patterns.into_iter().find_map(|p| {
        let (known, value) = (known | fields[i].mask, value | p);
        if rest.is_empty() { Some(value) } else { solve(known, value, &rest) }
    })
}

/// A word that is both rows, where `fixed` says which bits of a row must have its value.
fn common_word(a: &Row, b: &Row, fixed: fn(&Row) -> u64, with_classes: bool) -> Option<u64> {
    let (fa, fb) = (fixed(a), fixed(b));
    if (a.value ^ b.value) & fa & fb != 0 {
        return None;
    }
    let (known, value) = (fa | fb, a.value | b.value);
    let (fields_a, fields_b) = (register_fields(a), register_fields(b));
    let fields: Vec<&Field> = if with_classes { fields_a.iter().chain(&fields_b).collect() } else { Vec::new() };
    if fields.is_empty() { Some(value) } else { solve(known, value, &fields) }
}

fn pairs() -> impl Iterator<Item = (&'static Row, &'static Row)> {
    let rows: Vec<&'static Row> = OpId::all().map(OpId::row).collect();
    let all = rows.clone().into_iter().enumerate();
    all.flat_map(move |(i, a)| rows[i + 1..].iter().map(|&b| (a, b)).collect::<Vec<_>>())
        .filter(|(a, b)| a.slot == b.slot)
}

#[test]
fn no_slot_word_is_two_instructions() {
    let mut tested = 0;
    for (a, b) in pairs() {
        if let Some(word) = common_word(a, b, Row::fixed_bits, true) {
            panic!("{word:#x} is {} and {}", a.name, b.name);
        }
        tested += 1;
    }
    assert!(tested > 30_000, "{tested} pairs");
}

/// Control of the proof: without the register-class test the published table has 1260 pairs that share a word.
#[test]
fn mask_and_value_alone_do_not_tell_instructions_apart() {
    let shared = pairs().filter(|(a, b)| common_word(a, b, |r| r.mask, false).is_some()).count();
    assert_eq!(shared, 1260);
}

/// Control of the proof: if the bits of unknown meaning were free, exactly four pairs would share words.
#[test]
fn ignoring_reserved_bits_would_make_four_pairs_ambiguous() {
    let free: fn(&Row) -> u64 = |r| r.mask & !r.dontcare;
    let shared: BTreeSet<(&str, &str)> = pairs()
        .filter(|(a, b)| common_word(a, b, free, true).is_some())
        .map(|(a, b)| (a.mnemonic, b.mnemonic))
        .collect();
    let count = pairs().filter(|(a, b)| common_word(a, b, free, true).is_some()).count();
    assert_eq!(count, 4, "{shared:?}");
    assert!(shared.iter().all(|(a, b)| a.contains("compr") || b.contains("compr")), "{shared:?}");
}

/// What the index must find, without the index.
fn slow_decode(slot: Slot, word: u64) -> Option<OpId> {
    let fits = |op: &OpId| {
        let row = op.row();
        row.slot == slot
            && word & row.fixed_bits() == row.value
            && register_fields(row).iter().all(|f| f.patterns.contains(&(word & f.mask)))
    };
    OpId::all().find(fits)
}

#[test]
fn the_index_finds_what_a_linear_search_finds() {
    let mut rng = Rng(7);
    let mut accepted = 0;
    for slot in Slot::ALL {
        let rows: Vec<OpId> = OpId::all().filter(|op| op.row().slot == slot).collect();
        for round in 0..2000 {
            // Half of the words are instructions with one bit flipped, half are random.
            let random = rng.next().unwrap();
            let word = if round % 2 == 0 {
                let op = rows[(random % rows.len() as u64) as usize];
                let flip = 1 << (rng.next().unwrap() % u64::from(slot.width_bits()));
                common::insn(op, &rng.seeds()).encode() ^ flip
            } else {
                random & slot.mask()
            };
            let got = Insn::decode(slot, word).ok();
            assert_eq!(got.map(|i| i.op()), slow_decode(slot, word), "slot {slot} word {word:#x}");
            accepted += usize::from(got.is_some());
        }
    }
    assert!(accepted > 4000, "{accepted} words were instructions");
}

#[test]
fn every_accepted_word_encodes_back_except_for_the_decode_only_pointer_number() {
    for slot in [Slot::Ldb, Slot::Alu] {
        let mut accepted = 0u32;
        for word in 0..=slot.mask() {
            if let Ok(insn) = Insn::decode(slot, word) {
                assert_eq!(insn.encode(), word, "{insn}");
                accepted += 1;
            }
        }
        assert!(accepted > 1000, "slot {slot}: {accepted}");
    }
    // Pointer p5 of the mixed classes has a second number, 0x59, that decodes but is never emitted.
    let lda = Insn::parse("lda p5, [p0, #0]").unwrap();
    let alias = lda.encode() & !(0x7f << 1) | 0x59 << 1;
    assert_eq!(lda.encode() >> 1 & 0x7f, 0x5d);
    assert_eq!(Insn::decode(Slot::Lda, alias), Ok(lda));
}

#[test]
fn reserved_bits_of_a_slot_word_are_refused() {
    let mut rng = Rng(3);
    let (mut refused, mut rows) = (0, 0);
    for op in OpId::all().filter(|op| op.row().dontcare != 0) {
        let row = op.row();
        rows += 1;
        for bit in (0..row.slot.width_bits()).map(|b| 1 << b).filter(|b| row.dontcare & b != 0) {
            let word = common::insn(op, &rng.seeds()).encode();
            assert_eq!(word & row.dontcare, 0, "{}: encoded as 0", row.name);
            match Insn::decode(row.slot, word | bit) {
                Err(IsaError::ReservedSlotBits { slot, word: w, bits, .. }) => {
                    assert_eq!((slot, w, bits), (row.slot, word | bit, bit), "{}", row.name);
                    refused += 1;
                }
                // The four pairs above: the word is the other instruction.
                Ok(other) => assert!(other.op() != op && row.mnemonic.contains("compr"), "{}: {other}", row.name),
                Err(other) => panic!("{}: {other}", row.name),
            }
        }
    }
    assert_eq!(rows, 137);
    assert!(refused > 300, "{refused}");
}

#[test]
fn words_that_only_resemble_an_instruction_are_refused() {
    // vadd.32 x0 with source numbers 14 and 12, which are no vector registers; it is `mov r0, p0` in fact.
    assert_eq!(Insn::decode(Slot::Mv, 0b00_0000_0000_0011_1011_0010).unwrap().to_string(), "mov r0, p0");
    // A vmul with destination cm9, which does not exist.
    let vmul = Insn::parse("vmul cm8, x0, x0, r0").unwrap().encode();
    assert_eq!(
        Insn::decode(Slot::Vec, vmul | 1 << 4),
        Err(IsaError::UnknownWord { slot: Slot::Vec, word: vmul | 1 << 4 })
    );
    let wide = 1 << 21;
    assert_eq!(
        Insn::decode(Slot::Lda, wide),
        Err(IsaError::WordTooWide { slot: Slot::Lda, word: wide, width_bits: 21 })
    );
    assert_eq!(Insn::decode(Slot::Nop, 1), Err(IsaError::UnknownWord { slot: Slot::Nop, word: 1 }));
}

#[test]
fn the_nop_word_of_each_slot_is_its_nop() {
    for slot in Slot::ALL {
        let insn = Insn::decode(slot, slot.nop_word()).unwrap();
        assert!(insn.row().is_nop() && insn.row().mnemonic.starts_with("nop"), "{insn}");
        let nops = OpId::all().filter(|op| op.row().slot == slot && op.row().is_nop()).count();
        assert_eq!(nops, 1);
    }
}
