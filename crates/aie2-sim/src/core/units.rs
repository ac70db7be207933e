//! Numbering of the separately stored register pieces ("units") inside the core model, and sets of them.
//!
//! Scalars occupy 0..128, vector pieces (w halves, accumulator quarters, q masks) 128..192, so that a set is three
//! machine words and the vector file is one array of 32-byte pieces.

use aie2_isa::{Atom, File, Reg};

/// Number of scalar units, including unused numbers.
pub(crate) const SCALARS: usize = 128;
/// Number of 32-byte vector pieces: 24 w halves, 36 accumulator quarters, 4 q masks (16 bytes used).
pub(crate) const PIECES: usize = 64;

pub(crate) const R: u8 = 0;
pub(crate) const P: u8 = 32;
pub(crate) const M: u8 = 40;
pub(crate) const DN: u8 = 48;
pub(crate) const DJ: u8 = 56;
pub(crate) const DC: u8 = 64;
pub(crate) const S: u8 = 72;
pub(crate) const CR: u8 = 76;
pub(crate) const SR: u8 = 88;
pub(crate) const LR: u8 = 98;
pub(crate) const LS: u8 = 99;
pub(crate) const LE: u8 = 100;
pub(crate) const LC: u8 = 101;
pub(crate) const SP: u8 = 102;
pub(crate) const DP: u8 = 103;
pub(crate) const CORE_ID: u8 = 104;
pub(crate) const CNTR: u8 = 105;
pub(crate) const W: u8 = 128;
pub(crate) const AM: u8 = 152;
pub(crate) const Q: u8 = 188;

// Control registers by their encoding.
// SOURCE: Xilinx/llvm-aie AIE2GenRegisterInfo.td (HWEncoding of the cr registers).
pub(crate) const CR_VADD_SIGN: u8 = CR;
pub(crate) const CR_F2F_MASK: u8 = CR + 1;
pub(crate) const CR_F2I_MASK: u8 = CR + 2;
pub(crate) const CR_FP_MASK: u8 = CR + 3;
pub(crate) const CR_MCD_EN: u8 = CR + 4;
pub(crate) const CR_PACK_SIGN: u8 = CR + 5;
pub(crate) const CR_RND: u8 = CR + 6;
pub(crate) const CR_SCD_EN: u8 = CR + 7;
pub(crate) const CR_SRS_SIGN: u8 = CR + 8;
pub(crate) const CR_SAT: u8 = CR + 9;
pub(crate) const CR_UPS_SIGN: u8 = CR + 10;
pub(crate) const CR_UNPACK_SIGN: u8 = CR + 11;
pub(crate) const SR_CARRY: u8 = SR;
pub(crate) const SR_MS0: u8 = SR + 5;
pub(crate) const SR_SS0: u8 = SR + 7;

const CR_NAMES: [&str; 12] = [
    "crVaddSign",
    "crF2FMask",
    "crF2IMask",
    "crFPMask",
    "crMCDEn",
    "crPackSign",
    "crRnd",
    "crSCDEn",
    "crSRSSign",
    "crSat",
    "crUPSSign",
    "crUnpackSign",
];
const SR_NAMES: [&str; 10] = [
    "srCarry",
    "srCompr_uf",
    "srF2FFlags",
    "srF2IFlags",
    "srFPFlags",
    "srMS0",
    "srSRS_of",
    "srSS0",
    "srSparse_of",
    "srUPS_of",
];

/// Unit of an atom.
pub(crate) fn of_atom(atom: Atom) -> u8 {
    let i = atom.index();
    match atom.file() {
        File::R => R + i,
        File::P => P + i,
        File::M => M + i,
        File::Dn => DN + i,
        File::Dj => DJ + i,
        File::Dc => DC + i,
        File::S => S + i,
        File::Cr => CR + i,
        File::Sr => SR + SR_NAMES.iter().position(|n| *n == atom.reg().name()).map_or(0, |k| k as u8),
        File::Lr => LR,
        File::Ls => LS,
        File::Le => LE,
        File::Lc => LC,
        File::Sp => SP,
        File::Dp => DP,
        File::CoreId => CORE_ID,
        File::Cntr => CNTR,
        File::W => W + i,
        File::Am => AM + i,
        File::Q => Q + i,
    }
}

/// First unit of a register; the units of every composite the core model moves as a whole are consecutive.
pub(crate) fn first(reg: Reg) -> u8 {
    reg.atoms().first().map_or(0, |&a| of_atom(a))
}

/// Assembler name of a unit.
pub(crate) fn name(unit: u8) -> String {
    let at = |base: u8, stem: &str| format!("{stem}{}", unit - base);
    match unit {
        R..P => at(R, "r"),
        P..M => at(P, "p"),
        M..DN => at(M, "m"),
        DN..DJ => at(DN, "dn"),
        DJ..DC => at(DJ, "dj"),
        DC..S => at(DC, "dc"),
        S..CR => at(S, "s"),
        CR..SR => CR_NAMES[usize::from(unit - CR)].to_owned(),
        SR..LR => SR_NAMES[usize::from(unit - SR)].to_owned(),
        LR => "lr".to_owned(),
        LS => "ls".to_owned(),
        LE => "le".to_owned(),
        LC => "lc".to_owned(),
        SP => "sp".to_owned(),
        DP => "dp".to_owned(),
        CORE_ID => "CORE_ID".to_owned(),
        CNTR => "cntr".to_owned(),
        W..AM => format!("w{}{}", if (unit - W).is_multiple_of(2) { 'l' } else { 'h' }, (unit - W) / 2),
        AM..Q => {
            let quarter = ["amll", "amlh", "amhl", "amhh"][usize::from((unit - AM) % 4)];
            format!("{quarter}{}", (unit - AM) / 4)
        }
        _ => format!("q{}", unit.wrapping_sub(Q)),
    }
}

/// A set of units.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Units(pub(crate) [u64; 3]);

impl Units {
    pub(crate) const EMPTY: Self = Self([0; 3]);

    pub(crate) fn one(unit: u8) -> Self {
        let mut s = Self::EMPTY;
        s.insert(unit);
        s
    }

    /// `n` consecutive units of one 64-unit word (vector pieces, or a scalar with its neighbour).
    #[inline(always)]
    pub(crate) fn run(unit: u8, n: u8) -> Self {
        let mut s = Self::EMPTY;
        s.0[usize::from(unit >> 6)] = ((1 << n) - 1) << (unit & 63);
        s
    }

    pub(crate) fn of(reg: Reg) -> Self {
        let mut s = Self::EMPTY;
        for &a in reg.atoms() {
            s.insert(of_atom(a));
        }
        s
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, unit: u8) {
        self.0[usize::from(unit >> 6)] |= 1 << (unit & 63);
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, unit: u8) {
        self.0[usize::from(unit >> 6)] &= !(1 << (unit & 63));
    }

    #[inline(always)]
    pub(crate) fn contains(&self, unit: u8) -> bool {
        self.0[usize::from(unit >> 6)] >> (unit & 63) & 1 == 1
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0[0] | self.0[1] | self.0[2] == 0
    }

    #[inline(always)]
    pub(crate) fn and(self, o: Self) -> Self {
        Self([self.0[0] & o.0[0], self.0[1] & o.0[1], self.0[2] & o.0[2]])
    }

    #[inline(always)]
    pub(crate) fn or(self, o: Self) -> Self {
        Self([self.0[0] | o.0[0], self.0[1] | o.0[1], self.0[2] | o.0[2]])
    }

    #[inline(always)]
    pub(crate) fn without(self, o: Self) -> Self {
        Self([self.0[0] & !o.0[0], self.0[1] & !o.0[1], self.0[2] & !o.0[2]])
    }

    /// Lowest unit of the set.
    pub(crate) fn lowest(&self) -> Option<u8> {
        self.0.iter().enumerate().find(|(_, w)| **w != 0).map(|(i, w)| (i * 64) as u8 + w.trailing_zeros() as u8)
    }
}
