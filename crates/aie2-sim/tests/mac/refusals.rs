//! What the documents and the recordings leave open is refused by name.

use crate::bf16::DENSE;
use crate::{Failure, SHIFT16, SUB0, SUB1, SUB2, ZERO_ACC, execute, word};
use aie2_sim::Fault;
use aie2_sim::core::sem::mac::ConfigField;
use aie2_sim::core_fault::CoreFaultKind;

/// The fault of one instruction under `config`, every source set.
fn refusal(text: &str, config: u32) -> CoreFaultKind {
    let presets: [(&str, &[u8]); 8] = [
        ("x0", &[1; 64]),
        ("x2", &[1; 64]),
        ("x3", &[1; 64]),
        ("q0", &[1; 16]),
        ("cm0", &[1; 128]),
        ("cm4", &[1; 128]),
        ("cm5", &[1; 128]),
        ("r0", &config.to_le_bytes()),
    ];
    match execute(text, &presets, "cm0") {
        Err(Failure::Fault(Fault::Core { fault, .. })) => fault.kind,
        other => panic!("{text}, {config:#x}: {other:?}"),
    }
}

fn field(text: &str, config: u32) -> ConfigField {
    match refusal(text, config) {
        CoreFaultKind::Config(bad) => {
            assert_eq!(bad.word, config);
            bad.field
        }
        other => panic!("{text}, {config:#x}: {other}"),
    }
}

const INT: &str = "vmac cm0, cm4, x0, x2, r0";
const FLOAT: &str = "vmac.f bml0, bml4, x0, x2, r0";
const INT8: u32 = word(0, 1, 0) | 0x300;

/// All 128 modes: twelve integer ones and two bf16 ones run, the others are refused for what they are.
#[test]
fn modes_outside_the_table_are_named() {
    const RUN: [(u32, u32, u32); 12] = [
        (0, 0, 0),
        (0, 1, 0),
        (0, 1, 1),
        (0, 2, 0),
        (0, 3, 0),
        (0, 3, 1),
        (1, 0, 0),
        (1, 2, 0),
        (1, 2, 1),
        (1, 3, 0),
        (1, 3, 1),
        (1, 3, 2),
    ];
    for amode in 0..4 {
        for bmode in 0..4 {
            for variant in 0..8 {
                let named = ConfigField::Mode { amode: amode as u8, bmode: bmode as u8, variant: variant as u8 };
                let mode = (amode, bmode, variant);
                if !RUN.contains(&mode) {
                    let want = match mode {
                        (0, 1, 2..=4) => ConfigField::Convolution,
                        (0, 1, 5) => ConfigField::Sparse,
                        _ => named,
                    };
                    assert_eq!(field(INT, word(amode, bmode, variant)), want);
                }
                if !matches!(mode, (2, 3, 0 | 1)) {
                    let want = if mode == (2, 3, 2) { ConfigField::Sparse } else { named };
                    assert_eq!(field(FLOAT, word(amode, bmode, variant)), want);
                }
            }
        }
    }
}

/// Product signs beyond the mnemonic: sub0, sub_mask and bits 15:14 run in three recorded words only.
#[test]
fn product_signs_of_the_word_are_named() {
    assert_eq!(field(INT, INT8 | SUB0), ConfigField::Sub0);
    assert_eq!(field(INT, INT8 | 1 << 14), ConfigField::Reserved);
    assert_eq!(field(INT, INT8 | 1 << 15), ConfigField::Reserved);
    for bit in 16..32 {
        assert_eq!(field(INT, INT8 | 1 << bit), ConfigField::SubMask);
    }
    // A recorded mask in another mode, and with other operand signs.
    assert_eq!(field(INT, 0x1b37_0110), ConfigField::SubMask);
    assert_eq!(field(INT, 0x1b37_0308), ConfigField::SubMask);
}

/// Complex products need sub_mask (aiev2_vmult.h passes one to every complex form), so they are refused for it.
#[test]
fn complex_modes_are_named() {
    assert_eq!(field(INT, word(1, 3, 2) | 0x300 | 0xa << 16), ConfigField::SubMask);
}

#[test]
fn modifiers_of_bf16_products_are_named() {
    let cases = [
        (1 << 8, ConfigField::OperandSigns),
        (1 << 9, ConfigField::OperandSigns),
        (SHIFT16, ConfigField::Shift16),
        (SUB0, ConfigField::Sub0),
        (SUB1, ConfigField::AccSigns),
        (SUB2, ConfigField::AccSigns),
        (1 << 14, ConfigField::Reserved),
        (1 << 15, ConfigField::Reserved),
        (1 << 16, ConfigField::SubMask),
        (1 << 31, ConfigField::SubMask),
    ];
    for (bits, want) in cases {
        assert_eq!(field(FLOAT, DENSE | bits), want, "{bits:#x}");
    }
    for text in ["vaddmac.f bml4, bml4, bml5, x0, x2, r0", "vaddmsc.f bml4, bml4, bml5, x0, x2, r0"] {
        assert_eq!(field(text, DENSE | ZERO_ACC), ConfigField::ZeroOfTwo);
    }
}

#[test]
fn sparse_instructions_are_named() {
    for (text, row) in [
        ("vmul cm0, x0, qx0, r0", "VMUL_vmac_cm_core_sparse_narrow"),
        ("vmac.f bml0, bml4, x0, qx0, r0", "VMAC_F_vmac_bm_core_sparse_narrow"),
        ("vnegmac cm0, cm4, x0, qx0, r0", "VNEGMAC_vmac_cm_core_sparse_narrow"),
    ] {
        assert_eq!(refusal(text, INT8), CoreFaultKind::Unmodelled { name: row });
    }
}

#[test]
fn modifiers_of_accumulator_sums_are_named() {
    // Of VNEG only the plain 32-bit form was recorded.
    for bits in [1 << 1, SHIFT16, SUB1] {
        assert_eq!(field("vneg cm0, cm4, r0", bits), ConfigField::OneAccumulator);
    }
    for text in [
        "vadd.f bml0, bml4, bml5, r0",
        "vsub.f bml0, bml4, bml5, r0",
        "vnegadd.f bml0, bml4, bml5, r0",
        "vnegsub.f bml0, bml4, bml5, r0",
        "vneg.f bml0, bml4, r0",
    ] {
        assert_eq!(field(text, 0x1c | SHIFT16), ConfigField::Shift16);
    }
}

/// The message says word and field.
#[test]
fn a_refused_word_reads_as_a_sentence() {
    assert_eq!(
        refusal(INT, INT8 | SUB0).to_string(),
        "configuration word 0x00000b08: sub0 (bit 11), the sign of the products"
    );
    assert_eq!(
        refusal(INT, word(3, 0, 4)).to_string(),
        "configuration word 0x00000086: mode (amode 3, bmode 0, variant 4), whose operand layout is not documented"
    );
}
