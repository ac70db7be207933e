//! Rotary embedding: element j of a head turns with element j + d/2 by the angle p · θ^(-2j/d) / factor, p the token's position.
//!
//! ```text
//! y[j]       = x[j] · cos a(p, j) - x[j + d/2] · sin a(p, j)          0 ≤ j < d/2
//! y[j + d/2] = x[j + d/2] · cos a(p, j) + x[j] · sin a(p, j)
//! ```
//!
//! SOURCE: huggingface/transformers `models/gemma3/modeling_gemma3.py`, apply_rotary_pos_emb and rotate_half.

/// Base and linear scaling of the angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// θ.
    pub theta: f64,
    /// Every angle is divided by this; 1 where there is no scaling.
    pub factor: f64,
}

/// Which elements of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairing {
    /// (j, j + d/2): what Gemma does.
    #[default]
    Halves,
    /// (2j, 2j + 1): what other models do, kept to show that the tests can tell.
    Neighbours,
}

impl Rope {
    /// The angle of pair `j` of a head of `head_dim` at `position`.
    pub fn angle(&self, position: usize, j: usize, head_dim: usize) -> f64 {
        position as f64 * self.theta.powf(-2.0 * j as f64 / head_dim as f64) / self.factor
    }

    /// Turns a head in place.
    pub fn rotate(&self, head: &mut [f64], position: usize, pairing: Pairing) {
        let half = head.len() / 2;
        for j in 0..half {
            let (sin, cos) = self.angle(position, j, head.len()).sin_cos();
            let (first, second) = match pairing {
                Pairing::Halves => (j, j + half),
                Pairing::Neighbours => (2 * j, 2 * j + 1),
            };
            let (a, b) = (head[first], head[second]);
            head[first] = a * cos - b * sin;
            head[second] = b * cos + a * sin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOCAL: Rope = Rope { theta: 1e4, factor: 1.0 };
    const GLOBAL: Rope = Rope { theta: 1e6, factor: 8.0 };

    #[test]
    fn the_first_pair_turns_by_one_radian_a_token() {
        let mut head = [0.0; 128];
        head[0] = 1.0;
        LOCAL.rotate(&mut head, 3, Pairing::Halves);
        assert_eq!([head[0], head[64]], [3f64.cos(), 3f64.sin()]);
        assert_eq!(GLOBAL.angle(16, 0, 128), 2.0);
    }

    proptest! {
        #[test]
        fn only_the_distance_of_two_tokens_enters_their_score(p in 0usize..1000, q in 0usize..1000, shift in 0usize..1000, seed: u64) {
            let mut rng = crate::data::Rng::new(seed);
            let mut head = || -> Vec<f64> { (0..16).map(|_| f64::from(rng.normal())).collect() };
            let (x, y) = (head(), head());
            let score = |p, q| {
                let (mut x, mut y) = (x.clone(), y.clone());
                LOCAL.rotate(&mut x, p, Pairing::Halves);
                LOCAL.rotate(&mut y, q, Pairing::Halves);
                x.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>()
            };
            prop_assert!((score(p, q) - score(p + shift, q + shift)).abs() < 1e-9);
        }

        #[test]
        fn a_turn_keeps_the_length(p in 0usize..131_072, a in -10.0f64..10.0, b in -10.0f64..10.0) {
            let mut head = [a, b, b, -a];
            GLOBAL.rotate(&mut head, p, Pairing::Halves);
            let squares: f64 = head.iter().map(|v| v * v).sum();
            prop_assert!((squares - 2.0 * (a * a + b * b)).abs() < 1e-9);
        }
    }
}
