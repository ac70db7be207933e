//! Stream switches and the flows they form.
//!
//! Switch registers are resolved into *flows* whenever they change: one source port, the tree of receivers behind it, and
//! for every receiver the latency and the number of words the path holds. The cycle loop then touches flows only.
//!
//! A circuit word advances past a split only when every branch can take it. A flow keeps its words once, in a ring; each
//! receiver has its own read position. Receiver j sees word n when its path latency has passed and when, for every other
//! receiver k, the path of k behind the split has room for word n.

use super::index::{self, CoreIx};
use super::ports::{self, Bundle, TileKind};
use crate::fault::{Direction, Fault, PortId, PortSide};
use crate::port::{COLUMNS, ROWS, TileLoc};
use crate::timing::Timing;

const ENABLE: u32 = 1 << 31;
const PACKET: u32 = 1 << 30;

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
        match self.slots.get_mut(usize::from(index)) {
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

    /// Masters that a packet with this id reaches from packet slave `slave`; `None`: no slot matches.
    fn packet_masters(&self, slave: u8, id: u8) -> Option<Vec<u8>> {
        let slot = self.slots[usize::from(slave)].iter().find(|&&s| {
            let (slot_id, mask) = (s >> 24 & 0x1f, s >> 16 & 0x1f);
            s & 1 << 8 != 0 && u32::from(id) & mask == slot_id & mask
        })?;
        let (arbiter, msel) = (slot & 7, slot >> 4 & 3);
        Some(
            (0u8..)
                .zip(&self.masters)
                .filter(|&(_, &w)| {
                    w & (ENABLE | PACKET) == ENABLE | PACKET && w & 7 == arbiter && w >> (3 + msel) & 1 != 0
                })
                .map(|(i, _)| i)
                .collect(),
        )
    }
}

/// Who receives at the end of a route: an S2MM channel or a core's input stream, as one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SinkIx(pub usize);

/// Who sends: an MM2S channel or a core's output stream, as one number.
pub type SourceIx = usize;

/// First sink / source number that stands for a core.
pub const FIRST_CORE_ENDPOINT: usize = index::CHANNELS;
/// Number of sinks, and of sources.
pub const ENDPOINTS: usize = index::CHANNELS + index::CORES;

/// Where a source enters the network.
pub fn source_port(source: SourceIx) -> PortId {
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
struct Hop {
    tile: TileLoc,
    slave: u8,
    master: u8,
    words: u64,
    master_words: u64,
}

/// One branch of a resolved route.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Branch {
    sink: SinkIx,
    hops: Vec<Hop>,
    latency: u64,
    words: u64,
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
    fn resolve(&self, source: SourceIx, timing: &Timing) -> Result<Vec<Branch>, Fault> {
        let port = source_port(source);
        let switch = self.switch(port.tile);
        if port.tile.row == 0 {
            let shift = if port.index == 5 { 10 } else { 14 };
            if switch.mux >> shift & 3 != 1 {
                return Ok(Vec::new());
            }
        }
        if switch.slaves[usize::from(port.index)] & ENABLE == 0 {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        self.walk(port, port.tile, port.index, &mut Vec::new(), &mut out, timing)?;
        Ok(out)
    }

    /// Follows every branch behind a slave port. A master takes one slave and a wire has one master, so a walk meets each
    /// port at most once, and no two walks end at one receiver.
    fn walk(
        &self,
        source_port: PortId,
        tile: TileLoc,
        slave: u8,
        hops: &mut Vec<Hop>,
        out: &mut Vec<Branch>,
        timing: &Timing,
    ) -> Result<(), Fault> {
        let kind = TileKind::of_row(tile.row);
        let at = PortId { tile, side: PortSide::Slave, index: slave };
        let switch = self.switch(tile);
        let word = switch.slaves[usize::from(slave)];
        if word & ENABLE == 0 {
            return Err(Fault::DanglingRoute { source_port, at, why: "this slave port is not enabled" });
        }
        if word & PACKET != 0 {
            return Err(Fault::PacketData { port: at });
        }
        let mut any = false;
        for master in switch.circuit_masters(slave) {
            any = true;
            let master_port = PortId { tile, side: PortSide::Master, index: master };
            let Some((bundle, lane)) = ports::decode(kind, PortSide::Master, master) else {
                return Err(Fault::NoSuchPort { tile, offset: 4 * u32::from(master) });
            };
            let local = ports::is_local(bundle);
            hops.push(Hop {
                tile,
                slave,
                master,
                words: if local { timing.switch_words_to_local } else { timing.switch_words_to_external },
                master_words: if local { timing.master_words_local } else { timing.master_words_external },
            });
            let dangling = |why| Fault::DanglingRoute { source_port, at: master_port, why };
            match bundle {
                Bundle::Dma => {
                    let sink = SinkIx(index::channel(Direction::S2mm, tile, lane));
                    out.push(branch(sink, hops, timing.s2mm_ingress_words, timing));
                }
                Bundle::Core => {
                    let sink = SinkIx(FIRST_CORE_ENDPOINT + index::core(tile));
                    out.push(branch(sink, hops, timing.core_stream_words, timing));
                }
                Bundle::Fifo => {
                    if let Some(h) = hops.last_mut() {
                        h.words += timing.switch_fifo_words;
                        h.master_words += timing.switch_fifo_words;
                    }
                    let Some(next) = ports::encode(kind, PortSide::Slave, Bundle::Fifo, 0) else {
                        return Err(dangling("the switch has no FIFO"));
                    };
                    self.walk(source_port, tile, next, hops, out, timing)?;
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
                    out.push(branch(sink, hops, timing.s2mm_ingress_words, timing));
                }
                Bundle::South | Bundle::West | Bundle::North | Bundle::East => {
                    let Some((next, next_slave)) = ports::wire(tile, (bundle, lane)) else {
                        return Err(dangling("the wire ends at the edge of the array"));
                    };
                    self.walk(source_port, next, next_slave, hops, out, timing)?;
                }
                Bundle::Trace => return Err(dangling("trace has no master port")),
            }
            hops.pop();
        }
        if any { Ok(()) } else { Err(Fault::DanglingRoute { source_port, at, why: "no master selects this slave" }) }
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

    /// Follows a task token from the tile-control slave of `tile` to the firmware's sink, master South 0 of a shim.
    // SOURCE: Xilinx/mlir-aie token routing; AMD production PDIs (packet and circuit form both in use).
    pub fn token_route(&self, tile: TileLoc, controller_id: u8) -> Result<(), &'static str> {
        let kind = TileKind::of_row(tile.row);
        let slave = ports::encode(kind, PortSide::Slave, Bundle::TileCtrl, 0).ok_or("no tile control port")?;
        let mut todo = vec![(tile, slave)];
        let mut seen = Vec::new();
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
            let masters = if word & PACKET == 0 {
                switch.circuit_masters(slave).collect()
            } else {
                match switch.packet_masters(slave, controller_id & 0x1f) {
                    Some(m) => m,
                    None => {
                        why = "no packet slot matches the controller id";
                        continue;
                    }
                }
            };
            if masters.is_empty() {
                why = "no master takes the token";
            }
            for master in masters {
                match ports::decode(kind, PortSide::Master, master) {
                    Some((Bundle::South, 0)) if kind == TileKind::Shim => return Ok(()),
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

fn branch(sink: SinkIx, hops: &[Hop], end_words: u64, timing: &Timing) -> Branch {
    let latency = hops
        .iter()
        .map(|h| {
            let local = ports::decode(TileKind::of_row(h.tile.row), PortSide::Master, h.master)
                .is_some_and(|(b, _)| ports::is_local(b));
            if local { timing.switch_to_local } else { timing.switch_to_external }
        })
        .sum();
    Branch { sink, hops: hops.to_vec(), latency, words: hops.iter().map(|h| h.words).sum::<u64>() + end_words }
}

/// One word of a flow. `valid` bit b: byte b is real data.
#[derive(Clone, Copy, Default, Debug)]
pub struct Word {
    /// Data.
    pub data: u32,
    /// Mask of real bytes.
    pub valid: u8,
    /// TLAST.
    pub last: bool,
}

#[derive(Clone, Copy, Default, Debug)]
struct Slot {
    word: Word,
    pushed_at: u64,
}

/// A receiver's read state.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Endpoint number.
    pub sink: usize,
    latency: u64,
    capacity: u64,
    end_words: u64,
    /// Words taken by the endpoint.
    pub consumed: u64,
    /// Words that reached the endpoint's ingress buffer.
    pub entered: u64,
    entered_at: u64,
    /// Words other receivers' paths can take behind the split: (receiver position, words).
    after_split: Vec<(usize, u64)>,
}

/// A source, its receivers, and the words between them.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    route: Vec<Branch>,
    /// Why the route cannot carry words; raised when a word is sent.
    pub broken: Option<Box<Fault>>,
    /// Receivers.
    pub receivers: Vec<Receiver>,
    ring: Vec<Slot>,
    /// Words sent.
    pub pushed: u64,
    /// Receivers (by endpoint bit) that wait for a word.
    pub starved: u128,
    /// Receivers that wait because another branch is full.
    pub held: u128,
    /// The source waits for room.
    pub source_waits: bool,
}

impl Flow {
    /// Whether words can be sent at all.
    pub fn is_connected(&self) -> bool {
        !self.receivers.is_empty()
    }

    /// Words sent but not taken by the slowest receiver.
    pub fn in_flight(&self) -> u64 {
        self.receivers.iter().map(|r| self.pushed - r.consumed).max().unwrap_or(0)
    }

    fn set_route(&mut self, route: Vec<Branch>) {
        let longest = route.iter().map(|b| b.words).max().unwrap_or(0);
        let after_split = |j: usize| -> Vec<(usize, u64)> {
            (0..route.len())
                .filter(|&k| k != j)
                .map(|k| {
                    let (a, b) = (&route[j].hops, &route[k].hops);
                    let shared = a.iter().zip(b).take_while(|(x, y)| x == y).count();
                    let before: u64 = b[..shared].iter().map(|h| h.words).sum();
                    let slave_part = b.get(shared).map_or(0, |h| h.words - h.master_words);
                    (k, route[k].words - before - slave_part)
                })
                .collect()
        };
        self.receivers = route
            .iter()
            .enumerate()
            .map(|(j, b)| Receiver {
                sink: b.sink.0,
                latency: b.latency,
                capacity: b.words,
                end_words: b.words - b.hops.iter().map(|h| h.words).sum::<u64>(),
                consumed: 0,
                entered: 0,
                entered_at: 0,
                after_split: after_split(j),
            })
            .collect();
        self.ring = vec![Slot::default(); (longest as usize + 1).next_power_of_two()];
        self.pushed = 0;
        self.route = route;
    }

    /// Words the source may send now.
    #[inline]
    pub fn room(&self) -> u64 {
        self.receivers.iter().map(|r| r.capacity - (self.pushed - r.consumed)).min().unwrap_or(0)
    }

    /// Sends one word at cycle `at` (now, or later when the words before it take the port until then); there is
    /// [`Flow::room`].
    #[inline]
    pub fn push(&mut self, word: Word, at: u64) {
        let slot = self.pushed as usize & (self.ring.len() - 1);
        self.ring[slot] = Slot { word, pushed_at: at };
        self.pushed += 1;
    }

    /// Brings the ingress of receiver `r` up to date and returns how many words it holds.
    #[inline]
    pub fn arrive(&mut self, r: usize, now: u64) -> u64 {
        let mask = self.ring.len() - 1;
        let mut limit = self.pushed;
        if self.receivers.len() > 1 {
            for &(k, words) in &self.receivers[r].after_split {
                limit = limit.min(self.receivers[k].consumed + words);
            }
        }
        let rx = &mut self.receivers[r];
        let most = rx.entered + now.saturating_sub(rx.entered_at);
        limit = limit.min(rx.consumed + rx.end_words).min(most);
        while rx.entered < limit && self.ring[rx.entered as usize & mask].pushed_at + rx.latency <= now {
            rx.entered += 1;
        }
        rx.entered_at = now;
        rx.entered - rx.consumed
    }

    /// Word `n` positions behind the read position of receiver `r`.
    #[inline]
    pub fn look(&self, r: usize, n: u64) -> Word {
        self.ring[(self.receivers[r].consumed + n) as usize & (self.ring.len() - 1)].word
    }

    /// Whether receiver `r` has taken everything that was sent into its ingress.
    pub fn all_entered(&self, r: usize) -> bool {
        self.receivers[r].entered == self.pushed
    }

    /// Whether the next word of receiver `r` is held back by another branch.
    pub fn is_held(&self, r: usize) -> bool {
        let rx = &self.receivers[r];
        rx.entered < self.pushed
            && rx.after_split.iter().any(|&(k, words)| self.receivers[k].consumed + words <= rx.entered)
    }

    /// Earliest cycle at which receiver `r` can hold `n` words, given what has entered by `now`. Exact when the words are
    /// on the way, a lower bound when they have yet to be sent.
    #[inline]
    pub fn earliest(&self, r: usize, n: u64, now: u64) -> u64 {
        let rx = &self.receivers[r];
        let missing = rx.consumed + n - rx.entered.min(rx.consumed + n);
        let last = rx.consumed + n - 1;
        let arrival = if last < self.pushed {
            self.ring[last as usize & (self.ring.len() - 1)].pushed_at + rx.latency
        } else if rx.entered < self.pushed {
            now + rx.latency
        } else {
            // Nothing on the way: the sender will wake the receiver.
            now + 1
        };
        arrival.max(now + missing)
    }

    /// Cycle at which the next word of receiver `r` reaches its ingress, if one is on the way.
    pub fn next_arrival(&self, r: usize) -> Option<u64> {
        let rx = &self.receivers[r];
        (rx.entered < self.pushed)
            .then(|| self.ring[rx.entered as usize & (self.ring.len() - 1)].pushed_at + rx.latency)
    }

    /// Endpoints without room, for the deadlock picture.
    pub fn full_receivers(&self) -> impl Iterator<Item = usize> + '_ {
        self.receivers.iter().filter(|r| self.pushed - r.consumed >= r.capacity).map(|r| r.sink)
    }
}

/// Where a sink reads: flow and receiver position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tap {
    /// Flow (source number).
    pub flow: usize,
    /// Receiver position in the flow.
    pub receiver: usize,
}

/// All flows, by source, and the taps, by sink.
#[derive(Clone, Debug)]
pub struct Flows {
    /// By source number.
    pub flows: Vec<Flow>,
    /// By sink number.
    pub taps: Vec<Option<Tap>>,
}

impl Default for Flows {
    fn default() -> Self {
        Self { flows: vec![Flow::default(); ENDPOINTS], taps: vec![None; ENDPOINTS] }
    }
}

impl Flows {
    /// Re-resolves every flow after the switches changed. Routes that stay the same keep their words.
    pub fn rebuild(&mut self, network: &Network, timing: &Timing) -> Result<(), Fault> {
        for (source, flow) in self.flows.iter_mut().enumerate() {
            let (route, broken) = match network.resolve(source, timing) {
                Ok(route) => (route, None),
                Err(fault) => (Vec::new(), Some(Box::new(fault))),
            };
            flow.broken = broken;
            if route == flow.route {
                continue;
            }
            if flow.in_flight() > 0 {
                return Err(Fault::ReconfiguredInFlight { port: source_port(source), words: flow.in_flight() });
            }
            flow.set_route(route);
        }
        self.taps.fill(None);
        for (source, flow) in self.flows.iter().enumerate() {
            for (receiver, r) in flow.receivers.iter().enumerate() {
                self.taps[r.sink] = Some(Tap { flow: source, receiver });
            }
        }
        Ok(())
    }

    /// The fault of a source that sends while nothing is connected.
    pub fn unconnected(&self, source: SourceIx, core: Option<CoreIx>) -> Fault {
        if let Some(fault) = &self.flows[source].broken {
            return (**fault).clone();
        }
        match core {
            Some(core) => Fault::CorePortUnconnected { tile: index::core_tile(core), what: "output stream" },
            None => {
                Fault::UnroutedSource { channel: index::channel_id(Direction::Mm2s, source), port: source_port(source) }
            }
        }
    }
}
