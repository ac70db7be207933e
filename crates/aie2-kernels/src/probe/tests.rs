//! Refusals and judgement; what the array does is asked in `bennu-lab/tests/probe.rs`.

use super::*;

fn refused(probe: Result<impl std::fmt::Debug, KernelError>) -> (&'static str, usize, usize) {
    match probe {
        Err(KernelError::Refused { what, needed, found, .. }) => (what, needed, found),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn shapes_that_a_probe_does_not_serve_are_refused() {
    assert_eq!(refused(loopback(Via::Switch, 0)), ("bytes of a channel", 4, 0));
    assert_eq!(refused(loopback(Via::Switch, 6)), ("bytes of a channel", 4, 6));
    assert_eq!(refused(loopback(Via::MemTile, 4100)), ("bytes of a channel", 4096, 4100));
    assert_eq!(refused(loopback(Via::MemTile, 128 << 20)), ("bytes of a channel", 64 << 20, 128 << 20));
    assert_eq!(refused(one_tile(0)), ("units", 1, 0));
    assert_eq!(refused(all_tiles(4097)), ("units", 4096, 4097));
    assert_eq!(refused(bundles(5, 5)), ("few iterations", 4, 5));
    assert_eq!(refused(bundles(1, 200_000_000)), ("iterations", 100_000_000, 200_000_000));
    assert_eq!(refused(bank_shared(true, 0, 4)), ("few buffers", 1, 0));
    assert_eq!(refused(strided_rows(6, 8)), ("few runs", 4, 6));
}

#[test]
fn channels_that_do_not_exist_or_appear_twice_are_refused() {
    for probe in [read_bandwidth, write_bandwidth] {
        assert_eq!(refused(probe(&[], UNIT_BYTES)), ("channels", 1, 0));
        assert_eq!(refused(probe(&[(4, 0)], UNIT_BYTES)), ("column", 3, 4));
        assert_eq!(refused(probe(&[(0, 2)], UNIT_BYTES)), ("channel", 1, 2));
        assert_eq!(refused(probe(&[(1, 0), (1, 0)], UNIT_BYTES)), ("a channel twice, of column", 1, 1));
        assert_eq!(refused(probe(&[(0, 0)], UNIT_BYTES + 4)), ("bytes of a channel", 8192, 8196));
        assert_eq!(refused(probe(&[(0, 0)], 1 << 30)), ("bytes of a channel", 256 << 20, 1 << 30));
    }
}

#[test]
fn an_output_is_judged_by_call() {
    let probe = counter().expect("compiles");
    let [first, second] = &probe.outcomes[0].after;
    assert_eq!(probe.judge(0, first), Answer::Outcome(0));
    assert_eq!(probe.judge(1, second), Answer::Outcome(0));
    assert_eq!(probe.judge(1, first), Answer::Outcome(1), "the array was configured anew");
    let mut wrong = first.clone();
    wrong[5] ^= 1;
    wrong[9] ^= 0x80;
    let difference = Difference { first: 5, expected: first[5], found: first[5] ^ 1, bytes: 2 };
    assert_eq!(probe.judge(0, &wrong), Answer::Unknown(difference));
    assert!(matches!(probe.judge(0, &first[1..]), Answer::Unknown(_)), "another length");
}

#[test]
fn answers_of_a_probe_can_be_told_apart() {
    for probe in steps().expect("steps compile").into_iter().chain(facts().expect("facts compile")) {
        for (i, one) in probe.outcomes.iter().enumerate() {
            assert_eq!(one.change.is_none(), i == 0, "{}: the first answer is the modelled one", probe.name());
            for other in &probe.outcomes[i + 1..] {
                assert_ne!(one.after, other.after, "{}: {} and {}", probe.name(), one.says, other.says);
            }
        }
    }
}
