//! Pieces of attention on one simulated core, from the bytes of their programs, bit for bit against their specifications.

use aie2_codegen::Program;
use aie2_kernels::attention::{exp2, finish, output, place, recip, score, softmax};
use aie2_sim::port::{CORE_MEM_BYTES, CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{Core, Fault};
use oracle::data::{Rng, activations};
use oracle::flash::HEAD_DIM;
use oracle::fp::{bf16_rne, widen};
use oracle::w8a8::relative_frobenius;

/// One tile's memory and nothing else; a byte nobody wrote must not be read.
struct Memory {
    bytes: Vec<u8>,
    written: Vec<bool>,
}

const TILE: TileLoc = TileLoc::new(0, 2);

impl Memory {
    fn new() -> Self {
        Self { bytes: vec![0; CORE_MEM_BYTES], written: vec![false; CORE_MEM_BYTES] }
    }

    fn range(addr: u32, bytes: usize) -> std::ops::Range<usize> {
        let at = (addr.checked_sub(OWN_WINDOW).expect("a core address of its own memory")) as usize;
        at..at + bytes
    }

    fn put(&mut self, addr: u32, data: &[u8]) {
        let at = Self::range(addr, data.len());
        self.bytes[at.clone()].copy_from_slice(data);
        self.written[at].fill(true);
    }

    fn get(&self, addr: u32, bytes: usize) -> &[u8] {
        let at = Self::range(addr, bytes);
        assert!(self.written[at.clone()].iter().all(|w| *w), "a result at {addr:#x} was not written");
        &self.bytes[at]
    }
}

impl CoreBus for Memory {
    fn tile(&self) -> TileLoc {
        TILE
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = Self::range(addr, out.len());
        if let Some(bad) = self.written[at.clone()].iter().position(|w| !w) {
            return Err(Fault::CoreUninitialised {
                tile: TILE,
                addr,
                first_bad: addr + bad as u32,
                bytes: out.len() as u32,
            });
        }
        out.copy_from_slice(&self.bytes[at]);
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        self.put(addr, data);
        Ok(())
    }

    fn lock(&mut self, id: u8, _: LockOp) -> Result<bool, Fault> {
        Err(Fault::CoreLock { tile: TILE, id })
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(None)
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Ok(false)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// Runs a program to its end; the cycles it took, bank conflicts included.
fn run(program: &Program, memory: &mut Memory) -> u64 {
    let mut core = Core::new();
    core.load_program(&program.bytes).expect("the program fits");
    core.allow_early_reads(program.early_reads.iter().copied());
    core.set_pc(program.entry);
    let mut cycles = 0;
    loop {
        match core.step(memory).unwrap_or_else(|fault| panic!("{fault}")) {
            Step::Issued { stall_cycles, .. } => cycles += 1 + u64::from(stall_cycles),
            Step::Blocked(why) => panic!("blocked: {why}"),
            Step::Halted => return cycles,
        }
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}

/// Declared and reached interval of the program's only pipelined loop.
fn interval(program: &Program) -> (Option<u32>, u32) {
    let [l] = &program.loops[..] else { panic!("{} loops", program.loops.len()) };
    (l.ii_declared, l.ii_reached)
}

/// Values that fill the input buffer.
const FULL: usize = place::BYTES as usize / 4;

/// exp2 of any number of values on the core.
fn exp2_on_core(program: &Program, values: &[f32]) -> Vec<u16> {
    let mut out = Vec::new();
    for chunk in values.chunks(FULL) {
        let mut memory = Memory::new();
        let mut padded = chunk.to_vec();
        padded.resize(FULL, 0.0);
        memory.put(place::IN, &bytes(&padded));
        run(program, &mut memory);
        out.extend(&halves(memory.get(place::OUT, 2 * FULL))[..chunk.len()]);
    }
    out
}

fn same_exp2(values: &[f32]) {
    let program = exp2::program(FULL as u32 / exp2::LANES).expect("exp2 compiles");
    let got = exp2_on_core(&program, values);
    for (x, p) in values.iter().zip(&got) {
        assert_eq!(*p, oracle::exp2::exp2(*x), "exp2({x})");
    }
}

#[test]
fn exp2_is_its_specification_on_every_point_of_its_grid() {
    let steps = oracle::exp2::STEPS;
    let values: Vec<f32> = (-130 * steps..steps).map(|k| k as f32 / steps as f32).collect();
    same_exp2(&values);
}

#[test]
fn exp2_is_its_specification_on_every_bfloat16_up_to_zero() {
    // From minus zero down to minus infinity.
    let values: Vec<f32> = (0x8000..=0xFF80u32).map(|b| f32::from_bits(b << 16)).collect();
    same_exp2(&values);
}

#[test]
fn exp2_is_its_specification_between_the_points() {
    let mut rng = Rng::new(11);
    let mut uniform = || rng.next_u64() as u32 as f32 / u32::MAX as f32;
    let mut values: Vec<f32> = (0..40_000).map(|_| -130.0 * uniform()).collect();
    // ties of the grid, and patterns of any size
    values.extend((0..20_000).map(|k| -(2 * k + 1) as f32 / 1024.0));
    values.extend((0..20_000).map(|k| f32::from_bits(0x8000_0000 | (0x7F80_0000 / 20_000 * k))));
    same_exp2(&values);
}

#[test]
fn exp2_takes_three_cycles_for_sixteen_values() {
    let trips = FULL as u32 / exp2::LANES;
    let program = exp2::program(trips).expect("exp2 compiles");
    assert_eq!(interval(&program), (Some(exp2::II), exp2::II));
    let mut memory = Memory::new();
    memory.put(place::IN, &bytes(&vec![-1.5; FULL]));
    let cycles = run(&program, &mut memory);
    println!("exp2: {cycles} cycles for {FULL} values, modelled");
    assert!(cycles <= u64::from(trips * exp2::II) + 150, "{cycles}");
}

fn same_recip(function: recip::Function, spec: fn(f32) -> f32, values: &[f32]) {
    let program = recip::program(function, FULL as u32 / recip::LANES).expect("the function compiles");
    let (declared, reached) = interval(&program);
    assert_eq!(declared, Some(reached));
    for chunk in values.chunks(FULL) {
        let mut memory = Memory::new();
        let mut padded = chunk.to_vec();
        padded.resize(FULL, 1.0);
        memory.put(place::IN, &bytes(&padded));
        run(&program, &mut memory);
        for (l, y) in chunk.iter().zip(words(memory.get(place::OUT, 4 * FULL))) {
            assert_eq!(y, spec(*l).to_bits(), "{function:?} of {l}");
        }
    }
}

/// Every bfloat16 fraction at every exponent of the domain, random float32 across it, and values next to powers of two.
fn recip_values() -> Vec<f32> {
    let mut rng = Rng::new(5);
    let least = 2f32.powi(-60).to_bits();
    let mut values: Vec<f32> = (0..120 * 128).map(|k| f32::from_bits(least + (k << 16))).collect();
    values.extend((0..40_000).map(|_| f32::from_bits(least + (rng.next_u64() % (120 << 23)) as u32)));
    values.extend(
        (1..120).flat_map(|e| [-1i32, 0, 1].map(|d| f32::from_bits((least + (e << 23)).wrapping_add_signed(d)))),
    );
    values
}

#[test]
fn the_reciprocal_is_its_specification_across_its_domain() {
    same_recip(recip::Function::Reciprocal, oracle::recip::reciprocal, &recip_values());
}

#[test]
fn the_inverse_root_is_its_specification_across_its_domain() {
    same_recip(recip::Function::Rsqrt, oracle::recip::rsqrt, &recip_values());
}

const KEYS: usize = score::KEYS as usize;
const QUERIES: usize = score::QUERIES as usize;

fn half_bytes(values: impl IntoIterator<Item = u16>) -> Vec<u8> {
    values.into_iter().flat_map(u16::to_le_bytes).collect()
}

/// `[2 key groups][16 k][4 tiles][4 keys][8 k]` from `[key][k]`.
fn key_tiles(keys: &[u16]) -> Vec<u8> {
    half_bytes((0..keys.len()).map(|at| {
        let (k, key, tile, step, group) = (at % 8, at / 8 % 4, at / 32 % 4, at / 128 % 16, at / 2048);
        keys[(16 * group + 4 * tile + key) * HEAD_DIM + 8 * step + k]
    }))
}

/// `[4 query pairs][16 k][2 tiles][8 k][4 queries]` from `[query][k]`.
fn query_tiles(queries: &[u16]) -> Vec<u8> {
    half_bytes((0..queries.len()).map(|at| {
        let (query, k, tile, step, pair) = (at % 4, at / 4 % 8, at / 32 % 2, at / 64 % 16, at / 1024);
        queries[(8 * pair + 4 * tile + query) * HEAD_DIM + 8 * step + k]
    }))
}

/// `[key][query]` from `[8 query tiles][8 key tiles][4 keys][4 queries]`.
fn from_score_tiles<T: Copy>(tiles: &[T]) -> Vec<T> {
    let at = |key: usize, query: usize| 128 * (query / 4) + 16 * (key / 4) + 4 * (key % 4) + query % 4;
    (0..KEYS).flat_map(|key| (0..QUERIES).map(move |query| tiles[at(key, query)])).collect()
}

fn score_program() -> Program {
    let program = score::program().expect("the score block compiles");
    assert_eq!(interval(&program), (Some(score::II), score::II));
    program
}

fn same_scores(program: &Program, keys: &[u16], queries: &[u16]) -> u64 {
    let mut memory = Memory::new();
    memory.put(score::K, &key_tiles(keys));
    memory.put(score::Q, &query_tiles(queries));
    let cycles = run(program, &mut memory);
    let got = from_score_tiles(&words(memory.get(score::S, 4 * KEYS * QUERIES)));
    for (i, (got, want)) in got.iter().zip(oracle::flash::patterns(keys, queries)).enumerate() {
        assert_eq!(*got as i32, want, "key {}, query {}", i / QUERIES, i % QUERIES);
    }
    cycles
}

#[test]
fn a_block_of_scores_is_its_specification() {
    let program = score_program();
    for seed in 0..20 {
        same_scores(&program, &activations(seed, KEYS * HEAD_DIM), &activations(100 + seed, QUERIES * HEAD_DIM));
    }
}

#[test]
fn a_block_of_extreme_scores_is_its_specification() {
    // one dominant key, zeros, cancelling halves, and scores beyond the grid's octave
    let mut keys = activations(7, KEYS * HEAD_DIM);
    let mut queries = activations(8, QUERIES * HEAD_DIM);
    keys[..HEAD_DIM].fill(bf16_rne(60.0));
    keys[HEAD_DIM..2 * HEAD_DIM].fill(0);
    for (i, k) in keys[2 * HEAD_DIM..3 * HEAD_DIM].iter_mut().enumerate() {
        *k = bf16_rne(if i % 2 == 0 { 3000.0 } else { -3000.0 });
    }
    queries[..HEAD_DIM].fill(bf16_rne(1.0));
    queries[HEAD_DIM..2 * HEAD_DIM].fill(bf16_rne(-1.0));
    same_scores(&score_program(), &keys, &queries);
}

#[test]
fn a_block_of_scores_keeps_the_multiplier_busy() {
    let program = score_program();
    let cycles = same_scores(&program, &activations(1, KEYS * HEAD_DIM), &activations(2, QUERIES * HEAD_DIM));
    let needed = (KEYS * QUERIES * HEAD_DIM / 128) as u64;
    println!(
        "scores: {cycles} cycles for {needed} of multiplication, modelled; {} bytes of program",
        program.bytes.len()
    );
    assert!(cycles <= needed + needed / 8 + 120, "{cycles}");
}

/// `[8 d groups][4 k][4 tiles][8 keys][4 d]` from `[key][d]`.
fn value_tiles(values: &[u16]) -> Vec<u8> {
    half_bytes((0..values.len()).map(|at| {
        let (d, key, tile, step, group) = (at % 4, at / 4 % 8, at / 32 % 4, at / 128 % 4, at / 512);
        values[(8 * step + key) * HEAD_DIM + 16 * group + 4 * tile + d]
    }))
}

/// `[8 query tiles][4 k][8 keys][4 queries]` from `[key][query]`.
fn probability_tiles(probabilities: &[u16]) -> Vec<u8> {
    half_bytes((0..probabilities.len()).map(|at| {
        let (query, key, step, tile) = (at % 4, at / 4 % 8, at / 32 % 4, at / 128);
        probabilities[(8 * step + key) * QUERIES + 4 * tile + query]
    }))
}

/// Where output `[d][query]` lies in `[8 d groups][2 query halves][4 query tiles][4 d tiles][4 d][4 queries]`.
fn output_place(d: usize, query: usize) -> usize {
    512 * (d / 16) + 256 * (query / 16) + 64 * (query / 4 % 4) + 16 * (d / 4 % 4) + 4 * (d % 4) + query % 4
}

fn same_output(program: &Program, values: &[u16], probabilities: &[u16], mut expected: Vec<f32>) -> u64 {
    let places: Vec<usize> = (0..expected.len()).map(|i| output_place(i / QUERIES, i % QUERIES)).collect();
    let mut tiles = vec![f32::NAN; expected.len()];
    places.iter().zip(&expected).for_each(|(at, o)| tiles[*at] = *o);
    let mut memory = Memory::new();
    memory.put(output::O, &bytes(&tiles));
    memory.put(output::V, &value_tiles(values));
    memory.put(output::P, &probability_tiles(probabilities));
    let cycles = run(program, &mut memory);
    oracle::flash::accumulate(&mut expected, values, probabilities);
    let got = words(memory.get(output::O, 4 * expected.len()));
    for (i, (want, at)) in expected.iter().zip(&places).enumerate() {
        assert_eq!(got[*at], want.to_bits(), "d {}, query {}", i / QUERIES, i % QUERIES);
    }
    cycles
}

/// Outputs of any size and sign, probabilities from 0 to 1.
fn output_operands(seed: u64) -> (Vec<u16>, Vec<u16>, Vec<f32>) {
    let mut rng = Rng::new(seed);
    let probabilities = (0..KEYS * QUERIES).map(|_| oracle::exp2::exp2(-40.0 * rng.normal().abs())).collect();
    let output = (0..HEAD_DIM * QUERIES).map(|i| rng.normal() * 2f32.powi(i as i32 % 60 - 50)).collect();
    (activations(seed, KEYS * HEAD_DIM), probabilities, output)
}

#[test]
fn a_block_of_outputs_is_its_specification() {
    let program = output::program().expect("the output block compiles");
    assert_eq!(interval(&program), (Some(output::II), output::II));
    for seed in 0..20 {
        let (values, probabilities, before) = output_operands(seed);
        same_output(&program, &values, &probabilities, before);
    }
    let (values, _, before) = output_operands(20);
    same_output(&program, &values, &[0; KEYS * QUERIES], before);
    same_output(&program, &values, &[0x3F80; KEYS * QUERIES], vec![0.0; HEAD_DIM * QUERIES]);
}

#[test]
fn a_block_of_outputs_keeps_the_multiplier_busy() {
    let (values, probabilities, before) = output_operands(1);
    let program = output::program().expect("the output block compiles");
    let cycles = same_output(&program, &values, &probabilities, before);
    let needed = (KEYS * QUERIES * HEAD_DIM / 128) as u64;
    println!(
        "outputs: {cycles} cycles for {needed} of multiplication, modelled; {} bytes of program",
        program.bytes.len()
    );
    assert!(cycles <= needed * u64::from(output::II) / 32 + 120, "{cycles}");
}

/// `[8 query tiles][8 key tiles][4 keys][4 queries]` from `[key][query]`.
fn score_tiles(patterns: &[i32]) -> Vec<u8> {
    (0..patterns.len())
        .flat_map(|at| {
            let (query, key, tile, queries) = (at % 4, at / 4 % 4, at / 16 % 8, at / 128);
            patterns[(4 * tile + key) * QUERIES + 4 * queries + query].to_le_bytes()
        })
        .collect()
}

/// `[8 query tiles][4 times the same][4 queries]`.
fn per_query<T: Copy>(values: &[T]) -> Vec<T> {
    values.chunks_exact(4).flat_map(|four| four.repeat(4)).collect()
}

/// What a softmax block reads and changes.
struct Rows {
    references: Vec<i32>,
    sums: Vec<f32>,
    output: Vec<f32>,
}

impl Rows {
    fn start() -> Self {
        let (references, sums) = (vec![oracle::flash::START; QUERIES], vec![0.0; QUERIES]);
        Self { references, sums, output: vec![0.0; HEAD_DIM * QUERIES] }
    }
}

fn same_softmax(program: &Program, patterns: &[i32], rows: &mut Rows) -> u64 {
    let mut memory = Memory::new();
    let place = |i: usize| output_place(i / QUERIES, i % QUERIES);
    let mut tiles = vec![f32::NAN; rows.output.len()];
    rows.output.iter().enumerate().for_each(|(i, o)| tiles[place(i)] = *o);
    memory.put(output::O, &bytes(&tiles));
    memory.put(score::S, &score_tiles(patterns));
    let stored = |rows: &Rows| -> Vec<u32> {
        per_query(&rows.references).iter().map(|r| (r + softmax::REFERENCE_OFFSET) as u32).collect()
    };
    memory.put(softmax::R, &stored(rows).iter().flat_map(|r| r.to_le_bytes()).collect::<Vec<u8>>());
    memory.put(softmax::L, &bytes(&per_query(&rows.sums)));
    let cycles = run(program, &mut memory);
    let factors = oracle::flash::lower_references(&mut rows.references, patterns);
    oracle::flash::rescale(&mut rows.sums, &factors);
    oracle::flash::rescale(&mut rows.output, &factors);
    let probabilities = oracle::flash::probabilities(patterns, &rows.references, &mut rows.sums);
    assert_eq!(words(memory.get(softmax::R, 16 * QUERIES)), stored(rows), "references");
    assert_eq!(memory.get(output::P, 2 * KEYS * QUERIES), probability_tiles(&probabilities), "probabilities");
    let bits: Vec<u32> = rows.sums.iter().map(|l| l.to_bits()).collect();
    assert_eq!(words(memory.get(softmax::L, 16 * QUERIES)), per_query(&bits), "sums");
    let output = words(memory.get(output::O, 4 * rows.output.len()));
    for (i, o) in rows.output.iter().enumerate() {
        assert_eq!(output[place(i)], o.to_bits(), "output {i}");
    }
    cycles
}

fn softmax_program() -> Program {
    let program = softmax::program().expect("the softmax block compiles");
    let reached: Vec<(Option<u32>, u32)> = program.loops.iter().map(|l| (l.ii_declared, l.ii_reached)).collect();
    let declared = [softmax::REFERENCE_II, softmax::OUTPUT_RESCALE_II, softmax::PROBABILITY_II];
    assert_eq!(reached, declared.map(|ii| (Some(ii), ii)));
    program
}

#[test]
fn blocks_of_a_softmax_are_their_specification_one_after_another() {
    let program = softmax_program();
    let mut rows = Rows::start();
    let mut raised = 0;
    for seed in 0..20 {
        rows.output = output_operands(seed).2;
        let keys = activations(seed, KEYS * HEAD_DIM);
        let patterns = oracle::flash::patterns(&keys, &activations(50, QUERIES * HEAD_DIM));
        let before = rows.references.clone();
        same_softmax(&program, &patterns, &mut rows);
        raised += u32::from(rows.references != before);
    }
    assert!((2..20).contains(&raised), "blocks with and without a new reference: {raised} of 20");
}

#[test]
fn equal_scores_a_dominant_one_and_masked_ones_are_their_specification() {
    let program = softmax_program();
    let grid = oracle::exp2::on_grid;
    let one = 2f32.powi(-oracle::flash::HEADROOM);
    let mut rows = Rows::start();
    same_softmax(&program, &[grid(0.0); KEYS * QUERIES], &mut rows);
    assert!(rows.sums.iter().all(|l| *l == KEYS as f32 * one), "equal scores of a whole octave weigh the same");
    let mut rows = Rows::start();
    let masked = vec![grid(f32::NEG_INFINITY); KEYS * QUERIES];
    same_softmax(&program, &masked, &mut rows);
    let mut patterns = masked;
    for query in 0..QUERIES {
        patterns[query % KEYS * QUERIES + query] = grid(500.0 - query as f32);
    }
    same_softmax(&program, &patterns, &mut rows);
    assert!(
        rows.sums.iter().all(|l| *l == one),
        "masked scores weigh exactly nothing, even a block of them before any other"
    );
}

#[test]
fn a_block_of_softmax_costs_a_quarter_of_its_products_and_a_rescale_more_than_half() {
    let program = softmax_program();
    let mut rows = Rows::start();
    let patterns = oracle::flash::patterns(&activations(3, KEYS * HEAD_DIM), &activations(4, QUERIES * HEAD_DIM));
    let first = same_softmax(&program, &patterns, &mut rows);
    let later = same_softmax(&program, &patterns, &mut rows);
    let bytes = program.bytes.len();
    println!(
        "softmax: {later} cycles for {KEYS} keys and {QUERIES} queries, {first} with a rescale, modelled; {bytes} bytes of program"
    );
    assert!(later <= 660 && first - later <= 2000, "{later}, {first}");
}

fn same_quotients(output: &[f32], sums: &[f32]) -> u64 {
    let program = finish::program().expect("the end of a pass compiles");
    let reached: Vec<(Option<u32>, u32)> = program.loops.iter().map(|l| (l.ii_declared, l.ii_reached)).collect();
    assert_eq!(reached, [recip::RECIPROCAL_II, finish::LIMBS_II, finish::QUOTIENT_II].map(|ii| (Some(ii), ii)));
    let mut tiles = vec![f32::NAN; output.len()];
    output.iter().enumerate().for_each(|(i, o)| tiles[output_place(i / QUERIES, i % QUERIES)] = *o);
    let mut memory = Memory::new();
    memory.put(output::O, &bytes(&tiles));
    memory.put(softmax::L, &bytes(&per_query(sums)));
    let cycles = run(&program, &mut memory);
    let got = halves(memory.get(output::O, 2 * output.len()));
    for (i, o) in output.iter().enumerate() {
        let (d, query) = (i / QUERIES, i % QUERIES);
        // tiles as in Oᵀ, each one [4 queries][4 d]
        let at = output_place(d, query) / 16 * 16 + 4 * (query % 4) + d % 4;
        assert_eq!(got[at], oracle::flash::quotient(*o, sums[query]), "d {d}, query {query}");
    }
    cycles
}

#[test]
fn quotients_are_their_specification() {
    for seed in 0..6 {
        let (.., output) = output_operands(seed);
        let mut rng = Rng::new(seed);
        let sums: Vec<f32> = (0..QUERIES as i32).map(|q| (1.0 + rng.normal().abs()) * 2f32.powi(q % 24 - 9)).collect();
        let cycles = same_quotients(&output, &sums);
        assert!(cycles <= 2100, "{cycles}");
        if seed == 0 {
            println!("end of a pass: {cycles} cycles for {QUERIES} queries, modelled");
        }
    }
    same_quotients(&vec![0.0; HEAD_DIM * QUERIES], &[1.0; QUERIES]);
}

/// Attention in float64 from the same bfloat16 operands; queries carry the scale and log₂ e.
fn exact_attention(keys: &[u16], values: &[u16], queries: &[u16]) -> Vec<f64> {
    let wide = |x: &[u16]| -> Vec<f64> { x.iter().map(|v| f64::from(widen(*v))).collect() };
    let (keys, values) = (wide(keys), wide(values));
    let rows = queries.chunks_exact(HEAD_DIM).flat_map(|q| {
        let q = wide(q);
        let scores = keys.chunks_exact(HEAD_DIM).map(|k| k.iter().zip(&q).map(|(k, q)| k * q).sum::<f64>());
        let weights: Vec<f64> = scores.map(f64::exp2).collect();
        let total: f64 = weights.iter().sum();
        let mut out = vec![0.0; HEAD_DIM];
        for (w, v) in weights.iter().zip(values.chunks_exact(HEAD_DIM)) {
            out.iter_mut().zip(v).for_each(|(o, v)| *o += w / total * v);
        }
        out
    });
    rows.collect()
}

#[test]
fn blocks_one_after_another_are_attention_to_half_a_percent() {
    const BLOCKS: usize = 24;
    let (score, softmax, output) = (score_program(), softmax_program(), output::program().expect("it compiles"));
    let finish = finish::program().expect("the end of a pass compiles");
    let keys = activations(21, BLOCKS * KEYS * HEAD_DIM);
    let values = activations(22, BLOCKS * KEYS * HEAD_DIM);
    // scores of deviation 3 octaves
    let queries: Vec<u16> =
        activations(23, QUERIES * HEAD_DIM).into_iter().map(|q| bf16_rne(widen(q) * 3.0 / 128f32.sqrt())).collect();
    let mut memory = Memory::new();
    let rows = Rows::start();
    let reference = (rows.references[0] + softmax::REFERENCE_OFFSET).to_le_bytes();
    memory.put(score::Q, &query_tiles(&queries));
    memory.put(softmax::R, &reference.repeat(4 * QUERIES));
    memory.put(softmax::L, &bytes(&per_query(&rows.sums)));
    memory.put(output::O, &bytes(&rows.output));
    let mut cycles = 0;
    for (k, v) in keys.chunks(KEYS * HEAD_DIM).zip(values.chunks(KEYS * HEAD_DIM)) {
        memory.put(score::K, &key_tiles(k));
        memory.put(output::V, &value_tiles(v));
        cycles += [&score, &softmax, &output].map(|program| run(program, &mut memory)).iter().sum::<u64>();
    }
    cycles += run(&finish, &mut memory);
    let got = halves(memory.get(output::O, 2 * QUERIES * HEAD_DIM));
    let place = |query: usize, d: usize| output_place(d, query) / 16 * 16 + 4 * (query % 4) + d % 4;
    let got = (0..QUERIES * HEAD_DIM).map(|i| f64::from(widen(got[place(i / HEAD_DIM, i % HEAD_DIM)])));
    let error = relative_frobenius(got, exact_attention(&keys, &values, &queries));
    let needed = (2 * BLOCKS * KEYS * QUERIES) as f64;
    println!(
        "attention over {} keys: relative error {error:.2e}; {cycles} cycles, {:.1} % of BF16 peak, modelled",
        BLOCKS * KEYS,
        100.0 * needed / cycles as f64
    );
    assert!(error <= 0.005, "{error}");
    assert!(needed / cycles as f64 >= 0.5, "{cycles}");
}
