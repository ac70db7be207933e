//! Compiler back end for AIE2 cores: schedules, allocates, emits and checks VLIW programs.
//!
//! ```text
//! Asm (author's list of operations) -> flow -> alloc -> modulo | list | timed -> layout -> bytes -> check
//! ```
//!
//! The pipeline is exposed: a reader that issues too early gets the old value. Correctness of a program is a matter of issue times, so no
//! program leaves this crate unless [`check`] has shown, from the bytes alone and a certificate of what was meant, that every source
//! receives the value it should receive on every path.
//!
//! Nothing degrades silently: a pipelined loop that misses its declared interval, a value without a register, a program that does not fit
//! are typed refusals ([`CodegenError`]).
//!
//! ```
//! use aie2_codegen::{Asm, MemRef};
//! let (a, b) = (MemRef::space(1).in_bank(0), MemRef::space(2).in_bank(1));
//! let mut asm = Asm::new();
//! let (src, dst, w) = (asm.p(), asm.p(), asm.w());
//! asm.imm(src, 0x70000);
//! asm.imm(dst, 0x74000);
//! asm.pipelined("copy", 1, 64, |asm| {
//!     asm.vlda(a, w, src, 32); // w = [src], src += 32
//!     asm.vst(b, w, dst, 32); //  [dst] = w, dst += 32
//! });
//! asm.done();
//! let program = asm.finish()?;
//! assert_eq!(program.loops[0].ii_reached, 1);
//! # Ok::<(), aie2_codegen::CodegenError>(())
//! ```
#![forbid(unsafe_code)]

mod alloc;
mod asm;
pub mod check;
mod emit;
mod error;
mod flow;
mod info;
mod ir;
mod layout;
mod lifetimes;
mod list;
mod modulo;
mod operand;
mod pipeline;
mod place;
mod program;
mod text;
mod timed;

pub use asm::{Asm, ZolLabels};
pub use error::{CodegenError, PROGRAM_BYTES};
pub use ir::Trip;
pub use operand::{Class, Guards, Label, MemRef, Operand, VReg, View};
pub use program::{Line, LoopReport, Program};
pub use timed::{Piece, RawInsn, Stage, Timed, TimedOp, Variant};
