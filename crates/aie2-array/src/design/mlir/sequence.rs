//! The runtime sequence: data of block writes, constants, one operation for every one of the stream.
//!
//! Constants and data are named once, by their value, in front of the operations that use them.

use std::collections::BTreeMap;

use npu_container::txn::{DDR_APERTURE, Direction, FIRMWARE_TRANSLATED_ARGUMENTS, Op as Run};

use super::text::{Op, Text, Value, WORD, dense, i32, string, ui32, words_type};
use super::{Error, Module, SEQUENCE};
use crate::device::DMA_ALIGN_BYTES;
use crate::regs::mem_bd_offset;

/// Writes the data of block writes and the runtime sequence.
pub(super) fn sequence(module: &Module<'_>, text: &mut Text) -> Result<(), Error> {
    let operations: Vec<Run> = stored(module).chain(module.operations.iter().cloned()).collect();
    let offset = operations.len() - module.operations.len();
    let mut globals: BTreeMap<&[u32], String> = BTreeMap::new();
    for operation in &operations {
        let Run::BlockWrite { data, .. } = operation else { continue };
        if globals.contains_key(&data[..]) {
            continue;
        }
        let symbol = text.symbol(&format!("words_{}", globals.len()));
        text.op(Op::new("memref.global")
            .with("constant", "")
            .with("initial_value", dense(data))
            .with("sym_name", string(&symbol))
            .with("sym_visibility", string("private"))
            .with("type", words_type(data.len())));
        globals.insert(data, symbol);
    }
    let arguments: Vec<String> = module.arguments.iter().map(|&bytes| argument(bytes)).collect();
    let op = Op::new("aie.runtime_sequence").with("sym_name", string(SEQUENCE));
    text.region(None, op, |text| {
        text.entry(&arguments);
        let mut words: BTreeMap<u32, Value> = BTreeMap::new();
        let mut data: BTreeMap<&[u32], Value> = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            let of_stream = at.saturating_sub(offset);
            let values = operands(module, of_stream, operation)?;
            for &word in &values {
                words.entry(word).or_insert_with(|| {
                    let constant = Op::new("arith.constant").with("value", i32(word as i32));
                    text.value(&format!("w{word:x}"), WORD, constant)
                });
            }
            if let Run::BlockWrite { data: block, .. } = operation
                && !data.contains_key(&block[..])
            {
                let symbol = &globals[&block[..]];
                let get = Op::new("memref.get_global").with("name", format!("@{symbol}"));
                data.insert(block, text.value(symbol, &words_type(block.len()), get));
            }
            let operands: Vec<&Value> = values.iter().map(|word| &words[word]).collect();
            text.op(match operation {
                Run::Write { .. } => Op::new("aiex.npu.write32").on(operands),
                Run::MaskWrite { .. } => Op::new("aiex.npu.maskwrite32").on(operands),
                Run::MaskPoll { .. } => Op::new("aiex.npu.maskpoll").on(operands),
                Run::BlockWrite { addr, data: block } => {
                    Op::new("aiex.npu.blockwrite").on([&data[&block[..]]]).with("address", ui32(*addr))
                }
                Run::Tct { .. } => Op::new("aiex.npu.sync").on(operands),
                Run::DdrPatch { register, arg_index, .. } => Op::new("aiex.npu.address_patch")
                    .on(operands)
                    .with("addr", ui32(*register))
                    .with("arg_idx", i32(*arg_index)),
                Run::MaskPollBusy { .. } | Run::Noop => unreachable!("refused with its operands"),
            });
        }
        Ok(())
    })
}

/// Block writes of the BDs of queued chains, as the configuration leaves them.
fn stored<'a>(module: &Module<'a>) -> impl Iterator<Item = Run> + use<'a> {
    let rings = module.configuration.queued.values();
    rings.flat_map(|ring| {
        let sides = ring.sides.iter().flat_map(|side| side.bds[0].iter().zip(&side.words[0]));
        sides.map(|(&bd, words)| Run::BlockWrite { addr: ring.tile.address(mem_bd_offset(bd)), data: words.clone() })
    })
}

fn argument(bytes: u64) -> String {
    let word = u64::from(DMA_ALIGN_BYTES);
    if bytes.is_multiple_of(word) { format!("memref<{}xi32>", bytes / word) } else { format!("memref<{bytes}xi8>") }
}

/// Words that an operation takes as values.
fn operands(module: &Module<'_>, index: usize, operation: &Run) -> Result<Vec<u32>, Error> {
    let none = |operation| Err(Error::Operation { index, operation });
    Ok(match *operation {
        Run::Write { addr, value } => vec![addr, value],
        Run::MaskWrite { addr, value, mask } | Run::MaskPoll { addr, value, mask } => vec![addr, value, mask],
        Run::BlockWrite { .. } => Vec::new(),
        Run::Tct { direction, col, row, cols, rows, channel } => {
            let direction = match direction {
                Direction::S2mm => 0,
                Direction::Mm2s => 1,
            };
            [col, row, direction, channel, cols, rows].map(u32::from).to_vec()
        }
        Run::DdrPatch { arg_index: argument, arg_plus: offset, .. } => {
            if argument as usize >= module.arguments.len() {
                return Err(Error::NoSuchArgument { index, argument, arguments: module.arguments.len() });
            }
            // aiecc adds the aperture itself
            let folded = if argument < FIRMWARE_TRANSLATED_ARGUMENTS { 0 } else { DDR_APERTURE };
            vec![offset.checked_sub(folded).ok_or(Error::BelowAperture { index, argument, offset })?]
        }
        Run::MaskPollBusy { .. } => return none("MASKPOLL_BUSY"),
        Run::Noop => return none("NOOP"),
    })
}
