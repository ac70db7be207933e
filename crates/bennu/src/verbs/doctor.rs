//! `bennu doctor`: whether the NPU can be used now, and what helps if not.

use amdxdna::kernel::Kernel;
use amdxdna::{ContextConfig, Options};
use clap::ValueEnum;
use gemma::{Plan, PlanRequest, Refusal, ToolchainMissing};
use npu_host::{
    CheckId, Clocks, ContextInUse, Device, DeviceFacts, Diagnosis, DriverVersion, Needs, PowerMode, Trial, TrialStep,
    diagnose,
};
use npu_package::layout::KvFormat;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::grouped;
use crate::model::{PRESET, outline};
use crate::npu;
use crate::report::Report;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model that is to fit: `gemma3-27b`, a checkpoint, or a packed model
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
    let model = outline(&args.model)?;
    let request =
        PlanRequest { model: &model, context: args.context, chunk: usize::MAX, cache: KvFormat::Bf16, package: None };
    let plan = Plan::new(&request).map_err(super::plan::refused)?;
    let needs = Needs {
        what: format!("{}, {} tokens", plan.model, grouped(plan.context as u64)),
        ram_bytes: plan.ddr.bytes,
        // The driver's buffers are mapped locked.
        locked_bytes: plan.ddr.bytes,
        xrt: args.require.contains(&Part::Xrt),
        mlir_aie: args.require.contains(&Part::MlirAie),
    };
    let host = npu::host();
    let device =
        npu::node(&host).map_or(Device::NoNode, |node| ask(amdxdna::Device::open_node(&node, Options::default())));
    let diagnosis = diagnose(&host, &device, &needs);

    let parts = diagnosis.missing_parts().map(|check| {
        if check.id != CheckId::MlirAie {
            return Refused::Part(check.clone());
        }
        Refused::Refusal(Refusal::MlirAieMissing { source: ToolchainMissing { evidence: check.evidence.clone() } })
    });
    let hardware = diagnosis.verdict().err().map(|cause| Refused::Refusal(Refusal::not_ready(cause)));
    let failures = parts.chain(hardware).collect();
    Ok(Box::new(Done { diagnosis, failures }))
}

/// What the driver says of a device that was opened, or not.
fn ask<K: Kernel>(opened: Result<amdxdna::Device<K>, amdxdna::Error>) -> Device {
    let device = match opened {
        Ok(device) => device,
        Err(error) => return npu::refused(&error),
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

#[cfg(test)]
mod tests {
    use amdxdna::{Errno, Ioctl};
    use amdxdna_fake::{Driver, FakeKernel};

    use super::*;

    fn facts(fake: &FakeKernel) -> DeviceFacts {
        match ask(fake.open(Options::default())) {
            Device::Open(facts) => facts,
            device => panic!("{device:?}"),
        }
    }

    #[test]
    fn every_driver_makes_the_trial_and_is_left_as_it_was() {
        for driver in Driver::all() {
            let (name, (major, minor)) = (driver.name, driver.version);
            let fake = FakeKernel::new(driver);
            let facts = facts(&fake);
            assert_eq!(facts.driver, DriverVersion { name: name.to_owned(), major, minor });
            assert_eq!(facts.trial, Trial::Made { columns: 4 });
            assert_eq!((facts.contexts, facts.power_mode), (Some(Vec::new()), Some(PowerMode::Default)));
            assert!(facts.firmware.is_some() && facts.clocks.is_some() && facts.unanswered.is_empty());
            assert!(fake.counts().is_zero(), "{:?}", fake.counts());
        }
    }

    #[test]
    fn contexts_of_others_are_seen() {
        let fake = FakeKernel::new(Driver::current());
        let other = fake.open(Options::default()).unwrap();
        let context = other.create_context(ContextConfig { columns: 2, ..Default::default() }).unwrap();
        let contexts = facts(&fake).contexts.unwrap();
        assert_eq!(contexts.iter().map(|context| context.columns).collect::<Vec<_>>(), [2]);
        drop(context);
    }

    #[test]
    fn open_is_refused_with_its_number() {
        let fake = FakeKernel::new(Driver::current());
        fake.fail_open(Errno::EACCES);
        let Device::Refused { errno, answer } = ask(fake.open(Options::default())) else { panic!() };
        assert_eq!(errno, Some(13));
        assert!(answer.contains("/dev/accel/accel0") && answer.contains("EACCES"), "{answer}");
    }

    #[test]
    fn a_first_question_that_fails_says_nothing_of_permissions_or_iommu() {
        let fake = FakeKernel::new(Driver::current());
        fake.fail(Ioctl::GetInfo, 0, Errno::EINVAL);
        let Device::Refused { errno, answer } = ask(fake.open(Options::default())) else { panic!() };
        assert_eq!(errno, None);
        assert!(answer.contains("AIE_METADATA"), "{answer}");
    }

    #[test]
    fn a_trial_that_fails_names_step_and_number() {
        let fake = FakeKernel::new(Driver::current());
        fake.fail(Ioctl::CreateHwctx, 0, Errno::EINVAL);
        let Trial::Failed { step: TrialStep::Context, errno: Some(22), answer } = facts(&fake).trial else { panic!() };
        assert!(answer.contains("EINVAL"), "{answer}");

        let fake = FakeKernel::new(Driver { memlock: 8 << 20, ..Driver::current() });
        let Trial::Failed { step: TrialStep::Heap, errno, answer } = facts(&fake).trial else { panic!() };
        assert!([Some(1), Some(11), Some(12)].contains(&errno) && answer.contains("device heap"), "{errno:?} {answer}");
        assert!(fake.counts().is_zero());
    }

    #[test]
    fn questions_without_an_answer_are_told() {
        let fake = FakeKernel::new(Driver { info: &[1, 2, 3, 5, 8], ..Driver::mainline_6_14() });
        let facts = facts(&fake);
        assert_eq!(facts.power_mode, None);
        assert!(matches!(&facts.unanswered[..], [one] if one.contains("POWER_MODE")), "{:?}", facts.unanswered);
    }
}
