//! The checks, a file each.

pub(crate) mod contexts;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod firmware;
pub(crate) mod iommu;
pub(crate) mod kernel;
pub(crate) mod memlock;
pub(crate) mod mlir_aie;
pub(crate) mod node;
pub(crate) mod power;
pub(crate) mod ram;
pub(crate) mod trial;
pub(crate) mod xrt;

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;
use crate::pci::Function;
use crate::verdict::Absence;

/// Makes one check.
pub(crate) fn run(id: CheckId, subject: &Subject<'_>, absence: Option<&Absence>) -> Check {
    let with = |check: fn(&Subject<'_>, &Function) -> Check| match &subject.npu {
        Some(npu) => check(subject, npu),
        None => Check::skipped(id, "there is no Phoenix NPU"),
    };
    match id {
        CheckId::Device => device::check(subject, absence),
        CheckId::Kernel => kernel::check(subject),
        CheckId::Driver => with(driver::check),
        CheckId::Firmware => with(firmware::check),
        CheckId::Node => with(node::check),
        CheckId::Iommu => with(iommu::check),
        CheckId::Memlock => memlock::check(subject),
        CheckId::Ram => ram::check(subject),
        CheckId::Power => with(power::check),
        CheckId::Contexts => with(contexts::check),
        CheckId::Trial => with(trial::check),
        CheckId::Xrt => xrt::check(subject),
        CheckId::MlirAie => mlir_aie::check(subject),
    }
}
