//! Dimensions of the published Gemma 3 text models.
//!
//! SOURCE: google/gemma-3 config.json files and the class defaults of huggingface/transformers
//! `models/gemma3/configuration_gemma3.py` (4.50 to 5.23).

use serde::Serialize;

/// The sizes that decide every tensor shape of a Gemma 3 text model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelDims {
    /// Name of the published model, or of the checkpoint directory.
    pub name: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head; not `hidden / heads`.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Keys visible to a local layer, the token's own included.
    pub sliding_window: usize,
}

impl ModelDims {
    fn preset(
        name: &str,
        [layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, sliding_window]: [usize; 8],
    ) -> Self {
        let name = name.to_owned();
        ModelDims { name, hidden, intermediate, layers, heads, kv_heads, head_dim, vocab, sliding_window }
    }

    /// Gemma 3 270M.
    pub fn gemma3_270m() -> Self {
        Self::preset("gemma-3-270m", [18, 640, 2048, 4, 1, 256, 262_144, 512])
    }
    /// Gemma 3 1B.
    pub fn gemma3_1b() -> Self {
        Self::preset("gemma-3-1b", [26, 1152, 6912, 4, 1, 256, 262_144, 512])
    }
    /// Gemma 3 4B, text part.
    pub fn gemma3_4b() -> Self {
        Self::preset("gemma-3-4b", [34, 2560, 10_240, 8, 4, 256, 262_208, 1024])
    }
    /// Gemma 3 12B, text part.
    pub fn gemma3_12b() -> Self {
        Self::preset("gemma-3-12b", [48, 3840, 15_360, 16, 8, 256, 262_208, 1024])
    }
    /// Gemma 3 27B, text part.
    pub fn gemma3_27b() -> Self {
        Self::preset("gemma-3-27b", [62, 5376, 21_504, 32, 16, 128, 262_208, 1024])
    }

    /// Every published size, smallest first.
    pub fn published() -> [Self; 5] {
        [Self::gemma3_270m(), Self::gemma3_1b(), Self::gemma3_4b(), Self::gemma3_12b(), Self::gemma3_27b()]
    }

    /// Output rows of the query projection: `heads * head_dim`.
    pub fn q_rows(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Output rows of the key projection, and of the value projection: `kv_heads * head_dim`.
    pub fn kv_rows(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Output rows of q, k and v together: the N of the fused projection.
    pub fn qkv_rows(&self) -> usize {
        self.q_rows() + 2 * self.kv_rows()
    }

    /// Parameters of the text model with tied embeddings.
    pub fn parameters(&self) -> u64 {
        let [hidden, layers] = [self.hidden as u64, self.layers as u64];
        let attention = hidden * (2 * self.q_rows() + 2 * self.kv_rows()) as u64;
        let mlp = 3 * hidden * self.intermediate as u64;
        let norms = 4 * hidden + 2 * self.head_dim as u64;
        layers * (attention + mlp + norms) + hidden + hidden * self.vocab as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_published_sizes() {
        // SOURCE: parameter counts of transformers' Gemma3ForCausalLM instantiated with each published config.
        let expected = [268_098_176, 999_885_952, 3_880_263_168, 11_766_034_176, 27_009_346_304];
        assert_eq!(ModelDims::published().map(|dims| dims.parameters()), expected);
    }

    #[test]
    fn projections_of_the_27b() {
        let dims = ModelDims::gemma3_27b();
        assert_eq!([dims.q_rows(), dims.kv_rows(), dims.qkv_rows()], [4096, 2048, 8192]);
    }
}
