//! From a package, a packed model and a request to steps that a session runs, everything checked that can be checked without a device.
//!
//! ```text
//! complete   x -> w8a16_attention -> o                                                       one kernel, one submission
//! modular    x -> qkv projection -> norm_rope -> attention -> o projection -> o              a kernel each; up to four positions by those for decoding
//! ```
//!
//! Kernels for weights with a scale for every 32 or 128 inputs have `group32_` or `group128_` behind their number scheme, those for an INT8 cache
//! `_kv8` at their end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amdxdna::ert::HOST_BUFFERS_EVERYWHERE;
use half::bf16;
use npu_package::layout::{
    DECODE_TOKENS, GroupSize, HeadNorm, KvFormat, KvHeads, KvSegment, Panels, ProjectionKind, RopeLimbs, RopeTable,
};
use npu_package::{Argument, Context, Direction, Kernel, Layer, LayerFile, ModelDims, Operand, Package, PackageError};

use super::error::{AttendError, Mismatch};
use super::extent;
use super::past::Past;
use super::tensors::bytes;
use crate::packed::{PackedLayerMap, PackedWeights};
use crate::refusal::{BinaryCause, CompileAdvice, MemoryCause, Refusal};

/// Device name in manifests.
const DEVICE: &str = "npu1";
/// The complete kernel, behind its number scheme.
const COMPLETE: &str = "attention";
/// Kernels of the modular method that have one name each.
const NORM_ROPE: &str = "norm_rope";
const SCALED_ATTENTION: &str = "scaled_attention";
const DECODE_ATTENTION: &str = "decode_attention";
/// What names of kernels for an INT8 cache end in.
const INT8_CACHE: &str = "_kv8";
/// Number schemes of projections, in order of preference. Weights with group scales have kernels of the first only.
const NUMERICS: [&str; 2] = ["w8a16", "w8a8"];
const BF16_BYTES: usize = 2;
/// Device memory of an open device, and the alignment of what lies in it.
// SOURCE: AIE2_DEVM_SIZE and dev_mem_buf_shift of npu1 in drivers/accel/amdxdna.
const HEAP_BYTES: u64 = 64 << 20;
const HEAP_ALIGN: u64 = 32 << 10;
/// Pages for commands that the driver takes from device memory for a context.
// SOURCE: drivers/accel/amdxdna/aie2_ctx.c: HWCTX_MAX_CMDS command buffers of 4 KiB, each aligned as every other.
const HEAP_COMMAND_PAGES: u64 = 4;

/// A way to compute the attention of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The complete kernel.
    Complete,
    /// A kernel for each part.
    Modular,
}

impl Method {
    /// Both, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Complete, Self::Modular];

    /// As the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Modular => "modular",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The kernels.
    pub package: &'a Package,
    /// The weights.
    pub model: &'a PackedWeights,
    /// Layer number.
    pub layer: usize,
    /// New positions.
    pub seq: usize,
    /// Positions before them.
    pub history: usize,
    /// Elements of the cache: [`cache_of`] the package, unless something else is asked for.
    pub cache: KvFormat,
    /// Ways to try, in order.
    pub methods: &'a [Method],
}

/// Elements of the cache that a package's kernels are for; bfloat16 if it has both, or none.
pub fn cache_of(package: &Package) -> KvFormat {
    let mut of_attention = package.manifest().kernels.iter().filter(|kernel| kernel.context.is_some()).peekable();
    if of_attention.peek().is_some() && of_attention.all(|kernel| kernel.kernel.ends_with(INT8_CACHE)) {
        KvFormat::Int8
    } else {
        KvFormat::Bf16
    }
}

/// A layer as the packed model and the job say.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Sizes of the model.
    pub dims: ModelDims,
    /// Layer number.
    pub layer: usize,
    /// Its kind.
    pub kind: Layer,
    /// Keys a query sees, in a local layer.
    pub window: Option<usize>,
    /// Inputs that share a scale of the weights; none: all of an output channel.
    pub groups: Option<GroupSize>,
    /// Elements of the cache.
    pub cache: KvFormat,
    /// New positions.
    pub seq: usize,
    /// Positions before them.
    pub history: usize,
}

/// What fills a buffer before the first step.
#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// Nothing: zero, and what a kernel writes.
    Zero,
    /// These bytes at its start.
    Bytes(Vec<u8>),
    /// The weights of a projection.
    Weights(ProjectionKind),
    /// The cache with the earlier positions, as these bytes.
    Cache(Vec<u8>),
}

/// A host buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// Name; that of the kernels' arguments where they agree.
    pub name: String,
    /// Bytes.
    pub bytes: usize,
    /// What is in it.
    pub contents: Contents,
}

/// An array configuration: a compute unit of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Kernel that brought it.
    pub kernel: String,
    /// The PDI.
    pub pdi: Vec<u8>,
}

/// What a step must have written, to be checked behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many bytes from the start of a buffer.
    Bytes {
        /// Index of the buffer.
        buffer: usize,
        /// Bytes.
        bytes: usize,
    },
    /// Keys and values of the new positions.
    NewPositions {
        /// Index of the cache.
        buffer: usize,
    },
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The kernel.
    pub kernel: String,
    /// Index of its program.
    pub program: usize,
    /// Its runtime stream.
    pub stream: Vec<u8>,
    /// Indices of the host buffers, in the order of the register map.
    pub args: Vec<usize>,
    /// What it writes.
    pub writes: Vec<Written>,
}

/// A method, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which.
    pub method: Method,
    /// Columns of the partition.
    pub columns: u32,
    /// Compute units of the context.
    pub programs: Vec<Program>,
    /// Host buffers.
    pub buffers: Vec<Buffer>,
    /// Commands in order.
    pub steps: Vec<Step>,
    /// Where the cache's positions lie.
    pub segment: KvSegment,
    /// Index of the cache.
    pub cache: usize,
    /// Index of the result, whose first rows are [seq][hidden].
    pub output: usize,
}

/// Everything a session needs.
#[derive(Debug)]
pub struct Prepared {
    /// The layer.
    pub subject: Subject,
    /// Methods of the job that the package has, in order; at least one.
    pub plans: Vec<Plan>,
    /// Those that cannot be used, and why.
    pub missing: Vec<(Method, AttendError)>,
    qkv: (PathBuf, PackedLayerMap),
    o: (PathBuf, PackedLayerMap),
}

/// Opens a package; its absence is the refusal with that sentence.
///
/// # Errors
/// [`Refusal::BinaryMissing`], and what is wrong with a package that is there.
pub fn open_package(path: &Path) -> Result<Package, AttendError> {
    Package::open(path).map_err(|error| lacking(error, path))
}

fn lacking(error: PackageError, path: &Path) -> AttendError {
    match error {
        // The directory itself was named: say it, not a file in it.
        PackageError::NotAPackage { .. } if !path.exists() => {
            let path: PathBuf = path.to_owned();
            Refusal::BinaryMissing { path, source: BinaryCause::Package(Box::new(error)) }.into()
        }
        error => match Refusal::from_package(error) {
            Ok(refusal) => refusal.into(),
            Err(error) => error.into(),
        },
    }
}

impl Subject {
    /// The layer of a job; refuses what package, model and job contradict each other in.
    fn of(job: &Job<'_>) -> Result<Self, AttendError> {
        let (manifest, description) = (job.package.manifest(), job.model.model().description());
        if manifest.device != DEVICE {
            return Err(Mismatch::Device { found: manifest.device.clone() }.into());
        }
        let (package, model, facts) = (&manifest.model, &description.model, &description.attention);
        for (what, package, model) in [
            ("hidden size", package.hidden, model.hidden),
            ("number of heads", package.heads, model.heads),
            ("number of key-value heads", package.kv_heads, model.kv_heads),
            ("width of a head", package.head_dim, model.head_dim),
        ] {
            if package != model {
                return Err(Mismatch::Model { what, package, model }.into());
            }
        }
        let groups = npu_package::scheme_groups(&description.scheme)?;
        if facts.rms_norm_eps != HeadNorm::EPSILON {
            return Err(Mismatch::Epsilon { found: facts.rms_norm_eps, kernels: HeadNorm::EPSILON }.into());
        }
        let Some(&kind) = facts.layer_kinds.get(job.layer) else {
            return Err(Mismatch::Layer { layer: job.layer, layers: model.layers }.into());
        };
        let &Job { layer, seq, history, cache, .. } = job;
        let limit = facts.max_positions;
        if seq == 0 || history.checked_add(seq).is_none_or(|end| end > limit) {
            return Err(Mismatch::Positions { history, seq, limit }.into());
        }
        Ok(Self { dims: model.clone(), layer, kind, window: facts.window(kind), groups, cache, seq, history })
    }

    fn heads(&self) -> Result<KvHeads, PackageError> {
        Ok(KvHeads::new(self.dims.kv_heads, self.dims.head_dim, self.cache)?)
    }

    fn panels(&self, kind: ProjectionKind) -> Result<Panels, PackageError> {
        let panels = self.dims.panels(kind)?;
        Ok(self.groups.map_or(panels, |size| panels.grouped(size)))
    }

    /// What stands behind the number scheme in names of kernels that multiply weights.
    fn infix(&self) -> String {
        self.groups.map_or_else(String::new, |size| format!("group{}_", size.inputs()))
    }

    /// What stands at the end of names of kernels that touch the cache.
    fn suffix(&self) -> &'static str {
        match self.cache {
            KvFormat::Bf16 => "",
            KvFormat::Int8 => INT8_CACHE,
        }
    }

    /// How a package comes to hold the kernels of a method.
    fn advice(&self, method: Method) -> CompileAdvice {
        let &Self { seq, history, groups, cache, .. } = self;
        let reasons = [
            (seq <= DECODE_TOKENS).then(|| format!("for {seq} positions")),
            groups.map(|size| format!("for weights with a scale for every {} inputs", size.inputs())),
            (cache == KvFormat::Int8).then(|| "for an INT8 cache".to_owned()),
        ];
        if method == Method::Complete
            && let Some(reason) = reasons.into_iter().flatten().next()
        {
            return CompileAdvice::Instead(format!(
                "`bennu compile` has no complete kernel {reason}: leave --method away, or ask for modular"
            ));
        }
        let mut options = format!(" --seq {seq}");
        if history > 0 {
            options.push_str(&format!(" --history {history}"));
        }
        if let Some(size) = groups {
            options.push_str(&format!(" --scales group{}", size.inputs()));
        }
        if cache == KvFormat::Int8 {
            options.push_str(" --kv-cache int8");
        }
        CompileAdvice::Options(options)
    }
}

/// Checks a job and lays out its operands. `x` is `[seq][hidden]` of bfloat16 bits, `past` what the new positions see of earlier ones.
///
/// # Errors
/// Whatever does not fit together, is damaged, is not there or is no number; nothing has been asked of the device then.
pub fn prepare(job: &Job<'_>, x: &[u16], past: &Past) -> Result<Prepared, AttendError> {
    let subject = Subject::of(job)?;
    finite("x", x, subject.dims.hidden)?;
    if *past.heads() != subject.heads()? {
        return Err(Mismatch::PastFormat { found: past.heads().format(), needed: subject.cache }.into());
    }
    if let Some(found) = past.not_finite() {
        let super::past::NotFinite { what, position: row, column, value } = found;
        return Err(AttendError::NotFinite { what, row, column, value });
    }
    if x.len() != subject.seq * subject.dims.hidden {
        let (found, seq, hidden) = (x.len(), subject.seq, subject.dims.hidden);
        return Err(Mismatch::Input { found, seq, hidden }.into());
    }
    if !past.serves(subject.history, subject.window) {
        let (found_first, found_end, history) = (past.first, past.end(), subject.history);
        return Err(Mismatch::Past { found_first, found_end, history }.into());
    }
    job.package.verify().map_err(|error| lacking(error, job.package.path()))?;
    let norms = job.model.layer(job.layer, LayerFile::Norms)?;
    let weights = |kind: ProjectionKind| -> Result<_, AttendError> {
        Ok((job.model.model().layer_path(job.layer, kind)?, job.model.layer(job.layer, kind)?))
    };
    let (qkv, o) = (weights(ProjectionKind::Qkv)?, weights(ProjectionKind::O)?);

    let rotation = job.model.model().description().attention.rotation(subject.kind);
    let table = RopeTable::new(subject.dims.head_dim, rotation.theta, rotation.factor, RopeLimbs::Two)
        .map_err(PackageError::from)?;
    let operands = Operands { subject: &subject, x, past, norms: &norms, table };
    let (mut plans, mut missing) = (Vec::new(), Vec::new());
    for &method in job.methods {
        let kernels =
            kernels(job.package, &subject, method).map_err(|error| match lacking(error, job.package.path()) {
                AttendError::Refusal(Refusal::KernelNotCompiled { source, .. }) => {
                    Refusal::KernelNotCompiled { source, advice: Box::new(subject.advice(method)) }.into()
                }
                error => error,
            });
        let found = kernels.and_then(|kernels| {
            check_buffers(&kernels)?;
            Ok(kernels)
        });
        match found {
            Ok(kernels) => plans.push(operands.plan(job.package, method, &kernels)?),
            Err(error) => missing.push((method, error)),
        }
    }
    if plans.is_empty() {
        // The last way lacks the least.
        return match missing.pop() {
            Some((_, error)) => Err(error),
            None => unreachable!("a job has at least one method"),
        };
    }
    Ok(Prepared { subject, plans, missing, qkv, o })
}

/// What a kernel is in a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Complete,
    Projection(ProjectionKind),
    NormRope,
    Attention,
}

/// The kernels of a method, in order, with their context.
fn kernels<'a>(
    package: &'a Package,
    subject: &Subject,
    method: Method,
) -> Result<Vec<(Part, &'a Kernel, Option<Context>)>, PackageError> {
    let &Subject { kind, seq, history, .. } = subject;
    let at = |part, name: &str| {
        let (kernel, context) = package.kernel_at(&format!("{name}{}", subject.suffix()), seq, kind, history)?;
        Ok::<_, PackageError>((part, kernel, Some(context)))
    };
    match method {
        Method::Complete => {
            let infix = subject.infix();
            let [first, second] = NUMERICS.map(|numerics| at(Part::Complete, &format!("{numerics}_{infix}{COMPLETE}")));
            // What is missed is the kernel of the first scheme.
            Ok(vec![first.or_else(|missing| second.map_err(|_| missing))?])
        }
        Method::Modular => {
            let (qkv, o) = projections(package, subject)?;
            let attention = if seq <= DECODE_TOKENS {
                // What is missed is the kernel that a user would compile.
                at(Part::Attention, DECODE_ATTENTION)
                    .or_else(|missing| at(Part::Attention, SCALED_ATTENTION).map_err(|_| missing))
            } else {
                at(Part::Attention, SCALED_ATTENTION)
            };
            Ok(vec![
                (Part::Projection(ProjectionKind::Qkv), qkv, None),
                at(Part::NormRope, NORM_ROPE)?,
                attention?,
                (Part::Projection(ProjectionKind::O), o, None),
            ])
        }
    }
}

/// Whether every driver passes on all buffers of a method's kernels.
fn check_buffers(kernels: &[(Part, &Kernel, Option<Context>)]) -> Result<(), Mismatch> {
    match kernels.iter().find(|(_, kernel, _)| kernel.args.len() > HOST_BUFFERS_EVERYWHERE) {
        None => Ok(()),
        Some((_, kernel, _)) => Err(Mismatch::HostBuffers {
            kernel: kernel.kernel.clone(),
            count: kernel.args.len(),
            limit: HOST_BUFFERS_EVERYWHERE,
        }),
    }
}

/// Both projections in one number scheme, for few positions those for decoding if they are there.
fn projections<'a>(package: &'a Package, subject: &Subject) -> Result<(&'a Kernel, &'a Kernel), PackageError> {
    let (seq, groups) = (subject.seq, subject.infix());
    let infixes: &[&str] = if seq <= DECODE_TOKENS { &["decode_", ""] } else { &[""] };
    let mut first = None;
    for numerics in NUMERICS {
        for infix in infixes {
            let name = |kind: ProjectionKind| format!("{numerics}_{groups}{infix}{}_projection", kind.name());
            let both = package
                .kernel(&name(ProjectionKind::Qkv), seq)
                .and_then(|qkv| Ok((qkv, package.kernel(&name(ProjectionKind::O), seq)?)));
            match both {
                Ok(both) => return Ok(both),
                // The plain kernel of the first scheme is what a user would compile.
                Err(error) if infix.is_empty() => first = first.or(Some(error)),
                Err(_) => {}
            }
        }
    }
    // PANIC: the last attempt of every scheme leaves its error.
    Err(first.expect("an attempt failed"))
}

/// The operands of a layer.
struct Operands<'a> {
    subject: &'a Subject,
    x: &'a [u16],
    past: &'a Past,
    norms: &'a [u8],
    table: RopeTable,
}

impl Operands<'_> {
    fn plan(
        &self,
        package: &Package,
        method: Method,
        kernels: &[(Part, &Kernel, Option<Context>)],
    ) -> Result<Plan, AttendError> {
        let segment = self.segment(kernels)?;
        let mut builder = Builder { operands: self, package, segment, buffers: Vec::new(), by_name: BTreeMap::new() };
        let (mut programs, mut steps): (Vec<Program>, Vec<Step>) = (Vec::new(), Vec::new());
        for &(part, kernel, _) in kernels {
            let pdi = package.read_file(&kernel.files.pdi)?;
            let program = programs.iter().position(|program| program.pdi == pdi).unwrap_or_else(|| {
                programs.push(Program { kernel: kernel.kernel.clone(), pdi });
                programs.len() - 1
            });
            steps.push(builder.step(part, kernel, program)?);
        }
        let index = |name: &str| builder.by_name.get(name).copied();
        let (Some(cache), Some(output)) = (index("cache"), index("o")) else {
            let (kernel, argument) = (kernels[0].1.kernel.clone(), "o or cache, which is missing".to_owned());
            return Err(Mismatch::UnknownArgument { kernel, argument }.into());
        };
        // Buffers take their final size from all kernels that share them, so streams are checked last.
        for step in &steps {
            let sizes: Vec<u64> = step.args.iter().map(|&buffer| builder.buffers[buffer].bytes as u64).collect();
            extent::check(&step.stream, &sizes)
                .map_err(|source| AttendError::Stream { kernel: step.kernel.clone(), source })?;
        }
        let columns = kernels.iter().map(|(_, kernel, _)| kernel.columns as u32).max().unwrap_or_default();
        let plan = Plan { method, columns, programs, buffers: builder.buffers, steps, segment, cache, output };
        plan.check_heap()?;
        Ok(plan)
    }

    /// The cache that all kernels agree on.
    fn segment(&self, kernels: &[(Part, &Kernel, Option<Context>)]) -> Result<KvSegment, AttendError> {
        let subject = self.subject;
        let mut first: Option<(&Kernel, Context)> = None;
        for (kernel, context) in kernels.iter().filter_map(|(_, kernel, context)| Some((kernel, (*context)?))) {
            let end = subject.history + subject.seq;
            // A ring keeps what the first new position sees while the last one is written.
            let needed = subject.window.map_or(end, |window| end.min(window - 1 + subject.seq));
            if context.window != subject.window || context.slots < needed {
                return Err(Mismatch::Cache {
                    kernel: kernel.kernel.clone(),
                    slots: context.slots,
                    window: context.window,
                    model_window: subject.window,
                    history: subject.history,
                    seq: subject.seq,
                }
                .into());
            }
            match first {
                None => first = Some((kernel, context)),
                Some((_, agreed)) if agreed.slots == context.slots => {}
                Some((other, agreed)) => {
                    return Err(Mismatch::Caches {
                        first: other.kernel.clone(),
                        first_slots: agreed.slots,
                        second: kernel.kernel.clone(),
                        second_slots: context.slots,
                    }
                    .into());
                }
            }
        }
        // PANIC: `kernels` gives every kernel of attention its context.
        let (_, context) = first.expect("a method has a kernel of attention");
        Ok(KvSegment::new(subject.heads()?, context.slots).map_err(PackageError::from)?)
    }
}

/// Buffers of a plan as its kernels ask for them.
struct Builder<'a> {
    operands: &'a Operands<'a>,
    package: &'a Package,
    segment: KvSegment,
    buffers: Vec<Buffer>,
    by_name: BTreeMap<String, usize>,
}

/// Bytes that a buffer must have.
enum Size {
    /// Exactly.
    Exact(usize),
    /// At least, and the kernel may have more.
    Least(usize),
}

impl Builder<'_> {
    fn step(&mut self, part: Part, kernel: &Kernel, program: usize) -> Result<Step, AttendError> {
        let (mut args, mut writes) = (Vec::new(), Vec::new());
        for argument in &kernel.args {
            let buffer = self.buffer(part, kernel, argument)?;
            args.push(buffer);
            let name = self.buffers[buffer].name.as_str();
            let is_cache = name == "cache";
            match (part, argument.direction) {
                // The complete kernel has the cache as one of its own buffers.
                (Part::Complete, _) if is_cache => writes.push(Written::NewPositions { buffer }),
                (_, Direction::Out) if is_cache => writes.push(Written::NewPositions { buffer }),
                (_, Direction::Out) => writes.push(Written::Bytes { buffer, bytes: argument.bytes as usize }),
                (_, Direction::In | Direction::Scratch) => {}
            }
        }
        let stream = self.package.read_file(&kernel.files.txn)?;
        Ok(Step { kernel: kernel.kernel.clone(), program, stream, args, writes })
    }

    /// The buffer of an argument: that of the kernels before, or a new one.
    fn buffer(&mut self, part: Part, kernel: &Kernel, argument: &Argument) -> Result<usize, AttendError> {
        let (name, bytes, contents) = if argument.parts.is_empty() {
            // PANIC: a buffer without parts is its only operand.
            self.sized(part, kernel, argument.operands().next().expect("an operand"))?
        } else {
            self.shared(part, kernel, argument)?
        };
        if let Some(&index) = self.by_name.get(&name) {
            let buffer = &mut self.buffers[index];
            buffer.bytes = buffer.bytes.max(bytes);
            return Ok(index);
        }
        self.by_name.insert(name.clone(), self.buffers.len());
        self.buffers.push(Buffer { name, bytes, contents });
        Ok(self.buffers.len() - 1)
    }

    /// A buffer of several operands: inputs one after the other, each where the manifest has it, or what is the kernel's own.
    fn shared(
        &self,
        part: Part,
        kernel: &Kernel,
        argument: &Argument,
    ) -> Result<(String, usize, Contents), AttendError> {
        let unknown = |argument: &str| {
            let (kernel, argument) = (kernel.kernel.clone(), argument.to_owned());
            AttendError::from(Mismatch::UnknownArgument { kernel, argument })
        };
        if argument.direction == Direction::Out {
            return Err(unknown(&argument.name));
        }
        let (mut all, mut given) = (Vec::new(), false);
        for operand in argument.operands() {
            match self.sized(part, kernel, operand)?.2 {
                Contents::Zero => {}
                Contents::Bytes(bytes) => {
                    all.resize(operand.offset as usize, 0);
                    all.extend(bytes);
                    given = true;
                }
                // These are buffers of their own.
                Contents::Weights(_) | Contents::Cache(_) => return Err(unknown(operand.name)),
            }
        }
        let bytes = usize::try_from(argument.bytes).map_err(|_| unknown(&argument.name))?;
        let name = format!("{}_{}", kernel.kernel, argument.name);
        Ok((name, bytes, if given { Contents::Bytes(all) } else { Contents::Zero }))
    }

    /// The same as [`Self::meaning`], with the size that the manifest gives, which must be the model's.
    fn sized(
        &self,
        part: Part,
        kernel: &Kernel,
        operand: Operand<'_>,
    ) -> Result<(String, usize, Contents), AttendError> {
        let (name, size, contents) = self.meaning(part, kernel, operand)?;
        let found = operand.bytes;
        let (needed, fits) = match size {
            Size::Exact(bytes) => (bytes, found == bytes as u64),
            Size::Least(bytes) => (bytes, found >= bytes as u64),
        };
        match usize::try_from(found) {
            Ok(bytes) if fits => Ok((name, bytes, contents)),
            Ok(_) | Err(_) => {
                let (kernel, argument) = (kernel.kernel.clone(), operand.name.to_owned());
                Err(Mismatch::Argument { kernel, argument, found, needed: needed as u64 }.into())
            }
        }
    }

    /// Name of the buffer, its size by the model, and its contents.
    fn meaning(
        &self,
        part: Part,
        kernel: &Kernel,
        argument: Operand<'_>,
    ) -> Result<(String, Size, Contents), AttendError> {
        let Subject { dims, seq, history, .. } = self.operands.subject;
        let (hidden, row) = (dims.hidden, dims.heads * dims.head_dim);
        let rows = |width: usize| BF16_BYTES * seq * width;
        let weights = |kind: ProjectionKind| -> Result<_, AttendError> {
            let bytes = self.operands.subject.panels(kind)?.bytes();
            Ok((format!("{}_weights", kind.name()), Size::Exact(bytes), Contents::Weights(kind)))
        };
        let own = |size| (argument.name.to_owned(), size, Contents::Zero);
        Ok(match (part, argument.name) {
            (_, "x") => ("x".to_owned(), Size::Least(rows(hidden)), Contents::Bytes(bytes(self.operands.x))),
            (Part::Projection(kind), "weights") => weights(kind)?,
            (Part::Complete, "qkv_weights") => weights(ProjectionKind::Qkv)?,
            (Part::Complete, "o_weights") => weights(ProjectionKind::O)?,
            // Kernels for few positions write four rows.
            (_, "qkv") => own(Size::Least(rows(row + 2 * dims.kv_heads * dims.head_dim))),
            (_, "q" | "ctx") => own(Size::Least(rows(row))),
            (_, "o") => own(Size::Least(rows(hidden))),
            (_, "norms") => {
                let norms = self.operands.norms.to_vec();
                ("norms".to_owned(), Size::Exact(norms.len()), Contents::Bytes(norms))
            }
            (_, "rotations") => {
                let table = &self.operands.table;
                let (position, found) = (table.position_bytes(), argument.bytes as usize);
                let mut contents = vec![0; found / position * position];
                table.fill(*history, &mut contents).map_err(PackageError::from)?;
                ("rotations".to_owned(), Size::Least(seq * position), Contents::Bytes(contents))
            }
            (_, "cache") => {
                let contents = self.operands.past.segment(&self.segment, *history);
                ("cache".to_owned(), Size::Exact(self.segment.bytes()), Contents::Cache(contents))
            }
            (_, name) if argument.argument.direction == Direction::Scratch => {
                (name.to_owned(), Size::Least(0), Contents::Zero)
            }
            (_, name) => match argument.file {
                Some(file) => {
                    let contents = self.package.read_file(file)?;
                    (name.to_owned(), Size::Exact(contents.len()), Contents::Bytes(contents))
                }
                None => {
                    let (kernel, argument) = (kernel.kernel.clone(), name.to_owned());
                    return Err(Mismatch::UnknownArgument { kernel, argument }.into());
                }
            },
        })
    }
}

fn finite(what: &'static str, bits: &[u16], columns: usize) -> Result<(), AttendError> {
    match bits.iter().position(|&bits| !bf16::from_bits(bits).is_finite()) {
        None => Ok(()),
        Some(at) => {
            let value = bf16::from_bits(bits[at]).to_f32();
            Err(AttendError::NotFinite { what, row: at / columns, column: at % columns, value })
        }
    }
}

impl Plan {
    /// Bytes of host memory.
    pub fn host_bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes as u64).sum()
    }

    /// Bytes of device memory: configurations, streams and the driver's command pages.
    pub fn heap_bytes(&self) -> u64 {
        let pieces =
            self.programs.iter().map(|program| program.pdi.len()).chain(self.steps.iter().map(|s| s.stream.len()));
        pieces.map(|bytes| (bytes as u64).next_multiple_of(HEAP_ALIGN)).sum::<u64>() + HEAP_COMMAND_PAGES * HEAP_ALIGN
    }

    fn check_heap(&self) -> Result<(), AttendError> {
        let needed = self.heap_bytes();
        if needed <= HEAP_BYTES {
            return Ok(());
        }
        let source = MemoryCause::Heap { needed, available: HEAP_BYTES, kernels: self.programs.len() };
        Err(Refusal::MemoryExhausted { source }.into())
    }
}

impl Prepared {
    /// The panels of a projection.
    pub fn weights(&self, kind: ProjectionKind) -> &[u8] {
        &self.layer_file(kind).1
    }

    /// The file that holds them.
    pub fn weights_path(&self, kind: ProjectionKind) -> &Path {
        &self.layer_file(kind).0
    }

    fn layer_file(&self, kind: ProjectionKind) -> &(PathBuf, PackedLayerMap) {
        match kind {
            ProjectionKind::Qkv => &self.qkv,
            ProjectionKind::O => &self.o,
        }
    }

    /// Refuses what `available` bytes of host memory do not hold. Methods run one after the other: the largest counts.
    ///
    /// # Errors
    /// [`Refusal::MemoryExhausted`], with the largest context that fits.
    pub fn check_memory(&self, available: u64) -> Result<(), AttendError> {
        let Some(plan) = self.plans.iter().max_by_key(|plan| plan.host_bytes()) else { return Ok(()) };
        let needed = plan.host_bytes();
        if needed <= available {
            return Ok(());
        }
        let (cache, token) = (plan.segment.bytes() as u64, plan.segment.heads().token_bytes() as u64);
        let context = self.subject.history + self.subject.seq;
        let fits = available.checked_sub(needed - cache).map(|left| (left / token) as usize);
        let largest_context = fits.filter(|&tokens| tokens >= self.subject.seq);
        Err(Refusal::MemoryExhausted {
            source: MemoryCause::Plan { tier: "DDR", needed, available, context, largest_context },
        }
        .into())
    }
}
