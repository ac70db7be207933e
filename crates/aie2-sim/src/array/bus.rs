//! The array as one core sees it.

use super::fabric::{Event, Fabric};
use super::flow::Word;
use super::index::{self, CoreIx, LockIx};
use super::lock::Acquire;
use super::memory::Memory;
use super::route::FIRST_CORE_ENDPOINT;
use crate::fault::Fault;
use crate::port::{COLUMNS, CascadeWord, CoreBus, FIRST_CORE_ROW, LockOp, OWN_WINDOW, ROWS, StreamWord, TileLoc};

/// [`CoreBus`] of one core for one batch of steps.
pub struct TileBus<'a> {
    fabric: &'a mut Fabric,
    core: CoreIx,
    tile: TileLoc,
    /// Local time of the step in hand.
    pub time: u64,
    /// A request was refused only because the core is ahead of array time.
    pub deferred: bool,
}

const WINDOW_BYTES: u32 = 0x1_0000;

impl<'a> TileBus<'a> {
    /// Bus of `core`.
    pub fn new(fabric: &'a mut Fabric, core: CoreIx) -> Self {
        Self { time: fabric.now, tile: index::core_tile(core), fabric, core, deferred: false }
    }

    /// The array behind the bus.
    pub fn fabric(&mut self) -> &mut Fabric {
        self.fabric
    }

    /// Neighbour that a window or lock group reaches: 0 south, 1 west, 2 north, 3 own.
    // SOURCE: Xilinx/mlir-aie getMemLocalBaseAddress, isLegalMemAffinity: row 2 has no south memory.
    fn neighbour(&self, group: u32) -> Option<CoreIx> {
        let TileLoc { col, row } = self.tile;
        let at = match group {
            0 => (row > FIRST_CORE_ROW).then(|| TileLoc::new(col, row - 1)),
            1 => (col > 0 && col <= COLUMNS).then(|| TileLoc::new(col - 1, row)),
            2 => (row + 1 < ROWS).then(|| TileLoc::new(col, row + 1)),
            3 => return Some(self.core),
            _ => None,
        }?;
        Some(index::core(at))
    }

    #[inline]
    fn place(&self, addr: u32, bytes: usize) -> Result<(CoreIx, usize), Fault> {
        let offset = addr & (WINDOW_BYTES - 1);
        let inside = offset as usize + bytes <= WINDOW_BYTES as usize;
        if inside && addr >> 16 == OWN_WINDOW >> 16 {
            return Ok((self.core, offset as usize));
        }
        match (addr >> 16).checked_sub(4).and_then(|g| self.neighbour(g)) {
            Some(core) if inside => Ok((core, offset as usize)),
            Some(_) | None => Err(Fault::CoreAddress { tile: self.tile, addr, bytes: bytes as u32 }),
        }
    }

    /// Whether a request that others can see must wait until array time reaches the core.
    #[inline]
    fn ahead(&mut self) -> bool {
        if self.time > self.fabric.now {
            self.deferred = true;
        }
        self.deferred
    }

    /// Lock of the partition for a core lock id.
    pub fn lock_index(&self, id: u8) -> Result<LockIx, Fault> {
        match self.neighbour(u32::from(id / 16)) {
            Some(core) => Ok(index::lock(index::core_tile(core), id % 16)),
            None => Err(Fault::CoreLock { tile: self.tile, id }),
        }
    }
}

/// [`CoreBus`] of a core away from the array: its own memory, and nobody to ask for anything.
pub struct AloneBus<'a> {
    /// The core's tile.
    pub tile: TileLoc,
    /// The core's memory.
    pub memory: &'a mut Memory,
}

impl AloneBus<'_> {
    #[inline(always)]
    fn place(&self, addr: u32, bytes: usize) -> Result<usize, Fault> {
        let offset = (addr & (WINDOW_BYTES - 1)) as usize;
        if addr >> 16 == OWN_WINDOW >> 16 && offset + bytes <= WINDOW_BYTES as usize {
            Ok(offset)
        } else {
            Err(Fault::CoreAddress { tile: self.tile, addr, bytes: bytes as u32 })
        }
    }
}

#[cold]
fn unwritten(tile: TileLoc, memory: &Memory, at: usize, addr: u32, bytes: usize) -> Result<(), Fault> {
    match memory.first_unwritten(at, bytes) {
        Some(bad) => {
            let first_bad = addr + (bad - at) as u32;
            Err(Fault::CoreUninitialised { tile, addr, bytes: bytes as u32, first_bad })
        }
        None => Ok(()),
    }
}

impl CoreBus for AloneBus<'_> {
    fn tile(&self) -> TileLoc {
        self.tile
    }

    #[inline]
    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = self.place(addr, out.len())?;
        if self.memory.first_unwritten(at, out.len()).is_some() {
            return unwritten(self.tile, self.memory, at, addr, out.len());
        }
        self.memory.read(at, out);
        Ok(())
    }

    #[inline(always)]
    fn load_piece(&mut self, addr: u32, out: &mut [u8; 32]) -> Result<(), Fault> {
        let at = self.place(addr, 32)?;
        match self.memory.piece(at) {
            Some(piece) => {
                *out = *piece;
                Ok(())
            }
            None => unwritten(self.tile, self.memory, at, addr, 32),
        }
    }

    #[inline]
    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        let at = self.place(addr, data.len())?;
        self.memory.write(at, data);
        Ok(())
    }

    fn lock(&mut self, _: u8, _: LockOp) -> Result<bool, Fault> {
        Ok(false)
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(None)
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Ok(false)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

impl CoreBus for TileBus<'_> {
    fn tile(&self) -> TileLoc {
        self.tile
    }

    #[inline]
    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let (core, at) = self.place(addr, out.len())?;
        let memory = &self.fabric.core_mem[core];
        if let Some(bad) = memory.first_unwritten(at, out.len()) {
            return Err(Fault::CoreUninitialised {
                tile: self.tile,
                addr,
                bytes: out.len() as u32,
                first_bad: addr + (bad - at) as u32,
            });
        }
        memory.read(at, out);
        Ok(())
    }

    #[inline]
    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        let (core, at) = self.place(addr, data.len())?;
        self.fabric.core_mem[core].write(at, data);
        Ok(())
    }

    fn lock(&mut self, id: u8, op: LockOp) -> Result<bool, Fault> {
        let lock = self.lock_index(id)?;
        if self.ahead() {
            return Ok(false);
        }
        let now = self.fabric.now;
        match op {
            LockOp::Acquire { value } => {
                if value == 0 {
                    let (tile, lock) = index::lock_id(lock);
                    return Err(Fault::AcquireZero { tile, lock });
                }
                match self.fabric.locks[lock].acquire(value, now) {
                    Acquire::Granted => {
                        self.fabric.lock_changed(lock);
                        Ok(true)
                    }
                    Acquire::Busy => {
                        self.fabric.schedule(now + 1, Event::CoreWake(self.core));
                        Ok(false)
                    }
                    Acquire::Wait => {
                        self.fabric.locks[lock].cores |= 1 << self.core;
                        Ok(false)
                    }
                }
            }
            LockOp::Release { value } => {
                let at = now + self.fabric.timing.core_release_visible;
                self.fabric.schedule(at, Event::Release(lock, value));
                Ok(true)
            }
        }
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        if self.ahead() {
            return Ok(None);
        }
        let now = self.fabric.now;
        let Some(tap) = self.fabric.flows.taps[FIRST_CORE_ENDPOINT + self.core] else {
            return Err(Fault::CorePortUnconnected { tile: self.tile, what: "input stream" });
        };
        let flow = &mut self.fabric.flows.flows[tap.flow];
        if flow.arrive(tap.receiver, now) > 0 {
            let word = flow.look(tap.receiver, 0);
            if word.valid != 0xf {
                return Err(Fault::StreamUninitialised { tile: self.tile, valid: word.valid });
            }
            self.fabric.consume(tap.flow, tap.receiver, 1);
            return Ok(Some(StreamWord { data: word.data, last: word.last }));
        }
        let bit = 1u128 << (FIRST_CORE_ENDPOINT + self.core);
        if flow.is_held(tap.receiver) {
            flow.held |= bit;
        } else if let Some(at) = flow.next_arrival(tap.receiver) {
            self.fabric.schedule(at.max(now + 1), Event::CoreWake(self.core));
        } else {
            flow.starved |= bit;
        }
        Ok(None)
    }

    fn stream_write(&mut self, word: StreamWord) -> Result<bool, Fault> {
        if self.ahead() {
            return Ok(false);
        }
        let (now, source) = (self.fabric.now, FIRST_CORE_ENDPOINT + self.core);
        let flow = &mut self.fabric.flows.flows[source];
        if !flow.is_connected() {
            return Err(self.fabric.flows.unconnected(source, Some(self.core)));
        }
        if flow.room() == 0 {
            flow.source_waits = true;
            return Ok(false);
        }
        flow.push(Word { data: word.data, valid: 0xf, last: word.last }, now);
        let starved = std::mem::take(&mut flow.starved);
        self.fabric.progress += 1;
        self.fabric.wake_sinks(starved);
        Ok(true)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        if self.ahead() {
            return Ok(None);
        }
        if self.fabric.cascade_source(self.core).is_none() {
            return Err(Fault::CorePortUnconnected { tile: self.tile, what: "cascade input" });
        }
        let now = self.fabric.now;
        match self.fabric.cascade[self.core].front() {
            Some(&(ready, word)) if ready <= now => {
                self.fabric.cascade[self.core].pop_front();
                self.fabric.progress += 1;
                let mut writers = std::mem::take(&mut self.fabric.cascade_writers[self.core]);
                while writers != 0 {
                    self.fabric.schedule(now + 1, Event::CoreWake(writers.trailing_zeros() as usize));
                    writers &= writers - 1;
                }
                Ok(Some(word))
            }
            Some(&(ready, _)) => {
                self.fabric.schedule(ready, Event::CoreWake(self.core));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn cascade_write(&mut self, word: CascadeWord) -> Result<bool, Fault> {
        if self.ahead() {
            return Ok(false);
        }
        let Some(to) = self.fabric.cascade_target(self.core) else {
            return Err(Fault::CorePortUnconnected { tile: self.tile, what: "cascade output" });
        };
        if self.fabric.cascade[to].len() as u64 >= self.fabric.timing.cascade_words {
            self.fabric.cascade_writers[to] |= 1 << self.core;
            return Ok(false);
        }
        let ready = self.fabric.now + self.fabric.timing.cascade_latency;
        self.fabric.cascade[to].push_back((ready, word));
        self.fabric.progress += 1;
        self.fabric.schedule(ready, Event::CoreWake(to));
        Ok(true)
    }
}
