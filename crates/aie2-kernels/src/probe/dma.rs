//! Facts about DMA channels: repeats, iterations, short runs, patterns and tasks of mem tiles, order of tasks and of writes.

use aie2_array::{
    Configuration, Design, Mm2s, Pattern, Place, QueuedRing, RingId, RingPhase, Runtime, S2mm, ShimBd, Tile,
};
use aie2_codegen::MemRef;

use super::rig::{
    BENCH, Bench, CORE_BASE, IN, OUT, Programs, Question, UNTOUCHED_WORD, WORD, bytes, design, pointer, word, words,
};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::grid::{GRID, tile_offset};

/// Tasks of shim 0 with its two channels short-circuited.
fn short_circuit(
    question: Question,
    tasks: impl FnOnce(&mut Runtime) -> Result<(), KernelError>,
) -> Result<Probe, KernelError> {
    let mut design = design()?;
    design.connect(Tile::shim(0).mm2s(0), &[Tile::shim(0).s2mm(0)])?;
    let mut rt = Runtime::new(GRID)?;
    tasks(&mut rt)?;
    question.compiled(design, rt, &Programs::new())
}

/// A ring in mem tile 0 between the channels of shim 0.
fn relay(slots: usize, slot_bytes: u32, place: Place) -> Result<(Design, RingId), KernelError> {
    let (mem, shim) = (Tile::mem(0), Tile::shim(0));
    let mut design = design()?;
    let ring = design.ring(mem, "relay", slots, slot_bytes, place)?;
    design.connect(shim.mm2s(0), &[mem.s2mm(0)])?;
    design.connect(mem.mm2s(0), &[shim.s2mm(0)])?;
    Ok((design, ring))
}

/// What a stream needs to know of a queued ring.
fn queued(configuration: &Configuration, ring: RingId) -> Result<&QueuedRing, KernelError> {
    let missing = aie2_array::Error::Nothing { tile: Tile::mem(0), what: "queued rings" };
    Ok(configuration.queued.get(&ring).ok_or(missing)?)
}

/// Both ends linear but for one.
fn send(rt: &mut Runtime, [from, to]: [(&ShimBd, u32); 2]) -> Result<(), KernelError> {
    rt.task(0, S2mm(0), to.0, to.1, true)?;
    rt.task(0, Mm2s(0), from.0, from.1, false)?;
    Ok(rt.wait(0, S2mm(0))?)
}

fn linear(arg: u32, words: u32) -> Result<ShimBd, KernelError> {
    Ok(ShimBd::linear(arg, 0, u64::from(WORD * words))?)
}

/// Words of a block.
const BLOCK: u32 = 64;

/// MM2S with a repeat and no iteration reads the same words again.
///
/// # Errors
/// See [`super::facts`].
pub fn repeat_rereads() -> Result<Probe, KernelError> {
    const RUNS: u32 = 3;
    let data = words(RUNS * BLOCK);
    let again: Vec<u32> = (0..RUNS).flat_map(|_| data[..BLOCK as usize].to_vec()).collect();
    let question = Question {
        name: "repeat_rereads",
        asks: "Does a repeated task without iteration read the same region again?",
        facts: &[3],
        outcomes: vec![
            Outcome::modelled("every run reads the first block", bytes(&again)),
            Outcome::different(
                "runs follow each other in memory",
                "one push for each pass instead of a repeat",
                bytes(&data),
            ),
        ],
        input: bytes(&data),
        otherwise: "no end: the repeat count is not runs - 1",
    };
    short_circuit(question, |rt| send(rt, [(&linear(IN, BLOCK)?, RUNS), (&linear(OUT, RUNS * BLOCK)?, 1)]))
}

/// Eight runs of 1 KiB fill one BD of 8 KiB of a mem tile.
///
/// # Errors
/// See [`super::facts`].
pub fn repeat_fills_a_mem_bd() -> Result<Probe, KernelError> {
    const RUNS: u32 = 8;
    const RUN_WORDS: u32 = 256;
    let (mut design, ring) = relay(1, RUNS * RUN_WORDS * WORD, Place::Anywhere)?;
    let slot = [Pattern::linear(RUNS * RUN_WORDS)];
    design.fill_by_dma(ring, S2mm(0), &slot)?;
    design.drain_by_dma(ring, Mm2s(0), &slot)?;
    let mut rt = Runtime::new(GRID)?;
    send(&mut rt, [(&linear(IN, RUN_WORDS)?, RUNS), (&linear(OUT, RUNS * RUN_WORDS)?, 1)])?;
    let data = words(RUN_WORDS);
    let eight: Vec<u32> = (0..RUNS).flat_map(|_| data.clone()).collect();
    Question {
        name: "repeat_fills_a_mem_bd",
        asks: "Does TLAST at the end of a run leave the receiving BD open?",
        facts: &[31],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("eight runs stand in one buffer", bytes(&eight))],
        otherwise: "norm_rope's weights: one BD that reads eight times by a stride of 0",
    }
    .compiled(design, rt, &Programs::new())
}

/// Blocks of the iteration probes, and the distance between their beginnings in words.
const BLOCKS: u32 = 4;
const DISTANCE: u32 = 2 * BLOCK;

/// The blocks gathered from their places.
fn gathered(spread: &[u32]) -> Vec<u32> {
    (0..BLOCKS).flat_map(|b| spread[(b * DISTANCE) as usize..][..BLOCK as usize].to_vec()).collect()
}

/// The blocks at their places, everything else untouched.
fn scattered(blocks: &[u32]) -> Vec<u32> {
    let mut out = vec![UNTOUCHED_WORD; (BLOCKS * DISTANCE) as usize];
    for (b, block) in blocks.chunks_exact(BLOCK as usize).enumerate() {
        out[b * DISTANCE as usize..][..BLOCK as usize].copy_from_slice(block);
    }
    out
}

fn iterated(arg: u32) -> ShimBd {
    ShimBd::new(arg, 0, Pattern::linear(BLOCK).iterate(DISTANCE, BLOCKS as u8))
}

const ITERATION_CHANGE: &str = "one BD and one push for each block";

/// The iteration of a shim's MM2S.
///
/// # Errors
/// See [`super::facts`].
pub fn iteration_reads() -> Result<Probe, KernelError> {
    let data = words(BLOCKS * DISTANCE);
    let first: Vec<u32> = (0..BLOCKS).flat_map(|_| data[..BLOCK as usize].to_vec()).collect();
    let question = Question {
        name: "iteration_reads",
        asks: "Does the iteration of a shim's MM2S advance with every run?",
        facts: &[28],
        outcomes: vec![
            Outcome::modelled("each run begins one step further", bytes(&gathered(&data))),
            Outcome::different("all runs read the first block", ITERATION_CHANGE, bytes(&first)),
        ],
        input: bytes(&data),
        otherwise: ITERATION_CHANGE,
    };
    short_circuit(question, |rt| send(rt, [(&iterated(IN), BLOCKS), (&linear(OUT, BLOCKS * BLOCK)?, 1)]))
}

/// The iteration of a shim's S2MM.
///
/// # Errors
/// See [`super::facts`].
pub fn iteration_writes() -> Result<Probe, KernelError> {
    let data = words(BLOCKS * BLOCK);
    let mut last = vec![UNTOUCHED_WORD; (BLOCKS * DISTANCE) as usize];
    last[..BLOCK as usize].copy_from_slice(&data[((BLOCKS - 1) * BLOCK) as usize..]);
    let question = Question {
        name: "iteration_writes",
        asks: "Does the iteration of a shim's S2MM advance with every run?",
        facts: &[4],
        outcomes: vec![
            Outcome::modelled("each run begins one step further", bytes(&scattered(&data))),
            Outcome::different("all runs write the first block", ITERATION_CHANGE, bytes(&last)),
        ],
        input: bytes(&data),
        otherwise: ITERATION_CHANGE,
    };
    short_circuit(question, |rt| send(rt, [(&linear(IN, BLOCKS * BLOCK)?, 1), (&iterated(OUT), BLOCKS)]))
}

/// Iterations of BDs in a chain, on both directions at once: two interleaved sequences go out of one buffer and into another.
///
/// # Errors
/// See [`super::facts`].
pub fn chain_iterates() -> Result<Probe, KernelError> {
    const RUNS: u32 = 3;
    // what the second BD of either chain adds
    const SECOND: u32 = RUNS * DISTANCE;
    let chain = |arg| {
        let bd = |at: u32| ShimBd::new(arg, u64::from(WORD * at), Pattern::linear(BLOCK).iterate(DISTANCE, RUNS as u8));
        [bd(0), bd(SECOND)]
    };
    let total = 2 * SECOND;
    let data = words(total);
    let mut copied = vec![UNTOUCHED_WORD; total as usize];
    let mut stuck = copied.clone();
    for run in 0..RUNS {
        for at in [run * DISTANCE, SECOND + run * DISTANCE] {
            let block = at as usize..(at + BLOCK) as usize;
            copied[block.clone()].copy_from_slice(&data[block]);
        }
    }
    for at in [0, SECOND] {
        let block = at as usize..(at + BLOCK) as usize;
        stuck[block.clone()].copy_from_slice(&data[block]);
    }
    let question = Question {
        name: "chain_iterates",
        asks: "Does the iteration of a BD inside a chain advance once for each run of the chain?",
        facts: &[28],
        outcomes: vec![
            Outcome::modelled("every BD of both chains advances with every run", bytes(&copied)),
            Outcome::different("the iterations of a chain stand still", "one task for each run", bytes(&stuck)),
        ],
        input: bytes(&data),
        otherwise: "one task for each run; iteration_reads and iteration_writes tell which direction is at fault",
    };
    short_circuit(question, |rt| {
        rt.task_chain(0, S2mm(0), &chain(OUT), RUNS, true)?;
        rt.task_chain(0, Mm2s(0), &chain(IN), RUNS, false)?;
        Ok(rt.wait(0, S2mm(0))?)
    })
}

/// A receiver pushed when its sender already runs.
///
/// # Errors
/// See [`super::facts`].
pub fn late_receiver() -> Result<Probe, KernelError> {
    const WORDS: u32 = 16384;
    let data = words(WORDS);
    let question = Question {
        name: "late_receiver",
        asks: "Does an S2MM task work that is pushed behind its sender?",
        facts: &[37],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("the sender waited", bytes(&data))],
        otherwise: "decode_attention: outputs are pushed before K and V, some 13 000 cycles",
    };
    short_circuit(question, |rt| {
        rt.task(0, Mm2s(0), &linear(IN, WORDS)?, 1, false)?;
        rt.task(0, S2mm(0), &linear(OUT, WORDS)?, 1, true)?;
        Ok(rt.wait(0, S2mm(0))?)
    })
}

/// Runs of 8 bytes into DDR, a line apart.
///
/// # Errors
/// See [`super::facts`].
pub fn short_runs() -> Result<Probe, KernelError> {
    const RUN: u32 = 2;
    const STRIDE: u32 = 16;
    const RUNS: u32 = 32;
    let data = words(RUN * RUNS);
    let mut out = vec![UNTOUCHED_WORD; (STRIDE * RUNS) as usize];
    for (i, run) in data.chunks_exact(RUN as usize).enumerate() {
        out[i * STRIDE as usize..][..RUN as usize].copy_from_slice(run);
    }
    let question = Question {
        name: "short_runs",
        asks: "Does an S2MM with runs shorter than a burst write these bytes and no others?",
        facts: &[25],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("the bytes between the runs are untouched", bytes(&out))],
        otherwise: "append whole groups of 8 tokens to the key-value cache, the last one kept in the core",
    };
    let pattern = Pattern::new(&[(1, RUN), (STRIDE, RUNS)]);
    short_circuit(question, |rt| send(rt, [(&linear(IN, RUN * RUNS)?, 1), (&ShimBd::new(OUT, 0, pattern), 1)]))
}

/// Words that begin and end in the middle of a burst, from one such place to another.
///
/// # Errors
/// See [`super::facts`].
pub fn unaligned() -> Result<Probe, KernelError> {
    const MOVED: u32 = 301;
    const FROM: u32 = 3;
    const TO: u32 = 17;
    let data = words(FROM + MOVED);
    let mut out = vec![UNTOUCHED_WORD; (TO + MOVED + BLOCK) as usize];
    out[TO as usize..][..MOVED as usize].copy_from_slice(&data[FROM as usize..]);
    let question = Question {
        name: "unaligned",
        asks: "Do shim tasks move exactly their words when they begin and end inside a burst?",
        facts: &[38],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("these words and no others", bytes(&out))],
        otherwise: "place rows, records and scratch at multiples of 64 bytes: `npu_package::layout`",
    };
    let at = |arg, first: u32| ShimBd::linear(arg, u64::from(WORD * first), u64::from(WORD * MOVED));
    short_circuit(question, |rt| send(rt, [(&at(IN, FROM)?, 1), (&at(OUT, TO)?, 1)]))
}

/// Where own memory of a mem tile begins for its DMA: the configuration writes it, the DMA reads it.
///
/// # Errors
/// See [`super::facts`].
pub fn mem_window() -> Result<Probe, KernelError> {
    // what arrives fills the first half of the buffer; the second half keeps what the configuration put there
    let (mut design, ring) = relay(1, 2 * BLOCK * WORD, Place::At(0))?;
    design.fill_by_dma(ring, S2mm(0), &[Pattern::linear(BLOCK)])?;
    design.drain_by_dma(ring, Mm2s(0), &[Pattern::linear(2 * BLOCK)])?;
    let all = words(2 * BLOCK);
    let (arriving, configured) = all.split_at(BLOCK as usize);
    design.init_data(Tile::mem(0), BLOCK * WORD, &bytes(configured))?;
    let mut rt = Runtime::new(GRID)?;
    send(&mut rt, [(&linear(IN, BLOCK)?, 1), (&linear(OUT, 2 * BLOCK)?, 1)])?;
    Question {
        name: "mem_window",
        asks: "Is byte 0 of a mem tile, as the configuration writes it, byte 0x80000 of its DMA?",
        facts: &[2],
        input: bytes(arriving),
        outcomes: vec![Outcome::modelled("own memory begins at 0x80000", bytes(&all))],
        otherwise: "own memory begins at 0: `MEM_DMA_OWN_BASE` of aie2_array::device",
    }
    .compiled(design, rt, &Programs::new())
}

/// A mem tile's S2MM writes in four dimensions.
///
/// # Errors
/// See [`super::facts`].
pub fn mem_scatter() -> Result<Probe, KernelError> {
    // rows of 64 words to tiles of 4 rows of 2 words
    let pattern = Pattern::new(&[(1, 2), (8, 32), (2, 4), (256, 4)]);
    let size = pattern.length_words() as u32;
    let (mut design, ring) = relay(2, size * WORD, Place::Anywhere)?;
    design.fill_by_dma(ring, S2mm(0), std::slice::from_ref(&pattern))?;
    design.drain_by_dma(ring, Mm2s(0), &[Pattern::linear(size)])?;
    let data = words(2 * size);
    let mut sorted = vec![0; data.len()];
    for (slot, part) in data.chunks_exact(size as usize).enumerate() {
        for (word, place) in part.iter().zip(pattern.words(0).flatten()) {
            sorted[slot * size as usize + place as usize] = *word;
        }
    }
    let mut rt = Runtime::new(GRID)?;
    send(&mut rt, [(&linear(IN, 2 * size)?, 1), (&linear(OUT, 2 * size)?, 1)])?;
    const CHANGE: &str = "the sort of w8a16_qkv_projection moves to the core tile's S2MM, two BDs a chunk";
    Question {
        name: "mem_scatter",
        asks: "Does a mem tile's S2MM write in four dimensions as its MM2S reads?",
        facts: &[26],
        outcomes: vec![
            Outcome::modelled("words stand where the pattern says", bytes(&sorted)),
            Outcome::different("the pattern is ignored", CHANGE, bytes(&data)),
        ],
        input: bytes(&data),
        otherwise: CHANGE,
    }
    .compiled(design, rt, &Programs::new())
}

/// Both sides of a mem tile's ring as tasks of the stream, another pattern in each phase.
///
/// # Errors
/// See [`super::facts`].
pub fn queued_ring() -> Result<Probe, KernelError> {
    let (mut design, ring) = relay(2, BLOCK * WORD, Place::Anywhere)?;
    let rows = Pattern::linear(BLOCK);
    let columns = Pattern::new(&[(8, 8), (1, 8)]);
    let phases = [&rows, &columns].map(|drain| RingPhase {
        slots: 2,
        slot_bytes: BLOCK * WORD,
        fill: vec![rows.clone()],
        drain: vec![drain.clone()],
    });
    design.queue_ring(ring, S2mm(0), Mm2s(0), &phases)?;
    let configuration = design.finish()?;
    let queued = queued(&configuration, ring)?;
    let mut rt = Runtime::new(GRID)?;
    let mut first = 0;
    // whole rounds of a ring of two, and broken ones
    let order = [(0, 5), (1, 4), (0, 1)];
    for (phase, slots) in order {
        let bd = |arg| ShimBd::linear(arg, u64::from(WORD * BLOCK * first), u64::from(WORD * BLOCK * slots));
        rt.ring(queued, phase, slots, 0, S2mm(0))?;
        send(&mut rt, [(&bd(IN)?, 1), (&bd(OUT)?, 1)])?;
        first += slots;
    }
    let data = words(BLOCK * first);
    let mut expected = Vec::new();
    let phase_of = order.into_iter().flat_map(|(phase, slots)| vec![phase; slots as usize]);
    for (slot, phase) in data.chunks_exact(BLOCK as usize).zip(phase_of) {
        expected.extend((0..64).map(|i| if phase == 0 { slot[i] } else { slot[i % 8 * 8 + i / 8] }));
    }
    const CHANGE: &str = "one endless chain that fits all phases";
    Question {
        name: "queued_ring",
        asks: "Does the firmware accept BDs and queue pushes of mem tiles in a stream?",
        facts: &[36],
        outcomes: vec![
            Outcome::modelled("each phase has its own pattern", bytes(&expected)),
            Outcome::different("the patterns of the configuration stay", CHANGE, bytes(&data)),
        ],
        input: bytes(&data),
        otherwise: CHANGE,
    }
    .configured(&configuration, rt.finish()?, &Programs::new())
}

/// The stream waits for a status register of a mem tile, which shows when a queued ring has sent everything.
///
/// # Errors
/// See [`super::facts`].
pub fn mask_poll() -> Result<Probe, KernelError> {
    const SLOTS: u32 = 6;
    let (mut design, ring) = relay(2, BLOCK * WORD, Place::Anywhere)?;
    let (fill, drain) = (vec![Pattern::linear(BLOCK)], vec![Pattern::linear(BLOCK)]);
    let phase = RingPhase { slots: 2, slot_bytes: BLOCK * WORD, fill, drain };
    design.queue_ring(ring, S2mm(0), Mm2s(0), &[phase])?;
    let configuration = design.finish()?;
    let queued = queued(&configuration, ring)?;
    let mut rt = Runtime::new(GRID)?;
    rt.ring(queued, 0, SLOTS, 0, S2mm(0))?;
    rt.task(0, S2mm(0), &linear(OUT, SLOTS * BLOCK)?, 1, true)?;
    rt.task(0, Mm2s(0), &linear(IN, SLOTS * BLOCK)?, 1, false)?;
    rt.ring_rests(queued)?;
    rt.wait(0, S2mm(0))?;
    let data = bytes(&words(SLOTS * BLOCK));
    Question {
        name: "mask_poll",
        asks: "Does the firmware run MASKPOLL, and does it end when the register agrees?",
        facts: &[39],
        input: data.clone(),
        outcomes: vec![Outcome::modelled("out is in, the poll has ended", data)],
        otherwise: "wait for tokens of the shim between phases instead of `Runtime::ring_rests`",
    }
    .configured(&configuration, rt.finish()?, &Programs::new())
}

const PARAMETER: MemRef = MemRef::space(3).in_bank(2);
const PARAMETER_AT: u32 = CORE_BASE + 0x8000;

/// A core adds a word that the stream writes before it pushes the core's data.
///
/// # Errors
/// See [`super::facts`].
pub fn parameter_first() -> Result<Probe, KernelError> {
    let mut bench = Bench::new(1, BLOCK * WORD, BLOCK * WORD)?;
    let tile = Tile::core(BENCH.0, BENCH.1);
    bench.design.reserve(tile, "parameter", 32, Place::At(tile_offset(PARAMETER_AT)))?;
    let (data, result) = (MemRef::space(1).in_bank(0), MemRef::space(2).in_bank(1));
    let program = bench.program(|a, from, to| {
        let (p, q, at) = (pointer(a, from), pointer(a, to), pointer(a, PARAMETER_AT));
        let (x, y) = (a.r(), a.r());
        a.mi(PARAMETER, "lda {}, [{}], #0", &[y, at]);
        a.loop_n("add", BLOCK, |a| {
            a.mi(data, "lda {}, [{}], #4", &[x, p]);
            a.add(x, x, y);
            a.mi(result, "st {}, [{}], #4", &[x, q]);
        });
    })?;
    let mut rt = Runtime::new(GRID)?;
    let parameters = [word(1000), word(2000), word(3000)];
    let (all, block) = (BLOCK * parameters.len() as u32, u64::from(WORD * BLOCK));
    for (i, parameter) in parameters.iter().enumerate() {
        rt.write_words(tile, tile_offset(PARAMETER_AT), &[*parameter])?;
        rt.task(BENCH.0, S2mm(0), &ShimBd::linear(OUT, block * i as u64, block)?, 1, true)?;
        rt.task(BENCH.0, Mm2s(0), &ShimBd::linear(IN, block * i as u64, block)?, 1, false)?;
        rt.wait(BENCH.0, S2mm(0))?;
    }
    let input = words(all);
    let own = |(i, x): (usize, &u32)| x.wrapping_add(parameters[i / BLOCK as usize]);
    let sums: Vec<u32> = input.iter().enumerate().map(own).collect();
    Question {
        name: "parameter_first",
        asks: "Does a core see a word the stream wrote before the data that were pushed behind it?",
        facts: &[30],
        input: bytes(&input),
        outcomes: vec![Outcome::modelled("every block meets its own parameter", bytes(&sums))],
        otherwise: "norm_rope's counts travel on A",
    }
    .compiled(bench.design, rt, &Programs::from([(BENCH, program)]))
}
