//! Stream switches and the flows they form.
//!
//! Switch registers are resolved into *flows* whenever they change: one source port, the tree of receivers behind it, and
//! for every receiver the latency and the number of words the path holds. The cycle loop then touches flows only.
//!
//! A packet-switched slave ends a flow and a packet-switched master starts one; [`super::packet`] moves the words between
//! them. The latency and the storage of the switch are split there: the slave's part belongs to the flow that ends.

use super::index;
use super::ports::{self, Bundle, TileKind};
use crate::fault::{Direction, Fault, PortId, PortSide};
use crate::port::{COLUMNS, ROWS, TileLoc};
use crate::timing::Timing;

const ENABLE: u32 = 1 << 31;
const PACKET: u32 = 1 << 30;
const DROP_HEADER: u32 = 1 << 7;
const SLOT_ENABLE: u32 = 1 << 8;

/// Arbiters of a switch that every source agrees on.
// SOURCE: Xilinx/aie-rt accepts 0 to 7; Xilinx/mlir-aie and nod-ai/iree-amd-aie use 0 to 5.
pub const ARBITERS: u8 = 6;

/// What a packet finds in the slots of a slave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotMatch {
    /// No enabled slot takes the id.
    None,
    /// The slots agree on this arbiter and msel.
    Target {
        /// Arbiter.
        arbiter: u8,
        /// Msel of the arbiter.
        msel: u8,
    },
    /// Two enabled slots take the id and name different targets.
    Ambiguous {
        /// The lower slot.
        first: u8,
        /// The other one.
        second: u8,
    },
}

/// The slot that takes a packet with this id.
// SOURCE: AM020 ch. 2; AM025 slot registers: 28:24 id, 20:16 mask, 8 enable, 5:4 msel, 2:0 arbiter.
pub fn match_slots(slots: &[u32; 4], id: u8) -> SlotMatch {
    let mut found: Option<(u8, u8, u8)> = None;
    for (slot, &word) in (0u8..).zip(slots) {
        let (slot_id, mask) = (word >> 24 & 0x1f, word >> 16 & 0x1f);
        if word & SLOT_ENABLE == 0 || u32::from(id) & mask != slot_id & mask {
            continue;
        }
        let (arbiter, msel) = ((word & 7) as u8, (word >> 4 & 3) as u8);
        match found {
            None => found = Some((slot, arbiter, msel)),
            Some((_, a, m)) if (a, m) == (arbiter, msel) => {}
            Some((first, ..)) => return SlotMatch::Ambiguous { first, second: slot },
        }
    }
    found.map_or(SlotMatch::None, |(_, arbiter, msel)| SlotMatch::Target { arbiter, msel })
}

/// A master under an arbiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketMaster {
    /// Register index.
    pub index: u8,
    /// Does not pass the header on.
    pub drops_header: bool,
    /// Bit m: takes packets whose slot says msel m.
    pub msels: u8,
}

/// Registers of one switch.
#[derive(Clone, Debug)]
pub struct Switch {
    masters: Vec<u32>,
    slaves: Vec<u32>,
    slots: Vec<[u32; 4]>,
    /// Shim: 0x1F000 (array-bound multiplexer) and 0x1F004 (memory-bound demultiplexer).
    pub mux: u32,
    /// See `mux`.
    pub demux: u32,
}

impl Switch {
    /// All ports disabled.
    pub fn new(kind: TileKind) -> Self {
        let slaves = usize::from(ports::count(kind, PortSide::Slave));
        Self {
            masters: vec![0; usize::from(ports::count(kind, PortSide::Master))],
            slaves: vec![0; slaves],
            slots: vec![[0; 4]; slaves],
            mux: 0,
            demux: 0,
        }
    }

    /// Writes master register `index`. Refuses connections the switch does not have.
    pub fn set_master(&mut self, tile: TileLoc, index: u8, value: u32) -> Result<(), Fault> {
        let kind = TileKind::of_row(tile.row);
        let master = PortId { tile, side: PortSide::Master, index };
        let offset = 4 * u32::from(index);
        let Some(port) = ports::decode(kind, PortSide::Master, index) else {
            return Err(Fault::NoSuchPort { tile, offset });
        };
        if value & (ENABLE | PACKET) == ENABLE | PACKET && (value & 7) as u8 >= ARBITERS {
            return Err(Fault::ArbiterNumber { port: master, arbiter: (value & 7) as u8 });
        }
        if value & ENABLE != 0 && value & PACKET == 0 {
            let slave = (value & 0x7f) as u8;
            let from = ports::decode(kind, PortSide::Slave, slave);
            if !from.is_some_and(|from| ports::legal(kind, from, port)) {
                return Err(Fault::IllegalConnection { master, slave });
            }
        }
        self.masters[usize::from(index)] = value;
        Ok(())
    }

    /// Writes slave register `index`.
    pub fn set_slave(&mut self, tile: TileLoc, index: u8, value: u32) -> Result<(), Fault> {
        match self.slaves.get_mut(usize::from(index)) {
            Some(s) => {
                *s = value;
                Ok(())
            }
            None => Err(Fault::NoSuchPort { tile, offset: 0x100 + 4 * u32::from(index) }),
        }
    }

    /// Writes slot `slot` of slave `index`.
    pub fn set_slot(&mut self, tile: TileLoc, index: u8, slot: u8, value: u32) -> Result<(), Fault> {
        let port = PortId { tile, side: PortSide::Slave, index };
        match self.slots.get_mut(usize::from(index)) {
            Some(_) if value & SLOT_ENABLE != 0 && (value & 7) as u8 >= ARBITERS => {
                Err(Fault::ArbiterNumber { port, arbiter: (value & 7) as u8 })
            }
            Some(s) => {
                s[usize::from(slot)] = value;
                Ok(())
            }
            None => Err(Fault::NoSuchPort { tile, offset: 0x200 + 0x10 * u32::from(index) + 4 * u32::from(slot) }),
        }
    }

    /// Whether any port is enabled.
    pub fn is_used(&self) -> bool {
        self.masters.iter().chain(&self.slaves).any(|w| w & ENABLE != 0)
    }

    /// Masters fed by circuit slave `slave`.
    fn circuit_masters(&self, slave: u8) -> impl Iterator<Item = u8> + '_ {
        (0u8..)
            .zip(&self.masters)
            .filter_map(move |(i, &w)| (w & (ENABLE | PACKET) == ENABLE && w & 0x7f == u32::from(slave)).then_some(i))
    }

    /// Slots of slave `slave`.
    pub fn slots(&self, slave: u8) -> [u32; 4] {
        self.slots[usize::from(slave)]
    }

    /// Masters bound to `arbiter`.
    pub fn packet_masters(&self, arbiter: u8) -> impl Iterator<Item = PacketMaster> + '_ {
        (0u8..).zip(&self.masters).filter_map(move |(index, &w)| {
            (w & (ENABLE | PACKET) == ENABLE | PACKET && w & 7 == u32::from(arbiter)).then_some(PacketMaster {
                index,
                drops_header: w & DROP_HEADER != 0,
                msels: (w >> 3 & 0xf) as u8,
            })
        })
    }
}

/// Who receives at the end of a route: an S2MM channel or a core's input stream, as one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SinkIx(pub usize);

/// Who sends: an MM2S channel or a core's output stream, as one number.
pub type SourceIx = usize;

/// First sink / source number that stands for a core.
pub const FIRST_CORE_ENDPOINT: usize = index::CHANNELS;
/// Number of sinks, and of sources, outside the switches.
pub const ENDPOINTS: usize = index::CHANNELS + index::CORES;
/// First number that stands for a packet-switched port: a slave among the sinks, a master among the sources.
pub const FIRST_PACKET_PORT: usize = ENDPOINTS;
/// Numbers set aside per switch.
const PORTS_PER_TILE: usize = 32;
pub(super) const ALL_ENDPOINTS: usize = FIRST_PACKET_PORT + PORTS_PER_TILE * index::TILES;
/// Bit in [`Flow::starved`] and [`Flow::held`] that stands for all packet-switched slaves.
pub const PACKET_SINKS: u128 = 1 << ENDPOINTS;

/// Number of a packet-switched slave as a sink, or of a packet-switched master as a source.
pub const fn packet_endpoint(tile: TileLoc, port: u8) -> usize {
    FIRST_PACKET_PORT + PORTS_PER_TILE * index::tile(tile) + port as usize
}

/// Tile and register index of a packet-switched port number.
pub const fn packet_port(endpoint: usize) -> (TileLoc, u8) {
    let port = endpoint - FIRST_PACKET_PORT;
    (index::tile_loc(port / PORTS_PER_TILE), (port % PORTS_PER_TILE) as u8)
}

/// Where a source enters the network.
pub fn source_port(source: SourceIx) -> PortId {
    if source >= FIRST_PACKET_PORT {
        let (tile, index) = packet_port(source);
        return PortId { tile, side: PortSide::Master, index };
    }
    if source >= FIRST_CORE_ENDPOINT {
        let tile = index::core_tile(source - FIRST_CORE_ENDPOINT);
        return PortId { tile, side: PortSide::Slave, index: 0 };
    }
    let id = index::channel_id(Direction::Mm2s, source);
    let index = match TileKind::of_row(id.tile.row) {
        // SOURCE: AM025 Mux_Config; Xilinx/mlir-aie: MM2S 0 -> South 3, MM2S 1 -> South 7.
        TileKind::Shim => [5, 9][usize::from(id.index)],
        TileKind::Mem => id.index,
        TileKind::Core => 1 + id.index,
    };
    PortId { tile: id.tile, side: PortSide::Slave, index }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    tile: TileLoc,
    slave: u8,
    master: u8,
    latency: u64,
    pub(super) words: u64,
    pub(super) master_words: u64,
}

/// Stands for the slave of a hop that begins at a packet-switched master.
const NO_SLAVE: u8 = u8::MAX;

impl Hop {
    /// Traversal of a switch by a circuit route.
    fn circuit(tile: TileLoc, slave: u8, master: u8, local: bool, timing: &Timing) -> Self {
        let (latency, words, master_words) = if local {
            (timing.switch_to_local, timing.switch_words_to_local, timing.master_words_local)
        } else {
            (timing.switch_to_external, timing.switch_words_to_external, timing.master_words_external)
        };
        Self { tile, slave, master, latency, words, master_words }
    }

    /// The part of a switch behind its arbiters.
    fn packet(tile: TileLoc, master: u8, local: bool, timing: &Timing) -> Self {
        let whole = Self::circuit(tile, NO_SLAVE, master, local, timing);
        Self { latency: whole.latency.saturating_sub(timing.switch_slave), words: whole.master_words, ..whole }
    }
}

/// One branch of a resolved route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Branch {
    pub(super) sink: SinkIx,
    pub(super) hops: Vec<Hop>,
    pub(super) latency: u64,
    pub(super) words: u64,
}

/// All switches of the partition.
#[derive(Clone, Debug)]
pub struct Network {
    switches: Vec<Switch>,
}

impl Default for Network {
    fn default() -> Self {
        Self { switches: (0..COLUMNS).flat_map(|_| 0..ROWS).map(|row| Switch::new(TileKind::of_row(row))).collect() }
    }
}

impl Network {
    /// The switch of a tile.
    pub fn switch(&self, tile: TileLoc) -> &Switch {
        &self.switches[index::tile(tile)]
    }

    /// The switch of a tile.
    pub fn switch_mut(&mut self, tile: TileLoc) -> &mut Switch {
        &mut self.switches[index::tile(tile)]
    }

    /// Resolves the route that starts at a source. `Ok(vec![])`: the source's port is not in use.
    pub(super) fn resolve(&self, source: SourceIx, timing: &Timing) -> Result<Vec<Branch>, Fault> {
        let source_port = source_port(source);
        let PortId { tile, index, .. } = source_port;
        let switch = self.switch(tile);
        let mut walk = Walk { network: self, timing, source_port, hops: Vec::new(), out: Vec::new() };
        if source >= FIRST_PACKET_PORT {
            let word = switch.masters.get(usize::from(index)).copied().unwrap_or(0);
            if word & (ENABLE | PACKET) == ENABLE | PACKET {
                walk.behind_master(tile, None, index)?;
            }
            return Ok(walk.out);
        }
        if tile.row == 0 {
            let shift = if index == 5 { 10 } else { 14 };
            if switch.mux >> shift & 3 != 1 {
                return Ok(Vec::new());
            }
        }
        if switch.slaves[usize::from(index)] & ENABLE != 0 {
            walk.behind_slave(tile, index)?;
        }
        Ok(walk.out)
    }

    /// Refuses a circuit master whose slave is not enabled: it would never carry a word.
    pub fn check_masters(&self) -> Result<(), Fault> {
        for (i, switch) in self.switches.iter().enumerate() {
            let tile = index::tile_loc(i);
            for (index, &word) in (0u8..).zip(&switch.masters) {
                let slave = (word & 0x7f) as u8;
                let circuit = word & (ENABLE | PACKET) == ENABLE;
                if circuit && switch.slaves[usize::from(slave)] & (ENABLE | PACKET) != ENABLE {
                    let master = PortId { tile, side: PortSide::Master, index };
                    return Err(Fault::SlaveDisabled { master, slave });
                }
            }
        }
        Ok(())
    }

    /// Follows a task token from the tile-control slave of `tile` to the firmware's sink, master South 0 of a shim. Returns
    /// the arbiters it may pass.
    // SOURCE: Xilinx/mlir-aie token routing; AMD production PDIs (packet and circuit form both in use).
    pub fn token_route(&self, tile: TileLoc, controller_id: u8) -> Result<Vec<(TileLoc, u8)>, &'static str> {
        let kind = TileKind::of_row(tile.row);
        let slave = ports::encode(kind, PortSide::Slave, Bundle::TileCtrl, 0).ok_or("no tile control port")?;
        let mut todo = vec![(tile, slave)];
        let (mut seen, mut arbiters) = (Vec::new(), Vec::new());
        let mut why = "the tile-control slave is not enabled";
        while let Some((tile, slave)) = todo.pop() {
            if seen.contains(&(tile, slave)) {
                continue;
            }
            seen.push((tile, slave));
            let kind = TileKind::of_row(tile.row);
            let switch = self.switch(tile);
            let word = switch.slaves[usize::from(slave)];
            if word & ENABLE == 0 {
                continue;
            }
            let masters: Vec<u8> = if word & PACKET == 0 {
                switch.circuit_masters(slave).collect()
            } else {
                match match_slots(&switch.slots(slave), controller_id & 0x1f) {
                    SlotMatch::Target { arbiter, msel } => {
                        arbiters.push((tile, arbiter));
                        switch.packet_masters(arbiter).filter(|m| m.msels >> msel & 1 != 0).map(|m| m.index).collect()
                    }
                    SlotMatch::None => {
                        why = "no packet slot matches the controller id";
                        continue;
                    }
                    SlotMatch::Ambiguous { .. } => {
                        why = "two packet slots with different targets match the controller id";
                        continue;
                    }
                }
            };
            if masters.is_empty() {
                why = "no master takes the token";
            }
            for master in masters {
                match ports::decode(kind, PortSide::Master, master) {
                    Some((Bundle::South, 0)) if kind == TileKind::Shim => return Ok(arbiters),
                    Some(port) => match ports::wire(tile, port) {
                        Some(next) => todo.push(next),
                        None => why = "the route ends elsewhere than at shim South 0",
                    },
                    None => {}
                }
            }
        }
        Err(why)
    }
}

/// Follows the routes behind one source.
struct Walk<'a> {
    network: &'a Network,
    timing: &'a Timing,
    source_port: PortId,
    /// Hops from the source to where the walk stands.
    hops: Vec<Hop>,
    out: Vec<Branch>,
}

impl Walk<'_> {
    /// The route ends here in a buffer of `end_words` words, `end_latency` cycles further on.
    fn ends(&mut self, sink: SinkIx, end_latency: u64, end_words: u64) {
        self.out.push(Branch {
            sink,
            latency: self.hops.iter().map(|h| h.latency).sum::<u64>() + end_latency,
            words: self.hops.iter().map(|h| h.words).sum::<u64>() + end_words,
            hops: self.hops.clone(),
        });
    }

    /// Follows every branch behind a slave port. A master takes one slave and a wire has one master, so a walk meets each
    /// port at most once, and no two walks end at one receiver.
    fn behind_slave(&mut self, tile: TileLoc, slave: u8) -> Result<(), Fault> {
        let (source_port, timing) = (self.source_port, self.timing);
        let at = PortId { tile, side: PortSide::Slave, index: slave };
        let switch = self.network.switch(tile);
        let word = switch.slaves[usize::from(slave)];
        if word & ENABLE == 0 {
            return Err(Fault::DanglingRoute { source_port, at, why: "this slave port is not enabled" });
        }
        if word & PACKET != 0 {
            let sink = SinkIx(packet_endpoint(tile, slave));
            let words = timing.switch_words_to_local - timing.master_words_local;
            self.ends(sink, timing.switch_slave, words);
            return Ok(());
        }
        let mut any = false;
        for master in switch.circuit_masters(slave) {
            any = true;
            self.behind_master(tile, Some(slave), master)?;
        }
        if any { Ok(()) } else { Err(Fault::DanglingRoute { source_port, at, why: "no master selects this slave" }) }
    }

    /// Follows the route out of a master port, which `slave` feeds by circuit (`None`: an arbiter feeds it).
    fn behind_master(&mut self, tile: TileLoc, slave: Option<u8>, master: u8) -> Result<(), Fault> {
        let (source_port, timing) = (self.source_port, self.timing);
        let kind = TileKind::of_row(tile.row);
        let switch = self.network.switch(tile);
        let master_port = PortId { tile, side: PortSide::Master, index: master };
        let Some((bundle, lane)) = ports::decode(kind, PortSide::Master, master) else {
            return Err(Fault::NoSuchPort { tile, offset: 4 * u32::from(master) });
        };
        let local = ports::is_local(bundle);
        self.hops.push(match slave {
            Some(slave) => Hop::circuit(tile, slave, master, local, timing),
            None => Hop::packet(tile, master, local, timing),
        });
        let dangling = |why| Fault::DanglingRoute { source_port, at: master_port, why };
        match bundle {
            Bundle::Dma => {
                let sink = SinkIx(index::channel(Direction::S2mm, tile, lane));
                self.ends(sink, 0, timing.s2mm_ingress_words);
            }
            Bundle::Core => {
                let sink = SinkIx(FIRST_CORE_ENDPOINT + index::core(tile));
                self.ends(sink, 0, timing.core_stream_words);
            }
            Bundle::Fifo => {
                if let Some(h) = self.hops.last_mut() {
                    h.words += timing.switch_fifo_words;
                    h.master_words += timing.switch_fifo_words;
                }
                let Some(next) = ports::encode(kind, PortSide::Slave, Bundle::Fifo, 0) else {
                    return Err(dangling("the switch has no FIFO"));
                };
                self.behind_slave(tile, next)?;
            }
            Bundle::TileCtrl => return Err(dangling("control packets are not modelled")),
            Bundle::South if kind == TileKind::Shim => {
                // SOURCE: AM025 Demux_Config; Xilinx/mlir-aie: South 2 -> S2MM 0, South 3 -> S2MM 1.
                let channel = match lane {
                    2 => 0,
                    3 => 1,
                    _ => return Err(dangling("this shim port leads to no DMA")),
                };
                if switch.demux >> (2 * lane) & 3 != 1 {
                    return Err(dangling("the demultiplexer does not select the DMA"));
                }
                let sink = SinkIx(index::channel(Direction::S2mm, tile, channel));
                self.ends(sink, 0, timing.s2mm_ingress_words);
            }
            Bundle::South | Bundle::West | Bundle::North | Bundle::East => {
                let Some((next, next_slave)) = ports::wire(tile, (bundle, lane)) else {
                    return Err(dangling("the wire ends at the edge of the array"));
                };
                self.behind_slave(next, next_slave)?;
            }
            Bundle::Trace => return Err(dangling("trace has no master port")),
        }
        self.hops.pop();
        Ok(())
    }
}
