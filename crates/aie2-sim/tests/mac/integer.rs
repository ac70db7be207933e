//! Integer modes: C[r][c] = ±acc1 ± acc2 ± Σₖ A[r][k]·B[k][c] modulo 2^32 or 2^64, A, B and C row-major, or lane by lane.

use crate::rig::{INPUT, Memory, OUTPUT, core, run};
use crate::{Random, SHIFT16, SIGNED_S1, SIGNED_S2, SUB1, SUB2, ZERO_ACC, execute, word};

/// Where the elements of a product come from.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// m x k by k x n.
    Matrix(usize, usize, usize),
    /// Lanes, products per lane; the second product lies `lanes` elements on.
    Lanes(usize, usize),
}

struct Mode {
    word: u32,
    layout: Layout,
    s1_bits: usize,
    s2_bits: usize,
    acc_bits: usize,
}

const fn mode(word: u32, layout: Layout, s1_bits: usize, s2_bits: usize, acc_bits: usize) -> Mode {
    Mode { word, layout, s1_bits, s2_bits, acc_bits }
}

// SOURCE: core.md 7.3, 7.4.
const MODES: [Mode; 12] = [
    mode(word(0, 0, 0), Layout::Matrix(4, 16, 8), 8, 4, 32),
    mode(word(0, 1, 0), Layout::Matrix(4, 8, 8), 8, 8, 32),
    mode(word(0, 1, 1), Layout::Lanes(32, 2), 8, 8, 32),
    mode(word(0, 2, 0), Layout::Matrix(4, 4, 8), 16, 8, 32),
    mode(word(0, 3, 0), Layout::Matrix(4, 2, 8), 16, 16, 32),
    mode(word(0, 3, 1), Layout::Lanes(32, 1), 16, 16, 32),
    mode(word(1, 2, 0), Layout::Matrix(2, 8, 8), 16, 8, 64),
    mode(word(1, 2, 1), Layout::Matrix(4, 8, 4), 16, 8, 64),
    mode(word(1, 3, 0), Layout::Matrix(2, 4, 8), 16, 16, 64),
    mode(word(1, 3, 1), Layout::Matrix(4, 4, 4), 16, 16, 64),
    mode(word(1, 3, 2), Layout::Lanes(16, 2), 16, 16, 64),
    mode(word(1, 0, 0), Layout::Matrix(4, 2, 4), 32, 16, 64),
];

/// Mnemonic with operands, and the signs of acc1, acc2 and P. The forms with two accumulators overwrite the first.
// SOURCE: core.md 7.1. MEASURED: VNEGMAC and VNEGMSC, see the silicon suite.
const FORMS: [(&str, i128, i128, i128); 10] = [
    ("vmul cm0, x0, x2, r0", 0, 0, 1),
    ("vnegmul cm0, x0, x2, r0", 0, 0, -1),
    ("vmac cm0, cm4, x0, x2, r0", 1, 0, 1),
    ("vmsc cm0, cm4, x0, x2, r0", 1, 0, -1),
    ("vnegmac cm0, cm4, x0, x2, r0", -1, 0, -1),
    ("vnegmsc cm0, cm4, x0, x2, r0", -1, 0, 1),
    ("vaddmac cm4, cm4, cm5, x0, x2, r0", 1, 1, 1),
    ("vaddmsc cm4, cm4, cm5, x0, x2, r0", 1, 1, -1),
    ("vsubmac cm4, cm4, cm5, x0, x2, r0", 1, -1, 1),
    ("vsubmsc cm4, cm4, cm5, x0, x2, r0", 1, -1, -1),
];

/// Element `e` of `bits` bits, bit by bit.
fn element(v: &[u8], e: usize, bits: usize, signed: bool) -> i128 {
    let mut value = 0;
    for i in 0..bits {
        let bit = e * bits + i;
        let set = i128::from(v[bit / 8] >> (bit % 8) & 1);
        // The top bit of a signed number weighs -2^(bits-1).
        let weight = if signed && i + 1 == bits { -(1i128 << i) } else { 1i128 << i };
        value += set * weight;
    }
    value
}

/// P of one lane.
fn product_sum(m: &Mode, config: u32, s1: &[u8], s2: &[u8], lane: usize) -> i128 {
    let x = |e: usize| element(s1, e, m.s1_bits, config & SIGNED_S1 != 0);
    let y = |e: usize| element(s2, e, m.s2_bits, config & SIGNED_S2 != 0);
    match m.layout {
        Layout::Matrix(_, k, n) => (0..k).map(|i| x(lane / n * k + i) * y(i * n + lane % n)).sum(),
        Layout::Lanes(lanes, terms) => (0..terms).map(|t| x(lane + t * lanes) * y(lane + t * lanes)).sum(),
    }
}

/// The bytes of C.
fn definition(m: &Mode, form: (i128, i128, i128), config: u32, [s1, s2, acc1, acc2]: [&[u8]; 4]) -> Vec<u8> {
    let lanes = 1024 / m.acc_bits;
    if let Layout::Matrix(rows, _, columns) = m.layout {
        assert_eq!(rows * columns, lanes, "C fills the accumulator");
    }
    let flip = |bit: u32| if config & bit == 0 { 1 } else { -1 };
    let shift = if config & SHIFT16 == 0 { 1 } else { 1 << 16 };
    let keep = if config & ZERO_ACC == 0 { 1 } else { 0 };
    let mut out = Vec::new();
    for lane in 0..lanes {
        let a1 = form.0 * flip(SUB1) * keep * shift * element(acc1, lane, m.acc_bits, true);
        let a2 = form.1 * flip(SUB2) * element(acc2, lane, m.acc_bits, true);
        let sum = a1 + a2 + form.2 * product_sum(m, config, s1, s2, lane);
        // Two's complement cut to the lane is the value modulo 2^32 or 2^64.
        out.extend_from_slice(&sum.to_le_bytes()[..m.acc_bits / 8]);
    }
    out
}

fn check(m: &Mode, (text, a1, a2, p): (&str, i128, i128, i128), config: u32, r: &mut Random) {
    let (s1, s2, acc1, acc2) = (r.bytes(64), r.bytes(64), r.bytes(128), r.bytes(128));
    let presets: [(&str, &[u8]); 5] =
        [("x0", &s1), ("x2", &s2), ("cm4", &acc1), ("cm5", &acc2), ("r0", &config.to_le_bytes())];
    let result = if text.contains("cm0") { "cm0" } else { "cm4" };
    let got = execute(text, &presets, result).unwrap_or_else(|e| panic!("{text}, {config:#x}: {e}"));
    let want = definition(m, (a1, a2, p), config, [&s1, &s2, &acc1, &acc2]);
    assert_eq!(got, want, "{text}, {:?}, {config:#x}\n{s1:02x?}\n{s2:02x?}", m.layout);
}

/// Every mode, every form, every choice of operand signs.
#[test]
fn every_mode_and_form_with_all_operand_signs() {
    let mut r = Random(1);
    for m in &MODES {
        for form in FORMS {
            for signs in [0, SIGNED_S1, SIGNED_S2, SIGNED_S1 | SIGNED_S2] {
                for _ in 0..12 {
                    check(m, form, m.word | signs, &mut r);
                }
            }
        }
    }
}

/// The first accumulator is dropped by zero_acc, shifted by shift16, negated by sub1; the second is negated by sub2.
#[test]
fn modifiers_change_how_accumulators_enter() {
    let mut r = Random(2);
    for m in &MODES {
        for form in FORMS {
            for bits in 0..16 {
                let bit = |n: u32, field: u32| if bits >> n & 1 == 1 { field } else { 0 };
                let modifiers = bit(0, ZERO_ACC) | bit(1, SHIFT16) | bit(2, SUB1) | bit(3, SUB2);
                check(m, form, m.word | SIGNED_S1 | SIGNED_S2 | modifiers, &mut r);
            }
        }
    }
}

/// An accumulator at the edge goes round, without saturation.
#[test]
fn accumulators_wrap_at_32_and_at_64_bits() {
    for m in &MODES {
        let n = m.acc_bits / 8;
        let mut largest = vec![0xff; 128];
        largest.iter_mut().skip(n - 1).step_by(n).for_each(|b| *b = 0x7f);
        // Every product is 1·1.
        let ones = |bits: usize| {
            let mut v = [0u8; 64];
            for bit in (0..512).step_by(bits) {
                v[bit / 8] |= 1 << (bit % 8);
            }
            v
        };
        let (s1, s2) = (ones(m.s1_bits), ones(m.s2_bits));
        let config = (m.word | SIGNED_S1 | SIGNED_S2).to_le_bytes();
        let presets: [(&str, &[u8]); 4] = [("x0", &s1), ("x2", &s2), ("cm4", &largest), ("r0", &config)];
        let got = execute("vmac cm0, cm4, x0, x2, r0", &presets, "cm0").expect("documented mode");
        let terms = match m.layout {
            Layout::Matrix(_, k, _) => k,
            Layout::Lanes(_, terms) => terms,
        } as i128;
        let lowest = -(1i128 << (m.acc_bits - 1));
        for lane in 0..1024 / m.acc_bits {
            assert_eq!(element(&got, lane, m.acc_bits, true), lowest + terms - 1, "{:?}", m.layout);
        }
    }
}

/// What an instruction does not read may have any value: the upper half of s1 in 4x8x8.
#[test]
fn int8_4x8x8_takes_a_from_the_lower_half_alone() {
    let mut r = Random(3);
    let (s1, s2) = (r.bytes(64), r.bytes(64));
    let config = (word(0, 1, 0) | SIGNED_S1 | SIGNED_S2).to_le_bytes();
    let half: [(&str, &[u8]); 3] = [("wl0", &s1[..32]), ("x2", &s2), ("r0", &config)];
    let whole: [(&str, &[u8]); 3] = [("x0", &s1), ("x2", &s2), ("r0", &config)];
    let product = |presets: &[(&str, &[u8])]| execute("vmul cm0, x0, x2, r0", presets, "cm0").expect("documented mode");
    assert_eq!(product(&half), product(&whole));
}

/// The same from memory to memory: loads, the configuration word by `movxm`, the product, stores.
#[test]
fn a_tile_from_memory_to_memory() {
    let m = &MODES[1];
    let config = m.word | SIGNED_S1 | SIGNED_S2;
    let mut r = Random(9);
    let (s1, s2) = (r.bytes(64), r.bytes(64));
    let (mut machine, mut memory) = (core(), Memory::new());
    memory.set(INPUT, &s1);
    memory.set(INPUT + 64, &s2);
    let wait = "nop\n".repeat(7);
    let text = format!(
        "movxm r0, #{config}\nvlda wl0, [p0, #0]\nvlda wh0, [p0, #32]\nvlda wl2, [p0, #64]\nvlda wh2, [p0, #96]\n{wait}\
         vmul cm0, x0, x2, r0\n{wait}vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\nvst amhl0, [p1, #64]\nvst amhh0, [p1, #96]"
    );
    run(&mut machine, &mut memory, &text).expect("documented mode");
    let want = definition(m, (0, 0, 1), config, [&s1, &s2, &[0; 128], &[0; 128]]);
    assert_eq!(memory.stored(OUTPUT, 128), want);
}
