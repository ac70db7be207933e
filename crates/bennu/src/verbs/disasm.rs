//! `bennu disasm`: an NPU binary as text.

use std::path::PathBuf;

use serde_json::Value;

use crate::disasm::{Data, DisasmError, Listing, disassemble};
use crate::failure::Failure;
use crate::report::Report;

/// Arguments of `disasm`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// PDI, CDO, xclbin, TXN stream or core program, recognised by content
    file: PathBuf,

    /// Show every word of data, not just the first few
    #[arg(long)]
    data: bool,
}

const EXAMPLES: &str = "\
Examples:
  bennu disasm package/w8a8_qkv_projection.pdi
  bennu disasm package/w8a8_qkv_projection.txn --data
  bennu disasm validate.xclbin | less
  bennu disasm core.bin --json | jq -r '.sections[].lines[].text'

Configuration commands and stream operations are shown with tile (column,row) and register names; programs that a PDI
loads are disassembled once for all the tiles that run them. A file without a known header is a core program if every
bundle of it decodes.";

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let data = if args.data { Data::Full } else { Data::Abridged };
    match disassemble(&args.file, data) {
        Ok(listing) => Ok(Box::new(listing)),
        Err(error) => {
            let remedy = remedy(&error);
            Err(Failure::refused(error).with_remedy(remedy))
        }
    }
}

fn remedy(error: &DisasmError) -> &'static str {
    match error {
        DisasmError::Read { .. } => "check the path",
        DisasmError::Empty { .. } => "produce the file again; nothing was written to it",
        DisasmError::TooLong { .. } | DisasmError::Unknown { .. } => {
            "give a PDI, CDO, xclbin, TXN stream or the bytes of one core program"
        }
        DisasmError::Pdi { .. } | DisasmError::Cdo { .. } | DisasmError::Xclbin { .. } | DisasmError::Txn { .. } => {
            "produce or copy the file again"
        }
    }
}

impl Report for Listing {
    fn json(&self) -> Value {
        // PANIC: the listing is plain data with string keys.
        serde_json::to_value(self).expect("a listing serialises")
    }

    fn table(&self) -> String {
        let mut text = format!("{}, {} bytes\n", self.kind, self.bytes);
        for section in &self.sections {
            text.push_str(&format!("\n{}\n", section.title));
            for line in &section.lines {
                match line.at {
                    Some(at) => text.push_str(&format!("  {at:#07x}  {}\n", line.text)),
                    None => text.push_str(&format!("  {}\n", line.text)),
                }
            }
        }
        text
    }
}
