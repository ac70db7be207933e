//! PDIs byte for byte, and each way a PDI can be wrong.

use npu_container::cdo::{CdoError, Command};
use npu_container::pdi::{self, Pdi, PdiError, Table};

fn enable_cores() -> Vec<Command> {
    (2u32..6).map(|row| Command::MaskWrite { addr: row << 20 | 0x32000, mask: 1, value: 1 }).collect()
}

/// The 432 bytes that enable the cores of column 0.
// SOURCE: Xilinx/VTD validate_npu.xclbin, DPU_PDI_0: every word of the file.
fn released() -> Vec<u8> {
    let mut words = vec![0x0000_00DD, 0x1122_3344, 0x5566_7788, 0x99AA_BBCC];
    // image header table
    words.extend([0x0004_0000, 1, 0x24, 1, 0x34, 0, 0x14CA_8093, 0, 0, 0, 0x5050_4449, 0x0020_1020, 0x30, 0, 0, 0, 0]);
    words.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x9AC1_2A78]);
    // image header
    words.extend([0x34, 1, 0, 0, 0x5F65_6961, 0x6761_6D69, 0x65, 0, 0x1C00_0000, 0, 0, 0, 0, 0, 0, 0x1D39_289B]);
    // partition header
    words.extend([0x18, 0x15, 0x18, 0, 0, 0, 0xFFFF_FFFF, 0xFFFF_FFFF, 0x54, 0x0200_0006, 1]);
    words.extend([0; 20]);
    words.push(0xFDFF_FF61);
    // CDO
    words.extend([4, 0x004F_4443, 0x200, 0x10, 0xFFB0_B9A8]);
    for address in [0x0023_2000, 0x0033_2000, 0x0043_2000, 0x0053_2000] {
        words.extend([0x0003_0102, address, 1, 1]);
    }
    words.extend([0; 3]);
    words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// `bytes` with another word at a byte offset.
fn with(bytes: &[u8], offset: usize, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn the_released_432_bytes_are_written_and_read() {
    let released = released();
    assert_eq!(released.len(), 432);
    assert_eq!(pdi::write(&enable_cores()), released);
    assert_eq!(pdi::read(&released), Ok(Pdi { commands: enable_cores() }));
    assert_eq!(pdi::file_bytes(&enable_cores()), 432);
    let file = pdi::write(&enable_cores());
    assert_eq!(pdi::bytes_by_header(&file[..pdi::CDO_OFFSET]), Ok(432));
    let cut = pdi::bytes_by_header(&file[..pdi::CDO_OFFSET - 1]);
    assert_eq!(cut, Err(PdiError::Truncated { needed_bytes: 336, found_bytes: 335 }));
}

#[test]
fn lengths_and_checksums_of_the_released_four_column_files() {
    // SOURCE: Xilinx/VTD validate_npu.xclbin: T, 5 + N, partition header checksum, file size.
    for (padded_words, cdo_words, checksum, file_bytes) in
        [(0x108AC, 0x108AA, 0xFDFC_E5A4, 271_360), (0x1106C, 0x1106A, 0xFDFC_CE64, 279_296)]
    {
        // One NOP of the same length: five header words, a two-word head, the payload.
        let written = pdi::write(&[Command::Nop { words: cdo_words - 5 - 2 }]);
        assert_eq!(written.len(), file_bytes);
        assert_eq!(
            [word(&written, 0xD0), word(&written, 0xD4), word(&written, 0xD8)],
            [padded_words, cdo_words, padded_words]
        );
        assert_eq!(word(&written, 0x14C), checksum);
        assert_eq!([word(&written, 0x8C), word(&written, 0xCC)], [0x9AC1_2A78, 0x1D39_289B]);
        assert_eq!(pdi::write(&pdi::read(&written).unwrap().commands), written);
    }
}

#[test]
fn partitions_are_padded_to_four_words() {
    for nops in 0..9usize {
        let written = pdi::write(&vec![Command::Nop { words: 0 }; nops]);
        assert_eq!(written.len(), 0x150 + 16 * (5 + nops).div_ceil(4));
        assert_eq!(pdi::read(&written).unwrap().commands.len(), nops);
    }
}

#[test]
fn every_header_word_is_verified() {
    let good = released();
    for offset in (0..0x150).step_by(4) {
        let damaged = with(&good, offset, word(&good, offset) ^ 0x0100_0000);
        assert!(pdi::read(&damaged).is_err(), "word at {offset:#x} is not verified");
    }
}

#[test]
fn each_refusal_names_what_it_found() {
    let good = released();
    let read = |offset, value| pdi::read(&with(&good, offset, value));
    assert_eq!(read(0, 1), Err(PdiError::NotAPdi { found: 1 }));
    let expected = 0x1122_3344;
    assert_eq!(read(4, 2), Err(PdiError::HeaderWord { table: Table::WidthDetection, word: 1, found: 2, expected }));
    assert_eq!(read(0x14, 2), Err(PdiError::ImageCount { found: 2 }));
    assert_eq!(read(0x1C, 3), Err(PdiError::PartitionCount { found: 3 }));
    let expected = 0x14CA_8093;
    assert_eq!(
        read(0x28, 0),
        Err(PdiError::HeaderWord { table: Table::ImageHeaderTable, word: 6, found: 0, expected })
    );
    let expected = 0x9AC1_2A78;
    assert_eq!(read(0x8C, 7), Err(PdiError::Checksum { table: Table::ImageHeaderTable, found: 7, expected }));
    let expected = 0x1C00_0000;
    assert_eq!(read(0xB0, 0), Err(PdiError::HeaderWord { table: Table::ImageHeader, word: 8, found: 0, expected }));
    let expected = 0x1D39_289B;
    assert_eq!(read(0xCC, 7), Err(PdiError::Checksum { table: Table::ImageHeader, found: 7, expected }));
    assert_eq!(read(0x140, 1), Err(PdiError::Transformed { kind: 1 }));
    let expected = 0xFDFF_FF61;
    assert_eq!(read(0x14C, 7), Err(PdiError::Checksum { table: Table::PartitionHeader, found: 7, expected }));
    assert_eq!(read(0x1A4, 0x0300), Err(PdiError::Padding { offset: 0x1A5, found: 3 }));
    assert_eq!(
        pdi::read(&with(&good, 0x164, 0x0001_0104)),
        Err(PdiError::Cdo(CdoError::UnsupportedCommand { command: 0x0001_0104, word_offset: 5 }))
    );
    assert_eq!(read(0x15C, 0x11), Err(PdiError::CdoLength { found_words: 0x16, expected_words: 0x15 }));
    assert_eq!(pdi::read(&good[..100]), Err(PdiError::Truncated { needed_bytes: 0x150, found_bytes: 100 }));
    assert_eq!(pdi::read(&good[..431]), Err(PdiError::Truncated { needed_bytes: 432, found_bytes: 431 }));
    let longer = [&good[..], &[0; 4]].concat();
    assert_eq!(pdi::read(&longer), Err(PdiError::TrailingBytes { pdi_bytes: 432, trailing_bytes: 4 }));
}

#[test]
fn a_partition_length_that_is_not_the_padded_cdo_is_refused() {
    // T and total length raised by four words, checksum corrected.
    let mut bytes = released();
    for offset in [0xD0, 0xD8] {
        bytes = with(&bytes, offset, 0x1C);
    }
    let bytes = with(&bytes, 0x14C, 0xFDFF_FF61 - 8);
    assert_eq!(
        pdi::read(&bytes),
        Err(PdiError::PartitionLength { padded_words: 0x1C, cdo_words: 0x15, expected_words: 0x18 })
    );
}
