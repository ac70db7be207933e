//! Codes of an INT8 cache become the bfloat16 operands of [`super::super::score`] and [`super::super::output`], in the unit of the ring they lie in.
//! Spec: `oracle::kv_int8::operand`.
//!
//! ```text
//! record as it arrives   1024 codes | the last 992 of them once more | 32 bytes of scales     as long as a BF16 record
//! record as it is left   1024 bfloat16
//! ```
//! The walk goes from the last codes to the first: what it stores covers only what it has loaded.

use aie2_codegen::{Asm, MemRef, Operand};

use super::super::recip::half_splat;
use super::super::{config, constant, output, score, shift, splat16, splat32};

/// Declared initiation interval of 128 codes.
pub const II: u32 = 24;
/// Alias class of what is stored.
pub const OPERAND_SPACE: u16 = 20;

/// Trips of a record, and vectors of 32 codes in each.
const TRIPS: u32 = 8;
const VECTORS: usize = 4;
const RECORDS: u32 = 4;
const MAGIC: i64 = 0x4B40_0000;
/// Two bfloat16 factors of 1.5 · 2^23.
const MAGIC_FACTORS: [i64; 2] = [0x4540, 0x4580];
// SOURCE: Xilinx/llvm-aie aiev2_enums.h, T16_32x2_hi, T16_2x32_lo, T16_2x32_hi.
const T16_32X2_HI: i64 = 3;
const T16_2X32_LO: i64 = 18;
const T16_2X32_HI: i64 = 19;

/// How a mem tile leaves a record in a unit.
struct Walk {
    load: MemRef,
    bank: u8,
    /// From a record to the next, and the address bits that this step leaves out.
    record: i64,
    record_gap: i64,
    /// Offsets of the scales and of the last 128 codes, and the bits that the walk back over codes leaves out.
    scales: i64,
    last: i64,
    step: i64,
    gap: i64,
    /// Bytes from operands of 128 codes to the next, and the post-increment between their halves.
    to: i64,
    middle: i64,
    /// Keys of even and odd vectors differ.
    keys: bool,
}

/// K in the unit of A at the address.
pub fn keys(a: &mut Asm, unit: Operand) {
    let walk = Walk {
        load: score::K_MEMORY,
        bank: 0,
        record: 128,
        record_gap: 0xF00,
        scales: 15 * 256 + 96,
        last: 7 * 256,
        step: 256,
        gap: 0,
        to: 512,
        middle: 256 - 96,
        keys: true,
    };
    walk.emit(a, unit);
}

/// V in both units of B at the address.
pub fn values(a: &mut Asm, unit: Operand) {
    let walk = Walk {
        load: output::V_MEMORY,
        bank: 1,
        record: 256,
        record_gap: 0,
        scales: 7 * 1024 + 224,
        last: 3 * 1024 + 128,
        step: 128,
        gap: 0x300,
        to: 1024,
        middle: 32,
        keys: false,
    };
    walk.emit(a, unit);
}

impl Walk {
    fn emit(&self, a: &mut Asm, unit: Operand) {
        let store_memory = MemRef::space(OPERAND_SPACE).in_bank(self.bank);
        let (none, int_add, float) = (shift(a, 0), constant(a, config::INT32_ADD), constant(a, config::BF16_ELEMENTWISE));
        let [x, y] = MAGIC_FACTORS.map(|bits| half_splat(a, bits));
        let (bits, magic, zero) = (splat32(a, MAGIC), a.cm(), splat16(a, 0));
        a.i("vmov {}, {}", &[magic.bm(0), bits]);
        a.i("vmov {}, {}", &[magic.bm(1), bits]);
        let record = a.r();
        a.mov(record, unit);
        let (record_gap, record_keep) = (constant(a, self.record_gap), constant(a, !self.record_gap));
        let (record_step, keep, step, to_step) =
            (constant(a, self.record), constant(a, !self.gap), constant(a, -self.step), constant(a, -self.to));
        let lanes = [constant(a, -0x1_0000), constant(a, 0xFFFF)];
        a.loop_n("coded_records", RECORDS, |a| {
            let factors = self.factors(a, record, lanes, zero);
            let (from, to) = (constant(a, self.last), a.r());
            let last_to = constant(a, self.to * i64::from(TRIPS - 1));
            a.add(to, record, last_to);
            a.pipelined("coded", II, TRIPS, |a| {
                let (load, store, at) = (a.p(), a.p(), a.r());
                a.add(at, record, from);
                a.mov(load, at);
                a.mov(store, to);
                for vector in 0..VECTORS {
                    let (codes, narrow) = (a.cm(), a.x());
                    a.mi(self.load, "vlda.ups.s32.s8 {}, {}, [{}], #32", &[codes, none, load]);
                    a.i("vadd {}, {}, {}, {}", &[codes, codes, magic, int_add]);
                    for (half, to) in [codes.bm(0), codes.bm(1)].into_iter().zip([narrow.lo(), narrow.hi()]) {
                        a.i("vmsc.f {}, {}, {}, {}, {}", &[half, half, x, y, float]);
                        a.i("vconv.bf16.fp32 {}, {}", &[to, half]);
                    }
                    for half in 0..2 {
                        let product = a.bm();
                        a.i("vmul.f {}, {}, {}, {}", &[product, narrow, factors[vector % factors.len()][half], float]);
                        let next = if vector == 1 && half == 1 { self.middle } else { 32 };
                        a.mi(store_memory, "vst.conv.bf16.fp32 {}, [{}], {}", &[product, store, next.into()]);
                    }
                }
                a.add(from, from, step);
                a.i("and {}, {}, {}", &[from, from, keep]);
                a.add(to, to, to_step);
            });
            a.i("or {}, {}, {}", &[record, record, record_gap]);
            a.add(record, record, record_step);
            a.i("and {}, {}, {}", &[record, record, record_keep]);
        });
    }

    /// The scales of the lanes of a vector, with the upper or the lower half zero: of all vectors, or of even and of odd ones.
    fn factors(&self, a: &mut Asm, record: Operand, lanes: [Operand; 2], zero: Operand) -> Vec<[Operand; 2]> {
        let (p, at, words, offset) = (a.p(), a.r(), a.x(), constant(a, self.scales));
        a.add(at, record, offset);
        a.mov(p, at);
        a.mi(self.load, "vlda {}, [{}, #0]", &[words.lo(), p]);
        a.mi(self.load, "vlda {}, [{}, #0]", &[words.hi(), p]);
        let [upper, low, high] = [T16_32X2_HI, T16_2X32_LO, T16_2X32_HI].map(|mode| constant(a, mode));
        let fours = a.x();
        a.i("vshuffle {}, {}, {}, {}", &[words, words, words, upper]);
        a.i("vshuffle {}, {}, {}, {}", &[fours, words, words, low]);
        a.i("vshuffle {}, {}, {}, {}", &[fours, fours, fours, low]);
        let all = if self.keys {
            [low, high]
                .map(|mode| {
                    let x = a.x();
                    a.i("vshuffle {}, {}, {}, {}", &[x, fours, fours, mode]);
                    x
                })
                .to_vec()
        } else {
            vec![fours]
        };
        let half = |all: Operand, a: &mut Asm| {
            lanes.map(|lanes| {
                let x = a.x();
                a.i("vsel.16 {}, {}, {}, {}", &[x, all, zero, lanes]);
                x
            })
        };
        all.into_iter().map(|x| half(x, a)).collect()
    }
}
