//! Packed models: quantised weights in the layout of the kernels, one file per layer and projection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::directory::{self, FileEntry, FileSink, NewDirectory};
use crate::error::{PackageError, PackageKind};
use crate::layout::{HeadNorm, LayoutError, ProjectionKind};
use crate::manifest::{Layer, ModelDims, Producer};

/// The file that describes a packed model.
pub const PACKED_FILE: &str = "packed.json";

/// Version of [`PACKED_FILE`] that this crate writes and reads.
pub const PACKED_VERSION: u32 = 3;

/// `packed.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedManifest {
    /// [`PACKED_VERSION`].
    pub format_version: u32,
    /// What wrote the directory.
    pub producer: Producer,
    /// The model.
    pub model: ModelDims,
    /// Number scheme, e.g. `"w8a8"`.
    pub scheme: String,
    /// What attention depends on beside weights.
    pub attention: AttentionFacts,
    /// Layers present, ascending. [`PackedWriter`] fills it.
    #[serde(default)]
    pub layers: Vec<PackedLayer>,
}

/// What the model's configuration says of attention and no tensor shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionFacts {
    /// Kind of every layer of the model.
    pub layer_kinds: Vec<Layer>,
    /// Keys a query of a local layer sees, its own included.
    pub sliding_window: usize,
    /// Rotation of local layers.
    pub rope_local: Rotation,
    /// Rotation of global layers.
    pub rope_global: Rotation,
    /// The score scale is this to the power -1/2. The norms of queries contain it.
    pub query_pre_attn_scalar: f64,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// Longest context.
    pub max_positions: usize,
}

/// angle(p, j) = p · theta^(-2j / head_dim) / factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Base.
    pub theta: f64,
    /// Linear scaling; 1 where there is none.
    pub factor: f64,
}

impl AttentionFacts {
    /// Rotation of a kind of layer.
    pub fn rotation(&self, layer: Layer) -> Rotation {
        match layer {
            Layer::Local => self.rope_local,
            Layer::Global => self.rope_global,
        }
    }

    /// Keys that a query of a kind of layer sees at most.
    pub fn window(&self, layer: Layer) -> Option<usize> {
        match layer {
            Layer::Local => Some(self.sliding_window),
            Layer::Global => None,
        }
    }
}

/// A file of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerFile {
    /// Weights of a projection, in layout `panels`.
    Panels(ProjectionKind),
    /// Norms of queries, then of keys, in layout `head_norms`.
    Norms,
}

impl LayerFile {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Panels(ProjectionKind::Qkv), Self::Panels(ProjectionKind::O), Self::Norms];

    /// As file names have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panels(kind) => kind.name(),
            Self::Norms => "norms",
        }
    }

    /// Its size, or the rule that the model breaks.
    pub fn bytes(self, model: &ModelDims) -> Result<usize, LayoutError> {
        Ok(match self {
            Self::Panels(kind) => model.panels(kind)?.bytes(),
            Self::Norms => 2 * HeadNorm::new(model.head_dim)?.bytes(),
        })
    }
}

impl From<ProjectionKind> for LayerFile {
    fn from(kind: ProjectionKind) -> Self {
        Self::Panels(kind)
    }
}

/// The files of one layer.
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
    /// Name of the file with the norms of queries and keys.
    pub norms: String,
    /// Size and digest of that file.
    pub norms_entry: FileEntry,
}

impl PackedLayer {
    /// Name, size and digest of one file.
    pub fn file(&self, file: impl Into<LayerFile>) -> (&str, &FileEntry) {
        match file.into() {
            LayerFile::Panels(ProjectionKind::Qkv) => (&self.qkv, &self.qkv_entry),
            LayerFile::Panels(ProjectionKind::O) => (&self.o, &self.o_entry),
            LayerFile::Norms => (&self.norms, &self.norms_entry),
        }
    }

    /// Name, size and digest of every file.
    pub fn files(&self) -> impl Iterator<Item = (LayerFile, &str, &FileEntry)> {
        LayerFile::ALL.into_iter().map(|file| {
            let (name, entry) = self.file(file);
            (file, name, entry)
        })
    }
}

/// Name of a file of a layer.
pub fn layer_file_name(layer: usize, file: impl Into<LayerFile>) -> String {
    format!("layer_{layer:03}.{}.bin", file.into().name())
}

/// Writes a packed model. It appears at its place when [`PackedWriter::finish`] succeeds, and not before.
#[derive(Debug)]
pub struct PackedWriter {
    directory: NewDirectory,
    written: BTreeMap<(usize, LayerFile), (String, FileEntry)>,
}

impl PackedWriter {
    /// Begins a packed model at `output`. An existing one is refused unless `force`, which replaces it; anything
    /// else that exists there is always refused.
    pub fn create(output: impl AsRef<Path>, force: bool) -> Result<Self, PackageError> {
        let directory = NewDirectory::create(output.as_ref(), force, PackageKind::Weights, PACKED_FILE)?;
        Ok(Self { directory, written: BTreeMap::new() })
    }

    /// Writes one file of `layer` through the sink that `write` is given, in file order.
    pub fn layer<E: From<PackageError>>(
        &mut self,
        layer: usize,
        file: impl Into<LayerFile>,
        write: impl FnOnce(&mut LayerSink) -> Result<(), E>,
    ) -> Result<(), E> {
        let file = file.into();
        if self.written.contains_key(&(layer, file)) {
            return Err(PackageError::DuplicateLayer { layer, file: file.name() }.into());
        }
        let name = layer_file_name(layer, file);
        let mut sink = LayerSink { file: self.directory.create_file(&name)? };
        write(&mut sink)?;
        let entry = sink.file.finish()?;
        self.written.insert((layer, file), (name, entry));
        Ok(())
    }

    /// Writes `packed.json`, with format version and layers filled in, and moves the directory to its place.
    /// Every layer written must be one of the model, whole, and its files have the size of their layout. Returns the
    /// description as written.
    pub fn finish(mut self, mut description: PackedManifest) -> Result<PackedManifest, PackageError> {
        description.format_version = PACKED_VERSION;
        description.layers = Vec::new();
        while let Some((&(layer, _), _)) = self.written.first_key_value() {
            let mut take = |file: LayerFile| {
                let missing = PackageError::LayerIncomplete { layer, file: file.name() };
                self.written.remove(&(layer, file)).ok_or(missing)
            };
            let (qkv, qkv_entry) = take(ProjectionKind::Qkv.into())?;
            let (o, o_entry) = take(ProjectionKind::O.into())?;
            let (norms, norms_entry) = take(LayerFile::Norms)?;
            description.layers.push(PackedLayer { layer, qkv, qkv_entry, o, o_entry, norms, norms_entry });
        }
        check(&description)?;
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
        let description: PackedManifest =
            directory::read_description(&path, PackageKind::Weights, PACKED_FILE, PACKED_VERSION)?;
        check(&description)?;
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

    /// A file of a layer, to be mapped or read by the caller; its contents are not checked.
    pub fn layer_path(&self, layer: usize, file: impl Into<LayerFile>) -> Result<PathBuf, PackageError> {
        let (name, entry) = self.entry(layer)?.file(file);
        directory::locate(&self.path, name, entry)
    }

    /// A file of a layer, checked against its digest.
    pub fn read_layer(&self, layer: usize, file: impl Into<LayerFile>) -> Result<Vec<u8>, PackageError> {
        let (name, entry) = self.entry(layer)?.file(file);
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
        let description: Self = directory::parse_description(path, contents, PACKED_VERSION)?;
        check(&description)?;
        for (_, name, _) in description.layers.iter().flat_map(PackedLayer::files) {
            directory::check_name(name)?;
        }
        Ok(description)
    }

    /// The text of `packed.json`.
    pub fn text(&self) -> Vec<u8> {
        directory::description_text(self)
    }
}

fn check(description: &PackedManifest) -> Result<(), PackageError> {
    let (model, kinds) = (&description.model, description.attention.layer_kinds.len());
    if kinds != model.layers {
        return Err(PackageError::LayerKinds { kinds, layers: model.layers });
    }
    let mut layout_bytes = BTreeMap::new();
    for file in LayerFile::ALL {
        layout_bytes.insert(file, file.bytes(model)? as u64);
    }
    for entry in &description.layers {
        let layer = entry.layer;
        if layer >= model.layers {
            return Err(PackageError::NoLayer { layer, present: description.layers.len(), layers: model.layers });
        }
        for (file, _, FileEntry { bytes: found_bytes, .. }) in entry.files() {
            let (found_bytes, layout_bytes) = (*found_bytes, layout_bytes[&file]);
            if found_bytes != layout_bytes {
                return Err(PackageError::LayerSize { layer, file: file.name(), found_bytes, layout_bytes });
            }
        }
    }
    Ok(())
}
