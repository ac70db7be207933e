//! Scalar integer unit. Functions of values; `bool` results are the carry.
// SOURCE: FIM43-Redeye/xdna-emu src/interpreter/execute/semantic.rs and its silicon recordings (carry, shifts, divs).

/// `a + b` and its carry.
pub fn add(a: u32, b: u32) -> (u32, bool) {
    a.overflowing_add(b)
}

/// `a - b`; carry means "borrow".
// MEASURED: FIM43-Redeye/xdna-emu, silicon recording SBC (25 points): srCarry = 1 subtracts one more.
pub fn sub(a: u32, b: u32) -> (u32, bool) {
    a.overflowing_sub(b)
}

/// `a + b + carry` and its carry.
pub fn adc(a: u32, b: u32, carry: bool) -> (u32, bool) {
    let s = u64::from(a) + u64::from(b) + u64::from(carry);
    (s as u32, s >> 32 != 0)
}

/// `a - b - carry`; carry means "borrow".
pub fn sbc(a: u32, b: u32, carry: bool) -> (u32, bool) {
    let s = i64::from(a) - i64::from(b) - i64::from(carry);
    (s as u32, s < 0)
}

/// Shift by a signed amount, its magnitude modulo 32: left for positive, right for negative amounts.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recordings LSHL and ASHL (75 points).
pub fn lshl(a: u32, amount: u32) -> u32 {
    if (amount as i32) < 0 { a >> (amount.wrapping_neg() & 31) } else { a << (amount & 31) }
}

/// As [`lshl`], but right shifts copy the sign.
pub fn ashl(a: u32, amount: u32) -> u32 {
    if (amount as i32) < 0 { ((a as i32) >> (amount.wrapping_neg() & 31)) as u32 } else { a << (amount & 31) }
}

/// Leading bits equal to the sign bit, the sign bit included.
pub fn clb(a: u32) -> u32 {
    if (a as i32) < 0 { a.leading_ones() } else { a.leading_zeros() }
}

/// One restoring division step: remainder, (quotient and rest of the dividend).
pub fn divs(rem: u32, quotient: u32, divisor: u32) -> (u32, u32) {
    let a = rem << 1 | quotient >> 31;
    let q = quotient << 1;
    if a >= divisor { (a - divisor, q | 1) } else { (a, q) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carry_and_borrow() {
        assert_eq!(add(u32::MAX, 1), (0, true));
        assert_eq!(sub(1, 2), (u32::MAX, true));
        assert_eq!(sub(2, 2), (0, false));
        assert_eq!(adc(u32::MAX, 0, true), (0, true));
        assert_eq!(sbc(5, 3, true), (1, false));
        assert_eq!(sbc(3, 3, true), (u32::MAX, true));
    }

    #[test]
    fn shifts_are_signed() {
        assert_eq!(lshl(0x8000_0001, 1), 2);
        assert_eq!(lshl(0x8000_0001, (-1i32) as u32), 0x4000_0000);
        assert_eq!(ashl(0x8000_0000, (-31i32) as u32), u32::MAX);
    }

    #[test]
    fn thirty_two_steps_divide() {
        let (mut rem, mut q) = (0, 1_000_003);
        for _ in 0..32 {
            (rem, q) = divs(rem, q, 97);
        }
        assert_eq!((q, rem), (1_000_003 / 97, 1_000_003 % 97));
    }
}
