//! The simulator's loader: whatever a PDI writes, loading it ends, and ends in a machine or in a typed fault. A machine that
//! was loaded is dispatched for a few thousand cycles, which ends in a report or in a typed fault too; every fault has a text.
//!
//! The first byte says how the rest is read: as a PDI, as the commands of a PDI whose headers are computed, or as commands
//! drawn from the registers of the array ([`draw`]).

use crate::draw::{Draw, cdo_of};
use aie2_sim::{Config, Machine};
use npu_container::address::addr;
use npu_container::cdo::{self, Command};
use npu_container::pdi;
use npu_container::txn::{self, Header, Op};

/// Commands of a drawn PDI at most; a longer input is cut.
const MOST_COMMANDS: usize = 400;

fn limits() -> Config {
    Config { cycle_limit: 3_000, stall_limit: 1_000, ..Config::default() }
}

fn drawn(bytes: &[u8]) -> Vec<Command> {
    let mut draw = Draw(bytes);
    std::iter::from_fn(|| draw.command()).take(MOST_COMMANDS).collect()
}

pub fn check(bytes: &[u8]) {
    let Some((form, rest)) = bytes.split_first() else { return };
    let image = match form % 3 {
        0 => rest.to_vec(),
        1 => match cdo::read(&cdo_of(rest)) {
            Ok(commands) => pdi::write(&commands),
            Err(_) => return,
        },
        _ => pdi::write(&drawn(rest)),
    };
    let mut machine = Machine::new(limits());
    match machine.load_pdi(&image) {
        Ok(()) => {
            // Waits for the core of (0, 2) to be done, which most never are.
            let wait = Op::MaskPoll { addr: addr(0, 2, 0x3_2004), value: 1 << 20, mask: 1 << 20 };
            match machine.run(&txn::write(&Header::npu1(4), &[wait]), &[]) {
                Ok(report) => assert!(report.cycles <= limits().cycle_limit),
                Err(fault) => assert!(!fault.to_string().is_empty()),
            }
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
