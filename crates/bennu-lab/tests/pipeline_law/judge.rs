//! Whether checker and simulator agree on a program, and what it takes to excuse that they seem not to.

use std::collections::BTreeMap;
use std::fmt;

use aie2_codegen::check::{CheckError, OpNo, Verdict};
use aie2_isa::Bundle;
use aie2_sim::Fault;

use crate::machine::{Code, Done, Early, Ran, Sources, Start, Stop, Trace};

/// A program's meaning on one set of contents.
pub struct Meaning {
    pub start: Start,
    pub trace: Trace,
    sources: Sources,
    /// Stores that change nothing.
    silent: Vec<OpNo>,
}

impl Meaning {
    pub fn new(start: Start, done: Done) -> Meaning {
        let accesses = done.accesses.iter();
        let silent = accesses.filter(|(_, list)| list.iter().any(|(_, silent)| *silent)).map(|(op, _)| *op).collect();
        Meaning { start, trace: done.trace, sources: done.sources, silent }
    }
}

/// A sequential program.
pub trait Subject {
    /// What it means on several sets of contents.
    fn meaning(&self) -> &[Meaning];
    /// Runs it sequentially; executions named in `inject` get those source values instead of their own.
    fn sequential(&self, start: &Start, inject: Sources) -> Result<Done, Fault>;
    /// Whether an operation is one of the program's own, rather than its control flow.
    fn ours(&self, op: OpNo) -> bool;
}

/// Why a program the checker refuses computes what it should all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// The old value is read, and it happens to be equal; without leave to read it the simulator faults right there.
    EarlyReadOfEqualValue,
    /// A source receives another write's value, equal to the one meant.
    EqualValue,
    /// A source receives another value, and no result depends on it: shown by giving it that value in the sequential run.
    ValueWithoutEffect,
    /// Delay slots reach into the next region of the source program, but only over its empty bundles.
    EmptyDelaySlots,
    /// An access closer to `done` than the compiler's tables keep it: the simulator lets what is in flight finish.
    NearTheEnd,
    /// A store changes nothing, so its order with another access does not show.
    SilentStore,
}

/// What became of the programs.
#[derive(Default)]
pub struct Count {
    pub programs: usize,
    pub undefined: usize,
    pub legal: usize,
    pub illegal: usize,
    /// By the checker's rule: the simulator faults, differs, or is excused.
    pub by_rule: BTreeMap<&'static str, [usize; 3]>,
    pub excused: BTreeMap<Excuse, usize>,
    pub banks_refused: usize,
    pub banks_free: usize,
}

impl Count {
    pub fn all_excused(&self) -> usize {
        self.excused.values().sum()
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { programs, undefined, legal, illegal, .. } = self;
        writeln!(f, "{programs} programs, {undefined} undefined ones left out: {legal} legal, {illegal} illegal")?;
        writeln!(f, "{:30} {:>7} {:>7} {:>7}", "checker", "faults", "differs", "excused")?;
        for (rule, [faults, differs, excused]) in &self.by_rule {
            writeln!(f, "{rule:30} {faults:7} {differs:7} {excused:7}")?;
        }
        self.excused.iter().try_for_each(|(excuse, n)| writeln!(f, "{excuse:?}: {n}"))?;
        writeln!(f, "banks: {} free of conflicts, {} refused and stalled", self.banks_free, self.banks_refused)
    }
}

/// The rule a program breaks.
pub fn rule(e: &CheckError) -> &'static str {
    match e {
        CheckError::Decode { .. } => "decode",
        CheckError::RunsOff { .. } => "runs off",
        CheckError::Certificate { .. } => "certificate",
        CheckError::WrongValue { .. } => "wrong value",
        CheckError::AmbiguousLateRead { .. } => "ambiguous late read",
        CheckError::WriteClash { .. } => "write clash",
        CheckError::UnitClash { .. } => "unit clash",
        CheckError::BranchInDelaySlots { .. } => "branch in delay slots",
        CheckError::RegionInDelaySlots { .. } => "region in delay slots",
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

pub fn run(subject: &dyn Subject, code: &Code, m: &Meaning, early: &Early<'_>) -> Result<Ran, Stop> {
    code.run(&m.start, early, false, |op| subject.ours(op))
}

/// Whether the bundles from `pc` to the end of the delay slots they are in hold nothing.
fn empty_slots(code: &Code, pc: u32) -> bool {
    let branch = |at: &u32| {
        Bundle::decode(&code.bytes[*at as usize..]).is_ok_and(|(b, ..)| b.iter().any(|i| i.row().branch.is_some()))
    };
    let pcs: Vec<u32> = code.certificate.bundles.keys().copied().collect();
    let before = pcs.iter().rposition(|at| *at < pc && branch(at));
    let Some(b) = before else { return false };
    pcs.iter().skip(b + 1).take(5).filter(|at| **at >= pc).all(|at| code.certificate.bundles[at].ops.is_empty())
}

fn excuse(subject: &dyn Subject, code: &Code, e: &CheckError, m: &Meaning) -> Option<Excuse> {
    if let CheckError::RegionInDelaySlots { pc, .. } = e {
        return empty_slots(code, *pc).then_some(Excuse::EmptyDelaySlots);
    }
    if let CheckError::MemoryOrder { second, .. } = e
        && second.starts_with("done ")
    {
        return Some(Excuse::NearTheEnd);
    }
    let CheckError::WrongValue { pc, .. } = e else {
        return named(e).iter().any(|op| m.silent.contains(op)).then_some(Excuse::SilentStore);
    };
    let others: Vec<u32> = code.certificate.bundles.keys().copied().filter(|at| at != pc).collect();
    match run(subject, code, m, &Early::Listed(&others)) {
        Err(Stop::Fault(Fault::Core { pc: at, .. })) if at == *pc => return Some(Excuse::EarlyReadOfEqualValue),
        Err(_) => return None,
        Ok(_) => {}
    }
    let ran = code.run(&m.start, &Early::Anywhere, true, |op| subject.ours(op)).ok()?;
    if ran.sources == m.sources {
        return Some(Excuse::EqualValue);
    }
    let again = subject.sequential(&m.start, ran.sources).ok()?;
    (again.trace == m.trace).then_some(Excuse::ValueWithoutEffect)
}

/// What the simulator has against a program that means `m`, if old values may be read as on hardware.
pub fn objection(subject: &dyn Subject, code: &Code, m: &Meaning) -> Option<String> {
    match run(subject, code, m, &Early::Anywhere) {
        Err(Stop::Fault(fault)) => Some(fault.to_string()),
        Err(Stop::Endless) => Some("it does not end".to_owned()),
        Ok(ran) => difference(&m.trace, &ran.trace),
    }
}

/// Checks that checker and simulator agree on a program.
pub fn judge(
    subject: &dyn Subject,
    code: &Code,
    verdict: &Result<Verdict, Box<CheckError>>,
    count: &mut Count,
    what: &str,
) {
    count.programs += 1;
    let disagreement = |why: &str| panic!("{what}: {why}\n{}", listing(code));
    match verdict {
        Ok(v) => {
            count.legal += 1;
            for m in subject.meaning() {
                match run(subject, code, m, &Early::Listed(&v.early_reads)) {
                    Ok(ran) => {
                        if let Some(why) = difference(&m.trace, &ran.trace) {
                            disagreement(&format!("legal, but {why}"));
                        }
                    }
                    Err(Stop::Fault(fault)) => disagreement(&format!("legal, but {fault}")),
                    Err(Stop::Endless) => disagreement("legal, but it does not end"),
                }
            }
        }
        Err(e) => {
            count.illegal += 1;
            let row = count.by_rule.entry(rule(e)).or_default();
            for m in subject.meaning() {
                match run(subject, code, m, &Early::Anywhere) {
                    Err(_) => return row[0] += 1,
                    Ok(ran) if ran.trace != m.trace => return row[1] += 1,
                    Ok(_) => {}
                }
            }
            let mut last = None;
            for m in subject.meaning() {
                match excuse(subject, code, e, m) {
                    Some(excuse) => last = Some(excuse),
                    None => disagreement(&format!("the simulator has nothing against: {e}")),
                }
            }
            row[2] += 1;
            *count.excused.entry(last.expect("there are contents")).or_default() += 1;
        }
    }
}

fn listing(code: &Code) -> String {
    let line = |(pc, note): (&u32, &aie2_codegen::check::BundleNote)| {
        let text = Bundle::decode(&code.bytes[*pc as usize..]).map_or_else(|e| e.to_string(), |(b, ..)| b.to_string());
        format!("{pc:5x}  {text}   {:?}\n", note.ops.iter().map(|n| (n.op, n.iteration)).collect::<Vec<_>>())
    };
    code.certificate.bundles.iter().map(line).collect()
}

fn difference(meant: &Trace, got: &Trace) -> Option<String> {
    if meant == got {
        return None;
    }
    for (op, list) in &meant.results {
        let other = got.results.get(op).map_or(&[][..], Vec::as_slice);
        if other.len() != list.len() {
            return Some(format!("operation {op} executes {} times instead of {}", other.len(), list.len()));
        }
        if let Some(n) = list.iter().zip(other).position(|(a, b)| a != b) {
            return Some(format!("operation {op}, execution {n}, gives {:02x?} instead of {:02x?}", other[n], list[n]));
        }
    }
    if meant.locks != got.locks {
        return Some("the locks come in another order".to_owned());
    }
    let granules = || meant.stores.keys().chain(got.stores.keys());
    let differs = granules().find(|g| meant.stores.get(g) != got.stores.get(g));
    Some(differs.map_or("a register ends up different".to_owned(), |g| {
        let show = |t: &Trace| {
            t.stores.get(g).map(|list| list.iter().map(|(a, b)| format!("{a:x}: {b:02x?}")).collect::<Vec<_>>())
        };
        format!("granule {g:#x} is written differently: {:?} instead of {:?}", show(got), show(meant))
    }))
}
