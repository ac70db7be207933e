//! Tiles and registers by name.

use npu_container::address::ArrayAddress;

use super::program::PROGRAM_MEMORY_BYTES;
use super::register_table::{CORE, MEMORY, MEMORY_TILE, Row, SHIM};

// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/Util/aie_registers_aie2.json: Program_Memory, DataMemory.
const PROGRAM_MEMORY: u32 = 0x20000;
const CORE_DATA_BYTES: u32 = 64 << 10;
const MEMORY_TILE_DATA_BYTES: u32 = 512 << 10;

/// `core (0,2)`.
pub(super) fn tile(address: ArrayAddress) -> String {
    let ArrayAddress { col, row, .. } = address;
    let kind = match row {
        0 => "shim",
        1 => "mem",
        2..=5 => "core",
        _ => "tile",
    };
    format!("{kind} ({col},{row})")
}

/// Offset in program memory, if the address lies there.
pub(super) fn program_offset(address: ArrayAddress) -> Option<usize> {
    let end = PROGRAM_MEMORY + PROGRAM_MEMORY_BYTES as u32;
    let inside = (2..=5).contains(&address.row) && (PROGRAM_MEMORY..end).contains(&address.offset);
    inside.then(|| (address.offset - PROGRAM_MEMORY) as usize)
}

/// Name of the register or memory at an address; its offset where there is no name.
pub(super) fn register(address: ArrayAddress) -> String {
    let ArrayAddress { row, offset, .. } = address;
    if let Some(program) = program_offset(address) {
        return format!("program memory + {program:#x}");
    }
    let (tables, data_bytes): (&[&[Row]], u32) = match row {
        0 => (&[SHIM], 0),
        1 => (&[MEMORY_TILE], MEMORY_TILE_DATA_BYTES),
        2..=5 => (&[CORE, MEMORY], CORE_DATA_BYTES),
        _ => (&[], 0),
    };
    if offset < data_bytes {
        return format!("data memory + {offset:#x}");
    }
    let named = tables.iter().flat_map(|table| table.iter()).find_map(|row| name(row, offset));
    named.unwrap_or_else(|| format!("{offset:#07x}"))
}

/// The name of the row's register at `offset`, if it has one there.
fn name(&(first, template, indices): &Row, offset: u32) -> Option<String> {
    let distance = offset.checked_sub(first)?;
    let fill = |template: &str, index: u32| template.replacen("{}", &index.to_string(), 1);
    let step = |distance: u32, (from, count, stride): (u32, u32, u32)| {
        (distance.is_multiple_of(stride) && distance / stride < count).then(|| from + distance / stride)
    };
    match *indices {
        [] => (distance == 0).then(|| template.to_owned()),
        [only] => step(distance, only).map(|index| fill(template, index)),
        // The strides of the two indices may be in either order: the outer index is tried value by value.
        [outer, inner] => (0..outer.1).find_map(|i| {
            let index = step(distance.checked_sub(i * outer.2)?, inner)?;
            Some(fill(&fill(template, outer.0 + i), index))
        }),
        // PANIC: the table has at most two indices to a name, which a test checks.
        _ => unreachable!("{template} has more than two indices"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(row: u8, offset: u32) -> String {
        register(ArrayAddress { col: 0, row, offset })
    }

    #[test]
    fn names_of_every_kind_of_tile() {
        assert_eq!(at(2, 0x32000), "Core_Control");
        assert_eq!(at(5, 0x1D1F4), "DMA_BD15_5");
        assert_eq!(at(3, 0x1DE14), "DMA_MM2S_0_Start_Queue");
        assert_eq!(at(3, 0x1F020), "Lock2_value");
        assert_eq!(at(1, 0xA0024), "DMA_BD1_1");
        assert_eq!(at(1, 0xC03F0), "Lock63_value");
        assert_eq!(at(0, 0x1D204), "DMA_S2MM_0_Task_Queue");
        assert_eq!(at(0, 0x3F200), "Stream_Switch_Slave_Tile_Ctrl_Slot0");
        assert_eq!(at(0, 0x1F000), "Mux_Config");
        assert_eq!(at(2, 0x3F22C), "Stream_Switch_Slave_DMA_1_Slot3");
        assert_eq!(at(2, 0x20010), "program memory + 0x10");
        assert_eq!(at(1, 0x7FFFC), "data memory + 0x7fffc");
        assert_eq!(at(0, 0x00004), "0x00004");
        assert_eq!(at(9, 0x32000), "0x32000");
    }

    #[test]
    fn every_row_of_the_table_names_its_first_and_last_register() {
        for table in [CORE, MEMORY, MEMORY_TILE, SHIM] {
            for row in table {
                let (first, template, indices) = *row;
                assert!(indices.len() <= 2 && template.matches("{}").count() == indices.len(), "{template}");
                let last = first + indices.iter().map(|&(_, count, stride)| (count - 1) * stride).sum::<u32>();
                let ends = |end: fn(&(u32, u32, u32)) -> u32| {
                    indices
                        .iter()
                        .fold(template.to_owned(), |text, index| text.replacen("{}", &end(index).to_string(), 1))
                };
                assert_eq!(name(row, first), Some(ends(|&(from, _, _)| from)));
                assert_eq!(name(row, last), Some(ends(|&(from, count, _)| from + count - 1)));
                assert_eq!(name(row, last + 2), None);
            }
        }
    }
}
