//! Slot `lng`: long immediates and direct branches; occupies the place of alu + mv.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2Gen*InstrInfo.td, AIE2InstrInfo.td.

use crate::classes::{ER, MMVSCLDSTCG, V_EDC, V_EDJ, V_EDN, V_EM, V_EP, V_ER, V_ES};
use crate::itineraries::{
    II_J, II_JL, II_JNZ, II_JZ, II_MOV, II_MOV_DC, II_MOV_DJ, II_MOV_DN, II_MOV_M, II_MOV_P, II_MOV_RS, II_NOP,
};
use crate::registers::LR;
use crate::row::flag::{BRANCH, CALL, MOVE_IMM, NOP};
use crate::row::{Branch, Row, imm, in_slot, inp, insn, out, signed, unsigned};
use crate::slot::Slot;

#[rustfmt::skip]
pub(super) static ROWS: [Row; 6] = in_slot(Slot::Lng, [
    insn("J_jump_imm", "j $cpmaddr", 0x3e00001ffff, 0x00000000002, &[imm("cpmaddr", unsigned(20), &[(36, 17)])], &II_J).flags(&[BRANCH]).branch(Branch::Direct, 5),
    insn("JL", "jl $cpmaddr", 0x3e00001ffff, 0x00000000004, &[imm("cpmaddr", unsigned(20), &[(36, 17)])], &II_JL).defs(&[(LR, 4, None)]).flags(&[CALL, BRANCH]).branch(Branch::Direct, 5),
    insn("JNZ", "jnz $mRx, $cpmaddr", 0x0000001ffff, 0x00000010006, &[inp("mRx", ER, &[(41, 37)]), imm("cpmaddr", unsigned(20), &[(36, 17)])], &II_JNZ).flags(&[BRANCH]).branch(Branch::Direct, 5),
    insn("JZ", "jz $mRx, $cpmaddr", 0x0000001ffff, 0x00000000006, &[inp("mRx", ER, &[(41, 37)]), imm("cpmaddr", unsigned(20), &[(36, 17)])], &II_JZ).flags(&[BRANCH]).branch(Branch::Direct, 5),
    insn("MOVXM_lng_cg", "movxm $mMvSclDstCg, $i", 0x00000000007, 0x00000000001, &[out("mMvSclDstCg", MMVSCLDSTCG, &[(21, 15)]), imm("i", signed(32), &[(41, 22), (14, 3)])], &II_MOV).flags(&[MOVE_IMM]).variants(&[(&[(0, V_ER)], &II_MOV_RS), (&[(0, V_ES)], &II_MOV_RS), (&[(0, V_EP)], &II_MOV_P), (&[(0, V_EM)], &II_MOV_M), (&[(0, V_EDC)], &II_MOV_DC), (&[(0, V_EDJ)], &II_MOV_DJ), (&[(0, V_EDN)], &II_MOV_DN)]),
    insn("NOPXM", "nopxm", 0x3ffffffffff, 0x00000000000, &[], &II_NOP).flags(&[NOP]),
]);
