//! Two accesses of one cycle to one physical bank cost a cycle; the result is right all the same.
//!
//! ```text
//! 16 KiB logical bank = two physical banks, interleaved every 16 bytes; 256 bits take both, 128 bits and less one of them
//! ```
// MEASURED: FIM43-Redeye/xdna-emu, 2026-07-13-memory-stall-bank-arbitration: 24 bundles with one conflict each gave 24 stalls.

use super::rig::{fine, nops};

fn stalls(bundle: &str, times: usize) -> u64 {
    fine(&format!("{bundle}\n").repeat(times)).stats.bank_stalls
}

#[test]
fn twenty_four_conflicts_are_twenty_four_stalls() {
    // p0..p3 point into the first 16 KiB, p4..p7 into the second.
    assert_eq!(stalls("vlda wl0, [p0, #0]; vldb wl1, [p1, #0]", 24), 24);
    assert_eq!(stalls("vlda wl0, [p0, #0]; vldb wl1, [p4, #0]", 24), 0);
    assert_eq!(stalls("vldb wl1, [p1, #0]; vst wl2, [p2, #0]", 24), 24);
    assert_eq!(stalls("vldb wl1, [p1, #0]; vst wl2, [p5, #0]", 24), 0);
}

#[test]
fn three_accesses_of_one_bank_cost_two_cycles() {
    assert_eq!(stalls("vlda wl0, [p0, #0]; vldb wl1, [p1, #0]; vst wl2, [p2, #0]", 8), 16);
    assert_eq!(stalls("vlda wl0, [p0, #0]; vldb wl1, [p4, #0]; vst wl2, [p2, #0]", 8), 8);
}

#[test]
fn narrow_accesses_take_one_half_of_a_logical_bank() {
    for (second, count) in [("vldb.128 wl1, [p1], m1", 6), ("vldb wl1, [p1, #0]", 6)] {
        // m1 = 64 keeps the half.
        assert_eq!(stalls(&format!("lda r0, [p0, #0]; {second}"), 6), count, "{second}");
    }
    // The other half: sixteen bytes on.
    assert_eq!(stalls("lda r0, [p0, #16]; vldb.128 wl1, [p1], m1", 6), 0);
    assert_eq!(stalls("lda r0, [p0, #4]; st r1, [p1, #8]", 6), 6);
    assert_eq!(stalls("lda r0, [p0, #4]; st r1, [p1, #24]", 6), 0);
}

/// Banks are taken when memory is touched, not when the instruction issues: cycle 5, and cycle 7 for a narrowing store.
#[test]
fn a_narrowing_store_meets_the_load_two_bundles_behind_it() {
    let text = |d: usize| format!("vst.srs.s8.s32 cm0, s0, [p0, #0]\n{}vldb wl0, [p1, #0]\n", nops(d - 1));
    let at: Vec<u64> = (1..5).map(|d| fine(&text(d)).stats.bank_stalls).collect();
    assert_eq!(at, [0, 1, 0, 0]);
    let s = fine(&text(2));
    // Touched in cycle 7 of the store: with the bundle issued six later.
    assert_eq!(s.stalls.iter().position(|n| *n != 0), Some(6));
}

#[test]
fn a_stall_costs_cycles_and_no_bundles() {
    let (with, without) = (
        fine(&"vlda wl0, [p0, #0]; vldb wl1, [p1, #0]\n".repeat(9)),
        fine(&"vlda wl0, [p0, #0]; vldb wl1, [p4, #0]\n".repeat(9)),
    );
    assert_eq!(with.stats.bundles, without.stats.bundles);
    assert_eq!(with.stalls.iter().map(|n| u64::from(*n)).sum::<u64>(), 9);
}
