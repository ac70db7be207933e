//! The program of every compute tile: for ever { quantise all of x; for each pass { watch both streams; in its turn multiply and scale } }.
//!
//! ```text
//! step     one unit of A and one of B; the core whose turn it is multiplies both
//! pass     K / 128 steps, then the unit of scales: on A in even passes, on B in odd ones
//! turn     every fourth pass; a result is half a unit of the out ring
//! ```
//! Nothing is set up per dispatch: the rings' pointers are registers that stay.

use aie2_codegen::{Asm, CodegenError, Operand, Program, Trip};
use npu_package::layout::{DECODE_TURN_RESULTS, DecodeShape};

use super::l1::{self, UNIT_BYTES, space};
use super::quantise::Quantise;
use super::results::Results;
use super::{multiply, scale};
use crate::grid::Locks;
use crate::registers::{Rounding, Saturation, config, constant, round_and_saturate};
use crate::rings::RingRegs;

/// Scalar registers that live as long as the program.
pub struct Regs {
    /// Rings.
    pub rings: RingRegs,
    /// The address bit in which the two units of A or of B differ.
    pub unit: Operand,
    /// Configuration word of integer accumulator additions: 32-bit lanes.
    pub int_add: Operand,
    /// Configuration word of the products.
    pub multiply: Operand,
}

impl Regs {
    /// Gives a unit of A back.
    pub fn pass_a(&self, a: &mut Asm) {
        self.rings.release_a(a, space::WEIGHTS);
        a.i("xor {}, {}, {}", &[self.rings.a, self.rings.a, self.unit]);
    }

    /// Gives a unit of B back.
    pub fn pass_b(&self, a: &mut Asm) {
        self.rings.release_b(a, space::WEIGHTS);
        a.i("xor {}, {}, {}", &[self.rings.b, self.rings.b, self.unit]);
    }
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
    /// Those of a shape.
    pub fn of(shape: &DecodeShape) -> Self {
        let panels = shape.panels();
        Self {
            k: panels.inputs() as u32,
            passes: panels.passes() as u32,
            results: (shape.turns() * DECODE_TURN_RESULTS) as u32,
        }
    }

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
        let regs = start(&mut a, self.locks);
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
        Quantise { k, limbs: self.limbs }.emit(a, regs);
        self.passes(a, regs, Sizes { turn, k, passes, left });
    }

    fn passes(&self, a: &mut Asm, regs: &Regs, Sizes { turn, k, passes, left }: Sizes) {
        let results = Results { rings: &regs.rings, memory: space::OUT, left, bias: scale::OUT_BIAS };
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
                regs.rings.acquire_a(a, space::WEIGHTS);
                regs.rings.acquire_b(a, space::WEIGHTS);
                a.if_z(turn, |a| {
                    let (weights, codes) = (a.p(), a.p());
                    a.mov(weights, regs.rings.a);
                    a.mov(codes, next_a);
                    a.loop_n("unit", 2, |a| {
                        multiply::emit(a, self.limbs, weights, codes, regs.multiply);
                        a.mov(weights, regs.rings.b);
                        a.mov(codes, next_b);
                    });
                });
                regs.pass_a(a);
                regs.pass_b(a);
                a.add(next_a, next_a, unit_codes);
                a.add(next_b, next_b, unit_codes);
            });
            let channels = a.p();
            a.if_else(
                odd,
                |a| {
                    regs.rings.acquire_b(a, space::WEIGHTS);
                    a.mov(channels, regs.rings.b);
                },
                |a| {
                    regs.rings.acquire_a(a, space::WEIGHTS);
                    a.mov(channels, regs.rings.a);
                },
            );
            a.if_z(turn, |a| {
                let out = results.begin(a);
                let scale_outputs = a.label("scale_outputs");
                a.bind(scale_outputs);
                scale::emit(a, self.limbs, channels, out, regs);
                results.end(a);
            });
            a.if_else(odd, |a| regs.pass_b(a), |a| regs.pass_a(a));
            a.imm(t, 3);
            a.add(turn, turn, Operand::Imm(-1));
            a.i("and {}, {}, {}", &[turn, turn, t]);
            a.imm(t, 1);
            a.i("xor {}, {}, {}", &[odd, odd, t]);
            a.mov(t, codes_a);
            a.mov(codes_a, codes_b);
            a.mov(codes_b, t);
        });
        results.end_turn(a);
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
fn start(a: &mut Asm, locks: Locks) -> Regs {
    round_and_saturate(a, Rounding::Even, Saturation::Saturate);
    let (acquire_one, release_one) = (constant(a, -1), constant(a, 1));
    let [first_a, first_b, unit, out] =
        [l1::A.at(), l1::B.at(), UNIT_BYTES, l1::OUT.at()].map(|value| constant(a, i64::from(value)));
    let regs = Regs {
        rings: RingRegs { locks, acquire_one, release_one, a: first_a, b: first_b, out },
        unit,
        int_add: constant(a, 0),
        multiply: constant(a, config::INT8_4X8X8),
    };
    let (zero, p) = (a.x(), a.p());
    a.i("vbcst.32 {}, {}", &[zero, regs.int_add]);
    for (name, memory, buffer) in [("clear_sums", space::SUMS, l1::ACCUMULATORS), ("clear_out", space::OUT, l1::OUT)] {
        a.imm(p, i64::from(buffer.at()));
        a.pipelined(name, 1, buffer.bytes / 32, |a| a.vst(memory, zero.lo(), p, 32));
    }
    regs
}
