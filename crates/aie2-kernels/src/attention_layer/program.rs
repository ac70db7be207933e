//! The program of every compute tile.
//!
//! ```text
//! for ever
//!     a block of a projection, as often as the dispatch has blocks
//!     behind queries, keys and values:  norm_rope; attention
//! ```
//! Rings stand at their first units between phases. What decides on the next phase is settled in the last pass of a block, before its last outputs
//! leave: a dispatch ends with them, and the next one writes new words.

use aie2_codegen::{Asm, CodegenError, Guards, MemRef, Operand, Program};

use super::array::{NORM_ROPE, PROJECTION, kept, words};
use super::{Extent, Region};
use crate::CoreBinary;
use crate::attention::scaled;
use crate::grid::{Locks, OUT_UNIT_BYTES};
use crate::norm_rope::{self, Pointers};
use crate::registers::constant;
use crate::w8a8::l1::space;
use crate::w8a8::phase::{Entry, Word};
use crate::w8a8::program::{CoreProgram, fixed};
use crate::w8a8::quantise::next_b_unit;

/// Labels at which the parts of the program begin.
mod parts {
    pub const MULTIPLY: &str = "pass";
    pub const SCALE: &str = "scale_outputs";
    pub const NORM_ROPE: &str = "norm_rope_phase";
    pub const ATTENTION: &str = "attention_phase";
    pub const RESUMED: &str = "resumed";
}

/// Parts of a program and where they lie, in order.
pub fn sections(program: &CoreBinary) -> Vec<Region> {
    let names = [
        (parts::MULTIPLY, "multiply"),
        (parts::SCALE, "scale, next phase"),
        (parts::NORM_ROPE, "norm_rope"),
        (parts::ATTENTION, "attention"),
        (parts::RESUMED, "multiply, resumed"),
    ];
    let starts = names.iter().filter_map(|(label, name)| Some((*program.symbols.get(*label)?, *name)));
    let mut starts: Vec<(u32, &str)> = std::iter::once((0, "start, quantise")).chain(starts).collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([program.bytes.len() as u32]);
    let section = |(&(at, name), end): (&(u32, &'static str), u32)| Region { name, at, bytes: end - at, kept: false };
    starts.iter().zip(ends).map(section).collect()
}

/// The words of a dispatch.
const WORDS: MemRef = MemRef::space(48).in_bank(1);

/// Compiles and checks the program.
///
/// # Errors
/// If a declared II is missed, registers or program memory run out, or the checker objects.
pub fn compile(locks: Locks, extent: Extent) -> Result<Program, CodegenError> {
    let mut a = Asm::new();
    match extent {
        Extent::Attention => between(&mut a, locks),
        Extent::Whole | Extent::Projections => emit(&mut a, locks, extent == Extent::Whole)?,
    }
    a.finish()
}

/// The phases between the projections.
fn between(a: &mut Asm, locks: Locks) {
    CoreProgram { l1: PROJECTION, locks }.clear_out(a);
    a.forever(|a| {
        let a_unit = constant(a, i64::from(NORM_ROPE.a));
        norm_rope(a, locks, a_unit);
        attention(a, locks, a_unit);
    });
}

fn emit(a: &mut Asm, locks: Locks, attends: bool) -> Result<(), CodegenError> {
    let projection = CoreProgram { l1: PROJECTION, locks };
    let code = projection.code(a)?;
    let (first, others) =
        (i64::from(PROJECTION.phases()), i64::from(PROJECTION.phases() + crate::w8a8::phase::ENTRY_BYTES));
    a.imm(fixed::PHASE.into(), first);
    projection.clear_out(a);
    let (phase, block) = (a.label("phase"), a.label("block"));
    a.bind(phase);
    projection.constants(a);
    a.bind(block);
    let behind = constant(a, 0);
    let idle = a.r();
    Entry::current(a).load(a, idle, Word::Idle);
    a.if_nz(idle, |a| {
        projection.acquire(a, locks.b_full, space::B.space);
        projection.release(a, locks.b_empty, space::B.space);
        next_b_unit(a);
    });
    let resumed = projection.block(a, code, |a| {
        let (p, left, blocks) = (a.p(), a.r(), a.r());
        a.imm(p, i64::from(words::AT));
        a.mi(WORDS, "lda {}, [{}, {}]", &[blocks, p, words::BLOCKS.into()]);
        a.mi(WORDS, "lda {}, [{}, {}]", &[left, p, words::LEFT.into()]);
        a.add(left, left, Operand::Imm(-1));
        a.if_z(left, |a| {
            a.mov(left, blocks);
            let second = constant(a, others);
            // not zero in front of the other phases
            a.i("xor {}, {}, {}", &[behind, fixed::PHASE.into(), second]);
            Entry::current(a).load(a, fixed::PHASE.into(), Word::Next);
        });
        a.mi(WORDS, "st {}, [{}, {}]", &[left, p, words::LEFT.into()]);
    });
    a.jz(behind, block);
    let part = |a: &mut Asm, name| {
        let label = a.label(name);
        a.bind(label);
    };
    part(a, parts::NORM_ROPE);
    let a_unit = constant(a, i64::from(NORM_ROPE.a));
    idle_unit(a, locks, a_unit);
    norm_rope(a, locks, a_unit);
    if attends {
        part(a, parts::ATTENTION);
        attention(a, locks, a_unit);
    }
    a.imm(fixed::PHASE.into(), others);
    a.jump(phase);
    resumed.emit(a);
    Ok(())
}

/// A unit of A, if the call would leave its ring at the second one.
fn idle_unit(a: &mut Asm, locks: Locks, a_unit: Operand) {
    let (p, idle, other) = (a.p(), a.r(), constant(a, i64::from(norm_rope::A_UNIT_BYTES)));
    a.imm(p, i64::from(words::AT));
    a.mi(WORDS, "lda {}, [{}, {}]", &[idle, p, words::IDLE.into()]);
    a.if_nz(idle, |a| {
        let (one, minus_one) = (constant(a, 1), constant(a, -1));
        a.acq(Guards::Spaces(vec![space::A.space]), locks.a_full, minus_one);
        a.rel(Guards::Spaces(vec![space::A.space]), locks.a_empty, one);
        a.i("xor {}, {}, {}", &[a_unit, a_unit, other]);
    });
}

/// The phase, whose scores take the place of what the others keep.
fn attention(a: &mut Asm, locks: Locks, a_unit: Operand) {
    copy(a, "away", kept::HOME, kept::AWAY);
    scaled::emit(a, locks, a_unit);
    copy(a, "home", kept::AWAY, kept::HOME);
}

/// Copies what is kept.
fn copy(a: &mut Asm, name: &str, from: u32, to: u32) {
    let memory = |at: u32| MemRef::ANY.in_bank((at >> 14 & 3) as u8);
    let (load, store) = (a.p(), a.p());
    a.imm(load, i64::from(from));
    a.imm(store, i64::from(to));
    a.loop_n(name, kept::BYTES / 64, |a| {
        let x = a.x();
        for half in [x.lo(), x.hi()] {
            a.vlda(memory(from), half, load, 32);
        }
        for half in [x.lo(), x.hi()] {
            a.vst(memory(to), half, store, 32);
        }
    });
}

/// The phase, and behind it a turn of results without meaning if it would leave the out ring elsewhere than at its first unit.
fn norm_rope(a: &mut Asm, locks: Locks, a_unit: Operand) {
    let l1 = NORM_ROPE;
    let pointers = Pointers { a: a_unit, b: constant(a, i64::from(l1.b)), out: constant(a, i64::from(l1.out)) };
    norm_rope::Phase { l1, locks, pointers }.emit(a);
    let (odd, bit) = (a.r(), constant(a, 2 * i64::from(OUT_UNIT_BYTES)));
    a.i("and {}, {}, {}", &[odd, pointers.out, bit]);
    a.if_nz(odd, |a| {
        let (two, minus_two) = (constant(a, 2), constant(a, -2));
        a.acq(Guards::Spaces(vec![space::OUT.space]), locks.out_empty, minus_two);
        a.rel(Guards::Spaces(vec![space::OUT.space]), locks.out_full, two);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use aie2_codegen::PROGRAM_BYTES;

    use crate::attention_layer::array::Array;

    #[test]
    fn parts_of_the_program() {
        let panels = npu_package::layout::Panels::output(4096, 768).expect("legal dimensions");
        let shape = npu_package::layout::ProjectionShape::with_panels(1, panels).expect("a legal shape");
        let entry = crate::w8a8::phase::Phase::projection(&shape).among_others(PROJECTION, 0);
        let locks = Array::new(&[entry; 2]).expect("the array is legal").locks();
        let length = |emit: &dyn Fn(&mut Asm)| {
            let mut a = Asm::new();
            emit(&mut a);
            a.done();
            a.finish().map(|program| program.bytes.len())
        };
        let nothing = length(&|_| ()).expect("an empty program");
        let norm = length(&|a| {
            let unit = constant(a, i64::from(NORM_ROPE.a));
            norm_rope(a, locks, unit);
        });
        let attend = length(&|a| {
            let unit = constant(a, i64::from(NORM_ROPE.a));
            attention(a, locks, unit);
        });
        let bytes = |extent| compile(locks, extent).map(|program| program.bytes.len());
        let [norm, attend] = [norm, attend].map(|bytes| bytes.expect("it compiles") - nothing);
        let [projections, between] =
            [Extent::Projections, Extent::Attention].map(|extent| bytes(extent).expect("the program fits"));
        println!(
            "norm_rope {norm}, attention {attend}, between projections {between}, without attention {projections}"
        );
        println!("projections and what leads from phase to phase {}", projections - norm);
        let all = projections + attend;
        match bytes(Extent::Whole) {
            Ok(whole) => assert!(whole <= PROGRAM_BYTES, "{whole}"),
            Err(CodegenError::TooLarge { bytes, .. }) => assert!(bytes.abs_diff(all) < 256, "{bytes} against {all}"),
            Err(other) => panic!("{other}"),
        }
    }
}
