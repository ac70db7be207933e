//! Branches, delay slots, hardware loops, locks, streams, `done`.

use super::{Bus, bytes, core, fault_of, reg, run, scalar_after};
use crate::core::PartialLocks;
use crate::core_fault::CoreFaultKind as K;
use crate::fault::Fault;
use crate::port::{BlockReason, LockOp, OWN_WINDOW, Step, StreamWord};

const SLOTS: &str = "nop\nnop\nnop\nnop\nnop\n";

#[test]
fn five_delay_slots_issue_taken_or_not() {
    // 16-byte lines: the branch at 16, its target at 16 * 9.
    let text = |jump: &str| {
        format!(
            "!movxm r0, #1\n!{jump}\n!add r0, r0, #1\n!add r0, r0, #1\n!add r0, r0, #1\n!add r0, r0, #1\n!add r0, r0, #1\n!movxm r0, #100\n!nop\n!add r0, r0, #1"
        )
    };
    assert_eq!(scalar_after(&text("j #144"), "r0"), 7);
    assert_eq!(scalar_after(&text("jnz r0, #144"), "r0"), 7);
    assert_eq!(scalar_after(&text("jz r0, #144"), "r0"), 101);
}

#[test]
fn calls_return_behind_their_delay_slots() {
    let text = "!movxm r0, #0\n!jl #128\n!nop\n!nop\n!nop\n!nop\n!nop\n!j #240\n!add r0, r0, #5\n!ret lr\n!nop\n!nop\n!nop\n!nop\n!nop\n!nop\n";
    // `j #240` at 112 runs after the return; its target is the first `done` line's padding.
    let mut c = core(&format!("{text}!nop\n"));
    // The jump's own delay slots contain the callee's first bundles: add and ret. A branch there is a fault.
    let mut bus = Bus::new();
    let fault = run(&mut c, &mut bus).expect_err("ret in the delay slots of j");
    assert!(matches!(fault, Fault::Core { fault, .. } if fault.kind == K::BranchInDelaySlot));
    assert_eq!(c.register(reg("lr")), Some(112u32.to_le_bytes().to_vec()));
    assert_eq!(c.register(reg("r0")).map(|b| b[0]), Some(10));
}

#[test]
fn jnzd_counts_down() {
    let text =
        "!movxm r0, #3\n!movxm r1, #0\n!movxm p1, #48\n!jnzd r0, r0, p1\n!add r1, r1, #1\n!nop\n!nop\n!nop\n!nop\n!nop";
    assert_eq!(scalar_after(text, "r1"), 4);
}

#[test]
fn branch_faults() {
    assert_eq!(fault_of(&format!("!j #32\n!j #32\n{SLOTS}")), K::BranchInDelaySlot);
    assert_eq!(
        fault_of(&format!("!j #34\n{SLOTS}nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop")),
        K::BranchTarget { target: 34 }
    );
    assert_eq!(fault_of(&format!("!j #4096\n{SLOTS}")), K::ProgramCounter { target: 4096 });
}

/// A loop of `body` bundles (16 bytes each) that adds 1 to r1 per pass, `gap` bundles after its set-up.
fn looped(count: u32, gap: usize, body: usize, last: &str) -> String {
    let start = 16 * (4 + gap);
    let mut t =
        format!("!movxm r1, #0\n!movxm lc, #{count}\n!movxm ls, #{start}\n!movxm le, #{}\n", start + 16 * (body - 1));
    t += &"!nop\n".repeat(gap);
    t += "!add r1, r1, #1\n";
    t += &"!nop\n".repeat(body - 2);
    t + &format!("!{last}\n")
}

#[test]
fn zero_overhead_loop_runs_its_count() {
    assert_eq!(scalar_after(&looped(5, 0, 8, "nop"), "r1"), 5);
    assert_eq!(scalar_after(&looped(1, 6, 2, "nop"), "r1"), 1);
    let (mut c, mut bus) = (core(&looped(5, 0, 8, "nop")), Bus::new());
    let n = run(&mut c, &mut bus).expect("no fault");
    // Set-up, five passes without a bundle between them, done and its five.
    assert_eq!(n, 4 + 5 * 8 + 6);
}

#[test]
fn loop_faults() {
    assert_eq!(fault_of(&looped(5, 0, 7, "nop")), K::LoopSetup { distance: 96 });
    assert_eq!(fault_of(&looped(0, 0, 8, "nop")), K::LoopCount);
    assert_eq!(
        fault_of(&format!(
            "movxm r2, #1\n{}",
            looped(5, 0, 8, "nop").replace("!movxm r1, #0\n", "!movxm r1, #0\n!nop\n")
        )),
        K::LoopEnd { le: 176 }
    );
    let store = looped(2, 0, 8, "st.s8 r1, [p0, #0]");
    assert_eq!(fault_of(&store), K::LoopEndPartWordStore);
    let branch =
        looped(2, 0, 8, "nop").replacen("!add r1, r1, #1\n!nop\n!nop\n!nop", "!add r1, r1, #1\n!nop\n!nop\n!j #0", 1);
    assert_eq!(fault_of(&branch), K::LoopEndInDelaySlot);
}

#[test]
fn program_end_and_done() {
    let (mut c, mut bus) = (core("movxm r0, #7"), Bus::new());
    assert_eq!(run(&mut c, &mut bus).expect("done"), 7);
    assert!(c.is_halted());
    assert_eq!(c.step(&mut bus).expect("stays halted"), Step::Halted);
    let mut c = core("");
    c.reset();
    c.load_program(&bytes("nop")).expect("fits");
    c.set_pc(0x3ffe);
    assert!(
        matches!(c.step(&mut bus), Err(Fault::Core { fault, .. }) if fault.kind == K::ProgramCounter { target: 0x3ffe })
    );
    assert!(c.load_program(&[0; 0x4001]).is_err());
}

#[test]
fn locks_block_and_cost_a_cycle() {
    let (mut c, mut bus) = (core("movxm r0, #-1\nmovxm r1, #1\nacq #48, r0\nrel #48, r1"), Bus::new());
    for _ in 0..2 {
        c.step(&mut bus).expect("moves");
    }
    let blocked = Step::Blocked(BlockReason::Lock { id: 48, op: LockOp::Acquire { value: -1 } });
    assert_eq!(c.step(&mut bus).expect("waits"), blocked);
    assert_eq!(c.step(&mut bus).expect("waits again"), blocked);
    bus.lock = 1;
    assert_eq!(c.step(&mut bus).expect("granted"), Step::Issued { banks: 0, stall_cycles: 1 });
    assert_eq!(bus.lock, 0);
}

#[test]
fn lock_fences() {
    let acquire = "movxm r0, #-0\nacq #48, r0\n";
    let load = |gap: usize| format!("{acquire}{}lda r2, [p0, #0]", "nop\n".repeat(gap));
    assert!(matches!(fault_of(&load(2)), K::LockFence { distance: 3, needed: 4 }));
    assert_eq!(scalar_after(&load(3), "r2"), 0);
    let release = |gap: usize| format!("movxm r0, #1\nst r0, [p0, #0]\n{}rel #48, r0", "nop\n".repeat(gap));
    assert!(matches!(fault_of(&release(2)), K::LockFence { .. }));
    assert_eq!(scalar_after(&release(3), "r0"), 1);
}

#[test]
fn a_lock_that_guards_other_memory_may_stand_beside_a_load() {
    // A load with the acquire and one right behind it; a load right before the release.
    let text = format!(
        "movxm r0, #-0\nmovxm r1, #1\nacq #48, r0; lda r2, [p0, #0]\nlda r3, [p0, #4]\n{}lda r4, [p0, #8]\nrel #48, r1\n{}",
        "nop\n".repeat(6),
        "nop\n".repeat(6)
    );
    let at = |line: usize| bytes(&text.lines().take(line).collect::<Vec<_>>().join("\n")).len() as u32;
    let outcome = |listed: &[u32]| {
        let (mut c, mut bus) = (core(&text), Bus::new());
        bus.bytes[..12].copy_from_slice(&[5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0]);
        c.allow_partial_locks(listed.iter().copied());
        run(&mut c, &mut bus)?;
        assert_eq!(bus.lock, 1);
        Ok::<_, Fault>(["r2", "r3", "r4"].map(|r| c.register(reg(r)).map(|b| b[0])))
    };
    let fault = |listed: &[u32]| match outcome(listed) {
        Err(Fault::Core { pc, fault, .. }) => (pc, fault.kind),
        other => panic!("no core fault: {other:?}"),
    };
    let (acquire, release) = (at(2), at(11));
    // The load of the acquire's own bundle, then, each lock instruction being listed for itself, the one before the release.
    assert!(matches!(fault(&[]), (pc, K::LockFence { distance: 0, needed: 4 }) if pc == acquire));
    assert!(matches!(fault(&[release]), (pc, K::LockFence { distance: 0, needed: 4 }) if pc == acquire));
    assert!(matches!(fault(&[acquire]), (pc, K::LockFence { distance: 0, .. }) if pc == release));
    assert_eq!(outcome(&[acquire, release]).expect("both are listed"), [Some(5), Some(6), Some(7)]);
    // Everywhere, as hardware has it, also after a reset; then listed again.
    let anywhere = |mode| {
        let (mut c, mut bus) = (core(&text), Bus::new());
        bus.bytes[..12].fill(1);
        c.set_partial_locks(PartialLocks::Anywhere);
        c.reset();
        c.set_partial_locks(mode);
        c.set_register(reg("p0"), &OWN_WINDOW.to_le_bytes());
        run(&mut c, &mut bus)
    };
    anywhere(PartialLocks::Anywhere).expect("all are accepted");
    assert!(anywhere(PartialLocks::Listed).is_err());
}

#[test]
fn streams_keep_order_and_block() {
    let (mut c, mut bus) = (core("mov r0, SS\nnop\nnop\nnop\nnop\nnop\nnop\nmov.tlast ms, r0"), Bus::new());
    assert_eq!(c.step(&mut bus).expect("empty"), Step::Blocked(BlockReason::StreamRead));
    bus.input.push_back(StreamWord { data: 77, last: false });
    run(&mut c, &mut bus).expect("no fault");
    assert_eq!(bus.output, [StreamWord { data: 77, last: true }]);
}

#[test]
fn breakpoints_stop_before_the_bundle() {
    let mut c = core("!nop\n!nop\n!nop");
    c.set_breakpoints(&[32]);
    let mut bus = Bus::new();
    let mut n = 0;
    while !c.at_breakpoint() {
        c.step(&mut bus).expect("no fault");
        n += 1;
    }
    assert_eq!((n, c.pc()), (2, 32));
}
