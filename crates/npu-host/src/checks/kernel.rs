//! Is the kernel one that can have the driver?

use std::path::PathBuf;

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;
use crate::host::Host;

const ID: CheckId = CheckId::Kernel;

/// First kernel with the driver in it.
// SOURCE: torvalds/linux, drivers/accel/amdxdna: merged for 6.14.
pub(crate) const FIRST: [u32; 2] = [6, 14];
const OPTION: &str = "CONFIG_DRM_ACCEL_AMDXDNA";

/// Where distributions keep modules; the second one is NixOS's.
const MODULES: [&str; 2] = ["/lib/modules", "/run/booted-system/kernel-modules/lib/modules"];

/// State of a kernel option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    On,
    Off,
    /// The configuration cannot be read.
    Unknown,
}

/// Major and minor number of a release.
pub(crate) fn version(release: &str) -> Option<[u32; 2]> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?])
}

/// What the kernel itself tells of its configuration, if it was built to (CONFIG_IKCONFIG_PROC).
const OWN_WORD: &str = "/proc/config.gz";
/// A configuration has some 300 KB.
const CONFIGURATION_BYTES: u64 = 16 << 20;

/// The kernel's configuration: its own word, or where distributions keep it as text.
fn configuration(host: &Host, release: &str) -> Option<(PathBuf, String)> {
    if let Some(text) = host.unpacked(OWN_WORD, CONFIGURATION_BYTES) {
        return Some((PathBuf::from(OWN_WORD), text));
    }
    [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/lib/kernel/config-{release}"),
    ]
    .into_iter()
    .find_map(|place| Some((PathBuf::from(&place), host.text(&place)?)))
}

/// Whether the driver was chosen when the kernel was built.
pub(crate) fn driver_option(host: &Host, release: &str) -> Setting {
    let Some((_, text)) = configuration(host, release) else { return Setting::Unknown };
    option(&text, OPTION)
}

fn option(text: &str, name: &str) -> Setting {
    let on = text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest == "=y" || rest == "=m"));
    if on { Setting::On } else { Setting::Off }
}

/// Whether the driver lies among the kernel's modules or in the kernel.
pub(crate) fn module_file(host: &Host, release: &str) -> Setting {
    let lists: Vec<String> = MODULES
        .iter()
        .flat_map(|root| ["modules.dep", "modules.builtin"].map(|list| format!("{root}/{release}/{list}")))
        .filter_map(|list| host.text(list))
        .collect();
    if lists.is_empty() {
        return Setting::Unknown;
    }
    let names = ["/amdxdna.ko", "/amdxdna_legacy.ko"];
    let has = |text: &String| {
        text.lines().any(|line| names.iter().any(|name| line.split(':').next().is_some_and(|path| path.contains(name))))
    };
    if lists.iter().any(has) { Setting::On } else { Setting::Off }
}

/// Whether the driver is in the kernel now.
pub(crate) fn loaded(host: &Host) -> Option<&'static str> {
    ["amdxdna", "amdxdna_legacy"].into_iter().find(|name| host.exists(format!("/sys/module/{name}")))
}

pub(crate) fn check(subject: &Subject<'_>) -> Check {
    let host = subject.host;
    let Some(release) = host.kernel_release() else {
        return Check::unknown(ID, "/proc/sys/kernel/osrelease cannot be read");
    };
    let Some(version) = version(&release) else {
        return Check::unknown(ID, format!("release {release} has no version number"));
    };
    let configured = match configuration(host, &release) {
        Some((place, text)) => {
            let words = ["CONFIG_DRM_ACCEL", OPTION, "CONFIG_AMD_IOMMU"].map(|name| match option(&text, name) {
                Setting::On => format!("{name} on"),
                Setting::Off | Setting::Unknown => format!("{name} off"),
            });
            format!("{} ({})", words.join(", "), place.display())
        }
        None => "its configuration is not to be had as text".to_owned(),
    };
    let evidence = format!("Linux {release}; {configured}");
    if loaded(host).is_some() {
        return Check::pass(ID, format!("{evidence}; the driver is loaded"));
    }
    let has_module = module_file(host, &release) == Setting::On;
    if version < FIRST && !has_module {
        let remedy =
            "boot Linux 6.14 or newer, which has amdxdna, or install AMD's xdna-driver package for 6.10 and newer";
        return Check::fail(ID, evidence, remedy);
    }
    if driver_option(host, &release) == Setting::Off && !has_module {
        return Check::fail(ID, evidence, "boot a kernel built with CONFIG_DRM_ACCEL_AMDXDNA=m and CONFIG_AMD_IOMMU=y");
    }
    if driver_option(host, &release) == Setting::Unknown && module_file(host, &release) == Setting::Unknown {
        return Check::unknown(ID, format!("{evidence}, nor is the list of its modules"));
    }
    Check::pass(ID, evidence)
}
