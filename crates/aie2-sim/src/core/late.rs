//! Stages after issue: accumulator reads, memory accesses, late operands.

use super::exec::{CachedMode, MacCount, MacType, aligned};
use super::flight::Seen;
use super::micro::{Back, Micro};
use super::op::{Byp, Decoded, LoadKind, Op, StoreKind, VDst, VSrc};
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

impl From<CoreFaultKind> for Box<Trouble> {
    #[cold]
    fn from(k: CoreFaultKind) -> Self {
        Self::new(Trouble::Core(k))
    }
}

impl From<mac::BadConfig> for Box<Trouble> {
    #[cold]
    fn from(c: mac::BadConfig) -> Self {
        Self::new(Trouble::Core(c.into()))
    }
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

/// Most memory accesses of one cycle: a table load has four, LDA, ST and the write of a part-word store one each.
const ACCESSES: usize = 8;

/// Banks touched in one cycle, bit 8 * window + physical bank, access by access.
#[derive(Clone, Copy, Default)]
pub(crate) struct Banks {
    n: usize,
    touched: [u32; ACCESSES],
}

impl Banks {
    #[inline(always)]
    fn touch(&mut self, addr: u32, bytes: u32) {
        // SOURCE: Xilinx/mlir-aie AIETargetModel: windows of 64 KiB at 0x40000 south, west, north, own.
        self.add(u32::from(physical_banks(addr, bytes)) << (8 * (addr >> 16 & 3)));
    }

    /// The two banks of an aligned 32-byte access.
    #[inline(always)]
    fn touch_piece(&mut self, addr: u32) {
        self.add(3 << (2 * (addr >> 14 & 3) + 8 * (addr >> 16 & 3)));
    }

    #[inline(always)]
    fn add(&mut self, banks: u32) {
        self.touched[self.n % ACCESSES] = banks;
        self.n += 1;
    }

    /// Banks of the core's own memory, and cycles lost because accesses of this cycle share a bank.
    #[inline(always)]
    pub(crate) fn end(&self) -> (u8, u8) {
        match self.n {
            0 => (0, 0),
            1 => ((self.touched[0] >> 24) as u8, 0),
            2 => {
                let [a, b, ..] = self.touched;
                (((a | b) >> 24) as u8, u8::from(a & b != 0))
            }
            n => self.end_of_many(n),
        }
    }

    fn end_of_many(&self, n: usize) -> (u8, u8) {
        let (mut once, mut twice, mut thrice) = (0, 0, 0);
        for m in &self.touched[..n.min(ACCESSES)] {
            thrice |= twice & m;
            twice |= once & m;
            once |= m;
        }
        ((once >> 24) as u8, if thrice != 0 { 2 } else { u8::from(twice != 0) })
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
    pub banks: &'a mut Banks,
    pub part_words: &'a mut Vec<PartWord>,
}

impl<'a> Memory<'a> {
    #[inline(always)]
    pub(crate) fn new(banks: &'a mut Banks, part_words: &'a mut Vec<PartWord>) -> Self {
        banks.n = 0;
        Self { banks, part_words }
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
    fn load_piece<B: CoreBus + ?Sized>(
        &mut self,
        bus: &mut B,
        now: u64,
        addr: u32,
        out: &mut [u8; 32],
    ) -> Result<(), Box<Trouble>> {
        if !self.part_words.is_empty() {
            self.check_part_words(now, addr, 32)?;
        }
        self.banks.touch_piece(addr);
        bus.load_piece(addr, out).map_err(|fault| Box::new(Trouble::Bus(fault)))
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

    fn read_acc<const N: usize>(&self, src: VSrc, seen: Seen<'_>) -> Result<[u8; N], Trouble> {
        self.check_init_source(3, src)?;
        Ok(self.read::<N>(src, seen))
    }

    /// Runs one step of an edge that is not a whole issue.
    #[inline(always)]
    pub(crate) fn step<B: CoreBus + ?Sized>(
        &mut self,
        step: &Micro,
        seen: Seen<'_>,
        bus: &mut B,
        mem: &mut Memory<'_>,
        stats: &mut MacCount,
    ) -> Result<(), Box<Trouble>> {
        match step {
            Micro::LoadPiece { addr, at } => {
                let addr = self.access(*addr);
                aligned(addr, 32)?;
                let v = self.value(*at);
                self.aux[v][0] = addr;
                Ok(())
            }
            Micro::Fetch { at } => {
                let v = self.value(*at);
                let out = self.values[v].0.first_chunk_mut().expect("a value has 128 bytes");
                mem.load_piece(bus, self.now, self.aux[v][0], out)
            }
            Micro::StorePiece { addr, src, at } => {
                let addr = self.access(*addr);
                aligned(addr, 32)?;
                let v = self.value(*at);
                let data = self.read::<32>(*src, seen);
                self.values[v].0[..32].copy_from_slice(&data);
                self.aux[v][0] = addr;
                Ok(())
            }
            Micro::Write { at } => {
                let v = self.value(*at);
                let addr = self.aux[v][0];
                if !mem.part_words.is_empty() {
                    mem.check_part_words(self.now, addr, 32)?;
                }
                mem.banks.touch_piece(addr);
                bus.store(addr, &self.values[v].0[..32]).map_err(|fault| Box::new(Trouble::Bus(fault)))
            }
            Micro::StorePlain { addr, src, at } => {
                let addr = self.access(*addr);
                aligned(addr, 32)?;
                let v = self.value(*at);
                let data: &[u8; 32] = self.vector.array(*src);
                self.values[v].0[..32].copy_from_slice(data);
                self.aux[v][0] = addr;
                Ok(())
            }
            Micro::MacPlain { s1, s2, c, at } => self.multiply_plain(*s1, *s2, *c, *at, seen, stats),
            Micro::AccumulatePlain { acc, byp, at } => self.accumulate_plain(*acc, *byp, *at, seen),
            Micro::Mac { s1, s2, c, at } => self.multiply(*s1, *s2, *c, *at, seen, stats),
            Micro::Accumulate { acc1, acc2, signs, at } => self.accumulate(*acc1, *acc2, *signs, *at, seen),
            Micro::MacF { s1, s2, c, two, at } => self.multiply_float(*s1, *s2, *c, *two, *at, seen, stats),
            Micro::AccumulateF { acc1, acc2, signs, at } => self.accumulate_float(*acc1, *acc2, *signs, *at, seen),
            // An issue is the caller's, a landing ends the time.
            Micro::Issue { .. } | Micro::Land { .. } => Ok(()),
        }
    }

    #[inline(never)]
    fn multiply(
        &mut self,
        s1: VSrc,
        s2: VSrc,
        c: u8,
        at: Back,
        seen: Seen<'_>,
        stats: &mut MacCount,
    ) -> Result<(), Box<Trouble>> {
        self.enter_mode(s1.unit, s2.unit, c, seen)?;
        let v = self.value(at);
        let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
        self.host.int_products(&self.last_mode.mode, &a, &b, &mut self.values[v].0);
        self.aux[v] = self.last_mode.acc;
        stats.add(self.last_mode.kind, self.last_mode.macs);
        Ok(())
    }

    /// Makes the configuration word in `c` the present one; the sources can be read under it.
    #[inline(always)]
    fn enter_mode(&mut self, s1: u8, s2: u8, c: u8, seen: Seen<'_>) -> Result<(), Box<Trouble>> {
        let word = self.s(c);
        if self.last_mode.word != word {
            self.last_mode = CachedMode::new(word)?;
        }
        if seen.settled && seen.edge.word == word {
            return Ok(());
        }
        self.check_mac_sources(s1, s2, self.last_mode.bytes, seen)?;
        self.settling_word = word;
        Ok(())
    }

    #[inline(always)]
    fn multiply_plain(
        &mut self,
        s1: u8,
        s2: u8,
        c: u8,
        at: Back,
        seen: Seen<'_>,
        stats: &mut MacCount,
    ) -> Result<(), Box<Trouble>> {
        self.enter_mode(s1, s2, c, seen)?;
        let v = self.value(at);
        let (a, b) = (self.vector.array(s1), self.vector.array(s2));
        let mode = &self.last_mode;
        if mode.i8_4x8x8 {
            self.host.i8_product((mode.mode.a_signed, mode.mode.b_signed), a, b, &mut self.values[v].0);
        } else {
            self.host.int_products(&mode.mode, a, b, &mut self.values[v].0);
        }
        self.aux[v] = mode.acc;
        stats.add(mode.kind, mode.macs);
        Ok(())
    }

    #[inline(always)]
    fn accumulate_plain(&mut self, acc: u8, byp: Byp, at: Back, seen: Seen<'_>) -> Result<(), Box<Trouble>> {
        let v = self.value(at);
        if self.aux[v] != [32, 0] {
            return self.accumulate(Some(VSrc { unit: acc, n: 4, byp }), None, mac::Signs::PLUS, at, seen);
        }
        if !seen.settled {
            self.check_init_source(3, VSrc { unit: acc, n: 4, byp })?;
        }
        self.host.add_lanes(self.vector.array(acc), &mut self.values[v].0);
        Ok(())
    }

    #[inline(never)]
    fn accumulate(
        &mut self,
        acc1: Option<VSrc>,
        acc2: Option<VSrc>,
        signs: mac::Signs,
        at: Back,
        seen: Seen<'_>,
    ) -> Result<(), Box<Trouble>> {
        let v = self.value(at);
        let [acc_bits, acc_word] = self.aux[v];
        let acc1 = acc1.filter(|_| acc_word & 1 == 0);
        let signs = signs.under(acc_word);
        for src in [acc1, acc2].into_iter().flatten() {
            self.check_init_source(3, src)?;
        }
        let a1 = acc1.map(|src| self.read::<128>(src, seen));
        let a2 = acc2.map(|src| self.read::<128>(src, seen));
        mac::int_accumulate(acc_bits, a1.as_ref(), a2.as_ref(), signs, &mut self.values[v].0);
        Ok(())
    }

    #[inline(never)]
    fn multiply_float(
        &mut self,
        s1: VSrc,
        s2: VSrc,
        c: u8,
        two: bool,
        at: Back,
        seen: Seen<'_>,
        stats: &mut MacCount,
    ) -> Result<(), Box<Trouble>> {
        let v = self.value(at);
        let config = self.s(c);
        let mode = mac::float_mode(config)?;
        if mode.zero_acc && two {
            return Err(mac::ConfigField::ZeroOfTwo.of(config).into());
        }
        self.check_mac_sources(s1.unit, s2.unit, (64, 64), seen)?;
        let (a, b) = (self.read::<64>(s1, seen), self.read::<64>(s2, seen));
        self.values[v].0[..64].copy_from_slice(&a);
        self.values[v].0[64..].copy_from_slice(&b);
        self.aux[v] = [config, 0];
        stats.add(MacType::Bf16, mode.shape.macs());
        Ok(())
    }

    #[inline(never)]
    fn accumulate_float(
        &mut self,
        acc1: Option<VSrc>,
        acc2: Option<VSrc>,
        signs: mac::Signs,
        at: Back,
        seen: Seen<'_>,
    ) -> Result<(), Box<Trouble>> {
        let v = self.value(at);
        let mode = mac::float_mode(self.aux[v][0])?;
        let zero = [0; 64];
        let a1 = match acc1 {
            Some(src) if !mode.zero_acc => self.read_acc::<64>(src, seen)?,
            _ => zero,
        };
        let a2 = match acc2 {
            Some(src) => self.read_acc::<64>(src, seen)?,
            None => zero,
        };
        let both = [&a1, &a2];
        let accs = if acc2.is_some() { &both[..] } else { &both[..1] };
        let (mut s1, mut s2, mut out) = ([0; 64], [0; 64], [0; 64]);
        s1.copy_from_slice(&self.values[v].0[..64]);
        s2.copy_from_slice(&self.values[v].0[64..]);
        mac::float_mac(mode.shape, accs, signs.acc2, &s1, &s2, signs.product, &mut out);
        self.values[v].0[..64].copy_from_slice(&out);
        Ok(())
    }

    /// Runs the stages that fall on the current time, memory writes last.
    #[inline(always)]
    pub(crate) fn run_late<B: CoreBus + ?Sized>(
        &mut self,
        bundles: &[Decoded],
        seen: Seen<'_>,
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), (u32, Trouble)> {
        let at = self.now as usize % RING;
        // Stages may add stages, never for the same time.
        for i in 0..self.late[at].len() {
            let late = self.late[at].get(i);
            let op = &bundles[late.bundle as usize].ops[usize::from(late.op)];
            self.stage(bundles, op, late, seen, bus, mem).map_err(|t| (late.bundle, t))?;
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
        seen: Seen<'_>,
        bus: &mut B,
        mem: &mut Memory<'_>,
    ) -> Result<(), Trouble> {
        let v = usize::from(late.value);
        match *op {
            Op::Load { kind, .. } => self.load_stage(kind, late, bus, mem)?,
            Op::AccAdd { dst, acc1, acc2, signs, .. } => {
                let a1 = self.read_acc::<128>(acc1, seen)?;
                let a2 = match acc2 {
                    Some(src) => Some(self.read_acc::<128>(src, seen)?),
                    None => None,
                };
                acc::add_int(self.aux[v][0], signs, &a1, a2.as_ref(), &mut self.values[v].0)?;
                self.finish(dst, late);
            }
            Op::AccAddF { dst, acc1, acc2, signs, .. } => {
                let a1 = self.read_acc::<64>(acc1, seen)?;
                let a2 = match acc2 {
                    Some(src) => Some(self.read_acc::<64>(src, seen)?),
                    None => None,
                };
                let mut out = [0; 64];
                acc::add_float(self.aux[v][0], signs, &a1, a2.as_ref(), &mut out)?;
                self.values[v].0[..64].copy_from_slice(&out);
                self.finish(dst, late);
            }
            Op::VMoveD { dst, src } => {
                self.values[v].0 = self.read_acc::<128>(src, seen)?;
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
                let from = self.read::<32>(src, seen);
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
            // Cut into steps of its own.
            LoadKind::Piece { .. } => {}
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
