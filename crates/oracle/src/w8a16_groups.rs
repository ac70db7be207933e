//! `w8a16_group32_qkv_projection` and its like: y[s][n] = Σₖ x[s][k] · w̃[n][k], w̃[n][k] = bf16(s[n][k / G] · w[n][k])
//!
//! Weights with a scale for every G inputs. The specification, bit for bit:
//! 1. w̃: the product of code and scale, exact in float32, rounded once to bfloat16, ties to even.
//! 2. acc = 0; for every 8 inputs in order, acc = one aligned sum of acc and 8 products x · w̃.
//! 3. y = bf16(acc), ties to even.
//!
//! Activations stay as they are: nothing is quantised. The error of w̃ is at most half a unit of bfloat16, 2^-9 of itself.

use std::thread;

use crate::fp::{bf16_rne, mac_lane, widen};

/// Products that one aligned sum takes.
pub const STEP: usize = 8;

/// bf16(s · w).
pub fn dequantise(code: i8, scale: u16) -> u16 {
    bf16_rne(mac_lane(None, &[(bf16_rne(f32::from(code)), scale)], false))
}

/// One row of weights: `[K]` codes with a scale for every `group` of them.
pub fn dequantise_row(codes: &[i8], scales: &[u16], group: usize) -> Vec<u16> {
    codes.chunks(group).zip(scales).flat_map(|(codes, &s)| codes.iter().map(move |&code| dequantise(code, s))).collect()
}

/// One output of a token and a row of dequantised weights.
pub fn output(x: &[u16], weights: &[u16]) -> u16 {
    let mut acc = 0f32;
    for (x, w) in x.chunks_exact(STEP).zip(weights.chunks_exact(STEP)) {
        let products: [(u16, u16); STEP] = std::array::from_fn(|i| (x[i], w[i]));
        acc = mac_lane(Some(acc), &products, false);
    }
    bf16_rne(acc)
}

/// The projection `[s][n]` of `x` `[s][k]` with weights `[n][k]` and scales `[n][k / group]`. Uses the machine's threads.
///
/// # Panics
/// If a slice is not as long as the others say, or `k` is no multiple of `group` and [`STEP`].
pub fn project(x: &[u16], codes: &[i8], scales: &[u16], k: usize, group: usize) -> Vec<u16> {
    assert!(k.is_multiple_of(group) && group.is_multiple_of(STEP), "{k} inputs in groups of {group}");
    let (rows, n, per_row) = (x.len() / k, codes.len() / k, k / group);
    assert_eq!((x.len(), codes.len(), scales.len()), (rows * k, n * k, n * per_row), "operands of another shape");
    let mut y = vec![0; rows * n];
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    let each = n.div_ceil(threads).max(1);
    let parts: Vec<(usize, Vec<u16>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..n)
            .step_by(each)
            .map(|first| {
                scope.spawn(move || {
                    let mut columns = Vec::with_capacity(each * rows);
                    for row in first..(first + each).min(n) {
                        let scales = &scales[row * per_row..(row + 1) * per_row];
                        let weights = dequantise_row(&codes[row * k..(row + 1) * k], scales, group);
                        columns.extend(x.chunks_exact(k).map(|x| output(x, &weights)));
                    }
                    (first, columns)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker only multiplies")).collect()
    });
    for (first, columns) in parts {
        for (i, column) in columns.chunks_exact(rows).enumerate() {
            column.iter().enumerate().for_each(|(s, &bits)| y[s * n + first + i] = bits);
        }
    }
    y
}

/// float64 on the same activations and weights: Σ x · s · w.
pub fn exact_outputs(x: &[u16], codes: &[i8], scales: &[u16], k: usize, group: usize) -> Vec<f64> {
    let (n, per_row) = (codes.len() / k, k / group);
    let mut y = vec![0.0; x.len() / k * n];
    for (row, (codes, scales)) in codes.chunks_exact(k).zip(scales.chunks_exact(per_row)).enumerate() {
        let weights: Vec<f64> =
            codes.iter().enumerate().map(|(i, &w)| f64::from(w) * f64::from(widen(scales[i / group]))).collect();
        for (s, x) in x.chunks_exact(k).enumerate() {
            y[s * n + row] = x.iter().zip(&weights).map(|(&x, w)| f64::from(widen(x)) * w).sum();
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, GroupWeights};
    use crate::w8a8::relative_frobenius;
    use proptest::prelude::*;

    #[test]
    fn errors_stay_below_half_a_percent_of_the_same_weights_with_any_outliers() {
        const K: usize = 5376;
        for group in [32, 128] {
            let weights = GroupWeights::normal(11, 64, K, group);
            for outlier in [None, Some(15.0), Some(40.0), Some(400.0)] {
                let mut x = data::activations(11, 4 * K);
                if let Some(magnitude) = outlier {
                    x.chunks_exact_mut(K).for_each(|row| row[77] = bf16_rne(magnitude));
                }
                let y = project(&x, &weights.codes, &weights.scales, K, group);
                let exact = exact_outputs(&x, &weights.codes, &weights.scales, K, group);
                let error = relative_frobenius(y.iter().map(|&b| f64::from(widen(b))), exact);
                assert!(error <= 0.3e-2, "groups of {group}, outlier {outlier:?}: {error}");
                assert!(
                    error > 0.1e-2,
                    "groups of {group}, outlier {outlier:?}: {error}, less than two roundings cost"
                );
            }
        }
    }

    #[test]
    fn scales_belong_to_their_groups() {
        // one input of 1 in the second group picks its weight and scale
        let (k, group) = (64, 32);
        let mut x = vec![0; k];
        x[40] = 0x3F80;
        let codes: Vec<i8> = (0..k as i8).collect();
        let y = project(&x, &codes, &[0x3F80, 0x4000], k, group);
        assert_eq!(y, [bf16_rne(80.0)]);
    }

    proptest! {
        #[test]
        fn dequantised_weights_are_the_rounded_products(code: i8, scale in 0x0080u16..0x7A00) {
            let exact = f32::from(code) * widen(scale);
            prop_assume!(exact == 0.0 || exact.abs() >= f32::MIN_POSITIVE);
            prop_assert_eq!(widen(dequantise(code, scale)), widen(bf16_rne(exact)));
        }

        #[test]
        fn a_sum_without_rounding_is_exact(seed: u64) {
            let mut rng = data::Rng::new(seed);
            let small = |rng: &mut data::Rng| (rng.next_u64() % 15) as i8 - 7;
            let (x, w): (Vec<i8>, Vec<i8>) = (0..256).map(|_| (small(&mut rng), small(&mut rng))).unzip();
            let exact: i32 = x.iter().zip(&w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
            let bits = |v: &[i8]| v.iter().map(|&v| bf16_rne(f32::from(v))).collect::<Vec<_>>();
            prop_assert_eq!(output(&bits(&x), &bits(&w)), bf16_rne(exact as f32));
        }
    }
}
