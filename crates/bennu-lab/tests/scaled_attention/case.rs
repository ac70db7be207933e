//! Operands of one dispatch, the run, and what it is compared with.

use std::sync::OnceLock;

use aie2_kernels::Compiled;
use aie2_kernels::attention::scaled::{Cache, HEAD_DIM, QUERY_HEADS, ScaledAttention};
use bennu_lab::machine::{Binary, Loaded, Ran};
use npu_container::txn;
use npu_package::layout::{KvFormat, KvRing, Plane};
use oracle::attention::{HeadProblem, Precision, relative_error};
use oracle::data::activations;
use oracle::flash::Coded;
use oracle::fp::{bf16_rne, widen};
use oracle::kv_int8;
use oracle::mask::Mask;
use oracle::model::AttentionConfig;

/// Bytes per second: four a cycle on each of the eight channels.
pub const DDR: f64 = 32.9e9;

fn format(kernel: &ScaledAttention) -> KvFormat {
    kernel.cache_segment().heads().format()
}

/// Everything but the runtime stream is the same for all instances of a format.
pub fn compiled(kernel: &ScaledAttention) -> Compiled {
    static ALL: [OnceLock<Compiled>; 2] = [const { OnceLock::new() }; 2];
    let one = &ALL[usize::from(format(kernel) == KvFormat::Int8)];
    let one = one.get_or_init(|| kernel.compile().expect("the kernel compiles"));
    let stream = kernel.stream().expect("the stream can be built");
    let mut compiled = one.clone();
    compiled.txn = txn::write(&txn::Header::npu1(one.columns), &stream.ops);
    compiled.operands = kernel.operands();
    compiled
}

/// q `[S][2 H][128]`, k and v `[H][positions][128]`.
pub struct Case {
    pub kernel: ScaledAttention,
    pub q: Vec<u16>,
    pub k: Vec<u16>,
    pub v: Vec<u16>,
    /// What an INT8 cache holds of k and of v: codes, and scales of the rows.
    codes: [(Vec<i8>, Vec<f32>); 2],
}

pub fn bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn wide(x: &[u16]) -> Vec<f64> {
    x.iter().map(|v| f64::from(widen(*v))).collect()
}

/// `[2][S][128]` of `[S][2][128]`.
fn by_head(x: &[f64]) -> Vec<f64> {
    let row = |h: usize, token: usize| &x[(QUERY_HEADS * token + h) * HEAD_DIM..][..HEAD_DIM];
    let tokens = x.len() / (QUERY_HEADS * HEAD_DIM);
    (0..QUERY_HEADS).flat_map(|h| (0..tokens).flat_map(move |token| row(h, token).to_vec())).collect()
}

/// Something of keys or values: of those before they became codes, of what an INT8 cache holds, of the operands of products.
pub struct Stages<T> {
    pub before: T,
    pub cached: T,
    pub operands: T,
}

impl Case {
    /// Operands as given.
    pub fn new(kernel: ScaledAttention, q: Vec<u16>, k: Vec<u16>, v: Vec<u16>) -> Self {
        let codes = [&k, &v].map(|x| {
            if format(&kernel) == KvFormat::Bf16 {
                return (Vec::new(), Vec::new());
            }
            let (codes, scales): (Vec<_>, Vec<_>) = x.chunks_exact(HEAD_DIM).map(kv_int8::codes).unzip();
            (codes.concat(), scales)
        });
        Self { kernel, q, k, v, codes }
    }

    /// Scores of deviation `octaves`.
    pub fn random(kernel: ScaledAttention, octaves: f32, seed: u64) -> Self {
        let (tokens, heads) = (kernel.seq(), kernel.kv_heads());
        let positions = kernel.history() + tokens;
        let scale = octaves / (HEAD_DIM as f32).sqrt();
        let q = activations(seed, tokens * heads * QUERY_HEADS * HEAD_DIM);
        let q = q.into_iter().map(|q| bf16_rne(widen(q) * scale)).collect();
        let rows = |seed| activations(seed, heads * positions * HEAD_DIM);
        Self::new(kernel, q, rows(seed + 1), rows(seed + 2))
    }

    /// The same cache met by other queries.
    fn with_queries(&self, q: Vec<u16>) -> Self {
        Self { kernel: self.kernel.clone(), q, k: self.k.clone(), v: self.v.clone(), codes: self.codes.clone() }
    }

    fn coded(&self) -> bool {
        format(&self.kernel) == KvFormat::Int8
    }

    fn positions(&self) -> usize {
        self.kernel.history() + self.kernel.seq()
    }

    fn mask(&self) -> Mask {
        self.kernel.window().map_or(Mask::causal(), Mask::sliding)
    }

    /// The cache: positions in order, later ones over earlier ones; every other slot holds something finite.
    pub fn cache(&self) -> Vec<u8> {
        let (kernel, segment) = (&self.kernel, self.kernel.cache_segment());
        let mut cache = bytes(&activations(99, kernel.cache_bytes() / 2));
        for position in 0..self.positions() {
            let (page, slot) = kernel.locate(position);
            let page = page * segment.bytes();
            for head in 0..kernel.kv_heads() {
                let row = head * self.positions() + position;
                let element = |plane, d| page + segment.offset(plane, head, slot, d);
                if let [Some(key), Some(value)] =
                    [Plane::Key, Plane::Value].map(|p| segment.scale_offset(p, head, slot))
                {
                    for ((plane, scale), (codes, scales)) in
                        [(Plane::Key, key), (Plane::Value, value)].into_iter().zip(&self.codes)
                    {
                        (0..HEAD_DIM).for_each(|d| cache[element(plane, d)] = codes[row * HEAD_DIM + d] as u8);
                        cache[page + scale..][..4].copy_from_slice(&scales[row].to_le_bytes());
                    }
                    continue;
                }
                for d in 0..HEAD_DIM {
                    for (plane, values) in [(Plane::Key, &self.k), (Plane::Value, &self.v)] {
                        let at = element(plane, d);
                        cache[at..at + 2].copy_from_slice(&values[row * HEAD_DIM + d].to_le_bytes());
                    }
                }
            }
        }
        cache
    }

    pub fn run(&self, ddr: Option<f64>) -> (Vec<u16>, Ran) {
        let mut loaded = Loaded::new(&Binary::from(&compiled(&self.kernel)), ddr).expect("the PDI loads");
        loaded.write("q", &bytes(&self.q)).expect("q fits");
        loaded.write("cache", &self.cache()).expect("the cache fits");
        loaded.write("plan", &self.kernel.plan()).expect("the plan fits");
        let ran = loaded.run().unwrap_or_else(|fault| panic!("S = {}: {fault:#}", self.kernel.seq()));
        (halves(&loaded.read("ctx").expect("every context was written")), ran)
    }

    fn head<'a, T>(&self, of: &'a [T], head: usize, width: usize) -> &'a [T] {
        let len = self.positions() * width;
        &of[head * len..][..len]
    }

    /// Queries, or contexts, of one key-value head: `[S][2][128]`.
    fn rows(&self, of: &[u16], head: usize) -> Vec<u16> {
        let width = QUERY_HEADS * HEAD_DIM;
        of.chunks_exact(self.kernel.kv_heads() * width).flat_map(|row| row[head * width..][..width].to_vec()).collect()
    }

    fn specified(&self, head: usize) -> Vec<u16> {
        let q = self.rows(&self.q, head);
        if !self.coded() {
            let [k, v] = [&self.k, &self.v].map(|x| self.head(x, head, HEAD_DIM));
            return oracle::flash::head(&q, QUERY_HEADS, k, v, &self.mask());
        }
        let [k, v] = self.codes.each_ref().map(|(codes, scales)| Coded {
            codes: self.head(codes, head, HEAD_DIM),
            scales: self.head(scales, head, 1),
        });
        oracle::flash::head_coded(&q, QUERY_HEADS, k, v, &self.mask())
    }

    /// Compares heads with the specification.
    pub fn same(&self, ctx: &[u16]) {
        self.same_heads(ctx, 0..self.kernel.kv_heads());
    }

    /// Two dispatches one after the other, of other queries each, are equal to the specification.
    pub fn same_twice(&self) {
        let mut loaded = Loaded::new(&Binary::from(&compiled(&self.kernel)), None).expect("the PDI loads");
        loaded.write("cache", &self.cache()).expect("the cache fits");
        loaded.write("plan", &self.kernel.plan()).expect("the plan fits");
        for turn in 0..2 {
            let mut q = self.q.clone();
            q.rotate_left(turn * 4 * HEAD_DIM);
            loaded.write("q", &bytes(&q)).expect("q fits");
            loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
            self.with_queries(q).same(&halves(&loaded.read("ctx").expect("every context was written")));
        }
    }

    /// Compares some of them.
    pub fn same_heads(&self, ctx: &[u16], heads: impl IntoIterator<Item = usize>) {
        for head in heads {
            let (want, got) = (self.specified(head), self.rows(ctx, head));
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

    /// Relative Frobenius error of all heads against float64 from keys and values.
    fn error_from(&self, ctx: &[u16], k: &[f64], v: &[f64]) -> f64 {
        let (mut got, mut exact) = (Vec::new(), Vec::new());
        for head in 0..self.kernel.kv_heads() {
            got.extend(by_head(&wide(&self.rows(ctx, head))));
            let problem = HeadProblem {
                head_dim: HEAD_DIM,
                mask: self.mask(),
                scale: std::f64::consts::LN_2,
                q: by_head(&wide(&self.rows(&self.q, head))),
                group: QUERY_HEADS,
                k: self.head(k, head, HEAD_DIM).to_vec(),
                v: self.head(v, head, HEAD_DIM).to_vec(),
            };
            exact.extend(problem.direct(Precision::Exact));
        }
        relative_error(&got, &exact)
    }

    /// Relative error against float64 from the bfloat16 keys and values.
    pub fn error(&self, ctx: &[u16]) -> f64 {
        self.error_from(ctx, &wide(&self.k), &wide(&self.v))
    }

    /// The same from what an INT8 cache holds, and from the operands that this becomes.
    pub fn errors_of_codes(&self, ctx: &[u16]) -> Stages<f64> {
        let [k, v] = self.stages();
        let error = |k: &[f64], v: &[f64]| self.error_from(ctx, k, v);
        Stages {
            before: error(&k.before, &v.before),
            cached: error(&k.cached, &v.cached),
            operands: error(&k.operands, &v.operands),
        }
    }

    /// Keys and values, element by element.
    pub fn stages(&self) -> [Stages<Vec<f64>>; 2] {
        let of = |(x, (codes, scales)): (&[u16], &(Vec<i8>, Vec<f32>))| {
            let each = |value: &dyn Fn(i8, f32) -> f64| -> Vec<f64> {
                let rows = codes.chunks_exact(HEAD_DIM).zip(scales);
                rows.flat_map(|(codes, scale)| codes.iter().map(|code| value(*code, *scale))).collect()
            };
            let operand = |code, scale| f64::from(widen(kv_int8::operand(code, scale)));
            Stages { before: wide(x), cached: each(&kv_int8::value), operands: each(&operand) }
        };
        let [k, v] = &self.codes;
        [of((&self.k, k)), of((&self.v, v))]
    }

    /// Cycles on the pairs that are seen, as a share of what the multipliers can do.
    pub fn utilisation(&self, name: &str, ran: &Ran) -> f64 {
        let (kernel, first) = (&self.kernel, self.kernel.history());
        let pairs = self.mask().pairs(first..first + kernel.seq());
        let macs = pairs * (2 * QUERY_HEADS * HEAD_DIM * kernel.kv_heads()) as u64;
        let share = macs as f64 / (ran.report.cycles as f64 * 2048.0);
        let cores = &ran.report.cores;
        let sum = |f: &dyn Fn(&aie2_sim::report::Stalls) -> u64| cores.iter().map(|c| f(&c.stalls)).sum::<u64>() / 16;
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
        share
    }
}

/// A cache in order that just holds all positions.
pub fn global(format: KvFormat, seq: usize, history: usize, kv_heads: usize) -> ScaledAttention {
    let slots = (history + seq).next_multiple_of(8);
    against(format, seq, history, kv_heads, Cache::linear(slots).expect("whole groups"))
}

/// A window over a ring.
pub fn local(format: KvFormat, seq: usize, history: usize, kv_heads: usize, ring: (usize, usize)) -> ScaledAttention {
    let (window, chunk) = ring;
    against(format, seq, history, kv_heads, Cache::Ring(KvRing::new(window, chunk).expect("a legal ring")))
}

/// Any legal shape.
pub fn against(format: KvFormat, seq: usize, history: usize, kv_heads: usize, cache: Cache) -> ScaledAttention {
    let new = match format {
        KvFormat::Bf16 => ScaledAttention::new,
        KvFormat::Int8 => ScaledAttention::kv8,
    };
    new(seq, history, kv_heads, cache).expect("a legal shape")
}

/// Inputs that are hard on a softmax or on masks, by name.
pub fn adversarial(format: KvFormat) -> impl Iterator<Item = (&'static str, Case)> {
    oracle::cases::adversarial(&AttentionConfig::gemma3_27b()).into_iter().map(move |of| {
        let problem = of.problem;
        let (tokens, history) = (problem.queries(), problem.history());
        let kernel = if problem.mask == Mask::causal() {
            global(format, tokens, history, 1)
        } else {
            local(format, tokens, history, 1, (1024, tokens))
        };
        let narrow = |x: &[f64]| -> Vec<u16> { x.iter().map(|v| bf16_rne(*v as f32)).collect() };
        let scaled: Vec<f64> = problem.q.iter().map(|q| q * problem.scale * std::f64::consts::LOG2_E).collect();
        // [head][token] to [token][head]
        let row = |token: usize, h: usize| scaled[(h * tokens + token) * HEAD_DIM..][..HEAD_DIM].to_vec();
        let pairs = (0..tokens).flat_map(|token| (0..QUERY_HEADS).map(move |h| (token, h)));
        let q: Vec<f64> = pairs.flat_map(|(token, h)| row(token, h)).collect();
        (of.name, Case::new(kernel, narrow(&q), narrow(&problem.k), narrow(&problem.v)))
    })
}
