//! Simulator of the Phoenix (AIE2) array for tests: loads a PDI and executes a TXN stream as the firmware would.
//!
//! Register writes are the only input. The model covers the parts a compiled design uses; everything else is a typed
//! [`Fault`].
#![forbid(unsafe_code)]

pub mod array;
pub mod core;
pub mod core_fault;
pub mod deadlock;
pub mod fault;
pub mod port;
pub mod timing;

pub use core_fault::CoreFault;
pub use fault::{ChannelId, Direction, Fault, PortId, PortSide};
