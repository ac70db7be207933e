//! Everything that can be wrong with an instruction, a bundle, a word or a line of text.

use crate::insn::Value;
use crate::reg::Reg;
use crate::slot::Slot;
use thiserror::Error;

/// Refusals of this crate. Each variant names what was asked, the limit and the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IsaError {
    /// An instruction was built with too few or too many operands.
    #[error("{op}: {given} operands given, {expected} expected")]
    OperandCount {
        /// Row name.
        op: &'static str,
        /// Operands the row takes.
        expected: usize,
        /// Operands given.
        given: usize,
    },
    /// A register was given where the row wants an immediate, or the other way round.
    #[error("{op}: operand `{operand}` does not take {given}")]
    OperandKind {
        /// Row name.
        op: &'static str,
        /// Operand name in the row.
        operand: &'static str,
        /// The value given.
        given: Value,
    },
    /// The text shows a register twice that must be the same, and it is not.
    #[error("{op}: operand `{operand}` must be {must_be}, not {given}")]
    Tied {
        /// Row name.
        op: &'static str,
        /// Operand name in the row.
        operand: &'static str,
        /// The value given.
        given: Value,
        /// The value of the operand it is tied to.
        must_be: Value,
    },
    /// The register is not in the operand's class.
    #[error("{op}: operand `{operand}` takes registers of class {class}, not {reg}")]
    RegisterClass {
        /// Row name.
        op: &'static str,
        /// Operand name in the row.
        operand: &'static str,
        /// Class name.
        class: &'static str,
        /// The register given.
        reg: Reg,
    },
    /// The immediate is outside of the field's range.
    #[error("{op}: `{operand}` = {value} is outside of {min}..={max}")]
    ImmediateRange {
        /// Row name.
        op: &'static str,
        /// Operand name in the row.
        operand: &'static str,
        /// The value given.
        value: i64,
        /// Smallest encodable value.
        min: i64,
        /// Largest encodable value.
        max: i64,
    },
    /// The immediate is not a multiple of the field's step.
    #[error("{op}: `{operand}` = {value} is not a multiple of {step}")]
    ImmediateStep {
        /// Row name.
        op: &'static str,
        /// Operand name in the row.
        operand: &'static str,
        /// The value given.
        value: i64,
        /// Distance of two encodable values.
        step: i64,
    },
    /// A slot word has bits above the slot's width.
    #[error("slot {slot}: word {word:#x} is wider than {width_bits} bits")]
    WordTooWide {
        /// Slot.
        slot: Slot,
        /// The word given.
        word: u64,
        /// Width of the slot.
        width_bits: u8,
    },
    /// No row fits the slot word.
    #[error("slot {slot}: no instruction has the encoding {word:#x}")]
    UnknownWord {
        /// Slot.
        slot: Slot,
        /// The word given.
        word: u64,
    },
    /// A slot word fits a row except for bits of unknown meaning, which must be zero.
    #[error("slot {slot}: word {word:#x} is {op} with reserved bits {bits:#x} set")]
    ReservedSlotBits {
        /// Slot.
        slot: Slot,
        /// The word given.
        word: u64,
        /// Row that would fit.
        op: &'static str,
        /// The offending bits.
        bits: u64,
    },
    /// The slot is already occupied, or `lng` meets `alu` or `mv` whose room it takes.
    #[error("slot {slot} of the bundle is not free: {present} is in slot {present_slot}")]
    SlotTaken {
        /// Slot of the instruction that did not fit.
        slot: Slot,
        /// Row name of the instruction that is in the way.
        present: &'static str,
        /// Its slot.
        present_slot: Slot,
    },
    /// No format of at least this length holds the bundle's slots.
    #[error("no bundle format of at least {at_least} bytes (a bundle has 2 to 16)")]
    NoFormat {
        /// Bytes asked for.
        at_least: usize,
    },
    /// The bundle's instructions are not all in the format asked for.
    #[error("bundle format {format} has no slot {slot}")]
    NotInFormat {
        /// Format name.
        format: &'static str,
        /// A slot the bundle uses.
        slot: Slot,
    },
    /// The byte stream ends inside a bundle.
    #[error("bundle of {needed} bytes, {available} available")]
    Truncated {
        /// Bytes of the bundle.
        needed: usize,
        /// Bytes available.
        available: usize,
    },
    /// No bundle format fits the bits.
    #[error("no bundle format of {bytes} bytes has the encoding {bits:#x}")]
    UnknownFormat {
        /// Length of the bundle in bytes.
        bytes: usize,
        /// The bundle as a little-endian integer.
        bits: u128,
    },
    /// The bundle fits a format except for bits of unknown meaning, which must be zero.
    #[error("bundle format {format} with reserved bits {bits:#x} set")]
    ReservedFormatBits {
        /// Format name.
        format: &'static str,
        /// The offending bits.
        bits: u128,
    },
    /// No instruction has this mnemonic (in the slot asked for, if any).
    #[error("unknown mnemonic `{mnemonic}`")]
    UnknownMnemonic {
        /// The first word of the line.
        mnemonic: String,
    },
    /// The mnemonic exists, but no form of it takes these operands.
    #[error("no form of the instruction takes these operands: `{text}`")]
    NoSuchForm {
        /// The instruction as given.
        text: String,
    },
    /// An operand is neither a register of any kind nor a number that fits 64 bits.
    #[error("`{token}` is neither a register nor an immediate")]
    BadOperand {
        /// The offending token.
        token: String,
    },
    /// An empty line or an empty place between two `;`.
    #[error("an instruction is missing in `{text}`")]
    Empty {
        /// The text given.
        text: String,
    },
    /// Error in one line of a program text.
    #[error("line {line}: {source}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<IsaError>,
    },
}
