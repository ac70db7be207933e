//! Micro-operations: one instruction with register units, immediates and cycles resolved.

use super::sem::acc::AccSigns;
use super::sem::lanes::Elementwise;
use super::sem::mac::Signs;
use super::sem::shift::Widths;
use super::units::Units;

/// Forwarding class of a vector access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Byp {
    None,
    Mov,
    Vec,
}

/// A vector source: `n` pieces of 32 bytes from `unit`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct VSrc {
    pub unit: u8,
    pub n: u8,
    pub byp: Byp,
}

/// A vector destination and the pipeline cycle its write lands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VDst {
    pub unit: u8,
    pub n: u8,
    pub cycle: u8,
    pub byp: Byp,
}

/// A scalar destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SDst {
    pub unit: u8,
    pub cycle: u8,
    /// The value has 64 bits and goes to `unit` and `unit + 1`.
    pub pair: bool,
}

/// A scalar source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SSrc {
    Unit(u8),
    /// 64 bits from `unit` and the next.
    Pair(u8),
    Imm(i32),
}

/// Signedness: in the mnemonic or in a control register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    Signed,
    Unsigned,
    Register(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum AddrMode {
    /// `[p, dj]`
    Index,
    /// `[p, #imm]`, `[sp, #imm]`
    IndexImm,
    /// `[p], m`
    Post,
    /// `[p], #imm`
    PostImm,
    /// `[p], d`
    Post2d,
    /// `[p], d` of a 3D form
    Post3d,
}

/// Address of an access: pointer unit, register operand (dj or m unit, or d number), immediate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Addr {
    pub mode: AddrMode,
    pub p: u8,
    pub x: u8,
    pub imm: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AluFn {
    Add,
    /// Without carry.
    AddNc,
    Sub,
    Adc,
    Sbc,
    And,
    Or,
    Xor,
    Eq,
    Ne,
    Ge,
    Lt,
    Geu,
    Ltu,
    Lshl,
    Ashl,
    Mul,
    Clb,
    Clz,
    ExtS8,
    ExtS16,
    ExtU8,
    ExtU16,
    Eqz,
    Nez,
    Abs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LoadKind {
    Scalar {
        bytes: u8,
        signed: bool,
        dst: SDst,
    },
    /// 32-byte piece.
    Piece {
        dst: VDst,
    },
    /// 16 bytes; the upper half of the piece becomes zero.
    // MEASURED: FIM43-Redeye/xdna-emu, silicon recording VLDA_128 / VLDB_128.
    Half {
        dst: VDst,
    },
    Q {
        dst: VDst,
    },
    ConvF32 {
        dst: VDst,
    },
    Ups {
        dst: VDst,
        w: Widths,
        sign: Sign,
        s: u8,
    },
    Unpack {
        dst: VDst,
        bits: u8,
        sign: Sign,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StoreKind {
    Word {
        src: u8,
    },
    /// Part-word: data read at cycle 7, memory read at 5 and written at 11.
    Part {
        src: u8,
        bytes: u8,
    },
    Piece {
        src: VSrc,
    },
    Half {
        src: VSrc,
    },
    Q {
        src: VSrc,
    },
    Srs {
        src: VSrc,
        w: Widths,
        sign: Sign,
        s: u8,
    },
    ConvBf16 {
        src: VSrc,
    },
    Pack {
        src: VSrc,
        bits: u8,
        sign: Sign,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Imm(u32),
    Unit(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Always,
    Zero(u8),
    NotZero(u8),
}

/// One operation. Comments name the mnemonics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Nothing to do (event, and instructions that only occupy their slot).
    Nop,
    Unmodelled {
        name: &'static str,
    },
    Alu {
        f: AluFn,
        d: SDst,
        a: u8,
        b: SSrc,
    },
    Divs {
        d: SDst,
        q: SDst,
        a: u8,
        b: u8,
        q_in: u8,
    },
    /// `sel.eqz`, `sel.nez`: a if the test holds, else b.
    Select {
        d: SDst,
        a: u8,
        b: u8,
        test: Condition,
    },
    MoveImm {
        d: SDst,
        value: u32,
    },
    Move {
        d: SDst,
        src: u8,
    },
    Counter {
        d: SDst,
    },
    Branch {
        target: Target,
        when: Condition,
        link: Option<SDst>,
        count: Option<(SDst, u8)>,
    },
    Lock {
        acquire: bool,
        id: SSrc,
        value: u8,
        when: Condition,
    },
    Done,
    Pointer {
        addr: Addr,
    },
    StackAdd {
        imm: i32,
    },
    Load {
        addr: Addr,
        kind: LoadKind,
    },
    Store {
        addr: Addr,
        kind: StoreKind,
        cycle: u8,
    },
    /// `vldb.4x<bits>.lo/.hi`
    Gather {
        dst: VDst,
        src: VSrc,
        high: bool,
        granule_bits: u8,
    },
    StreamRead {
        d: SDst,
        status: SDst,
        blocking: bool,
    },
    StreamWrite {
        src: u8,
        last: StreamLast,
        status: Option<SDst>,
    },
    CascadeRead {
        dst: VDst,
    },
    CascadeWrite {
        src: VSrc,
    },
    VMove {
        dst: VDst,
        src: VSrc,
    },
    Ups {
        dst: VDst,
        src: VSrc,
        w: Widths,
        sign: Sign,
        s: u8,
    },
    Srs {
        dst: VDst,
        src: VSrc,
        w: Widths,
        sign: Sign,
        s: u8,
    },
    /// `vconv.fp32.bf16`
    ToF32 {
        dst: VDst,
        src: VSrc,
    },
    /// `vconv.bf16.fp32`
    ToBf16 {
        dst: VDst,
        src: VSrc,
    },
    Floor {
        dst: VDst,
        src: VSrc,
        s: u8,
    },
    Pack {
        dst: VDst,
        src: VSrc,
        bits: u8,
        sign: Sign,
    },
    /// Source and sign read at cycle 7.
    Unpack {
        dst: VDst,
        src: VSrc,
        bits: u8,
        sign: Sign,
    },
    Elementwise {
        f: Elementwise,
        bits: u8,
        sign: Sign,
        dst: Option<VDst>,
        mask: Option<SDst>,
        s1: VSrc,
        s2: VSrc,
        select: Option<SSrc>,
    },
    ElementwiseBf16 {
        f: Elementwise,
        dst: Option<VDst>,
        mask: Option<SDst>,
        s1: VSrc,
        s2: VSrc,
    },
    And {
        dst: VDst,
        s1: VSrc,
        s2: VSrc,
    },
    Or {
        dst: VDst,
        s1: VSrc,
        s2: VSrc,
    },
    Shuffle {
        dst: VDst,
        s1: VSrc,
        s2: VSrc,
        mode: u8,
    },
    BroadcastShuffle {
        dst: VDst,
        bits: u8,
        src: SSrc,
        mode: u8,
    },
    Shift {
        dst: VDst,
        s1: VSrc,
        s2: VSrc,
        by: u8,
    },
    ShiftAlign {
        dst: VDst,
        s1: VSrc,
        s2: VSrc,
        pre: u8,
        by: u8,
    },
    Broadcast {
        dst: VDst,
        bits: u8,
        src: SSrc,
    },
    ExtractBroadcast {
        dst: VDst,
        bits: u8,
        src: VSrc,
        index: SSrc,
    },
    Extract {
        d: SDst,
        bits: u8,
        sign: Sign,
        src: VSrc,
        index: u8,
    },
    Insert {
        dst: VDst,
        bits: u8,
        src: VSrc,
        index: u8,
        value: SSrc,
    },
    PushLow {
        dst: VDst,
        bits: u8,
        src: VSrc,
        value: SSrc,
    },
    PushHigh {
        dst: VDst,
        bits: u8,
        src: VSrc,
        value: SSrc,
    },
    /// Integer multiply family; accumulators read at cycle 3.
    Mac {
        dst: VDst,
        acc1: Option<VSrc>,
        acc2: Option<VSrc>,
        s1: VSrc,
        s2: VSrc,
        c: u8,
        signs: Signs,
    },
    /// bf16 multiply family.
    MacF {
        dst: VDst,
        acc1: Option<VSrc>,
        acc2: Option<VSrc>,
        s1: VSrc,
        s2: VSrc,
        c: u8,
        signs: Signs,
    },
    AccAdd {
        dst: VDst,
        acc1: VSrc,
        acc2: Option<VSrc>,
        c: u8,
        signs: AccSigns,
    },
    AccAddF {
        dst: VDst,
        acc1: VSrc,
        acc2: Option<VSrc>,
        c: u8,
        signs: AccSigns,
    },
    /// `vmov.d`: accumulator copy, read at cycle 3.
    VMoveD {
        dst: VDst,
        src: VSrc,
    },
    Clear {
        dst: VDst,
    },
}

/// TLAST of a stream write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamLast {
    No,
    Yes,
    Unit(u8),
}

/// Registers read in one pipeline cycle, by forwarding class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UseSet {
    pub cycle: u8,
    pub plain: Units,
    pub mov: Units,
    pub vec: Units,
}

/// What a bundle claims in one pipeline cycle: registers it writes (all; vector pieces delivered by each bypass) and
/// units and ports (low half used, high half reserved).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Claim {
    pub all: Units,
    pub mov: u64,
    pub vec: u64,
    pub ports: u64,
}

/// One decoded bundle.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub pc: u32,
    pub len: u32,
    pub ops: Vec<Op>,
    pub uses: Vec<UseSet>,
    /// Registers read at issue.
    pub reads_now: Units,
    /// Claims with their pipeline cycles.
    pub claims: Vec<(u8, Claim)>,
    /// Locks, streams, cascades: the bus may refuse.
    pub blocking: bool,
    pub branch: bool,
    /// Writes ls, le or lc.
    pub sets_loop: bool,
    pub part_word_store: bool,
    pub early_reads_allowed: bool,
    pub partial_lock: bool,
    /// First and last memory cycles; 0 if none.
    pub memory_first: u8,
    pub memory_last: u8,
}
