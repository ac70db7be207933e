//! A BF16 cache: half a percent against float64.

use aie2_kernels::KernelError;
use aie2_kernels::attention::scaled::{AttentionError, Cache, HEAD_DIM, SEQ_MAX, ScaledAttention};
use npu_package::layout::{KvFormat, KvPages, KvRing};
use oracle::fp::bf16_rne;
use oracle::model::AttentionConfig;
use oracle::outliers::{Scene, hidden_states};

use crate::case::{self, Case, DDR};

fn global(seq: usize, history: usize, kv_heads: usize) -> ScaledAttention {
    case::global(KvFormat::Bf16, seq, history, kv_heads)
}

fn local(seq: usize, history: usize, kv_heads: usize, window: usize, chunk: usize) -> ScaledAttention {
    case::local(KvFormat::Bf16, seq, history, kv_heads, (window, chunk))
}

fn check(case: &Case) {
    let (ctx, _) = case.run(None);
    case.same(&ctx);
    let error = case.error(&ctx);
    assert!(error <= 0.005, "S = {}: {error}", case.kernel.seq());
}

#[test]
fn one_position() {
    check(&Case::random(global(1, 0, 1), 3.0, 1));
}

#[test]
fn ragged_positions() {
    check(&Case::random(global(17, 0, 2), 3.0, 2));
}

#[test]
fn a_whole_group() {
    check(&Case::random(global(256, 0, 1), 3.0, 3));
}

#[test]
fn a_group_and_a_ragged_one_of_eight_heads() {
    check(&Case::random(global(300, 0, 8), 3.0, 4));
}

#[test]
fn histories() {
    check(&Case::random(global(40, 5, 2), 3.0, 5));
    check(&Case::random(global(40, 1000, 1), 3.0, 6));
}

#[test]
fn a_window_that_ends_within_a_block() {
    check(&Case::random(local(300, 0, 1, 100, 300), 3.0, 7));
    check(&Case::random(local(40, 1000, 1, 100, 64), 3.0, 8));
    check(&Case::random(local(40, 5, 1, 7, 40), 3.0, 9));
}

#[test]
fn the_edge_of_a_window_of_1024() {
    check(&Case::random(local(40, 1010, 1, 1024, 512), 3.0, 10));
    check(&Case::random(local(5, 1023, 4, 1024, 8), 3.0, 11));
}

#[test]
fn a_ring_that_wraps_inside_a_block() {
    let kernel = local(70, 130, 4, 50, 72);
    assert!((130 - 49..200).any(|p| p % kernel.cache_segment().slots() == 0), "the reads wrap");
    check(&Case::random(kernel, 3.0, 12));
}

#[test]
fn pages_out_of_order() {
    let pages = KvPages::new(40).expect("whole groups");
    let cache = Cache::Pages { pages, pool: 9, table: vec![7, 0, 3, 8, 1, 2, 4] };
    check(&Case::random(ScaledAttention::new(100, 150, 4, cache).expect("a legal shape"), 3.0, 13));
}

fn utilisation(name: &str, case: &Case, ddr: Option<f64>) -> f64 {
    let (ctx, ran) = case.run(ddr);
    assert_eq!(ctx.len(), case.q.len());
    case.utilisation(name, &ran)
}

#[test]
fn two_thousand_positions_keep_half_of_the_multiplier_busy() {
    let case = Case::random(global(2048, 0, 1), 3.0, 20);
    for (name, ddr) in [("S = 2048, global", None), ("S = 2048, global, 32.9 GB/s", Some(DDR))] {
        let share = utilisation(name, &case, ddr);
        assert!(share >= 0.5, "{name}: {share}");
    }
}

#[test]
fn windows_and_short_prompts_keep_a_good_part_of_it_busy() {
    let case = Case::random(local(2048, 0, 1, 1024, 2048), 3.0, 21);
    assert!(utilisation("S = 2048, window 1024", &case, None) >= 0.42);
    let case = Case::random(global(512, 0, 4), 3.0, 22);
    assert!(utilisation("S = 512, global", &case, None) >= 0.32);
}

#[test]
fn the_program_leaves_room() {
    let program = global(1, 0, 1).program().expect("it compiles");
    println!("program: {} bytes", program.bytes.len());
    assert!(program.bytes.len() <= 8000);
    for l in &program.loops {
        assert_eq!(l.ii_declared, Some(l.ii_reached), "{}", l.name);
    }
}

/// Whatever the instance, program and configuration are the same.
#[test]
fn one_program_serves_all() {
    let [a, b] = [global(40, 5, 2), local(300, 700, 4, 128, 512)].map(|k| k.compile().expect("the kernel compiles"));
    assert_eq!(a.pdi, b.pdi);
    assert_ne!(a.txn, b.txn);
}

#[test]
fn two_dispatches_one_after_the_other() {
    Case::random(global(33, 15, 1), 3.0, 23).same_twice();
}

#[test]
fn adversarial_inputs() {
    for (name, case) in case::adversarial(KvFormat::Bf16) {
        let (ctx, _) = case.run(None);
        case.same(&ctx);
        let error = case.error(&ctx);
        println!("{name}: {error:.2e}");
        assert!(error <= 0.005, "{name}: {error}");
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
        let error = case.error(&ctx);
        println!("{scene:?}: {error:.2e}");
        assert!(error <= 0.005, "{scene:?}: {error}");
    }
}

#[test]
fn what_the_array_does_not_do_is_refused() {
    let linear = |slots| Cache::linear(slots).expect("whole groups");
    let refused = |seq, history, heads, cache| ScaledAttention::new(seq, history, heads, cache).expect_err("a refusal");
    for seq in [0, SEQ_MAX + 1] {
        let error = refused(seq, 0, 1, linear(8192));
        assert!(
            matches!(error, KernelError::Attention(AttentionError::Positions { seq: s, .. }) if s == seq),
            "{error}"
        );
    }
    let error = refused(2, 7, 1, linear(8));
    assert!(matches!(error, KernelError::Attention(AttentionError::PagesMissing { positions: 9, .. })), "{error}");
    let pages = KvPages::new(16).expect("whole groups");
    let error = refused(2, 7, 1, Cache::Pages { pages, pool: 3, table: vec![3] });
    assert!(matches!(error, KernelError::Attention(AttentionError::NoSuchPage { page: 3, pool: 3 })), "{error}");
    let error = refused(1, 1 << 30, 1, linear(8));
    assert!(matches!(error, KernelError::Attention(AttentionError::TooFar { .. })), "{error}");
    let ring = KvRing::new(100, 8).expect("a legal ring");
    assert!(matches!(refused(9, 0, 1, Cache::Ring(ring)), KernelError::Shape(_)));
    assert!(matches!(refused(1, 0, 5, linear(8)), KernelError::Shape(_)));
    assert!(matches!(Cache::linear(12), Err(KernelError::Shape(_))));
}

#[test]
fn the_largest_instances_have_streams_within_their_operands() {
    let pages = KvPages::new(512).expect("whole groups");
    let paged = Cache::Pages { pages, pool: 300, table: (0..300).rev().collect() };
    let far = ScaledAttention::new(700, 131_072, 16, paged).expect("a legal shape");
    for kernel in [global(SEQ_MAX, 0, 16), global(1, 131_071, 16), local(SEQ_MAX, 5000, 16, 1024, SEQ_MAX), far] {
        let stream = kernel.stream().expect("the stream can be built");
        for (arg, operand) in kernel.operands().iter().enumerate() {
            let used = stream.extents.get(&(arg as u32)).map_or(0, |extent| extent.bytes());
            assert!(used <= operand.bytes as u64, "{}: {used} of {} bytes", operand.name, operand.bytes);
        }
    }
}
