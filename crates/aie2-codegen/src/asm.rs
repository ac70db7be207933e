//! The program builder.

use std::collections::HashMap;
use std::rc::Rc;

use aie2_isa::{Flags, OpId, Reg};

use crate::error::CodegenError;
use crate::ir::{IrOp, Item, OpNo, PipeIr, RawIr, RawLine, RawOp, Step, Trip, TripFix};
use crate::operand::{Class, Guards, Label, MemRef, Operand, VReg, View};
use crate::program::Program;
use crate::text::{self, Arg};
use crate::timed::{Piece, RawKey};

/// Builds one core program.
///
/// Operations are given in sequential order. Building never fails half-way: the first mistake is kept and reported by
/// [`Asm::finish`], so kernels read as plain lists of instructions.
#[derive(Debug, Default)]
pub struct Asm {
    pub(crate) classes: Vec<Class>,
    pub(crate) pins: HashMap<VReg, Reg>,
    pub(crate) labels: Vec<Rc<str>>,
    pub(crate) ops: Vec<IrOp>,
    pub(crate) items: Vec<Item>,
    pub(crate) pipes: Vec<PipeIr>,
    pub(crate) live_in: Vec<Reg>,
    pub(crate) reserved: Vec<Reg>,
    pub(crate) wide: bool,
    raw_ops: HashMap<RawKey, OpNo>,
    error: Option<CodegenError>,
    nesting: u32,
}

/// The labels of a zero-overhead loop whose set-up the author writes: first and last bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZolLabels {
    /// First bundle of the body (`ls`).
    pub first: Label,
    /// Last bundle of the body (`le`).
    pub last: Label,
}

macro_rules! vregs {
    ($($(#[$doc:meta])* $name:ident => $class:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self) -> Operand {
            self.vreg(Class::$class)
        }
    )*};
}

impl Asm {
    /// An empty program.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new virtual register.
    pub fn vreg(&mut self, class: Class) -> Operand {
        let vreg = VReg(self.classes.len() as u32);
        self.classes.push(class);
        Operand::Virtual(View { vreg, whole: class, class, first: 0 })
    }

    vregs! {
        /// A new scalar register.
        r => R,
        /// A new pointer.
        p => P,
        /// A new pointer modifier.
        m => M,
        /// A new dimension size.
        dn => Dn,
        /// A new dimension stride.
        dj => Dj,
        /// A new dimension count.
        dc => Dc,
        /// A new 2-D addressing group.
        d => D,
        /// A new 3-D addressing group.
        d3 => D3,
        /// A new shift register.
        s => S,
        /// A new pair of scalars.
        l => L,
        /// A new 256-bit vector.
        w => W,
        /// A new 512-bit vector.
        x => X,
        /// A new 1024-bit vector.
        y => Y,
        /// A new accumulator quarter.
        am => Am,
        /// A new accumulator half.
        bm => Bm,
        /// A new accumulator.
        cm => Cm,
    }

    /// Fixes the physical register of a whole virtual register.
    pub fn pin(&mut self, v: Operand, reg: Reg) {
        match v {
            Operand::Virtual(View { vreg, whole, class, .. }) if whole == class && class.registers().contains(&reg) => {
                self.pins.insert(vreg, reg);
            }
            _ => self.fail(CodegenError::OperandKind { text: format!("pin to {reg}"), index: 0 }),
        }
    }

    /// Keeps a physical register away from the allocator.
    pub fn reserve(&mut self, reg: Reg) {
        self.reserved.push(reg);
    }

    /// Declares that a physical register holds a meaningful value when the program starts.
    pub fn live_in(&mut self, reg: Reg) {
        self.live_in.push(reg);
    }

    /// Emits every bundle with 16 bytes. Costs program memory, saves nothing; used by tests that move instructions about.
    pub fn wide(&mut self, on: bool) {
        self.wide = on;
    }

    pub(crate) fn fail(&mut self, error: CodegenError) {
        self.error.get_or_insert(error);
    }

    // --- operations ---

    fn push_op(&mut self, op: OpId, args: Vec<Arg>, mem: MemRef, guards: Guards, text: &str) -> OpNo {
        let n = self.ops.len() as OpNo;
        if op.row().flags.contains(Flags::CALL) {
            self.fail(CodegenError::Call { text: text.to_owned() });
        }
        self.ops.push(IrOp { op, args, mem, guards: Rc::new(guards), text: text.into(), trip: None });
        if !op.row().is_nop() {
            self.items.push(Item::Step(Step::Op(n)));
        }
        n
    }

    fn push_text(&mut self, mem: MemRef, guards: Guards, text: &str, operands: &[Operand]) -> Option<OpNo> {
        match text::resolve(text, operands) {
            Ok((op, args)) => Some(self.push_op(op, args, mem, guards, text)),
            Err(e) => {
                self.fail(e);
                None
            }
        }
    }

    /// One instruction in llvm-aie syntax; each `{}` takes the next operand.
    pub fn i(&mut self, text: &str, operands: &[Operand]) {
        self.push_text(MemRef::ANY, Guards::All, text, operands);
    }

    /// A memory instruction with what it touches.
    pub fn mi(&mut self, mem: MemRef, text: &str, operands: &[Operand]) {
        self.push_text(mem, Guards::All, text, operands);
    }

    /// A lock instruction that orders only the given accesses.
    pub fn lock(&mut self, guards: Guards, text: &str, operands: &[Operand]) {
        self.push_text(MemRef::ANY, guards, text, operands);
    }

    /// An instruction by row name; operands in the order of `Row::given`.
    pub fn op(&mut self, row: &str, operands: &[Operand]) {
        self.op_m(MemRef::ANY, row, operands);
    }

    /// A memory instruction by row name.
    pub fn op_m(&mut self, mem: MemRef, row: &str, operands: &[Operand]) {
        let Some(op) = OpId::from_name(row) else {
            self.fail(CodegenError::NoSuchRow { name: row.to_owned() });
            return;
        };
        match text::by_row(op, operands) {
            Ok(args) => {
                self.push_op(op, args, mem, Guards::All, row);
            }
            Err(e) => self.fail(e),
        }
    }

    /// Declares the value of a register arbitrary from here on (the next reader does not care).
    pub fn undef(&mut self, v: Operand) {
        self.items.push(Item::Step(Step::Undef(v)));
    }

    // --- conveniences ---

    /// `dst = value`, by the shortest move that reaches: `mova` (11 bits) or `movxm` (32 bits).
    pub fn imm(&mut self, dst: Operand, value: i64) {
        if (-1024..1024).contains(&value) && text::resolve("mova {}, {}", &[dst, Operand::Imm(value)]).is_ok() {
            self.i("mova {}, {}", &[dst, Operand::Imm(value)]);
        } else {
            self.i("movxm {}, {}", &[dst, Operand::Imm(value)]);
        }
    }

    /// `dst = src` between scalar, pointer, modifier and control registers.
    pub fn mov(&mut self, dst: Operand, src: Operand) {
        self.i("mov {}, {}", &[dst, src]);
    }

    /// `dst = a + b`; `b` a register or a 7-bit immediate.
    pub fn add(&mut self, dst: Operand, a: Operand, b: Operand) {
        self.i("add {}, {}, {}", &[dst, a, b]);
    }

    /// 256-bit load by port A, pointer post-incremented by `step` bytes.
    pub fn vlda(&mut self, mem: MemRef, dst: Operand, p: Operand, step: i64) {
        self.mi(mem, "vlda {}, [{}], {}", &[dst, p, Operand::Imm(step)]);
    }

    /// 256-bit load by port B, pointer post-incremented by `step` bytes.
    pub fn vldb(&mut self, mem: MemRef, dst: Operand, p: Operand, step: i64) {
        self.mi(mem, "vldb {}, [{}], {}", &[dst, p, Operand::Imm(step)]);
    }

    /// 256-bit store, pointer post-incremented by `step` bytes.
    pub fn vst(&mut self, mem: MemRef, src: Operand, p: Operand, step: i64) {
        self.mi(mem, "vst {}, [{}], {}", &[src, p, Operand::Imm(step)]);
    }

    /// `acc += x * y` with configuration word `c`.
    pub fn vmac(&mut self, acc: Operand, x: Operand, y: Operand, c: Operand) {
        self.i("vmac {}, {}, {}, {}, {}", &[acc, acc, x, y, c]);
    }

    /// Acquires a lock: waits until it is at least `-value` (value < 0), then adds `value`.
    pub fn acq(&mut self, guards: Guards, id: u8, value: Operand) {
        self.lock(guards, "acq {}, {}", &[Operand::Imm(i64::from(id)), value]);
    }

    /// Releases a lock: adds `value`.
    pub fn rel(&mut self, guards: Guards, id: u8, value: Operand) {
        self.lock(guards, "rel {}, {}", &[Operand::Imm(i64::from(id)), value]);
    }

    /// Ends the program: `done` and the bundles in which it takes effect, then an endless loop.
    pub fn done(&mut self) {
        self.i("done", &[]);
        self.forever(|_| {});
    }

    // --- control flow ---

    /// A new label.
    pub fn label(&mut self, name: &str) -> Label {
        self.labels.push(name.into());
        Label(self.labels.len() as u32 - 1)
    }

    /// Places a label here.
    pub fn bind(&mut self, label: Label) {
        self.items.push(Item::Bind(label));
    }

    /// Continues at a label.
    pub fn jump(&mut self, to: Label) {
        self.i("j {}", &[to.into()]);
    }

    /// Continues at a label if the scalar register is not zero.
    pub fn jnz(&mut self, r: Operand, to: Label) {
        self.i("jnz {}, {}", &[r, to.into()]);
    }

    /// Continues at a label if the scalar register is zero.
    pub fn jz(&mut self, r: Operand, to: Label) {
        self.i("jz {}, {}", &[r, to.into()]);
    }

    /// Repeats the body without end.
    pub fn forever(&mut self, body: impl FnOnce(&mut Asm)) {
        let head = self.fresh("forever");
        self.bind(head);
        body(self);
        self.jump(head);
    }

    /// Runs `then` if the register is not zero.
    pub fn if_nz(&mut self, r: Operand, then: impl FnOnce(&mut Asm)) {
        let end = self.fresh("endif");
        self.jz(r, end);
        then(self);
        self.bind(end);
    }

    /// Runs `then` if the register is zero.
    pub fn if_z(&mut self, r: Operand, then: impl FnOnce(&mut Asm)) {
        let end = self.fresh("endif");
        self.jnz(r, end);
        then(self);
        self.bind(end);
    }

    /// Runs `then` if the register is not zero, else `otherwise`.
    pub fn if_else(&mut self, r: Operand, then: impl FnOnce(&mut Asm), otherwise: impl FnOnce(&mut Asm)) {
        let (other, end) = (self.fresh("else"), self.fresh("endif"));
        self.jz(r, other);
        then(self);
        self.jump(end);
        self.bind(other);
        otherwise(self);
        self.bind(end);
    }

    /// Runs the body `trip` times, counting in a scalar register; the body may contain anything.
    ///
    /// Two operations of overhead (`add`, `jnz`) plus delay slots that nothing fills.
    pub fn loop_n(&mut self, name: &str, trip: impl Into<Trip>, body: impl FnOnce(&mut Asm)) {
        let count = self.r();
        match trip.into() {
            Trip::Const(0) => self.fail(CodegenError::Trip { name: name.to_owned(), trip: 0 }),
            Trip::Const(n) => self.imm(count, i64::from(n)),
            Trip::Reg { reg, .. } => self.mov(count, reg),
        }
        let head = self.label(name);
        self.bind(head);
        body(self);
        self.add(count, count, Operand::Imm(-1));
        self.jnz(count, head);
    }

    fn fresh(&mut self, stem: &str) -> Label {
        self.nesting += 1;
        let name = format!("{stem}{}", self.nesting);
        self.label(&name)
    }

    /// A software-pipelined zero-overhead loop: one iteration starts every `ii` bundles.
    ///
    /// The body is straight-line code, one iteration in sequential order. It is an error if `ii` is not reached.
    pub fn pipelined(&mut self, name: &str, ii: u32, trip: impl Into<Trip>, body: impl FnOnce(&mut Asm)) {
        self.pipe(name, Some(ii), trip.into(), body);
    }

    /// A zero-overhead loop over straight-line code, pipelined as far as the scheduler gets; no bound is declared.
    pub fn zol(&mut self, name: &str, trip: impl Into<Trip>, body: impl FnOnce(&mut Asm)) {
        self.pipe(name, None, trip.into(), body);
    }

    fn pipe(&mut self, name: &str, ii: Option<u32>, trip: Trip, body: impl FnOnce(&mut Asm)) {
        if let Trip::Const(0) | Trip::Reg { min: 0, .. } = trip {
            self.fail(CodegenError::Trip { name: name.to_owned(), trip: 0 });
            return;
        }
        let labels = self.zol_labels(name);
        let pipe = self.pipes.len();
        self.set_up(trip, labels, Some(pipe));
        // Reserve the number: a loop inside the body is refused below, but must not take it.
        self.pipes.push(PipeIr {
            name: name.into(),
            ii,
            trip,
            body: Vec::new(),
            head: labels.first,
            last: labels.last,
        });
        let outer = std::mem::take(&mut self.items);
        body(self);
        let inner = std::mem::replace(&mut self.items, outer);
        let mut steps = Vec::with_capacity(inner.len());
        for item in inner {
            match item {
                Item::Step(s @ Step::Op(n)) if !self.ops[n as usize].is_branch() => steps.push(s),
                Item::Step(s @ Step::Undef(_)) => steps.push(s),
                _ => {
                    self.fail(CodegenError::NotStraight { name: name.to_owned() });
                    return;
                }
            }
        }
        self.pipes[pipe].body = steps;
        self.items.push(Item::Pipe(pipe));
    }

    /// Labels for the first and last bundle of a zero-overhead loop.
    pub fn zol_labels(&mut self, name: &str) -> ZolLabels {
        let last = format!("{name}.last");
        ZolLabels { first: self.label(name), last: self.label(&last) }
    }

    /// Writes lc, ls and le for a loop. At least 112 bytes of code must follow before the last bundle of the loop.
    pub fn zol_set_up(&mut self, trip: impl Into<Trip>, labels: ZolLabels) {
        self.set_up(trip.into(), labels, None);
    }

    fn set_up(&mut self, trip: Trip, labels: ZolLabels, pipe: Option<usize>) {
        let n = match trip {
            Trip::Const(n) => self.push_text(
                MemRef::ANY,
                Guards::All,
                "movxm {}, {}",
                &[Operand::reg("lc"), Operand::Imm(i64::from(n))],
            ),
            Trip::Reg { reg, .. } => {
                self.push_text(MemRef::ANY, Guards::All, "add.nc {}, {}, #0", &[Operand::reg("lc"), reg])
            }
        };
        if let Some(n) = n {
            self.ops[n as usize].trip = pipe.map(|pipe| TripFix { pipe });
        }
        for (reg, label) in [("ls", labels.first), ("le", labels.last)] {
            let n = self.push_text(MemRef::ANY, Guards::All, "movxm {}, {}", &[Operand::reg(reg), label.into()]);
            if let Some(n) = n {
                self.ops[n as usize].trip = pipe.map(|pipe| TripFix { pipe });
            }
        }
    }

    // --- raw code ---

    /// Appends bundles whose issue times are fixed. Pieces that follow each other directly stay adjacent.
    pub fn raw(&mut self, name: &str, piece: Piece) {
        let raw = self.raw_ir(name, piece, None);
        self.items.push(Item::Raw(raw));
    }

    /// A zero-overhead loop over fixed bundles, with its set-up in front.
    pub fn zol_raw(&mut self, name: &str, trip: impl Into<Trip>, piece: Piece) {
        let labels = self.zol_labels(name);
        self.zol_set_up(trip, labels);
        self.zol_body(name, labels, piece);
    }

    /// The body of a zero-overhead loop whose set-up the author placed elsewhere.
    pub fn zol_body(&mut self, name: &str, labels: ZolLabels, piece: Piece) {
        let raw = self.raw_ir(name, piece, Some((labels.first, labels.last)));
        self.items.push(Item::Raw(raw));
    }

    fn raw_ir(&mut self, name: &str, piece: Piece, zol: Option<(Label, Label)>) -> RawIr {
        if let Some(e) = piece.error {
            self.fail(e);
        }
        let mut vmacs = 0;
        let mut lines = Vec::with_capacity(piece.lines.len());
        // Two passes: expectations name operations that may be numbered later in the piece.
        let mut numbers: HashMap<RawKey, OpNo> = HashMap::new();
        for op in piece.lines.iter().flat_map(|l| &l.ops) {
            let n = self.raw_op_no(op);
            numbers.insert(op.key, n);
            vmacs +=
                u32::from(op.insn.row().mnemonic.starts_with("vmac") || op.insn.row().mnemonic.starts_with("vmul"));
        }
        for line in &piece.lines {
            let mut ops = Vec::with_capacity(line.ops.len());
            for op in &line.ops {
                let expect = op.expect.iter().map(|(a, e)| (*a, self.raw_expect(*e))).collect();
                ops.push(RawOp {
                    insn: op.insn,
                    op: numbers[&op.key],
                    timed: match op.key {
                        RawKey::Timed(uid, _) => Some(uid),
                        RawKey::Loose(_) => None,
                    },
                    seq: op.seq,
                    offset: op.offset,
                    label: op.label,
                    mem: op.mem,
                    guards: Rc::new(op.guards.clone()),
                    expect,
                });
            }
            lines.push(RawLine { ops, advance: line.advance });
        }
        RawIr { name: name.into(), lines, zol, vmacs }
    }

    fn raw_expect(&mut self, e: crate::timed::Expect) -> crate::ir::RawExpect {
        use crate::ir::RawExpect;
        use crate::timed::Expect;
        match e {
            Expect::Exact(key, part, offset) => RawExpect::Exact(self.raw_key_no(key), part, offset),
            Expect::ExactOrOutside(key, part, offset) => RawExpect::ExactOrOutside(self.raw_key_no(key), part, offset),
            Expect::ExactOrForeign(key, part, offset) => RawExpect::ExactOrForeign(self.raw_key_no(key), part, offset),
            Expect::Newest => RawExpect::Newest,
            Expect::Any => RawExpect::Any,
        }
    }

    fn raw_key_no(&mut self, key: RawKey) -> OpNo {
        if let Some(n) = self.raw_ops.get(&key) {
            return *n;
        }
        // The operation has not been emitted yet (a later piece contains it): reserve its number.
        let n = self.ops.len() as OpNo;
        let nop = OpId::from_name("NOP").expect("the table has the 2-byte nop");
        let (mem, guards, text) = (MemRef::ANY, Rc::new(Guards::All), Rc::from("raw"));
        self.ops.push(IrOp { op: nop, args: Vec::new(), mem, guards, text, trip: None });
        self.raw_ops.insert(key, n);
        n
    }

    fn raw_op_no(&mut self, op: &crate::timed::PieceOp) -> OpNo {
        let n = self.raw_key_no(op.key);
        let ir = &mut self.ops[n as usize];
        ir.text = op.insn.to_string().into();
        n
    }

    // --- end ---

    /// Allocates, schedules, emits and checks the program.
    ///
    /// # Errors
    /// The first mistake made while building, or what the compiler or the checker refuses.
    pub fn finish(mut self) -> Result<Program, CodegenError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        crate::emit::compile(self)
    }
}
