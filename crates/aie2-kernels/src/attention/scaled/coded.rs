//! Codes of an INT8 cache become the bfloat16 operands of [`super::super::score`] and [`super::super::output`], in the unit of the ring they lie in.
//! Spec: `oracle::kv_int8::operand`, for scales of 2^-100 to 2^100.
//!
//! ```text
//! record as it arrives   1024 codes | the last 992 of them once more | 32 bytes of scales     as long as a BF16 record
//! record as it is left   1024 bfloat16
//! ```
//! A scale is a bfloat16 number m · 2^e with 128 ≤ m < 256. The pattern of 1.5 · 2^(23 + e) plus the integer m · code is that of 2^e (1.5 · 2^23 + m · code),
//! from which one product takes the first term away: code · scale exactly, and the store rounds it.
//!
//! ```text
//! per 128 codes   vec 4 vmac (32 lanes) + 8 vmsc.f (16 lanes) | bank 4 loads + 8 stores     ⇒ at least 12
//! ```
//!
//! **In place.** The walk goes from the last codes to the first, and one pointer goes through all loads: no load can come before one that the program has
//! in front of it. What is stored depends on the load of the same codes; it covers codes at or behind these, whose loads therefore come before.

use aie2_codegen::{Asm, MemRef, Operand};

use super::super::{output, score};
use crate::registers::{config, constant, half_splat, shift, shuffle, splat16};

/// Declared initiation interval of 128 codes of keys. One less takes a third stage, which eight trips do not pay for.
pub const KEY_II: u32 = 14;
/// Declared initiation interval of 256 codes of values; the same holds.
pub const VALUE_II: u32 = 26;
/// Alias class of codes and scales as they arrive, in either ring. What is stored is of the class of the products' operands.
pub const CODE_SPACE: u16 = 20;

/// Codes of a record and of a vector, records of a unit.
const CODES: u32 = 1024;
const LANES: u32 = 32;
const RECORDS: u32 = 4;
/// Bytes of 16 bfloat16: what one instruction stores.
const HALF: i64 = 32;
/// 1.5 · 2^16, times the power of two of a scale m · 2^e: 1.5 · 2^(23 + e).
const MAGIC_FACTOR: i64 = 0x47C0;
/// From the upper half of the pattern of that power of two to that of that product, whose lower half is zero too.
const MAGIC_STEP: i64 = (16 << 7) | (1 << 6);
/// Fields of a bfloat16 pattern: the power of two, the fraction, and the one in front of it.
const POWER: i64 = 0x7F80;
const FRACTION: i64 = 0x7F;
const LEADING: i64 = 0x80;

/// How a mem tile leaves a record in a unit, and how the walk goes through it.
struct Walk {
    name: &'static str,
    bank: u8,
    operands: MemRef,
    /// From a record to the next, and the address bits that this step leaves out.
    record: i64,
    record_gap: i64,
    /// Where the scales are, and the last of the codes and of the operands.
    scales: i64,
    codes: i64,
    stores: i64,
    ii: u32,
    /// Vectors of a trip: they lie without a gap. Then bytes from the first one's codes back to the next trip's last ones.
    vectors: u32,
    next: i64,
    /// Vectors whose operands lie without a gap, and bytes from the second half of the first one's back to the first half of the last one's further down.
    run: u32,
    next_run: i64,
    /// Keys of even and odd vectors differ.
    keys: bool,
}

/// K in the unit of A at the address.
pub fn keys(a: &mut Asm, unit: Operand) {
    // [2 key groups][16 chunks][2 records][128 bytes]
    let walk = Walk {
        name: "coded_keys",
        bank: 0,
        operands: score::K_MEMORY,
        record: 128,
        record_gap: 0xF00,
        scales: 15 * 256 + 96,
        codes: 7 * 256 + 96,
        stores: 15 * 256 + 64,
        ii: KEY_II,
        vectors: 4,
        next: -256 + 96,
        run: 2,
        next_run: -256 + 64 - HALF,
        keys: true,
    };
    walk.emit(a, unit);
}

/// V in both units of B at the address.
pub fn values(a: &mut Asm, unit: Operand) {
    // [8 chunks][4 records][256 bytes]
    let walk = Walk {
        name: "coded_values",
        bank: 1,
        operands: output::V_MEMORY,
        record: 256,
        record_gap: 0,
        scales: 7 * 1024 + 224,
        codes: 3 * 1024 + 224,
        stores: 7 * 1024 + 192,
        ii: VALUE_II,
        vectors: 8,
        next: -1024 + 224,
        run: 4,
        next_run: -1024 + 192 - HALF,
        keys: false,
    };
    walk.emit(a, unit);
}

/// What the codes of a vector meet.
struct Factors {
    /// m, int16.
    integer: Operand,
    /// 2^(e + 7), bfloat16.
    power: Operand,
    /// The pattern of 1.5 · 2^(23 + e), 32 bits.
    magic: Operand,
}

impl Walk {
    fn emit(&self, a: &mut Asm, unit: Operand) {
        let code_memory = MemRef::space(CODE_SPACE).in_bank(self.bank);
        let (int16, float) = (constant(a, config::INT16_ELEMENTWISE), constant(a, config::BF16_ELEMENTWISE));
        // the lower sixteen lanes' product, the upper ones'
        let (lower, upper, factor) = (half_splat(a, MAGIC_FACTOR), splat16(a, 0), splat16(a, MAGIC_FACTOR));
        a.i("vmov {}, {}", &[upper.hi(), factor.lo()]);
        let loaded = [a.x(), a.x()];
        let record = a.r();
        a.mov(record, unit);
        let (gap, keep, step) = (constant(a, self.record_gap), constant(a, !self.record_gap), constant(a, self.record));
        let (codes, stores) = (constant(a, self.codes), constant(a, self.stores));
        let steps = [a.m(), a.m(), a.m()];
        for (m, by) in steps.into_iter().zip([-i64::from(LANES), self.next, self.next_run]) {
            a.imm(m, by);
        }
        let [down, next, next_run] = steps;
        a.loop_n(self.name, RECORDS, |a| {
            let factors = self.factors(a, record);
            let (load, store, at) = (a.p(), a.p(), a.r());
            a.add(at, record, codes);
            a.mov(load, at);
            a.add(at, record, stores);
            a.mov(store, at);
            a.pipelined(self.name, self.ii, CODES / LANES / self.vectors, |a| {
                for vector in (0..self.vectors).rev() {
                    let (codes, sum) = (loaded[vector as usize % loaded.len()], a.cm());
                    let f = &factors[vector as usize % factors.len()];
                    let by = if vector == 0 { next } else { down };
                    a.mi(code_memory, "vldb.unpack.s16.s8 {}, [{}], {}", &[codes, load, by]);
                    a.i("vmac {}, {}, {}, {}, {}", &[sum, f.magic, codes, f.integer, int16]);
                    for (half, magic) in [(sum.bm(0), lower), (sum.bm(1), upper)] {
                        a.i("vmsc.f {}, {}, {}, {}, {}", &[half, half, magic, f.power, float]);
                    }
                    let by = if vector % self.run == 0 { next_run } else { (-3 * HALF).into() };
                    a.mi(self.operands, "vst.conv.bf16.fp32 {}, [{}], {}", &[sum.bm(0), store, HALF.into()]);
                    a.mi(self.operands, "vst.conv.bf16.fp32 {}, [{}], {}", &[sum.bm(1), store, by]);
                }
            });
            a.i("or {}, {}, {}", &[record, record, gap]);
            a.add(record, record, step);
            a.i("and {}, {}, {}", &[record, record, keep]);
        });
    }

    /// Of all vectors, or of even and of odd ones.
    fn factors(&self, a: &mut Asm, record: Operand) -> Vec<Factors> {
        let memory = MemRef::space(CODE_SPACE).in_bank(self.bank);
        let (p, at, words, offset) = (a.p(), a.r(), a.x(), constant(a, self.scales));
        a.add(at, record, offset);
        a.mov(p, at);
        a.mi(memory, "vlda {}, [{}, #0]", &[words.lo(), p]);
        a.mi(memory, "vlda {}, [{}, #0]", &[words.hi(), p]);
        let upper = constant(a, shuffle::T16_32X2_HI);
        let [low, high] = shuffle::T16_2X32.map(|mode| constant(a, mode));
        // the eight scales over and over, each twice, each four times
        a.i("vshuffle {}, {}, {}, {}", &[words, words, words, upper]);
        a.i("vshuffle {}, {}, {}, {}", &[words, words, words, low]);
        a.i("vshuffle {}, {}, {}, {}", &[words, words, words, low]);
        let lanes = if self.keys {
            [low, high]
                .map(|half| {
                    let x = a.x();
                    a.i("vshuffle {}, {}, {}, {}", &[x, words, words, half]);
                    x
                })
                .to_vec()
        } else {
            vec![words]
        };
        let [power, fraction, leading, step] = [POWER, FRACTION, LEADING, MAGIC_STEP].map(|bits| splat16(a, bits));
        let sixteen = shift(a, 16);
        let of = |a: &mut Asm, scales: Operand| {
            let (f, upper) = (Factors { integer: a.x(), power: a.x(), magic: a.cm() }, a.x());
            a.i("vband {}, {}, {}", &[f.integer, scales, fraction]);
            a.i("vbor {}, {}, {}", &[f.integer, f.integer, leading]);
            a.i("vband {}, {}, {}", &[f.power, scales, power]);
            a.i("vadd.16 {}, {}, {}", &[upper, f.power, step]);
            a.i("vups.s32.s16 {}, {}, {}", &[f.magic, upper, sixteen]);
            f
        };
        lanes.into_iter().map(|x| of(a, x)).collect()
    }
}
