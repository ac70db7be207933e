//! DESTROY_HWCTX: ends a context and all its commands.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::Kernel;

/// `struct amdxdna_drm_destroy_hwctx`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub handle: u32,
    /// Zero.
    pub pad: u32,
}

pin!(Layout: 8 { handle 0, pad 4 });

pub(crate) fn destroy_hwctx<K: Kernel>(file: &File<K>, handle: u32) -> Result<(), Error> {
    file.call(Ioctl::DestroyHwctx, &format_args!("context {handle}"), &mut Layout { handle, pad: 0 }, &mut [])
}
