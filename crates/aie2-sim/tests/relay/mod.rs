//! DDR → shim → mem tile → core (0, 2), which copies every chunk → mem tile → shim → DDR; two buffers and a lock pair everywhere.

use crate::support::{Act, Design, MEM, SHIM, bd, ramp};
use aie2_sim::{Fault, MachineOf, Record, RunReport, Timing};
use npu_container::txn::Direction::{Mm2s, S2mm};

/// Words of a chunk.
pub const CHUNK: u32 = 256;
pub const CHUNKS: u32 = 12;
pub const CORE: u8 = 2;
const OWN: u64 = 0x8_0000;

/// `spin`: cycles of work per chunk.
pub fn design(spin: u64) -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 0).connect(0, MEM, 0, 11).connect(0, CORE, 5, 1);
    d.connect(0, CORE, 1, 5).connect(0, MEM, 13, 1).connect(0, MEM, 1, 7).connect(0, SHIM, 14, 4);
    // Mem tile: in on S2MM 0 and out on MM2S 0 (even BDs), back in on S2MM 1 and out on MM2S 1 (odd BDs).
    for (lock, first, base, channel) in [(0, 0, 0u64, 0), (2, 24, 0x1000, 1)] {
        d.lock(0, MEM, lock, 2).lock(0, MEM, lock + 1, 0);
        for b in 0..2u32 {
            let at = OWN + base + u64::from(4 * CHUNK * b);
            let (empty, full) = (64 + lock, 65 + lock);
            d.bd(0, MEM, first + b, &bd(at, CHUNK).locks((empty, -1), (full, 1)).next(first + 1 - b));
            d.bd(0, MEM, first + 2 + b, &bd(at, CHUNK).locks((full, -1), (empty, 1)).next(first + 3 - b));
        }
        d.start(0, MEM, S2mm, channel, first).start(0, MEM, Mm2s, channel, first + 2);
    }
    // Core: in at 0x0000, out at 0x4000.
    let mut acts = Vec::new();
    d.lock(0, CORE, 0, 2).lock(0, CORE, 1, 0).lock(0, CORE, 2, 2).lock(0, CORE, 3, 0);
    for b in 0..2u32 {
        let (from, to) = (4 * CHUNK * b, 0x4000 + 4 * CHUNK * b);
        d.bd(0, CORE, b, &bd(from.into(), CHUNK).locks((0, -1), (1, 1)).next(1 - b));
        d.bd(0, CORE, 2 + b, &bd(to.into(), CHUNK).locks((3, -1), (2, 1)).next(3 - b));
        acts.extend([Act::Acquire(49, -1), Act::Acquire(50, -1), Act::Spin(spin, 1), Act::Copy(from, to, CHUNK)]);
        acts.extend([Act::Release(48, 1), Act::Release(51, 1)]);
    }
    acts.push(Act::Loop);
    d.start(0, CORE, S2mm, 0, 0).start(0, CORE, Mm2s, 0, 2).core(0, CORE, &acts);
    let words = CHUNK * CHUNKS;
    d.op_transfer(0, S2mm, 0, 0, words, 1).op_transfer(0, Mm2s, 0, 1, words, 0).op_wait(0, S2mm, 0);
    d
}

/// A run that may be watched.
#[allow(dead_code)]
pub struct Ran {
    pub machine: MachineOf<crate::support::Script>,
    pub report: RunReport,
    pub output: Vec<u8>,
    pub record: Option<Record>,
}

pub fn run(d: &Design, timing: &Timing, words_out: u32, watch: Option<std::ops::Range<u64>>) -> Result<Ran, Fault> {
    let config = aie2_sim::Config { timing: timing.clone(), ..crate::support::fast() };
    let mut machine = MachineOf::new(config);
    machine.load_pdi(&d.pdi())?;
    let input = ramp(CHUNK * CHUNKS);
    let ids = [machine.alloc("in", input.len()), machine.alloc("out", 4 * words_out as usize)];
    machine.write_buffer(ids[0], 0, &input)?;
    if let Some(window) = watch {
        machine.record(window);
    }
    let report = machine.run(&d.txn(), &ids)?;
    let (output, record) = (machine.read_buffer(ids[1])?, machine.take_record());
    Ok(Ran { machine, report, output, record })
}
