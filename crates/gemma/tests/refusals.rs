//! The sentences of refusals: verbatim, each with cause and remedy, and all of them documented.

use std::error::Error as _;
use std::io;
use std::path::Path;

use gemma::{Attempt, Attempts, BinaryCause, Error, HardwareCause, MemoryCause, Refusal, Sentence, ToolchainMissing};
use npu_host::Absence;
use npu_package::{Package, PackageError};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");

/// The sentences that programs look for. They are an interface: this list only ever grows.
const STABLE: [&str; 8] = [
    "MLIR-AIE2 not available - real NPU execution required",
    "Real NPU kernel requires MLIR-AIE2 compilation to NPU binary",
    "All NPU kernel execution methods failed - no fallback allowed",
    "NO CPU FALLBACK ALLOWED - Real NPU hardware required",
    "NPU Phoenix not detected in hardware",
    "NPU binary not found: PATH - compile kernels first",
    "HMA memory exhausted",
    "Missing attention weight: NAME",
];

fn absence() -> Absence {
    Absence::None { evidence: "none of 6 PCI functions is 1022:1502".into(), remedy: "use another machine".into() }
}

fn missing_tensor(tensor: &str) -> Error {
    Error::MissingTensor { path: "model".into(), tensor: tensor.into(), why: "the configuration has 62 layers".into() }
}

/// A refusal of each sentence, and what its cause has to say.
fn sample(sentence: Sentence) -> (Refusal, &'static str) {
    match sentence {
        Sentence::MlirAieMissing => (
            Refusal::MlirAieMissing { source: ToolchainMissing { evidence: "no aiecc on the PATH".into() } },
            "no aiecc on the PATH",
        ),
        Sentence::KernelNotCompiled => {
            let available = vec![("norm_rope".to_owned(), 64)];
            let error = PackageError::NoKernel { kernel: "norm_rope".into(), seq: 7, available };
            (Refusal::from_package(error).unwrap(), "no kernel \"norm_rope\" for sequence length 7")
        }
        Sentence::ExecutionFailed => {
            let tried = ["EXEC_CMD", "CMD_CHAIN"].map(|method| Attempt { method, error: "state 8, TIMEOUT".into() });
            let source = Attempts { kernel: "norm_rope".into(), tried: tried.into() };
            (
                Refusal::ExecutionFailed { source },
                "kernel norm_rope: EXEC_CMD: state 8, TIMEOUT; CMD_CHAIN: state 8, TIMEOUT",
            )
        }
        Sentence::HardwareRequired => {
            let error = Box::new(io::Error::from(io::ErrorKind::PermissionDenied));
            let source = HardwareCause::Driver { doing: "open /dev/accel/accel0".into(), error };
            (Refusal::HardwareRequired { source }, "open /dev/accel/accel0: permission denied")
        }
        Sentence::NotDetected => (Refusal::NotDetected { source: absence() }, "none of 6 PCI functions is 1022:1502"),
        Sentence::BinaryMissing => {
            let error = Package::open("nowhere").unwrap_err();
            (Refusal::from_package(error).unwrap(), "nowhere is not a kernel package")
        }
        Sentence::MemoryExhausted => {
            let error = Box::new(io::Error::from(io::ErrorKind::OutOfMemory));
            let source = MemoryCause::Allocation { what: "cache".into(), bytes: 4096, error };
            (Refusal::MemoryExhausted { source }, "cache, 4096 bytes: out of memory")
        }
        Sentence::WeightMissing => {
            let error = missing_tensor("model.layers.1.self_attn.q_proj.weight");
            (Refusal::from_checkpoint(error).unwrap(), "the configuration has 62 layers")
        }
    }
}

#[test]
fn the_sentences_are_stable() {
    assert_eq!(Sentence::ALL.iter().map(|sentence| sentence.text()).collect::<Vec<_>>(), STABLE);
}

#[test]
fn every_refusal_has_its_sentence_cause_and_remedy() {
    for &sentence in Sentence::ALL {
        let (refusal, cause) = sample(sentence);
        assert_eq!(refusal.sentence(), sentence);
        let text = refusal.to_string();
        let (before, after) =
            sentence.text().split_once("PATH").or(sentence.text().split_once("NAME")).unwrap_or((sentence.text(), ""));
        assert!(text.starts_with(before) && text.ends_with(after), "{text}");
        assert!(!text.contains("PATH") && !text.contains("NAME"), "{text}");
        let source = refusal.source().expect("a refusal has a cause").to_string();
        assert!(source.contains(cause), "{cause:?} is not in {source:?}");
        assert!(!refusal.remedy().is_empty());
    }
    assert!(sample(Sentence::KernelNotCompiled).0.remedy().contains("`bennu compile --seq 7`"));
    assert_eq!(
        sample(Sentence::BinaryMissing).0.to_string(),
        "NPU binary not found: nowhere/manifest.json - compile kernels first"
    );
    assert_eq!(
        sample(Sentence::WeightMissing).0.to_string(),
        "Missing attention weight: model.layers.1.self_attn.q_proj.weight"
    );
}

#[test]
fn no_hardware_says_both_sentences() {
    let refusal = Refusal::not_ready(absence().into());
    let chain: Vec<String> = std::iter::successors(Some(&refusal as &dyn std::error::Error), |&e| e.source())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        chain,
        [
            "NO CPU FALLBACK ALLOWED - Real NPU hardware required",
            "NPU Phoenix not detected in hardware",
            "none of 6 PCI functions is 1022:1502",
        ]
    );
    assert_eq!(refusal.remedy(), "use another machine");
}

#[test]
fn only_what_the_sentences_are_about_becomes_a_refusal() {
    for tensor in ["model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight"] {
        assert!(Refusal::from_checkpoint(missing_tensor(tensor)).is_err(), "{tensor}");
    }
    for tensor in [
        "language_model.model.layers.61.self_attn.k_norm.weight",
        "model.language_model.layers.0.self_attn.o_proj.weight",
    ] {
        assert!(Refusal::from_checkpoint(missing_tensor(tensor)).is_ok(), "{tensor}");
    }
    let weights = npu_package::PackedModel::open("nowhere").unwrap_err();
    assert!(Refusal::from_package(weights).is_err());
    let path = Path::new("kernel.pdi");
    assert!(Refusal::from_binary(path, io::ErrorKind::PermissionDenied.into()).is_err());
    let refusal = Refusal::from_binary(path, io::ErrorKind::NotFound.into()).unwrap();
    assert_eq!(refusal.to_string(), "NPU binary not found: kernel.pdi - compile kernels first");
    assert!(matches!(refusal, Refusal::BinaryMissing { source: BinaryCause::Io(_), .. }));
}

/// Sections of the document: heading and text.
fn sections(text: &str) -> Vec<(&str, &str)> {
    text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect()
}

#[test]
fn the_document_has_every_sentence_and_no_other() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let quoted = |heading: &str| heading.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).map(str::to_owned);
    let mut documented: Vec<String> = sections(&text).iter().filter_map(|(heading, _)| quoted(heading)).collect();
    let mut sentences: Vec<String> = Sentence::ALL.iter().map(|sentence| sentence.text().to_owned()).collect();
    documented.sort();
    sentences.sort();
    assert_eq!(documented, sentences);
}

#[test]
fn the_document_has_every_variant_with_cause_and_remedy() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut named = 0;
    for &sentence in Sentence::ALL {
        let heading = format!("`{}`", sentence.text());
        let (_, section) = *sections(&text).iter().find(|(found, _)| *found == heading).unwrap();
        let variant = format!("`Refusal::{}`", sentence.variant());
        assert!(section.contains(&variant), "{variant} is not under {heading}");
        for part in ["**Cause.** ", "**Remedy.** "] {
            let words = section.split_once(part).unwrap_or_else(|| panic!("{part} is not under {heading}")).1;
            assert!(
                words.lines().next().unwrap().split_whitespace().count() > 3,
                "{part} under {heading} says nothing"
            );
        }
        named += section.matches("\n`Refusal::").count();
    }
    // None that the enum does not have.
    assert_eq!(named, Sentence::ALL.len());
    assert_eq!(text.matches("\n`Refusal::").count(), Sentence::ALL.len());
    // `variant` is the name that the compiler gives.
    for &sentence in Sentence::ALL {
        let debug = format!("{:?}", sample(sentence).0);
        assert!(debug.starts_with(sentence.variant()), "{debug}");
    }
}
