//! The checked-in corpus without a fuzzer: every input of `fuzz/corpus/<target>` goes through the target's entry function once.

use std::fs;
use std::path::{Path, PathBuf};

/// Runs `check` on every input kept for `target`. A panic of `check` is reported with the input's path.
pub fn corpus(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", directory.display())).path())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "{} inputs in {}", inputs.len(), directory.display());
    for input in inputs {
        let bytes = fs::read(&input).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
        // The harness shows this line if `check` panics.
        println!("{}", input.display());
        check(&bytes);
    }
}
