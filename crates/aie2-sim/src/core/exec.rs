//! The issue stage: operands read at cycle 1, addresses, branches, and everything computed at once.

use super::flight::Seen;
use super::op::{Addr, AddrMode, AluFn, Condition, Decoded, LoadKind, Op, SDst, StoreKind, StreamLast, Target, VSrc};
use super::sem::{alu, fp, lanes, lanes::Lane, mac, permute, shift};
use super::state::{Late, RING, State, VALUES_PER_BUNDLE};
use super::units::{self, Units};
use crate::core_fault::CoreFaultKind;
use crate::fault::Fault;
use crate::port::{BlockReason, CascadeWord, CoreBus, LockOp, OWN_WINDOW, StreamWord};

/// What a bundle asks of the program counter.
#[derive(Default)]
pub(super) struct Flow {
    pub branch: bool,
    pub target: Option<u32>,
    pub done: bool,
}

/// Answers the bus gave to the blocking operations of the bundle that issues next.
#[derive(Clone, Copy, Default)]
pub(super) struct Granted {
    done: u8,
    word: Option<StreamWord>,
    cascade: CascadeWord,
    /// Lock instructions that took their arbitration cycle.
    pub locks: u8,
}

/// Multiply statistics.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct MacCount {
    pub vmacs: u64,
    pub by_type: [u64; MacType::COUNT],
}

impl MacCount {
    #[inline(always)]
    pub(super) fn add(&mut self, kind: MacType, macs: u64) {
        self.vmacs += 1;
        self.by_type[kind as usize] += macs;
    }

    pub(super) fn of(&self, kind: MacType) -> u64 {
        self.by_type[kind as usize]
    }
}

/// Operand types of a multiply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MacType {
    I8I4,
    I8I8,
    I16I8,
    I16I16,
    I32I16,
    Bf16,
}

impl MacType {
    pub(super) const COUNT: usize = 6;

    fn of(mode: &mac::IntMode) -> Self {
        match (mode.a_bits, mode.b_bits) {
            (8, 4) => Self::I8I4,
            (8, _) => Self::I8I8,
            (16, 8) => Self::I16I8,
            (16, _) => Self::I16I16,
            _ => Self::I32I16,
        }
    }
}

/// A decoded configuration word of an integer multiply.
#[derive(Clone, Copy)]
pub(super) struct CachedMode {
    pub word: u32,
    pub mode: mac::IntMode,
    pub kind: MacType,
    pub macs: u64,
    /// Bytes of the sources that take part, and whether they are more than a low half.
    pub bytes: (usize, usize),
    pub wide: bool,
}

impl CachedMode {
    #[cold]
    pub(super) fn new(word: u32) -> Result<Self, mac::BadConfig> {
        let mode = mac::int_mode(word)?;
        let bytes = mode.shape.bytes(mode.a_bits, mode.b_bits);
        let (kind, macs) = (MacType::of(&mode), mode.shape.macs());
        Ok(Self { word, mode, kind, macs, bytes, wide: bytes.0 > 32 || bytes.1 > 32 })
    }

    /// What stands before the first multiply: int8 with unsigned operands, as good as any other word.
    pub(super) fn first() -> Self {
        Self::new(0x008).expect("a documented word")
    }
}

const ADDR_MASK: u32 = 0xf_ffff;

/// Addresses of the four 64-bit groups of a VLDB.4x.
///
/// A row of 32 bytes holds one 16-byte run twice; even lanes read the first copy, odd lanes the second. Offsets inside a
/// row count doubled, so bits 4:0 without the granule are halved. Only the granule of a group is meaningful.
// SOURCE: Xilinx/aie_api detail/aie2/parallel_lookup.hpp (offset = index * 2 * entry bytes); Xilinx/mlir-aie
// lut_based_ops.h (correct on npu1).
pub(super) fn gather_addresses(lanes8: &[u8; 128], aux: u32) -> [u32; 4] {
    let (high, granule_bits) = (aux >> 8 & 1 == 1, aux & 255);
    // The low 2, 3 or 4 address bits are ignored for granules of 16, 32 and 64 bits.
    let ignored = granule_bits / 4 - 1;
    std::array::from_fn(|i| {
        let addr = u32::load(lanes8, i + if high { 4 } else { 0 }) & ADDR_MASK;
        let inside = (addr & 31 & !ignored) >> 1;
        (addr & !31) + inside + if i % 2 == 1 { 16 } else { 0 }
    })
}

impl State {
    fn holds(&self, c: Condition) -> bool {
        match c {
            Condition::Always => true,
            Condition::Zero(u) => self.s(u) == 0,
            Condition::NotZero(u) => self.s(u) != 0,
        }
    }

    /// Asks the bus for locks, streams and cascades of a bundle. Nothing of the core changes before all are granted.
    pub(super) fn try_blocking<B: CoreBus + ?Sized>(
        &self,
        d: &Decoded,
        seen: Seen<'_>,
        granted: &mut Granted,
        bus: &mut B,
    ) -> Result<Result<Option<BlockReason>, Fault>, CoreFaultKind> {
        macro_rules! ask {
            ($e:expr) => {
                match $e {
                    Ok(v) => v,
                    Err(f) => return Ok(Err(f)),
                }
            };
        }
        for (i, op) in d.ops.iter().enumerate() {
            let bit = 1u8 << i;
            if granted.done & bit != 0 {
                continue;
            }
            let refused = match *op {
                Op::Lock { acquire, id, value, when } => {
                    granted.locks |= bit;
                    if !self.holds(when) {
                        granted.done |= bit;
                        continue;
                    }
                    let (id, raw) = (self.src(id) as u32, self.s(value));
                    let id = u8::try_from(id)
                        .ok()
                        .filter(|&v| v < 64)
                        .ok_or(CoreFaultKind::OperandValue { what: "lock id", value: id })?;
                    let value = i8::try_from(raw as i32)
                        .map_err(|_| CoreFaultKind::OperandValue { what: "lock value", value: raw })?;
                    let op = if acquire { LockOp::Acquire { value } } else { LockOp::Release { value } };
                    (!ask!(bus.lock(id, op))).then_some(BlockReason::Lock { id, op })
                }
                Op::StreamRead { blocking: true, .. } => match ask!(bus.stream_read()) {
                    Some(w) => {
                        granted.word = Some(w);
                        None
                    }
                    None => Some(BlockReason::StreamRead),
                },
                Op::StreamWrite { src, last, status: None } => {
                    let last = match last {
                        StreamLast::No => false,
                        StreamLast::Yes => true,
                        StreamLast::Unit(u) => self.s(u) & 1 == 1,
                    };
                    (!ask!(bus.stream_write(StreamWord { data: self.s(src), last })))
                        .then_some(BlockReason::StreamWrite)
                }
                // A refusal carries no meaning beyond "not now", so a non-blocking form has no answer here.
                Op::StreamRead { .. } => return Err(CoreFaultKind::Unmodelled { name: "MOV_NB_mv_ss2scl" }),
                Op::StreamWrite { .. } => return Err(CoreFaultKind::Unmodelled { name: "MOV_NB_mv_scl2ms" }),
                Op::CascadeRead { .. } => {
                    self.check_init_unit(1, units::CR_SCD_EN)?;
                    if self.s(units::CR_SCD_EN) & 1 == 0 {
                        return Err(CoreFaultKind::OperandValue { what: "crSCDEn of a cascade read", value: 0 });
                    }
                    match ask!(bus.cascade_read()) {
                        Some(w) => {
                            granted.cascade = w;
                            None
                        }
                        None => Some(BlockReason::CascadeRead),
                    }
                }
                Op::CascadeWrite { src } => {
                    if self.s(units::CR_MCD_EN) & 1 == 0 {
                        return Err(CoreFaultKind::OperandValue { what: "crMCDEn of a cascade write", value: 0 });
                    }
                    let bytes = self.read::<64>(src, seen);
                    let word = std::array::from_fn(|k| u32::load(&bytes, k));
                    (!ask!(bus.cascade_write(word))).then_some(BlockReason::CascadeWrite)
                }
                _ => None,
            };
            if refused.is_some() {
                return Ok(Ok(refused));
            }
            granted.done |= bit;
        }
        Ok(Ok(None))
    }

    /// Address of a memory access; the pointer and counters are updated.
    #[inline(always)]
    pub(super) fn access(&mut self, a: Addr) -> u32 {
        let addr = self.address(a);
        self.reaches_out |= addr >> 16 != OWN_WINDOW >> 16;
        addr
    }

    /// Address of an access; the pointer and counters are updated.
    #[inline(always)]
    fn address(&mut self, a: Addr) -> u32 {
        let p = self.s(a.p);
        let bump = |state: &mut Self, by: i32| {
            let next = p.wrapping_add(by as u32) & ADDR_MASK;
            state.put(SDst { unit: a.p, cycle: 1, pair: false }, u64::from(next));
        };
        match a.mode {
            AddrMode::Index => p.wrapping_add(self.s20(a.x) as u32) & ADDR_MASK,
            AddrMode::IndexImm => p.wrapping_add(a.imm as u32) & ADDR_MASK,
            AddrMode::Post => {
                bump(self, self.s20(a.x));
                p
            }
            AddrMode::PostImm => {
                bump(self, a.imm);
                p
            }
            AddrMode::Post2d => {
                let (by, count) = self.count_up(a.x, units::M + a.x);
                bump(self, by);
                self.put(SDst { unit: units::DC + a.x, cycle: 1, pair: false }, u64::from(count));
                p
            }
            AddrMode::Post3d => {
                let (inner, outer) = (a.x, a.x + 4);
                let (mut by, count) = self.count_up(inner, units::M + inner);
                let mut outer_count = self.s(units::DC + outer);
                if count == 0 {
                    (by, outer_count) = self.count_up(outer, units::M + inner);
                }
                bump(self, by);
                self.put(SDst { unit: units::DC + inner, cycle: 1, pair: false }, u64::from(count));
                self.put(SDst { unit: units::DC + outer, cycle: 1, pair: false }, u64::from(outer_count));
                p
            }
        }
    }

    /// One dimension: if dc < dn then (dj, dc + 1), else (m, 0).
    // SOURCE: AMD UG1583 add_2d / add_3d; direction not measured on silicon.
    fn count_up(&self, d: u8, wrap: u8) -> (i32, u32) {
        let (n, c) = (self.s(units::DN + d), self.s(units::DC + d));
        if c < n { (self.s20(units::DJ + d), c + 1) } else { (self.s20(wrap), 0) }
    }

    #[inline(always)]
    fn later(&mut self, bundle: u32, op: usize, value: u8, cycle: u8) {
        let at = self.slot(cycle);
        self.late[at].push(Late { bundle, op: op as u8, cycle, value });
    }

    /// Sources of a multiply beyond the halves every mode reads.
    #[inline(always)]
    pub(super) fn check_mac_sources(
        &self,
        s1: VSrc,
        s2: VSrc,
        bytes: (usize, usize),
        seen: Seen<'_>,
    ) -> Result<(), CoreFaultKind> {
        let mut high = Units::EMPTY;
        for (src, n) in [(s1, bytes.0), (s2, bytes.1)] {
            if n > 32 {
                high.insert(src.unit + 1);
            }
        }
        self.check_use(high, Units::EMPTY, seen)
    }

    fn check_sources(&self, sources: &[(VSrc, bool)], seen: Seen<'_>) -> Result<(), CoreFaultKind> {
        for &(src, read) in sources {
            if read {
                self.check_use(Units::EMPTY, Units::run(src.unit, src.n), seen)?;
            }
        }
        Ok(())
    }

    fn alu(&mut self, f: AluFn, d: SDst, a: u32, b: u32) {
        let mut carry = None;
        let value = match f {
            AluFn::Add => with(alu::add(a, b), &mut carry),
            AluFn::Sub => with(alu::sub(a, b), &mut carry),
            AluFn::Adc => with(alu::adc(a, b, self.s(units::SR_CARRY) & 1 == 1), &mut carry),
            AluFn::Sbc => with(alu::sbc(a, b, self.s(units::SR_CARRY) & 1 == 1), &mut carry),
            AluFn::AddNc => a.wrapping_add(b),
            AluFn::And => a & b,
            AluFn::Or => a | b,
            AluFn::Xor => a ^ b,
            AluFn::Eq => u32::from(a == b),
            AluFn::Ne => u32::from(a != b),
            AluFn::Ge => u32::from(a as i32 >= b as i32),
            AluFn::Lt => u32::from((a as i32) < b as i32),
            AluFn::Geu => u32::from(a >= b),
            AluFn::Ltu => u32::from(a < b),
            AluFn::Lshl => alu::lshl(a, b),
            AluFn::Ashl => alu::ashl(a, b),
            AluFn::Mul => a.wrapping_mul(b),
            AluFn::Clb => alu::clb(a),
            AluFn::Clz => a.leading_zeros(),
            AluFn::ExtS8 => i32::from(a as i8) as u32,
            AluFn::ExtS16 => i32::from(a as i16) as u32,
            AluFn::ExtU8 => a & 0xff,
            AluFn::ExtU16 => a & 0xffff,
            AluFn::Eqz => u32::from(a == 0),
            AluFn::Nez => u32::from(a != 0),
            AluFn::Abs => {
                self.put_undefined(units::SR_CARRY, 1);
                (a as i32).wrapping_abs() as u32
            }
        };
        self.put(d, u64::from(value));
        if let Some(c) = carry {
            self.put(SDst { unit: units::SR_CARRY, cycle: 1, pair: false }, u64::from(c));
        }
    }

    /// Issues one operation.
    #[inline]
    pub(super) fn issue(
        &mut self,
        bundle: u32,
        index: usize,
        op: &Op,
        seen: Seen<'_>,
        granted: &Granted,
        flow: &mut Flow,
    ) -> Result<(), CoreFaultKind> {
        let v = ((self.now as usize % RING) * VALUES_PER_BUNDLE + index) as u8;
        let vi = usize::from(v);
        match *op {
            // Cut into steps of their own.
            Op::Mac { .. } | Op::MacF { .. } | Op::Load { kind: LoadKind::Piece { .. }, .. } => {}
            Op::Load { addr, kind } => {
                let a = self.access(addr);
                let bytes = match kind {
                    LoadKind::Scalar { bytes, .. } => u32::from(bytes),
                    LoadKind::Half { .. } | LoadKind::Q { .. } => 16,
                    LoadKind::Piece { .. }
                    | LoadKind::ConvF32 { .. }
                    | LoadKind::Ups { .. }
                    | LoadKind::Unpack { .. } => 32,
                };
                aligned(a, bytes)?;
                self.aux[vi] = [a, bytes];
                self.later(bundle, index, v, 5);
            }
            Op::Store { addr, kind, cycle } => {
                let a = self.access(addr);
                self.store(bundle, index, v, a, kind, cycle, seen)?;
            }
            Op::Pointer { addr } => {
                self.address(match addr.mode {
                    AddrMode::Index => Addr { mode: AddrMode::Post, ..addr },
                    AddrMode::IndexImm => Addr { mode: AddrMode::PostImm, ..addr },
                    _ => addr,
                });
            }
            Op::StackAdd { imm } => {
                let sp = self.s(units::SP).wrapping_add(imm as u32) & ADDR_MASK;
                self.put(SDst { unit: units::SP, cycle: 1, pair: false }, u64::from(sp));
            }
            Op::AccAdd { c, .. } | Op::AccAddF { c, .. } => {
                self.aux[vi] = [self.s(c), 0];
                self.later(bundle, index, v, 3);
            }
            Op::VMoveD { .. } => self.later(bundle, index, v, 3),
            Op::Clear { dst } => self.put_vector(dst, v, &[0; 128][..32 * usize::from(dst.n)]),
            Op::Alu { f, d, a, b } => self.alu(f, d, self.s(a), self.src(b) as u32),
            Op::MoveImm { d, value } => self.put(d, u64::from(value)),
            Op::Move { d, src } => self.put(d, u64::from(self.s(src))),
            Op::Nop => {}
            Op::Divs { d, q, a, b, q_in } => {
                let (rem, quotient) = alu::divs(self.s(a), self.s(q_in), self.s(b));
                self.put(d, u64::from(rem));
                self.put(q, u64::from(quotient));
            }
            Op::Select { d, a, b, test } => {
                let unit = if self.holds(test) { a } else { b };
                self.put(d, u64::from(self.s(unit)));
            }
            Op::Branch { target, when, count, .. } => {
                flow.branch = true;
                if self.holds(when) {
                    flow.target = Some(match target {
                        Target::Imm(t) => t,
                        Target::Unit(u) => self.s(u),
                    });
                }
                if let Some((d, src)) = count {
                    self.put(d, u64::from(self.s(src).wrapping_sub(1)));
                    self.put_undefined(units::SR_CARRY, 1);
                }
            }
            Op::Done => flow.done = true,
            Op::Lock { .. } | Op::CascadeWrite { .. } | Op::StreamWrite { .. } => {}
            Op::StreamRead { d, status, .. } => {
                if let Some(w) = granted.word {
                    self.put(d, u64::from(w.data));
                    // SOURCE: Xilinx/llvm-aie aiev2_streams.h: bit 0 TLAST, bit 1 success.
                    self.put(status, u64::from(2 | u32::from(w.last)));
                }
            }
            Op::CascadeRead { dst } => {
                for (k, w) in granted.cascade.into_iter().enumerate() {
                    w.store(&mut self.values[vi].0, k);
                }
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::Gather { src, high, granule_bits, .. } => {
                let lanes8 = self.read::<32>(src, seen);
                self.values[vi].0[..32].copy_from_slice(&lanes8);
                self.aux[vi] = [u32::from(high) << 8 | u32::from(granule_bits), 0];
                let addrs = gather_addresses(&self.values[vi].0, self.aux[vi][0]);
                self.reaches_out |= addrs.iter().any(|addr| addr >> 16 != OWN_WINDOW >> 16);
                self.later(bundle, index, v, 5);
            }
            Op::Unpack { .. } => self.later(bundle, index, v, 7),
            Op::Counter { .. } => return Err(CoreFaultKind::Unmodelled { name: "MOV_CNTR" }),
            Op::Unmodelled { name } => return Err(CoreFaultKind::Unmodelled { name }),
            Op::VMove { dst, src } => match dst.n {
                1 => self.put_vector(dst, v, &self.read::<32>(src, seen)),
                2 => self.put_vector(dst, v, &self.read::<64>(src, seen)),
                _ => self.put_vector(dst, v, &self.read::<128>(src, seen)),
            },
            Op::Ups { dst, src, w, sign, s } => {
                let from = self.read_any(src, seen);
                let (shift, signed, sat) = (self.s(s), self.signed(sign), self.s(units::CR_SAT));
                shift::ups(&from, &mut self.values[vi].0, w, shift, signed, sat)?;
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::Srs { dst, src, w, sign, s } => {
                self.srs(vi, src, w, sign, s, seen)?;
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::ToF32 { dst, src } => {
                let from = self.read::<32>(src, seen);
                for i in 0..16 {
                    fp::from_bf16(u16::load(&from, i)).store(&mut self.values[vi].0, i);
                }
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::ToBf16 { dst, src } => {
                self.narrow_bf16(vi, src, seen)?;
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::Floor { dst, src, s } => {
                let from = self.read::<32>(src, seen);
                // SOURCE: Xilinx/mlir-aie lut_based_ops.h use: a signed 6-bit shift.
                let shift = (self.s(s) << 26) as i32 >> 26;
                for i in 0..16 {
                    fp::floor_bf16(u16::load(&from, i), shift).store(&mut self.values[vi].0, i);
                }
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::Pack { dst, src, bits, sign } => {
                let (from, signed, sat) = (self.read::<64>(src, seen), self.signed(sign), self.s(units::CR_SAT));
                shift::pack(&from, &mut self.values[vi].0[..32], u32::from(bits), signed, sat)?;
                self.land(dst, v, self.slot(dst.cycle));
            }
            Op::Elementwise { f, bits, sign, dst, mask, s1, s2, select } => {
                let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
                let select = select.map_or(0, |s| self.src(s));
                let mut out = [0; 64];
                let m = lanes::elementwise(f, u32::from(bits), self.signed(sign), &a, &b, select, &mut out);
                if let Some(dst) = dst {
                    self.put_vector(dst, v, &out);
                }
                if let Some(d) = mask {
                    self.put(d, m);
                }
            }
            Op::ElementwiseBf16 { f, dst, mask, s1, s2 } => {
                let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
                let mut out = [0; 64];
                let m = lanes::elementwise_bf16(f, &a, &b, &mut out);
                if let Some(dst) = dst {
                    self.put_vector(dst, v, &out);
                }
                if let Some(d) = mask {
                    self.put(d, m);
                }
            }
            Op::And { dst, s1, s2 } => {
                let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
                self.put_vector(dst, v, &std::array::from_fn::<u8, 64, _>(|i| a[i] & b[i]));
            }
            Op::Or { dst, s1, s2 } => {
                let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
                self.put_vector(dst, v, &std::array::from_fn::<u8, 64, _>(|i| a[i] | b[i]));
            }
            Op::Shuffle { dst, s1, s2, mode } => {
                let mode = self.s(mode);
                let undefined = || CoreFaultKind::OperandValue { what: "shuffle mode", value: mode };
                let route = permute::shuffle_route(mode).ok_or_else(undefined)?;
                let (first, second) = permute::shuffle_reads(mode).ok_or_else(undefined)?;
                self.check_sources(&[(s1, first), (s2, second)], seen)?;
                let out = permute::shuffle(&route, &self.read::<64>(s1, seen), &self.read::<64>(s2, seen));
                self.put_vector(dst, v, &out);
            }
            Op::BroadcastShuffle { dst, bits, src, mode } => {
                let out = self.broadcast_shuffle(u32::from(bits), self.src(src), self.s(mode))?;
                self.put_vector(dst, v, &out);
            }
            Op::Shift { dst, s1, s2, by } => {
                let bytes = self.s(by);
                let out = permute::shift(&self.read::<64>(s1, seen), &self.read::<64>(s2, seen), bytes);
                let out = out.ok_or(CoreFaultKind::OperandValue { what: "vshift amount", value: bytes })?;
                self.put_vector(dst, v, &out);
            }
            Op::ShiftAlign { dst, s1, s2, pre, by } => {
                let (pre, bytes) = (self.s(pre), self.s(by));
                let out = permute::shift_align(&self.read::<64>(s1, seen), pre, &self.read::<64>(s2, seen), bytes);
                let out = out.ok_or(CoreFaultKind::OperandValue { what: "vshift.align amount", value: bytes })?;
                self.put_vector(dst, v, &out);
            }
            Op::Broadcast { dst, bits, src } => {
                self.put_vector(dst, v, &permute::broadcast(self.src(src), u32::from(bits)));
            }
            Op::ExtractBroadcast { dst, bits, src, index } => {
                let (bits, index) = (u32::from(bits), self.src(index) as u32);
                let lane = permute::extract(&self.read::<64>(src, seen), index, bits, false);
                self.put_vector(dst, v, &permute::broadcast(lane as u64, bits));
            }
            Op::Extract { d, bits, sign, src, index } => {
                let lane = permute::extract(&self.read::<64>(src, seen), self.s(index), u32::from(bits), self.signed(sign));
                self.put(d, lane as u64);
            }
            Op::Insert { dst, bits, src, index, value } => {
                let out = permute::insert(&self.read::<64>(src, seen), self.s(index), u32::from(bits), self.src(value));
                self.put_vector(dst, v, &out);
            }
            Op::PushLow { dst, bits, src, value } => {
                self.put_vector(dst, v, &permute::push_low(&self.read::<64>(src, seen), u32::from(bits), self.src(value)));
            }
            Op::PushHigh { dst, bits, src, value } => {
                self.put_vector(dst, v, &permute::push_high(&self.read::<64>(src, seen), u32::from(bits), self.src(value)));
            }
        }
        Ok(())
    }

    fn read_any(&self, src: VSrc, seen: Seen<'_>) -> [u8; 128] {
        let mut out = [0; 128];
        match src.n {
            1 => out[..32].copy_from_slice(&self.read::<32>(src, seen)),
            2 => out[..64].copy_from_slice(&self.read::<64>(src, seen)),
            _ => out = self.read::<128>(src, seen),
        }
        out
    }

    fn srs(
        &mut self,
        vi: usize,
        src: VSrc,
        w: shift::Widths,
        sign: super::op::Sign,
        s: u8,
        seen: Seen<'_>,
    ) -> Result<(), CoreFaultKind> {
        let acc = self.read_any(src, seen);
        let (amount, signed) = (self.s(s), self.signed(sign));
        let (rnd, sat) = (self.s(units::CR_RND), self.s(units::CR_SAT));
        shift::srs(&acc, &mut self.values[vi].0, w, amount, signed, rnd, sat)?;
        Ok(())
    }

    fn narrow_bf16(&mut self, vi: usize, src: VSrc, seen: Seen<'_>) -> Result<(), CoreFaultKind> {
        let rnd = shift::Rounding::from_register(self.s(units::CR_RND))?;
        let from = self.read::<64>(src, seen);
        for i in 0..16 {
            fp::to_bf16(u32::load(&from, i), rnd).store(&mut self.values[vi].0, i);
        }
        Ok(())
    }

    /// Every lane `value`, shuffled with a zero second source.
    // MEASURED: FIM43-Redeye/xdna-emu, silicon recording VBCSTSHFL_* (45 points).
    fn broadcast_shuffle(&self, bits: u32, value: u64, mode: u32) -> Result<[u8; 64], CoreFaultKind> {
        let undefined = CoreFaultKind::OperandValue { what: "vbcstshfl mode", value: mode };
        let route = permute::transpose_route(mode).ok_or(undefined)?;
        Ok(permute::shuffle(&route, &permute::broadcast(value, bits), &[0; 64]))
    }

    fn store(
        &mut self,
        bundle: u32,
        index: usize,
        v: u8,
        addr: u32,
        kind: StoreKind,
        cycle: u8,
        seen: Seen<'_>,
    ) -> Result<(), CoreFaultKind> {
        let vi = usize::from(v);
        let bytes = match kind {
            StoreKind::Word { src } => {
                let value = self.s(src);
                self.values[vi].0[..4].copy_from_slice(&value.to_le_bytes());
                4
            }
            StoreKind::Part { bytes, .. } => {
                aligned(addr, u32::from(bytes))?;
                self.aux[vi] = [addr, u32::from(bytes)];
                self.later(bundle, index, v, 5);
                return Ok(());
            }
            // Cut into steps of its own.
            StoreKind::Piece { .. } => return Ok(()),
            StoreKind::Half { src } | StoreKind::Q { src } => {
                let from = self.read::<32>(src, seen);
                self.values[vi].0[..16].copy_from_slice(&from[..16]);
                16
            }
            StoreKind::Srs { src, w, sign, s } => {
                self.srs(vi, src, w, sign, s, seen)?;
                32
            }
            StoreKind::ConvBf16 { src } => {
                self.narrow_bf16(vi, src, seen)?;
                32
            }
            StoreKind::Pack { src, bits, sign } => {
                let (from, signed, sat) = (self.read::<64>(src, seen), self.signed(sign), self.s(units::CR_SAT));
                shift::pack(&from, &mut self.values[vi].0[..32], u32::from(bits), signed, sat)?;
                32
            }
        };
        aligned(addr, bytes)?;
        self.aux[vi] = [addr, bytes];
        let at = self.slot(cycle);
        self.stores[at].push(Late { bundle, op: index as u8, cycle, value: v });
        Ok(())
    }
}

fn with((value, carry): (u32, bool), out: &mut Option<bool>) -> u32 {
    *out = Some(carry);
    value
}

#[inline]
pub(super) fn aligned(addr: u32, bytes: u32) -> Result<(), CoreFaultKind> {
    if addr & (bytes - 1) == 0 { Ok(()) } else { Err(CoreFaultKind::Misaligned { addr, bytes }) }
}
