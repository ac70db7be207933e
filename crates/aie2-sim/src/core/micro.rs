//! The operations that carry whole kernels, cut into the steps they take in each pipeline cycle.
//!
//! ```text
//! vlda w, [p], m    1 LoadPiece   5 Fetch        7 Land
//! vmac cm, cm, x, x 1 Mac         3 Accumulate   5 Land
//! ```
//! Which of them fall on a time is known when the edge of that time is made ([`super::flight`]), so the steady loop walks
//! flat lists. Every other operation is one [`Micro::Issue`] here, and keeps its later stages in the rings of
//! [`super::state`].

use super::op::{Addr, Byp, LoadKind, Op, StoreKind, VDst, VSrc};
use super::sem::mac::Signs;
use super::units;

/// Distance of a value slot behind the slots of the bundle issuing now, modulo their number.
///
/// An operation at position i of a bundle writes slot 8·now + i, i.e. -i; one time later that slot is 8 further behind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Back(pub u8);

impl Back {
    fn of_op(position: usize) -> Self {
        Self((position as u8).wrapping_neg())
    }

    fn aged(self) -> Self {
        Self(self.0.wrapping_add(super::state::VALUES_PER_BUNDLE as u8))
    }
}

/// Order of the steps of one time: a load reads what stood in memory before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Work,
    Write,
    Land,
}

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Micro {
    /// Everything operation `op` of the bundle does at issue.
    Issue { op: u8 },
    /// Address of a 32-byte load.
    LoadPiece { addr: Addr, at: Back },
    /// Its memory access.
    Fetch { at: Back },
    /// Address and data of a 32-byte store.
    StorePiece { addr: Addr, src: VSrc, at: Back },
    /// Its memory access.
    Write { at: Back },
    /// The same of a source that no bypass delivers.
    StorePlain { addr: Addr, src: u8, at: Back },
    /// Products of an integer multiply.
    Mac { s1: VSrc, s2: VSrc, c: u8, at: Back },
    /// The same of sources that no bypass delivers.
    MacPlain { s1: u8, s2: u8, c: u8, at: Back },
    /// Adds one accumulator that no bypass delivers.
    AccumulatePlain { acc: u8, byp: Byp, at: Back },
    /// Adds one accumulator of 32-bit lanes, or whatever else the multiply asks for.
    Accumulate { acc1: Option<VSrc>, acc2: Option<VSrc>, signs: Signs, at: Back },
    /// Operands of a bf16 multiply.
    MacF { s1: VSrc, s2: VSrc, c: u8, two: bool, at: Back },
    /// Its products and sums.
    AccumulateF { acc1: Option<VSrc>, acc2: Option<VSrc>, signs: Signs, at: Back },
    /// The result reaches the register file.
    Land { dst: u8, n: u8, byp: Byp, at: Back },
}

impl Micro {
    /// The step seen from one time later.
    pub(crate) fn aged(mut self) -> Self {
        match &mut self {
            Self::Issue { .. } => {}
            Self::LoadPiece { at, .. }
            | Self::Fetch { at }
            | Self::StorePiece { at, .. }
            | Self::StorePlain { at, .. }
            | Self::Write { at }
            | Self::Mac { at, .. }
            | Self::MacPlain { at, .. }
            | Self::AccumulatePlain { at, .. }
            | Self::Accumulate { at, .. }
            | Self::MacF { at, .. }
            | Self::AccumulateF { at, .. }
            | Self::Land { at, .. } => *at = at.aged(),
        }
        self
    }

    /// The step knowing that `mov` and `vec` are the vector pieces that the bypasses deliver at its time.
    pub(crate) fn specialised(self, mov: u64, vec: u64) -> Self {
        let at_rest = |src: VSrc| {
            let landing = match src.byp {
                Byp::None => 0,
                Byp::Mov => mov,
                Byp::Vec => vec,
            };
            landing >> (src.unit - units::W) & ((1 << src.n) - 1) == 0
        };
        match self {
            Self::StorePiece { addr, src, at } if at_rest(src) => Self::StorePlain { addr, src: src.unit, at },
            Self::Mac { s1, s2, c, at } if (s1.n, s2.n) == (2, 2) && at_rest(s1) && at_rest(s2) => {
                Self::MacPlain { s1: s1.unit, s2: s2.unit, c, at }
            }
            Self::Accumulate { acc1: Some(src), acc2: None, signs: Signs::PLUS, at } if src.n == 4 && at_rest(src) => {
                Self::AccumulatePlain { acc: src.unit, byp: src.byp, at }
            }
            step => step,
        }
    }

    /// Times since the operation issued.
    pub(crate) fn age(&self) -> u8 {
        match self {
            Self::Issue { .. } => 0,
            Self::LoadPiece { at, .. }
            | Self::Fetch { at }
            | Self::StorePiece { at, .. }
            | Self::StorePlain { at, .. }
            | Self::Write { at }
            | Self::Mac { at, .. }
            | Self::MacPlain { at, .. }
            | Self::AccumulatePlain { at, .. }
            | Self::Accumulate { at, .. }
            | Self::MacF { at, .. }
            | Self::AccumulateF { at, .. }
            | Self::Land { at, .. } => at.0.wrapping_add(super::state::VALUES_PER_BUNDLE as u8 - 1) / 8,
        }
    }

    pub(crate) fn part(&self) -> Part {
        match self {
            Self::Write { .. } => Part::Write,
            Self::Land { .. } => Part::Land,
            Self::Issue { .. }
            | Self::LoadPiece { .. }
            | Self::StorePiece { .. }
            | Self::StorePlain { .. }
            | Self::Fetch { .. }
            | Self::Mac { .. }
            | Self::MacPlain { .. }
            | Self::AccumulatePlain { .. }
            | Self::Accumulate { .. }
            | Self::MacF { .. }
            | Self::AccumulateF { .. } => Part::Work,
        }
    }
}

/// The steps of the operation at `position` with their pipeline cycles, the issue first.
pub(crate) fn steps(op: &Op, position: usize) -> Vec<(u8, Micro)> {
    let at = Back::of_op(position);
    // The accumulator of a multiply is read at cycle 3, memory at 5.
    // SOURCE: Xilinx/llvm-aie AIE2Schedule.td, operand cycles of II_VMAC and II_VLDA.
    let land = |d: VDst| (d.cycle, Micro::Land { dst: d.unit, n: d.n, byp: d.byp, at });
    match *op {
        Op::Load { addr, kind: LoadKind::Piece { dst } } => {
            vec![(1, Micro::LoadPiece { addr, at }), (5, Micro::Fetch { at }), land(dst)]
        }
        Op::Store { addr, kind: StoreKind::Piece { src }, cycle } => {
            vec![(1, Micro::StorePiece { addr, src, at }), (cycle, Micro::Write { at })]
        }
        Op::Mac { dst, acc1, acc2, s1, s2, c, signs } => {
            vec![(1, Micro::Mac { s1, s2, c, at }), (3, Micro::Accumulate { acc1, acc2, signs, at }), land(dst)]
        }
        Op::MacF { dst, acc1, acc2, s1, s2, c, signs } => {
            let two = acc1.is_some() && acc2.is_some();
            vec![(1, Micro::MacF { s1, s2, c, two, at }), (3, Micro::AccumulateF { acc1, acc2, signs, at }), land(dst)]
        }
        _ => vec![(1, Micro::Issue { op: position as u8 })],
    }
}
