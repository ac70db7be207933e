//! The assertions stand in `entries/sim_core.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/sim_core.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
