//! Which keys a query sees: key j ≤ query i, and on local layers j > i - window, so that the window counts the query's own key.
//!
//! ```text
//!            keys ─►                      blocks of queries × keys
//! queries  ■ ■                            Full    every pair is seen: no mask
//!    │     ■ ■ ■        window 3          Edge    some pairs are seen: mask
//!    ▼       ■ ■ ■                        Empty   none: neither loaded nor computed
//!              ■ ■ ■
//! ```
//!
//! SOURCE: huggingface/transformers `masking_utils.py`, causal_mask_function and sliding_window_overlay.

use std::ops::Range;

/// A causal mask with or without a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    window: Option<usize>,
}

/// How much of a block a mask lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing.
    Empty,
    /// Some pairs.
    Edge,
    /// Every pair.
    Full,
}

impl Mask {
    /// Everything up to the query.
    pub const fn causal() -> Self {
        Self { window: None }
    }

    /// The last `window` keys, the query's own included.
    ///
    /// # Panics
    /// If the window is empty.
    pub const fn sliding(window: usize) -> Self {
        assert!(window > 0, "a window holds at least the query's own key");
        Self { window: Some(window) }
    }

    /// Positions of the keys that the query at a position sees; never empty.
    pub const fn keys(&self, query: usize) -> Range<usize> {
        let first = match self.window {
            Some(window) => (query + 1).saturating_sub(window),
            None => 0,
        };
        first..query + 1
    }

    /// Whether a query sees a key.
    pub fn sees(&self, query: usize, key: usize) -> bool {
        self.keys(query).contains(&key)
    }

    /// Coverage of a block of positions.
    pub fn coverage(&self, queries: Range<usize>, keys: Range<usize>) -> Coverage {
        if queries.is_empty() || keys.is_empty() {
            return Coverage::Empty;
        }
        // Both bounds of `keys(query)` grow with the query, and neighbours overlap: together a block's queries see one range without a hole.
        let (of_first, of_last) = (self.keys(queries.start), self.keys(queries.end - 1));
        if keys.start >= of_last.end || keys.end <= of_first.start {
            Coverage::Empty
        } else if keys.start >= of_last.start && keys.end <= of_first.end {
            Coverage::Full
        } else {
            Coverage::Edge
        }
    }

    /// Pairs that a prefill of `queries` needs: the work that utilisation is counted against.
    pub fn pairs(&self, queries: Range<usize>) -> u64 {
        queries.map(|query| self.keys(query).len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_of_1024_counts_the_querys_own_key() {
        let mask = Mask::sliding(1024);
        assert_eq!(mask.keys(1023), 0..1024);
        assert_eq!(mask.keys(1024), 1..1025);
        assert!(mask.sees(1023, 0) && !mask.sees(1024, 0) && !mask.sees(5, 6));
    }

    #[test]
    fn needed_pairs_of_a_prefill() {
        assert_eq!(Mask::causal().pairs(0..2048), 2048 * 2049 / 2);
        assert_eq!(Mask::sliding(1024).pairs(0..2048), 1024 * 1025 / 2 + 1024 * 1024);
    }

    proptest! {
        #[test]
        fn coverage_is_what_counting_pairs_gives(
            window in prop::option::of(1usize..20), q0 in 0usize..40, queries in 0usize..12, k0 in 0usize..40, keys in 0usize..12
        ) {
            let mask = window.map_or(Mask::causal(), Mask::sliding);
            let seen = (q0..q0 + queries).flat_map(|q| (k0..k0 + keys).map(move |k| (q, k))).filter(|&(q, k)| mask.sees(q, k)).count();
            let expected = match seen {
                0 => Coverage::Empty,
                n if n == queries * keys => Coverage::Full,
                _ => Coverage::Edge,
            };
            let found = mask.coverage(q0..q0 + queries, k0..k0 + keys);
            prop_assert_eq!(found, expected);
        }
    }
}
