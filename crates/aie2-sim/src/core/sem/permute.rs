//! Shuffles, shifts, broadcasts, insertions and extractions of 64-byte vectors.

use super::lanes::{get, put};

/// One VSHUFFLE mode: the input seen as rows x columns of `bits`, transposed.
#[derive(Clone, Copy)]
struct Mode {
    bits: u16,
    rows: u16,
    cols: u16,
    high: bool,
}

const fn t(bits: u16, rows: u16, cols: u16) -> Mode {
    Mode { bits, rows, cols, high: false }
}

const fn hi(bits: u16, rows: u16, cols: u16) -> Mode {
    Mode { bits, rows, cols, high: true }
}

/// Mode that swaps neighbouring 16-bit lanes, the one that is not a transposition.
const FLIP: usize = 38;

// SOURCE: Xilinx/llvm-aie aiev2_enums.h (mode names). MEASURED: FIM43-Redeye/xdna-emu, silicon routing of all 48 modes.
#[rustfmt::skip]
const MODES: [Mode; 48] = [
    t(8, 64, 2), hi(8, 64, 2), t(16, 32, 2), hi(16, 32, 2), t(32, 16, 2), hi(32, 16, 2), t(64, 8, 2), hi(64, 8, 2),
    t(128, 4, 2), hi(128, 4, 2), t(256, 2, 2), hi(256, 2, 2), t(128, 2, 4), hi(128, 2, 4), t(64, 2, 8), hi(64, 2, 8),
    t(32, 2, 16), hi(32, 2, 16), t(16, 2, 32), hi(16, 2, 32), t(8, 2, 64), hi(8, 2, 64), t(512, 1, 2), hi(512, 1, 2),
    t(16, 16, 4), hi(16, 16, 4), t(16, 4, 16), hi(16, 4, 16), t(16, 8, 4), t(16, 4, 8), t(32, 8, 4), hi(32, 8, 4),
    t(32, 4, 8), hi(32, 4, 8), t(32, 4, 4), t(8, 8, 8), t(8, 16, 4), t(8, 4, 16), t(16, 1, 2), t(16, 4, 4),
    t(16, 4, 2), t(16, 2, 4), t(16, 8, 2), t(16, 2, 8), t(16, 16, 2), t(16, 2, 16), t(8, 8, 4), t(8, 4, 8),
];

/// Route of an output byte that takes no input byte and is zero.
pub const ZERO: u8 = 128;

/// Reserved modes that silicon was seen to run: byte 0 of s1 comes out at byte 0, every other byte is zero.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording VSHUFFLE, hw0324/b051 points 20 (mode 50), 21 (55), 25 (52), 27 (58),
// 29 (48) and det0331/b052 points 10 (59), 12 (49), 14 (53), 17 (53). Points 21, 12 and 14 have s1 != s2. The other reserved
// modes were never recorded.
const RECORDED_RESERVED: [u32; 8] = [48, 49, 50, 52, 53, 55, 58, 59];

/// Route of VSHUFFLE: [`transpose_route`], and the reserved modes that were recorded.
pub fn shuffle_route(mode: u32) -> Option<[u8; 64]> {
    if RECORDED_RESERVED.contains(&(mode & 63)) {
        return Some(std::array::from_fn(|i| if i == 0 { 0 } else { ZERO }));
    }
    transpose_route(mode)
}

/// For every output byte the input byte it takes, 0..63 from s1, 64..127 from s2; `None` for modes 48..=63.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording VSHUFFLE (30 points): bits above the low six of the mode are ignored.
pub fn transpose_route(mode: u32) -> Option<[u8; 64]> {
    let index = Some(mode as usize & 63).filter(|&m| m < MODES.len())?;
    let m = MODES[index];
    let mut route = [0; 64];
    if index == FLIP {
        for (i, r) in route.iter_mut().enumerate() {
            *r = (i ^ 2) as u8;
        }
        return Some(route);
    }
    let (w, rows, cols) = (usize::from(m.bits / 8), usize::from(m.rows), usize::from(m.cols));
    let block = w * rows * cols;
    for (i, r) in route.iter_mut().enumerate() {
        let o = if m.high { i + 64 } else { i };
        let (base, inside) = (o / block * block, o % block);
        let (element, byte) = (inside / w, inside % w);
        // Output element (c, r) of the transpose is input element (r, c).
        let (col, row) = (element / rows, element % rows);
        *r = (base + (row * cols + col) * w + byte) as u8;
    }
    Some(route)
}

/// Which sources a mode reads: (s1, s2).
pub fn shuffle_reads(mode: u32) -> Option<(bool, bool)> {
    shuffle_route(mode).map(|r| (r.iter().any(|&b| b < 64), r.iter().any(|&b| (64..ZERO).contains(&b))))
}

/// Applies a route to s1 and s2.
pub fn shuffle(route: &[u8; 64], s1: &[u8; 64], s2: &[u8; 64]) -> [u8; 64] {
    route.map(|b| match b {
        0..64 => s1[usize::from(b)],
        64..ZERO => s2[usize::from(b) - 64],
        _ => 0,
    })
}

/// `{s2:s1}` shifted right by `bytes`, low 64 bytes; `None` for 65..=127, of which nothing is known.
// SOURCE: Xilinx/llvm-aie aiev2_vshift.h (0..=64). MEASURED: FIM43-Redeye/xdna-emu, silicon recording VSHIFT (15 points):
// amounts of 128 and more give zero.
pub fn shift(s1: &[u8; 64], s2: &[u8; 64], bytes: u32) -> Option<[u8; 64]> {
    match bytes {
        0..=64 => {
            let n = bytes as usize;
            Some(std::array::from_fn(|i| if i + n < 64 { s1[i + n] } else { s2[i + n - 64] }))
        }
        128.. => Some([0; 64]),
        65..=127 => None,
    }
}

/// `vshift.align`: as [`shift`], but the part of s1 starts at byte 4; `None` outside of what was measured.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording VSHIFT_ALIGN (25 points: pre 1 with amounts 5..=53, and amounts of 128
// and more, which give zero).
pub fn shift_align(s1: &[u8; 64], pre: u32, s2: &[u8; 64], bytes: u32) -> Option<[u8; 64]> {
    match (pre, bytes) {
        (_, 128..) => Some([0; 64]),
        (1, 4..=64) => {
            let first = 64 - bytes as usize;
            Some(std::array::from_fn(|i| if i < first { s1[4 + i] } else { s2[i - first] }))
        }
        _ => None,
    }
}

/// Every lane of `bits` holds the low bits of `value`.
pub fn broadcast(value: u64, bits: u32) -> [u8; 64] {
    let mut out = [0; 64];
    for i in 0..512 / bits as usize {
        put(&mut out, i, bits, value as i64);
    }
    out
}

/// Lane `index` (modulo the lane count) of `bits`, extended.
pub fn extract(v: &[u8; 64], index: u32, bits: u32, signed: bool) -> i64 {
    get(v, index as usize % (512 / bits as usize), bits, signed)
}

/// `v` with lane `index` (modulo the lane count) replaced.
pub fn insert(v: &[u8; 64], index: u32, bits: u32, value: u64) -> [u8; 64] {
    let mut out = *v;
    put(&mut out, index as usize % (512 / bits as usize), bits, value as i64);
    out
}

/// Lanes move up by one, `value` enters at lane 0.
pub fn push_low(v: &[u8; 64], bits: u32, value: u64) -> [u8; 64] {
    let n = bits as usize / 8;
    let mut out = [0; 64];
    out[n..].copy_from_slice(&v[..64 - n]);
    put(&mut out, 0, bits, value as i64);
    out
}

/// Lanes move down by one, `value` enters at the top lane.
pub fn push_high(v: &[u8; 64], bits: u32, value: u64) -> [u8; 64] {
    let n = bits as usize / 8;
    let mut out = [0; 64];
    out[..64 - n].copy_from_slice(&v[n..]);
    put(&mut out, 512 / bits as usize - 1, bits, value as i64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_routes_within_its_sources() {
        for mode in 0..48 {
            let route = shuffle_route(mode).expect("modes 0..47 exist");
            assert!(route.iter().all(|&b| b < 128), "mode {mode}");
        }
        assert_eq!(shuffle_reads(29), Some((true, false)));
        assert_eq!(shuffle_reads(23), Some((false, true)));
        assert_eq!(shuffle_reads(3), Some((true, true)));
    }

    #[test]
    fn reserved_modes_run_where_silicon_was_seen_to_run_them() {
        let recorded: Vec<u32> = (48..64).filter(|&m| shuffle_route(m).is_some()).collect();
        assert_eq!(recorded, [48, 49, 50, 52, 53, 55, 58, 59]);
        let route = shuffle_route(64 + 53).expect("recorded");
        assert_eq!((route[0], &route[1..]), (0, &[ZERO; 63][..]));
        assert_eq!(shuffle_reads(53), Some((true, false)));
        // Recorded of VSHUFFLE, not of the broadcast shuffle.
        assert!((48..64).all(|m| transpose_route(m).is_none()));
    }

    #[test]
    fn byte_transpose_of_an_int8_tile() {
        let route = shuffle_route(35).expect("mode 35");
        for r in 0..8 {
            for c in 0..8 {
                assert_eq!(usize::from(route[c * 8 + r]), r * 8 + c);
            }
        }
    }

    #[test]
    fn shift_joins_two_vectors() {
        let (a, b): ([u8; 64], [u8; 64]) = (std::array::from_fn(|i| i as u8), std::array::from_fn(|i| 100 + i as u8));
        assert_eq!(shift(&a, &b, 0), Some(a));
        assert_eq!(shift(&a, &b, 64), Some(b));
        assert_eq!(shift(&a, &b, 5).map(|v| (v[0], v[59])), Some((5, 100)));
        assert_eq!((shift(&a, &b, 65), shift(&a, &b, 128)), (None, Some([0; 64])));
        assert_eq!(shift_align(&a, 1, &b, 60).map(|v| (v[0], v[4])), Some((4, 100)));
        assert_eq!(shift_align(&a, 2, &b, 60), None);
    }

    #[test]
    fn pushes_move_lanes() {
        let v: [u8; 64] = std::array::from_fn(|i| i as u8);
        assert_eq!(push_low(&v, 16, 0xabcd)[..4], [0xcd, 0xab, 0, 1]);
        assert_eq!(push_high(&v, 16, 0xabcd)[60..], [62, 63, 0xcd, 0xab]);
        assert_eq!(extract(&insert(&v, 3, 32, 0xffff_fff0), 3, 32, true), -16);
    }
}
