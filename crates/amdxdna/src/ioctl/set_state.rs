//! SET_STATE: changes the device for everybody; root only.

use super::{File, Ioctl};
use crate::kernel::{Kernel, Pointed};
use crate::{Error, PowerMode};

/// `struct amdxdna_drm_set_state`: parameter, bytes and address, as GET_INFO has them.
pub type Layout = super::get_info::Layout;

/// `DRM_AMDXDNA_SET_POWER_MODE`.
pub const PARAM_POWER_MODE: u32 = 0;

/// Sets the power mode. A driver may take seconds to return when the clocks go up.
pub(crate) fn set_power_mode<K: Kernel>(file: &File<K>, mode: PowerMode) -> Result<(), Error> {
    let mut buffer = [mode as u8, 0, 0, 0, 0, 0, 0, 0];
    let mut layout = Layout { param: PARAM_POWER_MODE, bytes: buffer.len() as u32, buffer: 0 };
    let arguments = format_args!("POWER_MODE {mode:?}");
    file.call(Ioctl::SetState, &arguments, &mut layout, &mut [Pointed::by_argument(8, &mut buffer)])
}
