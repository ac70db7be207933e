//! Quantising: q = rne(x · i), i = bf16(127 / max |x|), per token, one token at a time.
//!
//! All four cores of a column see the column's stream of tokens; core row r takes tokens r, r + 4, r + 8 … While a token passes it is copied to
//! L1 and its largest magnitude found; then it leaves as a record through the out ring:
//!
//! ```text
//! record  k = 0 .. K-1 int8 | high limb × 8, low limb × 8 | not meaningful up to a multiple of 2048
//! unit    1024 bytes of it as 8 rows of 128; in L1 [8 columns][8 rows][16 bytes], which the out DMA turns back into rows
//! ```
//! A 32-byte store holds 16 codes of one row and 16 of the next, so its sources are 256 bytes of x apart.
//!
//! With two limbs i is 256 times as large and q = 256 h + l, h = floor((q + 128) / 256), both limbs int8: `vsrs` by 8, half rounded up, and `vsrs` by 0
//! without saturation. |q| ≤ 127.5 · 256, since i errs by 2^-9 of itself at most. A record then has `[h: 256][l: 256]` for every 256 inputs and twice
//! the tail.

use aie2_codegen::{Asm, Guards, MemRef, Operand, Trip};

use super::l1::{B_UNIT_BYTES, L1, space};
use super::phase::{Entry, Word};
use super::program::fixed;
use crate::grid::{Locks, OUT_UNIT_BYTES};
use crate::registers::{Rounding, Saturation, config, round_and_saturate};

/// Codes that one step of the inner loop makes: two rows of a unit for each limb.
pub const CODES_PER_STEP: u32 = 256;
/// Bytes that one step clears of the stage.
pub const STAGE_STEP_BYTES: u32 = 256;
/// Bytes of x that one step of the capture loop copies.
const CAPTURE_BYTES: u32 = 64;
/// Bundles between two steps of the capture loop: its declared initiation interval. A core that captures slowly keeps the stream from the others.
const CAPTURE_II: u32 = 2;
/// 1.5 · 2^23: adding it rounds to an integer, ties to even.
const MAGIC: i64 = 0x4B40_0000;
/// bfloat16 quiet NaN.
const BF16_NAN: i64 = 0x7FC0;
/// Exponent field below which a token is zero, so that every limb of its scale is a normal number.
const ZERO_EXPONENT_FIELD: i64 = 32;

/// Reciprocals of 1.f for the 128 fractions f: bf16(127 / 1.f), and its inverse in two bf16 limbs, 8 bytes an entry.
///
/// With two limbs the reciprocals are 256 times as large; the scales belong to the upper limb and stay.
pub fn reciprocal_table(limbs: u32) -> Vec<u8> {
    let entry = |fraction| {
        let [inverse, zero, high, low] = entry(fraction);
        [inverse + ((8 * (limbs as u16 - 1)) << 7), zero, high, low]
    };
    (0..128u32).flat_map(|fraction| entry(fraction).into_iter().flat_map(u16::to_le_bytes)).collect()
}

/// `[i, 0, high, low]` for absmax = 1.fraction. The exact inverse is split so that the low limb is never zero: other exponents are reached by
/// adding to the exponent fields, which a zero does not have.
fn entry(fraction: u32) -> [u16; 4] {
    let absmax = 1.0 + f64::from(fraction) / 128.0;
    let inverse = bf16((127.0 / absmax) as f32);
    let exact = 1.0 / f64::from(f32::from_bits(u32::from(inverse) << 16));
    let value = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let mut high = bf16(exact as f32);
    if value(high) == exact {
        high -= 1;
    }
    [inverse, 0, high, bf16((exact - value(high)) as f32)]
}

fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    (bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16) as u16
}

/// Where the quantiser works. Its sizes are those of the current phase.
#[derive(Clone, Copy, Debug)]
pub struct Quantise {
    /// Where things are.
    pub l1: L1,
    /// Locks of the rings.
    pub locks: Locks,
}

impl Quantise {
    /// Consumes the column's tokens from B, fills a record for every fourth.
    pub fn emit(&self, a: &mut Asm) {
        let (skip, need, avail, n) = (a.r(), a.r(), a.r(), a.r());
        let (px, stage, step) = (a.p(), a.p(), a.m());
        let (largest, mask) = (a.x(), a.x());
        let t = a.r();

        a.imm(t, 0x7FFF);
        a.i("vbcst.16 {}, {}", &[mask, t]);
        let clear = |a: &mut Asm| {
            let zero = a.r();
            a.imm(zero, 0);
            a.i("vbcst.16 {}, {}", &[largest, zero]);
            a.imm(stage, i64::from(self.l1.c()));
            Entry::current(a).load(a, need, Word::Token);
        };
        if self.l1.limbs > 1 {
            round_and_saturate(a, Rounding::HalfUp, Saturation::Truncate);
        }
        let units = a.r();
        let entry = Entry::current(a);
        entry.load(a, skip, Word::First);
        entry.load(a, units, Word::Units);
        clear(a);
        a.loop_n("x_units", Trip::Reg { reg: units, min: 1 }, |a| {
            a.acq(Guards::Spaces(vec![space::B.space]), self.locks.b_full, fixed::ACQUIRE_ONE.into());
            a.mov(px, fixed::B_POINTER.into());
            a.imm(avail, i64::from(B_UNIT_BYTES));
            let piece = a.label("piece");
            a.bind(piece);
            a.if_else(
                skip,
                |a| {
                    min(a, n, skip, avail);
                    a.i("sub {}, {}, {}", &[skip, skip, n]);
                    a.i("sub {}, {}, {}", &[avail, avail, n]);
                    a.mov(step, n);
                    a.i("padda [{}], {}", &[px, step]);
                },
                |a| {
                    min(a, n, need, avail);
                    a.i("sub {}, {}, {}", &[need, need, n]);
                    a.i("sub {}, {}, {}", &[avail, avail, n]);
                    self.capture(a, n, px, stage, largest, mask);
                    a.if_z(need, |a| {
                        self.send(a, largest);
                        Entry::current(a).load(a, skip, Word::Others);
                        clear(a);
                    });
                },
            );
            a.jnz(avail, piece);
            a.rel(Guards::Spaces(vec![space::B.space]), self.locks.b_empty, fixed::RELEASE_ONE.into());
            next_b_unit(a);
        });
        if self.l1.limbs > 1 {
            round_and_saturate(a, Rounding::Even, Saturation::Saturate);
        }
        // the staged token lies where accumulators start at zero
        let zero = a.x();
        a.imm(t, 0);
        a.i("vbcst.32 {}, {}", &[zero, t]);
        a.imm(stage, i64::from(self.l1.c()));
        Entry::current(a).load(a, t, Word::Stage);
        // K is a multiple of 256
        let trip = Trip::Reg { reg: t, min: 512 / STAGE_STEP_BYTES };
        a.loop_n("clear_stage", trip, |a| {
            (0..STAGE_STEP_BYTES / 32).for_each(|_| a.vst(space::C, zero.lo(), stage, 32));
        });
    }

    /// Copies `bytes` of x to the stage and keeps the largest magnitude of each lane.
    fn capture(&self, a: &mut Asm, bytes: Operand, from: Operand, to: Operand, largest: Operand, mask: Operand) {
        let (trips, shift) = (a.r(), a.r());
        a.imm(shift, -i64::from(CAPTURE_BYTES.ilog2()));
        a.i("lshl {}, {}, {}", &[trips, bytes, shift]);
        // Pieces are multiples of 512 bytes: K is a multiple of 256, a unit 4096 bytes.
        let trip = Trip::Reg { reg: trips, min: 512 / CAPTURE_BYTES };
        a.pipelined("capture", CAPTURE_II, trip, |a| {
            let (x, magnitude) = (a.x(), a.x());
            a.vlda(space::B, x.lo(), from, 32);
            a.vlda(space::B, x.hi(), from, 32);
            a.vst(space::C, x.lo(), to, 32);
            a.vst(space::C, x.hi(), to, 32);
            a.i("vband {}, {}, {}", &[magnitude, x, mask]);
            a.i("vmax_lt.s16 {}, {}, {}, {}", &[largest, "r16".into(), largest, magnitude]);
        });
    }

    /// Turns the staged token into a record.
    fn send(&self, a: &mut Asm, largest: Operand) {
        let scale = token_scale(a, largest, space::TABLE, self.l1.absmax(), self.l1.reciprocals());
        let (shift, upper, cf) = (a.s(), (self.l1.limbs > 1).then(|| a.s()), a.r());
        let (low_half, high_half, magic) = (a.x(), a.x(), a.cm());
        {
            // i in one half of the lanes, 0 in the other: each vmac.f quantises 16 of the 32 elements it sees
            let (all, zero, t) = (a.x(), a.x(), a.r());
            a.i("vbcst.16 {}, {}", &[all, scale.inverse]);
            a.imm(t, 0);
            a.i("vbcst.16 {}, {}", &[zero, t]);
            a.mov(shift, t);
            if let Some(upper) = upper {
                let eight = a.r();
                a.imm(eight, 8);
                a.mov(upper, eight);
            }
            a.i("movxm {}, #-65536", &["r17".into()]);
            a.i("vsel.16 {}, {}, {}, {}", &[low_half, all, zero, "r17".into()]);
            a.i("vsel.16 {}, {}, {}, {}", &[high_half, zero, all, "r17".into()]);
            let bits = a.x();
            a.imm(t, MAGIC);
            a.i("vbcst.32 {}, {}", &[bits, t]);
            a.i("vmov {}, {}", &[magic.bm(0), bits]);
            a.i("vmov {}, {}", &[magic.bm(1), bits]);
            a.imm(cf, config::BF16_ELEMENTWISE);
        }
        let source = a.p();
        a.imm(source, i64::from(self.l1.c()));
        let (left, units, n, most, rest) = (a.r(), a.r(), a.r(), a.r(), a.r());
        let entry = Entry::current(a);
        entry.load(a, left, Word::Steps);
        entry.load(a, units, Word::Record);
        let (out, rewind) = (a.p(), a.m());
        a.imm(most, i64::from(OUT_UNIT_BYTES / self.l1.limbs / CODES_PER_STEP));
        a.imm(rewind, 32 - 7 * 128);
        a.loop_n("record", Trip::Reg { reg: units, min: 1 }, |a| {
            self.acquire_out(a, out);
            min(a, n, left, most);
            a.i("sub {}, {}, {}", &[left, left, n]);
            a.i("sub {}, {}, {}", &[rest, most, n]);
            a.if_nz(n, |a| {
                a.loop_n("quantise", Trip::Reg { reg: n, min: 1 }, |a| {
                    for j in 0..8i64 {
                        let (x, q) = (a.x(), a.cm());
                        a.mi(space::C, "vlda {}, [{}, {}]", &[x.lo(), source, (32 * j).into()]);
                        a.mi(space::C, "vlda {}, [{}, {}]", &[x.hi(), source, (256 + 32 * j).into()]);
                        // rne(x · i) = low bits of 1.5 · 2^23 + x · i
                        a.i("vmac.f {}, {}, {}, {}, {}", &[q.bm(0), magic.bm(0), x, low_half, cf]);
                        a.i("vmac.f {}, {}, {}, {}, {}", &[q.bm(1), magic.bm(1), x, high_half, cf]);
                        let code = a.cm();
                        a.i("vsub {}, {}, {}, {}", &[code, q, magic, fixed::INT32_ADD.into()]);
                        let next_column = match upper {
                            Some(upper) => {
                                a.mi(space::OUT, "vst.srs.s8.s32 {}, {}, [{}], #32", &[code, upper, out]);
                                96
                            }
                            None => 128,
                        };
                        let next = if j < 7 { Operand::Imm(next_column) } else { rewind };
                        a.mi(space::OUT, "vst.srs.s8.s32 {}, {}, [{}], {}", &[code, shift, out, next]);
                    }
                    a.i("padda [{}], #512", &[source]);
                });
            });
            // behind the last code; what follows up to the end of the record has no meaning
            a.if_nz(rest, |a| {
                for limb in [scale.high, scale.low] {
                    let v = a.x();
                    a.i("vbcst.16 {}, {}", &[v, limb]);
                    a.vst(space::OUT, v.lo(), out, 128);
                }
            });
            self.release_out(a);
        });
    }

    fn acquire_out(&self, a: &mut Asm, out: Operand) {
        a.acq(Guards::Spaces(vec![space::OUT.space]), self.locks.out_empty, fixed::ACQUIRE_ONE.into());
        a.mov(out, fixed::OUT.into());
    }

    fn release_out(&self, a: &mut Asm) {
        a.rel(Guards::Spaces(vec![space::OUT.space]), self.locks.out_full, fixed::RELEASE_ONE.into());
        next_out_unit(a, self.l1);
    }
}

/// A token's scale in scalar registers, as bits of bfloat16.
pub(crate) struct Scale {
    pub inverse: Operand,
    pub high: Operand,
    pub low: Operand,
}

/// Limbs of a token's scale from the lanes' largest magnitudes, by way of the word at `absmax` and the table at `reciprocals`, both in `table`.
pub(crate) fn token_scale(a: &mut Asm, largest: Operand, table: MemRef, absmax: u32, reciprocals: u32) -> Scale {
    let (rest, shift) = (a.x(), a.r());
    for bytes in [32, 16, 8, 4, 2] {
        a.imm(shift, bytes);
        a.i("vshift {}, {}, {}, {}", &[rest, largest, largest, shift]);
        a.i("vmax_lt.s16 {}, {}, {}, {}", &[largest, "r16".into(), largest, rest]);
    }
    let (p, word, field, fraction, t) = (a.p(), a.r(), a.r(), a.r(), a.r());
    a.imm(p, i64::from(absmax));
    a.vst(table, largest.lo(), p, 0);
    a.mi(table, "lda.u16 {}, [{}], #0", &[word, p]);
    a.imm(t, -7);
    a.i("lshl {}, {}, {}", &[field, word, t]);
    a.imm(t, 127);
    a.i("and {}, {}, {}", &[fraction, word, t]);
    let at = a.m();
    a.imm(t, 3);
    a.i("lshl {}, {}, {}", &[fraction, fraction, t]);
    a.mov(at, fraction);
    a.imm(p, i64::from(reciprocals));
    a.i("padda [{}], {}", &[p, at]);
    let scale = Scale { inverse: a.r(), high: a.r(), low: a.r() };
    a.mi(table, "lda {}, [{}], #4", &[scale.inverse, p]);
    a.mi(table, "lda {}, [{}], #0", &[scale.high, p]);
    // exponent fields: the inverse falls as the magnitude rises, its limbs rise
    let exponent = a.r();
    a.imm(t, 127);
    a.i("sub {}, {}, {}", &[exponent, t, field]);
    a.imm(t, 7);
    a.i("lshl {}, {}, {}", &[exponent, exponent, t]);
    a.i("add {}, {}, {}", &[scale.inverse, scale.inverse, exponent]);
    a.imm(t, -16);
    a.i("lshl {}, {}, {}", &[scale.low, scale.high, t]);
    a.i("sub {}, {}, {}", &[scale.high, scale.high, exponent]);
    a.i("sub {}, {}, {}", &[scale.low, scale.low, exponent]);
    // dust counts as zero; an infinity or NaN makes the token NaN
    let (zero, nan) = (a.r(), a.r());
    a.imm(zero, 0);
    a.imm(nan, BF16_NAN);
    a.imm(t, ZERO_EXPONENT_FIELD);
    a.i("ltu r27, {}, {}", &[field, t]);
    for r in [scale.inverse, scale.high, scale.low] {
        a.i("sel.nez {}, {}, {}, r27", &[r, zero, r]);
    }
    a.imm(t, 255);
    a.i("eq r27, {}, {}", &[field, t]);
    a.i("sel.nez {}, {}, {}, r27", &[scale.inverse, zero, scale.inverse]);
    for r in [scale.high, scale.low] {
        a.i("sel.nez {}, {}, {}, r27", &[r, nan, r]);
    }
    scale
}

/// `d = min(a, b)`, unsigned.
fn min(a: &mut Asm, d: Operand, x: Operand, y: Operand) {
    a.i("ltu r27, {}, {}", &[x, y]);
    a.i("sel.nez {}, {}, {}, r27", &[d, x, y]);
}

/// Turns the B pointer to the other unit of the ring; the two differ in one address bit.
pub fn next_b_unit(a: &mut Asm) {
    let (address, bit) = (a.r(), a.r());
    a.imm(bit, i64::from(B_UNIT_BYTES));
    a.mov(address, fixed::B_POINTER.into());
    a.i("xor {}, {}, {}", &[address, address, bit]);
    a.mov(fixed::B_POINTER.into(), address);
}

/// Turns the out register to the next unit of the ring: two differ in one address bit, behind the last of more a bit is set that their addresses
/// do not have.
pub fn next_out_unit(a: &mut Asm, l1: L1) {
    let bit = a.r();
    a.imm(bit, i64::from(OUT_UNIT_BYTES));
    if l1.out_units() == 2 {
        a.i("xor {}, {}, {}", &[fixed::OUT.into(), fixed::OUT.into(), bit]);
    } else {
        let mask = a.r();
        a.imm(mask, !i64::from(l1.out_bytes()));
        a.add(fixed::OUT.into(), fixed::OUT.into(), bit);
        a.i("and {}, {}, {}", &[fixed::OUT.into(), fixed::OUT.into(), mask]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reciprocals_reach_127_and_invert_to_sixteen_bits() {
        let table = reciprocal_table(1);
        assert_eq!(table.len(), 1024);
        let value = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
        for (fraction, entry) in table.chunks_exact(8).enumerate() {
            let word = |i: usize| u16::from_le_bytes([entry[2 * i], entry[2 * i + 1]]);
            let (inverse, high, low) = (value(word(0)), value(word(2)), value(word(3)));
            let top = (1.0 + fraction as f64 / 128.0) * inverse;
            assert!((126.5..127.5).contains(&top), "fraction {fraction}: {top}");
            assert!(((high + low) * inverse - 1.0).abs() < 2f64.powi(-16), "fraction {fraction}");
            assert_ne!(low, 0.0, "fraction {fraction}");
        }
    }

    #[test]
    fn reciprocals_of_two_limbs_are_256_times_as_large_and_their_codes_fit() {
        let value = |entry: &[u8]| f64::from(f32::from_bits(u32::from(u16::from_le_bytes([entry[0], entry[1]])) << 16));
        let (one, two) = (reciprocal_table(1), reciprocal_table(2));
        for (fraction, (one, two)) in one.chunks_exact(8).zip(two.chunks_exact(8)).enumerate() {
            assert_eq!((value(two), &two[2..]), (256.0 * value(one), &one[2..]), "fraction {fraction}");
            let top = (1.0 + fraction as f64 / 128.0) * value(two);
            // 256 · 127 + 127 is the largest sum of two int8 limbs
            assert!(top.round_ties_even() <= 32_639.0, "fraction {fraction}: {top}");
        }
    }
}
