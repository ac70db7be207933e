//! Register state and the writes in flight.
//!
//! Time is counted in issued bundles. A bundle issued at n reads an operand of cycle U at time n + U - 1, and a result of
//! cycle D lands at the end of time n + D - 1; a reader that shares the writer's bypass sees it at that very time, every
//! other reader one later. This is the rule L = D - U + 1 - same.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td; FIM43-Redeye/xdna-emu src/interpreter/state/registers.rs (checked on silicon).

use super::op::{Byp, Claim, Decoded, SDst, SSrc, Sign, VDst, VSrc};
use super::sem::mac::IntMode;
use super::units::{self, PIECES, SCALARS, Units};
use crate::core_fault::CoreFaultKind;
use aie2_isa::{Atom, Resource};

/// Slots of the rings indexed by time; more than the longest distance (11 cycles of a part-word store).
pub(crate) const RING: usize = 16;
/// Longest result latency in cycles (VLDA.UPS: 9), hence the horizon of writes in flight.
const HORIZON: u64 = 9;
/// Value slots per issued bundle.
pub(crate) const VALUES_PER_BUNDLE: usize = 8;

/// Fixed-capacity list of small records.
#[derive(Clone, Copy)]
pub(crate) struct List<T: Copy, const N: usize> {
    n: u8,
    items: [T; N],
}

impl<T: Copy, const N: usize> List<T, N> {
    pub(crate) fn new(fill: T) -> Self {
        Self { n: 0, items: [fill; N] }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) {
        self.items[usize::from(self.n)] = item;
        self.n += 1;
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        &self.items[..usize::from(self.n)]
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.n)
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> T {
        self.items[i]
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.n = 0;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LandKind {
    Scalar,
    /// `n` pieces from value slot `value`.
    Pieces,
    /// The register's content is not documented: it counts as never written.
    Undefined,
}

/// A write on its way to the register file.
#[derive(Clone, Copy)]
pub(crate) struct Land {
    pub kind: LandKind,
    pub unit: u8,
    pub n: u8,
    pub byp: Byp,
    pub value: u32,
}

/// A later stage of an issued operation.
#[derive(Clone, Copy)]
pub(crate) struct Late {
    pub bundle: u32,
    pub op: u8,
    pub cycle: u8,
    /// Value slot of the operation.
    pub value: u8,
}

/// Sixteen-byte aligned register pieces and temporary values.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Wide(pub [u8; 128]);

#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Piece(pub [u8; 32]);

/// Ports that `held` and `wanted` cannot have at once: use against use or reserve.
#[inline(always)]
pub(crate) fn port_clash(held: u64, wanted: u64) -> u32 {
    let (used, reserved) = (held as u32, (held >> 32) as u32);
    let (uses, reserves) = (wanted as u32, (wanted >> 32) as u32);
    used & (uses | reserves) | reserved & uses
}

#[cold]
fn clash(held: &Claim, wanted: &Claim, cycle: u8) -> CoreFaultKind {
    if let Some(unit) = held.all.and(wanted.all).lowest() {
        return CoreFaultKind::WriteClash { register: units::name(unit), cycle };
    }
    let port = port_clash(held.ports, wanted.ports).trailing_zeros();
    let resource = Resource::ALL.iter().find(|r| **r as u32 == port).map_or("port", |r| r.name());
    CoreFaultKind::PortClash { resource, cycle }
}

/// Registers, writes in flight and stages to come.
#[derive(Clone)]
pub(crate) struct State {
    /// Number of bundles issued; the bundle being issued has this number.
    pub now: u64,
    pub scalar: [u32; SCALARS],
    width: [u32; SCALARS],
    pub piece: Box<[Piece; PIECES]>,
    pub init: Units,
    pub values: Vec<Wide>,
    /// Addresses, configuration words and shift amounts kept for later stages, per value slot.
    pub aux: Vec<[u32; 2]>,
    pub lands: Box<[List<Land, 32>; RING]>,
    /// Writes and ports claimed per time.
    claims: [Claim; RING],
    /// Bundle issued at each of the last times.
    history: [u32; RING],
    pub late: Box<[List<Late, 24>; RING]>,
    pub stores: Box<[List<Late, 8>; RING]>,
    /// Configuration word of the last integer multiply and its meaning.
    pub last_mode: Option<(u32, IntMode)>,
}

impl State {
    pub(crate) fn new() -> Self {
        let mut width = [u32::MAX; SCALARS];
        for atom in Atom::all() {
            let bits = atom.width_bits();
            if bits < 32 {
                width[usize::from(units::of_atom(atom))] = (1 << bits) - 1;
            }
        }
        let land = Land { kind: LandKind::Scalar, unit: 0, n: 0, byp: Byp::None, value: 0 };
        let late = Late { bundle: 0, op: 0, cycle: 0, value: 0 };
        Self {
            now: 0,
            scalar: [0; SCALARS],
            width,
            piece: Box::new([Piece([0; 32]); PIECES]),
            init: Units::EMPTY,
            values: vec![Wide([0; 128]); RING * VALUES_PER_BUNDLE],
            aux: vec![[0; 2]; RING * VALUES_PER_BUNDLE],
            lands: Box::new([List::new(land); RING]),
            claims: [Claim::default(); RING],
            history: [u32::MAX; RING],
            late: Box::new([List::new(late); RING]),
            stores: Box::new([List::new(late); RING]),
            last_mode: None,
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self, cycle: u8) -> usize {
        (self.now as usize + usize::from(cycle) - 1) % RING
    }

    // ---- checks at issue ------------------------------------------------------------------------------------------

    /// Registers of a use that earlier bundles have not landed: (units, distance to landing).
    fn in_flight(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Option<(u8, u8)> {
        let all = plain.or(mov).or(vec);
        let at = self.slot(cycle);
        let landing = self.claims[at].all;
        let hit = plain
            .and(landing)
            .or(mov.and(landing).without(Units([0, 0, self.claims[at].mov])))
            .or(vec.and(landing).without(Units([0, 0, self.claims[at].vec])));
        if let Some(unit) = hit.lowest() {
            return Some((unit, 1));
        }
        for k in u64::from(cycle)..HORIZON {
            let c = &self.claims[(self.now + k) as usize % RING];
            if let Some(unit) = c.all.and(all).lowest() {
                // A reader that shares the writer's bypass sees it one bundle sooner.
                let one = Units::one(unit);
                let taken = |set: Units, carried: u64| !set.and(one).and(Units([0, 0, carried])).is_empty();
                let forwarded = u8::from(taken(mov, c.mov) || taken(vec, c.vec));
                return Some((unit, (k - u64::from(cycle)) as u8 + 2 - forwarded));
            }
        }
        None
    }

    #[inline(always)]
    fn any_in_flight(&self, cycle: u8, all: Units) -> bool {
        let mut acc = Units::EMPTY;
        for k in u64::from(cycle) - 1..HORIZON {
            acc = acc.or(self.claims[(self.now + k) as usize % RING].all);
        }
        !acc.and(all).is_empty()
    }

    /// Faults if any register is not readable at `cycle` without surprise.
    #[inline(always)]
    pub(crate) fn check_use(
        &self,
        cycle: u8,
        plain: Units,
        mov: Units,
        vec: Units,
        early_ok: bool,
    ) -> Result<(), CoreFaultKind> {
        let all = plain.or(mov).or(vec);
        if cycle == 1 {
            self.check_init(1, plain, mov, vec)?;
        }
        if !early_ok && self.any_in_flight(cycle, all) { self.check_early(cycle, plain, mov, vec) } else { Ok(()) }
    }

    #[cold]
    fn check_early(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Result<(), CoreFaultKind> {
        match self.in_flight(cycle, plain, mov, vec) {
            Some((unit, bundles_short)) => {
                Err(CoreFaultKind::EarlyRead { register: units::name(unit), cycle, bundles_short })
            }
            None => Ok(()),
        }
    }

    /// Faults if a register was never written. A write that the reader's bypass delivers counts.
    #[inline(always)]
    pub(crate) fn check_init(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Result<(), CoreFaultKind> {
        let missing = plain.or(mov).or(vec).without(self.init);
        if missing.is_empty() { Ok(()) } else { self.check_missing(cycle, plain, mov, vec) }
    }

    /// As [`State::check_init`] for one vector operand.
    #[inline(always)]
    pub(crate) fn check_init_source(&self, cycle: u8, src: VSrc) -> Result<(), CoreFaultKind> {
        let units = Units::run(src.unit, src.n);
        let of = |byp| if src.byp == byp { units } else { Units::EMPTY };
        self.check_init(cycle, of(Byp::None), of(Byp::Mov), of(Byp::Vec))
    }

    /// As [`State::check_init`] for one register without a bypass.
    pub(crate) fn check_init_unit(&self, cycle: u8, unit: u8) -> Result<(), CoreFaultKind> {
        self.check_init(cycle, Units::one(unit), Units::EMPTY, Units::EMPTY)
    }

    #[cold]
    fn check_missing(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Result<(), CoreFaultKind> {
        let at = self.now as usize % RING;
        let missing = plain
            .or(mov.without(Units([0, 0, self.claims[at].mov])))
            .or(vec.without(Units([0, 0, self.claims[at].vec])))
            .without(self.init);
        match missing.lowest() {
            None => Ok(()),
            Some(unit) => Err(CoreFaultKind::Uninitialised { register: units::name(unit), cycle }),
        }
    }

    /// Everything that can be checked before a bundle changes the state.
    #[inline(always)]
    pub(crate) fn check_issue(&self, d: &Decoded, early_ok: bool) -> Result<(), CoreFaultKind> {
        if !d.reads_now.without(self.init).is_empty() {
            for u in d.uses.iter().filter(|u| u.cycle == 1) {
                self.check_init(1, u.plain, u.mov, u.vec)?;
            }
        }
        if !early_ok {
            for u in &d.uses {
                self.check_use(u.cycle, u.plain, u.mov, u.vec, false)?;
            }
        }
        Ok(())
    }

    /// Claims the writes and ports of a bundle; fails where an earlier bundle holds them.
    #[inline(always)]
    pub(crate) fn claim(&mut self, index: u32, d: &Decoded) -> Result<(), CoreFaultKind> {
        let now = self.now as usize;
        self.history[now % RING] = index;
        for (cycle, c) in &d.claims {
            if self.any_in_flight(cycle + 1, c.all) {
                return Err(self.overtaking(*cycle, c.all));
            }
        }
        for (cycle, c) in &d.claims {
            let held = &mut self.claims[now.wrapping_add(usize::from(*cycle)).wrapping_sub(1) % RING];
            if port_clash(held.ports, c.ports) != 0 || !held.all.and(c.all).is_empty() {
                return Err(clash(held, c, *cycle));
            }
            held.all = held.all.or(c.all);
            held.mov |= c.mov;
            held.vec |= c.vec;
            held.ports |= c.ports;
        }
        Ok(())
    }

    #[cold]
    fn overtaking(&self, cycle: u8, units: Units) -> CoreFaultKind {
        let found = self.in_flight(cycle + 1, units, Units::EMPTY, Units::EMPTY);
        CoreFaultKind::WriteOvertaken { register: found.map_or_else(String::new, |(unit, _)| units::name(unit)), cycle }
    }

    // ---- reads ----------------------------------------------------------------------------------------------------

    #[inline(always)]
    pub(crate) fn s(&self, unit: u8) -> u32 {
        self.scalar[usize::from(unit)]
    }

    /// 20-bit register as a signed number.
    #[inline]
    pub(crate) fn s20(&self, unit: u8) -> i32 {
        (self.s(unit) << 12) as i32 >> 12
    }

    #[inline]
    pub(crate) fn src(&self, src: SSrc) -> u64 {
        match src {
            SSrc::Unit(u) => u64::from(self.s(u)),
            SSrc::Pair(u) => u64::from(self.s(u)) | u64::from(self.s(u + 1)) << 32,
            SSrc::Imm(v) => v as u32 as u64,
        }
    }

    #[inline]
    pub(crate) fn signed(&self, sign: Sign) -> bool {
        match sign {
            Sign::Signed => true,
            Sign::Unsigned => false,
            Sign::Register(u) => self.s(u) & 1 == 1,
        }
    }

    /// A vector operand read now, with values its bypass delivers.
    #[inline(always)]
    pub(crate) fn read<const N: usize>(&self, src: VSrc) -> [u8; N] {
        let first = usize::from(src.unit - units::W);
        let mut out = [0; N];
        for k in 0..N.div_ceil(32) {
            let len = 32.min(N - 32 * k);
            out[32 * k..32 * k + len].copy_from_slice(&self.piece[first + k].0[..len]);
        }
        if src.byp != Byp::None {
            self.forward(src, &mut out);
        }
        out
    }

    #[inline(always)]
    fn forward<const N: usize>(&self, src: VSrc, out: &mut [u8; N]) {
        let at = self.now as usize % RING;
        let landing = if src.byp == Byp::Mov { self.claims[at].mov } else { self.claims[at].vec };
        // All vector pieces are in the third word of a set.
        if landing >> (src.unit - units::W) & ((1 << src.n) - 1) == 0 {
            return;
        }
        self.forward_found(at, src, out);
    }

    #[cold]
    fn forward_found<const N: usize>(&self, at: usize, src: VSrc, out: &mut [u8; N]) {
        for land in self.lands[at].as_slice() {
            if land.kind != LandKind::Pieces || land.byp != src.byp {
                continue;
            }
            for k in 0..land.n {
                let unit = land.unit + k;
                if unit >= src.unit && usize::from(unit - src.unit) * 32 < N {
                    let (to, from) = (usize::from(unit - src.unit) * 32, usize::from(k) * 32);
                    out[to..to + 32].copy_from_slice(&self.values[land.value as usize].0[from..from + 32]);
                }
            }
        }
    }

    // ---- writes ---------------------------------------------------------------------------------------------------

    /// Puts a scalar result on its way, from an operation that issues now.
    #[inline(always)]
    pub(crate) fn put(&mut self, d: SDst, value: u64) {
        self.put_at(d, value, self.slot(d.cycle));
    }

    #[inline(always)]
    pub(crate) fn put_at(&mut self, d: SDst, value: u64, at: usize) {
        let land = |unit, value| Land { kind: LandKind::Scalar, unit, n: 1, byp: Byp::None, value };
        self.lands[at].push(land(d.unit, value as u32));
        if d.pair {
            self.lands[at].push(land(d.unit + 1, (value >> 32) as u32));
        }
    }

    pub(crate) fn put_undefined(&mut self, unit: u8, cycle: u8) {
        let at = self.slot(cycle);
        self.lands[at].push(Land { kind: LandKind::Undefined, unit, n: 1, byp: Byp::None, value: 0 });
    }

    /// Puts the vector in value slot `value` on its way; it lands at ring slot `at`.
    #[inline(always)]
    pub(crate) fn land(&mut self, d: VDst, value: u8, at: usize) {
        self.lands[at].push(Land { kind: LandKind::Pieces, unit: d.unit, n: d.n, byp: d.byp, value: u32::from(value) });
    }

    /// Puts a vector result on its way, from an operation that issues now.
    #[inline]
    pub(crate) fn put_vector(&mut self, d: VDst, value: u8, bytes: &[u8]) {
        self.values[usize::from(value)].0[..bytes.len()].copy_from_slice(bytes);
        self.land(d, value, self.slot(d.cycle));
    }

    /// Sets a unit as if written long ago.
    pub(crate) fn preset(&mut self, unit: u8, bytes: &[u8]) {
        if unit < units::W {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[..4]);
            let u = usize::from(unit);
            self.scalar[u] = u32::from_le_bytes(word) & self.width[u];
        } else {
            self.piece[usize::from(unit - units::W)].0[..bytes.len()].copy_from_slice(bytes);
        }
        self.init.insert(unit);
    }

    /// Ends the current time: lands its writes and frees its ports.
    #[inline(always)]
    pub(crate) fn commit(&mut self) {
        let at = self.now as usize % RING;
        let n = self.lands[at].len();
        for i in 0..n {
            let land = self.lands[at].get(i);
            match land.kind {
                LandKind::Scalar => {
                    let u = usize::from(land.unit);
                    self.scalar[u] = land.value & self.width[u];
                }
                LandKind::Pieces => {
                    let from = &self.values[land.value as usize].0;
                    let first = usize::from(land.unit - units::W);
                    for k in 0..usize::from(land.n) {
                        self.piece[first + k].0.copy_from_slice(&from[32 * k..32 * k + 32]);
                    }
                }
                LandKind::Undefined => {}
            }
        }
        self.init = self.init.or(self.claims[at].all);
        for i in 0..n {
            let land = self.lands[at].get(i);
            if land.kind == LandKind::Undefined {
                self.init.remove(land.unit);
            }
        }
        self.lands[at].clear();
        self.claims[at] = Claim::default();
        self.now += 1;
        self.history[self.now as usize % RING] = u32::MAX;
    }

    /// A register of the set that a bundle issued with or after the reader has written before the reader's `cycle`.
    pub(crate) fn overtaken(&self, bundles: &[Decoded], cycle: u8, units: Units) -> Option<u8> {
        (1..u64::from(cycle)).filter(|age| *age <= self.now).find_map(|age| {
            let index = self.history[(self.now - age) as usize % RING];
            let d = bundles.get(index as usize)?;
            d.claims.iter().filter(|c| u64::from(c.0) <= age).find_map(|(_, c)| c.all.and(units).lowest())
        })
    }

    /// Whether writes or stages are still to come.
    pub(crate) fn draining(&self) -> bool {
        self.lands.iter().any(|l| l.len() != 0)
            || self.late.iter().any(|l| l.len() != 0)
            || self.stores.iter().any(|l| l.len() != 0)
    }
}
