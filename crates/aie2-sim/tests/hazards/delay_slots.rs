//! The five bundles behind a branch execute, taken or not, and hold no other branch.

use super::rig::{fault, fine, nops};
use aie2_sim::core_fault::CoreFaultKind as K;

/// 16-byte bundles: one that clears r0, a branch, `n` that add one, one that adds 100, and the target of the branch.
fn counted(branch: &str, n: usize) -> String {
    let target = 16 * (2 + n + 1);
    format!(
        "!mova r0, #0\n!{}\n{}!add r0, r0, #50\n!nop\n",
        branch.replace("TARGET", &format!("#{target}")),
        "!add r0, r0, #1\n".repeat(n)
    )
}

#[test]
fn five_bundles_execute_behind_every_kind_of_branch() {
    for taken in ["j TARGET", "jz r14, TARGET", "jnz r15, TARGET", "jl TARGET"] {
        assert_eq!(fine(&counted(taken, 5)).scalar("r0"), 5, "{taken}");
        // The sixth belongs to the path not taken.
        assert_eq!(fine(&counted(taken, 6)).scalar("r0"), 5, "{taken}");
    }
    for untaken in ["jz r15, TARGET", "jnz r14, TARGET"] {
        assert_eq!(fine(&counted(untaken, 5)).scalar("r0"), 55, "{untaken}");
    }
}

#[test]
fn a_branch_in_any_delay_slot_is_a_fault_and_behind_them_it_is_not() {
    for slot in 0..5 {
        let text = format!("!jnz r14, #0\n{}!jnz r14, #0\n{}", "!nop\n".repeat(slot), "!nop\n".repeat(6));
        assert_eq!(fault(&text), K::BranchInDelaySlot, "slot {slot}");
    }
    fine(&format!("!jnz r14, #0\n{}!jnz r14, #0\n{}", "!nop\n".repeat(5), "!nop\n".repeat(6)));
}

#[test]
fn results_land_in_delay_slots_as_anywhere() {
    // The load is four bundles old at the target's first bundle's predecessor: its distance counts bundles, not addresses.
    let text = |n: usize| {
        let target = 16 * 7;
        format!("!j #{target}\n!lda r0, [p0, #0]\n{}{}!add r1, r0, #0\n", "!nop\n".repeat(5), "!nop\n".repeat(n))
    };
    // Distance from the load: four delay slots, then the bundles at the target.
    assert!(matches!(fault(&text(1)), K::EarlyRead { bundles_short: 1, .. }));
    let loaded = fine(&text(2));
    assert_eq!(loaded.scalar("r1"), loaded.scalar("r0"));
}

#[test]
fn the_condition_is_read_at_issue() {
    let text =
        |gap: usize| format!("!mul r0, r15, r14\n{}!jz r0, #0x100\n{}", "!nop\n".repeat(gap), "!nop\n".repeat(40));
    assert!(matches!(fault(&text(0)), K::EarlyRead { cycle: 1, bundles_short: 1, .. }));
    fine(&text(1));
}

#[test]
fn the_link_register_lands_four_bundles_behind_the_call() {
    let call =
        |slot: usize| format!("!jl #96\n{}!mov r0, lr\n{}", "!nop\n".repeat(slot), "!nop\n".repeat(4 - slot + 8));
    for slot in 0..3 {
        assert!(matches!(fault(&call(slot)), K::EarlyRead { .. }), "slot {slot}");
    }
    for slot in 3..5 {
        assert_eq!(fine(&call(slot)).scalar("r0"), 96, "slot {slot}");
    }
}

#[test]
fn targets_are_multiples_of_sixteen() {
    for target in [98, 100, 104] {
        assert_eq!(fault(&format!("!j #{target}\n{}", "!nop\n".repeat(12))), K::BranchTarget { target });
    }
    fine(&format!("!j #96\n{}", nops(60)));
}
