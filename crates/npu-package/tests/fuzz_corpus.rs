//! What the fuzz targets of this crate assert (`fuzz/README.md`) holds for every input of the checked-in corpus.

#[path = "../../../fuzz/entries/manifest.rs"]
mod manifest;
#[path = "../../../fuzz/entries/replay.rs"]
mod replay;

#[test]
fn manifests_read_are_written_and_read_the_same() {
    replay::corpus("manifest", manifest::check);
}
