//! A design, its programs and a runtime stream as one module of the MLIR-AIE dialects, in MLIR's generic form.
//!
//! ```text
//! aie.tile, aie.buffer, aie.lock    every tile in use, its memory at its addresses, its locks with their numbers and initial values
//! aie.mem, aie.memtile_dma          the endless chains: channels, BD numbers, locks, access patterns
//! aie.flow, aie.packet_flow         circuits by their ends, and the route of tokens; the other toolchain finds the ways
//! aie.core                          bound to an ELF file
//! memref.global                     data of block writes
//! aie.runtime_sequence              the runtime stream, operation by operation
//! ```
//! Chains that the stream queues are no part of a DMA's region, which would start them. What the configuration puts into their BDs stands at the
//! head of the runtime sequence. A dimension longer than the verifier takes is said as two. What the dialects cannot say is refused.
//!
//! The dialects are those of release 1.4.
// SOURCE: Xilinx/mlir-aie include/aie/Dialect/AIE/IR/{AIEOps,AIEAttrs}.td, include/aie/Dialect/AIEX/IR/AIEX.td (operations, properties, enum
// values); lib/Dialect/AIE/IR/AIEDialect.cpp (verifiers); lib/Targets/AIERT.cpp (what becomes of a BD); as of August 2026.

mod dma;
mod sequence;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use npu_container::txn;

use super::{Configuration, Design};
use crate::device::{COLUMNS, Channel, DMA_ALIGN_BYTES, Direction, Tile, TileKind};
use crate::route::{Port, PortEnd, token};
use text::{INDEX, Op, Text, Value, dense, i32, string, words_type};

/// Why a design has no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The dialects have no such runtime operation.
    #[error("operation {index} of the runtime stream is {operation}, which MLIR-AIE's runtime sequences do not have")]
    Operation {
        /// Its place in the stream.
        index: usize,
        /// Its name.
        operation: &'static str,
    },
    /// The dialect's verifier takes smaller dimensions.
    #[error("{tile} {channel}, BD {bd}: dimension {dimension} of {size} positions; MLIR-AIE takes {limit}")]
    Dimension {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// The BD.
        bd: u8,
        /// The dimension, 0 is innermost.
        dimension: usize,
        /// Its positions.
        size: u32,
        /// Positions it may have.
        limit: u32,
    },
    /// Padding has three dimensions, and so has a padded pattern.
    #[error("{tile} {channel}, BD {bd}: padding in a pattern of four dimensions")]
    PaddedDims {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// The BD.
        bd: u8,
    },
    /// A program without a file.
    #[error("{tile} has a program, and no ELF file is named for it")]
    NoElf {
        /// The tile.
        tile: Tile,
    },
    /// The stream patches the address of a host buffer that is not declared.
    #[error("operation {index} of the runtime stream patches host buffer {argument} of {arguments}")]
    NoSuchArgument {
        /// Its place in the stream.
        index: usize,
        /// The host buffer.
        argument: u32,
        /// Host buffers declared.
        arguments: usize,
    },
    /// The offset of a patched address lies outside the host buffer's aperture.
    #[error(
        "operation {index} of the runtime stream patches offset {offset:#x}, below the aperture of host buffer {argument}"
    )]
    BelowAperture {
        /// Its place in the stream.
        index: usize,
        /// The host buffer.
        argument: u32,
        /// The offset as the stream has it.
        offset: u32,
    },
}

/// What a module is made of.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// The design, finished.
    pub configuration: &'a Configuration,
    /// The runtime stream.
    pub operations: &'a [txn::Op],
    /// Bytes of each host buffer, in order.
    pub arguments: &'a [u64],
    /// ELF files of the programs, as named from the module's directory.
    pub elf_files: &'a BTreeMap<Tile, String>,
}

/// Name of the device in a module.
pub const DEVICE: &str = "main";
/// Name of its runtime sequence.
pub const SEQUENCE: &str = "sequence";

/// `AIEDevice`: npu1_1col, npu1_2col, npu1_3col, npu1.
const DEVICES: [u32; COLUMNS as usize] = [5, 6, 7, 4];

/// `WireBundle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bundle {
    Core = 0,
    Dma = 1,
    South = 3,
    TileControl = 10,
}

/// `DMAChannelDir`.
fn direction(direction: Direction) -> u32 {
    match direction {
        Direction::S2mm => 0,
        Direction::Mm2s => 1,
    }
}

/// Memory of a tile that a buffer stands for.
struct Region {
    offset: u32,
    bytes: u32,
    name: String,
    /// Ring and slot.
    slot: Option<(usize, usize)>,
    data: Option<Vec<u32>>,
}

impl Region {
    fn plain(offset: u32, end: u32, name: &str, data: Option<Vec<u32>>) -> Self {
        Region { offset, bytes: end - offset, name: name.to_owned(), slot: None, data }
    }
}

/// Values that later operations name.
#[derive(Default)]
struct Values {
    tiles: BTreeMap<Tile, Value>,
    /// By ring and slot.
    buffers: BTreeMap<(usize, usize), Value>,
    locks: BTreeMap<(Tile, u8), Value>,
}

impl Module<'_> {
    /// The text.
    ///
    /// # Errors
    /// Something that the dialects cannot say, a program without a file, a host buffer that is not declared.
    pub fn text(&self) -> Result<String, Error> {
        let mut text = Text::default();
        let columns = usize::from(self.configuration.columns);
        let device = Op::new("aie.device")
            .with("device", i32(DEVICES[columns - 1]))
            .with("sym_name", string(DEVICE))
            // the route of tokens is in the module, and shall not come twice
            .attribute("needs_ctrl_pkt_overlay", "false");
        text.region(None, Op::new("builtin.module"), |text| {
            text.region(None, device, |text| {
                self.device(text)?;
                text.end();
                Ok(())
            })
        })?;
        Ok(text.finish())
    }

    fn design(&self) -> &Design {
        &self.configuration.design
    }

    fn device(&self, text: &mut Text) -> Result<(), Error> {
        text.symbol(SEQUENCE);
        let mut values = Values::default();
        self.tiles(text, &mut values);
        self.buffers(text, &mut values);
        self.locks(text, &mut values);
        self.flows(text, &values);
        for tile in self.design().chains.keys().map(|(tile, _)| *tile).collect::<BTreeSet<_>>() {
            dma::region(self.design(), tile, text, &values)?;
        }
        self.cores(text, &values)?;
        sequence::sequence(self, text)
    }

    fn tiles(&self, text: &mut Text, values: &mut Values) {
        let design = self.design();
        let ends = design.flows.iter().flat_map(|flow| flow.sinks.iter().chain([&flow.source]));
        let held = design.memories.keys().chain(design.locks.keys()).chain(design.programs.keys());
        let cascades = design.cascades.iter().flat_map(|(from, to)| [*from, *to]);
        let tokens = design.tokens.iter().map(|col| Tile::shim(*col));
        let used: BTreeSet<Tile> =
            ends.map(|port| port.tile).chain(held.copied()).chain(cascades).chain(tokens).collect();
        for tile in used {
            let mut op = Op::new("aie.tile");
            if tile.kind() != TileKind::Shim {
                // buffers have their addresses, nothing is left to an allocator
                op = op.with("allocation_scheme", string("basic-sequential"));
            }
            op = op.with("col", i32(tile.col.0)).with("row", i32(tile.row.0));
            if tile.kind() == TileKind::Shim {
                let id = token::CONTROLLER_ID;
                op = op.attribute("controller_id", format!("#aie.packet_info<pkt_type = 0, pkt_id = {id}>"));
            }
            values.tiles.insert(tile, text.value(&format!("tile_{}_{}", tile.col.0, tile.row.0), INDEX, op));
        }
    }

    /// Regions of a tile's memory, by offset: slots of rings, and plain memory cut where initial contents begin and end.
    fn regions(&self, tile: Tile) -> Vec<Region> {
        let design = self.design();
        let mut out = Vec::new();
        for (index, ring) in design.rings.iter().enumerate().filter(|(_, ring)| ring.tile == tile) {
            for (slot, &offset) in ring.slots.iter().enumerate() {
                let name = format!("{}_{slot}", ring.name);
                let data = self.initial(tile, offset, ring.slot_bytes);
                out.push(Region { offset, bytes: ring.slot_bytes, name, slot: Some((index, slot)), data });
            }
        }
        let slots: BTreeSet<u32> = out.iter().map(|region| region.offset).collect();
        let plain = design.memories.get(&tile).into_iter().flat_map(|memory| memory.buffers());
        for (offset, bytes, name) in plain.filter(|(offset, ..)| !slots.contains(offset)) {
            let (mut at, end) = (offset, offset + bytes);
            for (&(_, from), words) in design.data.range((tile, offset)..(tile, end)) {
                if at < from {
                    out.push(Region::plain(at, from, name, None));
                }
                at = from + DMA_ALIGN_BYTES * words.len() as u32;
                out.push(Region::plain(from, at, name, Some(words.clone())));
            }
            if at < end {
                out.push(Region::plain(at, end, name, None));
            }
        }
        out.sort_by_key(|region| region.offset);
        out
    }

    /// Initial contents of a slot, if it has any. A BD needs the slot as one buffer and the dialect initialises whole buffers, so that words without
    /// contents are zeros then.
    fn initial(&self, tile: Tile, offset: u32, bytes: u32) -> Option<Vec<u32>> {
        let end = offset + bytes;
        let mut slot = None;
        for (&(_, from), words) in self.design().data.range((tile, 0)..(tile, end)) {
            let places = (from..).step_by(DMA_ALIGN_BYTES as usize);
            for (place, word) in places.zip(words).filter(|(place, _)| (offset..end).contains(place)) {
                let slot = slot.get_or_insert_with(|| vec![0; (bytes / DMA_ALIGN_BYTES) as usize]);
                slot[((place - offset) / DMA_ALIGN_BYTES) as usize] = *word;
            }
        }
        slot
    }

    fn buffers(&self, text: &mut Text, values: &mut Values) {
        let tiles: Vec<Tile> = self.design().memories.keys().copied().collect();
        for tile in tiles {
            for Region { offset, bytes, name, slot, data } in self.regions(tile) {
                let symbol = text.symbol(&format!("t{}_{}_{name}", tile.col.0, tile.row.0));
                let words = bytes.div_ceil(DMA_ALIGN_BYTES) as usize;
                let mut op = Op::new("aie.buffer").on([&values.tiles[&tile]]).with("address", i32(offset));
                op = op.with("aligned", offset.is_multiple_of(super::align_bytes(tile)).to_string());
                if let Some(data) = data {
                    op = op.with("initial_value", dense(&data));
                }
                let value = text.value(&symbol, &words_type(words), op.with("sym_name", string(&symbol)));
                if let Some(slot) = slot {
                    values.buffers.insert(slot, value);
                }
            }
        }
    }

    fn locks(&self, text: &mut Text, values: &mut Values) {
        let design = self.design();
        let mut named: BTreeMap<(Tile, u8), (String, u8)> = BTreeMap::new();
        for (&tile, locks) in &design.locks {
            for (number, &initial) in locks.iter().enumerate() {
                named.insert((tile, number as u8), (format!("lock_{number}"), initial));
            }
        }
        for ring in &design.rings {
            let credits = (ring.unit() * ring.slots.len()) as u8;
            named.insert((ring.tile, ring.prod), (format!("{}_prod", ring.name), credits));
            named.insert((ring.tile, ring.cons), (format!("{}_cons", ring.name), 0));
        }
        for ((tile, number), (name, initial)) in named {
            let symbol = text.symbol(&format!("t{}_{}_{name}", tile.col.0, tile.row.0));
            let op = Op::new("aie.lock").on([&values.tiles[&tile]]);
            let op = op.with("init", i32(initial)).with("lockID", i32(number)).with("sym_name", string(&symbol));
            values.locks.insert((tile, number), text.value(&symbol, INDEX, op));
        }
    }

    fn flows(&self, text: &mut Text, values: &Values) {
        let end = |port: Port| match port.end {
            PortEnd::Dma(channel) => (Bundle::Dma, channel.index),
            PortEnd::CoreOut | PortEnd::CoreIn => (Bundle::Core, 0),
        };
        let design = self.design();
        for flow in &design.flows {
            let (from, from_channel) = end(flow.source);
            for &sink in &flow.sinks {
                let (to, to_channel) = end(sink);
                text.op(Op::new("aie.flow")
                    .on([&values.tiles[&flow.source.tile], &values.tiles[&sink.tile]])
                    .with("dest_bundle", i32(to as u32))
                    .with("dest_channel", i32(to_channel))
                    .with("source_bundle", i32(from as u32))
                    .with("source_channel", i32(from_channel)));
            }
        }
        for &col in &design.tokens {
            let tile = &values.tiles[&Tile::shim(col)];
            let flow = Op::new("aie.packet_flow")
                .with("ID", format!("{} : i8", token::CONTROLLER_ID))
                .with("keep_pkt_header", "true")
                .with("priority_route", "true");
            let ports = |text: &mut Text| {
                for (end, bundle) in [("aie.packet_source", Bundle::TileControl), ("aie.packet_dest", Bundle::South)] {
                    text.op(Op::new(end).on([tile]).with("bundle", i32(bundle as u32)).with("channel", i32(0)));
                }
                text.end();
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(()) = text.region(None, flow, ports);
        }
        for (from, to) in &design.cascades {
            text.op(Op::new("aie.cascade_flow").on([&values.tiles[from], &values.tiles[to]]));
        }
    }

    fn cores(&self, text: &mut Text, values: &Values) -> Result<(), Error> {
        for &tile in self.design().programs.keys() {
            let file = self.elf_files.get(&tile).ok_or(Error::NoElf { tile })?;
            let op = Op::new("aie.core").on([&values.tiles[&tile]]);
            // programs have no stack, and buffers begin at address 0
            let op = op.with("elf_file", string(file)).with("stack_size", i32(0));
            text.region(Some(&format!("core_{}_{}", tile.col.0, tile.row.0)), op, |text| {
                text.end();
                Ok(())
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
