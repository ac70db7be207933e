//! From decoded instructions to micro-operations: registers, immediates and cycles are resolved once per bundle.

use super::lower_vector;
use super::op::{
    Addr, AddrMode, AluFn, Byp, Claim, Condition, Decoded, LoadKind, Op, SDst, SSrc, Sign, StoreKind, StreamLast,
    Target, UseSet, VDst, VSrc,
};
use super::sem::shift::Widths;
use super::state::port_clash;
use super::units::{self, Units};
use crate::core_fault::CoreFaultKind;
use aie2_isa::{Access, Addressing, Bundle, Bypass, File, Insn, Reg, Role, StageKind, Timing, Value};

/// One instruction with its resolved timing.
pub(super) struct Source<'a> {
    pub insn: &'a Insn,
    pub timing: Timing,
}

impl Source<'_> {
    pub fn reg(&self, name: &str) -> Option<Reg> {
        self.insn.operand_named(name).and_then(Value::reg)
    }

    pub fn unit(&self, name: &str) -> Option<u8> {
        self.reg(name).map(units::first)
    }

    pub fn imm(&self, name: &str) -> Option<i32> {
        self.insn.operand_named(name).and_then(Value::imm).map(|v| v as i32)
    }

    fn access(&self, name: &str) -> Option<(u8, Byp)> {
        let position = self.insn.row().operand_index(name)?;
        let it = self.timing.itinerary;
        Some((*it.operand_cycles.get(position)?, bypass(it.bypass.get(position).copied().flatten())))
    }

    pub fn sdst(&self, name: &str) -> Option<SDst> {
        let reg = self.reg(name)?;
        Some(SDst { unit: units::first(reg), cycle: self.access(name)?.0, pair: reg.atoms().len() == 2 })
    }

    pub fn ssrc(&self, name: &str) -> Option<SSrc> {
        match self.insn.operand_named(name)? {
            Value::Imm(v) => Some(SSrc::Imm(v as i32)),
            Value::Reg(r) if r.atoms().len() == 2 => Some(SSrc::Pair(units::first(r))),
            Value::Reg(r) => Some(SSrc::Unit(units::first(r))),
        }
    }

    pub fn vdst(&self, name: &str) -> Option<VDst> {
        let reg = self.reg(name)?;
        let (cycle, byp) = self.access(name)?;
        Some(VDst { unit: units::first(reg), n: reg.atoms().len() as u8, cycle, byp })
    }

    pub fn vsrc(&self, name: &str) -> Option<VSrc> {
        let reg = self.reg(name)?;
        let (_, byp) = self.access(name)?;
        Some(VSrc { unit: units::first(reg), n: reg.atoms().len() as u8, byp })
    }

    /// Cycle in which an implicit definition lands.
    fn implicit_def(&self, unit: u8) -> Option<SDst> {
        let d = self.timing.defs().iter().find(|d| units::first(d.reg) == unit)?;
        Some(SDst { unit, cycle: d.cycle, pair: false })
    }

    pub fn addr(&self) -> Option<Addr> {
        let p = || self.unit("ptr");
        let imm = self.imm("imm").unwrap_or(0);
        Some(match self.insn.row().addressing? {
            Addressing::Idx => Addr { mode: AddrMode::Index, p: p()?, x: self.unit("dj")?, imm: 0 },
            Addressing::IdxImm => Addr { mode: AddrMode::IndexImm, p: p()?, x: 0, imm },
            Addressing::Indirect => Addr { mode: AddrMode::IndexImm, p: p()?, x: 0, imm: 0 },
            Addressing::Spill => Addr { mode: AddrMode::IndexImm, p: units::SP, x: 0, imm },
            Addressing::PstmNrm => Addr { mode: AddrMode::Post, p: p()?, x: self.unit("mod")?, imm: 0 },
            Addressing::PstmNrmImm => Addr { mode: AddrMode::PostImm, p: p()?, x: 0, imm },
            Addressing::Pstm2d => Addr { mode: AddrMode::Post2d, p: p()?, x: self.unit("mod")? - units::M, imm: 0 },
            Addressing::Pstm3d => Addr { mode: AddrMode::Post3d, p: p()?, x: self.unit("mod")? - units::M, imm: 0 },
            Addressing::SpImm => return None,
        })
    }

    pub fn memory_cycle(&self) -> u8 {
        self.timing.memory_cycles().first().copied().unwrap_or(0)
    }
}

fn bypass(b: Option<Bypass>) -> Byp {
    match b {
        None => Byp::None,
        Some(Bypass::Mov) => Byp::Mov,
        Some(Bypass::Vec) => Byp::Vec,
    }
}

/// Lane type in a mnemonic part: `s16`, `d8`, `u8`, `16`.
pub(super) fn lane_type(part: &str, sign_register: u8) -> Option<(u8, Sign)> {
    let (sign, digits) = match part.as_bytes().first()? {
        b's' => (Sign::Signed, &part[1..]),
        b'u' => (Sign::Unsigned, &part[1..]),
        b'd' => (Sign::Register(sign_register), &part[1..]),
        _ => (Sign::Signed, part),
    };
    digits.parse().ok().map(|bits| (bits, sign))
}

/// Widths of a UPS or SRS from its accumulator and vector lane types and the pieces of the vector side.
pub(super) fn widths(acc: &str, vec: &str, sign_register: u8, pieces: u8) -> Option<(Widths, Sign)> {
    let (acc_bits, _) = lane_type(acc, sign_register)?;
    let (vec_bits, sign) = lane_type(vec, sign_register)?;
    let lanes = usize::from(pieces) * 256 / usize::from(vec_bits);
    Some((Widths { acc_bits: u32::from(acc_bits), vec_bits: u32::from(vec_bits), lanes }, sign))
}

/// Status registers the model keeps; the others are write-only for it.
fn modelled_status(unit: u8) -> bool {
    matches!(unit, units::SR_CARRY | units::SR_MS0 | units::SR_SS0)
}

fn is_status(unit: u8) -> bool {
    (units::SR..units::LR).contains(&unit)
}

fn scalar(s: &Source<'_>) -> Option<Op> {
    let row = s.insn.row();
    let alu = |f, a: &str, b| Some(Op::Alu { f, d: s.sdst("mRx")?, a: s.unit(a)?, b });
    let two = |f| alu(f, "mRx0", s.ssrc("mRy")?);
    let one = |f| alu(f, "mRx0", SSrc::Imm(0));
    let r26 = || s.unit("s2").map_or(Condition::Always, Condition::NotZero);
    let lock = |acquire, id: &str| Some(Op::Lock { acquire, id: s.ssrc(id)?, value: s.unit("mRy")?, when: r26() });
    let branch = |target, when| Some(Op::Branch { target, when, link: s.implicit_def(units::LR), count: None });
    let direct = || Some(Target::Imm(s.imm("cpmaddr")? as u32));
    match row.name {
        "ADD_add_r_ri" => alu(AluFn::Add, "mRx0", s.ssrc("c7s")?),
        "ADD" => two(AluFn::Add),
        "SUB" => two(AluFn::Sub),
        "ADC" => two(AluFn::Adc),
        "SBC" => two(AluFn::Sbc),
        "AND" => two(AluFn::And),
        "OR" => two(AluFn::Or),
        "XOR" => two(AluFn::Xor),
        "EQ" => two(AluFn::Eq),
        "NE" => two(AluFn::Ne),
        "GE" => two(AluFn::Ge),
        "LT" => two(AluFn::Lt),
        "GEU" => two(AluFn::Geu),
        "LTU" => two(AluFn::Ltu),
        "LSHL" => two(AluFn::Lshl),
        "ASHL" => two(AluFn::Ashl),
        "MUL_mul_r_rr" => two(AluFn::Mul),
        "CLB" => one(AluFn::Clb),
        "CLZ" => one(AluFn::Clz),
        "EXTENDs8" => one(AluFn::ExtS8),
        "EXTENDs16" => one(AluFn::ExtS16),
        "EXTENDu8" => one(AluFn::ExtU8),
        "EXTENDu16" => one(AluFn::ExtU16),
        "EQZ" => one(AluFn::Eqz),
        "NEZ" => one(AluFn::Nez),
        "ABS" => one(AluFn::Abs),
        "DIVS" => Some(Op::Divs {
            d: s.sdst("d0")?,
            q: s.sdst("sd_out")?,
            a: s.unit("s0")?,
            b: s.unit("s1")?,
            q_in: s.unit("sd_in")?,
        }),
        "SELEQZ" => Some(Op::Select {
            d: s.sdst("mRx")?,
            a: s.unit("mRx0")?,
            b: s.unit("mRy")?,
            test: Condition::Zero(s.unit("s2")?),
        }),
        "SELNEZ" => Some(Op::Select {
            d: s.sdst("mRx")?,
            a: s.unit("mRx0")?,
            b: s.unit("mRy")?,
            test: Condition::NotZero(s.unit("s2")?),
        }),
        "J_jump_ind" | "JL_IND" => branch(Target::Unit(s.unit("mPm")?), Condition::Always),
        "J_jump_imm" | "JL" => branch(direct()?, Condition::Always),
        "JNZ" => branch(direct()?, Condition::NotZero(s.unit("mRx")?)),
        "JZ" => branch(direct()?, Condition::Zero(s.unit("mRx")?)),
        "JNZD" => {
            let src = s.unit("mRx0")?;
            let target = Target::Unit(s.unit("mPm")?);
            Some(Op::Branch { target, when: Condition::NotZero(src), link: None, count: Some((s.sdst("mRx")?, src)) })
        }
        "RET" => branch(Target::Unit(units::LR), Condition::Always),
        "MOVX_mvx_scl" => Some(Op::Move { d: s.sdst("mCRm")?, src: s.unit("mRx")? }),
        "MOVX_alu_cg" => Some(Op::MoveImm { d: s.sdst("dst")?, value: s.imm("i")? as u32 }),
        "MOVXM_lng_cg" => Some(Op::MoveImm { d: s.sdst("mMvSclDstCg")?, value: s.imm("i")? as u32 }),
        "MOVA_lda_cg" => Some(Op::MoveImm { d: s.sdst("mLdaCg")?, value: s.imm("c11s")? as u32 }),
        "MOV_mv_cg" => Some(Op::MoveImm { d: s.sdst("dst")?, value: s.imm("i")? as u32 }),
        "MOV_mv_scl" => Some(Op::Move { d: s.sdst("mMvSclDst")?, src: s.unit("mMvSclSrc")? }),
        "MOV_D1" | "MOV_D2" | "MOV_D3" | "MOV_D4" | "MOV_D5" | "MOV_D6" => {
            Some(Op::Move { d: s.sdst("dst")?, src: s.unit("src")? })
        }
        "ADD_NC" => Some(Op::Alu { f: AluFn::AddNc, d: s.sdst("dst")?, a: s.unit("s0")?, b: s.ssrc("imm")? }),
        "MOV_CNTR" => Some(Op::Counter { d: s.sdst("dst")? }),
        "DONE" => Some(Op::Done),
        "EVENT" => Some(Op::Nop),
        "ACQ_mLockId_reg" | "ACQ_COND_mLockId_reg" => lock(true, "mRx"),
        "ACQ_mLockId_imm" | "ACQ_COND_mLockId_imm" => lock(true, "id"),
        "REL_mLockId_reg" | "REL_COND_mLockId_reg" => lock(false, "mRx"),
        "REL_mLockId_imm" | "REL_COND_mLockId_imm" => lock(false, "id"),
        "PADDA_sp_imm" | "PADDB_sp_imm" => Some(Op::StackAdd { imm: s.imm("imm")? }),
        "MOV_mv_ss2scl" | "MOV_NB_mv_ss2scl" => Some(Op::StreamRead {
            d: s.sdst("mRa")?,
            status: s.implicit_def(units::SR_SS0)?,
            blocking: row.name == "MOV_mv_ss2scl",
        }),
        "MOV_mv_scl2ms" | "MOV_NB_mv_scl2ms" => stream_write(s, StreamLast::No),
        "MOV_TLAST_mv_scl2ms" | "MOV_NB_TLAST_mv_scl2ms" => stream_write(s, StreamLast::Yes),
        "MOV_mv_scl2ms_doTlast_reg" | "MOV_NB_mv_scl2ms_doTlast_reg" => {
            stream_write(s, StreamLast::Unit(s.unit("tlast")?))
        }
        "VMOV_mv_scd" => Some(Op::CascadeRead { dst: s.vdst("dst")? }),
        "VMOV_mv_mcd" => Some(Op::CascadeWrite { src: s.vsrc("src")? }),
        _ => memory(s),
    }
}

fn stream_write(s: &Source<'_>, last: StreamLast) -> Option<Op> {
    Some(Op::StreamWrite { src: s.unit("src")?, last, status: s.implicit_def(units::SR_MS0) })
}

/// Loads, stores, pointer updates.
fn memory(s: &Source<'_>) -> Option<Op> {
    let row = s.insn.row();
    let parts: Vec<&str> = row.mnemonic.split('.').filter(|p| *p != "2d" && *p != "3d").collect();
    if parts[0].starts_with("padd") {
        return Some(Op::Pointer { addr: s.addr()? });
    }
    let load = |kind| Some(Op::Load { addr: s.addr()?, kind });
    let store = |kind| Some(Op::Store { addr: s.addr()?, kind, cycle: s.memory_cycle() });
    let vector_data = |name: &str| s.reg(name).is_some_and(|r| matches!(r.atoms()[0].file(), File::W | File::Am));
    match *parts.as_slice() {
        ["lda", part] if part != "tm" => {
            let bytes = if part.ends_with("16") { 2 } else { 1 };
            load(LoadKind::Scalar { bytes, signed: part.starts_with('s'), dst: s.sdst("mRa")? })
        }
        ["lda"] if s.reg("dst").is_some() => load(LoadKind::Q { dst: s.vdst("dst")? }),
        ["lda"] => load(LoadKind::Scalar { bytes: 4, signed: false, dst: s.sdst("mLdaScl")? }),
        ["st", part] if part != "tm" => {
            store(StoreKind::Part { src: s.unit("mRv")?, bytes: if part == "s16" { 2 } else { 1 } })
        }
        ["st"] if s.reg("src").is_some() => store(StoreKind::Q { src: s.vsrc("src")? }),
        ["st"] => store(StoreKind::Word { src: s.unit("mSclSt")? }),
        ["vlda" | "vldb"] => load(LoadKind::Piece { dst: s.vdst("dst")? }),
        ["vlda" | "vldb", "128"] => load(LoadKind::Half { dst: s.vdst("dst")? }),
        ["vst"] if vector_data("src") => store(StoreKind::Piece { src: s.vsrc("src")? }),
        ["vst", "128"] => store(StoreKind::Half { src: s.vsrc("src")? }),
        ["vlda", "conv", "fp32", "bf16"] => load(LoadKind::ConvF32 { dst: s.vdst("dst")? }),
        ["vst", "conv", "bf16", "fp32"] => store(StoreKind::ConvBf16 { src: s.vsrc("src")? }),
        ["vlda", "ups", acc, vec] => {
            let (w, sign) = widths(acc, vec, units::CR_UPS_SIGN, 1)?;
            load(LoadKind::Ups { dst: s.vdst("dst")?, w, sign, s: s.unit("shft")? })
        }
        ["vst", "srs", vec, acc] => {
            let (w, sign) = widths(acc, vec, units::CR_SRS_SIGN, 1)?;
            store(StoreKind::Srs { src: s.vsrc("src")?, w, sign, s: s.unit("shft")? })
        }
        ["vldb", "unpack", _, from] => {
            let (bits, sign) = lane_type(from, units::CR_UNPACK_SIGN)?;
            load(LoadKind::Unpack { dst: s.vdst("dst")?, bits, sign })
        }
        ["vst", "pack", to, from] => {
            let (bits, _) = lane_type(from, units::CR_PACK_SIGN)?;
            let (_, sign) = lane_type(to, units::CR_PACK_SIGN)?;
            store(StoreKind::Pack { src: s.vsrc("src")?, bits, sign })
        }
        ["vldb", granule @ ("4x16" | "4x32" | "4x64"), half @ ("lo" | "hi")] => Some(Op::Gather {
            dst: s.vdst("dst")?,
            src: s.vsrc("src")?,
            high: half == "hi",
            granule_bits: granule[2..].parse().ok()?,
        }),
        _ => lower_vector::vector(s, &parts),
    }
}

/// Adds the registers an instruction reads; sources whose extent depends on a configuration value are checked when it runs.
fn add_uses(s: &Source<'_>, op: &Op, uses: &mut Vec<UseSet>) {
    let row = s.insn.row();
    let names = row
        .operands
        .iter()
        .enumerate()
        .filter(|&(i, d)| d.role == Role::In && matches!(s.insn.operand(i), Value::Reg(_)))
        .map(|(_, d)| d.name)
        .chain(std::iter::repeat(""));
    for (a, name) in s.timing.uses().iter().zip(names) {
        let mut set = Units::of(a.reg);
        match (op, name) {
            (Op::Shuffle { .. }, "s1" | "s2") => continue,
            // Every mode reads at least the low half of both sources.
            (Op::Mac { .. } | Op::MacF { .. }, "s1" | "s2") => set = Units::one(units::first(a.reg)),
            (Op::Load { addr, .. } | Op::Store { addr, .. } | Op::Pointer { addr }, "mod")
                if addr.mode == AddrMode::Post3d =>
            {
                set.remove(units::M + addr.x + 4);
            }
            _ => {}
        }
        // Exception masks select what sets a sticky flag, which this model does not keep.
        for unit in [units::CR_F2F_MASK, units::CR_F2I_MASK, units::CR_FP_MASK, units::CNTR] {
            set.remove(unit);
        }
        if set.is_empty() {
            continue;
        }
        let at = uses.iter().position(|u| u.cycle == a.cycle).unwrap_or_else(|| {
            uses.push(UseSet { cycle: a.cycle, plain: Units::EMPTY, mov: Units::EMPTY, vec: Units::EMPTY });
            uses.len() - 1
        });
        let u = &mut uses[at];
        match bypass(a.bypass) {
            Byp::None => u.plain = u.plain.or(set),
            Byp::Mov => u.mov = u.mov.or(set),
            Byp::Vec => u.vec = u.vec.or(set),
        }
    }
}

/// The claims of `cycle`.
fn claim_at(claims: &mut Vec<(u8, Claim)>, cycle: u8) -> &mut Claim {
    let at = claims.iter().position(|c| c.0 == cycle).unwrap_or_else(|| {
        claims.push((cycle, Claim::default()));
        claims.len() - 1
    });
    &mut claims[at].1
}

/// Adds the registers an instruction writes; fails if two writes of the bundle land together.
fn add_defs(timing: &Timing, claims: &mut Vec<(u8, Claim)>) -> Result<(), CoreFaultKind> {
    for Access { reg, cycle, bypass: b } in timing.defs().iter().copied() {
        let first = units::first(reg);
        if is_status(first) && !modelled_status(first) {
            continue;
        }
        let set = Units::of(reg);
        let c = claim_at(claims, cycle);
        if let Some(unit) = c.all.and(set).lowest() {
            return Err(CoreFaultKind::WriteClash { register: units::name(unit), cycle });
        }
        c.all = c.all.or(set);
        match bypass(b) {
            Byp::None => {}
            // Only vector pieces have a bypass; they are the third word of a set.
            Byp::Mov => c.mov |= set.0[2],
            Byp::Vec => c.vec |= set.0[2],
        }
    }
    Ok(())
}

/// Adds the ports an instruction occupies; fails if the bundle needs one twice.
fn add_ports(timing: &Timing, claims: &mut Vec<(u8, Claim)>) -> Result<(), CoreFaultKind> {
    for stage in timing.stages() {
        for cycle in stage.first_cycle..stage.first_cycle + stage.cycles {
            let index = stage.resource as u32;
            let bit = match stage.kind {
                StageKind::Use => 1u64 << index,
                StageKind::Reserve => 1 << (index + 32),
            };
            let c = claim_at(claims, cycle);
            if port_clash(c.ports, bit) != 0 {
                return Err(CoreFaultKind::PortClash { resource: stage.resource.name(), cycle });
            }
            c.ports |= bit;
        }
    }
    Ok(())
}

/// Lowers one bundle.
pub(super) fn lower(bundle: &Bundle, pc: u32, len: u32) -> Result<Decoded, CoreFaultKind> {
    let mut d = Decoded {
        pc,
        len,
        ops: Vec::new(),
        uses: Vec::new(),
        reads_now: Units::EMPTY,
        claims: Vec::new(),
        blocking: false,
        branch: false,
        sets_loop: false,
        part_word_store: false,
        early_reads_allowed: false,
        partial_lock: false,
        memory_first: 0,
        memory_last: 0,
    };
    for insn in bundle.iter() {
        if insn.row().is_nop() {
            continue;
        }
        let s = Source { insn, timing: insn.timing() };
        let op = scalar(&s).unwrap_or(Op::Unmodelled { name: insn.row().name });
        if let Op::Move { src, .. } = op
            && is_status(src)
            && !modelled_status(src)
        {
            return Err(CoreFaultKind::Unmodelled { name: insn.row().name });
        }
        d.blocking |= matches!(
            op,
            Op::Lock { .. }
                | Op::StreamRead { .. }
                | Op::StreamWrite { .. }
                | Op::CascadeRead { .. }
                | Op::CascadeWrite { .. }
        );
        d.branch |= matches!(op, Op::Branch { .. });
        d.part_word_store |= matches!(op, Op::Store { kind: StoreKind::Part { .. }, .. });
        add_uses(&s, &op, &mut d.uses);
        add_defs(&s.timing, &mut d.claims)?;
        add_ports(&s.timing, &mut d.claims)?;
        if let (Some(&first), Some(&last)) = (s.timing.memory_cycles().first(), s.timing.memory_cycles().last()) {
            d.memory_first = if d.memory_first == 0 { first } else { d.memory_first.min(first) };
            d.memory_last = d.memory_last.max(last);
        }
        d.ops.push(op);
    }
    for u in d.uses.iter().filter(|u| u.cycle == 1) {
        d.reads_now = d.reads_now.or(u.plain).or(u.mov).or(u.vec);
    }
    let loops = Units::one(units::LS).or(Units::one(units::LE)).or(Units::one(units::LC));
    d.sets_loop = d.claims.iter().any(|(_, c)| !c.all.and(loops).is_empty());
    Ok(d)
}
