//! Reads an xclbin.

use super::xml::{self, Kernel, XmlError};
use super::{MAGIC, SectionKind, connectivity, header, ip_layout, mem_topology, partition, section_header};

/// Why bytes are not an xclbin with NPU kernels. Offsets count bytes from the start of the section named, or of
/// the file where none is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XclbinError {
    /// The file ends before its header or section table does.
    #[error("xclbin ends early: {needed_bytes} bytes needed, {found_bytes} present")]
    Truncated {
        /// Bytes called for.
        needed_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// Another magic.
    #[error("not an xclbin: the first bytes are {found:02x?}")]
    NotAnXclbin {
        /// The bytes found.
        found: [u8; 8],
    },
    /// The length in the header is not the length of the file.
    #[error("header says {header_bytes} bytes, the file has {found_bytes}")]
    Length {
        /// Length by the header.
        header_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// A section reaches outside the file.
    #[error("{kind} at {offset:#x} with {size_bytes} bytes lies outside the file of {file_bytes} bytes")]
    SectionRange {
        /// The section.
        kind: SectionKind,
        /// Its place in the file.
        offset: u64,
        /// Its size.
        size_bytes: u64,
        /// Size of the file.
        file_bytes: usize,
    },
    /// Sections together are larger than the file, so some of them overlap.
    #[error("{kind} overlaps another section")]
    SectionOverlap {
        /// The section with which the sizes exceed the file.
        kind: SectionKind,
    },
    /// A section that an NPU kernel needs is missing.
    #[error("no {kind} section")]
    MissingSection {
        /// The section.
        kind: SectionKind,
    },
    /// A section ends before its entries do.
    #[error("{kind} has {entries} entries and needs {needed_bytes} bytes, has {found_bytes}")]
    SectionSize {
        /// The section.
        kind: SectionKind,
        /// Entries by its count field.
        entries: u64,
        /// Bytes called for.
        needed_bytes: u64,
        /// Bytes present.
        found_bytes: usize,
    },
    /// An array or text of AIE_PARTITION reaches outside the section.
    #[error("AIE_PARTITION field at {field:#x}: {count} elements at {offset:#x} lie outside {section_bytes} bytes")]
    ArrayRange {
        /// Place of the array descriptor or text offset.
        field: usize,
        /// Elements (1 for a text).
        count: u32,
        /// Where they begin.
        offset: u32,
        /// Size of the section.
        section_bytes: usize,
    },
    /// Arrays of AIE_PARTITION together are larger than the section, so some of them overlap.
    #[error("AIE_PARTITION field at {field:#x} names an array that overlaps another")]
    ArrayOverlap {
        /// Place of the array descriptor.
        field: usize,
    },
    /// The kernel description is wrong.
    #[error("in EMBEDDED_METADATA: {0}")]
    Xml(#[from] XmlError),
}

/// An xclbin, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xclbin {
    /// Identity of the file.
    pub uuid: [u8; 16],
    /// Creation time, seconds; 0 in files of [`super::Builder`].
    pub timestamp: u64,
    /// Version of the writing tool, major and minor.
    pub version: (u8, u8),
    /// Platform name (VBNV).
    pub platform: String,
    /// All sections in file order.
    pub sections: Vec<Section>,
    /// Column partition and PDIs.
    pub partition: Partition,
    /// Entries of IP_LAYOUT.
    pub ips: Vec<Ip>,
    /// Kernels of the embedded XML.
    pub kernels: Vec<Kernel>,
    /// Entries of MEM_TOPOLOGY.
    pub memories: Vec<Memory>,
    /// Entries of CONNECTIVITY.
    pub connections: Vec<Connection>,
    /// Entries of GROUP_CONNECTIVITY.
    pub group_connections: Vec<Connection>,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Name in the section header, usually empty.
    pub name: String,
    /// Place in the file.
    pub offset: u64,
    /// Contents.
    pub bytes: Vec<u8>,
}

/// The column partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Columns.
    pub columns: u16,
    /// Columns at which the partition may start.
    pub start_columns: Vec<u16>,
    /// Operations per cycle.
    pub operations_per_cycle: u32,
    /// PDIs.
    pub pdis: Vec<PdiImage>,
}

/// A PDI with the kernels it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdiImage {
    /// Identity of the PDI.
    pub uuid: [u8; 16],
    /// The PDI.
    pub image: Vec<u8>,
    /// Groups of kernels.
    pub groups: Vec<CdoGroup>,
}

/// Kernels served by one PDI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdoGroup {
    /// Group name.
    pub name: String,
    /// 1 primary, 2 lite, 3 pre/post.
    pub group_type: u8,
    /// Id of the PDI.
    pub pdi_id: u64,
    /// Ids of the kernels.
    pub kernel_ids: Vec<u64>,
    /// Ids of the groups to load before.
    pub pre_groups: Vec<u64>,
}

/// An entry of IP_LAYOUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// `kernel:instance`.
    pub name: String,
    /// 7 = PS kernel, the type of NPU kernels.
    pub ip_type: u32,
    /// 1 = DPU.
    pub subtype: u8,
    /// How the driver dispatches the kernel.
    pub functional: u16,
    /// Id that selects the PDI.
    pub kernel_id: u16,
}

/// An entry of MEM_TOPOLOGY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Name.
    pub tag: String,
    /// 2 = DRAM.
    pub memory_type: u8,
    /// Whether a kernel uses it.
    pub used: bool,
    /// Size in KiB.
    pub size_kib: u64,
    /// Base address.
    pub base: u64,
}

/// An entry of CONNECTIVITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Argument index.
    pub argument: i32,
    /// Index in IP_LAYOUT.
    pub ip: i32,
    /// Index in MEM_TOPOLOGY.
    pub memory: i32,
}

impl Xclbin {
    /// The PDI that serves a kernel id.
    pub fn pdi_for_kernel(&self, kernel_id: u16) -> Option<&PdiImage> {
        let serves = |group: &CdoGroup| group.kernel_ids.contains(&u64::from(kernel_id));
        self.partition.pdis.iter().find(|pdi| pdi.groups.iter().any(serves))
    }
}

/// Reads an xclbin that fills `bytes`.
pub fn read(bytes: &[u8]) -> Result<Xclbin, XclbinError> {
    let truncated = |needed_bytes| XclbinError::Truncated { needed_bytes, found_bytes: bytes.len() };
    let magic: [u8; 8] = array_at(bytes, 0).ok_or(truncated(header::BYTES as u64))?;
    if magic != *MAGIC {
        return Err(XclbinError::NotAnXclbin { found: magic });
    }
    if bytes.len() < header::BYTES {
        return Err(truncated(header::BYTES as u64));
    }
    // The header is complete from here on, so these fields are present.
    let u64_at = |offset| u64::from_le_bytes(array_at(bytes, offset).unwrap_or_default());
    let header_bytes = u64_at(header::FILE_LENGTH);
    if header_bytes != bytes.len() as u64 {
        return Err(XclbinError::Length { header_bytes, found_bytes: bytes.len() });
    }
    let section_count = u32::from_le_bytes(array_at(bytes, header::SECTION_COUNT).unwrap_or_default());
    let sections = read_sections(bytes, section_count)?;

    let find = |kind| sections.iter().find(|section| section.kind == kind);
    let need = |kind| find(kind).ok_or(XclbinError::MissingSection { kind });
    let group_connections = find(SectionKind::GroupConnectivity).map(read_connections).transpose()?;
    Ok(Xclbin {
        uuid: array_at(bytes, header::UUID).unwrap_or_default(),
        timestamp: u64_at(header::TIMESTAMP),
        version: (bytes[header::VERSION_MAJOR], bytes[header::VERSION_MINOR]),
        platform: text(&bytes[header::PLATFORM]),
        partition: PartitionReader::new(need(SectionKind::AiePartition)?).read()?,
        ips: read_ips(need(SectionKind::IpLayout)?)?,
        kernels: xml::read(&need(SectionKind::EmbeddedMetadata)?.bytes)?,
        memories: read_memories(need(SectionKind::MemTopology)?)?,
        connections: read_connections(need(SectionKind::Connectivity)?)?,
        group_connections: group_connections.unwrap_or_default(),
        sections,
    })
}

fn read_sections(bytes: &[u8], count: u32) -> Result<Vec<Section>, XclbinError> {
    let needed_bytes = header::BYTES as u64 + u64::from(count) * section_header::BYTES as u64;
    if needed_bytes > bytes.len() as u64 {
        return Err(XclbinError::Truncated { needed_bytes, found_bytes: bytes.len() });
    }
    let table = &bytes[header::BYTES..needed_bytes as usize];
    let mut unclaimed_bytes = bytes.len();
    let mut sections = Vec::new();
    for entry in table.as_chunks::<{ section_header::BYTES }>().0 {
        let kind =
            SectionKind::from_code(u32::from_le_bytes(array_at(entry, section_header::KIND).unwrap_or_default()));
        let offset = u64::from_le_bytes(array_at(entry, section_header::OFFSET).unwrap_or_default());
        let size_bytes = u64::from_le_bytes(array_at(entry, section_header::SIZE).unwrap_or_default());
        let contents = slice_at(bytes, offset, size_bytes).ok_or(XclbinError::SectionRange {
            kind,
            offset,
            size_bytes,
            file_bytes: bytes.len(),
        })?;
        unclaimed_bytes = unclaimed_bytes.checked_sub(contents.len()).ok_or(XclbinError::SectionOverlap { kind })?;
        let name = text(&entry[section_header::NAME]);
        sections.push(Section { kind, name, offset, bytes: contents.to_vec() });
    }
    Ok(sections)
}

/// The entries of a section that begins with a 32-bit count.
fn entries<const ENTRY: usize>(section: &Section, first: usize) -> Result<&[[u8; ENTRY]], XclbinError> {
    let size_error = |entries, needed_bytes| XclbinError::SectionSize {
        kind: section.kind,
        entries,
        needed_bytes,
        found_bytes: section.bytes.len(),
    };
    let count = array_at(&section.bytes, 0).map(u32::from_le_bytes).ok_or(size_error(0, first as u64))?;
    let bytes = u64::from(count) * ENTRY as u64;
    let contents =
        slice_at(&section.bytes, first as u64, bytes).ok_or(size_error(u64::from(count), first as u64 + bytes))?;
    Ok(contents.as_chunks::<ENTRY>().0)
}

fn read_memories(section: &Section) -> Result<Vec<Memory>, XclbinError> {
    let entries = entries::<{ mem_topology::ENTRY_BYTES }>(section, mem_topology::ENTRIES)?;
    let memory = |entry: &[u8; mem_topology::ENTRY_BYTES]| Memory {
        tag: text(&entry[mem_topology::TAG]),
        memory_type: entry[mem_topology::TYPE],
        used: entry[mem_topology::USED] != 0,
        size_kib: u64::from_le_bytes(array_at(entry, mem_topology::SIZE_KIB).unwrap_or_default()),
        base: u64::from_le_bytes(array_at(entry, mem_topology::BASE).unwrap_or_default()),
    };
    Ok(entries.iter().map(memory).collect())
}

fn read_ips(section: &Section) -> Result<Vec<Ip>, XclbinError> {
    let entries = entries::<{ ip_layout::ENTRY_BYTES }>(section, ip_layout::ENTRIES)?;
    let ip = |entry: &[u8; ip_layout::ENTRY_BYTES]| {
        let properties = u32::from_le_bytes(array_at(entry, ip_layout::PROPERTIES).unwrap_or_default());
        Ip {
            name: text(&entry[ip_layout::NAME]),
            ip_type: u32::from_le_bytes(array_at(entry, ip_layout::TYPE).unwrap_or_default()),
            subtype: (properties & 0xF) as u8,
            functional: (properties >> ip_layout::FUNCTIONAL_SHIFT & 0xFFF) as u16,
            kernel_id: (properties >> ip_layout::KERNEL_ID_SHIFT) as u16,
        }
    };
    Ok(entries.iter().map(ip).collect())
}

fn read_connections(section: &Section) -> Result<Vec<Connection>, XclbinError> {
    let entries = entries::<{ connectivity::ENTRY_BYTES }>(section, connectivity::ENTRIES)?;
    let field = |entry: &[u8], index: usize| i32::from_le_bytes(array_at(entry, 4 * index).unwrap_or_default());
    let connection =
        |entry: &[u8; 12]| Connection { argument: field(entry, 0), ip: field(entry, 1), memory: field(entry, 2) };
    Ok(entries.iter().map(connection).collect())
}

/// Reads AIE_PARTITION. Every byte of the section belongs to one array at most, so the arrays read so far are
/// counted: a file cannot make the reader copy one array many times.
struct PartitionReader<'a> {
    section: &'a [u8],
    unclaimed_bytes: usize,
}

impl<'a> PartitionReader<'a> {
    fn new(section: &'a Section) -> Self {
        Self { section: &section.bytes, unclaimed_bytes: section.bytes.len() }
    }

    fn read(mut self) -> Result<Partition, XclbinError> {
        if self.section.len() < partition::BYTES {
            return Err(XclbinError::SectionSize {
                kind: SectionKind::AiePartition,
                entries: 1,
                needed_bytes: partition::BYTES as u64,
                found_bytes: self.section.len(),
            });
        }
        let start_columns = self.array::<2>(partition::START_COLUMNS)?;
        let mut pdis = Vec::new();
        let (pdi_entries, first) = self.array_with_place::<{ partition::PDI_BYTES }>(partition::PDIS)?;
        for index in 0..pdi_entries.len() {
            pdis.push(self.pdi(first + index * partition::PDI_BYTES)?);
        }
        Ok(Partition {
            columns: self.u16_at(partition::COLUMN_WIDTH),
            start_columns: start_columns.iter().map(|raw| u16::from_le_bytes(*raw)).collect(),
            operations_per_cycle: self.u32_at(partition::OPERATIONS_PER_CYCLE),
            pdis,
        })
    }

    fn pdi(&mut self, at: usize) -> Result<PdiImage, XclbinError> {
        let image = self.array::<1>(at + partition::PDI_IMAGE)?.as_flattened().to_vec();
        let (group_entries, first) = self.array_with_place::<{ partition::GROUP_BYTES }>(at + partition::PDI_GROUPS)?;
        let mut groups = Vec::new();
        for index in 0..group_entries.len() {
            groups.push(self.group(first + index * partition::GROUP_BYTES)?);
        }
        Ok(PdiImage { uuid: array_at(self.section, at).unwrap_or_default(), image, groups })
    }

    fn group(&mut self, at: usize) -> Result<CdoGroup, XclbinError> {
        let ids = |raw: &[[u8; 8]]| raw.iter().map(|raw| u64::from_le_bytes(*raw)).collect();
        Ok(CdoGroup {
            name: self.text(at + partition::GROUP_NAME)?,
            group_type: self.section[at + partition::GROUP_TYPE],
            pdi_id: u64::from_le_bytes(array_at(self.section, at + partition::GROUP_PDI_ID).unwrap_or_default()),
            kernel_ids: ids(self.array::<8>(at + partition::GROUP_KERNEL_IDS)?),
            pre_groups: ids(self.array::<8>(at + partition::GROUP_PRE_GROUPS)?),
        })
    }

    fn array<const ELEMENT: usize>(&mut self, field: usize) -> Result<&'a [[u8; ELEMENT]], XclbinError> {
        Ok(self.array_with_place(field)?.0)
    }

    /// The elements of the array described at `field`, and the place of the first.
    fn array_with_place<const ELEMENT: usize>(
        &mut self,
        field: usize,
    ) -> Result<(&'a [[u8; ELEMENT]], usize), XclbinError> {
        let (count, offset) = (self.u32_at(field), self.u32_at(field + 4));
        let contents = slice_at(self.section, u64::from(offset), u64::from(count) * ELEMENT as u64)
            .ok_or(XclbinError::ArrayRange { field, count, offset, section_bytes: self.section.len() })?;
        self.unclaimed_bytes =
            self.unclaimed_bytes.checked_sub(contents.len()).ok_or(XclbinError::ArrayOverlap { field })?;
        Ok((contents.as_chunks::<ELEMENT>().0, offset as usize))
    }

    /// The NUL-terminated text whose offset stands at `field`.
    fn text(&mut self, field: usize) -> Result<String, XclbinError> {
        let offset = self.u32_at(field);
        let range_error = XclbinError::ArrayRange { field, count: 1, offset, section_bytes: self.section.len() };
        let rest = self.section.get(offset as usize..).ok_or(range_error.clone())?;
        let bytes = rest.iter().position(|byte| *byte == 0).ok_or(range_error)?;
        self.unclaimed_bytes = self.unclaimed_bytes.checked_sub(bytes).ok_or(XclbinError::ArrayOverlap { field })?;
        Ok(text(&rest[..bytes]))
    }

    /// `at` lies in a structure whose range was checked.
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(array_at(self.section, at).unwrap_or_default())
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(array_at(self.section, at).unwrap_or_default())
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn slice_at(bytes: &[u8], offset: u64, size_bytes: u64) -> Option<&[u8]> {
    let end = usize::try_from(offset.checked_add(size_bytes)?).ok()?;
    bytes.get(usize::try_from(offset).ok()?..end)
}

/// Text up to the first NUL; bytes that are not UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
