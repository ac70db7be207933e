//! TXN: no bytes make the reader panic, and what it accepts is written back and read the same. Padded forms of the masked
//! operations are written in the short form; every other stream is written back byte for byte, but for BLOCKWRITE's copy of
//! its tile, which the writer leaves 0.
//!
//! The input is read as it is, and once more with the size in its header corrected, so that the fuzzer works on operations.

use npu_container::{detect, txn};

pub fn check(bytes: &[u8]) {
    let _ = detect(bytes);
    let mut sized = bytes.to_vec();
    if sized.len() >= txn::HEADER_BYTES {
        let size = sized.len() as u32;
        sized[12..16].copy_from_slice(&size.to_le_bytes());
    }
    for stream in [bytes, &sized] {
        let Ok(read) = txn::read(stream) else { continue };
        let written = txn::write(&read.header, &read.ops);
        assert!(written.len() <= stream.len(), "{} bytes became {}", stream.len(), written.len());
        let again = txn::read(&written);
        assert_eq!(again.as_ref(), Ok(&read));
        if written.len() == stream.len() {
            let same = written.iter().zip(stream).filter(|(a, b)| a != b).count();
            let blocks = read.ops.iter().filter(|op| matches!(op, txn::Op::BlockWrite { .. })).count();
            assert!(same <= 2 * blocks, "{same} bytes differ");
        }
    }
}
