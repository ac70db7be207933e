//! `bennu plan`: tiers, budgets, and what happens when it does not fit.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use run::{assert_refused, bennu, json};
use serde_json::Value;
use synthetic::Synthetic;
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Kernels of the 27B for one token, compiled once: most tests do not look at them.
fn package() -> &'static str {
    static PACKAGE: OnceLock<TempDir> = OnceLock::new();
    let dir = PACKAGE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        json(&["compile", "--seq", "1", "--out", text(&dir.path().join("npu")), "--json"]);
        dir
    });
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| text(&dir.path().join("npu")).to_owned())
}

/// `plan` with that package.
fn plan<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["plan", "--package", package()], arguments].concat()
}

fn sum(items: &Value) -> u64 {
    items.as_array().unwrap().iter().map(|item| item["bytes"].as_u64().unwrap()).sum()
}

#[test]
fn every_tier_says_what_lives_there() {
    let found = json(&plan(&["--context", "4096", "--budget", "16GiB", "--json"]));
    let found_plan = &found["plan"];
    assert_eq!([found_plan["l1"]["tiles"].as_u64(), found_plan["l2"]["tiles"].as_u64()], [Some(16), Some(4)]);
    for tier in ["l1", "l2"] {
        assert!(found_plan[tier]["bytes_per_tile"].as_u64() <= found_plan[tier]["capacity_bytes_per_tile"].as_u64());
    }
    assert_eq!(found_plan["heap"]["capacity_bytes"], 64 << 20);
    assert_eq!(found_plan["ddr"]["bytes"].as_u64(), Some(sum(&found_plan["ddr"]["items"])));
    assert_eq!(found_plan["ddr"]["weights_bytes"].as_u64(), Some(62 * (44_564_480 + 22_364_160)));
    assert_eq!((found["fits"].as_bool(), found["budget_bytes"].as_u64()), (Some(true), Some(16 << 30)));
    let layers = found_plan["layers"].as_array().unwrap();
    let of_layers = |field: &str| -> u64 {
        layers.iter().map(|layer| layer["layers"].as_u64().unwrap() * layer[field].as_u64().unwrap()).sum()
    };
    assert_eq!(of_layers("qkv_weights_bytes") + of_layers("o_weights_bytes"), 62 * (44_564_480 + 22_364_160));
    assert_eq!(Some(of_layers("cache_bytes")), found_plan["ddr"]["cache_bytes"].as_u64());
    let table = bennu(&plan(&["--context", "4096", "--budget", "16GiB"]));
    assert_eq!((table.code, table.stderr.as_str()), (0, ""));
    for part in [
        "L1, each of 16 tiles",
        "of 64.00 KiB",
        "L2, each of 4 tiles",
        "device heap",
        "DDR, shared with CPU and iGPU",
        "this process, measured",
        "one local layer, of 52",
        "one global layer, of 10",
    ] {
        assert!(table.stdout.contains(part), "{part:?} is not in {}", table.stdout);
    }
}

/// Names of documents that `docs/attend.md` lists stay.
#[test]
fn the_page_lists_every_name_of_the_documents() {
    fn names(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(name, value)| {
                into.insert(name.clone());
                names(value, into);
            }),
            Value::Array(all) => all.iter().for_each(|value| names(value, into)),
            _ => {}
        }
    }
    let page = include_str!("../../../docs/attend.md");
    let row = |verb: &str| page.lines().find(|line| line.starts_with(&format!("| `{verb}` |"))).expect("a row");
    let doctor: Value = serde_json::from_str(&bennu(&["doctor", "--json"]).stdout).unwrap();
    let planned = json(&plan(&["--budget", "64GiB", "--json"]));
    for (verb, document) in [("doctor", &doctor), ("plan", &planned)] {
        let mut found = BTreeSet::new();
        names(document, &mut found);
        // Parts of items and of measured memory speak for themselves.
        for name in found.iter().filter(|name| !["what", "bytes"].contains(&name.as_str())) {
            let of_memory =
                ["total_bytes", "available_bytes", "resident_bytes", "peak_bytes", "locked_bytes", "pinned_bytes"];
            let listed = row(verb).contains(&format!("`{name}`")) || of_memory.contains(&name.as_str());
            assert!(listed, "{name} of {verb}");
        }
    }
}

#[test]
fn the_process_is_measured() {
    let found = json(&plan(&["--budget", "64GiB", "--json"]));
    let [resident, peak] = ["resident_bytes", "peak_bytes"].map(|name| found["process"][name].as_u64().unwrap());
    // A program of a few megabytes, which has allocated nothing of the gigabytes it plans.
    assert!((1 << 20..256 << 20).contains(&resident) && resident <= peak && peak < 256 << 20, "{resident} {peak}");
    let total = found["machine"]["total_bytes"].as_u64().unwrap();
    assert!(found["machine"]["available_bytes"].as_u64().unwrap() < total);
}

#[test]
fn what_does_not_fit_is_refused_with_the_largest_context_that_does() {
    let run = bennu(&plan(&["--context", "131072", "--budget", "8GiB", "--json"]));
    assert_eq!(run.code, 1);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let largest = found["largest_context"].as_u64().unwrap();
    assert_eq!(found["fits"], false);
    for part in [
        "error: HMA memory exhausted\n  caused by: DDR: ",
        " bytes needed for a context of 131072 tokens",
        &format!("at most {largest} tokens"),
    ] {
        assert!(run.stderr.contains(part), "{part:?} is not in {}", run.stderr);
    }
    let at = |context: u64| bennu(&plan(&["--context", &context.to_string(), "--budget", "8GiB"])).code;
    assert_eq!((at(largest), at(largest + 8)), (0, 1));
    let run = bennu(&plan(&["--budget", "1GiB"]));
    assert!(run.code == 1 && run.stderr.contains("no context fits"), "{}", run.stderr);
}

#[test]
fn a_package_tells_l1_l2_and_heap() {
    let parent = tempfile::tempdir().unwrap();
    let [package, other] = ["package", "other"].map(|name| parent.path().join(name));
    let model = Synthetic::int8(1).saved();
    json(&["compile", "--model", text(model.path()), "--seq", "1,64", "--out", text(&package), "--json"]);
    let found =
        json(&["plan", "--model", text(model.path()), "--context", "512", "--package", text(&package), "--json"]);
    let plan = &found["plan"];
    let manifest: Value = serde_json::from_slice(&fs::read(package.join("manifest.json")).unwrap()).unwrap();
    let kernels = manifest["kernels"].as_array().unwrap();
    let most = |field: &str| kernels.iter().map(|kernel| kernel["report"][field].as_u64().unwrap()).max();
    assert_eq!(plan["l1"]["bytes_per_tile"].as_u64(), most("data_bytes_max"));
    assert_eq!(plan["l2"]["bytes_per_tile"].as_u64(), most("memtile_bytes_max"));
    assert_eq!(plan["l1"]["in_turns"], true);
    let granules = |file: &Value| {
        manifest["digests"][file.as_str().unwrap()]["bytes"].as_u64().unwrap().next_multiple_of(32 << 10)
    };
    let loaded: u64 =
        kernels.iter().map(|kernel| granules(&kernel["files"]["pdi"]) + granules(&kernel["files"]["txn"])).sum();
    // And four command pages of a context, a granule each.
    assert_eq!(plan["heap"]["bytes"].as_u64(), Some(loaded + 4 * (32 << 10)));

    let foreign = ["plan", "--package", text(&package)];
    assert_refused(&foreign, &["not for gemma-3-27b", "remedy: run `bennu compile --model`"]);
    let nowhere = ["plan", "--package", text(&other)];
    assert_refused(
        &nowhere,
        &[
            "error: NPU binary not found: ",
            "other/manifest.json - compile kernels first",
            "caused by: ",
            "bennu compile",
        ],
    );
}

#[test]
fn contexts_and_budgets_that_make_no_sense() {
    assert_refused(&["plan", "--context", "131073"], &["a context of 131073 tokens; gemma-3-27b has 1 to 131072"]);
    assert_refused(&["plan", "--context", "0"], &["a context of 0 tokens"]);
    for arguments in [["plan", "--budget", "much"], ["plan", "--seq", "0"], ["plan", "--seq", "513"]] {
        assert_eq!(bennu(&arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn without_a_package_its_kernels_are_compiled_and_a_packed_model_is_planned_as_its_checkpoint() {
    let parent = tempfile::tempdir().unwrap();
    let [packed, package] = ["packed", "package"].map(|name| parent.path().join(name));
    let model = Synthetic::int8(2).saved();
    json(&["pack", "--model", text(model.path()), "--out", text(&packed), "--json"]);
    let of = |more: &[&str]| json(&[&["plan", "--context", "64", "--json"], more].concat());
    let found = of(&["--model", text(&packed), "--map"]);
    assert_eq!(found["plan"]["ddr"], of(&["--model", text(model.path())])["plan"]["ddr"]);
    // The same as of a package with these kernels.
    let compile =
        ["compile", "--seq", "1,64", "--context", "64", "--model", text(model.path()), "--out", text(&package)];
    json(&[&compile[..], &["--json"]].concat());
    let compiled = of(&["--model", text(&packed), "--package", text(&package)]);
    assert_eq!(found["plan"]["heap"], compiled["plan"]["heap"]);
    assert!(found["plan"]["heap"]["bytes"].as_u64().unwrap() > 4 << 15);

    let mapped = &found["mapped"];
    let files: Vec<u64> = fs::read_dir(&packed)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "bin"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!([mapped["layers"].as_u64(), mapped["files"].as_u64()], [Some(2), Some(files.len() as u64)]);
    assert_eq!(mapped["bytes"].as_u64(), Some(files.iter().sum()));
    assert!(mapped["resident_bytes"].as_u64().unwrap() > files.iter().sum::<u64>() / 2);
    let table = bennu(&["plan", "--context", "64", "--model", text(&packed), "--package", text(&package), "--map"]);
    assert!(table.stdout.contains("weights mapped, measured"), "{}", table.stdout);

    assert_refused(
        &["plan", "--context", "64", "--model", text(model.path()), "--package", text(&package), "--map"],
        &["is not a packed model", "`bennu pack`"],
    );
    let mut bytes = fs::read(packed.join("layer_001.o.bin")).unwrap();
    bytes[99] ^= 1;
    fs::write(packed.join("layer_001.o.bin"), bytes).unwrap();
    assert_refused(
        &["plan", "--context", "64", "--model", text(&packed), "--package", text(&package), "--map"],
        &["layer_001.o.bin"],
    );
}
