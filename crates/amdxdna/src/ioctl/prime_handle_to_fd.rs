//! PRIME_HANDLE_TO_FD: a dma-buf of a buffer object.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::Kernel;
use crate::{BadReply, Error};

/// `struct drm_prime_handle`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub handle: u32,
    /// In: [`FLAGS`].
    pub flags: u32,
    /// Out.
    pub fd: i32,
}

pin!(Layout: 12 { handle 0, flags 4, fd 8 });

/// `DRM_CLOEXEC | DRM_RDWR`.
pub const FLAGS: u32 = 0x80000 | 2;

pub(crate) fn prime_handle_to_fd<K: Kernel>(file: &File<K>, handle: u32) -> Result<K::Fd, Error> {
    let mut layout = Layout { handle, flags: FLAGS, fd: -1 };
    let arguments = format_args!("handle {handle}");
    file.call(Ioctl::PrimeHandleToFd, &arguments, &mut layout, &mut [])?;
    file.kernel
        .adopt(layout.fd)
        .ok_or_else(|| bad(Ioctl::PrimeHandleToFd, &arguments, BadReply::Descriptor { number: layout.fd }))
}
