//! Streaming writer of one safetensors file: ranges are reserved first, then filled in any order.
//!
//! The `safetensors` crate writes from complete tensors and keeps `__metadata__` in a map without order; this writer
//! takes rows as they come and gives the same bytes for the same input. Order of the data: larger element types first,
//! then by name, so that every tensor is aligned to its element.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::Dtype;
use serde::Serialize;

use crate::error::Result;
use crate::shape::Shape;
use crate::staging::{StagedFile, Staging};

/// Header lengths are multiples of this.
const ALIGN: usize = 8;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
}

#[derive(Serialize)]
struct HeaderEntry<'a> {
    dtype: Dtype,
    shape: &'a Shape,
    data_offsets: (u64, u64),
}

/// A file whose header is written and whose ranges are being filled.
#[derive(Debug)]
pub(crate) struct ShardWriter {
    file: StagedFile,
    ranges: BTreeMap<String, Range<u64>>,
    missing_bytes: u64,
}

impl ShardWriter {
    /// Reserves the ranges of `tensors` and writes the header.
    pub(crate) fn create(
        staging: &mut Staging,
        name: &str,
        metadata: &BTreeMap<String, String>,
        mut tensors: Vec<Planned>,
    ) -> Result<Self> {
        tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        // Written piece by piece because the order of the entries is the order of the data.
        let mut header = String::from("{");
        let mut field = |name: &str, value: String| {
            if header.len() > 1 {
                header.push(',');
            }
            header.push_str(&json(&name));
            header.push(':');
            header.push_str(&value);
        };
        if !metadata.is_empty() {
            field("__metadata__", json(metadata));
        }
        let mut offset = 0u64;
        let mut ranges = BTreeMap::new();
        for Planned { name, dtype, shape } in &tensors {
            let bytes = shape.elements().unwrap_or(u64::MAX) * dtype.bitsize() as u64 / 8;
            let data_offsets = (offset, offset + bytes);
            field(name, json(&HeaderEntry { dtype: *dtype, shape, data_offsets }));
            ranges.insert(name.clone(), offset..offset + bytes);
            offset += bytes;
        }
        header.push('}');
        let padded = header.len().next_multiple_of(ALIGN);
        header.extend(std::iter::repeat_n(' ', padded - header.len()));
        let data_start = (8 + header.len()) as u64;
        for range in ranges.values_mut() {
            *range = data_start + range.start..data_start + range.end;
        }
        let file = staging.create(name, data_start + offset)?;
        file.write_at(0, &(header.len() as u64).to_le_bytes())?;
        file.write_at(8, header.as_bytes())?;
        Ok(ShardWriter { file, ranges, missing_bytes: offset })
    }

    /// Fills part of a tensor, `offset` bytes into it.
    pub(crate) fn write(&mut self, tensor: &str, offset: u64, content: &[u8]) -> Result<()> {
        let range = &self.ranges[tensor];
        let at = range.start + offset;
        assert!(at + content.len() as u64 <= range.end, "{tensor}: written past its end");
        self.file.write_at(at, content)?;
        self.missing_bytes -= content.len() as u64;
        Ok(())
    }

    /// Brings the complete file to disk.
    pub(crate) fn finish(self) -> Result<()> {
        assert_eq!(self.missing_bytes, 0, "tensors left unwritten");
        self.file.finish()
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // PANIC: strings, numbers and maps with string keys always serialise.
    serde_json::to_string(value).expect("plain data serialises")
}
