//! Why the attention of a layer is not computed.

use npu_package::PackageError;
use npu_package::layout::KvFormat;

use super::compare::Difference;
use super::extent::StreamError;
use super::tensors::FileError;
use crate::error::Error;
use crate::refusal::Refusal;

/// Everything that [`super::prepare`] and a session fail with.
#[derive(Debug, thiserror::Error)]
pub enum AttendError {
    /// One of the refusals with a stable sentence.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The packed model does not hold together.
    #[error(transparent)]
    Model(Box<Error>),
    /// The package does not hold together.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A file of activations or of a cache.
    #[error(transparent)]
    File(#[from] FileError),
    /// Package, model, and what was asked for contradict each other.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A runtime stream that would leave its buffers.
    #[error("the stream of kernel {kernel} is not run")]
    Stream {
        /// The kernel.
        kernel: String,
        /// Why.
        source: StreamError,
    },
    /// An input that is no number.
    #[error("input {what}, row {row}, column {column}: {value} is not finite")]
    NotFinite {
        /// Which input.
        what: &'static str,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f32,
    },
    /// The output is not the expected one.
    #[error(transparent)]
    Differs(#[from] Difference),
    /// The caller asked to stop.
    #[error("interrupted; the context is given back")]
    Interrupted,
}

/// Two things that do not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// A package for another device.
    #[error("the package is for device {found:?}; this runs \"npu1\"")]
    Device {
        /// Device of the package.
        found: String,
    },
    /// Package and packed model are of different models.
    #[error("the package is of a model whose {what} is {package}, the packed model of one whose {what} is {model}")]
    Model {
        /// The dimension.
        what: &'static str,
        /// In the package.
        package: usize,
        /// In the packed model.
        model: usize,
    },
    /// Norms with another epsilon than the kernels'.
    #[error("the model's norms have an epsilon of {found:e}, the kernels' of {kernels:e}")]
    Epsilon {
        /// Of the model.
        found: f64,
        /// Of the kernels.
        kernels: f64,
    },
    /// An array of other dimensions.
    #[error(
        "the driver reports {columns} columns with {rows} rows of compute tiles; {needed_columns} of {needed_rows} are needed"
    )]
    Array {
        /// Columns.
        columns: u16,
        /// Rows of compute tiles.
        rows: u16,
        /// Columns of the kernels' partition.
        needed_columns: u32,
        /// Rows of compute tiles they use.
        needed_rows: u16,
    },
    /// More host buffers than every driver passes on.
    #[error("kernel {kernel} has {count} host buffers; every driver passes on {limit}")]
    HostBuffers {
        /// The kernel.
        kernel: String,
        /// Its buffers.
        count: usize,
        /// Most.
        limit: usize,
    },
    /// A layer that the model does not have.
    #[error("layer {layer} was asked for; the model has {layers}, from 0 on")]
    Layer {
        /// Asked for.
        layer: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// No position, or positions beyond the model's context.
    #[error(
        "{history} earlier and {seq} new positions; a call has at least one new one, and the model's context {limit} in all"
    )]
    Positions {
        /// Earlier positions.
        history: usize,
        /// New ones.
        seq: usize,
        /// Longest context.
        limit: usize,
    },
    /// A kernel for another window, or a cache that does not hold what is asked for.
    #[error(
        "kernel {kernel} has a cache of {slots} slots and a window of {window:?}; {history} earlier and {seq} new positions with a window of {model_window:?} do not fit"
    )]
    Cache {
        /// The kernel.
        kernel: String,
        /// Slots of its cache.
        slots: usize,
        /// Its window.
        window: Option<usize>,
        /// Window of the model's layer.
        model_window: Option<usize>,
        /// Earlier positions.
        history: usize,
        /// New ones.
        seq: usize,
    },
    /// Two kernels of a layer that do not share one cache.
    #[error("kernel {first} has a cache of {first_slots} slots, {second} one of {second_slots}")]
    Caches {
        /// A kernel.
        first: String,
        /// Slots of its cache.
        first_slots: usize,
        /// The next.
        second: String,
        /// Slots of its cache.
        second_slots: usize,
    },
    /// Keys and values of earlier positions that are not there.
    #[error(
        "keys and values of positions {found_first} to {found_end} are given; the first new position, {history}, sees others"
    )]
    Past {
        /// First position given.
        found_first: usize,
        /// One past the last.
        found_end: usize,
        /// The first new position.
        history: usize,
    },
    /// Keys and values in another form than the kernels' cache.
    #[error("keys and values are given in {}; the kernels' cache is {}", format_name(*found), format_name(*needed))]
    PastFormat {
        /// Given.
        found: KvFormat,
        /// Of the kernels.
        needed: KvFormat,
    },
    /// A buffer of another size than the model's.
    #[error("kernel {kernel}: buffer {argument} has {found} bytes, the call needs {needed}")]
    Argument {
        /// The kernel.
        kernel: String,
        /// Its buffer.
        argument: String,
        /// Bytes by the manifest.
        found: u64,
        /// Bytes by model, sequence length and history.
        needed: u64,
    },
    /// A buffer whose meaning is not known.
    #[error("kernel {kernel} has a buffer {argument:?} that `attend` does not know how to fill")]
    UnknownArgument {
        /// The kernel.
        kernel: String,
        /// The buffer.
        argument: String,
    },
    /// Operands of another size than was said.
    #[error("{found} elements of x were given; {seq} positions of {hidden} are needed")]
    Input {
        /// Elements given.
        found: usize,
        /// New positions.
        seq: usize,
        /// Width of the residual stream.
        hidden: usize,
    },
}

fn format_name(format: KvFormat) -> &'static str {
    match format {
        KvFormat::Bf16 => "BF16",
        KvFormat::Int8 => "INT8",
    }
}

impl From<Error> for AttendError {
    fn from(error: Error) -> Self {
        AttendError::Model(Box::new(error))
    }
}

impl AttendError {
    /// What the user can do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            AttendError::Refusal(refusal) => Some(refusal.remedy()),
            AttendError::Model(error) => error.remedy().map(str::to_owned),
            AttendError::Package(PackageError::Digest { .. } | PackageError::FileSize { .. }) => {
                Some("the package is damaged: run `bennu compile` again".to_owned())
            }
            AttendError::Package(PackageError::Version { .. }) => {
                Some("the package is of another version of bennu: run `bennu compile` again".to_owned())
            }
            AttendError::File(FileError::File(error)) => error.remedy().map(str::to_owned),
            AttendError::Mismatch(mismatch) => mismatch.remedy().map(str::to_owned),
            AttendError::Stream { .. } => Some("the package is of no use: compile it again, and report it".to_owned()),
            AttendError::Package(_)
            | AttendError::File(FileError::Tensor(_))
            | AttendError::NotFinite { .. }
            | AttendError::Differs(_)
            | AttendError::Interrupted => None,
        }
    }
}

impl Mismatch {
    fn remedy(&self) -> Option<&'static str> {
        match self {
            Mismatch::Array { .. } => {
                Some("use an NPU of Phoenix or Hawk Point; `bennu doctor` tells what this one is")
            }
            Mismatch::Device { .. }
            | Mismatch::HostBuffers { .. }
            | Mismatch::Model { .. }
            | Mismatch::Cache { .. }
            | Mismatch::Caches { .. }
            | Mismatch::Argument { .. }
            | Mismatch::UnknownArgument { .. } => {
                Some("compile a package for this model: `bennu compile --model CHECKPOINT`")
            }
            Mismatch::Past { .. } | Mismatch::PastFormat { .. } => {
                Some("give the file that the attend before this one wrote with --cache-out")
            }
            Mismatch::Epsilon { .. } | Mismatch::Layer { .. } | Mismatch::Positions { .. } | Mismatch::Input { .. } => {
                None
            }
        }
    }
}
