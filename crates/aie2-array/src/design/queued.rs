//! Rings of mem tiles whose two DMA sides are tasks of the runtime stream, with other access patterns in every phase.
//!
//! ```text
//! phase    slots, and patterns of the writer and of the reader; the credits of all slots are as many in every phase, so that locks count alike
//! chain    one BD per slot and part, ends behind the last slot; phases share the BDs
//! task     n slots on both sides: n / slots rounds of the chain, and once its last n mod slots slots
//! ```
//! Both sides of a task begin and end at the same slots, and a task leaves the ring empty: the next one, of any phase, finds the locks as
//! the configuration set them.

use std::collections::{BTreeSet, VecDeque};

use super::lower::mem_bd;
use super::{Chain, Design, Ring, RingId, RingSide, RingUse, Step, check_parts};
use crate::bd::Pattern;
use crate::device::{Channel, DMA_ALIGN_BYTES, Direction, Mm2s, S2mm, Tile, TileKind};
use crate::error::Error;
use crate::route::{Port, PortEnd};

/// Access patterns of one phase, per slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingPhase {
    /// Slots that the phase divides the ring's memory into, from its start.
    pub slots: usize,
    /// Bytes of one.
    pub slot_bytes: u32,
    /// What arrives, in order.
    pub fill: Vec<Pattern>,
    /// What leaves, in order.
    pub drain: Vec<Pattern>,
}

/// What [`Design::finish`] needs to know of a queued ring beside its chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sides {
    channels: [Channel; 2],
    phases: Vec<Lowered>,
}

/// A phase as its BDs see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lowered {
    /// The ring with the slots and credits of the phase.
    ring: Ring,
    /// Chains of writer and reader.
    chains: [Chain; 2],
}

/// A ring for [`crate::Runtime::ring`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRing {
    pub(crate) tile: Tile,
    pub(crate) name: String,
    /// By phase.
    pub(crate) slots: Vec<usize>,
    /// Writer and reader.
    pub(crate) sides: [QueuedSide; 2],
    pub(crate) phases: usize,
    /// Shim channels that data of this ring leads to, directly or through cores.
    pub(crate) receivers: BTreeSet<(u8, Channel)>,
}

/// One side of a queued ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedSide {
    pub(crate) channel: Channel,
    /// By phase, in the order of the chain.
    pub(crate) bds: Vec<Vec<u8>>,
    /// By phase, the words of each BD.
    pub(crate) words: Vec<Vec<Vec<u32>>>,
}

impl Chain {
    fn bds(&self) -> Vec<u8> {
        self.steps.iter().map(|step| step.bd).collect()
    }

    /// The BD behind the one at `index`.
    pub(super) fn next(&self, index: usize) -> Option<u8> {
        let next = self.steps.get(index + 1).or(self.steps.first().filter(|_| self.endless));
        next.map(|step| step.bd)
    }
}

impl Design {
    /// Makes both sides of a mem tile's ring tasks that the runtime stream queues, in any of `phases`. The first has the slots of the ring, and
    /// no other phase more parts in all.
    ///
    /// # Errors
    /// A ring elsewhere, phases whose slots and parts do not divide the credits of the first, or what refuses an endless side.
    pub fn queue_ring(&mut self, ring: RingId, fill: S2mm, drain: Mm2s, phases: &[RingPhase]) -> Result<(), Error> {
        let (tile, name) = (self.get(ring)?.tile, self.get(ring)?.name.clone());
        if tile.kind() != TileKind::Mem {
            return Err(Error::WrongTileKind { tile, what: "a queued ring", needs: TileKind::Mem });
        }
        let Some(first) = phases.first() else { return Err(Error::Nothing { tile, what: "phases" }) };
        let channels: [Channel; 2] = [fill.into(), drain.into()];
        // Nothing changes unless everything is legal.
        let mut changed = self.clone();
        changed.dma_side(&[ring], channels[0], RingUse::Fill, &first.fill)?;
        changed.dma_side(&[ring], channels[1], RingUse::Drain, &first.drain)?;
        let whole = changed.get(ring)?.clone();
        let (bytes, base) = (whole.slots.len() as u32 * whole.slot_bytes, whole.slots[0]);
        let credits = whole.unit() * whole.slots.len();
        let mut pools = channels.map(|channel| changed.chains[&(tile, channel)].bds());
        let [usable, usable_too] = channels.map(|channel| tile.kind().bds_of_channel(channel.index));
        let shared = usable == usable_too;
        let mut lowered = Vec::new();
        for (number, phase) in phases.iter().enumerate() {
            if phase.slots == 0 || u64::from(phase.slot_bytes) * phase.slots as u64 > u64::from(bytes) {
                let (asked, limit) = (u64::from(phase.slot_bytes) * phase.slots as u64, u64::from(bytes));
                return Err(Error::PhaseSlots { tile, ring: name, phase: number, asked, limit });
            }
            let ring = Ring {
                slots: (0..phase.slots as u32).map(|slot| base + slot * phase.slot_bytes).collect(),
                slot_bytes: phase.slot_bytes,
                writer: None,
                reader: None,
                unit_least: credits / phase.slots,
                ..whole.clone()
            };
            for parts in [&phase.fill, &phase.drain].map(Vec::len) {
                if parts == 0 || !credits.is_multiple_of(phase.slots) || !(credits / phase.slots).is_multiple_of(parts)
                {
                    let needed = credits / phase.slots;
                    return Err(Error::PhaseParts { tile, ring: name, phase: number, parts, needed });
                }
            }
            for (channel, parts) in channels.into_iter().zip([&phase.fill, &phase.drain]) {
                for end_words in parts.iter().map(|part| part.end_words(u32::MAX)) {
                    let slot_words = phase.slot_bytes / DMA_ALIGN_BYTES;
                    if end_words > u64::from(slot_words) {
                        return Err(Error::PatternOutsideSlot { tile, channel, ring: name, end_words, slot_words });
                    }
                }
            }
            if phase.fill.len() == phase.drain.len() && phase.fill.len() > 1 {
                check_parts(tile, &name, &phase.fill, &phase.drain)?;
            }
            let needed = [&phase.fill, &phase.drain].map(|parts| phase.slots * parts.len());
            let ids = if shared {
                let have = pools[0].len() + pools[1].len();
                let more = (needed[0] + needed[1]).saturating_sub(have);
                let taken = changed.take_bds(tile, channels[0], &name, more)?;
                pools[1].extend(taken);
                let all: Vec<u8> = pools.concat();
                [all[..needed[0]].to_vec(), all[needed[0]..needed[0] + needed[1]].to_vec()]
            } else {
                for ((pool, needed), channel) in pools.iter_mut().zip(needed).zip(channels) {
                    let more = needed.saturating_sub(pool.len());
                    pool.extend(changed.take_bds(tile, channel, &name, more)?);
                }
                [pools[0][..needed[0]].to_vec(), pools[1][..needed[1]].to_vec()]
            };
            let side = |parts: &[Pattern]| RingSide { parts: parts.len(), words: Some(parts.to_vec()) };
            let chain = |parts: &[Pattern], channel, ids: &[u8]| {
                let shapes =
                    parts.iter().map(|part| part.lower(TileKind::Mem, channel)).collect::<Result<Vec<_>, _>>()?;
                let steps = ids.iter().enumerate().map(|(at, &bd)| Step {
                    ring: 0,
                    slot: at / shapes.len(),
                    bd,
                    shape: shapes[at % shapes.len()],
                });
                Ok::<_, Error>(Chain { steps: steps.collect(), endless: false })
            };
            let chains = [chain(&phase.fill, channels[0], &ids[0])?, chain(&phase.drain, channels[1], &ids[1])?];
            let ring = Ring { writer: Some(side(&phase.fill)), reader: Some(side(&phase.drain)), ..ring };
            lowered.push(Lowered { ring, chains });
        }
        for channel in channels {
            if let Some(chain) = changed.chains.get_mut(&(tile, channel)) {
                chain.endless = false;
            }
        }
        changed.queued.insert(ring.0, Sides { channels, phases: lowered });
        *self = changed;
        Ok(())
    }

    pub(super) fn queued_rings(&self) -> std::collections::BTreeMap<RingId, QueuedRing> {
        let queued = self.queued.iter().map(|(&index, sides)| {
            let ring = &self.rings[index];
            let side = |which: usize| {
                let direction = sides.channels[which].direction;
                let words = sides.phases.iter().map(|Lowered { ring, chains }| {
                    let chain = &chains[which];
                    let bd =
                        |(at, step): (usize, &Step)| mem_bd(ring, step, direction, chain.next(at)).encode().to_vec();
                    chain.steps.iter().enumerate().map(bd).collect()
                });
                let bds = sides.phases.iter().map(|phase| phase.chains[which].bds());
                QueuedSide { channel: sides.channels[which], bds: bds.collect(), words: words.collect() }
            };
            let queued = QueuedRing {
                tile: ring.tile,
                name: ring.name.clone(),
                slots: sides.phases.iter().map(|phase| phase.ring.slots.len()).collect(),
                sides: [side(0), side(1)],
                phases: sides.phases.len(),
                receivers: self.receivers(ring.tile, sides.channels[1]),
            };
            (RingId(index), queued)
        });
        queued.collect()
    }

    /// Shim channels that what a channel sends leads to: through rings, and from what a core reads to all that it sends.
    fn receivers(&self, tile: Tile, channel: Channel) -> BTreeSet<(u8, Channel)> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([(tile, channel)]));
        let mut open = VecDeque::from([(tile, channel)]);
        while let Some((tile, channel)) = open.pop_front() {
            let source = Port { tile, end: PortEnd::Dma(channel) };
            for sink in self.flows.iter().filter(|flow| flow.source == source).flat_map(|flow| &flow.sinks) {
                let PortEnd::Dma(channel) = sink.end else { continue };
                if sink.tile.kind() == TileKind::Shim {
                    found.insert((sink.tile.col.0, channel));
                    continue;
                }
                for next in self.sent_on(sink.tile, channel) {
                    if seen.insert(next) {
                        open.push_back(next);
                    }
                }
            }
        }
        found
    }

    /// Channels that send what arrives on one.
    fn sent_on(&self, tile: Tile, channel: Channel) -> Vec<(Tile, Channel)> {
        let Some(arrives) = self.chains.get(&(tile, channel)) else { return Vec::new() };
        let filled: BTreeSet<usize> = arrives.steps.iter().map(|step| step.ring).collect();
        let by_core = |ring: &usize| self.rings[*ring].reader.as_ref().is_some_and(|side| side.words.is_none());
        let core_reads = filled.iter().any(by_core);
        let of_core = |ring: usize| self.rings[ring].writer.as_ref().is_some_and(|side| side.words.is_none());
        let sends = |chain: &Chain| {
            chain.steps.iter().any(|step| filled.contains(&step.ring) || core_reads && of_core(step.ring))
        };
        let chains = self
            .chains
            .iter()
            .filter(|((at, channel), chain)| *at == tile && channel.direction == Direction::Mm2s && sends(chain));
        chains.map(|(&key, _)| key).collect()
    }
}
