//! `pack`: codes and scales arrive where the layout says, and only what can be packed exactly is packed.

mod synthetic;

use std::path::Path;

use gemma::{Checkpoint, Error, PackReport, PackedWeights, Unwatched, Watch};
use half::bf16;
use npu_package::layout::{GroupSize, HeadNorm, Panels, ProjectionKind};
use npu_package::{AttentionFacts, Layer, LayerFile, PackedModel, Rotation};
use safetensors::Dtype;
use serde_json::json;
use synthetic::{Synthetic, contents};

/// Modules whose rows a file holds.
fn modules(kind: ProjectionKind) -> &'static [&'static str] {
    match kind {
        ProjectionKind::Qkv => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        ProjectionKind::O => &["self_attn.o_proj"],
    }
}

fn panels(kind: ProjectionKind) -> Panels {
    match kind {
        ProjectionKind::Qkv => Panels::new(256, 512, 256, 256).unwrap(),
        ProjectionKind::O => Panels::output(512, 256).unwrap(),
    }
}

fn pack(source: &Path, out: &Path) -> Result<PackReport, Error> {
    gemma::pack(&Checkpoint::open(source)?, out, false, &Unwatched)
}

/// The refusal for a two-layer INT8 checkpoint after `change`; the output must not exist afterwards.
fn refused_after(change: impl FnOnce(&mut Synthetic)) -> String {
    let mut made = Synthetic::int8(2);
    change(&mut made);
    let parent = tempfile::tempdir().unwrap();
    let message = pack(made.saved().path(), &parent.path().join("out")).unwrap_err().to_string();
    assert!(contents(parent.path()).is_empty(), "{message}");
    message
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// Rows of the outputs one after the other, and the scale of each row.
fn expected(made: &Synthetic, layer: usize, kind: ProjectionKind) -> (Vec<i8>, Vec<u16>) {
    let (mut weights, mut scales) = (Vec::new(), Vec::new());
    for projection in modules(kind) {
        let name = made.name(layer, projection);
        let weight = &made.tensors[&name];
        weights.extend(weight.data.iter().map(|&code| code as i8));
        let scale: Vec<u16> = made.tensors[&format!("{name}_scale")]
            .data
            .chunks_exact(2)
            .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
            .collect();
        let rows = weight.shape[0];
        scales.extend(if scale.len() == 1 { vec![scale[0]; rows] } else { scale });
    }
    (weights, scales)
}

/// Records of the norms of queries and keys.
fn expected_norms(made: &Synthetic, layer: usize) -> Vec<u8> {
    let norm = HeadNorm::new(synthetic::HEAD_DIM).unwrap();
    let mut out = vec![0; 2 * norm.bytes()];
    let scales = [std::f64::consts::LOG2_E / 8.0, 1.0];
    for ((module, scale), out) in
        ["self_attn.q_norm", "self_attn.k_norm"].iter().zip(scales).zip(out.chunks_exact_mut(norm.bytes()))
    {
        let name = made.name(layer, module);
        let tensor = &made.tensors[&name];
        let weights: Vec<f64> = match tensor.dtype {
            Dtype::I8 => {
                let step = synthetic::decode(&made.tensors[&format!("{name}_scale")])[0];
                tensor.data.iter().map(|&code| f64::from(code as i8) * f64::from(step)).collect()
            }
            _ => synthetic::decode(tensor).into_iter().map(f64::from).collect(),
        };
        norm.fill(&weights, scale, out).unwrap();
    }
    out
}

fn assert_packed(made: &Synthetic, out: &Path, layers: usize) {
    let model = PackedModel::open(out).unwrap();
    model.verify().unwrap();
    for (layer, kind) in (0..layers).flat_map(|layer| ProjectionKind::ALL.map(|kind| (layer, kind))) {
        let unpacked = panels(kind).unpack(&model.read_layer(layer, kind).unwrap()).unwrap();
        let (weights, scales) = expected(made, layer, kind);
        assert!(unpacked.weights == weights && unpacked.scales == scales, "layer {layer}, {kind:?}");
    }
    for layer in 0..layers {
        assert!(model.read_layer(layer, LayerFile::Norms).unwrap() == expected_norms(made, layer), "layer {layer}");
    }
}

#[test]
fn per_channel_weights_unpack_to_what_was_packed() {
    let made = Synthetic::int8(3);
    assert!(
        expected(&made, 0, ProjectionKind::Qkv).0.contains(&-128),
        "the most negative code must be among the weights"
    );
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let report = pack(made.saved().path(), &out).unwrap();
    let shapes: Vec<_> = report.projections.iter().map(|p| (p.projection, [p.inputs, p.outputs])).collect();
    assert_eq!((report.layers, shapes), (3, vec![("qkv", [256, 1024]), ("o", [512, 256])]));
    assert_eq!(report.norms_bytes_per_layer, 1024);
    assert_eq!(report.bytes_per_layer, 1024 + report.projections.iter().map(|p| p.bytes_per_layer).sum::<u64>());
    assert_eq!(report.bytes, 3 * report.bytes_per_layer);
    assert_packed(&made, &out, 3);
    let description = PackedModel::open(&out).unwrap();
    assert_eq!(description.description().model.kv_heads, 2);
    let layer = &description.description().layers[2];
    assert_eq!([&layer.qkv_entry.sha256, &layer.o_entry.sha256], [6, 7].map(|at: usize| &report.files[at].sha256));
}

#[test]
fn what_no_tensor_shows_comes_from_the_configuration() {
    let made = Synthetic::int8(6);
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    pack(made.saved().path(), &out).unwrap();
    let kinds = [Layer::Local; 5].into_iter().chain([Layer::Global]).collect();
    let facts = AttentionFacts {
        layer_kinds: kinds,
        sliding_window: 32,
        rope_local: Rotation { theta: 1e4, factor: 1.0 },
        rope_global: Rotation { theta: 1e6, factor: 8.0 },
        query_pre_attn_scalar: 64.0,
        rms_norm_eps: 1e-6,
        max_positions: 131_072,
    };
    assert_eq!(PackedModel::open(&out).unwrap().description().attention, facts);
}

#[test]
fn norms_that_are_not_there_or_no_numbers() {
    let name = "model.layers.1.self_attn.k_norm.weight";
    let missing = refused_after(|made| {
        made.tensors.remove(name);
    });
    assert_says(&missing, &[name, "is missing"]);
    let infinite = refused_after(|made| made.poke(name, 5, bf16::INFINITY));
    assert_says(&infinite, &[name, "element 5 is inf", "finite"]);
    let coded = refused_after(|made| made.put(name, Dtype::I8, vec![128], vec![3; 128]));
    assert_says(&coded, &[name, "I8 with one scale"]);
}

#[test]
fn a_layer_is_mapped_as_it_was_packed_or_refused() {
    let made = Synthetic::int8(2);
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    pack(made.saved().path(), &out).unwrap();
    let weights = PackedWeights::open(&out).unwrap();
    let (qkv, o) = (ProjectionKind::Qkv, ProjectionKind::O);
    for kind in [qkv, o] {
        let unpacked = weights.panels(kind).unpack(&weights.layer(1, kind).unwrap()).unwrap();
        assert!((unpacked.weights, unpacked.scales) == expected(&made, 1, kind));
        assert_says(&weights.layer(2, kind).unwrap_err().to_string(), &["no layer 2"]);
    }

    let file = out.join("layer_001.o.bin");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4321] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_says(&weights.layer(1, o).unwrap_err().to_string(), &["layer_001.o.bin", "has SHA-256"]);
    weights.layer(1, qkv).unwrap();
    weights.layer(0, o).unwrap();
    assert_says(&PackedWeights::open(parent.path()).unwrap_err().to_string(), &["is not a packed model"]);
}

#[test]
fn shards_may_part_a_layer_anywhere() {
    let made = Synthetic::int8(2);
    let (source, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made.write_sharded(source.path(), true);
    let out = parent.path().join("out");
    pack(source.path(), &out).unwrap();
    assert_packed(&made, &out, 2);
}

#[test]
fn a_scalar_scale_is_repeated_for_every_row() {
    let made = Synthetic::per_layer(2);
    let (source, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made.write_per_layer(source.path(), 2);
    let out = parent.path().join("out");
    pack(source.path(), &out).unwrap();
    assert_packed(&made, &out, 2);
}

#[test]
fn a_compressed_tensors_scale_per_tensor() {
    let mut made = Synthetic::int8(1);
    made.config["quantization_config"]["config_groups"]["group_0"]["weights"]["strategy"] = json!("tensor");
    for projection in synthetic::PROJECTIONS {
        let name = format!("{}_scale", made.name(0, projection));
        made.put(&name, Dtype::BF16, vec![1], bf16::from_f32(0.03).to_le_bytes().to_vec());
    }
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    pack(made.saved().path(), &out).unwrap();
    assert_packed(&made, &out, 1);
}

#[test]
fn scales_of_groups_of_inputs() {
    for (size, scheme) in [(GroupSize::Of32, "int8_group32"), (GroupSize::Of128, "int8_group128")] {
        let made = Synthetic::grouped(1, size.inputs());
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        let report = pack(made.saved().path(), &out).unwrap();
        assert_eq!(report.granularity.groups(), Some(size));
        let model = PackedModel::open(&out).unwrap();
        assert_eq!(model.description().scheme, scheme);
        for kind in ProjectionKind::ALL {
            let panels = panels(kind).grouped(size);
            assert_eq!(*PackedWeights::open(&out).unwrap().panels(kind), panels);
            let unpacked = panels.unpack(&model.read_layer(0, kind).unwrap()).unwrap();
            let (weights, scales) = expected(&made, 0, kind);
            assert!(unpacked.weights == weights && unpacked.scales == scales, "{kind:?}");
        }
    }
}

#[test]
fn a_bad_scale_of_a_group_is_named_by_its_row() {
    let mut made = Synthetic::grouped(1, 32);
    let name = format!("{}_scale", made.name(0, "self_attn.k_proj"));
    let scale = made.tensors.get_mut(&name).unwrap();
    let at = 2 * (7 * scale.shape[1] + 3);
    scale.data[at..at + 2].copy_from_slice(&bf16::NEG_INFINITY.to_le_bytes());
    let parent = tempfile::tempdir().unwrap();
    let message = pack(made.saved().path(), &parent.path().join("out")).unwrap_err().to_string();
    assert_says(&message, &["k_proj.weight_scale", "row 7"]);
}

#[test]
fn what_quantize_writes_is_packed_without_change() {
    let (dense, int8, parent) =
        (Synthetic::dense(1, Dtype::BF16).saved(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    gemma::quantize(&Checkpoint::open(dense.path()).unwrap(), int8.path(), false, &Unwatched).unwrap();
    let out = parent.path().join("out");
    pack(int8.path(), &out).unwrap();
    let mut written = Synthetic::int8(1);
    written.tensors = synthetic::read_tensors(&int8.path().join("model.safetensors"));
    assert_packed(&written, &out, 1);
}

#[test]
fn scales_that_are_no_scales() {
    let scale = "model.layers.1.self_attn.k_proj.weight_scale";
    for (value, shown) in [(bf16::NAN, "NaN"), (bf16::INFINITY, "inf"), (bf16::NEG_ONE, "-1"), (bf16::ZERO, "0")] {
        let message = refused_after(|made| made.poke(scale, 200, value));
        assert_says(&message, &["model.safetensors", scale, "row 200", &format!("scale is {shown};")]);
    }
}

#[test]
fn scales_are_never_rounded() {
    let message = refused_after(|made| {
        for layer in 0..2 {
            for projection in synthetic::PROJECTIONS {
                let name = made.name(layer, projection);
                let rows = made.tensors[&name].shape[0];
                made.put(&format!("{name}_scale"), Dtype::F32, vec![rows, 1], 0.01f32.to_le_bytes().repeat(rows));
            }
        }
    });
    assert_says(&message, &["q_proj.weight_scale is F32 [512, 1]", "scales are BF16"]);
}

#[test]
fn weights_that_are_not_quantised() {
    let dense = Synthetic::dense(1, Dtype::BF16).saved();
    let parent = tempfile::tempdir().unwrap();
    let message = pack(dense.path(), &parent.path().join("out")).unwrap_err().to_string();
    assert_says(&message, &["not quantised", "model.layers.0.self_attn.q_proj.weight is BF16 [512, 256]"]);
}

#[test]
fn dimensions_that_no_pass_covers() {
    let message = refused_after(|made| {
        made.config["num_key_value_heads"] = json!(1);
        for layer in 0..2 {
            for projection in ["self_attn.k_proj", "self_attn.v_proj"] {
                let name = made.name(layer, projection);
                made.put(&name, Dtype::I8, vec![128, 256], vec![1; 128 * 256]);
                made.put(&format!("{name}_scale"), Dtype::BF16, vec![128, 1], vec![0x3C; 256]);
            }
        }
    });
    assert_says(&message, &["k_proj.weight has N (outputs) = 128", "a multiple of 256"]);
}

#[test]
fn an_existing_output_needs_force_and_a_foreign_one_is_kept() {
    let source = Synthetic::int8(1).saved();
    let checkpoint = Checkpoint::open(source.path()).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    pack(source.path(), &out).unwrap();
    let error = pack(source.path(), &out).unwrap_err();
    assert!(error.to_string().contains("exists") && error.remedy().unwrap().contains("--force"), "{error}");
    gemma::pack(&checkpoint, &out, true, &Unwatched).unwrap();
    let error = gemma::pack(&checkpoint, source.path(), true, &Unwatched).unwrap_err();
    assert_says(&error.to_string(), &["is not a packed model; it is not replaced"]);
}

#[test]
fn an_interrupt_leaves_nothing() {
    struct Stop;
    impl Watch for Stop {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let source = Synthetic::int8(1).saved();
    let parent = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(source.path()).unwrap();
    let error = gemma::pack(&checkpoint, &parent.path().join("out"), false, &Stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert!(contents(parent.path()).is_empty());
}
