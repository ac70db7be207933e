//! Questions whose answer is a time.
//!
//! ```text
//! cycles of one repetition = (time with many - time with few) / (many - few) · clock
//! ```
//! What a dispatch costs drops out of the difference.

use aie2_array::{Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};
use aie2_codegen::{Asm, MemRef};

use super::bandwidth::{Source, read};
use super::rig::{BENCH, Bench, CORE_BASE, IN, OUT, Programs, Question, WORD, bytes, design, multiple, pointer, words};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::grid::{GRID, tile_offset};

/// Two probes that differ in how often they do a thing.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The few, the many.
    pub probes: [Probe; 2],
    /// How often.
    pub repeats: [u32; 2],
    /// Cycles of one repetition as modelled.
    pub cycles: f64,
    /// Share by which a measurement may differ and still be as modelled.
    pub tolerance: f64,
    /// What is wrong beyond.
    pub otherwise: &'static str,
}

impl Timing {
    /// Cycles of one repetition, from the cycles (or seconds times clock) of both probes.
    pub fn cycles_of(&self, few: f64, many: f64) -> f64 {
        (many - few) / f64::from(self.repeats[1] - self.repeats[0])
    }

    /// Whether a number of cycles is what the model says.
    pub fn as_modelled(&self, cycles: f64) -> bool {
        (cycles / self.cycles - 1.0).abs() <= self.tolerance
    }
}

const LANES: u32 = 16;
const VECTOR_BYTES: u32 = 64;
const DATA: MemRef = MemRef::space(1).in_bank(0);
const RESULT: MemRef = MemRef::space(2).in_bank(1);

/// Bundles of an iteration of [`bundles`].
const CHAIN: u32 = 8;
/// Iterations at most: a second at the slowest clock.
const ITERATIONS_MAX: u64 = 100_000_000;

/// A loop of eight additions that wait for each other, `few` and `many` times: eight cycles each, so the clock.
///
/// # Errors
/// `few` is 0 or not below `many`, or `many` above 100 million: a command must end within the driver's patience.
pub fn bundles(few: u32, many: u32) -> Result<Timing, KernelError> {
    let name = "bundles";
    multiple(name, "iterations", 1, ITERATIONS_MAX, many.into())?;
    multiple(name, "few iterations", 1, u64::from(many) - 1, few.into())?;
    let probe = |iterations: u32| {
        let input = words(LANES);
        let sums: Vec<u32> =
            input.iter().map(|x| x.wrapping_add(x.wrapping_mul(CHAIN.wrapping_mul(iterations)))).collect();
        let question = Question {
            name,
            asks: "How many cycles a second does a core run?",
            facts: &[11],
            input: bytes(&input),
            outcomes: vec![Outcome::modelled("all additions were made", bytes(&sums))],
            otherwise: "a hardware loop ran another number of times",
        };
        Bench::ask(question, VECTOR_BYTES, |a, from, to| {
            let (v, step, q) = (a.x(), a.x(), pointer(a, to));
            for both in [v, step] {
                let p = pointer(a, from);
                a.vlda(DATA, both.lo(), p, 32);
                a.vlda(DATA, both.hi(), p, 32);
            }
            a.pipelined("chain", CHAIN, iterations, |a| {
                for _ in 0..CHAIN {
                    a.i("vadd.32 {}, {}, {}", &[v, v, step]);
                }
            });
            a.vst(RESULT, v.lo(), q, 32);
            a.vst(RESULT, v.hi(), q, 32);
        })
    };
    Ok(Timing {
        probes: [probe(few)?, probe(many)?],
        repeats: [few, many],
        cycles: CHAIN.into(),
        tolerance: 0.03,
        otherwise: "the driver reports another clock than the array has: times in milliseconds scale by the ratio",
    })
}

/// Bytes of a buffer of [`bank_shared`].
const RELAY_BYTES: u32 = 4096;
/// Bank of the loads, and of a relay that stays out of their way.
const OTHER_BANK: u32 = 0x8000;
const LOADED_AT: u32 = CORE_BASE + 0x2000;

/// A DMA relays data through a core's memory while the core loads from one bank in every cycle: the same one, or another. Repetitions are
/// buffers of 4 KiB.
///
/// # Errors
/// `few` is 0 or not below `many`, or `many` is above 65536.
pub fn bank_shared(same: bool, few: u32, many: u32) -> Result<Timing, KernelError> {
    let name = if same { "bank_shared" } else { "bank_alone" };
    multiple(name, "buffers", 1, 65_536, many.into())?;
    multiple(name, "few buffers", 1, u64::from(many) - 1, few.into())?;
    let probe = |buffers: u32| -> Result<Probe, KernelError> {
        let mut design = design()?;
        let (tile, shim) = (Tile::core(BENCH.0, BENCH.1), Tile::shim(BENCH.0));
        let at = if same { 0 } else { OTHER_BANK };
        let ring = design.ring(tile, "relay", 2, RELAY_BYTES, Place::At(at))?;
        let linear = [Pattern::linear(RELAY_BYTES / WORD)];
        design.fill_by_dma(ring, S2mm(0), &linear)?;
        design.drain_by_dma(ring, Mm2s(0), &linear)?;
        design.connect(shim.mm2s(0), &[tile.s2mm(0)])?;
        design.connect(tile.mm2s(0), &[shim.s2mm(0)])?;
        design.reserve(tile, "loaded", 32, Place::At(tile_offset(LOADED_AT)))?;
        design.init_data(tile, tile_offset(LOADED_AT), &bytes(&words(8)))?;
        let mut a = Asm::new();
        a.forever(|a| {
            let (p, w) = (pointer(a, LOADED_AT), a.w());
            a.pipelined("load", 1, 4096, |a| {
                a.mi(DATA, "vlda {}, [{}, #0]", &[w, p]);
            });
        });
        let program = a.finish()?;
        let data = words(buffers * RELAY_BYTES / WORD);
        let mut rt = Runtime::new(GRID)?;
        let whole = |arg| ShimBd::linear(arg, 0, data.len() as u64 * u64::from(WORD));
        rt.task(BENCH.0, S2mm(0), &whole(OUT)?, 1, true)?;
        rt.task(BENCH.0, Mm2s(0), &whole(IN)?, 1, false)?;
        rt.wait(BENCH.0, S2mm(0))?;
        Question {
            name,
            asks: "Does a DMA keep its rate in a bank that its core reads in every cycle?",
            facts: &[12],
            input: bytes(&data),
            outcomes: vec![Outcome::modelled("out is in", bytes(&data))],
            otherwise: "no end in the same bank: the DMA starves; the loop needs a free cycle every 4, or B another bank",
        }
        .compiled(design, rt, &Programs::from([(BENCH, program)]))
    };
    Ok(Timing {
        probes: [probe(few)?, probe(many)?],
        repeats: [few, many],
        cycles: f64::from(RELAY_BYTES / WORD) * 1.05,
        tolerance: 0.1,
        otherwise: "B starves: a free cycle every 4 in the GEMM loop, or B in a bank of its own",
    })
}

/// Four shims read the same runs of 2 KiB at a stride of 8 KiB, as many as `few` and `many` say.
///
/// # Errors
/// `few` is 0, not a multiple of four runs, or not below `many`; `many` is above 4096.
pub fn strided_rows(few: u32, many: u32) -> Result<Timing, KernelError> {
    let name = "strided_rows";
    multiple(name, "runs", 4, 4096, many.into())?;
    multiple(name, "few runs", 4, u64::from(many) - 4, few.into())?;
    let channels: Vec<(u8, u8)> = (0..GRID).map(|col| (col, 0)).collect();
    let probe = |runs: u32| {
        read(
            name,
            &channels,
            runs * Source::RUN_BYTES,
            Source::SharedRuns,
            "How fast do four shims read the same runs of 2 KiB, 8 KiB apart?",
            &[32],
        )
    };
    Ok(Timing {
        probes: [probe(few)?, probe(many)?],
        repeats: [few, many],
        cycles: f64::from(Source::RUN_BYTES / WORD) * 1.05,
        tolerance: 0.1,
        otherwise: "scaled_attention at S = 2048: mem tiles hand K on to their neighbours",
    })
}
