//! The one error type of this crate.

use crate::device::{Channel, Tile, TileKind};
use crate::route::Port;

/// Why a design, a pattern, a route or a runtime stream is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A partition has 1 to 4 columns.
    #[error("a partition of {asked} columns: npu1 has 1 to {limit}")]
    Columns {
        /// Columns asked for.
        asked: u8,
        /// Columns of the device.
        limit: u8,
    },
    /// The tile is outside the partition.
    #[error("{tile} is outside a partition of {columns} columns")]
    NoSuchTile {
        /// The tile.
        tile: Tile,
        /// Columns of the partition.
        columns: u8,
    },
    /// This kind of tile does not have what was asked.
    #[error("{tile}: {what} needs a {needs} tile")]
    WrongTileKind {
        /// The tile.
        tile: Tile,
        /// What was asked.
        what: &'static str,
        /// The kind that has it.
        needs: TileKind,
    },
    /// The channel does not exist.
    #[error("{tile} has no channel {channel}: {limit} per direction")]
    NoSuchChannel {
        /// The tile.
        tile: Tile,
        /// The channel asked for.
        channel: Channel,
        /// Channels per direction.
        limit: u8,
    },

    /// A field of a BD cannot hold the value.
    #[error("{kind} BD: {field} of {asked} exceeds {limit}")]
    PatternField {
        /// Whose BD.
        kind: TileKind,
        /// The field.
        field: &'static str,
        /// The value asked for.
        asked: u64,
        /// The largest value.
        limit: u64,
    },
    /// A step, wrap, length or iteration count of 0 cannot be expressed.
    #[error("pattern: {field} is 0, must be at least 1")]
    PatternZero {
        /// The field.
        field: &'static str,
    },
    /// The pattern needs more dimensions than the BD has.
    #[error("{kind} BD: {asked} dimensions, limit {limit}")]
    PatternDims {
        /// Whose BD.
        kind: TileKind,
        /// Dimensions after joining and splitting.
        asked: usize,
        /// Dimensions of the BD.
        limit: usize,
    },
    /// Only MM2S channels of mem tiles insert zeros.
    #[error("{kind} {channel}: zero padding is only possible on mem tile MM2S channels")]
    PaddingUnavailable {
        /// Whose BD.
        kind: TileKind,
        /// The channel.
        channel: Channel,
    },
    /// The pattern touches words outside its buffer.
    #[error(
        "{tile} {channel}: the pattern ends at word {end_words} of ring `{ring}`, whose slots have {slot_words} words"
    )]
    PatternOutsideSlot {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// The ring.
        ring: String,
        /// One past the last word touched.
        end_words: u64,
        /// Words of a slot.
        slot_words: u32,
    },

    /// A buffer does not fit.
    #[error("{tile}: buffer `{buffer}` of {bytes} bytes does not fit {}: largest gap {free_bytes} bytes", bank_name(.bank))]
    MemoryFull {
        /// The tile.
        tile: Tile,
        /// The buffer.
        buffer: String,
        /// The bank asked for, if one was.
        bank: Option<u8>,
        /// Bytes asked for.
        bytes: u64,
        /// Largest run of free bytes there.
        free_bytes: u32,
    },
    /// A buffer pinned to an address lies on another one or outside the memory.
    #[error("{tile}: buffer `{buffer}` of {bytes} bytes at {offset:#x} {}", overlap(.with))]
    MemoryOverlap {
        /// The tile.
        tile: Tile,
        /// The buffer.
        buffer: String,
        /// Where it was put.
        offset: u32,
        /// Its bytes.
        bytes: u32,
        /// The buffer already there; `None`: it reaches outside the memory.
        with: Option<String>,
    },
    /// The bank does not exist, or the tile's banks are interleaved.
    #[error("{tile}: buffer `{buffer}`: no bank {bank} to place buffers in")]
    NoSuchBank {
        /// The tile.
        tile: Tile,
        /// The buffer.
        buffer: String,
        /// The bank.
        bank: u8,
    },
    /// A size or an offset is not a multiple of what the tile needs.
    #[error("{tile}: buffer `{buffer}`: {what} of {bytes} bytes is not a multiple of {align_bytes}")]
    Misaligned {
        /// The tile.
        tile: Tile,
        /// The buffer.
        buffer: String,
        /// What is misaligned.
        what: &'static str,
        /// Its value.
        bytes: u64,
        /// The alignment.
        align_bytes: u32,
    },
    /// A buffer or ring of nothing.
    #[error("{tile}: buffer `{buffer}` is empty")]
    EmptyBuffer {
        /// The tile.
        tile: Tile,
        /// The buffer.
        buffer: String,
    },
    /// `Place::Each` gives another number of places than the ring has slots.
    #[error("{tile}: ring `{ring}` has {slots} slots, {places} places were given")]
    SlotPlaces {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// Slots of the ring.
        slots: usize,
        /// Places given.
        places: usize,
    },
    /// Initial data outside every reserved buffer.
    #[error("{tile}: {bytes} bytes of initial data at {offset:#x} are not inside one reserved buffer")]
    DataOutsideBuffers {
        /// The tile.
        tile: Tile,
        /// Where.
        offset: u32,
        /// Bytes of data.
        bytes: usize,
    },
    /// Initial data over other initial data.
    #[error("{tile}: initial data at {offset:#x} overlaps other initial data")]
    DataTwice {
        /// The tile.
        tile: Tile,
        /// Where.
        offset: u32,
    },
    /// The program is too long.
    #[error("{tile}: program of {bytes} bytes, program memory has {limit}")]
    ProgramTooLong {
        /// The tile.
        tile: Tile,
        /// Bytes of the program.
        bytes: usize,
        /// Bytes of program memory.
        limit: u32,
    },
    /// Two programs for one core.
    #[error("{tile}: already has a program")]
    ProgramTwice {
        /// The tile.
        tile: Tile,
    },

    /// All BDs a channel may use are taken.
    #[error("{tile} {channel}: ring `{ring}` needs {asked} BDs, {free} of the {limit} this channel may use are free")]
    OutOfBds {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// The ring.
        ring: String,
        /// BDs asked for.
        asked: usize,
        /// BDs free among those.
        free: usize,
        /// BDs the channel may use.
        limit: usize,
    },
    /// All locks are taken.
    #[error("{tile}: no lock left for `{what}`, the tile has {limit}")]
    OutOfLocks {
        /// The tile.
        tile: Tile,
        /// Who asked.
        what: String,
        /// Locks of the tile.
        limit: u8,
    },
    /// A lock would hold more than it can.
    #[error("{tile}: `{what}` needs a lock value of {asked}, limit {limit}")]
    LockValue {
        /// The tile.
        tile: Tile,
        /// Who asked.
        what: String,
        /// The value.
        asked: u64,
        /// The largest value.
        limit: u8,
    },
    /// The handle belongs to another design.
    #[error("no ring number {index} in this design")]
    NoSuchRing {
        /// The ring's number.
        index: usize,
    },
    /// One side of a ring has two agents.
    #[error("{tile}: ring `{ring}` already has a {side}")]
    RingSideTwice {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// `writer` or `reader`.
        side: &'static str,
    },
    /// One side of a ring has no agent.
    #[error("{tile}: ring `{ring}` has no {side}")]
    RingSideMissing {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// `writer` or `reader`.
        side: &'static str,
    },
    /// The numbers of parts per slot do not go together.
    #[error("{tile}: ring `{ring}`: {writer} writer parts and {reader} reader parts; one must be 1 or both equal")]
    RingParts {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// Writer parts per slot.
        writer: usize,
        /// Reader parts per slot.
        reader: usize,
    },
    /// With equal numbers of parts, a reader part reads a word that not exactly its writer part writes.
    #[error("{tile}: ring `{ring}`: reader part {part} reads word {word}; writer part {part} alone must write it")]
    RingPartMismatch {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// The part.
        part: usize,
        /// The word of the slot.
        word: u64,
    },
    /// Lock values of a core side were given out before the other side had its number of parts.
    #[error("{tile}: ring `{ring}`: declare the DMA side before asking for the core side's locks")]
    RingSideOrder {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
    },
    /// Rings of one join or distribution differ in tile or in slots.
    #[error("{tile}: ring `{ring}` cannot share a channel with `{with}`: they differ in {what}")]
    RingsDiffer {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// The first ring of the list.
        with: String,
        /// What differs.
        what: &'static str,
    },
    /// A list that must not be empty is.
    #[error("{tile}: no {what} given")]
    Nothing {
        /// The tile.
        tile: Tile,
        /// What is missing.
        what: &'static str,
    },
    /// The core cannot reach this memory.
    #[error("the core of {core} has no window onto the memory of {memory}")]
    NoWindow {
        /// The core.
        core: Tile,
        /// The memory.
        memory: Tile,
    },
    /// A channel has two chains of BDs.
    #[error("{tile}: channel {channel} is used twice")]
    ChannelTwice {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
    },
    /// A channel moves data but is not connected, or is connected and moves none.
    #[error("{tile}: channel {channel} {}", if *.connected { "is connected but has no ring" } else { "has a ring but no connection" })]
    ChannelLoose {
        /// The tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// It is connected, but has no ring.
        connected: bool,
    },
    /// Two neighbouring cores disagree about a cascade, or there is no neighbour.
    #[error("no cascade from {from} to {to}: only to the south or east neighbour, one input and one output per core")]
    Cascade {
        /// The source.
        from: Tile,
        /// The destination.
        to: Tile,
    },

    /// The port cannot be a source (or a sink).
    #[error("{port} cannot be the {role} of a flow")]
    PortRole {
        /// The port.
        port: Port,
        /// `source` or `sink`.
        role: &'static str,
    },
    /// The port already belongs to a flow.
    #[error("{port} already belongs to a flow")]
    PortTwice {
        /// The port.
        port: Port,
    },
    /// The switch cannot make the connection.
    #[error("{tile}: the switch cannot connect slave {slave} to master {master}")]
    IllegalConnection {
        /// The tile.
        tile: Tile,
        /// Slave port index.
        slave: u8,
        /// Master port index.
        master: u8,
    },
    /// A master port has two slaves.
    #[error("{tile}: master {master} is fed twice")]
    MasterTwice {
        /// The tile.
        tile: Tile,
        /// Master port index.
        master: u8,
    },
    /// No free path.
    #[error("no free path from {source_port} to {sink}")]
    NoRoute {
        /// The flow's source.
        source_port: Port,
        /// The sink that is not reached.
        sink: Port,
    },

    /// No BD of the shim is free.
    #[error("{tile}: {asked} BDs asked, {free} of 16 free: wait for tokens of earlier tasks first")]
    ShimBdsInFlight {
        /// The shim tile.
        tile: Tile,
        /// BDs asked for.
        asked: usize,
        /// BDs free.
        free: usize,
    },
    /// A fifth outstanding task would be dropped by the hardware.
    #[error("{tile} {channel}: {depth} tasks outstanding, the queue holds no more: wait for a token first")]
    QueueFull {
        /// The shim tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// Depth of the queue.
        depth: usize,
    },
    /// A phase of a queued ring needs more memory than the ring has, or none.
    #[error("{tile}, ring {ring:?}: phase {phase} has {asked} bytes of slots; the ring has {limit}")]
    PhaseSlots {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// The phase.
        phase: usize,
        /// Bytes asked for.
        asked: u64,
        /// Bytes there are.
        limit: u64,
    },
    /// The phases of a ring share its locks, and so the number of its parts.
    #[error("{tile}, ring {ring:?}: phase {phase} has {parts} parts where the first has {needed}")]
    PhaseParts {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// The phase.
        phase: usize,
        /// Its parts.
        parts: usize,
        /// Those of the first phase.
        needed: usize,
    },
    /// A ring has no such phase.
    #[error("{tile}, ring {ring:?}: no phase {phase}, there are {phases}")]
    NoSuchPhase {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// The phase asked for.
        phase: usize,
        /// How many there are.
        phases: usize,
    },
    /// A token that says nothing of a ring's task.
    #[error("{tile}, ring {ring:?}: its data does not lead to {channel} of column {col}, whose token proves nothing")]
    NotDownstream {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// Column of the shim.
        col: u8,
        /// Its channel.
        channel: Channel,
    },
    /// BDs of a task in flight are not rewritten, and slots are used in turn.
    #[error(
        "{tile}, ring {ring:?}: {tasks} tasks in flight, another phase or a broken round needs an empty ring: wait for their tokens first"
    )]
    RingInFlight {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// Tasks in flight.
        tasks: usize,
    },
    /// Tasks of a ring may still run when the stream ends.
    #[error("{tile}, ring {ring:?}: {tasks} tasks are not waited for")]
    RingNotAwaited {
        /// The tile.
        tile: Tile,
        /// The ring.
        ring: String,
        /// Tasks in flight.
        tasks: usize,
    },
    /// A wait for a token nobody sends.
    #[error("{tile} {channel}: wait without an outstanding token")]
    NoToken {
        /// The shim tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
    },
    /// Tokens are outstanding at the end.
    #[error("{tile} {channel}: {tokens} tokens are never waited for")]
    TokensOutstanding {
        /// The shim tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// How many.
        tokens: usize,
    },
    /// Data written to DDR may still be in flight when the stream ends.
    #[error("{tile} {channel}: its last task has no token, its output may not have arrived")]
    OutputNotAwaited {
        /// The shim tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
    },
    /// A task runs 1 to 256 times.
    #[error("{tile} {channel}: {asked} runs, must be 1 to {limit}")]
    Runs {
        /// The shim tile.
        tile: Tile,
        /// The channel.
        channel: Channel,
        /// Runs asked for.
        asked: u32,
        /// Most runs.
        limit: u16,
    },
    /// A host buffer offset that the patch operation cannot carry.
    #[error("argument {arg}: offset of {offset_bytes} bytes exceeds {limit}")]
    ArgOffset {
        /// The host buffer.
        arg: u32,
        /// The offset asked for.
        offset_bytes: u64,
        /// The largest offset.
        limit: u64,
    },
    /// A runtime write that is misaligned or reaches beyond the tile's addresses.
    #[error("{tile}: {words} words at {offset:#x} are misaligned or leave the tile's addresses")]
    WriteOutsideTile {
        /// The tile.
        tile: Tile,
        /// Byte offset of the first word.
        offset: u32,
        /// Number of words.
        words: usize,
    },
    /// A host buffer offset or length that is not a multiple of a word.
    #[error("argument {arg}: {what} of {bytes} bytes is not a multiple of 4")]
    ArgMisaligned {
        /// The host buffer.
        arg: u32,
        /// What is misaligned.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
}

fn bank_name(bank: &Option<u8>) -> String {
    match bank {
        Some(bank) => format!("bank {bank}"),
        None => "the data memory".into(),
    }
}

fn overlap(with: &Option<String>) -> String {
    match with {
        Some(other) => format!("overlaps `{other}`"),
        None => "reaches outside the data memory".into(),
    }
}
