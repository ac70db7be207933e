//! A part-word store reads the word at cycle 5, merges, and writes it at cycle 11; its unit and its word are its own in between.

use super::rig::{apart, fault, fine};
use aie2_sim::core_fault::CoreFaultKind as K;

const STORE: &str = "st.s8 r0, [p1, #0]";

#[test]
fn a_load_of_the_word_waits_seven_bundles() {
    for load in ["lda r1, [p1, #0]", "vlda wl0, [p1, #0]", "vldb wl0, [p1, #0]"] {
        let text = |d| apart(STORE, load, d);
        let after = |d| fine(&text(d)).registers;
        assert!(after(7) == after(20), "{load}");
        for d in 1..7 {
            let kind = fault(&text(d));
            assert!(matches!(kind, K::PartWordRace { addr: 0x7_1000 } | K::PortClash { .. }), "{load}: {d}: {kind}");
        }
    }
}

#[test]
fn a_store_to_the_word_waits_seven_bundles() {
    for store in ["st r1, [p1, #0]", "vst wl0, [p1, #0]"] {
        let text = |d| apart(STORE, store, d);
        assert!(fine(&text(7)).memory == fine(&text(20)).memory, "{store}");
        for d in 1..7 {
            let kind = fault(&text(d));
            assert!(matches!(kind, K::PartWordRace { .. } | K::PortClash { .. }), "{store}: {d}: {kind}");
        }
    }
}

#[test]
fn a_narrowing_store_touches_the_word_two_cycles_later() {
    // Memory at cycle 7: five bundles behind it meets the write at cycle 11, four behind the unit.
    let text = |d| apart(STORE, "vst.srs.s8.s32 cm0, s0, [p1, #0]", d);
    assert!(fine(&text(7)).memory == fine(&text(20)).memory);
    for d in 1..5 {
        assert!(matches!(fault(&text(d)), K::PartWordRace { .. } | K::PortClash { .. }), "{d}");
    }
}

/// The unit keeps every access away for seven bundles, whichever word it is to.
#[test]
fn other_words_wait_for_the_unit_too() {
    // A scalar's last chance to clash is the port through which its data is read, taken in the same cycle.
    let unit = |access: &str, d| if access.starts_with("st ") && d == 6 { "R_RV_PORT" } else { "PART_WORD_STORE" };
    for access in ["lda r1, [p2, #0]", "vldb wl0, [p2, #0]", "st r1, [p2, #0]", "vst wl0, [p2, #0]"] {
        for d in 1..7 {
            assert_eq!(
                fault(&apart(STORE, access, d)),
                K::PortClash { resource: unit(access, d), cycle: 1 },
                "{access}: {d}"
            );
        }
        fine(&apart(STORE, access, 7));
        // In front of it they are free: the unit is held from the store's own issue on.
        fine(&apart(access, STORE, 1));
    }
}

#[test]
fn two_part_word_stores_share_one_unit() {
    let text = |d| apart(STORE, "st.s8 r1, [p2, #0]", d);
    for d in 1..7 {
        assert_eq!(fault(&text(d)), K::PortClash { resource: "PART_WORD_STORE", cycle: 1 }, "{d}");
    }
    assert!(fine(&text(7)).memory == fine(&text(20)).memory);
}

#[test]
fn only_its_bytes_change() {
    let (before, after) = (super::rig::bus().memory, fine("st.s16 r0, [p1, #2]").memory);
    let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
    assert!(!changed.is_empty() && changed.iter().all(|i| [0x1002, 0x1003].contains(i)), "{changed:x?}");
}
