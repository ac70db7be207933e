//! Additions of accumulators: VADD, VSUB, VNEGADD, VNEGSUB, VNEG and their float forms.

use crate::bf16::{Number, RANGES, Tiny, aligned_sum, bytes32, is_nan, same, words};
use crate::{Random, SHIFT16, SUB1, SUB2, ZERO_ACC, execute};

/// Mnemonic, signs of acc1 and acc2.
// SOURCE: core.md 7.6.
const SUMS: [(&str, i128, i128); 4] = [("vadd", 1, 1), ("vsub", 1, -1), ("vnegsub", -1, 1), ("vnegadd", -1, -1)];

/// amode 1: 64-bit lanes.
const WIDE: u32 = 1 << 1;

fn lane(v: &[u8], i: usize, n: usize) -> i128 {
    let mut wide = [if v[i * n + n - 1] >> 7 == 1 { 0xff } else { 0 }; 16];
    wide[..n].copy_from_slice(&v[i * n..][..n]);
    i128::from_le_bytes(wide)
}

#[test]
fn integer_sums_wrap_and_take_every_modifier() {
    let mut r = Random(5);
    for (name, sign1, sign2) in SUMS {
        for bits in 0..32 {
            let bit = |n: u32, field: u32| if bits >> n & 1 == 1 { field } else { 0 };
            let config = bit(0, ZERO_ACC) | bit(1, SHIFT16) | bit(2, SUB1) | bit(3, SUB2) | bit(4, WIDE);
            let flip = |field: u32| if config & field == 0 { 1 } else { -1 };
            let first = sign1
                * flip(SUB1)
                * if config & ZERO_ACC == 0 { 1 } else { 0 }
                * if config & SHIFT16 == 0 { 1 } else { 1 << 16 };
            let second = sign2 * flip(SUB2);
            let n = if config & WIDE == 0 { 4 } else { 8 };
            for _ in 0..8 {
                let (acc1, acc2) = (r.bytes(128), r.bytes(128));
                let presets: [(&str, &[u8]); 3] = [("cm0", &acc1), ("cm1", &acc2), ("r0", &config.to_le_bytes())];
                let got = execute(&format!("{name} cm2, cm0, cm1, r0"), &presets, "cm2").expect("documented mode");
                let want: Vec<u8> = (0..128 / n)
                    .flat_map(|i| (first * lane(&acc1, i, n) + second * lane(&acc2, i, n)).to_le_bytes()[..n].to_vec())
                    .collect();
                assert_eq!(got, want, "{name}, {config:#x}");
            }
        }
    }
}

#[test]
fn integer_negation_wraps() {
    let mut r = Random(6);
    for _ in 0..20 {
        let acc = r.bytes(128);
        let presets: [(&str, &[u8]); 2] = [("cm0", &acc), ("r0", &[0; 4])];
        let got = execute("vneg cm2, cm0, r0", &presets, "cm2").expect("documented mode");
        let want: Vec<u8> = (0..32).flat_map(|i| (-lane(&acc, i, 4)).to_le_bytes()[..4].to_vec()).collect();
        assert_eq!(got, want);
    }
}

/// fp32 of one lane with the sign of everything but zeros flipped.
fn signed(bits: u32, minus: bool) -> u32 {
    if minus && bits & 0x7fff_ffff != 0 { bits ^ 0x8000_0000 } else { bits }
}

/// The sum of two lanes; two zeros are minus zero if both are.
fn definition(a: u32, b: u32) -> Option<u32> {
    if (a | b) & 0x7fff_ffff == 0 {
        return Some(a & b);
    }
    aligned_sum(&[Number::from_f32(a), Number::from_f32(b)], Tiny::SignedZero)
}

#[test]
fn float_sums_align_before_they_add() {
    // SOURCE: core.md 7.6, 8.2. The documents' word and the modifiers of the integer forms.
    const FLOAT: u32 = 0x1c;
    let mut r = Random(7);
    let mut numbers = 0;
    for (name, sign1, sign2) in SUMS {
        for range in RANGES {
            for bits in 0..8 {
                let bit = |n: u32, field: u32| if bits >> n & 1 == 1 { field } else { 0 };
                let config = FLOAT | bit(0, ZERO_ACC) | bit(1, SUB1) | bit(2, SUB2);
                let (minus1, minus2) = ((sign1 < 0) != (config & SUB1 != 0), (sign2 < 0) != (config & SUB2 != 0));
                for _ in 0..10 {
                    let acc: [Vec<u32>; 2] = [0, 1].map(|_| (0..16).map(|_| range.draw(&mut r)).collect());
                    let presets: [(&str, &[u8]); 3] =
                        [("bml0", &bytes32(&acc[0])), ("bml1", &bytes32(&acc[1])), ("r0", &config.to_le_bytes())];
                    let text = format!("{name}.f bml2, bml0, bml1, r0");
                    let got = words(&execute(&text, &presets, "bml2").expect("documented mode"));
                    for i in 0..16 {
                        let first = if config & ZERO_ACC == 0 { acc[0][i] } else { 0 };
                        let (a, b) = (signed(first, minus1), signed(acc[1][i], minus2));
                        let want = definition(a, b);
                        assert!(same(got[i], want), "{text}, {config:#x}: {a:08x} {b:08x} {:08x}, {want:08x?}", got[i]);
                        numbers += usize::from(want.is_some_and(|w| w & 0x7fff_ffff != 0));
                    }
                }
            }
        }
    }
    assert!(numbers > 10_000, "{numbers}");
}

/// VNEG.f is the sum with plus zero: denormals are flushed, as recorded.
#[test]
fn float_negation_flushes_denormals_and_keeps_nan() {
    let mut r = Random(8);
    for range in RANGES {
        for _ in 0..10 {
            let acc: Vec<u32> = (0..16).map(|_| range.draw(&mut r)).collect();
            let presets: [(&str, &[u8]); 2] = [("bml0", &bytes32(&acc)), ("r0", &0x1cu32.to_le_bytes())];
            let got = words(&execute("vneg.f bml2, bml0, r0", &presets, "bml2").expect("documented mode"));
            for (acc, got) in acc.into_iter().zip(got) {
                let magnitude = acc & 0x7fff_ffff;
                match magnitude {
                    ..0x0080_0000 => assert_eq!(got & 0x7fff_ffff, 0, "{acc:08x}"),
                    0x0080_0000..=0x7f80_0000 => assert_eq!(got, acc ^ 0x8000_0000),
                    _ => assert!(is_nan(got)),
                }
            }
        }
    }
}

/// 0.1 + 0.2 is what IEEE has; 2^23 - (2^23 - 0.5) is not, since on the grid of 1 the half goes to the even neighbour first.
#[test]
fn the_smaller_operand_is_rounded_first() {
    let sum = |a: f32, b: f32| {
        let presets: [(&str, &[u8]); 3] = [
            ("bml0", &bytes32(&[a.to_bits(); 16])),
            ("bml1", &bytes32(&[b.to_bits(); 16])),
            ("r0", &0x1cu32.to_le_bytes()),
        ];
        f32::from_bits(words(&execute("vadd.f bml2, bml0, bml1, r0", &presets, "bml2").expect("documented mode"))[0])
    };
    assert_eq!(sum(0.1, 0.2), 0.1 + 0.2);
    assert_eq!(sum(8_388_608.0, -8_388_607.5), 0.0);
    assert_eq!(8_388_608.0f32 - 8_388_607.5, 0.5);
}
