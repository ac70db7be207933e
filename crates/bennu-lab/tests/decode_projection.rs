//! Projections of one to four tokens on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle`.

use aie2_kernels::decode_projection::{DecodeProjection, W8A8_NAMES, W8A16_NAMES};
use aie2_kernels::{Compiled, GroupSize, KernelError, WeightScales};
use aie2_sim::timing::Part;
use aie2_sim::{Config, RunReport, Timing};
use bennu_lab::case;
use bennu_lab::machine::{Binary, Loaded};
use bennu_lab::spread;
use npu_package::layout::Activations::{self, Int8, Int16};
use npu_package::layout::{DECODE_TOKENS, DecodeShape, LayoutError, Panels};
use oracle::data::{self, Rng, Weights};
use oracle::fp::bf16_rne;
use oracle::{gemm, w8a8, w8a16};

const EACH: [Activations; 2] = [Int8, Int16];

/// Dimensions of a test: K and N.
#[derive(Clone, Copy)]
struct Size {
    k: usize,
    n: usize,
}

/// 27B: query, key and value projections; output projection.
const QKV: Size = Size { k: 5376, n: 8192 };
const O: Size = Size { k: 4096, n: 5376 };

struct Case {
    shape: DecodeShape,
    x: Vec<u16>,
    codes: Vec<i8>,
    scales: Vec<u16>,
}

fn panels(size: Size) -> Panels {
    let panels =
        if size.k == O.k { Panels::output(size.k, size.n) } else { Panels::new(size.k, size.n - 512, 256, 256) };
    panels.expect("legal dimensions")
}

impl Case {
    fn random(shape: DecodeShape, seed: u64) -> Self {
        let (k, n) = (shape.panels().inputs(), shape.panels().n());
        let Weights { codes, scales, .. } = Weights::normal(seed, n, k);
        Self { shape, x: data::activations(seed, shape.seq() * k), codes, scales }
    }

    fn packed(&self) -> Vec<u8> {
        case::pack(self.shape.panels(), &self.codes, &self.scales).expect("the case packs")
    }

    fn x_bytes(&self) -> Vec<u8> {
        self.x.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    /// The specification's answer, row-major, rows from S on repeated.
    fn expected(&self) -> Vec<u16> {
        let (s, n, k) = (self.shape.seq(), self.shape.panels().n(), self.shape.panels().inputs());
        let sums = |codes: &[i8]| gemm::i8_nt(codes, &self.codes, s, n, k);
        let (acc, tokens): (Vec<i32>, Vec<_>) = match self.shape.activations() {
            Int8 => {
                let (codes, tokens): (Vec<_>, Vec<_>) = self.x.chunks_exact(k).map(w8a8::quantise_token).unzip();
                (sums(&codes.concat()), tokens)
            }
            Int16 => {
                let (codes, tokens): (Vec<_>, Vec<_>) = self.x.chunks_exact(k).map(w8a16::quantise_token).unzip();
                let (upper, lower): (Vec<_>, Vec<_>) = codes.into_iter().map(|c| (c.upper, c.lower)).unzip();
                let (upper, lower) = (sums(&upper.concat()), sums(&lower.concat()));
                (upper.iter().zip(&lower).map(|(&h, &l)| w8a16::join_sums(h, l)).collect(), tokens)
            }
        };
        let rows = w8a8::scale_outputs(&acc, &tokens, &self.scales);
        (0..DECODE_TOKENS).flat_map(|row| rows[row % s * n..][..n].to_vec()).collect()
    }

    /// Indices at which outputs differ from the specification, NaN being equal to NaN.
    fn differences(&self, loaded: &Loaded) -> Vec<usize> {
        let y = loaded.read(self.shape.panels().kind().operands().1).expect("every output was written");
        let y: Vec<u16> = y.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let expected = self.expected();
        assert_eq!(y.len(), expected.len());
        let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
        (0..y.len()).filter(|&i| y[i] != expected[i] && !(nan(y[i]) && nan(expected[i]))).collect()
    }
}

fn projection(size: Size, activations: Activations, seq: usize) -> DecodeProjection {
    DecodeProjection::new(seq, panels(size), activations, WeightScales::PerChannel).expect("a legal shape")
}

fn compiled(size: Size, activations: Activations, seq: usize) -> (DecodeShape, Compiled) {
    let projection = projection(size, activations, seq);
    (*projection.shape(), projection.compile().expect("the kernel compiles"))
}

fn load(compiled: &Compiled, case: &Case, ddr: Option<f64>) -> Loaded {
    let mut loaded = Loaded::new(&Binary::from(compiled), ddr).expect("the PDI loads");
    loaded.write(case.shape.panels().kind().operands().0, &case.x_bytes()).expect("x fits");
    loaded.write("weights", &case.packed()).expect("weights fit");
    loaded
}

fn ran(compiled: &Compiled, case: &Case) -> (Loaded, RunReport) {
    let mut loaded = load(compiled, case, None);
    let report =
        loaded.run().unwrap_or_else(|fault| panic!("{}, S = {}: {fault:#}", compiled.kernel, case.shape.seq())).report;
    (loaded, report)
}

/// Runs a case; its cycles. Weights are read once.
fn run(size: Size, activations: Activations, seq: usize, change: impl FnOnce(&mut Case)) -> u64 {
    let (shape, compiled) = compiled(size, activations, seq);
    let mut case = Case::random(shape, 7 * size.n as u64 + seq as u64);
    change(&mut case);
    let (loaded, report) = ran(&compiled, &case);
    let differences = case.differences(&loaded);
    let (name, Size { k, n }) = (compiled.kernel, size);
    let (count, first) = (differences.len(), differences.first());
    assert_eq!(count, 0, "{name}, {k} -> {n}, S = {seq}: {count} outputs differ, the first at {first:?}");
    let read = |argument: usize| report.arguments[argument].read_bytes as usize;
    assert_eq!(read(1), shape.weights_bytes(), "{name}, {k} -> {n}, S = {seq}");
    report.cycles
}

#[test]
fn every_number_of_tokens() {
    for activations in EACH {
        for seq in 1..=DECODE_TOKENS {
            run(Size { k: 256, n: 1024 }, activations, seq, |_| {});
        }
    }
}

#[test]
fn any_number_of_passes_and_units() {
    // passes modulo 16 decide how a core's turns end, K / 256 modulo 2 how x does
    for (k, n) in
        [(512, 768), (768, 1280), (256, 4096), (512, 4352), (256, 5376), (256, 5888), (256, 2816), (1280, 3840)]
    {
        for activations in EACH {
            run(Size { k, n }, activations, 3, |_| {});
        }
    }
}

#[test]
fn a_second_dispatch_finds_the_array_as_the_first_did() {
    for activations in EACH {
        // an odd number of units on either stream, and results that are no outputs
        let (shape, compiled) = compiled(Size { k: 768, n: 1280 }, activations, 2);
        let mut case = Case::random(shape, 1);
        let mut loaded = load(&compiled, &case, None);
        for seed in 40..43 {
            case.x = data::activations(seed, case.x.len());
            loaded.write(case.shape.panels().kind().operands().0, &case.x_bytes()).expect("x fits");
            loaded.run().expect("the dispatch runs");
            assert_eq!(case.differences(&loaded), Vec::<usize>::new(), "seed {seed}");
        }
    }
}

#[test]
fn slow_ddr_changes_no_output() {
    for activations in EACH {
        let (shape, compiled) = compiled(Size { k: 768, n: 1280 }, activations, 4);
        let case = Case::random(shape, 3);
        for bytes_per_s in [15e9, 1e9] {
            let mut loaded = load(&compiled, &case, Some(bytes_per_s));
            loaded.run().expect("the dispatch runs");
            assert_eq!(case.differences(&loaded), Vec::<usize>::new(), "{bytes_per_s} bytes per second");
        }
    }
}

#[test]
fn tokens_of_zeros_dust_and_infinities_leave_the_others_alone() {
    const SIZE: Size = Size { k: 256, n: 768 };
    for activations in EACH {
        for special in [[0, 0x8000, 0x0001, 0x7F80], [0x7F80, 1, 0xFFC1, 0], [0x7F7F, 0xFF80, 0, 0x7FC0]] {
            run(SIZE, activations, 4, |case| {
                for (token, bits) in case.x.chunks_exact_mut(SIZE.k).zip(special) {
                    if bits & 0x7FFF < 0x7F00 {
                        token.fill(bits);
                    } else {
                        token[17] = bits;
                    }
                }
            });
            run(SIZE, activations, 4, |case| {
                for (token, bits) in case.x.chunks_exact_mut(SIZE.k).zip(special).step_by(2) {
                    token[200] = bits;
                }
            });
        }
    }
}

#[test]
fn codes_and_sums_at_their_largest() {
    const SIZE: Size = Size { k: 512, n: 768 };
    for activations in EACH {
        run(SIZE, activations, 4, |case| {
            // 127 / 1.0 is exact: ±0.5 becomes ±63.5 · 256, a lower limb of -128 and halves to round; ±1 has the largest upper limb
            for (token, x) in case.x.chunks_exact_mut(SIZE.k).zip([0.5, -0.5, 1.0, -1.0]) {
                token.fill(bf16_rne(x));
                token[0] = bf16_rne(1.0);
            }
            for (n, row) in case.codes.chunks_exact_mut(SIZE.k).enumerate() {
                row.fill(if n % 2 == 0 { -128 } else { 127 });
            }
            case.scales.fill(bf16_rne(0.0123));
        });
        run(SIZE, activations, 3, |case| {
            let mut rng = Rng::new(5);
            case.codes.iter_mut().for_each(|code| *code = rng.next_u64() as i8);
        });
    }
}

#[test]
fn a_single_wrong_weight_is_noticed() {
    const SIZE: Size = Size { k: 512, n: 1024 };
    for activations in EACH {
        let (shape, compiled) = compiled(SIZE, activations, 4);
        let mut case = Case::random(shape, 2);
        let (loaded, _) = ran(&compiled, &case);
        assert_eq!(case.differences(&loaded), Vec::<usize>::new());
        let (row, k) = (700, 511);
        let code = &mut case.codes[row * SIZE.k + k];
        *code = code.wrapping_add(64);
        let differences = case.differences(&loaded);
        assert!(!differences.is_empty() && differences.iter().all(|i| i % SIZE.n == row), "{differences:?}");
    }
}

#[test]
fn shapes_and_scales_without_a_kernel_are_refused_by_name() {
    let size = Size { k: 256, n: 768 };
    let refusal =
        |seq, size: Size, scales| DecodeProjection::new(seq, panels(size), Int16, scales).expect_err("illegal");
    let channel = WeightScales::PerChannel;
    for seq in [5, 64] {
        let error = refusal(seq, size, channel);
        assert!(
            matches!(error, KernelError::Shape(LayoutError::DecodeTokens { tokens, limit: 4 }) if tokens == seq),
            "{error}"
        );
    }
    assert!(matches!(refusal(0, size, channel), KernelError::Shape(LayoutError::EmptySequence)));
    let long = refusal(1, Size { k: 5632, n: 768 }, channel);
    assert!(matches!(long, KernelError::Shape(LayoutError::DecodeHidden { hidden: 5632, limit: 5376 })), "{long}");
    let groups = WeightScales::PerGroup(GroupSize::Of32);
    let error = refusal(1, size, groups);
    assert!(
        matches!(error, KernelError::ScalesNotImplemented { kernel, scales } if kernel == W8A16_NAMES[0] && scales == groups),
        "{error}"
    );
    assert_eq!(projection(size, Int8, 1).name(), W8A8_NAMES[0]);
    assert!(DecodeProjection::new(1, panels(size), Int8, WeightScales::PerTensor).is_ok());
}

#[test]
fn tokens_change_the_stream_alone_and_all_projections_share_a_program() {
    let of = |size, seq| compiled(size, Int16, seq).1;
    let (first, second, other) = (of(QKV, 4), of(QKV, 4), of(QKV, 1));
    assert_eq!((&first.pdi, &first.txn), (&second.pdi, &second.txn));
    assert_eq!(first.pdi, other.pdi);
    assert_ne!(first.txn, other.txn);
    let output = of(O, 4);
    assert_ne!(first.pdi, output.pdi);
    assert_eq!(first.cores[&(0, 2)].bytes, output.cores[&(3, 5)].bytes);
}

#[test]
fn no_timing_changes_an_output() {
    let (shape, compiled) = compiled(Size { k: 256, n: 1280 }, Int16, 3);
    let (case, binary) = (Case::random(shape, 7), Binary::from(&compiled));
    let packed = case.packed();
    let simulate = |timing: &Timing| {
        let config = Config { timing: timing.clone(), threads: 1, ..Config::default() };
        let mut loaded = Loaded::with(&binary, config)?;
        loaded.write(case.shape.panels().kind().operands().0, &case.x_bytes())?;
        loaded.write("weights", &packed)?;
        let cycles = loaded.run()?.report.cycles;
        Ok((cycles, loaded.read("qkv")?))
    };
    let consulted = |part| !matches!(part, Part::DdrCap | Part::Noop | Part::Clock);
    let spread = spread::measure(&simulate, consulted, false).expect("the kernel runs with the table's values");
    assert!(spread.same_outputs, "{}", spread.table());
}

/// Share of the 32 bytes per cycle that eight shim channels could read at most.
fn share(size: Size, cycles: u64) -> f64 {
    panels(size).bytes() as f64 / 32.0 / cycles as f64
}

#[test]
fn weights_of_27b_arrive_at_nine_tenths_of_what_the_shims_can_read() {
    for (name, size) in [("QKV", QKV), ("O", O)] {
        for activations in EACH {
            let [one, four] = [1, DECODE_TOKENS].map(|seq| run(size, activations, seq, |_| {}));
            println!("{name} {activations:?}: {one} and {four} cycles, {:.2} %", 100.0 * share(size, four));
            assert!(share(size, one.max(four)) >= 0.9, "{name} {activations:?}: {one} and {four} cycles");
            assert!(one.abs_diff(four) * 100 <= four, "{name} {activations:?}: tokens cost: {one} and {four} cycles");
        }
    }
}
