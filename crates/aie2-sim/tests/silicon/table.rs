//! Tables of recordings.

/// Bytes of a hexadecimal string.
pub fn hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("hexadecimal digit") as u8;
    // An odd digit at the end belongs to a byte cut off by the recording.
    text.as_bytes().chunks(2).map(|c| digit(c[0]) << 4 | c.get(1).map_or(0, |d| digit(*d))).collect()
}

/// Data lines of a table.
pub fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|l| !l.starts_with('#') && !l.is_empty())
}
