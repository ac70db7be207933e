//! Timing of the exposed pipeline.
//!
//! One bundle issues per cycle and nothing waits for a register: a reader that comes too early sees the old value. Operand
//! cycles are pipeline stages counted from 1 = issue, so for two instructions the distance in bundles must be at least
//!
//! ```text
//! read after write   D - U + 1 - same     D = cycle of the write, U = cycle of the read,
//! write after write  D1 - D2 + 1          same = 1 if both carry the same bypass
//! write after read   U - (D - same)       may be negative: the writer may issue first
//! memory             last(first access) - first(second access) + 1
//! ```
//!
//! SOURCE: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget (latency rules).

use crate::insn::{Insn, Value};
use crate::reg::Reg;
use crate::row::{OperandKind, Role};
use std::fmt;

/// Forwarding path that saves one cycle between a writer and a reader that both name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bypass {
    /// Between the operations of the move / vector ALU slot.
    Mov,
    /// Between accumulator results and accumulator operands of the vector slot.
    Vec,
}

/// Units and register-file ports that two instructions cannot use in the same cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Write port of r for the ALU.
    RWxPort,
    /// Write port of r for load unit A.
    RWaPort,
    /// Read port of r for part-word stores.
    RRvPort,
    /// Write port of r and s for the move slot.
    RsWmPort,
    /// Read port of p for the move slot.
    PRmPort,
    /// Write port of p.
    PWmPort,
    /// Write port of m.
    MWmPort,
    /// Write port of dc.
    DcWmPort,
    /// Write port of dj.
    DjWmPort,
    /// Write port of dn.
    DnWmPort,
    /// Read port of w for the store slot.
    WRsPort,
    /// Write port of w for load unit A.
    WWaPort,
    /// Write port of w for the move slot.
    WWmPort,
    /// Read port of cm for the move slot.
    CmRmPort,
    /// Write port of cm for load unit A.
    CmWaPort,
    /// Write port of cm for the move slot.
    CmWmPort,
    /// Processor bus to the memory-mapped registers of the tile.
    ProcBus,
    /// Read-modify-write of a part-word store.
    PartWordStore,
    /// Upper shift-round-saturate unit.
    UpperSrs,
    /// Store unit.
    StoreUnit,
    /// Load unit A.
    LoadUnitA,
    /// Lock unit.
    Semaphore,
    /// Upshift unit.
    UpsUnit,
    /// `done`.
    DoneUnit,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Resource; 24] = [
        Resource::RWxPort,
        Resource::RWaPort,
        Resource::RRvPort,
        Resource::RsWmPort,
        Resource::PRmPort,
        Resource::PWmPort,
        Resource::MWmPort,
        Resource::DcWmPort,
        Resource::DjWmPort,
        Resource::DnWmPort,
        Resource::WRsPort,
        Resource::WWaPort,
        Resource::WWmPort,
        Resource::CmRmPort,
        Resource::CmWaPort,
        Resource::CmWmPort,
        Resource::ProcBus,
        Resource::PartWordStore,
        Resource::UpperSrs,
        Resource::StoreUnit,
        Resource::LoadUnitA,
        Resource::Semaphore,
        Resource::UpsUnit,
        Resource::DoneUnit,
    ];

    /// Name in llvm-aie, `R_WX_PORT`.
    pub const fn name(self) -> &'static str {
        match self {
            Resource::RWxPort => "R_WX_PORT",
            Resource::RWaPort => "R_WA_PORT",
            Resource::RRvPort => "R_RV_PORT",
            Resource::RsWmPort => "RS_WM_PORT",
            Resource::PRmPort => "P_RM_PORT",
            Resource::PWmPort => "P_WM_PORT",
            Resource::MWmPort => "M_WM_PORT",
            Resource::DcWmPort => "DC_WM_PORT",
            Resource::DjWmPort => "DJ_WM_PORT",
            Resource::DnWmPort => "DN_WM_PORT",
            Resource::WRsPort => "W_RS_PORT",
            Resource::WWaPort => "W_WA_PORT",
            Resource::WWmPort => "W_WM_PORT",
            Resource::CmRmPort => "CM_RM_PORT",
            Resource::CmWaPort => "CM_WA_PORT",
            Resource::CmWmPort => "CM_WM_PORT",
            Resource::ProcBus => "PROC_BUS",
            Resource::PartWordStore => "PART_WORD_STORE",
            Resource::UpperSrs => "UPPER_SRS",
            Resource::StoreUnit => "STORE_UNIT",
            Resource::LoadUnitA => "LOAD_UNIT_A",
            Resource::Semaphore => "SEMAPHORE",
            Resource::UpsUnit => "UPS_UNIT",
            Resource::DoneUnit => "DONE_UNIT",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a stage occupies its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StageKind {
    /// Conflicts with every other stage on the resource.
    Use,
    /// Conflicts with `Use` only.
    Reserve,
}

/// Occupation of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What is occupied.
    pub resource: Resource,
    /// First cycle, 1 = issue.
    pub first_cycle: u8,
    /// Number of cycles.
    pub cycles: u8,
    /// How.
    pub kind: StageKind,
}

/// Timing class of an instruction.
#[derive(Debug)]
pub struct Itinerary {
    /// Name in llvm-aie.
    pub name: &'static str,
    /// Cycle of each operand: operands in table order, implicit defs, implicit uses. May be longer than a row needs.
    pub operand_cycles: &'static [u8],
    /// Bypass of each operand, same order; missing entries have none.
    pub bypass: &'static [Option<Bypass>],
    /// Cycles in which data memory is touched.
    pub memory_cycles: &'static [u8],
    /// Occupied units.
    pub stages: &'static [Stage],
}

pub(crate) const fn itin(
    name: &'static str,
    operand_cycles: &'static [u8],
    bypass: &'static [Option<Bypass>],
    memory_cycles: &'static [u8],
    stages: &'static [Stage],
) -> Itinerary {
    assert!(bypass.len() <= operand_cycles.len());
    Itinerary { name, operand_cycles, bypass, memory_cycles, stages }
}

pub(crate) const fn take(resource: Resource, first_cycle: u8, cycles: u8) -> Stage {
    assert!(first_cycle >= 1 && cycles >= 1);
    Stage { resource, first_cycle, cycles, kind: StageKind::Use }
}

pub(crate) const fn res(resource: Resource, first_cycle: u8, cycles: u8) -> Stage {
    assert!(first_cycle >= 1 && cycles >= 1);
    Stage { resource, first_cycle, cycles, kind: StageKind::Reserve }
}

impl Itinerary {
    /// Every itinerary.
    pub fn all() -> &'static [&'static Itinerary] {
        &crate::itineraries::ITINERARIES
    }

    fn access(&self, position: usize, reg: Reg) -> Access {
        Access { reg, cycle: self.operand_cycles[position], bypass: self.bypass.get(position).copied().flatten() }
    }
}

/// One register read or written at a pipeline stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The register.
    pub reg: Reg,
    /// Stage, 1 = issue.
    pub cycle: u8,
    /// Forwarding path.
    pub bypass: Option<Bypass>,
}

/// Room for the accesses of any instruction; the tests go through all rows.
const MAX_ACCESSES: usize = 8;

/// Timing of one instruction with its actual registers.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The itinerary, variant resolved.
    pub itinerary: &'static Itinerary,
    defs: [Access; MAX_ACCESSES],
    def_count: u8,
    uses: [Access; MAX_ACCESSES],
    use_count: u8,
}

impl Timing {
    pub(crate) fn of(insn: &Insn) -> Timing {
        let row = insn.row();
        let reg = |i: usize| match insn.operand(i) {
            Value::Reg(reg) => Some(reg),
            Value::Imm(_) => None,
        };
        let fits = |when: &[(u8, crate::class::VariantClass)]| {
            when.iter().all(|&(i, class)| reg(i as usize).is_some_and(|r| class.contains(r)))
        };
        let variant = row.variants.iter().find(|(when, _)| fits(when));
        let itinerary = variant.map_or(row.itinerary, |&(_, it)| it);

        let none = Access { reg: Reg(0), cycle: 0, bypass: None };
        let mut t =
            Timing { itinerary, defs: [none; MAX_ACCESSES], def_count: 0, uses: [none; MAX_ACCESSES], use_count: 0 };
        for (i, def) in row.operands.iter().enumerate() {
            if matches!(def.kind, OperandKind::Imm(_)) {
                continue;
            }
            let access = itinerary.access(i, reg(i).expect("a register operand holds a register"));
            match def.role {
                Role::Out => t.push_def(access),
                Role::In => t.push_use(access),
            }
        }
        let mut position = row.operands.len();
        for &(reg, _, _) in row.implicit_defs {
            t.push_def(itinerary.access(position, reg));
            position += 1;
        }
        for &(reg, _, _) in row.implicit_uses {
            t.push_use(itinerary.access(position, reg));
            position += 1;
        }
        t
    }

    fn push_def(&mut self, access: Access) {
        self.defs[self.def_count as usize] = access;
        self.def_count += 1;
    }

    fn push_use(&mut self, access: Access) {
        self.uses[self.use_count as usize] = access;
        self.use_count += 1;
    }

    /// Registers written, operands in table order then implicit ones. Post-incremented pointers, dc counters and status
    /// registers are among them.
    pub fn defs(&self) -> &[Access] {
        &self.defs[..self.def_count as usize]
    }

    /// Registers read, operands in table order then implicit ones.
    pub fn uses(&self) -> &[Access] {
        &self.uses[..self.use_count as usize]
    }

    /// Occupied units.
    pub fn stages(&self) -> &'static [Stage] {
        self.itinerary.stages
    }

    /// Cycles in which data memory is touched.
    pub fn memory_cycles(&self) -> &'static [u8] {
        self.itinerary.memory_cycles
    }
}

fn same_bypass(a: &Access, b: &Access) -> i32 {
    i32::from(a.bypass.is_some() && a.bypass == b.bypass)
}

/// Least distance in bundles from a writer to a reader that sees the new value.
pub fn raw_latency(def: &Access, usage: &Access) -> i32 {
    i32::from(def.cycle) - i32::from(usage.cycle) + 1 - same_bypass(def, usage)
}

/// Least distance in bundles from one writer to the next, so that the second value stays.
pub fn waw_latency(first: &Access, second: &Access) -> i32 {
    i32::from(first.cycle) - i32::from(second.cycle) + 1
}

/// Least distance in bundles from a reader of the old value to the writer; negative if the writer may issue earlier.
pub fn war_latency(usage: &Access, def: &Access) -> i32 {
    i32::from(usage.cycle) - (i32::from(def.cycle) - same_bypass(usage, def))
}

/// Least distance in bundles between two accesses that may touch the same address, or `None` if one touches no memory.
pub fn memory_latency(first: &Timing, second: &Timing) -> Option<i32> {
    let last = *first.memory_cycles().iter().max()?;
    let next = *second.memory_cycles().iter().min()?;
    Some(i32::from(last) - i32::from(next) + 1)
}

/// True if `second`, issued `distance` bundles after `first`, needs a unit that `first` occupies.
pub fn stages_conflict(first: &Timing, second: &Timing, distance: i32) -> bool {
    first.stages().iter().any(|a| {
        let (a0, a1) = (i32::from(a.first_cycle), i32::from(a.first_cycle) + i32::from(a.cycles));
        second.stages().iter().any(|b| {
            let (b0, b1) =
                (i32::from(b.first_cycle) + distance, i32::from(b.first_cycle) + i32::from(b.cycles) + distance);
            let both_reserve = a.kind == StageKind::Reserve && b.kind == StageKind::Reserve;
            a.resource == b.resource && !both_reserve && a0 < b1 && b0 < a1
        })
    })
}
