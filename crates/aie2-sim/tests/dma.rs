//! Channels, queues, BDs and locks, moved through small designs.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Config, Fault, Timing, Waiter};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use support::{Act, Design, MEM, SHIM, TestBd, TestMachine, bd, fast, lock_offset, queue_offset, ramp, words_of};

const OWN: u64 = 0x8_0000;

/// Shim MM2S 0 -> mem S2MM 0, mem MM2S 0 -> shim S2MM 0 of one column, nothing started in the mem tile.
fn relay(col: u8) -> Design {
    let mut d = Design::default();
    d.shim(col);
    d.connect(col, SHIM, 5, 12).connect(col, MEM, 7, 0); // South 3 -> North 0; South 0 -> DMA 0
    d.connect(col, MEM, 0, 7).connect(col, SHIM, 14, 4); // DMA 0 -> South 0; North 0 -> South 2
    d
}

/// Ring of two buffers in the mem tile, locks 0 (empty) and 1 (full).
fn ring(d: &mut Design, col: u8, words: u32) {
    d.lock(col, MEM, 0, 2).lock(col, MEM, 1, 0);
    for b in 0..2 {
        let base = OWN + u64::from(4 * words * b);
        d.bd(col, MEM, b, &bd(base, words).locks((64, -1), (65, 1)).next(1 - b));
        d.bd(col, MEM, 2 + b, &bd(base, words).locks((65, -1), (64, 1)).next(3 - b));
    }
    d.start(col, MEM, S2mm, 0, 0).start(col, MEM, Mm2s, 0, 2);
}

#[test]
fn a_ring_of_two_buffers_relays_a_stream_in_order() {
    let mut d = relay(1);
    ring(&mut d, 1, 64);
    d.op_transfer(1, S2mm, 0, 3, 1024, 1).op_transfer(1, Mm2s, 0, 1, 1024, 0).op_wait(1, S2mm, 0);
    let data = ramp(1024);
    let (m, ids, report) = d.run(&[Ok(&data), Err(4096)]).unwrap();
    assert_eq!(m.read_buffer(ids[1]).unwrap(), data);
    // The ring has already taken the credit for the buffer it waits to fill.
    assert_eq!((m.lock(1, MEM, 0).unwrap(), m.lock(1, MEM, 1).unwrap()), (1, 0));
    assert_eq!(report.shim_channels.iter().map(|c| c.bytes).collect::<Vec<_>>(), [4096, 4096]);
    // The stream itself moves 1 word in 1.05 cycles; two buffers hide the lock latencies.
    let busy = report.shim_channels.iter().map(|c| c.busy_cycles).max().unwrap();
    assert!(busy > 1330 + 336 + 1075 && busy < 1330 + 336 + 1075 + 1200, "{busy}");
}

#[test]
fn never_written_bytes_stay_never_written_through_every_dma() {
    let mut d = relay(0);
    ring(&mut d, 0, 64);
    d.op_transfer(0, S2mm, 0, 3, 64, 1).op_transfer(0, Mm2s, 0, 1, 64, 0).op_wait(0, S2mm, 0);
    let mut m = d.machine().unwrap();
    let (a, b) = (m.alloc("a", 256), m.alloc("b", 256));
    m.write_buffer(a, 0, &[1; 101]).unwrap();
    m.run(&d.txn(), &[a, b]).unwrap();
    assert!(matches!(m.read_buffer(b), Err(Fault::HostUninitialised { offset: 101, missing: 155, .. })));
    assert_eq!(m.read_buffer_range(b, 0, 101).unwrap(), [1; 101]);
    let (_, mask) = m.read_buffer_masked(b).unwrap();
    assert_eq!(mask.iter().filter(|w| **w).count(), 101);
}

#[test]
fn repeat_with_iteration_reads_consecutive_blocks_and_the_counter_survives_the_task() {
    let mut d = relay(0);
    ring(&mut d, 0, 32);
    let block = TestBd { iteration: Some((48, 4)), ..bd(0, 32) };
    d.op_bd(0, 1, &block, 0, 0).op_transfer(0, S2mm, 0, 3, 160, 1);
    d.op_push(0, Mm2s, 0, 1, 3, true).op_wait(0, Mm2s, 0);
    d.op_push(0, Mm2s, 0, 1, 2, false).op_wait(0, S2mm, 0);
    let data = ramp(192);
    let (m, ids, _) = d.run(&[Ok(&data), Err(640)]).unwrap();
    let want: Vec<u32> = [0, 48, 96, 144, 0].iter().flat_map(|b| (0..32).map(move |i| (b + i) | 0xab00_0000)).collect();
    assert_eq!(words_of(&m.read_buffer(ids[1]).unwrap()), want);
}

#[test]
fn a_chain_runs_as_often_as_the_queue_says() {
    let mut d = relay(0);
    ring(&mut d, 0, 16);
    d.op_bd(0, 1, &bd(0, 16).next(2), 0, 0).op_bd(0, 2, &bd(0, 16), 0, 256);
    d.op_transfer(0, S2mm, 0, 3, 64, 1).op_push(0, Mm2s, 0, 1, 2, false).op_wait(0, S2mm, 0);
    let data = ramp(128);
    let (m, ids, _) = d.run(&[Ok(&data), Err(256)]).unwrap();
    let want: Vec<u32> = [0, 64, 0, 64].iter().flat_map(|b| (0..16).map(move |i| (b + i) | 0xab00_0000)).collect();
    assert_eq!(words_of(&m.read_buffer(ids[1]).unwrap()), want);
}

#[test]
fn mem_tile_padding_inserts_zeros() {
    let mut d = relay(0);
    let mut out = bd(OWN, 8).dims(&[(1, 4), (4, 1)]);
    out.pad = [(1, 3), (0, 0), (0, 0)];
    out.acquire = Some((65, -1));
    d.lock(0, MEM, 1, 0);
    d.bd(0, MEM, 0, &TestBd { release: Some((65, 1)), ..bd(OWN, 4) }).bd(0, MEM, 2, &out);
    d.start(0, MEM, S2mm, 0, 0).start(0, MEM, Mm2s, 0, 2);
    d.op_transfer(0, S2mm, 0, 3, 8, 1).op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Ok(&ramp(4)), Err(32)]).unwrap();
    let r = |i: u32| i | 0xab00_0000;
    assert_eq!(words_of(&m.read_buffer(ids[1]).unwrap()), [0, r(0), r(1), r(2), r(3), 0, 0, 0]);
}

#[test]
fn four_parts_join_in_order_with_a_lock_pair_each() {
    // Four cores send 16 words each; mem S2MM 2..5 take them; MM2S 2 walks the parts.
    let mut d = Design::default();
    d.shim(0);
    for r in 0..4u32 {
        let row = 2 + r as u8;
        // Core words r * 100 ..: data memory initialised by configuration.
        for w in 0..16 {
            d.write(0, row, 0x400 + 4 * w, 100 * r + w);
        }
        d.bd(0, row, 0, &bd(0x400, 16));
        // DMA 0 -> South r here, straight down below: North r -> South r.
        d.connect(0, row, 1, 5 + r);
        for below in 2..row {
            d.connect(0, below, 15 + r, 5 + r);
        }
        d.connect(0, MEM, 13 + r, 2 + r);
        let (empty, full) = (10 + 2 * r, 11 + 2 * r);
        d.lock(0, MEM, empty, 1).lock(0, MEM, full, 0);
        let first = if r % 2 == 0 { r } else { 24 + r };
        let at = OWN + 0x1000 + u64::from(64 * r);
        d.bd(0, MEM, first, &bd(at, 16).locks((64 + empty, -1), (64 + full, 1)));
        d.start(0, MEM, S2mm, 2 + r, first);
        let part = bd(at, 16).locks((64 + full, -1), (64 + empty, 1));
        d.bd(0, MEM, 10 + r, &part.next(10 + (r + 1) % 4));
    }
    d.start(0, MEM, Mm2s, 2, 10);
    d.connect(0, MEM, 2, 7).connect(0, SHIM, 14, 4);
    // Rows start in reverse order: the join waits for part 0 all the same.
    for r in (0..4u8).rev() {
        d.ops.push(Op::Write { addr: addr(0, 2 + r, queue_offset(2, Mm2s, 0)), value: 0 });
    }
    d.op_transfer(0, S2mm, 0, 3, 64, 0).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Err(256)]).unwrap();
    let want: Vec<u32> = (0..4).flat_map(|r| (0..16).map(move |w| 100 * r + w)).collect();
    assert_eq!(words_of(&m.read_buffer(ids[0]).unwrap()), want);
}

#[test]
fn a_fifth_outstanding_push_is_a_fault() {
    let mut d = relay(0);
    for b in 0..5 {
        d.op_bd(0, b, &bd(0, 16), 0, 0);
    }
    for b in 0..5 {
        d.op_push(0, S2mm, 0, b, 1, false);
    }
    match d.run(&[Err(64)]) {
        Err(Fault::QueueOverflow { channel, bd: 4, depth: 4 }) => assert_eq!(channel.to_string(), "shim (0, 0) S2MM 0"),
        other => panic!("{:?}", other.map(|r| r.2)),
    }
}

#[test]
fn a_bd_may_be_rewritten_only_after_its_task_has_ended() {
    let mut d = relay(0);
    ring(&mut d, 0, 16);
    d.op_transfer(0, S2mm, 0, 3, 16, 1);
    let pushed = d.ops.len();
    d.op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, S2mm, 0);
    d.op_bd(0, 3, &bd(0, 16), 1, 0);
    d.run(&[Ok(&ramp(16)), Err(64)]).unwrap();
    let early = d.ops.split_off(d.ops.len() - 2);
    d.ops.splice(pushed..pushed, early);
    match d.run(&[Ok(&ramp(16)), Err(64)]) {
        Err(Fault::BdInUse { bd: 3, offset: 0x1D060, channel, .. }) => assert_eq!(channel.index, 0),
        other => panic!("{:?}", other.map(|r| r.2)),
    }
}

#[test]
fn mem_tile_bds_belong_to_even_or_odd_channels() {
    for (channel, bd_id, ok) in [(0, 23, true), (0, 24, false), (1, 24, true), (1, 23, false), (5, 47, true)] {
        let mut d = Design::default();
        d.bd(0, MEM, bd_id, &bd(OWN, 4)).start(0, MEM, S2mm, channel, bd_id);
        let got = d.machine();
        match got {
            Ok(_) => assert!(ok),
            Err(Fault::BdParity { bd, .. }) => assert!(!ok && u32::from(bd) == bd_id),
            Err(other) => panic!("{other}"),
        }
    }
    // The rule holds for chain links too.
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).next(24)).bd(0, MEM, 24, &bd(OWN, 4)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 8, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Ok(&ramp(8))]), Err(Fault::BdParity { bd: 24, .. })));
}

#[test]
fn a_mem_tile_address_without_the_own_window_is_the_west_neighbour() {
    // Column 0 has no neighbour in the partition: a fault.
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(0x40, 4)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    match d.run(&[Ok(&ramp(4))]) {
        Err(Fault::DmaAddress { addr: 0x40, bd: 0, why, .. }) => assert!(why.contains("0x80000"), "{why}"),
        other => panic!("{:?}", other.map(|r| r.2)),
    }
    // Column 1 reaches column 0's mem tile, and lock id 5 is the neighbour's.
    let mut d = relay(1);
    d.bd(1, MEM, 0, &TestBd { release: Some((5, 1)), ..bd(0x40, 4) }).start(1, MEM, S2mm, 0, 0);
    d.op_transfer(1, Mm2s, 0, 1, 4, 0);
    d.ops.push(Op::MaskPoll { addr: addr(0, MEM, lock_offset(MEM, 5)), value: 1, mask: 0x3f });
    let (m, ..) = d.run(&[Ok(&ramp(4))]).unwrap();
    assert_eq!(m.read_tile(0, MEM, 0x40, 16).unwrap(), ramp(4));
    assert!(m.read_tile(1, MEM, 0x40, 16).is_err());
    // Channels 4 and 5 have own memory and own locks only.
    let mut d = Design::default();
    d.shim(1).connect(1, SHIM, 5, 12).connect(1, MEM, 7, 4);
    d.bd(1, MEM, 0, &bd(0x40, 4)).start(1, MEM, S2mm, 4, 0);
    d.op_transfer(1, Mm2s, 0, 1, 4, 0).op_wait(1, S2mm, 0);
    assert!(matches!(d.run(&[Ok(&ramp(4))]), Err(Fault::DmaAddress { .. })));
}

#[test]
fn addresses_and_locks_out_of_reach_are_faults() {
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN + 0x7_FFF8, 4)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    // The upper half of the run is in the east window of column 0: that is memory of column 1.
    assert!(!matches!(d.run(&[Ok(&ramp(4))]), Err(Fault::DmaAddress { .. })));
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).locks((192, -1), (0, 0))).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Ok(&ramp(4))]), Err(Fault::DmaLock { lock: 192, .. })));
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).locks((64, 0), (64, 1))).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Ok(&ramp(4))]), Err(Fault::AcquireZero { .. })));
}

#[test]
fn invalid_and_empty_bds_are_faults() {
    let mut d = relay(0);
    d.start(0, MEM, S2mm, 0, 7);
    d.op_transfer(0, S2mm, 0, 3, 4, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Err(16)]), Err(Fault::BdInvalid { bd: 7, .. })));
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 0)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, S2mm, 0, 3, 4, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Err(16)]), Err(Fault::BdEmpty { bd: 0, .. })));
}

#[test]
fn features_left_out_are_refused_by_name() {
    let cases = [
        (MEM, 0xA_0600, 1 << 3, "out-of-order S2MM"),
        (MEM, 0xA_0600, 1 << 4, "(de)compression"),
        (2, 0x1_DE00, 1 << 16, "finish on TLAST"),
        (SHIM, 0x1_D210, 1 << 1, "pausing a shim channel"),
        (MEM, 0x9_6048, 3, "zeroising a mem tile"),
    ];
    for (row, offset, value, want) in cases {
        let mut d = Design::default();
        match d.write(2, row, offset, value).machine() {
            Err(Fault::UnmodelledFeature { feature, .. }) => assert_eq!(feature, want),
            other => panic!("{want}: {:?}", other.err()),
        }
    }
    let mut d = relay(0);
    let mut words = bd(OWN, 4).words(MEM);
    words[4] |= 1 << 31;
    d.cdo.push(npu_container::cdo::Command::DmaWrite { addr: addr(0, MEM, 0xA_0000), data: words });
    d.start(0, MEM, S2mm, 0, 0).op_transfer(0, S2mm, 0, 3, 4, 0).op_wait(0, S2mm, 0);
    assert!(matches!(d.run(&[Err(16)]), Err(Fault::BdFeature { feature: "compression", .. })));
}

#[test]
fn a_packet_header_precedes_the_payload() {
    let mut d = relay(2);
    let out = TestBd { packet: Some((5, 3)), ..bd(OWN, 3) };
    d.write(2, MEM, 0x0, 7).write(2, MEM, 0x4, 8).write(2, MEM, 0x8, 9);
    d.bd(2, MEM, 2, &out).start(2, MEM, Mm2s, 0, 2);
    d.op_transfer(2, S2mm, 0, 3, 4, 0).op_wait(2, S2mm, 0);
    let (m, ids, _) = d.run(&[Err(16)]).unwrap();
    let got = words_of(&m.read_buffer(ids[0]).unwrap());
    // id 5, type 3, row 1, column 2: 7 ones without parity, which is odd already.
    let body = 5 | 3 << 12 | 1 << 16 | 2 << 21;
    let header = if u32::count_ones(body) % 2 == 0 { body | 1 << 31 } else { body };
    assert_eq!(got, [header, 7, 8, 9]);
    assert_eq!(header.count_ones() % 2, 1);
}

#[test]
fn shared_credits_pace_a_producer_and_wait_for_equality_counts() {
    // S2MM fills three buffers, each releasing 1; MM2S waits for the value to be exactly 3.
    let mut d = relay(0);
    d.lock(0, MEM, 0, 0);
    for b in 0..3 {
        let fill = TestBd { release: Some((64, 1)), ..bd(OWN + 16 * u64::from(b), 4) };
        d.bd(0, MEM, b, &if b < 2 { fill.next(b + 1) } else { fill });
    }
    d.bd(0, MEM, 10, &TestBd { acquire: Some((64, 3)), ..bd(OWN, 12) });
    d.start(0, MEM, S2mm, 0, 0).start(0, MEM, Mm2s, 0, 10);
    d.op_transfer(0, S2mm, 0, 3, 12, 1).op_transfer(0, Mm2s, 0, 1, 12, 0).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Ok(&ramp(12)), Err(48)]).unwrap();
    assert_eq!(m.read_buffer(ids[1]).unwrap(), ramp(12));
    assert_eq!(m.lock(0, MEM, 0).unwrap(), 0);
}

#[test]
fn a_release_beyond_63_is_a_fault() {
    let mut d = relay(0);
    d.lock(0, MEM, 0, 63);
    d.bd(0, MEM, 0, &TestBd { release: Some((64, 1)), ..bd(OWN, 4) }).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0);
    d.ops.push(Op::MaskPoll { addr: addr(0, MEM, lock_offset(MEM, 0)), value: 0, mask: 0x3f });
    assert!(matches!(d.run(&[Ok(&ramp(4))]), Err(Fault::LockRange { lock: 0, value: 64, .. })));
}

#[test]
fn an_idle_array_under_a_waiting_controller_is_a_deadlock_with_a_picture() {
    // The ring's consumer needs a credit nobody gives: full lock 1 is never released because the S2MM BD waits for lock 0.
    let mut d = relay(0);
    ring(&mut d, 0, 16);
    d.lock(0, MEM, 0, 0);
    d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 256, 0).op_wait(0, S2mm, 0);
    let Err(Fault::Deadlock(report)) = d.run(&[Ok(&ramp(256)), Err(64)]) else { panic!() };
    let text = report.to_string();
    for line in [
        "controller: operation 6 waits for a task token of shim (0, 0) S2MM 0",
        "mem (0, 1) S2MM 0: BD 0 waits for lock 0 of mem (0, 1) (value 0, acquire -1)",
        "mem (0, 1) MM2S 0: BD 2 waits for lock 1 of mem (0, 1) (value 0, acquire -1)",
        "shim (0, 0) S2MM 0: BD 3 has 0 of 16 words, stream empty",
        "no room at mem (0, 1) S2MM 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(report.waiters.iter().any(|w| matches!(w, Waiter::DmaBackPressure { .. })));
}

#[test]
fn words_for_a_channel_without_a_bd_are_part_of_the_picture() {
    let mut d = relay(0);
    d.op_transfer(0, Mm2s, 0, 1, 256, 0).op_wait(0, S2mm, 0);
    let Err(Fault::Deadlock(report)) = d.run(&[Ok(&ramp(256))]) else { panic!() };
    // Switch storage 8 + 6 and 16 words of ingress.
    assert!(report.waiters.iter().any(|w| matches!(w, Waiter::DmaNoBd { words: 30, .. })), "{report}");
}

/// Fills 1 KiB of logical bank 0 by DMA while the core repeats: this bank for `busy` cycles, another one for `idle`. The cycles of the run, and
/// those the core lost.
fn shared_bank(busy: u64, idle: u64, timing: Timing) -> (u64, u64) {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 11).connect(0, 2, 5, 1); // up to DMA 0 of row 2
    d.lock(0, 2, 0, 0).bd(0, 2, 0, &TestBd { release: Some((0, 1)), ..bd(0, 256) }).start(0, 2, S2mm, 0, 0);
    let round = [(busy, 0b0011), (idle, 0b1100)].map(|(n, banks)| Act::Spin(n, banks));
    let rounds = 40_000 / (busy + idle);
    d.core(0, 2, &(0..rounds).flat_map(|_| round.clone()).collect::<Vec<_>>());
    d.op_transfer(0, Mm2s, 0, 1, 256, 0);
    d.ops.push(Op::MaskPoll { addr: addr(0, 2, lock_offset(2, 0)), value: 1, mask: 0x3f });
    let mut m = TestMachine::new(Config { timing, ..fast() });
    m.load_pdi(&d.pdi()).unwrap();
    let id = m.alloc("in", 1024);
    m.write_buffer(id, 0, &ramp(256)).unwrap();
    let report = m.run(&d.txn(), &[id]).unwrap();
    assert_eq!(m.read_tile(0, 2, 0, 1024).unwrap(), ramp(256));
    let core = &report.cores[0];
    assert!(core.bundles < rounds * (busy + idle), "the core works until the end");
    (report.cycles, core.stalls.dma_bank)
}

#[test]
fn an_urgent_dma_wins_a_bank_from_a_core_that_never_leaves_it() {
    // 64 accesses of four words. The last ones find a buffer that fills no more; patience ends for them too.
    let timing = Timing::default();
    let (free, none) = shared_bank(1, 20_000, timing.clone());
    let (contended, stolen) = shared_bank(20_000, 1, timing.clone());
    assert_eq!((none, stolen), (0, 64));
    let (patient, _) = shared_bank(20_000, 1, Timing { dma_bank_patience: 500, ..timing });
    // The poll looks every 210 cycles.
    assert!(free <= contended && contended + 400 < patient, "{free} {contended} {patient}");
}

#[test]
fn a_bank_with_free_cycles_serves_the_dma_without_a_stall() {
    let stolen = |busy, idle, words| shared_bank(busy, idle, Timing { dma_urgent_words: words, ..Timing::default() }).1;
    let table = Timing::default().dma_urgent_words;
    // An access comes due in about 4.2 cycles.
    for (busy, idle) in [(1, 1), (3, 1), (6, 2)] {
        assert_eq!(stolen(busy, idle, table), 0, "{busy} busy, {idle} free");
    }
    // Free cycles too far apart for the buffer of 16 words: the rest is taken, more of it the sooner the DMA is urgent.
    let taken = [0, table, 16].map(|words| stolen(15, 1, words));
    assert!(taken.is_sorted() && taken[0] > 0 && taken[2] < 64, "{taken:?}");
    // Urgent from the first line on: whoever meets the core wins, free cycles or not.
    assert!(stolen(3, 1, 16) > 0);
}

#[test]
fn chained_bds_leave_one_idle_cycle_on_the_port() {
    // Core (0, 2) MM2S 0 -> core (0, 3) S2MM 0; the receiving core measures by waiting for the lock.
    let waited = |length: u32, runs: u32| {
        let mut d = Design::default();
        d.connect(0, 2, 1, 13).connect(0, 3, 5, 1);
        for w in 0..length {
            d.write(0, 2, 4 * w, w);
        }
        d.bd(0, 2, 0, &bd(0, length)).write(0, 2, queue_offset(2, Mm2s, 0), (runs - 1) << 16);
        d.bd(0, 3, 0, &TestBd { release: Some((0, 1)), ..bd(0, length * runs) }).start(0, 3, S2mm, 0, 0);
        d.core(0, 3, &[Act::Acquire(48, -1), Act::Done]);
        d.ops.push(Op::MaskPoll { addr: addr(0, 3, 0x3_2004), value: 1 << 20, mask: 1 << 20 });
        d.run(&[]).unwrap().2.cores.iter().find(|c| c.tile.row == 3).unwrap().stalls.lock
    };
    let whole = waited(1024, 1);
    // Cold start of the sender 6 + 9, the last of 1024 words, two switches 4 + 3, S2MM end to core 15; the core asks first
    // in cycle 1.
    assert_eq!(whole, 6 + 9 + 1023 + 4 + 3 + 15 - 1);
    assert_eq!(waited(64, 16) - whole, 15);
    assert_eq!(waited(16, 64) - whole, 63);
    assert_eq!(waited(4, 256) - whole, 255);
}
