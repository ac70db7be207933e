//! Quantised weights -> the panels that the kernels' DMA reads from start to end.
//!
//! For every layer the rows of q, k and v follow one another as one matrix [N][K], those of o are another, and each is laid out as
//! [`npu_package::layout::Panels`] says. Nothing is requantised: a code of the checkpoint is the code the core
//! multiplies, and a scale keeps its 16 bits. One scale for a whole tensor is repeated for each of its rows; scales of groups of inputs stand beside their codes.

use std::path::Path;

use half::bf16;
use npu_package::layout::{ARRAY_COLUMNS, GROUP_ROWS, Output, PASS_ROWS, Panels, ProjectionKind};
use npu_package::{LayerSink, PackageError, PackedManifest, PackedModel, PackedWriter, Producer};
use safetensors::Dtype;
use serde::Serialize;

use crate::check::check;
use crate::checkpoint::{Checkpoint, TensorRef};
use crate::dims::ModelDims;
use crate::error::{Error, Result};
use crate::names::{Module, Projection};
use crate::scheme::{Granularity, Scheme};
use crate::watch::Watch;

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
    /// What each layer has.
    pub projections: Vec<PackedProjection>,
    /// Bytes of one layer.
    pub bytes_per_layer: u64,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Name and SHA-256 of every file.
    pub files: Vec<PackedFile>,
}

/// One file of every layer.
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
            dtype: format!("{:?}", query.info.dtype),
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
        let of_channels = model.panels(kind).map_err(PackageError::from)?;
        panels.push(granularity.groups().map_or(of_channels, |size| of_channels.grouped(size)));
    }

    let mut writer = PackedWriter::create(destination, force)?;
    watch.plan(layers.iter().flat_map(Layer::projections).map(|p| p.weight.info.bytes()).sum());
    for (number, layer) in layers.iter().enumerate() {
        watch.at(&format!("layer {number}"));
        for panels in &panels {
            writer.layer(number, panels.kind(), |sink| layer.write(panels, sink, destination, watch))?;
        }
    }
    let written = writer.finish(PackedManifest {
        format_version: npu_package::FORMAT_VERSION,
        producer: Producer { name: "bennu".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        model,
        scheme: npu_package::scheme_name(granularity.groups()).to_owned(),
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
        bytes_per_layer: panels.iter().map(|panels| panels.bytes() as u64).sum(),
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

/// The attention projections of one layer.
struct Layer<'a> {
    q: Quantised<'a>,
    k: Quantised<'a>,
    v: Quantised<'a>,
    o: Quantised<'a>,
}

/// A quantised projection: I8 weight [N][K] and its BF16 scales, one, N or [N][groups].
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
        let [q, k, v] = Projection::QKV;
        Ok(Layer { q: find(q)?, k: find(k)?, v: find(v)?, o: find(Projection::O)? })
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
        let (k, per_row) = (panels.inputs(), panels.scales_per_row());
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
                    .pack_group(&weights, &scales[first * per_row..][..GROUP_ROWS * per_row], &mut group)
                    .map_err(PackageError::from)?;
                sink.write(&group)?;
                watch.advance(weights.len() as u64);
            }
        }
        Ok(())
    }
}

impl Quantised<'_> {
    /// The scales of every row as BF16 bits, each finite and positive.
    fn scales(&self, bytes: &[u8]) -> Result<Vec<u16>> {
        let bits: Vec<u16> = bytes.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
        let rows = self.weight.info.shape[0];
        if let Some(at) =
            bits.iter().position(|&bits| !(bf16::from_bits(bits) > bf16::ZERO && bf16::from_bits(bits).is_finite()))
        {
            return Err(Error::BadScale {
                file: self.scale.shard.path.clone(),
                tensor: self.scale.name.to_owned(),
                row: at * rows / bits.len(),
                value: bf16::from_bits(bits[at]).to_f32(),
            });
        }
        Ok(if bits.len() == 1 { vec![bits[0]; rows] } else { bits })
    }
}
