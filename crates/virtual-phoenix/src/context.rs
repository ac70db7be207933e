//! Hardware contexts: columns, heap, compute units, and the thread that simulates them.

use crate::execute::{Job, Worker};
use crate::guest::{AccessError, GuestMemory};
use aie2_sim::HostMemory;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError, RwLock};

/// Device address of the heap.
// SOURCE: amd/xdna-driver aie2_pci.h AIE2_DEVM_BASE.
pub const HEAP_BASE: u64 = 0x0400_0000;
/// Largest heap.
pub const HEAP_BYTES: u64 = 64 << 20;

/// Commands of a context that are in flight or wait for its thread. A host has no more ids.
// SOURCE: amd/xdna-driver amdxdna_mailbox.c MAX_MSG_ID_ENTRIES.
pub const MAX_COMMANDS: usize = 256;

/// Where a context's heap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Its address in guest memory.
    pub address: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Heap {
    /// Address in guest memory of `bytes` bytes at device address `device`, if all lie in the heap.
    pub fn locate(&self, device: u64, bytes: u64) -> Option<u64> {
        let offset = device.checked_sub(HEAP_BASE)?;
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        inside.then(|| self.address.checked_add(offset)).flatten()
    }
}

/// A compute unit: a PDI in the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Device address of the PDI.
    pub pdi: u64,
    /// Functional id.
    pub function: u8,
}

impl Unit {
    /// The unit of a CONFIG_CU word; `None` if a bit is set that has no meaning.
    // SOURCE: amd/xdna-driver aie2_msg_priv.h AIE2_MSG_CFG_CU_PDI_ADDR, AIE2_MSG_CFG_CU_FUNC; 32 KiB steps.
    pub fn of(word: u32) -> Option<Self> {
        let unit = Self { pdi: u64::from(word & 0x1_ffff) << 15, function: (word >> 17) as u8 };
        (word >> 25 == 0).then_some(unit)
    }
}

/// Guest memory as long as a context lives: afterwards nothing of the context reaches it, whatever still runs.
#[derive(Clone)]
pub struct ContextMemory {
    guest: Arc<GuestMemory>,
    alive: Arc<RwLock<bool>>,
}

impl ContextMemory {
    fn new(guest: Arc<GuestMemory>) -> Self {
        Self { guest, alive: Arc::new(RwLock::new(true)) }
    }

    /// Waits for accesses under way and forbids all to come.
    fn end(&self) {
        *self.alive.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn with<T>(&self, access: impl FnOnce(&GuestMemory) -> Result<T, AccessError>) -> Result<T, String> {
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if !*alive {
            return Err("the context is gone".into());
        }
        access(&self.guest).map_err(|error| error.to_string())
    }
}

impl HostMemory for ContextMemory {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), String> {
        self.with(|guest| guest.read(addr, out))
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), String> {
        self.with(|guest| guest.write(addr, data))
    }
}

/// Why a context's thread does not get a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait for it.
    #[error("{MAX_COMMANDS} commands wait for the context's thread")]
    Full,
    /// It has ended.
    #[error("the context's thread is gone")]
    Gone,
}

/// A context.
pub struct Context {
    /// Its number.
    pub id: u32,
    /// Its channel and interrupt vector.
    pub channel: usize,
    /// First column.
    pub start: u8,
    /// Columns.
    pub columns: u8,
    /// Its heap, once mapped.
    pub heap: Option<Heap>,
    /// Its compute units, once configured.
    pub units: Arc<Vec<Unit>>,
    /// Status of its columns after its last command; empty before.
    pub status: Vec<Vec<u8>>,
    /// A command of it never ends, and none after it.
    pub hung: bool,
    /// It was lost.
    pub evicted: bool,
    /// Message ids of its commands that have no answer yet.
    pub in_flight: BTreeSet<u32>,
    jobs: SyncSender<Job>,
    memory: ContextMemory,
    call_off: Arc<AtomicBool>,
}

impl Context {
    /// Makes a context; `worker` gets its jobs.
    pub fn new(
        (id, channel): (u32, usize),
        (start, columns): (u8, u8),
        guest: Arc<GuestMemory>,
        worker: impl FnOnce(Worker),
    ) -> Self {
        let (jobs, queue) = mpsc::sync_channel(MAX_COMMANDS);
        let memory = ContextMemory::new(guest);
        let call_off = Arc::new(AtomicBool::new(false));
        worker(Worker::new(id, columns, memory.clone(), Arc::clone(&call_off), queue));
        Self {
            id,
            channel,
            start,
            columns,
            heap: None,
            units: Arc::default(),
            status: Vec::new(),
            hung: false,
            evicted: false,
            in_flight: BTreeSet::new(),
            jobs,
            memory,
            call_off,
        }
    }

    /// Gives its thread something to do.
    ///
    /// # Errors
    /// [`SubmitError`]: the thread does not get it.
    pub fn submit(&self, job: Job) -> Result<(), SubmitError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Full,
            TrySendError::Disconnected(_) => SubmitError::Gone,
        })
    }

    /// Bit per column of the device.
    pub fn column_mask(&self) -> u32 {
        ((1 << self.columns) - 1) << self.start
    }

    /// Guest memory as this context reaches it.
    pub fn memory(&self) -> ContextMemory {
        self.memory.clone()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.call_off.store(true, Ordering::Relaxed);
        self.memory.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_a_window() {
        let heap = Heap { address: 0x7_0000_0000, bytes: HEAP_BYTES };
        assert_eq!(heap.locate(0x0400_0000, 16), Some(0x7_0000_0000));
        assert_eq!(heap.locate(0x07ff_fff0, 16), Some(0x7_03ff_fff0));
        assert_eq!(heap.locate(0x07ff_fff0, 17), None);
        assert_eq!(heap.locate(0x03ff_ffff, 1), None);
        assert_eq!(heap.locate(u64::MAX, 1), None);
        assert_eq!(heap.locate(HEAP_BASE, u64::MAX), None);
    }

    #[test]
    fn units_by_their_word() {
        assert_eq!(Unit::of(0x0802 | 3 << 17), Some(Unit { pdi: 0x0401_0000, function: 3 }));
        assert_eq!(Unit::of(1 << 25), None);
    }
}
