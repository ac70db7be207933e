//! Stream switches: legal connections, broadcast, storage, dangling routes, packets, tokens from upper tiles.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Fault, Waiter};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use support::{Act, Design, MEM, SHIM, TestBd, bd, lock_offset, queue_offset, ramp, words_of};

const OWN: u64 = 0x8_0000;

/// Shim 0 MM2S 0 up through the mem tile to row 2, there broadcast to S2MM 0 of rows 2 and 3.
fn broadcast() -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 11);
    d.connect(0, 2, 5, 1).connect(0, 2, 5, 13); // South 0 -> DMA 0 and North 0
    d.connect(0, 3, 5, 1);
    d
}

fn poll_lock(d: &mut Design, row: u8, lock: u32, value: u32) {
    d.ops.push(Op::MaskPoll { addr: addr(0, row, lock_offset(row, lock)), value, mask: 0x3f });
}

fn sink(d: &mut Design, row: u8, words: u32) {
    d.bd(0, row, 0, &TestBd { release: Some((0, 1)), ..bd(0, words) });
    d.start(0, row, S2mm, 0, 0);
}

#[test]
fn broadcast_delivers_every_word_to_every_receiver() {
    let mut d = broadcast();
    sink(&mut d, 2, 64);
    sink(&mut d, 3, 64);
    d.op_transfer(0, Mm2s, 0, 1, 64, 0);
    poll_lock(&mut d, 2, 0, 1);
    poll_lock(&mut d, 3, 0, 1);
    let (m, _, report) = d.run(&[Ok(&ramp(64))]).unwrap();
    assert_eq!(m.read_tile(0, 2, 0, 256).unwrap(), ramp(64));
    assert_eq!(m.read_tile(0, 3, 0, 256).unwrap(), ramp(64));
    assert_eq!(report.ddr_read_bytes(), 256);
}

#[test]
fn a_receiver_without_bd_holds_the_others_of_its_broadcast() {
    let mut d = broadcast();
    sink(&mut d, 2, 256);
    d.op_transfer(0, Mm2s, 0, 1, 256, 0);
    poll_lock(&mut d, 2, 0, 1);
    let Err(Fault::Deadlock(report)) = d.run(&[Ok(&ramp(256))]) else { panic!() };
    // Row 3 stores 4 words at the North port of row 2, 6 in its own switch, 16 in its ingress buffer; row 2 gets the
    // same 26 words and no more.
    assert!(
        report.waiters.iter().any(|w| matches!(w, Waiter::DmaStarved { done: 24..=26, length: 256, .. })),
        "{report}"
    );
    assert!(report.to_string().contains("no room at core (0, 3) S2MM 0"), "{report}");
}

#[test]
fn a_slow_receiver_slows_the_broadcast_and_loses_nothing() {
    let mut d = broadcast();
    sink(&mut d, 2, 128);
    // Row 3 takes 8 words at a time and waits for its core to hand out credits.
    d.lock(0, 3, 1, 1).lock(0, 3, 0, 0);
    d.bd(0, 3, 0, &bd(0x2000, 8).locks((1, -1), (0, 1)).next(0)).start(0, 3, S2mm, 0, 0);
    let mut acts = Vec::new();
    for i in 0..16 {
        acts.extend([
            Act::Acquire(48, -1),
            Act::Spin(100, 0),
            Act::Copy(0x2000, 0x4000 + 32 * i, 8),
            Act::Release(49, 1),
        ]);
    }
    acts.push(Act::Release(50, 1));
    acts.push(Act::Done);
    d.core(0, 3, &acts);
    d.op_transfer(0, Mm2s, 0, 1, 128, 0);
    poll_lock(&mut d, 3, 2, 1);
    poll_lock(&mut d, 2, 0, 1);
    let (m, _, report) = d.run(&[Ok(&ramp(128))]).unwrap();
    assert_eq!(m.read_tile(0, 2, 0, 512).unwrap(), ramp(128));
    assert_eq!(m.read_tile(0, 3, 0x4000, 512).unwrap(), ramp(128));
    assert!(report.cycles > 16 * 108);
}

#[test]
fn connections_the_switch_does_not_have_are_refused_at_the_write() {
    for (row, slave, master) in [(MEM, 8, 11), (MEM, 0, 1), (2, 6, 5), (2, 3, 1), (SHIM, 10, 9), (MEM, 14, 7)] {
        let mut d = Design::default();
        match d.connect(1, row, slave, master).machine() {
            Err(Fault::IllegalConnection { master: m, slave: s }) => {
                assert_eq!((u32::from(m.index), u32::from(s)), (master, slave));
            }
            other => panic!("{row} {slave} {master}: {:?}", other.err()),
        }
    }
    let mut d = Design::default();
    assert!(matches!(d.write(0, MEM, 0xB_0000 + 4 * 17, 0x8000_0000).machine(), Err(Fault::NoSuchPort { .. })));
}

fn sends_from_mem(d: &mut Design) -> Result<(), Fault> {
    d.write(0, MEM, 0, 1).bd(0, MEM, 2, &bd(OWN, 1)).start(0, MEM, Mm2s, 0, 2);
    d.op_wait(0, S2mm, 0);
    d.run(&[]).map(|_| ())
}

#[test]
fn a_word_that_arrives_nowhere_is_a_fault_with_the_place() {
    // DMA 0 -> North 0, nothing enabled in row 2.
    let mut d = Design::default();
    match sends_from_mem(d.connect(0, MEM, 0, 11)) {
        Err(Fault::DanglingRoute { source_port, at, why }) => {
            assert_eq!(source_port.to_string(), "mem (0, 1) slave 0 (Dma 0)");
            assert_eq!((at.tile.row, at.index, why), (2, 5, "this slave port is not enabled"));
        }
        other => panic!("{other:?}"),
    }
    // Row 5 has nothing to its north.
    let mut d = Design::default();
    d.connect(0, MEM, 0, 11);
    for row in 2..6 {
        d.connect(0, row, 5, 13);
    }
    assert!(matches!(
        sends_from_mem(&mut d),
        Err(Fault::DanglingRoute { why: "the wire ends at the edge of the array", .. })
    ));
    // A master whose slave stays closed is refused when the configuration is complete.
    let mut d = Design::default();
    d.write(0, MEM, 0xB_0000 + 4 * 11, 0x8000_0000);
    assert!(matches!(d.machine(), Err(Fault::SlaveDisabled { slave: 0, .. })));
    // A slave enabled without a master.
    let mut d = Design::default();
    d.write(0, MEM, 0xB_0100, 0x8000_0000);
    assert!(matches!(sends_from_mem(&mut d), Err(Fault::DanglingRoute { why: "no master selects this slave", .. })));
    // Nothing configured at all.
    let mut d = Design::default();
    assert!(matches!(sends_from_mem(&mut d), Err(Fault::UnroutedSource { .. })));
}

#[test]
fn a_route_may_detour_through_the_switch_fifo() {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 1).connect(0, SHIM, 1, 4); // South 3 -> FIFO -> South 2
    d.op_transfer(0, S2mm, 0, 3, 64, 1).op_transfer(0, Mm2s, 0, 1, 64, 0).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Ok(&ramp(64)), Err(256)]).unwrap();
    assert_eq!(m.read_buffer(ids[1]).unwrap(), ramp(64));
}

#[test]
fn changing_a_route_under_way_is_a_fault() {
    let mut d = broadcast();
    d.op_transfer(0, Mm2s, 0, 1, 256, 0);
    // The first words are on the way (and stuck: nobody has a BD) when the stream reroutes row 2.
    d.ops.push(Op::MaskPoll { addr: addr(0, 0, 0x1_D228), value: 1 << 19, mask: 1 << 19 });
    for _ in 0..60 {
        d.ops.push(Op::Write { addr: addr(3, 2, 0x3_4000), value: 0 });
    }
    d.ops.push(Op::Write { addr: addr(0, 2, 0x3_F000 + 4 * 13), value: 0 });
    d.op_wait(0, Mm2s, 0);
    match d.run(&[Ok(&ramp(256))]) {
        Err(Fault::ReconfiguredInFlight { words, .. }) => assert!(words > 16),
        other => panic!("{:?}", other.map(|r| r.2)),
    }
}

/// Packet routes in the form AMD's own PDIs use: id 15, arbiter 5, msel 3; tokens of upper tiles merge at North 1.
// SOURCE: Xilinx/mlir-aie sample PDI (0x3F008 = 0xC0000045, 0x3F200 = 0x0F1F0135).
#[test]
fn tokens_follow_packet_routes_by_their_controller_id() {
    let token = |id: u32, slot_id: u32| {
        let mut d = Design::default();
        d.shim(0).connect(0, SHIM, 5, 4);
        d.write(0, SHIM, 0x3_F008, 0xC000_0045).write(0, SHIM, 0x3_F100, 0xC000_0000);
        d.write(0, SHIM, 0x3_F200, slot_id << 24 | 0x001F_0135);
        d.write(0, SHIM, 0x1_D200, id << 8);
        d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, S2mm, 0);
        d.run(&[Ok(&ramp(16)), Err(64)]).map(|r| r.2.tokens)
    };
    assert_eq!(token(15, 15).unwrap(), 1);
    assert!(matches!(token(14, 15), Err(Fault::TokenRoute { why: "no packet slot matches the controller id", .. })));
}

#[test]
fn a_mem_tile_token_needs_a_route_down_to_a_shim() {
    let run = |routed: bool| {
        let mut d = Design::default();
        d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 0);
        d.bd(0, MEM, 0, &bd(OWN, 16));
        if routed {
            d.connect(0, MEM, 6, 8); // tile control -> South 1
            d.connect(0, SHIM, 15, 2); // North 1 -> South 0
        }
        d.ops.push(Op::Write { addr: addr(0, MEM, queue_offset(MEM, S2mm, 0)), value: 0x8000_0000 });
        d.op_transfer(0, Mm2s, 0, 1, 16, 0);
        d.ops.push(Op::Tct { direction: S2mm, col: 0, row: MEM, cols: 1, rows: 1, channel: 0 });
        d.run(&[Ok(&ramp(16))]).map(|(m, ..)| words_of(&m.read_tile(0, MEM, 0, 64).unwrap()))
    };
    assert_eq!(run(true).unwrap(), words_of(&ramp(16)));
    assert!(matches!(run(false), Err(Fault::TokenRoute { .. })));
}

/// One-column passthrough compiled by mlir-aie: shim -> mem tile (through) -> core tile S2MM 0, MM2S 0 -> shim. The
/// register words are the published ones; the core's job (hand each buffer over) is scripted.
// SOURCE: jtuyls/hrx-xclbinutil test/data/sample.pdi, made by Xilinx/mlir-aie.
#[test]
fn published_passthrough_words_move_data_through_a_column() {
    let mut d = Design::default();
    for c in [0x1_DE10, 0x1_DE18, 0x1_DE00, 0x1_DE08] {
        d.cdo.push(npu_container::cdo::Command::MaskWrite { addr: addr(0, 2, c), mask: 2, value: 2 });
    }
    for c in [0x1_DE10, 0x1_DE18, 0x1_DE00, 0x1_DE08] {
        d.cdo.push(npu_container::cdo::Command::MaskWrite { addr: addr(0, 2, c), mask: 2, value: 0 });
    }
    for l in 0..16 {
        d.lock(0, 2, l, 0);
    }
    d.write(0, 0, 0x1_4020, 0).write(0, 0, 0x1_4030, 0);
    d.lock(0, 2, 2, 2).lock(0, 2, 3, 0).lock(0, 2, 0, 2).lock(0, 2, 1, 0);
    d.write(0, 0, 0x1_4000, 0).write(0, 0, 0x1_4010, 0);
    for (offset, first, last) in [
        (0x1_D000, 0x0800_0080, 0x0E04_3FE0),
        (0x1_D040, 0x0040_0080, 0x1E04_5FE3),
        (0x1_D060, 0x0400_0080, 0x1604_5FE3),
        (0x1_D020, 0x0C00_0080, 0x0604_3FE0),
    ] {
        let data = vec![first, 0, 0, 0, 0, last];
        d.cdo.push(npu_container::cdo::Command::DmaWrite { addr: addr(0, 2, offset), data });
    }
    d.write(0, 2, 0x1_DE04, 0).write(0, 2, 0x1_DE14, 2);
    for (offset, value) in [
        (0x3_F034, 0x8000_0005),
        (0x3_F114, 0x8000_0000),
        (0x3_F010, 0x8000_000F),
        (0x3_F13C, 0x8000_0000),
        (0x3_F008, 0xC000_0045),
        (0x3_F100, 0xC000_0000),
        (0x3_F200, 0x0F1F_0135),
    ] {
        d.write(0, 0, offset, value);
    }
    for (offset, value) in
        [(0xB_0030, 0x8000_0008), (0xB_0120, 0x8000_0000), (0xB_0020, 0x8000_000E), (0xB_0138, 0x8000_0000)]
    {
        d.write(0, 1, offset, value);
    }
    for (offset, value) in
        [(0x3_F004, 0x8000_0006), (0x3_F118, 0x8000_0000), (0x3_F018, 0x8000_0001), (0x3_F104, 0x8000_0000)]
    {
        d.write(0, 2, offset, value);
    }
    d.cdo.push(npu_container::cdo::Command::MaskWrite { addr: addr(0, 0, 0x1_F000), mask: 0x0C00, value: 0x0400 });
    d.cdo.push(npu_container::cdo::Command::MaskWrite { addr: addr(0, 0, 0x1_F004), mask: 0x0030, value: 0x0010 });
    // In buffers at 0x8000 and 0xC000 (locks 0 free, 1 full), out buffers at 0x400 and 0x4000 (locks 2 free, 3 full).
    let mut acts = Vec::new();
    for (from, to) in [(0x8000, 0x400), (0xC000, 0x4000)] {
        acts.extend([Act::Acquire(49, -1), Act::Acquire(50, -1), Act::Copy(from, to, 128)]);
        acts.extend([Act::Release(48, 1), Act::Release(51, 1)]);
    }
    acts.push(Act::Loop);
    d.core(0, 2, &acts);
    d.ops.push(Op::MaskWrite { addr: addr(0, 0, 0x1_D200), value: 0xF00, mask: 0x1F00 });
    d.op_transfer(0, S2mm, 0, 3, 1024, 1).op_transfer(0, Mm2s, 0, 1, 1024, 0).op_wait(0, S2mm, 0);
    let data = ramp(1024);
    let (mut m, ids, first) = d.run(&[Ok(&data), Err(4096)]).unwrap();
    assert_eq!(m.read_buffer(ids[1]).unwrap(), data);
    // Rings keep their state: the same stream runs again in the same context.
    m.write_buffer(ids[1], 0, &[0; 4096]).unwrap();
    let second = m.run(&d.txn(), &ids).unwrap();
    assert_eq!(m.read_buffer(ids[1]).unwrap(), data);
    assert!(second.cycles < first.cycles, "the first-task latency is gone");
    assert_eq!(second.cores[0].tile.row, 2);
    assert!(second.cores[0].bundles >= 1024);
}
