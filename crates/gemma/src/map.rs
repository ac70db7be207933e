//! Memory mapping of checkpoint files: the only `unsafe` of this crate.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a whole file for reading.
#[allow(unsafe_code)]
pub(crate) fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and read-only, and is only ever seen as `&[u8]`, for which every bit pattern is
    // valid. What the language cannot rule out is another process changing or truncating the file meanwhile: changed
    // bytes are caught by the digests taken over what was written, and a truncated file ends the process with SIGBUS,
    // which leaves no output because outputs are renamed into place last.
    unsafe { Mmap::map(file) }
}
