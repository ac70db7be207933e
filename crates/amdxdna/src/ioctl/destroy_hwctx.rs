//! DESTROY_HWCTX: ends a context and all its commands.

use super::{File, Ioctl};
use crate::Error;
use crate::kernel::Kernel;

/// `struct amdxdna_drm_destroy_hwctx`: a handle, as GEM_CLOSE has it.
pub type Layout = super::gem_close::Layout;

pub(crate) fn destroy_hwctx<K: Kernel>(file: &File<K>, handle: u32) -> Result<(), Error> {
    file.call(Ioctl::DestroyHwctx, &format_args!("context {handle}"), &mut Layout { handle, pad: 0 }, &mut [])
}
