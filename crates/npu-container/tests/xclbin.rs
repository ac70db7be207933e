//! xclbins byte by byte, and each way one can be wrong.

use npu_container::cdo::Command;
use npu_container::pdi;
use npu_container::xclbin::{self, BuildError, Builder, Connection, Qualifier, SectionKind, XclbinError, XmlError};

const UUID: [u8; 16] = *b"0123456789abcdef";

fn sample_pdi() -> Vec<u8> {
    pdi::write(&[Command::MaskWrite { addr: 0x0023_2000, mask: 1, value: 1 }])
}

fn build(columns: u16, buffers: usize) -> Vec<u8> {
    Builder::new("w8a8_qkv", "main", &sample_pdi(), columns, buffers, UUID).write().unwrap()
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..][..2].try_into().unwrap())
}
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..][..4].try_into().unwrap())
}
fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..][..8].try_into().unwrap())
}

/// Kind, offset and size of every section header.
fn table(file: &[u8]) -> Vec<(u32, usize, usize)> {
    let entry = |index| {
        let at = 0x1C8 + 40 * index;
        (u32_at(file, at), u64_at(file, at + 24) as usize, u64_at(file, at + 32) as usize)
    };
    (0..u32_at(file, 0x1C0) as usize).map(entry).collect()
}

fn section(file: &[u8], kind: u32) -> &[u8] {
    let (_, offset, size) = table(file).into_iter().find(|entry| entry.0 == kind).unwrap();
    &file[offset..offset + size]
}

#[test]
fn header_fields_stand_where_xrt_reads_them() {
    let file = build(4, 4);
    assert_eq!(&file[..8], b"xclbin2\0");
    assert_eq!(file[8..12], (-1i32).to_le_bytes());
    assert!(file[0x00C..0x128].iter().all(|byte| *byte == 0xFF));
    assert_eq!(u64_at(&file, 0x130), file.len() as u64);
    // Unique id, timestamps, patch, mode, action mask, interface UUID, platform and debug name are zero.
    assert_eq!(u64_at(&file, 0x128), 0);
    assert!(file[0x138..0x14A].iter().all(|byte| *byte == 0));
    assert_eq!(file[0x14A..0x14C], [2, 18]);
    assert!(file[0x14C..0x1A0].iter().all(|byte| *byte == 0));
    assert_eq!(file[0x1A0..0x1B0], UUID);
    assert!(file[0x1B0..0x1C0].iter().all(|byte| *byte == 0));
    assert_eq!(u32_at(&file, 0x1C0), 7);
}

#[test]
fn sections_come_in_mlir_aies_order_aligned_and_apart() {
    let file = build(4, 4);
    let table = table(&file);
    assert_eq!(table.iter().map(|entry| entry.0).collect::<Vec<_>>(), [6, 32, 2, 8, 7, 27, 26]);
    let mut end = 0x1C8 + 7 * 40;
    for (kind, offset, size) in table {
        assert_eq!(offset % 8, 0, "section {kind}");
        assert!(offset >= end && offset < end + 8, "section {kind} at {offset:#x}, the one before ends at {end:#x}");
        end = offset + size;
    }
    assert_eq!(file.len(), end.next_multiple_of(8));
}

#[test]
fn memory_and_ip_sections_have_their_struct_layouts() {
    let file = build(4, 4);
    let memory = section(&file, 6);
    assert_eq!(memory.len(), 88);
    assert_eq!(u32_at(memory, 0), 2);
    for (at, size_kib, tag) in [(8, 0x10000, b"HOST"), (48, 0xC000, b"SRAM")] {
        assert_eq!(memory[at..at + 2], [2, 1]);
        assert_eq!([u64_at(memory, at + 8), u64_at(memory, at + 16)], [size_kib, 0x0400_0000]);
        assert_eq!(&memory[at + 24..at + 28], tag);
        assert!(memory[at + 28..at + 40].iter().all(|byte| *byte == 0));
    }
    assert_eq!(memory, section(&file, 26));

    let ip = section(&file, 8);
    assert_eq!(ip.len(), 88);
    assert_eq!([u32_at(ip, 0), u32_at(ip, 8), u32_at(ip, 12)], [1, 7, 0x0901_0001]);
    assert_eq!(u64_at(ip, 16), u64::MAX);
    assert_eq!(&ip[24..38], b"w8a8_qkv:main\0");
}

#[test]
fn connectivity_joins_instructions_to_sram_and_buffers_to_host() {
    // Four buffers are raised to the five that chained submission needs.
    for (buffers, declared) in [(4usize, 5i32), (7, 7)] {
        let file = build(4, buffers);
        let mut expected = vec![Connection { argument: 1, ip: 0, memory: 1 }];
        expected.extend((3..3 + declared).map(|argument| Connection { argument, ip: 0, memory: 0 }));
        let raw = section(&file, 7);
        assert_eq!(raw.len(), 4 + 12 * expected.len());
        assert_eq!([u32_at(raw, 0), u32_at(raw, 4), u32_at(raw, 8), u32_at(raw, 12)], [expected.len() as u32, 1, 0, 1]);
        let read = xclbin::read(&file).unwrap();
        assert_eq!(read.connections, expected);
        assert_eq!(read.group_connections, [&expected[..], &expected].concat());
    }
}

#[test]
fn partition_structs_stand_where_xrt_reads_them() {
    let file = build(4, 4);
    let section = section(&file, 32);
    let array = |at: usize| (u32_at(section, at) as usize, u32_at(section, at + 4) as usize);
    assert_eq!(section[0], 0);
    assert_eq!(u32_at(section, 0x04), 0xB8);
    assert_eq!(section[0xB8], 0);
    assert_eq!(u32_at(section, 0x08), 2048);
    assert_eq!([u64_at(section, 0x10), u64_at(section, 0x18)], [23423, 12345]);
    assert_eq!(u16_at(section, 0x20), 4);
    let (columns, at) = array(0x28);
    assert_eq!((columns, u16_at(section, at)), (1, 0));
    let (pdis, pdi) = array(0x78);
    assert_eq!(pdis, 1);
    assert_eq!(section[pdi..pdi + 16], UUID);
    let (image_bytes, image) = array(pdi + 0x10);
    assert_eq!(section[image..image + image_bytes], sample_pdi());
    let (groups, group) = array(pdi + 0x18);
    assert_eq!(groups, 1);
    let name = u32_at(section, group) as usize;
    assert_eq!(&section[name..name + 4], b"DPU\0");
    assert_eq!((section[group + 4], u64_at(section, group + 8)), (1, 1));
    let (ids, id) = array(group + 0x10);
    assert_eq!((ids, u64_at(section, id)), (1, 0x901));
    let (before, first) = array(group + 0x18);
    assert_eq!((before, u64_at(section, first)), (1, 0xC1));
    for offset in [pdi, image, group, id, first] {
        assert_eq!(offset % 8, 0);
    }
}

#[test]
fn a_partition_may_start_wherever_it_fits() {
    for (columns, starts) in [(1, vec![0, 1, 2, 3]), (2, vec![0, 1, 2]), (3, vec![0, 1]), (4, vec![0])] {
        let partition = xclbin::read(&build(columns, 4)).unwrap().partition;
        assert_eq!((partition.columns, partition.start_columns), (columns, starts));
    }
}

#[test]
fn arguments_have_the_offsets_of_the_register_map() {
    let file = build(4, 4);
    let xml = std::str::from_utf8(section(&file, 2)).unwrap();
    assert!(xml.starts_with(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<project>\n  <platform>\n    <device>\n      <core>\n"
    ));
    for line in [
        r#"<kernel name="w8a8_qkv" language="c" type="dpu">"#,
        r#"<extended-data subtype="1" functional="0" dpu_kernel_id="0x901"/>"#,
        r#"<arg name="opcode" addressQualifier="0" id="0" size="0x8" offset="0x00" hostOffset="0x0" hostSize="0x8" type="uint64_t"/>"#,
        r#"<arg name="instr" addressQualifier="1" id="1" size="0x8" offset="0x08" hostOffset="0x0" hostSize="0x8" type="char *"/>"#,
        r#"<arg name="ninstr" addressQualifier="0" id="2" size="0x4" offset="0x10" hostOffset="0x0" hostSize="0x4" type="uint32_t"/>"#,
        r#"<arg name="bo0" addressQualifier="1" id="3" size="0x8" offset="0x14" hostOffset="0x0" hostSize="0x8" type="void*"/>"#,
        r#"<instance name="main"/>"#,
    ] {
        assert_eq!(xml.lines().filter(|found| found.trim() == line).count(), 1, "{line}\nin\n{xml}");
    }
    let kernels = xclbin::read(&file).unwrap().kernels;
    assert_eq!(kernels.len(), 1);
    assert_eq!((kernels[0].name.as_str(), kernels[0].kernel_id), ("w8a8_qkv", Some(0x901)));
    assert_eq!(kernels[0].instances, ["main"]);
    let arguments: Vec<_> = kernels[0].arguments.iter().map(|a| (a.name.as_str(), a.offset, a.size_bytes)).collect();
    let expected =
        [("opcode", 0, 8), ("instr", 8, 8), ("ninstr", 0x10, 4), ("bo0", 0x14, 8), ("bo1", 0x1C, 8), ("bo2", 0x24, 8)];
    assert_eq!(arguments[..6], expected);
    assert_eq!(arguments[6..], [("bo3", 0x2C, 8), ("bo4", 0x34, 8)]);
    assert_eq!(kernels[0].arguments[2].qualifier, Qualifier::Scalar);
    assert_eq!(kernels[0].arguments[3].qualifier, Qualifier::Global);
}

#[test]
fn the_kernel_leads_to_its_pdi() {
    let read = xclbin::read(&build(4, 4)).unwrap();
    assert_eq!((read.uuid, read.timestamp, read.version), (UUID, 0, (2, 18)));
    assert_eq!(read.ips.len(), 1);
    let ip = &read.ips[0];
    assert_eq!((ip.name.as_str(), ip.ip_type, ip.subtype, ip.functional), ("w8a8_qkv:main", 7, 1, 0));
    assert_eq!(read.pdi_for_kernel(ip.kernel_id).unwrap().image, sample_pdi());
    assert_eq!(read.pdi_for_kernel(0x902), None);
}

#[test]
fn equal_inputs_give_equal_bytes() {
    assert_eq!(build(4, 4), build(4, 4));
}

#[test]
fn what_xrt_cannot_hold_is_refused() {
    let pdi = sample_pdi();
    let good = Builder::new("k", "i", &pdi, 4, 4, UUID);
    let name = |name: &str| Err(BuildError::Name { name: name.to_owned() });
    assert_eq!(Builder { kernel: "a\"b", ..good }.write(), name("a\"b"));
    assert_eq!(Builder { instance: "", ..good }.write(), name(""));
    let long = "k".repeat(62);
    assert!(Builder { kernel: &long[..61], ..good }.write().is_ok());
    let too_long = BuildError::NameTooLong { kernel: long.clone(), instance: "i".to_owned(), bytes: 64, limit: 63 };
    assert_eq!(Builder { kernel: &long, ..good }.write(), Err(too_long));
    assert_eq!(Builder { columns: 0, ..good }.write(), Err(BuildError::Columns { columns: 0 }));
    assert_eq!(Builder { columns: 5, ..good }.write(), Err(BuildError::Columns { columns: 5 }));
    assert!(Builder { buffers: 16, ..good }.write().is_ok());
    assert_eq!(Builder { buffers: 17, ..good }.write(), Err(BuildError::Buffers { buffers: 17 }));
    assert_eq!(Builder { pdi: &[], ..good }.write(), Err(BuildError::EmptyPdi));
}

/// `file` with `value` at a byte offset.
fn with(file: &[u8], offset: usize, value: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[offset..offset + value.len()].copy_from_slice(value);
    file
}

#[test]
fn damaged_headers_and_tables_are_refused() {
    let file = build(4, 4);
    let file_bytes = file.len();
    let read = |offset, value: &[u8]| xclbin::read(&with(&file, offset, value));
    assert_eq!(read(6, b"1"), Err(XclbinError::NotAnXclbin { found: *b"xclbin1\0" }));
    assert_eq!(xclbin::read(&file[..7]), Err(XclbinError::Truncated { needed_bytes: 0x1C8, found_bytes: 7 }));
    assert_eq!(xclbin::read(&file[..0x1C7]), Err(XclbinError::Truncated { needed_bytes: 0x1C8, found_bytes: 0x1C7 }));
    let header_bytes = file_bytes as u64;
    assert_eq!(xclbin::read(&file[..0x1C8]), Err(XclbinError::Length { header_bytes, found_bytes: 0x1C8 }));
    let needed_bytes = 0x1C8 + 40 * 0x1_0000u64;
    assert_eq!(read(0x1C0, &[0, 0, 1, 0]), Err(XclbinError::Truncated { needed_bytes, found_bytes: file_bytes }));

    let (kind, memory) = (SectionKind::MemTopology, 0x1C8);
    let offset = u64::MAX;
    let outside = XclbinError::SectionRange { kind, offset, size_bytes: 88, file_bytes };
    assert_eq!(read(memory + 24, &[0xFF; 8]), Err(outside));
    let overlapping = with(&file, memory + 24, &0u64.to_le_bytes());
    let overlapping = with(&overlapping, memory + 32, &(file_bytes as u64).to_le_bytes());
    assert_eq!(xclbin::read(&overlapping), Err(XclbinError::SectionOverlap { kind: SectionKind::AiePartition }));
    assert_eq!(read(memory, &[99]), Err(XclbinError::MissingSection { kind }));
    let ip = table(&file)[3].1;
    let size = XclbinError::SectionSize { kind: SectionKind::IpLayout, entries: 2, needed_bytes: 168, found_bytes: 88 };
    assert_eq!(read(ip, &[2]), Err(size));
}

#[test]
fn damaged_partitions_are_refused() {
    let file = build(4, 4);
    let (_, at, section_bytes) = table(&file)[1];
    let read = |offset: usize, value: u32| xclbin::read(&with(&file, at + offset, &value.to_le_bytes()));
    let (field, pdis) = (0x78, u32_at(&file, at + 0x7C));
    let range = XclbinError::ArrayRange { field, count: 1000, offset: pdis, section_bytes };
    assert_eq!(read(field, 1000), Err(range));
    let pdi = pdis as usize;
    let image_bytes = u32_at(&file, at + pdi + 0x10);
    // The group array laid over the whole section.
    let wide = (section_bytes / 96) as u32;
    let overlap = with(&file, at + pdi + 0x18, &wide.to_le_bytes());
    let overlap = with(&overlap, at + pdi + 0x1C, &0u32.to_le_bytes());
    assert!(image_bytes > 96);
    assert_eq!(xclbin::read(&overlap), Err(XclbinError::ArrayOverlap { field: pdi + 0x18 }));
    let group = u32_at(&file, at + pdi + 0x1C) as usize;
    let text = XclbinError::ArrayRange { field: group, count: 1, offset: u32::MAX, section_bytes };
    assert_eq!(read(group, u32::MAX), Err(text));
}

#[test]
fn damaged_kernel_descriptions_are_refused() {
    let file = build(4, 4);
    let (_, at, _) = table(&file)[2];
    let xml = std::str::from_utf8(section(&file, 2)).unwrap();
    let replace = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let place = at + xml.find(from).unwrap();
        xclbin::read(&with(&file, place, to.as_bytes())).map(|_| ())
    };
    let tag = |text: &str| xml.find(text).unwrap();
    let arg = tag("<arg name=\"opcode\"");
    let missing = XmlError::MissingAttribute { element: "arg", attribute: "offset", offset: arg };
    assert_eq!(replace("offset=\"0x00\"", "offsex=\"0x00\""), Err(missing.into()));
    let number = XmlError::Number { attribute: "offset", found: "0xzz".to_owned(), offset: arg };
    assert_eq!(replace("offset=\"0x00\"", "offset=\"0xzz\""), Err(number.into()));
    let outside = XmlError::OutsideKernel { element: "extended-data", offset: tag("<extended-data") };
    assert_eq!(replace("<kernel ", "<kernex "), Err(outside.into()));
    let malformed = XmlError::Tag { offset: arg };
    assert_eq!(replace("<arg name=\"opcode\"", "<arg name= opcode\""), Err(malformed.into()));
    let place = at + tag("opcode");
    let not_text = xclbin::read(&with(&file, place, &[0xFF])).map(|_| ());
    assert_eq!(not_text, Err(XmlError::Encoding { offset: tag("opcode") }.into()));
}
