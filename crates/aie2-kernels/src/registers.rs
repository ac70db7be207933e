//! Values and modes in registers, as every program sets them up, and the numbers of the vector unit that stand in them.

use aie2_codegen::{Asm, Operand};

/// Configuration words.
// SOURCE: Xilinx/llvm-aie clang/lib/Headers/aiev2/aiev2_vmult.h: amode, bmode, variant, signs.
pub(crate) mod config {
    /// Accumulator additions on int32 lanes.
    pub const INT32_ADD: i64 = 0;
    /// bfloat16 × bfloat16, 4x8x4.
    pub const BF16_4X8X4: i64 = 0x1C;
    /// Accumulator additions on float32 lanes.
    pub const FLOAT_ADD: i64 = BF16_4X8X4;
    /// bfloat16 × bfloat16, 16 lanes of two terms.
    pub const BF16_ELEMENTWISE: i64 = 0x3C;
    /// int8 × int8, 4x8x8, both signed.
    pub const INT8_4X8X8: i64 = 0x308;
    /// int16 × int16, 32 lanes, both signed.
    pub const INT16_ELEMENTWISE: i64 = 0x338;
}

/// Modes of `vshuffle`: `T16_8X4` takes 8 × 4 elements of 16 bits of a register to 4 × 8; of two registers there are a lower and an upper half.
// SOURCE: Xilinx/llvm-aie clang/lib/Headers/aiev2/aiev2_enums.h.
pub(crate) mod shuffle {
    pub const T16_32X2_HI: i64 = 3;
    pub const T32_16X2: [i64; 2] = [4, 5];
    pub const T64_8X2: [i64; 2] = [6, 7];
    pub const T128_4X2: [i64; 2] = [8, 9];
    pub const T256_2X2: [i64; 2] = [10, 11];
    pub const T128_2X4: [i64; 2] = [12, 13];
    pub const T64_2X8: [i64; 2] = [14, 15];
    pub const T16_2X32: [i64; 2] = [18, 19];
    pub const T512_1X2: [i64; 2] = [22, 23];
    pub const T16_8X4: i64 = 28;
    pub const T16_4X8: i64 = 29;
    /// In each half of the register.
    pub const T16_4X4: i64 = 39;
}

/// Rounding of conversions and shifts.
// SOURCE: Xilinx/llvm-aie clang/lib/Headers/aiev2/aiev2_enums.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Half to even.
    Even = 12,
    /// Half towards positive infinity.
    HalfUp = 9,
}

/// What becomes of a value that its narrower type does not hold.
// SOURCE: AM020 ch. 4, crSat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saturation {
    /// It keeps the low bits.
    Truncate = 0,
    /// It becomes the nearest one.
    Saturate = 1,
}

/// Sets rounding and saturation, by way of one register.
pub(crate) fn round_and_saturate(a: &mut Asm, rounding: Rounding, saturation: Saturation) {
    let t = a.r();
    for (register, value) in [("crRnd", rounding as i64), ("crSat", saturation as i64)] {
        a.imm(t, value);
        a.mov(register.into(), t);
    }
}

/// Sets rounding to even and saturation to the full range, which every spec assumes, side by side.
pub(crate) fn set_modes(a: &mut Asm) {
    for (register, value) in [("crRnd", Rounding::Even as i64), ("crSat", Saturation::Saturate as i64)] {
        let t = constant(a, value);
        a.mov(register.into(), t);
    }
}

/// A scalar register that holds `value`.
pub(crate) fn constant(a: &mut Asm, value: i64) -> Operand {
    let r = a.r();
    a.imm(r, value);
    r
}

/// A vector register whose 32-bit lanes hold `bits`.
pub(crate) fn splat32(a: &mut Asm, bits: i64) -> Operand {
    let (x, t) = (a.x(), constant(a, bits));
    a.i("vbcst.32 {}, {}", &[x, t]);
    x
}

/// A vector register whose 16-bit lanes hold `bits`.
pub(crate) fn splat16(a: &mut Asm, bits: i64) -> Operand {
    let (x, t) = (a.x(), constant(a, bits));
    a.i("vbcst.16 {}, {}", &[x, t]);
    x
}

/// A bfloat16 constant in the lower half of a vector.
pub(crate) fn half_splat(a: &mut Asm, bits: i64) -> Operand {
    let (x, zero) = (splat16(a, bits), splat16(a, 0));
    a.i("vmov {}, {}", &[x.hi(), zero.lo()]);
    x
}

/// An accumulator whose 32-bit lanes hold `bits`.
pub(crate) fn splat_accumulator(a: &mut Asm, bits: i64, name: &str) -> Operand {
    let (x, cm) = (splat32(a, bits), pinned(a, Asm::cm, name));
    a.i("vmov {}, {}", &[cm.bm(0), x]);
    a.i("vmov {}, {}", &[cm.bm(1), x]);
    cm
}

/// A shift register that holds `bits`.
pub(crate) fn shift(a: &mut Asm, bits: i64) -> Operand {
    let (s, t) = (a.s(), constant(a, bits));
    a.mov(s, t);
    s
}

/// A new register in a fixed place, so that long-lived values and values under way do not fragment each other's file.
pub(crate) fn pinned(a: &mut Asm, new: fn(&mut Asm) -> Operand, name: &str) -> Operand {
    let v = new(a);
    if let Operand::Physical(reg) = Operand::reg(name) {
        a.pin(v, reg);
    }
    v
}

/// The `i`-th of the eighteen accumulators of 16 float32.
pub(crate) fn half_accumulator(a: &mut Asm, i: usize) -> Operand {
    pinned(a, Asm::bm, &format!("bm{}{}", ["l", "h"][i % 2], i / 2))
}
