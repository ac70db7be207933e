//! Runs NPU packages in the simulator and compares them with the mathematics. Dev-only; never part of what ships.
#![forbid(unsafe_code)]

pub mod bench;
pub mod case;
pub mod golden;
pub mod machine;
pub mod report;
pub mod verify;
