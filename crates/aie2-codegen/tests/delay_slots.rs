//! Branches: five bundles behind a branch execute in any case.
mod common;
use aie2_codegen::check::CheckError;
use aie2_codegen::{CodegenError, Piece, RawInsn};
use common::*;

#[test]
fn loop_branch_sits_six_bundles_before_the_block_end() {
    let p = build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.imm(r, 0);
        a.loop_n("again", 5, |a| {
            a.add(r, r, imm(3));
            a.i("st {}, [{}], #4", &[r, p]);
        });
    })
    .unwrap();
    let head = p.symbols["again"];
    let first = p.lines.iter().position(|l| l.pc == head).unwrap();
    let (branch, _) = find(&p, "jnz", 0);
    let end = p.lines.iter().skip(branch).take_while(|l| l.place.starts_with("block 1")).count();
    assert_eq!(end, 6, "{}", p.listing());
    assert!(branch > first);
    assert_eq!(head % 16, 0);
}

#[test]
fn useful_operations_move_into_the_slots() {
    let p = build(|a| {
        let p = a.p();
        a.imm(p, 0x70000);
        a.loop_n("again", 5, |a| {
            for i in 0..6 {
                let r = a.r();
                a.imm(r, i);
                a.i("st {}, [{}], #4", &[r, p]);
            }
        });
    })
    .unwrap();
    let (branch, _) = find(&p, "jnz", 0);
    assert!(p.lines[branch + 1..branch + 6].iter().any(|l| !l.bundle.is_empty()), "{}", p.listing());
}

#[test]
fn branch_in_delay_slots_is_refused() {
    let result = build(|a| {
        let l = a.label("l");
        a.bind(l);
        let jump = RawInsn::new("j {}", &[l.into()]).unwrap();
        a.raw("two", Piece::new(12).extra(0, jump.clone()).extra(3, jump));
    });
    match result {
        Err(CodegenError::Check(e)) => assert!(matches!(*e, CheckError::BranchInDelaySlots { .. }), "{e}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn condition_is_read_after_it_lands() {
    let p = build(|a| {
        let (p, r) = (a.p(), a.r());
        a.imm(p, 0x70000);
        a.i("lda {}, [{}, #0]", &[r, p]);
        a.if_nz(r, |a| a.i("st {}, [{}, #4]", &[r, p]));
    })
    .unwrap();
    assert!(distance(&p, "lda ", "jz") >= 7, "{}", p.listing());
    assert!(shifted(&p, "jz", 0, -1).is_err());
}

#[test]
fn both_arms_meet_with_their_own_values() {
    let p = build(|a| {
        let (p, r, s) = (a.p(), a.r(), a.r());
        a.imm(p, 0x70000);
        a.i("lda {}, [{}, #0]", &[r, p]);
        a.if_else(r, |a| a.i("lda {}, [{}, #8]", &[s, p]), |a| a.imm(s, 7));
        a.i("st {}, [{}, #4]", &[s, p]);
    })
    .unwrap();
    assert!(shifted(&p, "st ", 0, -1).is_err(), "the load of one arm has just landed\n{}", p.listing());
}

/// The jump over the other arm, moved down: its delay slots would execute that arm's first bundles on a path that does not lead there.
#[test]
fn delay_slots_do_not_run_into_the_other_arm() {
    let p = build(|a| {
        let (p, r, s) = (reg("p0"), reg("r0"), reg("r1"));
        a.imm(p, 0x70000);
        a.imm(r, 3);
        a.imm(s, 5);
        a.if_else(r, |a| a.add(r, r, imm(1)), |a| a.add(s, s, imm(2)));
        a.i("st {}, [{}, #0]", &[r, p]);
        a.i("st {}, [{}, #4]", &[s, p]);
    })
    .unwrap();
    for by in 1..4 {
        let e = *shifted(&p, "j ", 0, by).unwrap_err();
        assert!(matches!(e, CheckError::RegionInDelaySlots { .. }), "{by}: {e}\n{}", p.listing());
    }
}
