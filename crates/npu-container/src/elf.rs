//! ELF file of one core program, as XAie_LoadElf takes it.
//!
//! ```text
//!   0  ELF32 header, little-endian, machine 264
//!  52  program header: PT_LOAD, program memory from address 0; it follows the header at once, whatever the header says
//!  84  program, filled up with zeros to whole words
//!      section names, section headers: none, .text, .shstrtab
//! ```
//! The loader writes the bytes in memory of a segment, not those in the file, so both are the same here.
// SOURCE: Xilinx/aie-rt driver/src/core/xaie_elfloader.c (_XAie_LoadElfFromMem, _XAie_LoadProgMemSection: segments below the size of program
// memory are program, written in whole words from p_paddr); Xilinx/llvm-aie llvm/include/llvm/BinaryFormat/ELF.h (EM_AIE, EF_AIE_AIE2).

/// Machine of AI Engine cores.
pub const MACHINE: u16 = 264;
/// Flags of AIE2, the second generation.
pub const FLAGS_AIE2: u32 = 2;
/// Program memory of a core in bytes.
// SOURCE: AM020 ch. 4.
pub const PROGRAM_MEMORY_BYTES: usize = 16 * 1024;

const HEADER_BYTES: usize = 52;
const PROGRAM_HEADER_BYTES: usize = 32;
const SECTION_HEADER_BYTES: usize = 40;
const PROGRAM_AT: usize = HEADER_BYTES + PROGRAM_HEADER_BYTES;
/// Names of the sections; those of `.text` and `.shstrtab` begin at 1 and 7.
const NAMES: &[u8] = b"\0.text\0.shstrtab\0";
const TEXT_NAME: u32 = 1;
const NAMES_NAME: u32 = 7;
/// Bundles are at most as long.
const ALIGN_BYTES: u32 = 16;

/// A program that no core can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a core program of {bytes} bytes: program memory has {PROGRAM_MEMORY_BYTES}, and there must be one")]
pub struct ProgramSize {
    /// Bytes of the program.
    pub bytes: usize,
}

/// Writes the file of a program that starts at address 0.
///
/// # Errors
/// A program that is empty or longer than program memory.
pub fn write(program: &[u8]) -> Result<Vec<u8>, ProgramSize> {
    if program.is_empty() || program.len() > PROGRAM_MEMORY_BYTES {
        return Err(ProgramSize { bytes: program.len() });
    }
    let loaded = program.len().next_multiple_of(4);
    let names_at = PROGRAM_AT + loaded;
    let sections_at = (names_at + NAMES.len()).next_multiple_of(4);
    let mut out = Vec::with_capacity(sections_at + 3 * SECTION_HEADER_BYTES);
    // class 32, little-endian, version 1, no ABI
    out.extend_from_slice(&[0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let halves = |out: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let words = |out: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    const EXECUTABLE: u16 = 2;
    halves(&mut out, &[EXECUTABLE, MACHINE]);
    let entry = 0;
    words(&mut out, &[1, entry, HEADER_BYTES as u32, sections_at as u32, FLAGS_AIE2]);
    let (sections, names_section) = (3, 2);
    halves(
        &mut out,
        &[HEADER_BYTES as u16, PROGRAM_HEADER_BYTES as u16, 1, SECTION_HEADER_BYTES as u16, sections, names_section],
    );
    const LOAD: u32 = 1;
    const READ_EXECUTE: u32 = 5;
    let (address, bytes) = (0, loaded as u32);
    words(&mut out, &[LOAD, PROGRAM_AT as u32, address, address, bytes, bytes, READ_EXECUTE, ALIGN_BYTES]);
    out.extend_from_slice(program);
    out.resize(names_at, 0);
    out.extend_from_slice(NAMES);
    out.resize(sections_at, 0);
    words(&mut out, &[0; SECTION_HEADER_BYTES / 4]);
    const PROGRAM_BITS: u32 = 1;
    const STRING_TABLE: u32 = 3;
    const ALLOCATED_EXECUTABLE: u32 = 6;
    words(
        &mut out,
        &[TEXT_NAME, PROGRAM_BITS, ALLOCATED_EXECUTABLE, address, PROGRAM_AT as u32, bytes, 0, 0, ALIGN_BYTES, 0],
    );
    words(&mut out, &[NAMES_NAME, STRING_TABLE, 0, 0, names_at as u32, NAMES.len() as u32, 0, 0, 1, 0]);
    Ok(out)
}
