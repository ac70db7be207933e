//! The runtime stream of one dispatch: words of the cores, then phase after phase; each leaves nothing in flight.

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Runtime, S2mm, ShimBd, Tile};
use npu_package::layout::{Panels, ProjectionShape, UNIT_BYTES};

use super::array::{self, NORM_ROPE, Rings, ring, words};
use super::{AttentionLayer, Extent, NORM_BYTES, arg};
use crate::attention::scaled;
use crate::norm_rope::{Buffers, Call, Place};
use crate::w8a8::{GRID, stream as projection};

/// Units of A, or pairs of B, that one task of every ring takes: three entries of its queue, one is left for a broken round.
const UNITS_PER_TASK: usize = 3 * 256 * 4;

/// Operands of `norm_rope`.
pub fn norm_buffers() -> Buffers {
    let whole = |arg| Place { arg, offset: 0 };
    Buffers { qkv: whole(arg::QKV), weights: whole(arg::NORMS), tables: whole(arg::ROTATIONS), q: whole(arg::Q) }
}

/// Units of B that a block of a projection takes.
fn b_units(shape: &ProjectionShape) -> usize {
    let panels = shape.panels();
    shape.m() * 2 * panels.inputs() / UNIT_BYTES + panels.passes() * panels.units()
}

/// Units that make them even.
pub fn idle_units(shape: &ProjectionShape) -> u32 {
    (b_units(shape) % 2) as u32
}

/// Units of A with tables.
pub fn segments(call: &Call) -> u32 {
    let [head, groups, tail] = call.words();
    u32::from(head > 0) + groups + u32::from(tail > 0)
}

/// Builds the stream.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(layer: &AttentionLayer, rings: &Rings) -> Result<Stream, Error> {
    let mut rt = Runtime::new(GRID)?;
    let [head, groups, tail] = layer.call().words();
    let segments = segments(layer.call());
    let idle = (1 + segments) % 2;
    let blocks = layer.qkv.blocks() as u32;
    for col in 0..GRID {
        for row in 0..GRID {
            rt.write_words(Tile::core(col, row), words::AT & 0xFFFF, &[blocks, blocks, idle])?;
        }
    }
    let args = projection::Args { x: arg::X, weights: arg::QKV_WEIGHTS, y: arg::QKV, scratch: arg::SCRATCH };
    if layer.extent != Extent::Attention {
        project(&mut rt, rings, &layer.qkv, args)?;
    }

    let rounds = head + 4 * groups + tail;
    queue(&mut rt, rings, ring::NORM_ROPE, [1 + segments + idle, rounds])?;
    if idle > 0 {
        let weights = ShimBd::linear(arg::NORMS, 0, NORM_BYTES as u64)?;
        for col in 0..GRID {
            rt.task(col, Mm2s(0), &weights, array::UNIT_BYTES / NORM_BYTES as u32, false)?;
        }
    }
    layer.call().append(&mut rt, &NORM_ROPE)?;
    if !rounds.is_multiple_of(2) {
        let turn = ShimBd::linear(arg::SCRATCH, 0, array::OUT_TURN_BYTES as u64)?;
        for col in 0..GRID {
            rt.task(col, S2mm(0), &turn, 1, true)?;
        }
        rt.wait_all()?;
    }

    if layer.extent != Extent::Projections {
        attend(&mut rt, rings, layer)?;
    }
    let args = projection::Args { x: arg::CTX, weights: arg::O_WEIGHTS, y: arg::O, scratch: arg::SCRATCH };
    if layer.extent != Extent::Attention {
        project(&mut rt, rings, &layer.o, args)?;
    }
    rt.finish()
}

fn attend(rt: &mut Runtime, rings: &Rings, layer: &AttentionLayer) -> Result<(), Error> {
    let args =
        scaled::stream::Args { q: arg::Q, cache: arg::CACHE, plan: arg::PLAN, ctx: arg::CTX, scratch: arg::SCRATCH };
    scaled::stream::append(&layer.attention, args, rt, UNITS_PER_TASK, |rt, units| {
        queue(rt, rings, ring::ATTENTION, units.map(|units| units as u32))
    })
}

/// Tasks of all rings of A and of B. What leaves them has been read by cores before the last outputs of a phase: those of column 0 stand for A,
/// which every core of a row sees, and each column's for its B.
fn queue(rt: &mut Runtime, rings: &Rings, phase: usize, [a, b]: [u32; 2]) -> Result<(), Error> {
    for (col, (of_a, of_b)) in (0..GRID).zip(rings.a.iter().zip(&rings.b)) {
        rt.ring(of_a, phase, a, 0, S2mm(0))?;
        rt.ring(of_b, phase, b, col, S2mm(0))?;
    }
    Ok(())
}

fn project(rt: &mut Runtime, rings: &Rings, shape: &ProjectionShape, args: projection::Args) -> Result<(), Error> {
    let panels = shape.panels();
    // scale columns stand in front of the codes and behind them
    let columns = panels.passes() * (panels.inputs() / 256) + 2;
    let units = b_units(shape) as u32 + idle_units(shape);
    for block in 0..shape.blocks() {
        queue(rt, rings, ring::PROJECTION, [columns as u32, units])?;
        if idle_units(shape) > 0 {
            for col in 0..GRID {
                let at = Panels::group_offset(panels, usize::from(col), 0) as u64;
                rt.task(col, Mm2s(1), &ShimBd::linear(args.weights, at, UNIT_BYTES as u64)?, 1, true)?;
            }
            // its place in the queue belongs to the rows of x
            for col in 0..GRID {
                rt.wait(col, Mm2s(1))?;
            }
        }
        projection::Block { shape, args, block }.emit(rt)?;
    }
    Ok(())
}
