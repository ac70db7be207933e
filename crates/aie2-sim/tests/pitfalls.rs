//! The ways to misuse the array that cost its users most, each with the message it ends in.
//!
//! `README.md` beside this file lists them by number.

mod support;

use Direction::{Mm2s, S2mm};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use support::{Act, Design, MEM, SHIM, TestBd, bd, expect_fault, message, ramp};

const OWN: u64 = 0x8_0000;

/// Shim MM2S 0 -> mem S2MM 0, mem MM2S 0 -> shim S2MM 0 of one column.
fn relay(col: u8) -> Design {
    let mut d = Design::default();
    d.shim(col);
    d.connect(col, SHIM, 5, 12).connect(col, MEM, 7, 0);
    d.connect(col, MEM, 0, 7).connect(col, SHIM, 14, 4);
    d
}

/// Endless ring of two buffers in the mem tile under locks 0 (empty) and 1 (full).
fn ring(d: &mut Design, col: u8, words: u32) {
    d.lock(col, MEM, 0, 2).lock(col, MEM, 1, 0);
    for b in 0..2 {
        let base = OWN + u64::from(4 * words * b);
        d.bd(col, MEM, b, &bd(base, words).locks((64, -1), (65, 1)).next(1 - b));
        d.bd(col, MEM, 2 + b, &bd(base, words).locks((65, -1), (64, 1)).next(3 - b));
    }
    d.start(col, MEM, S2mm, 0, 0).start(col, MEM, Mm2s, 0, 2);
}

// ---- queue, BD, DMA ---------------------------------------------------------------------------------------------------

#[test]
fn fifth_push() {
    let mut d = relay(2);
    for b in 0..5 {
        d.op_bd(2, b, &bd(0, 16), 0, 0).op_push(2, S2mm, 0, b, 1, false);
    }
    expect_fault(&d, &[Err(64)], &["shim (2, 0) S2MM 0: push of BD 4 onto a full task queue (depth 4)"]);
}

#[test]
fn bd_rewritten_while_queued() {
    let mut d = relay(1);
    d.op_transfer(1, S2mm, 0, 3, 16, 0).op_bd(1, 3, &bd(0, 8), 0, 0);
    let want = "shim (1, 0): BD 3 rewritten (offset 0x1d060) while shim (1, 0) S2MM 0 has it queued or active";
    expect_fault(&d, &[Err(64)], &[want]);
    // A link of the chain is in use as much as its head.
    let mut d = relay(1);
    d.op_bd(1, 4, &bd(0, 8), 0, 0).op_bd(1, 3, &bd(0, 8).next(4), 0, 0).op_push(1, S2mm, 0, 3, 1, true);
    d.ops.push(Op::Write { addr: addr(1, SHIM, support::bd_offset(SHIM, 4)), value: 1 });
    expect_fault(&d, &[Err(64)], &["shim (1, 0): BD 4 rewritten (offset 0x1d080) while shim (1, 0) S2MM 0"]);
}

#[test]
fn mem_tile_bd_of_the_wrong_parity() {
    let rule = "is not available to this channel (even channels 0..23, odd channels 24..47)";
    let mut d = Design::default();
    d.bd(0, MEM, 24, &bd(OWN, 4)).start(0, MEM, Mm2s, 2, 24);
    assert_eq!(d.machine().err().map(|f| f.to_string()), Some(format!("mem (0, 1) MM2S 2: BD 24 {rule}")));
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).next(24)).bd(0, MEM, 24, &bd(OWN, 4)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 8, 0).op_wait(0, S2mm, 0);
    expect_fault(&d, &[Ok(&ramp(8))], &["mem (0, 1) S2MM 0: BD 24", rule]);
}

#[test]
fn mem_tile_channels_4_and_5_used_beyond_their_own_tile() {
    let run = |block: TestBd| {
        let mut d = Design::default();
        d.shim(1).connect(1, SHIM, 5, 12).connect(1, MEM, 7, 4).bd(1, MEM, 0, &block).start(1, MEM, S2mm, 4, 0);
        d.op_transfer(1, Mm2s, 0, 1, 4, 0).op_wait(1, S2mm, 0);
        message(&d, &[Ok(&ramp(4))])
    };
    assert_eq!(
        run(bd(0x10_0040, 4)),
        "mem (1, 1) S2MM 4: BD 0 word 0 goes to byte address 0x100040, channels 4 and 5 reach own memory \
         (0x80000..0xfffff) only"
    );
    assert_eq!(
        run(bd(OWN, 4).locks((130, -1), (64, 1))),
        "mem (1, 1) S2MM 4: BD 0 uses lock id 130, channels 4 and 5 reach own locks (64..127) only"
    );
}

#[test]
fn mem_tile_address_or_lock_without_its_own_base() {
    let run = |block: TestBd| {
        let mut d = relay(0);
        d.bd(0, MEM, 0, &block).start(0, MEM, S2mm, 0, 0).op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
        message(&d, &[Ok(&ramp(4))])
    };
    let side = "the partition has no mem tile on that side";
    assert_eq!(
        run(bd(0x40, 4)),
        format!("mem (0, 1) S2MM 0: BD 0 word 0 goes to byte address 0x40, {side} (own memory starts at 0x80000)")
    );
    assert_eq!(
        run(bd(OWN, 4).locks((3, -1), (64, 1))),
        format!("mem (0, 1) S2MM 0: BD 0 uses lock id 3, {side} (own locks are 64..127)")
    );
    // Where a west neighbour exists the words go there, and the own buffer stays as it was: never written.
    let mut d = relay(2);
    d.bd(2, MEM, 0, &bd(0x40, 4).release(64, 1)).start(2, MEM, S2mm, 0, 0).op_transfer(2, Mm2s, 0, 1, 4, 0);
    d.op_poll_lock(2, MEM, 0, 1);
    let (m, ..) = d.run(&[Ok(&ramp(4))]).unwrap();
    assert_eq!(m.read_tile(1, MEM, 0x40, 16).unwrap(), ramp(4));
    let text = m.read_tile(2, MEM, 0x40, 16).unwrap_err().to_string();
    assert_eq!(text, "buffer `mem (2, 1)`: byte 64 was never written (16 such bytes)");
}

#[test]
fn padded_transfer_with_the_length_of_its_data() {
    // Four words between one zero before and three after make eight; the BD says four.
    let mut d = relay(0);
    d.data(0, MEM, 0, &[1, 2, 3, 4]);
    let mut out = bd(OWN, 4).dims(&[(1, 4), (4, 1)]);
    out.pad = [(1, 3), (0, 0), (0, 0)];
    d.bd(0, MEM, 2, &out).start(0, MEM, Mm2s, 0, 2).op_transfer(0, S2mm, 0, 3, 8, 0).op_wait(0, S2mm, 0);
    expect_fault(&d, &[Err(32)], &["shim (0, 0) S2MM 0: BD 3 has 4 of 8 words, stream empty"]);
}

#[test]
fn packet_without_payload_and_packet_without_end() {
    let send = |block: TestBd| {
        let mut d = Design::default();
        d.data(0, MEM, 0, &[1, 2, 3, 4]).slot(0, MEM, 0, 0, 0, 0, (3, 0)).master(0, MEM, 11, 3, 1, true);
        d.connect(0, 2, 5, 1).bd(0, 2, 0, &bd(0, 4).release(0, 1)).start(0, 2, S2mm, 0, 0);
        d.bd(0, MEM, 2, &block).bd(0, MEM, 24, &bd(OWN, 4).packet(2));
        d.slot(0, MEM, 1, 0, 0, 0, (3, 0)).start(0, MEM, Mm2s, 0, 2);
        d.op_poll_lock(0, 2, 0, 1).op_start(0, MEM, Mm2s, 1, 24).op_wait(0, S2mm, 0);
        message(&d, &[])
    };
    assert_eq!(send(bd(OWN, 0).packet(1)), "mem (0, 1) MM2S 0: BD 2 has length 0");
    let text = send(TestBd { tlast_suppress: true, ..bd(OWN, 4).packet(1) });
    let held = "mem (0, 1) arbiter 3: held by mem (0, 1) slave 0 (Dma 0) for packet id 1, 5 words passed, no TLAST yet";
    assert!(text.contains(held) && text.contains("mem (0, 1) slave 1 (Dma 1) waits with packet id 2"), "{text}");
}

#[test]
fn receiver_that_expects_more_than_the_packet_brings() {
    // TLAST after 12 words ends nothing: the BD of 16 waits on, and the 4 missing words would come from the next packet.
    let mut d = relay(0);
    d.data(0, MEM, 0, &[7; 12]).bd(0, MEM, 2, &bd(OWN, 12)).start(0, MEM, Mm2s, 0, 2);
    d.op_transfer(0, S2mm, 0, 3, 16, 0).op_wait(0, S2mm, 0);
    expect_fault(&d, &[Err(64)], &["shim (0, 0) S2MM 0: BD 3 has 12 of 16 words, stream empty"]);
    // Expecting less leaves the rest on the route, where the next receiver finds it.
    let mut d = relay(0);
    d.data(0, MEM, 0, &[7; 20]).bd(0, MEM, 2, &bd(OWN, 20)).start(0, MEM, Mm2s, 0, 2);
    d.op_transfer(0, S2mm, 0, 3, 16, 0).op_wait(0, S2mm, 0).op_wait(0, Mm2s, 0);
    expect_fault(&d, &[Err(64)], &["shim (0, 0) S2MM 0: 4 words arrived, no BD queued"]);
}

#[test]
fn waiting_for_the_token_of_a_ring() {
    let mut d = relay(0);
    d.lock(0, MEM, 0, 1).bd(0, MEM, 0, &bd(OWN, 16).locks((64, -1), (65, 1)).next(0));
    d.connect(0, MEM, 6, 8).connect(0, SHIM, 15, 2);
    d.write(0, SHIM, 0x3_F100, 0).op_start(0, MEM, S2mm, 0, 0x8000_0000);
    d.op_transfer(0, Mm2s, 0, 1, 16, 0);
    d.ops.push(Op::Tct { direction: S2mm, col: 0, row: MEM, cols: 1, rows: 1, channel: 0 });
    expect_fault(
        &d,
        &[Ok(&ramp(16))],
        &[
            "waits for a task token of mem (0, 1) S2MM 0",
            "mem (0, 1) S2MM 0: BD 0 waits for lock 0 of mem (0, 1) (value 0, acquire -1)",
        ],
    );
}

#[test]
fn channel_reset_without_new_lock_values() {
    // Every start of the ring takes a credit. A reset forgets the BD that took it, not that it was taken.
    let run = |restore: bool| {
        let mut d = relay(0);
        ring(&mut d, 0, 16);
        for _ in 0..2 {
            for value in [2, 0] {
                for control in [0xA_0600, 0xA_0630] {
                    d.ops.push(Op::Write { addr: addr(0, MEM, control), value });
                }
            }
            for (lock, value) in [(0, 2), (1, 0)].into_iter().filter(|_| restore) {
                d.ops.push(Op::Write { addr: addr(0, MEM, support::lock_offset(MEM, lock)), value });
            }
            d.op_start(0, MEM, S2mm, 0, 0).op_start(0, MEM, Mm2s, 0, 2);
        }
        d.op_transfer(0, S2mm, 0, 3, 64, 1).op_transfer(0, Mm2s, 0, 1, 64, 0).op_wait(0, S2mm, 0);
        d.run(&[Ok(&ramp(64)), Err(256)]).map(|(m, ids, _)| m.read_buffer(ids[1]).unwrap()).map_err(|f| f.to_string())
    };
    assert_eq!(run(true), Ok(ramp(64)));
    let text = run(false).unwrap_err();
    let want = "mem (0, 1) S2MM 0: BD 0 waits for lock 0 of mem (0, 1) (value 0, acquire -1)";
    assert!(text.contains(want), "{text}");
    // A shim channel has no reset: the bit pauses it, which is refused.
    let mut d = Design::default();
    let text = d.write(0, SHIM, 0x1_D200, 2).machine().err().map(|f| f.to_string()).unwrap_or_default();
    assert!(text.contains("shim (0, 0): register 0x1d200") && text.contains("pausing a shim channel"), "{text}");
}

#[test]
fn address_between_two_words() {
    let mut d = relay(0);
    d.op_bd(0, 1, &bd(0, 16), 0, 2).op_push(0, Mm2s, 0, 1, 1, false).op_wait(0, Mm2s, 0);
    expect_fault(&d, &[Ok(&ramp(32))], &["shim (0, 0) MM2S 0: BD 1 asks for an address that is not word aligned"]);
}

#[test]
fn vector_load_between_two_vectors() {
    let mut d = Design::default();
    let line = |line: &str| aie2_isa::Bundle::parse(line).unwrap().encode_at_least(16).unwrap().as_bytes().to_vec();
    let text = ["movxm p1, #0x70010", "nop", "vlda wl0, [p1, #0]"];
    let program = support::words_of(&text.into_iter().flat_map(line).collect::<Vec<u8>>());
    d.cdo.push(npu_container::cdo::Command::DmaWrite { addr: addr(1, 5, 0x2_0000), data: program });
    d.write(1, 5, 0x3_2000, 0).write(1, 5, 0x3_2000, 1).op_wait(0, S2mm, 0);
    let mut m = aie2_sim::Machine::new(support::fast());
    m.load_pdi(&d.pdi()).unwrap();
    let text = m.run(&d.txn(), &[]).unwrap_err().to_string();
    assert!(text.contains("core (1, 5) pc 0x20") && text.contains("32 bytes at 0x70010 is not aligned"), "{text}");
}

#[test]
fn receiving_iterations_that_overwrite_each_other() {
    let run = |step: u32| {
        let mut d = relay(0);
        ring(&mut d, 0, 16);
        d.op_bd(0, 3, &TestBd { iteration: Some((step, 2)), ..bd(0, 16) }, 1, 0).op_push(0, S2mm, 0, 3, 2, true);
        d.op_transfer(0, Mm2s, 0, 1, 32, 0).op_wait(0, S2mm, 0);
        d.run(&[Ok(&ramp(32)), Err(128)]).map(|(m, ids, _)| m.read_buffer(ids[1]).unwrap()).map_err(|f| f.to_string())
    };
    assert_eq!(run(16), Ok(ramp(32)));
    let want = "shim (0, 0) S2MM 0: BD 3 asks for S2MM iterations that overwrite each other, which is not modelled";
    assert_eq!(run(15), Err(want.into()));
}

// ---- locks ------------------------------------------------------------------------------------------------------------

#[test]
fn equality_where_at_least_was_meant() {
    let mut d = relay(0);
    d.data(0, MEM, 0, &[1; 4]).lock(0, MEM, 5, 2).bd(0, MEM, 2, &bd(OWN, 4).locks((69, 1), (70, 1)));
    d.start(0, MEM, Mm2s, 0, 2).op_transfer(0, S2mm, 0, 3, 4, 0).op_wait(0, S2mm, 0);
    let want = "mem (0, 1) MM2S 0: BD 2 waits for lock 5 of mem (0, 1) (value 2, acquire 1)";
    expect_fault(&d, &[Err(16)], &[want]);
    let mut d = Design::default();
    d.lock(0, 2, 4, 2).core(0, 2, &[Act::Acquire(52, 1), Act::Done]).op_poll_lock(0, 2, 4, 1);
    expect_fault(&d, &[], &["core (0, 2): pc 0x0 waits for acquire of lock 52 (value 1), lock is 2"]);
}

#[test]
fn lock_named_in_the_numbering_of_another_requester() {
    // A core that writes BD numbers reaches its southern neighbour, which row 2 does not have.
    let mut d = Design::default();
    d.lock(0, 2, 1, 1).core(0, 2, &[Act::Acquire(1, -1), Act::Done]).op_poll_lock(0, 2, 1, 0);
    expect_fault(&d, &[], &["core (0, 2): core lock id 1 reaches no lock"]);
    // One row up it waits for the lock of row 2.
    let mut d = Design::default();
    d.lock(0, 3, 1, 1).core(0, 3, &[Act::Acquire(1, -1), Act::Done]).op_poll_lock(0, 3, 1, 0);
    expect_fault(&d, &[], &["core (0, 3): pc 0x0 waits for acquire of lock 1 (value -1), lock is 0"]);
    // A mem tile BD with the register number reaches west.
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).release(1, 1)).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_wait(0, S2mm, 0);
    expect_fault(&d, &[Ok(&ramp(4))], &["mem (0, 1) S2MM 0: BD 0 uses lock id 1", "own locks are 64..127"]);
}

#[test]
fn one_lock_pair_for_two_producers_of_a_join() {
    // Rows 2 and 3 fill the two halves of a join under one pair. Row 2 runs ahead on row 3's credit, and the joined side
    // reads row 3's half before it was written.
    let mut d = Design::default();
    d.shim(0).connect(0, MEM, 2, 7).connect(0, SHIM, 14, 4);
    d.lock(0, MEM, 0, 2).lock(0, MEM, 1, 0);
    for r in 0..2u32 {
        let row = 2 + r as u8;
        d.data(0, row, 0, &[r + 1; 16]).bd(0, row, 0, &bd(0, 16));
        d.connect(0, row, 1, 5 + r).connect(0, MEM, 13 + r, 2 + r);
        let (b, at) = (24 * (r % 2), OWN + u64::from(64 * r));
        d.bd(0, MEM, b, &bd(at, 16).locks((64, -1), (65, 1)).next(b)).start(0, MEM, S2mm, 2 + r, b);
        d.bd(0, MEM, 10 + r, &bd(at, 16).locks((65, -1), (64, 1)).next(11 - r));
    }
    d.connect(0, 2, 16, 6).start(0, MEM, Mm2s, 2, 10);
    d.start(0, 2, Mm2s, 0, 1 << 16);
    d.op_transfer(0, S2mm, 0, 3, 32, 0).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Err(128)]).unwrap();
    let text = m.read_buffer(ids[0]).unwrap_err().to_string();
    assert_eq!(text, "buffer `arg0`: byte 64 was never written (64 such bytes)");
}

#[test]
fn lock_write_that_should_have_added() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Spin(2000, 0), Act::Acquire(48, -2), Act::Done]);
    for _ in 0..2 {
        d.ops.push(Op::Write { addr: addr(0, 2, support::lock_offset(2, 0)), value: 1 });
    }
    d.op_poll_lock(0, 2, 0, 0);
    expect_fault(&d, &[], &["core (0, 2): pc 0x10 waits for acquire of lock 48 (value -2), lock is 1"]);
}

#[test]
fn locks_that_a_first_dispatch_left_behind() {
    let mut d = Design::default();
    d.lock(0, 2, 0, 1).core(0, 2, &[Act::Acquire(48, -1), Act::Release(49, 1), Act::Loop]).op_poll_lock(0, 2, 1, 1);
    let (mut m, ..) = d.run(&[]).unwrap();
    assert_eq!(m.lock(0, 2, 0).unwrap(), 0);
    let mut second = Design::default();
    second.op_poll_lock(0, 2, 1, 2);
    let text = m.run(&second.txn(), &[]).unwrap_err().to_string();
    assert!(text.contains("core (0, 2): pc 0x0 waits for acquire of lock 48 (value -1), lock is 0"), "{text}");
}

#[test]
fn two_readers_of_one_buffer_on_a_single_credit() {
    let mut d = Design::default();
    d.data(0, MEM, 0, &[5; 8]).lock(0, MEM, 1, 1);
    d.connect(0, MEM, 0, 11).connect(0, MEM, 1, 12).connect(0, 2, 5, 1).connect(0, 2, 6, 2);
    for (channel, b) in [(0, 2), (1, 24)] {
        d.bd(0, MEM, b, &bd(OWN, 8).locks((65, -1), (64, 1))).start(0, MEM, Mm2s, channel, b);
        d.bd(0, 2, channel, &bd(0x100, 8).release(channel, 1)).start(0, 2, S2mm, channel, channel);
    }
    d.op_poll_lock(0, 2, 0, 1).op_poll_lock(0, 2, 1, 1);
    let text = message(&d, &[]);
    let waits = |channel: u32, b: u32| {
        text.contains(&format!(
            "mem (0, 1) MM2S {channel}: BD {b} waits for lock 1 of mem (0, 1) (value 0, acquire -1)"
        ))
    };
    assert!(waits(0, 2) != waits(1, 24), "one has it, one waits\n{text}");
}

// ---- streams ----------------------------------------------------------------------------------------------------------

#[test]
fn lane_change_inside_a_mem_tile() {
    let mut d = Design::default();
    let text = d.connect(3, MEM, 7, 12).machine().err().map(|f| f.to_string());
    assert_eq!(text.as_deref(), Some("mem (3, 1) master 12 (North 1) cannot be fed by slave 7 (South 0)"));
    // Down there are four lanes: the master after South 3 is North 0.
    let mut d = Design::default();
    let text = d.connect(3, MEM, 16, 11).machine().err().map(|f| f.to_string());
    assert_eq!(text.as_deref(), Some("mem (3, 1) master 11 (North 0) cannot be fed by slave 16 (North 3)"));
}

#[test]
fn crossed_order_of_two_broadcasts() {
    // A and B go to rows 2 and 3, one buffer each. Row 2 wants two of A before its first B, row 3 two of B before its A.
    let mut d = Design::default();
    for (channel, b) in [(0, 2), (1, 24)] {
        d.data(0, MEM, 0, &[1; 128]).bd(0, MEM, b, &bd(OWN, 128)).start(0, MEM, Mm2s, channel, b);
        d.connect(0, MEM, channel, 11 + channel);
        for row in 2..4 {
            d.connect(0, row, 5 + channel, 1 + channel);
            let (empty, full) = (2 * channel, 2 * channel + 1);
            d.lock(0, row, empty, 1).bd(
                0,
                row,
                channel,
                &bd(0x400 * u64::from(channel), 64).locks((empty, -1), (full, 1)).next(channel),
            );
            d.start(0, row, S2mm, channel, channel);
        }
        d.connect(0, 2, 5 + channel, 13 + channel);
    }
    let take = |full: u8| [Act::Acquire(48 + full, -1), Act::Release(47 + full, 1)];
    d.core(0, 2, &[take(1), take(1), take(3), take(3), [Act::Release(60, 1), Act::Done]].concat());
    d.core(0, 3, &[take(3), take(3), take(1), take(1), [Act::Release(60, 1), Act::Done]].concat());
    d.op_poll_lock(0, 2, 12, 1);
    expect_fault(
        &d,
        &[],
        &[
            "core (0, 2): pc 0x20 waits for acquire of lock 49 (value -1), lock is 0",
            "core (0, 3): pc 0x20 waits for acquire of lock 51 (value -1), lock is 0",
            "core (0, 2) S2MM 1: BD 1 waits for lock 2 of core (0, 2) (value 0, acquire -1)",
            "core (0, 3) S2MM 0: BD 0 waits for lock 0 of core (0, 3) (value 0, acquire -1)",
            "mem (0, 1) MM2S 0: BD 2 sent",
            "no room at core (0, 3) S2MM 0",
            "no room at core (0, 2) S2MM 1",
        ],
    );
}

#[test]
fn sender_started_without_a_receiver() {
    let mut d = Design::default();
    d.data(0, MEM, 0, &[1; 64]).bd(0, MEM, 2, &bd(OWN, 64)).start(0, MEM, Mm2s, 0, 2);
    d.connect(0, MEM, 0, 11).connect(0, 2, 5, 1).op_wait(0, S2mm, 0);
    // 8 and 6 words of the switches and 16 of the ingress.
    expect_fault(&d, &[], &["core (0, 2) S2MM 0: 30 words arrived, no BD queued", "no room at core (0, 2) S2MM 0"]);
}

#[test]
fn shim_multiplexers_and_token_route_left_out() {
    let run = |omit: u32| {
        let mut d = relay(0);
        ring(&mut d, 0, 16);
        if omit != 0 {
            d.write(0, SHIM, omit, 0);
        }
        if omit == 0x3_F100 {
            d.write(0, SHIM, 0x3_F008, 0);
        }
        d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, S2mm, 0);
        d.run(&[Ok(&ramp(16)), Err(64)]).map(|_| ()).map_err(|f| f.to_string())
    };
    assert_eq!(run(0), Ok(()));
    let mux = "shim (0, 0) MM2S 0: started, but its stream port shim (0, 0) slave 5 (South 3) is connected to nothing";
    assert_eq!(run(0x1_F000), Err(mux.into()));
    let demux = run(0x1_F004).unwrap_err();
    assert!(demux.contains("shim (0, 0) master 4 (South 2)") && demux.contains("does not select the DMA"), "{demux}");
    let token = "shim (0, 0) S2MM 0: task token has no route: the tile-control slave is not enabled";
    assert_eq!(run(0x3_F100), Err(token.into()));
}

#[test]
fn circuit_and_packet_on_one_port() {
    let mut d = Design::default();
    d.slot(1, MEM, 0, 0, 1, 0x1f, (0, 0)).write(1, MEM, 0xB_0000 + 4 * 11, 0x8000_0000);
    let text = d.machine().err().map(|f| f.to_string());
    let want = "mem (1, 1) master 11 (North 0) selects slave 0 (Dma 0), which is not enabled as a circuit port";
    assert_eq!(text.as_deref(), Some(want));
}

#[test]
fn slots_of_an_earlier_configuration() {
    // Slot 3 still takes every id to an arbiter whose masters are gone, or to one that has others now.
    for old in [2, 1] {
        let mut d = Design::default();
        d.data(0, MEM, 0, &[1; 4]).bd(0, MEM, 2, &bd(OWN, 4).packet(6)).start(0, MEM, Mm2s, 0, 2);
        d.slot(0, MEM, 0, 3, 0, 0, (old, 0)).slot(0, MEM, 0, 0, 6, 0x1f, (0, 0));
        d.master(0, MEM, 11, 0, 1, true).master(0, MEM, 12, 1, 1, true);
        d.connect(0, 2, 5, 1).connect(0, 2, 6, 2).op_wait(0, S2mm, 0);
        let want = "mem (0, 1) slave 0 (Dma 0): packet with id 6 matches slots 0 and 3, which name different targets";
        expect_fault(&d, &[], &[want]);
    }
}

// ---- cores, firmware --------------------------------------------------------------------------------------------------

#[test]
fn window_onto_a_neighbour_that_is_not_there() {
    for (col, row, at) in [(0, 2, 0x4_0100), (0, 4, 0x5_0100), (2, 5, 0x6_0100)] {
        let mut d = Design::default();
        d.core(col, row, &[Act::Expect(at, 0)]).op_poll_lock(0, 2, 0, 1);
        expect_fault(&d, &[], &[&format!("core ({col}, {row}): core address {at:#x} (4 bytes) reaches no memory")]);
    }
}

#[test]
fn parameter_read_before_it_was_written() {
    let run = |lock: bool| {
        let mut d = Design::default();
        let wait = if lock { vec![Act::Acquire(48, 1)] } else { vec![] };
        d.core(0, 2, &[wait, vec![Act::Expect(0x7_0100, 42), Act::Release(49, 1), Act::Done]].concat());
        d.ops.push(Op::Write { addr: addr(0, 2, 0x100), value: 42 });
        d.ops.push(Op::Write { addr: addr(0, 2, support::lock_offset(2, 0)), value: 1 });
        d.op_poll_lock(0, 2, 1, 1);
        d.run(&[]).map(|_| ()).map_err(|f| f.to_string())
    };
    assert_eq!(run(true), Ok(()));
    let want = "core (0, 2): core reads 4 bytes at 0x70100, byte 0x70100 was never written";
    assert_eq!(run(false), Err(want.into()));
}

#[test]
fn program_expected_to_restart_without_a_reset_pulse() {
    let mut d = Design::default();
    d.core(0, 2, &[Act::Release(48, 1), Act::Acquire(50, -1), Act::Done]).op_poll_lock(0, 2, 0, 1);
    // Disabled and enabled again, it goes on where it stood.
    for value in [0, 1] {
        d.ops.push(Op::Write { addr: addr(0, 2, 0x3_2000), value });
    }
    d.op_poll_lock(0, 2, 0, 2);
    expect_fault(&d, &[], &["core (0, 2): pc 0x10 waits for acquire of lock 50 (value -1), lock is 0"]);
}

#[test]
fn debug_registers_and_unknown_operations() {
    for offset in [0x3_2010, 0x3_2014] {
        let mut d = Design::default();
        let text = d.write(0, 2, offset, 1).machine().err().map(|f| f.to_string());
        let want = format!("core (0, 2): write of 0x00000001 to unmodelled register {offset:#07x}");
        assert_eq!(text, Some(want));
    }
    let mut d = Design::default();
    d.ops.push(Op::Noop);
    let mut stream = d.txn();
    stream[16] = 0x7b;
    let text = d.machine().unwrap().run(&stream, &[]).unwrap_err().to_string();
    assert!(text.starts_with("instruction stream: "), "{text}");
}

#[test]
fn token_wait_for_a_rectangle() {
    let mut d = Design::default();
    d.ops.push(Op::Tct { direction: S2mm, col: 0, row: 0, cols: 2, rows: 1, channel: 1 });
    let want = "operation 0: token wait with words 0x00000000 0x01020100 is outside the model";
    assert_eq!(message(&d, &[]), want);
}
