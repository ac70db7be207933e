//! What a core does, as numbers in its memory: which piece of the streams is its own, and how it walks from there into the out ring.
//!
//! ```text
//! round of rows       B  [q of two tokens, 8 heads each] [k of two tokens, 4 heads each | v likewise]
//! round of a group    B  [q of two tokens, 8 heads each] [k of one head, 8 tokens | v likewise]
//! core row            0: the first token's q   1: the second's   2: k   3: v           eight rows of 256 bytes in any case
//!
//! out ring unit       [8 columns][8 rows][16 bytes], drained row by row
//!   rows              four heads of a token: rows of 128 bytes, two a head
//!   key record        half a record, [d/8: 8][8 keys][16 bytes]: a key is a column
//!   value record      half a record, [d/4: 16][8 values][8 bytes]: columns hold pairs of values, even and odd tiles apart
//! ```

use crate::grid::OUT_UNIT_BYTES;
use crate::registers::shuffle;

/// Byte offsets of what the program loads.
pub(super) struct Offsets;

impl Offsets {
    /// Offset of the core's weights in the first unit of A.
    pub const WEIGHTS: u32 = 0;
    /// Offset of its first table in a unit of A.
    pub const TABLE: u32 = 4;
    /// 1 if its piece is in the first unit of B, offset of the piece, 1 if these are values. Where there are codes the last is 1 for q, 2 for v,
    /// 3 for k.
    pub const MINE: u32 = 8;
    /// [`Walk`] of a round of rows.
    pub const ROWS: u32 = 20;
    /// [`Walk`] of a round of a group.
    pub const RECORDS: u32 = Self::ROWS + 4 * Walk::WORDS as u32;
    /// From the [`Walk`] of a kind of round to its [`CodeWalk`], where there are codes.
    pub const CODES: u32 = 4 * Walk::WORDS as u32;
    /// [`Walk`] of a round of a group where there are codes.
    pub const RECORDS_KV8: u32 = Self::ROWS + 4 * (Walk::WORDS + CodeWalk::WORDS) as u32;
}

/// Bytes of a core's numbers.
pub const GEOMETRY_BYTES: u32 = Offsets::RECORDS + 4 * Walk::WORDS as u32;
/// The same where there are codes.
pub const GEOMETRY_KV8_BYTES: u32 = Offsets::RECORDS_KV8 + 4 * (Walk::WORDS + CodeWalk::WORDS) as u32;

/// Bytes of a table.
const TABLE: i32 = 1024;
/// Bytes of a row: one head of a token.
const HEAD: i32 = 256;
const UNIT: i32 = OUT_UNIT_BYTES as i32;
/// Bytes of a column of a unit.
const COLUMN: i32 = 128;

/// How eight rows go into two units: two halves of them, twice four, four pieces of 32 bytes each.
struct Walk {
    /// Offsets of a head's four pieces.
    pieces: [i32; 4],
    /// From one head to the next, from four to the next four, from the first half to the second; in the out ring.
    out: [i32; 3],
    /// From one head to the next and from four to the next four; among tables, or among values.
    input: [i32; 2],
    /// From a round's tables to the next one's; from the first of the values that are shuffled to the second.
    step: i32,
    modes: [[i64; 2]; 2],
}

impl Walk {
    const WORDS: usize = 12;

    /// Heads of tokens, row by row.
    fn rows(input: [i32; 2], step: i32) -> Self {
        let pieces = [0, COLUMN, 2 * COLUMN, 3 * COLUMN];
        Self { pieces, out: [32, UNIT, 4 * COLUMN], input, step, modes: [shuffle::T128_2X4, shuffle::T512_1X2] }
    }

    fn words(&self) -> [i32; Self::WORDS] {
        let ([p0, p1, p2, p3], [head, four, half], [input, input_four]) = (self.pieces, self.out, self.input);
        debug_assert_eq!(p1 - p0, p3 - p2, "one step serves both");
        let [[low, high], [second_low, second_high]] = self.modes.map(|pair| pair.map(|mode| mode as i32));
        [
            p1 - p0,
            p2 - p1,
            head - p3,
            four - 4 * head,
            input,
            input_four - 4 * input,
            half,
            self.step,
            low,
            high,
            second_low,
            second_high,
        ]
    }
}

/// The numbers of the cores of a row.
pub fn geometry(row: u8) -> Vec<u8> {
    let record_keys = Walk {
        pieces: [0, 32, UNIT, UNIT + 32],
        out: [COLUMN, 4 * COLUMN, 64],
        input: [TABLE, 4 * TABLE],
        step: 0,
        modes: [shuffle::T512_1X2; 2],
    };
    let record_values = Walk {
        pieces: [0, 32, 4 * COLUMN, 4 * COLUMN + 32],
        out: [COLUMN, UNIT, 64],
        input: [2 * HEAD, HEAD / 2],
        step: HEAD,
        modes: [shuffle::T64_2X8, shuffle::T128_4X2],
    };
    let queries = || Walk::rows([0, 0], 2 * TABLE);
    let (piece, walks) = match row {
        0 => ([0, 0, 1, 0, 0], [queries(), queries()]),
        1 => ([0, TABLE, 1, 8 * HEAD, 0], [queries(), queries()]),
        2 => ([2 * HEAD, 0, 0, 0, 0], [Walk::rows([0, TABLE], 2 * TABLE), record_keys]),
        _ => ([0, 0, 0, 8 * HEAD, 1], [Walk::rows([HEAD, 4 * HEAD], HEAD / 2), record_values]),
    };
    piece.into_iter().chain(walks.iter().flat_map(Walk::words)).flat_map(i32::to_le_bytes).collect()
}

/// How the codes of eight rows go into a unit: twice four rows, four times 32 codes of each, four pieces of 32 bytes.
///
/// Before the two shuffles the pieces are, with rows 0 to 3 and elements 0 to 31: `[rows 0, 1][0 .. 15]`, `[rows 2, 3][0 .. 15]`, the same of 16 .. 31.
struct CodeWalk {
    /// Offsets of the pieces: the second, the third; the fourth is as far from the third as the second from the first.
    pieces: [i32; 2],
    /// To the next 32 elements, to the next four rows.
    out: [i32; 2],
    modes: [[i64; 2]; 2],
}

impl CodeWalk {
    const WORDS: usize = 8;

    fn words(&self) -> [i32; Self::WORDS] {
        let ([second, third], [elements, rows]) = (self.pieces, self.out);
        let [[low, high], [second_low, second_high]] = self.modes.map(|pair| pair.map(|mode| mode as i32));
        let between = third - second;
        [second, between, elements - third - second, rows - 4 * elements, low, high, second_low, second_high]
    }

    /// Rows of 128 codes, each a row of the unit.
    const ROWS: Self = Self { pieces: [32, COLUMN], out: [2 * COLUMN, 64], modes: [shuffle::T512_1X2; 2] };
    /// `[d/8][8 keys][8]`: a piece is two keys of d and of d + 16.
    const KEYS: Self =
        Self { pieces: [4 * COLUMN, COLUMN], out: [32, 2 * COLUMN], modes: [shuffle::T64_8X2, shuffle::T128_4X2] };
    /// `[d/4][8 keys][4]`: a piece is four keys of d and of d + 16.
    const VALUES: Self = Self { pieces: [2 * COLUMN, 4 * COLUMN], out: [32, COLUMN], modes: [shuffle::T32_16X2; 2] };
}

/// The numbers of the cores of a row where there are codes: [`Walk`]s for q and k, [`CodeWalk`]s for k and v.
pub fn geometry_kv8(row: u8) -> Vec<u8> {
    // rows of 256 bytes turned where they are
    let in_place = |input, step| Walk {
        pieces: [0, 32, COLUMN, COLUMN + 32],
        out: [HEAD, 4 * HEAD, 64],
        input,
        step,
        modes: [shuffle::T512_1X2; 2],
    };
    let queries = || Walk::rows([0, 0], 2 * TABLE);
    let (piece, walks, records) = match row {
        0 => ([0, 0, 1, 0, 1], [queries(), queries()], CodeWalk::ROWS),
        1 => ([0, TABLE, 1, 8 * HEAD, 1], [queries(), queries()], CodeWalk::ROWS),
        2 => {
            ([2 * HEAD, 0, 0, 0, 3], [in_place([0, TABLE], 2 * TABLE), in_place([TABLE, 4 * TABLE], 0)], CodeWalk::KEYS)
        }
        _ => ([0, 0, 0, 8 * HEAD, 2], [in_place([0, 0], 0), in_place([0, 0], 0)], CodeWalk::VALUES),
    };
    let rounds = walks.iter().zip([CodeWalk::ROWS, records]);
    let words = rounds.flat_map(|(walk, codes)| walk.words().into_iter().chain(codes.words()));
    piece.into_iter().chain(words).flat_map(i32::to_le_bytes).collect()
}
