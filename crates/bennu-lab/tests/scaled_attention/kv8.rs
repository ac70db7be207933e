//! An INT8 cache.
//!
//! Against float64 from the operands, code times scale rounded once, the arithmetic is the BF16 kernel's: half a percent. What else keys and values may be, with
//! relative errors κ and ν of the operands: independent errors of κ times the deviation of the scores, in octaves, make a relative error of ln 2 · κ · octaves in
//! a probability, and both add up as squares do.

use aie2_kernels::attention::scaled::{Cache, HEAD_DIM, SEQ_MAX, ScaledAttention};
use npu_package::layout::{KvFormat, KvPages};
use oracle::attention::relative_error;
use oracle::fp::bf16_rne;
use oracle::model::AttentionConfig;
use oracle::outliers::{Scene, hidden_states};

use crate::case::{self, Case, Stages};

/// Deviation of the scores in octaves.
const OCTAVES: f32 = 3.0;
/// Against float64 from the operands.
const ARITHMETIC: f64 = 0.005;

fn global(seq: usize, history: usize, kv_heads: usize) -> ScaledAttention {
    case::global(KvFormat::Int8, seq, history, kv_heads)
}

fn local(seq: usize, history: usize, kv_heads: usize, window: usize, chunk: usize) -> ScaledAttention {
    case::local(KvFormat::Int8, seq, history, kv_heads, (window, chunk))
}

fn check(kernel: ScaledAttention, seed: u64) {
    let case = Case::random(kernel, OCTAVES, seed);
    let (ctx, ran) = case.run(None);
    case.same(&ctx);
    let (found, [k, v]) = (case.errors_of_codes(&ctx), case.stages());
    let limit = |keys: &[f64], values: &[f64]| {
        let (keys, values) = (relative_error(&k.operands, keys), relative_error(&v.operands, values));
        let probabilities = std::f64::consts::LN_2 * f64::from(OCTAVES) * keys;
        ARITHMETIC + (values.powi(2) + probabilities.powi(2)).sqrt()
    };
    let limits =
        Stages { before: limit(&k.before, &v.before), cached: limit(&k.cached, &v.cached), operands: ARITHMETIC };
    println!(
        "S = {}, history {}: {} cycles; errors {}",
        case.kernel.seq(),
        case.kernel.history(),
        ran.report.cycles,
        percentages(&found)
    );
    let within = found.before <= limits.before && found.cached <= limits.cached && found.operands <= limits.operands;
    assert!(within, "S = {}: {} of {}", case.kernel.seq(), percentages(&found), percentages(&limits));
}

fn percentages(of: &Stages<f64>) -> String {
    let [operands, cached, before] = [of.operands, of.cached, of.before].map(|error| 100.0 * error);
    format!("{operands:.3} % of the operands, {cached:.3} % of what is cached, {before:.3} % of what was before")
}

#[test]
fn few_positions() {
    for (seq, seed) in [(1, 1), (16, 2), (17, 3)] {
        check(global(seq, 0, 2), seed);
    }
}

#[test]
fn a_ragged_group() {
    check(global(75, 0, 4), 4);
}

#[test]
fn a_group_and_a_ragged_one_of_eight_heads() {
    check(global(300, 0, 8), 5);
}

#[test]
fn histories() {
    for (seq, history, seed) in [(1, 40, 6), (16, 40, 7), (75, 40, 8), (17, 1003, 9)] {
        check(global(seq, history, 1), seed);
    }
    check(global(300, 40, 1), 10);
}

#[test]
fn a_window_that_ends_within_a_block() {
    check(local(300, 0, 1, 100, 300), 11);
    check(local(75, 1000, 1, 100, 80), 12);
    check(local(17, 5, 1, 7, 17), 13);
}

#[test]
fn the_edge_of_a_window_of_1024() {
    check(local(40, 1010, 1, 1024, 512), 14);
    check(local(1, 1023, 4, 1024, 8), 15);
}

#[test]
fn a_ring_that_wraps_inside_a_block() {
    let kernel = local(70, 130, 4, 50, 72);
    assert!((130 - 49..200).any(|p| p % kernel.cache_segment().slots() == 0), "the reads wrap");
    check(kernel, 16);
}

#[test]
fn pages_out_of_order() {
    let pages = KvPages::new(40).expect("whole groups");
    let cache = Cache::Pages { pages, pool: 9, table: vec![7, 0, 3, 8, 1, 2, 4] };
    check(case::against(KvFormat::Int8, 100, 150, 4, cache), 17);
}

#[test]
fn two_dispatches_one_after_the_other() {
    Case::random(global(33, 15, 1), OCTAVES, 18).same_twice();
}

#[test]
fn adversarial_inputs() {
    for (name, case) in case::adversarial(KvFormat::Int8) {
        let (ctx, _) = case.run(None);
        case.same(&ctx);
        let found = case.errors_of_codes(&ctx);
        println!("{name}: {}", percentages(&found));
        assert!(found.operands <= ARITHMETIC, "{name}: {}", percentages(&found));
    }
}

#[test]
fn outliers() {
    for scene in Scene::ALL {
        let kernel = global(64, 100, 1);
        let narrow = |x: Vec<f64>, by: f64| -> Vec<u16> { x.iter().map(|v| bf16_rne((v * by) as f32)).collect() };
        let rows = |rows: usize, seed: u64| hidden_states(HEAD_DIM, rows, scene, seed);
        // what the norms leave of q and k, and log₂ e / √168
        let scale = 2.0 * std::f64::consts::LOG2_E * AttentionConfig::gemma3_27b().score_scale();
        let case = Case::new(kernel, narrow(rows(128, 1), scale), narrow(rows(164, 2), 1.0), narrow(rows(164, 3), 1.0));
        let (ctx, _) = case.run(None);
        case.same(&ctx);
        let found = case.errors_of_codes(&ctx);
        println!("{scene:?}: {}", percentages(&found));
        assert!(found.operands <= ARITHMETIC, "{scene:?}: {}", percentages(&found));
    }
}

/// Rows of every size that an operand may have: of zeros, of one element alone, of the least and of large scales.
#[test]
fn rows_of_all_sizes() {
    let mut case = Case::random(global(75, 40, 1), OCTAVES, 19);
    let sized = |x: &[u16], powers: &[i32]| -> Vec<u16> {
        let rows = x.chunks_exact(HEAD_DIM).enumerate();
        rows.flat_map(|(i, row)| {
            let by = powers[i % powers.len()];
            row.iter().enumerate().map(move |(d, x)| match i % 7 {
                0 => 0,
                1 if d != i => 0x8000,
                _ => bf16_rne(oracle::fp::widen(*x) * 2f32.powi(by)),
            })
        })
        .collect()
    };
    let (k, v) = (sized(&case.k, &[0, -3, 1, -60, -20]), sized(&case.v, &[0, 20, -57, -8, 31, -31]));
    case = Case::new(case.kernel, case.q, k, v);
    let (ctx, _) = case.run(None);
    case.same(&ctx);
}

#[test]
fn the_program_leaves_room() {
    let program = global(1, 0, 1).program().expect("it compiles");
    println!("program: {} bytes", program.bytes.len());
    assert!(program.bytes.len() <= 9500);
    for l in &program.loops {
        assert_eq!(l.ii_declared, Some(l.ii_reached), "{}", l.name);
    }
}

/// Whatever the instance, program and configuration are the same; another cache has another program.
#[test]
fn one_program_serves_all() {
    let [a, b, bf16] = [global(40, 5, 2), local(300, 700, 4, 128, 512), case::global(KvFormat::Bf16, 40, 5, 2)]
        .map(|k| k.compile().expect("the kernel compiles"));
    assert_eq!(a.pdi, b.pdi);
    assert_ne!(a.txn, b.txn);
    assert_ne!(a.pdi, bf16.pdi);
    assert_eq!([a.kernel, bf16.kernel], ["scaled_attention_kv8", "scaled_attention"]);
}

#[test]
fn the_largest_instances_have_streams_within_their_operands() {
    let pages = KvPages::new(512).expect("whole groups");
    let paged = Cache::Pages { pages, pool: 300, table: (0..300).rev().collect() };
    let far = case::against(KvFormat::Int8, 700, 131_072, 16, paged);
    for kernel in [global(SEQ_MAX, 0, 16), global(1, 131_071, 16), local(SEQ_MAX, 5000, 16, 1024, SEQ_MAX), far] {
        let stream = kernel.stream().expect("the stream can be built");
        for (arg, operand) in kernel.operands().iter().enumerate() {
            let used = stream.extents.get(&(arg as u32)).map_or(0, |extent| extent.bytes());
            assert!(used <= operand.bytes as u64, "{}: {used} of {} bytes", operand.name, operand.bytes);
        }
    }
}

// minutes without optimisation
#[cfg(not(debug_assertions))]
#[test]
fn a_prompt_of_512_at_the_dimensions_of_the_27b() {
    let case = Case::random(global(512, 0, 16), OCTAVES, 20);
    for (name, ddr) in [("S = 512, global", None), ("S = 512, global, 32.9 GB/s", Some(case::DDR))] {
        let (ctx, ran) = case.run(ddr);
        case.same_heads(&ctx, [0, 5, 10, 15]);
        assert!(case.utilisation(name, &ran) >= 0.2, "{name}");
    }
}

// minutes without optimisation
#[cfg(not(debug_assertions))]
#[test]
fn two_thousand_positions_keep_a_third_of_the_multiplier_busy() {
    let case = Case::random(global(2048, 0, 1), OCTAVES, 21);
    let (ctx, ran) = case.run(None);
    case.same(&ctx);
    assert!(case.utilisation("S = 2048, global", &ran) >= 0.33);
}
