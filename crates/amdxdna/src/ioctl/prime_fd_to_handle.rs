//! PRIME_FD_TO_HANDLE: a buffer object of a dma-buf.

use super::{File, Ioctl, bad};
use crate::kernel::Kernel;
use crate::{BadReply, Error};

/// `struct drm_prime_handle`, the other way.
pub type Layout = super::prime_handle_to_fd::Layout;

/// The handle. One that this file has already, for the same memory, is returned again and must be closed once only.
pub(crate) fn prime_fd_to_handle<K: Kernel>(file: &File<K>, fd: &K::Fd) -> Result<u32, Error> {
    let fd = file.kernel.number(fd);
    let mut layout = Layout { handle: 0, flags: 0, fd };
    let arguments = format_args!("fd {fd}");
    file.call(Ioctl::PrimeFdToHandle, &arguments, &mut layout, &mut [])?;
    match layout.handle {
        0 => Err(bad(Ioctl::PrimeFdToHandle, &arguments, BadReply::Handle { what: "buffer", handle: 0 })),
        handle => Ok(handle),
    }
}
