//! Stream switch ports, the wires between switches, and the connections a switch can make.
// SOURCE: AM025 register order (Xilinx/mlir-aie aie_registers_aie2.json); Xilinx/mlir-aie
// AIE2TargetModel::isLegalTileConnection; Xilinx/aie-rt stream_switch/xaie_ss_aieml.c.

use crate::fault::PortSide;
use crate::port::{COLUMNS, ROWS, TileLoc};

/// What a port connects to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bundle {
    /// The processor's stream.
    Core,
    /// A DMA channel.
    Dma,
    /// Tile control (tokens, control packets).
    TileCtrl,
    /// The FIFO of the switch.
    Fifo,
    /// Tile below (or DMA mux, NoC of a shim).
    South,
    /// Tile to the left.
    West,
    /// Tile above.
    North,
    /// Tile to the right.
    East,
    /// Trace unit.
    Trace,
}

/// Kind of tile by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TileKind {
    /// Row 0.
    Shim,
    /// Row 1.
    Mem,
    /// Rows 2 to 5.
    Core,
}

impl TileKind {
    /// Kind of the tiles in `row`.
    pub const fn of_row(row: u8) -> Self {
        match row {
            0 => Self::Shim,
            1 => Self::Mem,
            _ => Self::Core,
        }
    }
}

type Run = (Bundle, u8);

const CORE_MASTERS: &[Run] = &[
    (Bundle::Core, 1),
    (Bundle::Dma, 2),
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 4),
    (Bundle::West, 4),
    (Bundle::North, 6),
    (Bundle::East, 4),
];
const CORE_SLAVES: &[Run] = &[
    (Bundle::Core, 1),
    (Bundle::Dma, 2),
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 6),
    (Bundle::West, 4),
    (Bundle::North, 4),
    (Bundle::East, 4),
    (Bundle::Trace, 2),
];
const MEM_MASTERS: &[Run] = &[(Bundle::Dma, 6), (Bundle::TileCtrl, 1), (Bundle::South, 4), (Bundle::North, 6)];
const MEM_SLAVES: &[Run] =
    &[(Bundle::Dma, 6), (Bundle::TileCtrl, 1), (Bundle::South, 6), (Bundle::North, 4), (Bundle::Trace, 1)];
const SHIM_MASTERS: &[Run] = &[
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 6),
    (Bundle::West, 4),
    (Bundle::North, 6),
    (Bundle::East, 4),
];
const SHIM_SLAVES: &[Run] = &[
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 8),
    (Bundle::West, 4),
    (Bundle::North, 4),
    (Bundle::East, 4),
    (Bundle::Trace, 1),
];

const fn runs(kind: TileKind, side: PortSide) -> &'static [Run] {
    match (kind, side) {
        (TileKind::Core, PortSide::Master) => CORE_MASTERS,
        (TileKind::Core, PortSide::Slave) => CORE_SLAVES,
        (TileKind::Mem, PortSide::Master) => MEM_MASTERS,
        (TileKind::Mem, PortSide::Slave) => MEM_SLAVES,
        (TileKind::Shim, PortSide::Master) => SHIM_MASTERS,
        (TileKind::Shim, PortSide::Slave) => SHIM_SLAVES,
    }
}

/// Number of ports on one side of a switch.
pub fn count(kind: TileKind, side: PortSide) -> u8 {
    runs(kind, side).iter().map(|&(_, n)| n).sum()
}

/// Bundle and index inside the bundle of a port register.
pub fn decode(kind: TileKind, side: PortSide, index: u8) -> Option<(Bundle, u8)> {
    let mut left = index;
    for &(bundle, n) in runs(kind, side) {
        if left < n {
            return Some((bundle, left));
        }
        left -= n;
    }
    None
}

/// Register index of a port.
pub fn encode(kind: TileKind, side: PortSide, bundle: Bundle, lane: u8) -> Option<u8> {
    let mut first = 0;
    for &(b, n) in runs(kind, side) {
        if b == bundle {
            return (lane < n).then_some(first + lane);
        }
        first += n;
    }
    None
}

/// Readable name of a port, for example "South 3".
pub fn name(row: u8, side: PortSide, index: u8) -> String {
    match decode(TileKind::of_row(row), side, index) {
        Some((bundle, lane)) => format!("{bundle:?} {lane}"),
        None => "no such port".into(),
    }
}

/// Whether the switch can feed `master` from `slave`.
pub fn legal(kind: TileKind, slave: (Bundle, u8), master: (Bundle, u8)) -> bool {
    use Bundle::*;
    let (s, si) = slave;
    let (m, mi) = master;
    match kind {
        TileKind::Core => match s {
            Dma | Fifo | South | West | North | East => s != m || si == mi,
            Core => m != Core,
            TileCtrl => m != TileCtrl && m != Dma,
            Trace => m == Fifo || m == South || (m == Dma && mi == 0),
        },
        TileKind::Mem => match s {
            Dma => matches!(m, TileCtrl | South | North) || (m == Dma && si == mi),
            TileCtrl => matches!(m, South | North) || (m == Dma && mi == 5),
            South | North => matches!(m, Dma | TileCtrl) || (matches!(m, South | North) && si == mi),
            Trace => m == South || (m == Dma && mi == 5),
            Core | Fifo | West | East => false,
        },
        TileKind::Shim => match s {
            TileCtrl => m != TileCtrl,
            Fifo | South => true,
            West | North | East => s != m || si == mi,
            // West 0 / East 0 are allowed by one source and forbidden by another; forbidden here.
            Trace => matches!(m, Fifo | South),
            Core | Dma => false,
        },
    }
}

/// Far end of the wire that leaves a switch at `master`: the tile and its slave port. `None`: the wire ends at the
/// array's edge (or the port is local, or a shim South port).
pub fn wire(tile: TileLoc, master: (Bundle, u8)) -> Option<(TileLoc, u8)> {
    let (bundle, lane) = master;
    let (col, row, far) = match bundle {
        Bundle::North => (tile.col, tile.row.checked_add(1)?, Bundle::South),
        Bundle::South => (tile.col, tile.row.checked_sub(1)?, Bundle::North),
        Bundle::East => (tile.col.checked_add(1)?, tile.row, Bundle::West),
        Bundle::West => (tile.col.checked_sub(1)?, tile.row, Bundle::East),
        Bundle::Core | Bundle::Dma | Bundle::TileCtrl | Bundle::Fifo | Bundle::Trace => return None,
    };
    if col >= COLUMNS || row >= ROWS {
        return None;
    }
    let index = encode(TileKind::of_row(row), PortSide::Slave, far, lane)?;
    Some((TileLoc::new(col, row), index))
}

/// Whether a port belongs to the tile itself (DMA, core, tile control, FIFO, trace) rather than to a wire.
pub const fn is_local(bundle: Bundle) -> bool {
    matches!(bundle, Bundle::Core | Bundle::Dma | Bundle::TileCtrl | Bundle::Fifo | Bundle::Trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_indices_match_the_register_database() {
        use Bundle::*;
        use PortSide::*;
        let vectors = [
            (TileKind::Core, Master, 1, (Dma, 0)),
            (TileKind::Core, Master, 5, (South, 0)),
            (TileKind::Core, Master, 9, (West, 0)),
            (TileKind::Core, Master, 13, (North, 0)),
            (TileKind::Core, Master, 19, (East, 0)),
            (TileKind::Core, Slave, 6, (South, 1)),
            (TileKind::Core, Slave, 11, (West, 0)),
            (TileKind::Core, Slave, 15, (North, 0)),
            (TileKind::Core, Slave, 19, (East, 0)),
            (TileKind::Core, Slave, 24, (Trace, 1)),
            (TileKind::Mem, Master, 12, (North, 1)),
            (TileKind::Mem, Master, 7, (South, 0)),
            (TileKind::Mem, Slave, 8, (South, 1)),
            (TileKind::Mem, Slave, 14, (North, 1)),
            (TileKind::Mem, Slave, 17, (Trace, 0)),
            (TileKind::Shim, Master, 4, (South, 2)),
            (TileKind::Shim, Master, 13, (North, 1)),
            (TileKind::Shim, Master, 21, (East, 3)),
            (TileKind::Shim, Slave, 5, (South, 3)),
            (TileKind::Shim, Slave, 9, (South, 7)),
            (TileKind::Shim, Slave, 15, (North, 1)),
            (TileKind::Shim, Slave, 22, (Trace, 0)),
        ];
        for (kind, side, index, port) in vectors {
            assert_eq!(decode(kind, side, index), Some(port), "{kind:?} {side:?} {index}");
            assert_eq!(encode(kind, side, port.0, port.1), Some(index));
        }
        assert_eq!(count(TileKind::Core, Master), 23);
        assert_eq!(count(TileKind::Mem, Master), 17);
        assert_eq!(count(TileKind::Shim, Master), 22);
        assert_eq!(count(TileKind::Core, Slave), 25);
        assert_eq!(count(TileKind::Mem, Slave), 18);
        assert_eq!(count(TileKind::Shim, Slave), 23);
    }

    #[test]
    fn mem_tile_through_routes_keep_their_lane() {
        use Bundle::*;
        assert!(legal(TileKind::Mem, (South, 1), (North, 1)));
        assert!(!legal(TileKind::Mem, (South, 1), (North, 2)));
        assert!(!legal(TileKind::Mem, (North, 0), (South, 1)));
        assert!(legal(TileKind::Mem, (North, 3), (Dma, 5)));
        assert!(legal(TileKind::Core, (South, 1), (North, 4)));
        assert!(!legal(TileKind::Core, (South, 1), (South, 2)));
        assert!(!legal(TileKind::Core, (TileCtrl, 0), (Dma, 0)));
    }

    #[test]
    fn wires_join_six_lanes_up_four_down_and_end_at_the_edge() {
        use Bundle::*;
        assert_eq!(wire(TileLoc::new(2, 0), (North, 5)), Some((TileLoc::new(2, 1), 12)));
        assert_eq!(wire(TileLoc::new(2, 1), (South, 3)), Some((TileLoc::new(2, 0), 17)));
        assert_eq!(wire(TileLoc::new(0, 5), (North, 0)), None);
        assert_eq!(wire(TileLoc::new(0, 3), (West, 0)), None);
        assert_eq!(wire(TileLoc::new(3, 3), (East, 0)), None);
        assert_eq!(wire(TileLoc::new(0, 3), (East, 2)), Some((TileLoc::new(1, 3), 13)));
    }
}
