//! `bennu plan`: what lives in which memory, and whether it fits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aie2_kernels::Compiled;
use gemma::{
    Item, LayerShare, Outline, PackedWeights, Plan, PlanError, PlanRequest, Refusal, Tiles, largest_context,
    package_dims,
};
use npu_host::{Host, Memory, ProcessMemory};
use npu_package::layout::KvFormat;
use npu_package::{FileEntry, LayerFile, Manifest, PACKED_FILE, Package, PackageError, Program};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::model::{PRESET, outline};
use crate::npu;
use crate::progress::Progress;
use crate::report::Report;
use crate::verbs::compile::{self, KvCache, NotBuilt, Numerics, Sink, Wanted};

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

    /// Compiled kernels, for what they use of L1, L2 and the device heap; without it they are compiled and thrown away
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,

    /// Elements of the key-value cache; by default those of the package
    #[arg(long, value_enum)]
    kv_cache: Option<KvCache>,

    /// Maps the weights of every layer of a packed model, checks them, and measures what this process has then
    #[arg(long)]
    map: bool,

    /// Memory to fit into, e.g. 24GiB; else what the machine has available
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  bennu plan
  bennu plan --model gemma-3-27b-it-int8 --context 32768
  bennu plan --context 131072 --package gemma3-27b-npu --budget 24GiB --json
  bennu plan --model packed --map

Without --map nothing is allocated. A plan that does not fit is printed and refused, with the largest context that would fit.";

/// Bytes of "24GiB", "512MiB" or "1000000".
fn size(text: &str) -> Result<u64, String> {
    let (number, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    let number: u64 = number.trim().parse().map_err(|_| "not a number of bytes, KiB, MiB or GiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than there are addresses".to_owned())
}

/// Sizes of files that are not kept.
#[derive(Default)]
struct Sizes(BTreeMap<String, FileEntry>);

impl Sink for Sizes {
    fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), PackageError> {
        let entry = FileEntry { bytes: contents.len() as u64, sha256: String::new() };
        self.0.insert(name.to_owned(), entry);
        Ok(())
    }

    // other forms are asked of `bennu compile` alone
    fn module(&mut self, _stem: &str, _compiled: &Compiled, _programs: &[Program]) -> Result<(), Failure> {
        Ok(())
    }
}

/// The manifest that `bennu compile` would write for decoding and for chunks at the end of the context, where streams are longest.
fn compiled(
    model: &Outline,
    request: &PlanRequest<'_>,
    progress: &Progress,
) -> Result<(Manifest, Vec<NotBuilt>), Failure> {
    let chunk = request.chunk.min(request.context);
    let wanted = Wanted {
        dims: &model.dims,
        lengths: &[1, chunk],
        numerics: Numerics::W8a16,
        groups: model.groups,
        history: request.context - chunk,
        context: request.context,
        cache: request.cache,
    };
    let mut sizes = Sizes::default();
    let (kernels, refused) = compile::build(&wanted, &mut sizes, progress)?;
    let manifest = Manifest { digests: sizes.0, ..compile::manifest(package_dims(&model.dims), kernels) };
    Ok((manifest, refused))
}

/// A packed model's weights, mapped.
struct Mapped {
    layers: usize,
    files: usize,
    bytes: u64,
    before: Option<ProcessMemory>,
    after: Option<ProcessMemory>,
}

#[derive(Debug, thiserror::Error)]
#[error("{model} is not a packed model")]
struct NotPacked {
    model: String,
}

impl Mapped {
    /// Maps every file of every layer at once and compares each with its digest.
    fn all(model: &str, host: &Host, progress: &Progress) -> Result<Self, Failure> {
        if !Path::new(model).join(PACKED_FILE).is_file() {
            let error = NotPacked { model: model.to_owned() };
            return Err(Failure::refused(error).with_remedy("give --model the directory that `bennu pack` wrote"));
        }
        let weights = PackedWeights::open(Path::new(model))?;
        let before = host.process_memory();
        let mut maps = Vec::new();
        let layers = &weights.model().description().layers;
        for entry in layers {
            for file in LayerFile::ALL {
                if progress.interrupted().load(std::sync::atomic::Ordering::Relaxed) {
                    return Err(Failure::refused(Interrupted));
                }
                maps.push(weights.layer(entry.layer, file)?);
            }
        }
        let bytes = maps.iter().map(|map| map.len() as u64).sum();
        Ok(Self { layers: layers.len(), files: maps.len(), bytes, before, after: host.process_memory() })
    }

    /// What the mappings added to the process.
    fn resident(&self) -> Option<u64> {
        Some(self.after?.resident_bytes.saturating_sub(self.before?.resident_bytes))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("interrupted; nothing is left mapped")]
struct Interrupted;

struct Done {
    plan: Plan,
    mapped: Option<Mapped>,
    /// Kernels that do not serve the model, if they were compiled for the plan.
    not_built: Vec<NotBuilt>,
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
    let progress = Progress::with_interrupt()?;
    let model = outline(&args.model)?;
    let package = args.package.as_ref().map(Package::open).transpose().map_err(Failure::of_package)?;
    let host = npu::host();
    let machine = host.memory();
    let budget = match (args.budget, machine) {
        (Some(bytes), _) => Budget::Asked(bytes),
        (None, Some(memory)) => Budget::Available(memory.available),
        (None, None) => return Err(Failure::refused(NoBudget).with_remedy("give --budget")),
    };
    let cache = match (args.kv_cache, &package) {
        (Some(cache), _) => cache.into(),
        (None, Some(package)) => gemma::attend::cache_of(package),
        (None, None) => KvFormat::Bf16,
    };
    let mut request = PlanRequest {
        model: &model,
        context: args.context,
        chunk: args.seq as usize,
        cache,
        package: package.as_ref().map(Package::manifest),
    };
    // What cannot be planned needs no kernels.
    Plan::new(&request).map_err(refused)?;
    progress.spin("compiling");
    let (manifest, not_built) = match &package {
        Some(_) => (None, Vec::new()),
        None => {
            let (manifest, not_built) = compiled(&model, &request, &progress)?;
            (Some(manifest), not_built)
        }
    };
    request.package = request.package.or(manifest.as_ref());
    let plan = Plan::new(&request).map_err(refused)?;
    let refusal = plan.fit(&request, budget.bytes()).err();
    let whole = PlanRequest { context: model.max_positions, ..request };
    let largest_context = largest_context(&whole, budget.bytes());
    let mapped = match (args.map, &refusal) {
        (true, None) => {
            progress.spin("mapping");
            Some(Mapped::all(&args.model, &host, &progress)?)
        }
        (true, Some(_)) | (false, _) => None,
    };
    Ok(Box::new(Done {
        plan,
        mapped,
        not_built,
        budget,
        machine,
        process: host.process_memory(),
        largest_context,
        refusal,
    }))
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
            "not_built": self.not_built,
            "mapped": self.mapped.as_ref().map(|mapped| json!({
                "layers": mapped.layers,
                "files": mapped.files,
                "bytes": mapped.bytes,
                "resident_bytes": mapped.resident(),
            })),
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
        for share in &plan.layers {
            layer(&mut lines, share);
        }

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
        if let Some(mapped) = &self.mapped {
            let resident = mapped.resident().map_or_else(|| "unknown".to_owned(), binary_bytes);
            let words = format!(
                "{} files of {} layers, {}; digests as listed; resident of it {resident}",
                grouped(mapped.files as u64),
                mapped.layers,
                binary_bytes(mapped.bytes)
            );
            fact("weights mapped, measured", words);
        }
        for NotBuilt { kernel, reason } in &self.not_built {
            fact("not built", format!("{kernel}: {reason}"));
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

/// One layer's share of DDR.
fn layer(lines: &mut Columns, share: &LayerShare) {
    let LayerShare { kind, layers, qkv_weights_bytes, o_weights_bytes, norms_bytes, cache_bytes, cache_slots, bytes } =
        share;
    lines.row([format!("one {kind} layer, of {layers}"), binary_bytes(*bytes), "its own part of DDR".into()]);
    let cache = format!("keys and values, {cache_slots} slots");
    for (what, bytes) in [
        ("packed weights of q, k and v", qkv_weights_bytes),
        ("packed weights of o", o_weights_bytes),
        ("norms of queries and keys", norms_bytes),
        (&cache, cache_bytes),
    ] {
        lines.row([format!("  {what}"), binary_bytes(*bytes), String::new()]);
    }
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
