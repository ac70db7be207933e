//! Register-file ports and units that two instructions need in one cycle: (first, second, distance at which they meet).
//! How hardware reacts is not documented; the compiler never emits it.

use super::rig::{apart, fault, fine};
use aie2_sim::core_fault::CoreFaultKind as K;

#[test]
fn each_port_serves_one_operation_per_cycle() {
    for (port, first, second, distance) in [
        // Accumulators written by the vector unit: float results take one cycle more.
        ("CM_WA_PORT", "vmul.f bml0, x0, x1, r9", "vmul cm1, x0, x1, r8", 1),
        ("CM_WA_PORT", "vmac.f bml0, bml0, x0, x1, r9", "vadd cm1, cm2, cm3, r14", 1),
        ("CM_WA_PORT", "vadd.f bml0, bml1, bml2, r13", "vmov.d cm1, cm2", 1),
        // Accumulators written by moves, conversions, upshifts and loads.
        ("CM_WM_PORT", "vups.s32.s8 cm0, wl0, s0", "vmov bml1, x0", 1),
        ("CM_WM_PORT", "vlda amll0, [p0, #0]", "vconv.fp32.bf16 bml1, wl0", 5),
        ("CM_WM_PORT", "vlda.conv.fp32.bf16 bml0, [p0, #0]", "vups.s32.s8 cm1, wl0, s0", 4),
        ("CM_WM_PORT", "vlda.ups.s32.s8 cm0, s0, [p0, #0]", "vlda amll1, [p0, #0]", 2),
        // Accumulators read for stores and moves.
        ("CM_RM_PORT", "vst amll0, [p0, #0]", "vmov x0, bml1", 0),
        ("CM_RM_PORT", "vsrs.s8.s32 wl0, cm0, s0", "vmov bml1, bml2", 0),
        ("CM_RM_PORT", "vadd cm0, cm1, cm2, r14", "vst amll3, [p0, #0]", 2),
        // Vectors written by loads of port A and by the narrowing units.
        ("W_WA_PORT", "vlda wl0, [p0, #0]", "vsrs.s8.s32 wl1, cm0, s0", 3),
        ("W_WA_PORT", "vlda wl0, [p0, #0]", "vconv.bf16.fp32 wl1, bml0", 5),
        ("W_WA_PORT", "vsrs.s8.s32 wl1, cm0, s0", "vpack.s8.s16 wl2, x3", 2),
        // Vectors written by the move slot.
        ("W_WM_PORT", "vsrsm.s16.s32 wl0, bml0, s0", "vadd.32 x1, x2, x3", 2),
        // Vectors read by the store slot; unpacking reads late.
        ("W_RS_PORT", "vunpack.s16.s8 x0, wl1", "vst wl2, [p0, #0]", 6),
        // Scalars.
        ("R_WA_PORT", "lda r0, [p0, #0]", "mova r1, #5", 6),
        ("R_WX_PORT", "mul r0, r1, r2", "add r3, r4, r5", 1),
        ("RS_WM_PORT", "mov.d3 r0, r1", "mov r2, r3", 3),
        ("RS_WM_PORT", "vge.s32 r17, x0, x1", "mov r2, r3", 1),
        ("R_RV_PORT", "vmul cm0, x0, x1, r8", "st r0, [p0, #0]", 0),
        // One upshift per cycle, fused or not: two results would meet at the accumulators' port as well, and that is named.
        ("CM_WM_PORT", "vlda.ups.s32.s16 bml0, s0, [p0, #0]", "vups.s32.s16 bml1, wl0, s0", 6),
        ("SEMAPHORE", "rel #0, r15", "rel #1, r15", 3),
    ] {
        // Where the pair never clashes the fault has another name, and this fails.
        match fault(&apart(first, second, distance)) {
            K::PortClash { resource, .. } => assert_eq!(resource, port, "{first} | {second}"),
            other => panic!("{first} | {second}: {other}"),
        }
        fine(&apart(first, second, distance + 1));
        if distance > 1 && port != "SEMAPHORE" {
            fine(&apart(first, second, distance - 1));
        }
    }
}
