//! Keys and values of positions before the new ones, by position: independent of the slots that some package's cache has for them.
//!
//! A file is safetensors; notes `format` (`bennu-cache-1`), `layer` and `first`, the position of the first row. Keys are those after norm and rotation.
//!
//! ```text
//! BF16 cache   keys, values              BF16 [positions, heads, head_dim]
//! INT8 cache   keys, values              I8   [positions, heads, head_dim]        codes, as the NPU wrote them
//!              key_scales, value_scales  F32  [positions, heads]                  an element is its code times its scale
//! ```
//!
//! Elements are moved, never converted: a cache of one kind does not serve kernels of the other.

use std::fs;
use std::path::Path;

use npu_package::layout::{KvFormat, KvHeads, KvSegment, Plane};
use safetensors::Dtype;

use super::seeded::{SCALE, Stream, seeded, seeded_codes};
use super::tensors::{FileError, bytes, halves, open, problem, write_safetensors};
use crate::error::Error;

/// What a cache file calls itself.
const FORMAT: &str = "bennu-cache-1";

/// Keys and values of consecutive positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The first position.
    pub first: usize,
    /// A row for each position, as [`KvSegment::put`] takes it.
    pub keys: Vec<u8>,
    /// Likewise.
    pub values: Vec<u8>,
    heads: KvHeads,
}

/// A number that is none.
pub(crate) struct NotFinite {
    pub what: &'static str,
    pub position: usize,
    pub column: usize,
    pub value: f32,
}

impl Past {
    /// No position.
    pub fn empty(heads: KvHeads) -> Self {
        Past { first: 0, keys: Vec::new(), values: Vec::new(), heads }
    }

    /// Pseudo-random keys and values for the positions that a query at `end` sees, as [`seeded`] makes them; in an INT8 cache codes with a scale of 1/32.
    pub fn seeded(seed: u64, end: usize, window: Option<usize>, heads: KvHeads) -> Self {
        let (first, row) = (first_visible(end, window), heads.kv_heads() * heads.head_dim());
        let of = |stream| {
            let (from, count) = (first * row, (end - first) * row);
            match heads.format() {
                KvFormat::Bf16 => bytes(&seeded(seed, stream, from, count)),
                KvFormat::Int8 => {
                    let scales = SCALE.to_le_bytes().repeat(heads.kv_heads());
                    let codes = seeded_codes(seed, stream, from, count);
                    codes.chunks_exact(row).flat_map(|codes| [codes, &scales].concat()).collect()
                }
            }
        };
        Past { first, keys: of(Stream::Keys), values: of(Stream::Values), heads }
    }

    /// What its elements are.
    pub fn heads(&self) -> &KvHeads {
        &self.heads
    }

    /// One past the last position.
    pub fn end(&self) -> usize {
        self.first + self.keys.len() / self.heads.row_bytes()
    }

    /// Whether everything is here that a query at `position` sees of earlier positions.
    pub fn serves(&self, position: usize, window: Option<usize>) -> bool {
        let first = first_visible(position, window);
        first == position || (self.first <= first && self.end() >= position)
    }

    /// The first element or scale that is no finite number.
    pub(crate) fn not_finite(&self) -> Option<NotFinite> {
        let elements = self.heads.kv_heads() * self.heads.head_dim();
        let of = |what: &'static str, rows: &[u8]| {
            rows.chunks_exact(self.heads.row_bytes()).enumerate().find_map(|(at, row)| {
                let numbers: Vec<f32> = match self.heads.format() {
                    KvFormat::Bf16 => {
                        halves(row).into_iter().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()
                    }
                    KvFormat::Int8 => {
                        row[elements..].as_chunks().0.iter().map(|&scale| f32::from_le_bytes(scale)).collect()
                    }
                };
                let column = numbers.iter().position(|number| !number.is_finite())?;
                Some(NotFinite { what, position: at, column, value: numbers[column] })
            })
        };
        let [keys, values] = match self.heads.format() {
            KvFormat::Bf16 => ["keys", "values"],
            KvFormat::Int8 => ["scales of keys", "scales of values"],
        };
        of(keys, &self.keys).or_else(|| of(values, &self.values))
    }

    /// Puts positions before `end` into their slots, position p into p mod slots; the rest of the segment is zero.
    ///
    /// # Panics
    /// If the segment's heads are others.
    pub fn segment(&self, segment: &KvSegment, end: usize) -> Vec<u8> {
        assert_eq!(*segment.heads(), self.heads, "heads of segment and rows");
        let (mut out, bytes) = (vec![0; segment.bytes()], self.heads.row_bytes());
        let first = self.first.max(end.saturating_sub(segment.slots()));
        for position in first..end.min(self.end()) {
            let row = (position - self.first) * bytes;
            for (plane, rows) in [(Plane::Key, &self.keys), (Plane::Value, &self.values)] {
                segment.put(&mut out, plane, position % segment.slots(), &rows[row..row + bytes]);
            }
        }
        out
    }

    /// The positions before `end` that a query at `end` sees, from a segment that holds them.
    pub fn of_segment(segment: &KvSegment, contents: &[u8], end: usize, window: Option<usize>) -> Self {
        let (heads, first) = (*segment.heads(), first_visible(end, window));
        let rows = |plane| {
            let mut rows = vec![0; (end - first) * heads.row_bytes()];
            for (position, row) in (first..end).zip(rows.chunks_exact_mut(heads.row_bytes())) {
                segment.get(contents, plane, position % segment.slots(), row);
            }
            rows
        };
        Past { first, keys: rows(Plane::Key), values: rows(Plane::Value), heads }
    }

    /// Reads a cache file of a layer.
    ///
    /// # Errors
    /// A file of something else, of another layer, of other heads or other elements.
    pub fn read(path: &Path, layer: usize, heads: KvHeads) -> Result<Self, FileError> {
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
        let (kv_heads, head_dim) = (heads.kv_heads(), heads.head_dim());
        let part = |name: &str, needed: Dtype, inner: &[usize]| {
            let tensor = file.tensor(name).map_err(|error| problem(path, error.to_string()))?;
            let (dtype, shape) = (tensor.dtype(), tensor.shape());
            if dtype != needed || shape.len() != 1 + inner.len() || !shape.ends_with(inner) {
                let inner = inner.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                let rule = format!("{name} is {dtype:?} {shape:?}; {needed:?} [positions, {inner}] is needed");
                return Err(problem(path, rule));
            }
            Ok((shape[0], tensor.data().to_vec()))
        };
        let rows = |name: &str, scales: &str| match heads.format() {
            KvFormat::Bf16 => part(name, Dtype::BF16, &[kv_heads, head_dim]),
            KvFormat::Int8 => {
                let (positions, codes) = part(name, Dtype::I8, &[kv_heads, head_dim])?;
                let (scaled, scales) = part(scales, Dtype::F32, &[kv_heads])?;
                if scaled != positions {
                    return Err(problem(path, format!("{name} and their scales are of different positions")));
                }
                let rows = codes.chunks_exact(kv_heads * head_dim).zip(scales.chunks_exact(4 * kv_heads));
                Ok((positions, rows.flat_map(|(codes, scales)| [codes, scales].concat()).collect()))
            }
        };
        let ((of_keys, keys), (of_values, values)) = (rows("keys", "key_scales")?, rows("values", "value_scales")?);
        if of_keys != of_values {
            return Err(problem(path, "keys and values of different positions").into());
        }
        Ok(Past { first, keys, values, heads })
    }

    /// Writes a cache file of a layer.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn write(&self, path: &Path, layer: usize) -> Result<(), FileError> {
        let (kv_heads, head_dim) = (self.heads.kv_heads(), self.heads.head_dim());
        let (positions, elements) =
            (self.end() - self.first, kv_heads * head_dim * self.heads.format().element_bytes());
        let split = |rows: &[u8]| -> [Vec<u8>; 2] {
            let rows = || rows.chunks_exact(self.heads.row_bytes());
            [
                rows().flat_map(|row| row[..elements].to_vec()).collect(),
                rows().flat_map(|row| row[elements..].to_vec()).collect(),
            ]
        };
        let dtype = match self.heads.format() {
            KvFormat::Bf16 => Dtype::BF16,
            KvFormat::Int8 => Dtype::I8,
        };
        let ([keys, key_scales], [values, value_scales]) = (split(&self.keys), split(&self.values));
        let (shape, scales) = (vec![positions, kv_heads, head_dim], vec![positions, kv_heads]);
        let mut tensors = vec![("keys", dtype, shape.clone(), &keys[..]), ("values", dtype, shape, &values)];
        if self.heads.format() == KvFormat::Int8 {
            tensors.push(("key_scales", Dtype::F32, scales.clone(), &key_scales));
            tensors.push(("value_scales", Dtype::F32, scales, &value_scales));
        }
        let notes = [("format", FORMAT.to_owned()), ("layer", layer.to_string()), ("first", self.first.to_string())];
        write_safetensors(path, &tensors, &notes)
    }
}

/// The oldest position that a query at `position` sees.
fn first_visible(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (position + 1).saturating_sub(window))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [KvFormat; 2] = [KvFormat::Bf16, KvFormat::Int8];

    fn heads(format: KvFormat) -> KvHeads {
        KvHeads::new(4, 32, format).unwrap()
    }

    fn segment(format: KvFormat, slots: usize) -> KvSegment {
        KvSegment::new(heads(format), slots).unwrap()
    }

    #[test]
    fn positions_survive_segments_of_any_size() {
        for format in FORMATS {
            let past = Past::seeded(5, 100, Some(24), heads(format));
            assert_eq!((past.first, past.end()), (77, 100));
            for slots in [32, 40, 104] {
                let contents = past.segment(&segment(format, slots), 100);
                let found = Past::of_segment(&segment(format, slots), &contents, 100, Some(24));
                assert_eq!(found, past, "{format:?}, {slots}");
            }
            let whole = Past::seeded(5, 9, None, heads(format));
            let small = segment(format, 16);
            assert_eq!(Past::of_segment(&small, &whole.segment(&small, 9), 9, None), whole);
            let row = heads(format).row_bytes();
            assert_eq!(whole.keys[5 * row..][..row], Past::seeded(5, 10, None, heads(format)).keys[5 * row..][..row]);
        }
    }

    #[test]
    fn what_a_query_sees_must_be_there() {
        let past = Past::seeded(5, 100, Some(24), heads(KvFormat::Bf16));
        let served: Vec<usize> = (0..110).filter(|&at| past.serves(at, Some(24))).collect();
        assert_eq!(served, [0, 100]);
        assert!(past.serves(90, Some(10)) && !past.serves(101, Some(24)) && !past.serves(100, None));
        let none = Past::empty(heads(KvFormat::Bf16));
        assert!(none.serves(0, None) && none.serves(0, Some(8)) && !none.serves(1, None));
        assert!(none.serves(7, Some(1)), "a window of one key sees nothing earlier");
        let segment = segment(KvFormat::Bf16, 8);
        assert_eq!(none.segment(&segment, 0), vec![0; segment.bytes()]);
    }

    #[test]
    fn codes_of_a_seed_are_whole_and_their_scales_one() {
        let past = Past::seeded(7, 20, None, heads(KvFormat::Int8));
        let rows: Vec<_> = past.keys.chunks_exact(4 * 32 + 4 * 4).collect();
        assert!(rows.iter().all(|row| row[128..] == 0.03125f32.to_le_bytes().repeat(4)[..]));
        let codes: Vec<i8> = rows.iter().flat_map(|row| row[..128].iter().map(|&code| code as i8)).collect();
        assert!(codes.iter().all(|&code| code > -128) && codes.iter().any(|&code| code > 60), "{codes:?}");
        assert!(past.not_finite().is_none());
        let mut broken = past.clone();
        broken.values[3 * 144 + 128 + 8..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let found = broken.not_finite().expect("a scale is no number");
        assert_eq!((found.what, found.position, found.column), ("scales of values", 3, 2));
    }

    #[test]
    fn files_are_read_back_and_others_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.safetensors");
        for format in FORMATS {
            let past = Past::seeded(1, 20, Some(8), heads(format));
            past.write(&path, 3).unwrap();
            assert_eq!(Past::read(&path, 3, heads(format)).unwrap(), past);
        }
        let refused = |layer, heads| Past::read(&path, layer, heads).unwrap_err().to_string();
        assert!(
            refused(3, heads(KvFormat::Bf16)).ends_with("keys is I8 [7, 4, 32]; BF16 [positions, 4, 32] is needed")
        );
        Past::seeded(1, 20, Some(8), heads(KvFormat::Bf16)).write(&path, 3).unwrap();
        assert!(refused(2, heads(KvFormat::Bf16)).ends_with("the cache of layer 3; layer 2 is needed"));
        let more = KvHeads::new(8, 32, KvFormat::Bf16).unwrap();
        assert!(refused(3, more).ends_with("keys is BF16 [7, 4, 32]; BF16 [positions, 8, 32] is needed"));
        assert!(
            refused(3, heads(KvFormat::Int8)).ends_with("keys is BF16 [7, 4, 32]; I8 [positions, 4, 32] is needed")
        );
        super::super::tensors::write_tensor(&path, "o", 1, 2, &[0, 0]).unwrap();
        assert!(refused(3, heads(KvFormat::Bf16)).contains("not a cache that"));
        fs::write(&path, b"x").unwrap();
        assert!(refused(3, heads(KvFormat::Bf16)).contains("cache.safetensors"));
    }
}
