//! A run's cycles, counters and outputs do not depend on how many host threads ran its cores.

#[allow(dead_code)]
mod tiny;

use aie2_sim::{Config, RunReport};
use bennu_lab::case::Case;
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::Activations;

const SEQ: usize = 75;

#[test]
fn every_number_of_threads_gives_the_same_run() {
    let (projection, compiled) = tiny::projection(Activations::Int16, SEQ);
    let case = Case::random(*projection.shape(), 11).expect("a random case");
    let binary = Binary::from(&compiled);
    let run = |threads: usize| -> [(RunReport, Vec<u8>); 2] {
        let mut loaded = Loaded::with(&binary, Config { threads, ..Config::default() }).expect("the PDI loads");
        case.write_to(&mut loaded).expect("the inputs fit");
        // The second dispatch finds what the first one left.
        std::array::from_fn(|_| {
            let report = loaded.run().expect("the kernel runs").report;
            (report, loaded.read("qkv").expect("every output byte is written"))
        })
    };
    let alone = run(1);
    assert!(alone[0].0.cores.len() == 16 && alone[0].0.macs() > 0);
    for threads in [2, 3, 5, 16] {
        assert!(run(threads) == alone, "{threads} threads");
    }
}
