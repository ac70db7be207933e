//! Abstract machine of the checker: the transfer function of one bundle.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use aie2_isa::{Access, Atom, Branch, Bundle, File, Flags, Insn, Resource, Role, StageKind, Value};

use super::CheckError;
use super::memory::{Event, needed};
use super::note::{Certificate, Mark, OpNo, OpNote, RegionNo, Source};
use super::state::{History, LateRead, Progress, State, Tag, Write, accumulates, age, incomplete, shift, text};
use crate::operand::Guards;

/// Bytes demanded between the loop set-up and the last bundle of a hardware loop.
// SOURCE: Xilinx/llvm-aie AIEMachineAlignment.cpp.
const LOOP_DISTANCE_BYTES: u32 = 112;

/// Fetch word.
// SOURCE: AMD AM020 ch. 4: program memory is fetched 128 bits at a time.
const FETCH_BYTES: u32 = 16;

/// A point of the exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) pc: u32,
    /// Delay slots left, and where execution continues behind them (`None`: the branch was not taken).
    delay: Option<(u8, Option<u32>)>,
    ls: Option<u32>,
    le: Option<u32>,
}

impl Node {
    pub(super) fn start(pc: u32) -> Node {
        Node { pc, delay: None, ls: None, le: None }
    }
}

/// Outcome of one bundle.
pub(super) struct Step {
    pub(super) state: State,
    pub(super) next: Vec<(Node, bool)>,
    pub(super) early: bool,
    /// Bundles issued earlier whose late reads turn out early.
    pub(super) early_earlier: Vec<u32>,
}

type Result<T> = std::result::Result<T, Box<CheckError>>;

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    certificate: &'a Certificate,
    region_of: HashMap<OpNo, RegionNo>,
    place: HashMap<OpNo, usize>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], certificate: &'a Certificate) -> Machine<'a> {
        let mut region_of = HashMap::new();
        let mut place = HashMap::new();
        for (i, r) in certificate.regions.iter().enumerate() {
            region_of.extend(r.members.iter().map(|op| (*op, i as RegionNo)));
            place.extend(r.ops.iter().enumerate().map(|(k, op)| (*op, k)));
        }
        Machine { bytes, certificate, region_of, place }
    }

    fn text(&self, op: OpNo) -> String {
        text(self.certificate, op)
    }

    // --- frames ---

    /// Applies the marks of the bundle at a point.
    pub(super) fn enter(&self, state: &mut State, at: Node, back_edge: bool) -> Result<()> {
        let pc = at.pc;
        let Some(note) = self.certificate.bundles.get(&pc) else { return Ok(()) };
        for mark in &note.marks {
            match *mark {
                Mark::Enter { region, first, by } => {
                    if back_edge {
                        continue;
                    }
                    // The branch decides what comes next; a region its delay slots run into is executed on a path that does not lead to it.
                    if at.delay.is_some() {
                        let region = self.certificate.regions[region as usize].name.clone();
                        return Err(Box::new(CheckError::RegionInDelaySlots { pc, region }));
                    }
                    if let Some(p) = state.progress.as_ref().filter(|p| !p.complete()) {
                        return Err(incomplete(p, pc, self.certificate));
                    }
                    self.advance(state, region, by);
                    let n = self.certificate.regions[region as usize].ops.len();
                    state.progress = Some(Rc::new(Progress { region, next: vec![first; n] }));
                }
                Mark::Advance { region, by } => {
                    self.advance(state, region, by);
                    if let Some(p) = state.progress.as_mut().filter(|p| p.region == region) {
                        Rc::make_mut(p).next.iter_mut().for_each(|n| *n -= by);
                    }
                }
            }
        }
        Ok(())
    }

    fn advance(&self, state: &mut State, region: RegionNo, by: i16) {
        let ours = |op: &OpNo| self.region_of.get(op) == Some(&region);
        let tagged = |t: &Tag| matches!(t, Tag::Op(op, ..) if ours(op));
        let meant = |s: &Source| matches!(s, Source::Def { op, .. } if ours(op));
        for set in &mut state.atoms {
            let touched = set.iter().any(|h| {
                tagged(&h.committed)
                    || h.writes.iter().any(|w| tagged(&w.tag))
                    || h.reads.iter().any(|r| r.sources.iter().any(meant))
            });
            if !touched {
                continue;
            }
            let move_tag = |t: Tag| match t {
                Tag::Op(op, part, i) if ours(&op) => Tag::Op(op, part, shift(i, by)),
                other => other,
            };
            let moved = set.iter().map(|h| {
                let mut h = h.clone();
                h.committed = move_tag(h.committed);
                h.writes.iter_mut().for_each(|w| w.tag = move_tag(w.tag));
                for s in h.reads.iter_mut().flat_map(|r| &mut r.sources) {
                    if let Source::Def { op, iteration, .. } = s
                        && ours(op)
                    {
                        *iteration = shift(*iteration, by);
                    }
                }
                h
            });
            *set = Rc::new(moved.collect());
        }
        if state.events.iter().any(|e| e.region == region) {
            state.events = std::mem::take(&mut state.events)
                .into_iter()
                .map(|e| if e.region == region { Event { iteration: shift(e.iteration, by), ..e } } else { e })
                .collect();
        }
    }

    // --- one bundle ---

    pub(super) fn step(&self, node: Node, before: &State) -> Result<Step> {
        let pc = node.pc;
        let rest = self.bytes.get(pc as usize..).filter(|b| !b.is_empty()).ok_or(CheckError::RunsOff { pc })?;
        let (bundle, _, len) = Bundle::decode(rest).map_err(|source| CheckError::Decode { pc, source })?;
        let ops = self.notes(pc, &bundle)?;
        let mut step = Step { state: before.clone(), next: Vec::new(), early: false, early_earlier: Vec::new() };
        self.cover(&mut step.state, pc, &ops)?;
        self.reads(&mut step, pc, &ops)?;
        self.units(&mut step.state, pc, &ops)?;
        self.writes(&mut step.state, pc, &ops)?;
        self.memory(&mut step.state, pc, &ops)?;
        self.successors(&mut step, node, &bundle, len as u32)?;
        age(&mut step.state);
        Ok(step)
    }

    /// Pairs instructions with their notes.
    fn notes(&self, pc: u32, bundle: &Bundle) -> Result<Vec<(Insn, &'a OpNote)>> {
        let disagree = || Box::new(CheckError::Certificate { pc, bundle: bundle.to_string() });
        let notes = self.certificate.bundles.get(&pc).map_or(&[][..], |n| &n.ops);
        let mut out = Vec::new();
        for insn in bundle.iter() {
            let mut fitting = notes.iter().filter(|n| n.slot == insn.slot());
            let (Some(note), None) = (fitting.next(), fitting.next()) else { return Err(disagree()) };
            if !self.region_of.contains_key(&note.op) {
                return Err(disagree());
            }
            out.push((*insn, note));
        }
        if out.len() == notes.len() { Ok(out) } else { Err(disagree()) }
    }

    /// Every operation of a region executes its iterations one after the other, each exactly once.
    fn cover(&self, state: &mut State, pc: u32, ops: &[(Insn, &OpNote)]) -> Result<()> {
        for (insn, note) in ops {
            let region = self.region_of[&note.op];
            let Some(&k) = self.place.get(&note.op) else { continue };
            let due = state.progress.as_ref().filter(|p| p.region == region).map(|p| p.next[k]);
            if due != Some(note.iteration) {
                return Err(Box::new(CheckError::Coverage {
                    pc,
                    region: self.certificate.regions[region as usize].name.clone(),
                    insn: insn.to_string(),
                    found: i32::from(note.iteration),
                    due: due.map_or(i32::MIN, i32::from),
                }));
            }
            if let Some(p) = state.progress.as_mut() {
                Rc::make_mut(p).next[k] += 1;
            }
        }
        Ok(())
    }

    fn reads(&self, step: &mut Step, pc: u32, ops: &[(Insn, &OpNote)]) -> Result<()> {
        // Sources that are read at issue, and later ones that join the histories.
        let mut due: HashMap<usize, Vec<LateRead>> = HashMap::new();
        for (insn, note) in ops {
            for (k, (atom, access)) in touched(insn.timing().uses()).enumerate() {
                if accumulates(atom) {
                    continue;
                }
                let sources = note.sources.get(k).cloned().unwrap_or_default();
                let Access { cycle, bypass, .. } = access;
                due.entry(atom.as_usize()).or_default().push(LateRead {
                    wait: cycle.max(1) - 1,
                    cycle: cycle.max(1),
                    bypass,
                    sources,
                    pc,
                    op: note.op,
                });
            }
        }
        for (i, set) in step.state.atoms.iter_mut().enumerate() {
            let new = due.remove(&i).unwrap_or_default();
            if new.is_empty() && set.iter().all(|h| h.reads.is_empty()) {
                continue;
            }
            let atom = Atom::all().nth(i).expect("one set per atom");
            let mut out = BTreeSet::new();
            for h in set.iter() {
                let mut h = h.clone();
                h.reads.extend(new.iter().cloned());
                let (now, later): (Vec<_>, Vec<_>) = h.reads.drain(..).partition(|r| r.wait == 0);
                h.reads = later;
                for r in now {
                    if self.receive(&h, &r, atom)? {
                        if r.pc == pc && r.cycle == 1 { step.early = true } else { step.early_earlier.push(r.pc) }
                    }
                }
                out.insert(h);
            }
            *set = Rc::new(out);
        }
        Ok(())
    }

    /// Decides what a read receives and whether that is meant; true if it is an early read.
    fn receive(&self, h: &History, r: &LateRead, atom: Atom) -> Result<bool> {
        let visible = |w: &&Write| {
            let same = u8::from(w.bypass.is_some() && w.bypass == r.bypass);
            w.age + same >= w.cycle
        };
        let arrived = h.writes.iter().rev().find(visible);
        let tag = arrived.map_or(h.committed, |w| w.tag);
        if arrived.is_some_and(|w| w.age < r.cycle) && atom.file() == File::W {
            let reader = self.text(r.op);
            return Err(Box::new(CheckError::AmbiguousLateRead { pc: r.pc, reader, atom }));
        }
        // Writes issued before the reader; the newest of them is what a machine with interlocks would deliver.
        let newest_before = h.writes.iter().rev().find(|w| w.age >= r.cycle);
        let early = newest_before.is_some_and(|n| !visible(&n))
            && arrived.is_none_or(|a| newest_before.is_some_and(|n| a.age > n.age));
        let region = |op: OpNo| self.region_of.get(&op).copied();
        let allowed = r.sources.iter().any(|s| match *s {
            Source::Def { op, part, iteration } => tag == Tag::Op(op, part, iteration),
            Source::Entry => tag == Tag::Start,
            Source::NewestOf(op) => !early && matches!(tag, Tag::Op(o, ..) if o == op),
            Source::Newest => !early && tag != Tag::Undefined,
            Source::NewestOutside(own) => {
                !early
                    && match tag {
                        Tag::Undefined => false,
                        Tag::Start => true,
                        Tag::Op(o, ..) => region(o) != Some(own),
                    }
            }
            Source::Foreign(own) => match tag {
                Tag::Undefined => false,
                Tag::Start => true,
                Tag::Op(o, ..) => region(o) != Some(own),
            },
            Source::NotFrom(own) => !matches!(tag, Tag::Op(o, ..) if region(o) == Some(own)),
            Source::Any => true,
        });
        if allowed {
            return Ok(early);
        }
        let show = |op: OpNo, part: u8, i: i16| {
            let which = if i == i16::MIN { "an old iteration".to_owned() } else { format!("iteration {i}") };
            format!("result {part} of `{}` of {which}", self.text(op))
        };
        let mut received = match tag {
            Tag::Undefined => "an undefined value".to_owned(),
            Tag::Start => "the value at program start".to_owned(),
            Tag::Op(op, part, i) => show(op, part, i),
        };
        if early {
            received += " (a newer write is in flight)";
        }
        let meant: Vec<String> = r
            .sources
            .iter()
            .map(|s| match s {
                Source::Def { op, part, iteration } => show(*op, *part, *iteration),
                other => format!("{other:?}"),
            })
            .collect();
        Err(Box::new(CheckError::WrongValue {
            pc: r.pc,
            reader: self.text(r.op),
            atom,
            received,
            meant: meant.join(" or "),
        }))
    }

    fn units(&self, state: &mut State, pc: u32, ops: &[(Insn, &OpNote)]) -> Result<()> {
        for (insn, note) in ops {
            let t = insn.timing();
            let mut need: Vec<(usize, u8, StageKind)> = Vec::new();
            for s in t.stages() {
                need.extend(
                    (s.first_cycle - 1..s.first_cycle - 1 + s.cycles).map(|c| (s.resource as usize, c, s.kind)),
                );
            }
            if let Some(bank) = note.mem.bank {
                let row = Resource::ALL.len() + usize::from(bank & 3);
                need.extend(t.memory_cycles().iter().map(|c| (row, c - 1, StageKind::Use)));
            }
            for (row, cycle, kind) in &need {
                let (used, reserved) = state.units[*row];
                let taken = match kind {
                    StageKind::Use => used | reserved,
                    StageKind::Reserve => used,
                };
                if taken >> cycle & 1 != 0 {
                    let on = Resource::ALL
                        .get(*row)
                        .map_or_else(|| format!("bank {}", row - Resource::ALL.len()), ToString::to_string);
                    return Err(Box::new(CheckError::UnitClash { pc, insn: insn.to_string(), on, cycle: *cycle }));
                }
            }
            for (row, cycle, kind) in need {
                match kind {
                    StageKind::Use => state.units[row].0 |= 1 << cycle,
                    StageKind::Reserve => state.units[row].1 |= 1 << cycle,
                }
            }
        }
        Ok(())
    }

    fn writes(&self, state: &mut State, pc: u32, ops: &[(Insn, &OpNote)]) -> Result<()> {
        // Writes of one bundle are issued together; what orders them is when they land.
        let mut defs: Vec<(Atom, Access, usize, u8)> = Vec::new();
        for (k, (insn, _)) in ops.iter().enumerate() {
            let timing = insn.timing();
            let parts = touched(timing.defs()).zip(0u8..);
            defs.extend(parts.map(|((atom, access), part)| (atom, access, k, part)));
        }
        defs.sort_by_key(|(_, access, ..)| access.cycle);
        for (atom, access, k, part) in defs {
            if accumulates(atom) {
                continue;
            }
            let (insn, note) = &ops[k];
            let new = Write {
                tag: Tag::Op(note.op, part, note.iteration),
                age: 0,
                cycle: access.cycle,
                bypass: access.bypass,
            };
            let set = &mut state.atoms[atom.as_usize()];
            let mut out = BTreeSet::new();
            for h in set.iter() {
                if h.writes.iter().any(|w| i32::from(w.cycle) - i32::from(w.age) >= i32::from(new.cycle)) {
                    return Err(Box::new(CheckError::WriteClash { pc, writer: insn.to_string(), atom }));
                }
                let mut h = h.clone();
                h.writes.push(new);
                out.insert(h);
            }
            *set = Rc::new(out);
        }
        Ok(())
    }

    fn memory(&self, state: &mut State, pc: u32, ops: &[(Insn, &OpNote)]) -> Result<()> {
        for (insn, note) in ops {
            let row = insn.row();
            let cycles = insn.timing().memory_cycles();
            let event = Event {
                age: 0,
                op: note.op,
                region: self.region_of[&note.op],
                iteration: note.iteration,
                seq: note.seq,
                memory: cycles.iter().min().copied().zip(cycles.iter().max().copied()),
                writes: row.flags.contains(Flags::STORE),
                fence: row.flags.contains(Flags::LOCK) || row.mnemonic == "done",
                side_effects: row.flags.contains(Flags::SIDE_EFFECTS),
                mem: (note.mem.space, note.mem.disjoint),
                guards: match &note.guards {
                    Guards::All => None,
                    Guards::Spaces(list) => Some(list.clone()),
                },
            };
            if event.memory.is_none() && !event.fence && !event.side_effects {
                continue;
            }
            for old in &state.events {
                self.pair(pc, old, &event)?;
            }
            state.events.insert(event);
        }
        Ok(())
    }

    /// `old` has issued `old.age` bundles before `new`.
    fn pair(&self, pc: u32, old: &Event, new: &Event) -> Result<()> {
        // Iterations of one region have an order of their own; everything else is sequential as emitted.
        let in_order = old.region != new.region || (old.iteration, old.seq) <= (new.iteration, new.seq);
        let (first, second, distance) =
            if in_order { (old, new, i32::from(old.age)) } else { (new, old, -i32::from(old.age)) };
        if let Some(needed) = needed(first, second)
            && distance < needed
        {
            return Err(Box::new(CheckError::MemoryOrder {
                pc,
                first: self.text(first.op),
                second: self.text(second.op),
                distance,
                needed,
            }));
        }
        Ok(())
    }

    fn successors(&self, step: &mut Step, node: Node, bundle: &Bundle, len: u32) -> Result<()> {
        let pc = node.pc;
        let mut next = node;
        next.pc = pc + len;
        let written = self.loop_registers(&mut next, pc, bundle)?;
        step.state.loop_bytes = if written { 0 } else { step.state.loop_bytes };

        let branch = bundle.iter().find(|i| i.row().branch.is_some());
        if branch.is_some() && node.delay.is_some() {
            return Err(Box::new(CheckError::BranchInDelaySlots { pc }));
        }
        if node.le == Some(pc) {
            return self.loop_end(step, node, next, bundle, len);
        }
        if !written {
            step.state.loop_bytes = (step.state.loop_bytes + len).min(u32::from(u16::MAX));
        }
        if let Some(insn) = branch {
            let target = target(insn).ok_or_else(|| CheckError::UnknownTarget { pc, insn: insn.to_string() })?;
            aligned(pc, target)?;
            let slots = insn.row().delay_slots;
            step.next.push((Node { delay: Some((slots, Some(target))), ..next }, false));
            if insn
                .row()
                .operands
                .iter()
                .any(|o| o.role == Role::In && matches!(o.kind, aie2_isa::OperandKind::Class(_)))
            {
                step.next.push((Node { delay: Some((slots, None)), ..next }, false));
            }
            return Ok(());
        }
        let (delay, pc_next) = match node.delay {
            Some((1, Some(target))) => (None, target),
            Some((1, None)) | None => (None, next.pc),
            Some((n, target)) => (Some((n - 1, target)), next.pc),
        };
        step.next.push((Node { pc: pc_next, delay, ..next }, false));
        Ok(())
    }

    /// Writes of lc, ls, le.
    fn loop_registers(&self, next: &mut Node, pc: u32, bundle: &Bundle) -> Result<bool> {
        let mut written = false;
        for insn in bundle.iter() {
            for (atom, _) in touched(insn.timing().defs()) {
                let place = match atom.file() {
                    File::Ls => &mut next.ls,
                    File::Le => &mut next.le,
                    File::Lc => {
                        written = true;
                        continue;
                    }
                    _ => continue,
                };
                written = true;
                let value = insn.given().find_map(Value::imm).filter(|_| insn.row().flags.contains(Flags::MOVE_IMM));
                *place = value.and_then(|v| u32::try_from(v).ok());
                if place.is_none() {
                    return Err(Box::new(CheckError::UnknownLoop { pc, insn: insn.to_string() }));
                }
            }
        }
        Ok(written)
    }

    fn loop_end(&self, step: &mut Step, node: Node, next: Node, bundle: &Bundle, len: u32) -> Result<()> {
        let pc = node.pc;
        if node.delay.is_some() || bundle.iter().any(|i| i.row().branch.is_some()) {
            return Err(Box::new(CheckError::LoopEndInDelaySlots { pc }));
        }
        let start = node.ls.ok_or_else(|| CheckError::UnknownLoop { pc, insn: "ls".to_owned() })?;
        aligned(pc, pc)?;
        aligned(pc, start)?;
        if len != FETCH_BYTES {
            return Err(Box::new(CheckError::LoopEndSize { pc, bytes: len as usize }));
        }
        if step.state.loop_bytes < LOOP_DISTANCE_BYTES {
            return Err(Box::new(CheckError::LoopDistance { pc, bytes: step.state.loop_bytes }));
        }
        // A load and a store in one: read-modify-write of a word.
        if bundle.iter().any(|i| i.row().flags.contains(Flags::LOAD | Flags::STORE)) {
            return Err(Box::new(CheckError::PartWordStoreAtLoopEnd { pc }));
        }
        step.state.loop_bytes = (step.state.loop_bytes + len).min(u32::from(u16::MAX));
        step.next.push((Node { pc: start, ..next }, true));
        step.next.push((next, false));
        Ok(())
    }
}

/// Atoms of a list of accesses, each with the access.
fn touched(list: &[Access]) -> impl Iterator<Item = (Atom, Access)> + '_ {
    list.iter().flat_map(|a| a.reg.atoms().iter().map(move |atom| (*atom, *a)))
}

fn target(insn: &Insn) -> Option<u32> {
    match insn.row().branch? {
        Branch::Direct => insn.given().find_map(Value::imm).and_then(|v| u32::try_from(v).ok()),
        Branch::Indirect | Branch::Return => None,
    }
}

fn aligned(pc: u32, target: u32) -> Result<()> {
    if target.is_multiple_of(FETCH_BYTES) { Ok(()) } else { Err(Box::new(CheckError::Misaligned { pc, target })) }
}
