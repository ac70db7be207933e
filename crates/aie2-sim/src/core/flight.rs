//! What is in flight, as an automaton that is built while a program runs.
//!
//! Writes, ports and stages that are still to come depend on nothing but the bundles issued in the last few cycles. Each
//! such pattern is a *node*, made once; issuing a bundle at a node is an *edge*. All that a bundle can violate by its place
//! alone (early reads, two writes or two users of a port at once, memory accesses beside a lock) is found when its edge is
//! made, and so is the list of what happens in that cycle. The steady loop follows edges.
//!
//! ```text
//! node: claims and steps of times now, now + 1, ..  ── bundle ──►  node: the same and the bundle's own, one time later
//! ```

use super::micro::{Micro, Part, steps};
use super::op::{Claim, Decoded, Op};
use super::state::{RING, clash, port_clash};
use super::units::{self, Units};
use crate::core_fault::CoreFaultKind;
use std::collections::HashMap;

/// Longest result latency in cycles (VLDA.UPS: 9), hence the horizon of writes in flight.
const HORIZON: usize = 9;
/// Cycle at which a lock instruction takes effect, and the cycle at which the core goes on after an acquire.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget.cpp (semaphore latencies).
const LOCK_CYCLE: u8 = 2;
const LOCK_RESUME_CYCLE: u8 = 8;
/// The edge along which nothing issues.
pub(crate) const IDLE: u32 = u32::MAX;

/// Claims by time from now.
type Claims = [Claim; RING];

/// What is in flight, seen from now.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pattern {
    claims: Claims,
    /// Steps to come: times from now, step.
    steps: Vec<(u8, Micro)>,
    /// Times from now until the last memory access under way, and until memory may be touched after an acquire.
    memory_until: u8,
    memory_from: u8,
}

impl Pattern {
    /// Adds the writes and ports of a bundle; fails where an earlier bundle holds them.
    fn claim(&mut self, d: &Decoded) -> Result<(), CoreFaultKind> {
        for (cycle, c) in &d.claims {
            let later = &self.claims[usize::from(*cycle)..];
            if let Some(unit) = later.iter().find_map(|held| held.all.and(c.all).lowest()) {
                return Err(CoreFaultKind::WriteOvertaken { register: units::name(unit), cycle: *cycle });
            }
        }
        for (cycle, c) in &d.claims {
            let held = &mut self.claims[usize::from(*cycle) - 1];
            if port_clash(held.ports, c.ports) != 0 || !held.all.and(c.all).is_empty() {
                return Err(clash(held, c, *cycle));
            }
            held.all = held.all.or(c.all);
            held.mov |= c.mov;
            held.vec |= c.vec;
            held.ports |= c.ports;
        }
        Ok(())
    }

    /// Distances between memory accesses and lock instructions.
    fn fence(&mut self, d: &Decoded) -> Result<(), CoreFaultKind> {
        if d.memory_first != 0 && d.memory_first <= self.memory_from {
            let needed = LOCK_RESUME_CYCLE - d.memory_first + 1;
            let short = (self.memory_from + 1 - d.memory_first).min(needed);
            return Err(CoreFaultKind::LockFence { distance: (needed - short).into(), needed: needed.into() });
        }
        // Acquire or release, before and behind: the published tables keep every access away from the stall of every lock
        // instruction.
        if !d.partial_lock && d.ops.iter().any(|op| matches!(op, Op::Lock { .. })) {
            let last = self.memory_until.max(d.memory_last);
            if last >= LOCK_CYCLE {
                return Err(CoreFaultKind::LockFence { distance: 0, needed: (last + 1 - LOCK_CYCLE).into() });
            }
            self.memory_from = LOCK_RESUME_CYCLE;
        }
        self.memory_until = self.memory_until.max(d.memory_last);
        Ok(())
    }

    /// The pattern one time later.
    fn next(mut self) -> Self {
        self.claims.rotate_left(1);
        self.claims[RING - 1] = Claim::default();
        self.steps.retain(|s| s.0 > 0);
        for (k, step) in &mut self.steps {
            (*k, *step) = (*k - 1, step.aged());
        }
        self.memory_until = self.memory_until.saturating_sub(1);
        self.memory_from = self.memory_from.saturating_sub(1);
        self
    }
}

struct Node {
    pattern: Pattern,
    /// Bundle and edge used first ([`IDLE`]: none yet), and the others.
    first: (u32, u32),
    others: Vec<(u32, u32)>,
}

/// Positions in the list of steps.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub from: u32,
    pub to: u32,
}

/// A bundle issued at a node.
pub(crate) struct Edge {
    pub to: u32,
    /// The bundle reads a register whose new value is on its way.
    pub early: bool,
    /// Steps of earlier bundles and of this one, in order; then the vector results that land.
    pub steps: Run,
    pub landings: Run,
    /// Units whose writes land at the end of this time.
    pub lands: Units,
    /// Of the next time: vector pieces that its bypasses deliver, and everything in flight.
    pub next: Present,
    /// Epoch of the state in which all that this time reads was seen written and at rest, and the configuration word of the
    /// multiply that issued then.
    pub settled: u64,
    pub word: u32,
    /// What followed the last time.
    chain: Chain,
    /// Bytes of the bundle.
    pub len: u32,
    /// The bundle asks nothing of the bus, and changes neither the program counter nor the loop registers.
    pub plain: bool,
    /// The bundle may read old values.
    pub leave: bool,
}

/// A bundle's address, number and edge.
#[derive(Clone, Copy)]
struct Chain {
    pc: u32,
    bundle: u32,
    edge: u32,
}

const NO_CHAIN: Chain = Chain { pc: u32::MAX, bundle: 0, edge: 0 };

/// What a reader can see of the writes in flight at a node.
#[derive(Clone, Copy, Default)]
pub(crate) struct Present {
    /// Vector pieces landing at this very time by the MOV bypass, by the VEC bypass.
    pub mov: u64,
    pub vec: u64,
    /// All units in flight.
    pub all: Units,
}

impl Present {
    fn of(claims: &Claims) -> Self {
        let all = claims[..HORIZON].iter().fold(Units::EMPTY, |all, c| all.or(c.all));
        Self { mov: claims[0].mov, vec: claims[0].vec, all }
    }
}

/// What the steps of one time may ask about writes in flight.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub flights: &'a Flights,
    pub edge: &'a Edge,
    /// Old values may be read.
    pub early_ok: bool,
    /// The edge was gone along before in the present epoch: what it reads is known to be there.
    pub settled: bool,
}

impl<'a> Seen<'a> {
    /// Vector results that land in this time.
    pub(crate) fn landings(self) -> &'a [Micro] {
        self.flights.of(self.edge.landings)
    }
}

/// Nodes and edges met so far.
pub(crate) struct Flights {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    steps: Vec<Micro>,
    index: HashMap<Pattern, u32>,
    /// Present node, and the edge that led to it.
    at: u32,
    last: u32,
}

impl Flights {
    pub(crate) fn new() -> Self {
        let (nodes, edges, steps) = (Vec::new(), Vec::new(), Vec::new());
        let mut flights = Self { nodes, edges, steps, index: HashMap::new(), at: 0, last: 0 };
        let claims = [Claim::default(); RING];
        flights.at = flights.node(Pattern { claims, steps: Vec::new(), memory_until: 0, memory_from: 0 });
        // The first edge leads nowhere new: there is always a last one.
        let nothing = flights.edge(IDLE, None);
        debug_assert!(nothing.is_ok());
        flights
    }

    fn node(&mut self, pattern: Pattern) -> u32 {
        if let Some(&node) = self.index.get(&pattern) {
            return node;
        }
        let node = self.nodes.len() as u32;
        self.index.insert(pattern.clone(), node);
        self.nodes.push(Node { pattern, first: (IDLE, IDLE), others: Vec::new() });
        node
    }

    /// Number and edge of the bundle at `pc`, if it is what followed the last edge before.
    #[inline(always)]
    pub(crate) fn chained(&self, pc: u32) -> Option<(u32, usize)> {
        let chain = &self.edges[self.last as usize].chain;
        (chain.pc == pc).then_some((chain.bundle, chain.edge as usize))
    }

    /// Remembers what follows the last edge.
    pub(crate) fn chain(&mut self, pc: u32, bundle: u32, edge: usize) {
        self.edges[self.last as usize].chain = Chain { pc, bundle, edge: edge as u32 };
    }

    /// Forgets what stands at any address.
    pub(crate) fn unchain(&mut self) {
        for edge in &mut self.edges {
            edge.chain = NO_CHAIN;
        }
    }

    /// The edge of a bundle from the present node.
    #[inline(always)]
    pub(crate) fn edge(&mut self, bundle: u32, d: Option<&Decoded>) -> Result<usize, CoreFaultKind> {
        let (first, edge) = self.nodes[self.at as usize].first;
        if first == bundle && edge != IDLE { Ok(edge as usize) } else { self.other_edge(bundle, d) }
    }

    #[cold]
    fn other_edge(&mut self, bundle: u32, d: Option<&Decoded>) -> Result<usize, CoreFaultKind> {
        if let Some(&(_, edge)) = self.nodes[self.at as usize].others.iter().find(|(b, _)| *b == bundle) {
            return Ok(edge as usize);
        }
        let from = self.at as usize;
        let mut pattern = self.nodes[from].pattern.clone();
        let mut early = false;
        if let Some(d) = d {
            early = d.uses.iter().any(|u| self.in_flight(u.cycle, u.plain, u.mov, u.vec).is_some());
            pattern.claim(d)?;
            pattern.fence(d)?;
            for (position, op) in d.ops.iter().enumerate() {
                pattern.steps.extend(steps(op, position).into_iter().map(|(cycle, step)| (cycle - 1, step)));
            }
        }
        let first = self.steps.len() as u32;
        let held = self.nodes[from].pattern.claims[0];
        let now = |part| {
            let of_part = move |(k, step): &&(u8, Micro)| *k == 0 && step.part() == part;
            pattern.steps.iter().filter(of_part).map(move |s| s.1.specialised(held.mov, held.vec))
        };
        self.steps.extend(now(Part::Work));
        self.steps.extend(now(Part::Write));
        let middle = self.steps.len() as u32;
        self.steps.extend(now(Part::Land));
        let (steps, landings) = (Run { from: first, to: middle }, Run { from: middle, to: self.steps.len() as u32 });
        let lands = pattern.claims[0].all;
        let len = d.map_or(0, |d| d.len);
        let leave = d.is_some_and(|d| d.early_reads_allowed);
        let plain = d.is_some_and(|d| !d.blocking && !d.branch && !d.sets_loop);
        let next = pattern.next();
        let present = Present::of(&next.claims);
        let to = self.node(next);
        let edge = Edge {
            to,
            early,
            steps,
            landings,
            lands,
            next: present,
            settled: u64::MAX,
            word: 0,
            chain: NO_CHAIN,
            len,
            plain,
            leave,
        };
        let number = self.edges.len() as u32;
        self.edges.push(edge);
        let node = &mut self.nodes[from];
        if node.first.1 == IDLE {
            node.first = (bundle, number);
        } else {
            node.others.push((bundle, number));
        }
        Ok(number as usize)
    }

    /// Whether steps are still to come.
    pub(crate) fn draining(&self) -> bool {
        !self.nodes[self.at as usize].pattern.steps.is_empty()
    }

    /// An edge by the number [`Flights::edge`] gave.
    #[inline(always)]
    pub(crate) fn at(&self, edge: usize) -> &Edge {
        &self.edges[edge]
    }

    /// An edge, to note that its reads are checked.
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, edge: usize) -> &mut Edge {
        &mut self.edges[edge]
    }

    /// The steps of a run.
    #[inline(always)]
    pub(crate) fn of(&self, run: Run) -> &[Micro] {
        &self.steps[run.from as usize..run.to as usize]
    }

    /// Goes along an edge.
    #[inline(always)]
    pub(crate) fn follow(&mut self, edge: usize) {
        self.at = self.edges[edge].to;
        self.last = edge as u32;
    }

    /// First register of a use at `cycle` that earlier bundles have not landed: unit, and bundles until it can be read.
    #[cold]
    pub(crate) fn in_flight(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Option<(u8, u8)> {
        let claims = &self.nodes[self.at as usize].pattern.claims;
        let cycle = usize::from(cycle);
        let now = &claims[cycle - 1];
        let hit = plain
            .and(now.all)
            .or(mov.and(now.all).without(Units([0, 0, now.mov])))
            .or(vec.and(now.all).without(Units([0, 0, now.vec])));
        if let Some(unit) = hit.lowest() {
            return Some((unit, 1));
        }
        let all = plain.or(mov).or(vec);
        (cycle..HORIZON).find_map(|k| {
            let c = &claims[k];
            let unit = c.all.and(all).lowest()?;
            // A reader that shares the writer's bypass sees it one bundle sooner.
            let taken = |set: Units, carried: u64| !set.and(Units::one(unit)).and(Units([0, 0, carried])).is_empty();
            let forwarded = u8::from(taken(mov, c.mov) || taken(vec, c.vec));
            Some((unit, (k - cycle) as u8 + 2 - forwarded))
        })
    }

    /// The fault of the first early read among the uses of a bundle.
    #[cold]
    pub(crate) fn early_fault(&self, d: &Decoded) -> Result<(), CoreFaultKind> {
        for u in &d.uses {
            if let Some((unit, bundles_short)) = self.in_flight(u.cycle, u.plain, u.mov, u.vec) {
                return Err(CoreFaultKind::EarlyRead { register: units::name(unit), cycle: u.cycle, bundles_short });
            }
        }
        Ok(())
    }
}
