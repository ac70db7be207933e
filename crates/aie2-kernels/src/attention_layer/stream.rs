//! The runtime stream of one dispatch: words of the cores, then phase after phase; each leaves nothing in flight.

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Runtime, S2mm, Tile};
use npu_package::layout::{ProjectionShape, UNIT_BYTES};

use super::array::{self, NORM_ROPE, Rings, ring, words};
use super::{AttentionLayer, Extent, NORM_BYTES, Places, Step};
use crate::attention::scaled;
use crate::grid::tile_offset;
use crate::norm_rope::Call;
use crate::w8a8::{GRID, stream as projection};

/// Units of A, or pairs of B, that one task of every ring takes: three entries of its queue, one is left for a broken round.
const UNITS_PER_TASK: usize = 3 * 256 * 4;

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

/// Builds the stream, with the operations up to the end of each step.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(layer: &AttentionLayer, rings: &Rings) -> Result<(Stream, Vec<(Step, usize)>), Error> {
    let mut steps = Vec::new();
    let mut rt = Runtime::new(GRID)?;
    let [head, groups, tail] = layer.call().words();
    let segments = segments(layer.call());
    let idle = (1 + segments) % 2;
    let blocks = layer.qkv.blocks() as u32;
    // cores read them in the last pass of a block and behind it
    let words = |rt: &mut Runtime| {
        let words = [blocks, blocks, idle];
        let mut cores = (0..GRID).flat_map(|col| (0..GRID).map(move |row| Tile::core(col, row)));
        cores.try_for_each(|core| rt.write_words(core, tile_offset(words::AT), &words))?;
        layer.call().parameters(rt, &NORM_ROPE)
    };
    let places = layer.places;
    let Places { x, qkv_weights: weights, qkv: y, work: scratch, .. } = places;
    let args = projection::Args { x, weights, y, scratch };
    let rounds = head + 4 * groups + tail;
    // A's first units depend on nothing that is computed
    let norm_rings = |rt: &mut Runtime| {
        queue_a(rt, rings, ring::NORM_ROPE, 1 + segments + idle)?;
        if idle > 0 {
            let weights = places.norms.linear(0, NORM_BYTES as u64)?;
            for col in 0..GRID {
                rt.task(col, Mm2s(0), &weights, array::UNIT_BYTES / NORM_BYTES as u32, false)?;
            }
        }
        layer.call().ahead(rt)?;
        queue_b(rt, rings, ring::NORM_ROPE, rounds)
    };
    if layer.extent == Extent::Attention {
        words(&mut rt)?;
        norm_rings(&mut rt)?;
    } else {
        // every dispatch ends with the output projection
        rings.a.iter().chain(&rings.b).try_for_each(|queued| rt.ring_stands(queued, ring::PROJECTION))?;
        queue_b(&mut rt, rings, ring::PROJECTION, b_pairs(&layer.qkv))?;
        project(&mut rt, rings, &layer.qkv, args, words, |rt| {
            rest(rt, rings)?;
            norm_rings(rt)
        })?;
        rt.mark();
        steps.push(Step::Qkv);
    }

    layer.call().tasks(&mut rt, |rt| {
        rest(rt, rings)?;
        match layer.extent {
            Extent::Whole | Extent::Attention => attention_rings(rt, rings, layer.first_units()),
            Extent::Projections => queue_b(rt, rings, ring::PROJECTION, b_pairs(&layer.o)),
        }
    })?;
    if !rounds.is_multiple_of(2) {
        let turn = scratch.linear(0, array::OUT_TURN_BYTES as u64)?;
        for col in 0..GRID {
            rt.task(col, S2mm(0), &turn, 1, true)?;
        }
        rt.wait_all()?;
    }
    rt.mark();
    steps.push(Step::NormRope);

    if layer.extent != Extent::Projections {
        attend(&mut rt, rings, layer)?;
        rt.mark();
        steps.push(Step::Attention);
    }
    let args = projection::Args { x: places.ctx, weights: places.o_weights, y: places.o, scratch };
    if layer.extent != Extent::Attention {
        project(&mut rt, rings, &layer.o, args, |_| Ok(()), |_| Ok(()))?;
        rt.mark();
        steps.push(Step::O);
    }
    let stream = rt.finish()?;
    let ends = steps.into_iter().zip(stream.marks.iter().copied()).collect();
    Ok((stream, ends))
}

impl AttentionLayer {
    /// Units that the first passes of attention move.
    fn first_units(&self) -> [usize; 2] {
        scaled::stream::first_units(&self.attention, UNITS_PER_TASK)
    }
}

fn attention_rings(rt: &mut Runtime, rings: &Rings, [a, b]: [usize; 2]) -> Result<(), Error> {
    queue_a(rt, rings, ring::ATTENTION, a as u32)?;
    queue_b(rt, rings, ring::ATTENTION, b as u32)
}

/// The passes, their first tasks of A and of B queued; behind them B is queued for the output projection.
fn attend(rt: &mut Runtime, rings: &Rings, layer: &AttentionLayer) -> Result<(), Error> {
    let Places { q, cache, plan, ctx, work: scratch, .. } = layer.places;
    let args = scaled::stream::Args { q, cache, plan, ctx, scratch };
    scaled::stream::append(
        &layer.attention,
        args,
        rt,
        UNITS_PER_TASK,
        |rt, units| attention_rings(rt, rings, units),
        |rt| {
            if layer.extent == Extent::Attention {
                return Ok(());
            }
            rest(rt, rings)?;
            queue_b(rt, rings, ring::PROJECTION, b_pairs(&layer.o))
        },
    )
}

/// Waits until no ring holds anything.
fn rest(rt: &mut Runtime, rings: &Rings) -> Result<(), Error> {
    rings.a.iter().chain(&rings.b).try_for_each(|ring| rt.ring_rests(ring))
}

/// Tasks of all rings of A. What leaves them has been read by cores before the last outputs of a phase: those of column 0 stand for A, which every
/// core of a row sees, as each column's do for its B.
fn queue_a(rt: &mut Runtime, rings: &Rings, phase: usize, slots: u32) -> Result<(), Error> {
    rings.a.iter().try_for_each(|ring| rt.ring(ring, phase, slots, 0, S2mm(0)))
}

/// Tasks of all rings of B.
fn queue_b(rt: &mut Runtime, rings: &Rings, phase: usize, slots: u32) -> Result<(), Error> {
    (0..GRID).zip(&rings.b).try_for_each(|(col, ring)| rt.ring(ring, phase, slots, col, S2mm(0)))
}

/// Pairs of units of B that a block of a projection takes, an idle one included.
fn b_pairs(shape: &ProjectionShape) -> u32 {
    (b_units(shape) as u32 + idle_units(shape)) / 2
}

/// All blocks of a projection, B queued for the first one. What `beside` appends comes in the first one, what `behind` appends in the last one, when
/// rings may be told of the next phase. A's are queued while rows of x pass on B.
fn project(
    rt: &mut Runtime,
    rings: &Rings,
    shape: &ProjectionShape,
    args: projection::Args,
    beside: impl FnOnce(&mut Runtime) -> Result<(), Error>,
    behind: impl FnOnce(&mut Runtime) -> Result<(), Error>,
) -> Result<(), Error> {
    let panels = shape.panels();
    // scale columns stand in front of the codes and behind them
    let columns = panels.passes() * (panels.inputs() / 256) + 2;
    let (mut beside, mut behind) = (Some(beside), Some(behind));
    for block in 0..shape.blocks() {
        let begun = |rt: &mut Runtime| {
            queue_a(rt, rings, ring::PROJECTION, columns as u32)?;
            if let Some(beside) = beside.take() {
                beside(rt)?;
            }
            // BDs of what the records lead to are written while these are under way
            rt.early();
            Ok(())
        };
        let ending = |rt: &mut Runtime| {
            if block + 1 == shape.blocks() {
                return behind.take().map_or(Ok(()), |behind| behind(rt));
            }
            rings.b.iter().try_for_each(|ring| rt.ring_rests(ring))?;
            queue_b(rt, rings, ring::PROJECTION, b_pairs(shape))
        };
        projection::Block { shape, args, block, idle: idle_units(shape) > 0 }.emit_among_others(rt, begun, ending)?;
    }
    Ok(())
}
