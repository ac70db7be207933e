//! Configuration commands, and the core programs among their data.

use std::collections::BTreeMap;

use npu_container::address::ArrayAddress;
use npu_container::cdo::{Command, HEADER_WORDS};

use super::registers::{program_offset, register, tile};
use super::{Data, Line, Section, program, words};

/// Commands of a CDO that starts `base` bytes into its file, then every program they load. `prefix` begins the titles.
pub(super) fn list(prefix: &str, base: usize, commands: &[Command], data: Data) -> Vec<Section> {
    let mut lines = Vec::with_capacity(commands.len());
    let mut at = base + 4 * HEADER_WORDS;
    for command in commands {
        lines.push(Line::at(at, text(command, data)));
        at += 4 * command.words();
    }
    let plural = if commands.len() == 1 { "" } else { "s" };
    let mut sections = vec![Section { title: format!("{prefix}{} command{plural}", commands.len()), lines }];
    for (image, tiles) in programs(commands) {
        let bytes: usize = image.iter().map(|(_, bytes)| bytes.len()).sum();
        let lines = image.iter().flat_map(|(offset, bytes)| program::list(bytes, *offset).lines).collect();
        let title = format!("{prefix}program of {}, {bytes} bytes", tiles.join(", "));
        sections.push(Section { title, lines });
    }
    sections
}

/// Chunks of a program: offset in program memory and bytes.
type Image = Vec<(usize, Vec<u8>)>;

/// The distinct programs in the order in which they first appear, each with the tiles that run it.
fn programs(commands: &[Command]) -> Vec<(Image, Vec<String>)> {
    let mut by_tile: BTreeMap<(u8, u8), Image> = BTreeMap::new();
    for command in commands {
        if let Command::DmaWrite { addr, data } = command {
            let address = ArrayAddress::decode(*addr);
            if let Some(offset) = program_offset(address) {
                let bytes = data.iter().flat_map(|word| word.to_le_bytes()).collect();
                by_tile.entry((address.col, address.row)).or_default().push((offset, bytes));
            }
        }
    }
    let mut distinct: Vec<(Image, Vec<String>)> = Vec::new();
    for ((col, row), mut image) in by_tile {
        image.sort();
        let name = tile(ArrayAddress { col, row, offset: 0 });
        match distinct.iter_mut().find(|(known, _)| *known == image) {
            Some((_, tiles)) => tiles.push(name),
            None => distinct.push((image, vec![name])),
        }
    }
    distinct
}

fn text(command: &Command, how: Data) -> String {
    let place = |addr: u32| {
        let address = ArrayAddress::decode(addr);
        format!("{:<10}  {}", tile(address), register(address))
    };
    // Bits 63:32 are zero in every command that reaches a tile.
    let place64 = |addr: u64| match u32::try_from(addr) {
        Ok(addr) => place(addr),
        Err(_) => format!("{addr:#x}"),
    };
    match command {
        Command::Write { addr, value } => format!("write        {} = {value:#010x}", place(*addr)),
        Command::Write64 { addr, value } => format!("write64      {} = {value:#010x}", place64(*addr)),
        Command::MaskWrite { addr, mask, value } => {
            format!("mask_write   {} = {value:#010x} & {mask:#010x}", place(*addr))
        }
        Command::MaskWrite64 { addr, mask, value } => {
            format!("mask_write64 {} = {value:#010x} & {mask:#010x}", place64(*addr))
        }
        Command::DmaWrite { addr, data } => {
            let shown = match (program_offset(ArrayAddress::decode(*addr)), how) {
                (Some(_), Data::Abridged) => format!("{} words, listed below", data.len()),
                _ => words(data, how),
            };
            format!("dma_write    {}  {shown}", place(*addr))
        }
        Command::Nop { words } => format!("nop          {words} words"),
    }
}
