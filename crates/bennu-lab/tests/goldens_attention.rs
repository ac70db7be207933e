//! The attention kernels one after the other on the tiny Gemma 3 of `goldens/`, against transformers' float32 run.
//! The array's heads are more: see `widened`.

#[path = "../../oracle/tests/goldens/mod.rs"]
mod goldens;
mod widened;

use bennu_lab::layer::{HEAD_DIM, HEADS, KV_HEADS, Layer, Step, wide};
use goldens::{CONFIG, Expected, Goldens, LAYERS, Model, OTHER_LAYERS, PROMPTS, by_head, by_token};
use oracle::attention::{Attention, Cache, relative_error};
use oracle::fp::bf16_rne;
use oracle::model::{AttentionWeights, LayerKind, Linear, Values};
use oracle::outliers::quantise;
use widened::{config, widened};

const TENSORS: [&str; 5] = ["q", "k", "v", "attn_ctx", "attn_out"];

/// Relative errors of transformers' own BF16 run on layer 0 of the INT8 model, the smaller of both prompts.
// MEASURED: goldens.json of the tiny INT8 model, transformers 4.57.6 with torch 2.9.1, rel_error_of_a_bf16_run.
const TRANSFORMERS: [f64; 5] = [0.003931, 0.00391, 0.002883, 0.006596, 0.007164];

/// INT8 with one scale per output channel, as `bennu quantize` makes it; INT8 weights are left alone.
fn quantised(linear: &Linear) -> Linear {
    let (n, k) = (linear.n(), linear.k());
    if matches!(linear.values(), Values::Int8 { .. }) {
        return linear.clone();
    }
    let (mut codes, mut row) = (vec![0; n * k], vec![0.0; k]);
    let scales = codes
        .chunks_exact_mut(k)
        .enumerate()
        .map(|(n, codes)| {
            linear.row(n, &mut row);
            quantise(&row, codes)
        })
        .collect();
    Linear::new(n, k, Values::Int8 { codes, scales, group: k })
}

fn int8(weights: &AttentionWeights) -> AttentionWeights {
    let [q, k, v, o] = [&weights.q, &weights.k, &weights.v, &weights.o].map(quantised);
    AttentionWeights { q, k, v, o, ..weights.clone() }
}

fn bits(x: &[f64]) -> Vec<u16> {
    x.iter().map(|v| bf16_rne(*v as f32)).collect()
}

/// The first `heads` heads of every token; all others must be copies of them.
fn first_heads(of: &[u16], all: usize, heads: usize) -> Vec<f64> {
    let (row, first) = (all * HEAD_DIM, heads * HEAD_DIM);
    for token in of.chunks_exact(row) {
        assert!(token.chunks_exact(first).all(|copy| copy == &token[..first]), "copies of a head are the same");
    }
    of.chunks_exact(row).flat_map(|token| wide(&token[..first])).collect()
}

/// q, k, v, context and output of every token, of the tiny model's heads.
fn tensors(step: &Step) -> [Vec<f64>; 5] {
    let to_natural = std::f64::consts::LN_2 / CONFIG.score_scale();
    let q = first_heads(&step.q, HEADS, CONFIG.heads).into_iter().map(|q| q * to_natural).collect();
    let [k, v] = [&step.k, &step.v].map(|of| first_heads(of, KV_HEADS, CONFIG.kv_heads));
    [q, k, v, first_heads(&step.ctx, HEADS, CONFIG.heads), wide(&step.out)]
}

/// Errors at the stored tokens.
fn errors(found: &[Vec<f64>; 5], expected: &Expected) -> [f64; 5] {
    let [q, k, v, ctx, out] = found;
    let rows = &expected.rows;
    [
        relative_error(&by_head(q, rows, HEAD_DIM, CONFIG.heads), &expected.q),
        relative_error(&by_head(k, rows, HEAD_DIM, CONFIG.kv_heads), &expected.k),
        relative_error(&by_head(v, rows, HEAD_DIM, CONFIG.kv_heads), &expected.v),
        relative_error(&by_token(ctx, rows, CONFIG.q_rows()), &expected.ctx),
        relative_error(&by_token(out, rows, CONFIG.hidden), &expected.out),
    ]
}

fn layer(kind: LayerKind, weights: &AttentionWeights, tokens: usize) -> Layer {
    Layer::new(&config(), kind, weights, tokens).expect("the array serves the widened model")
}

fn run(kind: LayerKind, weights: &AttentionWeights, x: &[f64]) -> [Vec<f64>; 5] {
    let step = layer(kind, weights, x.len() / CONFIG.hidden).prefill(&bits(x)).unwrap_or_else(|e| panic!("{e:#}"));
    tensors(&step)
}

#[test]
fn int8_weights_err_no_more_than_transformers_in_bf16() {
    let goldens = Goldens::open(Model::Int8);
    println!("INT8 model            q        k        v        ctx      out");
    println!("limit, transformers  {}", TRANSFORMERS.map(|e| format!("{:.3} %", 100.0 * e)).join("  "));
    for (number, kind) in LAYERS {
        let weights = widened(&goldens.weights(number));
        for prompt in PROMPTS {
            let found = run(kind, &weights, &goldens.input(prompt, number));
            let errors = errors(&found, &goldens.expected(prompt, number));
            println!("{prompt:>5}, layer {number}       {}", errors.map(|e| format!("{:.3} %", 100.0 * e)).join("  "));
            for ((tensor, error), limit) in TENSORS.iter().zip(errors).zip(TRANSFORMERS) {
                assert!(error <= limit, "{prompt}.layer.{number}.{tensor}: {error} > {limit}");
                // one rounding to bfloat16 is at least 2^-9 / √3 of an element
                assert!(error > 1e-3, "{prompt}.layer.{number}.{tensor}: {error} is less than one rounding");
            }
        }
    }
}

/// Layers whose intermediates the set leaves out, each from the residual stream that transformers computed in front of it, every token, against float64
/// (which leads from one golden residual stream to the next within 1e-5: example `golden_set` of `oracle`).
#[test]
fn every_other_layer_errs_no_more_than_transformers_in_bf16() {
    let goldens = Goldens::open(Model::Int8);
    println!("INT8 model            q        k        v        ctx      out");
    // without optimisation a prompt takes half a minute
    let (layers, prompts) =
        if cfg!(debug_assertions) { (&OTHER_LAYERS[4..], &PROMPTS[..1]) } else { (&OTHER_LAYERS[..], &PROMPTS[..]) };
    for &number in layers {
        let (kind, weights) = (LayerKind::Local, goldens.weights(number));
        for prompt in prompts {
            let x = goldens.normed_stream(prompt, number);
            let attention = Attention::new(&CONFIG, kind, &weights);
            let exact = attention.step(&x, &mut Cache::linear(&CONFIG)).expect("a linear cache holds everything");
            let exact = [exact.q, exact.k, exact.v, exact.ctx, exact.out];
            let found = run(kind, &widened(&weights), &x);
            let errors: [f64; 5] = std::array::from_fn(|i| relative_error(&found[i], &exact[i]));
            println!("{prompt:>5}, layer {number}       {}", errors.map(|e| format!("{:.3} %", 100.0 * e)).join("  "));
            for ((tensor, error), limit) in TENSORS.iter().zip(errors).zip(TRANSFORMERS) {
                assert!(error <= limit, "{prompt}.layer.{number}.{tensor}: {error} > {limit}");
                assert!(error > 1e-3, "{prompt}.layer.{number}.{tensor}: {error} is less than one rounding");
            }
        }
    }
}

/// With BF16 weights the quantisation to INT8 is most of the error: it is measured in float64, and what the array adds is held to what
/// transformers' BF16 run strays, the two being independent.
#[test]
fn bf16_weights_err_by_their_quantisation_and_no_more_than_transformers_in_bf16() {
    let goldens = Goldens::open(Model::Bf16);
    println!("BF16 model, as INT8               q        k        v        ctx      out");
    for (number, kind) in LAYERS {
        let quantised = int8(&goldens.weights(number));
        let weights = widened(&quantised);
        for prompt in PROMPTS {
            let (x, expected) = (goldens.input(prompt, number), goldens.expected(prompt, number));
            let attention = Attention::new(&CONFIG, kind, &quantised);
            let exact = attention.step(&x, &mut Cache::linear(&CONFIG)).expect("a linear cache holds everything");
            let exact = [exact.q, exact.k, exact.v, exact.ctx, exact.out];
            let found = run(kind, &weights, &x);
            let by_quantisation = errors(&exact, &expected);
            let in_all = errors(&found, &expected);
            let added: [f64; 5] = std::array::from_fn(|i| relative_error(&found[i], &exact[i]));
            for (what, errors) in [("quantisation", by_quantisation), ("array", added), ("both", in_all)] {
                println!(
                    "{prompt:>5}, layer {number}, {what:>12}  {}",
                    errors.map(|e| format!("{:.3} %", 100.0 * e)).join("  ")
                );
            }
            for (i, tensor) in TENSORS.iter().enumerate() {
                assert!(added[i] <= TRANSFORMERS[i], "{prompt}.layer.{number}.{tensor}: {}", added[i]);
                let limit = by_quantisation[i].hypot(TRANSFORMERS[i]);
                assert!(in_all[i] <= limit, "{prompt}.layer.{number}.{tensor}: {} > {limit}", in_all[i]);
                assert!(by_quantisation[i] < 0.02, "{prompt}.layer.{number}.{tensor}: {}", by_quantisation[i]);
            }
        }
    }
}

/// Prefill of 75 - n tokens, then n through the kernels for decoding: projections, norms and rotation are the same bit for bit, and the
/// contexts of both orders of the sum agree to the rounding of probabilities and context.
#[test]
fn a_prefill_and_decoded_tokens_are_the_prefill_of_all() {
    // the other model's kernels are the same
    let (model, goldens) = (Model::Int8, Goldens::open(Model::Int8));
    for (number, kind) in LAYERS {
        let weights = widened(&int8(&goldens.weights(number)));
        let x = bits(&goldens.input("long", number));
        let tokens = x.len() / CONFIG.hidden;
        let whole = layer(kind, &weights, tokens).prefill(&x).unwrap_or_else(|e| panic!("{e:#}"));
        let at_once = tensors(&whole);
        // without optimisation a count takes half a minute
        let counts: &[usize] = if cfg!(debug_assertions) { &[3] } else { &[1, 2, 3, 4] };
        for &last in counts {
            let mut layer = layer(kind, &weights, tokens);
            let (before, after) = x.split_at((tokens - last) * CONFIG.hidden);
            layer.prefill(before).unwrap_or_else(|e| panic!("{e:#}"));
            let decoded = layer.decode(after).unwrap_or_else(|e| panic!("{e:#}"));
            let end = |all: &[u16], part: &[u16]| all[all.len() - part.len()..] == *part;
            assert!(end(&whole.qkv, &decoded.qkv), "{model:?}, layer {number}, {last} decoded: projections");
            assert!(end(&whole.q, &decoded.q) && end(&whole.k, &decoded.k), "{model:?}, layer {number}, {last}: q, k");
            let decoded = tensors(&decoded);
            for (i, tensor) in TENSORS.iter().enumerate().skip(3) {
                let all = &at_once[i][at_once[i].len() - decoded[i].len()..];
                let error = relative_error(&decoded[i], all);
                println!("{model:?}, layer {number}, {last} decoded, {tensor}: {:.3} %", 100.0 * error);
                // the path from q, k and v alone strays half a percent from float64 at most
                assert!(error <= 0.005, "{model:?}, layer {number}, {last} decoded, {tensor}: {error}");
            }
        }
    }
}
