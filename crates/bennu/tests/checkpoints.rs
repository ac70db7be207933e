//! The built program on checkpoints: exit codes, messages, and that stdout carries data only.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::fs;
use std::path::Path;

use run::{assert_refused, bennu, json, shell};
use safetensors::Dtype;
use synthetic::{Synthetic, contents};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn inspect_prints_a_table_or_json_and_nothing_else() {
    let dir = Synthetic::int8(2).saved();
    let table = bennu(&["inspect", text(dir.path())]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""));
    for part in [
        "q [512, 256]",
        "int-quantized: I8 weights, one BF16 scale per output channel",
        "L1, each of 16 tiles",
        "key-value cache, global layers: 0, every token; local layers: 2",
        "131 072 tokens",
    ] {
        assert!(table.stdout.contains(part), "{part:?} is not in:\n{}", table.stdout);
    }
    let found = json(&["inspect", text(dir.path()), "--seq", "75", "--json"]);
    assert_eq!((found["hidden"].as_u64(), found["npu_memory"]["seq"].as_u64()), (Some(256), Some(75)));
    assert_eq!(found["kv_cache"]["formats"][0]["local_token_bytes"], 2 * 1024);
    assert_eq!(json(&["--json", "inspect", text(dir.path()), "--seq", "75"]), found);
}

#[test]
fn refusals_go_to_stderr_with_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    assert_refused(&["inspect", text(&nowhere)], &["error: ", "nowhere: no such file", "remedy: check the path"]);
    assert_refused(&["inspect", text(dir.path()), "--json"], &["no safetensors file", "remedy: "]);

    Synthetic::dense(1, Dtype::BF16).write(dir.path());
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_refused(&["inspect", text(dir.path())], &["truncated or damaged safetensors", "remedy: download"]);
    fs::write(&path, b"\x02\0\0\0\0\0\0\0{!").unwrap();
    assert_refused(
        &["inspect", text(dir.path())],
        &["not a valid safetensors header", "caused by: ", "line 1 column 2"],
    );
    fs::write(&path, &whole).unwrap();
    fs::write(dir.path().join("config.json"), r#"{"model_type": "gemma3_text", "hidden_size": 512}"#).unwrap();
    let sentence = "error: Missing attention weight: model.layers.1.self_attn.q_proj.weight\n  caused by: ";
    assert_refused(
        &["inspect", text(dir.path())],
        &[sentence, "is missing; the configuration has 26 layers", "remedy: "],
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let too_long = ["inspect", "x", "--seq", "131073"];
    for arguments in
        [&["inspect"][..], &["no-such-verb"], &["inspect", "x", "--seq", "0"], &too_long, &["quantize", "x"]]
    {
        let run = bennu(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains("--help"), "{}", run.stderr);
    }
    assert_eq!(bennu(&[]).code, 2);
}

#[test]
fn every_verb_has_help_with_examples() {
    let help = bennu(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for verb in ["inspect", "quantize", "pack", "compile", "doctor", "plan", "schedule", "disasm"] {
        assert!(help.stdout.contains(verb), "{verb}");
        let help = bennu(&[verb, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Examples:\n  bennu ") && help.stdout.contains("--json"), "{}", help.stdout);
    }
}

#[test]
fn from_dense_to_packed() {
    let (source, parent) = (Synthetic::dense(1, Dtype::F32).saved(), tempfile::tempdir().unwrap());
    let [int8, packed] = ["int8", "packed"].map(|name| parent.path().join(name));
    let report = json(&["quantize", text(source.path()), text(&int8), "--json"]);
    assert_eq!(report["quantised_tensors"], 7);
    let report = json(&["pack", "--model", text(&int8), "--out", text(&packed), "--json"]);
    let outputs = |at: usize| report["projections"][at]["outputs"].as_u64();
    assert_eq!((report["layers"].as_u64(), outputs(0), outputs(1)), (Some(1), Some(1024), Some(256)));
    npu_package::PackedModel::open(&packed).unwrap().verify().unwrap();

    assert_refused(&["quantize", text(source.path()), text(&int8)], &["config.json: already exists", "--force"]);
    assert_refused(&["pack", "--model", text(&int8), "--out", text(&packed)], &["packed exists", "--force"]);
    for arguments in [
        &["quantize", text(source.path()), text(&int8), "--force"][..],
        &["pack", "--model", text(&int8), "--out", text(&packed), "--force"],
    ] {
        let run = bennu(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
    }
    assert_refused(&["quantize", text(&int8), text(&packed)], &["already quantised", "run `bennu pack` on it"]);
    let out = parent.path().join("out");
    assert_refused(
        &["pack", "--model", text(source.path()), "--out", text(&out)],
        &["not quantised", "bennu quantize"],
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    let (dense, int8) = (Synthetic::dense(1, Dtype::BF16).saved(), Synthetic::int8(1).saved());
    let (dense, int8) = (text(dense.path()), text(int8.path()));
    assert_refused(&["quantize", dense, "/sys/bennu-out"], &["/sys/bennu-out: cannot be written"]);
    assert_refused(&["pack", "--model", int8, "--out", "/sys/bennu-out"], &["/sys/", "remedy: choose a destination"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_refused(&["quantize", dense, text(file.path())], &["the output must be a directory"]);
    assert_refused(&["quantize", dense, dense, "--force"], &["source and destination are the same directory"]);
    let orphan = file.path().with_file_name("no-such-parent").join("out");
    assert_refused(&["quantize", dense, text(&orphan)], &["no-such-parent: no such file or directory"]);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    // A file-size limit of 64 KiB (in units of 1 KiB) fails in the middle of the weights as a full disk does.
    let source = Synthetic::dense(1, Dtype::BF16).saved();
    let int8 = Synthetic::int8(1).saved();
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let run = shell(limited, &["quantize", text(source.path()), text(&out)]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("out/model.safetensors: no space left for"), "{}", run.stderr);
    assert!(run.stderr.contains("remedy: free space"), "{}", run.stderr);
    let run = shell(limited, &["pack", "--model", text(int8.path()), "--out", text(&out)]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("layer_000.qkv.bin"), "{}", run.stderr);
    assert!(contents(parent.path()).is_empty() && !out.exists());
}

#[test]
fn memory_is_bounded_by_neither_file_nor_tensor() {
    // One tensor of 256 MiB in a hole of a file, and less address space than it has bytes.
    let dir = tempfile::tempdir().unwrap();
    let mut made = Synthetic::dense(1, Dtype::BF16);
    made.config["intermediate_size"] = (1 << 19).into();
    let tensors: Vec<_> = synthetic::shapes(1)
        .into_iter()
        .map(|(name, shape)| {
            let wide =
                shape.iter().map(|&n| if n == synthetic::INTERMEDIATE && name.contains("mlp") { 1 << 19 } else { n });
            (format!("model.{name}.weight"), "BF16", wide.collect())
        })
        .collect();
    made.write_config(dir.path());
    synthetic::write_sparse(&dir.path().join("model.safetensors"), &tensors);
    let out = dir.path().join("out");
    let run = shell("ulimit -v 200000; exec \"$0\" \"$@\"", &["quantize", text(dir.path()), text(&out), "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["zero_rows"], report["rows"]);
}

#[test]
fn an_interrupt_cleans_up() {
    // Enough work to be caught in the middle: 768 MiB of weights in a hole of a file.
    let dir = tempfile::tempdir().unwrap();
    let mut made = Synthetic::dense(1, Dtype::BF16);
    made.config["vocab_size"] = (3 << 19).into();
    let tensors: Vec<_> = synthetic::shapes(1)
        .into_iter()
        .map(|(name, shape)| {
            let shape = if name == "embed_tokens" { vec![3 << 19, 256] } else { shape };
            (format!("model.{name}.weight"), "BF16", shape)
        })
        .collect();
    made.write_config(dir.path());
    synthetic::write_sparse(&dir.path().join("model.safetensors"), &tensors);
    let out = dir.path().join("out");
    // The signal is sent as soon as the staging directory exists.
    let script = "\"$0\" \"$@\" & pid=$!; \
        while [ -z \"$(ls -A \"$3\" 2>/dev/null)\" ]; do sleep 0.01; done; kill -INT $pid; wait $pid";
    let run = shell(script, &["quantize", text(dir.path()), text(&out)]);
    assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
    assert!(run.stderr.contains("error: interrupted; nothing was written to"), "{}", run.stderr);
    assert!(!out.exists());
}

#[test]
fn a_report_that_cannot_be_printed_is_a_failure() {
    let dir = Synthetic::dense(1, Dtype::BF16).saved();
    let run = shell("\"$0\" \"$@\" > /dev/full", &["inspect", text(dir.path())]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("cannot write the report to stdout"), "{}", run.stderr);
    let run = shell("\"$0\" \"$@\" | true", &["inspect", text(dir.path())]);
    assert_eq!(run.stderr, "");
}
