//! `bennu attend` and `bennu top` as scripts see them, on whatever machine the tests run.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};

use npu_host::{Function, Generation, Host};
use run::{assert_refused, bennu, json};
use synthetic::{Synthetic, Tensor, contents, encode, values};
use tempfile::TempDir;

const HIDDEN: usize = 256;
const LAYERS: usize = 6;

/// A checkpoint with the heads that the kernels of attention serve, a package and a packed model of it.
struct Made {
    dir: TempDir,
}

impl Made {
    fn new(compile: &[&str]) -> Self {
        let made = Made { dir: tempfile::tempdir().unwrap() };
        let (q, kv) = (32 * 128, 16 * 128);
        let mut source = Synthetic::int8(LAYERS);
        for layer in 0..LAYERS {
            let shapes = [[q, HIDDEN], [kv, HIDDEN], [kv, HIDDEN], [HIDDEN, q]];
            for (projection, shape) in synthetic::PROJECTIONS.iter().zip(shapes) {
                let name = source.name(layer, projection);
                let count = shape[0] * shape[1];
                let data = (0..count).map(|i| (i * 37 % 251) as u8).collect();
                source
                    .tensors
                    .insert(name.clone(), Tensor { dtype: safetensors::Dtype::I8, shape: shape.to_vec(), data });
                let scales: Vec<f32> = values(&name, shape[0]).iter().map(|v| 0.001 + v.abs() / 1000.0).collect();
                let data = encode(safetensors::Dtype::BF16, &scales);
                let scale = Tensor { dtype: safetensors::Dtype::BF16, shape: vec![shape[0], 1], data };
                source.tensors.insert(format!("{name}_scale"), scale);
            }
        }
        for (field, value) in [("num_attention_heads", 32), ("num_key_value_heads", 16), ("query_pre_attn_scalar", 168)]
        {
            source.config[field] = value.into();
        }
        fs::create_dir(made.path("checkpoint")).unwrap();
        source.write(&made.path("checkpoint"));
        json(&["pack", "--model", made.text("checkpoint").as_str(), "--out", &made.text("packed"), "--json"]);
        let (checkpoint, package) = (made.text("checkpoint"), made.text("package"));
        let mut arguments = vec!["compile", "--model", &checkpoint, "--context", "64", "--out", &package, "--json"];
        arguments.extend(compile);
        let report = json(&arguments);
        assert_eq!(report["not_built"], serde_json::json!([]));
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The arguments of `attend` for layer 5 from a seed, and more.
    fn attend(&self, more: &[&str]) -> Vec<String> {
        let package =
            ["attend", "--package", &self.text("package"), "--model", &self.text("packed")].map(str::to_owned);
        let out = ["--out".to_owned(), self.text("o.bf16")];
        let more = more.iter().map(|&text| text.to_owned());
        package.into_iter().chain(["--layer".to_owned(), "5".to_owned()]).chain(more).chain(out).collect()
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn has_npu() -> bool {
    Function::all(&Host::at("/", Vec::new())).iter().any(|function| function.generation == Generation::Npu1)
}

#[track_caller]
fn assert_attend_refused(arguments: &[String], parts: &[&str]) {
    assert_refused(&borrowed(arguments), parts);
}

/// Without an NPU the sentences, with one an output or the driver's own reason.
#[track_caller]
fn assert_reached_the_npu(run: run::Run, output: Option<(&Path, u64)>) {
    if has_npu() {
        match (run.code, output) {
            (0, Some((path, bytes))) => assert_eq!(fs::metadata(path).unwrap().len(), bytes),
            (0, None) => {}
            _ => assert!(run.code == 1 && run.stderr.contains("error: "), "{run:?}"),
        }
        return;
    }
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
    assert_eq!(lines[0], "error: NO CPU FALLBACK ALLOWED - Real NPU hardware required");
    assert_eq!(lines[1], "  caused by: NPU Phoenix not detected in hardware");
    assert!(lines[2].starts_with("  caused by: ") && lines[3].starts_with("  remedy: "), "{lines:?}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn everything_fits_until_the_machine_itself() {
    let made = Made::new(&["--seq", "2,8", "--history", "20"]);
    let before = contents(made.dir.path());
    for (seq, method) in [("2", "auto"), ("8", "complete"), ("8", "modular")] {
        let more = ["--seed", "1", "--seq", seq, "--history", "20", "--method", method];
        let run = bennu(&borrowed(&made.attend(&more)));
        let bytes = 2 * HIDDEN as u64 * seq.parse::<u64>().unwrap();
        assert_reached_the_npu(run, Some((&made.path("o.bf16"), bytes)));
    }
    if !has_npu() {
        assert_eq!(contents(made.dir.path()), before, "a refusal writes nothing");
    }

    // Each of these is told before the machine is looked at.
    let not_compiled = "error: Real NPU kernel requires MLIR-AIE2 compilation to NPU binary";
    let seq = |seq, history| made.attend(&["--seed", "1", "--seq", seq, "--history", history]);
    assert_attend_refused(
        &seq("3", "20"),
        &[not_compiled, "\"w8a16_qkv_projection\" for sequence length 3", "--seq 3 --history 20"],
    );
    assert_attend_refused(
        &seq("8", "21"),
        &[not_compiled, "global layers and a history of 21", "--seq 8 --history 21"],
    );
    let complete = made.attend(&["--seed", "1", "--seq", "2", "--history", "20", "--method", "complete"]);
    assert_attend_refused(&complete, &[not_compiled, "w8a16_attention"]);
    let layer = made.attend(&["--seed", "1", "--seq", "8", "--history", "20"]);
    let layer: Vec<String> = layer.iter().map(|text| if text == "5" { "6".to_owned() } else { text.clone() }).collect();
    assert_attend_refused(&layer, &["layer 6 was asked for; the model has 6"]);

    let x = made.text("x.bf16");
    fs::write(&x, vec![0; 2 * HIDDEN * 8 - 2]).unwrap();
    let input = |more: &[&str]| made.attend(&[&["--input", &x, "--seq", "8", "--history", "20"], more].concat());
    assert_attend_refused(&input(&["--seed", "1"]), &["x.bf16: 4094 bytes; [8, 256] of bfloat16 are 4096"]);
    fs::write(&x, vec![0; 2 * HIDDEN * 8]).unwrap();
    assert_attend_refused(&input(&[]), &["keys and values of 20 earlier positions are not given", "--cache-out"]);
    assert_attend_refused(&input(&["--cache", &x]), &["x.bf16: "]);

    let file = made.path("package").join("norm_rope_global_h20_s8.txn");
    let mut bytes = fs::read(&file).unwrap();
    bytes[60] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_attend_refused(&seq("8", "20"), &["norm_rope_global_h20_s8.txn", "has SHA-256", "bennu compile"]);
    fs::remove_file(&file).unwrap();
    assert_attend_refused(
        &seq("8", "20"),
        &["error: NPU binary not found: ", "norm_rope_global_h20_s8.txn - compile kernels first"],
    );
}

#[test]
fn a_package_or_model_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (package, model, out) = (text("npu"), text("packed"), text("o"));
    let arguments = [
        "attend",
        "--package",
        &package,
        "--model",
        &model,
        "--layer",
        "0",
        "--seed",
        "1",
        "--seq",
        "1",
        "--out",
        &out,
    ];
    let sentence = format!("error: NPU binary not found: {package} - compile kernels first");
    assert_refused(&arguments, &[&sentence, &format!("remedy: run `bennu compile --seq 1 --out {package}`")]);
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let base = ["attend", "--package", "p", "--model", "m", "--layer", "0", "--seq", "1", "--out", "o"];
    let usage = |more: &[&str]| bennu(&[&base, more].concat());
    for more in [&[][..], &["--seed", "1", "--tolerance", "0.1"], &["--seed", "x"], &["--seed", "1", "--method", "cpu"]]
    {
        let run = usage(more);
        assert_eq!(run.code, 2, "{more:?}: {}", run.stderr);
    }
    assert_eq!(usage(&["--seed", "1", "--repeat", "0"]).code, 2);
}

#[test]
fn top_tells_the_npu_or_that_there_is_none() {
    for arguments in [&["top", "--once"][..], &["top", "--once", "--json"]] {
        assert_reached_the_npu(bennu(arguments), None);
    }
    assert_eq!(bennu(&["top", "--interval", "0"]).code, 2);
}
