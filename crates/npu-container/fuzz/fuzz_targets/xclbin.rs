//! No bytes make the reader panic. The length in the header is corrected, so that the fuzzer works on sections.
#![no_main]

use libfuzzer_sys::fuzz_target;
use npu_container::xclbin;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    if file.len() >= 0x138 {
        let length = file.len() as u64;
        file[0x130..0x138].copy_from_slice(&length.to_le_bytes());
    }
    let _ = xclbin::read(&file);
});
