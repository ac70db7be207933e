//! What the array says of itself: geometry, versions, status of columns.

use crate::context::Context;

/// Columns of the device.
pub const COLUMNS: u32 = 5;
/// Version of the array and of the status layout.
pub const VERSION: (u16, u16) = (1, 1);
/// Largest telemetry buffer the driver makes.
// SOURCE: amd/xdna-driver aie2_message.c aie2_query_telemetry.
pub const MAX_TELEMETRY_BYTES: u32 = 4 << 20;

/// Rows, DMA channels per direction, locks and event registers of a kind of tile.
struct Kind {
    rows: u16,
    start: u16,
    channels: u16,
    locks: u16,
    events: u16,
}

// SOURCE: AMD AM020 (rows, channels, locks). The number of event registers is what XRT's size check leaves open.
const CORE: Kind = Kind { rows: 4, start: 2, channels: 2, locks: 16, events: 12 };
const MEM: Kind = Kind { rows: 1, start: 1, channels: 6, locks: 64, events: 12 };
const SHIM: Kind = Kind { rows: 1, start: 0, channels: 2, locks: 16, events: 12 };

/// Bytes of one column's status: DMA status pairs, event words, locks, and four words of a core.
// SOURCE: Xilinx/XRT src/runtime_src/core/common/info_aie2.cpp.
pub const STATUS_BYTES: u32 = {
    let core = CORE.rows * (8 * CORE.channels + 8 * CORE.events + CORE.locks + 16);
    let mem = MEM.rows * (8 * MEM.channels + 4 * MEM.events + MEM.locks);
    let shim = SHIM.rows * (8 * SHIM.channels + 4 * SHIM.events + SHIM.locks);
    (core + mem + shim) as u32
};

/// Answer of QUERY_AIE_TILE_INFO.
pub fn tile_info() -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&STATUS_BYTES.to_le_bytes());
    let rows = CORE.rows + MEM.rows + SHIM.rows;
    let halves = [
        [VERSION.0, VERSION.1, COLUMNS as u16, rows, CORE.rows, MEM.rows, SHIM.rows, CORE.start, MEM.start, SHIM.start],
        [
            CORE.channels,
            MEM.channels,
            SHIM.channels,
            CORE.locks,
            MEM.locks,
            SHIM.locks,
            CORE.events,
            MEM.events,
            SHIM.events,
            0,
        ],
    ];
    out.extend(halves.iter().flatten().flat_map(|half| half.to_le_bytes()));
    out
}

/// Status of the columns of a bitmap, lowest first.
pub fn status<'a>(_contexts: impl Iterator<Item = &'a Context>, bitmap: u32) -> Vec<u8> {
    vec![0; bitmap.count_ones() as usize * STATUS_BYTES as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_xrt_computes() {
        assert_eq!(STATUS_BYTES, 816);
        let info = tile_info();
        assert_eq!(info.len(), 48);
        assert_eq!(info[12..16], [5, 0, 6, 0]);
        assert_eq!(info[22..24], [2, 0]);
    }
}
