//! Lowering of the register-to-register vector instructions.

use super::lower::{Source, lane_type, widths};
use super::op::{Op, SSrc, Sign};
use super::sem::acc::AccSigns;
use super::sem::lanes::Elementwise;
use super::sem::mac::Signs;
use super::units;

/// Vector instruction by its mnemonic parts; `None` if it has no documented meaning.
pub(super) fn vector(s: &Source<'_>, parts: &[&str]) -> Option<Op> {
    let name = s.insn.row().name;
    match *parts {
        ["vmov"] => Some(Op::VMove { dst: s.vdst("dst")?, src: s.vsrc("src")? }),
        ["vmov", "d"] => Some(Op::VMoveD { dst: s.vdst("cdst")?, src: s.vsrc("csrc")? }),
        ["vclr"] => Some(Op::Clear { dst: s.vdst("dst")? }),
        ["vups", acc, vec] => {
            let src = s.vsrc("src")?;
            let (w, sign) = widths(acc, vec, units::CR_UPS_SIGN, src.n)?;
            Some(Op::Ups { dst: s.vdst("dst")?, src, w, sign, s: s.unit("shft")? })
        }
        ["vsrs" | "vsrsm", vec, acc] => {
            let dst = s.vdst("dst")?;
            let (w, sign) = widths(acc, vec, units::CR_SRS_SIGN, dst.n)?;
            Some(Op::Srs { dst, src: s.vsrc("src")?, w, sign, s: s.unit("shft")? })
        }
        ["vconv", "fp32", "bf16"] => Some(Op::ToF32 { dst: s.vdst("dst")?, src: s.vsrc("src")? }),
        ["vconv", "bf16", "fp32"] => Some(Op::ToBf16 { dst: s.vdst("dst")?, src: s.vsrc("src")? }),
        ["vfloor", "s32", "bf16"] => Some(Op::Floor { dst: s.vdst("dst")?, src: s.vsrc("src")?, s: s.unit("shft")? }),
        ["vpack", to, from] => {
            let (bits, _) = lane_type(from, units::CR_PACK_SIGN)?;
            let (_, sign) = lane_type(to, units::CR_PACK_SIGN)?;
            Some(Op::Pack { dst: s.vdst("dst")?, src: s.vsrc("src")?, bits, sign })
        }
        ["vunpack", _, from] => {
            let (bits, sign) = lane_type(from, units::CR_UNPACK_SIGN)?;
            Some(Op::Unpack { dst: s.vdst("dst")?, src: s.vsrc("src")?, bits, sign })
        }
        ["vband"] => Some(Op::And { dst: s.vdst("d")?, s1: s.vsrc("s1")?, s2: s.vsrc("s2")? }),
        ["vbor"] => Some(Op::Or { dst: s.vdst("d")?, s1: s.vsrc("s1")?, s2: s.vsrc("s2")? }),
        ["vshuffle"] => {
            Some(Op::Shuffle { dst: s.vdst("dst")?, s1: s.vsrc("s1")?, s2: s.vsrc("s2")?, mode: s.unit("mod")? })
        }
        ["vbcstshfl", bits] => Some(Op::BroadcastShuffle {
            dst: s.vdst("dst")?,
            bits: bits.parse().ok()?,
            src: s.ssrc("s0")?,
            mode: s.unit("idx")?,
        }),
        ["vshift"] => Some(Op::Shift { dst: s.vdst("d")?, s1: s.vsrc("s1")?, s2: s.vsrc("s2")?, by: s.unit("shift")? }),
        ["vshift", "align"] => Some(Op::ShiftAlign {
            dst: s.vdst("d")?,
            s1: s.vsrc("s1")?,
            s2: s.vsrc("s2")?,
            pre: s.unit("pre")?,
            by: s.unit("shift")?,
        }),
        ["vbcst", bits] => Some(Op::Broadcast { dst: s.vdst("dst")?, bits: bits.parse().ok()?, src: s.ssrc("s0")? }),
        ["vextbcst", bits] => Some(Op::ExtractBroadcast {
            dst: s.vdst("dst")?,
            bits: bits.parse().ok()?,
            src: s.vsrc("src")?,
            index: s.ssrc("idx")?,
        }),
        ["vextract", lane] => {
            let (bits, sign) = lane_type(lane, units::CR_VADD_SIGN)?;
            Some(Op::Extract { d: s.sdst("dst")?, bits, sign, src: s.vsrc("s1")?, index: s.unit("idx")? })
        }
        ["vinsert", bits] => Some(Op::Insert {
            dst: s.vdst("dst")?,
            bits: bits.parse().ok()?,
            src: s.vsrc("s1")?,
            index: s.unit("idx")?,
            value: s.ssrc("s0")?,
        }),
        ["vpush", "lo", bits] => {
            Some(Op::PushLow { dst: s.vdst("d")?, bits: bits.parse().ok()?, src: s.vsrc("s2")?, value: s.ssrc("s1")? })
        }
        ["vpush", "hi", bits] => {
            Some(Op::PushHigh { dst: s.vdst("d")?, bits: bits.parse().ok()?, src: s.vsrc("s1")?, value: s.ssrc("s2")? })
        }
        ["vneg_gtz8"] => elementwise(s, Elementwise::NegGtz, "8"),
        ["vneg_gtz16"] => elementwise(s, Elementwise::NegGtz, "16"),
        ["vneg_gtz32"] => elementwise(s, Elementwise::NegGtz, "32"),
        [stem, lane] if name.starts_with('V') && s.insn.slot() == aie2_isa::Slot::Mv => {
            elementwise(s, elementwise_of(stem)?, lane)
        }
        // The sparse forms need mask registers whose meaning is not documented.
        _ if name.contains("sparse") => None,
        ["vmul" | "vnegmul" | "vmac" | "vmsc" | "vaddmac" | "vaddmsc" | "vsubmac" | "vsubmsc", ..] => mac(s, parts),
        // Only the integer forms were recorded.
        ["vnegmac" | "vnegmsc"] => mac(s, parts),
        ["vadd" | "vsub" | "vnegadd" | "vnegsub" | "vneg", ..] => acc_add(s, parts),
        _ => None,
    }
}

fn elementwise_of(stem: &str) -> Option<Elementwise> {
    Some(match stem {
        "vadd" => Elementwise::Add,
        "vsub" => Elementwise::Sub,
        "vaddsub" => Elementwise::AddSub,
        "vsub_lt" => Elementwise::SubLt,
        "vsub_ge" => Elementwise::SubGe,
        "vmax_lt" => Elementwise::MaxLt,
        "vmin_ge" => Elementwise::MinGe,
        "vmaxdiff_lt" => Elementwise::MaxDiffLt,
        "vbneg_ltz" => Elementwise::BnegLtz,
        "vabs_gtz" => Elementwise::AbsGtz,
        "vlt" => Elementwise::Lt,
        "vge" => Elementwise::Ge,
        "veqz" => Elementwise::Eqz,
        "vsel" => Elementwise::Sel,
        _ => return None,
    })
}

fn elementwise(s: &Source<'_>, f: Elementwise, lane: &str) -> Option<Op> {
    let (dst, mask) = (s.vdst("d"), s.sdst("cmp"));
    let s2 = s.vsrc("s2").or_else(|| s.vsrc("s1"))?;
    let s1 = s.vsrc("s1").unwrap_or(s2);
    if lane == "bf16" {
        return Some(Op::ElementwiseBf16 { f, dst, mask, s1, s2 });
    }
    let (bits, sign) = lane_type(lane, units::CR_VADD_SIGN)?;
    let select = s.ssrc("sel").filter(|x| !matches!(x, SSrc::Imm(_)));
    // The plain forms (`vadd.16`) do not depend on a sign.
    Some(Op::Elementwise {
        f,
        bits,
        sign: if lane.starts_with('d') { sign } else { Sign::Signed },
        dst,
        mask,
        s1,
        s2,
        select,
    })
}

// SOURCE: Xilinx/llvm-aie aiev2_vmult.h: MAC = acc + P, MSC = acc - P, ADDMAC = (acc1 + acc2) + P,
// SUBMAC = (acc1 - acc2) + P.
// MEASURED: FIM43-Redeye/xdna-emu, silicon recordings of isa_points_random_config, VNEGMAC and VNEGMSC (34 points):
// NEGMAC = -acc - P, NEGMSC = -acc + P. Under one configuration word and with the same operands they agree with VMAC, VMSC,
// VSUBMAC and others on P (words 0x08459f1f, 0xd3daae36, 0x6223231e, 0x4154ba9a, 0x667d970d, 0x1b373109).
fn mac(s: &Source<'_>, parts: &[&str]) -> Option<Op> {
    let (acc1, acc2, product) = match parts[0] {
        "vmul" | "vmac" | "vaddmac" => (false, false, false),
        "vnegmul" | "vmsc" | "vaddmsc" => (false, false, true),
        "vsubmac" => (false, true, false),
        "vsubmsc" => (false, true, true),
        "vnegmsc" => (true, false, false),
        _ => (true, false, true),
    };
    let signs = Signs { acc1, acc2, product, ..Signs::PLUS };
    let (dst, acc1, acc2_src) = (s.vdst("dst")?, s.vsrc("acc1"), s.vsrc("acc2"));
    let (s1, s2, c) = (s.vsrc("s1")?, s.vsrc("s2")?, s.unit("c")?);
    Some(match parts.get(1) {
        None => Op::Mac { dst, acc1, acc2: acc2_src, s1, s2, c, signs },
        Some(_) => Op::MacF { dst, acc1, acc2: acc2_src, s1, s2, c, signs },
    })
}

fn acc_add(s: &Source<'_>, parts: &[&str]) -> Option<Op> {
    let signs = match parts[0] {
        "vadd" => AccSigns { acc1: false, acc2: false },
        "vsub" => AccSigns { acc1: false, acc2: true },
        "vnegsub" => AccSigns { acc1: true, acc2: false },
        "vnegadd" => AccSigns { acc1: true, acc2: true },
        _ => AccSigns { acc1: true, acc2: false },
    };
    let (dst, acc1, acc2, c) = (s.vdst("dst")?, s.vsrc("acc1")?, s.vsrc("acc2"), s.unit("c")?);
    match parts.get(1) {
        None => Some(Op::AccAdd { dst, acc1, acc2, c, signs }),
        Some(_) => Some(Op::AccAddF { dst, acc1, acc2, c, signs }),
    }
}
