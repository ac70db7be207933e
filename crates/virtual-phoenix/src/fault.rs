//! Faults on command. Each fires once, at the next event it fits.
//!
//! | text | fires | what the driver sees |
//! |---|---|---|
//! | `lost-completion` | next command done | data written, no answer |
//! | `late-completion MS` | next command done | the answer after MS ms |
//! | `no-fence` | next command done | the answer in the ring, no interrupt |
//! | `garbage` | next command done | in place of the answer, a message that belongs to nobody |
//! | `status OPCODE STATUS` | next request of the operation | it is not carried out, the answer has this status |
//! | `malformed OPCODE` | next answer of the operation | four bytes more than they should be |
//! | `hang` | next command | it never ends, nor does any after it in the context |
//! | `evict` | next command | the context is lost: this command and all after it get 0x02000003 |
//! | `aie-error ROW COL MODULE EVENT` | now, or when a buffer is registered | an asynchronous error; MODULE `mem`, `core` or `shim` |
//! | `reset` | next command | the firmware is gone until PSP starts it again; nothing is answered |
//! | `reset now` | now | the same |
//! | `wrong-protocol` | next start of the firmware | protocol 5.6 |

use crate::message::{Opcode, Status, number};
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Module of a tile in an asynchronous error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Memory module, or memory tile.
    Memory,
    /// Core module.
    Core,
    /// Shim tile.
    Shim,
}

impl Module {
    /// Its code on the wire.
    // SOURCE: amd/xdna-driver amdxdna_error.c.
    pub const fn code(self) -> u32 {
        match self {
            Self::Memory => 0,
            Self::Core => 1,
            Self::Shim => 2,
        }
    }
}

/// An asynchronous error of the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AieError {
    /// Row of the tile.
    pub row: u8,
    /// Column of the tile, counted on the device.
    pub column: u8,
    /// Module of the tile.
    pub module: Module,
    /// Event number in the module.
    pub event: u8,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next command's answer is never sent.
    LostCompletion,
    /// The next command's answer comes late.
    LateCompletion(Duration),
    /// The next command's answer comes without interrupt.
    NoFence,
    /// A message of nobody in place of the next command's answer.
    Garbage,
    /// The next request of an operation is refused.
    Status(Opcode, Status),
    /// The next answer of an operation has the wrong size.
    Malformed(Opcode),
    /// The next command never ends.
    Hang,
    /// The context of the next command is lost.
    Evict,
    /// An asynchronous error.
    AieError(AieError),
    /// The firmware disappears in the next command.
    Reset,
    /// The firmware disappears.
    ResetNow,
    /// The firmware starts with a protocol too old.
    WrongProtocol,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostCompletion => f.write_str("lost-completion"),
            Self::LateCompletion(by) => write!(f, "late-completion {}", by.as_millis()),
            Self::NoFence => f.write_str("no-fence"),
            Self::Garbage => f.write_str("garbage"),
            Self::Status(opcode, status) => write!(f, "status {opcode} {status}"),
            Self::Malformed(opcode) => write!(f, "malformed {opcode}"),
            Self::Hang => f.write_str("hang"),
            Self::Evict => f.write_str("evict"),
            Self::AieError(AieError { row, column, module, event }) => {
                let module = match module {
                    Module::Memory => "mem",
                    Module::Core => "core",
                    Module::Shim => "shim",
                };
                write!(f, "aie-error {row} {column} {module} {event}")
            }
            Self::Reset => f.write_str("reset"),
            Self::ResetNow => f.write_str("reset now"),
            Self::WrongProtocol => f.write_str("wrong-protocol"),
        }
    }
}

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No fault of this name.
    #[error("no fault is called {0:?}")]
    Name(String),
    /// An argument is missing.
    #[error("{fault} needs {needs}")]
    Missing {
        /// The fault.
        fault: String,
        /// Its arguments.
        needs: &'static str,
    },
    /// There is an argument too many.
    #[error("{fault} does not take {argument:?}")]
    TooMany {
        /// The fault.
        fault: String,
        /// The first argument too many.
        argument: String,
    },
    /// An argument is not what it should be.
    #[error("{fault}: {argument:?} is not {expected}")]
    Argument {
        /// The fault.
        fault: String,
        /// The argument.
        argument: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut tokens = text.split_whitespace();
        let name = tokens.next().unwrap_or_default();
        let missing = |needs| FaultError::Missing { fault: name.into(), needs };
        let wrong =
            |argument: &str, expected| FaultError::Argument { fault: name.into(), argument: argument.into(), expected };
        let opcode = |text: &str| text.parse::<Opcode>().map_err(|_| wrong(text, "an operation of npu1"));
        let byte = |text: Option<&str>, limit: u64, needs, expected| {
            let text = text.ok_or(missing(needs))?;
            number(text).filter(|&n| n <= limit).map(|n| n as u8).ok_or(wrong(text, expected))
        };
        let fault = match name {
            "lost-completion" => Self::LostCompletion,
            "late-completion" => {
                let text = tokens.next().ok_or(missing("MS"))?;
                let ms = number(text)
                    .filter(|&ms| ms <= 3_600_000)
                    .ok_or(wrong(text, "a number of milliseconds up to an hour"))?;
                Self::LateCompletion(Duration::from_millis(ms))
            }
            "no-fence" => Self::NoFence,
            "garbage" => Self::Garbage,
            "status" => {
                let of = opcode(tokens.next().ok_or(missing("OPCODE STATUS"))?)?;
                let text = tokens.next().ok_or(missing("OPCODE STATUS"))?;
                let status = number(text).and_then(|n| u32::try_from(n).ok()).ok_or(wrong(text, "a status word"))?;
                Self::Status(of, Status(status))
            }
            "malformed" => Self::Malformed(opcode(tokens.next().ok_or(missing("OPCODE"))?)?),
            "hang" => Self::Hang,
            "evict" => Self::Evict,
            "aie-error" => {
                let needs = "ROW COL MODULE EVENT";
                let row = byte(tokens.next(), 5, needs, "a row 0..5")?;
                let column = byte(tokens.next(), 4, needs, "a column 0..4")?;
                let text = tokens.next().ok_or(missing(needs))?;
                let module = match text {
                    "mem" => Module::Memory,
                    "core" => Module::Core,
                    "shim" => Module::Shim,
                    _ => return Err(wrong(text, "mem, core or shim")),
                };
                Self::AieError(AieError {
                    row,
                    column,
                    module,
                    event: byte(tokens.next(), 255, needs, "an event 0..255")?,
                })
            }
            "reset" => match tokens.next() {
                None => Self::Reset,
                Some("now") => Self::ResetNow,
                Some(text) => return Err(wrong(text, "now, or nothing")),
            },
            "wrong-protocol" => Self::WrongProtocol,
            _ => return Err(FaultError::Name(name.into())),
        };
        match tokens.next() {
            None => Ok(fault),
            Some(argument) => Err(FaultError::TooMany { fault: name.into(), argument: argument.into() }),
        }
    }
}

/// Faults that have not fired.
#[derive(Debug, Default)]
pub struct Pending(VecDeque<Fault>);

impl Pending {
    /// Adds a fault.
    pub fn push(&mut self, fault: Fault) {
        self.0.push_back(fault);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The first fault that fits, which fires.
    pub fn take<T>(&mut self, fits: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let (at, what) = self.0.iter().enumerate().find_map(|(at, fault)| Some((at, fits(fault)?)))?;
        self.0.remove(at);
        Some(what)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_reads_back_as_it_prints() {
        for text in [
            "lost-completion",
            "late-completion 250",
            "no-fence",
            "garbage",
            "status CHAIN_EXEC_NPU 0x03000002",
            "malformed CREATE_CONTEXT",
            "hang",
            "evict",
            "aie-error 2 1 core 65",
            "reset",
            "reset now",
            "wrong-protocol",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.into()));
        }
        let by_number = "status 0x18 0x3000002".parse::<Fault>();
        assert_eq!(by_number, Ok(Fault::Status(Opcode::ChainExecNpu, Status::INVALID_INSTRUCTION)));
    }

    #[test]
    fn wrong_texts_say_why() {
        for (text, why) in [
            ("", "no fault is called \"\""),
            ("explode", "no fault is called \"explode\""),
            ("late-completion", "late-completion needs MS"),
            ("late-completion soon", "late-completion: \"soon\" is not a number of milliseconds up to an hour"),
            ("status 0x99 1", "status: \"0x99\" is not an operation of npu1"),
            ("aie-error 2 1 fpu 65", "aie-error: \"fpu\" is not mem, core or shim"),
            ("aie-error 6 1 core 65", "aie-error: \"6\" is not a row 0..5"),
            ("reset soon", "reset: \"soon\" is not now, or nothing"),
            ("hang now", "hang does not take \"now\""),
        ] {
            assert_eq!(text.parse::<Fault>().map_err(|error| error.to_string()), Err(why.into()));
        }
    }

    #[test]
    fn a_fault_fires_once() {
        let mut pending = Pending::default();
        pending.push(Fault::Hang);
        pending.push(Fault::Malformed(Opcode::ConfigCu));
        let fits = |fault: &Fault| matches!(fault, Fault::Malformed(Opcode::ConfigCu)).then_some(());
        assert_eq!((pending.take(fits), pending.take(fits)), (Some(()), None));
        assert_eq!(pending.iter().count(), 1);
    }
}
