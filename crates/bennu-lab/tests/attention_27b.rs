//! One layer's attention at the dimensions of the 27B, kernel after kernel, against float64 with the same INT8 weights, on weights and
//! activations with outliers.

use aie2_kernels::attention_decode::{Cache, DecodeAttention};
use bennu_lab::layer::{HEAD_DIM, HEADS, KV_HEADS, halves};
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::{KvFormat, KvHeads, KvRing, Plane};
use oracle::attention::{HeadProblem, Precision, relative_error};
use oracle::fp::{bf16_rne, widen};
use oracle::mask::Mask;
use oracle::model::AttentionConfig;

/// Whole layers: minutes without optimisation.
#[cfg(not(debug_assertions))]
mod layers {
    use bennu_lab::layer_report::measure;
    use npu_package::layout::KvFormat;
    use oracle::model::LayerKind;
    use oracle::outliers::Scene;

    fn check(kind: LayerKind, scene: Scene, history: usize, tokens: usize) {
        check_with(KvFormat::Bf16, kind, scene, history, tokens);
    }

    fn check_with(cache: KvFormat, kind: LayerKind, scene: Scene, history: usize, tokens: usize) {
        let report = measure(cache, kind, scene, history, tokens).unwrap_or_else(|error| panic!("{error:#}"));
        println!("{kind:?}, {scene:?}, history {history}, {tokens} new, {cache:?}");
        for line in &report.lines {
            println!("{:<18} {:.3} %, largest {:.4} rms", line.tensor, 100.0 * line.relative, line.largest);
            // exact results would not have been rounded to bfloat16
            assert!(line.relative > 1e-3, "{kind:?}, {scene:?}: {line:?}");
        }
        for line in &report.lines {
            let holds = line.relative <= line.limit && line.largest <= line.largest_limit;
            assert!(holds, "{kind:?}, {scene:?}, history {history}, {tokens} new: {line:?}");
        }
    }

    #[test]
    fn prefills_of_512() {
        check(LayerKind::Local, Scene::Outliers, 0, 512);
        check(LayerKind::Global, Scene::Severe, 0, 512);
    }

    #[test]
    fn a_decoded_position_behind_a_thousand() {
        check(LayerKind::Local, Scene::Severe, 1023, 1);
        check(LayerKind::Global, Scene::Mild, 1020, 4);
    }

    #[test]
    fn a_cache_of_codes() {
        check_with(KvFormat::Int8, LayerKind::Local, Scene::Outliers, 1000, 17);
        check_with(KvFormat::Int8, LayerKind::Global, Scene::Severe, 0, 17);
        check_with(KvFormat::Int8, LayerKind::Global, Scene::Mild, 1020, 4);
    }

    #[test]
    fn decoded_positions_behind_eight_thousand() {
        check(LayerKind::Local, Scene::Mild, 8188, 4);
        check(LayerKind::Global, Scene::Outliers, 8188, 4);
    }
}

/// Every adversarial input of at most 4 queries, and the last 4 of the others, on all heads of `decode_attention`.
#[test]
fn adversarial_inputs_decoded() {
    let config = AttentionConfig::gemma3_27b();
    for oracle::cases::Case { name, problem } in oracle::cases::adversarial(&config) {
        let (all, group) = (problem.queries(), problem.group);
        let tokens = all.min(4);
        let history = problem.keys() - tokens;
        let local = problem.mask != Mask::causal();
        let ring = KvRing::new(config.window, 4).expect("a legal ring");
        let cache = if local {
            Cache::Local(ring)
        } else {
            Cache::Global { slots: (history + tokens).next_multiple_of(8) + 8 }
        };
        let heads = KvHeads::new(KV_HEADS, HEAD_DIM, KvFormat::Bf16).expect("heads of the 27B");
        let kernel = DecodeAttention::new(heads, HEADS, cache, history, tokens).expect("the kernel serves this");
        let compiled = kernel.compile().expect("the kernel compiles");
        let scale = problem.scale * std::f64::consts::LOG2_E;
        let query = |h: usize, t: usize| &problem.q[(h * all + all - tokens + t) * HEAD_DIM..][..HEAD_DIM];
        let mut q = Vec::new();
        for t in 0..tokens {
            for h in 0..HEADS {
                q.extend(query(h % group, t).iter().map(|x| bf16_rne((x * scale) as f32)));
            }
        }
        let segment = kernel.segment();
        let mut bytes = vec![0; segment.bytes()];
        for position in 0..history + tokens {
            let slot = if local { ring.slot(position) } else { position };
            for (plane, rows) in [(Plane::Key, &problem.k), (Plane::Value, &problem.v)] {
                for i in 0..KV_HEADS * HEAD_DIM {
                    let at = segment.offset(plane, i / HEAD_DIM, slot, i % HEAD_DIM);
                    let value = bf16_rne(rows[position * HEAD_DIM + i % HEAD_DIM] as f32);
                    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        let mut loaded = Loaded::new(&Binary::from(&compiled), None).expect("the PDI loads");
        loaded.write("q", &q.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>()).expect("q fits");
        loaded.write("cache", &bytes).expect("the cache fits");
        loaded.write("plan", kernel.plan_bytes()).expect("the plan fits");
        loaded.run().unwrap_or_else(|fault| panic!("{name}: {fault:#}"));
        let ctx = halves(&loaded.read("ctx").expect("every context was written"));
        let rounded = (0..group).flat_map(|h| (0..tokens).map(move |t| (h, t)));
        let exact = HeadProblem {
            scale: std::f64::consts::LN_2,
            q: rounded
                .flat_map(|(h, t)| q[(t * HEADS + h) * HEAD_DIM..][..HEAD_DIM].iter().map(|b| f64::from(widen(*b))))
                .collect(),
            ..problem.clone()
        }
        .direct(Precision::Exact);
        for kv in 0..KV_HEADS {
            let rows = (0..group).flat_map(|h| (0..tokens).map(move |t| (t * HEADS + kv * group + h) * HEAD_DIM));
            let found: Vec<f64> =
                rows.flat_map(|at| ctx[at..at + HEAD_DIM].iter().map(|b| f64::from(widen(*b)))).collect();
            let error = relative_error(&found, &exact);
            if kv == 0 {
                println!("{name}: {error:.2e}");
            }
            assert!(error <= 0.005, "{name}, head {kv}: {error}");
        }
    }
}
