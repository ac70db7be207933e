//! Dense checkpoint -> INT8, symmetric, one BF16 scale per output row, in the compressed-tensors `int-quantized` layout.
//!
//! ```text
//! scale[n] = bf16(max_k |w[n][k]| / 127.5)            code[n][k] = clamp(rne(w[n][k] / scale[n]), -128, 127)
//! ```
//!
//! Codes are chosen against the rounded scale, so rounding it costs nothing. Two cases the formula does not cover:
//! - a row of zeros gets scale 1: any finite scale gives its products exactly, and 1 is the only one that neither
//!   becomes denormal nor changes a sum it is multiplied into;
//! - a row so small that its scale would be a BF16 denormal gets the smallest normal scale, 2^-126, because hardware
//!   that flushes denormals would turn the row into zeros or infinities.
//!
//! Only the linear modules of the layers are quantised. Norms, embedding, head and vision tower are copied as they are
//! and named in `quantization_config.ignore`. Rows are streamed: memory use does not depend on the model.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use serde::Serialize;
use serde_json::{Value, json};

use crate::check::check;
use crate::checkpoint::{CONFIG_NAME, Checkpoint, INDEX_NAME, TensorRef};
use crate::error::{Error, Result};
use crate::header::{Shard, file_name};
use crate::names::{Module, Role};
use crate::scheme::Scheme;
use crate::shape::Shape;
use crate::staging::Staging;
use crate::watch::Watch;
use crate::writer::{Planned, ShardWriter};

/// Input bytes held at a time.
const BLOCK_BYTES: usize = 4 << 20;

/// Scale of a row of zeros.
const ZERO_ROW_SCALE: bf16 = bf16::ONE;

/// Files besides config and weights that make a directory usable; copied if present.
const COMPANIONS: [&str; 10] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
];

/// What a conversion did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QuantizeReport {
    /// Safetensors files written.
    pub files: Vec<String>,
    /// Tensors turned into codes.
    pub quantised_tensors: u64,
    /// Tensors copied unchanged.
    pub copied_tensors: u64,
    /// Rows, and so scales.
    pub rows: u64,
    /// Rows of zeros among them.
    pub zero_rows: u64,
    /// Tensor bytes read.
    pub bytes_in: u64,
    /// Tensor bytes written.
    pub bytes_out: u64,
}

/// Quantises `source` into the directory `destination`.
///
/// With `force`, a checkpoint already there (config.json, index, every *.safetensors) is replaced as a whole.
pub fn quantize(source: &Checkpoint, destination: &Path, force: bool, watch: &dyn Watch) -> Result<QuantizeReport> {
    let found = check(source)?;
    if found.scheme != Scheme::Dense {
        let scheme = format!("{:?}", found.scheme);
        return Err(Error::AlreadyQuantised { path: source.path.clone(), scheme });
    }
    let config_path = source.config_path();
    let Some(config_text) = &source.config_text else {
        return Err(Error::Missing { path: config_path });
    };
    let config = quantised_config(config_text, &config_path)?;
    if let (Ok(from), Ok(to)) = (source.dir.canonicalize(), destination.canonicalize())
        && from == to
    {
        return Err(Error::OntoItself { path: destination.to_owned() });
    }
    let mut staging = Staging::begin(destination, force, |name| {
        name == CONFIG_NAME || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")
    })?;

    watch.plan(source.tensors().map(|tensor| tensor.info.bytes()).sum());
    let mut report = QuantizeReport::default();
    let mut weight_map = BTreeMap::new();
    for shard in &source.shards {
        let names = quantize_shard(source, shard, &mut staging, watch, &mut report)?;
        let file = shard.file_name();
        weight_map.extend(names.into_iter().map(|name| (name, file.clone())));
        report.files.push(file);
    }
    for name in COMPANIONS {
        let path = source.dir.join(name);
        match fs::read(&path) {
            Ok(content) => staging.write(name, &content)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::read("read", &path, error)),
        }
    }
    if source.shards.len() > 1 {
        let index = json!({"metadata": {"total_size": report.bytes_out}, "weight_map": weight_map});
        staging.write(INDEX_NAME, pretty(&index).as_bytes())?;
    }
    stop_if_asked(watch, destination)?;
    staging.write(CONFIG_NAME, pretty(&config).as_bytes())?;
    staging.publish()?;
    Ok(report)
}

/// Converts one file; returns the names of its tensors.
fn quantize_shard(
    source: &Checkpoint,
    shard: &Shard,
    staging: &mut Staging,
    watch: &dyn Watch,
    report: &mut QuantizeReport,
) -> Result<Vec<String>> {
    let mut tensors: Vec<TensorRef<'_>> =
        shard.tensors.iter().map(|(name, info)| TensorRef { name, shard, info }).collect();
    tensors.sort_by_key(|tensor| tensor.info.range.start);

    let mut planned = Vec::new();
    for tensor in &tensors {
        let planned_tensor = |name: &str, dtype, shape| Planned { name: name.to_owned(), dtype, shape };
        if is_quantised(source, tensor) {
            let rows = tensor.info.shape[0];
            planned.push(planned_tensor(tensor.name, Dtype::I8, tensor.info.shape.clone()));
            planned.push(planned_tensor(&scale_name(tensor.name), Dtype::BF16, Shape::from([rows, 1])));
        } else {
            planned.push(planned_tensor(tensor.name, tensor.info.dtype, tensor.info.shape.clone()));
        }
    }
    let names = planned.iter().map(|tensor| tensor.name.clone()).collect();
    let mut metadata = shard.metadata.clone();
    // Loaders of this layout want to know which framework's order the data is in; all of them use this one.
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    let mut writer = ShardWriter::create(staging, &file_name(&shard.path), &metadata, planned)?;
    let destination = staging.destination().to_owned();
    let file = File::open(&shard.path).map_err(|source| Error::read("open", &shard.path, source))?;
    for tensor in tensors {
        watch.at(tensor.name);
        let mut job = Job { file: &file, tensor, writer: &mut writer, watch, destination: &destination, report };
        if is_quantised(source, &tensor) { job.quantise()? } else { job.copy()? }
    }
    writer.finish()?;
    Ok(names)
}

fn is_quantised(source: &Checkpoint, tensor: &TensorRef<'_>) -> bool {
    matches!(source.role(tensor.name), Role::Weight(Module::Projection(..)))
}

fn scale_name(weight: &str) -> String {
    format!("{weight}_scale")
}

fn stop_if_asked(watch: &dyn Watch, destination: &Path) -> Result<()> {
    if watch.cancelled() { Err(Error::Cancelled { path: destination.to_owned() }) } else { Ok(()) }
}

/// One tensor on its way.
struct Job<'a> {
    file: &'a File,
    tensor: TensorRef<'a>,
    writer: &'a mut ShardWriter,
    watch: &'a dyn Watch,
    destination: &'a Path,
    report: &'a mut QuantizeReport,
}

impl Job<'_> {
    /// Reads `block` from `offset` bytes into the tensor.
    fn read(&self, offset: u64, block: &mut [u8]) -> Result<()> {
        stop_if_asked(self.watch, self.destination)?;
        let path = &self.tensor.shard.path;
        self.file
            .read_exact_at(block, self.tensor.info.range.start + offset)
            .map_err(|source| Error::read("read", path, source))
    }

    fn copy(&mut self) -> Result<()> {
        let bytes = self.tensor.info.bytes();
        let mut block = vec![0u8; BLOCK_BYTES.min(bytes as usize)];
        let mut offset = 0;
        while offset < bytes {
            let length = block.len().min((bytes - offset) as usize);
            self.read(offset, &mut block[..length])?;
            self.writer.write(self.tensor.name, offset, &block[..length])?;
            offset += length as u64;
            self.watch.advance(length as u64);
        }
        self.report.copied_tensors += 1;
        self.report.bytes_in += bytes;
        self.report.bytes_out += bytes;
        Ok(())
    }

    fn quantise(&mut self) -> Result<()> {
        let TensorRef { name, info, .. } = self.tensor;
        let [rows, columns] = [info.shape[0], info.shape[1]];
        let row_bytes = columns * info.dtype.bitsize() / 8;
        let rows_per_block = (BLOCK_BYTES / row_bytes).clamp(1, rows);
        let mut block = vec![0u8; rows_per_block * row_bytes];
        let mut weights = vec![0f32; columns];
        let mut codes = vec![0u8; rows_per_block * columns];
        let mut scales = Vec::with_capacity(rows * 2);
        let mut first_row = 0;
        while first_row < rows {
            let count = rows_per_block.min(rows - first_row);
            let input = &mut block[..count * row_bytes];
            self.read((first_row * row_bytes) as u64, input)?;
            for (i, bytes) in input.chunks_exact(row_bytes).enumerate() {
                widen(info.dtype, bytes, &mut weights);
                let scale = row_scale(&weights).map_err(|(column, value)| Error::BadWeight {
                    file: self.tensor.shard.path.clone(),
                    tensor: name.to_owned(),
                    row: first_row + i,
                    column,
                    value,
                })?;
                self.report.zero_rows += u64::from(scale.is_none());
                let scale = scale.unwrap_or(ZERO_ROW_SCALE);
                encode_row(&weights, scale, &mut codes[i * columns..][..columns]);
                scales.extend_from_slice(&scale.to_le_bytes());
            }
            self.writer.write(name, (first_row * columns) as u64, &codes[..count * columns])?;
            first_row += count;
            self.watch.advance((count * row_bytes) as u64);
        }
        self.writer.write(&scale_name(name), 0, &scales)?;
        self.report.quantised_tensors += 1;
        self.report.rows += rows as u64;
        self.report.bytes_in += info.bytes();
        self.report.bytes_out += (rows * columns + scales.len()) as u64;
        Ok(())
    }
}

/// Little-endian elements of a dense type as float32; exact for all three types.
pub(crate) fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::BF16 => {
            for (out, x) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f32::from_bits(u32::from(u16::from_le_bytes(*x)) << 16);
            }
        }
        Dtype::F16 => {
            for (out, x) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f16::from_le_bytes(*x).to_f32();
            }
        }
        Dtype::F32 => {
            for (out, x) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f32::from_le_bytes(*x);
            }
        }
        // PANIC: the scheme check lets only the three dense types through.
        other => unreachable!("{other:?} is not dense"),
    }
}

/// scale = bf16(max |w| / 127.5), finite, positive and normal; `None` for a row of zeros; or the column and value of the
/// first weight that is not finite.
fn row_scale(weights: &[f32]) -> Result<Option<bf16>, (usize, f32)> {
    // |w| as bits orders like |w|, with infinity and NaN above every number.
    let magnitude = |w: f32| w.to_bits() & 0x7FFF_FFFF;
    let largest = f32::from_bits(weights.iter().fold(0, |largest, &w| largest.max(magnitude(w))));
    if !largest.is_finite() {
        let column = weights.iter().position(|w| !w.is_finite()).unwrap_or_default();
        return Err((column, weights[column]));
    }
    if largest == 0.0 {
        return Ok(None);
    }
    let scale = bf16::from_f32(largest / 127.5);
    Ok(Some(if scale < bf16::MIN_POSITIVE { bf16::MIN_POSITIVE } else { scale }))
}

/// code = clamp(rne(w / scale), -128, 127), as the bytes of i8.
fn encode_row(weights: &[f32], scale: bf16, codes: &mut [u8]) {
    let scale = scale.to_f32();
    // Clamping to integers commutes with rounding. Adding 1.5 · 2^23 leaves no fraction bits, so the addition rounds to
    // the nearest integer, ties to even, and the low byte of the sum is that integer in two's complement.
    const SHIFT: f32 = 12_582_912.0;
    for (code, &w) in codes.iter_mut().zip(weights) {
        let x = (w / scale).clamp(-128.0, 127.0);
        *code = (x + SHIFT).to_bits() as u8;
    }
}

/// config.json with the `quantization_config` of what is written here.
fn quantised_config(text: &[u8], path: &Path) -> Result<Value> {
    let mut root: Value =
        serde_json::from_slice(text).map_err(|source| Error::ConfigSyntax { path: path.to_owned(), source })?;
    // PANIC: the configuration was parsed from an object when the checkpoint was opened.
    let fields = root.as_object_mut().expect("config.json is an object");
    fields.remove("compression_config");
    let quantization = json!({
        "config_groups": {
            "group_0": {
                "input_activations": {
                    "dynamic": true, "group_size": null, "num_bits": 8, "strategy": "token", "symmetric": true, "type": "int"
                },
                "output_activations": null,
                "targets": ["Linear"],
                "weights": {
                    "dynamic": false, "group_size": null, "num_bits": 8, "strategy": "channel", "symmetric": true, "type": "int"
                }
            }
        },
        "format": "int-quantized",
        "ignore": ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"],
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed"
    });
    fields.insert("quantization_config".to_owned(), quantization);
    Ok(root)
}

fn pretty(value: &Value) -> String {
    // PANIC: a JSON value always serialises.
    let mut text = serde_json::to_string_pretty(value).expect("JSON serialises");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantise_row(weights: &[f32]) -> (f32, Vec<i8>) {
        let scale = row_scale(weights).unwrap().unwrap_or(ZERO_ROW_SCALE);
        let mut codes = vec![0; weights.len()];
        encode_row(weights, scale, &mut codes);
        (scale.to_f32(), codes.into_iter().map(|code| code as i8).collect())
    }

    #[test]
    fn the_most_negative_code_is_used() {
        // 127.5 / 127.5 = 1 exactly: -127.5 ties to the even -128, 127.5 would tie to 128 and is clamped.
        assert_eq!(quantise_row(&[-127.5, 127.5, 0.5, 1.5, -0.5, -2.5]), (1.0, vec![-128, 127, 0, 2, 0, -2]));
    }

    #[test]
    fn codes_follow_the_rounded_scale() {
        // 0.9 / 127.5 = 0.0070588 rounds to 0.0070496: 0.85 is 120.6 of the rounded and 120.4 of the exact scale.
        assert_eq!(quantise_row(&[-0.9, 0.9, 0.85]), (0.007_049_560_5, vec![-128, 127, 121]));
    }

    #[test]
    fn encoding_equals_round_ties_even_for_every_bf16() {
        for scale in [1.0, 0.0078125, 3.0e-3, bf16::MIN_POSITIVE.to_f32()].map(bf16::from_f32) {
            let weights: Vec<f32> =
                (0..=u16::MAX).map(|bits| bf16::from_bits(bits).to_f32()).filter(|w| w.is_finite()).collect();
            let mut codes = vec![0; weights.len()];
            encode_row(&weights, scale, &mut codes);
            for (w, code) in weights.iter().zip(codes) {
                let expected = (w / scale.to_f32()).round_ties_even().clamp(-128.0, 127.0) as i8;
                assert_eq!(code as i8, expected, "{w} / {scale}");
            }
        }
    }

    #[test]
    fn zero_and_tiny_rows_have_normal_scales() {
        assert_eq!(quantise_row(&[0.0, -0.0]), (1.0, vec![0, 0]));
        let tiny = bf16::MIN_POSITIVE.to_f32();
        assert_eq!(quantise_row(&[tiny, -3.0 * tiny]), (tiny, vec![1, -3]));
        assert_eq!(quantise_row(&[f32::from_bits(1)]), (tiny, vec![0]));
    }

    #[test]
    fn the_first_weight_that_is_no_number_is_named() {
        assert_eq!(row_scale(&[1.0, f32::INFINITY, f32::NAN]), Err((1, f32::INFINITY)));
        let (column, value) = row_scale(&[1.0, 2.0, f32::NAN]).unwrap_err();
        assert!(column == 2 && value.is_nan());
    }

    #[test]
    fn dense_types_widen_exactly() {
        let mut out = [0.0; 2];
        widen(Dtype::BF16, &[0x80, 0x3F, 0x01, 0x80], &mut out);
        assert_eq!(out, [1.0, -f32::from_bits(0x0001_0000)]);
        widen(Dtype::F16, &[0x00, 0x3C, 0xFF, 0xFB], &mut out);
        assert_eq!(out, [1.0, -65504.0]);
        widen(Dtype::F32, &[0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
    }
}
