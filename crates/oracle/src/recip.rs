//! `reciprocal` and `rsqrt` of float32 in bfloat16 limbs, as the vector unit computes them.
//!
//! ```text
//! l = l₁ + l₂ + l₃                                     limbs by rounding
//! y₀ from the pattern of l₁ by one integer subtraction (within 5.1 % for 1/l, 3.8 % for 1/√l)
//! y ← y (1 + e + e²),          e = 1 - l y             1/l
//! y ← y (1 + e/2 + 3/8 e²),    e = 1 - l y²            1/√l
//! ```
//! A first step takes y₀ to a bfloat16 y₁, a second, with l in three limbs and the correction in two, to float32. Between the two y is a bfloat16
//! exactly, so that e carries all there is to know. Domain: finite l from 2^-60 to 2^60.

use crate::fp::{bf16_rne, mac_lane, widen};

/// Pattern from which the pattern of l is subtracted to give that of about 1/l.
pub const RECIPROCAL_SEED: u16 = 0x7EF3;
/// The same for half the pattern of l and 1/√l.
pub const RSQRT_SEED: u16 = 0x5F37;

const ONE: u16 = 0x3F80;
const HALF: u16 = 0x3F00;
const THREE_EIGHTHS: u16 = 0x3EC0;

/// `acc + a · b`.
fn mac(acc: f32, a: u16, b: u16) -> f32 {
    mac_lane(Some(acc), &[(a, b), (0, 0)], false)
}

/// `acc - a · b`.
fn msc(acc: f32, a: u16, b: u16) -> f32 {
    mac_lane(Some(acc), &[(a, b), (0, 0)], true)
}

/// `a · b`.
fn mul(a: u16, b: u16) -> f32 {
    mac_lane(None, &[(a, b), (0, 0)], false)
}

/// The first limb, and what it leaves.
pub(crate) fn limb(v: f32) -> (u16, f32) {
    let first = bf16_rne(v);
    (first, msc(v, first, ONE))
}

/// `y + y · c` with c in two limbs.
fn corrected(y: u16, c: f32) -> f32 {
    let (high, rest) = limb(c);
    mac(mac(widen(y), y, high), y, bf16_rne(rest))
}

/// 1/l.
pub fn reciprocal(l: f32) -> f32 {
    let (l1, rest) = limb(l);
    let (l2, rest) = limb(rest);
    let l3 = bf16_rne(rest);
    let y0 = RECIPROCAL_SEED.wrapping_sub(l1);
    let e0 = msc(1.0, l1, y0);
    let (e, c) = (bf16_rne(e0), e0);
    let y1 = bf16_rne(mac(widen(y0), y0, bf16_rne(mac(c, e, e))));
    let e1 = msc(msc(msc(1.0, l1, y1), l2, y1), l3, y1);
    let e = bf16_rne(e1);
    corrected(y1, mac(e1, e, e))
}

/// 1/√v.
pub fn rsqrt(v: f32) -> f32 {
    let (v1, rest) = limb(v);
    let (v2, rest) = limb(rest);
    let v3 = bf16_rne(rest);
    // vsrs by one: half of an odd pattern is a tie, and goes to even
    let half = (v1 >> 1) + (v1 & (v1 >> 1) & 1);
    let y0 = RSQRT_SEED.wrapping_sub(half);
    let e0 = msc(1.0, v1, bf16_rne(mul(y0, y0)));
    let e = bf16_rne(e0);
    let c = mul(e, bf16_rne(mac(0.5, e, THREE_EIGHTHS)));
    let y1 = bf16_rne(mac(widen(y0), y0, bf16_rne(c)));
    // y₁² has sixteen bits: two limbs hold it
    let (q1, rest) = limb(mul(y1, y1));
    let q2 = bf16_rne(rest);
    let products = [(v1, q1), (v2, q1), (v1, q2), (v3, q1), (v2, q2)];
    let e1 = products.into_iter().fold(1.0, |e, (v, q)| msc(e, v, q));
    let (e, rest) = limb(e1);
    let linear = mac(mul(e, HALF), bf16_rne(rest), HALF);
    corrected(y1, mac(linear, e, bf16_rne(mul(e, THREE_EIGHTHS))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of [1, 4) in steps of 2^-16 and a few more bits, at exponents across the domain.
    fn sweep() -> impl Iterator<Item = f32> {
        let exponents = [-60, -31, -8, 0, 1, 13, 58];
        exponents
            .into_iter()
            .flat_map(|e| (0..3 << 16).map(move |k| (1.0 + (k as f32 + 0.37) / 65_536.0) * 2f32.powi(e)))
    }

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        sweep().map(|v| (f64::from(f(v)) / exact(f64::from(v)) - 1.0).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn the_reciprocal_is_good_to_three_units_of_float32() {
        let worst = worst(reciprocal, |v| 1.0 / v);
        println!("1/l: largest relative error 2^{:.2}", worst.log2());
        assert!(worst <= 2f64.powi(-21), "{worst}");
    }

    #[test]
    fn the_inverse_root_is_good_to_eight_units_of_float32() {
        let worst = worst(rsqrt, |v| v.sqrt().recip());
        println!("1/√v: largest relative error 2^{:.2}", worst.log2());
        assert!(worst <= 2f64.powi(-20), "{worst}");
    }

    #[test]
    fn powers_of_two_have_exact_reciprocals() {
        for e in -60..=60 {
            assert_eq!(reciprocal(2f32.powi(e)), 2f32.powi(-e), "2^{e}");
        }
    }

    #[test]
    fn a_quotient_rounded_to_bfloat16_is_off_by_half_a_unit() {
        // The last step of attention: a sum of limbs times the reciprocal in limbs.
        let mut worst = 0f64;
        for (i, l) in sweep().enumerate().filter(|(i, _)| i % 7 == 0) {
            let o = 1.0 + (i % 65_521) as f32 / 65_521.0;
            let y = f64::from(widen(crate::flash::quotient(o, l)));
            let exact = f64::from(o) / f64::from(l);
            worst = worst.max((y - exact).abs() / (exact.log2().floor().exp2() / 128.0));
        }
        println!("o / l: largest error {worst:.4} bf16 ulp");
        assert!(worst <= 0.51, "{worst}");
    }
}
