//! What a phase of the program works on, as words in the core's memory: one copy of the code serves projections of any size.
//!
//! ```text
//! entry   next | first | token | others | units | steps | record | stage | passes | chunks | idle       a word each
//! ```
//! Entries form a ring: the last one leads to the first, so that the next block, or the next dispatch, finds the program where it began.
//! Which tokens a core captures is part of its entries, so that all cores run one program.

use aie2_codegen::{Asm, Operand};
use npu_package::layout::ProjectionShape;

use super::l1::{B_UNIT_BYTES, L1, space};
use super::program::fixed;
use super::quantise::{CODES_PER_STEP, STAGE_STEP_BYTES};
use crate::grid::OUT_UNIT_BYTES;

/// Core rows that share a column's tokens.
const SHARED_BY: u32 = 4;

/// A word of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Address of the next phase's entry.
    Next,
    /// Bytes of x before the core's first token.
    First,
    /// Bytes of a token of x.
    Token,
    /// Bytes of the tokens between two of the core's.
    Others,
    /// Units of x in the column's stream.
    Units,
    /// Steps of the quantiser in a token.
    Steps,
    /// Units of a record.
    Record,
    /// Steps that clear the staged token, or all accumulators.
    Stage,
    /// Passes of 256 output columns.
    Passes,
    /// Chunks of k behind the first.
    Chunks,
    /// Units of B in front of x that no core reads: 1 or 0. Only kernels with other phases have them.
    Idle,
}

/// Bytes of an entry.
pub const ENTRY_BYTES: u32 = 4 * (Word::Idle as u32 + 1);

/// Sizes of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Row length K.
    k: u32,
    /// Bytes of a record.
    record_bytes: u32,
    /// Passes of 256 output columns.
    passes: u32,
    /// Bytes that are zero in front of the first pass.
    cleared: u32,
    /// Units of B in front of x.
    idle: u32,
}

impl Phase {
    /// Quantises and multiplies one block of a projection.
    pub fn projection(shape: &ProjectionShape) -> Self {
        Self {
            k: shape.panels().inputs() as u32,
            record_bytes: shape.record_bytes() as u32,
            passes: shape.panels().passes() as u32,
            cleared: 2 * shape.panels().inputs() as u32,
            idle: 0,
        }
    }

    /// The same behind phases that leave something in the accumulators, with idle units of B.
    pub fn among_others(self, l1: L1, idle: u32) -> Self {
        Self { cleared: l1.c_bytes(), idle, ..self }
    }

    /// Bytes of a row of x.
    pub fn token_bytes(&self) -> u32 {
        2 * self.k
    }

    /// The entry of core row `row`, followed by the one at `next`.
    fn entry(&self, l1: L1, row: u32, next: u32) -> [u32; Word::Idle as usize + 1] {
        let token = self.token_bytes();
        [
            next,
            row * token,
            token,
            (SHARED_BY - 1) * token,
            l1.tokens() * token / B_UNIT_BYTES,
            self.k / CODES_PER_STEP,
            self.record_bytes / OUT_UNIT_BYTES,
            self.cleared / STAGE_STEP_BYTES,
            self.passes,
            self.k / 64 - 1,
            self.idle,
        ]
    }
}

/// The entries of core row `row`.
pub fn table(phases: &[Phase], l1: L1, row: u32) -> Vec<u8> {
    let at = |index: usize| l1.phases() + (index % phases.len()) as u32 * ENTRY_BYTES;
    let words = phases.iter().enumerate().flat_map(|(index, phase)| phase.entry(l1, row, at(index + 1)));
    words.flat_map(u32::to_le_bytes).collect()
}

/// Words of the current entry.
#[derive(Clone, Copy)]
pub struct Entry(Operand);

impl Entry {
    /// The current phase's.
    pub fn current(a: &mut Asm) -> Self {
        let p = a.p();
        a.mov(p, fixed::PHASE.into());
        Self(p)
    }

    /// Loads a word.
    pub fn load(self, a: &mut Asm, to: Operand, word: Word) {
        a.mi(space::PHASES, "lda {}, [{}, {}]", &[to, self.0, Operand::Imm(4 * word as i64)]);
    }
}
