//! Two writes of one register in one bundle that land in different cycles, and the same across a branch: the exchange of an accumulator
//! without a bubble.
//!
//! ```text
//! bundle   0                 5 6          7
//!          vmac cm0          its value    the load's value
//!          vlda amll0 (next iteration)
//! ```
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{Asm, CodegenError, Piece, Program, RawInsn, Timed};
use aie2_isa::{Bundle, Insn, raw_latency};
use common::*;

/// Bundles between two loads; the multiply of an iteration shares its bundle with the load of the next one.
const II: u32 = 8;

fn insn(text: &str) -> RawInsn {
    RawInsn::new(text, &[]).unwrap()
}

/// C += A·B for one accumulator that lives in memory, begun at time `load`; its first quarter is stored `store` bundles after the multiply.
fn exchange(load: u32, store: u32) -> Timed {
    let mut t = Timed::new("exchange", II);
    t.at(load, insn("vlda amll0, [p0], #32").mem(A)).unwrap();
    t.at(load + II, insn("vmac cm0, cm0, x0, x1, r0")).unwrap();
    t.at(load + II + store, insn("vst amll0, [p1], #32").mem(C)).unwrap();
    t
}

fn start(a: &mut Asm) {
    for (p, at) in [("p0", 0x70000), ("p1", 0x78000), ("r0", 776), ("r2", 1)] {
        a.imm(reg(p), at);
    }
    ["x0", "x1"].iter().for_each(|x| a.i("vbcst.32 {}, {}", &[reg(x), reg("r0")]));
    a.i("vclr {}", &[reg("cm0")]);
}

/// The program, or nothing if the checker refuses the store for the value it receives.
fn verdict(result: Result<Program, CodegenError>, store: u32) -> Option<Program> {
    match result {
        Ok(p) => Some(p),
        Err(CodegenError::Check(e)) => match *e {
            CheckError::WrongValue { ref reader, atom, ref received, .. } => {
                assert!(reader.starts_with("vst amll0") && atom.reg() == reg_of("amll0"), "{e}");
                // Too early: what the multiply added to. Too late: what the next iteration adds to.
                assert!(received.contains("vlda amll0"), "store {store} bundles behind: {e}");
                None
            }
            _ => panic!("store {store} bundles behind: {e}"),
        },
        Err(e) => panic!("{e}"),
    }
}

fn reg_of(name: &str) -> aie2_isa::Reg {
    aie2_isa::Reg::from_name(name).unwrap()
}

#[test]
fn the_distances_are_those_of_the_table() {
    let defs = |text: &str| Insn::parse(text).unwrap().timing();
    let store = defs("vst amll0, [p1], #32");
    let quarter = store.uses().iter().find(|u| u.reg == reg_of("amll0")).unwrap();
    let (vmac, load) = (defs("vmac cm0, cm0, x0, x1, r0"), defs("vlda amll0, [p0], #32"));
    assert_eq!((raw_latency(&vmac.defs()[0], quarter), raw_latency(&load.defs()[0], quarter)), (5, 7));
}

#[test]
fn each_value_has_its_bundles() {
    for store in 4..=7 {
        let t = exchange(0, store);
        assert_eq!(t.stages(), 2);
        let p = build(|a| {
            start(a);
            a.raw("in", t.ramp(0..1));
            a.raw("steady", t.steady().times(3));
            a.raw("out", t.ramp(1..2));
        });
        let p = verdict(p, store);
        assert_eq!(p.is_some(), [5, 6].contains(&store), "store {store} bundles behind");
        let Some(p) = p else { continue };
        let both =
            |b: &Bundle| ["vmac cm0", "vlda amll0"].iter().all(|w| b.iter().any(|i| i.to_string().starts_with(w)));
        assert_eq!(p.lines.iter().filter(|l| both(&l.bundle)).count(), 3, "{}", p.listing());
        assert!(!p.early_reads.is_empty(), "stores read while the next value is in flight");
    }
}

#[test]
fn the_later_value_is_readable_from_its_own_distance() {
    // The load alone stands behind the multiply: who reads the newest value means the load's.
    for (gap, fine) in [(5, false), (6, false), (7, true), (8, true)] {
        let p = build(|a| {
            start(a);
            let both = Piece::new(1).extra(0, insn("vmac cm0, cm0, x0, x1, r0"));
            let both = both.extra(0, insn("vlda amll0, [p0], #32").mem(A));
            a.raw("both", both.extra(gap, insn("vst amll0, [p1], #32").mem(C)));
        });
        match p {
            Ok(_) => assert!(fine, "{gap} bundles behind must be refused"),
            Err(CodegenError::Check(e)) => {
                assert!(!fine && matches!(*e, CheckError::WrongValue { .. }), "{gap} bundles behind: {e}");
            }
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn writes_of_one_bundle_that_land_together_are_refused() {
    let p = build(|a| {
        start(a);
        a.raw("both", Piece::new(1).extra(0, insn("add r3, r2, #1")).extra(0, insn("mov r3, r2")));
    });
    match p {
        Err(CodegenError::Check(e)) => assert!(matches!(*e, CheckError::WriteClash { .. }), "{e}"),
        other => panic!("{other:?}"),
    }
}

/// Multiply and load of one bundle in front of a branch, their store behind it on either path, with `gaps` empty bundles between the pieces on
/// the paths not taken and taken.
fn joined(store: u32, gaps: [usize; 2], wide: bool) -> Result<Program, CodegenError> {
    let t = exchange(4, store);
    assert_eq!(t.stages(), 3);
    let mut a = Asm::new();
    a.wide(wide);
    start(&mut a);
    let (far, end) = (a.label("far"), a.label("end"));
    // The branch's five delay slots are the last bundles of the piece.
    let branch = RawInsn::new("jnz {}, {}", &[reg("r2"), far.into()]).unwrap();
    a.raw("head", t.ramp(0..1).then(t.ramp(0..2)).extra(2 * II as usize - 6, branch));
    a.raw("near", Piece::new(gaps[0]).then(t.ramp(1..3)).then(t.ramp(2..3)));
    a.jump(end);
    a.bind(far);
    a.raw("far", Piece::new(gaps[1]).then(t.steady()).then(t.ramp(1..3)).then(t.ramp(2..3)));
    a.bind(end);
    a.done();
    a.finish()
}

#[test]
fn raw_pieces_stay_adjacent_across_a_branch() {
    for wide in [true, false] {
        let p = joined(6, [0, 0], wide).unwrap_or_else(|e| panic!("{e}"));
        let line = |prefix: &str, nth| find(&p, prefix, nth).0;
        // Multiply and load four bundles before the end of head, so their store is in the third bundle behind the branch's delay slots.
        let (near, far) = (line("jnz", 0) + 6, p.lines.iter().position(|l| l.pc == p.symbols["far"]).unwrap());
        assert_eq!([line("vst amll0", 0), line("vst amll0", 2)], [near + 2, far + 2], "{}", p.listing());
    }
}

#[test]
fn distances_across_a_branch_are_counted_exactly() {
    for store in 4..=7 {
        let p = verdict(joined(store, [0, 0], true), store);
        assert_eq!(p.is_some(), [5, 6].contains(&store), "store {store} bundles behind");
    }
    // One bundle more on one path alone.
    for gaps in [[1, 0], [0, 1]] {
        assert!(verdict(joined(5, gaps, true), 5).is_some(), "{gaps:?}");
        assert!(verdict(joined(6, gaps, true), 6).is_none(), "{gaps:?}");
    }
}
