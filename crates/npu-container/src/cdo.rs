//! CDO v2: the command list that configures a partition when its PDI is loaded.
//!
//! Five header words, then `N` words of commands. A command word holds the command in bits 15:0 and the
//! payload length in bits 31:16; a payload of 255 words or more puts 255 there and its length in the word
//! after it. There is no end command: commands are consumed until `N` words are done.
//!
//! | command | payload |
//! |---|---|
//! | MASK_WRITE | address, mask, value |
//! | WRITE | address, value |
//! | DMA_WRITE | address high (0), address low, data words |
//! | MASK_WRITE64 | address high, address low, mask, value |
//! | WRITE64 | address high, address low, value |
//! | NOP | ignored words |
// SOURCE: Xilinx/bootgen cdo-*.c; Xilinx/XRT tools/xclbinutil/aie-pdi-transform/lib/cdo_cmd.{c,h}.

use crate::words::{checksum, put_words, word_at};

/// Word 0 of the header: how many header words follow it.
pub const HEADER_WORDS_AFTER_FIRST: u32 = 4;
/// Word 1 of the header: `"CDO\0"`.
pub const IDENTIFICATION: u32 = 0x004F_4443;
/// Word 2 of the header: version 2.0.
pub const VERSION: u32 = 0x0000_0200;
/// Words of the whole header.
pub const HEADER_WORDS: usize = 5;

const MASK_WRITE: u32 = 0x0102;
const WRITE: u32 = 0x0103;
const DMA_WRITE: u32 = 0x0105;
const MASK_WRITE64: u32 = 0x0107;
const WRITE64: u32 = 0x0108;
const NOP: u32 = 0x0111;

/// In the length field: the length stands in the next word.
const LONG_FORM: u32 = 255;
/// Address high and address low, before the data of a DMA_WRITE.
const DMA_WRITE_ADDRESS_WORDS: usize = 2;

/// One configuration command. Addresses are array addresses, see [`crate::address`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `*addr = (*addr & !mask) | (value & mask)`.
    MaskWrite {
        /// Register address.
        addr: u32,
        /// Bits to change.
        mask: u32,
        /// Their new values.
        value: u32,
    },
    /// `*addr = value`.
    Write {
        /// Register address.
        addr: u32,
        /// New register value.
        value: u32,
    },
    /// Consecutive words from `addr`: memory contents or a block of registers.
    DmaWrite {
        /// Address of the first word.
        addr: u32,
        /// The words.
        data: Vec<u32>,
    },
    /// [`Command::Write`] with a 64-bit address.
    Write64 {
        /// Register address.
        addr: u64,
        /// New register value.
        value: u32,
    },
    /// [`Command::MaskWrite`] with a 64-bit address.
    MaskWrite64 {
        /// Register address.
        addr: u64,
        /// Bits to change.
        mask: u32,
        /// Their new values.
        value: u32,
    },
    /// Padding: `words` ignored payload words, written as zeros.
    Nop {
        /// Payload length in words.
        words: u32,
    },
}

/// Why bytes are not a CDO that the NPU loads. Offsets count words from the start of the CDO.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdoError {
    /// The bytes end before the CDO does.
    #[error("CDO ends early: {needed_bytes} bytes needed, {found_bytes} present")]
    Truncated {
        /// Bytes the header or the length field calls for.
        needed_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// A fixed header word has another value.
    #[error("CDO header word {word} is {found:#010x}, must be {expected:#010x}")]
    Header {
        /// Index of the header word.
        word: usize,
        /// The value found.
        found: u32,
        /// The only value the loader takes.
        expected: u32,
    },
    /// The header checksum does not match the header.
    #[error("CDO header checksum is {found:#010x}, computed {expected:#010x}")]
    Checksum {
        /// The checksum found.
        found: u32,
        /// The checksum of the header words found.
        expected: u32,
    },
    /// The NPU loader implements no such command.
    #[error("command word {command:#010x} at word {word_offset} is not one the NPU loader implements")]
    UnsupportedCommand {
        /// The whole command word.
        command: u32,
        /// Its place.
        word_offset: usize,
    },
    /// A payload length that its command cannot have.
    #[error("command word {command:#010x} at word {word_offset} has {found} payload words, needs {needed}")]
    PayloadLength {
        /// The whole command word.
        command: u32,
        /// Its place.
        word_offset: usize,
        /// Payload length found, in words.
        found: u32,
        /// Payload length of this command, in words (for DMA_WRITE the least).
        needed: u32,
    },
    /// A command reaches past the `N` words of the header.
    #[error(
        "command word {command:#010x} at word {word_offset} has {payload_words} payload words, {remaining_words} remain"
    )]
    Overrun {
        /// The whole command word.
        command: u32,
        /// Its place.
        word_offset: usize,
        /// Payload length found, in words.
        payload_words: u32,
        /// Words left after the command word (and the long length).
        remaining_words: usize,
    },
    /// A DMA_WRITE above the 32-bit space of array addresses.
    #[error("DMA_WRITE at word {word_offset} has address high {high:#010x}; array addresses are 32 bits wide")]
    DmaAddressHigh {
        /// The high address word.
        high: u32,
        /// Place of the command word.
        word_offset: usize,
    },
    /// Bytes after the last command.
    #[error("{trailing_bytes} bytes follow the CDO of {cdo_bytes} bytes")]
    TrailingBytes {
        /// Size of the CDO.
        cdo_bytes: usize,
        /// Bytes after it.
        trailing_bytes: usize,
    },
}

impl Command {
    fn code(&self) -> u32 {
        match self {
            Command::MaskWrite { .. } => MASK_WRITE,
            Command::Write { .. } => WRITE,
            Command::DmaWrite { .. } => DMA_WRITE,
            Command::Write64 { .. } => WRITE64,
            Command::MaskWrite64 { .. } => MASK_WRITE64,
            Command::Nop { .. } => NOP,
        }
    }

    fn payload_words(&self) -> usize {
        match self {
            Command::Write { .. } => 2,
            Command::MaskWrite { .. } | Command::Write64 { .. } => 3,
            Command::MaskWrite64 { .. } => 4,
            Command::DmaWrite { data, .. } => DMA_WRITE_ADDRESS_WORDS + data.len(),
            Command::Nop { words } => *words as usize,
        }
    }

    /// Words of the whole command, command word and long length included.
    pub fn words(&self) -> usize {
        let payload = self.payload_words();
        1 + usize::from(payload >= LONG_FORM as usize) + payload
    }

    fn write(&self, out: &mut Vec<u8>) {
        let payload = self.payload_words();
        if payload >= LONG_FORM as usize {
            // PANIC: a command of 2^32 words would need 16 GiB of data in memory.
            let length = u32::try_from(payload).expect("payload length fits a word");
            put_words(out, &[LONG_FORM << 16 | self.code(), length]);
        } else {
            put_words(out, &[(payload as u32) << 16 | self.code()]);
        }
        match self {
            Command::MaskWrite { addr, mask, value } => put_words(out, &[*addr, *mask, *value]),
            Command::Write { addr, value } => put_words(out, &[*addr, *value]),
            Command::DmaWrite { addr, data } => {
                put_words(out, &[0, *addr]);
                put_words(out, data);
            }
            Command::Write64 { addr, value } => put_words(out, &[(addr >> 32) as u32, *addr as u32, *value]),
            Command::MaskWrite64 { addr, mask, value } => {
                put_words(out, &[(addr >> 32) as u32, *addr as u32, *mask, *value]);
            }
            Command::Nop { words } => out.resize(out.len() + 4 * *words as usize, 0),
        }
    }
}

/// Words of `commands` when written: the `N` of the header.
///
/// # Panics
/// If they exceed what a word can count (16 GiB of commands).
pub fn command_words(commands: &[Command]) -> u32 {
    let words: usize = commands.iter().map(Command::words).sum();
    // PANIC: such a list could not have been built in memory.
    u32::try_from(words).expect("command words fit the header field")
}

/// The header for `command_words` words of commands.
pub(crate) fn header(command_words: u32) -> [u32; HEADER_WORDS] {
    let checked = [HEADER_WORDS_AFTER_FIRST, IDENTIFICATION, VERSION, command_words];
    [checked[0], checked[1], checked[2], checked[3], checksum(&checked)]
}

/// Writes a bare CDO: header and commands, without padding.
pub fn write(commands: &[Command]) -> Vec<u8> {
    let command_words = command_words(commands);
    let total_bytes = 4 * (HEADER_WORDS + command_words as usize);
    let mut out = Vec::with_capacity(total_bytes);
    put_words(&mut out, &header(command_words));
    for command in commands {
        command.write(&mut out);
    }
    assert_eq!(out.len(), total_bytes, "a command wrote another number of words than it reserved");
    out
}

/// Reads a bare CDO that fills `bytes`.
pub fn read(bytes: &[u8]) -> Result<Vec<Command>, CdoError> {
    let (commands, cdo_bytes) = read_prefix(bytes)?;
    if bytes.len() != cdo_bytes {
        return Err(CdoError::TrailingBytes { cdo_bytes, trailing_bytes: bytes.len() - cdo_bytes });
    }
    Ok(commands)
}

/// Reads the CDO at the start of `bytes`; returns its commands and its size in bytes.
pub fn read_prefix(bytes: &[u8]) -> Result<(Vec<Command>, usize), CdoError> {
    let mut header = [0u32; HEADER_WORDS];
    for (index, word) in header.iter_mut().enumerate() {
        *word = word_at(bytes, 4 * index)
            .ok_or(CdoError::Truncated { needed_bytes: 4 * HEADER_WORDS as u64, found_bytes: bytes.len() })?;
    }
    for (word, expected) in [(0, HEADER_WORDS_AFTER_FIRST), (1, IDENTIFICATION), (2, VERSION)] {
        if header[word] != expected {
            return Err(CdoError::Header { word, found: header[word], expected });
        }
    }
    let expected = checksum(&header[..4]);
    if header[4] != expected {
        return Err(CdoError::Checksum { found: header[4], expected });
    }
    let needed_bytes = 4 * (HEADER_WORDS as u64 + u64::from(header[3]));
    let body = usize::try_from(needed_bytes)
        .ok()
        .and_then(|end| bytes.get(4 * HEADER_WORDS..end))
        .ok_or(CdoError::Truncated { needed_bytes, found_bytes: bytes.len() })?;
    let body: Vec<u32> = body.as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (command, words) = read_command(&body[at..], HEADER_WORDS + at)?;
        commands.push(command);
        at += words;
    }
    Ok((commands, 4 * (HEADER_WORDS + body.len())))
}

/// Reads the command at the start of `rest`, which is not empty; returns it and the words it takes.
fn read_command(rest: &[u32], word_offset: usize) -> Result<(Command, usize), CdoError> {
    let command = rest[0];
    let short_length = command >> 16;
    let overrun =
        |payload_words, remaining_words| CdoError::Overrun { command, word_offset, payload_words, remaining_words };
    let (head_words, payload_words) =
        if short_length == LONG_FORM { (2, *rest.get(1).ok_or(overrun(LONG_FORM, 0))?) } else { (1, short_length) };
    let after_head = &rest[head_words..];
    let code = command & 0xFFFF;
    let (needed, exact) = match code {
        MASK_WRITE | WRITE64 => (3, true),
        WRITE => (2, true),
        MASK_WRITE64 => (4, true),
        DMA_WRITE => (DMA_WRITE_ADDRESS_WORDS as u32, false),
        NOP => (0, false),
        _ => return Err(CdoError::UnsupportedCommand { command, word_offset }),
    };
    if payload_words < needed || (exact && payload_words != needed) {
        return Err(CdoError::PayloadLength { command, word_offset, found: payload_words, needed });
    }
    let payload = after_head.get(..payload_words as usize).ok_or(overrun(payload_words, after_head.len()))?;
    let wide = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let decoded = match (code, payload) {
        (MASK_WRITE, &[addr, mask, value]) => Command::MaskWrite { addr, mask, value },
        (WRITE, &[addr, value]) => Command::Write { addr, value },
        (MASK_WRITE64, &[high, low, mask, value]) => Command::MaskWrite64 { addr: wide(high, low), mask, value },
        (WRITE64, &[high, low, value]) => Command::Write64 { addr: wide(high, low), value },
        (DMA_WRITE, &[0, addr, ref data @ ..]) => Command::DmaWrite { addr, data: data.to_vec() },
        (DMA_WRITE, &[high, ..]) => return Err(CdoError::DmaAddressHigh { high, word_offset }),
        (NOP, _) => Command::Nop { words: payload_words },
        _ => unreachable!("command and payload length were checked above"),
    };
    Ok((decoded, head_words + payload.len()))
}
