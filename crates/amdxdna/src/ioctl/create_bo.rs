//! CREATE_BO: a buffer object.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::{Kernel, Pointed};
use crate::{BadReply, Error};

/// `struct amdxdna_drm_create_bo`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Zero.
    pub flags: u64,
    /// Zero, or the address of a [`Table`] and its entries.
    pub vaddr: u64,
    /// In: bytes.
    pub size: u64,
    /// In: a [`Type`].
    pub kind: u32,
    /// Out.
    pub handle: u32,
}

pin!(Layout: 32 { flags 0, vaddr 8, size 16, kind 24, handle 28 });

/// `struct amdxdna_drm_va_tbl` before its entries.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Table {
    /// A dma-buf if there are no entries; -1 here, as PRIME_FD_TO_HANDLE imports.
    pub dmabuf_fd: i32,
    /// Entries that follow.
    pub entries: u32,
}

pin!(Table: 8 { dmabuf_fd 0, entries 4 });

/// `struct amdxdna_drm_va_entry`: a range of the caller's memory, in whole pages.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    /// Address.
    pub vaddr: u64,
    /// Bytes.
    pub bytes: u64,
}

pin!(Entry: 16 { vaddr 0, bytes 8 });

/// Bytes of an [`Entry`].
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// `enum amdxdna_bo_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Type {
    /// Host memory the NPU may reach.
    Shmem = 1,
    /// The memory that DEV buffers are cut from.
    DevHeap = 2,
    /// A range of the heap: PDIs and instruction streams.
    Dev = 3,
    /// A command packet, read and written by the kernel.
    Cmd = 4,
}

/// A buffer object of the driver's own memory; its handle, not 0.
pub(crate) fn create_bo<K: Kernel>(file: &File<K>, kind: Type, bytes: u64) -> Result<u32, Error> {
    create(file, kind, bytes, &mut [], &format_args!("{kind:?}, {bytes} bytes"))
}

/// A SHMEM buffer over the caller's pages from `address`, which must stay mapped while the object lives.
pub(crate) fn create_user_bo<K: Kernel>(file: &File<K>, address: u64, bytes: u64) -> Result<u32, Error> {
    let mut table = Table { dmabuf_fd: -1, entries: 1 }.as_bytes().to_vec();
    table.extend_from_slice(Entry { vaddr: address, bytes }.as_bytes());
    let arguments = format_args!("Shmem over {bytes} bytes of user memory");
    create(file, Type::Shmem, bytes, &mut [Pointed::by_argument(8, &mut table)], &arguments)
}

fn create<K: Kernel>(
    file: &File<K>,
    kind: Type,
    size: u64,
    pointed: &mut [Pointed<'_>],
    arguments: &dyn std::fmt::Display,
) -> Result<u32, Error> {
    let mut layout = Layout { size, kind: kind as u32, ..Layout::default() };
    file.call(Ioctl::CreateBo, arguments, &mut layout, pointed)?;
    match layout.handle {
        0 => Err(bad(Ioctl::CreateBo, arguments, BadReply::Handle { what: "buffer", handle: 0 })),
        handle => Ok(handle),
    }
}
