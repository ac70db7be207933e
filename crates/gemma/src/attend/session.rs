//! A prepared layer on an open device.
//!
//! ```text
//! per method   check device ─► context with a compute unit for each program ─► streams, buffers, contents
//! per run      canaries ─► step: submit, wait, state, canary ─► next step
//! ```
//!
//! A run is believed only if every command ended COMPLETED in time and no element of its outputs is still the [`CANARY`]: this firmware is known to
//! lose completions. After a failure the context is made anew, so that no half-done array is left; on an interrupt it is given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amdxdna::kernel::Kernel;
use amdxdna::{Bo, Cause, Cmd, ContextConfig, Device, Error as DeviceError, HwCtx, Sys};
use npu_package::layout::{KvFormat, KvHeads, Plane, ProjectionKind};

use super::compare::{Difference, difference};
use super::error::{AttendError, Mismatch};
use super::past::Past;
use super::prepare::{Contents, Method, Plan, Prepared, Subject, Written};
use super::tensors::halves;
use crate::refusal::{Attempt, Attempts, HardwareCause, MemoryCause, Refusal};

/// What outputs are filled with before a run: a signalling NaN of bfloat16. Kernels write rounded float32 results, and copies of such, of finite
/// operands; an operation that gives NaN gives a quiet one.
pub const CANARY: u16 = 0xFFA5;
/// What codes of new positions are filled with in an INT8 cache: codes end at -127.
pub const CODE_CANARY: i8 = -128;
/// What their scales are filled with: a signalling NaN, whose lower half is not zero as that of every scale is.
pub const SCALE_CANARY: u32 = 0xFFA5_FFA5;

/// Rows of compute tiles that every kernel uses.
const CORE_ROWS: u16 = 4;

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Longest wait for a command.
    pub deadline: Duration,
    /// Runs whose time is taken; at least one.
    pub repeat: usize,
    /// Runs once more and compares all outputs.
    pub paranoid: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        // The driver gives up on a command after 2 s (new) or 60 s (old); the longest call of a layer takes a few hundred milliseconds.
        Self { deadline: Duration::from_secs(10), repeat: 1, paranoid: false }
    }
}

/// Hears what happens on the way.
pub trait Observer {
    /// A method failed; the next one is tried, if there is one.
    fn failed(&mut self, method: Method, error: &(dyn std::error::Error + 'static));
}

/// How the weights came to the NPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The mapped file itself.
    Mapped,
    /// Copied once.
    Copied {
        /// Why not mapped.
        why: String,
    },
}

/// A step's times, one for each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTimes {
    /// The kernel.
    pub kernel: String,
    /// Wall time from submission to completion.
    pub wall: Vec<Duration>,
}

/// What a method gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The method.
    pub method: Method,
    /// `[seq][hidden]`, bfloat16 bits.
    pub output: Vec<u16>,
    /// Keys and values that the position after the new ones sees.
    pub past: Past,
    /// By step.
    pub times: Vec<StepTimes>,
    /// How the weights came to the NPU.
    pub weights: Given,
    /// Outputs checked against the canary, of one run.
    pub checked: usize,
}

/// What was being done when a method failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Making the context.
    Context,
    /// Loading the programs.
    Programs,
    /// Allocating or filling device memory for the stream of a kernel.
    Stream(String),
    /// Allocating or filling a host buffer.
    Buffer(String, usize),
    /// Allocating a command.
    Command(String),
    /// Handing a command to the driver.
    Submit(String),
    /// Waiting for it.
    Wait(String),
    /// Reading a buffer.
    Read(String),
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doing::Context => f.write_str("making the context"),
            Doing::Programs => f.write_str("loading the programs"),
            Doing::Stream(kernel) => write!(f, "placing the stream of {kernel}"),
            Doing::Buffer(name, bytes) => write!(f, "allocating buffer {name} of {bytes} bytes"),
            Doing::Command(kernel) => write!(f, "allocating the command of {kernel}"),
            Doing::Submit(kernel) => write!(f, "submitting {kernel}"),
            Doing::Wait(kernel) => write!(f, "waiting for {kernel}"),
            Doing::Read(name) => write!(f, "reading buffer {name}"),
        }
    }
}

/// Why a method failed on the device.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The driver refused, or a command did not end well.
    #[error("{doing}{context}")]
    Device {
        /// What was being done.
        doing: Doing,
        /// The answer.
        #[source]
        error: DeviceError,
        /// What became of the context.
        context: ContextAfter,
    },
    /// A command is said to be complete, and outputs of it were never written.
    #[error(
        "{kernel} is complete by the driver's word, but left {unwritten} of {elements} elements of {buffer} unwritten, the first at {first}{context}"
    )]
    Unwritten {
        /// The kernel.
        kernel: String,
        /// The buffer.
        buffer: String,
        /// Elements that are still the canary.
        unwritten: usize,
        /// The first of them.
        first: usize,
        /// Elements checked.
        elements: usize,
        /// What became of the context.
        context: ContextAfter,
    },
    /// Two runs of the same operands gave different outputs.
    #[error("two runs differ")]
    Unsteady {
        /// Where.
        source: Difference,
    },
}

/// What became of the context of a failed method.
#[derive(Debug, Clone, PartialEq)]
pub enum ContextAfter {
    /// There was none yet, or it is given back.
    Gone,
    /// It was made anew.
    Anew,
    /// It could not be made anew, because of this.
    Lost(Box<DeviceError>),
}

impl std::fmt::Display for ContextAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ContextAfter::Gone => Ok(()),
            ContextAfter::Anew => f.write_str(" (the context was made anew)"),
            ContextAfter::Lost(error) => write!(f, " (the context could not be made anew: {error})"),
        }
    }
}

impl RunError {
    /// The driver's answer, if it was one.
    pub fn device_error(&self) -> Option<&DeviceError> {
        match self {
            RunError::Device { error, .. } => Some(error),
            RunError::Unwritten { .. } | RunError::Unsteady { .. } => None,
        }
    }

    fn is_interrupt(&self) -> bool {
        matches!(self.device_error(), Some(DeviceError::Interrupted { .. }))
    }

    /// An allocation that memory did not suffice for.
    fn into_refusal(self) -> Result<Refusal, Self> {
        match self {
            RunError::Device {
                doing: doing @ (Doing::Stream(_) | Doing::Buffer(..) | Doing::Command(_) | Doing::Programs),
                error,
                context,
            } if matches!(error.cause(), Cause::HostMemory | Cause::LockedMemory | Cause::DeviceMemory) => {
                let bytes = match (&doing, &context) {
                    (Doing::Buffer(_, bytes), _) => *bytes as u64,
                    _ => 0,
                };
                let source = MemoryCause::Allocation { what: doing.to_string(), bytes, error: Box::new(error) };
                Ok(Refusal::MemoryExhausted { source })
            }
            other => Err(other),
        }
    }
}

/// Runs prepared layers on a device.
#[derive(Debug)]
pub struct Session<K: Kernel = Sys> {
    device: Device<K>,
}

impl<K: Kernel> Session<K> {
    /// A session on an open device.
    pub fn new(device: Device<K>) -> Self {
        Self { device }
    }

    /// The device.
    pub fn device(&self) -> &Device<K> {
        &self.device
    }

    /// Computes the attention of a layer by the first of its methods that succeeds.
    ///
    /// # Errors
    /// [`Mismatch::Array`] and [`Refusal::HardwareRequired`] before anything is made; [`AttendError::Interrupted`]; [`Refusal::MemoryExhausted`] if memory did not suffice for any
    /// method; else [`Refusal::ExecutionFailed`] with the [`RunError`] of each.
    pub fn run(
        &self,
        prepared: &Prepared,
        options: &RunOptions,
        interrupt: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Done, AttendError> {
        self.check(prepared)?;
        let mut tried = Vec::new();
        let mut memory = None;
        for plan in &prepared.plans {
            if interrupt.load(Ordering::Relaxed) {
                return Err(AttendError::Interrupted);
            }
            let error = match self.method(prepared, plan, options, interrupt) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_interrupt() || interrupt.load(Ordering::Relaxed) => {
                    return Err(AttendError::Interrupted);
                }
                Err(error) => error,
            };
            observer.failed(plan.method, &error);
            let gone = error.device_error().is_some_and(DeviceError::is_unplugged);
            match error.into_refusal() {
                Ok(refusal) => memory = Some(refusal),
                Err(error) => tried.push(Attempt { method: plan.method.name(), error: Box::new(error) }),
            }
            if gone {
                break;
            }
        }
        let Subject { layer, kind, .. } = prepared.subject;
        match memory {
            Some(refusal) if tried.is_empty() => Err(refusal.into()),
            memory => {
                tried.extend(memory.map(|refusal| Attempt { method: "memory", error: Box::new(refusal) }));
                let kernel = format!("attention of {} layer {layer}", kind.name());
                Err(Refusal::ExecutionFailed { source: Attempts { kernel, tried } }.into())
            }
        }
    }

    /// Whether the array is that of the plans, and the driver one whose commands can be waited for.
    fn check(&self, prepared: &Prepared) -> Result<(), AttendError> {
        self.device.can_wait().map_err(|error| {
            let doing = "asking how commands can be waited for".to_owned();
            Refusal::HardwareRequired { source: HardwareCause::Driver { doing, error: Box::new(error) } }
        })?;
        let array = self.device.metadata();
        let (columns, rows) = (array.columns, array.core.rows);
        match prepared.plans.iter().find(|plan| plan.columns > u32::from(columns) || rows != CORE_ROWS) {
            None => Ok(()),
            Some(plan) => {
                Err(Mismatch::Array { columns, rows, needed_columns: plan.columns, needed_rows: CORE_ROWS }.into())
            }
        }
    }

    fn method(
        &self,
        prepared: &Prepared,
        plan: &Plan,
        options: &RunOptions,
        interrupt: &AtomicBool,
    ) -> Result<Done, RunError> {
        let mut loaded = Loaded::new(&self.device, prepared, plan)?;
        let mut times: Vec<StepTimes> =
            plan.steps.iter().map(|step| StepTimes { kernel: step.kernel.clone(), wall: Vec::new() }).collect();
        let mut checked = 0;
        for _ in 0..options.repeat.max(1) {
            checked = loaded.run(options, interrupt, &mut times)?;
        }
        let (output, cache) = (loaded.output()?, loaded.cache()?);
        if options.paranoid {
            // Its time is not one of those that were asked for.
            loaded.run(options, interrupt, &mut times.clone())?;
            let (again, cache_again) = (loaded.output()?, loaded.cache()?);
            let columns = prepared.subject.dims.hidden;
            // An INT8 cache is compared by pairs of bytes: any that differs counts.
            let of_cache = || difference(&halves(&cache_again), &halves(&cache), 1, "the cache of the first run");
            if let Some(source) = difference(&again, &output, columns, "the output of the first run").or_else(of_cache)
            {
                return Err(RunError::Unsteady { source });
            }
        }
        let Subject { seq, history, window, .. } = prepared.subject;
        let past = Past::of_segment(&plan.segment, &cache, history + seq, window);
        Ok(Done { method: plan.method, output, past, times, weights: loaded.weights, checked })
    }
}

/// A method with everything it needs on the device.
struct Loaded<'a, K: Kernel> {
    subject: &'a Subject,
    plan: &'a Plan,
    context: HwCtx<K>,
    streams: Vec<Bo<K>>,
    buffers: Vec<Bo<K>>,
    commands: Vec<Cmd<K>>,
    weights: Given,
}

fn failed(doing: Doing) -> impl FnOnce(DeviceError) -> RunError {
    move |error| RunError::Device { doing, error, context: ContextAfter::Gone }
}

impl<'a, K: Kernel> Loaded<'a, K> {
    fn new(device: &Device<K>, prepared: &'a Prepared, plan: &'a Plan) -> Result<Self, RunError> {
        let config = ContextConfig { columns: plan.columns, ..ContextConfig::default() };
        let mut context = device.create_context(config).map_err(failed(Doing::Context))?;
        let pdis: Vec<&[u8]> = plan.programs.iter().map(|program| &program.pdi[..]).collect();
        context.load(&pdis).map_err(failed(Doing::Programs))?;
        let (mut streams, mut commands) = (Vec::new(), Vec::new());
        for step in &plan.steps {
            let place = || Doing::Stream(step.kernel.clone());
            let mut stream = device.dev_buffer(step.stream.len()).map_err(failed(place()))?;
            stream.write(0, &step.stream).map_err(failed(place()))?;
            streams.push(stream);
            commands.push(Cmd::new(device).map_err(failed(Doing::Command(step.kernel.clone())))?);
        }
        let mut weights = Given::Mapped;
        let mut buffers = Vec::new();
        for buffer in &plan.buffers {
            let doing = || Doing::Buffer(buffer.name.clone(), buffer.bytes);
            let bo = match &buffer.contents {
                Contents::Zero => device.host_buffer(buffer.bytes).map_err(failed(doing()))?,
                Contents::Bytes(bytes) | Contents::Cache(bytes) => {
                    let mut bo = device.host_buffer(buffer.bytes).map_err(failed(doing()))?;
                    bo.write(0, bytes).map_err(failed(doing()))?;
                    bo
                }
                Contents::Weights(kind) => {
                    let (bo, given) = weights_buffer(device, prepared, *kind, buffer.bytes).map_err(failed(doing()))?;
                    if given != Given::Mapped {
                        weights = given;
                    }
                    bo
                }
            };
            buffers.push(bo);
        }
        Ok(Self { subject: &prepared.subject, plan, context, streams, buffers, commands, weights })
    }

    /// Runs all steps once; outputs that were found written.
    fn run(
        &mut self,
        options: &RunOptions,
        interrupt: &AtomicBool,
        times: &mut [StepTimes],
    ) -> Result<usize, RunError> {
        let plan = self.plan;
        let written = || plan.steps.iter().flat_map(|step| &step.writes);
        for &output in written() {
            self.fill(output)?;
        }
        let mut checked = 0;
        for (index, step) in plan.steps.iter().enumerate() {
            let started = Instant::now();
            if let Err((doing, error)) = self.step(index, options.deadline, interrupt) {
                let context = self.context_after(&error);
                return Err(RunError::Device { doing, error, context });
            }
            times[index].wall.push(started.elapsed());
            for &output in &step.writes {
                checked += self.check(&step.kernel, output)?;
            }
        }
        Ok(checked)
    }

    fn step(&mut self, index: usize, deadline: Duration, interrupt: &AtomicBool) -> Result<(), (Doing, DeviceError)> {
        let step = &self.plan.steps[index];
        let (command, stream) = (&mut self.commands[index], &self.streams[index]);
        let args: Vec<_> = step.args.iter().map(|&buffer| (&self.buffers[buffer]).into()).collect();
        let words = (step.stream.len() / 4) as u32;
        let submitted =
            command.start(step.program as u32, stream, words, &args).and_then(|()| self.context.submit(command));
        submitted.map_err(|error| (Doing::Submit(step.kernel.clone()), error))?;
        command.wait(deadline, interrupt).map_err(|error| (Doing::Wait(step.kernel.clone()), error))
    }

    /// Leaves a fresh array behind a failure; an interrupted context is given back by its drop.
    fn context_after(&mut self, error: &DeviceError) -> ContextAfter {
        if matches!(error, DeviceError::Interrupted { .. }) || error.is_unplugged() {
            return ContextAfter::Gone;
        }
        match self.context.recreate() {
            Ok(()) => ContextAfter::Anew,
            Err(error) => ContextAfter::Lost(Box::new(error)),
        }
    }

    fn fill(&mut self, written: Written) -> Result<(), RunError> {
        let canary = CANARY.to_le_bytes();
        match written {
            Written::Bytes { buffer, bytes } => {
                let reading = failed(Doing::Read(self.plan.buffers[buffer].name.clone()));
                let mut range = self.buffers[buffer].range_mut(0..bytes).map_err(reading)?;
                range.as_chunks_mut::<2>().0.fill(canary);
            }
            Written::NewPositions { buffer } => {
                let reading = failed(Doing::Read(self.plan.buffers[buffer].name.clone()));
                let segment = &self.plan.segment;
                let row = canary_row(segment.heads());
                let slots = self.new_slots();
                let mut contents = self.buffers[buffer].bytes_mut().map_err(reading)?;
                for slot in slots {
                    for plane in [Plane::Key, Plane::Value] {
                        segment.put(&mut contents, plane, slot, &row);
                    }
                }
            }
        }
        Ok(())
    }

    /// Slots of the new positions.
    fn new_slots(&self) -> impl Iterator<Item = usize> + use<K> {
        let (first, slots) = (self.subject.history, self.plan.segment.slots());
        (first..first + self.subject.seq).map(move |position| position % slots)
    }

    /// Whether every element was written; how many there are.
    fn check(&mut self, kernel: &str, written: Written) -> Result<usize, RunError> {
        let (Written::Bytes { buffer, .. } | Written::NewPositions { buffer }) = written;
        let name = &self.plan.buffers[buffer].name;
        let (mut unwritten, mut first, mut elements) = (0, None, 0);
        let mut look = |bytes: &[u8], canary: &[u8]| {
            if bytes == canary {
                unwritten += 1;
                first.get_or_insert(elements);
            }
            elements += 1;
        };
        match written {
            Written::Bytes { bytes, .. } => {
                let range = self.buffers[buffer].range(0..bytes).map_err(failed(Doing::Read(name.clone())))?;
                range.as_chunks::<2>().0.iter().for_each(|half| look(half, &CANARY.to_le_bytes()));
            }
            Written::NewPositions { .. } => {
                let segment = &self.plan.segment;
                let (heads, unwritten) = (segment.heads(), canary_row(segment.heads()));
                let mut row = vec![0; heads.row_bytes()];
                let elements = heads.kv_heads() * heads.head_dim() * heads.format().element_bytes();
                let contents = self.buffers[buffer].bytes().map_err(failed(Doing::Read(name.clone())))?;
                for slot in self.new_slots() {
                    for plane in [Plane::Key, Plane::Value] {
                        segment.get(&contents, plane, slot, &mut row);
                        for (range, bytes) in [
                            (0..elements, heads.format().element_bytes()),
                            (elements..row.len(), size_of_val(&SCALE_CANARY)),
                        ] {
                            let pieces =
                                row[range.clone()].chunks_exact(bytes).zip(unwritten[range].chunks_exact(bytes));
                            pieces.for_each(|(piece, canary)| look(piece, canary));
                        }
                    }
                }
            }
        }
        let Some(first) = first else { return Ok(elements) };
        let (kernel, buffer) = (kernel.to_owned(), name.clone());
        let context = match self.context.recreate() {
            Ok(()) => ContextAfter::Anew,
            Err(error) => ContextAfter::Lost(Box::new(error)),
        };
        Err(RunError::Unwritten { kernel, buffer, unwritten, first, elements, context })
    }

    fn output(&self) -> Result<Vec<u16>, RunError> {
        let bytes = 2 * self.subject.seq * self.subject.dims.hidden;
        let contents = self.buffers[self.plan.output].range(0..bytes).map_err(failed(Doing::Read("o".to_owned())))?;
        Ok(halves(&contents))
    }

    fn cache(&self) -> Result<Vec<u8>, RunError> {
        let contents = self.buffers[self.plan.cache].bytes().map_err(failed(Doing::Read("cache".to_owned())))?;
        Ok(contents.to_vec())
    }
}

/// A row of the cache that nothing was written to.
fn canary_row(heads: &KvHeads) -> Vec<u8> {
    let elements = heads.kv_heads() * heads.head_dim();
    match heads.format() {
        KvFormat::Bf16 => CANARY.to_le_bytes().repeat(elements),
        KvFormat::Int8 => {
            [vec![CODE_CANARY as u8; elements], SCALE_CANARY.to_le_bytes().repeat(heads.kv_heads())].concat()
        }
    }
}

/// The panels of a projection as a buffer: the file itself, where driver and file system let the device keep its pages, else a copy.
fn weights_buffer<K: Kernel>(
    device: &Device<K>,
    prepared: &Prepared,
    kind: ProjectionKind,
    bytes: usize,
) -> Result<(Bo<K>, Given), DeviceError> {
    match device.file_buffer(prepared.weights_path(kind), bytes) {
        Ok(bo) => Ok((bo, Given::Mapped)),
        Err(error) if error.is_unplugged() => Err(error),
        Err(error) => {
            let mut bo = device.host_buffer(bytes)?;
            bo.write(0, prepared.weights(kind))?;
            Ok((bo, Given::Copied { why: error.to_string() }))
        }
    }
}
