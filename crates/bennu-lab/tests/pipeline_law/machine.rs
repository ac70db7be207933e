//! Running programs and watching what arrives where: the pipelined run, and the sequential one it is held to.
//!
//! An operation's results are sampled when they land (issue + D - 1), its sources when they are read (issue + U - 1), so that a wrong value
//! is seen even if nobody uses it afterwards.

use std::collections::{BTreeMap, HashMap};

use aie2_codegen::check::{Certificate, OpNo};
use aie2_isa::{Access, Atom, Bundle, Bypass, File, Insn};
use aie2_sim::core::EarlyReads;
use aie2_sim::port::{CORE_MEM_BYTES, CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{Core, Fault};

use crate::generate::observed;

/// Bundles after which no operation of an earlier one is under way: the write of a part-word store is the last, in cycle 11.
pub const QUIET: usize = 12;

/// No program of these tests issues more bundles.
const BUNDLE_LIMIT: usize = 6_000;

/// Unit of addressing: every access starts at a multiple of it and stays inside, so accesses overlap exactly if they name the same granule.
pub const GRANULE: u32 = 32;

/// Registers and memory before a program.
#[derive(Clone)]
pub struct Start {
    pub registers: Vec<(Atom, Vec<u8>)>,
    pub memory: Vec<u8>,
}

type Bytes = Option<Vec<u8>>;

/// Everything observable of a run.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Results of every execution of an operation, piece by piece.
    pub results: BTreeMap<OpNo, Vec<Vec<Bytes>>>,
    /// Stores by granule, in order.
    pub stores: BTreeMap<u32, Vec<(u32, Vec<u8>)>>,
    pub locks: Vec<(u8, i8)>,
    pub registers: Vec<Bytes>,
}

/// What arrived at the sources, by operation and execution.
pub type Sources = BTreeMap<OpNo, Vec<Vec<Bytes>>>;

pub struct Bus {
    pub memory: Vec<u8>,
    pub trace: Trace,
    /// Accesses in order.
    pub touched: Vec<u32>,
}

impl Bus {
    fn new(start: &Start) -> Self {
        Self { memory: start.memory.clone(), trace: Trace::default(), touched: Vec::new() }
    }

    fn at(&self, addr: u32, bytes: usize) -> Result<usize, Fault> {
        let at = addr.checked_sub(OWN_WINDOW).map(|a| a as usize).filter(|a| a + bytes <= CORE_MEM_BYTES);
        at.ok_or(Fault::CoreAddress { tile: self.tile(), addr, bytes: bytes as u32 })
    }
}

impl CoreBus for Bus {
    fn tile(&self) -> TileLoc {
        TileLoc::new(0, 2)
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = self.at(addr, out.len())?;
        out.copy_from_slice(&self.memory[at..at + out.len()]);
        self.touched.push(addr);
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        let at = self.at(addr, data.len())?;
        self.memory[at..at + data.len()].copy_from_slice(data);
        self.trace.stores.entry(addr / GRANULE).or_default().push((addr, data.to_vec()));
        self.touched.push(addr);
        Ok(())
    }

    fn lock(&mut self, id: u8, op: LockOp) -> Result<bool, Fault> {
        let (LockOp::Acquire { value } | LockOp::Release { value }) = op;
        self.trace.locks.push((id, value));
        Ok(true)
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(None)
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Ok(false)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// Pieces of a list of accesses, in the order of a certificate.
pub fn pieces(list: &[Access]) -> impl Iterator<Item = (Atom, u8, Option<Bypass>)> + '_ {
    list.iter().flat_map(|a| a.reg.atoms().iter().map(move |atom| (*atom, a.cycle, a.bypass)))
}

/// Registers of which a run is judged: not the sticky flags, which the core model does not keep, nor what the loop hardware owns.
fn judged(atom: Atom) -> bool {
    match atom.file() {
        File::Sr => atom.reg().name() == "srCarry",
        File::Ls | File::Le | File::Lc | File::Lr | File::CoreId | File::Cntr | File::Dp => false,
        _ => true,
    }
}

fn started(start: &Start) -> Core {
    let mut core = Core::new();
    start.registers.iter().for_each(|(atom, bytes)| core.set_register(atom.reg(), bytes));
    core
}

fn sample(core: &Core, atom: Atom) -> Bytes {
    if judged(atom) { core.register(atom.reg()) } else { None }
}

fn finish(core: &Core, mut bus: Bus) -> Trace {
    bus.trace.registers = Atom::all().filter(|a| observed(*a)).map(|a| sample(core, a)).collect();
    bus.trace
}

/// A program as the core sees it, and which operation each of its instructions is.
#[derive(Clone)]
pub struct Code {
    pub bytes: Vec<u8>,
    pub entry: u32,
    pub certificate: Certificate,
}

/// How reads of a register with a write in flight are met.
pub enum Early<'a> {
    /// They are faults but in these bundles.
    Listed(&'a [u32]),
    /// The old value is read, as on hardware.
    Anywhere,
}

/// Why a run gave nothing.
#[derive(Debug)]
pub enum Stop {
    Fault(Fault),
    /// It goes on and on: a branch or the end of the program is where it should not be.
    Endless,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a pipelined run gave.
pub struct Ran {
    pub trace: Trace,
    pub sources: Sources,
    pub bank_stalls: u64,
}

impl Code {
    /// Operations of the bundle at `pc`.
    fn ops(&self, pc: u32) -> Vec<(OpNo, Insn)> {
        let Ok((bundle, ..)) = Bundle::decode(&self.bytes[pc as usize..]) else { return Vec::new() };
        let notes = self.certificate.bundles.get(&pc);
        let note = |insn: &Insn| notes?.ops.iter().find(|n| n.slot == insn.slot()).map(|n| (n.op, *insn));
        bundle.iter().filter_map(note).collect()
    }

    /// Runs the program; operations for which `watch` does not hold are not traced, sources only on demand.
    pub fn run(&self, start: &Start, early: &Early<'_>, see: bool, watch: impl Fn(OpNo) -> bool) -> Result<Ran, Stop> {
        let mut core = started(start);
        core.load_program(&self.bytes).expect("the program fits");
        core.set_pc(self.entry);
        match early {
            Early::Listed(pcs) => core.allow_early_reads(pcs.iter().copied()),
            Early::Anywhere => core.set_early_reads(EarlyReads::Anywhere),
        }
        let mut bus = Bus::new(start);
        let mut sources = Sources::new();
        // By time: (operation, execution, piece, register, bypass).
        let mut landing: BTreeMap<usize, Vec<(OpNo, usize, usize, Atom, Option<Bypass>)>> = BTreeMap::new();
        let mut reading = landing.clone();
        let mut decoded: HashMap<u32, Vec<(OpNo, Insn)>> = HashMap::new();
        for now in 0..BUNDLE_LIMIT {
            let pc = core.pc();
            let ops = decoded.entry(pc).or_insert_with(|| self.ops(pc));
            for (op, insn) in ops.iter().filter(|(op, _)| watch(*op)) {
                let timing = insn.timing();
                let (results, used) = (bus.trace.results.entry(*op).or_default(), sources.entry(*op).or_default());
                let n = results.len();
                results.push(vec![None; pieces(timing.defs()).count()]);
                used.push(vec![None; pieces(timing.uses()).count()]);
                for (k, (atom, cycle, bypass)) in pieces(timing.defs()).enumerate() {
                    landing.entry(now + usize::from(cycle) - 1).or_default().push((*op, n, k, atom, bypass));
                }
                for (k, (atom, cycle, bypass)) in pieces(timing.uses()).enumerate().filter(|_| see) {
                    let at = now + usize::from(cycle.max(1)) - 1;
                    reading.entry(at).or_default().push((*op, n, k, atom, bypass));
                }
            }
            let landed = landing.remove(&now).unwrap_or_default();
            let read = reading.remove(&now).unwrap_or_default();
            let forwarded = |atom, bypass: Option<Bypass>| {
                bypass.is_some() && landed.iter().any(|(_, _, _, a, b)| *a == atom && *b == bypass)
            };
            for (op, n, k, atom, bypass) in &read {
                if !forwarded(*atom, *bypass) {
                    sources.get_mut(op).expect("issued")[*n][*k] = sample(&core, *atom);
                }
            }
            match core.step(&mut bus)? {
                Step::Halted => {
                    let bank_stalls = core.stats().bank_stalls;
                    return Ok(Ran { trace: finish(&core, bus), sources, bank_stalls });
                }
                Step::Issued { .. } => {}
                Step::Blocked(why) => panic!("nothing here blocks: {why}"),
            }
            for (op, n, k, atom, bypass) in &read {
                if forwarded(*atom, *bypass) {
                    sources.get_mut(op).expect("issued")[*n][*k] = sample(&core, *atom);
                }
            }
            for (op, n, k, atom, _) in landed {
                bus.trace.results.get_mut(&op).expect("issued")[n][k] = sample(&core, atom);
            }
        }
        Err(Stop::Endless)
    }
}

/// What a sequential run gave.
pub struct Done {
    pub trace: Trace,
    pub sources: Sources,
    /// Address of the access of each operation, and whether a store changed nothing, by execution.
    pub accesses: BTreeMap<OpNo, Vec<(u32, bool)>>,
}

/// The sequential machine: one operation at a time, each with the pipeline to itself.
pub struct Sequential {
    core: Core,
    bus: Bus,
    place: HashMap<OpNo, (u32, Insn)>,
    sources: Sources,
    accesses: BTreeMap<OpNo, Vec<(u32, bool)>>,
    /// Source values to be given to an execution instead of its own.
    inject: Sources,
}

impl Sequential {
    pub fn new(start: &Start, ops: &[(OpNo, Insn)], inject: Sources) -> Self {
        let mut core = started(start);
        let (mut bytes, mut place) = (Vec::new(), HashMap::new());
        for (op, insn) in ops {
            place.insert(*op, (bytes.len() as u32, *insn));
            bytes.extend_from_slice(&Bundle::with(&[*insn]).expect("one instruction").encode());
            (0..QUIET).for_each(|_| bytes.extend_from_slice(&Bundle::new().encode()));
        }
        core.load_program(&bytes).expect("the program fits");
        let (sources, accesses) = (Sources::new(), BTreeMap::new());
        Self { core, bus: Bus::new(start), place, sources, accesses, inject }
    }

    /// Executes one operation.
    pub fn execute(&mut self, op: OpNo) -> Result<(), Fault> {
        let (pc, insn) = self.place[&op];
        let timing = insn.timing();
        let read: Vec<Bytes> = pieces(timing.uses()).map(|(atom, ..)| sample(&self.core, atom)).collect();
        let n = self.sources.get(&op).map_or(0, Vec::len);
        let mut changed = Vec::new();
        if let Some(values) = self.inject.get(&op).and_then(|list| list.get(n)) {
            for ((atom, ..), (own, other)) in pieces(timing.uses()).zip(read.iter().zip(values)) {
                if let (Some(own), Some(other)) = (own, other)
                    && own != other
                {
                    self.core.set_register(atom.reg(), other);
                    changed.push((atom, own.clone()));
                }
            }
        }
        self.sources.entry(op).or_default().push(read);
        let (before, touched) = (self.bus.memory.clone(), self.bus.touched.len());
        self.core.set_pc(pc);
        for _ in 0..=QUIET {
            match self.core.step(&mut self.bus)? {
                Step::Issued { .. } => {}
                other => panic!("{insn}: {other:?}"),
            }
        }
        let results: Vec<Bytes> = pieces(timing.defs()).map(|(atom, ..)| sample(&self.core, atom)).collect();
        self.bus.trace.results.entry(op).or_default().push(results);
        if let Some(addr) = self.bus.touched.get(touched) {
            let silent = before == self.bus.memory;
            self.accesses.entry(op).or_default().push((*addr, silent));
        }
        // An injected value is for this reader alone.
        for (atom, own) in changed {
            if pieces(timing.defs()).all(|(def, ..)| def != atom) {
                self.core.set_register(atom.reg(), &own);
            }
        }
        Ok(())
    }

    /// Value of a scalar register.
    pub fn scalar(&self, name: &str) -> u32 {
        let reg = aie2_isa::Reg::from_name(name).expect("a register");
        let bytes = self.core.register(reg).expect("written");
        u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
    }

    pub fn finish(self) -> Done {
        Done { trace: finish(&self.core, self.bus), sources: self.sources, accesses: self.accesses }
    }
}
