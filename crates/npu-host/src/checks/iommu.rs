//! Is there an IOMMU, and can the NPU share a process's addresses (SVA)?

use crate::check::{Check, CheckId};
use crate::checks::kernel::version;
use crate::device::Device;
use crate::diagnose::Subject;
use crate::pci::Function;

const ID: CheckId = CheckId::Iommu;

// SOURCE: asm-generic/errno.h; answers of iommu_sva_bind_device reported by users of amdxdna.
const SVA_REFUSED: [(i32, &str); 4] = [(19, "ENODEV"), (22, "EINVAL"), (28, "ENOSPC"), (95, "EOPNOTSUPP")];

// SOURCE: amd/xdna-driver pull request 1445 (June 2026): until then the driver tagged DMA with a PASID even so.
const PASS_THROUGH: &str = "boot without iommu=pt and iommu.passthrough=1 (or with iommu.passthrough=0), or with a driver of mid-2026 or later";

const IN_A_GUEST: &str = "run bennu on the host itself: virtual machines offer no PASID; or load a driver of 2026 or later with force_iova=1, behind an IOMMU \
                          that the virtual machine has";

/// First kernel whose AMD IOMMU driver has SVA.
// SOURCE: torvalds/linux, drivers/iommu/amd: 6.10.
const FIRST_SVA: [u32; 2] = [6, 10];

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let host = subject.host;
    let units: Vec<String> = host.names("/sys/class/iommu");
    let group = host.link_name(npu.file("iommu_group"));
    if let (Device::Open(_), None) = (subject.device, &group) {
        return Check::pass(
            ID,
            format!("{} is in no IOMMU group; the driver does without, from memory set aside", npu.address),
        );
    }
    let words = host.command_line();
    if let Some(word) = words.iter().find(|word| ["iommu=off", "amd_iommu=off"].contains(&word.as_str())) {
        return Check::fail(
            ID,
            format!("the kernel command line has {word}: the NPU cannot reach a process's memory"),
            format!("remove {word} from the boot loader's configuration and boot again"),
        );
    }
    let virtual_machine = subject.cpu.as_ref().is_some_and(|cpu| cpu.virtual_machine);
    let Some(group) = group else {
        let found = if units.is_empty() {
            "no IOMMU in /sys/class/iommu".to_owned()
        } else {
            format!("IOMMU {}", units.join(", "))
        };
        let remedy = if virtual_machine {
            IN_A_GUEST
        } else {
            "enable IOMMU (AMD-Vi, SVM) in the BIOS, and boot without iommu=off"
        };
        return Check::fail(ID, format!("{found}; {} is in no IOMMU group", npu.address), remedy);
    };
    // "identity" is pass-through, "DMA" and "DMA-FQ" are translated.
    let domain = host.text(format!("/sys/kernel/iommu_groups/{group}/type"));
    let passed_through = domain.as_deref() == Some("identity");
    let domain = domain.map_or_else(String::new, |domain| format!(", domain {domain}"));
    let evidence = format!("IOMMU {}, {} in group {group}{domain}", units.join(", "), npu.address);
    match subject.device {
        Device::Open(_) => return Check::pass(ID, format!("{evidence}; the driver gave this process addresses")),
        Device::Refused { errno, .. } => {
            if let Some((_, name)) = SVA_REFUSED.iter().find(|(number, _)| Some(*number) == *errno) {
                return Check::fail(
                    ID,
                    format!(
                        "{evidence}; open answered {name}, as it does when shared addresses (SVA, PASID) are refused"
                    ),
                    if virtual_machine {
                        IN_A_GUEST
                    } else if passed_through {
                        PASS_THROUGH
                    } else {
                        "boot Linux 6.14 or newer, update the BIOS; `sudo dmesg | grep -i -e amdxdna -e AMD-Vi` has the driver's reason"
                    },
                );
            }
        }
        Device::NoNode => {}
    }
    if passed_through {
        return Check::warn(
            ID,
            format!("{evidence}: pass-through, in which older drivers cannot share addresses"),
            PASS_THROUGH,
        );
    }
    match host.kernel_release().as_deref().and_then(version) {
        Some(version) if version < FIRST_SVA => Check::fail(
            ID,
            format!("{evidence}; Linux {}.{} has no shared addresses (SVA) for AMD", version[0], version[1]),
            "boot Linux 6.14 or newer",
        ),
        _ => Check::unknown(ID, format!("{evidence}; whether addresses can be shared shows when the device is opened")),
    }
}
