//! Locks fence memory: stores have landed before a release, loads start after an acquire.
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{Guards, MemRef};
use common::*;

#[test]
fn store_to_release_is_four_and_acquire_to_load_is_four() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), -1);
        a.imm(reg("r1"), 1);
        a.acq(Guards::All, 48, reg("r0"));
        a.mi(A, "vlda wl0, [p0], #32", &[]);
        a.mi(B, "vst wl0, [p0], #32", &[]);
        a.rel(Guards::All, 49, reg("r1"));
    })
    .unwrap();
    assert_eq!(distance(&p, "acq", "vlda"), 4, "{}", p.listing());
    assert_eq!(distance(&p, "vst", "rel"), 4, "{}", p.listing());
    for (prefix, by) in [("vlda", -1), ("rel", -1)] {
        let e = *shifted(&p, prefix, 0, by).unwrap_err();
        assert!(matches!(e, CheckError::MemoryOrder { distance: 3, needed: 4, .. }), "{e}");
    }
}

#[test]
fn converting_store_to_release_is_six() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r1"), 1);
        a.imm(reg("s0"), 0);
        a.i("vclr {}", &[reg("cm0")]);
        a.mi(B, "vst.srs.s8.s32 cm0, s0, [p0], #32", &[]);
        a.rel(Guards::All, 49, reg("r1"));
    })
    .unwrap();
    assert_eq!(distance(&p, "vst.srs", "rel"), 6, "{}", p.listing());
    assert!(shifted(&p, "rel", 0, -1).is_err());
}

#[test]
fn unguarded_spaces_pass_freely() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), -1);
        a.acq(Guards::Spaces(vec![7]), 48, reg("r0"));
        a.mi(MemRef::space(1), "vlda wl0, [p0], #32", &[]);
        a.mi(MemRef::space(2), "vst wl0, [p0], #32", &[]);
    })
    .unwrap();
    assert!(distance(&p, "acq", "vlda") < 4, "{}", p.listing());
}

#[test]
fn two_locks_share_one_unit() {
    let p = build(|a| {
        a.imm(reg("r0"), -1);
        a.imm(reg("r1"), 1);
        a.acq(Guards::All, 48, reg("r0"));
        a.rel(Guards::All, 49, reg("r1"));
    })
    .unwrap();
    assert_eq!(distance(&p, "acq", "rel"), 4, "{}", p.listing());
    assert!(matches!(*shifted(&p, "rel", 0, -1).unwrap_err(), CheckError::UnitClash { .. }));
}
