//! `exp2`: p = bf16(2^x) for x ≤ 0, as the vector unit computes it without tables.
//!
//! A bfloat16 pattern *is* a logarithm, eight bits of integer and seven of fraction, up to the bend g(f) = 2^f - 1 - f inside an octave:
//!
//! ```text
//! bits(2^x) = 128 · (x + 127 + g(f)),  f = x - ⌊x⌋
//! X = 512 · (x + 63)             one float subtraction of 128² + 96², one integer subtraction, saturated to int16
//! t = (SLOPE + u (u + OFFSET)) / 2^8,  u = X mod 512         g(f) ≈ f (a₁ + a₂ f + f² / 16)
//! bits = (2^29 + X · 2^14 + t u) / 2^16                      the one rounding of the result, ties to even
//! ```
//! Saturation is the clamp: x ≤ -127, minus infinity included, gives X = -2^15 and so exactly 0. Between -127 and -126 the result falls from the
//! smallest normal number to 0. x = 0 gives exactly 1. Not defined by this specification: NaN, and x > 0 beyond what [`DOMAIN_MAX`] says.

use crate::fp::mac_lane;

/// Factors of the grid in bfloat16, 128 and 96: a lane subtracts the sum of their squares. Any number of its octave leaves x with nine bits of
/// fraction, for -7168 < x < 9216; this one takes a single register. Negative, so that the patterns fall with x all the way to minus infinity.
const GRID_FACTORS: [u16; 2] = [0x4300, 0x42C0];
/// Steps of the grid in one octave.
pub const STEPS: i32 = 512;
/// 2^8 · 2^14 · a₁.
pub const SLOPE: i32 = -1_307_784;
/// 2^13 · a₂.
pub const OFFSET: i32 = 2037;
/// Largest x for which the result is 2^x: from here on X saturates.
pub const DOMAIN_MAX: f32 = 32_767.0 / STEPS as f32 - 63.0;

/// `v / 2^shift`, ties to even, saturated to int16: `vsrs.s16.s32`.
fn srs(v: i32, shift: u32) -> i32 {
    let (q, rest, half) = (v >> shift, v & ((1 << shift) - 1), (1 << shift) >> 1);
    let up = shift > 0 && (rest > half || (rest == half && q & 1 == 1));
    (q + i32::from(up)).clamp(-32_768, 32_767)
}

/// The pattern of x on the grid: larger x, smaller pattern.
pub fn on_grid(x: f32) -> i32 {
    mac_lane(Some(x), &GRID_FACTORS.map(|f| (f, f)), true).to_bits() as i32
}

/// `pattern - reference` in steps of 1/512: where the exponent of 2 stands against the x of `reference`, whose result is 1.
pub fn probability(pattern: i32, reference: i32) -> u16 {
    let d = reference.wrapping_add(63 * STEPS).wrapping_sub(pattern);
    let x = srs(d, 0);
    let u = x & (STEPS - 1);
    let t = srs(SLOPE + u * (u + OFFSET), 8);
    srs((1 << 29) + (x << 14) + t * u, 16) as u16
}

/// bf16(2^x).
pub fn exp2(x: f32) -> u16 {
    probability(on_grid(x), on_grid(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fp::widen;

    /// x of every point of the grid from -126 to 0.
    fn grid() -> impl Iterator<Item = f32> {
        (0..=126 * STEPS).map(|k| k as f32 / STEPS as f32 - 126.0)
    }

    /// Error in units of the last place of a bfloat16 result.
    fn ulps(x: f32) -> f64 {
        let exact = f64::from(x).exp2();
        let ulp = f64::from(x).floor().exp2() / 128.0;
        (f64::from(widen(exp2(x))) - exact).abs() / ulp
    }

    #[test]
    fn a_dense_sweep_stays_within_three_quarters_of_a_unit() {
        // Sixteen points between any two of the grid: a finer x changes the result by less than it changes 2^x.
        let sweep =
            grid().flat_map(|x| (0..16).map(move |i| x - i as f32 / (16.0 * STEPS as f32))).filter(|x| *x >= -126.0);
        let (mut worst, mut sum, mut n) = (0f64, 0f64, 0u32);
        for x in sweep {
            let e = ulps(x);
            (worst, sum, n) = (worst.max(e), sum + e, n + 1);
        }
        let mean = sum / f64::from(n);
        println!("exp2 on [-126, 0], {n} points: max {worst:.4}, mean {mean:.4} bf16 ulp");
        assert!(worst <= 0.75, "{worst}");
        assert!(mean <= 0.27, "{mean}");
    }

    #[test]
    fn powers_of_two_are_exact() {
        for n in 0..=126 {
            assert_eq!(f64::from(widen(exp2(-n as f32))), f64::from(-n).exp2());
        }
        assert_eq!(exp2(-0.0), 0x3F80);
    }

    #[test]
    fn results_never_fall_as_x_rises() {
        let points: Vec<u16> = (-128 * STEPS..=STEPS).map(|k| exp2(k as f32 / STEPS as f32)).collect();
        assert!(points.is_sorted());
    }

    #[test]
    fn whatever_lies_at_or_below_minus_127_is_exactly_zero() {
        let x = (0..1000).map(|i| -127.0 * 1.1f32.powi(i)).chain([
            f32::NEG_INFINITY,
            f32::MIN,
            -24_576.0,
            -49_152.0,
            -88_000.0,
        ]);
        for x in x {
            assert_eq!(exp2(x), 0, "{x}");
        }
        assert_ne!(exp2(-126.9), 0);
    }
}
