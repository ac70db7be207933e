//! Buffer objects.
//!
//! # Who may touch the memory when
//!
//! A buffer's bytes belong either to the CPU or to commands. [`Bo::bytes`] and [`Bo::bytes_mut`] lend them out; while they are lent, no
//! command that uses the buffer can be submitted ([`Busy::BufferLent`]), and while a command uses it they cannot be lent
//! ([`Busy::BufferInFlight`]). A command lets go of its buffers when it is known to have ended: by a wait, or by the end of its context.
//! The count is kept with the buffer, so that neither dropping nor leaking a [`Cmd`](crate::Cmd) can free memory a device still writes.
//!
//! # Caches
//!
//! The NPU does not see the CPU's caches. Lines that the CPU may have written are written back when a command is submitted, and dropped
//! before the CPU looks at a buffer that a command has used: there is no flush to forget. [`Bo::range_mut`] keeps the write-back short for
//! large buffers. [`Bo::flush`] and, by the driver, [`Bo::sync`] are for buffers that others share.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::device::Shared;
use crate::dmabuf::DmaBuf;
use crate::error::{Busy, Error, Feature, Refusal};
use crate::ioctl::sync_bo::Direction;
use crate::ioctl::{self, Ioctl};
use crate::kernel::{Kernel, LentOf, Window, WindowOf};
use crate::{Errno, Sys};

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BoKind {
    /// A range of the 64 MiB of device memory: PDIs and instruction streams.
    Dev,
    /// Host memory that the NPU reads and writes: operands.
    Shmem,
    /// Command packets, which only the kernel reads.
    Cmd,
    /// Pages of the process, pinned.
    User,
    /// Memory of a dma-buf.
    Imported,
}

impl BoKind {
    /// Whether the NPU itself reaches the memory, so that the CPU's caches matter.
    fn device_reaches(self) -> bool {
        match self {
            BoKind::Dev | BoKind::Shmem | BoKind::User | BoKind::Imported => true,
            BoKind::Cmd => false,
        }
    }
}

/// Handles of an open device and the buffers that own them.
pub(crate) type Handles<K> = HashMap<u32, Weak<Buffer<K>>>;

/// What a buffer's parts are put together from.
pub(crate) struct Parts<K: Kernel> {
    pub handle: u32,
    pub kind: BoKind,
    pub bytes: usize,
    pub device_address: u64,
    pub window: WindowOf<K>,
    pub region: Option<K::Region>,
}

/// A buffer object, alive while anybody uses it.
pub(crate) struct Buffer<K: Kernel> {
    pub(crate) shared: Arc<Shared<K>>,
    pub(crate) handle: u32,
    pub(crate) kind: BoKind,
    pub(crate) bytes: usize,
    pub(crate) device_address: u64,
    slot: Mutex<Slot<K>>,
    /// The mapping; that of a DEV buffer is the heap's.
    region: Option<K::Region>,
}

struct Slot<K: Kernel> {
    /// `None` while the bytes are lent.
    window: Option<WindowOf<K>>,
    /// Commands in flight that use the buffer.
    commands: u32,
    /// Bytes the CPU may hold in its caches only.
    dirty: Range<usize>,
    /// Whether a command has used the buffer since the CPU dropped all its lines.
    stale: bool,
}

impl<K: Kernel> Buffer<K> {
    /// Registers a buffer under its handle. The caller holds the lock of `handles`.
    pub(crate) fn new(shared: Arc<Shared<K>>, handles: &mut Handles<K>, parts: Parts<K>) -> Arc<Self> {
        let Parts { handle, kind, bytes, device_address, window, region } = parts;
        // Pages come zeroed, by the CPU.
        let dirty = if kind.device_reaches() { 0..bytes } else { 0..0 };
        let slot = Mutex::new(Slot { window: Some(window), commands: 0, dirty, stale: false });
        let buffer = Arc::new(Self { shared, handle, kind, bytes, device_address, slot, region });
        handles.insert(handle, Arc::downgrade(&buffer));
        buffer
    }

    fn slot(&self) -> MutexGuard<'_, Slot<K>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the buffer for a command: the CPU's writes are written back, its bytes are no longer lent.
    pub(crate) fn take(&self) -> Result<(), Busy> {
        let mut slot = self.slot();
        let window = slot.window.as_ref().ok_or(Busy::BufferLent { handle: self.handle })?;
        if !slot.dirty.is_empty() {
            window.flush(slot.dirty.start, slot.dirty.len());
        }
        slot.dirty = 0..0;
        slot.commands += 1;
        slot.stale = self.kind.device_reaches();
        Ok(())
    }

    /// The end of a command that took the buffer.
    pub(crate) fn release(&self) {
        let mut slot = self.slot();
        slot.commands = slot.commands.checked_sub(1).expect("a command releases what it has taken");
    }

    /// The u32 at `offset`, which the kernel may be writing.
    pub(crate) fn load(&self, offset: usize) -> Result<u32, Busy> {
        let slot = self.slot();
        slot.window.as_ref().map(|w| w.load(offset)).ok_or(Busy::BufferLent { handle: self.handle })
    }

    fn range(&self, range: &Range<usize>) -> Result<(), Refusal> {
        if range.start <= range.end && range.end <= self.bytes {
            return Ok(());
        }
        let (offset, bytes) = (range.start as u64, range.len() as u64);
        Err(Refusal::Range { offset, bytes, size: self.bytes as u64 })
    }

    fn lend(&self, range: Range<usize>, write: bool) -> Result<Loan<'_, K>, Error> {
        self.range(&range)?;
        let mut slot = self.slot();
        if slot.commands > 0 {
            return Err(Busy::BufferInFlight { handle: self.handle }.into());
        }
        let window = slot.window.take().ok_or(Busy::BufferLent { handle: self.handle })?;
        if slot.stale {
            window.flush(range.start, range.len());
            slot.stale = range != (0..self.bytes);
        }
        if write && self.kind.device_reaches() && !range.is_empty() {
            slot.dirty = if slot.dirty.is_empty() {
                range.clone()
            } else {
                slot.dirty.start.min(range.start)..slot.dirty.end.max(range.end)
            };
        }
        Ok(Loan { buffer: self, lent: Some(window.lend()), range })
    }
}

impl<K: Kernel> Drop for Buffer<K> {
    fn drop(&mut self) {
        let mut handles = self.shared.handles();
        // An import may have met this buffer on its way out and made a new one of the same handle.
        if handles.get(&self.handle).is_some_and(|other| other.strong_count() > 0) {
            return;
        }
        handles.remove(&self.handle);
        let close = || self.shared.note(ioctl::gem_close::gem_close(&self.shared.file, self.handle));
        let window = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner).window.take();
        match self.kind {
            // The driver has pinned these pages: it lets go first.
            BoKind::User => {
                close();
                drop((window, self.region.take()));
            }
            BoKind::Dev | BoKind::Shmem | BoKind::Cmd | BoKind::Imported => {
                drop((window, self.region.take()));
                close();
            }
        }
    }
}

impl<K: Kernel> fmt::Debug for Buffer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bo")
            .field("handle", &self.handle)
            .field("kind", &self.kind)
            .field("bytes", &self.bytes)
            .field("device_address", &format_args!("{:#x}", self.device_address))
            .finish_non_exhaustive()
    }
}

struct Loan<'a, K: Kernel> {
    buffer: &'a Buffer<K>,
    lent: Option<LentOf<K>>,
    range: Range<usize>,
}

impl<K: Kernel> Loan<'_, K> {
    fn bytes(&self) -> &[u8] {
        let lent = self.lent.as_ref().expect("lent until dropped");
        &lent[self.range.clone()]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let lent = self.lent.as_mut().expect("lent until dropped");
        &mut lent[self.range.clone()]
    }
}

impl<K: Kernel> Drop for Loan<'_, K> {
    fn drop(&mut self) {
        self.buffer.slot().window = self.lent.take().map(Window::restore);
    }
}

/// A look at a buffer's bytes. While it lives, no command with the buffer can be submitted.
pub struct Bytes<'a, K: Kernel = Sys>(Loan<'a, K>);

impl<K: Kernel> Deref for Bytes<'_, K> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A buffer's bytes, to be changed. While it lives, no command with the buffer can be submitted.
pub struct BytesMut<'a, K: Kernel = Sys>(Loan<'a, K>);

impl<K: Kernel> Deref for BytesMut<'_, K> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl<K: Kernel> DerefMut for BytesMut<'_, K> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

impl<K: Kernel> fmt::Debug for Bytes<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({:?} of {:?})", self.0.range, self.0.buffer)
    }
}

impl<K: Kernel> fmt::Debug for BytesMut<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BytesMut({:?} of {:?})", self.0.range, self.0.buffer)
    }
}

/// A buffer object, mapped. Made by [`Device`](crate::Device); freed when it and every command and context that uses it are gone.
#[derive(Debug)]
pub struct Bo<K: Kernel = Sys> {
    pub(crate) buffer: Arc<Buffer<K>>,
}

impl<K: Kernel> Bo<K> {
    /// What it is for.
    pub fn kind(&self) -> BoKind {
        self.buffer.kind
    }

    /// Length in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.buffer.bytes
    }

    /// Never: a buffer has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kernel's handle.
    pub fn handle(&self) -> u32 {
        self.buffer.handle
    }

    /// Where the NPU sees the first byte; the byte at offset n is n further. Of no use for CMD buffers.
    pub fn device_address(&self) -> u64 {
        self.buffer.device_address
    }

    /// All bytes.
    ///
    /// # Errors
    /// [`Error::Busy`] while a command uses the buffer or its bytes are lent.
    pub fn bytes(&self) -> Result<Bytes<'_, K>, Error> {
        self.range(0..self.len())
    }

    /// All bytes, to be changed.
    ///
    /// # Errors
    /// As [`bytes`](Bo::bytes).
    pub fn bytes_mut(&mut self) -> Result<BytesMut<'_, K>, Error> {
        self.range_mut(0..self.len())
    }

    /// A range of bytes.
    ///
    /// # Errors
    /// As [`bytes`](Bo::bytes), and [`Refusal::Range`].
    pub fn range(&self, range: Range<usize>) -> Result<Bytes<'_, K>, Error> {
        self.buffer.lend(range, false).map(Bytes)
    }

    /// A range of bytes, to be changed; only these are written back before the next command.
    ///
    /// # Errors
    /// As [`range`](Bo::range).
    pub fn range_mut(&mut self, range: Range<usize>) -> Result<BytesMut<'_, K>, Error> {
        self.buffer.lend(range, true).map(BytesMut)
    }

    /// Copies bytes from `offset` out of the buffer.
    ///
    /// # Errors
    /// As [`range`](Bo::range).
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Error> {
        into.copy_from_slice(&self.range(offset..offset.saturating_add(into.len()))?);
        Ok(())
    }

    /// Copies `bytes` into the buffer from `offset`.
    ///
    /// # Errors
    /// As [`range`](Bo::range).
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.range_mut(offset..offset.saturating_add(bytes.len()))?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes back and drops the CPU's cache lines of a range, where another device or process shares the buffer. Commands of this crate
    /// do not need it.
    ///
    /// # Errors
    /// [`Refusal::Range`]; [`Busy::BufferLent`].
    pub fn flush(&self, range: Range<usize>) -> Result<(), Error> {
        self.buffer.range(&range)?;
        let slot = self.buffer.slot();
        let window = slot.window.as_ref().ok_or(Busy::BufferLent { handle: self.handle() })?;
        window.flush(range.start, range.len());
        Ok(())
    }

    /// Has the driver flush the CPU's caches over a range. Commands of this crate do not need it.
    ///
    /// # Errors
    /// [`Refusal::Range`], and what SYNC_BO answers: newer drivers refuse [`Direction::FromDevice`].
    pub fn sync(&self, direction: Direction, range: Range<usize>) -> Result<(), Error> {
        self.buffer.range(&range)?;
        let (offset, bytes) = (range.start as u64, range.len() as u64);
        ioctl::sync_bo::sync_bo(&self.buffer.shared.file, self.handle(), direction, offset, bytes)
    }

    /// A dma-buf of the memory, for other drivers and processes. Whoever gets it must not write the memory while its bytes are lent here.
    ///
    /// # Errors
    /// [`Refusal::Kind`] for DEV and user buffers, which cannot be exported; [`Error::Unsupported`] if the driver exports nothing.
    pub fn export(&self) -> Result<DmaBuf<K>, Error> {
        match self.kind() {
            BoKind::Shmem | BoKind::Cmd | BoKind::Imported => {}
            kind @ (BoKind::Dev | BoKind::User) => {
                return Err(Refusal::Kind { what: "an exported buffer", kind }.into());
            }
        }
        let shared = &self.buffer.shared;
        let fd = ioctl::prime_handle_to_fd::prime_handle_to_fd(&shared.file, self.handle())
            .map_err(|error| unsupported(error, Feature::DmaBuf, Ioctl::PrimeHandleToFd))?;
        Ok(DmaBuf::new(fd))
    }
}

/// Tells "the driver does not have it" from other failures.
pub(crate) fn unsupported(error: Error, feature: Feature, ioctl: Ioctl) -> Error {
    match error.errno() {
        Some(errno @ (Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ENOSYS)) => {
            Error::Unsupported { feature, ioctl, errno }
        }
        _ => error,
    }
}
