//! What the recorder says agrees with the figures of the run, and recording changes none of them.

mod relay;
mod support;

use aie2_sim::record::{ActivitySlice, ChannelActivity, CoreActivity, LEAST_WAIT, Record};
use aie2_sim::{Direction, Timing};
use relay::{CHUNK, CHUNKS, CORE, Ran};

const WORDS: u32 = CHUNK * CHUNKS;

fn watched(spin: u64, window: std::ops::Range<u64>) -> (Ran, Record) {
    let mut ran = relay::run(&relay::design(spin), &Timing::default(), WORDS, Some(window)).unwrap();
    let record = ran.record.take().unwrap();
    (ran, record)
}

#[test]
fn recording_changes_no_figure() {
    for spin in [1, 700] {
        let plain = relay::run(&relay::design(spin), &Timing::default(), WORDS, None).unwrap();
        assert_eq!(plain.record, None, "nobody asked");
        let (ran, record) = watched(spin, 0..u64::MAX);
        assert_eq!(ran.report, plain.report);
        assert_eq!(record.cycles, plain.report.cycles);
    }
}

#[test]
fn slices_of_a_core_follow_each_other_and_add_up_to_its_figures() {
    // With little work the core waits for every chunk; with more it works on while DMAs take banks from it.
    let [quick, slow] = [1, 700].map(core_adds_up);
    assert!(quick.0 > CHUNKS as usize && quick.1.lock > 0, "{quick:?}");
    assert!(slow.1.dma_bank > 0, "{slow:?}");
}

/// Checks the core's track; number of slices and stalls.
fn core_adds_up(spin: u64) -> (usize, aie2_sim::report::Stalls) {
    let (ran, record) = watched(spin, 0..u64::MAX);
    let [core] = &record.cores[..] else { panic!("one core runs: {}", record.cores.len()) };
    assert!(core.slices.windows(2).all(|w| w[0].to == w[1].from && w[0].from < w[0].to), "a core that never stops");
    let first = core.slices[0].from;
    assert_eq!(core.slices.last().unwrap().to, record.cycles);
    let total: u64 = core.slices.iter().map(|s| s.to - s.from).sum();
    assert_eq!(total, record.cycles - first);
    let figures = ran.report.cores[0];
    let (mut waits, mut bundles, mut stalls) = (0, 0, 0);
    for s in &core.slices {
        match s.activity {
            CoreActivity::Wait(_) => waits += s.to - s.from,
            CoreActivity::Run(w) => {
                (bundles, stalls) = (bundles + w.bundles, stalls + w.own_stalls + w.dma_stalls);
                // The last stretch may have run ahead of the end.
                if s.to < record.cycles {
                    assert_eq!(w.bundles + w.own_stalls + w.dma_stalls, s.to - s.from);
                }
            }
        }
    }
    assert_eq!(bundles, figures.bundles);
    assert_eq!(stalls, figures.stalls.own + figures.stalls.dma_bank);
    assert_eq!(waits, figures.stalls.lock + figures.stalls.stream + figures.stalls.cascade);
    assert_eq!(core.dma_stalls.iter().map(|(_, n)| n).sum::<u64>(), figures.stalls.dma_bank);
    (core.slices.len(), figures.stalls)
}

#[test]
fn activities_of_a_channel_tile_its_bds() {
    for spin in [1, 700] {
        let (ran, record) = watched(spin, 0..u64::MAX);
        // Shim and core have one channel of each direction in use, the mem tile two.
        assert_eq!(record.channels.len(), 8);
        for track in &record.channels {
            let name = track.channel;
            assert!(track.bds.windows(2).all(|w| w[0].to <= w[1].from), "{name}");
            assert!(track.activities.windows(2).all(|w| w[0].to <= w[1].from), "{name}");
            let mut activities = track.activities.iter().peekable();
            for bd in &track.bds {
                let mut at = bd.from;
                while let Some(a) = activities.next_if(|a| a.from < bd.to) {
                    assert_eq!(a.from, at, "{name}: activities of {bd:?}");
                    at = a.to;
                }
                assert_eq!(at, bd.to, "{name}: activities of {bd:?}");
            }
            assert_eq!(activities.next(), None, "{name}");
            let bytes: u64 = track.bds.iter().map(|b| b.bytes).sum();
            assert!(bytes >= u64::from(4 * WORDS), "{name} moved {bytes}");
            if name.tile.row > 0 {
                let whole = track
                    .bds
                    .iter()
                    .filter(|b| b.bd.is_some() && b.to < record.cycles)
                    .all(|b| b.bytes == u64::from(4 * CHUNK));
                assert!(whole, "{name}: every BD moves a chunk: {:?}", track.bds);
            }
        }
        for shim in &ran.report.shim_channels {
            let track = record.channels.iter().find(|t| t.channel == shim.channel).unwrap();
            assert_eq!(track.bds.iter().map(|b| b.bytes).sum::<u64>(), shim.bytes);
        }
    }
}

fn cycles(record: &Record, row: u8, dir: Direction, of: impl Fn(&ChannelActivity) -> bool) -> u64 {
    let tracks = record.channels.iter().filter(|t| t.channel.tile.row == row && t.channel.dir == dir);
    let slices = tracks.flat_map(|t| &t.activities).filter(|a| of(&a.activity));
    slices.map(|a: &ActivitySlice| a.to - a.from).sum()
}

#[test]
fn a_slow_core_shows_as_back_pressure_before_it_and_starvation_behind_it() {
    let lock = |a: &ChannelActivity| matches!(a, ChannelActivity::Lock(..));
    let (_, slow) = watched(4000, 0..u64::MAX);
    let long = |a: u64| a > slow.cycles / 2;
    assert!(long(cycles(&slow, 1, Direction::Mm2s, |a| *a == ChannelActivity::BackPressured)));
    assert!(long(cycles(&slow, 0, Direction::Mm2s, |a| *a == ChannelActivity::BackPressured)));
    assert!(long(cycles(&slow, 0, Direction::S2mm, |a| *a == ChannelActivity::Starved)));
    assert!(long(cycles(&slow, CORE, Direction::S2mm, lock)), "its buffers are full");
    assert!(long(cycles(&slow, CORE, Direction::Mm2s, lock)), "its results are not there");
    // With no work to do the shim's DDR rate is the limit: its channel moves from the first word on.
    let (_, quick) = watched(1, 0..u64::MAX);
    assert!(cycles(&quick, 0, Direction::Mm2s, |a| *a == ChannelActivity::Starting) > 1000, "the first DDR access");
    let waits = quick.channels.iter().flat_map(|t| &t.activities).filter(|a| {
        matches!(a.activity, ChannelActivity::Starved | ChannelActivity::Held | ChannelActivity::BackPressured)
    });
    assert!(waits.clone().count() > 0 && waits.into_iter().all(|a| a.to - a.from >= LEAST_WAIT));
}

#[test]
fn locks_begin_and_end_with_their_values() {
    let (ran, record) = watched(1, 0..u64::MAX);
    assert_eq!(record.locks.len(), 8, "four pairs");
    for track in &record.locks {
        let empty = track.lock % 2 == 0;
        assert_eq!(track.values[0].1, if empty { 2 } else { 0 }, "{} {}", track.tile, track.lock);
        assert!(track.values.windows(2).all(|w| w[0].0 < w[1].0 || w[0].0 == 0));
        let last = track.values.last().unwrap().1;
        assert_eq!(last, ran.machine.lock(track.tile.col, track.tile.row, track.lock).unwrap());
        assert!(track.values.len() > CHUNKS as usize);
    }
}

#[test]
fn operations_of_the_controller_tile_the_run() {
    let (ran, record) = watched(1, 0..u64::MAX);
    let ops = &record.controller;
    assert_eq!((ops[0].from, ops.last().unwrap().to), (0, record.cycles));
    assert!(ops.windows(2).all(|w| w[0].to == w[1].from && w[0].op + 1 == w[1].op));
    let wait = ops.iter().find(|o| o.what == "wait for token of shim (0, 0) S2MM 0").unwrap();
    assert_eq!(wait.to - wait.from, ran.report.controller.wait_cycles);
    assert!(ops.iter().any(|o| o.what == "push BD 1 to shim (0, 0) MM2S 0"), "{ops:?}");
}

#[test]
fn a_window_cuts_the_same_record() {
    let (_, all) = watched(700, 0..u64::MAX);
    let window = 5000..9000;
    let (_, part) = watched(700, window.clone());
    assert_eq!((part.window.clone(), part.cycles), (window.clone(), all.cycles));
    let cut = |from: u64, to: u64| {
        let (from, to) = (from.max(window.start), to.min(window.end));
        (from < to).then_some((from, to))
    };
    let spans = |record: &Record| -> Vec<(u64, u64)> {
        let cores = record.cores.iter().flat_map(|t| &t.slices).map(|s| (s.from, s.to));
        let bds = record.channels.iter().flat_map(|t| &t.bds).map(|s| (s.from, s.to));
        let ops = record.controller.iter().map(|s| (s.from, s.to));
        cores.chain(bds).chain(ops).filter_map(|(from, to)| cut(from, to)).collect()
    };
    assert_eq!(spans(&part), spans(&all));
    for track in &part.locks {
        let full = all.locks.iter().find(|t| (t.tile, t.lock) == (track.tile, track.lock)).unwrap();
        let at_start = full.values.iter().rev().find(|(at, _)| *at <= window.start).unwrap().1;
        assert_eq!(track.values[0], (window.start, at_start), "{} {}", track.tile, track.lock);
        assert!(track.values.iter().all(|(at, _)| window.contains(at)));
    }
}

#[test]
fn a_second_run_is_recorded_from_its_own_begin() {
    let d = relay::design(1);
    let mut machine = aie2_sim::MachineOf::<support::Script>::new(support::fast());
    machine.load_pdi(&d.pdi()).unwrap();
    let input = support::ramp(WORDS);
    let ids = [machine.alloc("in", input.len()), machine.alloc("out", input.len())];
    machine.write_buffer(ids[0], 0, &input).unwrap();
    machine.run(&d.txn(), &ids).unwrap();
    machine.record(0..u64::MAX);
    let report = machine.run(&d.txn(), &ids).unwrap();
    let record = machine.take_record().unwrap();
    assert_eq!(record.cycles, report.cycles);
    assert_eq!(record.cores[0].slices[0].from, 0, "it waited for its input when the run began");
    let bytes: u64 =
        record.channels.iter().filter(|t| t.channel.tile.row == 0).flat_map(|t| &t.bds).map(|b| b.bytes).sum();
    assert_eq!(bytes, u64::from(2 * 4 * WORDS));
    assert_eq!(machine.take_record(), None);
}
