//! What every core, channel, lock and the controller did in a run, cycle by cycle, for people to look at.
//!
//! ```text
//! core slot ── CoreLog ────┐                 run │ wait for lock 49 │ run │ off
//! fabric ───── ArrayLog ───┴──► Record       BD 3 = waiting for its lock │ moving │ starved │ moving
//! ```
//! Cores and array keep their logs apart, so that cores may run ahead of array time; [`Record`] joins them. A log is written when
//! something changes state, never by the cycle. A machine without a recorder tests one `Option` at those changes.
//!
//! Invariant: on a core's track slices touch or leave gaps (the core was off) and never overlap; the activities of a channel tile its
//! BD slices exactly.

use crate::array::channel::{Channel, Phase};
use crate::array::fabric::{Fabric, dir_ix};
use crate::array::index::{self, LockIx};
use crate::fault::{ChannelId, Direction};
use crate::port::{BlockReason, CoreStats, FIRST_CORE_ROW, ROWS, TileLoc};
use crate::report::Stalls;
use npu_container::txn::{self, Op};
use std::ops::Range;

/// Shorter waits of a channel for words or room are part of moving: a stream hands words over in lines of four, so a channel that moves at
/// the full rate of its port waits between lines.
pub const LEAST_WAIT: u64 = 16;

/// What a core got done between two waits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Work {
    /// Bundles issued.
    pub bundles: u64,
    /// VMAC-family instructions among them.
    pub vmacs: u64,
    /// Cycles lost to the core's own bank conflicts and lock instructions.
    pub own_stalls: u64,
    /// Cycles lost to banks taken by an urgent DMA.
    pub dma_stalls: u64,
}

impl Work {
    fn of(stats: CoreStats, stalls: Stalls) -> Self {
        Self { bundles: stats.bundles, vmacs: stats.vmacs, own_stalls: stalls.own, dma_stalls: stalls.dma_bank }
    }

    fn since(self, before: Self) -> Self {
        Self {
            bundles: self.bundles - before.bundles,
            vmacs: self.vmacs - before.vmacs,
            own_stalls: self.own_stalls - before.own_stalls,
            dma_stalls: self.dma_stalls - before.dma_stalls,
        }
    }
}

/// Tile and index of a lock by the number a core gives it: 0-15 south, 16-31 west, 32-47 north, 48-63 own.
// SOURCE: Xilinx/mlir-aie getLockLocalBaseIndex.
pub fn lock_of_core(tile: TileLoc, id: u8) -> Option<(TileLoc, u8)> {
    let at = match id / 16 {
        0 => (tile.row > FIRST_CORE_ROW).then(|| TileLoc::new(tile.col, tile.row - 1)),
        1 => tile.col.checked_sub(1).map(|col| TileLoc::new(col, tile.row)),
        2 => (tile.row + 1 < ROWS).then(|| TileLoc::new(tile.col, tile.row + 1)),
        _ => Some(tile),
    }?;
    Some((at, id % 16))
}

/// State of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoreActivity {
    /// Issues bundles.
    Run(Work),
    /// Stands still.
    Wait(BlockReason),
}

/// A stretch of one state of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreSlice {
    /// First cycle.
    pub from: u64,
    /// Cycle after the last one.
    pub to: u64,
    /// Address of the bundle at its begin.
    pub pc: u32,
    /// State.
    pub activity: CoreActivity,
}

/// One core in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreTrack {
    /// Tile.
    pub tile: TileLoc,
    /// In order of time; gaps: the core was off or done.
    pub slices: Vec<CoreSlice>,
    /// Cycles lost to a DMA, inside running slices: first cycle and number.
    pub dma_stalls: Vec<(u64, u64)>,
}

/// What a channel does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelActivity {
    /// BD fetch, DDR latency, first access after a lock.
    Starting,
    /// Waits for the lock of its BD: tile and index.
    Lock(TileLoc, u8),
    /// Moves words.
    Moving,
    /// S2MM: no word on the stream.
    Starved,
    /// S2MM: words are there, but another receiver of the broadcast is full.
    Held,
    /// MM2S: its buffer is full because the stream takes no more.
    BackPressured,
    /// All words moved; the last ones leave the buffer, release and token are on their way.
    Ending,
}

/// A stretch of one activity of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivitySlice {
    /// First cycle.
    pub from: u64,
    /// Cycle after the last one.
    pub to: u64,
    /// Activity.
    pub activity: ChannelActivity,
}

/// A BD in execution, as the memory side of its channel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BdSlice {
    /// First cycle.
    pub from: u64,
    /// Cycle after the last one.
    pub to: u64,
    /// BD number; `None`: between the BDs of tasks, starting or ending.
    pub bd: Option<u8>,
    /// Bytes moved.
    pub bytes: u64,
}

/// One DMA channel in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelTrack {
    /// Name.
    pub channel: ChannelId,
    /// BDs in order of time; gaps: nothing to do.
    pub bds: Vec<BdSlice>,
    /// Activities; they tile the BDs.
    pub activities: Vec<ActivitySlice>,
}

/// One lock in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockTrack {
    /// Tile.
    pub tile: TileLoc,
    /// Index in the tile.
    pub lock: u8,
    /// Cycle and value from then on, in order of time; the first entry stands for the begin of the window.
    pub values: Vec<(u64, u8)>,
}

/// One operation of the controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpSlice {
    /// First cycle.
    pub from: u64,
    /// Cycle after the last one.
    pub to: u64,
    /// Index in the stream.
    pub op: usize,
    /// What it does.
    pub what: String,
}

/// A recorded run. All cycles count from its begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Cycles of the run.
    pub cycles: u64,
    /// What of it was recorded; slices are cut to it.
    pub window: Range<u64>,
    /// Cores that ran or waited.
    pub cores: Vec<CoreTrack>,
    /// Channels that had a BD.
    pub channels: Vec<ChannelTrack>,
    /// Locks that changed.
    pub locks: Vec<LockTrack>,
    /// Operations.
    pub controller: Vec<OpSlice>,
}

/// Log of one core.
#[derive(Clone, Debug)]
pub(crate) struct CoreLog {
    window: Range<u64>,
    /// Begin of the present stretch, the address there and the work done until there.
    at: u64,
    pc: u32,
    work: Work,
    slices: Vec<CoreSlice>,
    dma_stalls: Vec<(u64, u64)>,
}

impl CoreLog {
    pub(crate) fn new(window: Range<u64>, at: u64, pc: u32, stats: CoreStats, stalls: Stalls) -> Self {
        let work = Work::of(stats, stalls);
        Self { window, at, pc, work, slices: Vec::new(), dma_stalls: Vec::new() }
    }

    fn push(&mut self, to: u64, activity: CoreActivity) {
        let (from, pc) = (std::mem::replace(&mut self.at, to), self.pc);
        if from >= to || to <= self.window.start || from >= self.window.end {
            return;
        }
        match self.slices.last_mut() {
            // A core that looked at a lock in vain still waits for it.
            Some(last) if last.to == from && last.activity == activity && matches!(activity, CoreActivity::Wait(_)) => {
                last.to = to;
            }
            _ => self.slices.push(CoreSlice { from, to, pc, activity }),
        }
    }

    /// The core stops running at `to`, before the bundle at `pc`.
    pub(crate) fn ran(&mut self, to: u64, pc: u32, stats: CoreStats, stalls: Stalls) {
        let work = Work::of(stats, stalls);
        let done = work.since(self.work);
        self.push(to, CoreActivity::Run(done));
        (self.work, self.pc) = (work, pc);
    }

    /// The core stops waiting at `to`.
    pub(crate) fn waited(&mut self, to: u64, reason: BlockReason) {
        self.push(to, CoreActivity::Wait(reason));
    }

    /// A core that was off starts at `at`.
    pub(crate) fn starts(&mut self, at: u64, pc: u32, stats: CoreStats, stalls: Stalls) {
        (self.at, self.pc, self.work) = (at, pc, Work::of(stats, stalls));
    }

    /// A DMA took banks from the core.
    pub(crate) fn lost(&mut self, at: u64, cycles: u64) {
        if self.window.contains(&at) {
            match self.dma_stalls.last_mut() {
                Some((from, n)) if *from + *n == at => *n += cycles,
                _ => self.dma_stalls.push((at, cycles)),
            }
        }
    }

    fn track(self, tile: TileLoc, cut: &Cut) -> CoreTrack {
        let slices = self.slices.into_iter().filter_map(|s| {
            let (from, to) = cut.of(s.from, s.to)?;
            Some(CoreSlice { from, to, ..s })
        });
        let stalls =
            self.dma_stalls.into_iter().filter_map(|(at, n)| cut.of(at, at + n).map(|(from, to)| (from, to - from)));
        CoreTrack { tile, slices: slices.collect(), dma_stalls: stalls.collect() }
    }
}

/// From array cycles to cycles of the run, inside the window.
struct Cut {
    start: u64,
    window: Range<u64>,
}

impl Cut {
    fn of(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let (from, to) = (from.max(self.window.start), to.min(self.window.end));
        (from < to).then(|| (from - self.start, to - self.start))
    }
}

/// What a channel has in hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hand {
    Nothing,
    Between,
    Bd(u8),
}

#[derive(Clone, Debug)]
struct ChannelLog {
    hand: Hand,
    /// Begin of what is in hand, and of the stretch whose end is not known yet.
    since: u64,
    open_since: u64,
    open: ChannelActivity,
    /// Words moved when last looked, by the channel, since `since`, and by the BD in hand.
    words: u64,
    words_then: u64,
    done: u64,
    /// End of the activities written.
    tiled_to: u64,
    bds: Vec<BdSlice>,
    activities: Vec<ActivitySlice>,
}

impl ChannelLog {
    fn new(start: u64, words: u64) -> Self {
        Self {
            hand: Hand::Nothing,
            since: start,
            open_since: start,
            open: ChannelActivity::Starting,
            words,
            words_then: words,
            done: 0,
            tiled_to: start,
            bds: Vec::new(),
            activities: Vec::new(),
        }
    }

    fn tile(&mut self, to: u64, activity: ChannelActivity, window: &Range<u64>) {
        let from = std::mem::replace(&mut self.tiled_to, to);
        if from < to && to > window.start && from < window.end {
            match self.activities.last_mut() {
                Some(last) if last.to == from && last.activity == activity && from > self.since => last.to = to,
                _ => self.activities.push(ActivitySlice { from, to, activity }),
            }
        }
    }

    /// Writes what lies before `at`; the stretch in hand ends there.
    fn close_stretch(&mut self, at: u64, window: &Range<u64>) {
        let wait = match self.open {
            ChannelActivity::Moving => false,
            ChannelActivity::Starved | ChannelActivity::Held | ChannelActivity::BackPressured => {
                at - self.open_since >= LEAST_WAIT
            }
            ChannelActivity::Starting | ChannelActivity::Lock(..) | ChannelActivity::Ending => at > self.open_since,
        };
        if wait {
            self.tile(self.open_since, ChannelActivity::Moving, window);
            self.tile(at, self.open, window);
        }
    }

    fn close_hand(&mut self, at: u64, words: u64, window: &Range<u64>) {
        let bd = match self.hand {
            Hand::Nothing => return,
            Hand::Between => None,
            Hand::Bd(bd) => Some(bd),
        };
        self.close_stretch(at, window);
        self.tile(at, ChannelActivity::Moving, window);
        if self.since < at && at > window.start && self.since < window.end {
            self.bds.push(BdSlice { from: self.since, to: at, bd, bytes: 4 * (words - self.words_then) });
        }
        self.words_then = words;
    }

    /// The channel after a step at `now`.
    fn observe(&mut self, now: u64, ch: &Channel, wait: Option<ChannelActivity>, window: &Range<u64>) {
        let moved = ch.words - self.words;
        let (hand, done) = match &ch.current {
            Some(current) => (Hand::Bd(current.bd), current.walker.done()),
            None if ch.is_busy() => (Hand::Between, 0),
            None => (Hand::Nothing, 0),
        };
        let same = hand == self.hand && done == self.done + moved;
        (self.words, self.done) = (ch.words, done);
        if !same {
            // What moved in this step was the end of what was in hand.
            let at = if moved > 0 { now + 1 } else { now }.max(self.since);
            self.close_hand(at, ch.words, window);
            (self.hand, self.since, self.open_since, self.tiled_to) = (hand, at, at, at);
            self.open = wait.unwrap_or(ChannelActivity::Moving);
            return;
        }
        let open = if moved > 0 { ChannelActivity::Moving } else { wait.unwrap_or(self.open) };
        if open != self.open {
            let at = now.max(self.since);
            self.close_stretch(at, window);
            (self.open, self.open_since) = (open, at);
        }
    }

    fn track(mut self, channel: ChannelId, now: u64, words: u64, cut: &Cut) -> Option<ChannelTrack> {
        self.close_hand(now.max(self.since), words, &cut.window);
        let bds: Vec<_> = self
            .bds
            .into_iter()
            .filter_map(|s| cut.of(s.from, s.to).map(|(from, to)| BdSlice { from, to, ..s }))
            .collect();
        let activities = self
            .activities
            .into_iter()
            .filter_map(|s| cut.of(s.from, s.to).map(|(from, to)| ActivitySlice { from, to, ..s }))
            .collect();
        (!bds.is_empty()).then_some(ChannelTrack { channel, bds, activities })
    }
}

/// Log of the array around the cores.
#[derive(Clone, Debug)]
pub(crate) struct ArrayLog {
    start: u64,
    window: Range<u64>,
    channels: [Vec<ChannelLog>; 2],
    locks: Vec<Vec<(u64, u8)>>,
    /// End of the last operation.
    op_at: u64,
    controller: Vec<OpSlice>,
}

impl ArrayLog {
    /// A lock has another value.
    pub(crate) fn lock(&mut self, now: u64, lock: LockIx, value: u8) {
        let values = &mut self.locks[lock];
        match values.last_mut() {
            Some((at, last)) if now <= self.window.start || *at == now => *last = value,
            _ if now < self.window.end => values.push((now, value)),
            _ => {}
        }
    }

    /// An operation has ended.
    pub(crate) fn op(&mut self, now: u64, op: usize, what: Option<&Op>) {
        let from = std::mem::replace(&mut self.op_at, now);
        if let Some(what) = what
            && from < now
            && now > self.window.start
            && from < self.window.end
        {
            self.controller.push(OpSlice { from, to: now, op, what: name(what) });
        }
    }
}

fn name(op: &Op) -> String {
    match op {
        Op::Write { addr, value } => match crate::array::regs::queue_at((*addr).into()) {
            Some((dir, c)) => format!("push BD {} to {}", value & 0x3f, index::channel_id(dir, c)),
            None => format!("WRITE {addr:#x}"),
        },
        Op::BlockWrite { addr, data } => format!("BLOCKWRITE {addr:#x}, {} words", data.len()),
        Op::MaskWrite { addr, .. } => format!("MASKWRITE {addr:#x}"),
        Op::MaskPoll { addr, .. } | Op::MaskPollBusy { addr, .. } => format!("MASKPOLL {addr:#x}"),
        Op::Noop => "NOOP".into(),
        Op::Tct { direction, col, row, channel, .. } => {
            let dir = if *direction == txn::Direction::Mm2s { Direction::Mm2s } else { Direction::S2mm };
            format!("wait for token of {}", ChannelId { tile: TileLoc::new(*col, *row), dir, index: *channel })
        }
        Op::DdrPatch { arg_index, .. } => format!("DDR_PATCH of argument {arg_index}"),
    }
}

impl Fabric {
    /// Starts a log at the present cycle.
    pub(crate) fn begin_log(&mut self, window: Range<u64>) {
        let now = self.now;
        let logs = |channels: &[Channel]| channels.iter().map(|ch| ChannelLog::new(now, ch.words)).collect();
        self.log = Some(Box::new(ArrayLog {
            start: now,
            window,
            channels: [logs(&*self.channels[0]), logs(&*self.channels[1])],
            locks: self.locks.iter().map(|l| vec![(now, l.value)]).collect(),
            op_at: now,
            controller: Vec::new(),
        }));
        for dir in [Direction::S2mm, Direction::Mm2s] {
            for c in 0..index::CHANNELS {
                self.observe(dir, c);
            }
        }
    }

    /// Notes what a channel does after a step.
    #[cold]
    pub(crate) fn observe(&mut self, dir: Direction, c: usize) {
        let wait = self.why_waiting(dir, c);
        let d = dir_ix(dir);
        if let Some(log) = self.log.as_deref_mut() {
            log.channels[d][c].observe(self.now, &self.channels[d][c], wait, &log.window);
        }
    }

    /// Why a channel moved nothing, if that can be told from its state; `None`: it is on its way.
    fn why_waiting(&self, dir: Direction, c: usize) -> Option<ChannelActivity> {
        let ch = &self.channels[dir_ix(dir)][c];
        let Some(current) = &ch.current else {
            let queued = ch.fetching < ch.queue.len();
            return Some(if queued { ChannelActivity::Starting } else { ChannelActivity::Ending });
        };
        if let (Phase::Lock(_), Some((lock, _))) = (ch.phase, current.acquire)
            && ch.not_before <= self.now
        {
            let (tile, id) = index::lock_id(lock);
            return Some(ChannelActivity::Lock(tile, id));
        }
        if ch.not_before > self.now + 2 {
            return Some(ChannelActivity::Starting);
        }
        match dir {
            Direction::S2mm => match self.flows.taps[c] {
                Some(tap) if self.flows.flows[tap.flow].held >> c & 1 == 1 => Some(ChannelActivity::Held),
                Some(tap) if self.flows.flows[tap.flow].starved >> c & 1 == 0 => None,
                Some(_) | None => Some(ChannelActivity::Starved),
            },
            Direction::Mm2s => self.flows.flows[c].source_waits.then_some(ChannelActivity::BackPressured),
        }
    }

    /// Ends the log.
    pub(crate) fn end_log(&mut self, cores: Vec<(TileLoc, CoreLog)>) -> Option<Record> {
        let log = *self.log.take()?;
        let window = log.window.start..log.window.end.min(self.now);
        let cut = Cut { start: log.start, window: window.clone() };
        let mut channels = Vec::new();
        for (logs, states) in log.channels.into_iter().zip(&self.channels) {
            channels.extend(
                logs.into_iter().zip(states.iter()).filter_map(|(l, ch)| l.track(ch.id, self.now, ch.words, &cut)),
            );
        }
        let locks = log.locks.into_iter().enumerate().filter(|(_, v)| v.len() > 1).map(|(lock, values)| {
            let (tile, id) = index::lock_id(lock);
            let from_start = |(at, value): (u64, u8)| (at.max(window.start) - log.start, value);
            LockTrack { tile, lock: id, values: values.into_iter().map(from_start).collect() }
        });
        let controller = log.controller.into_iter().filter_map(|s| {
            let (from, to) = cut.of(s.from, s.to)?;
            Some(OpSlice { from, to, ..s })
        });
        Some(Record {
            cycles: self.now - log.start,
            cores: cores
                .into_iter()
                .map(|(tile, core)| core.track(tile, &cut))
                .filter(|track| !track.slices.is_empty())
                .collect(),
            channels,
            locks: locks.collect(),
            controller: controller.collect(),
            window: window.start - log.start..window.end - log.start,
        })
    }
}
