//! `w8a8_qkv_projection` and `w8a8_o_projection`: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k]
//!
//! BF16 activations, quantised per token on the NPU; INT8 weights with BF16 scales per output channel; BF16 outputs. Spec, bit for bit:
//! `oracle::w8a8`. Operand layouts: `docs/package.md`. Shape rules: K and the width of every output multiples of 256; S ≥ 1.
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | quantise | `capture` | 2 for 32 values | load port A |
//! | multiply | `gemm` | 64 for 64 `vmac` 4x8x8 | vector slot and both load ports |
//! | scale | `scale` | 44 for 2 tiles of 4x8 | vector slot (34); accumulators hold two tiles under way |
//!
//! Array, program and stream also serve [`crate::w8a16`], whose activations have two int8 limbs, and the phases of [`AttentionProjections`].

pub(crate) mod array;
mod attention_projections;
mod epilogue;
mod gemm;
pub(crate) mod l1;
pub(crate) mod phase;
pub(crate) mod program;
pub(crate) mod quantise;
pub(crate) mod stream;

use std::thread;

use aie2_codegen::Program;
use npu_package::layout::{Activations, Panels, ProjectionKind, ProjectionShape};

use crate::grid::{Array, on_every_core};
use crate::{Compiled, CoreBinary, Dtype, KernelError, Operand, WeightScales, w8a16};

pub use crate::grid::GRID;
pub use attention_projections::AttentionProjections;

/// Name of the query, key and value projection in packages.
pub const NAME: &str = "w8a8_qkv_projection";
/// Name of the output projection in packages.
pub const O_NAME: &str = "w8a8_o_projection";

/// One instance: a model's projection at one sequence length.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    shape: ProjectionShape,
}

impl Projection {
    /// A query, key and value projection: `seq` tokens of `hidden` inputs to NQ, NK and NV outputs; a scale for every output channel.
    ///
    /// # Errors
    /// A shape that breaks a rule, named.
    pub fn new(seq: usize, hidden: usize, n_q: usize, n_k: usize, n_v: usize) -> Result<Self, KernelError> {
        Self::of(ProjectionShape::new(seq, hidden, n_q, n_k, n_v)?, WeightScales::PerChannel)
    }

    /// An instance of a shape, whose activations choose between W8A8 and W8A16.
    ///
    /// # Errors
    /// A record too long for the array, or a granularity of scales that the epilogue does not apply.
    pub fn of(shape: ProjectionShape, scales: WeightScales) -> Result<Self, KernelError> {
        match layout_scales(shape.panels(), scales) {
            // one scale for all is a column of equal ones
            WeightScales::PerTensor | WeightScales::PerChannel => {}
            scales @ WeightScales::PerGroup(_) => {
                return Err(KernelError::ScalesNotImplemented { kernel: name(&shape), scales });
            }
        }
        check_record(&shape)?;
        Ok(Self { shape })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        name(&self.shape)
    }

    /// Rows, blocks and buffer sizes.
    pub fn shape(&self) -> &ProjectionShape {
        &self.shape
    }

    /// Compiles program, configuration and runtime stream.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        self.build().compile()
    }

    /// Compiles several instances. Those that differ in the runtime stream alone share one program; different ones are compiled side by side.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_all(instances: &[Self]) -> Result<Vec<Compiled>, KernelError> {
        let wanted = instances.iter().map(|instance| instance.build().program()).collect::<Result<Vec<_>, _>>()?;
        let mut distinct = wanted.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let compiled = thread::scope(|scope| {
            let workers: Vec<_> = distinct.iter().map(|program| scope.spawn(|| program.compile())).collect();
            // PANIC: a worker only compiles; its own panic is this crate's bug and is passed on.
            workers
                .into_iter()
                .map(|worker| worker.join().expect("a compiler thread panicked"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let program = |wanted| &compiled[distinct.binary_search(wanted).expect("every wanted program was compiled")];
        instances.iter().zip(&wanted).map(|(instance, wanted)| instance.build().link(program(wanted))).collect()
    }

    fn build(&self) -> Build {
        let args = stream::Args::from_first(0, 3);
        Build {
            kernel: self.name(),
            phases: vec![stream::Phase { shape: self.shape, args }],
            operands: self.operands(),
        }
    }

    fn operands(&self) -> Vec<Operand> {
        let [x, weights, y] = operands(&self.shape, "weights");
        vec![x, weights, y, Operand::scratch("scratch", self.shape.scratch_bytes())]
    }
}

/// Activations, weights and outputs of a projection.
pub(crate) fn operands(s: &ProjectionShape, weights: &'static str) -> [Operand; 3] {
    use npu_package::layout::names::ROW_MAJOR;
    let panels = s.panels();
    let (x, y) = panels.kind().operands();
    let units = vec![usize::from(GRID), panels.passes(), panels.units(), panels.unit_bytes()];
    [
        Operand::input(x, s.x_bytes(), Dtype::Bf16, vec![s.seq(), panels.inputs()], ROW_MAJOR),
        Operand::input(weights, s.weights_bytes(), Dtype::U8, units, panels.layout_name()),
        Operand::output(y, s.y_bytes(), Dtype::Bf16, vec![s.seq(), panels.n()], ROW_MAJOR),
    ]
}

/// The scales that a kernel finds: those of the layout, where it has some for groups.
pub(crate) fn layout_scales(panels: &Panels, scales: WeightScales) -> WeightScales {
    panels.groups().map_or(scales, WeightScales::PerGroup)
}

pub(crate) fn check_record(shape: &ProjectionShape) -> Result<(), KernelError> {
    let limit = array::record_bytes_max(shape.limbs() as u32) as usize;
    let (inputs, record_bytes) = (shape.panels().inputs(), shape.record_bytes());
    if record_bytes > limit {
        return Err(KernelError::RecordTooLong { inputs, record_bytes, limit });
    }
    Ok(())
}

/// A kernel as a list of phases, in the order in which program and stream go through them. All divide their rows alike.
struct Build {
    kernel: &'static str,
    phases: Vec<stream::Phase>,
    operands: Vec<Operand>,
}

impl Build {
    fn l1(&self) -> l1::L1 {
        let shape = &self.phases[0].shape;
        let limbs = shape.limbs();
        l1::L1 { m: (shape.m() * limbs) as u32, limbs: limbs as u32 }
    }

    fn array(&self) -> Result<Array, KernelError> {
        let phases: Vec<_> = self.phases.iter().map(|p| phase::Phase::projection(&p.shape)).collect();
        Ok(array::array(self.l1(), &phases)?)
    }

    fn program(&self) -> Result<program::CoreProgram, KernelError> {
        Ok(program::CoreProgram { l1: self.l1(), locks: self.array()?.locks() })
    }

    fn compile(self) -> Result<Compiled, KernelError> {
        let program = self.program()?.compile()?;
        self.link(&program)
    }

    fn link(self, program: &Program) -> Result<Compiled, KernelError> {
        let configuration = self.array()?.finish(&program.bytes)?;
        let stream = stream::stream(&self.phases)?;
        let mut binary = CoreBinary::from(program);
        declare_gemm(&mut binary)?;
        Ok(Compiled::new(self.kernel, on_every_core(&binary), configuration, &stream, self.operands))
    }
}

fn name(shape: &ProjectionShape) -> &'static str {
    match (shape.panels().kind(), shape.activations()) {
        (ProjectionKind::Qkv, Activations::Int8) => NAME,
        (ProjectionKind::Qkv, Activations::Int16) => w8a16::NAME,
        (ProjectionKind::O, Activations::Int8) => O_NAME,
        (ProjectionKind::O, Activations::Int16) => w8a16::O_NAME,
    }
}

/// The pinned loop reports what it issues; what it promises stands in its module.
pub(crate) fn declare_gemm(binary: &mut CoreBinary) -> Result<(), KernelError> {
    for l in binary.loops.iter_mut().filter(|l| l.name == gemm::NAME) {
        l.ii_declared = gemm::II;
        if (l.ii_reached, l.vmac_per_ii) != (gemm::II, gemm::VMAC_PER_II) {
            return Err(KernelError::LoopMissed { name: gemm::NAME, declared: gemm::II, reached: l.ii_reached });
        }
    }
    Ok(())
}
