//! Every way a checkpoint can be refused. A variant carries what was asked, the limit and the place;
//! [`Error::remedy`] says what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

use npu_package::PackageError;

use crate::shape::Shape;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a checkpoint, a conversion or a pack was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path does not exist.
    #[error("{}: no such file or directory", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },

    /// The operating system refused to open, read or list a path.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// Verb of the attempt ("read", "open", ...).
        doing: &'static str,
        /// Place.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },

    /// A directory without anything that looks like a checkpoint.
    #[error("{}: no safetensors file in this directory", path.display())]
    NoCheckpoint {
        /// The directory.
        path: PathBuf,
    },

    /// Several safetensors files and nothing that says which belong together.
    #[error("{}: {} safetensors files ({}) and no index to say which belong together", path.display(), files.len(), files.join(", "))]
    AmbiguousCheckpoint {
        /// The directory.
        path: PathBuf,
        /// Their names.
        files: Vec<String>,
    },

    /// One shard of many was given in place of the checkpoint.
    #[error("{}: this is shard {shard} of {shards}, not a whole checkpoint", path.display())]
    OneShard {
        /// The file.
        path: PathBuf,
        /// Its number.
        shard: u32,
        /// How many there are.
        shards: u32,
    },

    /// The file is of another format.
    #[error("{}: {format} is not read; bennu reads safetensors", path.display())]
    ForeignFormat {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: &'static str,
    },

    /// A safetensors file that is shorter (or longer) than its header says.
    #[error("{}: truncated or damaged safetensors: the header accounts for {expected_bytes} bytes, the file has {found_bytes}", path.display())]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Length by the header.
        expected_bytes: u64,
        /// Length on disk.
        found_bytes: u64,
    },

    /// The safetensors header cannot be understood.
    #[error("{}: not a valid safetensors header", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },

    /// The header is larger than the format allows.
    #[error("{}: not a safetensors file: its first 8 bytes claim a header of {claimed_bytes} bytes, the limit is {limit_bytes}", path.display())]
    HeaderTooLarge {
        /// The file.
        path: PathBuf,
        /// Claimed header length.
        claimed_bytes: u64,
        /// Longest header accepted.
        limit_bytes: u64,
    },

    /// The index file is not what it should be.
    #[error("{}: not a valid safetensors index", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },

    /// The index names a file in a way that leaves the directory.
    #[error("{}: tensor {tensor} is mapped to {file:?}, which is not a plain file name", path.display())]
    IndexPath {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What stands there.
        file: String,
    },

    /// The index and the shards disagree about where a tensor lives.
    #[error("{}: the index puts tensor {tensor} into {indexed}, but it is in {found}", path.display())]
    IndexContradiction {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// File by the index ("no file" if unlisted).
        indexed: String,
        /// File that holds it ("no file" if absent).
        found: String,
    },

    /// The same tensor in two files.
    #[error("tensor {tensor} is both in {} and in {}", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },

    /// There is no config.json and the shapes fit no published Gemma 3.
    #[error("{}: config.json is missing, and hidden size {hidden} with {layers} layers is no published Gemma 3", path.display())]
    NoConfig {
        /// Where it was looked for.
        path: PathBuf,
        /// Hidden size by the tensors.
        hidden: usize,
        /// Layers by the tensors.
        layers: usize,
    },

    /// config.json is not JSON of the expected types.
    #[error("{}: not a valid model configuration", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },

    /// config.json asks for something bennu does not do, or makes no sense.
    #[error("{}: {field} is {found}; {rule}", path.display())]
    ConfigValue {
        /// The file.
        path: PathBuf,
        /// JSON path of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is required.
        rule: &'static str,
    },

    /// No tensor of the checkpoint has a name of a Gemma 3 text model.
    #[error("{}: no tensor is named as in a Gemma 3 text model (first name here: {first})", path.display())]
    NotGemma {
        /// The checkpoint.
        path: PathBuf,
        /// A name that is there.
        first: String,
    },

    /// Two spellings of the text prefix in one checkpoint.
    #[error("{}: text tensors under two prefixes, {first:?} and {second:?}", path.display())]
    TwoPrefixes {
        /// The checkpoint.
        path: PathBuf,
        /// One prefix.
        first: &'static str,
        /// The other.
        second: &'static str,
    },

    /// A tensor that config.json implies is absent.
    #[error("{}: tensor {tensor} is missing; {why}", path.display())]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// Its full name.
        tensor: String,
        /// What implies it.
        why: String,
    },

    /// A tensor inside a layer whose meaning is not known here.
    #[error("{}: tensor {tensor} ({dtype} {shape}) is inside a layer and has no meaning bennu knows", file.display())]
    UnknownTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Box<str>,
        /// Its shape.
        shape: Shape,
    },

    /// The tensors contradict config.json.
    #[error("{} contradicts its tensors in {} place{}; first: {}", config.display(), all.len(), if all.len() == 1 { "" } else { "s" }, all[0])]
    Contradiction {
        /// config.json.
        config: PathBuf,
        /// Every mismatch found; at least one.
        all: Vec<Mismatch>,
    },

    /// A quantisation method that is known and not read.
    #[error("{}: quantisation {scheme} is not read: tensor {tensor} is {dtype} {shape}", file.display())]
    UnsupportedScheme {
        /// Name of the scheme.
        scheme: Box<str>,
        /// File of the witness.
        file: PathBuf,
        /// A tensor that shows it.
        tensor: String,
        /// Its element type.
        dtype: Box<str>,
        /// Its shape.
        shape: Shape,
    },

    /// config.json declares a variant of a known scheme that is not read.
    #[error("{}: quantization_config: {field} is {found}; bennu reads {accepted}", config.display())]
    SchemeVariant {
        /// config.json.
        config: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        accepted: &'static str,
    },

    /// Declared scheme and tensors do not fit together.
    #[error("{}: tensor {tensor} is {dtype} {shape}; {rule}", file.display())]
    TensorRule {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Box<str>,
        /// Its shape.
        shape: Shape,
        /// What is required of it.
        rule: Box<str>,
    },

    /// NaN, infinity, zero or a negative number where a scale should be.
    #[error("{}: tensor {tensor}, row {row}: scale is {value}; a scale is finite and positive", file.display())]
    BadScale {
        /// The file.
        file: PathBuf,
        /// The scale tensor.
        tensor: String,
        /// Row of the weight it belongs to.
        row: usize,
        /// What stands there.
        value: f32,
    },

    /// NaN or infinity in a weight that was to be quantised.
    #[error("{}: tensor {tensor}, row {row}, column {column}: weight is {value} and cannot be quantised", file.display())]
    BadWeight {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f32,
    },

    /// Quantising something already quantised.
    #[error("{}: already quantised ({scheme})", path.display())]
    AlreadyQuantised {
        /// The checkpoint.
        path: PathBuf,
        /// As what.
        scheme: String,
    },

    /// Packing something that is not quantised.
    #[error("{}: weights are not quantised: tensor {tensor} is {dtype} {shape}", file.display())]
    NotQuantised {
        /// The file.
        file: PathBuf,
        /// A witness.
        tensor: String,
        /// Its element type.
        dtype: Box<str>,
        /// Its shape.
        shape: Shape,
    },

    /// A projection the kernel's tiling cannot cover.
    #[error("{}: tensor {tensor} has {axis} = {found}; the kernel needs a multiple of {multiple}", file.display())]
    NotTileable {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// "K (inputs)" or "N (outputs)".
        axis: &'static str,
        /// Its size.
        found: usize,
        /// The tile.
        multiple: usize,
    },

    /// The packed model could not be laid out, written or read back.
    #[error(transparent)]
    Package(#[from] PackageError),

    /// Something is already where the output should go.
    #[error("{}: already exists", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },

    /// Source and destination are the same directory.
    #[error("{}: source and destination are the same directory", path.display())]
    OntoItself {
        /// The directory.
        path: PathBuf,
    },

    /// The output is not a directory.
    #[error("{}: the output must be a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },

    /// The destination cannot be written.
    #[error("{}: cannot be written ({source})", path.display())]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },

    /// No room left.
    #[error("{}: no space left for {needed_bytes} bytes ({source})", path.display())]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// Its full size.
        needed_bytes: u64,
        /// Cause.
        source: io::Error,
    },

    /// The caller asked to stop.
    #[error("interrupted; nothing was written to {}", path.display())]
    Cancelled {
        /// The destination.
        path: PathBuf,
    },
}

/// One place where config.json and a tensor disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tensor {tensor} in {file} is {found}, config.json implies {expected} ({why})")]
pub struct Mismatch {
    /// The tensor.
    pub tensor: String,
    /// Its file name.
    pub file: String,
    /// Its shape.
    pub found: Shape,
    /// The shape the configuration implies.
    pub expected: Shape,
    /// The fields it follows from.
    pub why: &'static str,
}

impl Error {
    /// What the user can do about it, in one line.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Error::Missing { .. } => "check the path",
            Error::NoCheckpoint { .. } | Error::NoConfig { .. } => {
                "give the directory of a Gemma 3 checkpoint (config.json beside *.safetensors)"
            }
            Error::AmbiguousCheckpoint { .. } => "name one file, or add model.safetensors.index.json",
            Error::OneShard { .. } => "give the directory or model.safetensors.index.json instead",
            Error::ForeignFormat { .. } => "use the safetensors release of the same model",
            Error::WrongLength { .. } | Error::Header { .. } | Error::HeaderTooLarge { .. } => {
                "download or copy the file again and compare its checksum"
            }
            Error::IndexContradiction { .. } | Error::DuplicateTensor { .. } => {
                "the directory mixes files of different checkpoints: start from a clean copy"
            }
            Error::Contradiction { .. } | Error::MissingTensor { .. } => {
                "use config.json and weights of the same checkpoint"
            }
            Error::UnsupportedScheme { .. } | Error::SchemeVariant { .. } | Error::UnknownTensor { .. } => {
                "start from the BF16 checkpoint and run `bennu quantize`"
            }
            Error::NotQuantised { .. } => "run `bennu quantize` first and pack its output",
            Error::AlreadyQuantised { .. } => "run `bennu pack` on it directly",
            Error::BadScale { .. } | Error::BadWeight { .. } => {
                "the checkpoint is damaged or its training diverged: obtain it again"
            }
            Error::Package(error) => return package_remedy(error),
            Error::Exists { .. } => "choose another destination, or pass --force to replace it",
            Error::OntoItself { .. } | Error::NotADirectory { .. } => "choose another destination",
            Error::ReadOnly { .. } => "choose a destination you may write to",
            Error::DiskFull { .. } => "free space or choose a destination on another disk",
            Error::Io { .. }
            | Error::Index { .. }
            | Error::IndexPath { .. }
            | Error::ConfigSyntax { .. }
            | Error::ConfigValue { .. }
            | Error::NotGemma { .. }
            | Error::TwoPrefixes { .. }
            | Error::TensorRule { .. }
            | Error::NotTileable { .. }
            | Error::Cancelled { .. } => return None,
        })
    }

    /// An error while reading `path`.
    pub(crate) fn read(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Error::Missing { path: path.to_owned() };
        }
        Error::Io { doing, path: path.to_owned(), source }
    }

    /// An error while writing `path`, whose full size would be `needed_bytes`.
    pub(crate) fn write(path: &Path, needed_bytes: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            // FileTooLarge is what a file-size limit (`ulimit -f`) answers.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::DiskFull { path, needed_bytes, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path, source },
            _ => Error::Io { doing: "write", path, source },
        }
    }
}

/// Remedies for what can go wrong while a packed model is written.
fn package_remedy(error: &PackageError) -> Option<&'static str> {
    match error {
        PackageError::OutputExists { .. } => Some("choose another destination, or pass --force to replace it"),
        PackageError::OutputForeign { .. } | PackageError::OutputPath { .. } => Some("choose another destination"),
        PackageError::DiskFull { .. } => Some("free space or choose a destination on another disk"),
        PackageError::ReadOnly { .. } | PackageError::Permission { .. } => {
            Some("choose a destination you may write to")
        }
        _ => None,
    }
}
