//! Independent checker of emitted programs.
//!
//! Input: program bytes, the entry address, and a [`Certificate`] that says for each instruction which operation of the source program it
//! is, in which iteration, and which definition each of its sources is meant to receive. The checker decodes the bytes again and shows
//! that the meaning holds on every path. It uses `aie2-isa` and nothing of the scheduler. (Manner: bytecodealliance/regalloc2,
//! `src/checker.rs`, extended from registers to cycles.)
//!
//! # Lattice
//! A point of exploration is (address, delay slots left and their target, ls, le). Its abstract state holds, for every register atom, a
//! *set of histories*; a history is
//!
//! ```text
//! committed value | in-flight writes, oldest issue first: (tag, bundles since issue, landing cycle, bypass) | late reads still to happen
//! tag = undefined | program start | (operation, which result, iteration relative to its region's frame)
//! ```
//!
//! Join is set union per atom (atoms are independent of each other). Besides: which units and banks the pipeline holds in the coming
//! cycles, recent memory accesses and fences, bytes since the loop registers were written, and how many iterations of each operation of
//! the current region have been executed; these join by union, minimum, and equality.
//! The lattice is finite: iterations saturate to "stale", in-flight writes end after their landing cycle.
//!
//! # Transfer of one bundle
//! 1. Frame marks on the edge shift iteration numbers (`Enter` only when not coming from the back edge of a hardware loop).
//! 2. Reads due now (sources of cycle 1, and late sources of earlier bundles) receive the newest write with
//!    `age >= D - same`, else the committed value: exactly `L = D - U + 1 - same` with a read of cycle U taking place U - 1 bundles after
//!    issue. The received tag must be one the certificate allows.
//! 3. Units, banks: no double use. Writes enter the histories; two writes may neither land together nor overtake each other.
//! 4. Memory: every pair of accesses that may alias, and every pair of access and fence, keeps its sequential order and distance.
//! 5. Successors: branches after their delay slots, hardware-loop back edges, fall-through. No region begins in delay slots: the way to it
//!    would not be the branch's.
//!
//! The exploration ends when no state changes.

mod machine;
mod memory;
mod note;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use aie2_isa::{Atom, IsaError};

pub use note::{BundleNote, Certificate, Mark, OpNo, OpNote, RegionNo, RegionNote, Source};

/// What the checker found out about a correct program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Bundles in which a source receives an old value, as meant, while a newer write is in flight.
    pub early_reads: Vec<u32>,
    /// Bundles reached.
    pub bundles: usize,
}

/// A rule the emitted program breaks. `pc` is the address of the bundle at which it shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The bytes are not a program.
    #[error("{pc:#x}: {source}")]
    Decode {
        /// Address.
        pc: u32,
        /// Reason.
        source: IsaError,
    },
    /// Execution leaves the program.
    #[error("{pc:#x}: execution runs beyond the program")]
    RunsOff {
        /// Address.
        pc: u32,
    },
    /// An instruction without certificate entry, or an entry without instruction.
    #[error("{pc:#x}: certificate and bundle `{bundle}` disagree")]
    Certificate {
        /// Address.
        pc: u32,
        /// Bundle.
        bundle: String,
    },
    /// A source receives a value it should not.
    #[error("{pc:#x}: `{reader}` reads {atom} and receives {received}; meant is {meant}")]
    WrongValue {
        /// Address of the reader.
        pc: u32,
        /// Reader.
        reader: String,
        /// Register.
        atom: Atom,
        /// What arrives.
        received: String,
        /// What should.
        meant: String,
    },
    /// A late source of a vector register would see a write issued after the reader; silicon and tables disagree on the outcome.
    #[error("{pc:#x}: `{reader}` reads {atom} late, after a write issued behind it")]
    AmbiguousLateRead {
        /// Address of the reader.
        pc: u32,
        /// Reader.
        reader: String,
        /// Register.
        atom: Atom,
    },
    /// Two writes of one register land in the same cycle, or in reverse order.
    #[error("{pc:#x}: the write of {atom} by `{writer}` lands with or before an older write")]
    WriteClash {
        /// Address of the later writer.
        pc: u32,
        /// Later writer.
        writer: String,
        /// Register.
        atom: Atom,
    },
    /// A register-file port, unit or bank is needed twice in a cycle.
    #[error("{pc:#x}: `{insn}` needs {on} {cycle} cycles after issue, which is taken")]
    UnitClash {
        /// Address.
        pc: u32,
        /// Instruction.
        insn: String,
        /// Unit or bank.
        on: String,
        /// Cycle after issue.
        cycle: u8,
    },
    /// A branch in the delay slots of another one.
    #[error("{pc:#x}: branch in delay slots")]
    BranchInDelaySlots {
        /// Address.
        pc: u32,
    },
    /// A region of the source program begins in the delay slots of a branch.
    #[error("{pc:#x}: {region} begins in the delay slots of a branch")]
    RegionInDelaySlots {
        /// Address of its first bundle.
        pc: u32,
        /// Region.
        region: String,
    },
    /// A branch whose target is not an immediate.
    #[error("{pc:#x}: the target of `{insn}` is not known")]
    UnknownTarget {
        /// Address.
        pc: u32,
        /// Branch.
        insn: String,
    },
    /// A branch target, loop start or loop end that is not a multiple of 16.
    #[error("{pc:#x}: address {target:#x} is not 16-byte aligned")]
    Misaligned {
        /// Address of the branch or loop end.
        pc: u32,
        /// Offending address.
        target: u32,
    },
    /// The last bundle of a hardware loop is not a 16-byte bundle.
    #[error("{pc:#x}: the last bundle of a hardware loop has {bytes} bytes")]
    LoopEndSize {
        /// Address.
        pc: u32,
        /// Its size.
        bytes: usize,
    },
    /// Too little code between the last write of lc, ls, le and the loop end.
    #[error("{pc:#x}: {bytes} bytes between the loop set-up and the loop end, 112 needed")]
    LoopDistance {
        /// Address of the loop end.
        pc: u32,
        /// Bytes on the shortest path.
        bytes: u32,
    },
    /// The loop end lies in the delay slots of a branch.
    #[error("{pc:#x}: hardware-loop end in delay slots")]
    LoopEndInDelaySlots {
        /// Address.
        pc: u32,
    },
    /// A part-word store in the last bundle of a hardware loop can be lost.
    #[error("{pc:#x}: part-word store in the last bundle of a hardware loop")]
    PartWordStoreAtLoopEnd {
        /// Address.
        pc: u32,
    },
    /// ls or le written with something else than an immediate.
    #[error("{pc:#x}: `{insn}` writes a loop address that is not known")]
    UnknownLoop {
        /// Address.
        pc: u32,
        /// Instruction.
        insn: String,
    },
    /// Two memory accesses or fences come too close or in the wrong order.
    #[error("{pc:#x}: `{second}` issues {distance} bundles after `{first}`, {needed} needed")]
    MemoryOrder {
        /// Address of the one that issues later.
        pc: u32,
        /// The one that issues first.
        first: String,
        /// The one that issues later.
        second: String,
        /// Distance found.
        distance: i32,
        /// Distance needed.
        needed: i32,
    },
    /// An operation is executed in the wrong iteration, twice, or not at all.
    #[error("{pc:#x}: {region}: `{insn}` executes iteration {found}, {due} is due")]
    Coverage {
        /// Address.
        pc: u32,
        /// Region.
        region: String,
        /// Operation.
        insn: String,
        /// Iteration in the certificate.
        found: i32,
        /// Iteration that is next.
        due: i32,
    },
    /// The exploration did not come to an end.
    #[error("{pc:#x}: no fixpoint after {steps} steps")]
    NoFixpoint {
        /// Address.
        pc: u32,
        /// Steps done.
        steps: usize,
    },
}

/// Bound on the exploration; programs of 16 KiB need a few thousand steps.
const STEP_LIMIT: usize = 400_000;

/// Checks a program.
///
/// # Errors
/// The first rule that is broken.
pub fn check(bytes: &[u8], entry: u32, certificate: &Certificate) -> Result<Verdict, Box<CheckError>> {
    let machine = machine::Machine::new(bytes, certificate);
    let mut states: BTreeMap<machine::Node, state::State> = BTreeMap::new();
    let mut work: BTreeSet<machine::Node> = BTreeSet::new();
    let mut early = BTreeSet::new();
    let start = machine::Node::start(entry);
    let mut state = state::State::start(certificate);
    machine.enter(&mut state, start, false)?;
    states.insert(start, state);
    work.insert(start);
    let mut steps = 0;
    while let Some(node) = work.pop_first() {
        steps += 1;
        if steps > STEP_LIMIT {
            return Err(Box::new(CheckError::NoFixpoint { pc: node.pc, steps }));
        }
        let step = machine.step(node, &states[&node])?;
        if step.early {
            early.insert(node.pc);
        }
        early.extend(step.early_earlier);
        for (next, back_edge) in step.next {
            let mut incoming = step.state.clone();
            machine.enter(&mut incoming, next, back_edge)?;
            let changed = match states.get_mut(&next) {
                Some(old) => old.join(&incoming, next.pc, certificate)?,
                None => {
                    states.insert(next, incoming);
                    true
                }
            };
            if changed {
                work.insert(next);
            }
        }
    }
    let bundles = states.keys().map(|n| n.pc).collect::<BTreeSet<_>>().len();
    Ok(Verdict { early_reads: early.into_iter().collect(), bundles })
}
