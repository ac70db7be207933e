//! The same for one to four tokens, bound by the weights' way in; outputs equal those of [`super::GroupProjection`] bit for bit.
//!
//! Array, stream and turns are those of [`crate::decode_projection`]: all eight shim channels that read DDR carry weights, and of a group of 64 outputs
//! half the units come along the core's row, half along its column. Dequantising takes as long as a unit is on its way, so a core must not have one on both:
//! here B carries what A carried two passes before. A core then meets the first half of its inputs on A, the second half two passes later on B.
//!
//! ```text
//! pass   core (0, 0)          core (1, 0)          core (2, 0)          core (3, 0)            of row 0
//! 0      A, K/2 inputs
//! 1                                                                     A
//! 2      B, the other K/2                          A
//! 3                           A                                         B
//! 4      A of the next                             B
//! ```
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | copy | `x_rows` | none declared: x is 1 % of what travels | |
//! | multiply | `multiply` | 260 for 1024 weights | reads of accumulators (256) |
//! | send | `send` | 20 for 4 tiles of 4x4 | bank 0 |

mod array;
mod l1;
mod program;

use npu_package::layout::{Activations, DecodeShape, GroupSize, Panels};

use super::name;
use super::weights::Groups;
use crate::decode_projection::program::Parameters;
use crate::decode_projection::{operands, stream};
use crate::grid::on_every_core;
use crate::{Compiled, CoreBinary, KernelError};

/// Names of the kernels, in the order of [`super::NAMES`].
pub const NAMES: [[&str; 2]; 2] = [
    ["w8a16_group32_decode_qkv_projection", "w8a16_group32_decode_o_projection"],
    ["w8a16_group128_decode_qkv_projection", "w8a16_group128_decode_o_projection"],
];

/// One instance: a projection of `seq` tokens.
#[derive(Clone, Copy, Debug)]
pub struct GroupDecodeProjection {
    shape: DecodeShape,
    size: GroupSize,
}

impl GroupDecodeProjection {
    /// `seq` tokens through weights with a scale for every `size` inputs.
    ///
    /// # Errors
    /// A shape that breaks a rule, or more than four tokens.
    pub fn new(seq: usize, panels: Panels, size: GroupSize) -> Result<Self, KernelError> {
        Ok(Self { shape: DecodeShape::new(seq, panels.grouped(size), Activations::Int16)?, size })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        name(&NAMES, self.size, self.shape.panels().kind())
    }

    /// Sizes.
    pub fn shape(&self) -> &DecodeShape {
        &self.shape
    }

    /// Compiles program, configuration and runtime stream. The program depends on the size of the groups alone, the configuration not on `seq`.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        let groups = Groups(self.size);
        let array = array::array(program::Parameters { projection: Parameters::of(&self.shape), groups })?;
        let program = program::CoreProgram { groups, locks: array.locks() }.compile()?;
        let configuration = array.finish(&program.bytes)?;
        let stream = stream::stream(&self.shape)?;
        let cores = on_every_core(&CoreBinary::from(&program));
        Ok(Compiled::new(self.name(), cores, configuration, &stream, operands(&self.shape)))
    }
}
