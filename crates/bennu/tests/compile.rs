//! `bennu compile` as scripts see it: files, JSON, exit codes, messages.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gemma::{ModelDims, NpuMemory};
use npu_container::{pdi, txn, xclbin};
use npu_package::Package;
use run::{assert_refused, bennu, json, shell};
use serde_json::Value;
use synthetic::{Synthetic, contents, write_sparse};
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn an_interrupt_ends_it_with_130_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("npu");
    // The signal is sent as soon as the staging directory exists; kernels of many lengths take their time.
    let script = "directory=$1; shift; \"$0\" \"$@\" & pid=$!; \
        while [ -z \"$(ls -A \"$directory\" 2>/dev/null)\" ]; do sleep 0.01; done; kill -INT $pid; wait $pid";
    let run = shell(script, &[text(dir.path()), "compile", "--seq", "1,64,128,256,512", "--out", text(&out)]);
    assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
    assert!(run.stderr.contains("error: interrupted; nothing was written"), "{}", run.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A small model the kernel can tile: hidden size 256, q, k and v of 512, 256 and 256 rows.
fn small() -> TempDir {
    Synthetic::int8(1).saved()
}

/// A checkpoint of one layer with the given sizes; weights are a hole in the file.
fn sized(hidden: usize, heads: usize, kv_heads: usize, head_dim: usize) -> TempDir {
    const INTERMEDIATE: usize = 512;
    const VOCAB: usize = 64;
    let (q, kv) = (heads * head_dim, kv_heads * head_dim);
    let mut tensors = vec![("embed_tokens".to_owned(), vec![VOCAB, hidden]), ("norm".to_owned(), vec![hidden])];
    let linear = [
        [q, hidden],
        [kv, hidden],
        [kv, hidden],
        [hidden, q],
        [INTERMEDIATE, hidden],
        [INTERMEDIATE, hidden],
        [hidden, INTERMEDIATE],
    ];
    for (projection, shape) in synthetic::PROJECTIONS.iter().zip(linear) {
        tensors.push((format!("layers.0.{projection}"), shape.to_vec()));
    }
    for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
        tensors.push((format!("layers.0.{norm}_layernorm"), vec![hidden]));
    }
    for norm in ["q_norm", "k_norm"] {
        tensors.push((format!("layers.0.self_attn.{norm}"), vec![head_dim]));
    }
    let tensors: Vec<_> =
        tensors.into_iter().map(|(name, shape)| (format!("model.{name}.weight"), "BF16", shape)).collect();
    let mut config = synthetic::text_config(1);
    for (key, value) in [
        ("hidden_size", hidden),
        ("intermediate_size", INTERMEDIATE),
        ("num_attention_heads", heads),
        ("num_key_value_heads", kv_heads),
        ("head_dim", head_dim),
        ("vocab_size", VOCAB),
    ] {
        config[key] = value.into();
    }
    let dir = tempfile::tempdir().unwrap();
    write_sparse(&dir.path().join("model.safetensors"), &tensors);
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

#[test]
fn defaults_compile_three_lengths_of_a_model() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let script = format!("cd '{}' && exec \"$0\" \"$@\"", text(parent.path()));
    let run = shell(&script, &["compile", "--model", text(model.path()), "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&run.stdout).unwrap();

    assert_eq!(report["package"], "gemma3-27b-npu");
    let package = Package::open(parent.path().join("gemma3-27b-npu")).unwrap();
    package.verify().unwrap();
    let lengths: Vec<_> = report["kernels"].as_array().unwrap().iter().map(|kernel| kernel["seq"].clone()).collect();
    let not_built: BTreeSet<&str> =
        report["not_built"].as_array().unwrap().iter().map(|kernel| kernel["reason"].as_str().unwrap()).collect();
    // two projections and decoding ones for one token; of attention what serves 4 heads, for each kind of layer
    assert_eq!(lengths, [1, 64, 512, 1, 64, 512, 1, 1, 64, 512, 64, 512]);
    assert!(not_built.iter().all(|reason| reason.contains("key-value heads")), "{not_built:?}");
    let written: BTreeSet<String> = contents(package.path()).into_keys().map(|path| text(&path).to_owned()).collect();
    let listed = package.manifest().digests.keys().cloned();
    assert_eq!(written, listed.chain(["manifest.json".to_owned()]).collect());
    for kernel in &package.manifest().kernels {
        let place = kernel.context.map_or_else(String::new, |at| format!("_{}_h{}", at.layer.name(), at.history));
        let stem = format!("{}{place}_s{}", kernel.kernel, kernel.seq);
        assert_eq!(kernel.context.is_some(), kernel.kernel == "scaled_attention");
        assert_eq!(kernel.operand("plan").is_some_and(|plan| plan.file.is_some()), kernel.context.is_some());
        assert_eq!(kernel.files.pdi, format!("{stem}.pdi"));
        assert_eq!(kernel.programs.len(), kernel.tiles);
        assert!(kernel.programs.iter().all(|program| program.file.starts_with(&stem) && program.bytes > 0));
    }
}

#[test]
fn the_json_report_has_the_keys_that_scripts_rely_on() {
    ["w8a16", "w8a8"].into_iter().for_each(report_of);
}

fn report_of(numerics: &str) {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let out = parent.path().join("out");
    let report = json(&[
        "compile",
        "--model",
        text(model.path()),
        "--seq",
        "64",
        "--out",
        text(&out),
        "--numerics",
        numerics,
        "--json",
    ]);
    assert_eq!(keys(&report), ["kernels", "not_built", "package", "wall_s"].into());
    assert_eq!(report["package"], text(&out));
    assert!(report["wall_s"].as_f64().unwrap() > 0.0);

    let kernels = report["kernels"].as_array().unwrap();
    let names: Vec<_> = kernels.iter().map(|kernel| kernel["kernel"].as_str().unwrap()).collect();
    let projections = ["qkv", "o"].map(|kind| format!("{numerics}_{kind}_projection"));
    assert_eq!(names, [&projections[0], &projections[1], "scaled_attention", "scaled_attention"]);
    kernels[..2].iter().for_each(|kernel| report_of_kernel(kernel, numerics, &out));
}

fn report_of_kernel(kernel: &Value, numerics: &str, out: &Path) {
    assert_eq!(kernel["seq"], 64);
    assert_eq!((&kernel["numerics"], &kernel["tiles"]), (&numerics.into(), &16.into()));
    for (key, limit) in
        [("program_bytes_max", 16 << 10), ("data_bytes_max", 64 << 10), ("memtile_bytes_max", 512 << 10)]
    {
        assert!((1..=limit).contains(&kernel[key].as_u64().unwrap()), "{key}");
    }
    let loops = kernel["loops"].as_array().unwrap();
    for found in loops {
        assert_eq!(keys(found), ["ii_declared", "ii_reached", "name", "vmac_per_ii"].into());
        assert_ne!(found["ii_declared"], 0, "{found}");
        assert_eq!(found["ii_reached"], found["ii_declared"], "{found}");
    }
    let gemm = loops.iter().find(|found| found["name"] == "gemm").unwrap();
    assert_eq!([&gemm["ii_declared"], &gemm["ii_reached"], &gemm["vmac_per_ii"]], [64; 3]);
    assert_eq!(keys(&kernel["files"]), ["pdi", "txn", "xclbin"].into());
    for file in kernel["files"].as_object().unwrap().values() {
        assert!(out.join(file.as_str().unwrap()).is_file(), "{file}");
    }
}

#[test]
fn the_table_goes_to_stdout_and_nothing_to_stderr() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let out = parent.path().join("out");
    let run = bennu(&["compile", "--model", text(model.path()), "--seq", "1", "--out", text(&out)]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for part in [
        "w8a16_qkv_projection, S = 1, w8a16",
        "w8a16_o_projection, S = 1",
        "16 of 16",
        "II 64 (declared 64), 64 vmac",
        "compiled in ",
    ] {
        assert!(run.stdout.contains(part), "{part:?} is not in:\n{}", run.stdout);
    }
}

#[test]
fn the_binaries_are_what_they_are_called() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let out = parent.path().join("out");
    json(&["compile", "--model", text(model.path()), "--seq", "65", "--out", text(&out), "--json"]);
    let read = |extension: &str| fs::read(out.join(format!("w8a16_qkv_projection_s65.{extension}"))).unwrap();
    let (image, container, stream) = (read("pdi"), read("xclbin"), read("txn"));

    assert!(!pdi::read(&image).unwrap().commands.is_empty());
    let container = xclbin::read(&container).unwrap();
    let images: Vec<&[u8]> = container.partition.pdis.iter().map(|held| held.image.as_slice()).collect();
    assert_eq!(images, [image.as_slice()]);
    // SOURCE: Xilinx/aie-rt driver/src/common/xaie_txn.h: major and minor version are the first two bytes.
    assert_eq!(stream[..2], [0, 1]);
    let stream = txn::read(&stream).unwrap();
    assert_eq!(stream.header, txn::Header::npu1(4));
    assert!(!stream.ops.is_empty());
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let outs = ["a", "b"].map(|name| parent.path().join(name));
    for out in &outs {
        json(&["compile", "--model", text(model.path()), "--seq", "512,1,512", "--out", text(out), "--json"]);
    }
    let [a, b] = outs.map(|out| contents(&out));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
}

#[test]
fn an_existing_output_is_kept_unless_forced() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let out = parent.path().join("out");
    let compile = |seq: &'static str| ["compile", "--model", text(model.path()), "--seq", seq, "--out", text(&out)];
    assert_eq!(bennu(&compile("1")).code, 0);
    let before = contents(&out);
    assert_refused(&compile("2"), &["out", "exists", "--force"]);
    assert!(contents(&out) == before);
    let run = bennu(&[&compile("2")[..], &["--force"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let package = Package::open(&out).unwrap();
    assert!(package.kernel("w8a16_qkv_projection", 2).is_ok() && package.kernel("w8a16_qkv_projection", 1).is_err());
    // What is not a package is never replaced.
    assert_refused(
        &["compile", "--model", text(model.path()), "--seq", "1", "--out", text(model.path()), "--force"],
        &["remedy: choose another destination"],
    );
    assert!(model.path().join("config.json").is_file());
}

#[test]
fn what_cannot_be_compiled_is_refused_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let refused = |model: &Path, seq: &str, parts: &[&str]| {
        for json in [&[][..], &["--json"]] {
            let arguments = [&["compile", "--model", text(model), "--seq", seq, "--out", text(&out)], json].concat();
            assert_refused(&arguments, parts);
        }
        assert!(contents(parent.path()).is_empty() && !out.exists());
    };
    refused(small().path(), "0", &["error: the sequence is empty; at least one token is needed"]);
    refused(small().path(), "64,0", &["the sequence is empty"]);
    // The dimensions of the published 270M and 1B.
    let rule = "a projection needs a positive multiple of 256";
    refused(sized(640, 4, 1, 256).path(), "1", &["hidden size (K) is 640", rule]);
    refused(sized(1152, 4, 1, 256).path(), "1", &["hidden size (K) is 1152", rule]);
    refused(sized(256, 3, 1, 128).path(), "1", &["query rows (NQ) is 384", rule]);
    // Its records would have 14336 bytes: 6144 codes of two bytes and 512 of scales in units of 2048.
    refused(sized(6144, 2, 1, 256).path(), "1", &["6144 inputs", "14336 bytes exceeds the 12288 bytes"]);
    refused(&parent.path().join("nowhere"), "1", &["nowhere: no such file", "remedy: check the path"]);
    // The largest hidden size whose record fits.
    let largest = sized(5888, 2, 1, 256);
    json(&["compile", "--model", text(largest.path()), "--seq", "1", "--out", text(&out), "--json"]);
}

#[test]
fn an_output_that_cannot_be_written() {
    let model = small();
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("out");
    let compile = |out: &Path| {
        assert_refused(
            &["compile", "--model", text(model.path()), "--seq", "1", "--out", text(out), "--force"],
            &["error: ", "remedy: ", text(file.path())],
        );
    };
    compile(&below);
    compile(file.path());
    assert_eq!(fs::read(file.path()).unwrap(), b"");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["compile", "--numerics", "foo"][..],
        &["compile", "--seq", "-1"],
        &["compile", "--seq", "many"],
        &["compile", "gemma3-27b"],
    ] {
        let run = bennu(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains("--help"), "{}", run.stderr);
    }
    assert!(bennu(&["compile", "--numerics", "foo"]).stderr.contains("w8a16, w8a8"), "the schemes there are");
}

#[test]
fn inspect_and_compile_agree_on_on_chip_memory() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let out = parent.path().join("out");
    let report = json(
        &[&["compile", "--model", text(model.path())][..], &["--seq", "1,100,513", "--out", text(&out), "--json"]]
            .concat(),
    );
    for seq in [1, 100, 513] {
        let memory = &json(&["inspect", text(model.path()), "--seq", &seq.to_string(), "--json"])["npu_memory"];
        let kernels: Vec<_> =
            report["kernels"].as_array().unwrap().iter().filter(|kernel| kernel["seq"] == seq).take(2).collect();
        assert!(kernels.iter().all(|kernel| kernel["kernel"].as_str().unwrap().ends_with("_projection")));
        let most = |key: &str| kernels.iter().map(|kernel| kernel[key].as_u64().unwrap()).max().unwrap();
        assert_eq!(memory["l1"]["bytes_per_tile"], most("data_bytes_max"), "L1 for {seq} tokens");
        assert_eq!(memory["l2"]["bytes_per_tile"], most("memtile_bytes_max"), "L2 for {seq} tokens");
    }
}

#[test]
fn the_27b_needs_no_checkpoint() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let report = json(&["compile", "--seq", "1", "--out", text(&out), "--json"]);
    let memory = NpuMemory::new(&ModelDims::gemma3_27b(), 10, 1).unwrap();
    let kernel = &report["kernels"][0];
    assert_eq!(kernel["data_bytes_max"], memory.l1.bytes_per_tile);
    assert_eq!(kernel["memtile_bytes_max"], memory.l2.bytes_per_tile);
    let package = Package::open(&out).unwrap();
    let names: Vec<_> = package.manifest().kernels.iter().map(|kernel| kernel.kernel.as_str()).collect();
    assert_eq!(
        names,
        [
            "w8a16_qkv_projection",
            "w8a16_o_projection",
            "w8a16_decode_qkv_projection",
            "w8a16_decode_o_projection",
            "norm_rope",
            "decode_attention",
            "norm_rope",
            "decode_attention",
        ]
    );
    assert_eq!(report["not_built"].as_array().unwrap().len(), 0);
    assert_eq!((package.manifest().model.hidden, package.manifest().model.layers), (5376, 62));
}

#[test]
fn an_int8_cache_has_kernels_of_its_own_and_no_complete_one() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let report = json(&["compile", "--seq", "1,8", "--kv-cache", "int8", "--out", text(&out), "--json"]);
    let package = Package::open(&out).unwrap();
    let kernels = &package.manifest().kernels;
    let coded: Vec<_> = kernels.iter().filter(|kernel| kernel.context.is_some()).collect();
    assert!(coded.iter().all(|kernel| kernel.kernel.ends_with("_kv8") && kernel.numerics == "bf16_kv8"));
    let names: Vec<_> = coded.iter().map(|kernel| (kernel.kernel.as_str(), kernel.seq)).collect();
    let of_a_layer =
        [("norm_rope_kv8", 1), ("decode_attention_kv8", 1), ("norm_rope_kv8", 8), ("scaled_attention_kv8", 8)];
    assert_eq!(names, [of_a_layer, of_a_layer].concat());
    for kernel in coded.iter().filter(|kernel| kernel.kernel == "scaled_attention_kv8") {
        let (slots, cache) = (kernel.context.unwrap().slots as u64, kernel.argument("cache").unwrap());
        assert_eq!(cache.bytes, slots * 2 * 16 * (128 + 4), "codes and scales of every slot");
        assert!(kernel.argument("plan").unwrap().file.is_some());
    }
    let refused = report["not_built"].as_array().unwrap();
    let names: Vec<_> =
        refused.iter().map(|kernel| kernel["kernel"].as_str().unwrap().split(',').next().unwrap()).collect();
    assert_eq!(names, ["w8a16_attention", "w8a16_attention"]);
}

#[test]
fn scales_of_groups_have_projections_of_their_own_and_no_complete_kernel() {
    let parent = tempfile::tempdir().unwrap();
    for (scales, layout) in [("group32", "panels_group32"), ("group128", "panels_group128")] {
        let out = parent.path().join(scales);
        let report = json(&["compile", "--seq", "1,8", "--scales", scales, "--out", text(&out), "--json"]);
        let package = Package::open(&out).unwrap();
        let projections = package.manifest().kernels.iter().filter(|kernel| kernel.argument("weights").is_some());
        let names: Vec<_> = projections.clone().map(|kernel| (kernel.kernel.as_str(), kernel.seq)).collect();
        let name = |rest: &str| format!("w8a16_{scales}_{rest}_projection");
        let [qkv, o, decode_qkv, decode_o] = ["qkv", "o", "decode_qkv", "decode_o"].map(name);
        assert_eq!(names, [(&*qkv, 1), (&*decode_qkv, 1), (&*qkv, 8), (&*o, 1), (&*decode_o, 1), (&*o, 8)]);
        for kernel in projections {
            assert_eq!(kernel.argument("weights").unwrap().layout, layout);
        }
        let refused = report["not_built"].as_array().unwrap();
        assert_eq!(refused.len(), 2);
        for kernel in refused {
            assert!(kernel["kernel"].as_str().unwrap().starts_with("w8a16_attention, S = 8"), "{kernel}");
            assert!(kernel["reason"].as_str().unwrap().contains("does not apply one scale per"), "{kernel}");
        }
    }
}
