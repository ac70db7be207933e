//! Bundles: no bytes and no text make decoder or assembler panic. What decodes is encoded in its format to the same bytes; the
//! one exception is the second number of a register (`ClassId::decode_only`), which is encoded as the first. What decodes also
//! survives the smallest format, the longest one, and its own text.
//!
//! The input is decoded bundle after bundle as a program, every slot word of it is decoded in every slot, and it is assembled
//! as text.

use aie2_isa::{Bundle, Format, Insn, OperandDef, OperandKind, Slot, assemble};

/// The number in a field of a slot word, first piece most significant.
fn number_in(word: u64, field: &[(u8, u8)]) -> u64 {
    field.iter().fold(0, |number, &(hi, lo)| {
        let width = u32::from(hi - lo) + 1;
        number << width | word >> lo & ((1 << width) - 1)
    })
}

/// Whether the word names a register by a number that is decoded and never emitted.
fn has_second_number(insn: &Insn, word: u64) -> bool {
    let second = |def: &OperandDef| match def.kind {
        OperandKind::Class(class) => {
            class.decode_only().iter().any(|&(_, number)| u64::from(number) == number_in(word, def.field))
        }
        OperandKind::Imm(_) | OperandKind::Fixed(_) | OperandKind::Implied => false,
    };
    insn.row().given().any(second)
}

fn check_word(slot: Slot, word: u64) {
    let Ok(insn) = Insn::decode(slot, word) else { return };
    let encoded = insn.encode();
    assert!(encoded == word || has_second_number(&insn, word), "{slot} {word:#x} is {insn}, encoded {encoded:#x}");
    assert_eq!(Insn::decode(slot, encoded), Ok(insn));
    let text = insn.to_string();
    assert_eq!(Insn::parse_in(&text, slot), Ok(insn), "{text}");
    let _ = insn.timing();
}

fn check_bundle(bundle: &Bundle) {
    let text = bundle.to_string();
    assert_eq!(Bundle::parse(&text).as_ref(), Ok(bundle), "{text}");
    let longest = bundle.encode_at_least(16).unwrap_or_else(|error| panic!("{text}: {error}"));
    for encoded in [bundle.encode(), longest] {
        let decoded = Bundle::decode(&encoded).map(|(again, format, len)| (again, format.name, len));
        assert_eq!(decoded, Ok((*bundle, encoded.format().name, encoded.byte_len())), "{text}");
    }
}

/// Decodes the bundle at the start of `bytes`; returns its length.
fn check_bytes(bytes: &[u8]) -> Option<usize> {
    let (bundle, format, len) = Bundle::decode(bytes).ok()?;
    assert_eq!(len, Format::bytes_of(bytes[0]));
    let encoded = bundle.encode_in(format).unwrap_or_else(|error| panic!("{bundle} does not fit its format: {error}"));
    let (again, ..) = Bundle::decode(&encoded).unwrap_or_else(|error| panic!("{bundle}: {error}"));
    assert_eq!(again, bundle);
    if encoded.as_bytes() != &bytes[..len] {
        let mut raw = [0; 16];
        raw[..len].copy_from_slice(&bytes[..len]);
        let bits = u128::from_le_bytes(raw);
        let excused = format.slots.iter().any(|&(slot, _, lo)| {
            let word = (bits >> lo) as u64 & slot.mask();
            bundle.get(slot).is_some_and(|insn| has_second_number(insn, word))
        });
        assert!(excused, "{bundle}: {:02x?} became {encoded:?}", &bytes[..len]);
    }
    check_bundle(&bundle);
    Some(len)
}

pub fn check(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        // After bytes that are no bundle, the next one may begin at the next even address.
        at += check_bytes(&bytes[at..]).unwrap_or(2);
    }
    for raw in bytes.as_chunks::<8>().0 {
        for slot in Slot::ALL {
            check_word(slot, u64::from_le_bytes(*raw) & slot.mask());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for line in text.lines() {
            if let Ok(insn) = Insn::parse(line) {
                check_word(insn.slot(), insn.encode());
            }
        }
        if let Ok(bundles) = assemble(text) {
            bundles.iter().for_each(check_bundle);
        }
    }
}
