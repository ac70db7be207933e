//! SYNCOBJ_DESTROY: gives a syncobj's handle back.

use super::{File, Ioctl};
use crate::Error;
use crate::kernel::Kernel;

/// `struct drm_syncobj_destroy`: a handle, as GEM_CLOSE has it.
pub type Layout = super::gem_close::Layout;

pub(crate) fn syncobj_destroy<K: Kernel>(file: &File<K>, handle: u32) -> Result<(), Error> {
    file.call(Ioctl::SyncobjDestroy, &format_args!("syncobj {handle}"), &mut Layout { handle, pad: 0 }, &mut [])
}
