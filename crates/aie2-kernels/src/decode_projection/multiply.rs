//! C[4·L][64] += A[4·L][64] · B[64][64]   int8 × int8 → int32, one unit of weights and the codes of its 64 inputs.
//!
//! ```text
//! A  [8 k tiles][limb][4 tokens][8 k]            B  [4 cp][8 k tiles][2 tiles][8 k][8 n]       C  [4 cp][2 tiles][limb][4 tokens][8 n]
//! per cp   vec 16 L `vmac` 4x8x8 | lda 8 L of A, 8 L of C | ldb 32 B | st 8 L of C
//! ```
//! The sums of a column pair wait in memory between units, since the limbs of all eight tiles would take more accumulators than there are. Weights
//! come from one bank, hence through one port: 32 bundles a pair are the least.

use aie2_codegen::{Asm, Operand};

use super::l1::{self, space};

/// Name in reports.
pub const NAME: &str = "multiply";
/// Column pairs of a unit.
pub const COLUMN_PAIRS: u32 = 4;
/// Tiles of k in a unit.
const K_TILES: u32 = 8;
/// Tiles of n in a column pair.
const N_TILES: u32 = 2;
const CODE_TILE_BYTES: u32 = 32;
const SUM_TILE_BYTES: u32 = 128;

/// Declared initiation interval of a column pair.
const fn ii(limbs: u32) -> u32 {
    if limbs == 1 { 36 } else { 52 }
}

/// Bytes of the codes of a unit's inputs.
pub const fn code_bytes(limbs: u32) -> u32 {
    K_TILES * limbs * CODE_TILE_BYTES
}

/// Bytes of a column pair's sums.
pub const fn pair_bytes(limbs: u32) -> u32 {
    N_TILES * limbs * SUM_TILE_BYTES
}

/// Emits the product of the unit at `weights` and the codes at `codes`; `weights` moves on.
pub fn emit(a: &mut Asm, limbs: u32, weights: Operand, codes: Operand, config: Operand) {
    let (load, store) = (a.p(), a.p());
    a.imm(load, i64::from(l1::ACCUMULATORS.at()));
    a.imm(store, i64::from(l1::ACCUMULATORS.at()));
    let sums: Vec<Operand> = (0..N_TILES * limbs).map(|_| a.cm()).collect();
    // codes of two tiles of k under way; only the lower half of an operand's 64 bytes counts
    let code: Vec<Operand> = (0..2 * limbs).map(|_| a.x()).collect();
    code.iter().for_each(|&x| a.undef(x));
    let tiles: Vec<Operand> = (0..5).map(|_| a.x()).collect();
    a.pipelined(NAME, ii(limbs), COLUMN_PAIRS, |a| {
        let quarter = |i: usize, q: u8| i64::from(SUM_TILE_BYTES) * i as i64 + 32 * i64::from(q);
        for (i, sum) in sums.iter().enumerate() {
            for q in 0..4u8 {
                a.mi(space::SUMS_LOAD, "vlda {}, [{}, {}]", &[sum.am(q), load, quarter(i, q).into()]);
            }
        }
        a.i("padda [{}], {}", &[load, pair_bytes(limbs).into()]);
        for k in 0..K_TILES {
            let code = |limb: u32| code[(k % 2 * limbs + limb) as usize];
            for limb in 0..limbs {
                let at = CODE_TILE_BYTES * (limbs * k + limb);
                a.mi(space::CODES, "vlda {}, [{}, {}]", &[code(limb).lo(), codes, at.into()]);
            }
            for n in 0..N_TILES {
                let tile = tiles[(N_TILES * k + n) as usize % tiles.len()];
                a.vldb(space::WEIGHTS, tile.lo(), weights, 32);
                a.vldb(space::WEIGHTS, tile.hi(), weights, 32);
                for limb in 0..limbs {
                    // C[n, limb] += A[k, limb] · B[k, n]
                    a.vmac(sums[(limbs * n + limb) as usize], code(limb), tile, config);
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            for q in 0..4u8 {
                a.mi(space::SUMS, "vst {}, [{}, {}]", &[sum.am(q), store, quarter(i, q).into()]);
            }
        }
        a.i("padds [{}], {}", &[store, pair_bytes(limbs).into()]);
    });
}
