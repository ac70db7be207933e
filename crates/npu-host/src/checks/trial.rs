//! Can a context be made? The one check that proves the others.

use crate::check::{Check, CheckId};
use crate::device::{Device, Trial, TrialStep};
use crate::diagnose::Subject;
use crate::pci::Function;

const ID: CheckId = CheckId::Trial;

// SOURCE: asm-generic/errno-base.h, errno.h.
const EPERM: i32 = 1;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EPIPE: i32 = 32;
const ETIME: i32 = 62;
const ETIMEDOUT: i32 = 110;

pub(crate) fn check(subject: &Subject<'_>, _: &Function) -> Check {
    match subject.device {
        Device::NoNode => Check::skipped(ID, "there is no device node to open"),
        Device::Refused { errno, answer } => Check::fail(
            ID,
            answer.clone(),
            match *errno {
                Some(EACCES | EPERM) => "see `node`",
                // It was opened, and refused the first question.
                None => {
                    "try again, for the driver starts the device anew each time; `sudo dmesg | grep amdxdna` has its reason"
                }
                _ => "see `iommu`; `sudo dmesg | grep amdxdna` has the driver's reason",
            },
        ),
        Device::Open(facts) => match &facts.trial {
            Trial::Made { columns } => {
                Check::pass(ID, format!("a context of {columns} columns was made and given back"))
            }
            Trial::Failed { step, errno, answer } => {
                let (what, remedy) = match step {
                    TrialStep::Heap => ("the device heap of 64 MiB was refused", heap_remedy(*errno)),
                    TrialStep::Context => ("no context was made", context_remedy(*errno)),
                };
                Check::fail(ID, format!("{what}: {answer}"), remedy)
            }
        },
    }
}

fn heap_remedy(errno: Option<i32>) -> &'static str {
    match errno {
        Some(EAGAIN | ENOMEM | EPERM) => "the limit of locked memory is the usual reason: see `memlock`",
        _ => "`sudo dmesg | grep amdxdna` has the driver's reason",
    }
}

fn context_remedy(errno: Option<i32>) -> &'static str {
    match errno {
        Some(EINVAL) => {
            "try again; if it stays, driver and firmware do not fit each other (see `firmware`: take both from one origin, then power off and on); on a driver \
             that ran commands of a crashed program, `sudo modprobe -r amdxdna && sudo modprobe amdxdna`"
        }
        Some(ENODEV | ENOSPC | EBUSY | ENOMEM | EAGAIN) => {
            "no room for another context: end the programs listed under `contexts`; if none is listed, stale ones remain in the firmware, or \
             it is gone: leave the NPU alone for five seconds, else `sudo modprobe -r amdxdna && sudo modprobe amdxdna`"
        }
        Some(EPIPE | ETIME | ETIMEDOUT) => {
            "the firmware no longer answers, or the driver has given up its channel to it: leave the NPU alone for five seconds, else `sudo modprobe -r amdxdna && sudo \
             modprobe amdxdna`, else power off and on"
        }
        _ => "`sudo dmesg | grep amdxdna` has the driver's reason",
    }
}
