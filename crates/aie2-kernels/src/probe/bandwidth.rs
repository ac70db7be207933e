//! What the channels of the shims carry, each alone or any of them together.
//!
//! ```text
//! read    shim c MM2S k ─► core (c, k): adds up all words by lane ─► 64 bytes ─► shim c S2MM k
//! write   core (c, k): counts ─► shim c S2MM k
//! ```
//! The array is the same for every choice of channels; a core without data waits. A core takes 8 KiB in about 300 cycles, a stream needs 2048
//! for them, so the time is that of the channels. Every word counts: a sum that is right has seen all of them.

use std::collections::BTreeMap;

use aie2_array::{Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};
use aie2_codegen::{Asm, Guards, MemRef, Program};

use super::rig::{CORE_BASE, IN, OUT, Programs, Question, WORD, bytes, constant, design, multiple, pointer, words};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::grid::{GRID, tile_offset};

/// Channels of the partition in one direction: (column, channel).
pub const CHANNELS: [(u8, u8); 8] = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1)];
/// Bytes of a channel come in units of this size.
pub const UNIT_BYTES: u32 = 8192;

/// Bytes of a channel at most, so that all eight fit 2 GiB.
const LIMIT_BYTES: u64 = 256 << 20;
const VECTOR_BYTES: u32 = 64;
const LANES: usize = 16;
/// Two loads or stores of 32 bytes in one bank.
const LOOP_II: u32 = 2;

const DATA: MemRef = MemRef::space(1).in_bank(0);
const RESULT: MemRef = MemRef::space(2).in_bank(1);
const FIRST: MemRef = MemRef::space(3).in_bank(3);

const DATA_AT: u32 = CORE_BASE;
const RESULT_AT: u32 = CORE_BASE + 0x4000;
const FIRST_AT: u32 = CORE_BASE + 0xC000;

/// Refuses channels that do not exist or appear twice, and sizes.
fn check(name: &'static str, channels: &[(u8, u8)], bytes_per_channel: u32) -> Result<(), KernelError> {
    multiple(name, "bytes of a channel", UNIT_BYTES.into(), LIMIT_BYTES, bytes_per_channel.into())?;
    multiple(name, "channels", 1, CHANNELS.len() as u64, channels.len() as u64)?;
    for (i, &(col, k)) in channels.iter().enumerate() {
        let refused =
            |what, needed, found: u8| KernelError::Refused { kernel: name, what, needed, found: found.into() };
        if col >= GRID {
            return Err(refused("column", usize::from(GRID) - 1, col));
        }
        if k > 1 {
            return Err(refused("channel", 1, k));
        }
        if channels[..i].contains(&(col, k)) {
            return Err(refused("a channel twice, of column", 1, col));
        }
    }
    Ok(())
}

/// Where the channels of a read find their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Each has consecutive bytes of its own.
    OwnBytes,
    /// All read the same runs of [`Source::RUN_BYTES`], [`Source::STRIDE_BYTES`] from one to the next.
    SharedRuns,
}

impl Source {
    /// Bytes of a run: a row of one head of the key-value cache, 16 tokens.
    pub const RUN_BYTES: u32 = 2048;
    /// From one run to the next.
    pub const STRIDE_BYTES: u32 = 8192;

    /// Words of the buffer in which `channels` find `words` each.
    fn buffer_words(self, channels: usize, words: u32) -> u32 {
        match self {
            Source::OwnBytes => words * channels as u32,
            Source::SharedRuns => words / (Self::RUN_BYTES / WORD) * (Self::STRIDE_BYTES / WORD),
        }
    }

    /// Which words of the buffer channel `i` reads, in order.
    fn bd(self, i: usize, words: u32) -> Result<ShimBd, KernelError> {
        let bytes = u64::from(words) * u64::from(WORD);
        Ok(match self {
            Source::OwnBytes => ShimBd::linear(IN, bytes * i as u64, bytes)?,
            Source::SharedRuns => {
                let (run, stride) = (Self::RUN_BYTES / WORD, Self::STRIDE_BYTES / WORD);
                ShimBd::new(IN, 0, Pattern::new(&[(1, run), (stride, words / run)]))
            }
        })
    }

    /// Those words.
    fn words(self, buffer: &[u32], i: usize, words: u32) -> Vec<u32> {
        match self {
            Source::OwnBytes => buffer[i * words as usize..(i + 1) * words as usize].to_vec(),
            Source::SharedRuns => {
                let (run, stride) = ((Self::RUN_BYTES / WORD) as usize, (Self::STRIDE_BYTES / WORD) as usize);
                buffer.chunks_exact(stride).flat_map(|chunk| chunk[..run].to_vec()).collect()
            }
        }
    }
}

/// Reads `bytes_per_channel` by each of `channels` at once.
///
/// # Errors
/// No channels, one that does not exist or appears twice; bytes that are no multiple of [`UNIT_BYTES`] or more than 256 MiB.
pub fn read_bandwidth(channels: &[(u8, u8)], bytes_per_channel: u32) -> Result<Probe, KernelError> {
    let (asks, facts) = ("How fast do these channels read DDR?", &[21, 29]);
    read("read_bandwidth", channels, bytes_per_channel, Source::OwnBytes, asks, facts)
}

pub(super) fn read(
    name: &'static str,
    channels: &[(u8, u8)],
    bytes_per_channel: u32,
    source: Source,
    asks: &'static str,
    facts: &'static [u8],
) -> Result<Probe, KernelError> {
    check(name, channels, bytes_per_channel)?;
    let mut design = design()?;
    let (mut programs, mut made) = (Programs::new(), BTreeMap::new());
    let units = bytes_per_channel / UNIT_BYTES;
    for (col, k) in CHANNELS {
        let (tile, shim) = (Tile::core(col, k), Tile::shim(col));
        let places = (0..2).map(|i| tile_offset(DATA_AT) + i * UNIT_BYTES).collect();
        let data = design.ring(tile, "data", 2, UNIT_BYTES, Place::Each(places))?;
        let sum = design.ring(tile, "sum", 1, VECTOR_BYTES, Place::At(tile_offset(RESULT_AT)))?;
        design.fill_by_dma(data, S2mm(0), &[Pattern::linear(UNIT_BYTES / WORD)])?;
        design.drain_by_dma(sum, Mm2s(0), &[Pattern::linear(VECTOR_BYTES / WORD)])?;
        design.connect(shim.mm2s(k), &[tile.s2mm(0)])?;
        design.connect(tile.mm2s(0), &[shim.s2mm(k)])?;
        let (data, sum) = (design.core_drains(data)?, design.core_fills(sum)?);
        let locks = [data.acquire.id, data.release.id, sum.acquire.id, sum.release.id];
        programs.insert((col, k), once(&mut made, locks, |locks| sums(locks, units))?);
    }
    let size = bytes_per_channel / WORD;
    let mut rt = Runtime::new(GRID)?;
    for (i, &(col, k)) in channels.iter().enumerate() {
        let at = u64::from(VECTOR_BYTES) * i as u64;
        rt.task(col, S2mm(k), &ShimBd::linear(OUT, at, VECTOR_BYTES.into())?, 1, true)?;
    }
    for (i, &(col, k)) in channels.iter().enumerate() {
        rt.task(col, Mm2s(k), &source.bd(i, size)?, 1, false)?;
    }
    rt.wait_all()?;
    let data = words(source.buffer_words(channels.len(), size));
    let mut expected = Vec::new();
    for i in 0..channels.len() {
        let mut sum = [0u32; LANES];
        for lanes in source.words(&data, i, size).as_chunks::<LANES>().0 {
            sum.iter_mut().zip(lanes).for_each(|(s, x)| *s = s.wrapping_add(*x));
        }
        expected.extend(sum);
    }
    Question {
        name,
        asks,
        facts,
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("every word arrived", bytes(&expected))],
        otherwise: "wrong sums: words lost or doubled between DDR and a core; see loopback_switch and one_tile",
    }
    .compiled(design, rt, &programs)
}

/// Writes `bytes_per_channel` by each of `channels` at once.
///
/// # Errors
/// As [`read_bandwidth`].
pub fn write_bandwidth(channels: &[(u8, u8)], bytes_per_channel: u32) -> Result<Probe, KernelError> {
    let name = "write_bandwidth";
    check(name, channels, bytes_per_channel)?;
    let mut design = design()?;
    let (mut programs, mut made) = (Programs::new(), BTreeMap::new());
    let units = bytes_per_channel / UNIT_BYTES;
    for (i, (col, k)) in CHANNELS.into_iter().enumerate() {
        let (tile, shim) = (Tile::core(col, k), Tile::shim(col));
        let places = (0..2).map(|i| tile_offset(DATA_AT) + i * UNIT_BYTES).collect();
        let data = design.ring(tile, "data", 2, UNIT_BYTES, Place::Each(places))?;
        design.drain_by_dma(data, Mm2s(0), &[Pattern::linear(UNIT_BYTES / WORD)])?;
        design.connect(tile.mm2s(0), &[shim.s2mm(k)])?;
        design.reserve(tile, "first", VECTOR_BYTES, Place::At(tile_offset(FIRST_AT)))?;
        let first: Vec<u32> = (0..LANES as u32).map(|lane| origin(i) + lane).collect();
        design.init_data(tile, tile_offset(FIRST_AT), &bytes(&first))?;
        let data = design.core_fills(data)?;
        let locks = [data.acquire.id, data.release.id];
        programs.insert((col, k), once(&mut made, locks, |locks| counts(locks, units))?);
    }
    let size = u64::from(bytes_per_channel);
    let mut rt = Runtime::new(GRID)?;
    for (i, &(col, k)) in channels.iter().enumerate() {
        rt.task(col, S2mm(k), &ShimBd::linear(OUT, size * i as u64, size)?, 1, true)?;
    }
    rt.wait_all()?;
    let mut expected = Vec::new();
    for &channel in channels {
        let index = CHANNELS.iter().position(|&c| c == channel).unwrap_or_default();
        expected.extend((0..bytes_per_channel / WORD).map(|i| origin(index) + i));
    }
    Question {
        name,
        asks: "How fast do these channels write DDR?",
        facts: &[23],
        input: Vec::new(),
        outcomes: vec![Outcome::modelled("every word arrived, in order", bytes(&expected))],
        otherwise: "wrong words: the count tells the place in the stream, its top bits the channel",
    }
    .compiled(design, rt, &programs)
}

/// The program for these locks; cores whose locks are alike share one.
fn once<L: Ord + Copy>(
    made: &mut BTreeMap<L, Program>,
    locks: L,
    make: impl FnOnce(L) -> Result<Program, KernelError>,
) -> Result<Program, KernelError> {
    if let Some(program) = made.get(&locks) {
        return Ok(program.clone());
    }
    let program = make(locks)?;
    made.insert(locks, program.clone());
    Ok(program)
}

/// First word of a channel's stream.
fn origin(channel: usize) -> u32 {
    (channel as u32) << 28
}

/// For ever: adds up `units` buffers by lane, gives the sum.
fn sums([full, empty, out_empty, out_full]: [u8; 4], units: u32) -> Result<Program, KernelError> {
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    // the slot is kept from call to call: a call may take an odd number of units
    let slot = constant(&mut a, DATA_AT.into());
    let both = constant(&mut a, (2 * DATA_AT + UNIT_BYTES).into());
    a.forever(|a| {
        let (sum, t) = (a.x(), constant(a, 0));
        a.i("vbcst.32 {}, {}", &[sum, t]);
        a.loop_n("units", units, |a| {
            a.acq(Guards::All, full, minus_one);
            let (p, v) = (a.p(), a.x());
            a.mov(p, slot);
            a.pipelined("sum", LOOP_II, UNIT_BYTES / VECTOR_BYTES, |a| {
                a.vlda(DATA, v.lo(), p, 32);
                a.vlda(DATA, v.hi(), p, 32);
                a.i("vadd.32 {}, {}, {}", &[sum, sum, v]);
            });
            a.i("sub {}, {}, {}", &[slot, both, slot]);
            a.rel(Guards::All, empty, one);
        });
        a.acq(Guards::All, out_empty, minus_one);
        let p = pointer(a, RESULT_AT);
        a.vst(RESULT, sum.lo(), p, 32);
        a.vst(RESULT, sum.hi(), p, 32);
        a.rel(Guards::All, out_full, one);
    });
    Ok(a.finish()?)
}

/// For ever: fills `units` buffers with consecutive numbers, then begins anew.
fn counts([empty, full]: [u8; 2], units: u32) -> Result<Program, KernelError> {
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    let slot = constant(&mut a, DATA_AT.into());
    let both = constant(&mut a, (2 * DATA_AT + UNIT_BYTES).into());
    let (step, t) = (a.x(), constant(&mut a, LANES as i64));
    a.i("vbcst.32 {}, {}", &[step, t]);
    a.forever(|a| {
        let (v, p) = (a.x(), pointer(a, FIRST_AT));
        a.vlda(FIRST, v.lo(), p, 32);
        a.vlda(FIRST, v.hi(), p, 32);
        a.loop_n("units", units, |a| {
            a.acq(Guards::All, empty, minus_one);
            let p = a.p();
            a.mov(p, slot);
            a.pipelined("count", LOOP_II, UNIT_BYTES / VECTOR_BYTES, |a| {
                a.vst(DATA, v.lo(), p, 32);
                a.vst(DATA, v.hi(), p, 32);
                a.i("vadd.32 {}, {}, {}", &[v, v, step]);
            });
            a.i("sub {}, {}, {}", &[slot, both, slot]);
            a.rel(Guards::All, full, one);
        });
    });
    Ok(a.finish()?)
}
