//! The end of a pass: bf16(O / l) in the order of the output. Spec: `oracle::flash::quotient`.
//!
//! ```text
//! out   [2 pairs of positions][8 columns of 16 bytes][8 rows: position, head, half of d][8 d]      two units of the out ring
//! ```
//! so that the DMA, which takes a unit row by row, sends position after position: two heads of 128.

use aie2_codegen::{Asm, MemRef};

use super::l1::{L, O, O_HEAD_BYTES, O_LOAD, OUT, OUT_MEMORY, RECIPROCALS, ROWS};
use crate::attention::finish::{ONE, Quotient};
use crate::attention::recip::{self, Buffer, Function};
use crate::grid::OUT_UNIT_BYTES;
use crate::registers::{config, constant, half_splat, shuffle, splat16};

/// Declared initiation interval of 16 d of a head.
pub const QUOTIENT_II: u32 = 40;

/// Bytes of the tiles of d of half a head, of two tiles.
const HALF_BYTES: i64 = 1024;
/// Bytes of a column of the out ring.
const COLUMN_BYTES: i64 = 128;
/// Reciprocals, each in the place of its sum, which was loaded before.
const RECIPROCAL_MEMORY: MemRef = MemRef::space(7).in_bank(3);

/// Emits it; the out ring is empty.
pub fn emit(a: &mut Asm) {
    // a half of the sums of each head holds all of them
    let (from, to, w) = (a.p(), a.p(), [a.w(), a.w()]);
    a.imm(from, i64::from(L));
    a.imm(to, i64::from(RECIPROCALS));
    for w in w {
        a.vlda(MemRef::ANY, w, from, 64);
        a.vst(MemRef::ANY, w, to, 32);
    }
    let sums = Buffer { at: RECIPROCALS, memory: ROWS };
    recip::emit(a, Function::Reciprocal, 1, sums, Buffer { memory: RECIPROCAL_MEMORY, ..sums });

    let (one, float) = (half_splat(a, ONE), constant(a, config::BF16_ELEMENTWISE));
    let transpose = constant(a, shuffle::T16_8X4);
    let by_position = shuffle::T128_2X4.map(|mode| constant(a, mode));
    let highs = [splat16(a, 0), splat16(a, 0)];
    let reciprocal = a.p();
    a.imm(reciprocal, i64::from(RECIPROCALS));
    let [outputs, column] = [O, OUT].map(|at| constant(a, i64::from(at)));
    a.loop_n("heads", 2, |a| {
        let (r, rest, r1, r2) = (a.bm(), a.bm(), a.x(), a.x());
        a.vlda(RECIPROCAL_MEMORY, r.am(0), reciprocal, 0);
        a.vlda(RECIPROCAL_MEMORY, r.am(1), reciprocal, 32);
        a.i("vconv.bf16.fp32 {}, {}", &[highs[0].lo(), r]);
        a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, r, highs[0], one, float]);
        a.i("vmov {}, {}", &[r1.lo(), highs[0].lo()]);
        a.i("vmov {}, {}", &[r1.hi(), highs[0].lo()]);
        a.i("vconv.bf16.fp32 {}, {}", &[r2.lo(), rest]);
        a.i("vmov {}, {}", &[r2.hi(), r2.lo()]);
        let (half, unit) = (constant(a, HALF_BYTES), constant(a, i64::from(OUT_UNIT_BYTES)));
        let t = a.r();
        let (low, high, first, second) = (a.p(), a.p(), a.p(), a.p());
        a.mov(low, outputs);
        a.add(t, outputs, half);
        a.mov(high, t);
        a.mov(first, column);
        a.add(t, column, unit);
        a.mov(second, t);
        a.pipelined("quotient", QUOTIENT_II, 8, |a| {
            let halves = [low, high].map(|load| {
                let d = a.x();
                Quotient { highs, one, float, from: O_LOAD, load }.pair(a, r1, r2, d);
                a.i("vshuffle {}, {}, {}, {}", &[d, d, d, transpose]);
                d
            });
            for (mode, to) in by_position.into_iter().zip([first, second]) {
                let rows = a.x();
                a.i("vshuffle {}, {}, {}, {}", &[rows, halves[0], halves[1], mode]);
                a.vst(OUT_MEMORY, rows.lo(), to, 64);
                a.vst(OUT_MEMORY, rows.hi(), to, COLUMN_BYTES - 64);
            }
        });
        let (head, row) = (constant(a, i64::from(O_HEAD_BYTES)), constant(a, 32));
        a.add(outputs, outputs, head);
        a.add(column, column, row);
    });
}
