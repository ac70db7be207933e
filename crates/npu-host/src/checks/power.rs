//! At which clocks, in which mode?

use crate::check::{Check, CheckId};
use crate::device::{Device, PowerMode};
use crate::diagnose::Subject;
use crate::pci::Function;

const ID: CheckId = CheckId::Power;

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let Device::Open(facts) = subject.device else {
        return Check::skipped(ID, "the device is not open");
    };
    let clocks = match facts.clocks {
        Some(clocks) => format!("array {} MHz, management {} MHz", clocks.h_mhz, clocks.mp_npu_mhz),
        None => "the driver tells no clocks".to_owned(),
    };
    let mode = match facts.power_mode {
        Some(mode) => format!("mode {}", mode.name()),
        None => "the driver tells no power mode".to_owned(),
    };
    let state = match subject.host.text(npu.file("power/runtime_status")) {
        Some(state) => format!(", {state}"),
        None => String::new(),
    };
    let evidence = format!("{clocks}; {mode}{state}");
    match facts.power_mode {
        Some(PowerMode::Low | PowerMode::Medium) => Check::warn(
            ID,
            evidence,
            "someone lowered the clocks: `bennu` asks for the highest, the mode forbids them; an administrator can set the mode to default \
             (with XRT: `sudo xrt-smi configure --pmode default`)",
        ),
        Some(PowerMode::Default | PowerMode::High | PowerMode::Turbo) => Check::pass(ID, evidence),
        None if facts.clocks.is_none() => Check::unknown(ID, evidence),
        None => Check::pass(ID, evidence),
    }
}
