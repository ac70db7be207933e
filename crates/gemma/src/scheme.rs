//! Which quantisation a checkpoint uses: told by `quantization_config`, confirmed by every projection of every layer.
//!
//! Read: dense BF16/F16/F32; compressed-tensors `int-quantized` (I8 codes, `{weight}_scale` per output channel or per
//! tensor or per group of 32 or 128 inputs); the per-layer layout (files `*_layer_N.safetensors`, I8 attention weights with one scalar scale). In each
//! of them weight = code × scale. Everything else is refused by name.
//!
//! SOURCE: vllm-project/compressed-tensors `quantization/quant_args.py`, `config/format.py`; pytorch/ao,
//! huggingface/optimum-quanto, bitsandbytes and AutoGPTQ for the names that give the refused ones away.

use npu_package::layout::GroupSize;
use safetensors::Dtype;
use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::{Checkpoint, TensorRef};
use crate::error::{Error, Result};
use crate::names::{Module, Projection};

/// A scheme that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Scheme {
    /// Not quantised.
    #[serde(rename = "none")]
    Dense,
    /// compressed-tensors `int-quantized`.
    #[serde(rename = "int-quantized")]
    IntQuantized,
    /// One file per layer; attention weights I8 with a scalar scale each.
    #[serde(rename = "per-layer")]
    PerLayer,
}

/// How many weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One scale for each output row.
    Channel,
    /// One scale for the whole tensor.
    Tensor,
    /// One scale for every 32 inputs of an output row.
    Group32,
    /// One scale for every 128 inputs of an output row.
    Group128,
}

impl Granularity {
    /// Inputs that share a scale; none if all of a row do.
    pub fn groups(self) -> Option<GroupSize> {
        match self {
            Granularity::Channel | Granularity::Tensor => None,
            Granularity::Group32 => Some(GroupSize::Of32),
            Granularity::Group128 => Some(GroupSize::Of128),
        }
    }
}

impl From<GroupSize> for Granularity {
    fn from(size: GroupSize) -> Self {
        match size {
            GroupSize::Of32 => Granularity::Group32,
            GroupSize::Of128 => Granularity::Group128,
        }
    }
}

/// What the projections of a checkpoint look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quantisation {
    /// Scheme.
    pub scheme: Scheme,
    /// Element type of the query weights.
    #[serde(serialize_with = "dtype_name")]
    pub weight_dtype: Dtype,
    /// Element type of the scales.
    #[serde(serialize_with = "optional_dtype_name")]
    pub scale_dtype: Option<Dtype>,
    /// How far a scale reaches.
    pub granularity: Option<Granularity>,
}

fn dtype_name<S: serde::Serializer>(dtype: &Dtype, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{dtype:?}"))
}

fn optional_dtype_name<S: serde::Serializer>(dtype: &Option<Dtype>, serializer: S) -> Result<S::Ok, S::Error> {
    match dtype {
        Some(dtype) => dtype_name(dtype, serializer),
        None => serializer.serialize_none(),
    }
}

impl Quantisation {
    /// Finds the scheme of a checkpoint and confirms it tensor by tensor.
    pub fn detect(checkpoint: &Checkpoint) -> Result<Self> {
        match &checkpoint.config.quantization {
            Some(config) => declared(checkpoint, config),
            None => undeclared(checkpoint),
        }
    }
}

/// `quantization_config` exists: only compressed-tensors int-quantized is read.
fn declared(checkpoint: &Checkpoint, config: &Value) -> Result<Quantisation> {
    let method = match (&config["quant_method"], &config["format"]) {
        (Value::String(method), _) => method.as_str(),
        // The files of the old `compression_config` key have no method.
        (Value::Null, Value::String(_)) => "compressed-tensors",
        (other, _) => return Err(variant(checkpoint, "quant_method", other, "\"compressed-tensors\"")),
    };
    if method != "compressed-tensors" {
        return Err(witness(checkpoint).unsupported(format!("{method:?}")));
    }
    let groups = match config["config_groups"].as_object() {
        Some(groups) if !groups.is_empty() => groups,
        _ => return Err(variant(checkpoint, "config_groups", &config["config_groups"], "at least one group")),
    };
    let mut granularity = None;
    for group in groups.values() {
        let format = group.get("format").filter(|format| !format.is_null()).unwrap_or(&config["format"]);
        if format != "int-quantized" {
            let format = format.as_str().map_or_else(|| format.to_string(), str::to_owned);
            return Err(witness(checkpoint).unsupported(format!("\"compressed-tensors\" {format}")));
        }
        let weights = &group["weights"];
        let require = |field, key: &str, accepted: Value, text| {
            if weights[key] == accepted { Ok(()) } else { Err(variant(checkpoint, field, &weights[key], text)) }
        };
        require("weights.num_bits", "num_bits", Value::from(8), "8")?;
        require("weights.type", "type", Value::from("int"), "\"int\"")?;
        require("weights.symmetric", "symmetric", Value::from(true), "true")?;
        let found = match weights["strategy"].as_str() {
            Some("channel") => Granularity::Channel,
            Some("tensor") => Granularity::Tensor,
            Some("group") => {
                // Inputs in another order would have indices of their own.
                require("weights.actorder", "actorder", Value::Null, "none")?;
                let size = weights["group_size"].as_u64().and_then(|size| GroupSize::of(size.try_into().ok()?));
                size.ok_or_else(|| variant(checkpoint, "weights.group_size", &weights["group_size"], "32 or 128"))?
                    .into()
            }
            _ => {
                let accepted = "\"channel\", \"tensor\" or \"group\"";
                return Err(variant(checkpoint, "weights.strategy", &weights["strategy"], accepted));
            }
        };
        if *granularity.get_or_insert(found) != found {
            return Err(variant(checkpoint, "weights.strategy", &weights["strategy"], "one strategy for all groups"));
        }
    }
    let granularity = granularity.unwrap_or(Granularity::Channel);
    confirm_int8(checkpoint, Scheme::IntQuantized, granularity, &Projection::ALL)
}

/// There is no `quantization_config`: the tensors alone decide.
fn undeclared(checkpoint: &Checkpoint) -> Result<Quantisation> {
    // (ending of a tensor name, scheme that uses it)
    const MARKS: [(&str, &str); 6] = [
        ("._weight_qdata", "torchao"),
        (".weight._data", "optimum-quanto"),
        (".SCB", "bitsandbytes int8"),
        (".qweight", "GPTQ or AWQ"),
        (".weight_packed", "\"compressed-tensors\" pack-quantized"),
        (".weight_scale_inv", "FP8"),
    ];
    for tensor in checkpoint.tensors() {
        if let Some((_, scheme)) = MARKS.into_iter().find(|(mark, _)| tensor.name.ends_with(mark)) {
            return Err(tensor.unsupported(scheme));
        }
    }
    let query = checkpoint.required_weight(Module::Projection(0, Projection::Q))?;
    if is_dense(query.info.dtype) {
        for (_, weight) in projections(checkpoint, &Projection::ALL) {
            let weight = weight?;
            if !is_dense(weight.info.dtype) {
                return Err(weight.breaks("other projections of this checkpoint are not quantised"));
            }
        }
        return Ok(Quantisation {
            scheme: Scheme::Dense,
            weight_dtype: query.info.dtype,
            scale_dtype: None,
            granularity: None,
        });
    }
    let scalar_scale =
        checkpoint.scale(Module::Projection(0, Projection::Q)).is_some_and(|scale| scale.info.shape.is_empty());
    if query.info.dtype == Dtype::I8 && scalar_scale {
        const ATTENTION: [Projection; 4] = [Projection::Q, Projection::K, Projection::V, Projection::O];
        return confirm_int8(checkpoint, Scheme::PerLayer, Granularity::Tensor, &ATTENTION);
    }
    Err(query.unsupported("of unknown kind (config.json has no quantization_config)"))
}

/// Element types `quantize` takes.
pub(crate) fn is_dense(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::BF16 | Dtype::F16 | Dtype::F32)
}

/// Every projection of every layer must be I8 with a scale of the expected shape and of one element type.
fn confirm_int8(
    checkpoint: &Checkpoint,
    scheme: Scheme,
    granularity: Granularity,
    which: &[Projection],
) -> Result<Quantisation> {
    let mut scale_dtype = None;
    for (module, weight) in projections(checkpoint, which) {
        let weight = weight?;
        if weight.info.dtype != Dtype::I8 {
            return Err(weight.breaks("this scheme stores every projection as I8 and bennu has no mixed path"));
        }
        let zero_point = format!("{}_zero_point", weight.name);
        if let Some(zero_point) = checkpoint.tensor(&zero_point) {
            return Err(zero_point.unsupported("with zero points (asymmetric)"));
        }
        let scale = checkpoint
            .scale(module)
            .ok_or_else(|| weight.breaks(format!("its scale {}_scale is missing", weight.name)))?;
        let rows = weight.info.shape.first().copied().unwrap_or(0);
        let fits = match granularity {
            Granularity::Channel => matches!(&scale.info.shape[..], [n, 1] | [n] if *n == rows),
            Granularity::Tensor => matches!(&scale.info.shape[..], [] | [1] | [1, 1]),
            Granularity::Group32 | Granularity::Group128 => {
                let inputs = weight.info.shape.get(1).copied().unwrap_or(0);
                let of = granularity.groups().map_or(inputs, GroupSize::inputs);
                inputs.is_multiple_of(of) && scale.info.shape[..] == [rows, inputs / of]
            }
        };
        if !fits {
            return Err(scale.breaks(match granularity {
                Granularity::Channel => format!("one scale per output row means shape [{rows}, 1]"),
                Granularity::Tensor => "one scale per tensor means shape [] or [1]".to_owned(),
                Granularity::Group32 => format!("one scale per 32 inputs means shape [{rows}, inputs / 32]"),
                Granularity::Group128 => format!("one scale per 128 inputs means shape [{rows}, inputs / 128]"),
            }));
        }
        if !is_dense(scale.info.dtype) {
            return Err(scale.breaks("scales are BF16, F16 or F32"));
        }
        if *scale_dtype.get_or_insert(scale.info.dtype) != scale.info.dtype {
            return Err(scale.breaks("other scales of this checkpoint have another type"));
        }
    }
    Ok(Quantisation { scheme, weight_dtype: Dtype::I8, scale_dtype, granularity: Some(granularity) })
}

/// The chosen projections of every layer.
fn projections<'a>(
    checkpoint: &'a Checkpoint,
    which: &'a [Projection],
) -> impl Iterator<Item = (Module, Result<TensorRef<'a>>)> {
    (0..checkpoint.config.dims.layers).flat_map(move |layer| {
        which.iter().map(move |&projection| {
            let module = Module::Projection(layer, projection);
            (module, checkpoint.required_weight(module))
        })
    })
}

/// A tensor that shows what the query projection looks like in a scheme that is not read.
fn witness(checkpoint: &Checkpoint) -> TensorRef<'_> {
    checkpoint
        .tensors()
        .find(|tensor| tensor.name.contains("self_attn.q_proj") && tensor.info.shape.len() > 1)
        .or_else(|| checkpoint.tensors().next())
        // PANIC: a checkpoint without tensors has no prefix and is refused when it is opened.
        .expect("an opened checkpoint has tensors")
}

fn variant(checkpoint: &Checkpoint, field: &'static str, found: &Value, accepted: &'static str) -> Error {
    let found = if found.is_null() { "absent".to_owned() } else { found.to_string() };
    Error::SchemeVariant { config: checkpoint.config_path(), field, found, accepted }
}
