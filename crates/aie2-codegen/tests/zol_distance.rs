//! Hardware loops: distance between set-up and loop end, alignment, size of the last bundle.
mod common;
use aie2_codegen::check::{CheckError, check};
use aie2_codegen::{Asm, CodegenError, Piece, Program, RawInsn, Trip};
use common::*;

fn short(wide: bool, trip: Trip) -> Program {
    let mut a = Asm::new();
    a.wide(wide);
    let (p, q, r) = (a.p(), a.p(), a.r());
    a.imm(p, 0x70000);
    a.imm(q, 0x74000);
    a.imm(r, 1);
    a.pipelined("sum", 3, trip, |a| {
        a.add(r, r, imm(1));
        a.i("mul {}, {}, {}", &[r, r, r]);
    });
    a.i("st {}, [{}, #0]", &[r, q]);
    a.i("st {}, [{}, #0]", &[r, p]);
    a.done();
    a.finish().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn short_loops_get_their_112_bytes() {
    for wide in [false, true] {
        let p = short(wide, Trip::Const(100));
        let last = p.symbols["sum.last"];
        let set_up = p
            .lines
            .iter()
            .filter(|l| l.pc < last && l.bundle.to_string().contains(" l"))
            .map(|l| l.pc + u32::from(l.bytes))
            .max()
            .unwrap();
        assert!(last - set_up >= 112, "{}", p.listing());
        assert_eq!((p.symbols["sum"] % 16, last % 16), (0, 0));
        assert_eq!(p.lines.iter().find(|l| l.pc == last).unwrap().bytes, 16);
    }
}

#[test]
fn shorter_distance_is_refused() {
    // The author places set-up and body with too little in between, and fixed issue times leave no room to add any.
    let result = build(|a| {
        let labels = a.zol_labels("k");
        let ls = RawInsn::new("movxm {}, {}", &[reg("ls"), labels.first.into()]).unwrap();
        let le = RawInsn::new("movxm {}, {}", &[reg("le"), labels.last.into()]).unwrap();
        let lc = RawInsn::new("movxm {}, {}", &[reg("lc"), imm(4)]).unwrap();
        a.raw("setup", Piece::new(3).extra(0, lc).extra(1, ls).extra(2, le));
        a.zol_body("k", labels, Piece::new(7));
    });
    assert!(matches!(result, Err(CodegenError::ZolDistance { bytes: 96, .. })), "{result:?}");
}

#[test]
fn checker_measures_the_distance_itself() {
    let p = short(true, Trip::Const(100));
    // Move the write of le towards the loop end.
    let n = p.lines.iter().filter(|l| l.pc < p.symbols["sum.last"]).count() - find(&p, "movxm le", 0).0;
    let result = shifted(&p, "movxm le", 0, n as i64 - 4);
    assert!(matches!(result.map_err(|e| *e), Err(CheckError::LoopDistance { .. } | CheckError::Coverage { .. })));
}

#[test]
fn constant_trips_that_need_no_loop_hardware_drop_the_set_up() {
    let p = short(true, Trip::Const(1));
    assert!(p.lines.iter().all(|l| !l.bundle.to_string().contains("lc")), "{}", p.listing());
}

#[test]
fn part_word_store_in_the_last_bundle_is_refused() {
    let result = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), 0);
        let labels = a.zol_labels("k");
        a.zol_set_up(4, labels);
        let store = RawInsn::new("st.s8 r0, [p0], #1", &[]).unwrap();
        a.zol_body("k", labels, Piece::new(12).extra(11, store));
    });
    match result {
        Err(CodegenError::Check(e)) => assert!(matches!(*e, CheckError::PartWordStoreAtLoopEnd { .. }), "{e}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn last_bundle_must_be_full_width() {
    let mut a = Asm::new();
    let r = a.r();
    a.imm(r, 1);
    a.zol("k", 50, |a| (0..9).for_each(|_| a.add(r, r, imm(1))));
    a.done();
    let p = a.finish().unwrap();
    // Re-encode the last bundle shorter and pad behind it: the addresses up to it stay, the rule is broken.
    let last = p.lines.iter().find(|l| l.pc == p.symbols["k.last"]).unwrap();
    let mut bytes = p.bytes.clone();
    let short = last.bundle.encode();
    let at = last.pc as usize;
    bytes[at..at + short.byte_len()].copy_from_slice(&short);
    for k in (short.byte_len()..16).step_by(2) {
        bytes[at + k..at + k + 2].copy_from_slice(&[0x01, 0x00]);
    }
    let result = check(&bytes, p.entry, &p.certificate);
    assert!(matches!(result.map_err(|e| *e), Err(CheckError::LoopEndSize { .. })));
}

#[test]
fn trip_register_with_a_small_minimum_is_refused() {
    let result = build(|a| {
        let (p, n, w, q) = (a.p(), a.r(), a.w(), a.p());
        a.imm(p, 0x70000);
        a.imm(q, 0x74000);
        a.imm(n, 9);
        a.pipelined("copy", 2, Trip::Reg { reg: n, min: 1 }, |a| {
            a.vlda(A, w, p, 32);
            a.vst(B, w, q, 32);
        });
    });
    assert!(matches!(result, Err(CodegenError::TripBelowStages { min_trip: 1, .. })), "{result:?}");
}
