//! Slot `nop`: 2-byte nop.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2Gen*InstrInfo.td, AIE2InstrInfo.td.

use crate::itineraries::II_NOP;
use crate::row::flag::NOP;
use crate::row::{Row, in_slot, insn};
use crate::slot::Slot;

#[rustfmt::skip]
pub(super) static ROWS: [Row; 1] = in_slot(Slot::Nop, [
    insn("NOP", "nop", 0x1, 0x0, &[], &II_NOP).flags(&[NOP]),
]);
