//! Is the driver loaded and does it hold the device?

use crate::check::{Check, CheckId};
use crate::checks::kernel::{Setting, loaded, module_file};
use crate::device::Device;
use crate::diagnose::Subject;
use crate::host::Host;
use crate::pci::Function;

const ID: CheckId = CheckId::Driver;

/// What keeps the module from being loaded: a line of modprobe's configuration or a word of the command line.
fn blacklisted(host: &Host) -> Option<(String, String)> {
    for word in host.command_line() {
        let list = word.strip_prefix("module_blacklist=").or_else(|| word.strip_prefix("modprobe.blacklist="));
        if list.is_some_and(|list| list.split(',').any(|name| name == "amdxdna")) {
            return Some((
                format!("the kernel command line has {word}"),
                format!("remove {word} from the boot loader's configuration and boot again"),
            ));
        }
    }
    for directory in ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"] {
        for name in host.names(directory).into_iter().filter(|name| name.ends_with(".conf")) {
            let place = format!("{directory}/{name}");
            for line in host.text(&place).unwrap_or_default().lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                if matches!(
                    words[..],
                    ["blacklist", "amdxdna", ..]
                        | ["install", "amdxdna", "/bin/false" | "/bin/true" | "/usr/bin/false" | "/usr/bin/true", ..]
                ) {
                    return Some((
                        format!("{place} says {:?}", line.trim()),
                        format!("remove that line from {place}, then `sudo modprobe amdxdna`"),
                    ));
                }
            }
        }
    }
    None
}

/// Parameters that a module was loaded with.
fn parameters(host: &Host, module: &str) -> String {
    let directory = format!("/sys/module/{module}/parameters");
    let values = host.names(&directory).into_iter().filter_map(|name| {
        let value = host.text(format!("{directory}/{name}"))?;
        Some(format!("{name}={value}"))
    });
    values.map(|parameter| format!(", {parameter}")).collect()
}

/// Version of a loaded module, as far as it tells.
fn version(subject: &Subject<'_>, module: &str) -> String {
    if let Device::Open(facts) = subject.device {
        let origin = if facts.driver.major >= 1 { ", AMD's out-of-tree driver" } else { "" };
        return format!("{} {}.{}{origin}", facts.driver.name, facts.driver.major, facts.driver.minor);
    }
    match subject.host.text(format!("/sys/module/{module}/version")) {
        Some(version) => format!("{module} {version}"),
        None => format!("{module} (it tells its version only when opened)"),
    }
}

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let host = subject.host;
    let holder = host.link_name(npu.file("driver"));
    let Some(module) = loaded(host) else { return not_loaded(host) };
    let version = version(subject, module) + &parameters(host, module);
    match holder.as_deref() {
        Some("amdxdna" | "amdxdna_legacy") => {
            let unanswered = match subject.device {
                Device::Open(facts) if !facts.unanswered.is_empty() => {
                    format!("; it did not answer: {}", facts.unanswered.join(", "))
                }
                _ => String::new(),
            };
            Check::pass(ID, format!("{version}, bound to {}{unanswered}", npu.address))
        }
        Some(other) => Check::fail(
            ID,
            format!("{version} is loaded, but {other} holds {}", npu.address),
            format!(
                "give the device back: echo {0} | sudo tee /sys/bus/pci/drivers/{other}/unbind, then echo {0} | sudo tee /sys/bus/pci/drivers/amdxdna/bind",
                npu.address
            ),
        ),
        None => Check::fail(
            ID,
            format!("{version} is loaded, but did not accept {}: its start-up (probe) failed", npu.address),
            "`sudo dmesg | grep amdxdna` has the reason; a firmware that does not fit the driver is the usual one: see `firmware`. \
             After a hang, power the machine off and on",
        ),
    }
}

fn not_loaded(host: &Host) -> Check {
    if let Some((evidence, remedy)) = blacklisted(host) {
        return Check::fail(ID, format!("amdxdna is not loaded: {evidence}"), remedy);
    }
    let release = host.kernel_release().unwrap_or_default();
    match module_file(host, &release) {
        Setting::On => Check::fail(
            ID,
            format!("amdxdna is not loaded, though Linux {release} has it"),
            "`sudo modprobe amdxdna`; if that fails, `sudo dmesg | tail` says why (with Secure Boot, an unsigned module)",
        ),
        Setting::Off => Check::fail(
            ID,
            format!("amdxdna is not loaded: Linux {release} has no such module"),
            format!(
                "install the rest of the kernel's modules (Ubuntu: linux-modules-extra-{release}), or boot Linux 6.14 or newer with \
                 CONFIG_DRM_ACCEL_AMDXDNA, or install AMD's xdna-driver package"
            ),
        ),
        Setting::Unknown => Check::fail(
            ID,
            format!("amdxdna is not loaded, and /lib/modules/{release} cannot be read"),
            "`sudo modprobe amdxdna`; in a container, load it on the host",
        ),
    }
}
