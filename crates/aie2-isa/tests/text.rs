//! Instructions as operands, words and text.

mod common;

use aie2_isa::{Bundle, Insn, IsaError, OpId, OperandKind, Reg, Slot, Value, assemble};
use common::Rng;
use proptest::prelude::*;

#[test]
fn every_row_survives_word_and_text() {
    let mut rng = Rng(1);
    for op in OpId::all() {
        let ends = [[0; 8].to_vec(), [u64::MAX; 8].to_vec()];
        let random = (0..40).map(|_| rng.seeds()).collect::<Vec<_>>();
        for seeds in ends.iter().chain(&random) {
            let insn = common::insn(op, seeds);
            assert_eq!(Insn::decode(insn.slot(), insn.encode()), Ok(insn));
            let text = insn.to_string();
            assert_eq!(Insn::parse(&text), Ok(insn), "{text}");
            assert_eq!(Insn::parse_in(&text, insn.slot()), Ok(insn), "{text}");
            let others = Slot::ALL.into_iter().filter(|&s| s != insn.slot());
            assert!(others.clone().all(|s| Insn::parse_in(&text, s).is_err()), "{text} fits one slot only");
            let given: Vec<Value> = insn.given().collect();
            assert_eq!(Insn::new(op, &given), Ok(insn));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_instructions_survive_word_and_text(op in 0..OpId::count(), seeds in prop::collection::vec(any::<u64>(), 8)) {
        let op = OpId::all().nth(op).unwrap();
        let insn = common::insn(op, &seeds);
        prop_assert_eq!(insn.op(), op);
        prop_assert_eq!(Insn::decode(insn.slot(), insn.encode()), Ok(insn));
        prop_assert_eq!(Insn::parse(&insn.to_string()), Ok(insn));
    }

    #[test]
    fn random_text_is_refused_without_panic(text in "[a-z.0-9]{1,8} [a-z0-9#,\\[\\] -]{0,20}") {
        if let Ok(insn) = Insn::parse(&text) {
            prop_assert_eq!(Insn::parse(&insn.to_string()), Ok(insn));
        }
    }

    #[test]
    fn immediates_outside_of_their_field_are_refused(op in 0..OpId::count(), off in 1i64..1_000_000, below: bool) {
        let op = OpId::all().nth(op).unwrap();
        let good = common::insn(op, &[0; 8]);
        let mut given: Vec<Value> = good.given().collect();
        let defs: Vec<_> = op.row().given().collect();
        for (i, def) in defs.iter().enumerate() {
            if let OperandKind::Imm(imm) = def.kind {
                let (min, max) = (imm.min(), imm.max());
                let value = if below { min - off } else { max + off };
                let keep = std::mem::replace(&mut given[i], Value::Imm(value));
                let want = IsaError::ImmediateRange { op: op.row().name, operand: def.name, value, min, max };
                prop_assert_eq!(Insn::new(op, &given), Err(want));
                if imm.scale > 1 {
                    given[i] = Value::Imm(min + 1);
                    let step = i64::from(imm.scale);
                    let want = IsaError::ImmediateStep { op: op.row().name, operand: def.name, value: min + 1, step };
                    prop_assert_eq!(Insn::new(op, &given), Err(want));
                }
                given[i] = keep;
            }
        }
    }
}

#[test]
fn operands_of_the_wrong_class_kind_or_number_are_refused() {
    let op = OpId::from_name("VMAC_vmac_cm_core_dense").unwrap();
    let name = op.row().name;
    let good = [Reg::cm(0), Reg::cm(1), Reg::x(0), Reg::x(1), Reg::r(0)].map(Value::Reg);
    assert!(Insn::new(op, &good).is_ok());
    let want = IsaError::OperandCount { op: name, expected: 5, given: 4 };
    assert_eq!(Insn::new(op, &good[..4]), Err(want));
    let mut bad = good;
    bad[2] = Value::Reg(Reg::wl(0));
    let want = IsaError::RegisterClass { op: name, operand: "s1", class: "mXv", reg: Reg::wl(0) };
    assert_eq!(Insn::new(op, &bad), Err(want));
    bad[2] = Value::Imm(3);
    assert_eq!(Insn::new(op, &bad), Err(IsaError::OperandKind { op: name, operand: "s1", given: Value::Imm(3) }));
    // Registers of every class: members accepted, all others refused.
    let clr = OpId::from_name("VCLR_vclr_BF").unwrap();
    for reg in Reg::all() {
        let accepted = Insn::new(clr, &[Value::Reg(reg)]).is_ok();
        assert_eq!(accepted, reg.name().starts_with("bm"), "{reg:?}");
    }
}

#[test]
fn tied_fixed_and_implied_operands_are_filled_in() {
    let insn = Insn::parse("vlda.3d wl2, [p4], d1").unwrap();
    let operand = |name: &str| insn.operand_named(name).and_then(Value::reg).unwrap().name();
    assert_eq!(operand("mod"), "d1_3d");
    assert_eq!((operand("ptr_out"), operand("count_lo_out"), operand("count_hi_out")), ("p4", "dc1", "dc5"));
    let insn = Insn::parse("vst.2d wl2, [p4], d7").unwrap();
    assert_eq!(insn.operand_named("count_out"), Some(Value::Reg(Reg::dc(7))));
    let insn = Insn::parse("divs r0, r31, r1, r2").unwrap();
    assert_eq!(insn.operand_named("sd_in"), Some(Value::Reg(Reg::r(31))));
    let insn = Insn::parse("vaddmac cm3, cm3, cm1, x0, x1, r0").unwrap();
    assert_eq!(insn.operand(0), Value::Reg(Reg::cm(3)));
    assert_eq!(insn.given().count(), 5, "the tied destination is not given");
    // The syntax shows both; they must agree.
    let (given, must_be) = (Value::Reg(Reg::cm(2)), Value::Reg(Reg::cm(3)));
    let want = IsaError::Tied { op: insn.row().name, operand: "dst", given, must_be };
    assert_eq!(Insn::parse("vaddmac cm2, cm3, cm1, x0, x1, r0"), Err(want));
}

#[test]
fn numbers_are_decimal_or_hexadecimal() {
    let same = |a: &str, b: &str| assert_eq!(Insn::parse(a).unwrap(), Insn::parse(b).unwrap(), "{a} / {b}");
    same("mova r0, #-16", "mova r0, #-0x10");
    same("mova r0, #255", "mova r0, 0xff");
    same("movxm r0, #-1", "movxm r0, #0xffffffff");
    same("movxm r0, #0x80000000", "movxm r0, #-2147483648");
    same("  vldb   wl0,[p0],#32 ", "vldb wl0, [p0], #32");
    // The bit-pattern reading is for 32-bit fields in hexadecimal only.
    assert!(matches!(Insn::parse("movxm r0, #4294967295"), Err(IsaError::ImmediateRange { .. })));
    assert!(matches!(Insn::parse("mova r0, #0xffffffff"), Err(IsaError::ImmediateRange { .. })));
    assert!(matches!(Insn::parse("movxm r0, #0x100000000"), Err(IsaError::ImmediateRange { .. })));
    assert!(matches!(Insn::parse("mova r0, #99999999999999999999"), Err(IsaError::NoSuchForm { .. })));
}

/// A second sign would make a number whose negation does not exist.
#[test]
fn a_number_has_one_sign() {
    for number in ["#-0x-8000000000000000", "#0x-8", "#0x+8", "#-0x-8", "#--8", "#0x"] {
        let text = format!("movxm r0, {number}");
        assert!(matches!(Insn::parse(&text), Err(IsaError::NoSuchForm { .. })), "{text}");
    }
}

#[test]
fn register_pairs_and_3d_modifiers_have_two_spellings() {
    let a = Insn::parse("mov l2, cntr").unwrap();
    assert_eq!(a, Insn::parse("mov r21:r20, cntr").unwrap());
    assert_eq!(a.to_string(), "mov r21:r20, cntr");
    let d = Insn::parse("padda.3d [p0], d2_3d").unwrap();
    assert_eq!(d, Insn::parse("padda.3d [p0], d2").unwrap());
    assert_eq!(d.to_string(), "padda.3d [p0], d2");
}

#[test]
fn refusals_say_what_is_wrong() {
    let refusal = |text: &str| Insn::parse(text).unwrap_err();
    assert_eq!(refusal("vfoo x0"), IsaError::UnknownMnemonic { mnemonic: "vfoo".into() });
    assert_eq!(refusal(""), IsaError::Empty { text: String::new() });
    assert_eq!(refusal("add r0, r1"), IsaError::NoSuchForm { text: "add r0, r1".into() });
    let want = IsaError::RegisterClass { op: "CLB", operand: "mRx0", class: "eR", reg: Reg::p(0) };
    assert_eq!(refusal("clb r0, p0"), want);
    let add = "ADD_add_r_ri";
    assert_eq!(
        refusal("add r0, r1, #64"),
        IsaError::ImmediateRange { op: add, operand: "c7s", value: 64, min: -64, max: 63 }
    );
    // Two forms of `lda` take an immediate offset; the register says which one is meant.
    let lda = "LDA_dms_lda_idx_imm";
    assert_eq!(refusal("lda r0, [p0, #2]"), IsaError::ImmediateStep { op: lda, operand: "imm", value: 2, step: 4 });
    let want = IsaError::UnknownMnemonic { mnemonic: "add".into() };
    assert_eq!(Insn::parse_in("add r0, r1, r2", Slot::Vec), Err(want));
    assert_eq!(Bundle::parse("nop;; nop"), Err(IsaError::Empty { text: "nop;; nop".into() }));
}

#[test]
fn a_program_is_one_bundle_per_line() {
    let program = "
        // load, then add
        vlda wl0, [p0], #32
        movxm p0, #0x70424; vldb wl1, [p1], #32 // two slots
        vshuffle x4, x0, x2, r1

        nop
        mov r0, #1; mova r1, #2; movx r2, #3;
    ";
    let bundles = assemble(program).unwrap();
    let text: Vec<String> = bundles.iter().map(Bundle::to_string).collect();
    assert_eq!(text.len(), 5);
    assert_eq!(text[0], "vlda wl0, [p0], #32");
    assert_eq!(text[2], "vshuffle x4, x0, x2, r1");
    assert_eq!(text[3], "nop");
    assert_eq!(bundles[1].iter().count(), 2);
    assert_eq!(bundles[4].iter().count(), 3);
    let error = assemble("nop\n\nadd r0, r1, #64\n").unwrap_err();
    assert!(
        matches!(&error, IsaError::Line { line: 3, source } if matches!(**source, IsaError::ImmediateRange { .. }))
    );
    assert!(error.to_string().starts_with("line 3: ADD_add_r_ri"), "{error}");
}

#[test]
fn an_instruction_is_small() {
    assert!(size_of::<Insn>() <= 32);
}
