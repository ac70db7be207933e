//! The assertions stand in `entries/pdi.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/draw.rs"]
mod draw;
#[path = "../entries/pdi.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
