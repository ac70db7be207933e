//! GET_ARRAY: elements of one size, as many as fit.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, bad, pin};
use crate::kernel::{Kernel, Pointed};
use crate::{BadReply, Error};

/// `struct amdxdna_drm_get_array`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// In: what is asked.
    pub param: u32,
    /// In: size the caller knows; out: size the driver used.
    pub element_bytes: u32,
    /// In: capacity; out: elements.
    pub elements: u32,
    /// Zero.
    pub pad: u32,
    /// Address.
    pub buffer: u64,
}

pin!(Layout: 24 { param 0, element_bytes 4, elements 8, pad 12, buffer 16 });

/// What a driver has filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Bytes of an element, at most what was asked for and not 0.
    pub element_bytes: usize,
    /// Elements; all of them fit into what was given.
    pub elements: usize,
}

/// Asks for `param` in elements of `element_bytes`; `buffer` is a whole number of them, and not empty.
pub(crate) fn get_array<K: Kernel>(
    file: &File<K>,
    param: u32,
    name: &str,
    element_bytes: usize,
    buffer: &mut [u8],
) -> Result<Filled, Error> {
    assert!(
        !buffer.is_empty() && buffer.len().is_multiple_of(element_bytes),
        "{} bytes of {element_bytes}",
        buffer.len()
    );
    let (buffer_bytes, capacity) = (buffer.len(), buffer.len() / element_bytes);
    let mut layout =
        Layout { param, element_bytes: element_bytes as u32, elements: capacity as u32, ..Layout::default() };
    file.call(Ioctl::GetArray, &name, &mut layout, &mut [Pointed::by_argument(16, buffer)])?;
    let filled = Filled { element_bytes: layout.element_bytes as usize, elements: layout.elements as usize };
    // A driver with a smaller element puts more of them into the same bytes.
    let limits = [
        ("element", filled.element_bytes, element_bytes),
        ("array", filled.element_bytes.saturating_mul(filled.elements), buffer_bytes),
    ];
    for (what, got, limit) in limits {
        if got > limit {
            return Err(bad(Ioctl::GetArray, &name, BadReply::Length { what, bytes: got as u64, limit: limit as u64 }));
        }
    }
    if filled.element_bytes == 0 && filled.elements > 0 {
        return Err(bad(Ioctl::GetArray, &name, BadReply::Short { what: "element", bytes: 0, needed: 1 }));
    }
    Ok(filled)
}
