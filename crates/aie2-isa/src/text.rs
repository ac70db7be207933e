//! Assembly text in llvm-aie's syntax: printing, parsing, and whole programs of one bundle per line.

use crate::bundle::Bundle;
use crate::error::IsaError;
use crate::insn::{Insn, Value};
use crate::row::{OpId, OperandDef, OperandKind, Row};
use crate::slot::Slot;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// One piece of a syntax: fixed text or the operand of this index.
enum Piece {
    Text(&'static str),
    Operand(usize),
}

struct Syntaxes {
    by_mnemonic: HashMap<&'static str, Vec<OpId>>,
    /// Pieces after the mnemonic, per row.
    pieces: Vec<Vec<Piece>>,
}

static SYNTAXES: LazyLock<Syntaxes> = LazyLock::new(|| {
    let mut syntaxes = Syntaxes { by_mnemonic: HashMap::new(), pieces: Vec::new() };
    for op in OpId::all() {
        let row = op.row();
        syntaxes.by_mnemonic.entry(row.mnemonic).or_default().push(op);
        let piece = |token: &'static str| match token.strip_prefix('$') {
            Some(name) => Piece::Operand(row.operand_index(name).expect("the syntax names operands of its row")),
            None => Piece::Text(token),
        };
        syntaxes.pieces.push(tokens(&row.syntax[row.mnemonic.len()..]).into_iter().map(piece).collect());
    }
    syntaxes
});

/// Splits operand text into words and the signs `, [ ]`.
fn tokens(mut text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return out;
        }
        let end = match text.find([',', '[', ']', ' ', '\t']) {
            Some(0) => 1,
            Some(end) => end,
            None => text.len(),
        };
        let (token, rest) = text.split_at(end);
        out.push(token);
        text = rest;
    }
}

/// `#8`, `#-8`, `#0x8`, `8`.
fn number(token: &str) -> Option<i64> {
    let text = token.strip_prefix('#').unwrap_or(token);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let magnitude = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => i64::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Outcome of one row against one text.
enum Fit {
    Yes(Insn),
    /// All registers fit, an immediate or a tie does not: the reason.
    WrongValue(IsaError),
    /// The shape fits, a register does not: the reason.
    WrongRegister(IsaError),
    No,
}

fn operand(row: &'static Row, def: &'static OperandDef, token: &str) -> Result<Option<Value>, IsaError> {
    match def.kind {
        OperandKind::Imm(imm) => Ok(number(token).map(|n| {
            // A hexadecimal 32-bit pattern with the sign bit set names the same word as the negative number.
            let pattern = imm.signed && imm.bits == 32 && token.contains("0x") && (1 << 31..1 << 32).contains(&n);
            Value::Imm(if pattern { n - (1 << 32) } else { n })
        })),
        OperandKind::Class(class) => match class.reg_in_text(token) {
            Some(reg) => Ok(Some(Value::Reg(reg))),
            None => match crate::reg::Reg::all().find(|r| r.asm() == token || r.name() == token) {
                Some(reg) => Err(IsaError::RegisterClass { op: row.name, operand: def.name, class: class.name(), reg }),
                None => Ok(None),
            },
        },
        OperandKind::Fixed(reg) => Ok((reg.asm() == token).then_some(Value::Reg(reg))),
        OperandKind::Implied => Ok(None),
    }
}

fn fit(op: OpId, words: &[&str]) -> Fit {
    let row = op.row();
    let pieces = &SYNTAXES.pieces[op.as_usize()];
    if pieces.len() != words.len() {
        return Fit::No;
    }
    let mut values: Vec<Option<Value>> = vec![None; row.operands.len()];
    let mut refusal = None;
    for (piece, word) in pieces.iter().zip(words) {
        match *piece {
            Piece::Text(text) if text == *word => {}
            Piece::Text(_) => return Fit::No,
            Piece::Operand(i) => match operand(row, &row.operands[i], word) {
                Ok(Some(value)) => values[i] = Some(value),
                Ok(None) => return Fit::No,
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            },
        }
    }
    if let Some(error) = refusal {
        return Fit::WrongRegister(error);
    }
    let given: Vec<Value> = row
        .operands
        .iter()
        .zip(&values)
        .filter(|(d, _)| d.is_given())
        .map(|(_, v)| v.expect("fields are in the syntax"))
        .collect();
    let insn = match Insn::new(op, &given) {
        Ok(insn) => insn,
        Err(error) => return Fit::WrongValue(error),
    };
    // A tied copy that the syntax shows must be the register it is tied to.
    let disagreement = (0..row.operands.len()).find(|&i| values[i].is_some_and(|v| v != insn.operand(i)));
    match disagreement {
        None => Fit::Yes(insn),
        Some(i) => Fit::WrongValue(IsaError::Tied {
            op: row.name,
            operand: row.operands[i].name,
            given: values[i].expect("found above"),
            must_be: insn.operand(i),
        }),
    }
}

fn parse(text: &str, slot: Option<Slot>) -> Result<Insn, IsaError> {
    let text = text.trim();
    let (mnemonic, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
    if mnemonic.is_empty() {
        return Err(IsaError::Empty { text: text.to_owned() });
    }
    let in_slot = |op: &&OpId| slot.is_none_or(|s| op.row().slot == s);
    let rows = SYNTAXES.by_mnemonic.get(mnemonic).map_or(&[][..], Vec::as_slice);
    if !rows.iter().any(|op| in_slot(&op)) {
        return Err(IsaError::UnknownMnemonic { mnemonic: mnemonic.to_owned() });
    }
    let words = tokens(rest);
    let (mut wrong_values, mut wrong_registers) = (Vec::new(), Vec::new());
    for &op in rows.iter().filter(in_slot) {
        match fit(op, &words) {
            Fit::Yes(insn) => return Ok(insn),
            Fit::WrongValue(error) => wrong_values.push(error),
            Fit::WrongRegister(error) => wrong_registers.push(error),
            Fit::No => {}
        }
    }
    // The reason is worth telling if one form stands out.
    match (wrong_values.len(), wrong_registers.len()) {
        (1, _) => Err(wrong_values.remove(0)),
        (0, 1) => Err(wrong_registers.remove(0)),
        _ => Err(IsaError::NoSuchForm { text: text.to_owned() }),
    }
}

impl Insn {
    /// Parses one instruction in llvm-aie syntax, `vlda wl0, [p0], #32`. Immediates are decimal or hexadecimal. Of several rows
    /// that fit, the first in slot order ([`Slot::ALL`]) is taken.
    ///
    /// # Errors
    /// If no instruction has the mnemonic, or no form of it takes the operands.
    pub fn parse(text: &str) -> Result<Insn, IsaError> {
        parse(text, None)
    }

    /// As [`Insn::parse`], rows of one slot only.
    ///
    /// # Errors
    /// As [`Insn::parse`].
    pub fn parse_in(text: &str, slot: Slot) -> Result<Insn, IsaError> {
        parse(text, Some(slot))
    }
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.row();
        f.write_str(row.mnemonic)?;
        let mut rest = &row.syntax[row.mnemonic.len()..];
        while let Some(at) = rest.find('$') {
            f.write_str(&rest[..at])?;
            let name = &rest[at + 1..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            match self.operand_named(&name[..end]).expect("the syntax names operands of its row") {
                // Long immediates are addresses and bit patterns.
                Value::Imm(imm) if row.slot == Slot::Lng && imm >= 0 => write!(f, "#{imm:#x}")?,
                value => write!(f, "{value}")?,
            }
            rest = &name[end..];
        }
        f.write_str(rest)
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.op())
    }
}

impl Bundle {
    /// Parses `a; b; c`. `nop` and the NOPs of slots are places left empty.
    ///
    /// # Errors
    /// If an instruction does not parse or two need the same slot.
    pub fn parse(text: &str) -> Result<Bundle, IsaError> {
        let text = text.trim().trim_end_matches(';');
        let mut bundle = Bundle::new();
        for part in text.split(';') {
            if part.trim().is_empty() {
                return Err(IsaError::Empty { text: text.to_owned() });
            }
            bundle.insert(Insn::parse(part)?)?;
        }
        Ok(bundle)
    }
}

/// Assembles a program text: one line is one bundle (`a; b; c`); `//` starts a comment; empty lines are skipped.
///
/// # Errors
/// The first line that does not parse, with its number.
pub fn assemble(text: &str) -> Result<Vec<Bundle>, IsaError> {
    let mut bundles = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let code = line.split_once("//").map_or(line, |(code, _)| code).trim();
        if !code.is_empty() {
            let bundle = Bundle::parse(code).map_err(|e| IsaError::Line { line: i + 1, source: Box::new(e) })?;
            bundles.push(bundle);
        }
    }
    Ok(bundles)
}
