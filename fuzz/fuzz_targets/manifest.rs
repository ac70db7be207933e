//! The assertions stand in `entries/manifest.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/manifest.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
