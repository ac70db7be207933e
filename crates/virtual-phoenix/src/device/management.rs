//! Requests of the management channel.

use super::{Answer, Device, EventBuffer, Shared, refuse};
use crate::context::{Context, HEAP_BYTES, Heap};
use crate::execute::Worker;
use crate::fault::{AieError, Fault};
use crate::geometry;
use crate::guest::Rights;
use crate::journal::Line;
use crate::mailbox::{CHANNELS, FIRST_CONTEXT, MANAGEMENT, Mailbox, Places};
use crate::message::{Opcode, Request, Status, words};
use std::sync::{Arc, Weak};
use std::thread;

// SOURCE: the firmware whose places in SRAM this device has.
const FIRMWARE: [u32; 4] = [1, 5, 5, 391];
/// Contexts at once.
// SOURCE: amd/xdna-driver npu1_regs.c hwctx_limit.
const MAX_CONTEXTS: usize = 6;
/// Buffers for asynchronous errors; the driver registers one per column.
const MAX_EVENTS: usize = 16;
/// Settings the driver makes on npu1, and their values: who loads PDIs, debug buffers, clock gating. None of them changes anything here.
// SOURCE: amd/xdna-driver npu1_regs.c npu1_default_rt_cfg; aie2_pm.c aie2_pm_set_clk_gating.
const SETTINGS: [(u32, &[u64]); 3] = [(2, &[1]), (4, &[1]), (1, &[0, 1])];

/// Values of a setting; `None`: npu1 has no such setting.
fn values_of(kind: u32) -> Option<&'static [u64]> {
    SETTINGS.into_iter().find_map(|(of, values)| (of == kind).then_some(values))
}

impl Device {
    /// Carries out a request of the management channel. `None`: the answer comes later.
    pub(super) fn manage(&mut self, id: u32, request: Request) -> Result<Option<Vec<u8>>, (Status, String)> {
        let ok = || Ok(words(&[0]));
        let answer: Answer = match request {
            Request::CreateContext { aie_type, start, columns, pairs, pasid, priority: _ } => {
                self.create_context((aie_type, start, columns), pairs, pasid)
            }
            Request::DestroyContext { context } => match self.contexts.remove(&context) {
                Some(context) => {
                    if !context.in_flight.is_empty() {
                        let (line, commands) = (Line::Context(context.id), context.in_flight.len());
                        self.journal.note(line, format_args!("{commands} commands in flight end without an answer"));
                    }
                    self.mailbox.close(context.channel);
                    ok()
                }
                None => refuse(Status::MANAGEMENT_PARAMETER, format!("there is no context {context}")),
            },
            Request::MapHostBuffer { context, address, bytes } => self.map_heap(context, Heap { address, bytes }),
            Request::QueryAieTileInfo => Ok(geometry::tile_info()),
            Request::QueryAieVersion => {
                let (major, minor) = geometry::VERSION;
                Ok(words(&[0, u32::from(minor) << 16 | u32::from(major)]))
            }
            Request::GetFirmwareVersion => Ok([words(&[0]), words(&FIRMWARE)].concat()),
            Request::Suspend if !self.contexts.is_empty() => {
                refuse(Status(0x0200_0007), format!("{} contexts are alive", self.contexts.len()))
            }
            Request::Suspend => {
                self.journal.counters.suspends += 1;
                self.wait_mode = 1;
                ok()
            }
            Request::Resume => {
                self.wait_mode = 0;
                ok()
            }
            Request::AssignMgmtPasid { pasid: 0 } => ok(),
            Request::AssignMgmtPasid { pasid } => refuse(
                Status::MANAGEMENT_PARAMETER,
                format!("address space {pasid}: the device has none but the bus's"),
            ),
            Request::SetRuntimeConfig { kind, value } => match values_of(kind) {
                Some(values) if values.contains(&value) => {
                    self.runtime_config.insert(kind, value);
                    ok()
                }
                Some(values) => refuse(
                    Status::OPERATION,
                    format!("value {value} of setting {kind} is not modelled, only {values:?}"),
                ),
                None => refuse(Status::OPERATION, format!("setting {kind} is not modelled")),
            },
            Request::GetRuntimeConfig { kind } => match (values_of(kind), self.runtime_config.get(&kind)) {
                (Some(_), Some(value)) => Ok([words(&[0]), value.to_le_bytes().to_vec()].concat()),
                (Some(_), None) => refuse(Status::PARAMETER, format!("setting {kind} was never made")),
                (None, _) => refuse(Status::OPERATION, format!("setting {kind} is not modelled")),
            },
            Request::RegisterAsyncEventMsg { buffer, bytes } => return self.register_event(id, buffer, bytes),
            Request::GetTelemetry { kind, buffer, bytes } => self.telemetry(kind, buffer, bytes),
            Request::QueryColStatus { buffer, bytes, columns, bitmap } => {
                self.column_status(buffer, bytes, columns, bitmap)
            }
            other @ (Request::SyncBo { .. }
            | Request::ExecuteBufferCf { .. }
            | Request::ExecDpu { .. }
            | Request::ConfigCu { .. }
            | Request::Chain { .. }
            | Request::ConfigDebugBo { .. }) => refuse(Status::COMMAND, format!("{other} does not belong here")),
        };
        answer.map(Some)
    }

    fn create_context(&mut self, (aie_type, start, columns): (u32, u8, u8), pairs: u8, pasid: u16) -> Answer {
        let parameter = |why| refuse(Status::MANAGEMENT_PARAMETER, why);
        if aie_type != 1 || pairs != 1 {
            return parameter(format!("array type {aie_type} with {pairs} queue pairs; only 1 with 1 is modelled"));
        }
        if pasid != 0 {
            return parameter(format!("address space {pasid}: the device has none but the bus's"));
        }
        // Column 0 has no shim DMA.
        if start == 0 || columns == 0 || u32::from(start) + u32::from(columns) > geometry::COLUMNS {
            return parameter(format!("{columns} columns from {start} are not columns of an application"));
        }
        let channel = (FIRST_CONTEXT..FIRST_CONTEXT + MAX_CONTEXTS).find(|&channel| self.context_at(channel).is_none());
        let Some(channel) = channel.filter(|channel| *channel < CHANNELS.min(MANAGEMENT)) else {
            return refuse(Status::NOT_AVAILABLE, format!("{MAX_CONTEXTS} contexts are alive"));
        };
        let id = self.next_context;
        let me = Weak::clone(&self.me);
        let mut started = Ok(());
        let context = Context::new((id, channel), (start, columns), Arc::clone(&self.memory), |worker| {
            let thread = thread::Builder::new().name(format!("context {id}"));
            started = thread.spawn(move || work(worker, &me)).map(drop);
        });
        if let Err(error) = started {
            return refuse(Status::NOT_AVAILABLE, format!("no thread for it: {error}"));
        }
        self.next_context += 1;
        self.journal.counters.contexts_made += 1;
        self.contexts.insert(id, context);
        self.mailbox.open(channel);
        let Places { x2i, i2x } = Mailbox::places(channel);
        let mut answer = words(&[0, id, channel as u32 | 1 << 16]);
        answer.extend(words(&x2i));
        answer.extend(words(&i2x));
        answer.resize(Opcode::CreateContext.answer_bytes(), 0);
        Ok(answer)
    }

    fn map_heap(&mut self, context: u32, heap: Heap) -> Answer {
        let Some(context) = self.contexts.get_mut(&context) else {
            return refuse(Status::MANAGEMENT_PARAMETER, format!("there is no context {context}"));
        };
        if heap.bytes == 0 || heap.bytes > HEAP_BYTES {
            return refuse(Status::BUFFER_SIZE, format!("a heap of {:#x} bytes", heap.bytes));
        }
        // PDIs and streams are read from it, SYNC_BO writes to it.
        if let Err(error) = self.memory.covers(heap.address, heap.bytes, Rights { read: true, write: true }) {
            return refuse(Status::INPUT_BUFFER, format!("a heap at {:#x}: {error}", heap.address));
        }
        context.heap = Some(heap);
        Ok(words(&[0]))
    }

    fn register_event(&mut self, id: u32, address: u64, bytes: u32) -> Result<Option<Vec<u8>>, (Status, String)> {
        if self.events.len() >= MAX_EVENTS {
            return refuse(Status::ASYNC_SLOTS, format!("{MAX_EVENTS} buffers are registered"));
        }
        self.events.push_back(EventBuffer { id, address, bytes });
        self.raise_events();
        Ok(None)
    }

    /// Reports the errors that wait for a buffer.
    pub(super) fn raise_events(&mut self) {
        while !self.events.is_empty() {
            let error = self.faults.take(|fault| if let Fault::AieError(error) = fault { Some(*error) } else { None });
            let Some(error) = error else { return };
            let Some(EventBuffer { id, address, bytes }) = self.events.pop_front() else { return };
            self.fired(&Fault::AieError(error));
            let AieError { row, column, module, event } = error;
            let mut report = words(&[1, 0, 0]);
            report.extend([row, column, 0, 0]);
            report.extend(words(&[module.code(), event.into()]));
            let stored = if (bytes as usize) < report.len() {
                Err(format!("a buffer of {bytes} bytes"))
            } else {
                self.memory.write(address, &report).map_err(|error| error.to_string())
            };
            match stored {
                // Status, kind 0: an error of the array.
                Ok(()) => self.answer(MANAGEMENT, id, Opcode::RegisterAsyncEventMsg.code(), words(&[0, 0]), "event"),
                Err(why) => self.refuse(MANAGEMENT, id, Opcode::RegisterAsyncEventMsg, Status::INPUT_BUFFER, &why),
            }
        }
    }

    /// Telemetry is what the firmware of npu1 gives: filler.
    // MEASURED: Phoenix with firmware 1.5.5.391 fills the buffer with 0xFF.
    fn telemetry(&mut self, kind: u32, buffer: u64, bytes: u32) -> Answer {
        if bytes > geometry::MAX_TELEMETRY_BYTES {
            return refuse(Status::BUFFER_SIZE, format!("telemetry {kind} into {bytes} bytes"));
        }
        match self.memory.write(buffer, &vec![0xff; bytes as usize]) {
            Ok(()) => Ok(words(&[u32::MAX, u32::MAX, bytes, 0])),
            Err(error) => refuse(Status::INPUT_BUFFER, format!("telemetry {kind}: {error}")),
        }
    }

    fn column_status(&mut self, buffer: u64, bytes: u32, columns: u32, bitmap: u32) -> Answer {
        if bitmap >> geometry::COLUMNS != 0 || bitmap.count_ones() != columns {
            return refuse(Status::PARAMETER, format!("bitmap {bitmap:#x} of {columns} columns"));
        }
        let blob = geometry::status(self.contexts.values(), bitmap);
        if blob.len() as u64 > u64::from(bytes) {
            return refuse(Status::BUFFER_SIZE, format!("{} bytes of status into {bytes}", blob.len()));
        }
        match self.memory.write(buffer, &blob) {
            Ok(()) => Ok(words(&[0, blob.len() as u32])),
            Err(error) => refuse(Status::INPUT_BUFFER, error.to_string()),
        }
    }
}

/// The thread of a context.
fn work(worker: Worker, device: &Weak<Shared>) {
    worker.run(|context, job, report| {
        if let Some(device) = device.upgrade() {
            device.lock().told(context, job.id, job.opcode, report);
        }
    });
}
