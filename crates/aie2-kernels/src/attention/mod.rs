//! Scaled attention: the kernel [`scaled`], and its pieces for one compute tile. Specs, bit for bit: `oracle::exp2`, `oracle::flash`,
//! `oracle::recip`. The whole design: `docs/attention-design.md`.
//!
//! | piece | loop | II | bound |
//! |---|---|---|---|
//! | [`exp2`] | `exp2` | 12 for 64 values | accumulator read port |
//! | [`score`] | `score` | 72 for 68 `vmac.f` of 4 tiles; 68 with Qᵀ and Sᵀ apart | bank 3; vector slot |
//! | [`softmax`] | `references` | 30 for 4 queries, 32 keys | dependence chain (28) |
//! | [`softmax`] | `rescale_outputs` | 13 for 2 tiles | stages: 3 (store slot 10) |
//! | [`softmax`] | `probabilities` | 32 for 4 queries, 32 keys; 29 with Sᵀ and Pᵀ apart | bank 3; accumulator ports (26) |
//! | [`output`] | `output` | 36 for 32 `vmac.f` of 8 tiles | banks of Oᵀ and Pᵀ (32), load ports (33) |
//! | [`scaled::queries`] | `queries` | 15 for 16 elements of 8 positions | moves (13) |
//! | [`scaled::mask`] | `mask` | 11 for 4 keys, 4 queries | stages: 2 (tiles under way 9) |
//! | [`scaled::coded`] | `coded_keys` | 14 for 128 codes | vector slot and bank 0 (12), at two stages |
//! | [`scaled::coded`] | `coded_values` | 26 for 256 codes | vector slot and bank 1 (24), at two stages |
//! | [`finish`] | `limbs` | 20 for 16 values, without loop hardware in a pass | its own dependence chain |
//! | [`finish`] | `quotient` | 18 for 4 tiles, 22 into units | store slot (16) |
//! | [`recip`] | `reciprocal` | 57 for 16 values | its own dependence chain |
//! | [`recip`] | `rsqrt` | 102 for 16 values | its own dependence chain |

pub mod exp2;
pub mod finish;
pub mod output;
pub mod recip;
pub mod scaled;
pub mod score;
pub mod softmax;

use aie2_codegen::{Asm, MemRef, Program};

use crate::KernelError;
use crate::grid::CORE_BASE;
use crate::registers::set_modes;

/// Bytes of one of the four banks of data memory.
// SOURCE: AM020 ch. 4: 64 KiB in four logical banks.
pub(crate) const BANK_BYTES: u32 = 0x4000;

/// Where a piece that runs on its own finds its operands: inputs from the start of bank 0, results from the start of bank 1.
pub mod place {
    use super::{BANK_BYTES, CORE_BASE, MemRef};

    /// Core address of the inputs.
    pub const IN: u32 = CORE_BASE;
    /// Core address of the results.
    pub const OUT: u32 = CORE_BASE + BANK_BYTES;
    /// Bytes of inputs or of results that fit.
    pub const BYTES: u32 = BANK_BYTES;
    pub(super) const IN_MEMORY: MemRef = MemRef::space(1).in_bank(0);
    pub(super) const OUT_MEMORY: MemRef = MemRef::space(2).in_bank(1);
}

/// Where the blocks find what they work on, as core addresses. Blocks of the same places may follow each other on one memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Qᵀ.
    pub q: u32,
    /// Sᵀ.
    pub s: u32,
    /// Pᵀ, aligned to its size.
    pub p: u32,
    /// Oᵀ.
    pub o: u32,
    /// References.
    pub r: u32,
    /// Sums.
    pub l: u32,
    /// Factors, aligned to their size.
    pub factors: u32,
}

impl Places {
    /// Where the blocks that run on their own have them.
    pub const ALONE: Self = Self {
        q: score::Q,
        s: score::S,
        p: output::P,
        o: output::O,
        r: softmax::R,
        l: softmax::L,
        factors: softmax::FACTORS,
    };
}

/// The accesses of alias class `space` to the memory around a core address.
pub(crate) const fn memory(space: u16, at: u32) -> MemRef {
    MemRef::space(space).in_bank(((at - CORE_BASE) / BANK_BYTES) as u8)
}

/// A program that is one piece, once.
fn alone(piece: impl FnOnce(&mut Asm)) -> Result<Program, KernelError> {
    let mut a = Asm::new();
    set_modes(&mut a);
    piece(&mut a);
    a.done();
    Ok(a.finish()?)
}
