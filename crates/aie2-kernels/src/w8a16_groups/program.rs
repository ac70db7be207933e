//! The program of every compute tile: for ever { copy x; for each pass { for each chunk { dequantise; multiply }; send } }.
//!
//! Nothing is set up per dispatch: the rings' pointers are registers that stay, and stand at the end of a block where its start expects them.
//!
//! *Copying.* All four cores of a column see the column's tokens; core row r takes tokens r, r + 4, r + 8 … and sends each as a record through the out
//! ring, 128 bytes a row, as in [`crate::w8a8`] but with the row of x for codes. So a ragged block repeats its last token on the way in,
//! and path A finds the tokens of a core row side by side.

use aie2_codegen::{Asm, CodegenError, Operand, Program, Trip};

use super::gemm;
use super::l1::{self, space};
use super::output::{Rows, take_sums};
use super::start;
use super::weights::{COLUMN_PAIRS, Dequantise, Groups, K_TILES, N_TILES, unit_parts};
use crate::grid::{Locks, OUT_UNIT_BYTES};
use crate::registers::{constant, splat32};
use crate::rings::RingRegs;

/// Declared initiation interval of 64 inputs of 16 outputs.
const DEQUANTISE_II: u32 = 224;
/// Declared initiation interval of 8 tokens and 16 outputs on their way out.
const SEND_II: u32 = 32;
/// Bytes of x in a row of the out ring.
const ROW_BYTES: u32 = 128;
/// Bytes of a row in a column of the out ring, and of a column.
const PIECE_BYTES: i64 = 16;
const COLUMN_BYTES: i64 = 128;
/// Rows of a unit of the out ring.
const OUT_ROWS: u32 = 8;
/// Chunks of A in one column of records.
const CHUNKS_PER_COLUMN: u32 = 4;
/// More rows than any stream of x has.
const ALL_ROWS: i64 = 1 << 24;

/// What a projection is to the program: words of L1.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Row length K.
    pub k: u32,
    /// Tokens of a core row, m.
    pub m: u32,
    /// Bytes of a record.
    pub record_bytes: u32,
    /// Passes of 256 outputs.
    pub passes: u32,
    /// Size of a group.
    pub groups: Groups,
}

impl Parameters {
    /// The words of core row `row`, in the order of [`Words`].
    pub fn bytes(self, row: u8) -> Vec<u8> {
        let token_rows = 2 * self.k / ROW_BYTES;
        let units = (2 * self.k * self.m).div_ceil(self.groups.unit_bytes());
        let words = [
            token_rows * u32::from(row),
            token_rows,
            3 * token_rows,
            self.m / 4,
            units,
            self.record_bytes / OUT_UNIT_BYTES,
            self.passes,
            self.k / 64,
        ];
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Bytes of the parameters.
pub const PARAMETER_BYTES: u32 = 32;

/// Parameters in registers.
struct Words {
    /// Rows of x before the core's first token.
    first: Operand,
    /// Rows of a token.
    token: Operand,
    /// Rows of the tokens between two of the core's.
    others: Operand,
    /// Tokens of the core in a block.
    tokens: Operand,
    /// Units of x in the column's stream.
    units: Operand,
    /// Units of a record.
    record: Operand,
    passes: Operand,
    chunks: Operand,
}

impl Words {
    fn load(a: &mut Asm) -> Self {
        let p = a.p();
        a.imm(p, i64::from(l1::PARAMETERS));
        let mut word = || {
            let r = a.r();
            a.mi(space::PARAMETERS, "lda {}, [{}], #4", &[r, p]);
            r
        };
        let (first, token, others, tokens) = (word(), word(), word(), word());
        Self { first, token, others, tokens, units: word(), record: word(), passes: word(), chunks: word() }
    }
}

/// What the program depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreProgram {
    /// Tokens of a core row, m.
    pub m: u32,
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
        let sums = ("clear_sums", space::C, l1::C, l1::c_bytes(self.m));
        let out = ("clear_out", space::OUT, l1::OUT, l1::OUT_UNITS * OUT_UNIT_BYTES);
        let rings = start(&mut a, self.locks, [l1::A, l1::B, l1::OUT], [sums, out]);
        let block = a.label("block");
        a.bind(block);
        self.copy_x(&mut a, &rings);
        self.skip_column(&mut a, &rings);
        let words = Words::load(&mut a);
        a.loop_n("pass", Trip::Reg { reg: words.passes, min: 1 }, |a| {
            a.loop_n("chunk", Trip::Reg { reg: words.chunks, min: 4 }, |a| {
                rings.acquire_b(a, space::B);
                self.dequantise(a, &rings);
                self.pass_b(a, &rings);
                rings.acquire_a(a, space::A);
                gemm::emit(a, self.m, rings.a);
                self.pass_a(a, &rings);
            });
            self.send(a, &rings);
        });
        self.skip_column(&mut a, &rings);
        a.jump(block);
        a.finish()
    }

    /// Copies the core's tokens from B to records.
    fn copy_x(&self, a: &mut Asm, rings: &RingRegs) {
        let Words { first: skip, token, others, tokens, units, record, .. } = Words::load(a);
        // rows and units of the token under way that are left; rows of the unit of the record that are left
        let (need, left, room) = (a.r(), a.r(), constant(a, 0));
        a.mov(need, token);
        a.mov(left, record);
        let (from, to, piece, column, next_row) = (a.p(), a.p(), a.m(), a.m(), a.m());
        a.imm(piece, PIECE_BYTES);
        a.imm(column, COLUMN_BYTES);
        a.imm(next_row, PIECE_BYTES - i64::from(ROW_BYTES) / PIECE_BYTES * COLUMN_BYTES);
        a.imm(to, i64::from(l1::OUT));
        a.loop_n("x_units", Trip::Reg { reg: units, min: 1 }, |a| {
            rings.acquire_b(a, space::B);
            a.mov(from, rings.b);
            a.loop_n("x_rows", self.groups.unit_bytes() / ROW_BYTES, |a| {
                a.if_else(
                    skip,
                    |a| {
                        a.i("padda [{}], {}", &[from, ROW_BYTES.into()]);
                        a.add(skip, skip, Operand::Imm(-1));
                    },
                    |a| {
                        a.if_z(room, |a| {
                            rings.acquire_out(a, space::OUT);
                            a.mov(to, rings.out);
                            a.imm(room, i64::from(OUT_ROWS));
                        });
                        // [8 columns][8 rows][16 bytes]
                        for _ in 0..ROW_BYTES / PIECE_BYTES as u32 {
                            let w = a.w();
                            a.mi(space::B, "vldb.128 {}, [{}], {}", &[w, from, piece]);
                            a.mi(space::OUT, "vst.128 {}, [{}], {}", &[w, to, column]);
                        }
                        a.i("padda [{}], {}", &[to, next_row]);
                        a.add(room, room, Operand::Imm(-1));
                        a.add(need, need, Operand::Imm(-1));
                        a.if_z(room, |a| self.release_out(a, rings, left));
                        a.if_z(need, |a| {
                            a.if_nz(room, |a| self.release_out(a, rings, left));
                            a.imm(room, 0);
                            // what is left of the record has no meaning
                            a.if_nz(left, |a| {
                                let tail = a.label("tail");
                                a.bind(tail);
                                rings.acquire_out(a, space::OUT);
                                self.release_out(a, rings, left);
                                a.jnz(left, tail);
                            });
                            a.mov(left, record);
                            a.mov(need, token);
                            a.mov(skip, others);
                            a.add(tokens, tokens, Operand::Imm(-1));
                            // behind the last one there is nothing for this core
                            a.if_z(tokens, |a| a.imm(skip, ALL_ROWS));
                        });
                    },
                );
            });
            self.pass_b(a, rings);
        });
    }

    /// Gives a unit of a record away, of which `left` remain.
    fn release_out(&self, a: &mut Asm, rings: &RingRegs, left: Operand) {
        self.next_out(a, rings);
        a.add(left, left, Operand::Imm(-1));
    }

    /// Weights of the next unit of B to the panel.
    fn dequantise(&self, a: &mut Asm, rings: &RingRegs) {
        let dequantise = Dequantise::new(a, space::B);
        let (codes, scales) = unit_parts(a, rings.b);
        let to = a.p();
        a.imm(to, i64::from(l1::PANEL));
        a.pipelined("dequantise", DEQUANTISE_II, COLUMN_PAIRS, |a| {
            for k in 0..K_TILES {
                if k % self.groups.tiles() == 0 {
                    dequantise.scales(a, scales);
                }
                for n in 0..N_TILES {
                    for _ in 0..2 {
                        for half in dequantise.products(a, codes, n) {
                            a.mi(space::PANEL, "vst.conv.bf16.fp32 {}, [{}], #32", &[half, to]);
                        }
                    }
                }
            }
        });
    }

    /// Sums of a pass to units of 8 tokens.
    fn send(&self, a: &mut Asm, rings: &RingRegs) {
        let (rows, zero, from) = (Rows::new(a), splat32(a, 0), constant(a, i64::from(l1::C)));
        let (pairs, next) = (self.m / 8, a.m());
        a.imm(next, i64::from(pairs * gemm::C_TRIP_BYTES));
        let step = constant(a, i64::from(gemm::C_TRIP_BYTES));
        let scale_outputs = a.label("scale_outputs");
        a.bind(scale_outputs);
        a.loop_n("rows", pairs, |a| {
            let (load, clear, to) = (a.p(), a.p(), a.p());
            rings.acquire_out(a, space::OUT);
            a.mov(load, from);
            a.mov(clear, from);
            a.mov(to, rings.out);
            a.pipelined("send", SEND_II, COLUMN_PAIRS, |a| {
                let sums = take_sums(a, 8, space::C, [load, clear], zero);
                for n in 0..N_TILES {
                    // both tiles of tokens of 8 outputs
                    let pair = |r: usize| [sums[4 * r + 2 * n], sums[4 * r + 2 * n + 1]];
                    for tokens in rows.emit(a, [pair(0), pair(1)]) {
                        a.vst(space::OUT, tokens.lo(), to, 32);
                        a.vst(space::OUT, tokens.hi(), to, 32);
                    }
                }
                a.i("padda [{}], {}", &[load, next]);
                a.i("padda [{}], {}", &[clear, next]);
            });
            self.next_out(a, rings);
            a.add(from, from, step);
        });
    }

    fn next_out(&self, a: &mut Asm, rings: &RingRegs) {
        rings.release_out(a, space::OUT);
        // behind the last unit a bit is set that the addresses of the ring do not have
        let (unit, mask) =
            (constant(a, i64::from(OUT_UNIT_BYTES)), constant(a, !i64::from(l1::OUT_UNITS * OUT_UNIT_BYTES)));
        a.add(rings.out, rings.out, unit);
        a.i("and {}, {}, {}", &[rings.out, rings.out, mask]);
    }

    /// Lets a column of records pass that holds nothing.
    fn skip_column(&self, a: &mut Asm, rings: &RingRegs) {
        a.loop_n("skip", CHUNKS_PER_COLUMN, |a| {
            rings.acquire_a(a, space::A);
            self.pass_a(a, rings);
        });
    }

    fn pass_a(&self, a: &mut Asm, rings: &RingRegs) {
        rings.release_a(a, space::A);
        let other = constant(a, i64::from(l1::a_bytes(self.m)));
        a.i("xor {}, {}, {}", &[rings.a, rings.a, other]);
    }

    fn pass_b(&self, a: &mut Asm, rings: &RingRegs) {
        rings.release_b(a, space::B);
        self.groups.next_unit(a, rings.b, l1::B);
    }
}
