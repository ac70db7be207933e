//! Errors of packages and packed models.

use std::path::{Path, PathBuf};

use npu_container::pdi::PdiError;
use npu_container::txn::TxnError;
use npu_container::xclbin::XclbinError;

use crate::layout::LayoutError;
use crate::manifest::{Context, Layer};

/// The two directories this crate reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind {
    /// Kernels, described by `manifest.json`.
    Kernels,
    /// Weights, described by `packed.json`.
    Weights,
}

impl std::fmt::Display for PackageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PackageKind::Kernels => "kernel package",
            PackageKind::Weights => "packed model",
        })
    }
}

/// What is wrong with a part of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// It does not begin at a multiple of [`crate::PART_ALIGN`].
    #[error("it begins at byte {offset}, no multiple of {}", crate::PART_ALIGN)]
    Unaligned {
        /// Where it begins.
        offset: u64,
    },
    /// It begins before the end of the part in front of it.
    #[error("it begins at byte {offset}, and the part in front of it ends at {end}")]
    Overlap {
        /// Where it begins.
        offset: u64,
        /// Where the other ends.
        end: u64,
    },
    /// It leaves the buffer.
    #[error("{bytes} bytes at {offset} leave a buffer of {buffer}")]
    Outside {
        /// Where it begins.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// Size of the buffer.
        buffer: u64,
    },
    /// Another operand of the kernel has its name.
    #[error("another operand has this name")]
    Name,
    /// The whole buffer has contents from a file.
    #[error("the buffer has a file of its own")]
    File,
}

/// Why a package cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The path is not a directory with the describing file.
    #[error("{} is not a {kind}: it has no {}", path.display(), file)]
    NotAPackage {
        /// The directory.
        path: PathBuf,
        /// What was expected there.
        kind: PackageKind,
        /// The describing file that is missing.
        file: &'static str,
    },
    /// The describing file has another format version.
    #[error("{} has format version {found}, this bennu reads version {supported}", path.display())]
    Version {
        /// The describing file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version read here.
        supported: u32,
    },
    /// The describing file is not the JSON expected.
    #[error("{}: {source}", path.display())]
    Json {
        /// The describing file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A file name that would leave the directory or hide in it.
    #[error("file name {name:?} is not a plain name of ASCII letters, digits, '.', '_' and '-'")]
    FileName {
        /// The name.
        name: String,
    },
    /// Two files with one name.
    #[error("file {name:?} was already added")]
    DuplicateFile {
        /// The name.
        name: String,
    },
    /// A kernel names a file that the package does not list.
    #[error("kernel {kernel:?} names file {name:?}, which the package does not contain")]
    UnlistedFile {
        /// The kernel.
        kernel: String,
        /// The file.
        name: String,
    },
    /// The contents of a buffer are not as long as the buffer.
    #[error("{name} has {found} bytes, its buffer {bytes}")]
    ArgumentFile {
        /// The file.
        name: String,
        /// Its size.
        found: u64,
        /// Size of the buffer.
        bytes: u64,
    },
    /// Two kernels with one name and sequence length, for the same layer and history.
    #[error("kernel {kernel:?} for sequence length {seq} is listed twice")]
    DuplicateKernel {
        /// The kernel.
        kernel: String,
        /// Its sequence length.
        seq: usize,
    },
    /// The arguments of a kernel are not numbered in call order.
    #[error("kernel {kernel:?} lists argument {index} at position {position}")]
    ArgumentIndex {
        /// The kernel.
        kernel: String,
        /// Position in the list.
        position: usize,
        /// Index found there.
        index: usize,
    },
    /// A part of a buffer lies where it cannot.
    #[error("kernel {kernel:?}, argument {argument:?}, part {part:?}: {fault}")]
    Part {
        /// The kernel.
        kernel: String,
        /// The buffer.
        argument: String,
        /// The part.
        part: String,
        /// Why.
        fault: PartFault,
    },
    /// A file that the package lists is not there.
    #[error("{} lacks file {name:?}", package.display())]
    MissingFile {
        /// The package.
        package: PathBuf,
        /// The file.
        name: String,
    },
    /// A file has another size than listed.
    #[error("file {name:?} has {found_bytes} bytes, the package lists {listed_bytes}")]
    FileSize {
        /// The file.
        name: String,
        /// Its size.
        found_bytes: u64,
        /// The size listed.
        listed_bytes: u64,
    },
    /// A file has other contents than listed.
    #[error("file {name:?} has SHA-256 {found}, the package lists {listed}")]
    Digest {
        /// The file.
        name: String,
        /// Digest of its contents.
        found: String,
        /// The digest listed.
        listed: String,
    },
    /// A file listed as a kernel's PDI is not one.
    #[error("PDI {name:?}: {source}")]
    Pdi {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: PdiError,
    },
    /// A file listed as a kernel's runtime stream is not one.
    #[error("runtime stream {name:?}: {source}")]
    Txn {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: TxnError,
    },
    /// A file listed as a kernel's xclbin is not one.
    #[error("xclbin {name:?}: {source}")]
    Xclbin {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: XclbinError,
    },
    /// An xclbin carries another PDI than the one beside it.
    #[error("xclbin {name:?} does not carry the kernel's PDI {pdi:?}")]
    XclbinPdi {
        /// The xclbin.
        name: String,
        /// The PDI file.
        pdi: String,
    },
    /// A runtime stream has another length than listed.
    #[error("runtime stream {name:?} has {found_bytes} bytes, the kernel lists {listed_words} words")]
    InstructionWords {
        /// The file.
        name: String,
        /// Its size.
        found_bytes: usize,
        /// Words listed.
        listed_words: usize,
    },
    /// The package has no kernel of this name and sequence length.
    #[error("no kernel {kernel:?} for sequence length {seq}; the package has {available:?}")]
    NoKernel {
        /// Name asked for.
        kernel: String,
        /// Sequence length asked for.
        seq: usize,
        /// Names and sequence lengths present.
        available: Vec<(String, usize)>,
    },
    /// The package has the kernel for this sequence length, but not for this layer and history.
    #[error(
        "no kernel {kernel:?} for sequence length {seq}, {} layers and a history of {history}; the package has {}",
        layer.name(),
        places(available)
    )]
    NoContext {
        /// Name asked for.
        kernel: String,
        /// Sequence length asked for.
        seq: usize,
        /// Kind of layer asked for.
        layer: Layer,
        /// History asked for.
        history: usize,
        /// Those that are there for this length.
        available: Vec<Context>,
    },
    /// The packed model has no such layer.
    #[error("the packed model has no layer {layer} (it has {present} of the model's {layers})")]
    NoLayer {
        /// Layer asked for.
        layer: usize,
        /// Layers present.
        present: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A description that does not give every layer a kind.
    #[error("the description tells the kind of {kinds} layers, the model has {layers}")]
    LayerKinds {
        /// Kinds listed.
        kinds: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A layer was written twice.
    #[error("the {file} file of layer {layer} was already written")]
    DuplicateLayer {
        /// The layer.
        layer: usize,
        /// Which of its files.
        file: &'static str,
    },
    /// A layer of a packed model lacks a file.
    #[error("layer {layer} has no {file} file")]
    LayerIncomplete {
        /// The layer.
        layer: usize,
        /// Which of its files.
        file: &'static str,
    },
    /// A layer file has another size than the model's layout.
    #[error("the {file} file of layer {layer} has {found_bytes} bytes, the layout of the model has {layout_bytes}")]
    LayerSize {
        /// The layer.
        layer: usize,
        /// Which of its files.
        file: &'static str,
        /// Bytes of its file.
        found_bytes: u64,
        /// Bytes of its layout.
        layout_bytes: u64,
    },
    /// Weights in a number scheme that has no layout.
    #[error("weights in scheme {found:?}; there are layouts for {}", accepted.join(", "))]
    Scheme {
        /// The scheme.
        found: String,
        /// Those that have one.
        accepted: Vec<&'static str>,
    },
    /// The model's dimensions do not fit the layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The output exists and overwriting was not asked for.
    #[error("{} exists", path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// The output exists and is something else, which is never replaced.
    #[error("{} exists and is not a {kind}; it is not replaced", path.display())]
    OutputForeign {
        /// The output.
        path: PathBuf,
        /// What may be replaced.
        kind: PackageKind,
    },
    /// The output path has no last component to write at.
    #[error("{:?} names no directory to write", path)]
    OutputPath {
        /// The output.
        path: PathBuf,
    },
    /// No space is left, or the quota is used up.
    #[error("no space left to write {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file system is read-only.
    #[error("cannot write {}: the file system is read-only", path.display())]
    ReadOnly {
        /// What was being written.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Permission denied.
    #[error("no permission for {}", path.display())]
    Permission {
        /// What was being accessed.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being accessed.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl PackageError {
    /// The variant for an I/O error at `path`.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            std::io::ErrorKind::PermissionDenied => Self::Permission { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// Layers and histories in words.
fn places(contexts: &[Context]) -> String {
    let place = |at: &Context| format!("{} {}", at.layer.name(), at.history);
    contexts.iter().map(place).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn failures_of_the_file_system_keep_their_meaning_and_place() {
        let at = Path::new("/somewhere/package");
        let map = |kind: ErrorKind| PackageError::io(at, kind.into());
        assert!(matches!(map(ErrorKind::StorageFull), PackageError::DiskFull { path, .. } if path == at));
        assert!(matches!(map(ErrorKind::QuotaExceeded), PackageError::DiskFull { path, .. } if path == at));
        assert!(matches!(map(ErrorKind::ReadOnlyFilesystem), PackageError::ReadOnly { path, .. } if path == at));
        assert!(matches!(map(ErrorKind::PermissionDenied), PackageError::Permission { path, .. } if path == at));
        assert!(matches!(map(ErrorKind::BrokenPipe), PackageError::Io { path, .. } if path == at));
    }
}
