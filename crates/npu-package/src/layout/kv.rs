//! Key-value cache of one layer: where the key and value of a position lie, and how positions fall into slots.
//!
//! ```text
//! segment   [plane: K, V][lane: L][group: slots / 8][head in lane: H / L][record]            position p in slot p of a segment, 8 to a group
//!
//! record, bf16    K  [dt: d/8][half: 2][key: 4][8]      element d = 8 dt + i of the key in slot 8 g + 4 half + key
//!                 V  [dt: d/4][key: 8][4]               element d = 4 dt + i of the value in slot 8 g + key
//! record, int8    the same order in bytes, then one float32 scale for each of the 8 slots
//! ```
//!
//! A lane is what one array column streams: in bf16 4 x 8 x 4 products a K tile of 4 keys x 8 is the left operand of Kq, a V tile of 8 keys x 4 the
//! right operand of pV. A tile is row-major by key, so the DMA, which moves words of 4 bytes, can append one token without reading anything.
//! `docs/kv-cache.md` says why.

use std::ops::Range;

use super::LayoutError;
use super::shape::ARRAY_COLUMNS;

/// Slots of a group: keys of a V tile, two K tiles.
pub const KV_GROUP_SLOTS: usize = 8;
/// Bytes of a scale: one word of the DMA.
const SCALE_BYTES: usize = 4;
/// Keys of a K tile.
const K_TILE_KEYS: usize = 4;
/// Elements of a key in a K tile; head_dim is a multiple of this.
const K_TILE_DIM: usize = 8;
/// Elements of a value in a V tile.
const V_TILE_DIM: usize = 4;

/// Elements of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvFormat {
    /// bfloat16.
    Bf16,
    /// int8 codes with one float32 scale for each head and token.
    Int8,
}

impl KvFormat {
    /// Bytes of an element.
    pub const fn element_bytes(self) -> usize {
        match self {
            KvFormat::Bf16 => 2,
            KvFormat::Int8 => 1,
        }
    }
    /// Bytes of the scale that a head's key, or value, has for each token.
    pub const fn scale_bytes(self) -> usize {
        match self {
            KvFormat::Bf16 => 0,
            KvFormat::Int8 => SCALE_BYTES,
        }
    }
}

/// Half of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Keys after norm and rotation.
    Key,
    /// Values.
    Value,
}

/// Heads of a cache and what they are made of. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvHeads {
    kv_heads: usize,
    head_dim: usize,
    format: KvFormat,
}

impl KvHeads {
    /// The heads of a model, or the rule they break.
    pub fn new(kv_heads: usize, head_dim: usize, format: KvFormat) -> Result<Self, LayoutError> {
        if kv_heads == 0 || (kv_heads > ARRAY_COLUMNS && !kv_heads.is_multiple_of(ARRAY_COLUMNS)) {
            return Err(LayoutError::KvHeads { kv_heads });
        }
        if head_dim == 0 || !head_dim.is_multiple_of(K_TILE_DIM) {
            return Err(LayoutError::HeadDim { head_dim, multiple: K_TILE_DIM });
        }
        let fits = kv_heads.checked_mul(head_dim).is_some_and(|row| row < u32::MAX as usize);
        if fits { Ok(Self { kv_heads, head_dim, format }) } else { Err(LayoutError::TooLarge { buffer: "kv cache" }) }
    }

    /// Key-value heads.
    pub const fn kv_heads(&self) -> usize {
        self.kv_heads
    }
    /// Width of a head.
    pub const fn head_dim(&self) -> usize {
        self.head_dim
    }
    /// Elements.
    pub const fn format(&self) -> KvFormat {
        self.format
    }
    /// L: array columns that stream a share of the heads each.
    pub const fn lanes(&self) -> usize {
        if self.kv_heads < ARRAY_COLUMNS { self.kv_heads } else { ARRAY_COLUMNS }
    }
    /// H / L: heads of a lane, one for each compute tile of its column.
    pub const fn heads_per_lane(&self) -> usize {
        self.kv_heads / self.lanes()
    }
    /// Bytes of a record: 8 keys, or values, of one head.
    pub const fn record_bytes(&self) -> usize {
        KV_GROUP_SLOTS * (self.head_dim * self.format.element_bytes() + self.format.scale_bytes())
    }
    /// Bytes of a group of one lane and plane.
    pub const fn group_bytes(&self) -> usize {
        self.heads_per_lane() * self.record_bytes()
    }
    /// Bytes of the keys, or values, of all heads of a token.
    pub const fn row_bytes(&self) -> usize {
        self.kv_heads * self.record_bytes() / KV_GROUP_SLOTS
    }
    /// Bytes that a token takes in one layer: key and value of every head.
    pub const fn token_bytes(&self) -> usize {
        2 * self.row_bytes()
    }
}

/// A contiguous buffer for a number of slots of one layer. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSegment {
    heads: KvHeads,
    slots: usize,
}

/// How one token of one lane is written into a plane: the dimensions of a shim BD, in bytes, every number a multiple of 4.
///
/// The source is a stream of `heads` rows of `runs` · `run_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvAppend {
    /// Byte offset of the first run.
    pub offset: usize,
    /// Consecutive bytes.
    pub run_bytes: usize,
    /// Runs of a head.
    pub runs: usize,
    /// From one run to the next.
    pub run_stride: usize,
    /// Heads.
    pub heads: usize,
    /// From one head to the next.
    pub head_stride: usize,
}

impl KvSegment {
    /// A segment of `slots` slots, or the rule they break.
    pub fn new(heads: KvHeads, slots: usize) -> Result<Self, LayoutError> {
        if slots == 0 || !slots.is_multiple_of(KV_GROUP_SLOTS) {
            return Err(LayoutError::KvSlots { slots, multiple: KV_GROUP_SLOTS });
        }
        slots.checked_mul(heads.token_bytes()).ok_or(LayoutError::TooLarge { buffer: "kv cache" })?;
        Ok(Self { heads, slots })
    }

    /// Heads.
    pub const fn heads(&self) -> &KvHeads {
        &self.heads
    }
    /// Slots.
    pub const fn slots(&self) -> usize {
        self.slots
    }
    /// Groups of a lane.
    pub const fn groups(&self) -> usize {
        self.slots / KV_GROUP_SLOTS
    }
    /// Bytes of one lane of a plane.
    pub const fn lane_bytes(&self) -> usize {
        self.groups() * self.heads.group_bytes()
    }
    /// Bytes of a plane.
    pub const fn plane_bytes(&self) -> usize {
        self.heads.lanes() * self.lane_bytes()
    }
    /// Bytes of the segment.
    pub const fn bytes(&self) -> usize {
        2 * self.plane_bytes()
    }

    /// Byte offset of the first group of a lane.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn lane_offset(&self, plane: Plane, lane: usize) -> usize {
        assert!(lane < self.heads.lanes(), "no lane {lane}");
        let plane = match plane {
            Plane::Key => 0,
            Plane::Value => self.plane_bytes(),
        };
        plane + lane * self.lane_bytes()
    }

    /// Offset and length of what a column streams to read the groups of a range: one linear transfer.
    ///
    /// # Panics
    /// If there is no such lane or group.
    pub fn groups_span(&self, plane: Plane, lane: usize, groups: Range<usize>) -> (usize, usize) {
        assert!(groups.start <= groups.end && groups.end <= self.groups(), "no groups {groups:?}");
        let group_bytes = self.heads.group_bytes();
        (self.lane_offset(plane, lane) + groups.start * group_bytes, groups.len() * group_bytes)
    }

    /// Byte offset of the record that holds a slot of a head.
    fn record_offset(&self, plane: Plane, head: usize, slot: usize) -> usize {
        assert!(head < self.heads.kv_heads, "no key-value head {head}");
        assert!(slot < self.slots, "no slot {slot}");
        let (lane, in_lane) = (head / self.heads.heads_per_lane(), head % self.heads.heads_per_lane());
        self.lane_offset(plane, lane)
            + slot / KV_GROUP_SLOTS * self.heads.group_bytes()
            + in_lane * self.heads.record_bytes()
    }

    /// Byte offset of element `d` of the key or value of `head` in `slot`.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn offset(&self, plane: Plane, head: usize, slot: usize, d: usize) -> usize {
        assert!(d < self.heads.head_dim, "no element {d} in a head");
        let key = slot % KV_GROUP_SLOTS;
        let element = match plane {
            Plane::Key => {
                let (tile, half, key) = (d / K_TILE_DIM, key / K_TILE_KEYS, key % K_TILE_KEYS);
                ((tile * (KV_GROUP_SLOTS / K_TILE_KEYS) + half) * K_TILE_KEYS + key) * K_TILE_DIM + d % K_TILE_DIM
            }
            Plane::Value => (d / V_TILE_DIM * KV_GROUP_SLOTS + key) * V_TILE_DIM + d % V_TILE_DIM,
        };
        self.record_offset(plane, head, slot) + element * self.heads.format.element_bytes()
    }

    /// Writes the keys, or values, of all heads into a slot: `row` are the bytes of `[head][d]` elements, then, in an int8 cache, those of
    /// `[head]` scales.
    ///
    /// # Panics
    /// If there is no such slot, or `segment` or `row` has another size.
    pub fn put(&self, segment: &mut [u8], plane: Plane, slot: usize, row: &[u8]) {
        assert_eq!([segment.len(), row.len()], [self.bytes(), self.heads.row_bytes()], "segment and row");
        self.pieces(plane, slot, |at, of_row| segment[at..at + of_row.len()].copy_from_slice(&row[of_row]));
    }

    /// Reads a slot as [`KvSegment::put`] writes it.
    ///
    /// # Panics
    /// As [`KvSegment::put`].
    pub fn get(&self, segment: &[u8], plane: Plane, slot: usize, row: &mut [u8]) {
        assert_eq!([segment.len(), row.len()], [self.bytes(), self.heads.row_bytes()], "segment and row");
        self.pieces(plane, slot, |at, of_row| {
            let bytes = of_row.len();
            row[of_row].copy_from_slice(&segment[at..at + bytes]);
        });
    }

    /// Each element and scale of a slot: its byte offset, and its bytes in a row.
    fn pieces(&self, plane: Plane, slot: usize, mut piece: impl FnMut(usize, Range<usize>)) {
        let KvHeads { kv_heads, head_dim, format } = self.heads;
        let (bytes, scales) = (format.element_bytes(), kv_heads * head_dim * format.element_bytes());
        for head in 0..kv_heads {
            for d in 0..head_dim {
                let of_row = (head * head_dim + d) * bytes;
                piece(self.offset(plane, head, slot, d), of_row..of_row + bytes);
            }
            if let Some(at) = self.scale_offset(plane, head, slot) {
                let of_row = scales + head * SCALE_BYTES;
                piece(at, of_row..of_row + SCALE_BYTES);
            }
        }
    }

    /// Byte offset of the float32 scale of the key or value of `head` in `slot`; bfloat16 caches have none.
    ///
    /// # Panics
    /// If there is no such head or slot.
    pub fn scale_offset(&self, plane: Plane, head: usize, slot: usize) -> Option<usize> {
        match self.heads.format {
            KvFormat::Bf16 => None,
            KvFormat::Int8 => {
                let codes = KV_GROUP_SLOTS * self.heads.head_dim;
                Some(self.record_offset(plane, head, slot) + codes + slot % KV_GROUP_SLOTS * SCALE_BYTES)
            }
        }
    }

    /// How the elements of one token are written for all heads of a lane. Scales of an int8 cache follow by [`KvSegment::append_scales`].
    ///
    /// # Panics
    /// If there is no such lane or slot.
    pub fn append(&self, plane: Plane, lane: usize, slot: usize) -> KvAppend {
        let (heads, tile) = (&self.heads, plane.run_elements());
        assert!(lane < heads.lanes(), "no lane {lane}");
        let first = lane * heads.heads_per_lane();
        KvAppend {
            offset: self.offset(plane, first, slot, 0),
            run_bytes: tile * heads.format.element_bytes(),
            runs: heads.head_dim / tile,
            run_stride: KV_GROUP_SLOTS * tile * heads.format.element_bytes(),
            heads: heads.heads_per_lane(),
            head_stride: heads.record_bytes(),
        }
    }

    /// How the scales of one token are written for all heads of a lane; none in a bfloat16 cache.
    ///
    /// # Panics
    /// If there is no such lane or slot.
    pub fn append_scales(&self, plane: Plane, lane: usize, slot: usize) -> Option<KvAppend> {
        let heads = &self.heads;
        assert!(lane < heads.lanes(), "no lane {lane}");
        let offset = self.scale_offset(plane, lane * heads.heads_per_lane(), slot)?;
        Some(KvAppend {
            offset,
            run_bytes: SCALE_BYTES,
            runs: 1,
            run_stride: SCALE_BYTES,
            heads: heads.heads_per_lane(),
            head_stride: heads.record_bytes(),
        })
    }
}

impl Plane {
    /// Elements of a token that lie together in a tile.
    const fn run_elements(self) -> usize {
        match self {
            Plane::Key => K_TILE_DIM,
            Plane::Value => V_TILE_DIM,
        }
    }
}

impl KvAppend {
    /// Offset of byte `byte` of the source stream.
    ///
    /// # Panics
    /// If the stream is shorter.
    pub fn place(&self, byte: usize) -> usize {
        let row = self.runs * self.run_bytes;
        assert!(byte < self.heads * row, "no byte {byte} in the stream");
        let (head, run, rest) = (byte / row, byte % row / self.run_bytes, byte % self.run_bytes);
        self.offset + head * self.head_stride + run * self.run_stride + rest
    }
}

/// A run of slots that hold consecutive positions, in whole groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvRun {
    /// First slot, a multiple of 8.
    pub slot: usize,
    /// Its position, a multiple of 8. Slots before the first visible position or behind the last written one hold something else: mask them.
    pub position: usize,
    /// Slots, a multiple of 8.
    pub slots: usize,
}

/// Slots of a local layer: position p lies in slot p mod `slots`.
///
/// ```text
/// slots = window + chunk + 6, rounded up to a multiple of 8
/// ```
///
/// `chunk` new tokens are written before the first of them reads, and it sees window - 1 older keys. Seven slots more keep every group of 8 from
/// holding both new keys and old ones that are still visible, so that no group is read twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvRing {
    window: usize,
    chunk: usize,
    slots: usize,
}

impl KvRing {
    /// A ring for a window and at most `chunk` new tokens at once.
    pub fn new(window: usize, chunk: usize) -> Result<Self, LayoutError> {
        if window == 0 || chunk == 0 {
            return Err(LayoutError::KvRing { window, chunk });
        }
        let least = window.checked_add(chunk).and_then(|sum| sum.checked_add(KV_GROUP_SLOTS - 2));
        let slots = least.and_then(|least| least.checked_next_multiple_of(KV_GROUP_SLOTS));
        Ok(Self { window, chunk, slots: slots.ok_or(LayoutError::TooLarge { buffer: "kv cache" })? })
    }

    /// Keys a query sees, its own included.
    pub const fn window(&self) -> usize {
        self.window
    }
    /// New tokens at most.
    pub const fn chunk(&self) -> usize {
        self.chunk
    }
    /// Slots.
    pub const fn slots(&self) -> usize {
        self.slots
    }
    /// Slot of a position.
    pub const fn slot(&self, position: usize) -> usize {
        position % self.slots
    }

    /// What queries at `first..first + tokens` read, oldest first: one run, or two where the ring wraps.
    pub fn reads(&self, first: usize, tokens: usize) -> Result<Vec<KvRun>, LayoutError> {
        if tokens == 0 || tokens > self.chunk {
            return Err(LayoutError::KvChunk { tokens, chunk: self.chunk });
        }
        let start = (first + 1).saturating_sub(self.window) / KV_GROUP_SLOTS * KV_GROUP_SLOTS;
        let end = (first + tokens).next_multiple_of(KV_GROUP_SLOTS);
        let slot = self.slot(start);
        let before_wrap = (self.slots - slot).min(end - start);
        let mut runs = vec![KvRun { slot, position: start, slots: before_wrap }];
        if before_wrap < end - start {
            runs.push(KvRun { slot: 0, position: start + before_wrap, slots: end - start - before_wrap });
        }
        Ok(runs)
    }
}

/// Pages of a global layer: every page is a segment of its own, and the host keeps their addresses in order of position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvPages {
    page_slots: usize,
}

impl KvPages {
    /// Pages of `page_slots` positions; one page of the whole context is a linear cache.
    pub fn new(page_slots: usize) -> Result<Self, LayoutError> {
        if page_slots == 0 || !page_slots.is_multiple_of(KV_GROUP_SLOTS) {
            return Err(LayoutError::KvSlots { slots: page_slots, multiple: KV_GROUP_SLOTS });
        }
        Ok(Self { page_slots })
    }

    /// Positions of a page.
    pub const fn page_slots(&self) -> usize {
        self.page_slots
    }
    /// Pages of a context.
    pub const fn pages(&self, context: usize) -> usize {
        context.div_ceil(self.page_slots)
    }
    /// Page of a position, and the slot in it.
    pub const fn locate(&self, position: usize) -> (usize, usize) {
        (position / self.page_slots, position % self.page_slots)
    }
    /// What queries up to the last of `context` positions read of each page, in order.
    pub fn reads(&self, context: usize) -> Vec<(usize, KvRun)> {
        (0..self.pages(context))
            .map(|page| {
                let position = page * self.page_slots;
                let slots = self.page_slots.min((context - position).next_multiple_of(KV_GROUP_SLOTS));
                (page, KvRun { slot: 0, position, slots })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn heads_27b(format: KvFormat) -> KvHeads {
        KvHeads::new(16, 128, format).unwrap()
    }

    #[test]
    fn bytes_of_the_27b() {
        assert_eq!(heads_27b(KvFormat::Bf16).token_bytes(), 8192);
        assert_eq!(heads_27b(KvFormat::Int8).token_bytes(), 2 * 16 * (128 + 4));
        let segment = KvSegment::new(heads_27b(KvFormat::Bf16), 1024).unwrap();
        assert_eq!([segment.bytes(), segment.lane_bytes()], [8 << 20, 1 << 20]);
    }

    #[test]
    fn one_head_for_each_tile_of_four_columns() {
        let heads = heads_27b(KvFormat::Bf16);
        assert_eq!([heads.lanes(), heads.heads_per_lane(), heads.record_bytes()], [4, 4, 2048]);
        let tiny = KvHeads::new(2, 128, KvFormat::Bf16).unwrap();
        assert_eq!([tiny.lanes(), tiny.heads_per_lane()], [2, 1]);
    }

    #[test]
    fn offsets_as_documented() {
        let segment = KvSegment::new(heads_27b(KvFormat::Bf16), 64).unwrap();
        // Head 6 is the third of lane 1; slot 13 is key 5 of group 1: half 1, key 1. Element 19 lies in K tile 2 at 3, in V tile 4 at 3.
        let at = |plane: usize| 8 * 8192 * plane + 8192 * (8 + 1) + 2048 * 2;
        assert_eq!(segment.offset(Plane::Key, 6, 13, 19), at(0) + 2 * ((2 * 2 + 1) * 32 + 8 + 3));
        assert_eq!(segment.offset(Plane::Value, 6, 13, 19), at(4) + 2 * (4 * 32 + 5 * 4 + 3));
        assert_eq!(segment.scale_offset(Plane::Key, 6, 13), None);
        let int8 = KvSegment::new(heads_27b(KvFormat::Int8), 64).unwrap();
        assert_eq!(int8.scale_offset(Plane::Key, 6, 13), Some(9 * 4 * 1056 + 2 * 1056 + 1024 + 5 * 4));
    }

    #[test]
    fn rows_hold_elements_and_then_scales() {
        for format in [KvFormat::Bf16, KvFormat::Int8] {
            let segment = KvSegment::new(KvHeads::new(8, 32, format).unwrap(), 16).unwrap();
            let bytes = segment.heads().row_bytes();
            assert_eq!(bytes, 8 * (32 * format.element_bytes() + format.scale_bytes()));
            let row = |n: usize| -> Vec<u8> { (0..bytes).map(|i| (n * 83 + i * 7) as u8).collect() };
            let places = || (0..16).flat_map(|slot| [(slot, Plane::Key), (slot, Plane::Value)]);
            let mut all = vec![0; segment.bytes()];
            places().enumerate().for_each(|(n, (slot, plane))| segment.put(&mut all, plane, slot, &row(n)));
            let mut found = vec![0; bytes];
            for (n, (slot, plane)) in places().enumerate() {
                segment.get(&all, plane, slot, &mut found);
                assert_eq!(found, row(n), "{format:?}, slot {slot}");
            }
        }
        let int8 = KvSegment::new(KvHeads::new(8, 32, KvFormat::Int8).unwrap(), 16).unwrap();
        let mut all = vec![0; int8.bytes()];
        let row: Vec<u8> = (0..8 * 32).map(|i| i as u8).chain((0..8).flat_map(|h| (h as f32).to_le_bytes())).collect();
        int8.put(&mut all, Plane::Value, 9, &row);
        assert_eq!(all[int8.offset(Plane::Value, 5, 9, 7)], 5 * 32 + 7);
        let at = int8.scale_offset(Plane::Value, 5, 9).unwrap();
        assert_eq!(all[at..at + 4], 5f32.to_le_bytes());
        let bf16 = KvSegment::new(KvHeads::new(8, 32, KvFormat::Bf16).unwrap(), 16).unwrap();
        let mut all = vec![0; bf16.bytes()];
        bf16.put(
            &mut all,
            Plane::Value,
            9,
            &(0..256).flat_map(|i| (1000 + i as u16).to_le_bytes()).collect::<Vec<_>>(),
        );
        let at = bf16.offset(Plane::Value, 5, 9, 7);
        assert_eq!(all[at..at + 2], (1000u16 + 5 * 32 + 7).to_le_bytes());
    }

    #[test]
    fn what_a_tile_cannot_hold_is_refused() {
        let refused = |kv_heads, head_dim| KvHeads::new(kv_heads, head_dim, KvFormat::Bf16).unwrap_err();
        assert_eq!(refused(6, 128), LayoutError::KvHeads { kv_heads: 6 });
        assert_eq!(refused(0, 128), LayoutError::KvHeads { kv_heads: 0 });
        assert_eq!(refused(16, 100), LayoutError::HeadDim { head_dim: 100, multiple: 8 });
        assert_eq!(refused(4 << 40, 1 << 20), LayoutError::TooLarge { buffer: "kv cache" });
        let heads = heads_27b(KvFormat::Bf16);
        assert_eq!(KvSegment::new(heads, 20).unwrap_err(), LayoutError::KvSlots { slots: 20, multiple: 8 });
        assert_eq!(KvSegment::new(heads, 1 << 60).unwrap_err(), LayoutError::TooLarge { buffer: "kv cache" });
        assert_eq!(KvPages::new(0).unwrap_err(), LayoutError::KvSlots { slots: 0, multiple: 8 });
        assert_eq!(KvRing::new(0, 4).unwrap_err(), LayoutError::KvRing { window: 0, chunk: 4 });
        let ring = KvRing::new(1024, 4).unwrap();
        assert_eq!(ring.reads(0, 5).unwrap_err(), LayoutError::KvChunk { tokens: 5, chunk: 4 });
    }

    #[test]
    fn rings_of_the_27b() {
        let slots = |chunk| KvRing::new(1024, chunk).unwrap().slots();
        assert_eq!([slots(1), slots(4), slots(512), slots(2048)], [1032, 1040, 1544, 3080]);
    }

    #[test]
    fn a_ring_wraps_into_two_runs() {
        let ring = KvRing::new(1024, 4).unwrap();
        assert_eq!(ring.reads(0, 1).unwrap(), [KvRun { slot: 0, position: 0, slots: 8 }]);
        assert_eq!(ring.reads(1023, 1).unwrap(), [KvRun { slot: 0, position: 0, slots: 1024 }]);
        // Positions 1040 .. 1043 lie in slots 0 .. 3; the oldest visible key is 17, in the group at 16.
        assert_eq!(
            ring.reads(1040, 4).unwrap(),
            [KvRun { slot: 16, position: 16, slots: 1024 }, KvRun { slot: 0, position: 1040, slots: 8 }]
        );
    }

    #[test]
    fn a_context_fills_its_last_page_by_groups() {
        let pages = KvPages::new(256).unwrap();
        assert_eq!(pages.locate(1000), (3, 232));
        let reads = pages.reads(513);
        assert_eq!(reads.len(), 3);
        assert_eq!(reads[2], (2, KvRun { slot: 0, position: 512, slots: 8 }));
        assert!(pages.reads(0).is_empty());
    }

    fn any_heads() -> impl Strategy<Value = KvHeads> {
        let kv_heads = prop::sample::select(vec![1usize, 2, 3, 4, 8, 16]);
        let format = prop::sample::select(vec![KvFormat::Bf16, KvFormat::Int8]);
        (kv_heads, 1usize..5, format).prop_map(|(heads, d, format)| KvHeads::new(heads, 8 * d, format).unwrap())
    }

    proptest! {
        #[test]
        fn every_byte_belongs_to_exactly_one_element_or_scale(heads in any_heads(), groups in 1usize..4) {
            let segment = KvSegment::new(heads, 8 * groups).unwrap();
            let mut owned = vec![0u8; segment.bytes()];
            let mut own = |offset: usize, bytes: usize| owned[offset..offset + bytes].iter_mut().for_each(|count| *count += 1);
            for plane in [Plane::Key, Plane::Value] {
                for head in 0..heads.kv_heads() {
                    for slot in 0..segment.slots() {
                        (0..heads.head_dim()).for_each(|d| own(segment.offset(plane, head, slot, d), heads.format().element_bytes()));
                        if let Some(offset) = segment.scale_offset(plane, head, slot) {
                            own(offset, 4);
                        }
                    }
                }
            }
            prop_assert!(owned.iter().all(|count| *count == 1));
            prop_assert_eq!(segment.bytes(), segment.slots() * heads.token_bytes());
        }

        #[test]
        fn an_append_writes_the_elements_of_its_token_in_words(heads in any_heads(), slot in 0usize..24) {
            let segment = KvSegment::new(heads, 24).unwrap();
            let bytes = heads.format().element_bytes();
            for plane in [Plane::Key, Plane::Value] {
                for lane in 0..heads.lanes() {
                    let append = segment.append(plane, lane, slot);
                    let numbers = [append.offset, append.run_bytes, append.run_stride, append.head_stride];
                    prop_assert!(numbers.iter().all(|n| n.is_multiple_of(4)), "{:?}", append);
                    for row in 0..append.heads {
                        let head = lane * heads.heads_per_lane() + row;
                        for d in 0..heads.head_dim() {
                            let place = append.place((row * heads.head_dim() + d) * bytes);
                            prop_assert_eq!(place, segment.offset(plane, head, slot, d));
                        }
                        let scale = segment.append_scales(plane, lane, slot).map(|append| append.place(4 * row));
                        prop_assert_eq!(scale, segment.scale_offset(plane, head, slot));
                    }
                }
            }
        }

        #[test]
        fn a_span_of_groups_holds_the_heads_of_its_lane_and_nothing_else(heads in any_heads(), start in 0usize..4, count in 0usize..3) {
            let segment = KvSegment::new(heads, 56).unwrap();
            for plane in [Plane::Key, Plane::Value] {
                for head in 0..heads.kv_heads() {
                    let lane = head / heads.heads_per_lane();
                    let (offset, bytes) = segment.groups_span(plane, lane, start..start + count);
                    for slot in 0..segment.slots() {
                        let inside = (offset..offset + bytes).contains(&segment.offset(plane, head, slot, heads.head_dim() - 1));
                        prop_assert_eq!(inside, (start..start + count).contains(&(slot / 8)));
                    }
                }
            }
        }

        #[test]
        fn a_ring_reads_every_visible_position_once_and_from_its_slot(
            window in 1usize..40, chunk in 1usize..20, first in 0usize..200, tokens in 1usize..20
        ) {
            prop_assume!(tokens <= chunk);
            let ring = KvRing::new(window, chunk).unwrap();
            // The slots as they stand once positions 0 .. first + tokens have been written.
            let mut held = vec![None; ring.slots()];
            (0..first + tokens).for_each(|position| held[ring.slot(position)] = Some(position));
            let runs = ring.reads(first, tokens).unwrap();
            let read: Vec<usize> = runs.iter().flat_map(|run| run.slot..run.slot + run.slots).collect();
            let groups: BTreeSet<usize> = read.iter().map(|slot| slot / 8).collect();
            prop_assert_eq!(groups.len() * 8, read.len(), "no group is read twice");
            prop_assert!(runs.iter().all(|run| [run.slot, run.position, run.slots].iter().all(|n| n.is_multiple_of(8))));
            for position in (first + 1).saturating_sub(window)..first + tokens {
                let run = runs.iter().find(|run| (run.position..run.position + run.slots).contains(&position)).unwrap();
                prop_assert_eq!(held[run.slot + position - run.position], Some(position));
            }
        }

        #[test]
        fn pages_hold_every_position_once(page_groups in 1usize..5, context in 0usize..200) {
            let pages = KvPages::new(8 * page_groups).unwrap();
            let reads = pages.reads(context);
            let covered: usize = reads.iter().map(|(_, run)| run.slots).sum();
            prop_assert_eq!(covered, context.next_multiple_of(8));
            for position in 0..context {
                let (page, slot) = pages.locate(position);
                prop_assert_eq!(reads[page].1.position + slot, position);
            }
        }
    }
}
