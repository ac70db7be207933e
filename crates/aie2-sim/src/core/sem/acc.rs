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

/// Configuration bits of the integer forms.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h. MEASURED: FIM43-Redeye/xdna-emu, silicon recordings VADD, VSUB, VNEGADD, VNEGSUB,
// VNEG (73 points with arbitrary words): these bits and no others matter; accumulator mode 1 adds 64-bit lanes.
struct IntAdd {
    zero_acc1: bool,
    wide: bool,
    shift16: bool,
    negate1: bool,
    negate2: bool,
}

impl IntAdd {
    fn decode(config: u32) -> Self {
        let bit = |n: u32| config >> n & 1 == 1;
        Self { zero_acc1: bit(0), wide: config >> 1 & 3 == 1, shift16: bit(10), negate1: bit(12), negate2: bit(13) }
    }
}

/// Integer addition. `acc2` is absent for VNEG, of which only the plain 32-bit form is known.
pub fn add_int(
    config: u32,
    signs: AccSigns,
    acc1: &[u8; 128],
    acc2: Option<&[u8; 128]>,
    out: &mut [u8; 128],
) -> Result<(), BadConfig> {
    let mode = IntAdd::decode(config);
    if acc2.is_none() && !mode.zero_acc1 && (mode.wide || mode.negate1 || mode.shift16) {
        return Err(BadConfig(config));
    }
    let (neg1, neg2) = (signs.acc1 != mode.negate1, signs.acc2 != mode.negate2);
    macro_rules! lanes {
        ($t:ty, $n:expr) => {
            for i in 0..$n {
                let mut a = if mode.zero_acc1 { 0 } else { <$t>::load(acc1, i) };
                if mode.shift16 {
                    a <<= 16;
                }
                if neg1 {
                    a = a.wrapping_neg();
                }
                let b = acc2.map_or(0, |v| <$t>::load(v, i));
                a.wrapping_add(if neg2 { b.wrapping_neg() } else { b }).store(out, i);
            }
        };
    }
    if mode.wide {
        lanes!(i64, 16)
    } else {
        lanes!(i32, 32)
    }
    Ok(())
}

/// Configuration word of the float forms: accumulator mode 2, multiplier mode 3.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h.
const FLOAT_CONFIG: u32 = 0x1c;

/// fp32 addition on 16 lanes.
pub fn add_float(
    config: u32,
    signs: AccSigns,
    acc1: &[u8; 64],
    acc2: &[u8; 64],
    out: &mut [u8; 64],
) -> Result<(), BadConfig> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_bits_change_signs_and_lanes() {
        let (mut a, mut b, mut o) = ([0u8; 128], [0u8; 128], [0u8; 128]);
        (-1i32).store(&mut a, 0);
        1i32.store(&mut b, 0);
        let plus = AccSigns { acc1: false, acc2: false };
        add_int(0, plus, &a, Some(&b), &mut o).expect("32-bit lanes");
        assert_eq!(i64::load(&o, 0), 0);
        add_int(2, plus, &a, Some(&b), &mut o).expect("64-bit lanes");
        assert_eq!(i64::load(&o, 0), 1 << 32);
        add_int(1 << 12, plus, &a, Some(&b), &mut o).expect("acc1 negated");
        assert_eq!(i32::load(&o, 0), 2);
        assert_eq!(add_int(2, AccSigns { acc1: true, acc2: false }, &a, None, &mut o), Err(BadConfig(2)));
        let (a, b, mut o) = ([0u8; 64], [0u8; 64], [0u8; 64]);
        assert_eq!(add_float(0, plus, &a, &b, &mut o), Err(BadConfig(0)));
    }
}
