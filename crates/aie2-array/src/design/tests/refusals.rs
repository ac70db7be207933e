//! Every limit of a design, broken by one.

use super::*;

const CORE: Tile = Tile::core(0, 0);
const MEM: Tile = Tile::mem(0);

#[test]
fn a_seventeenth_bd_of_a_core_tile() {
    let mut d = design(1);
    let a = d.ring(CORE, "a", 4, 64, Place::Anywhere).expect("ring");
    let b = d.ring(CORE, "b", 8, 64, Place::Anywhere).expect("ring");
    let half = Pattern::linear(8);
    d.fill_by_dma(a, S2mm(0), &[half.clone(), half.clone().offset(8)]).expect("8 BDs");
    d.fill_by_dma(b, S2mm(1), &[Pattern::linear(16)]).expect("8 more");
    let channel = Mm2s(0).into();
    let refused = Error::OutOfBds { tile: CORE, channel, ring: "a".into(), asked: 4, free: 0, limit: 16 };
    assert_eq!(d.drain_by_dma(a, Mm2s(0), &[Pattern::linear(16)]), Err(refused));
}

#[test]
fn a_twenty_fifth_bd_of_one_parity() {
    let mut d = design(1);
    let a = d.ring(MEM, "a", 12, 64, Place::Anywhere).expect("ring");
    let b = d.ring(MEM, "b", 1, 64, Place::Anywhere).expect("ring");
    d.fill_by_dma(a, S2mm(0), &[Pattern::linear(16)]).expect("12 BDs");
    d.drain_by_dma(a, Mm2s(2), &[Pattern::linear(16)]).expect("12 more on an even channel");
    let refused =
        Error::OutOfBds { tile: MEM, channel: S2mm(4).into(), ring: "b".into(), asked: 1, free: 0, limit: 24 };
    assert_eq!(d.fill_by_dma(b, S2mm(4), &[Pattern::linear(16)]), Err(refused));
    d.fill_by_dma(b, S2mm(5), &[Pattern::linear(16)]).expect("odd channels have their own half");
}

#[test]
fn a_forty_ninth_bd_of_a_mem_tile() {
    let mut d = design(1);
    for (name, even, odd) in [("a", 0, 1), ("b", 2, 3)] {
        let ring = d.ring(MEM, name, 12, 64, Place::Anywhere).expect("ring");
        d.fill_by_dma(ring, S2mm(even), &[Pattern::linear(16)]).expect("12 BDs");
        d.drain_by_dma(ring, Mm2s(odd), &[Pattern::linear(16)]).expect("12 BDs");
    }
    let ring = d.ring(MEM, "c", 1, 64, Place::Anywhere).expect("ring");
    for channel in 4..6 {
        let refused = d.fill_by_dma(ring, S2mm(channel), &[Pattern::linear(16)]);
        assert!(matches!(refused, Err(Error::OutOfBds { asked: 1, free: 0, .. })), "{refused:?}");
    }
}

#[test]
fn a_seventeenth_lock() {
    let mut d = design(1);
    for ring in 0..8 {
        d.ring(CORE, &format!("r{ring}"), 1, 32, Place::Anywhere).expect("two locks");
    }
    let refused = Error::OutOfLocks { tile: CORE, what: "r8".into(), limit: 16 };
    assert_eq!(d.ring(CORE, "r8", 1, 32, Place::Anywhere), Err(refused));
    assert!(matches!(d.lock(CORE, "x", 0), Err(Error::OutOfLocks { .. })));
    for ring in 0..32 {
        d.ring(MEM, &format!("r{ring}"), 1, 32, Place::Anywhere).expect("two locks");
    }
    assert!(matches!(d.lock(MEM, "x", 0), Err(Error::OutOfLocks { limit: 64, .. })));
}

#[test]
fn a_bank_that_overflows() {
    let mut d = design(1);
    d.ring(CORE, "a", 2, 4096, Place::Bank(2)).expect("half the bank");
    let (bytes, free_bytes) = (3 * 4096, 2 * 4096);
    let refused = Error::MemoryFull { tile: CORE, buffer: "b".into(), bank: Some(2), bytes, free_bytes };
    assert_eq!(d.ring(CORE, "b", 3, 4096, Place::Bank(2)), Err(refused.clone()));
    assert_eq!(refused.to_string(), "core(0,0): buffer `b` of 12288 bytes does not fit bank 2: largest gap 8192 bytes");
}

#[test]
fn a_slot_the_core_cannot_load_vectors_from() {
    let mut d = design(1);
    let refused = d.ring(CORE, "a", 2, 48, Place::Anywhere);
    assert!(matches!(refused, Err(Error::Misaligned { what: "slot", bytes: 48, align_bytes: 32, .. })));
    let refused = d.ring(CORE, "a", 2, 64, Place::At(0x110));
    assert!(matches!(refused, Err(Error::Misaligned { what: "offset", bytes: 0x110, align_bytes: 32, .. })));
    d.ring(MEM, "a", 2, 48, Place::At(0x110)).expect("words are enough in a mem tile");
    assert!(matches!(d.ring(MEM, "b", 2, 46, Place::Anywhere), Err(Error::Misaligned { align_bytes: 4, .. })));
}

#[test]
fn more_credits_than_a_lock_holds() {
    let mut d = design(1);
    let ring = d.ring(MEM, "a", 8, 64, Place::Anywhere).expect("ring");
    let parts: Vec<Pattern> = (0..8).map(|part| Pattern::linear(2).offset(2 * part)).collect();
    let refused = Error::LockValue { tile: MEM, what: "a".into(), asked: 64, limit: 63 };
    assert_eq!(d.fill_by_dma(ring, S2mm(0), &parts), Err(refused));
    d.fill_by_dma(ring, S2mm(0), &parts[..3]).expect("24 credits; the refusal left nothing behind");
    let ring = d.ring(CORE, "b", 64, 32, Place::Anywhere).expect("ring");
    assert!(matches!(d.core_fills(ring), Err(Error::LockValue { asked: 64, limit: 63, .. })));
}

#[test]
fn patterns_beyond_their_slot_or_their_bd() {
    let mut d = design(1);
    let ring = d.ring(CORE, "a", 2, 64, Place::Anywhere).expect("ring");
    let refused = Error::PatternOutsideSlot {
        tile: CORE,
        channel: S2mm(0).into(),
        ring: "a".into(),
        end_words: 17,
        slot_words: 16,
    };
    assert_eq!(d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(16).offset(1)]), Err(refused));
    let four = Pattern::new(&[(1, 2), (4, 2), (2, 2), (8, 2)]);
    assert!(matches!(d.fill_by_dma(ring, S2mm(0), &[four]), Err(Error::PatternDims { asked: 4, limit: 3, .. })));
    let padded = Pattern::linear(4).pad([1, 0, 0], [0; 3]);
    assert!(matches!(d.drain_by_dma(ring, Mm2s(0), &[padded]), Err(Error::PaddingUnavailable { .. })));
    d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(16)]).expect("the refusals left nothing behind");
}

#[test]
fn one_side_of_a_ring_twice() {
    let mut d = design(1);
    let ring = d.ring(CORE, "a", 2, 64, Place::Anywhere).expect("ring");
    d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(16)]).expect("writer");
    let refused = Error::RingSideTwice { tile: CORE, ring: "a".into(), side: "writer" };
    assert_eq!(d.core_fills(ring), Err(refused.clone()));
    assert_eq!(d.fill_by_dma(ring, S2mm(1), &[Pattern::linear(16)]), Err(refused));
    let missing = Error::RingSideMissing { tile: CORE, ring: "a".into(), side: "reader" };
    assert_eq!(d.finish(), Err(missing));
}

#[test]
fn one_channel_for_two_rings() {
    let mut d = design(1);
    let a = d.ring(CORE, "a", 2, 64, Place::Anywhere).expect("ring");
    let b = d.ring(CORE, "b", 2, 64, Place::Anywhere).expect("ring");
    d.fill_by_dma(a, S2mm(1), &[Pattern::linear(16)]).expect("first");
    let refused = Error::ChannelTwice { tile: CORE, channel: S2mm(1).into() };
    assert_eq!(d.fill_by_dma(b, S2mm(1), &[Pattern::linear(16)]), Err(refused));
    let refused = Error::NoSuchChannel { tile: CORE, channel: S2mm(2).into(), limit: 2 };
    assert_eq!(d.fill_by_dma(b, S2mm(2), &[Pattern::linear(16)]), Err(refused));
}

#[test]
fn parts_that_do_not_divide() {
    let mut d = design(1);
    let ring = d.ring(MEM, "a", 2, 96, Place::Anywhere).expect("ring");
    let parts = |n: u32| (0..n).map(|i| Pattern::linear(24 / n).offset(24 / n * i)).collect::<Vec<_>>();
    d.fill_by_dma(ring, S2mm(0), &parts(2)).expect("writer");
    let refused = Error::RingParts { tile: MEM, ring: "a".into(), writer: 2, reader: 3 };
    assert_eq!(d.drain_by_dma(ring, Mm2s(0), &parts(3)), Err(refused));
    let crossed: Vec<Pattern> = parts(2).into_iter().rev().collect();
    let refused = Error::RingPartMismatch { tile: MEM, ring: "a".into(), part: 0, word: 12 };
    assert_eq!(d.drain_by_dma(ring, Mm2s(0), &crossed), Err(refused));
    d.drain_by_dma(ring, Mm2s(0), &parts(2)).expect("part by part");
}

#[test]
fn locks_given_to_a_core_before_the_dma_has_parts() {
    let mut d = design(1);
    let ring = d.ring(CORE, "a", 2, 64, Place::Anywhere).expect("ring");
    d.core_fills(ring).expect("one credit per slot");
    let halves = [Pattern::linear(8), Pattern::linear(8).offset(8)];
    let refused = Error::RingSideOrder { tile: CORE, ring: "a".into() };
    assert_eq!(d.drain_by_dma(ring, Mm2s(0), &halves), Err(refused));
    d.drain_by_dma(ring, Mm2s(0), &[Pattern::linear(16)]).expect("one part agrees");
}

#[test]
fn joins_of_unlike_rings() {
    let mut d = design(2);
    let a = d.ring(MEM, "a", 2, 64, Place::Anywhere).expect("ring");
    let b = d.ring(MEM, "b", 3, 64, Place::Anywhere).expect("ring");
    let c = d.ring(Tile::mem(1), "c", 2, 64, Place::Anywhere).expect("ring");
    let mut join = |rings: &[RingId]| d.drain_joined(rings, Mm2s(0), &Pattern::linear(16));
    let differ = |ring: &str, what| Err(Error::RingsDiffer { tile: MEM, ring: ring.into(), with: "a".into(), what });
    assert_eq!(join(&[a, b]), differ("b", "slots"));
    assert_eq!(join(&[a, c]), differ("c", "tile"));
    assert!(matches!(join(&[a, a]), Err(Error::RingSideTwice { .. })));
    assert!(matches!(join(&[]), Err(Error::Nothing { what: "rings", .. })));
}

#[test]
fn channels_without_stream_and_streams_without_channel() {
    let mut d = design(1);
    let ring = d.ring(CORE, "a", 1, 32, Place::Anywhere).expect("ring");
    d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(8)]).expect("writer");
    d.core_drains(ring).expect("reader");
    let channel = S2mm(0).into();
    assert_eq!(d.finish(), Err(Error::ChannelLoose { tile: CORE, channel, connected: false }));
    d.connect(Tile::shim(0).mm2s(0), &[CORE.s2mm(0), MEM.s2mm(3)]).expect("flow");
    let channel = S2mm(3).into();
    assert_eq!(d.finish(), Err(Error::ChannelLoose { tile: MEM, channel, connected: true }));
}

#[test]
fn ports_of_the_wrong_role_or_used_twice() {
    let mut d = design(1);
    let (source, sink) = (Tile::shim(0).mm2s(0), MEM.s2mm(0));
    assert_eq!(d.connect(sink, &[sink]), Err(Error::PortRole { port: sink, role: "source" }));
    assert_eq!(d.connect(source, &[source]), Err(Error::PortRole { port: source, role: "sink" }));
    d.connect(source, &[sink]).expect("flow");
    assert_eq!(d.connect(Tile::shim(0).mm2s(1), &[sink]), Err(Error::PortTwice { port: sink }));
    assert_eq!(d.connect(source, &[MEM.s2mm(1)]), Err(Error::PortTwice { port: source }));
    let tile = Tile::shim(0);
    let refused = Error::NoSuchChannel { tile, channel: Mm2s(2).into(), limit: 2 };
    assert_eq!(d.connect(tile.mm2s(2), &[MEM.s2mm(1)]), Err(refused));
    let refused = Error::WrongTileKind { tile: MEM, what: "a core stream", needs: TileKind::Core };
    assert_eq!(d.connect(MEM.core_out(), &[MEM.s2mm(1)]), Err(refused));
}

#[test]
fn tiles_and_columns_that_do_not_exist() {
    assert!(matches!(Design::new(0), Err(Error::Columns { asked: 0, limit: 4 })));
    assert!(matches!(Design::new(5), Err(Error::Columns { asked: 5, limit: 4 })));
    let mut d = design(2);
    let tile = Tile::core(0, 4);
    assert_eq!(d.ring(tile, "a", 1, 32, Place::Anywhere), Err(Error::NoSuchTile { tile, columns: 2 }));
    assert_eq!(d.token_route(2), Err(Error::NoSuchTile { tile: Tile::shim(2), columns: 2 }));
    let tile = Tile::shim(0);
    let refused = Error::WrongTileKind { tile, what: "a ring", needs: TileKind::Mem };
    assert_eq!(d.ring(tile, "a", 1, 32, Place::Anywhere), Err(refused));
    assert!(matches!(d.ring(MEM, "a", 0, 32, Place::Anywhere), Err(Error::EmptyBuffer { .. })));
}

#[test]
fn programs_that_do_not_fit() {
    let mut d = design(1);
    let refused = Error::ProgramTooLong { tile: CORE, bytes: 16_385, limit: 16_384 };
    assert_eq!(d.program(CORE, &[0; 16_385]), Err(refused));
    assert!(matches!(d.program(CORE, &[]), Err(Error::EmptyBuffer { .. })));
    assert!(matches!(d.program(MEM, &[0; 4]), Err(Error::WrongTileKind { .. })));
    d.program(CORE, &[0; 16_384]).expect("exactly full");
    assert_eq!(d.program(CORE, &[0; 4]), Err(Error::ProgramTwice { tile: CORE }));
}

#[test]
fn a_ring_of_another_design() {
    let mut other = design(1);
    let ring = other.ring(CORE, "a", 1, 32, Place::Anywhere).expect("ring");
    assert_eq!(design(1).core_fills(ring), Err(Error::NoSuchRing { index: 0 }));
}
