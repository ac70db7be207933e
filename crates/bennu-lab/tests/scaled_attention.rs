//! `scaled_attention` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::flash::head` and to half a percent against
//! float64.

use std::sync::OnceLock;

use aie2_kernels::attention::scaled::{AttentionError, Cache, HEAD_DIM, QUERY_HEADS, SEQ_MAX, ScaledAttention};
use aie2_kernels::{Compiled, KernelError};
use bennu_lab::machine::{Binary, Intended, Loaded, Ran, clock_hz};
use npu_container::txn;
use npu_package::layout::{KvPages, KvRing, Plane};
use oracle::attention::{HeadProblem, Precision, relative_error};
use oracle::data::{Rng, activations};
use oracle::fp::{bf16_rne, widen};
use oracle::mask::Mask;

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

fn binary(compiled: &Compiled) -> Binary {
    Binary {
        pdi: compiled.pdi.clone(),
        txn: compiled.txn.clone(),
        cores: compiled
            .cores
            .iter()
            .map(|(&(col, row), core)| Intended {
                tile: [col, row],
                early_reads: core.early_reads.clone(),
                partial_locks: core.partial_locks.clone(),
            })
            .collect(),
        buffers: compiled.operands.iter().map(|o| (o.name.to_owned(), o.bytes)).collect(),
    }
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
        let mut loaded = Loaded::new(&binary(&compiled(&self.kernel)), ddr).expect("the PDI loads");
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
    let sum = |f: &dyn Fn(&aie2_sim::report::Stalls) -> u64| ran.report.cores.iter().map(|c| f(&c.stalls)).sum::<u64>() / 16;
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

const DDR: f64 = 32.9e9;

#[test]
fn two_thousand_positions_keep_half_of_the_multiplier_busy() {
    let program = ScaledAttention::program().expect("it compiles");
    println!("program: {} bytes", program.bytes.len());
    let case = Case::random(global(2048, 0, 1), 3.0, 20);
    for (name, ddr) in [("S = 2048, global", None), ("S = 2048, global, 32.9 GB/s", Some(DDR))] {
        let share = utilisation(name, &case, ddr);
        assert!(share >= 0.5, "{name}: {share}");
    }
    let case = Case::random(local(2048, 0, 1, 1024, 2048), 3.0, 21);
    for (name, ddr) in [("S = 2048, local", None), ("S = 2048, local, 32.9 GB/s", Some(DDR))] {
        utilisation(name, &case, ddr);
    }
    let case = Case::random(global(512, 0, 2), 3.0, 22);
    utilisation("S = 512, global", &case, None);
}

#[test]
fn quick() {
    for (seq, heads) in [(256, 1), (256, 2), (256, 4), (512, 1), (1024, 1)] {
        let case = Case::random(global(seq, 0, heads), 3.0, 20);
        let (_, ran) = case.run(None);
        let c = ran.report.cores.last().expect("cores");
        println!("quick {seq} {heads} {} cycles: {:?} {} {:?} {}", ran.report.cycles, c.tile, c.bundles, c.stalls, c.vmacs);
    }
}
