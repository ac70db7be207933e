//! Eight rows of 128 bfloat16 to codes and scales, in the order of an INT8 cache. Spec: `oracle::kv_int8::codes`.
//!
//! ```text
//! m = max |y| of each row                                         `magnitudes`
//! s = m / 127 rounded up to bfloat16, i = 1/s in two limbs        eight rows at once, `reciprocal`
//! code = rne(y i₁ + y i₂)                                         `codes`: 32 elements of four rows a trip
//! out: codes in the first unit, [8 columns][8 rows][16 bytes]; eight float32 scales in the first 32 bytes of the second
//! ```
//! What is behind the scales has no meaning: the runtime stream drains it into scratch.

use aie2_codegen::{Asm, Operand};

use super::geometry::Offsets;
use super::program::{OUT, Phase, Scalars};
use crate::attention::recip::{self, Buffer, Function};
use crate::grid::OUT_UNIT_BYTES;
use crate::registers::{config, constant, shift, splat16, splat32};

/// Declared initiation interval of a row's largest magnitude.
pub const MAGNITUDES_II: u32 = 40;
/// Declared initiation interval of 32 codes of four rows.
pub const CODES_II: u32 = 60;

/// Pattern of 2^-50, the least magnitude: its reciprocal is in reach.
const LEAST: i64 = (127 - 50) << 7;
/// Two limbs of 1/127.
const ONE_127TH: [i64; 2] = [0x3C01, 0x3501];
/// 1.5 · 2^23: adding it rounds to an integer, ties to even.
const MAGIC: i64 = 0x4B40_0000;
const ROWS: u32 = 8;
const ROW_BYTES: i64 = 256;
const COLUMN_BYTES: i64 = 128;

/// Emits it: rows from the start of working memory; `geometry` holds the address of the round's walks.
pub(super) fn emit(phase: &Phase, a: &mut Asm, s: &Scalars, geometry: Operand) {
    let magnitudes = magnitudes(phase, a);
    scales(phase, a, s, magnitudes);
    codes(phase, a, s, geometry);
}

/// max |y| of eight rows, in the lower eight lanes.
fn magnitudes(phase: &Phase, a: &mut Asm) -> Operand {
    let (mask, all) = (splat16(a, 0x7FFF), splat16(a, LEAST));
    let (lane, from, junk) = (constant(a, 1), a.p(), a.r());
    a.imm(from, i64::from(phase.work().x));
    let turns: Vec<Operand> = [32, 16, 8, 4, 2].into_iter().map(|bytes| constant(a, bytes)).collect();
    a.pipelined("magnitudes", MAGNITUDES_II, ROWS, |a| {
        let largest = a.x();
        for i in 0..4 {
            let x = a.x();
            a.vlda(phase.x(), x.lo(), from, 32);
            a.vlda(phase.x(), x.hi(), from, 32);
            if i == 0 {
                a.i("vband {}, {}, {}", &[largest, x, mask]);
            } else {
                a.i("vband {}, {}, {}", &[x, x, mask]);
                a.i("vmax_lt.s16 {}, {}, {}, {}", &[largest, junk, largest, x]);
            }
        }
        for by in &turns {
            let other = a.x();
            a.i("vshift {}, {}, {}, {}", &[other, largest, largest, *by]);
            a.i("vmax_lt.s16 {}, {}, {}, {}", &[largest, junk, largest, other]);
        }
        // bit set: the row's lane takes it
        a.i("vsel.16 {}, {}, {}, {}", &[all, all, largest, lane]);
        a.add(lane, lane, lane);
    });
    let least = splat16(a, LEAST);
    a.i("vmax_lt.s16 {}, {}, {}, {}", &[all, junk, all, least]);
    all
}

/// Scales into the out ring, two limbs of their reciprocals into working memory.
fn scales(phase: &Phase, a: &mut Asm, s: &Scalars, magnitudes: Operand) {
    let (work, factor, low) = (phase.work(), splat16(a, ONE_127TH[0]), splat16(a, ONE_127TH[1]));
    a.i("vmov {}, {}", &[factor.hi(), low.lo()]);
    a.i("vmov {}, {}", &[magnitudes.hi(), magnitudes.lo()]);
    let (product, scale) = (a.bm(), a.x());
    a.i("vmul.f {}, {}, {}, {}", &[product, magnitudes, factor, s.elementwise]);
    // up to a pattern whose lower half is zero
    let (rest, upper) = (splat32(a, 0xFFFF), splat32(a, -0x1_0000));
    a.i("vmov {}, {}", &[scale, product]);
    a.i("vadd.32 {}, {}, {}", &[scale, scale, rest]);
    a.i("vband {}, {}, {}", &[scale, scale, upper]);
    let (to, at, unit) = (a.p(), a.r(), constant(a, i64::from(OUT_UNIT_BYTES)));
    a.imm(to, i64::from(work.sums));
    a.vst(phase.sums(), scale.lo(), to, 32);
    a.vst(phase.sums(), scale.hi(), to, 32);
    // 16 bytes of a row of the unit each: four scales
    let (second, by) = (a.x(), constant(a, 16));
    a.i("vshift {}, {}, {}, {}", &[second, scale, scale, by]);
    a.add(at, phase.pointers.out, unit);
    a.mov(to, at);
    a.vst(OUT, scale.lo(), to, COLUMN_BYTES);
    a.vst(OUT, second.lo(), to, 0);
    let from = Buffer { at: work.sums, memory: phase.sums() };
    recip::emit(a, Function::Reciprocal, 1, from, Buffer { at: work.inverse, memory: phase.inverse() });
    let from = a.p();
    phase.split_inverse(a, s, [from, to]);
}

fn codes(phase: &Phase, a: &mut Asm, s: &Scalars, geometry: Operand) {
    let (memory, work) = (phase.geometry(), phase.work());
    let (p, at, codes_at) = (a.p(), a.r(), constant(a, i64::from(Offsets::CODES)));
    a.add(at, geometry, codes_at);
    a.mov(p, at);
    let steps = [a.m(), a.m(), a.m(), a.m()];
    let modes = [a.r(), a.r(), a.r(), a.r()];
    for word in steps.into_iter().chain(modes) {
        a.mi(memory, "lda {}, [{}], #4", &[word, p]);
    }
    let [within, between, next, next_rows] = steps;
    let (none, int_add) = (shift(a, 0), constant(a, config::INT32_ADD));
    let (bits, magic) = (splat32(a, MAGIC), a.cm());
    a.i("vmov {}, {}", &[magic.bm(0), bits]);
    a.i("vmov {}, {}", &[magic.bm(1), bits]);
    let (first, second, to, high, low) = (a.p(), a.p(), a.p(), a.p(), a.p());
    for (p, at) in [(first, work.x), (second, work.x), (high, work.limbs), (low, work.limbs + 32)] {
        a.imm(p, i64::from(at));
    }
    a.mov(to, phase.pointers.out);
    // from the last of four rows to the next 32 elements of the first
    let (back, rows) = (a.m(), a.m());
    a.imm(back, 64 - 32 - 3 * ROW_BYTES);
    a.imm(rows, 4 * ROW_BYTES - ROW_BYTES);
    a.loop_n("code_rows", 2, |a| {
        let inverse: [Operand; 4] = std::array::from_fn(|_| {
            let (x, limb, r) = (a.x(), a.x(), a.r());
            a.mi(phase.limbs(), "lda.u16 {}, [{}], #2", &[r, high]);
            a.i("vbcst.16 {}, {}", &[x, r]);
            a.mi(phase.limbs(), "lda.u16 {}, [{}], #2", &[r, low]);
            a.i("vbcst.16 {}, {}", &[limb, r]);
            a.i("vmov {}, {}", &[x.hi(), limb.lo()]);
            x
        });
        a.pipelined("codes", CODES_II, 4, |a| {
            // [rows 0, 1 | rows 2, 3] of 16 elements, and of the next 16
            let quads = [a.x(), a.x()];
            let sums: [[Operand; 2]; 2] = std::array::from_fn(|_| [a.cm(), a.cm()]);
            for (row, inverse) in inverse.into_iter().enumerate() {
                for (half, sums) in sums.iter().enumerate() {
                    let (y, t) = (a.x(), a.bm());
                    let step = match (row, half) {
                        (_, 0) => Operand::Imm(32),
                        (3, _) => back,
                        _ => Operand::Imm(ROW_BYTES - 32),
                    };
                    a.mi(phase.x(), "vlda {}, [{}], {}", &[y.lo(), first, step]);
                    a.mi(phase.x(), "vldb {}, [{}], {}", &[y.hi(), second, step]);
                    a.i("vmul.f {}, {}, {}, {}", &[t, y, inverse, s.elementwise]);
                    let sum = sums[row / 2].bm((row % 2) as u8);
                    a.i("vadd.f {}, {}, {}, {}", &[sum, t, magic.bm(0), s.float_add]);
                }
            }
            for (quad, sums) in quads.into_iter().zip(sums) {
                for (sum, codes) in sums.into_iter().zip([quad.lo(), quad.hi()]) {
                    a.i("vsub {}, {}, {}, {}", &[sum, sum, magic, int_add]);
                    a.i("vsrs.s8.s32 {}, {}, {}", &[codes, sum, none]);
                }
            }
            let shuffled = |a: &mut Asm, pair: [Operand; 2], modes: &[Operand]| {
                [0, 1].map(|i: usize| {
                    let x = a.x();
                    a.i("vshuffle {}, {}, {}, {}", &[x, pair[0], pair[1], modes[i]]);
                    x
                })
            };
            let once = shuffled(a, quads, &modes[..2]);
            let [x, y] = shuffled(a, once, &modes[2..]);
            for (piece, step) in [(x.lo(), within), (x.hi(), between), (y.lo(), within), (y.hi(), next)] {
                a.mi(OUT, "vst {}, [{}], {}", &[piece, to, step]);
            }
        });
        a.i("padda [{}], {}", &[to, next_rows]);
        a.i("padda [{}], {}", &[first, rows]);
        a.i("padda [{}], {}", &[second, rows]);
    });
}
