//! Facts about instructions: what is in flight, forwarding, float sums, shuffles.

use aie2_codegen::{Asm, Guards, MemRef, Operand, Piece, RawInsn};

use super::rig::{BENCH, BENCH_IN, BENCH_OUT, Bench, Programs, Question, WORD, bytes, constant, pointer, words};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::registers::config;

const DATA: MemRef = MemRef::space(1).in_bank(0);
const RESULT: MemRef = MemRef::space(2).in_bank(1);
/// Lanes of a vector of words, and of a float accumulator.
const LANES: usize = 16;

/// Signs of the first and of the second accumulator.
// SOURCE: Xilinx/llvm-aie clang/lib/Headers/aiev2/aiev2_vmult.h, sub1 and sub2.
const SUB1: i64 = 1 << 12;
const SUB2: i64 = 1 << 13;

fn load(a: &mut Asm, v: Operand, p: Operand) {
    a.vlda(DATA, v.lo(), p, 32);
    a.vlda(DATA, v.hi(), p, 32);
}

fn store(a: &mut Asm, v: Operand, p: Operand) {
    a.vst(RESULT, v.lo(), p, 32);
    a.vst(RESULT, v.hi(), p, 32);
}

/// How far behind a load of an accumulator quarter stores of it are tried; the load takes 7 bundles.
const TRIED: [usize; 6] = [1, 2, 3, 4, 5, 6];

/// An accumulator quarter is stored while its next value is in flight.
///
/// # Errors
/// See [`super::facts`].
pub fn load_in_flight() -> Result<Probe, KernelError> {
    const QUARTER_WORDS: u32 = 8;
    // for each distance the early store, and one when the load has landed
    let out_words = 2 * TRIED.len() as u32 * QUARTER_WORDS;
    let data = words(2 * QUARTER_WORDS);
    let bench = Bench::new(1, data.len() as u32 * WORD, out_words * WORD)?;
    let mut pieces = Vec::new();
    for distance in TRIED {
        let insn = |text: &str| RawInsn::new(text, &[]);
        pieces.push(
            Piece::new(12)
                .extra(0, insn("vlda amll0, [p0, #32]")?.mem(DATA))
                .extra(distance, insn("vst amll0, [p1], #32")?.mem(RESULT).early())
                .extra(11, insn("vst amll0, [p1], #32")?.mem(RESULT)),
        );
    }
    let mut a = Asm::new();
    let reg = Operand::reg;
    a.imm(reg("r0"), -1);
    a.imm(reg("r1"), 1);
    a.forever(|a| {
        a.acq(Guards::All, bench.input.acquire.id, reg("r0"));
        a.acq(Guards::All, bench.output.acquire.id, reg("r0"));
        a.imm(reg("p0"), BENCH_IN.into());
        a.imm(reg("p1"), BENCH_OUT.into());
        for piece in pieces {
            a.mi(DATA, "vlda amll0, [p0, #0]", &[]);
            a.raw("in flight", piece);
        }
        a.rel(Guards::All, bench.output.release.id, reg("r1"));
        a.rel(Guards::All, bench.input.release.id, reg("r1"));
    });
    let program = a.finish()?;
    let (old, new) = data.split_at(QUARTER_WORDS as usize);
    let exposed: Vec<u32> = TRIED.iter().flat_map(|_| [old, new].concat()).collect();
    let interlocked: Vec<u32> = TRIED.iter().flat_map(|_| [new, new].concat()).collect();
    Question {
        name: "load_in_flight",
        asks: "Is an accumulator quarter stored with its old value up to 6 bundles behind the load of its next one?",
        facts: &[6],
        input: bytes(&data),
        outcomes: vec![
            Outcome::modelled("every early store sees the old value", bytes(&exposed)),
            Outcome::different(
                "stores wait for the load: there is an interlock",
                "every schedule is still right where it reads the newest value; the GEMM loop's exchange moves, II 72",
                bytes(&interlocked),
            ),
        ],
        otherwise: "the GEMM loop exchanges its accumulators later, II 72; the first wrong block tells the distance that fails",
    }
    .compiled(
        bench.design,
        Bench::call(data.len() * WORD as usize, (out_words * WORD) as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

/// A load and a product of one accumulator quarter issue in one bundle: the product lands first, then the load.
///
/// # Errors
/// See [`super::facts`].
pub fn product_and_load() -> Result<Probe, KernelError> {
    /// The product has landed, the load has not; both have.
    const READ_AT: [usize; 3] = [5, 6, 12];
    const QUARTER_WORDS: u32 = 8;
    let out_words = READ_AT.len() as u32 * QUARTER_WORDS;
    let data = words(LANES as u32);
    let bench = Bench::new(1, data.len() as u32 * WORD, out_words * WORD)?;
    let insn = |text: &str| RawInsn::new(text, &[]);
    let mut together = Piece::new(READ_AT[2] + 1)
        .extra(0, insn("vlda amll0, [p0, #0]")?.mem(DATA))
        .extra(0, insn("vmac cm0, cm1, x0, x0, r2")?);
    for at in READ_AT {
        together = together.extra(at, insn("vst amll0, [p1], #32")?.mem(RESULT).early());
    }
    let mut a = Asm::new();
    let reg = Operand::reg;
    for (r, value) in [("r0", -1), ("r1", 1), ("r2", config::INT8_4X8X8), ("r4", 0x0101_0101)] {
        a.imm(reg(r), value);
    }
    a.i("vbcst.32 x0, r4", &[]);
    a.i("vclr cm0", &[]);
    a.i("vclr cm1", &[]);
    a.forever(|a| {
        a.acq(Guards::All, bench.input.acquire.id, reg("r0"));
        a.acq(Guards::All, bench.output.acquire.id, reg("r0"));
        a.imm(reg("p0"), BENCH_IN.into());
        a.imm(reg("p1"), BENCH_OUT.into());
        a.raw("together", together);
        a.rel(Guards::All, bench.output.release.id, reg("r1"));
        a.rel(Guards::All, bench.input.release.id, reg("r1"));
    });
    let program = a.finish()?;
    let loaded = &data[..QUARTER_WORDS as usize];
    let product = [8; QUARTER_WORDS as usize];
    const CHANGE: &str = "the load of X's first quarter one slot later, II 65";
    Question {
        name: "product_and_load",
        asks: "Do a load and a product of one accumulator quarter issue in one bundle, and does the product land first?",
        facts: &[13],
        input: bytes(&data),
        outcomes: vec![
            Outcome::modelled("product, then load", bytes(&[&product, &product, loaded].concat())),
            Outcome::different("the load is lost", CHANGE, bytes(&[product; 3].concat())),
            Outcome::different("the product is lost", CHANGE, bytes(&[loaded; 3].concat())),
        ],
        otherwise: CHANGE,
    }
    .compiled(
        bench.design,
        Bench::call(data.len() * WORD as usize, (out_words * WORD) as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

/// `vadd` and `vsub` read an accumulator 2 and 3 bundles behind the product that writes it.
///
/// # Errors
/// See [`super::facts`].
pub fn product_forwarded() -> Result<Probe, KernelError> {
    const TRIALS: [(&str, usize); 4] = [("vadd", 2), ("vadd", 3), ("vsub", 2), ("vsub", 3)];
    const QUARTER_WORDS: usize = 8;
    let bench = Bench::new(1, 64, (TRIALS.len() * QUARTER_WORDS) as u32 * WORD)?;
    let mut pieces = Vec::new();
    for (op, distance) in TRIALS {
        let insn = |text: &str| RawInsn::new(text, &[]);
        pieces.push(
            Piece::new(14)
                .extra(0, insn("vmac cm0, cm0, x0, x0, r2")?)
                .extra(distance, insn(&format!("{op} cm1, cm0, cm2, r3"))?)
                .extra(13, insn("vst amll1, [p1], #32")?.mem(RESULT)),
        );
    }
    let mut a = Asm::new();
    let reg = Operand::reg;
    for (r, value) in [("r0", -1), ("r1", 1), ("r2", config::INT8_4X8X8), ("r3", 0), ("r4", 0x0101_0101)] {
        a.imm(reg(r), value);
    }
    a.i("vbcst.32 x0, r4", &[]);
    a.i("vclr cm2", &[]);
    a.forever(|a| {
        a.acq(Guards::All, bench.input.acquire.id, reg("r0"));
        a.acq(Guards::All, bench.output.acquire.id, reg("r0"));
        a.imm(reg("p1"), BENCH_OUT.into());
        for piece in pieces {
            a.i("vclr cm0", &[]);
            a.i("vclr cm1", &[]);
            a.raw("forwarded", piece);
        }
        a.rel(Guards::All, bench.output.release.id, reg("r1"));
        a.rel(Guards::All, bench.input.release.id, reg("r1"));
    });
    let program = a.finish()?;
    // eight products of 1 and 1
    let lanes = |value: u32| vec![value; QUARTER_WORDS];
    let all =
        |two: u32| bytes(&TRIALS.iter().flat_map(|&(_, d)| lanes(if d == 2 { two } else { 8 })).collect::<Vec<_>>());
    const CHANGE: &str = "latency 3 in one row of the itineraries";
    Question {
        name: "product_forwarded",
        asks: "Do integer vadd and vsub take an accumulator from the bypass, 2 bundles behind its product?",
        facts: &[7],
        input: bytes(&words(LANES as u32)),
        outcomes: vec![
            Outcome::modelled("both distances see the product", all(8)),
            Outcome::different("2 bundles behind is too early", CHANGE, all(0)),
        ],
        otherwise: CHANGE,
    }
    .compiled(
        bench.design,
        Bench::call(64, TRIALS.len() * QUARTER_WORDS * WORD as usize)?,
        &Programs::from([(BENCH, program)]),
    )
}

/// One lane of [`float_rounding`]: accumulator, two products, the model's sum, the exact sum rounded once.
struct Sum {
    acc: f32,
    products: [(f32, f32); 2],
    modelled: f32,
    exact: f32,
}

const TWO_24: f32 = 16_777_216.0;
/// 1.5 · 2²³, by which kernels round.
const MAGIC: f32 = 12_582_912.0;

const SUMS: [Sum; 8] = [
    // on the grid of 2, the distance of floats at 2^24
    Sum { acc: TWO_24, products: [(0.75, 1.0), (0.75, 1.0)], modelled: TWO_24, exact: TWO_24 + 2.0 },
    Sum { acc: TWO_24, products: [(1.25, 1.0), (1.25, 1.0)], modelled: TWO_24 + 4.0, exact: TWO_24 + 2.0 },
    Sum { acc: TWO_24, products: [(1.5, 1.0), (1.5, 1.0)], modelled: TWO_24 + 4.0, exact: TWO_24 + 4.0 },
    Sum { acc: -TWO_24, products: [(-0.75, 1.0), (-0.75, 1.0)], modelled: -TWO_24, exact: -TWO_24 - 2.0 },
    // on the grid of 1: what the quantiser and the epilogue do
    Sum { acc: MAGIC, products: [(2.5, 1.0), (0.0, 1.0)], modelled: MAGIC + 2.0, exact: MAGIC + 2.0 },
    Sum { acc: MAGIC, products: [(0.375, 1.0), (0.375, 1.0)], modelled: MAGIC, exact: MAGIC + 1.0 },
    Sum { acc: MAGIC, products: [(0.625, 1.0), (0.625, 1.0)], modelled: MAGIC + 2.0, exact: MAGIC + 1.0 },
    Sum { acc: MAGIC, products: [(-0.375, 1.0), (-0.375, 1.0)], modelled: MAGIC, exact: MAGIC - 1.0 },
];

/// A bfloat16 that holds the value exactly.
fn bf16(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

fn bf16_words(values: &[u16]) -> Vec<u32> {
    values.chunks_exact(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect()
}

/// An elementwise `vmac.f` of lanes given as accumulator and two factors of 32 elements each.
fn multiply_accumulate(question: Question) -> Result<Probe, KernelError> {
    Bench::ask(question, 4 * LANES as u32, |a, from, to| {
        let (acc, x, y) = (a.bm(), a.x(), a.x());
        let (p, q, c) = (pointer(a, from), pointer(a, to), constant(a, config::BF16_ELEMENTWISE));
        a.vlda(DATA, acc.am(0), p, 32);
        a.vlda(DATA, acc.am(1), p, 32);
        load(a, x, p);
        load(a, y, p);
        a.i("vmac.f {}, {}, {}, {}, {}", &[acc, acc, x, y, c]);
        a.vst(RESULT, acc.am(0), q, 32);
        a.vst(RESULT, acc.am(1), q, 32);
    })
}

/// The addends of a float sum are rounded to the grid of the largest one, each by itself.
///
/// # Errors
/// See [`super::facts`].
pub fn float_rounding() -> Result<Probe, KernelError> {
    let lane = |i: usize| &SUMS[i % SUMS.len()];
    let lanes = |f: &dyn Fn(&Sum) -> f32| (0..LANES).map(|i| f(lane(i)).to_bits()).collect::<Vec<u32>>();
    // the t-th term of a lane is element lane + 16 t
    let factors = |side: usize| {
        let element = |i: usize| {
            let (x, y) = lane(i % LANES).products[i / LANES];
            bf16(if side == 0 { x } else { y })
        };
        bf16_words(&(0..2 * LANES).map(element).collect::<Vec<_>>())
    };
    let input = [lanes(&|s| s.acc), factors(0), factors(1)].concat();
    const CHANGE: &str = "aligned_sum of simulator and oracle; codes of the quantiser differ by one in rare ties";
    multiply_accumulate(Question {
        name: "float_rounding",
        asks: "Does vmac.f round each addend to the grid of the largest before it adds them?",
        facts: &[8],
        input: bytes(&input),
        outcomes: vec![
            Outcome::modelled("each addend is rounded, to even", bytes(&lanes(&|s| s.modelled))),
            Outcome::different("the sum is exact and rounded once", CHANGE, bytes(&lanes(&|s| s.exact))),
        ],
        otherwise: CHANGE,
    })
}

/// Denormal factors of `vmac.f`.
///
/// # Errors
/// See [`super::facts`].
pub fn denormal_factors() -> Result<Probe, KernelError> {
    // 2^-133 .. 2^-127 times 2^127, and the largest denormal
    let small: Vec<u16> = (0..LANES).map(|i| if i < 7 { 1 << i } else { 0x7F }).collect();
    let value = |bits: u16| f32::from_bits(u32::from(bits) << 16) * 2f32.powi(127);
    let full: Vec<u32> = small.iter().map(|&bits| value(bits).to_bits()).collect();
    let zeros = vec![0u16; LANES];
    let large = [vec![bf16(2f32.powi(127)); LANES], zeros.clone()].concat();
    let input = [vec![0; LANES], bf16_words(&[small, zeros].concat()), bf16_words(&large)].concat();
    multiply_accumulate(Question {
        name: "denormal_factors",
        asks: "Does a denormal bfloat16 factor of vmac.f count at full value?",
        facts: &[27],
        input: bytes(&input),
        outcomes: vec![
            Outcome::modelled("denormals count", bytes(&full)),
            Outcome::different(
                "denormals count as zero",
                "classify of simulator and oracle; probabilities below 2^-126 count as 0, nothing else changes",
                bytes(&[0; LANES]),
            ),
        ],
        otherwise: "classify of simulator and oracle",
    })
}

/// Signs of the accumulators of `vadd.f` by bits 12 and 13 of the configuration word.
///
/// # Errors
/// See [`super::facts`].
pub fn float_signs() -> Result<Probe, KernelError> {
    const CONFIGS: [i64; 3] = [config::FLOAT_ADD, config::FLOAT_ADD | SUB1, config::FLOAT_ADD | SUB2];
    let (x, y) = (1.5f32, 2.5f32);
    let of = |sums: [f32; 3]| bytes(&sums.map(|s| [s.to_bits(); LANES]).concat());
    let input = [[x.to_bits(); LANES], [y.to_bits(); LANES]].concat();
    let question = Question {
        name: "float_signs",
        asks: "Do bits 12 and 13 of the configuration word negate the accumulators of vadd.f?",
        facts: &[14],
        input: bytes(&input),
        outcomes: vec![
            Outcome::modelled("bit 12 negates the first, bit 13 the second", of([x + y, y - x, x - y])),
            Outcome::different("the bits do nothing", "refuse both bits in sem::acc", of([x + y; 3])),
            Outcome::different(
                "the bits are the other way round",
                "sem::acc: exchange them for floats",
                of([x + y, x - y, y - x]),
            ),
        ],
        otherwise: "refuse both bits in sem::acc",
    };
    Bench::ask(question, (CONFIGS.len() * 4 * LANES) as u32, |a, from, to| {
        let (first, second, sum) = (a.bm(), a.bm(), a.bm());
        let (p, q) = (pointer(a, from), pointer(a, to));
        for quarter in [first.am(0), first.am(1), second.am(0), second.am(1)] {
            a.vlda(DATA, quarter, p, 32);
        }
        for config in CONFIGS {
            let c = constant(a, config);
            a.i("vadd.f {}, {}, {}, {}", &[sum, first, second, c]);
            a.vst(RESULT, sum.am(0), q, 32);
            a.vst(RESULT, sum.am(1), q, 32);
        }
    })
}

/// The zeros that `vneg.f` gives.
///
/// # Errors
/// See [`super::facts`].
pub fn zero_signs() -> Result<Probe, KernelError> {
    const MINUS: u32 = 1 << 31;
    // zeros, denormals, and a number, of both signs
    const DENORMAL: u32 = 1 << 22;
    const ONE: u32 = 127 << 23;
    let cases = [0, MINUS, DENORMAL, MINUS | DENORMAL, ONE, MINUS | ONE];
    let lanes = |f: &dyn Fn(u32) -> u32| bytes(&(0..LANES).map(|i| f(cases[i % cases.len()])).collect::<Vec<_>>());
    let flushed = |v: u32| if v & !MINUS == DENORMAL { v & MINUS } else { v };
    let modelled = |v: u32| match v & !MINUS {
        0 => 0,
        DENORMAL => (v & MINUS) ^ MINUS,
        _ => v ^ MINUS,
    };
    let question = Question {
        name: "zero_signs",
        asks: "Is vneg.f of a zero plus zero, and of a denormal a zero of the other sign?",
        facts: &[15],
        input: lanes(&|v| v),
        outcomes: vec![
            Outcome::modelled("zeros become +0, denormals a zero of the other sign", lanes(&modelled)),
            Outcome::different("every sign is flipped", "one line in sem::acc", lanes(&|v| flushed(v) ^ MINUS)),
            Outcome::different(
                "every zero is +0",
                "one line in sem::acc",
                lanes(&|v| if v & !MINUS == ONE { v ^ MINUS } else { 0 }),
            ),
        ],
        otherwise: "one line in sem::acc",
    };
    Bench::ask(question, 4 * LANES as u32, |a, from, to| {
        let (acc, p, q, c) = (a.bm(), pointer(a, from), pointer(a, to), constant(a, config::FLOAT_ADD));
        a.vlda(DATA, acc.am(0), p, 32);
        a.vlda(DATA, acc.am(1), p, 32);
        a.i("vneg.f {}, {}, {}", &[acc, acc, c]);
        a.vst(RESULT, acc.am(0), q, 32);
        a.vst(RESULT, acc.am(1), q, 32);
    })
}

/// A transposition that `vshuffle` does: rows × columns of elements, the low or the high half of the result.
struct Transposition {
    mode: i64,
    element_bytes: usize,
    rows: usize,
    columns: usize,
    high: bool,
}

const fn transposition(mode: i64, element_bytes: usize, rows: usize, columns: usize, high: bool) -> Transposition {
    Transposition { mode, element_bytes, rows, columns, high }
}

/// The modes that kernels use.
// SOURCE: Xilinx/llvm-aie clang/lib/Headers/aiev2/aiev2_enums.h (T32_16x2_lo and so on).
const SHUFFLES: [Transposition; 13] = [
    transposition(4, 4, 16, 2, false),
    transposition(5, 4, 16, 2, true),
    transposition(8, 16, 4, 2, false),
    transposition(9, 16, 4, 2, true),
    transposition(12, 16, 2, 4, false),
    transposition(13, 16, 2, 4, true),
    transposition(14, 8, 2, 8, false),
    transposition(15, 8, 2, 8, true),
    transposition(22, 64, 1, 2, false),
    transposition(23, 64, 1, 2, true),
    transposition(28, 2, 8, 4, false),
    transposition(29, 2, 4, 8, false),
    transposition(39, 2, 4, 4, false),
];

impl Transposition {
    /// One register out of two: element (r, c) of the matrix becomes element (c, r).
    fn of(&self, input: &[u8]) -> Vec<u8> {
        let block = self.element_bytes * self.rows * self.columns;
        let first = if self.high { 64 } else { 0 };
        let byte = |o: usize| {
            let (base, inside) = (o / block * block, o % block);
            let (element, byte) = (inside / self.element_bytes, inside % self.element_bytes);
            let (column, row) = (element / self.rows, element % self.rows);
            input[base + (row * self.columns + column) * self.element_bytes + byte]
        };
        (first..first + 64).map(byte).collect()
    }
}

/// `vshuffle` with the mode in a register, every mode that a kernel uses.
///
/// # Errors
/// See [`super::facts`].
pub fn shuffle_modes() -> Result<Probe, KernelError> {
    let input: Vec<u8> = (0..128).collect();
    let expected = SHUFFLES.iter().flat_map(|s| s.of(&input)).collect();
    let question = Question {
        name: "shuffle_modes",
        asks: "Do the shuffle modes of the kernels transpose as their names say, with the mode in a register?",
        facts: &[35],
        input,
        outcomes: vec![Outcome::modelled("all of them do", expected)],
        otherwise: "the first wrong block of 64 bytes tells the mode (order: 4, 5, 8, 9, 12 to 15, 22, 23, 28, 29, 39): immediate forms, a program for each core row",
    };
    Bench::ask(question, 64 * SHUFFLES.len() as u32, |a, from, to| {
        let (x, y, v) = (a.x(), a.x(), a.x());
        let (p, q) = (pointer(a, from), pointer(a, to));
        load(a, x, p);
        load(a, y, p);
        for shuffle in &SHUFFLES {
            let mode = constant(a, shuffle.mode);
            a.i("vshuffle {}, {}, {}, {}", &[v, x, y, mode]);
            store(a, v, q);
        }
    })
}
