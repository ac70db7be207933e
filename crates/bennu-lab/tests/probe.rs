//! The designs of bring-up on the simulated array: each gives its modelled answer, call after call, and takes the time it says.

use aie2_kernels::probe::{self, Answer, Probe, Timing, Via};
use bennu_lab::machine::{Binary, Loaded};

/// Calls a probe as often as it predicts, from one load; the cycles of the last call.
fn ask(probe: &Probe) -> u64 {
    let name = probe.name();
    let mut loaded = Loaded::new(&Binary::from(&probe.compiled), None).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    if !probe.compiled.operands.is_empty() {
        // a probe that only writes still has an empty `in`
        loaded.write("in", &probe.input).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    }
    let mut cycles = 0;
    for call in 0..probe::CALLS {
        if !probe.compiled.operands.is_empty() {
            loaded.write("out", &probe.output).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        }
        let ran = loaded.run().unwrap_or_else(|e| panic!("{name}, call {call}: {e:#}"));
        cycles = ran.report.cycles;
        let out = if probe.output.is_empty() { Vec::new() } else { loaded.read("out").expect("written above") };
        assert_eq!(probe.judge(call, &out), Answer::Outcome(0), "{name}, call {call}");
    }
    println!("{name}: {cycles} cycles, {} B in, {} B out", probe.moved_bytes[0], probe.moved_bytes[1]);
    cycles
}

#[test]
fn steps_of_bring_up_are_as_modelled() {
    for probe in probe::steps().expect("steps compile") {
        ask(&probe);
    }
}

#[test]
fn facts_are_as_modelled() {
    for probe in probe::facts().expect("facts compile") {
        ask(&probe);
    }
}

#[test]
fn other_sizes_work_too() {
    for probe in [
        probe::loopback(Via::Switch, 4),
        probe::loopback(Via::MemTile, 4096),
        probe::one_tile(1),
        probe::one_tile(7),
        probe::all_tiles(1),
        probe::all_tiles(3),
    ] {
        ask(&probe.expect("served"));
    }
}

/// What all eight channels move in one cycle, once they run.
fn rate(few: &Probe, many: &Probe, direction: usize) -> f64 {
    let bytes = many.moved_bytes[direction] - few.moved_bytes[direction];
    bytes as f64 / (ask(many) - ask(few)) as f64
}

#[test]
fn channels_read_and_write_at_the_rate_of_their_streams() {
    let few = 4 * probe::UNIT_BYTES;
    let many = 13 * probe::UNIT_BYTES; // odd: the ring of a core ends a call on its other buffer
    for channels in [&probe::CHANNELS[..1], &probe::CHANNELS[3..6], &probe::CHANNELS[..]] {
        let streams = 4.0 * channels.len() as f64;
        let of = |bytes| probe::read_bandwidth(channels, bytes).expect("served");
        let read = rate(&of(few), &of(many), 0);
        let of = |bytes| probe::write_bandwidth(channels, bytes).expect("served");
        let written = rate(&of(few), &of(many), 1);
        println!("{} channels: {read:.2} B/cycle read, {written:.2} written", channels.len());
        assert!((0.93 * streams..=streams).contains(&read), "{read} of {streams}");
        assert!((0.93 * streams..=1.01 * streams).contains(&written), "{written} of {streams}");
    }
}

fn time(timing: &Timing) -> f64 {
    let [few, many] = timing.probes.each_ref().map(|probe| ask(probe) as f64);
    let cycles = timing.cycles_of(few, many);
    println!("{}: {cycles:.3} cycles, modelled {:.3}", timing.probes[0].name(), timing.cycles);
    assert!(timing.as_modelled(cycles), "{cycles} instead of {}", timing.cycles);
    cycles
}

#[test]
fn a_core_issues_a_bundle_a_cycle() {
    assert_eq!(time(&probe::bundles(100, 2100).expect("served")), 8.0);
}

#[test]
fn a_dma_keeps_its_rate_in_a_bank_its_core_reads() {
    let [shared, alone] = [true, false].map(|same| time(&probe::bank_shared(same, 4, 20).expect("served")));
    assert!((shared / alone - 1.0).abs() < 0.05, "{shared} shared, {alone} alone");
}

#[test]
fn four_shims_read_the_same_runs() {
    time(&probe::strided_rows(8, 40).expect("served"));
}
