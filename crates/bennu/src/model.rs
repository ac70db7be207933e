//! Which model a verb is about.

use std::path::Path;

use gemma::{Checkpoint, GemmaConfig, ModelDims};

use crate::failure::Failure;

/// The preset that needs no checkpoint.
pub const PRESET: &str = "gemma3-27b";

/// Dimensions of the preset, or of the checkpoint at a path.
pub fn dims(model: &str) -> Result<ModelDims, Failure> {
    Ok(config(model)?.dims)
}

/// Configuration of the preset, or of the checkpoint at a path.
pub fn config(model: &str) -> Result<GemmaConfig, Failure> {
    if model == PRESET {
        return Ok(GemmaConfig::published(ModelDims::gemma3_27b()));
    }
    Ok(Checkpoint::open(Path::new(model))?.config)
}
