//! Faults of the core model: what a core program did that hardware leaves undefined or that the model refuses.

use crate::core::sem::mac::BadConfig;
use crate::core::sem::shift::Undefined;
use thiserror::Error;

/// A core program left the modelled machine. The tile and program counter are in [`crate::Fault::Core`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{bundle}` (bundle number {issued}): {kind}")]
pub struct CoreFault {
    /// The bundle at fault, in assembly.
    pub bundle: String,
    /// Number of bundles issued before it.
    pub issued: u64,
    /// What happened.
    pub kind: CoreFaultKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CoreFaultKind {
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
    /// A register was read before anything was written to it.
    #[error("{register} is read at cycle {cycle} and was never written")]
    Uninitialised {
        /// Register.
        register: String,
        /// Pipeline cycle of the read, 1 = issue.
        cycle: u8,
    },
    /// A register was read while an earlier instruction's write to it was in flight (the old value is read).
    #[error("{register} is read at cycle {cycle}, {bundles_short} bundles before an earlier write to it lands")]
    EarlyRead {
        /// Register.
        register: String,
        /// Pipeline cycle of the read.
        cycle: u8,
        /// How many bundles later the read had to be.
        bundles_short: u8,
    },
    /// Two writes to one register land in one cycle.
    #[error("two writes to {register} land in the same cycle (cycle {cycle} of this bundle)")]
    WriteClash {
        /// Register.
        register: String,
        /// Pipeline cycle of the write.
        cycle: u8,
    },
    /// A write lands before an older write to the same register. Sources differ on which value stays.
    // SOURCE: Xilinx/llvm-aie never emits it (write-after-write latency D1 - D2 + 1); FIM43-Redeye/xdna-emu lets the newest issue win.
    #[error("the write to {register} lands (cycle {cycle} of this bundle) before an older one that is in flight")]
    WriteOvertaken {
        /// Register.
        register: String,
        /// Pipeline cycle of the newer write.
        cycle: u8,
    },
    /// Two instructions need one unit or port in one cycle.
    #[error("{resource} is needed twice in cycle {cycle} of this bundle")]
    PortClash {
        /// Unit or port.
        resource: &'static str,
        /// Pipeline cycle.
        cycle: u8,
    },
    /// A branch in another branch's delay slots.
    #[error("branch in the delay slots of another branch")]
    BranchInDelaySlot,
    /// A jump to an address that is not 16-byte aligned.
    #[error("branch to {target:#x}, which is not 16-byte aligned")]
    BranchTarget {
        /// Target.
        target: u32,
    },
    /// A hardware loop register was written too close to the loop end.
    #[error("loop registers were written {distance} bytes before the last bundle of the loop; 112 are needed")]
    LoopSetup {
        /// Bytes of program between the write and the last bundle.
        distance: u64,
    },
    /// The loop end is not the start of an aligned 16-byte bundle.
    #[error("loop end {le:#x}: the last bundle must start there, be 16-byte aligned and 16 bytes long")]
    LoopEnd {
        /// Loop end register.
        le: u32,
    },
    /// A trip count of zero.
    #[error("loop count is 0 at the loop end")]
    LoopCount,
    /// The loop end lies in the delay slots of a branch.
    #[error("the loop end lies in the delay slots of a branch")]
    LoopEndInDelaySlot,
    /// A part-word store in the last bundle of a hardware loop can be lost.
    #[error("part-word store in the last bundle of a hardware loop")]
    LoopEndPartWordStore,
    /// An SRS, UPS, pack or float conversion without a documented result.
    #[error("conversion is undefined: {0:?}")]
    Conversion(Undefined),
    /// A configuration word outside the documented modes.
    #[error("{0}")]
    Config(BadConfig),
    /// A register holds a value the instruction does not define.
    #[error("{what} is {value:#x}, which is not defined")]
    OperandValue {
        /// The operand.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// A memory access too close to a lock instruction.
    #[error("memory access {distance} bundles from the lock instruction; {needed} are needed")]
    LockFence {
        /// Bundles between them.
        distance: u64,
        /// Least distance.
        needed: u64,
    },
    /// A vector source that is read late was overwritten by an instruction issued with or after the reader; whether the
    /// reader sees the new value is not documented.
    #[error("{register} is read at cycle {cycle} and was overwritten since issue")]
    LateSource {
        /// Register.
        register: String,
        /// Pipeline cycle of the read.
        cycle: u8,
    },
    /// Another access to a word while a part-word store is reading, merging and writing it.
    #[error("access to {addr:#x} while a part-word store to the same word is in flight")]
    PartWordRace {
        /// Core data address.
        addr: u32,
    },
}

impl From<Undefined> for CoreFaultKind {
    fn from(u: Undefined) -> Self {
        Self::Conversion(u)
    }
}

impl From<BadConfig> for CoreFaultKind {
    fn from(c: BadConfig) -> Self {
        Self::Config(c)
    }
}
