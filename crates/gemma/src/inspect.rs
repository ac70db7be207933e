//! What a checkpoint is, read from its configuration and tensor headers alone.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cache::KvCache;
use crate::check::{check, is_attention};
use crate::checkpoint::Checkpoint;
use crate::config::{ConfigLayout, LayerKind, Rope};
use crate::error::{Error, Result};
use crate::memory::NpuMemory;
use crate::names::{Module, Projection, Role};
use crate::scheme::{Quantisation, Scheme};
use crate::shape::Shape;

/// Parameters and bytes of one kind of tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Tensors.
    pub tensors: u64,
    /// Elements. Scales are elements too.
    pub parameters: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, parameters: u64, bytes: u64) {
        self.tensors += 1;
        self.parameters += parameters;
        self.bytes += bytes;
    }
}

/// Tensors that bennu leaves alone, by the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// First components of their names, or the reason.
    pub what: String,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
    /// The first of them.
    pub example: String,
}

/// Rotary embeddings of both kinds of layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ropes {
    /// Local layers.
    pub local: Rope,
    /// Global layers.
    pub global: Rope,
}

/// The report of `inspect`. Field names are the keys of its JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the published model of these sizes, else of the directory.
    pub model: String,
    /// Where the configuration came from.
    pub config: ConfigLayout,
    /// Prefix of the text tensors.
    pub prefix: &'static str,
    /// Safetensors files.
    pub files: Vec<String>,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Shape of the query weight, [out, in].
    pub q_shape: Shape,
    /// Shape of the key weight.
    pub k_shape: Shape,
    /// Shape of the value weight.
    pub v_shape: Shape,
    /// Shape of the attention output weight.
    pub o_shape: Shape,
    /// Layers that see every key; all others see `sliding_window` keys.
    pub global_layers: Vec<usize>,
    /// Number of local layers.
    pub local_layers: usize,
    /// Keys a local layer sees.
    pub sliding_window: usize,
    /// Rotary embeddings.
    pub rope: Ropes,
    /// The score scale is this to the power -1/2.
    pub query_pre_attn_scalar: f64,
    /// Longest context.
    pub max_positions: usize,
    /// Whether the head is the embedding.
    pub tied_embeddings: bool,
    /// Quantisation of the projections.
    pub quantisation: Quantisation,
    /// Elements by kind of tensor, and "total".
    pub parameters: BTreeMap<&'static str, u64>,
    /// Bytes by kind of tensor, and "total".
    pub bytes: BTreeMap<&'static str, u64>,
    /// Tensors that bennu does not use.
    pub unused: Vec<Unused>,
    /// Memory of the NPU's tiers for the requested number of tokens.
    pub npu_memory: MemoryOrRefusal,
    /// Size of the key-value cache.
    pub kv_cache: CacheOrRefusal,
}

/// Size of the key-value cache, or the rule of its layout that this model breaks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CacheOrRefusal {
    /// The model has a layout.
    Cache(KvCache),
    /// It has none.
    Refused {
        /// The rule.
        refused: String,
    },
}

/// Memory of the NPU, or the rule of the kernel that this model breaks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MemoryOrRefusal {
    /// The kernel takes this model.
    Memory(NpuMemory),
    /// It does not.
    Refused {
        /// The rule.
        refused: String,
    },
}

/// Kind of a tensor in the tables of the report.
fn kind(role: Role) -> &'static str {
    match role {
        Role::Weight(Module::Embedding) => "embedding",
        Role::Weight(Module::Projection(_, Projection::Q)) => "q_proj",
        Role::Weight(Module::Projection(_, Projection::K)) => "k_proj",
        Role::Weight(Module::Projection(_, Projection::V)) => "v_proj",
        Role::Weight(Module::Projection(_, Projection::O)) => "o_proj",
        Role::Weight(Module::Projection(_, Projection::Gate | Projection::Up | Projection::Down)) => "mlp",
        Role::Weight(Module::Norm(..) | Module::FinalNorm) => "norms",
        Role::Weight(Module::Head) => "lm_head",
        Role::Scale(_) => "scales",
        Role::Vision => "vision",
        Role::UnknownInLayer | Role::Other => "other",
    }
}

/// Analyses an opened checkpoint for `seq` tokens; refuses it if its tensors contradict its configuration.
pub fn inspect(checkpoint: &Checkpoint, seq: usize) -> Result<Inspection> {
    let quantisation = check(checkpoint)?;
    let mut amounts: BTreeMap<&'static str, Amount> = BTreeMap::new();
    let mut unused: BTreeMap<String, Unused> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let role = checkpoint.role(tensor.name);
        let (parameters, bytes) = (tensor.info.elements(), tensor.info.bytes());
        amounts.entry(kind(role)).or_default().add(parameters, bytes);
        amounts.entry("total").or_default().add(parameters, bytes);
        if let Some(what) = not_used(role, tensor.name, quantisation.scheme) {
            unused
                .entry(what.clone())
                .or_insert_with(|| Unused { what, amount: Amount::default(), example: tensor.name.to_owned() })
                .amount
                .add(parameters, bytes);
        }
    }
    let shape = |projection| -> Result<Shape, Error> {
        Ok(checkpoint.required_weight(Module::Projection(0, projection))?.info.shape.clone())
    };
    let config = &checkpoint.config;
    let dims = &config.dims;
    let global_layers = config.global_layers();
    Ok(Inspection {
        model: dims.name.clone(),
        config: config.layout,
        prefix: checkpoint.prefix.text(),
        files: checkpoint.shards.iter().map(|shard| shard.file_name()).collect(),
        hidden: dims.hidden,
        intermediate: dims.intermediate,
        layers: dims.layers,
        heads: dims.heads,
        kv_heads: dims.kv_heads,
        head_dim: dims.head_dim,
        vocab: dims.vocab,
        q_shape: shape(Projection::Q)?,
        k_shape: shape(Projection::K)?,
        v_shape: shape(Projection::V)?,
        o_shape: shape(Projection::O)?,
        local_layers: config.layer_kinds.iter().filter(|&&kind| kind == LayerKind::Local).count(),
        npu_memory: match NpuMemory::new(dims, global_layers.len(), seq) {
            Ok(memory) => MemoryOrRefusal::Memory(memory),
            Err(rule) => MemoryOrRefusal::Refused { refused: rule.to_string() },
        },
        kv_cache: match KvCache::new(dims, global_layers.len(), config.max_positions) {
            Ok(cache) => CacheOrRefusal::Cache(cache),
            Err(rule) => CacheOrRefusal::Refused { refused: rule.to_string() },
        },
        global_layers,
        sliding_window: dims.sliding_window,
        rope: Ropes { local: config.rope_local, global: config.rope_global },
        query_pre_attn_scalar: config.query_pre_attn_scalar,
        max_positions: config.max_positions,
        tied_embeddings: config.tied_embeddings,
        quantisation,
        parameters: amounts.iter().map(|(&kind, amount)| (kind, amount.parameters)).collect(),
        bytes: amounts.iter().map(|(&kind, amount)| (kind, amount.bytes)).collect(),
        unused: unused.into_values().collect(),
    })
}

/// Why a tensor is left alone; `None` if bennu uses it.
fn not_used(role: Role, name: &str, scheme: Scheme) -> Option<String> {
    match role {
        Role::Vision | Role::Other => {
            let bare = name.strip_prefix("model.").unwrap_or(name);
            Some(bare.split('.').next().unwrap_or(bare).to_owned())
        }
        Role::UnknownInLayer => Some("unknown tensors of the per-layer layout".to_owned()),
        Role::Weight(module) | Role::Scale(module) => {
            let left_out = scheme == Scheme::PerLayer && !is_attention(module);
            left_out.then(|| "int4 and asymmetric tensors of the per-layer layout".to_owned())
        }
    }
}
