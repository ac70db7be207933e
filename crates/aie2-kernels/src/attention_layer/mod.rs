//! `w8a16_attention`: a layer's attention from hidden states to the output projection, in one configuration and one submission.
//!
//! ```text
//! qkv = x · Wqkv            every block of 256 rows        `w8a16`
//! q, K, V = norm, rotate                                   `norm_rope`
//! ctx = attention(q, K, V)                                 `attention::scaled`
//! o = ctx · Wo              every block of 256 rows        `w8a16`
//! ```
//! Each phase computes what the kernel of its own does, bit for bit, and what one hands to the next lies in DDR. Rings, circuits and locks serve all of
//! them; only what A and B of the mem tiles do with a unit differs, and the runtime stream queues that ([`array`]). A phase begins when all outputs of
//! the one before have arrived. One program and configuration serve every S, history and cache of a model.

mod array;
mod program;
mod stream;

use aie2_codegen::Program;
use npu_package::layout::names::OPAQUE;
use npu_package::layout::{Activations, KvFormat, KvHeads, Panels, ProjectionKind, ProjectionShape, ROW_GROUP};

use crate::attention::scaled::{self, Cache, ScaledAttention};
use crate::grid::on_every_core;
use crate::norm_rope::{self, Buffers, CacheRun, Call};
use crate::w8a8::{self, phase};
use crate::{Compiled, CoreBinary, Direction, Dtype, KernelError, Operand, Place, WeightScales, w8a16};

pub use array::{Region, memory_map};
pub use program::sections;

/// Name of the kernel in packages.
pub const NAME: &str = "w8a16_attention";
/// Name that it would have with activations of 8 bits; refused.
pub const W8A8_NAME: &str = "w8a8_attention";

/// Name of the kernel that leaves the attention itself to another.
pub const PROJECTIONS_NAME: &str = "w8a16_projections_norm_rope";
/// Name of the kernel between the projections.
pub const ATTENTION_NAME: &str = "norm_rope_attention";

/// Key-value heads, with two query heads each.
const KV_HEADS: usize = 16;
/// Bytes of the norms' operand, and of a position's rotation.
const NORM_BYTES: usize = 1024;
const TABLE_BYTES: usize = 1024;

/// Host buffers by index.
mod arg {
    pub const X: u32 = 0;
    pub const QKV_WEIGHTS: u32 = 1;
    pub const O_WEIGHTS: u32 = 2;
    pub const TABLES: u32 = 3;
    pub const CACHE: u32 = 4;
    pub const O: u32 = 5;
    pub const SCRATCH: u32 = 6;
}

/// Most host buffers of a kernel that every driver passes on.
pub const HOST_BUFFERS: usize = 7;

/// Where the operands begin.
#[derive(Clone, Copy, Debug)]
struct Places {
    x: Place,
    qkv_weights: Place,
    o_weights: Place,
    norms: Place,
    plan: Place,
    rotations: Place,
    cache: Place,
    o: Place,
    qkv: Place,
    q: Place,
    ctx: Place,
    work: Place,
}

impl Places {
    fn new(tables: &Operand, scratch: &Operand) -> Self {
        // PANIC: both are built in this module, with these parts.
        let part = |arg, of: &Operand, name| Place { arg, offset: of.offset_of(name).expect("a part") as u64 };
        let (table, own) = (|name| part(arg::TABLES, tables, name), |name| part(arg::SCRATCH, scratch, name));
        Self {
            x: Place::whole(arg::X),
            qkv_weights: Place::whole(arg::QKV_WEIGHTS),
            o_weights: Place::whole(arg::O_WEIGHTS),
            norms: table("norms"),
            plan: table("plan"),
            rotations: table("rotations"),
            cache: Place::whole(arg::CACHE),
            o: Place::whole(arg::O),
            qkv: own("qkv"),
            q: own("q"),
            ctx: own("ctx"),
            work: own("work"),
        }
    }
}

/// What the host fills and no kernel changes. The rotations come last: where the others begin does not depend on how many there are.
fn tables(attention: &ScaledAttention, positions: usize) -> Operand {
    let bytes = |name, bytes| Operand::input(name, bytes, Dtype::U8, vec![bytes], OPAQUE);
    let [_, _, plan, _, _] = of_attention(attention);
    let parts = [bytes("norms", NORM_BYTES), plan, bytes("rotations", positions * TABLE_BYTES)];
    Operand::merged("tables", Direction::In, parts)
}

/// What the phases hand to each other, and what each needs for itself.
fn scratch(qkv: &ProjectionShape, o: &ProjectionShape, attention: &ScaledAttention) -> Operand {
    let [q, _, _, _, own] = of_attention(attention);
    let [_, _, rows] = w8a8::operands(qkv, "qkv_weights");
    let [ctx, _, _] = w8a8::operands(o, "o_weights");
    let work = qkv.scratch_bytes().max(o.scratch_bytes()).max(own.bytes).max(array::OUT_TURN_BYTES);
    Operand::merged("scratch", Direction::Scratch, [rows, q, ctx, Operand::scratch("work", work)])
}

fn of_attention(attention: &ScaledAttention) -> [Operand; 5] {
    // PANIC: that kernel has five.
    attention.operands().try_into().expect("the operands of scaled_attention")
}

/// One instance: a layer's attention for some new positions.
#[derive(Clone, Debug)]
pub struct AttentionLayer {
    qkv: ProjectionShape,
    o: ProjectionShape,
    call: Call,
    attention: ScaledAttention,
    places: Places,
    extent: Extent,
}

/// Which phases a configuration holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All.
    Whole,
    /// All but the attention itself: `ctx` is the caller's.
    Projections,
    /// What lies between the projections: `qkv` is the caller's, `ctx` the result.
    Attention,
}

/// A step of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Qkv,
    NormRope,
    Attention,
    O,
}

impl Step {
    /// The kernel that does the same alone.
    fn name(self) -> &'static str {
        match self {
            Self::Qkv => w8a16::NAME,
            Self::NormRope => norm_rope::NAME,
            Self::Attention => scaled::NAME,
            Self::O => w8a16::O_NAME,
        }
    }

    fn memory(self) -> Vec<Region> {
        let [projection, norm_rope, attention] = memory_map().map(|(_, regions)| regions);
        match self {
            Self::Qkv | Self::O => projection,
            Self::NormRope => norm_rope,
            Self::Attention => attention,
        }
    }
}

/// A phase of the compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseOf {
    /// Name of the kernel that does the same alone.
    pub name: &'static str,
    /// Operations of the runtime stream up to its end.
    pub operations: usize,
    /// Data memory of a compute tile while it runs.
    pub memory: Vec<Region>,
}

impl AttentionLayer {
    /// `seq` new positions behind `history` through projections with these weights, against a cache that holds them all.
    ///
    /// # Errors
    /// Activations of 8 bits, another number of heads, a cache of other elements than bfloat16, projections of different models, or what a phase does not serve.
    pub fn new(
        seq: usize,
        history: usize,
        qkv: Panels,
        o: Panels,
        activations: Activations,
        heads: KvHeads,
        cache: Cache,
    ) -> Result<Self, KernelError> {
        let (n_q, head) = (qkv.width(npu_package::layout::Output::Q), scaled::HEAD_DIM);
        let n_kv = qkv.n() - n_q;
        for (what, needed, found) in [
            ("limbs of an activation", Activations::Int16.limbs(), activations.limbs()),
            ("key-value heads", KV_HEADS, heads.kv_heads()),
            ("width of a head", head, heads.head_dim()),
            ("query columns", KV_HEADS * scaled::QUERY_HEADS * head, n_q),
            ("key and value columns", 2 * KV_HEADS * head, n_kv),
        ] {
            if needed != found {
                return Err(KernelError::Refused { kernel: NAME, what, needed, found });
            }
        }
        if let Some(size) = qkv.groups().or(o.groups()) {
            return Err(KernelError::ScalesNotImplemented { kernel: NAME, scales: WeightScales::PerGroup(size) });
        }
        if heads.format() != KvFormat::Bf16 {
            return Err(norm_rope::Refusal::Format { format: heads.format() }.into());
        }
        for (what, first, second) in [
            ("query rows and inputs of the output projection", n_q, o.inputs()),
            ("hidden size and output rows", qkv.inputs(), o.n()),
        ] {
            if (qkv.kind(), o.kind()) != (ProjectionKind::Qkv, ProjectionKind::O) || first != second {
                return Err(KernelError::PhasesDisagree { what, first, second });
            }
        }
        let shape = |panels| {
            let shape = ProjectionShape::with_activations(seq, panels, Activations::Int16)?.in_whole_blocks();
            w8a8::check_record(&shape)?;
            Ok::<_, KernelError>(shape)
        };
        let attention = ScaledAttention::new(seq, history, KV_HEADS, cache)?;
        let (qkv, o) = (shape(qkv)?, shape(o)?);
        let places = Places::new(&tables(&attention, 0), &scratch(&qkv, &o, &attention));
        let Places { qkv: rows, norms, rotations, q, .. } = places;
        let call = Call::new(Buffers { qkv: rows, weights: norms, tables: rotations, q }, runs(&attention))?;
        Ok(Self { qkv, o, call, attention, places, extent: Extent::Whole })
    }

    /// The same with some of the phases.
    ///
    /// # Errors
    /// The phases between the projections alone cannot let an idle unit of A pass, so their call needs an odd number of segments.
    pub fn with_extent(self, extent: Extent) -> Result<Self, KernelError> {
        let found = stream::segments(&self.call) as usize;
        if extent == Extent::Attention && found.is_multiple_of(2) {
            let what = "segments of tokens, one more or less";
            return Err(KernelError::Refused { kernel: ATTENTION_NAME, what, needed: found + 1, found });
        }
        Ok(Self { extent, ..self })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        match self.extent {
            Extent::Whole => NAME,
            Extent::Projections => PROJECTIONS_NAME,
            Extent::Attention => ATTENTION_NAME,
        }
    }

    /// Shapes of the projections: queries, keys and values, then outputs.
    pub fn projections(&self) -> [&ProjectionShape; 2] {
        [&self.qkv, &self.o]
    }

    /// The attention between them.
    pub fn attention(&self) -> &ScaledAttention {
        &self.attention
    }

    /// The call of `norm_rope`.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The `plan` operand.
    pub fn plan(&self) -> Vec<u8> {
        self.attention.plan()
    }

    /// Entries of the projections in the cores' memory. Columns of an odd number of units of B get an idle one, so that every phase finds B at the
    /// first unit of its ring.
    fn phases(&self) -> [phase::Phase; 2] {
        self.projections()
            .map(|shape| phase::Phase::projection(shape).among_others(array::PROJECTION, stream::idle_units(shape)))
    }

    /// Compiles program, configuration and runtime stream.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        Ok(self.compile_in_phases()?.0)
    }

    /// The same, and which phases it goes through.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_in_phases(&self) -> Result<(Compiled, Vec<PhaseOf>), KernelError> {
        let (array, program) = self.program()?;
        let (configuration, rings) = array.finish(&program.bytes)?;
        let (stream, ends) = stream::stream(self, &rings)?;
        let mut binary = CoreBinary::from(&program);
        if self.extent != Extent::Attention {
            w8a8::declare_gemm(&mut binary)?;
        }
        let cores = on_every_core(&binary);
        let compiled = Compiled::new(self.name(), cores, configuration, &stream, self.operands());
        let phase =
            |(phase, operations): (Step, usize)| PhaseOf { name: phase.name(), operations, memory: phase.memory() };
        Ok((compiled, ends.into_iter().map(phase).collect()))
    }

    fn program(&self) -> Result<(array::Array, Program), KernelError> {
        let array = array::Array::new(&self.phases())?;
        let program = program::compile(array.locks(), self.extent)?;
        Ok((array, program))
    }

    /// Host buffers in order.
    pub fn operands(&self) -> Vec<Operand> {
        let [x, qkv_weights, _] = w8a8::operands(&self.qkv, "qkv_weights");
        let [_, o_weights, o] = w8a8::operands(&self.o, "o_weights");
        let [_, cache, ..] = of_attention(&self.attention);
        let cache = Operand { direction: Direction::Scratch, ..cache };
        let tables = tables(&self.attention, self.call.tables());
        vec![x, qkv_weights, o_weights, tables, cache, o, scratch(&self.qkv, &self.o, &self.attention)]
    }
}

/// Slots of the new positions.
fn runs(attention: &ScaledAttention) -> Vec<CacheRun> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for position in attention.history()..attention.history() + attention.seq() {
        let (segment, slot) = attention.locate(position);
        match runs.last_mut() {
            Some((s, first, tokens)) if *s == segment && *first + *tokens == slot => *tokens += 1,
            Some(_) | None => runs.push((segment, slot, 1)),
        }
    }
    let run = |(segment, slot, tokens): (usize, usize, usize)| CacheRun {
        place: Place { arg: arg::CACHE, offset: (segment * attention.cache_segment().bytes()) as u64 },
        segment: *attention.cache_segment(),
        slot,
        tokens,
    };
    runs.into_iter().map(run).collect()
}

const _: () = assert!(array::PROJECTION.m as usize == 8 * ROW_GROUP);

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(seq: usize) -> AttentionLayer {
        let qkv = Panels::new(5376, 4096, 2048, 2048).expect("legal dimensions");
        let o = Panels::output(4096, 5376).expect("legal dimensions");
        let heads = KvHeads::new(KV_HEADS, scaled::HEAD_DIM, KvFormat::Bf16).expect("legal heads");
        let cache = Cache::linear(2048).expect("whole groups");
        AttentionLayer::new(seq, 40, qkv, o, Activations::Int16, heads, cache).expect("a legal layer")
    }

    #[test]
    fn every_driver_passes_the_buffers_on() {
        let operands = layer(300).operands();
        let names: Vec<&str> = operands.iter().map(|operand| operand.name).collect();
        assert_eq!(names, ["x", "qkv_weights", "o_weights", "tables", "cache", "o", "scratch"]);
        assert_eq!(names.len(), HOST_BUFFERS);
    }

    /// Parts lie apart, inside and where the stream takes them to be, whatever S.
    #[test]
    fn parts_of_a_buffer_do_not_overlap() {
        for seq in [5, 17, 300, 512, 1000] {
            let layer = layer(seq);
            let operands = layer.operands();
            let parts = |name: &str| {
                let operand = operands.iter().find(|operand| operand.name == name).expect("a buffer");
                let mut end = 0;
                for (offset, part) in &operand.parts {
                    assert!(*offset >= end && offset.is_multiple_of(4096), "S = {seq}, {} at {offset}", part.name);
                    end = offset + part.bytes;
                }
                assert_eq!(end, operand.bytes, "S = {seq}, {name}");
                operand.parts.iter().map(|(offset, part)| (part.name, *offset as u64)).collect::<Vec<_>>()
            };
            let Places { norms, plan, rotations, qkv, q, ctx, work, .. } = layer.places;
            let at = |places: [Place; 3]| places.map(|place| place.offset);
            let (tables, scratch) = (parts("tables"), parts("scratch"));
            let [norms, plan, rotations] = at([norms, plan, rotations]);
            assert_eq!(tables, [("norms", norms), ("plan", plan), ("rotations", rotations)]);
            let [qkv, q, ctx] = at([qkv, q, ctx]);
            assert_eq!(scratch, [("qkv", qkv), ("q", q), ("ctx", ctx), ("work", work.offset)]);
        }
    }
}
