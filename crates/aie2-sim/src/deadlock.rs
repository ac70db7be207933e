//! Who waits for whom when nothing can move.

use crate::fault::{ChannelId, PortId};
use crate::port::{BlockReason, TileLoc};
use std::fmt;

/// One agent that cannot go on.
#[derive(Clone, PartialEq, Debug)]
pub enum Waiter {
    /// The controller waits for a token.
    Controller {
        /// Index of the operation.
        op: usize,
        /// Channel it waits for, when it waits for a token.
        channel: Option<ChannelId>,
        /// What it waits for.
        what: String,
    },
    /// A DMA channel waits for a lock.
    DmaLock {
        /// Channel.
        channel: ChannelId,
        /// Active BD.
        bd: u8,
        /// Tile that owns the lock.
        lock_tile: TileLoc,
        /// Lock index in that tile.
        lock: u8,
        /// Its present value.
        value: u8,
        /// Acquire value of the BD.
        wanted: i8,
    },
    /// An S2MM channel waits for stream words.
    DmaStarved {
        /// Channel.
        channel: ChannelId,
        /// Active BD.
        bd: u8,
        /// Words moved.
        done: u64,
        /// Words of the BD.
        length: u64,
    },
    /// An MM2S channel waits because its stream is full.
    DmaBackPressure {
        /// Channel.
        channel: ChannelId,
        /// Active BD.
        bd: u8,
        /// Words moved.
        done: u64,
        /// Words of the BD.
        length: u64,
        /// Receivers with no room.
        blocked_by: Vec<String>,
    },
    /// An idle S2MM channel has words in its ingress buffer and no BD to put them.
    DmaNoBd {
        /// Channel.
        channel: ChannelId,
        /// Words waiting.
        words: usize,
    },
    /// An arbiter of a packet switch is held by a packet whose last word has not passed.
    Arbiter {
        /// Tile of the switch.
        tile: TileLoc,
        /// Arbiter.
        arbiter: u8,
        /// Slave port whose packet holds it.
        holder: PortId,
        /// Stream id of that packet.
        id: u8,
        /// Words of the packet that passed, its header included.
        passed: u64,
        /// Masters with no room; empty: the packet's next word has not come.
        blocked_by: Vec<PortId>,
        /// Slave ports whose packets wait for the arbiter, with their ids.
        waiting: Vec<(PortId, u8)>,
    },
    /// A core runs, but nothing it does reaches anyone.
    CoreSpins {
        /// Tile.
        tile: TileLoc,
        /// Program counter.
        pc: u32,
    },
    /// A core is blocked.
    Core {
        /// Tile.
        tile: TileLoc,
        /// Program counter.
        pc: u32,
        /// Reason.
        reason: BlockReason,
        /// Present value of the lock it waits for.
        lock_value: Option<u8>,
    },
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller { op, channel, what } => {
                write!(f, "controller: operation {op} waits for {what}")?;
                match channel {
                    Some(c) => write!(f, " of {c}"),
                    None => Ok(()),
                }
            }
            Self::DmaLock { channel, bd, lock_tile, lock, value, wanted } => {
                write!(f, "{channel}: BD {bd} waits for lock {lock} of {lock_tile} (value {value}, acquire {wanted})")
            }
            Self::DmaStarved { channel, bd, done, length } => {
                write!(f, "{channel}: BD {bd} has {done} of {length} words, stream empty")
            }
            Self::DmaBackPressure { channel, bd, done, length, blocked_by } => {
                write!(f, "{channel}: BD {bd} sent {done} of {length} words, stream full")?;
                if !blocked_by.is_empty() {
                    write!(f, "; no room at {}", blocked_by.join(", "))?;
                }
                Ok(())
            }
            Self::DmaNoBd { channel, words } => {
                write!(f, "{channel}: {words} words arrived, no BD queued")
            }
            Self::Arbiter { tile, arbiter, holder, id, passed, blocked_by, waiting } => {
                write!(f, "{tile} arbiter {arbiter}: held by {holder} for packet id {id}, {passed} words passed")?;
                if blocked_by.is_empty() {
                    f.write_str(", no TLAST yet and stream empty")?;
                }
                for master in blocked_by {
                    write!(f, "; no room at {master}")?;
                }
                for (port, id) in waiting {
                    write!(f, "; {port} waits with packet id {id}")?;
                }
                Ok(())
            }
            Self::CoreSpins { tile, pc } => {
                write!(f, "{tile}: runs at pc {pc:#x} without touching a lock or stream")
            }
            Self::Core { tile, pc, reason, lock_value } => {
                write!(f, "{tile}: pc {pc:#x} waits for {reason}")?;
                match lock_value {
                    Some(v) => write!(f, ", lock is {v}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Picture of a stopped array.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadlockReport {
    /// Array cycle at which nothing could move any more.
    pub cycle: u64,
    /// Everyone who waits.
    pub waiters: Vec<Waiter>,
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for w in &self.waiters {
            writeln!(f, "  {w}")?;
        }
        Ok(())
    }
}
