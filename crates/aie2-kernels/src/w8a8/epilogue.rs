//! Scales the sums of a pass, two row tiles of a column tile at a time, and sends the outputs as units of 8 tokens. The arithmetic: [`crate::scaling`].

use aie2_codegen::{Asm, Guards};

use super::l1::{L1, space};
use super::program::fixed;
use super::quantise::next_out_unit;
use crate::grid::Locks;
use crate::registers::{constant, shuffle};
use crate::scaling::{At, Scaling, TILES, Tile};

/// Columns of 8 outputs.
const COLUMNS: u32 = 8;
/// Declared initiation interval of the body.
const fn ii(limbs: u32) -> u32 {
    if limbs == 1 { 44 } else { 72 }
}

/// From the tiles of sums of one column to those of the second in its pair.
const SECOND_COLUMN_BYTES: i64 = 256;

/// Sizes of the epilogue.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// Where things are.
    pub l1: L1,
    /// Locks of the rings.
    pub locks: Locks,
}

impl Epilogue {
    /// Spreads the scales of a chunk of A (8 bytes of each limb per row) into `[m/2][hi, hi', lo, lo'] × 8`.
    pub fn unpack_token_scales(&self, a: &mut Asm) {
        let (from, to) = (a.p(), a.p());
        a.imm(from, i64::from(self.l1.a()));
        a.imm(to, i64::from(self.l1.token_scales()));
        // interleaving a vector of 64-bit elements with itself repeats each
        let [lo, hi] = shuffle::T64_2X8.map(|mode| constant(a, mode));
        // with two limbs only the rows of the first, the lower half of a register, hold scales
        let modes = if self.l1.limbs == 1 { &[lo, hi][..] } else { &[lo] };
        a.loop_n("token_scales", self.l1.m / 8, |a| {
            let (high, low) = (a.x(), a.x());
            a.vlda(space::A, high.lo(), from, 32);
            a.vlda(space::A, high.hi(), from, 96);
            a.vlda(space::A, low.lo(), from, 32);
            a.vlda(space::A, low.hi(), from, 512 - 160);
            for &mode in modes {
                let (h, l) = (a.x(), a.x());
                a.i("vshuffle {}, {}, {}, {}", &[h, high, high, mode]);
                a.i("vshuffle {}, {}, {}, {}", &[l, low, low, mode]);
                for half in [h.lo(), l.lo(), h.hi(), l.hi()] {
                    a.vst(space::TOKEN_SCALES, half, to, 32);
                }
            }
        });
    }

    /// Scales all accumulators and sends them as units of 8 tokens.
    pub fn emit(&self, a: &mut Asm) {
        let scaling = Scaling::new(a, self.l1.limbs, fixed::INT32_ADD.into());
        let (tokens, first_c) = (a.p(), a.p());
        a.imm(tokens, i64::from(self.l1.token_scales()));
        a.imm(first_c, i64::from(self.l1.c()));
        // To the second column of a pair, and from there to the first of the next pair, in turn. There are as many steps of one kind as of
        // the other, so each row pair starts with the former.
        let (next, both) = (a.r(), a.r());
        a.imm(next, SECOND_COLUMN_BYTES);
        a.imm(both, i64::from(self.l1.m / 8 * 512));
        a.loop_n("rows", self.l1.tokens() / 8, |a| {
            let (acc, clear, channels, out) = (a.p(), a.p(), a.p(), a.p());
            a.acq(Guards::Spaces(vec![space::OUT.space]), self.locks.out_empty, fixed::ACQUIRE_ONE.into());
            a.mov(out, fixed::OUT.into());
            a.mov(acc, first_c);
            a.mov(clear, first_c);
            a.mov(channels, fixed::B_POINTER.into());
            a.pipelined("scale", ii(self.l1.limbs), COLUMNS, |a| {
                for index in 0..TILES {
                    // of a row pair [H s = 0][L s = 0][H s = 1][L s = 1], or [s = 0][s = 1]
                    let sums = if self.l1.limbs == 1 { index } else { 4 * index };
                    let token = |half: u32| [128 * index + 64 * half, 128 * index + 64 * half + 32];
                    let row = |half: i64| i64::from(64 * index) + 32 * half;
                    let tile = Tile {
                        index,
                        sums: At { memory: space::C, pointer: acc, offsets: sums },
                        clear,
                        channels: At { memory: space::B, pointer: channels, offsets: 0 },
                        tokens: At { memory: space::TOKEN_SCALES, pointer: tokens, offsets: [token(0), token(1)] },
                        out: At { memory: space::OUT, pointer: out, offsets: [row(0), row(1)] },
                    };
                    scaling.emit(a, &tile);
                }
                let step = a.m();
                a.mov(step, next);
                a.i("sub {}, {}, {}", &[next, both, next]);
                a.i("padda [{}], {}", &[acc, step]);
                a.i("padda [{}], {}", &[clear, step]);
                a.i("padda [{}], #64", &[channels]);
                a.i("padda [{}], #128", &[out]);
            });
            a.rel(Guards::Spaces(vec![space::OUT.space]), self.locks.out_full, fixed::RELEASE_ONE.into());
            next_out_unit(a, self.l1);
            a.i("padda [{}], #256", &[tokens]);
            a.i("padda [{}], {}", &[first_c, i64::from(512 * self.l1.limbs).into()]);
        });
    }
}
