//! The assertions stand in `entries/sim_load.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/draw.rs"]
mod draw;
#[path = "../entries/sim_load.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
