//! `norm_rope` and `norm_rope_kv8` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::norm_rope` and
//! `oracle::kv_int8`, at the dimensions of the 27B.

use aie2_kernels::KernelError;
use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Call, Place, Refusal};
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::{HeadNorm, KvFormat, KvHeads, KvRing, KvSegment, Plane, RopeLimbs, RopeTable};
use oracle::data::Rng;
use oracle::fp::{bf16_rne, widen};
use oracle::kv_int8;
use oracle::norm::rms_norm;
use oracle::rope::{Pairing, Rope};
use oracle::w8a8::relative_frobenius;

const D: usize = 128;
const Q_HEADS: usize = 32;
const KV_HEADS: usize = 16;
const ROW: usize = (Q_HEADS + 2 * KV_HEADS) * D;

const LOCAL: Rope = Rope { theta: 1e4, factor: 1.0 };
const GLOBAL: Rope = Rope { theta: 1e6, factor: 8.0 };

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}
fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|h| h.to_le_bytes()).collect()
}
/// Where two lists differ, NaN being equal to NaN.
fn differences(expected: &[u16], found: &[u16]) -> Vec<usize> {
    assert_eq!(expected.len(), found.len());
    let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
    (0..found.len()).filter(|i| expected[*i] != found[*i] && !(nan(expected[*i]) && nan(found[*i]))).collect()
}
/// What turns a product of q and k into units of log₂ of a probability.
fn query_scale() -> f64 {
    std::f64::consts::LOG2_E / 168f64.sqrt()
}
fn segment(slots: usize) -> KvSegment {
    segment_of(KvFormat::Bf16, slots)
}
fn segment_of(format: KvFormat, slots: usize) -> KvSegment {
    KvSegment::new(KvHeads::new(KV_HEADS, D, format).expect("the 27B's heads"), slots).expect("whole groups")
}

/// Where the call's arguments lie: all at some distance from the start of their buffers.
const BUFFERS: Buffers = Buffers {
    qkv: Place { arg: 0, offset: 64 },
    weights: Place { arg: 1, offset: 128 },
    tables: Place { arg: 2, offset: 256 },
    q: Place { arg: 3, offset: 64 },
};
const CACHE: u32 = 4;
/// Only where there are codes.
const SCRATCH: Place = Place { arg: 5, offset: 64 };

struct Case {
    first: usize,
    rope: Rope,
    qkv: Vec<u16>,
    norms: [Vec<f64>; 2],
    runs: Vec<CacheRun>,
    /// Byte offsets in the cache buffer, and its size.
    cache_bytes: usize,
}

impl Case {
    fn new(rope: Rope, first: usize, runs: Vec<CacheRun>, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let tokens: usize = runs.iter().map(|run| run.tokens).sum();
        let mut qkv = Vec::with_capacity(tokens * ROW);
        for head in 0..tokens * ROW / D {
            let size = 2f32.powi((head * 7 % 11) as i32 - 6);
            qkv.extend((0..D).map(|_| bf16_rne(rng.normal() * size)));
        }
        let norms = [0, 1].map(|_| (0..D).map(|_| f64::from(widen(bf16_rne(0.3 * rng.normal())))).collect());
        let end = |run: &CacheRun| run.place.offset as usize + run.segment.bytes();
        let cache_bytes = runs.iter().map(end).max().unwrap_or(0);
        Self { first, rope, qkv, norms, runs, cache_bytes }
    }

    /// One segment, the token at position `first` in slot `slot`.
    fn linear(rope: Rope, first: usize, slot: usize, tokens: usize) -> Self {
        Self::linear_of(KvFormat::Bf16, rope, first, slot, tokens)
    }

    fn linear_of(format: KvFormat, rope: Rope, first: usize, slot: usize, tokens: usize) -> Self {
        let slots = (slot + tokens).next_multiple_of(8) + 8;
        let segment = segment_of(format, slots);
        let run = CacheRun { place: Place { arg: CACHE, offset: 0 }, segment, slot, tokens };
        Self::new(rope, first, vec![run], (first + 31 * tokens) as u64)
    }

    fn tokens(&self) -> usize {
        self.qkv.len() / ROW
    }

    fn call(&self) -> Call {
        self.call_of(BUFFERS, self.runs.clone())
    }

    fn call_of(&self, buffers: Buffers, runs: Vec<CacheRun>) -> Call {
        let call = match self.format() {
            KvFormat::Bf16 => Call::new(buffers, runs),
            KvFormat::Int8 => Call::kv8(buffers, SCRATCH, runs),
        };
        call.expect("a legal call")
    }

    fn format(&self) -> KvFormat {
        self.runs[0].segment.heads().format()
    }

    fn weights(&self) -> Vec<u8> {
        let norm = HeadNorm::new(D).expect("heads of 128");
        let mut out = vec![0; 2 * norm.bytes()];
        for ((w, scale), out) in self.norms.iter().zip([query_scale(), 1.0]).zip(out.chunks_exact_mut(norm.bytes())) {
            norm.fill(w, scale, out).expect("a record");
        }
        out
    }

    fn tables(&self, positions: usize) -> Vec<u8> {
        let table = RopeTable::new(D, self.rope.theta, self.rope.factor, RopeLimbs::Two).expect("a rotation");
        let mut out = vec![0; table.bytes(positions).expect("a table")];
        table.fill(self.first, &mut out).expect("records");
        out
    }

    /// Bytes the cache holds before the call.
    fn old_cache(&self) -> Vec<u8> {
        (0..self.cache_bytes).map(|i| (i * 7 % 251) as u8).collect()
    }

    fn load(&self) -> Loaded {
        self.load_calls(&[self.call()])
    }

    fn load_calls(&self, calls: &[Call]) -> Loaded {
        let compiled = norm_rope::compile(calls).unwrap_or_else(|error| panic!("{error}"));
        let tables = self.tables(self.call().tables());
        let mut buffers = vec![
            ("qkv", BUFFERS.qkv.offset as usize + 2 * self.qkv.len()),
            ("weights", BUFFERS.weights.offset as usize + 1024),
            ("tables", BUFFERS.tables.offset as usize + tables.len()),
            ("q", BUFFERS.q.offset as usize + 2 * self.tokens() * Q_HEADS * D),
            ("cache", self.cache_bytes),
        ];
        if self.format() == KvFormat::Int8 {
            buffers.push(("scratch", SCRATCH.offset as usize + norm_rope::SCRATCH_BYTES));
        }
        let q_bytes = buffers[3].1;
        let buffers_of = buffers.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        let binary = Binary { buffers: buffers_of, ..Binary::from(&compiled) };
        let mut loaded = Loaded::new(&binary, None).expect("the PDI loads");
        for (name, place, data) in [
            ("qkv", BUFFERS.qkv, bytes(&self.qkv)),
            ("weights", BUFFERS.weights, self.weights()),
            ("tables", BUFFERS.tables, tables),
        ] {
            let mut all = vec![0; place.offset as usize];
            all.extend(data);
            loaded.write(name, &all).expect("an operand fits");
        }
        loaded.write("q", &vec![0xEE; q_bytes]).expect("q fits");
        loaded.write("cache", &self.old_cache()).expect("the cache fits");
        loaded
    }

    /// What `q` and the cache must hold afterwards.
    fn expected(&self) -> (Vec<u16>, Vec<u8>) {
        let (weights, tables) = (halves(&self.weights()), halves(&self.tables(self.tokens())));
        let mut q = Vec::new();
        let mut cache = self.old_cache();
        let mut slots = self.runs.iter().flat_map(|run| (0..run.tokens).map(move |i| (run, run.slot + i)));
        for (token, row) in self.qkv.chunks_exact(ROW).enumerate() {
            let (run, slot) = slots.next().expect("a slot for each token");
            let table = &tables[token * 4 * D..][..4 * D];
            for (head, x) in row.chunks_exact(D).enumerate() {
                let (plane, kv, y) = if head < Q_HEADS {
                    q.extend(oracle::norm_rope::norm_rope(x, &weights[..2 * D], table));
                    continue;
                } else if head < Q_HEADS + KV_HEADS {
                    (Plane::Key, head - Q_HEADS, oracle::norm_rope::norm_rope(x, &weights[2 * D..], table))
                } else {
                    (Plane::Value, head - Q_HEADS - KV_HEADS, x.to_vec())
                };
                let at = |d| run.place.offset as usize + run.segment.offset(plane, kv, slot, d);
                if let Some(scale_at) = run.segment.scale_offset(plane, kv, slot) {
                    let (codes, scale) = kv_int8::codes(&y);
                    codes.iter().enumerate().for_each(|(d, code)| cache[at(d)] = *code as u8);
                    let scale_at = run.place.offset as usize + scale_at;
                    cache[scale_at..scale_at + 4].copy_from_slice(&scale.to_le_bytes());
                    continue;
                }
                for (d, y) in y.iter().enumerate() {
                    cache[at(d)..at(d) + 2].copy_from_slice(&y.to_le_bytes());
                }
            }
        }
        (q, cache)
    }

    /// Normed and turned in float64: q, scaled, then k, head by head.
    fn exact(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut q, mut k) = (Vec::new(), Vec::new());
        for (token, row) in self.qkv.chunks_exact(ROW).enumerate() {
            for (head, x) in row.chunks_exact(D).take(Q_HEADS + KV_HEADS).enumerate() {
                let is_key = usize::from(head >= Q_HEADS);
                let mut y: Vec<f64> = x.iter().map(|x| f64::from(widen(*x))).collect();
                rms_norm(&mut y, &self.norms[is_key], 1e-6);
                self.rope.rotate(&mut y, self.first + token, Pairing::Halves);
                if is_key == 1 { k.extend(y) } else { q.extend(y.iter().map(|y| y * query_scale())) }
            }
        }
        (q, k)
    }

    fn check(&self, loaded: &Loaded) {
        let (q, cache) = self.expected();
        let all = loaded.read("q").expect("q was written");
        let (before, found) = all.split_at(BUFFERS.q.offset as usize);
        assert!(before.iter().all(|b| *b == 0xEE), "nothing in front of q is touched");
        let found = halves(found);
        let wrong = differences(&q, &found);
        assert!(wrong.is_empty(), "q: {} of {} differ, the first at {:?}", wrong.len(), q.len(), wrong.first());
        let found = loaded.read("cache").expect("the cache can be read");
        if self.format() == KvFormat::Int8 {
            let wrong: Vec<usize> = (0..cache.len()).filter(|i| cache[*i] != found[*i]).collect();
            assert!(wrong.is_empty(), "cache: {} bytes differ, the first at {:?}", wrong.len(), wrong.first());
            return;
        }
        let wrong = differences(&halves(&cache), &halves(&found));
        assert!(wrong.is_empty(), "cache: {} halves differ, the first at {:?}", wrong.len(), wrong.first());
    }

    fn run(&self) -> u64 {
        let mut loaded = self.load();
        let ran = loaded.run().unwrap_or_else(|fault| panic!("S = {}: {fault:#}", self.tokens()));
        self.check(&loaded);
        println!("S = {}, position {}: {} cycles", self.tokens(), self.first, ran.report.cycles);
        ran.report.cycles
    }
}

#[test]
fn one_to_four_tokens_at_any_slot() {
    for (tokens, slot) in [(1, 0), (1, 7), (1, 13), (2, 0), (2, 7), (3, 6), (4, 3), (4, 1)] {
        Case::linear(LOCAL, 4096 + slot, slot, tokens).run();
    }
}

#[test]
fn one_to_four_tokens_as_codes_at_any_slot() {
    for (tokens, slot) in [(1, 0), (1, 7), (1, 13), (2, 0), (2, 7), (3, 6), (4, 3), (4, 1)] {
        Case::linear_of(KvFormat::Int8, LOCAL, 4096 + slot, slot, tokens).run();
    }
}

#[test]
fn groups_of_codes_with_ragged_ends() {
    for (tokens, slot) in [(7, 1), (5, 3), (6, 0), (7, 0), (8, 0), (8, 8), (9, 7), (15, 5), (23, 1), (24, 4)] {
        Case::linear_of(KvFormat::Int8, GLOBAL, 131_000 - slot, slot, tokens).run();
    }
}

#[test]
fn seven_tokens_and_groups_with_ragged_ends() {
    for (tokens, slot) in [(7, 1), (7, 0), (8, 0), (8, 8), (9, 7), (15, 5), (23, 1), (24, 4)] {
        Case::linear(GLOBAL, 131_000 - slot, slot, tokens).run();
    }
}

#[test]
fn a_ring_wraps() {
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        ring_wraps(format);
    }
}

fn ring_wraps(format: KvFormat) {
    let ring = KvRing::new(40, 32).expect("a ring");
    let local = segment_of(format, ring.slots());
    let place = Place { arg: CACHE, offset: 192 };
    for (first, tokens) in [(ring.slots() - 11, 32), (5 * ring.slots() - 1, 2), (7 * ring.slots() - 8, 9)] {
        let runs = CacheRun::ring(place, local, ring, first, tokens).expect("the ring takes them");
        assert_eq!(runs.len(), 2);
        Case::new(LOCAL, first, runs, first as u64).run();
    }
}

#[test]
fn pages_lie_anywhere() {
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        pages_anywhere(segment_of(format, 16));
    }
}

fn pages_anywhere(page: KvSegment) {
    let run = |number: u64, slot, tokens| CacheRun {
        place: Place { arg: CACHE, offset: 64 + number * (page.bytes() as u64 + 128) },
        segment: page,
        slot,
        tokens,
    };
    Case::new(GLOBAL, 60, vec![run(2, 12, 4), run(0, 0, 16), run(1, 0, 16), run(3, 0, 5)], 5).run();
}

#[test]
fn more_groups_than_one_task_takes() {
    // 64 groups a task in, 16 a task out
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        Case::linear_of(format, LOCAL, 3, 3, 5 + 8 * 66 + 2).run();
    }
}

#[test]
fn a_full_block_is_bound_by_the_stream_of_rows() {
    let cycles = Case::linear(LOCAL, 0, 0, 512).run();
    // 16 KiB a token on four channels, a word in 1.05 cycles
    let bound = 512 * 16_384 / 16 * 105 / 100;
    println!("S = 512: {:.1} % of the bound of {bound} cycles", 100.0 * bound as f64 / cycles as f64);
    assert!(cycles < bound * 107 / 100, "{cycles} cycles against {bound}");
}

#[test]
fn a_full_block_of_codes_is_bound_by_the_cores_of_keys() {
    let cycles = Case::linear_of(KvFormat::Int8, LOCAL, 0, 0, 512).run();
    println!("S = 512: {} cycles a round", cycles / 256);
    assert!(cycles < 256 * 3400, "{cycles} cycles");
}

#[test]
fn the_rounding_to_bfloat16_is_the_error() {
    for (rope, first) in [(LOCAL, 1000), (GLOBAL, 130_003)] {
        let case = Case::linear(rope, first, first % 8, 32);
        let mut loaded = case.load();
        loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
        let cache = loaded.read("cache").expect("the cache can be read");
        let q = halves(&loaded.read("q").expect("q was written")[BUFFERS.q.offset as usize..]);
        let run = &case.runs[0];
        let k: Vec<u16> = (0..case.tokens() * KV_HEADS * D)
            .map(|i| run.segment.offset(Plane::Key, i / D % KV_HEADS, run.slot + i / (D * KV_HEADS), i % D))
            .map(|at| u16::from_le_bytes([cache[at], cache[at + 1]]))
            .collect();
        let (exact_q, exact_k) = case.exact();
        for (name, found, exact) in [("q", q, exact_q), ("k", k, exact_k)] {
            let value = |bits: u16| f64::from(widen(bits));
            let error = relative_frobenius(found.iter().map(|b| value(*b)), exact.iter().copied());
            let rounded = relative_frobenius(exact.iter().map(|y| value(bf16_rne(*y as f32))), exact.iter().copied());
            println!(
                "{name} at {first}: {:.4} % of float64, {:.4} % by rounding alone",
                100.0 * error,
                100.0 * rounded
            );
            assert!(error < 0.18e-2 && error < 1.002 * rounded, "{name}: {error}, {rounded}");
        }
    }
}

#[test]
fn heads_of_zeros_and_infinities_keep_to_themselves() {
    let mut case = Case::linear(LOCAL, 17, 1, 15);
    for (head, value) in [(3, 0), (40, 0x8000), (64 + 7, 0x7F80), (64 * 9 + 33, 0xFFC1), (64 * 4 + 50, 0x7F80)] {
        case.qkv[head * D..(head + 1) * D].fill(value);
    }
    case.qkv[64 * D + 5] = 0x7F7F;
    let mut loaded = case.load();
    loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
    case.check(&loaded);
}

#[test]
fn a_single_wrong_sine_is_noticed() {
    let case = Case::linear(LOCAL, 9, 1, 2);
    let mut loaded = case.load();
    let mut tables = vec![0; BUFFERS.tables.offset as usize];
    tables.extend(case.tables(case.call().tables()));
    // the second limb of one sine of the second token
    tables[BUFFERS.tables.offset as usize + 1024 + 512 + 64] ^= 0x80;
    tables[BUFFERS.tables.offset as usize + 1024 + 512 + 65] ^= 0x3F;
    loaded.write("tables", &tables).expect("tables fit");
    loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
    let found = halves(&loaded.read("q").expect("q was written")[BUFFERS.q.offset as usize..]);
    let (expected, _) = case.expected();
    let differ = differences(&expected, &found);
    assert!(!differ.is_empty());
    assert!(differ.iter().all(|i| *i >= Q_HEADS * D && i % D == 64), "only what that sine turns: {differ:?}");
}

#[test]
fn a_second_dispatch_finds_the_array_as_the_first_did() {
    let mut case = Case::linear(GLOBAL, 77, 5, 13);
    let mut loaded = case.load();
    loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
    case.check(&loaded);
    case.qkv.reverse();
    let mut qkv = vec![0; BUFFERS.qkv.offset as usize];
    qkv.extend(bytes(&case.qkv));
    loaded.write("qkv", &qkv).expect("qkv fits");
    loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
    case.check(&loaded);
}

#[test]
fn calls_of_other_lengths_follow_each_other() {
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        calls_follow_each_other(&Case::linear_of(format, LOCAL, 12, 4, 22));
    }
}

fn calls_follow_each_other(case: &Case) {
    let [run] = case.runs[..] else { panic!("one run") };
    // tokens 0 .. 3, 3 .. 4 and 4 .. 22, each call with the operands of its first token
    let calls: Vec<Call> = [(0, 3), (3, 1), (4, 18)]
        .into_iter()
        .map(|(first, tokens)| {
            let later = |place: Place, bytes: usize| Place { offset: place.offset + (first * bytes) as u64, ..place };
            let buffers = Buffers {
                qkv: later(BUFFERS.qkv, 2 * ROW),
                tables: later(BUFFERS.tables, 1024),
                q: later(BUFFERS.q, 2 * Q_HEADS * D),
                ..BUFFERS
            };
            case.call_of(buffers, vec![CacheRun { slot: run.slot + first, tokens, ..run }])
        })
        .collect();
    assert!(calls.iter().all(|call| call.words() != calls[2].words() || *call == calls[2]));
    let mut loaded = case.load_calls(&calls);
    loaded.run().unwrap_or_else(|fault| panic!("{fault:#}"));
    case.check(&loaded);
}

#[test]
fn what_the_kernel_does_not_serve_is_refused() {
    let place = Place { arg: CACHE, offset: 0 };
    let run = |segment, slot, tokens| CacheRun { place, segment, slot, tokens };
    let refusal = |runs: Vec<CacheRun>| Call::new(BUFFERS, runs).expect_err("no such call");
    let heads =
        |kv_heads, format| KvSegment::new(KvHeads::new(kv_heads, D, format).expect("heads"), 64).expect("slots");
    assert_eq!(refusal(Vec::new()), Refusal::NoTokens);
    let (int8, bf16) = (heads(KV_HEADS, KvFormat::Int8), heads(KV_HEADS, KvFormat::Bf16));
    assert_eq!(refusal(vec![run(int8, 0, 4)]), Refusal::Format { format: KvFormat::Int8 });
    assert_eq!(refusal(vec![run(bf16, 0, 8), run(int8, 0, 4)]), Refusal::Format { format: KvFormat::Int8 });
    let coded = Call::kv8(BUFFERS, SCRATCH, vec![run(bf16, 0, 4)]).expect_err("another format");
    assert_eq!(coded, Refusal::Format { format: KvFormat::Bf16 });
    let both = [
        Call::new(BUFFERS, vec![run(bf16, 0, 4)]).expect("a legal call"),
        Call::kv8(BUFFERS, SCRATCH, vec![run(int8, 0, 4)]).expect("a legal call"),
    ];
    assert!(matches!(norm_rope::compile(&both), Err(KernelError::Refused { .. })));
    let few = heads(4, KvFormat::Bf16);
    assert_eq!(refusal(vec![run(few, 0, 4)]), Refusal::Heads { kv_heads: 4, head_dim: D });
    let bf16 = segment(64);
    assert_eq!(refusal(vec![run(bf16, 60, 5)]), Refusal::Outside { slot: 60, tokens: 5, slots: 64 });
    assert_eq!(refusal(vec![run(bf16, 60, 3), run(bf16, 0, 4)]), Refusal::Alignment { run: 1, slot: 0 });
    assert_eq!(refusal(vec![run(bf16, 60, 4), run(bf16, 4, 4)]), Refusal::Alignment { run: 1, slot: 4 });
    let ring = KvRing::new(40, 8).expect("a ring");
    let refused = CacheRun::ring(place, segment(64), ring, 0, 4).expect_err("another segment");
    assert_eq!(refused, Refusal::Ring { slots: 64, ring: ring.slots(), tokens: 4, chunk: 8 });
    let refused = CacheRun::ring(place, segment(ring.slots()), ring, 0, 9).expect_err("too many");
    assert_eq!(refused, Refusal::Ring { slots: ring.slots(), ring: ring.slots(), tokens: 9, chunk: 8 });
}

#[test]
fn the_longest_call_has_a_stream() {
    let (first, tokens) = (122_877, 8192);
    let run = CacheRun { place: Place { arg: CACHE, offset: 0 }, segment: segment(131_072), slot: first, tokens };
    let call = Call::new(BUFFERS, vec![run]).expect("a legal call");
    // 3 tokens up to a group, 1023 groups, 5 tokens
    assert_eq!((call.words(), call.tables()), ([2, 1023, 3], 3 + 8 * 1024));
    let compiled = norm_rope::compile(std::slice::from_ref(&call)).expect("the call compiles");
    println!("S = {tokens}: {} bytes of runtime stream", compiled.txn.len());
}

#[test]
fn the_same_call_compiles_to_the_same_bytes() {
    let call = Case::linear(LOCAL, 0, 3, 30).call();
    let [first, second] = [0; 2].map(|_| norm_rope::compile(std::slice::from_ref(&call)).expect("the call compiles"));
    assert_eq!((first.pdi, first.txn), (second.pdi, second.txn));
}
