//! The core's side of its rings: what a program holds of them in scalar registers as long as it runs.

use aie2_codegen::{Asm, Guards, MemRef, Operand};

use crate::grid::Locks;
use crate::registers::constant;

/// Registers of the rings of [`crate::grid::core_rings`], of which the program takes one unit at a time.
pub(crate) struct RingRegs {
    /// Locks of the rings.
    pub locks: Locks,
    /// -1: acquire one.
    pub acquire_one: Operand,
    /// +1: release one.
    pub release_one: Operand,
    /// Next unit of A.
    pub a: Operand,
    /// Next unit of B.
    pub b: Operand,
    /// Next unit of the out ring.
    pub out: Operand,
}

impl RingRegs {
    /// Rings at their first units, those of A, B and the out ring.
    pub(crate) fn new(asm: &mut Asm, locks: Locks, first: [u32; 3]) -> Self {
        let (acquire_one, release_one) = (constant(asm, -1), constant(asm, 1));
        let [a, b, out] = first.map(|at| constant(asm, i64::from(at)));
        Self { locks, acquire_one, release_one, a, b, out }
    }

    /// Waits for a unit of A, which is `memory`.
    pub(crate) fn acquire_a(&self, asm: &mut Asm, memory: MemRef) {
        self.acquire(asm, self.locks.a_full, memory);
    }
    /// Gives it back.
    pub(crate) fn release_a(&self, asm: &mut Asm, memory: MemRef) {
        self.release(asm, self.locks.a_empty, memory);
    }
    /// Waits for a unit of B.
    pub(crate) fn acquire_b(&self, asm: &mut Asm, memory: MemRef) {
        self.acquire(asm, self.locks.b_full, memory);
    }
    /// Gives it back.
    pub(crate) fn release_b(&self, asm: &mut Asm, memory: MemRef) {
        self.release(asm, self.locks.b_empty, memory);
    }
    /// Waits for room in the out ring.
    pub(crate) fn acquire_out(&self, asm: &mut Asm, memory: MemRef) {
        self.acquire(asm, self.locks.out_empty, memory);
    }
    /// Sends a unit of it.
    pub(crate) fn release_out(&self, asm: &mut Asm, memory: MemRef) {
        self.release(asm, self.locks.out_full, memory);
    }

    fn acquire(&self, asm: &mut Asm, lock: u8, memory: MemRef) {
        asm.acq(Guards::Spaces(vec![memory.space]), lock, self.acquire_one);
    }
    fn release(&self, asm: &mut Asm, lock: u8, memory: MemRef) {
        asm.rel(Guards::Spaces(vec![memory.space]), lock, self.release_one);
    }
}
