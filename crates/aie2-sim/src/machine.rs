//! A Phoenix partition of four columns with its DDR and its controller.
//!
//! ```no_run
//! # use aie2_sim::{Config, Machine, Fault};
//! # fn demo(pdi: &[u8], txn: &[u8], data: &[u8]) -> Result<(), Fault> {
//! let mut machine = Machine::new(Config::default());
//! machine.load_pdi(pdi)?;
//! let input = machine.alloc("input", data.len());
//! let output = machine.alloc("output", data.len());
//! machine.write_buffer(input, 0, data)?;
//! let report = machine.run(txn, &[input, output])?;
//! println!("{} cycles, {:?}", report.cycles, machine.read_buffer(output)?.len());
//! # Ok(()) }
//! ```

use crate::array::bus::{AloneBus, TileBus};
use crate::array::ddr::{BufferId, Ddr, HostMemory};
use crate::array::fabric::{BankTrace, CoreRegs, Fabric, RUN_AHEAD, RUN_AHEAD_TOGETHER};
use crate::array::index::{self, CoreIx};
use crate::array::memory::Memory;
use crate::array::ports::TileKind;
use crate::core::Core;
use crate::crew::{Crew, Job};
use crate::fault::Fault;
use crate::port::{BlockReason, CoreBus, CoreStats, FIRST_CORE_ROW, MEM_ROW, Step, TileLoc};
use crate::record::{CoreLog, Record};
use crate::report::Stalls;
use crate::timing::Timing;
use npu_container::{cdo, pdi};
use std::ops::{ControlFlow, Index, IndexMut, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Limits and parameters of a machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Timing table.
    pub timing: Timing,
    /// DDR bandwidth shared by all shim channels, in 1/1000 bytes per array cycle; `None`: no cap beyond the ports.
    pub ddr_millibytes_per_cycle: Option<u64>,
    /// A run longer than this many array cycles is a fault.
    pub cycle_limit: u64,
    /// Host threads that run cores, the calling one included. No result depends on it.
    pub threads: usize,
    /// So many array cycles without a word, lock or token moving are a deadlock even if a core still runs.
    pub stall_limit: u64,
}

/// Core cycles in a stretch below which handing cores to another thread costs more than it gains.
const WORTH_SHARING: u64 = 256;

impl Default for Config {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            ddr_millibytes_per_cycle: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(index::CORES),
            cycle_limit: 4_000_000_000,
            stall_limit: 10_000_000,
        }
    }
}

/// What the machine needs from a core.
pub trait CoreModel: Send {
    /// Whether the core announces accesses outside its own memory ([`CoreModel::reaches_out`]), so that it may run away from the
    /// array until then.
    const ANNOUNCES: bool = false;

    /// A core after power-up.
    fn new() -> Self;
    /// What its own stalls cost; a model without them ignores it.
    fn set_timing(&mut self, _: &Timing) {}
    /// Core reset: program counter 0, pipeline empty.
    fn reset(&mut self);
    /// Program memory changed.
    fn write_program(&mut self, tile: TileLoc, offset: usize, data: &[u8]) -> Result<(), Fault>;
    /// One bundle. See [`CoreBus`] for what a refusal means.
    fn step<B: CoreBus>(&mut self, bus: &mut B) -> Result<Step, Fault>;
    /// Bundles until `each` is satisfied with what came of one.
    fn run<B: CoreBus, R>(
        &mut self,
        bus: &mut B,
        mut each: impl FnMut(&mut B, &Self, Step) -> ControlFlow<R>,
    ) -> Result<R, Fault> {
        loop {
            let step = self.step(bus)?;
            if let ControlFlow::Break(r) = each(bus, self, step) {
                return Ok(r);
            }
        }
    }
    /// A bundle has issued whose memory access, in a later cycle, goes to a neighbour.
    fn reaches_out(&self) -> bool {
        false
    }
    /// Address of the next bundle.
    fn pc(&self) -> u32;
    /// Counters since power-up or the last reset.
    fn stats(&self) -> CoreStats;
}

impl CoreModel for Core {
    const ANNOUNCES: bool = true;
    fn new() -> Self {
        Self::new()
    }
    fn set_timing(&mut self, timing: &Timing) {
        self.set_stall_cycles(timing.core_bank_conflict as u8, timing.core_lock_instruction as u8);
    }
    fn reset(&mut self) {
        self.reset();
    }
    fn write_program(&mut self, tile: TileLoc, offset: usize, data: &[u8]) -> Result<(), Fault> {
        self.write_program(offset, data).map_err(|fault| Fault::Core { tile, pc: offset as u32, fault })
    }
    fn step<B: CoreBus>(&mut self, bus: &mut B) -> Result<Step, Fault> {
        self.step(bus)
    }
    fn run<B: CoreBus, R>(
        &mut self,
        bus: &mut B,
        each: impl FnMut(&mut B, &Self, Step) -> ControlFlow<R>,
    ) -> Result<R, Fault> {
        self.run(bus, each)
    }
    fn reaches_out(&self) -> bool {
        self.reaches_out()
    }
    fn pc(&self) -> u32 {
        self.pc()
    }
    fn stats(&self) -> CoreStats {
        self.stats()
    }
}

/// State of a core slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CoreState {
    /// Disabled or in reset.
    Off,
    /// Runs.
    Running,
    /// Blocked since a cycle.
    Blocked(BlockReason, u64),
    /// Executed `done`.
    Halted,
}

pub(crate) struct CoreSlot<C> {
    pub core: C,
    pub state: CoreState,
    /// Local time: the cycle of the next bundle.
    pub time: u64,
    pub stalls: Stalls,
    tile: TileLoc,
    /// The next bundle asks for something that others see, and may do so when array time is there.
    asks: bool,
    /// Runs with the whole array at hand: it has breakpoints, or reaches into its neighbours.
    together: bool,
    /// Counts from before core resets.
    carried: CoreStats,
    /// The bundle at the present pc was already shown to the hook.
    shown: bool,
    pub log: Option<Box<CoreLog>>,
}

/// What is called at some addresses of a core.
struct Hook {
    breakpoints: Vec<u32>,
    call: Box<dyn FnMut(&mut TileView<'_>)>,
}

/// The cores by number. Each is at home except while a crew runs it.
pub(crate) struct Slots<C>(Vec<Option<Box<CoreSlot<C>>>>);

impl<C> Slots<C> {
    pub fn iter(&self) -> impl Iterator<Item = &CoreSlot<C>> {
        self.0.iter().flatten().map(|slot| &**slot)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut CoreSlot<C>> {
        self.0.iter_mut().flatten().map(|slot| &mut **slot)
    }
}

impl<C> Index<CoreIx> for Slots<C> {
    type Output = CoreSlot<C>;

    fn index(&self, i: CoreIx) -> &CoreSlot<C> {
        self.0[i].as_ref().expect("a core is away only inside MachineOf::run_alone")
    }
}

impl<C> IndexMut<CoreIx> for Slots<C> {
    fn index_mut(&mut self, i: CoreIx) -> &mut CoreSlot<C> {
        self.0[i].as_mut().expect("a core is away only inside MachineOf::run_alone")
    }
}

impl<C: CoreModel> CoreSlot<C> {
    fn new(i: CoreIx, timing: &Timing) -> Self {
        let mut core = C::new();
        core.set_timing(timing);
        Self {
            core,
            state: CoreState::Off,
            time: 0,
            stalls: Stalls::default(),
            tile: index::core_tile(i),
            asks: false,
            together: !C::ANNOUNCES,
            carried: CoreStats::default(),
            shown: false,
            log: None,
        }
    }

    /// Counters since power-up, whatever resets came between.
    pub fn stats(&self) -> CoreStats {
        sum(self.carried, self.core.stats())
    }

    /// Runs the core up to `horizon`, or to the next request that others can see.
    pub fn run_alone(&mut self, memory: &mut Memory, banks: &mut BankTrace, horizon: u64) -> Result<(), Fault> {
        let Self { core, time, stalls, state, asks, together, .. } = self;
        let mut bus = AloneBus { tile: self.tile, memory };
        core.run(&mut bus, |_, core, step| {
            match step {
                Step::Issued { banks: used, stall_cycles } => {
                    let idle = u64::from(stall_cycles);
                    banks.record(*time, used, idle);
                    stalls.own += idle;
                    *time += 1 + idle;
                    if core.reaches_out() {
                        *together = true;
                    } else if *time < horizon {
                        return ControlFlow::Continue(());
                    }
                }
                Step::Blocked(_) => *asks = true,
                Step::Halted => *state = CoreState::Halted,
            }
            ControlFlow::Break(())
        })?;
        if self.state == CoreState::Halted {
            self.log_ran();
        }
        Ok(())
    }

    /// Logs that the core ran until its local time.
    fn log_ran(&mut self) {
        if self.log.is_some() {
            let (stats, pc) = (self.stats(), self.core.pc());
            self.log.iter_mut().for_each(|log| log.ran(self.time, pc, stats, self.stalls));
        }
    }

    /// Logs that the core starts at its local time.
    fn log_start(&mut self) {
        if self.log.is_some() {
            let (stats, pc) = (self.stats(), self.core.pc());
            self.log.iter_mut().for_each(|log| log.starts(self.time, pc, stats, self.stalls));
        }
    }

    /// Logs what the core did until `now`, whatever it was.
    fn log_end(&mut self, now: u64) {
        match self.state {
            CoreState::Off | CoreState::Halted => {}
            CoreState::Running => self.log_ran(),
            CoreState::Blocked(reason, _) => self.log.iter_mut().for_each(|log| log.waited(now, reason)),
        }
    }

    fn reset(&mut self) {
        let before = self.stats();
        self.carried = CoreStats::default();
        self.core.reset();
        self.asks = false;
        if self.core.stats() != before {
            self.carried = before;
        }
    }
}

fn sum(a: CoreStats, b: CoreStats) -> CoreStats {
    CoreStats {
        bundles: a.bundles + b.bundles,
        bank_stalls: a.bank_stalls + b.bank_stalls,
        lock_ops: a.lock_ops + b.lock_ops,
        vmacs: a.vmacs + b.vmacs,
        macs: a.macs + b.macs,
    }
}

/// A look at one compute tile at a breakpoint, before the bundle at `pc` executes.
pub struct TileView<'a> {
    /// The tile.
    pub tile: TileLoc,
    /// Program counter.
    pub pc: u32,
    /// Array cycle of the core.
    pub cycle: u64,
    fabric: &'a mut Fabric,
}

fn range_check(tile: TileLoc, memory: &Memory, offset: usize, len: usize) -> Result<(), Fault> {
    match offset.checked_add(len) {
        Some(end) if end <= memory.len() => Ok(()),
        end => Err(Fault::HostRange {
            name: tile.to_string(),
            offset,
            end: end.unwrap_or(usize::MAX),
            bytes: memory.len(),
        }),
    }
}

fn read_memory(tile: TileLoc, memory: &Memory, offset: usize, len: usize) -> Result<Vec<u8>, Fault> {
    range_check(tile, memory, offset, len)?;
    if let Some(first) = memory.first_unwritten(offset, len) {
        return Err(Fault::HostUninitialised {
            name: tile.to_string(),
            offset: first,
            missing: memory.unwritten_in(offset, len),
        });
    }
    Ok(memory.bytes()[offset..offset + len].to_vec())
}

impl TileView<'_> {
    /// Data memory of the tile by byte offset; every byte must have been written.
    pub fn read(&self, offset: usize, len: usize) -> Result<Vec<u8>, Fault> {
        read_memory(self.tile, &self.fabric.core_mem[index::core(self.tile)], offset, len)
    }

    /// Changes data memory.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Result<(), Fault> {
        let memory = &mut self.fabric.core_mem[index::core(self.tile)];
        range_check(self.tile, memory, offset, data.len())?;
        memory.write(offset, data);
        Ok(())
    }

    /// Value of a lock of the tile.
    pub fn lock(&self, lock: u8) -> Option<u8> {
        (lock < index::locks_in_row(self.tile.row)).then(|| self.fabric.locks[index::lock(self.tile, lock)].value)
    }
}

pub(crate) type OpHook = Box<dyn FnMut(&mut Ddr)>;

/// The Phoenix partition.
pub type Machine = MachineOf<Core>;

/// A partition of four columns with cores of type `C`.
pub struct MachineOf<C> {
    pub(crate) config: Config,
    pub(crate) fabric: Fabric,
    pub(crate) cores: Slots<C>,
    hooks: Vec<Option<Hook>>,
    /// Jobs on their way to each thread, the calling one first; empty between phases.
    jobs: Vec<Vec<Job<C>>>,
    /// Cores in state `Running`.
    pub(crate) running: u16,
    /// No running core has a bundle due before this cycle.
    cores_due: u64,
    /// A command was dispatched: cores may run.
    pub(crate) dispatched: bool,
    pub(crate) op_hooks: Vec<(usize, OpHook)>,
    pub(crate) push_at: [[Option<u64>; index::CHANNELS]; 2],
    /// Cycles of the next run to record.
    record: Option<Range<u64>>,
    /// Set by somebody else to end a run.
    pub(crate) call_off: Option<Arc<AtomicBool>>,
}

impl<C: CoreModel> MachineOf<C> {
    /// A partition after a column reset.
    pub fn new(config: Config) -> Self {
        Self {
            fabric: Fabric::new(config.timing.clone(), config.ddr_millibytes_per_cycle),
            cores: Slots((0..index::CORES).map(|i| Some(Box::new(CoreSlot::new(i, &config.timing)))).collect()),
            hooks: (0..index::CORES).map(|_| None).collect(),
            jobs: Vec::new(),
            config,
            running: 0,
            cores_due: 0,
            dispatched: false,
            op_hooks: Vec::new(),
            push_at: [[None; index::CHANNELS]; 2],
            record: None,
            call_off: None,
        }
    }

    /// Executes the commands of a PDI, as the firmware does when a context is created. No array time passes.
    pub fn load_pdi(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for command in pdi::read(bytes)?.commands {
            let f = &mut self.fabric;
            match command {
                cdo::Command::Write { addr, value } => f.write_register(addr.into(), value)?,
                cdo::Command::MaskWrite { addr, mask, value } => f.mask_write(addr.into(), mask, value)?,
                cdo::Command::DmaWrite { addr, data } => f.write_block(addr.into(), &data)?,
                cdo::Command::Write64 { addr, value } => f.write_register(addr, value)?,
                cdo::Command::MaskWrite64 { addr, mask, value } => f.mask_write(addr, mask, value)?,
                cdo::Command::Nop { .. } => {}
            }
        }
        self.fabric.settle_network()?;
        self.fabric.network.check_masters()?;
        self.sync_cores()
    }

    /// Commands run by [`MachineOf::run_at`] find their data in `memory`.
    pub fn attach(&mut self, memory: Box<dyn HostMemory>) {
        self.fabric.ddr.attach(memory);
    }

    /// A run ends with [`Fault::CalledOff`] soon after `flag` becomes true.
    pub fn call_off_on(&mut self, flag: Arc<AtomicBool>) {
        self.call_off = Some(flag);
    }

    /// Present value of a register, by array address, as a controller would read it.
    pub fn read_register(&self, addr: u32) -> Result<u32, Fault> {
        self.fabric.read_register(addr.into())
    }

    /// Adds a host buffer; no byte of it is written.
    pub fn alloc(&mut self, name: &str, bytes: usize) -> BufferId {
        self.fabric.ddr.alloc(name, bytes)
    }

    /// Host write into a buffer.
    pub fn write_buffer(&mut self, buffer: BufferId, offset: usize, data: &[u8]) -> Result<(), Fault> {
        self.fabric.ddr.write(buffer, offset, data)
    }

    /// Host read of a whole buffer; faults on bytes nobody wrote.
    pub fn read_buffer(&self, buffer: BufferId) -> Result<Vec<u8>, Fault> {
        let len = self.fabric.ddr.len(buffer)?;
        self.fabric.ddr.read(buffer, 0, len)
    }

    /// Host read of a part of a buffer; faults on bytes nobody wrote.
    pub fn read_buffer_range(&self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u8>, Fault> {
        self.fabric.ddr.read(buffer, offset, len)
    }

    /// Host read of a whole buffer with, for every byte, whether it was written.
    pub fn read_buffer_masked(&self, buffer: BufferId) -> Result<(Vec<u8>, Vec<bool>), Fault> {
        self.fabric.ddr.read_masked(buffer)
    }

    /// Calls `hook` each time the core of (`col`, `row`) is about to execute the bundle at one of `pcs`.
    /// Replaces the tile's earlier breakpoints.
    pub fn on_breakpoint(
        &mut self,
        col: u8,
        row: u8,
        pcs: &[u32],
        hook: impl FnMut(&mut TileView<'_>) + 'static,
    ) -> Result<(), Fault> {
        let i = compute_tile(TileLoc::new(col, row))?;
        self.cores[i].together = true;
        self.hooks[i] = Some(Hook { breakpoints: pcs.to_vec(), call: Box::new(hook) });
        Ok(())
    }

    /// Calls `hook` in every later run after operation `op` (index in the stream) has taken effect.
    pub fn after_op(&mut self, op: usize, hook: impl FnMut(&mut Ddr) + 'static) {
        self.op_hooks.push((op, Box::new(hook)));
    }

    /// Removes all breakpoints and operation hooks.
    pub fn clear_hooks(&mut self) {
        self.op_hooks.clear();
        self.hooks.iter_mut().for_each(|hook| *hook = None);
    }

    /// Data memory of a compute or mem tile by byte offset; every byte must have been written.
    pub fn read_tile(&self, col: u8, row: u8, offset: usize, len: usize) -> Result<Vec<u8>, Fault> {
        let tile = TileLoc::new(col, row);
        if row == MEM_ROW && col < crate::port::COLUMNS {
            return read_memory(tile, &self.fabric.mem_tiles[usize::from(col)], offset, len);
        }
        read_memory(tile, &self.fabric.core_mem[compute_tile(tile)?], offset, len)
    }

    /// Value of a lock.
    pub fn lock(&self, col: u8, row: u8, lock: u8) -> Result<u8, Fault> {
        let tile = TileLoc::new(col, row);
        if col >= crate::port::COLUMNS || row >= crate::port::ROWS || lock >= index::locks_in_row(row) {
            return Err(Fault::NoSuchTile { tile });
        }
        Ok(self.fabric.locks[index::lock(tile, lock)].value)
    }

    /// The core of a compute tile, for its own settings.
    pub fn core_mut(&mut self, col: u8, row: u8) -> Result<&mut C, Fault> {
        let i = compute_tile(TileLoc::new(col, row))?;
        Ok(&mut self.cores[i].core)
    }

    /// Records these cycles of the next run, counted from its begin. The figures of a run do not depend on it.
    pub fn record(&mut self, window: Range<u64>) {
        self.record = Some(window);
    }

    /// Starts the logs if a record was asked for.
    pub(crate) fn begin_record(&mut self) {
        let Some(window) = self.record.take() else { return };
        let now = self.fabric.now;
        let window = now + window.start..now.saturating_add(window.end);
        for slot in self.cores.iter_mut() {
            let at = slot.time.max(now);
            slot.log = Some(Box::new(CoreLog::new(window.clone(), at, slot.core.pc(), slot.stats(), slot.stalls)));
        }
        self.fabric.begin_log(window);
    }

    /// What was recorded since the run began that followed [`MachineOf::record`], whether it ended or faulted.
    pub fn take_record(&mut self) -> Option<Record> {
        let now = self.fabric.now;
        let mut cores = Vec::new();
        for (i, slot) in self.cores.iter_mut().enumerate() {
            slot.log_end(now);
            cores.extend(slot.log.take().map(|log| (index::core_tile(i), *log)));
        }
        self.fabric.end_log(cores)
    }

    /// Array cycles since power-up.
    pub fn cycle(&self) -> u64 {
        self.fabric.now
    }

    /// Takes over changes of core registers and program memory.
    pub(crate) fn sync_cores(&mut self) -> Result<(), Fault> {
        let mut dirty = std::mem::take(&mut self.fabric.core_dirty);
        while dirty != 0 {
            let i = dirty.trailing_zeros() as usize;
            dirty &= dirty - 1;
            let now = self.fabric.now;
            let regs = &mut self.fabric.cores[i];
            let slot = &mut self.cores[i];
            write_program(i, regs, &mut slot.core)?;
            if std::mem::take(&mut regs.was_reset) || regs.reset {
                slot.log_end(now);
                slot.reset();
                slot.shown = false;
                slot.state = CoreState::Off;
            }
            regs.was_reset = regs.reset;
            let on = regs.enable && !regs.reset && self.dispatched;
            match slot.state {
                CoreState::Off | CoreState::Halted if on => {
                    slot.state = CoreState::Running;
                    slot.time = now + 1;
                    slot.log_start();
                    self.running |= 1 << i;
                    self.cores_due = 0;
                }
                _ if !on => {
                    slot.log_end(now);
                    slot.state = CoreState::Off;
                    self.running &= !(1 << i);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A blocked core looks again.
    pub(crate) fn wake_core(&mut self, i: CoreIx) {
        let now = self.fabric.now;
        let slot = &mut self.cores[i];
        if let CoreState::Blocked(reason, since) = slot.state {
            let lost = now.saturating_sub(since);
            match reason {
                BlockReason::Lock { .. } => slot.stalls.lock += lost,
                BlockReason::StreamRead | BlockReason::StreamWrite => slot.stalls.stream += lost,
                BlockReason::CascadeRead | BlockReason::CascadeWrite => slot.stalls.cascade += lost,
            }
            slot.state = CoreState::Running;
            slot.time = now.max(since);
            slot.log.iter_mut().for_each(|log| log.waited(slot.time, reason));
            self.running |= 1 << i;
            self.cores_due = 0;
        }
    }

    /// Charges a core for cycles that urgent DMA accesses took from it.
    fn charge(&mut self, i: CoreIx) {
        let penalty = std::mem::take(&mut self.fabric.core_penalty[i]);
        let slot = &mut self.cores[i];
        // The stolen cycles come late (the core had run ahead), so they must not look like free banks.
        for _ in 0..penalty {
            self.fabric.core_banks[i].record(slot.time, u8::MAX, 0);
            slot.time += 1;
        }
        slot.stalls.dma_bank += penalty;
        if penalty > 0 {
            slot.log.iter_mut().for_each(|log| log.lost(slot.time - penalty, penalty));
        }
    }

    /// Runs the cores of which the next bundle is due, each up to the end of the present stretch of [`RUN_AHEAD`] cycles or to
    /// the next request that others can see.
    pub(crate) fn run_cores(&mut self, crew: Option<&Crew<'_, C>>) -> Result<(), Fault> {
        let now = self.fabric.now;
        if now < self.cores_due {
            return Ok(());
        }
        let horizon = (now / RUN_AHEAD + 1) * RUN_AHEAD;
        let mut due = self.running;
        while due != 0 {
            let mut alone = 0u16;
            while due != 0 {
                let i = due.trailing_zeros() as usize;
                due &= due - 1;
                if self.cores[i].time > now {
                    continue;
                }
                self.charge(i);
                let slot = &self.cores[i];
                let goes_on = if slot.together {
                    self.run_together(i, (now / RUN_AHEAD_TOGETHER + 1) * RUN_AHEAD_TOGETHER)?;
                    false
                } else {
                    !slot.asks || self.run_together(i, now + 1)?
                };
                if goes_on && self.cores[i].time < horizon {
                    alone |= 1 << i;
                }
            }
            if alone != 0 {
                self.run_alone(alone, horizon, crew)?;
            }
            // A core whose very first bundle asks for something is served in this cycle.
            let asks_now = |i: &CoreIx| alone >> i & 1 == 1 && self.cores[*i].asks && self.cores[*i].time <= now;
            due = (0..index::CORES).filter(asks_now).fold(0, |mask, i| mask | 1 << i);
        }
        let running = (0..index::CORES).filter(|i| self.running >> i & 1 == 1);
        self.cores_due = running.map(|i| self.cores[i].time).min().unwrap_or(u64::MAX);
        Ok(())
    }

    /// Steps one core with the whole array at hand. Returns whether it can go on.
    fn run_together(&mut self, i: CoreIx, horizon: u64) -> Result<bool, Fault> {
        let slot = &mut self.cores[i];
        let mut hook = self.hooks[i].as_mut();
        let mut bus = TileBus::new(&mut self.fabric, i);
        slot.asks = false;
        while slot.time < horizon {
            if let Some(hook) = hook.as_mut().filter(|_| !slot.shown)
                && hook.breakpoints.contains(&slot.core.pc())
            {
                slot.shown = true;
                (hook.call)(&mut TileView {
                    tile: slot.tile,
                    pc: slot.core.pc(),
                    cycle: slot.time,
                    fabric: bus.fabric(),
                });
            }
            bus.time = slot.time;
            match slot.core.step(&mut bus)? {
                Step::Issued { banks, stall_cycles } => {
                    let idle = u64::from(stall_cycles);
                    bus.fabric().core_banks[i].record(slot.time, banks, idle);
                    slot.stalls.own += idle;
                    slot.time += 1 + idle;
                    slot.shown = false;
                }
                Step::Blocked(_) if bus.deferred => {
                    slot.asks = true;
                    break;
                }
                Step::Blocked(reason) => {
                    slot.log_ran();
                    slot.state = CoreState::Blocked(reason, slot.time);
                    slot.asks = true;
                    break;
                }
                Step::Halted => {
                    slot.log_ran();
                    slot.state = CoreState::Halted;
                    break;
                }
            }
        }
        self.settle(i);
        let slot = &self.cores[i];
        Ok(slot.state == CoreState::Running && !slot.asks)
    }

    /// Takes over what a stretch did to a core's standing.
    fn settle(&mut self, i: CoreIx) {
        let slot = &self.cores[i];
        let regs = &mut self.fabric.cores[i];
        regs.pc = slot.core.pc();
        match slot.state {
            CoreState::Running => return,
            CoreState::Halted => regs.done = true,
            CoreState::Off | CoreState::Blocked(..) => {}
        }
        self.running &= !(1 << i);
    }

    /// Runs the cores of a mask with nothing but their own memories at hand. A core's stretch depends on that core alone, so who
    /// runs it, and beside whom, makes no difference.
    fn run_alone(&mut self, mask: u16, horizon: u64, crew: Option<&Crew<'_, C>>) -> Result<(), Fault> {
        let mut cores = mask;
        let mut next = || {
            let i = (cores != 0).then(|| cores.trailing_zeros() as usize)?;
            cores &= cores - 1;
            Some(i)
        };
        let work: u64 = (0..index::CORES).filter(|i| mask >> i & 1 == 1).map(|i| horizon - self.cores[i].time).sum();
        let crew = crew.filter(|crew| mask.count_ones() > 1 && work >= WORTH_SHARING && crew.is_ready());
        let mut outcome = Ok(());
        if let Some(crew) = crew {
            let hands = crew.len() + 1;
            self.jobs.resize_with(hands, Vec::new);
            while let Some(i) = next() {
                let job = Job {
                    slot: self.cores.0[i].take().expect("a core is at home between phases"),
                    memory: std::mem::take(&mut self.fabric.core_mem[i]),
                    banks: std::mem::take(&mut self.fabric.core_banks[i]),
                    horizon,
                    outcome: Ok(()),
                };
                // Always the same thread for a core: its memory is in that thread's caches.
                let hand = i * hands / index::CORES;
                self.jobs[hand].push(job);
            }
            for m in 1..hands {
                crew.give(m - 1, &mut self.jobs[m]);
            }
            self.jobs[0].iter_mut().for_each(Job::run);
            for m in 1..hands {
                crew.take(m - 1, &mut self.jobs[m]);
            }
            for Job { slot, memory, banks, outcome: ended, .. } in self.jobs.iter_mut().flat_map(|jobs| jobs.drain(..))
            {
                let i = index::core(slot.tile);
                self.cores.0[i] = Some(slot);
                self.fabric.core_mem[i] = memory;
                self.fabric.core_banks[i] = banks;
                outcome = outcome.and(ended);
            }
        } else {
            while let Some(i) = next() {
                let (memory, banks) = (&mut self.fabric.core_mem[i], &mut self.fabric.core_banks[i]);
                let ended = self.cores[i].run_alone(memory, banks, horizon);
                outcome = outcome.and(ended);
            }
        }
        for i in (0..index::CORES).filter(|i| mask >> i & 1 == 1) {
            self.settle(i);
        }
        outcome
    }
}

fn compute_tile(tile: TileLoc) -> Result<CoreIx, Fault> {
    let exists = tile.col < crate::port::COLUMNS && (FIRST_CORE_ROW..crate::port::ROWS).contains(&tile.row);
    if exists && TileKind::of_row(tile.row) == TileKind::Core {
        Ok(index::core(tile))
    } else {
        Err(Fault::NoSuchTile { tile })
    }
}

/// Passes program words written since the last look to the core, in contiguous pieces.
fn write_program<C: CoreModel>(i: CoreIx, regs: &mut CoreRegs, core: &mut C) -> Result<(), Fault> {
    let writes = std::mem::take(&mut regs.program_writes);
    let mut at = 0;
    while at < writes.len() {
        let first = writes[at].0;
        let run = writes[at..].iter().zip((first..).step_by(4)).take_while(|((o, _), want)| o == want).count();
        let bytes: Vec<u8> = writes[at..at + run].iter().flat_map(|(_, w)| w.to_le_bytes()).collect();
        core.write_program(index::core_tile(i), first as usize, &bytes)?;
        at += run;
    }
    Ok(())
}
