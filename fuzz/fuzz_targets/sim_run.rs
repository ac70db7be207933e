//! The assertions stand in `entries/sim_run.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/draw.rs"]
mod draw;
#[path = "../entries/sim_run.rs"]
mod entry;
#[path = "../../crates/aie2-sim/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
