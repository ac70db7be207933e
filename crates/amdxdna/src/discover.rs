//! Finding the NPU: accelerators of all makes share a directory.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::kernel::Kernel;
use crate::{Errno, Error};

/// Directory of the accelerators.
pub const SYSFS: &str = "/sys/class/accel";

/// Identity of a PCI function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PciId {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
}

impl PciId {
    /// The NPU of Phoenix and Hawk Point, which nothing in its identity tells apart.
    // SOURCE: drivers/accel/amdxdna/amdxdna_pci_drv.c, table of ids
    pub const PHOENIX: PciId = PciId { vendor: 0x1022, device: 0x1502, revision: 0 };

    /// AMD's name of a newer NPU, for messages.
    fn name(self) -> Option<&'static str> {
        match (self.vendor, self.device, self.revision) {
            (0x1022, 0x1502, 0) => Some("Phoenix"),
            (0x1022, 0x17F0, 0x10 | 0x11 | 0x20) => Some("XDNA 2"),
            (0x1022, 0x17F1 | 0x17F2, _) => Some("XDNA 3"),
            _ => None,
        }
    }
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x} revision {}", self.vendor, self.device, self.revision)?;
        self.name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// An NPU that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Device node.
    pub path: PathBuf,
    /// Identity.
    pub id: PciId,
    /// Firmware version as sysfs tells it, which needs no permission; `None` where the driver has no such file.
    pub firmware: Option<String>,
}

/// All Phoenix NPUs of the machine, at least one.
pub(crate) fn discover<K: Kernel>(kernel: &K) -> Result<Vec<Node>, Error> {
    let sysfs = Path::new(SYSFS);
    let names = match kernel.list(sysfs) {
        Ok(names) => names,
        Err(Errno::ENOENT | Errno::ENOTDIR) => Vec::new(),
        Err(errno) => return Err(Error::Sysfs { path: sysfs.into(), errno }),
    };
    let (mut nodes, mut others) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| is_accel(name)) {
        let device = sysfs.join(name).join("device");
        // An accelerator that is no PCI function has no such files; one that goes away meanwhile is not there.
        let Some(id) = pci_id(kernel, &device)? else { continue };
        if id == PciId::PHOENIX {
            let firmware = kernel.read(&device.join("fw_version")).ok();
            let firmware = firmware.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
            nodes.push(Node { path: Path::new("/dev/accel").join(name), id, firmware });
        } else {
            others.push(id);
        }
    }
    if nodes.is_empty() {
        return Err(Error::NoDevice { searched: sysfs.into(), others });
    }
    Ok(nodes)
}

fn is_accel(name: &str) -> bool {
    name.strip_prefix("accel").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn pci_id<K: Kernel>(kernel: &K, device: &Path) -> Result<Option<PciId>, Error> {
    let mut numbers = [0; 3];
    for (number, file) in numbers.iter_mut().zip(["vendor", "device", "revision"]) {
        let path = device.join(file);
        match kernel.read(&path) {
            Ok(text) => match hexadecimal(&text) {
                Some(value) => *number = value,
                None => return Ok(None),
            },
            Err(Errno::ENOENT | Errno::ENODEV | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(Error::Sysfs { path, errno }),
        }
    }
    let [vendor, device, revision] = numbers;
    Ok(u8::try_from(revision).ok().map(|revision| PciId { vendor, device, revision }))
}

/// A number as sysfs prints it: `0x1022` and a line end.
fn hexadecimal(text: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(text).ok()?.trim().strip_prefix("0x")?;
    (!digits.starts_with('+')).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sysfs() {
        assert_eq!(hexadecimal(b"0x1022\n"), Some(0x1022));
        assert_eq!(hexadecimal(b"0x00\n"), Some(0));
        for bad in [&b"1022\n"[..], b"0x\n", b"0x+1\n", b"0x10000\n", b"\xff", b""] {
            assert_eq!(hexadecimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_of_nodes() {
        assert!(is_accel("accel0") && is_accel("accel12"));
        assert!(!is_accel("accel") && !is_accel("accel0p1") && !is_accel("card0"));
    }
}
