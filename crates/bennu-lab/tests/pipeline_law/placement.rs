//! Bundles of operations: placed by hand from the published distances, shuffled on purpose, and turned into bytes with a certificate.

use std::collections::HashMap;

use aie2_codegen::check::{BundleNote, Certificate, Mark, OpNo, OpNote, RegionNote, Source};
use aie2_codegen::{Guards, MemRef};
use aie2_isa::{
    Access, Atom, Bundle, File, Flags, Insn, memory_latency, raw_latency, stages_conflict, war_latency, waw_latency,
};

use crate::generate::{Rng, live};
use crate::machine::{Code, QUIET, pieces};

/// One operation of a sequential program.
#[derive(Clone)]
pub struct Planned {
    pub op: OpNo,
    pub insn: Insn,
    pub mem: MemRef,
}

/// Operations (by index) of every bundle.
pub type Lines = Vec<Vec<usize>>;

/// Stage in which a lock instruction stalls, and the one in which execution resumes.
// SOURCE: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget.cpp.
const LOCK_CYCLES: (i32, i32) = (2, 8);

fn sticky(atom: Atom) -> bool {
    atom.file() == File::Sr && atom.reg().name() != "srCarry"
}

fn single(atom: Atom, like: &Access) -> Access {
    Access { reg: atom.reg(), ..*like }
}

/// Least distance from `a` to `b`, which follows it.
fn distance(a: &Planned, b: &Planned) -> Option<i32> {
    let (ta, tb) = (a.insn.timing(), b.insn.timing());
    let mut d: Option<i32> = None;
    let mut need = |x: i32| d = Some(d.map_or(x, |y: i32| y.max(x)));
    let common = |xs: &[Access], ys: &[Access], rule: &dyn Fn(&Access, &Access) -> i32, need: &mut dyn FnMut(i32)| {
        for x in xs {
            for y in ys {
                for atom in x.reg.atoms().iter().filter(|atom| !sticky(**atom) && y.reg.atoms().contains(atom)) {
                    need(rule(&single(*atom, x), &single(*atom, y)));
                }
            }
        }
    };
    common(ta.defs(), tb.uses(), &raw_latency, &mut need);
    common(ta.uses(), tb.defs(), &war_latency, &mut need);
    common(ta.defs(), tb.defs(), &|x, y| waw_latency(x, y).max(1), &mut need);
    let is = |p: &Planned, flag| p.insn.row().flags.contains(flag);
    if let Some(latency) = memory_latency(&ta, &tb)
        && (is(a, Flags::STORE) || is(b, Flags::STORE))
        && a.mem.space == b.mem.space
    {
        need(latency);
    }
    if let (Some(last), true) = (ta.memory_cycles().iter().max(), is(b, Flags::LOCK)) {
        need(i32::from(*last) - LOCK_CYCLES.0 + 1);
    }
    if let (true, Some(first)) = (is(a, Flags::LOCK), tb.memory_cycles().iter().min()) {
        need(LOCK_CYCLES.1 - i32::from(*first) + 1);
    }
    if is(a, Flags::SIDE_EFFECTS) && is(b, Flags::SIDE_EFFECTS) {
        need(1);
    }
    d
}

/// Places every operation as early as the distances allow, give or take: `haste` operations in a hundred come a bundle or more too early.
pub fn by_hand(rng: &mut Rng, ops: &[Planned], haste: usize) -> Lines {
    let mut time: Vec<i32> = Vec::new();
    for (k, op) in ops.iter().enumerate() {
        let earlier = || ops[..k].iter().zip(&time);
        let least = earlier().filter_map(|(a, t)| distance(a, op).map(|d| t + d)).max().unwrap_or(0);
        let noise = match rng.below(100) {
            n if n < haste => -1 - rng.below(3) as i32,
            n if n > 90 => 1 + rng.below(4) as i32,
            _ => 0,
        };
        // Far ahead of what was placed before is not what anybody would write, but it is legal.
        let floor = time.last().map_or(0, |t| t - 8);
        let mut t = (least + noise).max(floor).max(0);
        let taken = |t: i32| {
            let bundle = Bundle::with(&earlier().filter(|(_, u)| **u == t).map(|(a, _)| a.insn).collect::<Vec<_>>());
            !bundle.is_ok_and(|b| b.is_free(op.insn.slot()))
                || earlier().any(|(a, u)| stages_conflict(&a.insn.timing(), &op.insn.timing(), t - u))
        };
        while taken(t) {
            t += 1;
        }
        time.push(t);
    }
    let mut lines: Lines = vec![Vec::new(); time.iter().max().map_or(0, |t| *t as usize + 1)];
    time.iter().enumerate().for_each(|(k, t)| lines[*t as usize].push(k));
    lines
}

fn fits(line: &[usize], extra: usize, ops: &[Planned]) -> bool {
    let insns: Vec<Insn> = line.iter().chain([&extra]).map(|k| ops[*k].insn).collect();
    Bundle::with(&insns).is_ok()
}

/// One change: an operation moves, two bundles or two operations change places, an empty bundle goes or comes. `false` if nothing changed.
pub fn shuffle(rng: &mut Rng, lines: &mut Lines, ops: &[Planned]) -> bool {
    let n = lines.len();
    let full: Vec<usize> = (0..n).filter(|i| !lines[*i].is_empty()).collect();
    let near = |rng: &mut Rng, i: usize| {
        let by = 1 + rng.below(4);
        if rng.below(2) == 0 { i.checked_sub(by) } else { Some(i + by).filter(|j| *j < n) }
    };
    match rng.below(8) {
        0..4 => {
            let i = rng.pick(&full);
            let Some(j) = near(rng, i) else { return false };
            let k = rng.below(lines[i].len());
            if !fits(&lines[j], lines[i][k], ops) {
                return false;
            }
            let op = lines[i].remove(k);
            lines[j].push(op);
            true
        }
        4 => {
            let i = rng.pick(&full);
            let Some(j) = near(rng, i) else { return false };
            lines.swap(i, j);
            true
        }
        5 => {
            let i = rng.pick(&full);
            let Some(j) = near(rng, i) else { return false };
            let a = rng.below(lines[i].len());
            let slot = |k: usize| ops[k].insn.slot();
            let Some(b) = lines[j].iter().position(|k| slot(*k) == slot(lines[i][a])) else { return false };
            (lines[i][a], lines[j][b]) = (lines[j][b], lines[i][a]);
            true
        }
        6 => {
            let empty: Vec<usize> = (0..n).filter(|i| lines[*i].is_empty()).collect();
            if empty.is_empty() {
                return false;
            }
            lines.remove(rng.pick(&empty));
            true
        }
        _ => {
            lines.insert(rng.pick(&full), Vec::new());
            true
        }
    }
}

/// What each source of each operation is meant to receive in sequential order.
fn sources(ops: &[Planned]) -> Vec<Vec<Vec<Source>>> {
    let mut last: HashMap<Atom, Source> = HashMap::new();
    ops.iter()
        .map(|p| {
            let timing = p.insn.timing();
            let meant = |atom| vec![last.get(&atom).cloned().unwrap_or(Source::Entry)];
            let all = pieces(timing.uses()).map(|(atom, ..)| meant(atom)).collect();
            for (part, (atom, ..)) in pieces(timing.defs()).enumerate() {
                last.insert(atom, Source::Def { op: p.op, part: part as u8, iteration: 0 });
            }
            all
        })
        .collect()
}

/// Bytes and certificate: the bundles, silence, `done`, and an endless loop. `width` is the least size of a bundle.
pub fn code(ops: &[Planned], lines: &Lines, banks: bool, mut width: impl FnMut() -> usize) -> Code {
    let meant = sources(ops);
    let mut bytes: Vec<u8> = Vec::new();
    let mut bundles = std::collections::BTreeMap::new();
    let mut put = |bytes: &mut Vec<u8>, bundle: &Bundle, width: usize, note: BundleNote| {
        bundles.insert(bytes.len() as u32, note);
        bytes.extend_from_slice(&bundle.encode_at_least(width).expect("no bundle is wider than 16 bytes"));
    };
    for (i, line) in lines.iter().enumerate() {
        let bundle = Bundle::with(&line.iter().map(|k| ops[*k].insn).collect::<Vec<_>>()).expect("one per slot");
        let note = |k: &usize| OpNote {
            slot: ops[*k].insn.slot(),
            op: ops[*k].op,
            seq: *k as u32,
            iteration: 0,
            sources: meant[*k].clone(),
            mem: MemRef { bank: ops[*k].mem.bank.filter(|_| banks), ..ops[*k].mem },
            guards: Guards::All,
        };
        let marks = if i == 0 { vec![Mark::Enter { region: 0, first: 0, by: 1 }] } else { Vec::new() };
        put(&mut bytes, &bundle, width(), BundleNote { marks, ops: line.iter().map(note).collect() });
    }
    let none = BundleNote::default;
    (0..QUIET).for_each(|_| put(&mut bytes, &Bundle::new(), 2, none()));
    let first_free = ops.iter().map(|p| p.op).max().map_or(0, |n| n + 1);
    let ends = ["done", "j"]
        .map(|m| if m == "j" { format!("j #{}", bytes.len().next_multiple_of(16) + 112) } else { m.to_owned() });
    let mut members = Vec::new();
    for (op, text) in (first_free..).zip(&ends) {
        let insn = Insn::parse(text).expect("it is an instruction");
        let note = OpNote {
            slot: insn.slot(),
            op,
            seq: 0,
            iteration: 0,
            sources: Vec::new(),
            mem: MemRef::ANY,
            guards: Guards::All,
        };
        members.push(op);
        // To the next multiple of 16, then seven bundles of 16 bytes: the last of them is the target of the jump.
        while !bytes.len().is_multiple_of(16) {
            put(&mut bytes, &Bundle::new(), 2, none());
        }
        let bundle = Bundle::with(&[insn]).expect("one instruction");
        put(&mut bytes, &bundle, 16, BundleNote { marks: Vec::new(), ops: vec![note] });
        (0..6).for_each(|_| put(&mut bytes, &Bundle::new(), 16, none()));
    }
    let regions = vec![
        RegionNote {
            name: "ops".into(),
            ops: ops.iter().map(|p| p.op).collect(),
            members: ops.iter().map(|p| p.op).collect(),
        },
        RegionNote { name: "end".into(), ops: Vec::new(), members },
    ];
    let text = ops.iter().map(|p| (p.op, p.insn.to_string())).collect();
    let live_in = Atom::all().filter(|a| live(*a)).collect();
    Code { bytes, entry: 0, certificate: Certificate { bundles, regions, live_in, text } }
}
