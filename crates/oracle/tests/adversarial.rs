//! The inputs that break an attention kernel first: online softmax is the plain one on all of them, and each case is what its name says.

use oracle::attention::{HeadProblem, Precision, relative_error, round_bf16};
use oracle::cases::{Case, adversarial, ordinary};
use oracle::mask::{Coverage, Mask};
use oracle::model::AttentionConfig;
use proptest::prelude::*;

const CONFIG: AttentionConfig = AttentionConfig::gemma3_27b();

fn case(name: &str) -> HeadProblem {
    adversarial(&CONFIG).into_iter().find(|case| case.name == name).expect("a known case").problem
}

#[test]
fn online_softmax_is_the_plain_one_on_every_case_and_block() {
    for config in [CONFIG, AttentionConfig::tiny()] {
        for Case { name, problem } in adversarial(&config) {
            let direct = problem.direct(Precision::Exact);
            assert!(direct.iter().all(|v| v.is_finite()), "{name}");
            for block in [1, 7, 16, 32, 64, 100, 4096] {
                let error = relative_error(&problem.online(block), &direct);
                assert!(error < 1e-13, "{name} in blocks of {block}: {error:e}");
            }
        }
    }
}

#[test]
fn every_operand_is_a_bfloat16() {
    for Case { name, problem } in adversarial(&CONFIG) {
        let all = problem.q.iter().chain(&problem.k).chain(&problem.v);
        assert!(all.clone().all(|v| round_bf16(*v) == *v && v.is_finite()), "{name}");
        assert!(all.count() > 0, "{name}");
    }
}

#[test]
fn bf16_probabilities_keep_attention_within_half_a_percent() {
    for Case { name, problem } in adversarial(&CONFIG) {
        let error = relative_error(&problem.direct(Precision::Bf16), &problem.direct(Precision::Exact));
        println!("{name}: {:.3} %", 100.0 * error);
        assert!(error <= 0.005, "{name}: {error}");
    }
}

#[test]
fn ordinary_contexts_of_true_length_keep_it_too() {
    let (local, global) = (Mask::sliding(CONFIG.window), Mask::causal());
    for (name, mask, history, queries) in [
        ("prefill, local", local, 1024, 64),
        ("prefill, global", global, 448, 64),
        ("decode at 1,024", local, 1023, 1),
        ("decode at 8,192", global, 8191, 1),
        ("four tokens at 8,192", global, 8188, 4),
    ] {
        // 1 + w of the norms is about 1.8: scores then have a deviation of 2.8.
        let problem = ordinary(&CONFIG, mask, history, queries, 1.8, 3);
        let exact = problem.direct(Precision::Exact);
        let error = relative_error(&problem.direct(Precision::Bf16), &exact);
        println!("{name}: {:.3} %", 100.0 * error);
        assert!((5e-4..5e-3).contains(&error), "{name}: {error}");
        assert!(relative_error(&problem.online(64), &exact) < 1e-13, "{name}");
    }
}

#[test]
fn equal_scores_give_the_mean_of_the_values() {
    let problem = case("equal_scores");
    let ctx = problem.direct(Precision::Exact);
    for t in 0..problem.queries() {
        let keys = problem.history() + t + 1;
        for i in 0..problem.head_dim {
            let mean = (0..keys).map(|j| problem.v[j * problem.head_dim + i]).sum::<f64>() / keys as f64;
            assert!((ctx[t * problem.head_dim + i] - mean).abs() < 1e-14);
        }
    }
}

#[test]
fn a_dominant_score_copies_one_value() {
    let problem = case("one_dominant_score");
    let ctx = problem.direct(Precision::Exact);
    let d = problem.head_dim;
    for (row, j) in [(0, 17), (1, 0), (4, 100), (7, 103)] {
        for i in 0..d {
            assert!((ctx[row * d + i] - problem.v[j * d + i]).abs() < 1e-14, "row {row}");
        }
    }
}

#[test]
fn large_negative_rows_underflow_without_their_own_maximum() {
    let problem = case("large_negative_rows");
    for row in 0..problem.group * problem.queries() {
        let scores = problem.scores(row, 0..problem.keys());
        assert!(scores.iter().all(|s| *s < -500.0 && (*s as f32).exp() == 0.0), "row {row}");
    }
}

#[test]
fn the_first_token_reads_its_own_value() {
    let problem = case("first_token");
    assert_eq!((problem.queries(), problem.history()), (1, 0));
    let (ctx, d) = (problem.direct(Precision::Exact), problem.head_dim);
    assert!(ctx[..d] == problem.v[..] && ctx[d..] == problem.v[..]);
}

#[test]
fn the_window_edge_case_straddles_position_1024() {
    let problem = case("window_edge");
    let positions = problem.history()..problem.keys();
    assert!(positions.contains(&1023) && positions.contains(&1024) && problem.mask == Mask::sliding(1024));
    // One key more or less in the window is far outside any tolerance, for the queries past the edge.
    for window in [1023, 1025] {
        let wrong = HeadProblem { mask: Mask::sliding(window), ..problem.clone() };
        let error = relative_error(&wrong.direct(Precision::Exact), &problem.direct(Precision::Exact));
        assert!(error > 0.01, "window {window}: {error}");
    }
    assert_eq!(problem.mask.coverage(1024..1028, 0..1), Coverage::Empty);
    assert_eq!(problem.mask.coverage(1023..1028, 0..64), Coverage::Edge);
}

#[test]
fn no_block_divides_the_ragged_history() {
    let problem = case("ragged_history");
    assert!(
        [4, 8, 16, 32, 64, 128]
            .iter()
            .all(|block| ![problem.history(), problem.queries()].iter().any(|n| n.is_multiple_of(*block)))
    );
}

#[test]
fn the_hidden_maximum_is_seen_without_the_mask() {
    let problem = case("hidden_maximum");
    let rows = problem.group * problem.queries();
    for row in 0..rows {
        let position = problem.history() + row % problem.queries();
        let seen = problem.mask.keys(position);
        let largest = |keys| problem.scores(row, keys).into_iter().fold(f64::NEG_INFINITY, f64::max);
        assert!(largest(0..seen.start) > largest(seen) + 20.0, "row {row}");
    }
    let unmasked = HeadProblem { mask: Mask::causal(), ..problem.clone() };
    assert!(relative_error(&unmasked.direct(Precision::Exact), &problem.direct(Precision::Exact)) > 0.5);
}

#[test]
fn every_block_of_the_rising_case_raises_the_maximum() {
    let problem = case("rising_maximum");
    let scores = problem.scores(0, 0..problem.keys());
    let maxima: Vec<f64> =
        scores.chunks(16).map(|block| block.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect();
    assert!(maxima.windows(2).all(|pair| pair[1] > pair[0]));
}

proptest! {
    #[test]
    fn online_softmax_is_the_plain_one(
        history in 0usize..40, queries in 1usize..5, window in prop::option::of(1usize..20), block in 1usize..20, scale in 0.01f64..50.0, seed: u64
    ) {
        let mut rng = oracle::data::Rng::new(seed);
        let mut fill = |rows: usize| (0..rows * 8).map(|_| f64::from(rng.normal())).collect::<Vec<f64>>();
        let (q, k, v) = (fill(2 * queries), fill(history + queries), fill(history + queries));
        let mask = window.map_or(Mask::causal(), Mask::sliding);
        let problem = HeadProblem { head_dim: 8, mask, scale, q, group: 2, k, v };
        prop_assert!(relative_error(&problem.online(block), &problem.direct(Precision::Exact)) < 1e-12);
    }
}
