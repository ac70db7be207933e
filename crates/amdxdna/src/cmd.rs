//! Commands: a packet, the buffers it uses, and the wait for its end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Sys;
use crate::bo::{Bo, BoKind, Buffer};
use crate::device::Device;
use crate::error::{Busy, Error, Refusal};
use crate::ert::{CommandState, Health, MAX_HOST_BUFFERS, PACKET_BYTES, StartCu};
use crate::hwctx::{Live, check};
use crate::ioctl;
use crate::kernel::Kernel;

/// How a single wait of the kernel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The command has ended, one way or another.
    Signalled,
    /// The time was up.
    Expired,
    /// A signal came.
    Signal,
}

/// Longest single wait: how late a caller's flag may be seen, if no signal ends the wait earlier.
const SLICE: Duration = Duration::from_millis(100);

pub(crate) struct Packet<K: Kernel> {
    pub(crate) start: StartCu,
    pub(crate) bytes: Vec<u8>,
    /// Every buffer once.
    pub(crate) buffers: Vec<Arc<Buffer<K>>>,
}

/// A place in a buffer that a command reads or writes from.
#[derive(Debug)]
pub struct HostBuffer<'a, K: Kernel = Sys> {
    /// The buffer.
    pub bo: &'a Bo<K>,
    /// Bytes from its start.
    pub offset: usize,
}

impl<'a, K: Kernel> From<&'a Bo<K>> for HostBuffer<'a, K> {
    fn from(bo: &'a Bo<K>) -> Self {
        Self { bo, offset: 0 }
    }
}

/// A command, to be submitted any number of times, one after the other.
///
/// Dropping one in flight does not stop it: its context keeps its buffers until it has ended.
pub struct Cmd<K: Kernel = Sys> {
    device: Device<K>,
    pub(crate) bo: Bo<K>,
    pub(crate) packet: Option<Packet<K>>,
    pub(crate) flight: Option<(Arc<Live<K>>, u64)>,
}

impl<K: Kernel> fmt::Debug for Cmd<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cmd")
            .field("bo", &self.bo)
            .field("start", &self.packet.as_ref().map(|packet| &packet.start))
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

impl<K: Kernel> Cmd<K> {
    /// A command without a packet.
    ///
    /// # Errors
    /// As [`Device::buffer_of`].
    pub fn new(device: &Device<K>) -> Result<Self, Error> {
        let bo = device.cmd_buffer(PACKET_BYTES)?;
        Ok(Self { device: device.clone(), bo, packet: None, flight: None })
    }

    /// Makes it run compute unit `cu` on the TXN stream in the first `stream_words` words of `stream`, a DEV buffer. DDR patches of the
    /// stream with argument index k take the address of `host_buffers[k]`.
    ///
    /// # Errors
    /// [`Error::Busy`] in flight; [`Refusal::NoComputeUnit`] for `cu` of 32 or more, [`Refusal::Stream`], [`Refusal::HostBuffers`] for more
    /// than [`MAX_HOST_BUFFERS`], [`Refusal::Kind`], [`Refusal::Range`] for an offset past a buffer's end, [`Refusal::OtherDevice`].
    pub fn start(
        &mut self,
        cu: u32,
        stream: &Bo<K>,
        stream_words: u32,
        host_buffers: &[HostBuffer<'_, K>],
    ) -> Result<(), Error> {
        if let Some((_, sequence)) = &self.flight {
            return Err(Busy::CommandInFlight { sequence: *sequence }.into());
        }
        let max_units = ioctl::config_hwctx::MAX_CUS as u32;
        if cu >= max_units {
            return Err(Refusal::NoComputeUnit { cu, count: max_units }.into());
        }
        check(&self.device, stream, BoKind::Dev, "an instruction stream")?;
        if stream_words == 0 || u64::from(stream_words) * 4 > stream.len() as u64 {
            return Err(Refusal::Stream { words: stream_words, bytes: stream.len() as u64 }.into());
        }
        if host_buffers.len() > MAX_HOST_BUFFERS {
            return Err(Refusal::HostBuffers { count: host_buffers.len(), max: MAX_HOST_BUFFERS }.into());
        }
        let mut buffers = vec![Arc::clone(&stream.buffer)];
        let mut addresses = Vec::with_capacity(host_buffers.len());
        for &HostBuffer { bo, offset } in host_buffers {
            match bo.kind() {
                BoKind::Shmem | BoKind::User | BoKind::Imported => check(&self.device, bo, bo.kind(), "a host buffer")?,
                kind @ (BoKind::Dev | BoKind::Cmd) => return Err(Refusal::Kind { what: "a host buffer", kind }.into()),
            }
            if offset >= bo.len() {
                return Err(Refusal::Range { offset: offset as u64, bytes: 0, size: bo.len() as u64 }.into());
            }
            addresses.push(bo.device_address() + offset as u64);
            if buffers.iter().all(|other| other.handle != bo.handle()) {
                buffers.push(Arc::clone(&bo.buffer));
            }
        }
        let start = StartCu { cu, stream: stream.device_address(), stream_words, host_buffers: addresses };
        self.packet = Some(Packet { bytes: start.packet(), start, buffers });
        Ok(())
    }

    /// Its number in its context while it is in flight.
    pub fn sequence(&self) -> Option<u64> {
        self.flight.as_ref().map(|&(_, sequence)| sequence)
    }

    /// What the kernel has written so far.
    ///
    /// # Errors
    /// None while the command exists; the type is that of all reads.
    pub fn state(&self) -> Result<CommandState, Error> {
        Ok(CommandState::of_header(self.bo.buffer.load(0)?))
    }

    /// Waits until the command has ended, for at most `timeout`, or until `interrupt` is set, which is looked at whenever a signal comes
    /// and ten times a second.
    ///
    /// # Errors
    /// [`Error::Timeout`] and [`Error::Interrupted`] leave the command in flight: it can be waited for again, or its context made anew.
    /// [`Error::Command`] for any end but COMPLETED. [`Refusal::NotInFlight`]. What the kernel's wait answers, which also leaves it in
    /// flight.
    pub fn wait(&mut self, timeout: Duration, interrupt: &AtomicBool) -> Result<(), Error> {
        let (live, sequence) = self.flight.clone().ok_or(Refusal::NotInFlight)?;
        let kernel = &live.shared.file.kernel;
        let begin = kernel.now();
        let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let deadline = begin.saturating_add(nanoseconds(timeout));
        while live.is_in_flight(sequence) {
            if self.state()? == CommandState::Completed {
                live.retire(sequence);
                break;
            }
            if interrupt.load(Ordering::Relaxed) {
                return Err(Error::Interrupted { context: live.handle, sequence });
            }
            let now = kernel.now();
            let until = deadline.min(now.saturating_add(nanoseconds(SLICE)));
            match wait_once(&live, sequence, now, until)? {
                Waited::Signalled if live.syncobj.is_some() => live.retire_to(sequence),
                Waited::Signalled => live.retire(sequence),
                Waited::Expired | Waited::Signal if kernel.now() >= deadline => {
                    if interrupt.load(Ordering::Relaxed) {
                        return Err(Error::Interrupted { context: live.handle, sequence });
                    }
                    live.is_overdue(sequence);
                    let waited = Duration::from_nanos(kernel.now().saturating_sub(begin).max(0) as u64);
                    return Err(Error::Timeout { context: live.handle, sequence, waited });
                }
                Waited::Expired | Waited::Signal => {}
            }
        }
        self.flight = None;
        let state = self.state()?;
        if state == CommandState::Completed {
            live.succeeded(sequence);
            return Ok(());
        }
        live.failed();
        Err(Error::Command { context: live.handle, sequence, state, health: self.health()? })
    }

    fn health(&self) -> Result<Option<Health>, Busy> {
        let mut payload = Vec::new();
        for word in 1..=8 {
            payload.extend(self.bo.buffer.load(4 * word)?.to_le_bytes());
        }
        Ok(Health::of_payload(&payload))
    }
}

/// One wait of the kernel until `until`, which may be past.
fn wait_once<K: Kernel>(live: &Live<K>, sequence: u64, now: i64, until: i64) -> Result<Waited, Error> {
    let file = &live.shared.file;
    match live.syncobj {
        Some(syncobj) => ioctl::syncobj_timeline_wait::wait(file, syncobj, sequence, until),
        None => {
            // A whole millisecond at least: 0 would wait forever.
            let milliseconds = (until.saturating_sub(now).max(0) as u64).div_ceil(1_000_000).max(1);
            ioctl::wait_cmd::wait_cmd(file, live.handle, sequence, u32::try_from(milliseconds).unwrap_or(u32::MAX))
        }
    }
}
