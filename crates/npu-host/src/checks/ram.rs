//! Is there enough memory for the model?

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;
use crate::host::mib;

const ID: CheckId = CheckId::Ram;

pub(crate) fn check(subject: &Subject<'_>) -> Check {
    let needs = subject.needs;
    let Some(memory) = subject.host.memory() else {
        return Check::unknown(ID, "/proc/meminfo does not tell the size of memory");
    };
    let evidence = format!(
        "{} in all, {} available; {} needed for {}",
        mib(memory.total),
        mib(memory.available),
        mib(needs.ram_bytes),
        needs.what
    );
    if memory.total < needs.ram_bytes {
        let remedy = "use a smaller context (`bennu plan` tells the largest), give the iGPU less memory in the BIOS, or add memory";
        return Check::fail(ID, evidence, remedy);
    }
    if memory.available < needs.ram_bytes {
        return Check::fail(ID, evidence, "close programs, or use a smaller context (`bennu plan` tells the largest)");
    }
    Check::pass(ID, evidence)
}
