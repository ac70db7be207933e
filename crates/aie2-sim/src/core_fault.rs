//! Faults of the core model: what a core program did that hardware leaves undefined or that the model refuses.

use thiserror::Error;

/// A core program left the modelled machine. The tile and program counter are in [`crate::Fault::Core`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CoreFault {
    /// Program memory holds no legal bundle here.
    #[error("no legal bundle at this address (first word {word:#010x})")]
    IllegalBundle {
        /// First 32 bits found.
        word: u32,
    },
    /// The program counter left the 16 KiB program memory or the loaded program.
    #[error("program counter {target:#x} is outside the loaded program")]
    ProgramCounter {
        /// Address asked for.
        target: u32,
    },
    /// An access is not aligned to its size.
    #[error("access of {bytes} bytes at {addr:#x} is not aligned")]
    Misaligned {
        /// Core data address.
        addr: u32,
        /// Access size in bytes.
        bytes: u32,
    },
    /// An instruction without a meaning in this simulator.
    #[error("instruction `{name}` is not modelled")]
    Unmodelled {
        /// Row name of the instruction.
        name: &'static str,
    },
}
