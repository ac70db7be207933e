//! `bennu bringup` and `bennu bench` on the machine at hand: what the driver says decides, and nothing else does.

mod run;

use amdxdna::Device;
use run::{assert_refused, bennu};

const SENTENCE: &str = "NO CPU FALLBACK ALLOWED - Real NPU hardware required";

#[test]
fn without_an_npu_both_refuse_and_the_report_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let arguments = ["bringup", "--report", report.to_str().unwrap()];
    match Device::open() {
        Err(_) => {
            let run = bennu(&arguments);
            assert_eq!(run.code, 1, "{}", run.stderr);
            for part in ["bring-up stopped at step device", SENTENCE, "  caused by: ", "  remedy: "] {
                assert!(run.stderr.contains(part), "{part:?} is not in: {}", run.stderr);
            }
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
            assert_eq!((&json["failed"]["step"], &json["failed"]["error"]), (&"device".into(), &SENTENCE.into()));
            let cause = json["failed"]["causes"][0].as_str().unwrap();
            let text = std::fs::read_to_string(report.with_extension("txt")).unwrap();
            assert!(text.contains("stopped at device") && text.contains(cause), "{text}");
            assert!(run.stdout.starts_with(&text), "what is written is what is shown");
            assert_refused(&["bench"], &[SENTENCE, cause, "  remedy: "]);
        }
        Ok(_) => {
            let run = bennu(&arguments);
            assert_eq!(run.code, 0, "this NPU does not pass: {}", run.stderr);
        }
    }
}

#[test]
fn a_step_that_does_not_exist_is_refused_with_all_that_do() {
    assert_refused(
        &["bringup", "--from", "warp"],
        &["bring-up has no step \"warp\"", "device, heap, context, nop", "shuffle_modes, bank_shared"],
    );
}

#[test]
fn a_package_is_opened_before_the_device_is() {
    for verb in ["bringup", "bench"] {
        assert_refused(&[verb, "--package", "/no/such/package"], &["/no/such/package"]);
    }
    assert_eq!(bennu(&["bench", "--repeat", "0"]).code, 2);
    assert_eq!(bennu(&["bench", "--mib", "129"]).code, 2);
}
