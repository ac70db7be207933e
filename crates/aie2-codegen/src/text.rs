//! From text with placeholders to a row and its operands: `vlda {}, [{}], #32`.
//!
//! A row fits if its syntax has the shape of the text, every literal is in the operand's class or range, and every placeholder's class
//! has at least one register the operand takes. The first row in table order that fits is taken.

use aie2_isa::{OpId, OperandKind, Reg, Row};

use crate::error::CodegenError;
use crate::operand::Operand;

/// What stands at one operand of a row, in table order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arg {
    /// Given by the author (or a tied copy of such an operand).
    Given(Operand),
    /// Fixed by the row.
    Fixed(Reg),
    /// The dc register that belongs to the modifier operand of this index; `high` for the outer one of a 3-D form.
    Implied {
        /// Index of the modifier.
        modifier: u8,
        /// Outer counter.
        high: bool,
    },
}

fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = match rest.find([',', '[', ']', ' ', '\t']) {
            Some(0) => 1,
            Some(end) => end,
            None => rest.len(),
        };
        let (token, tail) = rest.split_at(end);
        out.push(token);
        rest = tail.trim_start();
    }
    out
}

fn number(token: &str) -> Option<i64> {
    let text = token.strip_prefix('#').unwrap_or(token);
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
    let magnitude = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// True if the operand can stand at this place.
pub(crate) fn fits(kind: OperandKind, operand: Operand) -> bool {
    match (kind, operand) {
        (OperandKind::Class(class), Operand::Virtual(v)) => v.class.registers().iter().any(|r| class.contains(*r)),
        (OperandKind::Class(class), Operand::Physical(r)) => class.contains(r),
        (OperandKind::Imm(imm), Operand::Imm(v)) => {
            (imm.min()..=imm.max()).contains(&v) && (v - i64::from(imm.offset)) % i64::from(imm.scale) == 0
        }
        (OperandKind::Imm(imm), Operand::Label(_)) => imm.bits >= 20,
        (OperandKind::Fixed(reg), Operand::Physical(r)) => reg == r,
        _ => false,
    }
}

/// Completes the operand list of a row from the given ones by operand index.
fn complete(row: &'static Row, given: &[Option<Operand>]) -> Option<Vec<Arg>> {
    row.operands
        .iter()
        .enumerate()
        .map(|(i, def)| match (def.kind, given[i], def.tied_to) {
            (OperandKind::Fixed(reg), _, _) => Some(Arg::Fixed(reg)),
            (OperandKind::Implied, _, _) => {
                Some(Arg::Implied { modifier: row.operand_index("mod")? as u8, high: def.name == "count_hi_out" })
            }
            (_, Some(o), None) => Some(Arg::Given(o)),
            (_, own, Some(partner)) => {
                let other = given[usize::from(partner)];
                match (own, other) {
                    (Some(a), Some(b)) if a != b => None,
                    (Some(a), _) => Some(Arg::Given(a)),
                    (None, Some(b)) => Some(Arg::Given(b)),
                    (None, None) => None,
                }
            }
            (_, None, None) => None,
        })
        .collect()
}

/// Row and operands of an instruction text. `row_count` of placeholders must equal `operands`.
pub(crate) fn resolve(text: &str, operands: &[Operand]) -> Result<(OpId, Vec<Arg>), CodegenError> {
    let want = text.matches("{}").count();
    if want != operands.len() {
        return Err(CodegenError::OperandCount { text: text.to_owned(), want, got: operands.len() });
    }
    if let Some(index) = operands.iter().position(|o| *o == Operand::NoSuchView) {
        return Err(CodegenError::OperandKind { text: text.to_owned(), index });
    }
    let text = text.trim();
    let (mnemonic, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
    let words = tokens(rest);
    let mut furthest = 0;
    'rows: for op in OpId::all().filter(|o| o.row().mnemonic == mnemonic) {
        let row = op.row();
        let pieces = tokens(&row.syntax[row.mnemonic.len()..]);
        if pieces.len() != words.len() {
            continue;
        }
        let mut given = vec![None; row.operands.len()];
        let mut next = operands.iter();
        for (piece, word) in pieces.iter().zip(&words) {
            let placeholder = if *word == "{}" { next.next().copied() } else { None };
            match piece.strip_prefix('$') {
                None => {
                    let same = *piece == *word
                        || matches!(placeholder, Some(Operand::Physical(r)) if r.name() == *piece || r.asm() == *piece);
                    if !same {
                        continue 'rows;
                    }
                }
                Some(name) => {
                    let Some(i) = row.operand_index(name) else { continue 'rows };
                    let kind = row.operands[i].kind;
                    let operand = placeholder.or_else(|| match kind {
                        OperandKind::Class(class) => class.reg_in_text(word).map(Operand::Physical),
                        OperandKind::Imm(_) => number(word).map(Operand::Imm),
                        OperandKind::Fixed(reg) => (reg.asm() == *word).then_some(Operand::Physical(reg)),
                        OperandKind::Implied => None,
                    });
                    let Some(operand) = operand else { continue 'rows };
                    if !fits(kind, operand) {
                        furthest = furthest.max(operands.len() - next.len());
                        continue 'rows;
                    }
                    given[i] = Some(operand);
                }
            }
        }
        if let Some(args) = complete(row, &given) {
            return Ok((op, args));
        }
    }
    Err(CodegenError::OperandKind { text: text.to_owned(), index: furthest.saturating_sub(1) })
}

/// Operands of a row given in the order of [`Row::given`].
pub(crate) fn by_row(op: OpId, operands: &[Operand]) -> Result<Vec<Arg>, CodegenError> {
    let row = op.row();
    let want = row.given().count();
    let text = || row.syntax.to_string();
    if want != operands.len() {
        return Err(CodegenError::OperandCount { text: text(), want, got: operands.len() });
    }
    let mut given = vec![None; row.operands.len()];
    let mut next = operands.iter().enumerate();
    for (i, def) in row.operands.iter().enumerate().filter(|(_, d)| d.is_given()) {
        let (index, operand) = next.next().expect("counted above");
        if !fits(def.kind, *operand) {
            return Err(CodegenError::OperandKind { text: text(), index });
        }
        given[i] = Some(*operand);
    }
    complete(row, &given).ok_or_else(|| CodegenError::OperandKind { text: text(), index: 0 })
}
