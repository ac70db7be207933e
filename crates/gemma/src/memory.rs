//! NPU memory that the fused q, k, v projection of one layer needs, tier by tier, for a given number of tokens.
//!
//! The kernel works on blocks of at most 512 tokens, spread over 4 core rows of m tokens each; every array column
//! computes 64 of the 256 output columns of a pass:
//!
//! ```text
//! L1  per compute tile   A ring 2 × m×64    B ring 2 × 4096    C ring 2 × 1024    scales m×32 and a table
//!                        int32 accumulators m×64, or one token of x while it is quantised
//! L2  per memory tile    A ring 2 × m×256   B ring 8 × 4096    C ring 4 rows × 2 × 2048
//! DDR                    x bf16 [S][K]      packed weights     q, k, v bf16       scratch of the quantised x
//! ```

use npu_package::layout::{LayoutError, QkvPanels, QkvShape, UNIT_BYTES};
use serde::Serialize;

use crate::dims::ModelDims;

// SOURCE: AM020 (AIE-ML architecture manual), ch. 1: 64 KiB data memory per compute tile, 512 KiB per memory tile.
const L1_BYTES_PER_TILE: u64 = 64 << 10;
const L2_BYTES_PER_TILE: u64 = 512 << 10;
// SOURCE: amd/xdna-driver npu1 (Phoenix): 4 usable columns of 4 compute tiles and 1 memory tile.
const COMPUTE_TILES: u64 = 16;
const MEMORY_TILES: u64 = 4;
/// Bytes of one output buffer: 8 rows of 64 bf16.
const C_BUFFER_BYTES: u64 = 1024;
/// Bytes of one output buffer of a memory tile: a core's turn in the join is two of its own buffers.
const JOIN_BUFFER_BYTES: u64 = 2 * C_BUFFER_BYTES;

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
    pub seq: usize,
    /// Blocks the tokens are processed in.
    pub blocks: usize,
    /// Tokens per core row in a block, padding included.
    pub rows_per_core: usize,
    /// Data memory of the compute tiles.
    pub l1: TileTier,
    /// Memory tiles.
    pub l2: TileTier,
    /// Host memory.
    pub ddr: HostTier,
}

impl NpuMemory {
    /// Memory for `seq` tokens; the rule that the model breaks if the kernel cannot take it.
    pub fn new(dims: &ModelDims, global_layers: usize, seq: usize) -> Result<Self, LayoutError> {
        let panels = QkvPanels::new(dims.hidden, dims.q_rows(), dims.kv_rows(), dims.kv_rows())?;
        let shape = QkvShape::with_panels(seq, panels)?;
        let m = shape.m() as u64;
        let unit = UNIT_BYTES as u64;
        let part = |name, bytes| Part { name, bytes };
        let l1 = tier(
            COMPUTE_TILES,
            L1_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 64),
                part("weights (B), 2 buffers", 2 * unit),
                part("output (C), 2 buffers", 2 * C_BUFFER_BYTES),
                part("token scales", m * 32),
                part("reciprocals and absmax", 128 * 8 + 64),
                part("accumulators, int32, or one token of x", (m * 64 * 4).max(2 * dims.hidden as u64)),
            ],
        );
        let l2 = tier(
            MEMORY_TILES,
            L2_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 256),
                part("weights (B), 8 buffers", 8 * unit),
                part("output (C), 2 buffers for each core row", 4 * 2 * JOIN_BUFFER_BYTES),
            ],
        );
        let weights = shape.weights_bytes() as u64;
        let parts = vec![
            part("input x, bf16", shape.x_bytes() as u64),
            part("packed q, k, v weights and scales", weights),
            part("output q, k, v, bf16", shape.qkv_bytes() as u64),
            part("scratch: quantised x and its scales", shape.scratch_bytes() as u64),
        ];
        let kv_bytes_per_token = 2 * dims.kv_rows() as u64 * 2;
        let local_keys = (dims.layers - global_layers) as u64 * seq.min(dims.sliding_window) as u64;
        let ddr = HostTier {
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
            all_layers_weights_bytes: weights * dims.layers as u64,
            kv_cache_bytes: kv_bytes_per_token * (global_layers as u64 * seq as u64 + local_keys),
        };
        Ok(NpuMemory { seq, blocks: shape.blocks(), rows_per_core: shape.m(), l1, l2, ddr })
    }
}

fn tier(tiles: u64, capacity_bytes_per_tile: u64, parts: Vec<Part>) -> TileTier {
    let bytes_per_tile = parts.iter().map(|part| part.bytes).sum();
    TileTier { tiles, capacity_bytes_per_tile, bytes_per_tile, bytes: tiles * bytes_per_tile, parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_27b(seq: usize) -> NpuMemory {
        NpuMemory::new(&ModelDims::gemma3_27b(), 10, seq).unwrap()
    }

    #[test]
    fn the_27b_at_the_block_limit() {
        let memory = of_27b(512);
        assert_eq!([memory.blocks, memory.rows_per_core], [1, 128]);
        assert_eq!(memory.l1.bytes_per_tile, 16_384 + 8192 + 2048 + 4096 + 1088 + 32_768);
        assert_eq!(memory.l2.bytes_per_tile, 65_536 + 32_768 + 16_384);
        // 4 columns x 32 passes x (84 + 1) units of 4096 bytes.
        assert_eq!(memory.ddr.parts[1].bytes, 44_564_480);
    }

    #[test]
    fn on_chip_memory_never_grows_past_a_block() {
        for seq in [1, 64, 65, 512, 513, 131_072] {
            let memory = of_27b(seq);
            assert!(memory.l1.bytes_per_tile <= of_27b(512).l1.bytes_per_tile, "{seq}");
            assert!(memory.l1.bytes_per_tile < L1_BYTES_PER_TILE && memory.l2.bytes_per_tile < L2_BYTES_PER_TILE);
        }
    }

    #[test]
    fn kv_cache_of_the_27b() {
        // 8192 bytes a token and layer: 2 × 16 heads × 128 × 2 bytes; 10 global and 52 local layers, window 1024.
        assert_eq!(of_27b(1024).ddr.kv_cache_bytes, (80 + 416) << 20);
        assert_eq!(of_27b(8192).ddr.kv_cache_bytes, (640 + 416) << 20);
    }

    #[test]
    fn the_1b_breaks_the_tile_rule() {
        let refused = NpuMemory::new(&ModelDims::gemma3_1b(), 4, 1).unwrap_err().to_string();
        assert!(refused.contains("hidden size (K) is 1152"), "{refused}");
    }
}
