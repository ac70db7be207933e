//! Code whose author pins every issue time: software-pipelined loops and loose bundles.
//!
//! A [`Timed`] loop is one iteration with absolute issue times; instance `i` of the iteration starts at bundle `i * ii`. An operation at
//! time `t` belongs to stage `t / ii`. The loop unrolls into *windows* of `ii` bundles: in a window, stage `s` executes the iteration
//! that started `s` windows earlier.
//!
//! ```text
//!            window 0      window 1      window 2      window 3
//! iter 0     stage 0       stage 1
//! iter 1                   stage 0       stage 1
//! iter 2                                 stage 0       stage 1
//!            ramp(0..1)    steady()      steady()      ramp(1..2)
//! ```
//!
//! The sequential meaning is: iterations one after the other, inside an iteration the operations in the order in which they were added.
//! Every window carries, for each source, the definition that order implies; the checker verifies that this definition arrives.

use std::sync::atomic::{AtomicU32, Ordering};

use aie2_isa::{Atom, Bundle, File, Insn, Slot, Stage as UnitStage, StageKind};

use crate::error::CodegenError;
use crate::operand::{Guards, Label, MemRef, Operand};
use crate::text::{self, Arg};

/// Name of a raw operation: which piece of source it is, the same in every window that repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RawKey {
    Timed(u32, u32),
    Loose(u32),
}

/// See [`crate::ir::RawExpect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Exact(RawKey, u8, i16),
    ExactOrOutside(RawKey, u8, i16),
    ExactOrForeign(RawKey, u8, i16),
    Newest,
    Any,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn fresh() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One instruction with physical registers, for fixed bundles.
#[derive(Debug, Clone)]
pub struct RawInsn {
    pub(crate) insn: Insn,
    pub(crate) label: Option<Label>,
    pub(crate) mem: MemRef,
    pub(crate) guards: Guards,
    pub(crate) early: bool,
}

impl RawInsn {
    /// From text with placeholders; operands are physical registers, immediates or a label.
    ///
    /// # Errors
    /// If the text or an operand does not fit, or an operand is virtual.
    pub fn new(text: &str, operands: &[Operand]) -> Result<RawInsn, CodegenError> {
        if let Some(index) = operands.iter().position(|o| matches!(o, Operand::Virtual(_))) {
            return Err(CodegenError::OperandKind { text: text.to_owned(), index });
        }
        let (op, args) = text::resolve(text, operands)?;
        let mut label = None;
        let mut given = Vec::new();
        for (def, arg) in op.row().operands.iter().zip(&args).filter(|(d, _)| d.is_given()) {
            given.push(match arg {
                Arg::Given(Operand::Physical(r)) => aie2_isa::Value::Reg(*r),
                Arg::Given(Operand::Imm(v)) => aie2_isa::Value::Imm(*v),
                Arg::Given(Operand::Label(l)) => {
                    label = Some(*l);
                    aie2_isa::Value::Imm(0)
                }
                Arg::Given(_) | Arg::Fixed(_) | Arg::Implied { .. } => {
                    return Err(CodegenError::OperandKind { text: format!("{text}: {}", def.name), index: 0 });
                }
            });
        }
        let insn =
            Insn::new(op, &given).map_err(|source| CodegenError::Isa { text: text.to_owned(), op: 0, source })?;
        Ok(RawInsn { insn, label, mem: MemRef::ANY, guards: Guards::All, early: false })
    }

    /// What a memory instruction touches.
    #[must_use]
    pub fn mem(self, mem: MemRef) -> RawInsn {
        RawInsn { mem, ..self }
    }

    /// Which accesses a lock instruction orders.
    #[must_use]
    pub fn guards(self, guards: Guards) -> RawInsn {
        RawInsn { guards, ..self }
    }

    /// Declares that its sources may be read early: whatever value arrives is meant.
    #[must_use]
    pub fn early(self) -> RawInsn {
        RawInsn { early: true, ..self }
    }
}

impl From<Insn> for RawInsn {
    fn from(insn: Insn) -> Self {
        RawInsn { insn, label: None, mem: MemRef::ANY, guards: Guards::All, early: false }
    }
}

/// One operation of a [`Piece`].
#[derive(Debug, Clone)]
pub(crate) struct PieceOp {
    pub(crate) insn: Insn,
    pub(crate) key: RawKey,
    pub(crate) seq: u32,
    pub(crate) offset: i16,
    pub(crate) label: Option<Label>,
    pub(crate) mem: MemRef,
    pub(crate) guards: Guards,
    pub(crate) expect: Vec<(Atom, Expect)>,
}

/// One bundle of a [`Piece`].
#[derive(Debug, Clone, Default)]
pub(crate) struct PieceLine {
    pub(crate) ops: Vec<PieceOp>,
    pub(crate) advance: Option<u32>,
}

/// A sequence of bundles with fixed issue times.
#[derive(Debug, Default)]
pub struct Piece {
    pub(crate) lines: Vec<PieceLine>,
    pub(crate) error: Option<CodegenError>,
}

impl Piece {
    /// `bundles` empty bundles.
    #[must_use]
    pub fn new(bundles: usize) -> Piece {
        Piece { lines: vec![PieceLine::default(); bundles], error: None }
    }

    /// Number of bundles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True without bundles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a loose operation in bundle `t`; the piece grows if it is shorter. Its sources read the newest value issued before it.
    #[must_use]
    pub fn extra(mut self, t: usize, op: impl Into<RawInsn>) -> Piece {
        let op = op.into();
        if self.lines.len() <= t {
            self.lines.resize_with(t + 1, PieceLine::default);
        }
        let expect = if op.early { Expect::Any } else { Expect::Newest };
        let mut atoms: Vec<Atom> = op.insn.timing().uses().iter().flat_map(|a| a.reg.atoms()).copied().collect();
        atoms.sort_unstable();
        atoms.dedup();
        let key = RawKey::Loose(fresh());
        let piece_op = PieceOp {
            insn: op.insn,
            key,
            seq: 0,
            offset: 0,
            label: op.label,
            mem: op.mem,
            guards: op.guards,
            expect: atoms.into_iter().map(|a| (a, expect)).collect(),
        };
        self.insert(t, piece_op);
        self
    }

    /// Adds several loose operations.
    #[must_use]
    pub fn with_extras<I: Into<RawInsn>>(self, extras: impl IntoIterator<Item = (usize, I)>) -> Piece {
        extras.into_iter().fold(self, |piece, (t, op)| piece.extra(t, op))
    }

    /// The bundles of both, one after the other.
    #[must_use]
    pub fn then(mut self, next: Piece) -> Piece {
        self.lines.extend(next.lines);
        self.error = self.error.or(next.error);
        self
    }

    /// This piece `n` times.
    #[must_use]
    pub fn times(self, n: usize) -> Piece {
        let lines = std::iter::repeat_n(&self.lines, n).flatten().cloned().collect();
        Piece { lines, error: self.error }
    }

    /// Slots that are still free in bundle `t`.
    #[must_use]
    pub fn free(&self, t: usize) -> Vec<Slot> {
        let bundle = self.bundle(t);
        Slot::ALL.into_iter().filter(|s| *s != Slot::Nop && bundle.is_free(*s)).collect()
    }

    fn bundle(&self, t: usize) -> Bundle {
        let mut bundle = Bundle::new();
        for op in self.lines.get(t).map_or(&[][..], |l| &l.ops) {
            // Slot clashes were recorded when the operation was added.
            let _ = bundle.insert(op.insn);
        }
        bundle
    }

    fn insert(&mut self, t: usize, op: PieceOp) {
        let mut bundle = self.bundle(t);
        if let Err(source) = bundle.insert(op.insn) {
            let text = format!("{} in bundle {t}", op.insn);
            self.error.get_or_insert(CodegenError::Isa { text, op: 0, source });
        }
        self.lines[t].ops.push(op);
    }
}

/// Index of an operation of a [`Timed`] loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimedOp(u32);

/// A changed iteration, see [`Timed::variant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant(u32);

/// What a stage executes in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: no iteration started at that time.
    Off,
    /// The iteration as written.
    On,
    /// A changed iteration.
    As(Variant),
}

#[derive(Debug, Clone)]
struct Entry {
    t: u32,
    raw: RawInsn,
    /// Executed only in variants that name it.
    optional: bool,
}

/// A software-pipelined loop with pinned issue times.
#[derive(Debug)]
pub struct Timed {
    uid: u32,
    name: String,
    ii: u32,
    /// Stages from here on may belong to iterations that never began.
    primed: u32,
    entries: Vec<Entry>,
    variants: Vec<Vec<(TimedOp, Option<RawInsn>)>>,
}

impl Timed {
    /// An empty loop with one iteration every `ii` bundles (`ii` >= 1).
    #[must_use]
    pub fn new(name: &str, ii: u32) -> Timed {
        Timed {
            uid: fresh(),
            name: name.to_owned(),
            ii: ii.max(1),
            primed: u32::MAX,
            entries: Vec::new(),
            variants: Vec::new(),
        }
    }

    /// Initiation interval.
    #[must_use]
    pub fn ii(&self) -> u32 {
        self.ii
    }

    /// Number of stages.
    #[must_use]
    pub fn stages(&self) -> u32 {
        self.entries.iter().map(|e| e.t / self.ii + 1).max().unwrap_or(1)
    }

    /// Declares that stages from `stage` on are executed before any iteration has come so far. What they then read was left by something else: the
    /// author has filled these registers with values whose effects do no harm. A result of another iteration than the meant one stays an error.
    pub fn primed_from(&mut self, stage: u32) {
        self.primed = stage;
    }

    /// Pins an operation at time `t`. Operations are added in the sequential order of one iteration, which need not be the order of times.
    ///
    /// # Errors
    /// If it needs a slot, unit or bank that another operation of the loop has in the same cycle modulo ii.
    pub fn at(&mut self, t: u32, op: impl Into<RawInsn>) -> Result<TimedOp, CodegenError> {
        self.pin(t, op.into(), false)
    }

    /// Pins an operation that only variants execute (a store of the last iteration, say): [`Timed::variant`] has to name it. It must not
    /// clash with the operations of every iteration; among optional ones only the same absolute cycle counts.
    ///
    /// # Errors
    /// As [`Timed::at`].
    pub fn optional(&mut self, t: u32, op: impl Into<RawInsn>) -> Result<TimedOp, CodegenError> {
        self.pin(t, op.into(), true)
    }

    fn pin(&mut self, t: u32, raw: RawInsn, optional: bool) -> Result<TimedOp, CodegenError> {
        for e in &self.entries {
            // Times without wrap-around: an interval longer than any program.
            let ii = if optional && e.optional { 1 << 24 } else { self.ii };
            if let Some((on, modulo)) = clash(ii, (e.t, &e.raw), (t, &raw)) {
                return Err(CodegenError::TimedClash {
                    name: self.name.clone(),
                    first: e.raw.insn.to_string(),
                    second: raw.insn.to_string(),
                    t,
                    on,
                    modulo: modulo % self.ii,
                });
            }
        }
        self.entries.push(Entry { t, raw, optional });
        Ok(TimedOp(self.entries.len() as u32 - 1))
    }

    /// Declares a changed iteration: some operations replaced (same time), left out (`None`), or executed at all (optional ones).
    pub fn variant<I: Into<RawInsn>>(&mut self, changes: impl IntoIterator<Item = (TimedOp, Option<I>)>) -> Variant {
        self.variants.push(changes.into_iter().map(|(op, i)| (op, i.map(Into::into))).collect());
        Variant(self.variants.len() as u32 - 1)
    }

    /// All stages as written.
    #[must_use]
    pub fn steady(&self) -> Piece {
        self.window(&vec![Stage::On; self.stages() as usize])
    }

    /// Only the given stages as written: `0..1` is the first window of a run, `1..stages` the first after its end.
    #[must_use]
    pub fn ramp(&self, stages: std::ops::Range<u32>) -> Piece {
        let sel: Vec<Stage> =
            (0..self.stages()).map(|s| if stages.contains(&s) { Stage::On } else { Stage::Off }).collect();
        self.window(&sel)
    }

    /// One window: stage `s` executes as `sel[s]` says; missing entries are off.
    #[must_use]
    pub fn window(&self, sel: &[Stage]) -> Piece {
        let active = |s: usize| sel.get(s).copied().unwrap_or(Stage::Off) != Stage::Off;
        let mut piece = Piece::new(self.ii as usize);
        piece.lines[0].advance = active(0).then_some(self.uid);
        for (i, e) in self.entries.iter().enumerate() {
            let s = (e.t / self.ii) as usize;
            let stage = sel.get(s).copied().unwrap_or(Stage::Off);
            let Some(raw) = self.selected(i, stage) else { continue };
            // Iterations that started after this one, this window included.
            let offset = -((0..s).filter(|k| active(*k)).count() as i16);
            let expect = self.expectations(i, raw, stage, offset);
            let op = PieceOp {
                insn: raw.insn,
                key: RawKey::Timed(self.uid, i as u32),
                seq: i as u32,
                offset,
                label: raw.label,
                mem: raw.mem,
                guards: raw.guards.clone(),
                expect,
            };
            piece.insert((e.t % self.ii) as usize, op);
        }
        piece
    }

    fn selected(&self, i: usize, stage: Stage) -> Option<&RawInsn> {
        let entry = &self.entries[i];
        let base = (!entry.optional).then_some(&entry.raw);
        match stage {
            Stage::Off => None,
            Stage::On => base,
            Stage::As(v) => match self.variants.get(v.0 as usize)?.iter().find(|(op, _)| op.0 as usize == i) {
                Some((_, change)) => change.as_ref(),
                None => base,
            },
        }
    }

    /// For each atom read: the last operation before it in the same iteration that writes the atom, else the last one of the iteration
    /// before (or a value from outside, when there is no such iteration).
    fn expectations(&self, i: usize, raw: &RawInsn, stage: Stage, offset: i16) -> Vec<(Atom, Expect)> {
        // Which result of operation `k` the atom is, if any.
        let writes = |k: usize, stage: Stage, atom: Atom| -> Option<u8> {
            let timing = self.selected(k, stage)?.insn.timing();
            timing.defs().iter().flat_map(|d| d.reg.atoms()).position(|a| *a == atom).map(|part| part as u8)
        };
        let mut out: Vec<(Atom, Expect)> = Vec::new();
        for atom in raw.insn.timing().uses().iter().flat_map(|u| u.reg.atoms()).copied() {
            if out.iter().any(|(a, _)| *a == atom) {
                continue;
            }
            let expect = if raw.early {
                Expect::Any
            } else if let Some((k, part)) = (0..i).rev().find_map(|k| Some((k, writes(k, stage, atom)?))) {
                let key = RawKey::Timed(self.uid, k as u32);
                if self.entries[i].t / self.ii >= self.primed {
                    Expect::ExactOrForeign(key, part, offset)
                } else {
                    Expect::Exact(key, part, offset)
                }
            } else if let Some((k, part)) =
                (i..self.entries.len()).rev().find_map(|k| Some((k, writes(k, Stage::On, atom)?)))
            {
                Expect::ExactOrOutside(RawKey::Timed(self.uid, k as u32), part, offset - 1)
            } else {
                Expect::Newest
            };
            out.push((atom, expect));
        }
        out
    }
}

/// Resource clash of two operations of a modulo schedule: what they share, and in which modulo cycle.
fn clash(ii: u32, (t1, a): (u32, &RawInsn), (t2, b): (u32, &RawInsn)) -> Option<(String, u32)> {
    let (s1, s2) = (a.insn.slot(), b.insn.slot());
    let long = |x: Slot, y: Slot| x == Slot::Lng && matches!(y, Slot::Alu | Slot::Mv);
    if t1 % ii == t2 % ii && (s1 == s2 || long(s1, s2) || long(s2, s1)) {
        return Some((format!("slot {s2}"), t2 % ii));
    }
    let cycles = |t: u32, s: &UnitStage| {
        let first = t + u32::from(s.first_cycle) - 1;
        (first..first + u32::from(s.cycles)).map(move |c| c % ii).collect::<Vec<_>>()
    };
    for x in a.insn.timing().stages() {
        for y in b.insn.timing().stages().iter().filter(|y| y.resource == x.resource) {
            if x.kind == StageKind::Reserve && y.kind == StageKind::Reserve {
                continue;
            }
            let taken = cycles(t1, x);
            if let Some(c) = cycles(t2, y).into_iter().find(|c| taken.contains(c)) {
                return Some((x.resource.to_string(), c));
            }
        }
    }
    if let (Some(p), Some(q)) = (a.mem.bank, b.mem.bank)
        && p == q
    {
        let at = |t: u32, r: &RawInsn| -> Vec<u32> {
            r.insn.timing().memory_cycles().iter().map(|c| (t + u32::from(*c) - 1) % ii).collect()
        };
        let taken = at(t1, a);
        if let Some(c) = at(t2, b).into_iter().find(|c| taken.contains(c)) {
            return Some((format!("bank {p}"), c));
        }
    }
    None
}

/// True for registers whose writes accumulate (sticky flags): order among them does not matter.
pub(crate) fn is_sticky(atom: Atom) -> bool {
    atom.file() == File::Sr && !matches!(atom.reg().name(), "srCarry" | "srSS0" | "srMS0")
}
