//! Whatever happens to the bytes of a header, an index or a configuration: an answer or a refusal, never a panic.

mod synthetic;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use gemma::Checkpoint;
use proptest::prelude::*;
use safetensors::Dtype;
use synthetic::Synthetic;
use tempfile::TempDir;

/// A sharded INT8 checkpoint; tests damage one file of it at a time and put it back.
static WHOLE: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    Synthetic::int8(1).write_sharded(dir.path(), true);
    dir
});

/// Opens and inspects a copy in which `file` is replaced. Links keep the copy cheap.
fn inspect_with(file: &str, bytes: &[u8]) -> Result<gemma::Inspection, String> {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(WHOLE.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() != Some(file.as_ref()) {
            std::os::unix::fs::symlink(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::write(dir.path().join(file), bytes).unwrap();
    let inspect = |path: &Path| gemma::inspect(&Checkpoint::open(path)?, 1);
    inspect(dir.path()).map_err(|error| error.to_string())
}

const FILES: [&str; 3] = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json"];

#[test]
fn the_undamaged_copy_is_accepted() {
    for file in FILES {
        inspect_with(file, &fs::read(WHOLE.path().join(file)).unwrap()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_bytes_are_an_answer_or_a_refusal(
        file in prop::sample::select(&FILES),
        damage in prop::collection::vec((0usize..9000, any::<u8>()), 1..4),
        cut in prop::option::of(0usize..9000),
    ) {
        let mut bytes = fs::read(WHOLE.path().join(file)).unwrap();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        if let Err(message) = inspect_with(file, &bytes) {
            prop_assert!(!message.is_empty());
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let huge = u64::MAX / 8;
    let header = format!(
        r#"{{"model.norm.weight":{{"dtype":"I8","shape":[{huge}],"data_offsets":[0,{huge}]}},"b":{{"dtype":"I8","shape":[{huge}],"data_offsets":[{huge},{}]}}}}"#,
        2 * huge
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let message = inspect_with(FILES[0], &bytes).unwrap_err();
    assert!(message.contains("truncated or damaged"), "{message}");
    let mut made = Synthetic::dense(1, Dtype::BF16);
    made.config["head_dim"] = (1u64 << 40).into();
    let message = inspect_with("config.json", made.config.to_string().as_bytes()).unwrap_err();
    assert!(message.contains("head_dim is 1099511627776"), "{message}");
}
