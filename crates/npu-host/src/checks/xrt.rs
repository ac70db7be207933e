//! XRT: found or not. bennu talks to the driver itself.

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;

const ID: CheckId = CheckId::Xrt;

const LIBRARIES: [&str; 5] = [
    "/opt/xilinx/xrt/lib/libxrt_coreutil.so",
    "/usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.2",
    "/usr/lib64/libxrt_coreutil.so.2",
    "/usr/lib/libxrt_coreutil.so.2",
    "/usr/local/lib/libxrt_coreutil.so.2",
];

pub(crate) fn check(subject: &Subject<'_>) -> Check {
    let found = LIBRARIES.into_iter().find(|library| subject.host.exists(library)).map(str::to_owned);
    let found = found.or_else(|| Some(subject.host.program(&["xrt-smi", "xbutil"])?.display().to_string()));
    match found {
        Some(place) => Check::pass(ID, format!("found: {place}; bennu does not need it")),
        None if subject.needs.xrt => Check::fail(
            ID,
            "asked for, and not found",
            "bennu runs without XRT: leave the request away, or install AMD's XRT package",
        ),
        None => Check::skipped(ID, "not found; bennu does not need it"),
    }
}
