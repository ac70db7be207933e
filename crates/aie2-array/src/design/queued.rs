//! Rings of mem tiles whose two DMA sides are tasks of the runtime stream, with other access patterns in every phase.
//!
//! ```text
//! phase    patterns of the writer and of the reader; as many of each as in every other phase, so that locks count alike
//! chain    one BD per slot and part, ends behind the last slot
//! task     n slots on both sides: n / slots rounds of the chain, and once its last n mod slots slots
//! ```
//! Both sides of a task begin and end at the same slots, and a task leaves the ring empty: the next one, of any phase, finds the locks as
//! the configuration set them.

use std::collections::{BTreeSet, VecDeque};

use super::lower::mem_bd;
use super::{Chain, Design, RingId, RingUse, Step, check_parts};
use crate::bd::{BdShape, Pattern};
use crate::device::{Channel, DMA_ALIGN_BYTES, Direction, Mm2s, S2mm, Tile, TileKind};
use crate::error::Error;
use crate::route::{Port, PortEnd};

/// Access patterns of one phase, per slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingPhase {
    /// What arrives, in order.
    pub fill: Vec<Pattern>,
    /// What leaves, in order.
    pub drain: Vec<Pattern>,
}

/// What [`Design::finish`] needs to know of a queued ring beside its chains.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    channels: [Channel; 2],
    /// By phase: shapes of the parts of writer and reader.
    shapes: Vec<[Vec<BdShape>; 2]>,
}

/// A ring for [`crate::Runtime::ring`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRing {
    pub(crate) tile: Tile,
    pub(crate) name: String,
    pub(crate) slots: usize,
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
    /// In the order of the chain.
    pub(crate) bds: Vec<u8>,
    /// By phase, the words of each BD.
    pub(crate) words: Vec<Vec<Vec<u32>>>,
}

impl Chain {
    /// The BD behind the one at `index`.
    pub(super) fn next(&self, index: usize) -> Option<u8> {
        let next = self.steps.get(index + 1).or(self.steps.first().filter(|_| self.endless));
        next.map(|step| step.bd)
    }
}

impl Design {
    /// Makes both sides of a mem tile's ring tasks that the runtime stream queues, in any of `phases`.
    ///
    /// # Errors
    /// A ring elsewhere, phases with different numbers of parts, or what refuses an endless side.
    pub fn queue_ring(&mut self, ring: RingId, fill: S2mm, drain: Mm2s, phases: &[RingPhase]) -> Result<(), Error> {
        let (tile, name, slot_bytes) = {
            let ring = self.get(ring)?;
            (ring.tile, ring.name.clone(), ring.slot_bytes)
        };
        if tile.kind() != TileKind::Mem {
            return Err(Error::WrongTileKind { tile, what: "a queued ring", needs: TileKind::Mem });
        }
        let Some(first) = phases.first() else { return Err(Error::Nothing { tile, what: "phases" }) };
        let channels: [Channel; 2] = [fill.into(), drain.into()];
        let mut shapes = Vec::new();
        for (phase, patterns) in phases.iter().enumerate() {
            for (parts, needed) in [(&patterns.fill, &first.fill), (&patterns.drain, &first.drain)] {
                if parts.len() != needed.len() {
                    let (parts, needed) = (parts.len(), needed.len());
                    return Err(Error::PhaseParts { tile, ring: name, phase, parts, needed });
                }
            }
            for (channel, parts) in channels.into_iter().zip([&patterns.fill, &patterns.drain]) {
                for end_words in parts.iter().map(|part| part.end_words(u32::MAX)) {
                    let slot_words = slot_bytes / DMA_ALIGN_BYTES;
                    if end_words > u64::from(slot_words) {
                        return Err(Error::PatternOutsideSlot { tile, channel, ring: name, end_words, slot_words });
                    }
                }
            }
            if patterns.fill.len() == patterns.drain.len() && patterns.fill.len() > 1 {
                check_parts(tile, &name, &patterns.fill, &patterns.drain)?;
            }
            let lower = |parts: &[Pattern], channel| {
                parts.iter().map(|part| part.lower(TileKind::Mem, channel)).collect::<Result<Vec<_>, _>>()
            };
            shapes.push([lower(&patterns.fill, channels[0])?, lower(&patterns.drain, channels[1])?]);
        }
        // Nothing changes unless both sides are legal.
        let mut changed = self.clone();
        changed.dma_side(&[ring], channels[0], RingUse::Fill, &first.fill)?;
        changed.dma_side(&[ring], channels[1], RingUse::Drain, &first.drain)?;
        for channel in channels {
            if let Some(chain) = changed.chains.get_mut(&(tile, channel)) {
                chain.endless = false;
            }
        }
        changed.queued.insert(ring.0, Sides { channels, shapes });
        *self = changed;
        Ok(())
    }

    pub(super) fn queued_rings(&self) -> std::collections::BTreeMap<RingId, QueuedRing> {
        let queued = self.queued.iter().map(|(&index, sides)| {
            let ring = &self.rings[index];
            let side = |which: usize| {
                let channel = sides.channels[which];
                let chain = &self.chains[&(ring.tile, channel)];
                let words = sides.shapes.iter().map(|shapes| {
                    let parts = &shapes[which];
                    let bd = |(at, step): (usize, &Step)| {
                        let step = Step { shape: parts[at % parts.len()], ..step.clone() };
                        mem_bd(ring, &step, channel.direction, chain.next(at)).encode().to_vec()
                    };
                    chain.steps.iter().enumerate().map(bd).collect()
                });
                QueuedSide { channel, bds: chain.steps.iter().map(|step| step.bd).collect(), words: words.collect() }
            };
            let queued = QueuedRing {
                tile: ring.tile,
                name: ring.name.clone(),
                slots: ring.slots.len(),
                sides: [side(0), side(1)],
                phases: sides.shapes.len(),
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
