//! No bytes make the reader panic, and what it accepts is written back and read the same. The size in the header is
//! corrected, so that the fuzzer works on operations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use npu_container::txn;

fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes.to_vec();
    if stream.len() >= txn::HEADER_BYTES {
        let size = stream.len() as u32;
        stream[12..16].copy_from_slice(&size.to_le_bytes());
    }
    if let Ok(read) = txn::read(&stream) {
        assert_eq!(txn::read(&txn::write(&read.header, &read.ops)), Ok(read));
    }
});
