//! Control flow, liveness and reaching definitions of the IR.
//!
//! The item list is cut into regions: straight blocks (ended by a branch, a label or a loop), pipelined loops (one region with an edge to
//! itself) and raw pieces. Every operation of a region is a *point*; a point reads at `2 * point` and writes at `2 * point + 1`, so a
//! value that dies at a point and one that is born there can share a register.

use std::collections::{BTreeSet, HashMap};

use aie2_isa::{Atom, File, Role};

use crate::asm::Asm;
use crate::error::CodegenError;
use crate::ir::{self, Item, OpNo, RawIr, RawLine, Step, Var};
use crate::operand::{Label, VReg};

/// What a region is made of.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Straight code, possibly ended by a branch (the last step).
    Block(Vec<Step>),
    /// A pipelined loop.
    Pipe(usize),
    /// Fixed bundles.
    Raw(RawIr),
}

#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) kind: Kind,
    pub(crate) labels: Vec<Label>,
    pub(crate) succ: Vec<usize>,
    pub(crate) pred: Vec<usize>,
    /// Continues with the next region.
    pub(crate) falls: bool,
    /// First point.
    pub(crate) start: usize,
    /// One past the last point.
    pub(crate) end: usize,
}

/// One operation, or one raw bundle, in sequential order.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) uses: Vec<Var>,
    pub(crate) defs: Vec<Var>,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Op(OpNo),
    Undef,
    RawLine(usize),
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) regions: Vec<Region>,
    pub(crate) points: Vec<Point>,
}

impl Flow {
    pub(crate) fn build(asm: &Asm) -> Result<Flow, CodegenError> {
        let mut regions = cut(asm);
        let mut label_region = HashMap::new();
        let mut placed = vec![0usize; asm.labels.len()];
        for (i, r) in regions.iter().enumerate() {
            let inner = match &r.kind {
                Kind::Pipe(p) => vec![asm.pipes[*p].head, asm.pipes[*p].last],
                Kind::Raw(raw) => raw.zol.iter().flat_map(|(a, b)| [*a, *b]).collect(),
                Kind::Block(_) => Vec::new(),
            };
            for l in r.labels.iter().copied().chain(inner) {
                placed[l.0 as usize] += 1;
                label_region.insert(l, i);
            }
        }
        let mut used: BTreeSet<Label> =
            placed.iter().enumerate().filter(|(_, n)| **n > 1).map(|(l, _)| Label(l as u32)).collect();
        let n = regions.len();
        let mut succ: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (i, r) in regions.iter().enumerate() {
            if r.falls && i + 1 < n {
                succ[i].push(i + 1);
            }
            let mut target = |l: Label, branch: bool| {
                used.insert(l);
                if let (true, Some(t)) = (branch, label_region.get(&l)) {
                    succ[i].push(*t);
                }
            };
            match &r.kind {
                Kind::Block(steps) => {
                    for s in steps {
                        if let Step::Op(op) = s
                            && let Some(l) = asm.ops[*op as usize].label()
                        {
                            target(l, asm.ops[*op as usize].is_branch());
                        }
                    }
                }
                Kind::Pipe(_) => succ[i].push(i),
                Kind::Raw(raw) => {
                    for op in raw.lines.iter().flat_map(|l| &l.ops) {
                        if let Some(l) = op.label {
                            target(l, op.insn.row().branch.is_some());
                        }
                    }
                    if raw.zol.is_some() {
                        succ[i].push(i);
                    }
                }
            }
        }
        for l in used {
            if placed[l.0 as usize] != 1 {
                return Err(CodegenError::Label {
                    name: asm.labels[l.0 as usize].to_string(),
                    placed: placed[l.0 as usize],
                });
            }
        }
        for (i, list) in succ.into_iter().enumerate() {
            for s in &list {
                if !regions[*s].pred.contains(&i) {
                    regions[*s].pred.push(i);
                }
            }
            regions[i].succ = list;
        }
        let mut points = Vec::new();
        for r in &mut regions {
            r.start = points.len();
            match &r.kind {
                Kind::Block(steps) => points.extend(steps.iter().map(|s| point(asm, *s))),
                Kind::Pipe(p) => points.extend(asm.pipes[*p].body.iter().map(|s| point(asm, *s))),
                Kind::Raw(raw) => points.extend(raw.lines.iter().enumerate().map(|(i, l)| raw_point(i, l))),
            }
            r.end = points.len();
        }
        Ok(Flow { regions, points })
    }
}

fn point(asm: &Asm, step: Step) -> Point {
    match step {
        Step::Op(n) => {
            let op = &asm.ops[n as usize];
            Point { uses: op.vars(Role::In), defs: op.vars(Role::Out), what: What::Op(n) }
        }
        Step::Undef(v) => Point { uses: Vec::new(), defs: ir::vars(v), what: What::Undef },
    }
}

fn raw_point(i: usize, line: &RawLine) -> Point {
    let (mut uses, mut defs) = (Vec::new(), Vec::new());
    for op in &line.ops {
        let t = op.insn.timing();
        uses.extend(t.uses().iter().flat_map(|a| ir::reg_vars(a.reg)));
        defs.extend(t.defs().iter().flat_map(|a| ir::reg_vars(a.reg)));
    }
    Point { uses, defs, what: What::RawLine(i) }
}

fn cut(asm: &Asm) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    let mut labels: Vec<Label> = Vec::new();
    let mut block: Vec<Step> = Vec::new();
    let region = |kind, labels: &mut Vec<Label>, falls| Region {
        kind,
        labels: std::mem::take(labels),
        succ: Vec::new(),
        pred: Vec::new(),
        falls,
        start: 0,
        end: 0,
    };
    let close = |block: &mut Vec<Step>, labels: &mut Vec<Label>, regions: &mut Vec<Region>, falls| {
        if !block.is_empty() {
            regions.push(region(Kind::Block(std::mem::take(block)), labels, falls));
        }
    };
    for item in &asm.items {
        match item {
            Item::Bind(l) => {
                close(&mut block, &mut labels, &mut regions, true);
                labels.push(*l);
            }
            Item::Step(s) => {
                block.push(*s);
                if let Step::Op(n) = s
                    && asm.ops[*n as usize].is_branch()
                {
                    let falls = asm.ops[*n as usize].falls_through();
                    close(&mut block, &mut labels, &mut regions, falls);
                }
            }
            Item::Pipe(p) => {
                close(&mut block, &mut labels, &mut regions, true);
                regions.push(region(Kind::Pipe(*p), &mut labels, true));
            }
            Item::Raw(raw) => {
                close(&mut block, &mut labels, &mut regions, true);
                for (raw, falls) in split_raw(raw) {
                    regions.push(region(Kind::Raw(raw), &mut labels, falls));
                }
            }
        }
    }
    close(&mut block, &mut labels, &mut regions, true);
    if !labels.is_empty() {
        regions.push(region(Kind::Block(Vec::new()), &mut labels, true));
    }
    regions
}

/// Cuts a raw piece behind the delay slots of each branch.
fn split_raw(raw: &RawIr) -> Vec<(RawIr, bool)> {
    let mut out = Vec::new();
    let mut rest = raw.lines.as_slice();
    loop {
        let branch = rest.iter().enumerate().find_map(|(i, l)| {
            let op = l.ops.iter().find(|o| o.insn.row().branch.is_some())?;
            Some((i + 1 + usize::from(op.insn.row().delay_slots), op))
        });
        let Some((end, op)) = branch else {
            if !rest.is_empty() || out.is_empty() {
                out.push((RawIr { lines: rest.to_vec(), ..raw.clone() }, true));
            }
            return out;
        };
        let m = op.insn.row().mnemonic;
        let falls = m.starts_with("jnz") || m.starts_with("jz");
        let (head, tail) = rest.split_at(end.min(rest.len()));
        out.push((RawIr { lines: head.to_vec(), ..raw.clone() }, falls));
        rest = tail;
        if rest.is_empty() {
            return out;
        }
    }
}

/// Index of every variable that occurs.
#[derive(Debug, Default)]
pub(crate) struct VarIndex {
    pub(crate) of: HashMap<Var, usize>,
    pub(crate) list: Vec<Var>,
}

impl VarIndex {
    pub(crate) fn build(flow: &Flow) -> VarIndex {
        let mut index = VarIndex::default();
        for v in flow.points.iter().flat_map(|p| p.uses.iter().chain(&p.defs)) {
            index.of.entry(*v).or_insert_with(|| {
                index.list.push(*v);
                index.list.len() - 1
            });
        }
        index
    }
}

/// Growable bit set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn new(n: usize) -> Bits {
        Bits(vec![0; n.div_ceil(64)])
    }
    pub(crate) fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }
    pub(crate) fn clear(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }
    pub(crate) fn or(&mut self, other: &Bits) -> bool {
        let mut changed = false;
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            changed |= *b & !*a != 0;
            *a |= b;
        }
        changed
    }
    pub(crate) fn intersects(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(w, bits)| (0..64).filter(move |b| bits >> b & 1 != 0).map(move |b| w * 64 + b))
    }
    pub(crate) fn set_range(&mut self, range: std::ops::Range<usize>) {
        range.for_each(|i| self.set(i));
    }
    /// Largest member below `i`.
    pub(crate) fn last_below(&self, i: usize) -> Option<usize> {
        let mut word = i / 64;
        let mut bits = if i.is_multiple_of(64) { 0 } else { self.0[word] & ((1 << (i % 64)) - 1) };
        loop {
            if bits != 0 {
                return Some(word * 64 + 63 - bits.leading_zeros() as usize);
            }
            word = word.checked_sub(1)?;
            bits = self.0[word];
        }
    }
}

/// Where every variable is occupied, in half points.
pub(crate) struct Liveness {
    /// Indexed like [`VarIndex::list`].
    pub(crate) occupied: Vec<Bits>,
}

impl Liveness {
    pub(crate) fn build(flow: &Flow, index: &VarIndex) -> Liveness {
        let n = index.list.len();
        let blocks = flow.regions.len();
        let mut live_in = vec![Bits::new(n); blocks];
        let mut live_out = vec![Bits::new(n); blocks];
        let step_back = |live: &mut Bits, r: &Region, p: &Point| {
            // A raw piece is entered and left with values in flight: its writes end no lifetime.
            if !matches!(r.kind, Kind::Raw(_)) {
                p.defs.iter().for_each(|v| live.clear(index.of[v]));
            }
            p.uses.iter().for_each(|v| live.set(index.of[v]));
        };
        let mut changed = true;
        while changed {
            changed = false;
            for (i, r) in flow.regions.iter().enumerate().rev() {
                for s in &r.succ {
                    let from = live_in[*s].clone();
                    changed |= live_out[i].or(&from);
                }
                let mut live = live_out[i].clone();
                flow.points[r.start..r.end].iter().rev().for_each(|p| step_back(&mut live, r, p));
                changed |= live_in[i].or(&live);
            }
        }
        let mut occupied = vec![Bits::new(2 * flow.points.len() + 2); n];
        for (i, r) in flow.regions.iter().enumerate() {
            let mut live = live_out[i].clone();
            for k in (r.start..r.end).rev() {
                let p = &flow.points[k];
                live.iter().for_each(|v| occupied[v].set(2 * k + 1));
                p.defs.iter().for_each(|v| occupied[index.of[v]].set(2 * k + 1));
                step_back(&mut live, r, p);
                live.iter().for_each(|v| occupied[v].set(2 * k));
            }
            if let Kind::Raw(_) = r.kind {
                for v in flow.points[r.start..r.end].iter().flat_map(|p| p.uses.iter().chain(&p.defs)) {
                    occupied[index.of[v]].set_range(2 * r.start..2 * r.end);
                }
            }
        }
        Liveness { occupied }
    }

    /// Gives every value of a pipelined loop a register of its own for the whole loop.
    pub(crate) fn widen_pipes(&mut self, flow: &Flow, index: &VarIndex, share: &BTreeSet<usize>) {
        for r in &flow.regions {
            let Kind::Pipe(p) = r.kind else { continue };
            if share.contains(&p) {
                continue;
            }
            for v in flow.points[r.start..r.end].iter().flat_map(|p| p.uses.iter().chain(&p.defs)) {
                self.occupied[index.of[v]].set_range(2 * r.start..2 * r.end);
            }
        }
    }
}

/// A definition that may reach a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Site {
    /// Value at program start.
    Entry,
    /// Declared arbitrary.
    Undef,
    /// Result of an operation.
    Op(OpNo),
    /// Written by a raw piece (region number).
    Raw(usize),
}

/// Reaching definitions: for each point and each variable it reads, the sites whose value it may receive.
pub(crate) struct Reaching {
    /// Per point: (variable, sites).
    pub(crate) reads: Vec<Vec<(Var, Vec<Site>)>>,
    /// The same for the first iteration of a pipelined loop: what reaches over the edges from outside. Elsewhere equal to `reads`.
    pub(crate) first: Vec<Vec<(Var, Vec<Site>)>>,
}

impl Reaching {
    pub(crate) fn build(flow: &Flow, index: &VarIndex) -> Reaching {
        // State: per variable the set of sites. Variables are few per region, so sets of sites are kept sparse.
        type State = Vec<BTreeSet<Site>>;
        let n = index.list.len();
        let entry: State = vec![BTreeSet::from([Site::Entry]); n];
        let mut states: Vec<Option<State>> = vec![None; flow.regions.len()];
        if !states.is_empty() {
            states[0] = Some(entry);
        }
        let apply = |state: &mut State, region: usize, p: &Point| {
            let site = match p.what {
                What::Op(op) => Site::Op(op),
                What::Undef => Site::Undef,
                What::RawLine(_) => Site::Raw(region),
            };
            for v in &p.defs {
                let set = &mut state[index.of[v]];
                set.clear();
                set.insert(site);
            }
        };
        let mut work: BTreeSet<usize> = BTreeSet::from([0]);
        while let Some(i) = work.pop_first() {
            let Some(mut state) = states.get(i).cloned().flatten() else { continue };
            let r = &flow.regions[i];
            flow.points[r.start..r.end].iter().for_each(|p| apply(&mut state, i, p));
            for s in &r.succ {
                let changed = match &mut states[*s] {
                    Some(old) => {
                        let mut changed = false;
                        for (a, b) in old.iter_mut().zip(&state) {
                            let before = a.len();
                            a.extend(b.iter().copied());
                            changed |= a.len() != before;
                        }
                        changed
                    }
                    none => {
                        *none = Some(state.clone());
                        true
                    }
                };
                if changed {
                    work.insert(*s);
                }
            }
        }
        let out_of = |i: usize| {
            let r = &flow.regions[i];
            let mut state = states[i].clone()?;
            flow.points[r.start..r.end].iter().for_each(|p| apply(&mut state, i, p));
            Some(state)
        };
        let walk = |i: usize, mut state: State, out: &mut Vec<Vec<(Var, Vec<Site>)>>| {
            let r = &flow.regions[i];
            for p in &flow.points[r.start..r.end] {
                out.push(p.uses.iter().map(|v| (*v, state[index.of[v]].iter().copied().collect())).collect());
                apply(&mut state, i, p);
            }
        };
        let (mut reads, mut first) = (Vec::new(), Vec::new());
        for (i, r) in flow.regions.iter().enumerate() {
            let all = states[i].clone().unwrap_or_else(|| vec![BTreeSet::new(); n]);
            let outside = if matches!(r.kind, Kind::Pipe(_)) {
                let mut state: State = vec![BTreeSet::new(); n];
                if i == 0 {
                    state.iter_mut().for_each(|s| s.extend([Site::Entry]));
                }
                for from in r.pred.iter().filter(|p| **p != i).filter_map(|p| out_of(*p)) {
                    state.iter_mut().zip(&from).for_each(|(a, b)| a.extend(b.iter().copied()));
                }
                state
            } else {
                all.clone()
            };
            walk(i, all, &mut reads);
            walk(i, outside, &mut first);
        }
        Reaching { reads, first }
    }
}

/// Registers that hold something before the program writes them.
pub(crate) fn defined_at_start(atom: Atom) -> bool {
    matches!(atom.file(), File::Cr | File::Sr | File::CoreId | File::Cntr | File::Dp | File::Sp)
}

/// The atom with this dense index.
pub(crate) fn atom(i: u16) -> Atom {
    Atom::all().nth(usize::from(i)).expect("indices come from atoms")
}

/// Name of a variable for diagnostics.
pub(crate) fn var_name(asm: &Asm, v: Var) -> String {
    match v {
        Var::Part(VReg(n), part) => format!("part {part} of virtual {} {n}", asm.classes[n as usize]),
        Var::Atom(a) => atom(a).to_string(),
    }
}
