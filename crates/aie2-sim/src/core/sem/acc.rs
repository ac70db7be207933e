//! Accumulator addition family (VADD, VSUB, VNEGADD, VNEGSUB, VNEG and their float forms).

use super::fp;
use super::lanes::Lane;
use super::mac::BadConfig;

/// Signs of the two accumulators as the mnemonic states them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccSigns {
    /// First accumulator is negated.
    pub acc1: bool,
    /// Second accumulator is negated.
    pub acc2: bool,
}

/// Integer addition on 32-bit lanes. `acc2` is absent for VNEG.
pub fn add_int(config: u32, signs: AccSigns, acc1: &[u8; 128], acc2: Option<&[u8; 128]>, out: &mut [u8; 128]) -> Result<(), BadConfig> {
    let modes = IntAdd::decode(config)?;
    for i in 0..32 {
        let mut a = if modes.zero_acc1 { 0 } else { i32::load(acc1, i) };
        if modes.shift16 {
            a <<= 16;
        }
        let a = if signs.acc1 != modes.negate1 { a.wrapping_neg() } else { a };
        let b = acc2.map_or(0, |v| i32::load(v, i));
        let b = if signs.acc2 != modes.negate2 { b.wrapping_neg() } else { b };
        a.wrapping_add(b).store(out, i);
    }
    Ok(())
}

struct IntAdd {
    zero_acc1: bool,
    shift16: bool,
    negate1: bool,
    negate2: bool,
}

impl IntAdd {
    fn decode(config: u32) -> Result<Self, BadConfig> {
        let bit = |n: u32| config >> n & 1 == 1;
        Ok(Self { zero_acc1: bit(0), shift16: bit(10), negate1: bit(11), negate2: bit(12) })
    }
}

/// Configuration word of the float forms: accumulator mode 2, multiplier mode 3.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h.
const FLOAT_CONFIG: u32 = 0x1c;

/// fp32 addition on 16 lanes.
pub fn add_float(config: u32, signs: AccSigns, acc1: &[u8; 64], acc2: &[u8; 64], out: &mut [u8; 64]) -> Result<(), BadConfig> {
    if config != FLOAT_CONFIG {
        return Err(BadConfig(config));
    }
    for i in 0..16 {
        let sign = |v: u32, n: bool| if n { fp::negate(v) } else { v };
        let (a, b) = (sign(u32::load(acc1, i), signs.acc1), sign(u32::load(acc2, i), signs.acc2));
        fp::add_lane(a, b).store(out, i);
    }
    Ok(())
}
