//! Packet-switched streams: slots, arbiters, multicast, merge, header dropping, latency, storage, refusals.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Config, Fault, Timing, Waiter};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use proptest::prelude::*;
use support::{Act, Design, MEM, SHIM, TestBd, TestMachine, bd, expect_fault, fast, header, words_of};

const OWN: u64 = 0x8_0000;
/// Switch ports by register index.
const MEM_NORTH: u32 = 11;
const CORE_SOUTH: u32 = 5;
const CORE_DMA: u32 = 1;
const CORE_NORTH_MASTER: u32 = 13;
const ALL: u32 = 0x1f;

fn numbers(first: u32, n: u32) -> Vec<u32> {
    (first..first + n).collect()
}

/// Mem tile (0, 1) sends `words` from MM2S `channel`, whose slave is a packet port for arbiter 0; BD `b`.
fn sender(d: &mut Design, channel: u32, b: u32, first: u32, words: u32, id: u32) {
    send(d, channel, b, first, words, id, true);
}

/// The same, with or without TLAST on the last word.
fn send(d: &mut Design, channel: u32, b: u32, first: u32, words: u32, id: u32, tlast: bool) {
    let at = 0x100 * b;
    d.data(0, MEM, at, &numbers(first, words));
    let out = bd(OWN + u64::from(at), words).packet(id);
    d.bd(0, MEM, b, &TestBd { tlast_suppress: !tlast, ..out });
    d.slot(0, MEM, channel, 0, 0, 0, (0, 0)).start(0, MEM, Mm2s, channel, b);
}

/// Core (0, `row`) receives `words` at byte `at` on S2MM `channel` and counts the BD in lock `channel`.
fn receiver(d: &mut Design, row: u8, channel: u32, at: u64, words: u32) {
    d.bd(0, row, channel, &bd(at, words).release(channel, 1)).start(0, row, S2mm, channel, channel);
}

/// Two mem tile channels merge into one lane, which row 2 takes apart by id: 1 to DMA 0, 2 to DMA 1.
fn merge_and_split() -> Design {
    let mut d = Design::default();
    d.master(0, MEM, MEM_NORTH, 0, 1, false);
    d.slot(0, 2, CORE_SOUTH, 0, 1, ALL, (1, 0)).slot(0, 2, CORE_SOUTH, 1, 2, ALL, (2, 3));
    d.master(0, 2, CORE_DMA, 1, 0b0001, true).master(0, 2, CORE_DMA + 1, 2, 0b1000, true);
    d
}

#[test]
fn two_senders_merge_on_one_lane_and_split_by_id() {
    let mut d = merge_and_split();
    sender(&mut d, 0, 2, 100, 40, 1);
    sender(&mut d, 1, 24, 900, 30, 2);
    receiver(&mut d, 2, 0, 0, 40);
    receiver(&mut d, 2, 1, 0x4000, 30);
    d.op_poll_lock(0, 2, 0, 1).op_poll_lock(0, 2, 1, 1);
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 2, 0, 160).unwrap()), numbers(100, 40));
    assert_eq!(words_of(&m.read_tile(0, 2, 0x4000, 120).unwrap()), numbers(900, 30));
}

#[test]
fn a_mask_bit_of_zero_is_not_compared() {
    // Slot id 0b00100 under mask 0b11100 takes 4 to 7.
    for (id, taken) in [(4, true), (7, true), (3, false), (8, false), (20, false)] {
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        d.slot(0, 2, CORE_SOUTH, 2, 4, 0b11100, (1, 0)).master(0, 2, CORE_DMA, 1, 1, true);
        sender(&mut d, 0, 2, 0, 4, id);
        receiver(&mut d, 2, 0, 0, 4);
        d.op_poll_lock(0, 2, 0, 1);
        match d.run(&[]) {
            Ok(_) => assert!(taken, "{id}"),
            Err(Fault::PacketNoSlot { id: got, .. }) => assert!(!taken && u32::from(got) == id),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_master_of_the_arbiter_takes_only_its_msels() {
    // DMA 0 takes msel 0 and 2, North msel 1 and 2: id 0 to one, id 2 to both.
    for (id, here, above) in [(0, true, false), (1, false, true), (2, true, true)] {
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        for msel in 0..3 {
            d.slot(0, 2, CORE_SOUTH, msel, msel, ALL, (3, msel));
        }
        d.master(0, 2, CORE_DMA, 3, 0b101, true).master(0, 2, CORE_NORTH_MASTER, 3, 0b110, false);
        d.slot(0, 3, CORE_SOUTH, 0, 0, 0, (0, 0)).master(0, 3, CORE_DMA, 0, 1, true);
        sender(&mut d, 0, 2, 50, 20, id);
        for (row, takes) in [(2, here), (3, above)] {
            if takes {
                receiver(&mut d, row, 0, 0x80, 20);
                d.op_poll_lock(0, row, 0, 1);
            }
        }
        let (m, ..) = d.run(&[]).unwrap();
        for (row, takes) in [(2, here), (3, above)] {
            let got = m.read_tile(0, row, 0x80, 80).map(|b| words_of(&b));
            assert_eq!(got.ok(), takes.then(|| numbers(50, 20)), "id {id} row {row}");
        }
    }
}

#[test]
fn a_multicast_waits_for_its_slowest_master() {
    let mut d = Design::default();
    d.master(0, MEM, MEM_NORTH, 0, 1, false);
    d.slot(0, 2, CORE_SOUTH, 0, 1, ALL, (0, 0));
    d.master(0, 2, CORE_DMA, 0, 1, true).master(0, 2, CORE_NORTH_MASTER, 0, 1, false);
    d.slot(0, 3, CORE_SOUTH, 0, 1, ALL, (0, 0)).master(0, 3, CORE_DMA, 0, 1, true);
    sender(&mut d, 0, 2, 0, 60, 1);
    receiver(&mut d, 2, 0, 0, 60);
    d.op_poll_lock(0, 2, 0, 1);
    // Row 3 has no BD. It stores 16 words in its ingress, 2 at the DMA master, 4 at its slave, 4 at row 2's master, header
    // included in the last two; row 2 has as many.
    let Err(Fault::Deadlock(report)) = d.run(&[]) else { panic!() };
    let done = report.waiters.iter().find_map(|w| match w {
        Waiter::DmaStarved { channel, done, .. } if channel.tile.row == 2 => Some(*done),
        _ => None,
    });
    assert!(done.is_some_and(|done| (24..=26).contains(&done)), "{report}");
    let text = report.to_string();
    for part in [
        "core (0, 2) arbiter 0: held by core (0, 2) slave 5 (South 0) for packet id 1, 27 words passed",
        "no room at core (0, 2) master 13 (North 0)",
        "core (0, 3) arbiter 0: held by core (0, 3) slave 5 (South 0) for packet id 1, 19 words passed",
        "no room at core (0, 3) master 1 (Dma 0)",
        "core (0, 3) S2MM 0: 18 words arrived, no BD queued",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// Both channels send `packets` packets of `words` words to one S2MM; the words received.
fn contend(packets: u32, words: u32) -> Vec<u32> {
    let mut d = Design::default();
    d.master(0, MEM, MEM_NORTH, 0, 1, false);
    d.slot(0, 2, CORE_SOUTH, 0, 0, 0, (1, 0)).master(0, 2, CORE_DMA, 1, 1, true);
    for (channel, b, first) in [(0, 2, 0), (1, 24, 1000)] {
        let at = 0x100 * b;
        d.data(0, MEM, at, &numbers(first, packets * words));
        let one = TestBd { iteration: Some((words, packets)), ..bd(OWN + u64::from(at), words) };
        d.bd(0, MEM, b, &one.packet(channel + 1)).slot(0, MEM, channel, 0, 0, 0, (0, 0));
        d.start(0, MEM, Mm2s, channel, (packets - 1) << 16 | b);
    }
    receiver(&mut d, 2, 0, 0, 2 * packets * words);
    d.op_poll_lock(0, 2, 0, 1);
    let (m, ..) = d.run(&[]).unwrap();
    words_of(&m.read_tile(0, 2, 0, 8 * (packets * words) as usize).unwrap())
}

#[test]
fn an_arbiter_serves_whole_packets_round_robin() {
    for words in [1, 3, 12] {
        let got = contend(4, words);
        let want: Vec<u32> =
            (0..4).flat_map(|p| [numbers(p * words, words), numbers(1000 + p * words, words)]).flatten().collect();
        assert_eq!(got, want, "packets of {words} words");
    }
}

#[test]
fn a_packet_of_several_bds_is_not_interrupted() {
    // Channel 0: one packet of three BDs, TLAST suppressed on the first two, the middle one waiting for a late lock.
    let mut d = Design::default();
    d.master(0, MEM, MEM_NORTH, 0, 1, false);
    d.slot(0, 2, CORE_SOUTH, 0, 0, 0, (1, 0)).master(0, 2, CORE_DMA, 1, 1, true);
    d.data(0, MEM, 0x200, &numbers(0, 24)).data(0, MEM, 0x1800, &numbers(1000, 8));
    let part = |k: u64, last: bool| TestBd { tlast_suppress: !last, ..bd(OWN + 0x200 + 32 * k, 8) };
    d.bd(0, MEM, 2, &part(0, false).packet(1).next(3));
    d.bd(0, MEM, 3, &TestBd { acquire: Some((64, -1)), ..part(1, false).next(4) }).bd(0, MEM, 4, &part(2, true));
    d.bd(0, MEM, 24, &bd(OWN + 0x1800, 8).packet(2));
    d.slot(0, MEM, 0, 0, 0, 0, (0, 0)).slot(0, MEM, 1, 0, 0, 0, (0, 0));
    d.start(0, MEM, Mm2s, 0, 2);
    receiver(&mut d, 2, 0, 0, 32);
    d.op_start(0, MEM, Mm2s, 1, 24);
    for _ in 0..100 {
        d.ops.push(Op::Noop);
    }
    d.ops.push(Op::Write { addr: addr(0, MEM, support::lock_offset(MEM, 0)), value: 1 });
    d.op_poll_lock(0, 2, 0, 1);
    let (m, ..) = d.run(&[]).unwrap();
    let want = [numbers(0, 24), numbers(1000, 8)].concat();
    assert_eq!(words_of(&m.read_tile(0, 2, 0, 128).unwrap()), want);
}

#[test]
fn a_missing_tlast_holds_the_arbiter_for_ever() {
    let mut d = merge_and_split();
    send(&mut d, 0, 2, 100, 40, 1, false);
    d.slot(0, MEM, 1, 0, 0, 0, (0, 0)).data(0, MEM, 0x1800, &numbers(0, 30));
    d.bd(0, MEM, 24, &bd(OWN + 0x1800, 30).packet(2));
    receiver(&mut d, 2, 0, 0, 40);
    receiver(&mut d, 2, 1, 0x4000, 30);
    // The first packet arrives whole; the second waits behind it.
    d.op_poll_lock(0, 2, 0, 1).op_start(0, MEM, Mm2s, 1, 24).op_poll_lock(0, 2, 1, 1);
    expect_fault(
        &d,
        &[],
        &[
            "mem (0, 1) arbiter 0: held by mem (0, 1) slave 0 (Dma 0) for packet id 1, 41 words passed, no TLAST yet and stream empty",
            "mem (0, 1) slave 1 (Dma 1) waits with packet id 2",
            "core (0, 2) arbiter 1: held by core (0, 2) slave 5 (South 0) for packet id 1",
            "core (0, 2) S2MM 1: BD 1 has 0 of 30 words, stream empty",
        ],
    );
}

#[test]
fn a_packet_for_a_receiver_without_bd_blocks_the_lane_behind_it() {
    let mut d = merge_and_split();
    sender(&mut d, 0, 2, 100, 40, 1);
    sender(&mut d, 1, 24, 900, 30, 2);
    // Nobody takes id 1, so id 2 never comes through although its receiver is ready.
    receiver(&mut d, 2, 1, 0x4000, 30);
    d.op_poll_lock(0, 2, 1, 1);
    expect_fault(
        &d,
        &[],
        &[
            "core (0, 2) arbiter 1: held by core (0, 2) slave 5 (South 0) for packet id 1, 19 words passed; no room at core (0, 2) master 1 (Dma 0)",
            "core (0, 2) S2MM 0: 18 words arrived, no BD queued",
            "mem (0, 1) slave 1 (Dma 1) waits with packet id 2",
            "core (0, 2) S2MM 1: BD 1 has 0 of 30 words, stream empty",
        ],
    );
}

#[test]
fn a_full_lane_moves_on_when_its_receiver_starts() {
    // Everything has stood still for thousands of cycles when the DMA gets its BD or the core its credit.
    for core in [false, true] {
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        d.slot(0, 2, CORE_SOUTH, 0, 1, ALL, (1, 0)).master(0, 2, if core { 0 } else { CORE_DMA }, 1, 1, true);
        sender(&mut d, 0, 2, 100, 60, 1);
        if core {
            let acts = [Act::Acquire(56, -1), Act::StreamToMemory(0, 60), Act::Release(48, 1), Act::Done];
            d.core(0, 2, &acts);
        } else {
            d.bd(0, 2, 0, &bd(0, 60).release(0, 1));
        }
        for _ in 0..300 {
            d.ops.push(Op::Noop);
        }
        if core {
            d.ops.push(Op::Write { addr: addr(0, 2, support::lock_offset(2, 8)), value: 1 });
        } else {
            d.op_start(0, 2, S2mm, 0, 0);
        }
        d.op_poll_lock(0, 2, 0, 1);
        let (m, ..) = d.run(&[]).unwrap();
        assert_eq!(words_of(&m.read_tile(0, 2, 0, 240).unwrap()), numbers(100, 60));
    }
}

#[test]
fn a_kept_header_is_a_data_word_for_dma_core_and_shim() {
    for drop in [false, true] {
        let want = |first| if drop { numbers(first, 8) } else { [vec![header(9, 0, 1)], numbers(first, 8)].concat() };
        let n = want(0).len() as u32;
        // DMA of a compute tile.
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        d.slot(0, 2, CORE_SOUTH, 0, 9, ALL, (1, 0)).master(0, 2, CORE_DMA, 1, 1, drop);
        sender(&mut d, 0, 2, 70, 8, 9);
        receiver(&mut d, 2, 0, 0, n);
        d.op_poll_lock(0, 2, 0, 1);
        let (m, ..) = d.run(&[]).unwrap();
        assert_eq!(words_of(&m.read_tile(0, 2, 0, 4 * n as usize).unwrap()), want(70));
        // Stream input of a core.
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        d.slot(0, 2, CORE_SOUTH, 0, 9, ALL, (1, 0)).master(0, 2, 0, 1, 1, drop);
        sender(&mut d, 0, 2, 70, 8, 9);
        d.core(0, 2, &[Act::StreamToMemory(0x40, n), Act::Release(48, 1), Act::Done]);
        d.op_poll_lock(0, 2, 0, 1);
        let (m, ..) = d.run(&[]).unwrap();
        assert_eq!(words_of(&m.read_tile(0, 2, 0x40, 4 * n as usize).unwrap()), want(70));
        // DDR: mem South 0 -> shim North 0 -> South 2.
        let mut d = Design::default();
        d.shim(0).master(0, MEM, 7, 0, 1, false);
        d.slot(0, SHIM, 14, 0, 9, ALL, (4, 1)).master(0, SHIM, 4, 4, 0b10, drop);
        sender(&mut d, 0, 2, 70, 8, 9);
        d.op_transfer(0, S2mm, 0, 3, n, 0).op_wait(0, S2mm, 0);
        let (m, ids, _) = d.run(&[Err(4 * n as usize)]).unwrap();
        assert_eq!(words_of(&m.read_buffer(ids[0]).unwrap()), want(70));
    }
}

#[test]
fn a_core_sends_packets_with_headers_of_its_own() {
    let mut d = Design::default();
    d.data(0, 3, 0x800, &[vec![header(6, 0, 3)], numbers(30, 10)].concat());
    // Core (0, 3) -> South 0 -> row 2 North 0 -> DMA 1.
    d.slot(0, 3, 0, 0, 6, ALL, (5, 0)).master(0, 3, 5, 5, 1, false);
    d.slot(0, 2, 15, 0, 6, ALL, (0, 2)).master(0, 2, CORE_DMA + 1, 0, 0b100, true);
    receiver(&mut d, 2, 1, 0, 10);
    d.core(0, 3, &[Act::MemoryToStream(0x800, 11), Act::Done]).op_poll_lock(0, 2, 1, 1);
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 2, 0, 40).unwrap()), numbers(30, 10));
}

/// Cycles a core of row 3 waits for `words` from row 2, in circuit or packet form.
fn waited(words: u32, packet: bool, timing: Timing) -> u64 {
    let mut d = Design::default();
    d.data(0, 2, 0, &numbers(0, words));
    if packet {
        d.slot(0, 2, CORE_DMA, 0, 1, ALL, (0, 0)).master(0, 2, CORE_NORTH_MASTER, 0, 1, false);
        d.slot(0, 3, CORE_SOUTH, 0, 1, ALL, (0, 0)).master(0, 3, CORE_DMA, 0, 1, true);
    } else {
        d.connect(0, 2, CORE_DMA, CORE_NORTH_MASTER).connect(0, 3, CORE_SOUTH, CORE_DMA);
    }
    let out = bd(0, words);
    d.bd(0, 2, 0, &if packet { out.packet(1) } else { out }).start(0, 2, Mm2s, 0, 0);
    receiver(&mut d, 3, 0, 0, words);
    d.core(0, 3, &[Act::Acquire(48, -1), Act::Done]);
    d.ops.push(Op::MaskPoll { addr: addr(0, 3, 0x3_2004), value: 1 << 20, mask: 1 << 20 });
    let mut m = TestMachine::new(Config { timing, ..fast() });
    m.load_pdi(&d.pdi()).unwrap();
    let report = m.run(&d.txn(), &[]).unwrap();
    report.cores.iter().find(|c| c.tile.row == 3).unwrap().stalls.lock
}

#[test]
fn a_packet_takes_its_header_and_one_arbitration_per_switch_more_than_a_circuit() {
    let slow = Timing { packet_arbitration: 7, ..Timing::default() };
    for words in [16, 256, 1024] {
        let circuit = waited(words, false, Timing::default());
        assert_eq!(waited(words, true, Timing::default()), circuit + 1 + 2, "{words} words");
        assert_eq!(waited(words, true, slow.clone()), circuit + 1 + 2 * 7, "{words} words");
    }
}

#[test]
fn what_a_packet_port_cannot_place_is_named() {
    let base = || {
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        sender(&mut d, 0, 2, 0, 4, 7);
        d.op_poll_lock(0, 2, 0, 1);
        d
    };
    let mut d = base();
    d.slot(0, 2, CORE_SOUTH, 0, 1, ALL, (1, 0)).master(0, 2, CORE_DMA, 1, 1, true);
    expect_fault(&d, &[], &["core (0, 2) slave 5 (South 0): packet with id 7 matches no enabled slot"]);
    let mut d = base();
    d.slot(0, 2, CORE_SOUTH, 0, 7, ALL, (1, 2)).master(0, 2, CORE_DMA, 1, 1, true);
    let text = "core (0, 2) slave 5 (South 0): packet with id 7 goes to arbiter 1, msel 2, which no master takes";
    expect_fault(&d, &[], &[text]);
    let mut d = base();
    d.slot(0, 2, CORE_SOUTH, 1, 7, ALL, (1, 0)).slot(0, 2, CORE_SOUTH, 3, 5, 0b00101, (2, 0));
    d.master(0, 2, CORE_DMA, 1, 1, true).master(0, 2, CORE_DMA + 1, 2, 1, true);
    let text = "core (0, 2) slave 5 (South 0): packet with id 7 matches slots 1 and 3, which name different targets";
    expect_fault(&d, &[], &[text]);
    // Two slots that agree are one target.
    let mut d = base();
    d.slot(0, 2, CORE_SOUTH, 1, 7, ALL, (1, 0)).slot(0, 2, CORE_SOUTH, 3, 5, 0b00101, (1, 0));
    d.master(0, 2, CORE_DMA, 1, 1, true);
    receiver(&mut d, 2, 0, 0, 4);
    d.run(&[]).unwrap();
}

#[test]
fn a_first_word_that_is_no_header_is_named() {
    // Without packet mode in the BD the first data word is taken for a header.
    let send = |words: &[u32]| {
        let mut d = Design::default();
        d.data(0, MEM, 0, words).bd(0, MEM, 2, &bd(OWN, words.len() as u32)).start(0, MEM, Mm2s, 0, 2);
        d.slot(0, MEM, 0, 0, 0, 0, (0, 0)).master(0, MEM, MEM_NORTH, 0, 1, true).connect(0, 2, CORE_SOUTH, CORE_DMA);
        d.op_poll_lock(0, 2, 0, 1);
        support::message(&d, &[])
    };
    let place = "mem (0, 1) slave 0 (Dma 0): packet begins with ";
    assert_eq!(send(&[3, 0]), format!("{place}0x00000003, which is no packet header: its parity is even"));
    assert_eq!(send(&[0x100, 0]), format!("{place}0x00000100, which is no packet header: reserved bits are set"));
    let dropped = "mem (0, 1) master 11 (North 0): packet begins with 0x00000001, which is also its last word, \
                   and this master drops headers";
    assert_eq!(send(&[1]), dropped);
}

#[test]
fn arbiters_six_and_seven_are_refused_by_name() {
    for arbiter in [6, 7] {
        let mut d = Design::default();
        match d.master(1, MEM, MEM_NORTH, arbiter, 1, false).machine() {
            Err(fault @ Fault::ArbiterNumber { .. }) => assert_eq!(
                fault.to_string(),
                format!(
                    "mem (1, 1) master 11 (North 0): arbiter {arbiter} (0 to 5 exist; sources disagree about 6 and 7)"
                )
            ),
            other => panic!("{:?}", other.err()),
        }
        let mut d = Design::default();
        assert!(matches!(
            d.slot(2, 3, 1, 2, 0, 0, (arbiter, 0)).machine(),
            Err(Fault::ArbiterNumber { port, .. }) if port.to_string() == "core (2, 3) slave 1 (Dma 0)"
        ));
        // A slot that is not enabled and a circuit master name no arbiter.
        let mut d = Design::default();
        d.write(0, 2, 0x3_F210, arbiter).write(0, 2, 0x3_F100 + 4 * arbiter, 0x8000_0000);
        d.write(0, 2, 0x3_F004, 0x8000_0000 | arbiter).machine().unwrap();
    }
    for arbiter in 0..6 {
        Design::default().master(0, 2, CORE_DMA, arbiter, 1, true).machine().unwrap();
    }
}

#[test]
fn a_switch_is_not_reconfigured_under_a_packet() {
    let mut d = merge_and_split();
    send(&mut d, 0, 2, 100, 40, 1, false);
    receiver(&mut d, 2, 0, 0, 40);
    d.op_poll_lock(0, 2, 0, 1);
    let unrelated = d.ops.len();
    d.ops.push(Op::Write { addr: addr(3, 2, 0x3_F210), value: 0x0F1F_0135 });
    d.run(&[]).unwrap();
    // The arbiter of the mem tile still holds the packet when its slot changes.
    d.ops[unrelated] = Op::Write { addr: addr(0, MEM, 0xB_0200), value: 0x0F1F_0135 };
    d.op_wait(0, S2mm, 0);
    expect_fault(&d, &[], &["mem (0, 1) slave 0 (Dma 0): reconfigured while 41 words are on a route through it"]);
}

#[test]
fn a_channel_may_feed_circuit_and_packet_hops_in_one_route() {
    // Shim South 3 -> North 0 circuit, mem tile through, row 2 packet, row 3 circuit.
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, MEM_NORTH);
    d.slot(0, 2, CORE_SOUTH, 0, 4, ALL, (2, 0)).master(0, 2, CORE_NORTH_MASTER, 2, 1, true);
    d.connect(0, 3, CORE_SOUTH, CORE_DMA);
    d.op_bd(0, 1, &bd(0, 64).packet(4), 0, 0).op_push(0, Mm2s, 0, 1, 1, false);
    receiver(&mut d, 3, 0, 0, 64);
    d.op_poll_lock(0, 3, 0, 1);
    let data = support::ramp(64);
    let (m, ..) = d.run(&[Ok(&data)]).unwrap();
    assert_eq!(m.read_tile(0, 3, 0, 256).unwrap(), data);
}

#[test]
fn a_circuit_broadcast_may_end_in_a_packet_port() {
    // Row 2 splits a circuit: one branch is its own DMA, which sees the header as data and starts late, the other a packet
    // port of row 3.
    let mut d = Design::default();
    d.data(0, MEM, 0, &numbers(0, 90)).bd(0, MEM, 2, &bd(OWN, 90).packet(3)).start(0, MEM, Mm2s, 0, 2);
    d.connect(0, MEM, 0, MEM_NORTH).connect(0, 2, CORE_SOUTH, CORE_DMA).connect(0, 2, CORE_SOUTH, CORE_NORTH_MASTER);
    d.slot(0, 3, CORE_SOUTH, 0, 3, ALL, (2, 0)).master(0, 3, CORE_DMA, 2, 1, true);
    receiver(&mut d, 3, 0, 0, 90);
    d.bd(0, 2, 0, &bd(0, 91).release(0, 1));
    let early = d.ops.len();
    d.op_start(0, 2, S2mm, 0, 0).op_poll_lock(0, 3, 0, 1).op_poll_lock(0, 2, 0, 1);
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 3, 0, 360).unwrap()), numbers(0, 90));
    assert_eq!(words_of(&m.read_tile(0, 2, 0, 364).unwrap()), [vec![header(3, 0, 1)], numbers(0, 90)].concat());
    // Without row 2's receiver row 3 gets what row 2's branch stores, and the picture says who is full.
    d.ops.remove(early);
    expect_fault(
        &d,
        &[],
        &["core (0, 3) S2MM 0: BD 0 has", "of 90 words, stream empty", "no room at core (0, 2) S2MM 0"],
    );
}

#[test]
fn control_packets_trace_and_deterministic_merge_are_refused_by_name() {
    let mut d = Design::default();
    d.master(0, MEM, MEM_NORTH, 0, 1, false);
    d.slot(0, 2, CORE_SOUTH, 0, 7, ALL, (1, 0)).master(0, 2, 3, 1, 1, false);
    sender(&mut d, 0, 2, 0, 4, 7);
    d.op_poll_lock(0, 2, 0, 1);
    expect_fault(&d, &[], &["core (0, 2) master 3 (TileCtrl 0)", "control packets are not modelled"]);
    // In circuit form too.
    let mut d = Design::default();
    d.data(0, MEM, 0, &[1]).bd(0, MEM, 2, &bd(OWN, 1)).start(0, MEM, Mm2s, 0, 2);
    d.connect(0, MEM, 0, MEM_NORTH).connect(0, 2, CORE_SOUTH, 3).op_wait(0, S2mm, 0);
    expect_fault(&d, &[], &["core (0, 2) master 3 (TileCtrl 0)", "control packets are not modelled"]);
    for (row, offset, feature) in [
        (2, 0x3_40D0, "event trace"),
        (2, 0x1_40D0, "event trace"),
        (MEM, 0x9_40D0, "event trace"),
        (SHIM, 0x3_40D0, "event trace"),
        (2, 0x3_F808, "deterministic merge"),
        (MEM, 0xB_0814, "deterministic merge"),
        (SHIM, 0x3_F818, "deterministic merge"),
    ] {
        let mut d = Design::default();
        d.write(0, row, offset, 0).machine().unwrap();
        match d.write(0, row, offset, 1 << 16).machine() {
            Err(fault @ Fault::UnmodelledFeature { .. }) => {
                assert!(fault.to_string().ends_with(&format!("asks for {feature}, which is not modelled")), "{fault}");
            }
            other => panic!("{:?}", other.err()),
        }
    }
}

#[test]
fn a_token_that_would_share_an_arbiter_with_data_is_refused() {
    // Tokens of the mem tile and data of its MM2S 0 both leave by South 1 under arbiter 0.
    let run = |token_arbiter: u32| {
        let mut d = Design::default();
        d.shim(0).connect(0, SHIM, 15, 2);
        d.slot(0, MEM, 6, 0, 0, 0, (token_arbiter, 0)).master(0, MEM, 8, token_arbiter, 1, false);
        d.master(0, MEM, MEM_NORTH, 0, 2, true).connect(0, 2, CORE_SOUTH, CORE_DMA);
        d.data(0, MEM, 0x200, &numbers(0, 8)).bd(0, MEM, 2, &bd(OWN + 0x200, 8).packet(1));
        d.slot(0, MEM, 0, 0, 1, ALL, (0, 1));
        receiver(&mut d, 2, 0, 0, 8);
        d.op_start(0, MEM, Mm2s, 0, 0x8000_0002).op_poll_lock(0, 2, 0, 1);
        d.ops.push(Op::Tct { direction: Mm2s, col: 0, row: MEM, cols: 1, rows: 1, channel: 0 });
        d.run(&[]).map(|r| r.2.tokens)
    };
    assert_eq!(run(1).unwrap(), 1);
    let fault = run(0).unwrap_err().to_string();
    assert!(fault.contains("mem (0, 1) MM2S 0: task token has no route: it shares an arbiter"), "{fault}");
}

/// Mem tile MM2S `channel`: packets of `lengths` words, one BD each, alternating between ids `channel` and `channel` + 8.
fn stream_of_packets(d: &mut Design, channel: u32, lengths: &[u32], delay: bool) -> Vec<(u32, Vec<u32>)> {
    let parity = 24 * (channel % 2);
    let mut at = 0x1000 * channel;
    let mut sent = Vec::new();
    for (k, &words) in (0u32..).zip(lengths) {
        let (b, id) = (parity + 6 * (channel / 2) + k, channel + 8 * (k % 2));
        let data = numbers(0x4000_0000 | channel << 16 | k << 8, words);
        d.data(0, MEM, at, &data);
        let packet = bd(OWN + u64::from(at), words).packet(id);
        d.bd(0, MEM, b, &if k + 1 < lengths.len() as u32 { packet.next(b + 1) } else { packet });
        sent.push((header(id, 0, 1), data));
        at += 4 * words;
    }
    d.slot(0, MEM, channel, 0, 0, 0, (0, 0));
    let first = parity + 6 * (channel / 2);
    if delay {
        d.op_start(0, MEM, Mm2s, channel, first);
    } else {
        d.start(0, MEM, Mm2s, channel, first);
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Four senders share a lane; ids below 8 go to row 2, ids above to row 3 and by multicast to row 2's second channel.
    #[test]
    fn packets_of_any_lengths_arrive_whole_and_in_order(
        lengths in prop::collection::vec(prop::collection::vec(1u32..70, 1..6), 4),
        delays in prop::array::uniform4(any::<bool>()),
    ) {
        let mut d = Design::default();
        d.master(0, MEM, MEM_NORTH, 0, 1, false);
        let low = 0b01000;
        d.slot(0, 2, CORE_SOUTH, 0, 0, low, (1, 0)).slot(0, 2, CORE_SOUTH, 1, low, low, (1, 1));
        d.master(0, 2, CORE_DMA, 1, 0b01, false).master(0, 2, CORE_DMA + 1, 1, 0b10, true);
        d.master(0, 2, CORE_NORTH_MASTER, 1, 0b10, false);
        d.slot(0, 3, CORE_SOUTH, 2, low, low, (5, 3)).master(0, 3, CORE_DMA, 5, 0b1000, false);
        let sent: Vec<_> =
            (0u32..).zip(&lengths).map(|(c, l)| stream_of_packets(&mut d, c, l, delays[c as usize])).collect();
        let of = |high: bool| sent.iter().flatten().filter(move |(h, _)| (h & low != 0) == high);
        let words = |high: bool, headers: usize| of(high).map(|(_, p)| p.len() + headers).sum::<usize>() as u32;
        for (row, channel, n) in [(2, 0, words(false, 1)), (2, 1, words(true, 0)), (3, 0, words(true, 1))] {
            if n > 0 {
                receiver(&mut d, row, channel, 0x4000 * u64::from(channel), n);
                d.op_poll_lock(0, row, channel, 1);
            }
        }
        let (m, ..) = d.run(&[]).unwrap();
        let got = |row, at, n: u32| words_of(&m.read_tile(0, row, at, 4 * n as usize).unwrap());
        for (high, row) in [(false, 2), (true, 3)] {
            // Take the packets off the received words: each must be the next of its sender.
            let received = got(row, 0, words(high, 1));
            let mut left = &received[..];
            let mut next: Vec<Vec<_>> = (0..4).map(|c| {
                let mut packets: Vec<_> = sent[c].iter().filter(|(h, _)| (h & low != 0) == high).collect();
                packets.reverse();
                packets
            }).collect();
            while let Some((&head, rest)) = left.split_first() {
                let (h, payload) = next[(head & 7) as usize].pop().expect("no more packets than were sent");
                prop_assert_eq!(head, *h);
                prop_assert_eq!(&rest[..payload.len()], &payload[..]);
                left = &rest[payload.len()..];
            }
            prop_assert!(next.iter().all(Vec::is_empty));
            if high {
                // The other branch of the multicast dropped the headers of the same sequence; payload has bit 30 set.
                let want: Vec<u32> = received.iter().copied().filter(|w| w >> 30 & 1 != 0).collect();
                prop_assert_eq!(got(2, 0x4000, words(true, 0)), want);
            }
        }
    }
}
