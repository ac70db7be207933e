//! DMA channels, one array cycle at a time.
//!
//! A channel has a memory side and a port side with a buffer between them. An S2MM channel lets words from its flow into
//! the ingress buffer (one per cycle) and writes a run (the words of one 16-byte line) with one memory access; an MM2S
//! channel reads runs into its egress buffer and sends one word per cycle. After the last word of a BD the channel goes on
//! to the next one at once; the end of the BD (release, token) follows after its own latency.

use super::access::{Access, NEIGHBOUR_CHANNELS};
use super::bd::{self, Bd, Walker};
use super::channel::{Current, End, Phase, Task};
use super::fabric::{BUCKETS, Event, Fabric, dir_ix};
use super::flow::{LINE, Word};
use super::index::{self, LockIx};
use super::lock::Acquire;
use super::ports::TileKind;
use crate::fault::{ChannelId, Direction, Fault};
use crate::port::{COLUMNS, MEM_ROW, TileLoc};

/// Nothing to do until someone wakes the channel.
const PARKED: u64 = u64::MAX;
/// Waits longer than this leave the cycle loop.
const SLEEP: u64 = 40;
/// Whether a channel may use a BD number.
fn check_bd_number(channel: ChannelId, kind: TileKind, bd: u8) -> Result<(), Fault> {
    if bd >= bd::count(kind) {
        return Err(Fault::BdNumber { channel, bd });
    }
    // SOURCE: Xilinx/mlir-aie AIETargetModel isBdChannelAccessible: even channels 0..23, odd channels 24..47.
    if kind == TileKind::Mem && channel.index.is_multiple_of(2) != (bd < 24) {
        return Err(Fault::BdParity { channel, bd });
    }
    Ok(())
}

impl Fabric {
    /// The decoded BD of a tile.
    pub fn decode_bd(&self, tile: TileLoc, bd: u8) -> Bd {
        Bd::decode(TileKind::of_row(tile.row), &self.bds[index::tile(tile)].words[usize::from(bd)])
    }

    /// Queue push: start of a task.
    pub fn push_task(&mut self, dir: Direction, c: usize, start: u8, runs: u16, token: bool) -> Result<(), Fault> {
        let depth = self.timing.task_queue_depth as usize;
        let ch = &self.channels[dir_ix(dir)][c];
        let (id, kind, tile) = (ch.id, ch.kind, ch.tile);
        check_bd_number(id, kind, start)?;
        if ch.reset {
            return Err(Fault::PushInReset { channel: id, bd: start });
        }
        if ch.queue.len() >= depth {
            return Err(Fault::QueueOverflow { channel: id, bd: start, depth });
        }
        let mut bds = 0u64;
        let mut at = start;
        while bds >> at & 1 == 0 {
            bds |= 1 << at;
            match self.decode_bd(id.tile, at).next {
                Some(next) if next < bd::count(kind) => at = next,
                Some(_) | None => break,
            }
        }
        for (b, users) in self.bds[tile].users.iter_mut().enumerate() {
            *users += (bds >> b & 1) as u16;
        }
        let now = self.now;
        let ch = &mut self.channels[dir_ix(dir)][c];
        if ch.queue.is_empty() {
            ch.busy_since = Some(now);
            ch.not_before = now + self.timing.channel_start + self.timing.bd_fetch_cold;
        }
        ch.queue.push_back(Task { start, runs_left: runs, token, bds, pushed_at: now });
        self.progress += 1;
        self.wake(dir, c);
        Ok(())
    }

    /// Channel reset.
    pub fn reset_channel(&mut self, dir: Direction, c: usize, reset: bool) -> Result<(), Fault> {
        let ch = &mut self.channels[dir_ix(dir)][c];
        ch.reset = reset;
        if !reset {
            return Ok(());
        }
        let tile = ch.tile;
        let mut used = [0u16; 64];
        for task in &ch.queue {
            for (b, n) in used.iter_mut().enumerate() {
                *n += (task.bds >> b & 1) as u16;
            }
        }
        ch.clear();
        for (users, n) in self.bds[tile].users.iter_mut().zip(used) {
            *users -= n;
        }
        if dir == Direction::S2mm
            && let Some(tap) = self.flows.taps[c]
        {
            let flow = &self.flows.flows[tap.flow];
            let words = flow.pushed - flow.receivers[tap.receiver].consumed;
            if words > 0 {
                return Err(Fault::ReconfiguredInFlight { port: super::route::source_port(tap.flow), words });
            }
        }
        Ok(())
    }

    /// Lock a BD names, as a lock of the partition.
    fn bd_lock(&self, channel: ChannelId, bd: u8, lock: u8) -> Result<LockIx, Fault> {
        let tile = channel.tile;
        if tile.row != MEM_ROW {
            return Ok(index::lock(tile, lock));
        }
        let fault = |why| Err(Fault::DmaLock { channel, bd, lock, why });
        // SOURCE: Xilinx/mlir-aie getMemTileLockLocalBaseIndex: 0-63 west, 64-127 own, 128-191 east.
        let col = match lock / 64 {
            0 => tile.col.checked_sub(1),
            1 => Some(tile.col),
            2 => Some(tile.col + 1).filter(|&c| c < COLUMNS),
            _ => return fault("ids end at 191"),
        };
        if lock / 64 != 1 && channel.index >= NEIGHBOUR_CHANNELS {
            return fault("channels 4 and 5 reach own locks (64..127) only");
        }
        match col {
            Some(col) => Ok(index::lock(TileLoc::new(col, MEM_ROW), lock % 64)),
            None => fault("the partition has no mem tile on that side (own locks are 64..127)"),
        }
    }

    /// Loads a BD into a channel.
    fn load_bd(&mut self, dir: Direction, c: usize, bd: u8) -> Result<(), Fault> {
        let d = dir_ix(dir);
        let (channel, kind, tile) = {
            let ch = &self.channels[d][c];
            (ch.id, ch.kind, ch.tile)
        };
        check_bd_number(channel, kind, bd)?;
        let b = self.decode_bd(channel.tile, bd);
        let feature = |feature| Err(Fault::BdFeature { channel, bd, feature });
        if !b.valid {
            return Err(Fault::BdInvalid { channel, bd });
        }
        if b.length == 0 {
            return Err(Fault::BdEmpty { channel, bd });
        }
        if b.compression {
            return feature("compression");
        }
        if !b.base.is_multiple_of(4) {
            return feature("an address that is not word aligned");
        }
        if dir == Direction::S2mm && b.padded() {
            return feature("zero padding on S2MM");
        }
        if dir == Direction::S2mm && b.packet.is_some() {
            return feature("a packet header on S2MM");
        }
        if dir == Direction::S2mm && b.iterations > 1 && b.iteration_step < b.first_run() {
            return feature("S2MM iterations that overwrite each other");
        }
        if b.packet.is_some_and(|p| p.out_of_order != 0) {
            return feature("an out-of-order id (its place in the header is unconfirmed)");
        }
        if !b.padding_is_legal() {
            return feature("padding behind a dimension without wrap");
        }
        if let Some((lock, 0)) = b.acquire {
            return Err(Fault::AcquireZero { tile: channel.tile, lock });
        }
        let lock = |l: Option<(u8, i8)>| -> Result<Option<(LockIx, i8)>, Fault> {
            l.map(|(id, v)| Ok((self.bd_lock(channel, bd, id)?, v))).transpose()
        };
        let (acquire, release) = (lock(b.acquire)?, lock(b.release)?);
        let iteration = self.bds[tile].iteration[usize::from(bd)];
        self.bds[tile].iteration[usize::from(bd)] = if iteration + 1 >= b.iterations { 0 } else { iteration + 1 };
        let header = b.packet.map(|p| packet_header(p.id, p.kind, channel.tile));
        let ch = &mut self.channels[d][c];
        ch.current = Some(Current {
            bd,
            walker: Walker::new(&b, iteration),
            acquire,
            release,
            next: b.next,
            tlast: !b.tlast_suppress,
            header,
        });
        ch.phase = Phase::Lock(false);
        Ok(())
    }

    /// Loads the first BD of the next task, if any. Returns whether it did.
    fn next_task(&mut self, dir: Direction, c: usize) -> Result<bool, Fault> {
        let d = dir_ix(dir);
        let ch = &self.channels[d][c];
        let Some(task) = ch.queue.get(ch.fetching).copied() else {
            return Ok(false);
        };
        self.load_bd(dir, c, task.start)?;
        let t = &self.timing;
        let ch = &mut self.channels[d][c];
        if ch.kind == TileKind::Shim && dir == Direction::Mm2s {
            let mut extra = t.shim_mm2s_first_extra;
            for _ in 0..ch.tasks_started.min(32) {
                extra = extra * t.shim_mm2s_extra_decay_permille / 1000;
            }
            // The BD of a queued task is fetched while the task before it runs.
            let fetched = (task.pushed_at + t.channel_start + t.bd_fetch_cold).max(ch.previous_move_at);
            ch.not_before = ch.not_before.max(fetched + t.shim_mm2s_task + extra);
        }
        ch.tasks_started += 1;
        self.progress += 1;
        Ok(true)
    }

    /// After the last word of a BD: chain, next run, next task or idle.
    fn after_bd(&mut self, dir: Direction, c: usize) -> Result<bool, Fault> {
        let d = dir_ix(dir);
        let ch = &mut self.channels[d][c];
        let Some(current) = ch.current.take() else { return Ok(false) };
        ch.phase = Phase::Idle;
        let at = ch.fetching;
        let (next, task_end) = match current.next {
            Some(next) => (Some(next), false),
            None => {
                let task = &mut ch.queue[at];
                task.runs_left -= 1;
                if task.runs_left > 0 { (Some(task.start), false) } else { (None, true) }
            }
        };
        ch.ends.push_back(End { release: current.release, task_end });
        if task_end {
            ch.fetching += 1;
        }
        match next {
            Some(next) => self.load_bd(dir, c, next)?,
            None => {
                self.next_task(dir, c)?;
            }
        }
        Ok(task_end)
    }

    /// The end of a BD: release, token, room in the queue.
    pub fn bd_end(&mut self, dir: Direction, c: usize, epoch: u32) -> Result<(), Fault> {
        let d = dir_ix(dir);
        let now = self.now;
        let ch = &mut self.channels[d][c];
        if ch.epoch != epoch {
            return Ok(());
        }
        let Some(end) = ch.ends.pop_front() else { return Ok(()) };
        let id = ch.id;
        self.progress += 1;
        if end.task_end
            && let Some(task) = ch.queue.pop_front()
        {
            ch.fetching -= 1;
            if ch.queue.is_empty()
                && let Some(since) = ch.busy_since.take()
            {
                ch.busy_cycles += now - since;
            }
            let (tile, controller) = (ch.tile, ch.controller);
            for (b, users) in self.bds[tile].users.iter_mut().enumerate() {
                *users -= (task.bds >> b & 1) as u16;
            }
            if task.token {
                let fault = |why| Fault::TokenRoute { channel: id, why };
                let arbiters = self.network.token_route(id.tile, controller).map_err(fault)?;
                if arbiters.iter().any(|&(tile, arbiter)| self.packets.carry_data(tile, arbiter)) {
                    return Err(fault("it shares an arbiter with data packets, and how they delay it is not modelled"));
                }
                self.schedule(now + self.timing.token_latency, Event::Token(dir, c));
            }
        }
        if let Some((lock, value)) = end.release {
            self.release(lock, value)?;
        }
        self.wake(dir, c);
        Ok(())
    }

    fn schedule_end(&mut self, dir: Direction, c: usize, at: u64) {
        let ch = &mut self.channels[dir_ix(dir)][c];
        let at = at.max(ch.last_end_at);
        ch.last_end_at = at;
        let epoch = ch.epoch;
        self.schedule(at, Event::BdEnd(dir, c, epoch));
    }

    /// Tries the lock of the present BD. `Ok(None)`: granted; otherwise the next cycle to try.
    fn try_lock(&mut self, dir: Direction, c: usize) -> Option<u64> {
        let now = self.now;
        let ch = &mut self.channels[dir_ix(dir)][c];
        let acquire = ch.current.as_ref().and_then(|cur| cur.acquire);
        if let Some((lock, value)) = acquire {
            let l = &mut self.locks[lock];
            match l.acquire(value, now) {
                Acquire::Granted => {
                    self.lock_changed(lock);
                }
                Acquire::Busy => return Some(now + 1),
                Acquire::Wait => {
                    match dir {
                        Direction::S2mm => l.s2mm |= 1 << c,
                        Direction::Mm2s => l.mm2s |= 1 << c,
                    }
                    ch.phase = Phase::Lock(true);
                    return Some(PARKED);
                }
            }
        }
        let ch = &mut self.channels[dir_ix(dir)][c];
        ch.previous_move_at = now;
        ch.phase = Phase::Move;
        None
    }

    /// One cycle of all active channels and arbiters: receivers first, so that a sender sees the room they made.
    pub fn step_channels(&mut self) -> Result<(), Fault> {
        self.step_receivers().map_err(|fault| *fault)?;
        if self.packets_awake {
            self.step_packets()?;
        }
        self.step_senders().map_err(|fault| *fault)?;
        let bucket = self.now as usize % BUCKETS;
        for due in &mut self.due {
            due[(bucket + 1) % BUCKETS] |= std::mem::take(&mut due[bucket]);
        }
        Ok(())
    }

    // Apart, so that each direction is compiled for itself.
    #[inline(never)]
    fn step_receivers(&mut self) -> Result<(), Box<Fault>> {
        self.step_direction(Direction::S2mm, Self::step_s2mm)
    }

    #[inline(never)]
    fn step_senders(&mut self) -> Result<(), Box<Fault>> {
        self.step_direction(Direction::Mm2s, Self::step_mm2s)
    }

    /// One cycle of the active channels of a direction. The order rotates so that nobody is favoured.
    #[inline(always)]
    fn step_direction(
        &mut self,
        dir: Direction,
        step: impl Fn(&mut Self, usize) -> Result<u64, Box<Fault>>,
    ) -> Result<(), Box<Fault>> {
        let d = dir_ix(dir);
        let observed = self.log.is_some();
        let (turn, bucket) = ((self.now % 64) as u32, self.now as usize % BUCKETS);
        let mut looks = self.active[d];
        loop {
            // One that is woken in this pass takes part if its turn is still to come.
            let ready = (self.due[d][bucket] & looks).rotate_right(turn);
            if ready == 0 {
                return Ok(());
            }
            let place = ready.trailing_zeros();
            let c = (place + turn) as usize % index::CHANNELS;
            looks &= (!1u64 << place).rotate_left(turn);
            self.due[d][bucket] &= !(1 << c);
            if self.skip[d][c] > self.now {
                continue;
            }
            let next = step(self, c)?;
            self.skip[d][c] = next;
            if observed {
                self.observe(dir, c);
            }
            if next <= self.now + SLEEP {
                self.due[d][next as usize % BUCKETS] |= 1 << c;
            } else {
                self.active[d] &= !(1 << c);
                if next != PARKED {
                    self.schedule(next, Event::Wake(dir, c));
                }
            }
        }
    }

    /// Brings an S2MM channel to where it moves words. `Some`: it is not there, and this is the next cycle to look.
    #[inline(never)]
    fn begin_s2mm(&mut self, c: usize) -> Result<Option<u64>, Fault> {
        const DIR: Direction = Direction::S2mm;
        if self.channels[0][c].phase == Phase::Idle && !self.next_task(DIR, c)? {
            return Ok(Some(PARKED));
        }
        Ok(match self.channels[0][c].phase {
            Phase::Lock(_) => self.try_lock(DIR, c),
            Phase::Idle | Phase::Move => None,
        })
    }

    #[inline(always)]
    fn step_s2mm(&mut self, c: usize) -> Result<u64, Box<Fault>> {
        const DIR: Direction = Direction::S2mm;
        let now = self.now;
        let ch = &self.channels[0][c];
        if ch.not_before > now {
            return Ok(ch.not_before);
        }
        if ch.phase != Phase::Move
            && let Some(next) = self.begin_s2mm(c)?
        {
            return Ok(next);
        }
        let Some(tap) = self.flows.taps[c] else { return Ok(PARKED) };
        let flow = &mut self.flows.flows[tap.flow];
        let here = flow.arrive(tap.receiver, now);
        let ch = &mut self.channels[0][c];
        let Some(run) = ch.current.as_ref().and_then(|current| current.walker.peek()) else { return Ok(PARKED) };
        let n = u64::from(run.words);
        if here < n {
            if flow.all_entered(tap.receiver) {
                flow.starved |= 1 << c;
                return Ok(PARKED);
            }
            if flow.is_held(tap.receiver) {
                flow.held |= 1 << c;
                return Ok(PARKED);
            }
            return Ok(flow.earliest(tap.receiver, n, now).max(now + 1));
        }
        let mut words = flow.look_line(tap.receiver);
        let addr = run.addr.unwrap_or(0);
        // At most one word a cycle comes in.
        let calm = self.timing.s2mm_ingress_words.saturating_sub(self.timing.dma_urgent_words + here);
        (ch.urgent, ch.calm_until) = (calm == 0, now + calm);
        match self.access(DIR, c, addr, &mut words, run.words as usize)? {
            Access::Done => {}
            Access::Retry(at) => return Ok(at),
        }
        self.consume(tap.flow, tap.receiver, n);
        let ch = &mut self.channels[0][c];
        ch.words += n;
        let Some(current) = ch.current.as_mut() else { return Ok(PARKED) };
        current.walker.advance(run.words);
        if let Some(run) = current.walker.peek() {
            let flow = &self.flows.flows[tap.flow];
            return Ok(flow.earliest(tap.receiver, run.words.into(), now).max(now + 1));
        }
        self.end_s2mm(c)?;
        Ok(now + 1)
    }

    /// After the last word of an S2MM BD.
    #[inline(never)]
    fn end_s2mm(&mut self, c: usize) -> Result<(), Fault> {
        const DIR: Direction = Direction::S2mm;
        let now = self.now;
        let ch = &self.channels[0][c];
        let (kind, first_task) = (ch.kind, ch.tasks_started <= 1);
        let task_end = self.after_bd(DIR, c)?;
        let t = &self.timing;
        let delay = match (kind, task_end) {
            (TileKind::Shim, true) if first_task => t.shim_s2mm_first,
            (TileKind::Shim, true) => t.shim_s2mm_task,
            (TileKind::Shim | TileKind::Mem | TileKind::Core, _) => t.s2mm_end_to_release,
        };
        let bubble = t.bd_bubble;
        self.schedule_end(DIR, c, now + delay);
        let ch = &mut self.channels[0][c];
        ch.not_before = ch.not_before.max(now + 1 + bubble);
        Ok(())
    }

    #[inline(always)]
    fn step_mm2s(&mut self, c: usize) -> Result<u64, Box<Fault>> {
        let fetch = self.fetch_mm2s(c)?;
        let port = self.port_mm2s(c)?;
        Ok(fetch.min(port))
    }

    /// Brings the memory side of an MM2S channel to where it reads words. `Some`: it is not there, and this is the next cycle to
    /// look.
    #[inline(never)]
    fn begin_mm2s(&mut self, c: usize) -> Result<Option<u64>, Fault> {
        const DIR: Direction = Direction::Mm2s;
        let now = self.now;
        let cold = self.channels[1][c].phase == Phase::Idle;
        if cold && !self.next_task(DIR, c)? {
            return Ok(Some(PARKED));
        }
        if self.channels[1][c].not_before > now {
            return Ok(Some(self.channels[1][c].not_before));
        }
        if let Phase::Lock(waited) = self.channels[1][c].phase {
            if let Some(next) = self.try_lock(DIR, c) {
                return Ok(Some(next));
            }
            if (waited || cold) && self.channels[1][c].kind != TileKind::Shim {
                let at = now + self.timing.mm2s_grant_to_word;
                self.channels[1][c].not_before = at;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Memory side of an MM2S channel. Returns the next cycle to look.
    #[inline(always)]
    fn fetch_mm2s(&mut self, c: usize) -> Result<u64, Box<Fault>> {
        const DIR: Direction = Direction::Mm2s;
        let now = self.now;
        let ch = &self.channels[1][c];
        if ch.not_before > now {
            return Ok(ch.not_before);
        }
        if ch.ends.len() as u64 >= self.timing.mm2s_bds_ahead {
            return Ok(PARKED);
        }
        if ch.phase != Phase::Move
            && let Some(next) = self.begin_mm2s(c)?
        {
            return Ok(next);
        }
        let capacity = self.timing.mm2s_egress_words;
        let ch = &mut self.channels[1][c];
        let Some(current) = ch.current.as_mut() else { return Ok(PARKED) };
        if let Some(header) = current.header {
            if ch.egress.len() >= capacity {
                return Ok(PARKED);
            }
            current.header = None;
            ch.egress.put(&[Word { data: header, valid: 0xf, last: false }; LINE as usize], 1);
            return Ok(now + 1);
        }
        let Some(run) = current.walker.peek() else { return Ok(PARKED) };
        let n = run.words as usize;
        if ch.egress.len() + u64::from(run.words) > capacity {
            return Ok(PARKED);
        }
        let mut words = [Word { data: 0, valid: 0xf, last: false }; LINE as usize];
        if let Some(addr) = run.addr {
            (ch.urgent, ch.calm_until) = (ch.egress.len() <= self.timing.dma_urgent_words, now + 1);
            match self.access(DIR, c, addr, &mut words, n)? {
                Access::Done => {}
                Access::Retry(at) => return Ok(at),
            }
        }
        let ch = &mut self.channels[1][c];
        ch.words += n as u64;
        let Some(current) = ch.current.as_mut() else { return Ok(PARKED) };
        current.walker.advance(run.words);
        let next = current.walker.peek();
        words[n - 1].last = next.is_none() && current.tlast;
        ch.egress.put(&words, n);
        let Some(next) = next else {
            ch.egress.put_end();
            self.after_bd(DIR, c)?;
            return Ok(now + 1);
        };
        // A full buffer moves again when the port has sent something. A log wants to see the cycle in which nothing moves.
        let goes_on = ch.egress.len() + u64::from(next.words) <= capacity;
        Ok(if goes_on || self.log.is_some() { now + 1 } else { PARKED })
    }

    /// Port side of an MM2S channel. Returns the next cycle to look.
    ///
    /// The port sends one word per cycle. Words that have room already are handed over together, each with the cycle it
    /// takes the port: nobody else sends on this flow and room never shrinks, so this is what single steps would do.
    #[inline(always)]
    fn port_mm2s(&mut self, c: usize) -> Result<u64, Box<Fault>> {
        const DIR: Direction = Direction::Mm2s;
        let now = self.now;
        let ch = &mut self.channels[1][c];
        if ch.egress.is_empty() {
            return Ok(PARKED);
        }
        if ch.port_not_before > now {
            return Ok(ch.port_not_before);
        }
        let flow = &mut self.flows.flows[c];
        if !flow.is_connected() {
            return Err(self.flows.unconnected(c, None).into());
        }
        let room = flow.room_for(LINE);
        if room == 0 {
            flow.source_waits = true;
            return Ok(PARKED);
        }
        let (n, ended) = ch.egress.send(room, flow, now);
        let starved = flow.starved;
        self.progress += 1;
        ch.port_not_before = now + n;
        if ended {
            ch.port_not_before += self.timing.bd_bubble;
            self.schedule_end(DIR, c, now + n - 1 + self.timing.mm2s_end_to_release);
        }
        if starved != 0 {
            self.flows.flows[c].starved = 0;
            self.wake_sinks(starved);
        }
        // The memory side may have waited for this room in the egress buffer.
        Ok(now + 1)
    }
}

/// Header word of a stream packet.
// SOURCE: AM020 ch. 2 table 2: id 4:0, type 14:12, source row 20:16, source column 27:21, odd parity 31.
pub fn packet_header(id: u8, kind: u8, tile: TileLoc) -> u32 {
    let word = u32::from(id & 0x1f)
        | u32::from(kind & 7) << 12
        | u32::from(tile.row & 0x1f) << 16
        | u32::from(tile.col & 0x7f) << 21;
    if word.count_ones() % 2 == 0 { word | 1 << 31 } else { word }
}
