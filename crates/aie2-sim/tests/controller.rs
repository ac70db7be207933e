//! The controller: argument addresses, aperture, token counting, costs, hooks, refusals.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Fault, RunReport, Timing};
use npu_container::address::addr;
use npu_container::txn::{Direction, Op};
use support::{Design, SHIM, TestMachine, bd, fast, ramp};

/// Shim MM2S 0 -> S2MM 0, MM2S 1 -> S2MM 1 in one shim.
fn loopback() -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 4).connect(0, SHIM, 9, 5);
    d
}

fn copy(from: u32, plus: u32, arguments: usize) -> Result<(Vec<u8>, RunReport), Fault> {
    let mut d = loopback();
    d.op_bd(0, 3, &bd(0, 16), 0, 0).op_bd(0, 1, &bd(0, 16), from, plus);
    d.op_push(0, S2mm, 0, 3, 1, true).op_push(0, Mm2s, 0, 1, 1, false).op_wait(0, S2mm, 0);
    let mut m = d.machine()?;
    let ids: Vec<_> = (0..arguments).map(|i| m.alloc(&format!("arg{i}"), 256)).collect();
    for (i, id) in ids.iter().enumerate().skip(1) {
        m.write_buffer(*id, 0, &[i as u8; 256])?;
    }
    let report = m.run(&d.txn(), &ids)?;
    Ok((m.read_buffer_range(ids[0], 0, 64)?, report))
}

#[test]
fn the_firmware_moves_arguments_0_to_4_into_the_aperture_and_no_others() {
    assert_eq!(copy(4, 64, 8).unwrap().0, [4; 64]);
    assert_eq!(copy(6, 0x8000_0000 + 64, 8).unwrap().0, [6; 64]);
    // Without the folded aperture the address of argument 6 is 2 GiB short; with it twice, 2 GiB too far.
    assert!(matches!(copy(6, 64, 8), Err(Fault::DdrAddress { bd: 1, .. })));
    assert!(matches!(copy(4, 0x8000_0000, 8), Err(Fault::DdrAddress { bd: 1, argument: Some(4), .. })));
}

#[test]
fn patches_of_missing_arguments_and_of_other_registers_are_faults() {
    assert!(matches!(copy(3, 0, 2), Err(Fault::PatchArgument { index: 3, argument: 3, arguments: 2 })));
    let mut d = loopback();
    d.ops.push(Op::DdrPatch { register: addr(0, 0, 0x1_D060), arg_index: 0, arg_plus: 0 });
    assert!(matches!(d.run(&[Err(4)]), Err(Fault::PatchRegister { index: 0, addr: 0x1_D060 })));
    let mut d = loopback();
    d.ops.push(Op::DdrPatch { register: addr(0, 1, 0xA_0004), arg_index: 0, arg_plus: 0 });
    assert!(matches!(d.run(&[Err(4)]), Err(Fault::PatchRegister { .. })));
}

#[test]
fn each_wait_consumes_one_token() {
    let mut d = loopback();
    for b in 0..2 {
        d.op_bd(0, 2 + b, &bd(0, 16), 1, 64 * b);
        d.op_push(0, S2mm, 0, 2 + b, 1, true);
    }
    d.op_bd(0, 1, &bd(0, 32), 0, 0).op_push(0, Mm2s, 0, 1, 1, false);
    d.op_wait(0, S2mm, 0).op_wait(0, S2mm, 0);
    let (m, ids, report) = d.run(&[Ok(&ramp(32)), Err(128)]).unwrap();
    assert_eq!((report.tokens, report.controller.token_waits, report.controller.pushes), (2, 2, 3));
    assert_eq!(m.read_buffer(ids[1]).unwrap(), ramp(32));
    d.op_wait(0, S2mm, 0);
    let Err(Fault::Deadlock(picture)) = d.run(&[Ok(&ramp(32)), Err(128)]) else { panic!() };
    assert!(picture.to_string().contains("waits for a task token of shim (0, 0) S2MM 0"), "{picture}");
}

#[test]
fn a_stream_that_ends_before_its_output_is_a_fault() {
    let mut d = loopback();
    d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 16, 0);
    match d.run(&[Ok(&ramp(16)), Err(64)]) {
        Err(Fault::EarlyCompletion { channel }) => assert_eq!(channel.to_string(), "shim (0, 0) S2MM 0"),
        other => panic!("{:?}", other.map(|r| r.2)),
    }
}

#[test]
fn operations_cost_what_the_table_says() {
    let cost = |op: Op| {
        let mut d = Design::default();
        d.ops.push(op);
        d.run(&[]).unwrap().2.cycles
    };
    let at = addr(1, 2, 0x100);
    assert_eq!(cost(Op::Write { addr: at, value: 1 }), 100);
    assert_eq!(cost(Op::BlockWrite { addr: at, data: vec![0; 8] }), 204);
    assert_eq!(cost(Op::MaskWrite { addr: at, value: 1, mask: 1 }), 210);
    // Two pushes on an idle channel, the second when the first task is long done: 3050 cycles apart.
    let mut d = loopback();
    d.op_transfer(0, S2mm, 0, 3, 32, 1).op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, Mm2s, 0);
    d.ops.retain(|op| !matches!(op, Op::Tct { .. }));
    let value = |op: &Op| if let Op::Write { addr, value } = op { Some((*addr, *value)) } else { None };
    let push = d.ops.iter().filter_map(value).next_back().unwrap();
    d.ops.push(Op::MaskPoll { addr: addr(0, 0, 0x1_D228), value: 0, mask: 1 << 19 });
    d.ops.push(Op::Write { addr: push.0, value: push.1 });
    d.op_wait(0, S2mm, 0);
    let slow = d.run(&[Ok(&ramp(16)), Err(128)]).unwrap().2.cycles;
    let mut m =
        TestMachine::new(aie2_sim::Config { timing: Timing { op_push_idle: 100, ..Timing::default() }, ..fast() });
    m.load_pdi(&d.pdi()).unwrap();
    let (a, b) = (m.alloc("a", 64), m.alloc("b", 128));
    m.write_buffer(a, 0, &ramp(16)).unwrap();
    let quick = m.run(&d.txn(), &[a, b]).unwrap().cycles;
    assert!(slow > quick + 500, "{slow} {quick}");
}

#[test]
fn the_first_task_of_a_shim_channel_is_late_and_the_extra_decays() {
    // Single tasks one after the other, as cycles from run to run.
    let mut d = loopback();
    d.op_transfer(0, S2mm, 0, 3, 64, 1).op_transfer(0, Mm2s, 0, 1, 64, 0).op_wait(0, S2mm, 0);
    let mut m = d.machine().unwrap();
    let (a, b) = (m.alloc("a", 256), m.alloc("b", 256));
    m.write_buffer(a, 0, &ramp(64)).unwrap();
    let cycles: Vec<i64> =
        (0..4).map(|_| m.run(&d.txn(), &[a, b]).unwrap().shim_channels[0].busy_cycles as i64).collect();
    // S2MM sees 1330 (1 - 0.31), then 412 (1 - 0.31), .. less each time, plus its own first completion (520 - 179).
    // MEASURED: FIM43-Redeye/xdna-emu 2026-05-27-phase-2c: a first S2MM task of 64 words took 584 cycles, later ones 254.
    assert!((cycles[0] - cycles[1] - 918 - 341).abs() < 8, "{cycles:?}");
    assert!((cycles[1] - cycles[2] - 285).abs() < 8, "{cycles:?}");
}

#[test]
fn a_shared_ddr_cap_stretches_two_streams_to_its_rate() {
    let run = |cap| {
        let mut d = loopback();
        for ch in 0..2 {
            d.op_transfer(0, S2mm, ch, 4 + ch, 4096, 1 + ch).op_transfer(0, Mm2s, ch, ch, 4096, 0);
        }
        d.op_wait(0, S2mm, 0).op_wait(0, S2mm, 1);
        let mut m = TestMachine::new(aie2_sim::Config { ddr_millibytes_per_cycle: cap, ..fast() });
        m.load_pdi(&d.pdi()).unwrap();
        let ids = [m.alloc("in", 16384), m.alloc("a", 16384), m.alloc("b", 16384)];
        m.write_buffer(ids[0], 0, &ramp(4096)).unwrap();
        let report = m.run(&d.txn(), &ids).unwrap();
        assert_eq!(m.read_buffer(ids[1]).unwrap(), m.read_buffer(ids[2]).unwrap());
        report.shim_channels.iter().map(|c| c.busy_cycles).max().unwrap()
    };
    let (free, capped) = (run(None), run(Some(4000)));
    // 64 KiB in and out at 4 bytes per cycle: 16384 cycles.
    assert!(free < 7500, "{free}");
    assert!((16384..18500).contains(&capped), "{capped}");
}

#[test]
fn a_hook_changes_ddr_between_two_operations() {
    let mut d = loopback();
    d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, S2mm, 0);
    let wait = d.ops.len() - 1;
    d.op_transfer(0, S2mm, 0, 3, 16, 2).op_transfer(0, Mm2s, 0, 1, 16, 1).op_wait(0, S2mm, 0);
    let mut m = d.machine().unwrap();
    let ids = [m.alloc("a", 64), m.alloc("b", 64), m.alloc("c", 64)];
    m.write_buffer(ids[0], 0, &[1; 64]).unwrap();
    let b = ids[1];
    m.after_op(wait, move |ddr| {
        assert_eq!(ddr.read(b, 0, 64).unwrap(), [1; 64]);
        ddr.write(b, 0, &[7; 64]).unwrap();
    });
    m.run(&d.txn(), &ids).unwrap();
    assert_eq!(m.read_buffer(ids[2]).unwrap(), [7; 64]);
}

#[test]
fn registers_outside_the_model_are_named() {
    let cases: [(u8, u8, u32, bool); 6] = [
        (0, 2, 0x3_4010, true), // event broadcast
        (0, 2, 0x1_40e0, true), // choice of traced events
        (0, 0, 0x3_3000, true), // PL upsizer
        (0, 2, 0x3_0000, false),
        (0, 1, 0xD_0000, false),
        (0, 0, 0x0, false),
    ];
    for (col, row, offset, known) in cases {
        let mut d = Design::default();
        match d.write(col, row, offset, 5).machine() {
            Ok(_) => assert!(known, "{offset:#x}"),
            Err(Fault::UnmodelledRegister { offset: o, value: 5, .. }) => assert!(!known && o == offset),
            Err(other) => panic!("{other}"),
        }
    }
    let mut d = Design::default();
    d.cdo.push(npu_container::cdo::Command::Write { addr: addr(4, 2, 0x100), value: 0 });
    assert!(matches!(d.machine(), Err(Fault::ArrayAddress { .. })));
    let mut d = Design::default();
    d.cdo.push(npu_container::cdo::Command::Write { addr: addr(0, 2, 0x102), value: 0 });
    assert!(matches!(d.machine(), Err(Fault::ArrayAddress { .. })));
    let mut d = Design::default();
    d.lock(0, 2, 3, 64);
    assert!(matches!(d.machine(), Err(Fault::LockRange { lock: 3, value: 64, .. })));
}

#[test]
fn damaged_containers_are_refused() {
    let mut m = TestMachine::new(fast());
    assert!(matches!(m.load_pdi(&[0; 100]), Err(Fault::Pdi(_))));
    assert!(matches!(m.run(&[0; 100], &[]), Err(Fault::Stream(_))));
}

#[test]
fn a_run_longer_than_its_limit_is_a_fault() {
    let mut d = Design::default();
    d.core(0, 2, &[support::Act::Acquire(48, -1), support::Act::Release(48, 1), support::Act::Loop]);
    d.lock(0, 2, 0, 1).op_wait(0, S2mm, 0);
    let mut m = TestMachine::new(aie2_sim::Config { cycle_limit: 10_000, ..fast() });
    m.load_pdi(&d.pdi()).unwrap();
    assert!(matches!(m.run(&d.txn(), &[]), Err(Fault::CycleLimit { limit: 10_000, op: 0 })));
}

#[test]
fn an_operation_that_ends_behind_the_limit_is_a_fault() {
    let mut d = Design::default();
    d.ops.push(Op::Write { addr: addr(1, 2, 0x100), value: 1 });
    let run = |cycle_limit| {
        let mut m = TestMachine::new(aie2_sim::Config { cycle_limit, ..fast() });
        m.load_pdi(&d.pdi()).unwrap();
        m.run(&d.txn(), &[])
    };
    assert_eq!(run(100).unwrap().cycles, 100);
    assert!(matches!(run(99), Err(Fault::CycleLimit { limit: 99, op: 1 })));
}
