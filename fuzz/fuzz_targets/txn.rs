//! The assertions stand in `entries/txn.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/txn.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
