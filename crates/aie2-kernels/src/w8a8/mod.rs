//! `w8a8_qkv_projection`: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k]
//!
//! BF16 activations, quantised per token on the NPU; INT8 weights with BF16 scales per output channel; BF16 outputs. Spec, bit for bit:
//! `oracle::w8a8`. Operand layouts: `docs/package.md`. Shape rules: K, NQ, NK, NV multiples of 256; S ≥ 1.
//!
//! | phase | loop | II | bound |
//! |---|---|---|---|
//! | quantise | `capture` | 2 for 32 values | load port A |
//! | quantise | `quantise` | 26 for 256 values | vector slot (24) |
//! | multiply | `gemm` | 64 for 64 `vmac` 4x8x8 | vector slot and both load ports |
//! | scale | `token_scales` | 8 for 8 tokens | store slot |
//! | scale | `scale` | 88 for 4 tiles of 4x8 | vector slot (68); accumulators hold two tiles under way |

//!
//! Array, program and stream also serve [`crate::w8a16`], whose activations have two int8 limbs.

mod array;
mod epilogue;
mod gemm;
mod l1;
mod program;
mod quantise;
mod stream;

use std::thread;

use aie2_array::TileKind;
use aie2_codegen::Program;
use npu_container::{pdi, txn};
use npu_package::layout::{Activations, QkvPanels, QkvShape};

use crate::{Compiled, CoreBinary, Dtype, KernelError, Operand, Usage, WeightScales, w8a16};

pub use array::GRID;

/// Name of the kernel in packages.
pub const NAME: &str = "w8a8_qkv_projection";

/// One instance: a model's projection at one sequence length.
#[derive(Clone, Copy, Debug)]
pub struct QkvProjection {
    shape: QkvShape,
}

impl QkvProjection {
    /// `seq` tokens of `hidden` inputs to NQ, NK and NV outputs; a scale for every output channel.
    ///
    /// # Errors
    /// A shape that breaks a rule, named.
    pub fn new(seq: usize, hidden: usize, n_q: usize, n_k: usize, n_v: usize) -> Result<Self, KernelError> {
        Self::of(QkvShape::new(seq, hidden, n_q, n_k, n_v)?, WeightScales::PerChannel)
    }

    /// An instance of a shape; its activations choose between W8A8 and W8A16.
    ///
    /// # Errors
    /// A record too long for the array, or a granularity of scales that the epilogue does not apply.
    pub fn of(shape: QkvShape, scales: WeightScales) -> Result<Self, KernelError> {
        match scales {
            // one scale for all is a column of equal ones
            WeightScales::PerTensor | WeightScales::PerChannel => {}
            WeightScales::PerGroup(_) => {
                return Err(KernelError::ScalesNotImplemented { kernel: name(shape.activations()), scales });
            }
        }
        let limit = array::record_bytes_max(shape.limbs() as u32) as usize;
        let (hidden, record_bytes) = (shape.panels().hidden(), shape.record_bytes());
        if record_bytes > limit {
            return Err(KernelError::RecordTooLong { hidden, record_bytes, limit });
        }
        Ok(Self { shape })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        name(self.shape.activations())
    }

    fn l1(&self) -> l1::L1 {
        let limbs = self.shape.limbs();
        l1::L1 { m: (self.shape.m() * limbs) as u32, limbs: limbs as u32 }
    }

    /// Rows, blocks and buffer sizes.
    pub fn shape(&self) -> &QkvShape {
        &self.shape
    }

    fn core(&self, locks: program::Locks) -> program::CoreProgram {
        program::CoreProgram {
            k: self.shape.panels().hidden() as u32,
            record_bytes: self.shape.record_bytes() as u32,
            l1: self.l1(),
            passes: self.shape.panels().passes() as u32,
            locks,
        }
    }

    /// Compiles program, configuration and runtime stream.
    ///
    /// # Errors
    /// A missed II, an exhausted resource or a failed check, with its place.
    pub fn compile(&self) -> Result<Compiled, KernelError> {
        self.link(self.array()?, &self.program()?.compile()?)
    }

    /// Compiles several instances. Those that differ in the runtime stream alone share one program; different ones are compiled side by side.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_all(instances: &[Self]) -> Result<Vec<Compiled>, KernelError> {
        let wanted = instances.iter().map(Self::program).collect::<Result<Vec<_>, _>>()?;
        let mut distinct = wanted.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let compiled = thread::scope(|scope| {
            let workers: Vec<_> = distinct.iter().map(|program| scope.spawn(|| program.compile())).collect();
            // PANIC: a worker only compiles; its own panic is this crate's bug and is passed on.
            workers
                .into_iter()
                .map(|worker| worker.join().expect("a compiler thread panicked"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let program = |wanted| &compiled[distinct.binary_search(wanted).expect("every wanted program was compiled")];
        instances
            .iter()
            .zip(&wanted)
            .map(|(instance, wanted)| instance.link(instance.array()?, program(wanted)))
            .collect()
    }

    fn array(&self) -> Result<array::Array, KernelError> {
        Ok(array::Array::new(self.l1(), 2 * self.shape.panels().hidden() as u32)?)
    }

    fn program(&self) -> Result<program::CoreProgram, KernelError> {
        Ok(self.core(self.array()?.locks()))
    }

    fn link(&self, array: array::Array, program: &Program) -> Result<Compiled, KernelError> {
        let configuration = array.finish(&program.bytes)?;
        let stream = stream::stream(&self.shape)?;
        let mut binary = CoreBinary::from(program);
        // The pinned loop reports what it issues; what it promises stands in its module.
        for l in binary.loops.iter_mut().filter(|l| l.name == gemm::NAME) {
            l.ii_declared = gemm::II;
            if (l.ii_reached, l.vmac_per_ii) != (gemm::II, gemm::VMAC_PER_II) {
                return Err(KernelError::LoopMissed { name: gemm::NAME, declared: gemm::II, reached: l.ii_reached });
            }
        }
        let tiles = (0..GRID).flat_map(|col| (0..GRID).map(move |row| (col, row + aie2_array::device::FIRST_CORE_ROW)));
        Ok(Compiled {
            kernel: self.name(),
            columns: GRID,
            pdi: pdi::write(&configuration.commands),
            txn: txn::write(&txn::Header::npu1(GRID), &stream.ops),
            cores: tiles.map(|tile| (tile, binary.clone())).collect(),
            operands: self.operands(),
            usage: usage(&configuration),
        })
    }

    fn operands(&self) -> Vec<Operand> {
        let (s, panels) = (&self.shape, self.shape.panels());
        let names = npu_package::layout::names::ROW_MAJOR;
        vec![
            Operand::input("x", s.x_bytes(), Dtype::Bf16, vec![s.seq(), panels.hidden()], names),
            Operand::input(
                "weights",
                s.weights_bytes(),
                Dtype::U8,
                vec![usize::from(GRID), panels.passes(), panels.units(), npu_package::layout::UNIT_BYTES],
                npu_package::layout::names::QKV_PANELS,
            ),
            Operand::output(
                "qkv",
                s.qkv_bytes(),
                Dtype::Bf16,
                vec![s.seq(), panels.n()],
                npu_package::layout::names::Q_K_V_ROW_MAJOR,
            ),
            Operand::scratch("scratch", s.scratch_bytes()),
        ]
    }
}

fn name(activations: Activations) -> &'static str {
    match activations {
        Activations::Int8 => NAME,
        Activations::Int16 => w8a16::NAME,
    }
}

pub(crate) fn usage(configuration: &aie2_array::Configuration) -> Usage {
    let of = |kind: TileKind| {
        configuration.resources.iter().filter(move |(tile, _)| tile.kind() == kind).map(|(_, used)| used)
    };
    Usage {
        tiles: of(TileKind::Core).count(),
        program_bytes_max: of(TileKind::Core).map(|r| r.program_bytes).max().unwrap_or(0),
        data_bytes_max: of(TileKind::Core).map(|r| r.memory_bytes).max().unwrap_or(0),
        memtile_bytes_max: of(TileKind::Mem).map(|r| r.memory_bytes).max().unwrap_or(0),
        bds: configuration.resources.values().map(|r| r.bds).sum(),
        locks: configuration.resources.values().map(|r| r.locks).sum(),
        routes: configuration.resources.values().map(|r| r.masters).sum(),
    }
}

/// Weights of one layer in the panel layout; the same rules as the kernel's.
///
/// # Errors
/// A shape that breaks a rule, named.
pub fn panels(hidden: usize, n_q: usize, n_k: usize, n_v: usize) -> Result<QkvPanels, KernelError> {
    Ok(QkvPanels::new(hidden, n_q, n_k, n_v)?)
}
