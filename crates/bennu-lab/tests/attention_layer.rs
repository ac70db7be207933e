//! A layer's attention in one configuration, against the chain of the kernels of its phases: every intermediate bit for bit, and cycles.

use aie2_kernels::attention::scaled::Cache;
use aie2_kernels::attention_layer::{AttentionLayer, Extent};
use aie2_kernels::norm_rope::{self, Refusal};
use aie2_kernels::w8a8::Projection;
use aie2_kernels::{Compiled, KernelError, WeightScales};
use bennu_lab::case::Case;
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::{Activations, HeadNorm, KvFormat, KvHeads, Panels, ProjectionShape, RopeLimbs, RopeTable};
use oracle::data::activations;

const HIDDEN: usize = 768;
const HEADS: usize = 16;
const D: usize = 128;

fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|h| h.to_le_bytes()).collect()
}

fn panels(hidden: usize) -> (Panels, Panels) {
    let (n_q, n_kv) = (2 * HEADS * D, HEADS * D);
    let qkv = Panels::new(hidden, n_q, n_kv, n_kv).expect("legal dimensions");
    (qkv, Panels::output(n_q, hidden).expect("legal dimensions"))
}

fn heads(format: KvFormat) -> KvHeads {
    KvHeads::new(HEADS, D, format).expect("the 27B's heads")
}

fn with_cache(hidden: usize, seq: usize, history: usize, cache: Cache) -> AttentionLayer {
    let (qkv, o) = panels(hidden);
    AttentionLayer::new(seq, history, qkv, o, Activations::Int16, heads(KvFormat::Bf16), cache).expect("a legal layer")
}

/// A global layer's.
fn layer(seq: usize, history: usize) -> AttentionLayer {
    let cache = Cache::linear((seq + history).next_multiple_of(32) + 32).expect("whole groups");
    with_cache(HIDDEN, seq, history, cache)
}

/// A local layer's.
#[cfg(not(debug_assertions))]
fn local(seq: usize, history: usize, window: usize) -> AttentionLayer {
    let ring = npu_package::layout::KvRing::new(window, seq).expect("a legal ring");
    with_cache(HIDDEN, seq, history, Cache::Ring(ring))
}

/// Inputs of a dispatch, and what the kernels of its phases make of them.
struct Chain {
    x: Case,
    o: Case,
    norms: Vec<u8>,
    rotations: Vec<u8>,
    cache: Vec<u8>,
    /// Name, contents.
    expected: Vec<(&'static str, Vec<u8>)>,
    cycles: Vec<(&'static str, u64)>,
}

fn projection(case: &Case) -> (Vec<u8>, u64) {
    let shape = ProjectionShape::with_activations(case.shape.seq(), *case.shape.panels(), case.shape.activations());
    let projection = Projection::of(shape.expect("legal"), WeightScales::PerChannel).expect("its records fit");
    let compiled = projection.compile().expect("the kernel compiles");
    let mut loaded = Loaded::new(&Binary::from(&compiled), None).expect("the PDI loads");
    case.write_to(&mut loaded).expect("the inputs fit");
    let cycles = loaded.run().expect("the kernel runs").report.cycles;
    (bytes(&case.read_from(&loaded).expect("every output was written")), cycles)
}

impl Chain {
    fn new(layer: &AttentionLayer, seed: u64) -> Self {
        let [qkv, o] = layer.projections();
        let x = Case::random(*qkv, seed).expect("a random case");
        let mut o = Case::random(*o, seed + 1).expect("a random case");
        let (qkv, qkv_cycles) = projection(&x);

        let record = HeadNorm::new(D).expect("heads of 128");
        let mut norms = vec![0; 2 * record.bytes()];
        let scale = std::f64::consts::LOG2_E / 168f64.sqrt();
        for (i, (scale, out)) in [scale, 1.0].into_iter().zip(norms.chunks_exact_mut(record.bytes())).enumerate() {
            let weights: Vec<f64> = (0..D).map(|d| ((d + 3 * i) % 7) as f64 / 8.0 - 0.25).collect();
            record.fill(&weights, scale, out).expect("a record");
        }
        let attention = layer.attention();
        let table = RopeTable::new(D, 1e4, 1.0, RopeLimbs::Two).expect("a rotation");
        let mut rotations = vec![0; table.bytes(layer.call().tables()).expect("a table")];
        table.fill(attention.history(), &mut rotations).expect("records");
        let cache = bytes(&activations(seed + 2, attention.cache_bytes() / 2));

        let compiled = norm_rope::compile(std::slice::from_ref(layer.call())).expect("norm_rope compiles");
        let compiled = Compiled { operands: layer.operands(), ..compiled };
        let mut loaded = Loaded::new(&Binary::from(&compiled), None).expect("the PDI loads");
        for (name, data) in [("qkv", &qkv), ("norms", &norms), ("rotations", &rotations), ("cache", &cache)] {
            loaded.write(name, data).expect("an operand fits");
        }
        let norm_cycles = loaded.run().expect("norm_rope runs").report.cycles;
        let (q, new_cache) = (loaded.read("q").expect("q"), loaded.read("cache").expect("the cache"));

        let compiled = attention.compile().expect("scaled_attention compiles");
        let mut loaded = Loaded::new(&Binary::from(&compiled), None).expect("the PDI loads");
        for (name, data) in [("q", &q), ("cache", &new_cache), ("plan", &layer.plan())] {
            loaded.write(name, data).expect("an operand fits");
        }
        let attention_cycles = loaded.run().expect("scaled_attention runs").report.cycles;
        let ctx = loaded.read("ctx").expect("every context was written");

        o.x = ctx.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let (y, o_cycles) = projection(&o);
        let expected = vec![("qkv", qkv), ("q", q), ("cache", new_cache), ("ctx", ctx), ("o", y)];
        let cycles =
            vec![("qkv", qkv_cycles), ("norm_rope", norm_cycles), ("attention", attention_cycles), ("o", o_cycles)];
        Self { x, o, norms, rotations, cache, expected, cycles }
    }

    fn load(&self, layer: &AttentionLayer, compiled: &Compiled) -> Loaded {
        let mut loaded = Loaded::new(&Binary::from(compiled), None).expect("the PDI loads");
        for (name, data) in [
            ("x", &self.x.x_bytes()),
            ("qkv_weights", &self.x.packed),
            ("norms", &self.norms),
            ("rotations", &self.rotations),
            ("plan", &layer.plan()),
            ("o_weights", &self.o.packed),
        ] {
            loaded.write(name, data).expect("an operand fits");
        }
        loaded
    }

    /// Two dispatches in a row; the second finds the array as the first did.
    fn check(&self, layer: AttentionLayer, extent: Extent) {
        self.dispatch(layer, extent, 2);
    }

    /// Dispatches in a row of the phases that `extent` names. Cycles of the last, and of the kernels of its phases.
    fn dispatch(&self, layer: AttentionLayer, extent: Extent, dispatches: usize) -> [u64; 2] {
        let layer = layer.with_extent(extent).expect("legal phases");
        let (compiled, of_phases) = layer.compile_in_phases().unwrap_or_else(|error| panic!("{error}"));
        println!("{}: {:?}", compiled.kernel, compiled.usage);
        let (given, phases): (&[&str], &[&str]) = match extent {
            Extent::Whole => (&[], &["qkv", "norm_rope", "attention", "o"]),
            Extent::Projections => (&["ctx"], &["qkv", "norm_rope", "o"]),
            Extent::Attention => (&["qkv", "o"], &["norm_rope", "attention"]),
        };
        let mut loaded = self.load(&layer, &compiled);
        let mut taken = [0; 2];
        for dispatch in 1..=dispatches {
            loaded.write("cache", &self.cache).expect("the cache fits");
            for (name, data) in self.expected.iter().filter(|(name, _)| given.contains(name)) {
                loaded.write(name, data).expect("what is given fits");
            }
            let report = loaded.run().unwrap_or_else(|fault| panic!("dispatch {dispatch}: {fault:#}")).report;
            let cycles = report.cycles;
            let ends: Vec<u64> = of_phases.iter().map(|phase| report.op_ends[phase.operations - 1]).collect();
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let each: Vec<_> =
                of_phases.iter().zip(starts).zip(&ends).map(|((p, from), to)| (p.name, to - from)).collect();
            assert_eq!(ends.last(), Some(&cycles), "the last phase ends with the dispatch");
            for (name, data) in &self.expected {
                let found = loaded.read(name).expect("it was written");
                assert!(found == *data, "dispatch {dispatch}, S = {}: {name}", layer.attention().seq());
            }
            let apart: Vec<_> = self.cycles.iter().filter(|(phase, _)| phases.contains(phase)).collect();
            let sum: u64 = apart.iter().map(|(_, cycles)| cycles).sum();
            let (seq, history) = (layer.attention().seq(), layer.attention().history());
            println!("S = {seq} behind {history}: {cycles} cycles: {each:?}, apart {sum}: {apart:?}");
            taken = [cycles, sum];
        }
        taken
    }
}

#[test]
fn projections_and_norms_share_the_array() {
    let layer = layer(17, 0);
    Chain::new(&layer, 1).check(layer, Extent::Projections);
}

#[test]
fn norms_and_attention_share_the_array() {
    for (seq, history) in [(17, 0), (17, 40), (296, 0)] {
        let layer = layer(seq, history);
        Chain::new(&layer, seq as u64).check(layer, Extent::Attention);
    }
    // 37 groups and a tail: an even number of segments
    let refused = layer(300, 0).with_extent(Extent::Attention).expect_err("a refusal");
    assert!(matches!(refused, KernelError::Refused { found: 38, .. }), "{refused}");
}

#[test]
fn all_phases_share_the_array() {
    let layer = layer(17, 0);
    Chain::new(&layer, 3).check(layer, Extent::Whole);
}

#[test]
#[cfg(not(debug_assertions))]
fn ragged_rows_behind_a_history_share_the_array() {
    let layer = layer(300, 40);
    Chain::new(&layer, 4).check(layer, Extent::Whole);
}

#[test]
#[cfg(not(debug_assertions))]
fn a_window_shares_the_array() {
    let layer = local(300, 1000, 1024);
    Chain::new(&layer, 5).check(layer, Extent::Whole);
}

#[test]
#[cfg(not(debug_assertions))]
fn two_blocks_of_rows_share_the_array() {
    let layer = layer(512, 0);
    Chain::new(&layer, 7).check(layer, Extent::Whole);
}

/// At the dimensions of 27B: what the controller writes between phases costs no more than the starts that phases save each other.
#[test]
#[cfg(not(debug_assertions))]
fn a_prompt_takes_as_long_as_kernel_after_kernel() {
    let cache = Cache::linear(512).expect("whole groups");
    let layer = with_cache(5376, 512, 0, cache);
    let [found, apart] = Chain::new(&layer, 6).dispatch(layer, Extent::Whole, 1);
    assert!(found <= apart, "{found} cycles, apart {apart}");
}

#[test]
fn what_no_phase_serves_is_refused() {
    let (qkv, o) = panels(HIDDEN);
    let cache = || Cache::linear(64).expect("whole groups");
    let refused =
        |qkv, o, heads| AttentionLayer::new(17, 0, qkv, o, Activations::Int16, heads, cache()).expect_err("a refusal");
    let few = KvHeads::new(8, D, KvFormat::Bf16).expect("legal heads");
    let error = refused(qkv, o, few);
    assert!(matches!(error, KernelError::Refused { needed: 16, found: 8, .. }), "{error}");
    let bits = AttentionLayer::new(17, 0, qkv, o, Activations::Int8, heads(KvFormat::Bf16), cache());
    let error = bits.expect_err("a refusal");
    assert!(matches!(error, KernelError::Refused { needed: 2, found: 1, .. }), "{error}");
    let narrow = Panels::new(HIDDEN, 2048, 1024, 1024).expect("legal dimensions");
    let error = refused(narrow, o, heads(KvFormat::Bf16));
    assert!(matches!(error, KernelError::Refused { needed: 4096, found: 2048, .. }), "{error}");
    let error = refused(qkv, o, heads(KvFormat::Int8));
    assert!(matches!(error, KernelError::NormRope(Refusal::Format { .. })), "{error}");
    let other = Panels::output(4096, 512).expect("legal dimensions");
    let error = refused(qkv, other, heads(KvFormat::Bf16));
    assert!(matches!(error, KernelError::PhasesDisagree { .. }), "{error}");
}
