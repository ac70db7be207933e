//! Text of MLIR's generic form: values, operations, attributes.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// An SSA value.
#[derive(Clone, Debug)]
pub(super) struct Value {
    name: String,
    kind: String,
}

/// Type of tiles, locks and regions' operations.
pub(super) const INDEX: &str = "index";
/// Type of runtime words.
pub(super) const WORD: &str = "i32";

/// Type of a buffer of words.
pub(super) fn words_type(words: usize) -> String {
    format!("memref<{words}xi32>")
}

pub(super) fn i32(value: impl Display) -> String {
    format!("{value} : i32")
}

pub(super) fn ui32(value: u32) -> String {
    format!("{value} : ui32")
}

/// A string of characters that need no escape.
pub(super) fn string(value: impl Display) -> String {
    format!("\"{value}\"")
}

/// Words as the value of a buffer.
pub(super) fn dense(words: &[u32]) -> String {
    /// As many as are still read at a glance.
    const LISTED: usize = 16;
    let kind = format!("tensor<{}xi32>", words.len());
    match words {
        [word] => format!("dense<{}> : {kind}", *word as i32),
        _ if words.len() <= LISTED => {
            let list: Vec<String> = words.iter().map(|word| (*word as i32).to_string()).collect();
            format!("dense<[{}]> : {kind}", list.join(", "))
        }
        _ => {
            let bytes: String = words.iter().flat_map(|word| word.to_le_bytes()).map(|b| format!("{b:02X}")).collect();
            format!("dense<\"0x{bytes}\"> : {kind}")
        }
    }
}

/// An operation without its regions.
#[derive(Clone, Debug, Default)]
pub(super) struct Op<'a> {
    name: &'a str,
    result: Option<Value>,
    operands: Vec<&'a Value>,
    successors: Vec<usize>,
    properties: Vec<(&'a str, String)>,
    /// Attributes that the operation does not define.
    attributes: Vec<(&'a str, String)>,
}

impl<'a> Op<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Op { name, ..Op::default() }
    }

    pub(super) fn on(mut self, operands: impl IntoIterator<Item = &'a Value>) -> Self {
        self.operands.extend(operands);
        self
    }

    pub(super) fn to(mut self, blocks: impl IntoIterator<Item = usize>) -> Self {
        self.successors.extend(blocks);
        self
    }

    pub(super) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    pub(super) fn attribute(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    fn head(&self) -> String {
        let mut text = String::new();
        if let Some(result) = &self.result {
            text.push_str(&format!("{} = ", result.name));
        }
        let operands: Vec<&str> = self.operands.iter().map(|value| value.name.as_str()).collect();
        text.push_str(&format!("\"{}\"({})", self.name, operands.join(", ")));
        if !self.successors.is_empty() {
            let blocks: Vec<String> = self.successors.iter().map(|block| format!("^bb{block}")).collect();
            text.push_str(&format!("[{}]", blocks.join(", ")));
        }
        if !self.properties.is_empty() {
            text.push_str(&format!(" <{{{}}}>", dictionary(&self.properties)));
        }
        text
    }

    fn tail(&self) -> String {
        let operands: Vec<&str> = self.operands.iter().map(|value| value.kind.as_str()).collect();
        let result = self.result.as_ref().map_or("()", |value| &value.kind);
        let attributes =
            if self.attributes.is_empty() { String::new() } else { format!(" {{{}}}", dictionary(&self.attributes)) };
        format!("{attributes} : ({}) -> {result}", operands.join(", "))
    }
}

fn dictionary(entries: &[(&str, String)]) -> String {
    let entry = |(name, value): &(&str, String)| {
        if value.is_empty() { (*name).to_owned() } else { format!("{name} = {value}") }
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// A module being written.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    depth: usize,
    symbols: BTreeSet<String>,
}

impl Text {
    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", 2 * self.depth);
    }

    /// An operation without a result that anyone uses.
    pub(super) fn op(&mut self, op: Op<'_>) {
        self.line(format!("{}{}", op.head(), op.tail()));
    }

    /// An operation and its result.
    pub(super) fn value(&mut self, name: &str, kind: &str, op: Op<'_>) -> Value {
        let value = Value { name: format!("%{name}"), kind: kind.to_owned() };
        self.op(Op { result: Some(value.clone()), ..op });
        value
    }

    /// An operation with a region, with a result that no one uses if it has a name.
    pub(super) fn region<E>(
        &mut self,
        result: Option<&str>,
        op: Op<'_>,
        body: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let result = result.map(|name| Value { name: format!("%{name}"), kind: INDEX.to_owned() });
        let op = Op { result, ..op };
        self.line(format!("{} ({{", op.head()));
        self.depth += 1;
        body(self)?;
        self.depth -= 1;
        self.line(format!("}}){}", op.tail()));
        Ok(())
    }

    /// The end of a region.
    pub(super) fn end(&mut self) {
        self.op(Op::new("aie.end"));
    }

    /// The label of a block.
    pub(super) fn block(&mut self, number: usize) {
        self.depth -= 1;
        self.line(format!("^bb{number}:"));
        self.depth += 1;
    }

    /// The label of an entry block with arguments of these types; without any, it has none.
    pub(super) fn entry(&mut self, kinds: &[String]) {
        if kinds.is_empty() {
            return;
        }
        let arguments: Vec<String> = kinds.iter().enumerate().map(|(n, kind)| format!("%arg{n}: {kind}")).collect();
        self.depth -= 1;
        self.line(format!("^bb0({}):", arguments.join(", ")));
        self.depth += 1;
    }

    /// A symbol that no other operation has.
    pub(super) fn symbol(&mut self, wanted: &str) -> String {
        let plain: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let symbol = std::iter::once(plain.clone())
            .chain((2..).map(|n| format!("{plain}_{n}")))
            .find(|symbol| !self.symbols.contains(symbol))
            .expect("numbers do not run out");
        self.symbols.insert(symbol.clone());
        symbol
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}
