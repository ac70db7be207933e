//! What the fuzz target of this crate asserts (`fuzz/README.md`) holds for every input of the checked-in corpus.
#![cfg(not(miri))]

#[path = "../../../fuzz/entries/driver.rs"]
mod driver;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn answers_of_a_driver_end_in_errors() {
    replay::corpus("driver", driver::check);
}
