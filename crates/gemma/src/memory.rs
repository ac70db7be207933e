//! NPU memory that the fused q, k, v projection of one layer needs, tier by tier, for a given number of tokens.
//!
//! The kernel works on blocks of at most 512 tokens, spread over 4 core rows of m tokens each; every array column
//! computes 64 of the 256 output columns of a pass:
//!
//! ```text
//! blocks = ceil(S / 512)      m = 16 ceil(S / (64 blocks))
//! L1  per compute tile   A ring 2 × m×64    B ring 2 × 4096    C ring 2 × 1024
//! L2  per memory tile    A ring 2 × m×256   B ring 8 × 4096    C ring 4 rows × 2 × 1024
//! DDR                    x bf16 [S][K]      packed weights     q, k, v bf16      quantised x and its scales
//! ```
//!
//! Only operands are counted: what a core keeps beside them (stack, accumulators, constants) is the compiler's and is
//! reported by it.

use serde::Serialize;

use crate::dims::ModelDims;

// SOURCE: AM020 (AIE-ML architecture manual), ch. 1: 64 KiB data memory per compute tile, 512 KiB per memory tile.
const L1_BYTES_PER_TILE: u64 = 64 << 10;
const L2_BYTES_PER_TILE: u64 = 512 << 10;
// SOURCE: amd/xdna-driver npu1 (Phoenix): 4 usable columns of 4 compute tiles and 1 memory tile.
const COMPUTE_TILES: u64 = 16;
const MEMORY_TILES: u64 = 4;
/// Tokens a block holds at most: 4 core rows of 128.
const BLOCK_TOKENS: u64 = 512;
/// Bytes of one unit of packed weights.
const UNIT_BYTES: u64 = 4096;
/// Inputs covered by one unit.
const UNIT_INPUTS: u64 = 64;
/// Output columns of a pass.
const PASS_COLUMNS: u64 = 256;

/// One named part of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it holds.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
}

/// An on-chip tier: the same in each of its tiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TileTier {
    /// Tiles of this kind.
    pub tiles: u64,
    /// Memory of one tile.
    pub capacity_bytes_per_tile: u64,
    /// Needed in one tile.
    pub bytes_per_tile: u64,
    /// Needed in all tiles.
    pub bytes: u64,
    /// Parts in one tile.
    pub parts: Vec<Part>,
}

/// Host memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostTier {
    /// Needed for one layer at a time.
    pub bytes: u64,
    /// Parts.
    pub parts: Vec<Part>,
    /// Packed q, k, v weights of all layers together.
    pub all_layers_weights_bytes: u64,
    /// Keys and values of `seq` tokens in BF16, all layers, local ones limited to the window.
    pub kv_cache_bytes: u64,
}

/// Memory of the three tiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NpuMemory {
    /// Tokens.
    pub seq: u64,
    /// Blocks the tokens are processed in.
    pub blocks: u64,
    /// Tokens per core row in a block, padding included.
    pub rows_per_core: u64,
    /// Data memory of the compute tiles.
    pub l1: TileTier,
    /// Memory tiles.
    pub l2: TileTier,
    /// Host memory.
    pub ddr: HostTier,
}

impl NpuMemory {
    /// Memory for `seq` tokens (at least 1). `global_layers` of the model's layers keep every key.
    pub fn new(dims: &ModelDims, global_layers: usize, seq: u64) -> Self {
        let seq = seq.max(1);
        let [k, n] = [dims.hidden as u64, dims.qkv_rows() as u64];
        let blocks = seq.div_ceil(BLOCK_TOKENS);
        let m = 16 * seq.div_ceil(64 * blocks);
        let part = |name, bytes| Part { name, bytes };
        let l1 = tier(
            COMPUTE_TILES,
            L1_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 64),
                part("weights (B), 2 buffers", 2 * UNIT_BYTES),
                part("output (C), 2 buffers", 2 * 1024),
            ],
        );
        let l2 = tier(
            MEMORY_TILES,
            L2_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 256),
                part("weights (B), 8 buffers", 8 * UNIT_BYTES),
                part("output (C), 2 buffers for each core row", 4 * 2 * 1024),
            ],
        );
        let weights = 4 * n.div_ceil(PASS_COLUMNS) * (k.div_ceil(UNIT_INPUTS) + 1) * UNIT_BYTES;
        let parts = vec![
            part("input x, bf16", seq * k * 2),
            part("packed q, k, v weights and scales", weights),
            part("output q, k, v, bf16", seq * n * 2),
            part("quantised x and token scales", seq * (k + 4)),
        ];
        let kv_bytes_per_token = 2 * dims.kv_rows() as u64 * 2;
        let local = (dims.layers - global_layers.min(dims.layers)) as u64;
        let ddr = HostTier {
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
            all_layers_weights_bytes: weights * dims.layers as u64,
            kv_cache_bytes: kv_bytes_per_token
                * (global_layers as u64 * seq + local * seq.min(dims.sliding_window as u64)),
        };
        NpuMemory { seq, blocks, rows_per_core: m, l1, l2, ddr }
    }
}

fn tier(tiles: u64, capacity_bytes_per_tile: u64, parts: Vec<Part>) -> TileTier {
    let bytes_per_tile = parts.iter().map(|part| part.bytes).sum();
    TileTier { tiles, capacity_bytes_per_tile, bytes_per_tile, bytes: tiles * bytes_per_tile, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_27b_at_the_block_limit() {
        let memory = NpuMemory::new(&ModelDims::gemma3_27b(), 10, 512);
        assert_eq!([memory.blocks, memory.rows_per_core], [1, 128]);
        assert_eq!(memory.l1.bytes_per_tile, 16_384 + 8192 + 2048);
        assert_eq!(memory.l2.bytes_per_tile, 65_536 + 32_768 + 8192);
        // 4 columns x 32 passes x (84 + 1) units of 4096 bytes.
        assert_eq!(memory.ddr.parts[1].bytes, 44_564_480);
    }

    #[test]
    fn kv_cache_of_the_27b() {
        // SOURCE: shape arithmetic of Gemma 3 27B: 8192 bytes a token and layer, 10 global and 52 local layers, window 1024.
        let cache = |seq| NpuMemory::new(&ModelDims::gemma3_27b(), 10, seq).ddr.kv_cache_bytes;
        assert_eq!(cache(1024), (80 + 416) << 20);
        assert_eq!(cache(8192), (640 + 416) << 20);
    }

    #[test]
    fn blocks_share_the_tokens_evenly() {
        let m = |seq| {
            let memory = NpuMemory::new(&ModelDims::gemma3_27b(), 10, seq);
            [memory.blocks, memory.rows_per_core]
        };
        assert_eq!(m(1), [1, 16]);
        assert_eq!(m(64), [1, 16]);
        assert_eq!(m(65), [1, 32]);
        assert_eq!(m(513), [2, 80]);
    }
}
