//! Register-file ports and units: two instructions must not need one in the same cycle.
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{CodegenError, Piece, RawInsn, Timed};
use common::*;

fn insn(text: &str) -> RawInsn {
    RawInsn::new(text, &[]).unwrap()
}

/// A float multiply writes its accumulator one cycle later than an integer one: back to back they need the write port together.
#[test]
fn float_multiply_before_integer_multiply() {
    let set_up = |a: &mut aie2_codegen::Asm| {
        a.imm(reg("r0"), 776);
        ["x0", "x1"].iter().for_each(|x| a.i("vbcst.32 {}, {}", &[reg(x), reg("r0")]));
    };
    let p = build(|a| {
        set_up(a);
        a.i("vmul.f bml0, x0, x1, r0", &[]);
        a.i("vmul cm1, x0, x1, r0", &[]);
    })
    .unwrap();
    assert_ne!(distance(&p, "vmul.f", "vmul cm1"), 1, "{}", p.listing());
    let raw = build(|a| {
        set_up(a);
        a.raw("both", Piece::new(2).extra(0, insn("vmul.f bml0, x0, x1, r0")).extra(1, insn("vmul cm1, x0, x1, r0")));
    });
    match raw {
        Err(CodegenError::Check(e)) => {
            assert!(matches!(&*e, CheckError::UnitClash { on, .. } if on == "CM_WA_PORT"), "{e}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn timed_loops_see_the_port_modulo_the_interval() {
    let mut t = Timed::new("k", 4);
    t.at(1, insn("vmul.f bml0, x0, x1, r0")).unwrap();
    match t.at(10, insn("vmul cm1, x0, x1, r0")) {
        Err(CodegenError::TimedClash { on, .. }) => assert_eq!(on, "CM_WA_PORT"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_writes_landing_together_are_refused() {
    let raw = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r1"), 3);
        // The load lands in cycle 7, the multiply issued five bundles later in its cycle 2.
        let piece = Piece::new(6).extra(0, insn("lda r0, [p0, #0]")).extra(5, insn("mul r0, r1, r1"));
        a.raw("clash", piece);
    });
    match raw {
        Err(CodegenError::Check(e)) => assert!(matches!(*e, CheckError::WriteClash { .. }), "{e}"),
        other => panic!("{other:?}"),
    }
}
