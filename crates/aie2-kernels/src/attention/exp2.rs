//! p = bf16(2^x), 32 lanes at a time, without tables. Spec: `oracle::exp2`.
//!
//! A bfloat16 pattern is 128 · (x + 127) plus the bend of 2^f inside an octave, a cubic in f = x - ⌊x⌋:
//!
//! ```text
//! T = x - (128² + 96²)                                vmsc.f × 2    patterns with nine bits of fraction, falling as x rises
//! X = sat16(reference - T) = 512 · (x + 63)           vsub, vsrs    saturation is the clamp: x ≤ -127 gives exactly 0
//! u = X & 511,  t = (SLOPE + u (u + OFFSET)) / 2^8    vband, vadd, vmac, vsrs
//! p = (2^29 + X · 2^14 + t u) / 2^16                  vups, vaddmac, vst.srs × 2
//! ```
//! Per 32 values: vec 5, st 4, mv 3, and 4 on lda where the operands come from memory; six reads of accumulators other than the first of an
//! addition share one port and bind.

use aie2_codegen::{Asm, Operand, Program};

use super::{alone, place};
use crate::KernelError;
use crate::registers::{config, constant, pinned, shift, splat_accumulator, splat16};

/// Values per trip of the loop.
pub const LANES: u32 = 64;
/// Declared initiation interval of a trip.
pub const II: u32 = 12;

/// 128 and 96 in bfloat16: with both in one register a lane subtracts the sum of their squares, a number of the octave whose unit is 2^-9.
const GRID_FACTORS: [i64; 2] = [0x4300, 0x42C0];
/// Bits of -(128² + 96²): the pattern of x = 0.
const ZERO_PATTERN: i64 = 0x46C8_0000 - (1 << 31);
/// Steps of the grid in one octave.
pub(crate) const STEPS: i64 = 512;
/// 2^22 · a₁ of the cubic f (a₁ + a₂ f + f² / 16).
const SLOPE: i64 = -1_307_784;
/// 2^13 · a₂.
const OFFSET: i64 = 2037;

/// Reference for x = 0: X = 512 · (x + 63).
const REFERENCE: i64 = ZERO_PATTERN + 63 * STEPS;

/// Registers that hold the same in every trip.
pub struct Constants {
    slope: Operand,
    base: Operand,
    fraction: Operand,
    offset: Operand,
    none: Operand,
    eight: Operand,
    fourteen: Operand,
    sixteen: Operand,
    int_add: Operand,
    int16: Operand,
}

impl Constants {
    /// Fills them; `cm7` and `cm8` are taken.
    pub fn new(a: &mut Asm) -> Self {
        Self {
            slope: splat_accumulator(a, SLOPE, "cm7"),
            base: splat_accumulator(a, 1 << 29, "cm8"),
            fraction: splat16(a, STEPS - 1),
            offset: splat16(a, OFFSET),
            none: shift(a, 0),
            eight: shift(a, 8),
            fourteen: shift(a, 14),
            sixteen: shift(a, 16),
            int_add: constant(a, config::INT32_ADD),
            int16: constant(a, config::INT16_ELEMENTWISE),
        }
    }
}

impl Constants {
    /// Shift of the final rounding.
    pub fn rounding(&self) -> Operand {
        self.sixteen
    }
}

/// The register whose square a lane subtracts to put float32 on the grid.
pub fn grid_factors(a: &mut Asm) -> Operand {
    let [x, high] = GRID_FACTORS.map(|bits| splat16(a, bits));
    a.i("vmov {}, {}", &[x.hi(), high.lo()]);
    x
}

/// Accumulators of 32 values under way. Neighbouring values may share all but `x`.
#[derive(Clone, Copy)]
pub struct Tile {
    /// The values, as patterns.
    pub x: Operand,
    /// Their distance from the reference.
    pub d: Operand,
    /// The slope of the bend.
    pub slope: Operand,
    /// The result before its rounding.
    pub y: Operand,
}

/// Emits the function for 32 patterns up to its rounding: `vsrs.s16.s32` or `vst.srs.s16.s32` of `y` with [`Constants::rounding`] completes it.
pub fn tile(a: &mut Asm, c: &Constants, reference: Operand, tile: &Tile) {
    let Tile { x, d, slope, y } = *tile;
    a.i("vsub {}, {}, {}, {}", &[d, reference, x, c.int_add]);
    let (fixed, u, v, t) = (a.x(), a.x(), a.x(), a.x());
    a.i("vsrs.s16.s32 {}, {}, {}", &[fixed, d, c.none]);
    a.i("vband {}, {}, {}", &[u, fixed, c.fraction]);
    a.i("vadd.16 {}, {}, {}", &[v, u, c.offset]);
    a.i("vmac {}, {}, {}, {}, {}", &[slope, c.slope, u, v, c.int16]);
    a.i("vsrs.s16.s32 {}, {}, {}", &[t, slope, c.eight]);
    a.i("vups.s32.s16 {}, {}, {}", &[y, fixed, c.fourteen]);
    a.i("vaddmac {}, {}, {}, {}, {}, {}", &[y, y, c.base, u, t, c.int16]);
}

/// A program that maps `trips` · [`LANES`] values from [`place::IN`] to [`place::OUT`].
///
/// # Errors
/// A missed II, or a failed check.
pub fn program(trips: u32) -> Result<Program, KernelError> {
    alone(|a| {
        let c = Constants::new(a);
        let reference = splat_accumulator(a, REFERENCE, "cm5");
        let (grid, float) = (grid_factors(a), constant(a, config::BF16_ELEMENTWISE));
        let (from, to) = (a.p(), a.p());
        a.imm(from, i64::from(place::IN));
        a.imm(to, i64::from(place::OUT));
        let [x0, x1, d, slope, y0, y1] =
            ["cm0", "cm1", "cm2", "cm3", "cm4", "cm6"].map(|name| pinned(a, Asm::cm, name));
        let tiles = [Tile { x: x0, d, slope, y: y0 }, Tile { x: x1, d, slope, y: y1 }];
        a.pipelined("exp2", II, trips, |a| {
            for t in &tiles {
                for quarter in 0..4 {
                    a.vlda(place::IN_MEMORY, t.x.am(quarter), from, 32);
                }
                for half in [t.x.bm(0), t.x.bm(1)] {
                    a.i("vmsc.f {}, {}, {}, {}, {}", &[half, half, grid, grid, float]);
                }
                tile(a, &c, reference, t);
                for half in 0..2 {
                    a.mi(place::OUT_MEMORY, "vst.srs.s16.s32 {}, {}, [{}], #32", &[t.y.bm(half), c.rounding(), to]);
                }
            }
        });
    })
}
