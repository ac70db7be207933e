//! Iterative modulo scheduling (B. R. Rau, "Iterative Modulo Scheduling", 1994) on physical registers.
//!
//! ```text
//! t(b) >= t(a) + latency - ii * iterations      for every dependence, also WAR and WAW across iterations
//! no two operations share a slot, unit or bank in a cycle modulo ii
//! ```
//!
//! Anti-dependences count from the landing of a result (`latency` = U - D + ..., often negative): a register is occupied from the landing
//! of a value to its last read, and the load of the next iteration may be in flight while the old value is still read. That is what lets
//! loops run at their resource bound without renaming.

use crate::info::{Edge, Info, ROWS, Table, clash, occupied, row_name};

/// A modulo schedule.
#[derive(Debug, Clone)]
pub(crate) struct Modulo {
    pub(crate) ii: i32,
    /// Issue time inside one iteration, least 0.
    pub(crate) time: Vec<i32>,
}

/// Lower bounds on the initiation interval.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) res_mii: i32,
    pub(crate) rec_mii: i32,
    pub(crate) resource: String,
    pub(crate) recurrence: String,
}

impl Bounds {
    pub(crate) fn mii(&self) -> i32 {
        self.res_mii.max(self.rec_mii)
    }
}

pub(crate) fn bounds(ops: &[&Info], edges: &[Edge]) -> Bounds {
    let mut best = (1, "nothing".to_owned());
    for slot in aie2_isa::Slot::ALL {
        let uses = ops.iter().filter(|o| crate::info::slots_clash(o.slot, slot)).count() as i32;
        // `lng` takes the room of two slots, which do not exclude each other.
        if slot != aie2_isa::Slot::Lng && uses > best.0 {
            best = (uses, format!("slot {slot}"));
        }
    }
    let mut rows = [(0i32, 0i32); ROWS];
    for (row, _, reserve) in ops.iter().flat_map(|o| occupied(o)) {
        if reserve { rows[row].1 = 1 } else { rows[row].0 += 1 }
    }
    for (row, (uses, reserved)) in rows.iter().enumerate() {
        let need = if *uses > 0 { uses + reserved } else { 0 };
        if need > best.0 {
            best = (need, row_name(row));
        }
    }
    let mut rec_mii = 1;
    let mut recurrence = String::new();
    while let Some(on) = positive_cycle(ops.len(), edges, rec_mii) {
        recurrence = format!("recurrence through `{}`", ops[on].insn);
        rec_mii += 1;
    }
    Bounds { res_mii: best.0, rec_mii, resource: best.1, recurrence }
}

/// A node on a dependence cycle that needs more than `ii` per iteration.
fn positive_cycle(n: usize, edges: &[Edge], ii: i32) -> Option<usize> {
    let mut dist = vec![0i32; n];
    for _ in 0..=n {
        let mut changed = None;
        for e in edges {
            let d = dist[e.from] + e.latency - ii * e.iterations;
            if d > dist[e.to] {
                dist[e.to] = d;
                changed = Some(e.to);
            }
        }
        changed?;
    }
    edges.iter().find(|e| dist[e.from] + e.latency - ii * e.iterations > dist[e.to]).map(|e| e.to)
}

/// Longest latency path from each operation to any other.
fn heights(n: usize, edges: &[Edge], ii: i32) -> Vec<i32> {
    let mut h = vec![0i32; n];
    for _ in 0..=n {
        let mut changed = false;
        for e in edges {
            let d = h[e.to] + e.latency - ii * e.iterations;
            if d > h[e.from] {
                h[e.from] = d;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    h
}

/// Attempts with differently perturbed priorities.
pub(crate) const THOROUGH: u64 = 64;
/// The same where a longer interval will do.
pub(crate) const QUICK: u64 = 3;

/// A schedule at exactly this `ii`, or the operation at which the last attempt ran out of budget.
pub(crate) fn schedule(ops: &[&Info], edges: &[Edge], ii: i32, attempts: u64) -> Result<Modulo, usize> {
    let n = ops.len();
    let base = heights(n, edges, ii);
    let mut stuck = 0;
    for attempt in 0..attempts {
        // 0: heights, program order between equals. 1: program order. Others: heights disturbed by a few cycles.
        let mut noise = attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let priority: Vec<(i32, usize)> = (0..n)
            .map(|i| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                let h = match attempt {
                    0 => base[i],
                    1 => -(i as i32),
                    _ => base[i] + (noise % (2 + attempt / 4)) as i32,
                };
                (-h, i)
            })
            .collect();
        match attempt_once(ops, edges, ii, &priority) {
            Ok(time) => return Ok(Modulo { ii, time }),
            Err(at) => stuck = at,
        }
    }
    Err(stuck)
}

fn attempt_once(ops: &[&Info], edges: &[Edge], ii: i32, priority: &[(i32, usize)]) -> Result<Vec<i32>, usize> {
    let n = ops.len();
    let mut into: Vec<Vec<&Edge>> = vec![Vec::new(); n];
    let mut out: Vec<Vec<&Edge>> = vec![Vec::new(); n];
    for e in edges {
        if e.from == e.to {
            continue;
        }
        into[e.to].push(e);
        out[e.from].push(e);
    }
    let mut table = Table::new(Some(ii));
    let mut time: Vec<Option<i32>> = vec![None; n];
    let mut last: Vec<Option<i32>> = vec![None; n];
    let mut open: std::collections::BTreeSet<(i32, usize)> = priority.iter().copied().collect();
    let mut budget = 12 * n + 64;
    while let Some((p, i)) = open.pop_first() {
        if budget == 0 {
            return Err(i);
        }
        budget -= 1;
        let lower = into[i].iter().filter_map(|e| time[e.from].map(|t| t + e.latency - ii * e.iterations)).max();
        let upper = out[i].iter().filter_map(|e| time[e.to].map(|t| t - e.latency + ii * e.iterations)).min();
        // With only successors placed, search downward from them.
        let found = match (lower, upper) {
            (Some(lo), hi) => (lo..lo + ii).take_while(|t| hi.is_none_or(|h| *t <= h)).find(|t| table.fits(ops[i], *t)),
            (None, Some(hi)) => (hi - ii + 1..=hi).rev().find(|t| table.fits(ops[i], *t)),
            (None, None) => (0..ii).find(|t| table.fits(ops[i], *t)),
        };
        let t = found.unwrap_or_else(|| {
            let lo = lower.or(upper.map(|h| h - ii + 1)).unwrap_or(0);
            last[i].map_or(lo, |l| lo.max(l + 1))
        });
        if found.is_none() {
            // Forced: whoever is in the way is placed again later.
            for j in 0..n {
                if let Some(tj) = time[j]
                    && (clash(ops[j], ops[i], t - tj, Some(ii)))
                {
                    evict(&mut table, ops, &mut time, &mut open, priority, j);
                }
            }
        }
        for e in &out[i] {
            if time[e.to].is_some_and(|tj| tj < t + e.latency - ii * e.iterations) {
                evict(&mut table, ops, &mut time, &mut open, priority, e.to);
            }
        }
        for e in &into[i] {
            if time[e.from].is_some_and(|tj| t < tj + e.latency - ii * e.iterations) {
                evict(&mut table, ops, &mut time, &mut open, priority, e.from);
            }
        }
        if !table.fits(ops[i], t) {
            // An instruction that clashes with itself modulo ii can never be placed.
            return Err(i);
        }
        table.place(ops[i], t);
        time[i] = Some(t);
        last[i] = Some(t);
        debug_assert_eq!(priority[i], (p, i));
    }
    let time: Vec<i32> = time.into_iter().map(|t| t.expect("every operation was placed")).collect();
    let least = time.iter().copied().min().unwrap_or(0);
    Ok(time.iter().map(|t| t - least).collect())
}

fn evict(
    table: &mut Table,
    ops: &[&Info],
    time: &mut [Option<i32>],
    open: &mut std::collections::BTreeSet<(i32, usize)>,
    priority: &[(i32, usize)],
    j: usize,
) {
    if let Some(t) = time[j].take() {
        table.remove(ops[j], t);
        open.insert(priority[j]);
    }
}
