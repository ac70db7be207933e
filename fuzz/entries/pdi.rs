//! PDI and CDO: no bytes make the readers panic, and what they accept is written back and read the same.
//!
//! The input is read three ways: as a PDI, as a CDO, and as the commands of a CDO whose header is computed, alone and inside
//! a PDI, so that the fuzzer works on commands and not on checksums.

use crate::draw::cdo_of;
use npu_container::cdo::{self, Command};
use npu_container::{detect, pdi};

fn survive(commands: Vec<Command>) {
    let bare = cdo::write(&commands);
    assert_eq!(bare.len(), 4 * (cdo::HEADER_WORDS + cdo::command_words(&commands) as usize));
    assert_eq!(cdo::read(&bare).as_ref(), Ok(&commands));
    let image = pdi::write(&commands);
    assert_eq!(image.len(), pdi::file_bytes(&commands));
    assert_eq!(pdi::read(&image), Ok(pdi::Pdi { commands: commands.clone() }));
    // The PDI around a CDO is fixed by it.
    assert_eq!(pdi::write(&pdi::read(&image).unwrap_or_else(|error| panic!("{error}")).commands), image);
}

pub fn check(bytes: &[u8]) {
    let _ = detect(bytes);
    if let Ok(read) = pdi::read(bytes) {
        // Padding words of NOPs are ignored; all else is written as it was read.
        if !read.commands.iter().any(|command| matches!(command, Command::Nop { .. })) {
            assert_eq!(pdi::write(&read.commands).len(), bytes.len());
        }
        survive(read.commands);
    }
    let synthetic = cdo_of(bytes);
    for file in [bytes, &synthetic] {
        if let Ok(commands) = cdo::read(file) {
            survive(commands);
        }
    }
}
