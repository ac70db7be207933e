//! `bennu schedule`: the table, its JSON and its refusals.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::fs;

use aie2_isa::{Bundle, Insn, Slot};
use run::{assert_refused, bennu, json};
use serde_json::Value;
use synthetic::Synthetic;
use tempfile::TempDir;

const KERNEL: &str = "w8a16_qkv_projection";

fn small() -> TempDir {
    Synthetic::int8(1).saved()
}

fn of<'a>(model: &'a TempDir, more: &[&'a str]) -> Vec<&'a str> {
    [&["schedule", "--model", model.path().to_str().unwrap()], more].concat()
}

/// The bundle of a JSON row.
fn bundle(row: &Value) -> Bundle {
    let mut bundle = Bundle::new();
    for (slot, text) in row["slots"].as_object().unwrap() {
        let slot = *Slot::ALL.iter().find(|known| known.to_string() == *slot).unwrap();
        bundle.insert(Insn::parse_in(text.as_str().unwrap(), slot).unwrap()).unwrap();
    }
    bundle
}

#[test]
fn every_bundle_of_the_program_is_listed_once() {
    let (model, parent) = (small(), tempfile::tempdir().unwrap());
    let found = json(&of(&model, &["--seq", "64", "--json"]));
    assert_eq!((&found["kernel"], &found["seq"]), (&KERNEL.into(), &64.into()));

    let out = parent.path().join("out");
    let compiled = json(&[
        "compile",
        "--model",
        model.path().to_str().unwrap(),
        "--seq",
        "64",
        "--out",
        out.to_str().unwrap(),
        "--json",
    ]);
    let bytes = fs::read(out.join(format!("{KERNEL}_s64.0.core.bin"))).unwrap();
    let mut at = 0;
    for row in found["bundles"].as_array().unwrap() {
        assert_eq!(row["pc"], at);
        let (decoded, _, length) = Bundle::decode(&bytes[at..]).unwrap();
        assert_eq!(bundle(row).to_string(), decoded.to_string(), "at {at:#x}");
        assert!(!row["place"].as_str().unwrap().is_empty());
        at += length;
    }
    assert!(at > 4096 && bytes[at..].iter().all(|&byte| byte == 0), "{at} of {}", bytes.len());

    // Loops as `compile` reports them.
    let expected = compiled["kernels"][0]["loops"].as_array().unwrap();
    let loops = found["loops"].as_array().unwrap();
    assert_eq!(loops.len(), expected.len());
    for (found, expected) in loops.iter().zip(expected) {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(found[key], *value, "{key} of {found}");
        }
    }
}

#[test]
fn the_inner_loop_multiplies_in_every_bundle() {
    let model = small();
    for kernel in [KERNEL, "w8a16_o_projection", "w8a8_qkv_projection", "w8a8_o_projection"] {
        every_bundle_multiplies(&json(&of(&model, &[kernel, "--loop", "gemm", "--json"])));
    }
}

fn every_bundle_multiplies(found: &Value) {
    assert_eq!((found["seq"].as_u64(), found["loops"].as_array().map(Vec::len)), (Some(512), Some(1)));
    let bundles = found["bundles"].as_array().unwrap();
    assert_eq!(bundles.len(), 64);
    for (cycle, row) in bundles.iter().enumerate() {
        assert_eq!(row["place"], format!("gemm {cycle}"));
        assert!(row["slots"]["vec"].as_str().unwrap().starts_with("vmac "), "{row}");
    }
    assert_eq!(found["loops"][0]["pc"], bundles[0]["pc"]);
}

#[test]
fn the_table_is_aligned_and_a_loop_can_be_cut_out() {
    let model = small();
    let whole = bennu(&of(&model, &[]));
    assert_eq!((whole.code, whole.stderr.as_str()), (0, ""));
    assert!(whole.stdout.starts_with(&format!("{KERNEL}, S = 512\n\n")), "{}", whole.stdout);
    let one = bennu(&of(&model, &["--loop", "scale"]));
    assert_eq!((one.code, one.stderr.as_str()), (0, ""));
    for part in ["scale prologue 0", "scale steady 3", "loop scale: ii 72"] {
        assert!(one.stdout.contains(part) && whole.stdout.contains(part), "{part:?} is not in:\n{}", one.stdout);
    }
    assert!(whole.stdout.contains("gemm") && !one.stdout.contains("gemm") && !one.stdout.contains("block"));

    for table in [&whole.stdout, &one.stdout] {
        let bars = |line: &str| line.match_indices(" | ").map(|(at, _)| at).collect::<Vec<_>>();
        let rows: Vec<_> = table.lines().map(bars).filter(|at| !at.is_empty()).collect();
        assert!(rows.len() > 20);
        assert!(rows.iter().all(|at| *at == rows[0]), "columns are not aligned:\n{table}");
    }
}

#[test]
fn refusals_name_what_there_is() {
    let model = small();
    assert_refused(
        &of(&model, &["attention"]),
        &["no kernel \"attention\"", KERNEL, "w8a8_qkv_projection", "remedy: "],
    );
    assert_refused(&of(&model, &["--loop", "gem"]), &["no loop \"gem\"", "gemm", "scale", "remedy: "]);
    for (kernel, seq) in [("decode_attention", "5"), ("scaled_attention", "4")] {
        assert_refused(&["schedule", kernel, "--seq", seq], &[kernel, "does not serve", seq, "remedy: "]);
    }
    assert_refused(&of(&model, &["--seq", "0"]), &["the sequence is empty"]);
    assert_refused(&["schedule", "--model", "/nowhere/at/all"], &["no such file", "remedy: check the path"]);
    for arguments in [&["schedule", "--seq", "x"][..], &["schedule", KERNEL, KERNEL]] {
        assert_eq!(bennu(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn every_kernel_has_a_schedule() {
    for (kernel, seq) in [
        ("w8a8_o_projection", "64"),
        ("w8a16_decode_qkv_projection", "4"),
        ("w8a8_decode_o_projection", "1"),
        ("norm_rope", "64"),
        ("scaled_attention", "64"),
        ("decode_attention", "2"),
        ("w8a16_attention", "64"),
    ] {
        let report = json(&["schedule", kernel, "--seq", seq, "--json"]);
        assert_eq!(report["kernel"], kernel);
        for found in report["loops"].as_array().unwrap() {
            assert_eq!(found["ii_declared"], found["ii_reached"], "{kernel}: {found}");
        }
    }
}
