//! No bytes make the reader panic, and what it accepts is written back and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use npu_container::pdi;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = pdi::read(bytes) {
        assert_eq!(pdi::read(&pdi::write(&read.commands)), Ok(read));
    }
});
