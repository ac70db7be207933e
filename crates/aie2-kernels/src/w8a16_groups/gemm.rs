//! C[m][64] += A[m][64] · W̃[64][64]   bfloat16 × bfloat16 → float32, one chunk of x and one unit of dequantised weights.
//!
//! One trip is 2 tiles of 4 tokens and 4 tiles of 4 outputs over 8 steps of k; C waits in memory.
//!
//! ```text
//! per trip   vec 64 `vmac.f` 4x8x4 | lda 32 A + 16 C | ldb 64 W̃ | mv 32 vshuffle | st 16 C      ⇒ at least 64
//! ```

use aie2_codegen::{Asm, Operand};

use super::l1::{self, space};
use super::output::SUM_BYTES;
use super::weights::{ByColumns, COLUMN_PAIRS, K_TILES, N_TILES};
use crate::registers::{config, constant, half_accumulator};

/// Name in reports.
pub const NAME: &str = "gemm";
/// Declared initiation interval of 8 tokens and 16 outputs.
pub const II: u32 = 66;

/// Tiles of a trip: of tokens, of outputs.
const ROWS: usize = 2;
const COLS: usize = 2 * N_TILES;
/// Bytes of a tile of x, of 4 tokens in a chunk; of weights of 16 outputs; of sums of a trip.
const A_TILE_BYTES: u32 = 64;
const A_ROW_BYTES: u32 = K_TILES * A_TILE_BYTES;
const W_PAIR_BYTES: u32 = l1::PANEL_BYTES / COLUMN_PAIRS;
pub const C_TRIP_BYTES: u32 = (ROWS * COLS) as u32 * SUM_BYTES;

/// Emits the product of the chunk at `chunk` and the panel, for `m` tokens.
pub fn emit(a: &mut Asm, m: u32, chunk: Operand) {
    let pairs = m / 8;
    let (by_columns, dense) = (ByColumns::new(a), constant(a, config::BF16_4X8X4));
    let (x, w, c) = (a.r(), constant(a, i64::from(l1::PANEL)), constant(a, i64::from(l1::C)));
    a.mov(x, chunk);
    let (left, all) = (constant(a, i64::from(pairs)), constant(a, i64::from(pairs)));
    let (x_next, w_next) = (constant(a, i64::from(ROWS as u32 * A_ROW_BYTES)), constant(a, i64::from(W_PAIR_BYTES)));
    let (x_rewind, none) = (constant(a, -i64::from((pairs - 1) * ROWS as u32 * A_ROW_BYTES)), constant(a, 0));
    let c_next = constant(a, i64::from(C_TRIP_BYTES));
    let (px, pw, load, store) = (a.p(), a.p(), a.p(), a.p());
    let sums: Vec<Operand> = (0..2 * ROWS * COLS).map(|i| half_accumulator(a, i)).collect();
    let (before, sums) = sums.split_at(ROWS * COLS);
    let mut regs = |n: usize| (0..n).map(|_| a.x()).collect::<Vec<Operand>>();
    let (tokens, stored, weights) = (regs(4), regs(3), regs(5));
    a.pipelined(NAME, II, COLUMN_PAIRS * pairs, |a| {
        for (pointer, address) in [(px, x), (pw, w), (load, c), (store, c)] {
            a.mov(pointer, address);
        }
        // tokens inside, outputs outside
        let (x_step, w_step) = (a.r(), a.r());
        a.add(left, left, Operand::Imm(-1));
        a.mov("r27".into(), left);
        a.i("sel.eqz {}, {}, {}, r27", &[x_step, x_rewind, x_next]);
        a.i("sel.eqz {}, {}, {}, r27", &[w_step, w_next, none]);
        a.i("sel.eqz {}, {}, {}, r27", &[left, all, left]);
        a.add(x, x, x_step);
        a.add(w, w, w_step);
        a.add(c, c, c_next);
        let quarter = |i: usize, half: u8| i64::from(SUM_BYTES * i as u32 + 32 * u32::from(half));
        for (i, c) in before.iter().enumerate() {
            for half in 0..2u8 {
                a.mi(space::C_LOAD, "vlda {}, [{}, {}]", &[c.am(half), load, quarter(i, half).into()]);
            }
        }
        for k in 0..K_TILES as usize {
            let token = |r: usize| tokens[(ROWS * k + r) % tokens.len()];
            for r in 0..ROWS {
                let at = A_ROW_BYTES * r as u32 + A_TILE_BYTES * k as u32;
                a.mi(space::A, "vlda {}, [{}, {}]", &[token(r).lo(), px, at.into()]);
                a.mi(space::A, "vlda {}, [{}, {}]", &[token(r).hi(), px, (at + 32).into()]);
            }
            for n in 0..N_TILES {
                let i = N_TILES * k + n;
                let rows = [2 * i, 2 * i + 1].map(|i| stored[i % stored.len()]);
                let operands = [2 * i, 2 * i + 1].map(|i| weights[i % weights.len()]);
                for x in rows {
                    a.vldb(space::PANEL, x.lo(), pw, 32);
                    a.vldb(space::PANEL, x.hi(), pw, 32);
                }
                by_columns.emit(a, rows, operands);
                for (half, operand) in operands.into_iter().enumerate() {
                    for r in 0..ROWS {
                        let c = COLS * r + 2 * n + half;
                        // C[r, c] += A[r, k] · W̃[k, c]
                        let so_far = if k == 0 { before[c] } else { sums[c] };
                        a.i("vmac.f {}, {}, {}, {}, {}", &[sums[c], so_far, token(r), operand, dense]);
                    }
                }
            }
        }
        for (i, c) in sums.iter().enumerate() {
            for half in 0..2u8 {
                a.mi(space::C_STORE, "vst {}, [{}, {}]", &[c.am(half), store, quarter(i, half).into()]);
            }
        }
    });
}
