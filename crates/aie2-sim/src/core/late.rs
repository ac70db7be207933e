//! Stages after issue: accumulator reads, memory accesses, late operands.

use super::op::{Decoded, LoadKind, Op, StoreKind, VDst, VSrc};
use super::sem::{acc, fp, lanes::Lane, mac, shift};
use super::state::{Late, RING, State};
use super::units::{self, Units};
use crate::core_fault::CoreFaultKind;
use crate::fault::Fault;
use crate::port::{CoreBus, physical_banks};

/// A stage failed: in the core, or in the memory behind the bus.
pub(crate) enum Trouble {
    Core(CoreFaultKind),
    Bus(Fault),
}

impl From<CoreFaultKind> for Trouble {
    fn from(k: CoreFaultKind) -> Self {
        Self::Core(k)
    }
}

impl From<shift::Undefined> for Trouble {
    fn from(u: shift::Undefined) -> Self {
        Self::Core(u.into())
    }
}

impl From<mac::BadConfig> for Trouble {
    fn from(c: mac::BadConfig) -> Self {
        Self::Core(c.into())
    }
}

/// Banks touched in one cycle: bit 8 * window + physical bank, counted up to three.
#[derive(Clone, Copy, Default)]
pub(crate) struct Banks {
    once: u32,
    twice: u32,
    thrice: u32,
}

impl Banks {
    #[inline(always)]
    fn touch(&mut self, addr: u32, bytes: u32) {
        // SOURCE: Xilinx/mlir-aie AIETargetModel: windows of 64 KiB at 0x40000 south, west, north, own.
        let m = u32::from(physical_banks(addr, bytes)) << (8 * (addr >> 16 & 3));
        self.thrice |= self.twice & m;
        self.twice |= self.once & m;
        self.once |= m;
    }

    /// Cycles lost because accesses of this cycle share a bank.
    pub(crate) fn stalls(self) -> u8 {
        if self.thrice != 0 { 2 } else { u8::from(self.twice != 0) }
    }

    /// Banks of the core's own memory.
    pub(crate) fn own(self) -> u8 {
        (self.once >> 24) as u8
    }
}

/// A part-word store between its read and its write.
#[derive(Clone, Copy)]
pub(crate) struct PartWord {
    word: u32,
    until: u64,
}

/// Memory side of one cycle.
pub(crate) struct Memory<'a> {
    pub banks: Banks,
    pub part_words: &'a mut Vec<PartWord>,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(part_words: &'a mut Vec<PartWord>) -> Self {
        Self { banks: Banks::default(), part_words }
    }

    #[inline(always)]
    fn check_part_words(&mut self, now: u64, addr: u32, bytes: u32) -> Result<(), Trouble> {
        if !self.part_words.is_empty() {
            self.part_words.retain(|p| p.until >= now);
            if self.part_words.iter().any(|p| addr < p.word + 4 && p.word < addr + bytes) {
                return Err(CoreFaultKind::PartWordRace { addr }.into());
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn load<B: CoreBus + ?Sized>(&mut self, bus: &mut B, now: u64, addr: u32, out: &mut [u8]) -> Result<(), Trouble> {
        self.check_part_words(now, addr, out.len() as u32)?;
        self.banks.touch(addr, out.len() as u32);
        bus.load(addr, out).map_err(Trouble::Bus)
    }

    #[inline(always)]
    fn store<B: CoreBus + ?Sized>(&mut self, bus: &mut B, now: u64, addr: u32, data: &[u8]) -> Result<(), Trouble> {
        self.check_part_words(now, addr, data.len() as u32)?;
        self.banks.touch(addr, data.len() as u32);
        bus.store(addr, data).map_err(Trouble::Bus)
    }
}

/// Where a result of cycle `d` lands, seen from a stage running now as cycle `stage`.
#[inline]
fn landing(state: &State, d: u8, stage: u8) -> usize {
    (state.now as usize + usize::from(d) - usize::from(stage)) % RING
}

#[inline]
fn piece_units(src: VSrc) -> Units {
    Units::run(src.unit, src.n)
}

impl State {
    #[inline(always)]
    fn next_stage(&mut self, late: Late, cycle: u8) {
        let at = (self.now as usize + usize::from(cycle) - usize::from(late.cycle)) % RING;
        self.late[at].push(Late { cycle, ..late });
    }

    #[inline(always)]
    fn finish(&mut self, dst: VDst, late: Late) {
        let at = landing(self, dst.cycle, late.cycle);
        self.land(dst, late.value, at);
    }

    fn read_acc<const N: usize>(&self, src: VSrc) -> Result<[u8; N], Trouble> {
        self.check_init_source(3, src)?;
        Ok(self.read::<N>(src))
    }

    /// Runs the stages that fall on the current time, memory writes last.
    #[inline(always)]
    pub(crate) fn run_late<B: CoreBus + ?Sized>(
        &mut self,
        bundles: &[Decoded],
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), (u32, Trouble)> {
        let at = self.now as usize % RING;
        // Stages may add stages, never for the same time.
        for i in 0..self.late[at].len() {
            let late = self.late[at].get(i);
            let op = &bundles[late.bundle as usize].ops[usize::from(late.op)];
            self.stage(bundles, op, late, bus, mem).map_err(|t| (late.bundle, t))?;
        }
        self.late[at].clear();
        Ok(())
    }

    /// Performs the memory writes of the current time.
    #[inline(always)]
    pub(crate) fn run_stores<B: CoreBus + ?Sized>(
        &mut self,
        bundles: &[Decoded],
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), (u32, Trouble)> {
        let at = self.now as usize % RING;
        for i in 0..self.stores[at].len() {
            let late = self.stores[at].get(i);
            let v = usize::from(late.value);
            let [addr, bytes] = self.aux[v];
            if let Op::Store { kind: StoreKind::Part { .. }, .. } =
                bundles[late.bundle as usize].ops[usize::from(late.op)]
            {
                mem.part_words.retain(|p| p.until != self.now);
            }
            mem.store(bus, self.now, addr, &self.values[v].0[..bytes as usize]).map_err(|t| (late.bundle, t))?;
        }
        self.stores[at].clear();
        Ok(())
    }

    #[inline(always)]
    fn stage<B: CoreBus + ?Sized>(
        &mut self,
        bundles: &[Decoded],
        op: &Op,
        late: Late,
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), Trouble> {
        let v = usize::from(late.value);
        match *op {
            Op::Mac { dst, acc1, acc2, signs, .. } => {
                let [acc_bits, acc_word] = self.aux[v];
                let acc1 = acc1.filter(|_| acc_word & 1 == 0);
                let signs = signs.under(acc_word);
                for src in [acc1, acc2].into_iter().flatten() {
                    self.check_init_source(3, src)?;
                }
                if let (32, Some(src), None, mac::Signs::PLUS) = (acc_bits, acc1, acc2, signs) {
                    let acc = self.read::<128>(src);
                    mac::add_lanes(&acc, &mut self.values[v].0);
                    self.finish(dst, late);
                    return Ok(());
                }
                let a1 = acc1.map(|src| self.read::<128>(src));
                let a2 = acc2.map(|src| self.read::<128>(src));
                mac::int_accumulate(acc_bits, a1.as_ref(), a2.as_ref(), signs, &mut self.values[v].0);
                self.finish(dst, late);
            }
            Op::Load { kind, .. } => self.load_stage(kind, late, bus, mem)?,
            Op::MacF { dst, acc1, acc2, signs, .. } => {
                let mode = mac::float_mode(self.aux[v][0])?;
                let zero = [0; 64];
                let a1 = match acc1 {
                    Some(src) if !mode.zero_acc => self.read_acc::<64>(src)?,
                    _ => zero,
                };
                let a2 = match acc2 {
                    Some(src) => self.read_acc::<64>(src)?,
                    None => zero,
                };
                let both = [&a1, &a2];
                let accs = if acc2.is_some() { &both[..] } else { &both[..1] };
                let (mut s1, mut s2, mut out) = ([0; 64], [0; 64], [0; 64]);
                s1.copy_from_slice(&self.values[v].0[..64]);
                s2.copy_from_slice(&self.values[v].0[64..]);
                mac::float_mac(mode.shape, accs, signs.acc2, &s1, &s2, signs.product, &mut out);
                self.values[v].0[..64].copy_from_slice(&out);
                self.finish(dst, late);
            }
            Op::AccAdd { dst, acc1, acc2, signs, .. } => {
                let a1 = self.read_acc::<128>(acc1)?;
                let a2 = match acc2 {
                    Some(src) => Some(self.read_acc::<128>(src)?),
                    None => None,
                };
                acc::add_int(self.aux[v][0], signs, &a1, a2.as_ref(), &mut self.values[v].0)?;
                self.finish(dst, late);
            }
            Op::AccAddF { dst, acc1, acc2, signs, .. } => {
                let a1 = self.read_acc::<64>(acc1)?;
                let a2 = match acc2 {
                    Some(src) => Some(self.read_acc::<64>(src)?),
                    None => None,
                };
                let mut out = [0; 64];
                acc::add_float(self.aux[v][0], signs, &a1, a2.as_ref(), &mut out)?;
                self.values[v].0[..64].copy_from_slice(&out);
                self.finish(dst, late);
            }
            Op::VMoveD { dst, src } => {
                self.values[v].0 = self.read_acc::<128>(src)?;
                self.finish(dst, late);
            }
            Op::Gather { dst, granule_bits, .. } => {
                let mut row = [0; 32];
                let addrs = super::exec::gather_addresses(&self.values[v].0, self.aux[v][0]);
                for (lane, addr) in addrs.into_iter().enumerate() {
                    let bytes = usize::from(granule_bits / 8);
                    mem.load(bus, self.now, addr, &mut row[8 * lane..8 * lane + bytes])?;
                }
                self.values[v].0[..32].copy_from_slice(&row);
                self.finish(dst, late);
            }
            Op::Unpack { dst, src, bits, sign } => {
                self.check_init_source(7, src)?;
                if let Some(unit) = self.overtaken(bundles, 7, piece_units(src)) {
                    return Err(CoreFaultKind::LateSource { register: units::name(unit), cycle: 7 }.into());
                }
                let sign = self.late_sign(sign)?;
                let from = self.read::<32>(src);
                shift::unpack(&from, &mut self.values[v].0[..64], u32::from(bits), sign);
                self.finish(dst, late);
            }
            Op::Store { kind: StoreKind::Part { src, bytes }, .. } => self.part_word_stage(src, bytes, late, mem)?,
            // The remaining operations have no stage of their own.
            _ => {}
        }
        Ok(())
    }

    fn late_sign(&self, sign: super::op::Sign) -> Result<bool, Trouble> {
        if let super::op::Sign::Register(u) = sign {
            self.check_init_unit(7, u)?;
        }
        Ok(self.signed(sign))
    }

    #[inline(always)]
    fn load_stage<B: CoreBus + ?Sized>(
        &mut self,
        kind: LoadKind,
        late: Late,
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), Trouble> {
        let v = usize::from(late.value);
        let addr = self.aux[v][0];
        match kind {
            LoadKind::Piece { dst } => {
                let now = self.now;
                mem.load(bus, now, addr, &mut self.values[v].0[..32])?;
                self.finish(dst, late);
            }
            LoadKind::Scalar { bytes, signed, dst } => {
                let mut raw = [0; 4];
                mem.load(bus, self.now, addr, &mut raw[..usize::from(bytes)])?;
                let value = match (bytes, signed) {
                    (1, true) => i32::from(raw[0] as i8) as u32,
                    (2, true) => i32::from(i16::load(&raw, 0)) as u32,
                    _ => u32::from_le_bytes(raw),
                };
                let at = landing(self, dst.cycle, late.cycle);
                self.put_at(dst, u64::from(value), at);
            }
            LoadKind::Half { dst } | LoadKind::Q { dst } => {
                let mut raw = [0; 32];
                mem.load(bus, self.now, addr, &mut raw[..16])?;
                self.values[v].0[..32].copy_from_slice(&raw);
                self.finish(dst, late);
            }
            LoadKind::ConvF32 { dst } => {
                let mut raw = [0; 32];
                mem.load(bus, self.now, addr, &mut raw)?;
                for i in 0..16 {
                    fp::from_bf16(u16::load(&raw, i)).store(&mut self.values[v].0, i);
                }
                self.finish(dst, late);
            }
            LoadKind::Unpack { dst, bits, sign } => match late.cycle {
                7 => {
                    let sign = self.late_sign(sign)?;
                    let mut raw = [0; 32];
                    raw.copy_from_slice(&self.values[v].0[..32]);
                    shift::unpack(&raw, &mut self.values[v].0[..64], u32::from(bits), sign);
                    self.finish(dst, late);
                }
                _ => {
                    mem.load(bus, self.now, addr, &mut self.values[v].0[..32])?;
                    self.next_stage(late, 7);
                }
            },
            // Data at 5, shift amount and sign at 7, crSat at 8.
            LoadKind::Ups { dst, w, sign, s } => match late.cycle {
                5 => {
                    mem.load(bus, self.now, addr, &mut self.values[v].0[..32])?;
                    self.next_stage(late, 7);
                }
                7 => {
                    self.check_init_unit(7, s)?;
                    self.aux[v] = [self.s(s), u32::from(self.late_sign(sign)?)];
                    self.next_stage(late, 8);
                }
                _ => {
                    self.check_init_unit(8, units::CR_SAT)?;
                    let ([shift, sign], sat) = (self.aux[v], self.s(units::CR_SAT));
                    let mut raw = [0; 32];
                    raw.copy_from_slice(&self.values[v].0[..32]);
                    shift::ups(&raw, &mut self.values[v].0, w, shift, sign == 1, sat)?;
                    self.finish(dst, late);
                }
            },
        }
        Ok(())
    }

    /// Memory read at 5, data at 7, memory write at 11.
    // SOURCE: Xilinx/llvm-aie AIE2Schedule.td II_STHB.
    fn part_word_stage(&mut self, src: u8, bytes: u8, late: Late, mem: &mut Memory<'_>) -> Result<(), Trouble> {
        let v = usize::from(late.value);
        let addr = self.aux[v][0];
        if late.cycle == 5 {
            mem.check_part_words(self.now, addr & !3, 4)?;
            mem.banks.touch(addr, u32::from(bytes));
            mem.part_words.push(PartWord { word: addr & !3, until: self.now + 6 });
            self.next_stage(late, 7);
        } else {
            self.check_init_unit(7, src)?;
            let value = self.s(src);
            self.values[v].0[..4].copy_from_slice(&value.to_le_bytes());
            self.aux[v][1] = u32::from(bytes);
            let at = (self.now as usize + 4) % RING;
            self.stores[at].push(Late { cycle: 11, ..late });
        }
        Ok(())
    }
}
