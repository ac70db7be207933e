//! xclbin: sections, kernels, and the PDIs inside.

use npu_container::pdi::{self, PdiError};
use npu_container::xclbin::{PdiImage, Qualifier, SectionKind, Xclbin};

use super::{Data, Line, Section, cdo};

/// The file's tables, then each PDI with its programs.
pub(super) fn list(file: &Xclbin, data: Data) -> Result<Vec<Section>, PdiError> {
    let mut sections = vec![header(file), section_table(file), kernels(file)];
    for (index, image) in file.partition.pdis.iter().enumerate() {
        sections.push(pdi_facts(index, image));
        let commands = pdi::read(&image.image)?.commands;
        sections.extend(cdo::list(&format!("PDI {index}: "), pdi::CDO_OFFSET, &commands, data));
    }
    Ok(sections)
}

fn header(file: &Xclbin) -> Section {
    let (major, minor) = file.version;
    let partition = &file.partition;
    let starts: Vec<String> = partition.start_columns.iter().map(u16::to_string).collect();
    let lines = vec![
        Line::fact(format!("uuid {}, version {major}.{minor}, platform {:?}", hex(&file.uuid), file.platform)),
        Line::fact(format!(
            "partition of {} columns, may start at column {}, {} operations per cycle",
            partition.columns,
            starts.join(", "),
            partition.operations_per_cycle
        )),
    ];
    Section { title: "header".to_owned(), lines }
}

fn section_table(file: &Xclbin) -> Section {
    let lines = file
        .sections
        .iter()
        .map(|section| {
            let kind = match section.kind {
                SectionKind::EmbeddedMetadata => "EMBEDDED_METADATA".to_owned(),
                SectionKind::MemTopology => "MEM_TOPOLOGY".to_owned(),
                SectionKind::Connectivity => "CONNECTIVITY".to_owned(),
                SectionKind::IpLayout => "IP_LAYOUT".to_owned(),
                SectionKind::GroupTopology => "GROUP_TOPOLOGY".to_owned(),
                SectionKind::GroupConnectivity => "GROUP_CONNECTIVITY".to_owned(),
                SectionKind::AiePartition => "AIE_PARTITION".to_owned(),
                SectionKind::Other(code) => format!("kind {code}"),
            };
            let name = if section.name.is_empty() { String::new() } else { format!("  {:?}", section.name) };
            Line::at(section.offset as usize, format!("{kind:<18}  {} bytes{name}", section.bytes.len()))
        })
        .collect();
    Section { title: format!("{} sections", file.sections.len()), lines }
}

fn kernels(file: &Xclbin) -> Section {
    let mut lines = Vec::new();
    for kernel in &file.kernels {
        let id = kernel.kernel_id.map_or_else(|| "none".to_owned(), |id| format!("{id:#x}"));
        lines.push(Line::fact(format!("kernel {}, id {id}, instances {}", kernel.name, kernel.instances.join(", "))));
        for argument in &kernel.arguments {
            let passed = match argument.qualifier {
                Qualifier::Scalar => "value".to_owned(),
                Qualifier::Global => "buffer".to_owned(),
                Qualifier::Other(code) => format!("qualifier {code}"),
            };
            lines.push(Line::fact(format!(
                "  {:#06x}  {:<8}  {passed}, {} bytes, {}",
                argument.offset, argument.name, argument.size_bytes, argument.type_name
            )));
        }
    }
    for ip in &file.ips {
        let selects = ip.kernel_id;
        lines.push(Line::fact(format!("ip {}, type {}.{}, kernel id {selects:#x}", ip.name, ip.ip_type, ip.subtype)));
    }
    for memory in &file.memories {
        let used = if memory.used { "used" } else { "unused" };
        let (tag, size, base) = (&memory.tag, memory.size_kib, memory.base);
        lines.push(Line::fact(format!("memory {tag}, {size} KiB at {base:#x}, {used}")));
    }
    Section { title: format!("{} kernels", file.kernels.len()), lines }
}

fn pdi_facts(index: usize, image: &PdiImage) -> Section {
    let mut lines = vec![Line::fact(format!("uuid {}, {} bytes", hex(&image.uuid), image.image.len()))];
    for group in &image.groups {
        let ids: Vec<String> = group.kernel_ids.iter().map(|id| format!("{id:#x}")).collect();
        lines.push(Line::fact(format!(
            "group {}, type {}, PDI id {:#x}, kernels {}",
            group.name,
            group.group_type,
            group.pdi_id,
            ids.join(", ")
        )));
    }
    Section { title: format!("PDI {index}"), lines }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
