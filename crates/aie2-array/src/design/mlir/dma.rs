//! DMA regions: a `dma_start` for every endless chain, a block for every BD.

use super::text::{Op, Text, WORD, i32};
use super::{Error, Values, direction};
use crate::bd::BdShape;
use crate::design::{Chain, Design, Ring, Step};
use crate::device::{Channel, Direction, Tile, TileKind};
use crate::regs::MemPad;

/// Positions a dimension of `dma_bd` may have.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIE/IR/AIEDialect.cpp DMABDOp::verify (512); Xilinx/aie-rt driver/src/dma/xaie_dma_aieml.c
// _XAieMl_DmaSetMultiDim, driver/src/global/xaiemlgbl_reginit.c WrapMax (256 in compute tiles, the outermost dimension too).
const SIZE_MAX: u32 = 512;
const CORE_SIZE_MAX: u32 = 256;

/// `LockAction`.
const RELEASE: u32 = 1;
const ACQUIRE_AT_LEAST: u32 = 2;

/// The operation of a tile's DMA, if it has endless chains.
pub(super) fn region(design: &Design, tile: Tile, text: &mut Text, values: &Values) -> Result<(), Error> {
    let (name, result) = match tile.kind() {
        TileKind::Core => ("aie.mem", "mem"),
        TileKind::Mem => ("aie.memtile_dma", "memtile_dma"),
        TileKind::Shim => unreachable!("rings live in compute and mem tiles"),
    };
    let of_tile = design.chains.iter().filter(|((at, _), chain)| *at == tile && chain.endless);
    let chains: Vec<(Channel, &Chain)> = of_tile.map(|(&(_, channel), chain)| (channel, chain)).collect();
    if chains.is_empty() {
        return Ok(());
    }
    let result = format!("{result}_{}_{}", tile.col.0, tile.row.0);
    text.region(Some(&result), Op::new(name).on([&values.tiles[&tile]]), |text| {
        let mut block = 0;
        for &(channel, chain) in &chains {
            if block > 0 {
                text.block(block);
            }
            let (first, behind) = (block + 1, block + 1 + chain.steps.len());
            let start = Op::new("aie.dma_start").to([first, behind]);
            let start = start.with("channel_dir", i32(direction(channel.direction)));
            let start = start.with("channel_index", i32(channel.index)).with("repeat_count", i32(0));
            text.value(&format!("start_{block}"), "i1", start);
            for (at, step) in chain.steps.iter().enumerate() {
                text.block(first + at);
                let next = first + (at + 1) % chain.steps.len();
                bd(design, channel, step, text, values)?;
                text.op(Op::new("aie.next_bd").to([next]));
            }
            block = behind;
        }
        text.block(block);
        text.end();
        Ok(())
    })
}

fn bd(design: &Design, channel: Channel, step: &Step, text: &mut Text, values: &Values) -> Result<(), Error> {
    let ring: &Ring = &design.rings[step.ring];
    let (side, acquired, released) = match channel.direction {
        Direction::S2mm => (&ring.writer, ring.prod, ring.cons),
        Direction::Mm2s => (&ring.reader, ring.cons, ring.prod),
    };
    let parts = side.as_ref().expect("a chain is a side of its rings").parts;
    let credits = text.value(
        &format!("credits_{}", step.bd),
        WORD,
        Op::new("arith.constant").with("value", i32(ring.unit() / parts)),
    );
    let use_lock = |lock: u8, action: u32| {
        Op::new("aie.use_lock").on([&values.locks[&(ring.tile, lock)], &credits]).with("action", i32(action))
    };
    text.op(use_lock(acquired, ACQUIRE_AT_LEAST));
    text.op(transfer(ring.tile, channel, step)?.on([&values.buffers[&(step.ring, step.slot)]]));
    text.op(use_lock(released, RELEASE));
    Ok(())
}

fn transfer<'a>(tile: Tile, channel: Channel, step: &Step) -> Result<Op<'a>, Error> {
    let (shape, bd) = (&step.shape, step.bd);
    let mut op = Op::new("aie.dma_bd").with("bd_id", i32(bd));
    if let Some(iteration) = shape.iteration {
        let (size, stride) = (iteration.count, iteration.step_words);
        op = op.with("iteration", format!("#aie.bd_iteration<size = {size}, stride = {stride}, current = 0>"));
    }
    // buffer; offset, length, sizes and strides are constants
    op = op.with("operandSegmentSizes", "array<i32: 1, 0, 0, 0, 0>");
    let most = tile.kind().dma().dims;
    let limit = if tile.kind() == TileKind::Core { CORE_SIZE_MAX } else { SIZE_MAX };
    let dims = dims(shape, most);
    let dims = if shape.pad == MemPad::default() { split(dims, limit, most) } else { dims };
    if let Some((dimension, &(size, _))) = dims.iter().enumerate().find(|(_, (size, _))| *size > limit) {
        return Err(Error::Dimension { tile, channel, bd, dimension, size, limit });
    }
    if shape.pad != MemPad::default() {
        if dims.len() > shape.pad.before.len() {
            return Err(Error::PaddedDims { tile, channel, bd });
        }
        let pad = |d: usize| {
            format!("<const_pad_before = {}, const_pad_after = {}>", shape.pad.before[d], shape.pad.after[d])
        };
        let pads: Vec<String> = (0..dims.len()).rev().map(pad).collect();
        op = op.with("pad_dimensions", format!("#aie<bd_pad_layout_array[{}]>", pads.join(", ")));
    }
    op = op.with("static_len", i32(shape.length_words)).with("static_offset", i32(shape.offset_words));
    if !dims.is_empty() {
        // outermost first
        let list = |of: fn(&(u32, u32)) -> u32| {
            let values: Vec<String> = dims.iter().rev().map(|dim| of(dim).to_string()).collect();
            format!("array<i64: {}>", values.join(", "))
        };
        op = op.with("static_sizes", list(|dim| dim.0)).with("static_strides", list(|dim| dim.1));
    }
    Ok(op)
}

/// Size and stride of every dimension, innermost first; none if the words follow each other.
fn dims(shape: &BdShape, most: usize) -> Vec<(u32, u32)> {
    let padding = |k: usize| {
        let [before, after] = [&shape.pad.before, &shape.pad.after].map(|pad| pad.get(k).copied().unwrap_or(0));
        u32::from(before) + u32::from(after)
    };
    let wrapped = shape.wraps[..most - 1].iter().take_while(|wrap| **wrap > 0);
    let mut dims: Vec<(u32, u32)> = wrapped.enumerate().map(|(k, &wrap)| (wrap, shape.steps[k])).collect();
    let inner: u32 = dims.iter().enumerate().map(|(k, (size, _))| size + padding(k)).product();
    // what no wrap bounds ends with the length
    let outer = (shape.length_words / inner, shape.steps[dims.len()]);
    if outer.0 > 1 && (!dims.is_empty() || outer.1 > 1) {
        dims.push(outer);
    }
    dims
}

/// Splits dimensions longer than `limit` into two by the smallest factor that helps, as far as there are dimensions left. The order of words does
/// not change.
fn split(mut dims: Vec<(u32, u32)>, limit: u32, most: usize) -> Vec<(u32, u32)> {
    while dims.len() < most {
        let Some(k) = dims.iter().position(|(size, _)| *size > limit) else { break };
        let (size, stride) = dims[k];
        let Some(outer) = (size.div_ceil(limit)..size).find(|outer| size.is_multiple_of(*outer)) else { break };
        let inner = size / outer;
        dims[k] = (inner, stride);
        dims.insert(k + 1, (outer, stride * inner));
    }
    dims
}
