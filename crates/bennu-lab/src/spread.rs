//! How far a modelled figure moves when the uncertain timing numbers move through their ranges, and whether any result moves with them.
//!
//! ```text
//! one run per number and end of its range ─► what the figure depends on
//! one run with every number at its fast end, one at its slow end ─► spread
//! ```
//! Outputs of all runs must be the same bytes: timing decides when things happen, never what comes out. A difference is a race of the
//! kernel, a fault is one the default timing hides.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use aie2_sim::timing::{Part, Row};
use aie2_sim::{Config, Timing};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use npu_package::Direction;
use npu_package::Kernel;
use serde::Serialize;

use crate::case::Case;
use crate::machine::{Binary, Loaded};

/// One run under moved timing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Value of the number that was moved.
    pub at: u64,
    /// Cycles; `None`: the run faulted.
    pub cycles: Option<u64>,
    /// Cycles more than with the table's values.
    pub delta: Option<i64>,
    /// Whether the outputs are the same bytes.
    pub same_outputs: bool,
    /// What the simulator said if it faulted.
    pub fault: Option<String>,
}

/// A number and what moving it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Name in the table.
    pub name: &'static str,
    /// Value in the table.
    pub value: u64,
    /// Unit.
    pub unit: &'static str,
    /// Trust.
    pub confidence: String,
    /// A run at each end of its range.
    pub runs: Vec<Run>,
}

impl Moved {
    /// Largest change of the figure.
    pub fn reach(&self) -> u64 {
        self.runs.iter().filter_map(|r| r.delta).map(i64::unsigned_abs).max().unwrap_or(0)
    }
}

/// What a figure depends on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Cycles with the table's values.
    pub cycles: u64,
    /// Numbers with a range, the strongest first.
    pub parameters: Vec<Moved>,
    /// Consulted numbers without a range.
    pub exact: Vec<&'static str>,
    /// Numbers that nothing in the run consults.
    pub not_consulted: Vec<&'static str>,
    /// Every number at its fast end; the fewest cycles of a single run if that is less.
    pub fewest: u64,
    /// Every number at its slow end; the most cycles of a single run if that is more.
    pub most: u64,
    /// Whether no run faulted and all gave the same outputs.
    pub same_outputs: bool,
    /// Runs made.
    pub runs: usize,
    /// Seconds on this host.
    pub wall_s: f64,
}

/// Outputs and cycles of a run under a timing table.
pub type Simulate<'a> = dyn Fn(&Timing) -> Result<(u64, Vec<u8>)> + Sync + 'a;

/// Simulates a kernel on a case.
pub fn simulate(binary: &Binary, outputs: &[String], case: &Case, timing: &Timing) -> Result<(u64, Vec<u8>)> {
    let mut loaded = Loaded::with(binary, Config { timing: timing.clone(), threads: 1, ..Config::default() })?;
    case.write_to(&mut loaded)?;
    let cycles = loaded.run()?.report.cycles;
    let bytes = outputs.iter().map(|name| loaded.read(name)).collect::<Result<Vec<_>>>()?;
    Ok((cycles, bytes.concat()))
}

/// Names of a kernel's outputs.
pub fn outputs(kernel: &Kernel) -> Vec<String> {
    kernel.args.iter().filter(|a| a.direction == Direction::Out).map(|a| a.name.clone()).collect()
}

/// Moves every number that `consulted` lets through; `bar`: show progress on stderr.
pub fn measure(simulate: &Simulate<'_>, consulted: impl Fn(Part) -> bool, bar: bool) -> Result<Spread> {
    let start = Instant::now();
    let table = Timing::default();
    let (cycles, reference) = simulate(&table).context("with the table's values")?;
    let rows = table.rows();
    // The clock turns cycles into time and moves none of them.
    let (taking_part, idle): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|r| consulted(r.part));
    let free = |r: &&&Row| r.follows().is_none();
    let jobs: Vec<(&Row, u64, Timing)> = taking_part
        .iter()
        .filter(free)
        .flat_map(|row| row.extremes().map(|at| (*row, at)))
        .map(|(row, at)| Ok((row, at, table.with(row.name, at).with_context(|| format!("{} = {at}", row.name))?)))
        .collect::<Result<_>>()?;
    let progress = if bar { ProgressBar::new(jobs.len() as u64 + 2) } else { ProgressBar::hidden() };
    // PANIC: the template is a constant of this line.
    progress.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} runs  {eta}").expect("template is valid"));
    let attempt = |at: u64, timing: &Timing| {
        let run = match simulate(timing) {
            Ok((c, bytes)) => Run {
                at,
                cycles: Some(c),
                delta: Some(c as i64 - cycles as i64),
                same_outputs: bytes == reference,
                fault: None,
            },
            Err(error) => Run { at, cycles: None, delta: None, same_outputs: false, fault: Some(format!("{error:#}")) },
        };
        progress.inc(1);
        run
    };
    let single = side_by_side(jobs.len(), |i| attempt(jobs[i].1, &jobs[i].2));

    let mut parameters: Vec<Moved> = Vec::new();
    for ((row, ..), run) in jobs.iter().zip(&single) {
        match parameters.last_mut().filter(|m| m.name == row.name) {
            Some(moved) => moved.runs.push(run.clone()),
            None => parameters.push(Moved {
                name: row.name,
                value: row.value,
                unit: row.unit,
                confidence: format!("{:?}", row.confidence),
                runs: vec![run.clone()],
            }),
        }
    }
    let together = |better: fn(i64) -> i64| -> Result<Timing> {
        let mut timing = table.clone();
        for moved in &parameters {
            let best = moved.runs.iter().filter_map(|r| Some((better(r.delta?), r.at))).filter(|(d, _)| *d < 0).min();
            if let Some((_, at)) = best {
                timing = timing.with(moved.name, at).with_context(|| format!("{} = {at}", moved.name))?;
            }
        }
        Ok(timing)
    };
    let ends = [together(|delta| delta)?, together(|delta| -delta)?];
    let ends = side_by_side(ends.len(), |i| attempt(0, &ends[i]));
    progress.finish_and_clear();
    let seen = || single.iter().chain(&ends).filter_map(|r| r.cycles).chain([cycles]);
    parameters.sort_by_key(|m| (std::cmp::Reverse(m.reach()), m.name));
    Ok(Spread {
        cycles,
        parameters,
        exact: taking_part.iter().filter(|r| r.low == r.high).map(|r| r.name).collect(),
        not_consulted: idle.iter().filter(|r| r.part != Part::Clock).map(|r| r.name).collect(),
        fewest: seen().min().unwrap_or(cycles),
        most: seen().max().unwrap_or(cycles),
        same_outputs: single.iter().chain(&ends).all(|r| r.same_outputs),
        runs: single.len() + ends.len() + 1,
        wall_s: start.elapsed().as_secs_f64(),
    })
}

/// `n` results, as many at a time as this host has cores.
fn side_by_side<T: Send>(n: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n {
                return;
            }
            let result = job(i);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n);
    thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Spread {
    /// For people.
    pub fn table(&self) -> String {
        let percent = |c: u64| (c as f64 / self.cycles as f64 - 1.0) * 1e2;
        let (fewest, most) = (self.fewest, self.most);
        let mut text = String::new();
        let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<47} {value}\n"));
        line(
            "array cycles, uncertain numbers fast .. slow",
            format!("{fewest} .. {most} ({:+.2} % .. {:+.2} %)", percent(fewest), percent(most)),
        );
        let same = if self.same_outputs { "yes" } else { "NO: the kernel races or faults, see below" };
        line("same outputs in all runs", format!("{same} ({} runs, {:.0} s)", self.runs, self.wall_s));
        for m in self.parameters.iter().filter(|m| m.reach() > 0 || m.runs.iter().any(|r| !r.same_outputs)) {
            let runs: Vec<String> = m.runs.iter().map(run_text).collect();
            let name = format!("  {} = {} {} ({})", m.name, m.value, m.unit, m.confidence);
            line(&name, runs.join(", "));
        }
        let without: Vec<&str> = self.parameters.iter().filter(|m| m.reach() == 0).map(|m| m.name).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        line("moved without effect", list(&without));
        line("taken as exact", list(&self.exact));
        line("not consulted", list(&self.not_consulted));
        text
    }
}

fn run_text(run: &Run) -> String {
    match (&run.fault, run.delta) {
        (Some(fault), _) => format!("at {} FAULT: {fault}", run.at),
        (None, delta) => {
            let other = if run.same_outputs { "" } else { " OTHER OUTPUTS" };
            format!("at {} {:+}{other}", run.at, delta.unwrap_or(0))
        }
    }
}
