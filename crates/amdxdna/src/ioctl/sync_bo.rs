//! SYNC_BO: flushes a buffer's cache lines, in the kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::Kernel;

/// `struct amdxdna_drm_sync_bo`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub handle: u32,
    /// In: a [`Direction`].
    pub direction: u32,
    /// In: first byte.
    pub offset: u64,
    /// In: bytes.
    pub size: u64,
}

pin!(Layout: 24 { handle 0, direction 4, offset 8, size 16 });

/// Who shall see what the other has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Direction {
    /// The device what the CPU wrote.
    ToDevice = 0,
    /// The CPU what the device wrote. Newer drivers refuse this for ordinary buffers.
    FromDevice = 1,
}

pub(crate) fn sync_bo<K: Kernel>(
    file: &File<K>,
    handle: u32,
    direction: Direction,
    offset: u64,
    size: u64,
) -> Result<(), Error> {
    let mut layout = Layout { handle, direction: direction as u32, offset, size };
    let arguments = format_args!("buffer {handle}, {direction:?}, {size} bytes from {offset}");
    file.call(Ioctl::SyncBo, &arguments, &mut layout, &mut [])
}
