//! Size of the key-value cache: what a token adds and what a context needs.
//!
//! ```text
//! bytes(context) = token · (global layers · context + local layers · min(context, window))
//! token          = 2 · kv_heads · (head_dim · element + scale)      in one layer; bf16: 2 and 0, int8: 1 and 4 bytes
//! ```

use npu_package::layout::{BLOCK_ROWS_MAX, KvFormat, KvHeads, KvRing, LayoutError};
use serde::Serialize;

use crate::dims::ModelDims;

/// Contexts that the report lists, as far as the model reaches.
const CONTEXTS: [usize; 4] = [1024, 8192, 32_768, 131_072];

/// The cache in one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatCache {
    /// "bf16" or "int8".
    pub format: &'static str,
    /// Key and value of a token in one layer.
    pub layer_token_bytes: u64,
    /// A token in all global layers: what every token costs.
    pub global_token_bytes: u64,
    /// A token in all local layers: what it costs as long as the window is not full.
    pub local_token_bytes: u64,
    /// All local layers with a full window.
    pub local_full_bytes: u64,
    /// All local layers as rings that take `ring_chunk` new tokens at once.
    pub rings_bytes: u64,
    /// By context.
    pub contexts: Vec<ContextCache>,
}

/// The cache at one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ContextCache {
    /// Tokens.
    pub tokens: usize,
    /// Global layers.
    pub global_bytes: u64,
    /// Local layers.
    pub local_bytes: u64,
    /// Both.
    pub bytes: u64,
    /// If local layers saw everything.
    pub without_window_bytes: u64,
}

/// The cache of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KvCache {
    /// Layers that keep every token.
    pub global_layers: usize,
    /// Layers that keep a window.
    pub local_layers: usize,
    /// New tokens that a ring of a local layer takes at once.
    pub ring_chunk: usize,
    /// Slots of such a ring.
    pub ring_slots: usize,
    /// bf16, int8.
    pub formats: Vec<FormatCache>,
}

impl KvCache {
    /// The cache of a model; the rule that it breaks if it has no layout.
    pub fn new(dims: &ModelDims, global_layers: usize, max_positions: usize) -> Result<Self, LayoutError> {
        let local_layers = dims.layers - global_layers;
        let (global, local) = (global_layers as u64, local_layers as u64);
        let ring = KvRing::new(dims.sliding_window, BLOCK_ROWS_MAX)?;
        let window = |tokens: usize| tokens.min(dims.sliding_window) as u64;
        let of_format = |(format, name)| -> Result<FormatCache, LayoutError> {
            let token = KvHeads::new(dims.kv_heads, dims.head_dim, format)?.token_bytes() as u64;
            let context = |tokens: usize| {
                let (global_bytes, local_bytes) = (token * global * tokens as u64, token * local * window(tokens));
                let without_window_bytes = token * (global + local) * tokens as u64;
                ContextCache {
                    tokens,
                    global_bytes,
                    local_bytes,
                    bytes: global_bytes + local_bytes,
                    without_window_bytes,
                }
            };
            Ok(FormatCache {
                format: name,
                layer_token_bytes: token,
                global_token_bytes: token * global,
                local_token_bytes: token * local,
                local_full_bytes: token * local * dims.sliding_window as u64,
                rings_bytes: token * local * ring.slots() as u64,
                contexts: CONTEXTS.into_iter().filter(|tokens| *tokens <= max_positions).map(context).collect(),
            })
        };
        let formats = [(KvFormat::Bf16, "bf16"), (KvFormat::Int8, "int8")];
        Ok(Self {
            global_layers,
            local_layers,
            ring_chunk: ring.chunk(),
            ring_slots: ring.slots(),
            formats: formats.into_iter().map(of_format).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn of_27b() -> KvCache {
        KvCache::new(&ModelDims::gemma3_27b(), 10, 131_072).unwrap()
    }

    #[test]
    fn the_27b_in_bf16() {
        let cache = &of_27b().formats[0];
        assert_eq!(
            [cache.layer_token_bytes, cache.global_token_bytes, cache.local_token_bytes],
            [8192, 81_920, 425_984]
        );
        assert_eq!(cache.local_full_bytes, 416 * MIB);
        let found: Vec<_> =
            cache.contexts.iter().map(|c| [c.tokens as u64, c.global_bytes / MIB, c.local_bytes / MIB]).collect();
        assert_eq!(found, [[1024, 80, 416], [8192, 640, 416], [32_768, 2560, 416], [131_072, 10_240, 416]]);
        let gib = |bytes: u64| (bytes as f64 / (1u64 << 30) as f64 * 100.0).round() / 100.0;
        let totals: Vec<_> = cache.contexts.iter().map(|c| [gib(c.bytes), gib(c.without_window_bytes)]).collect();
        assert_eq!(totals, [[0.48, 0.48], [1.03, 3.88], [2.91, 15.5], [10.41, 62.0]]);
    }

    #[test]
    fn int8_takes_a_little_more_than_half() {
        let [bf16, int8] = &of_27b().formats[..] else { panic!("two formats") };
        assert_eq!([int8.layer_token_bytes, int8.global_token_bytes, int8.local_token_bytes], [4224, 42_240, 219_648]);
        for (half, whole) in int8.contexts.iter().zip(&bf16.contexts) {
            // A byte for two, and four bytes of scale for 128 elements.
            assert_eq!(half.bytes * 256, whole.bytes * 132);
        }
        assert_eq!(int8.contexts[3].bytes, 4224 * (10 * 131_072 + 52 * 1024));
    }

    #[test]
    fn rings_hold_the_window_and_a_chunk() {
        let cache = of_27b();
        assert_eq!([cache.ring_chunk, cache.ring_slots], [512, 1544]);
        assert_eq!(cache.formats[0].rings_bytes, 52 * 1544 * 8192);
    }

    #[test]
    fn contexts_beyond_the_model_are_left_out() {
        let cache = KvCache::new(&ModelDims::gemma3_1b(), 4, 32_768).unwrap();
        assert_eq!(cache.formats[0].contexts.iter().map(|c| c.tokens).collect::<Vec<_>>(), [1024, 8192, 32_768]);
        // One head of 256; the window of 512 is full at every context listed.
        assert!(cache.formats[0].contexts.iter().all(|c| c.local_bytes == 22 * 512 * 1024));
    }

    #[test]
    fn heads_that_columns_cannot_share_are_refused() {
        let dims = ModelDims { kv_heads: 6, ..ModelDims::gemma3_27b() };
        assert_eq!(KvCache::new(&dims, 10, 1024).unwrap_err(), LayoutError::KvHeads { kv_heads: 6 });
    }
}
