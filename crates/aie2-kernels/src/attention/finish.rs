//! out[query][d] = bf16(O / l), the end of a pass. Spec: `oracle::flash::quotient`.
//!
//! ```text
//! 1/l = r₁ + r₂                        `recip`, then limbs, each twice: a lane of the product sums two terms
//! O   = o₁ + o₂
//! out = bf16([o₁, o₂] · [r₁, r₁] + [o₁, o₂] · [r₂, r₂])
//!
//! out  [8 d groups][2 query halves][4 query tiles][4 d tiles][4 queries][4 d] bfloat16, over the first half of Oᵀ
//! ```
//! A tile is transposed on the way out, since no DMA moves less than four bytes. It is stored at half the distance from which it was loaded, so
//! that no store reaches a tile before its load.

use aie2_codegen::{Asm, MemRef, Program};

use super::recip::{self, Buffer, Function, half_splat};
use super::softmax::{FACTORS, L_STORE, QUERY_TILES};
use super::{config, constant, output, set_modes, softmax, splat16};
use crate::KernelError;

/// Declared initiation interval of the limbs of 16 reciprocals.
pub const LIMBS_II: u32 = 10;
/// Declared initiation interval of 4 tiles of 16 outputs.
pub const QUOTIENT_II: u32 = 18;

/// Bytes of the limbs of 1/l of a query tile.
const FACTOR_BYTES: u32 = 128;
/// Tiles of d in a trip.
const TILES: usize = 4;
/// `vshuffle` mode that transposes 4 × 4 elements of 16 bits in each half.
// SOURCE: Xilinx/llvm-aie aiev2_enums.h, T16_4x4.
const TRANSPOSE_4X4: i64 = 39;
/// 1 in bfloat16.
const ONE: i64 = 0x3F80;

/// Reciprocals, each in the place of its sum, which was loaded before.
const RECIPROCAL_MEMORY: MemRef = MemRef::space(14).in_bank(3);
const FACTOR_MEMORY: MemRef = MemRef::space(12).in_bank(3);
/// Oᵀ behind the last block, and the results that replace it.
const O_MEMORY: MemRef = MemRef::space(7).in_bank(2);
const OUT_MEMORY: MemRef = MemRef::space(13).in_bank(2);

/// Emits the three loops.
pub fn emit(a: &mut Asm) {
    let l = Buffer { at: softmax::L, memory: L_STORE };
    recip::emit(a, Function::Reciprocal, QUERY_TILES, l, Buffer { memory: RECIPROCAL_MEMORY, ..l });
    emit_limbs(a);
    emit_quotients(a);
}

fn emit_limbs(a: &mut Asm) {
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let high = splat16(a, 0);
    let (from, to) = (a.p(), a.p());
    a.imm(from, i64::from(softmax::L));
    a.imm(to, i64::from(FACTORS));
    a.pipelined("limbs", LIMBS_II, QUERY_TILES, |a| {
        let (r, rest, low) = (a.bm(), a.bm(), a.w());
        a.vlda(RECIPROCAL_MEMORY, r.am(0), from, 32);
        a.vlda(RECIPROCAL_MEMORY, r.am(1), from, 32);
        a.i("vconv.bf16.fp32 {}, {}", &[high.lo(), r]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, r, high, one, float]);
        a.i("vconv.bf16.fp32 {}, {}", &[low, rest]);
        for limb in [high.lo(), high.lo(), low, low] {
            a.vst(FACTOR_MEMORY, limb, to, 32);
        }
    });
}

fn emit_quotients(a: &mut Asm) {
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let transpose = constant(a, TRANSPOSE_4X4);
    let (base, step) = (constant(a, i64::from(FACTORS)), constant(a, i64::from(FACTOR_BYTES)));
    // the factors of eight query tiles, over and over: the offset without its carry, above the base
    let (offset, wrap) = (constant(a, 0), constant(a, i64::from(QUERY_TILES * FACTOR_BYTES - 1)));
    let (factors, load, store) = (a.p(), a.p(), a.p());
    a.imm(load, i64::from(output::O));
    a.imm(store, i64::from(output::O));
    let highs = [splat16(a, 0), splat16(a, 0)];
    a.pipelined("quotient", QUOTIENT_II, output::D_GROUPS * QUERY_TILES, |a| {
        let at = a.r();
        a.add(at, base, offset);
        a.mov(factors, at);
        a.add(offset, offset, step);
        a.i("and {}, {}, {}", &[offset, offset, wrap]);
        let (r1, r2) = (a.x(), a.x());
        for half in [r1.lo(), r1.hi(), r2.lo(), r2.hi()] {
            a.vldb(FACTOR_MEMORY, half, factors, 32);
        }
        for _ in 0..TILES / 2 {
            let rows = a.x();
            for (high, out) in highs.into_iter().zip([rows.lo(), rows.hi()]) {
                let (o, rest, y, limbs) = (a.bm(), a.bm(), a.bm(), a.x());
                a.vlda(O_MEMORY, o.am(0), load, 32);
                a.vlda(O_MEMORY, o.am(1), load, 32);
                a.i("vconv.bf16.fp32 {}, {}", &[high.lo(), o]);
                a.i("vmov {}, {}", &[limbs.lo(), high.lo()]);
                a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, o, high, one, float]);
                a.i("vconv.bf16.fp32 {}, {}", &[limbs.hi(), rest]);
                a.i("vmul.f {}, {}, {}, {}", &[y, limbs, r1, float]);
                a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, limbs, r2, float]);
                a.i("vconv.bf16.fp32 {}, {}", &[out, y]);
            }
            a.i("vshuffle {}, {}, {}, {}", &[rows, rows, rows, transpose]);
            a.vst(OUT_MEMORY, rows.lo(), store, 32);
            a.vst(OUT_MEMORY, rows.hi(), store, 32);
        }
    });
}

/// A program that ends a pass: Oᵀ at [`output::O`] and l at [`softmax::L`], the results over the first half of Oᵀ.
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    let mut a = Asm::new();
    set_modes(&mut a);
    emit(&mut a);
    a.done();
    Ok(a.finish()?)
}
