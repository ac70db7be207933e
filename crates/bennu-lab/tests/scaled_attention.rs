//! `scaled_attention` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::flash::head` and to half a percent against
//! float64.

use std::sync::OnceLock;

use aie2_kernels::attention::scaled::{AttentionError, Cache, HEAD_DIM, QUERY_HEADS, SEQ_MAX, ScaledAttention};
use aie2_kernels::{Compiled, KernelError};
use bennu_lab::machine::{Binary, Loaded, Ran};
use npu_container::txn;
use npu_package::layout::{KvPages, KvRing, Plane};
use oracle::attention::{HeadProblem, Precision, relative_error};
use oracle::data::activations;
use oracle::fp::{bf16_rne, widen};
use oracle::mask::Mask;
use oracle::model::AttentionConfig;
use oracle::outliers::{Scene, hidden_states};

/// Everything but the runtime stream is the same for all instances.
fn compiled(kernel: &ScaledAttention) -> Compiled {
    static ONE: OnceLock<Compiled> = OnceLock::new();
    let one = ONE.get_or_init(|| kernel.compile().expect("the kernel compiles"));
    let stream = kernel.stream().expect("the stream can be built");
    let mut compiled = one.clone();
    compiled.txn = txn::write(&txn::Header::npu1(one.columns), &stream.ops);
    compiled.operands = kernel.operands();
    compiled
}

/// Operands of one dispatch: q `[S][2 H][128]`, k and v `[H][positions][128]`.
struct Case {
    kernel: ScaledAttention,
    q: Vec<u16>,
    k: Vec<u16>,
    v: Vec<u16>,
}

fn bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

impl Case {
    /// Scores of deviation `octaves`.
    fn random(kernel: ScaledAttention, octaves: f32, seed: u64) -> Self {
        let (tokens, heads) = (kernel.seq(), kernel.kv_heads());
        let positions = kernel.history() + tokens;
        let scale = octaves / (HEAD_DIM as f32).sqrt();
        let q = activations(seed, tokens * heads * QUERY_HEADS * HEAD_DIM);
        Self {
            q: q.into_iter().map(|q| bf16_rne(widen(q) * scale)).collect(),
            k: activations(seed + 1, heads * positions * HEAD_DIM),
            v: activations(seed + 2, heads * positions * HEAD_DIM),
            kernel,
        }
    }

    fn positions(&self) -> usize {
        self.kernel.history() + self.kernel.seq()
    }

    fn mask(&self) -> Mask {
        self.kernel.window().map_or(Mask::causal(), Mask::sliding)
    }

    /// The cache: positions in order, later ones over earlier ones; every other slot holds something finite.
    fn cache(&self) -> Vec<u8> {
        let (kernel, segment) = (&self.kernel, self.kernel.cache_segment());
        let mut cache = bytes(&activations(99, kernel.cache_bytes() / 2));
        for position in 0..self.positions() {
            let (page, slot) = kernel.locate(position);
            for head in 0..kernel.kv_heads() {
                for d in 0..HEAD_DIM {
                    let from = (head * self.positions() + position) * HEAD_DIM + d;
                    for (plane, values) in [(Plane::Key, &self.k), (Plane::Value, &self.v)] {
                        let at = page * segment.bytes() + segment.offset(plane, head, slot, d);
                        cache[at..at + 2].copy_from_slice(&values[from].to_le_bytes());
                    }
                }
            }
        }
        cache
    }

    fn run(&self, ddr: Option<f64>) -> (Vec<u16>, Ran) {
        let mut loaded = Loaded::new(&Binary::from(&compiled(&self.kernel)), ddr).expect("the PDI loads");
        loaded.write("q", &bytes(&self.q)).expect("q fits");
        loaded.write("cache", &self.cache()).expect("the cache fits");
        loaded.write("plan", &self.kernel.plan()).expect("the plan fits");
        let ran = loaded.run().unwrap_or_else(|fault| panic!("S = {}: {fault:#}", self.kernel.seq()));
        (halves(&loaded.read("ctx").expect("every context was written")), ran)
    }

    fn head<'a>(&self, of: &'a [u16], head: usize) -> &'a [u16] {
        let len = self.positions() * HEAD_DIM;
        &of[head * len..][..len]
    }

    /// Queries, or contexts, of one key-value head: `[S][2][128]`.
    fn rows(&self, of: &[u16], head: usize) -> Vec<u16> {
        let width = QUERY_HEADS * HEAD_DIM;
        of.chunks_exact(self.kernel.kv_heads() * width).flat_map(|row| row[head * width..][..width].to_vec()).collect()
    }

    /// Compares heads with the specification.
    fn same(&self, ctx: &[u16]) {
        for head in 0..self.kernel.kv_heads() {
            let q = self.rows(&self.q, head);
            let want =
                oracle::flash::head(&q, QUERY_HEADS, self.head(&self.k, head), self.head(&self.v, head), &self.mask());
            let got = self.rows(ctx, head);
            let differs: Vec<usize> = (0..want.len()).filter(|&i| want[i] != got[i]).collect();
            assert!(
                differs.is_empty(),
                "S = {}, head {head}: {} of {} contexts differ, the first at position {}, head {}, d {}: {:#06x} for {:#06x}",
                self.kernel.seq(),
                differs.len(),
                want.len(),
                differs[0] / (QUERY_HEADS * HEAD_DIM),
                differs[0] / HEAD_DIM % QUERY_HEADS,
                differs[0] % HEAD_DIM,
                got[differs[0]],
                want[differs[0]],
            );
        }
    }

    /// Relative Frobenius error of all heads against float64.
    fn error(&self, ctx: &[u16]) -> f64 {
        let tokens = self.kernel.seq();
        let wide = |x: &[u16]| -> Vec<f64> { x.iter().map(|v| f64::from(widen(*v))).collect() };
        let by_head = |x: &[f64]| -> Vec<f64> {
            let row = |h: usize, token: usize| &x[(QUERY_HEADS * token + h) * HEAD_DIM..][..HEAD_DIM];
            (0..QUERY_HEADS).flat_map(|h| (0..tokens).flat_map(move |token| row(h, token).to_vec())).collect()
        };
        let (mut got, mut exact) = (Vec::new(), Vec::new());
        for head in 0..self.kernel.kv_heads() {
            got.extend(by_head(&wide(&self.rows(ctx, head))));
            let problem = HeadProblem {
                head_dim: HEAD_DIM,
                mask: self.mask(),
                scale: std::f64::consts::LN_2,
                q: by_head(&wide(&self.rows(&self.q, head))),
                group: QUERY_HEADS,
                k: wide(self.head(&self.k, head)),
                v: wide(self.head(&self.v, head)),
            };
            exact.extend(problem.direct(Precision::Exact));
        }
        relative_error(&got, &exact)
    }

    fn check(&self) {
        let (ctx, _) = self.run(None);
        self.same(&ctx);
        let error = self.error(&ctx);
        assert!(error <= 0.005, "S = {}: {error}", self.kernel.seq());
    }
}

fn global(seq: usize, history: usize, kv_heads: usize) -> ScaledAttention {
    let slots = (history + seq).next_multiple_of(8);
    ScaledAttention::new(seq, history, kv_heads, Cache::linear(slots).expect("whole groups")).expect("a legal shape")
}

fn local(seq: usize, history: usize, kv_heads: usize, window: usize, chunk: usize) -> ScaledAttention {
    let ring = KvRing::new(window, chunk).expect("a legal ring");
    ScaledAttention::new(seq, history, kv_heads, Cache::Ring(ring)).expect("a legal shape")
}

#[test]
fn one_position() {
    Case::random(global(1, 0, 1), 3.0, 1).check();
}

#[test]
fn ragged_positions() {
    Case::random(global(17, 0, 2), 3.0, 2).check();
}

#[test]
fn a_whole_group() {
    Case::random(global(256, 0, 1), 3.0, 3).check();
}

#[test]
fn a_group_and_a_ragged_one_of_eight_heads() {
    Case::random(global(300, 0, 8), 3.0, 4).check();
}

#[test]
fn histories() {
    Case::random(global(40, 5, 2), 3.0, 5).check();
    Case::random(global(40, 1000, 1), 3.0, 6).check();
}

#[test]
fn a_window_that_ends_within_a_block() {
    Case::random(local(300, 0, 1, 100, 300), 3.0, 7).check();
    Case::random(local(40, 1000, 1, 100, 64), 3.0, 8).check();
    Case::random(local(40, 5, 1, 7, 40), 3.0, 9).check();
}

#[test]
fn the_edge_of_a_window_of_1024() {
    Case::random(local(40, 1010, 1, 1024, 512), 3.0, 10).check();
    Case::random(local(5, 1023, 4, 1024, 8), 3.0, 11).check();
}

#[test]
fn a_ring_that_wraps_inside_a_block() {
    let kernel = local(70, 130, 4, 50, 72);
    assert!((130 - 49..200).any(|p| p % kernel.cache_segment().slots() == 0), "the reads wrap");
    Case::random(kernel, 3.0, 12).check();
}

#[test]
fn pages_out_of_order() {
    let pages = KvPages::new(40).expect("whole groups");
    let cache = Cache::Pages { pages, pool: 9, table: vec![7, 0, 3, 8, 1, 2, 4] };
    Case::random(ScaledAttention::new(100, 150, 4, cache).expect("a legal shape"), 3.0, 13).check();
}

fn utilisation(name: &str, case: &Case, ddr: Option<f64>) -> f64 {
    let (ctx, ran) = case.run(ddr);
    let kernel = &case.kernel;
    let first = kernel.history();
    let pairs = case.mask().pairs(first..first + kernel.seq());
    let macs = pairs * (2 * QUERY_HEADS * HEAD_DIM * kernel.kv_heads()) as u64;
    let share = macs as f64 / (ran.report.cycles as f64 * 2048.0);
    let sum =
        |f: &dyn Fn(&aie2_sim::report::Stalls) -> u64| ran.report.cores.iter().map(|c| f(&c.stalls)).sum::<u64>() / 16;
    println!(
        "{name}: {} cycles, {:.1} % of BF16 peak, read {:.1} MB, stalls a core: lock {}, own {}, dma {}; {:.1} s; modelled",
        ran.report.cycles,
        100.0 * share,
        ran.report.ddr_read_bytes() as f64 / 1e6,
        sum(&|s| s.lock),
        sum(&|s| s.own),
        sum(&|s| s.dma_bank),
        ran.wall_s,
    );
    assert_eq!(ctx.len(), case.q.len());
    share
}

/// Bytes per second: four a cycle on each of the eight channels.
const DDR: f64 = 32.9e9;

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
    let case = Case::random(global(33, 15, 1), 3.0, 23);
    let mut loaded = Loaded::new(&Binary::from(&compiled(&case.kernel)), None).expect("the PDI loads");
    loaded.write("cache", &case.cache()).expect("the cache fits");
    loaded.write("plan", &case.kernel.plan()).expect("the plan fits");
    for turn in 0..2 {
        let mut q = case.q.clone();
        q.rotate_left(turn * 4 * HEAD_DIM);
        loaded.write("q", &bytes(&q)).expect("q fits");
        loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
        let case = Case { q, kernel: case.kernel.clone(), k: case.k.clone(), v: case.v.clone() };
        case.same(&halves(&loaded.read("ctx").expect("every context was written")));
    }
}

#[test]
fn adversarial_inputs() {
    for oracle::cases::Case { name, problem } in oracle::cases::adversarial(&AttentionConfig::gemma3_27b()) {
        let (tokens, history) = (problem.queries(), problem.history());
        let sees_all = problem.mask == Mask::causal();
        let kernel = if sees_all { global(tokens, history, 1) } else { local(tokens, history, 1, 1024, tokens) };
        let narrow = |x: &[f64]| -> Vec<u16> { x.iter().map(|v| bf16_rne(*v as f32)).collect() };
        let scaled: Vec<f64> = problem.q.iter().map(|q| q * problem.scale * std::f64::consts::LOG2_E).collect();
        // [head][token] to [token][head]
        let row = |token: usize, h: usize| scaled[(h * tokens + token) * HEAD_DIM..][..HEAD_DIM].to_vec();
        let pairs = (0..tokens).flat_map(|token| (0..QUERY_HEADS).map(move |h| (token, h)));
        let q: Vec<f64> = pairs.flat_map(|(token, h)| row(token, h)).collect();
        let case = Case { kernel, q: narrow(&q), k: narrow(&problem.k), v: narrow(&problem.v) };
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
        let case =
            Case { kernel, q: narrow(rows(128, 1), scale), k: narrow(rows(164, 2), 1.0), v: narrow(rows(164, 3), 1.0) };
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
