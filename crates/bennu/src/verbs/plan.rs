//! `bennu plan`: what lives in which memory, and whether it fits.

use std::path::PathBuf;

use gemma::{Item, Plan, PlanError, PlanRequest, Refusal, Tiles, largest_context};
use npu_host::{Memory, ProcessMemory};
use npu_package::Package;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::model::{PRESET, outline};
use crate::npu;
use crate::report::Report;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model: `gemma3-27b`, a checkpoint, or a packed model
    #[arg(long, value_name = "NAME|DIR", default_value = PRESET)]
    model: String,

    /// Tokens of context
    #[arg(long, value_name = "N", default_value_t = 8192)]
    context: usize,

    /// New tokens taken at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=512))]
    seq: u32,

    /// Compiled kernels, for what they use of L1, L2 and the device heap
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,

    /// Memory to fit into, e.g. 24GiB; else what the machine has available
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  bennu plan
  bennu plan --model gemma-3-27b-it-int8 --context 32768
  bennu plan --context 131072 --package gemma3-27b-npu --budget 24GiB --json

Nothing is allocated. A plan that does not fit is printed and refused, with the largest context that would fit.";

/// Bytes of "24GiB", "512MiB" or "1000000".
fn size(text: &str) -> Result<u64, String> {
    let (number, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    let number: u64 = number.trim().parse().map_err(|_| "not a number of bytes, KiB, MiB or GiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than there are addresses".to_owned())
}

struct Done {
    plan: Plan,
    budget: Budget,
    machine: Option<Memory>,
    process: Option<ProcessMemory>,
    largest_context: Option<usize>,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy)]
enum Budget {
    Asked(u64),
    Available(u64),
}

impl Budget {
    fn bytes(self) -> u64 {
        match self {
            Budget::Asked(bytes) | Budget::Available(bytes) => bytes,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("/proc/meminfo does not tell how much memory is available")]
struct NoBudget;

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let model = outline(&args.model)?;
    let package = args.package.as_ref().map(Package::open).transpose().map_err(Failure::of_package)?;
    let host = npu::host();
    let machine = host.memory();
    let budget = match (args.budget, machine) {
        (Some(bytes), _) => Budget::Asked(bytes),
        (None, Some(memory)) => Budget::Available(memory.available),
        (None, None) => return Err(Failure::refused(NoBudget).with_remedy("give --budget")),
    };
    let request = PlanRequest {
        model: &model,
        context: args.context,
        chunk: args.seq as usize,
        package: package.as_ref().map(Package::manifest),
    };
    let plan = Plan::new(&request).map_err(refused)?;
    let refusal = plan.fit(&request, budget.bytes()).err();
    let whole = PlanRequest { context: model.max_positions, ..request };
    let largest_context = largest_context(&whole, budget.bytes());
    Ok(Box::new(Done { plan, budget, machine, process: host.process_memory(), largest_context, refusal }))
}

/// A plan that cannot be made.
pub(super) fn refused(error: PlanError) -> Failure {
    let remedy = match &error {
        PlanError::Context { limit, .. } => Some(format!("choose a context of 1 to {limit} tokens")),
        PlanError::OtherModel { .. } => Some("run `bennu compile --model` for this model".to_owned()),
        PlanError::Layout(_) | PlanError::Package(_) => None,
    };
    let failure = Failure::refused(error);
    match remedy {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}

impl Report for Done {
    fn json(&self) -> Value {
        json!({
            "plan": self.plan,
            "budget_bytes": self.budget.bytes(),
            "fits": self.refusal.is_none(),
            "largest_context": self.largest_context,
            "machine": self.machine,
            "process": self.process,
            "weights": WEIGHTS,
        })
    }

    fn table(&self) -> String {
        let plan = &self.plan;
        let mut lines = Columns::new("lrl");
        tiles(&mut lines, "L1", &plan.l1);
        tiles(&mut lines, "L2", &plan.l2);
        let heap = &plan.heap;
        let used = heap.bytes.map_or_else(|| "?".to_owned(), binary_bytes);
        lines.row(["device heap".into(), used, format!("of {}", binary_bytes(heap.capacity_bytes))]);
        items(&mut lines, &heap.items);
        let budget = match self.budget {
            Budget::Asked(bytes) => format!("of {}, the budget given", binary_bytes(bytes)),
            Budget::Available(bytes) => format!("of {} available on this machine", binary_bytes(bytes)),
        };
        lines.row(["DDR, shared with CPU and iGPU".into(), binary_bytes(plan.ddr.bytes), budget]);
        items(&mut lines, &plan.ddr.items);

        let mut facts = Columns::new("ll");
        let mut fact = |name: &str, value: String| facts.row([name.to_owned(), value]);
        fact("fits", if self.refusal.is_none() { "yes" } else { "no" }.to_owned());
        let largest = match self.largest_context {
            Some(tokens) => format!("{} tokens", grouped(tokens as u64)),
            None => "none".to_owned(),
        };
        fact("largest context that fits", largest);
        fact("weights", WEIGHTS.to_owned());
        if let Some(machine) = self.machine {
            let words = format!("{}, {} available", binary_bytes(machine.total), binary_bytes(machine.available));
            fact("machine, measured", words);
        }
        if let Some(process) = self.process {
            let words = format!(
                "resident {}, at most {}; locked {}, pinned {}",
                binary_bytes(process.resident_bytes),
                binary_bytes(process.peak_bytes),
                binary_bytes(process.locked_bytes),
                binary_bytes(process.pinned_bytes)
            );
            fact("this process, measured", words);
        }
        for note in &plan.notes {
            fact("note", note.clone());
        }
        format!(
            "{}, context of {} tokens, {} at once\n{}\n{}",
            plan.model,
            grouped(plan.context as u64),
            plan.chunk,
            lines.render(),
            facts.render()
        )
    }

    fn failures(&self) -> Vec<Failure> {
        self.refusal.iter().map(Failure::of).collect()
    }
}

/// How weights reach the NPU.
// SOURCE: drivers/accel/amdxdna/amdxdna_ubuf.c pins user pages with FOLL_WRITE | FOLL_LONGTERM; mm/gup.c lets devices keep pages of files
// in memory (tmpfs, hugetlbfs) only.
const WEIGHTS: &str = "mapped once; given to the NPU as mapped where driver and file system allow it (files on tmpfs or hugetlbfs), else by one copy \
                       into buffers that it reads where they lie. As many bytes either way: pages of copied files on disk are given back";

fn tiles(lines: &mut Columns, name: &str, tiles: &Tiles) {
    let turns = if tiles.in_turns { "; the largest kernel, they take turns" } else { "" };
    lines.row([
        format!("{name}, each of {} tiles", tiles.tiles),
        binary_bytes(tiles.bytes_per_tile),
        format!("of {}{turns}", binary_bytes(tiles.capacity_bytes_per_tile)),
    ]);
    items(lines, &tiles.items);
}

fn items(lines: &mut Columns, items: &[Item]) {
    for item in items {
        lines.row([format!("  {}", item.what), binary_bytes(item.bytes), String::new()]);
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(size("24GiB"), Ok(24 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("1000"), Ok(1000));
        for wrong in ["", "GiB", "1.5GiB", "-1", "24GB", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
