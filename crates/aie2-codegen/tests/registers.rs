//! Register assignment: classes, views, pins, exhaustion.
mod common;
use aie2_codegen::{Asm, Class, CodegenError, Operand};
use common::*;

#[test]
fn thirteen_live_vectors_are_refused_with_the_class() {
    let result = build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.imm(r, 1);
        let x: Vec<Operand> = (0..13).map(|_| a.x()).collect();
        x.iter().for_each(|x| a.i("vbcst.32 {}, {}", &[*x, r]));
        x.iter().for_each(|x| {
            a.vst(A, x.lo(), p, 32);
            a.vst(A, x.hi(), p, 32);
        });
    });
    match result {
        Err(CodegenError::OutOfRegisters { class: Class::X, live: 13, available: 12, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_follow_each_other_share_registers() {
    build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.imm(r, 1);
        for _ in 0..40 {
            let x = a.x();
            a.i("vbcst.32 {}, {}", &[x, r]);
            a.vst(A, x.lo(), p, 32);
        }
    })
    .unwrap();
}

#[test]
fn a_half_may_be_live_while_its_other_half_is_rewritten() {
    let p = build(|a| {
        let (p, x) = (a.p(), a.x());
        a.imm(p, 0x70000);
        a.vlda(A, x.lo(), p, 32);
        a.vlda(A, x.hi(), p, 32);
        a.vst(B, x.hi(), p, 32);
        a.vlda(A, x.hi(), p, 32);
        a.vst(B, x.lo(), p, 32);
        a.vst(B, x.hi(), p, 32);
    })
    .unwrap();
    let names: std::collections::BTreeSet<String> = p
        .lines
        .iter()
        .flat_map(|l| l.bundle.iter())
        .filter(|i| i.row().mnemonic == "vlda")
        .map(|i| i.operand(0).to_string())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn operand_classes_restrict_the_choice() {
    // vextract takes its index from r16..r19, vsel.8 its mask from a pair of r16..r31.
    let p = build(|a| {
        let (p, r, x, l) = (a.p(), a.r(), a.x(), a.l());
        a.imm(p, 0x70000);
        a.imm(r, 1);
        a.imm(l.lo(), 5);
        a.imm(l.hi(), 6);
        a.i("vbcst.32 {}, {}", &[x, r]);
        a.i("vsel.8 {}, {}, {}, {}", &[x, x, x, l]);
        a.vst(A, x.lo(), p, 32);
    })
    .unwrap();
    assert!(p.listing().contains("vsel.8"));
}

#[test]
fn pins_and_reservations_hold() {
    let p = build(|a| {
        a.reserve(aie2_isa::Reg::r(0));
        let (p, r, s) = (a.p(), a.r(), a.r());
        a.pin(r, aie2_isa::Reg::r(7));
        a.imm(p, 0x70000);
        a.imm(r, 1);
        a.add(s, r, imm(1));
        a.i("st {}, [{}, #0]", &[s, p]);
    })
    .unwrap();
    assert!(p.listing().contains("mova r7, #1") && !p.listing().contains(" r0,"), "{}", p.listing());
}

#[test]
fn reading_an_undefined_register_is_refused() {
    let partial = |a: &mut Asm| {
        let (p, r, s) = (a.p(), a.r(), a.r());
        a.imm(p, 0x70000);
        a.imm(s, 1);
        a.if_nz(s, |a| a.imm(r, 1));
        a.i("st {}, [{}, #0]", &[r, p]);
    };
    assert!(matches!(build(partial), Err(CodegenError::Undefined { .. })));
    let physical = |a: &mut Asm| a.i("st r5, [p3, #0]", &[]);
    assert!(matches!(build(physical), Err(CodegenError::Undefined { .. })));
    build(|a| {
        a.live_in(aie2_isa::Reg::r(5));
        a.live_in(aie2_isa::Reg::p(3));
        physical(a);
    })
    .unwrap();
}

#[test]
fn physical_registers_of_the_author_are_left_alone() {
    let p = build(|a| {
        let p = a.p();
        a.imm(reg("r3"), 42);
        a.imm(p, 0x70000);
        for i in 0..40 {
            let r = a.r();
            a.imm(r, i);
            a.i("st {}, [{}], #4", &[r, p]);
        }
        a.i("st r3, [{}, #0]", &[p]);
    })
    .unwrap();
    let writes = p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.to_string().starts_with("mova r3,")).count();
    assert_eq!(writes, 1, "{}", p.listing());
}

#[test]
fn views_that_do_not_exist_are_refused() {
    let result = build(|a| {
        let r = a.r();
        a.imm(r, 1);
        a.add(r.hi(), r, imm(1));
    });
    assert!(matches!(result, Err(CodegenError::OperandKind { index: 0, .. })), "{result:?}");
}

#[test]
fn mistakes_are_named() {
    let fails = |f: fn(&mut Asm)| build(f).expect_err("must be refused");
    assert!(matches!(fails(|a| a.i("add {}, {}", &[imm(1)])), CodegenError::OperandCount { want: 2, got: 1, .. }));
    assert!(matches!(fails(|a| a.op("NO_SUCH_ROW", &[])), CodegenError::NoSuchRow { .. }));
    assert!(matches!(fails(|a| a.i("jl #64", &[])), CodegenError::Call { .. }));
    assert!(matches!(
        fails(|a| {
            let l = a.label("nowhere");
            a.jump(l);
        }),
        CodegenError::Label { placed: 0, .. }
    ));
    assert!(matches!(fails(|a| a.pipelined("k", 1, 4, |a| a.forever(|_| {}))), CodegenError::NotStraight { .. }));
    assert!(matches!(fails(|a| a.pipelined("k", 1, 0, |_| {})), CodegenError::Trip { trip: 0, .. }));
    let large = build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.imm(r, 0);
        (0..1100).for_each(|_| a.i("st {}, [{}], #4", &[r, p]));
    });
    assert!(matches!(large, Err(CodegenError::TooLarge { limit: 16384, .. })));
}

#[test]
fn a_loop_with_more_temporaries_than_registers_shares_them() {
    let p = build(|a| {
        let (p, q, r) = (a.p(), a.p(), a.r());
        a.imm(p, 0x70000);
        a.imm(q, 0x74000);
        a.imm(r, 1);
        a.zol("many", 20, |a| {
            for _ in 0..15 {
                let x = a.x();
                a.i("vbcst.32 {}, {}", &[x, r]);
                a.vst(A, x.lo(), p, 32);
                a.vst(A, x.hi(), p, 32);
            }
        });
    })
    .unwrap();
    assert_eq!(p.loops[0].ii_reached, 30, "{}", p.listing());
}
