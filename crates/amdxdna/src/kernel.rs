//! The seam: everything this crate asks of Linux.
//!
//! [`Kernel`] has one body that ships, [`Sys`](crate::Sys), and one for tests, in the crate `amdxdna-fake`. Dispatch is static: a
//! [`Device`](crate::Device) without a type argument is a `Device<Sys>`, and only that type has `open`. So a program that does not name
//! another kernel cannot be talked into one at run time; that `bennu` does not even link the fake is checked from the crate graph.
//!
//! Pointers do not cross the seam. An argument that holds the address of other memory travels with that memory as a [`Pointed`], and
//! its address field is zero: the real kernel puts the address in just before the call and takes it out after, a fake reads and writes
//! the bytes. What a fake logs is therefore the same in every run.

use std::fmt;
use std::ops::DerefMut;
use std::path::Path;

use crate::Errno;

/// Where the address of a [`Pointed`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// In the argument of the call.
    Argument,
    /// In the bytes of the pointed memory with this index, which comes earlier in [`Call::pointed`].
    Pointed(usize),
}

/// Memory that an ioctl argument points at.
#[derive(Debug)]
pub struct Pointed<'a> {
    /// Who holds the address.
    pub holder: Holder,
    /// Byte offset of the address, a little-endian u64, in its holder.
    pub at: usize,
    /// The memory itself.
    pub bytes: &'a mut [u8],
}

impl<'a> Pointed<'a> {
    /// Memory whose address belongs at byte `at` of the argument.
    pub fn by_argument(at: usize, bytes: &'a mut [u8]) -> Self {
        Self { holder: Holder::Argument, at, bytes }
    }
}

/// One ioctl.
#[derive(Debug)]
pub struct Call<'c, 'b> {
    /// Request number.
    pub request: u32,
    /// The argument structure, address fields zero.
    pub argument: &'c mut [u8],
    /// Memory the argument points at.
    pub pointed: &'c mut [Pointed<'b>],
}

/// A mapping of a file or of anonymous memory, unmapped when it and all its windows are gone.
///
/// It gives no access itself: [`window`](Region::window) does, to ranges that never overlap.
pub trait Region: Send + Sync + fmt::Debug + 'static {
    /// Access to a range of the region.
    type Window: Window;

    /// Address of the first byte in this process.
    fn address(&self) -> u64;

    /// Length in bytes.
    fn bytes(&self) -> usize;

    /// Access to `bytes` bytes from `offset`; `None` if they are not inside the region or overlap a window that is alive.
    fn window(&self, offset: usize, bytes: usize) -> Option<Self::Window>;
}

/// Exclusive access to a range of a [`Region`].
///
/// The bytes are seen only while the window is lent out: whoever holds the [`Lent`](Window::Lent) is the only one who can reach them, and
/// this crate lends no window of a buffer that a command holds, and starts no command with a buffer whose window is lent.
pub trait Window: Send + Sync + Sized + fmt::Debug + 'static {
    /// The bytes.
    type Lent: DerefMut<Target = [u8]> + Send + Sync + fmt::Debug;

    /// Length in bytes.
    fn bytes(&self) -> usize;

    /// The bytes, for as long as the device does not touch them.
    fn lend(self) -> Self::Lent;

    /// The window of lent bytes.
    fn restore(lent: Self::Lent) -> Self;

    /// The u32 at byte `offset`, a multiple of 4, loaded with acquire ordering; the kernel may write it at the same time.
    ///
    /// # Panics
    /// If the word is not inside the window.
    fn load(&self, offset: usize) -> u32;

    /// Copies bytes from `offset` out, whoever else may be writing them.
    ///
    /// # Panics
    /// If the bytes are not inside the window.
    fn peek(&self, offset: usize, into: &mut [u8]);

    /// Copies `bytes` in from `offset`, whoever else may be reading them.
    ///
    /// # Panics
    /// If the bytes are not inside the window.
    fn poke(&mut self, offset: usize, bytes: &[u8]);

    /// Writes back and drops the CPU's cache lines of `bytes` bytes from `offset`.
    ///
    /// # Panics
    /// If the bytes are not inside the window.
    fn flush(&self, offset: usize, bytes: usize);
}

/// How a mapping is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Length in bytes.
    pub bytes: usize,
    /// Alignment of the address, a power of two; the page size if smaller.
    pub align: usize,
    /// Whether the pages are locked in memory (`MAP_LOCKED`), which counts against `RLIMIT_MEMLOCK`.
    pub lock: bool,
}

/// The system calls of this crate.
pub trait Kernel: Send + Sync + fmt::Debug + 'static {
    /// An open file, closed when dropped.
    type Fd: Send + Sync + fmt::Debug + 'static;
    /// A mapping.
    type Region: Region;

    /// `open(path, O_RDWR | O_CLOEXEC)`.
    fn open(&self, path: &Path) -> Result<Self::Fd, Errno>;

    /// `ioctl`, once: an interrupted call answers [`Errno::EINTR`].
    fn ioctl(&self, fd: &Self::Fd, call: &mut Call<'_, '_>) -> Result<(), Errno>;

    /// Takes ownership of a descriptor that an ioctl of this kernel has just made. `None` if the number is negative.
    fn adopt(&self, number: i32) -> Option<Self::Fd>;

    /// The number of an open descriptor.
    fn number(&self, fd: &Self::Fd) -> i32;

    /// Size of what stands behind a descriptor, by `lseek(fd, 0, SEEK_END)`.
    fn size(&self, fd: &Self::Fd) -> Result<u64, Errno>;

    /// `mmap(MAP_SHARED, PROT_READ | PROT_WRITE)` of `fd` from byte `offset`.
    fn map(&self, fd: &Self::Fd, offset: u64, mapping: Mapping) -> Result<Self::Region, Errno>;

    /// `mmap` of anonymous memory, all zero, for reading and writing.
    fn map_anonymous(&self, mapping: Mapping) -> Result<Self::Region, Errno>;

    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now(&self) -> i64;

    /// The contents of a small file, for sysfs.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Errno>;

    /// The names in a directory, in ascending order.
    fn list(&self, path: &Path) -> Result<Vec<String>, Errno>;
}

/// Windows of kernel `K`.
pub(crate) type WindowOf<K> = <<K as Kernel>::Region as Region>::Window;

/// Lent bytes of kernel `K`.
pub(crate) type LentOf<K> = <WindowOf<K> as Window>::Lent;
