//! Small checkpoints with the structure of Gemma 3, made from nothing: 5:1 local and global layers, grouped query heads,
//! four norms a layer. Weights come from a counter, so every run sees the same bytes.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const HIDDEN: usize = 256;
pub const INTERMEDIATE: usize = 512;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const HEAD_DIM: usize = 128;
pub const VOCAB: usize = 512;

#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// A checkpoint in memory.
#[derive(Clone)]
pub struct Synthetic {
    pub prefix: &'static str,
    pub config: Value,
    pub tensors: BTreeMap<String, Tensor>,
}

/// xorshift64*, seeded by name: values in (-1, 1).
pub fn values(name: &str, count: usize) -> Vec<f32> {
    let mut state =
        name.bytes().fold(0x9E37_79B9_7F4A_7C15u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    (0..count)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let word = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
            word as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

pub fn encode(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|&v| match dtype {
            Dtype::BF16 => bf16::from_f32(v).to_le_bytes().to_vec(),
            Dtype::F16 => f16::from_f32(v).to_le_bytes().to_vec(),
            Dtype::F32 => v.to_le_bytes().to_vec(),
            other => panic!("{other:?}"),
        })
        .collect()
}

pub fn decode(tensor: &Tensor) -> Vec<f32> {
    match tensor.dtype {
        Dtype::BF16 => tensor.data.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::F16 => tensor.data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::F32 => tensor.data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        other => panic!("{other:?}"),
    }
}

pub const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Shape of every text tensor, name without prefix.
pub fn shapes(layers: usize) -> Vec<(String, Vec<usize>)> {
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let linear = [
        [q, HIDDEN],
        [kv, HIDDEN],
        [kv, HIDDEN],
        [HIDDEN, q],
        [INTERMEDIATE, HIDDEN],
        [INTERMEDIATE, HIDDEN],
        [HIDDEN, INTERMEDIATE],
    ];
    let mut out = vec![("embed_tokens".to_owned(), vec![VOCAB, HIDDEN]), ("norm".to_owned(), vec![HIDDEN])];
    for layer in 0..layers {
        for (name, shape) in PROJECTIONS.iter().zip(linear) {
            out.push((format!("layers.{layer}.{name}"), shape.to_vec()));
        }
        for name in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            out.push((format!("layers.{layer}.{name}_layernorm"), vec![HIDDEN]));
        }
        for name in ["q_norm", "k_norm"] {
            out.push((format!("layers.{layer}.self_attn.{name}"), vec![HEAD_DIM]));
        }
    }
    out
}

pub fn text_config(layers: usize) -> Value {
    json!({
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": layers, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCAB, "sliding_window": 32,
        "query_pre_attn_scalar": 64, "rope_scaling": {"rope_type": "linear", "factor": 8.0}
    })
}

pub fn int8_config() -> Value {
    json!({
        "quant_method": "compressed-tensors", "format": "int-quantized", "ignore": ["lm_head"],
        "config_groups": {"group_0": {
            "targets": ["Linear"], "input_activations": null,
            "weights": {"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel"}
        }}
    })
}

impl Synthetic {
    /// A text-only checkpoint.
    pub fn dense(layers: usize, dtype: Dtype) -> Self {
        let prefix = "model.";
        let tensors = shapes(layers)
            .into_iter()
            .map(|(name, shape)| {
                let data = encode(dtype, &values(&name, shape.iter().product()));
                (format!("{prefix}{name}.weight"), Tensor { dtype, shape, data })
            })
            .collect();
        Synthetic { prefix, config: text_config(layers), tensors }
    }

    /// A multimodal one: nested configuration, published prefix, a piece of vision tower.
    pub fn multimodal(layers: usize) -> Self {
        let flat = Self::dense(layers, Dtype::BF16);
        let prefix = "language_model.model.";
        let mut tensors: BTreeMap<_, _> =
            flat.tensors.into_iter().map(|(name, tensor)| (name.replacen("model.", prefix, 1), tensor)).collect();
        let vision = Tensor { dtype: Dtype::BF16, shape: vec![8, 4], data: vec![7; 64] };
        tensors.insert("vision_tower.vision_model.embeddings.patch_embedding.weight".to_owned(), vision.clone());
        tensors.insert("multi_modal_projector.mm_input_projection_weight".to_owned(), vision);
        let config = json!({"model_type": "gemma3", "text_config": flat.config, "vision_config": {"hidden_size": 8}});
        Synthetic { prefix, config, tensors }
    }

    /// I8 codes and BF16 scales with every projection's scale shaped [out, 1].
    pub fn int8(layers: usize) -> Self {
        let mut made = Self::dense(layers, Dtype::BF16);
        for layer in 0..layers {
            for projection in PROJECTIONS {
                let name = made.name(layer, projection);
                let shape = made.tensors[&name].shape.clone();
                let codes = values(&format!("{name} codes"), shape.iter().product());
                let data = codes.iter().map(|v| (v * 128.0).floor() as i8 as u8).collect();
                let scales: Vec<f32> =
                    values(&format!("{name} scales"), shape[0]).iter().map(|v| 0.01 + v.abs() / 64.0).collect();
                let scale = encode(Dtype::BF16, &scales);
                made.put(&format!("{name}_scale"), Dtype::BF16, vec![shape[0], 1], scale);
                made.put(&name, Dtype::I8, shape, data);
            }
        }
        made.config["quantization_config"] = int8_config();
        made
    }

    /// The same codes with a scale for every `group` inputs.
    pub fn grouped(layers: usize, group: usize) -> Self {
        let mut made = Self::int8(layers);
        let weights = &mut made.config["quantization_config"]["config_groups"]["group_0"]["weights"];
        (weights["strategy"], weights["group_size"]) = (json!("group"), json!(group));
        for layer in 0..layers {
            for projection in PROJECTIONS {
                let name = made.name(layer, projection);
                let shape = made.tensors[&name].shape.clone();
                let scales = values(&name, shape[0] * shape[1] / group);
                let positive: Vec<f32> = scales.into_iter().map(|v| 0.01 + 0.001 * v).collect();
                made.put(
                    &format!("{name}_scale"),
                    Dtype::BF16,
                    vec![shape[0], shape[1] / group],
                    encode(Dtype::BF16, &positive),
                );
            }
        }
        made
    }

    /// The same codes with one scalar scale per attention tensor, and the rest in types nobody reads here.
    pub fn per_layer(layers: usize) -> Self {
        let mut made = Self::int8(layers);
        made.config.as_object_mut().unwrap().remove("quantization_config");
        let names: Vec<String> = made.tensors.keys().cloned().collect();
        for name in names {
            let tensor = made.tensors[&name].clone();
            if name.ends_with("_scale") {
                let scalar = tensor.data[..2].to_vec();
                made.put(&name, Dtype::BF16, vec![], scalar);
            } else if name.contains("self_attn") && tensor.dtype == Dtype::BF16 {
                let codes = decode(&tensor).iter().map(|v| (v * 127.0).round() as i8 as u8).collect();
                made.put(&name, Dtype::I8, tensor.shape, codes);
                made.put(&format!("{name}_scale"), Dtype::BF16, vec![], encode(Dtype::BF16, &[1.0 / 128.0]));
            } else if tensor.dtype == Dtype::BF16 {
                let count = tensor.shape.iter().product();
                made.put(&name, Dtype::U8, tensor.shape, vec![9; count]);
                made.put(&format!("{name}_scale"), Dtype::BF16, vec![2], vec![0, 0x3F, 0, 0]);
            }
        }
        made
    }

    pub fn name(&self, layer: usize, module: &str) -> String {
        format!("{}layers.{layer}.{module}.weight", self.prefix)
    }

    pub fn put(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>, data: Vec<u8>) {
        self.tensors.insert(name.to_owned(), Tensor { dtype, shape, data });
    }

    /// Replaces one BF16 element.
    pub fn poke(&mut self, name: &str, index: usize, value: bf16) {
        self.tensors.get_mut(name).unwrap().data[2 * index..][..2].copy_from_slice(&value.to_le_bytes());
    }

    /// One model.safetensors.
    pub fn write(&self, dir: &Path) {
        write_tensors(&dir.join("model.safetensors"), self.tensors.iter());
        self.write_config(dir);
    }

    pub fn write_config(&self, dir: &Path) {
        fs::write(dir.join("config.json"), format!("{:#}\n", self.config)).unwrap();
    }

    /// Two shards; with an index if asked.
    pub fn write_sharded(&self, dir: &Path, index: bool) {
        let half = self.tensors.len() / 2;
        let names = [1, 2].map(|n| format!("model-{n:05}-of-00002.safetensors"));
        write_tensors(&dir.join(&names[0]), self.tensors.iter().take(half));
        write_tensors(&dir.join(&names[1]), self.tensors.iter().skip(half));
        if index {
            let file = |i: usize| names[usize::from(i >= half)].clone();
            let map: BTreeMap<_, _> =
                self.tensors.keys().enumerate().map(|(i, name)| (name.clone(), file(i))).collect();
            let index = json!({"metadata": {"total_size": 0}, "weight_map": map});
            fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
        }
        self.write_config(dir);
    }

    /// `tiny_layer_N.safetensors` and `tiny_shared.safetensors`.
    pub fn write_per_layer(&self, dir: &Path, layers: usize) {
        let of_layer = |name: &str, layer: usize| name.contains(&format!("layers.{layer}."));
        for layer in 0..layers {
            let path = dir.join(format!("tiny_layer_{layer}.safetensors"));
            write_tensors(&path, self.tensors.iter().filter(|(name, _)| of_layer(name, layer)));
        }
        let shared = self.tensors.iter().filter(|(name, _)| !name.contains("layers."));
        write_tensors(&dir.join("tiny_shared.safetensors"), shared);
        self.write_config(dir);
    }

    /// Written into a new directory.
    pub fn saved(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        dir
    }
}

pub fn write_tensors<'a>(path: &Path, tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) {
    let views = tensors.map(|(name, t)| (name.clone(), TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap()));
    fs::write(path, safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()).unwrap();
}

pub fn read_tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, t)| (name, Tensor { dtype: t.dtype(), shape: t.shape().to_vec(), data: t.data().to_vec() }))
        .collect()
}

/// A file with a correct header and a hole in place of the data.
pub fn write_sparse(path: &Path, tensors: &[(String, &str, Vec<usize>)]) {
    let mut header = serde_json::Map::new();
    let mut offset = 0u64;
    for (name, dtype, shape) in tensors {
        let size = if *dtype == "I8" { 1 } else { 2 };
        let end = offset + shape.iter().map(|&n| n as u64).product::<u64>() * size;
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + offset).unwrap();
}

/// Every file below a directory with its contents.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.strip_prefix(dir).unwrap_or(&path).to_owned(), fs::read(&path).unwrap());
        }
    }
    all
}
