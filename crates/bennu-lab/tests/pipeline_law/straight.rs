//! Straight code: scheduled by the compiler, placed by hand, and both shuffled on purpose.

use std::collections::BTreeMap;
use std::time::Instant;

use aie2_codegen::check::{self, CheckError, OpNo, Verdict};
use aie2_codegen::{Asm, Guards, MemRef};
use aie2_isa::{Atom, Flags, Insn};
use aie2_sim::Fault;

use crate::generate::{self, Rng, live};
use crate::judge::{Count, Meaning, Subject, judge, run};
use crate::machine::{Code, Done, Early, GRANULE, Sequential, Sources, Start};
use crate::placement::{Lines, Planned, by_hand, code, shuffle};

/// Random programs; each is tried in about thirty schedules.
const PROGRAMS: u64 = 70;
/// Random contents every program runs with.
const DATA_SETS: u64 = 2;

/// A list of operations.
pub struct Straight {
    pub ops: Vec<Planned>,
    meaning: Vec<Meaning>,
}

impl Subject for Straight {
    fn meaning(&self) -> &[Meaning] {
        &self.meaning
    }

    fn sequential(&self, start: &Start, inject: Sources) -> Result<Done, Fault> {
        let list: Vec<(OpNo, Insn)> = self.ops.iter().map(|p| (p.op, p.insn)).collect();
        let mut machine = Sequential::new(start, &list, inject);
        list.iter().try_for_each(|(op, _)| machine.execute(*op))?;
        Ok(machine.finish())
    }

    fn ours(&self, op: OpNo) -> bool {
        (op as usize) < self.ops.len()
    }
}

impl Straight {
    /// A random program; `None` if it does something undefined on its contents.
    fn random(seed: u64) -> Option<Straight> {
        let mut rng = Rng(seed);
        let (n, locks) = (8 + rng.below(40), rng.below(3) == 0);
        let mut insns: Vec<Insn> = (0..n).map(|_| generate::insn(&mut rng, locks)).collect();
        insns.extend(generate::observers(&insns));
        Straight::new(&insns, |data| generate::start(seed, data)).ok()
    }

    /// A program of these operations.
    pub fn new(insns: &[Insn], start: impl Fn(u64) -> Start) -> Result<Straight, Fault> {
        let ops = (0..).zip(insns).map(|(op, insn)| Planned { op, insn: *insn, mem: MemRef::ANY }).collect();
        let mut out = Straight { ops, meaning: Vec::new() };
        let mut addresses: BTreeMap<OpNo, u32> = BTreeMap::new();
        for data in 0..DATA_SETS {
            let start = start(data);
            let done = out.sequential(&start, Sources::new())?;
            addresses.extend(done.accesses.iter().map(|(op, list)| (*op, list[0].0)));
            out.meaning.push(Meaning::new(start, done));
        }
        // What aliases is known exactly: a space is a granule.
        for p in &mut out.ops {
            if let Some(addr) = addresses.get(&p.op) {
                p.mem = MemRef::space((addr / GRANULE % 0x800) as u16 + 1).in_bank((addr >> 14 & 3) as u8);
            }
        }
        Ok(out)
    }

    /// The program as the compiler emits it, its early reads, and its bundles.
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
        let ops = |pc| program.certificate.bundles.get(&pc).map_or(&[][..], |n| &n.ops);
        let own = |pc| ops(pc).iter().map(|n| n.op).filter(|op| self.ours(*op)).map(|op| op as usize).collect();
        let mut lines: Lines = program.lines.iter().map(|l| own(l.pc)).collect();
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        let code = Code { bytes: program.bytes, entry: program.entry, certificate: program.certificate };
        (code, program.early_reads, lines)
    }

    /// With the banks declared: what the checker lets pass never stalls, what it refuses stalls.
    fn judge_banks(&self, lines: &Lines, count: &mut Count) {
        // Widths decide nothing in straight code, but the addresses of early reads depend on them.
        let plain = code(&self.ops, lines, false, || 2);
        let v = check::check(&plain.bytes, plain.entry, &plain.certificate).expect("legal in another width");
        let ran = run(self, &plain, &self.meaning[0], &Early::Listed(&v.early_reads));
        let stalls = ran.unwrap_or_else(|e| panic!("legal, but {e:?}")).bank_stalls;
        let declared = code(&self.ops, lines, true, || 2);
        match check::check(&declared.bytes, declared.entry, &declared.certificate) {
            Ok(_) => {
                count.banks_free += 1;
                assert_eq!(stalls, 0, "no bank is used twice in a cycle");
            }
            Err(e) => {
                count.banks_refused += 1;
                assert!(matches!(&*e, CheckError::UnitClash { on, .. } if on.starts_with("bank")), "{e}");
                assert!(stalls > 0, "no stall: {e}");
            }
        }
    }
}

#[test]
fn checker_and_simulator_agree_on_straight_code() {
    let (mut count, began) = (Count::default(), Instant::now());
    for seed in 0..PROGRAMS {
        let Some(subject) = Straight::random(seed) else {
            count.undefined += 1;
            continue;
        };
        let mut rng = Rng(seed ^ 0x5eed);
        let (emitted, early_reads, scheduled) = subject.scheduled();
        let verdict = Ok(Verdict { early_reads, bundles: 0 });
        judge(&subject, &emitted, &verdict, &mut count, &format!("program {seed}, as emitted"));
        let by_hand = [0, 4, 12].map(|haste| ("by hand", by_hand(&mut rng, &subject.ops, haste)));
        for (base, lines) in [("scheduled", scheduled)].into_iter().chain(by_hand) {
            for round in 0..6 {
                let mut lines = lines.clone();
                let mut changes = if round == 0 { 0 } else { 1 + round / 4 };
                while changes > 0 {
                    changes -= usize::from(shuffle(&mut rng, &mut lines, &subject.ops));
                }
                let mut widths = Rng(rng.next());
                let code = code(&subject.ops, &lines, false, || 2 + 2 * widths.below(8));
                let verdict = check::check(&code.bytes, code.entry, &code.certificate);
                judge(&subject, &code, &verdict, &mut count, &format!("program {seed}, {base}, round {round}"));
                if verdict.is_ok() {
                    subject.judge_banks(&lines, &mut count);
                }
            }
        }
    }
    println!("straight code, {:.1?}: {count}", began.elapsed());
    assert!(count.undefined * 10 <= PROGRAMS as usize, "{count}");
    assert!(count.legal >= count.programs / 5 && count.illegal >= count.programs / 3, "{count}");
    for rule in ["wrong value", "ambiguous late read", "write clash", "unit clash", "memory order"] {
        assert!(count.by_rule.get(rule).is_some_and(|row| row.iter().sum::<usize>() >= 10), "{rule}: {count}");
    }
    assert!(count.banks_free >= 50 && count.banks_refused >= 10, "{count}");
    assert!(count.all_excused() * 50 <= count.illegal, "{count}");
}
