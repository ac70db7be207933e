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

use aie2_codegen::{Asm, Guards, MemRef, Operand, Program};

use super::recip::{self, Buffer, Function};
use super::softmax::{FACTORS, QUERY_TILES};
use super::{Places, alone, memory, output, softmax};
use crate::KernelError;
use crate::registers::{config, constant, half_splat, shuffle, splat16};

/// Declared initiation interval of the limbs of 16 reciprocals.
pub const LIMBS_II: u32 = 20;
/// Declared initiation interval of 4 tiles of 16 outputs.
pub const QUOTIENT_II: u32 = 18;

/// The same into a unit of a ring, eight trips at a time: fewer stages make up for the interval.
pub const UNIT_II: u32 = 22;

/// Bytes of the limbs of 1/l of a query tile.
const FACTOR_BYTES: u32 = 128;
/// Tiles of d in a trip.
const TILES: usize = 4;
/// 1 in bfloat16.
pub(crate) const ONE: i64 = 0x3F80;

/// Reciprocals, each in the place of its sum, which was loaded before.
const RECIPROCAL_MEMORY: MemRef = MemRef::space(14).in_bank(3);
const FACTOR_MEMORY: MemRef = MemRef::space(12).in_bank(3);
/// Oᵀ behind the last block, and the results that replace it.
const O_MEMORY: MemRef = MemRef::space(7).in_bank(2);
const OUT_MEMORY: MemRef = MemRef::space(13).in_bank(2);

/// Emits the three loops.
pub fn emit(a: &mut Asm) {
    let (from, to) = reciprocal_buffers(&Places::ALONE);
    recip::emit(a, Function::Reciprocal, QUERY_TILES, from, to);
    emit_limbs(a, &Places::ALONE, |a, body| a.pipelined("limbs", LIMBS_II, QUERY_TILES, body));
    emit_quotients(a);
}

fn reciprocal_buffers(places: &Places) -> (Buffer, Buffer) {
    let l = Buffer { at: places.l, memory: memory(softmax::L_STORE_SPACE, places.l) };
    (l, Buffer { memory: RECIPROCAL_MEMORY, ..l })
}

fn emit_limbs(a: &mut Asm, places: &Places, repeat: impl FnOnce(&mut Asm, &dyn Fn(&mut Asm))) {
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let high = splat16(a, 0);
    let (from, to) = (a.p(), a.p());
    a.imm(from, i64::from(places.l));
    a.imm(to, i64::from(places.factors));
    repeat(a, &|a: &mut Asm| {
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
    let transpose = constant(a, shuffle::T16_4X4);
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
            Quotient { highs, one, float, from: O_MEMORY, load }.pair(a, r1, r2, rows);
            a.i("vshuffle {}, {}, {}, {}", &[rows, rows, rows, transpose]);
            a.vst(OUT_MEMORY, rows.lo(), store, 32);
            a.vst(OUT_MEMORY, rows.hi(), store, 32);
        }
    });
}

/// Registers of two quotients.
pub(crate) struct Quotient {
    /// Zeros in their upper halves.
    pub highs: [Operand; 2],
    /// [`ONE`] in the lower half.
    pub one: Operand,
    /// Configuration word of the products.
    pub float: Operand,
    /// Memory of Oᵀ.
    pub from: MemRef,
    /// Address of its next tile.
    pub load: Operand,
}

impl Quotient {
    /// The next two tiles of Oᵀ over their sums, into the halves of `rows`.
    pub(crate) fn pair(&self, a: &mut Asm, r1: Operand, r2: Operand, rows: Operand) {
        let (one, float) = (self.one, self.float);
        for (high, out) in self.highs.into_iter().zip([rows.lo(), rows.hi()]) {
            let (o, rest, y, limbs) = (a.bm(), a.bm(), a.bm(), a.x());
            a.vlda(self.from, o.am(0), self.load, 32);
            a.vlda(self.from, o.am(1), self.load, 32);
            a.i("vconv.bf16.fp32 {}, {}", &[high.lo(), o]);
            a.i("vmov {}, {}", &[limbs.lo(), high.lo()]);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, o, high, one, float]);
            a.i("vconv.bf16.fp32 {}, {}", &[limbs.hi(), rest]);
            a.i("vmul.f {}, {}, {}, {}", &[y, limbs, r1, float]);
            a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, limbs, r2, float]);
            a.i("vconv.bf16.fp32 {}, {}", &[out, y]);
        }
    }
}

/// A ring of units for the results: where it begins, its length, a power of two that divides [`UNITS`], and its locks.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// Core address.
    pub at: u32,
    /// Units.
    pub units: u32,
    /// Lock of the empty ones.
    pub empty: u8,
    /// Lock of the full ones.
    pub full: u8,
}

/// Units of the results of a pass: `[head][64 d][8 positions]`, each `[8 columns of 8 d][8 positions][8 d]` bfloat16.
pub const UNITS: u32 = 8;
/// Bytes of a unit.
const UNIT_BYTES: u32 = 1024;
/// Tiles of 16 d × 4 positions in a unit.
const UNIT_TRIPS: u32 = 8;
/// Alias class of the units.
const UNIT_SPACE: u16 = 18;

/// Emits the end of a pass with results in units of a ring, from its first on.
pub fn emit_units(a: &mut Asm, places: &Places, out: &Out) {
    let (from, to) = reciprocal_buffers(places);
    recip::emit_serial(a, Function::Reciprocal, QUERY_TILES, from, to);
    emit_limbs(a, places, |a, body| a.loop_n("limbs", QUERY_TILES, body));
    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let transpose = constant(a, shuffle::T16_8X4);
    let highs = [splat16(a, 0), splat16(a, 0)];
    let (outputs, factor_base, ring) =
        (constant(a, i64::from(places.o)), constant(a, i64::from(places.factors)), constant(a, i64::from(out.at)));
    let (o_memory, factor_memory, unit_memory) = (
        memory(output::O_STORE_SPACE, places.o),
        memory(softmax::FACTOR_SPACE, places.factors),
        memory(UNIT_SPACE, out.at),
    );
    let unit = constant(a, 0);
    a.loop_n("out_units", UNITS, |a| {
        // bits of the unit: eight positions 1, half of the head 2, head 4
        let part = |a: &mut Asm, bits: i64, up: i64| {
            let (r, mask, shift) = (a.r(), constant(a, bits), constant(a, up));
            a.i("and {}, {}, {}", &[r, unit, mask]);
            a.i("lshl {}, {}, {}", &[r, r, shift]);
            r
        };
        let (o_next, f_next, to_next) = (a.r(), a.r(), a.r());
        a.mov(o_next, outputs);
        for (bits, up) in [(1, 9), (2, 12), (4, 8)] {
            let bytes = part(a, bits, up);
            a.add(o_next, o_next, bytes);
        }
        a.mov(f_next, factor_base);
        for (bits, up) in [(1, 8), (4, 7)] {
            let bytes = part(a, bits, up);
            a.add(f_next, f_next, bytes);
        }
        let slot = part(a, i64::from(out.units) - 1, i64::from(UNIT_BYTES.ilog2()));
        a.add(to_next, ring, slot);
        a.add(unit, unit, Operand::Imm(1));
        // four positions, then the other four, then the next 16 d
        let (o_step, o_turn) = (constant(a, 256), constant(a, 2048));
        let (to_step, to_turn) = (constant(a, 64), constant(a, 256));
        let f_turn = constant(a, i64::from(FACTOR_BYTES));
        let less = constant(a, -1);
        a.acq(Guards::Spaces(vec![UNIT_SPACE]), out.empty, less);
        a.pipelined("quotient", UNIT_II, UNIT_TRIPS, |a| {
            let (load, factors, store) = (a.p(), a.p(), a.p());
            for (p, next) in [(load, o_next), (factors, f_next), (store, to_next)] {
                a.mov(p, next);
            }
            a.add(o_next, o_next, o_step);
            a.i("sub {}, {}, {}", &[o_step, o_turn, o_step]);
            a.add(to_next, to_next, to_step);
            a.i("sub {}, {}, {}", &[to_step, to_turn, to_step]);
            a.i("xor {}, {}, {}", &[f_next, f_next, f_turn]);
            let (r1, r2) = (a.x(), a.x());
            for half in [r1.lo(), r1.hi(), r2.lo(), r2.hi()] {
                a.vldb(factor_memory, half, factors, 32);
            }
            for _ in 0..TILES / 2 {
                let rows = a.x();
                Quotient { highs, one, float, from: o_memory, load }.pair(a, r1, r2, rows);
                a.i("vshuffle {}, {}, {}, {}", &[rows, rows, rows, transpose]);
                a.vst(unit_memory, rows.lo(), store, 32);
                a.vst(unit_memory, rows.hi(), store, 96);
            }
        });
        let more = constant(a, 1);
        a.rel(Guards::Spaces(vec![UNIT_SPACE]), out.full, more);
    });
}

/// A program that ends a pass: Oᵀ at [`output::O`] and l at [`softmax::L`], the results over the first half of Oᵀ.
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    alone(emit)
}
