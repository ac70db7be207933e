//! What bennu's build side hands to its run side, and what both must agree on.
//!
//! - [`Manifest`], [`PackageWriter`] and [`Package`]: a directory with the kernels of one model and one sequence length.
//! - [`layout`]: where every operand element lies in the buffers a kernel takes.
//! - [`PackedModel`] and [`PackedWriter`]: a directory with the quantised weights in the kernels' layout.
//!
//! `docs/package.md` describes the same for programs that do not link this crate.
#![forbid(unsafe_code)]

mod directory;
mod error;
pub mod layout;
mod manifest;
mod package;
mod packed;

pub use directory::FileEntry;
pub use error::{PackageError, PackageKind, PartFault};
pub use manifest::{
    Argument, Bound, Context, Direction, Dtype, Files, Kernel, Layer, LoopReport, Manifest, ModelDims, Operand,
    PART_ALIGN, Part, Phase, Producer, Program, Region, Report,
};
pub use package::{MANIFEST_FILE, Package, PackageWriter};
pub use packed::{
    AttentionFacts, LayerFile, LayerSink, PACKED_FILE, PACKED_VERSION, PackedLayer, PackedManifest, PackedModel,
    PackedWriter, Rotation, layer_file_name, scheme_groups, scheme_name,
};

/// Version of `manifest.json` that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 3;
