//! Slot `alu`: scalar integer ALU, indirect branches, return, locks, movx.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2Gen*InstrInfo.td, AIE2InstrInfo.td.

use crate::classes::{EP, ER, MALUCG, MCRM};
use crate::itineraries::{
    II_ABS, II_ACQ, II_ACQ_COND, II_ADC, II_ADD, II_AND, II_ASHL, II_CLB, II_CLZ, II_DIVS, II_DONE, II_EQ, II_EQZ,
    II_EVENT, II_EXTENDS8, II_EXTENDS16, II_EXTENDU8, II_EXTENDU16, II_GE, II_GEU, II_J_IND, II_JL_IND, II_JNZD,
    II_LSHL, II_LT, II_LTU, II_MOVX, II_MUL, II_NE, II_NEZ, II_NOP, II_OR, II_REL, II_REL_COND, II_RET, II_SBC,
    II_SELEQZ, II_SELNEZ, II_SUB, II_XOR,
};
use crate::registers::{LR, R26, R27, R31, SR_CARRY};
use crate::row::flag::{BRANCH, CALL, LOCK, MOVE_IMM, MOVE_REG, NOP, SIDE_EFFECTS};
use crate::row::{Branch, Row, imm, in_slot, inp, inp_fixed, insn, out, out_fixed, signed, unsigned};
use crate::slot::Slot;

#[rustfmt::skip]
pub(super) static ROWS: [Row; 46] = in_slot(Slot::Alu, [
    insn("ADD_add_r_ri", "add $mRx, $mRx0, $c7s", 0x00007, 0x00006, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), imm("c7s", signed(7), &[(9, 3)])], &II_ADD).defs(&[(SR_CARRY, 1, None)]),
    insn("CLB", "clb $mRx, $mRx0", 0x003ff, 0x00038, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_CLB),
    insn("CLZ", "clz $mRx, $mRx0", 0x003ff, 0x00078, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_CLZ),
    insn("EXTENDs8", "extend.s8 $mRx, $mRx0", 0x003ff, 0x000b8, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_EXTENDS8),
    insn("EXTENDs16", "extend.s16 $mRx, $mRx0", 0x003ff, 0x000f8, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_EXTENDS16),
    insn("EXTENDu8", "extend.u8 $mRx, $mRx0", 0x003ff, 0x00138, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_EXTENDU8),
    insn("EXTENDu16", "extend.u16 $mRx, $mRx0", 0x003ff, 0x00178, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_EXTENDU16),
    insn("EQZ", "eqz $mRx, $mRx0", 0x003ff, 0x001b8, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_EQZ),
    insn("NEZ", "nez $mRx, $mRx0", 0x003ff, 0x001f8, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_NEZ),
    insn("ABS", "abs $mRx, $mRx0", 0x003ff, 0x00238, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)])], &II_ABS).defs(&[(SR_CARRY, 1, None)]),
    insn("ADD", "add $mRx, $mRx0, $mRy", 0x0001f, 0x00001, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_ADD).defs(&[(SR_CARRY, 1, None)]),
    insn("SUB", "sub $mRx, $mRx0, $mRy", 0x0001f, 0x00003, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_SUB).defs(&[(SR_CARRY, 1, None)]),
    insn("ADC", "adc $mRx, $mRx0, $mRy", 0x0001f, 0x00005, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_ADC).defs(&[(SR_CARRY, 1, None)]).uses(&[(SR_CARRY, 1, None)]),
    insn("SBC", "sbc $mRx, $mRx0, $mRy", 0x0001f, 0x00007, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_SBC).defs(&[(SR_CARRY, 1, None)]).uses(&[(SR_CARRY, 1, None)]),
    insn("AND", "and $mRx, $mRx0, $mRy", 0x0001f, 0x00009, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_AND),
    insn("OR", "or $mRx, $mRx0, $mRy", 0x0001f, 0x0000b, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_OR),
    insn("XOR", "xor $mRx, $mRx0, $mRy", 0x0001f, 0x0000d, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_XOR),
    insn("EQ", "eq $mRx, $mRx0, $mRy", 0x0001f, 0x0000f, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_EQ),
    insn("NE", "ne $mRx, $mRx0, $mRy", 0x0001f, 0x00011, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_NE),
    insn("GE", "ge $mRx, $mRx0, $mRy", 0x0001f, 0x00013, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_GE),
    insn("LT", "lt $mRx, $mRx0, $mRy", 0x0001f, 0x00015, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_LT),
    insn("GEU", "geu $mRx, $mRx0, $mRy", 0x0001f, 0x00017, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_GEU),
    insn("LTU", "ltu $mRx, $mRx0, $mRy", 0x0001f, 0x00019, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_LTU),
    insn("LSHL", "lshl $mRx, $mRx0, $mRy", 0x0001f, 0x0001b, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_LSHL),
    insn("ASHL", "ashl $mRx, $mRx0, $mRy", 0x0001f, 0x0001d, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_ASHL),
    insn("MUL_mul_r_rr", "mul $mRx, $mRx0, $mRy", 0x0001f, 0x0001f, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_MUL),
    insn("DIVS", "divs $d0, r31, $s0, $s1", 0x0001f, 0x00014, &[out("d0", ER, &[(14, 10)]), out_fixed("sd_out", R31).tied(2).hidden(), inp_fixed("sd_in", R31).tied(1).hidden(), inp("s0", ER, &[(19, 15)]), inp("s1", ER, &[(9, 5)])], &II_DIVS),
    insn("SELEQZ", "sel.eqz $mRx, $mRx0, $mRy, r27", 0x0001f, 0x0000c, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R27).hidden()], &II_SELEQZ),
    insn("SELNEZ", "sel.nez $mRx, $mRx0, $mRy, r27", 0x0001f, 0x0001c, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R27).hidden()], &II_SELNEZ),
    insn("J_jump_ind", "j $mPm", 0xffc7f, 0x00008, &[inp("mPm", EP, &[(9, 7)])], &II_J_IND).flags(&[BRANCH]).branch(Branch::Indirect, 5),
    insn("JL_IND", "jl $mPm", 0xffc7f, 0x00028, &[inp("mPm", EP, &[(9, 7)])], &II_JL_IND).defs(&[(LR, 4, None)]).flags(&[CALL, BRANCH]).branch(Branch::Indirect, 5),
    insn("JNZD", "jnzd $mRx, $mRx0, $mPm", 0x0007f, 0x00018, &[out("mRx", ER, &[(14, 10)]), inp("mRx0", ER, &[(19, 15)]), inp("mPm", EP, &[(9, 7)])], &II_JNZD).defs(&[(SR_CARRY, 1, None)]).flags(&[BRANCH]).branch(Branch::Indirect, 5),
    insn("RET", "ret lr", 0xfffff, 0x00030, &[], &II_RET).uses(&[(LR, 1, None)]).flags(&[BRANCH]).branch(Branch::Return, 5),
    insn("MOVX_mvx_scl", "movx $mCRm, $mRx", 0x007ff, 0x00040, &[out("mCRm", MCRM, &[(14, 11)]), inp("mRx", ER, &[(19, 15)])], &II_MOVX).dontcare(0x780).flags(&[MOVE_REG]),
    insn("MOVX_alu_cg", "movx $dst, $i", 0x00007, 0x00002, &[out("dst", MALUCG, &[(14, 9)]), imm("i", signed(11), &[(19, 15), (8, 3)])], &II_MOVX).flags(&[MOVE_IMM]),
    insn("DONE", "done", 0xfffff, 0x00010, &[], &II_DONE).flags(&[SIDE_EFFECTS]),
    insn("EVENT", "event $val", 0x3ffff, 0x00020, &[imm("val", unsigned(2), &[(19, 18)])], &II_EVENT).flags(&[SIDE_EFFECTS]),
    insn("ACQ_mLockId_reg", "acq $mRx, $mRy", 0x03c1f, 0x02404, &[inp("mRx", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_ACQ).dontcare(0x5000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("ACQ_mLockId_imm", "acq $id, $mRy", 0x03c1f, 0x00404, &[imm("id", unsigned(6), &[(19, 14)]), inp("mRy", ER, &[(9, 5)])], &II_ACQ).dontcare(0x1000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("REL_mLockId_reg", "rel $mRx, $mRy", 0x03c1f, 0x02004, &[inp("mRx", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)])], &II_REL).dontcare(0x5000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("REL_mLockId_imm", "rel $id, $mRy", 0x03c1f, 0x00004, &[imm("id", unsigned(6), &[(19, 14)]), inp("mRy", ER, &[(9, 5)])], &II_REL).dontcare(0x1000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("ACQ_COND_mLockId_reg", "acq.cond $mRx, $mRy, r26", 0x03c1f, 0x02c04, &[inp("mRx", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R26).hidden()], &II_ACQ_COND).dontcare(0x5000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("ACQ_COND_mLockId_imm", "acq.cond $id, $mRy, r26", 0x03c1f, 0x00c04, &[imm("id", unsigned(6), &[(19, 14)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R26).hidden()], &II_ACQ_COND).dontcare(0x1000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("REL_COND_mLockId_reg", "rel.cond $mRx, $mRy, r26", 0x03c1f, 0x02804, &[inp("mRx", ER, &[(19, 15)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R26).hidden()], &II_REL_COND).dontcare(0x5000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("REL_COND_mLockId_imm", "rel.cond $id, $mRy, r26", 0x03c1f, 0x00804, &[imm("id", unsigned(6), &[(19, 14)]), inp("mRy", ER, &[(9, 5)]), inp_fixed("s2", R26).hidden()], &II_REL_COND).dontcare(0x1000).flags(&[SIDE_EFFECTS, LOCK]),
    insn("NOPX", "nopx", 0xfffff, 0x00000, &[], &II_NOP).flags(&[NOP]),
]);
