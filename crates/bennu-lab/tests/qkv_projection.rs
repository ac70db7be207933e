//! `w8a8_qkv_projection` on the simulated array, from the bytes of PDI and TXN, at the dimensions of the tiny Gemma 3.

mod tiny;

use aie2_kernels::w8a8::QkvProjection;
use bennu_lab::case::{self, Case};
use bennu_lab::golden::{self, Integers};
use bennu_lab::machine::{Binary, Loaded};
use oracle::data::{self, Rng};
use oracle::fp::bf16_rne;
use safetensors::SafeTensors;
use tiny::{HIDDEN, N_KV, N_Q, binary, projection};

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn is_nan(bits: u16) -> bool {
    bits & 0x7FFF > 0x7F80
}

/// Indices at which outputs differ from the specification, NaN being equal to NaN.
fn differences(loaded: &Loaded, case: &Case) -> Vec<usize> {
    let qkv = words(&loaded.read("qkv").expect("every output was written"));
    let expected = case.expected().qkv;
    assert_eq!(qkv.len(), expected.len());
    let differs = |i: &usize| qkv[*i] != expected[*i] && !(is_nan(qkv[*i]) && is_nan(expected[*i]));
    (0..qkv.len()).filter(differs).collect()
}

fn load(binary: &Binary, case: &Case) -> Loaded {
    let mut loaded = Loaded::new(binary, None).expect("the PDI loads");
    loaded.write("x", &case.x_bytes()).expect("x fits");
    loaded.write("weights", &case.packed).expect("weights fit");
    loaded
}

fn run(seq: usize, case: impl FnOnce(Case) -> Case) {
    let (projection, compiled) = projection(seq);
    let case = case(Case::random(*projection.shape(), seq as u64).expect("a random case"));
    let mut loaded = load(&binary(&compiled), &case);
    loaded.run().unwrap_or_else(|fault| panic!("S = {seq}: {fault:#}"));
    let differences = differences(&loaded, &case);
    assert!(differences.is_empty(), "S = {seq}: {} outputs differ, the first at {}", differences.len(), differences[0]);
}

#[test]
fn one_token() {
    run(1, |case| case);
}

#[test]
fn ragged_rows() {
    run(75, |case| case);
}

#[test]
fn whole_groups() {
    run(128, |case| case);
}

#[test]
fn two_blocks_of_rows() {
    run(513, |case| case);
}

#[test]
fn codes_of_minus_128_and_one_scale_per_tensor() {
    run(20, |mut case| {
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
fn tokens_of_zeros_dust_and_infinities() {
    run(20, |mut case| {
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
    let (projection, compiled) = projection(20);
    let mut case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut loaded = load(&binary(&compiled), &case);
    loaded.run().expect("the kernel runs");
    // the specification sees another weight than the kernel did, in row 700 (the k projection) at k = 255
    let place = 700 * HIDDEN + 255;
    case.codes[place] = case.codes[place].wrapping_add(64);
    let differences = differences(&loaded, &case);
    assert!(!differences.is_empty());
    let in_column = |i: &usize| *i >= 20 * N_Q && *i < 20 * (N_Q + N_KV) && (i - 20 * N_Q) % N_KV == 700 - N_Q;
    assert!(differences.iter().all(in_column), "only outputs of that weight's column may differ: {differences:?}");
}

#[test]
fn a_program_without_its_declarations_faults() {
    let (projection, compiled) = projection(1);
    let case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut undeclared = binary(&compiled);
    undeclared.cores.iter_mut().for_each(|core| core.early_reads.clear());
    let fault = load(&undeclared, &case).run().err().expect("reads of values in flight are not declared");
    assert!(format!("{fault:#}").contains("before an earlier write to it lands"), "{fault:#}");
}

#[test]
fn a_buffer_too_small_is_named() {
    let (projection, compiled) = projection(1);
    let case = Case::random(*projection.shape(), 2).expect("a random case");
    let mut short = binary(&compiled);
    // one row of 128 bytes is no padding: a single token is valid
    short.buffers[3].1 -= 128 + 4;
    let fault = load(&short, &case).run().err().expect("the scratch buffer is too small");
    let scratch = 3;
    assert!(format!("{fault:#}").contains(&format!("argument {scratch} at")), "{fault:#}");
}

#[test]
fn the_same_shape_compiles_to_the_same_bytes() {
    let (first, second) = (projection(75).1, projection(75).1);
    assert_eq!((first.pdi, first.txn), (second.pdi, second.txn));
}

#[test]
fn shapes_that_break_a_rule_are_refused_by_name() {
    let refusal = |seq, k, q, kv| QkvProjection::new(seq, k, q, kv, kv).expect_err("the shape is illegal").to_string();
    assert!(refusal(0, 256, 256, 256).contains("at least one token"), "{}", refusal(0, 256, 256, 256));
    assert!(refusal(1, 640, 256, 256).contains("multiple of 256"), "{}", refusal(1, 640, 256, 256));
    assert!(refusal(1, 256, 300, 256).contains("query"), "{}", refusal(1, 256, 300, 256));
    assert!(refusal(1, 6144, 256, 256).contains("6144"), "{}", refusal(1, 6144, 256, 256));
}

#[test]
fn a_second_dispatch_finds_the_array_as_the_first_did() {
    let (projection, compiled) = projection(33);
    let mut case = Case::random(*projection.shape(), 1).expect("a random case");
    let mut loaded = load(&binary(&compiled), &case);
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
        let (projection, compiled) = projection(seq);
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
                golden::differing(&binary(&compiled), scale.clone(), &case, &golden).expect("the kernel runs");
            assert_eq!(differing, 0, "{prompt}, layer {layer}: of {} sums", golden.acc.len());
        }
    }
}
