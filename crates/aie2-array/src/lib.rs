//! Configuration of the AIE2 array of Phoenix (npu1): tiles, DMA buffer descriptors, locks, stream routes, runtime streams.
//!
//! The layers, bottom-up; each one uses only the ones before it:
//!
//! | module | what it knows |
//! |---|---|
//! | [`device`] | tiles, the memory map, resource limits |
//! | [`regs`] | register words and their bit fields |
//! | [`bd`] | access patterns and whether a tile's DMA can walk them |
//! | [`route`] | stream switches, their ports and wires, a router for circuit flows |
//! | [`design`] | rings, flows and programs of a whole design, lowered to configuration commands |
//! | [`runtime`] | the instruction stream of one run: shim BDs, tasks, waits |
//!
//! Columns are relative to the partition. Words are 32 bits. Nothing here depends on anything but its inputs: the same
//! calls give the same commands.

#![forbid(unsafe_code)]

pub mod bd;
pub mod design;
pub mod device;
mod error;
pub mod regs;
pub mod route;
pub mod runtime;

pub use bd::Pattern;
pub use design::{Configuration, CoreRing, Design, LockUse, Place, RingId};
pub use device::{Channel, Col, Direction, Mm2s, Row, S2mm, Tile, TileKind};
pub use error::Error;
pub use route::Port;
pub use runtime::{Runtime, ShimBd};
