//! Which model a verb is about.

use std::path::Path;

use gemma::{Checkpoint, GemmaConfig, ModelDims, Outline, Quantisation};
use npu_package::{PACKED_FILE, PackedModel};

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

/// What decides the memory of the preset, or of the checkpoint or packed model at a path.
pub fn outline(model: &str) -> Result<Outline, Failure> {
    if model == PRESET {
        return Ok(Outline::from(&GemmaConfig::published(ModelDims::gemma3_27b())));
    }
    let path = Path::new(model);
    if path.join(PACKED_FILE).is_file() {
        let packed = PackedModel::open(path).map_err(gemma::Error::from)?;
        return Ok(Outline::from(packed.description()));
    }
    let checkpoint = Checkpoint::open(path)?;
    // Weights that are not quantised yet get a scale for each channel.
    let found = Quantisation::detect(&checkpoint)?;
    let groups = found.granularity.and_then(|granularity| granularity.groups());
    Ok(Outline { groups, ..Outline::from(&checkpoint.config) })
}
