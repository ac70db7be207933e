//! Dev-only mathematics: what a kernel must compute, said twice.
//!
//! * [`w8a8`] and [`w8a16`] hold the bit-exact specifications (`spec`) of the projections: every rounding the NPU performs, in the NPU's order.
//! * [`exp2`], [`recip`] and [`flash`] hold those of the pieces of attention, [`flash_decode`] that of its decode kernel.
//! * The float64 references say how far that is from the mathematics: [`attention`] is one layer's attention from the normed hidden state to
//!   the output projection, with [`norm`], [`rope`], [`mask`] and the weights of [`model`].
//! * [`outliers`] and [`cases`] are its test data: layers of true size with realistic outliers, and the inputs that break a softmax.
//!
//! [`fp`] models the two floating-point datapaths of an AIE2 vector unit. It is written from the published description and shares no code
//! with the simulator, so that the two can be compared.
#![forbid(unsafe_code)]

pub mod attention;
pub mod cases;
pub mod data;
pub mod exp2;
pub mod flash;
pub mod flash_decode;
pub mod fp;
pub mod gemm;
pub mod kv_int8;
pub mod mask;
pub mod model;
pub mod norm;
pub mod norm_rope;
pub mod outliers;
pub mod recip;
pub mod rope;
pub mod w8a16;
pub mod w8a16_groups;
pub mod w8a8;
