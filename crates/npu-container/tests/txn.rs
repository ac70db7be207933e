//! Runtime streams word for word, and each way a stream can be wrong.

use npu_container::address::addr;
use npu_container::txn::{self, Direction, Header, Op, Txn, TxnError};

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A stream around op words, its header correct.
fn around(count: u32, ops: &[u32]) -> Vec<u8> {
    bytes(&[&[0x0603_0100, 0x0000_0104, count, 16 + 4 * ops.len() as u32], ops].concat())
}

/// The shim-only loopback of 4 KiB in one column: 13 operations, 416 bytes.
// SOURCE: AMD's df_bw sequence (Xilinx/VTD sequences/df_bw.txt), expressed in the operations of mlir-aie's TxnEncoding.h.
#[test]
fn the_shim_loopback_is_written_word_for_word() {
    let write = |addr, value| Op::Write { addr, value };
    let linear = vec![0x400, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000];
    let ops = vec![
        write(0x1F000, 0x400),
        write(0x1F004, 0x10),
        write(0x3F008, 0x8000_0000),
        write(0x3F100, 0x8000_0000),
        write(0x3F010, 0x8000_0005),
        write(0x3F114, 0x8000_0000),
        Op::BlockWrite { addr: 0x1D060, data: linear.clone() },
        Op::DdrPatch { register: 0x1D064, arg_index: 1, arg_plus: 0 },
        Op::BlockWrite { addr: 0x1D020, data: linear },
        Op::DdrPatch { register: 0x1D024, arg_index: 0, arg_plus: 0 },
        write(0x1D204, 0x8000_0003),
        write(0x1D214, 1),
        Op::wait(Direction::S2mm, 0, 0, 0),
    ];
    #[rustfmt::skip]
    let expected: [u32; 104] = [
        0x0603_0100, 0x0000_0105, 0x0000_000D, 0x0000_01A0,
        0, 0, 0x0001_F000, 0, 0x0000_0400, 0x18,
        0, 0, 0x0001_F004, 0, 0x0000_0010, 0x18,
        0, 0, 0x0003_F008, 0, 0x8000_0000, 0x18,
        0, 0, 0x0003_F100, 0, 0x8000_0000, 0x18,
        0, 0, 0x0003_F010, 0, 0x8000_0005, 0x18,
        0, 0, 0x0003_F114, 0, 0x8000_0000, 0x18,
        1, 0, 0x0001_D060, 0x30, 0x400, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000,
        0x81, 0x30, 0, 0, 0, 0, 0x0001_D064, 0, 1, 0, 0, 0,
        1, 0, 0x0001_D020, 0x30, 0x400, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000,
        0x81, 0x30, 0, 0, 0, 0, 0x0001_D024, 0, 0, 0, 0, 0,
        0, 0, 0x0001_D204, 0, 0x8000_0003, 0x18,
        0, 0, 0x0001_D214, 0, 0x0000_0001, 0x18,
        0x80, 0x10, 0, 0x0001_0100,
    ];
    let header = Header::npu1(5);
    assert_eq!(txn::write(&header, &ops), bytes(&expected));
    assert_eq!(txn::read(&bytes(&expected)), Ok(Txn { header, ops }));
}

#[test]
fn the_header_is_that_of_a_four_column_npu1() {
    let written = txn::write(&Header::npu1(4), &[]);
    assert_eq!(written, [0, 1, 3, 6, 4, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0]);
}

#[test]
fn masked_operations_order_value_before_mask() {
    let [addr, value, mask] = [addr(1, 0, 0x1D210), 0x0F00, 0x1F00];
    for (op, code) in [
        (Op::MaskWrite { addr, value, mask }, 3),
        (Op::MaskPoll { addr, value, mask }, 4),
        (Op::MaskPollBusy { addr, value, mask }, 7),
    ] {
        let expected = around(1, &[code, 0, 0x0201_D210, 0, 0x0F00, 0x1F00, 28]);
        assert_eq!(txn::write(&Header::npu1(4), std::slice::from_ref(&op)), expected);
        assert_eq!(txn::read(&expected).unwrap().ops, std::slice::from_ref(&op));
        // aie-rt's structs are one word longer and say so.
        let padded = around(1, &[code, 0, 0x0201_D210, 0, 0x0F00, 0x1F00, 32, 0]);
        assert_eq!(txn::read(&padded).unwrap().ops, [op]);
    }
}

#[test]
fn noop_and_token_words() {
    let ops = [
        Op::Noop,
        Op::Tct { direction: Direction::Mm2s, col: 3, row: 1, cols: 2, rows: 4, channel: 5 },
        Op::wait(Direction::S2mm, 2, 0, 1),
    ];
    let expected = [5, 128, 16, 0x0003_0101, 0x0502_0400, 128, 16, 0x0002_0000, 0x0101_0100];
    assert_eq!(txn::write(&Header::npu1(4), &ops), around(3, &expected));
    assert_eq!(txn::read(&around(3, &expected)).unwrap().ops, ops);
}

#[test]
fn a_block_write_may_repeat_its_tile() {
    let data = vec![7];
    let read = txn::read(&around(1, &[1, 0x0102, 0x0410_0000, 20, 7])).unwrap();
    assert_eq!(read.ops, [Op::BlockWrite { addr: 0x0410_0000, data }]);
    let other_tile = txn::read(&around(1, &[1, 0x0203, 0x0410_0000, 20, 7]));
    assert_eq!(other_tile, Err(TxnError::BlockWriteTile { op_index: 0, offset: 16, found: 0x0203, addr: 0x0410_0000 }));
}

#[test]
fn buffers_behind_the_fifth_carry_the_aperture_themselves() {
    let patch = |arg_index, byte_offset| Op::ddr_patch(0x1D004, arg_index, byte_offset);
    let op = |arg_index, arg_plus| Ok(Op::DdrPatch { register: 0x1D004, arg_index, arg_plus });
    assert_eq!(patch(4, 0x1000), op(4, 0x1000));
    assert_eq!(patch(5, 0x1000), op(5, 0x8000_1000));
    assert_eq!(patch(0, 0xFFFF_FFFF), op(0, 0xFFFF_FFFF));
    let refused = |arg_index, byte_offset, limit| Err(TxnError::ArgumentOffset { arg_index, byte_offset, limit });
    assert_eq!(patch(0, 1 << 32), refused(0, 1 << 32, 0xFFFF_FFFF));
    assert_eq!(patch(5, 1 << 31), refused(5, 1 << 31, 0x7FFF_FFFF));
}

#[test]
fn operations_of_other_devices_are_refused_with_their_place() {
    // BLOCKSET, PREEMPT, LOADPDI, the full-ELF operations, READ_REGS, RECORD_TIMER, MERGE_SYNC, and unused codes.
    for code in [2u8, 6, 8, 9, 15, 16, 127, 130, 131, 132, 255] {
        let read = txn::read(&around(2, &[5, u32::from(code), 8]));
        assert_eq!(read, Err(TxnError::UnknownOp { code, op_index: 1, offset: 20 }));
    }
}

#[test]
fn each_refusal_of_an_operation_names_what_it_found() {
    let read = |ops: &[u32]| txn::read(&around(1, ops));
    let size = |code, found_bytes, needed_bytes| {
        Err(TxnError::OpSize { code, op_index: 0, offset: 16, found_bytes, needed_bytes })
    };
    assert_eq!(read(&[0, 0, 0, 0, 0, 28, 0]), size(0, 28, 24));
    assert_eq!(read(&[1, 0, 0, 12]), size(1, 12, 16));
    assert_eq!(read(&[1, 0, 0, 18, 0]), size(1, 18, 16));
    assert_eq!(read(&[3, 0, 0, 0, 0, 0, 24]), size(3, 24, 28));
    assert_eq!(read(&[128, 12, 0, 0]), size(128, 12, 16));
    assert_eq!(read(&[129, 16, 0, 0]), size(129, 16, 48));
    let reserved = |code, word, found| Err(TxnError::Reserved { code, op_index: 0, offset: 16, word, found });
    assert_eq!(read(&[0x0100, 0, 0, 0, 0, 24]), reserved(0, 0, 1));
    assert_eq!(read(&[0, 0, 0, 9, 0, 24]), reserved(0, 3, 9));
    assert_eq!(read(&[4, 9, 0, 0, 0, 0, 28]), reserved(4, 1, 9));
    assert_eq!(read(&[128, 16, 0x0100_0000, 0x0001_0100]), reserved(128, 2, 0x0100_0000));
    assert_eq!(read(&[128, 16, 0, 0x0001_0107]), reserved(128, 3, 7));
    assert_eq!(read(&[129, 48, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0]), reserved(129, 5, 6));
    assert_eq!(read(&[128, 16, 2, 0x0001_0100]), Err(TxnError::TctDirection { op_index: 0, offset: 16, found: 2 }));
}

#[test]
fn each_refusal_of_a_stream_names_what_it_found() {
    let good = around(1, &[5]);
    let damaged = |offset: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[offset] = value;
        txn::read(&bytes)
    };
    assert_eq!(damaged(0, 1), Err(TxnError::Version { major: 1, minor: 1 }));
    assert_eq!(damaged(2, 4), Err(TxnError::Device { generation: 4, rows: 6, memory_tile_rows: 1 }));
    assert_eq!(damaged(6, 9), Err(TxnError::HeaderPadding { found: 9 }));
    assert_eq!(damaged(12, 16), Err(TxnError::Size { header_bytes: 16, found_bytes: 20 }));
    assert_eq!(damaged(8, 0), Err(TxnError::Count { count: 0, end_offset: 16, found_bytes: 20 }));
    assert_eq!(damaged(8, 2), Err(TxnError::Truncated { needed_bytes: 24, found_bytes: 20 }));
    assert_eq!(txn::read(&good[..15]), Err(TxnError::Truncated { needed_bytes: 16, found_bytes: 15 }));
    let cut = around(1, &[1, 0, 0, 0x20, 1]);
    assert_eq!(txn::read(&cut), Err(TxnError::Truncated { needed_bytes: 48, found_bytes: 36 }));
}
