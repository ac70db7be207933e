//! The inner loop of an int8 matrix product, block of 4 x 2 tiles (4x8 . 8x8): 8 multiplies in 8 bundles.
mod common;
use aie2_codegen::{Asm, CodegenError, Operand, Piece, Program, RawInsn, Timed, Trip};
use common::*;

/// Configuration word of the dense 4x8x8 int8 product; its value does not matter to the schedule.
const CONFIG: i64 = 776;

fn body(a: &mut Asm, acc: &[Operand], x: &[Operand], y: &[Operand], pa: Operand, pb: Operand, c: Operand) {
    for w in x.iter() {
        a.vlda(A, w.lo(), pa, 32);
    }
    for v in y {
        a.vldb(B, v.lo(), pb, 32);
        a.vldb(B, v.hi(), pb, 32);
    }
    for (s, v) in y.iter().enumerate() {
        for (r, w) in x.iter().enumerate() {
            a.vmac(acc[4 * s + r], *w, *v, c);
        }
    }
}

fn gemm(trip: impl Fn(&mut Asm) -> Trip, ii: u32) -> Result<Program, CodegenError> {
    build(|a| {
        let (pa, pb, pc, c) = (a.p(), a.p(), a.p(), a.r());
        let acc: Vec<Operand> = (0..8).map(|_| a.cm()).collect();
        let x: Vec<Operand> = (0..4).map(|_| a.x()).collect();
        let y: Vec<Operand> = (0..2).map(|_| a.x()).collect();
        a.imm(pa, 0x70000);
        a.imm(pb, 0x74000);
        a.imm(pc, 0x78000);
        a.imm(c, CONFIG);
        let trip = trip(a);
        // Only the low halves carry data: the block has 4 rows of 8 bytes.
        x.iter().for_each(|w| a.undef(w.hi()));
        acc.iter().for_each(|r| a.i("vclr {}", &[*r]));
        a.pipelined("k", ii, trip, |a| body(a, &acc, &x, &y, pa, pb, c));
        for r in &acc {
            (0..4).for_each(|q| a.vst(C, r.am(q), pc, 32));
        }
    })
}

#[test]
fn modulo_scheduler_reaches_eight() {
    let p = gemm(|_| Trip::Const(64), 8).unwrap();
    let l = &p.loops[0];
    assert_eq!((l.ii_reached, l.vmac_per_ii, l.res_mii), (8, 8, 8), "{}", p.listing());
    assert!(l.stages <= 3, "{}", p.listing());
}

#[test]
fn register_trip_count() {
    let p = gemm(
        |a| {
            let n = a.r();
            a.imm(n, 40);
            Trip::Reg { reg: n, min: 8 }
        },
        8,
    )
    .unwrap();
    assert_eq!(p.loops[0].ii_reached, 8);
}

#[test]
fn every_short_trip_count() {
    for n in 1..8 {
        let p = gemm(|_| Trip::Const(n), 8).unwrap_or_else(|e| panic!("trip {n}: {e}"));
        let multiplies =
            p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.row().mnemonic == "vmac").count() as u32;
        let looped = p.loops[0].pc.is_some();
        assert!(looped || multiplies == 8 * n, "trip {n}: {multiplies} multiplies\n{}", p.listing());
    }
}

#[test]
fn seven_is_refused_with_the_binding_slot() {
    match gemm(|_| Trip::Const(64), 7) {
        Err(CodegenError::IiMissed { declared: 7, res_mii: 8, bound, .. }) => assert!(bound.contains("vec"), "{bound}"),
        other => panic!("{other:?}"),
    }
}

/// The published table: loads of the next step land behind the last read of the old one.
fn timed() -> Timed {
    let insn = |text: String| aie2_isa::Insn::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut t = Timed::new("k", 8);
    let load =
        |t: &mut Timed, at: u32, text: &str, mem| t.at(at, RawInsn::from(insn(text.to_owned())).mem(mem)).unwrap();
    // x0..x3 = A0..A3, x4, x5 = B0, B1; multiply s of an iteration issues at 14 + s.
    for (r, at) in [(0, 6), (1, 7), (2, 8), (3, 9)] {
        load(&mut t, at, &format!("vlda wl{r}, [p0], #32"), A);
    }
    for (w, at) in [("wl4", 6), ("wh4", 7), ("wl5", 10), ("wh5", 11)] {
        load(&mut t, at, &format!("vldb {w}, [p1], #32"), B);
    }
    for s in 0..8u32 {
        t.at(14 + s, insn(format!("vmac cm{s}, cm{s}, x{}, x{}, r0", s % 4, 4 + s / 4))).unwrap();
    }
    t
}

fn timed_program(t: &Timed, steady: Piece) -> Result<Program, CodegenError> {
    build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x74000);
        a.imm(reg("p2"), 0x78000);
        a.imm(reg("r0"), CONFIG);
        (0..6).for_each(|i| {
            let x = reg(&format!("x{i}"));
            a.i("vbcst.32 {}, {}", &[x, reg("r0")]);
        });
        (0..8).for_each(|i| a.i("vclr {}", &[reg(&format!("cm{i}"))]));
        let labels = a.zol_labels("k");
        a.zol_set_up(30, labels);
        a.raw("in", t.ramp(0..1).then(t.ramp(0..2)));
        a.zol_body("k", labels, steady);
        a.raw("out", t.ramp(1..3).then(t.ramp(2..3)));
        (0..8).for_each(|i| a.vst(C, reg(&format!("amll{i}")), reg("p2"), 32));
    })
}

#[test]
fn timed_form_passes_the_checker() {
    let t = timed();
    assert_eq!(t.stages(), 3);
    let p = timed_program(&t, t.steady()).unwrap();
    assert_eq!(p.loops[0].ii_reached, 8);
    assert_eq!(p.loops[0].vmac_per_ii, 8);
    assert!(!p.early_reads.is_empty(), "old values are read while the next step is in flight");
}

#[test]
fn timed_clash_names_slot_and_cycle() {
    let mut t = timed();
    let again = aie2_isa::Insn::parse("vlda wl6, [p0], #32").unwrap();
    match t.at(14, again) {
        Err(CodegenError::TimedClash { on, modulo: 6, .. }) => assert_eq!(on, "slot lda"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn timed_form_with_a_late_load_is_refused() {
    // A2 one bundle later than its first reader can bear.
    let insn = |text: &str| aie2_isa::Insn::parse(text).unwrap();
    let mut t = Timed::new("k", 8);
    t.at(0, RawInsn::from(insn("vlda wl0, [p0], #32")).mem(A)).unwrap();
    t.at(6, insn("vmac cm0, cm0, x0, x4, r0")).unwrap();
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), CONFIG);
        ["x0", "x4"].iter().for_each(|x| a.i("vbcst.32 {}, {}", &[reg(x), reg("r0")]));
        a.i("vclr {}", &[reg("cm0")]);
        a.raw("k", t.steady().times(3));
    });
    match p {
        Err(CodegenError::Check(e)) => assert!(e.to_string().contains("wl0"), "{e}"),
        other => panic!("{other:?}"),
    }
}
