//! PDI: the image that configures a partition, as the kernel driver takes it for a compute unit.
//!
//! One image, one partition, one CDO; no boot header. The headers take 0x150 bytes and hold nothing
//! variable except the CDO length:
//!
//! ```text
//! 0x000  width detection        4 words
//! 0x010  image header table    32 words, checksum in the last
//! 0x090  image header          16 words, checksum in the last
//! 0x0D0  partition header      32 words, checksum in the last; words 0..2 = T, 5 + N, T
//! 0x150  CDO                    5 + N words, zero-padded to T = the next multiple of 4
//! ```
// SOURCE: Xilinx/bootgen PDI writer; Xilinx/XRT tools/xclbinutil/aie-pdi-transform/lib/load_pdi.c; the eight PDIs of
// Xilinx/VTD validate_npu.xclbin, which all carry these constants.

use crate::cdo::{self, CdoError, Command};
use crate::words::{checksum, put_words, word_at};

/// The four words at offset 0.
pub const WIDTH_DETECTION: [u32; 4] = [0x0000_00DD, 0x1122_3344, 0x5566_7788, 0x99AA_BBCC];
/// Byte offset of the CDO.
pub const CDO_OFFSET: usize = 0x150;

const IMAGE_HEADER_TABLE_OFFSET: usize = 0x10;
const IMAGE_HEADER_OFFSET: usize = 0x90;
const PARTITION_HEADER_OFFSET: usize = 0xD0;

const IMAGE_HEADER_TABLE: [u32; 31] = {
    let mut words = [0; 31];
    words[0] = 0x0004_0000; // version
    words[IMAGE_COUNT] = 1;
    words[2] = (IMAGE_HEADER_OFFSET / 4) as u32;
    words[PARTITION_COUNT] = 1;
    words[4] = (PARTITION_HEADER_OFFSET / 4) as u32;
    words[6] = 0x14CA_8093; // id code
    words[10] = u32::from_le_bytes(*b"IDPP"); // identification
    words[11] = 0x0020_1020; // header sizes in words: partition header, image header, image header table
    words[12] = 0x30; // meta header words: image header and partition header
    words[17] = 1; // extended id code
    words
};
const IMAGE_COUNT: usize = 1;
const PARTITION_COUNT: usize = 3;

const IMAGE_HEADER: [u32; 15] = {
    let mut words = [0; 15];
    words[0] = (PARTITION_HEADER_OFFSET / 4) as u32;
    words[1] = 1; // partition count
    words[4] = u32::from_le_bytes(*b"aie_");
    words[5] = u32::from_le_bytes(*b"imag");
    words[6] = u32::from_le_bytes(*b"e\0\0\0");
    words[8] = 0x1C00_0000; // image id
    words
};

/// The partition header for a CDO of `cdo_words`, padded to `padded_words`.
const fn partition_header(cdo_words: u32, padded_words: u32) -> [u32; 31] {
    let mut words = [0; 31];
    words[ENCRYPTED_WORDS] = padded_words;
    words[UNENCRYPTED_WORDS] = cdo_words;
    words[2] = padded_words; // total length
    words[6] = u32::MAX; // load address: none
    words[7] = u32::MAX;
    words[8] = (CDO_OFFSET / 4) as u32;
    words[9] = 0x0200_0006; // attributes
    words[10] = 1; // section count
    words
}
const ENCRYPTED_WORDS: usize = 0;
const UNENCRYPTED_WORDS: usize = 1;
const TRANSFORM_KIND: usize = 28;

/// A table of the PDI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Width detection words.
    WidthDetection,
    /// Image header table.
    ImageHeaderTable,
    /// Image header.
    ImageHeader,
    /// Partition header.
    PartitionHeader,
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Table::WidthDetection => "width detection",
            Table::ImageHeaderTable => "image header table",
            Table::ImageHeader => "image header",
            Table::PartitionHeader => "partition header",
        })
    }
}

/// Why bytes are not a PDI that the NPU loads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PdiError {
    /// The file ends before its headers or its partition do.
    #[error("PDI ends early: {needed_bytes} bytes needed, {found_bytes} present")]
    Truncated {
        /// Bytes called for.
        needed_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// The first words are not those of a PDI.
    #[error("not a PDI: word 0 is {found:#010x}, must be {:#010x}", WIDTH_DETECTION[0])]
    NotAPdi {
        /// Word 0.
        found: u32,
    },
    /// The loader takes one image.
    #[error("PDI has {found} images, the NPU loader takes one")]
    ImageCount {
        /// Images found.
        found: u32,
    },
    /// The loader takes one partition.
    #[error("PDI has {found} partitions, the NPU loader takes one")]
    PartitionCount {
        /// Partitions found.
        found: u32,
    },
    /// The CDO is re-packed into command groups (xclbinutil's PDI transform).
    #[error("PDI is transformed (kind {kind:#x}); only a plain CDO is read")]
    Transformed {
        /// Partition header word 28.
        kind: u32,
    },
    /// A constant header word has another value.
    #[error("{table} word {word} is {found:#010x}, must be {expected:#010x}")]
    HeaderWord {
        /// The table.
        table: Table,
        /// Word index in the table.
        word: usize,
        /// The value found.
        found: u32,
        /// The value of every NPU PDI.
        expected: u32,
    },
    /// The checksum of a table does not match it.
    #[error("{table} checksum is {found:#010x}, computed {expected:#010x}")]
    Checksum {
        /// The table.
        table: Table,
        /// The checksum found.
        found: u32,
        /// The checksum of the words found.
        expected: u32,
    },
    /// The padded length is not the CDO length rounded up to four words.
    #[error("partition is {padded_words} words long, its CDO of {cdo_words} words calls for {expected_words}")]
    PartitionLength {
        /// Encrypted length: `T`.
        padded_words: u32,
        /// Unencrypted length: `5 + N`.
        cdo_words: u32,
        /// `cdo_words` rounded up to a multiple of 4.
        expected_words: u64,
    },
    /// The length in the CDO's own header is not the one in the partition header.
    #[error("CDO is {found_words} words long, the partition header says {expected_words}")]
    CdoLength {
        /// Words the CDO header calls for.
        found_words: u64,
        /// Words in the partition header.
        expected_words: u32,
    },
    /// The padding after the CDO is not zero.
    #[error("padding at byte {offset:#x} is {found:#04x}, must be zero")]
    Padding {
        /// Byte offset in the file.
        offset: usize,
        /// The byte found.
        found: u8,
    },
    /// Bytes after the partition.
    #[error("{trailing_bytes} bytes follow the PDI of {pdi_bytes} bytes")]
    TrailingBytes {
        /// Size by the partition header.
        pdi_bytes: usize,
        /// Bytes after it.
        trailing_bytes: usize,
    },
    /// The CDO is wrong.
    #[error("in the CDO at byte {CDO_OFFSET:#x}: {0}")]
    Cdo(#[from] CdoError),
}

/// A PDI, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdi {
    /// The commands, in the order in which the loader executes them.
    pub commands: Vec<Command>,
}

/// Size in bytes of the PDI that holds `commands`.
pub fn file_bytes(commands: &[Command]) -> usize {
    CDO_OFFSET + 4 * padded(cdo::HEADER_WORDS as u32 + cdo::command_words(commands)) as usize
}

/// Size in bytes of the PDI whose first [`CDO_OFFSET`] bytes are `head`, by its partition header; [`read`] verifies it.
///
/// # Errors
/// If `head` is shorter.
pub fn bytes_by_header(head: &[u8]) -> Result<u64, PdiError> {
    let padded_words = head
        .get(..CDO_OFFSET)
        .and_then(|head| word_at(head, PARTITION_HEADER_OFFSET + 4 * ENCRYPTED_WORDS))
        .ok_or(PdiError::Truncated { needed_bytes: CDO_OFFSET as u64, found_bytes: head.len() })?;
    Ok(CDO_OFFSET as u64 + 4 * u64::from(padded_words))
}

fn padded(cdo_words: u32) -> u64 {
    u64::from(cdo_words).next_multiple_of(4)
}

/// Writes the PDI that executes `commands`.
///
/// # Panics
/// If the commands take 16 GiB or more.
pub fn write(commands: &[Command]) -> Vec<u8> {
    let cdo_words = cdo::HEADER_WORDS as u32 + cdo::command_words(commands);
    // PANIC: such a list could not have been built in memory.
    let padded_words = u32::try_from(padded(cdo_words)).expect("partition length fits its field");
    let total_bytes = CDO_OFFSET + 4 * padded_words as usize;
    let mut out = Vec::with_capacity(total_bytes);
    put_words(&mut out, &WIDTH_DETECTION);
    for table in [&IMAGE_HEADER_TABLE[..], &IMAGE_HEADER, &partition_header(cdo_words, padded_words)] {
        put_words(&mut out, table);
        put_words(&mut out, &[checksum(table)]);
    }
    assert_eq!(out.len(), CDO_OFFSET);
    out.extend_from_slice(&cdo::write(commands));
    out.resize(total_bytes, 0);
    out
}

/// Reads a PDI and verifies every header word, every checksum and the padding.
pub fn read(bytes: &[u8]) -> Result<Pdi, PdiError> {
    let truncated = |needed_bytes| PdiError::Truncated { needed_bytes, found_bytes: bytes.len() };
    let first = word_at(bytes, 0).ok_or(truncated(CDO_OFFSET as u64))?;
    if first != WIDTH_DETECTION[0] {
        return Err(PdiError::NotAPdi { found: first });
    }
    if bytes.len() < CDO_OFFSET {
        return Err(truncated(CDO_OFFSET as u64));
    }
    let table = |offset: usize, words: usize| -> Vec<u32> {
        (0..words).filter_map(|index| word_at(bytes, offset + 4 * index)).collect()
    };

    compare(Table::WidthDetection, &table(0, 4), &WIDTH_DETECTION)?;

    let image_header_table = table(IMAGE_HEADER_TABLE_OFFSET, 32);
    if image_header_table[IMAGE_COUNT] != 1 {
        return Err(PdiError::ImageCount { found: image_header_table[IMAGE_COUNT] });
    }
    if image_header_table[PARTITION_COUNT] != 1 {
        return Err(PdiError::PartitionCount { found: image_header_table[PARTITION_COUNT] });
    }
    verify(Table::ImageHeaderTable, &image_header_table, &IMAGE_HEADER_TABLE)?;
    verify(Table::ImageHeader, &table(IMAGE_HEADER_OFFSET, 16), &IMAGE_HEADER)?;

    let partition = table(PARTITION_HEADER_OFFSET, 32);
    if partition[TRANSFORM_KIND] != 0 {
        return Err(PdiError::Transformed { kind: partition[TRANSFORM_KIND] });
    }
    let (padded_words, cdo_words) = (partition[ENCRYPTED_WORDS], partition[UNENCRYPTED_WORDS]);
    verify(Table::PartitionHeader, &partition, &partition_header(cdo_words, padded_words))?;
    if u64::from(padded_words) != padded(cdo_words) {
        return Err(PdiError::PartitionLength { padded_words, cdo_words, expected_words: padded(cdo_words) });
    }

    let needed_bytes = CDO_OFFSET as u64 + 4 * u64::from(padded_words);
    let body =
        usize::try_from(needed_bytes).ok().and_then(|end| bytes.get(CDO_OFFSET..end)).ok_or(truncated(needed_bytes))?;
    let pdi_bytes = CDO_OFFSET + body.len();
    if bytes.len() != pdi_bytes {
        return Err(PdiError::TrailingBytes { pdi_bytes, trailing_bytes: bytes.len() - pdi_bytes });
    }
    let (cdo, padding) = body.split_at(4 * cdo_words as usize);
    let own_words = word_at(cdo, 12)
        .map(|command_words| cdo::HEADER_WORDS as u64 + u64::from(command_words))
        .unwrap_or(cdo::HEADER_WORDS as u64);
    if own_words != u64::from(cdo_words) {
        return Err(PdiError::CdoLength { found_words: own_words, expected_words: cdo_words });
    }
    if let Some(index) = padding.iter().position(|byte| *byte != 0) {
        return Err(PdiError::Padding { offset: CDO_OFFSET + cdo.len() + index, found: padding[index] });
    }
    Ok(Pdi { commands: cdo::read(cdo)? })
}

/// Compares a table and the checksum in its last word.
fn verify(table: Table, found: &[u32], expected: &[u32]) -> Result<(), PdiError> {
    compare(table, found, expected)?;
    let (checked, found) = (&found[..expected.len()], found[expected.len()]);
    let expected = checksum(checked);
    if found != expected {
        return Err(PdiError::Checksum { table, found, expected });
    }
    Ok(())
}

fn compare(table: Table, found: &[u32], expected: &[u32]) -> Result<(), PdiError> {
    for (word, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            return Err(PdiError::HeaderWord { table, word, found: *found, expected: *expected });
        }
    }
    Ok(())
}
