//! The runtime stream of one dispatch.
//!
//! ```text
//! push  MM2S 0   q, its first row again for positions that are not there
//! push  MM2S 1   the plan, until a slot of B is full
//! up to 64 turns at a time:
//!   push  MM2S 0   K, V of lane c                                   a chain of 2, iterated
//!   push  MM2S 1   K of head c of lanes 0 .. 3, V of them           a chain of 2, or of 8 where a lane is longer than a step of a BD
//! push  S2MM 0   outputs; rows of positions that are not there go to scratch
//! wait  MM2S 0, MM2S 1, S2MM 0
//! ```
//! A channel takes a second task sooner if other channels are served in between. Of the 16 BDs of a shim the outputs hold two, B one chain of 8
//! or several of 2, and A two or three.

use aie2_array::device::{QUEUE_DEPTH, TileKind};
use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{KvFormat, KvSegment, Plane};

use super::l1::{QUERY_BYTES, Sizes};
use super::plan::{BYTES, POSITIONS, Plan};
use crate::grid::GRID;

/// Host buffers by index.
pub mod arg {
    /// Queries.
    pub const Q: u32 = 0;
    /// Cache.
    pub const CACHE: u32 = 1;
    /// Plan.
    pub const PLAN: u32 = 2;
    /// Outputs.
    pub const CTX: u32 = 3;
    /// Where positions that are not there drain.
    pub const SCRATCH: u32 = 4;
}

const WORD: usize = 4;
/// Bytes of a position of q or of the outputs.
pub const POSITION_BYTES: usize = 8192;
/// Words of a position of one core's outputs.
const OUT_WORDS: u32 = 128;
/// Turns of a task: the largest iteration of a BD.
const TURNS_MAX: usize = 64;
/// BDs of a chain of A, of the outputs.
const A_CHAIN: usize = 2;
const OUT_CHAIN: usize = 2;
/// Tasks of A that leave room for a chain of B.
const A_TASKS: usize = 3;

/// Turns whose blocks follow each other in the cache on either stream.
struct Task {
    /// First groups of A and of B.
    groups: [usize; 2],
    turns: usize,
}

/// Both streams are cut at the same turns: no task waits for one of the other stream that is pushed after it.
fn tasks(plan: &Plan) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    for (a, b) in plan.streams[0].iter().zip(&plan.streams[1]) {
        let groups = [a.group, b.group];
        let follows = |task: &Task| task.turns < TURNS_MAX && task.groups.map(|first| first + 2 * task.turns) == groups;
        match tasks.last_mut() {
            Some(task) if follows(task) => task.turns += 1,
            Some(_) | None => tasks.push(Task { groups, turns: 1 }),
        }
    }
    tasks
}

/// Builds the stream.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(segment: &KvSegment, plan: &Plan, tokens: usize) -> Result<Stream, Error> {
    let mut rt = Runtime::new(GRID)?;
    let sizes = Sizes::new(segment.heads().format());
    for col in 0..GRID {
        let padded = (POSITIONS - tokens) as u32;
        if sizes.cache == KvFormat::Int8 {
            let records = |positions| queries(sizes, col, positions);
            rt.task(col, Mm2s(0), &records(tokens), 1, padded == 0)?;
            if padded > 0 {
                rt.task(col, Mm2s(0), &records(1), padded, true)?;
            }
            continue;
        }
        let q = ShimBd::linear(arg::Q, 0, (tokens * POSITION_BYTES) as u64)?;
        rt.task(col, Mm2s(0), &q, 1, padded == 0)?;
        if padded > 0 {
            rt.task(col, Mm2s(0), &ShimBd::linear(arg::Q, 0, POSITION_BYTES as u64)?, padded, true)?;
        }
    }
    for col in 0..GRID {
        let plan = ShimBd::linear(arg::PLAN, 0, BYTES as u64)?;
        rt.task(col, Mm2s(1), &plan, sizes.b_slot() / BYTES as u32, true)?;
    }
    for Task { groups: [a, b], turns } in tasks(plan) {
        for col in 0..GRID {
            room(&mut rt, col, Mm2s(0), A_CHAIN, A_TASKS)?;
            rt.task_chain(col, Mm2s(0), &rows(segment, col, (a, turns)), turns as u32, true)?;
        }
        for col in 0..GRID {
            let chain = columns(segment, col, (b, turns));
            room(&mut rt, col, Mm2s(1), chain.len(), QUEUE_DEPTH)?;
            rt.task_chain(col, Mm2s(1), &chain, turns as u32, true)?;
        }
    }
    for col in 0..GRID {
        while rt.free_bds(col) < OUT_CHAIN {
            rt.wait(col, Mm2s(0))?;
        }
        outputs(&mut rt, col, tokens)?;
    }
    // the outputs come last of all: what the first and every other token cost passes before them
    for channel in [Mm2s(0), Mm2s(1)] {
        for col in 0..GRID {
            while rt.in_flight(col, channel) > 0 {
                rt.wait(col, channel)?;
            }
        }
    }
    rt.wait_all()?;
    rt.finish()
}

/// Waits until a channel can take a chain of `bds`, with fewer than `tasks` others in flight.
fn room(rt: &mut Runtime, col: u8, channel: Mm2s, bds: usize, tasks: usize) -> Result<(), Error> {
    while rt.free_bds(col) < bds || rt.in_flight(col, channel) >= tasks {
        rt.wait(col, channel)?;
    }
    Ok(())
}

/// A record for each column of a row of cores, its queries inside: that fills the slot of a mem tile as a block does.
fn queries(sizes: Sizes, row: u8, positions: usize) -> ShimBd {
    let at = u32::from(row) * u32::from(GRID) * QUERY_BYTES - sizes.query_lead(row);
    let words = |bytes: u32| bytes / WORD as u32;
    let records = [(1, words(sizes.record)), (words(QUERY_BYTES), GRID.into())];
    let pattern = match positions {
        1 => Pattern::new(&records),
        _ => Pattern::new(&[records[0], records[1], (words(POSITION_BYTES as u32), positions as u32)]),
    };
    ShimBd::new(arg::Q, u64::from(at), pattern)
}

/// Two groups of a lane, K and V.
fn rows(segment: &KvSegment, col: u8, (group, turns): (usize, usize)) -> Vec<ShimBd> {
    let words = (2 * segment.heads().group_bytes() / WORD) as u32;
    let pattern = Pattern::linear(words).iterate(words, turns as u8);
    let at = |plane| segment.groups_span(plane, usize::from(col), group..group + 2).0 as u64;
    [Plane::Key, Plane::Value].map(|plane| ShimBd::new(arg::CACHE, at(plane), pattern.clone())).into()
}

/// Two groups of one head of every lane, K of all, then V of all: a BD for either where a step of it spans a lane, else one for each lane.
fn columns(segment: &KvSegment, col: u8, (group, turns): (usize, usize)) -> Vec<ShimBd> {
    let record_bytes = segment.heads().record_bytes();
    let record = (record_bytes / WORD) as u32;
    let stride = u32::from(GRID) * record;
    let lane_words = segment.lane_bytes() / WORD;
    let at =
        |plane, lane| (segment.groups_span(plane, lane, group..group + 2).0 + usize::from(col) * record_bytes) as u64;
    let block = [(1, record), (stride, 2)];
    let planes = [Plane::Key, Plane::Value];
    if lane_words <= TileKind::Shim.dma().step_words as usize {
        let pattern =
            Pattern::new(&[block[0], block[1], (lane_words as u32, GRID.into())]).iterate(2 * stride, turns as u8);
        return planes.map(|plane| ShimBd::new(arg::CACHE, at(plane, 0), pattern.clone())).into();
    }
    let pattern = Pattern::new(&block).iterate(2 * stride, turns as u8);
    let chain = planes.into_iter().flat_map(|plane| (0..usize::from(GRID)).map(move |lane| (plane, lane)));
    chain.map(|(plane, lane)| ShimBd::new(arg::CACHE, at(plane, lane), pattern.clone())).collect()
}

/// Outputs of the column's cores, one after the other, positions in order.
fn outputs(rt: &mut Runtime, col: u8, tokens: usize) -> Result<(), Error> {
    let position = (POSITION_BYTES / WORD) as u32;
    let row = u32::from(GRID) * OUT_WORDS;
    let valid = Pattern::new(&[(1, OUT_WORDS), (position, tokens as u32)]).iterate(row, GRID);
    let mut chain = vec![ShimBd::new(arg::CTX, u64::from(col) * u64::from(OUT_WORDS) * WORD as u64, valid)];
    let padded = (POSITIONS - tokens) as u32;
    if padded > 0 {
        let pad = usize::from(col) * super::SCRATCH_COLUMN_BYTES;
        chain.push(ShimBd::new(arg::SCRATCH, pad as u64, Pattern::linear(padded * OUT_WORDS)));
    }
    rt.task_chain(col, S2mm(0), &chain, u32::from(GRID), true)
}
