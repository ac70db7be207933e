//! Small designs that put one question each to the array: does it move data, where, how fast, and do the facts hold that the kernels rest on.
//!
//! ```text
//! probe = design, contents of `in` and `out` before a call, and every answer that is known in advance:
//!         the contents of `out` after each call if the array is as modelled, and if it is not
//! ```
//! The first answer is that of the simulator (`bennu-lab/tests/probe.rs`). The last resort, bytes that no answer predicts or no end at all, is told
//! in [`Probe::otherwise`]. A probe is called several times in one context, so every answer also says what the array keeps between dispatches.

mod bandwidth;
mod dma;
mod instructions;
mod locks;
mod rig;
mod shim;
mod tiles;
mod timing;

pub use bandwidth::{CHANNELS, UNIT_BYTES, read_bandwidth, write_bandwidth};
pub use dma::{
    chain_iterates, iteration_reads, iteration_writes, late_receiver, mask_poll, mem_scatter, mem_window,
    parameter_first, queued_ring, repeat_fills_a_mem_bd, repeat_rereads, short_runs, unaligned,
};
pub use instructions::{
    denormal_factors, float_rounding, float_signs, load_in_flight, product_and_load, product_forwarded, shuffle_modes,
    zero_signs,
};
pub use locks::{acquire_two, load_across_acquire, lock_number_in_register};
pub use shim::{Via, loopback, nop, routes_by_stream};
pub use tiles::{all_tiles, counter, one_tile};
pub use timing::{Timing, bank_shared, bundles, strided_rows};

use crate::{Compiled, KernelError};

/// Calls of a probe in one context that [`Outcome`] predicts.
pub const CALLS: usize = 2;
/// Contents of an output before a call: not zero, not a small number, the same in every byte so that a shift shows.
pub const UNTOUCHED: u8 = 0xA5;

/// A compiled question.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What is asked, as one sentence.
    pub asks: &'static str,
    /// Rows of `docs/hardware-bringup.md` that it settles.
    pub facts: &'static [u8],
    /// The design. Its operands are none, `out`, or `in` and `out`, in this order.
    pub compiled: Compiled,
    /// Contents of `in`.
    pub input: Vec<u8>,
    /// Contents of `out` before the first call.
    pub output: Vec<u8>,
    /// What the array may answer; the first is as modelled.
    pub outcomes: Vec<Outcome>,
    /// What to look at or to change if it answers nothing of these, or never.
    pub otherwise: &'static str,
    /// Bytes read from DDR and written to it in one call.
    pub moved_bytes: [u64; 2],
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it says of the array.
    pub says: &'static str,
    /// What to change in bennu; nothing if the array is as modelled.
    pub change: Option<&'static str>,
    /// Contents of `out` after each call.
    pub after: [Vec<u8>; CALLS],
}

impl Outcome {
    /// As modelled, the same after every call.
    fn modelled(says: &'static str, after: Vec<u8>) -> Self {
        Self { says, change: None, after: [after.clone(), after] }
    }

    /// The array is different, the same after every call.
    fn different(says: &'static str, change: &'static str, after: Vec<u8>) -> Self {
        Self { says, change: Some(change), after: [after.clone(), after] }
    }
}

/// What an output says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The outcome of this index.
    Outcome(usize),
    /// None of the outcomes.
    Unknown(Difference),
}

/// Where an output leaves the modelled one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Index of the first wrong byte.
    pub first: usize,
    /// What should be there.
    pub expected: u8,
    /// What is there.
    pub found: u8,
    /// How many bytes are wrong.
    pub bytes: usize,
}

impl Probe {
    /// Its name, that of the design.
    pub fn name(&self) -> &'static str {
        self.compiled.kernel
    }

    /// What `out` after call `call` (0 the first) says. Buffers of another length have no answer.
    pub fn judge(&self, call: usize, out: &[u8]) -> Answer {
        if let Some(index) = self.outcomes.iter().position(|o| o.after.get(call).is_some_and(|after| after == out)) {
            return Answer::Outcome(index);
        }
        let expected = self.outcomes.first().and_then(|o| o.after.get(call)).map_or(&[][..], Vec::as_slice);
        let wrong = || expected.iter().zip(out).enumerate().filter(|(_, (expected, found))| expected != found);
        let (first, (&expected_byte, &found)) = wrong().next().unwrap_or((out.len().min(expected.len()), (&0, &0)));
        let bytes = wrong().count() + expected.len().abs_diff(out.len());
        Answer::Unknown(Difference { first, expected: expected_byte, found, bytes })
    }
}

/// The probes of bring-up in the order in which they mean something: each uses only what the earlier ones have shown.
///
/// # Errors
/// None of these shapes is refused; an error is a bug of the compiler.
pub fn steps() -> Result<Vec<Probe>, KernelError> {
    Ok(vec![
        nop()?,
        routes_by_stream()?,
        loopback(Via::Switch, 4096)?,
        loopback(Via::MemTile, 16384)?,
        one_tile(4)?,
        all_tiles(4)?,
        counter()?,
    ])
}

/// A question whose answer is a fact of `docs/hardware-bringup.md`, in the order of asking.
///
/// # Errors
/// As [`steps`].
pub fn facts() -> Result<Vec<Probe>, KernelError> {
    Ok(vec![
        mem_window()?,
        repeat_rereads()?,
        repeat_fills_a_mem_bd()?,
        iteration_reads()?,
        iteration_writes()?,
        chain_iterates()?,
        late_receiver()?,
        short_runs()?,
        unaligned()?,
        mem_scatter()?,
        queued_ring()?,
        mask_poll()?,
        parameter_first()?,
        acquire_two()?,
        lock_number_in_register()?,
        load_across_acquire()?,
        load_in_flight()?,
        product_and_load()?,
        product_forwarded()?,
        float_rounding()?,
        denormal_factors()?,
        float_signs()?,
        zero_signs()?,
        shuffle_modes()?,
    ])
}

#[cfg(test)]
mod tests;
