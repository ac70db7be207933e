//! The float64 reference is Gemma 3's attention: it reproduces transformers' float32 intermediates, and the readings of the model that ports
//! get wrong do not.

mod goldens;

use goldens::{CONFIG, Expected, Goldens, LAYERS, MODELS, Model, PROMPTS, by_head, by_token};
use oracle::attention::{Attention, AttentionError, Cache, HeadOrder, Trace, relative_error};
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind};
use oracle::rope::Pairing;

/// Float32 noise of the goldens. MEASURED: the largest error is 6.4e-7; an epsilon of 1e-5 for 1e-6, the smallest mistake below, shows with 1.6e-6.
const TOLERANCE: f64 = 1e-6;

/// Relative Frobenius errors of q, k, v, ctx and out.
type Errors = [f64; 5];
const TENSORS: [&str; 5] = ["q", "k", "v", "attn_ctx", "attn_out"];

fn errors(trace: &Trace, expected: &Expected) -> Errors {
    let (rows, d) = (&expected.rows, CONFIG.head_dim);
    [
        relative_error(&by_head(&trace.q, rows, d, CONFIG.heads), &expected.q),
        relative_error(&by_head(&trace.k, rows, d, CONFIG.kv_heads), &expected.k),
        relative_error(&by_head(&trace.v, rows, d, CONFIG.kv_heads), &expected.v),
        relative_error(&by_token(&trace.ctx, rows, CONFIG.q_rows()), &expected.ctx),
        relative_error(&by_token(&trace.out, rows, CONFIG.hidden), &expected.out),
    ]
}

fn shown(errors: &Errors) -> String {
    TENSORS.iter().zip(errors).map(|(tensor, error)| format!("{tensor} {error:.1e}  ")).collect()
}

/// A whole prompt at once.
fn prefill(attention: Attention<'_>, x: &[f64]) -> Trace {
    attention.step(x, &mut Cache::linear(attention.config)).unwrap()
}

#[test]
fn every_intermediate_of_both_models_layers_and_prompts() {
    for model in MODELS {
        let goldens = Goldens::open(model);
        for (layer, kind) in LAYERS {
            let weights = goldens.weights(layer);
            for prompt in PROMPTS {
                let trace = prefill(Attention::new(&CONFIG, kind, &weights), &goldens.input(prompt, layer));
                let found = errors(&trace, &goldens.expected(prompt, layer));
                println!("{model:?} layer {layer} {prompt}: {}", shown(&found));
                for (tensor, error) in TENSORS.iter().zip(found) {
                    assert!(error < TOLERANCE, "{model:?} {prompt}.layer.{layer}.{tensor}: {error:e}");
                }
            }
        }
    }
}

/// A prompt in steps of the given sizes (the last one repeats), with a cache.
fn in_steps(attention: Attention<'_>, x: &[f64], sizes: &[usize], mut cache: Cache) -> Result<Trace, AttentionError> {
    let mut whole = Trace { q: vec![], k: vec![], v: vec![], ctx: vec![], out: vec![] };
    let hidden = attention.config.hidden;
    let (mut done, tokens) = (0, x.len() / hidden);
    let mut sizes = sizes.iter().chain(std::iter::repeat(sizes.last().unwrap()));
    while done < tokens {
        let end = tokens.min(done + sizes.next().unwrap());
        let step = attention.step(&x[done * hidden..end * hidden], &mut cache)?;
        whole.q.extend(step.q);
        whole.k.extend(step.k);
        whole.v.extend(step.v);
        whole.ctx.extend(step.ctx);
        whole.out.extend(step.out);
        done = end;
    }
    assert_eq!(cache.positions(), tokens);
    Ok(whole)
}

#[test]
fn chunks_and_decode_steps_change_nothing() {
    let goldens = Goldens::open(Model::Int8);
    for (layer, kind) in LAYERS {
        let (weights, x) = (goldens.weights(layer), goldens.input("long", layer));
        let attention = Attention::new(&CONFIG, kind, &weights);
        let whole = prefill(attention, &x);
        for sizes in [&[1][..], &[2], &[3], &[4], &[37, 16], &[50, 1], &[20, 13, 4, 1]] {
            let parts = in_steps(attention, &x, sizes, Cache::linear(&CONFIG)).unwrap();
            assert!(parts == whole, "layer {layer} in steps of {sizes:?}");
        }
    }
}

#[test]
fn a_ring_of_window_and_chunk_forgets_only_what_nobody_sees() {
    let goldens = Goldens::open(Model::Bf16);
    let (weights, x) = (goldens.weights(0), goldens.input("long", 0));
    let attention = Attention::new(&CONFIG, LayerKind::Local, &weights);
    let whole = prefill(attention, &x);
    // Decode needs exactly the window; chunks of 4 need three more slots. 75 tokens wrap each ring.
    for (slots, sizes) in [(32, &[1][..]), (35, &[4]), (47, &[16]), (40, &[9, 5, 1]), (106, &[75])] {
        let parts = in_steps(attention, &x, sizes, Cache::ring(&CONFIG, slots)).unwrap();
        assert!(parts == whole, "ring of {slots} in steps of {sizes:?}");
    }
    for (slots, sizes) in [(31, &[1][..]), (34, &[4]), (105, &[75])] {
        let refused = in_steps(attention, &x, sizes, Cache::ring(&CONFIG, slots)).unwrap_err();
        assert_eq!(
            refused,
            AttentionError::RingTooSmall { slots, tokens: sizes[0], window: 32, needed: 31 + sizes[0] },
            "one slot less is refused"
        );
    }
    let global = Attention::new(&CONFIG, LayerKind::Global, &weights);
    let refused = global.step(&x, &mut Cache::ring(&CONFIG, 200)).unwrap_err();
    assert_eq!(refused, AttentionError::RingOnGlobalLayer { slots: 200 });
}

/// A wrong reading of the model, and the first tensor that shows it with its least error.
struct Mistake {
    name: &'static str,
    layer: usize,
    shows: &'static str,
    least: f64,
    config: fn(&mut AttentionConfig),
    weights: fn(&mut AttentionWeights),
    attention: fn(&mut Attention<'_>),
}

const RIGHT: Mistake = Mistake {
    name: "none",
    layer: 0,
    shows: "attn_out",
    least: 0.0,
    config: |_| {},
    weights: |_| {},
    attention: |_| {},
};

/// The norms with w where 1 + w belongs.
fn without_one(weights: &mut AttentionWeights) {
    weights.q_norm.iter_mut().chain(&mut weights.k_norm).for_each(|w| *w -= 1.0);
}

const MISTAKES: [Mistake; 15] = [
    Mistake { name: "window one too long", shows: "attn_ctx", least: 0.02, config: |c| c.window += 1, ..RIGHT },
    Mistake { name: "window one too short", shows: "attn_ctx", least: 0.02, config: |c| c.window -= 1, ..RIGHT },
    Mistake { name: "window ignored", shows: "attn_ctx", least: 0.2, config: |c| c.window = 1 << 20, ..RIGHT },
    Mistake {
        name: "window on the global layer",
        layer: 5,
        shows: "attn_ctx",
        least: 0.1,
        attention: |a| a.kind = LayerKind::Local,
        ..RIGHT
    },
    Mistake {
        name: "factor 8 missing",
        layer: 5,
        shows: "q",
        least: 0.1,
        config: |c| c.rope_global.factor = 1.0,
        ..RIGHT
    },
    Mistake {
        name: "factor 8 on the local layer",
        shows: "q",
        least: 0.1,
        config: |c| c.rope_local.factor = 8.0,
        ..RIGHT
    },
    Mistake {
        name: "local theta on the global layer",
        layer: 5,
        shows: "k",
        least: 0.05,
        config: |c| c.rope_global.theta = 1e4,
        ..RIGHT
    },
    Mistake {
        name: "global theta on the local layer",
        shows: "k",
        least: 0.05,
        config: |c| c.rope_local.theta = 1e6,
        ..RIGHT
    },
    Mistake {
        name: "scale 1/sqrt(head_dim)",
        shows: "attn_ctx",
        least: 0.05,
        config: |c| c.query_scalar = 128.0,
        ..RIGHT
    },
    Mistake { name: "w for 1 + w", shows: "q", least: 0.5, weights: without_one, ..RIGHT },
    Mistake { name: "epsilon 1e-5", shows: "q", least: 1.5e-6, config: |c| c.eps = 1e-5, ..RIGHT },
    Mistake {
        name: "interleaved rotation",
        shows: "q",
        least: 0.5,
        attention: |a| a.pairing = Pairing::Neighbours,
        ..RIGHT
    },
    Mistake {
        name: "query heads tiled over key heads",
        shows: "attn_ctx",
        least: 0.5,
        attention: |a| a.head_order = HeadOrder::Tiled,
        ..RIGHT
    },
    Mistake {
        name: "q norm and k norm exchanged",
        shows: "q",
        least: 0.1,
        weights: |w| std::mem::swap(&mut w.q_norm, &mut w.k_norm),
        ..RIGHT
    },
    Mistake {
        name: "k and v exchanged",
        shows: "v",
        least: 0.5,
        weights: |w| std::mem::swap(&mut w.k, &mut w.v),
        ..RIGHT
    },
];

#[test]
fn each_mistake_is_outside_the_tolerance() {
    for model in MODELS {
        let goldens = Goldens::open(model);
        for mistake in &MISTAKES {
            let (layer, kind) = LAYERS[usize::from(mistake.layer == 5)];
            let mut weights = goldens.weights(layer);
            let (x, expected) = (goldens.input("long", layer), goldens.expected("long", layer));
            let mut config = CONFIG;
            (mistake.config)(&mut config);
            (mistake.weights)(&mut weights);
            let mut attention = Attention::new(&config, kind, &weights);
            (mistake.attention)(&mut attention);
            let trace = prefill(attention, &x);
            let found = errors(&trace, &expected);
            println!("{model:?} {}: {}", mistake.name, shown(&found));
            assert!(mistake.least > TOLERANCE, "{}: the right reading would pass for it", mistake.name);
            let shows = TENSORS.iter().position(|tensor| *tensor == mistake.shows).unwrap();
            assert!(found[shows] > mistake.least, "{model:?} {}: {} {:e}", mistake.name, mistake.shows, found[shows]);
        }
    }
}

#[test]
fn positions_counted_from_one_show_in_q_and_k_alone() {
    let goldens = Goldens::open(Model::Bf16);
    let (weights, expected) = (goldens.weights(0), goldens.expected("short", 0));
    // A token in front moves every other by one position.
    let mut x = vec![0.0; CONFIG.hidden];
    x.extend(goldens.input("short", 0));
    let moved = prefill(Attention::new(&CONFIG, LayerKind::Local, &weights), &x);
    let q = by_head(&moved.q[CONFIG.q_rows()..], &expected.rows, CONFIG.head_dim, CONFIG.heads);
    let v = by_head(&moved.v[CONFIG.kv_rows()..], &expected.rows, CONFIG.head_dim, CONFIG.kv_heads);
    assert!(relative_error(&q, &expected.q) > 0.1);
    assert!(relative_error(&v, &expected.v) < TOLERANCE);
}

#[test]
fn a_cache_filled_from_elsewhere_is_the_history_of_a_decode_step() {
    let goldens = Goldens::open(Model::Int8);
    let (weights, x) = (goldens.weights(5), goldens.input("long", 5));
    let attention = Attention::new(&CONFIG, LayerKind::Global, &weights);
    let whole = prefill(attention, &x);
    let (tokens, row) = (75, CONFIG.kv_rows());
    for new in 1..=4 {
        let old = tokens - new;
        let mut cache = Cache::linear(&CONFIG);
        cache.append(&whole.k[..old * row], &whole.v[..old * row]);
        let step = attention.step(&x[old * CONFIG.hidden..], &mut cache).unwrap();
        assert!(step.out == whole.out[old * CONFIG.hidden..], "{new} query positions");
    }
}
