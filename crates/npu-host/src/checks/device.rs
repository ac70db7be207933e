//! Is there an NPU, and is it the one bennu compiles for?

use crate::check::{Check, CheckId};
use crate::cpu::{Cpu, Npu, Part};
use crate::diagnose::Subject;
use crate::pci::FUNCTIONS;
use crate::verdict::Absence;

const ID: CheckId = CheckId::Device;

/// Why there is no NPU to use; none if there is one.
pub(crate) fn absence(subject: &Subject<'_>) -> Option<Absence> {
    if subject.npu.is_some() {
        return None;
    }
    if let Some(other) = subject.others.first() {
        let evidence = format!(
            "PCI function {} is 1022:{:04x} revision {:02x}: {}; bennu compiles for 1022:1502",
            other.address,
            other.device,
            other.revision,
            other.generation.name()
        );
        let remedy = "bennu runs on Phoenix and Hawk Point only (Ryzen 7040, 8040, 200 with NPU); this NPU has another \
                      instruction set";
        return Some(Absence::Other { evidence, remedy: remedy.to_owned() });
    }
    let functions = subject.host.names(FUNCTIONS).len();
    let bus = match functions {
        0 => format!("{FUNCTIONS} lists no PCI function"),
        n => format!("none of {n} PCI functions is 1022:1502"),
    };
    let evidence = match &subject.cpu {
        Some(cpu) => format!("{bus}; {}", cpu_words(cpu)),
        None => format!("{bus}; /proc/cpuinfo does not name the CPU"),
    };
    Some(Absence::None { evidence, remedy: missing_remedy(subject.cpu.as_ref()).to_owned() })
}

fn missing_remedy(cpu: Option<&Cpu>) -> &'static str {
    match cpu {
        Some(cpu) if cpu.virtual_machine => {
            "run bennu on a Phoenix or Hawk Point machine itself: amdxdna usually needs PASID, which virtual machines do not offer"
        }
        Some(Cpu { npu: Npu::Yes, .. }) => {
            "this CPU has an NPU that the firmware hides: enable it in the BIOS (IPU, NPU or AI engine), then power off and on"
        }
        Some(Cpu { npu: Npu::No, .. }) => "this CPU is made without NPU: use a Ryzen 7040, 8040 or 200 that has one",
        Some(Cpu { part: Part::Phoenix | Part::HawkPoint, .. }) => {
            "look for an NPU (IPU) switch in the BIOS; if there is none, this model is sold without NPU"
        }
        _ => "use a machine with a Phoenix or Hawk Point NPU (e.g. Ryzen 7 7840U, Ryzen 7 8845HS)",
    }
}

fn cpu_words(cpu: &Cpu) -> String {
    let part = match (cpu.part, cpu.npu) {
        (Part::Phoenix, Npu::Yes) => "Phoenix, sold with NPU",
        (Part::Phoenix, Npu::No) => "Phoenix, sold without NPU",
        (Part::Phoenix, Npu::Unknown) => "Phoenix, NPU not known for this model",
        (Part::HawkPoint, Npu::Yes) => "Hawk Point, sold with NPU",
        (Part::HawkPoint, Npu::No) => "Hawk Point, sold without NPU",
        (Part::HawkPoint, Npu::Unknown) => "Hawk Point, NPU not known for this model",
        (Part::Phoenix2, _) => "Phoenix 2 or Hawk Point 2, which has no NPU",
        (Part::Other, Npu::No) => "sold without NPU",
        (Part::Other, _) => "not a Phoenix or Hawk Point",
    };
    let machine = if cpu.virtual_machine { ", in a virtual machine" } else { "" };
    format!("CPU {} ({part}){machine}", cpu.name)
}

pub(crate) fn check(subject: &Subject<'_>, absence: Option<&Absence>) -> Check {
    let Some(npu) = &subject.npu else {
        // PANIC: `absence` says why whenever there is no NPU.
        let absence = absence.expect("an absent NPU has a reason");
        return Check::fail(ID, absence.to_string(), absence.remedy());
    };
    let cpu = subject.cpu.as_ref().map_or_else(|| "CPU not named".to_owned(), cpu_words);
    let evidence = format!("1022:{:04x} revision {:02x} at {}; {cpu}", npu.device, npu.revision, npu.address);
    if npu.revision == 0 {
        Check::pass(ID, evidence)
    } else {
        // SOURCE: amdxdna_ids lists 1502h with revision 0 alone.
        Check::fail(ID, evidence, "the driver knows revision 00 alone: a newer kernel may know this one")
    }
}
