//! The program of every compute tile.
//!
//! ```text
//! for ever                                              a dispatch
//!     plan from both units of B
//!     for every head, for every group of 256 positions      a pass
//!         r = -∞, l = 0, O = 0
//!         Qᵀ from the core's own of the two units of A and two pairs of B
//!         for every block of 32 keys
//!             release it unread, if it is hidden from all sixteen positions; else
//!             Sᵀ = patterns(K Qᵀ), masked on the edges; references, rescale, Pᵀ, l
//!             O += Vᵀ Pᵀ, half the head after the other
//!         8 units of bf16(O / l)
//! ```

use aie2_codegen::{Asm, CodegenError, Guards, Operand, Program};

use super::super::{finish, memory, output, score, softmax};
use super::l1::{self, A_UNIT_BYTES, B, HEADER, PARAMETER_MEMORY, PARAMETERS, PLACES, TABLE, core, header};
use super::{coded, mask, queries};
use crate::grid::Locks;
use crate::registers::{constant, set_modes, splat32};

/// Alias classes that arrive on A and on B.
const A_SPACES: [u16; 3] = [score::K_MEMORY.space, l1::ROWS_SPACE, coded::CODE_SPACE];
const B_SPACES: [u16; 3] = [output::V_MEMORY.space, l1::ROWS_SPACE, coded::CODE_SPACE];
/// Bytes of a group's words in the table: blocks, and the distance from its first key to its first position.
const ENTRY: i64 = 4;

/// Compiles and checks the program.
///
/// # Errors
/// If a declared II is missed, registers or program memory run out, or the checker objects.
pub fn compile(locks: Locks, coded: bool) -> Result<Program, CodegenError> {
    let mut a = Asm::new();
    set_modes(&mut a);
    let a_unit = constant(&mut a, i64::from(l1::A));
    a.forever(|a| Emitter { locks, a_unit, coded }.dispatch(a));
    a.finish()
}

/// Emits one dispatch. The register holds the address of the next unit of A and is kept; B and the out ring stand at their first units, before and
/// after. Rounding and saturation are set: to even, to the full range.
pub fn emit(a: &mut Asm, locks: Locks, a_unit: Operand) {
    Emitter { locks, a_unit, coded: false }.dispatch(a);
}

struct Emitter {
    locks: Locks,
    /// Where the next unit of A stands.
    a_unit: Operand,
    /// The cache holds codes.
    coded: bool,
}

/// A word of the parameters.
fn word(a: &mut Asm, at: i64) -> Operand {
    let (r, p) = (a.r(), a.p());
    a.imm(p, at);
    a.mi(PARAMETER_MEMORY, "lda {}, [{}, #0]", &[r, p]);
    r
}

fn header_word(a: &mut Asm, at: i64) -> Operand {
    word(a, i64::from(HEADER) + at)
}

impl Emitter {
    fn take(&self, a: &mut Asm, lock: u8, spaces: &[u16], units: i64) {
        let count = constant(a, -units);
        a.acq(Guards::Spaces(spaces.to_vec()), lock, count);
    }

    fn give(&self, a: &mut Asm, lock: u8, spaces: &[u16], units: i64) {
        let count = constant(a, units);
        a.rel(Guards::Spaces(spaces.to_vec()), lock, count);
    }

    fn take_a(&self, a: &mut Asm) {
        self.take(a, self.locks.a_full, &A_SPACES, 1);
    }

    fn give_a(&self, a: &mut Asm) {
        self.give(a, self.locks.a_empty, &A_SPACES, 1);
        let other = constant(a, i64::from(A_UNIT_BYTES));
        a.i("xor {}, {}, {}", &[self.a_unit, self.a_unit, other]);
    }

    fn take_b(&self, a: &mut Asm, units: i64) {
        self.take(a, self.locks.b_full, &B_SPACES, units);
    }

    fn give_b(&self, a: &mut Asm, units: i64) {
        self.give(a, self.locks.b_empty, &B_SPACES, units);
    }

    fn dispatch(&self, a: &mut Asm) {
        self.take_b(a, 2);
        copy_plan(a);
        self.give_b(a, 2);
        let heads = header_word(a, header::HEADS);
        let head = a.label("head");
        a.bind(head);
        let groups = header_word(a, header::GROUPS);
        let entry = constant(a, i64::from(TABLE));
        let group = a.label("group");
        a.bind(group);
        self.pass(a, entry);
        a.add(groups, groups, Operand::Imm(-1));
        a.jnz(groups, group);
        a.add(heads, heads, Operand::Imm(-1));
        a.jnz(heads, head);
    }

    fn pass(&self, a: &mut Asm, entry: Operand) {
        start_rows(a);
        self.queries(a);
        let (p, blocks, distance) = (a.p(), a.r(), a.r());
        a.mov(p, entry);
        a.mi(PARAMETER_MEMORY, "lda {}, [{}], {}", &[blocks, p, ENTRY.into()]);
        a.mi(PARAMETER_MEMORY, "lda {}, [{}], {}", &[distance, p, ENTRY.into()]);
        a.mov(entry, p);
        let first = word(a, i64::from(PARAMETERS) + core::FIRST);
        a.add(distance, distance, first);
        let begun = constant(a, 0);
        let block = a.label("block");
        a.bind(block);
        self.block(a, distance, begun);
        a.add(distance, distance, Operand::Imm(-i64::from(score::KEYS)));
        a.add(blocks, blocks, Operand::Imm(-1));
        a.jnz(blocks, block);
        finish::emit_units(a, &PLACES, &self.out());
    }

    fn out(&self) -> finish::Out {
        finish::Out { at: l1::OUT, units: l1::OUT_UNITS, empty: self.locks.out_empty, full: self.locks.out_full }
    }

    /// Both streams in step; the core's unit is the first or the second of its own.
    fn queries(&self, a: &mut Asm) {
        let before = word(a, i64::from(PARAMETERS) + core::UNIT);
        a.loop_n("query_units", 2, |a| {
            self.take_a(a);
            self.take_b(a, 2);
            a.if_z(before, |a| queries::emit(a, self.a_unit));
            self.give_a(a);
            self.give_b(a, 2);
            a.add(before, before, Operand::Imm(-1));
        });
    }

    fn block(&self, a: &mut Asm, distance: Operand, begun: Operand) {
        let (unread, next) = (a.label("unread"), a.label("next"));
        self.take_a(a);
        let (reach, hidden) = (a.r(), header_word(a, header::HIDDEN));
        a.add(reach, distance, Operand::Imm(super::TILE as i64 - 1));
        a.i("geu {}, {}, {}", &[hidden, reach, hidden]);
        a.jnz(hidden, unread);

        if self.coded {
            coded::keys(a, self.a_unit);
        }
        score::emit_at(a, self.a_unit, &PLACES);
        self.give_a(a);
        let (inside, whole) = (a.r(), header_word(a, header::WHOLE));
        a.add(inside, distance, Operand::Imm(1 - i64::from(score::KEYS)));
        a.i("ltu {}, {}, {}", &[whole, inside, whole]);
        a.if_z(whole, |a| {
            let window = header_word(a, header::WINDOW);
            mask::emit(a, distance, window);
        });
        let changed = softmax::emit_references_at(a, &PLACES);
        // before the first block there is nothing to rescale
        a.i("and {}, {}, {}", &[changed, changed, begun]);
        a.imm(begun, 1);
        a.if_nz(changed, |a| softmax::emit_rescale_at(a, &PLACES));
        softmax::emit_probabilities_at(a, &PLACES);
        if self.coded {
            self.take_b(a, 2);
            let unit = constant(a, i64::from(B));
            coded::values(a, unit);
        }
        let c = output::Constants::new(a, &PLACES);
        a.loop_n("value_halves", 2, |a| {
            if !self.coded {
                self.take_b(a, 1);
            }
            output::emit_groups(a, &c, output::D_GROUPS / 2, &PLACES);
            self.give_b(a, 1);
        });
        a.jump(next);

        a.bind(unread);
        self.give_a(a);
        self.take_b(a, 2);
        self.give_b(a, 2);
        a.bind(next);
    }
}

/// The table and the header of the plan, as the mem tile has turned it: 256 bytes at the start of B and 32 a quarter of a unit further on.
fn copy_plan(a: &mut Asm) {
    let (from, to, words) = (a.p(), a.p(), a.w());
    a.imm(from, i64::from(B + super::HEADER_AT));
    a.imm(to, i64::from(HEADER));
    a.vlda(output::V_MEMORY, words, from, 32);
    a.vst(PARAMETER_MEMORY, words, to, 32);
    a.imm(from, i64::from(B));
    a.imm(to, i64::from(TABLE));
    a.loop_n("plan", super::TABLE_BYTES / 32, |a| {
        let words = a.w();
        a.vlda(output::V_MEMORY, words, from, 32);
        a.vst(PARAMETER_MEMORY, words, to, 32);
    });
}

/// Stores of a trip: as many as a loop's branch and its delay slots take.
const STORES: u32 = 8;

/// r = -∞, l = 0, O = 0.
fn start_rows(a: &mut Asm) {
    let (start, zero) = (splat32(a, i64::from(softmax::START + softmax::REFERENCE_OFFSET)), splat32(a, 0));
    let [r, l, o] = [PLACES.r, PLACES.l, PLACES.o].map(|at| {
        let p = a.p();
        a.imm(p, i64::from(at));
        p
    });
    let rows = softmax::QUERY_TILES * softmax::ROW_BYTES;
    a.loop_n("start_rows", rows / (32 * STORES / 2), |a| {
        for _ in 0..STORES / 2 {
            a.vst(memory(softmax::R_STORE_SPACE, PLACES.r), start.lo(), r, 32);
            a.vst(memory(softmax::L_STORE_SPACE, PLACES.l), zero.lo(), l, 32);
        }
    });
    a.loop_n("start_outputs", 4 * 128 * score::QUERIES / (32 * STORES), |a| {
        for _ in 0..STORES {
            a.vst(memory(output::O_STORE_SPACE, PLACES.o), zero.lo(), o, 32);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::alone;

    /// Bytes of a part that runs on its own, less those of an empty program.
    fn bytes(part: &dyn Fn(&mut Asm)) -> usize {
        let whole = |part: &dyn Fn(&mut Asm)| alone(part).expect("the part compiles").bytes.len();
        whole(part) - whole(&|_| ())
    }

    #[test]
    fn parts_of_the_program_are_as_long_as_documented() {
        let places = &PLACES;
        let out = finish::Out { at: l1::OUT, units: l1::OUT_UNITS, empty: 48, full: 49 };
        let number = |a: &mut Asm| constant(a, i64::from(l1::A));
        let parts: [(&str, &dyn Fn(&mut Asm), usize); 11] = [
            ("start of a pass", &start_rows, 144),
            (
                "queries",
                &|a| {
                    let unit = number(a);
                    queries::emit(a, unit)
                },
                448,
            ),
            (
                "score",
                &|a| {
                    let k = number(a);
                    score::emit_at(a, k, places)
                },
                1552,
            ),
            (
                "mask",
                &|a| {
                    let d = number(a);
                    mask::emit(a, d, d)
                },
                224,
            ),
            (
                "references",
                &|a| {
                    softmax::emit_references_at(a, places);
                },
                496,
            ),
            ("rescale", &|a| softmax::emit_rescale_at(a, places), 608),
            ("probabilities", &|a| softmax::emit_probabilities_at(a, places), 1008),
            (
                "output",
                &|a| {
                    let c = output::Constants::new(a, places);
                    output::emit_groups(a, &c, 4, places)
                },
                1440,
            ),
            (
                "codes of keys",
                &|a| {
                    let unit = number(a);
                    coded::keys(a, unit)
                },
                512,
            ),
            (
                "codes of values",
                &|a| {
                    let unit = number(a);
                    coded::values(a, unit)
                },
                672,
            ),
            ("end of a pass", &|a| finish::emit_units(a, places, &out), 1344),
        ];
        for (name, part, most) in parts {
            let bytes = bytes(part);
            println!("{name}: {bytes} bytes");
            assert!(bytes <= most, "{name}: {bytes} bytes");
        }
    }
}
