//! The attention goldens in the repository's `goldens/`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use oracle::fp::widen;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind, Linear, Values};
use oracle::norm::rms_norm;
use safetensors::{Dtype, SafeTensors};

/// The two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// BF16 weights.
    Bf16,
    /// The same as INT8 with a BF16 scale per row.
    Int8,
}

pub const MODELS: [Model; 2] = [Model::Bf16, Model::Int8];
/// Layers with intermediates.
pub const LAYERS: [(usize, LayerKind); 2] = [(0, LayerKind::Local), (5, LayerKind::Global)];
/// The other layers: their weights and the residual stream in front of them, in the set of the INT8 model.
pub const OTHER_LAYERS: [usize; 5] = [1, 2, 3, 4, 6];
/// Prompts of 20 tokens, inside the window of 32, and of 75.
pub const PROMPTS: [&str; 2] = ["short", "long"];

/// One golden file and the weights that go with it.
pub struct Goldens {
    files: Vec<Vec<u8>>,
}

/// What transformers computed, at the tokens `rows`.
pub struct Expected {
    /// Tokens whose results are stored.
    pub rows: Vec<usize>,
    /// `[heads][rows][head_dim]`.
    pub q: Vec<f64>,
    /// `[kv_heads][rows][head_dim]`.
    pub k: Vec<f64>,
    /// `[kv_heads][rows][head_dim]`.
    pub v: Vec<f64>,
    /// `[rows][heads * head_dim]`.
    pub ctx: Vec<f64>,
    /// `[rows][hidden]`.
    pub out: Vec<f64>,
}

impl Goldens {
    pub fn open(model: Model) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens");
        let names: &[&str] = match model {
            Model::Bf16 => &["tiny-gemma3-attention"],
            Model::Int8 => &["tiny-gemma3-int8-attention", "tiny-gemma3-int8-qkv", "tiny-gemma3-int8-layers"],
        };
        let read = |name: &&str| {
            let path = folder.join(format!("{name}.safetensors"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Self { files: names.iter().map(read).collect() }
    }

    fn raw(&self, name: &str) -> Option<(Dtype, Vec<usize>, Vec<u8>)> {
        self.files.iter().find_map(|file| {
            let tensors = SafeTensors::deserialize(file).expect("a sound golden file");
            let view = tensors.tensor(name).ok()?;
            Some((view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        })
    }

    fn tensor(&self, name: &str) -> (Dtype, Vec<usize>, Vec<u8>) {
        self.raw(name).unwrap_or_else(|| panic!("no golden tensor {name}"))
    }

    fn floats(&self, name: &str) -> Vec<f64> {
        let (dtype, _, bytes) = self.tensor(name);
        assert_eq!(dtype, Dtype::F32, "{name}");
        bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
    }

    fn bf16(&self, name: &str) -> Vec<u16> {
        let (dtype, _, bytes) = self.tensor(name);
        assert_eq!(dtype, Dtype::BF16, "{name}");
        bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()
    }

    fn linear(&self, layer: usize, projection: &str) -> Linear {
        let name = format!("model.layers.{layer}.self_attn.{projection}_proj.weight");
        let (dtype, shape, bytes) = self.tensor(&name);
        let [n, k] = shape[..] else { panic!("{name} is not a matrix") };
        let values = match dtype {
            Dtype::I8 => {
                let codes = bytes.iter().map(|&b| b as i8).collect();
                Values::Int8 { codes, scales: self.bf16(&format!("{name}_scale")), group: k }
            }
            _ => Values::Bf16(self.bf16(&name)),
        };
        Linear::new(n, k, values)
    }

    pub fn weights(&self, layer: usize) -> AttentionWeights {
        let [q, k, v, o] = ["q", "k", "v", "o"].map(|projection| self.linear(layer, projection));
        let [q_norm, k_norm] = ["q", "k"].map(|name| self.norm(layer, &format!("self_attn.{name}_norm")));
        AttentionWeights { q, k, v, o, q_norm, k_norm }
    }

    fn norm(&self, layer: usize, module: &str) -> Vec<f64> {
        let bits = self.bf16(&format!("model.layers.{layer}.{module}.weight"));
        bits.into_iter().map(|b| f64::from(widen(b))).collect()
    }

    /// The residual stream in front of one of [`OTHER_LAYERS`], normed: the layer's input, every token.
    pub fn normed_stream(&self, prompt: &str, layer: usize) -> Vec<f64> {
        let weight = self.norm(layer, "input_layernorm");
        let mut x = self.floats(&format!("{prompt}.layer.{}.out", layer - 1));
        x.chunks_exact_mut(CONFIG.hidden).for_each(|row| rms_norm(row, &weight, CONFIG.eps));
        x
    }

    /// The layer's input after its norm, every token.
    pub fn input(&self, prompt: &str, layer: usize) -> Vec<f64> {
        self.floats(&format!("{prompt}.layer.{layer}.input_norm"))
    }

    pub fn expected(&self, prompt: &str, layer: usize) -> Expected {
        let (_, _, rows) = self.tensor(&format!("{prompt}.rows"));
        let rows = rows.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as usize).collect();
        let of = |what: &str| self.floats(&format!("{prompt}.layer.{layer}.{what}"));
        Expected { rows, q: of("q"), k: of("k"), v: of("v"), ctx: of("attn_ctx"), out: of("attn_out") }
    }
}

/// Rows `rows` of `[T][heads][d]` as `[heads][rows][d]`.
pub fn by_head(x: &[f64], rows: &[usize], d: usize, heads: usize) -> Vec<f64> {
    let head_rows = (0..heads).flat_map(|h| rows.iter().map(move |t| (t * heads + h) * d));
    head_rows.flat_map(|at| x[at..at + d].iter().copied()).collect()
}

/// Rows `rows` of `[T][width]`.
pub fn by_token(x: &[f64], rows: &[usize], width: usize) -> Vec<f64> {
    rows.iter().flat_map(|t| x[t * width..(t + 1) * width].iter().copied()).collect()
}

pub const CONFIG: AttentionConfig = AttentionConfig::tiny();
