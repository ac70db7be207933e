//! The instruction stream of one run: shim BDs with their host buffers, tasks, waits.
//!
//! ```text
//! task:  BLOCKWRITE of every BD, DDR_PATCH of its address, controller id of the channel (once, for tokens), queue push
//! wait:  TCT; afterwards the task and all earlier tasks of the channel are done and their BDs free
//! ```
//! The builder knows what is in flight: it refuses a fifth outstanding task on a channel, never rewrites a BD whose task may
//! still run, and does not finish while a token or an output is not awaited. Receivers are pushed before senders by the
//! caller. Tasks of mem tiles ([`Runtime::ring`]) have no token of their own; that of a shim channel which their data leads to stands for it.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIEX/Transforms/AIEDmaToNpu.cpp (order of operations), AIETargetNPU.cpp (argument
// index and offset); FIM43-Redeye/xdna-emu, silicon recording 2026-06-06-shim-bd-pool (BD reuse without a wait wedges).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use npu_container::txn::{self, Op};

use crate::bd::Pattern;
use crate::device::{COLUMNS, Channel, DMA_ALIGN_BYTES, Direction, QUEUE_DEPTH, Tile, TileKind};
use crate::error::Error;
use crate::regs::{
    BdCommon, ChannelControl, QueuePush, ShimBdWords, channel_control_offset, channel_queue_offset, lock_offset,
    lock_word, shim_bd_offset,
};
use crate::route::token;

/// Burst field of 256 bytes.
// SOURCE: Xilinx/mlir-aie include/aie/Dialect/AIEX/Utils/BdLowering.h (0, 1, 2 = 64, 128, 256 bytes; npu1 uses 256).
const BURST_256_BYTES: u8 = 2;
/// AxCache of shim BDs.
// SOURCE: Xilinx/mlir-aie #3546; AMD's Phoenix validation streams use the same value.
const AX_CACHE: u8 = 2;
/// Bits of the controller id that are written before a task with a token.
// SOURCE: Xilinx/mlir-aie lib/Dialect/AIEX/Transforms/AIEDmaToNpu.cpp (mask 0x1F00).
const CONTROLLER_ID_MASK: u32 = 0x1F00;
/// Offset of a BD's address word in the BD.
const BD_ADDRESS_OFFSET: u32 = 4;

/// One shim BD: which words of a host buffer move, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimBd {
    arg: u32,
    offset_bytes: u64,
    pattern: Pattern,
}

impl ShimBd {
    /// `pattern` over host buffer `arg` (0 is the first one after the instructions), from byte `offset_bytes` on.
    pub fn new(arg: u32, offset_bytes: u64, pattern: Pattern) -> Self {
        ShimBd { arg, offset_bytes, pattern }
    }

    /// Consecutive bytes. `bytes` is a multiple of 4.
    pub fn linear(arg: u32, offset_bytes: u64, bytes: u64) -> Result<Self, Error> {
        let words = bytes / u64::from(DMA_ALIGN_BYTES);
        if !bytes.is_multiple_of(u64::from(DMA_ALIGN_BYTES)) {
            return Err(Error::ArgMisaligned { arg, what: "length", bytes });
        }
        let words = u32::try_from(words).map_err(|_| Error::PatternField {
            kind: TileKind::Shim,
            field: "length",
            asked: words,
            limit: u64::from(u32::MAX),
        })?;
        Ok(ShimBd::new(arg, offset_bytes, Pattern::linear(words)))
    }
}

/// How far a stream reaches into a host buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgExtent {
    /// One past the last byte read, 0 if none is.
    pub read_bytes: u64,
    /// One past the last byte written, 0 if none is.
    pub written_bytes: u64,
}

impl ArgExtent {
    /// Bytes the buffer must have.
    pub fn bytes(self) -> u64 {
        self.read_bytes.max(self.written_bytes)
    }
}

/// One entry of a channel's queue.
#[derive(Clone, Debug)]
struct Task {
    bds: Vec<u8>,
    token: bool,
}

/// A place of [`Runtime::early`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyPlace(usize);

/// A finished stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Columns of the partition.
    pub columns: u8,
    /// The operations in order.
    pub ops: Vec<Op>,
    /// What every host buffer must hold.
    pub extents: BTreeMap<u32, ArgExtent>,
    /// Operations in front of each [`Runtime::mark`].
    pub marks: Vec<usize>,
}

/// A runtime stream under construction.
#[derive(Clone, Debug)]
pub struct Runtime {
    columns: u8,
    ops: Vec<Op>,
    /// BDs in flight of every column's shim.
    bds: Vec<BTreeSet<u8>>,
    queues: BTreeMap<(u8, Channel), VecDeque<Task>>,
    /// Channels whose controller id is set.
    named: BTreeSet<(u8, Channel)>,
    extents: BTreeMap<u32, ArgExtent>,
    /// Rings of mem tiles by their tile and the channel that fills them.
    rings: BTreeMap<(Tile, Channel), rings::State>,
    /// Tokens asked for and waited for, by channel.
    tokens: BTreeMap<(u8, Channel), [u64; 2]>,
    /// Operations after which each BD of a column's shim has been free, unless it is in flight.
    freed: Vec<[usize; SHIM_BDS]>,
    /// Where BDs of coming tasks are written if they are free there, and whether there are such tasks.
    early: Option<(usize, bool)>,
    /// What is written there, by the operation in front of which it stands.
    hoisted: BTreeMap<usize, Vec<Op>>,
    /// Operations up to each mark.
    marks: Vec<usize>,
}

/// BDs of a shim.
const SHIM_BDS: usize = TileKind::Shim.dma().bds as usize;

impl Runtime {
    /// An empty stream for a partition of 1 to 4 columns.
    pub fn new(columns: u8) -> Result<Self, Error> {
        if columns == 0 || columns > COLUMNS {
            return Err(Error::Columns { asked: columns, limit: COLUMNS });
        }
        Ok(Runtime {
            columns,
            ops: Vec::new(),
            bds: vec![BTreeSet::new(); usize::from(columns)],
            queues: BTreeMap::new(),
            named: BTreeSet::new(),
            extents: BTreeMap::new(),
            rings: BTreeMap::new(),
            tokens: BTreeMap::new(),
            freed: vec![[0; SHIM_BDS]; usize::from(columns)],
            early: None,
            hoisted: BTreeMap::new(),
            marks: Vec::new(),
        })
    }

    fn shim(&self, col: u8, channel: Channel) -> Result<Tile, Error> {
        let tile = Tile::shim(col);
        if !tile.exists(self.columns) {
            return Err(Error::NoSuchTile { tile, columns: self.columns });
        }
        let limit = TileKind::Shim.dma().channels;
        if channel.index >= limit {
            return Err(Error::NoSuchChannel { tile, channel, limit });
        }
        Ok(tile)
    }

    /// Moves one BD `runs` times (1..=256). With `token`, [`Runtime::wait`] can wait for its end.
    pub fn task(
        &mut self,
        col: u8,
        channel: impl Into<Channel>,
        bd: &ShimBd,
        runs: u32,
        token: bool,
    ) -> Result<(), Error> {
        self.task_chain(col, channel, std::slice::from_ref(bd), runs, token)
    }

    /// Moves several BDs one after the other, the whole chain `runs` times, as one task.
    pub fn task_chain(
        &mut self,
        col: u8,
        channel: impl Into<Channel>,
        chain: &[ShimBd],
        runs: u32,
        token: bool,
    ) -> Result<(), Error> {
        let channel = channel.into();
        let tile = self.shim(col, channel)?;
        if chain.is_empty() {
            return Err(Error::Nothing { tile, what: "BDs" });
        }
        if runs == 0 || runs > u32::from(QueuePush::RUNS_MAX) {
            return Err(Error::Runs { tile, channel, asked: runs, limit: QueuePush::RUNS_MAX });
        }
        if self.queues.get(&(col, channel)).is_some_and(|queue| queue.len() >= QUEUE_DEPTH) {
            return Err(Error::QueueFull { tile, channel, depth: QUEUE_DEPTH });
        }
        let busy = &self.bds[usize::from(col)];
        let mut free: Vec<u8> = (0..TileKind::Shim.dma().bds).filter(|bd| !busy.contains(bd)).collect();
        let freed = self.freed[usize::from(col)];
        if let Some((at, _)) = self.early {
            free.sort_by_key(|bd| freed[usize::from(*bd)] > at);
        }
        if chain.len() > free.len() {
            return Err(Error::ShimBdsInFlight { tile, asked: chain.len(), free: free.len() });
        }
        let ids = free[..chain.len()].to_vec();
        // Nothing changes before every BD of the chain is known to be legal.
        let mut written = Vec::with_capacity(chain.len());
        for (k, (bd, &id)) in chain.iter().zip(&ids).enumerate() {
            written.push((id, bd_ops(tile, channel, bd, id, ids.get(k + 1).copied())?));
        }
        for (id, ops) in written {
            match &mut self.early {
                Some((at, used)) if freed[usize::from(id)] <= *at => {
                    *used = true;
                    self.hoisted.entry(*at).or_default().extend(ops);
                }
                Some(_) | None => self.ops.extend(ops),
            }
        }
        for bd in chain {
            let end = bd.offset_bytes + u64::from(DMA_ALIGN_BYTES) * bd.pattern.end_words(runs);
            let extent = self.extents.entry(bd.arg).or_default();
            match channel.direction {
                Direction::S2mm => extent.written_bytes = extent.written_bytes.max(end),
                Direction::Mm2s => extent.read_bytes = extent.read_bytes.max(end),
            }
        }
        if token && self.named.insert((col, channel)) {
            self.ops.push(Op::MaskWrite {
                addr: tile.address(channel_control_offset(TileKind::Shim, channel)),
                value: ChannelControl::CONTROLLER_ID.put(u32::from(token::CONTROLLER_ID)),
                mask: CONTROLLER_ID_MASK,
            });
        }
        let push = QueuePush { token, runs: runs as u16, bd: ids[0] };
        let addr = tile.address(channel_queue_offset(TileKind::Shim, channel));
        self.ops.push(Op::Write { addr, value: push.encode(TileKind::Shim) });
        self.tokens.entry((col, channel)).or_default()[0] += u64::from(token);
        self.bds[usize::from(col)].extend(&ids);
        self.queues.entry((col, channel)).or_default().push_back(Task { bds: ids, token });
        Ok(())
    }

    /// Waits for the next token of a channel: its first task with a token, and all tasks before it, are done.
    pub fn wait(&mut self, col: u8, channel: impl Into<Channel>) -> Result<(), Error> {
        let channel = channel.into();
        let tile = self.shim(col, channel)?;
        let queue = self.queues.entry((col, channel)).or_default();
        let last = queue.iter().position(|task| task.token).ok_or(Error::NoToken { tile, channel })?;
        let over: Vec<u8> = queue.drain(..=last).flat_map(|task| task.bds).collect();
        self.tokens.entry((col, channel)).or_default()[1] += 1;
        let direction = match channel.direction {
            Direction::S2mm => txn::Direction::S2mm,
            Direction::Mm2s => txn::Direction::Mm2s,
        };
        self.ops.push(Op::wait(direction, col, tile.row.0, channel.index));
        for bd in over {
            self.bds[usize::from(col)].remove(&bd);
            self.freed[usize::from(col)][usize::from(bd)] = self.ops.len();
        }
        self.early = self.early.filter(|(_, used)| !used);
        Ok(())
    }

    /// From here on up to the first wait behind a task, BDs are written in this place if they are free: before what is waited for until then, which
    /// leaves the controller time. Tasks still start where they are queued.
    pub fn early(&mut self) -> EarlyPlace {
        self.early = Some((self.ops.len(), false));
        EarlyPlace(self.ops.len())
    }

    /// As [`Runtime::early`], in a place from there: again up to the first wait behind a task.
    pub fn early_again(&mut self, place: EarlyPlace) {
        self.early = Some((place.0, false));
    }

    /// Marks this place: [`Stream::marks`] will tell how many operations stand in front of it.
    pub fn mark(&mut self) {
        self.marks.push(self.ops.len());
    }

    /// Waits for every token that is outstanding, in order of column and channel.
    pub fn wait_all(&mut self) -> Result<(), Error> {
        let tokens = |queue: &VecDeque<Task>| queue.iter().filter(|task| task.token).count();
        let outstanding: Vec<_> = self.queues.iter().map(|(&key, queue)| (key, tokens(queue))).collect();
        for ((col, channel), tokens) in outstanding {
            for _ in 0..tokens {
                self.wait(col, channel)?;
            }
        }
        Ok(())
    }

    /// Waits for every outstanding token of what shims read.
    pub fn wait_read(&mut self) -> Result<(), Error> {
        self.wait_direction(Direction::Mm2s)
    }

    /// Waits for every outstanding token of what shims write.
    pub fn wait_written(&mut self) -> Result<(), Error> {
        self.wait_direction(Direction::S2mm)
    }

    fn wait_direction(&mut self, direction: Direction) -> Result<(), Error> {
        let tokens = |queue: &VecDeque<Task>| queue.iter().filter(|task| task.token).count();
        let those = self.queues.iter().filter(|((_, channel), _)| channel.direction == direction);
        let outstanding: Vec<_> = those.map(|(&key, queue)| (key, tokens(queue))).collect();
        outstanding
            .into_iter()
            .flat_map(|(key, tokens)| vec![key; tokens])
            .try_for_each(|(col, channel)| self.wait(col, channel))
    }

    /// Tasks of a channel that may still run.
    pub fn in_flight(&self, col: u8, channel: impl Into<Channel>) -> usize {
        self.queues.get(&(col, channel.into())).map_or(0, VecDeque::len)
    }

    /// BDs of a column's shim that a new task can take.
    pub fn free_bds(&self, col: u8) -> usize {
        let busy = self.bds.get(usize::from(col)).map_or(0, BTreeSet::len);
        usize::from(TileKind::Shim.dma().bds) - busy
    }

    /// Writes words into a tile, at a byte offset: parameters in data memory, or registers.
    pub fn write_words(&mut self, tile: Tile, offset: u32, words: &[u32]) -> Result<(), Error> {
        self.exists(tile)?;
        if words.is_empty() {
            return Err(Error::Nothing { tile, what: "words" });
        }
        let end = u64::from(offset) + u64::from(DMA_ALIGN_BYTES) * words.len() as u64;
        if !offset.is_multiple_of(DMA_ALIGN_BYTES) || end > u64::from(npu_container::address::TILE_BYTES) {
            return Err(Error::WriteOutsideTile { tile, offset, words: words.len() });
        }
        let addr = tile.address(offset);
        self.ops.push(match words {
            &[value] => Op::Write { addr, value },
            _ => Op::BlockWrite { addr, data: words.to_vec() },
        });
        Ok(())
    }

    /// Sets a lock of a tile. The write replaces the value, a release at the same time is lost.
    pub fn set_lock(&mut self, tile: Tile, lock: u8, value: u8) -> Result<(), Error> {
        self.exists(tile)?;
        let limit = tile.kind().dma().locks;
        if lock >= limit {
            return Err(Error::OutOfLocks { tile, what: format!("lock {lock}"), limit });
        }
        if value > crate::device::LOCK_MAX {
            let (what, asked) = (format!("lock {lock}"), u64::from(value));
            return Err(Error::LockValue { tile, what, asked, limit: crate::device::LOCK_MAX });
        }
        self.ops.push(Op::Write { addr: tile.address(lock_offset(tile.kind(), lock)), value: lock_word(value) });
        Ok(())
    }

    fn exists(&self, tile: Tile) -> Result<(), Error> {
        if tile.exists(self.columns) { Ok(()) } else { Err(Error::NoSuchTile { tile, columns: self.columns }) }
    }

    /// Checks that every token has been waited for and every output has arrived.
    pub fn outstanding(&self) -> Result<(), Error> {
        for (&(col, channel), queue) in &self.queues {
            let tile = Tile::shim(col);
            let tokens = queue.iter().filter(|task| task.token).count();
            if tokens > 0 {
                return Err(Error::TokensOutstanding { tile, channel, tokens });
            }
            if channel.direction == Direction::S2mm && !queue.is_empty() {
                return Err(Error::OutputNotAwaited { tile, channel });
            }
        }
        self.rings_awaited()
    }

    /// The stream, if nothing is outstanding.
    pub fn finish(self) -> Result<Stream, Error> {
        self.outstanding()?;
        let (ops, marks) = self.ordered(&self.marks);
        Ok(Stream { columns: self.columns, ops, extents: self.extents, marks })
    }

    /// The operations with those that are early in their places, and where these places of the others are then.
    fn ordered(&self, places: &[usize]) -> (Vec<Op>, Vec<usize>) {
        let before = |at: usize| self.hoisted.range(..at).map(|(_, ops)| ops.len()).sum::<usize>();
        let early = |at: usize| self.hoisted.get(&at).into_iter().flatten();
        let ops = self.ops.iter().enumerate().flat_map(|(at, op)| early(at).chain([op]).cloned()).collect();
        (ops, places.iter().map(|&at| at + before(at)).collect())
    }
}

/// BLOCKWRITE and DDR_PATCH of one BD.
fn bd_ops(tile: Tile, channel: Channel, bd: &ShimBd, id: u8, next: Option<u8>) -> Result<[Op; 2], Error> {
    let arg = bd.arg;
    if !bd.offset_bytes.is_multiple_of(u64::from(DMA_ALIGN_BYTES)) {
        return Err(Error::ArgMisaligned { arg, what: "offset", bytes: bd.offset_bytes });
    }
    let shape = bd.pattern.lower(TileKind::Shim, channel)?;
    let words = ShimBdWords {
        length_words: shape.length_words,
        steps: [shape.steps[0], shape.steps[1], shape.steps[2]],
        wraps: [shape.wraps[0], shape.wraps[1]],
        burst: BURST_256_BYTES,
        ax_cache: AX_CACHE,
        common: BdCommon { next, acquire: None, release: None, iteration: shape.iteration },
    };
    let offset = shim_bd_offset(id);
    let offset_bytes = bd.offset_bytes.saturating_add(u64::from(DMA_ALIGN_BYTES) * u64::from(shape.offset_words));
    let patch = Op::ddr_patch(tile.address(offset + BD_ADDRESS_OFFSET), arg, offset_bytes);
    let patch = patch.map_err(|_| {
        let folded = if arg < txn::FIRMWARE_TRANSLATED_ARGUMENTS { 0 } else { u64::from(txn::DDR_APERTURE) };
        Error::ArgOffset { arg, offset_bytes, limit: u64::from(u32::MAX) - folded }
    })?;
    Ok([Op::BlockWrite { addr: tile.address(offset), data: words.encode().to_vec() }, patch])
}

mod rings;

#[cfg(test)]
mod tests;
