//! What the scheduler needs to know of an instruction, and how far apart two instructions must be.
//!
//! All distances are in issued bundles, for `a` sequentially before `b`: `t(b) >= t(a) + distance`.

use std::rc::Rc;

use aie2_isa::{Atom, Bypass, Flags, Insn, Slot, Stage, StageKind, raw_latency};

use crate::operand::{Guards, MemRef};
use crate::timed::is_sticky;

/// Pipeline stage in which a lock instruction stalls the core, and the one in which it resumes.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget.cpp (lock latencies).
const LOCK_STALL: i32 = 2;
const LOCK_RESUME: i32 = 8;

/// Bundles after which no instruction influences another one: the latest memory stage (11, part-word stores) plus the lock stages.
pub(crate) const HORIZON: i32 = 16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch {
    pub(crate) atom: Atom,
    pub(crate) cycle: u8,
    pub(crate) bypass: Option<Bypass>,
}

#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) insn: Insn,
    pub(crate) slot: Slot,
    pub(crate) uses: Vec<Touch>,
    pub(crate) defs: Vec<Touch>,
    /// Units and banks held: (row of the reservation table, cycle relative to issue, is a reservation).
    rows: Vec<(u8, i8, bool)>,
    pub(crate) memory: &'static [u8],
    pub(crate) writes_memory: bool,
    /// Orders memory accesses: locks and `done`.
    pub(crate) fence: bool,
    /// Ends the program: nothing that comes before it may issue behind it.
    pub(crate) ends: bool,
    pub(crate) side_effects: bool,
    pub(crate) mem: MemRef,
    pub(crate) guards: Rc<Guards>,
}

impl Info {
    pub(crate) fn new(insn: Insn, mem: MemRef, guards: Rc<Guards>) -> Info {
        let t = insn.timing();
        let touches = |list: &[aie2_isa::Access]| {
            let mut out: Vec<Touch> = Vec::new();
            for a in list {
                out.extend(a.reg.atoms().iter().map(|&atom| Touch { atom, cycle: a.cycle, bypass: a.bypass }));
            }
            out
        };
        let row = insn.row();
        Info {
            insn,
            slot: insn.slot(),
            uses: touches(t.uses()),
            defs: touches(t.defs()),
            rows: rows(t.stages(), t.memory_cycles(), mem.bank),
            memory: t.memory_cycles(),
            writes_memory: row.flags.contains(Flags::STORE),
            fence: row.flags.contains(Flags::LOCK) || row.mnemonic == "done",
            ends: row.mnemonic == "done",
            side_effects: row.flags.contains(Flags::SIDE_EFFECTS),
            mem,
            guards,
        }
    }

    fn first_memory(&self) -> Option<i32> {
        self.memory.iter().min().map(|c| i32::from(*c))
    }

    fn last_memory(&self) -> Option<i32> {
        self.memory.iter().max().map(|c| i32::from(*c))
    }
}

fn access(t: &Touch) -> aie2_isa::Access {
    aie2_isa::Access { reg: t.atom.reg(), cycle: t.cycle, bypass: t.bypass }
}

/// Read after write. Only accumulators may be forwarded inside a bundle: for all other files a late reader behind an early writer is kept
/// at least one bundle behind it.
// SOURCE: FIM43-Redeye/xdna-emu, silicon fuzzing: same-bundle forwarding is seen for accumulators, W/X reads are clamped to one bundle.
pub(crate) fn raw(def: &Touch, usage: &Touch) -> i32 {
    let floor = if def.atom.file() == aie2_isa::File::Am { 0 } else { 1 };
    raw_latency(&access(def), &access(usage)).max(floor)
}

/// Write after read.
pub(crate) fn war(usage: &Touch, def: &Touch) -> i32 {
    aie2_isa::war_latency(&access(usage), &access(def))
}

/// Write after write. The published tables let a slow later write issue before a fast earlier one; silicon has only been observed with the
/// rule "latest issued visible write wins", so writes of one register keep their order of issue as well as of landing.
// SOURCE: FIM43-Redeye/xdna-emu, src/interpreter/state/registers.rs (silicon fuzzing).
pub(crate) fn waw(first: &Touch, second: &Touch) -> i32 {
    aie2_isa::waw_latency(&access(first), &access(second)).max(1)
}

/// True if two accesses may touch the same bytes.
pub(crate) fn may_alias(a: &MemRef, b: &MemRef) -> bool {
    if a.space == 0 || b.space == 0 {
        return true;
    }
    a.space == b.space && !matches!((a.disjoint, b.disjoint), (Some(x), Some(y)) if x != y)
}

fn guarded(guards: &Guards, mem: &MemRef) -> bool {
    match guards {
        Guards::All => true,
        Guards::Spaces(list) => mem.space == 0 || list.contains(&mem.space),
    }
}

/// Distance demanded by memory order, fences and side effects; `None` if there is none.
pub(crate) fn order(a: &Info, b: &Info) -> Option<i32> {
    let mut d: Option<i32> = None;
    let mut need = |x: i32| d = Some(d.map_or(x, |y: i32| y.max(x)));
    if let (Some(last), Some(first)) = (a.last_memory(), b.first_memory())
        && (a.writes_memory || b.writes_memory)
        && may_alias(&a.mem, &b.mem)
    {
        need(last - first + 1);
    }
    if let (Some(last), true) = (a.last_memory(), b.fence && guarded(&b.guards, &a.mem)) {
        need(last - LOCK_STALL + 1);
    }
    if let (true, Some(first)) = (a.fence && guarded(&a.guards, &b.mem), b.first_memory()) {
        need(LOCK_RESUME - first + 1);
    }
    if a.side_effects && b.side_effects || b.ends {
        need(1);
    }
    d
}

/// Least distance over registers, memory, fences; `None` if the two are independent.
pub(crate) fn distance(a: &Info, b: &Info) -> Option<i32> {
    let mut d = order(a, b);
    let mut need = |x: i32| d = Some(d.map_or(x, |y: i32| y.max(x)));
    for def in &a.defs {
        b.uses.iter().filter(|u| u.atom == def.atom).for_each(|u| need(raw(def, u)));
        if !is_sticky(def.atom) {
            b.defs.iter().filter(|x| x.atom == def.atom).for_each(|x| need(waw(def, x)));
        }
    }
    for usage in &a.uses {
        b.defs.iter().filter(|x| x.atom == usage.atom).for_each(|x| need(war(usage, x)));
    }
    d
}

/// True if the slots exclude each other in one bundle.
pub(crate) fn slots_clash(a: Slot, b: Slot) -> bool {
    a == b || matches!((a, b), (Slot::Lng, Slot::Alu | Slot::Mv) | (Slot::Alu | Slot::Mv, Slot::Lng))
}

/// Rows of a reservation table: the units, then the four logical banks.
pub(crate) const ROWS: usize = aie2_isa::Resource::ALL.len() + 4;

fn rows(stages: &[Stage], memory: &[u8], bank: Option<u8>) -> Vec<(u8, i8, bool)> {
    let units = stages.iter().flat_map(|s| {
        let first = s.first_cycle as i8 - 1;
        (first..first + s.cycles as i8).map(|c| (s.resource as u8, c, s.kind == StageKind::Reserve))
    });
    let bank = bank.map(|b| (aie2_isa::Resource::ALL.len() as u8) + (b & 3));
    units.chain(bank.into_iter().flat_map(|row| memory.iter().map(move |c| (row, *c as i8 - 1, false)))).collect()
}

/// Occupied rows as (row, cycle relative to issue, is a reservation).
pub(crate) fn occupied(info: &Info) -> impl Iterator<Item = (usize, i32, bool)> + '_ {
    info.rows.iter().map(|(row, cycle, reserve)| (usize::from(*row), i32::from(*cycle), *reserve))
}

/// Name of a row.
pub(crate) fn row_name(row: usize) -> String {
    match aie2_isa::Resource::ALL.get(row) {
        Some(r) => r.to_string(),
        None => format!("bank {}", row - aie2_isa::Resource::ALL.len()),
    }
}

/// True if `b`, issued `distance` bundles after `a`, needs a slot, unit or bank that `a` holds; `ii` makes time circular.
pub(crate) fn clash(a: &Info, b: &Info, distance: i32, ii: Option<i32>) -> bool {
    let same = |x: i32, y: i32| match ii {
        Some(ii) => (x - y).rem_euclid(ii) == 0,
        None => x == y,
    };
    if same(distance, 0) && slots_clash(a.slot, b.slot) {
        return true;
    }
    a.rows.iter().any(|(row, c, r)| {
        let shares = |(row2, c2, r2): &(u8, i8, bool)| {
            row == row2 && !(*r && *r2) && same(i32::from(*c), i32::from(*c2) + distance)
        };
        b.rows.iter().any(shares)
    })
}

/// One dependence: `t(to) >= t(from) + latency - ii * iterations`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) latency: i32,
    pub(crate) iterations: i32,
}

/// Dependences of a straight sequence; with `wrap` also those between one iteration and the next.
///
/// `live` says which atoms matter: status bits nobody reads order nothing.
pub(crate) fn edges(ops: &[&Info], wrap: bool, live: &dyn Fn(Atom) -> bool) -> Vec<Edge> {
    #[derive(Default, Clone)]
    struct Seen {
        writers: Vec<(usize, Touch)>,
        readers: Vec<(usize, Touch)>,
    }
    let n = ops.len();
    let mut seen: Vec<Seen> = vec![Seen::default(); Atom::count()];
    let mut out = Vec::new();
    let rounds = if wrap { 2 } else { 1 };
    for k in 0..rounds * n {
        let (op, iteration) = (&ops[k % n], k / n);
        let mut edge = |from: usize, latency: i32| {
            let iterations = (iteration - from / n) as i32;
            // Edges inside the second round repeat those of the first.
            if iteration == 0 || iterations == 1 {
                out.push(Edge { from: from % n, to: k % n, latency, iterations });
            }
        };
        for u in op.uses.iter().filter(|u| live(u.atom)) {
            seen[u.atom.as_usize()].writers.iter().for_each(|(w, d)| edge(*w, raw(d, u)));
        }
        for d in op.defs.iter().filter(|d| live(d.atom)) {
            let s = &seen[d.atom.as_usize()];
            s.readers.iter().filter(|(r, _)| *r != k).for_each(|(r, u)| edge(*r, war(u, d)));
            if !is_sticky(d.atom) {
                s.writers.iter().for_each(|(w, e)| edge(*w, waw(e, d)));
            }
        }
        for u in op.uses.iter().filter(|u| live(u.atom)) {
            seen[u.atom.as_usize()].readers.push((k, *u));
        }
        for d in op.defs.iter().filter(|d| live(d.atom)) {
            let s = &mut seen[d.atom.as_usize()];
            if !is_sticky(d.atom) {
                s.writers.clear();
                s.readers.clear();
            }
            s.writers.push((k, *d));
        }
    }
    let ends = ops.iter().any(|o| o.ends);
    let ordered: Vec<usize> =
        (0..n).filter(|i| ends || !ops[*i].memory.is_empty() || ops[*i].fence || ops[*i].side_effects).collect();
    for (x, &i) in ordered.iter().enumerate() {
        for &j in &ordered[x + 1..] {
            if let Some(latency) = order(ops[i], ops[j]) {
                out.push(Edge { from: i, to: j, latency, iterations: 0 });
            }
        }
        if wrap {
            for &j in &ordered[..=x] {
                if let Some(latency) = order(ops[i], ops[j]) {
                    out.push(Edge { from: i, to: j, latency, iterations: 1 });
                }
            }
        }
    }
    out
}

/// Reservation table, linear or circular.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    ii: Option<i32>,
    /// Per cycle: one bit per slot.
    slots: Vec<u8>,
    /// Per cycle and row: uses, reservations.
    rows: Vec<[(u8, u8); ROWS]>,
}

impl Table {
    pub(crate) fn new(ii: Option<i32>) -> Table {
        let n = ii.unwrap_or(0) as usize;
        Table { ii, slots: vec![0; n], rows: vec![[(0, 0); ROWS]; n] }
    }

    fn at(&self, t: i32) -> usize {
        match self.ii {
            Some(ii) => t.rem_euclid(ii) as usize,
            None => (t + HORIZON) as usize,
        }
    }

    /// Free slot and free units at this time?
    pub(crate) fn fits(&self, info: &Info, t: i32) -> bool {
        let blocked = |slot: Slot| match slot {
            Slot::Lng => 1 << Slot::Lng as u8 | 1 << Slot::Alu as u8 | 1 << Slot::Mv as u8,
            Slot::Alu | Slot::Mv => 1 << slot as u8 | 1 << Slot::Lng as u8,
            s => 1u8 << s as u8,
        };
        if self.slots.get(self.at(t)).is_some_and(|s| s & blocked(info.slot) != 0) {
            return false;
        }
        occupied(info).all(|(row, c, reserve)| match self.rows.get(self.at(t + c)) {
            Some(r) => r[row].0 == 0 && (reserve || r[row].1 == 0),
            None => true,
        })
    }

    /// Takes (`+1`) or gives back (`-1`).
    fn change(&mut self, info: &Info, t: i32, take: bool) {
        let need =
            (0..).zip(occupied(info)).map(|(_, (_, c, _))| self.at(t + c)).chain([self.at(t)]).max().unwrap_or(0) + 1;
        if self.ii.is_none() && self.slots.len() < need {
            self.slots.resize(need, 0);
            self.rows.resize(need, [(0, 0); ROWS]);
        }
        let i = self.at(t);
        if take {
            self.slots[i] |= 1 << info.slot as u8;
        } else {
            self.slots[i] &= !(1 << info.slot as u8);
        }
        let step = |x: &mut u8| *x = if take { *x + 1 } else { *x - 1 };
        for (row, c, reserve) in occupied(info) {
            let i = self.at(t + c);
            let cell = &mut self.rows[i][row];
            step(if reserve { &mut cell.1 } else { &mut cell.0 });
        }
    }

    pub(crate) fn place(&mut self, info: &Info, t: i32) {
        self.change(info, t, true);
    }

    pub(crate) fn remove(&mut self, info: &Info, t: i32) {
        self.change(info, t, false);
    }

    /// Only the units (not the slot) of an instruction issued in an earlier bundle.
    pub(crate) fn place_units(&mut self, info: &Info, t: i32) {
        if t >= -HORIZON {
            // Several predecessors may hold one unit in one cycle: saturate instead of counting.
            for (row, c, reserve) in occupied(info).filter(|(_, c, _)| t + c >= 0) {
                let i = self.at(t + c);
                if self.rows.len() <= i {
                    self.slots.resize(i + 1, 0);
                    self.rows.resize(i + 1, [(0, 0); ROWS]);
                }
                let cell = &mut self.rows[i][row];
                if reserve { cell.1 = cell.1.saturating_add(1) } else { cell.0 = cell.0.saturating_add(1) }
            }
        }
    }
}
