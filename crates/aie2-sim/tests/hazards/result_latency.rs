//! Results of the remaining units.

use super::rig::{apart, fine, read_after_write};

#[test]
fn scalars_are_seen_in_the_next_bundle_and_products_in_the_one_after() {
    read_after_write("add r0, r1, #1", "add r2, r0, #1", 1);
    read_after_write("movxm r0, #12345", "st r0, [p1, #0]", 1);
    read_after_write("sub r0, r1, r2", "adc r3, r4, r5", 1);
    read_after_write("mul r0, r1, r2", "mov r3, r0", 2);
    read_after_write("padda [p0], #32", "mov r0, p0", 1);
    read_after_write("vlda wl0, [p2], #32", "lda r0, [p2, #0]", 1);
}

#[test]
fn delayed_moves_land_when_they_say() {
    for n in 1..=6 {
        read_after_write(&format!("mov.d{n} r0, r1"), "add r2, r0, #1", n + 1);
    }
}

#[test]
fn narrowing_takes_two_or_four_bundles() {
    read_after_write("vsrs.s8.s32 wl0, cm0, s0", "vst wl0, [p1, #0]", 4);
    read_after_write("vsrsm.s16.s32 wl0, bml0, s0", "vmul cm1, x0, x1, r8", 4);
    read_after_write("vpack.s8.s16 wl0, x1", "vst wl0, [p1, #0]", 2);
    read_after_write("vconv.bf16.fp32 wl0, bml0", "vst wl0, [p1, #0]", 2);
    read_after_write("vfloor.s32.bf16 x0, wl1, s0", "vst wh0, [p1, #0]", 2);
}

#[test]
fn widening_takes_two_three_or_seven_bundles() {
    read_after_write("vups.s32.s8 cm0, wl0, s0", "vst amll0, [p1, #0]", 3);
    read_after_write("vconv.fp32.bf16 bml0, wl0", "vst amll0, [p1, #0]", 2);
    read_after_write("vmov bml0, x0", "vst amll0, [p1, #0]", 2);
    read_after_write("vunpack.s16.s8 x0, wl1", "vadd.32 x2, x0, x3", 7);
}

#[test]
fn control_registers_take_effect_in_the_next_bundle() {
    read_after_write("mov crSat, #1", "vsrs.s8.s32 wl0, cm0, s0", 1);
    read_after_write("mov crRnd, #1", "vsrs.s16.s32 wl0, bml0, s0", 1);
    read_after_write("mov crUPSSign, #1", "vups.s32.d8 cm0, wl0, s0", 1);
    read_after_write("mov s0, r14", "vups.s32.s8 cm0, wl0, s0", 1);
}

#[test]
fn a_load_sees_a_store_of_the_bundle_before_and_a_narrowing_store_of_three_bundles_before() {
    for (store, distance) in [
        ("vst wl0, [p1, #0]", 1),
        ("st r0, [p1, #0]", 1),
        ("vst.srs.s8.s32 cm0, s0, [p1, #0]", 3),
        ("vst.conv.bf16.fp32 bml0, [p1, #0]", 3),
    ] {
        // Memory has no old value to declare: what is read too early is simply what was there.
        let load = "vldb wl5, [p1, #0]";
        let loaded = |d| fine(&apart(store, load, d)).registers;
        let before = fine(&apart(load, store, 20)).registers;
        assert!(loaded(distance) == loaded(20) && loaded(20) != before, "{store}");
        assert!(loaded(distance - 1) == before, "{store}");
    }
}
