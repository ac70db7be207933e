//! Stream switch registers and the shim's mux and demux.

use super::Field;
use crate::device::{Channel, Direction, TileKind};

const ENABLE: Field = Field::new(31, 31);
const PACKET: Field = Field::new(30, 30);
const DROP_HEADER: Field = Field::new(7, 7);
const CONFIGURATION: Field = Field::new(6, 0);
const MSEL_ENABLE: Field = Field::new(6, 3);
const ARBITER: Field = Field::new(2, 0);
const SLOT_ID: Field = Field::new(28, 24);
const SLOT_MASK: Field = Field::new(20, 16);
const SLOT_ENABLE: Field = Field::new(8, 8);
const SLOT_MSEL: Field = Field::new(5, 4);

fn switch_base(kind: TileKind) -> u32 {
    match kind {
        TileKind::Core | TileKind::Shim => 0x3_F000,
        TileKind::Mem => 0xB_0000,
    }
}

/// Offset of the word of master port `master`.
pub fn master_offset(kind: TileKind, master: u8) -> u32 {
    switch_base(kind) + 4 * u32::from(master)
}

/// Offset of the word of slave port `slave`.
pub fn slave_offset(kind: TileKind, slave: u8) -> u32 {
    switch_base(kind) + 0x100 + 4 * u32::from(slave)
}

/// Offset of packet slot `slot` (0..=3) of slave port `slave`.
pub fn slot_offset(kind: TileKind, slave: u8, slot: u8) -> u32 {
    assert!(slot < 4, "four slots per slave");
    switch_base(kind) + 0x200 + 0x10 * u32::from(slave) + 4 * u32::from(slot)
}

/// Configuration of a master port (a stream leaving the switch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterWord {
    /// Fed by one slave port for good.
    Circuit {
        /// Index of the slave port.
        slave: u8,
    },
    /// Fed by an arbiter.
    Packet {
        /// The arbiter, 0..=7 (use 0..=5).
        arbiter: u8,
        /// Bit mask of the arbiter's four selections this port takes.
        msels: u8,
        /// Remove the header word.
        drop_header: bool,
    },
}

impl MasterWord {
    /// The register word. PANIC: a field does not fit.
    pub fn encode(self) -> u32 {
        match self {
            MasterWord::Circuit { slave } => ENABLE.put(1) | CONFIGURATION.put(u32::from(slave)),
            MasterWord::Packet { arbiter, msels, drop_header } => {
                ENABLE.put(1)
                    | PACKET.put(1)
                    | DROP_HEADER.put(u32::from(drop_header))
                    | MSEL_ENABLE.put(u32::from(msels))
                    | ARBITER.put(u32::from(arbiter))
            }
        }
    }

    /// The fields of a register word; `None` when the port is disabled.
    pub fn decode(word: u32) -> Option<Self> {
        if ENABLE.get(word) == 0 {
            None
        } else if PACKET.get(word) == 0 {
            Some(MasterWord::Circuit { slave: CONFIGURATION.get(word) as u8 })
        } else {
            Some(MasterWord::Packet {
                arbiter: ARBITER.get(word) as u8,
                msels: MSEL_ENABLE.get(word) as u8,
                drop_header: DROP_HEADER.get(word) == 1,
            })
        }
    }
}

/// Configuration of a slave port (a stream entering the switch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlaveWord {
    /// Streams are routed by packet header instead of by circuit.
    pub packet: bool,
}

impl SlaveWord {
    /// The register word of an enabled port.
    pub fn encode(self) -> u32 {
        ENABLE.put(1) | PACKET.put(u32::from(self.packet))
    }

    /// The fields of a register word; `None` when the port is disabled.
    pub fn decode(word: u32) -> Option<Self> {
        (ENABLE.get(word) == 1).then(|| SlaveWord { packet: PACKET.get(word) == 1 })
    }
}

/// One of the four rules by which a packet slave sends a packet to an arbiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotWord {
    /// Packet id, 0..=31.
    pub id: u8,
    /// Bits of the id that are compared.
    pub mask: u8,
    /// Selection of the arbiter, 0..=3.
    pub msel: u8,
    /// Arbiter, 0..=7 (use 0..=5).
    pub arbiter: u8,
}

impl SlotWord {
    /// The register word of an enabled slot. PANIC: a field does not fit.
    pub fn encode(self) -> u32 {
        SLOT_ID.put(u32::from(self.id))
            | SLOT_MASK.put(u32::from(self.mask))
            | SLOT_ENABLE.put(1)
            | SLOT_MSEL.put(u32::from(self.msel))
            | ARBITER.put(u32::from(self.arbiter))
    }

    /// The fields of a register word; `None` when the slot is disabled.
    pub fn decode(word: u32) -> Option<Self> {
        (SLOT_ENABLE.get(word) == 1).then(|| SlotWord {
            id: SLOT_ID.get(word) as u8,
            mask: SLOT_MASK.get(word) as u8,
            msel: SLOT_MSEL.get(word) as u8,
            arbiter: ARBITER.get(word) as u8,
        })
    }
}

/// Selector value that connects a shim switch port to the DMA (0 is PL, 2 NoC).
const TO_DMA: u32 = 1;

/// Mux_Config: which sources feed the shim switch from below.
pub mod shim_mux {
    use super::*;
    /// Offset in a shim tile.
    pub const OFFSET: u32 = 0x1_F000;

    /// `(mask, value)` that gives a MM2S channel its switch port. PANIC: an S2MM channel.
    // SOURCE: Xilinx/mlir-aie aie_registers_aie2.json Mux_Config; lib/Dialect/AIE/IR/AIETargetModel.cpp shim mux ports.
    pub fn select(channel: Channel) -> (u32, u32) {
        let field = match (channel.direction, channel.index) {
            (Direction::Mm2s, 0) => Field::new(11, 10),
            (Direction::Mm2s, 1) => Field::new(15, 14),
            (Direction::Mm2s | Direction::S2mm, _) => unreachable!("the mux serves MM2S 0 and 1"),
        };
        (field.mask(), field.put(TO_DMA))
    }
}

/// Demux_Config: where streams leaving the shim switch downwards go.
pub mod shim_demux {
    use super::*;
    /// Offset in a shim tile.
    pub const OFFSET: u32 = 0x1_F004;

    /// `(mask, value)` that gives an S2MM channel its switch port. PANIC: a MM2S channel.
    // SOURCE: as shim_mux::select, Demux_Config.
    pub fn select(channel: Channel) -> (u32, u32) {
        let field = match (channel.direction, channel.index) {
            (Direction::S2mm, 0) => Field::new(5, 4),
            (Direction::S2mm, 1) => Field::new(7, 6),
            (Direction::Mm2s | Direction::S2mm, _) => unreachable!("the demux serves S2MM 0 and 1"),
        };
        (field.mask(), field.put(TO_DMA))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Mm2s, S2mm};

    // SOURCE: a one-column PDI of Xilinx/mlir-aie (passthrough): offsets and words.
    #[test]
    fn words_of_a_known_pdi() {
        assert_eq!(master_offset(TileKind::Mem, 12), 0xB_0030);
        assert_eq!(MasterWord::Circuit { slave: 8 }.encode(), 0x8000_0008);
        assert_eq!(MasterWord::Circuit { slave: 15 }.encode(), 0x8000_000F);
        assert_eq!(SlaveWord { packet: false }.encode(), 0x8000_0000);
        assert_eq!(slave_offset(TileKind::Shim, 15), 0x3_F13C);
        let token = MasterWord::Packet { arbiter: 5, msels: 1 << 3, drop_header: false };
        assert_eq!(token.encode(), 0xC000_0045);
        assert_eq!(SlotWord { id: 15, mask: 31, msel: 3, arbiter: 5 }.encode(), 0x0F1F_0135);
        assert_eq!(SlaveWord { packet: true }.encode(), 0xC000_0000);
        assert_eq!(slot_offset(TileKind::Shim, 15, 0), 0x3_F2F0);
    }

    // SOURCE: AMD's four-column Phoenix validation PDI.
    #[test]
    fn token_route_of_amd() {
        let master = MasterWord::decode(0xC000_000A).expect("enabled");
        assert_eq!(master, MasterWord::Packet { arbiter: 2, msels: 1, drop_header: false });
        assert_eq!(SlotWord::decode(0x011F_0102), Some(SlotWord { id: 1, mask: 31, msel: 0, arbiter: 2 }));
    }

    #[test]
    fn mux_and_demux_selections() {
        assert_eq!(shim_mux::select(Mm2s(0).into()), (0x0C00, 0x0400));
        assert_eq!(shim_mux::select(Mm2s(1).into()), (0xC000, 0x4000));
        assert_eq!(shim_demux::select(S2mm(0).into()), (0x0030, 0x0010));
        assert_eq!(shim_demux::select(S2mm(1).into()), (0x00C0, 0x0040));
    }
}
