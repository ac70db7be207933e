//! `bennu doctor` on the machine at hand: the structure of its answer, and that words, exit code and machine agree.

mod run;

use std::fs;

use run::{bennu, shell};
use serde_json::Value;

/// Whether this machine has the PCI function of a Phoenix NPU.
fn has_npu() -> bool {
    let Ok(functions) = fs::read_dir("/sys/bus/pci/devices") else { return false };
    let id =
        |path: &std::path::Path, name: &str| fs::read_to_string(path.join(name)).unwrap_or_default().trim().to_owned();
    functions
        .flatten()
        .any(|function| id(&function.path(), "vendor") == "0x1022" && id(&function.path(), "device") == "0x1502")
}

const CHECKS: [&str; 13] = [
    "device", "kernel", "driver", "firmware", "node", "iommu", "memlock", "ram", "power", "contexts", "trial", "xrt",
    "mlir-aie",
];

#[test]
fn the_answer_has_every_check_in_order() {
    let run = bennu(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let object = found.as_object().unwrap();
    assert_eq!(object.keys().collect::<Vec<_>>(), ["checks", "errors", "usable"]);
    let checks = found["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| check["id"].as_str().unwrap()).collect::<Vec<_>>(), CHECKS);
    for check in checks {
        let outcome = check["outcome"].as_str().unwrap();
        assert!(["pass", "warn", "fail", "unknown", "skipped"].contains(&outcome), "{check}");
        assert!(!check["evidence"].as_str().unwrap().is_empty(), "{check}");
        assert_eq!(check.get("remedy").is_some(), ["warn", "fail"].contains(&outcome), "{check}");
    }
    let usable = found["usable"].as_bool().unwrap();
    assert_eq!(run.code, if usable { 0 } else { 1 });
    assert_eq!(found["errors"].as_array().unwrap().is_empty(), usable);
    assert_eq!(run.stderr.is_empty(), usable);
    assert_eq!(checks[0]["outcome"] == "pass", has_npu());
}

#[test]
fn without_an_npu_the_sentences_come_with_cause_and_remedy() {
    let run = bennu(&["doctor"]);
    if has_npu() {
        assert!(!run.stderr.contains("NPU Phoenix not detected in hardware"), "{}", run.stderr);
        return assert_eq!(run.stdout.contains("the NPU can be used now"), run.code == 0);
    }
    assert_eq!(run.code, 1);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[0], "error: NO CPU FALLBACK ALLOWED - Real NPU hardware required");
    assert_eq!(lines[1], "  caused by: NPU Phoenix not detected in hardware");
    let cause = lines[2].strip_prefix("  caused by: ").unwrap();
    assert!(
        run.stdout.lines().next().unwrap().ends_with(cause),
        "{cause:?} is not what the first check says: {}",
        run.stdout
    );
    assert!(lines[3].starts_with("  remedy: "), "{}", run.stderr);
    assert_eq!(lines.len(), 4);
}

#[test]
fn nothing_in_the_environment_makes_an_npu() {
    if has_npu() {
        return;
    }
    let clean = shell("env -i \"$0\" doctor --json", &[]);
    let set = shell("BENNU_ROOT=/tmp BENNU_FAKE=1 XDNA_EMU=1 XCL_EMULATION_MODE=sw_emu \"$0\" doctor --json", &[]);
    assert_eq!((clean.code, set.code), (1, 1));
    assert_eq!(clean.stderr, set.stderr);
}

#[test]
fn a_toolchain_that_was_asked_for_is_missed_in_its_own_words() {
    let run = shell("PATH=/nonexistent \"$0\" doctor --require mlir-aie --json", &[]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    if found["checks"][12]["outcome"] == "pass" {
        return assert!(!run.stderr.contains("MLIR-AIE2"), "{}", run.stderr);
    }
    assert_eq!(run.code, 1);
    for part in [
        "error: MLIR-AIE2 not available - real NPU execution required\n  caused by: asked for, and not found: no aiecc",
        "remedy: bennu compiles its kernels itself",
    ] {
        assert!(run.stderr.contains(part), "{part:?} is not in {}", run.stderr);
    }
    // Nobody who did not ask is told.
    assert!(!bennu(&["doctor"]).stderr.contains("MLIR-AIE"));
}

#[test]
fn a_model_that_does_not_exist() {
    run::assert_refused(
        &["doctor", "--model", "/nonexistent"],
        &["/nonexistent: no such file", "remedy: check the path"],
    );
    run::assert_refused(
        &["doctor", "--context", "131073"],
        &["a context of 131073 tokens", "remedy: choose a context"],
    );
}
