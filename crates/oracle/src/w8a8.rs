//! `w8a8_qkv_projection`: y[s][n] = s_tok[s] · s_ch[n] · Σₖ q(x[s][k]) · w[n][k]
//!
//! The specification, bit for bit:
//! 1. a = max |x[s]|; i = bf16(127 / a), ties to even; q = rne(x · i). The token's scale is 1 / i, kept as two bfloat16 limbs.
//! 2. acc = Σ q · w, exact int32.
//! 3. v = float32(acc) by two magic numbers; v = v₁ + v₂, S = (t₁ + t₂) · s_ch = S₁ + S₂ in bfloat16 limbs.
//! 4. y = bf16((v₁S₁ + v₁S₂) + v₂S₁ + v₂S₂), the bracket and the whole each one aligned sum of the vector unit.
//!
//! A token holding an infinity or a NaN comes out as NaN; one whose largest magnitude is below 2^-95 comes out as zero.

use crate::fp::{add_lane, bf16_rne, mac_lane, widen};
use std::thread;

/// bfloat16 quiet NaN.
pub const BF16_NAN: u16 = 0x7FC0;

/// Exponent field below which a token counts as zero: keeps every limb of its scale a normal number.
pub const ZERO_EXPONENT_FIELD: u16 = 32;

/// What quantising one token yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenScale {
    /// bfloat16 multiplier applied before rounding, 127 / absmax.
    pub inverse: u16,
    /// High limb of 1 / inverse.
    pub high: u16,
    /// Low limb of 1 / inverse.
    pub low: u16,
}

impl TokenScale {
    /// The scale as the mathematics sees it.
    pub fn value(self) -> f64 {
        f64::from(widen(self.high)) + f64::from(widen(self.low))
    }
}

/// Limbs of the scale for a token whose largest magnitude has the bits `absmax` (sign cleared).
pub fn token_scale(absmax: u16) -> TokenScale {
    let (field, fraction) = (absmax >> 7, absmax & 0x7F);
    if field == 255 {
        return TokenScale { inverse: 0, high: BF16_NAN, low: BF16_NAN };
    }
    if field < ZERO_EXPONENT_FIELD {
        return TokenScale { inverse: 0, high: 0, low: 0 };
    }
    let unit = unit_scale(fraction);
    let shift = 127u16.wrapping_sub(field).wrapping_mul(1 << 7);
    TokenScale {
        inverse: unit.inverse.wrapping_add(shift),
        high: unit.high.wrapping_sub(shift),
        low: unit.low.wrapping_sub(shift),
    }
}

/// The scale of absmax = 1.fraction; other exponents shift it.
fn unit_scale(fraction: u16) -> TokenScale {
    let absmax = 1.0 + f64::from(fraction) / 128.0;
    let inverse = bf16_rne((127.0 / absmax) as f32);
    let exact = 1.0 / f64::from(widen(inverse));
    let mut high = bf16_rne(exact as f32);
    if f64::from(widen(high)) == exact {
        high -= 1; // a zero low limb has no exponent to shift: split off the last unit instead
    }
    let low = bf16_rne((exact - f64::from(widen(high))) as f32);
    TokenScale { inverse, high, low }
}

/// Quantises one token: codes and scale.
pub fn quantise_token(x: &[u16]) -> (Vec<i8>, TokenScale) {
    let absmax = x.iter().map(|bits| bits & 0x7FFF).max().unwrap_or(0);
    let scale = token_scale(absmax);
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: unit in the last place is 1
    let codes = x
        .iter()
        .map(|&bits| {
            let rounded = mac_lane(Some(MAGIC), &[(bits, scale.inverse)], false);
            (rounded.to_bits().wrapping_sub(MAGIC.to_bits()) as i32).clamp(-128, 127) as i8
        })
        .collect();
    (codes, scale)
}

/// int32 → float32 as the epilogue does it.
pub fn widen_accumulator(acc: i32) -> f32 {
    // h = rne(acc / 2^16), l = acc - h · 2^16
    let (quotient, rest) = (acc >> 16, acc & 0xFFFF);
    let h = quotient + i32::from(rest > 0x8000 || (rest == 0x8000 && quotient & 1 == 1));
    let l = acc.wrapping_sub(h.wrapping_shl(16));
    let low = f32::from_bits((l as u32).wrapping_add(0x4B40_0000)); // 1.5 · 2^23 + l
    let high = f32::from_bits((h as u32).wrapping_add(0x5340_0000)); // 1.5 · 2^39 + h · 2^16
    const BOTH: f32 = 1.5 * 549_755_813_888.0 + 12_582_912.0; // 1.5 · 2^39 + 1.5 · 2^23
    add_lane(add_lane(high, BOTH, true), low, false)
}

/// One output: `acc` scaled by the token's and the channel's scale.
pub fn scale_output(acc: i32, token: TokenScale, channel: u16) -> u16 {
    // The first limb is taken off in two halves: rounded up past a power of two, a whole one would cost the rest its last bit.
    const HALF: u16 = 0x3F00;
    let limbs = |value: f32| {
        let first = bf16_rne(value);
        (first, bf16_rne(mac_lane(Some(value), &[(first, HALF), (first, HALF)], true)))
    };
    let (v1, v2) = limbs(widen_accumulator(acc));
    let (s1, s2) = limbs(mac_lane(None, &[(token.high, channel), (token.low, channel)], false));
    let y = mac_lane(None, &[(v1, s1), (v1, s2)], false);
    bf16_rne(mac_lane(Some(y), &[(v2, s1), (v2, s2)], false))
}

/// The whole projection: bfloat16 outputs `[s][n]` from exact accumulators. Uses the machine's threads.
pub fn scale_outputs(acc: &[i32], tokens: &[TokenScale], channels: &[u16]) -> Vec<u16> {
    let n = channels.len();
    let mut out = vec![0; acc.len()];
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let rows_each = tokens.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts = out.chunks_mut(rows_each * n).zip(acc.chunks(rows_each * n)).zip(tokens.chunks(rows_each));
        for ((out, acc), tokens) in parts {
            scope.spawn(move || {
                for ((out, acc), &token) in out.chunks_exact_mut(n).zip(acc.chunks_exact(n)).zip(tokens) {
                    for ((y, &acc), &channel) in out.iter_mut().zip(acc).zip(channels) {
                        *y = scale_output(acc, token, channel);
                    }
                }
            });
        }
    });
    out
}

/// float64 on the same quantised inputs: `acc · s_tok · s_ch`.
pub fn exact_outputs(acc: &[i32], tokens: &[TokenScale], channels: &[u16]) -> Vec<f64> {
    let n = channels.len();
    acc.chunks_exact(n)
        .zip(tokens)
        .flat_map(|(row, token)| {
            let scale = token.value();
            row.iter().zip(channels).map(move |(&acc, &channel)| f64::from(acc) * scale * f64::from(widen(channel)))
        })
        .collect()
}

/// `||a - b|| / ||b||` over finite pairs, in float64.
pub fn relative_frobenius(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> f64 {
    let (mut error, mut norm) = (0.0, 0.0);
    for (x, y) in a.into_iter().zip(b) {
        error += (x - y) * (x - y);
        norm += y * y;
    }
    if norm == 0.0 { error.sqrt() } else { (error / norm).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;
    use proptest::prelude::*;

    #[test]
    fn codes_are_the_rounded_products_and_reach_127() {
        let x: Vec<u16> = data::activations(3, 5376);
        let (codes, scale) = quantise_token(&x);
        for (&bits, &code) in x.iter().zip(&codes) {
            let exact = f64::from(widen(bits)) * f64::from(widen(scale.inverse));
            assert_eq!(f64::from(code), exact.round_ties_even());
        }
        assert_eq!(codes.iter().map(|c| c.unsigned_abs()).max(), Some(127));
    }

    #[test]
    fn every_fraction_keeps_codes_within_127_and_the_scale_to_sixteen_bits() {
        for fraction in 0..128 {
            let absmax = 0x3F80 | fraction;
            let scale = token_scale(absmax);
            let top = f64::from(widen(absmax)) * f64::from(widen(scale.inverse));
            assert!((126.5..127.5).contains(&top), "fraction {fraction}: {top}");
            let error = (scale.value() * f64::from(widen(scale.inverse)) - 1.0).abs();
            assert!(error < 2f64.powi(-16), "fraction {fraction}: {error}");
            assert_ne!(scale.low & 0x7FFF, 0);
        }
    }

    #[test]
    fn infinities_make_the_token_nan_and_dust_makes_it_zero() {
        let (_, infinite) = quantise_token(&[0x3F80, 0x7F80]);
        assert_eq!(scale_output(5, infinite, 0x3F80) & 0x7FFF, BF16_NAN);
        let (codes, dust) = quantise_token(&[(ZERO_EXPONENT_FIELD << 7) - 1; 4]);
        assert_eq!((codes, dust.high, scale_output(0, dust, 0x3F80)), (vec![0; 4], 0, 0));
    }

    proptest! {
        #[test]
        fn exponents_only_shift_the_scale(fraction in 0u16..128, field in ZERO_EXPONENT_FIELD..255) {
            let (unit, scaled) = (token_scale(127 << 7 | fraction), token_scale(field << 7 | fraction));
            let factor = 2f64.powi(i32::from(field) - 127);
            prop_assert_eq!(scaled.value(), unit.value() * factor);
            prop_assert_eq!(f64::from(widen(scaled.inverse)), f64::from(widen(unit.inverse)) / factor);
        }

        #[test]
        fn widening_errs_by_less_than_a_float32_step_of_its_halves(acc in -88_080_384i32..=88_080_384) {
            let error = (f64::from(widen_accumulator(acc)) - f64::from(acc)).abs();
            prop_assert!(error <= 16.0 && (acc.abs() >= 1 << 22 || error <= 1.0), "{} off by {}", acc, error);
        }

        #[test]
        fn an_output_is_within_a_bfloat16_rounding_of_the_mathematics(acc in -88_080_384i32..=88_080_384, a in 0x3000u16..0x5000, c in 0x3000u16..0x4000) {
            let token = token_scale(a);
            let exact = f64::from(acc) * token.value() * f64::from(widen(c));
            let y = f64::from(widen(scale_output(acc, token, c)));
            prop_assert!((y - exact).abs() <= exact.abs() * (2f64.powi(-8) + 2f64.powi(-13)), "{} against {}", y, exact);
        }
    }
}
