//! Projections of weights with a scale for every 32 or 128 inputs on the simulated array, from the bytes of PDI and TXN, bit for bit against
//! `oracle::w8a16_groups`.

use aie2_kernels::decode_projection::{DecodeProjection, W8A8_NAMES, W8A16_NAMES};
use aie2_kernels::w8a8::{AttentionProjections, Projection};
use aie2_kernels::w8a16_groups::GroupProjection;
use aie2_kernels::w8a16_groups::decode::GroupDecodeProjection;
use aie2_kernels::{Compiled, GroupSize, KernelError, WeightScales, w8a8, w8a16};
use aie2_sim::RunReport;
use bennu_lab::machine::{Binary, Loaded};
use bennu_lab::{case, verify};
use npu_package::layout::Activations::{Int8, Int16};
use npu_package::layout::{LayoutError, Panels, ProjectionShape};
use oracle::data::{self, GroupWeights, Rng};
use oracle::fp::{bf16_rne, widen};
use oracle::{w8a8 as w8a8_spec, w8a16_groups};

struct Case {
    panels: Panels,
    seq: usize,
    x: Vec<u16>,
    weights: GroupWeights,
}

impl Case {
    fn random(panels: Panels, seq: usize, seed: u64) -> Self {
        let (k, size) = (panels.inputs(), panels.groups().expect("scales of groups"));
        let weights = GroupWeights::normal(seed, panels.n(), k, size.inputs());
        Self { panels, seq, x: data::activations(seed, seq * k), weights }
    }

    fn packed(&self) -> Vec<u8> {
        case::pack(&self.panels, &self.weights.codes, &self.weights.scales).expect("the case packs")
    }

    fn x_bytes(&self) -> Vec<u8> {
        self.x.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    /// The specification's answer, row-major.
    fn expected(&self) -> Vec<u16> {
        let group = self.panels.groups().expect("scales of groups").inputs();
        w8a16_groups::project(&self.x, &self.weights.codes, &self.weights.scales, self.panels.inputs(), group)
    }

    /// Indices at which outputs differ from the specification, NaN being equal to NaN.
    fn differences(&self, loaded: &Loaded) -> Vec<usize> {
        let y = loaded.read(self.panels.kind().operands().1).expect("every output was written");
        let y: Vec<u16> = y.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let expected = self.expected();
        let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
        // a decoding kernel repeats the rows
        (0..y.len())
            .filter(|&i| {
                let e = expected[i % expected.len()];
                y[i] != e && !(nan(y[i]) && nan(e))
            })
            .collect()
    }

    fn load(&self, compiled: &Compiled) -> Loaded {
        let mut loaded = Loaded::new(&Binary::from(compiled), None).expect("the PDI loads");
        loaded.write(self.panels.kind().operands().0, &self.x_bytes()).expect("x fits");
        loaded.write("weights", &self.packed()).expect("weights fit");
        loaded
    }

    fn check(&self, compiled: &Compiled) -> RunReport {
        let mut loaded = self.load(compiled);
        let report =
            loaded.run().unwrap_or_else(|fault| panic!("{}, S = {}: {fault:#}", compiled.kernel, self.seq)).report;
        let differences = self.differences(&loaded);
        let (count, first) = (differences.len(), differences.first());
        assert_eq!(count, 0, "{}, S = {}: {count} outputs differ, the first at {first:?}", compiled.kernel, self.seq);
        report
    }
}

fn compiled(panels: Panels, seq: usize) -> Compiled {
    let size = panels.groups().expect("scales of groups");
    let projection = GroupProjection::new(seq, panels, size).expect("a legal shape");
    projection.compile().unwrap_or_else(|error| panic!("{}: {error}", projection.name()))
}

fn small(size: GroupSize) -> Panels {
    Panels::new(512, 512, 256, 256).expect("legal dimensions").grouped(size)
}

fn decoder(panels: Panels, seq: usize) -> Compiled {
    let size = panels.groups().expect("scales of groups");
    let projection = GroupDecodeProjection::new(seq, panels, size).expect("a legal shape");
    projection.compile().unwrap_or_else(|error| panic!("{}: {error}", projection.name()))
}

#[test]
fn every_number_of_tokens_decodes() {
    for size in GroupSize::ALL {
        for seq in 1..=4 {
            let panels = small(size);
            Case::random(panels, seq, seq as u64).check(&decoder(panels, seq));
        }
    }
}

#[test]
fn any_number_of_tokens() {
    for size in GroupSize::ALL {
        // one group of rows, a ragged second one, m of 48 and 64, a ragged second block
        for seq in [1, 75, 190, 256, 257] {
            let panels = small(size);
            Case::random(panels, seq, seq as u64).check(&compiled(panels, seq));
        }
    }
}

/// Prefill and decoding of output projections.
fn output_projections(k: usize, n: usize, seq: usize) {
    for size in GroupSize::ALL {
        let panels = Panels::output(k, n).expect("legal dimensions").grouped(size);
        let case = Case::random(panels, seq, n as u64);
        case.check(&compiled(panels, seq));
        if seq <= 4 {
            let report = case.check(&decoder(panels, seq));
            let read = report.arguments[1].read_bytes as usize;
            let filler = (8 * k).next_multiple_of(panels.unit_bytes()) - 8 * k;
            assert_eq!(read, panels.bytes() + 4 * filler, "weights are read once");
        }
    }
}

#[test]
fn output_projections_of_any_passes_and_units() {
    // passes modulo 16 decide how a decoding core's turns end; fewer than the passes B lags behind
    for (k, n) in [(256, 256), (512, 768), (768, 1280), (1280, 512), (256, 4096), (256, 4352), (256, 5888), (256, 2816)]
    {
        output_projections(k, n, 3);
    }
    output_projections(1024, 768, 70);
}

#[test]
fn the_longest_records_find_room_on_their_way() {
    for size in GroupSize::ALL {
        let panels = Panels::new(5888, 256, 256, 256).expect("legal dimensions").grouped(size);
        Case::random(panels, 70, 6).check(&compiled(panels, 70));
    }
    let panels = Panels::new(6144, 256, 256, 256).expect("legal dimensions");
    let error = GroupProjection::new(1, panels, GroupSize::Of32).expect_err("too long");
    assert!(matches!(error, KernelError::RecordTooLong { inputs: 6144, .. }), "{error}");
    let error = GroupDecodeProjection::new(1, panels, GroupSize::Of32).expect_err("too long");
    assert!(matches!(error, KernelError::Shape(LayoutError::DecodeHidden { hidden: 6144, .. })), "{error}");
    assert!(GroupDecodeProjection::new(5, small(GroupSize::Of128), GroupSize::Of128).is_err());
}

#[test]
fn a_second_dispatch_finds_the_array_as_the_first_did() {
    for size in GroupSize::ALL {
        let panels = Panels::new(768, 512, 256, 256).expect("legal dimensions").grouped(size);
        for (compiled, seq) in [(compiled(panels, 33), 33), (decoder(panels, 2), 2)] {
            let mut case = Case::random(panels, seq, 1);
            let mut loaded = case.load(&compiled);
            for seed in 40..43 {
                case.x = data::activations(seed, case.x.len());
                loaded.write("x", &case.x_bytes()).expect("x fits");
                loaded.run().expect("the dispatch runs");
                assert_eq!(case.differences(&loaded), Vec::<usize>::new(), "{}, seed {seed}", compiled.kernel);
            }
        }
    }
}

#[test]
fn prefill_and_decoding_are_one_function() {
    let panels = small(GroupSize::Of32);
    let case = Case::random(panels, 4, 9);
    let outputs = [compiled(panels, 4), decoder(panels, 4)].map(|compiled| {
        let mut loaded = case.load(&compiled);
        loaded.run().expect("the dispatch runs");
        loaded.read("qkv").expect("every output was written")
    });
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn codes_and_scales_at_their_limits_and_tokens_that_are_not_finite() {
    for size in GroupSize::ALL {
        let panels = small(size);
        for compiled in [compiled(panels, 4), decoder(panels, 4)] {
            let mut case = Case::random(panels, 4, 3);
            let mut rng = Rng::new(8);
            case.weights.codes.iter_mut().for_each(|code| *code = rng.next_u64() as i8);
            // the least and the largest that are normal and leave room for 128 times as much
            for scale in &mut case.weights.scales {
                *scale = [0x0080, 0x3F80, 0x3F81, 0x7A00][rng.next_u64() as usize % 4];
            }
            case.check(&compiled);
            let k = panels.inputs();
            case.x[17] = 0x7F80;
            case.x[k + 400] = 0xFFC1;
            case.x[2 * k..3 * k].fill(0);
            case.check(&compiled);
        }
    }
}

#[test]
fn a_single_wrong_scale_is_noticed() {
    for size in GroupSize::ALL {
        let panels = small(size);
        for compiled in [compiled(panels, 2), decoder(panels, 2)] {
            let mut case = Case::random(panels, 2, 2);
            let mut loaded = case.load(&compiled);
            loaded.run().expect("the dispatch runs");
            assert_eq!(case.differences(&loaded), Vec::<usize>::new());
            let (row, of) = (700, panels.scales_per_row());
            // a group's last scale, twice as large
            case.weights.scales[row * of + of - 1] += 0x80;
            let differences = case.differences(&loaded);
            assert!(!differences.is_empty() && differences.iter().all(|i| i % panels.n() == row), "{differences:?}");
        }
    }
}

#[test]
fn errors_are_those_of_two_roundings() {
    for size in GroupSize::ALL {
        let panels = Panels::output(4096, 256).expect("legal dimensions").grouped(size);
        let mut case = Case::random(panels, 4, 12);
        // an outlier in every token: crest about 40
        case.x.chunks_exact_mut(4096).for_each(|token| token[100] = bf16_rne(-40.0));
        let mut loaded = case.load(&decoder(panels, 4));
        loaded.run().expect("the dispatch runs");
        let y = loaded.read("o").expect("every output was written");
        let y = y.as_chunks::<2>().0.iter().map(|b| f64::from(widen(u16::from_le_bytes(*b))));
        let GroupWeights { codes, scales } = &case.weights;
        let exact = w8a16_groups::exact_outputs(&case.x, codes, scales, 4096, size.inputs());
        let error = w8a8_spec::relative_frobenius(y, exact);
        assert!(error <= verify::SAME_WEIGHTS_MAX, "{size:?}: {error}");
    }
}

#[test]
fn kernels_of_channels_refuse_scales_of_groups() {
    for size in GroupSize::ALL {
        let (panels, groups) = (small(size), WeightScales::PerGroup(size));
        let refused = |error: KernelError, name: &str| match error {
            KernelError::ScalesNotImplemented { kernel, scales } => assert_eq!((kernel, scales), (name, groups)),
            other => panic!("another refusal: {other}"),
        };
        for (activations, name, decodes) in [(Int8, w8a8::NAME, W8A8_NAMES[0]), (Int16, w8a16::NAME, W8A16_NAMES[0])] {
            let shape = ProjectionShape::with_activations(1, panels, activations).expect("a legal shape");
            refused(Projection::of(shape, WeightScales::PerChannel).expect_err("a layout of groups"), name);
            let error = DecodeProjection::new(1, panels, activations, WeightScales::PerChannel);
            refused(error.expect_err("a layout of groups"), decodes);
        }
        let o = Panels::output(512, 512).expect("legal dimensions");
        let error = AttentionProjections::new(1, panels, o, Int16).expect_err("a layout of groups");
        refused(error, "w8a16_attention_projections");
    }
}

#[test]
fn tokens_change_the_stream_alone_and_projections_share_a_program() {
    let (qkv, o) =
        (small(GroupSize::Of32), Panels::output(768, 256).expect("legal dimensions").grouped(GroupSize::Of32));
    let (one, four, other) = (decoder(qkv, 1), decoder(qkv, 4), decoder(o, 4));
    assert_eq!(one.pdi, four.pdi);
    assert_ne!(one.txn, four.txn);
    assert_eq!(one.cores[&(0, 2)].bytes, other.cores[&(3, 5)].bytes);
    let (first, second) = (compiled(qkv, 64), compiled(o, 60));
    assert_eq!(first.cores[&(0, 2)].bytes, second.cores[&(3, 5)].bytes);
}

#[test]
fn weights_of_27b_arrive_at_four_fifths_of_what_the_shims_can_read() {
    for size in GroupSize::ALL {
        let panels = Panels::output(4096, 5376).expect("27B").grouped(size);
        let cycles = Case::random(panels, 1, 1).check(&decoder(panels, 1)).cycles;
        let share = panels.bytes() as f64 / 32.0 / cycles as f64;
        println!("{size:?}: {cycles} cycles, {:.1} %", 100.0 * share);
        assert!(share >= 0.8, "{size:?}: {cycles} cycles");
    }
}
