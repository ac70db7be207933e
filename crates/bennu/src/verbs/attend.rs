//! `bennu attend`: the attention of one layer on the NPU.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use amdxdna::{DriverVersion, Options};
use clap::ValueEnum;
use gemma::attend::{
    AttendError, Done, Given, Job, Method, Observer, Past, Prepared, RunOptions, Session, StepTimes, Stream, cache_of,
    difference, open_package, prepare, read_tensor, seeded, write_tensor,
};
use gemma::{CompileAdvice, PackedWeights, Refusal};
use npu_package::PackageError;
use npu_package::layout::{KvFormat, KvHeads};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::npu;
use crate::progress::Progress;
use crate::report::Report;
use crate::verbs::compile::KvCache;

/// Arguments of `attend`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Kernels: what `bennu compile` wrote
    #[arg(long, value_name = "DIR")]
    package: PathBuf,

    /// Weights: what `bennu pack` wrote
    #[arg(long, value_name = "PACKED")]
    model: PathBuf,

    /// Layer, from 0 on
    #[arg(long, value_name = "N")]
    layer: usize,

    /// Hidden states of the new positions, [seq, hidden] of bfloat16
    #[arg(long, value_name = "FILE", required_unless_present = "seed")]
    input: Option<PathBuf>,

    /// Makes what is not given from this number: hidden states without --input, earlier keys and values without --cache
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// New positions
    #[arg(long, value_name = "N")]
    seq: usize,

    /// Positions before the new ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    history: usize,

    /// Keys and values of the positions before: a file that --cache-out wrote
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,

    /// Where to write the keys and values that the next position sees
    #[arg(long, value_name = "FILE")]
    cache_out: Option<PathBuf>,

    /// Elements of the cache; by default those that the package's kernels are for
    #[arg(long, value_enum)]
    kv_cache: Option<KvCache>,

    /// Way to compute it; `auto` tries one after the other and says why one failed
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    method: Choice,

    /// Where to write the output, [seq, hidden] of bfloat16
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Runs, for their times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeat: u32,

    /// Expected output: anything else is refused
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// Largest difference from the expected output; without it, every bit counts
    #[arg(long, value_name = "X", requires = "check")]
    tolerance: Option<f32>,

    /// Runs once more and compares all outputs
    #[arg(long)]
    paranoid: bool,

    /// Seconds that a command may take
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    deadline: u64,

    /// Does not lock buffers in memory, where the limit of locked memory is low
    #[arg(long)]
    no_lock: bool,
}

/// Which methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Complete, then modular
    Auto,
    /// The complete attention kernel
    Complete,
    /// A kernel each for projections, norm and rotation, attention
    Modular,
}

impl Choice {
    fn methods(self) -> &'static [Method] {
        match self {
            Choice::Auto => &Method::ALL,
            Choice::Complete => &[Method::Complete],
            Choice::Modular => &[Method::Modular],
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  bennu attend --package gemma3-27b-npu --model packed --layer 5 --seed 1 --seq 512 --out o.safetensors
  bennu attend --package npu --model packed --layer 0 --input x.safetensors --seq 1 --history 511 --cache kv.safetensors --out o.bf16
  bennu attend --package npu --model packed --layer 0 --seed 1 --seq 64 --check o.safetensors --repeat 20 --out again.bf16 --json

Files named *.safetensors hold one BF16 tensor (x, or o), all others its elements alone, little-endian. What a seed makes is
specified in docs/attend.md. Package, model, machine and memory are checked before anything runs; after every command its
state, and that every element of its outputs was written. There is no other way to compute than the NPU.";

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let package = open_package(&args.package).map_err(|error| failure(args, error))?;
    let model = PackedWeights::open(&args.model)?;
    let methods = args.method.methods();
    let cache = args.kv_cache.map_or_else(|| cache_of(&package), KvFormat::from);
    let job = Job {
        package: &package,
        model: &model,
        layer: args.layer,
        seq: args.seq,
        history: args.history,
        cache,
        methods,
    };
    let dims = &model.model().description().model;
    let x = match &args.input {
        Some(path) => read_tensor(path, "x", args.seq, dims.hidden).map_err(AttendError::from)?,
        // clap wants one of the two.
        None => seeded(args.seed.unwrap_or_default(), Stream::Hidden, 0, args.seq * dims.hidden),
    };
    let past = past(args, &model, cache)?;
    progress.spin("checking package and model");
    let prepared = prepare(&job, &x, &past).map_err(|error| failure(args, error))?;

    let host = npu::host();
    let bytes = prepared.plans.iter().map(|plan| plan.host_bytes()).max().unwrap_or_default();
    let what = format!("layer {}, {} positions", args.layer, args.history + args.seq);
    let device = npu::open(&host, &what, bytes, Options { lock_pages: !args.no_lock })?;
    let mut notes = Notes(Vec::new());
    match host.memory() {
        Some(memory) => prepared.check_memory(memory.available)?,
        None => notes.say("/proc/meminfo does not tell how much memory is free; the driver will".to_owned()),
    }
    for (method, error) in &prepared.missing {
        notes.note(*method, "is not available", error);
    }
    let options = RunOptions {
        deadline: Duration::from_secs(args.deadline),
        repeat: args.repeat as usize,
        paranoid: args.paranoid,
    };
    progress.spin("running");
    let session = Session::new(device);
    let done = session.run(&prepared, &options, progress.interrupted(), &mut notes)?;
    let left = session.device().take_drop_errors();

    write_tensor(&args.out, "o", args.seq, dims.hidden, &done.output).map_err(AttendError::from)?;
    if let Some(path) = &args.cache_out {
        done.past.write(path, args.layer).map_err(AttendError::from)?;
    }
    let compared = args.check.as_deref().map(|path| check(args, path, &done.output, dims.hidden)).transpose()?;
    Ok(Box::new(Finished {
        out: args.out.clone(),
        bytes,
        heap_bytes: prepared.plans.iter().find(|plan| plan.method == done.method).map_or(0, |plan| plan.heap_bytes()),
        prepared,
        driver: driver(session.device().driver()),
        firmware: session
            .device()
            .firmware_version()
            .map_or_else(|error| error.to_string(), |version| version.to_string()),
        clocks: session.device().clocks().map_or_else(
            |error| error.to_string(),
            |clocks| {
                format!("{} {} MHz, {} {} MHz", clocks.mp_npu.name, clocks.mp_npu.mhz, clocks.h.name, clocks.h.mhz)
            },
        ),
        done,
        notes: notes.0,
        left: left.iter().map(ToString::to_string).collect(),
        compared,
    }))
}

fn driver(version: &DriverVersion) -> String {
    format!("{} {}.{}", version.name, version.major, version.minor)
}

/// Keys and values of earlier positions.
fn past(args: &Args, model: &PackedWeights, cache: KvFormat) -> Result<Past, Failure> {
    let description = model.model().description();
    let heads = KvHeads::new(description.model.kv_heads, description.model.head_dim, cache)
        .map_err(|error| AttendError::from(PackageError::from(error)))?;
    if let Some(path) = &args.cache {
        return Ok(Past::read(path, args.layer, heads).map_err(AttendError::from)?);
    }
    if args.history == 0 {
        return Ok(Past::empty(heads));
    }
    let Some(seed) = args.seed else {
        let remedy = "give the file of an earlier attend's --cache-out with --cache, or --seed for made-up ones";
        return Err(Failure::refused(NoPast { history: args.history }).with_remedy(remedy));
    };
    // A layer that is not there is refused later, with the model's layers.
    let kind = description.attention.layer_kinds.get(args.layer);
    let window = kind.and_then(|&kind| description.attention.window(kind));
    // So is a history beyond the model's context; nothing of its size is made.
    let history = args.history.min(description.attention.max_positions);
    Ok(Past::seeded(seed, history, window, heads))
}

#[derive(Debug, thiserror::Error)]
#[error("the keys and values of {history} earlier positions are not given")]
struct NoPast {
    history: usize,
}

/// What was compared, or the refusal of an output that is not the expected one.
fn check(args: &Args, path: &Path, output: &[u16], hidden: usize) -> Result<String, Failure> {
    let expected = read_tensor(path, "o", args.seq, hidden).map_err(AttendError::from)?;
    match (difference(output, &expected, hidden, &path.display().to_string()), args.tolerance) {
        (None, _) => Ok(format!("all {} outputs equal {}, bit for bit", grouped(output.len() as u64), path.display())),
        (Some(found), Some(tolerance)) if found.within(tolerance) => {
            Ok(format!("{found}; within the tolerance of {tolerance:e}"))
        }
        (Some(found), _) => Err(AttendError::from(found).into()),
    }
}

/// Errors of attend, with the arguments in the remedies.
fn failure(args: &Args, error: AttendError) -> Failure {
    let advice = match &error {
        AttendError::Refusal(Refusal::KernelNotCompiled { advice, .. }) => (**advice).clone(),
        AttendError::Refusal(Refusal::BinaryMissing { .. }) => {
            let history = if args.history == 0 { String::new() } else { format!(" --history {}", args.history) };
            CompileAdvice::Options(format!(" --seq {}{history}", args.seq))
        }
        _ => return error.into(),
    };
    let force = if args.package.exists() { " --force" } else { "" };
    let remedy = advice.remedy(&format!(" --out {}{force}", args.package.display()));
    Failure::from(error).with_remedy(remedy)
}

impl From<AttendError> for Failure {
    fn from(error: AttendError) -> Self {
        let remedy = error.remedy();
        let failure = Failure::refused(error);
        match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}

/// Says at once why a method is not the one that computes.
struct Notes(Vec<String>);

impl Notes {
    fn note(&mut self, method: Method, what: &str, error: &(dyn Error + 'static)) {
        let mut text = format!("method {} {what}", method.name());
        let mut next = Some(error);
        while let Some(error) = next {
            text.push_str(&format!(": {error}"));
            next = error.source();
        }
        self.say(text);
    }

    fn say(&mut self, text: String) {
        eprintln!("note: {text}");
        self.0.push(text);
    }
}

impl Observer for Notes {
    fn failed(&mut self, method: Method, error: &(dyn Error + 'static)) {
        self.note(method, "failed", error);
    }
}

struct Finished {
    out: PathBuf,
    bytes: u64,
    heap_bytes: u64,
    prepared: Prepared,
    driver: String,
    firmware: String,
    clocks: String,
    done: Done,
    notes: Vec<String>,
    left: Vec<String>,
    compared: Option<String>,
}

/// Least, median and largest of a step's times in microseconds.
fn spread(times: &StepTimes) -> [f64; 3] {
    let mut sorted = times.wall.clone();
    sorted.sort_unstable();
    let at = |i: usize| sorted.get(i).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}

impl Finished {
    fn weights(&self) -> String {
        match &self.done.weights {
            Given::Mapped => "the mapped files, without a copy".to_owned(),
            Given::Copied { why } => format!("copied once: {why}"),
        }
    }
}

impl Report for Finished {
    fn json(&self) -> Value {
        let subject = &self.prepared.subject;
        let steps: Vec<Value> = self
            .done
            .times
            .iter()
            .map(|step| {
                let [min, median, max] = spread(step);
                json!({
                    "kernel": step.kernel,
                    "runs": step.wall.len(),
                    "measured_wall_us": { "min": min, "median": median, "max": max },
                })
            })
            .collect();
        json!({
            "layer": subject.layer,
            "kind": subject.kind.name(),
            "seq": subject.seq,
            "history": subject.history,
            "method": self.done.method.name(),
            "cache": match subject.cache {
                KvFormat::Bf16 => "bf16",
                KvFormat::Int8 => "int8",
            },
            "driver": self.driver,
            "firmware": self.firmware,
            "clocks": self.clocks,
            "steps": steps,
            "host_bytes": self.bytes,
            "heap_bytes": self.heap_bytes,
            "weights": self.weights(),
            "outputs_found_written": self.done.checked,
            "notes": self.notes,
            "left_behind": self.left,
            "check": self.compared,
            "out": self.out,
        })
    }

    fn table(&self) -> String {
        let subject = &self.prepared.subject;
        let mut lines = Columns::new("ll");
        let mut line = |name: &str, value: String| lines.row([name.to_owned(), value]);
        line("method", self.done.method.name().to_owned());
        line("driver", self.driver.clone());
        line("firmware", self.firmware.clone());
        line("clocks", self.clocks.clone());
        line("host memory", binary_bytes(self.bytes));
        line("device memory", format!("{} of 64 MiB", binary_bytes(self.heap_bytes)));
        line("weights", self.weights());
        line("outputs found written", grouped(self.done.checked as u64));
        for left in &self.left {
            line("not given back", left.clone());
        }
        if let Some(compared) = &self.compared {
            line("check", compared.clone());
        }
        line("written", self.out.display().to_string());
        let mut steps = Columns::new("lrrrr");
        let head = ["wall time, measured on the device, µs", "runs", "min", "median", "max"];
        steps.row(head.map(str::to_owned));
        for step in &self.done.times {
            let [min, median, max] = spread(step).map(|us| format!("{us:.1}"));
            steps.row([step.kernel.clone(), step.wall.len().to_string(), min, median, max]);
        }
        format!(
            "attention of {} layer {}, {} new positions after {}\n{}\n{}",
            subject.kind.name(),
            subject.layer,
            grouped(subject.seq as u64),
            grouped(subject.history as u64),
            lines.render(),
            steps.render()
        )
    }
}
