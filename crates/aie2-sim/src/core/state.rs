//! Register state and the writes in flight.
//!
//! Time is counted in issued bundles. A bundle issued at n reads an operand of cycle U at time n + U - 1, and a result of
//! cycle D lands at the end of time n + D - 1; a reader that shares the writer's bypass sees it at that very time, every
//! other reader one later. This is the rule L = D - U + 1 - same.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td; FIM43-Redeye/xdna-emu src/interpreter/state/registers.rs (checked on silicon).

use super::exec::CachedMode;
use super::flight::{Edge, Present, Seen};
use super::host::Host;
use super::micro::{Back, Micro};
use super::op::{Byp, Claim, Decoded, SDst, SSrc, Sign, VDst, VSrc};
use super::units::{self, PIECES, SCALARS, Units};
use crate::core_fault::CoreFaultKind;
use aie2_isa::{Atom, Resource};

/// Slots of the rings indexed by time; more than the longest distance (11 cycles of a part-word store).
pub(crate) const RING: usize = 16;
/// Value slots per issued bundle.
pub(crate) const VALUES_PER_BUNDLE: usize = 8;
/// Value slots in all.
pub(crate) const VALUES: usize = RING * VALUES_PER_BUNDLE;

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

/// The vector file: 32-byte pieces in the order of their units.
#[derive(Clone)]
#[repr(align(32))]
pub(crate) struct VectorFile(pub [u8; 32 * PIECES]);

impl VectorFile {
    /// `len` bytes from the piece of `unit`.
    #[inline(always)]
    pub(crate) fn of(&self, unit: u8, len: usize) -> &[u8] {
        let at = 32 * usize::from(unit - units::W);
        &self.0[at..at + len]
    }

    #[inline(always)]
    pub(crate) fn set<const N: usize>(&mut self, unit: u8, data: &[u8; N]) {
        let at = 32 * usize::from(unit - units::W);
        self.0[at..at + N].copy_from_slice(data);
    }
}


/// Ports that `held` and `wanted` cannot have at once: use against use or reserve.
#[inline(always)]
pub(crate) fn port_clash(held: u64, wanted: u64) -> u32 {
    let (used, reserved) = (held as u32, (held >> 32) as u32);
    let (uses, reserves) = (wanted as u32, (wanted >> 32) as u32);
    used & (uses | reserves) | reserved & uses
}

#[cold]
pub(crate) fn clash(held: &Claim, wanted: &Claim, cycle: u8) -> CoreFaultKind {
    if let Some(unit) = held.all.and(wanted.all).lowest() {
        return CoreFaultKind::WriteClash { register: units::name(unit), cycle };
    }
    let port = port_clash(held.ports, wanted.ports).trailing_zeros();
    let resource = Resource::ALL.iter().find(|r| **r as u32 == port).map_or("port", |r| r.name());
    CoreFaultKind::PortClash { resource, cycle }
}

/// Registers, writes in flight and stages to come.
pub(crate) struct State {
    /// Number of bundles issued; the bundle being issued has this number.
    pub now: u64,
    pub scalar: [u32; SCALARS],
    width: [u32; SCALARS],
    pub vector: Box<VectorFile>,
    pub init: Units,
    /// Counts what the set of written registers lost.
    pub epoch: u64,
    pub values: Box<[Wide; VALUES]>,
    /// Addresses, configuration words and shift amounts kept for later stages, per value slot.
    pub aux: Box<[[u32; 2]; VALUES]>,
    pub lands: Box<[List<Land, 32>; RING]>,
    /// What of the writes in flight a reader sees.
    pub present: Present,
    /// Bundle issued at each of the last times.
    history: [u32; RING],
    pub late: Box<[List<Late, 24>; RING]>,
    pub stores: Box<[List<Late, 8>; RING]>,
    /// An access outside the core's own memory was issued.
    pub reaches_out: bool,
    /// Vector instructions of the host.
    pub host: Host,
    /// Configuration word of the last integer multiply and its meaning.
    pub last_mode: CachedMode,
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
            vector: Box::new(VectorFile([0; 32 * PIECES])),
            init: Units::EMPTY,
            epoch: 0,
            values: Box::new([Wide([0; 128]); VALUES]),
            aux: Box::new([[0; 2]; VALUES]),
            lands: Box::new([List::new(land); RING]),
            present: Present::default(),
            history: [u32::MAX; RING],
            late: Box::new([List::new(late); RING]),
            stores: Box::new([List::new(late); RING]),
            reaches_out: false,
            host: Host::detect(),
            last_mode: CachedMode::first(),
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self, cycle: u8) -> usize {
        (self.now as usize + usize::from(cycle) - 1) % RING
    }

    // ---- checks -----------------------------------------------------------------------------------------------------

    /// Faults if a register whose part depends on a configuration value is not readable at issue without surprise.
    #[inline(always)]
    pub(crate) fn check_use(&self, plain: Units, mov: Units, seen: Seen<'_>) -> Result<(), CoreFaultKind> {
        self.check_init(1, plain, mov, Units::EMPTY)?;
        if seen.early_ok || self.present.all.and(plain.or(mov)).is_empty() {
            return Ok(());
        }
        match seen.flights.in_flight(1, plain, mov, Units::EMPTY) {
            Some((unit, bundles_short)) => {
                Err(CoreFaultKind::EarlyRead { register: units::name(unit), cycle: 1, bundles_short })
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
        // All vector pieces are in the third word of a set.
        let pieces = ((1u64 << src.n) - 1) << (src.unit - units::W);
        if pieces & !self.init.0[2] == 0 { Ok(()) } else { self.check_missing_source(cycle, src) }
    }

    #[cold]
    fn check_missing_source(&self, cycle: u8, src: VSrc) -> Result<(), CoreFaultKind> {
        let units = Units::run(src.unit, src.n);
        let of = |byp| if src.byp == byp { units } else { Units::EMPTY };
        self.check_missing(cycle, of(Byp::None), of(Byp::Mov), of(Byp::Vec))
    }

    /// As [`State::check_init`] for one register without a bypass.
    pub(crate) fn check_init_unit(&self, cycle: u8, unit: u8) -> Result<(), CoreFaultKind> {
        self.check_init(cycle, Units::one(unit), Units::EMPTY, Units::EMPTY)
    }

    #[cold]
    fn check_missing(&self, cycle: u8, plain: Units, mov: Units, vec: Units) -> Result<(), CoreFaultKind> {
        let missing = plain
            .or(mov.without(Units([0, 0, self.present.mov])))
            .or(vec.without(Units([0, 0, self.present.vec])))
            .without(self.init);
        match missing.lowest() {
            None => Ok(()),
            Some(unit) => Err(CoreFaultKind::Uninitialised { register: units::name(unit), cycle }),
        }
    }

    /// Faults if a register that the bundle reads at issue was never written.
    #[inline(always)]
    pub(crate) fn check_reads(&self, d: &Decoded) -> Result<(), CoreFaultKind> {
        if !d.reads_now.without(self.init).is_empty() {
            for u in d.uses.iter().filter(|u| u.cycle == 1) {
                self.check_init(1, u.plain, u.mov, u.vec)?;
            }
        }
        Ok(())
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
    pub(crate) fn read<const N: usize>(&self, src: VSrc, seen: Seen<'_>) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(self.vector.of(src.unit, N));
        if src.byp != Byp::None {
            self.forward(src, seen, &mut out);
        }
        out
    }

    #[inline(always)]
    fn forward<const N: usize>(&self, src: VSrc, seen: Seen<'_>, out: &mut [u8; N]) {
        let landing = if src.byp == Byp::Mov { self.present.mov } else { self.present.vec };
        if landing >> (src.unit - units::W) & ((1 << src.n) - 1) == 0 {
            return;
        }
        self.forward_found(src, seen, out);
    }

    fn forward_found<const N: usize>(&self, src: VSrc, seen: Seen<'_>, out: &mut [u8; N]) {
        let at = self.now as usize % RING;
        let mut deliver = |unit: u8, n: u8, value: usize| {
            for k in 0..n {
                let unit = unit + k;
                if unit >= src.unit && usize::from(unit - src.unit) * 32 < N {
                    let (to, from) = (usize::from(unit - src.unit) * 32, usize::from(k) * 32);
                    out[to..to + 32].copy_from_slice(&self.values[value].0[from..from + 32]);
                }
            }
        };
        for land in self.lands[at].as_slice() {
            if land.kind == LandKind::Pieces && land.byp == src.byp {
                deliver(land.unit, land.n, land.value as usize);
            }
        }
        for land in seen.landings() {
            if let Micro::Land { dst, n, byp, at } = *land
                && byp == src.byp
            {
                deliver(dst, n, self.value(at));
            }
        }
    }

    /// The value slot `back` behind those of the bundle that issues now.
    #[inline(always)]
    pub(crate) fn value(&self, back: Back) -> usize {
        ((self.now as u8).wrapping_mul(VALUES_PER_BUNDLE as u8).wrapping_sub(back.0)) as usize % VALUES
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
            let at = 32 * usize::from(unit - units::W);
            self.vector.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
        self.init.insert(unit);
    }

    /// Ends the current time along the edge of the bundle issued in it: lands its writes.
    #[inline(always)]
    pub(crate) fn commit(&mut self, index: u32, edge: &Edge, landings: &[Micro]) {
        let at = self.now as usize % RING;
        self.history[at] = index;
        self.init = self.init.or(edge.lands);
        for land in landings {
            let Micro::Land { dst, n, at, .. } = *land else { continue };
            let v = self.value(at);
            self.land_now(dst, n, v);
        }
        for i in 0..self.lands[at].len() {
            let land = self.lands[at].get(i);
            match land.kind {
                LandKind::Scalar => {
                    let u = usize::from(land.unit);
                    self.scalar[u] = land.value & self.width[u];
                }
                LandKind::Pieces => self.land_now(land.unit, land.n, land.value as usize % VALUES),
                LandKind::Undefined => self.forget(land.unit),
            }
        }
        self.lands[at].clear();
        self.present = edge.next;
        self.now += 1;
    }

    /// A register of the set that a bundle issued with or after the reader has written before the reader's `cycle`.
    pub(crate) fn overtaken(&self, bundles: &[Decoded], cycle: u8, units: Units) -> Option<u8> {
        (1..u64::from(cycle)).filter(|age| *age <= self.now).find_map(|age| {
            let index = self.history[(self.now - age) as usize % RING];
            let d = bundles.get(index as usize)?;
            d.claims.iter().filter(|c| u64::from(c.0) <= age).find_map(|(_, c)| c.all.and(units).lowest())
        })
    }

    /// The register's content is no longer known.
    pub(crate) fn forget(&mut self, unit: u8) {
        self.init.remove(unit);
        self.epoch += 1;
    }

    /// Whether stages of earlier operations fall on the present time.
    #[inline(always)]
    pub(crate) fn has_late(&self) -> bool {
        self.late[self.now as usize % RING].len() != 0
    }

    /// Whether memory is written at the present time.
    #[inline(always)]
    pub(crate) fn has_stores(&self) -> bool {
        self.stores[self.now as usize % RING].len() != 0
    }

    /// A vector result in the register file.
    #[inline(always)]
    fn land_now(&mut self, unit: u8, n: u8, value: usize) {
        let from = &self.values[value].0;
        match n {
            1 => self.vector.set::<32>(unit, from[..32].as_array().expect("32 bytes")),
            2 => self.vector.set::<64>(unit, from[..64].as_array().expect("64 bytes")),
            _ => self.vector.set(unit, from),
        }
    }

    /// Address of the bundle that a step of an earlier time belongs to; `now` for one of this time.
    #[cold]
    pub(crate) fn issued_at(&self, bundles: &[Decoded], step: &Micro, now: u32) -> u32 {
        let age = u64::from(step.age());
        let before = self.now.checked_sub(age).filter(|_| age > 0);
        let bundle = before.and_then(|t| bundles.get(self.history[t as usize % RING] as usize));
        bundle.map_or(now, |d| d.pc)
    }

    /// Whether writes or stages are still to come.
    pub(crate) fn draining(&self) -> bool {
        self.lands.iter().any(|l| l.len() != 0)
            || self.late.iter().any(|l| l.len() != 0)
            || self.stores.iter().any(|l| l.len() != 0)
    }
}
