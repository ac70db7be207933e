//! Runtime streams: one operation a line.

use npu_container::address::ArrayAddress;
use npu_container::txn::{Direction, HEADER_BYTES, Op, Txn};

use super::registers::{register, tile};
use super::{Data, Line, Section, words};

/// Header facts and operations.
pub(super) fn list(stream: &Txn, data: Data) -> Vec<Section> {
    let header = stream.header;
    let facts = vec![Line::fact(format!(
        "device generation {}, {} rows of which {} of memory tiles, partition of {} columns",
        header.device_generation, header.rows, header.memory_tile_rows, header.columns
    ))];
    let mut lines = Vec::with_capacity(stream.ops.len());
    let mut at = HEADER_BYTES;
    for op in &stream.ops {
        lines.push(Line::at(at, text(op, data)));
        at += op.bytes() as usize;
    }
    vec![
        Section { title: "header".to_owned(), lines: facts },
        Section { title: format!("{} operations", stream.ops.len()), lines },
    ]
}

fn text(op: &Op, how: Data) -> String {
    let place = |addr: u32| {
        let address = ArrayAddress::decode(addr);
        format!("{:<10}  {}", tile(address), register(address))
    };
    match op {
        Op::Write { addr, value } => format!("write          {} = {value:#010x}", place(*addr)),
        Op::BlockWrite { addr, data } => format!("block_write    {}  {}", place(*addr), words(data, how)),
        Op::MaskWrite { addr, value, mask } => {
            format!("mask_write     {} = {value:#010x} & {mask:#010x}", place(*addr))
        }
        Op::MaskPoll { addr, value, mask } => {
            format!("mask_poll      {} & {mask:#010x} == {value:#010x}", place(*addr))
        }
        Op::MaskPollBusy { addr, value, mask } => {
            format!("mask_poll_busy {} & {mask:#010x} == {value:#010x}", place(*addr))
        }
        Op::Noop => "noop".to_owned(),
        Op::Tct { direction, col, row, cols, rows, channel } => {
            let direction = match direction {
                Direction::S2mm => "S2MM",
                Direction::Mm2s => "MM2S",
            };
            let first = tile(ArrayAddress { col: *col, row: *row, offset: 0 });
            let span = if (*cols, *rows) == (1, 1) { String::new() } else { format!(" to {cols} x {rows} tiles") };
            format!("wait_token     {first:<10}  {direction} {channel}{span}")
        }
        Op::DdrPatch { register: addr, arg_index, arg_plus } => {
            format!("ddr_patch      {} = address of argument {arg_index} + {arg_plus:#x}", place(*addr))
        }
    }
}
