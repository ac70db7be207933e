//! What the fuzz targets of this crate assert (`fuzz/README.md`) holds for every input of the checked-in corpus.

#[path = "../../../fuzz/entries/draw.rs"]
mod draw;
#[path = "../../../fuzz/entries/pdi.rs"]
mod pdi;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;
#[path = "../../../fuzz/entries/txn.rs"]
mod txn;
#[path = "../../../fuzz/entries/xclbin.rs"]
mod xclbin;

#[test]
fn pdis_and_cdos_read_are_written_and_read_the_same() {
    replay::corpus("pdi", pdi::check);
}

#[test]
fn streams_read_are_written_and_read_the_same() {
    replay::corpus("txn", txn::check);
}

#[test]
fn xclbins_read_hold_what_they_say() {
    replay::corpus("xclbin", xclbin::check);
}
