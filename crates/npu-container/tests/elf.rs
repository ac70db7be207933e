//! The ELF of a core program, read by a foreign reader and by the loader's own rules.

use npu_container::elf::{self, ProgramSize};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader};
use object::{Architecture, Endianness, Object, ObjectSection, ObjectSegment, SectionKind};
use proptest::prelude::*;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What XAie_LoadElf writes: it takes the program headers right behind the header, and counts in `p_memsz`.
fn loaded(file: &[u8]) -> Vec<(u32, Vec<u32>)> {
    let headers = usize::from(u16::from_le_bytes([file[44], file[45]]));
    let of = |at: usize| {
        let (kind, offset, address, bytes) =
            (word(file, at), word(file, at + 4), word(file, at + 12), word(file, at + 20));
        assert_eq!(kind, 1, "PT_LOAD");
        let words = (0..bytes.div_ceil(4) as usize).map(|i| word(file, offset as usize + 4 * i));
        (address, words.collect())
    };
    (0..headers).map(|n| of(52 + 32 * n)).collect()
}

#[test]
fn a_foreign_reader_finds_the_program() {
    let program: Vec<u8> = (0..1234u32).map(|i| (i * 7) as u8).collect();
    let file = elf::write(&program).unwrap();
    let read = ElfFile32::<Endianness>::parse(&file[..]).unwrap();
    let (header, endian) = (read.elf_header(), read.endian());
    assert_eq!(
        (header.e_machine(endian).0, header.e_type(endian), header.e_flags(endian).0),
        (264, object::elf::ET_EXEC, 2)
    );
    assert_eq!((read.endianness(), read.architecture(), read.entry()), (Endianness::Little, Architecture::Unknown, 0));
    let segments: Vec<_> = read.segments().collect();
    assert_eq!(segments.len(), 1);
    assert_eq!((segments[0].address(), segments[0].size()), (0, 1236));
    let (data, filled) = segments[0].data().unwrap().split_at(1234);
    assert_eq!((data, filled), (&program[..], &[0, 0][..]));
    let text = read.section_by_name(".text").unwrap();
    assert_eq!(
        (text.kind(), text.address(), text.data().unwrap()),
        (SectionKind::Text, 0, segments[0].data().unwrap())
    );
    let load = read.elf_program_headers()[0];
    assert_eq!((load.p_paddr(endian), load.p_memsz(endian)), (0, load.p_filesz(endian)));
}

#[test]
fn programs_that_fit_no_core_are_refused() {
    assert_eq!(elf::write(&[]), Err(ProgramSize { bytes: 0 }));
    assert_eq!(elf::write(&[0; 16 * 1024 + 1]), Err(ProgramSize { bytes: 16 * 1024 + 1 }));
    assert!(elf::write(&[0; 16 * 1024]).is_ok());
}

proptest! {
    #[test]
    fn the_loader_writes_the_program_and_nothing_else(program in proptest::collection::vec(any::<u8>(), 1..600)) {
        let file = elf::write(&program).unwrap();
        let segments = loaded(&file);
        prop_assert_eq!(segments.len(), 1);
        let (address, words) = &segments[0];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        prop_assert_eq!(*address, 0);
        prop_assert_eq!(&bytes[..program.len()], &program[..]);
        prop_assert!(bytes.len() - program.len() < 4 && bytes[program.len()..].iter().all(|b| *b == 0));
    }
}
