//! The device: registers to actions, messages to answers. Nothing in here waits; what takes time runs in a context's thread.

use crate::config::{ConfigSpace, Effect, VECTORS};
use crate::context::{Context, HEAP_BYTES, Heap, Unit};
use crate::execute::{Job, Report, Worker};
use crate::fault::{AieError, Fault, Pending};
use crate::guest::{GuestMemory, Rights};
use crate::journal::{Journal, Line, Name};
use crate::mailbox::{CHANNELS, FIRST_CONTEXT, MANAGEMENT, Mailbox, Message, Places, Rung, SRAM_BASE};
use crate::message::{Opcode, Place, Request, Status, status_answer, status_of, words};
use crate::{geometry, psp, smu};
use aie2_sim::HostMemory;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

/// Where the word stands that says the firmware is alive.
const ALIVE: u32 = 0x3_f000;
/// Where the record stands that it points to.
const RECORD: u32 = 0x3_b000;
const RECORD_MAGIC: u32 = 0x5550_4e5f;
const WAIT_MODE: u32 = 0x10034;
const PROTOCOL_MAJOR: u32 = 5;
/// A minor version the driver refuses.
const OLD_MINOR: u32 = 6;
// SOURCE: the firmware whose places in SRAM this device has.
const FIRMWARE: [u32; 4] = [1, 5, 5, 391];
/// Contexts at once.
// SOURCE: amd/xdna-driver npu1_regs.c hwctx_limit.
const MAX_CONTEXTS: usize = 6;
/// Buffers for asynchronous errors; the driver registers one per column.
const MAX_EVENTS: usize = 16;

/// Version of the mailbox protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// 5.7.
    V5_7,
    /// 5.8: with CHAIN_EXEC_NPU.
    #[default]
    V5_8,
}

impl Protocol {
    const fn minor(self) -> u32 {
        match self {
            Self::V5_7 => 7,
            Self::V5_8 => 8,
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "5.7" => Ok(Self::V5_7),
            "5.8" => Ok(Self::V5_8),
            _ => Err(format!("{text:?} is neither 5.7 nor 5.8")),
        }
    }
}

/// A buffer registered for an asynchronous error.
#[derive(Debug, Clone, Copy)]
struct EventBuffer {
    id: u32,
    address: u64,
    bytes: u32,
}

/// The device.
pub struct Device {
    me: Weak<Shared>,
    protocol: Protocol,
    config: ConfigSpace,
    psp: psp::Psp,
    smu: smu::Smu,
    wait_mode: u32,
    mailbox: Mailbox,
    interrupts: [Option<File>; VECTORS],
    memory: Arc<GuestMemory>,
    contexts: BTreeMap<u32, Context>,
    next_context: u32,
    events: VecDeque<EventBuffer>,
    runtime_config: BTreeMap<u32, u64>,
    faults: Pending,
    journal: Journal,
}

/// The device, shared between the loop, the threads of its contexts and the control channel.
pub struct Shared(Mutex<Device>);

impl Shared {
    /// A device that speaks `protocol` and logs to `journal`.
    pub fn new(protocol: Protocol, journal: Journal) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            Self(Mutex::new(Device {
                me: Weak::clone(me),
                protocol,
                config: ConfigSpace::new(),
                psp: psp::Psp::default(),
                smu: smu::Smu::default(),
                wait_mode: 0,
                mailbox: Mailbox::new(),
                interrupts: Default::default(),
                memory: Arc::new(GuestMemory::new()),
                contexts: BTreeMap::new(),
                next_context: 1,
                events: VecDeque::new(),
                runtime_config: BTreeMap::new(),
                faults: Pending::default(),
                journal,
            }))
        })
    }

    /// The device, for one access.
    pub fn lock(&self) -> MutexGuard<'_, Device> {
        // A thread that panicked with the lock has been reported by its panic; registers and rings have no states to break.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation on the management channel gives.
type Answer = Result<Vec<u8>, (Status, String)>;

fn refuse<T>(status: Status, why: impl Into<String>) -> Result<T, (Status, String)> {
    Err((status, why.into()))
}

impl Device {
    /// Guest memory.
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// The journal.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Adds a fault; those that need no event fire at once.
    pub fn inject(&mut self, fault: Fault) {
        self.journal.note(Line::Device, format_args!("fault {fault} set"));
        match fault {
            Fault::ResetNow => {
                self.fired(&fault);
                self.stop("fault reset");
            }
            Fault::LostCompletion
            | Fault::LateCompletion(_)
            | Fault::NoFence
            | Fault::Garbage
            | Fault::Status(..)
            | Fault::Malformed(_)
            | Fault::Hang
            | Fault::Evict
            | Fault::AieError(_)
            | Fault::Reset
            | Fault::WrongProtocol => self.faults.push(fault),
        }
        self.raise_events();
    }

    /// Forgets the faults that have not fired.
    pub fn clear_faults(&mut self) {
        self.journal.note(Line::Device, format_args!("faults cleared"));
        self.faults.clear();
    }

    fn fired(&mut self, fault: &Fault) {
        self.journal.counters.faults_fired += 1;
        self.journal.note(Line::Device, format_args!("fault {fault} fires"));
    }

    /// Takes a pending fault that fits.
    fn take_fault(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let fault = self.faults.take(|fault| fits(fault).then_some(*fault))?;
        self.fired(&fault);
        Some(fault)
    }

    /// Counters and state as one line of JSON.
    pub fn counts(&self) -> serde_json::Value {
        let c = &self.journal.counters;
        serde_json::json!({
            "messages": c.messages,
            "boots": c.boots,
            "suspends": c.suspends,
            "contexts": self.contexts.len(),
            "contexts_made": c.contexts_made,
            "pdis": c.pdis,
            "runs": c.runs,
            "completed": c.completed,
            "failed": c.failed,
            "hung": c.hung,
            "interrupts": c.interrupts,
            "refusals": c.refusals,
            "faults_fired": c.faults_fired,
            "faults_pending": self.faults.iter().map(Fault::to_string).collect::<Vec<_>>(),
            "memory_areas": self.memory.areas(),
        })
    }

    // ---- registers ------------------------------------------------------------------------------------------------

    /// Reads configuration space.
    pub fn read_config(&self, offset: u64, out: &mut [u8]) {
        self.config.read(offset, out);
    }

    /// Writes configuration space.
    pub fn write_config(&mut self, offset: u64, data: &[u8]) {
        match self.config.write(offset, data) {
            Effect::None => {}
            Effect::Reset => self.reset("function level reset"),
        }
    }

    /// Reads a word of BAR 0.
    pub fn read_bar0(&self, offset: u32) -> u32 {
        let plain = if offset == WAIT_MODE { self.wait_mode } else { 0 };
        self.psp.read(offset).or_else(|| self.smu.read(offset)).unwrap_or(plain)
    }

    /// Writes a word of BAR 0.
    pub fn write_bar0(&mut self, offset: u32, value: u32) {
        if let Some(action) = self.psp.write(offset, value) {
            if let Some(action) = action {
                self.psp_command(action);
            }
        } else if let Some(action) = self.smu.write(offset, value) {
            if let Some(action) = action {
                self.journal.note(Line::Device, format_args!("smu {action:?}"));
                if let smu::Action::Unknown(_) = action {
                    self.journal.counters.refusals += 1;
                }
            }
        } else {
            self.journal.refused(Line::Device, format_args!("write of {value:#x} to BAR 0 offset {offset:#x}"));
        }
    }

    /// Reads SRAM.
    pub fn read_sram(&self, offset: u64, out: &mut [u8]) {
        self.mailbox.read_sram(offset, out);
    }

    /// Writes SRAM.
    pub fn write_sram(&mut self, offset: u64, data: &[u8]) {
        self.mailbox.write_sram(offset, data);
    }

    /// Reads a word of BAR 4.
    pub fn read_bar4(&self, offset: u32) -> u32 {
        self.mailbox.read_register(offset)
    }

    /// Writes a word of BAR 4.
    pub fn write_bar4(&mut self, offset: u32, value: u32) {
        match self.mailbox.write_register(offset, value) {
            Some(Rung::Doorbell(channel)) => self.doorbell(channel),
            Some(Rung::Room(channel)) if self.mailbox.is_waiting(channel) => {
                if self.mailbox.flush(channel) {
                    self.interrupt(channel);
                }
            }
            Some(Rung::Room(_)) | None => {}
        }
    }

    /// Gives a vector an eventfd, or none.
    pub fn set_interrupt(&mut self, vector: usize, eventfd: Option<File>) {
        if let Some(slot) = self.interrupts.get_mut(vector) {
            *slot = eventfd;
        }
    }

    /// Makes guest memory reachable.
    ///
    /// # Errors
    /// As [`GuestMemory::map`].
    pub fn map(&mut self, at: u64, bytes: u64, file: File, offset: u64, rights: Rights) -> std::io::Result<()> {
        self.memory.map(at, bytes, file, offset, rights)
    }

    fn interrupt(&mut self, vector: usize) {
        let Some(Some(eventfd)) = self.interrupts.get_mut(vector) else {
            self.journal.refused(Line::Device, format_args!("vector {vector} has no eventfd; its interrupt is lost"));
            return;
        };
        match eventfd.write_all(&1u64.to_ne_bytes()) {
            Ok(()) => self.journal.counters.interrupts += 1,
            Err(error) => {
                self.journal.refused(Line::Device, format_args!("interrupt of vector {vector}: {error}"));
            }
        }
    }

    // ---- firmware -------------------------------------------------------------------------------------------------

    fn psp_command(&mut self, action: psp::Action) {
        self.journal.note(Line::Device, format_args!("psp {action:?}"));
        match action {
            psp::Action::Validate { .. } => {}
            psp::Action::Start => self.boot(),
            psp::Action::Release => self.stop("psp release"),
            psp::Action::Refused { .. } => self.journal.counters.refusals += 1,
        }
    }

    /// The firmware starts: the management channel is open and the record in its place.
    fn boot(&mut self) {
        self.stop("psp start");
        self.journal.counters.boots += 1;
        let old = self.take_fault(|fault| matches!(fault, Fault::WrongProtocol)).is_some();
        let minor = if old { OLD_MINOR } else { self.protocol.minor() };
        self.wait_mode = 0;
        self.mailbox.open(MANAGEMENT);
        let Places { x2i: [x2i_head, x2i_tail, x2i, x2i_bytes], i2x: [i2x_head, i2x_tail, i2x, i2x_bytes] } =
            Mailbox::places(MANAGEMENT);
        let mut record = vec![x2i_tail, x2i_head, x2i, x2i_bytes, i2x_tail, i2x_head, i2x, i2x_bytes, RECORD_MAGIC];
        record.extend([MANAGEMENT as u32, PROTOCOL_MAJOR, minor, 0, 0, 0, 0]);
        self.mailbox.write_sram(RECORD.into(), &words(&record));
        self.mailbox.write_sram(ALIVE.into(), &words(&[SRAM_BASE + RECORD]));
        self.journal.note(Line::Device, format_args!("boot protocol={PROTOCOL_MAJOR}.{minor}"));
    }

    /// The firmware is gone, and all it knew.
    fn stop(&mut self, why: &str) {
        if !self.contexts.is_empty() || !self.events.is_empty() {
            let (contexts, events) = (self.contexts.len(), self.events.len());
            self.journal.note(Line::Device, format_args!("{why}: contexts={contexts} events={events} forgotten"));
        }
        self.contexts.clear();
        self.events.clear();
        self.runtime_config.clear();
        self.mailbox.close_all();
        self.mailbox.write_sram(ALIVE.into(), &[0; 4]);
    }

    /// A reset of the function.
    pub fn reset(&mut self, why: &str) {
        self.journal.note(Line::Device, format_args!("{why}"));
        self.stop(why);
        self.config = ConfigSpace::new();
        self.psp = psp::Psp::default();
        self.smu = smu::Smu::default();
        self.wait_mode = 0;
        self.mailbox = Mailbox::new();
    }

    // ---- messages -------------------------------------------------------------------------------------------------

    fn context_at(&self, channel: usize) -> Option<u32> {
        self.contexts.values().find(|context| context.channel == channel).map(|context| context.id)
    }

    fn line_of(&self, channel: usize) -> Line {
        match self.context_at(channel) {
            _ if channel == MANAGEMENT => Line::Management,
            Some(id) => Line::Context(id),
            None => Line::Device,
        }
    }

    fn doorbell(&mut self, channel: usize) {
        let (messages, error) = self.mailbox.drain(channel);
        for message in messages {
            // A request may end the channel it came by.
            if self.mailbox.is_open(channel) {
                self.request(channel, message);
            }
        }
        if let Some(error) = error {
            let line = self.line_of(channel);
            self.journal.refused(line, format_args!("channel {channel} is dead: {error}"));
        }
    }

    /// One request.
    fn request(&mut self, channel: usize, message: Message) {
        let line = self.line_of(channel);
        let Message { id, opcode: code, payload } = message;
        let place = if channel == MANAGEMENT { Place::Management } else { Place::Context };
        let opcode = Opcode::of(code);
        let request = opcode.and_then(|opcode| Request::read(opcode, &payload));
        let detail = request.as_ref().map_or_else(String::new, |request| request.to_string());
        self.journal.received(line, id, code, payload.len(), &detail);
        let context = if place == Place::Context { self.context_at(channel) } else { None };
        if context.and_then(|id| self.contexts.get(&id)).is_some_and(|context| context.hung) {
            self.journal.note(line, format_args!("{} waits behind a command that never ends", Name(code)));
            return;
        }
        let Some(opcode) = opcode.filter(|opcode| opcode.place() == place && self.knows(*opcode)) else {
            self.journal.refused(line, format_args!("{} is no operation of this channel", Name(code)));
            return self.answer(channel, id, code, words(&[Status::COMMAND.0]), "");
        };
        let status = self.faults.take(|fault| match fault {
            Fault::Status(of, status) if *of == opcode => Some(*status),
            _ => None,
        });
        if let Some(status) = status {
            self.fired(&Fault::Status(opcode, status));
            return self.answer(channel, id, code, self.failed(opcode, status), "injected");
        }
        let Some(request) = request else {
            let why = format!("{opcode} with {} bytes", payload.len());
            return self.refuse(channel, id, opcode, Status::INPUT_BUFFER, &why);
        };
        let outcome = match place {
            Place::Management => self.manage(id, request),
            Place::Context => match context {
                Some(context) => self.serve(context, id, opcode, request),
                None => refuse(Status::COMMAND, "the channel belongs to no context"),
            },
        };
        match outcome {
            Ok(Some(answer)) => self.answer(channel, id, code, answer, ""),
            Ok(None) => {}
            Err((status, why)) => self.refuse(channel, id, opcode, status, &why),
        }
    }

    /// Whether the protocol has an operation.
    fn knows(&self, opcode: Opcode) -> bool {
        opcode != Opcode::ChainExecNpu || self.protocol == Protocol::V5_8
    }

    /// An answer that reports an error; a chain fails in its first slot.
    fn failed(&self, opcode: Opcode, status: Status) -> Vec<u8> {
        match opcode {
            Opcode::ChainExecBufferCf | Opcode::ChainExecDpu | Opcode::ChainExecNpu => words(&[status.0, 0, status.0]),
            _ => status_answer(opcode, status),
        }
    }

    fn refuse(&mut self, channel: usize, id: u32, opcode: Opcode, status: Status, why: &str) {
        let line = self.line_of(channel);
        self.journal.refused(line, format_args!("{opcode}: {why}"));
        let answer = self.failed(opcode, status);
        self.answer(channel, id, opcode.code(), answer, "");
    }

    /// Sends an answer and signals its vector.
    fn answer(&mut self, channel: usize, id: u32, code: u32, mut payload: Vec<u8>, detail: &str) {
        let opcode = Opcode::of(code);
        let malformed = |fault: &Fault| matches!(fault, Fault::Malformed(of) if Some(*of) == opcode);
        if self.take_fault(malformed).is_some() {
            payload.extend([0; 4]);
        }
        let silent = opcode.is_some_and(is_command) && self.take_fault(|fault| *fault == Fault::NoFence).is_some();
        let line = self.line_of(channel);
        let status = match opcode {
            Some(opcode) => status_of(opcode, &payload),
            None => Some(Status::COMMAND),
        };
        self.journal.sent(line, id, code, payload.len(), status, detail);
        let sent = self.mailbox.send(channel, &Message { id, opcode: code, payload });
        if !sent {
            self.journal.note(line, format_args!("the ring of channel {channel} is full; the answer waits"));
        } else if silent {
            self.journal.note(line, format_args!("no interrupt for it"));
        } else {
            self.interrupt(channel);
        }
    }

    // ---- management -----------------------------------------------------------------------------------------------

    /// Carries out a request of the management channel. `None`: the answer comes later.
    fn manage(&mut self, id: u32, request: Request) -> Result<Option<Vec<u8>>, (Status, String)> {
        let ok = || Ok(words(&[0]));
        let answer: Answer = match request {
            Request::CreateContext { aie_type, start, columns, pairs, pasid, priority: _ } => {
                self.create_context((aie_type, start, columns), pairs, pasid)
            }
            Request::DestroyContext { context } => match self.contexts.remove(&context) {
                Some(context) => {
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
            Request::SetRuntimeConfig { kind, value } => {
                self.runtime_config.insert(kind, value);
                ok()
            }
            Request::GetRuntimeConfig { kind } => match self.runtime_config.get(&kind) {
                Some(value) => Ok([words(&[0]), value.to_le_bytes().to_vec()].concat()),
                None => refuse(Status::PARAMETER, format!("setting {kind} was never made")),
            },
            Request::RegisterAsyncEventMsg { buffer, bytes } => return self.register_event(id, buffer, bytes),
            Request::GetTelemetry { kind, buffer, bytes } => self.telemetry(kind, buffer, bytes),
            Request::QueryColStatus { buffer, bytes, columns, bitmap } => {
                self.column_status(buffer, bytes, columns, bitmap)
            }
            other => refuse(Status::COMMAND, format!("{other} does not belong here")),
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
        if !self.memory.covers(heap.address, heap.bytes) {
            let why = format!("{:#x} bytes at {:#x} are not all mapped", heap.bytes, heap.address);
            return refuse(Status::INPUT_BUFFER, why);
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
    fn raise_events(&mut self) {
        while !self.events.is_empty() {
            let error = self.faults.take(|fault| match fault {
                Fault::AieError(error) => Some(*error),
                _ => None,
            });
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

    // ---- contexts -------------------------------------------------------------------------------------------------

    /// Carries out a request of a context's channel. `None`: the answer comes from its thread.
    fn serve(
        &mut self,
        context: u32,
        id: u32,
        opcode: Opcode,
        request: Request,
    ) -> Result<Option<Vec<u8>>, (Status, String)> {
        if is_command(opcode) {
            return self.command(context, id, opcode, request).map(|()| None);
        }
        let Some(context) = self.contexts.get_mut(&context) else {
            return refuse(Status::COMMAND, format!("there is no context {context}"));
        };
        if context.evicted {
            return refuse(Status::NOT_AVAILABLE, "the context was lost");
        }
        let ok = Ok(Some(words(&[0])));
        match request {
            Request::ConfigCu { units } => {
                let units: Option<Vec<Unit>> = units.into_iter().map(Unit::of).collect();
                let Some(units) = units.filter(|units| !units.is_empty()) else {
                    return refuse(Status::PARAMETER, "no units, or bits without meaning");
                };
                if context.heap.is_none() {
                    return refuse(Status::INPUT_BUFFER, "units before a heap");
                }
                context.units = Arc::new(units);
                ok
            }
            Request::SyncBo { source, destination, bytes, kinds } => {
                sync(context, source, destination, bytes, kinds)?;
                ok
            }
            // The buffer would receive a trace of the firmware, which does not exist here.
            Request::ConfigDebugBo { register: 0 | 1, offset, bytes } => {
                let heap = context.heap.filter(|heap| offset.checked_add(bytes).is_some_and(|end| end <= heap.bytes));
                match heap {
                    Some(_) => ok,
                    None => {
                        refuse(Status::INPUT_BUFFER, format!("{bytes:#x} bytes at {offset:#x} are not in the heap"))
                    }
                }
            }
            other => refuse(Status::PARAMETER, format!("{other} is not modelled")),
        }
    }

    fn command(&mut self, context: u32, id: u32, opcode: Opcode, request: Request) -> Result<(), (Status, String)> {
        if self.take_fault(|fault| *fault == Fault::Reset).is_some() {
            self.stop("fault reset");
            return Ok(());
        }
        let evicted = self.take_fault(|fault| *fault == Fault::Evict).is_some();
        let Some(context) = self.contexts.get_mut(&context) else {
            return refuse(Status::COMMAND, format!("there is no context {context}"));
        };
        context.evicted |= evicted;
        if context.evicted {
            return refuse(Status::NOT_AVAILABLE, "the context was lost");
        }
        let Some(heap) = context.heap else { return refuse(Status::INPUT_BUFFER, "a command before a heap") };
        if context.units.is_empty() {
            return refuse(Status::PARAMETER, "a command before CONFIG_CU");
        }
        let (line, units) = (Line::Context(context.id), Arc::clone(&context.units));
        if let Some(fault) = self.faults.take(|fault| (*fault == Fault::Hang).then_some(*fault)) {
            context.hung = true;
            self.fired(&fault);
            self.journal.counters.hung += 1;
            self.journal.note(line, format_args!("hung by a fault"));
            return Ok(());
        }
        match context.submit(Job { id, opcode, request, heap, units }) {
            true => Ok(()),
            false => refuse(Status::APPLICATION, "the context's thread is gone"),
        }
    }

    /// What a context's thread tells.
    fn told(&mut self, context: u32, id: u32, opcode: Opcode, report: Report) {
        let line = Line::Context(context);
        match report {
            Report::Loaded(what) => {
                self.journal.counters.pdis += 1;
                self.journal.note(line, format_args!("loaded {what}"));
            }
            Report::Started(what) => {
                self.journal.counters.runs += 1;
                self.journal.note(line, format_args!("runs {what}"));
            }
            Report::Ended(what) => {
                self.journal.counters.completed += 1;
                self.journal.note(line, format_args!("ran {what}"));
            }
            Report::Columns(Err(why)) => self.journal.refused(line, format_args!("status of the columns: {why}")),
            Report::Columns(Ok(status)) => {
                if let Some(context) = self.contexts.get_mut(&context) {
                    context.status = status;
                }
            }
            Report::Refused(why) => {
                self.journal.counters.failed += 1;
                self.journal.refused(line, format_args!("{opcode}: {why}"));
            }
            Report::Hung(why) => {
                self.journal.counters.hung += 1;
                self.journal.note(line, format_args!("hangs: {why}"));
                if let Some(context) = self.contexts.get_mut(&context) {
                    context.hung = true;
                }
            }
            Report::Answer(answer) => self.done(context, id, opcode, answer),
        }
    }

    /// A command is done.
    fn done(&mut self, context: u32, id: u32, opcode: Opcode, answer: Vec<u8>) {
        if self.take_fault(|fault| *fault == Fault::LostCompletion).is_some() {
            return;
        }
        let late = self.take_fault(|fault| matches!(fault, Fault::LateCompletion(_)));
        if let Some(Fault::LateCompletion(by)) = late {
            let me = Weak::clone(&self.me);
            let sleeper = thread::Builder::new().name("late completion".into()).spawn(move || {
                thread::sleep(by);
                if let Some(device) = me.upgrade() {
                    device.lock().deliver(context, id, opcode, answer);
                }
            });
            if let Err(error) = sleeper {
                self.journal.refused(Line::Context(context), format_args!("a late completion is lost: {error}"));
            }
            return;
        }
        self.deliver(context, id, opcode, answer);
    }

    fn deliver(&mut self, context: u32, id: u32, opcode: Opcode, answer: Vec<u8>) {
        let Some(channel) = self.contexts.get(&context).map(|context| context.channel) else {
            self.journal.note(Line::Context(context), format_args!("{opcode} ends after its context"));
            return;
        };
        if self.take_fault(|fault| *fault == Fault::Garbage).is_some() {
            // A size the ring has room for, an id and an operation nobody knows.
            let raw = words(&[8, 8 | 1 << 16, 0xbad0_bad0, 0xffff_ffff, 0x5a5a_5a5a, 0xa5a5_a5a5]);
            if self.mailbox.send_raw(channel, raw) {
                self.interrupt(channel);
            }
            return;
        }
        self.answer(channel, id, opcode.code(), answer, "");
    }
}

/// Whether an operation runs something in the array.
fn is_command(opcode: Opcode) -> bool {
    match opcode {
        Opcode::ExecuteBufferCf
        | Opcode::ExecDpu
        | Opcode::ChainExecBufferCf
        | Opcode::ChainExecDpu
        | Opcode::ChainExecNpu => true,
        Opcode::CreateContext
        | Opcode::DestroyContext
        | Opcode::GetTelemetry
        | Opcode::SyncBo
        | Opcode::QueryColStatus
        | Opcode::QueryAieTileInfo
        | Opcode::QueryAieVersion
        | Opcode::ConfigCu
        | Opcode::ConfigDebugBo
        | Opcode::Suspend
        | Opcode::Resume
        | Opcode::AssignMgmtPasid
        | Opcode::MapHostBuffer
        | Opcode::GetFirmwareVersion
        | Opcode::SetRuntimeConfig
        | Opcode::GetRuntimeConfig
        | Opcode::RegisterAsyncEventMsg => false,
    }
}

/// Copies between host and device memory.
fn sync(context: &Context, source: u64, destination: u64, bytes: u32, kinds: u32) -> Result<(), (Status, String)> {
    const DEVICE: u32 = 0;
    const HOST: u32 = 2;
    if u64::from(bytes) > HEAP_BYTES {
        return refuse(Status::BUFFER_SIZE, format!("a copy of {bytes:#x} bytes"));
    }
    let place = |kind: u32, address: u64| match (kind, context.heap) {
        (HOST, _) => Ok(address),
        (DEVICE, Some(heap)) => heap
            .locate(address, bytes.into())
            .ok_or_else(|| (Status::INPUT_BUFFER, format!("{bytes:#x} bytes at {address:#x} are not in the heap"))),
        (DEVICE, None) => refuse(Status::INPUT_BUFFER, "a copy before a heap"),
        (kind, _) => refuse(Status::PARAMETER, format!("memory of kind {kind}")),
    };
    if kinds >> 8 != 0 {
        return refuse(Status::PARAMETER, format!("kinds of memory {kinds:#x}"));
    }
    let (from, to) = (place(kinds & 0xf, source)?, place(kinds >> 4 & 0xf, destination)?);
    let mut memory = context.memory();
    let mut data = vec![0; bytes as usize];
    let copied = memory.read(from, &mut data).and_then(|()| memory.write(to, &data));
    copied.map_err(|why| (Status::INPUT_BUFFER, why))
}

/// The thread of a context.
fn work(worker: Worker, device: &Weak<Shared>) {
    worker.run(|context, job, report| {
        if let Some(device) = device.upgrade() {
            device.lock().told(context, job.id, job.opcode, report);
        }
    });
}
