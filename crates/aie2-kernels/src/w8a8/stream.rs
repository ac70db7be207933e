//! The runtime stream of one dispatch: for each block of at most 512 rows (256 with two limbs), and each phase of it
//!
//! ```text
//! push  S2MM 0  records of the block into scratch                        (token: phase 1 is over)
//! push  MM2S 1  x: whole groups of 16 rows | the ragged group | the last row again as padding | all weights
//! wait  S2MM 0
//! push  MM2S 0  scale columns | codes, once per pass | scale columns (they end the block)
//! per pass      push S2MM 0 rows of 64 outputs, padded rows into scratch; at most three passes outstanding
//! ```

use aie2_array::runtime::Stream;
use aie2_array::{Error, Mm2s, Pattern, Runtime, S2mm, ShimBd};
use npu_package::layout::{Panels, ProjectionShape, ROW_GROUP, UNIT_BYTES};

use crate::Place;
use crate::grid::{GRID, JOIN_BYTES};

/// Operands of a projection.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Activations.
    pub x: Place,
    /// Packed weights.
    pub weights: Place,
    /// Outputs.
    pub y: Place,
    /// Quantised activations, and where padded rows drain.
    pub scratch: Place,
}

impl Args {
    /// Buffers of their own: activations, weights and outputs from index `x` on, and `scratch`.
    pub(crate) fn from_first(x: u32, scratch: u32) -> Self {
        let [x, weights, y, scratch] = [x, x + 1, x + 2, scratch].map(Place::whole);
        Self { x, weights, y, scratch }
    }
}

/// A phase of the stream; the entries of [`super::phase`] come in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// What is projected.
    pub shape: ProjectionShape,
    /// From where to where.
    pub args: Args,
}

const WORD: usize = 4;
const BF16: usize = 2;
/// Rows of one core in a group.
const GROUP: usize = ROW_GROUP;
/// Tokens that leave a column together: one from each of its cores.
const TOGETHER: usize = 4;
/// Inputs of a token in one column of A, each in as many bytes as it has limbs.
const A_COLUMN_K: usize = 256;
/// Output columns of one compute tile.
const TILE_COLUMNS: usize = 64;
/// Passes whose outputs may be outstanding; the shim's BDs and queue allow three chains of two.
const PASSES_IN_FLIGHT: usize = 3;

fn words(bytes: usize) -> u32 {
    (bytes / WORD) as u32
}

/// Builds the stream: every block of rows goes through all phases before the next one does. The phases divide their rows alike.
///
/// # Errors
/// A shape that the DMAs cannot express; the message names the field and its limit.
pub fn stream(phases: &[Phase]) -> Result<Stream, Error> {
    let mut rt = Runtime::new(GRID)?;
    let blocks = phases.iter().map(|phase| phase.shape.blocks()).max().unwrap_or(0);
    for block in 0..blocks {
        for Phase { shape, args } in phases {
            Block { shape, args: *args, block, idle: false }.emit(&mut rt)?;
        }
    }
    rt.finish()
}

/// One block of rows through one phase.
pub struct Block<'a> {
    /// What is projected.
    pub shape: &'a ProjectionShape,
    /// From where to where.
    pub args: Args,
    /// Which rows.
    pub block: usize,
    /// A unit of B in front of x that no core reads.
    pub idle: bool,
}

impl Block<'_> {
    /// Leaves nothing in flight.
    ///
    /// # Errors
    /// A shape that the DMAs cannot express.
    pub fn emit(&self, rt: &mut Runtime) -> Result<(), Error> {
        self.emit_among_others(rt, |_| Ok(()), |_| Ok(()))
    }

    /// The same; what `beside` appends comes while records are under way, before anything is sent on A, what `behind` appends when all that A and B
    /// need has been sent and the last outputs have not come. What `behind` sends is not awaited.
    ///
    /// # Errors
    /// A shape that the DMAs cannot express, or what these return.
    pub fn emit_among_others(
        &self,
        rt: &mut Runtime,
        beside: impl FnOnce(&mut Runtime) -> Result<(), Error>,
        behind: impl FnOnce(&mut Runtime) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for col in 0..GRID {
            self.quantise(rt, col)?;
        }
        beside(rt)?;
        for col in 0..GRID {
            rt.wait(col, S2mm(0))?;
        }
        for col in 0..GRID {
            self.activations(rt, col)?;
        }
        self.outputs(rt)?;
        let early = rt.early();
        rt.wait_read()?;
        behind(rt)?;
        rt.wait_written()?;
        rt.early_again(early);
        Ok(())
    }

    fn inputs(&self) -> usize {
        self.shape.panels().inputs()
    }

    /// Rows of x, then weights, on B; records on C.
    fn quantise(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        let (c, m, record) = (usize::from(col), self.shape.m(), self.shape.record_bytes());
        // they arrive as [m/4][2 KiB pieces of a record][4 cores]; iteration walks the groups of 4 tokens
        let unit = words(JOIN_BYTES as usize);
        let units = words(record) / unit;
        let records = Pattern::new(&[(1, unit), (words(record), TOGETHER as u32), (unit, units)])
            .iterate(words(TOGETHER * record), (m / TOGETHER) as u8);
        let region = self.shape.region_offset(c) as u64;
        rt.task(col, S2mm(0), &self.args.scratch.bd(region, records), (m / TOGETHER) as u32, true)?;
        self.rows(rt, col)?;
        let panels = self.shape.panels();
        let linear = |offset: usize, bytes: usize| self.args.weights.linear(offset as u64, bytes as u64);
        let mut chain = vec![linear(panels.group_offset(c, 0), panels.column_bytes())?];
        // x in whole units: any bytes fill the last one
        let x_bytes = BF16 * m * self.inputs();
        let filler = x_bytes.next_multiple_of(panels.unit_bytes()) - x_bytes;
        if filler > 0 {
            chain.insert(0, linear(0, filler)?);
        }
        rt.task_chain(col, Mm2s(1), &chain, 1, true)
    }

    /// The column's tokens in order, the last of them with a token of their own: rows 64u + 16c .. + 16 for every u, ragged ones, then the last row once per padded row.
    fn rows(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        let (m, valid) = (self.shape.m(), self.shape.valid_rows(self.block));
        let row_bytes = BF16 * self.inputs();
        let first_row = self.block * self.shape.block_rows();
        let at = |row: usize| ((first_row + row) * row_bytes) as u64;
        let group_row = |u: usize| u * GROUP * usize::from(GRID) + usize::from(col) * GROUP;
        let in_group = |u: usize| valid.saturating_sub(group_row(u)).min(GROUP);
        let mut idle = Vec::new();
        if self.idle {
            let weights = self.shape.panels().group_offset(usize::from(col), 0) as u64;
            idle.push(self.args.weights.linear(weights, UNIT_BYTES as u64)?);
        }
        let mut send = |rt: &mut Runtime, bd: ShimBd, runs: u32, last: bool| {
            if runs > 1 && !idle.is_empty() {
                rt.task_chain(col, Mm2s(1), &std::mem::take(&mut idle), 1, false)?;
            }
            idle.push(bd);
            rt.task_chain(col, Mm2s(1), &std::mem::take(&mut idle), runs, last)
        };
        let groups = m / GROUP;
        let whole = (0..groups).take_while(|&u| in_group(u) == GROUP).count();
        if whole > 0 {
            let (inner, outer) = factor(words(GROUP * row_bytes));
            let stride = words(GROUP * usize::from(GRID) * row_bytes);
            let pattern = Pattern::new(&[(1, inner), (inner, outer), (stride, whole as u32)]);
            send(rt, self.args.x.bd(at(group_row(0)), pattern), 1, whole == groups)?;
        }
        let ragged = if whole < groups { in_group(whole) } else { 0 };
        let padded = m - whole * GROUP - ragged;
        if ragged > 0 {
            let bytes = (ragged * row_bytes) as u64;
            send(rt, self.args.x.linear(at(group_row(whole)), bytes)?, 1, padded == 0)?;
        }
        if padded > 0 {
            let last = self.args.x.linear(at(valid - 1), row_bytes as u64)?;
            send(rt, last, padded as u32, true)?;
        }
        Ok(())
    }

    /// Quantised rows on A.
    fn activations(&self, rt: &mut Runtime, col: u8) -> Result<(), Error> {
        let (m, record) = (self.shape.m() as u32, words(self.shape.record_bytes()));
        let region = self.shape.region_offset(usize::from(col)) as u64;
        let (k, column) = (self.inputs(), words(self.shape.limbs() * A_COLUMN_K));
        let behind = region + (self.shape.limbs() * k) as u64;
        let scales = self.args.scratch.bd(behind, Pattern::new(&[(1, column), (record, m)]));
        let codes = Pattern::new(&[(1, column), (record, m), (column, (k / A_COLUMN_K) as u32)]);
        let passes = self.shape.panels().passes() as u32;
        rt.task(col, Mm2s(0), &scales, 1, false)?;
        rt.task(col, Mm2s(0), &self.args.scratch.bd(region, codes), passes, false)?;
        rt.task(col, Mm2s(0), &scales, 1, true)
    }

    /// Rows of 64 outputs of every pass, on C.
    fn outputs(&self, rt: &mut Runtime) -> Result<(), Error> {
        let passes = self.shape.panels().passes();
        for pass in 0..passes {
            for col in 0..GRID {
                // x is through: its BDs serve what comes
                if pass == PASSES_IN_FLIGHT.min(passes - 1) {
                    rt.wait(col, Mm2s(1))?;
                }
                if pass >= PASSES_IN_FLIGHT {
                    rt.wait(col, S2mm(0))?;
                }
                rt.task_chain(col, S2mm(0), &self.pass_output(col, pass)?, 1, true)?;
            }
        }
        Ok(())
    }

    fn pass_output(&self, col: u8, pass: usize) -> Result<Vec<ShimBd>, Error> {
        let (width, column) = (self.shape.panels().n(), Panels::group_first_row(usize::from(col), pass));
        let (valid, rows) = (self.shape.valid_rows(self.block), self.shape.block_rows());
        let row = self.block * rows;
        let line = words(BF16 * TILE_COLUMNS);
        let pattern = Pattern::new(&[(1, line), (words(BF16 * width), valid as u32)]);
        let start = (BF16 * (row * width + column)) as u64;
        let mut chain = vec![self.args.y.bd(start, pattern)];
        if valid < rows {
            let pad = self.shape.pad_offset() + usize::from(col) * self.shape.pad_bytes_per_column();
            let bytes = (rows - valid) * BF16 * TILE_COLUMNS;
            chain.push(self.args.scratch.linear(pad as u64, bytes as u64)?);
        }
        Ok(chain)
    }
}

/// `words` as a product of two numbers of which the first is the largest divisor up to 1023, the wrap limit of a shim BD.
fn factor(words: u32) -> (u32, u32) {
    let inner = (1..=1023).rev().find(|d| words.is_multiple_of(*d)).unwrap_or(1);
    (inner, words / inner)
}
