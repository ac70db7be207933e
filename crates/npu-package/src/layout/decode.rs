//! The call of a projection for one to four tokens: sizes of the host buffers.
//!
//! ```text
//! x, ctx   bf16 [S][K]     row-major, S of 1 ..= 4
//! weights  panels          as in every other projection
//! qkv, o   bf16 [4][N]     row-major; row s holds token s mod S, so rows from S on repeat others
//! scratch  opaque          where what no output is drains
//! ```

use super::panels::Panels;
use super::shape::{ARRAY_COLUMNS, Activations, CORE_ROWS};
use super::{GROUP_ROWS, LayoutError};

/// Tokens that the array computes at once.
pub const DECODE_TOKENS: usize = 4;
/// Inputs per token at most: what the codes of [`DECODE_TOKENS`] tokens leave room for in a compute tile.
pub const DECODE_HIDDEN_MAX: usize = 5376;
/// Results of [`GROUP_ROWS`] outputs that a compute tile gives in one turn.
pub const DECODE_TURN_RESULTS: usize = 4;

const BF16_BYTES: usize = 2;

/// A projection of at most [`DECODE_TOKENS`] tokens. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeShape {
    panels: Panels,
    activations: Activations,
    seq: usize,
}

impl DecodeShape {
    /// The shape of a call with these weights.
    ///
    /// # Errors
    /// No token or too many, or rows that are too long.
    pub fn new(seq: usize, panels: Panels, activations: Activations) -> Result<Self, LayoutError> {
        if seq == 0 {
            return Err(LayoutError::EmptySequence);
        }
        if seq > DECODE_TOKENS {
            return Err(LayoutError::DecodeTokens { tokens: seq, limit: DECODE_TOKENS });
        }
        let hidden = panels.inputs();
        if hidden > DECODE_HIDDEN_MAX {
            return Err(LayoutError::DecodeHidden { hidden, limit: DECODE_HIDDEN_MAX });
        }
        Ok(Self { panels, activations, seq })
    }

    /// Layout of the weights.
    pub const fn panels(&self) -> &Panels {
        &self.panels
    }
    /// Width of the activations' codes.
    pub const fn activations(&self) -> Activations {
        self.activations
    }
    /// S.
    pub const fn seq(&self) -> usize {
        self.seq
    }
    /// Turns of [`DECODE_TURN_RESULTS`] results that every compute tile gives; the last one may hold some that are no outputs.
    pub const fn turns(&self) -> usize {
        self.panels.passes().div_ceil(CORE_ROWS * DECODE_TURN_RESULTS)
    }
    /// Bytes of one result: [`DECODE_TOKENS`] rows of [`GROUP_ROWS`] outputs.
    pub const fn result_bytes() -> usize {
        BF16_BYTES * DECODE_TOKENS * GROUP_ROWS
    }
    /// Bytes of `x`.
    pub const fn x_bytes(&self) -> usize {
        BF16_BYTES * self.seq * self.panels.inputs()
    }
    /// Bytes of `weights`.
    pub const fn weights_bytes(&self) -> usize {
        self.panels.bytes()
    }
    /// Bytes of the outputs.
    pub const fn y_bytes(&self) -> usize {
        BF16_BYTES * DECODE_TOKENS * self.panels.n()
    }
    /// Byte offset in `scratch` of what a compute tile gives beyond its outputs.
    pub const fn spill_offset(column: usize, core_row: usize) -> usize {
        (column * CORE_ROWS + core_row) * DECODE_TURN_RESULTS * Self::result_bytes()
    }
    /// Bytes of `scratch`: a turn of every compute tile.
    pub const fn scratch_bytes() -> usize {
        Self::spill_offset(ARRAY_COLUMNS, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_27b() {
        let panels = Panels::new(5376, 4096, 2048, 2048).expect("27B");
        let shape = DecodeShape::new(3, panels, Activations::Int16).expect("a legal shape");
        assert_eq!((shape.x_bytes(), shape.y_bytes()), (3 * 5376 * 2, 4 * 8192 * 2));
        assert_eq!((shape.weights_bytes(), shape.turns()), (44_564_480, 2));
        assert_eq!(DecodeShape::scratch_bytes(), 32_768);
    }

    #[test]
    fn what_is_no_output_has_a_place_of_its_own() {
        let places = (0..ARRAY_COLUMNS).flat_map(|c| (0..CORE_ROWS).map(move |r| DecodeShape::spill_offset(c, r)));
        let turn = DECODE_TURN_RESULTS * DecodeShape::result_bytes();
        assert!(places.enumerate().all(|(i, at)| at == i * turn));
    }

    #[test]
    fn rules_are_named() {
        let of =
            |seq, hidden| DecodeShape::new(seq, Panels::new(hidden, 256, 256, 256).expect("legal"), Activations::Int8);
        assert_eq!(of(0, 256), Err(LayoutError::EmptySequence));
        assert_eq!(of(5, 256), Err(LayoutError::DecodeTokens { tokens: 5, limit: 4 }));
        assert_eq!(of(4, 5632), Err(LayoutError::DecodeHidden { hidden: 5632, limit: 5376 }));
        assert!(of(4, 5376).is_ok());
    }
}
