//! The cycle loop, and the controller that executes the runtime stream.

use crate::array::ddr::{APERTURE, BufferId, TRANSLATED_ARGUMENTS};
use crate::array::fabric::{Event, dir_ix};
use crate::array::{index, regs};
use crate::crew::{Crew, Seat};
use crate::deadlock::{DeadlockReport, Waiter};
use crate::fault::{ChannelId, Direction, Fault};
use crate::machine::{CoreModel, CoreState, MachineOf};
use crate::picture;
use crate::port::TileLoc;
use crate::report::{ControllerReport, CoreReport, RunReport, ShimChannelReport, Stalls};
use npu_container::txn::{self, Op};
use std::sync::atomic::Ordering;

/// What the controller is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    /// Executes an operation; an event is scheduled.
    Busy,
    /// Waits for a token since a cycle.
    Token(Direction, usize, u64),
    /// Looks at a register at intervals, since a cycle.
    Poll { addr: u32, mask: u32, value: u32, since: u64 },
    /// The stream is done.
    Done,
}

struct Controller {
    ops: Vec<Op>,
    at: usize,
    waiting: Waiting,
    report: ControllerReport,
    tokens: u64,
    /// When each operation took effect.
    ends: Vec<u64>,
    /// The one-time cost before the first token was paid.
    residue_paid: bool,
}

fn address_word(addr: u32) -> u64 {
    addr.into()
}

impl<C: CoreModel> MachineOf<C> {
    /// Executes a runtime stream with host buffers in argument order (index 0 is the first buffer after the instruction
    /// count). Returns when the stream has ended; array state (rings, locks, words on routes) stays for the next run.
    pub fn run(&mut self, stream: &[u8], arguments: &[BufferId]) -> Result<RunReport, Fault> {
        let ops = txn::read(stream)?.ops;
        self.fabric.ddr.map(arguments)?;
        self.execute(ops)
    }

    /// As [`MachineOf::run`], with arguments that are addresses in the memory of [`MachineOf::attach`]. What the array wrote is there
    /// when the run ends, however it ends; nothing is before.
    pub fn run_at(&mut self, stream: &[u8], arguments: &[u64]) -> Result<RunReport, Fault> {
        let ops = txn::read(stream)?.ops;
        self.fabric.ddr.map_host(arguments)?;
        let outcome = self.execute(ops);
        let stored = self.fabric.ddr.flush();
        let report = outcome?;
        stored?;
        Ok(report)
    }

    fn execute(&mut self, ops: Vec<Op>) -> Result<RunReport, Fault> {
        let start = self.fabric.now;
        let stats: Vec<_> = self.cores.iter().map(|s| s.stats()).collect();
        for slot in self.cores.iter_mut() {
            slot.stalls = Stalls::default();
        }
        for ch in self.fabric.channels.iter_mut().flat_map(|channels| channels.iter_mut()) {
            (ch.words, ch.busy_cycles) = (0, 0);
            ch.busy_since = ch.busy_since.map(|_| start);
        }
        self.begin_record();
        self.dispatched = true;
        self.fabric.core_dirty = u16::MAX;
        self.sync_cores()?;
        let mut controller = Controller {
            ops,
            at: 0,
            waiting: Waiting::Busy,
            report: ControllerReport::default(),
            tokens: 0,
            ends: Vec::new(),
            residue_paid: false,
        };
        self.start_op(&mut controller);
        let seats: Vec<Seat<C>> = match self.config.threads {
            0 | 1 => Vec::new(),
            _ if !C::ANNOUNCES => Vec::new(),
            threads => (1..threads).map(|_| Seat::new()).collect(),
        };
        std::thread::scope(|scope| {
            let crew = (!seats.is_empty()).then(|| Crew::hire(scope, &seats));
            self.cycle_loop(&mut controller, start, crew.as_ref())
        })?;
        for c in 0..index::CHANNELS {
            let ch = &self.fabric.channels[dir_ix(Direction::S2mm)][c];
            if ch.id.tile.row == 0 && !ch.queue.is_empty() {
                return Err(Fault::EarlyCompletion { channel: ch.id });
            }
        }
        Ok(self.report(&controller, start, &stats))
    }

    fn cycle_loop(&mut self, controller: &mut Controller, start: u64, crew: Option<&Crew<'_, C>>) -> Result<(), Fault> {
        let (mut progress, mut progress_at) = (self.fabric.progress, start);
        loop {
            while let Some(event) = self.fabric.due_event() {
                match event {
                    Event::Release(lock, value) => self.fabric.release(lock, value)?,
                    Event::BdEnd(dir, c, epoch) => self.fabric.bd_end(dir, c, epoch)?,
                    Event::Wake(dir, c) => self.fabric.wake(dir, c),
                    Event::Token(dir, c) => {
                        self.fabric.progress += 1;
                        self.fabric.channels[dir_ix(dir)][c].tokens += 1;
                        self.token_arrived(controller, dir, c);
                    }
                    Event::CoreWake(i) => self.wake_core(i),
                    Event::Controller => self.controller_event(controller)?,
                }
            }
            let now = self.fabric.now;
            if now - start > self.config.cycle_limit {
                return Err(Fault::CycleLimit { limit: self.config.cycle_limit, op: controller.at });
            }
            if controller.waiting == Waiting::Done {
                return Ok(());
            }
            if self.call_off.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Err(Fault::CalledOff { op: controller.at });
            }
            self.fabric.settle_network()?;
            self.run_cores(crew)?;
            if self.fabric.is_active() {
                self.fabric.step_channels()?;
            }
            if self.fabric.progress != progress {
                (progress, progress_at) = (self.fabric.progress, now);
            } else if now - progress_at > self.config.stall_limit {
                return Err(self.deadlock(controller));
            }
            self.advance(controller)?;
        }
    }

    /// Moves time to the next cycle at which something can happen.
    fn advance(&mut self, controller: &Controller) -> Result<(), Fault> {
        let now = self.fabric.now;
        if self.fabric.is_active() {
            self.fabric.now = now + 1;
            return Ok(());
        }
        let mut next = self.fabric.next_event();
        let mut cores = self.running;
        while cores != 0 {
            let t = self.cores[cores.trailing_zeros() as usize].time;
            next = Some(next.map_or(t, |n| n.min(t)));
            cores &= cores - 1;
        }
        let idle = self.running == 0 && !self.fabric.has_array_events();
        let never = match controller.waiting {
            Waiting::Poll { addr, mask, value, .. } if idle => {
                self.fabric.read_register(address_word(addr))? & mask != value & mask
            }
            Waiting::Poll { .. } | Waiting::Busy | Waiting::Token(..) | Waiting::Done => false,
        };
        match next {
            Some(_) if never => Err(self.deadlock(controller)),
            Some(t) => {
                self.fabric.now = t.max(now + 1);
                Ok(())
            }
            None => Err(self.deadlock(controller)),
        }
    }

    fn schedule_controller(&mut self, cycles: u64) {
        let at = self.fabric.now + cycles;
        self.fabric.schedule(at, Event::Controller);
    }

    /// Begins the operation at `controller.at`.
    fn start_op(&mut self, controller: &mut Controller) {
        let t = self.fabric.timing.clone();
        let now = self.fabric.now;
        controller.waiting = Waiting::Busy;
        let Some(op) = controller.ops.get(controller.at) else {
            controller.waiting = Waiting::Done;
            return;
        };
        let cost = match op {
            Op::Write { addr, .. } => match regs::queue_at(address_word(*addr)) {
                Some((dir, c)) => {
                    let pushed = self.push_at[dir_ix(dir)][c];
                    let queued = !self.fabric.channels[dir_ix(dir)][c].queue.is_empty();
                    let gap = if queued { t.op_push_queued } else { t.op_push_idle };
                    let limiter = pushed.map_or(0, |at| (at + gap).saturating_sub(now));
                    t.op_write.max(limiter)
                }
                None => t.op_write,
            },
            Op::BlockWrite { data, .. } => t.op_block_write + t.op_block_write_word * data.len() as u64,
            Op::MaskWrite { .. } => t.op_mask_write,
            Op::MaskPoll { .. } | Op::MaskPollBusy { .. } => t.op_mask_write,
            Op::Noop => t.op_noop,
            Op::Tct { .. } => 0,
            Op::DdrPatch { .. } => t.op_ddr_patch,
        };
        self.schedule_controller(cost);
    }

    fn finish_op(&mut self, controller: &mut Controller) -> Result<(), Fault> {
        let op = controller.at;
        if let Some(log) = &mut self.fabric.log {
            log.op(self.fabric.now, op, controller.ops.get(op));
        }
        for (at, hook) in &mut self.op_hooks {
            if *at == op {
                hook(&mut self.fabric.ddr);
            }
        }
        self.sync_cores()?;
        controller.ends.push(self.fabric.now);
        controller.at += 1;
        self.start_op(controller);
        Ok(())
    }

    /// The scheduled time of the operation in hand has come: it takes effect.
    fn controller_event(&mut self, controller: &mut Controller) -> Result<(), Fault> {
        if let Waiting::Poll { addr, mask, value, since } = controller.waiting {
            return self.poll(controller, addr, mask, value, since);
        }
        let index = controller.at;
        let now = self.fabric.now;
        let Some(op) = controller.ops.get(index) else { return Ok(()) };
        match op {
            Op::Write { addr, value } => {
                if let Some((dir, c)) = regs::queue_at(address_word(*addr)) {
                    controller.report.pushes += 1;
                    self.push_at[dir_ix(dir)][c] = Some(now);
                } else {
                    controller.report.writes += 1;
                }
                self.fabric.write_register(address_word(*addr), *value)?;
            }
            Op::BlockWrite { addr, data } => {
                controller.report.block_writes += 1;
                self.fabric.write_block(address_word(*addr), data)?;
            }
            Op::MaskWrite { addr, value, mask } => {
                controller.report.mask_writes += 1;
                self.fabric.mask_write(address_word(*addr), *mask, *value)?;
            }
            Op::MaskPoll { addr, value, mask } | Op::MaskPollBusy { addr, value, mask } => {
                controller.report.polls += 1;
                let (addr, value, mask) = (*addr, *value, *mask);
                return self.poll(controller, addr, mask, value, now);
            }
            Op::Noop => controller.report.noops += 1,
            Op::Tct { direction, col, row, cols, rows, channel } => {
                if controller.waiting == Waiting::Busy {
                    let exists = *col < crate::port::COLUMNS
                        && *row < crate::port::ROWS
                        && *channel < index::channels_in_row(*row);
                    let (a, b) = (
                        u32::from(*col) << 16 | u32::from(*row) << 8 | (*direction == txn::Direction::Mm2s) as u32,
                        u32::from(*channel) << 24 | u32::from(*cols) << 16 | u32::from(*rows) << 8,
                    );
                    if !exists || (*cols, *rows) != (1, 1) {
                        return Err(Fault::TokenWait { index, a, b });
                    }
                    let dir = match direction {
                        txn::Direction::S2mm => Direction::S2mm,
                        txn::Direction::Mm2s => Direction::Mm2s,
                    };
                    let c = index::channel(dir, TileLoc::new(*col, *row), *channel);
                    self.fabric.network.check_masters()?;
                    controller.report.token_waits += 1;
                    controller.waiting = Waiting::Token(dir, c, now);
                    if self.fabric.channels[dir_ix(dir)][c].tokens > 0 {
                        self.token_arrived(controller, dir, c);
                    }
                    return Ok(());
                }
                let Waiting::Token(_, _, since) = controller.waiting else { return Ok(()) };
                controller.report.wait_cycles += now - since;
                controller.tokens += 1;
            }
            Op::DdrPatch { register, arg_index, arg_plus } => {
                controller.report.patches += 1;
                let (register, argument, plus) = (*register, *arg_index, *arg_plus);
                self.patch(index, register, argument, plus)?;
            }
        }
        self.finish_op(controller)
    }

    /// A token came in; if the controller waits for it, it is consumed and the wait ends after its fixed cost.
    fn token_arrived(&mut self, controller: &mut Controller, dir: Direction, c: usize) {
        if !matches!(controller.waiting, Waiting::Token(d, w, _) if (d, w) == (dir, c)) {
            return;
        }
        let tokens = &mut self.fabric.channels[dir_ix(dir)][c].tokens;
        if *tokens == 0 {
            return;
        }
        *tokens -= 1;
        // The wait is over; `waiting` keeps the start of the wait, another token of the channel must not end it again.
        let t = &self.fabric.timing;
        let residue = if controller.residue_paid { 0 } else { t.first_token_residue };
        let cost = t.op_tct + residue;
        controller.residue_paid = true;
        if let Waiting::Token(d, _, since) = controller.waiting {
            controller.waiting = Waiting::Token(d, usize::MAX, since);
        }
        self.schedule_controller(cost);
    }

    fn poll(&mut self, controller: &mut Controller, addr: u32, mask: u32, value: u32, since: u64) -> Result<(), Fault> {
        if self.fabric.read_register(address_word(addr))? & mask == value & mask {
            controller.report.wait_cycles += self.fabric.now - since;
            controller.waiting = Waiting::Busy;
            return self.finish_op(controller);
        }
        controller.waiting = Waiting::Poll { addr, mask, value, since };
        let again = self.fabric.timing.op_mask_write;
        self.schedule_controller(again);
        Ok(())
    }

    /// DDR_PATCH: the address of an argument plus an offset into words 1 and 2 of a shim BD.
    // SOURCE: Xilinx/mlir-aie AIETargetNPU.cpp; the firmware adds the aperture to arguments 0..4 only.
    fn patch(&mut self, index: usize, register: u32, argument: u32, plus: u32) -> Result<(), Fault> {
        let addr = address_word(register);
        if !regs::is_shim_bd_address_word(addr) {
            return Err(Fault::PatchRegister { index, addr });
        }
        let Some(base) = self.fabric.ddr.host_address(argument as usize) else {
            let (argument, arguments) = (argument.into(), self.fabric.ddr.arguments());
            return Err(Fault::PatchArgument { index, argument, arguments });
        };
        let aperture = if u64::from(argument) < TRANSLATED_ARGUMENTS { APERTURE } else { 0 };
        let value = base + u64::from(plus) + aperture;
        self.fabric.write_register(addr, value as u32)?;
        self.fabric.mask_write(addr + 4, 0xffff, (value >> 32) as u32 & 0xffff)
    }

    fn deadlock(&self, controller: &Controller) -> Fault {
        let op = controller.at;
        let mut waiters = vec![match controller.waiting {
            Waiting::Token(dir, c, _) if c < index::CHANNELS => {
                Waiter::Controller { op, channel: Some(index::channel_id(dir, c)), what: "a task token".into() }
            }
            Waiting::Poll { addr, mask, value, .. } => {
                Waiter::Controller { op, channel: None, what: format!("register {addr:#x} & {mask:#x} == {value:#x}") }
            }
            Waiting::Token(..) | Waiting::Busy | Waiting::Done => {
                Waiter::Controller { op, channel: None, what: "its own operation".into() }
            }
        }];
        waiters.extend(picture::channels(&self.fabric));
        for (i, slot) in self.cores.iter().enumerate() {
            let tile = index::core_tile(i);
            match slot.state {
                CoreState::Off | CoreState::Halted => {}
                CoreState::Running => waiters.push(Waiter::CoreSpins { tile, pc: slot.core.pc() }),
                CoreState::Blocked(reason, _) => waiters.push(Waiter::Core {
                    tile,
                    pc: slot.core.pc(),
                    reason,
                    lock_value: picture::core_lock(&self.fabric, tile, reason),
                }),
            }
        }
        Fault::Deadlock(Box::new(DeadlockReport { cycle: self.fabric.now, waiters }))
    }

    fn report(&self, controller: &Controller, start: u64, before: &[crate::port::CoreStats]) -> RunReport {
        let now = self.fabric.now;
        let cores = (self.cores.iter().zip(before).enumerate())
            .map(|(i, (slot, before))| {
                let (s, mut stalls) = (slot.stats(), slot.stalls);
                if let CoreState::Blocked(reason, since) = slot.state {
                    let lost = now.saturating_sub(since.max(start));
                    match reason {
                        crate::port::BlockReason::Lock { .. } => stalls.lock += lost,
                        crate::port::BlockReason::StreamRead | crate::port::BlockReason::StreamWrite => {
                            stalls.stream += lost;
                        }
                        crate::port::BlockReason::CascadeRead | crate::port::BlockReason::CascadeWrite => {
                            stalls.cascade += lost;
                        }
                    }
                }
                CoreReport {
                    tile: index::core_tile(i),
                    bundles: s.bundles - before.bundles,
                    stalls,
                    vmacs: s.vmacs - before.vmacs,
                    macs: s.macs - before.macs,
                }
            })
            .filter(|r| r.bundles > 0 || r.stalls != Stalls::default())
            .collect();
        let shim_channels = (self.fabric.channels.iter().flat_map(|channels| channels.iter()))
            .filter(|ch| ch.id.tile.row == 0 && (ch.words > 0 || ch.busy_cycles > 0))
            .map(|ch| ShimChannelReport {
                channel: ch.id,
                bytes: 4 * ch.words,
                busy_cycles: ch.busy_cycles + ch.busy_since.map_or(0, |since| now - since),
            })
            .collect();
        RunReport {
            cycles: now - start,
            cores,
            shim_channels,
            arguments: self.fabric.ddr.traffic(),
            tokens: controller.tokens,
            controller: controller.report,
            op_ends: controller.ends.iter().map(|at| at - start).collect(),
        }
    }

    /// Tokens issued by a channel that no stream waited for.
    pub fn unclaimed_tokens(&self, channel: ChannelId) -> u64 {
        let ok = channel.tile.col < crate::port::COLUMNS
            && channel.tile.row < crate::port::ROWS
            && channel.index < index::channels_in_row(channel.tile.row);
        if !ok {
            return 0;
        }
        let c = index::channel(channel.dir, channel.tile, channel.index);
        self.fabric.channels[dir_ix(channel.dir)][c].tokens
    }
}
