//! Packed weights for the run side: a layer is mapped, checked against its digest, and handed to the DMA as it lies.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use npu_package::layout::{Panels, ProjectionKind};
use npu_package::{LayerFile, PackageError, PackedModel};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::map::map_file;

/// A packed model whose layers can be mapped.
#[derive(Debug)]
pub struct PackedWeights {
    model: PackedModel,
    qkv: Panels,
    o: Panels,
}

/// A file of a layer, mapped: panels of a projection are the bytes that array column 0, 1, 2 and 3 stream, one after the other.
#[derive(Debug)]
pub struct PackedLayerMap {
    bytes: Mmap,
}

impl PackedWeights {
    /// Opens a directory written by [`crate::pack()`]. Sizes are checked now, contents when a layer is mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let model = PackedModel::open(path)?;
        let panels = |kind| model.description().model.panels(kind).map_err(PackageError::from);
        let (qkv, o) = (panels(ProjectionKind::Qkv)?, panels(ProjectionKind::O)?);
        Ok(PackedWeights { model, qkv, o })
    }

    /// What the directory says about itself.
    pub fn model(&self) -> &PackedModel {
        &self.model
    }

    /// Where every element of a projection lies.
    pub fn panels(&self, kind: ProjectionKind) -> &Panels {
        match kind {
            ProjectionKind::Qkv => &self.qkv,
            ProjectionKind::O => &self.o,
        }
    }

    /// Maps a file of a layer and compares it with its SHA-256.
    pub fn layer(&self, layer: usize, file: impl Into<LayerFile>) -> Result<PackedLayerMap> {
        let part = file.into();
        let path = self.model.layer_path(layer, part)?;
        let fail = |source| Error::read("map", &path, source);
        let file = File::open(&path).map_err(fail)?;
        let bytes = map_file(&file).map_err(fail)?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let entries = &self.model.description().layers;
        match entries.iter().find(|entry| entry.layer == layer).map(|entry| entry.file(part)) {
            Some((_, entry)) if entry.sha256 == found => Ok(PackedLayerMap { bytes }),
            Some((name, entry)) => {
                let (name, listed) = (name.to_owned(), entry.sha256.clone());
                Err(PackageError::Digest { name, found, listed }.into())
            }
            // PANIC: `layer_path` found the same entry.
            None => unreachable!("layer {layer} has a path and no entry"),
        }
    }
}

impl Deref for PackedLayerMap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
