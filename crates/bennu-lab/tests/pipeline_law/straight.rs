//! Straight code: scheduled by the compiler, placed by hand, and both shuffled on purpose.

use std::collections::BTreeMap;
use std::time::Instant;

use aie2_codegen::check::{self, CheckError, OpNo, Verdict};
use aie2_codegen::{Asm, Guards, MemRef};
use aie2_isa::{Atom, Flags, Insn};
use aie2_sim::Fault;

use crate::generate::{self, Rng, live};
use crate::machine::{Code, Early, GRANULE, Ran, Sequential, Sources, Start, Trace};
use crate::placement::{Lines, Planned, by_hand, code, shuffle};

/// Random contents every program runs with.
const DATA_SETS: u64 = 2;

/// A sequential program and what it means.
struct Subject {
    ops: Vec<Planned>,
    meaning: Vec<Meaning>,
}

/// One run of the sequential machine.
struct Meaning {
    start: Start,
    trace: Trace,
    sources: Sources,
    silent: Vec<OpNo>,
}

fn sequential(
    ops: &[Planned],
    start: &Start,
    inject: Sources,
) -> Result<(Trace, Sources, BTreeMap<OpNo, Vec<(u32, bool)>>), Fault> {
    let list: Vec<(OpNo, Insn)> = ops.iter().map(|p| (p.op, p.insn)).collect();
    let mut machine = Sequential::new(start, &list);
    machine.inject = inject;
    list.iter().try_for_each(|(op, _)| machine.execute(*op))?;
    Ok(machine.finish())
}

impl Subject {
    /// `None` if the operations do something undefined on these contents.
    fn new(seed: u64) -> Option<Subject> {
        let mut rng = Rng(seed);
        let n = 8 + rng.below(40);
        let locks = rng.below(3) == 0;
        let mut insns: Vec<Insn> = (0..n).map(|_| generate::insn(&mut rng, locks)).collect();
        insns.extend(generate::observers(&insns));
        let mut ops: Vec<Planned> =
            (0..).zip(&insns).map(|(op, insn)| Planned { op, insn: *insn, mem: MemRef::ANY }).collect();
        let (mut meaning, mut addresses) = (Vec::new(), BTreeMap::new());
        for data in 0..DATA_SETS {
            let start = generate::start(seed, data);
            let (trace, sources, accesses) = sequential(&ops, &start, Sources::new()).ok()?;
            let silent = accesses.iter().filter(|(_, list)| list.iter().all(|(_, s)| *s)).map(|(op, _)| *op).collect();
            addresses = accesses.iter().map(|(op, list)| (*op, list[0].0)).collect();
            meaning.push(Meaning { start, trace, sources, silent });
        }
        for p in &mut ops {
            if let Some(addr) = addresses.get(&p.op) {
                p.mem = MemRef::space((addr / GRANULE % 0x800) as u16 + 1).in_bank((addr >> 14 & 3) as u8);
            }
        }
        Some(Subject { ops, meaning })
    }

    /// Bundles as the scheduler of the compiler places them.
    fn scheduled(&self) -> (Code, Vec<u32>, Lines) {
        let mut asm = Asm::new();
        Atom::all().filter(|a| live(*a)).for_each(|a| asm.live_in(a.reg()));
        for p in &self.ops {
            let text = p.insn.to_string();
            if p.insn.row().flags.contains(Flags::LOCK) {
                asm.lock(Guards::All, &text, &[]);
            } else {
                asm.mi(p.mem, &text, &[]);
            }
        }
        asm.done();
        let program = asm.finish().unwrap_or_else(|e| panic!("{e}"));
        let ours = |op: &OpNo| (*op as usize) < self.ops.len();
        let ops = |pc| program.certificate.bundles.get(&pc).map_or(&[][..], |n| &n.ops);
        let lines =
            program.lines.iter().map(|l| ops(l.pc).iter().map(|n| n.op).filter(ours).map(|op| op as usize).collect());
        let mut lines: Lines = lines.collect();
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        (
            Code { bytes: program.bytes, entry: program.entry, certificate: program.certificate },
            program.early_reads,
            lines,
        )
    }

    fn run(&self, code: &Code, which: &Meaning, early: &Early<'_>) -> Result<Ran, Fault> {
        code.run(&which.start, early, false, |op| (op as usize) < self.ops.len())
    }
}

/// Why a program the checker refuses computes what it should all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Excuse {
    /// The old value is read, and it happens to be equal; without leave to read it the simulator faults right there.
    EarlyReadOfAnEqualValue,
    /// A source receives another write's value, equal to the one meant.
    EqualValue,
    /// A source receives another value, and the operation's results do not depend on it: shown by giving it that value in the sequential run.
    ValueWithoutEffect,
    /// A store changes nothing, so its order with another access does not show.
    SilentStore,
}

#[derive(Default, Debug)]
struct Count {
    programs: usize,
    undefined: usize,
    legal: usize,
    illegal: usize,
    by_rule: BTreeMap<&'static str, [usize; 3]>,
    excused: BTreeMap<(&'static str, Excuse), usize>,
    banks_refused: usize,
    banks_free: usize,
}

fn rule(e: &CheckError) -> &'static str {
    match e {
        CheckError::Decode { .. } => "decode",
        CheckError::RunsOff { .. } => "runs off",
        CheckError::Certificate { .. } => "certificate",
        CheckError::WrongValue { .. } => "wrong value",
        CheckError::AmbiguousLateRead { .. } => "ambiguous late read",
        CheckError::WriteClash { .. } => "write clash",
        CheckError::UnitClash { .. } => "unit clash",
        CheckError::BranchInDelaySlots { .. } => "branch in delay slots",
        CheckError::UnknownTarget { .. } => "unknown target",
        CheckError::Misaligned { .. } => "misaligned",
        CheckError::LoopEndSize { .. } => "loop end size",
        CheckError::LoopDistance { .. } => "loop distance",
        CheckError::LoopEndInDelaySlots { .. } => "loop end in delay slots",
        CheckError::PartWordStoreAtLoopEnd { .. } => "part-word store at loop end",
        CheckError::UnknownLoop { .. } => "unknown loop",
        CheckError::MemoryOrder { .. } => "memory order",
        CheckError::Coverage { .. } => "coverage",
        CheckError::NoFixpoint { .. } => "no fixpoint",
    }
}

/// Operation numbers in the names of a memory rule.
fn named(e: &CheckError) -> Vec<OpNo> {
    let CheckError::MemoryOrder { first, second, .. } = e else { return Vec::new() };
    let number = |text: &String| text.rsplit_once("(op ")?.1.trim_end_matches(')').parse().ok();
    [first, second].into_iter().filter_map(number).collect()
}

impl Subject {
    fn excuse(&self, code: &Code, e: &CheckError, which: &Meaning) -> Option<Excuse> {
        if let CheckError::WrongValue { pc, .. } = e {
            let others: Vec<u32> = code.certificate.bundles.keys().copied().filter(|at| at != pc).collect();
            if let Err(Fault::Core { pc: at, .. }) = self.run(code, which, &Early::Listed(&others)) {
                assert_eq!(at, *pc, "every other bundle has leave");
                return Some(Excuse::EarlyReadOfAnEqualValue);
            }
        }
        if matches!(e, CheckError::WrongValue { .. }) {
            let ours = |op| (op as usize) < self.ops.len();
            let ran = code.run(&which.start, &Early::Anywhere, true, ours).ok()?;
            if ran.sources == which.sources {
                return Some(Excuse::EqualValue);
            }
            let again = sequential(&self.ops, &which.start, ran.sources.clone()).ok()?;
            return (again.0 == which.trace).then_some(Excuse::ValueWithoutEffect);
        }
        named(e).iter().any(|op| which.silent.contains(op)).then_some(Excuse::SilentStore)
    }

    /// Checks that checker and simulator agree on a program.
    fn judge(&self, code: &Code, verdict: &Result<Verdict, Box<CheckError>>, count: &mut Count, what: &str) {
        count.programs += 1;
        let show = |why: &str| -> String {
            let mut out = format!("{what}: {why}\n");
            for (pc, note) in &code.certificate.bundles {
                let (bundle, ..) = aie2_isa::Bundle::decode(&code.bytes[*pc as usize..]).expect("it was encoded");
                let ops: Vec<OpNo> = note.ops.iter().map(|n| n.op).collect();
                out += &format!("{pc:5x}  {bundle}   {ops:?}\n");
            }
            out
        };
        match verdict {
            Ok(v) => {
                count.legal += 1;
                for m in &self.meaning {
                    match self.run(code, m, &Early::Listed(&v.early_reads)) {
                        Ok(ran) if ran.trace == m.trace => {}
                        Ok(ran) => panic!("{}", show(&format!("legal, but {}", difference(&m.trace, &ran.trace)))),
                        Err(fault) => panic!("{}", show(&format!("legal, but {fault}"))),
                    }
                }
            }
            Err(e) => {
                count.illegal += 1;
                let row = count.by_rule.entry(rule(e)).or_default();
                let mut excuse = None;
                for m in &self.meaning {
                    match self.run(code, m, &Early::Anywhere) {
                        Err(_) => {
                            row[0] += 1;
                            return;
                        }
                        Ok(ran) if ran.trace != m.trace => {
                            row[1] += 1;
                            return;
                        }
                        Ok(_) => match self.excuse(code, e, m) {
                            Some(x) => excuse = Some(x),
                            None => panic!("{}", show(&format!("the simulator has nothing against: {e}"))),
                        },
                    }
                }
                row[2] += 1;
                *count.excused.entry((rule(e), excuse.expect("there are data sets"))).or_default() += 1;
            }
        }
    }

    /// With the banks declared: what the checker lets pass never stalls, what it refuses stalls.
    fn judge_banks(&self, lines: &Lines, count: &mut Count) {
        // Widths decide nothing in straight code, but the addresses of early reads depend on them.
        let plain = code(&self.ops, lines, false, || 2);
        let v = check::check(&plain.bytes, plain.entry, &plain.certificate).expect("legal in another width");
        let ran = self.run(&plain, &self.meaning[0], &Early::Listed(&v.early_reads)).expect("legal");
        let code = code(&self.ops, lines, true, || 2);
        match check::check(&code.bytes, code.entry, &code.certificate) {
            Ok(_) => {
                count.banks_free += 1;
                assert_eq!(ran.bank_stalls, 0, "no bank is declared twice in a cycle");
            }
            Err(e) => {
                count.banks_refused += 1;
                assert!(matches!(&*e, CheckError::UnitClash { on, .. } if on.starts_with("bank")), "{e}");
                assert!(ran.bank_stalls > 0, "no stall: {e}");
            }
        }
    }
}

fn difference(meant: &Trace, got: &Trace) -> String {
    for (op, list) in &meant.results {
        for (n, result) in list.iter().enumerate() {
            let other = got.results.get(op).and_then(|l| l.get(n));
            if other != Some(result) {
                return format!("operation {op}, execution {n}, gives {other:02x?}, not {result:02x?}");
            }
        }
    }
    if meant.stores != got.stores {
        return "the stores differ".to_owned();
    }
    if meant.locks != got.locks {
        return "the locks differ".to_owned();
    }
    let at = meant.registers.iter().zip(&got.registers).position(|(a, b)| a != b);
    let atom = at.and_then(|i| Atom::all().nth(i));
    format!("{} ends up different", atom.map_or("nothing", |a| a.reg().name()))
}

#[test]
fn checker_and_simulator_agree_on_straight_code() {
    let (mut count, began) = (Count::default(), Instant::now());
    let programs = std::env::var("N").map_or(60, |n| n.parse().unwrap());
    for seed in 0..programs {
        let Some(subject) = Subject::new(seed) else {
            count.undefined += 1;
            continue;
        };
        let mut rng = Rng(seed ^ 0x5eed);
        let (emitted, early_reads, scheduled) = subject.scheduled();
        let v = Ok(Verdict { early_reads, bundles: 0 });
        subject.judge(&emitted, &v, &mut count, &format!("program {seed}, as emitted"));
        let mut bases = vec![("scheduled", scheduled)];
        for haste in [0, 4, 12] {
            bases.push(("by hand", by_hand(&mut rng, &subject.ops, haste)));
        }
        for (base, lines) in bases {
            for round in 0..6 {
                let mut lines = lines.clone();
                let mut changes = if round == 0 { 0 } else { 1 + round / 4 };
                while changes > 0 {
                    changes -= usize::from(shuffle(&mut rng, &mut lines, &subject.ops));
                }
                let mut widths = Rng(rng.next());
                let code = code(&subject.ops, &lines, false, || 2 + 2 * widths.below(8));
                let verdict = check::check(&code.bytes, code.entry, &code.certificate);
                subject.judge(&code, &verdict, &mut count, &format!("program {seed}, {base}, round {round}"));
                if verdict.is_ok() {
                    subject.judge_banks(&lines, &mut count);
                }
            }
        }
    }
    println!("{count:#?} {:?}", began.elapsed());
}
