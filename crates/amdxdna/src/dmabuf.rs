//! dma-bufs: memory that travels between drivers and processes as a file descriptor.

use std::fmt;

use crate::error::{Error, Refusal};
use crate::kernel::{Kernel, Mapping, Region, Window, WindowOf};
use crate::{Errno, Sys};

/// A dma-buf. [`Device::import`](crate::Device::import) makes a buffer of it, [`map`](DmaBuf::map) shows it to the CPU.
#[derive(Debug)]
pub struct DmaBuf<K: Kernel = Sys> {
    pub(crate) fd: K::Fd,
}

impl<K: Kernel> DmaBuf<K> {
    pub(crate) fn new(fd: K::Fd) -> Self {
        Self { fd }
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// [`Error::DmaBufSize`] if the descriptor has none.
    pub(crate) fn bytes(&self, kernel: &K) -> Result<u64, Error> {
        let size = kernel.size(&self.fd).and_then(|bytes| if bytes == 0 { Err(Errno::EINVAL) } else { Ok(bytes) });
        size.map_err(|errno| Error::DmaBufSize { number: kernel.number(&self.fd), errno })
    }

    pub(crate) fn map_by(&self, kernel: &K) -> Result<DmaBufMap<K>, Error> {
        let bytes = self.bytes(kernel)?;
        let failed = |errno| Error::Map { what: "dma-buf", bytes, locked: false, errno };
        let length = usize::try_from(bytes).map_err(|_| failed(Errno::EOVERFLOW))?;
        let region = kernel.map(&self.fd, 0, Mapping { bytes: length, align: 1, lock: false }).map_err(failed)?;
        let window = region.window(0, length).ok_or_else(|| failed(Errno::EINVAL))?;
        Ok(DmaBufMap { window, _region: region })
    }
}

impl DmaBuf<Sys> {
    /// Maps the memory, in any process that has the descriptor. Who writes it when is for the processes to agree on.
    ///
    /// # Errors
    /// [`Error::DmaBufSize`] and [`Error::Map`]; with EEXIST from a driver of Linux 6.14, which maps a buffer once and no more.
    pub fn map(&self) -> Result<DmaBufMap<Sys>, Error> {
        self.map_by(&Sys::new())
    }

    /// The descriptor, to be sent to another process.
    pub fn into_fd(self) -> std::os::fd::OwnedFd {
        self.fd
    }
}

impl From<std::os::fd::OwnedFd> for DmaBuf<Sys> {
    /// A dma-buf received from elsewhere.
    fn from(fd: std::os::fd::OwnedFd) -> Self {
        Self { fd }
    }
}

/// A mapped dma-buf. Bytes are copied in and out, as others may write them at any time.
pub struct DmaBufMap<K: Kernel = Sys> {
    window: WindowOf<K>,
    _region: K::Region,
}

impl<K: Kernel> DmaBufMap<K> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.window.bytes()
    }

    /// Never: an empty dma-buf is not mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes from `offset` out, past the CPU's caches.
    ///
    /// # Errors
    /// [`Refusal::Range`].
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Error> {
        self.inside(offset, into.len())?;
        self.window.flush(offset, into.len());
        self.window.peek(offset, into);
        Ok(())
    }

    /// Copies `bytes` in from `offset`, through the CPU's caches.
    ///
    /// # Errors
    /// [`Refusal::Range`].
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.inside(offset, bytes.len())?;
        self.window.poke(offset, bytes);
        self.window.flush(offset, bytes.len());
        Ok(())
    }

    fn inside(&self, offset: usize, bytes: usize) -> Result<(), Refusal> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(Refusal::Range { offset: offset as u64, bytes: bytes as u64, size: self.len() as u64 }),
        }
    }
}

impl<K: Kernel> fmt::Debug for DmaBufMap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBufMap({} bytes)", self.len())
    }
}
