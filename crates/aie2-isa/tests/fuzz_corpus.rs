//! What the fuzz targets of this crate assert (`fuzz/README.md`) holds for every input of the checked-in corpus.

#[path = "../../../fuzz/entries/decode.rs"]
mod decode;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn what_decodes_encodes_and_parses_back() {
    replay::corpus("decode", decode::check);
}
