//! Values and units that wrap around the initiation interval.
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{CodegenError, Operand, Piece, Program, RawInsn, Timed, Trip};
use common::*;

fn copy(ii: u32, trip: u32) -> Program {
    build(|a| {
        let (p, q, w) = (a.p(), a.p(), a.w());
        a.imm(p, 0x70000);
        a.imm(q, 0x74000);
        a.pipelined("copy", ii, Trip::Const(trip), |a| {
            a.vlda(A, w, p, 32);
            a.vst(B, w, q, 32);
        });
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// A load in flight per bundle and one register: the result of each load is read in the bundle in which it lands.
#[test]
fn copy_runs_at_one_bundle_per_vector() {
    for trip in [1, 2, 7, 8, 9, 10, 64, 65] {
        let p = copy(1, trip);
        assert_eq!((p.loops[0].ii_reached, p.loops[0].rec_mii), (1, 1));
        let body = p.symbols.get("copy").zip(p.symbols.get("copy.last"));
        if let Some((first, last)) = body {
            assert_eq!(last - first, 16, "bodies of one bundle are not used\n{}", p.listing());
        }
        let issued: usize = p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.row().mnemonic == "vst").count();
        assert!(body.is_some() || issued == trip as usize, "trip {trip}: {issued} stores");
    }
}

/// Moving the last store by one bundle makes it read a value of another iteration, or two stores share a slot: the loop has no slack.
#[test]
fn a_store_one_bundle_off_reads_the_wrong_iteration() {
    let p = copy(1, 64);
    let stores = p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.row().mnemonic == "vst").count();
    let e = *shifted(&p, "vst w", stores - 1, 1).unwrap_err();
    assert!(matches!(e, CheckError::WrongValue { .. } | CheckError::Coverage { .. }), "{e}");
}

#[test]
fn accumulator_recurrence_bounds_the_interval() {
    let attempt = |ii| {
        build(|a| {
            let (x, c, r, p) = (a.x(), a.cm(), a.r(), a.p());
            a.imm(p, 0x70000);
            a.imm(r, 776);
            a.i("vbcst.32 {}, {}", &[x, r]);
            a.i("vclr {}", &[c]);
            a.pipelined("chain", ii, 30, |a| {
                a.i("vmac.f {}, {}, {}, {}, {}", &[c.lo(), c.lo(), x, x, r]);
            });
            a.vst(A, c.am(0), p, 32);
        })
    };
    match attempt(3) {
        Err(CodegenError::IiMissed { rec_mii: 4, bound, .. }) => assert!(bound.contains("vmac.f"), "{bound}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(attempt(4).unwrap().loops[0].ii_reached, 4);
}

fn pinned(load: u32) -> Result<Program, CodegenError> {
    let insn = |t: &str| RawInsn::new(t, &[]).unwrap();
    let mut t = Timed::new("k", 2);
    t.at(load, insn("vlda wl0, [p0], #32").mem(A)).unwrap();
    t.at(9, insn("vst wl0, [p1], #32").mem(B)).unwrap();
    build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x74000);
        let stages = t.stages();
        let mut run = Piece::new(0);
        for w in 0..stages - 1 {
            run = run.then(t.ramp(0..w + 1));
        }
        run = run.then(t.steady().times(8));
        for w in 1..stages {
            run = run.then(t.ramp(w..stages));
        }
        a.raw("k", run);
    })
}

/// The load must land exactly between the last read of its predecessor and its own: with ii = 2 there are two such times.
#[test]
fn pinned_load_has_a_window_of_ii_bundles() {
    for (load, fine) in [(0, false), (1, true), (2, true), (3, false)] {
        match pinned(load) {
            Ok(_) => assert!(fine, "load at {load} must be refused"),
            Err(CodegenError::Check(e)) => {
                assert!(!fine, "load at {load}: {e}");
                assert!(matches!(*e, CheckError::WrongValue { .. }), "{e}");
            }
            Err(e) => panic!("{e}"),
        }
    }
}

/// The loop of the first kernel: lock operations, a pointer switch and the loop branch in free slots of a steady copy.
#[test]
fn extras_ride_in_free_slots() {
    let insn = |t: &str, ops: &[Operand]| RawInsn::new(t, ops).unwrap();
    let mut t = Timed::new("k", 8);
    t.at(0, insn("vlda wl0, [p0], #32", &[]).mem(A)).unwrap();
    t.at(1, insn("vldb wl1, [p1], #32", &[]).mem(B)).unwrap();
    t.at(9, insn("vmac cm0, cm0, x0, x1, r0", &[])).unwrap();
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x74000);
        a.imm(reg("r0"), 776);
        a.imm(reg("r1"), 5);
        a.imm(reg("r2"), -1);
        ["x0", "x1"].iter().for_each(|x| a.i("vbcst.32 {}, {}", &[reg(x), reg("r0")]));
        a.i("vclr {}", &[reg("cm0")]);
        let head = a.label("tile");
        a.raw("ramp", t.ramp(0..1));
        a.bind(head);
        a.raw("steady", t.steady().times(2));
        let guards = aie2_codegen::Guards::Spaces(vec![7]);
        let tail = t
            .steady()
            .extra(0, insn("add r1, r1, #-1", &[]))
            .extra(1, insn("acq #48, r2", &[]).guards(guards))
            .extra(2, insn("jnz r1, {}", &[head.into()]))
            .extra(4, insn("movxm p0, #0x70000", &[]));
        assert_eq!(tail.len(), 8);
        a.raw("tail", tail);
        a.raw("drain", t.ramp(1..2));
        a.vst(C, reg("amll0"), reg("p1"), 32);
    })
    .unwrap_or_else(|e| panic!("{e}"));
    let (branch, _) = find(&p, "jnz", 0);
    assert_eq!(p.lines[branch + 5].place, "tail 7");
}
