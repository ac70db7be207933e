//! The header of one safetensors file: u64 length, JSON, then data without gaps.
//!
//! The `safetensors` crate checks names, shapes, types and offsets; this module adds the comparison with the
//! length of the file, so that a truncated download is recognised from its header alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::map::map_file;
use crate::shape::Shape;

/// SOURCE: huggingface/safetensors `safetensors/src/tensor.rs`, MAX_HEADER_SIZE.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A safetensors file whose header has been read and checked.
#[derive(Debug)]
pub struct Shard {
    /// Path of the file.
    pub path: PathBuf,
    /// Its length.
    pub file_bytes: u64,
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// One tensor of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes.
    pub shape: Shape,
    /// Bytes in the file, counted from its start.
    pub range: Range<u64>,
}

impl TensorInfo {
    /// Bytes of data.
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }
}

impl Shard {
    /// Reads and checks the header.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::read("read", path, source);
        let mut file = File::open(path).map_err(fail)?;
        let file_bytes = file.metadata().map_err(fail)?.len();
        let mut start = [0u8; 8];
        let wrong_length =
            |expected_bytes| Error::WrongLength { path: path.to_owned(), expected_bytes, found_bytes: file_bytes };
        if file_bytes < 8 {
            return Err(wrong_length(8));
        }
        file.read_exact(&mut start).map_err(fail)?;
        foreign_format(path, &start)?;
        let header_bytes = u64::from_le_bytes(start);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(Error::HeaderTooLarge {
                path: path.to_owned(),
                claimed_bytes: header_bytes,
                limit_bytes: MAX_HEADER_BYTES,
            });
        }
        let data_start = 8 + header_bytes;
        if data_start > file_bytes {
            return Err(wrong_length(data_start));
        }
        let mut header = vec![0u8; header_bytes as usize];
        file.read_exact(&mut header).map_err(fail)?;
        let parsed: Metadata =
            serde_json::from_slice(&header).map_err(|source| Error::Header { path: path.to_owned(), source })?;
        let expected_bytes = data_start.saturating_add(parsed.data_len() as u64);
        if expected_bytes != file_bytes {
            return Err(wrong_length(expected_bytes));
        }
        let tensors = parsed
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (from, to) = info.data_offsets;
                let range = data_start + from as u64..data_start + to as u64;
                (name, TensorInfo { dtype: info.dtype, shape: Shape(info.shape.clone()), range })
            })
            .collect();
        let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Shard { path: path.to_owned(), file_bytes, metadata, tensors })
    }

    /// Name of the file without its directory.
    pub fn file_name(&self) -> String {
        file_name(&self.path)
    }

    /// Maps the file. The mapping lives as long as the result.
    pub fn map(&self) -> Result<MappedShard> {
        let fail = |source| Error::read("map", &self.path, source);
        let file = File::open(&self.path).map_err(fail)?;
        let bytes = map_file(&file).map_err(fail)?;
        if bytes.len() as u64 != self.file_bytes {
            return Err(Error::WrongLength {
                path: self.path.clone(),
                expected_bytes: self.file_bytes,
                found_bytes: bytes.len() as u64,
            });
        }
        Ok(MappedShard { bytes })
    }
}

/// A shard whose data can be looked at.
#[derive(Debug)]
pub struct MappedShard {
    bytes: memmap2::Mmap,
}

impl MappedShard {
    /// Data of a tensor of this shard.
    ///
    /// # Panics
    /// If `tensor` does not come from the header of this shard: its range was checked against the file's length then.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        &self.bytes[tensor.range.start as usize..tensor.range.end as usize]
    }
}

/// File name for messages.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Names the common formats that are not safetensors.
fn foreign_format(path: &Path, start: &[u8; 8]) -> Result<()> {
    let format = if start.starts_with(b"GGUF") {
        "GGUF"
    } else if start.starts_with(b"PK\x03\x04") {
        "a PyTorch pickle"
    } else if start.starts_with(b"version ") {
        "a Git LFS pointer (the file itself was not downloaded)"
    } else {
        return Ok(());
    };
    Err(Error::ForeignFormat { path: path.to_owned(), format })
}
