//! Abstract state of the checker and its join.

use std::collections::BTreeSet;
use std::rc::Rc;

use aie2_isa::{Atom, Bypass, File, Resource};

use super::CheckError;
use super::memory::Event;
use super::note::{Certificate, OpNo, RegionNo, Source};

/// Bundles for which a memory access is remembered: longer than any distance rule and than any pipeline this checker is meant for.
const MEMORY_WINDOW: u8 = 96;

/// No source is read later than this many bundles after issue.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td: crSat of vlda.ups, cycle 8.
const LATEST_READ: u8 = 8;

/// Iterations further back than this are not told apart.
const OLDEST: i16 = -64;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tag {
    Undefined,
    Start,
    /// Operation, which of its results, iteration.
    Op(OpNo, u8, i16),
}

/// A write on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) tag: Tag,
    /// Bundles since issue.
    pub(super) age: u8,
    /// Landing cycle D.
    pub(super) cycle: u8,
    pub(super) bypass: Option<Bypass>,
}

/// A read that happens after issue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LateRead {
    /// Bundles until it happens.
    pub(super) wait: u8,
    pub(super) cycle: u8,
    pub(super) bypass: Option<Bypass>,
    pub(super) sources: Vec<Source>,
    pub(super) pc: u32,
    pub(super) op: OpNo,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct History {
    pub(super) committed: Tag,
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<LateRead>,
}

/// Iterations executed of each operation of the region being executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) region: RegionNo,
    pub(super) next: Vec<i16>,
}

impl Progress {
    pub(super) fn complete(&self) -> bool {
        self.next.iter().all(|n| *n == 1)
    }
}

/// Rows of the unit table: units, then logical banks.
pub(super) const ROWS: usize = Resource::ALL.len() + 4;

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) atoms: Vec<Rc<BTreeSet<History>>>,
    /// Per unit and bank: bit c set if it is used / reserved c cycles from now.
    pub(super) units: [(u32, u32); ROWS],
    pub(super) events: BTreeSet<Event>,
    /// Bytes executed since the last write of lc, ls or le, saturated.
    pub(super) loop_bytes: u32,
    pub(super) progress: Option<Rc<Progress>>,
}

impl State {
    pub(super) fn start(certificate: &Certificate) -> State {
        let defined = |a: &Atom| {
            matches!(a.file(), File::Cr | File::Sr | File::CoreId | File::Cntr | File::Dp | File::Sp)
                || certificate.live_in.contains(a)
        };
        let atoms = Atom::all()
            .map(|a| {
                let committed = if defined(&a) { Tag::Start } else { Tag::Undefined };
                Rc::new(BTreeSet::from([History { committed, writes: Vec::new(), reads: Vec::new() }]))
            })
            .collect();
        State { atoms, units: [(0, 0); ROWS], events: BTreeSet::new(), loop_bytes: u32::from(u16::MAX), progress: None }
    }

    /// Joins `other` in; true if something changed.
    pub(super) fn join(&mut self, other: &State, pc: u32, certificate: &Certificate) -> Result<bool, Box<CheckError>> {
        let mut changed = false;
        for (a, b) in self.atoms.iter_mut().zip(&other.atoms) {
            if Rc::ptr_eq(a, b) || b.is_subset(a) {
                continue;
            }
            Rc::make_mut(a).extend(b.iter().cloned());
            changed = true;
        }
        for (a, b) in self.units.iter_mut().zip(&other.units) {
            let joined = (a.0 | b.0, a.1 | b.1);
            changed |= joined != *a;
            *a = joined;
        }
        if !other.events.is_subset(&self.events) {
            self.events.extend(other.events.iter().cloned());
            changed = true;
        }
        if other.loop_bytes < self.loop_bytes {
            self.loop_bytes = other.loop_bytes;
            changed = true;
        }
        if self.progress != other.progress {
            if let Some(p) = [&self.progress, &other.progress].into_iter().flatten().find(|p| !p.complete()) {
                return Err(incomplete(p, pc, certificate));
            }
            changed |= self.progress.is_some();
            self.progress = None;
        }
        Ok(changed)
    }
}

pub(super) fn text(certificate: &Certificate, op: OpNo) -> String {
    certificate.text.get(&op).map_or_else(|| format!("op {op}"), |t| format!("{t} (op {op})"))
}

pub(super) fn incomplete(p: &Progress, pc: u32, certificate: &Certificate) -> Box<CheckError> {
    let region = &certificate.regions[p.region as usize];
    let (op, next) = region.ops.iter().zip(&p.next).find(|(_, n)| **n != 1).unwrap_or((&0, &0));
    Box::new(CheckError::Coverage {
        pc,
        region: region.name.clone(),
        insn: text(certificate, *op),
        found: 1,
        due: i32::from(*next),
    })
}

/// Flags that accumulate: the order of their writers is immaterial, and no single writer is meant by a reader.
pub(super) fn accumulates(atom: Atom) -> bool {
    atom.file() == File::Sr && !["srCarry", "srSS0", "srMS0"].contains(&atom.reg().name())
}

pub(super) fn shift(iteration: i16, by: i16) -> i16 {
    let moved = iteration.saturating_sub(by);
    if moved < OLDEST { i16::MIN } else { moved }
}

/// One bundle later.
pub(super) fn age(state: &mut State) {
    for set in &mut state.atoms {
        if set.iter().all(|h| h.writes.is_empty() && h.reads.is_empty()) {
            continue;
        }
        let aged = set.iter().map(|h| {
            let mut h = h.clone();
            h.writes.iter_mut().for_each(|w| w.age += 1);
            // A write that every reader can see ends all older ones; reads still to happen want to know when it issued.
            if let Some(k) =
                h.writes.iter().rposition(|w| w.age >= w.cycle && (h.reads.is_empty() || w.age > LATEST_READ))
            {
                h.committed = h.writes[k].tag;
                h.writes.drain(..=k);
            }
            h.reads.iter_mut().for_each(|r| r.wait -= 1);
            h
        });
        *set = Rc::new(aged.collect());
    }
    state.units.iter_mut().for_each(|(u, r)| (*u, *r) = (*u >> 1, *r >> 1));
    state.events = std::mem::take(&mut state.events)
        .into_iter()
        .map(|e| Event { age: e.age + 1, ..e })
        .filter(|e| e.age <= MEMORY_WINDOW)
        .collect();
}
