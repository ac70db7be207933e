//! Order and distance of memory accesses, fences and side effects.

use super::note::{OpNo, RegionNo};

/// Stage in which a lock instruction stalls, and the one in which execution resumes.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget.cpp.
const LOCK_STALL: i32 = 2;
const LOCK_RESUME: i32 = 8;

/// A recent memory access, fence or side effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) age: u8,
    pub(super) op: OpNo,
    pub(super) region: RegionNo,
    pub(super) iteration: i16,
    pub(super) seq: u32,
    /// First and last memory stage, if memory is touched.
    pub(super) memory: Option<(u8, u8)>,
    pub(super) writes: bool,
    pub(super) fence: bool,
    pub(super) side_effects: bool,
    pub(super) mem: (u16, Option<u16>),
    pub(super) guards: Option<Vec<u16>>,
}

/// Distance demanded between two accesses or fences in sequential order.
pub(super) fn needed(first: &Event, second: &Event) -> Option<i32> {
    let mut out: Option<i32> = None;
    let mut need = |d: i32| out = Some(out.map_or(d, |o: i32| o.max(d)));
    let alias = |a: &Event, b: &Event| {
        let ((s, p), (t, q)) = (a.mem, b.mem);
        s == 0 || t == 0 || (s == t && !(p.is_some() && q.is_some() && p != q))
    };
    let guards = |fence: &Event, access: &Event| {
        fence.fence && fence.guards.as_ref().is_none_or(|g| access.mem.0 == 0 || g.contains(&access.mem.0))
    };
    if let (Some((_, last)), Some((early, _))) = (first.memory, second.memory)
        && (first.writes || second.writes)
        && alias(first, second)
    {
        need(i32::from(last) - i32::from(early) + 1);
    }
    if let Some((_, last)) = first.memory
        && guards(second, first)
    {
        need(i32::from(last) - LOCK_STALL + 1);
    }
    if let Some((early, _)) = second.memory
        && guards(first, second)
    {
        need(LOCK_RESUME - i32::from(early) + 1);
    }
    if first.side_effects && second.side_effects {
        need(1);
    }
    out
}
