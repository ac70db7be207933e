//! Memory of the fake machine: stores, mappings of them, and windows.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amdxdna::kernel::{Region, Window};

use crate::FakeKernel;

/// Bytes, shared by everything that maps them.
#[derive(Debug)]
pub(crate) struct Store {
    contents: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    bytes: Vec<u8>,
    /// Ranges that windows have lent.
    lent: Vec<Range<usize>>,
}

impl Store {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { contents: Mutex::new(Contents { bytes: vec![0; bytes], lent: Vec::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device's and the kernel's access. Panics if the CPU has the bytes.
    pub(crate) fn access<R>(&self, range: Range<usize>, access: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut contents = self.lock();
        let clash = contents.lent.iter().find(|lent| lent.start < range.end && range.start < lent.end);
        assert!(clash.is_none(), "the device touches {range:?} while {clash:?} is lent to the CPU");
        access(&mut contents.bytes[range])
    }
}

/// A mapping as the state knows it.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    pub id: u64,
    pub address: u64,
    pub bytes: usize,
    pub store: Arc<Store>,
}

/// A mapping of the fake machine.
#[derive(Debug)]
pub struct FakeRegion {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kernel: FakeKernel,
    mapped: Mapped,
    windows: Mutex<Vec<Range<usize>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let unmapped = self.kernel.state().unmap(self.mapped.id);
        drop(unmapped);
    }
}

impl FakeRegion {
    pub(crate) fn new(kernel: FakeKernel, mapped: Mapped) -> Self {
        Self { inner: Arc::new(Inner { kernel, mapped, windows: Mutex::default() }) }
    }
}

impl Region for FakeRegion {
    type Window = FakeWindow;

    fn address(&self) -> u64 {
        self.inner.mapped.address
    }

    fn bytes(&self) -> usize {
        self.inner.mapped.bytes
    }

    fn window(&self, offset: usize, bytes: usize) -> Option<FakeWindow> {
        let end = offset.checked_add(bytes).filter(|&end| end <= self.bytes() && bytes > 0)?;
        let mut windows = self.inner.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.iter().any(|other| other.start < end && offset < other.end) {
            return None;
        }
        windows.push(offset..end);
        Some(FakeWindow { inner: Arc::clone(&self.inner), range: offset..end })
    }
}

/// A range of a [`FakeRegion`].
#[derive(Debug)]
pub struct FakeWindow {
    inner: Arc<Inner>,
    range: Range<usize>,
}

impl Drop for FakeWindow {
    fn drop(&mut self) {
        let mut windows = self.inner.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|other| *other != self.range);
    }
}

impl FakeWindow {
    fn within(&self, offset: usize, bytes: usize) -> Range<usize> {
        let start = self.range.start + offset;
        assert!(start + bytes <= self.range.end, "{bytes} bytes from {offset} of a window {:?}", self.range);
        start..start + bytes
    }
}

/// Bytes of a [`FakeWindow`]: a copy, which replaces the memory's when it is given back.
#[derive(Debug)]
pub struct FakeBytes {
    window: FakeWindow,
    bytes: Vec<u8>,
}

impl Deref for FakeBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for FakeBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Window for FakeWindow {
    type Lent = FakeBytes;

    fn bytes(&self) -> usize {
        self.range.len()
    }

    fn lend(self) -> FakeBytes {
        let mut contents = self.inner.mapped.store.lock();
        contents.lent.push(self.range.clone());
        let bytes = contents.bytes[self.range.clone()].to_vec();
        drop(contents);
        FakeBytes { window: self, bytes }
    }

    fn restore(lent: FakeBytes) -> Self {
        let FakeBytes { window, bytes } = lent;
        let mut contents = window.inner.mapped.store.lock();
        contents.bytes[window.range.clone()].copy_from_slice(&bytes);
        let place = contents.lent.iter().position(|lent| *lent == window.range).expect("the range was lent");
        contents.lent.remove(place);
        drop(contents);
        window
    }

    fn load(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4));
        let range = self.within(offset, 4);
        self.inner.mapped.store.access(range, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    }

    fn peek(&self, offset: usize, into: &mut [u8]) {
        let range = self.within(offset, into.len());
        self.inner.mapped.store.access(range, |bytes| into.copy_from_slice(bytes));
    }

    fn poke(&mut self, offset: usize, bytes: &[u8]) {
        let range = self.within(offset, bytes.len());
        self.inner.mapped.store.access(range, |memory| memory.copy_from_slice(bytes));
    }

    fn flush(&self, offset: usize, bytes: usize) {
        let range = self.within(offset, bytes);
        self.inner.kernel.state().flushed(self.inner.mapped.address + range.start as u64, bytes as u64);
    }
}
