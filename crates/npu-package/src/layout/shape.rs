//! The call of a projection: blocks of rows and sizes of the host buffers.
//!
//! The S rows of `x` are processed in blocks. Every compute row of the array takes `m` rows of a block, so a block
//! has 4 m rows; the last one may have fewer valid rows, and its last valid row is repeated.
//!
//! An activation becomes L int8 limbs, each a row of what the compute tiles multiply: L times the bytes of a record, rows of a
//! block in proportion fewer.
//!
//! ```text
//! blocks = ceil(S L / 512)      m = 16 ceil(S / (64 blocks))                                      L = 1 (W8A8), 2 (W8A16)
//! row of a block  rho = 64 u + 16 r + i      compute row r < 4, i < 16; row 16 u + i of that compute row
//! ```

use super::LayoutError;
use super::panels::{Output, Panels};

/// Columns of the array.
pub const ARRAY_COLUMNS: usize = 4;
/// Compute rows of the array.
pub const CORE_ROWS: usize = 4;
/// Rows of a block at most, times the limbs of an activation.
pub const BLOCK_ROWS_MAX: usize = 512;
/// Bytes of a record behind its quantised values, per limb.
pub const RECORD_TAIL_BYTES: usize = 256;
/// A record's stride is a multiple of this.
pub const RECORD_ALIGN: usize = 2048;
/// Scratch bytes behind the records, for each row of a block and each array column.
pub const PAD_BYTES_PER_ROW: usize = 128;

/// Consecutive rows of a block that go to one compute row; m is a multiple of it.
pub const ROW_GROUP: usize = 16;
const BF16_BYTES: usize = 2;

/// What activations are quantised to on the NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activations {
    /// One int8 code: W8A8.
    Int8,
    /// A 16-bit code, 256 h + l: W8A16.
    Int16,
}

impl Activations {
    /// int8 limbs of a code.
    pub const fn limbs(self) -> usize {
        match self {
            Activations::Int8 => 1,
            Activations::Int16 => 2,
        }
    }
}

/// A projection and its sequence length. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectionShape {
    panels: Panels,
    activations: Activations,
    seq: usize,
    blocks: usize,
    m: usize,
}

impl ProjectionShape {
    /// The shape of a query, key and value projection with int8 activations, or the rule it breaks.
    pub fn new(seq: usize, hidden: usize, n_q: usize, n_k: usize, n_v: usize) -> Result<Self, LayoutError> {
        Self::with_panels(seq, Panels::new(hidden, n_q, n_k, n_v)?)
    }

    /// The shape of a call with int8 activations and these weights.
    pub fn with_panels(seq: usize, panels: Panels) -> Result<Self, LayoutError> {
        Self::with_activations(seq, panels, Activations::Int8)
    }

    /// The shape of a call with these weights.
    pub fn with_activations(seq: usize, panels: Panels, activations: Activations) -> Result<Self, LayoutError> {
        if seq == 0 {
            return Err(LayoutError::EmptySequence);
        }
        let row_bytes = BF16_BYTES * panels.inputs().max(panels.n());
        let padded_seq = seq.checked_next_multiple_of(BLOCK_ROWS_MAX);
        padded_seq.and_then(|rows| rows.checked_mul(row_bytes)).ok_or(LayoutError::TooLarge { buffer: "x or y" })?;
        let blocks = seq.div_ceil(BLOCK_ROWS_MAX / activations.limbs());
        let m = ROW_GROUP * seq.div_ceil(CORE_ROWS * ROW_GROUP * blocks);
        Ok(Self { panels, activations, seq, blocks, m })
    }

    /// The same call in blocks as large as the array takes, the last one padded.
    pub const fn in_whole_blocks(self) -> Self {
        let rows = BLOCK_ROWS_MAX / self.activations.limbs();
        Self { blocks: self.seq.div_ceil(rows), m: rows / CORE_ROWS, ..self }
    }

    /// Layout of the weights.
    pub const fn panels(&self) -> &Panels {
        &self.panels
    }
    /// Width of the activations' codes.
    pub const fn activations(&self) -> Activations {
        self.activations
    }
    /// int8 limbs of an activation.
    pub const fn limbs(&self) -> usize {
        self.activations.limbs()
    }
    /// S.
    pub const fn seq(&self) -> usize {
        self.seq
    }
    /// Blocks of rows.
    pub const fn blocks(&self) -> usize {
        self.blocks
    }
    /// Rows of a block that one compute row takes; a multiple of 16, at most 128 over the limbs.
    pub const fn m(&self) -> usize {
        self.m
    }
    /// Rows of a block, valid or not: 4 m.
    pub const fn block_rows(&self) -> usize {
        CORE_ROWS * self.m
    }
    /// Rows of all blocks, valid or not.
    pub const fn padded_rows(&self) -> usize {
        self.blocks * self.block_rows()
    }

    /// Valid rows of `block`; every block has some.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn valid_rows(&self, block: usize) -> usize {
        assert!(block < self.blocks, "no block {block}");
        (self.seq - block * self.block_rows()).min(self.block_rows())
    }

    /// Token whose row stands at `rho` of `block`: its own, or the last valid one behind the end.
    ///
    /// # Panics
    /// If there is no such block or row.
    pub fn token(&self, block: usize, rho: usize) -> usize {
        assert!(rho < self.block_rows(), "no row {rho} in a block");
        block * self.block_rows() + rho.min(self.valid_rows(block) - 1)
    }

    /// Compute row that takes row `rho` of a block, and the row's index there.
    pub const fn core_row(rho: usize) -> (usize, usize) {
        let (group, i) = (rho / ROW_GROUP, rho % ROW_GROUP);
        (group % CORE_ROWS, group / CORE_ROWS * ROW_GROUP + i)
    }

    /// Bytes of `x`: bf16 `[S][K]` row-major.
    pub const fn x_bytes(&self) -> usize {
        BF16_BYTES * self.seq * self.panels.inputs()
    }
    /// Bytes of `weights`: panels.
    pub const fn weights_bytes(&self) -> usize {
        self.panels.bytes()
    }
    /// Bytes of the outputs: bf16 `[S][N]` row-major, the outputs of a token side by side.
    pub const fn y_bytes(&self) -> usize {
        BF16_BYTES * self.seq * self.panels.n()
    }

    /// First column and width of one output in a row; a width of 0 if the projection does not have it.
    pub fn output(&self, output: Output) -> (usize, usize) {
        let before = self.panels.outputs().take_while(|(of, _)| *of != output).map(|(_, width)| width).sum::<usize>();
        (before, self.panels.width(output))
    }

    /// Kp: stride in bytes of a record of one quantised token.
    pub const fn record_bytes(&self) -> usize {
        (self.limbs() * (self.panels.inputs() + RECORD_TAIL_BYTES)).next_multiple_of(RECORD_ALIGN)
    }
    /// Bytes of the records of one compute row: m Kp.
    pub const fn region_bytes(&self) -> usize {
        self.m * self.record_bytes()
    }
    /// Byte offset in `scratch` of the records of a compute row.
    pub const fn region_offset(&self, core_row: usize) -> usize {
        core_row * self.region_bytes()
    }
    /// Byte offset in `scratch` of the area behind the records.
    pub const fn pad_offset(&self) -> usize {
        CORE_ROWS * self.region_bytes()
    }
    /// Bytes of that area for one array column: 4 m * 128.
    pub const fn pad_bytes_per_column(&self) -> usize {
        self.block_rows() * PAD_BYTES_PER_ROW
    }
    /// Bytes of `scratch`; every block uses it anew.
    pub const fn scratch_bytes(&self) -> usize {
        self.pad_offset() + ARRAY_COLUMNS * self.pad_bytes_per_column()
    }
}
