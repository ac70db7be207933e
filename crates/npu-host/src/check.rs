//! A check: what was asked, the answer, what it rests on, and what helps.

use std::fmt;

use serde::Serialize;

/// What is checked, in the order of the report: each needs those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckId {
    /// The PCI function of the NPU, its revision, and the CPU it belongs to.
    Device,
    /// Kernel version, options and command line.
    Kernel,
    /// The driver: there, loaded, bound to the device, and its version.
    Driver,
    /// The firmware file, and that driver and firmware speak one protocol.
    Firmware,
    /// The device node and who may open it.
    Node,
    /// IOMMU and shared virtual addresses.
    Iommu,
    /// The limit of locked memory.
    Memlock,
    /// Memory of the machine.
    Ram,
    /// Clocks and power mode.
    Power,
    /// Contexts of other processes.
    Contexts,
    /// A context of our own: made and given back.
    Trial,
    /// XRT, which bennu does not need.
    Xrt,
    /// MLIR-AIE, which bennu does not need.
    MlirAie,
}

impl CheckId {
    /// All, in order.
    pub const ALL: [Self; 13] = [
        Self::Device,
        Self::Kernel,
        Self::Driver,
        Self::Firmware,
        Self::Node,
        Self::Iommu,
        Self::Memlock,
        Self::Ram,
        Self::Power,
        Self::Contexts,
        Self::Trial,
        Self::Xrt,
        Self::MlirAie,
    ];

    /// As reports and documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Kernel => "kernel",
            Self::Driver => "driver",
            Self::Firmware => "firmware",
            Self::Node => "node",
            Self::Iommu => "iommu",
            Self::Memlock => "memlock",
            Self::Ram => "ram",
            Self::Power => "power",
            Self::Contexts => "contexts",
            Self::Trial => "trial",
            Self::Xrt => "xrt",
            Self::MlirAie => "mlir-aie",
        }
    }

    /// Whether bennu runs without it.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Xrt | Self::MlirAie)
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answer of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// The NPU can be used, less well than it could be.
    Warn,
    /// The NPU cannot be used because of this.
    Fail,
    /// The machine does not tell; a later check decides.
    Unknown,
    /// Makes no sense before an earlier check passes, or was not asked for.
    Skipped,
}

impl Outcome {
    /// As reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// A check with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{id}: {evidence}")]
pub struct Check {
    /// What was checked.
    pub id: CheckId,
    /// The answer.
    pub outcome: Outcome,
    /// What the answer rests on.
    pub evidence: String,
    /// What to do about it; always there if the answer is [`Outcome::Fail`] or [`Outcome::Warn`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    pub(crate) fn pass(id: CheckId, evidence: impl Into<String>) -> Self {
        Check { id, outcome: Outcome::Pass, evidence: evidence.into(), remedy: None }
    }

    pub(crate) fn warn(id: CheckId, evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Check { id, outcome: Outcome::Warn, evidence: evidence.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn fail(id: CheckId, evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Check { id, outcome: Outcome::Fail, evidence: evidence.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn unknown(id: CheckId, evidence: impl Into<String>) -> Self {
        Check { id, outcome: Outcome::Unknown, evidence: evidence.into(), remedy: None }
    }

    pub(crate) fn skipped(id: CheckId, evidence: impl Into<String>) -> Self {
        Check { id, outcome: Outcome::Skipped, evidence: evidence.into(), remedy: None }
    }
}
