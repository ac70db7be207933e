//! From IR operations to instructions with physical registers, and the certificate entry of each.

use std::collections::HashMap;
use std::rc::Rc;

use aie2_isa::{Atom, Insn, Role, Value};

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
    pub(crate) sources: Vec<(Atom, Vec<Source>)>,
}

/// An operation with its registers.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) info: Rc<Info>,
    pub(crate) label: Option<Label>,
    /// Atoms read, each with the definitions that may reach it.
    pub(crate) reads: Vec<(Atom, Vec<Site>)>,
    /// The same for the first iteration of a pipelined loop.
    pub(crate) first: Vec<(Atom, Vec<Site>)>,
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
    let atom_of: HashMap<Var, u16> = op
        .vars(Role::In)
        .into_iter()
        .filter_map(|v| match v {
            Var::Atom(a) => Some((v, a)),
            Var::Part(vreg, part) => {
                regs.get(&vreg).and_then(|r| r.atoms().get(usize::from(part))).map(|a| (v, a.as_usize() as u16))
            }
        })
        .collect();
    let info = Rc::new(Info::new(insn, op.mem, op.guards.clone()));
    let by_atom = |reads: &[(Var, Vec<Site>)]| {
        let mut out: Vec<(Atom, Vec<Site>)> = Vec::new();
        for u in &info.uses {
            if out.iter().any(|(a, _)| *a == u.atom) {
                continue;
            }
            let index = u.atom.as_usize() as u16;
            let behind = reads.iter().filter(|(v, _)| atom_of.get(v) == Some(&index));
            let mut sites: Vec<Site> = behind.flat_map(|(_, list)| list.iter().copied()).collect();
            sites.sort_unstable();
            sites.dedup();
            out.push((u.atom, sites));
        }
        out
    };
    let (reads, first) = (by_atom(reads), by_atom(first));
    Ok(Ready { info, label: op.label(), reads, first })
}

/// Region in which each operation is defined, and its place in sequential order there.
pub(crate) struct Homes {
    pub(crate) region: HashMap<OpNo, usize>,
    pub(crate) seq: HashMap<OpNo, u32>,
}

impl Homes {
    pub(crate) fn build(flow: &Flow) -> Homes {
        let mut homes = Homes { region: HashMap::new(), seq: HashMap::new() };
        for (i, r) in flow.regions.iter().enumerate() {
            for (k, p) in flow.points[r.start..r.end].iter().enumerate() {
                if let What::Op(n) = p.what {
                    homes.region.insert(n, i);
                    homes.seq.insert(n, k as u32);
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
) -> Vec<(Atom, Vec<Source>)> {
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
        .map(|(k, (atom, _))| {
            let mut list = Vec::new();
            for site in meant(k) {
                match site {
                    // Runs of a loop are numbered on end: the iteration before the first one is the last of the run before.
                    Site::Op(o) if own(&site) => {
                        list.push(Source::Def { op: o, iteration: iteration - i16::from(homes.seq[&o] >= seq) });
                    }
                    Site::Op(o) => list.push(Source::Def { op: o, iteration: 0 }),
                    Site::Entry => list.push(Source::Entry),
                    Site::Undef => list.push(Source::NotFrom(region_no(here))),
                    Site::Raw(r) => {
                        let Kind::Raw(raw) = &flow.regions[r].kind else { continue };
                        let writers = raw
                            .lines
                            .iter()
                            .flat_map(|l| &l.ops)
                            .filter(|op| op.insn.timing().defs().iter().any(|d| d.reg.atoms().contains(atom)));
                        list.extend(writers.map(|op| Source::NewestOf(op.op)));
                    }
                }
            }
            list.sort();
            list.dedup();
            (*atom, list)
        })
        .collect()
}

/// Certificate entries of raw code.
pub(crate) fn raw_sources(op: &ir::RawOp, region: RegionNo) -> Vec<(Atom, Vec<Source>)> {
    op.expect
        .iter()
        .map(|(atom, e)| {
            let list = match *e {
                RawExpect::Exact(op, iteration) => vec![Source::Def { op, iteration }],
                RawExpect::ExactOrOutside(op, iteration) => {
                    vec![Source::Def { op, iteration }, Source::NewestOutside(region)]
                }
                RawExpect::Newest => vec![Source::Newest],
                RawExpect::Any => vec![Source::Any],
            };
            (*atom, list)
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
