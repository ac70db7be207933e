//! `quantize` against an independent statement of its rule, and what it leaves behind when it fails.

mod synthetic;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use gemma::{Checkpoint, Error, QuantizeReport, Scheme, Unwatched, Watch};
use half::bf16;
use safetensors::Dtype;
use serde_json::{Value, json};
use synthetic::{Synthetic, Tensor, contents, decode, read_tensors};

fn quantize(source: &Path, destination: &Path) -> Result<QuantizeReport, Error> {
    gemma::quantize(&Checkpoint::open(source)?, destination, false, &Unwatched)
}

/// The rule in float64, row by row: scale = bf16(absmax / 127.5), code = nearest integer, ties to even.
fn reference(tensor: &Tensor) -> (Vec<u8>, Vec<u8>) {
    let columns = tensor.shape[1];
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for row in decode(tensor).chunks_exact(columns) {
        let largest = row.iter().fold(0f32, |largest, w| largest.max(w.abs()));
        let scale = if largest == 0.0 { bf16::ONE } else { bf16::from_f32(largest / 127.5) };
        scales.extend(scale.to_le_bytes());
        for &w in row {
            let code = (w / scale.to_f32()).round_ties_even().clamp(-128.0, 127.0);
            // Half a step; a whole one where 128 is clamped to 127.
            let limit = if code == 127.0 { 1.0 } else { 0.501 };
            let step = f64::from(scale.to_f32());
            assert!((f64::from(w) - f64::from(code) * step).abs() <= limit * step, "{w} {code} {step}");
            codes.push(code as i8 as u8);
        }
    }
    (codes, scales)
}

#[test]
fn every_projection_follows_the_rule_and_everything_else_is_copied() {
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32] {
        let mut made = Synthetic::dense(2, dtype);
        // A row of zeros in one projection.
        let zeroed = made.name(1, "mlp.up_proj");
        let row_bytes = 256 * dtype.bitsize() / 8;
        made.tensors.get_mut(&zeroed).unwrap().data[3 * row_bytes..][..row_bytes].fill(0);
        let (source, out) = (made.saved(), tempfile::tempdir().unwrap());
        let report = quantize(source.path(), out.path()).unwrap();
        assert_eq!((report.quantised_tensors, report.zero_rows), (14, 1));

        let written = read_tensors(&out.path().join("model.safetensors"));
        for (name, tensor) in &made.tensors {
            if name.contains("_proj") {
                let (codes, scales) = reference(tensor);
                assert_eq!((written[name].dtype, &written[name].shape), (Dtype::I8, &tensor.shape));
                assert!(written[name].data == codes, "{dtype:?} {name}");
                let scale = &written[&format!("{name}_scale")];
                assert_eq!((scale.dtype, &scale.shape[..]), (Dtype::BF16, &[tensor.shape[0], 1][..]));
                assert!(scale.data == scales, "{dtype:?} {name}");
            } else {
                assert!(written[name].data == tensor.data && written[name].dtype == dtype, "{name}");
            }
        }
        assert_eq!(written.len(), made.tensors.len() + 14);
    }
}

#[test]
fn the_output_is_a_checkpoint_of_the_layout_it_claims() {
    let (source, out) = (Synthetic::multimodal(1).saved(), tempfile::tempdir().unwrap());
    fs::write(source.path().join("tokenizer.json"), "{}").unwrap();
    fs::write(source.path().join("notes.txt"), "mine").unwrap();
    quantize(source.path(), out.path()).unwrap();
    let found = gemma::inspect(&Checkpoint::open(out.path()).unwrap(), 1).unwrap();
    assert_eq!(found.quantisation.scheme, Scheme::IntQuantized);
    assert_eq!(found.bytes["vision"], 128);
    let config: Value = serde_json::from_slice(&fs::read(out.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["text_config"]["hidden_size"], 256);
    let quantization = &config["quantization_config"];
    assert_eq!(quantization["quant_method"], "compressed-tensors");
    assert_eq!(quantization["format"], "int-quantized");
    assert_eq!(quantization["ignore"], json!(["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"]));
    let names: Vec<_> = contents(out.path()).into_keys().collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"].map(PathBuf::from));
}

#[test]
fn shards_are_mirrored_and_indexed() {
    let made = Synthetic::dense(2, Dtype::BF16);
    let (source, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made.write_sharded(source.path(), false);
    let report = quantize(source.path(), out.path()).unwrap();
    assert_eq!(report.files, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    let index: Value =
        serde_json::from_slice(&fs::read(out.path().join("model.safetensors.index.json")).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], report.bytes_out);
    for file in &report.files {
        for name in read_tensors(&out.path().join(file)).into_keys() {
            assert_eq!(index["weight_map"][&name], file.as_str());
        }
    }
    // The index of the output is used, and agrees with its files, when it is opened.
    assert!(Checkpoint::open(out.path()).unwrap().index.is_some());
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let source = Synthetic::dense(1, Dtype::BF16).saved();
    let outs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for out in &outs {
        quantize(source.path(), out.path()).unwrap();
    }
    assert!(contents(outs[0].path()) == contents(outs[1].path()));
}

#[test]
fn a_weight_that_is_no_number_is_named_and_nothing_is_left() {
    let mut made = Synthetic::dense(1, Dtype::BF16);
    let name = made.name(0, "mlp.down_proj");
    made.poke(&name, 5 * 512 + 77, bf16::NAN);
    let (source, parent) = (made.saved(), tempfile::tempdir().unwrap());
    let message = quantize(source.path(), &parent.path().join("out")).unwrap_err().to_string();
    assert!(message.contains("down_proj.weight, row 5, column 77: weight is NaN"), "{message}");
    assert!(contents(parent.path()).is_empty() && !parent.path().join("out").exists());
}

/// Asks to stop after some bytes.
struct StopAfter(Cell<u64>);

impl Watch for StopAfter {
    fn advance(&self, bytes: u64) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
    fn cancelled(&self) -> bool {
        self.0.get() == 0
    }
}

#[test]
fn an_interrupt_at_any_point_leaves_nothing() {
    let source = Synthetic::dense(1, Dtype::BF16).saved();
    let checkpoint = Checkpoint::open(source.path()).unwrap();
    for bytes in [1, 400_000, 1_000_000] {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        let stop = StopAfter(Cell::new(bytes));
        let error = gemma::quantize(&checkpoint, &out, false, &stop).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn progress_accounts_for_every_byte() {
    #[derive(Default)]
    struct Count(Cell<u64>, Cell<u64>);
    impl Watch for Count {
        fn plan(&self, total_bytes: u64) {
            self.0.set(total_bytes);
        }
        fn advance(&self, bytes: u64) {
            self.1.set(self.1.get() + bytes);
        }
    }
    let (source, out) = (Synthetic::dense(1, Dtype::BF16).saved(), tempfile::tempdir().unwrap());
    let count = Count::default();
    gemma::quantize(&Checkpoint::open(source.path()).unwrap(), out.path(), false, &count).unwrap();
    assert!(count.0.get() > 0 && count.0 == count.1);
}

#[test]
fn an_existing_checkpoint_is_replaced_as_a_whole_and_only_by_force() {
    let made = Synthetic::dense(1, Dtype::BF16);
    let (source, out) = (made.saved(), tempfile::tempdir().unwrap());
    made.write_sharded(out.path(), true);
    fs::write(out.path().join("notes.txt"), "mine").unwrap();
    let before = contents(out.path());
    let message = quantize(source.path(), out.path()).unwrap_err().to_string();
    assert!(message.ends_with("config.json: already exists"), "{message}");
    assert!(contents(out.path()) == before);
    gemma::quantize(&Checkpoint::open(source.path()).unwrap(), out.path(), true, &Unwatched).unwrap();
    let names: Vec<_> = contents(out.path()).into_keys().collect();
    assert_eq!(names, ["config.json", "model.safetensors", "notes.txt"].map(PathBuf::from));
}

#[test]
fn sources_that_cannot_be_quantised() {
    let out = tempfile::tempdir().unwrap();
    let quantised = Synthetic::int8(1).saved();
    let message = quantize(quantised.path(), out.path()).unwrap_err().to_string();
    assert!(message.contains("already quantised"), "{message}");
    let dense = Synthetic::dense(1, Dtype::BF16).saved();
    let checkpoint = Checkpoint::open(dense.path()).unwrap();
    let message = gemma::quantize(&checkpoint, dense.path(), true, &Unwatched).unwrap_err().to_string();
    assert!(message.contains("source and destination are the same directory"), "{message}");
    let mixed = {
        let mut made = Synthetic::dense(1, Dtype::BF16);
        made.put(&made.name(0, "mlp.up_proj"), Dtype::U8, vec![512, 256], vec![0; 512 * 256]);
        made.saved()
    };
    let message = quantize(mixed.path(), out.path()).unwrap_err().to_string();
    assert!(message.contains("up_proj.weight is U8 [512, 256]"), "{message}");
    assert!(contents(out.path()).is_empty());
}
