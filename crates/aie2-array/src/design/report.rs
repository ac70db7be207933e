//! What a finished design is: its commands and what it uses.

use std::collections::BTreeMap;

use npu_container::cdo::Command;

use super::{Design, QueuedRing, RingId};
use crate::device::Tile;
use crate::route::Routes;

/// What one tile uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of data memory in buffers.
    pub memory_bytes: u32,
    /// Bytes of program memory.
    pub program_bytes: u32,
    /// BDs.
    pub bds: usize,
    /// Locks.
    pub locks: usize,
    /// DMA channels, both directions.
    pub channels: usize,
    /// Master ports of the stream switch, token route not counted.
    pub masters: usize,
}

/// A finished design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Columns of the partition.
    pub columns: u8,
    /// Configuration commands in order, for a PDI.
    pub commands: Vec<Command>,
    /// The switch connections among them.
    pub routes: Routes,
    /// What every used tile uses.
    pub resources: BTreeMap<Tile, Resources>,
    /// Rings whose tasks the runtime stream queues.
    pub queued: BTreeMap<RingId, QueuedRing>,
    /// What was lowered, for [`super::mlir`].
    pub(super) design: Design,
}
