//! SYNCOBJ_TIMELINE_WAIT: waits until a timeline has reached a point.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::kernel::{Kernel, Pointed};
use crate::{Errno, Error, Waited};

/// `struct drm_syncobj_timeline_wait`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Address of the syncobj handles.
    pub handles: u64,
    /// Address of their points.
    pub points: u64,
    /// In: nanoseconds of CLOCK_MONOTONIC.
    pub deadline: i64,
    /// In: 1.
    pub count: u32,
    /// In: [`WAIT_FOR_SUBMIT`].
    pub flags: u32,
    /// Out.
    pub first_signalled: u32,
    /// Zero.
    pub pad: u32,
}

pin!(Layout: 40 { handles 0, points 8, deadline 16, count 24, flags 28, first_signalled 32, pad 36 });

/// `DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT`: a point nobody has submitted yet is waited for, not refused.
pub const WAIT_FOR_SUBMIT: u32 = 2;

/// Waits until `deadline` in nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn wait<K: Kernel>(file: &File<K>, syncobj: u32, point: u64, deadline: i64) -> Result<Waited, Error> {
    let mut handles = syncobj.to_le_bytes();
    let mut points = point.to_le_bytes();
    let mut layout = Layout { deadline, count: 1, flags: WAIT_FOR_SUBMIT, ..Layout::default() };
    let mut pointed = [Pointed::by_argument(0, &mut handles), Pointed::by_argument(8, &mut points)];
    match file.try_call(Ioctl::SyncobjTimelineWait, &mut layout, &mut pointed) {
        Ok(()) => Ok(Waited::Signalled),
        Err(Errno::ETIME) => Ok(Waited::Expired),
        Err(Errno::EINTR) => Ok(Waited::Signal),
        Err(errno) => {
            Err(Error::ioctl(Ioctl::SyncobjTimelineWait, &format_args!("syncobj {syncobj}, point {point}"), errno))
        }
    }
}
