//! The simulator's controller: after a small PDI that works, any runtime stream ends in a report or in a typed fault within
//! the cycle limit, twice in a row on one machine, and every fault has a text.
//!
//! The PDI routes a loop inside shim 0 and a ring from shim 3 through mem tile and core (3, 2), whose program adds one to
//! every word. The first byte says how the rest is read: as a stream with the size in its header corrected, or as
//! operations drawn from the registers of the array.

use crate::draw::Draw;
use crate::support::{Design, MEM, SHIM, bd, ramp, words_of};
use aie2_isa::Bundle;
use aie2_sim::{Config, Fault, Machine};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::txn::{self, Direction, Header};
use std::sync::LazyLock;

/// Operations of a drawn stream at most; a longer input is cut.
const MOST_OPS: usize = 300;
/// Bytes of each of the two host buffers.
const BUFFER_BYTES: usize = 256;
const CYCLE_LIMIT: u64 = 20_000;

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| design().pdi());

/// In: locks 0 free, 1 full, one word at 0x0000. Out: locks 2 free, 3 full, one word at 0x4000.
fn program() -> Vec<u32> {
    let nops = |n: usize| "nop\n".repeat(n);
    let text = [
        "movxm p0, #0x70000\nmovxm p1, #0x74000\nmovxm r0, #-1\nmovxm r1, #1\n",
        "acq #49, r0\n",
        &nops(7),
        "acq #50, r0\n",
        &nops(8),
        "lda r2, [p0, #0]\n",
        &nops(7),
        "add r2, r2, #1\nst r2, [p1, #0]\n",
        &nops(6),
        "rel #48, r1\n",
        &nops(7),
        "rel #51, r1\nj #64\n",
        &nops(5),
    ]
    .concat();
    let encode = |line: &str| {
        let bundle = Bundle::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        bundle.encode_at_least(16).unwrap_or_else(|error| panic!("{line}: {error}")).as_bytes().to_vec()
    };
    words_of(&text.lines().flat_map(encode).collect::<Vec<u8>>())
}

fn design() -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 4).connect(0, SHIM, 9, 5);
    d.shim(3).connect(3, SHIM, 5, 12).connect(3, MEM, 7, 11).connect(3, 2, 5, 1);
    d.connect(3, 2, 1, 5).connect(3, MEM, 13, 7).connect(3, SHIM, 14, 4);
    for (lock, value) in [(0, 1), (1, 0), (2, 1), (3, 0)] {
        d.lock(3, 2, lock, value);
    }
    d.bd(3, 2, 0, &bd(0, 1).locks((0, -1), (1, 1)).next(0)).start(3, 2, Direction::S2mm, 0, 0);
    d.bd(3, 2, 1, &bd(0x4000, 1).locks((3, -1), (2, 1)).next(1)).start(3, 2, Direction::Mm2s, 0, 1);
    d.write(3, 2, 0x3_2000, 2);
    d.cdo.push(Command::DmaWrite { addr: addr(3, 2, 0x2_0000), data: program() });
    d.write(3, 2, 0x3_2000, 0).write(3, 2, 0x3_2000, 1);
    d
}

fn stream(form: u8, rest: &[u8]) -> Vec<u8> {
    if form.is_multiple_of(2) {
        let mut stream = rest.to_vec();
        if stream.len() >= txn::HEADER_BYTES {
            let size = stream.len() as u32;
            stream[12..16].copy_from_slice(&size.to_le_bytes());
        }
        return stream;
    }
    let mut draw = Draw(rest);
    let ops: Vec<_> = std::iter::from_fn(|| draw.op()).take(MOST_OPS).collect();
    txn::write(&Header::npu1(4), &ops)
}

/// Runs the stream of an input twice on one machine; returns what the first buffer's words became in the second, unless part
/// of it was never written.
pub fn run(bytes: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let (form, rest) = bytes.split_first().map_or((0, bytes), |(&form, rest)| (form, rest));
    let stream = stream(form, rest);
    let mut machine = Machine::new(Config { cycle_limit: CYCLE_LIMIT, stall_limit: 4_000, ..Config::default() });
    machine.load_pdi(&IMAGE).unwrap_or_else(|fault| panic!("the design is refused: {fault}"));
    let buffers = [machine.alloc("in", BUFFER_BYTES), machine.alloc("out", BUFFER_BYTES)];
    machine.write_buffer(buffers[0], 0, &ramp(BUFFER_BYTES as u32 / 4))?;
    for _ in 0..2 {
        let report = machine.run(&stream, &buffers)?;
        assert!(report.cycles <= CYCLE_LIMIT, "{} cycles", report.cycles);
    }
    Ok(machine.read_buffer(buffers[1]).ok())
}

pub fn check(bytes: &[u8]) {
    if let Err(fault) = run(bytes) {
        assert!(!fault.to_string().is_empty());
    }
}
