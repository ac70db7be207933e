//! What lives where: a model's attention on the memory that a Phoenix has, for a context.
//!
//! ```text
//! L1           64 KiB data memory in each of 16 compute tiles     rings, accumulators, state of one kernel
//! L2           512 KiB in each of 4 memory tiles                  rings between DDR and L1
//! device heap  64 MiB of DDR that firmware addresses directly     configurations (PDI) and runtime streams
//! DDR          shared with CPU and iGPU                           weights, keys and values, operands, the heap itself
//! ```
//!
//! Kernels take turns in L1 and L2, so those tiers need as much as the largest; the other two need the sum. Nothing is
//! allocated here: a plan is made and compared with a budget first.

use npu_package::layout::{
    BLOCK_ROWS_MAX, GroupSize, KV_GROUP_SLOTS, KvFormat, KvHeads, KvRing, KvSegment, LayoutError, ProjectionKind,
    RopeLimbs, RopeTable,
};
use npu_package::{Layer, LayerFile, Manifest, PackageError, PackedManifest, scheme_groups};
use serde::Serialize;

use crate::config::GemmaConfig;
use crate::dims::ModelDims;
use crate::memory::{NpuMemory, TileTier};
use crate::pack::package_dims;
use crate::refusal::{MemoryCause, Refusal};

// SOURCE: drivers/accel/amdxdna: npu1 has one heap of 64 MiB for each open file; buffers in it begin at multiples of 32 KiB.
/// Bytes of the device heap.
pub const HEAP_BYTES: u64 = 64 << 20;
const HEAP_GRANULE: u64 = 32 << 10;
// SOURCE: drivers/accel/amdxdna/aie2_ctx.c: a context keeps 4 command buffers of a page in the heap.
const CONTEXT_PAGES: u64 = 4;
// SOURCE: drivers/accel/amdxdna: 4 commands of a context are in flight at most, each in a buffer of a page.
const COMMANDS: u64 = 4;
// SOURCE: AM020 ch. 1: 64 KiB of data memory in a compute tile, 512 KiB in a memory tile.
const L1_BYTES_PER_TILE: u64 = 64 << 10;
const L2_BYTES_PER_TILE: u64 = 512 << 10;
const PAGE: u64 = 4096;
const BF16_BYTES: u64 = 2;
/// Something that lives in a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub what: String,
    /// Its size.
    pub bytes: u64,
}

/// A tier of tiles, the same in each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tiles {
    /// Tiles.
    pub tiles: u64,
    /// Memory of a tile.
    pub capacity_bytes_per_tile: u64,
    /// Used in a tile at any time.
    pub bytes_per_tile: u64,
    /// What uses it: parts that live together, or kernels that take turns.
    pub items: Vec<Item>,
    /// Whether the items take turns.
    pub in_turns: bool,
}

/// The device heap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heap {
    /// Its size.
    pub capacity_bytes: u64,
    /// Used; none if no package says what is loaded.
    pub bytes: Option<u64>,
    /// By kernel.
    pub items: Vec<Item>,
}

/// Memory shared with CPU and iGPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ddr {
    /// Needed in all.
    pub bytes: u64,
    /// Packed weights among them.
    pub weights_bytes: u64,
    /// Keys and values among them.
    pub cache_bytes: u64,
    /// Everything, by what it is.
    pub items: Vec<Item>,
}

/// What one layer of a kind has of its own in DDR; everything else is shared by all layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerShare {
    /// "local" or "global".
    pub kind: &'static str,
    /// Layers of the kind.
    pub layers: usize,
    /// Packed weights of the query, key and value projection.
    pub qkv_weights_bytes: u64,
    /// Packed weights of the output projection.
    pub o_weights_bytes: u64,
    /// Norms of queries and keys.
    pub norms_bytes: u64,
    /// Keys and values.
    pub cache_bytes: u64,
    /// Slots of the cache.
    pub cache_slots: usize,
    /// In all.
    pub bytes: u64,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The model.
    pub model: String,
    /// Tokens of context.
    pub context: usize,
    /// New tokens taken at once.
    pub chunk: usize,
    /// Data memory of compute tiles.
    pub l1: Tiles,
    /// Memory tiles.
    pub l2: Tiles,
    /// Device heap.
    pub heap: Heap,
    /// DDR.
    pub ddr: Ddr,
    /// One layer of each kind that the model has.
    pub layers: Vec<LayerShare>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// What of a model decides its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Sizes.
    pub dims: ModelDims,
    /// Layers that see every token.
    pub global_layers: usize,
    /// Longest context.
    pub max_positions: usize,
    /// Inputs that share a scale of the weights; none: all of a channel.
    pub groups: Option<GroupSize>,
}

impl From<&GemmaConfig> for Outline {
    fn from(config: &GemmaConfig) -> Self {
        Outline {
            dims: config.dims.clone(),
            global_layers: config.global_layers().len(),
            max_positions: config.max_positions,
            groups: None,
        }
    }
}

impl From<&PackedManifest> for Outline {
    fn from(packed: &PackedManifest) -> Self {
        let (model, attention) = (packed.model.clone(), &packed.attention);
        let dims = ModelDims {
            name: model.name,
            hidden: model.hidden,
            intermediate: model.intermediate,
            layers: model.layers,
            heads: model.heads,
            kv_heads: model.kv_heads,
            head_dim: model.head_dim,
            vocab: model.vocab,
            sliding_window: attention.sliding_window,
        };
        let global_layers = attention.layer_kinds.iter().filter(|&&kind| kind == Layer::Global).count();
        // A scheme without a layout is refused when the packed model is opened.
        let groups = scheme_groups(&packed.scheme).ok().flatten();
        Outline { dims, global_layers, max_positions: attention.max_positions, groups }
    }
}

/// What is planned for.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The model.
    pub model: &'a Outline,
    /// Tokens of context.
    pub context: usize,
    /// New tokens taken at once; fewer if the context is shorter.
    pub chunk: usize,
    /// Elements of the cache.
    pub cache: KvFormat,
    /// The kernels, if they are compiled.
    pub package: Option<&'a Manifest>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The context is empty or longer than the model's.
    #[error("a context of {context} tokens; {model} has 1 to {limit}")]
    Context {
        /// The model.
        model: String,
        /// Tokens asked for.
        context: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// The package is of another model.
    #[error("the package is compiled for {found}, not for {asked}")]
    OtherModel {
        /// Model of the package.
        found: String,
        /// Model asked for.
        asked: String,
    },
    /// The kernels do not take the model.
    #[error("the kernels do not take this model: {0}")]
    Layout(#[from] LayoutError),
    /// The package lists a kernel without its files.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl Plan {
    /// Lays a model out; compares with nothing.
    pub fn new(request: &PlanRequest<'_>) -> Result<Self, PlanError> {
        let Outline { dims, global_layers, max_positions, .. } = request.model;
        let model = dims.name.clone();
        if request.context == 0 || request.context > *max_positions {
            return Err(PlanError::Context { model, context: request.context, limit: *max_positions });
        }
        let chunk = request.chunk.clamp(1, BLOCK_ROWS_MAX).min(request.context);
        let projections = NpuMemory::new(dims, *global_layers, chunk)?;
        let mut notes = vec!["feed-forward layers, embedding and head are not placed: no kernel uses them".to_owned()];
        let (l1, l2, heap) = match request.package {
            Some(package) => {
                check_model(package, request)?;
                let slots = package.kernels.iter().filter_map(|kernel| kernel.context.filter(|c| c.window.is_none()));
                if let Some(slots) = slots.map(|context| context.slots).min().filter(|&slots| slots < request.context) {
                    notes.push(format!(
                        "the package's kernels are for a context of {slots} tokens: `bennu compile --context {}`",
                        request.context
                    ));
                }
                let used =
                    |bytes: fn(&npu_package::Report) -> u64, tiles, capacity| in_turns(package, bytes, tiles, capacity);
                (
                    used(|report| report.data_bytes_max, projections.l1.tiles, L1_BYTES_PER_TILE),
                    used(|report| report.memtile_bytes_max, projections.l2.tiles, L2_BYTES_PER_TILE),
                    heap(package)?,
                )
            }
            None => {
                notes.push(
                    "L1 and L2 are those of the q, k, v and o projections; configurations and streams in the heap are known \
                     when compiled: give --package"
                        .to_owned(),
                );
                let heap = Heap { capacity_bytes: HEAP_BYTES, bytes: None, items: Vec::new() };
                (together(&projections.l1), together(&projections.l2), heap)
            }
        };
        let layers = layers(request, chunk)?;
        let ddr = ddr(request, chunk, &projections, &layers)?;
        Ok(Plan { model, context: request.context, chunk, l1, l2, heap, ddr, layers, notes })
    }

    /// Refuses the plan if it does not fit `budget` bytes of DDR, or the heap; names the largest context that would.
    pub fn fit(&self, request: &PlanRequest<'_>, budget: u64) -> Result<(), Refusal> {
        if let Some(needed) = self.heap.bytes.filter(|&bytes| bytes > self.heap.capacity_bytes) {
            let source =
                MemoryCause::Heap { needed, available: self.heap.capacity_bytes, kernels: self.heap.items.len() };
            return Err(Refusal::MemoryExhausted { source });
        }
        if self.ddr.bytes <= budget {
            return Ok(());
        }
        let source = MemoryCause::Plan {
            tier: "DDR",
            needed: self.ddr.bytes,
            available: budget,
            context: self.context,
            largest_context: largest_context(request, budget),
        };
        Err(Refusal::MemoryExhausted { source })
    }
}

/// The longest context up to the one asked for whose plan fits `budget` bytes of DDR.
pub fn largest_context(request: &PlanRequest<'_>, budget: u64) -> Option<usize> {
    let fits = |context: usize| {
        // The package decides nothing about DDR but the heap, which is always whole.
        let smaller = PlanRequest { context, package: None, ..*request };
        Plan::new(&smaller).is_ok_and(|plan| plan.ddr.bytes <= budget)
    };
    // Bytes never fall as the context grows.
    let (mut fitting, mut failing) = (0, request.context.min(request.model.max_positions) + 1);
    while failing - fitting > 1 {
        let middle = fitting + (failing - fitting) / 2;
        if fits(middle) { fitting = middle } else { failing = middle }
    }
    (fitting > 0).then_some(fitting)
}

fn check_model(package: &Manifest, request: &PlanRequest<'_>) -> Result<(), PlanError> {
    let (mut found, asked) = (package.model.clone(), package_dims(&request.model.dims));
    // A checkpoint's directory may have any name.
    found.name.clone_from(&asked.name);
    if found == asked {
        return Ok(());
    }
    Err(PlanError::OtherModel { found: package.model.name.clone(), asked: asked.name })
}

fn kernel_name(kernel: &npu_package::Kernel) -> String {
    let layer = kernel.context.map_or_else(String::new, |context| format!(", {} layer", context.layer.name()));
    format!("{}, S = {}{layer}", kernel.kernel, kernel.seq)
}

fn together(tier: &TileTier) -> Tiles {
    Tiles {
        tiles: tier.tiles,
        capacity_bytes_per_tile: tier.capacity_bytes_per_tile,
        bytes_per_tile: tier.bytes_per_tile,
        items: tier.parts.iter().map(|part| Item { what: part.name.to_owned(), bytes: part.bytes }).collect(),
        in_turns: false,
    }
}

fn in_turns(
    package: &Manifest,
    bytes: fn(&npu_package::Report) -> u64,
    tiles: u64,
    capacity_bytes_per_tile: u64,
) -> Tiles {
    let items: Vec<Item> =
        package.kernels.iter().map(|kernel| Item { what: kernel_name(kernel), bytes: bytes(&kernel.report) }).collect();
    let bytes_per_tile = items.iter().map(|item| item.bytes).max().unwrap_or(0);
    Tiles { tiles, capacity_bytes_per_tile, bytes_per_tile, items, in_turns: true }
}

/// Configuration and stream of every kernel, each from a granule of its own, and the pages of one context.
fn heap(package: &Manifest) -> Result<Heap, PlanError> {
    let size = |name: &String| -> Result<u64, PlanError> {
        let entry = package
            .digests
            .get(name)
            .ok_or_else(|| PackageError::UnlistedFile { kernel: "of the package".to_owned(), name: name.clone() })?;
        Ok(entry.bytes.next_multiple_of(HEAP_GRANULE))
    };
    let mut items = Vec::new();
    for kernel in &package.kernels {
        let bytes = size(&kernel.files.pdi)? + size(&kernel.files.txn)?;
        items.push(Item { what: kernel_name(kernel), bytes });
    }
    items.push(Item { what: "command pages of a context".to_owned(), bytes: CONTEXT_PAGES * HEAP_GRANULE });
    Ok(Heap { capacity_bytes: HEAP_BYTES, bytes: Some(items.iter().map(|item| item.bytes).sum()), items })
}

/// One layer of each kind that there is.
fn layers(request: &PlanRequest<'_>, chunk: usize) -> Result<Vec<LayerShare>, PlanError> {
    let Outline { dims, global_layers, groups, .. } = request.model;
    let model = package_dims(dims);
    let weights = |kind| -> Result<u64, PlanError> {
        let panels = model.panels(kind)?;
        Ok(groups.map_or(panels, |size| panels.grouped(size)).bytes() as u64)
    };
    let [qkv_weights_bytes, o_weights_bytes] = [weights(ProjectionKind::Qkv)?, weights(ProjectionKind::O)?];
    let norms_bytes = LayerFile::Norms.bytes(&model)? as u64;
    let heads = KvHeads::new(dims.kv_heads, dims.head_dim, request.cache)?;
    let mut all = Vec::new();
    for (kind, layers) in [(Layer::Local, dims.layers - global_layers), (Layer::Global, *global_layers)] {
        let cache_slots = match kind {
            Layer::Local => KvRing::new(dims.sliding_window, chunk)?.slots(),
            Layer::Global => request.context.next_multiple_of(KV_GROUP_SLOTS),
        };
        let cache_bytes = KvSegment::new(heads, cache_slots)?.bytes() as u64;
        let bytes = qkv_weights_bytes + o_weights_bytes + norms_bytes + cache_bytes;
        let kind = kind.name();
        let share = LayerShare {
            kind,
            layers,
            qkv_weights_bytes,
            o_weights_bytes,
            norms_bytes,
            cache_bytes,
            cache_slots,
            bytes,
        };
        all.extend((layers > 0).then_some(share));
    }
    Ok(all)
}

fn ddr(
    request: &PlanRequest<'_>,
    chunk: usize,
    projections: &NpuMemory,
    shares: &[LayerShare],
) -> Result<Ddr, LayoutError> {
    let dims = &request.model.dims;
    let layers = dims.layers;
    let sum = |of: fn(&LayerShare) -> u64| shares.iter().map(|share| share.layers as u64 * of(share)).sum::<u64>();
    let weights_bytes = sum(|share| share.qkv_weights_bytes + share.o_weights_bytes);
    let (cache_bytes, norms) = (sum(|share| share.cache_bytes), sum(|share| share.norms_bytes));
    let format = match request.cache {
        KvFormat::Bf16 => "bf16",
        KvFormat::Int8 => "int8",
    };

    // A call reads the records of its tokens and of at most two groups that they share.
    let rotations = (chunk + 2 * KV_GROUP_SLOTS).next_multiple_of(KV_GROUP_SLOTS);
    // The size of a record depends on neither base nor factor.
    let rotations = 2 * RopeTable::new(dims.head_dim, 1.0, 1.0, RopeLimbs::Two)?.bytes(rotations)? as u64;

    let mut items =
        vec![Item { what: format!("packed weights of q, k, v and o, {layers} layers"), bytes: weights_bytes }];
    for share in shares.iter().rev() {
        let LayerShare { kind, layers, cache_slots, .. } = share;
        items.push(Item {
            what: format!("keys and values, {layers} {kind} layers, {cache_slots} slots each, {format}"),
            bytes: *layers as u64 * share.cache_bytes,
        });
    }
    // Every layer uses the same operands.
    let operands = projections.ddr.parts.iter().filter(|part| !part.name.contains("weights"));
    items.extend(operands.map(|part| Item { what: part.name.to_owned(), bytes: part.bytes }));
    let q = chunk as u64 * dims.q_rows() as u64 * BF16_BYTES;
    items.extend([
        Item { what: "queries after norm and rotation, bf16".to_owned(), bytes: q },
        Item { what: "rotations of the new tokens, local and global".to_owned(), bytes: rotations },
        Item { what: format!("norms of queries and keys, {layers} layers"), bytes: norms },
        Item { what: format!("{COMMANDS} command buffers"), bytes: COMMANDS * PAGE },
        Item { what: "device heap".to_owned(), bytes: HEAP_BYTES },
    ]);
    for item in &mut items {
        item.bytes = item.bytes.next_multiple_of(PAGE);
    }
    let bytes = items.iter().map(|item| item.bytes).sum();
    Ok(Ddr { bytes, weights_bytes, cache_bytes, items })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn model() -> Outline {
        Outline::from(&GemmaConfig::published(ModelDims::gemma3_27b()))
    }

    fn request(model: &Outline, context: usize) -> PlanRequest<'_> {
        PlanRequest { model, context, chunk: 512, cache: KvFormat::Bf16, package: None }
    }

    #[test]
    fn the_27b_at_8192_tokens() {
        let model = model();
        let plan = Plan::new(&request(&model, 8192)).unwrap();
        assert_eq!(plan.ddr.weights_bytes, 62 * (44_564_480 + 22_364_160));
        // 8192 bytes a token and layer; rings of 1024 + 512 + 6, rounded up to 1544 slots.
        assert_eq!(plan.ddr.cache_bytes, 10 * 8192 * 8192 + 52 * 1544 * 8192);
        let of = |what: &str| plan.ddr.items.iter().find(|item| item.what.contains(what)).unwrap().bytes;
        assert_eq!(of("input x"), 512 * 5376 * 2);
        assert_eq!(of("queries after norm"), 512 * 4096 * 2);
        assert_eq!(of("device heap"), HEAP_BYTES);
        assert_eq!(plan.ddr.bytes, plan.ddr.items.iter().map(|item| item.bytes).sum::<u64>());
        assert_eq!([plan.l1.tiles, plan.l2.tiles, plan.heap.capacity_bytes], [16, 4, 64 << 20]);
        assert_eq!([plan.l1.capacity_bytes_per_tile, plan.l2.capacity_bytes_per_tile], [64 << 10, 512 << 10]);
        assert_eq!(plan.heap.bytes, None);
    }

    #[test]
    fn a_layer_of_each_kind_and_all_of_them() {
        let model = model();
        let plan = Plan::new(&request(&model, 8192)).unwrap();
        let [local, global] = &plan.layers[..] else { panic!("{:?}", plan.layers) };
        assert_eq!([(local.kind, local.layers), (global.kind, global.layers)], [("local", 52), ("global", 10)]);
        assert_eq!([local.cache_slots, global.cache_slots], [1544, 8192]);
        for share in [local, global] {
            assert_eq!([share.qkv_weights_bytes, share.o_weights_bytes], [44_564_480, 22_364_160]);
            assert_eq!(share.cache_bytes, share.cache_slots as u64 * 8192);
            assert_eq!(share.bytes, 44_564_480 + 22_364_160 + share.norms_bytes + share.cache_bytes);
        }
        let all: u64 = plan.layers.iter().map(|share| share.layers as u64 * share.bytes).sum();
        let norms = 62 * local.norms_bytes;
        assert_eq!(all, plan.ddr.weights_bytes + plan.ddr.cache_bytes + norms);
        assert!(all < plan.ddr.bytes);
    }

    #[test]
    fn group_scales_and_an_int8_cache() {
        let of = |groups, cache| {
            let model = Outline { groups, ..model() };
            Plan::new(&PlanRequest { cache, ..request(&model, 8192) }).unwrap().ddr
        };
        let (plain, other) = (of(None, KvFormat::Bf16), of(Some(GroupSize::Of32), KvFormat::Int8));
        // One byte and a share of four for every two; more scales.
        assert_eq!(other.cache_bytes, plain.cache_bytes / 256 * 132);
        assert!(other.weights_bytes > plain.weights_bytes);
        assert!(other.items.iter().any(|item| item.what.ends_with("int8")));
    }

    #[test]
    fn only_global_layers_grow_with_the_context() {
        let model = model();
        let bytes = |context| Plan::new(&request(&model, context)).unwrap().ddr.bytes;
        assert_eq!(bytes(131_072) - bytes(8192), 10 * 8192 * (131_072 - 8192));
    }

    #[test]
    fn a_plan_that_does_not_fit_names_the_largest_context_that_does() {
        let model = model();
        let asked = request(&model, 131_072);
        let plan = Plan::new(&asked).unwrap();
        plan.fit(&asked, plan.ddr.bytes).unwrap();
        let budget = 8 * GIB;
        let refusal = plan.fit(&asked, budget).unwrap_err();
        assert_eq!(refusal.to_string(), "HMA memory exhausted");
        let Refusal::MemoryExhausted { source: MemoryCause::Plan { needed, available, largest_context, .. } } =
            &refusal
        else {
            panic!("{refusal:?}")
        };
        assert_eq!([*needed, *available], [plan.ddr.bytes, budget]);
        let largest = largest_context.unwrap();
        assert!(refusal.remedy().contains(&largest.to_string()), "{}", refusal.remedy());
        // It fits, and one group of slots more does not.
        let at = |context| Plan::new(&request(&model, context)).unwrap().ddr.bytes;
        assert!(at(largest) <= budget && at(largest + 8) > budget, "{largest}");
    }

    #[test]
    fn a_machine_for_which_no_context_is_small_enough() {
        let model = model();
        let asked = request(&model, 4096);
        let refusal = Plan::new(&asked).unwrap().fit(&asked, 4 * GIB).unwrap_err();
        assert!(matches!(
            &refusal,
            Refusal::MemoryExhausted { source: MemoryCause::Plan { largest_context: None, .. } }
        ));
        assert!(refusal.remedy().contains("add memory"), "{}", refusal.remedy());
    }

    #[test]
    fn contexts_that_the_model_does_not_have() {
        let model = model();
        for context in [0, 131_073] {
            let error = Plan::new(&request(&model, context)).unwrap_err();
            assert_eq!(error.to_string(), format!("a context of {context} tokens; gemma-3-27b has 1 to 131072"));
        }
    }

    #[test]
    fn a_short_context_has_short_operands() {
        let model = model();
        let plan = Plan::new(&request(&model, 5)).unwrap();
        assert_eq!(plan.chunk, 5);
        let slots = plan.ddr.items.iter().find(|item| item.what.contains("global layers")).unwrap();
        assert_eq!(slots.bytes, 10 * 8 * 8192);
    }

    #[test]
    fn a_model_that_the_kernels_do_not_take() {
        let model = Outline::from(&GemmaConfig::published(ModelDims::gemma3_1b()));
        assert!(matches!(Plan::new(&request(&model, 64)), Err(PlanError::Layout(_))));
    }
}
