//! `bennu-lab layer`: the attention of one layer at the dimensions of the 27B against float64 with the same INT8 weights.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use npu_package::layout::{DECODE_TOKENS, KvFormat, Plane};
use oracle::attention::{Attention, Cache, HeadProblem, Precision, Trace, relative_error};
use oracle::data::Rng;
use oracle::fp::bf16_rne;
use oracle::kv_int8;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind, Linear};
use oracle::norm::rms_norm;
use oracle::outliers::{Scene, attention_weights, hidden_states};
use oracle::rope::Pairing;
use serde_json::json;

use crate::layer::{HEAD_DIM, HEADS, KV_HEADS, Layer, Step, wide};

/// Local or global.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// Sees a window of 1024 keys.
    Local,
    /// Sees all keys.
    Global,
}

/// Elements of keys and values.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KvCache {
    /// bfloat16.
    Bf16,
    /// INT8 codes with a scale for each head and token.
    Int8,
}

/// How uneven weights and activations are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Unevenness {
    /// Normal weights, mild activations.
    Mild,
    /// Weights with tails, outlier channels.
    Outliers,
    /// Heavy tails, outlier columns, severe outlier channels.
    Severe,
}

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// New positions; with a history, at most four are decoded
    #[arg(long, default_value_t = 512)]
    seq: usize,
    /// Positions before them, with keys and values made at random
    #[arg(long, default_value_t = 0)]
    history: usize,
    /// Kind of layer
    #[arg(long, value_enum, default_value = "local")]
    layer: Kind,
    /// How uneven weights and activations are
    #[arg(long, value_enum, default_value = "outliers")]
    scene: Unevenness,
    /// Elements of the cache
    #[arg(long, value_enum, default_value = "bf16")]
    kv_cache: KvCache,
}

/// One comparison with float64.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// What was compared.
    pub tensor: &'static str,
    /// Relative Frobenius error.
    pub relative: f64,
    /// Largest error over the root mean square of the tensor.
    pub largest: f64,
    /// Accepted relative error.
    pub limit: f64,
    /// Accepted largest error.
    pub largest_limit: f64,
}

/// Errors of one layer, and what it cost.
pub struct Report {
    /// Errors by tensor.
    pub lines: Vec<Line>,
    /// Kernels in order and their modelled cycles.
    pub cycles: Vec<(String, u64)>,
    /// Query-key pairs that the mask lets through, of one head.
    pub pairs: u64,
}

impl Report {
    /// Whether every error is within its limit.
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.relative <= line.limit && line.largest <= line.largest_limit)
    }
}

/// Accepted relative error of a projection, on its own bfloat16 input.
pub const PROJECTION: f64 = 0.005;
/// Accepted relative error of the context and of the output after the whole chain.
pub const CHAIN: f64 = 0.015;
/// Accepted relative error of the attention from exact bfloat16 q, k and v.
pub const ALONE: f64 = 0.005;
/// The same of `decode_attention_kv8`, which takes codes where [`Step`] has them times their scales, rounded: on scores of three octaves' deviation the 0.17 % of
/// this rounding are 0.35 % of a probability, and with as much of the values 0.39 % of a context.
pub const ALONE_DECODED_KV8: f64 = ALONE + 0.0039;
/// Accepted largest error of a projection or of the attention alone, in root mean squares of the tensor. Half a unit in the last place of
/// an element of 16 root mean squares, 2^-9 of it, is 0.03; elements of such a size are rare but there.
pub const PROJECTION_LARGEST: f64 = 0.1;
/// Accepted largest error after the whole chain, in root mean squares.
pub const CHAIN_LARGEST: f64 = 0.4;
/// Tokens whose projections are compared on their own.
const SAMPLED: usize = 32;
/// Key-value heads whose attention is compared on its own: corners of the array's order.
const SAMPLED_HEADS: [usize; 3] = [0, 7, 15];

fn line(tensor: &'static str, found: &[f64], exact: &[f64], limits: [f64; 2]) -> Line {
    let rms = (exact.iter().map(|v| v * v).sum::<f64>() / exact.len() as f64).sqrt();
    let largest = found.iter().zip(exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / rms;
    Line { tensor, relative: relative_error(found, exact), largest, limit: limits[0], largest_limit: limits[1] }
}

/// Keys and values of a history, `[T][16][128]` bfloat16 bits: normal rows, the keys normed with the layer's weights and turned.
fn history(config: &AttentionConfig, kind: LayerKind, weights: &AttentionWeights, positions: usize) -> [Vec<u16>; 2] {
    let mut rng = Rng::new(0x4157);
    let (mut k, mut v) = (Vec::new(), Vec::new());
    for position in 0..positions {
        for _ in 0..KV_HEADS {
            let mut row: Vec<f64> = (0..HEAD_DIM).map(|_| f64::from(rng.normal())).collect();
            rms_norm(&mut row, &weights.k_norm, config.eps);
            config.rope(kind).rotate(&mut row, position, Pairing::Halves);
            k.extend(row.iter().map(|x| bf16_rne(*x as f32)));
            v.extend((0..HEAD_DIM).map(|_| bf16_rne(rng.normal())));
        }
    }
    [k, v]
}

/// Attention of `tokens` new positions behind a history, on the array and in float64. Up to four positions behind a history are decoded.
///
/// # Errors
/// A shape without a kernel, or a fault of the array.
pub fn measure(format: KvFormat, kind: LayerKind, scene: Scene, history_len: usize, tokens: usize) -> Result<Report> {
    ensure!(tokens > 0, "there must be a new position");
    let config = AttentionConfig::gemma3_27b();
    let weights = attention_weights(&config, scene, 1);
    let x = hidden_states(config.hidden, tokens, scene, 2);
    let [k, v] = history(&config, kind, &weights, history_len);
    let capacity = if kind == LayerKind::Local { tokens } else { history_len + tokens };
    let mut layer = Layer::with_cache(format, &config, kind, &weights, capacity)?;
    layer.append(&k, &v)?;
    // what a ring has lost is hidden
    let old = [Plane::Key, Plane::Value].map(|plane| layer.cached(plane, 0..history_len));
    let bits: Vec<u16> = x.iter().map(|v| bf16_rne(*v as f32)).collect();
    let decoded = history_len > 0 && tokens <= DECODE_TOKENS;
    let step = if decoded { layer.decode(&bits)? } else { layer.prefill(&bits)? };
    let mut cache = Cache::linear(&config);
    cache.append(&wide(&k), &wide(&v));
    let exact = Attention::new(&config, kind, &weights).step(&x, &mut cache)?;
    let to_natural = std::f64::consts::LN_2 / config.score_scale();
    let q: Vec<f64> = wide(&step.q).into_iter().map(|q| q * to_natural).collect();
    let cost = match format {
        KvFormat::Bf16 => Cost::default(),
        KvFormat::Int8 => Cost::of_codes(&config, &layer, &exact, (&k, &v)),
    };
    let chain = |cost: f64| [CHAIN + cost, CHAIN_LARGEST * (CHAIN + cost) / CHAIN];
    let mut lines = projections(&config, &weights, &bits, &step);
    let alone = if decoded && format == KvFormat::Int8 { ALONE_DECODED_KV8 } else { ALONE };
    lines.push(attention_alone(&layer, &step, history_len, tokens, (&old[0], &old[1]), alone));
    lines.extend([
        line("q of the chain", &q, &exact.q, chain(0.0)),
        line("k of the chain", &wide(&step.k), &exact.k, chain(cost.k)),
        line("v of the chain", &wide(&step.v), &exact.v, chain(cost.v)),
        line("ctx of the chain", &wide(&step.ctx), &exact.ctx, chain(cost.ctx)),
        line("o of the chain", &wide(&step.out), &exact.out, chain(cost.ctx)),
    ]);
    Ok(Report { lines, cycles: step.cycles, pairs: layer.mask().pairs(history_len..history_len + tokens) })
}

/// What codes cost in float64: relative errors of the new keys and values, and of the context from the codes of all.
#[derive(Default)]
struct Cost {
    k: f64,
    v: f64,
    ctx: f64,
}

impl Cost {
    fn of_codes(config: &AttentionConfig, layer: &Layer, exact: &Trace, old: (&[u16], &[u16])) -> Self {
        let codes = |rows: &[f64]| -> Vec<f64> {
            let bits: Vec<u16> = rows.iter().map(|x| bf16_rne(*x as f32)).collect();
            let coded = bits.chunks_exact(HEAD_DIM).map(kv_int8::codes);
            coded.flat_map(|(codes, scale)| codes.into_iter().map(move |code| kv_int8::value(code, scale))).collect()
        };
        let (k, v) = (codes(&exact.k), codes(&exact.v));
        let (group, tokens) = (HEADS / KV_HEADS, exact.q.len() / (HEADS * HEAD_DIM));
        let by_head = |of: &[f64], kv: usize| -> Vec<f64> {
            let rows = (0..group).flat_map(|h| (0..tokens).map(move |t| (t * HEADS + kv * group + h) * HEAD_DIM));
            rows.flat_map(|at| of[at..at + HEAD_DIM].to_vec()).collect()
        };
        let column = |old: &[u16], new: &[f64], kv: usize| -> Vec<f64> {
            let row = |rows: &[f64]| -> Vec<f64> {
                rows.chunks_exact(KV_HEADS * HEAD_DIM)
                    .flat_map(|row| row[kv * HEAD_DIM..][..HEAD_DIM].to_vec())
                    .collect()
            };
            [codes(&row(&wide(old))), row(new)].concat()
        };
        let (mut found, mut want) = (Vec::new(), Vec::new());
        for kv in SAMPLED_HEADS {
            let problem = HeadProblem {
                head_dim: HEAD_DIM,
                mask: layer.mask(),
                scale: config.score_scale(),
                q: by_head(&exact.q, kv),
                group,
                k: column(old.0, &k, kv),
                v: column(old.1, &v, kv),
            };
            found.extend(problem.direct(Precision::Exact));
            want.extend(by_head(&exact.ctx, kv));
        }
        Self { k: relative_error(&k, &exact.k), v: relative_error(&v, &exact.v), ctx: relative_error(&found, &want) }
    }
}

/// Projections of sampled tokens, each from the bfloat16 values that its kernel read.
fn projections(config: &AttentionConfig, weights: &AttentionWeights, x: &[u16], step: &Step) -> Vec<Line> {
    let tokens = x.len() / config.hidden;
    let sampled: Vec<usize> = (0..tokens).step_by(tokens.div_ceil(SAMPLED)).collect();
    let rows = |of: &[u16], width: usize| -> Vec<f64> {
        sampled.iter().flat_map(|t| wide(&of[t * width..(t + 1) * width])).collect()
    };
    let (x, ctx) = (rows(x, config.hidden), rows(&step.ctx, config.q_rows()));
    let width = config.q_rows() + 2 * config.kv_rows();
    let qkv = rows(&step.qkv, width);
    let columns = |first: usize, n: usize| -> Vec<f64> {
        qkv.chunks_exact(width).flat_map(|row| row[first..first + n].to_vec()).collect()
    };
    let limits = [PROJECTION, PROJECTION_LARGEST];
    let mut first = 0;
    let mut one = |tensor, linear: &Linear| {
        let found = columns(first, linear.n());
        first += linear.n();
        line(tensor, &found, &linear.apply(&x), limits)
    };
    vec![
        one("q projection", &weights.q),
        one("k projection", &weights.k),
        one("v projection", &weights.v),
        line("o projection", &rows(&step.out, config.hidden), &weights.o.apply(&ctx), limits),
    ]
}

/// Attention of sampled heads from the q, k and v that the kernel read.
fn attention_alone(
    layer: &Layer,
    step: &Step,
    history: usize,
    tokens: usize,
    old: (&[u16], &[u16]),
    limit: f64,
) -> Line {
    let group = HEADS / KV_HEADS;
    let (mut found, mut exact) = (Vec::new(), Vec::new());
    let by_head = |of: &[u16], kv: usize| -> Vec<f64> {
        let rows = (0..group).flat_map(|h| (0..tokens).map(move |t| (t * HEADS + kv * group + h) * HEAD_DIM));
        rows.flat_map(|at| wide(&of[at..at + HEAD_DIM])).collect()
    };
    let column = |old: &[u16], new: &[u16], kv: usize| -> Vec<f64> {
        let rows = old.chunks_exact(KV_HEADS * HEAD_DIM).chain(new.chunks_exact(KV_HEADS * HEAD_DIM));
        rows.flat_map(|row| wide(&row[kv * HEAD_DIM..][..HEAD_DIM])).collect()
    };
    debug_assert_eq!(layer.cached(Plane::Key, history..history + tokens), step.k);
    for kv in SAMPLED_HEADS {
        let problem = HeadProblem {
            head_dim: HEAD_DIM,
            mask: layer.mask(),
            scale: std::f64::consts::LN_2,
            q: by_head(&step.q, kv),
            group,
            k: column(old.0, &step.k, kv),
            v: column(old.1, &step.v, kv),
        };
        exact.extend(problem.direct(Precision::Exact));
        found.extend(by_head(&step.ctx, kv));
    }
    line("attention alone", &found, &exact, [limit, PROJECTION_LARGEST])
}

/// Runs the verb; whether every error is within its limit.
///
/// # Errors
/// As [`measure`].
pub fn run(args: &Args, as_json: bool) -> Result<bool> {
    let kind = match args.layer {
        Kind::Local => LayerKind::Local,
        Kind::Global => LayerKind::Global,
    };
    let scene = match args.scene {
        Unevenness::Mild => Scene::Mild,
        Unevenness::Outliers => Scene::Outliers,
        Unevenness::Severe => Scene::Severe,
    };
    let format = match args.kv_cache {
        KvCache::Bf16 => KvFormat::Bf16,
        KvCache::Int8 => KvFormat::Int8,
    };
    let report = measure(format, kind, scene, args.history, args.seq)?;
    let cycles: u64 = report.cycles.iter().map(|(_, cycles)| cycles).sum();
    let macs = |kernel: &str| -> Option<f64> {
        let seq = args.seq as f64;
        // multiply-accumulates a cycle of the array: 4096 of INT8, two limbs each in W8A16; 2048 of bfloat16
        Some(match kernel {
            k if k.contains("qkv") => 2.0 * seq * 5376.0 * 8192.0 / 4096.0,
            k if k.contains("_o_") => 2.0 * seq * 4096.0 * 5376.0 / 4096.0,
            k if k.contains("attention") => report.pairs as f64 * (2 * HEADS * HEAD_DIM) as f64 / 2048.0,
            _ => return None,
        })
    };
    if as_json {
        let lines: Vec<_> = report
            .lines
            .iter()
            .map(|l| {
                json!({ "tensor": l.tensor, "relative": l.relative, "limit": l.limit, "largest_over_rms": l.largest,
                "largest_limit": l.largest_limit })
            })
            .collect();
        let kernels: Vec<_> =
            report.cycles.iter().map(|(kernel, cycles)| json!({ "kernel": kernel, "cycles": cycles })).collect();
        println!("{:#}", json!({ "errors": lines, "kernels": kernels, "cycles": cycles }));
        return Ok(report.holds());
    }
    println!(
        "{kind:?}, {scene:?}, history {}, {} new, {:?} cache; errors against float64, modelled cycles",
        args.history, args.seq, args.kv_cache
    );
    for l in &report.lines {
        let verdict = if l.relative <= l.limit && l.largest <= l.largest_limit { "" } else { "  TOO LARGE" };
        println!(
            "{:<18} {:.3} % of {:.1} %   largest {:.4} rms of {:.1}{verdict}",
            l.tensor,
            100.0 * l.relative,
            100.0 * l.limit,
            l.largest,
            l.largest_limit
        );
    }
    for (kernel, cycles) in &report.cycles {
        let share = macs(kernel).map_or(String::new(), |m| format!("  {:.1} % of peak", 100.0 * m / *cycles as f64));
        println!("{kernel:<28} {cycles:>10}{share}");
    }
    println!("{:<28} {cycles:>10}", "sum");
    Ok(report.holds())
}
