//! `decode_attention`: ctx[s] = softmax(q[s] · Kᵀ) V for one to four new positions against a cache, all 16 KV heads at once.
//!
//! Core (c, r) owns KV head 4 r + c and its two query heads. Keys and values stream over all eight read channels of the shims: the first half
//! of the blocks on A (lane r along core row r), the second on B (head c of every lane up column c); each core uses every fourth unit of either.
//! Spec, bit for bit: `oracle::flash_decode`. `decode_attention_kv8` reads an INT8 cache, in half the bytes ([`coded`]). What depends on the context reaches the cores in the operand `plan` ([`DecodeAttention::plan`]), so one
//! program serves all.
//!
//! | operand | |
//! |---|---|
//! | `q` | `[S][32][128]` bf16, normed, rotated, times log₂ e / √168 |
//! | `cache` | a segment of `docs/kv-cache.md`, keys and values of the new positions included; every element and scale finite |
//! | `plan` | 256 bytes |
//! | `ctx` | `[S][32][128]` bf16 |

mod array;
mod block;
mod coded;
mod finish;
mod l1;
pub mod plan;
mod program;
mod stream;

use aie2_codegen::Program;
use npu_package::layout::{KV_GROUP_SLOTS, KvFormat, KvHeads, KvRing, KvRun, KvSegment, names};

use crate::grid::{GRID, on_every_core};
use l1::Sizes;

use crate::{Compiled, CoreBinary, Dtype, KernelError, Operand};
use plan::{BLOCK_KEYS, POSITIONS, Plan};

/// Name of the kernel in packages.
pub const NAME: &str = "decode_attention";
/// Name of the kernel that reads INT8 caches.
pub const NAME_KV8: &str = "decode_attention_kv8";

const KV_HEADS: usize = 16;
const HEAD_DIM: usize = 128;
const QUERY_HEADS: usize = 32;
/// Bytes of scratch of a column: all positions of a core.
const SCRATCH_COLUMN_BYTES: usize = 2048;

/// Where a layer keeps its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Every position in its slot of one segment.
    Global {
        /// Slots of the segment.
        slots: usize,
    },
    /// The window in a ring.
    Local(KvRing),
}

/// One instance: new positions against a history.
#[derive(Clone, Debug)]
pub struct DecodeAttention {
    segment: KvSegment,
    tokens: usize,
    plan: Plan,
    plan_bytes: Vec<u8>,
}

impl DecodeAttention {
    /// `tokens` new positions, the first of them `history`, of `query_heads` heads.
    ///
    /// # Errors
    /// Heads that the array does not divide among its cores, more positions than a core computes, a context beyond the cache.
    pub fn new(
        heads: KvHeads,
        query_heads: usize,
        cache: Cache,
        history: usize,
        tokens: usize,
    ) -> Result<Self, KernelError> {
        let refuse = |what, needed, found| Err(KernelError::Refused { kernel: NAME, what, needed, found });
        for (what, needed, found) in [
            ("key-value heads", KV_HEADS, heads.kv_heads()),
            ("inputs of a head", HEAD_DIM, heads.head_dim()),
            ("query heads", QUERY_HEADS, query_heads),
        ] {
            if needed != found {
                return refuse(what, needed, found);
            }
        }
        if tokens == 0 || tokens > POSITIONS {
            return refuse("new positions, at most", POSITIONS, tokens);
        }
        let end = history.saturating_add(tokens);
        let (slots, window, runs) = match cache {
            Cache::Global { slots } => {
                if end > slots {
                    return refuse("positions, at most", slots, end);
                }
                (slots, None, vec![KvRun { slot: 0, position: 0, slots: end.next_multiple_of(KV_GROUP_SLOTS) }])
            }
            Cache::Local(ring) => (ring.slots(), Some(ring.window()), ring.reads(history, tokens)?),
        };
        let segment = KvSegment::new(heads, slots)?;
        if slots < BLOCK_KEYS {
            return refuse("slots, at least", BLOCK_KEYS, slots);
        }
        let plan = Plan::new(&runs, segment.groups(), history, tokens, window);
        let Some(plan_bytes) = plan.bytes() else {
            return refuse("turns of a plan with few edges, at most", plan::BYTES, plan.turns());
        };
        Ok(Self { segment, tokens, plan, plan_bytes })
    }

    /// The operand `plan`.
    pub fn plan_bytes(&self) -> &[u8] {
        &self.plan_bytes
    }

    /// Which keys pass on which stream.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The cache.
    pub fn segment(&self) -> &KvSegment {
        &self.segment
    }

    /// Bytes of keys and values that a dispatch streams.
    pub fn cache_bytes_read(&self) -> usize {
        2 * self.plan.turns() * BLOCK_KEYS * self.segment.heads().token_bytes()
    }

    /// Compiles program, configuration and runtime stream.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        Ok(Self::compile_all(std::slice::from_ref(self))?.remove(0))
    }

    /// Compiles several instances; they share program and configuration.
    ///
    /// # Errors
    /// As [`Self::compile`], and caches of both formats.
    pub fn compile_all(instances: &[Self]) -> Result<Vec<Compiled>, KernelError> {
        let Some(first) = instances.first() else { return Ok(Vec::new()) };
        let sizes = first.sizes();
        if let Some(other) = instances.iter().map(Self::sizes).find(|other| *other != sizes) {
            let (what, needed) = ("bytes of a cache element", sizes.cache.element_bytes());
            return Err(KernelError::Refused { kernel: NAME, what, needed, found: other.cache.element_bytes() });
        }
        let program = program::compile(array::array(sizes)?.locks(), sizes)?;
        instances.iter().map(|instance| instance.link(&program)).collect()
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(self.segment.heads().format())
    }

    fn link(&self, program: &Program) -> Result<Compiled, KernelError> {
        let configuration = array::array(self.sizes())?.finish(&program.bytes)?;
        let stream = stream::stream(&self.segment, &self.plan, self.tokens)?;
        let kernel = match self.sizes().cache {
            KvFormat::Bf16 => NAME,
            KvFormat::Int8 => NAME_KV8,
        };
        let cores = on_every_core(&CoreBinary::from(program));
        Ok(Compiled::new(kernel, cores, configuration, &stream, self.operands()))
    }

    fn operands(&self) -> Vec<Operand> {
        let (rows, shape) = (self.tokens * stream::POSITION_BYTES, vec![self.tokens, QUERY_HEADS, HEAD_DIM]);
        let (cache, format) = (self.segment.bytes(), self.sizes().cache);
        let dtype = match format {
            KvFormat::Bf16 => Dtype::Bf16,
            KvFormat::Int8 => Dtype::U8,
        };
        vec![
            Operand::input("q", rows, Dtype::Bf16, shape.clone(), names::ROW_MAJOR),
            Operand::input("cache", cache, dtype, vec![cache / format.element_bytes()], names::KV_SEGMENT),
            Operand::input("plan", plan::BYTES, Dtype::U8, vec![plan::BYTES], names::OPAQUE),
            Operand::output("ctx", rows, Dtype::Bf16, shape, names::ROW_MAJOR),
            Operand::scratch("scratch", usize::from(GRID) * SCRATCH_COLUMN_BYTES),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_leaves_room_for_those_of_other_phases() {
        for (cache, most) in [(KvFormat::Bf16, 5632), (KvFormat::Int8, 7680)] {
            let sizes = Sizes::new(cache);
            let locks = array::array(sizes).expect("the array has room").locks();
            let program = program::compile(locks, sizes).unwrap_or_else(|error| panic!("{error}"));
            let loops: Vec<_> = program.loops.iter().map(|l| (&l.name, l.ii_declared, l.ii_reached)).collect();
            println!("{cache:?}: {} bytes of program, {loops:?}", program.bytes.len());
            assert!(program.bytes.len() <= most, "{}", program.bytes.len());
        }
    }
}
