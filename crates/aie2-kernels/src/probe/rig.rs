//! What probes share: from a design, a stream and programs to a [`Compiled`]; test data; words and bytes.

use std::collections::BTreeMap;

use aie2_array::runtime::Stream;
use aie2_array::{Configuration, CoreRing, Design, Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};
use aie2_codegen::{Asm, Guards, Operand, Program};
use npu_package::layout::names::OPAQUE;

use super::{Outcome, Probe, UNTOUCHED};
pub(super) use crate::grid::CORE_BASE;
use crate::grid::{GRID, tile_offset};
pub(super) use crate::registers::constant;
use crate::{Compiled, CoreBinary, Dtype, KernelError};

/// Bytes of a word.
pub(super) const WORD: u32 = 4;
/// Host buffers.
pub(super) const IN: u32 = 0;
pub(super) const OUT: u32 = 1;

/// Programs by tile.
pub(super) type Programs = BTreeMap<(u8, u8), Program>;

/// What makes a probe beside its name and its design.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) asks: &'static str,
    pub(super) facts: &'static [u8],
    pub(super) input: Vec<u8>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) otherwise: &'static str,
}

impl Question {
    /// Joins it with its design. Both host buffers are declared as long as their contents; the stream must stay inside them.
    pub(super) fn compiled(
        self,
        mut design: Design,
        runtime: Runtime,
        programs: &Programs,
    ) -> Result<Probe, KernelError> {
        for (&(col, row), program) in programs {
            design.program(Tile::core(col, row), &program.bytes)?;
        }
        let configuration = design.finish()?;
        self.configured(&configuration, runtime.finish()?, programs)
    }

    /// The same for a design that is already lowered.
    pub(super) fn configured(
        self,
        configuration: &Configuration,
        stream: Stream,
        programs: &Programs,
    ) -> Result<Probe, KernelError> {
        let Self { name, asks, facts, input, outcomes, otherwise } = self;
        let out_bytes = outcomes.first().map_or(0, |o| o.after[0].len());
        let extent = |arg: u32| stream.extents.get(&arg).copied().unwrap_or_default();
        for (arg, has) in [(IN, input.len()), (OUT, out_bytes)] {
            let needed = extent(arg).bytes();
            if needed > has as u64 {
                let what = if arg == IN { "bytes of in" } else { "bytes of out" };
                return Err(KernelError::Refused { kernel: name, what, needed: needed as usize, found: has });
            }
        }
        let operands = match (input.len(), out_bytes) {
            (0, 0) => Vec::new(),
            (read, written) => vec![
                crate::Operand::input("in", read, Dtype::U8, vec![read], OPAQUE),
                crate::Operand::output("out", written, Dtype::U8, vec![written], OPAQUE),
            ],
        };
        let first = aie2_array::device::FIRST_CORE_ROW;
        let cores = programs.iter().map(|(&(col, row), program)| ((col, row + first), CoreBinary::from(program)));
        Ok(Probe {
            asks,
            facts,
            compiled: Compiled::new(name, cores.collect(), configuration.clone(), &stream, operands),
            output: vec![UNTOUCHED; out_bytes],
            moved_bytes: [extent(IN).read_bytes, extent(OUT).written_bytes],
            input,
            outcomes,
            otherwise,
        })
    }
}

/// A design of the whole partition in which every shim can send tokens.
pub(super) fn design() -> Result<Design, KernelError> {
    let mut design = Design::new(GRID)?;
    for col in 0..GRID {
        design.token_route(col)?;
    }
    Ok(design)
}

/// The one tile that asks a core's questions.
pub(super) const BENCH: (u8, u8) = (0, 0);
/// Its input buffers lie in bank 0, its outputs in bank 1.
pub(super) const BENCH_IN: u32 = CORE_BASE;
pub(super) const BENCH_OUT: u32 = CORE_BASE + 0x4000;

/// One core with a ring of its own shim in and one out, and nothing between.
pub(super) struct Bench {
    pub(super) design: Design,
    pub(super) input: CoreRing,
    pub(super) output: CoreRing,
}

impl Bench {
    /// Rings of `in_slots` buffers of `in_bytes`, and one of `out_bytes`.
    pub(super) fn new(in_slots: usize, in_bytes: u32, out_bytes: u32) -> Result<Self, KernelError> {
        let mut design = design()?;
        let (tile, shim) = (Tile::core(BENCH.0, BENCH.1), Tile::shim(BENCH.0));
        let places = (0..in_slots as u32).map(|i| tile_offset(BENCH_IN) + i * in_bytes).collect();
        let input = design.ring(tile, "in", in_slots, in_bytes, Place::Each(places))?;
        let output = design.ring(tile, "out", 1, out_bytes, Place::At(tile_offset(BENCH_OUT)))?;
        design.fill_by_dma(input, S2mm(0), &[Pattern::linear(in_bytes / WORD)])?;
        design.drain_by_dma(output, Mm2s(0), &[Pattern::linear(out_bytes / WORD)])?;
        design.connect(shim.mm2s(0), &[tile.s2mm(0)])?;
        design.connect(tile.mm2s(0), &[shim.s2mm(0)])?;
        let (input, output) = (design.core_drains(input)?, design.core_fills(output)?);
        Ok(Self { design, input, output })
    }

    /// The stream of one call: `in_bytes` in, `out_bytes` out.
    pub(super) fn call(in_bytes: usize, out_bytes: usize) -> Result<Runtime, KernelError> {
        let mut rt = Runtime::new(GRID)?;
        rt.task(BENCH.0, S2mm(0), &ShimBd::linear(OUT, 0, out_bytes as u64)?, 1, true)?;
        rt.task(BENCH.0, Mm2s(0), &ShimBd::linear(IN, 0, in_bytes as u64)?, 1, false)?;
        rt.wait(BENCH.0, S2mm(0))?;
        Ok(rt)
    }

    /// A program that for each buffer of the input ring and the output buffer does `body`.
    pub(super) fn program(&self, body: impl Fn(&mut Asm, u32, u32)) -> Result<Program, KernelError> {
        let mut a = Asm::new();
        let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
        a.forever(|a| {
            for &at in &self.input.slot_addresses {
                a.acq(Guards::All, self.input.acquire.id, minus_one);
                a.acq(Guards::All, self.output.acquire.id, minus_one);
                body(a, at, self.output.slot_addresses[0]);
                a.rel(Guards::All, self.output.release.id, one);
                a.rel(Guards::All, self.input.release.id, one);
            }
        });
        Ok(a.finish()?)
    }

    /// A probe of one input buffer and one output buffer.
    pub(super) fn ask(
        question: Question,
        out_bytes: u32,
        body: impl Fn(&mut Asm, u32, u32),
    ) -> Result<Probe, KernelError> {
        let in_bytes = question.input.len();
        let bench = Self::new(1, in_bytes as u32, out_bytes)?;
        let program = bench.program(body)?;
        let rt = Self::call(in_bytes, out_bytes as usize)?;
        question.compiled(bench.design, rt, &Programs::from([(BENCH, program)]))
    }
}

/// A pointer.
pub(super) fn pointer(a: &mut Asm, at: u32) -> Operand {
    let p = a.p();
    a.imm(p, i64::from(at));
    p
}

/// Word `i` of test data: no two of 2³² are alike, and neighbours differ in all bytes.
pub(super) fn word(i: u32) -> u32 {
    // the golden ratio times 2³², odd and so invertible
    i.wrapping_mul(0x9E37_79B1)
}

/// The first words of test data.
pub(super) fn words(n: u32) -> Vec<u32> {
    (0..n).map(word).collect()
}

/// Little-endian bytes.
pub(super) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A word of a buffer that nobody wrote.
pub(super) const UNTOUCHED_WORD: u32 = u32::from_ne_bytes([UNTOUCHED; 4]);

/// Refuses a size that is not a multiple of `unit` between `unit` and `limit`.
pub(super) fn multiple(
    kernel: &'static str,
    what: &'static str,
    unit: u64,
    limit: u64,
    found: u64,
) -> Result<(), KernelError> {
    let found_usize = usize::try_from(found).unwrap_or(usize::MAX);
    if found == 0 || !found.is_multiple_of(unit) {
        return Err(KernelError::Refused { kernel, what, needed: unit as usize, found: found_usize });
    }
    if found > limit {
        return Err(KernelError::Refused { kernel, what, needed: limit as usize, found: found_usize });
    }
    Ok(())
}
