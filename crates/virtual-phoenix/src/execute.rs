//! Commands of a context: PDIs into the simulated array, streams by the simulated controller, data in guest memory.
//!
//! A context has one array, which keeps its state between commands. The PDI of a unit is loaded when the unit is first used, and
//! again when another unit was used in between, each time into an array after a column reset. What the simulator refuses ends the
//! command with a status of the documented families; what it finds stuck never ends, as on hardware.

use crate::context::{ContextMemory, Heap, Unit};
use crate::geometry;
use crate::message::{ChainForm, Fields, Opcode, Request, Status, status_answer, words};
use aie2_sim::core::{EarlyReads, PartialLocks};
use aie2_sim::{Config, Fault, HostMemory, Machine};
use npu_container::address::ArrayAddress;
use npu_container::{cdo, pdi, txn};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

/// Largest chain of slots.
// SOURCE: amd/xdna-driver aie2_msg_priv.h MAX_CHAIN_CMDBUF_SIZE.
const MAX_CHAIN_BYTES: u32 = 4096;
/// Opcode of a kernel that is a TXN stream.
// SOURCE: amd/xdna-driver aie2_msg_priv.h AIE2_EXEC_BUFFER_KERNEL_OP_TXN.
const KERNEL_TXN: u32 = 3;

/// A command for a context's thread.
#[derive(Debug)]
pub struct Job {
    /// Message id.
    pub id: u32,
    /// Operation.
    pub opcode: Opcode,
    /// The request.
    pub request: Request,
    /// Heap at the time of the request.
    pub heap: Heap,
    /// Units at the time of the request.
    pub units: Arc<Vec<Unit>>,
}

/// Something a thread tells the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A PDI was loaded.
    Loaded(String),
    /// A stream starts.
    Started(String),
    /// A stream ended well.
    Ended(String),
    /// Status of the columns after a stream.
    Columns(Result<Vec<Vec<u8>>, String>),
    /// Why a command fails.
    Refused(String),
    /// The simulator panicked in a command: an error of the model.
    Panicked(String),
    /// A command ends without an answer, for its context is gone.
    CalledOff,
    /// Answer of a command.
    Answer(Vec<u8>),
    /// A command never ends.
    Hung(String),
}

/// Why a command does not succeed.
#[derive(Debug)]
enum Failure {
    /// It is answered with a status.
    Status(Status, String),
    /// It never ends.
    Hang(String),
    /// Nobody waits for it.
    CalledOff,
}

fn refuse<T>(status: Status, why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Status(status, why.into()))
}

/// One run of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    unit: u32,
    /// Device address of the stream.
    stream: u64,
    /// Its bytes as the command gives them: exactly, or in a word count that some hosts fill with bytes.
    size: Size,
    /// Host addresses for DDR_PATCH.
    arguments: Vec<u64>,
    /// The host has put final addresses into the stream: its DDR_PATCHes are done, and nothing comes with the command to do them again.
    // SOURCE: what XRT 2.25 sends of an ELF by `aiebu-asm -t aie2txn`: BD words relocated, DDR_PATCHes left in, argument words {3, 0}.
    patched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Bytes(u32),
    WordsOrBytes(u32),
}

impl Call {
    /// A register map: opcode, stream, words of it, host addresses.
    fn of_registers(unit: u32, map: &[u32]) -> Result<Self, Failure> {
        let [op_low, op_high, low, high, count, rest @ ..] = map else {
            return refuse(Status::PARAMETER, format!("a register map of {} words", map.len()));
        };
        let (arguments, odd) = rest.as_chunks::<2>();
        if !odd.is_empty() {
            return refuse(Status::PARAMETER, format!("a register map of {} words ends in half an address", map.len()));
        }
        let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        match join(*op_low, *op_high) {
            op if op == u64::from(KERNEL_TXN) => Ok(Self {
                unit,
                stream: join(*low, *high),
                size: Size::WordsOrBytes(*count),
                arguments: arguments.iter().map(|[low, high]| join(*low, *high)).collect(),
                patched: false,
            }),
            other => refuse(Status::OPERATION, format!("kernel opcode {other} is not modelled, only {KERNEL_TXN} is")),
        }
    }

    /// A stream with final addresses in it. Its argument words are {3}, or {3, 0} as a word of 64 bits: what a third one would mean
    /// to a stream without addresses nobody says.
    fn of_stream(unit: u32, stream: u64, bytes: u32, properties: u32, arguments: &[u32]) -> Result<Self, Failure> {
        if properties != 0 {
            return refuse(Status::OPERATION, format!("{properties} instruction properties are not modelled"));
        }
        if !matches!(arguments, [KERNEL_TXN] | [KERNEL_TXN, 0]) {
            let why =
                format!("argument words {arguments:?}; only {{{KERNEL_TXN}}} and {{{KERNEL_TXN}, 0}} are modelled");
            return refuse(Status::OPERATION, why);
        }
        Ok(Self { unit, stream, size: Size::Bytes(bytes), arguments: Vec::new(), patched: true })
    }
}

/// The calls of a chain.
fn read_chain(form: ChainForm, raw: &[u8], count: u32) -> Result<Vec<Result<Call, Failure>>, Failure> {
    let cut = |slot: u32| Failure::Status(Status::INPUT_BUFFER, format!("the slots end inside slot {slot} of {count}"));
    let mut f = Fields::new(raw);
    let mut calls = Vec::new();
    for slot in 0..count {
        let call = read_slot(form, &mut f).ok_or_else(|| cut(slot))?;
        calls.push(call);
    }
    if f.rest() != 0 {
        let why = format!("{} bytes follow the {count} slots", f.rest());
        return refuse(Status::INPUT_BUFFER, why);
    }
    Ok(calls)
}

fn read_slot(form: ChainForm, f: &mut Fields<'_>) -> Option<Result<Call, Failure>> {
    Some(match form {
        ChainForm::BufferCf => {
            let (unit, count) = (f.u32()?, f.u32()?);
            Call::of_registers(unit, &f.words(count as usize)?)
        }
        ChainForm::Dpu => {
            let (address, bytes, properties) = (f.u64()?, f.u32()?, f.u32()?);
            let (unit, count) = (f.u32()?, f.u32()?);
            Call::of_stream(unit, address, bytes, properties, &f.words(count as usize)?)
        }
        ChainForm::Npu => {
            let kind = f.u32()?;
            let (address, save, restore) = (f.u64()?, f.u64()?, f.u64()?);
            let [bytes, save_bytes, restore_bytes, properties, unit, count] =
                [f.u32()?, f.u32()?, f.u32()?, f.u32()?, f.u32()?, f.u32()?];
            let arguments = f.words(count as usize)?;
            if (save, restore, save_bytes, restore_bytes) != (0, 0, 0, 0) {
                return Some(refuse(Status::OPERATION, "save and restore buffers are not modelled"));
            }
            match kind {
                1 => Call::of_registers(unit, &arguments),
                2 => Call::of_stream(unit, address, bytes, properties, &arguments),
                kind => refuse(Status::OPERATION, format!("slot type {kind} is not modelled, only 1 and 2 are")),
            }
        }
    })
}

/// The columns of a context.
struct Array {
    columns: u8,
    memory: ContextMemory,
    call_off: Arc<AtomicBool>,
    /// The machine with the PDI of a unit in it.
    loaded: Option<(u32, Machine)>,
    /// A command failed: what state the columns are in nobody knows.
    spoilt: bool,
}

impl Array {
    /// Bytes of the heap.
    fn heap(&mut self, heap: Heap, at: u64, bytes: u64, what: &str) -> Result<Vec<u8>, Failure> {
        let Some(address) = heap.locate(at, bytes) else {
            let why =
                format!("{what}: {bytes} bytes at device address {at:#x} are not in the heap of {:#x}", heap.bytes);
            return refuse(Status::INPUT_BUFFER, why);
        };
        let mut raw = vec![0; bytes as usize];
        match self.memory.read(address, &mut raw) {
            Ok(()) => Ok(raw),
            Err(why) => refuse(Status::INPUT_BUFFER, format!("{what}: {why}")),
        }
    }

    /// Loads the PDI of a unit.
    fn load(&mut self, unit: Unit, heap: Heap) -> Result<(Machine, usize), Failure> {
        let fail = |why: String| Failure::Status(Status::LOAD_PDI, why);
        let as_pdi = |failure| match failure {
            Failure::Status(_, why) => fail(why),
            Failure::Hang(_) | Failure::CalledOff => failure,
        };
        let head = self.heap(heap, unit.pdi, pdi::CDO_OFFSET as u64, "the PDI").map_err(as_pdi)?;
        let bytes = pdi::bytes_by_header(&head).map_err(|error| fail(error.to_string()))?;
        let image = self.heap(heap, unit.pdi, bytes, "the PDI").map_err(as_pdi)?;
        let commands = pdi::read(&image).map_err(|error| fail(error.to_string()))?.commands;
        for command in &commands {
            let addr = match *command {
                cdo::Command::Write { addr, .. }
                | cdo::Command::MaskWrite { addr, .. }
                | cdo::Command::DmaWrite { addr, .. } => addr.into(),
                cdo::Command::Write64 { addr, .. } | cdo::Command::MaskWrite64 { addr, .. } => addr,
                cdo::Command::Nop { .. } => continue,
            };
            self.owns(addr).map_err(fail)?;
        }
        // Hardware has no limits of time: a core that computes for long is not stuck.
        let mut machine = Machine::new(Config { cycle_limit: u64::MAX, stall_limit: u64::MAX, ..Config::default() });
        for col in 0..aie2_sim::port::COLUMNS {
            for row in aie2_sim::port::FIRST_CORE_ROW..aie2_sim::port::ROWS {
                let core = machine.core_mut(col, row).map_err(|fault| fail(fault.to_string()))?;
                // A PDI does not tell which early reads and unguarded accesses its programs mean: none is refused, as on hardware.
                core.set_early_reads(EarlyReads::Anywhere);
                core.set_partial_locks(PartialLocks::Anywhere);
            }
        }
        machine.attach(Box::new(self.memory.clone()));
        machine.call_off_on(Arc::clone(&self.call_off));
        machine.load_pdi(&image).map_err(|fault| fail(fault.to_string()))?;
        Ok((machine, image.len()))
    }

    /// Refuses addresses in columns that belong to other contexts.
    fn owns(&self, addr: u64) -> Result<(), String> {
        let col = u32::try_from(addr).map(|addr| ArrayAddress::decode(addr).col);
        match col {
            Ok(col) if col < self.columns => Ok(()),
            _ => Err(format!("array address {addr:#x} is outside the {} columns of the context", self.columns)),
        }
    }

    /// The stream of a call: as long as its own header says, which has to be what the command says.
    fn stream(&mut self, heap: Heap, call: &Call) -> Result<Vec<u8>, Failure> {
        let head = self.heap(heap, call.stream, txn::HEADER_BYTES as u64, "the stream")?;
        let bytes = Fields::new(&head[12..]).u32().unwrap_or_default();
        let agrees = match call.size {
            Size::Bytes(given) => given == bytes,
            Size::WordsOrBytes(given) => given == bytes || given.checked_mul(4) == Some(bytes),
        };
        if !agrees {
            let why = format!("the stream's header says {bytes} bytes, the command {:?}", call.size);
            return refuse(Status::INVALID_INSTRUCTION, why);
        }
        let raw = self.heap(heap, call.stream, bytes.into(), "the stream")?;
        let invalid = |why: String| Failure::Status(Status::INVALID_INSTRUCTION, why);
        let mut parsed = txn::read(&raw).map_err(|error| invalid(error.to_string()))?;
        for op in &parsed.ops {
            match *op {
                txn::Op::Write { addr, .. }
                | txn::Op::BlockWrite { addr, .. }
                | txn::Op::MaskWrite { addr, .. }
                | txn::Op::MaskPoll { addr, .. }
                | txn::Op::MaskPollBusy { addr, .. }
                | txn::Op::DdrPatch { register: addr, .. } => self.owns(addr.into()).map_err(invalid)?,
                txn::Op::Tct { col, .. } if col >= self.columns => {
                    let why = format!("a token of column {col}, the context has {} columns", self.columns);
                    return Err(invalid(why));
                }
                txn::Op::Tct { .. } | txn::Op::Noop => {}
            }
        }
        if call.patched {
            parsed.ops.retain(|op| !matches!(op, txn::Op::DdrPatch { .. }));
            return Ok(txn::write(&parsed.header, &parsed.ops));
        }
        Ok(raw)
    }

    /// Carries out one call.
    fn call(&mut self, job: &Job, call: &Call, tell: &dyn Fn(Report)) -> Result<(), Failure> {
        if self.spoilt {
            return refuse(Status::APPLICATION, "a command of the context failed before in the array");
        }
        let Some(&unit) = job.units.get(call.unit as usize) else {
            let why = format!("unit {} of {} configured", call.unit, job.units.len());
            return refuse(Status::PARAMETER, why);
        };
        let stream = self.stream(job.heap, call)?;
        let mut machine = match self.loaded.take() {
            Some((loaded, machine)) if loaded == call.unit => machine,
            _ => {
                let (machine, bytes) = self.load(unit, job.heap)?;
                tell(Report::Loaded(format!("unit={} pdi={:#x} bytes={bytes}", call.unit, unit.pdi)));
                machine
            }
        };
        let addresses: Vec<String> = call.arguments.iter().map(|addr| format!("{addr:#x}")).collect();
        let (at, bytes, arguments) = (call.stream, stream.len(), addresses.join(","));
        tell(Report::Started(format!("unit={} stream={at:#x} bytes={bytes} arguments={arguments}", call.unit)));
        let outcome = machine.run_at(&stream, &call.arguments);
        let columns: Result<_, Fault> = (0..self.columns).map(|col| geometry::column_status(&machine, col)).collect();
        tell(Report::Columns(columns.map_err(|fault| fault.to_string())));
        match outcome {
            Ok(report) => {
                let (cycles, read, written) = (report.cycles, report.ddr_read_bytes(), report.ddr_written_bytes());
                tell(Report::Ended(format!("cycles={cycles} read={read} written={written}")));
                self.loaded = Some((call.unit, machine));
                Ok(())
            }
            Err(fault) => {
                self.spoilt = true;
                Err(failure(fault))
            }
        }
    }

    /// Carries out the calls of a chain up to the first that fails. The answer: status, slot, its status.
    fn chain(&mut self, job: &Job, chain: Chain, tell: &dyn Fn(Report)) -> Result<Vec<u8>, Failure> {
        let refused = |slot: u32, failure: Failure| match failure {
            Failure::Status(status, why) => {
                tell(Report::Refused(format!("slot {slot}: {why}")));
                Ok(words(&[status.0, slot, status.0]))
            }
            Failure::Hang(_) | Failure::CalledOff => Err(failure),
        };
        let Chain { form, flags, address, bytes, count } = chain;
        let read = match (flags, bytes, count) {
            (0, 1..=MAX_CHAIN_BYTES, 1..) => self.heap(job.heap, address, bytes.into(), "the slots"),
            _ => refuse(Status::PARAMETER, format!("a chain of {count} slots in {bytes} bytes, flags {flags:#x}")),
        };
        let calls = match read.and_then(|raw| read_chain(form, &raw, count)) {
            Ok(calls) => calls,
            Err(failure) => return refused(0, failure),
        };
        for (slot, call) in (0..).zip(calls) {
            if let Err(failure) = call.and_then(|call| self.call(job, &call, tell)) {
                return refused(slot, failure);
            }
        }
        Ok(words(&[0, 0, 0]))
    }

    /// Carries out a command. The answer's payload.
    fn command(&mut self, job: &Job, tell: &dyn Fn(Report)) -> Result<Vec<u8>, Failure> {
        let call = match &job.request {
            &Request::Chain { form, flags, address, bytes, count } => {
                return self.chain(job, Chain { form, flags, address, bytes, count }, tell);
            }
            Request::ExecuteBufferCf { cu, words } => Call::of_registers(*cu, words),
            Request::ExecDpu { address, bytes, properties, cu, words } => {
                // The message has no count: behind the argument words come zeros to its end.
                let count = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
                Call::of_stream(*cu, *address, *bytes, *properties, &words[..count])
            }
            other @ (Request::CreateContext { .. }
            | Request::DestroyContext { .. }
            | Request::GetTelemetry { .. }
            | Request::SyncBo { .. }
            | Request::QueryColStatus { .. }
            | Request::QueryAieTileInfo
            | Request::QueryAieVersion
            | Request::ConfigCu { .. }
            | Request::ConfigDebugBo { .. }
            | Request::Suspend
            | Request::Resume
            | Request::AssignMgmtPasid { .. }
            | Request::MapHostBuffer { .. }
            | Request::GetFirmwareVersion
            | Request::SetRuntimeConfig { .. }
            | Request::GetRuntimeConfig { .. }
            | Request::RegisterAsyncEventMsg { .. }) => refuse(Status::COMMAND, format!("{other:?} is no command")),
        };
        match call.and_then(|call| self.call(job, &call, tell)) {
            Ok(()) => Ok(words(&[0])),
            Err(Failure::Status(status, why)) => {
                tell(Report::Refused(why));
                Ok(words(&[status.0]))
            }
            Err(failure @ (Failure::Hang(_) | Failure::CalledOff)) => Err(failure),
        }
    }
}

/// The request of a chain.
#[derive(Debug, Clone, Copy)]
struct Chain {
    form: ChainForm,
    flags: u32,
    address: u64,
    bytes: u32,
    count: u32,
}

/// What a simulator's fault is to the host.
fn failure(fault: Fault) -> Failure {
    let status = match &fault {
        Fault::CalledOff { .. } => return Failure::CalledOff,
        Fault::Deadlock(_) | Fault::CycleLimit { .. } => return Failure::Hang(fault.to_string()),
        Fault::Core { .. } => Status::AIE_INSTRUCTION,
        Fault::CoreAddress { .. }
        | Fault::CoreUninitialised { .. }
        | Fault::StreamUninitialised { .. }
        | Fault::ProgramWriteWhileRunning { .. } => Status::AIE_ACCESS,
        Fault::CoreLock { .. } | Fault::LockRange { .. } | Fault::AcquireZero { .. } | Fault::DmaLock { .. } => {
            Status::AIE_LOCK
        }
        Fault::BdNumber { .. }
        | Fault::BdParity { .. }
        | Fault::BdInvalid { .. }
        | Fault::BdEmpty { .. }
        | Fault::BdFeature { .. }
        | Fault::BdInUse { .. }
        | Fault::QueueOverflow { .. }
        | Fault::PushInReset { .. }
        | Fault::DmaAddress { .. }
        | Fault::EarlyCompletion { .. } => Status::AIE_DMA,
        Fault::DdrAddress { .. } | Fault::HostAddress { .. } | Fault::HostStore { .. } => Status::AIE_BUS,
        Fault::CorePortUnconnected { .. }
        | Fault::TokenRoute { .. }
        | Fault::IllegalConnection { .. }
        | Fault::NoSuchPort { .. }
        | Fault::SlaveDisabled { .. }
        | Fault::DanglingRoute { .. }
        | Fault::UnroutedSource { .. }
        | Fault::ReconfiguredInFlight { .. }
        | Fault::ArbiterNumber { .. }
        | Fault::PacketHeader { .. }
        | Fault::PacketNoSlot { .. }
        | Fault::PacketSlots { .. }
        | Fault::PacketNoMaster { .. } => Status::AIE_STREAM,
        Fault::ArrayAddress { .. }
        | Fault::Stream(_)
        | Fault::PatchArgument { .. }
        | Fault::PatchRegister { .. }
        | Fault::TokenWait { .. } => Status::INVALID_INSTRUCTION,
        Fault::Pdi(_) => Status::LOAD_PDI,
        // What the model leaves out. Faults yet to come fall here as well: the enum is not exhaustive outside of its crate.
        _ => Status::OPERATION,
    };
    Failure::Status(status, fault.to_string())
}

/// A context's thread.
pub struct Worker {
    context: u32,
    columns: u8,
    memory: ContextMemory,
    call_off: Arc<AtomicBool>,
    queue: Receiver<Job>,
}

impl Worker {
    pub(crate) fn new(
        context: u32,
        columns: u8,
        memory: ContextMemory,
        call_off: Arc<AtomicBool>,
        queue: Receiver<Job>,
    ) -> Self {
        Self { context, columns, memory, call_off, queue }
    }

    /// The context's number.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Carries out commands until the context is gone; `report` learns of everything, with the context and the command.
    pub fn run(self, report: impl Fn(u32, &Job, Report)) {
        let (columns, memory, call_off) = (self.columns, self.memory.clone(), Arc::clone(&self.call_off));
        let mut array = Array { columns, memory, call_off, loaded: None, spoilt: false };
        self.run_by(|job, tell| array.command(job, tell), report);
    }

    /// The same with something else in the array's place.
    fn run_by(
        self,
        mut command: impl FnMut(&Job, &dyn Fn(Report)) -> Result<Vec<u8>, Failure>,
        report: impl Fn(u32, &Job, Report),
    ) {
        let mut panicked = false;
        while let Ok(job) = self.queue.recv() {
            let tell = |what| report(self.context, &job, what);
            let outcome = if panicked {
                refuse(Status::APPLICATION, "the simulator panicked before in a command of the context")
            } else {
                // After a panic nothing of the array is used again.
                catch_unwind(AssertUnwindSafe(|| command(&job, &tell))).unwrap_or_else(|payload| {
                    panicked = true;
                    tell(Report::Panicked(message_of(payload.as_ref())));
                    Ok(status_answer(job.opcode, Status::APPLICATION))
                })
            };
            match outcome {
                Ok(answer) => tell(Report::Answer(answer)),
                Err(Failure::Status(status, why)) => {
                    tell(Report::Refused(why));
                    tell(Report::Answer(status_answer(job.opcode, status)));
                }
                Err(Failure::Hang(why)) => {
                    tell(Report::Hung(why));
                    // What comes behind it waits for it.
                    while self.queue.recv().is_ok() {}
                }
                Err(Failure::CalledOff) => tell(Report::CalledOff),
            }
            if self.call_off.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// What a panic says.
fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text").to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Worker {
        /// A worker whose simulator panics in every command.
        pub(crate) fn run_panicking(self, report: impl Fn(u32, &Job, Report)) {
            self.run_by(|job, _| panic!("as {} asked for", job.opcode), report);
        }
    }

    fn status_of(call: Result<Call, Failure>) -> Option<Status> {
        match call {
            Ok(_) => None,
            Err(Failure::Status(status, _)) => Some(status),
            Err(Failure::Hang(_) | Failure::CalledOff) => panic!("no refusal"),
        }
    }

    #[test]
    fn argument_words_of_a_stream_are_those_of_hosts() {
        let of = |arguments: &[u32]| status_of(Call::of_stream(0, 0x0420_0000, 64, 0, arguments));
        assert_eq!(of(&[3]), None);
        assert_eq!(of(&[3, 0]), None);
        for other in [&[][..], &[0], &[1, 0], &[3, 1], &[3, 0, 0], &[3, 0, 0x1000, 0], &[0, 3], &[u32::MAX]] {
            assert_eq!(of(other), Some(Status::OPERATION), "{other:?}");
        }
        assert_eq!(status_of(Call::of_stream(0, 0x0420_0000, 64, 1, &[3])), Some(Status::OPERATION), "properties");
    }

    #[test]
    fn a_panic_has_a_text() {
        for (payload, text) in [
            (Box::new("a") as Box<dyn Any + Send>, "a"),
            (Box::new(String::from("b")), "b"),
            (Box::new(1), "without a text"),
        ] {
            assert_eq!(message_of(payload.as_ref()), text);
        }
    }
}
