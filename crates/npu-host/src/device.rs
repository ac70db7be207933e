//! What only the driver tells, as plain data: whoever makes the ioctls fills it in.

/// The device as the driver answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// There is no node to open.
    NoNode,
    /// Opening the node, or the first question to it, was refused.
    Refused {
        /// Error number, if the answer was one.
        errno: Option<i32>,
        /// The call and its answer, in words.
        answer: String,
    },
    /// It is open.
    Open(DeviceFacts),
}

/// Answers of an open device. A query that the driver does not know is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Version the driver reports.
    pub driver: DriverVersion,
    /// Version of the running firmware.
    pub firmware: Option<[u32; 4]>,
    /// Clocks.
    pub clocks: Option<Clocks>,
    /// Power mode.
    pub power_mode: Option<PowerMode>,
    /// Contexts of all processes but this one.
    pub contexts: Option<Vec<ContextInUse>>,
    /// What became of a context of our own.
    pub trial: Trial,
    /// Questions that the driver did not answer, each with what it said instead.
    pub unanswered: Vec<String>,
}

/// Version of the driver, from `DRM_IOCTL_VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverVersion {
    /// `amdxdna_accel_driver`.
    pub name: String,
    /// Major version: 0 of the kernel's own driver, 1 of AMD's older one out of tree.
    pub major: i32,
    /// Minor version.
    pub minor: i32,
}

/// Clocks in MHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Of the management processor.
    pub mp_npu_mhz: u32,
    /// Of the array.
    pub h_mhz: u32,
}

/// Power mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerMode {
    /// Follows what contexts ask for.
    Default,
    /// Lowest clocks.
    Low,
    /// Middle clocks.
    Medium,
    /// Highest clocks.
    High,
    /// Highest clocks, clock gating off.
    Turbo,
}

impl PowerMode {
    /// As `xrt-smi` has it.
    pub const fn name(self) -> &'static str {
        match self {
            PowerMode::Default => "default",
            PowerMode::Low => "low",
            PowerMode::Medium => "medium",
            PowerMode::High => "high",
            PowerMode::Turbo => "turbo",
        }
    }
}

/// A context that another process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextInUse {
    /// Number.
    pub id: u32,
    /// Its process.
    pub pid: i64,
    /// First column.
    pub start_column: u32,
    /// Columns.
    pub columns: u32,
    /// Commands given to it.
    pub submissions: u64,
    /// Commands done.
    pub completions: u64,
    /// Commands failed.
    pub errors: u64,
}

/// What became of a context of our own on all columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// Made and given back.
    Made {
        /// Its columns.
        columns: u32,
    },
    /// A step failed.
    Failed {
        /// The step.
        step: TrialStep,
        /// Its error number, if the answer was one.
        errno: Option<i32>,
        /// The call and its answer, in words.
        answer: String,
    },
}

/// A step of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialStep {
    /// Allocating and mapping the device heap of 64 MiB.
    Heap,
    /// Creating the context.
    Context,
}
