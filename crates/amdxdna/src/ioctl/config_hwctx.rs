//! CONFIG_HWCTX: the compute units of a context, each a PDI. Once per context.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::{Kernel, Pointed};

/// `struct amdxdna_drm_config_hwctx`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In.
    pub handle: u32,
    /// In: [`PARAM_CONFIG_CU`].
    pub param: u32,
    /// Address of the configuration.
    pub value: u64,
    /// Bytes at `value`, at most 4096.
    pub value_bytes: u32,
    /// Zero.
    pub pad: u32,
}

pin!(Layout: 24 { handle 0, param 4, value 8, value_bytes 16, pad 20 });

/// `DRM_AMDXDNA_HWCTX_CONFIG_CU`.
pub const PARAM_CONFIG_CU: u32 = 0;

/// `struct amdxdna_hwctx_param_config_cu` before its entries.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Header {
    /// Entries that follow.
    pub count: u16,
    /// Zero.
    pub pad: [u16; 3],
}

pin!(Header: 8 { count 0, pad 2 });

/// `struct amdxdna_cu_config`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    /// DEV buffer with one PDI at its start.
    pub bo: u32,
    /// Functional id: 0 for a kernel with a runtime stream.
    pub function: u8,
    /// Zero.
    pub pad: [u8; 3],
}

pin!(Entry: 8 { bo 0, function 4, pad 5 });

/// Most compute units of a context.
// SOURCE: MAX_NUM_CUS in drivers/accel/amdxdna/aie2_msg_priv.h
pub const MAX_CUS: usize = 32;

/// Configures as many units as `entries` has, at most [`MAX_CUS`].
pub(crate) fn config_cus<K: Kernel>(file: &File<K>, handle: u32, entries: &[Entry]) -> Result<(), Error> {
    assert!(entries.len() <= MAX_CUS, "{} compute units", entries.len());
    let mut value = Header { count: entries.len() as u16, pad: [0; 3] }.as_bytes().to_vec();
    value.extend_from_slice(entries.as_bytes());
    let mut layout = Layout { handle, param: PARAM_CONFIG_CU, value_bytes: value.len() as u32, ..Layout::default() };
    let units: Vec<String> = entries.iter().map(|e| format!("buffer {} function {}", e.bo, e.function)).collect();
    let arguments = format!("context {handle}, CONFIG_CU: {}", units.join(", "));
    file.call(Ioctl::ConfigHwctx, &arguments, &mut layout, &mut [Pointed::by_argument(8, &mut value)])
}
