//! What the fuzz targets of this crate assert (`fuzz/README.md`) holds for every input of the checked-in corpus.

#[path = "../../../fuzz/entries/draw.rs"]
mod draw;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;
#[path = "../../../fuzz/entries/sim_core.rs"]
mod sim_core;
#[path = "../../../fuzz/entries/sim_load.rs"]
mod sim_load;
#[path = "../../../fuzz/entries/sim_run.rs"]
mod sim_run;
mod support;

use npu_container::txn::{self, Direction, Header};

#[test]
fn any_pdi_loads_or_faults() {
    replay::corpus("sim_load", sim_load::check);
}

#[test]
fn any_stream_ends_or_faults() {
    replay::corpus("sim_run", sim_run::check);
}

#[test]
fn any_program_ends_or_faults() {
    replay::corpus("sim_core", sim_core::check);
}

/// The targets would find nothing if what they start from stopped at once.
#[test]
fn the_designs_the_targets_start_from_work() {
    // Registers set, no instruction drawn: the core reaches `done`.
    let report = sim_core::run(&[3]).unwrap();
    assert!(report.cores[0].bundles > 80, "{report:?}");
    // The ring through core (3, 2) adds one to every word, the loop in shim 0 moves it as it is.
    for (col, added) in [(3, 1), (0, 0)] {
        let mut d = support::Design::default();
        d.op_transfer(col, Direction::S2mm, 0, 3, 64, 1).op_transfer(col, Direction::Mm2s, 0, 1, 64, 0);
        d.op_wait(col, Direction::S2mm, 0);
        let stream = txn::write(&Header::npu1(4), &d.ops);
        let out = sim_run::run(&[&[0], &stream[..]].concat()).unwrap().unwrap();
        let want: Vec<u32> = support::words_of(&support::ramp(64)).iter().map(|word| word + added).collect();
        assert_eq!(support::words_of(&out), want, "column {col}");
    }
}
