//! A Phoenix NPU (PCI function 1022:1502) over vfio-user, for Linux's own amdxdna driver in a guest.
//!
//! It speaks the documented protocol between driver and firmware and nothing else: what is not documented or not modelled is answered
//! with a documented error status and logged, never guessed. Commands run in `aie2-sim` on guest memory.
//!
//! ```text
//! QEMU ─ vfio-user ─ server ─┬─ config        configuration space
//!                            ├─ psp, smu      BAR 0
//!                            ├─ mailbox ──┐   BARs 2 and 4
//!                            └─ guest     │   memory of the guest
//! UNIX socket ─ control ── fault ── device ── context ── execute ── aie2-sim
//!                                     └─ journal
//! ```
//!
//! The loop of the server never waits: every context has a thread that simulates its columns, writes the answer into the ring and
//! signals the eventfd.
#![forbid(unsafe_code)]

pub mod config;
pub mod context;
pub mod control;
pub mod device;
pub mod execute;
pub mod fault;
pub mod geometry;
pub mod guest;
pub mod journal;
pub mod mailbox;
pub mod message;
pub mod psp;
pub mod server;
pub mod smu;

pub use device::{Protocol, Shared};
pub use fault::Fault;
pub use journal::Journal;
pub use server::{Backend, listen};
