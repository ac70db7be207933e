//! PCI functions of NPUs.

use crate::host::Host;

/// A generation of AMD's NPUs.
// SOURCE: drivers/accel/amdxdna/amdxdna_pci_drv.c, table amdxdna_ids: device and revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Phoenix and Hawk Point: XDNA1, AIE2. The one bennu compiles for.
    Npu1,
    /// Strix Point, revision 10h: XDNA2.
    Strix,
    /// Strix Halo, revision 11h: XDNA2.
    StrixHalo,
    /// Krackan Point, revision 20h: XDNA2.
    Krackan,
    /// 17f0 with another revision: XDNA2.
    Xdna2,
    /// 17f1 and later.
    Later,
}

impl Generation {
    fn of(device: u32, revision: u32) -> Option<Self> {
        Some(match (device, revision) {
            (0x1502, _) => Generation::Npu1,
            (0x17f0, 0x10) => Generation::Strix,
            (0x17f0, 0x11) => Generation::StrixHalo,
            (0x17f0, 0x20) => Generation::Krackan,
            (0x17f0, _) => Generation::Xdna2,
            (0x17f1..=0x17f3 | 0x1b0b | 0x1b0c, _) => Generation::Later,
            _ => return None,
        })
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Generation::Npu1 => "Phoenix or Hawk Point (npu1, XDNA1, AIE2)",
            Generation::Strix => "Strix Point (npu4, XDNA2, AIE2P)",
            Generation::StrixHalo => "Strix Halo (npu5, XDNA2, AIE2P)",
            Generation::Krackan => "Krackan Point (npu6, XDNA2, AIE2P)",
            Generation::Xdna2 => "an XDNA2 NPU of unknown revision (AIE2P)",
            Generation::Later => "a generation after XDNA2 (npu3 family)",
        }
    }
}

/// The PCI function of an NPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Domain, bus, device and function, e.g. `0000:c5:00.1`.
    pub address: String,
    /// Device id; the vendor is 1022h.
    pub device: u32,
    /// Revision.
    pub revision: u32,
    /// What it is.
    pub generation: Generation,
}

pub(crate) const FUNCTIONS: &str = "/sys/bus/pci/devices";
const AMD: u32 = 0x1022;

impl Function {
    /// Every NPU of a machine, Phoenix first.
    pub fn all(host: &Host) -> Vec<Self> {
        let mut found: Vec<Self> = host
            .names(FUNCTIONS)
            .into_iter()
            .filter_map(|address| {
                let register = |name: &str| host.hexadecimal(format!("{FUNCTIONS}/{address}/{name}"));
                if register("vendor")? != AMD {
                    return None;
                }
                let device = register("device")?;
                // Kernels before 4.10 have no such file.
                let revision = register("revision").unwrap_or(0);
                Some(Function { generation: Generation::of(device, revision)?, address, device, revision })
            })
            .collect();
        found.sort_by_key(|function| function.generation != Generation::Npu1);
        found
    }

    /// A file of the function in sysfs.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{FUNCTIONS}/{}/{name}", self.address)
    }

    /// Name of its device node, e.g. `accel0`, if the driver made one.
    pub fn node(&self, host: &Host) -> Option<String> {
        host.names(self.file("accel")).into_iter().find(|name| name.starts_with("accel"))
    }
}
