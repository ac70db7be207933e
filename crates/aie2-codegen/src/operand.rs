//! Operands of an instruction under construction: virtual registers, views of their pieces, physical registers, immediates, labels.
//!
//! A virtual register has a class; its *parts* are the atoms of the physical register it will get, low to high (`aie2_isa::Reg::atoms`).
//! A view is a contiguous range of parts that is itself a register of some class: `x.lo()` is a `W`, `cm.bm(1)` a `Bm`, `d.dj()` a `Dj`.

use std::fmt;
use std::sync::OnceLock;

use aie2_isa::Reg;

/// Register class of a virtual register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// General scalar, `r0..r31`, 32 bits.
    R,
    /// Pointer, `p0..p7`, 20 bits.
    P,
    /// Pointer modifier, `m0..m7`.
    M,
    /// Dimension size minus one, `dn0..dn7`.
    Dn,
    /// Dimension stride, `dj0..dj7`.
    Dj,
    /// Dimension count, `dc0..dc7`.
    Dc,
    /// 2-D addressing group `d0..d7` = {m, dn, dj, dc}.
    D,
    /// 3-D addressing group: `dN` with `d(N+4)`, N = 0..3.
    D3,
    /// Shift amount, `s0..s3`.
    S,
    /// 64-bit pair of scalars, `l0..l7` = r17:r16 .. r31:r30.
    L,
    /// 256-bit vector half, any of `wl*`, `wh*`.
    W,
    /// 512-bit vector, `x0..x11`.
    X,
    /// 1024-bit vector, `y2..y5`.
    Y,
    /// 256-bit accumulator quarter.
    Am,
    /// 512-bit accumulator half.
    Bm,
    /// 1024-bit accumulator, `cm0..cm8`.
    Cm,
    /// 128-bit sparsity mask, `q0..q3`.
    Q,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 17] = [
        Class::R,
        Class::P,
        Class::M,
        Class::Dn,
        Class::Dj,
        Class::Dc,
        Class::D,
        Class::D3,
        Class::S,
        Class::L,
        Class::W,
        Class::X,
        Class::Y,
        Class::Am,
        Class::Bm,
        Class::Cm,
        Class::Q,
    ];

    /// Number of atoms a register of this class consists of.
    #[must_use]
    pub fn parts(self) -> u8 {
        match self {
            Class::R
            | Class::P
            | Class::M
            | Class::Dn
            | Class::Dj
            | Class::Dc
            | Class::S
            | Class::W
            | Class::Am
            | Class::Q => 1,
            Class::L | Class::X | Class::Bm => 2,
            Class::D | Class::Y | Class::Cm => 4,
            Class::D3 => 8,
        }
    }

    /// The physical registers of this class, in index order.
    #[must_use]
    pub fn registers(self) -> &'static [Reg] {
        static TABLE: OnceLock<Vec<Vec<Reg>>> = OnceLock::new();
        let table = TABLE.get_or_init(|| {
            Class::ALL.iter().map(|c| c.names().iter().filter_map(|n| Reg::from_name(n)).collect()).collect()
        });
        &table[self as usize]
    }

    fn names(self) -> Vec<String> {
        let numbered =
            |prefix: &str, range: std::ops::Range<u32>| range.map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
        match self {
            Class::R => numbered("r", 0..32),
            Class::P => numbered("p", 0..8),
            Class::M => numbered("m", 0..8),
            Class::Dn => numbered("dn", 0..8),
            Class::Dj => numbered("dj", 0..8),
            Class::Dc => numbered("dc", 0..8),
            Class::D => numbered("d", 0..8),
            Class::D3 => (0..4).map(|i| format!("d{i}_3d")).collect(),
            Class::S => numbered("s", 0..4),
            Class::L => numbered("l", 0..8),
            Class::W => (0..12).flat_map(|i| [format!("wl{i}"), format!("wh{i}")]).collect(),
            Class::X => numbered("x", 0..12),
            Class::Y => numbered("y", 2..6),
            Class::Am => (0..9).flat_map(|i| ["ll", "lh", "hl", "hh"].map(|q| format!("am{q}{i}"))).collect(),
            Class::Bm => (0..9).flat_map(|i| [format!("bml{i}"), format!("bmh{i}")]).collect(),
            Class::Cm => numbered("cm", 0..9),
            Class::Q => numbered("q", 0..4),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Number of a virtual register within its [`crate::Asm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VReg(pub(crate) u32);

/// A position in the program that branches and `movxm` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(pub(crate) u32);

/// Parts `first..first + class.parts()` of a virtual register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    pub(crate) vreg: VReg,
    /// Class of the whole register.
    pub(crate) whole: Class,
    /// Class of this view.
    pub(crate) class: Class,
    pub(crate) first: u8,
}

/// One operand of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A virtual register or a piece of one.
    Virtual(View),
    /// A physical register.
    Physical(Reg),
    /// An immediate.
    Imm(i64),
    /// The address of a label.
    Label(Label),
    /// A view the register class does not have; refused where it is used.
    NoSuchView,
}

impl Operand {
    /// The physical register with this assembler name; [`Operand::NoSuchView`] if there is none.
    #[must_use]
    pub fn reg(name: &str) -> Operand {
        Reg::from_name(name).map_or(Operand::NoSuchView, Operand::Physical)
    }

    fn sub(self, class: Class, first: u8) -> Operand {
        let allowed = match self {
            Operand::Virtual(v) => {
                matches!(
                    (v.class, class),
                    (Class::X, Class::W)
                        | (Class::Y, Class::X)
                        | (Class::Cm, Class::Bm | Class::Am)
                        | (Class::Bm, Class::Am)
                        | (Class::L, Class::R)
                        | (Class::D, Class::M | Class::Dn | Class::Dj | Class::Dc)
                        | (Class::D3, Class::M | Class::Dn | Class::Dj | Class::Dc | Class::D)
                ) && first + class.parts() <= v.class.parts()
            }
            _ => true,
        };
        match self {
            Operand::Virtual(v) if allowed => Operand::Virtual(View { class, first: v.first + first, ..v }),
            Operand::Physical(r) => {
                let atoms = r.atoms();
                let range = usize::from(first)..usize::from(first + class.parts());
                let Some(want) = atoms.get(range) else { return Operand::NoSuchView };
                class
                    .registers()
                    .iter()
                    .find(|c| c.atoms() == want)
                    .map_or(Operand::NoSuchView, |c| Operand::Physical(*c))
            }
            _ => Operand::NoSuchView,
        }
    }

    /// Low half: `wl` of an `x`, `bml` of a `cm`, `amll` of a `bml`, the even register of an `l`.
    #[must_use]
    pub fn lo(self) -> Operand {
        self.half(0)
    }

    /// High half.
    #[must_use]
    pub fn hi(self) -> Operand {
        self.half(1)
    }

    fn half(self, which: u8) -> Operand {
        match self.class() {
            Some(Class::X) => self.sub(Class::W, which),
            Some(Class::Y) => self.sub(Class::X, 2 * which),
            Some(Class::Cm) => self.sub(Class::Bm, 2 * which),
            Some(Class::Bm) => self.sub(Class::Am, which),
            Some(Class::L) => self.sub(Class::R, which),
            _ => Operand::NoSuchView,
        }
    }

    /// Half `i` (0 low, 1 high) of a `cm`.
    #[must_use]
    pub fn bm(self, i: u8) -> Operand {
        self.sub(Class::Bm, 2 * i)
    }

    /// Quarter `i` of a `cm` (0..4), or half `i` of a `bm` (0..2).
    #[must_use]
    pub fn am(self, i: u8) -> Operand {
        self.sub(Class::Am, i)
    }

    /// The `m` register of a `d` group.
    #[must_use]
    pub fn m(self) -> Operand {
        self.sub(Class::M, 0)
    }

    /// The `dn` register of a `d` group.
    #[must_use]
    pub fn dn(self) -> Operand {
        self.sub(Class::Dn, 1)
    }

    /// The `dj` register of a `d` group.
    #[must_use]
    pub fn dj(self) -> Operand {
        self.sub(Class::Dj, 2)
    }

    /// The `dc` register of a `d` group.
    #[must_use]
    pub fn dc(self) -> Operand {
        self.sub(Class::Dc, 3)
    }

    /// The outer `d` group (`dN+4`) of a 3-D group.
    #[must_use]
    pub fn outer(self) -> Operand {
        self.sub(Class::D, 4)
    }

    /// The inner `d` group (`dN`) of a 3-D group.
    #[must_use]
    pub fn inner(self) -> Operand {
        self.sub(Class::D, 0)
    }

    /// Class of a register operand; for physical registers the class whose registers include it.
    #[must_use]
    pub fn class(self) -> Option<Class> {
        match self {
            Operand::Virtual(v) => Some(v.class),
            Operand::Physical(r) => Class::ALL.into_iter().find(|c| c.registers().contains(&r)),
            _ => None,
        }
    }
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Operand::Physical(reg)
    }
}
impl From<Label> for Operand {
    fn from(label: Label) -> Self {
        Operand::Label(label)
    }
}
impl From<i64> for Operand {
    fn from(v: i64) -> Self {
        Operand::Imm(v)
    }
}
impl From<i32> for Operand {
    fn from(v: i32) -> Self {
        Operand::Imm(i64::from(v))
    }
}
impl From<u32> for Operand {
    fn from(v: u32) -> Self {
        Operand::Imm(i64::from(v))
    }
}
impl From<&str> for Operand {
    fn from(name: &str) -> Self {
        Operand::reg(name)
    }
}

/// What a memory access touches, as far as ordering and bank conflicts are concerned.
///
/// Accesses of different spaces never alias. Accesses of one space keep program order unless `disjoint` is set on both with different
/// values. `MemRef::ANY` aliases everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemRef {
    /// Alias class; 0 aliases every space.
    pub space: u16,
    /// Logical 16 KiB bank (0..4) if known. Two accesses that touch memory in one cycle must not share a known bank.
    pub bank: Option<u8>,
    /// Piece of the space: accesses with two different pieces never alias.
    pub disjoint: Option<u16>,
}

impl MemRef {
    /// Nothing is known.
    pub const ANY: MemRef = MemRef { space: 0, bank: None, disjoint: None };

    /// An access of alias class `space` (1..).
    #[must_use]
    pub const fn space(space: u16) -> MemRef {
        MemRef { space, bank: None, disjoint: None }
    }

    /// The same access with its logical bank.
    #[must_use]
    pub const fn in_bank(self, bank: u8) -> MemRef {
        MemRef { bank: Some(bank), ..self }
    }

    /// The same access, restricted to a piece that no other piece number of the space overlaps (in any iteration).
    #[must_use]
    pub const fn piece(self, piece: u16) -> MemRef {
        MemRef { disjoint: Some(piece), ..self }
    }
}

/// Which memory accesses a lock operation orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Guards {
    /// Every access.
    #[default]
    All,
    /// Only accesses of these spaces (and accesses of space 0, which alias everything).
    Spaces(Vec<u16>),
}
