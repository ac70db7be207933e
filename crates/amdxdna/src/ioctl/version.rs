//! VERSION: which driver stands behind the node.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::{Kernel, Pointed};
use crate::{BadReply, Error};

/// `struct drm_version`. Lengths go in as capacities and come out as lengths.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Out.
    pub major: i32,
    /// Out.
    pub minor: i32,
    /// Out.
    pub patch: i32,
    /// Padding of the C structure.
    pub pad: u32,
    /// Bytes at `name`.
    pub name_bytes: u64,
    /// Address.
    pub name: u64,
    /// Bytes at `date`.
    pub date_bytes: u64,
    /// Address.
    pub date: u64,
    /// Bytes at `description`.
    pub description_bytes: u64,
    /// Address.
    pub description: u64,
}

pin!(Layout: 64 {
    major 0, minor 4, patch 8, pad 12, name_bytes 16, name 24, date_bytes 32, date 40, description_bytes 48, description 56,
});

/// Longest driver name that is read.
const NAME_BYTES: usize = 64;

/// The driver's own name for itself and its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverVersion {
    /// `amdxdna_accel_driver` for this driver.
    pub name: String,
    /// Major number: 0 in the kernel tree, 1 out of it. For people; features are probed.
    pub major: i32,
    /// Minor number.
    pub minor: i32,
    /// Patch level.
    pub patch: i32,
}

pub(crate) fn version<K: Kernel>(file: &File<K>) -> Result<DriverVersion, Error> {
    let mut name = [0; NAME_BYTES];
    let mut layout = Layout { name_bytes: NAME_BYTES as u64, ..Layout::default() };
    file.call(Ioctl::Version, &"", &mut layout, &mut [Pointed::by_argument(24, &mut name)])?;
    // The kernel answers the full length and copies what fits.
    let bytes = usize::try_from(layout.name_bytes).ok().and_then(|bytes| name.get(..bytes));
    let name = bytes.ok_or_else(|| {
        bad(
            Ioctl::Version,
            &"",
            BadReply::Length { what: "driver name", bytes: layout.name_bytes, limit: NAME_BYTES as u64 },
        )
    })?;
    let Layout { major, minor, patch, .. } = layout;
    Ok(DriverVersion { name: String::from_utf8_lossy(name).into_owned(), major, minor, patch })
}
