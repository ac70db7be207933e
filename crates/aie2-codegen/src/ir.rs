//! The program as the author wrote it: a list of operations, labels, loops and raw pieces in sequential order.
//!
//! Every operation has a number. The sequential meaning of this list is what the emitted program must keep; the certificate that the
//! checker verifies (`check::note`) is stated in these numbers.

use std::rc::Rc;

use aie2_isa::{Flags, Insn, OpId, Reg, Role};

use crate::operand::{Guards, Label, MemRef, Operand, VReg, View};
use crate::text::Arg;

/// Number of an operation of the IR; also the name of its values in the certificate.
pub(crate) type OpNo = u32;

/// What the allocator, the dependence analysis and the emitter know about one operation.
#[derive(Debug, Clone)]
pub(crate) struct IrOp {
    pub(crate) op: OpId,
    pub(crate) args: Vec<Arg>,
    pub(crate) mem: MemRef,
    pub(crate) guards: Rc<Guards>,
    pub(crate) text: Rc<str>,
    /// Immediate that depends on the number of stages of a pipelined loop: value = trip - (stages - 1), see [`TripFix`].
    pub(crate) trip: Option<TripFix>,
}

/// The immediate of a loop set-up: `lc = trip - adjust(loop)` for constant trips, `-adjust(loop)` for registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TripFix {
    pub(crate) pipe: usize,
}

/// How often a loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// A constant, at least 1.
    Const(u32),
    /// A register of class R that holds at least `min` when the loop is entered. The loop does not change it.
    Reg {
        /// The register.
        reg: Operand,
        /// Least value it can have, at least 1.
        min: u32,
    },
}

impl From<u32> for Trip {
    fn from(n: u32) -> Self {
        Trip::Const(n)
    }
}

/// A loop whose body is one straight piece of code, emitted as a zero-overhead loop.
#[derive(Debug, Clone)]
pub(crate) struct PipeIr {
    pub(crate) name: Rc<str>,
    /// Declared initiation interval; without one the shortest that is found is taken.
    pub(crate) ii: Option<u32>,
    pub(crate) trip: Trip,
    pub(crate) body: Vec<Step>,
    pub(crate) head: Label,
    pub(crate) last: Label,
}

/// Element of straight-line code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An operation.
    Op(OpNo),
    /// The value of these parts becomes arbitrary.
    Undef(Operand),
}

/// One operation of a raw bundle, registers fixed.
#[derive(Debug, Clone)]
pub(crate) struct RawOp {
    pub(crate) insn: Insn,
    pub(crate) op: OpNo,
    /// Timed loop it belongs to.
    pub(crate) timed: Option<u32>,
    pub(crate) seq: u32,
    pub(crate) offset: i16,
    pub(crate) label: Option<Label>,
    pub(crate) mem: MemRef,
    pub(crate) guards: Rc<Guards>,
    /// Per atom read: which definition is meant.
    pub(crate) expect: Vec<(aie2_isa::Atom, RawExpect)>,
}

/// What a raw operation expects at one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawExpect {
    /// This result of the operation, produced in the iteration at this offset.
    Exact(OpNo, u8, i16),
    /// As `Exact`, or the newest value from outside of the timed loop.
    ExactOrOutside(OpNo, u8, i16),
    /// As `Exact`, or what something else than the timed loop left.
    ExactOrForeign(OpNo, u8, i16),
    /// The newest value issued.
    Newest,
    /// Whatever arrives; the author declared the early read.
    Any,
}

/// One bundle of a raw piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawLine {
    pub(crate) ops: Vec<RawOp>,
    /// Timed loop whose iteration counter advances when this bundle issues.
    pub(crate) advance: Option<u32>,
}

/// A raw piece of code.
#[derive(Debug, Clone)]
pub(crate) struct RawIr {
    pub(crate) name: Rc<str>,
    pub(crate) lines: Vec<RawLine>,
    /// Emitted as the body of a zero-overhead loop between these labels.
    pub(crate) zol: Option<(Label, Label)>,
    pub(crate) vmacs: u32,
}

/// One element of the program.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Step(Step),
    Bind(Label),
    Pipe(usize),
    Raw(RawIr),
}

/// A piece of register state as the analyses see it: a part of a virtual register or a physical atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Var {
    Part(VReg, u8),
    Atom(u16),
}

/// Parts of a view.
pub(crate) fn parts(v: View) -> impl Iterator<Item = Var> {
    (v.first..v.first + v.class.parts()).map(move |p| Var::Part(v.vreg, p))
}

/// Variables an operand names.
pub(crate) fn vars(operand: Operand) -> Vec<Var> {
    match operand {
        Operand::Virtual(v) => parts(v).collect(),
        Operand::Physical(r) => reg_vars(r),
        Operand::Imm(_) | Operand::Label(_) | Operand::NoSuchView => Vec::new(),
    }
}

/// Atoms of a physical register as variables.
pub(crate) fn reg_vars(r: Reg) -> Vec<Var> {
    r.atoms().iter().map(|a| Var::Atom(a.as_usize() as u16)).collect()
}

impl IrOp {
    /// Variables read and written by explicit and implicit operands.
    pub(crate) fn vars(&self, role: Role) -> Vec<Var> {
        let row = self.op.row();
        let mut out = Vec::new();
        for (def, arg) in row.operands.iter().zip(&self.args).filter(|(d, _)| d.role == role) {
            out.extend(match *arg {
                Arg::Given(o) => vars(o),
                Arg::Fixed(r) => reg_vars(r),
                Arg::Implied { modifier, high } => self.count_var(modifier, high).into_iter().collect(),
            });
            debug_assert!(!def.name.is_empty());
        }
        let implicit = if role == Role::Out { row.implicit_defs } else { row.implicit_uses };
        out.extend(implicit.iter().flat_map(|(r, _, _)| reg_vars(*r)));
        out
    }

    /// The counter register of a 2-D or 3-D access.
    fn count_var(&self, modifier: u8, high: bool) -> Option<Var> {
        let Arg::Given(o) = self.args[usize::from(modifier)] else { return None };
        match o {
            Operand::Virtual(v) => Some(Var::Part(v.vreg, v.first + if high { 7 } else { 3 })),
            Operand::Physical(r) => {
                let mut counts = r.atoms().iter().filter(|a| a.file() == aie2_isa::File::Dc);
                counts.nth(usize::from(high)).map(|a| Var::Atom(a.as_usize() as u16))
            }
            _ => None,
        }
    }

    /// Index of the operand that holds a label, and the label.
    pub(crate) fn label(&self) -> Option<Label> {
        self.args.iter().find_map(|a| match a {
            Arg::Given(Operand::Label(l)) => Some(*l),
            _ => None,
        })
    }

    pub(crate) fn is_branch(&self) -> bool {
        self.op.row().flags.contains(Flags::BRANCH)
    }

    /// True if the program can continue behind this operation.
    pub(crate) fn falls_through(&self) -> bool {
        let row = self.op.row();
        !row.flags.contains(Flags::BRANCH) || row.mnemonic.starts_with("jz") || row.mnemonic.starts_with("jnz")
    }
}
