//! Read after write on the exposed pipeline: the reader waits for the landing of the result it means.
mod common;
use common::*;

#[test]
fn load_to_use_is_seven() {
    let p = build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.i("lda {}, [{}, #0]", &[r, p]);
        a.add(r, r, imm(1));
        a.i("st {}, [{}, #4]", &[r, p]);
    })
    .unwrap();
    assert_eq!(distance(&p, "lda ", "add r"), 7, "{}", p.listing());
    assert_eq!(distance(&p, "add r", "st "), 1, "{}", p.listing());
    let broken = shifted(&p, "add r", 0, -1);
    assert!(broken.is_err(), "one bundle early must read the old value: {}", p.listing());
}

#[test]
fn multiply_to_use_is_two() {
    let p = build(|a| {
        let (p, r, s) = (a.p(), a.r(), a.r());
        a.imm(p, 0x70000);
        a.imm(r, 3);
        a.i("mul {}, {}, {}", &[s, r, r]);
        a.i("st {}, [{}, #4]", &[s, p]);
    })
    .unwrap();
    assert_eq!(distance(&p, "mul ", "st "), 2, "{}", p.listing());
    assert!(shifted(&p, "st ", 0, -1).is_err());
}
