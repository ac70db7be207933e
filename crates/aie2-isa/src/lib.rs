//! AIE2 instruction set (AIE-ML, compute tiles of XDNA1 "Phoenix" npu1): encodings, bundle formats, registers and timing as data.
//!
//! ```text
//!  text  <->  Insn  <->  slot word  <->  Bundle  <->  2..16 bytes
//!              |
//!              +-- Timing: defs, uses, units, memory cycles
//! ```
//!
//! All 607 instructions are rows of [`Row`], one file per slot under `rows/`; the 78 bundle formats are rows of [`Format`].
//! Encoder, decoder, printer, parser and timing read the same rows, so there is no second list to keep in step.
//!
//! Invariants:
//! - an [`Insn`] is always encodable: its operands were checked against the row when it was built;
//! - at most one row fits any slot word (mask and value, bits of unknown meaning zero, every register number known to its class);
//! - the machine has no register interlocks: [`Timing`] decides correctness, not only speed.
//!
//! ```
//! use aie2_isa::{Bundle, Insn, Slot, raw_latency};
//! let bundle = Bundle::parse("vlda wl0, [p0], #32; vmac cm5, cm6, x4, x5, r9")?;
//! let encoded = bundle.encode();
//! assert_eq!(encoded.format().name, "I64_LDA_VEC");
//! assert_eq!(Bundle::decode(&encoded)?.0, bundle);
//!
//! let load = bundle.get(Slot::Lda).unwrap().timing();
//! let mac = Insn::parse("vmac cm0, cm0, x0, x1, r9")?.timing();
//! assert_eq!(raw_latency(&load.defs()[0], &mac.uses()[1]), 7); // wl0 -> x0
//! # Ok::<(), aie2_isa::IsaError>(())
//! ```
//!
//! SOURCE: Xilinx/llvm-aie, `llvm/lib/Target/AIE/aie2/*.td` (encodings, registers, formats, schedule).
#![forbid(unsafe_code)]

mod bundle;
mod class;
mod classes;
mod decode;
mod error;
mod format;
mod formats;
mod insn;
mod itineraries;
mod reg;
mod registers;
mod row;
mod rows;
mod slot;
mod text;
mod timing;

pub use bundle::{Bundle, EncodedBundle};
pub use class::{ClassId, VariantClass};
pub use error::IsaError;
pub use format::{Format, SlotRange};
pub use insn::{Insn, Value};
pub use reg::{Atom, File, Reg};
pub use row::{Addressing, Branch, Flags, ImmDef, OpId, OperandDef, OperandKind, Role, Row, Stream, Variant};
pub use slot::Slot;
pub use text::assemble;
pub use timing::{
    Access, Bypass, Itinerary, Resource, Stage, StageKind, Timing, memory_latency, raw_latency, stages_conflict,
    war_latency, waw_latency,
};
