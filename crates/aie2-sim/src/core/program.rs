//! Program memory and the bundles decoded from it.

use super::lower::lower;
use super::op::Decoded;
use crate::core_fault::CoreFaultKind;
use crate::port::PROGRAM_MEM_BYTES;
use aie2_isa::Bundle;
use std::collections::HashSet;

const NONE: u32 = u32::MAX;
/// Bundles start at even addresses.
const STEP: usize = 2;
/// Longest bundle.
const LONGEST: usize = 16;

/// Program memory with a decode cache.
pub(crate) struct Program {
    bytes: Box<[u8; PROGRAM_MEM_BYTES]>,
    written: Box<[bool; PROGRAM_MEM_BYTES]>,
    cache: Vec<u32>,
    pub bundles: Vec<Decoded>,
    early_reads: HashSet<u32>,
    partial_locks: HashSet<u32>,
    partial_locks_anywhere: bool,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Box::new([0; PROGRAM_MEM_BYTES]),
            written: Box::new([false; PROGRAM_MEM_BYTES]),
            cache: vec![NONE; PROGRAM_MEM_BYTES / STEP],
            bundles: Vec::new(),
            early_reads: HashSet::new(),
            partial_locks: HashSet::new(),
            partial_locks_anywhere: false,
        }
    }

    /// Writes program bytes; decoded bundles are forgotten. Returns the first address past the memory, if any.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> Result<(), CoreFaultKind> {
        let end = offset + data.len();
        if end > PROGRAM_MEM_BYTES {
            return Err(CoreFaultKind::ProgramCounter { target: end as u32 });
        }
        self.bytes[offset..end].copy_from_slice(data);
        self.written[offset..end].fill(true);
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        // Decoded bundles stay: their operations may be in flight.
        self.cache.fill(NONE);
    }

    pub(crate) fn set_early_reads(&mut self, pcs: impl IntoIterator<Item = u32>) {
        self.early_reads = pcs.into_iter().collect();
        self.forget();
    }

    pub(crate) fn set_partial_locks(&mut self, pcs: impl IntoIterator<Item = u32>) {
        self.partial_locks = pcs.into_iter().collect();
        self.forget();
    }

    pub(crate) fn set_partial_locks_anywhere(&mut self, anywhere: bool) {
        self.partial_locks_anywhere = anywhere;
        self.forget();
    }

    /// Index of the bundle at `pc`.
    #[inline]
    pub(crate) fn lookup(&mut self, pc: u32) -> Result<u32, CoreFaultKind> {
        match self.cache.get(pc as usize / STEP) {
            Some(&i) if i != NONE && (pc as usize).is_multiple_of(STEP) => Ok(i),
            _ => self.decode(pc),
        }
    }

    fn decode(&mut self, pc: u32) -> Result<u32, CoreFaultKind> {
        let at = pc as usize;
        if !at.is_multiple_of(STEP) || at >= PROGRAM_MEM_BYTES || !self.written[at] {
            return Err(CoreFaultKind::ProgramCounter { target: pc });
        }
        let window = &self.bytes[at..(at + LONGEST).min(PROGRAM_MEM_BYTES)];
        let mut word = [0; 4];
        word[..window.len().min(4)].copy_from_slice(&window[..window.len().min(4)]);
        let word = u32::from_le_bytes(word);
        let (bundle, _, len) = Bundle::decode(window).map_err(|_| CoreFaultKind::IllegalBundle { word })?;
        if !self.written[at..at + len].iter().all(|w| *w) {
            return Err(CoreFaultKind::ProgramCounter { target: pc });
        }
        let mut decoded = lower(&bundle, pc, len as u32)?;
        decoded.early_reads_allowed = self.early_reads.contains(&pc);
        decoded.partial_lock = self.partial_locks_anywhere || self.partial_locks.contains(&pc);
        let index = self.bundles.len() as u32;
        self.bundles.push(decoded);
        self.cache[at / STEP] = index;
        Ok(index)
    }

    /// Assembly of the bundle at `pc`, for messages.
    pub(crate) fn text(&self, pc: u32) -> String {
        let at = (pc as usize).min(PROGRAM_MEM_BYTES);
        let window = &self.bytes[at..(at + LONGEST).min(PROGRAM_MEM_BYTES)];
        Bundle::decode(window).map_or_else(|_| "(no bundle)".to_owned(), |(b, _, _)| b.to_string())
    }
}
