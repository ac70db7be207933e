//! Packed models: quantised weights in the layout of the kernels, one file per layer and projection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::directory::{self, FileEntry, FileSink, NewDirectory};
use crate::error::{PackageError, PackageKind};
use crate::layout::{GroupSize, Panels, ProjectionKind};
use crate::manifest::{ModelDims, Producer};

/// The file that describes a packed model.
pub const PACKED_FILE: &str = "packed.json";

/// `packed.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedManifest {
    /// [`crate::FORMAT_VERSION`].
    pub format_version: u32,
    /// What wrote the directory.
    pub producer: Producer,
    /// The model.
    pub model: ModelDims,
    /// Number scheme of the weights: a name of [`scheme_name`].
    pub scheme: String,
    /// Layers present, ascending. [`PackedWriter`] fills it.
    #[serde(default)]
    pub layers: Vec<PackedLayer>,
}

/// Number scheme of int8 weights with a scale for every group of inputs, or for every output channel.
pub const fn scheme_name(groups: Option<GroupSize>) -> &'static str {
    match groups {
        None => "w8a8",
        Some(GroupSize::Of32) => "int8_group32",
        Some(GroupSize::Of128) => "int8_group128",
    }
}

/// Groups of a number scheme.
///
/// # Errors
/// There is no layout for it.
pub fn scheme_groups(scheme: &str) -> Result<Option<GroupSize>, PackageError> {
    let all = [None, Some(GroupSize::Of32), Some(GroupSize::Of128)];
    let unknown = || PackageError::Scheme { found: scheme.to_owned(), accepted: all.map(scheme_name).to_vec() };
    all.into_iter().find(|&groups| scheme_name(groups) == scheme).ok_or_else(unknown)
}

/// The weights of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedLayer {
    /// Layer number.
    pub layer: usize,
    /// Name of the file with the panels of the fused query, key and value projection.
    pub qkv: String,
    /// Size and digest of that file.
    pub qkv_entry: FileEntry,
    /// Name of the file with the panels of the output projection.
    pub o: String,
    /// Size and digest of that file.
    pub o_entry: FileEntry,
}

impl PackedLayer {
    /// Name, size and digest of the file of one projection.
    pub fn file(&self, kind: ProjectionKind) -> (&str, &FileEntry) {
        match kind {
            ProjectionKind::Qkv => (&self.qkv, &self.qkv_entry),
            ProjectionKind::O => (&self.o, &self.o_entry),
        }
    }

    /// Name, size and digest of every file.
    pub fn files(&self) -> impl Iterator<Item = (ProjectionKind, &str, &FileEntry)> {
        ProjectionKind::ALL.into_iter().map(|kind| {
            let (name, entry) = self.file(kind);
            (kind, name, entry)
        })
    }
}

/// Name of the file with a layer's panels of one projection.
pub fn layer_file_name(layer: usize, kind: ProjectionKind) -> String {
    format!("layer_{layer:03}.{}.bin", kind.name())
}

/// Writes a packed model. It appears at its place when [`PackedWriter::finish`] succeeds, and not before.
#[derive(Debug)]
pub struct PackedWriter {
    directory: NewDirectory,
    written: BTreeMap<(usize, ProjectionKind), (String, FileEntry)>,
}

impl PackedWriter {
    /// Begins a packed model at `output`. An existing one is refused unless `force`, which replaces it; anything
    /// else that exists there is always refused.
    pub fn create(output: impl AsRef<Path>, force: bool) -> Result<Self, PackageError> {
        let directory = NewDirectory::create(output.as_ref(), force, PackageKind::Weights, PACKED_FILE)?;
        Ok(Self { directory, written: BTreeMap::new() })
    }

    /// Writes the panels of one projection of `layer` through the sink that `write` is given, in file order.
    pub fn layer<E: From<PackageError>>(
        &mut self,
        layer: usize,
        kind: ProjectionKind,
        write: impl FnOnce(&mut LayerSink) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.written.contains_key(&(layer, kind)) {
            return Err(PackageError::DuplicateLayer { layer, projection: kind.name() }.into());
        }
        let name = layer_file_name(layer, kind);
        let mut sink = LayerSink { file: self.directory.create_file(&name)? };
        write(&mut sink)?;
        let entry = sink.file.finish()?;
        self.written.insert((layer, kind), (name, entry));
        Ok(())
    }

    /// Writes `packed.json`, with format version and layers filled in, and moves the directory to its place.
    /// Every layer written must be one of the model, whole, and its files have the size of their panels. Returns the
    /// description as written.
    pub fn finish(mut self, mut description: PackedManifest) -> Result<PackedManifest, PackageError> {
        description.format_version = crate::FORMAT_VERSION;
        description.layers = Vec::new();
        while let Some((&(layer, _), _)) = self.written.first_key_value() {
            let mut take = |kind: ProjectionKind| {
                let missing = PackageError::LayerIncomplete { layer, projection: kind.name() };
                self.written.remove(&(layer, kind)).ok_or(missing)
            };
            let ((qkv, qkv_entry), (o, o_entry)) = (take(ProjectionKind::Qkv)?, take(ProjectionKind::O)?);
            description.layers.push(PackedLayer { layer, qkv, qkv_entry, o, o_entry });
        }
        check_layers(&description)?;
        self.directory.write_file(PACKED_FILE, &description.text())?;
        self.directory.finish()?;
        Ok(description)
    }
}

/// Takes the bytes of one layer.
pub struct LayerSink {
    file: FileSink,
}

impl LayerSink {
    /// Appends `contents`.
    pub fn write(&mut self, contents: &[u8]) -> Result<(), PackageError> {
        self.file.write(contents)
    }
}

/// A packed model, opened.
#[derive(Debug, Clone)]
pub struct PackedModel {
    path: PathBuf,
    description: PackedManifest,
}

impl PackedModel {
    /// Opens a packed model: reads its description and checks that every layer is there with the size of the
    /// model's panels. Contents are checked by [`PackedModel::read_layer`] and [`PackedModel::verify`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let path = path.as_ref().to_owned();
        let description: PackedManifest = directory::read_description(&path, PackageKind::Weights, PACKED_FILE)?;
        check_layers(&description)?;
        for (_, name, entry) in description.layers.iter().flat_map(PackedLayer::files) {
            directory::locate(&path, name, entry)?;
        }
        Ok(Self { path, description })
    }

    /// Where the packed model lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The description.
    pub fn description(&self) -> &PackedManifest {
        &self.description
    }

    /// The file of a projection of a layer, to be mapped or read by the caller; its contents are not checked.
    pub fn layer_path(&self, layer: usize, kind: ProjectionKind) -> Result<PathBuf, PackageError> {
        let (name, entry) = self.entry(layer)?.file(kind);
        directory::locate(&self.path, name, entry)
    }

    /// The panels of a projection of a layer, checked against their digest.
    pub fn read_layer(&self, layer: usize, kind: ProjectionKind) -> Result<Vec<u8>, PackageError> {
        let (name, entry) = self.entry(layer)?.file(kind);
        directory::read_verified(&self.path, name, entry)
    }

    /// Checks the digest of every layer.
    pub fn verify(&self) -> Result<(), PackageError> {
        let mut files = self.description.layers.iter().flat_map(PackedLayer::files);
        files.try_for_each(|(_, name, entry)| directory::verify(&self.path, name, entry))
    }

    fn entry(&self, layer: usize) -> Result<&PackedLayer, PackageError> {
        let layers = &self.description.layers;
        layers.iter().find(|entry| entry.layer == layer).ok_or(PackageError::NoLayer {
            layer,
            present: layers.len(),
            layers: self.description.model.layers,
        })
    }
}

impl PackedManifest {
    /// Parses the text of a description and checks all that needs no file of the packed model; `path` names it in errors.
    pub fn parse(path: &Path, contents: &[u8]) -> Result<Self, PackageError> {
        let description: Self = directory::parse_description(path, contents)?;
        check_layers(&description)?;
        for (_, name, _) in description.layers.iter().flat_map(PackedLayer::files) {
            directory::check_name(name)?;
        }
        Ok(description)
    }

    /// The panels of one projection of a layer in the scheme of the weights.
    ///
    /// # Errors
    /// The rule that the model's dimensions break, or a scheme without a layout.
    pub fn panels(&self, kind: ProjectionKind) -> Result<Panels, PackageError> {
        let panels = self.model.panels(kind)?;
        Ok(scheme_groups(&self.scheme)?.map_or(panels, |size| panels.grouped(size)))
    }

    /// The text of `packed.json`.
    pub fn text(&self) -> Vec<u8> {
        directory::description_text(self)
    }
}

fn check_layers(description: &PackedManifest) -> Result<(), PackageError> {
    let mut layout_bytes = BTreeMap::new();
    for kind in ProjectionKind::ALL {
        layout_bytes.insert(kind, description.panels(kind)?.bytes() as u64);
    }
    for entry in &description.layers {
        let layer = entry.layer;
        if layer >= description.model.layers {
            return Err(PackageError::NoLayer {
                layer,
                present: description.layers.len(),
                layers: description.model.layers,
            });
        }
        for (kind, _, FileEntry { bytes: found_bytes, .. }) in entry.files() {
            let (found_bytes, layout_bytes) = (*found_bytes, layout_bytes[&kind]);
            if found_bytes != layout_bytes {
                return Err(PackageError::LayerSize { layer, projection: kind.name(), found_bytes, layout_bytes });
            }
        }
    }
    Ok(())
}
