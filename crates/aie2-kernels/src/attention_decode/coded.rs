//! One block of 16 keys of an INT8 cache. Spec: `oracle::flash_decode::attend_coded`.
//!
//! ```text
//! K, V    codes as bfloat16, exact, in the order of a BF16 cache                         `unpack`
//! Sᵀ    = patterns(s_k · K Qᵀ)          K Qᵀ in two limbs, s_k an operand of the product
//! Pᵀ    = exp2 of r' - Sᵀ, l += Σ Pᵀ
//! Oᵀ   += Vᵀ bf16(s_v · Pᵀ)
//! ```
//! A scale is a bfloat16 number, kept as float32: the upper halves of its words are the operand.
//!
//! | loop | trip | II | bound |
//! |---|---|---|---|
//! | `unpack` | 128 codes | 16 | vector slot and accumulator port (12) |
//!
//! All else is [`super::block`]'s.

use aie2_codegen::{Asm, MemRef, Operand};

use super::block::{HEADS, KEY_TILES, ONE, PAIRS, halves, hidden, outputs, probabilities, references, rescale, scores};
use super::l1::{KEY_CODE_MEMORY, KEY_CODES, KV, RECORD_BYTES, VALUE_CODE_MEMORY, VALUE_CODES};
use crate::registers::{config, constant, half_splat, shift, shuffle, splat16, splat32};

/// Declared initiation interval of 128 codes.
pub const UNPACK_II: u32 = 16;

/// Codes of a record, bytes of its scales, bytes of two records.
const CODES: i64 = 1024;
const SCALES: i64 = 32;
const BLOCK_BYTES: i64 = 2 * (CODES + SCALES);
/// Codes of a vector, and vectors of a trip.
const LANES: u32 = 32;
const VECTORS: u32 = 4;
/// 1.5 · 2^23: what is added to its pattern is added to its value.
const MAGIC: i64 = 0x4B40_0000;
/// Two bfloat16 factors of 1.5 · 2^23: a product leaves the port free by which a second accumulator would be read.
const MAGIC_FACTORS: [i64; 2] = [0x4540, 0x4580];

/// Emits the block, as [`super::block::emit`].
pub fn emit(a: &mut Asm, unit: Operand, list: Operand, turns: Operand, between: impl FnOnce(&mut Asm)) {
    let hidden = hidden(a, list, turns);
    unpack(a, unit, KEY_CODES, KEY_CODE_MEMORY);
    let keys = constant(a, i64::from(KEY_CODES));
    let tiles = scores(a, keys, KEY_CODE_MEMORY);
    let by_record = scales(a, unit);
    scale_scores(a, &tiles, by_record);
    let (factors, changed) = references(a, &tiles, hidden);
    a.if_nz(changed, |a| rescale(a, factors));
    let weights = probabilities(a, &tiles);
    between(a);
    let (values, block) = (a.r(), constant(a, BLOCK_BYTES));
    a.add(values, unit, block);
    unpack(a, values, VALUE_CODES, VALUE_CODE_MEMORY);
    let by_record = scales(a, values);
    scale_weights(a, weights, by_record);
    // V of a unit lies behind two records of K
    let before = constant(a, i64::from(VALUE_CODES - 2 * RECORD_BYTES));
    outputs(a, before, VALUE_CODE_MEMORY, weights);
}

/// Codes of the two records at `from` as bfloat16, without a gap.
fn unpack(a: &mut Asm, from: Operand, to: u32, memory: MemRef) {
    let (none, int_add, float) = (shift(a, 0), constant(a, config::INT32_ADD), constant(a, config::BF16_ELEMENTWISE));
    let [x, y] = MAGIC_FACTORS.map(|bits| half_splat(a, bits));
    let (bits, magic) = (splat32(a, MAGIC), a.cm());
    a.i("vmov {}, {}", &[magic.bm(0), bits]);
    a.i("vmov {}, {}", &[magic.bm(1), bits]);
    let (load, store) = (a.p(), a.p());
    a.mov(load, from);
    a.imm(store, i64::from(to));
    a.loop_n("unpack_records", 2, |a| {
        a.pipelined("unpack", UNPACK_II, CODES as u32 / LANES / VECTORS, |a| {
            for _ in 0..VECTORS {
                let codes = a.cm();
                a.mi(KV, "vlda.ups.s32.s8 {}, {}, [{}], #32", &[codes, none, load]);
                a.i("vadd {}, {}, {}, {}", &[codes, codes, magic, int_add]);
                for half in [codes.bm(0), codes.bm(1)] {
                    a.i("vmsc.f {}, {}, {}, {}, {}", &[half, half, x, y, float]);
                    a.mi(memory, "vst.conv.bf16.fp32 {}, [{}], #32", &[half, store]);
                }
            }
        });
        a.i("padda [{}], {}", &[load, SCALES.into()]);
    });
}

/// bf16(s) of the keys of either of the two records at `unit`, each four times: 32 lanes, `[8 keys][4 queries]`.
fn scales(a: &mut Asm, unit: Operand) -> [Operand; PAIRS] {
    let (p, at, words) = (a.p(), a.r(), a.x());
    let first = constant(a, CODES);
    a.add(at, unit, first);
    a.mov(p, at);
    let record = a.m();
    a.imm(record, CODES + SCALES);
    a.mi(KV, "vlda {}, [{}], {}", &[words.lo(), p, record]);
    a.mi(KV, "vlda {}, [{}], #0", &[words.hi(), p]);
    let [upper, low, high] =
        [shuffle::T16_32X2_HI, shuffle::T16_2X32[0], shuffle::T16_2X32[1]].map(|mode| constant(a, mode));
    let twice = a.x();
    a.i("vshuffle {}, {}, {}, {}", &[words, words, words, upper]);
    a.i("vshuffle {}, {}, {}, {}", &[twice, words, words, low]);
    [low, high].map(|mode| {
        let x = a.x();
        a.i("vshuffle {}, {}, {}, {}", &[x, twice, twice, mode]);
        x
    })
}

/// Scores, two limbs each, times the scales of their keys.
fn scale_scores(a: &mut Asm, pairs: &[Operand], by_record: [Operand; PAIRS]) {
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let first = splat16(a, 0);
    let modes = shuffle::T256_2X2.map(|mode| constant(a, mode));
    let tiles = halves(pairs);
    for tile in 0..KEY_TILES {
        let (factor, record) = (a.x(), by_record[tile / 2]);
        a.i("vshuffle {}, {}, {}, {}", &[factor, record, record, modes[tile % 2]]);
        for head in 0..HEADS {
            let (s, rest, limbs) = (tiles[KEY_TILES * head + tile], a.bm(), a.x());
            a.i("vconv.bf16.fp32 {}, {}", &[first.lo(), s]);
            a.i("vmov {}, {}", &[limbs.lo(), first.lo()]);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, s, first, one, float]);
            a.i("vconv.bf16.fp32 {}, {}", &[limbs.hi(), rest]);
            a.i("vmul.f {}, {}, {}, {}", &[s, limbs, factor, float]);
        }
    }
}

/// Probabilities times the scales of their values, rounded to bfloat16.
fn scale_weights(a: &mut Asm, weights: [[Operand; PAIRS]; HEADS], by_record: [Operand; PAIRS]) {
    let (zero, float) = (splat16(a, 0), constant(a, config::BF16_ELEMENTWISE));
    // lanes that are zero: the upper half, the lower half
    let lanes = [constant(a, -0x1_0000), constant(a, 0xFFFF)];
    for (pair, record) in by_record.into_iter().enumerate() {
        let factors = lanes.map(|lanes| {
            let x = a.x();
            a.i("vsel.16 {}, {}, {}, {}", &[x, record, zero, lanes]);
            x
        });
        for p in weights.map(|head| head[pair]) {
            let products = factors.map(|factor| {
                let y = a.bm();
                a.i("vmul.f {}, {}, {}, {}", &[y, p, factor, float]);
                y
            });
            for (half, y) in [p.lo(), p.hi()].into_iter().zip(products) {
                a.i("vconv.bf16.fp32 {}, {}", &[half, y]);
            }
        }
    }
}
