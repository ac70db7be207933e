//! xclbin (axlf): the container in which XRT takes a kernel.

/// The first eight bytes.
pub const MAGIC: &[u8; 8] = b"xclbin2\0";
