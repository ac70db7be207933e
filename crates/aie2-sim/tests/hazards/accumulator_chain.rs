//! The vector unit reads accumulators at cycle 3 and forwards integer products to itself.

use super::rig::{fault, fine, nops, read_after_write};
use aie2_sim::core_fault::CoreFaultKind as K;

#[test]
fn integer_products_follow_each_other_after_two_bundles() {
    for writer in ["vmul cm0, x0, x1, r8", "vmac cm0, cm2, x0, x1, r8", "vmsc cm0, cm2, x0, x1, r8", "vmov.d cm0, cm2"]
    {
        read_after_write(writer, "vmac cm1, cm0, x2, x3, r8", 2);
    }
}

/// Sums and cleared accumulators are forwarded like products.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td, II_VACC and II_VCLR: results and accumulators in the bypass of the vector unit.
#[test]
fn integer_sums_are_forwarded_like_products() {
    read_after_write("vadd cm0, cm2, cm3, r14", "vmac cm1, cm0, x2, x3, r8", 2);
    read_after_write("vmac cm0, cm2, x0, x1, r8", "vadd cm1, cm0, cm3, r14", 2);
    read_after_write("vclr cm0", "vmac cm1, cm0, x2, x3, r8", 2);
    // The copy's result is forwarded, its source is not.
    read_after_write("vmac cm0, cm2, x0, x1, r8", "vmov.d cm1, cm0", 3);
}

#[test]
fn float_results_follow_after_four_bundles() {
    for (writer, reader) in [
        ("vmul.f bml0, x0, x1, r9", "vmac.f bml1, bml0, x2, x3, r9"),
        ("vmac.f bml0, bml2, x0, x1, r9", "vmac.f bml1, bml0, x2, x3, r9"),
        ("vmac.f bml0, bml2, x0, x1, r9", "vadd.f bml1, bml0, bml3, r13"),
        ("vadd.f bml0, bml2, bml3, r13", "vmac.f bml1, bml0, x2, x3, r9"),
    ] {
        read_after_write(writer, reader, 4);
    }
}

#[test]
fn results_leave_the_unit_after_five_or_six_bundles() {
    read_after_write("vmac cm0, cm2, x0, x1, r8", "vst amll0, [p1, #0]", 5);
    read_after_write("vmac cm0, cm2, x0, x1, r8", "vst.srs.s8.s32 cm0, s0, [p1, #0]", 5);
    read_after_write("vmac cm0, cm2, x0, x1, r8", "vsrs.s8.s32 wl5, cm0, s0", 5);
    read_after_write("vmac.f bml0, bml2, x0, x1, r9", "vst amlh0, [p1, #0]", 6);
    read_after_write("vmul.f bml0, x0, x1, r9", "vconv.bf16.fp32 wl5, bml0", 6);
    read_after_write("vadd.f bml0, bml2, bml3, r13", "vmov x5, bml0", 6);
    read_after_write("vmul.f bml0, x0, x1, r9", "vst.conv.bf16.fp32 bml0, [p1, #0]", 6);
}

#[test]
fn moves_and_conversions_reach_the_adder_in_their_own_bundle() {
    read_after_write("vconv.fp32.bf16 bml0, wl0", "vadd.f bml1, bml0, bml2, r13", 0);
    read_after_write("vmov bml0, x0", "vadd.f bml1, bml0, bml2, r13", 0);
    read_after_write("vups.s32.s8 cm0, wl0, s0", "vmac cm1, cm0, x2, x3, r8", 1);
}

/// Three products, each adding to the one before: the chain costs two bundles per product, and one bundle short names the accumulator.
#[test]
fn a_lone_chain_reaches_every_second_bundle() {
    let chain = |gap: usize| {
        let mac = "vmac cm0, cm0, x0, x1, r8\n";
        format!("{mac}{wait}{mac}{wait}{mac}", wait = nops(gap - 1))
    };
    let sum = |d| fine(&chain(d)).registers;
    assert!(sum(2) == sum(9));
    assert_eq!(fault(&chain(1)), K::EarlyRead { register: "amll0".to_owned(), cycle: 3, bundles_short: 1 });
}
