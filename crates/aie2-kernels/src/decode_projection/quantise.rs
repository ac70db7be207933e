//! Phase 1: q = rne(x · i), i = bf16(127 / max |x|), per token; every core does all tokens for itself. The arithmetic is that of
//! `oracle::w8a8`, of `oracle::w8a16` for two limbs.
//!
//! ```text
//! capture    x on B, token by token: [K/8][4 tokens][8 k] bf16 in place of the codes, and the largest magnitude of each token
//! quantise   per 8 k: 4 tokens × 8 k bf16, 64 bytes, to a tile of each limb, 32 bytes, the left operand of `vmac` 4x8x8
//! ```
//! A lane of `vmac.f` sums two products; its second one is 0 · 0 here, for another token's element in it could be infinite.

use aie2_codegen::{Asm, Operand, Trip};

use super::l1::{self, TOKEN_WORD_BYTES, TOKENS, UNIT_BYTES, space};
use super::program::{Regs, shifted};
use crate::registers::{Rounding, Saturation, config, round_and_saturate};
use crate::w8a8::quantise::token_scale;

/// Inputs of a token that a capture loop copies: x comes in pieces of so many.
const PIECE_K: u32 = 256;
/// Pieces of x in a unit of B.
const UNIT_PIECES: u32 = UNIT_BYTES / (2 * PIECE_K);
/// Inputs per step of the capture loop.
const CAPTURE_K: u32 = 32;
/// Declared initiation interval of the capture loop: six loads from the bank of B.
const CAPTURE_II: u32 = 6;
/// Tiles of k per step of the quantise loop.
const ROWS: u32 = 4;
/// Declared initiation interval of the quantise loop.
const II: u32 = 13;
/// 1.5 · 2^23: adding it rounds to an integer, ties to even.
const MAGIC: i64 = 0x4B40_0000;
/// Bytes of a token's 8 inputs.
const TOKEN_BYTES: u32 = 16;
/// Bytes of the 8 inputs of all tokens.
const ROW_BYTES: u32 = TOKENS * TOKEN_BYTES;

/// Sizes of phase 1.
#[derive(Clone, Copy, Debug)]
pub struct Quantise {
    /// Register of the row length K.
    pub k: Operand,
    /// int8 limbs of a code.
    pub limbs: u32,
}

impl Quantise {
    /// Emits the phase: consumes the units of x, leaves codes and token words.
    pub fn emit(&self, a: &mut Asm, regs: &Regs) {
        self.capture(a, regs);
        if self.limbs > 1 {
            round_and_saturate(a, Rounding::HalfUp, Saturation::Truncate);
        }
        self.quantise(a, regs);
        if self.limbs > 1 {
            round_and_saturate(a, Rounding::Even, Saturation::Saturate);
        }
    }

    fn capture(&self, a: &mut Asm, regs: &Regs) {
        let (left, place, words) = (a.r(), a.r(), a.p());
        let (from, whole, to, step) = (a.p(), a.p(), a.p(), a.m());
        let (largest, mask, t) = (a.x(), a.x(), a.r());
        a.imm(t, 0x7FFF);
        a.i("vbcst.16 {}, {}", &[mask, t]);
        a.imm(step, i64::from(TOKEN_BYTES));
        a.imm(left, 0);
        a.imm(place, i64::from(l1::CODES));
        a.imm(words, i64::from(l1::TOKEN_WORDS.at()));
        a.mov(from, regs.rings.b);
        let pieces = a.r();
        shifted(a, pieces, self.k, -i64::from(PIECE_K.ilog2()));
        a.loop_n("tokens", TOKENS, |a| {
            a.imm(t, 0);
            a.i("vbcst.16 {}, {}", &[largest, t]);
            a.mov(to, place);
            a.loop_n("pieces", Trip::Reg { reg: pieces, min: 1 }, |a| {
                a.if_z(left, |a| {
                    regs.rings.acquire_b(a, space::WEIGHTS);
                    a.mov(from, regs.rings.b);
                    a.imm(left, i64::from(UNIT_PIECES));
                });
                a.mov(whole, from);
                a.pipelined("capture", CAPTURE_II, PIECE_K / CAPTURE_K, |a| {
                    let (x, magnitude) = (a.x(), a.x());
                    a.vlda(space::WEIGHTS, x.lo(), whole, 32);
                    a.vlda(space::WEIGHTS, x.hi(), whole, 32);
                    a.i("vband {}, {}, {}", &[magnitude, x, mask]);
                    a.i("vmax_lt.s16 {}, {}, {}, {}", &[largest, "r16".into(), largest, magnitude]);
                    for _ in 0..CAPTURE_K / 8 {
                        let w = a.w();
                        a.mi(space::WEIGHTS, "vldb.128 {}, [{}], {}", &[w, from, step]);
                        a.mi(space::X, "vst.128 {}, [{}], {}", &[w, to, ROW_BYTES.into()]);
                    }
                });
                a.add(left, left, Operand::Imm(-1));
                a.if_z(left, |a| regs.pass_b(a));
            });
            let scale = token_scale(a, largest, space::TABLE, l1::ABSMAX.at(), l1::RECIPROCALS.at());
            for (i, value) in [scale.inverse, scale.high, scale.low].into_iter().enumerate() {
                let v = a.x();
                a.i("vbcst.16 {}, {}", &[v, value]);
                let at = TOKEN_WORD_BYTES * i as u32;
                a.mi(space::TOKEN_WORDS, "vst.128 {}, [{}, {}]", &[v.lo(), words, at.into()]);
            }
            a.i("padda [{}], {}", &[words, TOKEN_BYTES.into()]);
            a.add(place, place, TOKEN_BYTES.into());
        });
        // of a unit that x does not fill
        a.if_nz(left, |a| regs.pass_b(a));
    }

    fn quantise(&self, a: &mut Asm, regs: &Regs) {
        let (shift, upper, cf, t) = (a.s(), (self.limbs > 1).then(|| a.s()), a.r(), a.r());
        a.imm(t, 0);
        a.mov(shift, t);
        let (zero, magic) = (a.x(), a.cm());
        a.i("vbcst.32 {}, {}", &[zero, t]);
        if let Some(upper) = upper {
            a.imm(t, 8);
            a.mov(upper, t);
        }
        a.imm(t, MAGIC);
        let bits = a.x();
        a.i("vbcst.32 {}, {}", &[bits, t]);
        a.i("vmov {}, {}", &[magic.bm(0), bits]);
        a.i("vmov {}, {}", &[magic.bm(1), bits]);
        a.imm(cf, config::BF16_ELEMENTWISE);
        // tokens 0 and 1, tokens 2 and 3
        let inverse = [a.x(), a.x()];
        let rows: Vec<[Operand; 2]> = (0..ROWS).map(|_| [a.x(), a.x()]).collect();
        let (source, out) = (a.p(), a.p());
        a.imm(source, i64::from(l1::TOKEN_WORDS.at()));
        for pair in inverse {
            a.i("vmov {}, {}", &[pair.hi(), zero.lo()]);
            a.vlda(space::TOKEN_WORDS, pair.lo(), source, 32);
        }
        for x in rows.iter().flatten() {
            a.i("vmov {}, {}", &[*x, zero]);
        }
        a.imm(source, i64::from(l1::CODES));
        a.imm(out, i64::from(l1::CODES));
        let trips = a.r();
        shifted(a, trips, self.k, -i64::from((8 * ROWS).ilog2()));
        a.pipelined("quantise", II, Trip::Reg { reg: trips, min: PIECE_K / (8 * ROWS) }, |a| {
            for row in &rows {
                let q = a.cm();
                for (half, (x, i)) in (0u8..).zip(row.iter().zip(inverse)) {
                    a.vlda(space::X, x.lo(), source, 32);
                    // rne(x · i) = low bits of 1.5 · 2^23 + x · i
                    a.i("vmac.f {}, {}, {}, {}, {}", &[q.bm(half), magic.bm(half), *x, i, cf]);
                }
                a.i("vsub {}, {}, {}, {}", &[q, q, magic, regs.int_add]);
                if let Some(upper) = upper {
                    a.mi(space::CODES, "vst.srs.s8.s32 {}, {}, [{}], #32", &[q, upper, out]);
                }
                a.mi(space::CODES, "vst.srs.s8.s32 {}, {}, [{}], #32", &[q, shift, out]);
            }
        });
    }
}
