use npu_container::cdo::Command;
use proptest::prelude::*;

use super::*;
use crate::design::{Design, Place, QueuedRing, RingPhase};
use crate::device::{Mm2s, S2mm};

fn runtime(columns: u8) -> Runtime {
    Runtime::new(columns).expect("1 to 4 columns")
}

fn bd(arg: u32, offset_bytes: u64, bytes: u64) -> ShimBd {
    ShimBd::linear(arg, offset_bytes, bytes).expect("whole words")
}

// SOURCE: AMD's Phoenix loopback sequence re-expressed as TXN (4 KiB from buffer 0 to buffer 1), with our BD numbers and
// the controller id of the packet token route.
#[test]
fn operations_of_a_loopback() {
    let mut rt = runtime(1);
    rt.task(0, S2mm(0), &bd(1, 0, 4096), 1, true).expect("receiver");
    rt.task(0, Mm2s(0), &bd(0, 0, 4096), 1, false).expect("sender");
    rt.wait(0, S2mm(0)).expect("token");
    let stream = rt.finish().expect("nothing outstanding");
    let words = vec![0x400, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000];
    assert_eq!(
        stream.ops,
        [
            Op::BlockWrite { addr: 0x1D000, data: words.clone() },
            Op::DdrPatch { register: 0x1D004, arg_index: 1, arg_plus: 0 },
            Op::MaskWrite { addr: 0x1D200, value: 0xF00, mask: 0x1F00 },
            Op::Write { addr: 0x1D204, value: 0x8000_0000 },
            Op::BlockWrite { addr: 0x1D020, data: words },
            Op::DdrPatch { register: 0x1D024, arg_index: 0, arg_plus: 0 },
            Op::Write { addr: 0x1D214, value: 1 },
            Op::wait(txn::Direction::S2mm, 0, 0, 0),
        ]
    );
    assert_eq!(stream.extents[&0], ArgExtent { read_bytes: 4096, written_bytes: 0 });
    assert_eq!(stream.extents[&1], ArgExtent { read_bytes: 0, written_bytes: 4096 });
}

// SOURCE: AMD's Phoenix validation stream: 32 blocks of 0x40000 words by one push.
#[test]
fn one_push_streams_thirty_two_blocks() {
    let mut rt = runtime(1);
    let blocks = ShimBd::new(0, 0, Pattern::linear(0x4_0000).iterate(0x4_0000, 32));
    rt.task(0, Mm2s(1), &blocks, 32, false).expect("task");
    let Op::BlockWrite { data, .. } = &rt.ops[0] else { panic!("BD first") };
    assert_eq!((data[0], data[6]), (0x4_0000, 0x01F3_FFFF));
    assert_eq!(rt.ops[2], Op::Write { addr: 0x1D21C, value: 0x001F_0000 });
    let stream = rt.finish().expect("inputs need no token");
    assert_eq!(stream.extents[&0].bytes(), 32 * 4 * 0x4_0000);
}

#[test]
fn columns_and_controller_ids() {
    let mut rt = runtime(3);
    for _ in 0..2 {
        rt.task(2, Mm2s(1), &bd(0, 0, 64), 1, true).expect("task");
    }
    let ids = rt.ops.iter().filter(|op| matches!(op, Op::MaskWrite { .. })).count();
    assert_eq!(ids, 1, "written once per channel");
    assert!(rt.ops.contains(&Op::MaskWrite { addr: 0x0401_D218, value: 0xF00, mask: 0x1F00 }));
    rt.wait_all().expect("two tokens");
    assert_eq!(rt.in_flight(2, Mm2s(1)), 0);
    assert_eq!(rt.ops.last(), Some(&Op::wait(txn::Direction::Mm2s, 2, 0, 1)));
}

#[test]
fn a_fifth_outstanding_task_is_refused() {
    let mut rt = runtime(1);
    let channel = S2mm(1).into();
    for task in 0..4 {
        rt.task(0, S2mm(1), &bd(0, 64 * task, 64), 1, true).expect("queue has room");
    }
    let before = rt.ops.len();
    let full = Error::QueueFull { tile: Tile::shim(0), channel, depth: 4 };
    assert_eq!(rt.task(0, S2mm(1), &bd(0, 0, 64), 1, true), Err(full));
    assert_eq!(rt.ops.len(), before, "a refusal emits nothing");
    rt.wait(0, S2mm(1)).expect("token");
    rt.task(0, S2mm(1), &bd(0, 0, 64), 1, true).expect("room again");
}

#[test]
fn bds_in_flight_are_never_rewritten() {
    let mut rt = runtime(1);
    let chain: Vec<ShimBd> = (0..15).map(|i| bd(0, 64 * i, 64)).collect();
    rt.task_chain(0, Mm2s(0), &chain, 1, true).expect("15 BDs");
    assert_eq!(rt.free_bds(0), 1);
    let refused = Error::ShimBdsInFlight { tile: Tile::shim(0), asked: 2, free: 1 };
    assert_eq!(rt.task_chain(0, S2mm(0), &chain[..2], 1, true), Err(refused));
    rt.wait(0, Mm2s(0)).expect("token");
    assert_eq!(rt.free_bds(0), 16);
    rt.task_chain(0, S2mm(0), &chain[..2], 1, true).expect("free again");
}

#[test]
fn a_token_completes_the_tasks_before_it() {
    let mut rt = runtime(1);
    rt.task(0, Mm2s(0), &bd(0, 0, 64), 1, false).expect("task");
    rt.task(0, Mm2s(0), &bd(0, 0, 64), 1, true).expect("task");
    rt.task(0, Mm2s(0), &bd(0, 0, 64), 1, false).expect("task");
    rt.wait(0, Mm2s(0)).expect("token");
    assert_eq!((rt.in_flight(0, Mm2s(0)), rt.free_bds(0)), (1, 15));
    let refused = Error::NoToken { tile: Tile::shim(0), channel: Mm2s(0).into() };
    assert_eq!(rt.wait(0, Mm2s(0)), Err(refused));
}

#[test]
fn streams_that_end_too_early() {
    let mut rt = runtime(1);
    rt.task(0, Mm2s(0), &bd(0, 0, 64), 1, true).expect("task");
    let (tile, channel) = (Tile::shim(0), Mm2s(0).into());
    assert_eq!(rt.finish(), Err(Error::TokensOutstanding { tile, channel, tokens: 1 }));
    let mut rt = runtime(1);
    rt.task(0, S2mm(0), &bd(0, 0, 64), 1, true).expect("task");
    rt.task(0, S2mm(0), &bd(0, 0, 64), 1, false).expect("task");
    rt.wait(0, S2mm(0)).expect("token of the first");
    assert_eq!(rt.outstanding(), Err(Error::OutputNotAwaited { tile, channel: S2mm(0).into() }));
}

#[test]
fn what_is_written_is_awaited_without_what_is_read() {
    let mut rt = runtime(1);
    rt.task(0, Mm2s(0), &bd(0, 0, 64), 1, true).expect("task");
    rt.task(0, S2mm(0), &bd(0, 0, 64), 1, true).expect("task");
    rt.wait_written().expect("token");
    assert_eq!([rt.in_flight(0, Mm2s(0)), rt.in_flight(0, S2mm(0))], [1, 0]);
    rt.wait_read().expect("token");
    rt.finish().expect("nothing is outstanding");
}

#[test]
fn offsets_of_late_arguments_carry_the_aperture() {
    let mut rt = runtime(1);
    rt.task(0, Mm2s(0), &bd(4, 256, 64), 1, false).expect("translated by firmware");
    rt.task(0, Mm2s(0), &bd(5, 256, 64), 1, false).expect("translated here");
    let patches: Vec<_> = rt
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::DdrPatch { arg_index, arg_plus, .. } => Some((*arg_index, *arg_plus)),
            _ => None,
        })
        .collect();
    assert_eq!(patches, [(4, 256), (5, 0x8000_0100)]);
    let too_far = rt.task(0, Mm2s(0), &bd(5, 1 << 31, 64), 1, false);
    assert_eq!(too_far, Err(Error::ArgOffset { arg: 5, offset_bytes: 1 << 31, limit: 0x7FFF_FFFF }));
    let too_far = rt.task(0, Mm2s(0), &bd(0, 1 << 32, 64), 1, false);
    assert_eq!(too_far, Err(Error::ArgOffset { arg: 0, offset_bytes: 1 << 32, limit: 0xFFFF_FFFF }));
}

#[test]
fn pattern_offsets_and_strides_count_in_the_extent() {
    let mut rt = runtime(1);
    // 8 rows of 16 words out of rows of 672 words, from word 32 of byte 1024 on.
    let block = ShimBd::new(2, 1024, Pattern::new(&[(1, 16), (672, 8)]).offset(32));
    rt.task(0, Mm2s(0), &block, 1, false).expect("task");
    let end = 1024 + 4 * (32 + 7 * 672 + 16);
    assert_eq!(rt.extents[&2], ArgExtent { read_bytes: end, written_bytes: 0 });
    assert!(rt.ops.contains(&Op::DdrPatch { register: 0x1D004, arg_index: 2, arg_plus: 1024 + 128 }));
}

#[test]
fn impossible_tasks_are_refused() {
    let mut rt = runtime(2);
    let (tile, channel) = (Tile::shim(0), Channel::from(Mm2s(0)));
    for asked in [0, 257] {
        let refused = Error::Runs { tile, channel, asked, limit: 256 };
        assert_eq!(rt.task(0, channel, &bd(0, 0, 64), asked, false), Err(refused));
    }
    let refused = Error::NoSuchTile { tile: Tile::shim(2), columns: 2 };
    assert_eq!(rt.task(2, channel, &bd(0, 0, 64), 1, false), Err(refused));
    let refused = Error::NoSuchChannel { tile, channel: Mm2s(2).into(), limit: 2 };
    assert_eq!(rt.task(0, Mm2s(2), &bd(0, 0, 64), 1, false), Err(refused));
    assert_eq!(rt.task_chain(0, channel, &[], 1, false), Err(Error::Nothing { tile, what: "BDs" }));
    let refused = Error::ArgMisaligned { arg: 0, what: "offset", bytes: 2 };
    assert_eq!(rt.task(0, channel, &bd(0, 2, 64), 1, false), Err(refused));
    assert_eq!(ShimBd::linear(0, 0, 66), Err(Error::ArgMisaligned { arg: 0, what: "length", bytes: 66 }));
    let four = ShimBd::new(0, 0, Pattern::new(&[(1, 2), (4, 2), (16, 2), (64, 2)]));
    assert!(matches!(rt.task(0, channel, &four, 1, false), Err(Error::PatternDims { asked: 4, limit: 3, .. })));
    assert!(rt.ops.is_empty() && rt.extents.is_empty(), "refusals leave nothing behind");
}

#[test]
fn parameters_and_locks() {
    let mut rt = runtime(1);
    let core = Tile::core(0, 1);
    rt.write_words(core, 0x400, &[7]).expect("one word");
    rt.write_words(core, 0x400, &[7, 8]).expect("a block");
    rt.set_lock(core, 3, 1).expect("lock");
    assert_eq!(
        rt.ops,
        [
            Op::Write { addr: 0x0030_0400, value: 7 },
            Op::BlockWrite { addr: 0x0030_0400, data: vec![7, 8] },
            Op::Write { addr: 0x0031_F030, value: 1 },
        ]
    );
    let refused = Error::WriteOutsideTile { tile: core, offset: 0x402, words: 1 };
    assert_eq!(rt.write_words(core, 0x402, &[7]), Err(refused));
    assert!(matches!(rt.write_words(core, 0xF_FFFC, &[7, 8]), Err(Error::WriteOutsideTile { .. })));
    assert!(matches!(rt.set_lock(core, 16, 0), Err(Error::OutOfLocks { limit: 16, .. })));
    assert!(matches!(rt.set_lock(core, 0, 64), Err(Error::LockValue { asked: 64, .. })));
}

proptest! {
    /// Any sequence of calls the builder accepts keeps the hardware's rules, checked on the emitted operations alone.
    #[test]
    fn accepted_streams_keep_the_rules(
        calls in prop::collection::vec((0u8..2, 0u8..4, 1usize..7, any::<bool>(), any::<bool>(), 0u8..5), 1..60),
    ) {
        let (mut rt, mut place) = (runtime(2), None);
        for (col, lane, bds, token, wait, early) in calls {
            match (early, place) {
                (0, _) => place = Some(rt.early()),
                (1, Some(place)) => rt.early_again(place),
                _ => (),
            }
            let channel: Channel = if lane < 2 { S2mm(lane).into() } else { Mm2s(lane - 2).into() };
            let chain: Vec<ShimBd> = (0..bds).map(|i| bd(0, 64 * i as u64, 64)).collect();
            // Refusals are part of the test: they must leave the stream legal.
            let refused = if wait { rt.wait(col, channel) } else { rt.task_chain(col, channel, &chain, 1, token) };
            let expected = matches!(
                refused,
                Ok(()) | Err(Error::QueueFull { .. } | Error::ShimBdsInFlight { .. } | Error::NoToken { .. })
            );
            prop_assert!(expected, "{:?}", refused);
        }
        let mut busy: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        let mut queues: BTreeMap<(u32, u32), VecDeque<(bool, Vec<u32>)>> = BTreeMap::new();
        let mut links: BTreeMap<(u32, u32), Option<u32>> = BTreeMap::new();
        // what was written and has not started yet
        let mut written = BTreeSet::new();
        for op in &rt.ordered(&[]).0 {
            match op {
                Op::BlockWrite { addr, data } => {
                    let (col, id) = (addr >> 25, (addr & 0xF_FFFF) / 0x20 - 0x1D000 / 0x20);
                    prop_assert!(busy.values().all(|ids| !ids.contains(&(col << 8 | id))), "BD {id} rewritten in flight");
                    prop_assert!(written.insert(col << 8 | id), "BD {id} rewritten before its task started");
                    let next = ShimBdWords::decode(data[..].try_into().expect("8 words")).common.next;
                    links.insert((col, id), next.map(u32::from));
                }
                Op::Write { addr, value } => {
                    let key = (addr >> 25, addr & 0xF_FFFF);
                    let mut ids = vec![key.0 << 8 | value & 15];
                    while let Some(next) = links[&(key.0, ids[ids.len() - 1] & 15)] {
                        ids.push(key.0 << 8 | next);
                    }
                    for id in &ids {
                        prop_assert!(written.remove(id), "a task of a BD that was not written for it");
                    }
                    busy.entry(key).or_default().extend(&ids);
                    let queue = queues.entry(key).or_default();
                    queue.push_back((value >> 31 == 1, ids));
                    prop_assert!(queue.len() <= 4, "queue overflow");
                }
                Op::Tct { direction, col, channel, .. } => {
                    let base = match direction { txn::Direction::S2mm => 0x1D204, txn::Direction::Mm2s => 0x1D214 };
                    let key = (u32::from(*col), base + 8 * u32::from(*channel));
                    let queue = queues.entry(key).or_default();
                    while let Some((token, ids)) = queue.pop_front() {
                        busy.entry(key).or_default().retain(|id| !ids.contains(id));
                        if token { break; }
                        prop_assert!(!queue.is_empty(), "wait without token");
                    }
                }
                _ => {}
            }
        }
    }
}

/// One column: shim -> ring of a mem tile -> shim, in two phases; and the ring as the runtime stream knows it.
fn queued_relay() -> QueuedRing {
    let mut d = Design::new(1).expect("one column");
    let ring = d.ring(Tile::mem(0), "relay", 2, 256, Place::Anywhere).expect("ring");
    let phase = |fill| RingPhase { slots: 2, slot_bytes: 256, fill: vec![fill], drain: vec![Pattern::linear(64)] };
    let phases = [phase(Pattern::linear(64)), phase(Pattern::new(&[(8, 8), (1, 8)]))];
    d.queue_ring(ring, S2mm(0), Mm2s(0), &phases).expect("two phases");
    d.connect(Tile::shim(0).mm2s(0), &[Tile::mem(0).s2mm(0)]).expect("flow");
    d.connect(Tile::mem(0).mm2s(0), &[Tile::shim(0).s2mm(0)]).expect("flow");
    d.token_route(0).expect("token route");
    let configuration = d.finish().expect("complete");
    // queued chains are not started by the configuration
    let starts = |c: &Command| matches!(c, Command::Write { addr, .. } if *addr == Tile::mem(0).address(0xA_0604));
    assert!(!configuration.commands.iter().any(starts));
    configuration.queued[&ring].clone()
}

#[test]
fn a_ring_task_writes_both_sides_and_queues_them() {
    let (ring, mut rt) = (queued_relay(), runtime(1));
    rt.ring(&ring, 1, 3 * 2 + 1, 0, S2mm(0)).expect("a task");
    let at = |offset| Tile::mem(0).address(offset);
    let pushes: Vec<_> = rt.ops.iter().filter(|op| matches!(op, Op::Write { .. })).cloned().collect();
    // the last slot, then three rounds of both
    let side = |addr| [Op::Write { addr: at(addr), value: 1 }, Op::Write { addr: at(addr), value: 0x0002_0000 }];
    let mut expected = side(0xA_0604).to_vec();
    expected.extend(side(0xA_0634).map(|op| match op {
        Op::Write { addr, value } => Op::Write { addr, value: value + 2 },
        other => other,
    }));
    assert_eq!(pushes, expected);
    let written = rt.ops.iter().filter_map(|op| match op {
        Op::BlockWrite { addr, data } => Some((*addr, data.len())),
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), [(at(0xA_0000), 4 * 8)], "two slots of two sides, one behind the other");
}

#[test]
fn ring_tasks_wait_for_a_token_asked_for_after_them() {
    let (ring, mut rt) = (queued_relay(), runtime(1));
    let busy = |rt: &mut Runtime, phase| match rt.clone().ring(&ring, phase, 1, 0, S2mm(0)) {
        Err(Error::RingInFlight { tasks, .. }) => Some(tasks),
        Ok(()) => None,
        Err(other) => panic!("{other}"),
    };
    rt.task(0, S2mm(0), &bd(1, 0, 256), 1, true).expect("an earlier receiver");
    rt.ring(&ring, 0, 2, 0, S2mm(0)).expect("a task");
    rt.ring(&ring, 0, 2, 0, S2mm(0)).expect("whole rounds of the same phase may follow");
    assert_eq!([busy(&mut rt, 0), busy(&mut rt, 1)], [Some(2), Some(2)]);
    rt.wait(0, S2mm(0)).expect("the earlier token");
    assert_eq!(busy(&mut rt, 1), Some(2), "it was asked for before the tasks");
    let left = rt.clone().finish();
    assert!(matches!(left, Err(Error::RingNotAwaited { tasks: 2, .. })), "{left:?}");
    rt.task(0, S2mm(0), &bd(1, 0, 256), 1, true).expect("a receiver");
    rt.wait(0, S2mm(0)).expect("its token");
    assert_eq!([busy(&mut rt, 0), busy(&mut rt, 1)], [None, None]);
    rt.finish().expect("nothing is in flight");
}

#[test]
fn a_ring_that_rests_takes_another_phase() {
    let (ring, mut rt) = (queued_relay(), runtime(1));
    rt.ring(&ring, 0, 3, 0, S2mm(0)).expect("a task");
    assert!(matches!(rt.clone().ring(&ring, 1, 2, 0, S2mm(0)), Err(Error::RingInFlight { tasks: 1, .. })));
    rt.ring_rests(&ring).expect("a look at its reader");
    let looked = Op::MaskPoll { addr: Tile::mem(0).address(0xA_0680), value: 0, mask: 0x0078_0000 };
    assert_eq!(rt.ops.last(), Some(&looked));
    rt.ring(&ring, 1, 2, 0, S2mm(0)).expect("another phase");
    assert!(matches!(rt.finish(), Err(Error::RingNotAwaited { tasks: 1, .. })));
}

#[test]
fn a_ring_that_stands_in_a_phase_is_not_written_for_it() {
    let (ring, mut rt) = (queued_relay(), runtime(1));
    assert!(matches!(rt.ring_stands(&ring, 2), Err(Error::NoSuchPhase { phase: 2, phases: 2, .. })));
    rt.ring_stands(&ring, 0).expect("the first phase");
    let writes = |rt: &Runtime| rt.ops.iter().filter(|op| matches!(op, Op::BlockWrite { .. })).count();
    rt.ring(&ring, 0, 2, 0, S2mm(0)).expect("a task");
    assert_eq!(writes(&rt), 0);
    rt.ring_rests(&ring).expect("a look at its reader");
    rt.ring(&ring, 1, 2, 0, S2mm(0)).expect("another phase");
    assert!(writes(&rt) > 0);
}

#[test]
fn ring_tasks_that_cannot_be_are_refused() {
    let (ring, mut rt) = (queued_relay(), runtime(2));
    let refused = |rt: &mut Runtime, phase, slots, col, proof| rt.ring(&ring, phase, slots, col, proof).unwrap_err();
    assert!(matches!(refused(&mut rt, 0, 0, 0, S2mm(0)), Error::Nothing { what: "slots", .. }));
    assert!(matches!(refused(&mut rt, 2, 1, 0, S2mm(0)), Error::NoSuchPhase { phase: 2, phases: 2, .. }));
    assert!(matches!(refused(&mut rt, 0, 1, 0, S2mm(1)), Error::NotDownstream { .. }));
    assert!(matches!(refused(&mut rt, 0, 1, 1, S2mm(0)), Error::NotDownstream { col: 1, .. }));
    // four entries of 256 rounds of two slots, and one more
    assert!(matches!(refused(&mut rt, 0, 2049, 0, S2mm(0)), Error::QueueFull { depth: 4, .. }));
    rt.ring(&ring, 0, 2048, 0, S2mm(0)).expect("four entries");
    assert!(matches!(refused(&mut rt, 0, 2, 0, S2mm(0)), Error::QueueFull { depth: 4, .. }));
}

#[test]
fn rings_that_cannot_be_queued_are_refused() {
    let mut d = Design::new(1).expect("one column");
    let (mem, core) = (Tile::mem(0), Tile::core(0, 0));
    let ring = d.ring(mem, "a", 2, 256, Place::Anywhere).expect("ring");
    let linear = |parts: u32| (0..parts).map(|i| Pattern::linear(8).offset(8 * i)).collect::<Vec<_>>();
    let phase = |fill, drain| RingPhase { slots: 2, slot_bytes: 256, fill: linear(fill), drain: linear(drain) };
    let mut refused = |ring, phases: &[RingPhase]| d.queue_ring(ring, S2mm(0), Mm2s(0), phases).unwrap_err();
    assert!(matches!(refused(ring, &[]), Error::Nothing { what: "phases", .. }));
    let parts = refused(ring, &[phase(1, 4), phase(1, 3)]);
    assert!(matches!(parts, Error::PhaseParts { phase: 1, parts: 3, needed: 4, .. }), "{parts}");
    let long = RingPhase { slots: 2, slot_bytes: 256, fill: vec![Pattern::linear(65)], drain: linear(1) };
    assert!(matches!(refused(ring, &[phase(1, 1), long]), Error::PatternOutsideSlot { end_words: 65, .. }));
    assert!(matches!(refused(ring, &[phase(2, 3)]), Error::RingParts { .. }));
    let of_core = d.ring(core, "b", 2, 256, Place::Anywhere).expect("ring");
    let refused = d.queue_ring(of_core, S2mm(0), Mm2s(0), &[phase(1, 1)]).unwrap_err();
    assert!(matches!(refused, Error::WrongTileKind { .. }));
    // none of it left a trace
    d.queue_ring(ring, S2mm(0), Mm2s(0), &[phase(1, 4)]).expect("legal");
}
