//! No bytes make the reader panic, and what it accepts is written back and read the same. The header is computed, so
//! that the fuzzer works on commands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use npu_container::cdo;

fuzz_target!(|bytes: &[u8]| {
    let _ = cdo::read(bytes);
    let body = &bytes[..bytes.len() - bytes.len() % 4];
    let header = [4, 0x004F_4443, 0x200, (body.len() / 4) as u32];
    let sum = header.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
    let mut file: Vec<u8> = header.iter().chain([&!sum]).flat_map(|word| word.to_le_bytes()).collect();
    file.extend(body);
    if let Ok(commands) = cdo::read(&file) {
        assert_eq!(cdo::read(&cdo::write(&commands)), Ok(commands));
    }
});
