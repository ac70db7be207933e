//! Reproducible random operands: the same seed gives the same bytes on every machine.

use crate::fp::bf16_rne;

/// SplitMix64.
// SOURCE: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 fresh bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Close to a standard normal deviate: the centred sum of four 16-bit uniforms, scaled to unit variance.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next_u64();
        let sum: i32 = (0..4).map(|i| i32::from((bits >> (16 * i)) as u16)).sum();
        // Variance of a sum of four uniforms over 2^16 steps: 4 * 2^32 / 12, so the deviation is 2^16 / sqrt(3).
        (sum - 4 * 32_767 - 2) as f32 * (3f32.sqrt() / 65_536.0)
    }
}

/// `len` bfloat16 activations, normal with unit variance.
pub fn activations(seed: u64, len: usize) -> Vec<u16> {
    let mut rng = Rng::new(seed ^ 0xAC71);
    (0..len).map(|_| bf16_rne(rng.normal())).collect()
}

/// Weights quantised per output channel the way the checkpoints of interest are.
pub struct Weights {
    /// Codes, row-major `[n][k]`, -128..=127.
    pub codes: Vec<i8>,
    /// One bfloat16 scale per row.
    pub scales: Vec<u16>,
    /// Seed from which [`Weights::unquantised_row`] remakes a row before quantisation.
    seed: u64,
    k: usize,
}

impl Weights {
    /// `n` rows of `k` normal weights of deviation `1/sqrt(k)`, quantised against their bfloat16 scale (absmax / 127.5).
    pub fn normal(seed: u64, n: usize, k: usize) -> Self {
        let mut weights = Self { codes: vec![0; n * k], scales: vec![0; n], seed, k };
        let mut row = vec![0f32; k];
        for (index, codes) in weights.codes.chunks_exact_mut(k).enumerate() {
            fill_row(seed, index, &mut row);
            let absmax = row.iter().fold(0f32, |max, w| max.max(w.abs()));
            let scale_bits = bf16_rne(absmax / 127.5);
            let inverse = 1.0 / crate::fp::widen(scale_bits);
            for (code, w) in codes.iter_mut().zip(&row) {
                *code = (w * inverse).round_ties_even().clamp(-128.0, 127.0) as i8;
            }
            weights.scales[index] = scale_bits;
        }
        weights
    }

    /// Row `index` before quantisation.
    pub fn unquantised_row(&self, index: usize) -> Vec<f32> {
        let mut row = vec![0f32; self.k];
        fill_row(self.seed, index, &mut row);
        row
    }
}

/// Weights quantised per group of inputs.
pub struct GroupWeights {
    /// Codes, row-major `[n][k]`, -128..=127.
    pub codes: Vec<i8>,
    /// bfloat16 scales `[n][k / group]`.
    pub scales: Vec<u16>,
}

impl GroupWeights {
    /// `n` rows of `k` normal weights of deviation `1/sqrt(k)`, every `group` of a row quantised against its bfloat16 scale (absmax / 127.5).
    pub fn normal(seed: u64, n: usize, k: usize, group: usize) -> Self {
        let mut weights = Self { codes: Vec::with_capacity(n * k), scales: Vec::with_capacity(n * k / group) };
        let mut row = vec![0f32; k];
        for index in 0..n {
            fill_row(seed, index, &mut row);
            for values in row.chunks_exact(group) {
                let absmax = values.iter().fold(0f32, |max, w| max.max(w.abs()));
                let scale = bf16_rne(absmax / 127.5);
                let inverse = 1.0 / crate::fp::widen(scale);
                weights.scales.push(scale);
                weights.codes.extend(values.iter().map(|w| (w * inverse).round_ties_even().clamp(-128.0, 127.0) as i8));
            }
        }
        weights
    }
}

fn fill_row(seed: u64, index: usize, row: &mut [f32]) {
    let mut rng = Rng::new(
        seed.wrapping_mul(0x9E37_79B9).wrapping_add(index as u64).wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x3E16,
    );
    let deviation = 1.0 / (row.len() as f32).sqrt();
    for w in row {
        *w = rng.normal() * deviation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_has_unit_variance_and_no_mean() {
        let mut rng = Rng::new(1);
        let samples: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal())).collect();
        let mean = samples.iter().sum::<f64>() / 1e5;
        let variance = samples.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }

    #[test]
    fn codes_times_scale_are_within_half_a_step() {
        let weights = Weights::normal(7, 4, 256);
        for row in 0..4 {
            let scale = crate::fp::widen(weights.scales[row]);
            for (code, w) in weights.codes[row * 256..].iter().zip(weights.unquantised_row(row)) {
                assert!(
                    (f32::from(*code) * scale - w).abs() <= scale * 0.76,
                    "the clamp at 127 costs at most a quarter step more"
                );
            }
        }
    }
}
