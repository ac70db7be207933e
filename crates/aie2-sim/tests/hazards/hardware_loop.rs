//! Zero-overhead loops: 112 bytes between the last write of a loop register and the last bundle, which starts a fetch word and fills it.

use super::rig::{fault, fine};
use aie2_sim::core_fault::CoreFaultKind as K;

/// `count` passes over `body` bundles of 16 bytes; each adds one to r1; `gap` bundles lie between the set-up, in the given order of loop
/// registers, and the body.
fn looped(count: u32, gap: usize, body: usize, order: [&str; 3], last: &str) -> String {
    let first = 16 * (4 + gap);
    let end = first + 16 * (body - 1);
    let value = |r: &str| {
        if r == "lc" {
            count as usize
        } else if r == "ls" {
            first
        } else {
            end
        }
    };
    let set_up: String = order.iter().map(|r| format!("!movxm {r}, #{}\n", value(r))).collect();
    let inner = if body > 1 { format!("!add r1, r1, #1\n{}", "!nop\n".repeat(body - 2)) } else { String::new() };
    format!("!mova r1, #0\n{set_up}{}{inner}!{last}\n", "!nop\n".repeat(gap))
}

const ORDERS: [[&str; 3]; 3] = [["lc", "ls", "le"], ["le", "lc", "ls"], ["ls", "le", "lc"]];

#[test]
fn seven_bundles_behind_whichever_loop_register_is_written_last() {
    for order in ORDERS {
        for body in 1..=8 {
            // Bundles between the set-up and the last one: gap + body - 1.
            let gap = 8 - body;
            let passes = if body > 1 { 5 } else { 0 };
            assert_eq!(fine(&looped(5, gap, body, order, "nop")).scalar("r1"), passes, "{order:?}, {body} bundles");
            if let Some(less) = gap.checked_sub(1) {
                let kind = fault(&looped(5, less, body, order, "nop"));
                assert_eq!(kind, K::LoopSetup { distance: 96 }, "{order:?}, {body} bundles");
            }
        }
    }
}

#[test]
fn the_distance_is_counted_in_bytes_not_in_bundles() {
    // Seven bundles of two bytes and their alignment are not 112 bytes.
    let text = "!mova r1, #0\n!movxm lc, #3\n!movxm ls, #64\n!movxm le, #80\nadd r1, r1, #1\nnop\nnop\nnop\nnop\nnop\nnop\n!nop\n";
    let encoded = super::rig::bytes(text);
    assert!(encoded.len() < 64 + 112);
    assert!(matches!(fault(text), K::LoopSetup { .. } | K::LoopEnd { .. }));
}

#[test]
fn rewriting_the_count_inside_the_body_starts_the_distance_again() {
    let body = |at: usize| {
        let mut lines: Vec<String> = vec!["!nop".to_owned(); 9];
        lines[at] = "!add.nc lc, r15, #0".to_owned();
        let first = 16 * (3 + 7);
        format!(
            "!movxm lc, #3\n!movxm ls, #{first}\n!movxm le, #{}\n{}{}\n",
            first + 128,
            "!nop\n".repeat(7),
            lines.join("\n")
        )
    };
    fine(&body(0));
    assert_eq!(fault(&body(1)), K::LoopSetup { distance: 96 });
}

#[test]
fn the_last_bundle_starts_and_fills_a_fetch_word() {
    let short = looped(2, 0, 8, ORDERS[0], "nop");
    // The same last bundle in two bytes.
    let (head, _) = short.rsplit_once("!nop\n").expect("the last line");
    assert_eq!(fault(&format!("{head}nop\n")), K::LoopEnd { le: 16 * 11 });
    // The loop end in the middle of a fetch word.
    let off = looped(2, 0, 9, ORDERS[0], "nop").replace("!movxm le, #192", "!movxm le, #184");
    assert_eq!(fault(&off), K::LoopEnd { le: 184 });
    // The loop start likewise.
    let start = looped(2, 0, 8, ORDERS[0], "nop").replace("!movxm ls, #64", "!movxm ls, #66");
    assert_eq!(fault(&start), K::BranchTarget { target: 66 });
}

#[test]
fn passes_follow_each_other_without_a_bundle_between() {
    let one = fine(&looped(1, 0, 8, ORDERS[0], "nop")).stats.bundles;
    for n in 2..6 {
        assert_eq!(fine(&looped(n, 0, 8, ORDERS[0], "nop")).stats.bundles, one + 8 * u64::from(n - 1));
    }
    assert_eq!(fault(&looped(0, 0, 8, ORDERS[0], "nop")), K::LoopCount);
}

#[test]
fn distances_run_across_the_back_edge() {
    // A load in the last bundle, its reader in bundle `at` of the next pass: at + 1 bundles behind.
    let text = |at: usize| {
        let mut lines: Vec<&str> = vec!["!nop"; 10];
        (lines[at], lines[9]) = ("!add r1, r0, #0", "!lda r0, [p0, #0]");
        format!("!movxm lc, #2\n!movxm ls, #48\n!movxm le, #192\n{}\n", lines.join("\n"))
    };
    assert_eq!(fault(&text(5)), K::EarlyRead { register: "r0".to_owned(), cycle: 1, bundles_short: 1 });
    let s = fine(&text(6));
    assert_eq!(s.scalar("r1"), s.scalar("r0"));
}

// SOURCE: FIM43-Redeye/xdna-emu, silicon: a part-word store in the last bundle of a short loop was lost in 107 of 109 trials.
#[test]
fn a_part_word_store_in_the_last_bundle_is_refused_and_whole_stores_are_not() {
    for store in ["st.s8 r1, [p0, #0]", "st.s16 r1, [p0, #0]"] {
        assert_eq!(fault(&looped(2, 0, 8, ORDERS[0], store)), K::LoopEndPartWordStore, "{store}");
    }
    for store in ["st r1, [p0, #0]", "vst wl0, [p0, #0]", "vst.srs.s8.s32 cm0, s0, [p0, #0]"] {
        fine(&looped(2, 0, 8, ORDERS[0], store));
    }
    // One bundle earlier it is kept.
    let inside = looped(2, 0, 9, ORDERS[0], "nop");
    let at = inside.rfind("!nop\n!nop\n").expect("the bundle before the last");
    let s = fine(&format!("{}!st.s8 r1, [p0, #0]\n{}", &inside[..at], &inside[at + 5..]));
    assert_eq!(s.memory[0], 2);
}

#[test]
fn no_branch_reaches_across_the_loop_end() {
    for slot in 0..5 {
        let mut lines: Vec<&str> = vec!["!nop"; 10];
        lines[9 - slot] = "!jz r15, #0";
        let text =
            format!("!movxm lc, #2\n!movxm ls, #48\n!movxm le, #192\n{}\n{}", lines.join("\n"), "!nop\n".repeat(6));
        assert_eq!(fault(&text), K::LoopEndInDelaySlot, "{slot} delay slots before the loop end");
    }
}
