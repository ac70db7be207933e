//! Packet-switched ports: slots, arbiters, and the words between a slave and its masters.
//!
//! ```text
//! flow ─► slave ─ header id ─► slot ─► arbiter ─┬─ msel ─► master ─► flow
//! flow ─► slave ─ header id ─► slot ─┘ one      └─ msel ─► master ─► flow
//!                                      packet
//! ```
//!
//! A packet is a header, its payload, and TLAST on the last word. The slot that matches the header's id names an arbiter and
//! an msel; every master of that arbiter which takes the msel receives the packet. An arbiter serves one packet at a time,
//! round robin between the slaves that ask, and holds until TLAST has passed. A word passes when all its masters have room,
//! judged by the state at the start of the cycle, so that the order of the switches does not matter.
// SOURCE: AM020 ch. 2, packet-switched streams; AM025 stream switch registers.

use super::fabric::Fabric;
use super::flow::{Flow, Flows, Tap, Word};
use super::index;
use super::route::{
    ARBITERS, Network, PACKET_SINKS, PacketMaster, SlotMatch, match_slots, packet_endpoint, packet_port,
};
use crate::deadlock::Waiter;
use crate::fault::{Fault, PortId, PortSide};
use crate::port::TileLoc;

/// What the packet at the head of a slave asks for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    id: u8,
    /// Position in the list of arbiters.
    arbiter: usize,
    msel: u8,
}

/// A packet-switched slave that a flow reaches.
#[derive(Clone, Debug)]
struct Slave {
    port: PortId,
    tap: Tap,
    slots: [u32; 4],
    /// From the header's arrival until its packet has passed.
    ask: Option<Ask>,
    /// A word stands at the port in this cycle.
    here: bool,
}

/// The packet an arbiter serves.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// Position in the list of slaves.
    slave: usize,
    msel: u8,
    id: u8,
    /// The header may pass from this cycle on.
    ready: u64,
    /// Words that passed.
    passed: u64,
}

/// An arbiter that a reachable slave can ask.
#[derive(Clone, Debug)]
struct Arbiter {
    tile: TileLoc,
    number: u8,
    masters: Vec<PacketMaster>,
    /// Slaves with a slot for this arbiter, as positions in the list, in register order.
    slaves: Vec<usize>,
    hold: Option<Hold>,
    /// Register index after the slave served last.
    turn: u8,
    /// The next word passes in this cycle.
    passes: bool,
}

impl Arbiter {
    fn targets(&self, msel: u8) -> impl Iterator<Item = &PacketMaster> {
        self.masters.iter().filter(move |m| m.msels >> msel & 1 != 0)
    }

    /// Flow behind one of its masters.
    fn flow(&self, master: &PacketMaster) -> usize {
        packet_endpoint(self.tile, master.index)
    }

    /// Masters that the next word of the packet goes to.
    fn takers(&self, hold: Hold) -> impl Iterator<Item = &PacketMaster> {
        self.targets(hold.msel).filter(move |m| hold.passed > 0 || !m.drops_header)
    }
}

/// All packet-switched ports that data can reach.
#[derive(Clone, Default, Debug)]
pub struct Packets {
    slaves: Vec<Slave>,
    arbiters: Vec<Arbiter>,
}

fn slave_port(endpoint: usize) -> PortId {
    let (tile, index) = packet_port(endpoint);
    PortId { tile, side: PortSide::Slave, index }
}

/// Stream id of a header word.
// SOURCE: AM020 ch. 2 table 2: id 4:0, type 14:12, source row 20:16, source column 27:21, odd parity 31, other bits 0.
fn header_id(port: PortId, word: Word) -> Result<u8, Fault> {
    const FIELDS: u32 = 0x1f | 7 << 12 | 0x1f << 16 | 0x7f << 21 | 1 << 31;
    let refuse = |why| Err(Fault::PacketHeader { port, word: word.data, why });
    if word.valid != 0xf {
        return refuse("of which bytes were never written");
    }
    if word.data.count_ones().is_multiple_of(2) {
        return refuse("which is no packet header: its parity is even");
    }
    if word.data & !FIELDS != 0 {
        return refuse("which is no packet header: reserved bits are set");
    }
    Ok((word.data & 0x1f) as u8)
}

impl Packets {
    /// Whether no packet-switched port can be reached.
    pub fn is_empty(&self) -> bool {
        self.slaves.is_empty()
    }

    /// Whether data packets may ask for this arbiter.
    pub fn carry_data(&self, tile: TileLoc, arbiter: u8) -> bool {
        self.arbiters.iter().any(|a| (a.tile, a.number) == (tile, arbiter))
    }

    /// Reads the switches again. Arbiters whose ports stay the same keep their packet; others must hold none.
    pub fn rebuild(&mut self, network: &Network, flows: &Flows) -> Result<(), Fault> {
        let mut next = Self::default();
        let packet_taps = flows.taps.iter().enumerate().skip(super::route::FIRST_PACKET_PORT);
        for (endpoint, tap) in packet_taps.filter_map(|(e, tap)| Some((e, (*tap)?))) {
            let port = slave_port(endpoint);
            let slots = network.switch(port.tile).slots(port.index);
            next.slaves.push(Slave { port, tap, slots, ask: None, here: false });
        }
        for tile in (0..index::TILES).map(index::tile_loc) {
            for number in 0..ARBITERS {
                let names = |s: &Slave| {
                    s.port.tile == tile && s.slots.iter().any(|w| w >> 8 & 1 != 0 && w & 7 == number.into())
                };
                let slaves: Vec<usize> = (0..next.slaves.len()).filter(|&s| names(&next.slaves[s])).collect();
                if !slaves.is_empty() {
                    let masters = network.switch(tile).packet_masters(number).collect();
                    next.arbiters.push(Arbiter { tile, number, masters, slaves, hold: None, turn: 0, passes: false });
                }
            }
        }
        for old in &self.arbiters {
            let at = next.arbiters.iter().position(|a| (a.tile, a.number) == (old.tile, old.number));
            if let Some(at) = at {
                next.arbiters[at].turn = old.turn;
            }
            let Some(hold) = old.hold else { continue };
            let holder = &self.slaves[hold.slave];
            let slave = next.slaves.iter().position(|s| (s.port, s.slots) == (holder.port, holder.slots));
            let (Some(at), Some(slave)) = (at.filter(|&at| next.arbiters[at].masters == old.masters), slave) else {
                return Err(Fault::ReconfiguredInFlight { port: holder.port, words: hold.passed });
            };
            next.slaves[slave].ask = Some(Ask { id: hold.id, arbiter: at, msel: hold.msel });
            next.arbiters[at].hold = Some(Hold { slave, ..hold });
        }
        *self = next;
        Ok(())
    }

    /// What the packet with this header asks for.
    fn ask(&self, slave: usize, header: Word) -> Result<Ask, Fault> {
        let Slave { port, ref slots, .. } = self.slaves[slave];
        let id = header_id(port, header)?;
        let (arbiter, msel) = match match_slots(slots, id) {
            SlotMatch::Target { arbiter, msel } => (arbiter, msel),
            SlotMatch::None => return Err(Fault::PacketNoSlot { port, id }),
            SlotMatch::Ambiguous { first, second } => return Err(Fault::PacketSlots { port, id, first, second }),
        };
        let none = Fault::PacketNoMaster { port, id, arbiter, msel };
        let Some(at) = self.arbiters.iter().position(|a| (a.tile, a.number) == (port.tile, arbiter)) else {
            return Err(none);
        };
        if self.arbiters[at].targets(msel).next().is_none() {
            return Err(none);
        }
        if header.last
            && let Some(m) = self.arbiters[at].targets(msel).find(|m| m.drops_header)
        {
            let port = PortId { tile: port.tile, side: PortSide::Master, index: m.index };
            let why = "which is also its last word, and this master drops headers";
            return Err(Fault::PacketHeader { port, word: header.data, why });
        }
        Ok(Ask { id, arbiter: at, msel })
    }

    /// The slave whose turn it is, if one asks.
    fn choose(&self, arbiter: usize) -> Option<usize> {
        let a = &self.arbiters[arbiter];
        let asks = |&&s: &&usize| self.slaves[s].ask.is_some_and(|ask| ask.arbiter == arbiter);
        let from = |s: &&usize| self.slaves[**s].port.index >= a.turn;
        a.slaves.iter().filter(from).find(asks).or_else(|| a.slaves.iter().find(asks)).copied()
    }

    /// Arbiters that serve a packet, for the deadlock picture.
    pub(crate) fn held<'a>(&'a self, flows: &'a Flows) -> impl Iterator<Item = Waiter> + 'a {
        self.arbiters.iter().enumerate().filter_map(move |(at, a)| {
            let hold = a.hold?;
            let slave = &self.slaves[hold.slave];
            let master = |m: &PacketMaster| PortId { tile: a.tile, side: PortSide::Master, index: m.index };
            let full = |m: &&PacketMaster| slave.here && flows.flows[a.flow(m)].room() == 0;
            Some(Waiter::Arbiter {
                tile: a.tile,
                arbiter: a.number,
                holder: slave.port,
                id: hold.id,
                passed: hold.passed,
                blocked_by: a.takers(hold).filter(full).map(master).collect(),
                waiting: (self.slaves.iter().enumerate())
                    .filter(|&(s, _)| s != hold.slave)
                    .filter_map(|(_, s)| Some((s.port, s.ask.filter(|ask| ask.arbiter == at)?.id)))
                    .collect(),
            })
        })
    }
}

/// Sets the flags by which a flow that has nothing for receiver `r` calls again. Whether a word is on the way already.
fn await_word(flow: &mut Flow, r: usize) -> bool {
    if flow.all_entered(r) {
        flow.starved |= PACKET_SINKS;
        return false;
    }
    if flow.is_held(r) {
        flow.held |= PACKET_SINKS;
        return false;
    }
    true
}

impl Fabric {
    /// One cycle of all arbiters.
    pub(crate) fn step_packets(&mut self) -> Result<(), Fault> {
        let now = self.now;
        let arbitration = self.timing.packet_arbitration;
        let mut packets = std::mem::take(&mut self.packets);
        self.packets_awake = false;
        let mut again = false;
        for s in 0..packets.slaves.len() {
            let Tap { flow, receiver } = packets.slaves[s].tap;
            let flow = &mut self.flows.flows[flow];
            let here = flow.arrive(receiver, now) > 0;
            packets.slaves[s].here = here;
            if !here {
                again |= await_word(flow, receiver);
            } else if packets.slaves[s].ask.is_none() {
                let ask = packets.ask(s, flow.look(receiver, 0))?;
                packets.slaves[s].ask = Some(ask);
            }
        }
        for at in 0..packets.arbiters.len() {
            if packets.arbiters[at].hold.is_none()
                && let Some(slave) = packets.choose(at)
                && let Some(Ask { id, msel, .. }) = packets.slaves[slave].ask
            {
                packets.arbiters[at].hold = Some(Hold { slave, msel, id, ready: now + arbitration, passed: 0 });
            }
            let Packets { slaves, arbiters } = &mut packets;
            let a = &mut arbiters[at];
            a.passes = false;
            let Some(hold) = a.hold else { continue };
            if hold.ready > now {
                again = true;
                continue;
            }
            if !slaves[hold.slave].here {
                continue;
            }
            let mut passes = true;
            for master in a.takers(hold) {
                let source = a.flow(master);
                let flow = &mut self.flows.flows[source];
                if !flow.is_connected() {
                    return Err(self.flows.unconnected(source, None));
                }
                if flow.room() == 0 {
                    flow.source_waits = true;
                    passes = false;
                }
            }
            a.passes = passes;
        }
        for at in 0..packets.arbiters.len() {
            let Packets { slaves, arbiters } = &mut packets;
            let a = &mut arbiters[at];
            let Some(hold) = a.hold.filter(|_| a.passes) else { continue };
            again = true;
            let slave = &mut slaves[hold.slave];
            let word = self.flows.flows[slave.tap.flow].look(slave.tap.receiver, 0);
            for master in a.takers(hold) {
                let flow = &mut self.flows.flows[a.flow(master)];
                flow.push(word, now);
                let starved = std::mem::take(&mut flow.starved);
                self.wake_sinks(starved);
            }
            self.consume(slave.tap.flow, slave.tap.receiver, 1);
            if word.last {
                a.turn = slave.port.index + 1;
                a.hold = None;
                slave.ask = None;
            } else {
                a.hold = Some(Hold { passed: hold.passed + 1, ..hold });
            }
        }
        self.packets = packets;
        self.packets_awake |= again;
        Ok(())
    }
}
