//! Shared pieces of the tests.
#![allow(dead_code)]

use aie2_codegen::check::{self, CheckError};
use aie2_codegen::{Asm, CodegenError, MemRef, Operand, Program};
use aie2_isa::{Bundle, Slot};

/// Physical register by name.
pub fn reg(name: &str) -> Operand {
    match Operand::reg(name) {
        Operand::NoSuchView => panic!("no register {name}"),
        o => o,
    }
}

pub fn imm(v: i64) -> Operand {
    Operand::Imm(v)
}

/// Three buffers in different logical banks.
pub const A: MemRef = MemRef::space(1).in_bank(0);
pub const B: MemRef = MemRef::space(2).in_bank(1);
pub const C: MemRef = MemRef::space(3).in_bank(2);

/// Finishes a program with `done`.
pub fn build(f: impl FnOnce(&mut Asm)) -> Result<Program, CodegenError> {
    let mut asm = Asm::new();
    asm.wide(true);
    f(&mut asm);
    asm.done();
    asm.finish()
}

/// Index of the line that holds an instruction with this text prefix (the `nth` one).
pub fn find(p: &Program, prefix: &str, nth: usize) -> (usize, Slot) {
    let mut hits = p.lines.iter().enumerate().flat_map(|(i, l)| l.bundle.iter().map(move |insn| (i, insn)));
    let hit = hits.by_ref().filter(|(_, insn)| insn.to_string().starts_with(prefix)).nth(nth);
    let (i, insn) = hit.unwrap_or_else(|| panic!("no {prefix} in\n{}", p.listing()));
    (i, insn.slot())
}

/// Distance in bundles between two instructions.
pub fn distance(p: &Program, first: &str, second: &str) -> i64 {
    find(p, second, 0).0 as i64 - find(p, first, 0).0 as i64
}

/// Moves one instruction `by` lines (certificate entry and all) and checks again. The program must be built wide.
pub fn shifted(p: &Program, prefix: &str, nth: usize, by: i64) -> Result<check::Verdict, Box<CheckError>> {
    let (from, slot) = find(p, prefix, nth);
    let to = (from as i64 + by) as usize;
    let mut bundles: Vec<Bundle> = p.lines.iter().map(|l| l.bundle).collect();
    let insn = bundles[from].remove(slot).expect("found above");
    bundles[to].insert(insn).unwrap_or_else(|e| panic!("{prefix} by {by}: {e}\n{}", p.listing()));
    let mut certificate = p.certificate.clone();
    let notes = &mut certificate.bundles.get_mut(&p.lines[from].pc).expect("every line has a note").ops;
    let k = notes.iter().position(|n| n.slot == slot).expect("every instruction has a note");
    let note = notes.remove(k);
    certificate.bundles.get_mut(&p.lines[to].pc).expect("every line has a note").ops.push(note);
    let bytes: Vec<u8> =
        bundles.iter().flat_map(|b| b.encode_at_least(16).expect("16 bytes hold every slot").to_vec()).collect();
    assert_eq!(bytes.len(), p.bytes.len());
    check::check(&bytes, p.entry, &certificate)
}
