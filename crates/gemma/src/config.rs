//! config.json of a Gemma 3 checkpoint: every spelling in circulation, and the defaults of absent fields.
//!
//! SOURCE: huggingface/transformers `models/gemma3/configuration_gemma3.py`, 4.50 to 5.23. Two layouts: the
//! multimodal one nests the text fields in `text_config`, the text-only one has them at top level.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dims::ModelDims;
use crate::error::{Error, Result};

/// Whether a layer attends to everything before it or to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// The last `sliding_window` keys.
    Local,
    /// All keys.
    Global,
}

/// Rotary embedding of one kind of layer: angle(j) = position · theta^(-2j / head_dim) / factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rope {
    /// Base.
    pub theta: f64,
    /// Linear scaling; 1 when there is none.
    pub factor: f64,
}

/// Where the text fields stand in config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigLayout {
    /// In `text_config` (Gemma3ForConditionalGeneration).
    Nested,
    /// At top level (Gemma3ForCausalLM).
    Flat,
    /// There is no config.json; the shapes are those of a published model.
    Inferred,
}

/// A Gemma 3 text model, every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaConfig {
    /// Sizes.
    pub dims: ModelDims,
    /// Kind of each layer.
    pub layer_kinds: Vec<LayerKind>,
    /// Rotary embedding of local layers.
    pub rope_local: Rope,
    /// Rotary embedding of global layers.
    pub rope_global: Rope,
    /// The score scale is this to the power -1/2.
    pub query_pre_attn_scalar: f64,
    /// Epsilon of every norm.
    pub rms_norm_eps: f64,
    /// Longest context.
    pub max_positions: usize,
    /// Whether the output head is the embedding.
    pub tied_embeddings: bool,
    /// Layout the fields were found in.
    pub layout: ConfigLayout,
    /// `quantization_config`, as it stands.
    pub quantization: Option<Value>,
}

/// The fields read, as they may stand in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    query_pre_attn_scalar: Option<f64>,
    sliding_window: Option<usize>,
    sliding_window_pattern: Option<usize>,
    _sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRopeByKind>,
    rms_norm_eps: Option<f64>,
    max_position_embeddings: Option<usize>,
    hidden_activation: Option<String>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
    attention_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    use_bidirectional_attention: Option<Value>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct RawRope {
    rope_type: Option<String>,
    #[serde(rename = "type")]
    old_type: Option<String>,
    factor: Option<f64>,
    rope_theta: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRopeByKind {
    full_attention: Option<RawRope>,
    sliding_attention: Option<RawRope>,
}

// Defaults of the configuration class.
const DEFAULT_HIDDEN: usize = 2304;
const DEFAULT_INTERMEDIATE: usize = 9216;
const DEFAULT_LAYERS: usize = 26;
const DEFAULT_HEADS: usize = 8;
const DEFAULT_KV_HEADS: usize = 4;
const DEFAULT_HEAD_DIM: usize = 256;
const DEFAULT_VOCAB: usize = 262_208;
const DEFAULT_QUERY_SCALAR: f64 = 256.0;
const DEFAULT_WINDOW: usize = 4096;
const DEFAULT_PATTERN: usize = 6;
const DEFAULT_THETA: f64 = 1e6;
const DEFAULT_LOCAL_THETA: f64 = 1e4;
const DEFAULT_EPS: f64 = 1e-6;
const DEFAULT_POSITIONS: usize = 131_072;

/// Larger than any field of any published model by orders of magnitude; keeps products of sizes inside 64 bits.
const LIMIT: usize = 1 << 24;

impl GemmaConfig {
    /// Reads the text of a config.json. `path` is only for messages.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let syntax = |source| Error::ConfigSyntax { path: path.to_owned(), source };
        let root: Value = serde_json::from_slice(text).map_err(syntax)?;
        Self::from_value(&root, path)
    }

    /// Reads a config.json already parsed.
    pub fn from_value(root: &Value, path: &Path) -> Result<Self> {
        let refuse = |field: &'static str, found: String, rule: &'static str| Error::ConfigValue {
            path: path.to_owned(),
            field,
            found,
            rule,
        };
        if !root.is_object() {
            return Err(refuse("the document", kind_of(root).to_owned(), "it must be a JSON object"));
        }
        check_family(root, path)?;
        let (text, layout) = match root.get("text_config") {
            Some(text) if text.is_object() => (text, ConfigLayout::Nested),
            _ => (root, ConfigLayout::Flat),
        };
        let raw = Raw::deserialize(text).map_err(|source| Error::ConfigSyntax { path: path.to_owned(), source })?;

        let size = |field: &'static str, given: Option<usize>, default: usize| {
            let value = given.unwrap_or(default);
            if value == 0 || value > LIMIT {
                return Err(refuse(field, value.to_string(), "it must be between 1 and 2^24"));
            }
            Ok(value)
        };
        let positive = |field: &'static str, given: Option<f64>, default: f64| {
            let value = given.unwrap_or(default);
            if !(value.is_finite() && value > 0.0) {
                return Err(refuse(field, value.to_string(), "it must be finite and positive"));
            }
            Ok(value)
        };
        let dims = ModelDims {
            name: String::new(),
            hidden: size("hidden_size", raw.hidden_size, DEFAULT_HIDDEN)?,
            intermediate: size("intermediate_size", raw.intermediate_size, DEFAULT_INTERMEDIATE)?,
            layers: size("num_hidden_layers", raw.num_hidden_layers, DEFAULT_LAYERS)?,
            heads: size("num_attention_heads", raw.num_attention_heads, DEFAULT_HEADS)?,
            kv_heads: size("num_key_value_heads", raw.num_key_value_heads, DEFAULT_KV_HEADS)?,
            head_dim: size("head_dim", raw.head_dim, DEFAULT_HEAD_DIM)?,
            vocab: size("vocab_size", raw.vocab_size, DEFAULT_VOCAB)?,
            sliding_window: size("sliding_window", raw.sliding_window, DEFAULT_WINDOW)?,
        };
        if !dims.heads.is_multiple_of(dims.kv_heads) {
            return Err(refuse(
                "num_attention_heads",
                format!("{} with {} key-value heads", dims.heads, dims.kv_heads),
                "query heads must be a multiple of key-value heads",
            ));
        }
        if let Some(activation) = &raw.hidden_activation
            && activation != "gelu_pytorch_tanh"
        {
            return Err(refuse("hidden_activation", format!("{activation:?}"), "bennu computes gelu_pytorch_tanh"));
        }
        for (field, cap) in [
            ("attn_logit_softcapping", raw.attn_logit_softcapping),
            ("final_logit_softcapping", raw.final_logit_softcapping),
        ] {
            if let Some(cap) = cap {
                return Err(refuse(field, cap.to_string(), "Gemma 3 has no soft capping and bennu computes none"));
            }
        }
        if raw.attention_bias == Some(true) {
            return Err(refuse("attention_bias", "true".into(), "bennu's projections have no bias"));
        }
        // transformers 5 writes a string or a boolean here.
        if let Some(value) = &raw.use_bidirectional_attention
            && !matches!(value, Value::Null | Value::Bool(false))
        {
            return Err(refuse("use_bidirectional_attention", value.to_string(), "bennu's attention is causal"));
        }

        let layer_kinds = layer_kinds(&raw, dims.layers, path)?;
        let by_kind = raw.rope_parameters.unwrap_or_default();
        let global = by_kind.full_attention.or(raw.rope_scaling);
        let rope = |raw: Option<RawRope>, field, theta: Option<f64>, default| -> Result<Rope> {
            let raw = raw.unwrap_or_default();
            let theta = positive("rope_theta", raw.rope_theta.or(theta), default)?;
            let kind = raw.rope_type.or(raw.old_type).unwrap_or_else(|| "default".to_owned());
            let factor = match kind.as_str() {
                "default" => 1.0,
                "linear" => match raw.factor {
                    Some(factor) => positive("rope factor", Some(factor), 1.0)?,
                    None => {
                        return Err(refuse(field, "linear without a factor".into(), "linear scaling needs its factor"));
                    }
                },
                _ => return Err(refuse(field, format!("{kind:?}"), "Gemma 3 uses \"default\" or \"linear\"")),
            };
            Ok(Rope { theta, factor })
        };
        Ok(GemmaConfig {
            rope_local: rope(
                by_kind.sliding_attention,
                "rope_parameters.sliding_attention",
                raw.rope_local_base_freq,
                DEFAULT_LOCAL_THETA,
            )?,
            rope_global: rope(global, "rope_scaling", raw.rope_theta, DEFAULT_THETA)?,
            query_pre_attn_scalar: positive("query_pre_attn_scalar", raw.query_pre_attn_scalar, DEFAULT_QUERY_SCALAR)?,
            rms_norm_eps: positive("rms_norm_eps", raw.rms_norm_eps, DEFAULT_EPS)?,
            max_positions: size("max_position_embeddings", raw.max_position_embeddings, DEFAULT_POSITIONS)?,
            // Models nest the switch or keep it outside; the outer one is what the library obeys.
            tied_embeddings: root
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .or(raw.tie_word_embeddings)
                .unwrap_or(true),
            layout,
            quantization: quantization(root).or_else(|| quantization(text)).cloned(),
            layer_kinds,
            dims,
        })
    }

    /// The configuration of a published model, for a checkpoint without config.json.
    pub fn published(dims: ModelDims) -> Self {
        let big = dims.layers >= ModelDims::gemma3_4b().layers;
        let is_27b = dims == ModelDims::gemma3_27b();
        GemmaConfig {
            layer_kinds: pattern(dims.layers, DEFAULT_PATTERN),
            rope_local: Rope { theta: DEFAULT_LOCAL_THETA, factor: 1.0 },
            rope_global: Rope { theta: DEFAULT_THETA, factor: if big { 8.0 } else { 1.0 } },
            query_pre_attn_scalar: if is_27b { (dims.hidden / dims.heads) as f64 } else { dims.head_dim as f64 },
            rms_norm_eps: DEFAULT_EPS,
            max_positions: if big { DEFAULT_POSITIONS } else { 32_768 },
            tied_embeddings: true,
            layout: ConfigLayout::Inferred,
            quantization: None,
            dims,
        }
    }

    /// Indices of the layers that see everything.
    pub fn global_layers(&self) -> Vec<usize> {
        (0..self.layer_kinds.len()).filter(|&i| self.layer_kinds[i] == LayerKind::Global).collect()
    }
}

/// `quantization_config`, or the key of old compressed-tensors files.
fn quantization(value: &Value) -> Option<&Value> {
    ["quantization_config", "compression_config"]
        .into_iter()
        .find_map(|key| value.get(key).filter(|found| !found.is_null()))
}

/// Refuses other model families by `model_type`, or by `architectures` where that is absent.
fn check_family(root: &Value, path: &Path) -> Result<()> {
    let refuse = |field, found: &Value| {
        Err(Error::ConfigValue {
            path: path.to_owned(),
            field,
            found: found.to_string(),
            rule: "bennu reads Gemma 3 (gemma3, gemma3_text)",
        })
    };
    match (root.get("model_type"), root.get("architectures")) {
        (Some(Value::String(kind)), _) if kind == "gemma3" || kind == "gemma3_text" => Ok(()),
        (Some(kind), _) => refuse("model_type", kind),
        (None, Some(names)) => {
            let known = ["Gemma3ForConditionalGeneration", "Gemma3ForCausalLM"];
            let ours = names
                .as_array()
                .is_some_and(|names| names.iter().any(|name| name.as_str().is_some_and(|name| known.contains(&name))));
            if ours { Ok(()) } else { refuse("architectures", names) }
        }
        (None, None) => refuse("model_type", &Value::String("absent".to_owned())),
    }
}

/// Layer i is global when (i + 1) is a multiple of `period`.
fn pattern(layers: usize, period: usize) -> Vec<LayerKind> {
    (1..=layers).map(|i| if i.is_multiple_of(period) { LayerKind::Global } else { LayerKind::Local }).collect()
}

/// The explicit list wins over the period.
fn layer_kinds(raw: &Raw, layers: usize, path: &Path) -> Result<Vec<LayerKind>> {
    let refuse = |field, found: String, rule| Error::ConfigValue { path: path.to_owned(), field, found, rule };
    let Some(types) = &raw.layer_types else {
        let period = raw.sliding_window_pattern.or(raw._sliding_window_pattern).unwrap_or(DEFAULT_PATTERN);
        if period == 0 {
            return Err(refuse("sliding_window_pattern", "0".into(), "it must be at least 1"));
        }
        return Ok(pattern(layers, period));
    };
    if types.len() != layers {
        return Err(refuse(
            "layer_types",
            format!("a list of {} for {layers} layers", types.len()),
            "it must have one entry per layer",
        ));
    }
    types
        .iter()
        .map(|kind| match kind.as_str() {
            "sliding_attention" => Ok(LayerKind::Local),
            "full_attention" => Ok(LayerKind::Global),
            _ => Err(refuse("layer_types", format!("{kind:?}"), "entries are sliding_attention or full_attention")),
        })
        .collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<GemmaConfig> {
        GemmaConfig::parse(value.to_string().as_bytes(), Path::new("config.json"))
    }

    fn message(value: Value) -> String {
        read(value).unwrap_err().to_string()
    }

    /// The 27B file as published: most fields left to defaults.
    fn published_27b() -> Value {
        json!({
            "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
            "boi_token_index": 255999, "eos_token_id": [1, 106], "image_token_index": 262144,
            "text_config": {
                "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text",
                "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
                "query_pre_attn_scalar": 168, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024
            },
            "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152}
        })
    }

    #[test]
    fn the_27b_file_with_its_defaults() {
        let config = read(published_27b()).unwrap();
        let preset = GemmaConfig::published(ModelDims::gemma3_27b());
        assert_eq!(ModelDims { name: preset.dims.name.clone(), ..config.dims.clone() }, preset.dims);
        assert_eq!(config.global_layers(), [5, 11, 17, 23, 29, 35, 41, 47, 53, 59]);
        assert_eq!(config.rope_global, Rope { theta: 1e6, factor: 8.0 });
        assert_eq!(config.rope_local, Rope { theta: 1e4, factor: 1.0 });
        assert_eq!(config.layout, ConfigLayout::Nested);
        assert!(config.tied_embeddings);
        let inferred = GemmaConfig { layout: ConfigLayout::Inferred, dims: preset.dims.clone(), ..config };
        assert_eq!(inferred, preset);
    }

    #[test]
    fn absent_fields_take_the_class_defaults_not_hidden_over_heads() {
        let config = read(json!({"model_type": "gemma3_text", "hidden_size": 2560})).unwrap();
        assert_eq!(config.dims.head_dim, 256);
        assert_eq!([config.dims.layers, config.dims.heads, config.dims.kv_heads], [26, 8, 4]);
        assert_eq!(config.rope_global.factor, 1.0);
        assert_eq!(config.dims.sliding_window, 4096);
    }

    #[test]
    fn every_spelling_of_the_layer_pattern() {
        let kinds = |value: Value| {
            let mut base = json!({"model_type": "gemma3_text", "num_hidden_layers": 4});
            base.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            read(base).unwrap().global_layers()
        };
        assert_eq!(kinds(json!({"sliding_window_pattern": 2})), [1, 3]);
        assert_eq!(kinds(json!({"_sliding_window_pattern": 4})), [3]);
        let list = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"];
        assert_eq!(kinds(json!({"layer_types": list, "sliding_window_pattern": 2})), [0, 3]);
    }

    #[test]
    fn every_spelling_of_rope() {
        let ropes = |value: Value| {
            let mut base = json!({"model_type": "gemma3_text"});
            base.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            let config = read(base).unwrap();
            [config.rope_local.theta, config.rope_local.factor, config.rope_global.theta, config.rope_global.factor]
        };
        let old =
            json!({"rope_scaling": {"type": "linear", "factor": 4}, "rope_theta": 2e6, "rope_local_base_freq": 3e4});
        assert_eq!(ropes(old), [3e4, 1.0, 2e6, 4.0]);
        let new = json!({"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default"}
        }});
        assert_eq!(ropes(new), [1e4, 1.0, 1e6, 8.0]);
    }

    #[test]
    fn refusals_name_field_and_value() {
        let text = |field: &str, value: Value| message(json!({"model_type": "gemma3_text", field: value}));
        assert!(text("attn_logit_softcapping", json!(50.0)).contains("attn_logit_softcapping is 50"));
        assert!(text("hidden_activation", json!("silu")).contains("hidden_activation is \"silu\""));
        assert!(text("attention_bias", json!(true)).contains("attention_bias is true"));
        assert!(text("use_bidirectional_attention", json!(true)).contains("causal"));
        assert!(text("num_attention_heads", json!(6)).contains("6 with 4 key-value heads"));
        assert!(text("head_dim", json!(0)).contains("head_dim is 0"));
        assert!(text("rope_scaling", json!({"rope_type": "yarn", "factor": 2})).contains("rope_scaling is \"yarn\""));
        assert!(text("rope_scaling", json!({"rope_type": "linear"})).contains("linear without a factor"));
        assert!(text("layer_types", json!(["full_attention"])).contains("a list of 1 for 26 layers"));
        assert!(text("sliding_window_pattern", json!(0)).contains("sliding_window_pattern is 0"));
        assert!(message(json!({"model_type": "llama"})).contains("model_type is \"llama\""));
        assert!(
            message(json!({"architectures": ["LlamaForCausalLM"]})).contains("architectures is [\"LlamaForCausalLM\"]")
        );
        assert!(message(json!({})).contains("model_type is \"absent\""));
        assert!(message(json!([1])).contains("must be a JSON object"));
        assert!(text("hidden_size", json!("wide")).contains("not a valid model configuration"));
    }

    #[test]
    fn old_key_of_the_quantisation() {
        let config = read(json!({"model_type": "gemma3_text", "compression_config": {"quant_method": "x"}})).unwrap();
        assert_eq!(config.quantization.unwrap()["quant_method"], "x");
    }
}
