//! The program of every compute tile: for ever { quantise; for each pass { multiply; scale }; next phase }.
//!
//! How many passes, and of what length, stands in the current entry of [`super::phase`].
//! The program of [`crate::w8a16`] differs in what a token's codes and its sums are; rings, locks and the inner loop are the same.
//!
//! Nothing is set up per dispatch. Rings, locks and the pointers below stand at the end of a block exactly where its start expects them, so the
//! next block, or the next dispatch, continues.

use aie2_codegen::{Asm, CodegenError, Guards, Label, MemRef, Operand, Piece, Program, Trip, ZolLabels};

use super::epilogue::Epilogue;
use super::gemm::{self, ChunkLocks, Copy, Gemm, Labels, regs};
use super::l1::{B_UNIT_BYTES, L1, space};
use super::phase::{Entry, Word};
use super::quantise::{Quantise, next_b_unit};
use crate::grid::Locks;
use crate::registers::{Rounding, Saturation, config, round_and_saturate};

/// Registers with one meaning in the whole program, beside those of [`gemm::regs`].
pub mod fixed {
    pub use crate::w8a8::gemm::regs::{ACQUIRE_ONE, RELEASE_ONE};

    /// Next unit of B.
    pub const B_POINTER: &str = "p1";
    /// Next unit of the out ring.
    pub const OUT: &str = "r20";
    /// Address of the current phase's sizes.
    pub const PHASE: &str = "r22";
    /// Configuration word of integer accumulator additions: 32-bit lanes.
    pub const INT32_ADD: &str = "r21";
}

/// What the program depends on: a core's memory and locks, but no size of any projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreProgram {
    /// Where things lie.
    pub l1: L1,
    /// Locks of the rings.
    pub locks: Locks,
}

/// The copies of the inner loop, to be placed.
pub struct Code {
    steady: ZolLabels,
    gemm: Gemm,
    last: Piece,
    body: Piece,
    resumed: Resumed,
}

/// The copy that the others jump to.
pub struct Resumed {
    label: Label,
    resume: Piece,
}

impl Resumed {
    /// Places it.
    pub fn emit(self, a: &mut Asm) {
        a.bind(self.label);
        a.raw("resumed", self.resume);
    }
}

/// Stores of a trip that clears: as many as a loop's branch and its delay slots take.
const CLEARED_AT_ONCE: u32 = 8;
/// Chunks of A in one 256-byte column of rows: the scale columns are a whole one.
const CHUNKS_PER_COLUMN: u32 = 4;

impl CoreProgram {
    /// Compiles and checks the program.
    ///
    /// # Errors
    /// If a declared II is missed, registers or program memory run out, or the checker objects.
    pub fn compile(&self) -> Result<Program, CodegenError> {
        let mut a = Asm::new();
        let code = self.code(&mut a)?;
        round_and_saturate(&mut a, Rounding::Even, Saturation::Saturate);
        self.constants(&mut a);
        a.imm(fixed::PHASE.into(), i64::from(self.l1.phases()));
        self.clear(&mut a, "clear_accumulators", space::C, self.l1.c(), self.l1.c_bytes());
        self.clear_out(&mut a);
        let block = a.label("block");
        a.bind(block);
        let resumed = self.block(&mut a, code, |a| {
            Entry::current(a).load(a, fixed::PHASE.into(), Word::Next);
        });
        a.jump(block);
        resumed.emit(&mut a);
        a.finish()
    }

    /// The copies of the inner loop.
    pub fn code(&self, a: &mut Asm) -> Result<Code, CodegenError> {
        let resumed = a.label("resumed");
        let steady = a.zol_labels(gemm::NAME);
        let chunk_locks = ChunkLocks {
            a_full: self.locks.a_full,
            a_empty: self.locks.a_empty,
            b_full: self.locks.b_full,
            b_empty: self.locks.b_empty,
        };
        let gemm = Gemm::new(chunk_locks, Labels { steady: steady.first, resumed })?;
        let [last, body, resume] = [gemm.copy(Copy::Last)?, gemm.copy(Copy::Steady)?, gemm.copy(Copy::Resumed)?];
        Ok(Code { steady, gemm, last, body, resumed: Resumed { label: resumed, resume } })
    }

    /// One block of one phase. `last` comes in its last pass, when all of A has arrived and the last outputs have not left. What it returns
    /// stands where the program does not run into it.
    pub fn block(&self, a: &mut Asm, code: Code, last: impl FnOnce(&mut Asm)) -> Resumed {
        let Code { steady, gemm, last: last_body, body, resumed } = code;
        Quantise { l1: self.l1, locks: self.locks }.emit(a);
        let epilogue = Epilogue { l1: self.l1, locks: self.locks };
        self.acquire(a, self.locks.a_full, space::A.space);
        epilogue.unpack_token_scales(a);
        self.skip_chunks(a);
        // each pass leaves the first chunk of the next one acquired
        self.acquire(a, self.locks.a_full, space::A.space);
        let passes = a.r();
        Entry::current(a).load(a, passes, Word::Passes);
        let pass = a.label("pass");
        a.bind(pass);
        self.set_up_pass(a);
        self.acquire(a, self.locks.b_full, space::B.space);
        // one more than behind a chunk: its first body is no copy of its own
        let trips = a.r();
        a.add(trips, regs::STEADY_TRIPS.into(), Operand::Imm(1));
        a.zol_set_up(Trip::Reg { reg: trips, min: 2 }, steady);
        // no value crosses from the last pass: outside of the loop these registers are free
        for register in gemm::OWN_REGISTERS {
            a.undef(register.into());
        }
        let zero = a.r();
        a.imm(zero, 0);
        for tile in gemm::TILES {
            a.i("vbcst.32 {}, {}", &[tile.into(), zero]);
        }
        for accumulator in gemm::ACCUMULATORS {
            a.i(
                "vmul {}, {}, {}, {}",
                &[accumulator.into(), gemm::TILES[0].into(), gemm::TILES[1].into(), regs::CONFIG.into()],
            );
        }
        a.raw("fill", gemm.fill());
        a.zol_body(gemm::NAME, steady, body);
        a.raw("last", last_body);
        a.raw("drain", gemm.drain());
        self.release(a, self.locks.a_empty, space::A.space);
        self.release(a, self.locks.b_empty, space::B.space);
        self.align_b_pointer(a);
        a.add(passes, passes, Operand::Imm(-1));
        a.if_z(passes, |a| {
            // the chunk acquired by the last pass, and the rest of its column, hold nothing
            self.skip_chunks(a);
            last(a);
        });
        let scale = a.label("scale_outputs");
        a.bind(scale);
        epilogue.emit(a);
        self.release(a, self.locks.b_empty, space::B.space);
        next_b_unit(a);
        a.jnz(passes, pass);
        resumed
    }

    /// The fixed registers, but the phase's: all rings stand at their first units.
    pub fn constants(&self, a: &mut Asm) {
        a.imm(regs::CONFIG.into(), config::INT8_4X8X8);
        a.imm(regs::ACQUIRE_ONE.into(), -1);
        a.imm(regs::RELEASE_ONE.into(), 1);
        a.imm(fixed::INT32_ADD.into(), 0);
        a.imm(fixed::OUT.into(), i64::from(self.l1.out()));
        a.imm(fixed::B_POINTER.into(), i64::from(self.l1.b()));
    }

    /// Defined contents for what leaves before it is first written.
    pub fn clear_out(&self, a: &mut Asm) {
        self.clear(a, "clear_out", space::OUT, self.l1.out(), self.l1.out_bytes());
    }

    fn clear(&self, a: &mut Asm, name: &str, memory: MemRef, from: u32, bytes: u32) {
        let (zero, p, t) = (a.x(), a.p(), a.r());
        a.imm(t, 0);
        a.i("vbcst.32 {}, {}", &[zero, t]);
        a.imm(p, i64::from(from));
        a.loop_n(name, bytes / (32 * CLEARED_AT_ONCE), |a| {
            (0..CLEARED_AT_ONCE).for_each(|_| a.vst(memory, zero.lo(), p, 32));
        });
    }

    fn set_up_pass(&self, a: &mut Asm) {
        let (m, l1) = (i64::from(self.l1.m), self.l1);
        let (chunk, unit) = (i64::from(l1.a_bytes()), i64::from(B_UNIT_BYTES));
        let (a_step, b_step) = (gemm::A_STEP_BYTES, gemm::B_BACK_BYTES + i64::from(gemm::BODY_BYTES));
        for (register, value) in [
            (regs::A_STEP, a_step),
            (regs::A_REWIND, a_step - chunk),
            (regs::B_STEP, b_step),
            (regs::B_REWIND, gemm::B_BACK_BYTES),
            ("m1", gemm::B_BACK_X_BYTES),
            (regs::BODIES, m / 16),
            ("r27", m / 16),
            (regs::C_START, i64::from(l1.c())),
            ("p2", i64::from(l1.c())),
            // zeros go where zeros are
            ("p3", i64::from(l1.c())),
            ("p0", i64::from(l1.a())),
            // the other buffer lies right behind the first, or a chunk before the second
            (regs::A_SWITCH, a_step),
            (regs::A_SWITCH_SUM, 2 * a_step - 2 * chunk),
            (regs::B_SWITCH_SUM, 2 * b_step - 2 * unit),
            (regs::STEADY_TRIPS, m / 4 - 2),
        ] {
            a.imm(register.into(), value);
        }
        Entry::current(a).load(a, regs::CHUNKS_LEFT.into(), Word::Chunks);
        // B may stand on either unit of its ring: they differ in one address bit
        let (bit, t) = (a.r(), a.r());
        a.imm(t, unit);
        a.mov(bit, fixed::B_POINTER.into());
        a.i("and {}, {}, {}", &[bit, bit, t]);
        a.add(bit, bit, bit);
        a.imm(t, b_step);
        a.i("sub {}, {}, {}", &[regs::B_SWITCH.into(), t, bit]);
    }

    /// The last body of a pass has begun to load a next one: back to the start of the unit of B.
    fn align_b_pointer(&self, a: &mut Asm) {
        let (address, mask) = (a.r(), a.r());
        a.imm(mask, -i64::from(B_UNIT_BYTES));
        a.mov(address, fixed::B_POINTER.into());
        a.i("and {}, {}, {}", &[address, address, mask]);
        a.mov(fixed::B_POINTER.into(), address);
    }

    /// Gives back the chunk of A that is held and lets the rest of its column pass.
    fn skip_chunks(&self, a: &mut Asm) {
        for _ in 1..CHUNKS_PER_COLUMN {
            self.release(a, self.locks.a_empty, space::A.space);
            self.acquire(a, self.locks.a_full, space::A.space);
        }
        self.release(a, self.locks.a_empty, space::A.space);
    }

    pub fn acquire(&self, a: &mut Asm, lock: u8, guarded: u16) {
        a.acq(Guards::Spaces(vec![guarded]), lock, fixed::ACQUIRE_ONE.into());
    }

    pub fn release(&self, a: &mut Asm, lock: u8, guarded: u16) {
        a.rel(Guards::Spaces(vec![guarded]), lock, fixed::RELEASE_ONE.into());
    }
}
