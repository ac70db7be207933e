//! INT8 keys and values: x[i] ≈ s · code[i], one float32 scale s for each head and token, codes -127..=127.
//!
//! [`quantise`] is the mathematics, s = absmax / 127. [`codes`] is what the vector unit makes, bit for bit:
//!
//! ```text
//! m = max |y|, at least 2^-50                     of bfloat16 patterns: exact
//! s = m (c₁ + c₂) rounded up to bfloat16          c₁ + c₂ = 1/127 to 2^-17; kept as float32
//! i = 1/s                                         `recip::reciprocal`, in two limbs
//! code = rne(y i₁ + y i₂)
//! ```
//! A scale is a bfloat16 number, so that it multiplies scores and probabilities as one operand of a product; it is at most 2^-7 of itself above
//! absmax / 127. Since it is not below that, no code passes 127. Domain: |y| up to 2^60; an infinity or NaN makes the scale one, the codes then mean nothing.

use crate::fp::{add_lane, bf16_rne, mac_lane, widen};
use crate::recip::{limb, reciprocal};

/// Pattern of the least m.
const LEAST: u16 = (127 - 50) << 7;
/// Two limbs of 1/127.
const ONE_127TH: [u16; 2] = [0x3C01, 0x3501];
/// 1.5 · 2^23: adding it rounds to an integer, ties to even.
const MAGIC: f32 = 12_582_912.0;

/// The scale of one head's key or value, of bfloat16 bits.
pub fn scale(y: &[u16]) -> f32 {
    let m = y.iter().map(|y| y & 0x7FFF).fold(LEAST, u16::max);
    let exact = mac_lane(None, &ONE_127TH.map(|c| (m, c)), false);
    f32::from_bits(exact.to_bits().wrapping_add(0xFFFF) & 0xFFFF_0000)
}

/// Codes and scale of one head's key or value, of bfloat16 bits.
pub fn codes(y: &[u16]) -> (Vec<i8>, f32) {
    let scale = scale(y);
    let (i1, rest) = limb(reciprocal(scale));
    let i2 = bf16_rne(rest);
    let code = |y: &u16| {
        let rounded = add_lane(mac_lane(None, &[(*y, i1), (*y, i2)], false), MAGIC, false);
        let code = (rounded.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
        code.clamp(-128, 127) as i8
    };
    (y.iter().map(code).collect(), scale)
}

/// A code as the bfloat16 operand of a product: exact.
pub fn code_bf16(code: i8) -> u16 {
    bf16_rne(f32::from(code))
}

/// A scale as the bfloat16 operand of a product: the upper half of a float32 whose lower half is zero.
pub fn scale_bf16(scale: f32) -> u16 {
    (scale.to_bits() >> 16) as u16
}

/// What the cache gives back of a code and a scale that [`codes`] made.
pub fn value(code: i8, scale: f32) -> f64 {
    f64::from(code) * f64::from(widen(scale_bf16(scale)))
}

/// The same as one bfloat16 operand: code times scale, rounded once.
pub fn operand(code: i8, scale: f32) -> u16 {
    bf16_rne(mac_lane(None, &[(code_bf16(code), scale_bf16(scale))], false))
}

/// Codes and scale of one head's key or value.
///
/// # Panics
/// If an element is not finite.
pub fn quantise(x: &[f64]) -> (Vec<i8>, f32) {
    let absmax = x.iter().fold(0f64, |max, v| max.max(v.abs()));
    assert!(absmax.is_finite(), "a cache holds finite keys and values");
    let scale = (absmax / 127.0) as f32;
    // Below the smallest float32 a row is as good as zero.
    let inverse = if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 };
    (x.iter().map(|v| (v * inverse).round_ties_even().clamp(-127.0, 127.0) as i8).collect(), scale)
}

/// What the cache gives back.
pub fn dequantise(codes: &[i8], scale: f32) -> Vec<f64> {
    codes.iter().map(|&code| f64::from(code) * f64::from(scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{HeadProblem, Precision, relative_error};
    use crate::cases::adversarial;
    use crate::model::AttentionConfig;
    use proptest::prelude::*;

    fn through_int8(rows: &[f64], d: usize) -> Vec<f64> {
        rows.chunks_exact(d)
            .flat_map(|row| {
                let (codes, scale) = quantise(row);
                dequantise(&codes, scale)
            })
            .collect()
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        assert_eq!(quantise(&[0.0; 4]), (vec![0; 4], 0.0));
        assert_eq!(quantise(&[1e-60, -1e-60]).0, [0, 0]);
    }

    #[test]
    fn attention_from_an_int8_cache_on_ordinary_cases() {
        // MEASURED: 0.66 to 0.81 %, values alone 0.59 to 0.66 %: a row of 128 normal elements has a crest of 2.7 and costs 2.7 / 127 / √12 = 0.6 %.
        for case in adversarial(&AttentionConfig::gemma3_27b()) {
            if !["first_token", "window_edge", "ragged_history"].contains(&case.name) {
                continue;
            }
            let (exact, d) = (case.problem.direct(Precision::Exact), case.problem.head_dim);
            let v = through_int8(&case.problem.v, d);
            let values = HeadProblem { v: v.clone(), ..case.problem.clone() };
            let both = HeadProblem { k: through_int8(&case.problem.k, d), v, ..case.problem.clone() };
            let [values, both] =
                [values, both].map(|problem| relative_error(&problem.direct(Precision::Exact), &exact));
            println!("{}: values {:.2} %, keys and values {:.2} %", case.name, 100.0 * values, 100.0 * both);
            assert!(both < 0.02 && values < 0.01 && values > 0.003, "{}: {values} {both}", case.name);
        }
    }

    #[test]
    fn the_limbs_are_those_of_a_127th() {
        let high = bf16_rne(1.0 / 127.0);
        let rest = 1.0 / 127.0 - f64::from(widen(high));
        assert_eq!(ONE_127TH, [high, bf16_rne(rest as f32)]);
    }

    #[test]
    fn codes_of_the_vector_unit_are_within_half_a_step_and_reach_126() {
        let mut rng = crate::data::Rng::new(11);
        for case in 0..2000 {
            let size = 2f32.powi(case % 90 - 45);
            let y: Vec<u16> = (0..128).map(|_| bf16_rne(rng.normal() * size)).collect();
            let (codes, scale) = codes(&y);
            assert_eq!(scale.to_bits() & 0xFFFF, 0);
            let absmax = y.iter().map(|y| f64::from(widen(*y)).abs()).fold(0.0, f64::max);
            let step = f64::from(scale);
            assert!(step >= absmax / 127.0 * (1.0 - 2e-5) && step <= absmax / 127.0 * (1.0 + 1.0 / 127.0), "{step}");
            for (y, code) in y.iter().zip(&codes) {
                let error = (f64::from(widen(*y)) - value(*code, scale)).abs();
                assert!(error <= step * 0.502, "{error} of {step}");
            }
            let largest = codes.iter().map(|c| c.unsigned_abs()).max();
            assert!(matches!(largest, Some(126 | 127)), "{largest:?}");
        }
    }

    #[test]
    fn a_step_rounded_up_costs_a_hundredth_of_the_error() {
        let mut rng = crate::data::Rng::new(12);
        let (mut unit, mut exact, mut norm) = (0.0, 0.0, 0.0);
        for _ in 0..500 {
            let y: Vec<u16> = (0..128).map(|_| bf16_rne(rng.normal())).collect();
            let wide: Vec<f64> = y.iter().map(|y| f64::from(widen(*y))).collect();
            let ((a, s), (b, t)) = (codes(&y), quantise(&wide));
            let error = |back: Vec<f64>| back.iter().zip(&wide).map(|(b, y)| (b - y).powi(2)).sum::<f64>();
            unit += error(a.iter().map(|c| value(*c, s)).collect());
            exact += error(dequantise(&b, t));
            norm += wide.iter().map(|y| y * y).sum::<f64>();
        }
        let [unit, exact] = [unit, exact].map(|error: f64| (error / norm).sqrt());
        println!("codes of the vector unit: {:.4} %, of float64: {:.4} %", 100.0 * unit, 100.0 * exact);
        assert!(unit < 1.015 * exact && unit < 0.7e-2, "{unit} against {exact}");
    }

    #[test]
    fn zeros_and_dust_are_codes_of_zero_and_an_infinity_is_seen() {
        let (codes_of_zeros, scale) = codes(&[0, 0x8000, 0x0001]);
        assert_eq!((codes_of_zeros, scale > 0.0 && scale < 2f32.powi(-56)), (vec![0; 3], true));
        assert!(codes(&[0x3F80, 0x7F80]).1.is_infinite());
        assert!(codes(&[0x3F80, 0xFFC0]).1.is_nan());
    }

    proptest! {
        #[test]
        fn an_element_is_within_half_a_step(x in prop::collection::vec(-1e3f64..1e3, 1..64)) {
            let (codes, scale) = quantise(&x);
            for (v, w) in x.iter().zip(dequantise(&codes, scale)) {
                prop_assert!((v - w).abs() <= f64::from(scale) * (0.5 + 1e-5));
            }
            prop_assert_eq!(codes.iter().map(|c| c.unsigned_abs()).max(), Some(if scale == 0.0 { 0 } else { 127 }));
        }
    }
}
