//! Weight panels of the projections.
//!
//! ```text
//! y[S][N] = (s_tok[S] * s_ch[N]) * sum_k q8(x)[S][k] * w[N][k]        N = sum of the widths of the outputs
//!
//! projection   x                   outputs         K                    N
//! q, k, v      residual stream     q, k, v         hidden               NQ + NK + NV
//! o            attention output    o               heads * head_dim     hidden
//!
//! buffer   [c: 4][p: N/256][unit: K/64 + 1][4096 bytes]
//! unit q < K/64:  [cp: 4][kt: 8][s: 2][k_in: 8][n_in: 8] int8     element w[n][k] with
//!                 n = 256 p + 64 c + 16 cp + 8 s + n_in,  k = 64 q + 8 kt + k_in
//! unit K/64:      8 rows j = 2 cp + s of 32 bf16: s_ch[256 p + 64 c + 8 j + lane % 8]; the rest zero
//!
//! with a scale for every G inputs of a row, G = 32 or 128; H = max(64 / G, 1) of them in a unit:
//! buffer   [c: 4][p: N/256][unit: K/64][4096 + 128 H bytes]
//! unit q:         codes as above, then [cp: 4][h: H][n_in: 16] bf16     s[n][(64 q + 64 / H h) / G], n = 256 p + 64 c + 16 cp + n_in
//! ```
//!
//! Array column `c` streams its part `[c]` from start to end: a pass `p` after the other, and in a pass a group of
//! 64 output rows. A scale row of 32 lanes multiplies a 4 x 8 tile of the output.

use super::{Dimension, LayoutError, names};
use crate::layout::shape::ARRAY_COLUMNS;

/// Bytes of a unit: one block of the stream from memory tile to core.
pub const UNIT_BYTES: usize = 4096;
/// Reduction length of a weight unit.
pub const UNIT_K: usize = 64;
/// Output rows of a unit: a group of one column in one pass.
pub const GROUP_ROWS: usize = UNIT_BYTES / UNIT_K;
/// Output rows of a pass over all columns.
pub const PASS_ROWS: usize = ARRAY_COLUMNS * GROUP_ROWS;

/// K and each of NQ, NK, NV are positive multiples of this.
const DIMENSION_MULTIPLE: usize = 256;
/// Edge of the int8 tile that a multiply-accumulate takes: 8 (k) x 8 (n).
const TILE: usize = 8;
const TILE_BYTES: usize = TILE * TILE;
const TILES_K: usize = UNIT_K / TILE;
/// Pairs of tiles along n that share a `cp`.
const TILES_S: usize = 2;
/// Lanes of a scale row: the elements of a 4 x 8 output tile.
const SCALE_LANES: usize = 32;
const SCALE_ROW_BYTES: usize = SCALE_LANES * 2;
const SCALE_ROWS: usize = GROUP_ROWS / TILE;

/// A matrix that a projection computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Query.
    Q,
    /// Key.
    K,
    /// Value.
    V,
    /// Attention output, back in the residual stream.
    O,
}

/// Projections whose weights are packed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectionKind {
    /// Query, key and value.
    Qkv,
    /// Attention output.
    O,
}

impl ProjectionKind {
    /// Each of them, in the order in which a layer calls them.
    pub const ALL: [Self; 2] = [Self::Qkv, Self::O];

    /// What it computes, in order.
    pub const fn outputs(self) -> &'static [Output] {
        match self {
            Self::Qkv => &[Output::Q, Output::K, Output::V],
            Self::O => &[Output::O],
        }
    }

    /// Names of the operands it reads and writes.
    pub const fn operands(self) -> (&'static str, &'static str) {
        match self {
            Self::Qkv => ("x", "qkv"),
            Self::O => ("ctx", "o"),
        }
    }

    /// As file names and kernel names have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qkv => "qkv",
            Self::O => "o",
        }
    }
}

/// Outputs of a projection at most.
const OUTPUTS_MAX: usize = 3;

/// Consecutive inputs of an output row that share a scale, where a row has more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupSize {
    /// 32 inputs: Q8_0.
    Of32,
    /// 128 inputs.
    Of128,
}

impl GroupSize {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Of32, Self::Of128];

    /// How many inputs.
    pub const fn inputs(self) -> usize {
        match self {
            GroupSize::Of32 => 32,
            GroupSize::Of128 => 128,
        }
    }

    /// The group of so many inputs, if there is a layout for it.
    pub fn of(inputs: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.inputs() == inputs)
    }

    /// Scales of a row in a unit; groups of more inputs than a unit has repeat theirs.
    const fn per_unit(self) -> usize {
        let whole = UNIT_K / self.inputs();
        if whole == 0 { 1 } else { whole }
    }
}

/// The dimensions that fix the layout. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panels {
    kind: ProjectionKind,
    groups: Option<GroupSize>,
    inputs: usize,
    /// Rows of each output of `kind`; zero behind them.
    widths: [usize; OUTPUTS_MAX],
}

/// Weights of one output: int8 `[n][K]` row-major and the bf16 scales (as their bits) of every row.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// `[n][K]`.
    pub weights: &'a [i8],
    /// `[n]` or `[n][groups]`, bf16 bits.
    pub scales: &'a [u16],
}

/// The contents of a packed buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// `[N][K]` row-major, rows of each output after those of the one before.
    pub weights: Vec<i8>,
    /// `[N]` or `[N][groups]`, bf16 bits.
    pub scales: Vec<u16>,
}

impl Panels {
    /// The layout of a query, key and value projection, or the rule its dimensions break.
    pub fn new(hidden: usize, n_q: usize, n_k: usize, n_v: usize) -> Result<Self, LayoutError> {
        let dimensions =
            [(Dimension::Hidden, hidden), (Dimension::Query, n_q), (Dimension::Key, n_k), (Dimension::Value, n_v)];
        Self::of(ProjectionKind::Qkv, &dimensions)
    }

    /// The layout of an output projection from `context` inputs (heads times their width), or the rule its dimensions break.
    pub fn output(context: usize, hidden: usize) -> Result<Self, LayoutError> {
        Self::of(ProjectionKind::O, &[(Dimension::Context, context), (Dimension::Output, hidden)])
    }

    /// `dimensions`: K, then the width of each output.
    fn of(kind: ProjectionKind, dimensions: &[(Dimension, usize)]) -> Result<Self, LayoutError> {
        for &(dimension, value) in dimensions {
            if value == 0 || !value.is_multiple_of(DIMENSION_MULTIPLE) {
                return Err(LayoutError::NotAMultiple { dimension, value, multiple: DIMENSION_MULTIPLE });
            }
        }
        let (inputs, mut widths) = (dimensions[0].1, [0; OUTPUTS_MAX]);
        for (width, (_, value)) in widths.iter_mut().zip(&dimensions[1..]) {
            *width = *value;
        }
        // N * 2 K, and no less than N * (K + 64), bounds every offset below.
        let too_large = LayoutError::TooLarge { buffer: "weights" };
        let rows = widths.iter().try_fold(0usize, |sum, width| sum.checked_add(*width)).ok_or(too_large.clone())?;
        inputs.checked_mul(2).and_then(|row_bytes| row_bytes.checked_mul(rows)).ok_or(too_large)?;
        Ok(Self { kind, groups: None, inputs, widths })
    }

    /// The same projection with a scale for every group of inputs.
    pub const fn grouped(self, size: GroupSize) -> Self {
        Self { groups: Some(size), ..self }
    }
    /// Inputs that share a scale; none if all of a row do.
    pub const fn groups(&self) -> Option<GroupSize> {
        self.groups
    }
    /// Name of the layout in manifests.
    pub const fn layout_name(&self) -> &'static str {
        match self.groups {
            None => names::PANELS,
            Some(GroupSize::Of32) => names::PANELS_GROUP32,
            Some(GroupSize::Of128) => names::PANELS_GROUP128,
        }
    }
    /// Scales of a row.
    pub const fn scales_per_row(&self) -> usize {
        match self.groups {
            None => 1,
            Some(size) => self.inputs / size.inputs(),
        }
    }
    /// Bytes of a unit.
    pub const fn unit_bytes(&self) -> usize {
        match self.groups {
            None => UNIT_BYTES,
            Some(size) => UNIT_BYTES + 2 * GROUP_ROWS * size.per_unit(),
        }
    }

    /// Which projection.
    pub const fn kind(&self) -> ProjectionKind {
        self.kind
    }
    /// K.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }
    /// Rows of each output, in order.
    pub fn outputs(&self) -> impl Iterator<Item = (Output, usize)> + use<> {
        self.kind.outputs().iter().copied().zip(self.widths)
    }
    /// Rows of one output; none of an output that the projection does not have.
    pub fn width(&self, output: Output) -> usize {
        self.outputs().find(|(of, _)| *of == output).map_or(0, |(_, width)| width)
    }
    /// N: rows of all outputs.
    pub const fn n(&self) -> usize {
        self.widths[0] + self.widths[1] + self.widths[2]
    }
    /// The output that holds row `n` of all, as its place among the outputs, and the row in it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn output_of(&self, n: usize) -> (usize, usize) {
        assert!(n < self.n(), "no row {n}");
        let (mut index, mut row) = (0, n);
        while row >= self.widths[index] {
            row -= self.widths[index];
            index += 1;
        }
        (index, row)
    }
    /// Passes: N / 256.
    pub const fn passes(&self) -> usize {
        self.n() / PASS_ROWS
    }
    /// Weight units of a group: K / 64.
    pub const fn weight_units(&self) -> usize {
        self.inputs / UNIT_K
    }
    /// Units of a group, a unit of the scales of its rows included.
    pub const fn units(&self) -> usize {
        self.weight_units() + if self.groups.is_none() { 1 } else { 0 }
    }
    /// Bytes of a group: 64 output rows with their scales.
    pub const fn group_bytes(&self) -> usize {
        self.units() * self.unit_bytes()
    }
    /// Bytes that one array column streams.
    pub const fn column_bytes(&self) -> usize {
        self.passes() * self.group_bytes()
    }
    /// Bytes of the whole buffer.
    pub const fn bytes(&self) -> usize {
        ARRAY_COLUMNS * self.column_bytes()
    }

    /// Byte offset of the group of `column` in `pass`. It holds output rows
    /// [`Panels::group_first_row`]` ..+ 64`.
    ///
    /// # Panics
    /// If there is no such column or pass.
    pub fn group_offset(&self, column: usize, pass: usize) -> usize {
        assert!(column < ARRAY_COLUMNS && pass < self.passes(), "no column {column} or pass {pass}");
        column * self.column_bytes() + pass * self.group_bytes()
    }

    /// First output row of the group of `column` in `pass`.
    pub const fn group_first_row(column: usize, pass: usize) -> usize {
        PASS_ROWS * pass + GROUP_ROWS * column
    }

    /// Byte offset of `w[n][k]`.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn weight_offset(&self, n: usize, k: usize) -> usize {
        assert!(n < self.n() && k < self.inputs, "no element w[{n}][{k}]");
        let [group, row] = self.locate(n);
        group + self.unit_bytes() * (k / UNIT_K) + offset_in_unit(row, k % UNIT_K)
    }

    /// Byte offset of the first of the 4 copies of `s_ch[n]`; the others follow at 16, 32 and 48 bytes.
    ///
    /// # Panics
    /// If there is no such row, or its groups have scales of their own.
    pub fn scale_offset(&self, n: usize) -> usize {
        assert!(n < self.n() && self.groups.is_none(), "no row {n} with one scale");
        let [group, row] = self.locate(n);
        group + UNIT_BYTES * self.weight_units() + SCALE_ROW_BYTES * (row / TILE) + 2 * (row % TILE)
    }

    /// Byte offset of the scale by which `w[n][k]` is read. Where a group has more inputs than a unit, each of its units has a copy.
    ///
    /// # Panics
    /// If there is no such element, or the row has one scale for all.
    pub fn group_scale_offset(&self, n: usize, k: usize) -> usize {
        assert!(n < self.n() && k < self.inputs, "no element w[{n}][{k}]");
        let size = self.groups.expect("scales of groups");
        let [group, row] = self.locate(n);
        let (pair, n_in) = (row / (TILES_S * TILE), row % (TILES_S * TILE));
        let in_unit = pair * size.per_unit() + k % UNIT_K / size.inputs();
        group + self.unit_bytes() * (k / UNIT_K) + UNIT_BYTES + 2 * (TILES_S * TILE * in_unit + n_in)
    }

    /// Offset of the group of row `n`, and the row in it.
    fn locate(&self, n: usize) -> [usize; 2] {
        let (pass, in_pass) = (n / PASS_ROWS, n % PASS_ROWS);
        [self.group_offset(in_pass / GROUP_ROWS, pass), in_pass % GROUP_ROWS]
    }

    /// Packs a group of 64 output rows: `weights` `[64][K]`, `scales` `[64][scales of a row]`, `out` of
    /// [`Panels::group_bytes`].
    pub fn pack_group(&self, weights: &[i8], scales: &[u16], out: &mut [u8]) -> Result<(), LayoutError> {
        check("weights", weights.len(), GROUP_ROWS * self.inputs)?;
        check("scales", scales.len(), GROUP_ROWS * self.scales_per_row())?;
        check("output", out.len(), self.group_bytes())?;
        let (units, scale_unit) = out.split_at_mut(self.unit_bytes() * self.weight_units());
        for (q, unit) in units.chunks_exact_mut(self.unit_bytes()).enumerate() {
            let (codes, unit_scales) = unit.split_at_mut(UNIT_BYTES);
            for (index, bits) in unit_scales.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let row_scales = self.scales_per_row();
                let (per_unit, n_in) = (unit_scales_of(self.groups), index % (TILES_S * TILE));
                let (pair, h) = (index / (TILES_S * TILE) / per_unit, index / (TILES_S * TILE) % per_unit);
                let group = (UNIT_K * q + UNIT_K / per_unit * h) * row_scales / self.inputs;
                *bits = scales[(TILES_S * TILE * pair + n_in) * row_scales + group].to_le_bytes();
            }
            for (index, tile) in codes.as_chunks_mut::<TILE_BYTES>().0.iter_mut().enumerate() {
                let (cp, kt, s) = (index / (TILES_K * TILES_S), index / TILES_S % TILES_K, index % TILES_S);
                let first = (TILES_S * TILE * cp + TILE * s) * self.inputs + UNIT_K * q + TILE * kt;
                *tile = transposed_tile(&weights[first..], self.inputs);
            }
        }
        if self.groups.is_some() {
            return Ok(());
        }
        let (rows, padding) = scale_unit.split_at_mut(SCALE_ROWS * SCALE_ROW_BYTES);
        for (j, row) in rows.as_chunks_mut::<SCALE_ROW_BYTES>().0.iter_mut().enumerate() {
            for (lane, bits) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *bits = scales[TILE * j + lane % TILE].to_le_bytes();
            }
        }
        padding.fill(0);
        Ok(())
    }

    /// Packs a whole layer, the rows of each output in order, into `out` of [`Panels::bytes`].
    pub fn pack(&self, outputs: &[Rows<'_>], out: &mut [u8]) -> Result<(), LayoutError> {
        check("list of outputs", outputs.len(), self.kind.outputs().len())?;
        for (rows, (output, width)) in outputs.iter().zip(self.outputs()) {
            let (weights, scales) = match output {
                Output::Q => ("q weights", "q scales"),
                Output::K => ("k weights", "k scales"),
                Output::V => ("v weights", "v scales"),
                Output::O => ("o weights", "o scales"),
            };
            check(weights, rows.weights.len(), width * self.inputs)?;
            check(scales, rows.scales.len(), width * self.scales_per_row())?;
        }
        check("output", out.len(), self.bytes())?;
        for column in 0..ARRAY_COLUMNS {
            for pass in 0..self.passes() {
                // Passes do not straddle outputs: each width is a multiple of the pass width.
                let (output, first) = self.output_of(Self::group_first_row(column, pass));
                let weights = &outputs[output].weights[first * self.inputs..][..GROUP_ROWS * self.inputs];
                let per_row = self.scales_per_row();
                let scales = &outputs[output].scales[first * per_row..][..GROUP_ROWS * per_row];
                let place = self.group_offset(column, pass);
                self.pack_group(weights, scales, &mut out[place..][..self.group_bytes()])?;
            }
        }
        Ok(())
    }

    /// Reads a packed layer back, and checks that scale copies agree and padding is zero.
    pub fn unpack(&self, packed: &[u8]) -> Result<Unpacked, LayoutError> {
        check("packed buffer", packed.len(), self.bytes())?;
        let mut weights = vec![0i8; self.n() * self.inputs];
        let mut scales = Vec::with_capacity(self.n() * self.scales_per_row());
        for (n, row) in weights.chunks_exact_mut(self.inputs).enumerate() {
            for (k, weight) in row.iter_mut().enumerate() {
                *weight = packed[self.weight_offset(n, k)] as i8;
            }
            match self.groups {
                None => scales.push(self.read_scale(packed, n)?),
                Some(size) => self.read_group_scales(packed, n, size, &mut scales)?,
            }
        }
        if self.groups.is_some() {
            return Ok(Unpacked { weights, scales });
        }
        for column in 0..ARRAY_COLUMNS {
            for pass in 0..self.passes() {
                let end = self.group_offset(column, pass) + self.group_bytes();
                let start = end - UNIT_BYTES + SCALE_ROWS * SCALE_ROW_BYTES;
                if let Some(index) = packed[start..end].iter().position(|byte| *byte != 0) {
                    return Err(LayoutError::ScalePadding { offset: start + index, found: packed[start + index] });
                }
            }
        }
        Ok(Unpacked { weights, scales })
    }

    fn read_group_scales(
        &self,
        packed: &[u8],
        n: usize,
        size: GroupSize,
        scales: &mut Vec<u16>,
    ) -> Result<(), LayoutError> {
        for group in (0..self.inputs).step_by(size.inputs()) {
            let at = |k: usize| {
                let offset = self.group_scale_offset(n, k);
                (offset, u16::from_le_bytes([packed[offset], packed[offset + 1]]))
            };
            let (_, first) = at(group);
            for k in (group..group + size.inputs()).step_by(UNIT_K).skip(1) {
                let (offset, found) = at(k);
                if found != first {
                    return Err(LayoutError::GroupScaleCopies { n, k, offset, found, first });
                }
            }
            scales.push(first);
        }
        Ok(())
    }

    fn read_scale(&self, packed: &[u8], n: usize) -> Result<u16, LayoutError> {
        let at = |copy: usize| {
            let offset = self.scale_offset(n) + 2 * TILE * copy;
            (offset, u16::from_le_bytes([packed[offset], packed[offset + 1]]))
        };
        let (_, first) = at(0);
        for copy in 1..SCALE_LANES / TILE {
            let (offset, found) = at(copy);
            if found != first {
                return Err(LayoutError::ScaleCopies { n, lane: n % TILE + TILE * copy, offset, found, first });
            }
        }
        Ok(first)
    }
}

/// Byte offset in a weight unit of its element `[row][k]`.
const fn offset_in_unit(row: usize, k: usize) -> usize {
    let (cp, s, n_in) = (row / (TILES_S * TILE), row / TILE % TILES_S, row % TILE);
    let (kt, k_in) = (k / TILE, k % TILE);
    (((cp * TILES_K + kt) * TILES_S + s) * TILE + k_in) * TILE + n_in
}

/// Scales of a row that stand in a unit with its codes.
const fn unit_scales_of(groups: Option<GroupSize>) -> usize {
    match groups {
        None => 1,
        Some(size) => size.per_unit(),
    }
}

fn check(what: &'static str, found: usize, needed: usize) -> Result<(), LayoutError> {
    if found == needed { Ok(()) } else { Err(LayoutError::Length { what, found, needed }) }
}

/// The 8 x 8 bytes at the start of `rows` (rows `stride` apart), transposed: `[k_in][n_in]` from `[n_in][k_in]`.
///
/// Rows are handled as words and exchanged in halves, so that a layer packs at memory speed.
fn transposed_tile(rows: &[i8], stride: usize) -> [u8; TILE_BYTES] {
    let mut words: [u64; TILE] = std::array::from_fn(|n_in| {
        let row = &rows[n_in * stride..][..TILE];
        u64::from_le_bytes(std::array::from_fn(|k_in| row[k_in] as u8))
    });
    // Exchanges the off-diagonal blocks of `distance` x `distance` bytes of every 2 x 2 such blocks.
    for (distance, mask) in [(4, 0x0000_0000_FFFF_FFFF), (2, 0x0000_FFFF_0000_FFFF), (1, 0x00FF_00FF_00FF_00FF)] {
        let shift = 8 * distance as u32;
        for low in (0..TILE).filter(|index| index & distance == 0) {
            let high = low + distance;
            let exchange = ((words[low] >> shift) ^ words[high]) & mask;
            words[high] ^= exchange;
            words[low] ^= exchange << shift;
        }
    }
    let mut tile = [0; TILE_BYTES];
    for (place, word) in tile.as_chunks_mut::<TILE>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    tile
}
