//! List scheduling of straight code.
//!
//! Operations are placed one by one: among those whose predecessors are all placed, the one with the longest latency path to the end of the
//! block goes first, into the earliest bundle that satisfies its dependences and has its slot, units and bank free. Instructions that
//! issued before the block and are still in flight enter as bounds and as occupied units.

use crate::info::{Edge, Info, Table, distance};

/// An instruction issued before the block: (info, bundle relative to the block's first, negative).
pub(crate) type InFlight<'a> = (&'a Info, i32);

/// Issue bundle of every operation, and the number of bundles up to the last one.
pub(crate) fn schedule(ops: &[&Info], edges: &[Edge], before: &[InFlight<'_>]) -> (Vec<i32>, i32, Table) {
    let n = ops.len();
    let mut table = Table::new(None);
    before.iter().for_each(|(info, t)| table.place_units(info, *t));
    let mut earliest: Vec<i32> = ops
        .iter()
        .map(|b| before.iter().filter_map(|(a, t)| distance(a, b).map(|d| t + d)).max().unwrap_or(0).max(0))
        .collect();
    let mut succ: Vec<Vec<(usize, i32)>> = vec![Vec::new(); n];
    let mut waiting = vec![0usize; n];
    for e in edges {
        succ[e.from].push((e.to, e.latency));
        waiting[e.to] += 1;
    }
    // Program order is topological: a plain backward sweep gives the heights.
    let mut height = vec![0i32; n];
    for i in (0..n).rev() {
        height[i] = succ[i].iter().map(|(j, l)| height[*j] + l).max().unwrap_or(0).max(0);
    }
    let mut ready: std::collections::BTreeSet<(i32, usize)> =
        (0..n).filter(|i| waiting[*i] == 0).map(|i| (-height[i], i)).collect();
    let mut time = vec![0i32; n];
    let mut length = 0;
    while let Some((_, i)) = ready.pop_first() {
        let mut t = earliest[i];
        while !table.fits(ops[i], t) {
            t += 1;
        }
        table.place(ops[i], t);
        time[i] = t;
        length = length.max(t + 1);
        for (j, latency) in &succ[i] {
            earliest[*j] = earliest[*j].max(t + latency);
            waiting[*j] -= 1;
            if waiting[*j] == 0 {
                ready.insert((-height[*j], *j));
            }
        }
    }
    (time, length, table)
}
