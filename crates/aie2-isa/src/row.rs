//! One row per instruction: encoding, syntax, operands and timing class.

use crate::class::{ClassId, VariantClass};
use crate::reg::Reg;
use crate::rows;
use crate::slot::Slot;
use crate::timing::{Bypass, Itinerary};
use std::collections::HashMap;
use std::fmt;
use std::ops::BitOr;
use std::sync::LazyLock;

/// An instruction, as an index into the table of rows (grouped by slot, see [`OpId::all`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(crate) u16);

static BY_NAME: LazyLock<HashMap<&'static str, OpId>> =
    LazyLock::new(|| OpId::all().map(|op| (op.row().name, op)).collect());

impl OpId {
    /// The instruction with this row name, `VMAC_vmac_cm_core_dense`.
    pub fn from_name(name: &str) -> Option<OpId> {
        BY_NAME.get(name).copied()
    }

    /// Its row.
    pub fn row(self) -> &'static Row {
        rows::ALL[self.0 as usize]
    }

    /// Every instruction, slot by slot.
    pub fn all() -> impl Iterator<Item = OpId> {
        (0..rows::ALL.len() as u16).map(OpId)
    }

    /// Number of instructions.
    pub const fn count() -> usize {
        rows::ALL.len()
    }

    /// Dense index, for tables with one entry per instruction.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

/// What an operand is to the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Written.
    Out,
    /// Read.
    In,
}

/// Immediate operand: value = field * scale + offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImmDef {
    /// Width of the field.
    pub bits: u8,
    /// Two's complement field.
    pub signed: bool,
    /// Distance of two encodable values.
    pub scale: i32,
    /// Value of field 0.
    pub offset: i32,
}

impl ImmDef {
    /// Smallest encodable value.
    pub const fn min(&self) -> i64 {
        self.value_of(if self.signed { 1 << (self.bits - 1) } else { 0 })
    }

    /// Largest encodable value.
    pub const fn max(&self) -> i64 {
        self.value_of(if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 })
    }

    /// The value of a field.
    pub const fn value_of(&self, field: u64) -> i64 {
        let shift = 64 - self.bits as u32;
        let number = if self.signed { ((field << shift) as i64) >> shift } else { field as i64 };
        number * self.scale as i64 + self.offset as i64
    }

    pub(crate) const fn scaled(mut self, scale: i32) -> ImmDef {
        self.scale = scale;
        self
    }

    pub(crate) const fn offset(mut self, offset: i32) -> ImmDef {
        self.offset = offset;
        self
    }
}

pub(crate) const fn signed(bits: u8) -> ImmDef {
    ImmDef { bits, signed: true, scale: 1, offset: 0 }
}

pub(crate) const fn unsigned(bits: u8) -> ImmDef {
    ImmDef { bits, signed: false, scale: 1, offset: 0 }
}

/// What an operand can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperandKind {
    /// A register of the class.
    Class(ClassId),
    /// An immediate.
    Imm(ImmDef),
    /// Always this register.
    Fixed(Reg),
    /// The dc register that belongs to operand `mod`: dcN for dN; `count_hi_out` of the 3D forms is dc(N+4).
    Implied,
}

/// One operand of a row.
#[derive(Debug, Clone, Copy)]
pub struct OperandDef {
    /// Name in llvm-aie.
    pub name: &'static str,
    /// Written or read.
    pub role: Role,
    /// What it can be.
    pub kind: OperandKind,
    /// Places in the slot word as (high bit, low bit), most significant piece first; empty if it is not encoded.
    pub field: &'static [(u8, u8)],
    /// Index of the operand that is the same register. Set on both sides; the one without `field` is the copy.
    pub tied_to: Option<u8>,
    /// True if the syntax shows it.
    pub in_syntax: bool,
}

impl OperandDef {
    /// True if the caller of [`Insn::new`](crate::Insn::new) supplies it: it has a field of its own.
    pub const fn is_given(&self) -> bool {
        !self.field.is_empty()
    }

    const fn new(name: &'static str, role: Role, kind: OperandKind, field: &'static [(u8, u8)]) -> OperandDef {
        OperandDef { name, role, kind, field, tied_to: None, in_syntax: true }
    }

    pub(crate) const fn tied(mut self, to: u8) -> OperandDef {
        self.tied_to = Some(to);
        self
    }

    pub(crate) const fn hidden(mut self) -> OperandDef {
        self.in_syntax = false;
        self
    }
}

pub(crate) const fn out(name: &'static str, class: ClassId, field: &'static [(u8, u8)]) -> OperandDef {
    OperandDef::new(name, Role::Out, OperandKind::Class(class), field)
}

pub(crate) const fn inp(name: &'static str, class: ClassId, field: &'static [(u8, u8)]) -> OperandDef {
    OperandDef::new(name, Role::In, OperandKind::Class(class), field)
}

pub(crate) const fn out_fixed(name: &'static str, reg: Reg) -> OperandDef {
    OperandDef::new(name, Role::Out, OperandKind::Fixed(reg), &[])
}

pub(crate) const fn inp_fixed(name: &'static str, reg: Reg) -> OperandDef {
    OperandDef::new(name, Role::In, OperandKind::Fixed(reg), &[])
}

pub(crate) const fn imm(name: &'static str, imm: ImmDef, field: &'static [(u8, u8)]) -> OperandDef {
    OperandDef::new(name, Role::In, OperandKind::Imm(imm), field)
}

pub(crate) const fn implied(name: &'static str) -> OperandDef {
    OperandDef::new(name, Role::Out, OperandKind::Implied, &[]).hidden()
}

/// Properties of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// No property.
    pub const NONE: Flags = Flags(0);
    /// Reads data memory or a tile register.
    pub const LOAD: Flags = Flags(1);
    /// Writes data memory or a tile register.
    pub const STORE: Flags = Flags(2);
    /// May change the program counter.
    pub const BRANCH: Flags = Flags(4);
    /// Branch that writes lr.
    pub const CALL: Flags = Flags(8);
    /// Acquires or releases a lock.
    pub const LOCK: Flags = Flags(16);
    /// Does nothing.
    pub const NOP: Flags = Flags(32);
    /// Touches streams, cascades, locks or the core's state outside of the registers.
    pub const SIDE_EFFECTS: Flags = Flags(64);
    /// Puts an immediate into a register.
    pub const MOVE_IMM: Flags = Flags(128);
    /// Copies a register.
    pub const MOVE_REG: Flags = Flags(256);

    /// True if all of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.union(other)
    }
}

/// The flags by their short names, for the tables.
pub(crate) mod flag {
    use super::Flags;

    pub(crate) const LOAD: Flags = Flags::LOAD;
    pub(crate) const STORE: Flags = Flags::STORE;
    pub(crate) const BRANCH: Flags = Flags::BRANCH;
    pub(crate) const CALL: Flags = Flags::CALL;
    pub(crate) const LOCK: Flags = Flags::LOCK;
    pub(crate) const NOP: Flags = Flags::NOP;
    pub(crate) const SIDE_EFFECTS: Flags = Flags::SIDE_EFFECTS;
    pub(crate) const MOVE_IMM: Flags = Flags::MOVE_IMM;
    pub(crate) const MOVE_REG: Flags = Flags::MOVE_REG;
}

/// Address of a memory access, and what happens to the pointer afterwards. All in bytes.
///
/// SOURCE: Xilinx/llvm-aie AIE2AddrMode; AMD UG1583 (add_2d, add_3d) for the 2D and 3D rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addressing {
    /// `[p, dj]`: p + dj.
    Idx,
    /// `[p, #imm]`: p + imm.
    IdxImm,
    /// `[p], m`: p, then p += m.
    PstmNrm,
    /// `[p], #imm`: p, then p += imm.
    PstmNrmImm,
    /// `[p], dN`: p; if dcN >= dnN then {dcN = 0; p += mN} else {dcN += 1; p += djN}.
    Pstm2d,
    /// `[p], dN` (3D): p; if dcN < dnN {dcN += 1; p += djN} else {dcN = 0; the same with d(N+4); at its end p += mN}.
    Pstm3d,
    /// `[sp, #imm]`: sp + imm.
    Spill,
    /// `[sp], #imm`: sp += imm.
    SpImm,
    /// `[p]`: p.
    Indirect,
}

/// Kind of branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Branch {
    /// To an immediate byte address of program memory.
    Direct,
    /// To the address in a pointer register.
    Indirect,
    /// To lr.
    Return,
}

/// Stream or cascade port an instruction uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Writes the core's stream master port.
    Master,
    /// Reads the core's stream slave port.
    Slave,
    /// Reads the cascade input.
    CascadeIn,
    /// Writes the cascade output.
    CascadeOut,
}

/// An itinerary that applies when operands (by index) are in register sets.
pub type Variant = (&'static [(u8, VariantClass)], &'static Itinerary);

/// One instruction.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name in llvm-aie, unique.
    pub name: &'static str,
    /// First word of the syntax.
    pub mnemonic: &'static str,
    /// Assembly syntax; `$x` stands for operand x.
    pub syntax: &'static str,
    /// Slot.
    pub slot: Slot,
    /// Fixed bits of the slot word.
    pub mask: u64,
    /// Their value.
    pub value: u64,
    /// Bits of unknown meaning: encoded as 0, refused on decode otherwise. Some of them are also in `mask`.
    pub dontcare: u64,
    /// Operands in llvm-aie's order: outputs, then inputs.
    pub operands: &'static [OperandDef],
    /// Registers written besides the operands, with the plain itinerary's cycle.
    pub implicit_defs: &'static [(Reg, u8, Option<Bypass>)],
    /// Registers read besides the operands, with the plain itinerary's cycle.
    pub implicit_uses: &'static [(Reg, u8, Option<Bypass>)],
    /// Properties.
    pub flags: Flags,
    /// Bundles after this one that execute before a branch takes effect. SOURCE: Xilinx/llvm-aie AIE2InstrInfo.td.
    pub delay_slots: u8,
    /// Kind of branch.
    pub branch: Option<Branch>,
    /// Addressing mode.
    pub addressing: Option<Addressing>,
    /// Bytes of memory accessed, where the instruction's type says it.
    pub mem_bytes: Option<u16>,
    /// Stream or cascade port used.
    pub stream: Option<Stream>,
    /// Timing class without regard to the actual registers: the union of the variants.
    pub itinerary: &'static Itinerary,
    /// Timing classes of actual registers; the first that fits replaces `itinerary`.
    pub variants: &'static [Variant],
}

impl Row {
    /// Index of the operand with this name.
    pub fn operand_index(&self, name: &str) -> Option<usize> {
        self.operands.iter().position(|o| o.name == name)
    }

    /// Operands to supply to [`Insn::new`](crate::Insn::new), in this order.
    pub fn given(&self) -> impl Iterator<Item = &'static OperandDef> {
        self.operands.iter().filter(|o| o.is_given())
    }

    /// True if this is the do-nothing instruction of its slot.
    pub const fn is_nop(&self) -> bool {
        self.flags.contains(Flags::NOP)
    }

    /// Bits that must have `value`: mask and bits of unknown meaning. All other bits are operand fields.
    pub const fn fixed_bits(&self) -> u64 {
        self.mask | self.dontcare
    }

    pub(crate) const fn dontcare(mut self, bits: u64) -> Row {
        assert!(bits & self.value == 0);
        self.dontcare = bits;
        self
    }

    pub(crate) const fn defs(mut self, defs: &'static [(Reg, u8, Option<Bypass>)]) -> Row {
        self.implicit_defs = defs;
        self
    }

    pub(crate) const fn uses(mut self, uses: &'static [(Reg, u8, Option<Bypass>)]) -> Row {
        self.implicit_uses = uses;
        self
    }

    pub(crate) const fn flags(mut self, flags: &[Flags]) -> Row {
        let mut i = 0;
        while i < flags.len() {
            self.flags = self.flags.union(flags[i]);
            i += 1;
        }
        self
    }

    pub(crate) const fn branch(mut self, branch: Branch, delay_slots: u8) -> Row {
        self.branch = Some(branch);
        self.delay_slots = delay_slots;
        self
    }

    pub(crate) const fn addr(mut self, addressing: Addressing) -> Row {
        self.addressing = Some(addressing);
        self
    }

    pub(crate) const fn mem(mut self, bytes: u16) -> Row {
        self.mem_bytes = Some(bytes);
        self
    }

    pub(crate) const fn stream(mut self, stream: Stream) -> Row {
        self.stream = Some(stream);
        self
    }

    pub(crate) const fn variants(mut self, variants: &'static [Variant]) -> Row {
        self.variants = variants;
        self
    }
}

/// Places rows in their slot and checks what can be checked of a row alone: every slot bit is fixed or in exactly one field.
pub(crate) const fn in_slot<const N: usize>(slot: Slot, mut rows: [Row; N]) -> [Row; N] {
    let mut r = 0;
    while r < N {
        let row = &mut rows[r];
        row.slot = slot;
        assert!(row.value & !row.mask == 0 && row.mask & !slot.mask() == 0, "value and mask disagree");
        let mut seen = row.fixed_bits();
        let mut i = 0;
        while i < row.operands.len() {
            let field = row.operands[i].field;
            let mut p = 0;
            while p < field.len() {
                let (hi, lo) = field[p];
                let bits = ((1u64 << (hi - lo + 1)) - 1) << lo;
                assert!(seen & bits == 0, "operand fields overlap");
                seen |= bits;
                p += 1;
            }
            i += 1;
        }
        assert!(seen == slot.mask(), "a bit of the slot word belongs to nothing");
        r += 1;
    }
    rows
}

pub(crate) const fn insn(
    name: &'static str,
    syntax: &'static str,
    mask: u64,
    value: u64,
    operands: &'static [OperandDef],
    itinerary: &'static Itinerary,
) -> Row {
    let bytes = syntax.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b' ' {
        end += 1;
    }
    Row {
        name,
        mnemonic: syntax.split_at(end).0,
        syntax,
        slot: Slot::Nop,
        mask,
        value,
        dontcare: 0,
        operands,
        implicit_defs: &[],
        implicit_uses: &[],
        flags: Flags::NONE,
        delay_slots: 0,
        branch: None,
        addressing: None,
        mem_bytes: None,
        stream: None,
        itinerary,
        variants: &[],
    }
}
