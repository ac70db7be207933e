//! The program of every compute tile: for ever { copy x; for each pass { watch both streams; in its turn dequantise and multiply } }.
//!
//! ```text
//! step     one unit of A and one of B; a core multiplies one of them or neither
//! pass     K / 128 steps; A in all but the last two, B in all but the first two
//! turn     every fourth pass on A, and two passes later on B, which ends a result: half a unit of the out ring
//! ```
//! Nothing is set up per dispatch: the rings' pointers are registers that stay.

use aie2_codegen::{Asm, CodegenError, Guards, MemRef, Operand, Program, Trip};

use super::l1::{self, OUT_UNIT_BYTES, space};
use crate::attention::{config, constant, half_accumulator, set_modes, splat32};
use crate::decode_projection::program::shifted;
use crate::grid::Locks;
use crate::w8a16_groups::output::Rows;
use crate::w8a16_groups::weights::{ByColumns, COLUMN_PAIRS, Dequantise, Groups, K_TILES, N_TILES};

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
/// Bytes of a tile of sums, of a column of the out ring.
const SUM_BYTES: u32 = 64;
const COLUMN_BYTES: u32 = 128;

/// What a projection is to the program, beside the core's turn: words of L1, so that one program serves them all.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Row length K.
    pub k: u32,
    /// Passes of 256 outputs.
    pub passes: u32,
    /// Results that every core gives, an even number.
    pub results: u32,
    /// Size of a group.
    pub groups: Groups,
}

/// Bytes of the parameters, rounded up.
pub const PARAMETER_BYTES: u32 = 32;

impl Parameters {
    /// The words of a core whose first pass comes after `turn` others.
    pub fn bytes(self, turn: u8) -> Vec<u8> {
        let units = l1::x_bytes(self.k).div_ceil(self.groups.unit_bytes());
        [turn.into(), self.k, self.passes, self.results, units].into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Scalar registers that live as long as the program.
struct Regs {
    acquire: Operand,
    release: Operand,
    a_at: Operand,
    b_at: Operand,
    out: Operand,
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
        let regs = start(&mut a);
        let dispatch = a.label("dispatch");
        a.bind(dispatch);
        let [turn, k, passes, left, units] = [(); 5].map(|()| a.r());
        let p = a.p();
        a.imm(p, i64::from(l1::PARAMETERS));
        for word in [turn, k, passes, left, units] {
            a.mi(space::PARAMETERS, "lda {}, [{}], #4", &[word, p]);
        }
        self.copy_x(&mut a, &regs, k, units);
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
                a.if_nz(passes, |a| self.acquire(a, &regs, self.locks.a_full, space::WEIGHTS));
                a.if_z(lag, |a| self.acquire(a, &regs, self.locks.b_full, space::WEIGHTS));
                a.if_nz(own, |a| {
                    let (unit, next) = (a.r(), constant(a, 8 * i64::from(TILE_BYTES)));
                    a.mov("r27".into(), on_b);
                    a.i("sel.nez {}, {}, {}, r27", &[unit, regs.b_at, regs.a_at]);
                    self.multiply(a, unit, x);
                    a.add(x, x, next);
                });
                a.if_nz(passes, |a| self.pass(a, &regs, regs.a_at, l1::A, self.locks.a_empty));
                a.if_z(lag, |a| self.pass(a, &regs, regs.b_at, l1::B, self.locks.b_empty));
            });
            a.if_nz(on_b, |a| {
                let out = self.begin_result(a, &regs, left);
                let scale_outputs = a.label("scale_outputs");
                a.bind(scale_outputs);
                send(a, out);
                self.end_result(a, &regs, left);
            });
            a.if_nz(passes, |a| a.add(passes, passes, Operand::Imm(-1)));
            a.if_nz(lag, |a| a.add(lag, lag, Operand::Imm(-1)));
            let t = constant(a, 3);
            a.add(turn, turn, Operand::Imm(-1));
            a.i("and {}, {}, {}", &[turn, turn, t]);
        });
        // what is missing of the last turn holds nothing
        a.if_nz(left, |a| {
            let empty = a.label("empty_result");
            a.bind(empty);
            self.begin_result(a, &regs, left);
            self.end_result(a, &regs, left);
            a.jnz(left, empty);
        });
        a.jump(dispatch);
        a.finish()
    }

    /// Copies x from B, token after token, to tiles of all tokens.
    fn copy_x(&self, a: &mut Asm, regs: &Regs, k: Operand, units: Operand) {
        let (rows, need, first, tokens) = (a.r(), a.r(), constant(a, i64::from(l1::X)), constant(a, i64::from(TOKENS)));
        shifted(a, rows, k, -6);
        a.mov(need, rows);
        let (from, to, piece) = (a.p(), a.p(), a.m());
        a.imm(piece, i64::from(PIECE_BYTES));
        a.mov(to, first);
        a.loop_n("x_units", Trip::Reg { reg: units, min: 1 }, |a| {
            self.acquire(a, regs, self.locks.b_full, space::WEIGHTS);
            a.mov(from, regs.b_at);
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
            self.pass(a, regs, regs.b_at, l1::B, self.locks.b_empty);
        });
    }

    /// Sums += x · w̃ for the unit at `unit` and the inputs at `inputs`.
    fn multiply(&self, a: &mut Asm, unit: Operand, inputs: Operand) {
        let dequantise = Dequantise::new(a, space::WEIGHTS);
        let (by_columns, dense) = (ByColumns::new(a), constant(a, config::BF16_4X8X4));
        let (codes, scales, t) = (a.p(), a.p(), a.r());
        a.mov(codes, unit);
        a.imm(t, i64::from(npu_package::layout::UNIT_BYTES as u32));
        a.add(t, t, unit);
        a.mov(scales, t);
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

    /// Room for a result: `left` is even where it is the first of its unit. Returns where its rows go.
    fn begin_result(&self, a: &mut Asm, regs: &Regs, left: Operand) -> Operand {
        let (second, out, t) = (a.r(), a.p(), constant(a, 1));
        a.i("and {}, {}, {}", &[second, left, t]);
        a.if_z(second, |a| self.acquire(a, regs, self.locks.out_empty, space::OUT));
        // rows of 16 bytes: the second result starts in the fifth
        a.imm(t, 6);
        a.i("lshl {}, {}, {}", &[second, second, t]);
        a.add(second, second, regs.out);
        a.mov(out, second);
        out
    }

    fn end_result(&self, a: &mut Asm, regs: &Regs, left: Operand) {
        let (second, t) = (a.r(), constant(a, 1));
        a.i("and {}, {}, {}", &[second, left, t]);
        a.if_nz(second, |a| {
            a.rel(Guards::Spaces(vec![space::OUT.space]), self.locks.out_full, regs.release);
            let bit = constant(a, i64::from(OUT_UNIT_BYTES));
            a.i("xor {}, {}, {}", &[regs.out, regs.out, bit]);
        });
        a.add(left, left, Operand::Imm(-1));
    }

    /// Gives back the unit at `at` of the ring from `base` on.
    fn pass(&self, a: &mut Asm, regs: &Regs, at: Operand, base: u32, empty: u8) {
        a.rel(Guards::Spaces(vec![space::WEIGHTS.space]), empty, regs.release);
        let both = constant(a, i64::from(2 * base + self.groups.unit_bytes()));
        a.i("sub {}, {}, {}", &[at, both, at]);
    }

    fn acquire(&self, a: &mut Asm, regs: &Regs, lock: u8, guarded: MemRef) {
        a.acq(Guards::Spaces(vec![guarded.space]), lock, regs.acquire);
    }
}

/// Sums to the rows of a result from `out` on, and back to zero.
fn send(a: &mut Asm, out: Operand) {
    let (rows, zero) = (Rows::new(a), splat32(a, 0));
    let (load, clear) = (a.p(), a.p());
    a.imm(load, i64::from(l1::SUMS));
    a.imm(clear, i64::from(l1::SUMS));
    a.pipelined("send", SEND_II, COLUMN_PAIRS, |a| {
        let sums: Vec<Operand> = (0..4).map(|_| a.bm()).collect();
        for (i, c) in sums.iter().enumerate() {
            for half in 0..2u8 {
                let (memory, at) =
                    (space::SUMS.piece(i as u16), i64::from(SUM_BYTES * i as u32 + 32 * u32::from(half)));
                a.mi(memory, "vlda {}, [{}, {}]", &[c.am(half), load, at.into()]);
                a.mi(memory, "vst {}, [{}, {}]", &[zero.lo(), clear, at.into()]);
            }
        }
        for column in rows.emit(a, [[sums[0], sums[1]], [sums[2], sums[3]]]) {
            a.vst(space::OUT, column.lo(), out, 32);
            a.vst(space::OUT, column.hi(), out, i64::from(COLUMN_BYTES) - 32);
        }
        a.i("padda [{}], {}", &[load, (4 * SUM_BYTES).into()]);
        a.i("padda [{}], {}", &[clear, (4 * SUM_BYTES).into()]);
    });
}

/// Once: rounding, constants, defined contents for what is read before it is first written.
fn start(a: &mut Asm) -> Regs {
    set_modes(a);
    let zero = splat32(a, 0);
    let p = a.p();
    for (name, memory, from, bytes) in [
        ("clear_sums", space::SUMS, l1::SUMS, l1::SUMS_BYTES),
        ("clear_out", space::OUT, l1::OUT, l1::RING_UNITS * OUT_UNIT_BYTES),
    ] {
        a.imm(p, i64::from(from));
        a.pipelined(name, 1, bytes / 32, |a| a.vst(memory, zero.lo(), p, 32));
    }
    Regs {
        acquire: constant(a, -1),
        release: constant(a, 1),
        a_at: constant(a, i64::from(l1::A)),
        b_at: constant(a, i64::from(l1::B)),
        out: constant(a, i64::from(l1::OUT)),
    }
}
