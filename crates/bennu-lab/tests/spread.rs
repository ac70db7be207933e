//! What the spread of a figure says: the same outputs under every extreme, and by name where not.

#[allow(dead_code)]
mod tiny;

use aie2_sim::Timing;
use aie2_sim::timing::Part;
use anyhow::{Result, bail};
use bennu_lab::case::Case;
use bennu_lab::machine::Binary;
use bennu_lab::spread::{self, Moved, Spread};
use npu_package::layout::Activations;

#[test]
fn the_projection_gives_the_same_outputs_under_every_extreme() {
    let (projection, compiled) = tiny::projection(Activations::Int8, 20);
    let case = Case::random(*projection.shape(), 7).expect("a random case");
    let (binary, outputs) = (Binary::from(&compiled), ["qkv".to_owned()]);
    let simulate = |timing: &Timing| spread::simulate(&binary, &outputs, &case, timing);
    let consulted = |part| !matches!(part, Part::DdrCap | Part::Noop | Part::Clock);
    let spread = spread::measure(&simulate, consulted, false).expect("the kernel runs with the table's values");
    assert!(spread.same_outputs, "{}", spread.table());
    assert!(spread.fewest < spread.cycles && spread.cycles < spread.most, "{}", spread.table());
    // The cost of the first token is paid once, up to where the windows fall in which cores run ahead of the array; taken away, other waits show
    // from behind it.
    let residue = find(&spread, "first_token_residue");
    assert!(matches!(residue.runs[0].delta, Some(-8000..0)), "{residue:?}");
    assert!(matches!(residue.runs[1].delta, Some(7990..=8010)), "{residue:?}");
    assert!(spread.parameters.is_sorted_by_key(|m| std::cmp::Reverse(m.reach())), "the strongest first");
    assert!(spread.exact.contains(&"switch_to_local") && !spread.exact.contains(&"op_write"));
    assert_eq!(spread.not_consulted, ["ddr_burst_bytes", "op_noop"]);
}

fn find<'a>(spread: &'a Spread, name: &str) -> &'a Moved {
    spread.parameters.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("{name} is not in the spread"))
}

/// A made-up machine: cycles are a sum of two numbers, the output depends on one of them, and one value is a fault.
fn made_up(timing: &Timing) -> Result<(u64, Vec<u8>)> {
    if timing.op_tct == 210 {
        bail!("nobody waits");
    }
    Ok((1000 + 2 * timing.op_write + timing.op_tct, vec![u8::from(timing.op_write > 110)]))
}

#[test]
fn a_race_and_a_fault_are_named_and_the_ends_are_taken_together() {
    let spread = spread::measure(&made_up, |part| matches!(part, Part::Write | Part::Token), false).expect("runs");
    assert_eq!(spread.cycles, 1300);
    assert!(!spread.same_outputs);
    let write = find(&spread, "op_write");
    assert_eq!(write.runs.iter().map(|r| (r.at, r.delta)).collect::<Vec<_>>(), [(87, Some(-26)), (114, Some(28))]);
    assert_eq!(write.runs.iter().map(|r| r.same_outputs).collect::<Vec<_>>(), [true, false]);
    let tct = find(&spread, "op_tct");
    assert_eq!(tct.runs[1].fault.as_deref(), Some("nobody waits"));
    // Fast: op_write 87 and op_tct 0; slow: op_write 114, as op_tct 210 gives no figure.
    assert_eq!((spread.fewest, spread.most), (1000 + 2 * 87, 1000 + 2 * 114 + 100));
    let table = spread.table();
    assert!(table.contains("OTHER OUTPUTS") && table.contains("FAULT: nobody waits"), "{table}");
    assert!(table.contains("moved without effect") && table.contains("token_latency"), "{table}");
}

#[test]
fn equal_tables_give_equal_figures() {
    let (projection, compiled) = tiny::projection(Activations::Int8, 1);
    let case = Case::random(*projection.shape(), 7).expect("a random case");
    let (binary, outputs) = (Binary::from(&compiled), ["qkv".to_owned()]);
    let run = |timing: &Timing| spread::simulate(&binary, &outputs, &case, timing).expect("the kernel runs");
    assert_eq!(run(&Timing::default()), run(&Timing::default()));
    // Four stretches of a core that runs ahead: everything behind it happens that much later, and nothing else changes.
    let slow = Timing { first_token_residue: 8000 + 1024, ..Timing::default() };
    assert_eq!(run(&slow).0, run(&Timing::default()).0 + 1024);
}
