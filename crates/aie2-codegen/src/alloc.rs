//! Register assignment.
//!
//! Every virtual register occupies, per part, the half points at which it is live (`flow`). Registers are given out in the order: pinned,
//! then by falling number of parts, then by rising number of permitted registers, then by first point. A register is free for a value if
//! none of its atoms is occupied where the value is. Among free ones the one that has been idle longest is taken, so that unrelated values
//! do not constrain each other's schedule. Values of a pipelined loop occupy it whole; where a value does not fit, its loop falls back to sharing
//! registers between values that are not live together in sequential order. Nothing is spilled.

use std::collections::{BTreeSet, HashMap};

use aie2_isa::{OperandKind, Reg};

use crate::asm::Asm;
use crate::error::CodegenError;
use crate::flow::{Bits, Flow, Kind, Liveness, Region, VarIndex, What};
use crate::ir::Var;
use crate::operand::{Class, Operand, VReg};
use crate::text::Arg;

/// Physical register of every virtual register that occurs.
pub(crate) type Assignment = HashMap<VReg, Reg>;

struct Value {
    vreg: VReg,
    class: Class,
    /// Occupied half points per part.
    parts: Vec<Bits>,
    allowed: Vec<Reg>,
    first: usize,
}

pub(crate) fn assign(asm: &Asm, flow: &Flow, index: &VarIndex) -> Result<Assignment, CodegenError> {
    let mut share = BTreeSet::new();
    loop {
        let mut live = Liveness::build(flow, index);
        live.widen_pipes(flow, index, &share);
        match color(asm, flow, index, &live) {
            Ok(a) => return Ok(a),
            Err(unplaced) => {
                let Unplaced { error, occupied } = *unplaced;
                let unshared = |of: &dyn Fn(&Region) -> bool| {
                    flow.regions.iter().find_map(|r| match r.kind {
                        Kind::Pipe(p) if !share.contains(&p) && of(r) => Some(p),
                        _ => None,
                    })
                };
                // a loop that the value is part of or passes through; others keep their registers apart
                let inside = |r: &Region| occupied.iter().any(|half| (2 * r.start..2 * r.end).contains(&half));
                match unshared(&inside).or_else(|| unshared(&|_| true)) {
                    Some(p) => share.insert(p),
                    None => return Err(error),
                };
            }
        }
    }
}

/// A value for which no register is free.
struct Unplaced {
    error: CodegenError,
    /// Half points at which the value is live.
    occupied: Bits,
}

/// Registers every occurrence of a virtual register permits.
fn allowed(asm: &Asm) -> HashMap<VReg, Vec<Reg>> {
    let mut out: HashMap<VReg, Vec<Reg>> = HashMap::new();
    for op in &asm.ops {
        for (def, arg) in op.op.row().operands.iter().zip(&op.args) {
            let (OperandKind::Class(class), Arg::Given(o @ Operand::Virtual(v))) = (def.kind, *arg) else { continue };
            let list = out.entry(v.vreg).or_insert_with(|| v.whole.registers().to_vec());
            list.retain(|r| matches!(substitute(o, *r), Operand::Physical(p) if class.contains(p)));
        }
    }
    for (v, r) in &asm.pins {
        out.entry(*v).or_default().retain(|x| x == r);
    }
    out
}

/// The register an operand becomes when its virtual register is `whole`.
pub(crate) fn substitute(o: Operand, whole: Reg) -> Operand {
    match o {
        Operand::Virtual(v) if v.class == v.whole => Operand::Physical(whole),
        Operand::Virtual(v) => {
            let want = &whole.atoms()[usize::from(v.first)..usize::from(v.first + v.class.parts())];
            v.class
                .registers()
                .iter()
                .find(|r| r.atoms() == want)
                .map_or(Operand::NoSuchView, |r| Operand::Physical(*r))
        }
        other => other,
    }
}

fn color(asm: &Asm, flow: &Flow, index: &VarIndex, live: &Liveness) -> Result<Assignment, Box<Unplaced>> {
    let halves = 2 * flow.points.len() + 2;
    let mut busy = vec![Bits::new(halves); aie2_isa::Atom::count()];
    for (v, occupied) in index.list.iter().zip(&live.occupied) {
        if let Var::Atom(a) = v {
            busy[usize::from(*a)].or(occupied);
        }
    }
    let mut permitted = allowed(asm);
    let mut values: HashMap<VReg, Value> = HashMap::new();
    for (v, occupied) in index.list.iter().zip(&live.occupied) {
        let Var::Part(vreg, part) = *v else { continue };
        let class = asm.classes[vreg.0 as usize];
        let value = values.entry(vreg).or_insert_with(|| Value {
            vreg,
            class,
            parts: vec![Bits::new(halves); usize::from(class.parts())],
            allowed: permitted.remove(&vreg).unwrap_or_else(|| class.registers().to_vec()),
            first: usize::MAX,
        });
        value.parts[usize::from(part)].or(occupied);
        value.first = value.first.min(occupied.iter().next().unwrap_or(usize::MAX));
    }
    let mut order: Vec<&Value> = values.values().collect();
    order.sort_by_key(|v| {
        (!asm.pins.contains_key(&v.vreg), std::cmp::Reverse(v.class.parts()), v.allowed.len(), v.first, v.vreg)
    });
    let mut out = Assignment::new();
    for v in order {
        let free = |r: &&Reg| {
            !asm.reserved.iter().any(|x| x.overlaps(**r))
                && r.atoms().iter().zip(&v.parts).all(|(a, occupied)| !busy[a.as_usize()].intersects(occupied))
        };
        let idle_since = |r: &Reg| r.atoms().iter().filter_map(|a| busy[a.as_usize()].last_below(v.first)).max();
        let Some(reg) = v.allowed.iter().filter(free).min_by_key(|r| idle_since(r)).copied() else {
            let mut occupied = Bits::new(halves);
            v.parts.iter().for_each(|part| {
                occupied.or(part);
            });
            return Err(Box::new(Unplaced { error: refusal(asm, flow, &values, &out, v), occupied }));
        };
        for (a, occupied) in reg.atoms().iter().zip(&v.parts) {
            busy[a.as_usize()].or(occupied);
        }
        out.insert(v.vreg, reg);
    }
    Ok(out)
}

fn refusal(asm: &Asm, flow: &Flow, values: &HashMap<VReg, Value>, done: &Assignment, v: &Value) -> CodegenError {
    let live = values
        .values()
        .filter(|o| o.class == v.class && o.parts.iter().any(|p| v.parts.iter().any(|q| p.intersects(q))))
        .count();
    let at = flow.points.get(v.first / 2).map_or_else(String::new, |p| match p.what {
        What::Op(n) => format!("{} (op {n})", asm.ops[n as usize].text),
        What::Undef => "undef".to_owned(),
        What::RawLine(i) => format!("raw bundle {i}"),
    });
    debug_assert!(!done.contains_key(&v.vreg));
    CodegenError::OutOfRegisters { class: v.class, live, available: v.allowed.len(), at }
}
