//! GET_INFO: one fixed structure about the device.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::{Holder, Kernel, Pointed};
use crate::{BadReply, Error};

/// `struct amdxdna_drm_get_info`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In: what is asked.
    pub param: u32,
    /// In: capacity; out, for some parameters: bytes written.
    pub bytes: u32,
    /// Address.
    pub buffer: u64,
}

pin!(Layout: 16 { param 0, bytes 4, buffer 8 });

/// `DRM_AMDXDNA_QUERY_AIE_STATUS`, whose structure points at further memory.
pub const PARAM_AIE_STATUS: u32 = 0;

/// `struct amdxdna_drm_query_aie_status`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct AieStatusLayout {
    /// Address.
    pub buffer: u64,
    /// In: capacity.
    pub bytes: u32,
    /// Out: bit per column.
    pub columns: u32,
}

pin!(AieStatusLayout: 16 { buffer 0, bytes 8, columns 12 });

/// Asks for `param`; the length the driver says it has written, at most that of `buffer`.
pub(crate) fn get_info<K: Kernel>(file: &File<K>, param: u32, name: &str, buffer: &mut [u8]) -> Result<usize, Error> {
    let capacity = buffer.len();
    let mut layout = Layout { param, bytes: capacity as u32, buffer: 0 };
    file.call(Ioctl::GetInfo, &name, &mut layout, &mut [Pointed::by_argument(8, buffer)])?;
    let bytes = layout.bytes as usize;
    if bytes > capacity {
        let problem = BadReply::Length { what: "answer", bytes: bytes as u64, limit: capacity as u64 };
        return Err(bad(Ioctl::GetInfo, &name, problem));
    }
    Ok(bytes)
}

/// Asks for the state of the columns' tiles, in the firmware's own form; the bitmap of the columns that are in `buffer`.
pub(crate) fn get_aie_status<K: Kernel>(file: &File<K>, buffer: &mut [u8]) -> Result<u32, Error> {
    let mut status = AieStatusLayout { bytes: buffer.len() as u32, ..AieStatusLayout::default() };
    let mut layout = Layout { param: PARAM_AIE_STATUS, bytes: size_of::<AieStatusLayout>() as u32, buffer: 0 };
    let mut pointed =
        [Pointed::by_argument(8, status.as_mut_bytes()), Pointed { holder: Holder::Pointed(0), at: 0, bytes: buffer }];
    file.call(Ioctl::GetInfo, &"AIE_STATUS", &mut layout, &mut pointed)?;
    Ok(status.columns)
}
