//! A checkpoint on disk: which files belong to it, what tensors they hold, and its configuration.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::GemmaConfig;
use crate::dims::ModelDims;
use crate::error::{Error, Result};
use crate::header::{Shard, TensorInfo, file_name};
use crate::names::{Module, Norm, Prefix, Projection, Role};

/// File that maps tensors to shards.
pub(crate) const INDEX_NAME: &str = "model.safetensors.index.json";
/// Configuration file.
pub(crate) const CONFIG_NAME: &str = "config.json";

/// An opened checkpoint: headers and configuration read, no weight touched.
#[derive(Debug)]
pub struct Checkpoint {
    /// What the user named.
    pub path: PathBuf,
    /// Directory of its files.
    pub dir: PathBuf,
    /// Its index, if it has one.
    pub index: Option<PathBuf>,
    /// Files, in order of their names.
    pub shards: Vec<Shard>,
    /// Model configuration.
    pub config: GemmaConfig,
    /// config.json as it stands; `None` when it was inferred.
    pub config_text: Option<Vec<u8>>,
    /// Prefix of the text tensors.
    pub prefix: Prefix,
    by_name: BTreeMap<String, usize>,
}

/// A tensor and the shard that holds it.
#[derive(Debug, Clone, Copy)]
pub struct TensorRef<'a> {
    /// Full name.
    pub name: &'a str,
    /// Its shard.
    pub shard: &'a Shard,
    /// Type, shape and place.
    pub info: &'a TensorInfo,
}

impl TensorRef<'_> {
    /// Refusal because this tensor breaks `rule`.
    pub(crate) fn breaks(&self, rule: impl Into<Box<str>>) -> Error {
        Error::TensorRule {
            file: self.shard.path.clone(),
            tensor: self.name.to_owned(),
            dtype: format!("{:?}", self.info.dtype).into(),
            shape: self.info.shape.clone(),
            rule: rule.into(),
        }
    }

    /// Refusal because this tensor shows a scheme that is not read.
    pub(crate) fn unsupported(&self, scheme: impl Into<Box<str>>) -> Error {
        Error::UnsupportedScheme {
            scheme: scheme.into(),
            file: self.shard.path.clone(),
            tensor: self.name.to_owned(),
            dtype: format!("{:?}", self.info.dtype).into(),
            shape: self.info.shape.clone(),
        }
    }
}

impl Checkpoint {
    /// Opens a directory, an index file or a single safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let Files { dir, index, files } = discover(path)?;
        let shards = files.iter().map(|file| Shard::open(file)).collect::<Result<Vec<_>>>()?;
        let mut by_name = BTreeMap::new();
        for (i, shard) in shards.iter().enumerate() {
            for name in shard.tensors.keys() {
                if let Some(first) = by_name.insert(name.clone(), i) {
                    return Err(Error::DuplicateTensor {
                        tensor: name.clone(),
                        first: shards[first].path.clone(),
                        second: shard.path.clone(),
                    });
                }
            }
        }
        if let Some(index) = &index {
            check_index(&index.path, &index.weight_map, &shards, &by_name)?;
        }
        let prefix = find_prefix(path, &by_name)?;
        let config_path = dir.join(CONFIG_NAME);
        let (mut config, config_text) = match fs::read(&config_path) {
            Ok(text) => (GemmaConfig::parse(&text, &config_path)?, Some(text)),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                (infer_config(&config_path, prefix, &shards, &by_name)?, None)
            }
            Err(source) => return Err(Error::read("read", &config_path, source)),
        };
        if config.dims.name.is_empty() {
            config.dims.name = model_name(&dir, &config.dims);
        }
        let index = index.map(|index| index.path);
        Ok(Checkpoint { path: path.to_owned(), dir, index, shards, config, config_text, prefix, by_name })
    }

    /// Path of config.json, whether or not it exists.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG_NAME)
    }

    /// A tensor by its full name.
    pub fn tensor(&self, name: &str) -> Option<TensorRef<'_>> {
        let (name, &shard) = self.by_name.get_key_value(name)?;
        let shard = &self.shards[shard];
        shard.tensors.get(name).map(|info| TensorRef { name, shard, info })
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = TensorRef<'_>> {
        self.by_name.keys().filter_map(|name| self.tensor(name))
    }

    /// What a name stands for under this checkpoint's prefix.
    pub fn role(&self, name: &str) -> Role {
        Role::of(name, self.prefix)
    }

    /// The weight of a module.
    pub fn weight(&self, module: Module) -> Option<TensorRef<'_>> {
        if module == Module::Head {
            return ["lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight"]
                .into_iter()
                .find_map(|name| self.tensor(name));
        }
        self.tensor(&module.weight_name(self.prefix))
    }

    /// The weight of a module that the configuration requires.
    pub fn required_weight(&self, module: Module) -> Result<TensorRef<'_>> {
        self.weight(module).ok_or_else(|| Error::MissingTensor {
            path: self.path.clone(),
            tensor: module.weight_name(self.prefix),
            why: format!("the configuration has {} layers", self.config.dims.layers),
        })
    }

    /// The scale of a module's weight.
    pub fn scale(&self, module: Module) -> Option<TensorRef<'_>> {
        let weight = self.weight(module)?;
        self.tensor(&format!("{}_scale", weight.name))
    }
}

struct Files {
    dir: PathBuf,
    index: Option<Index>,
    files: Vec<PathBuf>,
}

struct Index {
    path: PathBuf,
    weight_map: BTreeMap<String, String>,
}

/// Finds the files of the checkpoint that `path` names.
fn discover(path: &Path) -> Result<Files> {
    let metadata = fs::metadata(path).map_err(|source| Error::read("open", path, source))?;
    if metadata.is_dir() {
        return discover_dir(path);
    }
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = file_name(path);
    if name.ends_with(".index.json") {
        return with_index(dir, path.to_owned());
    }
    if name == CONFIG_NAME {
        return discover_dir(&dir);
    }
    if let Some((shard, shards)) = shard_number(&name)
        && shards > 1
    {
        return Err(Error::OneShard { path: path.to_owned(), shard, shards });
    }
    Ok(Files { dir, index: None, files: vec![path.to_owned()] })
}

/// Precedence in a directory: the index; `model.safetensors`; a complete `-00001-of-0000N` set; one file per layer;
/// the only safetensors file.
fn discover_dir(dir: &Path) -> Result<Files> {
    let fail = |source| Error::read("list", dir, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if names.iter().any(|name| name == INDEX_NAME) {
        return with_index(dir.to_owned(), dir.join(INDEX_NAME));
    }
    let here = |names: Vec<&String>| Files {
        dir: dir.to_owned(),
        index: None,
        files: names.into_iter().map(|name| dir.join(name)).collect(),
    };
    let tensors: Vec<&String> = names.iter().filter(|name| name.ends_with(".safetensors")).collect();
    if let Some(single) = tensors.iter().find(|name| **name == "model.safetensors") {
        return Ok(here(vec![single]));
    }
    let numbered: Vec<&String> = tensors.iter().copied().filter(|name| shard_number(name).is_some()).collect();
    if let Some((_, shards)) = numbered.first().and_then(|name| shard_number(name)) {
        let stem = |name: &str| name.split("-0").next().map(str::to_owned);
        let one_set = numbered
            .iter()
            .all(|name| shard_number(name).is_some_and(|(_, of)| of == shards) && stem(name) == stem(numbered[0]));
        if !one_set {
            return Err(Error::AmbiguousCheckpoint {
                path: dir.to_owned(),
                files: numbered.into_iter().cloned().collect(),
            });
        }
        for number in 1..=shards {
            if !numbered.iter().any(|name| shard_number(name).is_some_and(|(n, _)| n == number)) {
                let missing = numbered[0].replacen(
                    &format!("{:05}-of-", shard_number(numbered[0]).map_or(0, |(n, _)| n)),
                    &format!("{number:05}-of-"),
                    1,
                );
                return Err(Error::Missing { path: dir.join(missing) });
            }
        }
        return Ok(here(numbered));
    }
    let per_layer: Vec<&String> =
        tensors.iter().copied().filter(|name| is_layer_file(name) || name.ends_with("_shared.safetensors")).collect();
    if per_layer.iter().any(|name| is_layer_file(name)) {
        return Ok(here(per_layer));
    }
    match tensors.len() {
        1 => Ok(here(tensors)),
        0 => match names.iter().find(|name| name.ends_with(".gguf") || name.ends_with(".bin") || name.ends_with(".pt"))
        {
            Some(name) => Err(Error::ForeignFormat {
                path: dir.join(name),
                format: if name.ends_with(".gguf") { "GGUF" } else { "a PyTorch pickle" },
            }),
            None => Err(Error::NoCheckpoint { path: dir.to_owned() }),
        },
        _ => Err(Error::AmbiguousCheckpoint { path: dir.to_owned(), files: tensors.into_iter().cloned().collect() }),
    }
}

/// (3, 12) of `model-00003-of-00012.safetensors`.
fn shard_number(name: &str) -> Option<(u32, u32)> {
    let (rest, shards) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (_, shard) = rest.rsplit_once('-')?;
    Some((shard.parse().ok()?, shards.parse().ok()?))
}

/// `SHARD_layer_N.safetensors` of the per-layer layout.
fn is_layer_file(name: &str) -> bool {
    name.strip_suffix(".safetensors")
        .and_then(|stem| stem.rsplit_once("_layer_"))
        .is_some_and(|(_, layer)| !layer.is_empty() && layer.bytes().all(|b| b.is_ascii_digit()))
}

fn with_index(dir: PathBuf, path: PathBuf) -> Result<Files> {
    #[derive(Deserialize)]
    struct IndexFile {
        weight_map: BTreeMap<String, String>,
    }
    let text = fs::read(&path).map_err(|source| Error::read("read", &path, source))?;
    let IndexFile { weight_map } =
        serde_json::from_slice(&text).map_err(|source| Error::Index { path: path.clone(), source })?;
    for (tensor, file) in &weight_map {
        if Path::new(file).file_name() != Some(file.as_ref()) {
            return Err(Error::IndexPath { path, tensor: tensor.clone(), file: file.clone() });
        }
    }
    let mut files: Vec<&String> = weight_map.values().collect();
    files.sort();
    files.dedup();
    let files = files.into_iter().map(|file| dir.join(file)).collect();
    Ok(Files { dir, files, index: Some(Index { path, weight_map }) })
}

/// The index and the headers must say the same.
fn check_index(
    path: &Path,
    weight_map: &BTreeMap<String, String>,
    shards: &[Shard],
    by_name: &BTreeMap<String, usize>,
) -> Result<()> {
    let nowhere = || "no file".to_owned();
    for tensor in weight_map.keys().chain(by_name.keys()) {
        let indexed = weight_map.get(tensor);
        let found = by_name.get(tensor).map(|&shard| shards[shard].file_name());
        if indexed != found.as_ref() {
            return Err(Error::IndexContradiction {
                path: path.to_owned(),
                tensor: tensor.clone(),
                indexed: indexed.cloned().unwrap_or_else(nowhere),
                found: found.unwrap_or_else(nowhere),
            });
        }
    }
    Ok(())
}

fn find_prefix(path: &Path, by_name: &BTreeMap<String, usize>) -> Result<Prefix> {
    let mut found = Prefix::ALL.into_iter().filter(|prefix| by_name.keys().any(|name| prefix.holds(name)));
    match (found.next(), found.next()) {
        (Some(prefix), None) => Ok(prefix),
        (Some(first), Some(second)) => {
            Err(Error::TwoPrefixes { path: path.to_owned(), first: first.text(), second: second.text() })
        }
        (None, _) => {
            let first = by_name.keys().next().cloned().unwrap_or_else(|| "none at all".to_owned());
            Err(Error::NotGemma { path: path.to_owned(), first })
        }
    }
}

/// Without config.json the shapes must be exactly those of a published model.
fn infer_config(
    config_path: &Path,
    prefix: Prefix,
    shards: &[Shard],
    by_name: &BTreeMap<String, usize>,
) -> Result<GemmaConfig> {
    let shape_of = |module: Module| {
        let name = module.weight_name(prefix);
        by_name.get(&name).and_then(|&shard| shards[shard].tensors.get(&name)).map(|info| info.shape.clone())
    };
    let layers = by_name
        .keys()
        .filter_map(|name| match Role::of(name, prefix) {
            Role::Weight(Module::Norm(layer, _) | Module::Projection(layer, _)) => Some(layer + 1),
            _ => None,
        })
        .max()
        .unwrap_or(0);
    let hidden = shape_of(Module::Norm(0, Norm::Input)).map_or(0, |shape| shape.iter().product());
    let head_dim = shape_of(Module::Norm(0, Norm::Query)).map_or(0, |shape| shape.iter().product());
    let q_rows = shape_of(Module::Projection(0, Projection::Q)).map(|shape| shape.first().copied().unwrap_or(0));
    ModelDims::published()
        .into_iter()
        .find(|dims| {
            dims.hidden == hidden
                && dims.layers == layers
                && dims.head_dim == head_dim
                && q_rows.is_none_or(|rows| rows == dims.q_rows())
        })
        .map(GemmaConfig::published)
        .ok_or_else(|| Error::NoConfig { path: config_path.to_owned(), hidden, layers })
}

/// The published name if the sizes are those of a published model, else the name of the directory.
fn model_name(dir: &Path, dims: &ModelDims) -> String {
    let same = |published: &ModelDims| ModelDims { name: String::new(), ..published.clone() } == *dims;
    match ModelDims::published().into_iter().find(same) {
        Some(published) => published.name,
        None => dir
            .canonicalize()
            .ok()
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(|| "gemma-3".to_owned(), |name| name.to_string_lossy().into_owned()),
    }
}
