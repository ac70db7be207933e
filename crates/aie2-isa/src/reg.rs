//! Registers and atoms.
//!
//! An atom is the smallest separately stored piece of register state and the unit of dependence; a register is a list of atoms,
//! low end first: `x2 = [wl2, wh2]`, `cm0 = [amll0, amlh0, amhl0, amhh0]`, `d0 = [m0, dn0, dj0, dc0]`. Two registers overlap
//! exactly if they share an atom. (`ql`/`qh` share the atom of their `q`.)

use crate::registers::{ATOMS, REGS};
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// Register file an atom belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// General 32-bit registers r0..r31.
    R,
    /// Pointers p0..p7 (20 bits).
    P,
    /// Modifiers m0..m7 (20 bits).
    M,
    /// Dimension sizes dn0..dn7 (20 bits).
    Dn,
    /// Dimension strides dj0..dj7 (20 bits).
    Dj,
    /// Dimension counters dc0..dc7 (20 bits).
    Dc,
    /// Shift amounts s0..s3 (6 bits stored).
    S,
    /// 256-bit vector halves; index = 2*i for `wl<i>`, 2*i + 1 for `wh<i>`.
    W,
    /// 256-bit accumulator quarters; index = 4*i + 0..3 for `amll`, `amlh`, `amhl`, `amhh`.
    Am,
    /// 128-bit sparsity masks q0..q3.
    Q,
    /// Control registers; index = the number in operand class `mCRm`.
    Cr,
    /// Status registers; index in ascending bit order of the memory-mapped Core_SR word.
    Sr,
    /// Link register.
    Lr,
    /// Hardware loop start.
    Ls,
    /// Hardware loop end.
    Le,
    /// Hardware loop count (32 bits).
    Lc,
    /// Stack pointer.
    Sp,
    /// Data pointer.
    Dp,
    /// Core id.
    CoreId,
    /// The tile's 64-bit cycle counter (`mov rN:rM, cntr`).
    Cntr,
}

/// Smallest separately stored piece of register state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(u16);

pub(crate) struct AtomRow {
    pub(crate) file: File,
    pub(crate) index: u8,
    pub(crate) bits: u16,
}

impl Atom {
    /// Register file.
    pub fn file(self) -> File {
        ATOMS[self.as_usize()].file
    }

    /// Index inside the file, see [`File`].
    pub fn index(self) -> u8 {
        ATOMS[self.as_usize()].index
    }

    /// Bits the hardware stores (6 for s0, 1 for crVaddSign, 20 for p0, 256 for wl0).
    ///
    /// SOURCE: Xilinx/llvm-aie AIE2RegisterInfo.td; Xilinx/aie-rt xaiemlgbl_params.h for cr*, sr*.
    pub fn width_bits(self) -> u16 {
        ATOMS[self.as_usize()].bits
    }

    /// Number of atoms; [`Atom::as_usize`] is below it.
    pub const fn count() -> usize {
        ATOMS.len()
    }

    /// Dense index, for tables with one entry per atom.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Every atom in dense order.
    pub fn all() -> impl Iterator<Item = Atom> {
        (0..ATOMS.len() as u16).map(Atom)
    }

    /// The register that consists of this atom alone.
    pub const fn reg(self) -> Reg {
        Reg(self.0)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.reg().name())
    }
}

/// An assembler register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(pub(crate) u16);

pub(crate) struct RegRow {
    name: &'static str,
    asm: &'static str,
    bits: u16,
    atoms: &'static [Atom],
}

/// One row of the register table.
pub(crate) const fn reg(name: &'static str, asm: &'static str, bits: u16, atoms: &'static [Atom]) -> RegRow {
    assert!(!atoms.is_empty());
    RegRow { name, asm, bits, atoms }
}

/// Atom `n`, for the register table.
pub(crate) const fn a(n: u16) -> Atom {
    Atom(n)
}

static BY_NAME: LazyLock<HashMap<&'static str, Reg>> = LazyLock::new(|| Reg::all().map(|r| (r.name(), r)).collect());

/// Dense numbers of the first register of each family, fixed by the order of the register table (checked by the tests).
macro_rules! families {
    ($($(#[$doc:meta])* $fn:ident: $first:literal, $step:literal, $count:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Panics
        /// If there is no such register.
        pub const fn $fn(index: u8) -> Reg {
            assert!((index as u16) < $count, "no such register");
            Reg($first + $step * index as u16)
        }
    )*};
}

impl Reg {
    families! {
        /// `r<index>`, 0..32.
        r: 0, 1, 32;
        /// `p<index>`, 0..8.
        p: 32, 1, 8;
        /// `m<index>`, 0..8.
        m: 40, 1, 8;
        /// `dn<index>`, 0..8.
        dn: 48, 1, 8;
        /// `dj<index>`, 0..8.
        dj: 56, 1, 8;
        /// `dc<index>`, 0..8.
        dc: 64, 1, 8;
        /// `s<index>`, 0..4.
        s: 72, 1, 4;
        /// `wl<index>`, 0..12.
        wl: 76, 2, 12;
        /// `wh<index>`, 0..12.
        wh: 77, 2, 12;
        /// `amll<index>`, 0..9.
        amll: 100, 4, 9;
        /// `amlh<index>`, 0..9.
        amlh: 101, 4, 9;
        /// `amhl<index>`, 0..9.
        amhl: 102, 4, 9;
        /// `amhh<index>`, 0..9.
        amhh: 103, 4, 9;
        /// `q<index>`, 0..4.
        q: 136, 1, 4;
        /// `x<index>`, 0..12.
        x: 170, 1, 12;
        /// `bml<index>`, 0..9.
        bml: 186, 1, 9;
        /// `bmh<index>`, 0..9.
        bmh: 195, 1, 9;
        /// `cm<index>`, 0..9.
        cm: 204, 1, 9;
        /// `l<index>` = `r(2*index + 17)`:`r(2*index + 16)`, 0..8.
        l: 213, 1, 8;
        /// `d<index>` = {m, dn, dj, dc}, 0..8.
        d: 221, 1, 8;
        /// The pair of `d<index>` and `d<index + 4>` of the 3D forms, 0..4; printed `d<index>`.
        d_3d: 229, 1, 4;
        /// `qx<index>` = `x<index>` with its mask `q<index>`, 0..4.
        qx: 249, 1, 4;
    }

    /// `y<index>` = `x(2*index + 1)`:`x(2*index)`, 2..6.
    ///
    /// # Panics
    /// If there is no such register.
    pub const fn y(index: u8) -> Reg {
        assert!(index >= 2 && index < 6, "no such register");
        Reg(180 + index as u16)
    }

    /// Unique name: the assembler's, except `l0` (printed `r17:r16`) and `d0_3d` (printed `d0`).
    pub fn name(self) -> &'static str {
        REGS[self.0 as usize].name
    }

    /// Text in assembly.
    pub fn asm(self) -> &'static str {
        REGS[self.0 as usize].asm
    }

    /// The register of this [`Reg::name`].
    pub fn from_name(name: &str) -> Option<Reg> {
        BY_NAME.get(name).copied()
    }

    /// Width as an operand (20 for p0, 32 for s0 and crRnd, 512 for x0). The stored bits are those of the atoms.
    pub fn width_bits(self) -> u16 {
        REGS[self.0 as usize].bits
    }

    /// The pieces it consists of, low end first.
    pub fn atoms(self) -> &'static [Atom] {
        REGS[self.0 as usize].atoms
    }

    /// True if the two share an atom.
    pub fn overlaps(self, other: Reg) -> bool {
        self.atoms().iter().any(|a| other.atoms().contains(a))
    }

    /// Dense index, for tables with one entry per register.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Number of registers.
    pub const fn count() -> usize {
        REGS.len()
    }

    /// Every register, atoms first.
    pub fn all() -> impl Iterator<Item = Reg> {
        (0..REGS.len() as u16).map(Reg)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.asm())
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
