//! Core programs: bundles with their program counters.

use aie2_isa::{Bundle, IsaError};

use super::Line;

// SOURCE: AM020 (AIE-ML architecture manual), compute tile: 16 KiB program memory.
pub(super) const PROGRAM_MEMORY_BYTES: usize = 16 << 10;
/// Bundles are multiples of this.
// SOURCE: Xilinx/llvm-aie AIE2GenInstrFormats.td: the shortest format has 16 bits.
const STEP_BYTES: usize = 2;

/// A program as lines, and the first place that is no bundle.
pub(super) struct Listed {
    pub(super) lines: Vec<Line>,
    pub(super) first_error: Option<(usize, IsaError)>,
}

/// Lists `bytes`, which lie at `base` in program memory. Zeros behind the last bundle are padding. What does not decode
/// is listed as bytes with the reason.
pub(super) fn list(bytes: &[u8], base: usize) -> Listed {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let mut listed = Listed { lines: Vec::new(), first_error: None };
    let mut at = 0;
    while at < used {
        match Bundle::decode(&bytes[at..]) {
            Ok((bundle, _, length)) => {
                listed.lines.push(Line::at(base + at, bundle.to_string()));
                at += length;
            }
            Err(error) => {
                let end = (at + STEP_BYTES).min(bytes.len());
                let raw: Vec<String> = bytes[at..end].iter().map(|byte| format!("{byte:02x}")).collect();
                listed.lines.push(Line::at(base + at, format!(".byte {}  // {error}", raw.join(" "))));
                listed.first_error.get_or_insert((at, error));
                at = end;
            }
        }
    }
    if at < bytes.len() {
        listed.lines.push(Line::at(base + at, format!(".zero {}", bytes.len() - at)));
    }
    listed
}
