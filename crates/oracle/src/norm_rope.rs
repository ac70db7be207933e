//! A head's RMSNorm and rotation as the vector unit computes them, bit for bit.
//!
//! ```text
//! s = Σ x² + d ε                                sixteen lanes of 2 squares a step, then pairs of lanes          d = 128
//! r = rsqrt(s)                                  `recip::rsqrt`; two limbs r₁ r₂
//! p = x g,         g = (1 + w) √d · scale       g in two limbs; p in two limbs p₁ p₂
//! z_lo = cos p_lo - sin p_hi,  z_hi = sin p_lo + cos p_hi               (p₁ t₁ + p₁ t₂) + p₂ t₁, t the table's two limbs
//! y = bf16(z r)                                 z in two limbs: (z₁ r₁ + z₂ r₁) + (z₁ r₂ + z₂ r₂)
//! ```
//! The mean is never formed: x r √d is x over its root mean square. Domain: s up to 2^60; an infinity or NaN spoils its own head only.

use crate::fp::{add_lane, bf16_rne, mac_lane, widen};
use crate::recip::{limb, rsqrt};

/// Width of a head.
pub const HEAD_DIM: usize = 128;
/// Lanes of a float32 vector.
const LANES: usize = 16;
/// d ε.
pub const EPSILON: f32 = (HEAD_DIM as f64 * 1e-6) as f32;
/// Σ x² + d ε.
pub fn square_sum(x: &[u16]) -> f32 {
    let mut lanes: Vec<f32> = (0..LANES)
        .map(|lane| {
            let step = |acc: Option<f32>, v: &[u16]| {
                let (a, b) = (v[lane], v[lane + LANES]);
                Some(mac_lane(acc, &[(a, a), (b, b)], false))
            };
            x.chunks_exact(2 * LANES).fold(None, step).unwrap_or(0.0)
        })
        .collect();
    while lanes.len() > 1 {
        lanes = lanes.as_chunks::<2>().0.iter().map(|[even, odd]| add_lane(*even, *odd, false)).collect();
    }
    add_lane(lanes[0], EPSILON, false)
}

/// Two limbs.
fn limbs(v: f32) -> [u16; 2] {
    let first = bf16_rne(v);
    [first, bf16_rne(add_lane(v, widen(first), true))]
}

/// A head, normed, scaled and turned. `weights` is a record of `npu_package::layout::HeadNorm`, `[block][half][limb][16]`, `table` one of
/// `npu_package::layout::RopeTable` with two limbs, `[limb][block][2][32]`, both as bfloat16 bits.
///
/// # Panics
/// If the lengths are not those of a head.
pub fn norm_rope(x: &[u16], weights: &[u16], table: &[u16]) -> Vec<u16> {
    assert_eq!([x.len(), weights.len(), table.len()], [HEAD_DIM, 2 * HEAD_DIM, 4 * HEAD_DIM], "a head of 128");
    let (r1, rest) = limb(rsqrt(square_sum(x)));
    let r2 = bf16_rne(rest);
    let half = HEAD_DIM / 2;
    let mut y = vec![0; HEAD_DIM];
    for j in 0..half {
        let (block, lane) = (j / LANES, j % LANES);
        let weight = |half: usize, limb: usize| weights[((2 * block + half) * 2 + limb) * LANES + lane];
        let product = |half: usize, x: u16| mac_lane(None, &[(x, weight(half, 0)), (x, weight(half, 1))], false);
        let (low, high) = (limbs(product(0, x[j])), limbs(product(1, x[j + half])));
        let turn = |vector: usize| {
            let entry = |limb: usize| {
                let at = 2 * HEAD_DIM * limb + 2 * LANES * (2 * block + vector) + lane;
                [table[at], table[at + LANES]]
            };
            let (t1, t2) = (entry(0), entry(1));
            let pairs = |limb: usize, t: [u16; 2]| [(low[limb], t[0]), (high[limb], t[1])];
            let z = mac_lane(None, &pairs(0, t1), false);
            let z = mac_lane(Some(z), &pairs(0, t2), false);
            mac_lane(Some(z), &pairs(1, t1), false)
        };
        for (vector, at) in [j, j + half].into_iter().enumerate() {
            let [z1, z2] = limbs(turn(vector));
            let z = mac_lane(None, &[(z1, r1), (z2, r1)], false);
            y[at] = bf16_rne(mac_lane(Some(z), &[(z1, r2), (z2, r2)], false));
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rng;
    use crate::norm::rms_norm;
    use crate::rope::{Pairing, Rope};
    use crate::w8a8::relative_frobenius;

    fn two_limbs(v: f64) -> [u16; 2] {
        let first = bf16_rne(v as f32);
        [first, bf16_rne((v - f64::from(widen(first))) as f32)]
    }

    /// Weights and table made from their equations.
    fn operands(w: &[f64], scale: f64, rope: Rope, position: usize) -> (Vec<u16>, Vec<u16>) {
        let (mut weights, mut table) = (vec![0; 2 * HEAD_DIM], vec![0; 4 * HEAD_DIM]);
        for (d, w) in w.iter().enumerate() {
            let (half, block, lane) = (d / 64, d % 64 / LANES, d % LANES);
            let g = two_limbs((1.0 + w) * (HEAD_DIM as f64).sqrt() * scale);
            (0..2).for_each(|limb| weights[((2 * block + half) * 2 + limb) * LANES + lane] = g[limb]);
        }
        for j in 0..HEAD_DIM / 2 {
            let (sin, cos) = rope.angle(position, j, HEAD_DIM).sin_cos();
            let (block, lane) = (j / LANES, j % LANES);
            for (vector, [a, b]) in [[cos, -sin], [sin, cos]].into_iter().enumerate() {
                for (half, limbs) in [two_limbs(a), two_limbs(b)].into_iter().enumerate() {
                    for (limb, bits) in limbs.into_iter().enumerate() {
                        table[2 * HEAD_DIM * limb + 2 * LANES * (2 * block + vector) + LANES * half + lane] = bits;
                    }
                }
            }
        }
        (weights, table)
    }

    #[test]
    fn the_last_rounding_is_all_that_shows() {
        let mut rng = Rng::new(3);
        for (rope, scale) in [(Rope { theta: 1e4, factor: 1.0 }, 1.0), (Rope { theta: 1e6, factor: 8.0 }, 0.1113)] {
            let (mut found, mut exact, mut rounded) = (Vec::new(), Vec::new(), Vec::new());
            for case in 0..200usize {
                let size = 2f64.powi(case as i32 % 24 - 12);
                let x: Vec<u16> = (0..HEAD_DIM).map(|_| bf16_rne((f64::from(rng.normal()) * size) as f32)).collect();
                let w: Vec<f64> = (0..HEAD_DIM).map(|_| f64::from(widen(bf16_rne(0.5 * rng.normal())))).collect();
                let position = 641 * case;
                let (weights, table) = operands(&w, scale, rope, position);
                found.extend(norm_rope(&x, &weights, &table).into_iter().map(|y| f64::from(widen(y))));
                let mut y: Vec<f64> = x.iter().map(|x| f64::from(widen(*x))).collect();
                rms_norm(&mut y, &w, 1e-6);
                rope.rotate(&mut y, position, Pairing::Halves);
                exact.extend(y.iter().map(|y| y * scale));
            }
            rounded.extend(exact.iter().map(|y| f64::from(widen(bf16_rne(*y as f32)))));
            let error = relative_frobenius(found.iter().copied(), exact.iter().copied());
            let least = relative_frobenius(rounded.iter().copied(), exact.iter().copied());
            let before = relative_frobenius(found.iter().copied(), rounded.iter().copied());
            println!(
                "norm and rotation: {:.4} %, rounding alone {:.4} %, between them {before:.2e}",
                100.0 * error,
                100.0 * least
            );
            assert!(error < 1.001 * least && error < 0.18e-2, "{error} against {least}");
        }
    }

    #[test]
    fn zeros_stay_and_an_infinity_is_seen() {
        let rope = Rope { theta: 1e4, factor: 1.0 };
        let (weights, table) = operands(&[0.0; HEAD_DIM], 1.0, rope, 7);
        assert!(norm_rope(&[0; HEAD_DIM], &weights, &table).iter().all(|y| y & 0x7FFF == 0));
        let mut x = [0x3F80; HEAD_DIM];
        x[5] = 0x7F80;
        assert!(norm_rope(&x, &weights, &table).iter().any(|y| y & 0x7FFF > 0x7F80));
    }
}
