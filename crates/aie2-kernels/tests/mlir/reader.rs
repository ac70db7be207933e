//! A reader of MLIR's generic form, as much of it as modules for MLIR-AIE need.

use std::collections::BTreeMap;

/// An operation as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub name: String,
    pub results: Vec<String>,
    pub operands: Vec<String>,
    pub successors: Vec<String>,
    pub properties: BTreeMap<String, Attribute>,
    pub attributes: BTreeMap<String, Attribute>,
    pub regions: Vec<Region>,
    pub operand_types: Vec<String>,
    pub result_types: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Region {
    pub blocks: Vec<Block>,
}

/// The entry block of a region has no label unless it has arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    pub label: String,
    /// Name and type.
    pub arguments: Vec<(String, String)>,
    pub operations: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Unit,
    Bool(bool),
    Integer {
        value: i64,
        kind: String,
    },
    Text(String),
    Symbol(String),
    Array {
        kind: String,
        values: Vec<i64>,
    },
    /// `dense` of 32-bit integers.
    Words(Vec<u32>),
    /// An attribute of a dialect, or a type, as written.
    Other(String),
}

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The operation that is the whole text. Panics on anything else, with its place.
    pub fn module(text: &'a str) -> Operation {
        let mut reader = Reader { text, at: 0 };
        let module = reader.operation();
        reader.space();
        assert_eq!(reader.at, text.len(), "text behind the module");
        module
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn try_take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    #[track_caller]
    fn take(&mut self, token: &str) {
        let place = self.rest().chars().take(60).collect::<String>();
        assert!(self.try_take(token), "{token:?} expected at {place:?}");
    }

    fn word(&mut self, of: impl Fn(char) -> bool) -> String {
        self.space();
        let rest = self.rest();
        let end = rest.find(|c| !of(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn identifier(&mut self) -> String {
        self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$'))
    }

    fn string(&mut self) -> String {
        self.take("\"");
        let rest = self.rest();
        let end = rest.find('"').expect("a closing quote");
        assert!(!rest[..end].contains('\\'), "no escapes");
        self.at += end + 1;
        rest[..end].to_owned()
    }

    fn list<T>(&mut self, close: &str, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        let mut out = Vec::new();
        if self.try_take(close) {
            return out;
        }
        loop {
            out.push(item(self));
            if self.try_take(close) {
                return out;
            }
            self.take(",");
        }
    }

    fn sigil(&mut self, sigil: &str) -> String {
        self.take(sigil);
        self.identifier()
    }

    /// A type: a word with balanced angle brackets.
    fn kind(&mut self) -> String {
        let word = self.identifier();
        if self.rest().starts_with('<') { word + &self.balanced() } else { word }
    }

    fn balanced(&mut self) -> String {
        let (rest, mut depth) = (self.rest(), 0);
        for (at, c) in rest.char_indices() {
            depth += match c {
                '<' => 1,
                '>' => -1,
                _ => 0,
            };
            if depth == 0 {
                self.at += at + 1;
                return rest[..=at].to_owned();
            }
        }
        panic!("brackets that do not close: {rest:.60}")
    }

    fn operation(&mut self) -> Operation {
        self.space();
        let mut results = Vec::new();
        if self.rest().starts_with('%') {
            results.push(self.sigil("%"));
            self.take("=");
        }
        let name = self.string();
        self.take("(");
        let operands = self.list(")", |r| r.sigil("%"));
        let successors = if self.try_take("[") { self.list("]", |r| r.sigil("^")) } else { Vec::new() };
        let properties = if self.try_take("<{") { self.dictionary("}>") } else { BTreeMap::new() };
        let mut regions = Vec::new();
        if self.try_take("(") {
            regions = self.list(")", Reader::region);
        }
        let attributes = if self.try_take("{") { self.dictionary("}") } else { BTreeMap::new() };
        self.take(":");
        self.take("(");
        let operand_types = self.list(")", Reader::kind);
        self.take("->");
        let result_types = if self.try_take("(") { self.list(")", Reader::kind) } else { vec![self.kind()] };
        Operation { name, results, operands, successors, properties, attributes, regions, operand_types, result_types }
    }

    fn dictionary(&mut self, close: &str) -> BTreeMap<String, Attribute> {
        let entries = self.list(close, |r| {
            let name = r.identifier();
            let value = if r.try_take("=") { r.attribute() } else { Attribute::Unit };
            (name, value)
        });
        let count = entries.len();
        let map: BTreeMap<_, _> = entries.into_iter().collect();
        assert_eq!(map.len(), count, "a name twice");
        map
    }

    fn region(&mut self) -> Region {
        self.take("{");
        let mut blocks = Vec::new();
        loop {
            let mut block = Block::default();
            if self.try_take("^") {
                block.label = self.identifier();
                if self.try_take("(") {
                    block.arguments = self.list(")", |r| {
                        let name = r.sigil("%");
                        r.take(":");
                        (name, r.kind())
                    });
                }
                self.take(":");
            }
            loop {
                self.space();
                if self.rest().starts_with(['}', '^']) {
                    break;
                }
                block.operations.push(self.operation());
            }
            blocks.push(block);
            if self.try_take("}") {
                return Region { blocks };
            }
        }
    }

    fn attribute(&mut self) -> Attribute {
        self.space();
        let rest = self.rest();
        match rest.chars().next().expect("an attribute") {
            '"' => Attribute::Text(self.string()),
            '@' => Attribute::Symbol(self.sigil("@")),
            '#' => {
                self.take("#");
                Attribute::Other(format!("#{}", self.kind()))
            }
            c if c == '-' || c.is_ascii_digit() => {
                let value = self.number();
                self.take(":");
                Attribute::Integer { value, kind: self.kind() }
            }
            _ if self.try_take("dense<") => self.dense(),
            _ if self.try_take("array<") => {
                let kind = self.identifier();
                // an empty array has no colon
                self.try_take(":");
                let values = self.list(">", Reader::number);
                Attribute::Array { kind, values }
            }
            _ => match self.kind().as_str() {
                "true" => Attribute::Bool(true),
                "false" => Attribute::Bool(false),
                other => Attribute::Other(other.to_owned()),
            },
        }
    }

    fn number(&mut self) -> i64 {
        let digits = self.word(|c| c == '-' || c.is_ascii_digit());
        digits.parse().unwrap_or_else(|_| panic!("a number expected, found {digits:?} at {:.40}", self.rest()))
    }

    fn dense(&mut self) -> Attribute {
        self.space();
        let words: Vec<u32> = match self.rest().chars().next() {
            Some('"') => {
                let text = self.string();
                let digits = text.strip_prefix("0x").expect("hexadecimal bytes").as_bytes();
                let bytes: Vec<u8> = digits
                    .chunks(2)
                    .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
                    .collect();
                bytes.chunks(4).map(|w| u32::from_le_bytes(w.try_into().expect("whole words"))).collect()
            }
            Some('[') => {
                self.take("[");
                self.list("]", Reader::number).into_iter().map(word).collect()
            }
            _ => vec![word(self.number())],
        };
        self.take(">");
        self.take(":");
        let kind = self.kind();
        assert_eq!(kind, format!("tensor<{}xi32>", words.len()), "the type of dense words");
        Attribute::Words(words)
    }
}

/// A 32-bit word written as a signed number.
pub fn word(value: i64) -> u32 {
    i32::try_from(value).unwrap_or_else(|_| panic!("{value} is no signed 32-bit number")) as u32
}

impl Operation {
    pub fn block(&self) -> &Block {
        let [Region { blocks }] = &self.regions[..] else { panic!("{}: one region", self.name) };
        let [block] = &blocks[..] else { panic!("{}: one block", self.name) };
        block
    }

    #[track_caller]
    pub fn integer(&self, name: &str) -> i64 {
        match self.properties.get(name) {
            Some(Attribute::Integer { value, .. }) => *value,
            found => panic!("{}: {name} is {found:?}", self.name),
        }
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        match self.properties.get(name) {
            Some(Attribute::Text(text)) => text,
            found => panic!("{}: {name} is {found:?}", self.name),
        }
    }

    pub fn array(&self, name: &str) -> Option<&[i64]> {
        match self.properties.get(name)? {
            Attribute::Array { values, .. } => Some(values),
            found => panic!("{}: {name} is {found:?}", self.name),
        }
    }
}
