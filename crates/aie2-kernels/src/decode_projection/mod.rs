//! A projection for one to four tokens: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k], bound by the weights' way in.
//!
//! Numerics, bit for bit: `oracle::w8a8` or `oracle::w8a16`. Weights: the panels of [`crate::w8a8`]. Shape rules: S of 1 ..= 4; K, N multiples of 256;
//! K ≤ 5376. Operands: [`npu_package::layout::DecodeShape`], `docs/package.md`.
//!
//! All eight shim channels that read DDR carry weights. A group of 64 outputs, which one core computes, comes in two halves: one along the core's row
//! (A), one along its column (B). In pass p the group of column c belongs to core row (c + p) mod 4, so that the four groups of a pass load each of the
//! eight streams once, and their outputs leave through the column they belong to:
//!
//! ```text
//! core (c, r)   passes p = r - c (mod 4):  K / 128 units on A and as many on B, codes of all tokens in L1
//!               other passes:              acquires and releases what goes by
//! ```
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | quantise | `capture` | 6 for 32 values | six loads from the bank of B |
//! | quantise | `quantise` | 13 for 4 tokens × 32 values | vector slot (12) |
//! | multiply | `multiply` | 52 for 32 `vmac` 4x8x8 (W8A16), 36 for 16 (W8A8) | one set of accumulators; weights through one port (32) |
//! | scale | `scale` | 74 for 2 tiles of 4x8 (W8A16), 46 (W8A8) | accumulators of a tile under way |

pub(crate) mod array;
mod l1;
mod multiply;
pub(crate) mod program;
mod quantise;
pub(crate) mod results;
mod scale;
pub(crate) mod stream;

use npu_package::layout::{Activations, DECODE_TOKENS, DecodeShape, Panels, ProjectionKind, names};

use crate::grid::{GRID, on_every_core};
use crate::w8a8::layout_scales;
use crate::{Compiled, CoreBinary, Dtype, KernelError, Operand, WeightScales};

/// Names of the kernels with int8 activations.
pub const W8A8_NAMES: [&str; 2] = ["w8a8_decode_qkv_projection", "w8a8_decode_o_projection"];
/// Names of the kernels with 16-bit activations.
pub const W8A16_NAMES: [&str; 2] = ["w8a16_decode_qkv_projection", "w8a16_decode_o_projection"];

/// One instance: a projection of `seq` tokens.
#[derive(Clone, Copy, Debug)]
pub struct DecodeProjection {
    shape: DecodeShape,
}

impl DecodeProjection {
    /// `seq` tokens through the weights of `panels`.
    ///
    /// # Errors
    /// A shape that breaks a rule, more than four tokens, or a granularity of scales that the epilogue does not apply.
    pub fn new(
        seq: usize,
        panels: Panels,
        activations: Activations,
        scales: WeightScales,
    ) -> Result<Self, KernelError> {
        let shape = DecodeShape::new(seq, panels, activations)?;
        match layout_scales(shape.panels(), scales) {
            // one scale for all is a column of equal ones
            WeightScales::PerTensor | WeightScales::PerChannel => Ok(Self { shape }),
            scales @ WeightScales::PerGroup(_) => {
                Err(KernelError::ScalesNotImplemented { kernel: name(shape.panels().kind(), activations), scales })
            }
        }
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        name(self.shape.panels().kind(), self.shape.activations())
    }

    /// Sizes.
    pub fn shape(&self) -> &DecodeShape {
        &self.shape
    }

    /// Compiles program, configuration and runtime stream. The program depends on the activations alone, the configuration not on `seq`.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let limbs = self.shape.activations().limbs() as u32;
        let array = array::array(limbs, program::Parameters::of(&self.shape))?;
        let program = program::CoreProgram { limbs, locks: array.locks() }.compile()?;
        let configuration = array.finish(&program.bytes)?;
        let stream = stream::stream(&self.shape)?;
        let cores = on_every_core(&CoreBinary::from(&program));
        Ok(Compiled::new(self.name(), cores, configuration, &stream, operands(&self.shape)))
    }
}

/// Host buffers in order.
pub(crate) fn operands(s: &DecodeShape) -> Vec<Operand> {
    let panels = s.panels();
    let (x_name, y_name) = panels.kind().operands();
    let weights = vec![usize::from(GRID), panels.passes(), panels.units(), panels.unit_bytes()];
    let (x, y) = (vec![s.seq(), panels.inputs()], vec![DECODE_TOKENS, panels.n()]);
    vec![
        Operand::input(x_name, s.x_bytes(), Dtype::Bf16, x, names::ROW_MAJOR),
        Operand::input("weights", s.weights_bytes(), Dtype::U8, weights, panels.layout_name()),
        Operand::output(y_name, s.y_bytes(), Dtype::Bf16, y, names::ROW_MAJOR),
        Operand::scratch("scratch", DecodeShape::scratch_bytes()),
    ]
}

/// Name of the kernel of a projection.
pub const fn name(kind: ProjectionKind, activations: Activations) -> &'static str {
    let [qkv, o] = match activations {
        Activations::Int8 => W8A8_NAMES,
        Activations::Int16 => W8A16_NAMES,
    };
    match kind {
        ProjectionKind::Qkv => qkv,
        ProjectionKind::O => o,
    }
}
