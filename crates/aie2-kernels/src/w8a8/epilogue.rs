//! y = bf16(float(acc) · s_tok · s_ch), 4 × 8 outputs at a time, and accumulators back to zero.
//!
//! ```text
//! acc  = h · 2^16 + l, h rounded to even                        vsrs, vups, vsub
//! v    = ((1.5·2^39 + h·2^16) - (1.5·2^39 + 1.5·2^23)) + (1.5·2^23 + l)     magic numbers: integer addition makes the floats
//! v    = v₁ + v₂,  S = (t₁ + t₂) · s_ch = S₁ + S₂               limbs of bfloat16
//! y    = bf16((v₁S₁ + v₁S₂) + v₂S₁ + v₂S₂)
//! ```
//! Of two limbs of codes there are two sums, and acc = H + L / 256, rounded to even, in integers:
//!
//! ```text
//! L    = c · 2^16 + d, c rounded to even            vsrs, vups, vsub
//! acc  = H + c · 2^8 + rne(d / 2^8)                 vups, vadd, vsrs, vups, vadd
//! ```
//! A limb is taken off in two halves ([v₁, v₁] · [½, ½]): rounded up past a power of two, a whole one would cost the rest its last bit.

use aie2_codegen::{Asm, Guards, Operand};

use super::l1::{L1, space};
use super::program::{Locks, fixed};
use super::quantise::next_out_unit;

/// Tiles of 4 × 8 outputs in the loop's body: two row tiles of a column tile.
const TILES: u32 = 2;
/// Columns of 8 outputs.
const COLUMNS: u32 = 8;
/// Declared initiation interval of the body.
const fn ii(limbs: u32) -> u32 {
    if limbs == 1 { 44 } else { 72 }
}
/// Declared initiation interval of the loop that spreads the token scales, 8 rows of A a step.
const fn token_scales_ii(limbs: u32) -> u32 {
    8 / limbs
}

/// From the tiles of sums of one column to those of the second in its pair.
const SECOND_COLUMN_BYTES: i64 = 256;

/// bits of 1.5 · 2^23.
const LOW_MAGIC: i64 = 0x4B40_0000;
/// bits of 1.5 · 2^39.
const HIGH_MAGIC: i64 = 0x5340_0000;
/// bits of 1.5 · 2^39 + 1.5 · 2^23, exact in float32.
const BOTH_MAGIC: i64 = 0x5340_00C0;
/// ½ in bfloat16.
const HALF: i64 = 0x3F00;

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
        let (from, to, lo, hi) = (a.p(), a.p(), a.r(), a.r());
        a.imm(from, i64::from(self.l1.a()));
        a.imm(to, i64::from(self.l1.token_scales()));
        // interleaving a vector of 64-bit elements with itself repeats each: T64_2x8
        a.imm(lo, 14);
        a.imm(hi, 15);
        // with two limbs only the rows of the first, the lower half of a register, hold scales
        let modes = if self.l1.limbs == 1 { &[lo, hi][..] } else { &[lo] };
        a.pipelined("token_scales", token_scales_ii(self.l1.limbs), self.l1.m / 8, |a| {
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
        let c = Constants::new(a, self.l1.limbs);
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
                for r in 0..TILES {
                    self.tile(a, &c, Tile { r, acc, clear, tokens, channels, out });
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

    fn tile(&self, a: &mut Asm, c: &Constants, t: Tile) {
        let int = Operand::from(fixed::INT32_ADD);
        let set = c.sets[t.r as usize];
        let Set { acc, high, s, channel, v: [v0, v1], scales } = set;
        if self.l1.limbs == 1 {
            take(a, c, &t, t.r, acc);
        } else {
            take_two(a, c, &t, set);
        }
        let h = v0;
        a.i("vsrs.s16.s32 {}, {}, {}", &[h, acc, c.sixteen]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, c.sixteen]);
        let low = acc;
        a.i("vsub {}, {}, {}, {}", &[low, acc, high, int]);
        a.i("vadd {}, {}, {}, {}", &[low, low, c.low_magic, int]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, c.none]);
        a.i("vadd {}, {}, {}, {}", &[high, high, c.high_magic, int]);
        a.mi(space::B, "vlda {}, [{}, {}]", &[channel.lo(), t.channels, 0.into()]);
        a.mi(space::B, "vlda {}, [{}, {}]", &[channel.hi(), t.channels, 32.into()]);
        for (half, v_limbs, s_limbs) in [(0u8, v0, scales[0]), (1, v1, scales[1])] {
            // S = S₁ + S₂
            let (token, s) = (s_limbs, s.bm(half));
            let at = 128 * t.r + 64 * u32::from(half);
            a.mi(space::TOKEN_SCALES, "vlda {}, [{}, {}]", &[token.lo(), t.tokens, at.into()]);
            a.mi(space::TOKEN_SCALES, "vlda {}, [{}, {}]", &[token.hi(), t.tokens, (at + 32).into()]);
            a.i("vmul.f {}, {}, {}, {}", &[s, token, channel, c.elementwise]);
            twice(a, s_limbs, s);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[s, s, s_limbs, c.half, c.elementwise]);
            a.i("vconv.bf16.fp32 {}, {}", &[s_limbs.hi(), s]);
            // v = v₁ + v₂
            let (v, rest) = (high.bm(half), low.bm(half));
            a.i("vsub.f {}, {}, {}, {}", &[v, v, c.both_magic, c.float_add]);
            a.i("vadd.f {}, {}, {}, {}", &[v, v, low.bm(half), c.float_add]);
            twice(a, v_limbs, v);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, v, v_limbs, c.half, c.elementwise]);
            // y = [v₁, v₁] · [S₁, S₂] + [v₂, v₂] · [S₁, S₂]
            let y = s;
            a.i("vmul.f {}, {}, {}, {}", &[y, v_limbs, s_limbs, c.elementwise]);
            twice(a, v_limbs, rest);
            a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, v_limbs, s_limbs, c.elementwise]);
            let at = i64::from(64 * t.r + 32 * u32::from(half));
            a.mi(space::OUT, "vst.conv.bf16.fp32 {}, [{}, {}]", &[y, t.out, at.into()]);
        }
    }
}

/// Loads a tile of sums and leaves zeros in its place.
fn take(a: &mut Asm, c: &Constants, t: &Tile, tile: u32, to: Operand) {
    let memory = space::C.piece(tile as u16);
    for quarter in 0..4u8 {
        let at = i64::from(128 * tile + 32 * u32::from(quarter));
        a.mi(memory, "vlda {}, [{}, {}]", &[to.am(quarter), t.acc, at.into()]);
    }
    for quarter in 0..4i64 {
        let at = i64::from(128 * tile) + 32 * quarter;
        a.mi(memory, "vst {}, [{}, {}]", &[c.zero, t.clear, at.into()]);
    }
}

/// `acc = H + rne(L / 2^8)`: of a row pair `[H s = 0][L s = 0][H s = 1][L s = 1]`.
fn take_two(a: &mut Asm, c: &Constants, t: &Tile, set: Set) {
    let int = Operand::from(fixed::INT32_ADD);
    let Set { acc, high: term, s: lower, v: [v0, v1], .. } = set;
    let first = 4 * t.r;
    take(a, c, t, first, acc);
    take(a, c, t, first + 1, lower);
    a.i("vsrs.s16.s32 {}, {}, {}", &[v0, lower, c.sixteen]);
    a.i("vups.s32.s16 {}, {}, {}", &[term, v0, c.sixteen]);
    a.i("vsub {}, {}, {}, {}", &[lower, lower, term, int]);
    a.i("vups.s32.s16 {}, {}, {}", &[term, v0, c.eight]);
    a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
    a.i("vsrs.s16.s32 {}, {}, {}", &[v1, lower, c.eight]);
    a.i("vups.s32.s16 {}, {}, {}", &[term, v1, c.none]);
    a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
}

/// `x = [bf16(v), bf16(v)]`.
fn twice(a: &mut Asm, x: Operand, v: Operand) {
    a.i("vconv.bf16.fp32 {}, {}", &[x.lo(), v]);
    a.i("vmov {}, {}", &[x.hi(), x.lo()]);
}

/// Tiles under way at once: as many as the accumulators hold, and as a body has.
const SETS: u32 = TILES;

/// Registers of one tile under way.
#[derive(Clone, Copy)]
struct Set {
    acc: Operand,
    high: Operand,
    s: Operand,
    channel: Operand,
    v: [Operand; 2],
    scales: [Operand; 2],
}

impl Set {
    fn new(a: &mut Asm, index: u32) -> Self {
        let cm = |a: &mut Asm, n: u32| pin(a, Asm::cm, &format!("cm{}", 3 * index + n));
        let x = |a: &mut Asm, n: u32| pin(a, Asm::x, &format!("x{}", 5 * index + n));
        Self {
            acc: cm(a, 0),
            high: cm(a, 1),
            s: cm(a, 2),
            channel: x(a, 0),
            v: [x(a, 1), x(a, 2)],
            scales: [x(a, 3), x(a, 4)],
        }
    }
}

/// A new register in a fixed place.
fn pin(a: &mut Asm, new: fn(&mut Asm) -> Operand, name: &str) -> Operand {
    let v = new(a);
    if let Operand::Physical(reg) = Operand::reg(name) {
        a.pin(v, reg);
    }
    v
}

/// Registers of one tile in the loop's body.
struct Tile {
    r: u32,
    acc: Operand,
    clear: Operand,
    tokens: Operand,
    channels: Operand,
    out: Operand,
}

struct Constants {
    low_magic: Operand,
    high_magic: Operand,
    both_magic: Operand,
    half: Operand,
    zero: Operand,
    sixteen: Operand,
    eight: Operand,
    none: Operand,
    elementwise: Operand,
    float_add: Operand,
    sets: [Set; SETS as usize],
}

impl Constants {
    fn new(a: &mut Asm, limbs: u32) -> Self {
        let t = a.r();
        let splat = |a: &mut Asm, bits: i64| {
            let x = a.x();
            a.imm(t, bits);
            a.i("vbcst.32 {}, {}", &[x, t]);
            x
        };
        // long-lived values at one end of the file, tiles under way at the other
        let accumulator = |a: &mut Asm, bits: i64, name: &str| {
            let (x, cm) = (splat(a, bits), pin(a, Asm::cm, name));
            a.i("vmov {}, {}", &[cm.bm(0), x]);
            a.i("vmov {}, {}", &[cm.bm(1), x]);
            cm
        };
        let (low_magic, high_magic) = (accumulator(a, LOW_MAGIC, "cm8"), accumulator(a, HIGH_MAGIC, "cm7"));
        let both_magic = pin(a, Asm::bm, "bmh6");
        let x = splat(a, BOTH_MAGIC);
        a.i("vmov {}, {}", &[both_magic, x]);
        let half = pin(a, Asm::x, "x10");
        a.imm(t, HALF);
        a.i("vbcst.16 {}, {}", &[half, t]);
        let zero = pin(a, Asm::x, "x11");
        a.imm(t, 0);
        a.i("vbcst.32 {}, {}", &[zero, t]);
        let zero = zero.lo();
        let (sixteen, none) = (a.s(), a.s());
        a.imm(t, 16);
        a.mov(sixteen, t);
        a.imm(t, 0);
        a.mov(none, t);
        let eight = if limbs == 1 {
            none
        } else {
            let eight = a.s();
            a.imm(t, 8);
            a.mov(eight, t);
            eight
        };
        let (elementwise, float_add) = (a.r(), a.r());
        a.imm(elementwise, i64::from(fixed::BF16_ELEMENTWISE));
        a.imm(float_add, i64::from(fixed::BF16_DENSE));
        let sets = [Set::new(a, 0), Set::new(a, 1)];
        Self { low_magic, high_magic, both_magic, half, zero, sixteen, eight, none, elementwise, float_add, sets }
    }
}
