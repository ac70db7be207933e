//! Access patterns: which words a BD moves, in which order, and whether a tile's DMA can do it.
//!
//! ```text
//! address(n) = offset + Σ_k c_k · step_k + i · iteration_step       c_0 runs fastest, c_k counts to wrap_k
//! ```
//! All quantities are words. The length of a transfer is the product of the wraps, zeros inserted by padding included.
// SOURCE: Xilinx/mlir-aie aie_registers_aie2.json (step, wrap, iteration semantics), Xilinx/aie-rt
// driver/src/dma/xaie_dma_aieml.c (stored minus one; padding rules).

use crate::device::{Channel, DMA_ALIGN_BYTES, Direction, ITERATIONS_MAX, TileKind};
use crate::error::Error;
use crate::regs::{Iteration, MemPad};

/// One dimension of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    /// Distance between two consecutive positions in words.
    pub step_words: u32,
    /// Number of positions.
    pub wrap: u32,
}

/// Which words a BD moves, in order; relative to a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    dims: Vec<Dim>,
    offset_words: u32,
    iteration: Option<Iteration>,
    pad: MemPad,
}

const DIM_NAMES: [(&str, &str); 4] =
    [("D0 step", "D0 wrap"), ("D1 step", "D1 wrap"), ("D2 step", "D2 wrap"), ("D3 step", "D3 wrap")];
const PAD_NAMES: [&str; 3] = ["D0 padding", "D1 padding", "D2 padding"];

impl Pattern {
    /// Dimensions `(step, wrap)` in words, innermost first. The outermost wrap is given too.
    pub fn new(dims: &[(u32, u32)]) -> Self {
        Pattern {
            dims: dims.iter().map(|&(step_words, wrap)| Dim { step_words, wrap }).collect(),
            offset_words: 0,
            iteration: None,
            pad: MemPad::default(),
        }
    }

    /// Consecutive words.
    pub fn linear(words: u32) -> Self {
        Pattern::new(&[(1, words)])
    }

    /// The same pattern `words` further into the buffer.
    #[must_use]
    pub fn offset(mut self, words: u32) -> Self {
        self.offset_words = self.offset_words.saturating_add(words);
        self
    }

    /// Each execution of the BD starts `step_words` further, for `count` executions, then from the start again.
    #[must_use]
    pub fn iterate(mut self, step_words: u32, count: u8) -> Self {
        self.iteration = Some(Iteration { step_words, count });
        self
    }

    /// Inserts zeros before and after D0 (words), D1 (padded rows) and D2 (padded blocks).
    #[must_use]
    pub fn pad(mut self, before: [u8; 3], after: [u8; 3]) -> Self {
        self.pad = MemPad { before, after };
        self
    }

    /// The dimensions, innermost first, as given.
    pub fn dims(&self) -> &[Dim] {
        &self.dims
    }

    /// First word of the pattern in its buffer (with all counters 0).
    pub fn offset_words(&self) -> u32 {
        self.offset_words
    }

    /// The movement between executions.
    pub fn iteration(&self) -> Option<Iteration> {
        self.iteration
    }

    /// Words moved over the stream in one execution, padding included.
    pub fn length_words(&self) -> u64 {
        let mut length = 1u64;
        for (k, dim) in self.dims.iter().enumerate() {
            length = length.saturating_mul(u64::from(dim.wrap) + self.padding(k));
        }
        length
    }

    /// One past the last word touched, over the first `runs` executions.
    pub fn end_words(&self, runs: u32) -> u64 {
        let spread: u64 =
            self.dims.iter().map(|d| u64::from(d.step_words) * (u64::from(d.wrap).saturating_sub(1))).sum();
        let moved = self
            .iteration
            .map_or(0, |it| u64::from(it.step_words) * u64::from(u32::from(it.count).min(runs).saturating_sub(1)));
        u64::from(self.offset_words) + spread + moved + 1
    }

    /// The words of execution `run` in stream order; `None` is an inserted zero.
    pub fn words(&self, run: u32) -> impl Iterator<Item = Option<u64>> + '_ {
        let moved =
            self.iteration.map_or(0, |it| u64::from(run % u32::from(it.count).max(1)) * u64::from(it.step_words));
        (0..self.length_words()).map(move |mut n| {
            let mut address = u64::from(self.offset_words) + moved;
            for (k, dim) in self.dims.iter().enumerate() {
                let extent = u64::from(dim.wrap) + self.padding(k);
                let position = (n % extent).checked_sub(self.before(k)).filter(|&p| p < u64::from(dim.wrap));
                n /= extent;
                address += position? * u64::from(dim.step_words);
            }
            Some(address)
        })
    }

    fn before(&self, dim: usize) -> u64 {
        self.pad.before.get(dim).map_or(0, |&z| u64::from(z))
    }

    fn padding(&self, dim: usize) -> u64 {
        self.before(dim) + self.pad.after.get(dim).map_or(0, |&z| u64::from(z))
    }

    /// The pattern as BD fields of a tile kind, or the first limit it breaks.
    ///
    /// Dimensions are joined where they are contiguous and split where a wrap exceeds its field, as far as the BD has
    /// dimensions; the order of words does not change.
    pub fn lower(&self, kind: TileKind, channel: Channel) -> Result<BdShape, Error> {
        let limits = kind.dma();
        let field = |field, asked: u64, limit: u64| {
            if asked > limit { Err(Error::PatternField { kind, field, asked, limit }) } else { Ok(()) }
        };
        if self.dims.is_empty() {
            return Err(Error::PatternZero { field: "length" });
        }
        for (k, dim) in self.dims.iter().enumerate() {
            let (step, wrap) = DIM_NAMES.get(k).copied().unwrap_or(("step", "wrap"));
            if dim.wrap == 0 {
                return Err(Error::PatternZero { field: wrap });
            }
            if dim.step_words == 0 && dim.wrap > 1 {
                return Err(Error::PatternZero { field: step });
            }
        }
        let padded = self.pad != MemPad::default();
        let dims = if padded { self.dims.clone() } else { split_wraps(joined(&self.dims), kind) };
        if dims.len() > limits.dims {
            return Err(Error::PatternDims { kind, asked: dims.len(), limit: limits.dims });
        }
        field("length", self.length_words(), u64::from(limits.length_words))?;
        if padded {
            if kind != TileKind::Mem || channel.direction != Direction::Mm2s {
                return Err(Error::PaddingUnavailable { kind, channel });
            }
            for (k, name) in PAD_NAMES.iter().enumerate() {
                let most = self.pad.before[k].max(self.pad.after[k]);
                // A dimension that is not there has wrap 0 and cannot be padded.
                let limit = if k < dims.len() { MemPad::MAX[k] } else { 0 };
                field(name, u64::from(most), u64::from(limit))?;
            }
        }
        let linear = !padded && dims.len() == 1 && dims[0].step_words == 1;
        let mut shape = BdShape {
            steps: [1; 4],
            wraps: [0; 3],
            length_words: self.length_words() as u32,
            offset_words: self.offset_words,
            pad: self.pad,
            iteration: self.iteration,
        };
        for (k, dim) in dims.iter().enumerate() {
            field(DIM_NAMES[k].0, u64::from(dim.step_words), u64::from(limits.step_words))?;
            shape.steps[k] = dim.step_words.max(1);
            // The outermost dimension ends with the length, and needs no wrap.
            let last = k + 1 == dims.len() && !padded;
            if k + 1 < limits.dims && !linear && !(last && dim.wrap > limits.wrap) {
                field(DIM_NAMES[k].1, u64::from(dim.wrap), u64::from(limits.wrap))?;
                shape.wraps[k] = dim.wrap;
            }
        }
        if let Some(it) = self.iteration {
            if it.count == 0 || it.step_words == 0 {
                return Err(Error::PatternZero { field: "iteration" });
            }
            field("iteration count", u64::from(it.count), u64::from(ITERATIONS_MAX))?;
            field("iteration step", u64::from(it.step_words), u64::from(limits.step_words))?;
        }
        if let Some(bytes) = limits.memory_bytes {
            field("end of the pattern", self.end_words(u32::MAX), u64::from(bytes / DMA_ALIGN_BYTES))?;
        }
        Ok(shape)
    }
}

/// Dimensions without those of one position, and with contiguous neighbours joined.
fn joined(dims: &[Dim]) -> Vec<Dim> {
    let mut out: Vec<Dim> = Vec::with_capacity(dims.len());
    for &dim in dims.iter().filter(|d| d.wrap > 1) {
        match out.last_mut() {
            Some(inner) if u64::from(inner.step_words) * u64::from(inner.wrap) == u64::from(dim.step_words) => {
                match inner.wrap.checked_mul(dim.wrap) {
                    Some(wrap) => inner.wrap = wrap,
                    None => out.push(dim),
                }
            }
            Some(_) | None => out.push(dim),
        }
    }
    if out.is_empty() {
        out.push(Dim { step_words: 1, wrap: 1 });
    }
    out
}

/// Splits inner dimensions whose wrap exceeds its field into two by the smallest factor that helps.
fn split_wraps(mut dims: Vec<Dim>, kind: TileKind) -> Vec<Dim> {
    let limit = kind.dma().wrap;
    let mut k = 0;
    while k + 1 < dims.len() {
        let Dim { step_words, wrap } = dims[k];
        if wrap > limit {
            let Some(factor) = (wrap.div_ceil(limit)..wrap).find(|f| wrap.is_multiple_of(*f)) else { return dims };
            let inner = wrap / factor;
            let Some(outer_step) = step_words.checked_mul(inner) else { return dims };
            dims[k].wrap = inner;
            dims.insert(k + 1, Dim { step_words: outer_step, wrap: factor });
        }
        k += 1;
    }
    dims
}

/// A pattern as BD fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BdShape {
    /// Steps of D0..=D3 in words; unused ones are 1.
    pub steps: [u32; 4],
    /// Wraps of D0..=D2; 0 never wraps.
    pub wraps: [u32; 3],
    /// Words moved over the stream.
    pub length_words: u32,
    /// First word relative to the buffer.
    pub offset_words: u32,
    /// Zeros inserted.
    pub pad: MemPad,
    /// Movement between executions.
    pub iteration: Option<Iteration>,
}

#[cfg(test)]
mod tests;
