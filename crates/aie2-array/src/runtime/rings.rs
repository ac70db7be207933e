//! Tasks of mem tiles' rings.
//!
//! ```text
//! first task of a phase   BLOCKWRITEs of the BDs of both sides that differ; no task may be in flight
//! task                    queue pushes of both sides; of a broken round only when no task is in flight
//! over                    when the reading channel rests, or a token has come that was asked for, after the task, on a shim channel behind the ring
//! ```
//! What stands in the BDs when a stream starts is not relied on, so streams may follow each other in any order, unless the caller vouches for it
//! ([`Runtime::ring_stands`]).

use std::collections::BTreeMap;

use super::Runtime;
use crate::design::QueuedRing;
use crate::device::{Channel, QUEUE_DEPTH, S2mm, TileKind};
use crate::error::Error;
use crate::regs::{CHANNEL_AT_WORK, QueuePush, channel_queue_offset, channel_status_offset, mem_bd_offset};
use npu_container::txn::Op;

/// What is known of a ring.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    name: String,
    phase: Option<usize>,
    /// What this stream has written into the BDs.
    bds: BTreeMap<u8, Vec<u32>>,
    tasks: Vec<Pending>,
}

/// A task in flight.
#[derive(Clone, Copy, Debug)]
struct Pending {
    proof: (u8, Channel),
    /// Tokens that had been asked for on that channel before the task: the next one proves its end.
    before: u64,
    /// Entries in the queue of either side.
    pushes: usize,
}

impl Runtime {
    /// Moves `slots` slots through a queued ring in one of its phases. The task counts as in flight until a token of the shim channel
    /// `proof` of column `col` has been waited for that is asked for after this call. The caller vouches that this token comes only when
    /// the slots have left the ring, or waits for all that follow before it goes on: what the channel receives depends on the last of them.
    ///
    /// # Errors
    /// A channel that data of the ring does not lead to, another phase while tasks are in flight, a full queue.
    pub fn ring(
        &mut self,
        ring: &QueuedRing,
        phase: usize,
        slots: u32,
        col: u8,
        proof: impl Into<S2mm>,
    ) -> Result<(), Error> {
        let (tile, channel) = (ring.tile, Channel::from(proof.into()));
        let name = || ring.name.clone();
        self.exists(tile)?;
        if slots == 0 {
            return Err(Error::Nothing { tile, what: "slots" });
        }
        if phase >= ring.phases {
            return Err(Error::NoSuchPhase { tile, ring: name(), phase, phases: ring.phases });
        }
        if !ring.receivers.contains(&(col, channel)) {
            return Err(Error::NotDownstream { tile, ring: name(), col, channel });
        }
        let key = (tile, ring.sides[0].channel);
        let state = State { tasks: self.in_flight_of(key), ..self.rings.get(&key).cloned().unwrap_or_default() };
        let rewrite = state.phase != Some(phase);
        let (rounds, partial) = (slots / ring.slots[phase] as u32, slots as usize % ring.slots[phase]);
        // A task ends with the last slot. One that begins elsewhere would find the slots in between still in use.
        if (rewrite || partial > 0) && !state.tasks.is_empty() {
            return Err(Error::RingInFlight { tile, ring: name(), tasks: state.tasks.len() });
        }
        let most = u32::from(QueuePush::RUNS_MAX);
        let pushes = rounds.div_ceil(most) as usize + usize::from(partial > 0);
        if state.tasks.iter().map(|task| task.pushes).sum::<usize>() + pushes > QUEUE_DEPTH {
            return Err(Error::QueueFull { tile, channel: ring.sides[0].channel, depth: QUEUE_DEPTH });
        }
        let mut bds = state.bds;
        if rewrite {
            let wanted = ring.sides.iter().flat_map(|side| side.bds[phase].iter().copied().zip(&side.words[phase]));
            let wanted: BTreeMap<u8, &Vec<u32>> = wanted.collect();
            // BDs whose registers follow each other take one operation
            let mut runs: Vec<(u8, u8, Vec<u32>)> = Vec::new();
            for (bd, words) in wanted {
                if bds.insert(bd, words.clone()).as_ref() == Some(words) {
                    continue;
                }
                match runs.last_mut() {
                    Some((_, last, data)) if *last + 1 == bd => {
                        data.extend(words);
                        *last = bd;
                    }
                    Some(_) | None => runs.push((bd, bd, words.clone())),
                }
            }
            for (first, _, data) in runs {
                self.ops.push(Op::BlockWrite { addr: tile.address(mem_bd_offset(first)), data });
            }
        }
        for side in &ring.sides {
            let addr = tile.address(channel_queue_offset(TileKind::Mem, side.channel));
            let (bds, in_round) = (&side.bds[phase], ring.slots[phase]);
            let parts = bds.len() / in_round;
            let mut push = |bd: u8, runs: u32| {
                let push = QueuePush { token: false, runs: runs as u16, bd };
                self.ops.push(Op::Write { addr, value: push.encode(TileKind::Mem) });
            };
            if partial > 0 {
                push(bds[(in_round - partial) * parts], 1);
            }
            let mut left = rounds;
            while left > 0 {
                push(bds[0], left.min(most));
                left -= left.min(most);
            }
        }
        let before = self.tokens.get(&(col, channel)).map_or(0, |[asked, _]| *asked);
        let mut tasks = state.tasks;
        tasks.push(Pending { proof: (col, channel), before, pushes });
        self.rings.insert(key, State { name: name(), phase: Some(phase), bds, tasks });
        Ok(())
    }

    /// Declares that a ring's BDs stand in a phase: the configuration leaves them in the first, and the caller vouches that every stream that may come
    /// before this one has ended in it.
    ///
    /// # Errors
    /// A tile or a phase that is not there.
    pub fn ring_stands(&mut self, ring: &QueuedRing, phase: usize) -> Result<(), Error> {
        let (tile, name) = (ring.tile, ring.name.clone());
        self.exists(tile)?;
        if phase >= ring.phases {
            return Err(Error::NoSuchPhase { tile, ring: name, phase, phases: ring.phases });
        }
        let bds = ring.sides.iter().flat_map(|side| side.bds[phase].iter().copied().zip(side.words[phase].clone()));
        let state = State { name, phase: Some(phase), bds: bds.collect(), tasks: Vec::new() };
        self.rings.insert((tile, ring.sides[0].channel), state);
        Ok(())
    }

    /// Waits until the tasks of a ring are over: the channel that reads it has neither a task nor a queue, so that all slots have left. Cores may not
    /// have used them yet.
    ///
    /// # Errors
    /// A tile that is not there.
    pub fn ring_rests(&mut self, ring: &QueuedRing) -> Result<(), Error> {
        let (tile, reader) = (ring.tile, ring.sides[1].channel);
        self.exists(tile)?;
        let addr = tile.address(channel_status_offset(TileKind::Mem, reader));
        self.ops.push(Op::MaskPoll { addr, value: 0, mask: CHANNEL_AT_WORK });
        if let Some(state) = self.rings.get_mut(&(tile, ring.sides[0].channel)) {
            state.tasks.clear();
        }
        Ok(())
    }

    fn in_flight_of(&self, key: (crate::device::Tile, Channel)) -> Vec<Pending> {
        let over = |task: &Pending| self.tokens.get(&task.proof).is_some_and(|[_, waited]| *waited > task.before);
        let tasks = self.rings.get(&key).map_or(&[][..], |state| &state.tasks);
        tasks.iter().copied().filter(|task| !over(task)).collect()
    }

    pub(super) fn rings_awaited(&self) -> Result<(), Error> {
        for (&key, state) in &self.rings {
            let tasks = self.in_flight_of(key).len();
            if tasks > 0 {
                return Err(Error::RingNotAwaited { tile: key.0, ring: state.name.clone(), tasks });
            }
        }
        Ok(())
    }
}
