//! The aligned sum of the bf16 unit, in whole numbers.
//!
//! ```text
//! E = largest exponent of the non-zero addends; a product has eₐ + e_b, though it may reach 4·2^E
//! every addend → nearest multiple of 2^(E-23), ties to even; their sum is exact
//! sum → 24 bits, ties to even; exponent above 127 → ∞, below -126 → +0
//! ```
// SOURCE: core.md 8.1, 8.2.

use crate::{Random, ZERO_ACC, execute, word};

/// bf16 4x8x4.
pub const DENSE: u32 = word(2, 3, 0);
/// bf16, 16 lanes of two products.
const LANES: u32 = word(2, 3, 1);

/// A number of the unit. Finite ones are `units * 2^step`; `exponent` is what E is the maximum of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    Finite { units: i128, step: i32, exponent: i32 },
    Infinite { negative: bool },
    Nan,
}

impl Number {
    /// Sign, exponent field and fraction of a format with 8 exponent bits. Field 0 is read as 1 without the hidden bit.
    fn new(negative: bool, field: u32, fraction: u32, fraction_bits: u32) -> Self {
        if field == 255 {
            return if fraction == 0 { Self::Infinite { negative } } else { Self::Nan };
        }
        let hidden = if field == 0 { 0 } else { 1i128 << fraction_bits };
        let exponent = if field == 0 { -126 } else { field as i32 - 127 };
        let units = hidden + i128::from(fraction);
        Self::Finite { units: if negative { -units } else { units }, step: exponent - fraction_bits as i32, exponent }
    }

    pub fn from_f32(bits: u32) -> Self {
        Self::new(bits >> 31 == 1, bits >> 23 & 255, bits & 0x7f_ffff, 23)
    }

    fn from_bf16(bits: u16) -> Self {
        Self::from_f32(u32::from(bits) << 16).in_bf16_units()
    }

    /// The lower 16 fraction bits of a bf16 are zero; without them products stay small.
    fn in_bf16_units(self) -> Self {
        match self {
            Self::Finite { units, step, exponent } => Self::Finite { units: units >> 16, step: step + 16, exponent },
            other => other,
        }
    }

    fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Finite { units: a, step: p, exponent: e }, Self::Finite { units: b, step: q, exponent: f }) => {
                Self::Finite { units: a * b, step: p + q, exponent: e + f }
            }
            (Self::Nan, _) | (_, Self::Nan) => Self::Nan,
            (Self::Finite { units: 0, .. }, _) | (_, Self::Finite { units: 0, .. }) => Self::Nan,
            (a, b) => Self::Infinite { negative: a.is_negative() != b.is_negative() },
        }
    }

    fn is_negative(self) -> bool {
        match self {
            Self::Finite { units, .. } => units < 0,
            Self::Infinite { negative } => negative,
            Self::Nan => false,
        }
    }

    pub fn negated(self) -> Self {
        match self {
            Self::Finite { units, step, exponent } => Self::Finite { units: -units, step, exponent },
            Self::Infinite { negative } => Self::Infinite { negative: !negative },
            Self::Nan => Self::Nan,
        }
    }
}

/// `units / 2^shift`, the nearest whole number, ties to even.
fn nearest(units: i128, shift: i32) -> i128 {
    if shift <= 0 {
        return units << -shift;
    }
    if shift > 100 {
        return 0;
    }
    let (one, half) = (1i128 << shift, 1i128 << (shift - 1));
    let (below, rest) = (units.div_euclid(one), units.rem_euclid(one));
    if rest > half || rest == half && below % 2 != 0 { below + 1 } else { below }
}

/// What comes out below the normal range.
#[derive(Clone, Copy, PartialEq)]
pub enum Tiny {
    PlusZero,
    SignedZero,
}

/// Bits of the fp32 sum; `None` for NaN.
pub fn aligned_sum(addends: &[Number], tiny: Tiny) -> Option<u32> {
    let infinite = |sign: bool| addends.contains(&Number::Infinite { negative: sign });
    match (addends.contains(&Number::Nan), infinite(false), infinite(true)) {
        (true, _, _) | (_, true, true) => return None,
        (_, true, _) => return Some(0x7f80_0000),
        (_, _, true) => return Some(0xff80_0000),
        _ => {}
    }
    let finite = addends.iter().filter_map(|n| match *n {
        Number::Finite { units, step, exponent } if units != 0 => Some((units, step, exponent)),
        _ => None,
    });
    let Some(top) = finite.clone().map(|(_, _, e)| e).max() else { return Some(0) };
    let grid = top - 23;
    let sum: i128 = finite.map(|(units, step, _)| nearest(units, grid - step)).sum();
    if sum == 0 {
        return Some(0);
    }
    let bits = |v: i128| 128 - v.unsigned_abs().leading_zeros() as i32;
    // 24 bits; rounding up may need a 25th, whose lowest bit is zero then.
    let drop = bits(sum) - 24;
    let kept = nearest(sum, drop);
    let exponent = grid + drop + bits(kept) - 1;
    let sign = if kept < 0 { 1u32 << 31 } else { 0 };
    Some(match exponent {
        128.. => sign | 0x7f80_0000,
        ..=-127 => {
            if tiny == Tiny::SignedZero {
                sign
            } else {
                0
            }
        }
        _ => {
            let fraction = (kept.unsigned_abs() << 24 >> bits(kept)) as u32 & 0x7f_ffff;
            sign | ((exponent + 127) as u32) << 23 | fraction
        }
    })
}

/// Element pairs whose products a lane adds.
fn pairs(config: u32, lane: usize) -> Vec<(usize, usize)> {
    if config & 0xfe == DENSE {
        (0..8).map(|k| (lane / 4 * 8 + k, k * 4 + lane % 4)).collect()
    } else {
        vec![(lane, lane), (lane + 16, lane + 16)]
    }
}

/// One lane: accumulators with their signs, and the products with theirs.
fn lane_sum(config: u32, lane: usize, accs: &[Number], minus: bool, s1: &[u16], s2: &[u16]) -> Option<u32> {
    let products = pairs(config, lane).into_iter().map(|(i, j)| {
        let p = Number::from_bf16(s1[i]).times(Number::from_bf16(s2[j]));
        if minus { p.negated() } else { p }
    });
    aligned_sum(&accs.iter().copied().chain(products).collect::<Vec<_>>(), Tiny::PlusZero)
}

pub fn is_nan(bits: u32) -> bool {
    bits & 0x7fff_ffff > 0x7f80_0000
}

/// NaN payloads are not stable on silicon: a NaN is a NaN.
pub fn same(got: u32, want: Option<u32>) -> bool {
    want.map_or(is_nan(got), |w| got == w)
}

pub fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect()
}

pub fn bytes32(v: &[u32]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn bytes16(v: &[u16]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A family of operands: exponent fields around `centre`, and how many in 64 are zeros, denormals, infinities or NaN.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    centre: i32,
    spread: u32,
    special: u32,
}

pub const RANGES: [Range; 8] = [
    Range { centre: 127, spread: 1, special: 0 },
    Range { centre: 127, spread: 6, special: 2 },
    Range { centre: 127, spread: 16, special: 2 },
    Range { centre: 127, spread: 60, special: 4 },
    Range { centre: 127, spread: 126, special: 0 },
    // Products near the largest and the smallest numbers.
    Range { centre: 190, spread: 4, special: 1 },
    Range { centre: 64, spread: 4, special: 0 },
    Range { centre: 4, spread: 3, special: 8 },
];

impl Range {
    /// A bit pattern of fp32; its upper half is a bf16.
    pub fn draw(self, r: &mut Random) -> u32 {
        let random = r.next();
        if r.below(64) < self.special {
            let kinds = [0x0000_0000, 0x0001_0000, 0x007f_ffff, 0x7f80_0000, 0x7fc0_0000];
            // Infinities and NaN are rarer than the rest, or nothing else would come out.
            let kind = if r.below(8) == 0 { 3 + r.below(2) } else { r.below(3) };
            return kinds[kind as usize] | random & 0x8000_0000;
        }
        let field = self.centre - self.spread as i32 + r.below(2 * self.spread + 1) as i32;
        random & 0x807f_ffff | (field.clamp(0, 254) as u32) << 23
    }

    fn vector(self, r: &mut Random) -> Vec<u16> {
        (0..32).map(|_| (self.draw(r) >> 16) as u16).collect()
    }
}

/// Mnemonic with operands, accumulators, and whether products are subtracted.
const FORMS: [(&str, usize, bool); 6] = [
    ("vmul.f bml0, x0, x2, r0", 0, false),
    ("vnegmul.f bml0, x0, x2, r0", 0, true),
    ("vmac.f bml0, bml4, x0, x2, r0", 1, false),
    ("vmsc.f bml0, bml4, x0, x2, r0", 1, true),
    ("vaddmac.f bml4, bml4, bml5, x0, x2, r0", 2, false),
    ("vaddmsc.f bml4, bml4, bml5, x0, x2, r0", 2, true),
];

/// Runs one form and compares its 16 lanes; counts NaN, infinities, zeros and numbers.
fn check(
    (text, accs, minus): (&str, usize, bool),
    config: u32,
    s1: &[u16],
    s2: &[u16],
    acc: [&[u32]; 2],
    seen: &mut [usize; 4],
) {
    let presets: [(&str, &[u8]); 5] = [
        ("x0", &bytes16(s1)),
        ("x2", &bytes16(s2)),
        ("bml4", &bytes32(acc[0])),
        ("bml5", &bytes32(acc[1])),
        ("r0", &config.to_le_bytes()),
    ];
    let result = if accs == 2 { "bml4" } else { "bml0" };
    let got = words(&execute(text, &presets, result).unwrap_or_else(|e| panic!("{text}: {e}")));
    let counted = if config & ZERO_ACC == 0 { accs } else { 0 };
    for (lane, got) in got.into_iter().enumerate() {
        let numbers: Vec<Number> = acc[..counted].iter().map(|a| Number::from_f32(a[lane])).collect();
        let want = lane_sum(config, lane, &numbers, minus, s1, s2);
        assert!(
            same(got, want),
            "{text}, {config:#x}, lane {lane}: {got:08x}, definition {want:08x?}\n{s1:04x?}\n{s2:04x?}\n{acc:08x?}"
        );
        let class = match want {
            None => 0,
            Some(0x7f80_0000 | 0xff80_0000) => 1,
            Some(0) => 2,
            Some(_) => 3,
        };
        seen[class] += 1;
    }
}

#[test]
fn every_form_is_one_aligned_sum() {
    let mut r = Random(4);
    let mut seen = [0; 4];
    for range in RANGES {
        for mode in [DENSE, LANES] {
            for form in FORMS {
                for zero in [0, ZERO_ACC] {
                    if zero != 0 && form.1 == 2 {
                        continue;
                    }
                    for _ in 0..40 {
                        let (s1, s2) = (range.vector(&mut r), range.vector(&mut r));
                        let acc = [0, 1].map(|_| (0..16).map(|_| range.draw(&mut r)).collect::<Vec<_>>());
                        check(form, mode | zero, &s1, &s2, [&acc[0], &acc[1]], &mut seen);
                    }
                }
            }
        }
    }
    // NaN, infinity, zero and numbers have all been met often.
    assert!(seen.iter().all(|&n| n > 500), "{seen:?}");
}

/// A denormal operand is not flushed: it has exponent -126, like the smallest normal ones, and no hidden bit. Products with
/// large numbers show it.
#[test]
fn denormal_operands_keep_their_value() {
    let mut r = Random(10);
    let mut seen = [0; 4];
    for (form, mode) in FORMS.into_iter().flat_map(|f| [(f, DENSE), (f, LANES)]) {
        for round in 0..100 {
            // s1: denormal, and now and then of the smallest normal exponents. s2: large. acc: about as large as the products.
            let s1: Vec<u16> = (0..32)
                .map(|_| (r.next() & 0x807f | if r.below(8) == 0 { r.below(3) << 7 } else { 0 }) as u16)
                .collect();
            let s2: Vec<u16> = (0..32).map(|_| (r.next() & 0x807f | (240 + r.below(12)) << 7) as u16).collect();
            let acc =
                [0, 1].map(|_| (0..16).map(|_| r.next() & 0x807f_ffff | (90 + r.below(30)) << 23).collect::<Vec<_>>());
            let (s1, s2) = if round % 2 == 0 { (s1, s2) } else { (s2, s1) };
            check(form, mode, &s1, &s2, [&acc[0], &acc[1]], &mut seen);
        }
    }
    assert!(seen[3] > 10_000, "{seen:?}");
}

/// The same of a denormal accumulator, where products of its size lift the sum back into the normal range.
#[test]
fn denormal_accumulators_keep_their_value() {
    let mut r = Random(11);
    let mut seen = [0; 4];
    for (form, mode) in FORMS.into_iter().flat_map(|f| [(f, DENSE), (f, LANES)]) {
        for _ in 0..100 {
            let mut vector =
                || -> Vec<u16> { (0..32).map(|_| (r.next() & 0x807f | (54 + r.below(10)) << 7) as u16).collect() };
            let (s1, s2) = (vector(), vector());
            let acc = [0, 1].map(|_| (0..16).map(|_| r.next() & 0x807f_ffff).collect::<Vec<_>>());
            check(form, mode, &s1, &s2, [&acc[0], &acc[1]], &mut seen);
        }
    }
    assert!(seen[3] > 1_000, "{seen:?}");
}

/// The definition itself against the tiles silicon computed; the model meets them in the silicon suite.
// MEASURED: FIM43-Redeye/xdna-emu (MIT), silicon recording mac_bf16_4x8x4_overflow.
#[test]
fn the_definition_agrees_with_the_recorded_overflow_tiles() {
    let table = include_str!("../data/mac_bf16_4x8x4_overflow.txt");
    let mut lanes = 0;
    for line in table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let columns: Vec<Vec<u32>> = line
            .split(' ')
            .map(|f| f.split(',').map(|v| u32::from_str_radix(v, 16).expect("bit pattern")).collect())
            .collect();
        let narrow = |v: &[u32]| v.iter().map(|&v| v as u16).collect::<Vec<_>>();
        let (s1, s2) = (narrow(&columns[0]), narrow(&columns[1]));
        for (lane, &silicon) in columns[2].iter().enumerate() {
            let want = lane_sum(DENSE, lane, &[], false, &s1, &s2);
            assert!(same(silicon, want), "silicon {silicon:08x}, definition {want:08x?}");
            lanes += 1;
        }
    }
    assert_eq!(lanes, 54 * 16);
}

/// 1 + 2^-24 + 2^-24: each of the two halves of a grid step goes to the even neighbour, although together they are a step.
#[test]
fn addends_are_rounded_one_by_one() {
    let one = Number::from_f32(0x3f80_0000);
    let half_step = Number::from_f32(0x3380_0000);
    assert_eq!(aligned_sum(&[one, half_step, half_step], Tiny::PlusZero), Some(0x3f80_0000));
    let bf16 = |bits: u32| ((bits >> 16) as u16).to_le_bytes().to_vec();
    let vector = |first: u32, second: u32| [bf16(first), vec![0; 30], bf16(second), vec![0; 30]].concat();
    let presets: [(&str, &[u8]); 4] = [
        ("x0", &vector(0x3380_0000, 0x3380_0000)),
        ("x2", &vector(0x3f80_0000, 0x3f80_0000)),
        ("bml4", &bytes32(&[0x3f80_0000; 16])),
        ("r0", &LANES.to_le_bytes()),
    ];
    let got = execute("vmac.f bml0, bml4, x0, x2, r0", &presets, "bml0").expect("documented mode");
    assert_eq!(words(&got)[0], 0x3f80_0000);
}
