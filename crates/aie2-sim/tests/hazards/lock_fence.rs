//! A lock instruction stalls the core in cycle 2 and lets it go on in cycle 8: memory is touched before the one or from the other on.
// SOURCE: Xilinx/llvm-aie AIEBaseSubtarget.cpp: both distances hold for acquire and release alike.

use super::rig::{Bus, apart, bus, core, fault, fine, nops, run};
use aie2_sim::core_fault::CoreFaultKind as K;
use aie2_sim::port::{BlockReason, LockOp, Step};

/// r14 is 0: such an acquire asks for nothing.
const LOCKS: [&str; 2] = ["acq #48, r14", "rel #48, r15"];

#[test]
fn memory_is_done_with_before_the_stall() {
    // last memory cycle - 2 + 1 bundles.
    for (access, distance) in [
        ("lda r0, [p0, #0]", 4),
        ("vldb wl0, [p0, #0]", 4),
        ("st r0, [p0, #0]", 4),
        ("vst wl0, [p0, #0]", 4),
        ("vst.srs.s8.s32 cm0, s0, [p0, #0]", 6),
        ("vst.conv.bf16.fp32 bml0, [p0, #0]", 6),
        ("st.s8 r0, [p0, #0]", 10),
    ] {
        for lock in LOCKS {
            fine(&apart(access, lock, distance));
            let kind = fault(&apart(access, lock, distance - 1));
            assert!(matches!(kind, K::LockFence { .. }), "{access} | {lock}: {kind}");
            assert!(matches!(fault(&apart(access, lock, 0)), K::LockFence { .. }), "{access} | {lock}: one bundle");
        }
    }
}

#[test]
fn memory_is_touched_again_when_the_core_goes_on() {
    // 8 - first memory cycle + 1 bundles.
    for (access, distance) in [
        ("lda r0, [p0, #0]", 4),
        ("vst wl0, [p0, #0]", 4),
        ("vst.srs.s8.s32 cm0, s0, [p0, #0]", 2),
        ("st.s8 r0, [p0, #0]", 4),
    ] {
        for lock in LOCKS {
            fine(&apart(lock, access, distance));
            let kind = fault(&apart(lock, access, distance - 1));
            assert!(matches!(kind, K::LockFence { .. }), "{lock} | {access}: {kind}");
        }
    }
}

#[test]
fn a_lock_instruction_costs_one_cycle_and_a_refused_one_its_wait() {
    let s = fine("rel #48, r15\nnop\nnop\nnop\nacq #48, r14");
    assert_eq!((s.stats.lock_ops, s.stalls.iter().map(|n| u64::from(*n)).sum::<u64>()), (2, 2));
    let (mut c, mut b): (_, Bus) = (core("mova r0, #-1\nacq #48, r0"), bus());
    c.step(&mut b).expect("a move");
    let refused = Step::Blocked(BlockReason::Lock { id: 48, op: LockOp::Acquire { value: -1 } });
    for _ in 0..7 {
        assert_eq!(c.step(&mut b).expect("waits"), refused);
    }
    b.lock = 1;
    assert_eq!(c.step(&mut b).expect("granted"), Step::Issued { banks: 0, stall_cycles: 1 });
    assert_eq!(b.lock, 0);
    run(&mut c, &mut b).expect("nothing else waits");
}

/// Distances are counted in bundles: what was in flight when the core stopped is as far away when it goes on.
#[test]
fn waiting_brings_no_result_nearer() {
    let text = |gap: usize| {
        format!("mova r0, #-1\nnop\nmul r1, r2, r3\nacq #48, r0\n{}mul r4, r5, r6\nadd r7, r4, #0\n", nops(gap))
    };
    let (mut c, mut b) = (core(&text(0)), bus());
    let refused = (0..20).filter(|_| matches!(c.step(&mut b).expect("no fault yet"), Step::Blocked(_))).count();
    assert_eq!(refused, 17);
    b.lock = 1;
    let kind = run(&mut c, &mut b).err();
    assert_eq!(kind, Some(K::EarlyRead { register: "r4".to_owned(), cycle: 1, bundles_short: 1 }));
}
