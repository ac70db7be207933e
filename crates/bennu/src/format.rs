//! Numbers and columns for people.

use std::fmt::Write;

/// 54018692608 -> "54 018 692 608".
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// 68157440 -> "65.00 MiB".
pub fn binary_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

/// Lines of cells; every column is as wide as its widest cell.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Columns {
    /// One letter per column: `l` left, `r` right aligned.
    pub fn new(alignment: &str) -> Self {
        Columns { rows: Vec::new(), right: alignment.chars().map(|c| c == 'r').collect() }
    }

    /// Adds a line.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The text, each line indented by two spaces.
    pub fn render(&self) -> String {
        let mut widths = vec![0; self.right.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                // Writing to a String cannot fail.
                let _ = if right { write!(line, "  {cell:>width$}") } else { write!(line, "  {cell:<width$}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1000, 54_018_692_608].map(grouped), ["0", "999", "1 000", "54 018 692 608"]);
        assert_eq!([1, 1024, 65 << 20, 3 << 39].map(binary_bytes), ["1 B", "1.00 KiB", "65.00 MiB", "1.50 TiB"]);
    }

    #[test]
    fn columns_align() {
        let mut columns = Columns::new("lr");
        columns.row(["a".into(), "10".into()]);
        columns.row(["long".into(), "5".into()]);
        assert_eq!(columns.render(), "  a     10\n  long   5\n");
    }
}
