//! One core's program: one piece of 2 KiB a round, in and out.
//!
//! ```text
//! a unit of A: copy the weights
//! for each segment, a unit of A with eight tables:
//!   for each round:
//!     two units of B: copy the core's piece, add up squares       `capture`
//!     r = rsqrt(Σ x² + d ε) of eight heads, in two limbs          `pairs`, `rsqrt`
//!     y of eight heads into two units of the out ring             `turn`        or, for values, `values`
//! ```
//! What differs between cores, and between rounds of rows and rounds of records, are numbers in [`super::geometry`].

use aie2_codegen::{Asm, Guards, MemRef, Operand};

use super::codes;
use super::geometry::Offsets;
use crate::attention::memory;
use crate::attention::recip::{self, Buffer, Function};
use crate::grid::{Locks, OUT_UNIT_BYTES};
use crate::registers::{config, constant, set_modes, shuffle, splat16};
use npu_package::layout::KvFormat;

/// Declared initiation interval of a head's squares.
pub const CAPTURE_II: u32 = 28;
/// Declared initiation interval of half a head: two blocks of 16 pairs.
pub const TURN_II: u32 = 76;
/// Bytes of a unit of A.
pub const A_UNIT_BYTES: u32 = 8192;
/// Bytes of a unit of B.
pub const B_UNIT_BYTES: u32 = 4096;
/// Bytes of working memory.
pub const WORK_BYTES: u32 = 4096;
/// Words the runtime stream writes before a call: rounds of rows, groups of 8 tokens, rounds of rows behind those.
pub const CALL_WORDS: u32 = 3;

/// Bytes of a head, and of its weights in two limbs.
const HEAD_BYTES: i64 = 256;
const WEIGHT_BYTES: i64 = 512;
/// Heads of a round.
const HEADS: u32 = 8;
/// Rounds of a group of eight tokens: one for each key-value head of the column.
const GROUP_ROUNDS: i64 = 4;
/// Bytes of the weights of queries and keys, at the start of the first unit of A.
pub const WEIGHTS_BYTES: u32 = 1024;
/// Bytes of sixteen float32.
const LANES_BYTES: i64 = 64;
/// 1 in bfloat16.
const ONE: i64 = 0x3F80;
/// d ε = 128 · 10⁻⁶ in float32.
const EPSILON: i64 = 0x3906_37BD;

/// Where things lie in a core's memory, as its core sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1 {
    /// Ring of A: two units on end, the first at a multiple of twice their size.
    pub a: u32,
    /// Ring of B, likewise.
    pub b: u32,
    /// Out ring, likewise.
    pub out: u32,
    /// Units of the out ring: 2 or 4.
    pub out_units: u32,
    /// [`WORK_BYTES`] inside one bank, of no meaning between calls.
    pub work: u32,
    /// The core's [`super::geometry`], there from the start.
    pub geometry: u32,
    /// [`CALL_WORDS`] words.
    pub call: u32,
}

/// Scalar registers that hold the address of the next buffer of each ring, before and after.
#[derive(Clone, Copy, Debug)]
pub struct Pointers {
    /// Next unit of A.
    pub a: Operand,
    /// Next unit of B.
    pub b: Operand,
    /// Next pair of units of the out ring.
    pub out: Operand,
}

// The rings' alias classes are those of the projection, so that phases of one program agree; those of `space` are this phase's own.
const A: MemRef = MemRef::space(1).in_bank(0);
const B: MemRef = MemRef::space(2).in_bank(1);
pub(super) const OUT: MemRef = MemRef::space(4).in_bank(1);

mod space {
    pub const X: u16 = 40;
    pub const PARTIAL: u16 = 41;
    pub const WEIGHTS: u16 = 42;
    pub const SUMS: u16 = 43;
    pub const INVERSE: u16 = 44;
    pub const LIMBS: u16 = 45;
    pub const GEOMETRY: u16 = 46;
    pub const CALL: u16 = 47;
}

pub(super) struct Work {
    pub(super) x: u32,
    partial: u32,
    weights: u32,
    pub(super) sums: u32,
    pub(super) inverse: u32,
    pub(super) limbs: u32,
}

/// Emitter of one call.
pub struct Phase {
    /// Memory.
    pub l1: L1,
    /// Locks.
    pub locks: Locks,
    /// Pointers.
    pub pointers: Pointers,
}

/// Constants of the scalar side.
pub(super) struct Scalars {
    one: Operand,
    minus_one: Operand,
    two: Operand,
    minus_two: Operand,
    pub(super) elementwise: Operand,
    pub(super) float_add: Operand,
}

impl Phase {
    pub(super) fn x(&self) -> MemRef {
        memory(space::X, self.l1.work)
    }
    fn partial(&self) -> MemRef {
        memory(space::PARTIAL, self.l1.work)
    }
    fn weights(&self) -> MemRef {
        memory(space::WEIGHTS, self.l1.work)
    }
    pub(super) fn sums(&self) -> MemRef {
        memory(space::SUMS, self.l1.work)
    }
    pub(super) fn inverse(&self) -> MemRef {
        memory(space::INVERSE, self.l1.work)
    }
    pub(super) fn limbs(&self) -> MemRef {
        memory(space::LIMBS, self.l1.work)
    }
    pub(super) fn geometry(&self) -> MemRef {
        memory(space::GEOMETRY, self.l1.geometry)
    }
    pub(super) fn work(&self) -> Work {
        let at = |offset: u32| self.l1.work + offset;
        Work { x: at(0), partial: at(2048), weights: at(3072), sums: at(3584), inverse: at(3648), limbs: at(3712) }
    }

    /// Emits one call.
    pub fn emit(&self, a: &mut Asm) {
        self.call(a, KvFormat::Bf16);
    }

    /// Emits one call whose cores have [`super::geometry_kv8`]; working memory and out ring share a bank.
    pub fn emit_kv8(&self, a: &mut Asm) {
        self.call(a, KvFormat::Int8);
    }

    fn call(&self, a: &mut Asm, cache: KvFormat) {
        set_modes(a);
        let s = Scalars {
            one: constant(a, 1),
            minus_one: constant(a, -1),
            two: constant(a, 2),
            minus_two: constant(a, -2),
            elementwise: constant(a, config::BF16_ELEMENTWISE),
            float_add: constant(a, config::FLOAT_ADD),
        };
        // the call's words are there as soon as the first unit of A is
        let call = memory(space::CALL, self.l1.call);
        a.acq(Guards::Spaces(vec![A.space, call.space]), self.locks.a_full, s.minus_one);
        let (rounds, groups, last) = (a.r(), a.r(), a.r());
        let p = a.p();
        a.imm(p, i64::from(self.l1.call));
        for r in [rounds, groups, last] {
            a.mi(call, "lda {}, [{}], #4", &[r, p]);
        }
        self.copy_weights(a);
        self.release(a, A, self.locks.a_empty, s.one);
        turn(a, self.pointers.a, i64::from(A_UNIT_BYTES));
        let (tables, geometry, left) = (a.r(), a.r(), a.r());
        a.imm(geometry, i64::from(self.l1.geometry + Offsets::ROWS));
        let (segment, begin, round, done) = (a.label("segment"), a.label("begin"), a.label("round"), a.label("done"));
        a.bind(segment);
        a.jnz(rounds, begin);
        a.i("or {}, {}, {}", &[left, groups, last]);
        a.jz(left, done);
        a.if_else(
            groups,
            |a| {
                a.add(groups, groups, Operand::Imm(-1));
                a.imm(rounds, GROUP_ROUNDS);
                let records = match cache {
                    KvFormat::Bf16 => Offsets::RECORDS,
                    KvFormat::Int8 => Offsets::RECORDS_KV8,
                };
                a.imm(geometry, i64::from(self.l1.geometry + records));
            },
            |a| {
                a.mov(rounds, last);
                a.imm(last, 0);
                a.imm(geometry, i64::from(self.l1.geometry + Offsets::ROWS));
            },
        );
        a.bind(begin);
        self.acquire(a, A, self.locks.a_full, s.minus_one);
        self.tables(a, tables);
        a.bind(round);
        self.round(a, &s, tables, geometry, cache);
        a.add(rounds, rounds, Operand::Imm(-1));
        a.jnz(rounds, round);
        self.release(a, A, self.locks.a_empty, s.one);
        turn(a, self.pointers.a, i64::from(A_UNIT_BYTES));
        a.jump(segment);
        a.bind(done);
    }

    /// `tables` = the core's first table of a unit of A.
    fn tables(&self, a: &mut Asm, tables: Operand) {
        let (p, offset) = (a.p(), a.r());
        a.imm(p, i64::from(self.l1.geometry + Offsets::TABLE));
        a.mi(self.geometry(), "lda {}, [{}], #0", &[offset, p]);
        a.add(tables, self.pointers.a, offset);
    }

    fn copy_weights(&self, a: &mut Asm) {
        let (p, from, to, offset) = (a.p(), a.p(), a.p(), a.m());
        a.imm(p, i64::from(self.l1.geometry + Offsets::WEIGHTS));
        a.mi(self.geometry(), "lda {}, [{}], #0", &[offset, p]);
        a.mov(from, self.pointers.a);
        a.i("padda [{}], {}", &[from, offset]);
        a.imm(to, i64::from(self.work().weights));
        a.loop_n("weights", (WEIGHT_BYTES / 32) as u32, |a| {
            let w = a.w();
            a.vlda(A, w, from, 32);
            a.vst(self.weights(), w, to, 32);
        });
    }

    fn round(&self, a: &mut Asm, s: &Scalars, tables: Operand, geometry: Operand, cache: KvFormat) {
        let p = a.p();
        a.imm(p, i64::from(self.l1.geometry + Offsets::MINE));
        let (mine, piece, values) = (a.r(), a.r(), a.r());
        for r in [mine, piece, values] {
            a.mi(self.geometry(), "lda {}, [{}], #4", &[r, p]);
        }
        a.loop_n("units", 2, |a| {
            self.acquire(a, B, self.locks.b_full, s.minus_one);
            a.if_nz(mine, |a| self.capture(a, s, piece));
            self.release(a, B, self.locks.b_empty, s.one);
            turn(a, self.pointers.b, i64::from(B_UNIT_BYTES));
            a.i("xor {}, {}, {}", &[mine, mine, s.one]);
        });
        let walk = Walk::load(a, self.geometry(), geometry);
        match cache {
            KvFormat::Bf16 => a.if_else(
                values,
                |a| self.values(a, s, &walk),
                |a| {
                    self.inverse_roots(a, s);
                    self.heads(a, s, tables, &walk, None);
                },
            ),
            KvFormat::Int8 => {
                self.acquire(a, OUT, self.locks.out_empty, s.minus_two);
                let [turned, coded] = [1, 2].map(|bit| {
                    let r = a.r();
                    a.imm(r, bit);
                    a.i("and {}, {}, {}", &[r, r, values]);
                    r
                });
                a.if_nz(turned, |a| {
                    self.inverse_roots(a, s);
                    // what becomes codes stays where it is
                    let to = a.r();
                    a.mov(to, self.pointers.out);
                    a.if_nz(coded, |a| a.imm(to, i64::from(self.work().x)));
                    self.heads(a, s, tables, &walk, Some(to));
                });
                a.if_nz(coded, |a| codes::emit(self, a, s, geometry));
            }
        }
        self.release(a, OUT, self.locks.out_full, s.two);
        if self.l1.out_units > 2 {
            turn(a, self.pointers.out, 2 * i64::from(OUT_UNIT_BYTES));
        }
        a.add(tables, tables, walk.step);
    }

    /// Copies eight heads of the unit of B; per head sixteen sums of squares.
    fn capture(&self, a: &mut Asm, s: &Scalars, piece: Operand) {
        let (from, to, sums, at) = (a.p(), a.p(), a.p(), a.r());
        a.add(at, self.pointers.b, piece);
        a.mov(from, at);
        a.imm(to, i64::from(self.work().x));
        a.imm(sums, i64::from(self.work().partial));
        a.pipelined("capture", CAPTURE_II, HEADS, |a| {
            let acc = a.bm();
            for k in 0..4 {
                let x = a.x();
                for half in [x.lo(), x.hi()] {
                    a.vlda(B, half, from, 32);
                    a.vst(self.x(), half, to, 32);
                }
                // acc += x²
                if k == 0 {
                    a.i("vmul.f {}, {}, {}, {}", &[acc, x, x, s.elementwise]);
                } else {
                    a.i("vmac.f {}, {}, {}, {}, {}", &[acc, acc, x, x, s.elementwise]);
                }
            }
            for half in 0..2 {
                a.vst(self.partial(), acc.am(half), sums, 32);
            }
        });
    }

    /// Two limbs of 1/√(Σ x² + d ε), `[limb][16]`, head by head in the first eight lanes.
    fn inverse_roots(&self, a: &mut Asm, s: &Scalars) {
        let work = self.work();
        let [even, odd] = shuffle::T32_16X2.map(|mode| constant(a, mode));
        let (from, to) = (a.p(), a.p());
        a.imm(from, i64::from(work.partial));
        a.imm(to, i64::from(work.partial) + i64::from(HEADS) * LANES_BYTES);
        // 16 lanes of 8 heads, 8 of two in each of 4, ..., 2 of 8 in the last: sums of neighbours
        a.loop_n("pairs", HEADS - 1, |a| {
            let (first, second, sum) = (a.x(), a.x(), a.bm());
            for half in [first.lo(), first.hi(), second.lo(), second.hi()] {
                a.vlda(self.partial(), half, from, 32);
            }
            neighbours(a, s, sum, first, second, [even, odd]);
            for half in 0..2 {
                a.vst(self.partial(), sum.am(half), to, 32);
            }
        });
        let (last, sum, epsilon) = (a.x(), a.bm(), a.bm());
        for half in [last.lo(), last.hi()] {
            a.vlda(self.partial(), half, from, 32);
        }
        neighbours(a, s, sum, last, last, [even, odd]);
        let (bits, t) = (a.x(), constant(a, EPSILON));
        a.i("vbcst.32 {}, {}", &[bits, t]);
        a.i("vmov {}, {}", &[epsilon, bits]);
        a.i("vadd.f {}, {}, {}, {}", &[sum, sum, epsilon, s.float_add]);
        a.imm(to, i64::from(work.sums));
        for half in 0..2 {
            a.vst(self.sums(), sum.am(half), to, 32);
        }
        let sums = Buffer { at: work.sums, memory: self.sums() };
        recip::emit(a, Function::Rsqrt, 1, sums, Buffer { at: work.inverse, memory: self.inverse() });
        self.split_inverse(a, s, [from, to]);
    }

    /// Two limbs of the sixteen values that [`recip::emit`] left.
    pub(super) fn split_inverse(&self, a: &mut Asm, s: &Scalars, [from, to]: [Operand; 2]) {
        let work = self.work();
        let (high, one) = (splat16(a, 0), splat16(a, ONE));
        let (r, rest, low) = (a.bm(), a.bm(), a.w());
        a.imm(from, i64::from(work.inverse));
        for half in 0..2 {
            a.vlda(self.inverse(), r.am(half), from, 32);
        }
        a.i("vconv.bf16.fp32 {}, {}", &[high.lo(), r]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, r, high, one, s.elementwise]);
        a.i("vconv.bf16.fp32 {}, {}", &[low, rest]);
        a.imm(to, i64::from(work.limbs));
        a.vst(self.limbs(), high.lo(), to, 32);
        a.vst(self.limbs(), low, to, 32);
    }

    /// y of eight heads, to `place` or into an out unit that it waits for.
    fn heads(&self, a: &mut Asm, s: &Scalars, tables: Operand, g: &Walk, place: Option<Operand>) {
        let work = self.work();
        let [from, weights, back] =
            [i64::from(work.x) + 64, i64::from(work.weights) + 128, 256].map(|at| constant(a, at));
        let (table, to) = (a.r(), a.r());
        a.mov(table, tables);
        a.mov(to, place.unwrap_or(self.pointers.out));
        if place.is_none() {
            self.acquire(a, OUT, self.locks.out_empty, s.minus_two);
        }
        a.loop_n("halves", 2, |a| {
            let [px, pt, pg, py, high, low] = [0; 6].map(|_| a.p());
            for (p, r) in [(px, from), (pt, table), (pg, weights), (py, to)] {
                a.mov(p, r);
            }
            a.imm(high, i64::from(work.limbs));
            a.imm(low, i64::from(work.limbs) + 32);
            a.add(from, from, Operand::Imm(32));
            a.add(from, from, Operand::Imm(32));
            a.add(table, table, back);
            a.add(weights, weights, back);
            a.add(to, to, g.out_half);
            a.loop_n("fours", 2, |a| {
                a.pipelined("turn", TURN_II, HEADS / 2, |a| {
                    self.turn(a, s, &Turn { px, pt, pg, py, high, low }, g);
                });
                a.i("padda [{}], {}", &[py, g.out_four]);
                a.i("padda [{}], {}", &[pt, g.in_four]);
            });
        });
    }

    fn turn(&self, a: &mut Asm, s: &Scalars, t: &Turn, g: &Walk) {
        let float = s.elementwise;
        // p = x g in two limbs, those of the lower and of the upper half side by side
        let factors = [0, 1].map(|block: i64| {
            let (p1, p2) = (a.x(), a.x());
            let products = [0, 1].map(|half: i64| {
                let (x, weights, p) = (a.x(), a.x(), a.bm());
                for (limb, (x, w)) in (0..).zip([(x.lo(), weights.lo()), (x.hi(), weights.hi())]) {
                    a.mi(self.x(), "vldb {}, [{}, {}]", &[x, t.px, (128 * half + 32 * block - 64).into()]);
                    let at = 128 * block + 64 * half + 32 * limb - 128;
                    a.mi(self.weights(), "vldb {}, [{}, {}]", &[w, t.pg, at.into()]);
                }
                a.i("vmul.f {}, {}, {}, {}", &[p, x, weights, float]);
                p
            });
            split(a, s, products, [p1.lo(), p1.hi()], [p2.lo(), p2.hi()]);
            [p1, p2]
        });
        // z = p turned
        let turned = [0, 1].map(|block: usize| {
            let [p1, p2] = factors[block];
            [0, 1].map(|vector: usize| {
                let z = a.bm();
                let [t1, t2] = [0, 1].map(|limb: usize| {
                    let v = a.x();
                    for (half, v) in [v.lo(), v.hi()].into_iter().enumerate() {
                        let at = (512 * limb + 128 * block + 64 * vector + 32 * half) as i64;
                        a.mi(A, "vlda {}, [{}, {}]", &[v, t.pt, at.into()]);
                    }
                    v
                });
                a.i("vmul.f {}, {}, {}, {}", &[z, p1, t1, float]);
                a.i("vmac.f {}, {}, {}, {}, {}", &[z, z, p1, t2, float]);
                a.i("vmac.f {}, {}, {}, {}, {}", &[z, z, p2, t1, float]);
                z
            })
        });
        // y = z r, both limbs of z in one register
        let inverse = [t.high, t.low].map(|p| {
            let (r, x) = (a.r(), a.x());
            a.mi(self.limbs(), "lda.u16 {}, [{}], #2", &[r, p]);
            a.i("vbcst.16 {}, {}", &[x, r]);
            x
        });
        // the turned blocks side by side: [block 0 | block 1] of the lower and of the upper halves
        let y = [a.x(), a.x()];
        for (block, z) in turned.into_iter().enumerate() {
            let limbs = [a.x(), a.x()];
            split(a, s, z, limbs.map(Operand::lo), limbs.map(Operand::hi));
            for half in 0..2 {
                let acc = a.bm();
                a.i("vmul.f {}, {}, {}, {}", &[acc, limbs[half], inverse[0], float]);
                a.i("vmac.f {}, {}, {}, {}, {}", &[acc, acc, limbs[half], inverse[1], float]);
                let out = if block == 0 { y[half].lo() } else { y[half].hi() };
                a.i("vconv.bf16.fp32 {}, {}", &[out, acc]);
            }
        }
        a.i("padda [{}], {}", &[t.px, HEAD_BYTES.into()]);
        a.i("padda [{}], {}", &[t.pt, g.in_head]);
        let pieces = [0, 1].map(|i: usize| {
            let x = a.x();
            a.i("vshuffle {}, {}, {}, {}", &[x, y[0], y[1], g.modes[i]]);
            x
        });
        g.store(a, pieces, t.py);
    }

    /// Values of eight heads, or of one head of eight tokens, in the order of the out ring.
    fn values(&self, a: &mut Asm, s: &Scalars, g: &Walk) {
        let (from, to) = (constant(a, i64::from(self.work().x)), a.r());
        a.mov(to, self.pointers.out);
        self.acquire(a, OUT, self.locks.out_empty, s.minus_two);
        a.loop_n("value_halves", 2, |a| {
            let (px, other, py) = (a.p(), a.p(), a.p());
            a.mov(px, from);
            a.mov(py, to);
            let second = a.r();
            a.add(second, from, g.step);
            a.mov(other, second);
            a.add(from, from, Operand::Imm(32));
            a.add(from, from, Operand::Imm(32));
            a.add(to, to, g.out_half);
            a.loop_n("value_fours", 2, |a| {
                a.loop_n("values", HEADS / 2, |a| {
                    let pair = [px, other].map(|p| {
                        let x = a.x();
                        a.mi(self.x(), "vlda {}, [{}, {}]", &[x.hi(), p, 32.into()]);
                        a.mi(self.x(), "vlda {}, [{}], {}", &[x.lo(), p, g.in_head]);
                        x
                    });
                    let shuffled = |a: &mut Asm, pair: [Operand; 2], modes: &[Operand]| {
                        [0, 1].map(|i: usize| {
                            let x = a.x();
                            a.i("vshuffle {}, {}, {}, {}", &[x, pair[0], pair[1], modes[i]]);
                            x
                        })
                    };
                    let once = shuffled(a, pair, &g.modes[..2]);
                    let twice = shuffled(a, once, &g.modes[2..]);
                    g.store(a, twice, py);
                });
                a.i("padda [{}], {}", &[py, g.out_four]);
                a.i("padda [{}], {}", &[px, g.in_four]);
                a.i("padda [{}], {}", &[other, g.in_four]);
            });
        });
    }

    fn acquire(&self, a: &mut Asm, memory: MemRef, lock: u8, value: Operand) {
        a.acq(Guards::Spaces(vec![memory.space]), lock, value);
    }

    fn release(&self, a: &mut Asm, memory: MemRef, lock: u8, value: Operand) {
        a.rel(Guards::Spaces(vec![memory.space]), lock, value);
    }
}

struct Turn {
    px: Operand,
    pt: Operand,
    pg: Operand,
    py: Operand,
    high: Operand,
    low: Operand,
}

/// Steps through heads and pieces, as [`super::geometry::Walk`] holds them.
struct Walk {
    stores: [Operand; 3],
    out_four: Operand,
    in_head: Operand,
    in_four: Operand,
    out_half: Operand,
    step: Operand,
    modes: Vec<Operand>,
}

impl Walk {
    fn load(a: &mut Asm, memory: MemRef, geometry: Operand) -> Self {
        let p = a.p();
        a.mov(p, geometry);
        let walk = Self {
            stores: [a.m(), a.m(), a.m()],
            out_four: a.m(),
            in_head: a.m(),
            in_four: a.m(),
            out_half: a.r(),
            step: a.r(),
            modes: (0..4).map(|_| a.r()).collect(),
        };
        let steps =
            walk.stores.into_iter().chain([walk.out_four, walk.in_head, walk.in_four, walk.out_half, walk.step]);
        for word in steps.chain(walk.modes.iter().copied()) {
            a.mi(memory, "lda {}, [{}], #4", &[word, p]);
        }
        walk
    }

    fn store(&self, a: &mut Asm, pieces: [Operand; 2], to: Operand) {
        let [within, between, next] = self.stores;
        for (half, step) in
            [(pieces[0].lo(), within), (pieces[0].hi(), between), (pieces[1].lo(), within), (pieces[1].hi(), next)]
        {
            a.mi(OUT, "vst {}, [{}], {}", &[half, to, step]);
        }
    }
}

/// `sum` = sums of neighbouring lanes of both vectors, one vector after the other.
fn neighbours(a: &mut Asm, s: &Scalars, sum: Operand, first: Operand, second: Operand, modes: [Operand; 2]) {
    let sides = modes.map(|mode| {
        let (lanes, acc) = (a.x(), a.bm());
        a.i("vshuffle {}, {}, {}, {}", &[lanes, first, second, mode]);
        a.i("vmov {}, {}", &[acc, lanes]);
        acc
    });
    a.i("vadd.f {}, {}, {}, {}", &[sum, sides[0], sides[1], s.float_add]);
}

/// Two limbs of each of two accumulators.
fn split(a: &mut Asm, s: &Scalars, values: [Operand; 2], first: [Operand; 2], second: [Operand; 2]) {
    for ((v, high), low) in values.into_iter().zip(first).zip(second) {
        let (widened, rest) = (a.bm(), a.bm());
        a.i("vconv.bf16.fp32 {}, {}", &[high, v]);
        a.i("vconv.fp32.bf16 {}, {}", &[widened, high]);
        a.i("vsub.f {}, {}, {}, {}", &[rest, v, widened, s.float_add]);
        a.i("vconv.bf16.fp32 {}, {}", &[low, rest]);
    }
}

/// Turns an address to the other of two buffers that differ in one bit.
fn turn(a: &mut Asm, pointer: Operand, bytes: i64) {
    let bit = constant(a, bytes);
    a.i("xor {}, {}, {}", &[pointer, pointer, bit]);
}
