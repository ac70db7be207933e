//! Negative latencies: sources that are read long after issue, so that a write issued behind the reader can still change what it does.

use super::rig::{apart, fault, fine, read_after_write, write_after_read};
use aie2_sim::core_fault::CoreFaultKind as K;

#[test]
fn the_shift_of_an_upshifting_load_is_read_at_cycle_7() {
    write_after_read("vlda.ups.s32.s8 cm0, s0, [p0, #0]", "mov s0, r14", 6);
}

#[test]
fn the_sign_of_an_upshifting_load_is_read_at_cycle_7() {
    write_after_read("vlda.ups.s32.d8 cm0, s0, [p0, #0]", "mov crUPSSign, #1", 6);
}

#[test]
fn the_sign_of_an_unpacking_load_is_read_at_cycle_7() {
    write_after_read("vldb.unpack.d16.d8 x0, [p0], m0", "mov crUnpackSign, #1", 6);
    write_after_read("vunpack.d16.d8 x0, wl1", "mov crUnpackSign, #1", 6);
}

/// A crSat of 2 is not defined: the load that reads it stops the program, the load that does not goes on.
#[test]
fn saturation_of_an_upshifting_load_is_read_at_cycle_8() {
    let text = |d| apart("vlda.ups.s32.s8 cm0, s0, [p0, #0]", "mov crSat, #2", d);
    for d in 7..10 {
        fine(&text(d));
    }
    for d in 1..7 {
        assert!(matches!(fault(&text(d)), K::Conversion(_)), "{d}");
    }
}

#[test]
fn the_data_of_a_part_word_store_is_read_at_cycle_7() {
    write_after_read("st.s8 r0, [p1, #0]", "movxm r0, #0x55", 6);
    write_after_read("st.s16 r0, [p1, #0]", "add r0, r1, #3", 6);
    // The late read is also a late chance for a load: landing at cycle 7 it is read in the next bundle.
    read_after_write("lda r0, [p0, #0]", "st.s8 r0, [p1, #0]", 1);
}

#[test]
fn accumulators_are_read_at_cycle_3() {
    // A move lands at cycle 2: in the reader's own bundle it is seen, one bundle behind it is not.
    write_after_read("vadd.f bml1, bml0, bml2, r13", "vmov bml0, x0", 1);
    write_after_read("vmac cm1, cm0, x0, x1, r8", "vups.s32.s8 cm0, wl0, s0", 1);
}

/// Whether the move unit's result overtakes the late source of `vunpack` is where silicon and tables differ: neither is assumed.
#[test]
fn a_vector_read_at_cycle_7_must_stay_until_then() {
    for (writer, lands) in [("vbcst.8 x1, r0", 2), ("vconv.bf16.fp32 wl1, bml3", 2), ("vsrs.s8.s32 wl1, cm0, s0", 4)] {
        let text = |d| apart("vunpack.s16.s8 x0, wl1", writer, d);
        let x0 = |d| {
            fine(&text(d))
                .registers
                .into_iter()
                .filter(|(a, _)| ["wl0", "wh0"].contains(&a.reg().name()))
                .collect::<Vec<_>>()
        };
        let first = 7 - lands;
        assert!(x0(first + 1) == x0(20), "{writer}");
        for d in 1..first {
            assert_eq!(fault(&text(d)), K::LateSource { register: "wl1".to_owned(), cycle: 7 }, "{writer}: {d}");
        }
    }
}
