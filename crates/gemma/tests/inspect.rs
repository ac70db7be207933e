//! What `inspect` finds, and how it refuses what is not a sound Gemma 3 checkpoint.

mod synthetic;

use std::fs;
use std::path::Path;

use gemma::{CacheOrRefusal, Checkpoint, Error, Granularity, Inspection, MemoryOrRefusal, ModelDims, Scheme};
use safetensors::Dtype;
use serde_json::{Value, json};
use synthetic::{Synthetic, write_sparse};

fn inspect(path: &Path) -> Result<Inspection, Error> {
    gemma::inspect(&Checkpoint::open(path)?, 64)
}

fn refusal(path: &Path) -> String {
    inspect(path).unwrap_err().to_string()
}

/// The message for a one-layer dense checkpoint after `change`.
fn refused_after(change: impl FnOnce(&mut Synthetic)) -> String {
    let mut made = Synthetic::dense(1, Dtype::BF16);
    change(&mut made);
    refusal(made.saved().path())
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn a_dense_checkpoint() {
    let dir = Synthetic::dense(7, Dtype::BF16).saved();
    let found = inspect(dir.path()).unwrap();
    assert_eq!([found.hidden, found.layers, found.heads, found.kv_heads, found.head_dim], [256, 7, 4, 2, 128]);
    assert_eq!(found.q_shape[..], [512, 256]);
    assert_eq!(found.k_shape, found.v_shape);
    assert_eq!(found.o_shape[..], [256, 512]);
    assert_eq!(found.global_layers, [5]);
    assert_eq!(found.local_layers, 6);
    assert_eq!(found.quantisation.scheme, Scheme::Dense);
    assert_eq!(found.parameters["total"], 5_645_312);
    assert_eq!(found.bytes["total"], 2 * 5_645_312);
    assert_eq!(found.bytes["mlp"], 7 * 3 * 512 * 256 * 2);
    assert!(found.unused.is_empty());
}

#[test]
fn the_json_has_the_keys_that_scripts_rely_on() {
    let dir = Synthetic::int8(1).saved();
    let json: Value = serde_json::to_value(inspect(dir.path()).unwrap()).unwrap();
    assert_eq!(json["hidden"], 256);
    assert_eq!(json["q_shape"], json!([512, 256]));
    assert_eq!(json["quantisation"]["scheme"], "int-quantized");
    assert_eq!(json["quantisation"]["scale_dtype"], "BF16");
    assert_eq!(json["quantisation"]["granularity"], "channel");
    for key in ["model", "layers", "heads", "kv_heads", "head_dim", "k_shape", "v_shape", "o_shape", "bytes"] {
        assert!(!json[key].is_null(), "{key}");
    }
    assert_eq!(json["kv_cache"]["formats"][0]["format"], "bf16");
    assert_eq!(json["kv_cache"]["formats"][1]["layer_token_bytes"], 2 * 2 * (128 + 4));
    assert!(json["kv_cache"]["formats"][1]["contexts"][3]["bytes"].is_u64());
    for tier in ["l1", "l2", "ddr"] {
        assert!(json["npu_memory"][tier]["bytes"].is_u64(), "{tier}");
    }
}

#[test]
fn a_multimodal_checkpoint_names_what_bennu_does_not_use() {
    let dir = Synthetic::multimodal(2).saved();
    let found = inspect(dir.path()).unwrap();
    assert_eq!(found.prefix, "language_model.model.");
    let unused: Vec<_> = found.unused.iter().map(|unused| (unused.what.as_str(), unused.amount.bytes)).collect();
    assert_eq!(unused, [("multi_modal_projector", 64), ("vision_tower", 64)]);
    assert_eq!(found.bytes["vision"], 128);
}

#[test]
fn one_model_in_every_arrangement_of_files() {
    let made = Synthetic::dense(2, Dtype::F16);
    let single = made.saved();
    let expected = inspect(single.path()).unwrap();
    assert_eq!(expected.quantisation.weight_dtype, Dtype::F16);
    let (indexed, numbered) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made.write_sharded(indexed.path(), true);
    made.write_sharded(numbered.path(), false);
    for path in [
        single.path().join("model.safetensors"),
        single.path().join("config.json"),
        indexed.path().to_owned(),
        indexed.path().join("model.safetensors.index.json"),
        numbered.path().to_owned(),
    ] {
        let found = inspect(&path).unwrap();
        let renamed = Inspection { model: expected.model.clone(), files: expected.files.clone(), ..found };
        assert_eq!(renamed, expected, "{}", path.display());
    }
}

#[test]
fn the_27b_from_its_headers_with_and_without_config() {
    // 808 tensors, 54 GB, all of it a hole in the file: only headers may be read.
    let dims = ModelDims::gemma3_27b();
    let (h, i) = (dims.hidden, dims.intermediate);
    let mut tensors = Vec::new();
    let mut add =
        |name: String, shape: Vec<usize>| tensors.push((format!("language_model.model.{name}.weight"), "BF16", shape));
    add("embed_tokens".into(), vec![dims.vocab, h]);
    add("norm".into(), vec![h]);
    for n in 0..dims.layers {
        let shapes = [[4096, h], [2048, h], [2048, h], [h, 4096], [i, h], [i, h], [h, i]];
        for (module, shape) in synthetic::PROJECTIONS.iter().zip(shapes) {
            add(format!("layers.{n}.{module}"), shape.to_vec());
        }
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            add(format!("layers.{n}.{norm}_layernorm"), vec![h]);
        }
        add(format!("layers.{n}.self_attn.q_norm"), vec![128]);
        add(format!("layers.{n}.self_attn.k_norm"), vec![128]);
    }
    assert_eq!(tensors.len(), 808);
    let dir = tempfile::tempdir().unwrap();
    write_sparse(&dir.path().join("model.safetensors"), &tensors);
    let inferred = inspect(dir.path()).unwrap();
    assert_eq!(inferred.model, "gemma-3-27b");
    assert_eq!(inferred.parameters["total"], 27_009_346_304);
    assert_eq!(inferred.query_pre_attn_scalar, 168.0);
    let CacheOrRefusal::Cache(cache) = &inferred.kv_cache else { panic!("16 heads have a layout") };
    assert_eq!([cache.global_layers, cache.local_layers], [10, 52]);
    let contexts: Vec<_> = cache.formats[0].contexts.iter().map(|context| context.bytes >> 20).collect();
    assert_eq!(contexts, [496, 1056, 2976, 10_656]);
    let config = json!({"model_type": "gemma3", "text_config": {
        "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
        "num_hidden_layers": 62, "num_key_value_heads": 16, "query_pre_attn_scalar": 168,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024
    }});
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let configured = inspect(dir.path()).unwrap();
    assert_eq!(Inspection { config: inferred.config, ..configured }, inferred);
}

#[test]
fn a_model_the_kernel_cannot_tile_says_so_in_place_of_its_memory() {
    let mut made = Synthetic::dense(1, Dtype::BF16);
    made.config["num_key_value_heads"] = json!(1);
    for name in ["self_attn.k_proj", "self_attn.v_proj"] {
        made.put(&made.name(0, name), Dtype::BF16, vec![128, 256], vec![0; 128 * 256 * 2]);
    }
    let MemoryOrRefusal::Refused { refused } = inspect(made.saved().path()).unwrap().npu_memory else {
        panic!("128 rows are not a multiple of 256");
    };
    assert_says(&refused, &["key rows (NK) is 128", "multiple of 256"]);
}

#[test]
fn tensors_that_contradict_config() {
    let message = refused_after(|made| made.config["intermediate_size"] = json!(1024));
    assert_says(
        &message,
        &[
            "config.json contradicts its tensors in 3 places",
            "tensor model.layers.0.mlp.gate_proj.weight in model.safetensors is [512, 256]",
            "config.json implies [1024, 256] (intermediate_size x hidden_size)",
        ],
    );
    let message = refused_after(|made| made.config["num_hidden_layers"] = json!(2));
    assert_says(&message, &["tensor model.layers.1.self_attn.q_proj.weight is missing", "has 2 layers"]);
    let message = refused_after(|made| {
        let shape = vec![256];
        made.put("model.layers.1.input_layernorm.weight", Dtype::BF16, shape, vec![0; 512]);
    });
    assert_says(&message, &["model.layers.1.input_layernorm.weight is BF16 [256]", "config.json has 1 layers"]);
    let message = refused_after(|made| made.config["tie_word_embeddings"] = json!(false));
    assert_says(&message, &["tensor lm_head.weight is missing", "tie_word_embeddings is false"]);
    let message = refused_after(|made| {
        made.put("model.layers.0.self_attn.q_proj.bias", Dtype::BF16, vec![512], vec![0; 1024]);
    });
    assert_says(&message, &["q_proj.bias (BF16 [512]) is inside a layer and has no meaning bennu knows"]);
}

#[test]
fn damaged_files() {
    let dir = Synthetic::dense(1, Dtype::BF16).saved();
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let message_for = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        refusal(dir.path())
    };
    let message = message_for(&whole[..whole.len() - 1000]);
    let counts = format!("accounts for {} bytes, the file has {}", whole.len(), whole.len() - 1000);
    assert_says(&message, &["model.safetensors: truncated or damaged", &counts]);
    assert_says(&message_for(&whole[..100]), &["truncated or damaged", "the file has 100"]);
    assert_says(&message_for(b""), &["truncated or damaged", "the file has 0"]);
    assert_says(&message_for(&[&whole[..], b"tail"].concat()), &["truncated or damaged"]);
    assert_says(&message_for(b"\x10\0\0\0\0\0\0\0not json at all!"), &["not a valid safetensors header"]);
    assert_says(&message_for(&[0xFF; 64]), &["claim a header of 18446744073709551615 bytes"]);
    assert_says(&message_for(b"GGUF\x03\0\0\0rest"), &["GGUF is not read"]);
    assert_says(&message_for(b"PK\x03\x04\0\0\0\0rest"), &["a PyTorch pickle is not read"]);
    assert_says(&message_for(b"version https://git-lfs.github.com/spec/v1"), &["Git LFS pointer"]);
}

#[test]
fn paths_that_are_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    assert_says(&refusal(&dir.path().join("nowhere")), &["nowhere: no such file or directory"]);
    assert_says(&refusal(dir.path()), &["no safetensors file in this directory"]);
    fs::write(dir.path().join("model.gguf"), "GGUF").unwrap();
    assert_says(&refusal(dir.path()), &["model.gguf: GGUF is not read"]);

    let made = Synthetic::dense(1, Dtype::BF16);
    made.write_sharded(dir.path(), false);
    assert_says(&refusal(&dir.path().join("model-00002-of-00002.safetensors")), &["shard 2 of 2"]);
    fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert_says(&refusal(dir.path()), &["model-00002-of-00002.safetensors: no such file"]);

    let two = tempfile::tempdir().unwrap();
    for name in ["a.safetensors", "b.safetensors"] {
        synthetic::write_tensors(&two.path().join(name), made.tensors.iter().take(1));
    }
    assert_says(&refusal(two.path()), &["2 safetensors files (a.safetensors, b.safetensors) and no index"]);
    fs::remove_file(two.path().join("b.safetensors")).unwrap();
    let only_vision = [("vision_tower.x".to_owned(), made.tensors.values().next().unwrap().clone())];
    synthetic::write_tensors(&two.path().join("a.safetensors"), only_vision.iter().map(|(n, t)| (n, t)));
    assert_says(&refusal(two.path()), &["no tensor is named as in a Gemma 3 text model", "vision_tower.x"]);
}

#[test]
fn a_config_that_is_missing_or_wrong() {
    let dir = Synthetic::dense(1, Dtype::BF16).saved();
    let config = dir.path().join("config.json");
    fs::remove_file(&config).unwrap();
    assert_says(&refusal(dir.path()), &["config.json is missing", "hidden size 256 with 1 layers is no published"]);
    fs::write(&config, "{").unwrap();
    assert_says(&refusal(dir.path()), &["config.json: not a valid model configuration"]);
    fs::write(&config, r#"{"model_type": "gemma2"}"#).unwrap();
    assert_says(&refusal(dir.path()), &["model_type is \"gemma2\""]);
}

#[test]
fn an_index_that_disagrees_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    Synthetic::dense(1, Dtype::BF16).write_sharded(dir.path(), true);
    let path = dir.path().join("model.safetensors.index.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let message_for = |change: &dyn Fn(&mut Value)| {
        let mut index = good.clone();
        change(&mut index);
        fs::write(&path, index.to_string()).unwrap();
        refusal(dir.path())
    };
    let wrong_shard = json!("model-00002-of-00002.safetensors");
    let message = message_for(&|index| index["weight_map"]["model.embed_tokens.weight"] = wrong_shard.clone());
    assert_says(&message, &["puts tensor model.embed_tokens.weight into model-00002", "it is in model-00001"]);
    let message = message_for(&|index| {
        index["weight_map"].as_object_mut().unwrap().remove("model.norm.weight");
    });
    assert_says(&message, &["puts tensor model.norm.weight into no file"]);
    let message = message_for(&|index| index["weight_map"]["model.norm.weight"] = json!("../elsewhere.safetensors"));
    assert_says(&message, &["\"../elsewhere.safetensors\", which is not a plain file name"]);
    let message = message_for(&|index| index["weight_map"] = json!([]));
    assert_says(&message, &["not a valid safetensors index"]);
    let message = message_for(&|index| index["weight_map"]["x"] = json!("gone.safetensors"));
    assert_says(&message, &["gone.safetensors: no such file or directory"]);
}

#[test]
fn two_files_or_two_prefixes_for_one_tensor() {
    let made = Synthetic::per_layer(1);
    let dir = tempfile::tempdir().unwrap();
    made.write_per_layer(dir.path(), 1);
    fs::copy(dir.path().join("tiny_layer_0.safetensors"), dir.path().join("tiny_layer_1.safetensors")).unwrap();
    assert_says(&refusal(dir.path()), &["is both in", "tiny_layer_0.safetensors", "tiny_layer_1.safetensors"]);
    let message = refused_after(|made| {
        made.put("language_model.model.norm.weight", Dtype::BF16, vec![256], vec![0; 512]);
    });
    assert_says(&message, &["text tensors under two prefixes"]);
}

#[test]
fn the_per_layer_layout() {
    let dir = tempfile::tempdir().unwrap();
    Synthetic::per_layer(2).write_per_layer(dir.path(), 2);
    let found = inspect(dir.path()).unwrap();
    assert_eq!(found.quantisation.scheme, Scheme::PerLayer);
    assert_eq!(found.quantisation.granularity, Some(Granularity::Tensor));
    assert_eq!(found.quantisation.scale_dtype, Some(Dtype::BF16));
    assert_eq!(found.unused[0].what, "int4 and asymmetric tensors of the per-layer layout");
}

/// The message for a one-layer INT8 checkpoint after `change`.
fn int8_refused_after(change: impl FnOnce(&mut Synthetic)) -> String {
    let mut made = Synthetic::int8(1);
    change(&mut made);
    refusal(made.saved().path())
}

#[test]
fn schemes_that_are_not_read_are_named_with_a_witness() {
    for method in ["gptq", "torchao", "bitsandbytes", "something_new"] {
        let message = int8_refused_after(|made| made.config["quantization_config"] = json!({"quant_method": method}));
        assert_says(&message, &[&format!("quantisation \"{method}\" is not read"), "q_proj", "I8 [512, 256]"]);
    }
    let message = int8_refused_after(|made| made.config["quantization_config"]["format"] = json!("pack-quantized"));
    assert_says(&message, &["\"compressed-tensors\" pack-quantized is not read", "model.safetensors"]);
    for (suffix, scheme) in
        [("SCB", "bitsandbytes int8"), ("qweight", "GPTQ or AWQ"), ("weight_packed", "pack-quantized")]
    {
        let message = refused_after(|made| {
            made.put(&format!("model.layers.0.self_attn.q_proj.{suffix}"), Dtype::I32, vec![4], vec![0; 16]);
        });
        assert_says(&message, &[scheme, suffix, "I32 [4]"]);
    }
    let message = int8_refused_after(|made| {
        made.config.as_object_mut().unwrap().remove("quantization_config");
    });
    assert_says(&message, &["of unknown kind (config.json has no quantization_config)", "I8 [512, 256]"]);
}

#[test]
fn variants_of_int_quantized_that_are_not_read() {
    let weights = |made: &mut Synthetic, key: &str, value: Value| {
        made.config["quantization_config"]["config_groups"]["group_0"]["weights"][key] = value;
    };
    let message = int8_refused_after(|made| weights(made, "num_bits", json!(4)));
    assert_says(&message, &["weights.num_bits is 4; bennu reads 8"]);
    let message = int8_refused_after(|made| weights(made, "symmetric", json!(false)));
    assert_says(&message, &["weights.symmetric is false"]);
    let message = int8_refused_after(|made| weights(made, "strategy", json!("block")));
    assert_says(&message, &["weights.strategy is \"block\"; bennu reads \"channel\", \"tensor\" or \"group\""]);
    for (size, found) in [(json!(64), "64"), (json!(256), "256"), (json!(-1), "-1"), (Value::Null, "absent")] {
        let message = int8_refused_after(|made| {
            weights(made, "strategy", json!("group"));
            weights(made, "group_size", size);
        });
        assert_says(&message, &[&format!("weights.group_size is {found}; bennu reads 32 or 128")]);
    }
    let message = int8_refused_after(|made| {
        weights(made, "strategy", json!("group"));
        weights(made, "group_size", json!(128));
        weights(made, "actorder", json!("group"));
    });
    assert_says(&message, &["weights.actorder is \"group\"; bennu reads none"]);
    // right in the configuration, but the tensors have a scale per channel
    let message = int8_refused_after(|made| {
        weights(made, "strategy", json!("group"));
        weights(made, "group_size", json!(32));
    });
    assert_says(&message, &["one scale per 32 inputs means shape [512, inputs / 32]"]);
    let message = int8_refused_after(|made| weights(made, "type", json!("float")));
    assert_says(&message, &["weights.type is \"float\""]);
    let message = int8_refused_after(|made| made.config["quantization_config"]["quant_method"] = json!(7));
    assert_says(&message, &["quant_method is 7"]);
    let message = int8_refused_after(|made| made.config["quantization_config"]["config_groups"] = json!({}));
    assert_says(&message, &["config_groups is {}"]);
}

#[test]
fn int8_tensors_that_do_not_match_their_scheme() {
    let q = "model.layers.0.self_attn.q_proj.weight";
    let scale = "model.layers.0.self_attn.q_proj.weight_scale";
    let message = int8_refused_after(|made| {
        made.tensors.remove(scale);
    });
    assert_says(&message, &[q, &format!("its scale {scale} is missing")]);
    let message = int8_refused_after(|made| made.put(scale, Dtype::BF16, vec![512, 2], vec![0; 2048]));
    assert_says(&message, &[scale, "BF16 [512, 2]", "means shape [512, 1]"]);
    let message = int8_refused_after(|made| made.put(scale, Dtype::I8, vec![512, 1], vec![1; 512]));
    assert_says(&message, &[scale, "scales are BF16, F16 or F32"]);
    let message = int8_refused_after(|made| made.put(scale, Dtype::F32, vec![512, 1], vec![1; 2048]));
    assert_says(&message, &["other scales of this checkpoint have another type"]);
    let message = int8_refused_after(|made| made.put(q, Dtype::BF16, vec![512, 256], vec![0; 512 * 512]));
    assert_says(&message, &[q, "stores every projection as I8"]);
    let zero_point = "model.layers.0.self_attn.q_proj.weight_zero_point";
    let message = int8_refused_after(|made| made.put(zero_point, Dtype::I8, vec![512, 1], vec![0; 512]));
    assert_says(&message, &["with zero points (asymmetric)", zero_point, "I8 [512, 1]"]);
}
