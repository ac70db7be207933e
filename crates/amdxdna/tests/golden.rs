//! A run from open to close, byte for byte as the kernel sees it.

mod common;

use amdxdna_fake::{Driver, Entry};
use common::{machine, prepare};

/// Arguments as 32-bit words.
fn words(bytes: &[u8]) -> Vec<u32> {
    assert!(bytes.len().is_multiple_of(4));
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

struct Expected {
    request: u32,
    argument: &'static [u32],
    pointed: &'static [(usize, &'static [u32])],
}

const fn plain(request: u32, argument: &'static [u32]) -> Expected {
    Expected { request, argument, pointed: &[] }
}

const ONES: u32 = 0xFFFF_FFFF;

/// Handles count from 1: heap 1, PDI 2, stream 3, input 4, output 5, command 6. Context and syncobj are 1.
#[rustfmt::skip]
const RUN: &[Expected] = &[
    // open: VERSION with 64 bytes for the name, AIE_METADATA
    Expected { request: 0xC040_6400, argument: &[0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], pointed: &[(24, &[0; 16])] },
    Expected { request: 0xC010_6447, argument: &[1, 64, 0, 0], pointed: &[(8, &[0; 16])] },
    // the heap: type 2, 64 MiB
    plain(0xC020_6443, &[0, 0, 0, 0, 0x0400_0000, 0, 2, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    // a context: 16 tiles, 2048 operations per cycle; quality of service zero, any column
    Expected {
        request: 0xC038_6440,
        argument: &[0, 0, 0, 0, 0, 0, 0, 0, 2048, 16, 0, 0, 0, 0],
        pointed: &[(16, &[0, 0, 0, 0, 0, 0, 0xFF, 0])],
    },
    // the PDI: type 3, one page; CONFIG_CU with one unit, function 0
    plain(0xC020_6443, &[0, 0, 0, 0, 4096, 0, 3, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]),
    Expected { request: 0xC018_6442, argument: &[1, 0, 0, 0, 16, 0], pointed: &[(8, &[1, 0, 2, 0])] },
    // the stream, then operands: type 1
    plain(0xC020_6443, &[0, 0, 0, 0, 4096, 0, 3, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]),
    plain(0xC020_6443, &[0, 0, 0, 0, 4096, 0, 1, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]),
    plain(0xC020_6443, &[0, 0, 0, 0, 8192, 0, 1, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]),
    // the command buffer: type 4
    plain(0xC020_6443, &[0, 0, 0, 0, 4096, 0, 4, 0]),
    plain(0xC030_6444, &[0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]),
    // EXEC_CMD of context 1: one command, buffer 6; stream, input, output
    Expected {
        request: 0xC038_6446,
        argument: &[0, 0, 0, 0, 1, 0, 6, 0, 0, 0, 1, 3, 0, 0],
        pointed: &[(32, &[3, 4, 5])],
    },
    // the end: command, operands and stream, then syncobj and context, and their PDI; the heap goes with the file
    plain(0x4008_6409, &[6, 0]),
    plain(0x4008_6409, &[5, 0]),
    plain(0x4008_6409, &[4, 0]),
    plain(0x4008_6409, &[3, 0]),
    plain(0xC008_64C0, &[1, 0]),
    plain(0xC008_6441, &[1, 0]),
    plain(0x4008_6409, &[2, 0]),
];

fn compare(log: &[Entry], expected: &[Expected]) {
    for (index, (entry, expected)) in log.iter().zip(expected).enumerate() {
        assert_eq!(entry.request, expected.request, "call {index}: {:#x}", entry.request);
        assert_eq!(words(&entry.argument), expected.argument, "call {index}: {:#x}", entry.request);
        let pointed: Vec<_> = entry.pointed.iter().map(|(at, bytes)| (*at, words(bytes))).collect();
        let wanted: Vec<_> = expected.pointed.iter().map(|&(at, words)| (at, words.to_vec())).collect();
        assert_eq!(pointed, wanted, "call {index}: {:#x}", entry.request);
        assert_eq!(entry.result, Ok(()), "call {index}");
    }
    assert_eq!(log.len(), expected.len());
}

#[test]
fn a_whole_run() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    run.go().expect("completes");
    assert_eq!(&run.output.bytes().expect("at rest")[..16], b"sixteen bytes in");
    drop(run);
    assert!(fake.counts().is_zero(), "{:?}", fake.counts());
    compare(&fake.log(), RUN);
}

#[test]
fn a_wait_names_syncobj_point_and_a_deadline() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| amdxdna_fake::Outcome::completed().after(std::time::Duration::from_millis(40)));
    let mut run = prepare(&fake).expect("a run");
    run.go().expect("completes");
    run.context.submit(&mut run.command).expect("again");
    fake.clear_log();
    run.command.wait(common::SECOND, &common::NEVER).expect("completes");
    // The clock starts at 1 s; the second wait begins at 1.04 s and is at most 0.1 s long.
    let until = 1_140_000_000;
    compare(
        &fake.log(),
        &[Expected {
            request: 0xC028_64CA,
            argument: Box::leak(Box::new([0, 0, 0, 0, until, 0, 1, 2, 0, 0])),
            pointed: &[(0, &[1]), (8, &[1, 0])],
        }],
    );
}

#[test]
fn a_wait_without_timeline_is_in_milliseconds() {
    let fake = machine(Driver::out_of_tree());
    fake.on_execute(|_| amdxdna_fake::Outcome::completed().after(std::time::Duration::from_millis(40)));
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    fake.clear_log();
    run.command.wait(common::SECOND, &common::NEVER).expect("completes");
    compare(&fake.log(), &[plain(0x4010_6449, &[1, 100, 0, 0])]);
}

#[test]
fn sync_prime_and_power() {
    let fake = machine(Driver { root: true, ..Driver::current() });
    let device = fake.open(amdxdna::Options::default()).expect("opens");
    let bo = device.buffer_of(8192).expect("a buffer");
    fake.clear_log();
    bo.sync(amdxdna::Direction::ToDevice, 64..192).expect("syncs");
    let dma_buf = bo.export().expect("exports");
    device.import(&dma_buf).expect("imports");
    device.set_power_mode(amdxdna::PowerMode::Turbo).expect("root");
    device.aie_status().expect("status");
    device.contexts().expect("contexts");
    let log = fake.log();
    compare(
        &log[..4],
        &[
            plain(0xC018_6445, &[1, 0, 64, 0, 128, 0]),
            plain(0xC00C_642D, &[1, 0x8_0002, ONES]),
            plain(0xC00C_642E, &[0, 0, 4]),
            Expected { request: 0xC010_6448, argument: &[0, 8, 0, 0], pointed: &[(8, &[4, 0])] },
        ],
    );
    // AIE_STATUS: a structure with the address of five columns of 816 bytes.
    assert_eq!((log[4].request, words(&log[4].argument)), (0xC010_6447, vec![0, 16, 0, 0]));
    assert_eq!(log[4].pointed[0], (8, [0u32, 0, 5 * 816, 0].map(u32::to_le_bytes).concat()));
    assert_eq!((log[4].pointed[1].0, log[4].pointed[1].1.len()), (0, 5 * 816));
    // HW_CONTEXT_ALL: 64 elements of 160 bytes.
    assert_eq!((log[5].request, words(&log[5].argument)), (0xC018_644A, vec![0, 160, 64, 0, 0, 0]));
    assert_eq!(log[5].pointed[0].1.len(), 64 * 160);
}
