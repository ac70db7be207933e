//! The assertions stand in `entries/driver.rs`, where the tests that replay the corpus find them too.
#![no_main]

#[path = "../entries/driver.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::check(bytes));
