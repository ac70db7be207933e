//! w̃ = bf16(s · w): codes with a scale for every group of inputs to operands of `vmac.f`. Spec: `oracle::w8a16_groups::dequantise`.
//!
//! ```text
//! w    int8 → int32 on its way in, + bits of 1.5·2^23, - 1.5·2^23 → float32 → bfloat16, all exact        vlda.ups, vadd, vsub.f, vconv
//! s·w  [w₀ | w₁] · [s | 0] and [w₀ | w₁] · [0 | s]: 16 products each, exact in float32                    vmul.f
//! w̃    bf16(s · w)                                                                                      vconv
//! ```
//! 32 codes take five operations of the vector slot and seven reads of accumulators. A unit holds, for every 16 outputs, 64 inputs in tiles
//! `[8 k][8 n]`; [`Groups::tiles`] of them share a row of scales.

use aie2_codegen::{Asm, MemRef, Operand};
use npu_package::layout::{GroupSize, UNIT_BYTES, UNIT_K};

use crate::registers::{config, constant, pinned, shift, shuffle, splat_accumulator};

/// bits of 1.5 · 2^23.
const MAGIC: i64 = 0x4B40_0000;
/// Tiles of 8 outputs that a row of scales serves.
pub const N_TILES: usize = 2;
/// Groups of 16 outputs in a unit: trips of the loops over it.
pub const COLUMN_PAIRS: u32 = 4;
/// Tiles of 8 inputs in a unit.
pub const K_TILES: u32 = UNIT_K as u32 / 8;
/// Bytes of 16 scales.
const SCALE_ROW_BYTES: i64 = 32;

/// What the size of a group is to the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Groups(pub GroupSize);

impl Groups {
    /// Tiles of 8 inputs that share a row of scales in a unit.
    pub const fn tiles(self) -> u32 {
        let inputs = if self.0.inputs() < UNIT_K { self.0.inputs() } else { UNIT_K };
        inputs as u32 / 8
    }
    /// Rows of scales in a unit, each for 16 outputs.
    const fn rows(self) -> u32 {
        COLUMN_PAIRS * K_TILES / self.tiles()
    }
    /// Bytes of a unit: codes, then scales.
    pub const fn unit_bytes(self) -> u32 {
        UNIT_BYTES as u32 + self.rows() * SCALE_ROW_BYTES as u32
    }
    /// Turns the address `at` to the other unit of the ring of two from `first` on.
    pub fn next_unit(self, a: &mut Asm, at: Operand, first: u32) {
        let both = constant(a, i64::from(2 * first + self.unit_bytes()));
        a.i("sub {}, {}, {}", &[at, both, at]);
    }
}

/// Pointers to the codes and the scales of a unit.
pub fn unit_parts(a: &mut Asm, unit: Operand) -> (Operand, Operand) {
    let (codes, scales, t) = (a.p(), a.p(), a.r());
    a.mov(codes, unit);
    a.imm(t, UNIT_BYTES as i64);
    a.add(t, t, unit);
    a.mov(scales, t);
    (codes, scales)
}

/// Registers that live as long as a loop over weights.
pub struct Dequantise {
    memory: MemRef,
    magic: Operand,
    none: Operand,
    int_add: Operand,
    float_add: Operand,
    elementwise: Operand,
    twice: Operand,
    row: Operand,
    /// Of each tile of outputs: scales for the first sixteen codes of a pair, for the second.
    scales: [[Operand; 2]; N_TILES],
}

impl Dequantise {
    /// Loads the constants; codes and scales lie in `memory`.
    pub fn new(a: &mut Asm, memory: MemRef) -> Self {
        let magic = splat_accumulator(a, MAGIC, "cm8");
        let zeros = |a: &mut Asm, name: &str| {
            let (x, t) = (pinned(a, Asm::x, name), constant(a, 0));
            a.i("vbcst.32 {}, {}", &[x, t]);
            x
        };
        Self {
            memory,
            magic,
            none: shift(a, 0),
            int_add: constant(a, config::INT32_ADD),
            float_add: constant(a, config::FLOAT_ADD),
            elementwise: constant(a, config::BF16_ELEMENTWISE),
            twice: constant(a, shuffle::T128_2X4[0]),
            row: zeros(a, "x11"),
            scales: [[zeros(a, "x10"), zeros(a, "x9")], [zeros(a, "x8"), zeros(a, "x7")]],
        }
    }

    /// Takes the next row of scales.
    pub fn scales(&self, a: &mut Asm, at: Operand) {
        let both = a.x();
        a.vlda(self.memory, self.row.lo(), at, SCALE_ROW_BYTES);
        // [8 scales, the same, 8 more, the same]
        a.i("vshuffle {}, {}, {}, {}", &[both, self.row, self.row, self.twice]);
        for (half, [first, second]) in [both.lo(), both.hi()].into_iter().zip(self.scales) {
            a.i("vmov {}, {}", &[first.lo(), half]);
            a.i("vmov {}, {}", &[second.hi(), half]);
        }
    }

    /// The next 32 codes of tile `n` of the outputs, 4 k × 8 n, as two halves of float32 products.
    pub fn products(&self, a: &mut Asm, codes: Operand, n: usize) -> [Operand; 2] {
        let (wide, narrow, product) = (a.cm(), a.x(), a.cm());
        a.mi(self.memory, "vlda.ups.s32.s8 {}, {}, [{}], #32", &[wide, self.none, codes]);
        a.i("vadd {}, {}, {}, {}", &[wide, wide, self.magic, self.int_add]);
        for (half, to) in [(0, narrow.lo()), (1, narrow.hi())] {
            let w = wide.bm(half);
            a.i("vsub.f {}, {}, {}, {}", &[w, w, self.magic.bm(half), self.float_add]);
            a.i("vconv.bf16.fp32 {}, {}", &[to, w]);
        }
        let halves = [product.bm(0), product.bm(1)];
        for (half, scale) in halves.into_iter().zip(self.scales[n]) {
            a.i("vmul.f {}, {}, {}, {}", &[half, narrow, scale, self.elementwise]);
        }
        halves
    }
}

/// Registers with the modes that divide a tile `[8 k][8 n]` of bfloat16 into two operands `[8 k][4 n]`.
pub struct ByColumns([Operand; 2]);

impl ByColumns {
    /// Loads them.
    pub fn new(a: &mut Asm) -> Self {
        Self(shuffle::T64_8X2.map(|mode| constant(a, mode)))
    }

    /// The operands of a tile whose rows 0 to 3 and 4 to 7 are given.
    pub fn emit(&self, a: &mut Asm, rows: [Operand; 2], to: [Operand; 2]) {
        for (to, mode) in to.into_iter().zip(self.0) {
            a.i("vshuffle {}, {}, {}, {}", &[to, rows[0], rows[1], mode]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_layout() {
        let panels = npu_package::layout::Panels::output(256, 256).expect("legal dimensions");
        for (size, tiles, rows) in [(GroupSize::Of32, 4, 8), (GroupSize::Of128, 8, 4)] {
            let groups = Groups(size);
            assert_eq!((groups.tiles(), groups.rows()), (tiles, rows));
            assert_eq!(groups.unit_bytes() as usize, panels.grouped(size).unit_bytes());
        }
    }
}
