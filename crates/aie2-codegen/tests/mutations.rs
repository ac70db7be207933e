//! Legal programs with one thing changed: the checker must object.
mod common;
use aie2_codegen::check::{self, CheckError};
use aie2_codegen::{Operand, Program, Trip};
use aie2_isa::{Bundle, Insn, OperandKind, Role, Value};
use common::*;

fn product() -> Program {
    build(|a| {
        let (pa, pb, pc, c) = (a.p(), a.p(), a.p(), a.r());
        let acc: Vec<Operand> = (0..4).map(|_| a.cm()).collect();
        let x: Vec<Operand> = (0..2).map(|_| a.x()).collect();
        let y: Vec<Operand> = (0..2).map(|_| a.x()).collect();
        a.imm(pa, 0x70000);
        a.imm(pb, 0x74000);
        a.imm(pc, 0x78000);
        a.imm(c, 776);
        acc.iter().for_each(|r| a.i("vclr {}", &[*r]));
        let n = a.r();
        a.imm(n, 40);
        a.loop_n("tile", 3, |a| {
            a.pipelined("k", 5, Trip::Reg { reg: n, min: 8 }, |a| {
                for w in &x {
                    a.vlda(A, w.lo(), pa, 32);
                    a.vlda(A, w.hi(), pa, 32);
                }
                for w in &y {
                    a.vldb(B, w.lo(), pb, 32);
                    a.vldb(B, w.hi(), pb, 32);
                }
                for i in 0..4 {
                    a.vmac(acc[i], x[i % 2], y[i / 2], c);
                }
            });
            for r in &acc {
                (0..4).for_each(|q| a.vst(C, r.am(q), pc, 32));
            }
        });
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

fn recheck(p: &Program, line: usize, bundle: Bundle) -> Result<check::Verdict, Box<CheckError>> {
    let mut bytes = p.bytes.clone();
    let at = p.lines[line].pc as usize;
    bytes[at..at + 16].copy_from_slice(&bundle.encode_at_least(16).unwrap());
    check::check(&bytes, p.entry, &p.certificate)
}

/// Every variation of one source or result register of one instruction.
fn with_other_registers(insn: &Insn, role: Role) -> Vec<Insn> {
    let given: Vec<Value> = insn.given().collect();
    let defs: Vec<_> = insn.row().given().collect();
    let mut out = Vec::new();
    for (k, def) in defs.iter().enumerate() {
        let (OperandKind::Class(class), Value::Reg(old)) = (def.kind, given[k]) else { continue };
        if def.role != role {
            continue;
        }
        for (other, _) in class.regs().iter().filter(|(r, _)| !r.overlaps(old)) {
            let mut changed = given.clone();
            changed[k] = Value::Reg(*other);
            out.extend(Insn::new(insn.op(), &changed));
        }
    }
    out
}

#[test]
fn another_source_register_is_noticed() {
    let p = product();
    assert_eq!(p.loops[0].ii_reached, 5);
    let mut tried = 0;
    for (i, line) in p.lines.iter().enumerate() {
        for insn in line.bundle.iter() {
            for other in with_other_registers(insn, Role::In) {
                let mut bundle = line.bundle;
                bundle.remove(insn.slot());
                bundle.insert(other).unwrap();
                assert!(recheck(&p, i, bundle).is_err(), "{insn} as {other} at {:#x}\n{}", line.pc, p.listing());
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn another_result_register_is_noticed() {
    let p = product();
    for (i, line) in p.lines.iter().enumerate() {
        for insn in line.bundle.iter().filter(|x| ["vmac", "vlda", "vldb"].contains(&x.row().mnemonic)) {
            for other in with_other_registers(insn, Role::Out) {
                let mut bundle = line.bundle;
                bundle.remove(insn.slot());
                bundle.insert(other).unwrap();
                assert!(recheck(&p, i, bundle).is_err(), "{insn} as {other} at {:#x}", line.pc);
            }
        }
    }
}

#[test]
fn a_missing_instruction_is_noticed() {
    let p = product();
    for (i, line) in p.lines.iter().enumerate() {
        for insn in line.bundle.iter() {
            let mut bundle = line.bundle;
            bundle.remove(insn.slot());
            assert!(recheck(&p, i, bundle).is_err(), "{insn} removed at {:#x}", line.pc);
            // Certificate and all: an operation of the source program is not executed.
            let mut p = p.clone();
            let notes = &mut p.certificate.bundles.get_mut(&line.pc).unwrap().ops;
            notes.retain(|n| n.slot != insn.slot());
            assert!(recheck(&p, i, bundle).is_err(), "{insn} removed with its note at {:#x}", line.pc);
        }
    }
}

/// Every instruction of the steady loop moved by one bundle: its neighbours of other iterations notice.
#[test]
fn steady_instructions_do_not_move_freely() {
    let p = product();
    let steady: Vec<usize> = (0..p.lines.len()).filter(|i| p.lines[*i].place.starts_with("k steady")).collect();
    let (mut objected, mut tried) = (0, 0);
    for &i in &steady {
        for insn in p.lines[i].bundle.iter().filter(|x| x.row().mnemonic == "vmac") {
            // The vector slot is full: swap two multiplies, notes included.
            for &j in steady.iter().filter(|j| **j != i) {
                let Some(&other) = p.lines[j].bundle.get(insn.slot()) else { continue };
                let mut q = p.clone();
                let (mut a, mut b) = (p.lines[i].bundle, p.lines[j].bundle);
                a.remove(insn.slot());
                b.remove(insn.slot());
                a.insert(other).unwrap();
                b.insert(*insn).unwrap();
                let at = p.lines[j].pc as usize;
                q.bytes[at..at + 16].copy_from_slice(&b.encode_at_least(16).unwrap());
                let mut take = |pc: u32| {
                    let notes = &mut q.certificate.bundles.get_mut(&pc).unwrap().ops;
                    notes.remove(notes.iter().position(|n| n.slot == insn.slot()).unwrap())
                };
                let (na, nb) = (take(p.lines[i].pc), take(p.lines[j].pc));
                q.certificate.bundles.get_mut(&p.lines[i].pc).unwrap().ops.push(nb);
                q.certificate.bundles.get_mut(&p.lines[j].pc).unwrap().ops.push(na);
                tried += 1;
                objected += usize::from(recheck(&q, i, a).is_err());
            }
        }
    }
    // Four multiplies in five bundles with single-buffered operands: hardly any two can change places.
    assert!(tried == 12 && objected >= 8, "{objected} of {tried} swaps refused\n{}", p.listing());
}
