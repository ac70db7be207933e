//! `w8a16_qkv_projection` and `w8a16_o_projection`: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k] / 256
//!
//! BF16 activations, quantised per token to 16-bit codes on the NPU; INT8 weights with BF16 scales per output channel; BF16 outputs. Spec, bit for bit:
//! `oracle::w8a16`. Operand layouts: `docs/package.md`; the weights are those of [`crate::w8a8`].
//!
//! ```text
//! q = 256 h + l, h and l int8          H = Σ h · w,  L = Σ l · w, exact int32          y = s_tok · s_ch · (H + L / 256)
//! ```
//! A code's limbs are two rows of an int8 product, so [`crate::w8a8`]'s loop runs unchanged on 2 m rows: 256 int8 multiply-accumulates per
//! cycle are 128 of this kernel, as many as the unit has for bf16. A row pair of A holds one limb of 4 tokens in its first tile, the other in its
//! second, so H and L meet lane by lane.
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | quantise | `capture` | 2 for 32 values | load port A |
//! | quantise | `clear_stage` | 2 for 32 values | store slot |
//! | multiply | `gemm` | 64 for 64 `vmac` 4x8x8 | vector slot and both load ports |
//! | scale | `token_scales` | 4 for 4 tokens | store slot |
//! | scale | `scale` | 72 for 2 tiles of 4x8 | a tile in the accumulators of each of two sets (61); store slot 46 |

use npu_package::layout::{Activations, Panels, ProjectionShape};

use crate::w8a8::Projection;
use crate::{KernelError, WeightScales};

/// Name of the query, key and value projection in packages.
pub const NAME: &str = "w8a16_qkv_projection";
/// Name of the output projection in packages.
pub const O_NAME: &str = "w8a16_o_projection";

/// An instance for `seq` tokens; the panels say of which projection.
///
/// # Errors
/// A shape that breaks a rule, or scales that the kernel does not apply, named.
pub fn projection(seq: usize, panels: Panels, scales: WeightScales) -> Result<Projection, KernelError> {
    Projection::of(ProjectionShape::with_activations(seq, panels, Activations::Int16)?, scales)
}
