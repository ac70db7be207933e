//! The compiler driver: regions of the IR become lines of the program, then bytes, then the checker has the last word.
//!
//! ```text
//! Asm -> flow -> alloc -> place -> pipeline / list / raw, region by region -> layout -> check -> Program
//! ```
//!
//! Between regions, in-flight instructions of every predecessor already emitted bound the schedule of a block; code with fixed issue times
//! (pipelined loops, raw pieces) gets empty bundles in front instead. A branch to a region already emitted waits until what the block
//! leaves in flight suits the first bundles there.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use aie2_isa::Atom;

use crate::alloc::{self, Assignment};
use crate::asm::Asm;
use crate::check::{Certificate, Mark, RegionNote};
use crate::error::CodegenError;
use crate::flow::{Flow, Kind, Reaching, VarIndex};
use crate::info::{self, HORIZON, Info};
use crate::ir::{OpNo, RawIr, Step};
use crate::layout::{self, Outcome};
use crate::list;
use crate::operand::Label;
use crate::pipeline;
use crate::place::{self, Homes, Placed, Ready, Which};
use crate::program::{LoopReport, Program};

/// One bundle before layout.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutLine {
    pub(crate) ops: Vec<Placed>,
    pub(crate) marks: Vec<Mark>,
    /// Must start at a multiple of 16.
    pub(crate) align: bool,
    /// Must take 16 bytes.
    pub(crate) full: bool,
    pub(crate) labels: Vec<Label>,
    pub(crate) place: String,
}

/// Bundles of one region.
#[derive(Debug, Clone, Default)]
pub(crate) struct Emitted {
    pub(crate) lines: Vec<OutLine>,
    /// Hardware loop inside: first and last line, and whether bundles may be put in front of the region.
    pub(crate) zol: Option<(usize, usize)>,
    /// Code with fixed issue times: nothing may be inserted between two such regions.
    pub(crate) raw: bool,
    pub(crate) name: String,
}

/// Everything the region emitters share.
pub(crate) struct Context<'a> {
    pub(crate) asm: &'a Asm,
    pub(crate) flow: &'a Flow,
    pub(crate) homes: Homes,
    pub(crate) ready: HashMap<OpNo, Ready>,
    /// Atoms somebody reads.
    live: BTreeSet<Atom>,
    done: Vec<Option<Emitted>>,
}

impl Context<'_> {
    pub(crate) fn live(&self, atom: Atom) -> bool {
        self.live.contains(&atom)
    }

    pub(crate) fn placed(&self, n: OpNo, iteration: i16, which: Which) -> Placed {
        let ready = &self.ready[&n];
        Placed {
            info: ready.info.clone(),
            op: n,
            seq: self.homes.seq[&n],
            iteration,
            label: ready.label,
            sources: place::sources(ready, n, iteration, which, self.flow, &self.homes, &|r| r as u32),
        }
    }

    /// Instructions that may be in flight when region `r` begins, with their bundle relative to it (negative).
    fn before(&self, r: usize) -> Vec<(Rc<Info>, i32)> {
        let mut out = Vec::new();
        self.walk_back(r, 0, &mut out, &mut Vec::new());
        out
    }

    fn walk_back(&self, r: usize, at: i32, out: &mut Vec<(Rc<Info>, i32)>, path: &mut Vec<usize>) {
        for &p in &self.flow.regions[r].pred {
            let Some(e) = &self.done[p] else { continue };
            // Regions without bundles do not advance time: stop when one repeats at the same place.
            if path.contains(&p) && e.lines.is_empty() {
                continue;
            }
            self.tail(p, e, at, out, path);
        }
    }

    fn tail(&self, p: usize, e: &Emitted, at: i32, out: &mut Vec<(Rc<Info>, i32)>, path: &mut Vec<usize>) {
        let lines = unrolled_tail(e);
        for (k, line) in lines.iter().rev().enumerate() {
            let t = at - 1 - k as i32;
            if t < -HORIZON {
                return;
            }
            out.extend(line.ops.iter().map(|op| (op.info.clone(), t)));
        }
        let left = at - lines.len() as i32;
        if left > -HORIZON && path.len() < 2 * HORIZON as usize {
            path.push(p);
            self.walk_back(p, left, out, path);
            path.pop();
        }
    }

    /// Instructions at the start of region `r`, following control flow through emitted regions (and `current`).
    fn after(&self, r: usize, current: Option<(usize, &Emitted)>) -> Vec<(Rc<Info>, i32)> {
        let mut out = Vec::new();
        self.walk_on(r, 0, current, &mut out, 0);
        out
    }

    fn walk_on(
        &self,
        r: usize,
        at: i32,
        current: Option<(usize, &Emitted)>,
        out: &mut Vec<(Rc<Info>, i32)>,
        depth: usize,
    ) {
        let e = match (&self.done[r], current) {
            (Some(e), _) => e,
            (None, Some((c, e))) if c == r => e,
            _ => return,
        };
        for (k, line) in e.lines.iter().enumerate() {
            let t = at + k as i32;
            if t > HORIZON {
                return;
            }
            out.extend(line.ops.iter().map(|op| (op.info.clone(), t)));
        }
        let next = at + e.lines.len() as i32;
        if next <= HORIZON && depth < 2 * HORIZON as usize {
            for &s in &self.flow.regions[r].succ {
                self.walk_on(s, next, current, out, depth + 1);
            }
        }
    }
}

/// The last bundles of a region as they may execute, hardware loops repeated often enough.
fn unrolled_tail(e: &Emitted) -> Vec<&OutLine> {
    let Some((first, last)) = e.zol else { return e.lines.iter().collect() };
    let body = &e.lines[first..=last];
    let repeats = HORIZON as usize / body.len() + 1;
    e.lines[..first].iter().chain(std::iter::repeat_n(body, repeats).flatten()).chain(&e.lines[last + 1..]).collect()
}

/// Empty bundles needed between two pieces, at least `least`, so that every distance and every unit fits.
fn gap(before: &[(Rc<Info>, i32)], after: &[(Rc<Info>, i32)], least: i32) -> i32 {
    let mut g = least;
    for (a, ta) in before {
        for (b, tb) in after {
            if let Some(d) = info::distance(a, b) {
                g = g.max(ta + d - tb);
            }
        }
    }
    while before
        .iter()
        .any(|(a, ta)| after.iter().any(|(b, tb)| tb + g - ta > 0 && info::clash(a, b, tb + g - ta, None)))
    {
        g += 1;
    }
    g
}

pub(crate) fn compile(asm: Asm) -> Result<Program, CodegenError> {
    let flow = Flow::build(&asm)?;
    let index = VarIndex::build(&flow);
    let reaching = Reaching::build(&flow, &index);
    place::refuse_undefined(&asm, &flow, &reaching)?;
    let regs = alloc::assign(&asm, &flow, &index)?;
    let homes = Homes::build(&flow);
    let mut cx =
        Context { asm: &asm, flow: &flow, homes, ready: HashMap::new(), live: BTreeSet::new(), done: Vec::new() };
    make_ready(&mut cx, &regs, &reaching)?;

    // Pipelined loops first: their number of stages decides the loop set-up in the blocks before them.
    let mut loops: Vec<LoopReport> = Vec::new();
    let mut plans = HashMap::new();
    let mut trips: HashMap<usize, Option<i64>> = HashMap::new();
    for (r, region) in flow.regions.iter().enumerate() {
        if let Kind::Pipe(p) = region.kind {
            let plan = pipeline::plan(&cx, r, p)?;
            trips.insert(p, plan.loop_count);
            loops.push(plan.report.clone());
            plans.insert(r, plan);
        }
    }
    let mut dropped: BTreeSet<OpNo> = BTreeSet::new();
    for (n, op) in asm.ops.iter().enumerate() {
        let n = n as OpNo;
        if let (Some(fix), Some(ready)) = (op.trip, cx.ready.get_mut(&n)) {
            match trips.get(&fix.pipe) {
                Some(Some(count)) if op.label().is_none() => {
                    let insn = place::instruction(&asm, n, &regs, Some(*count))?;
                    ready.info = Rc::new(Info::new(insn, op.mem, op.guards.clone()));
                }
                Some(Some(_)) => {}
                _ => {
                    dropped.insert(n);
                }
            }
        }
    }

    // Loops that turn out too close to their set-up get more bundles in front, and everything behind them is scheduled again.
    let mut pads = vec![0; flow.regions.len()];
    loop {
        let mut reports = loops.clone();
        let regions = regions(&mut cx, &plans, &dropped, &pads, &mut reports)?;
        match layout::finish(&asm, &flow, regions, certificate(&cx, &dropped), reports)? {
            Outcome::Done(program) => return Ok(*program),
            Outcome::Pad { region, bundles } => pads[region] += bundles,
        }
    }
}

/// Schedules all regions in order.
fn regions(
    cx: &mut Context<'_>,
    plans: &HashMap<usize, pipeline::Plan>,
    dropped: &BTreeSet<OpNo>,
    pads: &[i32],
    loops: &mut Vec<LoopReport>,
) -> Result<Vec<Emitted>, CodegenError> {
    let flow = cx.flow;
    cx.done = vec![None; flow.regions.len()];
    for (r, region) in flow.regions.iter().enumerate() {
        let emitted = match &region.kind {
            Kind::Block(steps) => block(cx, r, steps, dropped),
            Kind::Pipe(_) => {
                let mut e = pipeline::emit(cx, r, &plans[&r]);
                pad_front(cx, r, &mut e, pads[r]);
                e
            }
            Kind::Raw(raw) => raw_region(cx, r, raw, pads[r], loops)?,
        };
        cx.done[r] = Some(emitted);
    }
    Ok(std::mem::take(&mut cx.done).into_iter().flatten().collect())
}

fn make_ready(cx: &mut Context<'_>, regs: &Assignment, reaching: &Reaching) -> Result<(), CodegenError> {
    for (k, p) in cx.flow.points.iter().enumerate() {
        if let crate::flow::What::Op(n) = p.what {
            let ready = place::ready(cx.asm, n, regs, &reaching.reads[k], &reaching.first[k])?;
            cx.live.extend(ready.info.uses.iter().map(|u| u.atom));
            cx.ready.insert(n, ready);
        }
    }
    for r in &cx.flow.regions {
        if let Kind::Raw(raw) = &r.kind {
            let ops = raw.lines.iter().flat_map(|l| &l.ops);
            cx.live.extend(ops.flat_map(|o| o.insn.timing().uses().to_vec()).flat_map(|u| u.reg.atoms().to_vec()));
        }
    }
    // Written values nobody reads still must not be reordered where the loop hardware is the reader.
    cx.live.extend(Atom::all().filter(|a| a.file() != aie2_isa::File::Sr));
    Ok(())
}

/// One straight block, with its branch and delay slots.
fn block(cx: &Context<'_>, r: usize, steps: &[Step], dropped: &BTreeSet<OpNo>) -> Emitted {
    let name = format!("block {r}");
    let ops: Vec<OpNo> = steps
        .iter()
        .filter_map(|s| match s {
            Step::Op(n) if !dropped.contains(n) => Some(*n),
            _ => None,
        })
        .collect();
    let (branch, body) = match ops.split_last() {
        Some((last, rest)) if cx.asm.ops[*last as usize].is_branch() => (Some(*last), rest),
        _ => (None, &ops[..]),
    };
    let infos: Vec<&Info> = body.iter().map(|n| &*cx.ready[n].info).collect();
    let before = cx.before(r);
    let in_flight: Vec<list::InFlight<'_>> = before.iter().map(|(i, t)| (&**i, *t)).collect();
    let edges = info::edges(&infos, false, &|a| cx.live(a));
    let (time, length, table) = list::schedule(&infos, &edges, &in_flight);

    let mut lines: Vec<OutLine> = vec![OutLine::default(); length as usize];
    for (n, t) in body.iter().zip(&time) {
        lines[*t as usize].ops.push(cx.placed(*n, 0, Which::Plain));
    }
    if let Some(b) = branch {
        let info = &cx.ready[&b].info;
        let own = infos.iter().copied().zip(time.iter().copied());
        let earliest =
            own.chain(in_flight.iter().copied()).filter_map(|(a, t)| info::distance(a, info).map(|d| t + d)).max();
        let slots = i32::from(info.insn.row().delay_slots);
        let mut t = earliest.unwrap_or(0).max(0);
        let mut end = length;
        // Targets emitted before: what this block leaves in flight must suit them. The block itself may be the target.
        loop {
            t = t.max(end - slots - 1);
            while !table.fits(info, t) {
                t += 1;
            }
            let total = (t + slots + 1).max(length);
            let mut trial = Emitted { lines: lines.clone(), ..Emitted::default() };
            trial.lines.resize_with(total as usize, OutLine::default);
            trial.lines[t as usize].ops.push(cx.placed(b, 0, Which::Plain));
            let mut leaving: Vec<(Rc<Info>, i32)> = Vec::new();
            cx.tail(r, &trial, 0, &mut leaving, &mut Vec::new());
            let succ = &cx.flow.regions[r].succ;
            let targets = succ.iter().filter(|s| cx.done[**s].is_some() || **s == r);
            let g = targets.map(|s| gap(&leaving, &cx.after(*s, Some((r, &trial))), 0)).max().unwrap_or(0);
            if g == 0 {
                lines = trial.lines;
                break;
            }
            end = total + g;
        }
    }
    if let Some(first) = lines.first_mut() {
        first.marks.push(Mark::Enter { region: r as u32, first: 0, by: 1 });
    }
    for (k, line) in lines.iter_mut().enumerate() {
        line.place = format!("{name} {k}");
    }
    let mut e = Emitted { lines, name, ..Emitted::default() };
    head_labels(cx, r, &mut e);
    e
}

/// Puts the labels of a region on its first bundle; branch targets are aligned.
fn head_labels(cx: &Context<'_>, r: usize, e: &mut Emitted) {
    if let (Some(first), false) = (e.lines.first_mut(), cx.flow.regions[r].labels.is_empty()) {
        first.labels.extend(cx.flow.regions[r].labels.iter().copied());
        first.align = true;
    }
}

/// Puts empty bundles in front of code with fixed issue times.
fn pad_front(cx: &Context<'_>, r: usize, e: &mut Emitted, least: i32) {
    let before = cx.before(r);
    let head: Vec<(Rc<Info>, i32)> = unrolled_head(e)
        .iter()
        .enumerate()
        .take(HORIZON as usize)
        .flat_map(|(k, l)| l.ops.iter().map(move |op| (op.info.clone(), k as i32)))
        .collect();
    let g = gap(&before, &head, least);
    let pad = (0..g).map(|k| OutLine { place: format!("{} wait {k}", e.name), ..OutLine::default() });
    e.lines.splice(0..0, pad);
    if let Some((a, b)) = &mut e.zol {
        *a += g as usize;
        *b += g as usize;
    }
    head_labels(cx, r, e);
}

fn unrolled_head(e: &Emitted) -> Vec<&OutLine> {
    match e.zol {
        None => e.lines.iter().collect(),
        Some((first, last)) => {
            let body = &e.lines[first..=last];
            let repeats = HORIZON as usize / body.len() + 1;
            e.lines[..first]
                .iter()
                .chain(std::iter::repeat_n(body, repeats).flatten())
                .chain(&e.lines[last + 1..])
                .collect()
        }
    }
}

/// A raw piece: issue times are the author's.
fn raw_region(
    cx: &Context<'_>,
    r: usize,
    raw: &RawIr,
    least: i32,
    loops: &mut Vec<LoopReport>,
) -> Result<Emitted, CodegenError> {
    let regions = RawRegions::build(cx.flow);
    let mut lines = Vec::with_capacity(raw.lines.len());
    for (k, l) in raw.lines.iter().enumerate() {
        let mut line = OutLine { place: format!("{} {k}", raw.name), ..OutLine::default() };
        line.marks.extend(l.advance.map(|uid| Mark::Advance { region: regions.timed(uid), by: 1 }));
        for op in &l.ops {
            let region = regions.of_op(op.op);
            line.ops.push(Placed {
                info: Rc::new(Info::new(op.insn, op.mem, op.guards.clone())),
                op: op.op,
                seq: op.seq,
                iteration: op.offset,
                label: op.label,
                sources: place::raw_sources(op, region),
            });
        }
        lines.push(line);
    }
    let mut e = Emitted { lines, zol: None, raw: true, name: raw.name.to_string() };
    if let (Some((first, last)), false) = (raw.zol, e.lines.is_empty()) {
        let end = e.lines.len() - 1;
        e.zol = Some((0, end));
        e.lines[0].align = true;
        e.lines[0].labels.push(first);
        e.lines[end].align = true;
        e.lines[end].full = true;
        e.lines[end].labels.push(last);
        loops.push(LoopReport {
            name: raw.name.to_string(),
            ii_declared: None,
            ii_reached: e.lines.len() as u32,
            vmac_per_ii: raw.vmacs,
            res_mii: 0,
            rec_mii: 0,
            stages: 0,
            pc: None,
        });
    }
    // Between pieces with fixed issue times the author has decided, also across a branch.
    let pred = &cx.flow.regions[r].pred;
    let follows_raw = !pred.is_empty() && pred.iter().all(|p| matches!(cx.flow.regions[*p].kind, Kind::Raw(_)));
    if follows_raw {
        head_labels(cx, r, &mut e);
    } else {
        pad_front(cx, r, &mut e, least);
    }
    Ok(e)
}

/// Certificate regions of raw operations: one per timed loop, one for loose operations, numbered behind the regions of the flow graph.
pub(crate) struct RawRegions {
    base: u32,
    uids: Vec<u32>,
    home: HashMap<OpNo, u32>,
}

impl RawRegions {
    pub(crate) fn build(flow: &Flow) -> RawRegions {
        let mut out = RawRegions { base: flow.regions.len() as u32, uids: Vec::new(), home: HashMap::new() };
        for r in &flow.regions {
            let Kind::Raw(raw) = &r.kind else { continue };
            for line in &raw.lines {
                for op in &line.ops {
                    if let Some(uid) = op.timed {
                        if !out.uids.contains(&uid) {
                            out.uids.push(uid);
                        }
                        let region = out.timed(uid);
                        out.home.insert(op.op, region);
                    }
                }
                if let Some(uid) = line.advance
                    && !out.uids.contains(&uid)
                {
                    out.uids.push(uid);
                }
            }
        }
        out
    }

    fn timed(&self, uid: u32) -> u32 {
        self.base + 1 + self.uids.iter().position(|u| *u == uid).unwrap_or(0) as u32
    }

    fn of_op(&self, op: OpNo) -> u32 {
        self.home.get(&op).copied().unwrap_or(self.base)
    }
}

fn certificate(cx: &Context<'_>, dropped: &BTreeSet<OpNo>) -> Certificate {
    let raw = RawRegions::build(cx.flow);
    let mut regions: Vec<RegionNote> = cx
        .flow
        .regions
        .iter()
        .enumerate()
        .map(|(i, r)| {
            let ops: Vec<OpNo> = cx.flow.points[r.start..r.end]
                .iter()
                .filter_map(|p| match p.what {
                    crate::flow::What::Op(n) if !dropped.contains(&n) => Some(n),
                    _ => None,
                })
                .collect();
            let name = match &r.kind {
                Kind::Block(_) => format!("block {i}"),
                Kind::Pipe(p) => cx.asm.pipes[*p].name.to_string(),
                Kind::Raw(raw) => raw.name.to_string(),
            };
            RegionNote { name, members: ops.clone(), ops }
        })
        .collect();
    regions.push(RegionNote { name: "loose".to_owned(), ..RegionNote::default() });
    regions.extend(raw.uids.iter().map(|_| RegionNote { name: "timed".to_owned(), ..RegionNote::default() }));
    for r in &cx.flow.regions {
        if let Kind::Raw(ir) = &r.kind {
            for op in ir.lines.iter().flat_map(|l| &l.ops) {
                regions[raw.of_op(op.op) as usize].members.push(op.op);
            }
        }
    }
    for r in &mut regions {
        r.members.sort_unstable();
        r.members.dedup();
    }
    Certificate {
        regions,
        live_in: cx.asm.live_in.iter().flat_map(|r| r.atoms()).copied().collect(),
        text: cx.asm.ops.iter().enumerate().map(|(n, op)| (n as OpNo, op.text.to_string())).collect(),
        ..Certificate::default()
    }
}
