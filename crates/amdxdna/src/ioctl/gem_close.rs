//! GEM_CLOSE: gives a buffer object's handle back.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::Kernel;

/// `struct drm_gem_close`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub handle: u32,
    /// Zero.
    pub pad: u32,
}

pin!(Layout: 8 { handle 0, pad 4 });

pub(crate) fn gem_close<K: Kernel>(file: &File<K>, handle: u32) -> Result<(), Error> {
    file.call(Ioctl::GemClose, &format_args!("handle {handle}"), &mut Layout { handle, pad: 0 }, &mut [])
}
