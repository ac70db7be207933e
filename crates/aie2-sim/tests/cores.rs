//! Cores on the bus: locks, windows, streams, cascade, start, breakpoints, run-ahead.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Fault, Waiter};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use std::cell::RefCell;
use std::rc::Rc;
use support::{Act, Design, MEM, SHIM, bd, lock_offset, ramp, words_of};

fn poll_lock(d: &mut Design, col: u8, row: u8, lock: u32, value: u32) {
    d.ops.push(Op::MaskPoll { addr: addr(col, row, lock_offset(row, lock)), value, mask: 0x3f });
}

fn set_lock(d: &mut Design, col: u8, row: u8, lock: u32, value: u32) {
    d.ops.push(Op::Write { addr: addr(col, row, lock_offset(row, lock)), value });
}

#[test]
fn an_enabled_core_runs_from_the_first_dispatch() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Release(48, 1), Act::Done]);
    let m = d.machine().unwrap();
    assert_eq!(m.lock(0, 2, 0).unwrap(), 0);
    poll_lock(&mut d, 0, 2, 0, 1);
    let (m, _, report) = d.run(&[]).unwrap();
    assert_eq!(m.lock(0, 2, 0).unwrap(), 1);
    assert_eq!(report.cores[0].bundles, 1);
}

#[test]
fn a_core_in_reset_or_disabled_does_not_run() {
    for control in [0, 2, 3] {
        let mut d = Design::default();
        d.core(0, 2, &[Act::Release(48, 1), Act::Done]).write(0, 2, 0x3_2000, control);
        poll_lock(&mut d, 0, 2, 0, 1);
        assert!(matches!(d.run(&[]), Err(Fault::Deadlock(_))), "control {control}");
    }
}

#[test]
fn a_reset_pulse_restarts_the_program() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Release(48, 1), Act::Done]);
    poll_lock(&mut d, 0, 2, 0, 1);
    let control = addr(0, 2, 0x3_2000);
    d.ops.push(Op::MaskWrite { addr: control, value: 2, mask: 2 });
    d.ops.push(Op::MaskWrite { addr: control, value: 0, mask: 2 });
    poll_lock(&mut d, 0, 2, 0, 2);
    let (_, _, report) = d.run(&[]).unwrap();
    assert_eq!(report.cores[0].bundles, 2);
}

#[test]
fn done_can_be_polled_in_core_status() {
    let mut d = Design::default();
    d.core(1, 3, &[Act::Spin(500, 0), Act::Done]);
    d.ops.push(Op::MaskPoll { addr: addr(1, 3, 0x3_2004), value: 1 << 20, mask: 1 << 20 });
    let (_, _, report) = d.run(&[]).unwrap();
    assert!(report.cycles >= 500 && report.cycles < 1000);
}

#[test]
fn windows_and_lock_groups_reach_south_west_north_and_own_only() {
    // The middle core (1, 3) reads its own word and those of its three neighbours.
    let mut d = Design::default();
    for (col, row, word) in [(1, 3, 11), (1, 2, 22), (0, 3, 33), (1, 4, 44)] {
        d.write(col, row, 0x100, word);
    }
    let expect = |at, want| Act::Expect(at, want);
    d.core(
        1,
        3,
        &[
            expect(0x7_0100, 11),
            expect(0x4_0100, 22),
            expect(0x5_0100, 33),
            expect(0x6_0100, 44),
            Act::Release(1, 1),
            Act::Release(16 + 2, 1),
            Act::Release(32 + 3, 1),
            Act::Release(48 + 4, 1),
            Act::Done,
        ],
    );
    for (col, row, lock) in [(1, 2, 1), (0, 3, 2), (1, 4, 3), (1, 3, 4)] {
        poll_lock(&mut d, col, row, lock, 1);
    }
    d.run(&[]).unwrap();
    // Edges of the array and holes of the map.
    for (col, row, at) in
        [(0, 2, 0x4_0100), (0, 3, 0x5_0100), (1, 5, 0x6_0100), (1, 3, 0x3_0100), (1, 3, 0x8_0100), (1, 3, 0x7_FFFE)]
    {
        let mut d = Design::default();
        d.core(col, row, &[Act::Expect(at, 0)]);
        poll_lock(&mut d, 0, 2, 0, 1);
        assert!(matches!(d.run(&[]), Err(Fault::CoreAddress { addr, .. }) if addr == at), "{at:#x}");
    }
    for (col, row, id) in [(0, 2, 3), (0, 3, 16), (1, 5, 40), (1, 3, 64)] {
        let mut d = Design::default();
        d.core(col, row, &[Act::Acquire(id, -1)]);
        poll_lock(&mut d, 0, 2, 0, 1);
        assert!(matches!(d.run(&[]), Err(Fault::CoreLock { id: i, .. }) if i == id), "{id}");
    }
}

#[test]
fn reading_a_byte_nobody_wrote_is_a_fault() {
    let mut d = Design::default();
    d.write(2, 4, 0x100, 1).core(2, 4, &[Act::Expect(0x7_0100, 1), Act::Expect(0x7_0102, 0)]);
    poll_lock(&mut d, 0, 2, 0, 1);
    let Err(fault) = d.run(&[]) else { panic!() };
    let Fault::CoreUninitialised { tile, addr: 0x7_0102, first_bad: 0x7_0104, bytes: 4 } = fault else {
        panic!("{fault}")
    };
    assert_eq!((tile.col, tile.row), (2, 4));
}

#[test]
fn positive_acquires_wait_for_equality_and_blocked_cores_cost_nothing() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Acquire(48, 2), Act::Release(49, 1), Act::Done]);
    set_lock(&mut d, 0, 2, 0, 3);
    for _ in 0..50 {
        d.ops.push(Op::Noop);
    }
    d.ops.push(Op::MaskPoll { addr: addr(0, 2, lock_offset(2, 1)), value: 0, mask: 0x3f });
    set_lock(&mut d, 0, 2, 0, 2);
    poll_lock(&mut d, 0, 2, 1, 1);
    let (m, _, report) = d.run(&[]).unwrap();
    assert_eq!(m.lock(0, 2, 0).unwrap(), 0);
    assert_eq!(report.cores[0].bundles, 2);
    assert!(report.cores[0].stalls.lock > 50 * 13);
}

#[test]
fn core_streams_carry_words_both_ways() {
    // Core (0, 2) sends 40 words to core (0, 3) by its stream port, which writes them to memory.
    let mut d = Design::default();
    for w in 0..40 {
        d.write(0, 2, 0x800 + 4 * w, 7 * w);
    }
    d.connect(0, 2, 0, 13).connect(0, 3, 5, 0);
    d.core(0, 2, &[Act::MemoryToStream(0x800, 40), Act::Done]);
    d.core(0, 3, &[Act::Spin(300, 0), Act::StreamToMemory(0, 40), Act::Release(48, 1), Act::Done]);
    poll_lock(&mut d, 0, 3, 0, 1);
    let (m, _, report) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 3, 0, 160).unwrap()), (0..40).map(|w| 7 * w).collect::<Vec<_>>());
    // The sender filled the path (8 + 6 words of switches, 4 at the core) and then waited.
    let sender = report.cores.iter().find(|c| c.tile.row == 2).unwrap();
    assert!(sender.stalls.stream > 250, "{:?}", sender.stalls);
}

#[test]
fn cascade_moves_down_and_east_with_four_values_in_flight() {
    let run = |config: u32, from: (u8, u8), to: (u8, u8)| {
        let mut d = Design::default();
        d.write(from.0, from.1, 0x3_6060, config << 1).write(to.0, to.1, 0x3_6060, config);
        d.core(from.0, from.1, &[Act::CascadeSend(20), Act::Done]);
        d.core(to.0, to.1, &[Act::Spin(200, 0), Act::CascadeReceive(20), Act::Release(48, 1), Act::Done]);
        poll_lock(&mut d, to.0, to.1, 0, 1);
        d.run(&[]).map(|r| r.2)
    };
    let report = run(0, (1, 4), (1, 3)).unwrap();
    let sender = report.cores.iter().find(|c| c.tile.row == 4).unwrap();
    assert!(sender.stalls.cascade > 150, "{:?}", sender.stalls);
    run(1, (1, 4), (2, 4)).unwrap();
    // Upwards there is no cascade: the words go to (1, 2), and (1, 4) waits for (1, 5).
    assert!(matches!(run(0, (1, 3), (1, 4)), Err(Fault::Deadlock(_))));
    assert!(matches!(run(0, (1, 2), (1, 3)), Err(Fault::CorePortUnconnected { what: "cascade output", .. })));
    assert!(matches!(run(1, (3, 2), (2, 2)), Err(Fault::CorePortUnconnected { .. })));
}

#[test]
fn breakpoints_show_the_tile_before_the_bundle() {
    let mut d = Design::default();
    d.write(0, 2, 0x100, 5);
    d.core(0, 2, &[Act::Spin(3, 0), Act::Acquire(48, -1), Act::Copy(0x100, 0x200, 1), Act::Release(49, 1), Act::Done]);
    set_lock(&mut d, 0, 2, 0, 1);
    poll_lock(&mut d, 0, 2, 1, 1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    let mut m = d.machine().unwrap();
    m.on_breakpoint(0, 2, &[0x10, 0x20, 0x30], move |view| {
        let copied = view.read(0x200, 4).is_ok();
        if view.pc == 0x20 {
            view.write(0x100, &9u32.to_le_bytes()).unwrap();
        }
        sink.borrow_mut().push((view.pc, copied, view.lock(0)));
    })
    .unwrap();
    m.run(&d.txn(), &[]).unwrap();
    // Once per arrival, also at the acquire that had to wait.
    let shown: Vec<_> = seen.borrow().iter().map(|&(pc, copied, _)| (pc, copied)).collect();
    assert_eq!(shown, [(0x10, false), (0x20, false), (0x30, true)]);
    assert_eq!(seen.borrow()[1].2, Some(0));
    assert_eq!(m.read_tile(0, 2, 0x200, 4).unwrap(), 9u32.to_le_bytes());
    assert!(m.on_breakpoint(0, 1, &[0], |_| ()).is_err());
}

#[test]
fn a_core_that_never_touches_anyone_ends_as_a_deadlock() {
    let mut d = Design::default();
    d.core(3, 5, &[Act::Spin(1, 0), Act::Loop]).op_wait(0, S2mm, 0);
    let Err(Fault::Deadlock(report)) = d.run(&[]) else { panic!() };
    assert!(report.waiters.iter().any(|w| matches!(w, Waiter::CoreSpins { tile, .. } if tile.col == 3)));
}

#[test]
fn program_memory_is_closed_while_the_core_runs() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Done]);
    let text = support::script(&[Act::Done]);
    d.write(0, 2, 0x2_0000, text);
    assert!(matches!(d.machine(), Err(Fault::ProgramWriteWhileRunning { offset: 0x2_0000, .. })));
}

/// Shim -> mem tile ring -> core ring; the core doubles as a copy engine; core ring -> mem tile -> shim.
fn pipeline(spin: u64) -> Design {
    const OWN: u64 = 0x8_0000;
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 0); // up to mem S2MM 0
    d.connect(0, MEM, 0, 11).connect(0, 2, 5, 1); // mem MM2S 0 -> core S2MM 0
    d.connect(0, 2, 1, 5).connect(0, MEM, 13, 1); // core MM2S 0 -> mem S2MM 1
    d.connect(0, MEM, 1, 7).connect(0, SHIM, 14, 4); // mem MM2S 1 -> shim S2MM 0
    for (lock, value) in [(0, 2), (1, 0), (2, 2), (3, 0)] {
        d.lock(0, MEM, lock, value).lock(0, 2, lock, value);
    }
    for b in 0..2u32 {
        let at = 256 * u64::from(b);
        d.bd(0, MEM, b, &bd(OWN + at, 64).locks((64, -1), (65, 1)).next(1 - b));
        d.bd(0, MEM, 2 + b, &bd(OWN + at, 64).locks((65, -1), (64, 1)).next(3 - b));
        d.bd(0, MEM, 24 + b, &bd(OWN + 0x1000 + at, 64).locks((66, -1), (67, 1)).next(25 - b));
        d.bd(0, MEM, 26 + b, &bd(OWN + 0x1000 + at, 64).locks((67, -1), (66, 1)).next(27 - b));
        d.bd(0, 2, b, &bd(at, 64).locks((0, -1), (1, 1)).next(1 - b));
        d.bd(0, 2, 2 + b, &bd(0x4000 + at, 64).locks((3, -1), (2, 1)).next(3 - b));
    }
    d.start(0, MEM, S2mm, 0, 0).start(0, MEM, Mm2s, 0, 2).start(0, MEM, S2mm, 1, 24).start(0, MEM, Mm2s, 1, 26);
    d.start(0, 2, S2mm, 0, 0).start(0, 2, Mm2s, 0, 2);
    let mut acts = Vec::new();
    for b in 0..2 {
        acts.extend([Act::Acquire(49, -1), Act::Acquire(50, -1), Act::Spin(spin, 0b11)]);
        acts.extend([Act::Copy(256 * b, 0x4000 + 256 * b, 64), Act::Release(48, 1), Act::Release(51, 1)]);
    }
    acts.push(Act::Loop);
    d.core(0, 2, &acts);
    d.op_transfer(0, S2mm, 0, 3, 4096, 1).op_transfer(0, Mm2s, 0, 1, 4096, 0).op_wait(0, S2mm, 0);
    d
}

#[test]
fn a_full_pipeline_is_correct_and_the_same_every_time() {
    let data = ramp(4096);
    for spin in [1, 40, 400] {
        let runs: Vec<_> = (0..2)
            .map(|_| {
                let d = pipeline(spin);
                let (m, ids, report) = d.run(&[Ok(&data), Err(data.len())]).unwrap();
                assert_eq!(m.read_buffer(ids[1]).unwrap(), data);
                report
            })
            .collect();
        assert_eq!(runs[0], runs[1]);
        // 64 buffers, each at least the spin, the copy and the four lock bundles.
        assert!(runs[0].cycles > 64 * (spin + 68));
    }
}
