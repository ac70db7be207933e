//! Lowers a design to configuration commands.
//!
//! ```text
//! 1  per compute tile:  core disabled, DMA channels reset, program, DMA channels released
//!    per mem tile:      used DMA channels reset and released
//! 2  per compute tile:  core reset pulse
//!    locks:             all of every used tile to 0, then the initial values
//!    buffers:           initial contents
//!    all tiles:         BDs, then one queue push for every channel
//!    per tile:          switch connections, token route
//!    per shim:          mux, demux
//!    per compute tile:  cascade directions
//! 3  per compute tile:  core enable
//! ```
// SOURCE: Xilinx/mlir-aie lib/Targets/AIETargetCDODirect.cpp, lib/Targets/AIERT.cpp (order of phases; they reset compute
// tile channels only). Xilinx/aie-rt driver/src/dma/xaie_dma.c XAie_DmaChannelReset takes mem tiles the same way and
// refuses shim tiles.

use std::collections::{BTreeMap, BTreeSet};

use npu_container::cdo::Command;

use super::{Chain, Configuration, Design, Resources, Ring, Step};
use crate::device::{
    Channel, DMA_ALIGN_BYTES, Direction, MEM_DMA_OWN_BASE, MEM_DMA_OWN_LOCK_BASE, PROGRAM_MEMORY_OFFSET, Tile, TileKind,
};
use crate::error::Error;
use crate::regs::{
    BdCommon, ChannelControl, CoreBd, LockAcquire, LockRelease, MasterWord, MemBd, QueuePush, SlaveWord, SlotWord,
    cascade, channel_control_offset, channel_queue_offset, core_bd_offset, core_control, lock_offset, lock_word,
    master_offset, mem_bd_offset, shim_demux, shim_mux, slave_offset, slot_offset,
};
use crate::route::{self, Bundle, PortEnd, Routes, SwitchPort, master_index, slave_index, token};

/// Commands in the making.
#[derive(Default)]
struct Commands(Vec<Command>);

impl Commands {
    fn write(&mut self, tile: Tile, offset: u32, value: u32) {
        self.0.push(Command::Write { addr: tile.address(offset), value });
    }

    fn mask_write(&mut self, tile: Tile, offset: u32, mask: u32, value: u32) {
        self.0.push(Command::MaskWrite { addr: tile.address(offset), mask, value });
    }

    fn block(&mut self, tile: Tile, offset: u32, data: Vec<u32>) {
        self.0.push(Command::DmaWrite { addr: tile.address(offset), data });
    }
}

impl Design {
    /// Checks that the design is complete, routes its flows and lowers it to commands.
    pub fn finish(&self) -> Result<Configuration, Error> {
        self.check_rings()?;
        self.check_channels()?;
        let routes = route::route(&self.flows, self.columns, &self.tokens)?;
        routes.check()?;
        let cores = self.core_tiles();
        let mut out = Commands::default();

        for &tile in &cores {
            out.mask_write(tile, core_control::OFFSET, core_control::ENABLE.mask(), 0);
            let channels = all_channels(tile.kind());
            reset_channels(&mut out, tile, &channels, true);
            if let Some(program) = self.programs.get(&tile) {
                out.block(tile, PROGRAM_MEMORY_OFFSET, program.clone());
            }
            reset_channels(&mut out, tile, &channels, false);
        }
        for (tile, channels) in self.mem_channels() {
            reset_channels(&mut out, tile, &channels, true);
            reset_channels(&mut out, tile, &channels, false);
        }
        for &tile in &cores {
            out.mask_write(tile, core_control::OFFSET, core_control::RESET.mask(), core_control::RESET.put(1));
            out.mask_write(tile, core_control::OFFSET, core_control::RESET.mask(), 0);
        }
        self.emit_locks(&mut out, &cores);
        for (&(tile, offset), words) in &self.data {
            out.block(tile, offset, words.clone());
        }
        self.emit_dma(&mut out);
        emit_routes(&mut out, &routes);
        self.emit_token_routes(&mut out);
        self.emit_shim_ports(&mut out);
        self.emit_cascades(&mut out);
        for &tile in self.programs.keys() {
            out.mask_write(tile, core_control::OFFSET, core_control::ENABLE.mask(), core_control::ENABLE.put(1));
        }
        let (resources, queued) = (self.resources(&routes), self.queued_rings());
        Ok(Configuration { columns: self.columns, commands: out.0, routes, resources, queued, design: self.clone() })
    }

    fn check_rings(&self) -> Result<(), Error> {
        for ring in &self.rings {
            for (side, present) in [("writer", ring.writer.is_some()), ("reader", ring.reader.is_some())] {
                if !present {
                    return Err(Error::RingSideMissing { tile: ring.tile, ring: ring.name.clone(), side });
                }
            }
        }
        Ok(())
    }

    /// Every channel of the array that has a ring is connected and the other way round; shim channels have no rings.
    fn check_channels(&self) -> Result<(), Error> {
        let connected: BTreeSet<(Tile, Channel)> = self
            .connected
            .iter()
            .filter(|port| port.tile.kind() != TileKind::Shim)
            .filter_map(|port| match port.end {
                PortEnd::Dma(channel) => Some((port.tile, channel)),
                PortEnd::CoreIn | PortEnd::CoreOut => None,
            })
            .collect();
        let ringed: BTreeSet<(Tile, Channel)> = self.chains.keys().copied().collect();
        match connected.symmetric_difference(&ringed).next() {
            Some(&(tile, channel)) => {
                Err(Error::ChannelLoose { tile, channel, connected: connected.contains(&(tile, channel)) })
            }
            None => Ok(()),
        }
    }

    /// Compute tiles that hold a program, a buffer or a lock.
    fn core_tiles(&self) -> BTreeSet<Tile> {
        let held = self.programs.keys().chain(self.memories.keys()).chain(self.locks.keys());
        held.copied().filter(|tile| tile.kind() == TileKind::Core).collect()
    }

    fn mem_channels(&self) -> BTreeMap<Tile, Vec<Channel>> {
        let mut out: BTreeMap<Tile, Vec<Channel>> = BTreeMap::new();
        for &(tile, channel) in self.chains.keys().filter(|(tile, _)| tile.kind() == TileKind::Mem) {
            out.entry(tile).or_default().push(channel);
        }
        out
    }

    fn emit_locks(&self, out: &mut Commands, cores: &BTreeSet<Tile>) {
        let tiles: BTreeSet<Tile> = cores.iter().chain(self.locks.keys()).copied().collect();
        for &tile in &tiles {
            for lock in 0..tile.kind().dma().locks {
                out.write(tile, lock_offset(tile.kind(), lock), 0);
            }
        }
        let mut initial: BTreeMap<(Tile, u8), u8> = BTreeMap::new();
        for (&tile, locks) in &self.locks {
            for (lock, value) in locks.iter().enumerate() {
                initial.insert((tile, lock as u8), *value);
            }
        }
        for ring in &self.rings {
            initial.insert((ring.tile, ring.prod), (ring.unit() * ring.slots.len()) as u8);
        }
        for ((tile, lock), value) in initial {
            out.write(tile, lock_offset(tile.kind(), lock), lock_word(value));
        }
    }

    fn emit_dma(&self, out: &mut Commands) {
        for (&(tile, channel), chain) in &self.chains {
            for (index, step) in chain.steps.iter().enumerate() {
                let next = chain.next(index);
                let ring = &self.rings[step.ring];
                match tile.kind() {
                    TileKind::Core => {
                        let bd = core_bd(ring, step, channel.direction, next);
                        out.block(tile, core_bd_offset(step.bd), bd.encode().to_vec());
                    }
                    TileKind::Mem => {
                        let bd = mem_bd(ring, step, channel.direction, next);
                        out.block(tile, mem_bd_offset(step.bd), bd.encode().to_vec());
                    }
                    TileKind::Shim => unreachable!("rings live in compute and mem tiles"),
                }
            }
        }
        for (&(tile, channel), Chain { steps, .. }) in self.chains.iter().filter(|(_, chain)| chain.endless) {
            let push = QueuePush { token: false, runs: 1, bd: steps[0].bd };
            out.write(tile, channel_queue_offset(tile.kind(), channel), push.encode(tile.kind()));
        }
    }

    fn emit_token_routes(&self, out: &mut Commands) {
        let kind = TileKind::Shim;
        let slave = slave_index(kind, SwitchPort { bundle: Bundle::TileCtrl, index: 0 }).expect("control slave");
        let master = master_index(kind, SwitchPort { bundle: Bundle::South, index: 0 }).expect("South 0");
        for &col in &self.tokens {
            let tile = Tile::shim(col);
            let sink = MasterWord::Packet { arbiter: token::ARBITER, msels: 1 << token::MSEL, drop_header: false };
            out.write(tile, master_offset(kind, master), sink.encode());
            out.write(tile, slave_offset(kind, slave), SlaveWord { packet: true }.encode());
            let slot =
                SlotWord { id: token::CONTROLLER_ID, mask: token::ID_MASK, msel: token::MSEL, arbiter: token::ARBITER };
            out.write(tile, slot_offset(kind, slave, 0), slot.encode());
        }
    }

    /// Mux and demux of the shim DMA channels that flows use.
    fn emit_shim_ports(&self, out: &mut Commands) {
        for port in self.connected.iter().filter(|port| port.tile.kind() == TileKind::Shim) {
            let PortEnd::Dma(channel) = port.end else { continue };
            let (offset, (mask, value)) = match channel.direction {
                Direction::Mm2s => (shim_mux::OFFSET, shim_mux::select(channel)),
                Direction::S2mm => (shim_demux::OFFSET, shim_demux::select(channel)),
            };
            out.mask_write(port.tile, offset, mask, value);
        }
    }

    fn emit_cascades(&self, out: &mut Commands) {
        let mut words: BTreeMap<Tile, (u32, u32)> = BTreeMap::new();
        for &(from, to) in &self.cascades {
            let sideways = u32::from(from.row == to.row);
            for (tile, field) in [(from, cascade::OUTPUT), (to, cascade::INPUT)] {
                let (mask, value) = words.entry(tile).or_default();
                *mask |= field.mask();
                *value |= field.put(sideways);
            }
        }
        for (tile, (mask, value)) in words {
            out.mask_write(tile, cascade::OFFSET, mask, value);
        }
    }

    fn resources(&self, routes: &Routes) -> BTreeMap<Tile, Resources> {
        let mut out: BTreeMap<Tile, Resources> = BTreeMap::new();
        for (&tile, memory) in &self.memories {
            out.entry(tile).or_default().memory_bytes = memory.used_bytes();
        }
        for (&tile, program) in &self.programs {
            out.entry(tile).or_default().program_bytes = program.len() as u32 * DMA_ALIGN_BYTES;
        }
        for (&tile, bds) in &self.bds {
            out.entry(tile).or_default().bds = bds.len();
        }
        for (&tile, locks) in &self.locks {
            out.entry(tile).or_default().locks = locks.len();
        }
        for &(tile, _) in self.chains.keys() {
            out.entry(tile).or_default().channels += 1;
        }
        for connection in &routes.connections {
            out.entry(connection.tile).or_default().masters += 1;
        }
        out
    }
}

fn all_channels(kind: TileKind) -> Vec<Channel> {
    [Direction::S2mm, Direction::Mm2s]
        .into_iter()
        .flat_map(|direction| (0..kind.dma().channels).map(move |index| Channel { direction, index }))
        .collect()
}

fn reset_channels(out: &mut Commands, tile: Tile, channels: &[Channel], reset: bool) {
    let field = ChannelControl::RESET;
    for &channel in channels {
        let offset = channel_control_offset(tile.kind(), channel);
        out.mask_write(tile, offset, field.mask(), field.put(u32::from(reset)));
    }
}

/// Locks and link of one BD of a chain: credits are unit / parts.
fn common(ring: &Ring, step: &Step, direction: Direction, next: Option<u8>, lock_base: u8) -> BdCommon {
    let (side, acquired, released) = match direction {
        Direction::S2mm => (&ring.writer, ring.prod, ring.cons),
        Direction::Mm2s => (&ring.reader, ring.cons, ring.prod),
    };
    let parts = side.as_ref().expect("a chain is a side of its rings").parts;
    let credits = (ring.unit() / parts) as i8;
    BdCommon {
        next,
        acquire: Some(LockAcquire { id: lock_base + acquired, value: -credits }),
        release: Some(LockRelease { id: lock_base + released, value: credits }),
        iteration: step.shape.iteration,
    }
}

fn core_bd(ring: &Ring, step: &Step, direction: Direction, next: Option<u8>) -> CoreBd {
    let shape = &step.shape;
    CoreBd {
        base_words: ring.slots[step.slot] / DMA_ALIGN_BYTES + shape.offset_words,
        length_words: shape.length_words,
        steps: [shape.steps[0], shape.steps[1], shape.steps[2]],
        wraps: [shape.wraps[0], shape.wraps[1]],
        common: common(ring, step, direction, next, 0),
    }
}

pub(super) fn mem_bd(ring: &Ring, step: &Step, direction: Direction, next: Option<u8>) -> MemBd {
    let shape = &step.shape;
    MemBd {
        base_words: (MEM_DMA_OWN_BASE + ring.slots[step.slot]) / DMA_ALIGN_BYTES + shape.offset_words,
        length_words: shape.length_words,
        steps: shape.steps,
        wraps: shape.wraps,
        pad: shape.pad,
        common: common(ring, step, direction, next, MEM_DMA_OWN_LOCK_BASE),
    }
}

/// Circuit connections: the master with its slave's index, then the slave.
fn emit_routes(out: &mut Commands, routes: &Routes) {
    let mut slaves = BTreeSet::new();
    for c in &routes.connections {
        let kind = c.tile.kind();
        out.write(c.tile, master_offset(kind, c.master), MasterWord::Circuit { slave: c.slave }.encode());
        if slaves.insert((c.tile, c.slave)) {
            out.write(c.tile, slave_offset(kind, c.slave), SlaveWord { packet: false }.encode());
        }
    }
}
