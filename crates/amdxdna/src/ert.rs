//! Command packets: what stands in a CMD buffer, and what the kernel makes of it.
//!
//! ```text
//! word 0   header   31:28 type  27:23 opcode  22:12 count  11:10 further CU masks  9:4 custom  3:0 state
//! word 1   CU mask  bit i = compute unit i
//! word 2   register map of the unit, count - 1 words
//! ```
//!
//! The register map of a unit that runs a TXN stream ("opcode 3"); the longs behind word 5 lie on odd words:
//!
//! ```text
//! 0x00  u64  3
//! 0x08  u64  device address of the stream
//! 0x10  u32  words of the stream
//! 0x14  u64  device address of host buffer 0; buffer k at 0x14 + 8 k
//! ```
// SOURCE: XRT core/include/xrt/detail/ert.h; drivers/accel/amdxdna/amdxdna_ctx.h

use std::fmt;

/// Bytes of a CMD buffer: one page, which every driver takes.
pub const PACKET_BYTES: usize = 4096;
/// Most host buffers of a register map.
pub const MAX_HOST_BUFFERS: usize = 16;
/// Host buffers that every driver passes on: those without command lists send 19 words of a register map, five of which are no buffer's.
// SOURCE: drivers/accel/amdxdna/aie2_msg_priv.h, struct execute_cu_cf_req of EXECUTE_BUFFER_CF.
pub const HOST_BUFFERS_EVERYWHERE: usize = (19 - 5) / 2;
/// Slots a register map has at least: shorter maps have ended in an abort in chained submission.
// SOURCE: kMinHostBOs of mlir-aie
pub const MIN_HOST_SLOTS: usize = 5;

const OPCODE_START_CU: u32 = 0;
const TYPE_CU: u32 = 3;
const RUN_TXN: u64 = 3;

/// Where a command is. The numbers are not in the order of a command's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandState {
    /// 1: as written. Behind a signalled fence: never run, as after the reset that follows a hang.
    New,
    /// 2.
    Queued,
    /// 3.
    Running,
    /// 4: the only success.
    Completed,
    /// 5: refused or failed by the firmware.
    Error,
    /// 6: the context was torn down, or the firmware's answer made no sense.
    Abort,
    /// 7.
    Submitted,
    /// 8: the driver gave up on it.
    Timeout,
    /// 9: the firmware gave no answer.
    NoResponse,
    /// Any other number.
    Unknown(u8),
}

impl CommandState {
    /// The state in bits 3:0 of a header.
    pub fn of_header(header: u32) -> Self {
        match (header & 0xF) as u8 {
            1 => CommandState::New,
            2 => CommandState::Queued,
            3 => CommandState::Running,
            4 => CommandState::Completed,
            5 => CommandState::Error,
            6 => CommandState::Abort,
            7 => CommandState::Submitted,
            8 => CommandState::Timeout,
            9 => CommandState::NoResponse,
            other => CommandState::Unknown(other),
        }
    }
}

impl fmt::Display for CommandState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandState::New => f.write_str("NEW (it never ran)"),
            CommandState::Queued => f.write_str("QUEUED"),
            CommandState::Running => f.write_str("RUNNING"),
            CommandState::Completed => f.write_str("COMPLETED"),
            CommandState::Error => f.write_str("ERROR"),
            CommandState::Abort => f.write_str("ABORT"),
            CommandState::Submitted => f.write_str("SUBMITTED"),
            CommandState::Timeout => f.write_str("TIMEOUT"),
            CommandState::NoResponse => f.write_str("NORESPONSE"),
            CommandState::Unknown(number) => write!(f, "{number}, which has no name"),
        }
    }
}

/// What starts a compute unit on a TXN stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCu {
    /// Index of the unit in the context's configuration, below 32.
    pub cu: u32,
    /// Device address of the stream.
    pub stream: u64,
    /// Words of the stream.
    pub stream_words: u32,
    /// Device addresses of the host buffers, at most [`MAX_HOST_BUFFERS`].
    pub host_buffers: Vec<u64>,
}

impl StartCu {
    /// The packet, state NEW.
    ///
    /// # Panics
    /// If `cu` is 32 or more, or there are more than [`MAX_HOST_BUFFERS`].
    pub fn packet(&self) -> Vec<u8> {
        assert!(self.cu < 32, "compute unit {}", self.cu);
        assert!(self.host_buffers.len() <= MAX_HOST_BUFFERS, "{} host buffers", self.host_buffers.len());
        let slots = self.host_buffers.len().max(MIN_HOST_SLOTS);
        let map_words = 2 + 2 + 1 + 2 * slots;
        let count = 1 + map_words as u32;
        let state_new = 1;
        let header = TYPE_CU << 28 | OPCODE_START_CU << 23 | count << 12 | state_new;

        let mut packet = Vec::with_capacity(4 + 4 * count as usize);
        packet.extend(header.to_le_bytes());
        packet.extend((1u32 << self.cu).to_le_bytes());
        packet.extend(RUN_TXN.to_le_bytes());
        packet.extend(self.stream.to_le_bytes());
        packet.extend(self.stream_words.to_le_bytes());
        for slot in 0..slots {
            packet.extend(self.host_buffers.get(slot).copied().unwrap_or(0).to_le_bytes());
        }
        packet
    }
}

/// The firmware's account of a context that hung, which newer drivers put into the packet of the command that timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Operation of the stream that was reached.
    pub txn_operation: u32,
    /// Program counter of the context.
    pub context_pc: u32,
    /// Kind of fatal error.
    pub fatal_error: u32,
    /// Kind of exception.
    pub exception: u32,
    /// Program counter of the exception.
    pub exception_pc: u32,
    /// Firmware module.
    pub module: u32,
}

impl Health {
    const VERSION: u32 = 1;
    /// Phoenix.
    const GENERATION: u32 = 0;

    /// The account in a packet behind its header; `None` where the driver wrote filler, as for firmware that gives none.
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        let (words, _) = payload.as_chunks::<4>();
        let words: [u32; 8] = words.first_chunk::<8>()?.map(u32::from_le_bytes);
        let [version, generation, txn_operation, context_pc, fatal_error, exception, exception_pc, module] = words;
        let said =
            version == Self::VERSION && generation == Self::GENERATION && words[2..].iter().any(|&word| word != 0);
        said.then_some(Self { txn_operation, context_pc, fatal_error, exception, exception_pc, module })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stream operation {}, pc {:#x}, fatal error {}, exception {} at {:#x}, module {}",
            self.txn_operation, self.context_pc, self.fatal_error, self.exception, self.exception_pc, self.module
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(packet: &[u8]) -> Vec<u32> {
        packet.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
    }

    #[test]
    fn a_start_packet_is_this_to_the_byte() {
        let start = StartCu {
            cu: 0,
            stream: 0x0400_8000,
            stream_words: 0x123,
            host_buffers: vec![0x7F12_3456_7000, 0x7F00_0000_1000],
        };
        // SOURCE: header of five slots as AMD's runtime writes it: type 3, count 16, START_CU, NEW
        #[rustfmt::skip]
        assert_eq!(words(&start.packet()), [
            0x3001_0001, 1,
            3, 0, 0x0400_8000, 0, 0x123,
            0x3456_7000, 0x7F12, 0x1000, 0x7F00, 0, 0, 0, 0, 0, 0,
        ]);
    }

    #[test]
    fn more_buffers_make_a_longer_map() {
        let start = StartCu { cu: 31, stream: 0, stream_words: 1, host_buffers: (1..=16).collect() };
        let words = words(&start.packet());
        assert_eq!(words.len(), 2 + 5 + 32);
        assert_eq!(words[0], 0x3000_0001 | 38 << 12);
        assert_eq!(words[1], 1 << 31);
        assert_eq!(words[2 + 5 + 2 * 15], 16);
    }

    #[test]
    fn only_four_is_success() {
        let completed: Vec<u32> = (0..16).filter(|&h| CommandState::of_header(h) == CommandState::Completed).collect();
        assert_eq!(completed, [4]);
        assert_eq!(CommandState::of_header(0x3001_0008), CommandState::Timeout);
        assert_eq!(CommandState::of_header(0xFFFF_FFFF), CommandState::Unknown(15));
    }

    #[test]
    fn health_is_not_read_from_filler() {
        assert_eq!(Health::of_payload(&[0xFF; 64]), None);
        assert_eq!(Health::of_payload(&[0; 64]), None);
        let mut payload = [0; 32];
        payload[0] = 1;
        assert_eq!(Health::of_payload(&payload), None);
        payload[8] = 7;
        assert_eq!(Health::of_payload(&payload).map(|h| h.txn_operation), Some(7));
        assert_eq!(Health::of_payload(&payload[..31]), None);
    }
}
