//! Program order of memory accesses that may alias, across the different memory stages of the pipeline.
mod common;
use aie2_codegen::MemRef;
use aie2_codegen::check::CheckError;
use common::*;

fn store_then_load(store: &str, second: MemRef) -> aie2_codegen::Program {
    build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("p1"), 0x70020);
        a.imm(reg("p2"), 0x78000);
        a.imm(reg("s0"), 0);
        a.i("vclr {}", &[reg("cm0")]);
        a.mi(MemRef::space(1), store, &[]);
        a.mi(second, "vlda wl0, [p1], #32", &[]);
        a.mi(MemRef::space(3), "vst wl0, [p2], #32", &[]);
    })
    .unwrap()
}

#[test]
fn plain_store_to_load_is_one() {
    let p = store_then_load("vst amll0, [p0], #32", MemRef::space(1));
    assert!(distance(&p, "vst amll0", "vlda") >= 1, "{}", p.listing());
    let d = distance(&p, "vst amll0", "vlda");
    assert!(matches!(shifted(&p, "vlda", 0, -d).map_err(|e| *e), Err(CheckError::MemoryOrder { needed: 1, .. })));
}

#[test]
fn converting_store_to_load_is_three() {
    let p = store_then_load("vst.srs.s8.s32 cm0, s0, [p0], #32", MemRef::space(1));
    assert_eq!(distance(&p, "vst.srs", "vlda"), 3, "{}", p.listing());
    assert!(matches!(
        shifted(&p, "vlda", 0, -1).map_err(|e| *e),
        Err(CheckError::MemoryOrder { distance: 2, needed: 3, .. })
    ));
}

#[test]
fn other_space_or_piece_is_free() {
    for second in [MemRef::space(2), MemRef::space(1).piece(2)] {
        let p = build(|a| {
            a.imm(reg("p0"), 0x70000);
            a.imm(reg("p1"), 0x70020);
            a.i("vclr {}", &[reg("cm0")]);
            a.mi(MemRef::space(1).piece(1), "vst amll0, [p0], #32", &[]);
            a.mi(second, "vlda wl0, [p1], #32", &[]);
            a.mi(MemRef::space(3), "vst wl0, [p1], #32", &[]);
        })
        .unwrap();
        assert!(distance(&p, "vst amll0", "vlda") < 0, "the load need not wait for the accumulator\n{}", p.listing());
    }
}

#[test]
fn part_word_store_to_load_is_seven() {
    let p = build(|a| {
        a.imm(reg("p0"), 0x70000);
        a.imm(reg("r0"), 5);
        a.i("st.s8 r0, [p0], #1", &[]);
        a.i("lda r1, [p0, #0]", &[]);
        a.i("st r1, [p0, #4]", &[]);
    })
    .unwrap();
    assert_eq!(distance(&p, "st.s8", "lda r1"), 7, "{}", p.listing());
}

/// Store of one iteration, load of the next one, same space: the distance crosses the back edge of the pipelined loop.
#[test]
fn order_across_iterations_bounds_the_interval() {
    let attempt = |ii| {
        build(|a| {
            let (p, q, w) = (a.p(), a.p(), a.w());
            a.imm(p, 0x70000);
            a.imm(q, 0x70020);
            a.pipelined("shift", ii, 32, |a| {
                a.vlda(MemRef::space(1), w, p, 32);
                a.vst(MemRef::space(1), w, q, 32);
            });
        })
    };
    // load -> store 7, store -> next load 1.
    assert!(attempt(7).is_err());
    let p = attempt(8).unwrap();
    assert_eq!((p.loops[0].rec_mii, p.loops[0].ii_reached), (8, 8));
}
