//! `norm_rope` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::norm_rope`, at the dimensions of the 27B.

use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Call, Place, Refusal};
use bennu_lab::machine::{Binary, Intended, Loaded};
use npu_package::layout::{HeadNorm, KvFormat, KvHeads, KvRing, KvSegment, Plane, RopeLimbs, RopeTable};
use oracle::data::Rng;
use oracle::fp::{bf16_rne, widen};
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
/// What turns a product of q and k into units of log₂ of a probability.
fn query_scale() -> f64 {
    std::f64::consts::LOG2_E / 168f64.sqrt()
}
fn segment(slots: usize) -> KvSegment {
    KvSegment::new(KvHeads::new(KV_HEADS, D, KvFormat::Bf16).expect("the 27B's heads"), slots).expect("whole groups")
}

/// Where the call's arguments lie: all at some distance from the start of their buffers.
const BUFFERS: Buffers = Buffers {
    qkv: Place { arg: 0, offset: 64 },
    weights: Place { arg: 1, offset: 128 },
    tables: Place { arg: 2, offset: 256 },
    q: Place { arg: 3, offset: 64 },
};
const CACHE: u32 = 4;

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
        let slots = (slot + tokens).next_multiple_of(8) + 8;
        let run = CacheRun { place: Place { arg: CACHE, offset: 0 }, segment: segment(slots), slot, tokens };
        Self::new(rope, first, vec![run], (first + 31 * tokens) as u64)
    }

    fn tokens(&self) -> usize {
        self.qkv.len() / ROW
    }

    fn call(&self) -> Call {
        Call::new(BUFFERS, self.runs.clone()).expect("a legal call")
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
        let compiled = norm_rope::compile(&self.call()).unwrap_or_else(|error| panic!("{error}"));
        let intended = |(&(col, row), core): (&(u8, u8), &aie2_kernels::CoreBinary)| Intended {
            tile: [col, row],
            early_reads: core.early_reads.clone(),
            partial_locks: core.partial_locks.clone(),
        };
        let tables = self.tables(self.call().tables());
        let buffers = [
            ("qkv", BUFFERS.qkv.offset as usize + 2 * self.qkv.len()),
            ("weights", BUFFERS.weights.offset as usize + 1024),
            ("tables", BUFFERS.tables.offset as usize + tables.len()),
            ("q", BUFFERS.q.offset as usize + 2 * self.tokens() * Q_HEADS * D),
            ("cache", self.cache_bytes),
        ];
        let binary = Binary {
            cores: compiled.cores.iter().map(intended).collect(),
            buffers: buffers.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec(),
            pdi: compiled.pdi,
            txn: compiled.txn,
        };
        let mut loaded = Loaded::new(&binary, None).expect("the PDI loads");
        for (name, place, data) in
            [("qkv", BUFFERS.qkv, bytes(&self.qkv)), ("weights", BUFFERS.weights, self.weights()), ("tables", BUFFERS.tables, tables)]
        {
            let mut all = vec![0; place.offset as usize];
            all.extend(data);
            loaded.write(name, &all).expect("an operand fits");
        }
        loaded.write("q", &vec![0xEE; buffers[3].1]).expect("q fits");
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
                for (d, y) in y.iter().enumerate() {
                    let at = run.place.offset as usize + run.segment.offset(plane, kv, slot, d);
                    cache[at..at + 2].copy_from_slice(&y.to_le_bytes());
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
        let wrong: Vec<usize> = (0..q.len()).filter(|i| q[*i] != found[*i]).collect();
        assert!(wrong.is_empty(), "q: {} of {} differ, the first at {:?}", wrong.len(), q.len(), wrong.first());
        let found = loaded.read("cache").expect("the cache can be read");
        let wrong: Vec<usize> = (0..cache.len()).filter(|i| cache[*i] != found[*i]).collect();
        assert!(wrong.is_empty(), "cache: {} bytes differ, the first at {:?}", wrong.len(), wrong.first());
    }

    fn run(&self) -> u64 {
        let mut loaded = self.load();
        let ran = loaded.run().unwrap_or_else(|fault| panic!("S = {}: {fault:#}", self.tokens()));
        self.check(&loaded);
        for core in ran.report.cores.iter().filter(|core| format!("{core:?}").contains("col: 1")) { println!("{core:?}"); }
        for channel in &ran.report.shim_channels { println!("{channel:?}"); }
        println!("{:?}", ran.report.controller);
        println!("S = {}, position {}: {} cycles", self.tokens(), self.first, ran.report.cycles);
        ran.report.cycles
    }
}

#[test]
fn one_to_four_tokens_at_any_slot() {
    for (tokens, slot) in [(1, 0), (1, 7), (1, 13), (2, 0), (3, 6), (4, 3), (4, 1)] {
        Case::linear(LOCAL, 4096 + slot, slot, tokens).run();
    }
}

#[test]
fn seven_tokens_and_groups_with_ragged_ends() {
    for (tokens, slot) in [(7, 1), (7, 0), (8, 0), (8, 8), (9, 7), (15, 5), (24, 4)] {
        Case::linear(GLOBAL, 131_000 - slot, slot, tokens).run();
    }
}

#[test]
#[ignore]
fn full() {
    Case::linear(LOCAL, 0, 0, 512).run();
}
