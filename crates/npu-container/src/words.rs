//! Words in byte buffers.

/// The word at byte `offset`, or `None` if it does not lie inside `bytes`.
pub(crate) fn word_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    let raw: [u8; 4] = bytes.get(offset..end)?.try_into().ok()?;
    Some(u32::from_le_bytes(raw))
}

/// Appends `words` to `out`.
pub(crate) fn put_words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// The complement of the wrapping sum, as all PDI tables and the CDO header carry it.
// SOURCE: Xilinx/bootgen PDI and CDO writers; recomputed over AMD's Phoenix files (Xilinx/VTD validate_npu.xclbin).
pub(crate) fn checksum(words: &[u32]) -> u32 {
    !words.iter().fold(0u32, |sum, word| sum.wrapping_add(*word))
}

/// First phase of a writer: hands out ranges of a file that does not exist yet, each 8-byte aligned.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    end: usize,
}

impl Reservation {
    /// Reserves the next `bytes` bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) -> std::ops::Range<usize> {
        let start = self.end.next_multiple_of(8);
        self.end = start + bytes;
        start..self.end
    }

    /// Ends the phase: the zeroed file that the ranges index.
    pub(crate) fn into_file(self) -> Vec<u8> {
        vec![0; self.end.next_multiple_of(8)]
    }
}

/// Second phase of a writer: fills part of a reserved range.
pub(crate) fn put(file: &mut [u8], offset: usize, bytes: &[u8]) {
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}
