//! Outputs against expected ones.

use half::bf16;

/// Where outputs are not the expected ones.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{differing} of {elements} outputs differ from {from}, by {max_abs:e} at most; first: row {row}, column {column} is {found} ({found_bits:#06x}), expected {expected} ({expected_bits:#06x})"
)]
pub struct Difference {
    /// What they were compared with.
    pub from: String,
    /// Outputs.
    pub elements: usize,
    /// Those whose bits differ.
    pub differing: usize,
    /// Largest absolute difference; NaN where one side is no number.
    pub max_abs: f32,
    /// Row of the first.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// It.
    pub found: f32,
    /// Its bits.
    pub found_bits: u16,
    /// What was expected.
    pub expected: f32,
    /// Its bits.
    pub expected_bits: u16,
}

impl Difference {
    /// Whether no output is further off than `tolerance`.
    pub fn within(&self, tolerance: f32) -> bool {
        self.max_abs <= tolerance
    }
}

/// Compares bfloat16 bits, `[rows][columns]`; nothing if all are equal.
///
/// # Panics
/// If the two have different lengths.
pub fn difference(found: &[u16], expected: &[u16], columns: usize, from: &str) -> Option<Difference> {
    assert_eq!(found.len(), expected.len(), "outputs of different shapes");
    let value = |bits: u16| bf16::from_bits(bits).to_f32();
    let differing: Vec<usize> = (0..found.len()).filter(|&i| found[i] != expected[i]).collect();
    let &first = differing.first()?;
    // f32::max would lose a NaN.
    let larger = |a: f32, b: f32| if a.is_nan() || b <= a { a } else { b };
    let max_abs = differing.iter().map(|&i| (value(found[i]) - value(expected[i])).abs()).fold(0.0, larger);
    Some(Difference {
        from: from.to_owned(),
        elements: found.len(),
        differing: differing.len(),
        max_abs,
        row: first / columns,
        column: first % columns,
        found: value(found[first]),
        found_bits: found[first],
        expected: value(expected[first]),
        expected_bits: expected[first],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_largest_are_told() {
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|v| bf16::from_f32(v).to_bits());
        assert_eq!(difference(&expected, &expected, 3, "file"), None);
        let mut found = expected;
        found[4] = bf16::from_f32(5.5).to_bits();
        found[5] = bf16::from_f32(7.0).to_bits();
        let told = difference(&found, &expected, 3, "file").unwrap();
        assert_eq!((told.differing, told.max_abs, told.row, told.column), (2, 1.0, 1, 1));
        assert!(told.within(1.0) && !told.within(0.5));
        assert_eq!(
            told.to_string(),
            "2 of 6 outputs differ from file, by 1e0 at most; first: row 1, column 1 is 5.5 (0x40b0), expected 5 (0x40a0)"
        );
    }

    #[test]
    fn no_tolerance_takes_what_is_no_number() {
        let (nan, one) = (0x7FC0, bf16::ONE.to_bits());
        for (found, expected) in [([nan, one], [one, 0]), ([0, nan], [one, one]), ([one, one], [0, nan])] {
            let told = difference(&found, &expected, 2, "file").unwrap();
            assert!(told.max_abs.is_nan() && !told.within(f32::INFINITY), "{told}");
        }
    }
}
