//! Two writes of one register: they keep their order and never land together.

use super::rig::{apart, fault, fine};
use aie2_sim::core_fault::CoreFaultKind as K;

/// (older, newer, register, cycles of their landings). No port is shared.
const PAIRS: &[(&str, &str, &str, [u8; 2])] = &[
    ("lda r0, [p0, #0]", "add r0, r1, #1", "r0", [7, 1]),
    ("lda r0, [p0, #0]", "mul r0, r1, r2", "r0", [7, 2]),
    ("mov.d5 r0, r1", "add r0, r2, #1", "r0", [6, 1]),
    ("vldb wl0, [p0, #0]", "vbcst.32 x0, r0", "wl0", [7, 2]),
    ("vldb wl0, [p0, #0]", "vsrs.s8.s32 wl0, cm0, s0", "wl0", [7, 4]),
    ("vsrs.s8.s32 wl0, cm0, s0", "vadd.32 x0, x1, x2", "wl0", [4, 2]),
    ("vlda amll0, [p0, #0]", "vmul cm0, x0, x1, r8", "amll0", [7, 5]),
    ("vmac.f bml0, bml1, x0, x1, r9", "vmov bml0, x2", "amll0", [6, 2]),
    ("lda m0, [p0, #0]", "mov m0, r14", "m0", [7, 1]),
];

#[test]
fn the_newer_write_lands_behind_the_older_one_or_the_program_stops() {
    for (older, newer, register, [d1, d2]) in PAIRS {
        let together = usize::from(d1 - d2);
        // Legal from D1 - D2 + 1 on: the newer value stays.
        for d in together + 1..together + 4 {
            assert!(
                fine(&apart(older, newer, d)).registers == fine(&apart(older, newer, 20)).registers,
                "{newer}: {d}"
            );
        }
        let clash = K::WriteClash { register: (*register).to_owned(), cycle: *d2 };
        assert_eq!(fault(&apart(older, newer, together)), clash, "{older} | {newer}");
        let overtaken = K::WriteOvertaken { register: (*register).to_owned(), cycle: *d2 };
        for d in 1..together {
            assert_eq!(fault(&apart(older, newer, d)), overtaken, "{older} | {newer}: {d}");
        }
    }
}

/// In one bundle no write is older: the landings decide, and a register may receive two values one after the other.
#[test]
fn writes_of_one_bundle_land_in_the_order_of_their_cycles() {
    let both = fine("vlda amll0, [p0, #0]; vmul cm0, x0, x1, r8");
    let load = fine("vlda amll0, [p0, #0]");
    let of = |s: &super::rig::State, name: &str| {
        s.registers.iter().find(|(a, _)| a.reg().name() == name).map(|(_, v)| v.clone())
    };
    assert_eq!(of(&both, "amll0"), of(&load, "amll0"));
    assert_ne!(of(&both, "amlh0"), of(&load, "amlh0"));
    assert_eq!(fault("add r3, r2, #1; mov r3, r2"), K::WriteClash { register: "r3".to_owned(), cycle: 1 });
}
