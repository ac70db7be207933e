//! Commands and operations drawn from bytes: addresses of the registers that designs use, and values in the forms they take, so
//! that a mutation of the input is a mutation of a design and not of its checksums and address bits.
#![allow(dead_code)]

use npu_container::address::addr;
use npu_container::cdo::{self, Command};
use npu_container::txn::{Direction, Op};

/// A CDO with these bytes as its commands under a computed header; a last word that is not whole is left out.
pub fn cdo_of(commands: &[u8]) -> Vec<u8> {
    let words = commands.as_chunks::<4>().0;
    let header = [cdo::HEADER_WORDS_AFTER_FIRST, cdo::IDENTIFICATION, cdo::VERSION, words.len() as u32];
    let sum = header.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
    let mut file: Vec<u8> = header.iter().chain([&!sum]).flat_map(|word| word.to_le_bytes()).collect();
    file.extend_from_slice(words.as_flattened());
    file
}

/// Bytes still to be drawn. Every draw is `None` at the end of the input.
pub struct Draw<'a>(pub &'a [u8]);

/// A run of registers: offset of the first, distance, how many.
type Registers = (u32, u32, u32);

// SOURCE: AM025 register map, as in `aie2_sim::array::regs`.
const SHIM: &[Registers] = &[
    (0x1_D000, 4, 128), // BDs
    (0x1_4000, 16, 16), // locks
    (0x3_F000, 4, 24),  // switch masters
    (0x3_F100, 4, 24),  // switch slaves
    (0x3_F200, 4, 96),  // switch slots
    (0x1_D200, 8, 4),   // channel control
    (0x1_D204, 8, 4),   // task queues
    (0x1_D220, 4, 4),   // channel status
    (0x1_F000, 4, 2),   // mux, demux
];
const MEM: &[Registers] = &[
    (0xA_0000, 4, 384),
    (0xC_0000, 16, 64),
    (0xB_0000, 4, 18),
    (0xB_0100, 4, 18),
    (0xB_0200, 4, 72),
    (0xA_0600, 8, 12),
    (0xA_0604, 8, 12),
    (0xA_0660, 4, 16),
    (0x9_6048, 4, 1), // memory control
    (0x0_0000, 4, 256),
];
const CORE: &[Registers] = &[
    (0x1_D000, 4, 128),
    (0x1_F000, 16, 16),
    (0x3_F000, 4, 24),
    (0x3_F100, 4, 26),
    (0x3_F200, 4, 100),
    (0x1_DE00, 8, 4),
    (0x1_DE04, 8, 4),
    (0x1_DF00, 4, 8),
    (0x3_2000, 4, 2),  // core control, status
    (0x3_6060, 4, 1),  // cascade
    (0x2_0000, 4, 64), // program memory
    (0x0_0000, 4, 256),
    (0x3_1100, 4, 1), // program counter
    (0x3_2038, 4, 1), // processor bus
];

impl Draw<'_> {
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub fn word(&mut self) -> Option<u32> {
        let (&first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(first))
    }

    /// Mostly a register of a tile; one in sixteen is any address.
    pub fn address(&mut self) -> Option<u32> {
        let (place, kind, index) = (self.byte()?, self.byte()?, self.byte()?);
        if place >> 5 == 7 {
            return self.word();
        }
        let (col, row) = (place & 3, (place >> 2) % 6);
        let runs = match row {
            0 => SHIM,
            1 => MEM,
            _ => CORE,
        };
        let (first, distance, count) = runs[usize::from(kind) % runs.len()];
        // The upper bits of `kind` reach registers that one byte does not count up to.
        let index = (u32::from(kind >> 4) * 256 + u32::from(index)) % count;
        Some(addr(col, row, first + distance * index))
    }

    /// A small number, an enable bit with a small number, or a whole word.
    pub fn value(&mut self, form: u8) -> Option<u32> {
        match form & 3 {
            0 => self.byte().map(u32::from),
            1 => self.byte().map(|low| 1 << 31 | u32::from(low)),
            2 => self.byte().map(|high| 1 << 31 | u32::from(high) << 16),
            _ => self.word(),
        }
    }

    fn block(&mut self, form: u8) -> Option<Vec<u32>> {
        let words = self.byte()? % 12;
        (0..words).map(|_| self.value(form)).collect()
    }

    pub fn command(&mut self) -> Option<Command> {
        let form = self.byte()?;
        let addr = self.address()?;
        Some(match form >> 5 {
            0..=2 => Command::Write { addr, value: self.value(form)? },
            3 => Command::MaskWrite { addr, mask: self.value(form >> 2)?, value: self.value(form)? },
            4 | 5 => Command::DmaWrite { addr, data: self.block(form)? },
            6 => {
                let high = u64::from(form >> 4 & 1) << 32;
                Command::Write64 { addr: high | u64::from(addr), value: self.value(form)? }
            }
            _ => Command::MaskWrite64 { addr: addr.into(), mask: self.value(form >> 2)?, value: self.value(form)? },
        })
    }

    pub fn op(&mut self) -> Option<Op> {
        let form = self.byte()?;
        Some(match form >> 4 {
            0..=3 => Op::Write { addr: self.address()?, value: self.value(form)? },
            4..=6 => Op::BlockWrite { addr: self.address()?, data: self.block(form)? },
            7 => Op::MaskWrite { addr: self.address()?, value: self.value(form)?, mask: self.value(form >> 2)? },
            8 => Op::MaskPoll { addr: self.address()?, value: self.value(form)?, mask: self.value(form >> 2)? },
            9 => Op::MaskPollBusy { addr: self.address()?, value: self.value(form)?, mask: self.value(form >> 2)? },
            10 | 11 => {
                let place = self.byte()?;
                let direction = if form & 1 == 0 { Direction::S2mm } else { Direction::Mm2s };
                let extent = 1 + u8::from(form & 15 == 15);
                let (col, row, channel) = (place & 7, place >> 3 & 7, place >> 6);
                Op::Tct { direction, col, row, cols: extent, rows: 1, channel }
            }
            12..=14 => {
                let place = self.byte()?;
                let register = match form & 3 {
                    3 => self.address()?,
                    _ => addr(place & 3, 0, 0x1_D004 + 0x20 * u32::from(place >> 4)),
                };
                let arg_plus = self.value(form >> 2)?;
                Op::DdrPatch { register, arg_index: u32::from(place >> 2 & 3), arg_plus }
            }
            _ => Op::Noop,
        })
    }
}
