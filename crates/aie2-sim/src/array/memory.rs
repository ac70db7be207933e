//! Data memory with a record of which bytes were ever written.

/// Bytes plus one "written" bit per byte.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    /// Bit b of word w: byte 64 w + b was written.
    written: Vec<u64>,
}

impl Memory {
    /// `len` bytes, none of them written. `len` is a multiple of 64 or rounded up in the record only.
    pub fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], written: vec![0; len.div_ceil(64)] }
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the memory has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The raw bytes, written or not.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether byte `at` was written.
    pub fn is_written(&self, at: usize) -> bool {
        self.written[at >> 6] >> (at & 63) & 1 != 0
    }

    /// First byte of `at..at + len` that was never written.
    #[inline]
    pub fn first_unwritten(&self, at: usize, len: usize) -> Option<usize> {
        if len == 0 {
            return None;
        }
        let shift = at & 63;
        if shift + len <= 64 {
            let mask = (u64::MAX >> (64 - len)) << shift;
            let missing = !self.written[at >> 6] & mask;
            return (missing != 0).then(|| (at & !63) + missing.trailing_zeros() as usize);
        }
        let head = 64 - shift;
        self.first_unwritten(at, head).or_else(|| {
            let (mut p, end) = (at + head, at + len);
            while p < end {
                let n = (end - p).min(64);
                if let Some(bad) = self.first_unwritten(p, n) {
                    return Some(bad);
                }
                p += n;
            }
            None
        })
    }

    /// Number of never-written bytes in a range.
    pub fn unwritten_in(&self, at: usize, len: usize) -> usize {
        (at..at + len).filter(|&b| !self.is_written(b)).count()
    }

    #[inline]
    fn mark(&mut self, at: usize, len: usize) {
        let (mut p, end) = (at, at + len);
        while p < end {
            let shift = p & 63;
            let n = (end - p).min(64 - shift);
            self.written[p >> 6] |= (u64::MAX >> (64 - n)) << shift;
            p += n;
        }
    }

    /// Stores bytes. The range lies inside the memory.
    #[inline]
    pub fn write(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.mark(at, data.len());
    }

    /// Reads bytes, written or not. The range lies inside the memory.
    #[inline]
    pub fn read(&self, at: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
    }

    /// Reads 32 aligned bytes if all were written.
    #[inline(always)]
    pub fn piece(&self, at: usize) -> Option<&[u8; 32]> {
        let written = self.written[at >> 6] >> (at & 63) & 0xffff_ffff;
        if written == 0xffff_ffff { self.bytes[at..at + 32].as_array() } else { None }
    }

    /// The four words of the line around `at` and its 16 marks of written bytes. `None`: the memory ends inside the line.
    #[inline(always)]
    pub fn line(&self, at: usize) -> Option<([u32; 4], u16)> {
        let at = at & !15;
        let bytes: &[u8; 16] = self.bytes.get(at..at + 16)?.as_array()?;
        let word = |i: usize| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
        Some((std::array::from_fn(word), (self.written[at >> 6] >> (at & 63)) as u16))
    }

    /// Stores the four words of an aligned line.
    #[inline(always)]
    pub fn set_line(&mut self, at: usize, words: [u32; 4]) {
        let mut bytes = [0; 16];
        for (b, w) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *b = w.to_le_bytes();
        }
        self.bytes[at..at + 16].copy_from_slice(&bytes);
        self.written[at >> 6] |= 0xffff << (at & 63);
    }

    /// A word and its mask of written bytes. `at` is word aligned.
    #[inline]
    pub fn word(&self, at: usize) -> (u32, u8) {
        let b = &self.bytes[at..at + 4];
        let valid = (self.written[at >> 6] >> (at & 63)) as u8 & 0xf;
        (u32::from_le_bytes([b[0], b[1], b[2], b[3]]), valid)
    }

    /// Stores a word of which the bytes in `valid` are real data; the others become "never written".
    #[inline]
    pub fn set_word(&mut self, at: usize, data: u32, valid: u8) {
        self.bytes[at..at + 4].copy_from_slice(&data.to_le_bytes());
        let w = &mut self.written[at >> 6];
        let shift = at & 63;
        *w = *w & !(0xf << shift) | u64::from(valid & 0xf) << shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bits_follow_every_byte() {
        let mut m = Memory::new(256);
        m.write(60, &[1; 10]);
        assert_eq!(m.first_unwritten(60, 10), None);
        assert_eq!(m.first_unwritten(59, 4), Some(59));
        assert_eq!(m.first_unwritten(60, 11), Some(70));
        assert_eq!(m.first_unwritten(0, 256), Some(0));
        assert_eq!(m.unwritten_in(0, 256), 246);
        m.set_word(60, 7, 0b0101);
        assert_eq!(m.word(60), (7, 0b0101));
        assert_eq!(m.first_unwritten(60, 1), None);
        assert_eq!(m.first_unwritten(60, 2), Some(61));
        m.write(128, &[2; 128]);
        assert_eq!(m.first_unwritten(128, 128), None);
        assert_eq!(m.first_unwritten(127, 129), Some(127));
    }
}
