//! Software-pipelined loops: from a modulo schedule to prologue, steady body and epilogue.
//!
//! ```text
//! S stages, trip count n, kernel of u * ii bundles (u = 2 only for ii = 1: bodies of one bundle are not used)
//! n >= S      prologue (S - 1 + peel) * ii | hardware loop, (n - (S - 1) - peel) / u times | epilogue
//! n <  S + 1  everything unrolled, no hardware loop
//! ```
//!
//! Iterations are numbered for the certificate so that after each pass of the kernel the iteration begun last is number 0. Runs of a loop
//! are numbered on end: before the first iteration comes the last one of the run before.

use aie2_isa::Flags;

use crate::check::Mark;
use crate::emit::{Context, Emitted, OutLine};
use crate::error::CodegenError;
use crate::info::{self, Info};
use crate::ir::{OpNo, Step, Trip};
use crate::modulo::{self, Modulo};
use crate::place::Which;
use crate::program::LoopReport;

/// Schedule of one loop and how it is unrolled.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pipe: usize,
    ops: Vec<OpNo>,
    schedule: Modulo,
    stages: i32,
    unroll: i32,
    peel: i32,
    /// Value (constant trip) or addend (register trip) for lc; `None` without a hardware loop.
    pub(crate) loop_count: Option<i64>,
    pub(crate) report: LoopReport,
}

pub(crate) fn plan(cx: &Context<'_>, _region: usize, pipe: usize) -> Result<Plan, CodegenError> {
    let ir = &cx.asm.pipes[pipe];
    let ops: Vec<OpNo> = ir
        .body
        .iter()
        .filter_map(|s| match s {
            Step::Op(n) => Some(*n),
            Step::Undef(_) => None,
        })
        .collect();
    let infos: Vec<&Info> = ops.iter().map(|n| &*cx.ready[n].info).collect();
    let edges = info::edges(&infos, true, &|a| cx.live(a));
    let bounds = modulo::bounds(&infos, &edges);
    let missed = |declared: u32, bound: String| CodegenError::IiMissed {
        name: ir.name.to_string(),
        declared,
        res_mii: bounds.res_mii as u32,
        rec_mii: bounds.rec_mii as u32,
        bound,
    };
    // A hardware loop of one bundle is not used; with a constant trip count it is unrolled, with a register it cannot be.
    let least = if matches!(ir.trip, Trip::Reg { .. }) && ir.ii != Some(1) { 2 } else { 1 };
    let mii = bounds.mii().max(least);
    let limit = ir.ii.map_or_else(|| mii + 64 + 12 * ops.len() as i32, |d| d as i32);
    if mii > limit {
        let bound = if bounds.res_mii >= bounds.rec_mii { bounds.resource } else { bounds.recurrence };
        return Err(missed(limit as u32, bound));
    }
    let mut stuck = 0;
    // A declared interval is what the author wants, not an upper bound: no time is spent on shorter ones. Without one, a quick look at each
    // interval finds a good one; a thorough look at too short ones would cost most of the compile time.
    let (first, attempts) = if ir.ii.is_some() { (limit, modulo::THOROUGH) } else { (mii, modulo::QUICK) };
    let schedule =
        (first..=limit).find_map(|ii| modulo::schedule(&infos, &edges, ii, attempts).map_err(|at| stuck = at).ok());
    let Some(mut schedule) = schedule else {
        let at = infos.get(stuck).map_or_else(String::new, |i| i.insn.to_string());
        return Err(missed(limit as u32, format!("no schedule found; stuck at `{at}`")));
    };
    let ii = schedule.ii;
    rotate(&mut schedule, &infos);
    let stages = schedule.time.iter().map(|t| t / ii + 1).max().unwrap_or(1);
    let unroll = if ii == 1 { 2 } else { 1 };
    let (peel, loop_count) = match ir.trip {
        Trip::Const(n) => {
            let rounds = i64::from(n) - i64::from(stages - 1);
            let peel = if rounds > 0 { rounds % i64::from(unroll) } else { 0 };
            let count = (rounds - peel) / i64::from(unroll);
            // One pass needs no loop hardware: everything is unrolled.
            (peel as i32, (count >= 2).then_some(count))
        }
        Trip::Reg { min, .. } => {
            if unroll > 1 {
                return Err(CodegenError::LoopTooShort { name: ir.name.to_string() });
            }
            if i64::from(min) < i64::from(stages) {
                return Err(CodegenError::TripBelowStages {
                    name: ir.name.to_string(),
                    stages: stages as u32,
                    min_trip: min,
                });
            }
            (0, Some(-i64::from(stages - 1)))
        }
    };
    let is_multiply = |i: &&&Info| ["vmac", "vmul", "vmsc"].iter().any(|m| i.insn.row().mnemonic.starts_with(m));
    let report = LoopReport {
        name: ir.name.to_string(),
        ii_declared: ir.ii,
        ii_reached: ii as u32,
        vmac_per_ii: infos.iter().filter(is_multiply).count() as u32,
        res_mii: bounds.res_mii as u32,
        rec_mii: bounds.rec_mii as u32,
        stages: stages as u32,
        pc: None,
    };
    Ok(Plan { pipe, ops, schedule, stages, unroll, peel, loop_count, report })
}

/// Shifts the whole schedule so that no part-word store issues in the last bundle of the loop body, where it could be lost.
// SOURCE: FIM43-Redeye/xdna-emu, silicon: part-word stores in the last bundle of a short hardware loop were lost on the back edge.
fn rotate(schedule: &mut Modulo, infos: &[&Info]) {
    let part_word = |i: &Info| i.insn.row().flags.contains(Flags::LOAD | Flags::STORE);
    let last = |shift: i32| {
        infos.iter().zip(&schedule.time).any(|(i, t)| part_word(i) && (t + shift) % schedule.ii == schedule.ii - 1)
    };
    let shift = (0..schedule.ii).find(|s| !last(*s)).unwrap_or(0);
    schedule.time.iter_mut().for_each(|t| *t += shift);
}

pub(crate) fn emit(cx: &Context<'_>, region: usize, plan: &Plan) -> Emitted {
    let ir = &cx.asm.pipes[plan.pipe];
    let name = ir.name.to_string();
    if plan.ops.is_empty() {
        return Emitted { name, ..Emitted::default() };
    }
    match (plan.loop_count, ir.trip) {
        (None, Trip::Const(n)) => flat(cx, region, plan, n as i32, name),
        _ => looped(cx, region, plan, name),
    }
}

fn lines(count: i32, place: &str) -> Vec<OutLine> {
    (0..count.max(0)).map(|k| OutLine { place: format!("{place} {k}"), ..OutLine::default() }).collect()
}

/// All `n` iterations unrolled.
fn flat(cx: &Context<'_>, region: usize, plan: &Plan, n: i32, name: String) -> Emitted {
    let ii = plan.schedule.ii;
    let span = plan.schedule.time.iter().copied().max().unwrap_or(0) + 1;
    let mut out = lines((n - 1) * ii + span, &format!("{name} flat"));
    for i in 0..n {
        for (op, t) in plan.ops.iter().zip(&plan.schedule.time) {
            let placed = cx.placed(*op, (i - (n - 1)) as i16, Which::Exactly(i as u32));
            out[(i * ii + t) as usize].ops.push(placed);
        }
    }
    out[0].marks.push(Mark::Enter { region: region as u32, first: (1 - n) as i16, by: n as i16 });
    Emitted { lines: out, name, ..Emitted::default() }
}

/// Prologue, hardware loop, epilogue.
fn looped(cx: &Context<'_>, region: usize, plan: &Plan, name: String) -> Emitted {
    let (ii, stages, unroll, peel) = (plan.schedule.ii, plan.stages, plan.unroll, plan.peel);
    let ramp = stages - 1 + peel;
    let timed = || plan.ops.iter().zip(&plan.schedule.time);

    let mut prologue = lines(ramp * ii, &format!("{name} prologue"));
    for i in 0..ramp {
        for (op, t) in timed().filter(|(_, t)| i * ii + **t < ramp * ii) {
            let placed = cx.placed(*op, (i - ramp + 1) as i16, Which::Exactly(i as u32));
            prologue[(i * ii + t) as usize].ops.push(placed);
        }
    }
    let mut kernel = lines(unroll * ii, &format!("{name} steady"));
    for j in 0..unroll {
        for (op, t) in timed() {
            let s = t / ii;
            let which = Which::AtLeast((ramp + j - s).max(0) as u32);
            let placed = cx.placed(*op, (j - (unroll - 1) - s) as i16, which);
            kernel[(j * ii + t % ii) as usize].ops.push(placed);
        }
    }
    kernel[0].marks.push(Mark::Advance { region: region as u32, by: unroll as i16 });
    let mut epilogue = lines((stages - 1) * ii, &format!("{name} epilogue"));
    for r in 0..stages - 1 {
        // The iteration begun last started ii bundles before the end of the kernel.
        for (op, t) in timed().filter(|(_, t)| **t - (r + 1) * ii >= 0) {
            let i = plan
                .trip_known(&cx.asm.pipes[plan.pipe].trip)
                .map_or(Which::AtLeast(plan.epilogue_floor(r)), |n| Which::Exactly((n - 1 - r) as u32));
            epilogue[(t - (r + 1) * ii) as usize].ops.push(cx.placed(*op, -r as i16, i));
        }
    }
    while epilogue.last().is_some_and(|l| l.ops.is_empty()) {
        epilogue.pop();
    }
    let enter = Mark::Enter { region: region as u32, first: (1 - ramp) as i16, by: ramp as i16 };
    prologue.first_mut().unwrap_or(&mut kernel[0]).marks.insert(0, enter);
    let ir = &cx.asm.pipes[plan.pipe];
    let last = kernel.len() - 1;
    kernel[0].align = true;
    kernel[0].labels.push(ir.head);
    kernel[last].align = true;
    kernel[last].full = true;
    kernel[last].labels.push(ir.last);
    let zol = Some((prologue.len(), prologue.len() + last));
    let all = prologue.into_iter().chain(kernel).chain(epilogue).collect();
    Emitted { lines: all, zol, name, ..Emitted::default() }
}

impl Plan {
    fn trip_known(&self, trip: &Trip) -> Option<i32> {
        match trip {
            Trip::Const(n) => Some(*n as i32),
            Trip::Reg { .. } => None,
        }
    }

    /// Least absolute number of the iteration begun `r` before the last one.
    fn epilogue_floor(&self, r: i32) -> u32 {
        (self.stages - 1 + self.peel + self.unroll - 1 - r).max(0) as u32
    }
}
