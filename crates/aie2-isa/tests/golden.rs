//! Bytes from outside: the encodings that llvm-aie's own tests expect, and three examples worked by hand.

use aie2_isa::{Bundle, Format, Insn, OpId, Reg, Slot, Value};
use std::collections::BTreeSet;

const GOLDEN: &str = include_str!("data/golden.tsv");

fn pairs() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    GOLDEN.lines().filter(|l| !l.starts_with('#')).map(|line| {
        let (bytes, text) = line.split_once('\t').expect("bytes, tab, text");
        (bytes_of(bytes), text)
    })
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|b| u8::from_str_radix(b, 16).expect("hex bytes")).collect()
}

/// Long immediates print in hexadecimal here and in decimal there.
fn decimal(text: &str) -> String {
    let word = |w: &str| match w.strip_prefix("#0x") {
        Some(hex) => format!("#{}", i64::from_str_radix(hex, 16).unwrap()),
        None => w.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn text_assembles_to_the_bytes_of_llvm_aie() {
    let mut mnemonics = BTreeSet::new();
    let mut count = 0;
    for (bytes, text) in pairs() {
        let bundle = Bundle::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(bundle.encode().as_bytes(), bytes, "{text}");
        mnemonics.insert(text.split(' ').next().unwrap());
        count += 1;
    }
    assert_eq!(count, 485);
    assert!(mnemonics.len() >= 150, "{} mnemonics", mnemonics.len());
}

#[test]
fn bytes_disassemble_to_the_text_of_llvm_aie() {
    for (bytes, text) in pairs() {
        let (bundle, format, len) = Bundle::decode(&bytes).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(len, bytes.len());
        assert_eq!(format.bytes as usize, len);
        assert_eq!(decimal(&bundle.to_string()), text);
    }
}

/// The NOPs of each slot and bundles of NOPs only.
///
/// SOURCE: Xilinx/llvm-aie llvm/test/CodeGen/AIE/aie2/BinaryOutput/nop.mir.
#[test]
fn bundles_of_slot_nops_are_the_empty_bundle_in_a_longer_format() {
    let cases = [
        ("19 00 00 00", &[Slot::Lda][..]),
        ("19 00 00 38", &[Slot::Ldb]),
        ("19 00 00 10", &[Slot::Alu]),
        ("19 07 00 18", &[Slot::Mv]),
        ("19 00 00 08", &[Slot::St]),
        ("09 78 00 00", &[Slot::Vec]),
        ("15 00 00 00 00 00", &[Slot::Lng]),
        ("43 00 00 00 00 00 00 00", &[Slot::Nop, Slot::Lng]),
        ("bb 00 00 00 00 00 00 00 00 00", &[Slot::Lda, Slot::Lng]),
        ("27 78 00 00 0e 00 00 00 00 00 00 00", &[Slot::Lda, Slot::Ldb, Slot::St, Slot::Vec]),
        ("7f 00 00 00 71 00 00 00 00 00 00 00 00 00", &[Slot::Lda, Slot::Ldb, Slot::Alu, Slot::Mv, Slot::St]),
        (
            "c0 03 00 88 03 00 00 00 00 00 00 00 00 00 00 00",
            &[Slot::Lda, Slot::Ldb, Slot::Alu, Slot::Mv, Slot::St, Slot::Vec],
        ),
    ];
    for (hex, slots) in cases {
        let bytes = bytes_of(hex);
        let (bundle, format, len) = Bundle::decode(&bytes).unwrap_or_else(|e| panic!("{hex}: {e}"));
        assert!(bundle.is_empty(), "{hex}");
        assert_eq!(len, bytes.len());
        assert!(slots.iter().all(|&s| format.has(s)) && format.slots.len() == slots.len(), "{hex}: {}", format.name);
        assert_eq!(bundle.encode_in(format).unwrap().as_bytes(), bytes, "{hex}");
    }
}

fn reg(name: &str) -> Value {
    Value::Reg(Reg::from_name(name).unwrap())
}

#[test]
fn worked_example_vector_mac() {
    let insn = Insn::parse("vmac cm5, cm6, x4, x5, r9").unwrap();
    assert_eq!(insn.op(), OpId::from_name("VMAC_vmac_cm_core_dense").unwrap());
    let fields = [("dst", "cm5"), ("acc1", "cm6"), ("s1", "x4"), ("s2", "x5"), ("c", "r9")];
    for (name, value) in fields {
        assert_eq!(insn.operand_named(name), Some(reg(value)));
    }
    assert_eq!(insn.encode(), 0x12c4550);
    let encoded = Bundle::with(&[insn]).unwrap().encode();
    assert_eq!(encoded.format().name, "I32_VEC");
    assert_eq!(encoded.as_bytes(), [0x09, 0x54, 0x11, 0x4b]);
    // The same word with accumulator 15, which no register of the class has, is another instruction.
    let other = Insn::decode(Slot::Vec, 0x12c4550 | 0xf << 17).unwrap();
    assert_eq!(other.row().mnemonic, "vmul");
}

#[test]
fn worked_example_load_with_post_increment() {
    let insn = Insn::parse("lda dc4, [p3], #252").unwrap();
    assert_eq!(insn.op(), OpId::from_name("LDA_dms_lda_pstm_nrm_imm").unwrap());
    assert_eq!(insn.encode(), 0xdfee5);
    assert_eq!(insn.operand_named("ptr_out"), Some(reg("p3")), "the tied copy is filled in");
    assert_eq!(insn.operand_named("imm"), Some(Value::Imm(252)), "the real value, not the field");
    let encoded = Bundle::with(&[insn]).unwrap().encode();
    assert_eq!((encoded.format().name, encoded.as_bytes()), ("I32_LDA", &[0x59, 0xb9, 0x7f, 0x03][..]));
    assert_eq!(insn.timing().itinerary.name, "II_LDA_POST_1D_DC");
}

#[test]
fn worked_example_three_instruction_bundle() {
    let bytes = bytes_of("77 10 12 1a c0 01 80 7e ff 0f 06 00");
    let (bundle, format, len) = Bundle::decode(&bytes).unwrap();
    assert_eq!((format.name, len), ("I96_LDA_ST_LNG", 12));
    let word = |slot| bundle.get(slot).unwrap().encode();
    assert_eq!((word(Slot::Lda), word(Slot::St), word(Slot::Lng)), (0xc1, 0x1ffdfa, 0x1c01a121));
    assert_eq!(bundle.to_string(), "mova r24, #0; st p7, [sp, #-8]; movxm p0, #0x70424");
    let again = Bundle::parse("mova r24, #0x0; st p7, [sp, #-8]; movxm p0, #0x70424").unwrap();
    assert_eq!(again, bundle);
    assert_eq!(again.encode().as_bytes(), bytes);
    assert_eq!(Format::from_name("I96_LDA_ST_LNG").unwrap().range(Slot::St).unwrap().lo, 54);
}
