//! Multiply-accumulate modes.
//!
//! C[r][c] = Σₖ A[r][k]·B[k][c]; A (s1), B (s2) and C row-major, element e at bit e·width.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h (configuration word), Xilinx/aie_api detail/aie2/mmul_*.hpp (shapes), AM020 ch. 4.

use super::fp;
use super::lanes::{Lane, get};
use thiserror::Error;

/// A refused configuration word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("configuration word {word:#010x}: {field}")]
pub struct BadConfig {
    /// The word.
    pub word: u32,
    /// What of it has no known meaning.
    pub field: ConfigField,
}

/// The part of a configuration word that has no known meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConfigField {
    /// No document describes the operand layout of the mode (complex and undocumented modes).
    #[error("mode (amode {amode}, bmode {bmode}, variant {variant}), whose operand layout is not documented")]
    Mode {
        /// Bits 2:1.
        amode: u8,
        /// Bits 4:3.
        bmode: u8,
        /// Bits 7:5.
        variant: u8,
    },
    /// The mode is named in the headers, its operand layout is not.
    #[error("convolution mode, whose operand layout is not documented")]
    Convolution,
    /// A sparse mode in a dense instruction.
    #[error("sparse mode in a dense instruction")]
    Sparse,
    /// Bits 9:8 on bf16 operands.
    #[error("operand signs (bits 9:8) on bf16")]
    OperandSigns,
    /// Bit 10 where it was not recorded.
    #[error("shift16 (bit 10) on a float accumulator")]
    Shift16,
    /// Bit 11.
    #[error("sub0 (bit 11), the sign of the products")]
    Sub0,
    /// Bits 12 and 13 where they were not recorded.
    #[error("sub1 or sub2 (bits 12 and 13) on bf16 products")]
    AccSigns,
    /// Bits 15:14.
    #[error("bits 15:14")]
    Reserved,
    /// Bits 31:16.
    #[error("sub_mask (bits 31:16), of which only three values were recorded")]
    SubMask,
    /// Bit 0 of an instruction with two float accumulators.
    #[error("zero_acc (bit 0) with two float accumulators")]
    ZeroOfTwo,
    /// Modifiers of the integer VNEG beyond the plain 32-bit form.
    #[error("a modifier of the one-accumulator integer form")]
    OneAccumulator,
}

impl ConfigField {
    /// The mode field of `word`, as the reason for a refusal.
    pub(super) fn mode(word: u32) -> Self {
        Self::Mode { amode: (word >> 1 & 3) as u8, bmode: (word >> 3 & 3) as u8, variant: (word >> 5 & 7) as u8 }
    }

    /// This field of `word` is refused.
    pub fn of(self, word: u32) -> BadConfig {
        BadConfig { word, field: self }
    }
}

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
    /// The first accumulator counts as zero.
    pub zero_acc: bool,
    /// The bits of the word that say how accumulators enter, [`ACC_BITS`].
    pub acc_word: u32,
    /// Bit t: the t-th product of an even, of an odd lane is subtracted.
    pub negative: [u16; 2],
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

/// Bits that say how the accumulators enter: zero_acc, shift16, sub1 (acc1 negated), sub2 (acc2 negated).
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h (positions and names).
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording isa_points_random_config: in 87 integer points of VMAC .. VSUBMSC the
// products of an undocumented mode vanish, and what is left is +-acc1 +- acc2 as these bits say, whatever the others (24 of
// them show acc1, for instance VMAC with sub1 hw0324/b085/p008). shift16 shows in them only as zero low halves; 64-bit lanes
// show more in VADD hw0324/b068/p041.
pub const ACC_BITS: u32 = 1 | SHIFT16 | SUB1 | SUB2;

const SHIFT16: u32 = 1 << 10;
const SUB0: u32 = 1 << 11;
const SUB1: u32 = 1 << 12;
const SUB2: u32 = 1 << 13;

/// Words with sub_mask set that were recorded in documented modes, without [`ACC_BITS`]: word, products subtracted in even
/// lanes, in odd lanes (bit t: the t-th).
// MEASURED: FIM43-Redeye/xdna-emu, silicon recordings hw0324/b112/p013 and b102/p011 (4x8x8), hw0324/b072/p009 (4x2x8),
// hw0324/b090/p015 and b072/p017 (elementwise): one set of signs explains all 32 lanes, and no other does. Three words do not
// tell which bit of the mask stands for which product.
const RECORDED_MASKS: [(u32, [u16; 2]); 3] =
    [(0x1b37_0108, [0b0101_1111, 0b0101_0101]), (0x8fbb_c818, [0b00, 0b01]), (0xb612_4328, [0b00, 0b11])];

/// The signs of the products; sub0, bits 15:14 and sub_mask are refused unless recorded.
fn negative_products(config: u32) -> Result<[u16; 2], BadConfig> {
    let word = config & !ACC_BITS;
    if let Some((_, signs)) = RECORDED_MASKS.iter().find(|(w, _)| *w == word) {
        return Ok(*signs);
    }
    match word {
        w if w >> 16 != 0 => Err(ConfigField::SubMask.of(config)),
        w if w & SUB0 != 0 => Err(ConfigField::Sub0.of(config)),
        w if w & 0xc000 != 0 => Err(ConfigField::Reserved.of(config)),
        _ => Ok([0; 2]),
    }
}

const fn mm(m: u8, k: u8, n: u8) -> Shape {
    Shape::Matrix { m, k, n }
}

const fn ew(lanes: u8, terms: u8) -> Shape {
    Shape::Elementwise { lanes, terms }
}

/// Decodes an integer configuration word.
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
        (0, 1, 2..=4) => return Err(ConfigField::Convolution.of(config)),
        (0, 1, 5) => return Err(ConfigField::Sparse.of(config)),
        _ => return Err(ConfigField::mode(config).of(config)),
    };
    let negative = negative_products(config)?;
    Ok(IntMode {
        shape,
        a_bits,
        b_bits,
        a_signed: config >> 9 & 1 == 1,
        b_signed: config >> 8 & 1 == 1,
        acc_bits: if amode == 0 { 32 } else { 64 },
        zero_acc: config & 1 == 1,
        acc_word: config & ACC_BITS,
        negative,
    })
}

/// Decodes a bf16 configuration word; sign bits and modifiers are refused.
pub fn float_mode(config: u32) -> Result<FloatMode, BadConfig> {
    let shape = match config >> 1 & 0x7f {
        0b000_1110 => mm(4, 8, 4),
        0b001_1110 => ew(16, 2),
        0b010_1110 => return Err(ConfigField::Sparse.of(config)),
        _ => return Err(ConfigField::mode(config).of(config)),
    };
    let refused = [
        (0x300, ConfigField::OperandSigns),
        (SHIFT16, ConfigField::Shift16),
        (SUB0, ConfigField::Sub0),
        (SUB1 | SUB2, ConfigField::AccSigns),
        (0xc000, ConfigField::Reserved),
        (0xffff_0000, ConfigField::SubMask),
    ];
    if let Some((_, field)) = refused.into_iter().find(|(bits, _)| config & bits != 0) {
        return Err(field.of(config));
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

/// Calls `term(t, element of s1, element of s2)` for every product of a lane.
#[inline]
fn sum_terms(shape: Shape, lane: usize, term: &mut impl FnMut(usize, usize, usize)) {
    match shape {
        Shape::Matrix { k, n, .. } => {
            let (k, n) = (usize::from(k), usize::from(n));
            let (r, c) = (lane / n, lane % n);
            for i in 0..k {
                term(i, r * k + i, i * n + c);
            }
        }
        Shape::Elementwise { lanes, terms } => {
            for t in 0..usize::from(terms) {
                let e = lane + t * usize::from(lanes);
                term(t, e, e);
            }
        }
    }
}

/// Product sums of the int8 4x8x8 mode, the signs of s1 and s2 given.
pub fn i8_products(signs: (bool, bool), a: &[u8; 64], b: &[u8; 64], out: &mut [u8; 128]) {
    match signs {
        (true, true) => i8_4x8x8::<true, true>(a, b, out),
        (true, false) => i8_4x8x8::<true, false>(a, b, out),
        (false, true) => i8_4x8x8::<false, true>(a, b, out),
        (false, false) => i8_4x8x8::<false, false>(a, b, out),
    }
}

/// Product sums of `mode`, as the bytes of a cm register (lanes wrap).
pub fn int_products(mode: &IntMode, a: &[u8; 64], b: &[u8; 64], out: &mut [u8; 128]) {
    for lane in 0..1024 / mode.acc_bits as usize {
        let mut sum = 0i64;
        sum_terms(mode.shape, lane, &mut |t, ea, eb| {
            let (x, y) = (get(a, ea, mode.a_bits, mode.a_signed), get(b, eb, mode.b_bits, mode.b_signed));
            let p = x.wrapping_mul(y);
            let subtract = mode.negative[lane % 2] >> t & 1 == 1;
            sum = if subtract { sum.wrapping_sub(p) } else { sum.wrapping_add(p) };
        });
        if mode.acc_bits == 32 { (sum as i32).store(out, lane) } else { sum.store(out, lane) }
    }
}

/// How accumulators and products enter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signs {
    /// First accumulator is subtracted.
    pub acc1: bool,
    /// Second accumulator is subtracted.
    pub acc2: bool,
    /// Products are subtracted.
    pub product: bool,
    /// First accumulator is shifted left by 16.
    pub shift16: bool,
}

impl Signs {
    /// Everything enters as it is, as in VMAC.
    pub const PLUS: Self = Self { acc1: false, acc2: false, product: false, shift16: false };

    /// Signs of the mnemonic under the accumulator bits of a configuration word.
    #[inline(always)]
    pub fn under(self, acc_word: u32) -> Self {
        Self {
            acc1: self.acc1 != (acc_word & SUB1 != 0),
            acc2: self.acc2 != (acc_word & SUB2 != 0),
            product: self.product,
            shift16: acc_word & SHIFT16 != 0,
        }
    }
}

/// `±acc1 ± acc2 ± p` on lanes of `acc_bits`; absent accumulators are zero. `p` is replaced by the result.
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
                    let a = <$t>::load(a, i) << if signs.shift16 { 16 } else { 0 };
                    v = if signs.acc1 { v.wrapping_sub(a) } else { v.wrapping_add(a) };
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
    let mut lanes = [[0u32; 16]; 2];
    for (i, (lanes, bytes)) in lanes.iter_mut().zip(accs).enumerate() {
        for (lane, v) in lanes.iter_mut().enumerate() {
            let acc = u32::load(*bytes, lane);
            *v = if i == 1 && negate_acc2 { fp::negate(acc) } else { acc };
        }
    }
    let lanes = &lanes[..accs.len()];
    let a: [u16; 32] = std::array::from_fn(|i| u16::load(a, i));
    let b: [u16; 32] = std::array::from_fn(|i| u16::load(b, i));
    let infinite = |v: &u32| v & fp::INF == fp::INF;
    let mut sums = [0; 16];
    match (fp::Wide::finite(&a, negate_products), fp::Wide::finite(&b, false)) {
        (Some(x), Some(y)) if !lanes.as_flattened().iter().any(infinite) => {
            for (r, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *sums = match shape {
                    Shape::Matrix { .. } => fp::mac_four_finite::<8>(lanes, r, |k| (x.splat(8 * r + k), y.four(k))),
                    Shape::Elementwise { .. } => {
                        fp::mac_four_finite::<2>(lanes, r, |t| (x.four(4 * t + r), y.four(4 * t + r)))
                    }
                };
            }
        }
        _ => {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let mut acc = [0; 2];
                for (acc, lanes) in acc.iter_mut().zip(lanes) {
                    *acc = lanes[lane];
                }
                let mut pairs = [(0u16, 0u16); 8];
                let mut n = 0;
                sum_terms(shape, lane, &mut |_, ea, eb| {
                    pairs[n] = (a[ea], b[eb]);
                    n += 1;
                });
                *sum = fp::mac_lane(&acc[..lanes.len()], pairs[..n].iter().copied(), negate_products);
            }
        }
    }
    for (lane, sum) in sums.into_iter().enumerate() {
        sum.store(out, lane);
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
        assert_eq!(int_mode(0x348), Err(ConfigField::Convolution.of(0x348)));
        assert_eq!(int_mode(0xb08), Err(ConfigField::Sub0.of(0xb08)));
        assert_eq!(float_mode(0x31c), Err(ConfigField::OperandSigns.of(0x31c)));
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
        int_accumulate(32, Some(&acc), None, Signs::PLUS, &mut q);
        assert_eq!((i32::load(&q, 0), i32::load(&q, 1)), (i32::MIN, 12));
        let mut q = p;
        int_accumulate(32, Some(&acc), Some(&acc), Signs { acc2: true, product: true, ..Signs::PLUS }, &mut q);
        assert_eq!(i32::load(&q, 1), -5);
        let mut q = p;
        int_accumulate(32, Some(&acc), None, Signs::PLUS.under(SUB1 | SHIFT16), &mut q);
        assert_eq!(i32::load(&q, 1), 5 - (7 << 16));
    }

    /// Finite lanes take a road of their own; it leads where the lane by lane sum leads.
    #[test]
    fn finite_lanes_equal_the_lane_by_lane_sum() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for round in 0..20_000 {
            // Exponent fields around 127 with a growing spread, or around the smallest sums there are.
            let (centre, spread) = [(127, 2), (127, 12), (127, 126), (64, 3)][round % 4];
            let mut bf16 = || {
                let field = centre - spread + random() % (2 * spread + 1);
                let v = (random() & 0x807f | field << 7) as u16;
                if random() % 16 == 0 { v & 0x807f } else { v }
            };
            let (mut a, mut b, mut accs) = ([0u8; 64], [0u8; 64], [[0u8; 64]; 2]);
            for i in 0..32 {
                bf16().store(&mut a, i);
                bf16().store(&mut b, i);
                for acc in &mut accs {
                    bf16().store(acc, i);
                }
            }
            let shape = if round & 4 == 0 { mm(4, 8, 4) } else { ew(16, 2) };
            let refs = [&accs[0], &accs[1]];
            let refs = &refs[..1 + (round >> 3 & 1)];
            let (negate_acc2, negate) = (round & 16 != 0, round & 32 != 0);
            let mut out = [0; 64];
            float_mac(shape, refs, negate_acc2, &a, &b, negate, &mut out);
            for lane in 0..16 {
                let mut pairs = Vec::new();
                sum_terms(shape, lane, &mut |_, x, y| pairs.push((u16::load(&a, x), u16::load(&b, y))));
                let accs: Vec<u32> = refs
                    .iter()
                    .map(|v| u32::load(*v, lane))
                    .enumerate()
                    .map(|(i, v)| if i == 1 && negate_acc2 { fp::negate(v) } else { v })
                    .collect();
                let want = fp::mac_lane(&accs, pairs.into_iter(), negate);
                assert_eq!(u32::load(&out, lane), want, "round {round}, lane {lane}");
            }
        }
    }

    #[test]
    fn rounding_to_24_bits_comes_before_the_flush() {
        // 65025 + 510 + 1 - 2^-9 units of 2^-142: half a unit of the last of 24 bits below 2^-126, which is even. Half as much
        // more is missing, and the sum stays below the normal range.
        let bf = |significand: u16, exponent: i32| ((exponent + 127) as u16) << 7 | significand & 127;
        for (last, want) in [(-151, 0x0080_0000), (-150, 0)] {
            let terms = [
                (bf(255, -64), bf(255, -64)),
                (bf(255, -67), bf(128, -67)),
                (bf(128, -71), bf(128, -71)),
                (bf(128, -75) | 0x8000, bf(128, last + 75)),
            ];
            let (mut a, mut b, mut out) = ([0u8; 64], [0u8; 64], [0u8; 64]);
            for (k, (x, y)) in terms.into_iter().enumerate() {
                x.store(&mut a, k);
                y.store(&mut b, 4 * k);
            }
            float_mac(mm(4, 8, 4), &[&[0; 64]], false, &a, &b, false, &mut out);
            assert_eq!(u32::load(&out, 0), want);
            assert_eq!(fp::mac_lane(&[], terms.into_iter(), false), want);
        }
    }
}
