//! Binaries of the NPU as text. The format is told by content; what no container claims is tried as a core program.

mod cdo;
mod program;
mod register_table;
mod registers;
mod txn;
mod xclbin;

use std::path::{Path, PathBuf};

use aie2_isa::IsaError;
use npu_container::Kind;
use npu_container::cdo::CdoError;
use npu_container::pdi::PdiError;
use npu_container::txn::TxnError;
use npu_container::xclbin::XclbinError;
use serde::Serialize;

/// A file as text.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// What the file is.
    pub kind: &'static str,
    /// Its size.
    pub bytes: usize,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// A part of a listing.
#[derive(Debug, Serialize)]
pub struct Section {
    /// What it is.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One command, operation, bundle or fact.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Byte offset in the container, or program counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// The text.
    pub text: String,
}

impl Line {
    fn at(at: usize, text: String) -> Self {
        Line { at: Some(at), text }
    }

    fn fact(text: String) -> Self {
        Line { at: None, text }
    }
}

/// How much of long data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// The first words and how many there are.
    Abridged,
    /// Every word.
    Full,
}

/// Why a file is not listed.
#[derive(Debug, thiserror::Error)]
pub enum DisasmError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Neither a container nor a program.
    #[error("{}: not a PDI, CDO, xclbin or TXN, and too long for a core program ({bytes} bytes, program memory has {limit})", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
        /// Size of program memory.
        limit: usize,
    },
    /// Neither a container nor a program.
    #[error("{}: not a PDI, CDO, xclbin or TXN, and no core program: nothing decodes at {at:#x}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Where decoding stopped.
        at: usize,
        /// Why.
        source: IsaError,
    },
    /// A damaged PDI, alone or in an xclbin.
    #[error("{}: damaged PDI", path.display())]
    Pdi {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: PdiError,
    },
    /// A damaged CDO.
    #[error("{}: damaged CDO", path.display())]
    Cdo {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: CdoError,
    },
    /// A damaged xclbin.
    #[error("{}: damaged xclbin", path.display())]
    Xclbin {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: XclbinError,
    },
    /// A damaged runtime stream.
    #[error("{}: damaged TXN stream", path.display())]
    Txn {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: TxnError,
    },
}

/// Lists a file.
pub fn disassemble(path: &Path, data: Data) -> Result<Listing, DisasmError> {
    let bytes = std::fs::read(path).map_err(|source| DisasmError::Read { path: path.to_owned(), source })?;
    let path = path.to_owned();
    if bytes.is_empty() {
        return Err(DisasmError::Empty { path });
    }
    let (kind, sections) = match npu_container::detect(&bytes) {
        Some(Kind::Pdi) => match npu_container::pdi::read(&bytes) {
            Ok(pdi) => ("pdi", cdo::list("", npu_container::pdi::CDO_OFFSET, &pdi.commands, data)),
            Err(source) => return Err(DisasmError::Pdi { path, source }),
        },
        Some(Kind::Cdo) => match npu_container::cdo::read(&bytes) {
            Ok(commands) => ("cdo", cdo::list("", 0, &commands, data)),
            Err(source) => return Err(DisasmError::Cdo { path, source }),
        },
        Some(Kind::Xclbin) => match npu_container::xclbin::read(&bytes) {
            Ok(file) => match xclbin::list(&file, data) {
                Ok(sections) => ("xclbin", sections),
                Err(source) => return Err(DisasmError::Pdi { path, source }),
            },
            Err(source) => return Err(DisasmError::Xclbin { path, source }),
        },
        Some(Kind::Txn) => match npu_container::txn::read(&bytes) {
            Ok(stream) => ("txn", txn::list(&stream, data)),
            Err(source) => return Err(DisasmError::Txn { path, source }),
        },
        None => ("core program", vec![raw_program(path, &bytes)?]),
    };
    Ok(Listing { kind, bytes: bytes.len(), sections })
}

/// A file without a header is a program only if every bundle of it decodes.
fn raw_program(path: PathBuf, bytes: &[u8]) -> Result<Section, DisasmError> {
    let limit = program::PROGRAM_MEMORY_BYTES;
    if bytes.len() > limit {
        return Err(DisasmError::TooLong { path, bytes: bytes.len(), limit });
    }
    let listed = program::list(bytes, 0);
    match listed.first_error {
        None => Ok(Section { title: "core program".to_owned(), lines: listed.lines }),
        Some((at, source)) => Err(DisasmError::Unknown { path, at, source }),
    }
}

/// Words of long data shown when abridged.
const ABRIDGED_WORDS: usize = 8;

/// `3 words: 00000001 00000002 00000003`.
fn words(data: &[u32], how: Data) -> String {
    let shown = match how {
        Data::Full => data.len(),
        Data::Abridged => data.len().min(ABRIDGED_WORDS),
    };
    let hex: Vec<String> = data[..shown].iter().map(|word| format!("{word:08x}")).collect();
    let rest = if shown < data.len() { " ..." } else { "" };
    let plural = if data.len() == 1 { "" } else { "s" };
    format!("{} word{plural}: {}{rest}", data.len(), hex.join(" "))
}
