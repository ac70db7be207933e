//! The array without its cores: state shared by all parts, and the clock.

use super::bd;
use super::channel::Channel;
use super::ddr::Ddr;
use super::flow::Flows;
use super::index::{self, CoreIx, LockIx};
use super::lock::Lock;
use super::memory::Memory;
use super::packet::Packets;
use super::ports::TileKind;
use super::route::{FIRST_CORE_ENDPOINT, FIRST_PACKET_PORT, Network, PACKET_SINKS};
use crate::fault::{Direction, Fault};
use crate::port::{COLUMNS, CORE_MEM_BYTES, CascadeWord, FIRST_CORE_ROW, PROGRAM_MEM_BYTES, ROWS, TileLoc};
use crate::record::ArrayLog;
use crate::timing::Timing;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Bytes of a mem tile.
// SOURCE: AM020 ch. 5: 512 KiB.
pub const MEM_TILE_BYTES: usize = 0x8_0000;
/// A core that touches only its own memory runs ahead of array time to the next multiple of this many cycles.
pub const RUN_AHEAD: u64 = 256;
/// The same for a core that shares memory with its neighbours.
pub const RUN_AHEAD_TOGETHER: u64 = 64;
const BANK_TRACE: usize = 512;
/// Buckets of channels by cycle; more than the longest wait inside the cycle loop.
pub const BUCKETS: usize = 64;

/// Something scheduled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// A core's lock release becomes visible.
    Release(LockIx, i8),
    /// A BD of a channel is done: direction, channel, reset epoch.
    BdEnd(Direction, usize, u32),
    /// A channel looks again.
    Wake(Direction, usize),
    /// A task token reaches the firmware.
    Token(Direction, usize),
    /// A blocked core looks again.
    CoreWake(CoreIx),
    /// The controller goes on.
    Controller,
}

/// BD registers of one tile.
#[derive(Clone, Debug)]
pub struct BdFile {
    /// Register words.
    pub words: Vec<[u32; 8]>,
    /// Iteration counters.
    pub iteration: Vec<u8>,
    /// Per BD: queued or active uses.
    pub users: Vec<u16>,
}

/// Core-side registers of a compute tile.
#[derive(Clone, Debug)]
pub struct CoreRegs {
    /// Core_Control bit 0.
    pub enable: bool,
    /// Core_Control bit 1.
    pub reset: bool,
    /// Reset was asserted since the core last looked.
    pub was_reset: bool,
    /// Program memory.
    pub program: Vec<u8>,
    /// Program words written since the core last looked: offset and word, in order.
    pub program_writes: Vec<(u32, u32)>,
    /// Accumulator_Control: bit 0 input from west, bit 1 output to east.
    // SOURCE: AM025 Accumulator_Control 0x36060.
    pub cascade: u32,
    /// Core_Status `done`.
    pub done: bool,
    /// Program counter, for reads.
    pub pc: u32,
}

/// Banks of one tile memory a core used, by cycle.
#[derive(Clone, Debug)]
pub struct BankTrace {
    banks: [u8; BANK_TRACE],
    /// The core has run up to (not including) this cycle.
    pub ran_to: u64,
}

impl Default for BankTrace {
    fn default() -> Self {
        Self { banks: [0; BANK_TRACE], ran_to: 0 }
    }
}

impl BankTrace {
    /// Records the banks of cycle `t`, and none for the `idle` cycles after it.
    #[inline]
    pub fn record(&mut self, t: u64, banks: u8, idle: u64) {
        for gap in self.ran_to.max(t.saturating_sub(BANK_TRACE as u64 - 1))..t {
            self.banks[gap as usize % BANK_TRACE] = 0;
        }
        self.banks[t as usize % BANK_TRACE] = banks;
        for i in 1..=idle.min(BANK_TRACE as u64 - 1) {
            self.banks[(t + i) as usize % BANK_TRACE] = 0;
        }
        self.ran_to = t + 1 + idle;
    }

    /// Banks used in cycle `t`.
    #[inline]
    pub fn at(&self, t: u64) -> u8 {
        if t < self.ran_to { self.banks[t as usize % BANK_TRACE] } else { 0 }
    }
}

/// DDR bandwidth shared by all shim channels.
#[derive(Clone, Copy, Debug)]
pub struct DdrBudget {
    /// Millibytes per cycle.
    pub rate: u64,
    /// Millibytes at hand.
    pub credit: u64,
    /// Cycle of the last refill.
    pub at: u64,
}

/// The array around the cores.
pub struct Fabric {
    /// Array cycle.
    pub now: u64,
    /// Timing table in use.
    pub timing: Timing,
    /// Data memories of the compute tiles.
    pub core_mem: Vec<Memory>,
    /// Mem tiles by column.
    pub mem_tiles: Vec<Memory>,
    /// Host buffers.
    pub ddr: Ddr,
    /// DDR cap, if any.
    pub ddr_budget: Option<DdrBudget>,
    /// Locks.
    pub locks: Vec<Lock>,
    /// Stream switches.
    pub network: Network,
    /// Switch registers changed since the flows were resolved.
    pub network_dirty: bool,
    /// Resolved flows.
    pub flows: Flows,
    /// Arbiters of the packet-switched ports.
    pub packets: Packets,
    /// Whether the arbiters have something to look at.
    pub packets_awake: bool,
    /// BD registers by tile.
    pub bds: Vec<BdFile>,
    /// S2MM and MM2S channels.
    pub channels: [Box<[Channel; index::CHANNELS]>; 2],
    /// Channels to look at, by direction.
    pub active: [u64; 2],
    /// Channels to step by cycle, modulo the number of buckets. A channel may stand in more than one; `skip` tells which counts.
    pub due: [[u64; BUCKETS]; 2],
    /// Per channel: nothing to do before this cycle.
    pub skip: [[u64; index::CHANNELS]; 2],
    /// Mem tile and compute tile banks taken by a DMA: cycle + 1 and mask.
    pub dma_banks: [(u64, u16); index::TILES],
    /// Banks used by the cores.
    pub core_banks: Vec<BankTrace>,
    /// Cycles a core lost to urgent DMA accesses, not yet charged.
    pub core_penalty: [u64; index::CORES],
    /// Cores to look at again.
    pub core_woken: u16,
    /// Cascade words on their way into each core, with the cycle they can be read.
    pub cascade: Vec<VecDeque<(u64, CascadeWord)>>,
    /// Cores blocked on a cascade write into this core (bit = writer).
    pub cascade_writers: [u16; index::CORES],
    /// Core-side registers.
    pub cores: Vec<CoreRegs>,
    /// Cores whose registers changed.
    pub core_dirty: u16,
    /// Plain registers, by array address.
    pub shadow: HashMap<u32, u32>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// Counts everything that moved.
    pub progress: u64,
    /// What happens, if someone looks.
    pub(crate) log: Option<Box<ArrayLog>>,
}

/// Position of a direction in per-direction arrays.
#[inline]
pub const fn dir_ix(dir: Direction) -> usize {
    match dir {
        Direction::S2mm => 0,
        Direction::Mm2s => 1,
    }
}

impl Fabric {
    /// A partition in the state after a column reset: everything zero, cores in reset, memory never written.
    pub fn new(timing: Timing, ddr_millibytes_per_cycle: Option<u64>) -> Self {
        let tiles = || (0..COLUMNS).flat_map(|col| (0..ROWS).map(move |row| TileLoc::new(col, row)));
        let channels = |dir, words| Box::new(std::array::from_fn(|c| Channel::new(index::channel_id(dir, c), words)));
        let egress_words = timing.mm2s_egress_words;
        let core_regs = CoreRegs {
            enable: false,
            reset: true,
            was_reset: true,
            program: vec![0; PROGRAM_MEM_BYTES],
            program_writes: Vec::new(),
            cascade: 0,
            done: false,
            pc: 0,
        };
        Self {
            now: 0,
            timing,
            core_mem: vec![Memory::new(CORE_MEM_BYTES); index::CORES],
            mem_tiles: vec![Memory::new(MEM_TILE_BYTES); usize::from(COLUMNS)],
            ddr: Ddr::default(),
            ddr_budget: ddr_millibytes_per_cycle.map(|rate| DdrBudget { rate, credit: 0, at: 0 }),
            locks: vec![Lock::default(); index::LOCKS],
            network: Network::default(),
            network_dirty: false,
            flows: Flows::default(),
            packets: Packets::default(),
            packets_awake: false,
            bds: tiles()
                .map(|t| {
                    let n = usize::from(bd::count(TileKind::of_row(t.row)));
                    BdFile { words: vec![[0; 8]; n], iteration: vec![0; n], users: vec![0; n] }
                })
                .collect(),
            channels: [channels(Direction::S2mm, 0), channels(Direction::Mm2s, egress_words)],
            active: [0; 2],
            due: [[0; BUCKETS]; 2],
            skip: [[0; index::CHANNELS]; 2],
            dma_banks: [(0, 0); index::TILES],
            core_banks: vec![BankTrace::default(); index::CORES],
            core_penalty: [0; index::CORES],
            core_woken: 0,
            cascade: vec![VecDeque::new(); index::CORES],
            cascade_writers: [0; index::CORES],
            cores: vec![core_regs; index::CORES],
            core_dirty: 0,
            shadow: HashMap::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            progress: 0,
            log: None,
        }
    }

    /// Schedules an event.
    pub fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    /// Cycle of the next event.
    #[inline]
    pub fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((t, ..))| *t)
    }

    /// The next event if it is due.
    #[inline]
    pub fn due_event(&mut self) -> Option<Event> {
        if self.next_event()? > self.now {
            return None;
        }
        self.events.pop().map(|Reverse((_, _, e))| e)
    }

    /// Whether anything but the controller is scheduled.
    pub fn has_array_events(&self) -> bool {
        self.events.iter().any(|Reverse((_, _, e))| *e != Event::Controller)
    }

    /// Whether a channel or an arbiter has something to look at in the next cycle.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active != [0; 2] || self.packets_awake
    }

    /// Makes a channel look again now.
    #[inline]
    pub fn wake(&mut self, dir: Direction, channel: usize) {
        let d = dir_ix(dir);
        self.active[d] |= 1 << channel;
        self.skip[d][channel] = 0;
        self.due[d][self.now as usize % BUCKETS] |= 1 << channel;
    }

    fn wake_mask(&mut self, dir: Direction, mut mask: u64) {
        while mask != 0 {
            self.wake(dir, mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }

    /// Wakes everyone who waits for a lock.
    pub fn lock_changed(&mut self, lock: LockIx) {
        self.progress += 1;
        let l = &mut self.locks[lock];
        if let Some(log) = &mut self.log {
            log.lock(self.now, lock, l.value);
        }
        let (s2mm, mm2s, mut cores) = (l.s2mm, l.mm2s, l.cores);
        (l.s2mm, l.mm2s, l.cores) = (0, 0, 0);
        self.wake_mask(Direction::S2mm, s2mm);
        self.wake_mask(Direction::Mm2s, mm2s);
        while cores != 0 {
            let core = cores.trailing_zeros() as usize;
            self.schedule(self.now + self.timing.core_lock_wake, Event::CoreWake(core));
            cores &= cores - 1;
        }
    }

    /// Adds to a lock.
    pub fn release(&mut self, lock: LockIx, value: i8) -> Result<(), Fault> {
        self.locks[lock].release(lock, value)?;
        self.lock_changed(lock);
        Ok(())
    }

    /// Wakes sinks by endpoint mask after words were sent (a core after the path's latency).
    pub fn wake_sinks(&mut self, mut mask: u128) {
        if mask & PACKET_SINKS != 0 {
            self.packets_awake = true;
            mask &= !PACKET_SINKS;
        }
        while mask != 0 {
            let sink = mask.trailing_zeros() as usize;
            debug_assert!(sink < FIRST_PACKET_PORT);
            if sink >= FIRST_CORE_ENDPOINT {
                self.schedule(self.now + 1, Event::CoreWake(sink - FIRST_CORE_ENDPOINT));
            } else {
                self.wake(Direction::S2mm, sink);
            }
            mask &= mask - 1;
        }
    }

    /// Takes `n` words from a flow for one receiver and wakes those who waited for the room.
    #[inline(always)]
    pub fn consume(&mut self, flow: usize, receiver: usize, n: u64) {
        self.progress += 1;
        let f = &mut self.flows.flows[flow];
        f.receivers[receiver].consumed += n;
        if f.source_waits || f.held != 0 {
            self.room_made(flow);
        }
    }

    #[inline(never)]
    fn room_made(&mut self, flow: usize) {
        let f = &mut self.flows.flows[flow];
        let held = std::mem::take(&mut f.held);
        if std::mem::take(&mut f.source_waits) {
            if flow >= FIRST_PACKET_PORT {
                self.packets_awake = true;
            } else if flow >= FIRST_CORE_ENDPOINT {
                self.schedule(self.now + 1, Event::CoreWake(flow - FIRST_CORE_ENDPOINT));
            } else {
                self.wake(Direction::Mm2s, flow);
            }
        }
        if held != 0 {
            self.wake_sinks(held);
        }
    }

    /// Resolves the flows again if switch registers changed.
    pub fn settle_network(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.network_dirty) {
            self.flows.rebuild(&self.network, &self.timing)?;
            self.packets.rebuild(&self.network, &self.flows)?;
            self.packets_awake = !self.packets.is_empty();
            // Someone may have waited on a port that is connected now.
            for dir in [Direction::S2mm, Direction::Mm2s] {
                for c in 0..index::CHANNELS {
                    if self.channels[dir_ix(dir)][c].is_busy() {
                        self.wake(dir, c);
                    }
                }
            }
        }
        Ok(())
    }

    /// Core that receives what `core` sends by cascade, if both ends agree.
    pub fn cascade_target(&self, core: CoreIx) -> Option<CoreIx> {
        let tile = index::core_tile(core);
        let east = self.cores[core].cascade & 2 != 0;
        let to = if east {
            (tile.col + 1 < COLUMNS).then(|| TileLoc::new(tile.col + 1, tile.row))
        } else {
            (tile.row > FIRST_CORE_ROW).then(|| TileLoc::new(tile.col, tile.row - 1))
        }?;
        let to = index::core(to);
        (self.cores[to].cascade & 1 == u32::from(east)).then_some(to)
    }

    /// Core that sends to `core` by cascade, if both ends agree.
    pub fn cascade_source(&self, core: CoreIx) -> Option<CoreIx> {
        let tile = index::core_tile(core);
        let west = self.cores[core].cascade & 1 != 0;
        let from = if west {
            tile.col.checked_sub(1).map(|col| TileLoc::new(col, tile.row))
        } else {
            (tile.row + 1 < ROWS).then(|| TileLoc::new(tile.col, tile.row + 1))
        }?;
        let from = index::core(from);
        (self.cascade_target(from) == Some(core)).then_some(from)
    }
}
