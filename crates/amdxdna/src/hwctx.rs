//! Hardware contexts: a partition of columns with its compute units and its commands in flight.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bo::{Bo, BoKind, Buffer};
use crate::cmd::{Cmd, Waited};
use crate::device::{Device, Shared};
use crate::error::{Busy, Error, Refusal};
use crate::ioctl::create_hwctx::{ANY_COLUMN, Created, Qos};
use crate::ioctl::{self, Ioctl, bad, config_hwctx};
use crate::kernel::Kernel;
use crate::{BadReply, Sys};

/// Columns with a shim DMA, the most a context can use.
// SOURCE: AM020 for the device's columns; the driver reports 5
pub const MAX_COLUMNS: u32 = 4;
/// Commands of a context that the driver takes without blocking.
// SOURCE: HWCTX_MAX_CMDS in drivers/accel/amdxdna/amdxdna_ctx.h
pub const MAX_IN_FLIGHT: usize = 4;
/// Operations per cycle, for the driver's choice of a clock; without wishes it does not matter.
// SOURCE: what AMD's runtime passes
const MAX_OPC: u32 = 2048;

/// Standing among the contexts of the device. There is no preemption on Phoenix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Priority {
    /// The driver's choice.
    #[default]
    Unset = 0,
    /// Before all others.
    Realtime = 0x100,
    /// High.
    High = 0x180,
    /// Normal.
    Normal = 0x200,
    /// Low, at the lowest clock.
    Low = 0x280,
}

/// What a context is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextConfig {
    /// Columns, 1 to [`MAX_COLUMNS`]. The driver chooses which; addresses in PDIs and streams count from the first.
    pub columns: u32,
    /// Giga-operations of a frame; 0 for the highest clock.
    pub gops: u32,
    /// Frames per second; 0 for the highest clock.
    pub fps: u32,
    /// Standing.
    pub priority: Priority,
}

impl Default for ContextConfig {
    /// All columns at the highest clock.
    fn default() -> Self {
        Self { columns: MAX_COLUMNS, gops: 0, fps: 0, priority: Priority::Unset }
    }
}

/// A compute unit: a PDI and how the firmware is to treat it.
#[derive(Debug)]
pub struct ComputeUnit<K: Kernel = Sys> {
    /// DEV buffer with one PDI at its start. It belongs to the context from now on.
    pub pdi: Bo<K>,
    /// Functional id; 0 for a kernel with a runtime stream.
    pub function: u8,
}

/// A command the device may be working on.
struct Flight<K: Kernel> {
    command: Arc<Buffer<K>>,
    arguments: Vec<Arc<Buffer<K>>>,
}

impl<K: Kernel> Flight<K> {
    fn release(&self) {
        self.command.release();
        self.arguments.iter().for_each(|buffer| buffer.release());
    }
}

struct State<K: Kernel> {
    destroyed: bool,
    failed: bool,
    /// A command whose wait expired; it may still complete.
    overdue: Option<u64>,
    flights: BTreeMap<u64, Flight<K>>,
    units: Vec<(Arc<Buffer<K>>, u8)>,
}

/// A context of the kernel, until it is destroyed.
pub(crate) struct Live<K: Kernel> {
    pub(crate) shared: Arc<Shared<K>>,
    pub(crate) handle: u32,
    pub(crate) syncobj: Option<u32>,
    state: Mutex<State<K>>,
}

impl<K: Kernel> Live<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_in_flight(&self, sequence: u64) -> bool {
        self.state().flights.contains_key(&sequence)
    }

    /// The timeline has reached `sequence`: everything up to it has ended.
    pub(crate) fn retire_to(&self, sequence: u64) {
        let mut state = self.state();
        let rest = sequence.checked_add(1).map_or_else(BTreeMap::new, |next| state.flights.split_off(&next));
        let ended = std::mem::replace(&mut state.flights, rest);
        ended.values().for_each(Flight::release);
    }

    /// `sequence` has ended; nothing is known of the others.
    pub(crate) fn retire(&self, sequence: u64) {
        if let Some(flight) = self.state().flights.remove(&sequence) {
            flight.release();
        }
    }

    pub(crate) fn succeeded(&self, sequence: u64) {
        let mut state = self.state();
        if state.overdue == Some(sequence) {
            state.overdue = None;
        }
    }

    pub(crate) fn failed(&self) {
        self.state().failed = true;
    }

    pub(crate) fn is_overdue(&self, sequence: u64) {
        self.state().overdue = Some(sequence);
    }

    /// Ends the context and all its commands. The driver returns when the device has stopped working for it.
    fn destroy(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.destroyed, true) {
            return;
        }
        if let Some(syncobj) = self.syncobj {
            self.shared.note(ioctl::syncobj_destroy::syncobj_destroy(&self.shared.file, syncobj));
        }
        let destroyed = ioctl::destroy_hwctx::destroy_hwctx(&self.shared.file, self.handle);
        let stopped = match &destroyed {
            Ok(()) => true,
            Err(error) => error.is_unplugged(),
        };
        self.shared.note(destroyed);
        let flights = std::mem::take(&mut state.flights);
        let units = std::mem::take(&mut state.units);
        // If the context would not end, its buffers are never lent again.
        if stopped {
            flights.values().for_each(Flight::release);
            units.iter().for_each(|(pdi, _)| pdi.release());
        }
    }
}

impl<K: Kernel> Drop for Live<K> {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// A hardware context. Dropping it ends its commands; a [`Cmd`] in flight then fails.
pub struct HwCtx<K: Kernel = Sys> {
    device: Device<K>,
    config: ContextConfig,
    units: Vec<ComputeUnit<K>>,
    live: Arc<Live<K>>,
}

impl<K: Kernel> fmt::Debug for HwCtx<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HwCtx")
            .field("handle", &self.live.handle)
            .field("config", &self.config)
            .field("units", &self.units)
            .finish_non_exhaustive()
    }
}

impl<K: Kernel> Device<K> {
    /// Makes a hardware context.
    ///
    /// # Errors
    /// [`Refusal::Columns`]; those of [`ensure_heap`](Device::ensure_heap); [`Cause::NoColumns`](crate::Cause::NoColumns) when others
    /// have them; [`Cause::Firmware`](crate::Cause::Firmware).
    pub fn create_context(&self, config: ContextConfig) -> Result<HwCtx<K>, Error> {
        let live = create(self, config)?;
        Ok(HwCtx { device: self.clone(), config, units: Vec::new(), live })
    }
}

fn create<K: Kernel>(device: &Device<K>, config: ContextConfig) -> Result<Arc<Live<K>>, Error> {
    let metadata = device.metadata();
    let max = MAX_COLUMNS.min(metadata.columns.into());
    if config.columns == 0 || config.columns > max {
        return Err(Refusal::Columns { columns: config.columns, max }.into());
    }
    // The driver maps the heap for the firmware when it makes the context.
    device.ensure_heap()?;
    let qos = Qos {
        gops: config.gops,
        fps: config.fps,
        priority: config.priority as u32,
        user_start_col: ANY_COLUMN,
        ..Qos::default()
    };
    let tiles = config.columns * u32::from(metadata.core.rows);
    let Created { handle, syncobj } = ioctl::create_hwctx::create_hwctx(&device.shared.file, qos, tiles, MAX_OPC)?;
    let state = State { destroyed: false, failed: false, overdue: None, flights: BTreeMap::new(), units: Vec::new() };
    Ok(Arc::new(Live { shared: Arc::clone(&device.shared), handle, syncobj, state: Mutex::new(state) }))
}

impl<K: Kernel> HwCtx<K> {
    /// The kernel's handle.
    pub fn handle(&self) -> u32 {
        self.live.handle
    }

    /// What was asked for.
    pub fn config(&self) -> ContextConfig {
        self.config
    }

    /// The device.
    pub fn device(&self) -> &Device<K> {
        &self.device
    }

    /// Gives the context its compute units, once. The firmware loads a PDI with the first command of its unit, so that success here does
    /// not prove the PDI good.
    ///
    /// # Errors
    /// [`Refusal::ComputeUnits`], [`Refusal::ConfiguredTwice`], [`Refusal::Kind`], [`Refusal::OtherDevice`], [`Error::Busy`] if the bytes
    /// of a PDI are lent, and what CONFIG_HWCTX answers.
    pub fn configure(&mut self, units: Vec<ComputeUnit<K>>) -> Result<(), Error> {
        if !self.units.is_empty() {
            return Err(Refusal::ConfiguredTwice.into());
        }
        self.send_units(&units)?;
        self.units = units;
        Ok(())
    }

    /// Copies PDIs into device memory and makes compute units of them, in this order.
    ///
    /// # Errors
    /// Those of [`configure`](HwCtx::configure) and of [`Device::dev_buffer`].
    pub fn load(&mut self, pdis: &[&[u8]]) -> Result<(), Error> {
        let mut units = Vec::with_capacity(pdis.len());
        for bytes in pdis {
            let mut pdi = self.device.dev_buffer(bytes.len())?;
            pdi.write(0, bytes)?;
            units.push(ComputeUnit { pdi, function: 0 });
        }
        self.configure(units)
    }

    fn send_units(&self, units: &[ComputeUnit<K>]) -> Result<(), Error> {
        let (count, max) = (units.len(), config_hwctx::MAX_CUS);
        if count == 0 || count > max {
            return Err(Refusal::ComputeUnits { count, max }.into());
        }
        for ComputeUnit { pdi, .. } in units {
            check(&self.device, pdi, BoKind::Dev, "a PDI")?;
        }
        let mut state = self.live.state();
        if state.destroyed || state.failed {
            return Err(Error::ContextFailed { context: self.live.handle });
        }
        let buffers: Vec<_> = units.iter().map(|unit| Arc::clone(&unit.pdi.buffer)).collect();
        take_all(&buffers)?;
        let entries: Vec<_> = units
            .iter()
            .map(|unit| config_hwctx::Entry { bo: unit.pdi.handle(), function: unit.function, pad: [0; 3] })
            .collect();
        if let Err(error) = config_hwctx::config_cus(&self.live.shared.file, self.live.handle, &entries) {
            buffers.iter().for_each(|buffer| buffer.release());
            return Err(error);
        }
        state.units = buffers.into_iter().zip(units.iter().map(|unit| unit.function)).collect();
        Ok(())
    }

    /// Queues a command. Its buffers' bytes cannot be lent until it has ended.
    ///
    /// # Errors
    /// [`Error::Busy`] if the command is in flight, a buffer's bytes are lent, or [`MAX_IN_FLIGHT`] commands are under way;
    /// [`Error::ContextFailed`] after a failure; [`Refusal::NoComputeUnit`], [`Refusal::NoPacket`], [`Refusal::OtherDevice`]; what
    /// EXEC_CMD answers, and then nothing has been queued.
    pub fn submit(&self, cmd: &mut Cmd<K>) -> Result<(), Error> {
        let live = &self.live;
        if let Some((_, sequence)) = &cmd.flight {
            return Err(Busy::CommandInFlight { sequence: *sequence }.into());
        }
        if !Arc::ptr_eq(&cmd.bo.buffer.shared, &live.shared) {
            return Err(Refusal::OtherDevice { what: "the command" }.into());
        }
        let packet = cmd.packet.as_ref().ok_or(Refusal::NoPacket)?;
        self.reap()?;
        let mut state = live.state();
        if state.destroyed || state.failed || state.overdue.is_some() {
            return Err(Error::ContextFailed { context: live.handle });
        }
        let (cu, count) = (packet.start.cu, state.units.len() as u32);
        if cu >= count {
            return Err(Refusal::NoComputeUnit { cu, count }.into());
        }
        if state.flights.len() >= MAX_IN_FLIGHT {
            return Err(Busy::QueueFull { limit: MAX_IN_FLIGHT }.into());
        }
        // The driver has written into the packet of an earlier run.
        cmd.bo.write(0, &packet.bytes)?;
        let command = Arc::clone(&cmd.bo.buffer);
        command.take()?;
        let arguments = packet.buffers.clone();
        if let Err(busy) = take_all(&arguments) {
            command.release();
            return Err(busy.into());
        }
        let flight = Flight { command, arguments };
        let mut handles: Vec<u32> = flight.arguments.iter().map(|buffer| buffer.handle).collect();
        let queued = ioctl::exec_cmd::exec_cmd(&live.shared.file, live.handle, flight.command.handle, &mut handles);
        match queued {
            Ok(sequence) => {
                // Two commands of one number could not be told apart; the buffers stay with the context.
                let second = state.flights.contains_key(&sequence);
                let key = if second { u64::MAX - state.flights.len() as u64 } else { sequence };
                state.flights.insert(key, flight);
                if second {
                    state.failed = true;
                    let problem = BadReply::Value { what: "second command of number", value: sequence };
                    return Err(bad(Ioctl::ExecCmd, &format_args!("context {}", live.handle), problem));
                }
                drop(state);
                cmd.flight = Some((Arc::clone(live), sequence));
                Ok(())
            }
            Err(error) => {
                flight.release();
                Err(error)
            }
        }
    }

    /// Lets go of commands that nobody waited for, if the queue is full.
    fn reap(&self) -> Result<(), Error> {
        let live = &self.live;
        let oldest = {
            let state = live.state();
            if state.destroyed || state.flights.len() < MAX_IN_FLIGHT {
                return Ok(());
            }
            state.flights.keys().next().copied()
        };
        if let (Some(oldest), Some(syncobj)) = (oldest, live.syncobj) {
            // A deadline in the past asks and does not wait.
            match ioctl::syncobj_timeline_wait::wait(&live.shared.file, syncobj, oldest, 0)? {
                Waited::Signalled => live.retire_to(oldest),
                Waited::Expired | Waited::Signal => {}
            }
        }
        Ok(())
    }

    /// Commands that may be under way.
    pub fn in_flight(&self) -> usize {
        self.live.state().flights.len()
    }

    /// Whether a command has failed or is overdue, so that the context takes no more of them.
    pub fn is_failed(&self) -> bool {
        let state = self.live.state();
        state.failed || state.destroyed || state.overdue.is_some()
    }

    /// Ends the context and makes it anew, with the same columns and compute units: a fresh array. Commands in flight fail.
    ///
    /// After an error the context takes no commands, and the call may be repeated.
    ///
    /// # Errors
    /// As [`Device::create_context`] and [`configure`](HwCtx::configure).
    pub fn recreate(&mut self) -> Result<(), Error> {
        self.live.destroy();
        self.live = create(&self.device, self.config)?;
        if self.units.is_empty() {
            return Ok(());
        }
        self.send_units(&self.units).inspect_err(|_| self.live.destroy())
    }
}

impl<K: Kernel> Drop for HwCtx<K> {
    fn drop(&mut self) {
        // Commands in flight hold the context, too, but it ends here.
        self.live.destroy();
    }
}

/// Takes all buffers or none.
fn take_all<K: Kernel>(buffers: &[Arc<Buffer<K>>]) -> Result<(), Busy> {
    for (index, buffer) in buffers.iter().enumerate() {
        if let Err(busy) = buffer.take() {
            buffers[..index].iter().for_each(|buffer| buffer.release());
            return Err(busy);
        }
    }
    Ok(())
}

pub(crate) fn check<K: Kernel>(
    device: &Device<K>,
    bo: &Bo<K>,
    kind: BoKind,
    what: &'static str,
) -> Result<(), Refusal> {
    if !Arc::ptr_eq(&bo.buffer.shared, &device.shared) {
        return Err(Refusal::OtherDevice { what });
    }
    if bo.kind() != kind {
        return Err(Refusal::Kind { what, kind: bo.kind() });
    }
    Ok(())
}
