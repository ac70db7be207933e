//! `bennu quantize`: a dense checkpoint becomes INT8.

use std::path::PathBuf;

use gemma::{Checkpoint, QuantizeReport};
use serde_json::Value;

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::progress::Progress;
use crate::report::Report;

/// Arguments of `quantize`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Checkpoint to read: a directory, a safetensors file or its index
    source: PathBuf,

    /// Directory to write; created if it does not exist
    destination: PathBuf,

    /// Replace a checkpoint that is already in the destination
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  bennu quantize gemma-3-27b-it gemma-3-27b-it-int8
  bennu quantize gemma-3-27b-it gemma-3-27b-it-int8 --force --json

Every linear module of the text layers becomes INT8, symmetric, with one BF16 scale per output channel
(compressed-tensors int-quantized). Norms, embedding, head and vision tower are copied unchanged. Files appear in the
destination only when all of them are complete; the same input gives the same bytes. With --force, config.json, the
index and every *.safetensors file of the destination are replaced.";

struct Done(QuantizeReport);

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let checkpoint = Checkpoint::open(&args.source)?;
    let report = gemma::quantize(&checkpoint, &args.destination, args.force, &progress)?;
    Ok(Box::new(Done(report)))
}

impl Report for Done {
    fn json(&self) -> Value {
        // PANIC: the report is plain data with string keys.
        serde_json::to_value(&self.0).expect("a report serialises")
    }

    fn table(&self) -> String {
        let report = &self.0;
        let mut lines = Columns::new("lr");
        let mut line = |name: &str, value: String| lines.row([name.to_owned(), value]);
        line("files", report.files.len().to_string());
        line("tensors quantised", report.quantised_tensors.to_string());
        line("tensors copied", report.copied_tensors.to_string());
        line("rows", grouped(report.rows));
        line("rows of zeros", grouped(report.zero_rows));
        line("read", binary_bytes(report.bytes_in));
        line("written", binary_bytes(report.bytes_out));
        format!("quantised\n{}", lines.render())
    }
}
