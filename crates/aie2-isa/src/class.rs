//! Operand classes: register sets with operand numbers.

use crate::classes::{CLASSES, VARIANT_CLASSES};
use crate::reg::Reg;
use std::sync::LazyLock;

/// An operand class: which registers a field can name, and by which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub(crate) u8);

pub(crate) struct ClassRow {
    name: &'static str,
    width: u8,
    regs: &'static [(Reg, u16)],
    decode_only: &'static [(Reg, u16)],
}

pub(crate) const fn class(
    name: &'static str,
    width: u8,
    regs: &'static [(Reg, u16)],
    decode_only: &'static [(Reg, u16)],
) -> ClassRow {
    let mut i = 0;
    while i < regs.len() {
        assert!(regs[i].1 >> width == 0, "operand number wider than its field");
        i += 1;
    }
    ClassRow { name, width, regs, decode_only }
}

/// No register has this operand number.
const NONE: u16 = u16::MAX;

/// Both directions of every class as dense tables: number -> register, register -> number.
struct Lookup {
    reg_of: Vec<Vec<u16>>,
    number_of: Vec<Vec<u16>>,
}

static LOOKUP: LazyLock<Lookup> = LazyLock::new(|| {
    let mut lookup = Lookup { reg_of: Vec::new(), number_of: Vec::new() };
    for row in &CLASSES {
        let mut reg_of = vec![NONE; 1 << row.width];
        let mut number_of = vec![NONE; Reg::count()];
        for &(reg, number) in row.regs {
            assert_eq!(reg_of[number as usize], NONE, "class {}: number {number} twice", row.name);
            reg_of[number as usize] = reg.0;
            number_of[reg.as_usize()] = number;
        }
        for &(reg, number) in row.decode_only {
            assert_eq!(reg_of[number as usize], NONE, "class {}: number {number} twice", row.name);
            reg_of[number as usize] = reg.0;
        }
        lookup.reg_of.push(reg_of);
        lookup.number_of.push(number_of);
    }
    lookup
});

impl ClassId {
    fn row(self) -> &'static ClassRow {
        &CLASSES[self.0 as usize]
    }

    /// Name in llvm-aie, `mXm`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Width of the operand field in bits.
    pub fn width_bits(self) -> u8 {
        self.row().width
    }

    /// Members with their operand numbers.
    pub fn regs(self) -> &'static [(Reg, u16)] {
        self.row().regs
    }

    /// Operand numbers that decode to a register but are never emitted.
    pub fn decode_only(self) -> &'static [(Reg, u16)] {
        self.row().decode_only
    }

    /// True if the register is a member.
    pub fn contains(self, reg: Reg) -> bool {
        self.number_of(reg).is_some()
    }

    /// The operand number of a member.
    pub fn number_of(self, reg: Reg) -> Option<u16> {
        let n = LOOKUP.number_of[self.0 as usize][reg.as_usize()];
        (n != NONE).then_some(n)
    }

    /// The member with this operand number.
    pub fn reg_of(self, number: u16) -> Option<Reg> {
        let n = *LOOKUP.reg_of[self.0 as usize].get(number as usize)?;
        (n != NONE).then_some(Reg(n))
    }

    /// The member with this assembler text or unique name.
    pub fn reg_in_text(self, text: &str) -> Option<Reg> {
        let hit = |&&(r, _): &&(Reg, u16)| r.asm() == text || r.name() == text;
        self.regs().iter().find(hit).map(|&(r, _)| r)
    }

    /// Every class.
    pub fn all() -> impl Iterator<Item = ClassId> {
        (0..CLASSES.len() as u8).map(ClassId)
    }
}

/// A register set that selects an itinerary variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariantClass(pub(crate) u8);

pub(crate) const fn variant(name: &'static str, regs: &'static [Reg]) -> (&'static str, &'static [Reg]) {
    (name, regs)
}

impl VariantClass {
    /// Name in llvm-aie, `eWL`.
    pub fn name(self) -> &'static str {
        VARIANT_CLASSES[self.0 as usize].0
    }

    /// Members.
    pub fn regs(self) -> &'static [Reg] {
        VARIANT_CLASSES[self.0 as usize].1
    }

    /// True if the register is a member.
    pub fn contains(self, reg: Reg) -> bool {
        self.regs().contains(&reg)
    }
}
