//! Little-endian lanes of byte vectors, and the elementwise integer and bf16 unit.

/// A native lane type.
pub trait Lane: Copy {
    /// Lane `i` of `bytes`.
    fn load(bytes: &[u8], i: usize) -> Self;
    /// Writes lane `i` of `bytes`.
    fn store(self, bytes: &mut [u8], i: usize);
}

macro_rules! lane {
    ($($t:ty),*) => { $(impl Lane for $t {
        #[inline(always)]
        fn load(bytes: &[u8], i: usize) -> Self {
            const N: usize = size_of::<$t>();
            let mut b = [0; N];
            b.copy_from_slice(&bytes[i * N..i * N + N]);
            <$t>::from_le_bytes(b)
        }
        #[inline(always)]
        fn store(self, bytes: &mut [u8], i: usize) {
            const N: usize = size_of::<$t>();
            bytes[i * N..i * N + N].copy_from_slice(&self.to_le_bytes());
        }
    })* };
}
lane!(u8, i8, u16, i16, u32, i32, u64, i64);

/// Lane `i` of `bits` (4, 8, 16, 32 or 64) bits, extended.
pub fn get(bytes: &[u8], i: usize, bits: u32, signed: bool) -> i64 {
    match (bits, signed) {
        (4, s) => {
            let nibble = bytes[i / 2] >> (4 * (i % 2)) & 15;
            if s { i64::from((nibble << 4) as i8 >> 4) } else { i64::from(nibble) }
        }
        (8, true) => i64::from(i8::load(bytes, i)),
        (8, false) => i64::from(u8::load(bytes, i)),
        (16, true) => i64::from(i16::load(bytes, i)),
        (16, false) => i64::from(u16::load(bytes, i)),
        (32, true) => i64::from(i32::load(bytes, i)),
        (32, false) => i64::from(u32::load(bytes, i)),
        _ => i64::load(bytes, i),
    }
}

/// Writes the low `bits` of `v` to lane `i`.
pub fn put(bytes: &mut [u8], i: usize, bits: u32, v: i64) {
    match bits {
        4 => {
            let shift = 4 * (i % 2);
            bytes[i / 2] = bytes[i / 2] & !(15 << shift) | (v as u8 & 15) << shift;
        }
        8 => (v as u8).store(bytes, i),
        16 => (v as u16).store(bytes, i),
        32 => (v as u32).store(bytes, i),
        _ => (v as u64).store(bytes, i),
    }
}

/// Elementwise operations of the move slot.
// SOURCE: Xilinx/llvm-aie aiev2_vadd.h; FIM43-Redeye/xdna-emu silicon recordings (isa points).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elementwise {
    /// `s1 + s2`.
    Add,
    /// `s1 - s2`.
    Sub,
    /// Mask bit 0: `s1 + s2`, 1: `s1 - s2`.
    AddSub,
    /// `s1 - s2`, mask `s1 < s2`.
    SubLt,
    /// `s1 - s2`, mask `s1 >= s2`.
    SubGe,
    /// `max(s1, s2)`, mask `s1 < s2`.
    MaxLt,
    /// `min(s1, s2)`, mask `s1 >= s2`.
    MinGe,
    /// `max(s1 - s2, 0)`, mask `s1 < s2`.
    MaxDiffLt,
    /// `-s`, mask `s > 0`.
    NegGtz,
    /// `!s`, mask `s < 0`.
    BnegLtz,
    /// `|s|`, mask `s > 0`.
    AbsGtz,
    /// Mask `s1 < s2`.
    Lt,
    /// Mask `s1 >= s2`.
    Ge,
    /// Mask `s == 0`.
    Eqz,
    /// Mask bit 0: `s1`, 1: `s2`.
    Sel,
}

/// Integer lanes of `bits` over 64-byte vectors; `select` is the mask operand. Returns the result mask.
pub fn elementwise(
    op: Elementwise,
    bits: u32,
    signed: bool,
    s1: &[u8; 64],
    s2: &[u8; 64],
    select: u64,
    out: &mut [u8; 64],
) -> u64 {
    let mut mask = 0;
    for i in 0..512 / bits as usize {
        let (a, b) = (get(s1, i, bits, signed), get(s2, i, bits, signed));
        let chosen = select >> i & 1 == 1;
        let (value, flag) = match op {
            Elementwise::Add => (a.wrapping_add(b), false),
            Elementwise::Sub => (a.wrapping_sub(b), false),
            Elementwise::AddSub => (if chosen { a.wrapping_sub(b) } else { a.wrapping_add(b) }, false),
            Elementwise::SubLt => (a.wrapping_sub(b), a < b),
            Elementwise::SubGe => (a.wrapping_sub(b), a >= b),
            Elementwise::MaxLt => (a.max(b), a < b),
            Elementwise::MinGe => (a.min(b), a >= b),
            Elementwise::MaxDiffLt => ((a - b).max(0), a < b),
            Elementwise::NegGtz => (-a, a > 0),
            Elementwise::BnegLtz => (!a, a < 0),
            Elementwise::AbsGtz => (a.abs(), a > 0),
            Elementwise::Lt => (0, a < b),
            Elementwise::Ge => (0, a >= b),
            Elementwise::Eqz => (0, b == 0),
            Elementwise::Sel => (if chosen { b } else { a }, false),
        };
        put(out, i, bits, value);
        mask |= u64::from(flag) << i;
    }
    mask
}

/// Order of bf16 bit patterns: sign and magnitude, -0 below +0; `None` if either is NaN.
fn bf16_less(a: u16, b: u16) -> Option<bool> {
    let nan = |v: u16| v & 0x7fff > 0x7f80;
    let key = |v: u16| if v & 0x8000 == 0 { i32::from(v) } else { -i32::from(v & 0x7fff) - 1 };
    (!nan(a) && !nan(b)).then(|| key(a) < key(b))
}

/// bf16 compares and selections. Any NaN makes the predicate false.
pub fn elementwise_bf16(op: Elementwise, s1: &[u8; 64], s2: &[u8; 64], out: &mut [u8; 64]) -> u64 {
    let mut mask = 0;
    for i in 0..32 {
        let (a, b) = (u16::load(s1, i), u16::load(s2, i));
        let less = bf16_less(a, b);
        let flag = match op {
            Elementwise::MaxLt | Elementwise::Lt => less == Some(true),
            _ => less == Some(false),
        };
        if flag { b } else { a }.store(out, i);
        mask |= u64::from(flag) << i;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_order() {
        assert_eq!(bf16_less(0x8000, 0x0000), Some(true));
        assert_eq!(bf16_less(0x0000, 0x8000), Some(false));
        assert_eq!(bf16_less(0xbf80, 0x3f80), Some(true));
        assert_eq!(bf16_less(0xc000, 0xbf80), Some(true));
        assert_eq!(bf16_less(0x7fc0, 0x3f80), None);
    }

    #[test]
    fn max_gives_value_and_mask() {
        let (mut a, mut b, mut o) = ([0u8; 64], [0u8; 64], [0u8; 64]);
        (-5i16).store(&mut a, 0);
        7i16.store(&mut b, 0);
        9i16.store(&mut a, 31);
        let m = elementwise(Elementwise::MaxLt, 16, true, &a, &b, 0, &mut o);
        assert_eq!((i16::load(&o, 0), i16::load(&o, 31), m), (7, 9, 1));
        let m = elementwise(Elementwise::MaxLt, 16, false, &a, &b, 0, &mut o);
        assert_eq!((i16::load(&o, 0), m), (-5, 0));
    }

    #[test]
    fn nibbles_keep_their_neighbours() {
        let mut b = [0u8; 2];
        put(&mut b, 1, 4, -1);
        put(&mut b, 0, 4, 3);
        assert_eq!(b[0], 0xf3);
        assert_eq!((get(&b, 1, 4, true), get(&b, 1, 4, false)), (-1, 15));
    }
}
