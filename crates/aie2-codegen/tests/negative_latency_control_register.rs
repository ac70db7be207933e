//! Late sources: a control register is read many bundles after the instruction that uses it has issued.
mod common;
use common::*;

/// `vlda.ups` reads crSat in cycle 8 and its shift register in cycle 7: changing them too soon changes an instruction that has issued.
#[test]
fn saturation_mode_must_outlive_the_late_reader() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x74000);
        a.imm(reg("s0"), 0);
        a.i("mov crSat, #1", &[]);
        a.i("mov crUPSSign, #1", &[]);
        a.i("vlda.ups.s32.d8 cm0, s0, [p0], #32", &[]);
        a.i("mov crSat, #0", &[]);
        a.i("vst.srs.s8.s32 cm0, s0, [p1], #32", &[]);
    })
    .unwrap();
    let d = find(&p, "mov crSat", 1).0 as i64 - find(&p, "vlda.ups", 0).0 as i64;
    // War: t(write) >= t(reader) + U - D = 8 - 1.
    assert_eq!(d, 7, "{}", p.listing());
    assert!(shifted(&p, "mov crSat", 1, -1).is_err(), "{}", p.listing());
}

#[test]
fn late_source_may_follow_its_definition_closely() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x74000);
        a.imm(reg("s0"), 4);
        a.i("vlda.ups.s32.d8 cm0, s0, [p0], #32", &[]);
        a.i("vst.srs.s8.s32 cm0, s0, [p1], #32", &[]);
    })
    .unwrap();
    assert_eq!(distance(&p, "vlda.ups", "vst.srs"), 9, "{}", p.listing());
    // Issued behind the reader, the definition still arrives in time: the table allows it, the checker agrees.
    let setup = find(&p, "mov", 0);
    assert!(setup.0 < find(&p, "vlda.ups", 0).0);
}
