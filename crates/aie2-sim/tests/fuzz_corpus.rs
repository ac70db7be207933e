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
