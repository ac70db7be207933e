//! A small dataflow language: rings of buffers, who fills and who drains them, flows between DMA channels, programs.
//! BDs, locks, switch words and the order of commands are derived.
//!
//! ```text
//! ring:  slots × slot_bytes in one tile's memory, one writer, one reader
//!        writer part   acquires unit/W of `prod`, fills, releases unit/W of `cons`      prod starts at slots · unit
//!        reader part   acquires unit/R of `cons`, uses,  releases unit/R of `prod`      cons starts at 0
//!        W, R parts per slot; one of them is 1 or both are equal; unit = max(W, R)
//! ```
//! A DMA side is an endless chain of BDs, one per slot and part, started when the configuration is loaded; or both sides of a ring are
//! chains that end, which the runtime stream queues ([`Design::queue_ring`]). Credits count
//! parts, so a slot is reused only after all its parts have been used.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/Transforms/AIEObjectFifoStatefulTransform.cpp (producer and consumer lock per
// ring); Xilinx/mlir-air #1478 (one lock pair per part of a join).

mod lower;
mod memory;
pub mod mlir;
mod queued;
mod report;

pub use memory::Place;
pub use queued::{QueuedRing, RingPhase};
pub use report::{Configuration, Resources};

use std::collections::{BTreeMap, BTreeSet};

use crate::bd::{BdShape, Pattern};
use crate::device::{
    COLUMNS, CORE_ALIGN_BYTES, Channel, DMA_ALIGN_BYTES, LOCK_MAX, Mm2s, PROGRAM_MEMORY_BYTES, S2mm, Side, Tile,
    TileKind, core_window,
};
use crate::error::Error;
use crate::route::{Flow, Port, PortEnd};
use memory::Memory;

/// A ring of a design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId(usize);

/// A lock instruction of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockUse {
    /// The lock as the core numbers it; 48..=63 are its own.
    pub id: u8,
    /// Acquire: negative, waits until the lock is at least the magnitude and subtracts it. Release: positive, is added.
    pub value: i8,
}

/// What a core needs to know to fill or drain a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRing {
    /// Core address of each slot (20 bits).
    pub slot_addresses: Vec<u32>,
    /// Executed before a slot is used.
    pub acquire: LockUse,
    /// Executed after.
    pub release: LockUse,
}

/// A lock outside any ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DesignLock {
    /// Its register in the tile, for runtime writes.
    pub register: u8,
    /// Its number for the tile's own core (compute tiles).
    pub core_id: u8,
}

/// One side of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RingSide {
    /// Parts per slot.
    parts: usize,
    /// Words of the slot each part touches; `None` for a core.
    words: Option<Vec<Pattern>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ring {
    tile: Tile,
    name: String,
    /// Byte offset of each slot in the tile's memory.
    slots: Vec<u32>,
    slot_bytes: u32,
    /// Own lock numbers.
    prod: u8,
    cons: u8,
    writer: Option<RingSide>,
    reader: Option<RingSide>,
    /// Credits per slot given out to a core; later sides must agree.
    unit_given: Option<usize>,
    /// Credits per slot at least.
    unit_least: usize,
}

impl Ring {
    fn unit(&self) -> usize {
        [&self.writer, &self.reader].into_iter().flatten().map(|s| s.parts).max().unwrap_or(1).max(self.unit_least)
    }
}

/// One BD of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    ring: usize,
    slot: usize,
    bd: u8,
    shape: BdShape,
}

/// The chain of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    steps: Vec<Step>,
    /// Begins anew behind its last BD, and is started with the configuration; else it is queued.
    endless: bool,
}

/// What a core fills or drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RingUse {
    Fill,
    Drain,
}

impl RingUse {
    fn side(self) -> &'static str {
        match self {
            RingUse::Fill => "writer",
            RingUse::Drain => "reader",
        }
    }
}

/// A design under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    columns: u8,
    rings: Vec<Ring>,
    memories: BTreeMap<Tile, Memory>,
    /// Initial values; rings set those of their own locks.
    locks: BTreeMap<Tile, Vec<u8>>,
    bds: BTreeMap<Tile, BTreeSet<u8>>,
    chains: BTreeMap<(Tile, Channel), Chain>,
    flows: Vec<Flow>,
    connected: BTreeSet<Port>,
    programs: BTreeMap<Tile, Vec<u32>>,
    data: BTreeMap<(Tile, u32), Vec<u32>>,
    queued: BTreeMap<usize, queued::Sides>,
    tokens: BTreeSet<u8>,
    cascades: Vec<(Tile, Tile)>,
}

impl Design {
    /// An empty design for a partition of 1 to 4 columns.
    pub fn new(columns: u8) -> Result<Self, Error> {
        if columns == 0 || columns > COLUMNS {
            return Err(Error::Columns { asked: columns, limit: COLUMNS });
        }
        Ok(Design {
            columns,
            rings: Vec::new(),
            memories: BTreeMap::new(),
            locks: BTreeMap::new(),
            bds: BTreeMap::new(),
            chains: BTreeMap::new(),
            flows: Vec::new(),
            connected: BTreeSet::new(),
            programs: BTreeMap::new(),
            data: BTreeMap::new(),
            queued: BTreeMap::new(),
            tokens: BTreeSet::new(),
            cascades: Vec::new(),
        })
    }

    /// Columns of the partition.
    pub fn columns(&self) -> u8 {
        self.columns
    }

    fn exists(&self, tile: Tile) -> Result<(), Error> {
        if tile.exists(self.columns) { Ok(()) } else { Err(Error::NoSuchTile { tile, columns: self.columns }) }
    }

    fn has_memory(&self, tile: Tile, what: &'static str) -> Result<(), Error> {
        self.exists(tile)?;
        match tile.kind() {
            TileKind::Core | TileKind::Mem => Ok(()),
            TileKind::Shim => Err(Error::WrongTileKind { tile, what, needs: TileKind::Mem }),
        }
    }

    fn is_core(&self, tile: Tile, what: &'static str) -> Result<(), Error> {
        self.exists(tile)?;
        match tile.kind() {
            TileKind::Core => Ok(()),
            TileKind::Mem | TileKind::Shim => Err(Error::WrongTileKind { tile, what, needs: TileKind::Core }),
        }
    }

    fn locks_free(&self, tile: Tile, what: &str, wanted: usize) -> Result<(), Error> {
        let limit = tile.kind().dma().locks;
        let taken = self.locks.get(&tile).map_or(0, Vec::len);
        if taken + wanted > usize::from(limit) {
            return Err(Error::OutOfLocks { tile, what: what.into(), limit });
        }
        Ok(())
    }

    /// Takes the next lock; [`Design::locks_free`] has been asked.
    fn take_lock(&mut self, tile: Tile, initial: u8) -> u8 {
        let locks = self.locks.entry(tile).or_default();
        locks.push(initial);
        (locks.len() - 1) as u8
    }

    /// A ring of `slots` buffers of `slot_bytes` in the memory of a compute or mem tile, with its two locks.
    ///
    /// Slots are consecutive unless `place` puts each on its own. On compute tiles slots are multiples of 32 bytes, so that
    /// every vector access of the core stays aligned; on mem tiles multiples of 4.
    pub fn ring(
        &mut self,
        tile: Tile,
        name: &str,
        slots: usize,
        slot_bytes: u32,
        place: Place,
    ) -> Result<RingId, Error> {
        self.has_memory(tile, "a ring")?;
        if slots == 0 || slot_bytes == 0 {
            return Err(Error::EmptyBuffer { tile, buffer: name.into() });
        }
        let align = align_bytes(tile);
        if !slot_bytes.is_multiple_of(align) {
            let bytes = u64::from(slot_bytes);
            return Err(Error::Misaligned { tile, buffer: name.into(), what: "slot", bytes, align_bytes: align });
        }
        self.locks_free(tile, name, 2)?;
        let memory = self.memories.entry(tile).or_insert_with(|| Memory::new(tile));
        let offsets = memory.place_slots(name, slots, slot_bytes, place)?;
        let prod = self.take_lock(tile, 0);
        let cons = self.take_lock(tile, 0);
        self.rings.push(Ring {
            tile,
            name: name.into(),
            slots: offsets,
            slot_bytes,
            prod,
            cons,
            writer: None,
            reader: None,
            unit_given: None,
            unit_least: 1,
        });
        Ok(RingId(self.rings.len() - 1))
    }

    fn get(&self, ring: RingId) -> Result<&Ring, Error> {
        self.rings.get(ring.0).ok_or(Error::NoSuchRing { index: ring.0 })
    }

    /// Byte offset of each slot in the tile's memory.
    pub fn slot_offsets(&self, ring: RingId) -> Result<&[u32], Error> {
        Ok(&self.get(ring)?.slots)
    }

    /// Fills the ring from a stream: per slot one BD for each pattern, in order. Patterns are relative to the slot.
    pub fn fill_by_dma(&mut self, ring: RingId, channel: S2mm, parts: &[Pattern]) -> Result<(), Error> {
        self.dma_side(&[ring], channel.into(), RingUse::Fill, parts)
    }

    /// Sends the ring into a stream: per slot one BD for each pattern, in order. Patterns are relative to the slot.
    pub fn drain_by_dma(&mut self, ring: RingId, channel: Mm2s, parts: &[Pattern]) -> Result<(), Error> {
        self.dma_side(&[ring], channel.into(), RingUse::Drain, parts)
    }

    /// Sends slot 0 of every ring, then slot 1 of every ring, and so on; each ring keeps its own locks.
    pub fn drain_joined(&mut self, rings: &[RingId], channel: Mm2s, pattern: &Pattern) -> Result<(), Error> {
        self.dma_side(rings, channel.into(), RingUse::Drain, std::slice::from_ref(pattern))
    }

    /// Fills slot 0 of every ring, then slot 1 of every ring, and so on from one stream.
    pub fn fill_distributed(&mut self, rings: &[RingId], channel: S2mm, pattern: &Pattern) -> Result<(), Error> {
        self.dma_side(rings, channel.into(), RingUse::Fill, std::slice::from_ref(pattern))
    }

    fn dma_side(&mut self, rings: &[RingId], channel: Channel, usage: RingUse, parts: &[Pattern]) -> Result<(), Error> {
        let first_id = *rings.first().ok_or(Error::Nothing { tile: Tile::mem(0), what: "rings" })?;
        let first = self.get(first_id)?;
        let (tile, kind, slots) = (first.tile, first.tile.kind(), first.slots.len());
        let first_name = first.name.clone();
        if parts.is_empty() {
            return Err(Error::Nothing { tile, what: "patterns" });
        }
        let limits = kind.dma();
        if channel.index >= limits.channels {
            return Err(Error::NoSuchChannel { tile, channel, limit: limits.channels });
        }
        if self.chains.contains_key(&(tile, channel)) {
            return Err(Error::ChannelTwice { tile, channel });
        }
        let mut distinct = BTreeSet::new();
        for &id in rings {
            let ring = self.get(id)?;
            let differ = |what| {
                let (ring, with) = (ring.name.clone(), first_name.clone());
                Err(Error::RingsDiffer { tile, ring, with, what })
            };
            if ring.tile != tile {
                return differ("tile");
            }
            if ring.slots.len() != slots {
                return differ("slots");
            }
            if !distinct.insert(id) {
                return Err(Error::RingSideTwice { tile, ring: ring.name.clone(), side: usage.side() });
            }
        }
        let shapes = parts.iter().map(|p| p.lower(kind, channel)).collect::<Result<Vec<_>, _>>()?;
        for &id in rings {
            let ring = self.get(id)?;
            for part in parts {
                let slot_words = ring.slot_bytes / DMA_ALIGN_BYTES;
                let end_words = part.end_words(u32::MAX);
                if end_words > u64::from(slot_words) {
                    let ring = ring.name.clone();
                    return Err(Error::PatternOutsideSlot { tile, channel, ring, end_words, slot_words });
                }
            }
        }
        let side = RingSide { parts: parts.len(), words: Some(parts.to_vec()) };
        let sided = rings.iter().map(|&id| self.with_side(id, usage, side.clone())).collect::<Result<Vec<_>, _>>()?;
        let asked = slots * rings.len() * parts.len();
        let ids = self.take_bds(tile, channel, &first_name, asked)?;
        for (id, ring) in rings.iter().zip(sided) {
            self.rings[id.0] = ring;
        }
        let order = (0..slots)
            .flat_map(|slot| rings.iter().flat_map(move |ring| (0..parts.len()).map(move |part| (slot, ring.0, part))));
        let steps =
            order.zip(ids).map(|((slot, ring, part), bd)| Step { ring, slot, bd, shape: shapes[part] }).collect();
        self.chains.insert((tile, channel), Chain { steps, endless: true });
        Ok(())
    }

    fn take_bds(&mut self, tile: Tile, channel: Channel, ring: &str, asked: usize) -> Result<Vec<u8>, Error> {
        let usable = tile.kind().bds_of_channel(channel.index);
        let used = self.bds.entry(tile).or_default();
        let free: Vec<u8> = usable.clone().filter(|bd| !used.contains(bd)).collect();
        if asked > free.len() {
            let (free, limit, ring) = (free.len(), usable.len(), ring.into());
            return Err(Error::OutOfBds { tile, channel, ring, asked, free, limit });
        }
        used.extend(&free[..asked]);
        Ok(free[..asked].to_vec())
    }

    /// The ring with one more side, if both sides go together. The design itself does not change yet.
    fn with_side(&self, id: RingId, usage: RingUse, side: RingSide) -> Result<Ring, Error> {
        let mut ring = self.get(id)?.clone();
        let (tile, name) = (ring.tile, ring.name.clone());
        let place = match usage {
            RingUse::Fill => &mut ring.writer,
            RingUse::Drain => &mut ring.reader,
        };
        if place.is_some() {
            return Err(Error::RingSideTwice { tile, ring: name, side: usage.side() });
        }
        *place = Some(side);
        if let (Some(writer), Some(reader)) = (&ring.writer, &ring.reader) {
            let (w, r) = (writer.parts, reader.parts);
            if w != 1 && r != 1 && w != r {
                return Err(Error::RingParts { tile, ring: name, writer: w, reader: r });
            }
            if let (true, Some(writes), Some(reads)) = (w == r && w > 1, &writer.words, &reader.words) {
                check_parts(tile, &name, writes, reads)?;
            }
        }
        let unit = ring.unit();
        if ring.unit_given.is_some_and(|given| given != unit) {
            return Err(Error::RingSideOrder { tile, ring: name });
        }
        let asked = unit as u64 * ring.slots.len() as u64;
        if asked > u64::from(LOCK_MAX) {
            return Err(Error::LockValue { tile, what: name, asked, limit: LOCK_MAX });
        }
        Ok(ring)
    }

    /// The tile's own core fills the ring, a slot at a time. A DMA that drains it in several parts is declared before.
    pub fn core_fills(&mut self, ring: RingId) -> Result<CoreRing, Error> {
        let core = self.get(ring)?.tile;
        self.core_side(ring, core, RingUse::Fill)
    }

    /// The tile's own core drains the ring, a slot at a time. A DMA that fills it in several parts is declared before.
    pub fn core_drains(&mut self, ring: RingId) -> Result<CoreRing, Error> {
        let core = self.get(ring)?.tile;
        self.core_side(ring, core, RingUse::Drain)
    }

    /// The core of another tile, through its window, fills the ring.
    pub fn core_fills_from(&mut self, core: Tile, ring: RingId) -> Result<CoreRing, Error> {
        self.core_side(ring, core, RingUse::Fill)
    }

    /// The core of another tile, through its window, drains the ring.
    pub fn core_drains_from(&mut self, core: Tile, ring: RingId) -> Result<CoreRing, Error> {
        self.core_side(ring, core, RingUse::Drain)
    }

    fn core_side(&mut self, id: RingId, core: Tile, usage: RingUse) -> Result<CoreRing, Error> {
        self.is_core(core, "a core side of a ring")?;
        let memory = self.get(id)?.tile;
        let window = core_window(core, memory).ok_or(Error::NoWindow { core, memory })?;
        let mut ring = self.with_side(id, usage, RingSide { parts: 1, words: None })?;
        let unit = ring.unit();
        ring.unit_given = Some(unit);
        let (acquired, released) = match usage {
            RingUse::Fill => (ring.prod, ring.cons),
            RingUse::Drain => (ring.cons, ring.prod),
        };
        let value = unit as i8;
        let core_ring = CoreRing {
            slot_addresses: ring.slots.iter().map(|offset| window.memory_base + offset).collect(),
            acquire: LockUse { id: window.lock_base + acquired, value: -value },
            release: LockUse { id: window.lock_base + released, value },
        };
        self.rings[id.0] = ring;
        Ok(core_ring)
    }

    /// Plain memory of a tile. Returns its core address on compute tiles (`& 0xFFFF` is the byte offset in the tile), its
    /// byte offset on mem tiles.
    pub fn reserve(&mut self, tile: Tile, name: &str, bytes: u32, place: Place) -> Result<u32, Error> {
        self.has_memory(tile, "a buffer")?;
        if bytes == 0 {
            return Err(Error::EmptyBuffer { tile, buffer: name.into() });
        }
        let memory = self.memories.entry(tile).or_insert_with(|| Memory::new(tile));
        let offset = memory.place_slots(name, 1, bytes, place)?[0];
        Ok(core_window(tile, tile).map_or(offset, |window| window.memory_base + offset))
    }

    /// A lock outside any ring, with its initial value.
    pub fn lock(&mut self, tile: Tile, name: &str, initial: u8) -> Result<DesignLock, Error> {
        self.has_memory(tile, "a lock")?;
        if initial > LOCK_MAX {
            let asked = u64::from(initial);
            return Err(Error::LockValue { tile, what: name.into(), asked, limit: LOCK_MAX });
        }
        self.locks_free(tile, name, 1)?;
        let register = self.take_lock(tile, initial);
        let core_id = core_window(tile, tile).map_or(0, |window| window.lock_base) + register;
        Ok(DesignLock { register, core_id })
    }

    /// Initial contents of reserved memory, at a byte offset in the tile. Whole words.
    pub fn init_data(&mut self, tile: Tile, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.has_memory(tile, "initial data")?;
        for (what, value) in [("offset of initial data", u64::from(offset)), ("initial data", bytes.len() as u64)] {
            if !value.is_multiple_of(u64::from(DMA_ALIGN_BYTES)) {
                let buffer = self.memories.get(&tile).and_then(|m| m.name_at(offset)).unwrap_or("?").into();
                return Err(Error::Misaligned { tile, buffer, what, bytes: value, align_bytes: DMA_ALIGN_BYTES });
            }
        }
        if !self.memories.get(&tile).is_some_and(|m| m.contains(offset, bytes.len())) {
            return Err(Error::DataOutsideBuffers { tile, offset, bytes: bytes.len() });
        }
        let words = words_of(bytes);
        let end = |offset: u32, words: &Vec<u32>| offset + words.len() as u32 * DMA_ALIGN_BYTES;
        let overlaps = |(&(other, at), there): (&(Tile, u32), &Vec<u32>)| {
            other == tile && at < end(offset, &words) && offset < end(at, there)
        };
        if self.data.iter().any(overlaps) {
            return Err(Error::DataTwice { tile, offset });
        }
        self.data.insert((tile, offset), words);
        Ok(())
    }

    /// The program of a compute tile, from address 0 of its program memory.
    pub fn program(&mut self, tile: Tile, program: &[u8]) -> Result<(), Error> {
        self.is_core(tile, "a program")?;
        if program.len() > PROGRAM_MEMORY_BYTES as usize {
            return Err(Error::ProgramTooLong { tile, bytes: program.len(), limit: PROGRAM_MEMORY_BYTES });
        }
        if program.is_empty() {
            return Err(Error::EmptyBuffer { tile, buffer: "program".into() });
        }
        if self.programs.contains_key(&tile) {
            return Err(Error::ProgramTwice { tile });
        }
        self.programs.insert(tile, words_of(program));
        Ok(())
    }

    /// A circuit flow from one source to one or more sinks; every word reaches every sink.
    pub fn connect(&mut self, source: Port, sinks: &[Port]) -> Result<(), Error> {
        if sinks.is_empty() {
            return Err(Error::Nothing { tile: source.tile, what: "sinks" });
        }
        let mut taken = self.connected.clone();
        for (port, role) in std::iter::once((source, "source")).chain(sinks.iter().map(|&s| (s, "sink"))) {
            self.exists(port.tile)?;
            if let PortEnd::Dma(channel) = port.end {
                let limit = port.tile.kind().dma().channels;
                if channel.index >= limit {
                    return Err(Error::NoSuchChannel { tile: port.tile, channel, limit });
                }
            } else {
                self.is_core(port.tile, "a core stream")?;
            }
            let fits = if role == "source" { port.slave() } else { port.master() }.is_some();
            if !fits {
                return Err(Error::PortRole { port, role });
            }
            if !taken.insert(port) {
                return Err(Error::PortTwice { port });
            }
        }
        self.connected = taken;
        self.flows.push(Flow { source, sinks: sinks.to_vec() });
        Ok(())
    }

    /// Lets the shim of a column send completion tokens, which every wait of the runtime stream needs.
    pub fn token_route(&mut self, col: u8) -> Result<(), Error> {
        self.exists(Tile::shim(col))?;
        self.tokens.insert(col);
        Ok(())
    }

    /// Connects the cascade output of one core to the input of its southern or eastern neighbour.
    // SOURCE: AM020 ch. 4; Xilinx/mlir-aie lib/Dialect/AIE/Transforms/AIELowerCascadeFlows.cpp.
    pub fn cascade(&mut self, from: Tile, to: Tile) -> Result<(), Error> {
        self.is_core(from, "a cascade")?;
        self.is_core(to, "a cascade")?;
        let next = |side| from.neighbour(side, self.columns) == Some(to);
        let free = !self.cascades.iter().any(|&(f, t)| f == from || t == to);
        if !(next(Side::South) || next(Side::East)) || !free {
            return Err(Error::Cascade { from, to });
        }
        self.cascades.push((from, to));
        Ok(())
    }
}

/// Alignment of buffers in a tile's memory in bytes.
fn align_bytes(tile: Tile) -> u32 {
    match tile.kind() {
        TileKind::Core => CORE_ALIGN_BYTES,
        TileKind::Mem | TileKind::Shim => DMA_ALIGN_BYTES,
    }
}

/// With as many reader parts as writer parts, reader part i is certain of writer part i only: it reads nothing else, and
/// no other part overwrites what it reads.
fn check_parts(tile: Tile, ring: &str, writes: &[Pattern], reads: &[Pattern]) -> Result<(), Error> {
    let written: Vec<BTreeSet<u64>> = writes.iter().map(all_words).collect();
    for (part, read) in reads.iter().enumerate() {
        let fits = |word: &u64| written.iter().enumerate().all(|(i, words)| words.contains(word) == (i == part));
        if let Some(word) = all_words(read).into_iter().find(|word| !fits(word)) {
            return Err(Error::RingPartMismatch { tile, ring: ring.into(), part, word });
        }
    }
    Ok(())
}

/// Every word a pattern touches in any of its executions.
fn all_words(pattern: &Pattern) -> BTreeSet<u64> {
    let executions = pattern.iteration().map_or(1, |it| u32::from(it.count));
    (0..executions).flat_map(|run| pattern.words(run).flatten()).collect()
}

/// Little-endian words, the last one filled up with zeros.
fn words_of(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks(4)
        .map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(word)
        })
        .collect()
}

#[cfg(test)]
mod tests;
