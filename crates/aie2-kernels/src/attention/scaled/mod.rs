//! `scaled_attention`: ctx[i][h] = Σⱼ softmaxⱼ(q[i][h] · k[j][h/2]) v[j][h/2], prefill, on sixteen compute tiles. Spec, bit for bit: `oracle::flash::head`.
//!
//! BF16 queries, scaled by log₂ e / √168, of 1 to 8192 new positions behind any history; BF16 keys and values in the cache of `docs/kv-cache.md`, the
//! new ones appended. A layer sees all keys up to the query's or the last `window` of them.
//!
//! `scaled_attention_kv8` reads an INT8 cache, whose codes become bfloat16 operands in the rings ([`coded`]); its spec is `oracle::flash::head_coded`.
//!
//! ```text
//! q      [S][2 · H][128] bf16                     H key-value heads, head 2 h and 2 h + 1 read h
//! cache  segments; the slots that are read hold finite values, whatever they mean
//! plan   [32 groups]{blocks, distance} | header | zeros for positions behind the last      `ScaledAttention::plan`
//! ctx    [S][2 · H][128] bf16
//! ```
//!
//! **Mapping.** All tiles work on one head at a time: core (c, r) has positions 64 c + 16 r .. + 16 of a group of 256. K travels on all four A streams,
//! V on all four B streams, and every core sees every block of 32 keys of its group in step with the others; it skips those hidden from it. One
//! program, with its numbers from the plan, serves every S and history. The design: `docs/attention-design.md`.

mod array;
pub mod coded;
pub(crate) mod l1;
pub mod mask;
mod program;
pub mod queries;
pub(crate) mod stream;

use aie2_array::runtime::Stream;
use aie2_codegen::Program;
use npu_package::layout::names;
use npu_package::layout::{KV_GROUP_SLOTS, KvFormat, KvHeads, KvPages, KvRing, KvSegment};

use crate::grid::on_every_core;
use crate::{Compiled, CoreBinary, Dtype, KernelError, Operand};

pub use program::emit;

pub use crate::grid::{GRID, Locks};

/// Name of the kernel in packages.
pub const NAME: &str = "scaled_attention";
/// Name of the kernel that reads an INT8 cache.
pub const NAME_KV8: &str = "scaled_attention_kv8";

/// Positions of a core in a group.
pub const TILE: usize = 16;
/// Positions of a group.
pub const GROUP: usize = TILE * ROW_TILES * GRID as usize;
/// New positions at most.
pub const SEQ_MAX: usize = GROUPS_MAX * GROUP;
/// Keys of a block.
pub const BLOCK: usize = super::score::KEYS as usize;
/// Width of a head.
pub const HEAD_DIM: usize = 128;
/// Query heads of a key-value head.
pub const QUERY_HEADS: usize = 2;

/// Cores of a column: their positions follow each other.
const ROW_TILES: usize = GRID as usize;
/// Bytes of a position's query heads.
const HEAD_BYTES: usize = QUERY_HEADS * HEAD_DIM * 2;
/// Groups that the table holds.
const GROUPS_MAX: usize = 32;
/// Records of a block.
const BLOCK_RECORDS: usize = BLOCK / KV_GROUP_SLOTS;

/// Bytes of the table, the first that the mem tile's pattern for V leaves together.
const TABLE_BYTES: u32 = 8 * GROUPS_MAX as u32;
/// Bytes of the plan that travel, and where zeros begin that stand for the rows of missing positions.
const PLAN_UNIT_BYTES: usize = 8192;
const PLAN_ZEROS_AT: usize = PLAN_UNIT_BYTES;
/// Rows of two cores.
pub(crate) const PLAN_BYTES: usize = PLAN_ZEROS_AT + 2 * TILE * HEAD_BYTES;
/// Where the header, the second 256 bytes, arrives in B.
const HEADER_AT: u32 = 1024;
/// A window that hides nothing.
const NO_WINDOW: i32 = 1 << 30;

/// First position of a core in its group.
const fn first_position(col: u8, row: u8) -> usize {
    TILE * (ROW_TILES * col as usize + row as usize)
}

/// Whether a core's rows of Q travel on B; each stream carries those of two of its four cores.
const fn on_b(col: u8, row: u8) -> bool {
    !(col + row).is_multiple_of(2)
}

/// Why an instance is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttentionError {
    /// No positions, or more than the table of groups holds.
    #[error("{seq} new positions; scaled_attention takes 1 to {limit}")]
    Positions {
        /// Asked.
        seq: usize,
        /// Most.
        limit: usize,
    },
    /// Pages that do not reach the last position.
    #[error("{pages} pages of {page_slots} slots do not hold {positions} positions")]
    PagesMissing {
        /// Pages listed.
        pages: usize,
        /// Slots of each.
        page_slots: usize,
        /// History and new positions.
        positions: usize,
    },
    /// A page outside the pool.
    #[error("page {page} of a pool of {pool}")]
    NoSuchPage {
        /// Asked.
        page: usize,
        /// Pages there are.
        pool: usize,
    },
    /// More positions than a distance can express.
    #[error("{positions} positions; the limit is {limit}")]
    TooFar {
        /// History and new positions.
        positions: usize,
        /// Most.
        limit: usize,
    },
}

/// Where the cache of the layer lies in the `cache` operand, and which keys a query sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// A local layer: a window over one segment.
    Ring(KvRing),
    /// A global layer: pages of a pool of segments, in the order of positions. One page is a linear cache.
    Pages {
        /// Size of a page.
        pages: KvPages,
        /// Pages of the pool.
        pool: usize,
        /// This layer's pages.
        table: Vec<usize>,
    },
}

impl Cache {
    /// One segment that holds every position in its slot.
    ///
    /// # Errors
    /// Slots that are no multiple of 8.
    pub fn linear(slots: usize) -> Result<Self, KernelError> {
        Ok(Self::Pages { pages: KvPages::new(slots)?, pool: 1, table: vec![0] })
    }
}

/// 256 positions or fewer, and where their keys lie.
#[derive(Debug, Clone)]
struct Group {
    /// First position, counted from the first new one.
    first: usize,
    /// Positions.
    positions: usize,
    /// From the first key to the first position.
    distance: usize,
    /// Blocks of 32 keys.
    blocks: usize,
    /// Segment, first record and records, in order; four records a block.
    runs: Vec<(usize, usize, usize)>,
}

/// One instance: the attention of one layer for some new positions.
#[derive(Debug, Clone)]
pub struct ScaledAttention {
    seq: usize,
    history: usize,
    heads: KvHeads,
    segment: KvSegment,
    cache: Cache,
}

impl ScaledAttention {
    /// `seq` new positions behind `history`, of `kv_heads` key-value heads with two query heads each, against a cache that holds them all.
    ///
    /// # Errors
    /// Too few or too many positions, or a cache that does not hold what they see.
    pub fn new(seq: usize, history: usize, kv_heads: usize, cache: Cache) -> Result<Self, KernelError> {
        Self::of(KvFormat::Bf16, seq, history, kv_heads, cache)
    }

    /// The same against an INT8 cache.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn kv8(seq: usize, history: usize, kv_heads: usize, cache: Cache) -> Result<Self, KernelError> {
        Self::of(KvFormat::Int8, seq, history, kv_heads, cache)
    }

    fn of(format: KvFormat, seq: usize, history: usize, kv_heads: usize, cache: Cache) -> Result<Self, KernelError> {
        if seq == 0 || seq > SEQ_MAX {
            return Err(AttentionError::Positions { seq, limit: SEQ_MAX }.into());
        }
        let (positions, limit) = (history.saturating_add(seq), NO_WINDOW as usize / 2);
        if positions > limit {
            return Err(AttentionError::TooFar { positions, limit }.into());
        }
        let heads = KvHeads::new(kv_heads, HEAD_DIM, format)?;
        let slots = match &cache {
            Cache::Ring(ring) => {
                ring.reads(history, seq)?;
                ring.slots()
            }
            Cache::Pages { pages, pool, table } => {
                let page_slots = pages.page_slots();
                if pages.pages(positions) > table.len() {
                    return Err(AttentionError::PagesMissing { pages: table.len(), page_slots, positions }.into());
                }
                if let Some(&page) = table.iter().find(|&&page| page >= *pool) {
                    return Err(AttentionError::NoSuchPage { page, pool: *pool }.into());
                }
                page_slots
            }
        };
        Ok(Self { seq, history, heads, segment: KvSegment::new(heads, slots)?, cache })
    }

    /// New positions.
    pub fn seq(&self) -> usize {
        self.seq
    }
    /// Positions before them.
    pub fn history(&self) -> usize {
        self.history
    }
    /// Key-value heads.
    pub fn kv_heads(&self) -> usize {
        self.heads.kv_heads()
    }
    /// Keys a query sees, its own included; none on a global layer.
    pub fn window(&self) -> Option<usize> {
        match &self.cache {
            Cache::Ring(ring) => Some(ring.window()),
            Cache::Pages { .. } => None,
        }
    }
    /// One segment of the cache: the ring, or a page.
    pub fn cache_segment(&self) -> &KvSegment {
        &self.segment
    }
    /// Bytes of the `cache` operand.
    pub fn cache_bytes(&self) -> usize {
        match &self.cache {
            Cache::Ring(_) => self.segment.bytes(),
            Cache::Pages { pool, .. } => pool * self.segment.bytes(),
        }
    }
    /// Segment of the `cache` operand, and slot in it, of a position.
    pub fn locate(&self, position: usize) -> (usize, usize) {
        match &self.cache {
            Cache::Ring(ring) => (0, ring.slot(position)),
            Cache::Pages { pages, table, .. } => {
                let (page, slot) = pages.locate(position);
                // what fills the last block up may lie behind the last page: any slots will do, the mask hides them
                (table[page % table.len()], slot)
            }
        }
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        match self.heads.format() {
            KvFormat::Bf16 => NAME,
            KvFormat::Int8 => NAME_KV8,
        }
    }

    pub(crate) fn heads(&self) -> &KvHeads {
        &self.heads
    }

    fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        (0..self.seq).step_by(GROUP).map(|first| {
            let (position, positions) = (self.history + first, (self.seq - first).min(GROUP));
            let oldest = self.window().map_or(0, |window| (position + 1).saturating_sub(window));
            let start = oldest / KV_GROUP_SLOTS * KV_GROUP_SLOTS;
            let blocks = (position + positions - start).div_ceil(BLOCK);
            let mut runs: Vec<(usize, usize, usize)> = Vec::new();
            for record in 0..blocks * BLOCK_RECORDS {
                let (segment, slot) = self.locate(start + record * KV_GROUP_SLOTS);
                let at = slot / KV_GROUP_SLOTS;
                match runs.last_mut() {
                    Some((s, first, count)) if *s == segment && *first + *count == at => *count += 1,
                    Some(_) | None => runs.push((segment, at, 1)),
                }
            }
            Group { first, positions, distance: position - start, blocks, runs }
        })
    }

    /// The `plan` operand.
    pub fn plan(&self) -> Vec<u8> {
        let mut words: Vec<i32> = self.groups().flat_map(|g| [g.blocks as i32, g.distance as i32]).collect();
        words.resize(TABLE_BYTES as usize / 4, 0);
        let groups = self.seq.div_ceil(GROUP) as i32;
        let window = self.window().map_or(NO_WINDOW, |window| window.min(NO_WINDOW as usize) as i32);
        let (tile, block) = (TILE as i32, BLOCK as i32);
        // hidden: D < -15, or 31 < D - window + 1;  whole: 31 ≤ D and D + 15 < window
        let (hidden, whole) = (window + block + tile - 2, (window - block - tile + 2).max(0));
        words.extend([groups, self.kv_heads() as i32, hidden, whole, window]);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(i32::to_le_bytes).collect();
        bytes.resize(PLAN_BYTES, 0);
        bytes
    }

    /// Compiles program, configuration and runtime stream. Program and configuration are the same for every instance.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let program = self.program()?;
        let configuration = array::array()?.finish(&program.bytes)?;
        let stream = self.stream()?;
        let cores = on_every_core(&CoreBinary::from(&program));
        Ok(Compiled::new(self.name(), cores, configuration, &stream, self.operands()))
    }

    /// The program of every core.
    ///
    /// # Errors
    /// A missed II, registers that run out, or a failed check.
    pub fn program(&self) -> Result<Program, KernelError> {
        Ok(program::compile(array::array()?.locks(), self.heads.format() == KvFormat::Int8)?)
    }

    /// The runtime stream alone: what differs between instances.
    ///
    /// # Errors
    /// A shape that the DMAs cannot express.
    pub fn stream(&self) -> Result<Stream, KernelError> {
        Ok(stream::stream(self)?)
    }

    /// Host buffers in order.
    pub fn operands(&self) -> Vec<Operand> {
        let row = self.kv_heads() * QUERY_HEADS;
        let shape = vec![self.seq, row, HEAD_DIM];
        let bytes = self.seq * self.kv_heads() * HEAD_BYTES;
        let opaque = names::OPAQUE;
        vec![
            Operand::input("q", bytes, Dtype::Bf16, shape.clone(), names::ROW_MAJOR),
            Operand::input("cache", self.cache_bytes(), Dtype::U8, vec![self.cache_bytes()], opaque),
            Operand::input("plan", PLAN_BYTES, Dtype::U8, vec![PLAN_BYTES], opaque),
            Operand::output("ctx", bytes, Dtype::Bf16, shape, names::ROW_MAJOR),
            Operand::scratch("scratch", stream::SCRATCH_BYTES),
        ]
    }
}
