//! The runtime stream of one dispatch.
//!
//! ```text
//! push  S2MM 0   outputs; rows of positions that are not there go to scratch
//! push  MM2S 1   the plan, until two units of B are full            MM2S 0   q, its first row again for positions that are not there
//! up to 64 turns at a time:
//!   push  MM2S 0   K, V of lane c                                   a chain of 2, iterated
//!   push  MM2S 1   K, V of head c of lane 0, .. of lane 3           a chain of 8: at 32k a lane is longer than a step of a BD
//! wait  S2MM 0
//! ```
//! Of the 16 BDs of a shim the outputs hold two, B one chain, and A two or three.

use aie2_array::device::QUEUE_DEPTH;
use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{KvSegment, Plane};

use super::array::{GRID, RECORD_WORDS};
use super::l1::{A_UNIT_BYTES, B_UNIT_BYTES};
use super::plan::{BYTES, POSITIONS, Plan};

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
/// BDs of a chain of A, of B.
const A_CHAIN: usize = 2;
const B_CHAIN: usize = 8;
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
    for col in 0..GRID {
        outputs(&mut rt, col, tokens)?;
        let plan = ShimBd::linear(arg::PLAN, 0, BYTES as u64)?;
        rt.task(col, Mm2s(1), &plan, 2 * B_UNIT_BYTES / BYTES as u32, true)?;
        let padded = (POSITIONS - tokens) as u32;
        let q = ShimBd::linear(arg::Q, 0, (tokens * POSITION_BYTES) as u64)?;
        rt.task(col, Mm2s(0), &q, 1, padded == 0)?;
        if padded > 0 {
            rt.task(col, Mm2s(0), &ShimBd::linear(arg::Q, 0, POSITION_BYTES as u64)?, padded, true)?;
        }
    }
    for Task { groups: [a, b], turns } in tasks(plan) {
        for col in 0..GRID {
            room(&mut rt, col, Mm2s(0), A_CHAIN, A_TASKS)?;
            rt.task_chain(col, Mm2s(0), &rows(segment, col, (a, turns)), turns as u32, true)?;
        }
        for col in 0..GRID {
            room(&mut rt, col, Mm2s(1), B_CHAIN, QUEUE_DEPTH)?;
            rt.task_chain(col, Mm2s(1), &columns(segment, col, (b, turns)), turns as u32, true)?;
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

/// Two groups of a lane, K and V.
fn rows(segment: &KvSegment, col: u8, (group, turns): (usize, usize)) -> Vec<ShimBd> {
    let words = 2 * A_UNIT_BYTES / WORD as u32;
    let pattern = Pattern::linear(words).iterate(words, turns as u8);
    let at = |plane| segment.groups_span(plane, usize::from(col), group..group + 2).0 as u64;
    [Plane::Key, Plane::Value].map(|plane| ShimBd::new(arg::CACHE, at(plane), pattern.clone())).into()
}

/// Two groups of one head of every lane, K and V.
fn columns(segment: &KvSegment, col: u8, (group, turns): (usize, usize)) -> Vec<ShimBd> {
    let stride = u32::from(GRID) * RECORD_WORDS;
    let pattern = Pattern::new(&[(1, RECORD_WORDS), (stride, 2)]).iterate(2 * stride, turns as u8);
    let record = usize::from(col) * RECORD_WORDS as usize * WORD;
    let chain = (0..usize::from(GRID)).flat_map(|lane| [Plane::Key, Plane::Value].map(|plane| (lane, plane)));
    let at = |lane, plane| (segment.groups_span(plane, lane, group..group + 2).0 + record) as u64;
    chain.map(|(lane, plane)| ShimBd::new(arg::CACHE, at(lane, plane), pattern.clone())).collect()
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
