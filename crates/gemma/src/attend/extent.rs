//! Whether the transfers of a runtime stream stay inside the host buffers. The NPU sees the whole address space of the process: a transfer
//! that is too long would overwrite whatever is mapped behind its buffer.
//!
//! The stream is followed as the firmware does: a BLOCK_WRITE fills a shim BD, a DDR_PATCH gives it a buffer, a write to a task queue runs it.

use std::collections::BTreeMap;

use npu_container::txn::{self, DDR_APERTURE, FIRMWARE_TRANSLATED_ARGUMENTS, Op, TxnError};

/// Why a stream is not run.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It is not a stream.
    #[error(transparent)]
    Txn(#[from] TxnError),
    /// A host buffer that the kernel does not have.
    #[error("it uses host buffer {index}; the kernel has {count}")]
    Argument {
        /// Its index.
        index: u32,
        /// Buffers of the kernel.
        count: usize,
    },
    /// An address for a BD, or a task for one, that the stream has not filled before.
    #[error("it uses shim BD {bd} of column {column} before that is whole")]
    Unfilled {
        /// Column.
        column: u32,
        /// The BD.
        bd: u32,
    },
    /// A transfer that leaves its buffer.
    #[error("shim BD {bd} of column {column} reaches byte {end} of host buffer {index}, which has {bytes}")]
    Extent {
        /// Column.
        column: u32,
        /// The BD.
        bd: u32,
        /// Host buffer.
        index: u32,
        /// One past the last byte.
        end: u64,
        /// Bytes of the buffer.
        bytes: u64,
    },
}

// SOURCE: aie-rt driver/src/global/xaiemlgbl_params.h: shim DMA registers.
const BD_BASE: u32 = 0x1D000;
const BD_BYTES: u32 = 0x20;
const BDS: u32 = 16;
const BD_WORDS: usize = 8;
/// Task queues of S2MM 0 and 1, MM2S 0 and 1.
const QUEUES: [u32; 4] = [0x1D204, 0x1D20C, 0x1D214, 0x1D21C];
const COLUMN_SHIFT: u32 = 25;
const ROW_SHIFT: u32 = 20;
const OFFSET_MASK: u32 = (1 << ROW_SHIFT) - 1;
const WORD_BYTES: u64 = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Bd {
    words: [u32; BD_WORDS],
    written: bool,
    /// Host buffer and byte offset.
    buffer: Option<(u32, u64)>,
}

/// Follows `stream`; `buffers` are the sizes of the host buffers by index.
pub(crate) fn check(stream: &[u8], buffers: &[u64]) -> Result<(), StreamError> {
    let mut bds: BTreeMap<(u32, u32), Bd> = BTreeMap::new();
    for op in txn::read(stream)?.ops {
        match op {
            Op::Write { addr, value } => match shim(addr) {
                Some((column, offset)) if QUEUES.contains(&offset) => run(&bds, column, value, buffers)?,
                Some((column, offset)) => write(&mut bds, column, offset, &[value]),
                None => {}
            },
            Op::BlockWrite { addr, data } => {
                if let Some((column, offset)) = shim(addr) {
                    write(&mut bds, column, offset, &data);
                }
            }
            Op::DdrPatch { register, arg_index, arg_plus } => {
                if arg_index as usize >= buffers.len() {
                    return Err(StreamError::Argument { index: arg_index, count: buffers.len() });
                }
                let (column, bd) = shim(register).and_then(bd_of).unwrap_or((register >> COLUMN_SHIFT, BDS));
                let aperture = if arg_index < FIRMWARE_TRANSLATED_ARGUMENTS { 0 } else { DDR_APERTURE };
                match bds.get_mut(&(column, bd)) {
                    Some(found) => found.buffer = Some((arg_index, u64::from(arg_plus.wrapping_sub(aperture)))),
                    None => return Err(StreamError::Unfilled { column, bd }),
                }
            }
            // Masked writes set bits of channel controls; no known stream puts them on a BD.
            Op::MaskWrite { addr, .. } => {
                if let Some((column, bd)) = shim(addr).and_then(bd_of) {
                    return Err(StreamError::Unfilled { column, bd });
                }
            }
            Op::MaskPoll { .. } | Op::MaskPollBusy { .. } | Op::Noop | Op::Tct { .. } => {}
        }
    }
    Ok(())
}

/// Column and offset of a shim register.
fn shim(addr: u32) -> Option<(u32, u32)> {
    let row = addr >> ROW_SHIFT & 0x1F;
    (row == 0).then_some((addr >> COLUMN_SHIFT, addr & OFFSET_MASK))
}

fn bd_of((column, offset): (u32, u32)) -> Option<(u32, u32)> {
    let bd = offset.checked_sub(BD_BASE)? / BD_BYTES;
    (bd < BDS).then_some((column, bd))
}

fn write(bds: &mut BTreeMap<(u32, u32), Bd>, column: u32, offset: u32, data: &[u32]) {
    for (at, word) in (offset..).step_by(WORD_BYTES as usize).zip(data) {
        let Some(place) = bd_of((column, at)) else { continue };
        let index = ((at - BD_BASE) % BD_BYTES) as usize / WORD_BYTES as usize;
        let bd = bds.entry(place).or_default();
        bd.words[index] = *word;
        bd.written |= index == 0;
        // The address word is no longer the patched one.
        if index == 1 {
            bd.buffer = None;
        }
    }
}

/// A task: BDs from the first one along their chain, so many times.
fn run(bds: &BTreeMap<(u32, u32), Bd>, column: u32, task: u32, buffers: &[u64]) -> Result<(), StreamError> {
    let (mut next, repeats) = (task & 0xF, u64::from(task >> 16 & 0xFF) + 1);
    // A chain that closes on itself repeats what was seen.
    for _ in 0..BDS {
        let bd = next;
        let unfilled = StreamError::Unfilled { column, bd };
        let Some(Bd { words, written: true, buffer: Some((index, offset)) }) = bds.get(&(column, bd)) else {
            return Err(unfilled);
        };
        let (end, bytes) = (offset + reach(words, repeats), buffers[*index as usize]);
        if end > bytes {
            return Err(StreamError::Extent { column, bd, index: *index, end, bytes });
        }
        if words[7] >> 26 & 1 == 0 {
            break;
        }
        next = words[7] >> 27 & 0xF;
    }
    Ok(())
}

/// Bytes from the address of a BD to one past the last it touches in so many runs.
fn reach(words: &[u32; BD_WORDS], repeats: u64) -> u64 {
    let length = u64::from(words[0]);
    if length == 0 {
        return 0;
    }
    let step = |word: u32| u64::from(word & 0xF_FFFF) + 1;
    let wrap = |word: u32| u64::from(word >> 20 & 0x3FF);
    // A wrap of zero: the dimension covers what remains of the length.
    let mut remains = length;
    let mut last = 0;
    for (wrap, step) in [(wrap(words[3]), step(words[3])), (wrap(words[4]), step(words[4])), (0, step(words[5]))] {
        let count = if wrap == 0 { remains } else { wrap.min(remains) };
        last += (count - 1) * step;
        remains = remains.div_ceil(count);
    }
    let iterations = u64::from(words[6] >> 20 & 0x3F) + 1;
    let current = u64::from(words[6] >> 26);
    let furthest = if current > 0 { iterations.max(current + 1) } else { iterations.min(repeats) };
    WORD_BYTES * (last + (furthest - 1) * step(words[6]) + 1)
}

#[cfg(test)]
mod tests {
    use npu_container::txn::Header;

    use super::*;

    const BD3: u32 = 0x0200_0000 + BD_BASE + 3 * BD_BYTES;
    const QUEUE: u32 = 0x0200_0000 + 0x1D214;

    fn bd(words: [u32; 8]) -> Op {
        Op::BlockWrite { addr: BD3, data: words.to_vec() }
    }
    fn linear(length: u32) -> Op {
        bd([length, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000])
    }
    fn patch(arg: u32, offset: u64) -> Op {
        Op::ddr_patch(BD3 + 4, arg, offset).unwrap()
    }
    fn push(repeats: u32) -> Op {
        Op::Write { addr: QUEUE, value: 1 << 31 | (repeats - 1) << 16 | 3 }
    }
    fn checked(ops: &[Op], buffers: &[u64]) -> Result<(), String> {
        check(&txn::write(&Header::npu1(4), ops), buffers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_transfer_ends_with_its_buffer_or_is_refused() {
        let ops = [linear(16), patch(1, 36), push(1)];
        assert_eq!(checked(&ops, &[0, 100]), Ok(()));
        let refused = "shim BD 3 of column 1 reaches byte 100 of host buffer 1, which has 99";
        assert_eq!(checked(&ops, &[0, 99]), Err(refused.into()));
        assert_eq!(checked(&ops, &[100]), Err("it uses host buffer 1; the kernel has 1".into()));
    }

    #[test]
    fn the_aperture_of_later_arguments_is_no_offset() {
        let sizes = [0, 0, 0, 0, 0, 0, 64];
        assert_eq!(checked(&[linear(16), patch(6, 0), push(1)], &sizes), Ok(()));
        assert!(checked(&[linear(16), patch(6, 4), push(1)], &sizes).is_err());
    }

    #[test]
    fn strides_and_iterations_reach_further_than_the_length() {
        // 4 words, 3 times 100 words apart, and that again 1000 words further: the last word is 0 + 3 + 200 + 1000.
        let words = [24, 0, 0, 4 << 20, 3 << 20 | 99, 999, 0, 0x0200_0000];
        let of = |bytes| checked(&[bd(words), patch(0, 0), push(1)], &[bytes]);
        assert_eq!(of(4 * 1204), Ok(()));
        assert!(of(4 * 1204 - 1).is_err());
        // 16 words in up to 8 runs, 50 apart: as many as the task runs.
        let iterated = [16, 0, 0, 0, 0, 0, 7 << 20 | 49, 0x0200_0000];
        for (repeats, words) in [(1, 16), (2, 66), (8, 366), (9, 366)] {
            let of = |bytes| checked(&[bd(iterated), patch(0, 0), push(repeats)], &[bytes]);
            assert_eq!(of(4 * words), Ok(()));
            assert!(of(4 * words - 1).is_err());
        }
    }

    #[test]
    fn chains_are_followed() {
        let first = bd([4, 0, 0, 0, 0, 0, 0, 5 << 27 | 1 << 26 | 0x0200_0000]);
        let second = Op::BlockWrite { addr: BD3 + 2 * BD_BYTES, data: vec![8, 0, 0, 0, 0, 0, 0, 0x0200_0000] };
        let second_patch = Op::ddr_patch(BD3 + 2 * BD_BYTES + 4, 1, 0).unwrap();
        let ops = [first, patch(0, 0), second, second_patch, push(1)];
        assert_eq!(checked(&ops, &[16, 32]), Ok(()));
        assert!(checked(&ops, &[16, 31]).unwrap_err().contains("BD 5"));
    }

    #[test]
    fn a_bd_is_whole_before_it_runs() {
        let unfilled = Err("it uses shim BD 3 of column 1 before that is whole".to_owned());
        assert_eq!(checked(&[push(1)], &[64]), unfilled);
        assert_eq!(checked(&[patch(0, 0)], &[64]), unfilled);
        assert_eq!(checked(&[linear(4), push(1)], &[64]), unfilled);
        assert_eq!(checked(&[linear(4), patch(0, 0), push(1), linear(4), push(1)], &[64]), unfilled);
        assert!(check(&[0; 16], &[]).is_err());
    }
}
