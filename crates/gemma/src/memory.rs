//! NPU memory that the projections of one layer (q, k, v and o) need, tier by tier, for a given number of tokens.
//!
//! A kernel works on blocks of at most 256 tokens, spread over 4 core rows of m tokens of two int8 limbs each; every array column
//! computes 64 of the 256 output columns of a pass. Both kernels have the same tiles but for the longer token:
//!
//! ```text
//! L1  per compute tile   A ring 2 × 2m×64    B ring 2 × 4096    C ring 4 × 1024    scales m×32 and a table
//!                        int32 accumulators 2m×64, or one token of x while it is quantised
//! L2  per memory tile    A ring 2 × 2m×256   B ring 5 × 4096    C ring 4 rows × 3 × 2048
//! DDR                    x bf16 [S][K]       packed weights     outputs bf16       scratch of the quantised x
//! ```

use npu_package::layout::{Activations, LayoutError, ProjectionKind, ProjectionShape, UNIT_BYTES};
use serde::Serialize;

use crate::dims::ModelDims;
use crate::pack::package_dims;

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

/// Numerics of the kernels that are compiled by default.
const ACTIVATIONS: Activations = Activations::Int16;
const LIMBS: u64 = ACTIVATIONS.limbs() as u64;
/// Units of a memory tile's ring of weights.
const B_BUFFERS: u64 = 5;
/// Output buffers of a compute tile, and turns of each core that a memory tile holds.
const C_BUFFERS: [u64; 2] = [2 * LIMBS, 1 + LIMBS];

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
    /// Packed weights of all layers together.
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
        let model = package_dims(dims);
        let shape = |kind| ProjectionShape::with_activations(seq, model.panels(kind)?, ACTIVATIONS);
        let (qkv, o) = (shape(ProjectionKind::Qkv)?, shape(ProjectionKind::O)?);
        let token_bytes = 2 * qkv.panels().inputs().max(o.panels().inputs()) as u64;
        // int8 rows of a core: each token has as many as limbs
        let m = LIMBS * qkv.m() as u64;
        let unit = UNIT_BYTES as u64;
        let part = |name, bytes| Part { name, bytes };
        let l1 = tier(
            COMPUTE_TILES,
            L1_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 64),
                part("weights (B), 2 buffers", 2 * unit),
                part("output (C), 4 buffers", C_BUFFERS[0] * C_BUFFER_BYTES),
                part("token scales", m / LIMBS * 32),
                part("reciprocals, absmax and sizes", 128 * 8 + 96),
                part("accumulators, int32, or one token of x", (m * 64 * 4).max(token_bytes)),
            ],
        );
        let l2 = tier(
            MEMORY_TILES,
            L2_BYTES_PER_TILE,
            vec![
                part("activations (A), 2 buffers", 2 * m * 256),
                part("weights (B), 5 buffers", B_BUFFERS * unit),
                part("output (C), 3 buffers for each core row", 4 * C_BUFFERS[1] * JOIN_BUFFER_BYTES),
            ],
        );
        let weights = (qkv.weights_bytes() + o.weights_bytes()) as u64;
        let parts = vec![
            part("input x, bf16", qkv.x_bytes() as u64),
            part("packed q, k, v weights and scales", qkv.weights_bytes() as u64),
            part("output q, k, v, bf16", qkv.y_bytes() as u64),
            part("attention output, bf16", o.x_bytes() as u64),
            part("packed o weights and scales", o.weights_bytes() as u64),
            part("output o, bf16", o.y_bytes() as u64),
            part("scratch: quantised x and its scales", qkv.scratch_bytes().max(o.scratch_bytes()) as u64),
        ];
        let kv_bytes_per_token = 2 * dims.kv_rows() as u64 * 2;
        let local_keys = (dims.layers - global_layers) as u64 * seq.min(dims.sliding_window) as u64;
        let ddr = HostTier {
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
            all_layers_weights_bytes: weights * dims.layers as u64,
            kv_cache_bytes: kv_bytes_per_token * (global_layers as u64 * seq as u64 + local_keys),
        };
        Ok(NpuMemory { seq, blocks: qkv.blocks(), rows_per_core: qkv.m(), l1, l2, ddr })
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
        let memory = of_27b(256);
        assert_eq!([memory.blocks, memory.rows_per_core], [1, 64]);
        assert_eq!(memory.l1.bytes_per_tile, 16_384 + 8192 + 4096 + 2048 + 1120 + 32_768);
        assert_eq!(memory.l2.bytes_per_tile, 65_536 + 20_480 + 24_576);
        // 4 columns x 32 passes x (84 + 1) units of 4096 bytes, and 4 x 21 x (64 + 1).
        assert_eq!(memory.ddr.parts[1].bytes, 44_564_480);
        assert_eq!(memory.ddr.parts[4].bytes, 22_364_160);
        assert_eq!(memory.ddr.all_layers_weights_bytes, 62 * (44_564_480 + 22_364_160));
    }

    #[test]
    fn a_token_of_one_row_outgrows_the_accumulators() {
        let last = |memory: &NpuMemory| memory.l1.parts.last().map(|part| part.bytes);
        assert_eq!(last(&of_27b(1)), Some(2 * 5376));
        assert_eq!(last(&of_27b(65)), Some(64 * 256));
    }

    #[test]
    fn on_chip_memory_never_grows_past_a_block() {
        for seq in [1, 64, 65, 256, 257, 131_072] {
            let memory = of_27b(seq);
            assert!(memory.l1.bytes_per_tile <= of_27b(256).l1.bytes_per_tile, "{seq}");
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
