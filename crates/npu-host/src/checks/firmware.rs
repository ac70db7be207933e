//! Is the firmware there, and does it fit the driver?

use crate::check::{Check, CheckId};
use crate::device::Device;
use crate::diagnose::Subject;
use crate::host::Host;
use crate::pci::Function;

const ID: CheckId = CheckId::Firmware;

// SOURCE: drivers/accel/amdxdna/npu1_regs.c and aie2_pci.c: file names in the order in which drivers try them.
const NAMES: [&str; 3] = ["npu.dev.sbin", "npu_7.sbin", "npu.sbin"];
const SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];
const DIRECTORY: &str = "amdnpu/1502_00";

/// Versions seen with this NPU.
// SOURCE: amd/xdna-driver tools/info.json and linux-firmware WHENCE; reports of users for 1.5.4 and 1.5.6.
const SEEN: [[u32; 4]; 4] = [[1, 5, 2, 380], [1, 5, 4, 389], [1, 5, 5, 391], [1, 5, 6, 399]];

/// Numbers of "1.5.5.391", also as the end of a file name.
fn parse(text: &str) -> Option<[u32; 4]> {
    let text = SUFFIXES.iter().rev().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text);
    let numbers: Vec<u32> = text.rsplit('.').take(4).map_while(|word| word.parse().ok()).collect();
    let &[d, c, b, a] = &numbers[..] else { return None };
    Some([a, b, c, d])
}

fn words(version: [u32; 4]) -> String {
    version.map(|number| number.to_string()).join(".")
}

/// The version that a file which is not compressed carries in its head.
// SOURCE: head of npu.sbin 1.5.5.391, "Release 1.5.5.391" at 1D0h.
fn written(host: &Host, place: &str) -> Option<[u32; 4]> {
    const HEAD: usize = 0x400;
    const MARK: &[u8] = b"Release ";
    let bytes = host.head(place, HEAD)?;
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let end = bytes[at..].iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
    parse(std::str::from_utf8(&bytes[at..at + end]).ok()?)
}

/// Firmware files the kernel would find, in its order of search, and the version that a link's name or the file itself gives.
fn files(host: &Host) -> Vec<(String, Option<[u32; 4]>)> {
    let release = host.kernel_release().unwrap_or_default();
    let chosen = host.text("/sys/module/firmware_class/parameters/path").filter(|path| !path.is_empty());
    let roots = chosen.into_iter().chain(
        [format!("updates/{release}"), "updates".into(), release, String::new()]
            .into_iter()
            .map(|below| format!("/lib/firmware/{below}")),
    );
    let mut found = Vec::new();
    for root in roots {
        for (name, suffix) in NAMES.iter().flat_map(|name| SUFFIXES.iter().map(move |suffix| (name, suffix))) {
            let place = format!("{}/{DIRECTORY}/{name}{suffix}", root.trim_end_matches('/'));
            if host.metadata(&place).is_ok_and(|file| file.is_file()) && !found.iter().any(|(seen, _)| *seen == place) {
                let version =
                    host.link_name(&place).and_then(|target| parse(&target)).or_else(|| written(host, &place));
                found.push((place, version));
            }
        }
    }
    found
}

macro_rules! one_origin {
    () => {
        "take driver and firmware from one origin: with the kernel's own driver the current linux-firmware (amdnpu/1502_00, 1.5.5.391), with \
         AMD's xdna-driver the files of that package; then power off and on"
    };
}

const ONE_ORIGIN: &str = one_origin!();
const REFUSED: &str =
    concat!("`sudo dmesg | grep amdxdna` has the reason; if it names the protocol, or error -95, ", one_origin!());

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let host = subject.host;
    let files = files(host);
    let on_disk = match files.first() {
        None => String::new(),
        Some((place, Some(version))) => format!("{place} is {}", words(*version)),
        Some((place, None)) => format!("{place} (of unknown version)"),
    };
    let running = match subject.device {
        Device::Open(facts) => facts.firmware,
        Device::NoNode | Device::Refused { .. } => None,
    }
    .or_else(|| parse(&host.text(npu.file("fw_version"))?));
    if let Some(running) = running {
        let evidence = format!("{} runs; the driver accepted its protocol", words(running));
        return match files.first() {
            Some((place, Some(version))) if *version != running => Check::warn(
                ID,
                format!("{evidence}; {place} is {} now", words(*version)),
                "the file was replaced after the driver loaded it: `sudo modprobe -r amdxdna && sudo modprobe amdxdna`, or boot again",
            ),
            _ if !SEEN.contains(&running) => {
                Check::warn(ID, format!("{evidence}; this version was not seen with this NPU before"), ONE_ORIGIN)
            }
            _ => Check::pass(ID, evidence),
        };
    }
    if files.is_empty() {
        return Check::fail(
            ID,
            format!("no {} in /lib/firmware/{DIRECTORY}, plain or compressed", NAMES.join(", ")),
            "install linux-firmware (its amdnpu files), then `sudo modprobe -r amdxdna && sudo modprobe amdxdna`; if the driver loads \
             from the initramfs, rebuild that too",
        );
    }
    let loaded = crate::checks::kernel::loaded(host).is_some();
    if loaded && host.link_name(npu.file("driver")).is_none() {
        // The protocol is checked at start-up, and nowhere shown but in the kernel log.
        // SOURCE: npu1 needs protocol 5, minor 7 or later (aie2_check_protocol).
        return Check::fail(
            ID,
            format!(
                "{on_disk}; the driver is loaded and refused the device, as it does when the firmware's protocol is not 5.7 or a later 5"
            ),
            REFUSED,
        );
    }
    Check::unknown(ID, format!("{on_disk}; nothing runs it yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse("1.5.5.391"), Some([1, 5, 5, 391]));
        assert_eq!(parse("npu.sbin.1.5.2.380.zst"), Some([1, 5, 2, 380]));
        assert_eq!(parse("npu.sbin.1.5.2.380.xz"), Some([1, 5, 2, 380]));
        assert_eq!([parse("npu.sbin"), parse("1.5.5"), parse("")], [None; 3]);
    }
}
