//! Rules of the array that no other file pins: address map, connections, storage, BD fields, queues, resets, status, locks,
//! cores. `README.md` beside this file lists every rule with its test.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::array::bd::Bd;
use aie2_sim::array::ports::TileKind;
use aie2_sim::port::physical_banks;
use aie2_sim::{Fault, Waiter};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use support::{Act, Design, MEM, SHIM, TestBd, bd, expect_fault, lock_offset, message, queue_offset, ramp, words_of};

const OWN: u64 = 0x8_0000;
const EAST: u64 = 0x10_0000;

/// Shim MM2S 0 -> mem S2MM 0, mem MM2S 0 -> shim S2MM 0 of one column.
fn relay(col: u8) -> Design {
    let mut d = Design::default();
    d.shim(col);
    d.connect(col, SHIM, 5, 12).connect(col, MEM, 7, 0);
    d.connect(col, MEM, 0, 7).connect(col, SHIM, 14, 4);
    d
}

fn poll(d: &mut Design, at: (u8, u8, u32), mask: u32, value: u32) {
    d.ops.push(Op::MaskPoll { addr: addr(at.0, at.1, at.2), value, mask });
}

fn set(d: &mut Design, at: (u8, u8, u32), value: u32) {
    d.ops.push(Op::Write { addr: addr(at.0, at.1, at.2), value });
}

fn load_error(d: &Design) -> String {
    d.machine().err().map(|f| f.to_string()).unwrap_or_default()
}

// ---- section 1: address map -------------------------------------------------------------------------------------------

#[test]
fn a_tile_lies_at_column_times_32_mib_plus_row_times_1_mib() {
    let mut d = Design::default();
    for col in 0..4u8 {
        for row in 0..6u8 {
            let address = u64::from(col) << 25 | u64::from(row) << 20 | u64::from(lock_offset(row, 3));
            let value = 1 + u32::from(6 * col + row);
            d.cdo.push(npu_container::cdo::Command::Write64 { addr: address, value });
        }
    }
    let m = d.machine().unwrap();
    for col in 0..4u8 {
        for row in 0..6u8 {
            assert_eq!(m.lock(col, row, 3).unwrap(), 1 + 6 * col + row);
        }
    }
    for outside in [4u64 << 25, 6 << 20, 1 << 32] {
        let mut d = Design::default();
        d.cdo.push(npu_container::cdo::Command::Write64 { addr: outside, value: 0 });
        assert!(matches!(d.machine(), Err(Fault::ArrayAddress { addr }) if addr == outside));
    }
}

#[test]
fn each_tile_kind_has_its_locks_bds_channels_and_memory_and_no_more() {
    // (row, locks, BDs, channels, bytes of data memory)
    for (row, locks, bds, channels, bytes) in
        [(SHIM, 16, 16, 2, 0), (MEM, 64, 48, 6, 0x8_0000), (4, 16, 16, 2, 0x1_0000)]
    {
        let known = |offset: u32| match Design::default().write(1, row, offset, 0).machine() {
            Ok(_) => true,
            Err(Fault::UnmodelledRegister { .. } | Fault::NoSuchPort { .. }) => false,
            // A push of BD 0 onto an odd mem tile channel: the queue is there.
            Err(Fault::BdParity { .. }) => true,
            Err(other) => panic!("{other}"),
        };
        let first = lock_offset(row, 0);
        assert!(known(first + 16 * (locks - 1)) && !known(first + 16 * locks), "locks of row {row}");
        assert!(!known(first + 4), "a lock has one register");
        let first = support::bd_offset(row, 0);
        assert!(known(first + 32 * (bds - 1)), "BDs of row {row}");
        // In the other kinds the channel registers follow at once.
        assert!(row != 4 || !known(first + 32 * bds), "BDs of row {row}");
        let words = if row == 4 { 6 } else { 8 };
        assert!(known(first + 4 * (words - 1)) && (words == 8 || !known(first + 4 * words)), "BD words of row {row}");
        let queue = queue_offset(row, Mm2s, 0);
        assert!(known(queue + 8 * (channels - 1)) && !known(queue + 8 * channels), "MM2S channels of row {row}");
        assert_eq!(queue_offset(row, S2mm, channels), queue, "MM2S follows S2MM in row {row}");
        assert!(bytes == 0 || known(bytes - 4));
        assert!(!known(bytes), "data memory of row {row}");
    }
    let program = |offset| Design::default().write(0, 3, offset, support::script(&[])).machine().is_ok();
    assert!(program(0x2_0000) && program(0x2_3FFC) && !program(0x2_4000) && !program(0x1_FFFC));
}

#[test]
fn a_compute_tile_dma_reaches_its_own_64_kib_only() {
    let run = |base: u64| {
        let mut d = Design::default();
        d.connect(0, MEM, 0, 11).connect(0, 2, 5, 1).data(0, MEM, 0, &[1, 2, 3, 4]);
        d.bd(0, MEM, 2, &bd(OWN, 4)).start(0, MEM, Mm2s, 0, 2);
        d.bd(0, 2, 7, &bd(base, 4).release(0, 1)).start(0, 2, S2mm, 0, 7).op_poll_lock(0, 2, 0, 1);
        d.run(&[]).map(|(m, ..)| words_of(&m.read_tile(0, 2, base as usize, 16).unwrap())).map_err(|f| f.to_string())
    };
    assert_eq!(run(0xFFF0), Ok(vec![1, 2, 3, 4]));
    let want = "core (0, 2) S2MM 0: BD 7 word 2 goes to byte address 0x10000, beyond the 64 KiB of the tile";
    assert_eq!(run(0xFFF8), Err(want.into()));
}

#[test]
fn a_mem_tile_channel_reaches_west_own_and_east_memory_and_locks() {
    // Column 1 copies in three windows; each signals the lock of the tile it wrote.
    for (base, lock, col) in [(0, 5, 0), (OWN, 64 + 5, 1), (EAST, 128 + 5, 2)] {
        for channel in 0..4 {
            let mut d = Design::default();
            d.shim(1).connect(1, SHIM, 5, 12).connect(1, MEM, 7, channel);
            let b = 24 * (channel % 2);
            d.bd(1, MEM, b, &bd(base + 0x7_FFF0, 4).release(lock, 1)).start(1, MEM, S2mm, channel, b);
            d.op_transfer(1, Mm2s, 0, 1, 4, 0).op_poll_lock(col, MEM, 5, 1);
            let (m, ..) = d.run(&[Ok(&ramp(4))]).unwrap();
            assert_eq!(m.read_tile(col, MEM, 0x7_FFF0, 16).unwrap(), ramp(4), "channel {channel}, base {base:#x}");
        }
    }
    // The space ends at 0x180000, lock ids at 191, the partition at column 3.
    let run = |col: u8, block: TestBd| {
        let mut d = relay(col);
        d.bd(col, MEM, 0, &block).start(col, MEM, S2mm, 0, 0).op_transfer(col, Mm2s, 0, 1, 4, 0).op_wait(col, S2mm, 0);
        message(&d, &[Ok(&ramp(4))])
    };
    assert!(run(1, bd(0x18_0000, 4)).ends_with("byte address 0x180000, the address space ends at 0x17ffff"));
    assert!(run(1, bd(OWN, 4).release(192, 1)).ends_with("uses lock id 192, ids end at 191"));
    let side = "the partition has no mem tile on that side";
    assert!(run(3, bd(EAST, 4)).contains(side) && run(3, bd(OWN, 4).release(128, 1)).contains(side));
}

#[test]
fn bds_of_compute_and_shim_tiles_count_their_own_locks() {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 12).connect(0, MEM, 7, 11).connect(0, 2, 5, 1);
    d.lock(0, SHIM, 15, 1);
    d.op_bd(0, 1, &bd(0, 4).locks((15, -1), (14, 1)), 0, 0).op_push(0, Mm2s, 0, 1, 1, false);
    d.lock(0, 2, 15, 1).bd(0, 2, 0, &bd(0, 4).locks((15, -1), (14, 1))).start(0, 2, S2mm, 0, 0);
    d.op_poll_lock(0, 2, 14, 1);
    let (m, ..) = d.run(&[Ok(&ramp(4))]).unwrap();
    let locks = |row, lock| m.lock(0, row, lock).unwrap();
    assert_eq!([locks(SHIM, 15), locks(SHIM, 14), locks(2, 15), locks(2, 14)], [0, 1, 0, 1]);
}

#[test]
fn sixteen_byte_lines_alternate_between_the_two_banks_of_a_16_kib_quarter() {
    assert_eq!(
        [0x0, 0x10, 0x20, 0x3FF0, 0x4000, 0x4010, 0x8000, 0xC010].map(|a| physical_banks(a, 16).trailing_zeros()),
        [0, 1, 0, 1, 2, 3, 4, 7]
    );
    assert_eq!(physical_banks(0x20, 32), 0b11);
    assert_eq!(physical_banks(0x3FF0, 32), 0b110);
}

#[test]
fn registers_that_would_change_the_ground_are_refused() {
    // Zeroise bits, isolation, lock request windows.
    for (row, offset) in [(2, 0x1_6010), (2, 0x3_6070), (2, 0x3_6030), (MEM, 0x9_6030), (2, 0x4_0000), (MEM, 0xD_0000)]
    {
        let mut d = Design::default();
        let text = load_error(d.write(0, row, offset, 1));
        assert!(text.contains(&format!("write of 0x00000001 to unmodelled register {offset:#07x}")), "{text}");
    }
    let mut d = Design::default();
    let text = load_error(d.write(0, MEM, 0x9_6048, 0));
    assert!(text.contains("mem (0, 1): register 0x96048") && text.contains("without bank interleave"), "{text}");
    let mut d = Design::default();
    poll(&mut d, (0, 2, 0x4_0000), 1, 1);
    assert_eq!(message(&d, &[]), "core (0, 2): read of unmodelled register 0x40000");
}

// ---- section 2: stream switch -----------------------------------------------------------------------------------------

/// Ports of a switch in register order: bundle letter and lanes.
type Ports = &'static [(char, u32)];
const CORE: [Ports; 2] = [
    &[('C', 1), ('D', 2), ('T', 1), ('F', 1), ('S', 4), ('W', 4), ('N', 6), ('E', 4)],
    &[('C', 1), ('D', 2), ('T', 1), ('F', 1), ('S', 6), ('W', 4), ('N', 4), ('E', 4), ('X', 2)],
];
const MEMORY: [Ports; 2] =
    [&[('D', 6), ('T', 1), ('S', 4), ('N', 6)], &[('D', 6), ('T', 1), ('S', 6), ('N', 4), ('X', 1)]];
const INTERFACE: [Ports; 2] = [
    &[('T', 1), ('F', 1), ('S', 6), ('W', 4), ('N', 6), ('E', 4)],
    &[('T', 1), ('F', 1), ('S', 8), ('W', 4), ('N', 4), ('E', 4), ('X', 1)],
];

fn ports(list: Ports) -> Vec<(char, u32)> {
    list.iter().flat_map(|&(bundle, n)| (0..n).map(move |lane| (bundle, lane))).collect()
}

/// Masters a slave may feed: `any` lane of these bundles, the `same` lane of those, single ports.
struct Row(&'static str, &'static str, &'static str, &'static [(char, u32)]);
const CORE_LEGAL: &[Row] = &[
    Row("D", "CTFSWNE", "D", &[]),
    Row("F", "CDTSWNE", "F", &[]),
    Row("S", "CDTFWNE", "S", &[]),
    Row("W", "CDTFSNE", "W", &[]),
    Row("N", "CDTFSWE", "N", &[]),
    Row("E", "CDTFSWN", "E", &[]),
    Row("C", "DTFSWNE", "", &[]),
    Row("T", "CFSWNE", "", &[]),
    Row("X", "FS", "", &[('D', 0)]),
];
const MEMORY_LEGAL: &[Row] = &[
    Row("D", "TSN", "D", &[]),
    Row("T", "SN", "", &[('D', 5)]),
    Row("SN", "DT", "SN", &[]),
    Row("X", "S", "", &[('D', 5)]),
];
const INTERFACE_LEGAL: &[Row] = &[
    Row("T", "FSWNE", "", &[]),
    Row("FS", "TFSWNE", "", &[]),
    Row("W", "TFSNE", "W", &[]),
    Row("N", "TFSWE", "N", &[]),
    Row("E", "TFSWN", "E", &[]),
    Row("X", "FS", "", &[]),
];

// SOURCE: Xilinx/mlir-aie AIE2TargetModel::isLegalTileConnection; Xilinx/aie-rt xaie_ss_aieml.c.
#[test]
fn every_connection_of_every_switch_is_as_the_tables_say() {
    for (row, [masters, slaves], legal) in
        [(3, CORE, CORE_LEGAL), (MEM, MEMORY, MEMORY_LEGAL), (SHIM, INTERFACE, INTERFACE_LEGAL)]
    {
        let base = if row == MEM { 0xB_0000 } else { 0x3_F000 };
        for (s, (sb, sl)) in (0u32..).zip(ports(slaves)) {
            let rule = legal.iter().find(|r| r.0.contains(sb)).unwrap();
            for (m, (mb, ml)) in (0u32..).zip(ports(masters)) {
                let want = rule.1.contains(mb) || (rule.2.contains(mb) && sl == ml) || rule.3.contains(&(mb, ml));
                let mut d = Design::default();
                d.write(1, row, base + 0x100 + 4 * s, 0x8000_0000).write(1, row, base + 4 * m, 0x8000_0000 | s);
                match d.machine() {
                    Ok(_) => assert!(want, "row {row}: {sb} {sl} to {mb} {ml}"),
                    Err(Fault::IllegalConnection { .. }) => assert!(!want, "row {row}: {sb} {sl} to {mb} {ml}"),
                    Err(other) => panic!("{other}"),
                }
            }
        }
        let past = [4 * ports(masters).len() as u32, 0x100 + 4 * ports(slaves).len() as u32];
        for offset in past {
            assert!(matches!(
                Design::default().write(1, row, base + offset, 0).machine(),
                Err(Fault::NoSuchPort { .. })
            ));
        }
    }
}

#[test]
fn a_word_crosses_east_and_west_in_core_and_shim_rows_on_four_lanes() {
    // Core DMA 0 -> East i -> DMA 0 of the next column, and back.
    for lane in 0..4 {
        for (from, to, master, slave) in [(1u8, 2u8, 19 + lane, 11 + lane), (2, 1, 9 + lane, 19 + lane)] {
            let mut d = Design::default();
            d.data(from, 3, 0, &[lane, 9]).bd(from, 3, 0, &bd(0, 2)).start(from, 3, Mm2s, 0, 0);
            d.connect(from, 3, 1, master).connect(to, 3, slave, 1);
            d.bd(to, 3, 0, &bd(0x40, 2).release(0, 1)).start(to, 3, S2mm, 0, 0).op_poll_lock(to, 3, 0, 1);
            let (m, ..) = d.run(&[]).unwrap();
            assert_eq!(words_of(&m.read_tile(to, 3, 0x40, 8).unwrap()), [lane, 9]);
        }
        let mut d = Design::default();
        d.shim(0).shim(1).connect(0, SHIM, 5, 18 + lane).connect(1, SHIM, 10 + lane, 4);
        d.op_transfer(1, S2mm, 0, 3, 8, 1).op_transfer(0, Mm2s, 0, 1, 8, 0).op_wait(1, S2mm, 0);
        let (m, ids, _) = d.run(&[Ok(&ramp(8)), Err(32)]).unwrap();
        assert_eq!(m.read_buffer(ids[1]).unwrap(), ramp(8));
    }
}

#[test]
fn shim_channels_sit_behind_their_own_ports_and_selectors() {
    // MM2S 0: South 3, bits 11:10; MM2S 1: South 7, 15:14. S2MM 0: South 2, bits 5:4; S2MM 1: South 3, 7:6.
    for (out, slave, mux) in [(0, 5, 1 << 10), (1, 9, 1 << 14)] {
        for (into, master, demux) in [(0, 4, 1 << 4), (1, 5, 1 << 6)] {
            let run = |mux: u32, demux: u32| {
                let mut d = Design::default();
                d.connect(2, SHIM, 0, 2).connect(2, SHIM, slave, master);
                d.write(2, SHIM, 0x1_F000, mux).write(2, SHIM, 0x1_F004, demux);
                d.op_transfer(2, S2mm, into, 3, 8, 1).op_transfer(2, Mm2s, out, 1, 8, 0).op_wait(2, S2mm, into as u8);
                d.run(&[Ok(&ramp(8)), Err(32)]).map(|(m, ids, _)| m.read_buffer(ids[1]).unwrap())
            };
            assert_eq!(run(mux, demux).unwrap(), ramp(8));
            // 2 selects the NoC, 0 the PL.
            for other in [0, 2] {
                assert!(matches!(run(other * mux, demux), Err(Fault::UnroutedSource { .. })));
                assert!(matches!(run(mux, other * demux), Err(Fault::DanglingRoute { .. })));
            }
        }
    }
}

/// Words that leave MM2S 0 of core (1, 3) before the route to an S2MM without BD is full.
fn stored(connect: impl Fn(&mut Design)) -> u64 {
    let mut d = Design::default();
    d.data(1, 3, 0, &[3; 128]).bd(1, 3, 0, &bd(0, 128)).start(1, 3, Mm2s, 0, 0);
    connect(&mut d);
    d.op_wait(0, S2mm, 0);
    let Err(Fault::Deadlock(report)) = d.run(&[]) else { panic!() };
    let words = |w: &Waiter| if let Waiter::DmaNoBd { words, .. } = w { Some(*words as u64) } else { None };
    report.waiters.iter().find_map(words).unwrap_or_else(|| panic!("{report}"))
}

// SOURCE: AM020 ch. 2, depths: 6 words to a local master, 8 to an external one, FIFO 16. MEASURED: S2MM ingress 16.
#[test]
fn a_switch_holds_six_words_to_a_local_master_eight_to_a_wire_and_sixteen_in_its_fifo() {
    let ingress = 16;
    assert_eq!(
        stored(|d| {
            d.connect(1, 3, 1, 1);
        }),
        6 + ingress
    );
    assert_eq!(
        stored(|d| {
            d.connect(1, 3, 1, 13).connect(1, 4, 5, 1);
        }),
        8 + 6 + ingress
    );
    assert_eq!(
        stored(|d| {
            d.connect(1, 3, 1, 13).connect(1, 4, 5, 13).connect(1, 5, 5, 1);
        }),
        8 + 8 + 6 + ingress
    );
    assert_eq!(
        stored(|d| {
            d.connect(1, 3, 1, 4).connect(1, 3, 4, 2);
        }),
        6 + 16 + 6 + ingress
    );
}

// ---- section 3: DMA ---------------------------------------------------------------------------------------------------

// SOURCE: AM025 DMA_BD registers.
#[test]
fn bd_fields_have_their_documented_widths() {
    let ones = |kind| Bd::decode(kind, &[u32::MAX; 8]);
    let zeros = |kind| Bd::decode(kind, &[0; 8]);
    for (kind, length, base, step, wraps, next) in [
        (TileKind::Core, (1 << 14) - 1, 4 * ((1 << 14) - 1), 1 << 13, [255, 255, 0, 0], 15),
        (TileKind::Mem, (1 << 17) - 1, 4 * ((1 << 19) - 1), 1 << 17, [1023, 1023, 1023, 0], 63),
        (TileKind::Shim, (1 << 32) - 1, (1 << 48) - 1, 1 << 20, [1023, 1023, 0, 0], 15),
    ] {
        let b = ones(kind);
        assert_eq!((b.length, b.base, b.next), (length, base, Some(next)), "{kind:?}");
        assert_eq!(b.dims.map(|d| d.wrap), wraps, "{kind:?}: wraps are stored as they are");
        let dims = if kind == TileKind::Mem { 4 } else { 3 };
        assert!(b.dims[..dims].iter().all(|d| d.step == step) && b.iteration_step == step, "{kind:?}: steps minus one");
        assert_eq!(b.iterations, 64, "{kind:?}: the iteration wrap minus one");
        assert_eq!(
            (b.acquire, b.release.map(|r| r.1)),
            (Some((if kind == TileKind::Mem { 255 } else { 15 }, -1)), Some(-1))
        );
        let pads = b.dims.map(|d| (d.before, d.after));
        let mem_only = [(63, 63), (31, 31), (15, 15), (0, 0)];
        assert_eq!(pads, if kind == TileKind::Mem { mem_only } else { [(0, 0); 4] }, "{kind:?}");
        assert_eq!(b.compression, kind != TileKind::Shim);
        assert!(b.tlast_suppress && b.packet.is_some_and(|p| (p.id, p.kind, p.out_of_order) == (31, 7, 63)));
        // No field says a step of zero: linear is all zeros.
        let z = zeros(kind);
        assert!(
            z.dims[..dims].iter().all(|d| (d.step, d.wrap) == (1, 0)) && (z.iterations, z.iteration_step) == (1, 1)
        );
        assert_eq!((z.acquire, z.release, z.next, z.packet), (None, None, None, None));
    }
}

#[test]
fn a_bd_number_past_the_file_is_refused() {
    let mut d = Design::default();
    assert_eq!(load_error(d.start(0, MEM, S2mm, 1, 48)), "mem (0, 1) S2MM 1: BD 48 does not exist");
    for row in [SHIM, 2] {
        let mut d = Design::default();
        let text = load_error(d.start(0, row, S2mm, 1, 16));
        assert!(text.contains("reserved task queue bits"), "{text}");
    }
}

#[test]
fn zero_padding_and_packet_headers_belong_to_mm2s() {
    let run = |block: TestBd| {
        let mut d = relay(0);
        d.bd(0, MEM, 0, &block).start(0, MEM, S2mm, 0, 0).op_transfer(0, Mm2s, 0, 1, 8, 0).op_wait(0, S2mm, 0);
        message(&d, &[Ok(&ramp(8))])
    };
    let mut padded = bd(OWN, 8).dims(&[(1, 4), (4, 1)]);
    padded.pad = [(1, 3), (0, 0), (0, 0)];
    assert_eq!(run(padded), "mem (0, 1) S2MM 0: BD 0 asks for zero padding on S2MM, which is not modelled");
    let packet = run(bd(OWN, 8).packet(3));
    assert_eq!(packet, "mem (0, 1) S2MM 0: BD 0 asks for a packet header on S2MM, which is not modelled");
    let mut d = relay(0);
    let mut words = bd(OWN, 4).packet(3).words(MEM);
    words[0] |= 5 << 17;
    d.cdo.push(npu_container::cdo::Command::DmaWrite { addr: addr(0, MEM, 0xA_0000), data: words });
    d.start(0, MEM, Mm2s, 0, 0).op_wait(0, S2mm, 0);
    expect_fault(&d, &[], &["mem (0, 1) MM2S 0: BD 0 asks for an out-of-order id"]);
}

#[test]
fn finish_on_tlast_out_of_order_and_compression_are_refused_in_every_tile() {
    for (row, control) in [(SHIM, 0x1_D200), (MEM, 0xA_0600), (3, 0x1_DE00)] {
        let refused = [
            (1, 16, "finish on TLAST"),
            (2, 16, "finish on TLAST"),
            (3, 16, "finish on TLAST"),
            (1, 3, "out-of-order S2MM"),
        ];
        for (value, shift, feature) in refused {
            let mut d = Design::default();
            let text = load_error(d.write(1, row, control, value << shift));
            assert!(text.contains(&format!("asks for {feature}, which is not modelled")), "{text}");
        }
    }
    for (row, control) in [(MEM, 0xA_0630), (3, 0x1_DE10)] {
        let mut d = Design::default();
        let text = load_error(d.write(1, row, control, 1 << 4));
        assert!(text.contains("asks for (de)compression, which is not modelled"), "{text}");
    }
}

#[test]
fn an_s2mm_bd_ends_on_its_length_and_ignores_tlast() {
    // Four BDs of 8 words with TLAST each fill one BD of 20 and one of 12.
    let mut d = Design::default();
    d.connect(0, MEM, 0, 11).connect(0, 2, 5, 1).data(0, MEM, 0, &(0..32).collect::<Vec<_>>());
    d.bd(0, MEM, 2, &TestBd { iteration: Some((8, 4)), ..bd(OWN, 8) }).start(0, MEM, Mm2s, 0, 3 << 16 | 2);
    d.bd(0, 2, 0, &bd(0, 20).release(0, 1).next(1)).bd(0, 2, 1, &bd(0x100, 12).release(1, 1)).start(0, 2, S2mm, 0, 0);
    d.op_poll_lock(0, 2, 1, 1);
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 2, 0, 80).unwrap()), (0..20).collect::<Vec<_>>());
    assert_eq!(words_of(&m.read_tile(0, 2, 0x100, 48).unwrap()), (20..32).collect::<Vec<_>>());
}

/// Mem tile MM2S 0 sends blocks of 4 words by BD 2 with 4 iterations; `between` acts after the first two.
fn blocks(between: impl Fn(&mut Design)) -> Vec<u32> {
    let mut d = relay(0);
    d.data(0, MEM, 0, &(0..16).collect::<Vec<_>>());
    let block = TestBd { iteration: Some((4, 4)), ..bd(OWN, 4) };
    d.bd(0, MEM, 2, &block);
    d.op_transfer(0, S2mm, 0, 3, 8, 0).op_start(0, MEM, Mm2s, 0, 1 << 16 | 2).op_wait(0, S2mm, 0);
    between(&mut d);
    d.op_bd(0, 3, &bd(0, 8), 0, 32).op_push(0, S2mm, 0, 3, 1, true);
    d.op_start(0, MEM, Mm2s, 0, 1 << 16 | 2).op_wait(0, S2mm, 0);
    let (m, ids, _) = d.run(&[Err(64)]).unwrap();
    words_of(&m.read_buffer(ids[0]).unwrap()).iter().step_by(4).map(|w| w / 4).collect()
}

#[test]
fn the_iteration_counter_survives_tasks_and_resets_and_ends_with_a_rewrite() {
    assert_eq!(blocks(|_| ()), [0, 1, 2, 3]);
    let reset = |d: &mut Design| [2, 0].iter().for_each(|&v| set(d, (0, MEM, 0xA_0630), v));
    assert_eq!(blocks(reset), [0, 1, 2, 3]);
    let word_6 = |current: u32| move |d: &mut Design| set(d, (0, MEM, 0xA_0040 + 24), current << 23 | 3 << 17 | 3);
    assert_eq!(blocks(word_6(0)), [0, 1, 0, 1]);
    assert_eq!(blocks(word_6(3)), [0, 1, 3, 0]);
}

#[test]
fn a_reset_empties_the_queue_and_keeps_the_locks() {
    let mut d = relay(0);
    d.lock(0, MEM, 0, 0).lock(0, MEM, 7, 5);
    for b in 0..4 {
        d.bd(0, MEM, b, &bd(OWN, 4).locks((64, -1), (65, 1))).start(0, MEM, S2mm, 0, b);
    }
    // Bits 22:20: three more behind the one that waits for its lock (bit 2).
    let status = (0, MEM, 0xA_0660);
    poll(&mut d, status, 7 << 20 | 1 << 19 | 1 << 2, 3 << 20 | 1 << 19 | 1 << 2);
    set(&mut d, (0, MEM, 0xA_0600), 2);
    poll(&mut d, status, 7 << 20 | 1 << 19 | 1 << 2 | 3, 0);
    set(&mut d, (0, MEM, 0xA_0600), 0);
    // The BDs are free again, and four pushes fit again.
    set(&mut d, (0, MEM, 0xA_0000), 8);
    for b in 0..4 {
        d.op_start(0, MEM, S2mm, 0, b);
    }
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!((m.lock(0, MEM, 0).unwrap(), m.lock(0, MEM, 7).unwrap()), (0, 5));
    // A push into the reset is refused.
    let mut d = Design::default();
    d.write(0, 2, 0x1_DE00, 2).bd(0, 2, 0, &bd(0, 4)).start(0, 2, S2mm, 0, 0);
    assert_eq!(load_error(&d), "core (0, 2) S2MM 0: push of BD 0 while the channel is in reset");
}

#[test]
fn a_chain_that_loops_never_lets_the_next_entry_start() {
    let mut d = relay(0);
    d.bd(0, MEM, 0, &bd(OWN, 4).next(0)).bd(0, MEM, 1, &bd(OWN, 4).release(70, 1));
    d.start(0, MEM, S2mm, 0, 0).start(0, MEM, S2mm, 0, 1);
    d.op_transfer(0, Mm2s, 0, 1, 64, 0).op_poll_lock(0, MEM, 6, 1);
    expect_fault(&d, &[Ok(&ramp(64))], &["mem (0, 1) S2MM 0: BD 0 has 0 of 4 words, stream empty"]);
}

#[test]
fn a_task_after_another_starts_by_itself_in_queue_order() {
    let mut d = relay(0);
    for b in 0..4 {
        d.bd(0, MEM, b, &bd(OWN + 16 * u64::from(3 - b), 4).release(64 + b, 1)).start(0, MEM, S2mm, 0, b);
    }
    d.op_transfer(0, Mm2s, 0, 1, 16, 0).op_poll_lock(0, MEM, 3, 1);
    let (m, ..) = d.run(&[Ok(&ramp(16))]).unwrap();
    let got = words_of(&m.read_tile(0, MEM, 0, 64).unwrap());
    let want: Vec<u32> = (0..4).rev().flat_map(|b| (0..4).map(move |i| (4 * b + i) | 0xab00_0000)).collect();
    assert_eq!(got, want);
}

#[test]
fn the_status_register_says_bd_queue_and_what_the_channel_waits_for() {
    let mut d = relay(0);
    d.bd(0, MEM, 5, &bd(OWN, 64)).start(0, MEM, S2mm, 0, 5);
    let status = (0, MEM, 0xA_0660);
    // Running BD 5 (29:24) with an empty queue, not stalled on a lock, state 2.
    poll(&mut d, status, u32::MAX, 5 << 24 | 1 << 19 | 2);
    d.op_transfer(0, Mm2s, 0, 1, 64, 0);
    poll(&mut d, status, u32::MAX, 0);
    let (m, ..) = d.run(&[Ok(&ramp(64))]).unwrap();
    assert_eq!(m.read_tile(0, MEM, 0, 256).unwrap(), ramp(64));
}

#[test]
fn an_acquire_comes_before_the_first_word_and_a_release_after_the_last() {
    // MM2S: the lock stays taken while the last words stand before a receiver without BD.
    let run = |words: u32, receiver: bool| {
        let mut d = Design::default();
        d.connect(0, MEM, 0, 11).connect(0, 2, 5, 1).data(0, MEM, 0, &vec![4; words as usize]);
        d.bd(0, MEM, 2, &bd(OWN, words).release(65, 1)).start(0, MEM, Mm2s, 0, 2);
        if receiver {
            d.bd(0, 2, 0, &bd(0, words)).start(0, 2, S2mm, 0, 0);
        }
        d.op_poll_lock(0, MEM, 1, 1);
        d.run(&[]).map(|_| ()).map_err(|f| f.to_string())
    };
    // The route of 8 + 6 + 16 words takes 30; a 31st word stays in the egress.
    assert_eq!(run(30, false), Ok(()));
    assert!(run(31, false).unwrap_err().contains("no room at core (0, 2) S2MM 0"));
    assert_eq!(run(31, true), Ok(()));
    // S2MM: no word reaches memory before the lock is there.
    let mut d = relay(0);
    d.lock(0, MEM, 0, 0).bd(0, MEM, 0, &bd(OWN, 4).locks((64, -1), (65, 1))).start(0, MEM, S2mm, 0, 0);
    d.op_transfer(0, Mm2s, 0, 1, 4, 0);
    poll(&mut d, (0, SHIM, 0x1_D228), 1 << 19, 0);
    let mut m = d.machine().unwrap();
    let input = m.alloc("in", 16);
    m.write_buffer(input, 0, &ramp(4)).unwrap();
    m.run(&d.txn(), &[input]).unwrap();
    assert!(m.read_tile(0, MEM, 0, 16).is_err());
    let mut second = Design::default();
    set(&mut second, (0, MEM, lock_offset(MEM, 0)), 1);
    second.op_poll_lock(0, MEM, 1, 1);
    m.run(&second.txn(), &[]).unwrap();
    assert_eq!(m.read_tile(0, MEM, 0, 16).unwrap(), ramp(4));
}

#[test]
fn a_release_of_zero_is_none_and_an_acquire_needs_its_enable_bit() {
    let mut d = relay(0);
    d.lock(0, MEM, 0, 3).lock(0, MEM, 1, 3);
    let mut words = TestBd { acquire: Some((64, -1)), release: Some((65, 0)), ..bd(OWN, 4) }.words(MEM);
    words[7] &= !(1 << 15);
    d.cdo.push(npu_container::cdo::Command::DmaWrite { addr: addr(0, MEM, 0xA_0000), data: words });
    d.start(0, MEM, S2mm, 0, 0).op_transfer(0, Mm2s, 0, 1, 4, 0);
    poll(&mut d, (0, MEM, 0xA_0660), 1 << 19, 0);
    let (m, ..) = d.run(&[Ok(&ramp(4))]).unwrap();
    assert_eq!((m.lock(0, MEM, 0).unwrap(), m.lock(0, MEM, 1).unwrap()), (3, 3));
    // A negative release takes away; below zero is refused.
    let run = |value: u32| {
        let mut d = relay(0);
        d.lock(0, MEM, 0, value).bd(0, MEM, 0, &bd(OWN, 4).release(64, -4)).start(0, MEM, S2mm, 0, 0);
        d.op_transfer(0, Mm2s, 0, 1, 4, 0).op_poll_lock(0, MEM, 0, 1);
        d.run(&[Ok(&ramp(4))]).map(|_| ()).map_err(|f| f.to_string())
    };
    assert_eq!(run(5), Ok(()));
    assert_eq!(run(3), Err("mem (0, 1): lock 0 would become -1, the state is 0..63".into()));
}

// ---- section 4: locks -------------------------------------------------------------------------------------------------

#[test]
fn a_lock_register_sets_a_six_bit_value_and_no_core_reset_touches_it() {
    for value in [64, 0x7f, 0xffff_ffff] {
        let mut d = Design::default();
        let text = load_error(d.lock(2, 4, 9, value));
        assert_eq!(text, format!("core (2, 4): lock 9 would become {}, the state is 0..63", value as i32));
    }
    let mut d = Design::default();
    d.lock(0, 2, 9, 63).lock(0, 2, 8, 7).core(0, 2, &[Act::Done]);
    set(&mut d, (0, 2, lock_offset(2, 9)), 2);
    for control in [2, 0, 1] {
        set(&mut d, (0, 2, 0x3_2000), control);
    }
    let (m, ..) = d.run(&[]).unwrap();
    assert_eq!((m.lock(0, 2, 9).unwrap(), m.lock(0, 2, 8).unwrap()), (2, 7));
}

#[test]
fn a_core_acquire_of_zero_is_refused_and_a_release_beyond_63_too() {
    let mut d = Design::default();
    d.core(1, 2, &[Act::Acquire(48 + 3, 0), Act::Done]).op_poll_lock(1, 2, 0, 1);
    expect_fault(&d, &[], &["core (1, 2): acquire of lock 3 with value 0, whose meaning is unconfirmed"]);
    let mut d = Design::default();
    d.lock(1, 2, 3, 60).core(1, 2, &[Act::Release(48 + 3, 4), Act::Done]).op_poll_lock(1, 2, 0, 1);
    expect_fault(&d, &[], &["core (1, 2): lock 3 would become 64, the state is 0..63"]);
}

// ---- section 5: cores -------------------------------------------------------------------------------------------------

#[test]
fn done_clears_when_the_core_is_enabled_again_and_memory_outlives_a_reset() {
    let mut d = Design::default();
    d.data(0, 2, 0x100, &[77]).core(0, 2, &[Act::Copy(0x100, 0x200, 1), Act::Spin(900, 0), Act::Done]);
    let (control, status) = ((0, 2, 0x3_2000), (0, 2, 0x3_2004));
    poll(&mut d, status, 1 << 20, 1 << 20);
    // In reset: bit 1; then enabled again: bit 0, no longer done while it spins.
    set(&mut d, control, 3);
    poll(&mut d, status, 0b11, 0b11);
    set(&mut d, control, 1);
    poll(&mut d, status, 1 << 20 | 0b11, 0b01);
    poll(&mut d, status, 1 << 20, 1 << 20);
    let (m, _, report) = d.run(&[]).unwrap();
    assert_eq!(words_of(&m.read_tile(0, 2, 0x100, 4).unwrap()), [77]);
    assert_eq!(report.cores[0].bundles, 2 * 901);
}

#[test]
fn a_parameter_written_before_its_lock_reaches_the_core() {
    let mut d = Design::default();
    d.core(1, 3, &[Act::Acquire(48 + 6, 1), Act::Expect(0x7_0800, 1234), Act::Release(48 + 7, 1), Act::Loop]);
    for round in 0..3 {
        set(&mut d, (1, 3, 0x800), 1234);
        set(&mut d, (1, 3, lock_offset(2, 6)), 1);
        d.op_poll_lock(1, 3, 7, round + 1);
    }
    d.run(&[]).unwrap();
}

#[test]
fn neighbours_share_a_buffer_and_its_locks_through_their_windows() {
    // (1, 3) fills its own buffer; the core to the east sees it as west, the one above as south, the one below as north.
    for (col, row, window, group) in [(2, 3, 0x5_0000, 16), (1, 4, 0x4_0000, 0), (1, 2, 0x6_0000, 32)] {
        let mut d = Design::default();
        d.data(1, 3, 0, &[31]).lock(1, 3, 0, 1);
        d.core(
            1,
            3,
            &[Act::Acquire(48, -1), Act::Spin(200, 0), Act::Copy(0, 0x400, 1), Act::Release(49, 1), Act::Done],
        );
        d.core(
            col,
            row,
            &[Act::Acquire(group + 1, -1), Act::Expect(window + 0x400, 31), Act::Release(group, 1), Act::Done],
        );
        d.op_poll_lock(1, 3, 0, 1);
        d.run(&[]).unwrap();
    }
}

// ---- section 6: shim and tokens ---------------------------------------------------------------------------------------

#[test]
fn more_than_eight_tokens_of_a_channel_may_be_outstanding() {
    let mut d = relay(0);
    d.op_bd(0, 3, &bd(0, 4), 1, 0).op_bd(0, 1, &bd(0, 4), 0, 0);
    d.connect(0, MEM, 7, 7).write(0, MEM, 0xB_0000, 0).write(0, MEM, 0xB_0100, 0);
    let status = (0, SHIM, 0x1_D220);
    for _ in 0..12 {
        d.op_push(0, S2mm, 0, 3, 1, true).op_push(0, Mm2s, 0, 1, 1, false);
        poll(&mut d, status, 1 << 19, 0);
    }
    for _ in 0..12 {
        d.op_wait(0, S2mm, 0);
    }
    assert_eq!(d.run(&[Ok(&ramp(4)), Err(16)]).unwrap().2.tokens, 12);
}

#[test]
fn no_order_between_channels_holds_without_a_token() {
    // MM2S 1 reads the end of what S2MM 0 is still to write: never-written bytes, unless the token was waited for.
    let run = |wait: bool| {
        let mut d = Design::default();
        d.shim(0).connect(0, SHIM, 5, 4).connect(0, SHIM, 9, 5);
        d.op_transfer(0, S2mm, 0, 3, 4096, 1).op_transfer(0, Mm2s, 0, 1, 4096, 0);
        if wait {
            d.op_wait(0, S2mm, 0);
        }
        d.op_transfer(0, S2mm, 1, 4, 64, 2).op_bd(0, 2, &bd(0, 64), 1, 4 * 4032).op_push(0, Mm2s, 1, 2, 1, false);
        d.op_wait(0, S2mm, 1);
        if !wait {
            d.op_wait(0, S2mm, 0);
        }
        let data = ramp(4096);
        d.run(&[Ok(&data), Err(4 * 4096), Err(256)]).map(|(m, ids, _)| m.read_buffer(ids[2]).map_err(|f| f.to_string()))
    };
    assert_eq!(run(true).unwrap(), Ok(ramp(4096)[4 * 4032..].to_vec()));
    let text = run(false).unwrap().unwrap_err();
    assert!(text.contains("buffer `arg2`: byte") && text.contains("was never written"), "{text}");
}
