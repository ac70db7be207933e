//! Loops and branches: modulo-scheduled bodies, repeated and conditional code, as emitted and shuffled on purpose.
//!
//! ```text
//! repeat twice (if r21 { then } else { other }; hardware loop of r20 passes { body }; tail)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use aie2_codegen::check::{self, Mark, OpNo, OpNote, RegionNo, Verdict};
use aie2_codegen::{Asm, CodegenError, MemRef, Operand, Program, Trip};
use aie2_isa::{Atom, Bundle, File, Insn, Reg};
use aie2_sim::Fault;

use crate::generate::{self, Rng, live};
use crate::judge::{Count, Meaning, Subject, judge};
use crate::machine::{Code, Done, GRANULE, Sequential, Sources, Start};

/// Random programs; each is tried in a dozen schedules.
const PROGRAMS: u64 = 60;
/// Least number of passes, declared to the compiler, and the numbers tried beyond it.
const LEAST: u32 = 12;
const PASSES: [u32; 3] = [0, 1, 3];
const ROUNDS: u32 = 2;

/// Operations of one stretch of code, with their numbers.
type Stretch = Vec<(OpNo, Insn)>;

/// The program and its sequential meaning.
pub struct Looped {
    then: Stretch,
    other: Stretch,
    body: Stretch,
    tail: Stretch,
    meaning: Vec<Meaning>,
    ours: BTreeSet<OpNo>,
}

impl Subject for Looped {
    fn meaning(&self) -> &[Meaning] {
        &self.meaning
    }

    fn sequential(&self, start: &Start, inject: Sources) -> Result<Done, Fault> {
        let all: Stretch =
            [&self.then, &self.other, &self.body, &self.tail].into_iter().flat_map(|s| s.iter().copied()).collect();
        let mut machine = Sequential::new(start, &all, inject);
        let execute =
            |machine: &mut Sequential, list: &Stretch| list.iter().try_for_each(|(op, _)| machine.execute(*op));
        for _ in 0..ROUNDS {
            let which = if machine.scalar("r21") == 0 { &self.other } else { &self.then };
            execute(&mut machine, which)?;
            for _ in 0..machine.scalar("r20") {
                execute(&mut machine, &self.body)?;
            }
            execute(&mut machine, &self.tail)?;
        }
        Ok(machine.finish())
    }

    fn ours(&self, op: OpNo) -> bool {
        self.ours.contains(&op)
    }
}

/// A random operation whose address is the same in every execution.
fn fixed(rng: &mut Rng) -> Insn {
    loop {
        let insn = generate::insn(rng, false);
        let moves = |a: &Atom| matches!(a.file(), File::P | File::M | File::Dn | File::Dj | File::Dc);
        if !insn.timing().defs().iter().any(|d| d.reg.atoms().iter().any(moves)) {
            return insn;
        }
    }
}

fn stretch(rng: &mut Rng, n: usize) -> Vec<Insn> {
    (0..n).map(|_| fixed(rng)).collect()
}

/// Contents with a number of passes, and either way of the branch.
pub fn start(seed: u64, data: u64) -> Start {
    let mut start = generate::start(seed, data);
    let mut set = |name: &str, value: u32| {
        let reg = Reg::from_name(name).expect("a register");
        let found = start.registers.iter_mut().find(|(a, _)| a.reg() == reg);
        found.expect("it holds something").1 = value.to_le_bytes().to_vec();
    };
    set("r20", LEAST + PASSES[data as usize % PASSES.len()]);
    set("r21", (data & 1) as u32);
    set("r22", ROUNDS);
    start
}

/// Addresses and what they are to the compiler: accesses overlap in every execution or in none.
fn memory(done: &Done) -> Option<BTreeMap<OpNo, MemRef>> {
    let granules: BTreeMap<OpNo, BTreeSet<u32>> =
        done.accesses.iter().map(|(op, list)| (*op, list.iter().map(|(a, _)| a / GRANULE).collect())).collect();
    let all = || granules.iter().flat_map(|(a, x)| granules.iter().map(move |(b, y)| (a, x, b, y)));
    let sound = all().all(|(a, x, b, y)| a == b || x.is_disjoint(y) || (x == y && x.len() == 1));
    let space = |g: &BTreeSet<u32>| MemRef::space((g.first().copied().unwrap_or(0) % 0x800) as u16 + 1);
    sound.then(|| granules.iter().map(|(op, g)| (*op, space(g))).collect())
}

impl Looped {
    /// A random program and what the compiler makes of it; `None` if it does something undefined or reaches no schedule.
    fn random(seed: u64) -> Option<(Looped, Program)> {
        let mut rng = Rng(seed ^ 0x100b);
        let n = [2, 2, 4 + rng.below(8), 2].map(|n| stretch(&mut rng, n));
        let [then, other, mut body, tail] = n;
        // Streams: one load and one store that walk, each through a region of its own.
        for text in ["vlda wl0, [p6], #32", "vst wh1, [p7], #32"] {
            if rng.below(2) == 0 {
                body.insert(rng.below(body.len()), Insn::parse(text).expect("an instruction"));
            }
        }
        match Looped::new([then, other, body, tail], |data| start(seed, data))? {
            Ok(both) => Some(both),
            Err(CodegenError::TripBelowStages { .. } | CodegenError::IiMissed { .. }) => None,
            Err(e) => panic!("program {seed}: {e}"),
        }
    }

    /// A program of these stretches (then, other, body, tail) and what the compiler makes of it; `None` if it does something undefined.
    pub fn new(
        [then, other, body, mut tail]: [Vec<Insn>; 4],
        start: impl Fn(u64) -> Start,
    ) -> Option<Result<(Looped, Program), CodegenError>> {
        let all: Vec<Insn> = [&then, &other, &body, &tail].into_iter().flatten().copied().collect();
        tail.extend(generate::observers(&all));
        // The numbers the compiler gives: jz, then, j, other, three for the loop's set-up, body, tail.
        let mut next: OpNo = 0;
        let mut number = |gap: OpNo, list: &[Insn]| -> Stretch {
            next += gap;
            let out = (next..).zip(list.iter().copied()).collect();
            next += list.len() as OpNo;
            out
        };
        let (then, other) = (number(1, &then), number(1, &other));
        let (body, tail) = (number(3, &body), number(0, &tail));
        let ours = [&then, &other, &body, &tail].into_iter().flatten().map(|(op, _)| *op).collect();
        let mut out = Looped { then, other, body, tail, meaning: Vec::new(), ours };
        let mut spaces: BTreeMap<OpNo, MemRef> = BTreeMap::new();
        for data in 0..PASSES.len() as u64 {
            let start = start(data);
            let done = out.sequential(&start, Sources::new()).ok()?;
            spaces.extend(memory(&done)?);
            out.meaning.push(Meaning::new(start, done));
        }
        Some(out.compile(&spaces).map(|program| (out, program)))
    }

    fn compile(&self, spaces: &BTreeMap<OpNo, MemRef>) -> Result<Program, CodegenError> {
        let mut asm = Asm::new();
        asm.wide(true);
        Atom::all().filter(|a| live(*a)).for_each(|a| asm.live_in(a.reg()));
        let put = |asm: &mut Asm, list: &Stretch| {
            for (op, insn) in list {
                asm.mi(spaces.get(op).copied().unwrap_or(MemRef::ANY), &insn.to_string(), &[]);
            }
        };
        let r = Operand::reg;
        let again = asm.label("again");
        asm.bind(again);
        asm.if_else(r("r21"), |asm| put(asm, &self.then), |asm| put(asm, &self.other));
        asm.zol("body", Trip::Reg { reg: r("r20"), min: LEAST }, |asm| put(asm, &self.body));
        put(&mut asm, &self.tail);
        // Without carry: what counts the rounds leaves nothing behind.
        asm.i("add.nc r22, r22, #-1", &[]);
        asm.jnz(r("r22"), again);
        asm.done();
        asm.finish()
    }
}

/// Bundles of a program, certificate entries and all, the region each belongs to, and the stretch between frame marks.
pub struct Bundles {
    pub lines: Vec<Vec<(Insn, OpNote)>>,
    region: Vec<RegionNo>,
    frame: Vec<usize>,
}

impl Bundles {
    pub fn of(p: &Program) -> Bundles {
        let line = |l: &aie2_codegen::Line| {
            let notes = p.certificate.bundles.get(&l.pc).map_or(&[][..], |n| &n.ops);
            let of = |insn: &Insn| notes.iter().find(|n| n.slot == insn.slot()).map(|n| (*insn, n.clone()));
            l.bundle.iter().filter_map(of).collect()
        };
        let (mut entered, mut stretch, mut end) = (0, 0, false);
        let (mut region, mut frame) = (Vec::new(), Vec::new());
        for l in &p.lines {
            let marks = p.certificate.bundles.get(&l.pc).map_or(&[][..], |n| &n.marks);
            stretch += usize::from(end || !marks.is_empty());
            end = p.symbols.get("body.last") == Some(&l.pc);
            for mark in marks {
                if let Mark::Enter { region, .. } = mark {
                    entered = *region;
                }
            }
            region.push(entered);
            frame.push(stretch);
        }
        Bundles { lines: p.lines.iter().map(line).collect(), region, frame }
    }

    /// One change among the first `n` bundles, inside a region: a certificate has no words for an operation that changes its region. `false`
    /// if nothing changed.
    fn shuffle(&mut self, rng: &mut Rng, n: usize) -> bool {
        let full: Vec<usize> = (0..n).filter(|i| !self.lines[*i].is_empty()).collect();
        let i = rng.pick(&full);
        let by = 1 + rng.below(4);
        let j = if rng.below(2) == 0 { i.checked_sub(by) } else { Some(i + by).filter(|j| *j < n) };
        // Nor for a copy that leaves the prologue of a loop and joins its epilogue.
        let near = |j: &usize| self.region[*j] == self.region[i] && self.frame[*j].abs_diff(self.frame[i]) < 2;
        let Some(j) = j.filter(near) else { return false };
        match rng.below(6) {
            0..4 => {
                let k = rng.below(self.lines[i].len());
                let insns: Vec<Insn> = self.lines[j].iter().map(|(x, _)| *x).chain([self.lines[i][k].0]).collect();
                if Bundle::with(&insns).is_err() {
                    return false;
                }
                let moved = self.lines[i].remove(k);
                self.lines[j].push(moved);
            }
            4 => self.lines.swap(i, j),
            _ => {
                let k = rng.below(self.lines[i].len());
                let slot = self.lines[i][k].0.slot();
                let Some(m) = self.lines[j].iter().position(|(x, _)| x.slot() == slot) else { return false };
                let (one, other) = (self.lines[i][k].clone(), self.lines[j][m].clone());
                (self.lines[i][k], self.lines[j][m]) = (other, one);
            }
        }
        true
    }

    /// Copies of one operation are the same instruction: whichever of them comes first executes the earlier iteration.
    fn number(&mut self) {
        let mut copies: BTreeMap<(usize, OpNo), Vec<(usize, usize)>> = BTreeMap::new();
        for (i, line) in self.lines.iter().enumerate() {
            for (k, (_, note)) in line.iter().enumerate() {
                copies.entry((self.frame[i], note.op)).or_default().push((i, k));
            }
        }
        for places in copies.values() {
            let mut notes: Vec<OpNote> = places.iter().map(|(i, k)| self.lines[*i][*k].1.clone()).collect();
            notes.sort_by_key(|n| n.iteration);
            places.iter().zip(notes).for_each(|((i, k), note)| self.lines[*i][*k].1 = note);
        }
    }

    pub fn code(&self, p: &Program) -> Code {
        let (mut bytes, mut certificate) = (Vec::new(), p.certificate.clone());
        for (l, line) in p.lines.iter().zip(&self.lines) {
            let bundle = Bundle::with(&line.iter().map(|(x, _)| *x).collect::<Vec<_>>()).expect("one per slot");
            bytes.extend_from_slice(&bundle.encode_at_least(16).expect("16 bytes hold every slot"));
            certificate.bundles.entry(l.pc).or_default().ops = line.iter().map(|(_, n)| n.clone()).collect();
        }
        assert_eq!(bytes.len(), p.bytes.len());
        Code { bytes, entry: p.entry, certificate }
    }
}

#[test]
fn checker_and_simulator_agree_on_loops_and_branches() {
    let (mut count, began) = (Count::default(), Instant::now());
    let (mut pipelined, mut stages) = (0, BTreeSet::new());
    for seed in 0..PROGRAMS {
        let Some((subject, program)) = Looped::random(seed) else {
            count.undefined += 1;
            continue;
        };
        pipelined += usize::from(program.loops[0].pc.is_some());
        stages.insert(program.loops[0].stages);
        let plain = Bundles::of(&program).code(&program);
        let verdict = Ok(Verdict { early_reads: program.early_reads.clone(), bundles: 0 });
        judge(&subject, &plain, &verdict, &mut count, &format!("loop {seed}, as emitted"));
        let mut rng = Rng(seed ^ 0x5eed);
        // The end of the program stays where it is: `done` and the endless loop behind it.
        let end = program.lines.iter().position(|l| l.bundle.iter().any(|x| x.row().mnemonic == "done"));
        for round in 0..12 {
            let mut lines = Bundles::of(&program);
            let code = loop {
                if lines.shuffle(&mut rng, end.expect("a program ends")) {
                    lines.number();
                    let code = lines.code(&program);
                    if code.bytes != program.bytes {
                        break code;
                    }
                }
            };
            let verdict = check::check(&code.bytes, code.entry, &code.certificate);
            judge(&subject, &code, &verdict, &mut count, &format!("loop {seed}, round {round}"));
        }
    }
    println!("loops and branches, {:.1?}: {pipelined} hardware loops of {stages:?} stages; {count}", began.elapsed());
    assert!(count.undefined * 2 <= PROGRAMS as usize && pipelined >= 20 && stages.iter().any(|s| *s > 2), "{count}");
    assert!(count.legal >= count.programs / 8 && count.illegal >= count.programs / 3, "{count}");
    for rule in ["wrong value", "coverage", "loop distance", "region in delay slots", "unit clash", "write clash"] {
        assert!(count.by_rule.get(rule).is_some_and(|row| row.iter().sum::<usize>() >= 4), "{rule}: {count}");
    }
    assert!(count.all_excused() * 10 <= count.illegal, "{count}");
}
