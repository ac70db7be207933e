//! Qᵀ of a core from the rows of its sixteen positions.
//!
//! ```text
//! Q    16 positions × 2 heads × 128, turned by the mem tile's pattern for K or for V: `l1::core_parameters`
//! Qᵀ   [4 query pairs][16 k][2 tiles][8 k][4 queries]       query tile 4 · head + j holds positions 4 j .. 4 j + 4
//! ```
//! One trip is 16 elements of eight positions of a head. Both streams leave a hole in the bits of its address, of Q or of Qᵀ, over which a step carries:
//! x ← ((x | gap) + step) & ~gap.

use aie2_codegen::{Asm, MemRef, Operand};

use super::super::{memory, score};
use super::l1::{B, PARAMETER_MEMORY, PARAMETERS, PLACES, ROWS_SPACE, core};
use crate::registers::{constant, shuffle};

/// Declared initiation interval of 16 elements of eight positions.
pub const II: u32 = 15;
/// Trips of a half of the walk.
const TRIPS: u32 = 16;
/// Bytes of a trip in Q and in Qᵀ.
const STEP: i64 = 32;
const STEP_TO: i64 = 256;

/// Emits the walk over the core's unit; A's stands at the address in `a_unit`.
pub fn emit(a: &mut Asm, a_unit: Operand) {
    let rows = MemRef::space(ROWS_SPACE);
    let to_memory = memory(score::Q_SPACE, PLACES.q);
    let p = a.p();
    a.imm(p, i64::from(PARAMETERS));
    let word = |a: &mut Asm, at: i64| {
        let r = a.r();
        a.mi(PARAMETER_MEMORY, "lda {}, [{}, {}]", &[r, p, at.into()]);
        r
    };
    let (row, tile, gap, gap_to) = (word(a, core::ROW), word(a, core::TILE), word(a, core::GAP), word(a, core::GAP_TO));
    let (half, half_to, on_b) = (word(a, core::HALF), word(a, core::HALF_TO), word(a, core::ON_B));
    let (from, b_unit) = (a.r(), constant(a, i64::from(B)));
    a.mov("r27".into(), on_b);
    a.i("sel.eqz {}, {}, {}, r27", &[from, a_unit, b_unit]);
    let next_tile = a.dj();
    a.mov(next_tile, tile);
    let (ones, step, step_to) = (constant(a, -1), constant(a, STEP), constant(a, STEP_TO));
    let (keep, keep_to) = (a.r(), a.r());
    a.i("xor {}, {}, {}", &[keep, gap, ones]);
    a.i("xor {}, {}, {}", &[keep_to, gap_to, ones]);
    let [even, odd] = shuffle::T128_4X2.map(|mode| constant(a, mode));
    let transpose = constant(a, shuffle::T16_4X8);
    let to = constant(a, i64::from(PLACES.q));
    a.loop_n("query_halves", 2, |a| {
        let (at, at_to) = (a.r(), constant(a, 0));
        a.mov(at, from);
        a.pipelined("queries", II, TRIPS, |a| {
            let pointers = [a.p(), a.p(), a.p(), a.p()];
            let address = a.r();
            a.mov(pointers[0], at);
            a.add(address, at, row);
            a.mov(pointers[1], address);
            a.add(address, address, row);
            a.mov(pointers[2], address);
            a.add(address, address, row);
            a.mov(pointers[3], address);
            let (target, store) = (a.r(), a.p());
            a.add(target, to, at_to);
            a.mov(store, target);
            let mut tiles = Vec::new();
            for second in [false, true] {
                let (x, y) = (a.x(), a.x());
                for (half, pointer) in [x.lo(), x.hi(), y.lo(), y.hi()].into_iter().zip(pointers) {
                    if second {
                        a.mi(rows, "vlda {}, [{}, {}]", &[half, pointer, next_tile]);
                    } else {
                        a.mi(rows, "vlda {}, [{}, #0]", &[half, pointer]);
                    }
                }
                let pair = [even, odd].map(|mode| {
                    let t = a.x();
                    a.i("vshuffle {}, {}, {}, {}", &[t, x, y, mode]);
                    a.i("vshuffle {}, {}, {}, {}", &[t, t, t, transpose]);
                    t
                });
                tiles.push(pair);
            }
            for k in 0..2 {
                for pair in &tiles {
                    a.vst(to_memory, pair[k].lo(), store, 32);
                    a.vst(to_memory, pair[k].hi(), store, 32);
                }
            }
            for (x, gap, keep, step) in [(at, gap, keep, step), (at_to, gap_to, keep_to, step_to)] {
                a.i("or {}, {}, {}", &[x, x, gap]);
                a.add(x, x, step);
                a.i("and {}, {}, {}", &[x, x, keep]);
            }
        });
        a.add(from, from, half);
        a.add(to, to, half_to);
    });
}
