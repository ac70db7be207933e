//! What the runs of `lab/guest/suite` need beside packages: checkpoints, inputs, and the outputs that must come back.
//!
//! ```text
//! guest_data OUT
//!   OUT/tiny, OUT/27b            checkpoints: the tiny Gemma 3 of goldens/ with the array's heads; one layer of the 27B's dimensions
//!   OUT/column.{pdi,txn,bin}     a design of one column that copies its first host buffer to its second, and what to copy
//!   OUT/CASE.x.bin, CASE.o.bin   hidden states, and the output of the kernels one after the other on the simulated array, bfloat16
//! ```
//!
//! Outputs of the tiny model are first held to transformers' float32 run.

#[path = "../../oracle/tests/goldens/mod.rs"]
mod goldens;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;
#[path = "../tests/widened/mod.rs"]
mod widened;

use std::path::{Path, PathBuf};

use aie2_array::{Design, Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};
use anyhow::{Context, Result, ensure};
use bennu_lab::layer::{Layer, Step, bytes, wide};
use goldens::{Goldens, Model, by_token};
use npu_container::{pdi, txn};
use oracle::attention::relative_error;
use oracle::fp::bf16_rne;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind};
use oracle::outliers::{Scene, attention_weights, hidden_states};
use safetensors::Dtype;
use synthetic::{Synthetic, encode};
use widened::{codes, widened};

/// Layers of the tiny model.
const LAYERS: usize = 7;
/// Relative error of transformers' own BF16 run, the larger of both prompts and layers 0 and 5.
// MEASURED: goldens.json of the tiny INT8 model, transformers 4.57.6 with torch 2.9.1, rel_error_of_a_bf16_run.
const LIMIT: f64 = 0.0076;
/// New positions of the 27B's layer: enough for the complete kernel, few enough for a simulator.
const FEW: usize = 8;
/// Positions of the long prompt that are decoded after a prefill of the others.
const DECODED: usize = 4;

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::args_os().nth(1).context("usage: guest_data OUT")?);
    std::fs::create_dir_all(&out)?;
    column(&out)?;
    tiny(&out)?;
    large(&out)
}

/// Through a ring in the mem tile.
fn column(out: &Path) -> Result<()> {
    const BYTES: u32 = 4096;
    let (shim, mem) = (Tile::shim(0), Tile::mem(0));
    let mut design = Design::new(1)?;
    let ring = design.ring(mem, "relay", 2, BYTES / 4, Place::Anywhere)?;
    let slot = [Pattern::linear(BYTES / 16)];
    design.fill_by_dma(ring, S2mm(0), &slot)?;
    design.drain_by_dma(ring, Mm2s(0), &slot)?;
    design.connect(shim.mm2s(0), &[mem.s2mm(0)])?;
    design.connect(mem.mm2s(0), &[shim.s2mm(0)])?;
    design.token_route(0)?;
    let mut runtime = Runtime::new(1)?;
    runtime.task(0, S2mm(0), &ShimBd::linear(1, 0, BYTES.into())?, 1, true)?;
    runtime.task(0, Mm2s(0), &ShimBd::linear(0, 0, BYTES.into())?, 1, false)?;
    runtime.wait(0, S2mm(0))?;
    std::fs::write(out.join("column.pdi"), pdi::write(&design.finish()?.commands))?;
    std::fs::write(out.join("column.txn"), txn::write(&txn::Header::npu1(1), &runtime.finish()?.ops))?;
    let data: Vec<u8> = (0..BYTES / 4).flat_map(|word| word.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect();
    Ok(std::fs::write(out.join("column.bin"), data)?)
}

fn bits(x: &[f64]) -> Vec<u16> {
    x.iter().map(|v| bf16_rne(*v as f32)).collect()
}

fn case(out: &Path, name: &str, x: &[u16], o: &[u16]) -> Result<()> {
    std::fs::write(out.join(format!("{name}.x.bin")), bytes(x))?;
    std::fs::write(out.join(format!("{name}.o.bin")), bytes(o))?;
    Ok(())
}

fn tiny(out: &Path) -> Result<()> {
    let goldens = Goldens::open(Model::Int8);
    let mut checkpoint = Synthetic::int8(LAYERS);
    for layer in 0..LAYERS {
        put(&mut checkpoint, layer, &widened(&goldens.weights(layer)));
    }
    save(checkpoint, &widened::config(), &out.join("tiny"))?;
    for (layer, kind) in goldens::LAYERS {
        let weights = widened(&goldens.weights(layer));
        for prompt in goldens::PROMPTS {
            let x = bits(&goldens.input(prompt, layer));
            let step = prefill(kind, &weights, &x)?;
            let expected = goldens.expected(prompt, layer);
            let found = by_token(&wide(&step.out), &expected.rows, goldens::CONFIG.hidden);
            let error = relative_error(&found, &expected.out);
            println!("tiny, layer {layer}, {prompt} prompt: {:.3} % from transformers in float32", 100.0 * error);
            ensure!(error <= LIMIT, "more than transformers in BF16, {:.3} %", 100.0 * LIMIT);
            case(out, &format!("tiny-{layer}-{prompt}"), &x, &step.out)?;
        }
        decoded(out, layer, kind, &weights, &bits(&goldens.input("long", layer)))?;
    }
    Ok(())
}

fn prefill(kind: LayerKind, weights: &AttentionWeights, x: &[u16]) -> Result<Step> {
    let config = widened::config();
    Layer::new(&config, kind, weights, x.len() / config.hidden)?.prefill(x)
}

/// A prefill, and the last tokens of the prompt behind it.
fn decoded(out: &Path, number: usize, kind: LayerKind, weights: &AttentionWeights, x: &[u16]) -> Result<()> {
    let config = widened::config();
    let tokens = x.len() / config.hidden;
    let mut layer = Layer::new(&config, kind, weights, tokens)?;
    let (before, after) = x.split_at((tokens - DECODED) * config.hidden);
    case(out, &format!("tiny-{number}-before"), before, &layer.prefill(before)?.out)?;
    case(out, &format!("tiny-{number}-decode"), after, &layer.decode(after)?.out)
}

fn large(out: &Path) -> Result<()> {
    let config = AttentionConfig::gemma3_27b();
    let weights = attention_weights(&config, Scene::Outliers, 1);
    let x = bits(&hidden_states(config.hidden, FEW, Scene::Outliers, 2));
    let step = Layer::new(&config, LayerKind::Local, &weights, FEW)?.prefill(&x)?;
    case(out, "27b-0", &x, &step.out)?;
    // of the rest of the model `pack` reads nothing, so it is small
    let mut checkpoint = Synthetic::int8(1);
    put(&mut checkpoint, 0, &weights);
    for tensor in checkpoint.tensors.values_mut().filter(|tensor| tensor.shape.len() == 1) {
        if tensor.shape == [synthetic::HIDDEN] {
            tensor.shape = vec![config.hidden];
            tensor.data = vec![0; 2 * config.hidden];
        }
    }
    let mlp: Vec<String> =
        checkpoint.tensors.keys().filter(|name| name.contains("mlp") && name.ends_with("weight")).cloned().collect();
    for name in mlp {
        let shape = match name.contains("down_proj") {
            true => vec![config.hidden, synthetic::INTERMEDIATE],
            false => vec![synthetic::INTERMEDIATE, config.hidden],
        };
        let data = vec![1; shape.iter().product()];
        checkpoint.put(&name, Dtype::I8, shape.clone(), data);
        checkpoint.put(
            &format!("{name}_scale"),
            Dtype::BF16,
            vec![shape[0], 1],
            encode(Dtype::BF16, &vec![1.0; shape[0]]),
        );
    }
    let embedding = vec![0; 2 * synthetic::VOCAB * config.hidden];
    checkpoint.put("model.embed_tokens.weight", Dtype::BF16, vec![synthetic::VOCAB, config.hidden], embedding);
    save(checkpoint, &config, &out.join("27b"))
}

/// The attention of one layer into a checkpoint.
fn put(checkpoint: &mut Synthetic, layer: usize, weights: &AttentionWeights) {
    for (projection, linear) in [("q", &weights.q), ("k", &weights.k), ("v", &weights.v), ("o", &weights.o)] {
        let name = checkpoint.name(layer, &format!("self_attn.{projection}_proj"));
        let (codes, scales) = codes(linear);
        checkpoint.put(&name, Dtype::I8, vec![linear.n(), linear.k()], codes.iter().map(|code| *code as u8).collect());
        let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        checkpoint.put(&format!("{name}_scale"), Dtype::BF16, vec![linear.n(), 1], scales);
    }
    for (norm, values) in [("q_norm", &weights.q_norm), ("k_norm", &weights.k_norm)] {
        let name = checkpoint.name(layer, &format!("self_attn.{norm}"));
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        checkpoint.put(&name, Dtype::BF16, vec![values.len()], encode(Dtype::BF16, &values));
    }
}

fn save(mut checkpoint: Synthetic, config: &AttentionConfig, to: &Path) -> Result<()> {
    let fields = [
        ("hidden_size", config.hidden),
        ("num_attention_heads", config.heads),
        ("num_key_value_heads", config.kv_heads),
        ("sliding_window", config.window),
        ("query_pre_attn_scalar", config.query_scalar as usize),
    ];
    for (field, value) in fields {
        checkpoint.config[field] = value.into();
    }
    std::fs::create_dir_all(to)?;
    checkpoint.write(to);
    Ok(())
}
