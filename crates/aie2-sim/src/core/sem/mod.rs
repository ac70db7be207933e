//! Meaning of the instructions as functions of values, one module per family.

pub mod acc;
pub mod alu;
pub mod fp;
pub mod lanes;
pub mod mac;
pub mod permute;
pub mod shift;
