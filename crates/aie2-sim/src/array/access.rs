//! The memory side of a DMA channel: one access to core memory, a mem tile or DDR.

use super::fabric::{Fabric, MEM_TILE_BYTES, dir_ix};
use super::flow::{LINE, Word};
use super::index;
use super::memory::Memory;
use super::ports::TileKind;
use crate::fault::{Direction, Fault};
use crate::port::{COLUMNS, CORE_MEM_BYTES, MEM_ROW, TileLoc, physical_banks};

/// Mem tile channels 0..3 reach the neighbours.
// SOURCE: AM020 ch. 5; Xilinx/mlir-aie MemTileDMAOp verifier.
pub(super) const NEIGHBOUR_CHANNELS: u8 = 4;

/// What came of an access.
pub(super) enum Access {
    Done,
    /// Nothing before this cycle.
    Retry(u64),
}

impl Fabric {
    /// One memory access of a channel: reads into or writes from the first `n` of `words`.
    #[inline(always)]
    pub(super) fn access(
        &mut self,
        dir: Direction,
        c: usize,
        addr: u64,
        words: &mut [Word; LINE as usize],
        n: usize,
    ) -> Result<Access, Box<Fault>> {
        match self.channels[dir_ix(dir)][c].kind {
            TileKind::Core => self.access_core(dir, c, addr, words, n),
            TileKind::Mem => self.access_mem(dir, c, addr, words, n),
            TileKind::Shim => self.access_ddr(dir, c, addr, words, n),
        }
    }

    #[cold]
    fn dma_address_fault(&self, dir: Direction, c: usize, addr: u64, why: &'static str) -> Box<Fault> {
        let ch = &self.channels[dir_ix(dir)][c];
        let (bd, word) = ch.current.as_ref().map_or((0, 0), |cur| (cur.bd, cur.walker.done()));
        Box::new(Fault::DmaAddress { channel: ch.id, bd, word, addr, why })
    }

    /// Takes memory banks for this cycle against other DMA channels of the tile.
    #[inline]
    fn take_banks(&mut self, tile: usize, banks: u16) -> bool {
        let (stamp, mask) = &mut self.dma_banks[tile];
        if *stamp != self.now + 1 {
            (*stamp, *mask) = (self.now + 1, 0);
        }
        if *mask & banks != 0 {
            return false;
        }
        *mask |= banks;
        true
    }

    #[inline(always)]
    fn access_core(
        &mut self,
        dir: Direction,
        c: usize,
        addr: u64,
        words: &mut [Word; LINE as usize],
        n: usize,
    ) -> Result<Access, Box<Fault>> {
        if addr + 4 * n as u64 > CORE_MEM_BYTES as u64 {
            return Err(self.dma_address_fault(dir, c, addr, "beyond the 64 KiB of the tile"));
        }
        let patience = self.timing.dma_bank_patience;
        let ch = &mut self.channels[dir_ix(dir)][c];
        let (tile, core) = (ch.tile, index::core(ch.id.tile));
        // The access lies in one line.
        let bank = physical_banks(addr as u32, 1);
        let core_uses_it = self.core_banks[core].at(self.now) & bank != 0;
        if core_uses_it && !ch.urgent && ch.losses < patience {
            // Cycles the core has run past are settled: the loser knows how often it will lose in a row.
            let (trace, mut at) = (&self.core_banks[core], self.now);
            loop {
                ch.losses += 1;
                at += 1;
                if at >= ch.calm_until || ch.losses >= patience || trace.at(at) & bank == 0 {
                    return Ok(Access::Retry(at));
                }
            }
        }
        if !self.take_banks(tile, bank.into()) {
            return Ok(Access::Retry(self.now + 1));
        }
        if core_uses_it {
            self.core_penalty[core] += 1;
        }
        self.channels[dir_ix(dir)][c].losses = 0;
        transfer(&mut self.core_mem[core], dir, addr as usize, words, n);
        Ok(Access::Done)
    }

    #[inline(always)]
    fn access_mem(
        &mut self,
        dir: Direction,
        c: usize,
        addr: u64,
        words: &mut [Word; LINE as usize],
        n: usize,
    ) -> Result<Access, Box<Fault>> {
        let id = self.channels[dir_ix(dir)][c].id;
        // SOURCE: Xilinx/mlir-aie getMemLocalBaseAddress: west at 0, own at 0x80000, east at 0x100000.
        let window = addr / MEM_TILE_BYTES as u64;
        if window != 1 && id.index >= NEIGHBOUR_CHANNELS {
            let why = "channels 4 and 5 reach own memory (0x80000..0xfffff) only";
            return Err(self.dma_address_fault(dir, c, addr, why));
        }
        let col = match window {
            0 => id.tile.col.checked_sub(1),
            1 => Some(id.tile.col),
            2 => Some(id.tile.col + 1).filter(|&col| col < COLUMNS),
            _ => return Err(self.dma_address_fault(dir, c, addr, "the address space ends at 0x17ffff")),
        };
        let Some(col) = col else {
            let why = "the partition has no mem tile on that side (own memory starts at 0x80000)";
            return Err(self.dma_address_fault(dir, c, addr, why));
        };
        let offset = addr as usize % MEM_TILE_BYTES;
        // SOURCE: AM020 ch. 5: 16 banks of 128 bit, interleaved every 16 bytes.
        let bank = 1u16 << (offset >> 4 & 15);
        if !self.take_banks(index::tile(TileLoc::new(col, MEM_ROW)), bank) {
            return Ok(Access::Retry(self.now + 1));
        }
        transfer(&mut self.mem_tiles[usize::from(col)], dir, offset, words, n);
        Ok(Access::Done)
    }

    #[inline]
    fn access_ddr(
        &mut self,
        dir: Direction,
        c: usize,
        addr: u64,
        words: &mut [Word; LINE as usize],
        n: usize,
    ) -> Result<Access, Box<Fault>> {
        let now = self.now;
        let bytes = 4 * n as u64;
        let rate = match dir {
            Direction::S2mm => self.timing.shim_s2mm_millicycles_per_word,
            Direction::Mm2s => self.timing.shim_mm2s_millicycles_per_word,
        };
        let ch = &self.channels[dir_ix(dir)][c];
        if ch.ddr_next_milli > now * 1000 {
            return Ok(Access::Retry(ch.ddr_next_milli.div_ceil(1000)));
        }
        let (id, (bd, word)) = (ch.id, ch.current.as_ref().map_or((0, 0), |cur| (cur.bd, cur.walker.done())));
        if let Some(budget) = self.ddr_budget.as_mut() {
            budget.credit = (budget.credit + (now - budget.at) * budget.rate).min(self.timing.ddr_burst_bytes * 1000);
            budget.at = now;
            if budget.credit < bytes * 1000 {
                return Ok(Access::Retry(now + 1));
            }
            budget.credit -= bytes * 1000;
        }
        let (memory, offset) = self.ddr.access(id, bd, word, addr, bytes, dir == Direction::S2mm)?;
        transfer(memory, dir, offset, words, n);
        // Up to one line of lost time is caught up, so that the mean rate holds.
        let slack = n as u64 * rate;
        let ch = &mut self.channels[dir_ix(dir)][c];
        ch.ddr_next_milli = ch.ddr_next_milli.max((now * 1000).saturating_sub(slack)) + slack;
        Ok(Access::Done)
    }
}

/// Moves the first `n` of `words` into or out of one line of a memory.
#[inline(always)]
fn transfer(memory: &mut Memory, dir: Direction, at: usize, words: &mut [Word; LINE as usize], n: usize) {
    match dir {
        Direction::S2mm => {
            let valid = words.iter().fold(0xf, |all, w| all & w.valid);
            if n as u64 == LINE && valid == 0xf && at.is_multiple_of(16) {
                return memory.set_line(at, words.map(|w| w.data));
            }
            for (i, w) in words[..n].iter().enumerate() {
                memory.set_word(at + 4 * i, w.data, w.valid);
            }
        }
        Direction::Mm2s => match memory.line(at) {
            Some((line, u16::MAX)) if n as u64 == LINE => {
                for (w, data) in words.iter_mut().zip(line) {
                    w.data = data;
                }
            }
            Some((line, written)) => {
                for (i, w) in (at / 4 % 4..4).zip(&mut words[..n]) {
                    (w.data, w.valid) = (line[i], (written >> (4 * i)) as u8 & 0xf);
                }
            }
            None => {
                for (i, w) in words[..n].iter_mut().enumerate() {
                    (w.data, w.valid) = memory.word(at + 4 * i);
                }
            }
        },
    }
}
