//! Buffer descriptors: register words to fields, and the word addresses they generate.
// SOURCE: AM025 DMA_BD registers (Xilinx/mlir-aie aie_registers_aie2.json); Xilinx/aie-rt dma/xaie_dma_aieml.c.

use super::ports::TileKind;

/// Number of BDs in a tile.
pub const fn count(kind: TileKind) -> u8 {
    match kind {
        TileKind::Shim | TileKind::Core => 16,
        TileKind::Mem => 48,
    }
}

/// Register words of a BD.
pub const fn words(kind: TileKind) -> usize {
    match kind {
        TileKind::Shim | TileKind::Mem => 8,
        TileKind::Core => 6,
    }
}

/// Index of the register word that holds the iteration counter.
pub const fn iteration_word(kind: TileKind) -> usize {
    match kind {
        TileKind::Shim | TileKind::Mem => 6,
        TileKind::Core => 4,
    }
}

/// Iteration counter field of that word.
pub const fn iteration_current(kind: TileKind, word: u32) -> u8 {
    match kind {
        TileKind::Shim => (word >> 26) as u8,
        TileKind::Mem => (word >> 23) as u8 & 0x3f,
        TileKind::Core => (word >> 19) as u8 & 0x3f,
    }
}

/// One address dimension. `wrap` 0 never wraps. `before` / `after` are zero-padding counts in units of this dimension.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Dim {
    /// Step in words.
    pub step: u64,
    /// Count before the next dimension advances; 0: never.
    pub wrap: u32,
    /// Zeros before.
    pub before: u32,
    /// Zeros after.
    pub after: u32,
}

/// Packet header inserted before the payload of an MM2S BD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Stream id.
    pub id: u8,
    /// Packet type.
    pub kind: u8,
    /// Out-of-order id.
    pub out_of_order: u8,
}

/// A decoded BD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bd {
    /// Valid bit.
    pub valid: bool,
    /// Words to move, padding included.
    pub length: u64,
    /// Byte address in the address space of the channel.
    pub base: u64,
    /// D0 (innermost) to D3.
    pub dims: [Dim; 4],
    /// Iteration step in words.
    pub iteration_step: u64,
    /// Number of iterations, 1..=64.
    pub iterations: u8,
    /// Next BD of the chain.
    pub next: Option<u8>,
    /// Packet header.
    pub packet: Option<Packet>,
    /// Compression enabled.
    pub compression: bool,
    /// TLAST not sent at the end of this BD.
    pub tlast_suppress: bool,
    /// Acquire (lock id, signed value).
    pub acquire: Option<(u8, i8)>,
    /// Release (lock id, signed value); `None` when the value is 0.
    pub release: Option<(u8, i8)>,
}

const fn field(word: u32, high: u32, low: u32) -> u32 {
    (word >> low) & (u32::MAX >> (31 - (high - low)))
}

const fn flag(word: u32, bit: u32) -> bool {
    word >> bit & 1 != 0
}

/// Sign-extends a 7-bit lock value.
const fn signed7(value: u32) -> i8 {
    ((value as u8) << 1) as i8 >> 1
}

const fn dim(step: u32, wrap: u32) -> Dim {
    Dim { step: step as u64 + 1, wrap, before: 0, after: 0 }
}

fn locks(enable: bool, acq: u32, acq_value: u32, rel: u32, rel_value: u32) -> (Option<(u8, i8)>, Option<(u8, i8)>) {
    let rel_value = signed7(rel_value);
    (enable.then(|| (acq as u8, signed7(acq_value))), (rel_value != 0).then_some((rel as u8, rel_value)))
}

/// Locks, chain and flags in the last word of core-tile and shim BDs.
fn tail(w: u32) -> (bool, Option<u8>, bool, Option<(u8, i8)>, Option<(u8, i8)>) {
    let (acquire, release) = locks(flag(w, 12), field(w, 3, 0), field(w, 11, 5), field(w, 16, 13), field(w, 24, 18));
    (flag(w, 25), flag(w, 26).then_some(field(w, 30, 27) as u8), flag(w, 31), acquire, release)
}

impl Bd {
    /// Decodes the register words of a BD of a tile of this kind.
    pub fn decode(kind: TileKind, w: &[u32; 8]) -> Self {
        match kind {
            TileKind::Core => {
                let (valid, next, tlast_suppress, acquire, release) = tail(w[5]);
                Self {
                    valid,
                    length: field(w[0], 13, 0).into(),
                    base: u64::from(field(w[0], 27, 14)) * 4,
                    dims: [
                        dim(field(w[2], 12, 0), field(w[3], 20, 13)),
                        dim(field(w[2], 25, 13), field(w[3], 28, 21)),
                        dim(field(w[3], 12, 0), 0),
                        Dim::default(),
                    ],
                    iteration_step: u64::from(field(w[4], 12, 0)) + 1,
                    iterations: field(w[4], 18, 13) as u8 + 1,
                    next,
                    packet: flag(w[1], 30).then_some(Packet {
                        id: field(w[1], 23, 19) as u8,
                        kind: field(w[1], 18, 16) as u8,
                        out_of_order: field(w[1], 29, 24) as u8,
                    }),
                    compression: flag(w[1], 31),
                    tlast_suppress,
                    acquire,
                    release,
                }
            }
            TileKind::Shim => {
                let (valid, next, tlast_suppress, acquire, release) = tail(w[7]);
                Self {
                    valid,
                    length: w[0].into(),
                    base: u64::from(w[1]) | u64::from(field(w[2], 15, 0)) << 32,
                    dims: [
                        dim(field(w[3], 19, 0), field(w[3], 29, 20)),
                        dim(field(w[4], 19, 0), field(w[4], 29, 20)),
                        dim(field(w[5], 19, 0), 0),
                        Dim::default(),
                    ],
                    iteration_step: u64::from(field(w[6], 19, 0)) + 1,
                    iterations: field(w[6], 25, 20) as u8 + 1,
                    next,
                    packet: flag(w[2], 30).then_some(Packet {
                        id: field(w[2], 23, 19) as u8,
                        kind: field(w[2], 18, 16) as u8,
                        out_of_order: field(w[2], 29, 24) as u8,
                    }),
                    compression: false,
                    tlast_suppress,
                    acquire,
                    release,
                }
            }
            TileKind::Mem => {
                let (acquire, release) = locks(
                    flag(w[7], 15),
                    field(w[7], 7, 0),
                    field(w[7], 14, 8),
                    field(w[7], 23, 16),
                    field(w[7], 30, 24),
                );
                let mut dims = [
                    dim(field(w[2], 16, 0), field(w[2], 26, 17)),
                    dim(field(w[3], 16, 0), field(w[3], 26, 17)),
                    dim(field(w[4], 16, 0), field(w[4], 26, 17)),
                    dim(field(w[5], 16, 0), 0),
                ];
                (dims[0].before, dims[0].after) = (field(w[1], 31, 26), field(w[5], 22, 17));
                (dims[1].before, dims[1].after) = (field(w[3], 31, 27), field(w[5], 27, 23));
                (dims[2].before, dims[2].after) = (field(w[4], 30, 27), field(w[5], 31, 28));
                Self {
                    valid: flag(w[7], 31),
                    length: field(w[0], 16, 0).into(),
                    base: u64::from(field(w[1], 18, 0)) * 4,
                    dims,
                    iteration_step: u64::from(field(w[6], 16, 0)) + 1,
                    iterations: field(w[6], 22, 17) as u8 + 1,
                    next: flag(w[1], 19).then_some(field(w[1], 25, 20) as u8),
                    packet: flag(w[0], 31).then_some(Packet {
                        id: field(w[0], 27, 23) as u8,
                        kind: field(w[0], 30, 28) as u8,
                        out_of_order: field(w[0], 22, 17) as u8,
                    }),
                    compression: flag(w[4], 31),
                    tlast_suppress: flag(w[2], 31),
                    acquire,
                    release,
                }
            }
        }
    }

    /// Whether any padding count is set.
    pub fn padded(&self) -> bool {
        self.dims.iter().any(|d| d.before != 0 || d.after != 0)
    }

    /// Words of the contiguous run at the base.
    pub fn first_run(&self) -> u64 {
        match self.dims[0] {
            Dim { step: 1, wrap: 0, .. } => self.length,
            Dim { step: 1, wrap, .. } => self.length.min(wrap.into()),
            _ => 1,
        }
    }

    /// A padding combination the hardware rules out.
    // SOURCE: Xilinx/aie-rt dma padding check: with wrap_k = 0, after_k and every higher before/after must be 0.
    pub fn padding_is_legal(&self) -> bool {
        self.dims.iter().enumerate().all(|(k, d)| {
            d.wrap != 0 || (d.after == 0 && self.dims[k + 1..].iter().all(|h| h.before == 0 && h.after == 0))
        })
    }
}

/// A run of words the DMA handles with one memory access: contiguous words inside one line, or padding zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Byte address of the first word; `None`: padding.
    pub addr: Option<u64>,
    /// Words, 1 to 4.
    pub words: u32,
}

/// Address generator of one BD execution. What every run looks at stands in front.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Walker {
    /// Byte address of the present position.
    at: u64,
    left: u64,
    /// Words to the end of the present row of D0; a row without end has more than any BD.
    row: u64,
    /// Bytes from one word to the next.
    step: u64,
    /// Words that may stand in one run: one where neighbours in the stream are none in memory.
    most: u32,
    padded: bool,
    count: [u32; 4],
    base: u64,
    length: u64,
    dims: [Dim; 4],
}

/// Words of a row.
const fn row(d0: &Dim) -> u64 {
    if d0.wrap == 0 { u64::MAX } else { d0.wrap as u64 }
}

impl Walker {
    /// Starts `bd` at iteration `iteration`.
    pub fn new(bd: &Bd, iteration: u8) -> Self {
        let base = bd.base + u64::from(iteration) * bd.iteration_step * 4;
        let d0 = &bd.dims[0];
        Self {
            at: base,
            left: bd.length,
            row: row(d0),
            step: d0.step * 4,
            most: if d0.step == 1 { 4 } else { 1 },
            padded: bd.padded(),
            count: [0; 4],
            base,
            length: bd.length,
            dims: bd.dims,
        }
    }

    /// Words still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Words handed out so far.
    pub fn done(&self) -> u64 {
        self.length - self.left
    }

    /// The next run without consuming it: at most to the end of the 16-byte line. `None` at the end.
    #[inline(always)]
    pub fn peek(&self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        if self.padded {
            return Some(self.peek_padded(self.left.min(4) as u32));
        }
        let in_line = 4 - (self.at >> 2 & 3);
        let words = self.left.min(self.row).min(in_line).min(self.most.into()) as u32;
        Some(Run { addr: Some(self.at), words })
    }

    fn extent(&self, k: usize) -> u32 {
        let d = &self.dims[k];
        d.before + d.wrap + d.after
    }

    #[cold]
    fn peek_padded(&self, most: u32) -> Run {
        let outside = |k: usize| {
            let d = &self.dims[k];
            self.count[k] < d.before || (d.wrap != 0 && self.count[k] >= d.before + d.wrap)
        };
        let row_left = if self.dims[0].wrap == 0 { u32::MAX } else { self.extent(0) - self.count[0] };
        if (1..3).any(outside) {
            return Run { addr: None, words: most.min(row_left) };
        }
        let d0 = &self.dims[0];
        let c0 = self.count[0];
        if c0 < d0.before {
            return Run { addr: None, words: most.min(d0.before - c0) };
        }
        if d0.wrap != 0 && c0 >= d0.before + d0.wrap {
            return Run { addr: None, words: most.min(row_left) };
        }
        let offset: u64 = self.dims.iter().zip(self.count).map(|(d, c)| u64::from(c - d.before.min(c)) * d.step).sum();
        let at = self.base + offset * 4;
        let in_line = 4 - (at >> 2 & 3) as u32;
        let in_row = if d0.step != 1 {
            1
        } else if d0.wrap == 0 {
            u32::MAX
        } else {
            d0.before + d0.wrap - c0
        };
        Run { addr: Some(at), words: most.min(in_line).min(in_row) }
    }

    /// Consumes `words` words of the run last peeked.
    #[inline(always)]
    pub fn advance(&mut self, words: u32) {
        self.left -= u64::from(words);
        if self.padded {
            return self.advance_padded(words);
        }
        self.at += u64::from(words) * self.step;
        self.row -= u64::from(words);
        if self.row == 0 {
            self.next_row();
        }
    }

    fn advance_padded(&mut self, words: u32) {
        self.count[0] += words;
        for k in 0..3 {
            if self.dims[k].wrap == 0 || self.count[k] < self.extent(k) {
                break;
            }
            self.count[k] = 0;
            self.count[k + 1] += 1;
        }
    }

    /// Goes on from the end of a row; only D0 with a wrap has one.
    fn next_row(&mut self) {
        self.row = row(&self.dims[0]);
        for k in 0..3 {
            let d = self.dims[k];
            if k > 0 && (d.wrap == 0 || self.count[k] < d.wrap) {
                break;
            }
            self.at = self.at - u64::from(d.wrap) * d.step * 4 + self.dims[k + 1].step * 4;
            self.count[k] = 0;
            self.count[k + 1] += 1;
        }
    }
}
