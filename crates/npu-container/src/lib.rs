//! Binary containers of the Phoenix NPU: PDI with CDO v2, TXN 0.1, xclbin and core programs as ELF.
//!
//! Each format has its definitions, a reader and a writer side by side. A writer first reserves every
//! range and then fills it, so lengths, counts and checksums are computed and never passed in; its output
//! depends on nothing but its arguments. A reader accepts exactly what the NPU's loader or interpreter is
//! known to accept, never panics, and names each way a file can be wrong together with the offending value
//! and its place.
//!
//! Everything is little-endian; a *word* is 32 bits.
//!
//! | module | container | who consumes it |
//! |---|---|---|
//! | [`cdo`] | configuration commands | the loader, wrapped in a PDI |
//! | [`pdi`] | one image with one CDO | the kernel driver, as a compute-unit buffer |
//! | [`txn`] | runtime stream | the firmware's interpreter, once per command |
//! | [`xclbin`] | one kernel with its PDI | XRT |
//! | [`elf`] | one core program; writer only | aie-rt's loader, in MLIR-AIE |
#![forbid(unsafe_code)]

pub mod address;
pub mod cdo;
pub mod elf;
pub mod pdi;
pub mod txn;
mod words;
pub mod xclbin;

/// A container told apart by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Programmable device image.
    Pdi,
    /// A bare CDO, without the PDI around it.
    Cdo,
    /// An XRT container (axlf).
    Xclbin,
    /// A runtime stream, version 0.1.
    Txn,
}

/// Names the container that `bytes` begins with; `None` if it is none of ours.
///
/// Looks at the fixed leading words only, so a truncated or damaged file is still recognised and its
/// reader can say what is wrong with it.
pub fn detect(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(xclbin::MAGIC) {
        return Some(Kind::Xclbin);
    }
    let first = words::word_at(bytes, 0)?;
    let second = words::word_at(bytes, 4)?;
    if first == pdi::WIDTH_DETECTION[0] && second == pdi::WIDTH_DETECTION[1] {
        return Some(Kind::Pdi);
    }
    if first == cdo::HEADER_WORDS_AFTER_FIRST && second == cdo::IDENTIFICATION {
        return Some(Kind::Cdo);
    }
    let [major, minor, _generation, rows] = first.to_le_bytes();
    let [_columns, memory_tile_rows, pad_low, pad_high] = second.to_le_bytes();
    let is_txn = (major, minor) == (txn::VERSION_MAJOR, txn::VERSION_MINOR)
        && rows == txn::NPU1_ROWS
        && memory_tile_rows == txn::NPU1_MEMORY_TILE_ROWS
        && (pad_low, pad_high) == (0, 0);
    is_txn.then_some(Kind::Txn)
}
