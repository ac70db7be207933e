//! Quantised weights -> the panels that the kernels' DMA reads from start to end.
//!
//! For every layer the rows of q, k and v follow one another as one matrix [N][K], those of o are another, and each is laid out as
//! [`npu_package::layout::Panels`] says. Nothing is requantised: a code of the checkpoint is the code the core
//! multiplies, and a scale keeps its 16 bits. One scale for a whole tensor is repeated for each of its rows.
//!
//! The norms of queries and keys go into records of [`npu_package::layout::HeadNorm`], the scale of the scores with them:
//!
//! ```text
//! q   g = (1 + w) sqrt(d) log2(e) / sqrt(query_pre_attn_scalar)        k   g = (1 + w) sqrt(d)
//! ```

use std::path::Path;

use half::bf16;
use npu_package::layout::{ARRAY_COLUMNS, GROUP_ROWS, HeadNorm, Output, PASS_ROWS, Panels, ProjectionKind};
use npu_package::{
    AttentionFacts, LayerFile, LayerSink, PACKED_VERSION, PackageError, PackedManifest, PackedModel, PackedWriter,
    Producer, Rotation,
};
use safetensors::Dtype;
use serde::Serialize;

use crate::check::check;
use crate::checkpoint::{Checkpoint, TensorRef};
use crate::config::{GemmaConfig, LayerKind, Rope};
use crate::dims::ModelDims;
use crate::error::{Error, Result};
use crate::names::{Module, Norm, Projection};
use crate::quantize::widen;
use crate::scheme::{Granularity, Scheme, is_dense};
use crate::watch::Watch;

/// Number scheme of the packed weights: 8-bit weights for kernels that quantise activations to 8 bits.
pub const PACKED_SCHEME: &str = "w8a8";

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackReport {
    /// Model name.
    pub model: String,
    /// Scheme of the source.
    pub source: Scheme,
    /// How far a scale of the source reaches.
    pub granularity: Granularity,
    /// Layers written.
    pub layers: usize,
    /// Weights of each layer.
    pub projections: Vec<PackedProjection>,
    /// Bytes of the norms of a layer.
    pub norms_bytes_per_layer: u64,
    /// Bytes of one layer.
    pub bytes_per_layer: u64,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Name and SHA-256 of every file.
    pub files: Vec<PackedFile>,
}

/// Weights of every layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackedProjection {
    /// `"qkv"` or `"o"`.
    pub projection: &'static str,
    /// K.
    pub inputs: usize,
    /// N: rows of all outputs.
    pub outputs: usize,
    /// Bytes of the file.
    pub bytes_per_layer: u64,
}

/// A file of the packed model, read back and found to have this digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackedFile {
    /// Name.
    pub name: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Packs the weights of the attention projections of every layer of `source` into the directory `destination`.
pub fn pack(source: &Checkpoint, destination: &Path, force: bool, watch: &dyn Watch) -> Result<PackReport> {
    let found = check(source)?;
    let Some(granularity) = found.granularity else {
        let query = source.required_weight(Module::Projection(0, Projection::Q))?;
        return Err(Error::NotQuantised {
            file: query.shard.path.clone(),
            tensor: query.name.to_owned(),
            dtype: format!("{:?}", query.info.dtype).into(),
            shape: query.info.shape.clone(),
        });
    };
    let dims = &source.config.dims;
    let mut layers = Vec::with_capacity(dims.layers);
    for layer in 0..dims.layers {
        layers.push(Layer::find(source, layer)?);
    }
    let model = package_dims(dims);
    let mut panels = Vec::new();
    for kind in ProjectionKind::ALL {
        panels.push(model.panels(kind).map_err(PackageError::from)?);
    }
    let norms_bytes = LayerFile::Norms.bytes(&model).map_err(PackageError::from)? as u64;

    let mut writer = PackedWriter::create(destination, force)?;
    watch.plan(layers.iter().flat_map(Layer::projections).map(|p| p.weight.info.bytes()).sum());
    for (number, layer) in layers.iter().enumerate() {
        watch.at(&format!("layer {number}"));
        for panels in &panels {
            writer.layer(number, panels.kind(), |sink| layer.write(panels, sink, destination, watch))?;
        }
        let norms = layer.norms(&source.config)?;
        writer.layer(number, LayerFile::Norms, |sink| sink.write(&norms))?;
    }
    let written = writer.finish(PackedManifest {
        format_version: PACKED_VERSION,
        producer: Producer { name: "bennu".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        model,
        scheme: PACKED_SCHEME.to_owned(),
        attention: attention_facts(&source.config),
        layers: Vec::new(),
    })?;
    PackedModel::open(destination)?.verify()?;
    let files = || written.layers.iter().flat_map(|layer| layer.files());
    Ok(PackReport {
        model: dims.name.clone(),
        source: found.scheme,
        granularity,
        layers: dims.layers,
        projections: panels
            .iter()
            .map(|panels| PackedProjection {
                projection: panels.kind().name(),
                inputs: panels.inputs(),
                outputs: panels.n(),
                bytes_per_layer: panels.bytes() as u64,
            })
            .collect(),
        norms_bytes_per_layer: norms_bytes,
        bytes_per_layer: panels.iter().map(|panels| panels.bytes() as u64).sum::<u64>() + norms_bytes,
        bytes: files().map(|(_, _, entry)| entry.bytes).sum(),
        files: files()
            .map(|(_, name, entry)| PackedFile { name: name.to_owned(), sha256: entry.sha256.clone() })
            .collect(),
    })
}

/// The sizes as packages record them.
pub fn package_dims(dims: &ModelDims) -> npu_package::ModelDims {
    let ModelDims { name, hidden, intermediate, layers, heads, kv_heads, head_dim, vocab, sliding_window: _ } =
        dims.clone();
    npu_package::ModelDims { name, hidden, intermediate, layers, heads, kv_heads, head_dim, vocab }
}

/// What the configuration says of attention, as packed models record it.
pub fn attention_facts(config: &GemmaConfig) -> AttentionFacts {
    let rotation = |Rope { theta, factor }: Rope| Rotation { theta, factor };
    let kind = |kind: &LayerKind| match kind {
        LayerKind::Local => npu_package::Layer::Local,
        LayerKind::Global => npu_package::Layer::Global,
    };
    AttentionFacts {
        layer_kinds: config.layer_kinds.iter().map(kind).collect(),
        sliding_window: config.dims.sliding_window,
        rope_local: rotation(config.rope_local),
        rope_global: rotation(config.rope_global),
        query_pre_attn_scalar: config.query_pre_attn_scalar,
        rms_norm_eps: config.rms_norm_eps,
        max_positions: config.max_positions,
    }
}

/// The attention projections of one layer, and its norms of queries and keys.
struct Layer<'a> {
    q: Quantised<'a>,
    k: Quantised<'a>,
    v: Quantised<'a>,
    o: Quantised<'a>,
    q_norm: NormWeight<'a>,
    k_norm: NormWeight<'a>,
}

/// The weight of a norm: dense, or I8 with a scale for the tensor.
#[derive(Clone, Copy)]
struct NormWeight<'a> {
    weight: TensorRef<'a>,
    scale: Option<TensorRef<'a>>,
}

/// A quantised projection: I8 weight [N][K] and its BF16 scales, one or N.
#[derive(Clone, Copy)]
struct Quantised<'a> {
    weight: TensorRef<'a>,
    scale: TensorRef<'a>,
}

impl<'a> Layer<'a> {
    /// Finds the tensors and checks what the layout requires of them, without touching data.
    fn find(source: &'a Checkpoint, layer: usize) -> Result<Self> {
        let find = |projection| {
            let module = Module::Projection(layer, projection);
            let weight = source.required_weight(module)?;
            // The scheme was confirmed for every projection, so each has its scale.
            let scale = source.scale(module).ok_or_else(|| weight.breaks("its scale is missing"))?;
            if scale.info.dtype != Dtype::BF16 {
                return Err(scale.breaks("the kernel's scales are BF16 and are not rounded a second time"));
            }
            for (axis, size) in [("N (outputs)", weight.info.shape[0]), ("K (inputs)", weight.info.shape[1])] {
                if !size.is_multiple_of(PASS_ROWS) {
                    return Err(Error::NotTileable {
                        file: weight.shard.path.clone(),
                        tensor: weight.name.to_owned(),
                        axis,
                        found: size,
                        multiple: PASS_ROWS,
                    });
                }
            }
            Ok(Quantised { weight, scale })
        };
        let norm = |norm| {
            let module = Module::Norm(layer, norm);
            let found = NormWeight { weight: source.required_weight(module)?, scale: source.scale(module) };
            found.check()?;
            Ok::<_, Error>(found)
        };
        let [q, k, v] = Projection::QKV;
        Ok(Layer {
            q: find(q)?,
            k: find(k)?,
            v: find(v)?,
            o: find(Projection::O)?,
            q_norm: norm(Norm::Query)?,
            k_norm: norm(Norm::Key)?,
        })
    }

    /// The records of both norms: queries', with the scale of the scores, then keys'.
    fn norms(&self, config: &GemmaConfig) -> Result<Vec<u8>> {
        let record = HeadNorm::new(config.dims.head_dim).map_err(PackageError::from)?;
        let mut out = vec![0; 2 * record.bytes()];
        let scores = std::f64::consts::LOG2_E / config.query_pre_attn_scalar.sqrt();
        let (query, key) = out.split_at_mut(record.bytes());
        for (norm, scale, out) in [(&self.q_norm, scores, query), (&self.k_norm, 1.0, key)] {
            record.fill(&norm.values()?, scale, out).map_err(PackageError::from)?;
        }
        Ok(out)
    }

    fn projections(&self) -> [&Quantised<'a>; 4] {
        [&self.q, &self.k, &self.v, &self.o]
    }

    fn output(&self, output: Output) -> &Quantised<'a> {
        match output {
            Output::Q => &self.q,
            Output::K => &self.k,
            Output::V => &self.v,
            Output::O => &self.o,
        }
    }

    /// Writes the panels in the order in which the array columns stream them.
    fn write(&self, panels: &Panels, sink: &mut LayerSink, destination: &Path, watch: &dyn Watch) -> Result<()> {
        let mut rows = Vec::with_capacity(3);
        // Mappings live as long as one layer is written, so that the pages of whole shards do not pile up.
        let mut maps = Vec::with_capacity(3);
        let projections: Vec<_> = panels.outputs().map(|(output, _)| self.output(output)).collect();
        for projection in &projections {
            maps.push((projection.weight.shard.map()?, projection.scale.shard.map()?));
        }
        for (projection, (weights, scales)) in projections.iter().zip(&maps) {
            rows.push((weights.data(projection.weight.info), projection.scales(scales.data(projection.scale.info))?));
        }
        let k = panels.inputs();
        let mut weights = vec![0i8; GROUP_ROWS * k];
        let mut group = vec![0u8; panels.group_bytes()];
        for column in 0..ARRAY_COLUMNS {
            for pass in 0..panels.passes() {
                if watch.cancelled() {
                    return Err(Error::Cancelled { path: destination.to_owned() });
                }
                // A group of 64 rows never straddles outputs: each has a multiple of 256 rows.
                let (which, first) = panels.output_of(Panels::group_first_row(column, pass));
                let (codes, scales) = &rows[which];
                for (weight, &code) in weights.iter_mut().zip(&codes[first * k..]) {
                    *weight = code as i8;
                }
                panels
                    .pack_group(&weights, &scales[first..first + GROUP_ROWS], &mut group)
                    .map_err(PackageError::from)?;
                sink.write(&group)?;
                watch.advance(weights.len() as u64);
            }
        }
        Ok(())
    }
}

impl NormWeight<'_> {
    fn check(&self) -> Result<()> {
        match (self.weight.info.dtype, self.scale) {
            (Dtype::BF16 | Dtype::F16 | Dtype::F32, None) => Ok(()),
            (Dtype::I8, Some(scale)) if matches!(&scale.info.shape[..], [] | [1]) && is_dense(scale.info.dtype) => {
                Ok(())
            }
            (Dtype::I8, Some(scale)) => Err(scale.breaks("the scale of a norm is one BF16, F16 or F32 number")),
            _ => Err(self.weight.breaks("a norm of queries or keys is BF16, F16 or F32, or I8 with one scale")),
        }
    }

    /// w: the distance of the norm's factor from one.
    fn values(&self) -> Result<Vec<f64>> {
        let map = self.weight.shard.map()?;
        let data = map.data(self.weight.info);
        let values: Vec<f64> = match self.scale {
            None => wide(self.weight.info.dtype, data),
            Some(scale) => {
                let scales = scale.shard.map()?;
                // One number, as `check` found.
                let scale = wide(scale.info.dtype, scales.data(scale.info))[0];
                data.iter().map(|&code| f64::from(code as i8) * scale).collect()
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(i) => Err(self.weight.breaks(format!("element {i} is {}; weights of a norm are finite", values[i]))),
        }
    }
}

/// Elements of a dense type.
fn wide(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let mut out = vec![0.0; bytes.len() * 8 / dtype.bitsize()];
    widen(dtype, bytes, &mut out);
    out.into_iter().map(f64::from).collect()
}

impl Quantised<'_> {
    /// One scale per row as BF16 bits, each finite and positive.
    fn scales(&self, bytes: &[u8]) -> Result<Vec<u16>> {
        let bits: Vec<u16> = bytes.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
        if let Some(row) =
            bits.iter().position(|&bits| !(bf16::from_bits(bits) > bf16::ZERO && bf16::from_bits(bits).is_finite()))
        {
            return Err(Error::BadScale {
                file: self.scale.shard.path.clone(),
                tensor: self.scale.name.to_owned(),
                row,
                value: bf16::from_bits(bits[row]).to_f32(),
            });
        }
        let rows = self.weight.info.shape[0];
        Ok(if bits.len() == 1 { vec![bits[0]; rows] } else { bits })
    }
}
