//! `bennu doctor`: whether the NPU can be used now, and what helps if not.

use std::env;
use std::path::Path;

use amdxdna::kernel::Kernel;
use amdxdna::{ContextConfig, Options};
use clap::ValueEnum;
use gemma::{Plan, PlanRequest, Refusal, ToolchainMissing};
use npu_host::{
    CheckId, Clocks, ContextInUse, Device, DeviceFacts, Diagnosis, DriverVersion, Function, Generation, Host, Needs,
    PowerMode, Trial, TrialStep, diagnose,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::grouped;
use crate::model::{PRESET, config};
use crate::report::Report;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model that is to fit: `gemma3-27b`, or a checkpoint
    #[arg(long, value_name = "NAME|DIR", default_value = PRESET)]
    model: String,

    /// Tokens of context that are to fit
    #[arg(long, value_name = "N", default_value_t = 8192)]
    context: usize,

    /// Refuse unless this part is there, which bennu itself does not need
    #[arg(long, value_enum, value_name = "PART")]
    require: Vec<Part>,
}

/// Parts that bennu does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// AMD's runtime
    Xrt,
    /// The MLIR-AIE toolchain
    MlirAie,
}

const EXAMPLES: &str = "\
Examples:
  bennu doctor
  bennu doctor --model gemma-3-27b-it-int8 --context 32768
  bennu doctor --json | jq '.checks[] | select(.outcome == \"fail\")'

Exit code 0 only if the NPU can be used now: a context is made on it and given back. Nothing is changed.";

struct Done {
    diagnosis: Diagnosis,
    failures: Vec<Refused>,
}

/// A refusal, or a missing part that no refusal is about.
enum Refused {
    Refusal(Refusal),
    Part(npu_host::Check),
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let config = config(&args.model)?;
    let request = PlanRequest { config: &config, context: args.context, chunk: usize::MAX, package: None };
    let plan = Plan::new(&request).map_err(super::plan::refused)?;
    let needs = Needs {
        what: format!("{}, {} tokens", plan.model, grouped(plan.context as u64)),
        ram_bytes: plan.ddr.bytes,
        // The driver's buffers are mapped locked.
        locked_bytes: plan.ddr.bytes,
        xrt: args.require.contains(&Part::Xrt),
        mlir_aie: args.require.contains(&Part::MlirAie),
    };
    let programs = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let host = Host::at("/", programs);
    let node = Function::all(&host).iter().find(|f| f.generation == Generation::Npu1).and_then(|f| f.node(&host));
    let device = node.map_or(Device::NoNode, |name| {
        ask(amdxdna::Device::open_node(&Path::new("/dev/accel").join(name), Options::default()))
    });
    let diagnosis = diagnose(&host, &device, &needs);

    let parts = diagnosis.missing_parts().map(|check| match check.id {
        CheckId::MlirAie => {
            Refused::Refusal(Refusal::MlirAieMissing { source: ToolchainMissing { evidence: check.evidence.clone() } })
        }
        _ => Refused::Part(check.clone()),
    });
    let hardware = diagnosis.verdict().err().map(|cause| Refused::Refusal(Refusal::not_ready(cause)));
    let failures = parts.chain(hardware).collect();
    Ok(Box::new(Done { diagnosis, failures }))
}

/// What the driver says of a device that was opened, or not.
fn ask<K: Kernel>(opened: Result<amdxdna::Device<K>, amdxdna::Error>) -> Device {
    let device = match opened {
        Ok(device) => device,
        // Only `open` itself says something of permissions and of the IOMMU.
        Err(error) => {
            let errno = match &error {
                amdxdna::Error::Open { errno, .. } => Some(errno.0),
                _ => None,
            };
            return Device::Refused { errno, answer: error.to_string() };
        }
    };
    let mut unanswered = Vec::new();
    // Others' contexts are asked for before there is one of ours.
    let contexts = answered(device.contexts(), &mut unanswered);
    let firmware = answered(device.firmware_version(), &mut unanswered);
    let clocks = answered(device.clocks(), &mut unanswered);
    let mode = answered(device.power_mode(), &mut unanswered);
    let driver = device.driver();
    Device::Open(DeviceFacts {
        driver: DriverVersion { name: driver.name.clone(), major: driver.major, minor: driver.minor },
        firmware: firmware.map(|version| [version.major, version.minor, version.patch, version.build]),
        clocks: clocks.map(|clocks| Clocks { mp_npu_mhz: clocks.mp_npu.mhz, h_mhz: clocks.h.mhz }),
        power_mode: mode.map(power_mode),
        contexts: contexts.map(|contexts| contexts.iter().map(in_use).collect()),
        trial: trial(&device),
        unanswered,
    })
}

fn answered<T>(answer: Result<T, amdxdna::Error>, unanswered: &mut Vec<String>) -> Option<T> {
    answer.map_err(|error| unanswered.push(error.to_string())).ok()
}

fn power_mode(mode: amdxdna::PowerMode) -> PowerMode {
    match mode {
        amdxdna::PowerMode::Default => PowerMode::Default,
        amdxdna::PowerMode::Low => PowerMode::Low,
        amdxdna::PowerMode::Medium => PowerMode::Medium,
        amdxdna::PowerMode::High => PowerMode::High,
        amdxdna::PowerMode::Turbo => PowerMode::Turbo,
    }
}

fn in_use(context: &amdxdna::ContextInfo) -> ContextInUse {
    ContextInUse {
        id: context.context,
        pid: context.pid,
        start_column: context.first_column,
        columns: context.columns,
        submissions: context.submissions,
        completions: context.completions,
        errors: context.errors,
    }
}

/// Makes a context on all columns and gives it back.
fn trial<K: Kernel>(device: &amdxdna::Device<K>) -> Trial {
    let failed = |step, error: amdxdna::Error| {
        let errno = error.errno().map(|errno| errno.0);
        Trial::Failed { step, errno, answer: error.to_string() }
    };
    if let Err(error) = device.ensure_heap() {
        return failed(TrialStep::Heap, error);
    }
    match device.create_context(ContextConfig::default()) {
        Ok(context) => Trial::Made { columns: context.config().columns },
        Err(error) => failed(TrialStep::Context, error),
    }
}

impl Done {
    fn refusals(&self) -> Vec<Failure> {
        let failure = |refused: &Refused| match refused {
            Refused::Refusal(refusal) => Failure::of(refusal),
            Refused::Part(check) => {
                let failure = Failure::refused(check.clone());
                match &check.remedy {
                    Some(remedy) => failure.with_remedy(remedy),
                    None => failure,
                }
            }
        };
        self.failures.iter().map(failure).collect()
    }
}

impl Report for Done {
    fn json(&self) -> Value {
        let errors: Vec<Value> = self
            .refusals()
            .iter()
            .map(|failure| json!({ "chain": failure.chain(), "remedy": failure.remedy() }))
            .collect();
        json!({ "usable": self.failures.is_empty(), "checks": self.diagnosis.checks, "errors": errors })
    }

    fn table(&self) -> String {
        let width = CheckId::ALL.iter().map(|id| id.name().len()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.diagnosis.checks {
            text.push_str(&format!("{:<7}  {:<width$}  {}\n", check.outcome.name(), check.id.name(), check.evidence));
            if let Some(remedy) = &check.remedy {
                text.push_str(&format!("{:<7}  {:<width$}  -> {remedy}\n", "", ""));
            }
        }
        let verdict =
            if self.failures.is_empty() { "the NPU can be used now" } else { "the NPU cannot be used as asked" };
        text + verdict + "\n"
    }

    fn failures(&self) -> Vec<Failure> {
        self.refusals()
    }
}
