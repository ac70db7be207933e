//! GET_BO_INFO: where to map a buffer, and where the NPU sees it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::Kernel;

/// `struct amdxdna_drm_get_bo_info`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Zero.
    pub ext: u64,
    /// Zero.
    pub ext_flags: u64,
    /// In.
    pub handle: u32,
    /// Zero.
    pub pad: u32,
    /// Out: offset for mmap, or all ones.
    pub map_offset: u64,
    /// Out: address in the process, or 0.
    pub vaddr: u64,
    /// Out: the NPU's address, or all ones.
    pub xdna_addr: u64,
}

pin!(Layout: 48 { ext 0, ext_flags 8, handle 16, pad 20, map_offset 24, vaddr 32, xdna_addr 40 });

/// The driver's word for "none" in an address.
pub const INVALID_ADDRESS: u64 = u64::MAX;

/// What the driver says of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoInfo {
    /// Offset for mmap; `None` for a buffer that is reached through the heap.
    pub map_offset: Option<u64>,
    /// The NPU's address, where it is not the address of the process's mapping.
    pub device_address: Option<u64>,
}

pub(crate) fn get_bo_info<K: Kernel>(file: &File<K>, handle: u32) -> Result<BoInfo, Error> {
    let mut layout = Layout { handle, ..Layout::default() };
    file.call(Ioctl::GetBoInfo, &format_args!("buffer {handle}"), &mut layout, &mut [])?;
    let valid = |address| (address != INVALID_ADDRESS).then_some(address);
    Ok(BoInfo { map_offset: valid(layout.map_offset), device_address: valid(layout.xdna_addr) })
}
