//! The program of every compute tile: for ever { quantise all of x; for each pass { watch both streams; in its turn multiply and scale } }.
//!
//! ```text
//! step     one unit of A and one of B; the core whose turn it is multiplies both
//! pass     K / 128 steps, then the unit of scales: on A in even passes, on B in odd ones
//! turn     every fourth pass; a result is half a unit of the out ring
//! ```
//! Nothing is set up per dispatch: the rings' pointers are registers that stay.

use aie2_codegen::{Asm, CodegenError, Guards, Operand, Program, Trip};

use super::l1::{self, OUT_UNIT_BYTES, UNIT_BYTES, space};
use super::quantise::Quantise;
use super::{multiply, scale};
use crate::grid::Locks;
use crate::w8a8::program::fixed;

/// Scalar registers that live as long as the program.
pub struct Regs {
    /// -1: acquire one.
    pub acquire: Operand,
    /// +1: release one.
    pub release: Operand,
    /// Next unit of A.
    pub a_at: Operand,
    /// Next unit of B.
    pub b_at: Operand,
    /// The address bit in which the two units of A or of B differ.
    pub unit: Operand,
    /// Next unit of the out ring.
    pub out: Operand,
    /// Configuration word of integer accumulator additions: 32-bit lanes.
    pub int_add: Operand,
    /// Configuration word of the products.
    pub multiply: Operand,
}

/// What a projection is to the program, beside the core's turn: words of L1, so that one program serves them all.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Row length K.
    pub k: u32,
    /// Passes of 256 outputs.
    pub passes: u32,
    /// Results that every core gives, an even number.
    pub results: u32,
}

impl Parameters {
    /// The words of a core whose first pass comes after `turn` others.
    pub fn bytes(self, turn: u8) -> Vec<u8> {
        [turn.into(), self.k, self.passes, self.results].into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// What the program depends on.
#[derive(Clone, Copy, Debug)]
pub struct CoreProgram {
    /// int8 limbs of a code.
    pub limbs: u32,
    /// Locks of the rings.
    pub locks: Locks,
}

impl CoreProgram {
    /// Compiles and checks the program.
    ///
    /// # Errors
    /// If a declared II is missed, registers or program memory run out, or the checker objects.
    pub fn compile(&self) -> Result<Program, CodegenError> {
        let mut a = Asm::new();
        let regs = start(&mut a);
        let dispatch = a.label("dispatch");
        a.bind(dispatch);
        self.emit(&mut a, &regs, l1::PARAMETERS.at());
        a.jump(dispatch);
        a.finish()
    }

    /// Emits one projection with the parameters at a core address.
    pub fn emit(&self, a: &mut Asm, regs: &Regs, parameters: u32) {
        let [turn, k, passes, left] = [(); 4].map(|()| a.r());
        let p = a.p();
        a.imm(p, i64::from(parameters));
        for word in [turn, k, passes, left] {
            a.mi(space::TABLE, "lda {}, [{}], #4", &[word, p]);
        }
        Quantise { k, limbs: self.limbs, locks: self.locks }.emit(a, regs);
        self.passes(a, regs, Sizes { turn, k, passes, left });
    }

    fn passes(&self, a: &mut Asm, regs: &Regs, Sizes { turn, k, passes, left }: Sizes) {
        let (steps, odd, codes_a, codes_b) = (a.r(), a.r(), a.r(), a.r());
        let (unit_codes, t) = (a.r(), a.r());
        a.imm(unit_codes, i64::from(multiply::code_bytes(self.limbs)));
        shifted(a, steps, k, -7);
        a.imm(odd, 0);
        // the codes of K / 2 inputs
        shifted(a, codes_a, k, self.limbs.ilog2() as i64 + 1);
        a.imm(codes_b, i64::from(l1::CODES));
        a.add(codes_a, codes_a, codes_b);
        a.loop_n("pass", Trip::Reg { reg: passes, min: 1 }, |a| {
            let (next_a, next_b) = (a.r(), a.r());
            a.mov(next_a, codes_a);
            a.mov(next_b, codes_b);
            a.loop_n("step", Trip::Reg { reg: steps, min: 2 }, |a| {
                self.acquire(a, regs, self.locks.a_full, space::WEIGHTS.space);
                self.acquire(a, regs, self.locks.b_full, space::WEIGHTS.space);
                a.if_z(turn, |a| {
                    let (weights, codes) = (a.p(), a.p());
                    a.mov(weights, regs.a_at);
                    a.mov(codes, next_a);
                    a.loop_n("unit", 2, |a| {
                        multiply::emit(a, self.limbs, weights, codes, regs.multiply);
                        a.mov(weights, regs.b_at);
                        a.mov(codes, next_b);
                    });
                });
                self.pass_a(a, regs);
                self.pass_b(a, regs);
                a.add(next_a, next_a, unit_codes);
                a.add(next_b, next_b, unit_codes);
            });
            let channels = a.p();
            a.if_else(
                odd,
                |a| {
                    self.acquire(a, regs, self.locks.b_full, space::WEIGHTS.space);
                    a.mov(channels, regs.b_at);
                },
                |a| {
                    self.acquire(a, regs, self.locks.a_full, space::WEIGHTS.space);
                    a.mov(channels, regs.a_at);
                },
            );
            a.if_z(turn, |a| {
                let out = self.begin_result(a, regs, left);
                let scale_outputs = a.label("scale_outputs");
                a.bind(scale_outputs);
                scale::emit(a, self.limbs, channels, out, regs);
                self.end_result(a, regs, left);
            });
            a.if_else(odd, |a| self.pass_b(a, regs), |a| self.pass_a(a, regs));
            a.imm(t, 3);
            a.add(turn, turn, Operand::Imm(-1));
            a.i("and {}, {}, {}", &[turn, turn, t]);
            a.imm(t, 1);
            a.i("xor {}, {}, {}", &[odd, odd, t]);
            a.mov(t, codes_a);
            a.mov(codes_a, codes_b);
            a.mov(codes_b, t);
        });
        // what is missing of the last turn holds nothing
        a.if_nz(left, |a| {
            let empty = a.label("empty_result");
            a.bind(empty);
            self.begin_result(a, regs, left);
            self.end_result(a, regs, left);
            a.jnz(left, empty);
        });
    }

    /// Room for a result: `left` is even where it is the first of its unit. Returns where [`scale::emit`] puts it.
    fn begin_result(&self, a: &mut Asm, regs: &Regs, left: Operand) -> Operand {
        let (second, out, t) = (a.r(), a.p(), a.r());
        a.imm(t, 1);
        a.i("and {}, {}, {}", &[second, left, t]);
        a.if_z(second, |a| self.acquire(a, regs, self.locks.out_empty, space::OUT.space));
        // rows of 16 bytes: the second result starts in the fifth
        a.imm(t, 6);
        a.i("lshl {}, {}, {}", &[second, second, t]);
        a.imm(t, scale::OUT_BIAS);
        a.add(second, second, t);
        a.add(second, second, regs.out);
        a.mov(out, second);
        out
    }

    fn end_result(&self, a: &mut Asm, regs: &Regs, left: Operand) {
        let (second, t) = (a.r(), a.r());
        a.imm(t, 1);
        a.i("and {}, {}, {}", &[second, left, t]);
        a.if_nz(second, |a| {
            a.rel(Guards::Spaces(vec![space::OUT.space]), self.locks.out_full, regs.release);
            let bit = a.r();
            a.imm(bit, i64::from(OUT_UNIT_BYTES));
            a.i("xor {}, {}, {}", &[regs.out, regs.out, bit]);
        });
        a.add(left, left, Operand::Imm(-1));
    }

    fn pass_a(&self, a: &mut Asm, regs: &Regs) {
        a.rel(Guards::Spaces(vec![space::WEIGHTS.space]), self.locks.a_empty, regs.release);
        a.i("xor {}, {}, {}", &[regs.a_at, regs.a_at, regs.unit]);
    }

    fn pass_b(&self, a: &mut Asm, regs: &Regs) {
        a.rel(Guards::Spaces(vec![space::WEIGHTS.space]), self.locks.b_empty, regs.release);
        a.i("xor {}, {}, {}", &[regs.b_at, regs.b_at, regs.unit]);
    }

    fn acquire(&self, a: &mut Asm, regs: &Regs, lock: u8, guarded: u16) {
        a.acq(Guards::Spaces(vec![guarded]), lock, regs.acquire);
    }
}

/// Registers that hold the parameters.
struct Sizes {
    turn: Operand,
    k: Operand,
    passes: Operand,
    /// Results still to be given.
    left: Operand,
}

/// `d = x · 2^bits`.
pub fn shifted(a: &mut Asm, d: Operand, x: Operand, bits: i64) {
    let shift = a.r();
    a.imm(shift, bits);
    a.i("lshl {}, {}, {}", &[d, x, shift]);
}

/// Once: rounding and saturation, constants, defined contents for what is read before it is first written.
fn start(a: &mut Asm) -> Regs {
    let t = a.r();
    for (register, value) in [("crRnd", fixed::ROUND_EVEN), ("crSat", fixed::SATURATE)] {
        a.imm(t, i64::from(value));
        a.mov(register.into(), t);
    }
    let constant = |a: &mut Asm, value: i64| {
        let r = a.r();
        a.imm(r, value);
        r
    };
    let regs = Regs {
        acquire: constant(a, -1),
        release: constant(a, 1),
        a_at: constant(a, i64::from(l1::A.at())),
        b_at: constant(a, i64::from(l1::B.at())),
        unit: constant(a, i64::from(UNIT_BYTES)),
        out: constant(a, i64::from(l1::OUT.at())),
        int_add: constant(a, 0),
        multiply: constant(a, i64::from(fixed::INT8_4X8X8)),
    };
    let (zero, p) = (a.x(), a.p());
    a.i("vbcst.32 {}, {}", &[zero, regs.int_add]);
    for (name, memory, buffer) in [("clear_sums", space::SUMS, l1::ACCUMULATORS), ("clear_out", space::OUT, l1::OUT)] {
        a.imm(p, i64::from(buffer.at()));
        a.pipelined(name, 1, buffer.bytes / 32, |a| a.vst(memory, zero.lo(), p, 32));
    }
    regs
}
