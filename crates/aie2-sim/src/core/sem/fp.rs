//! Floating point of the vector unit: bf16 products summed on an aligned grid, fp32 additions, conversions.
//!
//! ```text
//! E = max exponent of the non-zero addends (a product counts as ea + eb)
//! every addend → round to nearest even on the grid 2^(E-23); exact integer sum; normalise to 24 bits, nearest even
//! ```
// SOURCE: FIM43-Redeye/xdna-emu src/interpreter/execute/vector_matmul/bf16_pipeline.rs and vector_float.rs (bit-exact
// against Phoenix silicon for finite and infinite inputs). NaN payloads vary on silicon; this model returns one NaN.

use super::shift::Rounding;

/// The NaN this model produces.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recordings elementwise_special_values and isa_points_random_config (vadd.f .. vneg.f):
// the payload silicon gives when nothing of the operands is left in it.
pub const NAN: u32 = 0x7f80_0001;

pub(super) const INF: u32 = 0x7f80_0000;

/// `v / 2^shift` rounded to nearest even.
#[inline]
fn shift_rne(v: u64, shift: u32) -> u64 {
    if shift == 0 {
        return v;
    }
    if shift > 63 {
        return 0;
    }
    let q = v >> shift;
    let rest = v & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    q + u64::from(rest > half || rest == half && q & 1 == 1)
}

/// One addend: `(-1)^negative * significand * 2^(exponent - 23)`.
#[derive(Clone, Copy)]
struct Addend {
    negative: bool,
    significand: u64,
    exponent: i32,
}

enum Class {
    Zero,
    Finite(Addend),
    Infinite(bool),
    Nan,
}

#[inline]
fn classify_f32(bits: u32) -> Class {
    let (negative, field, fraction) = (bits >> 31 == 1, (bits >> 23 & 255) as i32, bits & 0x7f_ffff);
    match (field, fraction) {
        (255, 0) => Class::Infinite(negative),
        (255, _) => Class::Nan,
        (0, 0) => Class::Zero,
        (0, f) => Class::Finite(Addend { negative, significand: u64::from(f), exponent: -126 }),
        (e, f) => Class::Finite(Addend { negative, significand: u64::from(f | 0x80_0000), exponent: e - 127 }),
    }
}

/// Product of two bf16; the 16-bit significand product is held at 2^(ea+eb-23), nine bits up.
#[inline]
fn classify_product(a: u16, b: u16, negate: bool) -> Class {
    let negative = ((a ^ b) >> 15 == 1) != negate;
    let (fa, fb) = ((a >> 7 & 255) as i32, (b >> 7 & 255) as i32);
    let (ma, mb) = (u64::from(a & 127), u64::from(b & 127));
    if fa == 255 || fb == 255 {
        let nan = fa == 255 && ma != 0 || fb == 255 && mb != 0;
        let zero = a & 0x7fff == 0 || b & 0x7fff == 0;
        return if nan || zero { Class::Nan } else { Class::Infinite(negative) };
    }
    let sa = if fa == 0 { ma } else { ma | 128 };
    let sb = if fb == 0 { mb } else { mb | 128 };
    let p = sa * sb;
    if p == 0 {
        return Class::Zero;
    }
    Class::Finite(Addend { negative, significand: p << 9, exponent: fa.max(1) + fb.max(1) - 254 })
}

/// What happens to a sum below the normal range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Underflow {
    /// Multiply-accumulate: plus zero.
    PlusZero,
    /// Addition: zero with the sum's sign.
    SignedZero,
}

#[inline]
fn aligned_sum(addends: &[Addend], underflow: Underflow) -> u32 {
    let Some(top) = addends.iter().map(|a| a.exponent).max() else { return 0 };
    let mut sum = 0i64;
    for a in addends {
        let v = shift_rne(a.significand, (top - a.exponent) as u32) as i64;
        sum += if a.negative { -v } else { v };
    }
    if sum == 0 {
        return 0;
    }
    let sign = if sum < 0 { 1u32 << 31 } else { 0 };
    let magnitude = sum.unsigned_abs();
    let bits = 64 - magnitude.leading_zeros() as i32;
    let mut exponent = top + bits - 24;
    let mut significand = if bits > 24 { shift_rne(magnitude, (bits - 24) as u32) } else { magnitude << (24 - bits) };
    if significand == 1 << 24 {
        significand = 1 << 23;
        exponent += 1;
    }
    let field = exponent + 127;
    if field >= 255 {
        sign | INF
    } else if field <= 0 {
        if underflow == Underflow::PlusZero { 0 } else { sign }
    } else {
        sign | (field as u32) << 23 | significand as u32 & 0x7f_ffff
    }
}

struct Sum<const N: usize> {
    list: [Addend; N],
    n: usize,
    infinite: [bool; 2],
    nan: bool,
}

impl<const N: usize> Sum<N> {
    #[inline]
    fn new() -> Self {
        let zero = Addend { negative: false, significand: 0, exponent: 0 };
        Self { list: [zero; N], n: 0, infinite: [false; 2], nan: false }
    }

    #[inline]
    fn push(&mut self, c: Class) {
        match c {
            Class::Zero => {}
            Class::Finite(a) => {
                self.list[self.n] = a;
                self.n += 1;
            }
            Class::Infinite(neg) => self.infinite[usize::from(neg)] = true,
            Class::Nan => self.nan = true,
        }
    }

    #[inline]
    fn finish(&self, underflow: Underflow) -> u32 {
        if self.nan || self.infinite == [true; 2] {
            NAN
        } else if self.infinite[0] {
            INF
        } else if self.infinite[1] {
            INF | 1 << 31
        } else {
            aligned_sum(&self.list[..self.n], underflow)
        }
    }
}

/// One lane of VMUL.f / VMAC.f: accumulators plus (or minus) the sum of the products of `pairs`.
#[inline]
pub fn mac_lane(accs: &[u32], pairs: impl Iterator<Item = (u16, u16)>, negate_products: bool) -> u32 {
    let mut s = Sum::<10>::new();
    for &a in accs {
        s.push(classify_f32(a));
    }
    for (a, b) in pairs {
        s.push(classify_product(a, b, negate_products));
    }
    s.finish(Underflow::PlusZero)
}

/// The 32 elements of a bf16 vector in f64, with their exponents.
pub struct Wide {
    value: [f64; 32],
    exponent: [i32; 32],
}

/// Four elements and their exponents.
type Four = ([f64; 4], [i32; 4]);

/// Exponent of a zero: it counts for nothing, not even added to another exponent.
const NO_EXPONENT: i32 = -1000;

impl Wide {
    /// Elements of `v`, negated if asked; `None` if one is infinite or NaN.
    #[inline]
    pub fn finite(v: &[u16; 32], negate: bool) -> Option<Self> {
        let mut special = 0;
        let mut w = Self { value: [0.0; 32], exponent: [0; 32] };
        let flip = u32::from(negate) << 31;
        for ((value, exponent), v) in w.value.iter_mut().zip(&mut w.exponent).zip(v) {
            special |= u32::from(v & 0x7f80 == 0x7f80);
            let field = i32::from(v >> 7 & 255);
            *exponent = if v & 0x7fff == 0 { NO_EXPONENT } else { field.max(1).wrapping_sub(127) };
            *value = f64::from(f32::from_bits(from_bf16(*v) ^ flip));
        }
        (special == 0).then_some(w)
    }

    /// Elements 4q .. 4q + 4.
    #[inline(always)]
    pub fn four(&self, q: usize) -> Four {
        (self.value.as_chunks().0[q], self.exponent.as_chunks().0[q])
    }

    /// Element e four times.
    #[inline(always)]
    pub fn splat(&self, e: usize) -> Four {
        ([self.value[e]; 4], [self.exponent[e]; 4])
    }
}

/// Lanes 4q .. 4q + 4 of [`mac_lane`] on finite operands, products `terms(0)` .. `terms(K - 1)`.
///
/// The same sum in f64. A product of two bf16 is exact there; adding and taking away 1.5 * 2^(E-23+52) rounds an addend to
/// nearest even on the grid 2^(E-23); at most ten of them, each below 2^(E+2), add up exactly.
#[inline(always)]
pub fn mac_four_finite<const K: usize>(
    accs: &[[u32; 16]],
    q: usize,
    terms: impl Fn(usize) -> (Four, Four),
) -> [u32; 4] {
    // No product lies lower, so lanes of zeros have a grid too.
    let mut top = [-252i32; 4];
    let mut products = [[0f64; 4]; K];
    for (k, product) in products.iter_mut().enumerate() {
        let ((x, ex), (y, ey)) = terms(k);
        for c in 0..4 {
            top[c] = top[c].max(ex[c].wrapping_add(ey[c]));
            product[c] = x[c] * y[c];
        }
    }
    let mut wide = [[0f64; 4]; 2];
    for (wide, acc) in wide.iter_mut().zip(accs) {
        let acc = acc.as_chunks::<4>().0[q];
        for c in 0..4 {
            let exponent = ((acc[c] >> 23 & 255) as i32).max(1).wrapping_sub(127);
            top[c] = top[c].max(if acc[c] << 1 == 0 { NO_EXPONENT } else { exponent });
            wide[c] = f64::from(f32::from_bits(acc[c]));
        }
    }
    let grid = top.map(|e| f64::from_bits((e.wrapping_add(1023 + 52 - 23) as u64) << 52 | 1 << 51));
    let mut sum = [0f64; 4];
    for addend in products.iter().chain(&wide) {
        for c in 0..4 {
            sum[c] += (addend[c] + grid[c]) - grid[c];
        }
    }
    narrow(sum)
}

/// Exact sums in 24 bits, nearest even, plus zero below the normal range.
#[inline(always)]
fn narrow(sums: [f64; 4]) -> [u32; 4] {
    const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
    // 24 bits are kept before the exponent is looked at: from half a unit below the smallest normal number on, rounding leads
    // up to it.
    const EDGE: f64 = SMALLEST * (1.0 - 0.5 / (1 << 24) as f64);
    let mut out = [0; 4];
    let mut edge = false;
    for (out, s) in out.iter_mut().zip(sums) {
        let normal = s.abs() >= SMALLEST;
        edge |= !normal & (s.abs() >= EDGE);
        *out = if normal { (s as f32).to_bits() } else { 0 };
    }
    if edge {
        for (out, s) in out.iter_mut().zip(sums) {
            if (EDGE..SMALLEST).contains(&s.abs()) {
                *out = (s.signum() as f32 * f32::MIN_POSITIVE).to_bits();
            }
        }
    }
    out
}

/// Flips the sign of everything but zeros.
pub fn negate(v: u32) -> u32 {
    if v << 1 == 0 { v } else { v ^ 1 << 31 }
}

/// One lane of VADD.f.
pub fn add_lane(a: u32, b: u32) -> u32 {
    let mut s = Sum::<2>::new();
    s.push(classify_f32(a));
    s.push(classify_f32(b));
    if s.n == 0 && !s.nan && s.infinite == [false; 2] {
        // Both zero: minus zero only from two minus zeros.
        return a & b & 1 << 31;
    }
    s.finish(Underflow::SignedZero)
}

/// fp32 to bf16, dropping 16 bits under `rnd`.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording f32_to_bf16_edge (960 points).
pub fn to_bf16(bits: u32, rnd: Rounding) -> u16 {
    let high = (bits >> 16) as u16;
    if bits & 0x7fff_ffff > INF {
        // A NaN whose payload lies in the dropped half would read as infinity.
        return if high & 0x7f == 0 { high | 1 } else { high };
    }
    if bits & 0x7fff_ffff == INF {
        return high;
    }
    let bump = rnd.bumps_magnitude(bits >> 31 == 1, high & 1 == 1, bits >> 15 & 1 == 1, bits & 0x7fff != 0);
    high + u16::from(bump)
}

/// bf16 to fp32: exact, denormals and NaN kept.
pub fn from_bf16(v: u16) -> u32 {
    u32::from(v) << 16
}

/// `floor(v * 2^shift)` of a bf16, saturating; NaN gives the largest integer. `shift` -32..=31.
pub fn floor_bf16(v: u16, shift: i32) -> i32 {
    let x = f64::from(f32::from_bits(from_bf16(v)));
    if x.is_nan() {
        return i32::MAX;
    }
    // A bf16 times a power of two of this size is exact in f64, and the cast saturates.
    (x * 2f64.powi(shift)).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(v: f32) -> u32 {
        v.to_bits()
    }

    fn b(v: f32) -> u16 {
        (v.to_bits() >> 16) as u16
    }

    #[test]
    fn small_integers_are_exact() {
        let pairs = [(b(3.0), b(5.0)), (b(-2.0), b(7.0))];
        assert_eq!(mac_lane(&[f(100.0)], pairs.into_iter(), false), f(101.0));
        assert_eq!(mac_lane(&[f(100.0)], pairs.into_iter(), true), f(99.0));
    }

    #[test]
    fn addends_are_rounded_one_by_one() {
        // Two halves of the grid step both round to even zero although their sum is a whole step.
        let one_and = [(b(1.0), b(2f32.powi(-24))), (b(1.0), b(2f32.powi(-24)))];
        assert_eq!(mac_lane(&[f(1.0)], one_and.into_iter(), false), f(1.0));
    }

    #[test]
    fn magic_number_rounds_the_product() {
        let magic = 1.5 * 2f32.powi(23);
        assert_eq!(mac_lane(&[f(magic)], [(b(2.5), b(1.0))].into_iter(), false), f(magic + 2.0));
        assert_eq!(mac_lane(&[f(magic)], [(b(3.5), b(1.0))].into_iter(), false), f(magic + 4.0));
    }

    #[test]
    fn special_values() {
        let inf = 0x7f80;
        assert_eq!(mac_lane(&[0], [(inf, b(-1.0))].into_iter(), false), 0xff80_0000);
        assert_eq!(mac_lane(&[0], [(inf, 0)].into_iter(), false), NAN);
        assert_eq!(mac_lane(&[0xff80_0000], [(inf, b(1.0))].into_iter(), false), NAN);
        // Denormal results lose their sign in the multiplier and keep it in the adder.
        assert_eq!(mac_lane(&[0x8000_0001], [].into_iter(), false), 0);
        assert_eq!(add_lane(0x8000_0001, 0), 0x8000_0000);
        assert_eq!(add_lane(0x8000_0000, 0x8000_0000), 0x8000_0000);
        assert_eq!(add_lane(f(1.5), f(-1.5)), 0);
    }

    #[test]
    fn adder_rounds_the_smaller_operand_first() {
        assert_eq!(add_lane(f(2f32.powi(24)), f(1.0)), f(2f32.powi(24)));
        assert_eq!(add_lane(f(0.1), f(0.2)), f(0.1f32 + 0.2f32));
        let magic = 1.5 * 2f32.powi(23);
        assert_eq!(add_lane(f(magic), f(-7.5)), f(magic - 8.0));
    }

    #[test]
    fn floor_saturates() {
        assert_eq!(floor_bf16(b(-1.5), 0), -2);
        assert_eq!(floor_bf16(b(1.5), 10), 1536);
        assert_eq!(floor_bf16(0xff80, 0), i32::MIN);
        assert_eq!(floor_bf16(0x7f80, 0), i32::MAX);
        assert_eq!(floor_bf16(0x7fc0, 0), i32::MAX);
        assert_eq!(floor_bf16(0x8001, 0), -1);
    }
}
