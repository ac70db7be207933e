//! Numbers from a seed, the same on every machine: a program in any language can make them again.
//!
//! ```text
//! mix(z)      z = (z ^ z >> 30) · BF58476D1CE4E5B9;  z = (z ^ z >> 27) · 94D049BB133111EB;  z ^ z >> 31           (mod 2^64, as splitmix64)
//! key         mix(seed ^ mix(stream))
//! word i      mix(key + (i + 1) · 9E3779B97F4A7C15)
//! value i     bf16(float32(a + b + c + d - 131070) / 37837)      a, b, c, d: the four 16-bit parts of word i; ties to even
//! code i      (a + b + c + d - 131070) / 1032, towards zero      of an INT8 cache, with a scale of 1/32 everywhere
//! ```
//!
//! The sum of four uniform numbers is nearly normal; 37837 makes its deviation 1. No value is beyond 3.47. Codes are -127 to 127, times their scale of
//! deviation 1.15.

use half::bf16;

/// What numbers are for. Each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Hidden states of the new positions; value s · hidden + k for column k of the new position s.
    Hidden = 1,
    /// Keys of earlier positions, as after norm and rotation; value (p · heads + h) · head_dim + d for position p.
    Keys = 2,
    /// Values of earlier positions, likewise.
    Values = 3,
}

/// Mean of the sum of four parts: 4 · 65535 / 2.
const MEAN: i32 = 131_070;
/// 65536 · sqrt(4 / 12): deviation of the sum.
const DEVIATION: f32 = 37_837.0;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// Most that the sum is from its mean is 127 of these.
const CODE_STEP: i32 = 1032;
/// Scale of all codes.
pub(crate) const SCALE: f32 = 0.031_25;

/// The sums of a stream, less their mean, from number `first` on.
fn sums(seed: u64, stream: Stream, first: usize, count: usize) -> impl Iterator<Item = i32> {
    let key = mix(seed ^ mix(stream as u64));
    (first..first + count).map(move |i| {
        let word = mix(key.wrapping_add((i as u64 + 1).wrapping_mul(GOLDEN)));
        (0..4).map(|part| (word >> (16 * part) & 0xFFFF) as i32).sum::<i32>() - MEAN
    })
}

/// bfloat16 bits of `count` numbers of a stream from number `first` on.
pub fn seeded(seed: u64, stream: Stream, first: usize, count: usize) -> Vec<u16> {
    sums(seed, stream, first, count).map(|sum| bf16::from_f32(sum as f32 / DEVIATION).to_bits()).collect()
}

/// INT8 codes of the same numbers, as bytes.
pub(crate) fn seeded_codes(seed: u64, stream: Stream, first: usize, count: usize) -> Vec<u8> {
    sums(seed, stream, first, count).map(|sum| (sum / CODE_STEP) as i8 as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        // SOURCE: the definition above, computed once in Python.
        assert_eq!(seeded(0, Stream::Hidden, 0, 6), [0x3F0A, 0xBF81, 0x3F55, 0x3F9F, 0x3F82, 0x3F1C]);
        assert_eq!(seeded(7, Stream::Keys, 1000, 6), [0x4010, 0x3D15, 0x3FF6, 0x3F3A, 0xBF07, 0x3F54]);
        assert_eq!(seeded(u64::MAX, Stream::Values, 0, 6), [0xBEA3, 0xBF05, 0xBFA8, 0xBE9A, 0x3F12, 0x3F24]);
    }

    #[test]
    fn codes_are_the_same_numbers_in_other_steps() {
        let (values, codes) = (seeded(7, Stream::Keys, 1000, 500), seeded_codes(7, Stream::Keys, 1000, 500));
        for (value, code) in values.into_iter().zip(codes) {
            let exact = bf16::from_bits(value).to_f32() * DEVIATION / CODE_STEP as f32;
            assert!((f32::from(code as i8) - exact).abs() <= 1.0 + exact.abs() / 128.0, "{code} {exact}");
        }
        assert_eq!([MEAN / CODE_STEP, -MEAN / CODE_STEP], [127, -127]);
    }

    #[test]
    fn any_part_can_be_made_alone() {
        let whole = seeded(3, Stream::Hidden, 0, 100);
        assert_eq!(seeded(3, Stream::Hidden, 40, 20), whole[40..60]);
    }

    #[test]
    fn they_are_nearly_normal() {
        let values: Vec<f64> =
            seeded(1, Stream::Values, 0, 100_000).into_iter().map(|bits| bf16::from_bits(bits).to_f64()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.02, "{mean} {square}");
        assert!(values.iter().all(|v| v.abs() < 3.48));
    }
}
