//! Both projections of a layer in one configuration, against each in its own: outputs bit for bit, and cycles.

#[allow(dead_code)]
mod tiny;

use aie2_kernels::w8a8::{AttentionProjections, Projection};
use aie2_kernels::{Compiled, KernelError, WeightScales};
use bennu_lab::case::Case;
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::Activations::{self, Int8, Int16};
use npu_package::layout::{Panels, ProjectionShape};

const HIDDEN: usize = 768;
const CONTEXT: usize = 512;

fn panels() -> (Panels, Panels) {
    let qkv = Panels::new(HIDDEN, CONTEXT, 256, 256).expect("legal dimensions");
    (qkv, Panels::output(CONTEXT, HIDDEN).expect("legal dimensions"))
}

/// Output and cycles of a projection by itself.
fn alone(case: &Case) -> (Vec<u16>, u64) {
    let projection = Projection::of(case.shape, WeightScales::PerChannel).expect("its records fit");
    let compiled = projection.compile().expect("the kernel compiles");
    let mut loaded = Loaded::new(&Binary::from(&compiled), None).expect("the PDI loads");
    case.write_to(&mut loaded).expect("the inputs fit");
    let cycles = loaded.run().expect("the kernel runs").report.cycles;
    let y = case.read_from(&loaded).expect("every output was written");
    assert!(y == case.expected().y, "{}", compiled.kernel);
    (y, cycles)
}

fn load(compiled: &Compiled, cases: [&Case; 2]) -> Loaded {
    let mut loaded = Loaded::new(&Binary::from(compiled), None).expect("the PDI loads");
    for (case, [x, weights]) in cases.into_iter().zip([["x", "qkv_weights"], ["ctx", "o_weights"]]) {
        loaded.write(x, &case.x_bytes()).expect("the activations fit");
        loaded.write(weights, &case.packed).expect("the weights fit");
    }
    loaded
}

fn equal_and_no_slower(activations: Activations, seq: usize) {
    let (qkv, o) = panels();
    let kernel = AttentionProjections::new(seq, qkv, o, activations).expect("a legal shape");
    let compiled = kernel.compile().expect("the kernel compiles");
    let case = |shape: &ProjectionShape, seed| Case::random(*shape, seed).expect("a random case");
    let [qkv, o] = kernel.shapes();
    let cases = [case(qkv, 1), case(o, 2)];
    let apart = cases.each_ref().map(alone);
    let mut loaded = load(&compiled, cases.each_ref());
    // the second dispatch finds the program at its first phase again
    for dispatch in 1..=2 {
        let cycles = loaded.run().expect("the kernel runs").report.cycles;
        for (case, (y, _)) in cases.iter().zip(&apart) {
            let same = case.read_from(&loaded).expect("every output was written") == *y;
            assert!(same, "{}, S = {seq}, dispatch {dispatch}: {:?}", compiled.kernel, case.shape.panels().kind());
        }
        let sum = apart[0].1 + apart[1].1;
        println!("{}, S = {seq}: {cycles} cycles, apart {} + {} = {sum}", compiled.kernel, apart[0].1, apart[1].1);
        assert!(cycles <= sum, "{cycles} cycles, apart {sum}");
    }
}

#[test]
fn whole_groups() {
    equal_and_no_slower(Int16, 64);
    equal_and_no_slower(Int8, 64);
}

#[test]
fn ragged_rows() {
    equal_and_no_slower(Int16, 75);
    equal_and_no_slower(Int8, 5);
}

#[test]
fn blocks_take_turns_in_the_phases() {
    equal_and_no_slower(Int16, 300);
}

#[test]
fn one_program_serves_every_phase() {
    let (qkv, o) = panels();
    let program = |compiled: Compiled| compiled.cores[&(0, 2)].bytes.clone();
    let both = AttentionProjections::new(64, qkv, o, Int16).and_then(|kernel| kernel.compile()).map(program);
    let both = both.expect("the kernel compiles");
    for panels in [qkv, o] {
        let alone = aie2_kernels::w8a16::projection(64, panels, WeightScales::PerChannel);
        assert!(alone.and_then(|kernel| kernel.compile()).map(program).expect("the kernel compiles") == both);
    }
}

#[test]
fn phases_of_different_models_are_refused() {
    let (qkv, o) = panels();
    let refused = |qkv, o| match AttentionProjections::new(1, qkv, o, Int16) {
        Err(KernelError::PhasesDisagree { first, second, .. }) => (first, second),
        other => panic!("not the refusal: {other:?}"),
    };
    let of = |context, hidden| Panels::output(context, hidden).expect("legal dimensions");
    assert_eq!(refused(qkv, of(256, HIDDEN)), (CONTEXT, 256));
    assert_eq!(refused(qkv, of(CONTEXT, 512)), (HIDDEN, 512));
    refused(o, qkv);
    refused(qkv, qkv);
}
