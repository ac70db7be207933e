//! One program as a command of a context.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use amdxdna::kernel::Kernel;
use amdxdna::{Bo, Cmd, ContextConfig, Device, Error, HostBuffer, HwCtx};

/// Longest a call may take: the driver itself gives up after two seconds without progress, and then answers.
// SOURCE: amdxdna, parameter tdr_timeout_ms (2000, twice); drivers of Linux 6.14 wait 60 s.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The same on a virtual NPU, which computes a command in minutes.
pub const UNTIMED_TIMEOUT: Duration = Duration::from_secs(900);

/// A buffer has at least a word.
const LEAST_BYTES: usize = 4;

/// What a run needs of the host: a clock, and a flag that ends it.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Time since some moment.
    pub clock: &'a dyn Fn() -> Duration,
    /// Set by whoever wants the work to stop.
    pub interrupt: &'a AtomicBool,
    /// Longest a command may take.
    pub timeout: Duration,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("interrupt", self.interrupt)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A clock that begins now.
pub fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// A stream with its host buffers, for one compute unit of a context.
#[derive(Debug)]
pub struct Call<K: Kernel> {
    buffers: Vec<Bo<K>>,
    command: Cmd<K>,
}

impl<K: Kernel> Call<K> {
    /// Buffers of these sizes in the order of the arguments, all zero.
    ///
    /// # Errors
    /// What the driver answers; more buffers than a command has room for.
    pub fn new(device: &Device<K>, unit: u32, txn: &[u8], sizes: &[usize]) -> Result<Self, Error> {
        let mut stream = device.dev_buffer(txn.len())?;
        stream.write(0, txn)?;
        let buffers =
            sizes.iter().map(|&bytes| device.host_buffer(bytes.max(LEAST_BYTES))).collect::<Result<Vec<_>, _>>()?;
        let mut command = Cmd::new(device)?;
        let arguments: Vec<HostBuffer<'_, K>> = buffers.iter().map(HostBuffer::from).collect();
        command.start(unit, &stream, (txn.len() / 4) as u32, &arguments)?;
        Ok(Self { buffers, command })
    }

    /// Writes an argument from its start.
    ///
    /// # Errors
    /// A range outside the buffer; an index without a buffer counts as such.
    pub fn write(&mut self, argument: usize, bytes: &[u8]) -> Result<(), Error> {
        match self.buffers.get_mut(argument) {
            Some(buffer) => buffer.write(0, bytes),
            None if bytes.is_empty() => Ok(()),
            None => Err(no_buffer(bytes.len())),
        }
    }

    /// The first `bytes` of an argument.
    ///
    /// # Errors
    /// As [`Call::write`].
    pub fn read(&self, argument: usize, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut into = vec![0; bytes];
        match self.buffers.get(argument) {
            Some(buffer) => buffer.read(0, &mut into)?,
            None if bytes == 0 => {}
            None => return Err(no_buffer(bytes)),
        }
        Ok(into)
    }

    /// Runs it once; the time from before the submission to the end of the wait.
    ///
    /// # Errors
    /// Any end but success, and the driver's refusals.
    pub fn run(&mut self, context: &HwCtx<K>, host: Host<'_>) -> Result<Duration, Error> {
        let start = (host.clock)();
        context.submit(&mut self.command)?;
        self.command.wait(host.timeout, host.interrupt)?;
        Ok((host.clock)().saturating_sub(start))
    }
}

fn no_buffer(bytes: usize) -> Error {
    amdxdna::Refusal::Range { offset: 0, bytes: bytes as u64, size: 0 }.into()
}

/// A context with one program.
#[derive(Debug)]
pub struct Loaded<K: Kernel> {
    call: Call<K>,
    context: HwCtx<K>,
}

impl<K: Kernel> Loaded<K> {
    /// Makes a context of all columns that a design of `columns` needs, and the program's command.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new(device: &Device<K>, columns: u32, pdi: &[u8], txn: &[u8], sizes: &[usize]) -> Result<Self, Error> {
        let mut context = device.create_context(ContextConfig { columns, ..ContextConfig::default() })?;
        context.load(&[pdi])?;
        Ok(Self { call: Call::new(device, 0, txn, sizes)?, context })
    }

    /// See [`Call::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&mut self, argument: usize, bytes: &[u8]) -> Result<(), Error> {
        self.call.write(argument, bytes)
    }

    /// See [`Call::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, argument: usize, bytes: usize) -> Result<Vec<u8>, Error> {
        self.call.read(argument, bytes)
    }

    /// See [`Call::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run(&mut self, host: Host<'_>) -> Result<Duration, Error> {
        self.call.run(&self.context, host)
    }
}
