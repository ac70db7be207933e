//! The program of every compute tile: for ever { copy x; for each pass { watch both streams; in its turn dequantise and multiply } }.
//!
//! ```text
//! step     one unit of A and one of B; a core multiplies one of them or neither
//! pass     K / 128 steps; A in all but the last two, B in all but the first two
//! turn     every fourth pass on A, and two passes later on B, which ends a result: half a unit of the out ring
//! ```
//! Nothing is set up per dispatch: the rings' pointers are registers that stay.

use aie2_codegen::{Asm, CodegenError, Operand, Program, Trip};

use super::l1::{self, space};
use crate::decode_projection;
use crate::decode_projection::program::shifted;
use crate::decode_projection::results::Results;
use crate::grid::{Locks, OUT_UNIT_BYTES};
use crate::registers::{config, constant, half_accumulator, splat32};
use crate::rings::RingRegs;
use crate::w8a16_groups::output::{Rows, SUM_BYTES, take_sums};
use crate::w8a16_groups::start;
use crate::w8a16_groups::weights::{ByColumns, COLUMN_PAIRS, Dequantise, Groups, K_TILES, N_TILES, unit_parts};

/// Declared initiation interval of 64 inputs of 16 outputs.
const MULTIPLY_II: u32 = 260;
/// Declared initiation interval of 16 outputs of all tokens on their way out.
const SEND_II: u32 = 20;
/// Bytes of x that a trip of the copying loop takes, and of a token's 8 inputs; of those of all tokens.
const ROW_BYTES: u32 = 128;
const PIECE_BYTES: u32 = 16;
const TILE_BYTES: u32 = 64;
/// Passes by which B is behind A.
const LAG: i64 = 2;
/// Tokens computed at once.
const TOKENS: u32 = 4;
/// Bytes of a column of the out ring.
const COLUMN_BYTES: u32 = 128;

/// What a projection is to the program, beside the core's turn: words of L1, so that one program serves them all.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// As without groups.
    pub projection: decode_projection::program::Parameters,
    /// Size of a group.
    pub groups: Groups,
}

/// Bytes of the parameters, rounded up.
pub const PARAMETER_BYTES: u32 = 32;

impl Parameters {
    /// The words of a core whose first pass comes after `turn` others.
    pub fn bytes(self, turn: u8) -> Vec<u8> {
        let units = l1::x_bytes(self.projection.k).div_ceil(self.groups.unit_bytes());
        [self.projection.bytes(turn), units.to_le_bytes().to_vec()].concat()
    }
}

/// What the program depends on.
#[derive(Clone, Copy, Debug)]
pub struct CoreProgram {
    /// Size of a group.
    pub groups: Groups,
    /// Locks of the rings.
    pub locks: Locks,
}

impl CoreProgram {
    /// Compiles and checks the program.
    ///
    /// # Errors
    /// If a declared II is missed, registers or program memory run out, or the checker objects.
    pub fn compile(&self) -> Result<Program, CodegenError> {
        let mut a = Asm::new();
        let sums = ("clear_sums", space::SUMS, l1::SUMS, l1::SUMS_BYTES);
        let out = ("clear_out", space::OUT, l1::OUT, l1::RING_UNITS * OUT_UNIT_BYTES);
        let rings = start(&mut a, self.locks, [l1::A, l1::B, l1::OUT], [sums, out]);
        let dispatch = a.label("dispatch");
        a.bind(dispatch);
        let [turn, k, passes, left, units] = [(); 5].map(|()| a.r());
        let p = a.p();
        a.imm(p, i64::from(l1::PARAMETERS));
        for word in [turn, k, passes, left, units] {
            a.mi(space::PARAMETERS, "lda {}, [{}], #4", &[word, p]);
        }
        let results = Results { rings: &rings, memory: space::OUT, left, bias: 0 };
        self.copy_x(&mut a, &rings, k, units);
        let (steps, half_x) = (a.r(), a.r());
        shifted(&mut a, steps, k, -7);
        // x of K / 2 inputs
        shifted(&mut a, half_x, k, 2);
        let (lag, both) = (constant(&mut a, LAG), constant(&mut a, LAG));
        a.add(both, both, passes);
        a.loop_n("pass", Trip::Reg { reg: both, min: 1 }, |a| {
            let (own, on_b, x, t) = (constant(a, 0), constant(a, 0), constant(a, i64::from(l1::X)), constant(a, LAG));
            a.if_nz(passes, |a| a.if_z(turn, |a| a.imm(own, 1)));
            a.if_z(lag, |a| {
                a.i("xor {}, {}, {}", &[t, t, turn]);
                a.if_z(t, |a| {
                    a.imm(own, 1);
                    a.imm(on_b, 1);
                    a.add(x, x, half_x);
                });
            });
            a.loop_n("step", Trip::Reg { reg: steps, min: 2 }, |a| {
                a.if_nz(passes, |a| rings.acquire_a(a, space::WEIGHTS));
                a.if_z(lag, |a| rings.acquire_b(a, space::WEIGHTS));
                a.if_nz(own, |a| {
                    let (unit, next) = (a.r(), constant(a, 8 * i64::from(TILE_BYTES)));
                    a.mov("r27".into(), on_b);
                    a.i("sel.nez {}, {}, {}, r27", &[unit, rings.b, rings.a]);
                    self.multiply(a, unit, x);
                    a.add(x, x, next);
                });
                a.if_nz(passes, |a| self.pass_a(a, &rings));
                a.if_z(lag, |a| self.pass_b(a, &rings));
            });
            a.if_nz(on_b, |a| {
                let out = results.begin(a);
                let scale_outputs = a.label("scale_outputs");
                a.bind(scale_outputs);
                send(a, out);
                results.end(a);
            });
            a.if_nz(passes, |a| a.add(passes, passes, Operand::Imm(-1)));
            a.if_nz(lag, |a| a.add(lag, lag, Operand::Imm(-1)));
            let t = constant(a, 3);
            a.add(turn, turn, Operand::Imm(-1));
            a.i("and {}, {}, {}", &[turn, turn, t]);
        });
        results.end_turn(&mut a);
        a.jump(dispatch);
        a.finish()
    }

    /// Copies x from B, token after token, to tiles of all tokens.
    fn copy_x(&self, a: &mut Asm, rings: &RingRegs, k: Operand, units: Operand) {
        let (rows, need, first, tokens) = (a.r(), a.r(), constant(a, i64::from(l1::X)), constant(a, i64::from(TOKENS)));
        shifted(a, rows, k, -6);
        a.mov(need, rows);
        let (from, to, piece) = (a.p(), a.p(), a.m());
        a.imm(piece, i64::from(PIECE_BYTES));
        a.mov(to, first);
        a.loop_n("x_units", Trip::Reg { reg: units, min: 1 }, |a| {
            rings.acquire_b(a, space::WEIGHTS);
            a.mov(from, rings.b);
            a.loop_n("x_rows", self.groups.unit_bytes() / ROW_BYTES, |a| {
                // behind the last token the rest of the unit has no meaning
                a.if_nz(tokens, |a| {
                    for _ in 0..ROW_BYTES / PIECE_BYTES {
                        let w = a.w();
                        a.mi(space::WEIGHTS, "vldb.128 {}, [{}], {}", &[w, from, piece]);
                        a.mi(space::X, "vst.128 {}, [{}], {}", &[w, to, TILE_BYTES.into()]);
                    }
                    a.add(need, need, Operand::Imm(-1));
                    a.if_z(need, |a| {
                        a.mov(need, rows);
                        a.add(first, first, PIECE_BYTES.into());
                        a.mov(to, first);
                        a.add(tokens, tokens, Operand::Imm(-1));
                    });
                });
            });
            self.pass_b(a, rings);
        });
    }

    /// Sums += x · w̃ for the unit at `unit` and the inputs at `inputs`.
    fn multiply(&self, a: &mut Asm, unit: Operand, inputs: Operand) {
        let dequantise = Dequantise::new(a, space::WEIGHTS);
        let (by_columns, dense) = (ByColumns::new(a), constant(a, config::BF16_4X8X4));
        let (codes, scales) = unit_parts(a, unit);
        let (load, store, px) = (a.p(), a.p(), a.p());
        a.imm(load, i64::from(l1::SUMS));
        a.imm(store, i64::from(l1::SUMS));
        let accumulators: Vec<Operand> = (0..8).map(|i| half_accumulator(a, i)).collect();
        let (before, sums) = accumulators.split_at(2 * N_TILES);
        a.pipelined("multiply", MULTIPLY_II, COLUMN_PAIRS, |a| {
            a.mov(px, inputs);
            let quarter = |i: usize, half: u8| i64::from(SUM_BYTES * i as u32 + 32 * u32::from(half));
            for (i, c) in before.iter().enumerate() {
                for half in 0..2u8 {
                    a.mi(space::SUMS_LOAD, "vlda {}, [{}, {}]", &[c.am(half), load, quarter(i, half).into()]);
                }
            }
            a.i("padda [{}], {}", &[load, (4 * SUM_BYTES).into()]);
            for k in 0..K_TILES {
                if k % self.groups.tiles() == 0 {
                    dequantise.scales(a, scales);
                }
                let token = a.x();
                a.vldb(space::X, token.lo(), px, 32);
                a.vldb(space::X, token.hi(), px, 32);
                for n in 0..N_TILES {
                    let rows = [a.x(), a.x()];
                    for row in rows {
                        let products = dequantise.products(a, codes, n);
                        for (product, to) in products.into_iter().zip([row.lo(), row.hi()]) {
                            a.i("vconv.bf16.fp32 {}, {}", &[to, product]);
                        }
                    }
                    let operands = [a.x(), a.x()];
                    by_columns.emit(a, rows, operands);
                    for (half, operand) in operands.into_iter().enumerate() {
                        let c = 2 * n + half;
                        // C[c] += x[k] · W̃[k, c]
                        let so_far = if k == 0 { before[c] } else { sums[c] };
                        a.i("vmac.f {}, {}, {}, {}, {}", &[sums[c], so_far, token, operand, dense]);
                    }
                }
            }
            for (i, c) in sums.iter().enumerate() {
                for half in 0..2u8 {
                    a.mi(space::SUMS, "vst {}, [{}, {}]", &[c.am(half), store, quarter(i, half).into()]);
                }
            }
            a.i("padds [{}], {}", &[store, (4 * SUM_BYTES).into()]);
        });
    }

    fn pass_a(&self, a: &mut Asm, rings: &RingRegs) {
        rings.release_a(a, space::WEIGHTS);
        self.groups.next_unit(a, rings.a, l1::A);
    }

    fn pass_b(&self, a: &mut Asm, rings: &RingRegs) {
        rings.release_b(a, space::WEIGHTS);
        self.groups.next_unit(a, rings.b, l1::B);
    }
}

/// Sums to the rows of a result from `out` on, and back to zero.
fn send(a: &mut Asm, out: Operand) {
    let (rows, zero) = (Rows::new(a), splat32(a, 0));
    let (load, clear) = (a.p(), a.p());
    a.imm(load, i64::from(l1::SUMS));
    a.imm(clear, i64::from(l1::SUMS));
    a.pipelined("send", SEND_II, COLUMN_PAIRS, |a| {
        let sums = take_sums(a, 4, space::SUMS, [load, clear], zero);
        for column in rows.emit(a, [[sums[0], sums[1]], [sums[2], sums[3]]]) {
            a.vst(space::OUT, column.lo(), out, 32);
            a.vst(space::OUT, column.hi(), out, i64::from(COLUMN_BYTES) - 32);
        }
        a.i("padda [{}], {}", &[load, (4 * SUM_BYTES).into()]);
        a.i("padda [{}], {}", &[clear, (4 * SUM_BYTES).into()]);
    });
}
