//! y = bf16(float(acc) · s_tok · s_ch), 4 × 8 outputs at a time, and the sums back to zero: what the projections of many and of few tokens share. Spec, bit
//! for bit: `oracle::w8a8::scale_output`, `oracle::w8a16::join_sums`.
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

use aie2_codegen::{Asm, MemRef, Operand};

use crate::registers::{config, pinned};

/// bits of 1.5 · 2^23.
const LOW_MAGIC: i64 = 0x4B40_0000;
/// bits of 1.5 · 2^39.
const HIGH_MAGIC: i64 = 0x5340_0000;
/// bits of 1.5 · 2^39 + 1.5 · 2^23, exact in float32.
const BOTH_MAGIC: i64 = 0x5340_00C0;
/// ½ in bfloat16.
const HALF: i64 = 0x3F00;
/// Bytes of a tile of sums.
const SUMS_BYTES: u32 = 128;

/// Tiles under way at once: as many as the accumulators hold, and as a body has.
pub(crate) const TILES: u32 = 2;

/// Memory, the register of an address in it, and bytes from there on.
#[derive(Clone, Copy)]
pub(crate) struct At<Offsets> {
    pub memory: MemRef,
    pub pointer: Operand,
    pub offsets: Offsets,
}

/// Where one tile of the body finds what it scales. A half is two rows of eight outputs.
pub(crate) struct Tile {
    /// Which of [`TILES`].
    pub index: u32,
    /// The first of its tiles of sums, counted from the pointer: one for each limb.
    pub sums: At<u32>,
    /// The same address in a register of its own, for the zeros.
    pub clear: Operand,
    /// Scales of its eight channels, repeated to 64 bytes.
    pub channels: At<u32>,
    /// Limbs of the scales of each half's tokens, 32 bytes each.
    pub tokens: At<[[u32; 2]; 2]>,
    /// Outputs of each half.
    pub out: At<[i64; 2]>,
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
        let cm = |a: &mut Asm, n: u32| pinned(a, Asm::cm, &format!("cm{}", 3 * index + n));
        let x = |a: &mut Asm, n: u32| pinned(a, Asm::x, &format!("x{}", 5 * index + n));
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

/// `x = [bf16(v), bf16(v)]`.
fn twice(a: &mut Asm, x: Operand, v: Operand) {
    a.i("vconv.bf16.fp32 {}, {}", &[x.lo(), v]);
    a.i("vmov {}, {}", &[x.hi(), x.lo()]);
}

/// What every tile needs in registers.
pub(crate) struct Scaling {
    limbs: u32,
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

impl Scaling {
    /// Loads the constants; `int_add` holds the configuration word of integer additions.
    pub(crate) fn new(a: &mut Asm, limbs: u32, int_add: Operand) -> Self {
        let t = a.r();
        let splat = |a: &mut Asm, bits: i64| {
            let x = a.x();
            a.imm(t, bits);
            a.i("vbcst.32 {}, {}", &[x, t]);
            x
        };
        // long-lived values at one end of the file, tiles under way at the other
        let accumulator = |a: &mut Asm, bits: i64, name: &str| {
            let (x, cm) = (splat(a, bits), pinned(a, Asm::cm, name));
            a.i("vmov {}, {}", &[cm.bm(0), x]);
            a.i("vmov {}, {}", &[cm.bm(1), x]);
            cm
        };
        let (low_magic, high_magic) = (accumulator(a, LOW_MAGIC, "cm8"), accumulator(a, HIGH_MAGIC, "cm7"));
        let both_magic = pinned(a, Asm::bm, "bmh6");
        let x = splat(a, BOTH_MAGIC);
        a.i("vmov {}, {}", &[both_magic, x]);
        let half = pinned(a, Asm::x, "x10");
        a.imm(t, HALF);
        a.i("vbcst.16 {}, {}", &[half, t]);
        let zero = pinned(a, Asm::x, "x11");
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
        a.imm(elementwise, config::BF16_ELEMENTWISE);
        a.imm(float_add, config::FLOAT_ADD);
        let sets = [Set::new(a, 0), Set::new(a, 1)];
        Self {
            limbs,
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

    /// Emits one tile.
    pub(crate) fn emit(&self, a: &mut Asm, tile: &Tile) {
        let int = self.int_add;
        let set = self.sets[tile.index as usize];
        let Set { acc, high, s, channel, v: [v0, v1], scales } = set;
        self.take(a, tile, 0, acc);
        if self.limbs > 1 {
            self.join(a, tile, set);
        }
        let h = v0;
        a.i("vsrs.s16.s32 {}, {}, {}", &[h, acc, self.sixteen]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, self.sixteen]);
        let low = acc;
        a.i("vsub {}, {}, {}, {}", &[low, acc, high, int]);
        a.i("vadd {}, {}, {}, {}", &[low, low, self.low_magic, int]);
        a.i("vups.s32.s16 {}, {}, {}", &[high, h, self.none]);
        a.i("vadd {}, {}, {}, {}", &[high, high, self.high_magic, int]);
        let At { memory, pointer, offsets: at } = tile.channels;
        a.mi(memory, "vlda {}, [{}, {}]", &[channel.lo(), pointer, at.into()]);
        a.mi(memory, "vlda {}, [{}, {}]", &[channel.hi(), pointer, (at + 32).into()]);
        for (half, v_limbs, s_limbs) in [(0u8, v0, scales[0]), (1, v1, scales[1])] {
            // S = S₁ + S₂
            let (token, s) = (s_limbs, s.bm(half));
            let At { memory, pointer, offsets } = tile.tokens;
            let [first, second] = offsets[usize::from(half)];
            a.mi(memory, "vlda {}, [{}, {}]", &[token.lo(), pointer, first.into()]);
            a.mi(memory, "vlda {}, [{}, {}]", &[token.hi(), pointer, second.into()]);
            a.i("vmul.f {}, {}, {}, {}", &[s, token, channel, self.elementwise]);
            twice(a, s_limbs, s);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[s, s, s_limbs, self.half, self.elementwise]);
            a.i("vconv.bf16.fp32 {}, {}", &[s_limbs.hi(), s]);
            // v = v₁ + v₂
            let (v, rest) = (high.bm(half), low.bm(half));
            a.i("vsub.f {}, {}, {}, {}", &[v, v, self.both_magic, self.float_add]);
            a.i("vadd.f {}, {}, {}, {}", &[v, v, low.bm(half), self.float_add]);
            twice(a, v_limbs, v);
            a.i("vmsc.f {}, {}, {}, {}, {}", &[rest, v, v_limbs, self.half, self.elementwise]);
            // y = [v₁, v₁] · [S₁, S₂] + [v₂, v₂] · [S₁, S₂]
            let y = s;
            a.i("vmul.f {}, {}, {}, {}", &[y, v_limbs, s_limbs, self.elementwise]);
            twice(a, v_limbs, rest);
            a.i("vmac.f {}, {}, {}, {}, {}", &[y, y, v_limbs, s_limbs, self.elementwise]);
            let At { memory, pointer, offsets } = tile.out;
            a.mi(memory, "vst.conv.bf16.fp32 {}, [{}, {}]", &[y, pointer, offsets[usize::from(half)].into()]);
        }
    }

    /// Loads the sums of a limb and leaves zeros in their place.
    fn take(&self, a: &mut Asm, tile: &Tile, limb: u32, to: Operand) {
        let index = tile.sums.offsets + limb;
        let memory = tile.sums.memory.piece(index as u16);
        let at = |quarter: u8| i64::from(SUMS_BYTES * index + 32 * u32::from(quarter));
        for quarter in 0..4u8 {
            a.mi(memory, "vlda {}, [{}, {}]", &[to.am(quarter), tile.sums.pointer, at(quarter).into()]);
        }
        for quarter in 0..4u8 {
            a.mi(memory, "vst {}, [{}, {}]", &[self.zero, tile.clear, at(quarter).into()]);
        }
    }

    /// `acc = H + rne(L / 2^8)`.
    fn join(&self, a: &mut Asm, tile: &Tile, set: Set) {
        let int = self.int_add;
        let Set { acc, high: term, s: lower, v: [v0, v1], .. } = set;
        self.take(a, tile, 1, lower);
        a.i("vsrs.s16.s32 {}, {}, {}", &[v0, lower, self.sixteen]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v0, self.sixteen]);
        a.i("vsub {}, {}, {}, {}", &[lower, lower, term, int]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v0, self.eight]);
        a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
        a.i("vsrs.s16.s32 {}, {}, {}", &[v1, lower, self.eight]);
        a.i("vups.s32.s16 {}, {}, {}", &[term, v1, self.none]);
        a.i("vadd {}, {}, {}, {}", &[acc, acc, term, int]);
    }
}
