//! Timing decides when things happen, never what comes out; where it does, the design races.

mod relay;
mod support;

use aie2_sim::Timing;
use aie2_sim::timing::Part;
use npu_container::address::addr;
use npu_container::txn::Direction::{Mm2s, S2mm};
use npu_container::txn::Op;
use relay::{CHUNK, CHUNKS, CORE};
use support::{Act, Design, MEM, SHIM, bd, lock_offset, ramp, words_of};

/// The table with one number at an end of its range, for every number and end.
fn extremes() -> Vec<(&'static str, Timing)> {
    let table = Timing::default();
    let free = table.rows().into_iter().filter(|r| r.follows().is_none());
    free.flat_map(|r| r.extremes().map(move |at| (r.name, at)).collect::<Vec<_>>())
        .map(|(name, at)| (name, table.with(name, at).expect("a free number of the table")))
        .collect()
}

#[test]
fn equal_parameters_give_equal_cycles_and_moved_ones_the_same_data() {
    for spin in [1, 700] {
        let d = relay::design(spin);
        let words = CHUNK * CHUNKS;
        let base = relay::run(&d, &Timing::default(), words, None).unwrap();
        assert_eq!(base.output, ramp(words));
        let again = relay::run(&d, &Timing::default(), words, None).unwrap();
        assert_eq!(again.report, base.report, "spin {spin}");
        for (name, timing) in extremes() {
            let moved = relay::run(&d, &timing, words, None).unwrap();
            assert_eq!(moved.output, base.output, "{name}, spin {spin}");
        }
    }
}

/// What the relay consults changes its cycles at one end at least, so that no number of the table is decoration.
#[test]
fn moved_numbers_move_the_cycles() {
    let words = CHUNK * CHUNKS;
    let cycles = |d: &Design, t: &Timing| relay::run(d, t, words, None).unwrap().report.cycles;
    let moves = |name: &str| {
        [1, 700].into_iter().any(|spin| {
            let d = relay::design(spin);
            let base = cycles(&d, &Timing::default());
            extremes().iter().any(|(n, t)| *n == name && cycles(&d, t) != base)
        })
    };
    for name in [
        "s2mm_end_to_release",
        "mm2s_end_to_release",
        "core_release_visible",
        "shim_mm2s_millicycles_per_word",
        "shim_mm2s_task",
        "shim_mm2s_first_extra",
        "shim_s2mm_first",
        "op_write",
        "op_block_write",
        "op_block_write_word",
        "op_ddr_patch",
        "op_tct",
        "first_token_residue",
        "token_latency",
        "channel_start",
        "bd_fetch_cold",
    ] {
        assert!(moves(name), "{name} moves nothing");
    }
}

/// A number that a run is said not to consult moves nothing in it.
#[test]
fn numbers_of_parts_that_take_no_part_move_nothing() {
    let d = relay::design(1);
    let words = CHUNK * CHUNKS;
    let base = relay::run(&d, &Timing::default(), words, None).unwrap().report;
    let mut idle = Vec::new();
    for row in Timing::default().rows() {
        if row.part.took_part(&base, false) {
            continue;
        }
        assert!(matches!(row.part, Part::Noop | Part::MaskWrite | Part::DdrCap | Part::Clock), "{}", row.name);
        for at in row.extremes() {
            let timing = Timing::default().with(row.name, at).unwrap();
            assert_eq!(relay::run(&d, &timing, words, None).unwrap().report, base, "{} = {at}", row.name);
            idle.push(row.name);
        }
    }
    assert!(idle.contains(&"op_noop") && idle.contains(&"ddr_burst_bytes"), "{idle:?}");
}

/// Core (0, 2) to shim (0, 0) straight through the mem tile, `words` of them.
fn straight(words: u32) -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, CORE, 1, 5).connect(0, MEM, 13, 7).connect(0, SHIM, 14, 4);
    d.op_transfer(0, S2mm, 0, 0, words, 1);
    d
}

/// A parameter that the stream writes after it has told the core to go on, and twenty writes later: the core reads the old or the new one.
#[test]
fn a_race_shows_as_other_data_at_some_extreme() {
    let mut d = straight(1);
    d.write(0, CORE, 0x100, 11).lock(0, CORE, 3, 0).bd(0, CORE, 2, &bd(0x4000, 1).locks((3, -1), (2, 1)));
    d.start(0, CORE, Mm2s, 0, 2);
    let core = [Act::Acquire(49, -1), Act::Spin(2250, 0), Act::Copy(0x100, 0x4000, 1), Act::Release(51, 1), Act::Done];
    d.core(0, CORE, &core);
    let mut write = |offset, value| d.ops.push(Op::Write { addr: addr(0, CORE, offset), value });
    write(lock_offset(CORE, 1), 1);
    (0..20).for_each(|_| write(0x200, 0));
    write(0x100, 22);
    d.op_wait(0, S2mm, 0);
    let value = |t: &Timing| words_of(&relay::run(&d, t, 1, None).unwrap().output)[0];
    // 21 writes of 100 cycles are over before 2250 bundles, 21 of 114 are not.
    assert_eq!(value(&Timing::default()), 22);
    let differing: Vec<&str> = extremes().iter().filter(|(_, t)| value(t) != 22).map(|(name, _)| *name).collect();
    assert_eq!(differing, ["op_write"]);
}

#[test]
fn small_bds_stream_faster_the_more_of_them_may_be_under_way() {
    let cycles = |ahead, release| {
        let mut d = straight(256);
        for b in 0..2u32 {
            d.bd(0, CORE, 2 + b, &bd(0x4000, 4).next(3 - b));
        }
        for w in 0..4 {
            d.write(0, CORE, 0x4000 + 4 * w, w);
        }
        d.start(0, CORE, Mm2s, 0, 2).op_wait(0, S2mm, 0);
        let table = Timing { mm2s_bds_ahead: ahead, ..Timing::default() };
        let timing = table.with("mm2s_end_to_release", release).unwrap();
        relay::run(&d, &timing, 256, None).unwrap().report.cycles
    };
    let row = |name| Timing::default().rows().into_iter().find(|r| r.name == name).unwrap();
    let (ahead, release) = (row("mm2s_bds_ahead"), row("mm2s_end_to_release"));
    assert!(cycles(ahead.low, release.high) > cycles(ahead.high, release.high), "each waits for releases before it");
    // Four words and the bubble take as long as a quick release.
    assert_eq!(cycles(ahead.low, release.low), cycles(ahead.high, release.low));
}
