//! Forwarding in the vector unit: who may follow whom how closely on one accumulator.
mod common;
use aie2_codegen::{Asm, Program};
use common::*;

fn chain(first: &str, second: &str, text: &[&str]) -> (Program, i64) {
    let p = build(|a: &mut Asm| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), 776);
        for x in ["x0", "x1", "x2"] {
            a.i("vbcst.32 {}, {}", &[reg(x), reg("r0")]);
        }
        for c in ["cm0", "cm1"] {
            a.i("vclr {}", &[reg(c)]);
        }
        for t in text {
            a.i(t, &[]);
        }
    })
    .unwrap();
    let d = distance(&p, first, second);
    (p, d)
}

#[test]
fn int_multiply_accumulate_chain_is_two() {
    let (p, d) =
        chain("vmac cm0, cm0, x0", "vmac cm0, cm0, x1", &["vmac cm0, cm0, x0, x1, r0", "vmac cm0, cm0, x1, x0, r0"]);
    assert_eq!(d, 2, "{}", p.listing());
    assert!(shifted(&p, "vmac cm0, cm0, x1", 0, -1).is_err());
}

#[test]
fn float_chain_is_four() {
    let text = ["vmac.f bml0, bml0, x0, x1, r0", "vmac.f bml0, bml0, x1, x0, r0"];
    let (p, d) = chain("vmac.f bml0, bml0, x0", "vmac.f bml0, bml0, x1", &text);
    assert_eq!(d, 4, "{}", p.listing());
    assert!(shifted(&p, "vmac.f bml0, bml0, x1", 0, -1).is_err());
}

#[test]
fn accumulate_to_store_is_five() {
    let (p, d) = chain("vmac cm0", "vst amll0", &["vmac cm0, cm0, x0, x1, r0", "vst amll0, [p0], #32"]);
    assert_eq!(d, 5, "{}", p.listing());
    assert!(shifted(&p, "vst amll0", 0, -1).is_err());
}

#[test]
fn move_class_chain_is_one_but_two_into_the_multiplier() {
    let text = ["vadd.32 x2, x0, x1", "vadd.32 x0, x2, x1", "vmac cm0, cm0, x0, x1, r0"];
    let (p, d) = chain("vadd.32 x2", "vadd.32 x0", &text);
    assert_eq!(d, 1, "{}", p.listing());
    assert_eq!(distance(&p, "vadd.32 x0", "vmac cm0"), 2, "{}", p.listing());
    assert!(shifted(&p, "vmac cm0", 0, -1).is_err());
}

#[test]
fn conversion_forwards_into_the_accumulator_adder_of_the_same_bundle() {
    let text = ["vconv.fp32.bf16 bml1, wl0", "vadd.f bml0, bml0, bml1, r0"];
    let (p, d) = chain("vconv.fp32", "vadd.f", &text);
    // The late source (cycle 3) sees the conversion (cycle 2): distance 0 would do; vclr of cm0 bounds the adder from below.
    assert!(d >= 0, "{}", p.listing());
    assert!(shifted(&p, "vadd.f", 0, -(d + 1)).is_err(), "{}", p.listing());
}
