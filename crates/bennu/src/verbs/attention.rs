//! The kernels of attention that `compile` builds: norm and rotation, prefill, decode, for both kinds of layer.

use aie2_kernels::attention::scaled::{self, ScaledAttention};
use aie2_kernels::attention_decode::{self, DecodeAttention};
use aie2_kernels::attention_layer::{self, AttentionLayer};
use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Place};
use aie2_kernels::{Compiled, Dtype, KernelError, Operand};
use gemma::ModelDims;
use npu_container::txn;
use npu_package::layout::{
    Activations, DECODE_TOKENS, GroupSize, HeadNorm, KV_GROUP_SLOTS, KvFormat, KvHeads, KvRing, KvSegment, Panels,
    ProjectionKind, ProjectionShape, RopeLimbs, RopeTable, names,
};
use npu_package::{Bound, Context, Layer, Phase, Region};

use super::compile::{self, Call, READ_CHANNELS, STREAM_BYTES_PER_CYCLE, TILES};

/// bf16 multiply-accumulates of a compute tile per cycle.
// SOURCE: AM020 ch. 4: 128 bfloat16 multiplications per cycle.
const BF16_MACS_PER_CYCLE: u64 = 128;
/// What attention computes in: with a BF16 cache, with an INT8 cache.
const NUMERICS: [&str; 2] = ["bf16", "bf16_kv8"];
const BF16_BYTES: usize = 2;

/// One kernel for one length and one kind of layer.
pub(super) struct Attention<'a> {
    dims: &'a ModelDims,
    what: What,
    seq: usize,
    context: Context,
    /// Most tokens that a ring takes at once.
    chunk: usize,
    formats: Formats,
}

/// Elements of what a layer's attention works with.
#[derive(Clone, Copy)]
pub(super) struct Formats {
    /// Of the projections.
    pub activations: Activations,
    /// Inputs that share a scale of the weights; none: a scale for each output channel.
    pub groups: Option<GroupSize>,
    pub cache: KvFormat,
}

#[derive(Clone, Copy)]
enum What {
    NormRope,
    Prefill,
    Decode,
    /// All of a layer's attention, projections included.
    Layer,
}

/// All of them: for up to four tokens attention by the decoding kernel, for more by that of prefill, and the whole of it as one kernel.
pub(super) fn kernels<'a>(
    dims: &'a ModelDims,
    lengths: &[usize],
    history: usize,
    positions: usize,
    formats: Formats,
) -> Vec<Attention<'a>> {
    let chunk = lengths.iter().copied().max().unwrap_or(1);
    let mut all = Vec::new();
    for layer in Layer::ALL {
        for &seq in lengths {
            let slots = (history.saturating_add(seq)).max(positions).next_multiple_of(KV_GROUP_SLOTS);
            let window = match layer {
                Layer::Local => Some(dims.sliding_window),
                Layer::Global => None,
            };
            let context = Context { layer, history, slots, window };
            let attention: &[What] = if seq <= DECODE_TOKENS {
                &[What::NormRope, What::Decode]
            } else {
                &[What::NormRope, What::Prefill, What::Layer]
            };
            let kernel = |&what| Attention { dims, what, seq, context, chunk, formats };
            all.extend(attention.iter().map(kernel));
        }
    }
    all
}

impl Attention<'_> {
    /// Name of the kernel.
    pub(super) fn name(&self) -> &'static str {
        match (self.what, self.formats.cache) {
            (What::NormRope, KvFormat::Bf16) => norm_rope::NAME,
            (What::NormRope, KvFormat::Int8) => norm_rope::NAME_KV8,
            (What::Prefill, KvFormat::Bf16) => scaled::NAME,
            (What::Prefill, KvFormat::Int8) => scaled::NAME_KV8,
            (What::Decode, KvFormat::Bf16) => attention_decode::NAME,
            (What::Decode, KvFormat::Int8) => attention_decode::NAME_KV8,
            (What::Layer, _) => match self.formats.activations {
                Activations::Int16 => attention_layer::NAME,
                Activations::Int8 => attention_layer::W8A8_NAME,
            },
        }
    }

    /// Kernel, length and layer.
    pub(super) fn title(&self) -> String {
        format!("{}, S = {}, {} layer", self.name(), self.seq, self.context.layer.name())
    }

    fn heads(&self) -> Result<KvHeads, KernelError> {
        Ok(KvHeads::new(self.dims.kv_heads, self.dims.head_dim, self.formats.cache)?)
    }

    fn ring(&self) -> Result<Option<KvRing>, KernelError> {
        Ok(self.context.window.map(|window| KvRing::new(window, self.chunk)).transpose()?)
    }

    /// Compiles it and says what the manifest holds.
    pub(super) fn compile(&self) -> Result<(Compiled, Call), KernelError> {
        let mut context = self.context;
        if let Some(ring) = self.ring()? {
            context.slots = ring.slots();
        }
        let (compiled, bound, contents) = match self.what {
            What::NormRope => self.norm_rope(context.slots)?,
            What::Prefill => self.prefill(context.slots)?,
            What::Decode => self.decode(context.slots)?,
            What::Layer => return self.layer(context),
        };
        let numerics = NUMERICS[usize::from(self.formats.cache == KvFormat::Int8)];
        Ok((compiled, Call { context: Some(context), contents, ..Call::new(self.seq, numerics, bound) }))
    }

    fn norm_rope(&self, slots: usize) -> Result<Built, KernelError> {
        let place = |arg| Place { arg, offset: 0 };
        let buffers = Buffers { qkv: place(0), weights: place(1), tables: place(2), q: place(3) };
        let (segment, first) = (KvSegment::new(self.heads()?, slots)?, self.context.history);
        let runs = match self.ring()? {
            Some(ring) => CacheRun::ring(place(4), segment, ring, first, self.seq)?,
            None => vec![CacheRun { place: place(4), segment, slot: first, tokens: self.seq }],
        };
        let call = match self.formats.cache {
            KvFormat::Bf16 => norm_rope::Call::new(buffers, runs)?,
            KvFormat::Int8 => norm_rope::Call::kv8(buffers, place(5), runs)?,
        };
        let mut compiled = norm_rope::compile(std::slice::from_ref(&call))?;
        let (heads, kv_heads, d) = (self.dims.heads, self.dims.kv_heads, self.dims.head_dim);
        let (row, norm) = ((heads + 2 * kv_heads) * d, HeadNorm::new(d)?);
        let table = RopeTable::new(d, 1.0, 1.0, RopeLimbs::Two)?.bytes(call.tables())?;
        let q = vec![self.seq, heads, d];
        let cache = segment.bytes();
        compiled.operands = vec![
            Operand::input("qkv", BF16_BYTES * self.seq * row, Dtype::Bf16, vec![self.seq, row], names::ROW_MAJOR),
            Operand::input("norms", 2 * norm.bytes(), Dtype::U8, vec![2, norm.bytes()], names::HEAD_NORMS),
            Operand::input(
                "rotations",
                table,
                Dtype::U8,
                vec![call.tables(), table / call.tables()],
                names::ROPE_TABLE,
            ),
            Operand::output("q", BF16_BYTES * self.seq * heads * d, Dtype::Bf16, q, names::ROW_MAJOR),
            match self.formats.cache {
                KvFormat::Bf16 => {
                    Operand::output("cache", cache, Dtype::Bf16, vec![cache / BF16_BYTES], names::KV_SEGMENT)
                }
                KvFormat::Int8 => Operand::output("cache", cache, Dtype::U8, vec![cache], names::KV_SEGMENT),
            },
        ];
        if self.formats.cache == KvFormat::Int8 {
            compiled.operands.push(Operand::scratch("scratch", norm_rope::SCRATCH_BYTES));
        }
        Ok((compiled, self.row_stream(), Vec::new()))
    }

    /// The rows of the projection on one channel of each column.
    fn row_stream(&self) -> Bound {
        let row = (self.dims.heads + 2 * self.dims.kv_heads) * self.dims.head_dim;
        let cycles = (BF16_BYTES * self.seq * row) as u64 / (STREAM_BYTES_PER_CYCLE * READ_CHANNELS / 2);
        Bound { resource: "row stream".into(), cycles }
    }

    fn cache(&self, slots: usize) -> Result<scaled::Cache, KernelError> {
        Ok(match self.ring()? {
            Some(ring) => scaled::Cache::Ring(ring),
            None => scaled::Cache::linear(slots)?,
        })
    }

    /// Multiply-accumulates of the pairs of positions and keys that are seen, and the cycles they take.
    fn of_pairs(&self) -> (u64, Bound) {
        let macs = 2 * self.pairs() * (self.dims.heads * self.dims.head_dim) as u64;
        (macs, Bound { resource: "vec".into(), cycles: macs / (BF16_MACS_PER_CYCLE * TILES) })
    }

    fn prefill(&self, slots: usize) -> Result<Built, KernelError> {
        let new = match self.formats.cache {
            KvFormat::Bf16 => ScaledAttention::new,
            KvFormat::Int8 => ScaledAttention::kv8,
        };
        let (history, kv_heads) = (self.context.history, self.heads()?.kv_heads());
        let kernel = new(self.seq, history, kv_heads, self.cache(slots)?)?;
        let mut compiled = kernel.compile()?;
        compiled.txn = txn::write(&txn::Header::npu1(compiled.columns), &kernel.stream()?.ops);
        Ok((compiled, self.of_pairs().1, vec![("plan", kernel.plan())]))
    }

    fn layer(&self, context: Context) -> Result<(Compiled, Call), KernelError> {
        let model = gemma::package_dims(self.dims);
        let panels = |kind| -> Result<Panels, KernelError> {
            let panels = model.panels(kind)?;
            Ok(self.formats.groups.map_or(panels, |size| panels.grouped(size)))
        };
        let [qkv, o] = [panels(ProjectionKind::Qkv)?, panels(ProjectionKind::O)?];
        let (heads, cache) = (self.heads()?, self.cache(context.slots)?);
        let kernel = AttentionLayer::new(self.seq, context.history, qkv, o, self.formats.activations, heads, cache)?;
        let (compiled, phases) = kernel.compile_in_phases()?;
        // whole blocks are computed, whatever S is
        let of_projection = |shape: &ProjectionShape| {
            ((self.seq * shape.panels().n() * shape.panels().inputs()) as u64, compile::bound(shape))
        };
        let [qkv, o] = kernel.projections();
        let of_phases = [of_projection(qkv), (0, self.row_stream()), self.of_pairs(), of_projection(o)];
        let phases: Vec<Phase> = phases
            .into_iter()
            .zip(of_phases)
            .map(|(phase, (macs, bound))| Phase {
                name: phase.name.into(),
                operations: phase.operations,
                macs,
                bound,
                memory: phase.memory.iter().map(region).collect(),
            })
            .collect();
        let bound = Bound { resource: "phases".into(), cycles: phases.iter().map(|phase| phase.bound.cycles).sum() };
        // PANIC: a compiled kernel has at least one core.
        let core = compiled.cores.values().next().expect("a kernel runs on cores");
        let sections = attention_layer::sections(core).iter().map(region).collect();
        let contents = vec![("plan", kernel.plan())];
        let call = Call::new(self.seq, compile::Numerics::W8a16.name(), bound);
        Ok((compiled, Call { context: Some(context), contents, phases, sections, ..call }))
    }

    fn decode(&self, slots: usize) -> Result<Built, KernelError> {
        let cache = match self.ring()? {
            Some(ring) => attention_decode::Cache::Local(ring),
            None => attention_decode::Cache::Global { slots },
        };
        let kernel = DecodeAttention::new(self.heads()?, self.dims.heads, cache, self.context.history, self.seq)?;
        let seen = (self.context.history + self.seq).min(self.context.window.unwrap_or(usize::MAX));
        let bytes = (seen * self.heads()?.token_bytes()) as u64;
        let bound = Bound { resource: "cache stream".into(), cycles: bytes / (STREAM_BYTES_PER_CYCLE * READ_CHANNELS) };
        Ok((kernel.compile()?, bound, vec![("plan", kernel.plan_bytes().to_vec())]))
    }

    /// Pairs of a query position and a key that it sees.
    fn pairs(&self) -> u64 {
        let seen = |s: usize| (self.context.history + s + 1).min(self.context.window.unwrap_or(usize::MAX)) as u64;
        (0..self.seq).map(seen).sum()
    }
}

fn region(of: &attention_layer::Region) -> Region {
    Region { name: of.name.into(), at: of.at, bytes: of.bytes, kept: of.kept }
}

/// A kernel, what bounds it, and the contents of its own inputs.
type Built = (Compiled, Bound, Vec<(&'static str, Vec<u8>)>);
