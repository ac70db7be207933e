//! Keys and values of positions before the new ones, by position: independent of the slots that some package's cache has for them.
//!
//! A file is safetensors: `keys` and `values`, BF16 [positions, heads, head_dim], keys after norm and rotation; notes `format`
//! (`bennu-cache-1`), `layer` and `first`, the position of the first row.

use std::fs;
use std::path::Path;

use npu_package::layout::{KvSegment, Plane};

use super::seeded::{Stream, seeded};
use super::tensors::{FileError, bytes, halves, open, problem, write_safetensors};
use crate::error::Error;

/// What a cache file calls itself.
const FORMAT: &str = "bennu-cache-1";

/// Keys and values of consecutive positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The first position.
    pub first: usize,
    /// bfloat16 bits, `[position][head][d]`.
    pub keys: Vec<u16>,
    /// Likewise.
    pub values: Vec<u16>,
    row: usize,
}

impl Past {
    /// No position.
    pub fn empty(kv_heads: usize, head_dim: usize) -> Self {
        Past { first: 0, keys: Vec::new(), values: Vec::new(), row: kv_heads * head_dim }
    }

    /// Pseudo-random keys and values for the positions that a query at `end` sees, as [`seeded`] makes them.
    pub fn seeded(seed: u64, end: usize, window: Option<usize>, kv_heads: usize, head_dim: usize) -> Self {
        let (first, row) = (first_visible(end, window), kv_heads * head_dim);
        let of = |stream| seeded(seed, stream, first * row, (end - first) * row);
        Past { first, keys: of(Stream::Keys), values: of(Stream::Values), row }
    }

    /// One past the last position.
    pub fn end(&self) -> usize {
        self.first + self.keys.len() / self.row
    }

    /// Whether everything is here that a query at `position` sees of earlier positions.
    pub fn serves(&self, position: usize, window: Option<usize>) -> bool {
        let first = first_visible(position, window);
        first == position || (self.first <= first && self.end() >= position)
    }

    /// Puts positions before `end` into their slots, position p into p mod slots; the rest of the segment is zero.
    pub fn segment(&self, segment: &KvSegment, end: usize) -> Vec<u8> {
        let mut out = vec![0; segment.bytes()];
        let first = self.first.max(end.saturating_sub(segment.slots()));
        for position in first..end.min(self.end()) {
            let row = (position - self.first) * self.row;
            for (plane, rows) in [(Plane::Key, &self.keys), (Plane::Value, &self.values)] {
                segment.put(&mut out, plane, position % segment.slots(), &rows[row..row + self.row]);
            }
        }
        out
    }

    /// The positions before `end` that a query at `end` sees, from a segment that holds them.
    pub fn of_segment(segment: &KvSegment, contents: &[u8], end: usize, window: Option<usize>) -> Self {
        let row = segment.heads().kv_heads() * segment.heads().head_dim();
        let first = first_visible(end, window);
        let rows = |plane| {
            let mut rows = vec![0; (end - first) * row];
            for (position, row) in (first..end).zip(rows.chunks_exact_mut(row)) {
                segment.get(contents, plane, position % segment.slots(), row);
            }
            rows
        };
        Past { first, keys: rows(Plane::Key), values: rows(Plane::Value), row }
    }

    /// Reads a cache file of a layer.
    ///
    /// # Errors
    /// A file of something else, of another layer or of other heads.
    pub fn read(path: &Path, layer: usize, kv_heads: usize, head_dim: usize) -> Result<Self, FileError> {
        let contents = fs::read(path).map_err(|source| Error::read("read", path, source))?;
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&contents).map_err(|error| problem(path, error.to_string()))?;
        let note = |name: &str| header.metadata().as_ref()?.get(name).map(String::as_str);
        if note("format") != Some(FORMAT) {
            return Err(problem(path, format!("not a cache that `bennu attend --cache-out` wrote ({FORMAT})")).into());
        }
        let number = |name| note(name).and_then(|value| value.parse::<usize>().ok());
        let (Some(of_layer), Some(first)) = (number("layer"), number("first")) else {
            return Err(problem(path, "its layer or its first position is not told").into());
        };
        if of_layer != layer {
            return Err(problem(path, format!("the cache of layer {of_layer}; layer {layer} is needed")).into());
        }
        let file = open(path, &contents)?;
        let rows = |name: &str| {
            let tensor = file.tensor(name).map_err(|error| problem(path, error.to_string()))?;
            let (dtype, shape) = (tensor.dtype(), tensor.shape());
            if dtype != safetensors::Dtype::BF16 || !matches!(shape, [_, h, d] if (*h, *d) == (kv_heads, head_dim)) {
                let rule = format!("{name} is {dtype:?} {shape:?}; BF16 [positions, {kv_heads}, {head_dim}] is needed");
                return Err(problem(path, rule));
            }
            Ok(halves(tensor.data()))
        };
        let (keys, values) = (rows("keys")?, rows("values")?);
        if keys.len() != values.len() {
            return Err(problem(path, "keys and values of different positions").into());
        }
        Ok(Past { first, keys, values, row: kv_heads * head_dim })
    }

    /// Writes a cache file of a layer.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn write(&self, path: &Path, layer: usize, kv_heads: usize, head_dim: usize) -> Result<(), FileError> {
        let shape = vec![self.keys.len() / self.row, kv_heads, head_dim];
        let notes = [("format", FORMAT.to_owned()), ("layer", layer.to_string()), ("first", self.first.to_string())];
        let (keys, values) = (bytes(&self.keys), bytes(&self.values));
        write_safetensors(path, &[("keys", shape.clone(), &keys), ("values", shape, &values)], &notes)
    }
}

/// The oldest position that a query at `position` sees.
fn first_visible(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (position + 1).saturating_sub(window))
}

#[cfg(test)]
mod tests {
    use npu_package::layout::{KvFormat, KvHeads};

    use super::*;

    fn segment(slots: usize) -> KvSegment {
        KvSegment::new(KvHeads::new(4, 32, KvFormat::Bf16).unwrap(), slots).unwrap()
    }

    #[test]
    fn positions_survive_segments_of_any_size() {
        let past = Past::seeded(5, 100, Some(24), 4, 32);
        assert_eq!((past.first, past.end()), (77, 100));
        for slots in [32, 40, 104] {
            let contents = past.segment(&segment(slots), 100);
            assert_eq!(Past::of_segment(&segment(slots), &contents, 100, Some(24)), past, "{slots}");
        }
        let whole = Past::seeded(5, 9, None, 4, 32);
        assert_eq!(Past::of_segment(&segment(16), &whole.segment(&segment(16), 9), 9, None), whole);
        assert_eq!(whole.keys[77 % 9 * 128..][..128], Past::seeded(5, 10, None, 4, 32).keys[77 % 9 * 128..][..128]);
    }

    #[test]
    fn what_a_query_sees_must_be_there() {
        let past = Past::seeded(5, 100, Some(24), 4, 32);
        let served: Vec<usize> = (0..110).filter(|&at| past.serves(at, Some(24))).collect();
        assert_eq!(served, [0, 100]);
        assert!(past.serves(90, Some(10)) && !past.serves(101, Some(24)) && !past.serves(100, None));
        let none = Past::empty(4, 32);
        assert!(none.serves(0, None) && none.serves(0, Some(8)) && !none.serves(1, None));
        assert!(none.serves(7, Some(1)), "a window of one key sees nothing earlier");
        assert_eq!(none.segment(&segment(8), 0), vec![0; segment(8).bytes()]);
    }

    #[test]
    fn files_are_read_back_and_others_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.safetensors");
        let past = Past::seeded(1, 20, Some(8), 4, 32);
        past.write(&path, 3, 4, 32).unwrap();
        assert_eq!(Past::read(&path, 3, 4, 32).unwrap(), past);
        let refused = |layer, heads| Past::read(&path, layer, heads, 32).unwrap_err().to_string();
        assert!(refused(2, 4).ends_with("the cache of layer 3; layer 2 is needed"));
        assert!(refused(3, 8).ends_with("keys is BF16 [7, 4, 32]; BF16 [positions, 8, 32] is needed"));
        super::super::tensors::write_tensor(&path, "o", 1, 2, &[0, 0]).unwrap();
        assert!(refused(3, 4).contains("not a cache that"));
        fs::write(&path, b"x").unwrap();
        assert!(refused(3, 4).contains("cache.safetensors"));
    }
}
