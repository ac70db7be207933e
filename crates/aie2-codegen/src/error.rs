//! Every way a program can be refused.

use aie2_isa::IsaError;

use crate::check::CheckError;
use crate::operand::Class;

/// Bytes of program memory of one core.
// SOURCE: AMD AM020 ch. 4, "program memory 16 KB".
pub const PROGRAM_BYTES: usize = 16 * 1024;

/// Why a program cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum CodegenError {
    /// The instruction set refuses an instruction.
    #[error("`{text}` (op {op}): {source}")]
    Isa {
        /// Instruction as written.
        text: String,
        /// IR op number.
        op: u32,
        /// Reason.
        source: IsaError,
    },
    /// A row name that does not exist.
    #[error("no instruction row is called `{name}`")]
    NoSuchRow {
        /// Name asked for.
        name: String,
    },
    /// Number of operands differs from the placeholders or from the row.
    #[error("`{text}` takes {want} operands, {got} given")]
    OperandCount {
        /// Instruction as written.
        text: String,
        /// Operands the syntax has.
        want: usize,
        /// Operands given.
        got: usize,
    },
    /// An operand does not fit its place (class, kind, or a view that does not exist).
    #[error("`{text}`: operand {index} does not fit")]
    OperandKind {
        /// Instruction as written.
        text: String,
        /// Position among the given operands.
        index: usize,
    },
    /// The control flow of the IR may use a register that nothing has written.
    #[error("`{text}` (op {op}) may read {what}, which is not defined on every path to it")]
    Undefined {
        /// Instruction as written.
        text: String,
        /// IR op number.
        op: u32,
        /// Register.
        what: String,
    },
    /// More values are live than a class has registers. Nothing is spilled.
    #[error("out of registers of class {class} at `{at}`: {live} live, {available} available")]
    OutOfRegisters {
        /// Class.
        class: Class,
        /// Values of this class live at the place.
        live: usize,
        /// Registers that the operands of the value allow.
        available: usize,
        /// Instruction at which the value begins.
        at: String,
    },
    /// A pipelined loop cannot reach its declared initiation interval.
    #[error(
        "loop `{name}`: declared ii {declared}, lower bounds res_mii {res_mii}, rec_mii {rec_mii}; bound by {bound}"
    )]
    IiMissed {
        /// Loop.
        name: String,
        /// Declared bound.
        declared: u32,
        /// Resource bound.
        res_mii: u32,
        /// Recurrence bound.
        rec_mii: u32,
        /// The resource or the recurrence that binds, or the op the search could not place.
        bound: String,
    },
    /// The trip count register may hold fewer iterations than the pipeline has stages.
    #[error("loop `{name}` has {stages} stages but may run only {min_trip} times")]
    TripBelowStages {
        /// Loop.
        name: String,
        /// Stages.
        stages: u32,
        /// Stated minimum.
        min_trip: u32,
    },
    /// A trip count of zero, or one that does not fit.
    #[error("loop `{name}`: trip count {trip} is not supported")]
    Trip {
        /// Loop.
        name: String,
        /// Trip count asked for.
        trip: u64,
    },
    /// A loop whose body is a single bundle and whose trip count is not constant: its behaviour is not documented.
    #[error("loop `{name}` has a body of one bundle")]
    LoopTooShort {
        /// Loop.
        name: String,
    },
    /// Control flow inside a body that must be straight-line code.
    #[error("the body of `{name}` must be straight-line code")]
    NotStraight {
        /// Loop.
        name: String,
    },
    /// A label is used but never placed, or placed twice.
    #[error("label `{name}` is placed {placed} times")]
    Label {
        /// Label.
        name: String,
        /// How often it is bound.
        placed: usize,
    },
    /// Two operations of a timed loop need one slot, unit or bank in one cycle.
    #[error("timed loop `{name}`: `{second}` at t = {t} clashes with `{first}` on {on} at modulo cycle {modulo}")]
    TimedClash {
        /// Loop.
        name: String,
        /// Operation already placed.
        first: String,
        /// Operation that clashes.
        second: String,
        /// Its issue time.
        t: u32,
        /// Slot, unit or bank.
        on: String,
        /// Cycle modulo ii.
        modulo: u32,
    },
    /// A raw piece of code would need extra bundles between two pieces that the author placed next to each other.
    #[error("raw code `{name}` needs {bundles} more bundles in front of it, but follows other raw code directly")]
    RawGap {
        /// Piece.
        name: String,
        /// Missing bundles.
        bundles: u32,
    },
    /// Fewer than 112 bytes between the last write of lc, ls, le and the loop end, and no place to put more.
    #[error("loop `{name}`: {bytes} bytes between its set-up and its last bundle, 112 needed")]
    ZolDistance {
        /// Loop.
        name: String,
        /// Bytes found.
        bytes: usize,
    },
    /// Calls are not part of the programs built here.
    #[error("`{text}`: calls are not supported")]
    Call {
        /// Instruction.
        text: String,
    },
    /// The program does not fit program memory.
    #[error("program of {bytes} bytes exceeds the {limit} bytes of program memory")]
    TooLarge {
        /// Size.
        bytes: usize,
        /// Limit.
        limit: usize,
    },
    /// The checker objects to the emitted program: a defect of the emitter, or raw code that breaks a rule.
    #[error("the emitted program fails its check: {0}")]
    Check(#[from] Box<CheckError>),
}
