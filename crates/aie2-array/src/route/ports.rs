//! Port tables of the three switches, wiring between tiles, legal connections.

use crate::device::{Side, Tile, TileKind};

/// A group of ports that lead to the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bundle {
    /// Core stream in (master) or out (slave).
    Core,
    /// DMA channels.
    Dma,
    /// The tile's control port.
    TileCtrl,
    /// The switch's FIFO.
    Fifo,
    /// Lanes to and from the tile below (on the shim: DMA and NoC).
    South,
    /// Lanes to and from the tile on the left.
    West,
    /// Lanes to and from the tile above.
    North,
    /// Lanes to and from the tile on the right.
    East,
    /// Trace units.
    Trace,
}

/// A port of a switch by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwitchPort {
    /// The bundle.
    pub bundle: Bundle,
    /// Number in the bundle.
    pub index: u8,
}

// Bundles and their sizes in order of port index.
// SOURCE: Xilinx/mlir-aie aie_registers_aie2.json (order of Stream_Switch_*_Config registers), AIETargetModel.cpp.
const CORE_MASTERS: &[(Bundle, u8)] = &[
    (Bundle::Core, 1),
    (Bundle::Dma, 2),
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 4),
    (Bundle::West, 4),
    (Bundle::North, 6),
    (Bundle::East, 4),
];
const CORE_SLAVES: &[(Bundle, u8)] = &[
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
const MEM_MASTERS: &[(Bundle, u8)] = &[(Bundle::Dma, 6), (Bundle::TileCtrl, 1), (Bundle::South, 4), (Bundle::North, 6)];
const MEM_SLAVES: &[(Bundle, u8)] =
    &[(Bundle::Dma, 6), (Bundle::TileCtrl, 1), (Bundle::South, 6), (Bundle::North, 4), (Bundle::Trace, 1)];
const SHIM_MASTERS: &[(Bundle, u8)] = &[
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 6),
    (Bundle::West, 4),
    (Bundle::North, 6),
    (Bundle::East, 4),
];
const SHIM_SLAVES: &[(Bundle, u8)] = &[
    (Bundle::TileCtrl, 1),
    (Bundle::Fifo, 1),
    (Bundle::South, 8),
    (Bundle::West, 4),
    (Bundle::North, 4),
    (Bundle::East, 4),
    (Bundle::Trace, 1),
];

const fn masters(kind: TileKind) -> &'static [(Bundle, u8)] {
    match kind {
        TileKind::Core => CORE_MASTERS,
        TileKind::Mem => MEM_MASTERS,
        TileKind::Shim => SHIM_MASTERS,
    }
}

const fn slaves(kind: TileKind) -> &'static [(Bundle, u8)] {
    match kind {
        TileKind::Core => CORE_SLAVES,
        TileKind::Mem => MEM_SLAVES,
        TileKind::Shim => SHIM_SLAVES,
    }
}

fn index_of(table: &[(Bundle, u8)], port: SwitchPort) -> Option<u8> {
    let mut first = 0;
    for &(bundle, count) in table {
        if bundle == port.bundle {
            return (port.index < count).then_some(first + port.index);
        }
        first += count;
    }
    None
}

fn port_at(table: &[(Bundle, u8)], index: u8) -> Option<SwitchPort> {
    let mut first = 0;
    for &(bundle, count) in table {
        if index < first + count {
            return Some(SwitchPort { bundle, index: index - first });
        }
        first += count;
    }
    None
}

/// Register index of a master port.
pub fn master_index(kind: TileKind, port: SwitchPort) -> Option<u8> {
    index_of(masters(kind), port)
}

/// Register index of a slave port.
pub fn slave_index(kind: TileKind, port: SwitchPort) -> Option<u8> {
    index_of(slaves(kind), port)
}

/// The master port with a register index.
pub fn master_port(kind: TileKind, index: u8) -> Option<SwitchPort> {
    port_at(masters(kind), index)
}

/// The slave port with a register index.
pub fn slave_port(kind: TileKind, index: u8) -> Option<SwitchPort> {
    port_at(slaves(kind), index)
}

/// Number of master ports.
pub fn master_count(kind: TileKind) -> u8 {
    masters(kind).iter().map(|(_, count)| count).sum()
}

/// Number of slave ports.
pub fn slave_count(kind: TileKind) -> u8 {
    slaves(kind).iter().map(|(_, count)| count).sum()
}

/// Where a stream leaving `tile` at master `index` arrives: the neighbour and its slave port index.
///
/// `None` for ports that lead nowhere else or out of a partition of `columns` columns.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp (lanes: 6 up, 4 down, 4 sideways; none in the mem row).
pub fn across(tile: Tile, master: u8, columns: u8) -> Option<(Tile, u8)> {
    let port = master_port(tile.kind(), master)?;
    let (side, bundle) = match port.bundle {
        Bundle::South => (Side::South, Bundle::North),
        Bundle::West => (Side::West, Bundle::East),
        Bundle::North => (Side::North, Bundle::South),
        Bundle::East => (Side::East, Bundle::West),
        Bundle::Core | Bundle::Dma | Bundle::TileCtrl | Bundle::Fifo | Bundle::Trace => return None,
    };
    let there = tile.neighbour(side, columns)?;
    Some((there, slave_index(there.kind(), SwitchPort { bundle, index: port.index })?))
}

/// Whether the switch of this kind can feed master `master` from slave `slave` (register indices).
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIETargetModel.cpp AIE2TargetModel::isLegalTileConnection; Xilinx/aie-rt
// driver/src/stream_switch/xaie_ss_aieml.c. Where they differ (shim trace to West 0, East 0) the stricter one holds.
pub fn is_legal(kind: TileKind, slave: u8, master: u8) -> bool {
    let (Some(from), Some(to)) = (slave_port(kind, slave), master_port(kind, master)) else { return false };
    let same_lane = from.bundle != to.bundle || from.index == to.index;
    match kind {
        TileKind::Core => match from.bundle {
            Bundle::Dma | Bundle::Fifo | Bundle::South | Bundle::West | Bundle::North | Bundle::East => same_lane,
            Bundle::Core => to.bundle != Bundle::Core,
            Bundle::TileCtrl => !matches!(to.bundle, Bundle::TileCtrl | Bundle::Dma),
            Bundle::Trace => match to.bundle {
                Bundle::Fifo | Bundle::South => true,
                Bundle::Dma => to.index == 0,
                _ => false,
            },
        },
        TileKind::Mem => match from.bundle {
            Bundle::Dma => same_lane,
            Bundle::TileCtrl => match to.bundle {
                Bundle::South | Bundle::North => true,
                Bundle::Dma => to.index == 5,
                _ => false,
            },
            Bundle::South | Bundle::North => match to.bundle {
                Bundle::South | Bundle::North => from.index == to.index,
                Bundle::Dma | Bundle::TileCtrl => true,
                _ => false,
            },
            Bundle::Trace => match to.bundle {
                Bundle::South => true,
                Bundle::Dma => to.index == 5,
                _ => false,
            },
            _ => false,
        },
        TileKind::Shim => match from.bundle {
            Bundle::TileCtrl => to.bundle != Bundle::TileCtrl,
            Bundle::Fifo | Bundle::South => true,
            Bundle::West | Bundle::North | Bundle::East => same_lane,
            Bundle::Trace => matches!(to.bundle, Bundle::Fifo | Bundle::South),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(kind: TileKind, bundle: Bundle, i: u8, master: bool) -> u8 {
        let port = SwitchPort { bundle, index: i };
        let index = if master { master_index(kind, port) } else { slave_index(kind, port) };
        index.expect("port exists")
    }

    // SOURCE: Xilinx/mlir-aie aie_registers_aie2.json, offsets of the named configuration registers.
    #[test]
    fn register_indices_of_named_ports() {
        use Bundle::*;
        use TileKind::{Mem, Shim};
        assert_eq!(index(TileKind::Core, South, 0, true), 5);
        assert_eq!(index(TileKind::Core, North, 5, true), 18);
        assert_eq!(index(TileKind::Core, East, 3, true), 22);
        assert_eq!(index(TileKind::Core, South, 0, false), 5);
        assert_eq!(index(TileKind::Core, West, 0, false), 11);
        assert_eq!(index(TileKind::Core, Trace, 1, false), 24);
        assert_eq!(index(Mem, South, 0, true), 7);
        assert_eq!(index(Mem, North, 1, true), 12);
        assert_eq!(index(Mem, North, 0, false), 13);
        assert_eq!(index(Mem, Trace, 0, false), 17);
        assert_eq!(index(Shim, South, 0, true), 2);
        assert_eq!(index(Shim, North, 1, true), 13);
        assert_eq!(index(Shim, South, 3, false), 5);
        assert_eq!(index(Shim, South, 7, false), 9);
        assert_eq!(index(Shim, Trace, 0, false), 22);
        assert_eq!([23, 17, 22], [TileKind::Core, Mem, Shim].map(master_count));
        assert_eq!([25, 18, 23], [TileKind::Core, Mem, Shim].map(slave_count));
    }

    #[test]
    fn names_and_indices_are_inverse() {
        for kind in [TileKind::Core, TileKind::Mem, TileKind::Shim] {
            for i in 0..master_count(kind) {
                assert_eq!(master_port(kind, i).and_then(|p| master_index(kind, p)), Some(i));
            }
            for i in 0..slave_count(kind) {
                assert_eq!(slave_port(kind, i).and_then(|p| slave_index(kind, p)), Some(i));
            }
            assert_eq!(master_port(kind, master_count(kind)), None);
        }
    }

    #[test]
    fn a_stream_through_a_mem_tile_keeps_its_lane() {
        let (south, north) =
            (|i| index(TileKind::Mem, Bundle::South, i, false), |i| index(TileKind::Mem, Bundle::North, i, true));
        assert!(is_legal(TileKind::Mem, south(1), north(1)));
        assert!(!is_legal(TileKind::Mem, south(1), north(2)));
    }

    #[test]
    fn every_lane_arrives_at_an_existing_port() {
        let mut lanes = 0;
        for col in 0..4 {
            for tile in [Tile::shim(col), Tile::mem(col)].into_iter().chain((0..4).map(|r| Tile::core(col, r))) {
                for master in 0..master_count(tile.kind()) {
                    lanes += usize::from(across(tile, master, 4).is_some());
                }
            }
        }
        // Per column 5 row borders of 6 + 4 lanes; per column border 5 rows of 4 + 4.
        assert_eq!(lanes, 4 * 5 * 10 + 3 * 5 * 8);
    }

    #[test]
    fn lanes_lead_to_the_neighbour() {
        let north = index(TileKind::Shim, Bundle::North, 1, true);
        assert_eq!(across(Tile::shim(2), north, 4), Some((Tile::mem(2), 8)));
        let east = index(TileKind::Core, Bundle::East, 2, true);
        assert_eq!(across(Tile::core(0, 3), east, 4), Some((Tile::core(1, 3), 13)));
        assert_eq!(across(Tile::core(3, 3), east, 4), None);
        assert_eq!(across(Tile::core(0, 3), east, 1), None);
    }
}
