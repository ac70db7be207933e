//! `bennu compile`: the kernels of a model as an NPU package.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aie2_kernels::decode_projection::DecodeProjection;
use aie2_kernels::w8a8::Projection;
use aie2_kernels::{Compiled, KernelError, WeightScales};
use clap::ValueEnum;
use gemma::{ModelDims, Watch};
use npu_container::xclbin;
use npu_package::layout::{Activations, DECODE_TOKENS, GroupSize, KvFormat, ProjectionKind, ProjectionShape};
use npu_package::{
    Argument, Bound, Context, Direction, Dtype, Files, Kernel, LoopReport, Manifest, PackageError, Part, Phase,
    Producer, Program, Region,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::model::{PRESET, dims};
use crate::progress::Progress;
use crate::report::Report;
use crate::verbs::attention;
use crate::verbs::group_scales::{GroupKernel, Scales};
use crate::verbs::mlir_aie::{Emit, Modules, Output, Toolchain};

/// Device name in manifests.
const DEVICE: &str = "npu1";
/// Instance name in xclbins: XRT knows the kernel as `name:instance`.
pub(super) const INSTANCE: &str = "bennu";
/// Compute tiles of the array.
// SOURCE: AM020 ch. 1 and amdxdna's device table: npu1 has 4 columns of 4.
pub(super) const TILES: u64 = 16;
/// Bytes of a stream per cycle.
// SOURCE: AM020 ch. 2: a stream carries one 32-bit word per cycle.
pub(super) const STREAM_BYTES_PER_CYCLE: u64 = 4;
/// Channels by which shims read DDR: two in each of four columns.
// SOURCE: AM020 ch. 2, table of DMA channels.
pub(super) const READ_CHANNELS: u64 = 8;
/// int8 multiply-accumulates of a compute tile per cycle.
// SOURCE: AM020 ch. 4: 256 8-bit multiplications per cycle.
const MACS_PER_CYCLE: u64 = 256;

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model: `gemma3-27b`, or a checkpoint whose dimensions are used
    #[arg(long, value_name = "NAME|DIR", default_value = PRESET)]
    model: String,

    /// Sequence lengths in tokens, a kernel of every projection for each
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 64, 512])]
    seq: Vec<usize>,

    /// Number scheme
    #[arg(long, value_enum, default_value_t = Numerics::W8a16)]
    numerics: Numerics,

    /// How many weights share a scale; by default as in the model
    #[arg(long, value_enum)]
    scales: Option<Scales>,

    /// Positions before the first new token, for the kernels of attention
    #[arg(long, value_name = "N", default_value_t = 0)]
    history: usize,

    /// Positions that the cache of a global layer holds
    #[arg(long, value_name = "N", default_value_t = 8192)]
    context: usize,

    /// Elements of the key-value cache, for the kernels of attention
    #[arg(long, value_enum, default_value_t = KvCache::Bf16)]
    kv_cache: KvCache,

    /// Writes the kernels in another form, too
    #[arg(long, value_enum)]
    emit: Option<Emit>,

    /// Has another compiler compile what is emitted
    #[arg(long, value_enum)]
    toolchain: Option<Toolchain>,

    /// Directory to write
    #[arg(long, value_name = "DIR", default_value = "gemma3-27b-npu")]
    out: PathBuf,

    /// Replace a package that is already there
    #[arg(long)]
    force: bool,
}

/// How weights and activations are represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Numerics {
    /// INT8 weights, activations quantised to 16 bits per token on the NPU
    W8a16,
    /// INT8 weights, activations quantised to INT8 per token on the NPU
    W8a8,
}

/// Elements of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KvCache {
    /// bfloat16
    Bf16,
    /// INT8 codes with a scale for each head and token
    Int8,
}

impl From<KvCache> for KvFormat {
    fn from(cache: KvCache) -> Self {
        match cache {
            KvCache::Bf16 => KvFormat::Bf16,
            KvCache::Int8 => KvFormat::Int8,
        }
    }
}

impl Numerics {
    pub(super) fn name(self) -> &'static str {
        match self {
            Numerics::W8a16 => "w8a16",
            Numerics::W8a8 => "w8a8",
        }
    }

    fn activations(self) -> Activations {
        match self {
            Numerics::W8a16 => Activations::Int16,
            Numerics::W8a8 => Activations::Int8,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  bennu compile
  bennu compile --seq 1,512 --numerics w8a8 --out prefill --force
  bennu compile --model gemma-3-27b-it-int8 --out gemma-npu --json
  bennu compile --scales group32 --out q8_0-npu
  bennu compile --emit mlir --seq 64 --out modules

Writes manifest.json and, per kernel, the configuration (.pdi), the same for XRT (.xclbin), the runtime stream (.txn)
and the core programs (.core.bin). The same arguments give the same bytes. No weights are read: see `bennu pack`.";

struct Done {
    package: PathBuf,
    wall_s: f64,
    manifest: Manifest,
    refused: Vec<NotBuilt>,
    modules: Modules,
}

/// A kernel that does not serve the model, and why.
#[derive(serde::Serialize)]
pub(super) struct NotBuilt {
    pub(super) kernel: String,
    pub(super) reason: String,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let start = Instant::now();
    let progress = Progress::with_interrupt()?;
    let dims = dims(&args.model)?;
    let model = gemma::package_dims(&dims);
    let mut writer = Output::create(&args.out, args.force, args.emit, args.toolchain)?;
    progress.spin("compiling");
    let wanted = Wanted {
        dims: &dims,
        lengths: &args.seq,
        numerics: args.numerics,
        groups: Scales::of(args.scales, &args.model)?.groups(),
        history: args.history,
        context: args.context,
        cache: args.kv_cache.into(),
    };
    let (kernels, refused) = build(&wanted, &mut writer, &progress)?;
    let manifest = manifest(model, kernels);
    let (manifest, modules) = writer.finish(manifest).map_err(package)?;
    let wall_s = start.elapsed().as_secs_f64();
    Ok(Box::new(Done { package: args.out.clone(), wall_s, manifest, refused, modules }))
}

/// What is compiled.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The model's sizes.
    pub dims: &'a ModelDims,
    /// New tokens of a call; a kernel of everything for each.
    pub lengths: &'a [usize],
    /// Number scheme of projections.
    pub numerics: Numerics,
    /// Inputs that share a scale of the weights; none: all of a channel.
    pub groups: Option<GroupSize>,
    /// Positions before the first new token.
    pub history: usize,
    /// Positions that the cache of a global layer holds.
    pub context: usize,
    /// Elements of the cache.
    pub cache: KvFormat,
}

/// Takes the files of kernels.
pub(super) trait Sink {
    /// Takes a file.
    fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), PackageError>;

    /// Takes a kernel whose programs are in their files, for other forms of it.
    fn module(&mut self, stem: &str, compiled: &Compiled, programs: &[Program]) -> Result<(), Failure>;
}

/// Kernels that are compiled together, or the one that does not serve the model.
type Compilation = Result<Vec<(Compiled, Call)>, NotBuilt>;
type Job<'a> = Box<dyn Fn() -> Result<Compilation, Failure> + Send + Sync + 'a>;

/// Everything that is to be compiled, in the order of the manifest.
fn jobs<'a>(wanted: &Wanted<'a>) -> Result<Vec<Job<'a>>, Failure> {
    let &Wanted { dims, numerics, groups, history, context, cache, .. } = wanted;
    let mut lengths = wanted.lengths.to_vec();
    lengths.sort_unstable();
    lengths.dedup();
    let model = gemma::package_dims(dims);
    let panels = |kind| model.panels(kind).map_err(Failure::refused);
    let scales = groups.map_or(WeightScales::PerChannel, WeightScales::PerGroup);
    let mut jobs: Vec<Job<'a>> = Vec::new();
    if let (Some(size), Numerics::W8a16) = (groups, numerics) {
        // of groups there are kernels of their own
        for kind in ProjectionKind::ALL {
            for &seq in &lengths {
                for projection in GroupKernel::all(seq, panels(kind)?, size).map_err(kernel)? {
                    jobs.push(Box::new(move || {
                        let bound = match projection {
                            GroupKernel::Prefill(projection) => bound(projection.shape()),
                            GroupKernel::Decode(projection) => streamed(projection.shape().weights_bytes() as u64),
                        };
                        let compiled = projection.compile().map_err(kernel)?;
                        Ok(Ok(vec![(compiled, Call::new(seq, numerics.name(), bound))]))
                    }));
                }
            }
        }
    } else {
        let mut projections = Vec::new();
        for kind in ProjectionKind::ALL {
            for &seq in &lengths {
                let shape = ProjectionShape::with_activations(seq, panels(kind)?, numerics.activations());
                projections.push(Projection::of(shape.map_err(Failure::refused)?, scales).map_err(kernel)?);
            }
        }
        jobs.push(Box::new(move || {
            let compiled = Projection::compile_all(&projections).map_err(kernel)?;
            let call = |projection: &Projection| {
                let shape = projection.shape();
                Call::new(shape.seq(), numerics.name(), bound(shape))
            };
            Ok(Ok(compiled.into_iter().zip(projections.iter().map(call)).collect()))
        }));
        for kind in ProjectionKind::ALL {
            for &seq in lengths.iter().filter(|&&seq| seq <= DECODE_TOKENS) {
                let panels = panels(kind)?;
                jobs.push(Box::new(move || {
                    let projection = DecodeProjection::new(seq, panels, numerics.activations(), scales);
                    let call = Call::new(seq, numerics.name(), streamed(panels.bytes() as u64));
                    // a model that these do not serve still has its projections
                    Ok(match projection.and_then(|projection| projection.compile()) {
                        Ok(compiled) => Ok(vec![(compiled, call)]),
                        Err(error) => {
                            let kernel = format!("{}_decode_{}_projection, S = {seq}", numerics.name(), kind.name());
                            Err(NotBuilt { kernel, reason: error.to_string() })
                        }
                    })
                }));
            }
        }
    }
    let formats = attention::Formats { activations: numerics.activations(), groups, cache };
    for kernel in attention::kernels(dims, &lengths, history, context, formats) {
        jobs.push(Box::new(move || {
            let compiled = kernel.compile().map(|compiled| vec![compiled]);
            Ok(compiled.map_err(|error| NotBuilt { kernel: kernel.title(), reason: error.to_string() }))
        }));
    }
    Ok(jobs)
}

/// Compiles on all cores of the host and hands on the files: what does not depend on the number of cores.
pub(super) fn build(
    wanted: &Wanted<'_>,
    files: &mut dyn Sink,
    progress: &Progress,
) -> Result<(Vec<Kernel>, Vec<NotBuilt>), Failure> {
    let jobs = jobs(wanted)?;
    let (next, done) = (AtomicUsize::new(0), jobs.iter().map(|_| OnceLock::new()).collect::<Vec<_>>());
    let work = || {
        while let Some((job, done)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(index).zip(done.get(index))
        } {
            let compilation = if progress.cancelled() { Err(Failure::refused(Interrupted)) } else { job() };
            // PANIC: each index is given out once.
            assert!(done.set(compilation).is_ok(), "a job is done once");
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let (mut kernels, mut refused) = (Vec::new(), Vec::new());
    for compilation in done {
        // PANIC: the scope ends when every job is done.
        match compilation.into_inner().expect("every job is done")? {
            Ok(compiled) => {
                for (compiled, call) in compiled {
                    kernels.push(write_kernel(files, &compiled, call)?);
                }
            }
            Err(not_built) => refused.push(not_built),
        }
    }
    Ok((kernels, refused))
}

/// The manifest of kernels of a model; digests are the writer's.
pub(super) fn manifest(model: npu_package::ModelDims, kernels: Vec<Kernel>) -> Manifest {
    Manifest {
        format_version: npu_package::FORMAT_VERSION,
        producer: Producer { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() },
        device: DEVICE.into(),
        model,
        kernels,
        digests: Default::default(),
    }
}

pub(super) fn kernel(error: KernelError) -> Failure {
    Failure::refused(error)
}

/// The same words and remedies as every other verb that writes directories.
pub(super) fn package(error: PackageError) -> Failure {
    let elsewhere = matches!(error, PackageError::Io { .. });
    let failure = Failure::from(gemma::Error::from(error));
    if elsewhere { failure.with_remedy("choose another destination") } else { failure }
}

#[derive(Debug, thiserror::Error)]
#[error("interrupted; nothing was written")]
struct Interrupted;

/// What a manifest says of a kernel beside what its compiler does.
pub(super) struct Call {
    pub(super) seq: usize,
    pub(super) numerics: &'static str,
    pub(super) bound: Bound,
    pub(super) context: Option<Context>,
    /// Contents of inputs that depend on the kernel alone.
    pub(super) contents: Vec<(&'static str, Vec<u8>)>,
    /// Phases, of a kernel that has several.
    pub(super) phases: Vec<Phase>,
    /// Parts of its program.
    pub(super) sections: Vec<Region>,
}

impl Call {
    pub(super) fn new(seq: usize, numerics: &'static str, bound: Bound) -> Self {
        Self { seq, numerics, bound, context: None, contents: Vec::new(), phases: Vec::new(), sections: Vec::new() }
    }
}

fn write_kernel(writer: &mut dyn Sink, compiled: &Compiled, call: Call) -> Result<Kernel, Failure> {
    let mut stem = compiled.kernel.to_owned();
    if let Some(Context { layer, history, .. }) = call.context {
        stem.push_str(&format!("_{}_h{history}", layer.name()));
    }
    stem.push_str(&format!("_s{}", call.seq));
    let mut args: Vec<Argument> = compiled.operands.iter().enumerate().map(argument).collect();
    for (name, bytes) in &call.contents {
        let file = format!("{stem}.{name}.bin");
        writer.add(&file, bytes).map_err(package)?;
        args.iter_mut().filter(|arg| arg.name == *name).for_each(|arg| arg.file = Some(file.clone()));
        let parts = args.iter_mut().flat_map(|arg| &mut arg.parts);
        parts.filter(|part| part.name == *name).for_each(|part| part.file = Some(file.clone()));
    }
    let files = Files { pdi: format!("{stem}.pdi"), xclbin: format!("{stem}.xclbin"), txn: format!("{stem}.txn") };
    let container = xclbin::Builder::new(
        compiled.kernel,
        INSTANCE,
        &compiled.pdi,
        u16::from(compiled.columns),
        compiled.operands.len(),
        uuid(&compiled.pdi),
    );
    writer.add(&files.pdi, &compiled.pdi).map_err(package)?;
    writer.add(&files.xclbin, &container.write().map_err(Failure::refused)?).map_err(package)?;
    writer.add(&files.txn, &compiled.txn).map_err(package)?;
    let mut programs = Vec::new();
    let mut written: Vec<(&[u8], String)> = Vec::new();
    for (&(col, row), core) in &compiled.cores {
        // Cores with the same program share one file.
        let file = match written.iter().find(|(bytes, _)| *bytes == core.bytes) {
            Some((_, file)) => file.clone(),
            None => {
                let file = format!("{stem}.{}.core.bin", written.len());
                writer.add(&file, &core.bytes).map_err(package)?;
                written.push((&core.bytes, file.clone()));
                file
            }
        };
        programs.push(Program {
            tile: [col, row],
            file,
            bytes: core.bytes.len() as u64,
            symbols: core.symbols.clone(),
            early_reads: core.early_reads.clone(),
            partial_locks: core.partial_locks.clone(),
        });
    }
    writer.module(&stem, compiled, &programs)?;
    let usage = compiled.usage;
    let loops = compiled.cores.values().next().map_or(&[][..], |core| &core.loops);
    Ok(Kernel {
        kernel: compiled.kernel.into(),
        seq: call.seq,
        numerics: call.numerics.into(),
        context: call.context,
        tiles: usage.tiles,
        columns: usize::from(compiled.columns),
        args,
        files,
        instruction_words: compiled.txn.len() / 4,
        programs,
        report: npu_package::Report {
            program_bytes_max: u64::from(usage.program_bytes_max),
            data_bytes_max: u64::from(usage.data_bytes_max),
            memtile_bytes_max: u64::from(usage.memtile_bytes_max),
            bundles: compiled.cores.values().map(|core| core.bundles as u64).sum(),
            bds: usage.bds as u64,
            locks: usage.locks as u64,
            routes: usage.routes as u64,
            loops: loops
                .iter()
                .map(|l| LoopReport {
                    name: l.name.clone(),
                    ii_declared: l.ii_declared,
                    ii_reached: l.ii_reached,
                    vmac_per_ii: l.vmac_per_ii,
                })
                .collect(),
            bound: call.bound,
            phases: call.phases,
            sections: call.sections,
        },
    })
}

/// Identity of a container: the same configuration has the same.
fn uuid(pdi: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(pdi);
    std::array::from_fn(|i| digest[i])
}

/// The larger of multiplying and of streaming the weights, both without any overhead.
pub(super) fn bound(shape: &ProjectionShape) -> Bound {
    let panels = shape.panels();
    let macs = (shape.limbs() * shape.padded_rows() * panels.n() * panels.inputs()) as u64;
    let compute = macs / (MACS_PER_CYCLE * TILES);
    let weights = (shape.panels().column_bytes() * shape.blocks()) as u64 / STREAM_BYTES_PER_CYCLE;
    if compute >= weights {
        Bound { resource: "vec".into(), cycles: compute }
    } else {
        Bound { resource: "weight stream".into(), cycles: weights }
    }
}

/// What all the shims' read channels need for so many bytes.
fn streamed(bytes: u64) -> Bound {
    Bound { resource: "weight stream".into(), cycles: bytes / (STREAM_BYTES_PER_CYCLE * READ_CHANNELS) }
}

fn argument((index, operand): (usize, &aie2_kernels::Operand)) -> Argument {
    Argument {
        index,
        name: operand.name.into(),
        direction: match operand.direction {
            aie2_kernels::Direction::In => Direction::In,
            aie2_kernels::Direction::Out => Direction::Out,
            aie2_kernels::Direction::Scratch => Direction::Scratch,
        },
        bytes: operand.bytes as u64,
        dtype: dtype(operand.dtype),
        shape: operand.shape.clone(),
        layout: operand.layout.into(),
        file: None,
        parts: operand.parts.iter().map(part).collect(),
    }
}

fn part((offset, operand): &(usize, aie2_kernels::Operand)) -> Part {
    Part {
        name: operand.name.into(),
        offset: *offset as u64,
        bytes: operand.bytes as u64,
        dtype: dtype(operand.dtype),
        shape: operand.shape.clone(),
        layout: operand.layout.into(),
        file: None,
    }
}

fn dtype(dtype: aie2_kernels::Dtype) -> Dtype {
    match dtype {
        aie2_kernels::Dtype::Bf16 => Dtype::Bf16,
        aie2_kernels::Dtype::U8 => Dtype::U8,
    }
}

/// A row of a memory map.
fn place(Region { name, at, bytes, kept }: &Region) -> String {
    let kept = if *kept { ", outlives the phase" } else { "" };
    format!("{at:#07x} {bytes:>6} {name}{kept}")
}

impl Report for Done {
    fn json(&self) -> Value {
        let kernels: Vec<Value> = self
            .manifest
            .kernels
            .iter()
            .map(|k| {
                json!({
                    "kernel": k.kernel,
                    "seq": k.seq,
                    "numerics": k.numerics,
                    "context": k.context,
                    "tiles": k.tiles,
                    "program_bytes_max": k.report.program_bytes_max,
                    "data_bytes_max": k.report.data_bytes_max,
                    "memtile_bytes_max": k.report.memtile_bytes_max,
                    "bundles": k.report.bundles,
                    "bds": k.report.bds,
                    "locks": k.report.locks,
                    "routes": k.report.routes,
                    "loops": k.report.loops,
                    "bound": k.report.bound,
                    "phases": k.report.phases,
                    "sections": k.report.sections,
                    "files": k.files,
                })
            })
            .collect();
        let mut report =
            json!({ "package": self.package, "wall_s": self.wall_s, "kernels": kernels, "not_built": self.refused });
        self.modules.tell(&mut report);
        report
    }

    fn table(&self) -> String {
        let mut text = format!("package {}\n", self.package.display());
        for kernel in &self.manifest.kernels {
            let r = &kernel.report;
            let mut lines = Columns::new("ll");
            let mut line = |name: &str, value: String| lines.row([name.to_owned(), value]);
            line("tiles", format!("{} of 16", kernel.tiles));
            line("bundles", grouped(r.bundles));
            line("program memory", format!("{} of 16 KiB", binary_bytes(r.program_bytes_max)));
            line("data memory", format!("{} of 64 KiB", binary_bytes(r.data_bytes_max)));
            line("mem tile", format!("{} of 512 KiB", binary_bytes(r.memtile_bytes_max)));
            line("BDs, locks, routes", format!("{}, {}, {}", r.bds, r.locks, r.routes));
            for l in &r.loops {
                let declared = if l.ii_declared == 0 { "none".to_owned() } else { l.ii_declared.to_string() };
                let value = format!("II {} (declared {declared}), {} vmac", l.ii_reached, l.vmac_per_ii);
                line(&format!("loop {}", l.name), value);
            }
            line("modelled bound", format!("{} cycles, {}", grouped(r.bound.cycles), r.bound.resource));
            for region in &r.sections {
                line("program memory", place(region));
            }
            for phase in &r.phases {
                let bound = format!("{} cycles, {}", grouped(phase.bound.cycles), phase.bound.resource);
                line(&format!("phase {}", phase.name), bound);
                for region in &phase.memory {
                    line("  data memory", place(region));
                }
            }
            let context = kernel.context.map_or_else(String::new, |c| {
                format!(", {} layer, history {}", c.layer.name(), grouped(c.history as u64))
            });
            let title = format!("{}, S = {}, {}{context}", kernel.kernel, kernel.seq, kernel.numerics);
            text.push_str(&format!("\n{title}\n{}", lines.render()));
        }
        for NotBuilt { kernel, reason } in &self.refused {
            text.push_str(&format!("\nnot built: {kernel}: {reason}\n"));
        }
        text.push_str(&self.modules.lines());
        text.push_str(&format!("\ncompiled in {:.2} s\n", self.wall_s));
        text
    }
}
