//! GET_CAP: whether the DRM core has a capability.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::kernel::Kernel;
use crate::{Errno, Error};

/// `struct drm_get_cap`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub capability: u64,
    /// Out.
    pub value: u64,
}

pin!(Layout: 16 { capability 0, value 8 });

/// `DRM_CAP_SYNCOBJ_TIMELINE`.
// SOURCE: include/uapi/drm/drm.h
pub const SYNCOBJ_TIMELINE: u64 = 0x14;

/// Whether the device has timeline syncobjs. A core that does not know the question has none.
pub(crate) fn has_timelines<K: Kernel>(file: &File<K>) -> Result<bool, Error> {
    let mut layout = Layout { capability: SYNCOBJ_TIMELINE, value: 0 };
    match file.call(Ioctl::GetCap, &"SYNCOBJ_TIMELINE", &mut layout, &mut []) {
        Ok(()) => Ok(layout.value != 0),
        Err(error) if matches!(error.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTTY)) => Ok(false),
        Err(error) => Err(error),
    }
}
