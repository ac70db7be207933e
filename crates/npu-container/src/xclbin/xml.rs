//! The XML of EMBEDDED_METADATA: kernels and their arguments.
//!
//! The reader understands elements with quoted attributes, which is all that xclbinutil writes; text, comments
//! and declarations are skipped, entities are not resolved (no name of ours needs one).

use super::write::Builder;
use super::{BUFFER_STRIDE, FIRST_BUFFER_OFFSET, INSTRUCTION_COUNT_OFFSET, INSTRUCTIONS_OFFSET, OPCODE_OFFSET};

/// A kernel as the XML describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Kernel name.
    pub name: String,
    /// Id that selects the PDI, if the kernel has one.
    pub kernel_id: Option<u64>,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
    /// Instance names.
    pub instances: Vec<String>,
}

/// A kernel argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Argument name.
    pub name: String,
    /// Value or buffer.
    pub qualifier: Qualifier,
    /// Bytes in the register map.
    pub size_bytes: u64,
    /// Byte offset in the register map.
    pub offset: u64,
    /// C type.
    pub type_name: String,
}

/// How an argument is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// By value.
    Scalar,
    /// The address of a buffer.
    Global,
    /// Another qualifier of XRT (constant, local, stream).
    Other(u64),
}

/// Why XML is not a kernel description. Offsets count bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    Encoding {
        /// First byte that is not.
        offset: usize,
    },
    /// A tag or an attribute that does not end, or no attribute where one must be.
    #[error("malformed tag at byte {offset}")]
    Tag {
        /// Where the tag begins.
        offset: usize,
    },
    /// An attribute that its element must have.
    #[error("element <{element}> at byte {offset} has no attribute {attribute:?}")]
    MissingAttribute {
        /// Element name.
        element: &'static str,
        /// Attribute name.
        attribute: &'static str,
        /// Where the tag begins.
        offset: usize,
    },
    /// An attribute that is not a number.
    #[error("attribute {attribute:?} at byte {offset} is {found:?}, must be a number")]
    Number {
        /// Attribute name.
        attribute: &'static str,
        /// Its value.
        found: String,
        /// Where the tag begins.
        offset: usize,
    },
    /// An argument, an instance or extended data outside a kernel.
    #[error("<{element}> at byte {offset} lies outside a kernel")]
    OutsideKernel {
        /// Element name.
        element: &'static str,
        /// Where the tag begins.
        offset: usize,
    },
}

/// The XML for one kernel, as xclbinutil formats it.
// SOURCE: Xilinx/XRT src/runtime_src/tools/xclbinutil/KernelUtilities.cxx (attributes and their order);
// Xilinx/mlir-aie tools/aiecc/SidecarFiles.h, makeKernelsJson (arguments).
pub(super) fn write(builder: &Builder<'_>) -> String {
    let mut arguments = vec![
        ("opcode".to_owned(), 0, 8, OPCODE_OFFSET, "uint64_t"),
        ("instr".to_owned(), 1, 8, INSTRUCTIONS_OFFSET, "char *"),
        ("ninstr".to_owned(), 0, 4, INSTRUCTION_COUNT_OFFSET, "uint32_t"),
    ];
    for buffer in 0..builder.declared_buffers() {
        let offset = FIRST_BUFFER_OFFSET + BUFFER_STRIDE * buffer;
        arguments.push((format!("bo{buffer}"), 1, 8, offset, "void*"));
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    out += "<project>\n  <platform>\n    <device>\n      <core>\n";
    out += &format!("        <kernel name=\"{}\" language=\"c\" type=\"dpu\">\n", builder.kernel);
    out += &format!(
        "          <extended-data subtype=\"1\" functional=\"0\" dpu_kernel_id=\"{:#x}\"/>\n",
        builder.kernel_id
    );
    for (id, (name, qualifier, size, offset, type_name)) in arguments.iter().enumerate() {
        out += &format!(
            "          <arg name=\"{name}\" addressQualifier=\"{qualifier}\" id=\"{id}\" size=\"{size:#x}\" \
             offset=\"{offset:#04x}\" hostOffset=\"0x0\" hostSize=\"{size:#x}\" type=\"{type_name}\"/>\n"
        );
    }
    out += &format!("          <instance name=\"{}\"/>\n", builder.instance);
    out += "        </kernel>\n      </core>\n    </device>\n  </platform>\n</project>\n";
    out
}

/// Reads the kernels of the XML.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Kernel>, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| XmlError::Encoding { offset: error.valid_up_to() })?;
    let mut kernels: Vec<Kernel> = Vec::new();
    let mut inside_kernel = false;
    let mut at = 0;
    while let Some(start) = text[at..].find('<') {
        let tag_offset = at + start;
        if text[tag_offset..].starts_with("<!--") {
            let end = text[tag_offset..].find("-->").ok_or(XmlError::Tag { offset: tag_offset })?;
            at = tag_offset + end + 3;
            continue;
        }
        let (tag, end) = Tag::parse(text, tag_offset)?;
        at = end;
        match tag.name {
            "kernel" => {
                let name = tag.text("kernel", "name")?;
                kernels.push(Kernel { name, kernel_id: None, arguments: Vec::new(), instances: Vec::new() });
                inside_kernel = !tag.closed;
            }
            "/kernel" => inside_kernel = false,
            "extended-data" => {
                let kernel = tag.kernel("extended-data", inside_kernel, &mut kernels)?;
                if tag.attribute("dpu_kernel_id").is_some() {
                    kernel.kernel_id = Some(tag.number("extended-data", "dpu_kernel_id")?);
                }
            }
            "arg" => {
                let argument = Argument {
                    name: tag.text("arg", "name")?,
                    qualifier: match tag.number("arg", "addressQualifier")? {
                        0 => Qualifier::Scalar,
                        1 => Qualifier::Global,
                        other => Qualifier::Other(other),
                    },
                    size_bytes: tag.number("arg", "size")?,
                    offset: tag.number("arg", "offset")?,
                    type_name: tag.text("arg", "type")?,
                };
                tag.kernel("arg", inside_kernel, &mut kernels)?.arguments.push(argument);
            }
            "instance" => {
                let name = tag.text("instance", "name")?;
                tag.kernel("instance", inside_kernel, &mut kernels)?.instances.push(name);
            }
            _ => {}
        }
    }
    Ok(kernels)
}

struct Tag<'a> {
    offset: usize,
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    closed: bool,
}

impl<'a> Tag<'a> {
    /// Parses the tag that begins with `<` at `offset`; returns it and where it ends.
    fn parse(text: &'a str, offset: usize) -> Result<(Self, usize), XmlError> {
        let malformed = XmlError::Tag { offset };
        let name_start = offset + 1;
        let is_end = |c: char| c.is_ascii_whitespace() || c == '>' || c == '=';
        let name_bytes = text[name_start..].find(is_end).ok_or(malformed.clone())?;
        let mut name = &text[name_start..name_start + name_bytes];
        let mut closed = false;
        if let Some(stripped) = name.strip_suffix('/') {
            (name, closed) = (stripped, true);
        }
        let mut attributes = Vec::new();
        let mut rest = text[name_start + name_bytes..].trim_ascii_start();
        loop {
            if let Some(after) = rest.strip_prefix("/>").or(rest.strip_prefix("?>")) {
                return Ok((Self { offset, name, attributes, closed: true }, text.len() - after.len()));
            }
            if let Some(after) = rest.strip_prefix('>') {
                return Ok((Self { offset, name, attributes, closed }, text.len() - after.len()));
            }
            let (key, after) = rest.split_once('=').ok_or(malformed.clone())?;
            let after = after.trim_ascii_start().strip_prefix('"').ok_or(malformed.clone())?;
            let (value, after) = after.split_once('"').ok_or(malformed.clone())?;
            attributes.push((key.trim_ascii_end(), value));
            rest = after.trim_ascii_start();
        }
    }

    fn attribute(&self, key: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn text(&self, element: &'static str, attribute: &'static str) -> Result<String, XmlError> {
        let missing = XmlError::MissingAttribute { element, attribute, offset: self.offset };
        self.attribute(attribute).map(str::to_owned).ok_or(missing)
    }

    fn number(&self, element: &'static str, attribute: &'static str) -> Result<u64, XmlError> {
        let found = self.text(element, attribute)?;
        let parsed = match found.strip_prefix("0x") {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
            None => found.parse(),
        };
        parsed.map_err(|_| XmlError::Number { attribute, found, offset: self.offset })
    }

    fn kernel<'k>(
        &self,
        element: &'static str,
        inside: bool,
        kernels: &'k mut [Kernel],
    ) -> Result<&'k mut Kernel, XmlError> {
        let outside = XmlError::OutsideKernel { element, offset: self.offset };
        kernels.last_mut().filter(|_| inside).ok_or(outside)
    }
}
