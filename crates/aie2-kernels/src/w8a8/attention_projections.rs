//! `w8a16_attention_projections` and `w8a8_attention_projections`: both projections of an attention layer in one configuration and one submission.
//!
//! ```text
//! for each block of rows    qkv = x · Wqkv    |    o = ctx · Wo
//! ```
//! Each phase is what the kernel of its own computes, bit for bit, and one copy of the code serves both: they differ in the entries of the
//! core's memory that the program goes through, and in what the stream moves.

use npu_package::layout::{Activations, Panels, ProjectionKind, ProjectionShape};

use super::{Build, Compiled, KernelError, Operand, WeightScales, check_record, operands, stream};

/// An instance: a model's projections at one sequence length.
#[derive(Clone, Copy, Debug)]
pub struct AttentionProjections {
    qkv: ProjectionShape,
    o: ProjectionShape,
}

impl AttentionProjections {
    /// `seq` tokens through `qkv`, and as many attention outputs through `o`.
    ///
    /// # Errors
    /// Panels of another projection or of another model's, no token, a record too long for the array, or scales of groups of inputs.
    pub fn new(seq: usize, qkv: Panels, o: Panels, activations: Activations) -> Result<Self, KernelError> {
        let n_q = qkv.width(npu_package::layout::Output::Q);
        for (what, first, second) in [
            ("query rows and inputs of the output projection", n_q, o.inputs()),
            ("hidden size and output rows", qkv.inputs(), o.n()),
        ] {
            if (qkv.kind(), o.kind()) != (ProjectionKind::Qkv, ProjectionKind::O) || first != second {
                return Err(KernelError::PhasesDisagree { what, first, second });
            }
        }
        let shape = |panels| ProjectionShape::with_activations(seq, panels, activations);
        let projections = Self { qkv: shape(qkv)?, o: shape(o)? };
        for shape in projections.shapes() {
            check_record(shape)?;
            if let Some(size) = shape.panels().groups() {
                let (kernel, scales) = (projections.name(), WeightScales::PerGroup(size));
                return Err(KernelError::ScalesNotImplemented { kernel, scales });
            }
        }
        Ok(projections)
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        match self.qkv.activations() {
            Activations::Int8 => "w8a8_attention_projections",
            Activations::Int16 => "w8a16_attention_projections",
        }
    }

    /// Rows, blocks and buffer sizes of the phases, in order.
    pub fn shapes(&self) -> [&ProjectionShape; 2] {
        [&self.qkv, &self.o]
    }

    /// Compiles program, configuration and runtime stream. Operands: `x`, `qkv_weights`, `qkv`, `ctx`, `o_weights`, `o`, `scratch`.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let scratch = self.qkv.scratch_bytes().max(self.o.scratch_bytes());
        let mut buffers = operands(&self.qkv, "qkv_weights").to_vec();
        buffers.extend(operands(&self.o, "o_weights"));
        buffers.push(Operand::scratch("scratch", scratch));
        let args = |x| stream::Args::from_first(x, 6);
        let phases =
            vec![stream::Phase { shape: self.qkv, args: args(0) }, stream::Phase { shape: self.o, args: args(3) }];
        Build { kernel: self.name(), phases, operands: buffers }.compile()
    }
}
