//! All checks, in order.

use serde::Serialize;

use crate::check::{Check, CheckId, Outcome};
use crate::checks;
use crate::cpu::Cpu;
use crate::device::Device;
use crate::host::Host;
use crate::pci::{Function, Generation};
use crate::verdict::{NotReady, Unusable};

/// What the model asks of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// For whom: model and context, in words.
    pub what: String,
    /// Bytes of memory.
    pub ram_bytes: u64,
    /// Bytes of memory that are locked.
    pub locked_bytes: u64,
    /// Whether XRT is asked for.
    pub xrt: bool,
    /// Whether MLIR-AIE is asked for.
    pub mlir_aie: bool,
}

/// What a check sees.
pub(crate) struct Subject<'a> {
    pub(crate) host: &'a Host,
    pub(crate) cpu: Option<Cpu>,
    /// The NPU that bennu compiles for.
    pub(crate) npu: Option<Function>,
    /// NPUs of other generations.
    pub(crate) others: Vec<Function>,
    pub(crate) device: &'a Device,
    pub(crate) needs: &'a Needs,
}

/// Every check with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// One per [`CheckId`], in order.
    pub checks: Vec<Check>,
    #[serde(skip)]
    absence: Option<crate::verdict::Absence>,
}

/// Checks a machine. `device` is what the driver says, `needs` what the model asks for.
pub fn diagnose(host: &Host, device: &Device, needs: &Needs) -> Diagnosis {
    let (npu, others) = Function::all(host).into_iter().partition::<Vec<_>, _>(|f| f.generation == Generation::Npu1);
    let subject = Subject { host, cpu: Cpu::of(host), npu: npu.into_iter().next(), others, device, needs };
    let absence = checks::device::absence(&subject);
    let checks = CheckId::ALL.into_iter().map(|id| checks::run(id, &subject, absence.as_ref())).collect();
    Diagnosis { checks, absence }
}

impl Diagnosis {
    /// The check of an id.
    pub fn check(&self, id: CheckId) -> &Check {
        // PANIC: `diagnose` makes one of each.
        self.checks.iter().find(|check| check.id == id).expect("every check was made")
    }

    /// Parts that bennu does not need, were asked for and are missing.
    pub fn missing_parts(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.id.is_optional() && check.outcome == Outcome::Fail)
    }

    /// Whether the NPU can be used now, optional parts apart. A context must have been made: files alone never prove it.
    pub fn verdict(&self) -> Result<(), NotReady> {
        if let Some(absence) = &self.absence {
            return Err(absence.clone().into());
        }
        let mut failed: Vec<Check> = self
            .checks
            .iter()
            .filter(|check| !check.id.is_optional() && check.outcome == Outcome::Fail)
            .cloned()
            .collect();
        // A driver whose start-up failed for its firmware is the consequence.
        failed.sort_by_key(|check| (check.id != CheckId::Kernel, check.id != CheckId::Firmware, check.id));
        let trial = self.check(CheckId::Trial);
        if failed.is_empty() && !matches!(trial.outcome, Outcome::Pass | Outcome::Warn) {
            failed.push(trial.clone());
        }
        if failed.is_empty() { Ok(()) } else { Err(Unusable { failed }.into()) }
    }
}
