//! The array as a module says it, by the rules of MLIR-AIE's own lowering, and as a configuration's commands leave it. Register words are
//! put together here from their documented fields, so that the module is judged without the code that wrote it.
// SOURCE: Xilinx/mlir-aie lib/Targets/AIERT.cpp (what of an operation ends in which field); Xilinx/aie-rt driver/src/dma/xaie_dma_aieml.c
// (_XAieMl_TileDmaWriteBd, _XAieMl_MemTileDmaWriteBd: steps and iterations minus one); aie_registers_aie2.json (fields).

use std::collections::{BTreeMap, BTreeSet};

use aie2_array::regs::{MasterWord, SlaveWord, SlotWord, shim_demux, shim_mux};
use aie2_array::route::{self, Bundle};
use aie2_array::{Channel, Direction, Tile, TileKind};
use npu_container::address::{ArrayAddress, addr};
use npu_container::cdo::Command;
use npu_container::txn::{DDR_APERTURE, FIRMWARE_TRANSLATED_ARGUMENTS, Op};

use crate::reader::{Attribute, Operation, word};

/// Column and row.
pub type At = (u8, u8);
/// An end of a circuit: tile, whether a core's stream rather than a DMA's, channel.
pub type End = (At, bool, u8);

/// What a configuration does to an array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Array {
    /// Initial values; those that are not there are 0.
    pub locks: BTreeMap<(At, u8), u32>,
    pub bds: BTreeMap<(At, u8), Vec<u32>>,
    /// Words of the queues by tile, direction (1: MM2S), channel.
    pub starts: BTreeMap<(At, u8, u8), u32>,
    /// Source and sink.
    pub circuits: BTreeSet<(End, End)>,
    /// Columns whose shim sends tokens with this id.
    pub tokens: BTreeMap<u8, u8>,
    /// Words of data memory.
    pub data: BTreeMap<u32, u32>,
    /// Words of program memory.
    pub programs: BTreeMap<At, Vec<u32>>,
    /// From and to.
    pub cascades: BTreeSet<(At, At)>,
}

/// A module's array, and what it says besides.
#[derive(Debug, Clone, Default)]
pub struct Module {
    pub columns: usize,
    pub array: Array,
    /// Offset, bytes and name of buffers.
    pub buffers: BTreeMap<At, Vec<(u32, u32, String)>>,
    /// Types of host buffers.
    pub arguments: Vec<String>,
    pub operations: Vec<Op>,
}

fn put(value: u32, high: u32, low: u32) -> u32 {
    let max = (1u64 << (high - low + 1)) - 1;
    assert!(u64::from(value) <= max, "{value} does not fit {high}:{low}");
    value << low
}

fn signed(value: i64, high: u32, low: u32) -> u32 {
    assert!((-64..64).contains(&value) && high - low == 6, "a lock value of seven bits");
    put(value as u32 & 0x7F, high, low)
}

/// A BD of `dma_bd`.
struct Bd {
    base: u32,
    length: u32,
    /// Size and stride, innermost first.
    dims: Vec<(u32, u32)>,
    pads: Vec<(u32, u32)>,
    /// Size and stride.
    iteration: (u32, u32),
    next: u32,
    acquire: (u32, i64),
    release: (u32, i64),
}

impl Bd {
    fn size(&self, dim: usize) -> u32 {
        self.dims.get(dim).map_or(0, |dim| dim.0)
    }

    /// Steps are stored minus one, and are one where there is no dimension.
    fn step(&self, dim: usize) -> u32 {
        self.dims.get(dim).map_or(0, |dim| dim.1 - 1)
    }

    fn pad(&self, dim: usize) -> (u32, u32) {
        self.pads.get(dim).copied().unwrap_or_default()
    }

    fn iterated(&self) -> (u32, u32) {
        if self.iteration.0 > 1 { (self.iteration.0 - 1, self.iteration.1 - 1) } else { (0, 0) }
    }

    fn core(&self) -> Vec<u32> {
        assert!(self.dims.len() <= 3 && self.pads.is_empty());
        assert!(self.dims.iter().all(|dim| dim.0 <= 256), "XAie_DmaSetMultiDimAddr takes sizes up to 256");
        let (wrap, step) = self.iterated();
        vec![
            put(self.base, 27, 14) | put(self.length, 13, 0),
            0,
            put(self.step(1), 25, 13) | put(self.step(0), 12, 0),
            put(self.size(1), 28, 21) | put(self.size(0), 20, 13) | put(self.step(2), 12, 0),
            put(wrap, 18, 13) | put(step, 12, 0),
            put(self.next, 30, 27)
                | put(1, 26, 26)
                | put(1, 25, 25)
                | signed(self.release.1, 24, 18)
                | put(self.release.0, 16, 13)
                | put(1, 12, 12)
                | signed(-self.acquire.1, 11, 5)
                | put(self.acquire.0, 3, 0),
        ]
    }

    /// Own memory of a mem tile begins at 512 KiB, own locks at 64.
    fn mem(&self) -> Vec<u32> {
        assert!(self.dims.len() <= 4 && self.pads.len() <= 3);
        assert!(self.dims.iter().all(|dim| dim.0 <= 512), "the verifier of dma_bd takes sizes up to 512");
        let (wrap, step) = self.iterated();
        vec![
            put(self.length, 16, 0),
            put(self.pad(0).0, 31, 26)
                | put(self.next, 25, 20)
                | put(1, 19, 19)
                | put((512 << 10) / 4 + self.base, 18, 0),
            put(self.size(0), 26, 17) | put(self.step(0), 16, 0),
            put(self.pad(1).0, 31, 27) | put(self.size(1), 26, 17) | put(self.step(1), 16, 0),
            put(self.pad(2).0, 30, 27) | put(self.size(2), 26, 17) | put(self.step(2), 16, 0),
            put(self.pad(2).1, 31, 28)
                | put(self.pad(1).1, 27, 23)
                | put(self.pad(0).1, 22, 17)
                | put(self.step(3), 16, 0),
            put(wrap, 22, 17) | put(step, 16, 0),
            put(1, 31, 31)
                | signed(self.release.1, 30, 24)
                | put(64 + self.release.0, 23, 16)
                | put(1, 15, 15)
                | signed(-self.acquire.1, 14, 8)
                | put(64 + self.acquire.0, 7, 0),
        ]
    }
}

/// The words of a mem tile's BD with its access pattern by sizes and strides, neighbours that continue each other joined. Of a compute tile's BD,
/// the words.
pub fn merged(words: &[u32]) -> (Vec<u32>, Vec<(u32, u32)>) {
    if words.len() != 8 {
        return (words.to_vec(), Vec::new());
    }
    let (step, wrap) = (|w: u32| (w & 0x1_FFFF) + 1, |w: u32| w >> 17 & 0x3FF);
    let padded = words[1] >> 26 | words[3] >> 27 | words[4] >> 27 | words[5] >> 17;
    if padded != 0 {
        return (words.to_vec(), Vec::new());
    }
    let bounded: Vec<_> = words[2..5].iter().take_while(|w| wrap(**w) > 0).map(|w| (wrap(*w), step(*w))).collect();
    let inner: u32 = bounded.iter().map(|dim| dim.0).product();
    let outer = (words[0] / inner, step(words[2 + bounded.len()]));
    let mut dims: Vec<(u32, u32)> = Vec::new();
    for (size, stride) in bounded.into_iter().chain([outer]).filter(|dim| dim.0 > 1) {
        match dims.last_mut() {
            Some(last) if last.0 * last.1 == stride => last.0 *= size,
            _ => dims.push((size, stride)),
        }
    }
    ([&words[..2], &words[6..]].concat(), dims)
}

/// The numbers in an attribute of a dialect.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).map(|d| d.parse().unwrap()).collect()
}

/// Words of a buffer's type.
fn words_of(kind: &str) -> u32 {
    let words = kind.strip_prefix("memref<").and_then(|kind| kind.strip_suffix("xi32>"));
    words.and_then(|words| words.parse().ok()).unwrap_or_else(|| panic!("{kind} is no buffer of words"))
}

/// Values that operations name.
#[derive(Default)]
struct Values<'a> {
    tiles: BTreeMap<&'a str, At>,
    /// Address of a buffer.
    buffers: BTreeMap<&'a str, (At, u32)>,
    locks: BTreeMap<&'a str, (At, u8)>,
    globals: BTreeMap<&'a str, &'a Vec<u32>>,
}

/// Reads a module whose operations are well formed. `elf` gives the words that a loader puts into program memory.
pub fn of_module(module: &Operation, elf: impl Fn(&str) -> Vec<u32>) -> Module {
    let [device] = &module.block().operations[..] else { panic!("one device") };
    assert_eq!(device.text("sym_name"), "main");
    assert_eq!(device.attributes["needs_ctrl_pkt_overlay"], Attribute::Bool(false));
    let columns = match device.integer("device") {
        4 => 4,
        few @ 5..=7 => few as usize - 4,
        other => panic!("AIEDevice {other} is no npu1"),
    };
    let mut out = Module { columns, ..Module::default() };
    let mut values = Values::default();
    for op in &device.block().operations {
        let tile = |operand: usize| values.tiles[op.operands[operand].as_str()];
        let array = &mut out.array;
        match op.name.as_str() {
            "aie.tile" => {
                let at = (op.integer("col") as u8, op.integer("row") as u8);
                assert!(!values.tiles.values().any(|other| *other == at), "tile {at:?} twice");
                if at.1 == 0 {
                    assert_eq!(numbers(&format!("{:?}", op.attributes["controller_id"])), [0, 15]);
                }
                values.tiles.insert(&op.results[0], at);
            }
            "aie.buffer" => {
                let (at, address) = (tile(0), op.integer("address") as u32);
                let words = words_of(&op.result_types[0]);
                let aligned = address.is_multiple_of(if at.1 == 1 { 4 } else { 32 });
                assert_eq!(op.properties["aligned"], Attribute::Bool(aligned), "{op:?}");
                if let Some(Attribute::Words(initial)) = op.properties.get("initial_value") {
                    assert_eq!(initial.len() as u32, words, "{op:?}");
                    let first = addr(at.0, at.1, address);
                    array.data.extend(initial.iter().enumerate().map(|(n, word)| (first + 4 * n as u32, *word)));
                }
                let buffer = (address, 4 * words, op.text("sym_name").to_owned());
                out.buffers.entry(at).or_default().push(buffer);
                values.buffers.insert(&op.results[0], (at, address));
            }
            "aie.lock" => {
                let lock = (tile(0), op.integer("lockID") as u8);
                assert!(array.locks.insert(lock, op.integer("init") as u32).is_none(), "lock {lock:?} twice");
                values.locks.insert(&op.results[0], lock);
            }
            "aie.flow" => {
                let end = |operand, side: &str| {
                    let core = match op.integer(&format!("{side}_bundle")) {
                        0 => true,
                        1 => false,
                        other => panic!("WireBundle {other}"),
                    };
                    (tile(operand), core, op.integer(&format!("{side}_channel")) as u8)
                };
                assert!(array.circuits.insert((end(0, "source"), end(1, "dest"))), "{op:?} twice");
            }
            "aie.packet_flow" => {
                let [source, sink, _end] = &op.block().operations[..] else { panic!("{op:?}") };
                let (from, to) = (values.tiles[source.operands[0].as_str()], values.tiles[sink.operands[0].as_str()]);
                assert_eq!((source.name.as_str(), sink.name.as_str()), ("aie.packet_source", "aie.packet_dest"));
                let ports = [source, sink].map(|port| (port.integer("bundle"), port.integer("channel")));
                // TileControl to South, header kept
                assert_eq!((ports, from, from.1), ([(10, 0), (3, 0)], to, 0));
                assert_eq!(op.properties["keep_pkt_header"], Attribute::Bool(true));
                assert!(array.tokens.insert(from.0, op.integer("ID") as u8).is_none(), "{op:?} twice");
            }
            "aie.cascade_flow" => {
                array.cascades.insert((tile(0), tile(1)));
            }
            "aie.mem" | "aie.memtile_dma" => {
                assert_eq!(op.name == "aie.memtile_dma", tile(0).1 == 1, "{:?}", tile(0));
                dma(op, tile(0), &values, array);
            }
            "aie.core" => {
                assert_eq!(op.integer("stack_size"), 0);
                assert!(array.programs.insert(tile(0), elf(op.text("elf_file"))).is_none(), "{op:?} twice");
            }
            "memref.global" => {
                let Attribute::Words(words) = &op.properties["initial_value"] else { panic!("{op:?}") };
                let kind = format!("memref<{}xi32>", words.len());
                assert_eq!(op.properties["type"], Attribute::Other(kind));
                values.globals.insert(op.text("sym_name"), words);
            }
            "aie.runtime_sequence" => {
                assert_eq!((op.text("sym_name"), out.operations.len()), ("sequence", 0));
                out.arguments = op.block().arguments.iter().map(|(_, kind)| kind.clone()).collect();
                out.operations = sequence(op, &values);
            }
            "aie.end" => {}
            other => panic!("{other} in a device"),
        }
    }
    out
}

/// Chains as their channels walk them.
fn dma(op: &Operation, at: At, values: &Values<'_>, array: &mut Array) {
    let blocks = &op.regions[0].blocks;
    let block = |label: &str| blocks.iter().find(|block| block.label == label).expect("checked before");
    let bd_of = |label: &str| block(label).operations.iter().find(|op| op.name == "aie.dma_bd");
    let (mut open, mut walked) = (&blocks[0], BTreeSet::new());
    loop {
        let [start] = &open.operations[..] else { panic!("{open:?}") };
        if start.name == "aie.end" {
            break;
        }
        let direction = start.integer("channel_dir") as u8;
        let channel = start.integer("channel_index") as u8;
        let first = bd_of(&start.successors[0]).expect("a channel starts with a BD").integer("bd_id");
        let word = put(start.integer("repeat_count") as u32, 23, 16) | put(first as u32, 5, 0);
        assert!(array.starts.insert((at, direction, channel), word).is_none(), "channel {direction} {channel} twice");
        let mut label = start.successors[0].clone();
        while walked.insert(label.clone()) {
            let next = &block(&label).operations.last().expect("a terminator").successors[0];
            let number = bd_of(&label).expect("a chain of BDs").integer("bd_id") as u8;
            let bd = bd(&block(&label).operations, at, bd_of(next).map(|bd| bd.integer("bd_id") as u32), values);
            let words = if at.1 == 1 { bd.mem() } else { bd.core() };
            assert!(array.bds.insert((at, number), words).is_none(), "BD {number} of {at:?} twice");
            label = next.clone();
        }
        open = block(&start.successors[1]);
    }
    let with_bd = blocks.iter().filter(|block| block.operations.iter().any(|op| op.name == "aie.dma_bd"));
    assert_eq!(with_bd.count(), walked.len(), "every BD is on a chain that starts");
}

fn bd(operations: &[Operation], at: At, next: Option<u32>, values: &Values<'_>) -> Bd {
    let names: Vec<&str> = operations.iter().map(|op| op.name.as_str()).collect();
    assert_eq!(names, ["arith.constant", "aie.use_lock", "aie.dma_bd", "aie.use_lock", "aie.next_bd"]);
    let [credits, acquire, transfer, release, _] = operations else { unreachable!() };
    let lock = |op: &Operation, action: i64| {
        let (tile, number) = values.locks[op.operands[0].as_str()];
        assert_eq!((tile, op.integer("action"), &op.operands[1]), (at, action, &credits.results[0]));
        (u32::from(number), credits.integer("value"))
    };
    let (tile, address) = values.buffers[transfer.operands[0].as_str()];
    assert_eq!((tile, transfer.array("operandSegmentSizes")), (at, Some(&[1, 0, 0, 0, 0][..])));
    let list = |name| transfer.array(name).unwrap_or_default().iter().rev().map(|v| *v as u32).collect::<Vec<_>>();
    let (sizes, strides) = (list("static_sizes"), list("static_strides"));
    assert_eq!(sizes.len(), strides.len());
    let (offset, length) = (transfer.integer("static_offset") as u32, transfer.integer("static_len") as u32);
    let words = words_of(&transfer.operand_types[0]);
    let last: u32 = sizes.iter().zip(&strides).map(|(size, stride)| (size - 1) * stride).sum();
    assert!(
        last < words && strides.iter().all(|stride| (1..=words).contains(stride)),
        "the verifier of dma_bd: {transfer:?}"
    );
    let other = |name: &str| match transfer.properties.get(name) {
        Some(Attribute::Other(text)) => numbers(text),
        _ => Vec::new(),
    };
    let mut pads: Vec<(u32, u32)> = other("pad_dimensions").chunks(2).map(|pad| (pad[0], pad[1])).collect();
    pads.reverse();
    assert!(pads.is_empty() || pads.len() == sizes.len());
    let iteration = match other("iteration")[..] {
        [size, stride, 0] => (size, stride),
        [] => (0, 0),
        ref found => panic!("iteration {found:?}"),
    };
    Bd {
        base: address / 4 + offset,
        length,
        dims: sizes.into_iter().zip(strides).collect(),
        pads,
        iteration,
        next: next.expect("a chain that never ends"),
        // AcquireGreaterEqual, Release
        acquire: lock(acquire, 2),
        release: lock(release, 1),
    }
}

fn sequence(op: &Operation, values: &Values<'_>) -> Vec<Op> {
    let block = op.block();
    let mut words: BTreeMap<&str, u32> = BTreeMap::new();
    let mut data: BTreeMap<&str, &Vec<u32>> = BTreeMap::new();
    let mut out = Vec::new();
    for op in &block.operations {
        let value = |n: usize| words[op.operands[n].as_str()];
        let small = |n: usize| u8::try_from(value(n)).expect("a small number");
        out.push(match op.name.as_str() {
            "arith.constant" => {
                words.insert(&op.results[0], word(op.integer("value")));
                continue;
            }
            "memref.get_global" => {
                let Attribute::Symbol(symbol) = &op.properties["name"] else { panic!("{op:?}") };
                let global = values.globals[symbol.as_str()];
                assert_eq!(op.result_types, [format!("memref<{}xi32>", global.len())]);
                data.insert(&op.results[0], global);
                continue;
            }
            "aiex.npu.write32" => Op::Write { addr: value(0), value: value(1) },
            "aiex.npu.maskwrite32" => Op::MaskWrite { addr: value(0), value: value(1), mask: value(2) },
            "aiex.npu.maskpoll" => Op::MaskPoll { addr: value(0), value: value(1), mask: value(2) },
            "aiex.npu.blockwrite" => {
                let data = data[op.operands[0].as_str()].clone();
                Op::BlockWrite { addr: op.integer("address") as u32, data }
            }
            "aiex.npu.sync" => {
                let direction = match value(2) {
                    0 => npu_container::txn::Direction::S2mm,
                    1 => npu_container::txn::Direction::Mm2s,
                    other => panic!("direction {other}"),
                };
                let (col, row, channel) = (small(0), small(1), small(3));
                Op::Tct { direction, col, row, cols: small(4), rows: small(5), channel }
            }
            "aiex.npu.address_patch" => {
                let arg_index = op.integer("arg_idx") as u32;
                assert!((arg_index as usize) < block.arguments.len(), "{op:?}");
                // aiecc's --fold-ddr-addr-offset, which is on
                let fold = if arg_index < FIRMWARE_TRANSLATED_ARGUMENTS { 0 } else { DDR_APERTURE };
                Op::DdrPatch { register: op.integer("addr") as u32, arg_index, arg_plus: value(0) + fold }
            }
            other => panic!("{other} in a runtime sequence"),
        });
    }
    out
}

/// What commands leave. Every one of them is accounted for, or this panics.
pub fn of_commands(commands: &[Command], columns: u8) -> Array {
    let mut out = Array::default();
    let mut switches = Switches { columns, ..Switches::default() };
    let mut masked: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for command in commands {
        match command {
            Command::Write { addr, value } => register(*addr, *value, &mut out, &mut switches),
            Command::MaskWrite { addr, mask, value } => masked.entry(*addr).or_default().push((*mask, *value)),
            Command::DmaWrite { addr: first, data } => {
                let ArrayAddress { col, row, offset } = ArrayAddress::decode(*first);
                let bd = |base: u32| ((offset - base) / 0x20) as u8;
                match (row, offset) {
                    (1, 0..0x8_0000) | (2.., 0..0x1_0000) => {
                        out.data.extend(data.iter().enumerate().map(|(n, word)| (first + 4 * n as u32, *word)));
                    }
                    (2.., 0x2_0000) => {
                        out.programs.insert((col, row), data.clone());
                    }
                    (2.., 0x1_D000..0x1_D200) if data.len() == 6 => {
                        out.bds.insert(((col, row), bd(0x1_D000)), data.clone());
                    }
                    (1, 0xA_0000..0xA_0600) if data.len() == 8 => {
                        out.bds.insert(((col, row), bd(0xA_0000)), data.clone());
                    }
                    _ => panic!("a block of {} words at {}", data.len(), ArrayAddress::decode(*first)),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    for (addr, writes) in masked {
        masked_register(addr, &writes, &mut out, &mut switches);
    }
    switches.trace(&mut out);
    out
}

fn register(addr: u32, value: u32, out: &mut Array, switches: &mut Switches) {
    let ArrayAddress { col, row, offset } = ArrayAddress::decode(addr);
    let at = (col, row);
    match (row, offset) {
        (2.., 0x1_F000..0x1_F100) => drop(out.locks.insert((at, ((offset - 0x1_F000) / 0x10) as u8), value)),
        (1, 0xC_0000..0xC_0400) => drop(out.locks.insert((at, ((offset - 0xC_0000) / 0x10) as u8), value)),
        // queues: four bytes behind the control registers, eight bytes a channel, S2MM first
        (2.., 0x1_DE04 | 0x1_DE0C) => drop(out.starts.insert((at, 0, ((offset - 0x1_DE04) / 8) as u8), value)),
        (2.., 0x1_DE14 | 0x1_DE1C) => drop(out.starts.insert((at, 1, ((offset - 0x1_DE14) / 8) as u8), value)),
        (1, 0xA_0604..0xA_0630) if offset % 8 == 4 => {
            out.starts.insert((at, 0, ((offset - 0xA_0604) / 8) as u8), value);
        }
        (1, 0xA_0634..0xA_0660) if offset % 8 == 4 => {
            out.starts.insert((at, 1, ((offset - 0xA_0634) / 8) as u8), value);
        }
        (0 | 2.., 0x3_F000..0x3_F400) => switches.word(at, offset - 0x3_F000, value),
        (1, 0xB_0000..0xB_0400) => switches.word(at, offset - 0xB_0000, value),
        _ => panic!("{value:#x} is written to {}", ArrayAddress::decode(addr)),
    }
}

/// Masked writes to one register, in order: pulses of reset, the start of cores, muxes of shims, cascades.
fn masked_register(addr: u32, writes: &[(u32, u32)], out: &mut Array, switches: &mut Switches) {
    let ArrayAddress { col, row, offset } = ArrayAddress::decode(addr);
    match (row, offset) {
        // disabled; reset and released; enabled if there is a program
        (2.., 0x3_2000) => {
            let pulse = [(1, 0), (2, 2), (2, 0)];
            let runs = out.programs.contains_key(&(col, row));
            let expected = if runs { [&pulse[..], &[(1, 1)]].concat() } else { pulse.to_vec() };
            assert_eq!(writes, expected, "control of core {col}, {row}");
        }
        // channels are reset and released, by aiecc too in compute tiles
        (2.., 0x1_DE00..=0x1_DE18) | (1, 0xA_0600..=0xA_0658) if offset % 8 == 0 => {
            assert_eq!(writes, [(2, 2), (2, 0)])
        }
        (0, shim_mux::OFFSET | shim_demux::OFFSET) => switches.muxes.extend(writes.iter().map(|w| ((col, offset), *w))),
        (2.., 0x3_6060) => {
            for &(mask, value) in writes.iter().filter(|(mask, _)| mask & 2 != 0) {
                assert!(mask <= 3);
                let to = if value & 2 == 0 { (col, row - 1) } else { (col + 1, row) };
                out.cascades.insert(((col, row), to));
            }
        }
        _ => panic!("masked writes to {}", ArrayAddress::decode(addr)),
    }
}

/// Words of the stream switches.
#[derive(Default)]
struct Switches {
    columns: u8,
    masters: BTreeMap<(At, u8), u32>,
    slaves: BTreeMap<(At, u8), u32>,
    slots: BTreeMap<(At, u32), u32>,
    /// Mask and value by column and offset.
    muxes: BTreeSet<((u8, u32), (u32, u32))>,
}

impl Switches {
    fn word(&mut self, at: At, offset: u32, value: u32) {
        match offset {
            0..0x100 => drop(self.masters.insert((at, (offset / 4) as u8), value)),
            0x100..0x200 => drop(self.slaves.insert((at, ((offset - 0x100) / 4) as u8), value)),
            _ => drop(self.slots.insert((at, offset - 0x200), value)),
        }
    }

    /// Follows every stream from where it begins to where it ends; no connection is left over.
    fn trace(self, out: &mut Array) {
        let tile = |(col, row): At| Tile { col: aie2_array::Col(col), row: aie2_array::Row(row) };
        let mut feeds: BTreeMap<(At, u8), Vec<u8>> = BTreeMap::new();
        let (mut connections, mut tokens) = (0, BTreeMap::new());
        for (&(at, master), &word) in &self.masters {
            match MasterWord::decode(word).expect("a master that is on") {
                MasterWord::Circuit { slave } => {
                    feeds.entry((at, slave)).or_default().push(master);
                    connections += 1;
                }
                MasterWord::Packet { arbiter, msels, drop_header: false } => {
                    let port = route::master_port(tile(at).kind(), master).expect("a port");
                    assert_eq!((at.1, port.bundle, port.index), (0, Bundle::South, 0), "tokens go south");
                    tokens.insert(at.0, (arbiter, msels));
                }
                other => panic!("{at:?}: {other:?}"),
            }
        }
        for (&(at, slave), &word) in &self.slaves {
            let SlaveWord { packet } = SlaveWord::decode(word).expect("a slave that is on");
            assert_eq!(packet, !feeds.contains_key(&(at, slave)), "slave {slave} of {at:?}");
            if packet {
                let port = route::slave_port(tile(at).kind(), slave).expect("a port");
                assert_eq!((at.1, port.bundle), (0, Bundle::TileCtrl));
                let slot = SlotWord::decode(self.slots[&(at, 0x10 * u32::from(slave))]).expect("a slot that is on");
                assert_eq!((slot.mask, tokens[&at.0]), (31, (slot.arbiter, 1 << slot.msel)));
                out.tokens.insert(at.0, slot.id);
            }
        }
        assert_eq!((self.slots.len(), tokens.len()), (out.tokens.len(), out.tokens.len()));
        let (mut used, mut muxes) = (0, BTreeSet::new());
        for &(at, slave) in feeds.keys() {
            let Some(source) = self.end(tile(at), route::slave_port(tile(at).kind(), slave), 1, &mut muxes) else {
                continue;
            };
            let mut open = vec![(at, slave)];
            while let Some(here) = open.pop() {
                for &master in &feeds[&here] {
                    used += 1;
                    match route::across(tile(here.0), master, self.columns) {
                        Some((there, slave)) => open.push(((there.col.0, there.row.0), slave)),
                        None => {
                            let port = route::master_port(tile(here.0).kind(), master);
                            let sink = self.end(tile(here.0), port, 0, &mut muxes).expect("a stream ends somewhere");
                            out.circuits.insert((source, sink));
                        }
                    }
                }
            }
        }
        assert_eq!((used, &muxes), (connections, &self.muxes), "connections and muxes that no circuit uses");
    }

    /// Where a circuit begins or ends at a port, if it does; shims have a mux between.
    fn end(
        &self,
        tile: Tile,
        port: Option<route::SwitchPort>,
        direction: u8,
        muxes: &mut BTreeSet<((u8, u32), (u32, u32))>,
    ) -> Option<End> {
        let (port, at) = (port.expect("a port"), (tile.col.0, tile.row.0));
        match (port.bundle, tile.kind()) {
            (Bundle::Core, _) => Some((at, true, port.index)),
            (Bundle::Dma, _) => Some((at, false, port.index)),
            (Bundle::South, TileKind::Shim) => {
                // MM2S 0 and 1 enter at South 3 and 7, S2MM 0 and 1 leave by South 2 and 3
                let ports: [u8; 2] = if direction == 1 { [3, 7] } else { [2, 3] };
                let index = ports.iter().position(|south| *south == port.index).expect("a DMA's port") as u8;
                let (offset, select) = if direction == 1 {
                    (shim_mux::OFFSET, shim_mux::select(Channel { direction: Direction::Mm2s, index }))
                } else {
                    (shim_demux::OFFSET, shim_demux::select(Channel { direction: Direction::S2mm, index }))
                };
                muxes.insert(((at.0, offset), select));
                Some((at, false, index))
            }
            _ => None,
        }
    }
}
