//! The certificate an emitter hands to the checker: what each instruction is, and which value each source is meant to receive.
//!
//! Values are named by *tags* `(operation, result, iteration)`. Iterations are counted per region relative to a frame that [`Mark`]s move: 0 is the
//! most recent iteration, -1 the one before, positive numbers are iterations that a pipeline has already begun. Nothing in the certificate
//! is believed: it only states what must be shown.

use std::collections::BTreeMap;

use aie2_isa::{Atom, Slot};

use crate::operand::{Guards, MemRef};

/// Number of an operation of the source program.
pub type OpNo = u32;

/// Index of a region of the certificate.
pub type RegionNo = u32;

/// What a source may receive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A result this operation produced in the iteration at this offset of its region's frame.
    Def {
        /// Operation.
        op: OpNo,
        /// Which result: index into the atoms of `Timing::defs`.
        part: u8,
        /// Iteration relative to the frame when the reader issues.
        iteration: i16,
    },
    /// The value the register had when the program started.
    Entry,
    /// The value of this operation, provided nothing newer has been issued.
    NewestOf(OpNo),
    /// Any value written by a program, provided nothing newer has been issued.
    Newest,
    /// As `Newest`, written by an operation of another region.
    NewestOutside(RegionNo),
    /// Any value written outside of this region, of whatever age: the author declared that the reader may belong to an iteration that never began.
    Foreign(RegionNo),
    /// Any value that does not come from this region: the author declared the initial value irrelevant.
    NotFrom(RegionNo),
    /// Anything: the author declared the early read.
    Any,
}

/// One instruction of a bundle.
#[derive(Debug, Clone)]
pub struct OpNote {
    /// Slot it is in.
    pub slot: Slot,
    /// Operation of the source program.
    pub op: OpNo,
    /// Place in the sequential order of one iteration of its region.
    pub seq: u32,
    /// Iteration, relative to the region's frame.
    pub iteration: i16,
    /// What may arrive at each source, in the order of `Timing::uses` and its atoms.
    pub sources: Vec<Vec<Source>>,
    /// What a memory access touches.
    pub mem: MemRef,
    /// What a lock orders.
    pub guards: Guards,
}

/// Moves the frame of a region when the bundle issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The region is entered. Not executed on the back edge of a hardware loop.
    Enter {
        /// Region.
        region: RegionNo,
        /// Iteration number at which the run starts.
        first: i16,
        /// How far the frame moves.
        by: i16,
    },
    /// `by` iterations have begun.
    Advance {
        /// Region.
        region: RegionNo,
        /// Iterations.
        by: i16,
    },
}

/// One bundle.
#[derive(Debug, Clone, Default)]
pub struct BundleNote {
    /// Frame changes before it issues, in order.
    pub marks: Vec<Mark>,
    /// Its instructions.
    pub ops: Vec<OpNote>,
}

/// One region of the source program.
#[derive(Debug, Clone, Default)]
pub struct RegionNote {
    /// Name for messages.
    pub name: String,
    /// Operations that every iteration executes exactly once; empty for raw code.
    pub ops: Vec<OpNo>,
    /// Operations whose values belong to the region (raw code included).
    pub members: Vec<OpNo>,
}

/// Everything the checker is told.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// Notes by address of the bundle; bundles without a note may hold no instruction.
    pub bundles: BTreeMap<u32, BundleNote>,
    /// Regions.
    pub regions: Vec<RegionNote>,
    /// Registers that hold something at the start besides control and status registers.
    pub live_in: Vec<Atom>,
    /// Text of each operation for messages.
    pub text: BTreeMap<OpNo, String>,
}
