//! Shims alone: a stream that does the least, and DDR to DDR through a switch or a mem tile.

use aie2_array::{Design, Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};

use super::rig::{IN, OUT, Programs, Question, WORD, bytes, design, multiple, words};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::grid::GRID;

/// Way of a loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// From one shim port to another.
    Switch,
    /// Through a ring in the column's mem tile.
    MemTile,
}

/// Channels of a shim in one direction.
const CHANNELS: u8 = 2;
/// Bytes of a mem tile's buffer.
const SLOT_BYTES: u32 = 4096;
/// Bytes of one channel at most: every address of a call stays below 2³².
const LIMIT_BYTES: u64 = 64 << 20;

/// A stream of one write, no data, no token: what a dispatch costs.
///
/// # Errors
/// See [`super::steps`].
pub fn nop() -> Result<Probe, KernelError> {
    let mut rt = Runtime::new(GRID)?;
    rt.write_words(Tile::mem(0), 0, &[0])?;
    Question {
        name: "nop",
        asks: "Does the firmware load a PDI and run a stream of one write?",
        facts: &[],
        input: Vec::new(),
        outcomes: vec![Outcome::modelled("the command completes", Vec::new())],
        otherwise: "the PDI or the stream is rejected: kernel log, firmware status; then `bennu disasm` of both against a file that mlir-aie built",
    }
    .compiled(design()?, rt, &Programs::new())
}

/// Every channel of every column copies `bytes` of its own, all at once.
///
/// # Errors
/// `bytes` is no multiple of a word, or, through a mem tile, of its buffers; or more than 64 MiB.
pub fn loopback(via: Via, bytes_per_channel: u32) -> Result<Probe, KernelError> {
    let (name, unit) = match via {
        Via::Switch => ("loopback_switch", WORD),
        Via::MemTile => ("loopback_mem_tile", SLOT_BYTES),
    };
    multiple(name, "bytes of a channel", unit.into(), LIMIT_BYTES, bytes_per_channel.into())?;
    let mut design = design()?;
    let mut rt = Runtime::new(GRID)?;
    let size = u64::from(bytes_per_channel);
    let channels = (0..GRID).flat_map(|col| (0..CHANNELS).map(move |k| (col, k)));
    for (i, (col, k)) in channels.clone().enumerate() {
        connect(&mut design, via, col, k)?;
        rt.task(col, S2mm(k), &ShimBd::linear(OUT, size * i as u64, size)?, 1, true)?;
    }
    for (i, (col, k)) in channels.enumerate() {
        rt.task(col, Mm2s(k), &ShimBd::linear(IN, size * i as u64, size)?, 1, false)?;
    }
    rt.wait_all()?;
    let data = bytes(&words(bytes_per_channel / WORD * u32::from(GRID * CHANNELS)));
    Question {
        name,
        asks: match via {
            Via::Switch => "Does every shim channel bring its data back through its own switch?",
            Via::MemTile => "Does every shim channel bring its data back through a ring in the mem tile?",
        },
        facts: match via {
            Via::Switch => &[1, 10],
            Via::MemTile => &[],
        },
        input: data.clone(),
        outcomes: vec![Outcome::modelled("out is in", data)],
        otherwise: match via {
            Via::Switch => {
                "no end: the token's route (row 10) or the shim mux; IO_PAGE_FAULT in the kernel log: address aperture of DDR_PATCH; wrong data: first wrong byte tells the channel"
            }
            Via::MemTile => "loopback_switch passed, so: mem tile BDs, locks, or base address (row 2)",
        },
    }
    .compiled(design, rt, &Programs::new())
}

fn connect(design: &mut Design, via: Via, col: u8, k: u8) -> Result<(), KernelError> {
    let (shim, mem) = (Tile::shim(col), Tile::mem(col));
    match via {
        Via::Switch => design.connect(shim.mm2s(k), &[shim.s2mm(k)])?,
        Via::MemTile => {
            let ring = design.ring(mem, &format!("relay {k}"), 2, SLOT_BYTES, Place::Anywhere)?;
            let linear = [Pattern::linear(SLOT_BYTES / WORD)];
            design.fill_by_dma(ring, S2mm(k), &linear)?;
            design.drain_by_dma(ring, Mm2s(k), &linear)?;
            design.connect(shim.mm2s(k), &[mem.s2mm(k)])?;
            design.connect(mem.mm2s(k), &[shim.s2mm(k)])?;
        }
    }
    Ok(())
}

/// Registers of a shim that carry MM2S 0 to S2MM 0 and tokens to the firmware, both by circuit.
// SOURCE: AMD's df_bw sequence (VTD), re-expressed: mux South 3 <- MM2S 0, demux S2MM 0 <- South 2, master South 0 <- tile control, master South 2
// <- slave South 3.
const CIRCUITS: [(u32, u32); 6] = [
    (0x1_F000, 0x400),
    (0x1_F004, 0x10),
    (0x3_F008, 0x8000_0000),
    (0x3_F100, 0x8000_0000),
    (0x3_F010, 0x8000_0005),
    (0x3_F114, 0x8000_0000),
];

/// The same copy of 4 KiB with nothing in the PDI: the stream sets the switch, and the token travels by circuit.
///
/// # Errors
/// See [`super::steps`].
pub fn routes_by_stream() -> Result<Probe, KernelError> {
    const BYTES: u32 = 4096;
    let mut rt = Runtime::new(GRID)?;
    for (offset, value) in CIRCUITS {
        rt.write_words(Tile::shim(0), offset, &[value])?;
    }
    rt.task(0, S2mm(0), &ShimBd::linear(OUT, 0, BYTES.into())?, 1, true)?;
    rt.task(0, Mm2s(0), &ShimBd::linear(IN, 0, BYTES.into())?, 1, false)?;
    rt.wait(0, S2mm(0))?;
    let data = bytes(&words(BYTES / WORD));
    Question {
        name: "routes_by_stream",
        asks: "Does a loopback work that depends on nothing in the PDI?",
        facts: &[1],
        input: data.clone(),
        outcomes: vec![Outcome::modelled("out is in", data)],
        otherwise: "nothing else can be trusted: stream format, DDR_PATCH, token wait; compare the words with npu-container's test of this stream",
    }
    // a PDI needs a command: a lock that nobody uses
    .compiled(
        {
            let mut design = Design::new(GRID)?;
            design.lock(Tile::mem(0), "unused", 0)?;
            design
        },
        rt,
        &Programs::new(),
    )
}
