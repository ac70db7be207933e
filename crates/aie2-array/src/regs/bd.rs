//! Buffer descriptors of the three tile kinds: 6, 8 and 8 words.
//!
//! Values are the meant ones (a step of 4 words is 4); the encoders store steps and iteration counts minus one.

use super::Field;

const BD_STRIDE: u32 = 0x20;

/// Offset of BD `bd` in a compute tile.
pub fn core_bd_offset(bd: u8) -> u32 {
    assert!(bd < 16, "no such BD");
    0x1_D000 + BD_STRIDE * u32::from(bd)
}

/// Offset of BD `bd` in a mem tile.
pub fn mem_bd_offset(bd: u8) -> u32 {
    assert!(bd < 48, "no such BD");
    0xA_0000 + BD_STRIDE * u32::from(bd)
}

/// Offset of BD `bd` in a shim tile.
pub fn shim_bd_offset(bd: u8) -> u32 {
    assert!(bd < 16, "no such BD");
    0x1_D000 + BD_STRIDE * u32::from(bd)
}

/// What a BD waits for before its first access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockAcquire {
    /// Lock number as the BD sees it (own locks of a mem tile start at 64).
    pub id: u8,
    /// Negative: wait until the lock is at least the magnitude, then subtract it. Positive: wait for equality.
    pub value: i8,
}

/// What a BD adds to a lock after its last access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRelease {
    /// Lock number as the BD sees it.
    pub id: u8,
    /// What is added; 0 releases nothing.
    pub value: i8,
}

/// Moves the base address from one execution of the BD to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Iteration {
    /// Distance between two executions in words.
    pub step_words: u32,
    /// Executions until the address returns to the start, 1..=64.
    pub count: u8,
}

/// Fields every BD has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BdCommon {
    /// BD to execute afterwards.
    pub next: Option<u8>,
    /// Lock to acquire first.
    pub acquire: Option<LockAcquire>,
    /// Lock to release afterwards.
    pub release: Option<LockRelease>,
    /// Address movement between executions.
    pub iteration: Option<Iteration>,
}

const fn step(field: Field, step_words: u32) -> u32 {
    assert!(step_words >= 1, "a step of 0 cannot be expressed");
    field.put(step_words - 1)
}

/// Words of a dimension that is not used: wrap 0, stored step 0.
const UNUSED_STEP: u32 = 1;

fn iteration(wrap: Field, step_field: Field, value: Option<Iteration>) -> u32 {
    match value {
        None => 0,
        Some(Iteration { step_words, count }) => {
            assert!(count >= 1, "an iteration runs at least once");
            wrap.put(u32::from(count) - 1) | step(step_field, step_words)
        }
    }
}

fn iteration_back(wrap: Field, step_field: Field, word: u32) -> Option<Iteration> {
    (word != 0).then(|| Iteration { step_words: step_field.get(word) + 1, count: wrap.get(word) as u8 + 1 })
}

// Word 5 of a compute tile BD and word 7 of a shim BD.
mod tail {
    use super::Field;
    pub const NEXT: Field = Field::new(30, 27);
    pub const USE_NEXT: Field = Field::new(26, 26);
    pub const VALID: Field = Field::new(25, 25);
    pub const RELEASE_VALUE: Field = Field::new(24, 18);
    pub const RELEASE_ID: Field = Field::new(16, 13);
    pub const ACQUIRE_ENABLE: Field = Field::new(12, 12);
    pub const ACQUIRE_VALUE: Field = Field::new(11, 5);
    pub const ACQUIRE_ID: Field = Field::new(3, 0);
}

fn encode_tail(common: &BdCommon) -> u32 {
    let mut word = tail::VALID.put(1);
    if let Some(next) = common.next {
        word |= tail::NEXT.put(u32::from(next)) | tail::USE_NEXT.put(1);
    }
    if let Some(LockRelease { id, value }) = common.release {
        word |= tail::RELEASE_VALUE.put_signed(i32::from(value)) | tail::RELEASE_ID.put(u32::from(id));
    }
    if let Some(LockAcquire { id, value }) = common.acquire {
        word |= tail::ACQUIRE_ENABLE.put(1)
            | tail::ACQUIRE_VALUE.put_signed(i32::from(value))
            | tail::ACQUIRE_ID.put(u32::from(id));
    }
    word
}

fn decode_tail(word: u32, iteration: Option<Iteration>) -> BdCommon {
    let release = tail::RELEASE_VALUE.get_signed(word) as i8;
    BdCommon {
        next: (tail::USE_NEXT.get(word) == 1).then(|| tail::NEXT.get(word) as u8),
        acquire: (tail::ACQUIRE_ENABLE.get(word) == 1).then(|| LockAcquire {
            id: tail::ACQUIRE_ID.get(word) as u8,
            value: tail::ACQUIRE_VALUE.get_signed(word) as i8,
        }),
        release: (release != 0).then(|| LockRelease { id: tail::RELEASE_ID.get(word) as u8, value: release }),
        iteration,
    }
}

/// BD of a compute tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreBd {
    /// Start in the tile's memory, in words.
    pub base_words: u32,
    /// Words moved.
    pub length_words: u32,
    /// Steps of D0, D1, D2 in words.
    pub steps: [u32; 3],
    /// Wraps of D0, D1; 0 never wraps.
    pub wraps: [u32; 2],
    /// Locks, chaining, iteration.
    pub common: BdCommon,
}

mod core {
    use super::Field;
    pub const BASE: Field = Field::new(27, 14);
    pub const LENGTH: Field = Field::new(13, 0);
    pub const D1_STEP: Field = Field::new(25, 13);
    pub const D0_STEP: Field = Field::new(12, 0);
    pub const D1_WRAP: Field = Field::new(28, 21);
    pub const D0_WRAP: Field = Field::new(20, 13);
    pub const D2_STEP: Field = Field::new(12, 0);
    pub const ITERATION_WRAP: Field = Field::new(18, 13);
    pub const ITERATION_STEP: Field = Field::new(12, 0);
}

impl CoreBd {
    /// The six register words. PANIC: a field does not fit.
    pub fn encode(&self) -> [u32; 6] {
        [
            core::BASE.put(self.base_words) | core::LENGTH.put(self.length_words),
            0,
            step(core::D1_STEP, self.steps[1]) | step(core::D0_STEP, self.steps[0]),
            core::D1_WRAP.put(self.wraps[1]) | core::D0_WRAP.put(self.wraps[0]) | step(core::D2_STEP, self.steps[2]),
            iteration(core::ITERATION_WRAP, core::ITERATION_STEP, self.common.iteration),
            encode_tail(&self.common),
        ]
    }

    /// The fields of six register words.
    pub fn decode(words: [u32; 6]) -> Self {
        let it = iteration_back(core::ITERATION_WRAP, core::ITERATION_STEP, words[4]);
        CoreBd {
            base_words: core::BASE.get(words[0]),
            length_words: core::LENGTH.get(words[0]),
            steps: [
                core::D0_STEP.get(words[2]) + 1,
                core::D1_STEP.get(words[2]) + 1,
                core::D2_STEP.get(words[3]) + UNUSED_STEP,
            ],
            wraps: [core::D0_WRAP.get(words[3]), core::D1_WRAP.get(words[3])],
            common: decode_tail(words[5], it),
        }
    }
}

/// Zeros a mem tile MM2S inserts around D0 (words), D1 (padded rows), D2 (padded blocks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemPad {
    /// Zeros before each of the three dimensions.
    pub before: [u8; 3],
    /// Zeros after.
    pub after: [u8; 3],
}

/// BD of a mem tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemBd {
    /// Start in words; the tile's own memory starts at [`crate::device::MEM_DMA_OWN_BASE`] bytes.
    pub base_words: u32,
    /// Words moved over the stream, padding included.
    pub length_words: u32,
    /// Steps of D0..=D3 in words.
    pub steps: [u32; 4],
    /// Wraps of D0..=D2; 0 never wraps.
    pub wraps: [u32; 3],
    /// Zeros inserted (MM2S).
    pub pad: MemPad,
    /// Locks, chaining, iteration.
    pub common: BdCommon,
}

mod mem {
    use super::Field;
    pub const LENGTH: Field = Field::new(16, 0);
    pub const D0_BEFORE: Field = Field::new(31, 26);
    pub const NEXT: Field = Field::new(25, 20);
    pub const USE_NEXT: Field = Field::new(19, 19);
    pub const BASE: Field = Field::new(18, 0);
    pub const WRAP: Field = Field::new(26, 17);
    pub const STEP: Field = Field::new(16, 0);
    pub const D1_BEFORE: Field = Field::new(31, 27);
    pub const D2_BEFORE: Field = Field::new(30, 27);
    pub const D2_AFTER: Field = Field::new(31, 28);
    pub const D1_AFTER: Field = Field::new(27, 23);
    pub const D0_AFTER: Field = Field::new(22, 17);
    pub const ITERATION_WRAP: Field = Field::new(22, 17);
    pub const ITERATION_STEP: Field = Field::new(16, 0);
    pub const VALID: Field = Field::new(31, 31);
    pub const RELEASE_VALUE: Field = Field::new(30, 24);
    pub const RELEASE_ID: Field = Field::new(23, 16);
    pub const ACQUIRE_ENABLE: Field = Field::new(15, 15);
    pub const ACQUIRE_VALUE: Field = Field::new(14, 8);
    pub const ACQUIRE_ID: Field = Field::new(7, 0);
}

impl MemPad {
    /// Most zeros before or after each dimension.
    pub const MAX: [u8; 3] = [mem::D0_BEFORE.max() as u8, mem::D1_BEFORE.max() as u8, mem::D2_BEFORE.max() as u8];
}

impl MemBd {
    /// The eight register words. PANIC: a field does not fit.
    pub fn encode(&self) -> [u32; 8] {
        let pad = |field: Field, zeros: u8| field.put(u32::from(zeros));
        let mut next = 0;
        if let Some(bd) = self.common.next {
            next = mem::NEXT.put(u32::from(bd)) | mem::USE_NEXT.put(1);
        }
        let mut locks = mem::VALID.put(1);
        if let Some(LockRelease { id, value }) = self.common.release {
            locks |= mem::RELEASE_VALUE.put_signed(i32::from(value)) | mem::RELEASE_ID.put(u32::from(id));
        }
        if let Some(LockAcquire { id, value }) = self.common.acquire {
            locks |= mem::ACQUIRE_ENABLE.put(1)
                | mem::ACQUIRE_VALUE.put_signed(i32::from(value))
                | mem::ACQUIRE_ID.put(u32::from(id));
        }
        let dim = |d: usize| mem::WRAP.put(self.wraps[d]) | step(mem::STEP, self.steps[d]);
        [
            mem::LENGTH.put(self.length_words),
            pad(mem::D0_BEFORE, self.pad.before[0]) | next | mem::BASE.put(self.base_words),
            dim(0),
            pad(mem::D1_BEFORE, self.pad.before[1]) | dim(1),
            pad(mem::D2_BEFORE, self.pad.before[2]) | dim(2),
            pad(mem::D2_AFTER, self.pad.after[2])
                | pad(mem::D1_AFTER, self.pad.after[1])
                | pad(mem::D0_AFTER, self.pad.after[0])
                | step(mem::STEP, self.steps[3]),
            iteration(mem::ITERATION_WRAP, mem::ITERATION_STEP, self.common.iteration),
            locks,
        ]
    }

    /// The fields of eight register words.
    pub fn decode(words: [u32; 8]) -> Self {
        let release = mem::RELEASE_VALUE.get_signed(words[7]) as i8;
        MemBd {
            base_words: mem::BASE.get(words[1]),
            length_words: mem::LENGTH.get(words[0]),
            steps: [2, 3, 4, 5].map(|w| mem::STEP.get(words[w]) + 1),
            wraps: [2, 3, 4].map(|w| mem::WRAP.get(words[w])),
            pad: MemPad {
                before: [
                    mem::D0_BEFORE.get(words[1]) as u8,
                    mem::D1_BEFORE.get(words[3]) as u8,
                    mem::D2_BEFORE.get(words[4]) as u8,
                ],
                after: [
                    mem::D0_AFTER.get(words[5]) as u8,
                    mem::D1_AFTER.get(words[5]) as u8,
                    mem::D2_AFTER.get(words[5]) as u8,
                ],
            },
            common: BdCommon {
                next: (mem::USE_NEXT.get(words[1]) == 1).then(|| mem::NEXT.get(words[1]) as u8),
                acquire: (mem::ACQUIRE_ENABLE.get(words[7]) == 1).then(|| LockAcquire {
                    id: mem::ACQUIRE_ID.get(words[7]) as u8,
                    value: mem::ACQUIRE_VALUE.get_signed(words[7]) as i8,
                }),
                release: (release != 0)
                    .then(|| LockRelease { id: mem::RELEASE_ID.get(words[7]) as u8, value: release }),
                iteration: iteration_back(mem::ITERATION_WRAP, mem::ITERATION_STEP, words[6]),
            },
        }
    }
}

/// BD of a shim tile. The address is patched in by firmware and not part of these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShimBdWords {
    /// Words moved.
    pub length_words: u32,
    /// Steps of D0, D1, D2 in words.
    pub steps: [u32; 3],
    /// Wraps of D0, D1; 0 never wraps.
    pub wraps: [u32; 2],
    /// Burst length field: 0 is 64, 1 is 128, 2 is 256 bytes.
    pub burst: u8,
    /// AxCache attribute of the bus.
    pub ax_cache: u8,
    /// Locks, chaining, iteration.
    pub common: BdCommon,
}

mod shim {
    use super::Field;
    pub const WRAP: Field = Field::new(29, 20);
    pub const STEP: Field = Field::new(19, 0);
    pub const BURST: Field = Field::new(31, 30);
    pub const AX_CACHE: Field = Field::new(27, 24);
    pub const ITERATION_WRAP: Field = Field::new(25, 20);
    pub const ITERATION_STEP: Field = Field::new(19, 0);
}

impl ShimBdWords {
    /// The eight register words, address 0. PANIC: a field does not fit.
    pub fn encode(&self) -> [u32; 8] {
        [
            self.length_words,
            0,
            0,
            shim::WRAP.put(self.wraps[0]) | step(shim::STEP, self.steps[0]),
            shim::BURST.put(u32::from(self.burst)) | shim::WRAP.put(self.wraps[1]) | step(shim::STEP, self.steps[1]),
            shim::AX_CACHE.put(u32::from(self.ax_cache)) | step(shim::STEP, self.steps[2]),
            iteration(shim::ITERATION_WRAP, shim::ITERATION_STEP, self.common.iteration),
            encode_tail(&self.common),
        ]
    }

    /// The fields of eight register words.
    pub fn decode(words: [u32; 8]) -> Self {
        let it = iteration_back(shim::ITERATION_WRAP, shim::ITERATION_STEP, words[6]);
        ShimBdWords {
            length_words: words[0],
            steps: [3, 4, 5].map(|w| shim::STEP.get(words[w]) + 1),
            wraps: [3, 4].map(|w| shim::WRAP.get(words[w])),
            burst: shim::BURST.get(words[4]) as u8,
            ax_cache: shim::AX_CACHE.get(words[5]) as u8,
            common: decode_tail(words[7], it),
        }
    }
}

#[cfg(test)]
mod tests;
