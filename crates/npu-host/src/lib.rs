//! What a machine says about its NPU, and what helps where it says no.
//!
//! ```text
//! Host (a root directory) ──┐
//! Device (driver's answers) ├──► diagnose ──► Diagnosis: a Check per subject ──► Ok, or NotReady
//! Needs (of the model) ─────┘
//! ```
//!
//! Everything that files tell is read below one root, `/` in the program, so that machines can be laid out in a
//! directory. What only the driver tells comes in as [`Device`]; this crate makes no ioctls.
#![forbid(unsafe_code)]

mod check;
mod checks;
mod cpu;
mod device;
mod diagnose;
mod host;
mod pci;
mod verdict;

pub use check::{Check, CheckId, Outcome};
pub use checks::mlir_aie::{AieccPlaces, aiecc};
pub use cpu::{Cpu, Npu, Part};
pub use device::{Clocks, ContextInUse, Device, DeviceFacts, DriverVersion, PowerMode, Trial, TrialStep};
pub use diagnose::{Diagnosis, Needs, diagnose};
pub use host::{Host, Memory, ProcessMemory};
pub use pci::{Function, Generation};
pub use verdict::{Absence, NotReady, Unusable};
