//! bennu's NPU kernels for Gemma 3.
//!
//! A kernel is a module that states its meaning, operand layouts, block and initiation interval, and compiles to a [`Compiled`]: configuration
//! (PDI), runtime stream (TXN) and one program per compute tile. The meaning is written down bit for bit in the dev-only crate `oracle`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use aie2_array::runtime::Stream;
use aie2_array::{Col, Configuration, Row, Tile, mlir};
use npu_container::{pdi, txn};
pub use npu_package::layout::GroupSize;

pub mod attention;
pub mod attention_decode;
pub mod attention_layer;
pub mod decode_projection;
pub mod grid;
pub mod norm_rope;
pub mod probe;
mod registers;
mod rings;
mod scaling;
pub mod w8a16;
pub mod w8a16_groups;
pub mod w8a8;

/// Names of all kernels.
pub const KERNELS: [&str; 23] = [
    w8a16::NAME,
    w8a16::O_NAME,
    w8a8::NAME,
    w8a8::O_NAME,
    decode_projection::W8A16_NAMES[0],
    decode_projection::W8A16_NAMES[1],
    decode_projection::W8A8_NAMES[0],
    decode_projection::W8A8_NAMES[1],
    w8a16_groups::NAMES[0][0],
    w8a16_groups::NAMES[0][1],
    w8a16_groups::NAMES[1][0],
    w8a16_groups::NAMES[1][1],
    w8a16_groups::decode::NAMES[0][0],
    w8a16_groups::decode::NAMES[0][1],
    w8a16_groups::decode::NAMES[1][0],
    w8a16_groups::decode::NAMES[1][1],
    norm_rope::NAME,
    norm_rope::NAME_KV8,
    attention::scaled::NAME,
    attention::scaled::NAME_KV8,
    attention_decode::NAME,
    attention_decode::NAME_KV8,
    attention_layer::NAME,
];

/// How many weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightScales {
    /// All of a projection.
    PerTensor,
    /// Those of an output channel.
    PerChannel,
    /// Consecutive inputs of an output channel.
    PerGroup(GroupSize),
}

impl std::fmt::Display for WeightScales {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WeightScales::PerTensor => f.write_str("one scale per tensor"),
            WeightScales::PerChannel => f.write_str("one scale per output channel"),
            WeightScales::PerGroup(size) => write!(f, "one scale per {} inputs", size.inputs()),
        }
    }
}

/// Why a kernel cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The shape breaks a rule of the operand layouts.
    #[error(transparent)]
    Shape(#[from] npu_package::layout::LayoutError),
    /// An attention that the array does not do.
    #[error(transparent)]
    Attention(#[from] attention::scaled::AttentionError),
    /// A quantised row does not fit the buffers that must hold one for every core.
    #[error("{inputs} inputs: a quantised row of {record_bytes} bytes exceeds the {limit} bytes of buffers for one")]
    RecordTooLong {
        /// Inputs per token.
        inputs: usize,
        /// Bytes of its record.
        record_bytes: usize,
        /// Bytes there are.
        limit: usize,
    },
    /// A call that `norm_rope` does not serve.
    #[error(transparent)]
    NormRope(#[from] norm_rope::Refusal),
    /// Phases that do not belong to one model.
    #[error(
        "{what} are {first} and {second}; the phases of one kernel belong to one model's q, k, v and o projections"
    )]
    PhasesDisagree {
        /// What should be equal.
        what: &'static str,
        /// In the first.
        first: usize,
        /// In the second.
        second: usize,
    },
    /// Weights whose scales the kernel cannot apply.
    #[error("{kernel} does not apply {scales}; it takes one per output channel or per tensor")]
    ScalesNotImplemented {
        /// The kernel.
        kernel: &'static str,
        /// The granularity asked for.
        scales: WeightScales,
    },
    /// A number that a kernel does not serve.
    #[error("{kernel}: {what}: {needed}, not {found}")]
    Refused {
        /// The kernel.
        kernel: &'static str,
        /// Of what.
        what: &'static str,
        /// The number it takes, or the limit.
        needed: usize,
        /// The number asked for.
        found: usize,
    },
    /// A loop with pinned issue times is not what its kernel declares.
    #[error("loop {name}: declared II {declared}, reached {reached}")]
    LoopMissed {
        /// The loop.
        name: &'static str,
        /// Bundles per iteration promised.
        declared: u32,
        /// Bundles per iteration in the program.
        reached: u32,
    },
    /// A core program does not schedule, allocate, fit or check.
    #[error("core program: {0}")]
    Codegen(#[from] aie2_codegen::CodegenError),
    /// The array cannot be configured as designed.
    #[error("array: {0}")]
    Array(#[from] aie2_array::Error),
    /// The dialects of MLIR-AIE cannot say what the kernel does.
    #[error(transparent)]
    Mlir(#[from] mlir::Error),
    /// A runtime stream that cannot be read.
    #[error(transparent)]
    Stream(#[from] txn::TxnError),
}

/// A compiled kernel.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Its name.
    pub kernel: &'static str,
    /// Columns of the partition.
    pub columns: u8,
    /// Configuration, to be loaded once per context.
    pub pdi: Vec<u8>,
    /// Runtime stream of one dispatch.
    pub txn: Vec<u8>,
    /// Programs by (column, array row).
    pub cores: BTreeMap<(u8, u8), CoreBinary>,
    /// Host buffers in order.
    pub operands: Vec<Operand>,
    /// What the design uses.
    pub usage: Usage,
    /// The design as it was lowered to the configuration.
    pub configuration: Arc<Configuration>,
}

impl Compiled {
    /// A kernel on all columns.
    pub(crate) fn new(
        kernel: &'static str,
        cores: BTreeMap<(u8, u8), CoreBinary>,
        configuration: Configuration,
        stream: &Stream,
        operands: Vec<Operand>,
    ) -> Self {
        Self {
            kernel,
            columns: grid::GRID,
            pdi: pdi::write(&configuration.commands),
            txn: txn::write(&txn::Header::npu1(grid::GRID), &stream.ops),
            cores,
            operands,
            usage: grid::usage(&configuration),
            configuration: Arc::new(configuration),
        }
    }

    /// The kernel as a module of the MLIR-AIE dialects; `elf_file` names the ELF of a core's program, by column and array row, if it has one.
    ///
    /// # Errors
    /// What the dialects cannot say.
    pub fn mlir(&self, elf_file: impl Fn((u8, u8)) -> Option<String>) -> Result<String, KernelError> {
        let tile = |(col, row)| Tile { col: Col(col), row: Row(row) };
        let elf_files = self.cores.keys().filter_map(|&core| Some((tile(core), elf_file(core)?))).collect();
        let arguments: Vec<u64> = self.operands.iter().map(|operand| operand.bytes as u64).collect();
        let module = mlir::Module {
            configuration: &self.configuration,
            operations: &txn::read(&self.txn)?.ops,
            arguments: &arguments,
            elf_files: &elf_files,
        };
        Ok(module.text()?)
    }
}

/// One core's program.
#[derive(Clone, Debug)]
pub struct CoreBinary {
    /// Machine code from address 0.
    pub bytes: Vec<u8>,
    /// Label to program counter.
    pub symbols: BTreeMap<String, u32>,
    /// Bundles that read a register while its next value is in flight, on purpose.
    pub early_reads: Vec<u32>,
    /// Bundles with a lock instruction that guards only some memory; accesses elsewhere may be close to it.
    pub partial_locks: Vec<u32>,
    /// Bundles.
    pub bundles: usize,
    /// Pipelined loops.
    pub loops: Vec<Loop>,
    /// Bundles with their places, and the tables of them. Shared by the cores that run it.
    pub schedule: Arc<aie2_codegen::Program>,
}

/// A software-pipelined loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Its name.
    pub name: String,
    /// Bundles per iteration that the kernel promises; 0 where it promises nothing.
    pub ii_declared: u32,
    /// Bundles per iteration in the program.
    pub ii_reached: u32,
    /// Multiply-accumulate bundles per iteration.
    pub vmac_per_ii: u32,
}

impl From<&aie2_codegen::Program> for CoreBinary {
    fn from(program: &aie2_codegen::Program) -> Self {
        Self {
            bytes: program.bytes.clone(),
            symbols: program.symbols.clone(),
            early_reads: program.early_reads.clone(),
            partial_locks: program.partial_locks.clone(),
            bundles: program.lines.len(),
            loops: program
                .loops
                .iter()
                .map(|l| Loop {
                    name: l.name.clone(),
                    ii_declared: l.ii_declared.unwrap_or(0),
                    ii_reached: l.ii_reached,
                    vmac_per_ii: l.vmac_per_ii,
                })
                .collect(),
            schedule: Arc::new(program.clone()),
        }
    }
}

/// Where an operand begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its argument.
    pub arg: u32,
    /// Byte offset in it.
    pub offset: u64,
}

impl Place {
    /// A buffer of its own.
    pub const fn whole(arg: u32) -> Self {
        Self { arg, offset: 0 }
    }

    /// A shim BD that begins so many bytes further on.
    fn bd(self, offset: u64, pattern: aie2_array::Pattern) -> aie2_array::ShimBd {
        aie2_array::ShimBd::new(self.arg, self.offset + offset, pattern)
    }

    /// The same for consecutive bytes.
    fn linear(self, offset: u64, bytes: u64) -> Result<aie2_array::ShimBd, aie2_array::Error> {
        aie2_array::ShimBd::linear(self.arg, self.offset + offset, bytes)
    }
}

/// Direction of a host buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Read by the NPU.
    In,
    /// Written by the NPU.
    Out,
    /// Both, contents of no meaning to the host.
    Scratch,
}

/// Element type of a host buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// bfloat16.
    Bf16,
    /// Bytes without one element type.
    U8,
}

/// A host buffer.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Its name.
    pub name: &'static str,
    /// Who writes it.
    pub direction: Direction,
    /// Its size.
    pub bytes: usize,
    /// Element type.
    pub dtype: Dtype,
    /// Shape in elements.
    pub shape: Vec<usize>,
    /// Layout name of `docs/package.md`.
    pub layout: &'static str,
    /// What lies where in it, in order, where several operands share it: byte offset and operand.
    pub parts: Vec<(usize, Operand)>,
}

impl Operand {
    fn new(name: &'static str, direction: Direction, bytes: usize) -> Self {
        let layout = npu_package::layout::names::OPAQUE;
        Self { name, direction, bytes, dtype: Dtype::U8, shape: vec![bytes], layout, parts: Vec::new() }
    }

    /// A buffer that the NPU reads.
    pub fn input(name: &'static str, bytes: usize, dtype: Dtype, shape: Vec<usize>, layout: &'static str) -> Self {
        Self { dtype, shape, layout, ..Self::new(name, Direction::In, bytes) }
    }

    /// A buffer that the NPU writes.
    pub fn output(name: &'static str, bytes: usize, dtype: Dtype, shape: Vec<usize>, layout: &'static str) -> Self {
        Self { dtype, shape, layout, ..Self::new(name, Direction::Out, bytes) }
    }

    /// A buffer whose contents mean nothing to the host.
    pub fn scratch(name: &'static str, bytes: usize) -> Self {
        Self::new(name, Direction::Scratch, bytes)
    }

    /// A buffer that these operands share, one after the other, each on pages of its own.
    pub fn merged(name: &'static str, direction: Direction, operands: impl IntoIterator<Item = Self>) -> Self {
        let (mut parts, mut end) = (Vec::new(), 0_usize);
        for operand in operands {
            let offset = end.next_multiple_of(npu_package::PART_ALIGN as usize);
            end = offset + operand.bytes;
            parts.push((offset, operand));
        }
        Self { parts, ..Self::new(name, direction, end) }
    }

    /// Where the part of a name begins.
    pub fn offset_of(&self, part: &str) -> Option<usize> {
        self.parts.iter().find(|(_, operand)| operand.name == part).map(|(offset, _)| *offset)
    }
}

/// Resources of a design.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Compute tiles.
    pub tiles: usize,
    /// Largest program, of 16 KiB.
    pub program_bytes_max: u32,
    /// Largest data memory, of 64 KiB.
    pub data_bytes_max: u32,
    /// Largest mem tile, of 512 KiB.
    pub memtile_bytes_max: u32,
    /// Buffer descriptors of all tiles.
    pub bds: usize,
    /// Locks of all tiles.
    pub locks: usize,
    /// Master ports switched.
    pub routes: usize,
}
