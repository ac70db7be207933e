//! The array around the cores: registers, DMAs, locks, stream switches, memories.

mod access;
pub mod bd;
pub mod bus;
pub mod channel;
pub mod ddr;
mod dma;
pub mod fabric;
pub mod flow;
pub mod index;
pub mod lock;
pub mod memory;
pub mod packet;
pub mod ports;
pub mod regs;
pub mod route;

pub use dma::packet_header;
