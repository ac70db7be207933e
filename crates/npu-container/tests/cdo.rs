//! CDO commands as words, and each way a CDO can be wrong.

use npu_container::address::addr;
use npu_container::cdo::{self, CdoError, Command};

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|raw| u32::from_le_bytes(raw.try_into().unwrap())).collect()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A CDO around command words, its header correct.
fn around(commands: &[u32]) -> Vec<u8> {
    let header = [4, 0x004F_4443, 0x200, commands.len() as u32];
    let sum = header.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
    bytes(&[&header[..], &[!sum], commands].concat())
}

#[test]
fn each_command_has_the_words_of_the_format() {
    let cases = [
        (Command::MaskWrite { addr: 0x23_2000, mask: 1, value: 1 }, vec![0x0003_0102, 0x23_2000, 1, 1]),
        (Command::MaskWrite { addr: 0x1F000, mask: 0xC00, value: 0x400 }, vec![0x0003_0102, 0x1F000, 0xC00, 0x400]),
        (Command::Write { addr: 0x21_DE04, value: 7 }, vec![0x0002_0103, 0x21_DE04, 7]),
        (Command::DmaWrite { addr: 0x20, data: vec![8, 9] }, vec![0x0004_0105, 0, 0x20, 8, 9]),
        (Command::MaskWrite64 { addr: 0x1_0000_0002, mask: 3, value: 4 }, vec![0x0004_0107, 1, 2, 3, 4]),
        (Command::Write64 { addr: 0x1_0000_0002, value: 3 }, vec![0x0003_0108, 1, 2, 3]),
        (Command::Nop { words: 2 }, vec![0x0002_0111, 0, 0]),
        (Command::Nop { words: 0 }, vec![0x0000_0111]),
    ];
    for (command, expected) in cases {
        let written = cdo::write(std::slice::from_ref(&command));
        assert_eq!(words(&written)[5..], expected, "{command:?}");
        assert_eq!(written, around(&expected));
        assert_eq!(command.words(), expected.len());
        assert_eq!(cdo::read(&written), Ok(vec![command]));
    }
}

#[test]
fn payloads_of_255_words_take_the_long_form() {
    // 254 payload words still fit the short form, 255 would collide with its marker.
    let short = cdo::write(&[Command::DmaWrite { addr: 0, data: vec![5; 252] }]);
    assert_eq!(words(&short)[5..8], [0x00FE_0105, 0, 0]);
    let long = cdo::write(&[Command::DmaWrite { addr: 0, data: vec![5; 253] }]);
    assert_eq!(words(&long)[5..9], [0x00FF_0105, 255, 0, 0]);
    // SOURCE: longest payload of AMD's Phoenix PDIs, 3960 data words (Xilinx/VTD validate_npu.xclbin).
    let program = cdo::write(&[Command::DmaWrite { addr: addr(0, 2, 0x20000), data: (0..3960).collect() }]);
    assert_eq!(words(&program)[5..10], [0x00FF_0105, 3962, 0, 0x0022_0000, 0]);
    for written in [short, long, program] {
        assert_eq!(cdo::write(&cdo::read(&written).unwrap()), written);
    }
}

#[test]
fn a_short_payload_in_long_form_is_read() {
    let read = cdo::read(&around(&[0x00FF_0103, 2, 0x10, 0x20]));
    assert_eq!(read, Ok(vec![Command::Write { addr: 0x10, value: 0x20 }]));
}

#[test]
fn header_checksums_of_released_files() {
    // SOURCE: Xilinx/VTD validate_npu.xclbin, DPU_PDI_0 and the first four-column PDI.
    for (command_words, checksum) in [(0x10u32, 0xFFB0_B9A8), (0x108A5, 0xFFAF_B113)] {
        // A NOP of 255 words or more has a two-word head.
        let head = if command_words > 255 { 2 } else { 1 };
        let written = cdo::write(&[Command::Nop { words: command_words - head }]);
        assert_eq!(words(&written)[..5], [4, 0x004F_4443, 0x200, command_words, checksum]);
    }
}

#[test]
fn commands_outside_the_loader_are_refused_with_their_place() {
    // MASK_POLL, DELAY, MASK_POLL64, END of other platforms, and a module other than 1.
    for command in [0x0005_0101, 0x0001_0104, 0x0005_0106, 0x0000_01FF, 0x0003_0202, 0] {
        let read = cdo::read(&around(&[0x0002_0103, 0x10, 0x20, command, 0, 0, 0, 0, 0]));
        assert_eq!(read, Err(CdoError::UnsupportedCommand { command, word_offset: 8 }));
    }
}

#[test]
fn wrong_payload_lengths_are_refused() {
    for (command, needed) in
        [(0x0002_0102, 3), (0x0003_0103, 2), (0x0001_0105, 2), (0x0005_0107, 4), (0x0002_0108, 3), (0x00FF_0103, 2)]
    {
        let found = if command >> 16 == 255 { 9 } else { command >> 16 };
        let read = cdo::read(&around(&[command, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(read, Err(CdoError::PayloadLength { command, word_offset: 5, found, needed }));
    }
}

#[test]
fn a_command_past_the_end_is_refused() {
    let overrun = |command, payload_words, remaining_words| {
        Err(CdoError::Overrun { command, word_offset: 5, payload_words, remaining_words })
    };
    assert_eq!(cdo::read(&around(&[0x0003_0102, 1, 2])), overrun(0x0003_0102, 3, 2));
    assert_eq!(cdo::read(&around(&[0x00FF_0105])), overrun(0x00FF_0105, 255, 0));
    assert_eq!(cdo::read(&around(&[0x00FF_0105, u32::MAX, 0])), overrun(0x00FF_0105, u32::MAX, 1));
}

#[test]
fn damaged_headers_are_refused() {
    let good = around(&[0x0002_0103, 1, 2]);
    let damage = |word: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[4 * word..][..4].copy_from_slice(&value.to_le_bytes());
        cdo::read(&bytes)
    };
    assert_eq!(damage(0, 5), Err(CdoError::Header { word: 0, found: 5, expected: 4 }));
    assert_eq!(damage(1, 6), Err(CdoError::Header { word: 1, found: 6, expected: 0x004F_4443 }));
    assert_eq!(damage(2, 0x132), Err(CdoError::Header { word: 2, found: 0x132, expected: 0x200 }));
    let expected = u32::from_le_bytes(good[16..20].try_into().unwrap());
    assert_eq!(damage(4, 0), Err(CdoError::Checksum { found: 0, expected }));
    assert_eq!(cdo::read(&good[..19]), Err(CdoError::Truncated { needed_bytes: 20, found_bytes: 19 }));
    assert_eq!(cdo::read(&good[..31]), Err(CdoError::Truncated { needed_bytes: 32, found_bytes: 31 }));
    let longer = [&good[..], &[0]].concat();
    assert_eq!(cdo::read(&longer), Err(CdoError::TrailingBytes { cdo_bytes: 32, trailing_bytes: 1 }));
}

#[test]
fn a_dma_write_above_the_array_is_refused() {
    let read = cdo::read(&around(&[0x0003_0105, 1, 0, 0]));
    assert_eq!(read, Err(CdoError::DmaAddressHigh { high: 1, word_offset: 5 }));
}

/// The one-column passthrough that mlir-aie configures, its program memory replaced by a count.
// SOURCE: mlir-aie's sample PDI (jtuyls/hrx-xclbinutil test/data/sample.pdi): addresses, masks and values in its order.
#[test]
fn a_passthrough_configuration_has_the_expected_words() {
    let core = |offset| addr(0, 2, offset);
    let write = |addr, value| Command::Write { addr, value };
    let mask = |addr, mask, value| Command::MaskWrite { addr, mask, value };
    let channels = [0x1DE10, 0x1DE18, 0x1DE00, 0x1DE08];
    let mut commands = vec![mask(core(0x32000), 1, 0)];
    commands.extend(channels.map(|channel| mask(core(channel), 2, 2)));
    commands.push(Command::DmaWrite { addr: core(0x20000), data: (0..960).collect() });
    commands.extend(channels.map(|channel| mask(core(channel), 2, 0)));
    commands.extend([mask(core(0x32000), 2, 2), mask(core(0x32000), 2, 0)]);
    commands.extend((0..16).map(|lock| write(core(0x1F000 + 0x10 * lock), 0)));
    let descriptor =
        |number: u32, words: [u32; 6]| Command::DmaWrite { addr: core(0x1D000 + 0x20 * number), data: words.to_vec() };
    commands.extend([
        descriptor(0, [0x0800_0080, 0, 0, 0, 0, 0x0E04_3FE0]),
        descriptor(2, [0x0040_0080, 0, 0, 0, 0, 0x1E04_5FE3]),
        descriptor(3, [0x0400_0080, 0, 0, 0, 0, 0x1604_5FE3]),
        descriptor(1, [0x0C00_0080, 0, 0, 0, 0, 0x0604_3FE0]),
    ]);
    commands.extend([
        write(core(0x1DE04), 0),
        mask(core(0x1DE00), 1, 0),
        write(core(0x1DE14), 2),
        mask(core(0x1DE10), 1, 0),
    ]);
    commands.extend([write(0x3F034, 0x8000_0005), mask(0x1F000, 0xC00, 0x400), mask(0x1F004, 0x30, 0x10)]);
    commands.push(mask(core(0x32000), 1, 1));

    let written = words(&cdo::write(&commands));
    assert_eq!(written[5..9], [0x0003_0102, 0x0023_2000, 1, 0]);
    assert_eq!(written[9..13], [0x0003_0102, 0x0021_DE10, 2, 2]);
    let program = 5 + 5 * 4;
    assert_eq!(written[program..program + 5], [0x00FF_0105, 962, 0, 0x0022_0000, 0]);
    let locks = program + 2 + 962 + 6 * 4;
    assert_eq!(written[locks..locks + 6], [0x0002_0103, 0x0021_F000, 0, 0x0002_0103, 0x0021_F010, 0]);
    let descriptors = locks + 16 * 3;
    assert_eq!(
        written[descriptors..descriptors + 9],
        [0x0008_0105, 0, 0x0021_D000, 0x0800_0080, 0, 0, 0, 0, 0x0E04_3FE0]
    );
    assert_eq!(written[written.len() - 4..], [0x0003_0102, 0x0023_2000, 1, 1]);
    assert_eq!(written[3] as usize, written.len() - 5);
    assert_eq!(cdo::read(&bytes(&written)), Ok(commands));
}
