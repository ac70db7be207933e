//! The steps of bring-up, in the order in which they mean something.

use std::collections::BTreeMap;

use aie2_kernels::KernelError;
use aie2_kernels::probe::{self, Probe, Timing};
use amdxdna::kernel::Kernel;
use amdxdna::{ContextConfig, Device};
use gemma::Refusal;
use npu_package::{Direction, Package, PackageError};

use super::record::{Evidence, PackageId, Record};
use crate::onboard::identity::Identity;
use crate::onboard::measure::{self, Effort, MeasureError, Way, digest, judge};
use crate::onboard::run::{Call, Host, Loaded};

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name, for `--from`.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// Rows of `docs/hardware-bringup.md` that it settles.
    pub facts: &'static [u8],
    /// What it does.
    pub work: Work,
}

/// What a step does.
#[derive(Debug)]
pub enum Work {
    /// Opens the device and asks it who it is.
    Device,
    /// Makes the 64 MiB of device memory.
    Heap,
    /// Makes a context of all columns and ends it.
    Context,
    /// Calls a probe as often as it predicts.
    Probe(Box<Probe>),
    /// Calls two programs of one context in turn.
    TwoPrograms,
    /// Measures the array's clock.
    Clock,
    /// Measures channels.
    Bandwidth(Way),
    /// Measures cycles.
    Timing(Box<Timing>),
    /// Runs kernels of a package against stored cases.
    Kernels,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The machine is not ready.
    #[error(transparent)]
    Refused(Refusal),
    /// The device, the driver or a command.
    #[error("{0}")]
    Device(amdxdna::Error),
    /// A command of a probe that did not end well.
    #[error("{source}")]
    Command {
        /// How it ended.
        source: amdxdna::Error,
        /// What it says of the array.
        otherwise: &'static str,
    },
    /// The device was never opened.
    #[error("no device")]
    NoDevice,
    /// Another array than that of Phoenix.
    #[error("the array has {columns} columns, {rows} rows and {core_rows} rows of cores; Phoenix has 5, 6 and 4")]
    Array {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
        /// Rows of cores.
        core_rows: u16,
    },
    /// A probe or a measurement.
    #[error("{0}")]
    Measure(MeasureError),
    /// A measurement far from the model.
    #[error("{probe}: {found:.2} cycles, modelled {modelled:.2} within {tolerance_percent:.0} %")]
    OffModel {
        /// The probe.
        probe: &'static str,
        /// Cycles measured.
        found: f64,
        /// Cycles of the model.
        modelled: f64,
        /// Tolerance.
        tolerance_percent: f64,
        /// What to change.
        change: &'static str,
    },
    /// A file of the package.
    #[error("{0}")]
    Package(PackageError),
    /// The package's manifest cannot be read again.
    #[error("the package's manifest: {0}")]
    Manifest(std::io::Error),
    /// A kernel gave other bytes than its stored case.
    #[error(
        "{kernel}, argument {argument:?}: {wrong} of {bytes} bytes differ from the stored case, the first at {first:#x}"
    )]
    Case {
        /// The kernel.
        kernel: String,
        /// The output.
        argument: String,
        /// Bytes that differ.
        wrong: usize,
        /// Of so many.
        bytes: usize,
        /// The first.
        first: usize,
    },
}

impl From<amdxdna::Error> for StepError {
    fn from(error: amdxdna::Error) -> Self {
        StepError::Device(error)
    }
}

impl From<MeasureError> for StepError {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Device(error) => StepError::Device(error),
            error => StepError::Measure(error),
        }
    }
}

impl From<PackageError> for StepError {
    fn from(error: PackageError) -> Self {
        StepError::Package(error)
    }
}

impl StepError {
    /// What to do, or what to change in bennu.
    pub fn remedy(&self) -> String {
        let text = match self {
            StepError::Refused(refusal) => return refusal.remedy(),
            StepError::Device(error) => error.remedy(),
            StepError::Command { source, otherwise } => return format!("{otherwise}; {}", source.remedy()),
            StepError::NoDevice => "begin with the first step",
            StepError::Array { .. } => "use a machine with PCI device 1022:1502 revision 0",
            StepError::Measure(error) => error.remedy(),
            StepError::OffModel { change, .. } => change,
            StepError::Package(_) | StepError::Manifest(_) => "compile the package anew",
            StepError::Case { .. } => {
                "all facts above hold, so: dump the kernel's intermediate buffers and compare with `bennu-lab verify` of the same package"
            }
        };
        text.to_owned()
    }

    /// Whether the steps behind may mean something all the same.
    pub fn is_answer(&self) -> bool {
        match self {
            StepError::Command { .. } | StepError::Measure(_) | StepError::OffModel { .. } | StepError::Case { .. } => {
                true
            }
            StepError::Refused(_)
            | StepError::Device(_)
            | StepError::NoDevice
            | StepError::Array { .. }
            | StepError::Package(_)
            | StepError::Manifest(_) => false,
        }
    }
}

/// What bring-up measures: 4 MiB of a channel, five calls.
pub const EFFORT: Effort = Effort::real(5, 4 << 20);
/// Buffers and runs of the probes that are timed, few and many.
pub const REAL_SIZES: [[u32; 2]; 2] = [[64, 1024], [256, 4096]];
/// The same where times mean nothing.
pub const UNTIMED_SIZES: [[u32; 2]; 2] = [[4, 20], [8, 40]];
/// What a step says then that is there for its time.
const UNTIMED: &str = "outputs are right; times are not judged";

/// All steps; `sizes` are those of `bank_shared` and `strided_rows`.
///
/// # Errors
/// None at [`REAL_SIZES`] and [`UNTIMED_SIZES`]; an error is a bug of the compiler.
pub fn plan(sizes: [[u32; 2]; 2]) -> Result<Vec<Step>, KernelError> {
    let step = |name, asks, facts, work| Step { name, asks, facts, work };
    let probe = |probe: Probe| Step {
        name: probe.name(),
        asks: probe.asks,
        facts: probe.facts,
        work: Work::Probe(Box::new(probe)),
    };
    let timing = |timing: Timing| Step {
        name: timing.probes[0].name(),
        asks: timing.probes[0].asks,
        facts: timing.probes[0].facts,
        work: Work::Timing(Box::new(timing)),
    };
    let mut steps = vec![
        step("device", "Is there an NPU of Phoenix, and do driver and firmware answer?", &[], Work::Device),
        step("heap", "Does the driver give device memory?", &[], Work::Heap),
        step("context", "Does the driver give a context of four columns?", &[], Work::Context),
    ];
    steps.extend(probe::steps()?.into_iter().map(probe));
    steps.push(step("two_programs", "Do two configurations of one context take turns?", &[9], Work::TwoPrograms));
    steps.push(step("clock", "Which clock does the array have under load?", &[11], Work::Clock));
    for (name, way, facts) in [("read_bandwidth", Way::Read, &[21, 29][..]), ("write_bandwidth", Way::Write, &[23])] {
        steps.push(step(name, "What does each channel carry, and all of them?", facts, Work::Bandwidth(way)));
    }
    steps.extend(probe::facts()?.into_iter().map(probe));
    let [[few_buffers, many_buffers], [few_runs, many_runs]] = sizes;
    steps.push(timing(probe::bank_shared(true, few_buffers, many_buffers)?));
    steps.push(timing(probe::strided_rows(few_runs, many_runs)?));
    steps.push(step("kernels", "Do the kernels of the package give their stored results?", &[], Work::Kernels));
    Ok(steps)
}

type Opened<K> = (Device<K>, Identity, Option<PackageId>, Evidence);

/// The first step.
pub fn device<K: Kernel>(
    opened: Result<Device<K>, StepError>,
    package: Option<&Package>,
) -> Result<Opened<K>, StepError> {
    let device = opened?;
    let identity = Identity::of(&device)?;
    let metadata = device.metadata();
    // SOURCE: AM020 and Xilinx/mlir-aie AIETargetModel.cpp, npu1: one column more than can be used.
    if (metadata.columns, metadata.rows, metadata.core.rows) != (5, 6, 4) {
        let (columns, rows, core_rows) = (metadata.columns, metadata.rows, metadata.core.rows);
        return Err(StepError::Array { columns, rows, core_rows });
    }
    let package = package.map(super::identify).transpose().map_err(StepError::Manifest)?;
    let says = format!("{} {}, firmware {}", identity.driver, identity.driver_version, identity.firmware);
    Ok((device, identity, package, Evidence::passed(says)))
}

/// Any other step.
pub fn run<K: Kernel>(
    device: &Device<K>,
    step: &Step,
    work: &Work,
    record: &Record,
    package: Option<&Package>,
    effort: Effort,
    host: Host<'_>,
) -> Result<Evidence, StepError> {
    match work {
        // opened before any other step
        Work::Device => Err(StepError::NoDevice),
        Work::Heap => {
            device.ensure_heap()?;
            Ok(Evidence::passed("64 MiB"))
        }
        Work::Context => {
            let context = device.create_context(ContextConfig::default())?;
            Ok(Evidence::passed(format!("context {}", context.handle())))
        }
        Work::Probe(probe) => call(device, probe, host),
        Work::TwoPrograms => two_programs(device, host),
        Work::Clock => {
            let clock = measure::clock(device, effort, host)?;
            if effort.untimed {
                return Ok(Evidence::passed(UNTIMED));
            }
            let reported = f64::from(clock.reported_mhz);
            let says = format!("{:.0} MHz measured, {reported:.0} MHz reported", clock.measured_mhz);
            Ok(Evidence::passed(says).number("measured_mhz", clock.measured_mhz).number("reported_mhz", reported))
        }
        Work::Bandwidth(way) => bandwidth(device, *way, effort, host),
        Work::Timing(timing) => {
            // a bring-up that began behind the clock goes by the driver
            let mhz = record.number("clock", "measured_mhz").unwrap_or_else(|| super::reported_mhz(record));
            cycles(device, step.name, timing, mhz, effort, host)
        }
        Work::Kernels => kernels(device, package, host),
    }
}

fn binaries(probe: &Probe) -> Option<[String; 2]> {
    Some([digest(&probe.compiled.pdi), digest(&probe.compiled.txn)])
}

/// What a command's end says of a probe; other errors are the driver's.
fn ended(error: amdxdna::Error, otherwise: &'static str) -> StepError {
    match error {
        source @ (amdxdna::Error::Timeout { .. } | amdxdna::Error::Command { .. }) => {
            StepError::Command { source, otherwise }
        }
        error => StepError::Device(error),
    }
}

/// Calls a probe in a context of its own.
fn call<K: Kernel>(device: &Device<K>, probe: &Probe, host: Host<'_>) -> Result<Evidence, StepError> {
    let compiled = &probe.compiled;
    let sizes = measure::sizes(probe);
    let mut loaded = Loaded::new(device, compiled.columns.into(), &compiled.pdi, &compiled.txn, &sizes)?;
    loaded.write(0, &probe.input)?;
    let mut calls_us = Vec::new();
    for call in 0..probe::CALLS {
        loaded.write(1, &probe.output)?;
        let time = loaded.run(host).map_err(|error| ended(error, probe.otherwise))?;
        calls_us.push(time.as_secs_f64() * 1e6);
        judge(probe, call, call, &loaded.read(1, probe.output.len())?)?;
    }
    let says = probe.outcomes.first().map_or("", |outcome| outcome.says);
    Ok(Evidence { calls_us, binaries_sha256: binaries(probe), ..Evidence::passed(says) })
}

/// Counter, another program, counter: both answers to whether the array is kept are good, a third is not.
fn two_programs<K: Kernel>(device: &Device<K>, host: Host<'_>) -> Result<Evidence, StepError> {
    let measured = |error: KernelError| StepError::from(MeasureError::from(error));
    let (counter, other) = (probe::counter().map_err(measured)?, probe::one_tile(4).map_err(measured)?);
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[&counter.compiled.pdi, &other.compiled.pdi])?;
    let mut calls = Vec::new();
    for (unit, probe) in [(0, &counter), (1, &other)] {
        let mut call = Call::new(device, unit, &probe.compiled.txn, &measure::sizes(probe))?;
        call.write(0, &probe.input)?;
        calls.push(call);
    }
    let mut calls_us = Vec::new();
    let mut says = "";
    for (k, (unit, probe, like)) in [(0, &counter, 0), (1, &other, 0), (0, &counter, 1)].into_iter().enumerate() {
        let call = &mut calls[unit];
        call.write(1, &probe.output)?;
        calls_us.push(call.run(&context, host)?.as_secs_f64() * 1e6);
        let out = call.read(1, probe.output.len())?;
        says = match (like, probe.judge(like, &out)) {
            (1, probe::Answer::Outcome(1)) => "a program is loaded anew when its turn comes",
            (1, probe::Answer::Outcome(0)) => "a program that was replaced finds its state again",
            _ => {
                judge(probe, k, like, &out)?;
                says
            }
        };
    }
    Ok(Evidence { calls_us, ..Evidence::passed(says) })
}

fn bandwidth<K: Kernel>(device: &Device<K>, way: Way, effort: Effort, host: Host<'_>) -> Result<Evidence, StepError> {
    let gigabytes = |channels: &[(u8, u8)]| {
        let measured = measure::bandwidth(device, way, channels, effort, host)?;
        Ok::<_, StepError>(measured.bytes_per_s / 1e9)
    };
    let mut evidence = Evidence::passed(format!("DDR {}", way.name()));
    for (col, k) in probe::CHANNELS {
        evidence = evidence.number(format!("column_{col}_channel_{k}_gb_per_s"), gigabytes(&[(col, k)])?);
    }
    let evidence = evidence.number("all_gb_per_s", gigabytes(&probe::CHANNELS)?);
    Ok(if effort.untimed { Evidence::passed(UNTIMED) } else { evidence })
}

fn cycles<K: Kernel>(
    device: &Device<K>,
    name: &'static str,
    timing: &Timing,
    mhz: f64,
    effort: Effort,
    host: Host<'_>,
) -> Result<Evidence, StepError> {
    let found = measure::cycles(device, timing, mhz * 1e6, effort, host)?;
    if effort.untimed {
        return Ok(Evidence { binaries_sha256: binaries(&timing.probes[1]), ..Evidence::passed(UNTIMED) });
    }
    if !timing.as_modelled(found) {
        return Err(StepError::OffModel {
            probe: name,
            found,
            modelled: timing.cycles,
            tolerance_percent: 100.0 * timing.tolerance,
            change: timing.otherwise,
        });
    }
    let evidence = Evidence { binaries_sha256: binaries(&timing.probes[1]), ..Evidence::passed("as modelled") };
    Ok(evidence.number("cycles", found).number("modelled_cycles", timing.cycles))
}

/// What buffers hold before and after a call, by argument index.
#[derive(Default)]
struct Case {
    before: BTreeMap<usize, Vec<u8>>,
    after: BTreeMap<usize, Vec<u8>>,
}

/// A stored case; `None` unless it has all inputs and outputs.
fn case(package: &Package, kernel: &npu_package::Kernel) -> Result<Option<Case>, PackageError> {
    let mut case = Case::default();
    let stored = |name: &str| package.manifest().digests.contains_key(name);
    for (index, argument) in kernel.args.iter().enumerate() {
        let (of_case, before) = (kernel.case_file(&argument.name), kernel.case_file_before(&argument.name));
        match (argument.direction, &argument.file) {
            (Direction::In, Some(file)) => {
                case.before.insert(index, package.read_file(file)?);
            }
            (Direction::In, None) if stored(&of_case) => {
                case.before.insert(index, package.read_file(&of_case)?);
            }
            (Direction::Out | Direction::Scratch, _) if stored(&of_case) => {
                let after = package.read_file(&of_case)?;
                // What nothing is known of before is not as it must be after.
                let found = if stored(&before) {
                    package.read_file(&before)?
                } else {
                    after.iter().map(|byte| !byte).collect()
                };
                case.before.insert(index, found);
                case.after.insert(index, after);
            }
            (Direction::Scratch, _) => {}
            (Direction::In | Direction::Out, _) => return Ok(None),
        }
    }
    Ok(Some(case))
}

fn kernels<K: Kernel>(device: &Device<K>, package: Option<&Package>, host: Host<'_>) -> Result<Evidence, StepError> {
    let Some(package) = package else { return Ok(Evidence::skipped("no --package was given")) };
    let (mut calls_us, mut ran, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for kernel in &package.manifest().kernels {
        let title = format!("{} S = {}", kernel.kernel, kernel.seq);
        let Some(case) = case(package, kernel)? else {
            without.push(title);
            continue;
        };
        let (pdi, txn) = (package.read_file(&kernel.files.pdi)?, package.read_file(&kernel.files.txn)?);
        let sizes: Vec<usize> = kernel.args.iter().map(|arg| arg.bytes as usize).collect();
        let mut loaded = Loaded::new(device, kernel.columns as u32, &pdi, &txn, &sizes)?;
        for _ in 0..probe::CALLS {
            for (&index, contents) in &case.before {
                loaded.write(index, contents)?;
            }
            calls_us.push(loaded.run(host)?.as_secs_f64() * 1e6);
            for (&index, expected) in &case.after {
                compare(kernel, index, expected, &loaded.read(index, expected.len())?)?;
            }
        }
        ran.push(title);
    }
    if ran.is_empty() {
        let why = "the package holds no stored cases (files KERNEL.case.ARGUMENT.bin for every input and output of a kernel; `bennu-lab cases` makes them)";
        return Ok(Evidence::skipped(why));
    }
    let mut says = format!("bit for bit: {}", ran.join(", "));
    if !without.is_empty() {
        says.push_str(&format!("; without a stored case: {}", without.join(", ")));
    }
    Ok(Evidence { calls_us, ..Evidence::passed(says) })
}

fn compare(kernel: &npu_package::Kernel, index: usize, expected: &[u8], found: &[u8]) -> Result<(), StepError> {
    let wrong: Vec<usize> = (0..expected.len()).filter(|&i| expected[i] != found[i]).collect();
    match wrong.first() {
        None => Ok(()),
        Some(&first) => Err(StepError::Case {
            kernel: kernel.kernel.clone(),
            argument: kernel.args[index].name.clone(),
            wrong: wrong.len(),
            bytes: expected.len(),
            first,
        }),
    }
}
