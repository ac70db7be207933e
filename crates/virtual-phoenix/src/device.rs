//! The device: registers to actions, messages to answers. Nothing in here waits; what takes time runs in a context's thread.

mod commands;
mod management;

use crate::config::{ConfigSpace, Effect, VECTORS};
use crate::context::{Context, MAX_COMMANDS};
use crate::fault::{Fault, Pending};
use crate::guest::{GuestMemory, Rights};
use crate::journal::{Journal, Line, Name};
use crate::mailbox::{MANAGEMENT, Mailbox, Message, Places, RingError, Rung, SRAM_BASE, Sent};
use crate::message::{Opcode, Place, Request, Status, status_answer, status_of, words};
use crate::{psp, smu};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Where the word stands that says the firmware is alive.
const ALIVE: u32 = 0x3_f000;
/// Where the record stands that it points to.
const RECORD: u32 = 0x3_b000;
const RECORD_MAGIC: u32 = 0x5550_4e5f;
const WAIT_MODE: u32 = 0x10034;
const PROTOCOL_MAJOR: u32 = 5;
/// A minor version the driver refuses.
const OLD_MINOR: u32 = 6;

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
            "in_flight": self.contexts.values().map(|context| context.in_flight.len()).sum::<usize>(),
            "pdis": c.pdis,
            "runs": c.runs,
            "completed": c.completed,
            "failed": c.failed,
            "hung": c.hung,
            "panics": c.panics,
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
            Some(Rung::Room(channel)) => match self.mailbox.flush(channel) {
                Ok(true) => self.interrupt(channel),
                Ok(false) => {}
                Err(error) => self.dead(channel, error),
            },
            None => {}
        }
    }

    fn dead(&mut self, channel: usize, error: RingError) {
        let line = self.line_of(channel);
        self.journal.refused(line, format_args!("channel {channel} is dead: {error}"));
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
            self.dead(channel, error);
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
        if let Some(context) = context.and_then(|id| self.contexts.get_mut(&id)) {
            if let Some(opcode) = opcode.filter(|opcode| is_command(*opcode)) {
                if context.in_flight.len() >= MAX_COMMANDS && !context.in_flight.contains(&id) {
                    let why = format!("{MAX_COMMANDS} commands are in flight");
                    return self.refuse(channel, id, opcode, Status::NOT_AVAILABLE, &why);
                }
                context.in_flight.insert(id);
            }
            if context.hung {
                self.journal.note(line, format_args!("{} waits behind a command that never ends", Name(code)));
                return;
            }
        }
        let Some(opcode) = opcode.filter(|opcode| opcode.place() == place && self.knows(*opcode)) else {
            self.journal.refused(line, format_args!("{} is no operation of this channel", Name(code)));
            return self.answer(channel, id, code, words(&[Status::COMMAND.0]), "");
        };
        let status = self.faults.take(|fault| {
            if let Fault::Status(of, status) = fault
                && *of == opcode
            {
                Some(*status)
            } else {
                None
            }
        });
        if let Some(status) = status {
            self.fired(&Fault::Status(opcode, status));
            return self.answer(channel, id, code, status_answer(opcode, status), "injected");
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

    fn refuse(&mut self, channel: usize, id: u32, opcode: Opcode, status: Status, why: &str) {
        let line = self.line_of(channel);
        self.journal.refused(line, format_args!("{opcode}: {why}"));
        self.answer(channel, id, opcode.code(), status_answer(opcode, status), "");
    }

    /// Sends an answer and signals its vector.
    fn answer(&mut self, channel: usize, id: u32, code: u32, mut payload: Vec<u8>, detail: &str) {
        let opcode = Opcode::of(code);
        let malformed = |fault: &Fault| matches!(fault, Fault::Malformed(of) if Some(*of) == opcode);
        if self.take_fault(malformed).is_some() {
            payload.extend([0; 4]);
        }
        if let Some(context) = self.contexts.values_mut().find(|context| context.channel == channel) {
            context.in_flight.remove(&id);
        }
        let silent = opcode.is_some_and(is_command) && self.take_fault(|fault| *fault == Fault::NoFence).is_some();
        let line = self.line_of(channel);
        let status = match opcode {
            Some(opcode) => status_of(opcode, &payload),
            None => Some(Status::COMMAND),
        };
        self.journal.sent(line, id, code, payload.len(), status, detail);
        match self.mailbox.send(channel, &Message { id, opcode: code, payload }) {
            Ok(Sent::New) if silent => self.journal.note(line, format_args!("no interrupt for it")),
            Ok(Sent::New) => self.interrupt(channel),
            Ok(Sent::Waits) => {
                self.journal.note(line, format_args!("the ring of channel {channel} is full; the answer waits"));
            }
            Ok(Sent::Nobody) => {
                self.journal.note(line, format_args!("channel {channel} is closed or dead; nobody sees the answer"));
            }
            Err(error) => self.dead(channel, error),
        }
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
