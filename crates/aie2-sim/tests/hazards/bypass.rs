//! The bypass of the move unit saves one bundle between its own operations, and only there.

use super::rig::read_after_write;

#[test]
fn move_operations_follow_each_other_after_one_bundle() {
    for writer in
        ["vbcst.32 x0, r0", "vadd.32 x0, x2, x3", "vshuffle x0, x2, x3, r10", "vsel.32 x0, x2, x3, r17", "vmov x0, x2"]
    {
        for reader in ["vbor x1, x0, x4", "vshift x1, x0, x4, r11", "vmax_lt.s16 x1, r18, x0, x4", "vmov x1, x0"] {
            read_after_write(writer, reader, 1);
        }
    }
    read_after_write("vpush.lo.32 x0, r0, x2", "vinsert.32 x1, x0, r29, r1", 1);
}

#[test]
fn everybody_else_waits_two_bundles_for_the_move_unit() {
    for writer in ["vbcst.8 x0, r0", "vsub.16 x0, x2, x3", "vshuffle x0, x2, x3, r10", "vmov x0, x2"] {
        for reader in ["vst wl0, [p1, #0]", "vmul cm0, x1, x0, r8", "vpack.s8.s16 wl1, x0"] {
            read_after_write(writer, reader, 2);
        }
    }
}

#[test]
fn the_move_unit_waits_two_bundles_for_everybody_else() {
    read_after_write("vconv.bf16.fp32 wl0, bml0", "vadd.32 x1, x0, x2", 2);
    read_after_write("vpack.s8.s16 wl0, x2", "vbor x1, x0, x3", 2);
    read_after_write("vsrs.s8.s32 wl0, cm0, s0", "vbor x1, x0, x3", 4);
}

#[test]
fn low_halves_are_forwarded_and_high_halves_are_not() {
    read_after_write("vmov wl0, wl2", "vmov wl1, wl0", 1);
    read_after_write("vmov wh0, wl2", "vmov wl1, wh0", 2);
    read_after_write("vmov wl0, wh2", "vmov wh1, wl0", 1);
}

#[test]
fn masks_and_lanes_in_scalars_are_not_forwarded() {
    read_after_write("vge.s32 r17, x0, x1", "vsel.32 x2, x3, x4, r17", 2);
    read_after_write("vextract.s32 r0, x0, r16", "add r1, r0, #1", 2);
    read_after_write("vextract.s32 r0, x0, r16", "vbcst.32 x1, r0", 2);
    // The scalar operand itself is read at issue: one bundle behind a move.
    read_after_write("mov r0, r1", "vbcst.32 x1, r0", 1);
}
