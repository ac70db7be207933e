//! Where every operand element of the kernels lies in its host buffer.
//!
//! All functions are pure; buffers are little-endian.

mod decode;
mod kv;
mod panels;
mod rope;
mod shape;

pub use decode::{DECODE_HIDDEN_MAX, DECODE_TOKENS, DECODE_TURN_RESULTS, DecodeShape};
pub use kv::{KV_GROUP_SLOTS, KvAppend, KvFormat, KvHeads, KvPages, KvRing, KvRun, KvSegment, Plane};
pub use panels::{
    GROUP_ROWS, GroupSize, Output, PASS_ROWS, Panels, ProjectionKind, Rows, UNIT_BYTES, UNIT_K, Unpacked,
};
pub use rope::{HeadNorm, RopeLimbs, RopeTable};
pub use shape::{
    ARRAY_COLUMNS, Activations, BLOCK_ROWS_MAX, CORE_ROWS, PAD_BYTES_PER_ROW, ProjectionShape, RECORD_ALIGN,
    RECORD_TAIL_BYTES, ROW_GROUP,
};

/// Names of the element orders in manifests.
pub mod names {
    /// Row-major.
    pub const ROW_MAJOR: &str = "row_major";
    /// [`super::Panels`].
    pub const PANELS: &str = "panels";
    /// [`super::Panels`] with a scale for every 32 inputs.
    pub const PANELS_GROUP32: &str = "panels_group32";
    /// [`super::Panels`] with a scale for every 128 inputs.
    pub const PANELS_GROUP128: &str = "panels_group128";
    /// Two records of [`super::HeadNorm`]: queries', keys'.
    pub const HEAD_NORMS: &str = "head_norms";
    /// Records of [`super::RopeTable`] with two limbs.
    pub const ROPE_TABLE: &str = "rope_table";
    /// A segment of [`super::KvSegment`].
    pub const KV_SEGMENT: &str = "kv_segment";
    /// Contents private to the kernel.
    pub const OPAQUE: &str = "opaque";
}

/// A dimension of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Reduction length K: the width of the residual stream.
    Hidden,
    /// Rows of the query projection.
    Query,
    /// Rows of the key projection.
    Key,
    /// Rows of the value projection.
    Value,
    /// Reduction length K of the output projection: all heads side by side.
    Context,
    /// Rows of the output projection.
    Output,
}

impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Dimension::Hidden => "hidden size (K)",
            Dimension::Query => "query rows (NQ)",
            Dimension::Key => "key rows (NK)",
            Dimension::Value => "value rows (NV)",
            Dimension::Context => "context width (K)",
            Dimension::Output => "output rows (N)",
        })
    }
}

/// Why a shape has no layout, or a buffer is not in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A dimension breaks the rule of the pass or tile width.
    #[error("{dimension} is {value}; a projection needs a positive multiple of {multiple}")]
    NotAMultiple {
        /// The dimension.
        dimension: Dimension,
        /// Its value.
        value: usize,
        /// The rule.
        multiple: usize,
    },
    /// No token.
    #[error("the sequence is empty; at least one token is needed")]
    EmptySequence,
    /// More tokens than a decoding projection computes at once.
    #[error("{tokens} tokens; a decoding projection takes 1 to {limit} at once")]
    DecodeTokens {
        /// Their number.
        tokens: usize,
        /// Most there can be.
        limit: usize,
    },
    /// Rows of x whose codes do not fit a compute tile.
    #[error("hidden size (K) is {hidden}; a decoding projection takes at most {limit}")]
    DecodeHidden {
        /// K.
        hidden: usize,
        /// The largest.
        limit: usize,
    },
    /// A buffer would not fit the address space.
    #[error("the buffer {buffer} does not fit the address space")]
    TooLarge {
        /// Which buffer.
        buffer: &'static str,
    },
    /// A slice of another length than the shape calls for.
    #[error("{what} has {found} elements, the shape calls for {needed}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// Length of the shape.
        needed: usize,
    },
    /// The copies of one scale in a packed buffer differ.
    #[error("scale of row {n}: copy in lane {lane} at byte {offset:#x} is {found:#06x}, the first is {first:#06x}")]
    ScaleCopies {
        /// Output row.
        n: usize,
        /// Lane of the copy.
        lane: usize,
        /// Its byte offset.
        offset: usize,
        /// The copy.
        found: u16,
        /// The first copy.
        first: u16,
    },
    /// The copies of one group's scale in a packed buffer differ.
    #[error("scale of row {n}, input {k}: copy at byte {offset:#x} is {found:#06x}, the first is {first:#06x}")]
    GroupScaleCopies {
        /// Output row.
        n: usize,
        /// First input to which the copy belongs.
        k: usize,
        /// Its byte offset.
        offset: usize,
        /// The copy.
        found: u16,
        /// The first copy.
        first: u16,
    },
    /// A byte of a scale unit that must be zero is not.
    #[error("byte {offset:#x} of the scale unit's padding is {found:#04x}, must be zero")]
    ScalePadding {
        /// Byte offset in the buffer.
        offset: usize,
        /// The byte.
        found: u8,
    },
    /// Heads that the columns of the array cannot share evenly.
    #[error("{kv_heads} key-value heads; the cache takes 1 to 4, or a multiple of 4")]
    KvHeads {
        /// Their number.
        kv_heads: usize,
    },
    /// A head that tiles do not divide.
    #[error("head_dim is {head_dim}; a positive multiple of {multiple} is needed")]
    HeadDim {
        /// Its value.
        head_dim: usize,
        /// The rule.
        multiple: usize,
    },
    /// Slots that groups do not divide.
    #[error("{slots} slots of a cache; a positive multiple of {multiple} is needed")]
    KvSlots {
        /// Their number.
        slots: usize,
        /// The rule.
        multiple: usize,
    },
    /// A ring without a window or without new tokens.
    #[error("a ring for a window of {window} and {chunk} new tokens; both must be positive")]
    KvRing {
        /// Keys a query sees.
        window: usize,
        /// New tokens at once.
        chunk: usize,
    },
    /// More new tokens than the ring was made for, or none.
    #[error("{tokens} new tokens; the ring takes 1 to {chunk} at once")]
    KvChunk {
        /// New tokens.
        tokens: usize,
        /// Tokens the ring was made for.
        chunk: usize,
    },
    /// No rotation has such a constant.
    #[error("the rotation's {constant} is {value}; it must be finite and positive")]
    Rotation {
        /// Which constant.
        constant: &'static str,
        /// Its value.
        value: String,
    },
}
