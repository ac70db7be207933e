//! `bennu inspect`: what a checkpoint is.

use std::path::PathBuf;

use gemma::{CacheOrRefusal, Checkpoint, Granularity, Inspection, MemoryOrRefusal, Part, Rope, Scheme};
use serde_json::Value;

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::report::Report;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Checkpoint: a directory, a safetensors file or its index
    path: PathBuf,

    /// Tokens for which NPU memory is worked out
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=131_072))]
    seq: u32,
}

const EXAMPLES: &str = "\
Examples:
  bennu inspect gemma-3-27b-it
  bennu inspect gemma-3-27b-it/model.safetensors.index.json --seq 2048
  bennu inspect gemma-3-27b-it-int8 --json | jq .quantisation

Reads config.json and the headers of the safetensors files; no weight is touched. A checkpoint whose tensors contradict
its config.json is refused.";

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let checkpoint = Checkpoint::open(&args.path)?;
    Ok(Box::new(gemma::inspect(&checkpoint, args.seq as usize)?))
}

impl Report for Inspection {
    fn json(&self) -> Value {
        // PANIC: the report is plain data with string keys.
        serde_json::to_value(self).expect("an inspection serialises")
    }

    fn table(&self) -> String {
        [architecture(self), tensors(self), unused(self), memory(self), kv_cache(self)].concat()
    }
}

fn architecture(found: &Inspection) -> String {
    let mut lines = Columns::new("ll");
    let mut line = |name: &str, value: String| lines.row([name.to_owned(), value]);
    line("hidden, intermediate", format!("{}, {}", found.hidden, found.intermediate));
    line(
        "layers",
        format!(
            "{} ({} local with a window of {}, {} global: {})",
            found.layers,
            found.local_layers,
            found.sliding_window,
            found.global_layers.len(),
            found.global_layers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
        ),
    );
    line("heads, key-value heads", format!("{}, {} of {}", found.heads, found.kv_heads, found.head_dim));
    line(
        "shapes [out, in]",
        format!("q {}  k {}  v {}  o {}", found.q_shape, found.k_shape, found.v_shape, found.o_shape),
    );
    line(
        "vocabulary",
        format!("{}{}", found.vocab, if found.tied_embeddings { ", head tied to embedding" } else { "" }),
    );
    let rope = |rope: Rope| {
        let scaling = if rope.factor == 1.0 { String::new() } else { format!(" / {}", rope.factor) };
        format!("{}{scaling}", rope.theta)
    };
    line("RoPE base", format!("local {}, global {}", rope(found.rope.local), rope(found.rope.global)));
    line("score scale", format!("{}^-1/2", found.query_pre_attn_scalar));
    let quantisation = &found.quantisation;
    let scales = match (quantisation.granularity, quantisation.scale_dtype) {
        (Some(granularity), Some(dtype)) => {
            let reach = match granularity {
                Granularity::Channel => "output channel",
                Granularity::Tensor => "tensor",
                Granularity::Group32 => "32 inputs",
                Granularity::Group128 => "128 inputs",
            };
            format!(", one {dtype:?} scale per {reach}")
        }
        _ => String::new(),
    };
    let scheme = match quantisation.scheme {
        Scheme::Dense => "none",
        Scheme::IntQuantized => "compressed-tensors int-quantized",
        Scheme::PerLayer => "per-layer files, attention only",
    };
    line("quantisation", format!("{scheme}: {:?} weights{scales}", quantisation.weight_dtype));
    line("files", format!("{}, text tensors under {}", found.files.len(), found.prefix));
    format!("{}\n{}", found.model, lines.render())
}

fn tensors(found: &Inspection) -> String {
    let mut lines = Columns::new("lrrr");
    lines.row(["tensors".into(), "parameters".into(), "bytes".into(), String::new()]);
    // The total goes last.
    let mut kinds: Vec<(&str, u64)> = found.bytes.iter().map(|(&kind, &bytes)| (kind, bytes)).collect();
    kinds.sort_by_key(|&(kind, _)| kind == "total");
    for (kind, bytes) in kinds {
        let parameters = found.parameters.get(kind).copied().unwrap_or_default();
        lines.row([kind.to_owned(), grouped(parameters), grouped(bytes), binary_bytes(bytes)]);
    }
    format!("\n{}", lines.render())
}

fn unused(found: &Inspection) -> String {
    if found.unused.is_empty() {
        return String::new();
    }
    let mut lines = Columns::new("lrrl");
    for unused in &found.unused {
        lines.row([
            unused.what.clone(),
            format!("{} tensors", unused.amount.tensors),
            binary_bytes(unused.amount.bytes),
            format!("e.g. {}", unused.example),
        ]);
    }
    format!("\nnot used by bennu\n{}", lines.render())
}

fn memory(found: &Inspection) -> String {
    let memory = match &found.npu_memory {
        MemoryOrRefusal::Memory(memory) => memory,
        MemoryOrRefusal::Refused { refused } => return format!("\nNPU memory\n  not compiled for: {refused}\n"),
    };
    let mut lines = Columns::new("lrrl");
    let mut tier = |name: String, bytes: u64, limit: String, parts: &[Part]| {
        lines.row([name, binary_bytes(bytes), limit, String::new()]);
        for part in parts {
            lines.row([String::new(), binary_bytes(part.bytes), String::new(), part.name.to_owned()]);
        }
    };
    for (name, l) in [("L1", &memory.l1), ("L2", &memory.l2)] {
        let limit = format!("of {}", binary_bytes(l.capacity_bytes_per_tile));
        tier(format!("{name}, each of {} tiles", l.tiles), l.bytes_per_tile, limit, &l.parts);
    }
    tier("DDR, one layer".into(), memory.ddr.bytes, String::new(), &memory.ddr.parts);
    lines.row([
        "DDR, whole model".into(),
        binary_bytes(memory.ddr.all_layers_weights_bytes),
        String::new(),
        "packed weights of all layers".into(),
    ]);
    lines.row([
        String::new(),
        binary_bytes(memory.ddr.kv_cache_bytes),
        String::new(),
        "keys and values of these tokens, bf16".into(),
    ]);
    format!(
        "\nNPU memory of the q, k, v and o projections for {} tokens: {} block{} of 4 x {} rows\n{}",
        memory.seq,
        memory.blocks,
        if memory.blocks == 1 { "" } else { "s" },
        memory.rows_per_core,
        lines.render()
    )
}

fn kv_cache(found: &Inspection) -> String {
    let cache = match &found.kv_cache {
        CacheOrRefusal::Cache(cache) => cache,
        CacheOrRefusal::Refused { refused } => return format!("\nkey-value cache\n  no layout: {refused}\n"),
    };
    let mut lines = Columns::new("lrrrr");
    let mut row = |name: String, cells: [String; 4]| {
        let [global, local, total, no_window] = cells;
        lines.row([name, global, local, total, no_window]);
    };
    for format in &cache.formats {
        let tokens = [format.global_token_bytes, format.local_token_bytes];
        row(format.format.to_owned(), ["global", "local", "total", "no window"].map(str::to_owned));
        row(
            "bytes a token".into(),
            [grouped(tokens[0]), grouped(tokens[1]), grouped(tokens[0] + tokens[1]), String::new()],
        );
        for context in &format.contexts {
            let bytes = [context.global_bytes, context.local_bytes, context.bytes, context.without_window_bytes];
            row(format!("{} tokens", grouped(context.tokens as u64)), bytes.map(binary_bytes));
        }
        let rings = binary_bytes(format.rings_bytes);
        row(format!("rings of {} slots", cache.ring_slots), [String::new(), rings, String::new(), String::new()]);
    }
    format!(
        "\nkey-value cache, global layers: {}, every token; local layers: {}, the last {} tokens, as rings that take {} new ones at once\n{}",
        cache.global_layers,
        cache.local_layers,
        found.sliding_window,
        cache.ring_chunk,
        lines.render()
    )
}
