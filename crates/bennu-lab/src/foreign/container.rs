//! Sections of an xclbin as `xclbinutil --dump-section` writes them, against what the manifest means.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use npu_package::Kernel;
use serde_json::{Value, json};

/// The kernel id of every kernel of bennu ("Calling a kernel", docs/package.md).
const KERNEL_ID: &str = "0x901";
/// Register map of a call, same page: scalars and buffers before the host's buffers, then these, 8 bytes apart.
const FIRST_BUFFER: usize = 0x14;
const FIRST_BUFFER_ID: usize = 3;
const LEAST_BUFFERS: usize = 5;
/// Columns with shim DMA to the host; a partition must begin where it ends inside them.
const COLUMNS: usize = 4;

/// Dumps of one xclbin, in a directory of their own.
#[derive(Debug)]
pub struct Dumps {
    /// `AIE_PARTITION:JSON`.
    pub partition: Value,
    /// `IP_LAYOUT:JSON`.
    pub ip: Value,
    /// `CONNECTIVITY:JSON`.
    pub connectivity: Value,
    /// `MEM_TOPOLOGY:JSON`.
    pub memory: Value,
    /// `EMBEDDED_METADATA:RAW`.
    pub metadata: String,
    /// The files that the dump of AIE_PARTITION writes beside itself.
    pub pdis: Vec<Vec<u8>>,
}

impl Dumps {
    /// Reads the files that `lab/amd-tools` has xclbinutil write.
    pub fn read(directory: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
        };
        let document =
            |name: &str| -> Result<Value> { serde_json::from_str(&text(name)?).with_context(|| name.to_owned()) };
        let mut pdis = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "pdi") {
                pdis.push(fs::read(path)?);
            }
        }
        Ok(Self {
            partition: document("partition.json")?,
            ip: document("ip.json")?,
            connectivity: document("connectivity.json")?,
            memory: document("memory.json")?,
            metadata: text("metadata.xml")?,
            pdis,
        })
    }

    /// Compares them with a kernel of the manifest and the bytes of its PDI.
    pub fn compare(&self, kernel: &Kernel, pdi: &[u8]) -> Result<()> {
        let buffers = kernel.args.len().max(LEAST_BUFFERS);
        self.partition(kernel.columns)?;
        ensure!(self.pdis.len() == 1, "{} PDIs instead of one", self.pdis.len());
        ensure!(self.pdis[0] == pdi, "the PDI in the xclbin is another than the package's");
        same("kernels", &self.ip["ip_layout"], &ip(&kernel.kernel))?;
        same("connectivity", &self.connectivity["connectivity"], &connectivity(buffers))?;
        let tags: Vec<_> =
            list(&self.memory["mem_topology"]["m_mem_data"])?.iter().map(|memory| memory["m_tag"].clone()).collect();
        same("memories", &json!(tags), &json!(["HOST", "SRAM"]))?;
        self.arguments(&kernel.kernel, buffers)
    }

    fn partition(&self, columns: usize) -> Result<()> {
        let partition = &self.partition["aie_partition"];
        let starts: Vec<String> = (0..=COLUMNS - columns).map(|start| start.to_string()).collect();
        let expected = json!({ "column_width": columns.to_string(), "start_columns": starts });
        same("partition", &partition["partition"], &expected)?;
        let pdis = list(&partition["PDIs"])?;
        ensure!(pdis.len() == 1, "{} PDIs instead of one", pdis.len());
        let groups = list(&pdis[0]["cdo_groups"])?;
        ensure!(groups.len() == 1, "{} groups instead of one", groups.len());
        same("type of the group", &groups[0]["type"], &json!("PRIMARY"))?;
        same("kernels of the group", &groups[0]["dpu_kernel_ids"], &json!([KERNEL_ID]))
    }

    fn arguments(&self, kernel: &str, buffers: usize) -> Result<()> {
        let found: Vec<Vec<String>> = tags(&self.metadata, "arg")
            .map(|tag| ["id", "offset", "size", "addressQualifier"].map(|name| attribute(tag, name)).into())
            .collect();
        let row = |id: usize, offset: usize, size: usize, buffer: bool| {
            vec![id.to_string(), format!("{offset:#04x}"), format!("{size:#x}"), u8::from(buffer).to_string()]
        };
        let mut expected = vec![row(0, 0, 8, false), row(1, 8, 8, true), row(2, 0x10, 4, false)];
        expected.extend((0..buffers).map(|k| row(FIRST_BUFFER_ID + k, FIRST_BUFFER + 8 * k, 8, true)));
        same("arguments", &json!(found), &json!(expected))?;
        let names: Vec<_> = tags(&self.metadata, "kernel").map(|tag| attribute(tag, "name")).collect();
        same("names of kernels", &json!(names), &json!([kernel]))?;
        let ids: Vec<_> = tags(&self.metadata, "extended-data").map(|tag| attribute(tag, "dpu_kernel_id")).collect();
        same("ids of kernels", &json!(ids), &json!([KERNEL_ID]))
    }
}

fn ip(kernel: &str) -> Value {
    json!({
        "m_count": "1",
        "m_ip_data": [{
            "m_type": "IP_PS_KERNEL",
            "m_subtype": "DPU",
            "m_functional": "DPU",
            "m_kernel_id": KERNEL_ID,
            "m_base_address": "not_used",
            "m_name": format!("{kernel}:bennu"),
        }],
    })
}

/// The stream is in memory 1 (SRAM), the host's buffers in memory 0 (HOST).
fn connectivity(buffers: usize) -> Value {
    let connection = |argument: usize, memory: usize| json!({ "arg_index": argument.to_string(), "m_ip_layout_index": "0", "mem_data_index": memory.to_string() });
    let mut all = vec![connection(1, 1)];
    all.extend((0..buffers).map(|k| connection(FIRST_BUFFER_ID + k, 0)));
    json!({ "m_count": all.len().to_string(), "m_connection": all })
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<()> {
    ensure!(found == expected, "{what}: xclbinutil reads {found}, the manifest means {expected}");
    Ok(())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("{value} is not a list"))
}

/// The text between `<name ` and `>` of each such tag.
fn tags<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    xml.split('<')
        .filter_map(move |tag| tag.strip_prefix(name)?.strip_prefix(' ')?.split('>').next())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The value of an attribute; empty if it is not there.
fn attribute(tag: &str, name: &str) -> String {
    let start = format!(" {name}=\"");
    let tag = format!(" {tag}");
    tag.split_once(&start).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: &str = r#"<core><kernel name="k" type="dpu"><arg name="bo0" id="3" hostOffset="0x0" offset="0x14"/><arg id="4"/></kernel></core>"#;

    #[test]
    fn attributes_are_found_by_their_whole_name() {
        let found: Vec<_> = tags(TAGS, "arg").map(|tag| attribute(tag, "id")).collect();
        assert_eq!(found, ["3", "4"]);
        assert_eq!(tags(TAGS, "kernel").map(|tag| attribute(tag, "name")).collect::<Vec<_>>(), ["k"]);
        assert_eq!(attribute(r#"name="a" offset="0x14""#, "offset"), "0x14");
        assert_eq!(attribute(r#"hostOffset="0x0""#, "Offset"), "", "part of a name is not the name");
    }

    #[test]
    fn another_value_is_told_with_both() {
        let error = same("partition", &json!({ "column_width": "3" }), &json!({ "column_width": "4" }))
            .expect_err("3 is not 4");
        assert_eq!(
            error.to_string(),
            r#"partition: xclbinutil reads {"column_width":"3"}, the manifest means {"column_width":"4"}"#
        );
    }
}
