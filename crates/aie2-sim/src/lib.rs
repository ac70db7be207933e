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
pub mod machine;
mod picture;
pub mod port;
pub mod report;
mod run;
pub mod timing;

pub use crate::core::Core;
pub use array::ddr::{BufferId, Ddr};
pub use core_fault::CoreFault;
pub use deadlock::{DeadlockReport, Waiter};
pub use fault::{ChannelId, Direction, Fault, PortId, PortSide};
pub use machine::{Config, CoreModel, Machine, MachineOf, TileView};
pub use port::TileLoc;
pub use report::RunReport;
pub use timing::Timing;
