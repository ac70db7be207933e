//! `scaled_attention_kv8` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::flash::head_coded` and to two percent against
//! float64.

use std::sync::OnceLock;

use aie2_kernels::attention::scaled::{AttentionError, Cache, HEAD_DIM, QUERY_HEADS, SEQ_MAX, ScaledAttention};
use aie2_kernels::{Compiled, KernelError};
use bennu_lab::machine::{Binary, Loaded, Ran};
use npu_container::txn;
use npu_package::layout::{KvPages, KvRing, Plane};
use oracle::attention::{HeadProblem, Precision, relative_error};
use oracle::data::activations;
use oracle::flash::Coded;
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
    codes: [(Vec<i8>, Vec<f32>); 2],
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
        let k = activations(seed + 1, heads * positions * HEAD_DIM);
        let v = activations(seed + 2, heads * positions * HEAD_DIM);
        let codes = [&k, &v].map(|x| {
            let (c, s): (Vec<_>, Vec<_>) = x.chunks_exact(HEAD_DIM).map(oracle::kv_int8::codes).unzip();
            (c.concat(), s)
        });
        Self {
            codes,
            q: q.into_iter().map(|q| bf16_rne(widen(q) * scale)).collect(),
            k,
            v,
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
                let row = head * self.positions() + position;
                for (plane, (codes, scales)) in [Plane::Key, Plane::Value].into_iter().zip(&self.codes) {
                    for d in 0..HEAD_DIM {
                        let at = page * segment.bytes() + segment.offset(plane, head, slot, d);
                        cache[at] = codes[row * HEAD_DIM + d] as u8;
                    }
                    let scale = segment.scale_offset(plane, head, slot).expect("an INT8 cache has scales");
                    let at = page * segment.bytes() + scale;
                    cache[at..at + 4].copy_from_slice(&scales[row].to_le_bytes());
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

    fn coded(&self, plane: usize, head: usize) -> Coded<'_> {
        let (positions, (codes, scales)) = (self.positions(), &self.codes[plane]);
        let len = positions * HEAD_DIM;
        Coded { codes: &codes[head * len..][..len], scales: &scales[head * positions..][..positions] }
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
                oracle::flash::head_coded(&q, QUERY_HEADS, self.coded(0, head), self.coded(1, head), &self.mask());
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
        let (ctx, ran) = self.run(None);
        self.same(&ctx);
        let error = self.error(&ctx);
        println!("S = {}: {} cycles, error {:.3} %", self.kernel.seq(), ran.cycles, 100.0 * error);
        assert!(error <= 0.02, "S = {}: {error}", self.kernel.seq());
    }
}

fn global(seq: usize, history: usize, kv_heads: usize) -> ScaledAttention {
    let slots = (history + seq).next_multiple_of(8);
    ScaledAttention::kv8(seq, history, kv_heads, Cache::linear(slots).expect("whole groups")).expect("a legal shape")
}

fn local(seq: usize, history: usize, kv_heads: usize, window: usize, chunk: usize) -> ScaledAttention {
    let ring = KvRing::new(window, chunk).expect("a legal ring");
    ScaledAttention::kv8(seq, history, kv_heads, Cache::Ring(ring)).expect("a legal shape")
}

#[test]
fn ragged_positions() {
    Case::random(global(17, 0, 2), 3.0, 2).check();
}

#[test]
fn histories() {
    Case::random(global(64, 5, 2), 3.0, 5).check();
}

#[test]
fn a_group_and_a_ragged_one() {
    Case::random(global(300, 13, 4), 3.0, 4).check();
}

#[test]
fn a_ring_that_wraps_inside_a_block() {
    Case::random(local(70, 130, 4, 50, 72), 3.0, 12).check();
}

#[test]
fn pages_out_of_order() {
    let pages = KvPages::new(40).expect("whole groups");
    let cache = Cache::Pages { pages, pool: 9, table: vec![7, 0, 3, 8, 1, 2, 4] };
    Case::random(ScaledAttention::kv8(100, 150, 4, cache).expect("a legal shape"), 3.0, 13).check();
}
