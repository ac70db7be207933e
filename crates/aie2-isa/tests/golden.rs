//! Bytes from outside: the worked examples.
use aie2_isa::{Bundle, Insn};
#[test]
fn t() {
    for (t, b) in [
        ("vmac cm5, cm6, x4, x5, r9", "0954114b"),
        ("lda dc4, [p3], #252", "59b97f03"),
        ("mova r24, #0x0; st p7, [sp, #-8]; movxm p0, #0x70424", "7710121ac001807eff0f0600"),
    ] {
        let x = Bundle::parse(t).unwrap();
        let e: String = x.encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(e, b);
        assert_eq!(Bundle::decode(&x.encode()).unwrap().0, x);
        println!("{x}");
    }
    println!("{}", std::mem::size_of::<Insn>());
}
