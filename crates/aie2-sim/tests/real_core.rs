//! A machine-code program inside the array: ring in, add one, ring out.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_isa::Bundle;
use aie2_sim::port::{BlockReason, LockOp};
use aie2_sim::{Config, Fault, Machine, Waiter};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::txn::Direction;
use support::{Design, MEM, SHIM, bd, ramp, words_of};

/// One bundle per line, 16 bytes each.
fn assemble(text: &str) -> Vec<u32> {
    let line = |line: &str| Bundle::parse(line).unwrap().encode_at_least(16).unwrap().as_bytes().to_vec();
    words_of(&text.lines().map(str::trim).filter(|l| !l.is_empty()).flat_map(line).collect::<Vec<u8>>())
}

/// In: locks 0 free, 1 full, 4 words at 0x0000. Out: locks 2 free, 3 full, 4 words at 0x4000.
fn program() -> Vec<u32> {
    let nops = |n: usize| "nop\n".repeat(n);
    let mut text = String::from("movxm p0, #0x70000\nmovxm p1, #0x74000\nmovxm r0, #-1\nmovxm r1, #1\n");
    text += "acq #49, r0\n";
    text += &nops(7);
    text += "acq #50, r0\n";
    text += &nops(8);
    text += "lda r2, [p0, #0]\nlda r3, [p0, #4]\nlda r4, [p0, #8]\nlda r5, [p0, #12]\n";
    text += &nops(7);
    text += "add r2, r2, #1\nadd r3, r3, #1\nadd r4, r4, #1\nadd r5, r5, #1\n";
    text += "st r2, [p1, #0]\nst r3, [p1, #4]\nst r4, [p1, #8]\nst r5, [p1, #12]\n";
    text += &nops(6);
    text += "rel #48, r1\n";
    text += &nops(7);
    text += "rel #51, r1\nj #64\n";
    text += &nops(5);
    assemble(&text)
}

fn design() -> Design {
    let mut d = Design::default();
    d.shim(3).connect(3, SHIM, 5, 12).connect(3, MEM, 7, 11).connect(3, 2, 5, 1); // up to S2MM 0
    d.connect(3, 2, 1, 5).connect(3, MEM, 13, 7).connect(3, SHIM, 14, 4); // down to the shim
    for (lock, value) in [(0, 1), (1, 0), (2, 1), (3, 0)] {
        d.lock(3, 2, lock, value);
    }
    d.bd(3, 2, 0, &bd(0, 4).locks((0, -1), (1, 1)).next(0)).start(3, 2, S2mm, 0, 0);
    d.bd(3, 2, 1, &bd(0x4000, 4).locks((3, -1), (2, 1)).next(1)).start(3, 2, Mm2s, 0, 1);
    d.write(3, 2, 0x3_2000, 2);
    d.cdo.push(Command::DmaWrite { addr: addr(3, 2, 0x2_0000), data: program() });
    d.write(3, 2, 0x3_2000, 0).write(3, 2, 0x3_2000, 1);
    d
}

fn run(words: u32) -> Result<(Machine, Vec<u8>, aie2_sim::RunReport), Fault> {
    let mut d = design();
    d.op_transfer(3, S2mm, 0, 3, words, 1).op_transfer(3, Mm2s, 0, 1, words, 0).op_wait(3, S2mm, 0);
    let mut m = Machine::new(Config { cycle_limit: 1_000_000, ..Config::default() });
    m.load_pdi(&d.pdi())?;
    let ids = [m.alloc("in", 4 * words as usize), m.alloc("out", 4 * words as usize)];
    m.write_buffer(ids[0], 0, &ramp(words))?;
    let report = m.run(&d.txn(), &ids)?;
    let out = m.read_buffer(ids[1])?;
    Ok((m, out, report))
}

#[test]
fn a_program_between_two_rings_adds_one_to_every_word() {
    let (_, out, report) = run(64).unwrap();
    let want: Vec<u32> = words_of(&ramp(64)).iter().map(|w| w + 1).collect();
    assert_eq!(words_of(&out), want);
    let core = &report.cores[0];
    // Four set-up bundles, 57 per buffer; the 17th pass waits at its first acquire. Each lock instruction costs a cycle.
    assert_eq!(core.bundles, 4 + 16 * 57);
    assert_eq!(core.stalls.own, 16 * 4);
    assert!(core.stalls.lock > 0);
    assert_eq!((core.vmacs, core.macs), (0, 0));
}

#[test]
fn a_core_that_waits_is_in_the_deadlock_picture_with_its_pc() {
    // 65 words: the last buffer is never full.
    let Err(Fault::Deadlock(report)) = run(65).map(|r| r.2) else { panic!() };
    assert!(report.waiters.iter().any(|w| matches!(
        w,
        Waiter::Core {
            pc: 64,
            reason: BlockReason::Lock { id: 49, op: LockOp::Acquire { value: -1 } },
            lock_value: Some(0),
            ..
        }
    )));
    assert!(report.to_string().contains("core (3, 2) S2MM 0: BD 0 has 0 of 4 words, stream empty"), "{report}");
}

#[test]
fn an_empty_program_memory_is_a_core_fault_with_its_tile() {
    let mut d = Design::default();
    d.write(1, 4, 0x3_2000, 0).write(1, 4, 0x3_2000, 1).op_wait(0, S2mm, 0);
    let mut m = Machine::new(Config::default());
    m.load_pdi(&d.pdi()).unwrap();
    match m.run(&d.txn(), &[]) {
        Err(Fault::Core { tile, pc: 0, .. }) => assert_eq!((tile.col, tile.row), (1, 4)),
        other => panic!("{other:?}"),
    }
}
