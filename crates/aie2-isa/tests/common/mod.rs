//! Random instructions: every operand drawn from its class or range.

use aie2_isa::{Insn, OpId, OperandKind, Value};

/// An instruction of this row; `seeds` choose the operands, 0 and `u64::MAX` the ends of an immediate's range.
pub fn insn(op: OpId, seeds: &[u64]) -> Insn {
    let pick = |(def, &seed): (&aie2_isa::OperandDef, &u64)| match def.kind {
        OperandKind::Class(class) => Value::Reg(class.regs()[(seed % class.regs().len() as u64) as usize].0),
        OperandKind::Imm(imm) => {
            let steps = ((imm.max() - imm.min()) / i64::from(imm.scale)) as u64;
            let step = if seed == u64::MAX { steps } else { seed % (steps + 1) };
            Value::Imm(imm.min() + step as i64 * i64::from(imm.scale))
        }
        OperandKind::Fixed(_) | OperandKind::Implied => unreachable!("not given"),
    };
    let given: Vec<Value> = op.row().given().zip(seeds).map(pick).collect();
    Insn::new(op, &given).expect("operands of the row's own classes")
}

/// A small deterministic generator (splitmix64) for sweeps that visit every row.
pub struct Rng(pub u64);

impl Iterator for Rng {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}

impl Rng {
    /// Seeds for the operands of one instruction.
    pub fn seeds(&mut self) -> Vec<u64> {
        self.take(8).collect()
    }
}
