//! `w8a16_qkv_projection` and `w8a8_qkv_projection` on the simulated array, from the bytes of PDI and TXN, at the dimensions of the tiny Gemma 3.

mod tiny;

use aie2_kernels::w8a8::Projection;
use aie2_kernels::{Compiled, GroupSize, KernelError, WeightScales, w8a8, w8a16};
use bennu_lab::case::{self, Case};
use bennu_lab::golden::{self, Integers};
use bennu_lab::machine::{Binary, Loaded};
use bennu_lab::verify;
use npu_package::layout::Activations::{self, Int8, Int16};
use npu_package::layout::{Panels, ProjectionShape};
use oracle::data::{self, Rng};
use oracle::fp::bf16_rne;
use safetensors::SafeTensors;
use tiny::{HIDDEN, N_KV, N_Q, projection};

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn is_nan(bits: u16) -> bool {
    bits & 0x7FFF > 0x7F80
}

/// Indices at which outputs differ from the specification, NaN being equal to NaN.
fn differences(loaded: &Loaded, case: &Case) -> Vec<usize> {
    let y = case.read_from(loaded).expect("every output was written");
    let expected = case.expected().y;
    assert_eq!(y.len(), expected.len());
    let differs = |i: &usize| y[*i] != expected[*i] && !(is_nan(y[*i]) && is_nan(expected[*i]));
    (0..y.len()).filter(differs).collect()
}

fn load(binary: &Binary, case: &Case) -> Loaded {
    let mut loaded = Loaded::new(binary, None).expect("the PDI loads");
    case.write_to(&mut loaded).expect("the inputs fit");
    loaded
}

fn run(activations: Activations, seq: usize, case: impl FnOnce(Case) -> Case) {
    let (projection, compiled) = projection(activations, seq);
    let case = case(Case::random(*projection.shape(), seq as u64).expect("a random case"));
    let loaded = ran(&compiled, &case);
    let differences = differences(&loaded, &case);
    let name = projection.name();
    assert!(
        differences.is_empty(),
        "{name}, S = {seq}: {} outputs differ, the first at {}",
        differences.len(),
        differences[0]
    );
}

fn ran(compiled: &Compiled, case: &Case) -> Loaded {
    let mut loaded = load(&Binary::from(compiled), case);
    loaded.run().unwrap_or_else(|fault| panic!("{}, S = {}: {fault:#}", compiled.kernel, case.shape.seq()));
    loaded
}

const EACH: [Activations; 2] = [Int8, Int16];

#[test]
fn one_token() {
    EACH.iter().for_each(|&activations| run(activations, 1, |case| case));
}

#[test]
fn ragged_rows() {
    EACH.iter().for_each(|&activations| run(activations, 75, |case| case));
}

#[test]
fn whole_groups() {
    run(Int8, 128, |case| case);
    run(Int16, 64, |case| case);
}

#[test]
fn two_blocks_of_rows() {
    run(Int8, 513, |case| case);
    run(Int16, 257, |case| case);
}

#[test]
fn two_full_blocks_of_rows() {
    run(Int16, 512, |case| case);
}

#[test]
fn a_record_that_ends_with_a_unit_of_codes() {
    let panels = Panels::new(512, 256, 256, 256).expect("legal dimensions");
    let projection = w8a16::projection(3, panels, WeightScales::PerTensor).expect("a legal shape");
    let mut case = Case::random(*projection.shape(), 4).expect("a random case");
    case.scales.fill(bf16_rne(0.0123));
    case.packed = case::pack(case.shape.panels(), &case.codes, &case.scales).expect("the case packs");
    let loaded = ran(&projection.compile().expect("the kernel compiles"), &case);
    assert_eq!(differences(&loaded, &case), Vec::<usize>::new());
}

#[test]
fn the_longest_records_find_room_on_their_way() {
    // 2 · 5888 + 512 bytes: the core that waits longest for its turn holds all of one but the piece taken at once
    let panels = Panels::new(5888, 256, 256, 256).expect("legal dimensions");
    let projection = w8a16::projection(70, panels, WeightScales::PerChannel).expect("a legal shape");
    let case = Case::random(*projection.shape(), 6).expect("a random case");
    let loaded = ran(&projection.compile().expect("the kernel compiles"), &case);
    assert_eq!(differences(&loaded, &case), Vec::<usize>::new());
}

#[test]
fn sixteen_bit_activations_err_by_little_more_than_the_rounding_of_outputs() {
    let errors = EACH.map(|activations| {
        let (projection, compiled) = projection(activations, 64);
        let mut case = Case::random(*projection.shape(), 12).expect("a random case");
        // an outlier in every token: crest about 15
        case.x.chunks_exact_mut(HIDDEN).for_each(|token| token[100] = bf16_rne(-40.0));
        let qkv = words(&ran(&compiled, &case).read("qkv").expect("every output was written"));
        case.errors(&case.expected(), &qkv, 64).rel_same_weights.expect("64 tokens are compared")
    });
    assert!(errors[0] > verify::SAME_WEIGHTS_MAX, "W8A8: {}", errors[0]);
    assert!(errors[1] < 0.2e-2, "W8A16: {}", errors[1]);
}

/// A small output projection: three passes, two blocks of K apart from the q, k, v projection's one.
fn output_projection(activations: Activations, seq: usize) {
    let panels = Panels::output(512, 768).expect("legal dimensions");
    let shape = ProjectionShape::with_activations(seq, panels, activations).expect("a legal shape");
    let projection = Projection::of(shape, WeightScales::PerChannel).expect("its records fit");
    let compiled = projection.compile().expect("the kernel compiles");
    let names: Vec<_> = compiled.operands.iter().map(|operand| operand.name).collect();
    assert_eq!(names, ["ctx", "weights", "o", "scratch"]);
    assert_eq!((&compiled.operands[0].shape, &compiled.operands[2].shape), (&vec![seq, 512], &vec![seq, 768]));
    let case = Case::random(shape, seq as u64).expect("a random case");
    assert_eq!(differences(&ran(&compiled, &case), &case), Vec::<usize>::new(), "{}, S = {seq}", compiled.kernel);
}

#[test]
fn output_projections() {
    for activations in EACH {
        [1, 5, 64, 100].into_iter().for_each(|seq| output_projection(activations, seq));
    }
}

#[test]
fn output_projections_of_two_blocks() {
    output_projection(Int8, 520);
    output_projection(Int16, 300);
}

#[test]
fn codes_of_minus_128_and_one_scale_per_tensor() {
    EACH.into_iter().for_each(extreme_codes);
}

fn extreme_codes(activations: Activations) {
    run(activations, 20, |mut case| {
        let mut rng = Rng::new(5);
        case.codes
            .iter_mut()
            .for_each(|code| *code = if rng.next_u64().is_multiple_of(4) { -128 } else { rng.next_u64() as i8 });
        case.scales.fill(bf16_rne(0.0123));
        case.packed = case::pack(case.shape.panels(), &case.codes, &case.scales).expect("the case packs");
        case
    });
}

#[test]
fn sums_of_limbs_at_their_largest() {
    run(Int16, 4, |mut case| {
        // 127 / 1.0 is exact: ±0.5 becomes ±63.5 · 256, a lower limb of -128 and halves to round; ±1 has the largest upper limb
        for (token, x) in case.x.chunks_exact_mut(HIDDEN).zip([0.5, -0.5, 1.0, -1.0]) {
            token.fill(bf16_rne(x));
            token[0] = bf16_rne(1.0);
            let (codes, _) = oracle::w8a16::quantise_token(token);
            assert!(codes.lower[1] == -128 || codes.upper[1].abs() == 127);
        }
        for (n, row) in case.codes.chunks_exact_mut(HIDDEN).enumerate() {
            row.fill(if n % 2 == 0 { -128 } else { 127 });
        }
        case.packed = case::pack(case.shape.panels(), &case.codes, &case.scales).expect("the case packs");
        case
    });
}

#[test]
fn tokens_of_zeros_dust_and_infinities() {
    EACH.into_iter().for_each(special_tokens);
}

fn special_tokens(activations: Activations) {
    run(activations, 20, |mut case| {
        let row = |i: usize| i * HIDDEN..(i + 1) * HIDDEN;
        case.x[row(0)].fill(0);
        case.x[row(1)].fill(0x8000);
        case.x[row(2)].fill(0x0001);
        case.x[row(3)][17] = 0x7F80;
        case.x[row(4)][200] = 0xFFC1;
        case.x[row(5)][3] = 0x7F7F;
        case
    });
}

#[test]
fn a_single_wrong_weight_is_noticed() {
    EACH.into_iter().for_each(one_wrong_weight);
}

fn one_wrong_weight(activations: Activations) {
    let (projection, compiled) = projection(activations, 20);
    let mut case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut loaded = load(&Binary::from(&compiled), &case);
    loaded.run().expect("the kernel runs");
    // the specification sees another weight than the kernel did, in row 700 (the k projection) at k = 255
    let place = 700 * HIDDEN + 255;
    case.codes[place] = case.codes[place].wrapping_add(64);
    let differences = differences(&loaded, &case);
    assert!(!differences.is_empty());
    let in_column = |i: &usize| i % (N_Q + 2 * N_KV) == 700;
    assert!(differences.iter().all(in_column), "only outputs of that weight's column may differ: {differences:?}");
}

#[test]
fn a_program_without_its_declarations_faults() {
    let (projection, compiled) = projection(Int8, 1);
    let case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut undeclared = Binary::from(&compiled);
    undeclared.cores.iter_mut().for_each(|core| core.early_reads.clear());
    let fault = load(&undeclared, &case).run().err().expect("reads of values in flight are not declared");
    assert!(format!("{fault:#}").contains("before an earlier write to it lands"), "{fault:#}");
}

#[test]
fn a_buffer_too_small_is_named() {
    let (projection, compiled) = projection(Int8, 1);
    let case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut short = Binary::from(&compiled);
    // one row of 128 bytes is no padding: a single token is valid
    short.buffers[3].1 -= 128 + 4;
    let fault = load(&short, &case).run().err().expect("the scratch buffer is too small");
    let scratch = 3;
    assert!(format!("{fault:#}").contains(&format!("argument {scratch} at")), "{fault:#}");
}

#[test]
fn the_same_shape_compiles_to_the_same_bytes() {
    for activations in EACH {
        let (first, second) = (projection(activations, 75).1, projection(activations, 75).1);
        assert_eq!((first.pdi, first.txn), (second.pdi, second.txn));
    }
}

#[test]
fn shapes_that_break_a_rule_are_refused_by_name() {
    let refusal = |seq, k, q, kv| Projection::new(seq, k, q, kv, kv).expect_err("the shape is illegal").to_string();
    assert!(refusal(0, 256, 256, 256).contains("at least one token"), "{}", refusal(0, 256, 256, 256));
    assert!(refusal(1, 640, 256, 256).contains("multiple of 256"), "{}", refusal(1, 640, 256, 256));
    assert!(refusal(1, 256, 300, 256).contains("query"), "{}", refusal(1, 256, 300, 256));
    assert!(refusal(1, 6144, 256, 256).contains("6144"), "{}", refusal(1, 6144, 256, 256));
    let panels = |k| Panels::new(k, 256, 256, 256).expect("legal dimensions");
    let wide = |k| w8a16::projection(1, panels(k), WeightScales::PerChannel);
    assert_eq!(wide(5888).expect("the largest whose record fits").shape().record_bytes(), 12_288);
    let KernelError::RecordTooLong { inputs: 6144, record_bytes: 14_336, limit: 12_288 } =
        wide(6144).expect_err("too long")
    else {
        panic!("another refusal");
    };
}

#[test]
fn scales_of_groups_are_refused_by_name() {
    let panels = Panels::new(HIDDEN, N_Q, N_KV, N_KV).expect("legal dimensions");
    for (activations, name) in [(Int8, w8a8::NAME), (Int16, w8a16::NAME)] {
        let shape = ProjectionShape::with_activations(1, panels, activations).expect("a legal shape");
        for (size, inputs) in [(GroupSize::Of32, 32), (GroupSize::Of128, 128)] {
            let scales = WeightScales::PerGroup(size);
            let error = Projection::of(shape, scales).expect_err("groups have no kernel");
            assert!(matches!(error, KernelError::ScalesNotImplemented { scales: s, .. } if s == scales), "{error}");
            let message = format!(
                "{name} does not apply one scale per {inputs} inputs; it takes one per output channel or per tensor"
            );
            assert_eq!(error.to_string(), message);
        }
        assert!(Projection::of(shape, WeightScales::PerTensor).is_ok());
    }
}

#[test]
fn a_second_dispatch_finds_the_array_as_the_first_did() {
    EACH.into_iter().for_each(dispatch_twice);
}

fn dispatch_twice(activations: Activations) {
    let (projection, compiled) = projection(activations, 33);
    let mut case = Case::random(*projection.shape(), 1).expect("a random case");
    let mut loaded = load(&Binary::from(&compiled), &case);
    loaded.run().expect("the first dispatch runs");
    case.x = data::activations(99, case.x.len());
    loaded.write("x", &case.x_bytes()).expect("x fits");
    loaded.run().expect("the second dispatch runs");
    assert_eq!(differences(&loaded, &case), Vec::<usize>::new());
}

#[test]
fn integer_sums_equal_the_golden_products() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/tiny-gemma3-int8-qkv.safetensors");
    let bytes = std::fs::read(path).expect("the golden file is part of the repository");
    let tensors = SafeTensors::deserialize(&bytes).expect("the golden file is a safetensors file");
    let get = |name: String| tensors.tensor(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (prompt, seq) in [("short", 20), ("long", 75)] {
        let (projection, compiled) = projection(Int8, seq);
        let shape = *projection.shape();
        let scale =
            compiled.cores.iter().map(|(&(c, r), core)| (c, r, core.symbols["scale_outputs"])).collect::<Vec<_>>();
        for layer in [0, 5] {
            let (mut codes, mut scales) = (Vec::new(), Vec::new());
            let mut golden = Integers { codes: Vec::new(), acc: vec![0; seq * shape.panels().n()] };
            let mut first = 0;
            for p in ["q", "k", "v"] {
                let weight = get(format!("model.layers.{layer}.self_attn.{p}_proj.weight"));
                codes.extend(weight.data().iter().map(|b| *b as i8));
                scales.extend(words(get(format!("model.layers.{layer}.self_attn.{p}_proj.weight_scale")).data()));
                let acc = get(format!("{prompt}.int8.layer.{layer}.{p}_proj.acc"));
                let width = acc.shape()[1];
                for (i, value) in acc.data().as_chunks::<4>().0.iter().enumerate() {
                    golden.acc[i / width * shape.panels().n() + first + i % width] = i32::from_le_bytes(*value);
                }
                first += width;
            }
            let name = format!("{prompt}.int8.layer.{layer}.input_norm.codes");
            golden.codes = get(name).data().iter().map(|b| *b as i8).collect();
            let mut case = Case::random(shape, 3).expect("a random case");
            case.packed = case::pack(shape.panels(), &codes, &scales).expect("the golden weights pack");
            let differing =
                golden::differing(&Binary::from(&compiled), scale.clone(), &case, &golden).expect("the kernel runs");
            assert_eq!(differing, 0, "{prompt}, layer {layer}: of {} sums", golden.acc.len());
        }
    }
}
