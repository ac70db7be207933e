//! A tile loop without bubbles: the steady product runs on while the old tile is stored and the new one starts (overlapped drain and fill).
//!
//! ```text
//! iteration = one step of k: load A, B (t = 0..), multiply (t = 8, 10)      ii = 4, two accumulators
//! first step of a tile   multiplies without accumulating                    variant `first`
//! last step of a tile    stores its accumulators                            variant `last`
//! ```
mod common;
use aie2_codegen::{CodegenError, Operand, Program, RawInsn, Stage, Timed, Variant};
use common::*;

fn insn(t: &str) -> RawInsn {
    RawInsn::new(t, &[]).unwrap()
}

struct Tile {
    steps: Timed,
    first: Variant,
    last: Variant,
}

/// `store`: time of the first store of a finished tile.
fn tile(store: u32) -> Tile {
    let mut t = Timed::new("tile", 4);
    t.at(0, insn("vlda wl0, [p0], #32").mem(A)).unwrap();
    t.at(1, insn("vlda wh0, [p0], #32").mem(A)).unwrap();
    t.at(0, insn("vldb wl1, [p1], #32").mem(B)).unwrap();
    t.at(1, insn("vldb wh1, [p1], #32").mem(B)).unwrap();
    let even = t.at(8, insn("vmac cm0, cm0, x0, x1, r0")).unwrap();
    let odd = t.at(10, insn("vmac cm1, cm1, x0, x1, r1")).unwrap();
    let out: Vec<_> = ["cm0", "cm1"]
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let text = format!("vst.srs.s8.s32 {c}, s0, [p2], #32");
            let raw = insn(&text).mem(C);
            (t.optional(store + 2 * i as u32, raw.clone()).unwrap(), raw)
        })
        .collect();
    let first = t.variant([(even, Some(insn("vmul cm0, x0, x1, r0"))), (odd, Some(insn("vmul cm1, x0, x1, r1")))]);
    let last = t.variant(out.into_iter().map(|(op, raw)| (op, Some(raw))));
    Tile { steps: t, first, last }
}

/// Two tiles of five steps, one behind the other.
fn program(t: &Tile) -> Result<Program, CodegenError> {
    let kind = |step: i32| match step {
        0 | 5 => Stage::As(t.first),
        4 | 9 => Stage::As(t.last),
        0..10 => Stage::On,
        _ => Stage::Off,
    };
    build(|a| {
        for (p, at) in [("p0", 0x70000), ("p1", 0x74000), ("p2", 0x78000)] {
            a.imm(reg(p), at);
        }
        a.imm(reg("r0"), 776);
        a.imm(reg("r1"), 776);
        a.imm(reg("s0"), 4);
        let stages = t.steps.stages() as i32;
        for w in 0..10 + stages - 1 {
            let sel: Vec<Stage> = (0..stages).map(|s| kind(w - s)).collect();
            a.raw("window", t.steps.window(&sel));
        }
    })
}

#[test]
fn stores_ride_between_landing_and_overwriting() {
    // Last multiply at 8, lands at 13; the first multiply of the next tile issues at 12 and lands at 17.
    for (store, fine) in [(12, false), (13, true), (14, true), (16, true), (17, false)] {
        match program(&tile(store)) {
            Ok(p) => {
                assert!(fine, "store at {store} must be refused");
                let stores =
                    p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.row().mnemonic == "vst.srs.s8.s32");
                assert_eq!(stores.count(), 4);
                let multiplies =
                    p.lines.iter().flat_map(|l| l.bundle.iter()).filter(|i| i.row().mnemonic.starts_with("vm"));
                assert_eq!(multiplies.count(), 20);
            }
            Err(CodegenError::Check(e)) => assert!(!fine && e.to_string().contains("vst.srs"), "store at {store}: {e}"),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Hardware loop for the steps in the middle, its set-up in a steady copy, the tile loop branch in another one.
#[test]
fn tile_loop_with_an_inner_hardware_loop() {
    let t = tile(13);
    let stages = t.steps.stages() as usize;
    assert_eq!(stages, 4);
    let p = build(|a| {
        for (p, at) in [("p0", 0x70000), ("p1", 0x74000), ("p2", 0x78000)] {
            a.imm(reg(p), at);
        }
        a.imm(reg("r0"), 776);
        a.imm(reg("r1"), 776);
        a.imm(reg("r2"), 6);
        a.imm(reg("s0"), 4);
        let (head, inner) = (a.label("tile"), a.zol_labels("steps"));
        let with = |text: &str, ops: &[Operand]| RawInsn::new(text, ops).unwrap();
        // Window w executes iteration w - s in stage s.
        let window = |sel: [Stage; 4]| t.steps.window(&sel);
        let (on, first, last, off) = (Stage::On, Stage::As(t.first), Stage::As(t.last), Stage::Off);
        a.raw(
            "start",
            window([first, off, off, off]).then(window([on, first, off, off])).then(window([on, on, first, off])),
        );
        a.bind(head);
        let set_up = window([on, on, on, first])
            .extra(0, with("movxm {}, {}", &[reg("lc"), imm(9)]))
            .extra(1, with("movxm {}, {}", &[reg("ls"), inner.first.into()]))
            .extra(2, with("movxm {}, {}", &[reg("le"), inner.last.into()]))
            .extra(3, with("add r2, r2, #-1", &[]));
        a.raw("set-up", set_up.then(window([on, on, on, on]).times(4)));
        a.zol_body("steps", inner, window([on, on, on, on]));
        a.raw("end", window([last, on, on, on]).then(window([first, last, on, on])));
        // The branch is followed by its five delay slots: three of this window and two of the next.
        let turn = window([on, first, last, on]).then(window([on, on, first, last]));
        let turn = turn.extra(2, with("jnz r2, {}", &[head.into()]));
        a.raw("turn", turn);
        a.raw("stop", window([off, on, on, first]).then(window([off, off, on, on])).then(window([off, off, off, on])));
    })
    .unwrap_or_else(|e| panic!("{e}"));
    assert!(p.loops.iter().any(|l| l.name == "steps" && l.ii_reached == 4 && l.vmac_per_ii == 2));
    assert!(p.early_reads.len() > 4);
}

/// A window with the second stage of an iteration that never began.
fn without_a_beginning(primed: bool) -> Result<Program, CodegenError> {
    let mut t = Timed::new("primed", 8);
    if primed {
        t.primed_from(1);
    }
    t.at(0, insn("vlda wl0, [p0], #32").mem(A)).unwrap();
    t.at(1, insn("vlda wh0, [p0], #32").mem(A)).unwrap();
    t.at(9, insn("vmac cm0, cm0, x0, x1, r0")).unwrap();
    build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), 776);
        a.imm(reg("r2"), 0);
        for x in ["x0", "x1"] {
            a.i("vbcst.32 {}, {}", &[reg(x), reg("r2")]);
        }
        a.i("vmul {}, {}, {}, {}", &[reg("cm0"), reg("x0"), reg("x1"), reg("r0")]);
        a.raw("windows", t.steady().times(2));
        a.done();
    })
}

#[test]
fn a_loop_that_begins_with_its_last_stage_declares_it() {
    without_a_beginning(true).expect("zeros are meant");
    let refused = without_a_beginning(false).expect_err("nothing was loaded");
    assert!(matches!(refused, CodegenError::Check(_)), "{refused}");
}
