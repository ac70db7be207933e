//! Host buffers as the shim DMAs see them.

use super::memory::Memory;
use crate::fault::{ChannelId, Fault};

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

/// All host buffers, and which of them the running command maps.
#[derive(Clone, Default, Debug)]
pub struct Ddr {
    buffers: Vec<Buffer>,
    arguments: Vec<usize>,
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

    /// Number of arguments mapped.
    pub(crate) fn arguments(&self) -> usize {
        self.arguments.len()
    }

    /// Host address of argument `index`, as the register map of the command carries it.
    pub(crate) fn host_address(&self, index: usize) -> Option<u64> {
        self.arguments.get(index).map(|&b| FIRST_BASE + b as u64 * SPACING)
    }

    /// Traffic per argument since the mapping.
    pub(crate) fn traffic(&self) -> Vec<ArgumentTraffic> {
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
