//! 1/l and 1/√l of float32, 16 lanes at a time, in bfloat16 limbs. Spec: `oracle::recip`.
//!
//! ```text
//! l = l₁ + l₂ + l₃                                vconv, vmsc.f
//! y₀ = pattern(SEED - pattern(l₁) [/ 2])          vsub.16
//! y ← y (1 + e + e²),        e = 1 - l y          twice; y is a bfloat16 in between
//! y ← y (1 + e/2 + 3/8 e²),  e = 1 - l y²
//! ```
//! A serial chain in few registers: a value of the next trip waits for the last use of this one. Both are used once per row of a whole attention block (row
//! sums) or of a token (mean squares), 16 rows a trip.

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::{alone, place};
use crate::KernelError;
use crate::registers::{config, constant, half_splat, shift, splat_accumulator, splat16};

/// Values per trip of a loop.
pub const LANES: u32 = 16;
/// Declared initiation interval of 16 reciprocals.
pub const RECIPROCAL_II: u32 = 57;
/// Declared initiation interval of 16 inverse roots.
pub const RSQRT_II: u32 = 102;

/// Pattern from which the pattern of l is subtracted to give that of about 1/l.
const RECIPROCAL_SEED: i64 = 0x7EF3;
/// The same for half the pattern of l and 1/√l.
const RSQRT_SEED: i64 = 0x5F37;
/// 1, ½ and ⅜ in bfloat16.
const ONE: i64 = 0x3F80;
const HALF: i64 = 0x3F00;
const THREE_EIGHTHS: i64 = 0x3EC0;

/// Which function of l.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// 1/l.
    Reciprocal,
    /// 1/√l.
    Rsqrt,
}

/// bfloat16 operands under way: the lower half of a vector holds the values, the upper half zeros, so that a lane sums one product.
struct Limbs {
    l: [Operand; 3],
    y: Operand,
    e: Operand,
    c: Operand,
    q: [Operand; 2],
}

struct Emitter<'a> {
    a: &'a mut Asm,
    float: Operand,
}

impl Emitter<'_> {
    fn round(&mut self, x: Operand, acc: Operand) {
        self.a.i("vconv.bf16.fp32 {}, {}", &[x.lo(), acc]);
    }

    /// `d = acc + x · y`.
    fn mac(&mut self, d: Operand, acc: Operand, x: Operand, y: Operand) {
        self.a.i("vmac.f {}, {}, {}, {}, {}", &[d, acc, x, y, self.float]);
    }

    /// `d = acc - x · y`.
    fn msc(&mut self, d: Operand, acc: Operand, x: Operand, y: Operand) {
        self.a.i("vmsc.f {}, {}, {}, {}, {}", &[d, acc, x, y, self.float]);
    }

    /// `d = x · y`.
    fn mul(&mut self, d: Operand, x: Operand, y: Operand) {
        self.a.i("vmul.f {}, {}, {}, {}", &[d, x, y, self.float]);
    }

    /// `d = float32(x)`.
    fn widen(&mut self, d: Operand, x: Operand) {
        self.a.i("vconv.fp32.bf16 {}, {}", &[d, x.lo()]);
    }
}

/// Where a loop finds and leaves its values: core address, and what is known of the memory there.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Core address.
    pub at: u32,
    /// Alias class and bank.
    pub memory: MemRef,
}

/// A program that maps `trips` · [`LANES`] values from [`place::IN`] to [`place::OUT`], both float32.
///
/// # Errors
/// A missed II, or a failed check.
pub fn program(function: Function, trips: u32) -> Result<Program, KernelError> {
    let from = Buffer { at: place::IN, memory: place::IN_MEMORY };
    let to = Buffer { at: place::OUT, memory: place::OUT_MEMORY };
    alone(|a| emit(a, function, trips, from, to))
}

/// Emits the loop over `trips` · [`LANES`] values.
pub fn emit(a: &mut Asm, function: Function, trips: u32, source: Buffer, target: Buffer) {
    let (name, ii) = match function {
        Function::Reciprocal => ("reciprocal", RECIPROCAL_II),
        Function::Rsqrt => ("rsqrt", RSQRT_II),
    };
    emit_loop(a, function, source, target, |a, body| a.pipelined(name, ii, trips, body));
}

/// The same, one trip after the other: longer, in less than half the program memory.
pub fn emit_serial(a: &mut Asm, function: Function, trips: u32, source: Buffer, target: Buffer) {
    emit_loop(a, function, source, target, |a, body| a.loop_n("serial_recip", trips, body));
}

fn emit_loop(
    a: &mut Asm,
    function: Function,
    source: Buffer,
    target: Buffer,
    repeat: impl FnOnce(&mut Asm, &dyn Fn(&mut Asm)),
) {
    let float = constant(a, config::BF16_ELEMENTWISE);
    let one = half_splat(a, ONE);
    let one_float = splat_accumulator(a, ONE << 16, "cm8").bm(0);
    let seed = match function {
        Function::Reciprocal => RECIPROCAL_SEED,
        Function::Rsqrt => RSQRT_SEED,
    };
    let seed = half_splat(a, seed);
    let mut zero = || splat16(a, 0);
    let x = Limbs { l: [zero(), zero(), zero()], y: zero(), e: zero(), c: zero(), q: [zero(), zero()] };
    let root = (function == Function::Rsqrt).then(|| Root {
        half: half_splat(a, HALF),
        three_eighths: half_splat(a, THREE_EIGHTHS),
        half_float: splat_accumulator(a, HALF << 16, "cm7").bm(0),
        none: shift(a, 0),
        one_bit: shift(a, 1),
    });
    let (from, to) = (a.p(), a.p());
    a.imm(from, i64::from(source.at));
    a.imm(to, i64::from(target.at));
    repeat(a, &|a: &mut Asm| {
        let (l, rest, y) = (a.bm(), a.bm(), a.bm());
        for quarter in 0..2 {
            a.vlda(source.memory, l.am(quarter), from, 32);
        }
        let mut e = Emitter { a, float };
        for (i, limb) in x.l.into_iter().enumerate() {
            let of = if i == 0 { l } else { rest };
            e.round(limb, of);
            if i < 2 {
                e.msc(rest, of, limb, one);
            }
        }
        let c = match &root {
            None => e.reciprocal(&x, seed, one_float),
            Some(root) => e.rsqrt(&x, root, seed, one_float, one),
        };
        // y + y · c with c in two limbs
        e.widen(y, x.y);
        e.round(x.c, c);
        e.msc(rest, c, x.c, one);
        e.mac(y, y, x.y, x.c);
        e.round(x.e, rest);
        e.mac(y, y, x.y, x.e);
        for quarter in 0..2 {
            a.vst(target.memory, y.am(quarter), to, 32);
        }
    });
}

/// What 1/√l needs beside.
struct Root {
    half: Operand,
    three_eighths: Operand,
    half_float: Operand,
    none: Operand,
    one_bit: Operand,
}

impl Emitter<'_> {
    /// Leaves the bfloat16 y₁ in `x.y`; the correction it returns turns it into 1/l.
    fn reciprocal(&mut self, x: &Limbs, seed: Operand, one: Operand) -> Operand {
        let (e, c, y) = (self.a.bm(), self.a.bm(), self.a.bm());
        self.a.i("vsub.16 {}, {}, {}", &[x.y, seed, x.l[0]]);
        self.msc(e, one, x.l[0], x.y);
        self.round(x.e, e);
        self.mac(c, e, x.e, x.e);
        self.round(x.c, c);
        self.widen(y, x.y);
        self.mac(y, y, x.y, x.c);
        self.round(x.y, y);
        self.msc(e, one, x.l[0], x.y);
        self.msc(e, e, x.l[1], x.y);
        self.msc(e, e, x.l[2], x.y);
        self.round(x.e, e);
        self.mac(c, e, x.e, x.e);
        c
    }

    /// Leaves the bfloat16 y₁ in `x.y`; the correction it returns turns it into 1/√l.
    fn rsqrt(&mut self, x: &Limbs, root: &Root, seed: Operand, one_float: Operand, one: Operand) -> Operand {
        let (e, c, y, q) = (self.a.bm(), self.a.bm(), self.a.bm(), self.a.bm());
        // there is no shift of 16-bit lanes: up without one, down by one
        self.a.i("vups.s32.s16 {}, {}, {}", &[q, x.l[0].lo(), root.none]);
        self.a.i("vsrs.s16.s32 {}, {}, {}", &[x.q[0].lo(), q, root.one_bit]);
        self.a.i("vsub.16 {}, {}, {}", &[x.y, seed, x.q[0]]);
        self.mul(q, x.y, x.y);
        self.round(x.q[0], q);
        self.msc(e, one_float, x.l[0], x.q[0]);
        self.round(x.e, e);
        self.mac(c, root.half_float, x.e, root.three_eighths);
        self.round(x.c, c);
        self.mul(c, x.e, x.c);
        self.round(x.c, c);
        self.widen(y, x.y);
        self.mac(y, y, x.y, x.c);
        self.round(x.y, y);
        self.mul(q, x.y, x.y);
        self.round(x.q[0], q);
        self.msc(q, q, x.q[0], one);
        self.round(x.q[1], q);
        self.msc(e, one_float, x.l[0], x.q[0]);
        for (l, q) in [(1, 0), (0, 1), (2, 0), (1, 1)] {
            self.msc(e, e, x.l[l], x.q[q]);
        }
        self.round(x.e, e);
        self.mul(c, x.e, root.half);
        self.msc(e, e, x.e, one);
        self.round(x.q[0], e);
        self.mac(c, c, x.q[0], root.half);
        self.mul(q, x.e, root.three_eighths);
        self.round(x.q[0], q);
        self.mac(c, c, x.e, x.q[0]);
        c
    }
}
