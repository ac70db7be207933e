//! The products that carry whole kernels, in the host's own vector instructions.
//!
//! Each has a plain definition in [`sem::mac`](super::sem::mac) that stands in where the host lacks the instructions; a test
//! holds the two equal.

use super::sem::mac::{self, IntMode, Shape};

#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, cast, x86::V3};

/// What the host offers.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    #[cfg(target_arch = "x86_64")]
    avx2: Option<V3>,
}

impl Host {
    pub(crate) fn detect() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: V3::try_new(),
        }
    }

    /// Runs `f` compiled for those instructions.
    #[inline(always)]
    pub(crate) fn vectorize<R>(&self, f: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = self.avx2 {
            return simd.vectorize(Whole(f));
        }
        f()
    }

    /// `p += acc` on 32-bit lanes.
    #[inline(always)]
    pub(crate) fn add_lanes(&self, acc: &[u8; 128], p: &mut [u8; 128]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = self.avx2 {
            return simd.vectorize(AddLanes { acc, p });
        }
        mac::add_lanes(acc, p);
    }

    /// Product sums of `mode`, as the bytes of a cm register.
    #[inline(always)]
    pub(crate) fn int_products(&self, mode: &IntMode, a: &[u8; 64], b: &[u8; 64], out: &mut [u8; 128]) {
        #[cfg(target_arch = "x86_64")]
        if let (Some(simd), true) = (self.avx2, is_i8_4x8x8(mode)) {
            return simd.vectorize(I8Product { simd, a, b, out, signs: (mode.a_signed, mode.b_signed) });
        }
        mac::int_products(mode, a, b, out);
    }
}

#[cfg(target_arch = "x86_64")]
struct Whole<F>(F);

#[cfg(target_arch = "x86_64")]
impl<R, F: FnOnce() -> R> NullaryFnOnce for Whole<F> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        (self.0)()
    }
}

#[cfg(target_arch = "x86_64")]
struct AddLanes<'a> {
    acc: &'a [u8; 128],
    p: &'a mut [u8; 128],
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for AddLanes<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        mac::add_lanes(self.acc, self.p);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn is_i8_4x8x8(mode: &IntMode) -> bool {
    matches!(mode.shape, Shape::Matrix { m: 4, k: 8, n: 8 }) && (mode.a_bits, mode.b_bits, mode.negative) == (8, 8, [0; 2])
}

/// C[r][c] = Σₖ A[r][k]·B[k][c], 4x8 by 8x8, two k at a time: a pair of one row of A against pairs of eight columns of B.
#[cfg(target_arch = "x86_64")]
struct I8Product<'a> {
    simd: V3,
    a: &'a [u8; 64],
    b: &'a [u8; 64],
    out: &'a mut [u8; 128],
    signs: (bool, bool),
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for I8Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, a, b, out, signs } = self;
        let avx2 = simd.avx2;
        let half = |v: &[u8; 64], i: usize| -> [u8; 16] { v.as_chunks::<16>().0[i] };
        let widen = |v, signed| if signed { avx2._mm256_cvtepi8_epi16(v) } else { avx2._mm256_cvtepu8_epi16(v) };
        // (b[k][c], b[k + 1][c]) for c = 0..8, k = 0, 2, 4, 6.
        let pairs: [_; 4] = std::array::from_fn(|k| {
            let rows = cast(half(b, k));
            let next = simd.sse2._mm_srli_si128::<8>(rows);
            widen(simd.sse2._mm_unpacklo_epi8(rows, next), signs.1)
        });
        for (i, c) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            // Rows 2 i and 2 i + 1 of A as pairs of k.
            let rows: [i32; 8] = cast(widen(cast(half(a, i)), signs.0));
            for (row, c) in rows.as_chunks::<4>().0.iter().zip(c.as_chunks_mut::<32>().0) {
                let mut sum = avx2._mm256_madd_epi16(simd.avx._mm256_set1_epi32(row[0]), pairs[0]);
                for k in 1..4 {
                    let product = avx2._mm256_madd_epi16(simd.avx._mm256_set1_epi32(row[k]), pairs[k]);
                    sum = avx2._mm256_add_epi32(sum, product);
                }
                *c = cast(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_instructions_give_the_defined_product() {
        let host = Host::detect();
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Extremes often: they are what a narrow intermediate would lose.
            match state >> 29 {
                0 => 0x80,
                1 => 0x7f,
                2 => 0xff,
                _ => (state >> 16) as u8,
            }
        };
        for round in 0..400 {
            let mode = mac::int_mode(0x008 | (round & 3) << 8).expect("documented word");
            let (a, b): ([u8; 64], [u8; 64]) = (std::array::from_fn(|_| byte()), std::array::from_fn(|_| byte()));
            let (mut fast, mut plain) = ([0; 128], [0; 128]);
            host.int_products(&mode, &a, &b, &mut fast);
            mac::int_products(&mode, &a, &b, &mut plain);
            assert_eq!(fast, plain, "signs {round}");
        }
    }
}
