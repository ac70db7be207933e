//! `bennu bringup`: the first hour on a real NPU, step by step, and a report of it.

mod record;
mod steps;
#[cfg(test)]
pub(in crate::verbs) mod tests;

use std::path::{Path, PathBuf};

use amdxdna::kernel::Kernel;
use amdxdna::{Device, Options};
use npu_package::Package;

use crate::failure::Failure;
use crate::npu;
use crate::onboard::measure::{Effort, digest};
use crate::onboard::run::{Host, stopwatch};
use crate::progress::Progress;
use crate::report::Report;
use record::{Evidence, PackageId, Record, Status};
use steps::{Step, StepError, Work};

/// Arguments of `bringup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report to attach to an issue: FILE as JSON, and the same as text beside it, with extension `txt`
    #[arg(long, value_name = "FILE", default_value = "bennu-bringup.json")]
    report: PathBuf,

    /// First step; those before it have been done. The device is opened in any case
    #[arg(long, value_name = "STEP")]
    from: Option<String>,

    /// Package whose kernels are run against their stored cases
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,

    /// Does not lock buffers in memory, where the limit of locked memory is low
    #[arg(long)]
    no_lock: bool,

    /// For a virtual NPU: commands may take minutes, short loops, and times are not judged
    #[arg(long)]
    untimed: bool,
}

const EXAMPLES: &str = "\
Examples:
  bennu bringup --package gemma3-27b-npu
  bennu bringup --from mem_window

Each step uses only what earlier ones have shown, and the first that fails ends it: error, remedy, what to change in bennu. The
report is written either way. docs/hardware-bringup.md lists the steps and what each one settles. Needs an NPU; nothing is emulated.";

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let (sizes, effort) = match args.untimed {
        true => (steps::UNTIMED_SIZES, Effort::untimed()),
        false => (steps::REAL_SIZES, steps::EFFORT),
    };
    let steps = steps::plan(sizes).map_err(Failure::refused)?;
    if let Some(from) = &args.from
        && !steps.iter().any(|step| step.name == from)
    {
        let names = steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        return Err(Failure::refused(NoStep { step: from.clone() }).with_remedy(format!("one of {names}")));
    }
    let package = args.package.as_deref().map(open).transpose()?;
    progress.spin("bringing up");
    let host = Host { clock: &stopwatch(), interrupt: progress.interrupted(), timeout: effort.timeout() };
    let wanted = Wanted { steps: &steps, from: args.from.as_deref(), package: package.as_ref(), effort };
    let (bytes, options) = (host_bytes(effort, package.as_ref()), Options { lock_pages: !args.no_lock });
    let device = || npu::open(&npu::host(), "bring-up", bytes, options).map_err(StepError::Refused);
    let (record, failed) = bring_up(device, wanted, host);
    write(&args.report, &record)?;
    let failed = failed.map(|(step, error)| {
        let mut remedy = error.remedy();
        let next = steps.iter().skip_while(|s| s.name != step).nth(1);
        if let Some(next) = next.filter(|_| error.is_answer()) {
            remedy.push_str(&format!("; go on with `bennu bringup --from {}`", next.name));
        }
        remedy.push_str(&format!("; the report is {}", args.report.display()));
        (StepFailed { step, source: error }, remedy)
    });
    Ok(Box::new(Done { record, report: args.report.clone(), failed }))
}

/// Most memory that one program's buffers take.
pub(super) fn host_bytes(effort: Effort, package: Option<&Package>) -> u64 {
    let kernels = package.iter().flat_map(|package| &package.manifest().kernels);
    let kernels = kernels.map(|kernel| kernel.args.iter().map(|argument| argument.bytes).sum());
    let channels = aie2_kernels::probe::CHANNELS.len() as u64 * u64::from(effort.channel_bytes);
    kernels.max().unwrap_or(0).max(channels)
}

pub(super) fn open(path: &Path) -> Result<Package, Failure> {
    let package = Package::open(path).map_err(Failure::of_package)?;
    package.verify().map_err(Failure::of_package)?;
    Ok(package)
}

/// Name and digest of a package.
pub(super) fn identify(package: &Package) -> Result<PackageId, std::io::Error> {
    let manifest = std::fs::read(package.path().join(npu_package::MANIFEST_FILE))?;
    Ok(PackageId { path: package.path().display().to_string(), manifest_sha256: digest(&manifest) })
}

#[derive(Debug, thiserror::Error)]
#[error("bring-up has no step {step:?}")]
struct NoStep {
    step: String,
}

#[derive(Debug, thiserror::Error)]
#[error("bring-up stopped at step {step}")]
struct StepFailed {
    step: &'static str,
    #[source]
    source: StepError,
}

/// What is to be done.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    steps: &'a [Step],
    from: Option<&'a str>,
    package: Option<&'a Package>,
    effort: Effort,
}

/// Does the steps from `from` on until one fails. Everything that happened is in the record.
fn bring_up<K: Kernel>(
    open: impl FnOnce() -> Result<Device<K>, StepError>,
    Wanted { steps, from, package, effort }: Wanted<'_>,
    host: Host<'_>,
) -> (Record, Option<(&'static str, StepError)>) {
    let mut record = Record::new();
    let first = from.and_then(|from| steps.iter().position(|step| step.name == from)).unwrap_or(0);
    let mut open = Some(open);
    let mut device = None;
    for (index, step) in steps.iter().enumerate() {
        let done = match &step.work {
            // every other step needs it
            Work::Device => match open.take().map(|open| open()) {
                Some(opened) => steps::device(opened, package).map(|(opened, identity, package, evidence)| {
                    record.identity = Some(identity);
                    record.package = package;
                    device = Some(opened);
                    evidence
                }),
                None => continue,
            },
            _ if index < first => Ok(Evidence::skipped("before the first step asked for")),
            work => match &device {
                Some(device) => steps::run(device, step, work, &record, package, effort, host),
                None => Err(StepError::NoDevice),
            },
        };
        // what a step leaves behind is part of it
        let closed = device.iter().flat_map(Device::take_drop_errors).collect::<Vec<_>>();
        let done = done.and_then(|evidence| closed.into_iter().next().map_or(Ok(evidence), |error| Err(error.into())));
        match done {
            Ok(evidence) => record.push(step, evidence),
            Err(error) => {
                let asynchronous = device.as_ref().map(|device| match device.last_async_error() {
                    Ok(Some(error)) => format!("{error:?}"),
                    Ok(None) => "none".into(),
                    Err(error) => error.to_string(),
                });
                record.fail(step, &error, asynchronous);
                return (record, Some((step.name, error)));
            }
        }
    }
    (record, None)
}

/// Writes the report in both forms.
fn write(path: &Path, record: &Record) -> Result<(), Failure> {
    let text = path.with_extension("txt");
    let json = format!("{:#}\n", record.json());
    for (path, contents) in [(path, &json), (&text, &record.table())] {
        std::fs::write(path, contents).map_err(|source| {
            let path = path.to_owned();
            Failure::refused(Unwritable { path, source }).with_remedy("choose another file with --report")
        })?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the report {}", path.display())]
struct Unwritable {
    path: PathBuf,
    source: std::io::Error,
}

struct Done {
    record: Record,
    report: PathBuf,
    /// With its remedy.
    failed: Option<(StepFailed, String)>,
}

impl Report for Done {
    fn json(&self) -> serde_json::Value {
        self.record.json()
    }

    fn table(&self) -> String {
        let passed = self.record.count(Status::Passed);
        format!("{}\n{passed} steps passed; report {}\n", self.record.table(), self.report.display())
    }

    fn failures(&self) -> Vec<Failure> {
        self.failed.iter().map(|(error, remedy)| Failure::of_error(error).with_remedy(remedy.clone())).collect()
    }
}

/// The array's clock by the driver, for steps that turn times into cycles.
fn reported_mhz(record: &Record) -> f64 {
    record.identity.as_ref().map_or(f64::NAN, |identity| f64::from(identity.array_mhz))
}
