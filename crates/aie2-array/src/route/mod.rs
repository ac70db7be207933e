//! Stream switches: ports, wires, legal connections, and routes of circuit flows through them.
//!
//! A stream enters a switch at a *slave* port and leaves it at a *master* port. A slave may feed several masters
//! (broadcast), a master has one slave. Between tiles a master is wired to the slave of the same lane next door:
//!
//! ```text
//! North master i  ->  South slave i of the tile above     6 lanes
//! South master i  ->  North slave i of the tile below     4 lanes
//! East  master i  ->  West  slave i of the tile right     4 lanes, and the reverse; not in the mem row
//! ```

mod ports;
mod router;

pub use ports::{
    Bundle, SwitchPort, across, is_legal, master_count, master_index, master_port, slave_count, slave_index, slave_port,
};
pub use router::{Connection, Flow, Routes, route};

use std::fmt;

use crate::device::{Channel, Direction, Mm2s, S2mm, Tile, TileKind};

/// Where a flow begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The tile.
    pub tile: Tile,
    /// The port of this tile.
    pub end: PortEnd,
}

/// What a flow is connected to in a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortEnd {
    /// A DMA channel: MM2S is a source, S2MM a sink.
    Dma(Channel),
    /// The stream output of a core, a source.
    CoreOut,
    /// The stream input of a core, a sink.
    CoreIn,
}

impl Tile {
    /// A stream-to-memory channel of this tile, a sink.
    pub const fn s2mm(self, index: u8) -> Port {
        Port { tile: self, end: PortEnd::Dma(Channel { direction: Direction::S2mm, index }) }
    }

    /// A memory-to-stream channel of this tile, a source.
    pub const fn mm2s(self, index: u8) -> Port {
        Port { tile: self, end: PortEnd::Dma(Channel { direction: Direction::Mm2s, index }) }
    }

    /// The stream output of this tile's core.
    pub const fn core_out(self) -> Port {
        Port { tile: self, end: PortEnd::CoreOut }
    }

    /// The stream input of this tile's core.
    pub const fn core_in(self) -> Port {
        Port { tile: self, end: PortEnd::CoreIn }
    }
}

impl Port {
    /// The slave port a flow from here enters the switch by; `None` for sinks.
    // SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp (shim mux: MM2S 0 on South 3, MM2S 1 on South 7).
    pub fn slave(self) -> Option<u8> {
        let kind = self.tile.kind();
        let port = match (self.end, kind) {
            (PortEnd::Dma(Channel { direction: Direction::S2mm, .. }) | PortEnd::CoreIn, _) => return None,
            (PortEnd::CoreOut, _) => SwitchPort { bundle: Bundle::Core, index: 0 },
            (PortEnd::Dma(channel), TileKind::Core | TileKind::Mem) => {
                SwitchPort { bundle: Bundle::Dma, index: channel.index }
            }
            (PortEnd::Dma(channel), TileKind::Shim) => {
                SwitchPort { bundle: Bundle::South, index: *[3, 7].get(usize::from(channel.index))? }
            }
        };
        slave_index(kind, port)
    }

    /// The master port a flow to here leaves the switch by; `None` for sources.
    // SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp (shim demux: S2MM 0 on South 2, S2MM 1 on South 3).
    pub fn master(self) -> Option<u8> {
        let kind = self.tile.kind();
        let port = match (self.end, kind) {
            (PortEnd::Dma(Channel { direction: Direction::Mm2s, .. }) | PortEnd::CoreOut, _) => return None,
            (PortEnd::CoreIn, _) => SwitchPort { bundle: Bundle::Core, index: 0 },
            (PortEnd::Dma(channel), TileKind::Core | TileKind::Mem) => {
                SwitchPort { bundle: Bundle::Dma, index: channel.index }
            }
            (PortEnd::Dma(channel), TileKind::Shim) => {
                SwitchPort { bundle: Bundle::South, index: *[2, 3].get(usize::from(channel.index))? }
            }
        };
        master_index(kind, port)
    }
}

impl From<(Tile, S2mm)> for Port {
    fn from((tile, channel): (Tile, S2mm)) -> Self {
        Port { tile, end: PortEnd::Dma(channel.into()) }
    }
}

impl From<(Tile, Mm2s)> for Port {
    fn from((tile, channel): (Tile, Mm2s)) -> Self {
        Port { tile, end: PortEnd::Dma(channel.into()) }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            PortEnd::Dma(channel) => write!(f, "{} {channel}", self.tile),
            PortEnd::CoreOut => write!(f, "{} core out", self.tile),
            PortEnd::CoreIn => write!(f, "{} core in", self.tile),
        }
    }
}

/// The circuit that carries task completion tokens of a shim tile to the firmware.
///
/// Packet form, because it is the one that both Xilinx/mlir-aie's designs and AMD's own PDI use with current firmware,
/// and because tokens of the tiles above can later be merged into the same arbiter. Its price is the controller id, which
/// the runtime stream writes once per channel.
pub mod token {
    /// Packet id of tokens, and the controller id channels are given.
    // SOURCE: Xilinx/mlir-aie npu1 PDIs: slot 0x0F1F0135.
    pub const CONTROLLER_ID: u8 = 15;
    /// Arbiter that carries them.
    // SOURCE: as CONTROLLER_ID.
    pub const ARBITER: u8 = 5;
    /// Selection of the arbiter.
    // SOURCE: as CONTROLLER_ID.
    pub const MSEL: u8 = 3;
    /// All five id bits are compared.
    pub const ID_MASK: u8 = 31;
}
