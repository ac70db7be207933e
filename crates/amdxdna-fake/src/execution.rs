//! Commands: what a test's executor sees, and how it says they end.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::memory::Store;

/// How and when a command ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub(crate) state: u32,
    /// `None`: never.
    pub(crate) after: Option<Duration>,
    pub(crate) health: Option<[u32; 8]>,
}

impl Outcome {
    /// COMPLETED, at once.
    pub fn completed() -> Self {
        Self::state(4)
    }

    /// In this state (bits 3:0 of the header), at once. A failure fills the packet with ones, as newer drivers do.
    pub fn state(state: u32) -> Self {
        assert!(state < 16, "state {state}");
        Self { state, after: Some(Duration::ZERO), health: None }
    }

    /// Never: the array hangs or the completion is lost.
    pub fn never() -> Self {
        Self { state: 1, after: None, health: None }
    }

    /// The same, later on the fake clock.
    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    /// The same, with the words a driver writes behind the header of a command that timed out.
    pub fn health(self, words: [u32; 8]) -> Self {
        Self { health: Some(words), ..self }
    }
}

/// Memory as the NPU sees it: device addresses, and the stores behind them.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) ranges: Vec<(Range<u64>, Arc<Store>)>,
}

impl View {
    fn at(&self, address: u64, bytes: usize) -> (&Store, Range<usize>) {
        let end = address.checked_add(bytes as u64).expect("an address");
        let found = self.ranges.iter().find(|(range, _)| range.start <= address && end <= range.end);
        let (range, store) =
            found.unwrap_or_else(|| panic!("IO_PAGE_FAULT: {bytes} bytes at {address:#x} belong to no buffer"));
        let offset = (address - range.start) as usize;
        (store, offset..offset + bytes)
    }
}

/// A command at work: its packet, and the NPU's view of memory.
#[derive(Debug)]
pub struct Execution<'a> {
    pub(crate) context: u32,
    pub(crate) sequence: u64,
    pub(crate) columns: u32,
    pub(crate) pdis: &'a [(u64, u8)],
    pub(crate) packet: Vec<u8>,
    pub(crate) arguments: Vec<u32>,
    pub(crate) view: &'a View,
}

impl Execution<'_> {
    /// Handle of the context.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Number of the command in its context.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Columns of the context.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// The packet, as long as its header says.
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// Handles of the argument buffers, as submitted.
    pub fn arguments(&self) -> &[u32] {
        &self.arguments
    }

    /// Index of the compute unit.
    pub fn cu(&self) -> usize {
        self.word(1).trailing_zeros() as usize
    }

    /// Device address of the PDI of the compute unit.
    pub fn pdi_address(&self) -> u64 {
        self.pdis[self.cu()].0
    }

    /// The TXN stream.
    pub fn stream(&self) -> Vec<u8> {
        assert_eq!(self.long(2), 3, "opcode of the register map");
        self.read(self.long(4), 4 * self.word(6) as usize)
    }

    /// Device address of host buffer `index`.
    pub fn host_address(&self, index: usize) -> u64 {
        self.long(7 + 2 * index)
    }

    /// Bytes the NPU reads.
    pub fn read(&self, address: u64, bytes: usize) -> Vec<u8> {
        let (store, range) = self.view.at(address, bytes);
        store.access(range, |memory| memory.to_vec())
    }

    /// Bytes the NPU writes.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        let (store, range) = self.view.at(address, bytes.len());
        store.access(range, |memory| memory.copy_from_slice(bytes));
    }

    fn word(&self, index: usize) -> u32 {
        u32::from_le_bytes(self.packet[4 * index..4 * index + 4].try_into().expect("four bytes"))
    }

    fn long(&self, index: usize) -> u64 {
        u64::from(self.word(index)) | u64::from(self.word(index + 1)) << 32
    }
}
