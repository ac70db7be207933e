//! Moves between integer accumulators and vectors: SRS, UPS, pack, unpack.

use super::lanes::{Lane, get, put};

/// Why a conversion has no documented result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undefined {
    /// crRnd holds a reserved value.
    Rounding(u32),
    /// crSat holds a reserved value.
    Saturation(u32),
    /// The shift amount is outside the documented range.
    Shift(u32),
    /// An up-shift left the accumulator while crSat asks for saturation.
    UpshiftOverflow,
}

/// Rounding of a right shift.
// SOURCE: Xilinx/llvm-aie aiev2_enums.h; checked on silicon through SRS and fp32->bf16 by FIM43-Redeye/xdna-emu.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// Toward minus infinity (0).
    Floor,
    /// Toward plus infinity (1).
    Ceil,
    /// Toward zero (2).
    SymmetricFloor,
    /// Away from zero (3).
    SymmetricCeil,
    /// Half toward minus infinity (8).
    HalfDown,
    /// Half toward plus infinity (9).
    HalfUp,
    /// Half toward zero (10).
    HalfToZero,
    /// Half away from zero (11).
    HalfFromZero,
    /// Half to even (12).
    HalfEven,
    /// Half to odd (13).
    HalfOdd,
}

impl Rounding {
    /// Decodes crRnd.
    pub fn from_register(value: u32) -> Result<Self, Undefined> {
        Ok(match value {
            0 => Self::Floor,
            1 => Self::Ceil,
            2 => Self::SymmetricFloor,
            3 => Self::SymmetricCeil,
            8 => Self::HalfDown,
            9 => Self::HalfUp,
            10 => Self::HalfToZero,
            11 => Self::HalfFromZero,
            12 => Self::HalfEven,
            13 => Self::HalfOdd,
            v => return Err(Undefined::Rounding(v)),
        })
    }

    /// Whether a two's complement value cut to `odd` gains one: `g` first dropped bit, `t` any other dropped bit.
    fn increments(self, negative: bool, odd: bool, g: bool, t: bool) -> bool {
        match self {
            Self::Floor => false,
            Self::Ceil => g || t,
            Self::SymmetricFloor => negative && (g || t),
            Self::SymmetricCeil => !negative && (g || t),
            Self::HalfDown => g && t,
            Self::HalfUp => g,
            Self::HalfToZero => g && (t || negative),
            Self::HalfFromZero => g && (t || !negative),
            Self::HalfEven => g && (t || odd),
            Self::HalfOdd => g && (t || !odd),
        }
    }

    /// Whether a sign-magnitude value cut to `odd` gains one in magnitude.
    pub fn bumps_magnitude(self, negative: bool, odd: bool, g: bool, t: bool) -> bool {
        match self {
            Self::Floor => negative && (g || t),
            Self::Ceil => !negative && (g || t),
            Self::SymmetricFloor => false,
            Self::SymmetricCeil => g || t,
            Self::HalfDown => g && (t || negative),
            Self::HalfUp => g && (t || !negative),
            Self::HalfToZero => g && t,
            Self::HalfFromZero => g,
            Self::HalfEven => g && (t || odd),
            Self::HalfOdd => g && (t || !odd),
        }
    }

    /// `value / 2^shift` rounded; `shift` 0..=63.
    pub fn shift_right(self, value: i64, shift: u32) -> i64 {
        if shift == 0 {
            return value;
        }
        let q = value >> shift;
        let g = value >> (shift - 1) & 1 == 1;
        let t = value & ((1i64 << (shift - 1)) - 1) != 0;
        q + i64::from(self.increments(value < 0, q & 1 == 1, g, t))
    }
}

/// crSat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saturation {
    /// Keep the low bits.
    Truncate,
    /// Clamp to the type's range.
    Saturate,
    /// Clamp to the type's range without the most negative value.
    Symmetric,
}

impl Saturation {
    /// Decodes crSat.
    pub fn from_register(value: u32) -> Result<Self, Undefined> {
        match value {
            0 => Ok(Self::Truncate),
            1 => Ok(Self::Saturate),
            3 => Ok(Self::Symmetric),
            v => Err(Undefined::Saturation(v)),
        }
    }

    /// Fits `v` into `bits`.
    pub fn fit(self, v: i64, bits: u32, signed: bool) -> i64 {
        let (lo, hi) = if signed {
            let hi = (1i64 << (bits - 1)) - 1;
            (if self == Self::Symmetric { -hi } else { -hi - 1 }, hi)
        } else {
            (0, (1i64 << bits) - 1)
        };
        match self {
            Self::Truncate => v,
            Self::Saturate | Self::Symmetric => v.clamp(lo, hi),
        }
    }
}

/// Shape of an SRS or UPS: lane widths in bits and lane count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Widths {
    /// Accumulator lane, 32 or 64.
    pub acc_bits: u32,
    /// Vector lane, 8, 16 or 32.
    pub vec_bits: u32,
    /// Number of lanes.
    pub lanes: usize,
}

// SOURCE: AM020 ch. 4 and FIM43-Redeye/xdna-emu vector_srs.rs: behaviour outside 0..31 (32-bit lanes) and 0..63 is not
// documented.
fn legal_shift(shift: u32, acc_bits: u32) -> Result<(), Undefined> {
    if shift < acc_bits { Ok(()) } else { Err(Undefined::Shift(shift)) }
}

/// `out[i] = saturate(round(acc[i] / 2^shift))`, cut to the vector lane.
pub fn srs(
    acc: &[u8],
    out: &mut [u8],
    w: Widths,
    shift: u32,
    signed: bool,
    rnd: u32,
    sat: u32,
) -> Result<(), Undefined> {
    let (rnd, sat) = (Rounding::from_register(rnd)?, Saturation::from_register(sat)?);
    legal_shift(shift, w.acc_bits)?;
    for i in 0..w.lanes {
        let a = if w.acc_bits == 32 { i64::from(i32::load(acc, i)) } else { i64::load(acc, i) };
        put(out, i, w.vec_bits, sat.fit(rnd.shift_right(a, shift), w.vec_bits, signed));
    }
    Ok(())
}

/// The one up-shift beyond the lane that was recorded: 16-bit elements into 32-bit lanes, without saturation.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording VUPS_S32_D16, hw0324/b056/p039: the low halves of all 16 lanes are zero,
// as the low bits of the exact product are. So the amount is not taken modulo 32, which would be 14 and leave bits of the odd
// elements there. The high halves were not recorded; `<<` of core.md 9.3, wrapped to 32 bits, makes them zero too.
const RECORDED_UPSHIFT: u32 = 46;

/// `acc[i] = extend(src[i]) << shift`, wrapping.
pub fn ups(src: &[u8], acc: &mut [u8], w: Widths, shift: u32, signed: bool, sat: u32) -> Result<(), Undefined> {
    let sat = Saturation::from_register(sat)?;
    let recorded = (shift, w.acc_bits, w.vec_bits, sat) == (RECORDED_UPSHIFT, 32, 16, Saturation::Truncate);
    if !recorded {
        legal_shift(shift, w.acc_bits)?;
    }
    for i in 0..w.lanes {
        let wide = i128::from(get(src, i, w.vec_bits, signed)) << shift;
        let cut = if w.acc_bits == 32 { i128::from(wide as i32) } else { i128::from(wide as i64) };
        // Whether a saturating crSat clamps here is not documented.
        if sat != Saturation::Truncate && cut != wide {
            return Err(Undefined::UpshiftOverflow);
        }
        put(acc, i, w.acc_bits, cut as i64);
    }
    Ok(())
}

/// Halves every lane of `src` (`bits` wide) into `out`.
pub fn pack(src: &[u8], out: &mut [u8], bits: u32, signed: bool, sat: u32) -> Result<(), Undefined> {
    let sat = Saturation::from_register(sat)?;
    for i in 0..src.len() * 8 / bits as usize {
        // The unsigned form clamps the signed source lane to [0, 2^w - 1].
        put(out, i, bits / 2, sat.fit(get(src, i, bits, true), bits / 2, signed));
    }
    Ok(())
}

/// Doubles every lane of `src` (`bits` wide) into `out`.
pub fn unpack(src: &[u8], out: &mut [u8], bits: u32, signed: bool) {
    for i in 0..src.len() * 8 / bits as usize {
        put(out, i, bits * 2, get(src, i, bits, signed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_roundings_of_halves() {
        // 3/2 and -3/2, 5/2 and -5/2, quarter steps 5/4 and -5/4.
        let want: [(u32, [i64; 6]); 10] = [
            (0, [1, -2, 2, -3, 1, -2]),
            (1, [2, -1, 3, -2, 2, -1]),
            (2, [1, -1, 2, -2, 1, -1]),
            (3, [2, -2, 3, -3, 2, -2]),
            (8, [1, -2, 2, -3, 1, -1]),
            (9, [2, -1, 3, -2, 1, -1]),
            (10, [1, -1, 2, -2, 1, -1]),
            (11, [2, -2, 3, -3, 1, -1]),
            (12, [2, -2, 2, -2, 1, -1]),
            (13, [1, -1, 3, -3, 1, -1]),
        ];
        for (mode, w) in want {
            let r = Rounding::from_register(mode).expect("documented mode");
            let got = [(3, 1), (-3, 1), (5, 1), (-5, 1), (5, 2), (-5, 2)].map(|(v, s)| r.shift_right(v, s));
            assert_eq!(got, w, "mode {mode}");
        }
        assert_eq!(Rounding::from_register(5), Err(Undefined::Rounding(5)));
    }

    #[test]
    fn saturation_bounds() {
        assert_eq!(Saturation::Saturate.fit(-1000, 8, true), -128);
        assert_eq!(Saturation::Symmetric.fit(-1000, 8, true), -127);
        assert_eq!(Saturation::Saturate.fit(1000, 8, false), 255);
        assert_eq!(Saturation::Symmetric.fit(-5, 8, false), 0);
        assert_eq!(Saturation::from_register(2), Err(Undefined::Saturation(2)));
    }

    #[test]
    fn up_then_down_is_identity() {
        let src: Vec<u8> = (0..32).map(|i| (i * 37) as u8).collect();
        let w = Widths { acc_bits: 32, vec_bits: 8, lanes: 32 };
        let mut acc = [0; 128];
        ups(&src, &mut acc, w, 7, true, 0).expect("in range");
        let mut back = [0; 32];
        srs(&acc, &mut back, w, 7, true, 12, 1).expect("documented");
        assert_eq!(&back[..], &src[..]);
        assert_eq!(ups(&src, &mut acc, w, 30, true, 1), Err(Undefined::UpshiftOverflow));
    }

    #[test]
    fn only_the_recorded_shift_leaves_the_lane() {
        let w = Widths { acc_bits: 32, vec_bits: 16, lanes: 16 };
        let mut acc = [0xff; 64];
        for shift in 32..64 {
            let want = if shift == 46 { Ok(()) } else { Err(Undefined::Shift(shift)) };
            assert_eq!(ups(&[0xff; 32], &mut acc, w, shift, false, 0), want, "shift {shift}");
        }
        assert_eq!(acc, [0; 64]);
        assert_eq!(ups(&[0xff; 32], &mut acc, w, 46, false, 1), Err(Undefined::Shift(46)));
        let bytes = Widths { acc_bits: 32, vec_bits: 8, lanes: 32 };
        assert_eq!(ups(&[0xff; 32], &mut [0; 128], bytes, 46, false, 0), Err(Undefined::Shift(46)));
        assert_eq!(srs(&acc, &mut [0; 32], w, 46, true, 0, 0), Err(Undefined::Shift(46)));
    }
}
