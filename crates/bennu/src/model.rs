//! Which model a verb is about.

use std::path::{Path, PathBuf};

use gemma::{Checkpoint, GemmaConfig, ModelDims, package_dims};
use npu_package::{PACKED_FILE, PackedModel};

use crate::failure::Failure;

/// The preset that needs no checkpoint.
pub const PRESET: &str = "gemma3-27b";

/// Dimensions of the preset, or of the checkpoint at a path.
pub fn dims(model: &str) -> Result<ModelDims, Failure> {
    Ok(config(model)?.dims)
}

/// Configuration of the preset, or of the checkpoint or packed model at a path.
pub fn config(model: &str) -> Result<GemmaConfig, Failure> {
    if model == PRESET {
        return Ok(GemmaConfig::published(ModelDims::gemma3_27b()));
    }
    let path = Path::new(model);
    if path.join(PACKED_FILE).is_file() { packed(path) } else { Ok(Checkpoint::open(path)?.config) }
}

/// A packed model says its sizes; windows and kinds of layers follow if they are those of a published one.
fn packed(path: &Path) -> Result<GemmaConfig, Failure> {
    let packed = PackedModel::open(path).map_err(gemma::Error::from)?;
    let sizes = &packed.description().model;
    let same = |dims: &ModelDims| npu_package::ModelDims { name: sizes.name.clone(), ..package_dims(dims) } == *sizes;
    match ModelDims::published().into_iter().find(same) {
        Some(dims) => Ok(GemmaConfig::published(dims)),
        None => Err(Failure::refused(NotPublished { path: path.to_owned(), name: sizes.name.clone() })
            .with_remedy("give the checkpoint that was packed: its config.json says what packed.json does not")),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{}: {name} has the sizes of no published Gemma 3, so that its windows and kinds of layers are not known", path.display())]
struct NotPublished {
    path: PathBuf,
    name: String,
}
