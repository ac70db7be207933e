//! y = bf16(float(acc) · s_tok · s_ch) of 4 × 64 sums, and the sums back to zero. The arithmetic is that of `oracle::w8a8::scale_output`, with the sums
//! of two limbs joined as in `oracle::w8a16::join_sums`:
//!
//! ```text
//! L    = c · 2^16 + d, c rounded to even            vsrs, vups, vsub
//! acc  = H + c · 2^8 + rne(d / 2^8)                 vups, vadd, vsrs, vups, vadd
//! acc  = h · 2^16 + l, h rounded to even            vsrs, vups, vsub
//! v    = ((1.5·2^39 + h·2^16) - (1.5·2^39 + 1.5·2^23)) + (1.5·2^23 + l)     magic numbers: integer addition makes the floats
//! v    = v₁ + v₂,  S = (t₁ + t₂) · s_ch = S₁ + S₂               limbs of bfloat16
//! y    = bf16((v₁S₁ + v₁S₂) + v₂S₁ + v₂S₂)
//! ```
//! A limb is taken off in two halves ([v₁, v₁] · [½, ½]): rounded up past a power of two, a whole one would cost the rest its last bit.

use aie2_codegen::{Asm, Operand};

use super::l1::{self, TOKEN_WORD_BYTES, space};
use super::multiply::{COLUMN_PAIRS, pair_bytes};
use super::program::Regs;
use crate::w8a8::program::fixed;

/// Declared initiation interval of two tiles of 4 × 8 outputs.
const fn ii(limbs: u32) -> u32 {
    if limbs == 1 { 46 } else { 74 }
}

/// bits of 1.5 · 2^23.
const LOW_MAGIC: i64 = 0x4B40_0000;
/// bits of 1.5 · 2^39.
const HIGH_MAGIC: i64 = 0x5340_0000;
/// bits of 1.5 · 2^39 + 1.5 · 2^23, exact in float32.
const BOTH_MAGIC: i64 = 0x5340_00C0;
/// ½ in bfloat16.
const HALF: i64 = 0x3F00;
/// Tiles of a column pair, each in a set of registers of its own.
const TILES: u32 = 2;
/// Bytes of 8 outputs of a unit's rows.
const OUT_COLUMN_BYTES: u32 = 128;
/// Bytes of a row of the channels' scales.
const CHANNEL_BYTES: u32 = 64;

/// Emits the scaling of all sums: scales at `channels`, outputs to `out`, the address of the result's rows in the first column of the unit.
pub fn emit(a: &mut Asm, limbs: u32, channels: Operand, out: Operand, regs: &Regs) {
    let c = Constants::new(a, limbs, regs);
    let (sums, clear, tokens) = (a.p(), a.p(), a.p());
    a.imm(sums, i64::from(l1::ACCUMULATORS.at()));
    a.imm(clear, i64::from(l1::ACCUMULATORS.at()));
    a.imm(tokens, i64::from(l1::TOKEN_WORDS.at() + TOKEN_WORD_BYTES));
    a.pipelined("scale", ii(limbs), COLUMN_PAIRS, |a| {
        for tile in 0..TILES {
            Tile { index: tile, limbs, sums, clear, tokens, channels, out }.emit(a, &c);
        }
        a.i("padda [{}], {}", &[sums, pair_bytes(limbs).into()]);
        a.i("padda [{}], {}", &[clear, pair_bytes(limbs).into()]);
        a.i("padda [{}], {}", &[channels, (TILES * CHANNEL_BYTES).into()]);
        a.i("padda [{}], {}", &[out, (TILES * OUT_COLUMN_BYTES).into()]);
    });
}

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

/// One tile of the loop's body.
struct Tile {
    index: u32,
    limbs: u32,
    sums: Operand,
    clear: Operand,
    tokens: Operand,
    channels: Operand,
    out: Operand,
}

impl Tile {
    fn emit(&self, a: &mut Asm, c: &Constants) {
        let int = c.int_add;
        let set = c.sets[self.index as usize];
        let Set { acc, high, s, channel, v: [v0, v1], scales } = set;
        self.take(a, c, 0, acc);
        if self.limbs > 1 {
            self.join(a, c, set);
        }
        let h = v0;
        a.i("vsrs.s16.s32 {}, {}, {}", &[h, acc, c.sixteen]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, c.sixteen]);
        let low = acc;
        a.i("vsub {}, {}, {}, {}", &[low, acc, high, int]);
        a.i("vadd {}, {}, {}, {}", &[low, low, c.low_magic, int]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, c.none]);
        a.i("vadd {}, {}, {}, {}", &[high, high, c.high_magic, int]);
        let at = CHANNEL_BYTES * self.index;
        a.mi(space::WEIGHTS, "vlda {}, [{}, {}]", &[channel.lo(), self.channels, at.into()]);
        a.mi(space::WEIGHTS, "vlda {}, [{}, {}]", &[channel.hi(), self.channels, (at + 32).into()]);
        for (half, v_limbs, s_limbs) in [(0u8, v0, scales[0]), (1, v1, scales[1])] {
            // S = S₁ + S₂
            let (token, s) = (s_limbs, s.bm(half));
            let at = 32 * u32::from(half);
            a.mi(space::TOKEN_WORDS, "vlda {}, [{}, {}]", &[token.lo(), self.tokens, at.into()]);
            a.mi(space::TOKEN_WORDS, "vlda {}, [{}, {}]", &[token.hi(), self.tokens, (at + TOKEN_WORD_BYTES).into()]);
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
            // the store's offset reaches from -128 to 96
            let at = i64::from(OUT_COLUMN_BYTES * self.index + 32 * u32::from(half)) - OUT_BIAS;
            a.mi(space::OUT, "vst.conv.bf16.fp32 {}, [{}, {}]", &[y, self.out, at.into()]);
        }
    }

    /// Loads the sums of a limb and leaves zeros in their place.
    fn take(&self, a: &mut Asm, c: &Constants, limb: u32, to: Operand) {
        let index = self.limbs * self.index + limb;
        let memory = space::SUMS.piece(index as u16);
        let at = |quarter: u8| i64::from(128 * index + 32 * u32::from(quarter));
        for quarter in 0..4u8 {
            a.mi(memory, "vlda {}, [{}, {}]", &[to.am(quarter), self.sums, at(quarter).into()]);
        }
        for quarter in 0..4u8 {
            a.mi(memory, "vst {}, [{}, {}]", &[c.zero, self.clear, at(quarter).into()]);
        }
    }

    /// `acc = H + rne(L / 2^8)`.
    fn join(&self, a: &mut Asm, c: &Constants, set: Set) {
        let int = c.int_add;
        let Set { acc, high: term, s: lower, v: [v0, v1], .. } = set;
        self.take(a, c, 1, lower);
        a.i("vsrs.s16.s32 {}, {}, {}", &[v0, lower, c.sixteen]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v0, c.sixteen]);
        a.i("vsub {}, {}, {}, {}", &[lower, lower, term, int]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v0, c.eight]);
        a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
        a.i("vsrs.s16.s32 {}, {}, {}", &[v1, lower, c.eight]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v1, c.none]);
        a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
    }
}

/// What `out` of [`emit`] lies behind the first row.
pub const OUT_BIAS: i64 = 128;

/// `x = [bf16(v), bf16(v)]`.
fn twice(a: &mut Asm, x: Operand, v: Operand) {
    a.i("vconv.bf16.fp32 {}, {}", &[x.lo(), v]);
    a.i("vmov {}, {}", &[x.hi(), x.lo()]);
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
    int_add: Operand,
    elementwise: Operand,
    float_add: Operand,
    sets: [Set; TILES as usize],
}

impl Constants {
    fn new(a: &mut Asm, limbs: u32, regs: &Regs) -> Self {
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
        let shift = |a: &mut Asm, bits: i64| {
            let s = a.s();
            a.imm(t, bits);
            a.mov(s, t);
            s
        };
        let (sixteen, none) = (shift(a, 16), shift(a, 0));
        let eight = if limbs == 1 { none } else { shift(a, 8) };
        let (elementwise, float_add) = (a.r(), a.r());
        a.imm(elementwise, i64::from(fixed::BF16_ELEMENTWISE));
        a.imm(float_add, i64::from(fixed::BF16_DENSE));
        let sets = [Set::new(a, 0), Set::new(a, 1)];
        let int_add = regs.int_add;
        Self {
            low_magic,
            high_magic,
            both_magic,
            half,
            zero,
            sixteen,
            eight,
            none,
            int_add,
            elementwise,
            float_add,
            sets,
        }
    }
}
