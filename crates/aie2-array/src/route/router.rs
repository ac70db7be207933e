//! Finds circuits for flows from one source to many sinks.
//!
//! A flow is a tree over slave ports: its root is the source's slave, each node can be extended through any legal free
//! master to the slave at the other end of the wire. Sinks are taken nearest first; each is reached by a breadth-first
//! search that starts from the whole tree built so far, so flows share their prefix and split as late as they can.
//! Vertical steps are tried before horizontal ones, low lanes before high ones. When a flow finds no path, all flows are
//! routed again with that one first; each flow is given this chance once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Bundle, Port, SwitchPort, across, is_legal, master_count, master_index};
use crate::device::{Tile, TileKind};
use crate::error::Error;

/// A circuit flow: every word of the source reaches every sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where the words come from.
    pub source: Port,
    /// Where they go.
    pub sinks: Vec<Port>,
}

/// One switch connection, by register index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// The switch.
    pub tile: Tile,
    /// The master port, where the stream leaves.
    pub master: u8,
    /// The slave port that feeds it.
    pub slave: u8,
}

/// The connections of all flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Sorted by tile, then master.
    pub connections: Vec<Connection>,
}

impl Routes {
    /// Checks that every connection exists in its switch and that no master has two slaves.
    pub fn check(&self) -> Result<(), Error> {
        let mut masters = BTreeSet::new();
        for &Connection { tile, master, slave } in &self.connections {
            if !is_legal(tile.kind(), slave, master) {
                return Err(Error::IllegalConnection { tile, slave, master });
            }
            if !masters.insert((tile, master)) {
                return Err(Error::MasterTwice { tile, master });
            }
        }
        Ok(())
    }
}

/// Routes all flows in a partition of `columns` columns.
///
/// `token_columns` are the columns whose shim carries tokens: there the control slave and master South 0 are taken.
pub fn route(flows: &[Flow], columns: u8, token_columns: &BTreeSet<u8>) -> Result<Routes, Error> {
    check_ports(flows, columns)?;
    let mut order: Vec<usize> = (0..flows.len()).collect();
    let mut moved = BTreeSet::new();
    loop {
        match route_in_order(flows, &order, columns, token_columns) {
            Ok(routes) => return Ok(routes),
            Err((failed, error)) => {
                if !moved.insert(failed) {
                    return Err(error);
                }
                order.retain(|&flow| flow != failed);
                order.insert(0, failed);
            }
        }
    }
}

/// Sources and sinks have the right role, exist, and belong to one flow.
fn check_ports(flows: &[Flow], columns: u8) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for flow in flows {
        let source = (flow.source, "source", flow.source.slave().is_some());
        let sinks = flow.sinks.iter().map(|&sink| (sink, "sink", sink.master().is_some()));
        for (port, role, fits) in std::iter::once(source).chain(sinks) {
            if !port.tile.exists(columns) {
                return Err(Error::NoSuchTile { tile: port.tile, columns });
            }
            if !fits {
                return Err(Error::PortRole { port, role });
            }
            if !seen.insert(port) {
                return Err(Error::PortTwice { port });
            }
        }
        if flow.sinks.is_empty() {
            return Err(Error::Nothing { tile: flow.source.tile, what: "sinks" });
        }
    }
    Ok(())
}

/// A slave port of a switch: a place a stream can be.
type Node = (Tile, u8);

#[derive(Default)]
struct Switches {
    /// Which slave feeds a master.
    fed_by: BTreeMap<(Tile, u8), u8>,
    /// Slaves that carry a stream.
    carrying: BTreeSet<Node>,
}

fn route_in_order(
    flows: &[Flow],
    order: &[usize],
    columns: u8,
    token_columns: &BTreeSet<u8>,
) -> Result<Routes, (usize, Error)> {
    let mut switches = Switches::default();
    // Sources and sinks of all flows are taken before any path is looked for, and so are the token ports.
    let mut reserved_masters: BTreeSet<(Tile, u8)> = BTreeSet::new();
    for flow in flows {
        let slave = flow.source.slave().expect("checked");
        switches.carrying.insert((flow.source.tile, slave));
        reserved_masters.extend(flow.sinks.iter().map(|s| (s.tile, s.master().expect("checked"))));
    }
    let token_sink = SwitchPort { bundle: Bundle::South, index: 0 };
    let token_master = master_index(TileKind::Shim, token_sink).expect("the shim has South 0");
    reserved_masters.extend(token_columns.iter().map(|&col| (Tile::shim(col), token_master)));

    for &index in order {
        let flow = &flows[index];
        let root = (flow.source.tile, flow.source.slave().expect("checked"));
        let mut tree = vec![root];
        let mut sinks = flow.sinks.clone();
        sinks.sort_by_key(|s| (distance(flow.source.tile, s.tile), *s));
        for sink in sinks {
            let path = search(&tree, sink, &switches, &reserved_masters, columns)
                .ok_or((index, Error::NoRoute { source_port: flow.source, sink }))?;
            for &(connection, node) in &path.hops {
                switches.fed_by.insert((connection.tile, connection.master), connection.slave);
                switches.carrying.insert(node);
                tree.push(node);
            }
            let last = path.last;
            switches.fed_by.insert((last.tile, last.master), last.slave);
        }
    }
    let connections =
        switches.fed_by.iter().map(|(&(tile, master), &slave)| Connection { tile, master, slave }).collect();
    Ok(Routes { connections })
}

fn distance(a: Tile, b: Tile) -> u8 {
    a.col.0.abs_diff(b.col.0) + a.row.0.abs_diff(b.row.0)
}

/// A path from a node of the tree to a sink.
struct Path {
    /// Connections between tiles, each with the slave it leads to.
    hops: Vec<(Connection, Node)>,
    /// The connection into the sink.
    last: Connection,
}

fn search(
    tree: &[Node],
    sink: Port,
    switches: &Switches,
    reserved_masters: &BTreeSet<(Tile, u8)>,
    columns: u8,
) -> Option<Path> {
    let sink_master = sink.master().expect("checked");
    let mut from: BTreeMap<Node, Option<(Connection, Node)>> = tree.iter().map(|&node| (node, None)).collect();
    let mut queue: VecDeque<Node> = tree.iter().copied().collect();
    while let Some(node @ (tile, slave)) = queue.pop_front() {
        if tile == sink.tile && is_legal(tile.kind(), slave, sink_master) {
            let mut hops = Vec::new();
            let mut at = node;
            while let Some((connection, before)) = from[&at] {
                hops.push((connection, at));
                at = before;
            }
            hops.reverse();
            return Some(Path { hops, last: Connection { tile, master: sink_master, slave } });
        }
        for master in outward_masters(tile.kind()) {
            let Some(next) = across(tile, master, columns) else { continue };
            let free = !switches.fed_by.contains_key(&(tile, master))
                && !switches.carrying.contains(&next)
                && !reserved_masters.contains(&(tile, master));
            if free && !from.contains_key(&next) && is_legal(tile.kind(), slave, master) {
                from.insert(next, Some((Connection { tile, master, slave }, node)));
                queue.push_back(next);
            }
        }
    }
    None
}

/// Masters that lead to a neighbour, vertical ones first.
fn outward_masters(kind: TileKind) -> Vec<u8> {
    let mut masters: Vec<(u8, u8)> = (0..master_count(kind))
        .filter_map(|index| {
            let rank = match super::master_port(kind, index)?.bundle {
                Bundle::North => 0,
                Bundle::South => 1,
                Bundle::East => 2,
                Bundle::West => 3,
                Bundle::Core | Bundle::Dma | Bundle::TileCtrl | Bundle::Fifo | Bundle::Trace => return None,
            };
            Some((rank, index))
        })
        .collect();
    masters.sort_unstable();
    masters.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests;
