//! Dev-only mathematics: what a kernel must compute, said twice.
//!
//! * [`w8a8`] holds the bit-exact specification (`spec`) of the W8A8 projection: every rounding the NPU performs, in the NPU's order.
//! * [`exp2`], [`recip`] and [`flash`] hold those of the pieces of attention.
//! * The float64 references beside it say how far that is from the mathematics.
//!
//! [`fp`] models the two floating-point datapaths of an AIE2 vector unit. It is written from the published description and shares no code
//! with the simulator, so that the two can be compared.
#![forbid(unsafe_code)]

pub mod data;
pub mod exp2;
pub mod flash;
pub mod fp;
pub mod gemm;
pub mod recip;
pub mod w8a8;
