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
//! | [`mlir`] | a design and a stream as a module of the MLIR-AIE dialects |
//!
//! A relay from DDR through a mem tile and back, and the stream of one run:
//!
//! ```
//! use aie2_array::{Design, Mm2s, Pattern, Place, Runtime, S2mm, ShimBd, Tile};
//!
//! let mut d = Design::new(1)?;
//! let (shim, mem) = (Tile::shim(0), Tile::mem(0));
//! let ring = d.ring(mem, "relay", 2, 1024, Place::Anywhere)?;
//! d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(256)])?;
//! d.drain_by_dma(ring, Mm2s(0), &[Pattern::linear(256)])?;
//! d.connect(shim.mm2s(0), &[mem.s2mm(0)])?;
//! d.connect(mem.mm2s(0), &[shim.s2mm(0)])?;
//! d.token_route(0)?;
//! let pdi = npu_container::pdi::write(&d.finish()?.commands);
//!
//! let mut rt = Runtime::new(1)?;
//! rt.task(0, S2mm(0), &ShimBd::linear(1, 0, 8192)?, 1, true)?; // receivers first
//! rt.task(0, Mm2s(0), &ShimBd::linear(0, 0, 8192)?, 1, false)?;
//! rt.wait(0, S2mm(0))?;
//! let stream = rt.finish()?;
//! assert_eq!(stream.extents[&1].bytes(), 8192);
//! # assert!(!pdi.is_empty());
//! # Ok::<(), aie2_array::Error>(())
//! ```
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
pub use design::mlir;
pub use design::{Configuration, CoreRing, Design, LockUse, Place, QueuedRing, RingId, RingPhase};
pub use device::{Channel, Col, Direction, Mm2s, Row, S2mm, Tile, TileKind};
pub use error::Error;
pub use route::Port;
pub use runtime::{Runtime, ShimBd};
