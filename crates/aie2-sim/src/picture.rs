//! Who waits for what, read off the array's state.

use crate::array::channel::Phase;
use crate::array::fabric::{Fabric, dir_ix};
use crate::array::index;
use crate::array::route::{FIRST_CORE_ENDPOINT, FIRST_PACKET_PORT, packet_port};
use crate::deadlock::Waiter;
use crate::fault::{Direction, PortId, PortSide};
use crate::port::{BlockReason, TileLoc};
use crate::record::lock_of_core;

fn endpoint_name(sink: usize) -> String {
    if sink >= FIRST_PACKET_PORT {
        let (tile, index) = packet_port(sink);
        PortId { tile, side: PortSide::Slave, index }.to_string()
    } else if sink >= FIRST_CORE_ENDPOINT {
        format!("{} stream input", index::core_tile(sink - FIRST_CORE_ENDPOINT))
    } else {
        index::channel_id(Direction::S2mm, sink).to_string()
    }
}

/// Every channel and arbiter that waits.
pub(crate) fn channels(fabric: &Fabric) -> Vec<Waiter> {
    let mut out = Vec::new();
    for dir in [Direction::S2mm, Direction::Mm2s] {
        for (c, ch) in fabric.channels[dir_ix(dir)].iter().enumerate() {
            let channel = ch.id;
            let full = dir == Direction::Mm2s && !ch.egress.is_empty();
            if full {
                let flow = &fabric.flows.flows[c];
                let (bd, done, length) = ch.current.as_ref().map_or((0, 0, 0), |cur| {
                    let done = cur.walker.done();
                    (cur.bd, done, done + cur.walker.left())
                });
                let blocked_by = flow.full_receivers().map(endpoint_name).collect();
                out.push(Waiter::DmaBackPressure { channel, bd, done, length, blocked_by });
            }
            match (&ch.current, ch.phase) {
                (Some(cur), Phase::Lock(_)) => {
                    if let Some((lock, wanted)) = cur.acquire {
                        let (lock_tile, id) = index::lock_id(lock);
                        let value = fabric.locks[lock].value;
                        out.push(Waiter::DmaLock { channel, bd: cur.bd, lock_tile, lock: id, value, wanted });
                    }
                }
                (Some(cur), Phase::Move) if dir == Direction::S2mm => {
                    let done = cur.walker.done();
                    out.push(Waiter::DmaStarved { channel, bd: cur.bd, done, length: done + cur.walker.left() });
                }
                (Some(_), Phase::Move | Phase::Idle) => {}
                (None, _) => {
                    if let Some(tap) = fabric.flows.taps[c].filter(|_| dir == Direction::S2mm) {
                        let flow = &fabric.flows.flows[tap.flow];
                        let words = flow.pushed - flow.receivers[tap.receiver].consumed;
                        if words > 0 {
                            out.push(Waiter::DmaNoBd { channel, words: words as usize });
                        }
                    }
                }
            }
        }
    }
    out.extend(fabric.packets.held(&fabric.flows));
    out
}

/// Present value of the lock a core waits for.
pub(crate) fn core_lock(fabric: &Fabric, tile: TileLoc, reason: BlockReason) -> Option<u8> {
    let BlockReason::Lock { id, .. } = reason else { return None };
    let (at, lock) = lock_of_core(tile, id)?;
    Some(fabric.locks[index::lock(at, lock)].value)
}
