//! The scaling of 4 × 64 sums to outputs. The arithmetic: [`crate::scaling`].

use aie2_codegen::{Asm, Operand};

use super::l1::{self, TOKEN_WORD_BYTES, space};
use super::multiply::{COLUMN_PAIRS, pair_bytes};
use super::program::Regs;
use crate::scaling::{At, Scaling, TILES, Tile};

/// Declared initiation interval of two tiles of 4 × 8 outputs.
const fn ii(limbs: u32) -> u32 {
    if limbs == 1 { 46 } else { 74 }
}

/// Bytes of 8 outputs of a unit's rows.
const OUT_COLUMN_BYTES: u32 = 128;
/// Bytes of a row of the channels' scales.
const CHANNEL_BYTES: u32 = 64;
/// What `out` of [`emit`] lies behind the first row: a store's offset reaches from -128 to 96.
pub const OUT_BIAS: i64 = 128;

/// Emits the scaling of all sums: scales at `channels`, outputs to `out`, the address of the result's rows in the first column of the unit.
pub fn emit(a: &mut Asm, limbs: u32, channels: Operand, out: Operand, regs: &Regs) {
    let scaling = Scaling::new(a, limbs, regs.int_add);
    let (sums, clear, tokens) = (a.p(), a.p(), a.p());
    a.imm(sums, i64::from(l1::ACCUMULATORS.at()));
    a.imm(clear, i64::from(l1::ACCUMULATORS.at()));
    a.imm(tokens, i64::from(l1::TOKEN_WORDS.at() + TOKEN_WORD_BYTES));
    a.pipelined("scale", ii(limbs), COLUMN_PAIRS, |a| {
        for index in 0..TILES {
            let half = |half: i64| i64::from(OUT_COLUMN_BYTES * index) + 32 * half - OUT_BIAS;
            let tile = Tile {
                index,
                sums: At { memory: space::SUMS, pointer: sums, offsets: limbs * index },
                clear,
                channels: At { memory: space::WEIGHTS, pointer: channels, offsets: CHANNEL_BYTES * index },
                tokens: At {
                    memory: space::TOKEN_WORDS,
                    pointer: tokens,
                    offsets: [[0, TOKEN_WORD_BYTES], [32, 32 + TOKEN_WORD_BYTES]],
                },
                out: At { memory: space::OUT, pointer: out, offsets: [half(0), half(1)] },
            };
            scaling.emit(a, &tile);
        }
        a.i("padda [{}], {}", &[sums, pair_bytes(limbs).into()]);
        a.i("padda [{}], {}", &[clear, pair_bytes(limbs).into()]);
        a.i("padda [{}], {}", &[channels, (TILES * CHANNEL_BYTES).into()]);
        a.i("padda [{}], {}", &[out, (TILES * OUT_COLUMN_BYTES).into()]);
    });
}
