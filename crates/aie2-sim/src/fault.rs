//! Everything that stops a simulation, with the place where it happened.
//!
//! The simulator never guesses: what a register does not document, what silicon was seen to corrupt or drop, and what
//! this model leaves out is a fault, not a plausible value.

use crate::core_fault::CoreFault;
use crate::deadlock::DeadlockReport;
use crate::port::TileLoc;
use std::fmt;
use thiserror::Error;

/// Direction of a DMA channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Stream to memory.
    S2mm,
    /// Memory to stream.
    Mm2s,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S2mm => "S2MM",
            Self::Mm2s => "MM2S",
        })
    }
}

/// One DMA channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId {
    /// Tile of the DMA.
    pub tile: TileLoc,
    /// Direction.
    pub dir: Direction,
    /// Channel number in its direction.
    pub index: u8,
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tile, self.dir, self.index)
    }
}

/// Side of a stream switch port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortSide {
    /// Leaves the switch.
    Master,
    /// Enters the switch.
    Slave,
}

/// One stream switch port by register index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PortId {
    /// Tile of the switch.
    pub tile: TileLoc,
    /// Master or slave.
    pub side: PortSide,
    /// Register index of the port.
    pub index: u8,
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            PortSide::Master => "master",
            PortSide::Slave => "slave",
        };
        let name = crate::array::ports::name(self.tile.row, self.side, self.index);
        write!(f, "{} {side} {} ({name})", self.tile, self.index)
    }
}

/// A simulation stopped. Every variant carries what was asked, the limit where there is one, and the place.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    // ---- core side of the bus -------------------------------------------------------------------------------------
    /// A core program did something undefined or unmodelled.
    #[error("{tile} pc {pc:#x}: {fault}")]
    Core {
        /// Compute tile.
        tile: TileLoc,
        /// Program counter of the bundle.
        pc: u32,
        /// What happened.
        fault: CoreFault,
    },
    /// A core address lies in no data window, or in the window of a neighbour that does not exist.
    #[error("{tile}: core address {addr:#x} ({bytes} bytes) reaches no memory")]
    CoreAddress {
        /// Compute tile of the core.
        tile: TileLoc,
        /// 20-bit core data address.
        addr: u32,
        /// Bytes asked for.
        bytes: u32,
    },
    /// A core read bytes that nobody ever wrote.
    #[error("{tile}: core reads {bytes} bytes at {addr:#x}, byte {first_bad:#x} was never written")]
    CoreUninitialised {
        /// Compute tile of the core.
        tile: TileLoc,
        /// 20-bit core data address.
        addr: u32,
        /// Bytes asked for.
        bytes: u32,
        /// First core address that was never written.
        first_bad: u32,
    },
    /// A core took a stream word part of which was never written at its origin.
    #[error("{tile}: core reads a stream word with never-written bytes (valid byte mask {valid:#06b})")]
    StreamUninitialised {
        /// Compute tile of the core.
        tile: TileLoc,
        /// Bit b set: byte b is real data.
        valid: u8,
    },
    /// A core lock id names a neighbour that does not exist.
    #[error("{tile}: core lock id {id} reaches no lock")]
    CoreLock {
        /// Compute tile of the core.
        tile: TileLoc,
        /// Core lock id.
        id: u8,
    },
    /// A core used a stream or cascade port that is not connected.
    #[error("{tile}: core uses its {what}, which is connected to nothing")]
    CorePortUnconnected {
        /// Compute tile of the core.
        tile: TileLoc,
        /// The port.
        what: &'static str,
    },

    // ---- registers ------------------------------------------------------------------------------------------------
    /// A write to a register this model does not know.
    #[error("{tile}: write of {value:#010x} to unmodelled register {offset:#07x}")]
    UnmodelledRegister {
        /// Tile.
        tile: TileLoc,
        /// Offset inside the tile.
        offset: u32,
        /// Word written.
        value: u32,
    },
    /// A poll of a register this model cannot read.
    #[error("{tile}: read of unmodelled register {offset:#07x}")]
    UnmodelledRead {
        /// Tile.
        tile: TileLoc,
        /// Offset inside the tile.
        offset: u32,
    },
    /// An address outside the partition or not word aligned.
    #[error("array address {addr:#x} is outside the partition or not word aligned")]
    ArrayAddress {
        /// Address as written.
        addr: u64,
    },
    /// A register field asks for a feature this model leaves out.
    #[error("{tile}: register {offset:#07x} = {value:#010x} asks for {feature}, which is not modelled")]
    UnmodelledFeature {
        /// Tile.
        tile: TileLoc,
        /// Offset inside the tile.
        offset: u32,
        /// Word written.
        value: u32,
        /// The feature.
        feature: &'static str,
    },
    /// Program memory written while the core runs.
    #[error("{tile}: program memory written at {offset:#07x} while the core is enabled and out of reset")]
    ProgramWriteWhileRunning {
        /// Tile.
        tile: TileLoc,
        /// Offset inside the tile.
        offset: u32,
    },
    /// A lock value outside the 6-bit state.
    #[error("{tile}: lock {lock} would become {value}, the state is 0..63")]
    LockRange {
        /// Tile.
        tile: TileLoc,
        /// Lock of that tile.
        lock: u8,
        /// Value it would have had.
        value: i32,
    },

    /// An acquire with value 0: sources disagree about its meaning.
    #[error("{tile}: acquire of lock {lock} with value 0, whose meaning is unconfirmed")]
    AcquireZero {
        /// Tile of the lock.
        tile: TileLoc,
        /// Lock of that tile.
        lock: u8,
    },

    // ---- DMA ------------------------------------------------------------------------------------------------------
    /// A start or next BD number that does not exist in this tile.
    #[error("{channel}: BD {bd} does not exist")]
    BdNumber {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
    },
    /// Mem tile parity rule: even channels own BDs 0..23, odd channels 24..47.
    #[error("{channel}: BD {bd} is not available to this channel (even channels 0..23, odd channels 24..47)")]
    BdParity {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
    },
    /// The channel fetched a BD whose valid bit is clear.
    #[error("{channel}: BD {bd} is not valid")]
    BdInvalid {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
    },
    /// A BD with length zero was started.
    #[error("{channel}: BD {bd} has length 0")]
    BdEmpty {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
    },
    /// A BD asks for something this model leaves out.
    #[error("{channel}: BD {bd} asks for {feature}, which is not modelled")]
    BdFeature {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
        /// The feature.
        feature: &'static str,
    },
    /// A BD register was written while the BD was queued or active.
    #[error("{tile}: BD {bd} rewritten (offset {offset:#07x}) while {channel} has it queued or active")]
    BdInUse {
        /// Tile.
        tile: TileLoc,
        /// BD number.
        bd: u8,
        /// Offset written.
        offset: u32,
        /// Channel that uses it.
        channel: ChannelId,
    },
    /// A fifth outstanding push: hardware drops it silently.
    #[error("{channel}: push of BD {bd} onto a full task queue (depth {depth})")]
    QueueOverflow {
        /// Channel.
        channel: ChannelId,
        /// Start BD of the dropped entry.
        bd: u8,
        /// Queue depth.
        depth: usize,
    },
    /// A push onto a channel held in reset.
    #[error("{channel}: push of BD {bd} while the channel is in reset")]
    PushInReset {
        /// Channel.
        channel: ChannelId,
        /// Start BD.
        bd: u8,
    },
    /// A DMA address outside the memory the channel can reach.
    #[error("{channel}: BD {bd} word {word} goes to byte address {addr:#x}, {why}")]
    DmaAddress {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
        /// Word index inside the BD.
        word: u64,
        /// Byte address in the channel's address space.
        addr: u64,
        /// The limit.
        why: &'static str,
    },
    /// A BD lock id the channel cannot reach.
    #[error("{channel}: BD {bd} uses lock id {lock}, {why}")]
    DmaLock {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
        /// Lock id as in the BD.
        lock: u8,
        /// The limit.
        why: &'static str,
    },
    /// A shim BD reaches outside every host buffer.
    #[error(
        "{channel}: BD {bd} word {word} goes to DDR address {addr:#x}; {}",
        argument.map_or_else(
            || "no buffer lies below it".to_owned(),
            |index| format!("the buffer below it is argument {index} at {base:#x}, {bytes} bytes"),
        )
    )]
    DdrAddress {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
        /// Word index inside the BD.
        word: u64,
        /// 48-bit array-side DDR address.
        addr: u64,
        /// Argument index of the buffer just below the address, if any.
        argument: Option<usize>,
        /// Array-side base of that buffer.
        base: u64,
        /// Extent of that buffer in bytes.
        bytes: u64,
    },
    /// A shim BD reaches host memory that cannot be accessed.
    #[error("{channel}: BD {bd} word {word} goes to DDR address {addr:#x}, host address {host:#x}: {why}")]
    HostAddress {
        /// Channel.
        channel: ChannelId,
        /// BD number.
        bd: u8,
        /// Word index inside the BD.
        word: u64,
        /// 48-bit array-side DDR address.
        addr: u64,
        /// The host's address of it.
        host: u64,
        /// The host's reason.
        why: String,
    },
    /// What the array wrote cannot be stored in the host's memory.
    #[error("storing at host address {addr:#x}: {why}")]
    HostStore {
        /// The host's address.
        addr: u64,
        /// The host's reason.
        why: String,
    },
    /// A command with host addresses on a machine that has no host's memory.
    #[error("the machine has no host memory attached")]
    NoHostMemory,
    /// The run was called off.
    #[error("called off in operation {op}")]
    CalledOff {
        /// Operation under way.
        op: usize,
    },
    /// A task token has no route to the firmware's sink.
    #[error("{channel}: task token has no route: {why}")]
    TokenRoute {
        /// Channel.
        channel: ChannelId,
        /// Where the route breaks.
        why: &'static str,
    },

    // ---- stream switch --------------------------------------------------------------------------------------------
    /// A slave to master connection the switch does not have.
    #[error("{master} cannot be fed by slave {slave} ({})", crate::array::ports::name(.master.tile.row, PortSide::Slave, *.slave))]
    IllegalConnection {
        /// Master port.
        master: PortId,
        /// Slave index.
        slave: u8,
    },
    /// A port index beyond the switch.
    #[error("{tile}: switch port register {offset:#07x} does not exist")]
    NoSuchPort {
        /// Tile.
        tile: TileLoc,
        /// Offset.
        offset: u32,
    },
    /// A circuit master selects a slave that is not enabled.
    #[error("{master} selects slave {slave} ({}), which is not enabled as a circuit port", crate::array::ports::name(.master.tile.row, PortSide::Slave, *.slave))]
    SlaveDisabled {
        /// Master port.
        master: PortId,
        /// Slave index.
        slave: u8,
    },
    /// A route leaves the array or ends where nobody receives.
    #[error("stream from {source_port} arrives at {at}, where nothing receives it: {why}")]
    DanglingRoute {
        /// Port where the stream starts.
        source_port: PortId,
        /// Port where it ends.
        at: PortId,
        /// Why it ends there.
        why: &'static str,
    },
    /// A producer was started whose stream goes nowhere.
    #[error("{channel}: started, but its stream port {port} is connected to nothing")]
    UnroutedSource {
        /// Channel.
        channel: ChannelId,
        /// The port.
        port: PortId,
    },
    /// A switch was reconfigured while words were on the route.
    #[error("{port}: reconfigured while {words} words are on a route through it")]
    ReconfiguredInFlight {
        /// Port written.
        port: PortId,
        /// Words held.
        words: u64,
    },
    /// An arbiter number on which sources disagree.
    #[error("{port}: arbiter {arbiter} (0 to 5 exist; sources disagree about 6 and 7)")]
    ArbiterNumber {
        /// Port whose register names it.
        port: PortId,
        /// Arbiter.
        arbiter: u8,
    },
    /// The first word of a packet is no header this model accepts.
    #[error("{port}: packet begins with {word:#010x}, {why}")]
    PacketHeader {
        /// Slave port, or the master that drops the header.
        port: PortId,
        /// Word.
        word: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No slot takes a packet: it would stand at the port for ever.
    #[error("{port}: packet with id {id} matches no enabled slot")]
    PacketNoSlot {
        /// Slave port.
        port: PortId,
        /// Stream id.
        id: u8,
    },
    /// Two slots take a packet and send it to different places.
    #[error("{port}: packet with id {id} matches slots {first} and {second}, which name different targets")]
    PacketSlots {
        /// Slave port.
        port: PortId,
        /// Stream id.
        id: u8,
        /// Lower slot.
        first: u8,
        /// Other slot.
        second: u8,
    },
    /// A slot sends packets to an arbiter and msel that no master takes.
    #[error("{port}: packet with id {id} goes to arbiter {arbiter}, msel {msel}, which no master takes")]
    PacketNoMaster {
        /// Slave port.
        port: PortId,
        /// Stream id.
        id: u8,
        /// Arbiter.
        arbiter: u8,
        /// Msel.
        msel: u8,
    },

    // ---- controller -----------------------------------------------------------------------------------------------
    /// The PDI cannot be read.
    #[error("PDI: {0}")]
    Pdi(#[from] npu_container::pdi::PdiError),
    /// The instruction stream cannot be read.
    #[error("instruction stream: {0}")]
    Stream(#[from] npu_container::txn::TxnError),
    /// A DDR_PATCH names an argument the command does not have.
    #[error("operation {index}: DDR_PATCH of argument {argument}, the command has {arguments}")]
    PatchArgument {
        /// Index in the stream.
        index: usize,
        /// Argument index.
        argument: u64,
        /// Number of arguments.
        arguments: usize,
    },
    /// A DDR_PATCH register is not word 1 of a shim BD.
    #[error("operation {index}: DDR_PATCH of {addr:#x}, which is not word 1 of a shim BD")]
    PatchRegister {
        /// Index in the stream.
        index: usize,
        /// Register address.
        addr: u64,
    },
    /// A TCT wait names a rectangle or channel outside the model.
    #[error("operation {index}: token wait with words {a:#010x} {b:#010x} is outside the model")]
    TokenWait {
        /// Index in the stream.
        index: usize,
        /// Word A.
        a: u32,
        /// Word B.
        b: u32,
    },
    /// The stream ended while tokens or shim transfers were outstanding.
    #[error("the stream ended while {channel} was still moving data; the host would read early")]
    EarlyCompletion {
        /// A channel that is not done.
        channel: ChannelId,
    },
    /// Nothing can move and the controller waits.
    #[error("deadlock after {} cycles\n{}", .0.cycle, .0)]
    Deadlock(Box<DeadlockReport>),
    /// The run passed the configured limit.
    #[error("cycle limit of {limit} array cycles passed at operation {op}")]
    CycleLimit {
        /// Limit.
        limit: u64,
        /// Operation the controller was at.
        op: usize,
    },

    // ---- host -----------------------------------------------------------------------------------------------------
    /// A host access outside a buffer.
    #[error("buffer `{name}`: bytes {offset}..{end} of {bytes}")]
    HostRange {
        /// Buffer.
        name: String,
        /// First byte.
        offset: usize,
        /// End of the access.
        end: usize,
        /// Size.
        bytes: usize,
    },
    /// The host reads bytes nobody wrote.
    #[error("buffer `{name}`: byte {offset} was never written ({missing} such bytes)")]
    HostUninitialised {
        /// Buffer.
        name: String,
        /// First such byte.
        offset: usize,
        /// Number of such bytes in the range.
        missing: usize,
    },
    /// A buffer id of another machine.
    #[error("no buffer {0}")]
    NoSuchBuffer(usize),
    /// A tile view was asked for a tile that is not a compute or mem tile.
    #[error("{tile} has no data memory or no core")]
    NoSuchTile {
        /// Tile.
        tile: TileLoc,
    },
}
