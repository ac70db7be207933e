//! What the operations are by the dialects' definitions: operands, properties with their types, results, regions, and where each may stand.
// SOURCE: Xilinx/mlir-aie include/aie/Dialect/AIE/IR/{AIEOps,AIEAttrs}.td, include/aie/Dialect/AIEX/IR/AIEX.td; MLIR's memref and arith dialects.

use std::collections::{BTreeMap, BTreeSet};

use crate::reader::{Attribute, Operation};

struct Shape {
    parents: &'static [&'static str],
    operands: &'static [&'static str],
    /// Name and kind; a question mark behind the name: it may be missing.
    properties: &'static [(&'static str, &'static str)],
    results: &'static [&'static str],
    regions: usize,
    successors: usize,
}

const DEVICE: &[&str] = &["aie.device"];
const DMA: &[&str] = &["aie.mem", "aie.memtile_dma"];
const SEQUENCE: &[&str] = &["aie.runtime_sequence"];

#[rustfmt::skip]
fn shape(name: &str) -> Option<Shape> {
    let of = |parents, operands, properties, results, regions, successors| {
        Some(Shape { parents, operands, properties, results, regions, successors })
    };
    match name {
        "builtin.module" => of(&[""], &[], &[], &[], 1, 0),
        "aie.device" => of(&["builtin.module"], &[], &[("device", "i32"), ("sym_name", "text")], &[], 1, 0),
        "aie.tile" => of(DEVICE, &[], &[("allocation_scheme?", "text"), ("col", "i32"), ("row", "i32")], &["index"], 0, 0),
        "aie.buffer" => of(DEVICE, &["index"], &[("address", "i32"), ("aligned", "bool"), ("initial_value?", "words"), ("sym_name", "text")], &["memref"], 0, 0),
        "aie.lock" => of(DEVICE, &["index"], &[("init", "i32"), ("lockID", "i32"), ("sym_name", "text")], &["index"], 0, 0),
        "aie.flow" => of(DEVICE, &["index", "index"], &[("dest_bundle", "i32"), ("dest_channel", "i32"), ("source_bundle", "i32"), ("source_channel", "i32")], &[], 0, 0),
        "aie.packet_flow" => of(DEVICE, &[], &[("ID", "i8"), ("keep_pkt_header", "bool"), ("priority_route", "bool")], &[], 1, 0),
        "aie.packet_source" | "aie.packet_dest" => of(&["aie.packet_flow"], &["index"], &[("bundle", "i32"), ("channel", "i32")], &[], 0, 0),
        "aie.cascade_flow" => of(DEVICE, &["index", "index"], &[], &[], 0, 0),
        "aie.mem" | "aie.memtile_dma" => of(DEVICE, &["index"], &[], &["index"], 1, 0),
        "aie.dma_start" => of(DMA, &[], &[("channel_dir", "i32"), ("channel_index", "i32"), ("repeat_count", "i32")], &["i1"], 0, 2),
        "aie.use_lock" => of(DMA, &["index", "i32"], &[("action", "i32")], &[], 0, 0),
        "aie.dma_bd" => of(DMA, &["memref"], &[("bd_id", "i32"), ("iteration?", "#aie.bd_iteration"), ("operandSegmentSizes", "array i32"), ("pad_dimensions?", "#aie<bd_pad_layout_array"), ("static_len", "i32"), ("static_offset", "i32"), ("static_sizes?", "array i64"), ("static_strides?", "array i64")], &[], 0, 0),
        "aie.next_bd" => of(DMA, &[], &[], &[], 0, 1),
        "aie.end" => of(&["aie.device", "aie.packet_flow", "aie.mem", "aie.memtile_dma", "aie.core"], &[], &[], &[], 0, 0),
        "aie.core" => of(DEVICE, &["index"], &[("elf_file", "text"), ("stack_size", "i32")], &["index"], 1, 0),
        "aie.runtime_sequence" => of(DEVICE, &[], &[("sym_name", "text")], &[], 1, 0),
        "memref.global" => of(DEVICE, &[], &[("constant", "unit"), ("initial_value", "words"), ("sym_name", "text"), ("sym_visibility", "text"), ("type", "memref")], &[], 0, 0),
        "memref.get_global" => of(SEQUENCE, &[], &[("name", "symbol")], &["memref"], 0, 0),
        "arith.constant" => of(&["aie.mem", "aie.memtile_dma", "aie.runtime_sequence"], &[], &[("value", "i32")], &["i32"], 0, 0),
        "aiex.npu.write32" => of(SEQUENCE, &["i32"; 2], &[], &[], 0, 0),
        "aiex.npu.maskwrite32" | "aiex.npu.maskpoll" => of(SEQUENCE, &["i32"; 3], &[], &[], 0, 0),
        "aiex.npu.blockwrite" => of(SEQUENCE, &["memref"], &[("address", "ui32")], &[], 0, 0),
        "aiex.npu.sync" => of(SEQUENCE, &["i32"; 6], &[], &[], 0, 0),
        "aiex.npu.address_patch" => of(SEQUENCE, &["i32"], &[("addr", "ui32"), ("arg_idx", "i32")], &[], 0, 0),
        _ => None,
    }
}

/// Attributes that an operation does not define, and passes look for.
fn discardable(name: &str) -> &'static [&'static str] {
    match name {
        "aie.device" => &["needs_ctrl_pkt_overlay"],
        "aie.tile" => &["controller_id"],
        _ => &[],
    }
}

fn is_kind(value: &Attribute, kind: &str) -> bool {
    match (value, kind) {
        (Attribute::Unit, "unit") | (Attribute::Bool(_), "bool") | (Attribute::Text(_), "text") => true,
        (Attribute::Words(_), "words") | (Attribute::Symbol(_), "symbol") => true,
        (Attribute::Integer { kind, .. }, wanted) => kind == wanted,
        (Attribute::Array { kind, .. }, wanted) => wanted.strip_prefix("array ") == Some(kind),
        (Attribute::Other(text), "memref") => text.starts_with("memref<"),
        (Attribute::Other(text), wanted) => wanted.starts_with('#') && text.starts_with(wanted),
        _ => false,
    }
}

/// Checks every operation, that values are defined before they are used with the types they have, and that symbols are unique.
pub fn check(module: &Operation) -> Result<(), String> {
    operation(module, "", &mut vec![BTreeMap::new()], &mut BTreeSet::new())
}

fn operation(
    op: &Operation,
    parent: &str,
    scopes: &mut Vec<BTreeMap<String, String>>,
    symbols: &mut BTreeSet<String>,
) -> Result<(), String> {
    let fail = |what: String| Err(format!("{} in {parent:?}: {what}", op.name));
    let Some(shape) = shape(&op.name) else { return fail("no such operation".into()) };
    if !shape.parents.contains(&parent) {
        return fail("not there".into());
    }
    let types = |found: &[String], wanted: &[&str]| {
        found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(f, w)| f == w || *w == "memref" && f.starts_with("memref<"))
    };
    if !types(&op.operand_types, shape.operands) || op.operands.len() != shape.operands.len() {
        return fail(format!("operands {:?}", op.operand_types));
    }
    if !types(&op.result_types, shape.results) || op.results.len() > shape.results.len() {
        return fail(format!("results {:?}", op.result_types));
    }
    if (op.regions.len(), op.successors.len()) != (shape.regions, shape.successors) {
        return fail("regions or successors".into());
    }
    for (name, kind) in shape.properties {
        let (name, optional) = (name.trim_end_matches('?'), name.ends_with('?'));
        match op.properties.get(name) {
            None if optional => {}
            Some(value) if is_kind(value, kind) => {}
            found => return fail(format!("{name} is {found:?}, not {kind}")),
        }
    }
    let known = |name: &String| shape.properties.iter().any(|(known, _)| known.trim_end_matches('?') == name);
    if let Some(name) = op.properties.keys().find(|name| !known(name)) {
        return fail(format!("property {name}"));
    }
    if let Some(name) = op.attributes.keys().find(|name| !discardable(&op.name).contains(&name.as_str())) {
        return fail(format!("attribute {name}"));
    }
    if let Some(Attribute::Text(symbol)) = op.properties.get("sym_name").filter(|_| op.name != "aie.device")
        && !symbols.insert(symbol.clone())
    {
        return fail(format!("symbol {symbol} twice"));
    }
    if let Some(Attribute::Symbol(symbol)) = op.properties.get("name")
        && !symbols.contains(symbol)
    {
        return fail(format!("symbol {symbol} is not there"));
    }
    for (value, kind) in op.operands.iter().zip(&op.operand_types) {
        let found = scopes.iter().rev().find_map(|scope| scope.get(value));
        if found != Some(kind) {
            return fail(format!("%{value} is {found:?}, not {kind}"));
        }
    }
    for region in &op.regions {
        scopes.push(BTreeMap::new());
        for block in &region.blocks {
            let known = |label: &String| region.blocks.iter().any(|b| b.label == *label);
            for (name, kind) in &block.arguments {
                scopes.last_mut().expect("a scope").insert(name.clone(), kind.clone());
            }
            for inner in &block.operations {
                if let Some(label) = inner.successors.iter().find(|label| !known(label)) {
                    return fail(format!("no block {label}"));
                }
                operation(inner, &op.name, scopes, symbols)?;
            }
        }
        scopes.pop();
    }
    for (name, kind) in op.results.iter().zip(&op.result_types) {
        if scopes.last_mut().expect("a scope").insert(name.clone(), kind.clone()).is_some() {
            return fail(format!("%{name} twice"));
        }
    }
    Ok(())
}
