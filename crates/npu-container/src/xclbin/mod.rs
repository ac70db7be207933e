//! xclbin (axlf): the container in which XRT takes a kernel.
//!
//! ```text
//! 0x000  header              0x1C8 bytes
//! 0x1C8  section table       40 bytes per section
//! ..     sections            8-byte aligned
//! ```
//!
//! A kernel of the NPU consists of an AIE_PARTITION section with its PDI, an IP_LAYOUT entry and embedded XML that
//! name it, and memory sections that connect its arguments. The kernel id joins them: the entry's id is looked
//! up in the CDO groups of the partition.
//!
//! [`Builder`] writes the seven sections that mlir-aie writes, in its order, for one kernel. [`read`] also takes
//! files with several PDIs and with sections this module does not interpret.
// SOURCE: Xilinx/XRT src/runtime_src/core/include/xrt/detail/xclbin.h (all struct layouts, from the compiled header);
// tools/xclbinutil (what is written into them); Xilinx/mlir-aie tools/aiecc/SidecarFiles.h (values).

mod read;
mod write;
mod xml;

pub use read::{CdoGroup, Connection, Ip, Memory, Partition, PdiImage, Section, Xclbin, XclbinError, read};
pub use write::{BuildError, Builder};
pub use xml::{Argument, Kernel, Qualifier, XmlError};

/// The first eight bytes.
pub const MAGIC: &[u8; 8] = b"xclbin2\0";

/// Kernel id that mlir-aie gives to its kernel.
// SOURCE: Xilinx/mlir-aie tools/aiecc (--xclbin-kernel-id default).
pub const DEFAULT_KERNEL_ID: u16 = 0x901;
/// Host buffers a kernel declares at least: fewer give an undersized command slot in chained submission.
// SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, kMinHostBOs.
pub const MIN_HOST_BUFFERS: usize = 5;
/// Host buffers a kernel may declare.
// SOURCE: Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, kMaxHostBOs (verified on hardware by its authors).
pub const MAX_HOST_BUFFERS: usize = 16;
/// Byte offset of the opcode in the register map.
pub const OPCODE_OFFSET: u32 = 0x00;
/// Byte offset of the instruction buffer's address in the register map.
pub const INSTRUCTIONS_OFFSET: u32 = 0x08;
/// Byte offset of the instruction count in the register map.
pub const INSTRUCTION_COUNT_OFFSET: u32 = 0x10;
/// Byte offset of the first host buffer's address in the register map.
pub const FIRST_BUFFER_OFFSET: u32 = 0x14;
/// Bytes between the addresses of two host buffers in the register map.
pub const BUFFER_STRIDE: u32 = 8;
/// Arguments before the first host buffer: opcode, instr, ninstr.
pub const ARGUMENTS_BEFORE_BUFFERS: u32 = 3;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// XML that describes kernels and their arguments.
    EmbeddedMetadata,
    /// Memories.
    MemTopology,
    /// Which argument of which kernel lies in which memory.
    Connectivity,
    /// Kernels.
    IpLayout,
    /// Memories, grouped.
    GroupTopology,
    /// Connectivity to grouped memories.
    GroupConnectivity,
    /// Column partition with its PDIs.
    AiePartition,
    /// A kind this module does not interpret.
    Other(u32),
}

impl SectionKind {
    /// The number in the section header.
    pub const fn code(self) -> u32 {
        match self {
            SectionKind::EmbeddedMetadata => 2,
            SectionKind::MemTopology => 6,
            SectionKind::Connectivity => 7,
            SectionKind::IpLayout => 8,
            SectionKind::GroupTopology => 26,
            SectionKind::GroupConnectivity => 27,
            SectionKind::AiePartition => 32,
            SectionKind::Other(code) => code,
        }
    }

    /// The kind of a section header's number.
    pub const fn from_code(code: u32) -> Self {
        match code {
            2 => SectionKind::EmbeddedMetadata,
            6 => SectionKind::MemTopology,
            7 => SectionKind::Connectivity,
            8 => SectionKind::IpLayout,
            26 => SectionKind::GroupTopology,
            27 => SectionKind::GroupConnectivity,
            32 => SectionKind::AiePartition,
            code => SectionKind::Other(code),
        }
    }
}

impl std::fmt::Display for SectionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SectionKind::EmbeddedMetadata => f.write_str("EMBEDDED_METADATA"),
            SectionKind::MemTopology => f.write_str("MEM_TOPOLOGY"),
            SectionKind::Connectivity => f.write_str("CONNECTIVITY"),
            SectionKind::IpLayout => f.write_str("IP_LAYOUT"),
            SectionKind::GroupTopology => f.write_str("GROUP_TOPOLOGY"),
            SectionKind::GroupConnectivity => f.write_str("GROUP_CONNECTIVITY"),
            SectionKind::AiePartition => f.write_str("AIE_PARTITION"),
            SectionKind::Other(code) => write!(f, "section kind {code}"),
        }
    }
}

/// Byte offsets in the file header.
pub(crate) mod header {
    pub(crate) const SIGNATURE_LENGTH: usize = 0x008;
    pub(crate) const RESERVED: std::ops::Range<usize> = 0x00C..0x128;
    pub(crate) const FILE_LENGTH: usize = 0x130;
    pub(crate) const TIMESTAMP: usize = 0x138;
    pub(crate) const VERSION_MAJOR: usize = 0x14A;
    pub(crate) const VERSION_MINOR: usize = 0x14B;
    pub(crate) const PLATFORM: std::ops::Range<usize> = 0x160..0x1A0;
    pub(crate) const UUID: usize = 0x1A0;
    pub(crate) const SECTION_COUNT: usize = 0x1C0;
    pub(crate) const BYTES: usize = 0x1C8;
}

/// Byte offsets in a section header.
pub(crate) mod section_header {
    pub(crate) const KIND: usize = 0;
    pub(crate) const NAME: std::ops::Range<usize> = 4..20;
    pub(crate) const OFFSET: usize = 24;
    pub(crate) const SIZE: usize = 32;
    pub(crate) const BYTES: usize = 40;
}

/// Byte offsets in MEM_TOPOLOGY.
pub(crate) mod mem_topology {
    pub(crate) const ENTRIES: usize = 8;
    pub(crate) const ENTRY_BYTES: usize = 40;
    pub(crate) const TYPE: usize = 0;
    pub(crate) const USED: usize = 1;
    pub(crate) const SIZE_KIB: usize = 8;
    pub(crate) const BASE: usize = 16;
    pub(crate) const TAG: std::ops::Range<usize> = 24..40;
    pub(crate) const TYPE_DRAM: u8 = 2;
}

/// Byte offsets in IP_LAYOUT.
pub(crate) mod ip_layout {
    pub(crate) const ENTRIES: usize = 8;
    pub(crate) const ENTRY_BYTES: usize = 80;
    pub(crate) const TYPE: usize = 0;
    pub(crate) const PROPERTIES: usize = 4;
    pub(crate) const BASE: usize = 8;
    pub(crate) const NAME: std::ops::Range<usize> = 16..80;
    pub(crate) const TYPE_PS_KERNEL: u32 = 7;
    pub(crate) const SUBTYPE_DPU: u32 = 1;
    pub(crate) const FUNCTIONAL_SHIFT: u32 = 4;
    pub(crate) const KERNEL_ID_SHIFT: u32 = 16;
}

/// Byte offsets in CONNECTIVITY.
pub(crate) mod connectivity {
    pub(crate) const ENTRIES: usize = 4;
    pub(crate) const ENTRY_BYTES: usize = 12;
}

/// Byte offsets in AIE_PARTITION and its parts. An array is `{count u32, offset u32}`, offsets from the section start.
pub(crate) mod partition {
    pub(crate) const BYTES: usize = 184;
    pub(crate) const NAME: usize = 0x04;
    pub(crate) const OPERATIONS_PER_CYCLE: usize = 0x08;
    pub(crate) const INFERENCE_FINGERPRINT: usize = 0x10;
    pub(crate) const PRE_POST_FINGERPRINT: usize = 0x18;
    pub(crate) const COLUMN_WIDTH: usize = 0x20;
    pub(crate) const START_COLUMNS: usize = 0x28;
    pub(crate) const PDIS: usize = 0x78;
    pub(crate) const KERNEL_COMMIT_ID: usize = 0x80;

    pub(crate) const PDI_BYTES: usize = 96;
    pub(crate) const PDI_IMAGE: usize = 0x10;
    pub(crate) const PDI_GROUPS: usize = 0x18;

    pub(crate) const GROUP_BYTES: usize = 96;
    pub(crate) const GROUP_NAME: usize = 0x00;
    pub(crate) const GROUP_TYPE: usize = 0x04;
    pub(crate) const GROUP_PDI_ID: usize = 0x08;
    pub(crate) const GROUP_KERNEL_IDS: usize = 0x10;
    pub(crate) const GROUP_PRE_GROUPS: usize = 0x18;
    pub(crate) const GROUP_TYPE_PRIMARY: u8 = 1;
}
