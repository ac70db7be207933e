//! Writes an xclbin with one kernel.

use super::xml;
use super::{
    ARGUMENTS_BEFORE_BUFFERS, DEFAULT_KERNEL_ID, MAGIC, MAX_HOST_BUFFERS, MIN_HOST_BUFFERS, SectionKind, connectivity,
    header, ip_layout, mem_topology, partition, section_header,
};
use crate::words::{Reservation, put};

/// Columns of an npu1 array that partitions are cut from.
// SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, physicalColumns(npu1).
const ARRAY_COLUMNS: u16 = 4;
/// Version of the writing tool: XRT 2.18, the one whose layouts these are.
const VERSION: (u8, u8) = (2, 18);
/// Tag and size of the memories. Argument memories are indices into this list.
// SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, makeMemTopologyJson.
const MEMORIES: [(&[u8], u64); 2] = [(b"HOST", 0x10000), (b"SRAM", 0xC000)];
const HOST_MEMORY: u32 = 0;
const SRAM_MEMORY: u32 = 1;
const MEMORY_BASE: u64 = 0x0400_0000;
/// Argument index of the instruction buffer.
const INSTRUCTIONS_ARGUMENT: u32 = 1;
// SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, makePartitionJson.
const INFERENCE_FINGERPRINT: u64 = 23423;
const PRE_POST_FINGERPRINT: u64 = 12345;
const GROUP_NAME: &[u8] = b"DPU\0";
const GROUP_PDI_ID: u64 = 1;
const GROUP_PRE_GROUP: u64 = 0xC1;

/// Why an xclbin cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name that XRT cannot address or that would need quoting in XML.
    #[error("name {name:?} must be ASCII letters, digits and '_', and not empty")]
    Name {
        /// The name asked for.
        name: String,
    },
    /// `kernel:instance` does not fit its field.
    #[error("\"{kernel}:{instance}\" is {bytes} bytes long, the IP_LAYOUT entry holds {limit}")]
    NameTooLong {
        /// Kernel name.
        kernel: String,
        /// Instance name.
        instance: String,
        /// Bytes of the joined name.
        bytes: usize,
        /// Bytes the field holds, the final NUL aside.
        limit: usize,
    },
    /// No partition of this width exists.
    #[error("{columns} columns asked for, an npu1 partition has 1 to {ARRAY_COLUMNS}")]
    Columns {
        /// Columns asked for.
        columns: u16,
    },
    /// More host buffers than the register map is known to take.
    #[error("{buffers} host buffers asked for, at most {MAX_HOST_BUFFERS} are known to work")]
    Buffers {
        /// Buffers asked for.
        buffers: usize,
    },
    /// The PDI is empty.
    #[error("the PDI is empty")]
    EmptyPdi,
    /// The PDI does not fit the 32-bit offsets of AIE_PARTITION.
    #[error("a PDI of {pdi_bytes} bytes does not fit an AIE_PARTITION section")]
    PdiTooLarge {
        /// Size of the PDI.
        pdi_bytes: usize,
    },
}

/// An xclbin with one kernel, to be written.
///
/// The output is a function of these fields alone: timestamps are zero and the UUID is the caller's, who
/// derives it from the content.
#[derive(Debug, Clone, Copy)]
pub struct Builder<'a> {
    /// Kernel name.
    pub kernel: &'a str,
    /// Instance name; XRT knows the kernel as `kernel:instance`.
    pub instance: &'a str,
    /// Id that joins kernel and PDI. [`DEFAULT_KERNEL_ID`].
    pub kernel_id: u16,
    /// The PDI.
    pub pdi: &'a [u8],
    /// Columns of the partition.
    pub columns: u16,
    /// Operations per cycle, from which the driver derives the clock it asks for.
    pub operations_per_cycle: u32,
    /// Host buffers the kernel uses. At least [`MIN_HOST_BUFFERS`] are declared.
    pub buffers: usize,
    /// Identity of the file and of its PDI.
    pub uuid: [u8; 16],
}

impl<'a> Builder<'a> {
    /// A kernel with the id and the operations per cycle that mlir-aie uses.
    pub fn new(
        kernel: &'a str,
        instance: &'a str,
        pdi: &'a [u8],
        columns: u16,
        buffers: usize,
        uuid: [u8; 16],
    ) -> Self {
        // SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, makePartitionJson (operations_per_cycle).
        let operations_per_cycle = 2048;
        Self { kernel, instance, kernel_id: DEFAULT_KERNEL_ID, pdi, columns, operations_per_cycle, buffers, uuid }
    }

    /// The file.
    pub fn write(&self) -> Result<Vec<u8>, BuildError> {
        self.check()?;
        let connections = self.connections();
        // The grouped list holds the direct connections and the grouped ones, which here are the same.
        let group_connections = [&connections[..], &connections].concat();
        let sections: [(SectionKind, Vec<u8>); 7] = [
            (SectionKind::MemTopology, mem_topology_section()),
            (SectionKind::AiePartition, self.partition_section()),
            (SectionKind::EmbeddedMetadata, xml::write(self).into_bytes()),
            (SectionKind::IpLayout, self.ip_layout_section()),
            (SectionKind::Connectivity, connectivity_section(&connections)),
            (SectionKind::GroupConnectivity, connectivity_section(&group_connections)),
            (SectionKind::GroupTopology, mem_topology_section()),
        ];

        let mut reservation = Reservation::default();
        reservation.reserve(header::BYTES);
        let table = reservation.reserve(sections.len() * section_header::BYTES);
        let ranges = sections.each_ref().map(|(_, bytes)| reservation.reserve(bytes.len()));
        let mut file = reservation.into_file();

        self.put_header(&mut file, sections.len() as u32);
        for (index, ((kind, bytes), range)) in sections.iter().zip(ranges).enumerate() {
            let entry = table.start + index * section_header::BYTES;
            put(&mut file, entry + section_header::KIND, &kind.code().to_le_bytes());
            put(&mut file, entry + section_header::OFFSET, &(range.start as u64).to_le_bytes());
            put(&mut file, entry + section_header::SIZE, &(bytes.len() as u64).to_le_bytes());
            file[range].copy_from_slice(bytes);
        }
        Ok(file)
    }

    /// Host buffers the file declares.
    pub(super) fn declared_buffers(&self) -> u32 {
        self.buffers.max(MIN_HOST_BUFFERS) as u32
    }

    fn check(&self) -> Result<(), BuildError> {
        for name in [self.kernel, self.instance] {
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !plain {
                return Err(BuildError::Name { name: name.to_owned() });
            }
        }
        let bytes = self.ip_name().len();
        let limit = ip_layout::NAME.len() - 1;
        if bytes > limit {
            let (kernel, instance) = (self.kernel.to_owned(), self.instance.to_owned());
            return Err(BuildError::NameTooLong { kernel, instance, bytes, limit });
        }
        if self.columns == 0 || self.columns > ARRAY_COLUMNS {
            return Err(BuildError::Columns { columns: self.columns });
        }
        if self.buffers > MAX_HOST_BUFFERS {
            return Err(BuildError::Buffers { buffers: self.buffers });
        }
        if self.pdi.is_empty() {
            return Err(BuildError::EmptyPdi);
        }
        // The structures around the image take less than a page.
        if self.pdi.len() > (u32::MAX - 4096) as usize {
            return Err(BuildError::PdiTooLarge { pdi_bytes: self.pdi.len() });
        }
        Ok(())
    }

    fn ip_name(&self) -> String {
        format!("{}:{}", self.kernel, self.instance)
    }

    fn put_header(&self, file: &mut [u8], sections: u32) {
        let file_bytes = file.len() as u64;
        put(file, 0, MAGIC);
        put(file, header::SIGNATURE_LENGTH, &(-1i32).to_le_bytes()); // no signature
        file[header::RESERVED].fill(0xFF); // reserved words and key block
        put(file, header::FILE_LENGTH, &file_bytes.to_le_bytes());
        put(file, header::VERSION_MAJOR, &[VERSION.0]);
        put(file, header::VERSION_MINOR, &[VERSION.1]);
        put(file, header::UUID, &self.uuid);
        put(file, header::SECTION_COUNT, &sections.to_le_bytes());
    }

    fn partition_section(&self) -> Vec<u8> {
        let start_columns: Vec<u16> = (0..=ARRAY_COLUMNS - self.columns).collect();
        let mut reservation = Reservation::default();
        reservation.reserve(partition::BYTES);
        let empty_text = reservation.reserve(1);
        let start = reservation.reserve(2 * start_columns.len());
        let image = reservation.reserve(self.pdi.len());
        let group_name = reservation.reserve(GROUP_NAME.len());
        let kernel_ids = reservation.reserve(8);
        let pre_groups = reservation.reserve(8);
        let group = reservation.reserve(partition::GROUP_BYTES);
        let pdi = reservation.reserve(partition::PDI_BYTES);
        let mut out = reservation.into_file();

        let array = |out: &mut [u8], field: usize, count: usize, start: usize| {
            put(out, field, &(count as u32).to_le_bytes());
            put(out, field + 4, &(start as u32).to_le_bytes());
        };
        put(&mut out, partition::NAME, &(empty_text.start as u32).to_le_bytes());
        put(&mut out, partition::OPERATIONS_PER_CYCLE, &self.operations_per_cycle.to_le_bytes());
        put(&mut out, partition::INFERENCE_FINGERPRINT, &INFERENCE_FINGERPRINT.to_le_bytes());
        put(&mut out, partition::PRE_POST_FINGERPRINT, &PRE_POST_FINGERPRINT.to_le_bytes());
        put(&mut out, partition::COLUMN_WIDTH, &self.columns.to_le_bytes());
        array(&mut out, partition::START_COLUMNS, start_columns.len(), start.start);
        array(&mut out, partition::PDIS, 1, pdi.start);
        put(&mut out, partition::KERNEL_COMMIT_ID, &(empty_text.start as u32).to_le_bytes());

        for (index, column) in start_columns.iter().enumerate() {
            put(&mut out, start.start + 2 * index, &column.to_le_bytes());
        }
        put(&mut out, image.start, self.pdi);
        put(&mut out, group_name.start, GROUP_NAME);
        put(&mut out, kernel_ids.start, &u64::from(self.kernel_id).to_le_bytes());
        put(&mut out, pre_groups.start, &GROUP_PRE_GROUP.to_le_bytes());

        put(&mut out, group.start + partition::GROUP_NAME, &(group_name.start as u32).to_le_bytes());
        put(&mut out, group.start + partition::GROUP_TYPE, &[partition::GROUP_TYPE_PRIMARY]);
        put(&mut out, group.start + partition::GROUP_PDI_ID, &GROUP_PDI_ID.to_le_bytes());
        array(&mut out, group.start + partition::GROUP_KERNEL_IDS, 1, kernel_ids.start);
        array(&mut out, group.start + partition::GROUP_PRE_GROUPS, 1, pre_groups.start);

        put(&mut out, pdi.start, &self.uuid);
        array(&mut out, pdi.start + partition::PDI_IMAGE, self.pdi.len(), image.start);
        array(&mut out, pdi.start + partition::PDI_GROUPS, 1, group.start);
        out
    }

    fn ip_layout_section(&self) -> Vec<u8> {
        let mut out = vec![0; ip_layout::ENTRIES + ip_layout::ENTRY_BYTES];
        put(&mut out, 0, &1u32.to_le_bytes());
        let entry = ip_layout::ENTRIES;
        let functional = 0;
        let properties = ip_layout::SUBTYPE_DPU
            | functional << ip_layout::FUNCTIONAL_SHIFT
            | u32::from(self.kernel_id) << ip_layout::KERNEL_ID_SHIFT;
        put(&mut out, entry + ip_layout::TYPE, &ip_layout::TYPE_PS_KERNEL.to_le_bytes());
        put(&mut out, entry + ip_layout::PROPERTIES, &properties.to_le_bytes());
        put(&mut out, entry + ip_layout::BASE, &u64::MAX.to_le_bytes());
        put(&mut out, entry + ip_layout::NAME.start, self.ip_name().as_bytes());
        out
    }

    /// Argument index and memory index of every buffer.
    fn connections(&self) -> Vec<[u32; 2]> {
        let host = (0..self.declared_buffers()).map(|buffer| [ARGUMENTS_BEFORE_BUFFERS + buffer, HOST_MEMORY]);
        std::iter::once([INSTRUCTIONS_ARGUMENT, SRAM_MEMORY]).chain(host).collect()
    }
}

fn mem_topology_section() -> Vec<u8> {
    let mut out = vec![0; mem_topology::ENTRIES + MEMORIES.len() * mem_topology::ENTRY_BYTES];
    put(&mut out, 0, &(MEMORIES.len() as u32).to_le_bytes());
    for (index, (tag, size_kib)) in MEMORIES.iter().enumerate() {
        let entry = mem_topology::ENTRIES + index * mem_topology::ENTRY_BYTES;
        put(&mut out, entry + mem_topology::TYPE, &[mem_topology::TYPE_DRAM]);
        put(&mut out, entry + mem_topology::USED, &[1]);
        put(&mut out, entry + mem_topology::SIZE_KIB, &size_kib.to_le_bytes());
        put(&mut out, entry + mem_topology::BASE, &MEMORY_BASE.to_le_bytes());
        put(&mut out, entry + mem_topology::TAG.start, tag);
    }
    out
}

fn connectivity_section(connections: &[[u32; 2]]) -> Vec<u8> {
    const IP_INDEX: u32 = 0;
    let mut out = vec![0; connectivity::ENTRIES + connections.len() * connectivity::ENTRY_BYTES];
    put(&mut out, 0, &(connections.len() as u32).to_le_bytes());
    for (index, [argument, memory]) in connections.iter().enumerate() {
        let entry = connectivity::ENTRIES + index * connectivity::ENTRY_BYTES;
        for (field, value) in [*argument, IP_INDEX, *memory].iter().enumerate() {
            put(&mut out, entry + 4 * field, &value.to_le_bytes());
        }
    }
    out
}
