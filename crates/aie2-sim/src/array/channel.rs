//! State of one DMA channel.

use super::bd::Walker;
use super::flow::{Flow, LINE, Word};
use super::index::LockIx;
use super::ports::TileKind;
use crate::fault::ChannelId;
use std::collections::VecDeque;

/// One entry of a task queue.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// First BD of the chain.
    pub start: u8,
    /// Executions of the chain still to fetch.
    pub runs_left: u16,
    /// Issue a token at the end.
    pub token: bool,
    /// BDs the chain can reach.
    pub bds: u64,
    /// Cycle of the push.
    pub pushed_at: u64,
}

/// The BD in execution.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// BD number.
    pub bd: u8,
    /// Address generator.
    pub walker: Walker,
    /// Lock to acquire before the first access.
    pub acquire: Option<(LockIx, i8)>,
    /// Lock to release after the last one.
    pub release: Option<(LockIx, i8)>,
    /// Next BD of the chain.
    pub next: Option<u8>,
    /// TLAST on the last word.
    pub tlast: bool,
    /// Packet header still to send.
    pub header: Option<u32>,
}

/// What the memory side of a channel does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No BD.
    Idle,
    /// Waits for the lock of its BD; true: the first try failed.
    Lock(bool),
    /// Moves words.
    Move,
}

/// A BD whose data is done and whose release is due.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Lock to release.
    pub release: Option<(LockIx, i8)>,
    /// Last BD of a task.
    pub task_end: bool,
}

/// Egress buffer of an MM2S channel: words between its memory side and its port side.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Word n of the channel stands in line n / 4, modulo the number of lines.
    lines: Box<[[Word; LINE as usize]]>,
    put: u64,
    taken: u64,
    /// Behind the last word of the oldest BD that ends in the buffer.
    end: u64,
    /// The same of the BDs behind it.
    later_ends: VecDeque<u64>,
}

impl Egress {
    /// An empty buffer of `words` words.
    fn new(words: u64) -> Self {
        let lines = words.div_ceil(LINE).max(1).next_power_of_two() as usize;
        let lines = vec![[Word::default(); LINE as usize]; lines].into();
        Self { lines, put: 0, taken: 0, end: u64::MAX, later_ends: VecDeque::new() }
    }

    /// Words in the buffer.
    #[inline(always)]
    pub fn len(&self) -> u64 {
        self.put - self.taken
    }

    /// Whether no word is in the buffer.
    pub fn is_empty(&self) -> bool {
        self.put == self.taken
    }

    fn clear(&mut self) {
        (self.put, self.taken, self.end) = (0, 0, u64::MAX);
        self.later_ends.clear();
    }

    /// Adds the first `n` of some words; there is room.
    #[inline(always)]
    pub fn put(&mut self, words: &[Word; LINE as usize], n: usize) {
        let mask = self.lines.len() - 1;
        if n as u64 == LINE && self.put.is_multiple_of(LINE) {
            self.lines[(self.put / LINE) as usize & mask] = *words;
        } else {
            for (at, word) in (self.put..).zip(&words[..n]) {
                self.lines[(at / LINE) as usize & mask][(at % LINE) as usize] = *word;
            }
        }
        self.put += n as u64;
    }

    /// The word last added was the last one of its BD.
    pub fn put_end(&mut self) {
        if self.end == u64::MAX {
            self.end = self.put;
        } else {
            self.later_ends.push_back(self.put);
        }
    }

    /// Hands at most `most` words over to a flow, from cycle `at` on, but none behind the end of a BD. Returns their number
    /// and whether the last one was the last of its BD.
    #[inline(always)]
    pub fn send(&mut self, most: u64, flow: &mut Flow, at: u64) -> (u64, bool) {
        let mask = self.lines.len() - 1;
        let n = most.min(self.len()).min(self.end - self.taken);
        let line = |n: u64| (n / LINE) as usize & mask;
        let whole = n == LINE && self.taken.is_multiple_of(LINE);
        if !(whole && flow.push_line(&self.lines[line(self.taken)], at)) {
            for (at, i) in (at..).zip(self.taken..self.taken + n) {
                flow.push(self.lines[line(i)][(i % LINE) as usize], at);
            }
        }
        self.taken += n;
        let ends = self.taken == self.end;
        if ends {
            self.end = self.later_ends.pop_front().unwrap_or(u64::MAX);
        }
        (n, ends)
    }
}

/// One DMA channel. What every step looks at stands together in front.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Channel {
    /// Memory side does nothing before this cycle.
    pub not_before: u64,
    /// Port side does nothing before this cycle.
    pub port_not_before: u64,
    /// The channel cannot become urgent before this cycle.
    pub calm_until: u64,
    /// Bank arbitrations lost in a row.
    pub losses: u64,
    /// Words moved in this run.
    pub words: u64,
    /// Number of its tile.
    pub tile: usize,
    /// Name.
    pub id: ChannelId,
    /// Kind of its tile.
    pub kind: TileKind,
    /// What the memory side does.
    pub phase: Phase,
    /// Whether the buffer is so near to full (S2MM) or empty (MM2S) that the channel wins a bank against the core.
    pub urgent: bool,
    /// Held in reset.
    pub reset: bool,
    /// Controller id of its tokens.
    pub controller: u8,
    /// BD in execution.
    pub current: Option<Current>,
    /// Egress buffer of an MM2S channel.
    pub egress: Egress,
    /// Ends on their way.
    pub ends: VecDeque<End>,
    /// DDR rate: next access not before this time, in 1/1000 cycles.
    pub ddr_next_milli: u64,
    /// Outstanding tasks, oldest first.
    pub queue: VecDeque<Task>,
    /// Position in `queue` of the task being fetched; the ones before it only wait for their end.
    pub fetching: usize,
    /// Cycle of the last scheduled end (ends stay in order).
    pub last_end_at: u64,
    /// Tasks started since configuration.
    pub tasks_started: u64,
    /// Cycle the task in front of the fetched one began to move data.
    pub previous_move_at: u64,
    /// Cycles with an outstanding task in this run.
    pub busy_cycles: u64,
    /// Start of the present busy interval.
    pub busy_since: Option<u64>,
    /// Task tokens that reached the firmware and were not waited for.
    pub tokens: u64,
    /// Counts resets, so that an end scheduled before one is dropped.
    pub epoch: u32,
}

impl Channel {
    /// An idle channel with an egress buffer of so many words.
    pub fn new(id: ChannelId, egress_words: u64) -> Self {
        Self {
            id,
            kind: TileKind::of_row(id.tile.row),
            tile: super::index::tile(id.tile),
            reset: false,
            controller: 0,
            queue: VecDeque::with_capacity(4),
            fetching: 0,
            current: None,
            phase: Phase::Idle,
            not_before: 0,
            port_not_before: 0,
            ends: VecDeque::with_capacity(8),
            last_end_at: 0,
            egress: Egress::new(egress_words),
            urgent: false,
            calm_until: 0,
            losses: 0,
            tasks_started: 0,
            previous_move_at: 0,
            ddr_next_milli: 0,
            words: 0,
            busy_cycles: 0,
            busy_since: None,
            tokens: 0,
            epoch: 0,
        }
    }

    /// Whether the channel has anything to do or to finish.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.ends.is_empty() || !self.egress.is_empty()
    }

    /// Forgets tasks and data, as a channel reset does. Locks and BD iteration counters stay.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.fetching = 0;
        self.current = None;
        self.phase = Phase::Idle;
        self.ends.clear();
        self.egress.clear();
        self.urgent = false;
        self.losses = 0;
        self.busy_since = None;
        self.epoch += 1;
    }
}
