//! Cycle distances. Expected numbers are those of llvm-aie's scheduler (AIE2Schedule.td and its tests), one hazard per test.

mod common;

use aie2_isa::{
    Access, Addressing, Insn, OpId, Reg, Resource, Role, Slot, Timing, memory_latency, raw_latency, stages_conflict,
    war_latency, waw_latency,
};
use common::Rng;

fn timing(text: &str) -> Timing {
    Insn::parse(text).unwrap_or_else(|e| panic!("{e}")).timing()
}

/// The largest distance over all pairs of overlapping registers.
fn distance(first: &[Access], second: &[Access], rule: fn(&Access, &Access) -> i32) -> i32 {
    let pairs = first.iter().flat_map(|a| second.iter().map(move |b| (a, b))).filter(|(a, b)| a.reg.overlaps(b.reg));
    pairs.map(|(a, b)| rule(a, b)).max().expect("the two share a register")
}

fn raw(writer: &str, reader: &str) -> i32 {
    distance(timing(writer).defs(), timing(reader).uses(), raw_latency)
}

#[test]
fn loads_are_seen_seven_bundles_later() {
    assert_eq!(raw("lda r0, [p0], #4", "add r1, r0, r2"), 7);
    assert_eq!(raw("vlda wl4, [p0], #32", "vmac cm0, cm0, x4, x1, r0"), 7);
    assert_eq!(raw("vldb wh5, [p0], #32", "vmac cm0, cm0, x4, x5, r0"), 7);
    assert_eq!(raw("vlda.ups.s32.s16 bml0, s0, [p0], #32", "vst.srs.s16.s32 bml0, s0, [p1], #32"), 9);
    assert_eq!(raw("mov r0, SS", "add r1, r0, r2"), 7);
}

#[test]
fn post_increments_are_seen_by_the_next_bundle() {
    assert_eq!(raw("lda r0, [p0], #4", "st r1, [p0], #4"), 1);
    assert_eq!(raw("vlda.2d wl0, [p0], d3", "mov r0, dc3"), 1);
    assert_eq!(raw("vlda.3d wl0, [p0], d3", "vldb.2d wl1, [p1], d7"), 1);
}

#[test]
fn scalar_arithmetic() {
    assert_eq!(raw("add r0, r1, r2", "add r3, r0, r0"), 1);
    assert_eq!(raw("mul r0, r1, r2", "add r3, r0, r0"), 2);
    assert_eq!(raw("add r0, r1, r2", "adc r3, r4, r5"), 1);
    for n in 1..=6 {
        assert_eq!(raw(&format!("mov.d{n} r0, r1"), "add r3, r0, r0"), n + 1);
    }
    assert_eq!(raw("jl p0", "ret lr"), 4);
}

#[test]
fn accumulators_forward_to_the_next_multiply_accumulate() {
    let mac = "vmac cm0, cm0, x0, x1, r0";
    assert_eq!(raw(mac, mac), 2);
    assert_eq!(raw(mac, "vst amll0, [p0], #32"), 5);
    assert_eq!(raw(mac, "vsrs.s16.s32 x4, cm0, s0"), 5);
    let mac_f = "vmac.f bml0, bml0, x0, x1, r0";
    assert_eq!(raw(mac_f, mac_f), 4);
    assert_eq!(raw(mac_f, "vst.conv.bf16.fp32 bml0, [p0], #32"), 6);
    assert_eq!(raw("vups.s32.s16 cm0, x0, s0", mac), 1);
    assert_eq!(raw("vups.s32.s16 cm0, x0, s0", "vsrs.s16.s32 x4, cm0, s0"), 3);
    assert_eq!(raw("vsrs.s16.s32 x4, cm6, s2", "vmac cm0, cm0, x4, x1, r0"), 4);
}

#[test]
fn vector_alu_forwards_to_itself_but_high_halves_do_not() {
    assert_eq!(raw("vadd.32 x0, x1, x2", "vadd.32 x3, x0, x1"), 1);
    assert_eq!(raw("vadd.32 x0, x1, x2", "vst wl0, [p0], #32"), 2);
    assert_eq!(raw("vmov wl4, wl6", "vadd.32 x3, x4, x1"), 1);
    assert_eq!(raw("vmov wh4, wh6", "vadd.32 x3, x4, x1"), 2);
}

#[test]
fn a_second_write_must_not_land_before_the_first() {
    let waw = |a: &str, b: &str| distance(timing(a).defs(), timing(b).defs(), waw_latency);
    assert_eq!(waw("lda r0, [p0, #0]", "mova r0, #1"), 7);
    assert_eq!(waw("mova r0, #1", "lda r0, [p0, #0]"), -5);
    assert_eq!(waw("add r0, r1, r2", "sub r0, r1, r2"), 1);
}

#[test]
fn a_late_write_may_issue_before_the_read_of_the_old_value() {
    let war = |a: &str, b: &str| distance(timing(a).uses(), timing(b).defs(), war_latency);
    assert_eq!(war("add r1, r0, r2", "lda r0, [p0, #0]"), -6);
    assert_eq!(war("vmac cm0, cm1, x0, x1, r0", "vmac cm1, cm2, x0, x1, r0"), -1);
    assert_eq!(war("add r1, r0, r2", "mova r0, #1"), 0);
}

#[test]
fn memory_order() {
    let order = |a: &str, b: &str| memory_latency(&timing(a), &timing(b));
    let (load, store) = ("lda r0, [p0], #4", "st r0, [p0], #4");
    assert_eq!(order("st.s8 r0, [p0], #1", load), Some(7));
    assert_eq!(order(store, load), Some(1));
    assert_eq!(order("vst.srs.s16.s32 bml0, s0, [p0], #32", load), Some(3));
    assert_eq!(order(load, store), Some(1));
    assert_eq!(order(load, "add r0, r1, r2"), None);
    assert_eq!(timing("st.s16 r0, [p0], #2").memory_cycles(), [5, 11]);
}

#[test]
fn ports_and_units_are_used_once_per_cycle() {
    let conflict = |a: &str, b: &str, distance| stages_conflict(&timing(a), &timing(b), distance);
    // A load writes r through port WA in cycle 7; mova uses the port in cycle 1.
    let (load, mova) = ("lda r0, [p0], #4", "mova r1, #3");
    let at: Vec<i32> = (0..10).filter(|&d| conflict(load, mova, d)).collect();
    assert_eq!(at, [6]);
    let at: Vec<i32> = (-10..10).filter(|&d| conflict(mova, load, d)).collect();
    assert_eq!(at, [-6], "the same pair seen from the other side");
    // A part-word store keeps memory busy for seven cycles; other accesses only reserve, so they do not exclude each other.
    let part = "st.s8 r0, [p0], #1";
    let at: Vec<i32> = (0..10).filter(|&d| conflict(part, "vldb wl0, [p1], #32", d)).collect();
    assert_eq!(at, [0, 1, 2, 3, 4, 5, 6]);
    assert!(!conflict("vst wl0, [p0], #32", "vldb wl0, [p1], #32", 0));
    assert_eq!(timing("done").stages()[0].resource, Resource::DoneUnit);
    assert_eq!(Resource::ALL.map(Resource::name).len(), 24);
}

#[test]
fn the_variant_of_the_actual_register_is_taken() {
    let name = |text: &str| timing(text).itinerary.name;
    assert_eq!(name("mov r0, r1"), "II_MOV_SCL_RS");
    assert_eq!(name("mov p0, r1"), "II_MOV_SCL_P");
    assert_eq!(name("mov dn3, r1"), "II_MOV_SCL_DN");
    assert_eq!(name("mov crSat, r1"), "II_MOV_SCL", "no variant: the union of all");
    assert_eq!(name("lda dc4, [p3], #252"), "II_LDA_POST_1D_DC");
    let ports: Vec<Resource> = timing("lda dc4, [p3], #252").stages().iter().map(|s| s.resource).collect();
    assert!(ports.contains(&Resource::DcWmPort) && !ports.contains(&Resource::RWaPort), "{ports:?}");
}

#[test]
fn two_and_three_dimensional_forms_read_the_modifier_and_write_its_counters() {
    let mut rows = 0;
    for op in OpId::all().filter(|op| matches!(op.row().addressing, Some(Addressing::Pstm2d | Addressing::Pstm3d))) {
        let insn = common::insn(op, &[5; 8]);
        let modifier = insn.operand_named("mod").unwrap().reg().unwrap();
        let t = insn.timing();
        assert!(t.uses().iter().any(|u| u.reg == modifier && u.cycle == 1), "{insn}");
        let counters: Vec<Reg> =
            modifier.atoms().iter().map(|a| a.reg()).filter(|r| r.name().starts_with("dc")).collect();
        let dims = if op.row().addressing == Some(Addressing::Pstm3d) { 2 } else { 1 };
        assert_eq!(counters.len(), dims, "{insn}");
        assert!(counters.iter().all(|&c| t.defs().iter().any(|d| d.reg == c && d.cycle == 1)), "{insn}");
        let pointer = insn.operand_named("ptr").unwrap().reg().unwrap();
        assert!(t.defs().iter().any(|d| d.reg == pointer && d.cycle == 1), "{insn}");
        rows += 1;
    }
    assert!(rows >= 92, "{rows}");
}

#[test]
fn every_operand_and_implicit_register_is_accessed_once() {
    let mut rng = Rng(11);
    for op in OpId::all() {
        let row = op.row();
        let insn = common::insn(op, &rng.seeds());
        let t = insn.timing();
        let registers = row.operands.iter().enumerate().filter(|(i, _)| insn.operand(*i).reg().is_some());
        let (outs, ins): (Vec<_>, Vec<_>) = registers.partition(|(_, d)| d.role == Role::Out);
        let expect = |operands: &[(usize, _)], implicit: &[(Reg, u8, _)]| -> Vec<Reg> {
            let explicit =
                operands.iter().map(|(i, _): &(usize, &aie2_isa::OperandDef)| insn.operand(*i).reg().unwrap());
            explicit.chain(implicit.iter().map(|d| d.0)).collect()
        };
        let regs = |accesses: &[Access]| accesses.iter().map(|a| a.reg).collect::<Vec<_>>();
        assert_eq!(regs(t.defs()), expect(&outs, row.implicit_defs), "{insn}");
        assert_eq!(regs(t.uses()), expect(&ins, row.implicit_uses), "{insn}");
        assert!(t.defs().iter().chain(t.uses()).all(|a| (1..=11).contains(&a.cycle)), "{insn}");
    }
}

#[test]
fn implicit_registers_have_cycles_of_their_own() {
    let access = |accesses: &[Access], name: &str| accesses.iter().find(|a| a.reg.name() == name).map(|a| a.cycle);
    let t = timing("vmac.f bml0, bml0, x0, x1, r0");
    assert_eq!((access(t.defs(), "srFPFlags"), access(t.uses(), "crFPMask")), (Some(7), Some(7)));
    let t = timing("mov r0, SS");
    assert_eq!(access(t.defs(), "srSS0"), Some(8));
    let t = timing("vst.srs.d16.s32 bml0, s0, [p0], #32");
    assert_eq!(access(t.defs(), "srSRS_of"), Some(3));
    assert_eq!([access(t.uses(), "crSat"), access(t.uses(), "crRnd"), access(t.uses(), "crSRSSign")], [Some(1); 3]);
    let t = timing("vlda.ups.s32.d16 bml0, s0, [p0], #32");
    assert_eq!([access(t.uses(), "crSat"), access(t.uses(), "crUPSSign")], [Some(8), Some(7)]);
}

#[test]
fn branches_have_five_delay_slots() {
    let branches: Vec<&str> =
        OpId::all().map(|op| op.row()).filter(|r| r.delay_slots != 0).map(|r| r.mnemonic).collect();
    let count = |mnemonic| branches.iter().filter(|b| **b == mnemonic).count();
    assert_eq!(["j", "jl", "jnzd", "ret", "jnz", "jz"].map(count), [2, 2, 1, 1, 1, 1]);
    assert_eq!(branches.len(), 8);
    assert!(OpId::all().map(OpId::row).all(|r| r.delay_slots == if r.branch.is_some() { 5 } else { 0 }));
    assert_eq!(Insn::parse("jl #16").unwrap().slot(), Slot::Lng);
}
