//! Multiply-accumulate modes.
//!
//! C[r][c] = Σₖ A[r][k]·B[k][c]; A (s1), B (s2) and C row-major, element e at bit e·width.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h (configuration word), Xilinx/aie_api detail/aie2/mmul_*.hpp (shapes), AM020 ch. 4.

use super::fp;
use super::lanes::{Lane, get};

/// A configuration word outside the documented modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadConfig(pub u32);

/// Element layout of one mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Matrix product `m x k` by `k x n`.
    Matrix {
        /// Rows of A and C.
        m: u8,
        /// Columns of A, rows of B.
        k: u8,
        /// Columns of B and C.
        n: u8,
    },
    /// Lane products; `terms` products per lane, the t-th at element `lane + t * lanes`.
    Elementwise {
        /// Lanes of C.
        lanes: u8,
        /// Products per lane.
        terms: u8,
    },
}

/// A decoded integer mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IntMode {
    /// Layout.
    pub shape: Shape,
    /// Bits of an element of s1.
    pub a_bits: u32,
    /// Bits of an element of s2.
    pub b_bits: u32,
    /// s1 is signed.
    pub a_signed: bool,
    /// s2 is signed.
    pub b_signed: bool,
    /// Accumulator lane bits, 32 or 64.
    pub acc_bits: u32,
    /// The accumulator input counts as zero.
    pub zero_acc: bool,
}

/// A decoded bf16 mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloatMode {
    /// Layout; 16 lanes of C.
    pub shape: Shape,
    /// The accumulator input counts as zero.
    pub zero_acc: bool,
}

impl Shape {
    /// Multiply-accumulates per instruction.
    pub const fn macs(self) -> u64 {
        match self {
            Self::Matrix { m, k, n } => m as u64 * k as u64 * n as u64,
            Self::Elementwise { lanes, terms } => lanes as u64 * terms as u64,
        }
    }

    /// Bytes of s1 and s2 that take part.
    pub const fn bytes(self, a_bits: u32, b_bits: u32) -> (usize, usize) {
        let (a, b) = match self {
            Self::Matrix { m, k, n } => (m as usize * k as usize, k as usize * n as usize),
            Self::Elementwise { lanes, terms } => (lanes as usize * terms as usize, lanes as usize * terms as usize),
        };
        (a * a_bits as usize / 8, b * b_bits as usize / 8)
    }
}

/// Bits above the mode: shift16, sub0..2 and the per-lane negation mask.
const MODIFIERS: u32 = 0xffff_fc00;

const fn mm(m: u8, k: u8, n: u8) -> Shape {
    Shape::Matrix { m, k, n }
}

const fn ew(lanes: u8, terms: u8) -> Shape {
    Shape::Elementwise { lanes, terms }
}

/// Decodes an integer configuration word; modifiers (bits 10 and up) are refused.
pub fn int_mode(config: u32) -> Result<IntMode, BadConfig> {
    let (amode, bmode, variant) = (config >> 1 & 3, config >> 3 & 3, config >> 5 & 7);
    let (shape, a_bits, b_bits) = match (amode, bmode, variant) {
        (0, 0, 0) => (mm(4, 16, 8), 8, 4),
        (0, 1, 0) => (mm(4, 8, 8), 8, 8),
        (0, 1, 1) => (ew(32, 2), 8, 8),
        (0, 2, 0) => (mm(4, 4, 8), 16, 8),
        (0, 3, 0) => (mm(4, 2, 8), 16, 16),
        (0, 3, 1) => (ew(32, 1), 16, 16),
        (1, 2, 0) => (mm(2, 8, 8), 16, 8),
        (1, 2, 1) => (mm(4, 8, 4), 16, 8),
        (1, 3, 0) => (mm(2, 4, 8), 16, 16),
        (1, 3, 1) => (mm(4, 4, 4), 16, 16),
        (1, 3, 2) => (ew(16, 2), 16, 16),
        (1, 0, 0) => (mm(4, 2, 4), 32, 16),
        _ => return Err(BadConfig(config)),
    };
    if config & MODIFIERS != 0 {
        return Err(BadConfig(config));
    }
    Ok(IntMode {
        shape,
        a_bits,
        b_bits,
        a_signed: config >> 9 & 1 == 1,
        b_signed: config >> 8 & 1 == 1,
        acc_bits: if amode == 0 { 32 } else { 64 },
        zero_acc: config & 1 == 1,
    })
}

/// Decodes a bf16 configuration word; sign bits and modifiers are refused.
pub fn float_mode(config: u32) -> Result<FloatMode, BadConfig> {
    let shape = match config >> 1 & 0x7f {
        0b000_1110 => mm(4, 8, 4),
        0b001_1110 => ew(16, 2),
        _ => return Err(BadConfig(config)),
    };
    if config & !0xff != 0 {
        return Err(BadConfig(config));
    }
    Ok(FloatMode { shape, zero_acc: config & 1 == 1 })
}

/// One row of the int8 4x8x8 product: Σₖ x[k]·b[k][c]. At least one operand is signed, so every product fits 16 bits
/// (|a·b| ≤ 255·128); the wrapping operators keep the loops free of checks.
#[inline(never)]
#[allow(clippy::needless_range_loop)] // Indexed loops over small arrays are what the compiler turns into vector code.
fn i8_row(x: &[i16; 8], b: &[i16; 64]) -> [i32; 8] {
    let mut sum = [0i32; 8];
    for k in 0..8 {
        let mut product = [0i16; 8];
        for c in 0..8 {
            product[c] = x[k].wrapping_mul(b[8 * k + c]);
        }
        for c in 0..8 {
            sum[c] = sum[c].wrapping_add(i32::from(product[c]));
        }
    }
    sum
}

/// The int8 4x8x8 product, the mode of the INT8 GEMM.
#[inline]
fn i8_4x8x8<const A_SIGNED: bool, const B_SIGNED: bool>(a: &[u8; 64], b: &[u8; 64], out: &mut [u8; 128]) {
    let widen = |v: u8, signed: bool| if signed { i16::from(v as i8) } else { i16::from(v) };
    let mut wide = [0i16; 64];
    for (w, v) in wide.iter_mut().zip(b) {
        *w = widen(*v, B_SIGNED);
    }
    for (row, c) in a.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let sum = i8_row(&row.map(|v| widen(v, A_SIGNED)), &wide);
        for (c, s) in c.as_chunks_mut::<4>().0.iter_mut().zip(sum) {
            *c = s.to_le_bytes();
        }
    }
}

fn sum_terms(shape: Shape, lane: usize, term: &mut impl FnMut(usize, usize)) {
    match shape {
        Shape::Matrix { k, n, .. } => {
            let (k, n) = (usize::from(k), usize::from(n));
            let (r, c) = (lane / n, lane % n);
            for i in 0..k {
                term(r * k + i, i * n + c);
            }
        }
        Shape::Elementwise { lanes, terms } => {
            for t in 0..usize::from(terms) {
                let e = lane + t * usize::from(lanes);
                term(e, e);
            }
        }
    }
}

/// Product sums of `mode`, as the bytes of a cm register (lanes wrap).
pub fn int_products(mode: &IntMode, a: &[u8; 64], b: &[u8; 64], out: &mut [u8; 128]) {
    if mode.shape == mm(4, 8, 8) {
        match (mode.a_signed, mode.b_signed) {
            (true, true) => return i8_4x8x8::<true, true>(a, b, out),
            (true, false) => return i8_4x8x8::<true, false>(a, b, out),
            (false, true) => return i8_4x8x8::<false, true>(a, b, out),
            (false, false) => {}
        }
    }
    for lane in 0..1024 / mode.acc_bits as usize {
        let mut sum = 0i64;
        sum_terms(mode.shape, lane, &mut |ea, eb| {
            let (x, y) = (get(a, ea, mode.a_bits, mode.a_signed), get(b, eb, mode.b_bits, mode.b_signed));
            sum = sum.wrapping_add(x.wrapping_mul(y));
        });
        if mode.acc_bits == 32 { (sum as i32).store(out, lane) } else { sum.store(out, lane) }
    }
}

/// Signs with which accumulators and products enter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signs {
    /// Second accumulator is subtracted.
    pub acc2: bool,
    /// Products are subtracted.
    pub product: bool,
}

/// `acc1 ± acc2 ± p` on lanes of `acc_bits`; absent accumulators are zero. `p` is replaced by the result.
#[inline]
pub fn int_accumulate(
    acc_bits: u32,
    acc1: Option<&[u8; 128]>,
    acc2: Option<&[u8; 128]>,
    signs: Signs,
    p: &mut [u8; 128],
) {
    macro_rules! lanes {
        ($t:ty, $n:expr) => {
            for i in 0..$n {
                let mut v = <$t>::load(p, i);
                if signs.product {
                    v = v.wrapping_neg();
                }
                if let Some(a) = acc1 {
                    v = v.wrapping_add(<$t>::load(a, i));
                }
                if let Some(a) = acc2 {
                    let a = <$t>::load(a, i);
                    v = if signs.acc2 { v.wrapping_sub(a) } else { v.wrapping_add(a) };
                }
                v.store(p, i);
            }
        };
    }
    if acc_bits == 32 { lanes!(i32, 32) } else { lanes!(i64, 16) }
}

/// `p += acc` on 32-bit lanes, the plain VMAC.
#[inline(always)]
pub fn add_lanes(acc: &[u8; 128], p: &mut [u8; 128]) {
    for (p, a) in p.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_chunks::<4>().0) {
        *p = i32::from_le_bytes(*p).wrapping_add(i32::from_le_bytes(*a)).to_le_bytes();
    }
}

/// bf16 multiply-accumulate: 16 fp32 lanes.
pub fn float_mac(
    shape: Shape,
    accs: &[&[u8; 64]],
    negate_acc2: bool,
    a: &[u8; 64],
    b: &[u8; 64],
    negate_products: bool,
    out: &mut [u8; 64],
) {
    for lane in 0..16 {
        let mut acc = [0u32; 2];
        for (i, bytes) in accs.iter().enumerate() {
            acc[i] = u32::load(*bytes, lane);
            if i == 1 && negate_acc2 {
                acc[i] = fp::negate(acc[i]);
            }
        }
        let mut pairs = [(0u16, 0u16); 8];
        let mut n = 0;
        sum_terms(shape, lane, &mut |ea, eb| {
            pairs[n] = (u16::load(a, ea), u16::load(b, eb));
            n += 1;
        });
        fp::mac_lane(&acc[..accs.len()], pairs[..n].iter().copied(), negate_products).store(out, lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_words_and_no_others() {
        // The shapes of the mode table with both operands signed.
        let table: [(u32, Shape, u64); 12] = [
            (0x300, mm(4, 16, 8), 512),
            (0x308, mm(4, 8, 8), 256),
            (0x328, ew(32, 2), 64),
            (0x310, mm(4, 4, 8), 128),
            (0x318, mm(4, 2, 8), 64),
            (0x338, ew(32, 1), 32),
            (0x312, mm(2, 8, 8), 128),
            (0x332, mm(4, 8, 4), 128),
            (0x31a, mm(2, 4, 8), 64),
            (0x33a, mm(4, 4, 4), 64),
            (0x35a, ew(16, 2), 32),
            (0x302, mm(4, 2, 4), 32),
        ];
        for (word, shape, macs) in table {
            let m = int_mode(word).expect("documented word");
            assert_eq!((m.shape, m.shape.macs(), m.a_signed, m.b_signed), (shape, macs, true, true), "{word:#x}");
        }
        assert_eq!(float_mode(0x1c).map(|m| m.shape), Ok(mm(4, 8, 4)));
        assert_eq!(float_mode(0x3c).map(|m| m.shape), Ok(ew(16, 2)));
        assert_eq!(int_mode(0x348), Err(BadConfig(0x348)));
        assert_eq!(int_mode(0x708), Err(BadConfig(0x708)));
        assert_eq!(float_mode(0x31c), Err(BadConfig(0x31c)));
    }

    #[test]
    fn int8_product_agrees_with_the_definition() {
        let mut a = [0u8; 64];
        let mut b = [0u8; 64];
        for i in 0..64 {
            a[i] = (i * 73 + 11) as u8;
            b[i] = (i * 151 + 7) as u8;
        }
        a[0] = 0x80;
        b[0] = 0x80;
        for config in [0x008, 0x108, 0x208, 0x308] {
            let mode = int_mode(config).expect("documented word");
            let mut out = [0u8; 128];
            int_products(&mode, &a, &b, &mut out);
            for r in 0..4 {
                for c in 0..8 {
                    let want: i64 = (0..8)
                        .map(|k| get(&a, 8 * r + k, 8, mode.a_signed) * get(&b, 8 * k + c, 8, mode.b_signed))
                        .sum();
                    assert_eq!(i64::from(i32::load(&out, 8 * r + c)), want, "{config:#x} {r} {c}");
                }
            }
        }
    }

    #[test]
    fn accumulators_wrap_and_subtract() {
        let mut p = [0u8; 128];
        i32::MAX.store(&mut p, 0);
        5i32.store(&mut p, 1);
        let mut acc = [0u8; 128];
        1i32.store(&mut acc, 0);
        7i32.store(&mut acc, 1);
        let mut q = p;
        int_accumulate(32, Some(&acc), None, Signs { acc2: false, product: false }, &mut q);
        assert_eq!((i32::load(&q, 0), i32::load(&q, 1)), (i32::MIN, 12));
        let mut q = p;
        int_accumulate(32, Some(&acc), Some(&acc), Signs { acc2: true, product: true }, &mut q);
        assert_eq!(i32::load(&q, 1), -5);
    }
}
