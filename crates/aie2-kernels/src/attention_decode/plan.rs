//! Which keys pass on which stream, and who does not see them.
//!
//! ```text
//! blocks of 16 slots that cover what the ring or the segment reads ─► first half: A, second half: B; turn i: block i of either
//!
//! plan   word 0       turns
//!        words 8..    of A: {turns left, hidden × 4} for each block with hidden keys; 0 ends the list
//!        words 36..   the same of B
//! hidden word t        bit 4 key + position: key 4 t + key of the block is not seen by the position
//! ```

use npu_package::layout::{KV_GROUP_SLOTS, KvRun};

/// Keys of a block.
pub const BLOCK_KEYS: usize = 16;
/// Positions that a core computes.
pub const POSITIONS: usize = 4;
/// Bytes of the plan.
pub const BYTES: usize = 256;
/// First words of the lists of A and B.
pub const LISTS: [usize; 2] = [8, 36];
const LIST_WORDS: usize = 28;

/// A block of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First of its two groups of slots.
    pub group: usize,
    /// Bit 4 key + position of word t: key 4 t + key is not seen.
    pub hidden: [u32; 4],
}

impl Block {
    /// Whether a position (0..4) does not see a key (0..16).
    pub fn hides(&self, key: usize, position: usize) -> bool {
        self.hidden[key / 4] >> (4 * (key % 4) + position) & 1 == 1
    }
}

/// What the two streams carry, turn by turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Blocks of A and of B, equally many.
    pub streams: [Vec<Block>; 2],
}

impl Plan {
    /// The plan for `tokens` new positions behind `history`, of runs in a segment of `groups` groups (at least 2).
    pub fn new(runs: &[KvRun], groups: usize, history: usize, tokens: usize, window: Option<usize>) -> Self {
        let mut blocks = Vec::new();
        for run in runs {
            let end = run.slot + run.slots;
            let mut next = run.slot;
            while next < end {
                // the last group of a segment comes with the one before it
                let group = (next / KV_GROUP_SLOTS).min(groups - 2);
                let seen = |key: usize, position: usize| {
                    let slot = KV_GROUP_SLOTS * group + key;
                    let query = history + if position < tokens { position } else { 0 };
                    let sees = |at: usize| at <= query && window.is_none_or(|window| at + window > query);
                    (next..end).contains(&slot) && sees(run.position + slot - run.slot)
                };
                blocks.push(Block { group, hidden: hidden(|key, position| !seen(key, position)) });
                next = KV_GROUP_SLOTS * group + BLOCK_KEYS;
            }
        }
        let turns = blocks.len().div_ceil(2);
        let mut second = blocks.split_off(turns.min(blocks.len()));
        if second.len() < turns {
            let last = second.last().or(blocks.last()).map_or(0, |block| block.group);
            second.push(Block { group: last, hidden: hidden(|_, _| true) });
        }
        Self { streams: [blocks, second] }
    }

    /// Turns: blocks of either stream.
    pub fn turns(&self) -> usize {
        self.streams[0].len()
    }

    /// The operand. `None`: more blocks with hidden keys on one stream than an edge at either end and a wrap explain.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut words = [0u32; BYTES / 4];
        words[0] = self.turns() as u32;
        for (blocks, first) in self.streams.iter().zip(LISTS) {
            let hiding = blocks.iter().enumerate().filter(|(_, block)| block.hidden != [0; 4]);
            let entries: Vec<u32> = hiding
                .flat_map(|(turn, block)| std::iter::once((self.turns() - turn) as u32).chain(block.hidden))
                .collect();
            if entries.len() >= LIST_WORDS {
                return None;
            }
            words[first..first + entries.len()].copy_from_slice(&entries);
        }
        Some(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}

fn hidden(hides: impl Fn(usize, usize) -> bool) -> [u32; 4] {
    std::array::from_fn(|tile| {
        let pairs = (0..4).flat_map(|key| (0..POSITIONS).map(move |position| (key, position)));
        pairs
            .filter(|&(key, position)| hides(4 * tile + key, position))
            .map(|(key, position)| 1 << (4 * key + position))
            .sum()
    })
}
