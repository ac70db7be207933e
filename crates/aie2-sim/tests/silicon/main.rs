//! The core model against what a Phoenix NPU stored.
//!
//! Every test runs programs from program-memory bytes: assembled, encoded, decoded again by the core. The tables under
//! `tests/data` are recordings of FIM43-Redeye/xdna-emu (MIT).

mod float;
mod layout;
mod points;
mod rig;
mod table;
