//! A scripted amdxdna driver, for tests: everything that [`amdxdna`] asks of Linux, answered by a model of the driver's state.
//!
//! ```
//! use amdxdna::{ContextConfig, Options};
//! use amdxdna_fake::{Driver, FakeKernel, Outcome};
//!
//! let fake = FakeKernel::new(Driver::current());
//! fake.on_execute(|run| {
//!     let address = run.host_address(0);
//!     run.write(address, b"result");
//!     Outcome::completed()
//! });
//! let device = fake.open(Options::default()).unwrap();
//! let context = device.create_context(ContextConfig { columns: 1, ..Default::default() }).unwrap();
//! assert_eq!(fake.counts().contexts, 1);
//! drop((context, device));
//! assert!(fake.counts().is_zero());
//! ```
//!
//! - It reads arguments at offsets of its own: no layout or request number is taken from the crate under test.
//! - It refuses what the driver refuses: fields that must be zero, unknown handles, a buffer named twice, a missing heap.
//! - It counts what is open ([`FakeKernel::counts`]) and logs every ioctl byte by byte ([`FakeKernel::log`]).
//! - Its clock stands still but for waits, which end at once: a wait that expires moves the clock to its deadline. With
//!   [`FakeKernel::block_in_waits`] a wait that would not end at once is a system call that blocks, and that signals interrupt.
//! - A device that touches bytes while the CPU has them, or before they are flushed from its caches, panics, as does a fifth command in
//!   flight, which would block.
//!
//! It never ships: no crate that `bennu` links depends on it, and the crate graph is checked for that.
#![forbid(unsafe_code)]

mod driver;
mod execution;
mod ioctls;
mod memory;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amdxdna::kernel::{Call, Kernel, Mapping};
use amdxdna::{Device, Errno, Error, Ioctl, Options};

pub use driver::{AddressMode, Driver};
pub use execution::{Execution, Outcome};
pub use memory::{FakeBytes, FakeRegion, FakeWindow};
pub use state::{Counts, Entry};

use state::{Fault, Open, State};

/// The node of the fake NPU.
pub const NODE: &str = "/dev/accel/accel0";

/// A machine with one NPU and its driver. Clones are the same machine.
#[derive(Debug, Clone)]
pub struct FakeKernel {
    state: Arc<Mutex<State>>,
}

impl FakeKernel {
    /// A machine with this driver.
    pub fn new(driver: Driver) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(driver))) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the NPU as a program would, by discovery.
    pub fn open(&self, options: Options) -> Result<Device<FakeKernel>, Error> {
        Device::open_by(self.clone(), None, options)
    }

    /// What runs commands from now on, instead of ending each at once as completed. It must not call this kernel.
    pub fn on_execute(&self, executor: impl FnMut(&mut Execution<'_>) -> Outcome + Send + 'static) {
        self.state().executor = Some(Box::new(executor));
    }

    /// Answers `errno` to the `nth` call of `ioctl` from now, counted from 0, and does nothing else.
    pub fn fail(&self, ioctl: Ioctl, nth: usize, errno: Errno) {
        self.state().faults.push(Fault::ioctl(ioctl, nth, errno));
    }

    /// Lets the `nth` call of `ioctl` from now succeed, and then changes its answer: the argument, and the memory it points at.
    pub fn corrupt(&self, ioctl: Ioctl, nth: usize, change: impl FnOnce(&mut [u8], &mut [&mut [u8]]) + Send + 'static) {
        self.state().faults.push(Fault::corrupt(ioctl, nth, Box::new(change)));
    }

    /// Answers `errno` to the `nth` mmap from now.
    pub fn fail_map(&self, nth: usize, errno: Errno) {
        self.state().faults.push(Fault::map(nth, errno));
    }

    /// Answers `errno` to every open from now on.
    pub fn fail_open(&self, errno: Errno) {
        self.state().open_errno = Some(errno);
    }

    /// Sets, or with `None` removes, a file of sysfs.
    pub fn set_file(&self, path: impl Into<PathBuf>, contents: Option<&str>) {
        let mut state = self.state();
        match contents {
            Some(contents) => state.files.insert(path.into(), contents.as_bytes().to_vec()),
            None => state.files.remove(&path.into()),
        };
    }

    /// Makes an ordinary file, to be opened and mapped.
    pub fn set_data(&self, path: impl Into<PathBuf>, contents: Vec<u8>) {
        self.state().data.insert(path.into(), contents);
    }

    /// Removes the NPU: everything but closing and unmapping answers ENODEV.
    pub fn unplug(&self) {
        self.state().unplugged = true;
    }

    /// Removes the NPU after `ioctls` more of them.
    pub fn unplug_after(&self, ioctls: usize) {
        let mut state = self.state();
        state.unplug_at = Some(state.log.len() + ioctls);
    }

    /// What is open.
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// Every ioctl so far.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// Forgets the log.
    pub fn clear_log(&self) {
        self.state().log.clear();
    }

    /// How often `ioctl` was called since the log was cleared.
    pub fn calls(&self, ioctl: Ioctl) -> usize {
        self.state().log.iter().filter(|entry| Ioctl::of_request(entry.request) == Some(ioctl)).count()
    }

    /// Ranges of the CPU's caches flushed since the last call: address in the process and bytes.
    pub fn take_flushes(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.state().flushes)
    }

    /// Moves the clock, and ends the commands that are due.
    pub fn advance(&self, by: Duration) {
        self.state().advance(by.as_nanos() as i64);
    }

    /// Ends command `sequence` of the context with handle `context` in `outcome`, whatever was planned for it.
    pub fn end(&self, context: u32, sequence: u64, outcome: Outcome) {
        self.state().end(context, sequence, outcome);
    }

    /// From now on a wait for a command that has not ended blocks in a system call until its deadline, or until a signal comes, as the driver's does.
    pub fn block_in_waits(&self) {
        self.state().blocks = true;
    }

    /// How many waits a signal has interrupted.
    pub fn interrupted_waits(&self) -> usize {
        self.state().interrupted
    }

    /// Blocks as long as `call` waits; EINTR if a signal comes.
    fn block(&self, fd: i32, call: &Call<'_, '_>) -> Result<(), Errno> {
        let Some(left) = self.state().blocked(fd, call) else { return Ok(()) };
        let time = rustix::event::Timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 };
        // Polling nothing is a sleep that is never restarted behind a signal.
        match rustix::event::poll(&mut [], Some(&time)) {
            Err(error) if error == rustix::io::Errno::INTR => {
                self.state().interrupted += 1;
                Err(Errno::EINTR)
            }
            _ => Ok(()),
        }
    }

    /// Time on the fake clock.
    pub fn clock(&self) -> Duration {
        Duration::from_nanos(self.state().clock as u64)
    }
}

/// An open file of the fake machine.
#[derive(Debug)]
pub struct FakeFd {
    kernel: FakeKernel,
    number: i32,
}

impl Drop for FakeFd {
    fn drop(&mut self) {
        // Taken out first: a client on its way out drops memory.
        let closed = self.kernel.state().close(self.number);
        drop(closed);
    }
}

impl Kernel for FakeKernel {
    type Fd = FakeFd;
    type Region = FakeRegion;

    fn open(&self, path: &Path) -> Result<FakeFd, Errno> {
        let number = self.state().open(path)?;
        Ok(FakeFd { kernel: self.clone(), number })
    }

    fn ioctl(&self, fd: &FakeFd, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        self.block(fd.number, call)?;
        self.state().ioctl(fd.number, call)
    }

    fn adopt(&self, number: i32) -> Option<FakeFd> {
        self.state().fds.contains_key(&number).then(|| FakeFd { kernel: self.clone(), number })
    }

    fn number(&self, fd: &FakeFd) -> i32 {
        fd.number
    }

    fn size(&self, fd: &FakeFd) -> Result<u64, Errno> {
        match self.state().fds.get(&fd.number) {
            Some(Open::DmaBuf(object)) => Ok(object.bytes),
            Some(Open::Node(_)) => Err(Errno::EINVAL),
            None => Err(Errno::EBADF),
        }
    }

    fn map(&self, fd: &FakeFd, offset: u64, mapping: Mapping) -> Result<FakeRegion, Errno> {
        let mapped = self.state().map(fd.number, offset, mapping)?;
        Ok(FakeRegion::new(self.clone(), mapped))
    }

    fn map_anonymous(&self, mapping: Mapping) -> Result<FakeRegion, Errno> {
        let mapped = self.state().map_anonymous(mapping)?;
        Ok(FakeRegion::new(self.clone(), mapped))
    }

    fn now(&self) -> i64 {
        self.state().clock
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        self.state().files.get(path).cloned().ok_or(Errno::ENOENT)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, Errno> {
        self.state().list(path)
    }
}
