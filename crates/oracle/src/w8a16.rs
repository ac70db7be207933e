//! `w8a16_qkv_projection`: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k] / 256
//!
//! The specification, bit for bit; what it does not say is as in [`crate::w8a8`]:
//! 1. a = max |x[s]|; i = bf16(127 / a); q = rne(x · 256 i) = 256 h + l with h = floor((q + 128) / 256), l in -128..=127. The token's scale is 1 / i,
//!    that of h.
//! 2. H = Σ h · w, L = Σ l · w, exact int32; acc = H + rne(L / 256).
//! 3. y from acc and the scales as in [`crate::w8a8::scale_output`].
//!
//! Error of q: half a step of a / 32512. The one rounding of the sum costs at most half a step of an int8 code's product with a weight of one.

use crate::fp::{mac_lane, widen};
use crate::w8a8::{TokenScale, token_scale};

/// Limbs of one token's 16-bit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    /// h.
    pub upper: Vec<i8>,
    /// l.
    pub lower: Vec<i8>,
}

/// Quantises one token: codes and the scale of their upper limb.
pub fn quantise_token(x: &[u16]) -> (Codes, TokenScale) {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: unit in the last place is 1
    const TIMES_256: u16 = 8 << 7; // in the exponent field
    let scale = token_scale(x.iter().map(|bits| bits & 0x7FFF).max().unwrap_or(0));
    let inverse = if scale.inverse == 0 { 0 } else { scale.inverse + TIMES_256 };
    let limbs = |&bits: &u16| {
        let rounded = mac_lane(Some(MAGIC), &[(bits, inverse)], false);
        let q = rounded.to_bits().wrapping_sub(MAGIC.to_bits()) as i32;
        ((q.wrapping_add(128) >> 8) as i8, q as i8)
    };
    let (upper, lower) = x.iter().map(limbs).unzip();
    (Codes { upper, lower }, scale)
}

/// acc = H + rne(L / 256).
pub fn join_sums(upper: i32, lower: i32) -> i32 {
    let (quotient, rest) = (lower >> 8, lower & 0xFF);
    upper + quotient + i32::from(rest > 0x80 || (rest == 0x80 && quotient & 1 == 1))
}

/// float64 on the same quantised inputs: (H + L / 256) · s_tok · s_ch.
pub fn exact_outputs(upper: &[i32], lower: &[i32], tokens: &[TokenScale], channels: &[u16]) -> Vec<f64> {
    let n = channels.len();
    let rows = upper.chunks_exact(n).zip(lower.chunks_exact(n)).zip(tokens);
    rows.flat_map(|((upper, lower), token)| {
        let scale = token.value();
        upper
            .iter()
            .zip(lower)
            .zip(channels)
            .map(move |((&h, &l), &channel)| (f64::from(h) + f64::from(l) / 256.0) * scale * f64::from(widen(channel)))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, Weights};
    use crate::w8a8::{ZERO_EXPONENT_FIELD, relative_frobenius, scale_outputs};
    use crate::{gemm, w8a8};
    use proptest::prelude::*;

    const K: usize = 5376;
    const N: usize = 64;

    /// Relative Frobenius errors of W8A16 and W8A8 against float64 on the same INT8 weights and the bf16 inputs.
    fn errors(x: &[u16], weights: &Weights) -> [f64; 2] {
        let rows = x.len() / K;
        let (mut upper, mut lower, mut codes, mut tokens) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in x.chunks_exact(K) {
            let (limbs, scale) = quantise_token(row);
            upper.extend(limbs.upper);
            lower.extend(limbs.lower);
            codes.extend(w8a8::quantise_token(row).0);
            tokens.push(scale);
        }
        let sum = |codes: &[i8]| gemm::i8_nt(codes, &weights.codes, rows, N, K);
        let joined: Vec<i32> = sum(&upper).into_iter().zip(sum(&lower)).map(|(h, l)| join_sums(h, l)).collect();
        let exact: Vec<f64> = x
            .chunks_exact(K)
            .flat_map(|x| {
                weights.codes.chunks_exact(K).zip(&weights.scales).map(|(w, &scale)| {
                    let sum: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(widen(x)) * f64::from(w)).sum();
                    sum * f64::from(widen(scale))
                })
            })
            .collect();
        [joined, sum(&codes)].map(|acc| {
            let y = scale_outputs(&acc, &tokens, &weights.scales);
            relative_frobenius(y.iter().map(|&b| f64::from(widen(b))), exact.iter().copied())
        })
    }

    #[test]
    fn errors_stay_below_half_a_percent_of_the_same_weights_with_any_outliers() {
        let weights = Weights::normal(11, N, K);
        let mild = data::activations(11, 4 * K);
        // crest 14.6 and 35: distributions B and C of the accuracy study
        let with_outliers = |magnitude: f32| {
            let mut x = mild.clone();
            x.chunks_exact_mut(K).for_each(|row| row[77] = crate::fp::bf16_rne(magnitude));
            x
        };
        for (x, int8) in [(mild.clone(), 0.5e-2), (with_outliers(15.0), 2e-2), (with_outliers(40.0), 4e-2)] {
            let [w8a16, w8a8] = errors(&x, &weights);
            assert!(w8a16 <= 0.2e-2, "W8A16 {w8a16}: little more than the rounding to bf16, 0.17 %");
            assert!(w8a8 > int8, "W8A8 {w8a8}");
        }
    }

    #[test]
    fn limbs_are_the_rounded_products() {
        let x = data::activations(3, K);
        let (codes, scale) = quantise_token(&x);
        for ((&bits, &h), &l) in x.iter().zip(&codes.upper).zip(&codes.lower) {
            let exact = f64::from(widen(bits)) * f64::from(widen(scale.inverse)) * 256.0;
            assert_eq!(256.0 * f64::from(h) + f64::from(l), exact.round_ties_even());
        }
        assert!(codes.lower.contains(&-128) && codes.lower.contains(&127));
    }

    #[test]
    fn a_token_of_zeros_dust_or_infinities_is_that_of_w8a8() {
        let (codes, dust) = quantise_token(&[(ZERO_EXPONENT_FIELD << 7) - 1; 4]);
        assert_eq!((codes.upper, codes.lower, dust.high), (vec![0; 4], vec![0; 4], 0));
        let (_, infinite) = quantise_token(&[0x3F80, 0x7F80]);
        assert_eq!(infinite.high, w8a8::BF16_NAN);
    }

    proptest! {
        #[test]
        fn no_code_leaves_two_int8_limbs(fraction in 0u16..128, field in ZERO_EXPONENT_FIELD..255, negative: bool) {
            let bits = u16::from(negative) << 15 | field << 7 | fraction;
            let (codes, scale) = quantise_token(&[bits]);
            let exact = f64::from(widen(bits)) * f64::from(widen(scale.inverse)) * 256.0;
            let q = 256.0 * f64::from(codes.upper[0]) + f64::from(codes.lower[0]);
            prop_assert_eq!(q, exact.round_ties_even());
            prop_assert!(q.abs() > 32_300.0);
        }

        #[test]
        fn joined_sums_round_to_even(upper in -87_000_000i32..87_000_000, lower in -88_080_384i32..=88_080_384) {
            let exact = f64::from(upper) + f64::from(lower) / 256.0;
            let even = f64::from(upper) + (f64::from(lower) / 256.0).round_ties_even();
            prop_assert_eq!(f64::from(join_sums(upper, lower)), even);
            prop_assert!((even - exact).abs() <= 0.5);
        }
    }
}
