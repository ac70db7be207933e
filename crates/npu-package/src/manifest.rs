//! `manifest.json`: what a package contains and how its kernels are called.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::directory::FileEntry;
use crate::layout::{LayoutError, Panels, ProjectionKind};

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`crate::FORMAT_VERSION`].
    pub format_version: u32,
    /// What wrote the package.
    pub producer: Producer,
    /// Device the kernels run on: `"npu1"`.
    pub device: String,
    /// The model the kernels are built for.
    pub model: ModelDims,
    /// The kernels.
    pub kernels: Vec<Kernel>,
    /// Size and digest of every file but the manifest, by name. [`crate::PackageWriter`] fills it.
    #[serde(default)]
    pub digests: BTreeMap<String, FileEntry>,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Program name.
    pub name: String,
    /// Program version.
    pub version: String,
}

/// The sizes of a Gemma 3 text model that decide its kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDims {
    /// Model name.
    pub name: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
}

impl ModelDims {
    /// The panels of one projection of a layer, or the rule they break.
    pub fn panels(&self, kind: ProjectionKind) -> Result<Panels, LayoutError> {
        let rows = |heads: usize| heads.checked_mul(self.head_dim).ok_or(LayoutError::TooLarge { buffer: "weights" });
        let [n_q, n_kv] = [rows(self.heads)?, rows(self.kv_heads)?];
        match kind {
            ProjectionKind::Qkv => Panels::new(self.hidden, n_q, n_kv, n_kv),
            ProjectionKind::O => Panels::output(n_q, self.hidden),
        }
    }
}

/// One kernel for one sequence length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Kernel name.
    pub kernel: String,
    /// Sequence length S in tokens.
    pub seq: usize,
    /// Number scheme, e.g. `"w8a8"`.
    pub numerics: String,
    /// Layer and positions the runtime stream is for; none of a kernel that knows neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Compute tiles used.
    pub tiles: usize,
    /// Columns of the partition.
    pub columns: usize,
    /// Host buffers in call order.
    pub args: Vec<Argument>,
    /// Names of the files to load.
    pub files: Files,
    /// Length of the runtime stream in 32-bit words: the `ninstr` of a call.
    pub instruction_words: usize,
    /// Core programs, for disassembly; they are already part of the PDI.
    pub programs: Vec<Program>,
    /// What the compiler measured.
    pub report: Report,
}

/// What the runtime stream of an attention kernel depends on beside S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Kind of the layer.
    pub layer: Layer,
    /// Positions before the first new one.
    pub history: usize,
    /// Slots of the layer's cache segment.
    pub slots: usize,
    /// Keys a query sees, its own included; none on a global layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
}

/// Kind of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Attends to a window; its cache is a ring.
    Local,
    /// Attends to every position.
    Global,
}

impl Layer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Local, Self::Global];

    /// As file names have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

/// A host buffer of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Index of the buffer, 0 = the first one after `ninstr`.
    pub index: usize,
    /// Name.
    pub name: String,
    /// Who fills it.
    pub direction: Direction,
    /// Least size in bytes.
    pub bytes: u64,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Name of the element order, see `docs/package.md`.
    pub layout: String,
    /// File with the contents, of an input that depends on nothing but the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What lies where in it, in order of offset, where several operands share the buffer. Bytes between parts mean nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// An operand that shares its host buffer with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name, unlike that of any other operand of the kernel.
    pub name: String,
    /// Where it begins in the buffer: a multiple of [`PART_ALIGN`].
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Name of the element order, see `docs/package.md`.
    pub layout: String,
    /// File with the contents, of an input that depends on nothing but the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Bytes that the offset of a [`Part`] is a multiple of: a page.
pub const PART_ALIGN: u64 = 4096;

/// An operand wherever it lies: a whole host buffer or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand<'a> {
    /// The buffer.
    pub argument: &'a Argument,
    /// Name.
    pub name: &'a str,
    /// Where it begins in the buffer.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: &'a [usize],
    /// Name of the element order.
    pub layout: &'a str,
    /// File with the contents, if the package has one.
    pub file: Option<&'a str>,
}

impl Argument {
    /// The operands in it: its parts, or itself.
    pub fn operands(&self) -> impl Iterator<Item = Operand<'_>> {
        let whole = self.parts.is_empty().then(|| Operand {
            argument: self,
            name: &self.name,
            offset: 0,
            bytes: self.bytes,
            dtype: self.dtype,
            shape: &self.shape,
            layout: &self.layout,
            file: self.file.as_deref(),
        });
        let part = move |part| Operand::of_part(self, part);
        whole.into_iter().chain(self.parts.iter().map(part))
    }
}

impl<'a> Operand<'a> {
    fn of_part(argument: &'a Argument, part: &'a Part) -> Self {
        Self {
            argument,
            name: &part.name,
            offset: part.offset,
            bytes: part.bytes,
            dtype: part.dtype,
            shape: &part.shape,
            layout: &part.layout,
            file: part.file.as_deref(),
        }
    }
}

/// Who fills a host buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The host, before the call.
    In,
    /// The kernel.
    Out,
    /// The kernel, for itself; contents mean nothing to the host.
    Scratch,
}

/// Element type of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bfloat16.
    Bf16,
    /// Signed byte.
    I8,
    /// Bytes without one element type.
    U8,
    /// 32-bit float.
    F32,
    /// 32-bit signed integer.
    I32,
}

/// Files of a kernel, by their names in the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Array configuration.
    pub pdi: String,
    /// The same for XRT.
    pub xclbin: String,
    /// Runtime stream.
    pub txn: String,
}

/// The program of one core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Column and row of the compute tile.
    pub tile: [u8; 2],
    /// Name of the file with the program memory contents.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Program addresses by symbol.
    pub symbols: BTreeMap<String, u32>,
    /// Addresses of bundles that read a register before its last writer has finished, on purpose.
    pub early_reads: Vec<u32>,
    /// Addresses of bundles with a lock instruction that guards only some memory: accesses elsewhere may be close to it.
    #[serde(default)]
    pub partial_locks: Vec<u32>,
}

/// What the compiler measured of one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Largest program of a core, in bytes.
    pub program_bytes_max: u64,
    /// Most data memory used in a compute tile, in bytes.
    pub data_bytes_max: u64,
    /// Most memory used in a memory tile, in bytes.
    pub memtile_bytes_max: u64,
    /// Bundles of all programs.
    pub bundles: u64,
    /// Buffer descriptors of the static configuration.
    pub bds: u64,
    /// Locks of the static configuration.
    pub locks: u64,
    /// Stream switch connections.
    pub routes: u64,
    /// Pipelined loops.
    pub loops: Vec<LoopReport>,
    /// What limits the kernel's speed by computation.
    pub bound: Bound,
    /// Phases in order, of a kernel that has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Parts of its program in order of address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Region>,
}

/// A phase of a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name: that of the kernel that does the same alone.
    pub name: String,
    /// Operations of the runtime stream up to its end.
    pub operations: usize,
    /// Multiply-accumulates of one call that its result needs.
    pub macs: u64,
    /// What limits its speed.
    pub bound: Bound,
    /// A compute tile's data memory while it runs, in order of address.
    pub memory: Vec<Region>,
}

/// A piece of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// What it holds.
    pub name: String,
    /// Byte offset.
    pub at: u32,
    /// Bytes.
    pub bytes: u32,
    /// Whether it outlives the phase.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

/// A software-pipelined loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopReport {
    /// Name.
    pub name: String,
    /// Initiation interval its author declared, in cycles.
    pub ii_declared: u32,
    /// Initiation interval reached, in cycles.
    pub ii_reached: u32,
    /// Multiply-accumulates of one iteration.
    pub vmac_per_ii: u32,
}

/// The resource that bounds a kernel's run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The resource, e.g. `"vec"` or `"ddr"`.
    pub resource: String,
    /// Cycles it is busy for one call, by calculation.
    pub cycles: u64,
}

impl Bound {
    /// A bound by a resource.
    pub fn new(resource: impl Into<String>, cycles: u64) -> Self {
        Self { resource: resource.into(), cycles }
    }
}

impl Report {
    /// Nothing measured but what bounds the kernel.
    pub fn new(bound: Bound) -> Self {
        Self {
            program_bytes_max: 0,
            data_bytes_max: 0,
            memtile_bytes_max: 0,
            bundles: 0,
            bds: 0,
            locks: 0,
            routes: 0,
            loops: Vec::new(),
            bound,
            phases: Vec::new(),
            sections: Vec::new(),
        }
    }
}

impl Kernel {
    /// The argument of a name.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.args.iter().find(|argument| argument.name == name)
    }

    /// All operands, in order of buffer and offset.
    pub fn operands(&self) -> impl Iterator<Item = Operand<'_>> {
        self.args.iter().flat_map(Argument::operands)
    }

    /// The operand of a name, be it a buffer of its own or a part of one.
    pub fn operand(&self, name: &str) -> Option<Operand<'_>> {
        self.operands().find(|operand| operand.name == name)
    }

    /// Name of the file that stores an argument of the kernel's case, if the package has one: contents of an input, or what any other buffer must
    /// begin with after a call.
    pub fn case_file(&self, argument: &str) -> String {
        let stem = self.files.txn.strip_suffix(".txn").unwrap_or(&self.files.txn);
        format!("{stem}.case.{argument}.bin")
    }

    /// Name of the file with what stands in such a buffer before a call, of one that the kernel reads, or leaves parts of as they were.
    pub fn case_file_before(&self, argument: &str) -> String {
        let stem = self.files.txn.strip_suffix(".txn").unwrap_or(&self.files.txn);
        format!("{stem}.case.{argument}.before.bin")
    }

    /// Names of every file the kernel refers to.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        let programs = self.programs.iter().map(|program| program.file.as_str());
        let whole = self.args.iter().filter_map(|argument| argument.file.as_deref());
        let parts = self.args.iter().flat_map(|argument| &argument.parts).filter_map(|part| part.file.as_deref());
        let contents = whole.chain(parts);
        [self.files.pdi.as_str(), &self.files.xclbin, &self.files.txn].into_iter().chain(programs).chain(contents)
    }
}
