//! The AIE2 vector unit's float arithmetic, one lane at a time.
//!
//! SOURCE: FIM43-Redeye/xdna-emu, recordings on Phoenix (`bf16_pipeline.rs`, `vector_float.rs`): multiply-accumulate is one aligned sum in
//! which every addend is rounded to the grid of the largest, not a chain of IEEE operations.

/// Rounds a float32 to bfloat16, ties to even (`crRnd` = 12). NaN stays NaN.
pub fn bf16_rne(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x0040;
    }
    let odd = (bits >> 16) & 1;
    (bits.wrapping_add(0x7FFF + odd) >> 16) as u16
}

/// Widens a bfloat16 bit pattern; exact.
pub fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// A finite, non-zero addend: `significand * 2^exponent`, plus the exponent that takes part in the search for the largest.
#[derive(Clone, Copy)]
struct Addend {
    significand: i64,
    exponent: i32,
    alignment: i32,
}

enum Class {
    Zero,
    Finite(Addend),
    Infinite(bool),
    Nan,
}

fn classify_f32(bits: u32, negate: bool) -> Class {
    let sign = (bits >> 31 == 1) != negate;
    let field = ((bits >> 23) & 0xFF) as i32;
    let fraction = i64::from(bits & 0x7F_FFFF);
    if field == 255 {
        return if fraction == 0 { Class::Infinite(sign) } else { Class::Nan };
    }
    let (significand, biased) = if field == 0 { (fraction, 1) } else { (fraction | 1 << 23, field) };
    if significand == 0 {
        return Class::Zero;
    }
    let exponent = biased - 127 - 23;
    Class::Finite(Addend {
        significand: if sign { -significand } else { significand },
        exponent,
        alignment: biased - 127,
    })
}

fn split_bf16(bits: u16) -> (bool, i32, i64) {
    let field = i32::from((bits >> 7) & 0xFF);
    let fraction = i64::from(bits & 0x7F);
    (bits >> 15 == 1, field, fraction)
}

fn classify_product(a: u16, b: u16, negate: bool) -> Class {
    let ((sign_a, field_a, fraction_a), (sign_b, field_b, fraction_b)) = (split_bf16(a), split_bf16(b));
    let sign = (sign_a != sign_b) != negate;
    let (infinite_a, infinite_b) = (field_a == 255, field_b == 255);
    let (zero_a, zero_b) = (field_a == 0 && fraction_a == 0, field_b == 0 && fraction_b == 0);
    if (infinite_a && fraction_a != 0)
        || (infinite_b && fraction_b != 0)
        || (infinite_a && zero_b)
        || (infinite_b && zero_a)
    {
        return Class::Nan;
    }
    if infinite_a || infinite_b {
        return Class::Infinite(sign);
    }
    if zero_a || zero_b {
        return Class::Zero;
    }
    let unpack = |field: i32, fraction: i64| {
        if field == 0 { (fraction, 1) } else { (fraction | 1 << 7, field) }
    };
    let ((ma, ea), (mb, eb)) = (unpack(field_a, fraction_a), unpack(field_b, fraction_b));
    let product = ma * mb;
    let alignment = ea - 127 + eb - 127;
    Class::Finite(Addend { significand: if sign { -product } else { product }, exponent: alignment - 14, alignment })
}

/// `round(value * 2^-shift)`, ties to even; a left shift when `shift` is negative.
fn shift_rne(value: i64, shift: i32) -> i64 {
    if shift <= 0 {
        return value << -shift;
    }
    if shift >= 62 {
        return 0;
    }
    let (quotient, rest, half) = (value >> shift, value & ((1 << shift) - 1), 1i64 << (shift - 1));
    quotient + i64::from(rest > half || (rest == half && quotient & 1 == 1))
}

/// The aligned sum: align to the largest exponent, round each addend there, add exactly, normalise with ties to even.
/// `flushed` is what a result below the normal range becomes.
fn aligned_sum(addends: &[Class], flush_keeps_sign: bool) -> f32 {
    let (mut positive_infinity, mut negative_infinity) = (false, false);
    let mut largest = i32::MIN;
    for addend in addends {
        match addend {
            Class::Nan => return f32::NAN,
            Class::Infinite(true) => negative_infinity = true,
            Class::Infinite(false) => positive_infinity = true,
            Class::Finite(a) => largest = largest.max(a.alignment),
            Class::Zero => {}
        }
    }
    match (positive_infinity, negative_infinity) {
        (true, true) => return f32::NAN,
        (true, false) => return f32::INFINITY,
        (false, true) => return f32::NEG_INFINITY,
        (false, false) => {}
    }
    if largest == i32::MIN {
        return 0.0;
    }
    let grid = largest - 23;
    let sum: i64 = addends
        .iter()
        .map(|addend| match addend {
            Class::Finite(a) => shift_rne(a.significand, grid - a.exponent),
            Class::Zero | Class::Infinite(_) | Class::Nan => 0,
        })
        .sum();
    if sum == 0 {
        return 0.0;
    }
    let negative = sum < 0;
    let mut magnitude = sum.unsigned_abs() as i64;
    let mut exponent = grid;
    let bits = 64 - magnitude.leading_zeros() as i32;
    if bits > 24 {
        magnitude = shift_rne(magnitude, bits - 24);
        exponent += bits - 24;
        if magnitude == 1 << 24 {
            magnitude >>= 1;
            exponent += 1;
        }
    } else {
        magnitude <<= 24 - bits;
        exponent -= 24 - bits;
    }
    let field = exponent + 23 + 127;
    let sign = u32::from(negative) << 31;
    if field <= 0 {
        return if flush_keeps_sign { f32::from_bits(sign) } else { 0.0 };
    }
    if field >= 255 {
        return f32::from_bits(sign | 0x7F80_0000);
    }
    f32::from_bits(sign | (field as u32) << 23 | (magnitude as u32 & 0x7F_FFFF))
}

/// Products that meet in one lane of the widest mode, 4x8x4.
const PRODUCTS_MAX: usize = 8;

/// One lane of `vmac.f` (`negate` false) or `vmsc.f` (`negate` true): `acc ± Σ a·b`. A lane of `vmul.f` has `acc` = `None`.
pub fn mac_lane(acc: Option<f32>, products: &[(u16, u16)], negate: bool) -> f32 {
    let mut addends = [const { Class::Zero }; 1 + PRODUCTS_MAX];
    assert!(products.len() <= PRODUCTS_MAX, "a lane sums at most {PRODUCTS_MAX} products");
    if let Some(acc) = acc {
        addends[0] = classify_f32(acc.to_bits(), false);
    }
    for (addend, &(a, b)) in addends[1..].iter_mut().zip(products) {
        *addend = classify_product(a, b, negate);
    }
    aligned_sum(&addends[..1 + products.len()], false)
}

/// One lane of `vadd.f` (`negate` false) or `vsub.f` (`negate` true).
pub fn add_lane(a: f32, b: f32, negate: bool) -> f32 {
    aligned_sum(&[classify_f32(a.to_bits(), false), classify_f32(b.to_bits(), negate)], true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lone_product_is_exact() {
        assert_eq!(mac_lane(None, &[(bf16_rne(3.0), bf16_rne(-0.5))], false), -1.5);
        assert_eq!(mac_lane(None, &[(bf16_rne(3.0), bf16_rne(-0.5))], true), 1.5);
    }

    #[test]
    fn magic_number_rounds_a_product_to_even() {
        let magic = 12_582_912.0; // 1.5 * 2^23
        for (x, expected) in [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, 0.0), (-1.5, -2.0), (126.5, 126.0)] {
            let sum = mac_lane(Some(magic), &[(bf16_rne(x), bf16_rne(1.0))], false);
            assert_eq!(sum - magic, expected, "{x}");
        }
    }

    #[test]
    fn smaller_addends_are_rounded_to_the_grid_of_the_largest_before_the_sum() {
        // 2^24 and two times 0.75: exact arithmetic gives 2^24 + 1.5 -> 2^24 + 2; the aligned sum rounds each 0.75 to 0 on the grid of 2.
        let terms = [(bf16_rne(0.75), bf16_rne(1.0)), (bf16_rne(0.75), bf16_rne(1.0))];
        assert_eq!(mac_lane(Some(16_777_216.0), &terms, false), 16_777_216.0);
    }

    #[test]
    fn special_values_follow_ieee_classes() {
        let (inf, one, zero) = (0x7F80, bf16_rne(1.0), 0);
        assert!(mac_lane(None, &[(inf, zero)], false).is_nan());
        assert_eq!(mac_lane(None, &[(inf, one)], true), f32::NEG_INFINITY);
        assert!(mac_lane(Some(f32::INFINITY), &[(inf, one)], true).is_nan());
        assert_eq!(
            mac_lane(Some(f32::MIN_POSITIVE), &[(0x0080, bf16_rne(0.5))], true).to_bits(),
            0,
            "denormal results become +0"
        );
    }

    proptest! {
        #[test]
        fn rounding_to_bf16_agrees_with_half(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(bf16_rne(value), half::bf16::from_f32(value).to_bits());
        }

        #[test]
        fn additions_of_like_exponents_are_ieee(a in 1.0f32..2.0, b in 1.0f32..2.0) {
            prop_assert_eq!(add_lane(a, b, false), a + b);
            prop_assert_eq!(add_lane(a, b, true), a - b);
        }

        #[test]
        fn one_addition_errs_by_half_a_unit_for_alignment_and_one_for_the_carry(a in -1.0e6f32..1.0e6, b in -1.0e6f32..1.0e6) {
            let exact = f64::from(a) + f64::from(b);
            let unit = f64::from(a.abs().max(b.abs())) * 2f64.powi(-23);
            prop_assert!((f64::from(add_lane(a, b, false)) - exact).abs() <= 1.5 * unit);
        }
    }
}
