//! The assertions stand in `entries/decode.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/decode.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
