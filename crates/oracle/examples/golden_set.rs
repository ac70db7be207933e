//! Compares the float64 reference with a full golden set of a tiny Gemma 3: every layer from its golden input, every token.
//!
//! ```text
//! cargo run --release -p oracle --example golden_set -- DIR...        DIR holds model.safetensors and goldens.safetensors
//! ```
//!
//! For each layer n the residual stream behind layer n - 1 goes through float64 attention and MLP and is compared with the one behind n; where the
//! set holds the attention's intermediates, those are compared too. Fails if any relative Frobenius error exceeds 1e-5.

use std::error::Error;
use std::path::Path;

use oracle::attention::{Attention, Cache, relative_error};
use oracle::fp::widen;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind, Linear, Values};
use oracle::norm::rms_norm;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

const TOLERANCE: f64 = 1e-5;
const CONFIG: AttentionConfig = AttentionConfig::tiny();
const LAYERS: usize = 7;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A tensor as float64; int8 codes are refused, they need their scale.
fn floats(view: &TensorView<'_>) -> Outcome<Vec<f64>> {
    match view.dtype() {
        Dtype::F32 => Ok(view.data().as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()),
        Dtype::BF16 => Ok(bits(view).into_iter().map(|b| f64::from(widen(b))).collect()),
        other => Err(format!("{other:?} is not a float").into()),
    }
}

fn bits(view: &TensorView<'_>) -> Vec<u16> {
    view.data().as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()
}

/// One layer of the model.
struct Layer<'a> {
    model: &'a SafeTensors<'a>,
    index: usize,
}

impl Layer<'_> {
    fn linear(&self, module: &str) -> Outcome<Linear> {
        let name = format!("model.layers.{}.{module}.weight", self.index);
        let view = self.model.tensor(&name)?;
        let [n, k] = view.shape()[..] else { return Err(format!("{name} is not a matrix").into()) };
        let values = match view.dtype() {
            Dtype::I8 => Values::Int8 {
                codes: view.data().iter().map(|&b| b as i8).collect(),
                scales: bits(&self.model.tensor(&format!("{name}_scale"))?),
                group: k,
            },
            _ => Values::Bf16(bits(&view)),
        };
        Ok(Linear::new(n, k, values))
    }

    fn norm(&self, module: &str) -> Outcome<Vec<f64>> {
        floats(&self.model.tensor(&format!("model.layers.{}.{module}.weight", self.index))?)
    }

    fn attention(&self) -> Outcome<AttentionWeights> {
        Ok(AttentionWeights {
            q: self.linear("self_attn.q_proj")?,
            k: self.linear("self_attn.k_proj")?,
            v: self.linear("self_attn.v_proj")?,
            o: self.linear("self_attn.o_proj")?,
            q_norm: self.norm("self_attn.q_norm")?,
            k_norm: self.norm("self_attn.k_norm")?,
        })
    }

    /// The rows of `x` normed.
    fn normed(&self, x: &[f64], module: &str) -> Outcome<Vec<f64>> {
        let weight = self.norm(module)?;
        let mut x = x.to_vec();
        x.chunks_exact_mut(CONFIG.hidden).for_each(|row| rms_norm(row, &weight, CONFIG.eps));
        Ok(x)
    }

    /// m = (gelu(f Wgateᵀ) · (f Wupᵀ)) Wdownᵀ
    fn mlp(&self, f: &[f64]) -> Outcome<Vec<f64>> {
        let gate = self.linear("mlp.gate_proj")?.apply(f);
        let up = self.linear("mlp.up_proj")?.apply(f);
        let gated: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| gelu_tanh(*g) * u).collect();
        Ok(self.linear("mlp.down_proj")?.apply(&gated))
    }
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// `[T][heads][d]` as `[heads][T][d]`.
fn by_head(x: &[f64], heads: usize) -> Vec<f64> {
    let (d, tokens) = (CONFIG.head_dim, x.len() / (heads * CONFIG.head_dim));
    (0..heads).flat_map(|h| (0..tokens).flat_map(move |t| x[(t * heads + h) * d..][..d].iter().copied())).collect()
}

/// Largest error of a set.
fn check(folder: &Path) -> Outcome<f64> {
    let (model, goldens) =
        (std::fs::read(folder.join("model.safetensors"))?, std::fs::read(folder.join("goldens.safetensors"))?);
    let (model, goldens) = (SafeTensors::deserialize(&model)?, SafeTensors::deserialize(&goldens)?);
    let golden = |name: &str| floats(&goldens.tensor(name)?);
    let mut worst = 0f64;
    for prompt in ["short", "long"] {
        for index in 0..LAYERS {
            let layer = Layer { model: &model, index };
            let kind = if (index + 1) % 6 == 0 { LayerKind::Global } else { LayerKind::Local };
            let x = match index {
                0 => golden(&format!("{prompt}.embed"))?,
                _ => golden(&format!("{prompt}.layer.{}.out", index - 1))?,
            };
            let normed = layer.normed(&x, "input_layernorm")?;
            let weights = layer.attention()?;
            let trace = Attention::new(&CONFIG, kind, &weights).step(&normed, &mut Cache::linear(&CONFIG))?;
            let x = add(&x, &layer.normed(&trace.out, "post_attention_layernorm")?);
            let mlp = layer.mlp(&layer.normed(&x, "pre_feedforward_layernorm")?)?;
            let out = add(&x, &layer.normed(&mlp, "post_feedforward_layernorm")?);
            let mut line = format!("{prompt} layer {index} {kind:?}:");
            for (name, found) in [
                ("input_norm", normed),
                ("q", by_head(&trace.q, CONFIG.heads)),
                ("k", by_head(&trace.k, CONFIG.kv_heads)),
                ("v", by_head(&trace.v, CONFIG.kv_heads)),
                ("attn_ctx", trace.ctx),
                ("attn_out", trace.out),
                ("out", out),
            ] {
                let name = format!("layer.{index}.{name}");
                let tensor = format!("{prompt}.{name}");
                if goldens.names().iter().any(|known| **known == tensor) {
                    let error = relative_error(&found, &golden(&tensor)?);
                    worst = worst.max(error);
                    line += &format!("  {} {error:.1e}", name.rsplit('.').next().unwrap_or_default());
                }
            }
            println!("{line}");
        }
    }
    Ok(worst)
}

fn main() -> Outcome<()> {
    if std::env::args_os().len() < 2 {
        return Err("name a golden set: golden_set DIR...".into());
    }
    for folder in std::env::args_os().skip(1) {
        println!("{}", folder.display());
        let worst = check(Path::new(&folder))?;
        if worst > TOLERANCE {
            return Err(format!("relative error {worst:e} exceeds {TOLERANCE:e}").into());
        }
        println!("largest error {worst:.1e}");
    }
    Ok(())
}
