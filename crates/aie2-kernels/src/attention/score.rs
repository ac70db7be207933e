//! Sᵀ[32 keys][32 queries] = on_grid(K · Qᵀ)   bfloat16 × bfloat16 → float32 → patterns of `oracle::exp2`. Spec: `oracle::flash::patterns`.
//!
//! Keys are the rows so that the tiles of probabilities made from Sᵀ, 8 keys × 4 queries, are the right operand of Oᵀ = Vᵀ · Pᵀ as they are.
//!
//! ```text
//! K   [2 key groups][16 k][4 tiles][4 keys][8 k]       8 KiB, bank 0, aligned to its size
//! Qᵀ  [4 query pairs][16 k][2 tiles][8 k][4 queries]   8 KiB, bank 3
//! Sᵀ  [8 query tiles][8 key tiles][4 keys][4 queries]  4 KiB, bank 3, int32
//! ```
//! One trip is 2 × 2 tiles over the whole head: 16 steps of k with 4 `vmac.f` each and one `vmsc.f` per tile that puts it on the grid. The next trip's
//! products start while this one's tiles are stored.
//!
//! ```text
//! per trip   vec 68 | lda 64 K | ldb 64 Q | st 8 half tiles      ⇒ at least 68; 72 where Qᵀ and Sᵀ share a bank
//! ```

use aie2_codegen::{Asm, MemRef, Operand, Program};

use super::{BANK_BYTES, Places, alone, exp2, memory};
use crate::KernelError;
use crate::grid::CORE_BASE;
use crate::registers::{config, constant, half_accumulator};

/// Keys and queries of a block.
pub const KEYS: u32 = 32;
/// Queries of a block, of both heads.
pub const QUERIES: u32 = 32;
/// Declared initiation interval of 2 × 2 tiles.
pub const II: u32 = 72;
/// The same with Qᵀ and Sᵀ in different banks.
pub const APART_II: u32 = 68;

/// Core address of K.
pub const K: u32 = CORE_BASE;
/// Core address of Qᵀ.
pub const Q: u32 = CORE_BASE + 3 * BANK_BYTES;
/// Core address of Sᵀ.
pub const S: u32 = Q + PAIRS * PAIR_BYTES;

pub(super) const K_MEMORY: MemRef = MemRef::space(1).in_bank(0);
pub(super) const Q_SPACE: u16 = 2;
pub(super) const S_SPACE: u16 = 3;

/// Steps of k in a head of 128.
const K_STEPS: usize = 16;
/// Tiles of a trip: of keys, of queries.
const ROWS: usize = 2;
const COLS: usize = 2;
/// Tiles of keys that lie together for every step of k.
const GROUP_TILES: usize = 4;
const PAIRS: u32 = QUERIES / (4 * COLS as u32);
/// Bytes of a bfloat16 tile of 32 elements.
const TILE_BYTES: u32 = 64;
/// Bytes of a group of keys, of a pair of query tiles, over the head.
const GROUP_BYTES: u32 = (K_STEPS * GROUP_TILES) as u32 * TILE_BYTES;
const PAIR_BYTES: u32 = (K_STEPS * COLS) as u32 * TILE_BYTES;
/// Bytes of Sᵀ: of one tile, of the row of tiles of four queries.
const S_TILE_BYTES: u32 = 64;
const S_ROW_BYTES: u32 = KEYS / 4 * S_TILE_BYTES;
/// Bits of an offset in Sᵀ: second pair of a key group, key group, query pair.
const S_ODD_PAIR: u32 = ROWS as u32 * S_TILE_BYTES;
const S_KEY_GROUP: u32 = 2 * S_ODD_PAIR;
const S_QUERY_PAIR: u32 = 3 * COLS as u32 * S_ROW_BYTES;

/// Emits the loop over a block: groups of keys inside, pairs of query tiles outside.
pub fn emit(a: &mut Asm) {
    let keys = constant(a, i64::from(K));
    emit_at(a, keys, &Places::ALONE);
}

/// The same with K at the address in a register, in bank 0, aligned to its size.
pub fn emit_at(a: &mut Asm, keys_base: Operand, places: &Places) {
    let (q_memory, s_memory) = (memory(Q_SPACE, places.q), memory(S_SPACE, places.s));
    let (dense, elementwise) = (constant(a, config::BF16_4X8X4), constant(a, config::BF16_ELEMENTWISE));
    let grid = exp2::grid_factors(a);
    // bytes of Sᵀ before the next trip, [4 query pairs][key pair in 4]; a step carries over the bit of the second query tile
    let (at, step, gap) =
        (constant(a, 0), constant(a, i64::from(ROWS as u32 * S_TILE_BYTES)), constant(a, i64::from(S_ROW_BYTES)));
    let keep = constant(a, !i64::from(S_ROW_BYTES));
    let [odd, group, pair] = [S_ODD_PAIR, S_KEY_GROUP, S_QUERY_PAIR].map(|bits| constant(a, i64::from(bits)));
    let up = constant(a, i64::from((GROUP_BYTES / S_KEY_GROUP).ilog2()));
    let (q_base, s_base) = (constant(a, i64::from(places.q)), constant(a, i64::from(places.s)));
    let (pk, pq, ps) = (a.p(), a.p(), a.p());
    let tiles: Vec<Operand> = (0..2 * ROWS * COLS).map(|i| half_accumulator(a, i)).collect();
    let keys: Vec<Operand> = (0..5).map(|_| a.x()).collect();
    let queries: Vec<Operand> = (0..5).map(|_| a.x()).collect();
    let ii = if q_memory.bank == s_memory.bank { II } else { APART_II };
    a.pipelined("score", ii, KEYS / (4 * ROWS as u32) * PAIRS, |a| {
        let (k, q, s) = (a.r(), a.r(), a.r());
        a.i("and {}, {}, {}", &[k, at, group]);
        a.i("lshl {}, {}, {}", &[k, k, up]);
        a.i("and {}, {}, {}", &[q, at, odd]);
        a.add(k, k, q);
        a.add(k, k, keys_base);
        a.i("and {}, {}, {}", &[q, at, pair]);
        a.add(q, q, q);
        a.add(q, q, q_base);
        a.add(s, at, s_base);
        for (p, address) in [(pk, k), (pq, q), (ps, s)] {
            a.mov(p, address);
        }
        a.i("or {}, {}, {}", &[at, at, gap]);
        a.add(at, at, step);
        a.i("and {}, {}, {}", &[at, at, keep]);
        for k in 0..K_STEPS {
            let key = |r: usize| keys[(ROWS * k + r) % keys.len()];
            let query = |c: usize| queries[(COLS * k + c) % queries.len()];
            for r in 0..ROWS {
                // the other pair of tiles lies between this one and the next step's
                let next = if r + 1 == ROWS { 32 + i64::from(ROWS as u32 * TILE_BYTES) } else { 32 };
                a.vlda(K_MEMORY, key(r).lo(), pk, 32);
                a.vlda(K_MEMORY, key(r).hi(), pk, next);
            }
            for c in 0..COLS {
                a.vldb(q_memory, query(c).lo(), pq, 32);
                a.vldb(q_memory, query(c).hi(), pq, 32);
            }
            for c in 0..COLS {
                for r in 0..ROWS {
                    let s = tiles[ROWS * c + r];
                    // S[r, c] += K[r, k] · Qᵀ[k, c]
                    if k == 0 {
                        a.i("vmul.f {}, {}, {}, {}", &[s, key(r), query(c), dense]);
                    } else {
                        a.i("vmac.f {}, {}, {}, {}, {}", &[s, s, key(r), query(c), dense]);
                    }
                }
            }
        }
        for (i, s) in tiles[..ROWS * COLS].iter().enumerate() {
            let on_grid = tiles[ROWS * COLS + i];
            a.i("vmsc.f {}, {}, {}, {}, {}", &[on_grid, *s, grid, grid, elementwise]);
            let at = (i / ROWS) as u32 * S_ROW_BYTES + (i % ROWS) as u32 * S_TILE_BYTES;
            for half in 0..2u8 {
                let at = i64::from(at + 32 * u32::from(half));
                a.mi(s_memory, "vst {}, [{}, {}]", &[on_grid.am(half), ps, at.into()]);
            }
        }
    });
}

/// A program that does one block: K and Qᵀ from [`K`] and [`Q`], Sᵀ to [`S`].
///
/// # Errors
/// A missed II, or a failed check.
pub fn program() -> Result<Program, KernelError> {
    alone(emit)
}
