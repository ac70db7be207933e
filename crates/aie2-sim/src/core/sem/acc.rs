//! Accumulator addition family (VADD, VSUB, VNEGADD, VNEGSUB, VNEG and their float forms).

use super::fp;
use super::lanes::Lane;
use super::mac::{BadConfig, ConfigField};

/// Signs of the two accumulators as the mnemonic states them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccSigns {
    /// First accumulator is negated.
    pub acc1: bool,
    /// Second accumulator is negated.
    pub acc2: bool,
}

/// Configuration bits.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h. MEASURED: FIM43-Redeye/xdna-emu, silicon recordings VADD, VSUB, VNEGADD, VNEGSUB,
// VNEG (73 points with arbitrary words): these bits and no others matter; accumulator mode 1 adds 64-bit lanes.
struct Modifiers {
    zero_acc1: bool,
    wide: bool,
    shift16: bool,
    negate1: bool,
    negate2: bool,
}

impl Modifiers {
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
    let mode = Modifiers::decode(config);
    if acc2.is_none() && !mode.zero_acc1 && (mode.wide || mode.negate1 || mode.shift16) {
        return Err(ConfigField::OneAccumulator.of(config));
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

/// fp32 addition on 16 lanes. `acc2` is absent for VNEG.f and counts as plus zero.
///
/// Of the configuration word three bits matter, zero_acc (0), sub1 (12) and sub2 (13); the documents use 0x1c. shift16 without
/// zero_acc is refused.
// SOURCE: Xilinx/llvm-aie aiev2_vmult.h (names of the bits).
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording isa_points_random_config, VADD.f, VSUB.f, VNEGADD.f, VNEGSUB.f, VNEG.f,
// 74 points with arbitrary words. All are float sums whatever the mode bits: lanes of denormals become zero, lanes of NaN stay
// NaN, and with bit 0 set acc1 no longer counts. In 13 more, with bit 10 set and bit 0 clear, acc1 reads as something else.
// The recordings hold denormals and NaN alone, so they do not show signs: those rest on the integer forms, whose recordings
// pin bits 12 and 13.
pub fn add_float(
    config: u32,
    signs: AccSigns,
    acc1: &[u8; 64],
    acc2: Option<&[u8; 64]>,
    out: &mut [u8; 64],
) -> Result<(), BadConfig> {
    let mode = Modifiers::decode(config);
    if mode.shift16 && !mode.zero_acc1 {
        return Err(ConfigField::Shift16.of(config));
    }
    let (neg1, neg2) = (signs.acc1 != mode.negate1, signs.acc2 != mode.negate2);
    let sign = |v: u32, n: bool| if n { fp::negate(v) } else { v };
    for i in 0..16 {
        let a = if mode.zero_acc1 { 0 } else { u32::load(acc1, i) };
        let b = acc2.map_or(0, |v| u32::load(v, i));
        fp::add_lane(sign(a, neg1), sign(b, neg2)).store(out, i);
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
        assert_eq!(
            add_int(2, AccSigns { acc1: true, acc2: false }, &a, None, &mut o),
            Err(ConfigField::OneAccumulator.of(2))
        );
        let (a, b, mut o) = ([0u8; 64], [0u8; 64], [0u8; 64]);
        assert_eq!(add_float(0x1c | 1 << 10, plus, &a, Some(&b), &mut o), Err(ConfigField::Shift16.of(0x41c)));
    }
}
