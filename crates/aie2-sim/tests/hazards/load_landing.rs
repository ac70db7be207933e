//! A load's result is readable seven bundles behind it (nine through the upshift unit), less what a late reader gains.

use super::rig::{State, apart, fault, fine, read_after_write, with_old_values};
use aie2_sim::core_fault::CoreFaultKind as K;

#[test]
fn every_load_lands_after_seven_bundles() {
    for (load, reader) in [
        ("lda r0, [p0, #0]", "add r1, r0, #0"),
        ("lda.s8 r0, [p0, #0]", "st r0, [p1, #0]"),
        ("lda.u16 r0, [p0, #0]", "mul r1, r0, r0"),
        ("lda m1, [p0, #0]", "mov r1, m1"),
        ("lda p2, [p0, #0]", "mov r1, p2"),
        ("lda dj2, [p0, #0]", "mov r1, dj2"),
        ("vlda wl0, [p0, #0]", "vst wl0, [p1, #0]"),
        ("vldb wh0, [p0, #0]", "vmul cm0, x1, x0, r8"),
        ("vlda.128 wl0, [p0]", "vadd.32 x1, x0, x2"),
        ("vlda amhl0, [p0, #0]", "vst amhl0, [p1, #0]"),
        ("vlda.conv.fp32.bf16 bml0, [p0, #0]", "vmov x1, bml0"),
        ("vldb.unpack.s16.s8 x0, [p0], m0", "vst wh0, [p1, #0]"),
    ] {
        read_after_write(load, reader, 7);
    }
}

#[test]
fn a_gathering_load_lands_after_seven_bundles() {
    // It takes its addresses from lanes.
    let text =
        |d| format!("mov r0, p0\nvbcst.32 x1, r0\nnop\n{}", apart("vldb.4x16.lo wl0, wl1", "vst wl0, [p1, #0]", d));
    let stored = |s: State| s.memory[0x1000..0x1020].to_vec();
    let (new, old) = (stored(fine(&text(20))), stored(fine("vst wl0, [p1, #0]")));
    assert_ne!(new, old);
    assert_eq!((stored(fine(&text(7))), stored(with_old_values(&text(6)))), (new, old));
    assert_eq!(fault(&text(6)), K::EarlyRead { register: "wl0".to_owned(), cycle: 1, bundles_short: 1 });
}

#[test]
fn an_accumulator_is_read_at_cycle_3_so_its_loads_need_two_bundles_less() {
    read_after_write("vlda amll0, [p0, #0]", "vmac cm1, cm0, x0, x1, r8", 5);
    read_after_write("vlda.conv.fp32.bf16 bml0, [p0, #0]", "vadd.f bml1, bml0, bml2, r13", 5);
    read_after_write("vlda.ups.s32.s8 cm0, s0, [p0, #0]", "vmac cm1, cm0, x0, x1, r8", 7);
}

#[test]
fn the_upshift_unit_adds_two_bundles() {
    read_after_write("vlda.ups.s32.s8 cm0, s0, [p0, #0]", "vst amhh0, [p1, #0]", 9);
    read_after_write("vlda.ups.s32.s16 bml0, s0, [p0, #0]", "vsrs.s16.s32 wl1, bml0, s1", 9);
}

#[test]
fn unpacking_reads_at_cycle_7_so_a_load_may_be_one_bundle_ahead() {
    read_after_write("vlda wl0, [p0, #0]", "vunpack.s16.s8 x1, wl0", 1);
}
