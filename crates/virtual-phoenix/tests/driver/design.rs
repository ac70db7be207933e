//! A design of one column: the shim copies one buffer to another. Its PDI makes the routes, its stream the transfers.

use npu_container::cdo;
use npu_container::pdi;
use npu_container::txn::{self, Direction, Header, Op};

/// Where the PDI stands in the heap, by device address.
pub const PDI_AT: u64 = 0x0410_0000;
/// Where streams stand.
pub const STREAM_AT: u64 = 0x0420_0000;
/// Where slots stand.
pub const SLOTS_AT: u64 = 0x0400_0000;

const APERTURE: u64 = 0x8000_0000;

/// The shim's stream port South 3 to its port South 2, and the route of its tokens.
pub fn pdi() -> Vec<u8> {
    let writes = [
        (0x1_f000, 0x400),
        (0x1_f004, 0x10),
        (0x3_f008, 0x8000_0000),
        (0x3_f100, 0x8000_0000),
        (0x3_f010, 0x8000_0005),
        (0x3_f114, 0x8000_0000),
    ];
    let commands: Vec<_> = writes.map(|(addr, value)| cdo::Command::Write { addr, value }).into();
    pdi::write(&commands)
}

fn bd(number: u32, words: u32, addr: u64) -> Op {
    let (low, high) = (addr as u32, (addr >> 32) as u32 & 0xffff);
    let data = vec![words, low, high, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000];
    Op::BlockWrite { addr: 0x1_d000 + 0x20 * number, data }
}

fn finish(mut ops: Vec<Op>) -> Vec<u8> {
    ops.extend([
        Op::Write { addr: 0x1_d204, value: 0x8000_0003 },
        Op::Write { addr: 0x1_d214, value: 1 },
        Op::wait(Direction::S2mm, 0, 0, 0),
    ]);
    txn::write(&Header::npu1(1), &ops)
}

/// Copies `bytes` bytes of argument 0 to argument 1.
pub fn copy(bytes: u32) -> Vec<u8> {
    let patch = |bd: u32, argument| Op::DdrPatch { register: 0x1_d004 + 0x20 * bd, arg_index: argument, arg_plus: 0 };
    finish(vec![bd(3, bytes / 4, 0), patch(3, 1), bd(1, bytes / 4, 0), patch(1, 0)])
}

/// Copies between addresses that stand in the stream.
pub fn copy_between(from: u64, to: u64, bytes: u32) -> Vec<u8> {
    finish(vec![bd(3, bytes / 4, to + APERTURE), bd(1, bytes / 4, from + APERTURE)])
}

/// The same as a host leaves it that has relocated a stream with DDR_PATCHes.
pub fn copy_relocated(from: u64, to: u64, bytes: u32) -> Vec<u8> {
    let patch = |bd: u32, argument| Op::DdrPatch { register: 0x1_d004 + 0x20 * bd, arg_index: argument, arg_plus: 0 };
    finish(vec![bd(3, bytes / 4, to + APERTURE), patch(3, 1), bd(1, bytes / 4, from + APERTURE), patch(1, 0)])
}

/// Waits for a token that never comes.
pub fn stuck() -> Vec<u8> {
    txn::write(&Header::npu1(1), &[Op::wait(Direction::S2mm, 0, 0, 0)])
}

/// The register map of a stream.
pub fn register_map(stream_at: u64, stream: &[u8], arguments: &[u64]) -> Vec<u32> {
    let mut map = vec![3, 0, stream_at as u32, (stream_at >> 32) as u32, stream.len() as u32 / 4];
    map.extend(arguments.iter().flat_map(|addr| [*addr as u32, (*addr >> 32) as u32]));
    map
}

/// A slot of 0x12.
pub fn slot_cf(unit: u32, map: &[u32]) -> Vec<u32> {
    [&[unit, map.len() as u32], map].concat()
}

/// A slot of 0x13.
pub fn slot_dpu(unit: u32, stream_at: u64, bytes: u32, arguments: &[u32]) -> Vec<u32> {
    let head = [stream_at as u32, (stream_at >> 32) as u32, bytes, 0, unit, arguments.len() as u32];
    [&head, arguments].concat()
}

/// A slot of 0x18, of a register map or of a stream.
pub fn slot_npu(kind: u32, unit: u32, stream_at: u64, bytes: u32, arguments: &[u32]) -> Vec<u32> {
    let head =
        [kind, stream_at as u32, (stream_at >> 32) as u32, 0, 0, 0, 0, bytes, 0, 0, 0, unit, arguments.len() as u32];
    [&head, arguments].concat()
}
