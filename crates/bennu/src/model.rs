//! Which model a verb compiles for.

use gemma::{Checkpoint, ModelDims};

use crate::failure::Failure;

/// The preset that needs no checkpoint.
pub const PRESET: &str = "gemma3-27b";

/// Dimensions of the preset, or of the checkpoint at a path.
pub fn dims(model: &str) -> Result<ModelDims, Failure> {
    if model == PRESET {
        return Ok(ModelDims::gemma3_27b());
    }
    Ok(Checkpoint::open(model.as_ref())?.config.dims)
}
