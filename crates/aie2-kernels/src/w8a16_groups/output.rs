//! Float32 sums to rows of bfloat16 outputs, four tiles of 4 × 4 at a time: bf16(acc), and the sums back to zero.
//!
//! ```text
//! sums  tile 0 .. 3 of [4 tokens][4 n]           rows  [4 tokens][8 n] of tiles 0 and 1, the same of tiles 2 and 3
//! ```

use aie2_codegen::{Asm, MemRef, Operand};

use crate::registers::{constant, shuffle};

/// Bytes of a tile of sums.
pub const SUM_BYTES: u32 = 64;

/// The `n` tiles of sums at `load`, into accumulators of their own; zeros in their place, at the same address in `clear`.
pub fn take_sums(a: &mut Asm, n: u32, memory: MemRef, [load, clear]: [Operand; 2], zero: Operand) -> Vec<Operand> {
    let sums: Vec<Operand> = (0..n).map(|_| a.bm()).collect();
    for (i, c) in (0..n).zip(&sums) {
        let memory = memory.piece(i as u16);
        for half in 0..2u8 {
            let at = i64::from(SUM_BYTES * i + 32 * u32::from(half));
            a.mi(memory, "vlda {}, [{}, {}]", &[c.am(half), load, at.into()]);
            a.mi(memory, "vst {}, [{}, {}]", &[zero.lo(), clear, at.into()]);
        }
    }
    sums
}

/// Registers with the modes.
pub struct Rows([Operand; 2]);

impl Rows {
    /// Loads them.
    pub fn new(a: &mut Asm) -> Self {
        Self(shuffle::T64_2X8.map(|mode| constant(a, mode)))
    }

    /// The rows of `[first, second]` pairs of tiles that lie side by side.
    pub fn emit(&self, a: &mut Asm, pairs: [[Operand; 2]; 2]) -> [Operand; 2] {
        let (first, second) = (a.x(), a.x());
        for ([left, right], half) in pairs.into_iter().zip([(first.lo(), second.lo()), (first.hi(), second.hi())]) {
            a.i("vconv.bf16.fp32 {}, {}", &[half.0, left]);
            a.i("vconv.bf16.fp32 {}, {}", &[half.1, right]);
        }
        self.0.map(|mode| {
            let rows = a.x();
            a.i("vshuffle {}, {}, {}, {}", &[rows, first, second, mode]);
            rows
        })
    }
}
