//! Random operations with physical registers, and random contents of registers and memory.

use aie2_isa::{Atom, File, Insn};
use aie2_sim::port::{CORE_MEM_BYTES, OWN_WINDOW};

use crate::machine::{GRANULE, Start};

/// SplitMix64: a program is named by its seed, nothing else.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// One operation per line. `$` and a letter is a register of a small file: `r` scalar, `e` comparison mask, `p` pointer, `s` shift amount,
/// `w` vector half, `x` vector, `a` `b` `c` accumulator quarter, half, whole; `$k` a word, `$n` a small number, `$i` `$f` configurations.
///
/// Fixed by convention: r8 and r9 configuration of integer and float multiplies, r10 shuffle mode, r11 shift in bytes, r13 and r14 configuration of float and integer additions, r15 a lock
/// value, d1 a two-dimensional walk, m0 a step.
const SCALAR: &[&str] = &[
    "add $r, $r, $r",
    "sub $r, $r, $r",
    "adc $r, $r, $r",
    "and $r, $r, $r",
    "xor $r, $r, $r",
    "add $r, $r, #$n",
    "add.nc $r, $r, #$n",
    "lt $r, $r, $r",
    "sel.eqz $r, $r, $r, r27",
    "mul $r, $r, $r",
    "mov $r, $r",
    "mov.d3 $r, $r",
    "mov.d6 $r, $r",
    "movxm $r, #$k",
    "mova $r, #$n",
    "mov r27, $r",
];
const POINTER: &[&str] = &[
    "padda [$p], #32",
    "paddb [$p], #-32",
    "padds [$p], #64",
    "padda [$p], m0",
    "padda.2d [$p], d1",
    "mov $p, $p",
    "mova m0, #-32",
    "mova m0, #64",
];
const LOAD: &[&str] = &[
    "lda $r, [$p], #32",
    "lda $r, [$p, #0]",
    "lda.s8 $r, [$p, #0]",
    "lda.u16 $r, [$p, #0]",
    "vlda $w, [$p], #32",
    "vlda $w, [$p, #32]",
    "vlda $w, [$p], m0",
    "vlda.2d $w, [$p], d1",
    "vldb $w, [$p], #32",
    "vldb $w, [$p, #-32]",
    "vlda.128 $w, [$p]",
    "vldb.128 $w, [$p], m0",
    "vlda $a, [$p], #32",
    "vlda.ups.s32.s8 $c, $s, [$p], #32",
    "vlda.ups.s32.d16 $b, $s, [$p], #32",
    "vlda.conv.fp32.bf16 $b, [$p], #32",
    "vldb.unpack.d16.d8 $x, [$p], m0",
];
const STORE: &[&str] = &[
    "st $r, [$p], #32",
    "st $r, [$p, #0]",
    "st.s8 $r, [$p, #0]",
    "st.s16 $r, [$p, #0]",
    "vst $w, [$p], #32",
    "vst $w, [$p, #-32]",
    "vst.128 $w, [$p], #32",
    "vst $a, [$p], #32",
    "vst.srs.s8.s32 $c, $s, [$p], #32",
    "vst.srs.d16.s32 $b, $s, [$p], #32",
    "vst.conv.bf16.fp32 $b, [$p], #32",
    "vst.pack.d8.d16 $x, [$p], #32",
];
const MOVE: &[&str] = &[
    "vmov $x, $x",
    "vmov $w, $w",
    "vmov $x, $b",
    "vmov $b, $x",
    "vmov $c, $c",
    "vbcst.32 $x, $r",
    "vbcst.8 $x, $r",
    "vextbcst.16 $x, $x, #3",
    "vshuffle $x, $x, $x, r10",
    "vshift $x, $x, $x, r11",
    "vadd.32 $x, $x, $x",
    "vsub.8 $x, $x, $x",
    "vmax_lt.s16 $x, $e, $x, $x",
    "vge.d32 $e, $x, $x",
    "vsel.32 $x, $x, $x, $e",
    "vbor $x, $x, $x",
    "vpush.lo.32 $x, $r, $x",
    "vextract.s32 $r, $x, r16",
    "vinsert.32 $x, $x, r29, $r",
    "mova r11, #$n",
    "mova r29, #$n",
];
const MULTIPLY: &[&str] = &[
    "vmac $c, $c, $x, $x, r8",
    "vmac $c, $c, $x, $x, r8",
    "vmsc $c, $c, $x, $x, r8",
    "vmul $c, $x, $x, r8",
    "vmac.f $b, $b, $x, $x, r9",
    "vmac.f $b, $b, $x, $x, r9",
    "vmul.f $b, $x, $x, r9",
    "vadd.f $b, $b, $b, r13",
    "vadd $c, $c, $c, r14",
    "vmov.d $c, $c",
    "vclr $c",
    "movxm r8, #$i",
    "movxm r9, #$f",
];
const CONVERT: &[&str] = &[
    "vups.s32.s8 $c, $w, $s",
    "vups.s32.d16 $b, $w, $s",
    "vsrs.s8.s32 $w, $c, $s",
    "vsrs.d16.s32 $w, $b, $s",
    "vsrsm.s16.s32 $w, $b, $s",
    "vconv.fp32.bf16 $b, $w",
    "vconv.bf16.fp32 $w, $b",
    "vpack.d8.d16 $w, $x",
    "vunpack.d16.d8 $x, $w",
    "vunpack.s16.s8 $x, $w",
];
const CONTROL: &[&str] = &[
    "mov $s, #$n",
    "mov $s, r12",
    "mov crSat, #1",
    "mov crSat, #0",
    "mov crSat, #3",
    "mov crRnd, #12",
    "mov crRnd, #0",
    "mov crRnd, #9",
    "mov crUPSSign, #1",
    "mov crUPSSign, #0",
    "mov crSRSSign, r12",
    "mov crPackSign, #1",
    "mov crUnpackSign, #1",
    "mov crUnpackSign, #0",
    "mov crVaddSign, #0",
];
const LOCK: &[&str] = &["acq #48, r15", "rel #49, r15"];

/// Families with their shares.
const FAMILIES: &[(&[&str], usize)] = &[
    (SCALAR, 5),
    (POINTER, 2),
    (LOAD, 6),
    (STORE, 5),
    (MOVE, 6),
    (MULTIPLY, 7),
    (CONVERT, 5),
    (CONTROL, 3),
    (LOCK, 1),
];

fn fill(rng: &mut Rng, template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let n = |rng: &mut Rng, k| rng.below(k);
        let piece = match rest.as_bytes()[at + 1] {
            b'r' => format!("r{}", n(rng, 5)),
            b'e' => format!("r{}", 16 + n(rng, 2)),
            b'p' => format!("p{}", n(rng, 4)),
            b's' => format!("s{}", n(rng, 2)),
            b'w' => format!("w{}{}", rng.pick(&["l", "h"]), n(rng, 4)),
            b'x' => format!("x{}", n(rng, 4)),
            b'a' => format!("am{}{}", rng.pick(&["ll", "lh", "hl", "hh"]), n(rng, 3)),
            b'b' => format!("bm{}{}", rng.pick(&["l", "h"]), n(rng, 3)),
            b'c' => format!("cm{}", n(rng, 3)),
            b'k' => format!("{}", (rng.next() >> 40) as u32),
            b'n' => format!("{}", n(rng, 16)),
            // int8 4x8x8, the same without accumulator, int16 x int8, int16, int16 into 64 bits.
            b'i' => format!("{}", rng.pick(&[0x308, 0x309, 0x310, 0x318, 0x33a])),
            // bf16 4x8x4, the same without accumulator.
            b'f' => format!("{}", rng.pick(&[28, 29])),
            other => unreachable!("{template}: {}", char::from(other)),
        };
        out.push_str(&piece);
        rest = &rest[at + 2..];
    }
    out + rest
}

/// One random instruction.
pub fn insn(rng: &mut Rng, locks: bool) -> Insn {
    let families = if locks { FAMILIES } else { &FAMILIES[..FAMILIES.len() - 1] };
    let total: usize = families.iter().map(|(_, share)| share).sum();
    let mut at = rng.below(total);
    let family = families.iter().find(|(_, share)| {
        let here = at < *share;
        at = at.saturating_sub(*share);
        here
    });
    let (list, _) = family.expect("below the total");
    let template = rng.pick(list);
    let text = fill(rng, template);
    Insn::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Whether the last value of a register is stored at the end of a program.
pub fn observed(atom: Atom) -> bool {
    let (file, index) = (atom.file(), usize::from(atom.index()));
    match file {
        File::R => index < 5,
        File::W => index < 8,
        File::Am => index < 12,
        _ => false,
    }
}

/// Stores of every register the operations write, so that no value is dead: [p5] walks through a bank of its own.
pub fn observers(ops: &[Insn]) -> Vec<Insn> {
    let written = |atom: &Atom| ops.iter().any(|i| i.timing().defs().iter().any(|d| d.reg.atoms().contains(atom)));
    let store = |atom: Atom| {
        let text = format!("{} {}, [p5], #32", if atom.file() == File::R { "st" } else { "vst" }, atom.reg().name());
        Insn::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    Atom::all().filter(|a| observed(*a)).filter(written).map(store).collect()
}

/// Registers that hold something.
pub fn live(atom: Atom) -> bool {
    !matches!(atom.file(), File::Ls | File::Le | File::Lc | File::Lr | File::CoreId | File::Cntr | File::Dp | File::Q)
}

/// Random contents; addresses are those of `seed` whatever the `data`.
pub fn start(seed: u64, data: u64) -> Start {
    let (mut places, mut rng) = (Rng(seed ^ 0xadd7), Rng(seed.wrapping_mul(3) ^ data << 32));
    let mut word = |rng: &mut Rng, reg: &str, file: File| -> u32 {
        match (file, reg) {
            // Two pointers per 16 KiB bank, near each other.
            (File::P, "p5") => OWN_WINDOW + 0xc000,
            (File::P, p) => {
                let bank = u32::from((p.as_bytes()[1] / 2) & 1);
                OWN_WINDOW + 0x4000 * bank + 0x1000 + GRANULE * places.below(4) as u32
            }
            (File::M, _) => 64,
            (File::Dn, _) => 2,
            (File::Dj, _) => 32,
            (File::Dc, _) => places.below(3) as u32,
            (File::Sp, _) => OWN_WINDOW,
            (File::S, _) => rng.below(12) as u32,
            (File::Cr, "crRnd") => rng.pick(&[0, 9, 12]),
            (File::Cr, "crSat") => rng.pick(&[0, 1, 3]),
            (File::Cr, _) => rng.below(2) as u32,
            (File::Sr, _) => rng.below(2) as u32,
            (_, "r8") => 0x308,
            (_, "r9") => 28,
            (_, "r10") => 2 + rng.below(20) as u32,
            (_, "r11" | "r29") => rng.below(64) as u32 & 31,
            (_, "r12" | "r27") => rng.below(2) as u32,
            (_, "r13") => 28,
            (_, "r14") => 0,
            (_, "r15") => 1,
            _ => rng.next() as u32,
        }
    };
    let mut bytes = |file: File, name: &str, rng: &mut Rng| -> Vec<u8> {
        match file {
            File::W | File::Am => (0..32).map(|_| rng.next() as u8).collect(),
            _ => word(rng, name, file).to_le_bytes().to_vec(),
        }
    };
    let registers: Vec<(Atom, Vec<u8>)> =
        Atom::all().filter(|a| live(*a)).map(|a| (a, bytes(a.file(), a.reg().name(), &mut rng))).collect();
    let memory = (0..CORE_MEM_BYTES).map(|_| rng.next() as u8).collect();
    Start { registers, memory }
}

#[test]
fn every_template_is_an_instruction() {
    let mut bad = Vec::new();
    for (list, _) in FAMILIES {
        for t in *list {
            for seed in 0..8 {
                let text = fill(&mut Rng(seed), t);
                if let Err(e) = Insn::parse(&text) {
                    bad.push(e.to_string());
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
