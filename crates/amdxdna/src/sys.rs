//! The real kernel. All `unsafe` of the crate is here.
//!
//! What makes it sound as a whole: a [`Sys`] cannot be made or reached from outside the crate, so every call comes from the crate's own
//! modules. Those hand out bytes of a window only through [`Bo`](crate::Bo), which refuses while a command holds the buffer.
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _mm_clflush, _mm_mfence};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io::Read;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::ioctl::{IoctlOutput, Opcode};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::time::ClockId;

use crate::Errno;
use crate::ioctl::{self, Extent};
use crate::kernel::{Call, Holder, Kernel, Mapping, Region, Window};

/// Linux.
#[derive(Debug)]
pub struct Sys {
    _only_here: (),
}

impl Sys {
    pub(crate) fn new() -> Self {
        Self { _only_here: () }
    }
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

fn io_errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno)
}

/// An ioctl whose number is known at run time.
struct Raw<'a> {
    request: u32,
    argument: &'a mut [u8],
}

// SAFETY: the pointer is to `argument`, which lives and is borrowed exclusively as long as the value; `Kernel::ioctl` below has checked
// that the kernel reads and writes no more than its length. Nothing is made of the output but `()`.
unsafe impl rustix::ioctl::Ioctl for Raw<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        Opcode::from(self.request)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Whether the kernel will stay inside the argument and the pointed memory: the request is one of ours, its argument has the size in the
/// request number, and each address field has the memory that its length field promises, or is zero and has none.
fn in_bounds(call: &Call<'_, '_>) -> bool {
    let Some(known) = ioctl::Ioctl::of_request(call.request) else { return false };
    let held = |extent: &Extent| {
        call.pointed.iter().any(|p| p.holder == extent.holder && p.at == extent.at && p.bytes.len() >= extent.bytes)
    };
    let pointed: Vec<&[u8]> = call.pointed.iter().map(|p| &*p.bytes).collect();
    call.argument.len() == known.argument_bytes()
        && ioctl::extents(known, call.argument, &pointed)
            .is_some_and(|extents| extents.iter().all(|extent| extent.bytes == 0 || held(extent)))
}

/// Puts `address` at byte `at` of `bytes`; `false` if there is no room.
fn put_address(bytes: &mut [u8], at: usize, address: u64) -> bool {
    match at.checked_add(8).and_then(|end| bytes.get_mut(at..end)) {
        Some(field) => {
            field.copy_from_slice(&address.to_le_bytes());
            true
        }
        None => false,
    }
}

/// Puts `addresses`, or zeros, into all address fields; `false` if one does not exist.
fn put_addresses(call: &mut Call<'_, '_>, addresses: impl Fn(usize) -> u64) -> bool {
    let mut all = true;
    for index in 0..call.pointed.len() {
        let (holder, at) = (call.pointed[index].holder, call.pointed[index].at);
        let bytes: &mut [u8] = match holder {
            Holder::Argument => call.argument,
            Holder::Pointed(of) if of < index => call.pointed[of].bytes,
            Holder::Pointed(_) => return false,
        };
        all &= put_address(bytes, at, addresses(index));
    }
    all
}

impl Kernel for Sys {
    type Fd = OwnedFd;
    type Region = SysRegion;

    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
    }

    fn ioctl(&self, fd: &OwnedFd, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        if !in_bounds(call) {
            return Err(Errno::EFAULT);
        }
        let addresses: Vec<u64> =
            call.pointed.iter_mut().map(|p| p.bytes.as_mut_ptr().expose_provenance() as u64).collect();
        if !put_addresses(call, |index| addresses[index]) {
            return Err(Errno::EFAULT);
        }
        // SAFETY: `in_bounds` has checked the sizes. All memory is borrowed exclusively until `call` ends, and no ioctl of this driver
        // keeps an address beyond its return but CREATE_BO with a table of user memory, whose entries name a `SysRegion` that the
        // buffer object keeps.
        let result = unsafe { rustix::ioctl::ioctl(fd, Raw { request: call.request, argument: call.argument }) };
        put_addresses(call, |_| 0);
        result.map_err(errno)
    }

    fn adopt(&self, number: i32) -> Option<OwnedFd> {
        // SAFETY: callers pass the number that PRIME_HANDLE_TO_FD has just returned, which nobody else owns.
        (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn number(&self, fd: &OwnedFd) -> i32 {
        fd.as_raw_fd()
    }

    fn size(&self, fd: &OwnedFd) -> Result<u64, Errno> {
        rustix::fs::seek(fd, SeekFrom::End(0)).map_err(errno)
    }

    fn map(&self, fd: &OwnedFd, offset: u64, mapping: Mapping) -> Result<SysRegion, Errno> {
        SysRegion::new(mapping, |address, flags| {
            let fixed = if address.is_null() { MapFlags::empty() } else { MapFlags::FIXED };
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: `address` is null, or the start of a reservation of at least as many bytes that belongs to this call alone, so
            // that replacing it takes memory from nobody.
            unsafe {
                rustix::mm::mmap(
                    address,
                    mapping.bytes,
                    protection,
                    MapFlags::SHARED | fixed | flags,
                    fd.as_fd(),
                    offset,
                )
            }
        })
    }

    fn map_anonymous(&self, mapping: Mapping) -> Result<SysRegion, Errno> {
        SysRegion::new(mapping, |address, flags| {
            let fixed = if address.is_null() { MapFlags::empty() } else { MapFlags::FIXED };
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: as in `map`.
            unsafe { rustix::mm::mmap_anonymous(address, mapping.bytes, protection, MapFlags::PRIVATE | fixed | flags) }
        })
    }

    fn now(&self) -> i64 {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        // An attribute of sysfs is at most a page.
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|e| io_errno(&e))?;
        file.take(4096).read_to_end(&mut bytes).map_err(|e| io_errno(&e))?;
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| io_errno(&e))? {
            let name = entry.map_err(|e| io_errno(&e))?.file_name();
            names.extend(name.into_string());
        }
        names.sort();
        Ok(names)
    }
}

/// A mapping of this process.
#[derive(Debug)]
pub struct SysRegion {
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
    /// Live windows, offset to length; they do not overlap.
    windows: Mutex<BTreeMap<usize, usize>>,
}

// SAFETY: the memory is mapped and readable and writable from any thread until the value is dropped. It is reached only through windows,
// whose ranges do not overlap and which give `&mut [u8]` only by `&mut self`.
unsafe impl Send for Memory {}
// SAFETY: as above; the list of windows is behind a mutex.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `SysRegion::new` and every window holds this value alive, so nothing refers into it. The call
        // can fail only for a range that is no mapping, which this one is.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

fn page_bytes() -> usize {
    // SOURCE: x86-64, the only architecture of the driver
    4096
}

impl SysRegion {
    /// Maps by `map(address, flags)`, at an aligned address if more than a page is asked.
    fn new(
        mapping: Mapping,
        map: impl Fn(*mut c_void, MapFlags) -> rustix::io::Result<*mut c_void>,
    ) -> Result<Self, Errno> {
        let Mapping { bytes, align, lock } = mapping;
        if bytes == 0 || bytes > isize::MAX as usize / 4 || !align.is_power_of_two() || align > isize::MAX as usize / 4
        {
            return Err(Errno::EINVAL);
        }
        let flags = if lock { MapFlags::LOCKED } else { MapFlags::empty() };
        let bytes = bytes.next_multiple_of(page_bytes());
        if align <= page_bytes() {
            let start = map(std::ptr::null_mut(), flags).map_err(errno)?;
            return Self::of(start, bytes);
        }
        // A reservation with room for an aligned start; the mapping replaces its middle.
        let reserved = bytes + align;
        // SAFETY: a new mapping at an address of the kernel's choice takes memory from nobody.
        let reservation = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                reserved,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(errno)?;
        let before = reservation.addr().next_multiple_of(align) - reservation.addr();
        let start = reservation.wrapping_byte_add(before);
        let unmap = |from: *mut c_void, bytes: usize| {
            if bytes > 0 {
                // SAFETY: a part of the reservation that nothing was put into.
                let unmapped = unsafe { rustix::mm::munmap(from, bytes) };
                debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
            }
        };
        match map(start, flags) {
            Ok(start) => {
                unmap(reservation, before);
                unmap(start.wrapping_byte_add(bytes), reserved - before - bytes);
                Self::of(start, bytes)
            }
            Err(error) => {
                unmap(reservation, reserved);
                Err(errno(error))
            }
        }
    }

    fn of(start: *mut c_void, bytes: usize) -> Result<Self, Errno> {
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        // Device addresses are compared and sent as numbers, and the driver's atomics work on this memory.
        start.as_ptr().expose_provenance();
        Ok(Self { memory: Arc::new(Memory { start, bytes, windows: Mutex::default() }) })
    }
}

impl Region for SysRegion {
    type Window = SysWindow;

    fn address(&self) -> u64 {
        self.memory.start.as_ptr().addr() as u64
    }

    fn bytes(&self) -> usize {
        self.memory.bytes
    }

    fn window(&self, offset: usize, bytes: usize) -> Option<SysWindow> {
        let end = offset.checked_add(bytes).filter(|&end| end <= self.memory.bytes)?;
        let mut windows = self.memory.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let free = windows.iter().all(|(&other, &other_bytes)| end <= other || other + other_bytes <= offset);
        if !free || bytes == 0 {
            return None;
        }
        windows.insert(offset, bytes);
        Some(SysWindow { memory: Arc::clone(&self.memory), offset, bytes })
    }
}

/// A range of a [`SysRegion`].
#[derive(Debug)]
pub struct SysWindow {
    memory: Arc<Memory>,
    offset: usize,
    bytes: usize,
}

impl Drop for SysWindow {
    fn drop(&mut self) {
        self.memory.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.offset);
    }
}

impl SysWindow {
    /// The end of a range.
    fn inside(&self, offset: usize, bytes: usize) -> usize {
        let end = offset.checked_add(bytes).filter(|&end| end <= self.bytes);
        end.unwrap_or_else(|| panic!("{bytes} bytes from {offset} of a window of {} bytes", self.bytes))
    }

    fn start(&self) -> *mut u8 {
        self.memory.start.as_ptr().wrapping_add(self.offset)
    }
}

/// The bytes of a [`SysWindow`].
#[derive(Debug)]
pub struct SysBytes(SysWindow);

impl Deref for SysBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is mapped while `memory` lives. Mapped bytes are always initialised. Windows do not overlap and this is the
        // only one of its range, so that a `&mut [u8]` to it needs `&mut self`. No device writes them: `Bo` lends the window only while
        // no command holds the buffer, and submits no command whose buffers are lent.
        unsafe { std::slice::from_raw_parts(self.0.start(), self.0.bytes) }
    }
}

impl DerefMut for SysBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.0.start(), self.0.bytes) }
    }
}

impl Window for SysWindow {
    type Lent = SysBytes;

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn lend(self) -> SysBytes {
        SysBytes(self)
    }

    fn restore(lent: SysBytes) -> Self {
        lent.0
    }

    fn load(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "a word at {offset} of {} bytes", self.bytes);
        assert!(self.start().addr().is_multiple_of(4), "windows start at words");
        // SAFETY: inside the range, aligned, and mapped while `memory` lives. Whoever writes at the same time is the kernel, outside of
        // this program's memory model; this program writes only by `&mut self`.
        let word = unsafe { AtomicU32::from_ptr(self.start().wrapping_add(offset).cast()) };
        word.load(Ordering::Acquire)
    }

    fn peek(&self, offset: usize, into: &mut [u8]) {
        self.inside(offset, into.len());
        for (at, byte) in (offset..).zip(into) {
            // SAFETY: inside the range, which is mapped while `memory` lives. Whoever writes at the same time is outside of this
            // program, and a volatile byte is read as some value it has held.
            *byte = unsafe { self.start().wrapping_add(at).read_volatile() };
        }
    }

    fn poke(&mut self, offset: usize, bytes: &[u8]) {
        self.inside(offset, bytes.len());
        for (at, &byte) in (offset..).zip(bytes) {
            // SAFETY: as in `peek`; within this program, `&mut self` is the only access to the range.
            unsafe { self.start().wrapping_add(at).write_volatile(byte) };
        }
    }

    fn flush(&self, offset: usize, bytes: usize) {
        let end = self.inside(offset, bytes);
        if bytes == 0 {
            return;
        }
        let cpu = CacheFlush::get();
        let first = self.start().addr() + offset;
        let line = first - first % cpu.line_bytes;
        let end = self.start().addr() + end;
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_mfence() };
        for address in (line..end).step_by(cpu.line_bytes) {
            let line = std::ptr::with_exposed_provenance::<u8>(address);
            if cpu.optimised {
                // SAFETY: the CPU has the instruction, and the line holds at least one byte of a mapped page. It changes no value.
                unsafe { asm!("clflushopt byte ptr [{}]", in(reg) line, options(nostack, preserves_flags)) };
            } else {
                // SAFETY: as above; SSE2 is part of x86-64.
                unsafe { _mm_clflush(line) };
            }
        }
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_mfence() };
    }
}

/// How this CPU flushes its caches.
#[derive(Clone, Copy)]
struct CacheFlush {
    line_bytes: usize,
    optimised: bool,
}

impl CacheFlush {
    fn get() -> Self {
        static CPU: OnceLock<CacheFlush> = OnceLock::new();
        *CPU.get_or_init(|| {
            // SOURCE: AMD64 APM vol. 3, CPUID function 1 EBX[15:8] = CLFLUSH line in quadwords; function 7 EBX[23] = CLFLUSHOPT
            let line_bytes = (__cpuid(1).ebx >> 8 & 0xff) as usize * 8;
            let optimised = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx >> 23 & 1 == 1;
            CacheFlush { line_bytes: if line_bytes == 0 { 64 } else { line_bytes }, optimised }
        })
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::kernel::Pointed;

    const KIB: usize = 1024;

    fn anonymous(bytes: usize, align: usize) -> SysRegion {
        Sys::new().map_anonymous(Mapping { bytes, align, lock: false }).expect("anonymous memory")
    }

    #[test]
    fn a_region_is_aligned_and_zero() {
        let region = anonymous(64 * KIB, 1 << 20);
        assert_eq!(region.address() % (1 << 20), 0);
        let mut bytes = region.window(0, 64 * KIB).expect("the whole region").lend();
        assert!(bytes.iter().all(|&b| b == 0));
        bytes[12..16].copy_from_slice(&0x1234_5678u32.to_le_bytes());
        let window = SysWindow::restore(bytes);
        window.flush(12, 4);
        assert_eq!(window.load(12), 0x1234_5678);
    }

    #[test]
    fn windows_never_overlap() {
        let region = anonymous(16 * KIB, 1);
        let first = region.window(4 * KIB, 4 * KIB).expect("free");
        assert!(region.window(7 * KIB, 2 * KIB).is_none());
        assert!(region.window(0, 16 * KIB).is_none());
        assert!(region.window(8 * KIB, 9 * KIB).is_none());
        assert!(region.window(usize::MAX, 2).is_none());
        assert!(region.window(0, 0).is_none());
        let second = region.window(8 * KIB, 8 * KIB).expect("free");
        drop(first);
        assert!(region.window(0, 8 * KIB).is_some());
        drop(region);
        assert_eq!(second.lend().len(), 8 * KIB);
    }

    #[test]
    fn a_request_that_is_none_of_ours_never_reaches_the_kernel() {
        let sys = Sys::new();
        let fd = sys.open(Path::new("/dev/null")).expect("/dev/null");
        let mut argument = [0; 64];
        let mut call = Call { request: 0xC040_6401, argument: &mut argument, pointed: &mut [] };
        assert_eq!(sys.ioctl(&fd, &mut call), Err(Errno::EFAULT));
    }

    #[test]
    fn lengths_and_memory_must_agree() {
        let sys = Sys::new();
        let fd = sys.open(Path::new("/dev/null")).expect("/dev/null");
        let request = ioctl::Ioctl::GetInfo.request();
        let mut argument = [0; 16];
        (argument[0], argument[4]) = (1, 8);
        let mut short = [0; 7];
        let mut pointed = [Pointed::by_argument(8, &mut short)];
        let mut call = Call { request, argument: &mut argument, pointed: &mut pointed };
        assert_eq!(sys.ioctl(&fd, &mut call), Err(Errno::EFAULT));
        let mut enough = [0; 8];
        let mut pointed = [Pointed::by_argument(8, &mut enough)];
        let mut call = Call { request, argument: &mut argument, pointed: &mut pointed };
        // /dev/null has no ioctls: the call got there, and the address is gone again.
        assert_eq!(sys.ioctl(&fd, &mut call), Err(Errno::ENOTTY));
        assert_eq!(argument[8..], [0; 8]);
    }

    #[test]
    fn the_clock_goes_forward() {
        let sys = Sys::new();
        let first = sys.now();
        assert!(first > 0 && sys.now() >= first);
    }
}
