//! `bennu pack`: quantised weights in the layout of the kernels.

use std::path::PathBuf;

use gemma::{Checkpoint, Granularity, PackReport, Scheme};
use serde_json::Value;

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes};
use crate::progress::Progress;
use crate::report::Report;

/// Arguments of `pack`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Quantised checkpoint: a directory, a safetensors file or its index
    #[arg(long, value_name = "DIR")]
    model: PathBuf,

    /// Directory to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace a packed model that is already there
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  bennu pack --model gemma-3-27b-it-int8 --out gemma-3-27b-it-packed
  bennu pack --model gemma-3-27b-it-int8 --out gemma-3-27b-it-packed --force --json

Reads compressed-tensors int-quantized checkpoints (what `bennu quantize` writes) and per-layer files with one BF16
scale per attention tensor. Codes and scales are moved, never rounded. The output is three files per layer (q, k and v; o;
the norms of q and k), to be mapped, and packed.json with their SHA-256 digests, which are checked after writing.";

struct Done(PackReport);

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let checkpoint = Checkpoint::open(&args.model)?;
    Ok(Box::new(Done(gemma::pack(&checkpoint, &args.out, args.force, &progress)?)))
}

impl Report for Done {
    fn json(&self) -> Value {
        // PANIC: the report is plain data with string keys.
        serde_json::to_value(&self.0).expect("a report serialises")
    }

    fn table(&self) -> String {
        let report = &self.0;
        let mut lines = Columns::new("ll");
        let mut line = |name: &str, value: String| lines.row([name.to_owned(), value]);
        let scheme = match report.source {
            Scheme::Dense => "dense",
            Scheme::IntQuantized => "compressed-tensors int-quantized",
            Scheme::PerLayer => "per-layer files",
        };
        let reach = match report.granularity {
            Granularity::Channel => "one scale per output channel",
            Granularity::Tensor => "one scale per tensor",
        };
        line("source", format!("{scheme}, {reach}"));
        line("layers", report.layers.to_string());
        for packed in &report.projections {
            let name = match packed.projection {
                "qkv" => "q, k, v of a layer",
                _ => "o of a layer",
            };
            line(name, format!("[{}, {}], {}", packed.outputs, packed.inputs, binary_bytes(packed.bytes_per_layer)));
        }
        line("norms of q and k of a layer", binary_bytes(report.norms_bytes_per_layer));
        line("bytes of a layer", binary_bytes(report.bytes_per_layer));
        line("bytes", binary_bytes(report.bytes));
        for file in report.files.iter().take(1) {
            line("first file", format!("{}  sha256 {}", file.name, file.sha256));
        }
        format!("packed {}\n{}", report.model, lines.render())
    }
}
