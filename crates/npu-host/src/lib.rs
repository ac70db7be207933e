//! What a machine says about its NPU, read from its file system alone.
#![forbid(unsafe_code)]

mod check;
mod verdict;

pub use check::{Check, CheckId, Outcome};
pub use verdict::{Absence, NotReady, Unusable};
