//! Projections whose INT8 weights have a BF16 scale for every 32 or 128 inputs: y[s][n] = Σₖ x[s][k] · bf16(s[n][k / G] · w[n][k])
//!
//! BF16 activations as they are, weights dequantised to BF16 in L1, float32 sums. Spec, bit for bit: `oracle::w8a16_groups`. Layout of the weights:
//! [`Panels::grouped`], `docs/package.md`. Shapes, array and stream are those of [`crate::w8a16`].
//!
//! A scale for every group would have to be applied to int32 sums once for every group: 12 and more vector operations for 32 sums of both limbs, against
//! 4 or 16 `vmac` that make one of them. Applied to the weights it costs 5 for 32 weights, whatever the group, shared by all tokens of a core, and
//! a `vmac.f` then multiplies as many activations of 16 bits as one of two int8 limbs. The price is one rounding of each weight to
//! bfloat16.
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | dequantise | `dequantise` | 224 for 1024 weights | reads of accumulators |
//! | multiply | `gemm` | 66 for 64 `vmac.f` 4x8x4 | vector slot and load port B (64) |
//! | send | `send` | 32 for 8 tiles of 4x4 | store slot |

mod array;
pub mod decode;
mod gemm;
mod l1;
mod output;
mod program;
mod weights;

use aie2_codegen::{Asm, MemRef};
use npu_package::layout::{Activations, GroupSize, Panels, ProjectionKind, ProjectionShape};

use crate::grid::{Array, Locks, on_every_core};
use crate::registers::{set_modes, splat32};
use crate::rings::RingRegs;
use crate::w8a8::{check_record, operands, stream};
use crate::{Compiled, CoreBinary, KernelError, Operand};
use weights::Groups;

/// Names of the projections of queries, keys and values and of the output, groups of 32 inputs, then of 128.
pub const NAMES: [[&str; 2]; 2] = [
    ["w8a16_group32_qkv_projection", "w8a16_group32_o_projection"],
    ["w8a16_group128_qkv_projection", "w8a16_group128_o_projection"],
];

/// One of `names`, which are in the order of [`NAMES`].
const fn name(names: &[[&'static str; 2]; 2], size: GroupSize, kind: ProjectionKind) -> &'static str {
    let of_size = match size {
        GroupSize::Of32 => names[0],
        GroupSize::Of128 => names[1],
    };
    match kind {
        ProjectionKind::Qkv => of_size[0],
        ProjectionKind::O => of_size[1],
    }
}

/// One instance: a model's projection at one sequence length.
#[derive(Clone, Copy, Debug)]
pub struct GroupProjection {
    shape: ProjectionShape,
    size: GroupSize,
}

impl GroupProjection {
    /// `seq` tokens through weights with a scale for every `size` inputs.
    ///
    /// # Errors
    /// A shape that breaks a rule, or a row of x too long for the array.
    pub fn new(seq: usize, panels: Panels, size: GroupSize) -> Result<Self, KernelError> {
        let shape = ProjectionShape::with_activations(seq, panels.grouped(size), Activations::Int16)?;
        check_record(&shape)?;
        Ok(Self { shape, size })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        name(&NAMES, self.size, self.shape.panels().kind())
    }

    /// Rows, blocks and buffer sizes.
    pub fn shape(&self) -> &ProjectionShape {
        &self.shape
    }

    /// Compiles program, configuration and runtime stream. The program depends on the size of the groups and on m alone.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let (array, groups, m) = (self.array()?, Groups(self.size), self.shape.m() as u32);
        let program = program::CoreProgram { m, groups, locks: array.locks() }.compile()?;
        let configuration = array.finish(&program.bytes)?;
        let args = stream::Args::from_first(0, 3);
        let stream = stream::stream(&[stream::Phase { shape: self.shape, args }])?;
        let [x, weights, y] = operands(&self.shape, "weights");
        let operands = vec![x, weights, y, Operand::scratch("scratch", self.shape.scratch_bytes())];
        let cores = on_every_core(&CoreBinary::from(&program));
        Ok(Compiled::new(self.name(), cores, configuration, &stream, operands))
    }

    fn array(&self) -> Result<Array, KernelError> {
        let shape = &self.shape;
        Ok(array::array(program::Parameters {
            k: shape.panels().inputs() as u32,
            m: shape.m() as u32,
            record_bytes: shape.record_bytes() as u32,
            passes: shape.panels().passes() as u32,
            groups: Groups(self.size),
        })?)
    }
}

/// Memory to be cleared: the name of the loop, alias class and bank, address, bytes.
type Cleared = (&'static str, MemRef, u32, u32);

/// Once: rounding, defined contents for what is read before it is first written, and rings at their first units.
fn start(a: &mut Asm, locks: Locks, first: [u32; 3], cleared: [Cleared; 2]) -> RingRegs {
    set_modes(a);
    let zero = splat32(a, 0);
    let p = a.p();
    for (name, memory, from, bytes) in cleared {
        a.imm(p, i64::from(from));
        a.pipelined(name, 1, bytes / 32, |a| a.vst(memory, zero.lo(), p, 32));
    }
    RingRegs::new(a, locks, first)
}
