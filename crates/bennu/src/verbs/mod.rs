//! The verbs. A new one is a file here, a variant of [`Verb`] and an arm of [`Verb::run`].

mod attend;
mod attention;
mod bench;
mod bringup;
mod compile;
mod disasm;
mod doctor;
mod group_scales;
mod inspect;
mod mlir_aie;
mod pack;
mod plan;
mod quantize;
mod schedule;
mod top;

use clap::Subcommand;

use crate::failure::Failure;
use crate::report::Report;

/// What bennu can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Tell what a checkpoint is and what the NPU needs for it
    Inspect(inspect::Args),
    /// Convert a BF16, F16 or F32 checkpoint to INT8 with BF16 scales
    Quantize(quantize::Args),
    /// Lay out the weights of a quantised checkpoint for the kernels
    Pack(pack::Args),
    /// Compile the kernels of a model to an NPU package
    Compile(compile::Args),
    /// Bring up a real NPU step by step, and write a report of it
    Bringup(bringup::Args),
    /// Measure latency, bandwidth and every kernel's time on the NPU
    Bench(bench::Args),
    /// Tell whether the NPU can be used now, and what helps if not
    Doctor(doctor::Args),
    /// Compute the attention of one layer on the NPU
    Attend(Box<attend::Args>),
    /// Tell what lives in which memory, and whether it fits
    Plan(plan::Args),
    /// Watch the NPU: contexts, clocks, power, utilisation
    Top(top::Args),
    /// Show the bundles of a kernel's core program, slot by slot
    Schedule(schedule::Args),
    /// Show a PDI, CDO, xclbin, TXN stream or core program as text
    Disasm(disasm::Args),
}

impl Verb {
    /// Does it; `json` is the form in which verbs print that print while they run.
    pub fn run(self, json: bool) -> Result<Box<dyn Report>, Failure> {
        match self {
            Verb::Inspect(args) => inspect::run(&args),
            Verb::Quantize(args) => quantize::run(&args),
            Verb::Pack(args) => pack::run(&args),
            Verb::Compile(args) => compile::run(&args),
            Verb::Bringup(args) => bringup::run(&args),
            Verb::Bench(args) => bench::run(&args),
            Verb::Doctor(args) => doctor::run(&args),
            Verb::Attend(args) => attend::run(&args),
            Verb::Plan(args) => plan::run(&args),
            Verb::Top(args) => top::run(&args, json),
            Verb::Schedule(args) => schedule::run(&args),
            Verb::Disasm(args) => disasm::run(&args),
        }
    }
}
