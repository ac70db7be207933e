//! The ioctls, one file each: layout, request number, what goes in and what comes out.
//!
//! A layout is pinned to literals by assertions at compile time, a request number by a test against the table below.

pub mod config_hwctx;
pub mod create_bo;
pub mod create_hwctx;
pub mod destroy_hwctx;
pub mod exec_cmd;
pub mod gem_close;
pub mod get_array;
pub mod get_bo_info;
pub mod get_cap;
pub mod get_info;
pub mod prime_fd_to_handle;
pub mod prime_handle_to_fd;
pub mod set_state;
pub mod sync_bo;
pub mod syncobj_destroy;
pub mod syncobj_timeline_wait;
pub mod version;
pub mod wait_cmd;

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Error;
use crate::kernel::{Call, Holder, Kernel, Pointed};
use crate::{BadReply, Errno};

/// Direction bits of a request number.
#[derive(Clone, Copy)]
enum Direction {
    Write = 1,
    ReadWrite = 3,
}

macro_rules! ioctls {
    ($($name:ident $direction:ident $number:literal $layout:ty, $text:literal;)*) => {
        /// An ioctl this crate uses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Ioctl {
            $(#[doc = $text] $name,)*
        }

        impl Ioctl {
            /// Every ioctl, in the order of the table.
            pub const ALL: &'static [Ioctl] = &[$(Ioctl::$name),*];

            /// The request number.
            pub const fn request(self) -> u32 {
                match self {
                    $(Ioctl::$name => request(Direction::$direction, $number, size_of::<$layout>()),)*
                }
            }

            /// Length of the argument structure in bytes.
            pub const fn argument_bytes(self) -> usize {
                match self {
                    $(Ioctl::$name => size_of::<$layout>(),)*
                }
            }

            /// The name in capitals, as the kernel's header spells it behind its prefix.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Ioctl::$name => $text,)*
                }
            }
        }
    };
}

// SOURCE: include/uapi/drm/drm.h and amdxdna_accel.h; the driver's own numbers start at 0x40
ioctls! {
    Version             ReadWrite 0x00 version::Layout,               "VERSION";
    GemClose            Write     0x09 gem_close::Layout,             "GEM_CLOSE";
    GetCap              ReadWrite 0x0C get_cap::Layout,               "GET_CAP";
    PrimeHandleToFd     ReadWrite 0x2D prime_handle_to_fd::Layout,    "PRIME_HANDLE_TO_FD";
    PrimeFdToHandle     ReadWrite 0x2E prime_fd_to_handle::Layout,    "PRIME_FD_TO_HANDLE";
    CreateHwctx         ReadWrite 0x40 create_hwctx::Layout,          "CREATE_HWCTX";
    DestroyHwctx        ReadWrite 0x41 destroy_hwctx::Layout,         "DESTROY_HWCTX";
    ConfigHwctx         ReadWrite 0x42 config_hwctx::Layout,          "CONFIG_HWCTX";
    CreateBo            ReadWrite 0x43 create_bo::Layout,             "CREATE_BO";
    GetBoInfo           ReadWrite 0x44 get_bo_info::Layout,           "GET_BO_INFO";
    SyncBo              ReadWrite 0x45 sync_bo::Layout,               "SYNC_BO";
    ExecCmd             ReadWrite 0x46 exec_cmd::Layout,              "EXEC_CMD";
    GetInfo             ReadWrite 0x47 get_info::Layout,              "GET_INFO";
    SetState            ReadWrite 0x48 set_state::Layout,             "SET_STATE";
    WaitCmd             Write     0x49 wait_cmd::Layout,              "WAIT_CMD";
    GetArray            ReadWrite 0x4A get_array::Layout,             "GET_ARRAY";
    SyncobjDestroy      ReadWrite 0xC0 syncobj_destroy::Layout,       "SYNCOBJ_DESTROY";
    SyncobjTimelineWait ReadWrite 0xCA syncobj_timeline_wait::Layout, "SYNCOBJ_TIMELINE_WAIT";
}

/// The number of a DRM request: direction 31:30, argument bytes 29:16, type 15:8, number 7:0.
const fn request(direction: Direction, number: u32, bytes: usize) -> u32 {
    assert!(bytes < 1 << 14);
    (direction as u32) << 30 | (bytes as u32) << 16 | (b'd' as u32) << 8 | number
}

impl Ioctl {
    /// The ioctl with this request number.
    pub fn of_request(request: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|ioctl| ioctl.request() == request)
    }
}

impl fmt::Display for Ioctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An address field of an argument and the bytes the kernel may touch behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Who holds the address.
    pub holder: Holder,
    /// Byte offset of the address in its holder.
    pub at: usize,
    /// Bytes the kernel may read or write there; 0 if it does not look.
    pub bytes: usize,
}

/// Every address field of `argument`, with the length that its other fields promise; `None` if a field is missing or a length is beyond
/// the address space.
pub(crate) fn extents(ioctl: Ioctl, argument: &[u8], pointed: &[&[u8]]) -> Option<Vec<Extent>> {
    let word = |at: usize| u32_at(argument, at).map(|v| v as usize);
    let long = |at: usize| u64_at(argument, at).and_then(|v| usize::try_from(v).ok());
    let of_argument = |at, bytes| Extent { holder: Holder::Argument, at, bytes };
    Some(match ioctl {
        Ioctl::Version => {
            vec![of_argument(24, long(16)?), of_argument(40, long(32)?), of_argument(56, long(48)?)]
        }
        Ioctl::CreateHwctx => vec![of_argument(16, create_hwctx::QOS_BYTES)],
        Ioctl::ConfigHwctx => {
            vec![of_argument(8, if word(4)? == config_hwctx::PARAM_CONFIG_CU as usize { word(16)? } else { 0 })]
        }
        Ioctl::CreateBo => {
            // The table's own header says how many entries follow. Without memory behind it the field is 0 and there is no table.
            let table = pointed.first().map(|table| u32_at(table, 4));
            let bytes = match table {
                None => 0,
                Some(entries) => (entries? as usize).checked_mul(create_bo::ENTRY_BYTES)?.checked_add(8)?,
            };
            vec![of_argument(8, bytes)]
        }
        Ioctl::ExecCmd => {
            if word(40)? != 1 {
                return None;
            }
            vec![of_argument(32, word(44)?.checked_mul(4)?)]
        }
        Ioctl::GetInfo | Ioctl::SetState => {
            let mut extents = vec![of_argument(8, word(4)?)];
            if ioctl == Ioctl::GetInfo && word(0)? == get_info::PARAM_AIE_STATUS as usize {
                let status = *pointed.first()?;
                let bytes = u32_at(status, 8)? as usize;
                extents.push(Extent { holder: Holder::Pointed(0), at: 0, bytes });
            }
            extents
        }
        Ioctl::GetArray => vec![of_argument(16, word(4)?.checked_mul(word(8)?)?)],
        Ioctl::SyncobjTimelineWait => {
            let count = word(24)?;
            vec![of_argument(0, count.checked_mul(4)?), of_argument(8, count.checked_mul(8)?)]
        }
        Ioctl::GemClose
        | Ioctl::GetCap
        | Ioctl::PrimeHandleToFd
        | Ioctl::PrimeFdToHandle
        | Ioctl::DestroyHwctx
        | Ioctl::GetBoInfo
        | Ioctl::SyncBo
        | Ioctl::WaitCmd
        | Ioctl::SyncobjDestroy => Vec::new(),
    })
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// An open node of the driver and the kernel behind it.
#[derive(Debug)]
pub(crate) struct File<K: Kernel> {
    pub kernel: K,
    pub fd: K::Fd,
}

/// Signals that may interrupt one call before it counts as failed: a caller that polls a flag between calls must get its turn.
const INTERRUPTIONS: usize = 1000;

impl<K: Kernel> File<K> {
    /// Does `ioctl` once; the errno is the caller's to judge.
    pub(crate) fn try_call<L: IntoBytes + FromBytes>(
        &self,
        ioctl: Ioctl,
        layout: &mut L,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), Errno> {
        self.kernel.ioctl(&self.fd, &mut Call { request: ioctl.request(), argument: layout.as_mut_bytes(), pointed })
    }

    /// Does `ioctl`, again if a signal interrupted it. `arguments` says in an error what was asked.
    pub(crate) fn call<L: IntoBytes + FromBytes + Immutable + Clone>(
        &self,
        ioctl: Ioctl,
        arguments: &dyn fmt::Display,
        layout: &mut L,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), Error> {
        let asked = layout.clone();
        for _ in 0..INTERRUPTIONS {
            match self.try_call(ioctl, layout, pointed) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => *layout = asked.clone(),
                Err(errno) => return Err(Error::ioctl(ioctl, arguments, errno)),
            }
        }
        Err(Error::ioctl(ioctl, arguments, Errno::EINTR))
    }
}

/// An answer of the kernel that cannot be true.
pub(crate) fn bad(ioctl: Ioctl, arguments: &dyn fmt::Display, problem: BadReply) -> Error {
    Error::Reply { ioctl, arguments: arguments.to_string(), problem }
}

/// Pins the layout of a structure: its size, and the offset of each field.
macro_rules! pin {
    ($layout:ty: $size:literal { $($field:ident $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$layout>() == $size);
            $(assert!(std::mem::offset_of!($layout, $field) == $offset);)*
        };
    };
}
pub(crate) use pin;

#[cfg(test)]
mod tests {
    use super::*;

    // SOURCE: sizes and numbers printed by a C program over the kernel's headers
    const PINNED: &[(Ioctl, u32, usize)] = &[
        (Ioctl::Version, 0xC040_6400, 64),
        (Ioctl::GemClose, 0x4008_6409, 8),
        (Ioctl::GetCap, 0xC010_640C, 16),
        (Ioctl::PrimeHandleToFd, 0xC00C_642D, 12),
        (Ioctl::PrimeFdToHandle, 0xC00C_642E, 12),
        (Ioctl::CreateHwctx, 0xC038_6440, 56),
        (Ioctl::DestroyHwctx, 0xC008_6441, 8),
        (Ioctl::ConfigHwctx, 0xC018_6442, 24),
        (Ioctl::CreateBo, 0xC020_6443, 32),
        (Ioctl::GetBoInfo, 0xC030_6444, 48),
        (Ioctl::SyncBo, 0xC018_6445, 24),
        (Ioctl::ExecCmd, 0xC038_6446, 56),
        (Ioctl::GetInfo, 0xC010_6447, 16),
        (Ioctl::SetState, 0xC010_6448, 16),
        (Ioctl::WaitCmd, 0x4010_6449, 16),
        (Ioctl::GetArray, 0xC018_644A, 24),
        (Ioctl::SyncobjDestroy, 0xC008_64C0, 8),
        (Ioctl::SyncobjTimelineWait, 0xC028_64CA, 40),
    ];

    #[test]
    fn requests_are_the_kernels() {
        assert_eq!(PINNED.iter().map(|&(ioctl, ..)| ioctl).collect::<Vec<_>>(), Ioctl::ALL);
        for &(ioctl, request, bytes) in PINNED {
            assert_eq!(ioctl.request(), request, "{ioctl}");
            assert_eq!(ioctl.argument_bytes(), bytes, "{ioctl}");
            assert_eq!(Ioctl::of_request(request), Some(ioctl));
        }
        assert_eq!(Ioctl::of_request(0xC010_6449), None);
    }
}
