//! Register writes: what each address of each tile kind means.
//!
//! Written but without effect here (accepted, kept for reads): events, event broadcast and groups, the choice of traced
//! events (starting a trace is refused), timers, performance counters, watchpoints, interrupt controllers, error-halt and debug events, PL interface configuration,
//! clock gating. Everything not listed in this file is a fault.
// SOURCE: AM025 register map (Xilinx/mlir-aie aie_registers_aie2.json); Xilinx/aie-rt xaiemlgbl_params.h.

use super::bd;
use super::fabric::{Fabric, dir_ix};
use super::index::{self, channels_in_row, locks_in_row};
use super::lock::MAX_VALUE;
use super::ports::TileKind;
use crate::fault::{Direction, Fault};
use crate::port::{COLUMNS, CORE_MEM_BYTES, PROGRAM_MEM_BYTES, ROWS, TileLoc};
use std::ops::RangeInclusive;

const COLUMN_SHIFT: u32 = 25;
const ROW_SHIFT: u32 = 20;
const OFFSET_MASK: u32 = (1 << ROW_SHIFT) - 1;

const CORE_CONTROL: u32 = 0x3_2000;
const CORE_STATUS: u32 = 0x3_2004;
const CORE_PC: u32 = 0x3_1100;
const CORE_PROCESSOR_BUS: u32 = 0x3_2038;
const CORE_CASCADE: u32 = 0x3_6060;
const PROGRAM_BASE: u32 = 0x2_0000;
const SHIM_MUX: u32 = 0x1_F000;
const SHIM_DEMUX: u32 = 0x1_F004;
const MEM_MEMORY_CONTROL: u32 = 0x9_6048;

const CORE_IGNORED: &[RangeInclusive<u32>] = &[
    0x1_1000..=0x1_108c, // memory module performance counters
    0x1_4000..=0x1_451c, // memory module events, trace, timer
    0x3_1500..=0x3_158c, // core module performance counters
    0x3_2008..=0x3_200c, // enable / reset events
    0x3_2018..=0x3_2034, // debug stall control, PC events, error halt
    0x3_4000..=0x3_4520, // core module events, trace, timer
    0x3_ff00..=0x3_ff38, // switch event selection, parity, clock gating
];
const MEM_IGNORED: &[RangeInclusive<u32>] = &[
    0x9_1000..=0x9_108c,
    0x9_4000..=0x9_4520,
    0xa_06a0..=0xa_06a0, // DMA event channel selection
    0xb_0f00..=0xb_0f38,
];
const SHIM_IGNORED: &[RangeInclusive<u32>] = &[
    0x1_5000..=0x1_5010, // second-level interrupt controller
    0x3_1000..=0x3_1084,
    0x3_3000..=0x3_3008, // PL interface
    0x3_4000..=0x3_4514,
    0x3_5000..=0x3_5050, // first-level interrupt controller
    0x3_ff00..=0x3_ff38,
];

/// What a register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Register {
    DataMemory(u32),
    ProgramMemory(u32),
    Lock(u8),
    Bd { bd: u8, word: usize },
    ChannelControl(Direction, u8),
    ChannelQueue(Direction, u8),
    ChannelStatus(Direction, u8),
    Master(u8),
    Slave(u8),
    Slot { slave: u8, slot: u8 },
    CoreControl,
    CoreStatus,
    CorePc,
    ProcessorBus,
    Cascade,
    Mux,
    Demux,
    MemoryControl,
    TraceControl,
    DeterministicMerge,
    Ignored,
}

struct Layout {
    bd: u32,
    lock: u32,
    switch: u32,
    /// Control of S2MM 0 and of MM2S 0; the queue follows each at +4, the next channel at +8.
    channel: [u32; 2],
    status: [u32; 2],
    trace: &'static [u32],
    ignored: &'static [RangeInclusive<u32>],
}

const fn layout(kind: TileKind) -> Layout {
    match kind {
        TileKind::Core => Layout {
            bd: 0x1_D000,
            lock: 0x1_F000,
            switch: 0x3_F000,
            channel: [0x1_DE00, 0x1_DE10],
            status: [0x1_DF00, 0x1_DF10],
            trace: &[0x1_40D0, 0x3_40D0],
            ignored: CORE_IGNORED,
        },
        TileKind::Mem => Layout {
            bd: 0xA_0000,
            lock: 0xC_0000,
            switch: 0xB_0000,
            channel: [0xA_0600, 0xA_0630],
            status: [0xA_0660, 0xA_0680],
            trace: &[0x9_40D0],
            ignored: MEM_IGNORED,
        },
        TileKind::Shim => Layout {
            bd: 0x1_D000,
            lock: 0x1_4000,
            switch: 0x3_F000,
            channel: [0x1_D200, 0x1_D210],
            status: [0x1_D220, 0x1_D228],
            trace: &[0x3_40D0],
            ignored: SHIM_IGNORED,
        },
    }
}

fn decode(row: u8, offset: u32) -> Option<Register> {
    let kind = TileKind::of_row(row);
    let l = layout(kind);
    let within = |base: u32, bytes: u32| (offset >= base && offset < base + bytes).then(|| offset - base);
    match kind {
        TileKind::Core => {
            if let Some(at) = within(0, CORE_MEM_BYTES as u32) {
                return Some(Register::DataMemory(at));
            }
            if let Some(at) = within(PROGRAM_BASE, PROGRAM_MEM_BYTES as u32) {
                return Some(Register::ProgramMemory(at));
            }
            match offset {
                CORE_CONTROL => return Some(Register::CoreControl),
                CORE_STATUS => return Some(Register::CoreStatus),
                CORE_PC => return Some(Register::CorePc),
                CORE_PROCESSOR_BUS => return Some(Register::ProcessorBus),
                CORE_CASCADE => return Some(Register::Cascade),
                _ => {}
            }
        }
        TileKind::Mem => {
            if let Some(at) = within(0, super::fabric::MEM_TILE_BYTES as u32) {
                return Some(Register::DataMemory(at));
            }
            if offset == MEM_MEMORY_CONTROL {
                return Some(Register::MemoryControl);
            }
        }
        TileKind::Shim => match offset {
            SHIM_MUX => return Some(Register::Mux),
            SHIM_DEMUX => return Some(Register::Demux),
            _ => {}
        },
    }
    if let Some(at) = within(l.lock, u32::from(locks_in_row(row)) * 0x10) {
        return (at % 0x10 == 0).then_some(Register::Lock((at / 0x10) as u8));
    }
    if let Some(at) = within(l.bd, u32::from(bd::count(kind)) * 0x20) {
        let word = (at % 0x20 / 4) as usize;
        return (word < bd::words(kind)).then_some(Register::Bd { bd: (at / 0x20) as u8, word });
    }
    for dir in [Direction::S2mm, Direction::Mm2s] {
        let channels = u32::from(channels_in_row(row));
        if let Some(at) = within(l.channel[dir_ix(dir)], channels * 8) {
            let c = (at / 8) as u8;
            return Some(if at % 8 == 0 { Register::ChannelControl(dir, c) } else { Register::ChannelQueue(dir, c) });
        }
        if let Some(at) = within(l.status[dir_ix(dir)], channels * 4) {
            return Some(Register::ChannelStatus(dir, (at / 4) as u8));
        }
    }
    if let Some(at) = within(l.switch, 0x100) {
        return Some(Register::Master((at / 4) as u8));
    }
    if let Some(at) = within(l.switch + 0x100, 0x100) {
        return Some(Register::Slave((at / 4) as u8));
    }
    if let Some(at) = within(l.switch + 0x200, 0x200) {
        return Some(Register::Slot { slave: (at / 0x10) as u8, slot: (at % 0x10 / 4) as u8 });
    }
    if within(l.switch + 0x800, 0x1c).is_some() {
        return Some(Register::DeterministicMerge);
    }
    if l.trace.contains(&offset) {
        return Some(Register::TraceControl);
    }
    l.ignored.iter().any(|r| r.contains(&offset)).then_some(Register::Ignored)
}

/// Tile and offset of an array address.
pub fn split(addr: u64) -> Result<(TileLoc, u32), Fault> {
    let fault = Fault::ArrayAddress { addr };
    let Ok(a) = u32::try_from(addr) else { return Err(fault) };
    let (col, row) = (a >> COLUMN_SHIFT, a >> ROW_SHIFT & 0x1f);
    if a % 4 != 0 || col >= u32::from(COLUMNS) || row >= u32::from(ROWS) {
        return Err(fault);
    }
    Ok((TileLoc::new(col as u8, row as u8), a & OFFSET_MASK))
}

/// Channel whose task queue is at this address.
pub fn queue_at(addr: u64) -> Option<(Direction, usize)> {
    let (tile, offset) = split(addr).ok()?;
    match decode(tile.row, offset)? {
        Register::ChannelQueue(dir, c) => Some((dir, index::channel(dir, tile, c))),
        _ => None,
    }
}

/// Whether the address is word 1 of a shim BD.
pub fn is_shim_bd_address_word(addr: u64) -> bool {
    split(addr).is_ok_and(|(tile, offset)| {
        tile.row == 0 && matches!(decode(tile.row, offset), Some(Register::Bd { word: 1, .. }))
    })
}

impl Fabric {
    /// Present value of a register, as a controller or a masked write sees it.
    pub fn read_register(&self, addr: u64) -> Result<u32, Fault> {
        let (tile, offset) = split(addr)?;
        let Some(register) = decode(tile.row, offset) else {
            return Err(Fault::UnmodelledRead { tile, offset });
        };
        let shadow = || self.shadow.get(&(addr as u32)).copied().unwrap_or(0);
        Ok(match register {
            Register::DataMemory(at) => match TileKind::of_row(tile.row) {
                TileKind::Mem => self.mem_tiles[usize::from(tile.col)].word(at as usize).0,
                TileKind::Core | TileKind::Shim => self.core_mem[index::core(tile)].word(at as usize).0,
            },
            Register::ProgramMemory(at) => {
                let p = &self.cores[index::core(tile)].program[at as usize..];
                u32::from_le_bytes([p[0], p[1], p[2], p[3]])
            }
            Register::Lock(l) => self.locks[index::lock(tile, l)].value.into(),
            Register::Bd { bd, word } => self.bds[index::tile(tile)].words[usize::from(bd)][word],
            Register::ChannelStatus(dir, c) => self.channel_status(dir, index::channel(dir, tile, c)),
            Register::CoreStatus => {
                let c = &self.cores[index::core(tile)];
                u32::from(c.enable) | u32::from(c.reset) << 1 | u32::from(c.done) << 20
            }
            Register::CorePc => self.cores[index::core(tile)].pc,
            Register::CoreControl => {
                let c = &self.cores[index::core(tile)];
                u32::from(c.enable) | u32::from(c.reset) << 1
            }
            Register::ChannelQueue(..) => return Err(Fault::UnmodelledRead { tile, offset }),
            Register::ChannelControl(..)
            | Register::Master(_)
            | Register::Slave(_)
            | Register::Slot { .. }
            | Register::ProcessorBus
            | Register::Cascade
            | Register::Mux
            | Register::Demux
            | Register::MemoryControl
            | Register::TraceControl
            | Register::DeterministicMerge
            | Register::Ignored => shadow(),
        })
    }

    // SOURCE: AM025 DMA status registers: 27:24 (mem 29:24) BD, 22:20 queue size, 19 running, 2 stalled on acquire.
    fn channel_status(&self, dir: Direction, c: usize) -> u32 {
        let ch = &self.channels[dir_ix(dir)][c];
        let bd = ch.current.as_ref().map_or(0, |cur| u32::from(cur.bd));
        let queued = ch.queue.len().saturating_sub(1) as u32;
        let running = ch.is_busy();
        let locked = matches!(ch.phase, super::channel::Phase::Lock(true));
        bd << 24 | queued << 20 | u32::from(running) << 19 | u32::from(locked) << 2 | if running { 2 } else { 0 }
    }

    /// `reg = (reg & !mask) | (value & mask)`.
    pub fn mask_write(&mut self, addr: u64, mask: u32, value: u32) -> Result<(), Fault> {
        let old = self.read_register(addr)?;
        self.write_register(addr, old & !mask | value & mask)
    }

    /// Writes one register or memory word.
    pub fn write_register(&mut self, addr: u64, value: u32) -> Result<(), Fault> {
        let (tile, offset) = split(addr)?;
        let Some(register) = decode(tile.row, offset) else {
            return Err(Fault::UnmodelledRegister { tile, offset, value });
        };
        let feature = |feature| Err(Fault::UnmodelledFeature { tile, offset, value, feature });
        self.progress += 1;
        match register {
            Register::DataMemory(at) => {
                let memory = match TileKind::of_row(tile.row) {
                    TileKind::Mem => &mut self.mem_tiles[usize::from(tile.col)],
                    TileKind::Core | TileKind::Shim => &mut self.core_mem[index::core(tile)],
                };
                memory.write(at as usize, &value.to_le_bytes());
                return Ok(());
            }
            Register::ProgramMemory(at) => {
                let core = index::core(tile);
                let c = &mut self.cores[core];
                if c.enable && !c.reset {
                    return Err(Fault::ProgramWriteWhileRunning { tile, offset });
                }
                c.program[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
                c.program_writes.push((at, value));
                self.core_dirty |= 1 << core;
                return Ok(());
            }
            Register::Lock(l) => {
                if value > MAX_VALUE as u32 {
                    return Err(Fault::LockRange { tile, lock: l, value: value as i32 });
                }
                let lock = index::lock(tile, l);
                self.locks[lock].value = value as u8;
                self.lock_changed(lock);
                return Ok(());
            }
            Register::Bd { bd, word } => return self.write_bd(tile, offset, bd, word, value),
            Register::ChannelQueue(dir, c) => {
                // SOURCE: AM025 Start_Queue: 31 token, 23:16 repeat count, BD id 3:0 (mem tile 5:0).
                let bd_mask = if TileKind::of_row(tile.row) == TileKind::Mem { 0x3f } else { 0xf };
                let known = 1 << 31 | 0xff << 16 | bd_mask;
                if value & !known != 0 {
                    return feature("reserved task queue bits");
                }
                let runs = (value >> 16 & 0xff) as u16 + 1;
                let channel = index::channel(dir, tile, c);
                return self.push_task(dir, channel, (value & bd_mask) as u8, runs, value >> 31 != 0);
            }
            Register::ChannelControl(dir, c) => {
                // SOURCE: AM025 Ctrl registers. Core and mem: bit 1 reset; shim: bits 2:1 pause.
                if dir == Direction::S2mm && value >> 3 & 1 != 0 {
                    return feature("out-of-order S2MM");
                }
                if value >> 4 & 1 != 0 {
                    return feature("(de)compression");
                }
                if value >> 16 & 3 != 0 {
                    return feature("finish on TLAST");
                }
                let channel = index::channel(dir, tile, c);
                if tile.row == 0 {
                    if value & 6 != 0 {
                        return feature("pausing a shim channel");
                    }
                } else {
                    let reset = value & 2 != 0;
                    if reset != self.channels[dir_ix(dir)][channel].reset {
                        self.reset_channel(dir, channel, reset)?;
                    }
                }
                self.channels[dir_ix(dir)][channel].controller = (value >> 8) as u8;
            }
            Register::Master(i) => {
                self.network.switch_mut(tile).set_master(tile, i, value)?;
                self.network_dirty = true;
            }
            Register::Slave(i) => {
                self.network.switch_mut(tile).set_slave(tile, i, value)?;
                self.network_dirty = true;
            }
            Register::Slot { slave, slot } => {
                self.network.switch_mut(tile).set_slot(tile, slave, slot, value)?;
                self.network_dirty = true;
            }
            Register::Mux => {
                self.network.switch_mut(tile).mux = value;
                self.network_dirty = true;
            }
            Register::Demux => {
                self.network.switch_mut(tile).demux = value;
                self.network_dirty = true;
            }
            Register::CoreControl => {
                let core = index::core(tile);
                let c = &mut self.cores[core];
                c.enable = value & 1 != 0;
                c.reset = value & 2 != 0;
                c.was_reset |= c.reset;
                if c.enable {
                    c.done = false;
                }
                self.core_dirty |= 1 << core;
            }
            // Accepted: whether a core program uses the bus is seen (and refused) at its instruction.
            Register::ProcessorBus => {}
            Register::Cascade => self.cores[index::core(tile)].cascade = value & 3,
            Register::MemoryControl => {
                if value & 1 != 0 {
                    return feature("zeroising a mem tile");
                }
                if value & 2 == 0 {
                    return feature("mem tile without bank interleave");
                }
            }
            // SOURCE: AM025 Trace_Control0: start and stop events; 0 is "never".
            Register::TraceControl if value != 0 => return feature("event trace"),
            // SOURCE: AM025 Stream_Switch_Deterministic_Merge: slaves, packet counts and enable of arbiters 0 and 1.
            Register::DeterministicMerge if value != 0 => return feature("deterministic merge"),
            Register::TraceControl | Register::DeterministicMerge => {}
            Register::ChannelStatus(..) | Register::CoreStatus | Register::CorePc => {
                return Err(Fault::UnmodelledRegister { tile, offset, value });
            }
            Register::Ignored => {}
        }
        self.shadow.insert(addr as u32, value);
        Ok(())
    }

    fn write_bd(&mut self, tile: TileLoc, offset: u32, bd: u8, word: usize, value: u32) -> Result<(), Fault> {
        let kind = TileKind::of_row(tile.row);
        let file = &mut self.bds[index::tile(tile)];
        if file.users[usize::from(bd)] > 0 {
            let channel = self.bd_user(tile, bd);
            return Err(match channel {
                Some(channel) => Fault::BdInUse { tile, bd, offset, channel },
                None => Fault::UnmodelledFeature { tile, offset, value, feature: "a BD in use by no channel" },
            });
        }
        file.words[usize::from(bd)][word] = value;
        if word == bd::iteration_word(kind) {
            file.iteration[usize::from(bd)] = bd::iteration_current(kind, value);
        }
        Ok(())
    }

    fn bd_user(&self, tile: TileLoc, bd: u8) -> Option<crate::fault::ChannelId> {
        self.channels
            .iter()
            .flat_map(|channels| channels.iter())
            .find(|ch| ch.id.tile == tile && ch.queue.iter().any(|t| t.bds >> bd & 1 != 0))
            .map(|ch| ch.id)
    }

    /// Consecutive words.
    pub fn write_block(&mut self, addr: u64, data: &[u32]) -> Result<(), Fault> {
        let (tile, offset) = split(addr)?;
        if u64::from(offset) + 4 * data.len() as u64 > 1 << ROW_SHIFT {
            return Err(Fault::ArrayAddress { addr: addr + 4 * data.len() as u64 });
        }
        let _ = tile;
        data.iter().zip(0u64..).try_for_each(|(&word, i)| self.write_register(addr + 4 * i, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_the_documents_decode() {
        use Direction::*;
        use Register::*;
        let vectors = [
            (0, 0x1F000, Mux),
            (0, 0x1D204, ChannelQueue(S2mm, 0)),
            (0, 0x1D21C, ChannelQueue(Mm2s, 1)),
            (0, 0x1D228, ChannelStatus(Mm2s, 0)),
            (0, 0x1D064, Bd { bd: 3, word: 1 }),
            (0, 0x3F008, Master(2)),
            (0, 0x3F13C, Slave(15)),
            (0, 0x3F2F0, Slot { slave: 15, slot: 0 }),
            (0, 0x14030, Lock(3)),
            (1, 0xA0630, ChannelControl(Mm2s, 0)),
            (1, 0xA065C, ChannelQueue(Mm2s, 5)),
            (1, 0xC03F0, Lock(63)),
            (1, 0xB0120, Slave(8)),
            (1, 0x7FFFC, DataMemory(0x7FFFC)),
            (2, 0x1DE14, ChannelQueue(Mm2s, 0)),
            (2, 0x1D014, Bd { bd: 0, word: 5 }),
            (2, 0x32000, CoreControl),
            (2, 0x36060, Cascade),
            (2, 0x23FFC, ProgramMemory(0x3FFC)),
        ];
        for (row, offset, register) in vectors {
            assert_eq!(decode(row, offset), Some(register), "{row} {offset:#x}");
        }
        // A core-tile BD has six words only; the shim has no data memory.
        assert_eq!(decode(2, 0x1D018), None);
        assert_eq!(decode(0, 0x0), None);
    }
}
