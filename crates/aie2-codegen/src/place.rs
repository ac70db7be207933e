//! From IR operations to instructions with physical registers, and the certificate entry of each.

use std::collections::HashMap;
use std::rc::Rc;

use aie2_isa::{Insn, Value};

use crate::alloc::{Assignment, substitute};
use crate::asm::Asm;
use crate::check::{RegionNo, Source};
use crate::error::CodegenError;
use crate::flow::{Flow, Kind, Reaching, Site, What};
use crate::info::Info;
use crate::ir::{self, OpNo, RawExpect, Var};
use crate::operand::{Label, Operand};
use crate::text::Arg;

/// One instruction at its place in the emitted program.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) info: Rc<Info>,
    pub(crate) op: OpNo,
    pub(crate) seq: u32,
    pub(crate) iteration: i16,
    pub(crate) label: Option<Label>,
    /// Per source piece, in the order of `Timing::uses` and its atoms.
    pub(crate) sources: Vec<Vec<Source>>,
}

/// An operation with its registers.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) info: Rc<Info>,
    pub(crate) label: Option<Label>,
    /// Variables read, in the order of `Timing::uses` and its atoms, each with the definitions that may reach it.
    pub(crate) reads: Vec<(Var, Vec<Site>)>,
    /// The same for the first iteration of a pipelined loop.
    pub(crate) first: Vec<(Var, Vec<Site>)>,
}

/// The instruction of an operation; a label operand is 0 until the layout is known.
pub(crate) fn instruction(asm: &Asm, n: OpNo, regs: &Assignment, imm: Option<i64>) -> Result<Insn, CodegenError> {
    let op = &asm.ops[n as usize];
    let isa = |source| CodegenError::Isa { text: op.text.to_string(), op: n, source };
    let mut given = Vec::new();
    for (i, (def, arg)) in op.op.row().operands.iter().zip(&op.args).enumerate().filter(|(_, (d, _))| d.is_given()) {
        let Arg::Given(o) = *arg else { continue };
        let o = match o {
            Operand::Virtual(v) => regs.get(&v.vreg).map_or(Operand::NoSuchView, |r| substitute(o, *r)),
            other => other,
        };
        given.push(match o {
            Operand::Physical(r) => Value::Reg(r),
            Operand::Imm(v) => Value::Imm(imm.unwrap_or(v)),
            Operand::Label(_) => Value::Imm(0),
            Operand::Virtual(_) | Operand::NoSuchView => {
                debug_assert!(!def.name.is_empty());
                return Err(CodegenError::OperandKind { text: op.text.to_string(), index: i });
            }
        });
    }
    Insn::new(op.op, &given).map_err(isa)
}

/// Completes an operation: instruction, timing and what its sources may receive.
pub(crate) fn ready(
    asm: &Asm,
    n: OpNo,
    regs: &Assignment,
    reads: &[(Var, Vec<Site>)],
    first: &[(Var, Vec<Site>)],
) -> Result<Ready, CodegenError> {
    let op = &asm.ops[n as usize];
    let insn = instruction(asm, n, regs, None)?;
    let info = Rc::new(Info::new(insn, op.mem, op.guards.clone()));
    // Both lists go through the operands in table order, then the implicit registers, each low to high.
    debug_assert_eq!(info.uses.len(), reads.len());
    debug_assert!(info.uses.iter().zip(reads).all(|(u, (v, _))| match v {
        Var::Atom(a) => usize::from(*a) == u.atom.as_usize(),
        Var::Part(vreg, part) => regs[vreg].atoms()[usize::from(*part)] == u.atom,
    }));
    Ok(Ready { info, label: op.label(), reads: reads.to_vec(), first: first.to_vec() })
}

/// Region in which each operation is defined, and its place in sequential order there.
pub(crate) struct Homes {
    pub(crate) region: HashMap<OpNo, usize>,
    pub(crate) seq: HashMap<OpNo, u32>,
    /// Which result of the operation a variable is, in the order of `Timing::defs` and its atoms.
    part: HashMap<(OpNo, Var), u8>,
}

impl Homes {
    pub(crate) fn build(flow: &Flow) -> Homes {
        let mut homes = Homes { region: HashMap::new(), seq: HashMap::new(), part: HashMap::new() };
        for (i, r) in flow.regions.iter().enumerate() {
            for (k, p) in flow.points[r.start..r.end].iter().enumerate() {
                if let What::Op(n) = p.what {
                    homes.region.insert(n, i);
                    homes.seq.insert(n, k as u32);
                    homes.part.extend(p.defs.iter().enumerate().map(|(i, v)| ((n, *v), i as u8)));
                }
            }
        }
        homes
    }
}

/// Which iteration of a pipelined loop an instruction copy executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Plain code.
    Plain,
    /// Exactly this iteration, counted from 0.
    Exactly(u32),
    /// This iteration or a later one.
    AtLeast(u32),
}

/// Certificate entry of one operation copy at iteration offset `iteration`.
pub(crate) fn sources(
    ready: &Ready,
    n: OpNo,
    iteration: i16,
    which: Which,
    flow: &Flow,
    homes: &Homes,
    region_no: &dyn Fn(usize) -> RegionNo,
) -> Vec<Vec<Source>> {
    let here = homes.region[&n];
    let seq = homes.seq[&n];
    let own = |site: &Site| matches!(site, Site::Op(o) if homes.region[o] == here);
    // From the second iteration on, a value the loop carries is always the loop's own.
    let later = |sites: &[Site]| -> Vec<Site> {
        let mine: Vec<Site> = sites.iter().filter(|s| own(s)).copied().collect();
        if mine.is_empty() { sites.to_vec() } else { mine }
    };
    let meant = |k: usize| -> Vec<Site> {
        let (all, first) = (&ready.reads[k].1, &ready.first[k].1);
        match which {
            Which::Plain => all.clone(),
            Which::Exactly(0) => first.clone(),
            Which::Exactly(_) | Which::AtLeast(1..) => later(all),
            Which::AtLeast(0) => first.iter().copied().chain(later(all)).collect(),
        }
    };
    ready
        .reads
        .iter()
        .enumerate()
        .map(|(k, (var, _))| {
            let mut list = Vec::new();
            let part = |o: OpNo| homes.part[&(o, *var)];
            for site in meant(k) {
                match site {
                    // Runs of a loop are numbered on end: the iteration before the first one is the last of the run before.
                    Site::Op(o) if own(&site) => {
                        let iteration = iteration - i16::from(homes.seq[&o] >= seq);
                        list.push(Source::Def { op: o, part: part(o), iteration });
                    }
                    Site::Op(o) => list.push(Source::Def { op: o, part: part(o), iteration: 0 }),
                    Site::Entry => list.push(Source::Entry),
                    Site::Undef => list.push(Source::NotFrom(region_no(here))),
                    Site::Raw(r) => {
                        let (Kind::Raw(raw), Var::Atom(a)) = (&flow.regions[r].kind, *var) else { continue };
                        let atom = crate::flow::atom(a);
                        let writers = raw.lines.iter().flat_map(|l| &l.ops);
                        let writers =
                            writers.filter(|op| op.insn.timing().defs().iter().any(|d| d.reg.atoms().contains(&atom)));
                        list.extend(writers.map(|op| Source::NewestOf(op.op)));
                    }
                }
            }
            list.sort();
            list.dedup();
            list
        })
        .collect()
}

/// Certificate entries of raw code.
pub(crate) fn raw_sources(op: &ir::RawOp, region: RegionNo) -> Vec<Vec<Source>> {
    let timing = op.insn.timing();
    let atoms = timing.uses().iter().flat_map(|u| u.reg.atoms());
    atoms
        .map(|atom| match op.expect.iter().find(|(a, _)| a == atom).map(|(_, e)| *e) {
            Some(RawExpect::Exact(op, part, iteration)) => vec![Source::Def { op, part, iteration }],
            Some(RawExpect::ExactOrOutside(op, part, iteration)) => {
                vec![Source::Def { op, part, iteration }, Source::NewestOutside(region)]
            }
            Some(RawExpect::ExactOrForeign(op, part, iteration)) => {
                vec![Source::Def { op, part, iteration }, Source::Foreign(region)]
            }
            Some(RawExpect::Newest) => vec![Source::Newest],
            Some(RawExpect::Any) => vec![Source::Any],
            None => Vec::new(),
        })
        .collect()
}

/// Refuses reads of registers that nothing has written on some path.
pub(crate) fn refuse_undefined(asm: &Asm, flow: &Flow, reaching: &Reaching) -> Result<(), CodegenError> {
    for (p, reads) in flow.points.iter().zip(&reaching.reads) {
        let What::Op(n) = p.what else { continue };
        for (v, sites) in reads {
            if !sites.contains(&Site::Entry) {
                continue;
            }
            let fine = match *v {
                Var::Part(..) => false,
                Var::Atom(a) => {
                    let atom = crate::flow::atom(a);
                    crate::flow::defined_at_start(atom) || asm.live_in.iter().any(|r| r.atoms().contains(&atom))
                }
            };
            if !fine {
                let what = crate::flow::var_name(asm, *v);
                return Err(CodegenError::Undefined { text: asm.ops[n as usize].text.to_string(), op: n, what });
            }
        }
    }
    Ok(())
}
