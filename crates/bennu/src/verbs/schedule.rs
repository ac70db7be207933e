//! `bennu schedule`: when every instruction of a kernel's core program issues.

use std::collections::BTreeMap;
use std::sync::Arc;

use aie2_codegen::{Line, LoopReport, Program};
use aie2_kernels::decode_projection::{self, DecodeProjection};
use aie2_kernels::w8a8::Projection;
use aie2_kernels::{Compiled, KERNELS, WeightScales, w8a16};
use npu_package::layout::{Activations, GroupSize, KvFormat, ProjectionKind, ProjectionShape};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model::{PRESET, dims};
use crate::report::Report;
use crate::verbs::attention;
use crate::verbs::group_scales::GroupKernel;

/// Arguments of `schedule`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Kernel to compile
    #[arg(default_value = w8a16::NAME)]
    kernel: String,

    /// Model: `gemma3-27b`, or a checkpoint whose dimensions are used
    #[arg(long, value_name = "NAME|DIR", default_value = PRESET)]
    model: String,

    /// Sequence length in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    seq: usize,

    /// Show this loop only
    #[arg(long = "loop", value_name = "NAME")]
    only: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bennu schedule
  bennu schedule w8a8_qkv_projection --seq 64 --loop gemm
  bennu schedule --model gemma-3-27b-it-int8 --loop scale | less -S
  bennu schedule --json | jq -r '.bundles[] | select(.slots.vec) | \"\\(.pc) \\(.slots.vec)\"'

A row is a bundle; all compute tiles run the same program.
  pc     address in program memory, hexadecimal; with `*`, the bundle reads a register on purpose
         while its next value is on the way
  place  region and cycle in it. Straight code is `block N`. Of a pipelined loop there are
         `prologue`, `steady` (one round of the hardware loop), `epilogue`, and `wait`, the empty
         bundles in front; `flat` is a loop unrolled; issue times by hand have cycles only
  lda .. the instruction in each slot; `lng` shares its column with `alu` and excludes `mv`
  lands  registers whose new value can be read from this bundle on: it lives from here to its last
         reader, and what issues earlier reads the old one. Results ready in the next bundle, and
         status bits, are not listed. Rows are followed straight on: what the last bundles of a
         round produce stands behind the loop
With --loop a chart of lifetimes closes the table: a row for each register that the loop writes, a
column for each of its bundles, `#` from the bundle in which a result can first be read to its last
reader, around the loop. The lines below the table are the loops: `res_mii` is the bound by slots, ports and banks, `rec_mii`
that by recurrences; both are 0 where issue times are by hand.";

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum ScheduleError {
    #[error("there is no kernel {asked:?}; there are {}", KERNELS.join(", "))]
    Kernel { asked: String },
    #[error(
        "{asked} does not serve {seq} tokens: decode_attention takes 1 to 4, scaled_attention and w8a16_attention more"
    )]
    Length { asked: String, seq: usize },
    #[error("{kernel} has no loop {asked:?}; it has {}", loops.join(", "))]
    Loop { kernel: &'static str, asked: String, loops: Vec<String> },
}

/// The schedule of one kernel.
#[derive(Debug)]
struct Schedule {
    kernel: &'static str,
    seq: usize,
    program: Program,
    only: Option<String>,
}

fn compile(args: &Args) -> Result<Compiled, Failure> {
    let dims = dims(&args.model)?;
    let name = args.kernel.as_str();
    let cache = if name.ends_with("_kv8") { KvFormat::Int8 } else { KvFormat::Bf16 };
    let formats = attention::Formats { activations: Activations::Int16, groups: None, cache };
    let kernels = attention::kernels(&dims, &[args.seq], 0, args.seq, formats);
    if let Some(kernel) = kernels.into_iter().find(|k| k.name() == name) {
        return Ok(kernel.compile().map_err(Failure::refused)?.0);
    }
    let model = gemma::package_dims(&dims);
    for kind in ProjectionKind::ALL {
        let panels = model.panels(kind).map_err(Failure::refused)?;
        for activations in [Activations::Int16, Activations::Int8] {
            let scales = WeightScales::PerChannel;
            let shape = ProjectionShape::with_activations(args.seq, panels, activations).map_err(Failure::refused)?;
            let projection = Projection::of(shape, scales).map_err(Failure::refused)?;
            if projection.name() == name {
                return projection.compile().map_err(Failure::refused);
            }
            if decode_projection::name(kind, activations) == name {
                let projection = DecodeProjection::new(args.seq, panels, activations, scales);
                return projection.and_then(|projection| projection.compile()).map_err(Failure::refused);
            }
        }
    }
    for (kind, size) in ProjectionKind::ALL.into_iter().flat_map(|kind| GroupSize::ALL.map(|size| (kind, size))) {
        let panels = model.panels(kind).map_err(Failure::refused)?;
        if let Ok(kernels) = GroupKernel::all(args.seq, panels, size)
            && let Some(kernel) = kernels.into_iter().find(|kernel| kernel.name() == name)
        {
            return kernel.compile().map_err(Failure::refused);
        }
    }
    let asked = args.kernel.clone();
    if KERNELS.contains(&name) {
        // attention has a kernel for few tokens and one for many
        return Err(
            Failure::refused(ScheduleError::Length { asked, seq: args.seq }).with_remedy("choose another --seq")
        );
    }
    Err(Failure::refused(ScheduleError::Kernel { asked }).with_remedy("name one of these, or none"))
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let compiled = compile(args)?;
    // PANIC: a compiled kernel has at least one core.
    let (_, core) = compiled.cores.into_iter().next().expect("a kernel runs on cores");
    if let Some(asked) = &args.only
        && !core.loops.iter().any(|l| l.name == *asked)
    {
        let mut loops: Vec<String> = core.loops.into_iter().map(|l| l.name).collect();
        loops.dedup();
        let error = ScheduleError::Loop { kernel: compiled.kernel, asked: asked.clone(), loops };
        return Err(Failure::refused(error).with_remedy("name one of these"));
    }
    let mut program = Arc::unwrap_or_clone(core.schedule);
    // A loop with issue times by hand is declared by its kernel, not to the compiler.
    for (report, promised) in program.loops.iter_mut().zip(&core.loops) {
        report.ii_declared = (promised.ii_declared > 0).then_some(promised.ii_declared);
    }
    Ok(Box::new(Schedule { kernel: compiled.kernel, seq: args.seq, program, only: args.only.clone() }))
}

impl Schedule {
    fn shows(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

impl Report for Schedule {
    fn json(&self) -> Value {
        let loops = self.program.loops.iter().filter(|report| self.shows(&report.name));
        let bundles = self.program.lines.iter().filter(|l| self.only.as_ref().is_none_or(|only| l.is_of_loop(only)));
        json!({
            "kernel": self.kernel,
            "seq": self.seq,
            "loops": loops.map(loop_json).collect::<Vec<_>>(),
            "bundles": bundles.map(bundle_json).collect::<Vec<_>>(),
        })
    }

    fn table(&self) -> String {
        let table = match &self.only {
            Some(name) => self.program.listing_of_loop(name),
            None => self.program.listing(),
        };
        format!("{}, S = {}\n\n{table}", self.kernel, self.seq)
    }
}

fn loop_json(report: &LoopReport) -> Value {
    json!({
        "name": report.name,
        "ii_declared": report.ii_declared.unwrap_or(0),
        "ii_reached": report.ii_reached,
        "vmac_per_ii": report.vmac_per_ii,
        "res_mii": report.res_mii,
        "rec_mii": report.rec_mii,
        "stages": report.stages,
        "pc": report.pc,
    })
}

fn bundle_json(line: &Line) -> Value {
    let slots: BTreeMap<String, String> =
        line.bundle.iter().map(|insn| (insn.slot().to_string(), insn.to_string())).collect();
    json!({ "pc": line.pc, "bytes": line.bytes, "place": line.place, "slots": slots, "lands": line.lands })
}
