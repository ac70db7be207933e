//! State of one DMA channel.

use super::bd::Walker;
use super::index::LockIx;
use super::ports::TileKind;
use super::route::Word;
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

/// A word in an egress buffer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Egress {
    /// The word.
    pub word: Word,
    /// Last word of its BD.
    pub bd_end: bool,
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
    pub egress: VecDeque<Egress>,
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
    /// An idle channel.
    pub fn new(id: ChannelId) -> Self {
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
            egress: VecDeque::with_capacity(32),
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
