//! One instruction with its operands.

use crate::decode::{self, gather};
use crate::error::IsaError;
use crate::reg::Reg;
use crate::row::{OpId, OperandDef, OperandKind, Row};
use crate::slot::Slot;
use crate::timing::Timing;
use std::fmt;

/// An operand: a register or an immediate (the real value: scaled, signed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// A register.
    Reg(Reg),
    /// An immediate.
    Imm(i64),
}

impl Value {
    /// The register, if it is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Value::Reg(reg) => Some(reg),
            Value::Imm(_) => None,
        }
    }

    /// The immediate, if it is one.
    pub const fn imm(self) -> Option<i64> {
        match self {
            Value::Imm(imm) => Some(imm),
            Value::Reg(_) => None,
        }
    }
}

impl From<Reg> for Value {
    fn from(reg: Reg) -> Value {
        Value::Reg(reg)
    }
}

impl From<i64> for Value {
    fn from(imm: i64) -> Value {
        Value::Imm(imm)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Reg(reg) => write!(f, "{reg}"),
            Value::Imm(imm) => write!(f, "#{imm}"),
        }
    }
}

/// Operands of the longest row.
const MAX_OPERANDS: usize = 7;

/// One instruction: a row and a value for each of its operands, always encodable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Insn {
    op: OpId,
    /// Register numbers or immediates, as the row's operand kinds say; unused ones are 0. Every immediate field has at most
    /// 32 bits, signed if it has 32.
    values: [i32; MAX_OPERANDS],
}

impl Insn {
    /// Builds an instruction from the operands that have fields of their own ([`Row::given`]), in table order. Tied copies,
    /// fixed registers and implied dc registers are filled in.
    ///
    /// # Errors
    /// If the count, a kind, a register class or an immediate does not fit the row.
    pub fn new(op: OpId, given: &[Value]) -> Result<Insn, IsaError> {
        let row = op.row();
        let expected = row.given().count();
        if given.len() != expected {
            return Err(IsaError::OperandCount { op: row.name, expected, given: given.len() });
        }
        let mut insn = Insn { op, values: [0; MAX_OPERANDS] };
        let mut next = given.iter();
        for (i, def) in row.operands.iter().enumerate() {
            if def.is_given() {
                let &value = next.next().expect("counted above");
                check(row, def, value)?;
                insn.set(i, value);
            }
        }
        insn.fill();
        Ok(insn)
    }

    /// The instruction of a slot word that is known to fit the row.
    pub(crate) fn from_word(op: OpId, word: u64) -> Insn {
        let mut insn = Insn { op, values: [0; MAX_OPERANDS] };
        for (i, def) in op.row().operands.iter().enumerate().filter(|(_, d)| d.is_given()) {
            let number = gather(word, def.field);
            let value = match def.kind {
                OperandKind::Class(class) => {
                    Value::Reg(class.reg_of(number as u16).expect("the decoder tested the class"))
                }
                OperandKind::Imm(imm) => Value::Imm(imm.value_of(number)),
                OperandKind::Fixed(_) | OperandKind::Implied => unreachable!("not encoded"),
            };
            insn.set(i, value);
        }
        insn.fill();
        insn
    }

    fn set(&mut self, i: usize, value: Value) {
        self.values[i] = match value {
            Value::Reg(reg) => i32::from(reg.0),
            Value::Imm(imm) => i32::try_from(imm).expect("immediate fields have at most 32 bits"),
        };
    }

    /// Fills operands without a field.
    fn fill(&mut self) {
        for (i, def) in self.row().operands.iter().enumerate().filter(|(_, d)| !d.is_given()) {
            let value = match (def.kind, def.tied_to) {
                (OperandKind::Fixed(reg), _) => Value::Reg(reg),
                (OperandKind::Implied, _) => Value::Reg(self.implied_count(def)),
                (_, Some(partner)) => self.operand(partner as usize),
                (OperandKind::Class(_) | OperandKind::Imm(_), None) => {
                    unreachable!("{}: operand without source", self.op)
                }
            };
            self.set(i, value);
        }
    }

    /// The dc register that belongs to the modifier.
    fn implied_count(&self, def: &OperandDef) -> Reg {
        let modifier = self.operand_named("mod").and_then(Value::reg).expect("2D and 3D forms have a modifier");
        let counts = modifier.atoms().iter().filter(|a| a.file() == crate::reg::File::Dc);
        let high = usize::from(def.name == "count_hi_out");
        counts.map(|a| a.reg()).nth(high).expect("dN has one counter, dN_3d two")
    }

    /// Its row number.
    pub const fn op(&self) -> OpId {
        self.op
    }

    /// Its row.
    pub fn row(&self) -> &'static Row {
        self.op.row()
    }

    /// Operand by index in [`Row::operands`].
    ///
    /// # Panics
    /// If the row has no such operand.
    pub fn operand(&self, i: usize) -> Value {
        match self.row().operands[i].kind {
            OperandKind::Imm(_) => Value::Imm(i64::from(self.values[i])),
            OperandKind::Class(_) | OperandKind::Fixed(_) | OperandKind::Implied => {
                Value::Reg(Reg(self.values[i] as u16))
            }
        }
    }

    /// Operand by name.
    pub fn operand_named(&self, name: &str) -> Option<Value> {
        self.row().operand_index(name).map(|i| self.operand(i))
    }

    /// The operands to give to [`Insn::new`] to build this instruction again.
    pub fn given(&self) -> impl Iterator<Item = Value> + '_ {
        let operands = self.row().operands.iter().enumerate();
        operands.filter(|(_, d)| d.is_given()).map(|(i, _)| self.operand(i))
    }

    /// Slot.
    pub fn slot(&self) -> Slot {
        self.row().slot
    }

    /// Slot word.
    pub fn encode(&self) -> u64 {
        let row = self.row();
        let mut word = row.value;
        for (i, def) in row.operands.iter().enumerate().filter(|(_, d)| d.is_given()) {
            let number = match (def.kind, self.operand(i)) {
                (OperandKind::Class(class), Value::Reg(reg)) => {
                    u64::from(class.number_of(reg).expect("an Insn holds registers of its classes"))
                }
                (OperandKind::Imm(imm), Value::Imm(v)) => ((v - i64::from(imm.offset)) / i64::from(imm.scale)) as u64,
                (kind, value) => unreachable!("{}: {value} for {kind:?}", self.op),
            };
            word |= scatter(number, def.field);
        }
        word
    }

    /// The instruction of a slot word.
    ///
    /// # Errors
    /// If the word is too wide, fits no row, or has bits of unknown meaning set.
    pub fn decode(slot: Slot, word: u64) -> Result<Insn, IsaError> {
        decode::decode(slot, word)
    }

    /// Timing with the itinerary variant of the actual registers.
    pub fn timing(&self) -> Timing {
        Timing::of(self)
    }
}

/// Puts a number into a field, first piece most significant; higher bits of a negative number fall away.
fn scatter(mut number: u64, field: &[(u8, u8)]) -> u64 {
    field.iter().rev().fold(0, |word, &(hi, lo)| {
        let width = hi - lo + 1;
        let piece = number & ((1 << width) - 1);
        number >>= width;
        word | piece << lo
    })
}

fn check(row: &'static Row, def: &'static OperandDef, value: Value) -> Result<(), IsaError> {
    let (op, operand) = (row.name, def.name);
    match (def.kind, value) {
        (OperandKind::Class(class), Value::Reg(reg)) => {
            if !class.contains(reg) {
                return Err(IsaError::RegisterClass { op, operand, class: class.name(), reg });
            }
        }
        (OperandKind::Imm(imm), Value::Imm(value)) => {
            let (min, max, step) = (imm.min(), imm.max(), i64::from(imm.scale));
            if !(min..=max).contains(&value) {
                return Err(IsaError::ImmediateRange { op, operand, value, min, max });
            }
            if (value - i64::from(imm.offset)) % step != 0 {
                return Err(IsaError::ImmediateStep { op, operand, value, step });
            }
        }
        (OperandKind::Class(_) | OperandKind::Imm(_) | OperandKind::Fixed(_) | OperandKind::Implied, given) => {
            return Err(IsaError::OperandKind { op, operand, given });
        }
    }
    Ok(())
}
