//! Simulator of the Phoenix (AIE2) array for tests: loads a PDI and executes a TXN stream as the firmware would.
//!
//! Register writes are the only input: nothing of a compiler's in-memory state reaches the model. What a register does not
//! document, what silicon was seen to drop or corrupt, and what the model leaves out is a typed [`Fault`], never a guess.
//!
//! ```text
//! PDI ── CDO writes ─┐                        ┌─ BDs, queues ── DMA channels ─┐
//!                    ├─ register decoder ─────┼─ locks                        ├─ memories, DDR
//! TXN ── controller ─┘   (array::regs)        ├─ switches ──── flows ─────────┘
//!                                             └─ program memory ── cores
//! ```
//!
//! | part | modelled | refused by name |
//! |---|---|---|
//! | DMA | every dimension, iteration, mem tile zero padding, chains, repeats, queue of 4, tokens, locks, packet headers | compression, out of order, finish on TLAST, S2MM iterations that overwrite each other, shim pause |
//! | switch | circuit routes with latency, storage, broadcast; FIFO detours; packet routes with slots, arbiters, multicast, merge, header dropping; token routes in circuit and packet form | arbiters 6 and 7, packets that no slot or no master takes, tokens under an arbiter that data uses, control packets, trace, deterministic merge |
//! | memory | per-byte record of what was written, banks, core-first arbitration, mem tile neighbour windows | zeroise bits, mem tile without interleave, isolation, lock request windows |
//! | core | start, reset, done, neighbour windows and locks, streams, cascade, processor-bus enable bit | processor-bus accesses, debug halt |
//! | DDR | buffers of the machine, or the memory of a host by its own addresses ([`HostMemory`]) | caches |
//! | controller | WRITE, BLOCKWRITE, MASKWRITE, MASKPOLL, TCT of one channel, DDR_PATCH with the aperture rule, cost of each | TCT rectangles, everything `npu-container` does not read |
//!
//! `tests/README.md` lists the rules and pitfalls of the array with the tests that pin them.
//!
//! Not seen at all: DDR burst efficiency and jitter (the shim rates are means), bank conflicts of a core with a neighbour
//! that uses its memory, events and performance counters (their registers accept writes, see `array::regs`).
#![forbid(unsafe_code)]

pub mod array;
pub mod core;
pub mod core_fault;
mod crew;
pub mod deadlock;
pub mod fault;
pub mod machine;
mod picture;
pub mod port;
pub mod record;
pub mod report;
mod run;
pub mod timing;

pub use crate::core::Core;
pub use array::ddr::{BufferId, Ddr, HostMemory};
pub use core_fault::CoreFault;
pub use deadlock::{DeadlockReport, Waiter};
pub use fault::{ChannelId, Direction, Fault, PortId, PortSide};
pub use machine::{Config, CoreModel, Machine, MachineOf, TileView};
pub use port::TileLoc;
pub use record::Record;
pub use report::RunReport;
pub use timing::Timing;
