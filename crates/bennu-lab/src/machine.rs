//! One kernel of a package on the simulated array: load the PDI, run the stream, read the output.

use std::ops::Range;
use std::time::Instant;

use aie2_kernels::{Compiled, CoreBinary};
use aie2_sim::{BufferId, Config, Machine, RunReport, Timing};
use anyhow::{Context, Result, bail};
use npu_package::{Direction, Kernel, Manifest, Operand, Package};

/// Cycles per second that turn modelled cycles into time: the array clock of the timing table.
pub fn clock_hz() -> f64 {
    Timing::default().array_clock_mhz as f64 * 1e6
}

/// A loaded kernel with its host buffers.
pub struct Loaded {
    machine: Machine,
    buffers: Vec<(String, BufferId, usize)>,
    parts: Vec<Part>,
    txn: Vec<u8>,
}

/// What a run gave.
pub struct Ran {
    /// Costs.
    pub report: RunReport,
    /// Seconds on this host.
    pub wall_s: f64,
}

/// What a kernel is to the machine: the bytes of its files, and what the manifest says of them.
pub struct Binary {
    /// Array configuration.
    pub pdi: Vec<u8>,
    /// Runtime stream.
    pub txn: Vec<u8>,
    /// What each core's program declares as intended.
    pub cores: Vec<Intended>,
    /// Host buffers in call order: name and bytes.
    pub buffers: Vec<(String, usize)>,
    /// Operands that share a buffer.
    pub parts: Vec<Part>,
}

/// An operand that shares a buffer with others.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Index of the buffer.
    pub buffer: usize,
    /// Where in it.
    pub bytes: Range<usize>,
}

/// Addresses at which a core's program does on purpose what would otherwise be a fault.
pub struct Intended {
    /// Column and array row.
    pub tile: [u8; 2],
    /// Reads of an old value while a newer one is in flight.
    pub early_reads: Vec<u32>,
    /// Lock instructions close to accesses they do not guard.
    pub partial_locks: Vec<u32>,
}

impl Intended {
    fn of(program: &npu_package::Program) -> Self {
        let (early_reads, partial_locks) = (program.early_reads.clone(), program.partial_locks.clone());
        Self { tile: program.tile, early_reads, partial_locks }
    }
}

impl Binary {
    /// Reads a kernel's files, checked against their digests.
    pub fn read(package: &Package, kernel: &Kernel) -> Result<Self> {
        let buffers = kernel.args.iter().map(|arg| Ok((arg.name.clone(), usize::try_from(arg.bytes)?)));
        let parts = kernel.args.iter().filter(|arg| !arg.parts.is_empty()).flat_map(|arg| arg.operands());
        let part = |operand: Operand<'_>| -> Result<Part> {
            let (start, bytes) = (usize::try_from(operand.offset)?, usize::try_from(operand.bytes)?);
            Ok(Part { name: operand.name.to_owned(), buffer: operand.argument.index, bytes: start..start + bytes })
        };
        Ok(Self {
            pdi: package.read_file(&kernel.files.pdi)?,
            txn: package.read_file(&kernel.files.txn)?,
            cores: kernel.programs.iter().map(Intended::of).collect(),
            buffers: buffers.collect::<Result<_>>()?,
            parts: parts.map(part).collect::<Result<_>>()?,
        })
    }
}

impl From<&Compiled> for Binary {
    fn from(compiled: &Compiled) -> Self {
        let intended = |(&(col, row), core): (&(u8, u8), &CoreBinary)| Intended {
            tile: [col, row],
            early_reads: core.early_reads.clone(),
            partial_locks: core.partial_locks.clone(),
        };
        Self {
            pdi: compiled.pdi.clone(),
            txn: compiled.txn.clone(),
            cores: compiled.cores.iter().map(intended).collect(),
            buffers: compiled.operands.iter().map(|o| (o.name.to_owned(), o.bytes)).collect(),
            parts: Part::of(&compiled.operands),
        }
    }
}

impl Part {
    /// The operands that share buffers.
    pub fn of(operands: &[aie2_kernels::Operand]) -> Vec<Self> {
        let part = |buffer: usize, (start, operand): &(usize, aie2_kernels::Operand)| Self {
            name: operand.name.to_owned(),
            buffer,
            bytes: *start..start + operand.bytes,
        };
        let of = |(buffer, operand): (usize, &aie2_kernels::Operand)| {
            operand.parts.iter().map(|p| part(buffer, p)).collect::<Vec<_>>()
        };
        operands.iter().enumerate().flat_map(of).collect()
    }
}

impl Loaded {
    /// Loads a kernel and allocates its buffers. `ddr_bytes_per_s` caps all DDR traffic.
    pub fn new(binary: &Binary, ddr_bytes_per_s: Option<f64>) -> Result<Self> {
        let ddr_millibytes_per_cycle = ddr_bytes_per_s.map(|rate| (rate / clock_hz() * 1e3).round() as u64);
        Self::with(binary, Config { ddr_millibytes_per_cycle, ..Config::default() })
    }

    /// Loads a kernel into a machine of these parameters and allocates its buffers.
    pub fn with(binary: &Binary, config: Config) -> Result<Self> {
        let mut machine = Machine::new(config);
        machine.load_pdi(&binary.pdi).context("loading the PDI")?;
        for Intended { tile: [col, row], early_reads, partial_locks } in &binary.cores {
            let core = machine.core_mut(*col, *row)?;
            core.allow_early_reads(early_reads.iter().copied());
            core.allow_partial_locks(partial_locks.iter().copied());
        }
        let buffers =
            binary.buffers.iter().map(|(name, bytes)| (name.clone(), machine.alloc(name, *bytes), *bytes)).collect();
        Ok(Self { machine, buffers, parts: binary.parts.clone(), txn: binary.txn.clone() })
    }

    /// The simulated machine, for hooks.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The buffer of a name.
    pub fn buffer(&self, name: &str) -> Result<BufferId> {
        Ok(self.named(name)?.0)
    }

    fn named(&self, name: &str) -> Result<(BufferId, usize)> {
        let found = self.buffers.iter().find(|(n, ..)| n == name).map(|(_, id, bytes)| (*id, *bytes));
        found.with_context(|| format!("the kernel has no buffer {name:?}"))
    }

    /// The place of an operand: a buffer of its own or a part of one.
    fn place(&self, name: &str) -> Result<(BufferId, Range<usize>)> {
        if let Some(part) = self.parts.iter().find(|part| part.name == name) {
            return Ok((self.buffers[part.buffer].1, part.bytes.clone()));
        }
        let (buffer, bytes) = self.named(name)?;
        Ok((buffer, 0..bytes))
    }

    /// Fills an operand from its start.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let (buffer, place) = self.place(name)?;
        if bytes.len() > place.len() {
            bail!("{} bytes for {name:?}, which has {}", bytes.len(), place.len());
        }
        Ok(self.machine.write_buffer(buffer, place.start, bytes)?)
    }

    /// Runs the stream once.
    pub fn run(&mut self) -> Result<Ran> {
        let start = Instant::now();
        let ids: Vec<BufferId> = self.buffers.iter().map(|(_, id, _)| *id).collect();
        let report = self.machine.run(&self.txn, &ids).context("running the instruction stream")?;
        Ok(Ran { report, wall_s: start.elapsed().as_secs_f64() })
    }

    /// Reads an operand; every byte must have been written.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (buffer, place) = self.place(name)?;
        Ok(self.machine.read_buffer_range(buffer, place.start, place.len())?)
    }
}

/// Which kernels of a package.
#[derive(Debug, Default, clap::Args)]
pub struct Only {
    /// Only the kernels of these names
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    kernel: Vec<String>,

    /// Only the kernels of these sequence lengths
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    seq: Vec<usize>,
}

impl Only {
    /// Whether a kernel is among them.
    pub fn holds(&self, kernel: &Kernel) -> bool {
        let named = self.kernel.is_empty() || self.kernel.contains(&kernel.kernel);
        named && (self.seq.is_empty() || self.seq.contains(&kernel.seq))
    }
}

/// The one kernel that the name, the sequence length and the kind of layer leave.
pub fn pick<'a>(
    manifest: &'a Manifest,
    name: Option<&str>,
    seq: Option<usize>,
    layer: Option<&str>,
) -> Result<&'a Kernel> {
    let of_layer = |k: &Kernel| layer.is_none_or(|layer| k.context.is_some_and(|at| at.layer.name() == layer));
    let wanted = |k: &&Kernel| name.is_none_or(|n| n == k.kernel) && seq.is_none_or(|s| s == k.seq) && of_layer(k);
    let list = |kernels: &[&Kernel]| {
        let layer = |k: &Kernel| k.context.map_or_else(String::new, |at| format!(" --layer {}", at.layer.name()));
        kernels.iter().map(|k| format!("{} --seq {}{}", k.kernel, k.seq, layer(k))).collect::<Vec<_>>().join(", ")
    };
    match manifest.kernels.iter().filter(wanted).collect::<Vec<_>>()[..] {
        [kernel] => Ok(kernel),
        [] => bail!("no such kernel; the package holds {}", list(&manifest.kernels.iter().collect::<Vec<_>>())),
        ref several => bail!("several kernels fit: {}", list(several)),
    }
}

/// Refuses kernels this tool has no specification for.
pub fn known(kernel: &Kernel) -> Result<()> {
    let (name, (x, y)) = (&kernel.kernel, crate::case::kind(kernel)?.operands());
    let expected =
        [(x, Direction::In), ("weights", Direction::In), (y, Direction::Out), ("scratch", Direction::Scratch)];
    for (buffer, direction) in expected {
        match kernel.argument(buffer) {
            Some(arg) if arg.direction == direction => {}
            _ => bail!("kernel {name:?} must have a buffer {buffer:?} ({direction:?})"),
        }
    }
    Ok(())
}
