//! Gemma 3 checkpoints on the run side: what they are ([`inspect()`]), how they become INT8 ([`quantize()`]) and how
//! their weights are laid out for the kernels' DMA ([`pack()`]).
//!
//! Every operation starts from [`Checkpoint::open`], which reads configuration and tensor headers only. Errors are one
//! enum, [`Error`], whose variants name file, tensor, type and shape.
//!
//! Memory mapping of checkpoint files (`map.rs`) is the only unsafe code here.
#![deny(unsafe_code)]

pub mod attend;
mod cache;
mod check;
mod checkpoint;
mod config;
mod dims;
mod error;
mod header;
mod inspect;
mod map;
mod memory;
mod names;
mod pack;
mod packed;
mod plan;
mod quantize;
mod refusal;
mod scheme;
mod shape;
mod staging;
mod watch;
mod writer;

pub use cache::{ContextCache, FormatCache, KvCache};
pub use checkpoint::{Checkpoint, TensorRef};
pub use config::{ConfigLayout, GemmaConfig, LayerKind, Rope};
pub use dims::ModelDims;
pub use error::{Error, Mismatch, Result};
pub use header::{MappedShard, Shard, TensorInfo};
pub use inspect::{Amount, CacheOrRefusal, Inspection, MemoryOrRefusal, Ropes, Unused, inspect};
pub use memory::{HostTier, NpuMemory, Part, TileTier};
pub use names::{Module, Norm, Prefix, Projection, Role};
pub use pack::{PackReport, PackedFile, attention_facts, pack, package_dims};
pub use packed::{PackedLayerMap, PackedWeights};
pub use plan::{
    Ddr, HEAP_BYTES, Heap, Item, LayerShare, Outline, Plan, PlanError, PlanRequest, Tiles, largest_context,
};
pub use quantize::{QuantizeReport, quantize};
pub use refusal::{
    Attempt, Attempts, BinaryCause, CompileAdvice, HardwareCause, MemoryCause, Refusal, Sentence, ToolchainMissing,
};
pub use scheme::{Granularity, Quantisation, Scheme};
pub use shape::Shape;
pub use watch::{Unwatched, Watch};

/// Element types of stored tensors.
pub use safetensors::Dtype;
