//! Runs NPU packages in the simulator and compares them with the mathematics. Dev-only; never part of what ships.
#![forbid(unsafe_code)]

pub mod attention;
pub mod attention_layer;
pub mod bench;
pub mod case;
pub mod cases;
pub mod foreign;
pub mod golden;
pub mod layer;
pub mod layer_report;
pub mod look;
pub mod machine;
pub mod report;
pub mod spread;
pub mod table;
pub mod timeline;
pub mod trace;
pub mod vdev;
pub mod verify;
