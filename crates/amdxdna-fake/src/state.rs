//! The driver's state: files, clients, buffers, contexts, jobs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use amdxdna::kernel::{Call, Mapping};
use amdxdna::{Errno, Ioctl};

use crate::NODE;
use crate::driver::{AddressMode, Driver};
use crate::execution::{Execution, Outcome, View};
use crate::memory::{Mapped, Store};

/// What is open on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// File descriptors.
    pub fds: usize,
    /// Mappings.
    pub mappings: usize,
    /// Handles of buffer objects.
    pub handles: usize,
    /// Contexts.
    pub contexts: usize,
    /// Handles of syncobjs.
    pub syncobjs: usize,
    /// Bytes locked or pinned.
    pub locked: u64,
}

impl Counts {
    /// Whether nothing is.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// An ioctl as it was called and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Descriptor.
    pub fd: i32,
    /// Request number.
    pub request: u32,
    /// The argument as it came; addresses are 0.
    pub argument: Vec<u8>,
    /// The memory it pointed at, as it came, with the offset of its address.
    pub pointed: Vec<(usize, Vec<u8>)>,
    /// The answer.
    pub result: Result<(), Errno>,
}

/// A change of an answer.
pub(crate) type Change = Box<dyn FnOnce(&mut [u8], &mut [&mut [u8]]) + Send>;

enum Trigger {
    Ioctl(Ioctl),
    Map,
}

enum Effect {
    Errno(Errno),
    Corrupt(Change),
}

/// Something that goes wrong when its turn comes.
pub(crate) struct Fault {
    trigger: Trigger,
    left: usize,
    effect: Effect,
}

impl Fault {
    pub(crate) fn ioctl(ioctl: Ioctl, nth: usize, errno: Errno) -> Self {
        Self { trigger: Trigger::Ioctl(ioctl), left: nth, effect: Effect::Errno(errno) }
    }

    pub(crate) fn corrupt(ioctl: Ioctl, nth: usize, change: Change) -> Self {
        Self { trigger: Trigger::Ioctl(ioctl), left: nth, effect: Effect::Corrupt(change) }
    }

    pub(crate) fn map(nth: usize, errno: Errno) -> Self {
        Self { trigger: Trigger::Map, left: nth, effect: Effect::Errno(errno) }
    }
}

/// What a descriptor stands for.
#[derive(Debug)]
pub(crate) enum Open {
    Node(Client),
    /// A dma-buf, or a file that is no device: memory of a known size.
    DmaBuf(Arc<Object>),
}

/// A buffer object.
#[derive(Debug)]
pub(crate) struct Object {
    pub id: u64,
    pub kind: u32,
    pub bytes: u64,
    pub store: Arc<Store>,
    /// Where the NPU sees it; in process mode the address of the first mapping.
    pub address: OnceLock<u64>,
    /// Whether its pages are the process's own.
    pub user: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    pub handles: BTreeMap<u32, Arc<Object>>,
    pub contexts: BTreeMap<u32, Context>,
    pub syncobjs: Vec<u32>,
    pub next_syncobj: u32,
    pub heap: Option<Weak<Object>>,
}

#[derive(Debug, Default)]
pub(crate) struct Context {
    pub columns: u32,
    pub syncobj: u32,
    pub units: Vec<(u64, u8)>,
    /// The driver keeps the PDIs.
    pub pdis: Vec<Arc<Object>>,
    pub next_sequence: u64,
    pub jobs: BTreeMap<u64, Job>,
    pub submissions: u64,
    pub completions: u64,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub command: Arc<Object>,
    pub arguments: Vec<Arc<Object>>,
    pub outcome: Outcome,
    pub due: Option<i64>,
    pub ended: bool,
}

impl Job {
    /// Writes the end into the packet, and lets go of the buffers.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
        self.arguments.clear();
        let (state, health) = (self.outcome.state, self.outcome.health);
        self.command.store.access(0..self.command.bytes as usize, |packet| {
            packet[0] = packet[0] & 0xF0 | state as u8;
            if matches!(state, 5 | 6 | 8 | 9) {
                packet[4..].fill(0xFF);
                for (word, value) in packet[4..].chunks_exact_mut(4).zip(health.into_iter().flatten()) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
        });
    }
}

type Executor = Box<dyn FnMut(&mut Execution<'_>) -> Outcome + Send>;

/// The machine.
pub(crate) struct State {
    pub driver: Driver,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Files that are no device.
    pub data: BTreeMap<PathBuf, Vec<u8>>,
    pub fds: BTreeMap<i32, Open>,
    pub regions: BTreeMap<u64, (Mapped, u64)>,
    pub clock: i64,
    /// Whether waits block in a system call.
    pub blocks: bool,
    /// Waits that a signal has ended.
    pub interrupted: usize,
    pub log: Vec<Entry>,
    pub faults: Vec<Fault>,
    pub executor: Option<Executor>,
    pub unplugged: bool,
    /// Length of the log at which the NPU goes away.
    pub unplug_at: Option<usize>,
    pub open_errno: Option<Errno>,
    pub power_mode: u8,
    pub pinned: BTreeMap<u64, (Weak<Object>, u64)>,
    /// Cache flushes, address and bytes.
    pub flushes: Vec<(u64, u64)>,
    pub next_id: u64,
    pub next_handle: u32,
    pub next_context: u32,
    next_fd: i32,
    next_address: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("driver", &self.driver).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// The first address that mappings get.
const ADDRESSES: u64 = 0x7F00_0000_0000;

impl State {
    pub(crate) fn new(driver: Driver) -> Self {
        let device = Path::new("/sys/class/accel/accel0/device");
        let files =
            [("vendor", "0x1022\n"), ("device", "0x1502\n"), ("revision", "0x00\n"), ("fw_version", "1.5.5.391\n")];
        Self {
            driver,
            files: files.into_iter().map(|(name, text)| (device.join(name), text.as_bytes().to_vec())).collect(),
            data: BTreeMap::new(),
            fds: BTreeMap::new(),
            regions: BTreeMap::new(),
            clock: 1_000_000_000,
            blocks: false,
            interrupted: 0,
            log: Vec::new(),
            faults: Vec::new(),
            executor: None,
            unplugged: false,
            unplug_at: None,
            open_errno: None,
            power_mode: 0,
            pinned: BTreeMap::new(),
            flushes: Vec::new(),
            next_id: 1,
            next_handle: 1,
            next_context: 1,
            next_fd: 3,
            next_address: ADDRESSES,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let clients = || {
            self.fds.values().filter_map(|open| match open {
                Open::Node(client) => Some(client),
                Open::DmaBuf(_) => None,
            })
        };
        let pinned = self.pinned.values().filter(|(object, _)| object.strong_count() > 0);
        Counts {
            fds: self.fds.len(),
            mappings: self.regions.len(),
            handles: clients().map(|client| client.handles.len()).sum(),
            contexts: clients().map(|client| client.contexts.len()).sum(),
            syncobjs: clients().map(|client| client.syncobjs.len()).sum(),
            locked: self.regions.values().map(|(_, locked)| locked).sum::<u64>()
                + pinned.map(|(_, bytes)| bytes).sum::<u64>(),
        }
    }

    pub(crate) fn flushed(&mut self, address: u64, bytes: u64) {
        self.flushes.push((address, bytes));
    }

    pub(crate) fn open(&mut self, path: &Path) -> Result<i32, Errno> {
        if let Some(errno) = self.open_errno {
            return Err(errno);
        }
        if let Some(contents) = self.data.get(path) {
            let bytes = contents.len();
            let store = Store::new(bytes.next_multiple_of(4096));
            store.access(0..bytes, |memory| memory.copy_from_slice(contents));
            let object =
                Object { id: self.next_id, kind: 0, bytes: bytes as u64, store, address: OnceLock::new(), user: false };
            self.next_id += 1;
            return Ok(self.new_fd(Open::DmaBuf(Arc::new(object))));
        }
        if path != Path::new(NODE) {
            return Err(Errno::ENOENT);
        }
        if self.unplugged {
            return Err(Errno::ENODEV);
        }
        Ok(self.new_fd(Open::Node(Client::default())))
    }

    pub(crate) fn new_fd(&mut self, open: Open) -> i32 {
        let number = self.next_fd;
        self.next_fd += 1;
        self.fds.insert(number, open);
        number
    }

    pub(crate) fn close(&mut self, number: i32) -> Option<Open> {
        self.fds.remove(&number)
    }

    pub(crate) fn list(&self, path: &Path) -> Result<Vec<String>, Errno> {
        let children = self.files.keys().filter_map(|file| file.strip_prefix(path).ok());
        let mut names: Vec<String> =
            children.filter_map(|rest| Some(rest.iter().next()?.to_str()?.to_owned())).collect();
        names.dedup();
        if names.is_empty() { Err(Errno::ENOENT) } else { Ok(names) }
    }

    pub(crate) fn client(&mut self, fd: i32) -> Result<&mut Client, Errno> {
        match self.fds.get_mut(&fd) {
            Some(Open::Node(client)) => Ok(client),
            Some(Open::DmaBuf(_)) => Err(Errno::ENOTTY),
            None => Err(Errno::EBADF),
        }
    }

    fn map_fault(&mut self) -> Option<Errno> {
        let place = self.turn(|trigger| matches!(trigger, Trigger::Map))?;
        match self.faults.remove(place).effect {
            Effect::Errno(errno) => Some(errno),
            Effect::Corrupt(_) => unreachable!("mmap has no answer to change"),
        }
    }

    /// The fault whose turn it is; the turn of the others comes nearer.
    fn turn(&mut self, on: impl Fn(&Trigger) -> bool) -> Option<usize> {
        let mut found = None;
        for (place, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| on(&fault.trigger)) {
            match fault.left {
                0 if found.is_none() => found = Some(place),
                0 => {}
                _ => fault.left -= 1,
            }
        }
        found
    }

    pub(crate) fn locked(&self) -> u64 {
        self.counts().locked
    }

    fn region(&mut self, mapping: Mapping, store: Arc<Store>) -> Result<Mapped, Errno> {
        let bytes = mapping.bytes.next_multiple_of(4096);
        let locked = if mapping.lock { bytes as u64 } else { 0 };
        if locked > 0 && self.locked().saturating_add(locked) > self.driver.memlock {
            return Err(Errno::EAGAIN);
        }
        let address = self.next_address.next_multiple_of(mapping.align.max(4096) as u64);
        // A page between two mappings, so that an overrun belongs to no buffer.
        self.next_address = address + bytes as u64 + 4096;
        let mapped = Mapped { id: self.next_id, address, bytes, store };
        self.next_id += 1;
        self.regions.insert(mapped.id, (mapped.clone(), locked));
        Ok(mapped)
    }

    pub(crate) fn map_anonymous(&mut self, mapping: Mapping) -> Result<Mapped, Errno> {
        if let Some(errno) = self.map_fault() {
            return Err(errno);
        }
        self.region(mapping, Store::new(mapping.bytes.next_multiple_of(4096)))
    }

    pub(crate) fn map(&mut self, fd: i32, offset: u64, mapping: Mapping) -> Result<Mapped, Errno> {
        if let Some(errno) = self.map_fault() {
            return Err(errno);
        }
        let object = match self.fds.get(&fd) {
            Some(Open::DmaBuf(object)) if offset == 0 => Arc::clone(object),
            Some(Open::DmaBuf(_)) | None => return Err(Errno::EINVAL),
            Some(Open::Node(_)) if self.unplugged => return Err(Errno::ENODEV),
            Some(Open::Node(client)) => {
                let found = client.handles.values().find(|object| map_offset(object) == Some(offset));
                Arc::clone(found.ok_or(Errno::EINVAL)?)
            }
        };
        if mapping.bytes as u64 > object.bytes {
            return Err(Errno::EINVAL);
        }
        let mapped = self.region(mapping, Arc::clone(&object.store))?;
        if self.driver.addresses == AddressMode::Process || object.kind == HEAP {
            // Only the first mapping counts.
            let _ = object.address.set(mapped.address);
        }
        Ok(mapped)
    }

    pub(crate) fn unmap(&mut self, id: u64) -> Option<(Mapped, u64)> {
        self.regions.remove(&id)
    }

    pub(crate) fn advance(&mut self, by: i64) {
        self.clock += by;
        let now = self.clock;
        for open in self.fds.values_mut() {
            let Open::Node(client) = open else { continue };
            for context in client.contexts.values_mut() {
                for job in context.jobs.values_mut().filter(|job| !job.ended) {
                    if job.due.is_some_and(|due| due <= now) {
                        job.finish();
                        context.completions += 1;
                    }
                }
            }
        }
    }

    pub(crate) fn end(&mut self, context: u32, sequence: u64, outcome: Outcome) {
        let clock = self.clock;
        let clients = self.fds.values_mut().filter_map(|open| match open {
            Open::Node(client) => Some(client),
            Open::DmaBuf(_) => None,
        });
        let job = clients
            .filter_map(|client| client.contexts.get_mut(&context))
            .find_map(|context| context.jobs.get_mut(&sequence))
            .unwrap_or_else(|| panic!("no command {sequence} of context {context}"));
        job.due = outcome.after.map(|after| clock + after.as_nanos() as i64);
        job.outcome = outcome;
        self.advance(0);
    }

    pub(crate) fn ioctl(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let mut entry = Entry {
            fd,
            request: call.request,
            argument: call.argument.to_vec(),
            pointed: call.pointed.iter().map(|p| (p.at, p.bytes.to_vec())).collect(),
            result: Ok(()),
        };
        self.unplugged |= self.unplug_at.is_some_and(|at| self.log.len() >= at);
        let ioctl = Ioctl::of_request(call.request);
        let place = self.turn(|trigger| matches!(trigger, Trigger::Ioctl(of) if Some(*of) == ioctl));
        let effect = place.map(|place| self.faults.remove(place).effect);
        let result = match effect {
            // drm_ioctl refuses everything on an unplugged device.
            _ if self.unplugged => Err(Errno::ENODEV),
            Some(Effect::Errno(errno)) => Err(errno),
            Some(Effect::Corrupt(change)) => {
                let result = self.dispatch(fd, call);
                let mut pointed: Vec<&mut [u8]> = call.pointed.iter_mut().map(|p| &mut *p.bytes).collect();
                change(call.argument, &mut pointed);
                result
            }
            None => self.dispatch(fd, call),
        };
        entry.result = result;
        self.log.push(entry);
        result
    }

    /// Memory as the NPU sees it for a client: the heap, and what is mapped or has an address.
    pub(crate) fn view(&mut self, fd: i32) -> Result<View, Errno> {
        let mut view = View::default();
        for object in self.client(fd)?.handles.values() {
            if object.kind == HEAP {
                view.ranges.push((HEAP_ADDRESS..HEAP_ADDRESS + object.bytes, Arc::clone(&object.store)));
            } else if let (Some(&address), true) = (object.address.get(), object.kind != DEV) {
                view.ranges.push((address..address + object.bytes, Arc::clone(&object.store)));
            }
        }
        Ok(view)
    }
}

// SOURCE: enum amdxdna_bo_type; npu1_regs.c
pub(crate) const SHARE: u32 = 1;
pub(crate) const HEAP: u32 = 2;
pub(crate) const DEV: u32 = 3;
pub(crate) const CMD: u32 = 4;
pub(crate) const HEAP_ADDRESS: u64 = 0x0400_0000;
pub(crate) const HEAP_BYTES: u64 = 0x0400_0000;

/// Where an object is mapped from; DEV and user buffers are not.
pub(crate) fn map_offset(object: &Object) -> Option<u64> {
    (object.kind != DEV && !object.user).then_some(object.id << 32)
}
