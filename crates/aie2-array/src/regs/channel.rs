//! DMA channel registers: control and task queue.

use super::Field;
use crate::device::{Channel, Direction, TileKind};

/// Channel control of core and mem tiles, and the controller id of all three kinds.
pub struct ChannelControl;

impl ChannelControl {
    /// Reset of the channel; core and mem tiles only (on the shim this bit pauses memory accesses).
    pub const RESET: Field = Field::new(1, 1);
    /// The packet id a task completion token carries.
    pub const CONTROLLER_ID: Field = Field::new(15, 8);
}

/// Offset of a channel's control register.
pub fn channel_control_offset(kind: TileKind, channel: Channel) -> u32 {
    assert!(channel.index < kind.dma().channels, "no such channel");
    let (s2mm, mm2s) = match kind {
        TileKind::Core => (0x1_DE00, 0x1_DE10),
        TileKind::Mem => (0xA_0600, 0xA_0630),
        TileKind::Shim => (0x1_D200, 0x1_D210),
    };
    let base = match channel.direction {
        Direction::S2mm => s2mm,
        Direction::Mm2s => mm2s,
    };
    base + 8 * u32::from(channel.index)
}

/// Offset of a channel's task queue register; writing it starts the channel.
pub fn channel_queue_offset(kind: TileKind, channel: Channel) -> u32 {
    channel_control_offset(kind, channel) + 4
}

/// Offset of a channel's status register.
// SOURCE: AMD AM025, DMA_S2MM_Status_0, DMA_MM2S_Status_0.
pub fn channel_status_offset(kind: TileKind, channel: Channel) -> u32 {
    assert!(channel.index < kind.dma().channels, "no such channel");
    let (s2mm, mm2s) = match kind {
        TileKind::Core => (0x1_DF00, 0x1_DF10),
        TileKind::Mem => (0xA_0660, 0xA_0680),
        TileKind::Shim => (0x1_D220, 0x1_D228),
    };
    let base = match channel.direction {
        Direction::S2mm => s2mm,
        Direction::Mm2s => mm2s,
    };
    base + 4 * u32::from(channel.index)
}

/// Bits of a channel's status that are not zero while it has a task.
// SOURCE: AMD AM025, DMA_MM2S_Status_0: Task_Queue_Size 22:20, Channel_Running 19.
pub const CHANNEL_AT_WORK: u32 = Field::new(22, 19).mask();

/// One entry of a channel's task queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePush {
    /// Issue a token when the task ends.
    pub token: bool,
    /// How often the chain from `bd` is executed, 1..=256.
    pub runs: u16,
    /// First BD of the chain.
    pub bd: u8,
}

const TOKEN: Field = Field::new(31, 31);
const REPEAT: Field = Field::new(23, 16);
const START_BD: Field = Field::new(3, 0);
const START_BD_MEM: Field = Field::new(5, 0);

impl QueuePush {
    /// Most executions one entry can ask for.
    pub const RUNS_MAX: u16 = 256;

    const fn start_bd(kind: TileKind) -> Field {
        match kind {
            TileKind::Core | TileKind::Shim => START_BD,
            TileKind::Mem => START_BD_MEM,
        }
    }

    /// The register word. PANIC: a field does not fit.
    pub fn encode(self, kind: TileKind) -> u32 {
        assert!(self.runs >= 1, "a task runs at least once");
        TOKEN.put(u32::from(self.token))
            | REPEAT.put(u32::from(self.runs - 1))
            | Self::start_bd(kind).put(u32::from(self.bd))
    }

    /// The fields of a register word.
    pub fn decode(kind: TileKind, word: u32) -> Self {
        QueuePush {
            token: TOKEN.get(word) == 1,
            runs: REPEAT.get(word) as u16 + 1,
            bd: Self::start_bd(kind).get(word) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Mm2s, S2mm};

    #[test]
    fn channel_registers_of_every_kind() {
        assert_eq!(channel_control_offset(TileKind::Core, S2mm(1).into()), 0x1_DE08);
        assert_eq!(channel_queue_offset(TileKind::Core, Mm2s(1).into()), 0x1_DE1C);
        assert_eq!(channel_queue_offset(TileKind::Mem, S2mm(5).into()), 0xA_062C);
        assert_eq!(channel_control_offset(TileKind::Mem, Mm2s(2).into()), 0xA_0640);
        assert_eq!(channel_queue_offset(TileKind::Shim, S2mm(1).into()), 0x1_D20C);
        assert_eq!(channel_queue_offset(TileKind::Shim, Mm2s(1).into()), 0x1_D21C);
        assert_eq!(channel_status_offset(TileKind::Mem, Mm2s(2).into()), 0xA_0688);
        assert_eq!(channel_status_offset(TileKind::Shim, S2mm(1).into()), 0x1_D224);
        assert_eq!(CHANNEL_AT_WORK, 0x0078_0000);
    }

    // SOURCE: AMD Phoenix validation stream: 32 runs of BD 3; loopback stream: BD 3 with token.
    #[test]
    fn queue_words_of_known_streams() {
        assert_eq!(QueuePush { token: false, runs: 32, bd: 3 }.encode(TileKind::Shim), 0x001F_0003);
        assert_eq!(QueuePush { token: true, runs: 1, bd: 3 }.encode(TileKind::Shim), 0x8000_0003);
        let deep = QueuePush { token: true, runs: 256, bd: 47 };
        assert_eq!(QueuePush::decode(TileKind::Mem, deep.encode(TileKind::Mem)), deep);
    }
}
