//! CREATE_HWCTX: a hardware context, which owns a partition of columns.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::{Kernel, Pointed};
use crate::{BadReply, Error};

/// `struct amdxdna_drm_create_hwctx`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Zero.
    pub ext: u64,
    /// Zero.
    pub ext_flags: u64,
    /// Address of [`Qos`].
    pub qos: u64,
    /// Zero on Phoenix.
    pub umq_bo: u32,
    /// Zero on Phoenix.
    pub log_buf_bo: u32,
    /// In: operations per cycle, for the clock that meets the wishes of `qos`.
    pub max_opc: u32,
    /// In: columns × core rows.
    pub num_tiles: u32,
    /// Zero.
    pub mem_size: u32,
    /// Out; all ones on Phoenix.
    pub umq_doorbell: u32,
    /// Out.
    pub handle: u32,
    /// Out: timeline of completions, or 0.
    pub syncobj: u32,
}

pin!(Layout: 56 {
    ext 0, ext_flags 8, qos 16, umq_bo 24, log_buf_bo 28, max_opc 32, num_tiles 36, mem_size 40, umq_doorbell 44, handle 48, syncobj 52,
});

/// `struct amdxdna_qos_info` with the two fields that the out-of-tree driver reads behind it.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Qos {
    /// Giga-operations per frame.
    pub gops: u32,
    /// Frames per second.
    pub fps: u32,
    /// Not used on Phoenix.
    pub dma_bandwidth: u32,
    /// Not used on Phoenix.
    pub latency: u32,
    /// Not used on Phoenix.
    pub frame_exec_time: u32,
    /// One of [`Priority`](crate::Priority), or 0.
    pub priority: u32,
    /// `0xFF`: no column is asked for.
    pub user_start_col: u32,
    /// Zero.
    pub reserved: u32,
}

pin!(Qos: 32 {
    gops 0, fps 4, dma_bandwidth 8, latency 12, frame_exec_time 16, priority 20, user_start_col 24, reserved 28,
});

/// Bytes a driver may read at `qos`: 24 in the kernel tree, 32 out of it.
pub const QOS_BYTES: usize = size_of::<Qos>();

/// `user_start_col` of a context that may start anywhere.
pub const ANY_COLUMN: u32 = 0xFF;

/// A context the driver has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The context, not 0.
    pub handle: u32,
    /// Its timeline syncobj; `None` if the driver has none and WAIT_CMD must do.
    pub syncobj: Option<u32>,
}

pub(crate) fn create_hwctx<K: Kernel>(
    file: &File<K>,
    qos: Qos,
    num_tiles: u32,
    max_opc: u32,
) -> Result<Created, Error> {
    let mut qos = qos;
    let arguments = format!(
        "{num_tiles} tiles, max_opc {max_opc}, gops {}, fps {}, priority {:#x}",
        qos.gops, qos.fps, qos.priority
    );
    let mut layout = Layout { max_opc, num_tiles, ..Layout::default() };
    file.call(Ioctl::CreateHwctx, &arguments, &mut layout, &mut [Pointed::by_argument(16, qos.as_mut_bytes())])?;
    match layout.handle {
        0 => Err(bad(Ioctl::CreateHwctx, &arguments, BadReply::Handle { what: "context", handle: 0 })),
        handle => Ok(Created { handle, syncobj: (layout.syncobj != 0).then_some(layout.syncobj) }),
    }
}
