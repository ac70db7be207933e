//! WAIT_CMD: waits for a command, where the driver has no timeline syncobj.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::bo::unsupported;
use crate::kernel::Kernel;
use crate::{Errno, Error, Feature, Waited};

/// `struct amdxdna_drm_wait_cmd`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub context: u32,
    /// In: milliseconds; 0 waits forever.
    pub timeout: u32,
    /// In.
    pub sequence: u64,
}

pin!(Layout: 16 { context 0, timeout 4, sequence 8 });

/// Waits at most `milliseconds`, which must not be 0.
pub(crate) fn wait_cmd<K: Kernel>(
    file: &File<K>,
    context: u32,
    sequence: u64,
    milliseconds: u32,
) -> Result<Waited, Error> {
    assert!(milliseconds > 0, "0 waits forever");
    let mut layout = Layout { context, timeout: milliseconds, sequence };
    match file.try_call(Ioctl::WaitCmd, &mut layout, &mut []) {
        Ok(()) => Ok(Waited::Signalled),
        Err(Errno::ETIME | Errno::ETIMEDOUT) => Ok(Waited::Expired),
        Err(Errno::EINTR) => Ok(Waited::Signal),
        Err(errno) => {
            let arguments = format_args!("context {context}, command {sequence}, {milliseconds} ms");
            let error = Error::ioctl(Ioctl::WaitCmd, &arguments, errno);
            Err(unsupported(error, Feature::Completion, Ioctl::WaitCmd))
        }
    }
}
