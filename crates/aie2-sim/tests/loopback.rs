//! Byte streams of public origin: AMD's smallest PDI, and the shim-only loopback.

mod support;

use aie2_sim::{Config, Fault, Machine};

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn checksum(words: &[u32]) -> u32 {
    !words.iter().fold(0u32, |a, w| a.wrapping_add(*w))
}

/// AMD's DPU_PDI_0: enables the cores of column 0 and nothing else. 432 bytes.
// SOURCE: Xilinx/VTD validate_npu.xclbin.
fn amd_pdi() -> Vec<u8> {
    let mut words = vec![0x0000_00DD, 0x1122_3344, 0x5566_7788, 0x99AA_BBCC];
    let mut iht = vec![0u32; 31];
    for (i, w) in [
        (0, 0x0004_0000),
        (1, 1),
        (2, 0x24),
        (3, 1),
        (4, 0x34),
        (6, 0x14CA_8093),
        (10, 0x5050_4449),
        (11, 0x0020_1020),
        (12, 0x30),
        (17, 1),
    ] {
        iht[i] = w;
    }
    let mut ih = vec![0u32; 15];
    for (i, w) in [(0, 0x34), (1, 1), (4, 0x5F65_6961), (5, 0x6761_6D69), (6, 0x65), (8, 0x1C00_0000)] {
        ih[i] = w;
    }
    let mut ph = vec![0u32; 31];
    for (i, w) in [(0, 0x18), (1, 0x15), (2, 0x18), (6, u32::MAX), (7, u32::MAX), (8, 0x54), (9, 0x0200_0006), (10, 1)]
    {
        ph[i] = w;
    }
    for (table, sum) in [(iht, 0x9AC1_2A78), (ih, 0x1D39_289B), (ph, 0xFDFF_FF61)] {
        assert_eq!(checksum(&table), sum);
        words.extend(&table);
        words.push(sum);
    }
    words.extend([0x0000_0004, 0x004F_4443, 0x0000_0200, 0x0000_0010, 0xFFB0_B9A8]);
    for row in 2..6u32 {
        words.extend([0x0003_0102, row << 20 | 0x3_2000, 1, 1]);
    }
    words.extend([0; 3]);
    bytes(&words)
}

/// 13 operations, 416 bytes: host buffer 0 to host buffer 1 through the shim of column 0.
const LOOPBACK: &str = "
    06030100 00000105 0000000D 000001A0
    00000000 00000000 0001F000 00000000 00000400 00000018
    00000000 00000000 0001F004 00000000 00000010 00000018
    00000000 00000000 0003F008 00000000 80000000 00000018
    00000000 00000000 0003F100 00000000 80000000 00000018
    00000000 00000000 0003F010 00000000 80000005 00000018
    00000000 00000000 0003F114 00000000 80000000 00000018
    00000001 00000000 0001D060 00000030 00000400 00000000 00000000 00000000 80000000 02000000 00000000 02000000
    00000081 00000030 00000000 00000000 00000000 00000000 0001D064 00000000 00000001 00000000 00000000 00000000
    00000001 00000000 0001D020 00000030 00000400 00000000 00000000 00000000 80000000 02000000 00000000 02000000
    00000081 00000030 00000000 00000000 00000000 00000000 0001D024 00000000 00000000 00000000 00000000 00000000
    00000000 00000000 0001D204 00000000 80000003 00000018
    00000000 00000000 0001D214 00000000 00000001 00000018
    00000080 00000010 00000000 00010100";

fn loopback() -> Vec<u32> {
    LOOPBACK.split_whitespace().map(|w| u32::from_str_radix(w, 16).unwrap()).collect()
}

fn run(stream: &[u32], bytes_in: usize, bytes_out: usize) -> Result<(Vec<u8>, Vec<u8>, aie2_sim::RunReport), Fault> {
    let mut machine = Machine::new(Config { cycle_limit: 1_000_000, ..Config::default() });
    machine.load_pdi(&amd_pdi())?;
    let input = machine.alloc("input", bytes_in);
    let output = machine.alloc("output", bytes_out);
    let data: Vec<u8> = (0..bytes_in).map(|i| (i * 7 + i / 256) as u8).collect();
    machine.write_buffer(input, 0, &data)?;
    let report = machine.run(&bytes(stream), &[input, output])?;
    Ok((data, machine.read_buffer(output)?, report))
}

#[test]
fn shim_loopback_copies_4_kib_under_amds_pdi() {
    assert_eq!(amd_pdi().len(), 432);
    let stream = loopback();
    assert_eq!(4 * stream.len(), 0x1A0);
    let (data, out, report) = run(&stream, 4096, 4096).unwrap();
    assert_eq!(out, data);
    assert_eq!(report.tokens, 1);
    assert_eq!((report.ddr_read_bytes(), report.ddr_written_bytes()), (4096, 4096));
    // The first MM2S task alone takes 1330 + 336 + 1.05 * 1024 cycles.
    assert!(report.cycles > 2741 && report.cycles < 20_000, "{} cycles", report.cycles);
}

#[test]
fn a_transfer_longer_than_its_buffer_names_bd_argument_and_extent() {
    match run(&loopback(), 4096, 4092) {
        Err(Fault::DdrAddress { channel, bd: 3, word: 1020, argument: Some(1), bytes: 4092, .. }) => {
            assert_eq!(channel.to_string(), "shim (0, 0) S2MM 0");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_the_token_route_the_token_has_nowhere_to_go() {
    let mut stream = loopback();
    let at = stream.iter().position(|&w| w == 0x0003_F100).unwrap();
    stream[at + 2] = 0;
    assert!(matches!(run(&stream, 4096, 4096), Err(Fault::SlaveDisabled { slave: 0, .. })));
    let at = stream.iter().position(|&w| w == 0x0003_F008).unwrap();
    stream[at + 2] = 0;
    assert!(matches!(run(&stream, 4096, 4096), Err(Fault::TokenRoute { .. })));
}

#[test]
fn without_the_multiplexer_the_sender_is_connected_to_nothing() {
    let mut stream = loopback();
    let at = stream.iter().position(|&w| w == 0x0001_F000).unwrap();
    stream[at + 2] = 0;
    assert!(matches!(run(&stream, 4096, 4096), Err(Fault::UnroutedSource { .. })));
}

#[test]
fn without_the_demultiplexer_the_route_dangles() {
    let mut stream = loopback();
    let at = stream.iter().position(|&w| w == 0x0001_F004).unwrap();
    stream[at + 2] = 0;
    assert!(matches!(run(&stream, 4096, 4096), Err(Fault::DanglingRoute { .. })));
}
