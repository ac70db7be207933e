//! What the array says of itself: geometry, versions, status of columns.

use crate::context::Context;
use aie2_sim::{Fault, Machine};

/// Columns of the device.
pub const COLUMNS: u32 = 5;
/// Version of the array and of the status layout.
// SOURCE: Xilinx/XRT src/runtime_src/core/common/info_aie2.cpp: the versions it accepts.
pub const VERSION: (u16, u16) = (1, 1);
/// Largest telemetry buffer the driver makes.
// SOURCE: amd/xdna-driver aie2_message.c aie2_query_telemetry.
pub const MAX_TELEMETRY_BYTES: u32 = 4 << 20;

/// Rows, DMA channels per direction, locks and event registers of a kind of tile.
#[derive(Clone, Copy)]
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

/// Registers of a kind of tile that a status holds.
struct Registers {
    s2mm: u32,
    mm2s: u32,
    locks: u32,
}

// SOURCE: AMD AM025: DMA status of channel 0, lock values.
const CORE_REGISTERS: Registers = Registers { s2mm: 0x1_df00, mm2s: 0x1_df10, locks: 0x1_f000 };
const MEM_REGISTERS: Registers = Registers { s2mm: 0xa_0660, mm2s: 0xa_0680, locks: 0xc_0000 };
const SHIM_REGISTERS: Registers = Registers { s2mm: 0x1_d220, mm2s: 0x1_d228, locks: 0x1_4000 };
const CORE_STATUS: u32 = 0x3_2004;
const CORE_PC: u32 = 0x3_1100;

/// Status of one column of an array. Event registers, stack pointer and link register are zero: the simulator does not show them.
///
/// # Errors
/// A register that the simulator cannot read.
// SOURCE: Xilinx/XRT src/runtime_src/core/common/info_aie2.cpp: core tiles, mem tile, shim tile; in each DMA status by channel, events,
// in core tiles status, program counter, stack pointer and link register, then a byte per lock.
pub fn column_status(machine: &Machine, col: u8) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(STATUS_BYTES as usize);
    for (kind, registers) in [(CORE, CORE_REGISTERS), (MEM, MEM_REGISTERS), (SHIM, SHIM_REGISTERS)] {
        for row in kind.start..kind.start + kind.rows {
            let read = |offset: u32| machine.read_register(u32::from(col) << 25 | u32::from(row) << 20 | offset);
            for channel in 0..u32::from(kind.channels) {
                out.extend(read(registers.s2mm + 4 * channel)?.to_le_bytes());
                out.extend(read(registers.mm2s + 4 * channel)?.to_le_bytes());
            }
            let is_core = kind.start == CORE.start;
            let events = usize::from(kind.events) * if is_core { 2 } else { 1 };
            out.extend(vec![0; 4 * events]);
            if is_core {
                out.extend([read(CORE_STATUS)?, read(CORE_PC)?, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
            }
            for lock in 0..u32::from(kind.locks) {
                out.push(read(registers.locks + 0x10 * lock)? as u8);
            }
        }
    }
    Ok(out)
}

/// Status of the columns of a bitmap, lowest first, from the context that has a column; zeros for one of nobody.
pub fn status<'a>(contexts: impl Iterator<Item = &'a Context> + Clone, bitmap: u32) -> Vec<u8> {
    let column = |col: u32| {
        let owner = contexts.clone().filter(|context| context.column_mask() >> col & 1 == 1);
        let known = owner.filter_map(|context| context.status.get((col - u32::from(context.start)) as usize)).last();
        known.cloned().unwrap_or_else(|| vec![0; STATUS_BYTES as usize])
    };
    (0..COLUMNS).filter(|col| bitmap >> col & 1 == 1).flat_map(column).collect()
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

    #[test]
    fn a_status_shows_dma_core_and_locks() {
        let machine = Machine::new(aie2_sim::Config::default());
        let mut commands = vec![npu_container::cdo::Command::Write { addr: 1 << 25 | 2 << 20 | 0x1_f030, value: 5 }];
        commands.push(npu_container::cdo::Command::Write { addr: 1 << 25 | 1 << 20 | 0xc_0020, value: 7 });
        let mut configured = Machine::new(aie2_sim::Config::default());
        configured.load_pdi(&npu_container::pdi::write(&commands)).expect("loads");
        let (before, after) =
            (column_status(&machine, 1).expect("reads"), column_status(&configured, 1).expect("reads"));
        assert_eq!((before.len(), after.len()), (816, 816));
        let differ: Vec<_> = (0..816).filter(|&i| before[i] != after[i]).map(|i| (i, after[i])).collect();
        // Core tile: 16 bytes of DMA, 96 of events, 16 of the core, then locks. Mem tile behind four of them: 48 and 48.
        assert_eq!(differ, [(16 + 96 + 16 + 3, 5), (4 * 144 + 48 + 48 + 2, 7)]);
    }
}
