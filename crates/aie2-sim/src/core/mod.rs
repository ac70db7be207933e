//! One AIE2 core: an interpreter of program-memory bytes with the exposed pipeline.
//!
//! ```text
//! program bytes → Bundle (aie2-isa) → micro-operations (lower, once per address)
//! step: stages of earlier bundles due now (late) → issue stage (exec) → memory writes → landings (state)
//! ```
//! Nothing waits for a register; what hardware leaves undefined is a [`CoreFault`], never a plausible value.

mod exec;
mod flight;
mod host;
mod late;
mod lower;
mod lower_vector;
mod micro;
mod op;
mod program;
pub mod sem;
mod state;
mod units;

use crate::core_fault::{CoreFault, CoreFaultKind};
use crate::fault::Fault;
use crate::port::{CoreBus, CoreStats, PROGRAM_MEM_BYTES, Step};
use aie2_isa::Reg;
use exec::{Flow, Granted, MacCount, MacType};
use flight::{Flights, Seen};
use late::{Banks, Memory, Trouble};
use micro::Micro;
use op::Op;
use program::Program;
use state::State;
use std::ops::ControlFlow;

/// Bundles between the last write of a loop register and the loop end, in bytes of program.
// SOURCE: Xilinx/llvm-aie AIEMachineAlignment.cpp, hardware loop lowering: 7 x 16 bytes.
const LOOP_SETUP_BYTES: u64 = 112;
/// Delay slots of every branch.
// SOURCE: Xilinx/llvm-aie AIEBaseInstrInfo.cpp.
const DELAY_SLOTS: u8 = 5;
/// Bundles that still issue after `done`.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td II_DONE (effect after 6 bundles).
const DONE_SLOTS: u8 = 5;
/// Which reads of a register with a write in flight are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EarlyReads {
    /// Only in bundles listed by [`Core::allow_early_reads`]; elsewhere the read is a fault.
    #[default]
    Listed,
    /// Everywhere: the old value is read, as on hardware.
    Anywhere,
}

/// Which lock instructions may stand close to accesses that they do not guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PartialLocks {
    /// Those listed by [`Core::allow_partial_locks`]; elsewhere it is a fault.
    #[default]
    Listed,
    /// All, as on hardware: a race shows as wrong data.
    Anywhere,
}

/// Multiply-accumulates by operand type.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MacStats {
    /// int8 x int4.
    pub i8_i4: u64,
    /// int8 x int8.
    pub i8_i8: u64,
    /// int16 x int8.
    pub i16_i8: u64,
    /// int16 x int16.
    pub i16_i16: u64,
    /// int32 x int16.
    pub i32_i16: u64,
    /// bf16 x bf16.
    pub bf16: u64,
}

/// One core.
pub struct Core {
    program: Program,
    state: State,
    flights: Flights,
    pc: u32,
    stats: CoreStats,
    macs: MacCount,
    early_reads: EarlyReads,
    breakpoints: Vec<u32>,
    granted: Granted,
    banks: Banks,
    part_words: Vec<late::PartWord>,
    /// Delay slots still to issue, and where to go after them.
    delay: u8,
    target: Option<u32>,
    link: Option<op::SDst>,
    done: Option<u8>,
    halted: bool,
    /// Bytes of program issued, and their number when a loop register was last written.
    issued_bytes: u64,
    loop_written_at: u64,
    /// Cycles lost per conflict with itself over a bank, and per lock instruction.
    conflict_cycles: u8,
    lock_cycles: u8,
}

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}

impl Core {
    /// A core in reset: no program, every register unwritten.
    pub fn new() -> Self {
        Self {
            program: Program::new(),
            state: State::new(),
            flights: Flights::new(),
            pc: 0,
            stats: CoreStats::default(),
            macs: MacCount::default(),
            early_reads: EarlyReads::default(),
            breakpoints: Vec::new(),
            granted: Granted::default(),
            banks: Banks::default(),
            part_words: Vec::new(),
            delay: 0,
            target: None,
            link: None,
            done: None,
            halted: false,
            issued_bytes: 0,
            loop_written_at: 0,
            conflict_cycles: 1,
            lock_cycles: 1,
        }
    }

    /// Writes program memory at byte `offset`.
    ///
    /// # Errors
    /// If the bytes do not fit into the 16 KiB.
    pub fn write_program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), CoreFault> {
        self.flights.unchain();
        self.program.write(offset, bytes).map_err(|kind| CoreFault { bundle: String::new(), issued: 0, kind })
    }

    /// Writes a program at address 0.
    ///
    /// # Errors
    /// If it does not fit into the 16 KiB.
    pub fn load_program(&mut self, bytes: &[u8]) -> Result<(), CoreFault> {
        self.write_program(0, bytes)
    }

    /// Reset: program counter 0, registers unwritten, nothing in flight. The program stays.
    pub fn reset(&mut self) {
        let program = std::mem::replace(&mut self.program, Program::new());
        let (early_reads, breakpoints) = (self.early_reads, std::mem::take(&mut self.breakpoints));
        let (conflict_cycles, lock_cycles) = (self.conflict_cycles, self.lock_cycles);
        *self = Self { program, early_reads, breakpoints, conflict_cycles, lock_cycles, ..Self::new() };
    }

    /// Address of the next bundle.
    pub fn pc(&self) -> u32 {
        self.pc
    }

    /// Starts at another address.
    pub fn set_pc(&mut self, pc: u32) {
        self.pc = pc;
    }

    /// A bundle has issued whose memory access, in a later cycle, goes outside the core's own memory.
    pub fn reaches_out(&self) -> bool {
        self.state.reaches_out
    }

    /// Counters.
    pub fn stats(&self) -> CoreStats {
        CoreStats { vmacs: self.macs.vmacs, macs: self.macs.by_type.iter().sum(), ..self.stats }
    }

    /// Multiply-accumulates by operand type.
    pub fn mac_stats(&self) -> MacStats {
        let of = |kind| self.macs.of(kind);
        MacStats {
            i8_i4: of(MacType::I8I4),
            i8_i8: of(MacType::I8I8),
            i16_i8: of(MacType::I16I8),
            i16_i16: of(MacType::I16I16),
            i32_i16: of(MacType::I32I16),
            bf16: of(MacType::Bf16),
        }
    }

    /// Whether `done` has taken effect.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// What happens at a read of a register with a write in flight.
    pub fn set_early_reads(&mut self, mode: EarlyReads) {
        // What was checked was checked under the old mode.
        self.state.epoch += 1;
        self.early_reads = mode;
    }

    /// Bundles (by address) that read old values on purpose.
    pub fn allow_early_reads(&mut self, pcs: impl IntoIterator<Item = u32>) {
        self.flights.unchain();
        self.program.set_early_reads(pcs);
    }

    /// Bundles (by address) whose lock instruction guards only some memory, so that accesses elsewhere may be close to it. What it does
    /// guard is then the compiler's to prove; a race shows as wrong data.
    pub fn allow_partial_locks(&mut self, pcs: impl IntoIterator<Item = u32>) {
        self.flights.unchain();
        self.program.set_partial_locks(pcs);
    }

    /// What a lock instruction close to an access of the same core means, in bundles that [`Core::allow_partial_locks`] does not list.
    pub fn set_partial_locks(&mut self, mode: PartialLocks) {
        self.flights.unchain();
        self.program.set_partial_locks_anywhere(mode == PartialLocks::Anywhere);
    }

    /// Cycles lost per further access to a bank of the same bundle, and per lock instruction.
    // SOURCE: the timing table of the array, `core_bank_conflict` and `core_lock_instruction`.
    pub fn set_stall_cycles(&mut self, conflict: u8, lock: u8) {
        (self.conflict_cycles, self.lock_cycles) = (conflict, lock);
    }

    /// Addresses to watch.
    pub fn set_breakpoints(&mut self, pcs: &[u32]) {
        self.breakpoints = pcs.to_vec();
        self.breakpoints.sort_unstable();
    }

    /// Whether the next bundle is watched.
    pub fn at_breakpoint(&self) -> bool {
        !self.breakpoints.is_empty() && self.breakpoints.binary_search(&self.pc).is_ok()
    }

    /// Content of a register, little-endian; `None` if any part was never written. Writes in flight are not seen.
    pub fn register(&self, reg: Reg) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for &atom in reg.atoms() {
            let unit = units::of_atom(atom);
            if !self.state.init.contains(unit) {
                return None;
            }
            if unit < units::W {
                out.extend_from_slice(&self.state.s(unit).to_le_bytes());
            } else {
                let bytes = if unit >= units::Q { 16 } else { 32 };
                out.extend_from_slice(self.state.vector.of(unit, bytes));
            }
        }
        Some(out)
    }

    /// Sets a register as if written long ago: 4 bytes per scalar part, 32 per vector piece, 16 per mask. Missing bytes
    /// are zero.
    pub fn set_register(&mut self, reg: Reg, bytes: &[u8]) {
        let mut at = 0;
        for &atom in reg.atoms() {
            let unit = units::of_atom(atom);
            let n = if unit < units::W {
                4
            } else if unit >= units::Q {
                16
            } else {
                32
            };
            let mut part = [0; 32];
            let rest = bytes.get(at..).unwrap_or(&[]);
            let take = rest.len().min(n);
            part[..take].copy_from_slice(&rest[..take]);
            self.state.preset(unit, &part);
            at += n;
        }
    }

    fn fault<B: CoreBus + ?Sized>(&self, bus: &B, pc: u32, kind: CoreFaultKind) -> Fault {
        let fault = CoreFault { bundle: self.program.text(pc), issued: self.stats.bundles, kind };
        Fault::Core { tile: bus.tile(), pc, fault }
    }

    fn trouble<B: CoreBus + ?Sized>(&self, bus: &B, pc: u32, trouble: Trouble) -> Fault {
        match trouble {
            Trouble::Core(kind) => self.fault(bus, pc, kind),
            Trouble::Bus(fault) => fault,
        }
    }

    /// Issues one bundle, or reports why it cannot issue now.
    ///
    /// # Errors
    /// When the program does something undefined or unmodelled, or the bus refuses an access for good.
    #[inline(always)]
    pub fn step<B: CoreBus + ?Sized>(&mut self, bus: &mut B) -> Result<Step, Fault> {
        self.try_step(bus).map_err(|(pc, why)| self.trouble(bus, pc, *why))
    }

    /// Number and edge of the bundle at `pc`.
    #[inline(never)]
    fn place(&mut self, pc: u32) -> Result<(u32, usize), CoreFaultKind> {
        let index = self.program.lookup(pc)?;
        let d = &self.program.bundles[index as usize];
        let at = match self.flights.edge(index, Some(d)) {
            Ok(at) => at,
            Err(clash) => {
                // What a bundle reads comes before what it claims.
                if !d.early_reads_allowed && self.early_reads != EarlyReads::Anywhere {
                    self.flights.early_fault(d)?;
                }
                return Err(clash);
            }
        };
        self.flights.chain(pc, index, at);
        Ok((index, at))
    }

    /// Issues bundles until `each` is satisfied with what came of one.
    ///
    /// # Errors
    /// As [`Core::step`].
    pub fn run<B: CoreBus + ?Sized, R>(
        &mut self,
        bus: &mut B,
        mut each: impl FnMut(&mut B, &Self, Step) -> ControlFlow<R>,
    ) -> Result<R, Fault> {
        let host = self.state.host;
        host.vectorize(
            #[inline(always)]
            || loop {
                let step = self.step(bus)?;
                if let ControlFlow::Break(r) = each(bus, self, step) {
                    return Ok(r);
                }
            },
        )
    }

    #[inline(always)]
    fn try_step<B: CoreBus + ?Sized>(&mut self, bus: &mut B) -> Result<Step, (u32, Box<Trouble>)> {
        if self.halted {
            return Ok(Step::Halted);
        }
        let pc = self.pc;
        let here = |kind: CoreFaultKind| (pc, kind.into());
        let (index, at) = match self.flights.chained(pc) {
            Some(found) => found,
            None => self.place(pc).map_err(here)?,
        };
        let d = &self.program.bundles[index as usize];
        let edge = self.flights.at(at);
        let epoch = self.state.epoch;
        let settled = edge.settled == epoch;
        let early_ok = edge.leave || self.early_reads == EarlyReads::Anywhere;
        if !settled {
            self.state.check_reads(d).map_err(here)?;
            if edge.early && !early_ok {
                self.flights.early_fault(d).map_err(here)?;
            }
        }
        let seen = Seen { flights: &self.flights, edge, early_ok, settled };
        if !edge.plain && d.blocking {
            match self.state.try_blocking(d, seen, &mut self.granted, bus).map_err(here)? {
                Err(fault) => return Err((pc, Box::new(Trouble::Bus(fault)))),
                Ok(Some(reason)) => return Ok(Step::Blocked(reason)),
                Ok(None) => {}
            }
        }
        let mut mem = Memory::new(&mut self.banks, &mut self.part_words);
        let mut flow = Flow::default();
        let bundles = &self.program.bundles;
        let address = |(bundle, why): (u32, Trouble)| (bundles[bundle as usize].pc, why.into());
        if self.state.has_late() {
            self.state.run_late(bundles, seen, bus, &mut mem).map_err(address)?;
        }
        for step in self.flights.of(edge.steps) {
            match *step {
                Micro::Issue { op } => {
                    let op = usize::from(op);
                    self.state.issue(index, op, &d.ops[op], seen, &self.granted, &mut flow).map_err(here)?;
                }
                _ => {
                    let ran = self.state.step(step, seen, bus, &mut mem, &mut self.macs);
                    ran.map_err(|why| (self.state.issued_at(bundles, step, pc), why))?;
                }
            }
        }
        if self.state.has_stores() {
            self.state.run_stores(bundles, bus, &mut mem).map_err(address)?;
        }
        let (banks, conflicts) = mem.banks.end();
        let (len, plain) = (edge.len, edge.plain);
        if !plain && d.branch && self.delay == 0 {
            self.link = d.ops.iter().find_map(|op| if let Op::Branch { link, .. } = op { *link } else { None });
        }
        let blocking = !plain && d.blocking;
        let on = plain && self.delay == 0 && !self.ends_loop(pc, len);
        let next = if on { pc + len } else { self.advance(index, &flow).map_err(here)? };
        if !settled {
            let word = self.state.settling_word;
            let edge = self.flights.at_mut(at);
            (edge.settled, edge.word) = (epoch, word);
        }
        self.state.commit(index, self.flights.at(at), self.flights.of(self.flights.at(at).landings));
        self.flights.follow(at);
        self.pc = next;
        self.issued_bytes += u64::from(len);
        self.stats.bundles += 1;
        let mut stall_cycles = conflicts * self.conflict_cycles;
        self.stats.bank_stalls += u64::from(stall_cycles);
        if blocking {
            let locks = std::mem::take(&mut self.granted).locks.count_ones() as u8;
            self.stats.lock_ops += u64::from(locks);
            stall_cycles += locks * self.lock_cycles;
        }
        if flow.done {
            self.done = Some(DONE_SLOTS + 1);
        }
        if let Some(left) = self.done {
            if left <= 1 {
                self.drain(bus)?;
                self.halted = true;
            }
            self.done = Some(left - 1);
        }
        Ok(Step::Issued { banks, stall_cycles })
    }

    /// Whether the hardware loop ends inside the bundle at `pc`.
    #[inline(always)]
    fn ends_loop(&self, pc: u32, len: u32) -> bool {
        self.state.s(units::LE).wrapping_sub(pc) < len && self.state.init.contains(units::LE)
    }

    /// The address of the next bundle: delay slots, branches, the hardware loop.
    fn advance(&mut self, index: u32, flow: &Flow) -> Result<u32, CoreFaultKind> {
        let d = &self.program.bundles[index as usize];
        let (pc, len) = (d.pc, d.len);
        let mut next = pc + len;
        let le = self.state.s(units::LE);
        let at_end = self.ends_loop(pc, len);
        if self.delay > 0 {
            if flow.branch {
                return Err(CoreFaultKind::BranchInDelaySlot);
            }
            if at_end {
                return Err(CoreFaultKind::LoopEndInDelaySlot);
            }
            self.delay -= 1;
            if self.delay == 0
                && let Some(target) = self.target.take()
            {
                next = aligned_target(target)?;
            }
        } else if at_end {
            if flow.branch {
                return Err(CoreFaultKind::LoopEndInDelaySlot);
            }
            next = self.loop_end(index, le, next)?;
        }
        if flow.branch {
            self.delay = DELAY_SLOTS;
            self.target = flow.target;
            if let Some(link) = self.link.take() {
                let back = self.return_address(pc + len)?;
                self.state.put(link, u64::from(back));
            }
        }
        if self.program.bundles[index as usize].sets_loop {
            self.loop_written_at = self.issued_bytes + u64::from(len);
        }
        Ok(next)
    }

    fn loop_end(&mut self, index: u32, le: u32, next: u32) -> Result<u32, CoreFaultKind> {
        let d = &self.program.bundles[index as usize];
        if le != d.pc || !le.is_multiple_of(16) || d.len != 16 {
            return Err(CoreFaultKind::LoopEnd { le });
        }
        let loop_units = [units::LS, units::LE, units::LC];
        for unit in loop_units {
            if !self.state.init.contains(unit) {
                return Err(CoreFaultKind::Uninitialised { register: units::name(unit), cycle: 1 });
            }
        }
        let distance = self.issued_bytes - self.loop_written_at;
        if distance < LOOP_SETUP_BYTES {
            return Err(CoreFaultKind::LoopSetup { distance });
        }
        if d.part_word_store {
            return Err(CoreFaultKind::LoopEndPartWordStore);
        }
        match self.state.s(units::LC) {
            0 => Err(CoreFaultKind::LoopCount),
            1 => {
                // Sources differ on the count that stays behind (0 or 1), so reading it or looping again needs a new one.
                self.state.forget(units::LC);
                Ok(next)
            }
            n => {
                self.state.preset(units::LC, &(n - 1).to_le_bytes());
                aligned_target(self.state.s(units::LS))
            }
        }
    }

    /// Address after five more bundles.
    fn return_address(&mut self, mut pc: u32) -> Result<u32, CoreFaultKind> {
        for _ in 0..DELAY_SLOTS {
            let i = self.program.lookup(pc)?;
            pc += self.program.bundles[i as usize].len;
        }
        Ok(pc)
    }

    /// Runs what is in flight to its end.
    fn drain<B: CoreBus + ?Sized>(&mut self, bus: &mut B) -> Result<(), (u32, Box<Trouble>)> {
        let pc = self.pc;
        while self.flights.draining() || self.state.draining() {
            let at = self.flights.edge(flight::IDLE, None).map_err(|kind| (pc, kind.into()))?;
            let edge = self.flights.at(at);
            let seen = Seen { flights: &self.flights, edge, early_ok: true, settled: false };
            let mut mem = Memory::new(&mut self.banks, &mut self.part_words);
            let bundles = &self.program.bundles;
            let address = |(bundle, why): (u32, Trouble)| (bundles[bundle as usize].pc, why.into());
            self.state.run_late(bundles, seen, bus, &mut mem).map_err(address)?;
            for step in self.flights.of(edge.steps) {
                let ran = self.state.step(step, seen, bus, &mut mem, &mut self.macs);
                ran.map_err(|why| (self.state.issued_at(bundles, step, pc), why))?;
            }
            self.state.run_stores(bundles, bus, &mut mem).map_err(address)?;
            self.state.commit(flight::IDLE, edge, self.flights.of(edge.landings));
            self.flights.follow(at);
        }
        Ok(())
    }
}

fn aligned_target(target: u32) -> Result<u32, CoreFaultKind> {
    if !target.is_multiple_of(16) {
        Err(CoreFaultKind::BranchTarget { target })
    } else if target as usize >= PROGRAM_MEM_BYTES {
        Err(CoreFaultKind::ProgramCounter { target })
    } else {
        Ok(target)
    }
}

#[cfg(test)]
mod tests;
