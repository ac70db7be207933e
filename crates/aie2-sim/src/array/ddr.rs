//! Host memory as the shim DMAs see it: buffers of the machine, or memory that belongs to somebody else.

use super::memory::Memory;
use crate::fault::{ChannelId, Fault};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// A host buffer of a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BufferId(pub(crate) usize);

/// Where host memory begins in the array's view.
// SOURCE: Xilinx/mlir-aie AIETargetNPU.cpp kDDRAIEAddrOffset.
pub const APERTURE: u64 = 0x8000_0000;
/// Arguments whose addresses the firmware moves into the aperture itself.
// SOURCE: Xilinx/mlir-aie AIETargetNPU.cpp kNumFirmwareTranslatedArgs.
pub const TRANSLATED_ARGUMENTS: u64 = 5;

/// Host address of the first buffer, and distance between buffers. A buffer is much smaller than the distance, so an
/// address that misses its buffer (by a wrong extent or a missing aperture) lands in a gap.
const FIRST_BASE: u64 = 0x10_0000_0000;
const SPACING: u64 = 0x4_0000_0000;

#[derive(Clone, Debug)]
struct Buffer {
    name: String,
    memory: Memory,
    read_bytes: u64,
    written_bytes: u64,
}

/// DDR traffic of one argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArgumentTraffic {
    /// Buffer name.
    pub name: String,
    /// Bytes the array read.
    pub read_bytes: u64,
    /// Bytes the array wrote.
    pub written_bytes: u64,
}

/// Memory of a host that is not the machine's: addressed as the host addresses it, all of it written.
pub trait HostMemory: Send {
    /// Fills `out` from `addr`.
    ///
    /// # Errors
    /// Why the range cannot be read.
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), String>;

    /// Stores `data` at `addr`.
    ///
    /// # Errors
    /// Why the range cannot be written.
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), String>;
}

/// Bytes that are fetched from a host at once; no DMA access crosses a multiple of them.
const PAGE_BYTES: u64 = 4096;
/// Pages kept; with more of them all are written back and fetched again.
const MOST_PAGES: usize = 1 << 16;
/// Addresses of the array have so many bits; what passes them wraps.
// SOURCE: AM025 shim DMA BD words 1 and 2: address bits 47:2.
const ADDRESS_MASK: u64 = (1 << 48) - 1;

/// A piece of a host's memory while a command runs.
struct Page {
    memory: Memory,
    /// Bit b of word w: the array wrote word 64 w + b.
    dirty: [u64; PAGE_BYTES as usize / 256],
}

/// Memory of a host, and what a command has of it.
struct Host {
    memory: Box<dyn HostMemory>,
    arguments: Vec<u64>,
    pages: HashMap<u64, Page>,
    read_bytes: u64,
    written_bytes: u64,
}

impl Host {
    /// The page of an address, fetched if need be.
    fn page(&mut self, at: u64) -> Result<&mut Page, String> {
        let number = at / PAGE_BYTES;
        if !self.pages.contains_key(&number) && self.pages.len() >= MOST_PAGES {
            self.flush().map_err(|fault| fault.to_string())?;
        }
        match self.pages.entry(number) {
            Entry::Occupied(page) => Ok(page.into_mut()),
            Entry::Vacant(place) => {
                let mut bytes = [0; PAGE_BYTES as usize];
                self.memory.read(number * PAGE_BYTES, &mut bytes)?;
                let mut memory = Memory::new(bytes.len());
                memory.write(0, &bytes);
                Ok(place.insert(Page { memory, dirty: Default::default() }))
            }
        }
    }

    /// The page and the place in it of `bytes` bytes at `at`.
    fn access(&mut self, at: u64, bytes: u64, write: bool) -> Result<(&mut Memory, usize), String> {
        let offset = (at % PAGE_BYTES) as usize;
        if write {
            self.written_bytes += bytes;
        } else {
            self.read_bytes += bytes;
        }
        let page = self.page(at)?;
        if write {
            for word in offset / 4..(offset + bytes as usize).div_ceil(4) {
                page.dirty[word / 64] |= 1 << (word % 64);
            }
        }
        Ok((&mut page.memory, offset))
    }

    /// Stores what the array wrote and forgets all pages.
    fn flush(&mut self) -> Result<(), Fault> {
        let mut numbers: Vec<u64> = self.pages.keys().copied().collect();
        numbers.sort_unstable();
        let mut outcome = Ok(());
        for number in numbers {
            let Some(page) = self.pages.remove(&number) else { continue };
            let is_dirty =
                |word: usize| word < PAGE_BYTES as usize / 4 && page.dirty[word / 64] >> (word % 64) & 1 == 1;
            let mut word = 0;
            while let Some(first) = (word..PAGE_BYTES as usize / 4).find(|&word| is_dirty(word)) {
                let end = (first..).find(|&word| !is_dirty(word)).unwrap_or(first);
                let addr = number * PAGE_BYTES + 4 * first as u64;
                let stored = self.memory.write(addr, &page.memory.bytes()[4 * first..4 * end]);
                outcome = outcome.and(stored.map_err(|why| Fault::HostStore { addr, why }));
                word = end;
            }
        }
        outcome
    }
}

/// All host memory, and what of it the running command maps.
#[derive(Default)]
pub struct Ddr {
    buffers: Vec<Buffer>,
    arguments: Vec<usize>,
    host: Option<Host>,
}

impl fmt::Debug for Ddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { buffers, arguments, host } = self;
        let host = host.as_ref().map(|host| &host.arguments);
        f.debug_struct("Ddr").field("buffers", buffers).field("arguments", arguments).field("host", &host).finish()
    }
}

impl Ddr {
    /// Adds a buffer of `bytes` bytes, none written.
    pub fn alloc(&mut self, name: &str, bytes: usize) -> BufferId {
        self.buffers.push(Buffer { name: name.into(), memory: Memory::new(bytes), read_bytes: 0, written_bytes: 0 });
        BufferId(self.buffers.len() - 1)
    }

    fn buffer(&self, id: BufferId) -> Result<&Buffer, Fault> {
        self.buffers.get(id.0).ok_or(Fault::NoSuchBuffer(id.0))
    }

    fn range(&self, id: BufferId, offset: usize, len: usize) -> Result<(), Fault> {
        let b = self.buffer(id)?;
        match offset.checked_add(len) {
            Some(end) if end <= b.memory.len() => Ok(()),
            end => Err(Fault::HostRange {
                name: b.name.clone(),
                offset,
                end: end.unwrap_or(usize::MAX),
                bytes: b.memory.len(),
            }),
        }
    }

    /// Size of a buffer in bytes.
    pub fn len(&self, id: BufferId) -> Result<usize, Fault> {
        Ok(self.buffer(id)?.memory.len())
    }

    /// Whether no buffer exists.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Host write.
    pub fn write(&mut self, id: BufferId, offset: usize, data: &[u8]) -> Result<(), Fault> {
        self.range(id, offset, data.len())?;
        self.buffers[id.0].memory.write(offset, data);
        Ok(())
    }

    /// Host read of bytes that were all written.
    pub fn read(&self, id: BufferId, offset: usize, len: usize) -> Result<Vec<u8>, Fault> {
        self.range(id, offset, len)?;
        let b = self.buffer(id)?;
        if let Some(first) = b.memory.first_unwritten(offset, len) {
            return Err(Fault::HostUninitialised {
                name: b.name.clone(),
                offset: first,
                missing: b.memory.unwritten_in(offset, len),
            });
        }
        Ok(b.memory.bytes()[offset..offset + len].to_vec())
    }

    /// Host read with, for every byte, whether it was written.
    pub fn read_masked(&self, id: BufferId) -> Result<(Vec<u8>, Vec<bool>), Fault> {
        let m = &self.buffer(id)?.memory;
        Ok((m.bytes().to_vec(), (0..m.len()).map(|i| m.is_written(i)).collect()))
    }

    /// Maps the buffers of a command, argument 0 first, and clears the traffic counters.
    pub(crate) fn map(&mut self, arguments: &[BufferId]) -> Result<(), Fault> {
        for &id in arguments {
            self.buffer(id)?;
        }
        self.arguments = arguments.iter().map(|id| id.0).collect();
        for b in &mut self.buffers {
            (b.read_bytes, b.written_bytes) = (0, 0);
        }
        Ok(())
    }

    /// Commands find their data in `memory` from now on.
    pub(crate) fn attach(&mut self, memory: Box<dyn HostMemory>) {
        let (arguments, pages) = (Vec::new(), HashMap::new());
        self.host = Some(Host { memory, arguments, pages, read_bytes: 0, written_bytes: 0 });
    }

    /// Maps host addresses as the arguments of a command.
    pub(crate) fn map_host(&mut self, arguments: &[u64]) -> Result<(), Fault> {
        let host = self.host.as_mut().ok_or(Fault::NoHostMemory)?;
        host.arguments = arguments.to_vec();
        (host.read_bytes, host.written_bytes) = (0, 0);
        Ok(())
    }

    /// Stores in the host's memory what the array wrote.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.host.as_mut().map_or(Ok(()), Host::flush)
    }

    /// Number of arguments mapped.
    pub(crate) fn arguments(&self) -> usize {
        self.host.as_ref().map_or(self.arguments.len(), |host| host.arguments.len())
    }

    /// Host address of argument `index`, as the register map of the command carries it.
    pub(crate) fn host_address(&self, index: usize) -> Option<u64> {
        match &self.host {
            Some(host) => host.arguments.get(index).copied(),
            None => self.arguments.get(index).map(|&b| FIRST_BASE + b as u64 * SPACING),
        }
    }

    /// Traffic per argument since the mapping.
    pub(crate) fn traffic(&self) -> Vec<ArgumentTraffic> {
        if let Some(&Host { read_bytes, written_bytes, .. }) = self.host.as_ref() {
            return vec![ArgumentTraffic { name: "host memory".into(), read_bytes, written_bytes }];
        }
        self.arguments
            .iter()
            .map(|&b| &self.buffers[b])
            .map(|b| ArgumentTraffic { name: b.name.clone(), read_bytes: b.read_bytes, written_bytes: b.written_bytes })
            .collect()
    }

    fn locate(&self, addr: u64, bytes: u64) -> Option<(usize, usize)> {
        let host = addr.checked_sub(APERTURE)?.checked_sub(FIRST_BASE)?;
        let (b, offset) = ((host / SPACING) as usize, host % SPACING);
        let buffer = self.buffers.get(b)?;
        (self.arguments.contains(&b) && offset + bytes <= buffer.memory.len() as u64).then_some((b, offset as usize))
    }

    fn miss(&self, channel: ChannelId, bd: u8, word: u64, addr: u64) -> Fault {
        let below = (0..self.arguments.len())
            .filter_map(|i| Some((i, self.host_address(i)? + APERTURE)))
            .filter(|&(_, base)| base <= addr)
            .max_by_key(|&(_, base)| base);
        let (argument, base) = below.map_or((None, 0), |(i, base)| (Some(i), base));
        let bytes = argument.map_or(0, |i| self.buffers[self.arguments[i]].memory.len() as u64);
        Fault::DdrAddress { channel, bd, word, addr, argument, base, bytes }
    }

    /// Bytes of the run at `addr` as a slice position: buffer and offset.
    pub(crate) fn access(
        &mut self,
        channel: ChannelId,
        bd: u8,
        word: u64,
        addr: u64,
        bytes: u64,
        write: bool,
    ) -> Result<(&mut Memory, usize), Fault> {
        match self.host {
            None => self.access_buffer(channel, bd, word, addr, bytes, write),
            Some(_) => {
                let host = self.host.as_mut().ok_or(Fault::NoHostMemory)?;
                let at = addr.wrapping_sub(APERTURE) & ADDRESS_MASK;
                let fault = |why| Fault::HostAddress { channel, bd, word, addr, host: at, why };
                host.access(at, bytes, write).map_err(fault)
            }
        }
    }

    fn access_buffer(
        &mut self,
        channel: ChannelId,
        bd: u8,
        word: u64,
        addr: u64,
        bytes: u64,
        write: bool,
    ) -> Result<(&mut Memory, usize), Fault> {
        let Some((b, offset)) = self.locate(addr, bytes) else {
            return Err(self.miss(channel, bd, word, addr));
        };
        let buffer = &mut self.buffers[b];
        if write {
            buffer.written_bytes += bytes;
        } else {
            buffer.read_bytes += bytes;
        }
        Ok((&mut buffer.memory, offset))
    }
}
