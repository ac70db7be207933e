//! What a run cost.

use crate::array::ddr::ArgumentTraffic;
use crate::fault::ChannelId;
use crate::port::TileLoc;

/// Cycles a core did not issue a bundle, by cause.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stalls {
    /// Waiting for a lock.
    pub lock: u64,
    /// Waiting for a stream.
    pub stream: u64,
    /// Waiting for the cascade.
    pub cascade: u64,
    /// The core's own bank conflicts and the arbitration cycle of lock instructions.
    pub own: u64,
    /// Banks taken by an urgent DMA.
    pub dma_bank: u64,
}

/// One core in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreReport {
    /// Tile.
    pub tile: TileLoc,
    /// Bundles issued.
    pub bundles: u64,
    /// Lost cycles.
    pub stalls: Stalls,
    /// VMAC-family instructions.
    pub vmacs: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// One shim channel in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShimChannelReport {
    /// Channel.
    pub channel: ChannelId,
    /// Bytes moved.
    pub bytes: u64,
    /// Cycles with at least one task outstanding.
    pub busy_cycles: u64,
}

/// What the controller did in a run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ControllerReport {
    /// WRITE operations that are not queue pushes.
    pub writes: u64,
    /// Queue pushes.
    pub pushes: u64,
    /// BLOCKWRITE operations.
    pub block_writes: u64,
    /// MASKWRITE operations.
    pub mask_writes: u64,
    /// MASKPOLL operations.
    pub polls: u64,
    /// Token waits.
    pub token_waits: u64,
    /// DDR_PATCH operations.
    pub patches: u64,
    /// NOOP operations.
    pub noops: u64,
    /// Cycles spent waiting for tokens or polled registers.
    pub wait_cycles: u64,
}

/// What a run cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunReport {
    /// Array cycles from the first operation to the end of the last one.
    pub cycles: u64,
    /// Cores that issued a bundle or stalled in this run.
    pub cores: Vec<CoreReport>,
    /// Shim channels that moved data.
    pub shim_channels: Vec<ShimChannelReport>,
    /// DDR traffic per argument.
    pub arguments: Vec<ArgumentTraffic>,
    /// Task tokens waited for.
    pub tokens: u64,
    /// Controller operations.
    pub controller: ControllerReport,
    /// Cycles from the first operation to the end of each, in order.
    pub op_ends: Vec<u64>,
}

impl RunReport {
    /// Bytes read from DDR.
    pub fn ddr_read_bytes(&self) -> u64 {
        self.arguments.iter().map(|a| a.read_bytes).sum()
    }

    /// Bytes written to DDR.
    pub fn ddr_written_bytes(&self) -> u64 {
        self.arguments.iter().map(|a| a.written_bytes).sum()
    }

    /// Multiply-accumulates of all cores.
    pub fn macs(&self) -> u64 {
        self.cores.iter().map(|c| c.macs).sum()
    }
}
