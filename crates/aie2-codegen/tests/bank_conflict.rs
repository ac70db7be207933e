//! Logical banks: two accesses of one cycle must not meet in one 16 KiB bank.
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{CodegenError, MemRef, Piece, RawInsn, Timed};
use common::*;

#[test]
fn loads_of_one_bank_are_kept_apart_and_of_two_banks_are_not() {
    let program = |second: MemRef| {
        build(|a| {
            let (p, q, v, w) = (a.p(), a.p(), a.w(), a.w());
            a.imm(p, 0x70000);
            a.imm(q, 0x72000);
            a.vlda(A, v, p, 32);
            a.vldb(second, w, q, 32);
            a.vst(C, v, p, 32);
            a.vst(C, w, q, 32);
        })
        .unwrap()
    };
    let apart = program(MemRef::space(2).in_bank(0));
    assert_ne!(distance(&apart, "vlda", "vldb"), 0, "{}", apart.listing());
    assert!(matches!(
        shifted(&apart, "vldb", 0, -distance(&apart, "vlda", "vldb")).map_err(|e| *e),
        Err(CheckError::UnitClash { .. } | CheckError::WrongValue { .. })
    ));
    let together = program(MemRef::space(2).in_bank(1));
    assert!(together.lines.len() <= apart.lines.len());
}

#[test]
fn raw_bundle_with_a_conflict_is_refused() {
    let insn = |text: &str, mem| RawInsn::new(text, &[]).unwrap().mem(mem);
    let result = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x70040);
        let piece = Piece::new(1)
            .extra(0, insn("vlda wl0, [p0], #32", A))
            .extra(0, insn("vldb wl1, [p1], #32", MemRef::space(2).in_bank(0)));
        a.raw("both", piece);
    });
    match result {
        Err(CodegenError::Check(e)) => {
            assert!(matches!(&*e, CheckError::UnitClash { on, .. } if on == "bank 0"), "{e}")
        }
        other => panic!("{other:?}"),
    }
}

/// A converting store touches memory two cycles after a plain access of the same bundle: the conflict is with the load two bundles later.
#[test]
fn late_store_conflicts_with_the_load_two_bundles_behind() {
    let insn = |text: &str, mem| RawInsn::new(text, &[]).unwrap().mem(mem);
    let mut t = Timed::new("k", 8);
    t.at(0, insn("vst.srs.s8.s32 cm0, s0, [p1], #32", C)).unwrap();
    t.at(0, insn("vlda wl0, [p0], #32", MemRef::space(3).in_bank(2))).unwrap();
    match t.at(2, insn("vldb wl1, [p0], #32", MemRef::space(4).in_bank(2))) {
        Err(CodegenError::TimedClash { on, .. }) => assert_eq!(on, "bank 2"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn modulo_schedule_counts_the_bank() {
    let result = build(|a| {
        let (p, q, r) = (a.p(), a.p(), a.p());
        let (v, w) = (a.w(), a.w());
        a.imm(p, 0x70000);
        a.imm(q, 0x71000);
        a.imm(r, 0x74000);
        a.pipelined("k", 1, 64, |a| {
            a.vlda(A, v, p, 32);
            a.vldb(MemRef::space(9).in_bank(0), w, q, 32);
            a.vst(B, v, r, 32);
        });
    });
    match result {
        Err(CodegenError::IiMissed { res_mii: 2, bound, .. }) => assert_eq!(bound, "bank 0"),
        other => panic!("{other:?}"),
    }
}
