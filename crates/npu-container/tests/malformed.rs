//! Random contents survive the round trip, and no bytes make a reader panic.

use npu_container::cdo::{self, Command};
use npu_container::txn::{self, Direction, Header, Op};
use npu_container::xclbin::{self, Builder};
use npu_container::{Kind, detect, pdi};
use proptest::collection::vec;
use proptest::prelude::*;

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any::<[u32; 3]>().prop_map(|[addr, mask, value]| Command::MaskWrite { addr, mask, value }),
        any::<[u32; 2]>().prop_map(|[addr, value]| Command::Write { addr, value }),
        // Around the lengths at which the long form begins.
        (any::<u32>(), prop_oneof![vec(any::<u32>(), 0..8), vec(any::<u32>(), 250..258)])
            .prop_map(|(addr, data)| Command::DmaWrite { addr, data }),
        any::<(u64, u32)>().prop_map(|(addr, value)| Command::Write64 { addr, value }),
        any::<(u64, u32, u32)>().prop_map(|(addr, mask, value)| Command::MaskWrite64 { addr, mask, value }),
        prop_oneof![0u32..8, 250u32..258].prop_map(|words| Command::Nop { words }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let direction = prop_oneof![Just(Direction::S2mm), Just(Direction::Mm2s)];
    prop_oneof![
        any::<[u32; 2]>().prop_map(|[addr, value]| Op::Write { addr, value }),
        (any::<u32>(), vec(any::<u32>(), 0..20)).prop_map(|(addr, data)| Op::BlockWrite { addr, data }),
        any::<[u32; 3]>().prop_map(|[addr, value, mask]| Op::MaskWrite { addr, value, mask }),
        any::<[u32; 3]>().prop_map(|[addr, value, mask]| Op::MaskPoll { addr, value, mask }),
        any::<[u32; 3]>().prop_map(|[addr, value, mask]| Op::MaskPollBusy { addr, value, mask }),
        Just(Op::Noop),
        (direction, any::<[u8; 5]>()).prop_map(|(direction, [col, row, cols, rows, channel])| Op::Tct {
            direction,
            col,
            row,
            cols,
            rows,
            channel
        }),
        any::<[u32; 3]>().prop_map(|[register, arg_index, arg_plus]| Op::DdrPatch { register, arg_index, arg_plus }),
    ]
}

/// Runs every reader; what they return does not matter here.
fn read_all(bytes: &[u8]) {
    let _ = detect(bytes);
    let _ = cdo::read(bytes);
    let _ = pdi::read(bytes);
    let _ = txn::read(bytes);
    let _ = xclbin::read(bytes);
}

/// Damages `bytes` at the given places, and perhaps cuts them.
fn damage(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)], keep: Option<prop::sample::Index>) -> Vec<u8> {
    for (place, value) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    if let Some(keep) = keep {
        let kept = keep.index(bytes.len() + 1);
        bytes.truncate(kept);
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec(any::<(prop::sample::Index, u8)>(), 0..6)
}

fn sample_xclbin(commands: &[Command]) -> Vec<u8> {
    Builder::new("kernel", "instance", &pdi::write(commands), 4, 4, [7; 16]).write().unwrap()
}

proptest! {
    #[test]
    fn commands_round_trip(commands in vec(command(), 0..12)) {
        let bare = cdo::write(&commands);
        prop_assert_eq!(detect(&bare), Some(Kind::Cdo));
        prop_assert_eq!(cdo::read(&bare), Ok(commands.clone()));
        let wrapped = pdi::write(&commands);
        prop_assert_eq!(detect(&wrapped), Some(Kind::Pdi));
        prop_assert_eq!(wrapped.len(), pdi::file_bytes(&commands));
        prop_assert_eq!(pdi::read(&wrapped).unwrap().commands, commands);
    }

    #[test]
    fn operations_round_trip(ops in vec(op(), 0..12), columns in 1u8..=5) {
        let header = Header::npu1(columns);
        let stream = txn::write(&header, &ops);
        prop_assert_eq!(detect(&stream), Some(Kind::Txn));
        prop_assert_eq!(txn::read(&stream), Ok(txn::Txn { header, ops }));
    }

    #[test]
    fn pdis_round_trip_through_an_xclbin(commands in vec(command(), 0..4), columns in 1u16..=4, buffers in 0usize..=16) {
        let image = pdi::write(&commands);
        let file = Builder::new("kernel", "instance", &image, columns, buffers, [7; 16]).write().unwrap();
        prop_assert_eq!(detect(&file), Some(Kind::Xclbin));
        let read = xclbin::read(&file).unwrap();
        prop_assert_eq!(&read.pdi_for_kernel(0x901).unwrap().image, &image);
        prop_assert_eq!(read.kernels[0].arguments.len(), 3 + buffers.max(5));
    }

    #[test]
    fn damaged_files_do_not_panic(
        commands in vec(command(), 0..4),
        ops in vec(op(), 0..6),
        changes in changes(),
        keep in any::<Option<prop::sample::Index>>(),
    ) {
        let streams = [cdo::write(&commands), pdi::write(&commands), txn::write(&Header::npu1(4), &ops)];
        for file in streams.into_iter().chain([sample_xclbin(&commands)]) {
            read_all(&damage(file, &changes, keep));
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }

    /// Past the checks of the header, where the readers of commands and operations begin.
    #[test]
    fn random_bodies_do_not_panic(words in vec(prop_oneof![any::<u32>(), 0u32..512, 0x0001_0100u32..0x0001_0112], 0..60)) {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let header = [4, 0x004F_4443, 0x200, words.len() as u32];
        let sum = header.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
        let mut bare: Vec<u8> = header.iter().chain([&!sum]).flat_map(|word| word.to_le_bytes()).collect();
        bare.extend(&body);
        let _ = cdo::read(&bare);
        let stream_header = [0x0603_0100u32, 0x104, words.len() as u32, 16 + body.len() as u32];
        let mut stream: Vec<u8> = stream_header.iter().flat_map(|word| word.to_le_bytes()).collect();
        stream.extend(&body);
        let _ = txn::read(&stream);
    }
}

#[test]
fn other_files_are_not_detected() {
    for bytes in [&b""[..], b"\x7FELF\x02\x01\x01\0", &[0; 64], b"xclbin1\0", b"PK\x03\x04\0\0\0\0"] {
        assert_eq!(detect(bytes), None, "{bytes:02x?}");
    }
}
