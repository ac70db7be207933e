//! TXN 0.1: the runtime stream that the NPU firmware interprets once per command.
//!
//! A 16-byte header, then operations back to back; the count in the header ends the stream. Every
//! operation but NOOP carries its own size in bytes, which is how the firmware walks the stream.
//!
//! | op | words |
//! |---|---|
//! | 0 WRITE | 0, 0, address, 0, value, 24 |
//! | 1 BLOCKWRITE | 1, column and row << 8 or 0, address, 16 + 4 n, n data words |
//! | 3 MASKWRITE | 3, 0, address, 0, value, mask, 28 |
//! | 4 MASKPOLL, 7 MASKPOLL_BUSY | as MASKWRITE |
//! | 5 NOOP | 5 |
//! | 128 TCT | 128, 16, direction and row << 8 and column << 16, rows << 8 and columns << 16 and channel << 24 |
//! | 129 DDR_PATCH | 129, 48, 0, 0, 0, 0, register, 0, argument index, 0, argument offset, 0 |
//!
//! Addresses are array addresses, see [`crate::address`].
// SOURCE: Xilinx/mlir-aie include/aie/Runtime/TxnEncoding.h; Xilinx/aie-rt driver/src/common/xaie_txn.h;
// nod-ai/iree-amd-aie driver/amdxdna/direct_command_buffer.cc (stream walker).

use crate::address::ArrayAddress;
use crate::words::{put_words, word_at};

/// Major version of the op layout.
pub const VERSION_MAJOR: u8 = 0;
/// Minor version of the op layout.
pub const VERSION_MINOR: u8 = 1;
/// Device generation of npu1 (Phoenix and Hawk Point).
pub const NPU1_GENERATION: u8 = 3;
/// Rows of an npu1 column: shim, memory tile, four compute tiles.
pub const NPU1_ROWS: u8 = 6;
/// Memory tile rows of an npu1 column.
pub const NPU1_MEMORY_TILE_ROWS: u8 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Host arguments whose addresses the firmware moves into the array's view of DDR.
// SOURCE: Xilinx/mlir-aie lib/Targets/AIETargetNPU.cpp, kNumFirmwareTranslatedArgs.
pub const FIRMWARE_TRANSLATED_ARGUMENTS: u32 = 5;
/// Where host DDR begins as seen by the array.
// SOURCE: Xilinx/mlir-aie lib/Targets/AIETargetNPU.cpp, kDDRAIEAddrOffset.
pub const DDR_APERTURE: u32 = 0x8000_0000;

const OP_WRITE: u8 = 0;
const OP_BLOCK_WRITE: u8 = 1;
const OP_MASK_WRITE: u8 = 3;
const OP_MASK_POLL: u8 = 4;
const OP_NOOP: u8 = 5;
const OP_MASK_POLL_BUSY: u8 = 7;
const OP_TCT: u8 = 128;
const OP_DDR_PATCH: u8 = 129;

const WRITE_BYTES: u32 = 24;
const BLOCK_WRITE_HEAD_BYTES: u32 = 16;
const MASK_BYTES: u32 = 28;
/// aie-rt's own C structs pad the masked operations by one word; the firmware follows the size field.
const MASK_PADDED_BYTES: u32 = 32;
const NOOP_BYTES: u32 = 4;
const TCT_BYTES: u32 = 16;
const DDR_PATCH_BYTES: u32 = 48;

/// What the stream is made for. Count and size are not here: the writer computes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Device generation; npu1 is 3.
    pub device_generation: u8,
    /// Rows of the device; npu1 has 6.
    pub rows: u8,
    /// Columns of the partition.
    pub columns: u8,
    /// Memory tile rows; npu1 has 1.
    pub memory_tile_rows: u8,
}

impl Header {
    /// The header of an npu1 stream for a partition of `columns` columns.
    pub const fn npu1(columns: u8) -> Self {
        Self { device_generation: NPU1_GENERATION, rows: NPU1_ROWS, columns, memory_tile_rows: NPU1_MEMORY_TILE_ROWS }
    }
}

/// Direction of a DMA channel, as TCT encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Stream to memory.
    S2mm,
    /// Memory to stream.
    Mm2s,
}

impl Direction {
    fn code(self) -> u8 {
        match self {
            Direction::S2mm => 0,
            Direction::Mm2s => 1,
        }
    }
}

/// One operation of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `*addr = value`.
    Write {
        /// Register address.
        addr: u32,
        /// New register value.
        value: u32,
    },
    /// Consecutive registers from `addr`.
    BlockWrite {
        /// Address of the first register.
        addr: u32,
        /// Their new values.
        data: Vec<u32>,
    },
    /// `*addr = (*addr & !mask) | (value & mask)`.
    MaskWrite {
        /// Register address.
        addr: u32,
        /// New values of the masked bits.
        value: u32,
        /// Bits to change.
        mask: u32,
    },
    /// Waits until `*addr & mask == value`.
    MaskPoll {
        /// Register address.
        addr: u32,
        /// Value waited for.
        value: u32,
        /// Bits compared.
        mask: u32,
    },
    /// [`Op::MaskPoll`] without yielding.
    MaskPollBusy {
        /// Register address.
        addr: u32,
        /// Value waited for.
        value: u32,
        /// Bits compared.
        mask: u32,
    },
    /// Nothing.
    Noop,
    /// Waits for one task-complete token of a channel and consumes it.
    Tct {
        /// Direction of the channel.
        direction: Direction,
        /// Column of the tile, relative to the partition.
        col: u8,
        /// Row of the tile.
        row: u8,
        /// Columns of the rectangle of tiles; 1 in every known stream.
        cols: u8,
        /// Rows of the rectangle of tiles; 1 in every known stream.
        rows: u8,
        /// Channel number.
        channel: u8,
    },
    /// Stores the address of a host buffer plus `arg_plus` in a shim BD: low 32 bits to `register`, bits
    /// 47:32 to the low half of the word after it.
    DdrPatch {
        /// Address of word 1 of the BD.
        register: u32,
        /// Host buffer, 0 = the first one after the instruction count.
        arg_index: u32,
        /// Bytes added to the buffer's address. [`Op::ddr_patch`] computes it.
        arg_plus: u32,
    },
}

/// Why bytes are not a TXN stream for npu1, or an operation cannot be expressed. Offsets count bytes from
/// the start of the stream; op indices count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// The file ends before its header or its last operation does.
    #[error("stream ends early: {needed_bytes} bytes needed, {found_bytes} present")]
    Truncated {
        /// Bytes called for.
        needed_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// Another version of the op layout.
    #[error("stream version is {major}.{minor}, only {VERSION_MAJOR}.{VERSION_MINOR} is known to run on npu1")]
    Version {
        /// Major version found.
        major: u8,
        /// Minor version found.
        minor: u8,
    },
    /// Made for another device.
    #[error(
        "stream is for generation {generation} with {rows} rows and {memory_tile_rows} memory tile rows; npu1 is \
         generation {NPU1_GENERATION} with {NPU1_ROWS} and {NPU1_MEMORY_TILE_ROWS}"
    )]
    Device {
        /// Device generation found.
        generation: u8,
        /// Rows found.
        rows: u8,
        /// Memory tile rows found.
        memory_tile_rows: u8,
    },
    /// The padding of the header is not zero.
    #[error("header padding is {found:#06x}, must be zero")]
    HeaderPadding {
        /// The value found.
        found: u16,
    },
    /// The size in the header is not the size of the file.
    #[error("header says {header_bytes} bytes, the stream has {found_bytes}")]
    Size {
        /// Total size by the header.
        header_bytes: u32,
        /// Bytes present.
        found_bytes: usize,
    },
    /// Bytes are left after the last counted operation.
    #[error("{count} operations end at byte {end_offset:#x}, the stream has {found_bytes} bytes")]
    Count {
        /// Operations by the header.
        count: u32,
        /// Where the last of them ends.
        end_offset: usize,
        /// Bytes present.
        found_bytes: usize,
    },
    /// Not an operation of npu1 streams.
    #[error("operation {op_index} at byte {offset:#x} has op code {code}, which npu1 streams do not use")]
    UnknownOp {
        /// The op code.
        code: u8,
        /// Index of the operation.
        op_index: u32,
        /// Its place.
        offset: usize,
    },
    /// The size field of an operation is not one its op code can have.
    #[error("operation {op_index} (op code {code}) at byte {offset:#x} has size {found_bytes}, needs {needed_bytes}")]
    OpSize {
        /// The op code.
        code: u8,
        /// Index of the operation.
        op_index: u32,
        /// Its place.
        offset: usize,
        /// Size found, in bytes.
        found_bytes: u32,
        /// Size of this operation (the least one for BLOCKWRITE).
        needed_bytes: u32,
    },
    /// A word that is zero in every npu1 stream is not.
    #[error("operation {op_index} (op code {code}) at byte {offset:#x}: word {word} is {found:#010x}, must be zero")]
    Reserved {
        /// The op code.
        code: u8,
        /// Index of the operation.
        op_index: u32,
        /// Its place.
        offset: usize,
        /// Word index in the operation.
        word: usize,
        /// The word found (bits 31:8 for word 0, the reserved bits for the words of TCT).
        found: u32,
    },
    /// The tile repeated in a BLOCKWRITE is not the tile of its address.
    #[error(
        "BLOCKWRITE {op_index} at byte {offset:#x} names tile word {found:#x}, its address {addr:#010x} another tile"
    )]
    BlockWriteTile {
        /// Index of the operation.
        op_index: u32,
        /// Its place.
        offset: usize,
        /// Word 1: column and row << 8.
        found: u32,
        /// The address.
        addr: u32,
    },
    /// A TCT direction other than S2MM and MM2S.
    #[error("TCT {op_index} at byte {offset:#x} has direction {found}, must be 0 or 1")]
    TctDirection {
        /// Index of the operation.
        op_index: u32,
        /// Its place.
        offset: usize,
        /// The direction found.
        found: u8,
    },
    /// A buffer offset that does not fit the 32-bit argument offset.
    #[error("offset {byte_offset:#x} into argument {arg_index} does not fit DDR_PATCH (limit {limit:#x})")]
    ArgumentOffset {
        /// Host buffer.
        arg_index: u32,
        /// Offset asked for, in bytes.
        byte_offset: u64,
        /// Largest offset for this argument, in bytes.
        limit: u32,
    },
}

/// A stream, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// What the stream is made for.
    pub header: Header,
    /// The operations in order.
    pub ops: Vec<Op>,
}

impl Op {
    /// The DDR_PATCH that puts `byte_offset` into host buffer `arg_index` at `register`.
    ///
    /// The firmware adds the DDR aperture to the first five arguments only; for the others the offset
    /// carries it.
    // SOURCE: Xilinx/mlir-aie lib/Targets/AIETargetNPU.cpp (folding of kDDRAIEAddrOffset).
    pub fn ddr_patch(register: u32, arg_index: u32, byte_offset: u64) -> Result<Op, TxnError> {
        let base = if arg_index < FIRMWARE_TRANSLATED_ARGUMENTS { 0 } else { DDR_APERTURE };
        let limit = u32::MAX - base;
        match u32::try_from(byte_offset) {
            Ok(offset) if offset <= limit => Ok(Op::DdrPatch { register, arg_index, arg_plus: base + offset }),
            _ => Err(TxnError::ArgumentOffset { arg_index, byte_offset, limit }),
        }
    }

    /// Waits for the token of one channel of one tile.
    pub const fn wait(direction: Direction, col: u8, row: u8, channel: u8) -> Op {
        Op::Tct { direction, col, row, cols: 1, rows: 1, channel }
    }

    fn code(&self) -> u8 {
        match self {
            Op::Write { .. } => OP_WRITE,
            Op::BlockWrite { .. } => OP_BLOCK_WRITE,
            Op::MaskWrite { .. } => OP_MASK_WRITE,
            Op::MaskPoll { .. } => OP_MASK_POLL,
            Op::MaskPollBusy { .. } => OP_MASK_POLL_BUSY,
            Op::Noop => OP_NOOP,
            Op::Tct { .. } => OP_TCT,
            Op::DdrPatch { .. } => OP_DDR_PATCH,
        }
    }

    /// Bytes of the operation in a stream.
    ///
    /// # Panics
    /// If a BLOCKWRITE has 4 GiB of data or more.
    pub fn bytes(&self) -> u32 {
        match self {
            Op::Write { .. } => WRITE_BYTES,
            Op::BlockWrite { data, .. } => u32::try_from(4 * data.len())
                .ok()
                .and_then(|data_bytes| data_bytes.checked_add(BLOCK_WRITE_HEAD_BYTES))
                // PANIC: a tile has 1 MiB of addresses; such a block is a bug of the caller.
                .expect("block size fits its field"),
            Op::MaskWrite { .. } | Op::MaskPoll { .. } | Op::MaskPollBusy { .. } => MASK_BYTES,
            Op::Noop => NOOP_BYTES,
            Op::Tct { .. } => TCT_BYTES,
            Op::DdrPatch { .. } => DDR_PATCH_BYTES,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let code = u32::from(self.code());
        let bytes = self.bytes();
        match self {
            Op::Write { addr, value } => put_words(out, &[code, 0, *addr, 0, *value, bytes]),
            Op::BlockWrite { addr, data } => {
                put_words(out, &[code, 0, *addr, bytes]);
                put_words(out, data);
            }
            Op::MaskWrite { addr, value, mask }
            | Op::MaskPoll { addr, value, mask }
            | Op::MaskPollBusy { addr, value, mask } => {
                put_words(out, &[code, 0, *addr, 0, *value, *mask, bytes]);
            }
            Op::Noop => put_words(out, &[code]),
            Op::Tct { direction, col, row, cols, rows, channel } => {
                let tile = u32::from_le_bytes([direction.code(), *row, *col, 0]);
                let extent = u32::from_le_bytes([0, *rows, *cols, *channel]);
                put_words(out, &[code, bytes, tile, extent]);
            }
            Op::DdrPatch { register, arg_index, arg_plus } => {
                put_words(out, &[code, bytes, 0, 0, 0, 0, *register, 0, *arg_index, 0, *arg_plus, 0]);
            }
        }
    }
}

/// Writes a stream; operation count and sizes are computed.
///
/// # Panics
/// If the stream takes 4 GiB or more.
pub fn write(header: &Header, ops: &[Op]) -> Vec<u8> {
    let total_bytes = HEADER_BYTES + ops.iter().map(|op| op.bytes() as usize).sum::<usize>();
    // PANIC: the NPU's whole instruction heap is 64 MiB; such a stream is a bug of the caller.
    let total = u32::try_from(total_bytes).expect("stream size fits its field");
    let mut out = Vec::with_capacity(total_bytes);
    out.extend_from_slice(&[VERSION_MAJOR, VERSION_MINOR, header.device_generation, header.rows]);
    out.extend_from_slice(&[header.columns, header.memory_tile_rows, 0, 0]);
    put_words(&mut out, &[ops.len() as u32, total]);
    for op in ops {
        op.write(&mut out);
    }
    assert_eq!(out.len(), total_bytes, "an operation wrote another number of bytes than it reserved");
    out
}

/// Reads a stream that fills `bytes`.
pub fn read(bytes: &[u8]) -> Result<Txn, TxnError> {
    let Some((head, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(TxnError::Truncated { needed_bytes: HEADER_BYTES as u64, found_bytes: bytes.len() });
    };
    let [major, minor, device_generation, rows, columns, memory_tile_rows, pad_low, pad_high, ..] = *head;
    if (major, minor) != (VERSION_MAJOR, VERSION_MINOR) {
        return Err(TxnError::Version { major, minor });
    }
    if (device_generation, rows, memory_tile_rows) != (NPU1_GENERATION, NPU1_ROWS, NPU1_MEMORY_TILE_ROWS) {
        return Err(TxnError::Device { generation: device_generation, rows, memory_tile_rows });
    }
    let padding = u16::from_le_bytes([pad_low, pad_high]);
    if padding != 0 {
        return Err(TxnError::HeaderPadding { found: padding });
    }
    let [_, _, _, _, _, _, _, _, c0, c1, c2, c3, s0, s1, s2, s3] = *head;
    let count = u32::from_le_bytes([c0, c1, c2, c3]);
    let header_bytes = u32::from_le_bytes([s0, s1, s2, s3]);
    if header_bytes as usize != bytes.len() {
        return Err(TxnError::Size { header_bytes, found_bytes: bytes.len() });
    }
    let mut ops = Vec::new();
    let mut offset = HEADER_BYTES;
    for op_index in 0..count {
        let (op, op_bytes) = read_op(bytes, offset, op_index)?;
        ops.push(op);
        offset += op_bytes as usize;
    }
    if offset != bytes.len() {
        return Err(TxnError::Count { count, end_offset: offset, found_bytes: bytes.len() });
    }
    Ok(Txn { header: Header { device_generation, rows, columns, memory_tile_rows }, ops })
}

/// Reads the operation at `offset`; returns it and its size in bytes.
fn read_op(bytes: &[u8], offset: usize, op_index: u32) -> Result<(Op, u32), TxnError> {
    let word = |index: usize| {
        let at = offset + 4 * index;
        word_at(bytes, at).ok_or(TxnError::Truncated { needed_bytes: at as u64 + 4, found_bytes: bytes.len() })
    };
    let first = word(0)?;
    let code = first as u8;
    let zero = |index: usize, found: u32| match found {
        0 => Ok(()),
        _ => Err(TxnError::Reserved { code, op_index, offset, word: index, found }),
    };
    let size = |found_bytes: u32, needed_bytes: u32| {
        if found_bytes == needed_bytes {
            Ok(found_bytes)
        } else {
            Err(TxnError::OpSize { code, op_index, offset, found_bytes, needed_bytes })
        }
    };
    zero(0, first >> 8)?;
    match code {
        OP_WRITE => {
            let op_bytes = size(word(5)?, WRITE_BYTES)?;
            zero(1, word(1)?)?;
            zero(3, word(3)?)?;
            Ok((Op::Write { addr: word(2)?, value: word(4)? }, op_bytes))
        }
        OP_BLOCK_WRITE => {
            let (tile, addr, op_bytes) = (word(1)?, word(2)?, word(3)?);
            let data_bytes = op_bytes
                .checked_sub(BLOCK_WRITE_HEAD_BYTES)
                .filter(|data_bytes| data_bytes.is_multiple_of(4))
                .ok_or(TxnError::OpSize {
                    code,
                    op_index,
                    offset,
                    found_bytes: op_bytes,
                    needed_bytes: BLOCK_WRITE_HEAD_BYTES,
                })?;
            let ArrayAddress { col, row, .. } = ArrayAddress::decode(addr);
            if tile != 0 && tile != u32::from_le_bytes([col, row, 0, 0]) {
                return Err(TxnError::BlockWriteTile { op_index, offset, found: tile, addr });
            }
            let start = offset + BLOCK_WRITE_HEAD_BYTES as usize;
            let needed_bytes = start as u64 + u64::from(data_bytes);
            let data = usize::try_from(needed_bytes)
                .ok()
                .and_then(|end| bytes.get(start..end))
                .ok_or(TxnError::Truncated { needed_bytes, found_bytes: bytes.len() })?;
            let data = data.as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect();
            Ok((Op::BlockWrite { addr, data }, op_bytes))
        }
        OP_MASK_WRITE | OP_MASK_POLL | OP_MASK_POLL_BUSY => {
            let found_bytes = word(6)?;
            let op_bytes = if found_bytes == MASK_PADDED_BYTES {
                word(7)?;
                found_bytes
            } else {
                size(found_bytes, MASK_BYTES)?
            };
            zero(1, word(1)?)?;
            zero(3, word(3)?)?;
            let (addr, value, mask) = (word(2)?, word(4)?, word(5)?);
            let op = match code {
                OP_MASK_WRITE => Op::MaskWrite { addr, value, mask },
                OP_MASK_POLL => Op::MaskPoll { addr, value, mask },
                _ => Op::MaskPollBusy { addr, value, mask },
            };
            Ok((op, op_bytes))
        }
        OP_NOOP => Ok((Op::Noop, NOOP_BYTES)),
        OP_TCT => {
            let op_bytes = size(word(1)?, TCT_BYTES)?;
            let [direction, row, col, tile_high] = word(2)?.to_le_bytes();
            let [extent_low, rows, cols, channel] = word(3)?.to_le_bytes();
            zero(2, u32::from(tile_high) << 24)?;
            zero(3, u32::from(extent_low))?;
            let direction = match direction {
                0 => Direction::S2mm,
                1 => Direction::Mm2s,
                found => return Err(TxnError::TctDirection { op_index, offset, found }),
            };
            Ok((Op::Tct { direction, col, row, cols, rows, channel }, op_bytes))
        }
        OP_DDR_PATCH => {
            let op_bytes = size(word(1)?, DDR_PATCH_BYTES)?;
            for index in [2, 3, 4, 5, 7, 9, 11] {
                zero(index, word(index)?)?;
            }
            Ok((Op::DdrPatch { register: word(6)?, arg_index: word(8)?, arg_plus: word(10)? }, op_bytes))
        }
        _ => Err(TxnError::UnknownOp { code, op_index, offset }),
    }
}
