//! The array around the cores: registers, DMAs, locks, stream switches, memories.

pub mod ports;
