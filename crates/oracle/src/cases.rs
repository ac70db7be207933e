//! Inputs on which an attention kernel goes wrong first, by name. Every element is a bfloat16.
//!
//! | name | what it looks for |
//! |---|---|
//! | `equal_scores` | a sum of many equal terms; every context is the mean of the values |
//! | `one_dominant_score` | one probability is 1, all others underflow |
//! | `large_negative_rows` | a whole row far below zero: nothing is left unless its own maximum is subtracted |
//! | `first_token` | one query, one key, no history |
//! | `window_edge` | queries around position 1024, where the first key leaves the window |
//! | `ragged_history` | a history that is no multiple of any block, and a ragged chunk |
//! | `hidden_maximum` | the largest scores belong to keys that the mask hides, before the window and after the query |
//! | `rising_maximum` | every key beats all before it: each block rescales |

use crate::attention::{HeadProblem, round_bf16};
use crate::data::Rng;
use crate::mask::Mask;
use crate::model::AttentionConfig;

/// A named input.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The input.
    pub problem: HeadProblem,
}

/// An ordinary problem: normal q and k of root mean square `rms`, which is what the norms' 1 + w makes of them, and unit v.
pub fn ordinary(
    config: &AttentionConfig,
    mask: Mask,
    history: usize,
    queries: usize,
    rms: f64,
    seed: u64,
) -> HeadProblem {
    let mut rng = Rng::new(seed ^ 0xA77E);
    let (group, d) = (config.group(), config.head_dim);
    let mut fill =
        |rows: usize, rms: f64| (0..rows * d).map(|_| round_bf16(rms * f64::from(rng.normal()))).collect::<Vec<f64>>();
    let (q, k, v) = (fill(group * queries, rms), fill(history + queries, rms), fill(history + queries, 1.0));
    HeadProblem { head_dim: d, mask, scale: config.score_scale(), q, group, k, v }
}

/// Adds `amount` · q / |q|² to key `j`, with q the query in row `row`: their score grows by `amount` · scale.
fn raise(problem: &mut HeadProblem, row: usize, j: usize, amount: f64) {
    let d = problem.head_dim;
    let q = problem.q[row * d..][..d].to_vec();
    let square: f64 = q.iter().map(|v| v * v).sum();
    for (k, q) in problem.k[j * d..][..d].iter_mut().zip(&q) {
        *k = round_bf16(*k + amount * q / square);
    }
}

/// All cases for the heads of a model with its window.
pub fn adversarial(config: &AttentionConfig) -> Vec<Case> {
    let (causal, window) = (Mask::causal(), Mask::sliding(config.window));
    let make = |mask, history, queries, seed| ordinary(config, mask, history, queries, 1.0, seed);
    let d = config.head_dim;

    let mut equal = make(causal, 61, 20, 1);
    let key = equal.k[..d].to_vec();
    equal.k.chunks_exact_mut(d).for_each(|k| k.copy_from_slice(&key));

    let mut dominant = make(causal, 100, 4, 2);
    for (row, j) in [(0, 17), (1, 0), (4, 100), (7, 103)] {
        raise(&mut dominant, row, j, 200.0 / config.score_scale());
    }

    // Every query carries a large component along one direction, every key its opposite.
    let mut negative = make(causal, 40, 9, 3);
    negative.q.chunks_exact_mut(d).for_each(|q| q[0] = 64.0);
    negative.k.chunks_exact_mut(d).for_each(|k| k[0] = -128.0);

    let mut hidden = make(window, config.window + 5, 6, 5);
    for row in 0..hidden.q.len() / d {
        let position = hidden.history() + row % 6;
        raise(&mut hidden, row, position - config.window, 90.0 / config.score_scale());
        if position + 1 < hidden.keys() {
            raise(&mut hidden, row, position + 1, 70.0 / config.score_scale());
        }
    }

    let mut rising = make(causal, 250, 3, 6);
    for q in rising.q.chunks_exact_mut(d) {
        q.fill(0.0);
        q[1] = 8.0;
    }
    for (j, k) in rising.k.chunks_exact_mut(d).enumerate() {
        k[1] = round_bf16(j as f64 / 4.0);
    }

    vec![
        Case { name: "equal_scores", problem: equal },
        Case { name: "one_dominant_score", problem: dominant },
        Case { name: "large_negative_rows", problem: negative },
        Case { name: "first_token", problem: make(window, 0, 1, 4) },
        Case { name: "window_edge", problem: make(window, config.window - 2, 5, 7) },
        Case { name: "ragged_history", problem: make(causal, 3 * 64 + 37, 13, 8) },
        Case { name: "hidden_maximum", problem: hidden },
        Case { name: "rising_maximum", problem: rising },
    ]
}
