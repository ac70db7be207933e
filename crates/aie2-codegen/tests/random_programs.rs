//! Random programs: whatever is scheduled must pass the checker; straight code, loops, branches.
mod common;
use aie2_codegen::{Asm, Guards, MemRef, Operand, Program, Trip};
use common::*;
use proptest::prelude::*;

/// Values a random program works on.
struct Values {
    r: Vec<Operand>,
    p: Vec<Operand>,
    x: Vec<Operand>,
    cm: Vec<Operand>,
    s: Operand,
    d: Operand,
}

fn values(a: &mut Asm) -> Values {
    let v = Values {
        r: (0..6).map(|_| a.r()).collect(),
        p: (0..3).map(|_| a.p()).collect(),
        x: (0..5).map(|_| a.x()).collect(),
        cm: (0..3).map(|_| a.cm()).collect(),
        s: a.s(),
        d: a.d(),
    };
    v.r.iter().enumerate().for_each(|(i, r)| a.imm(*r, i as i64));
    v.p.iter().enumerate().for_each(|(i, p)| a.imm(*p, 0x70000 + 0x4000 * i as i64));
    v.x.iter().for_each(|x| a.i("vbcst.32 {}, {}", &[*x, v.r[0]]));
    v.cm.iter().for_each(|c| a.i("vclr {}", &[*c]));
    a.imm(v.s, 3);
    for (part, value) in [(v.d.m(), 32), (v.d.dn(), 3), (v.d.dj(), 64), (v.d.dc(), 0)] {
        a.imm(part, value);
    }
    v
}

/// One random operation.
fn op(a: &mut Asm, v: &Values, (kind, i, j, k): (u8, usize, usize, usize)) {
    let r = |n: usize| v.r[n % v.r.len()];
    let p = |n: usize| v.p[n % v.p.len()];
    let x = |n: usize| v.x[n % v.x.len()];
    let c = |n: usize| v.cm[n % v.cm.len()];
    let w = |n: usize| if n.is_multiple_of(2) { x(n / 2).lo() } else { x(n / 2).hi() };
    let mem = |n: usize| match n % 4 {
        0 => MemRef::ANY,
        1 => A,
        2 => B,
        _ => MemRef::space(1).piece(3),
    };
    match kind % 30 {
        0 => a.add(r(i), r(j), r(k)),
        1 => a.i("mul {}, {}, {}", &[r(i), r(j), r(k)]),
        2 => a.mi(mem(k), "lda {}, [{}], #4", &[r(i), p(j)]),
        3 => a.mi(mem(k), "st {}, [{}], #4", &[r(i), p(j)]),
        4 => a.vlda(mem(k), w(i), p(j), 32),
        5 => a.vldb(mem(k), w(i), p(j), 32),
        6 => a.vst(mem(k), w(i), p(j), 32),
        7 => a.i("vadd.32 {}, {}, {}", &[x(i), x(j), x(k)]),
        8 => a.i("vshuffle {}, {}, {}, {}", &[x(i), x(j), x(k), r(i)]),
        9 => a.vmac(c(i), x(j), x(k), r(i)),
        10 => a.i("vmac.f {}, {}, {}, {}, {}", &[c(i).bm(0), c(j).bm(1), x(j), x(k), r(i)]),
        11 => a.i("vmul {}, {}, {}, {}", &[c(i), x(j), x(k), r(i)]),
        12 => a.i("vadd.f {}, {}, {}, {}", &[c(i).bm(0), c(j).bm(1), c(k).bm(0), r(i)]),
        13 => a.i("vconv.fp32.bf16 {}, {}", &[c(i).bm(1), w(j)]),
        14 => a.i("vconv.bf16.fp32 {}, {}", &[w(i), c(j).bm(0)]),
        15 => a.i("vsrs.s8.s32 {}, {}, {}", &[w(i), c(j), v.s]),
        16 => a.i("vups.s32.s8 {}, {}, {}", &[c(i), w(j), v.s]),
        17 => a.mi(mem(k), "vlda.ups.s32.s8 {}, {}, [{}], #32", &[c(i), v.s, p(j)]),
        18 => a.mi(mem(k), "vst.srs.s8.s32 {}, {}, [{}], #32", &[c(i), v.s, p(j)]),
        19 => a.mi(mem(k), "vst.conv.bf16.fp32 {}, [{}], #32", &[c(i).bm(1), p(j)]),
        20 => a.mi(mem(k), "vlda.2d {}, [{}], {}", &[w(i), p(j), v.d]),
        21 => a.i("vmov {}, {}", &[x(i), c(j).bm(0)]),
        22 => a.i("vmov {}, {}", &[w(i), w(j)]),
        23 => a.i("mov crSat, {}", &[r(i)]),
        24 => a.i("mov {}, {}", &[v.s, r(i)]),
        25 => a.mi(mem(k), "st.s8 {}, [{}], #1", &[r(i), p(j)]),
        26 => a.i("padda [{}], #32", &[p(i)]),
        27 => a.mi(mem(k), "vlda {}, [{}], #32", &[c(i).am((k % 4) as u8), p(j)]),
        28 => a.i("vunpack.s16.s8 {}, {}", &[x(i), w(j)]),
        _ => a.acq(Guards::Spaces(vec![1]), 48, r(i)),
    }
}

fn ops(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(u8, usize, usize, usize)>> {
    prop::collection::vec((any::<u8>(), 0..64usize, 0..64usize, 0..64usize), n)
}

/// Stores everything, so that every value is observed.
fn observe(a: &mut Asm, v: &Values) {
    for r in &v.r {
        a.i("st {}, [{}], #4", &[*r, v.p[0]]);
    }
    for x in &v.x {
        a.vst(MemRef::ANY, x.lo(), v.p[1], 32);
        a.vst(MemRef::ANY, x.hi(), v.p[1], 32);
    }
    for c in &v.cm {
        (0..4).for_each(|q| a.vst(MemRef::ANY, c.am(q), v.p[2], 32));
    }
}

fn count(p: &Program) -> usize {
    p.lines.iter().map(|l| l.bundle.iter().count()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn straight_code(list in ops(1..60)) {
        let p = build(|a| {
            let v = values(a);
            list.iter().for_each(|o| op(a, &v, *o));
            observe(a, &v);
        }).unwrap_or_else(|e| panic!("{e}"));
        prop_assert!(count(&p) > list.len());
    }

    #[test]
    fn loops_pipelined_as_far_as_they_go(list in ops(1..16), trip in 1u32..40) {
        let p = build(|a| {
            let v = values(a);
            a.zol("body", Trip::Const(trip), |a| list.iter().for_each(|o| op(a, &v, *o)));
            observe(a, &v);
        }).unwrap_or_else(|e| panic!("{e}"));
        prop_assert!(p.loops[0].ii_reached >= p.loops[0].res_mii.max(p.loops[0].rec_mii));
    }

    #[test]
    fn nested_control_flow(head in ops(1..10), then in ops(1..10), other in ops(1..10), inner in ops(1..8), trip in 1u32..20) {
        build(|a| {
            let v = values(a);
            a.loop_n("outer", 3, |a| {
                head.iter().for_each(|o| op(a, &v, *o));
                a.if_else(v.r[1], |a| then.iter().for_each(|o| op(a, &v, *o)), |a| other.iter().for_each(|o| op(a, &v, *o)));
                a.zol("inner", Trip::Const(trip), |a| inner.iter().for_each(|o| op(a, &v, *o)));
            });
            observe(a, &v);
        }).unwrap_or_else(|e| panic!("{e}"));
    }
}
