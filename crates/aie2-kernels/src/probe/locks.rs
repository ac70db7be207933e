//! Facts about lock instructions of a core.

use aie2_codegen::{Asm, CodegenError, Guards, MemRef, Operand, Piece, RawInsn};

use super::rig::{BENCH, BENCH_IN, BENCH_OUT, Bench, Programs, Question, WORD, bytes, constant, pointer, words};
use super::{Outcome, Probe};
use crate::KernelError;

const DATA: MemRef = MemRef::space(1).in_bank(0);
const RESULT: MemRef = MemRef::space(2).in_bank(1);
/// Words of a unit.
const UNIT: u32 = 64;

/// An acquire by -2 waits for both buffers of a ring of two.
///
/// # Errors
/// See [`super::facts`].
pub fn acquire_two() -> Result<Probe, KernelError> {
    const PAIRS: u32 = 8;
    let bench = Bench::new(2, UNIT * WORD, UNIT * WORD)?;
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    let (two, minus_two) = (constant(&mut a, 2), constant(&mut a, -2));
    let (input, output) = (&bench.input, &bench.output);
    a.forever(|a| {
        a.acq(Guards::All, input.acquire.id, minus_two);
        a.acq(Guards::All, output.acquire.id, minus_one);
        let [p, q] = [0, 1].map(|slot| pointer(a, input.slot_addresses[slot]));
        let to = pointer(a, output.slot_addresses[0]);
        let (x, y) = (a.r(), a.r());
        a.loop_n("add", UNIT, |a| {
            a.mi(DATA, "lda {}, [{}], #4", &[x, p]);
            a.mi(DATA, "lda {}, [{}], #4", &[y, q]);
            a.add(x, x, y);
            a.mi(RESULT, "st {}, [{}], #4", &[x, to]);
        });
        a.rel(Guards::All, output.release.id, one);
        a.rel(Guards::All, input.release.id, two);
    });
    let program = a.finish()?;
    let data = words(2 * PAIRS * UNIT);
    let mut sums = Vec::new();
    for pair in data.chunks_exact(2 * UNIT as usize) {
        let (first, second) = pair.split_at(UNIT as usize);
        sums.extend(first.iter().zip(second).map(|(x, y)| x.wrapping_add(*y)));
    }
    const CHANGE: &str = "scaled_attention: two acquires by -1 for a pair of units of B";
    Question {
        name: "acquire_two",
        asks: "Does an acquire by -2 take both units of a ring of two at once?",
        facts: &[33],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("sums of pairs", bytes(&sums))],
        otherwise: CHANGE,
    }
    .compiled(
        bench.design,
        Bench::call(data.len() * WORD as usize, sums.len() * WORD as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

/// Lock instructions whose number stands in a register.
///
/// # Errors
/// See [`super::facts`].
pub fn lock_number_in_register() -> Result<Probe, KernelError> {
    const UNITS: u32 = 4;
    let bench = Bench::new(1, UNIT * WORD, UNIT * WORD)?;
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    let (input, output) = (&bench.input, &bench.output);
    let ids = [input.acquire.id, output.acquire.id, output.release.id, input.release.id];
    let [full, empty, out_full, in_empty] = ids.map(|id| constant(&mut a, id.into()));
    a.forever(|a| {
        a.lock(Guards::All, "acq {}, {}", &[full, minus_one]);
        a.lock(Guards::All, "acq {}, {}", &[empty, minus_one]);
        let (p, q, x) = (pointer(a, input.slot_addresses[0]), pointer(a, output.slot_addresses[0]), a.r());
        a.loop_n("copy", UNIT, |a| {
            a.mi(DATA, "lda {}, [{}], #4", &[x, p]);
            a.add(x, x, one);
            a.mi(RESULT, "st {}, [{}], #4", &[x, q]);
        });
        a.lock(Guards::All, "rel {}, {}", &[out_full, one]);
        a.lock(Guards::All, "rel {}, {}", &[in_empty, one]);
    });
    let program = a.finish()?;
    let data = words(UNITS * UNIT);
    let plus_one: Vec<u32> = data.iter().map(|x| x.wrapping_add(1)).collect();
    Question {
        name: "lock_number_in_register",
        asks: "Do lock instructions with the number in a register behave as those with an immediate?",
        facts: &[34],
        input: bytes(&data),
        outcomes: vec![Outcome::modelled("out is in plus one", bytes(&plus_one))],
        otherwise: "decode_attention: a copy of the loop for each ring",
    }
    .compiled(
        bench.design,
        Bench::call(data.len() * WORD as usize, data.len() * WORD as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

/// Bundles of [`load_across_acquire`]: the load, the acquire that waits, a store before the load lands, one after.
const LOAD_AT: usize = 0;
const ACQUIRE_AT: usize = 2;
const EARLY_STORE_AT: usize = 4;
const LATE_STORE_AT: usize = 10;

/// A load is in flight when the core stops at a lock: it lands as many bundles later as without the stop.
///
/// # Errors
/// See [`super::facts`].
pub fn load_across_acquire() -> Result<Probe, KernelError> {
    const VECTOR_WORDS: u32 = 8;
    const OUT_WORDS: u32 = 2 * VECTOR_WORDS;
    let bench = Bench::new(2, UNIT * WORD, OUT_WORDS * WORD)?;
    let (full, empty) = (bench.input.acquire.id, bench.input.release.id);
    let (out_empty, out_full) = (bench.output.acquire.id, bench.output.release.id);
    // the second unit is nobody's data: its lock is what the core waits for, some 60 cycles behind the first one's
    let in_flight = piece(full, Guards::Spaces(vec![9]))?;
    let mut a = Asm::new();
    let reg = Operand::reg;
    a.imm(reg("r0"), -1);
    a.imm(reg("r1"), 1);
    a.forever(|a| {
        a.imm(reg("p0"), BENCH_IN.into());
        a.imm(reg("p1"), BENCH_OUT.into());
        a.acq(Guards::All, out_empty, reg("r0"));
        a.acq(Guards::All, full, reg("r0"));
        // what the register holds before: the first vector of the unit
        a.mi(DATA, "vlda wl0, [p0], #32", &[]);
        a.raw("in flight", in_flight);
        a.rel(Guards::All, out_full, reg("r1"));
        a.rel(Guards::All, empty, reg("r1"));
        a.rel(Guards::All, empty, reg("r1"));
    });
    let program = a.finish()?;
    let data = words(2 * UNIT);
    let vector = |i: usize| data[i * VECTOR_WORDS as usize..(i + 1) * VECTOR_WORDS as usize].to_vec();
    let (old, new) = (vector(0), vector(1));
    const CHANGE: &str = "a gap of 8 bundles before each lock instruction of the GEMM loop, 1.5 % of it";
    Question {
        name: "load_across_acquire",
        asks: "Does a load in flight freeze with the core at a lock?",
        facts: &[5],
        input: bytes(&data),
        outcomes: vec![
            Outcome::modelled("the load lands as scheduled", bytes(&[old, new.clone()].concat())),
            Outcome::different("the load lands while the core waits", CHANGE, bytes(&[new.clone(), new].concat())),
        ],
        otherwise: CHANGE,
    }
    .compiled(
        bench.design,
        Bench::call(data.len() * WORD as usize, (OUT_WORDS * WORD) as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

fn piece(full: u8, guards: Guards) -> Result<Piece, CodegenError> {
    let lock = Operand::Imm(full.into());
    Ok(Piece::new(LATE_STORE_AT + 1)
        .extra(LOAD_AT, RawInsn::new("vlda wl0, [p0, #0]", &[])?.mem(DATA))
        .extra(ACQUIRE_AT, RawInsn::new("acq {}, {}", &[lock, Operand::reg("r0")])?.guards(guards))
        .extra(EARLY_STORE_AT, RawInsn::new("vst wl0, [p1], #32", &[])?.mem(RESULT).early())
        .extra(LATE_STORE_AT, RawInsn::new("vst wl0, [p1], #32", &[])?.mem(RESULT)))
}
